/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Hostile bytes as a pool.
 *
 * An input is a byte that chooses the pool to begin with, and patches of 16 bytes. A patch chooses a kind of thing,
 * one of those in the pool, a field of it, and what becomes of that. Then the thing's checksum is made right, and its
 * second copies get the same patch, unless the patch says otherwise.
 */
#include <string.h>

#include "base/crc32c.h"
#include "fuzz.h"
#include "log/page.h"
#include "log/record.h"

#define PATCH 16u
#define PATCHES_MAX 24u

enum patch_op { OP_SET, OP_ADD, OP_XOR, OP_EVIL, OP_COPY_FIELD, OP_COPY_WHOLE, OP_ZERO_WHOLE, OP_PAGE, OP_SPARE, OPS };
enum patch_flag { FLAG_ONE_COPY = 1, FLAG_UNSEALED = 2, FLAG_ANY_OFFSET = 4, FLAG_SELF = 8 };

/* Things inside pages come after those that have checksums of their own. */
enum { KIND_FILE = FUZZ_KINDS, KIND_BYTES, KINDS };

struct patch {
	uint8_t kind, op;
	uint16_t which, element;
	uint8_t field, flags;
	uint64_t value;
};
_Static_assert(sizeof(struct patch) == PATCH, "a patch");

struct field {
	uint16_t off, size;
};

#define FIELD(type, name)                                                        \
	{                                                                        \
		offsetof(struct type, name), sizeof(((struct type *)NULL)->name) \
	}
static const struct field super_fields[] = {
	FIELD(daxl_md_super, magic),   FIELD(daxl_md_super, version),           FIELD(daxl_md_super, generation),
	FIELD(daxl_md_super, self),    FIELD(daxl_md_super, pool_size),         FIELD(daxl_md_super, block_shift),
	FIELD(daxl_md_super, uuid),    FIELD(daxl_md_super, feature_ro_compat), FIELD(daxl_md_super, feature_incompat),
	FIELD(daxl_md_super, mid),     FIELD(daxl_md_super, log_off),           FIELD(daxl_md_super, log_size),
	FIELD(daxl_md_super, devices), FIELD(daxl_md_super, feature_compat),    FIELD(daxl_md_super, created_ns),
};
static const struct field slot_fields[] = {
	FIELD(daxl_md_slot, magic),        FIELD(daxl_md_slot, version),      FIELD(daxl_md_slot, uuid),
	FIELD(daxl_md_slot, generation),   FIELD(daxl_md_slot, pool_size),    FIELD(daxl_md_slot, position),
	FIELD(daxl_md_slot, cut),          FIELD(daxl_md_slot, epoch),        FIELD(daxl_md_slot, flags),
	FIELD(daxl_md_slot, table_depth),  FIELD(daxl_md_slot, table.page),   FIELD(daxl_md_slot, table.copy),
	FIELD(daxl_md_slot, table_pages),  FIELD(daxl_md_slot, files),        FIELD(daxl_md_slot, next_id),
	FIELD(daxl_md_slot, summary.page), FIELD(daxl_md_slot, summary.copy), FIELD(daxl_md_slot, summary_pages),
	FIELD(daxl_md_slot, summary_crc),  FIELD(daxl_md_slot, free_blocks),
};
static const struct field page_fields[] = {
	FIELD(daxl_md_page, magic),    FIELD(daxl_md_page, uuid),  FIELD(daxl_md_page, self),
	FIELD(daxl_md_page, position), FIELD(daxl_md_page, next),  FIELD(daxl_md_page, owner),
	FIELD(daxl_md_page, type),     FIELD(daxl_md_page, depth), FIELD(daxl_md_page, count),
	FIELD(daxl_md_page, used),
};
static const struct field ref_fields[] = {FIELD(daxl_md_ref, page), FIELD(daxl_md_ref, copy)};
static const struct field run_fields[] = {FIELD(daxl_md_run, end), FIELD(daxl_md_run, val)};
static const struct field child_fields[] = {FIELD(daxl_md_child, end), FIELD(daxl_md_child, ref.page),
                                            FIELD(daxl_md_child, ref.copy)};
static const struct field byte_fields[] = {{0, 1}};
static const struct field file_fields[] = {
	FIELD(daxl_md_file, id),
	FIELD(daxl_md_file, rec_len),
	FIELD(daxl_md_file, flags),
	FIELD(daxl_md_file, name_len),
	FIELD(daxl_md_file, attr_len),
	FIELD(daxl_md_file, inline_runs),
	FIELD(daxl_md_file, root_depth),
	FIELD(daxl_md_file, size),
	FIELD(daxl_md_file, generation),
	FIELD(daxl_md_file, mtime_ns),
	FIELD(daxl_md_file, root.page),
	FIELD(daxl_md_file, root.copy),
	{sizeof(struct daxl_md_file), 1},
	{sizeof(struct daxl_md_file) + 8, 8},
	{sizeof(struct daxl_md_file) + 16, 8},
};
static const struct field record_fields[] = {
	FIELD(daxl_md_rec, position),
	FIELD(daxl_md_rec, lag),
	FIELD(daxl_md_rec, type),
	FIELD(daxl_md_rec, slots),
	FIELD(daxl_md_rec, flags),
	{20, 4},
	{24, 4},
	{28, 8},
	{32, 8},
	{36, 8},
	{44, 8},
	{52, 8},
	{60, 4},
	{64, 8},
	{72, 8},
	{80, 8},
};

/* Where a patch acts. */
struct place {
	char *whole;
	size_t len;
	char *thing; /* part of whole */
	size_t room;
	const struct field *fields;
	size_t nfields;
};

#define FIELDS(list) (list), sizeof(list) / sizeof((list)[0])
static void set_fields(struct place *place, const struct field *fields, size_t n)
{
	place->fields = fields;
	place->nfields = n;
}

/* The n-th file record of a table page. */
static void find_file(struct place *place, unsigned n)
{
	const struct daxl_pagebuf *buf = (const void *)place->whole;
	size_t at = sizeof(buf->hdr), end = at + buf->hdr.used;

	for (unsigned i = buf->hdr.count ? n % buf->hdr.count : 0; i; i--) {
		struct daxl_md_file rec;

		if (end > place->len || at + sizeof(rec) > end)
			break;
		memcpy(&rec, place->whole + at, sizeof(rec));
		if (rec.rec_len < sizeof(rec) || at + rec.rec_len + sizeof(rec) > end)
			break;
		at += rec.rec_len;
	}
	place->thing = place->whole + at;
	place->room = place->len - at;
	set_fields(place, FIELDS(file_fields));
}

/* The element of a page, or, in one of four, its header. */
static void find_in_page(struct place *place, unsigned kind, unsigned element)
{
	const struct daxl_pagebuf *buf = (const void *)place->whole;
	size_t size = kind == FUZZ_DIR     ? sizeof(struct daxl_md_ref)
	              : kind == FUZZ_LEAF  ? sizeof(struct daxl_md_run)
	              : kind == FUZZ_INNER ? sizeof(struct daxl_md_child)
	                                   : 1;

	if (element % 4 == 0 || kind == FUZZ_TABLE) {
		set_fields(place, FIELDS(page_fields));
		return;
	}
	size_t n =
		buf->hdr.used <= DAXL_PAGE_BODY && buf->hdr.used >= size ? buf->hdr.used / size : DAXL_PAGE_BODY / size;
	place->thing += sizeof(buf->hdr) + element / 4 % n * size;
	place->room = size;
	if (kind == FUZZ_DIR)
		set_fields(place, FIELDS(ref_fields));
	else if (kind == FUZZ_LEAF)
		set_fields(place, FIELDS(run_fields));
	else if (kind == FUZZ_INNER)
		set_fields(place, FIELDS(child_fields));
	else
		set_fields(place, FIELDS(byte_fields));
}

static void find_record(const struct fuzz_pool *pool, unsigned which, struct place *place)
{
	const uint64_t ring = pool->super.log_size / DAXL_SLOT_SIZE;
	uint64_t position = pool->nrecords ? pool->records[which % pool->nrecords] : pool->slot.position;
	struct daxl_md_rec *rec = fuzz_record_at(pool, position);

	place->whole = place->thing = (char *)rec;
	place->len = DAXL_SLOT_SIZE;
	if (rec->slots >= 1 && rec->slots <= DAXL_REC_SLOTS_MAX && position % ring + rec->slots <= ring)
		place->len *= rec->slots;
	place->room = place->len;
	set_fields(place, FIELDS(record_fields));
}

/* False: there is no such thing in the pool. */
static bool find(const struct fuzz_pool *pool, const struct patch *patch, bool twin, struct place *place)
{
	unsigned kind = patch->kind % KINDS;
	enum fuzz_kind of = kind == KIND_FILE ? FUZZ_TABLE : (enum fuzz_kind)kind;

	*place = (struct place){0};
	if (kind == FUZZ_RECORD) {
		find_record(pool, patch->which, place);
		return true;
	}
	if (kind == KIND_BYTES) { /* any page, by number */
		place->whole = pool->base + (patch->which % (pool->size >> DAXL_PAGE_SHIFT) << DAXL_PAGE_SHIFT);
	} else {
		if (!pool->nobjects[of])
			return false;
		const struct fuzz_object *object = &pool->objects[of][patch->which % pool->nobjects[of]];
		place->whole = pool->base + ((uint64_t)(twin ? object->twin : object->page) << DAXL_PAGE_SHIFT);
	}
	place->thing = place->whole;
	place->len = place->room = kind == FUZZ_SLOT ? sizeof(struct daxl_md_slot) : DAXL_PAGE_SIZE;
	if (kind == FUZZ_SUPER)
		set_fields(place, FIELDS(super_fields));
	else if (kind == FUZZ_SLOT)
		set_fields(place, FIELDS(slot_fields));
	else if (kind == KIND_FILE)
		find_file(place, patch->element);
	else if (kind == KIND_BYTES)
		set_fields(place, FIELDS(page_fields));
	else
		find_in_page(place, kind, patch->element);
	return true;
}

static void change(const struct fuzz_pool *pool, const struct patch *patch, struct place *place)
{
	const struct field *field = &place->fields[patch->field % place->nfields];
	size_t off = field->off, size = field->size < 8 ? field->size : 8;
	uint64_t was = 0, value = patch->value;
	struct patch other = *patch;
	struct place from;

	if (patch->flags & FLAG_ANY_OFFSET) {
		size = (size_t)1 << (patch->element & 3);
		off = patch->field * 8u + (patch->element >> 2) % 8;
	}
	if (off >= place->room)
		off %= place->room;
	if (size > place->room - off)
		size = place->room - off;
	memcpy(&was, place->thing + off, size);
	other.which = (uint16_t)patch->value;
	other.element = (uint16_t)(patch->value >> 16);
	switch (patch->op % OPS) {
	case OP_ADD:
		value = was + (uint64_t)(int64_t)(int8_t)patch->value;
		break;
	case OP_XOR:
		value ^= was;
		break;
	case OP_EVIL:
		value = fuzz_evil(patch->value);
		break;
	case OP_COPY_FIELD:
		if (find(pool, &other, false, &from) && off + size <= from.room)
			memcpy(&value, from.thing + off, size);
		break;
	case OP_COPY_WHOLE:
		if (find(pool, &other, false, &from))
			memmove(place->whole, from.whole, place->len < from.len ? place->len : from.len);
		return;
	case OP_ZERO_WHOLE:
		memset(place->whole, 0, place->len);
		return;
	case OP_PAGE: { /* a page of another kind, or a block */
		enum fuzz_kind kind = (enum fuzz_kind)((patch->value >> 16) % FUZZ_PAGE_KINDS);

		if (!pool->nobjects[kind])
			return;
		value = pool->objects[kind][(uint16_t)patch->value % pool->nobjects[kind]].page;
		break;
	}
	case OP_SPARE:
		value = pool->spare[patch->value % pool->nspare] + (patch->value >> 32 & 0xff) % 2 * 1000;
		break;
	default:
		break;
	}
	memcpy(place->thing + off, &value, size);
}

static void seal(const struct fuzz_pool *pool, const struct patch *patch, struct place *place)
{
	if (patch->flags & FLAG_UNSEALED)
		return;
	switch (patch->kind % KINDS) {
	case FUZZ_SUPER: {
		struct daxl_md_super *super = (void *)place->whole;

		if (patch->flags & FLAG_SELF)
			super->self = (uint64_t)(place->whole - pool->base);
		super->crc = 0;
		super->crc = daxl_crc32c(0, super, DAXL_PAGE_SIZE);
		break;
	}
	case FUZZ_SLOT: {
		struct daxl_md_slot *slot = (void *)place->whole;

		slot->crc = 0;
		slot->crc = daxl_crc32c(0, slot, sizeof(*slot));
		break;
	}
	case FUZZ_RECORD: {
		struct daxl_md_rec *rec = (void *)place->whole;

		rec->crc = 0;
		rec->crc = daxl_crc32c(daxl_rec_seed(pool->slot.epoch), rec, place->len);
		break;
	}
	default: {
		struct daxl_pagebuf *buf = (void *)place->whole;

		if (patch->kind % KINDS == KIND_BYTES && !(patch->flags & FLAG_SELF))
			break; /* it may be anything */
		if (patch->flags & FLAG_SELF)
			buf->hdr.self = (uint64_t)(place->whole - pool->base) >> DAXL_PAGE_SHIFT;
		if (buf->hdr.used > DAXL_PAGE_BODY)
			break;
		buf->hdr.crc = 0;
		buf->hdr.crc = daxl_crc32c(0, buf, sizeof(buf->hdr) + buf->hdr.used);
	}
	}
}

static void apply(struct fuzz_pool *pool, const struct patch *patch)
{
	struct patch each = *patch;
	struct place place, second;

	if (!find(pool, patch, false, &place))
		return;
	change(pool, patch, &place);
	seal(pool, patch, &place);
	if (patch->flags & FLAG_ONE_COPY)
		return;
	if (patch->kind % KINDS == FUZZ_SUPER) {
		for (each.which = 0; each.which < pool->nobjects[FUZZ_SUPER]; each.which++) {
			each.flags |= FLAG_SELF;
			(void)find(pool, &each, false, &second);
			memcpy(second.whole, place.whole, place.len);
			seal(pool, &each, &second);
		}
	} else if (find(pool, patch, true, &second) && second.whole != place.whole) {
		change(pool, patch, &second);
		seal(pool, patch, &second);
	}
}

struct recipe {
	const uint8_t *data;
	size_t size;
};

static void spoil(struct fuzz_pool *pool, void *arg)
{
	const struct recipe *recipe = arg;

	for (size_t at = 0; at + PATCH <= recipe->size && at < PATCHES_MAX * PATCH; at += PATCH) {
		struct patch patch;

		memcpy(&patch, recipe->data + at, sizeof(patch));
		apply(pool, &patch);
	}
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1)
		return 0;
	struct recipe recipe = {data + 1, size - 1};

	fuzz_judge(fuzz_pool_get(data[0]), spoil, &recipe);
	return 0;
}

static void new_patch(uint8_t *to, uint64_t *rng)
{
	static const uint8_t ops[] = {OP_SET,        OP_ADD,        OP_ADD,  OP_XOR,  OP_EVIL,  OP_EVIL,
	                              OP_COPY_FIELD, OP_COPY_FIELD, OP_PAGE, OP_PAGE, OP_SPARE, OP_COPY_WHOLE};
	struct patch patch = {
		.kind = (uint8_t)fuzz_rnd(rng, KINDS - (fuzz_rnd(rng, 8) != 0)),
		.op = fuzz_rnd(rng, 40) ? ops[fuzz_rnd(rng, sizeof(ops))] : (uint8_t)OP_ZERO_WHOLE,
		.which = (uint16_t)fuzz_rnd(rng, 0),
		.element = (uint16_t)fuzz_rnd(rng, fuzz_rnd(rng, 2) ? 16 : 1024),
		.field = (uint8_t)fuzz_rnd(rng, 64),
		.flags = (uint8_t)(fuzz_rnd(rng, 3) ? 0 : fuzz_rnd(rng, 16)),
		.value = fuzz_rnd(rng, 0),
	};

	if (patch.op == OP_SET)
		patch.value = fuzz_rnd(rng, (uint64_t)1 << (1 + fuzz_rnd(rng, 20)));
	if (patch.op == OP_XOR)
		patch.value = (uint64_t)1 << fuzz_rnd(rng, 64);
	memcpy(to, &patch, sizeof(patch));
}

/* Adds, changes, doubles, moves or removes a patch, or chooses another pool. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
	uint64_t rng = seed;
	size_t room = (max_size - 1) / PATCH;

	if (max_size < 1 + PATCH)
		return size;
	if (size < 1)
		data[0] = (uint8_t)fuzz_rnd(&rng, FUZZ_POOLS);
	size_t n = size < 1 ? 0 : (size - 1) / PATCH;
	if (room > PATCHES_MAX)
		room = PATCHES_MAX;
	if (n > room)
		n = room;
	uint8_t *at = data + 1 + (n ? fuzz_rnd(&rng, n) : 0) * PATCH, *end = data + 1 + n * PATCH;
	uint64_t what = fuzz_rnd(&rng, 16);

	if (n == 0 || (what < 4 && n < room)) {
		new_patch(end, &rng);
		n++;
	} else if (what < 5) {
		data[0] = (uint8_t)fuzz_rnd(&rng, FUZZ_POOLS);
	} else if (what < 7 && n > 1) {
		memmove(at, at + PATCH, (size_t)(end - at) - PATCH);
		n--;
	} else if (what < 8 && n < room) { /* the same of the next thing */
		memcpy(end, at, PATCH);
		end[2]++;
		n++;
	} else if (what < 10) {
		new_patch(at, &rng);
	} else if (what < 13) { /* the same with another value */
		uint64_t value = fuzz_rnd(&rng, 0);
		memcpy(at + 8, &value, sizeof(value));
	} else {
		(void)LLVMFuzzerMutate(at, PATCH, PATCH);
	}
	return 1 + n * PATCH;
}
