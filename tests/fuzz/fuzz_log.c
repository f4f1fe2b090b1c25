/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Hostile bytes as a log.
 *
 * An input is two bytes that choose the pool to begin with, and how many of its log records stay, and then items of 64
 * bytes. Most items are one record which is appended, with the position, the lag and the checksum that make it count;
 * so what is tried is what the body says. Further items can follow as the rest of a body. An item can also change one
 * of the records that stay.
 */
#include <string.h>

#include "base/crc32c.h"
#include "fuzz.h"
#include "log/page.h"
#include "log/record.h"

#define ITEM 64u
#define ITEMS_MAX 40u
#define BODY_MAX (2u * DAXL_PAGE_BODY)

enum item_flag {
	ITEM_PATCH = 1,   /* changes a record that stays */
	ITEM_PAYLOAD = 2, /* the body goes to payload pages, however short */
	ITEM_LAG = 4,     /* the lag is the item's */
	ITEM_SKIP = 8,    /* leaves slots out before it */
	ITEM_UNSEALED = 16,
	ITEM_SLOTS = 32,   /* the number of slots is the item's */
	ITEM_FLAGS = 64,   /* the record's flags are the item's */
	ITEM_REFERS = 128, /* the body is a struct daxl_md_payload, of another record's pages maybe */
};

struct item {
	uint8_t type, flags;
	uint8_t more; /* items that follow as the body's rest, less one if there are none */
	uint8_t value;
	uint8_t body[60];
};
_Static_assert(sizeof(struct item) == ITEM, "an item");

struct recipe {
	const uint8_t *data;
	size_t size;
};

/* Where the log is being written. */
struct tail {
	struct fuzz_pool *pool;
	uint64_t position;
	size_t spare; /* of pool->spare: the next for payload pages */
};

/* Stores the body's pages and gives what the record says of them. */
static struct daxl_md_payload put_payload(struct tail *tail, const uint8_t *body, size_t len, uint8_t damage)
{
	struct fuzz_pool *pool = tail->pool;
	struct daxl_md_payload payload = {.len = len, .crc = daxl_crc32c(0, body, len)};
	size_t n = daxl_payload_pages(len);
	daxl_page_t pages[4] = {0};
	struct daxl_pagebuf buf;

	for (size_t i = 0; i < n; i++)
		pages[i] = (daxl_page_t)pool->spare[tail->spare++ % pool->nspare] << (pool->shift - DAXL_PAGE_SHIFT);
	for (size_t i = 0; i < n; i++) {
		size_t part = len - i * DAXL_PAGE_BODY < DAXL_PAGE_BODY ? len - i * DAXL_PAGE_BODY : DAXL_PAGE_BODY;

		daxl_pagebuf_init(&buf, pool->super.uuid, DAXL_PAGE_PAYLOAD, 0, 0);
		memcpy(buf.body, body + i * DAXL_PAGE_BODY, part);
		buf.hdr.used = (uint16_t)part;
		buf.hdr.next = i + 1 < n ? pages[i + 1] : damage == 1 ? pages[0] : 0;
		buf.hdr.self = pages[i];
		buf.hdr.position = tail->position;
		buf.hdr.crc = 0;
		buf.hdr.crc = daxl_crc32c(0, &buf, sizeof(buf.hdr) + part);
		memcpy(pool->base + (pages[i] << DAXL_PAGE_SHIFT), &buf, sizeof(buf.hdr) + part);
	}
	payload.first_page = pages[0];
	if (damage == 2)
		payload.len--;
	if (damage == 3)
		payload.crc++;
	return payload;
}

/* Stores a record; the slots are in a row but where the ring wraps. */
static void put_record(struct tail *tail, const struct item *item, unsigned flags, const uint8_t *body, size_t len)
{
	union {
		struct daxl_md_rec rec;
		uint8_t bytes[DAXL_REC_BYTES_MAX];
	} u = {.rec = {.position = tail->position, .type = item->type, .flags = (uint16_t)flags}};
	unsigned slots = len <= DAXL_REC_PAYLOAD_FIRST
	                         ? 1
	                         : 1 + (unsigned)((len - DAXL_REC_PAYLOAD_FIRST + DAXL_SLOT_SIZE - 1) / DAXL_SLOT_SIZE);

	memcpy(u.bytes + DAXL_REC_BODY_OFF, body, len);
	u.rec.slots = (uint8_t)(item->flags & ITEM_SLOTS ? item->value : slots);
	u.rec.lag = item->flags & ITEM_LAG ? item->value * 3u : 0;
	if (item->flags & ITEM_FLAGS)
		u.rec.flags = item->value;
	u.rec.crc = daxl_rec_crc(daxl_rec_seed(tail->pool->slot.epoch), &u, slots) + !!(item->flags & ITEM_UNSEALED);
	for (unsigned i = 0; i < slots; i++)
		memcpy(fuzz_record_at(tail->pool, tail->position + i), u.bytes + i * DAXL_SLOT_SIZE, DAXL_SLOT_SIZE);
	tail->position += slots;
}

static void append(struct tail *tail, const struct item *item, const uint8_t *body, size_t len)
{
	bool payload = (item->flags & ITEM_PAYLOAD) || len > DAXL_REC_BODY_MAX;

	if (item->flags & ITEM_SKIP)
		tail->position += 1 + item->value % 8;
	if (payload) {
		struct daxl_md_payload refers = put_payload(tail, body, len, item->flags & ITEM_LAG ? 0 : item->value);

		put_record(tail, item, DAXL_REC_HAS_PAYLOAD, (const uint8_t *)&refers, sizeof(refers));
	} else {
		put_record(tail, item, item->flags & ITEM_REFERS ? DAXL_REC_HAS_PAYLOAD : 0, body, len);
	}
}

/* Replaces bytes of a record that stays, and seals it anew. */
static void patch(const struct fuzz_pool *pool, const struct item *item)
{
	const uint64_t ring = pool->super.log_size / DAXL_SLOT_SIZE;
	uint64_t position = pool->nrecords ? pool->records[item->value % pool->nrecords] : pool->slot.position;
	struct daxl_md_rec *rec = fuzz_record_at(pool, position);
	unsigned slots = rec->slots;

	if (slots < 1 || slots > DAXL_REC_SLOTS_MAX || position % ring + slots > ring)
		return;
	for (unsigned i = 0; i + 3 < sizeof(item->body) && item->body[i]; i += 3) { /* where, how, what */
		uint8_t *at = (uint8_t *)rec + DAXL_REC_BODY_OFF - 4 + item->body[i] % (slots * DAXL_SLOT_SIZE - 16);

		*at = item->body[i + 1] & 1 ? item->body[i + 2] : (uint8_t)(*at ^ item->body[i + 2]);
	}
	rec->crc = 0;
	rec->crc = daxl_rec_crc(daxl_rec_seed(pool->slot.epoch), rec, slots);
}

static void spoil(struct fuzz_pool *pool, void *arg)
{
	const struct recipe *recipe = arg;
	size_t keep = recipe->data[1];
	struct tail tail = {.pool = pool, .position = pool->head};
	uint8_t body[BODY_MAX];

	if (keep < pool->nrecords)
		tail.position = pool->records[keep];
	for (size_t at = 2, n = 0; at + ITEM <= recipe->size && n < ITEMS_MAX; at += ITEM, n++) {
		struct item item;
		size_t len = sizeof(item.body);

		memcpy(&item, recipe->data + at, sizeof(item));
		if (item.flags & ITEM_PATCH) {
			patch(pool, &item);
			continue;
		}
		memcpy(body, item.body, len);
		for (; item.more && at + 2 * ITEM <= recipe->size && len + ITEM <= sizeof(body);
		     item.more--, at += ITEM) {
			memcpy(body + len, recipe->data + at + ITEM, ITEM);
			len += ITEM;
		}
		append(&tail, &item, body, len);
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
	struct recipe recipe = {data, size};

	if (size >= 2)
		fuzz_judge(fuzz_pool_get(data[0]), spoil, &recipe);
	return 0;
}

/* --- records that could be true --- */

static uint64_t number(uint64_t *rng, uint64_t likely)
{
	uint64_t how = fuzz_rnd(rng, 12);

	return how == 0 ? fuzz_evil(fuzz_rnd(rng, 0)) : how == 1 ? fuzz_rnd(rng, 1u << 20) : fuzz_rnd(rng, likely);
}

static uint64_t block_value(const struct fuzz_pool *pool, uint64_t *rng)
{
	static const uint64_t flags[] = {0, 0, DAXL_EDIT_HOLE, DAXL_EDIT_UNWRITTEN, DAXL_EDIT_CONVERT};
	uint64_t flag = flags[fuzz_rnd(rng, 5)];

	if (flag == DAXL_EDIT_HOLE || flag == DAXL_EDIT_CONVERT)
		return flag | (fuzz_rnd(rng, 30) ? 0 : 1);
	if (fuzz_rnd(rng, 8) == 0)
		return flag | number(rng, pool->size >> pool->shift);
	return flag | (pool->spare[fuzz_rnd(rng, pool->nspare)] - fuzz_rnd(rng, 3));
}

static uint64_t size_value(const struct fuzz_pool *pool, uint64_t *rng)
{
	uint64_t size = number(rng, 20) << pool->shift;

	return fuzz_rnd(rng, 2) ? size : size + fuzz_rnd(rng, 5000);
}

/* Files are numbered from 1. */
static uint32_t id_value(uint64_t *rng)
{
	return (uint32_t)(fuzz_rnd(rng, 30) ? 1 + fuzz_rnd(rng, 18) : number(rng, 100));
}

static void new_name(uint8_t *len, uint8_t *name, uint64_t *rng)
{
	static const char *const names[] = {"a",    "b",     "shared", "clone", "e1", "e2",
	                                    "gone", "empty", "held",   "n",     "m",  ""};
	const char *chosen = names[fuzz_rnd(rng, sizeof(names) / sizeof(names[0]))];

	*len = (uint8_t)(fuzz_rnd(rng, 20) ? strlen(chosen) : fuzz_rnd(rng, 256));
	memcpy(name, chosen, strlen(chosen));
	if (fuzz_rnd(rng, 6) == 0)
		name[0] = (uint8_t)fuzz_rnd(rng, 256);
}

static void new_map(const struct fuzz_pool *pool, struct item *item, uint64_t *rng)
{
	struct daxl_md_rec_map *map = (void *)item->body;
	size_t room = (sizeof(item->body) - sizeof(*map)) / sizeof(struct daxl_md_edit);

	map->id = id_value(rng);
	map->size = size_value(pool, rng);
	map->time_ns = fuzz_rnd(rng, 4) ? 5 : DAXL_TIME_KEEPS_MTIME | 5;
	map->fblk = number(rng, 16);
	map->len = (uint32_t)number(rng, 6);
	map->val = item->type == DAXL_REC_MAP || item->type == DAXL_REC_TRUNCATE ? block_value(pool, rng) : 0;
	map->nedits = fuzz_rnd(rng, 4) ? 0 : (uint32_t)number(rng, room + 3);
}

static void new_two(const struct fuzz_pool *pool, struct item *item, uint64_t *rng)
{
	struct daxl_md_rec_two *two = (void *)item->body;

	two->src = id_value(rng);
	two->dst = id_value(rng);
	two->src_fblk = number(rng, 8);
	two->dst_fblk = number(rng, 8);
	two->len = number(rng, 5);
	two->src_size = size_value(pool, rng);
	two->dst_size = size_value(pool, rng);
	two->time_ns = 5;
	two->nedits = fuzz_rnd(rng, 6) ? 0 : (uint32_t)number(rng, 3);
}

static void new_attr(struct item *item, uint64_t *rng)
{
	struct daxl_md_rec_attr *attr = (void *)item->body;

	attr->id = id_value(rng);
	attr->time_ns = 5;
	attr->key_len = (uint8_t)(fuzz_rnd(rng, 9) ? 1 + fuzz_rnd(rng, 3) : fuzz_rnd(rng, 256));
	attr->removed = (uint8_t)(fuzz_rnd(rng, 3) == 0);
	attr->value_len = (uint16_t)(attr->removed && fuzz_rnd(rng, 9) ? 0 : number(rng, 30));
	memcpy(attr->bytes, "keykeykey", 9);
}

static void new_item(const struct fuzz_pool *pool, uint8_t *to, uint64_t *rng)
{
	struct item item = {.type = (uint8_t)(1 + fuzz_rnd(rng, fuzz_rnd(rng, 20) ? DAXL_REC_REMOVE : 16))};

	if (fuzz_rnd(rng, 6) == 0) {
		item.flags = (uint8_t)(1u << fuzz_rnd(rng, 8));
		item.value = (uint8_t)fuzz_rnd(rng, 40);
	}
	if (item.flags & ITEM_PATCH)
		for (size_t i = 0; i < 3 + 3 * fuzz_rnd(rng, 3); i++)
			item.body[i] = (uint8_t)fuzz_rnd(rng, 256);
	else if (item.type == DAXL_REC_CREATE) {
		struct daxl_md_rec_create *create = (void *)item.body;

		create->id = (uint32_t)(fuzz_rnd(rng, 6) ? 8 + fuzz_rnd(rng, 12) : number(rng, 100));
		new_name(&create->name_len, create->name, rng);
	} else if (item.type == DAXL_REC_RENAME) {
		struct daxl_md_rec_rename *rename = (void *)item.body;

		rename->id = id_value(rng);
		rename->replaced = fuzz_rnd(rng, 2) ? 0 : id_value(rng);
		new_name(&rename->name_len, rename->name, rng);
	} else if (item.type <= DAXL_REC_DELETE || item.type == DAXL_REC_REMOVE) {
		struct daxl_md_rec_ids *ids = (void *)item.body;

		ids->id = id_value(rng);
		ids->other = item.type == DAXL_REC_SWAPNAMES ? id_value(rng) : 0;
	} else if (item.type <= DAXL_REC_TRUNCATE) {
		new_map(pool, &item, rng);
	} else if (item.type <= DAXL_REC_EXCHANGE) {
		new_two(pool, &item, rng);
	} else if (item.type == DAXL_REC_ATTR) {
		new_attr(&item, rng);
	} else if (item.type == DAXL_REC_GROW) {
		uint64_t size =
			fuzz_rnd(rng, 4) ? pool->super.pool_size + (number(rng, 256) << pool->shift) : number(rng, 0);

		memcpy(item.body, &size, sizeof(size));
	}
	memcpy(to, &item, sizeof(item));
}

/* One of the numbers in an item becomes another. */
static void change_number(uint8_t *item, uint64_t *rng)
{
	size_t off = 4 + 4 * fuzz_rnd(rng, 14), size = fuzz_rnd(rng, 2) ? 4 : 8;
	uint64_t value = 0;

	memcpy(&value, item + off, size);
	switch (fuzz_rnd(rng, 3)) {
	case 0:
		value += fuzz_rnd(rng, 9) - 4;
		break;
	case 1:
		value = fuzz_evil(fuzz_rnd(rng, 0));
		break;
	default:
		value = fuzz_rnd(rng, 32);
	}
	memcpy(item + off, &value, size);
}

/* Adds, changes, doubles, exchanges or removes an item, or chooses another pool. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
	uint64_t rng = seed;
	size_t n, room = (max_size - 2) / ITEM;

	if (max_size < 2 + ITEM)
		return size;
	if (size < 2) {
		data[0] = (uint8_t)fuzz_rnd(&rng, FUZZ_POOLS);
		data[1] = (uint8_t)(fuzz_rnd(&rng, 2) ? 0 : 255);
		size = 2;
	}
	if (room > ITEMS_MAX)
		room = ITEMS_MAX;
	n = (size - 2) / ITEM < room ? (size - 2) / ITEM : room;
	uint8_t *at = data + 2 + (n ? fuzz_rnd(&rng, n) : 0) * ITEM, *end = data + 2 + n * ITEM;
	uint64_t what = fuzz_rnd(&rng, 20);
	const struct fuzz_pool *pool = fuzz_pool_get(data[0]);

	if (n == 0 || (what < 6 && n < room)) { /* anywhere, mostly last */
		if (what < 4 || n == 0)
			at = end;
		memmove(at + ITEM, at, (size_t)(end - at));
		new_item(pool, at, &rng);
		n++;
	} else if (what < 7) {
		data[fuzz_rnd(&rng, 2)] = (uint8_t)fuzz_rnd(&rng, 40);
	} else if (what < 9 && n > 1) {
		memmove(at, at + ITEM, (size_t)(end - at) - ITEM);
		n--;
	} else if (what < 10 && n < room) {
		memcpy(end, at, ITEM);
		n++;
	} else if (what < 12) {
		new_item(pool, at, &rng);
	} else if (what < 17) {
		change_number(at, &rng);
	} else {
		(void)LLVMFuzzerMutate(at, ITEM, ITEM);
	}
	return 2 + n * ITEM;
}
