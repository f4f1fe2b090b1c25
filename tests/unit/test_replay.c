/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Replay and loading: every record leads to the state that its operation made, wherever the log ends; and whatever
 * bytes lie in the pool, opening it ends, with files that obey the rules or with a reason.
 */
#include <fcntl.h>

#include "base/crc32c.h"
#include "faults.h"
#include "image.h"
#include "log/page.h"
#include "log/record.h"

#define MIB (UINT64_C(1) << 20)

static uint64_t log_head(const struct daxl_pool *pool)
{
	struct daxl_log_stat stat;

	daxl_log_stat(pool->log, &stat);
	return stat.head;
}

/* What a crash would leave behind if no record from position on had been written. */
static void copy_until(struct image *to, const struct image *from, const struct daxl_pool *pool, uint64_t position)
{
	uint64_t slots = pool->super.log_size / DAXL_SLOT_SIZE;

	image_copy(to, from);
	for (uint64_t p = position; p < log_head(pool); p++)
		memset(to->base + pool->super.log_off + p % slots * DAXL_SLOT_SIZE, 0, DAXL_SLOT_SIZE);
}

/* The image opens with these files, a clean close agrees with its summary, and the files are the same once more. */
static void must_hold(const struct image *image, const char *files, const char *when)
{
	for (unsigned i = 0; i < 2; i++) {
		struct daxl_pool *pool = image_open(image);
		char *is = pool_text(pool);

		texts_equal(files, is, when);
		free(is);
		must(daxl_pool_end(pool));
	}
}

static void must_replay(struct daxl_pool *pool, const struct image *image, const char *when)
{
	struct image copy;
	char *was = pool_text(pool);

	image_copy(&copy, image);
	must_hold(&copy, was, when);
	image_free(&copy);
	free(was);
}

/* --- one type after the other --- */

START_TEST(every_type_of_record_is_replayed)
{
	struct image image;

	image_make(&image, 16 * MIB, 4096, 0);
	struct daxl_pool *pool = image_open(&image);
	struct daxl_inode *a = file_make(pool, "a"), *b = file_make(pool, "b");
	must_replay(pool, &image, "create");
	must(file_map(a, 0, 10, 0, 10));
	must(file_map(a, 20, 10, DAXL_RUN_UNWRITTEN, 1));
	must_replay(pool, &image, "map");
	must(file_convert(a, 22, 3));
	must_replay(pool, &image, "convert");
	must(file_map(a, 100, 40, 0, 1));
	must_replay(pool, &image, "map in payload pages");
	must(file_punch(a, 105, 7));
	must_replay(pool, &image, "punch");
	must(file_map(a, 3, 5, 0, 2));
	must_replay(pool, &image, "replaced blocks");
	must(file_shift(a, 5, 4, false));
	must_replay(pool, &image, "collapse");
	must(file_shift(a, 7, 11, true));
	must_replay(pool, &image, "insert");
	must(file_clone(a, 0, b, 5, 60));
	must_replay(pool, &image, "clone");
	must(file_clone(b, 6, b == a ? b : a, 1000, 20));
	must_replay(pool, &image, "clone back");
	must(file_exchange(a, 2, b, 8, 9));
	must_replay(pool, &image, "exchange");
	must(file_exchange(a, 0, a, 50, 9));
	must_replay(pool, &image, "exchange inside one file");
	must(file_truncate(a, 4096 * 13 + 17));
	must_replay(pool, &image, "truncate");
	must(file_setattr(a, "one", "1", 1));
	must(file_setattr(a, "empty", "", 0));
	must(file_setattr(a, "two", "22", 2));
	must(file_setattr(a, "one", "111", 3));
	must(file_setattr(a, "two", NULL, 0));
	must_replay(pool, &image, "attributes");
	must(daxl_names_rename(pool, "a", 1, "c", 1, 0));
	must_replay(pool, &image, "rename");
	must(daxl_names_rename(pool, "c", 1, "b", 1, DAXL_RENAME_EXCHANGE));
	must_replay(pool, &image, "exchange of names");
	must(daxl_names_rename(pool, "c", 1, "b", 1, 0));
	must_replay(pool, &image, "rename over a file");
	must(daxl_names_unlink(pool, "b", 1));
	must_replay(pool, &image, "unlink");
	file_make(pool, "a");
	must_replay(pool, &image, "create again");
	must(daxl_pool_end(pool));
	image_free(&image);
}
END_TEST

/* The superblock stays as it was: slot and record know better. */
START_TEST(growth_is_replayed)
{
	struct image image;

	image_make(&image, 8 * MIB, 4096, 0);
	image.base = realloc(image.base, 16 * MIB);
	memset(image.base + image.size, 0, 16 * MIB - image.size);
	image.size = 16 * MIB;
	struct daxl_pool *pool = image_open(&image);
	struct daxl_md_rec_grow body = {.new_size = 16 * MIB};
	struct daxl_record rec;
	bool credit = true;
	must(daxl_credit_take(pool, DAXL_NEED_GROW));
	daxl_record_init(&rec, DAXL_REC_GROW);
	must(daxl_record_put(&rec, &body, sizeof(body)));
	struct daxl_commit commit = {.pool = pool, .rec = &rec};
	must(daxl_commit(&commit, &credit));
	must(daxl_pool_extend(pool, body.new_size));
	daxl_record_free(&rec);
	must(file_map(file_make(pool, "a"), 0, 2200, 0, 2200));
	must_replay(pool, &image, "grown, in the log");
	must(daxl_ckpt_run(pool, false, 0));
	must_replay(pool, &image, "grown, in the checkpoint");
	must(daxl_pool_end(pool));
	pool = image_open(&image);
	ck_assert_uint_eq(pool->super.pool_size, 16 * MIB);
	must(daxl_pool_end(pool));
	image_free(&image);
}
END_TEST

/* --- random --- */

static struct daxl_inode *any_file(struct daxl_pool *pool, uint64_t *seed)
{
	char name[8];

	snprintf(name, sizeof(name), "f%u", (unsigned)(test_random(seed) % 5));
	struct daxl_inode *ino = file_find(pool, name);
	return ino ? ino : file_make(pool, name);
}

static void any_step(struct daxl_pool *pool, uint64_t *seed)
{
	struct daxl_inode *a = any_file(pool, seed), *b = any_file(pool, seed);
	uint64_t r = test_random(seed);
	daxl_fblk_t at = r >> 8 & 63, to = r >> 16 & 63;
	daxl_nblk_t len = 1 + (r >> 24 & 15);
	char name[DAXL_NAME_MAX + 1], key[8], value[64] = "value";

	switch (r % 16) {
	case 0:
	case 1:
		(void)file_map(a, at, len, 0, 1 + (r >> 40 & 7));
		break;
	case 2:
		(void)file_map(a, at, len, DAXL_RUN_UNWRITTEN, len);
		break;
	case 3:
		(void)file_map(a, at, 30, r >> 50 & 1 ? DAXL_RUN_UNWRITTEN : 0, 1); /* a payload */
		break;
	case 4:
		must(file_punch(a, at, len));
		break;
	case 5:
		must(file_convert(a, at, len));
		break;
	case 6:
		must(file_truncate(a, (r >> 30) % (80 * 4096)));
		break;
	case 7:
		must(file_shift(a, at, len, false));
		break;
	case 8:
		if (daxl_rope_len(a->version->root) < 400)
			must(file_shift(a, at, len, true));
		break;
	case 9:
	case 10:
		if (a != b && daxl_rope_len(b->version->root) < 400)
			must(file_clone(a, at, b, daxl_rope_len(b->version->root) + to, len));
		break;
	case 11:
		if (a != b || at + len <= to || to + len <= at)
			must(file_exchange(a, at, b, to, len));
		break;
	case 12:
		snprintf(key, sizeof(key), "k%u", (unsigned)(r >> 30 & 3));
		must(file_setattr(a, key, r >> 40 & 1 ? value : NULL, r >> 40 & 1 ? r >> 41 & 63 : 0));
		break;
	case 13:
		if (a != b) {
			snprintf(name, sizeof(name), "%s", a->name->bytes);
			char other[DAXL_NAME_MAX + 1];
			snprintf(other, sizeof(other), "%s", b->name->bytes);
			must(daxl_names_rename(pool, name, strlen(name), other, strlen(other),
			                       r >> 40 & 1 ? DAXL_RENAME_EXCHANGE : 0));
		}
		break;
	case 14:
		if (r >> 40 & 1) {
			snprintf(name, sizeof(name), "%s", a->name->bytes);
			must(daxl_names_unlink(pool, name, strlen(name)));
		}
		break;
	default:
		if (r >> 40 & 3)
			break;
		must(daxl_ckpt_run(pool, false, 0));
	}
}

START_TEST(random_changes_are_replayed_to_any_point)
{
	uint64_t seed = test_seed("random_changes_are_replayed_to_any_point");
	unsigned rounds = getenv("DAXL_ROUNDS") ? (unsigned)atoi(getenv("DAXL_ROUNDS")) : 12;
	const uint32_t block_sizes[] = {4096, 4096, 16384};

	for (unsigned round = 0; round < rounds; round++) {
		struct image image, copy;
		struct {
			uint64_t position, start;
			char *files;
		} point[60];
		unsigned n = DAXL_ARRAY_LEN(point);

		image_make(&image, 24 * MIB, block_sizes[round % 3], 0);
		struct daxl_pool *pool = image_open(&image);
		for (unsigned i = 0; i < n; i++) {
			struct daxl_log_stat stat;
			unsigned steps = (unsigned)(test_random(&seed) % 8);
			for (unsigned k = 0; k < steps; k++)
				any_step(pool, &seed);
			daxl_log_stat(pool->log, &stat);
			point[i].position = stat.head;
			point[i].start = stat.start;
			point[i].files = pool_text(pool);
		}
		struct daxl_log_stat last;
		daxl_log_stat(pool->log, &last);
		for (unsigned i = 0; i < n; i++) {
			if (point[i].position >= last.start) { /* else the last checkpoint is newer */
				copy_until(&copy, &image, pool, point[i].position);
				must_hold(&copy, point[i].files, "cut");
				image_free(&copy);
			}
			free(point[i].files);
		}
		must(daxl_pool_end(pool));
		image_free(&image);
	}
}
END_TEST

/* A pool with something of everything, in checkpoint and log. */
static struct daxl_pool *rich_pool(struct image *image, uint64_t *seed)
{
	image_make(image, 4 * MIB, 4096, DAXL_LOG_SIZE_MIN);
	struct daxl_pool *pool = image_open(image);
	struct daxl_inode *deep = file_make(pool, "deep");
	for (unsigned i = 0; i < 150; i++)
		must(file_map(deep, 2 * i, 1, 0, 1));
	for (unsigned i = 0; i < 60; i++) {
		char name[32];
		snprintf(name, sizeof(name), "file-%u", i);
		file_make(pool, name);
	}
	for (unsigned i = 0; i < 40; i++)
		any_step(pool, seed);
	must(daxl_ckpt_run(pool, false, 0));
	must(daxl_ckpt_run(pool, false, 0));
	for (unsigned i = 0; i < 40; i++)
		any_step(pool, seed);
	return pool;
}

/* --- memory --- */

static uint64_t fail_at, passages;
static bool fail_point(const char *point, void *arg)
{
	(void)arg;
	if (!fault_is_memory(point))
		return false;
	return __atomic_add_fetch(&passages, 1, __ATOMIC_RELAXED) == fail_at;
}

START_TEST(loading_survives_any_allocation_failing)
{
	uint64_t seed = test_seed("loading_survives_any_allocation_failing");
	struct image image, copy;
	struct daxl_pool *pool = rich_pool(&image, &seed), *other;
	char *files = pool_text(pool);
	unsigned failed = 0;
	int rc;

	for (fail_at = 1;; fail_at += 1 + test_random(&seed) % 4) {
		image_copy(&copy, &image);
		passages = 0;
		daxl_fault_set(fail_point, NULL);
		rc = image_try(&copy, false, &other);
		daxl_fault_set(NULL, NULL);
		bool over = passages < fail_at;
		if (rc) {
			ck_assert_int_eq(rc, -ENOMEM);
			failed++;
			must_hold(&copy, files, "after a load that failed");
		} else {
			daxl_pool_abandon(other);
		}
		image_free(&copy);
		if (over)
			break;
	}
	ck_assert_uint_ge(failed, 50);
	free(files);
	must(daxl_pool_end(pool));
	image_free(&image);
}
END_TEST

/* --- damage --- */

START_TEST(a_bad_leaf_stops_a_writer_and_damages_one_file_for_a_reader)
{
	struct image image;
	struct daxl_pool *other;

	image_make(&image, 8 * MIB, 4096, 0);
	struct daxl_pool *pool = image_open(&image);
	struct daxl_inode *a = file_make(pool, "a");
	for (unsigned i = 0; i < 100; i++)
		must(file_map(a, 2 * i, 1, 0, 1));
	must(file_map(file_make(pool, "b"), 0, 1, 0, 1));
	must(daxl_ckpt_run(pool, false, 0));
	const struct daxl_node *leaf = daxl_node_child(a->version->root, 1);
	ck_assert_uint_ne(leaf->page[0], 0);
	ck_assert_uint_eq(leaf->page[1], 0);
	image.base[leaf->page[0] * 4096 + 80] ^= 1;
	daxl_pool_abandon(pool);
	char *before = malloc(image.size);
	memcpy(before, image.base, image.size);
	ck_assert_int_eq(image_try(&image, false, &other), -EUCLEAN);
	ck_assert_msg(strstr(daxl_error_last(), "'a'") && strstr(daxl_error_last(), "page"), "%s", daxl_error_last());
	ck_assert_int_eq(memcmp(before, image.base, image.size), 0);
	must(image_try(&image, true, &other));
	ck_assert(file_find(other, "a")->version->damaged);
	ck_assert(!file_find(other, "b")->version->damaged);
	must(daxl_pool_end(other));
	ck_assert_int_eq(memcmp(before, image.base, image.size), 0);
	free(before);
	image_free(&image);
}
END_TEST

START_TEST(a_page_is_in_one_place)
{
	struct image image;
	struct daxl_pool *other;

	image_make(&image, 8 * MIB, 4096, 0);
	struct daxl_pool *pool = image_open(&image);
	struct daxl_inode *a = file_make(pool, "a"), *b = file_make(pool, "b");
	for (unsigned i = 0; i < 100; i++) {
		must(file_map(a, 2 * i, 1, 0, 1));
		must(file_map(b, 2 * i, 1, 0, 1));
	}
	must(daxl_ckpt_run(pool, false, 0));
	const daxl_page_t pages[] = {pool->ckpt->slot.table.page, pool->ckpt->slot.table.copy};
	for (unsigned i = 0; i < 2; i++) {
		struct daxl_pagebuf *buf = (struct daxl_pagebuf *)(void *)(image.base + pages[i] * 4096);
		struct daxl_md_file *first = (struct daxl_md_file *)(void *)buf->body;
		struct daxl_md_file *second = (struct daxl_md_file *)(void *)(buf->body + first->rec_len);
		ck_assert_uint_ne(first->root.page, 0);
		second->root = first->root;
		buf->hdr.crc = 0;
		buf->hdr.crc = daxl_crc32c(0, buf, 64u + buf->hdr.used);
	}
	daxl_pool_abandon(pool);
	ck_assert_int_eq(image_try(&image, false, &other), -EUCLEAN);
	ck_assert_msg(strstr(daxl_error_last(), "twice") != NULL, "%s", daxl_error_last());
	image_free(&image);
}
END_TEST

START_TEST(a_damaged_log_stops_a_writer)
{
	struct image image;
	struct daxl_pool *other;

	image_make(&image, 8 * MIB, 4096, 0);
	struct daxl_pool *pool = image_open(&image);
	must(daxl_ckpt_run(pool, false, 0));
	uint64_t at = log_head(pool);
	for (unsigned i = 0; i < 20; i++) {
		char name[16];
		snprintf(name, sizeof(name), "f%u", i);
		file_make(pool, name);
	}
	image.base[pool->super.log_off + (at + 3) * 64 + 30] ^= 4;
	daxl_pool_abandon(pool);
	ck_assert_int_eq(image_try(&image, false, &other), -EUCLEAN);
	must(image_try(&image, true, &other));
	must(daxl_pool_end(other));
	image_free(&image);
}
END_TEST

/* Stores a record of the test's own at the log's end, as a hostile writer would. */
static void store_record(const struct image *image, const struct daxl_pool *pool, unsigned type, const void *body,
                         size_t len)
{
	_Alignas(64) uint8_t bytes[DAXL_REC_BYTES_MAX] = {0};
	struct daxl_md_rec rec = {
		.position = log_head(pool), .type = (uint8_t)type, .slots = (uint8_t)daxl_log_slots_for(len)};
	uint64_t slots = pool->super.log_size / DAXL_SLOT_SIZE;

	memcpy(bytes, &rec, sizeof(rec));
	memcpy(bytes + DAXL_REC_BODY_OFF, body, len);
	rec.crc = daxl_rec_crc(daxl_rec_seed(pool->epoch), bytes, rec.slots);
	memcpy(bytes + offsetof(struct daxl_md_rec, crc), &rec.crc, sizeof(rec.crc));
	for (unsigned i = 0; i < rec.slots; i++)
		memcpy(image->base + pool->super.log_off + (rec.position + i) % slots * 64, bytes + i * 64, 64);
}

START_TEST(records_that_contradict_the_files_are_corruption)
{
	struct image image;

	image_make(&image, 8 * MIB, 4096, 0);
	struct daxl_pool *pool = image_open(&image);
	struct daxl_inode *a = file_make(pool, "a");
	must(file_map(a, 0, 4, 0, 4));
	struct daxl_run run;
	daxl_rope_lookup(a->version->root, 0, &run);
	uint64_t last = image.size / 4096 - 1, max = pool->max_file_size;
	const struct daxl_md_rec_map maps[] = {
		{.id = 9, .len = 1, .val = 1000},                          /* no such file */
		{.id = 1, .len = 1, .fblk = 7, .val = run.blk},            /* mapped twice */
		{.id = 1, .len = 1, .fblk = 7, .val = 0},                  /* the superblock */
		{.id = 1, .len = 1, .fblk = 7, .val = last},               /* the last one */
		{.id = 1, .len = 2, .fblk = 7, .val = last + 1},           /* outside */
		{.id = 1, .len = 1, .fblk = 7, .val = UINT64_C(1) << 50},  /* flags */
		{.id = 1, .len = 1, .fblk = 7, .val = DAXL_EDIT_HOLE | 5}, /* a hole with a block */
		{.id = 1, .len = 1, .fblk = UINT64_MAX, .val = 1000},      /* far out */
		{.id = 1, .len = 1, .fblk = max >> 12, .val = 1000},       /* one too far */
		{.id = 1, .size = max + 1},                                /* too large */
		{.id = 1, .nedits = 1},                                    /* an edit without length */
		{.id = 1, .nedits = UINT32_MAX},                           /* edits that are not there */
	};
	for (unsigned i = 0; i < DAXL_ARRAY_LEN(maps); i++) {
		struct daxl_pool *other;
		struct image copy;

		image_copy(&copy, &image);
		store_record(&copy, pool, DAXL_REC_MAP, &maps[i], sizeof(maps[i]));
		int rc = image_try(&copy, false, &other);
		ck_assert_msg(rc == -EUCLEAN, "record %u: %d", i, rc);
		ck_assert_msg(strstr(daxl_error_last(), "log record"), "%s", daxl_error_last());
		must(image_try(&copy, true, &other));
		ck_assert_msg(i == 0 || file_find(other, "a")->version->damaged, "record %u", i);
		must(daxl_pool_end(other));
		image_free(&copy);
	}
	must(daxl_pool_end(pool));
	image_free(&image);
}
END_TEST

/* UNLINK and REMOVE are of files with a name, DELETE of those without. */
START_TEST(a_file_loses_its_name_once)
{
	static const struct {
		unsigned type;
		uint32_t id;
		bool fits;
	} records[] = {
		{DAXL_REC_UNLINK, 1, true},  {DAXL_REC_UNLINK, 2, false}, {DAXL_REC_REMOVE, 1, true},
		{DAXL_REC_REMOVE, 2, false}, {DAXL_REC_DELETE, 1, false}, {DAXL_REC_DELETE, 2, true},
		{DAXL_REC_REMOVE, 3, false}, {DAXL_REC_NOP, 2, true},
	};
	struct image image;

	image_make(&image, 8 * MIB, 4096, 0);
	struct daxl_pool *pool = image_open(&image);
	file_make(pool, "named");
	struct daxl_inode *ino = file_make(pool, "nameless");
	ck_assert_uint_eq(ino->id, 2);
	struct daxl_file *file;
	daxl_inode_ref(ino);
	must(daxl_handle_open(pool, ino, O_RDWR, &file));
	must(daxl_names_unlink(pool, "nameless", 8));
	for (unsigned i = 0; i < DAXL_ARRAY_LEN(records); i++) {
		const struct daxl_md_rec_ids body = {.id = records[i].id};
		struct daxl_pool *other;
		struct image copy;

		image_copy(&copy, &image);
		store_record(&copy, pool, records[i].type, &body, sizeof(body));
		int rc = image_try(&copy, false, &other);
		ck_assert_msg(rc == (records[i].fits ? 0 : -EUCLEAN), "record %u: %d", i, rc);
		if (rc == 0) {
			ck_assert_uint_eq(other->files, records[i].id == 1 ? 0 : 1);
			daxl_pool_abandon(other);
		}
		image_free(&copy);
	}
	must(daxl_handle_close(file));
	must(daxl_pool_end(pool));
	image_free(&image);
}
END_TEST

/* --- hostile bytes --- */

/* What of an image is read at open. */
struct target {
	struct daxl_md_super super;
	uint64_t epoch, start, head;
	struct daxl_md_ref refs[2000];
	unsigned nrefs;
};

static void target_ref(struct target *target, struct daxl_md_ref ref)
{
	if (ref.page && target->nrefs < DAXL_ARRAY_LEN(target->refs))
		target->refs[target->nrefs++] = ref;
}

static void target_node(struct target *target, const struct daxl_node *node)
{
	target_ref(target, (struct daxl_md_ref){node->page[0], node->page[1]});
	for (unsigned i = 0; node->depth && i < node->count; i++)
		target_node(target, daxl_node_child(node, i));
}

static void target_file(struct daxl_inode *ino, void *arg)
{
	if (ino->version->root)
		target_node(arg, ino->version->root);
}

static struct target *target_make(struct daxl_pool *pool)
{
	struct target *target = calloc(1, sizeof(*target));

	target->super = pool->super;
	target->epoch = pool->epoch;
	target->start = pool->ckpt->slot.position;
	target->head = log_head(pool);
	for (uint64_t i = 0; i < pool->ckpt->table.count; i++)
		if (pool->ckpt->table.pages[i])
			target_ref(target, pool->ckpt->table.pages[i]->ref);
	for (unsigned d = 0; d < DAXL_TABLE_DEPTH_MAX; d++)
		for (uint64_t i = 0; i < pool->ckpt->table.level[d].cap; i++)
			target_ref(target, pool->ckpt->table.level[d].pages[i].ref);
	daxl_ids_each(pool, target_file, target);
	return target;
}

/* Flips some bits of len bytes, often those of one field. */
static void flip(uint8_t *bytes, size_t len, uint64_t *seed)
{
	for (unsigned n = 1 + (unsigned)(test_random(seed) & 1); n; n--) {
		uint64_t r = test_random(seed), bit = (r >> 8) % (len * 8);
		if (r & 3)
			bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		else
			bytes[bit / 8] = (uint8_t)(r & 4 ? 0 : 0xff);
	}
}

static void spoil_slot(const struct image *image, const struct target *target, uint64_t *seed)
{
	uint64_t at = *seed;

	for (unsigned place = 0; place < 4; place++) {
		uint64_t off = (place < 2 ? 0 : target->super.mid) + (1 + place % 2) * 4096;
		struct daxl_md_slot *slot = (struct daxl_md_slot *)(void *)(image->base + off);
		*seed = at;
		flip((uint8_t *)slot + 32, 176 - 32, seed);
		slot->crc = 0;
		slot->crc = daxl_crc32c(0, slot, sizeof(*slot));
	}
}

static void spoil_record(const struct image *image, const struct target *target, bool fix, uint64_t *seed)
{
	uint64_t slots = target->super.log_size / 64, span = target->head - target->start, at = test_random(seed);

	for (uint64_t i = 0; i < span; i++) {
		uint64_t position = target->start + (at + i) % span;
		struct daxl_md_rec *rec =
			(struct daxl_md_rec *)(void *)(image->base + target->super.log_off + position % slots * 64);
		unsigned n = rec->slots;
		if (rec->position != position || n == 0 || n > 8 || position % slots + n > slots)
			continue;
		flip(rec->body, n * 64u - DAXL_REC_BODY_OFF, seed);
		if (test_random(seed) % 8 == 0)
			rec->type = (uint8_t)(test_random(seed) % 15);
		if (fix) {
			rec->crc = 0;
			rec->crc = daxl_rec_crc(daxl_rec_seed(target->epoch), rec, n);
		}
		return;
	}
}

static void spoil_page(const struct image *image, const struct target *target, bool fix, uint64_t *seed)
{
	struct daxl_md_ref ref = target->refs[test_random(seed) % target->nrefs];
	const uint64_t pages[] = {ref.page, test_random(seed) % 8 ? ref.copy : 0};
	uint64_t at = *seed;

	for (unsigned i = 0; i < 2; i++) {
		struct daxl_pagebuf *buf = (struct daxl_pagebuf *)(void *)(image->base + pages[i] * 4096);
		if (!pages[i] || buf->hdr.used > DAXL_PAGE_BODY)
			continue;
		*seed = at;
		flip(fix ? buf->body : (uint8_t *)buf, fix ? buf->hdr.used : 64u + buf->hdr.used, seed);
		if (fix && test_random(seed) % 4 == 0)
			flip((uint8_t *)buf + 48, 12, seed); /* owner, type, depth, count, used */
		if (fix && buf->hdr.used <= DAXL_PAGE_BODY) {
			buf->hdr.crc = 0;
			buf->hdr.crc = daxl_crc32c(0, buf, 64u + buf->hdr.used);
		}
	}
}

/* Changes something that is read at open, and makes its checksum right again most of the time. */
static void spoil(const struct image *image, const struct target *target, uint64_t *seed)
{
	uint64_t r = test_random(seed);
	bool fix = (r & 7) != 0;

	switch (r >> 8 & 7) {
	case 0:
		spoil_slot(image, target, seed);
		break;
	case 1:
	case 2:
	case 3:
		spoil_record(image, target, fix, seed);
		break;
	default:
		spoil_page(image, target, fix, seed);
		break;
	}
}

START_TEST(hostile_bytes_give_an_error_or_sound_files)
{
	uint64_t seed = test_seed("hostile_bytes_give_an_error_or_sound_files");
	unsigned rounds = getenv("DAXL_ROUNDS") ? (unsigned)atoi(getenv("DAXL_ROUNDS")) : 150, opened = 0, refused = 0;
	struct image image, copy;
	struct daxl_pool *pool = rich_pool(&image, &seed), *other;
	struct target *target = target_make(pool);

	daxl_pool_abandon(pool);
	for (unsigned round = 0; round < rounds; round++) {
		image_copy(&copy, &image);
		for (unsigned k = (unsigned)(test_random(&seed) % 2); k != UINT32_MAX; k--)
			spoil(&copy, target, &seed);
		int rc = image_try(&copy, true, &other);
		if (rc == 0) {
			free(pool_text(other));
			must(daxl_pool_end(other));
		} else {
			ck_assert_msg(rc == -EUCLEAN, "%d: %s", rc, daxl_error_last());
		}
		rc = image_try(&copy, false, &other);
		if (rc == 0) {
			opened++;
			char *files = pool_text(other);
			must(daxl_pool_end(other));
			must_hold(&copy, files, "after hostile bytes");
			free(files);
		} else {
			refused++;
			ck_assert_msg(rc == -EUCLEAN || rc == -ENOSPC, "%d: %s", rc, daxl_error_last());
			ck_assert_str_ne(daxl_error_last(), "");
		}
		image_free(&copy);
	}
	fprintf(stderr, "opened %u, refused %u\n", opened, refused);
	free(target);
	image_free(&image);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("replay");

	test_add(suite, "every_type_of_record_is_replayed", every_type_of_record_is_replayed);
	test_add(suite, "growth_is_replayed", growth_is_replayed);
	test_add(suite, "random_changes_are_replayed_to_any_point", random_changes_are_replayed_to_any_point);
	test_add(suite, "loading_survives_any_allocation_failing", loading_survives_any_allocation_failing);
	test_add(suite, "a_bad_leaf_stops_a_writer_and_damages_one_file_for_a_reader",
	         a_bad_leaf_stops_a_writer_and_damages_one_file_for_a_reader);
	test_add(suite, "a_page_is_in_one_place", a_page_is_in_one_place);
	test_add(suite, "a_damaged_log_stops_a_writer", a_damaged_log_stops_a_writer);
	test_add(suite, "records_that_contradict_the_files_are_corruption",
	         records_that_contradict_the_files_are_corruption);
	test_add(suite, "a_file_loses_its_name_once", a_file_loses_its_name_once);
	test_add(suite, "hostile_bytes_give_an_error_or_sound_files", hostile_bytes_give_an_error_or_sound_files);
	SRunner *runner = srunner_create(suite);
	srunner_set_fork_status(runner, CK_NOFORK);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
