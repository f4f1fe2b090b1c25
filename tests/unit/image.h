/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Pools in memory for the tests of checkpoint and replay: made from nothing, loaded, changed through the real commit
 * path without the layers above it, left as a crash would leave them, and compared.
 */
#ifndef DAXL_TESTS_UNIT_IMAGE_H
#define DAXL_TESTS_UNIT_IMAGE_H

#include <check.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "base/hook.h"
#include "file/attrs.h"
#include "file/ckpt.h"
#include "file/names.h"
#include "log/slots.h"
#include "map/rope_node.h"
#include "media/superblock.h"

struct image {
	char *base;
	uint64_t size;
};

#define must(call) image_must((call), #call, __LINE__)
static inline void image_must(int rc, const char *what, int line)
{
	if (rc != 0)
		ck_abort_msg("line %d: %s gave %d: %s", line, what, rc, daxl_error_last());
}

static inline void image_make(struct image *image, uint64_t size, uint32_t block_size, uint64_t log_size)
{
	struct daxl_md_super super;
	struct daxl_md_slot slot = {0};
	struct daxl_media *media;

	must(daxl_super_plan(size, block_size, log_size, &super));
	image->size = super.pool_size;
	image->base = aligned_alloc(4096, image->size);
	ck_assert_ptr_nonnull(image->base);
	memset(image->base, 0, image->size);
	must(daxl_media_open_memory(image->base, image->size, false, &media));
	slot.generation = 1;
	slot.pool_size = super.pool_size;
	slot.epoch = 4711;
	slot.next_id = 1;
	daxl_slot_write(media, &super, &slot, 0);
	daxl_super_write(media, &super);
	daxl_media_close(media);
}

static inline void image_free(struct image *image)
{
	free(image->base);
	image->base = NULL;
}

static inline void image_copy(struct image *to, const struct image *from)
{
	to->size = from->size;
	to->base = aligned_alloc(4096, to->size);
	ck_assert_ptr_nonnull(to->base);
	memcpy(to->base, from->base, to->size);
}

static inline int image_try(const struct image *image, bool read_only, struct daxl_pool **ret_pool)
{
	struct daxl_media *media;

	int rc = daxl_media_open_memory(image->base, image->size, read_only, &media);
	if (rc)
		return rc;
	rc = daxl_pool_load_media(media, NULL, ret_pool);
	if (rc)
		daxl_media_close(media);
	return rc;
}

static inline struct daxl_pool *image_open(const struct image *image)
{
	struct daxl_pool *pool = NULL;

	must(image_try(image, false, &pool));
	return pool;
}

/* --- changes --- */

static inline struct daxl_inode *file_make(struct daxl_pool *pool, const char *name)
{
	struct daxl_inode *ino = NULL;

	must(daxl_inode_create(pool, name, strlen(name), &ino));
	daxl_inode_put(ino); /* the table keeps it */
	return ino;
}

static inline struct daxl_inode *file_find(struct daxl_pool *pool, const char *name)
{
	return daxl_names_find(pool, name, strlen(name));
}

struct op {
	struct daxl_pool *pool;
	struct daxl_change change;
	struct daxl_record rec;
	bool credit;
};

static inline int op_begin(struct op *op, struct daxl_inode *ino, unsigned type)
{
	op->pool = ino->pool;
	int rc = daxl_credit_take(op->pool, DAXL_NEED_GROW);
	if (rc)
		return rc;
	op->credit = true;
	daxl_mutex_lock(&ino->mutex);
	rc = daxl_change_begin(&op->change, ino, true);
	if (rc) {
		daxl_mutex_unlock(&ino->mutex);
		daxl_credit_give(op->pool);
		return rc;
	}
	must(daxl_record_map_begin(&op->rec, type, ino->id));
	return 0;
}

/* Ends it: commits if rc is 0, else undoes it. */
static inline int op_end(struct op *op, int rc)
{
	struct daxl_inode *ino = op->change.ino;
	struct daxl_change *changes[] = {&op->change};

	if (!rc) {
		daxl_record_map_finish(&op->rec, op->change.next->size, op->change.next->ctime_ns);
		struct daxl_commit commit = {.pool = op->pool, .changes = changes, .nchanges = 1, .rec = &op->rec};
		rc = daxl_commit(&commit, &op->credit);
	}
	if (rc)
		daxl_change_abort(&op->change);
	daxl_record_free(&op->rec);
	daxl_mutex_unlock(&ino->mutex);
	if (op->credit)
		daxl_credit_give(op->pool);
	return rc;
}

/* New blocks for [at, at + len), each run at most piece blocks long. */
static inline int file_map(struct daxl_inode *ino, daxl_fblk_t at, daxl_nblk_t len, uint32_t flags, daxl_nblk_t piece)
{
	struct daxl_blkrun took[256];
	unsigned ntook = 0;
	struct op op;
	int rc = op_begin(&op, ino, DAXL_REC_MAP);

	if (rc)
		return rc;
	rc = daxl_space_reserve(op.pool->space, DAXL_SPACE_DATA, len);
	if (rc)
		return op_end(&op, rc);
	daxl_nblk_t left = len;
	daxl_fblk_t to = at;
	while (left && !rc) {
		struct daxl_blkrun got;
		daxl_nblk_t want = left < piece ? left : piece;

		ck_assert_uint_lt(ntook, 256);
		daxl_space_take(op.pool->space, want, 0, &got);
		took[ntook++] = got;
		struct daxl_run run = {.len = got.len, .blk = got.blk, .flags = flags};
		rc = daxl_edit_set(&op.change.edit, to, &run);
		if (!rc)
			rc = daxl_record_map_edit(&op.rec, to, got.len,
			                          got.blk | (flags & DAXL_RUN_UNWRITTEN ? DAXL_EDIT_UNWRITTEN : 0));
		to += got.len;
		left -= got.len;
	}
	uint64_t end = daxl_blocks_to_bytes(at + len, op.pool->block_shift);
	if (end > op.change.next->size)
		op.change.next->size = end;
	struct daxl_pool *pool = op.pool;
	rc = op_end(&op, rc);
	if (rc) {
		daxl_space_unreserve(pool->space, left);
		for (unsigned i = 0; i < ntook; i++)
			daxl_space_unref(pool->space, took[i].blk, took[i].len);
	}
	return rc;
}

static inline int file_punch(struct daxl_inode *ino, daxl_fblk_t at, daxl_nblk_t len)
{
	const struct daxl_run hole = {.len = len, .flags = DAXL_RUN_HOLE};
	struct op op;
	int rc = op_begin(&op, ino, DAXL_REC_MAP);

	if (rc)
		return rc;
	rc = daxl_edit_set(&op.change.edit, at, &hole);
	return op_end(&op, rc ? rc : daxl_record_map_edit(&op.rec, at, len, DAXL_EDIT_HOLE));
}

static inline int file_convert(struct daxl_inode *ino, daxl_fblk_t at, daxl_nblk_t len)
{
	struct op op;
	int rc = op_begin(&op, ino, DAXL_REC_MAP);

	if (rc)
		return rc;
	rc = daxl_edit_convert(&op.change.edit, at, len);
	return op_end(&op, rc ? rc : daxl_record_map_edit(&op.rec, at, len, DAXL_EDIT_CONVERT));
}

static inline int file_truncate(struct daxl_inode *ino, uint64_t size)
{
	struct op op;
	int rc = op_begin(&op, ino, DAXL_REC_TRUNCATE);

	if (rc)
		return rc;
	op.change.next->size = size;
	return op_end(&op, daxl_edit_cut(&op.change.edit, daxl_bytes_to_blocks_up(size, op.pool->block_shift)));
}

static inline int file_shift(struct daxl_inode *ino, daxl_fblk_t at, daxl_nblk_t len, bool insert)
{
	struct op op;
	int rc = op_begin(&op, ino, insert ? DAXL_REC_INSERT : DAXL_REC_COLLAPSE);

	if (rc)
		return rc;
	rc = insert ? daxl_edit_insert(&op.change.edit, at, len) : daxl_edit_remove(&op.change.edit, at, len);
	op.change.next->size = daxl_blocks_to_bytes(daxl_rope_len(op.change.edit.root), op.pool->block_shift);
	return op_end(&op, rc ? rc : daxl_record_map_edit(&op.rec, at, len, 0));
}

struct pair {
	struct daxl_change a, b;
	bool credit, one;
};

static inline int pair_begin(struct pair *pair, struct daxl_inode *a, struct daxl_inode *b)
{
	int rc = daxl_credit_take(a->pool, DAXL_NEED_GROW);
	if (rc)
		return rc;
	pair->credit = true;
	pair->one = a == b;
	if (pair->one)
		daxl_mutex_lock(&a->mutex);
	else if (a->id < b->id)
		daxl_mutex_lock_pair(&a->mutex, &b->mutex);
	else
		daxl_mutex_lock_pair(&b->mutex, &a->mutex);
	must(daxl_change_begin(&pair->a, a, true));
	if (!pair->one)
		must(daxl_change_begin(&pair->b, b, true));
	return 0;
}

static inline int pair_commit(struct pair *pair, unsigned type, const struct daxl_md_rec_two *two, bool only_b)
{
	struct daxl_inode *a = pair->a.ino, *b = pair->one ? a : pair->b.ino;
	struct daxl_change *changes[] = {&pair->a, &pair->b};
	struct daxl_record rec;

	daxl_record_init(&rec, type);
	must(daxl_record_put(&rec, two, sizeof(*two)));
	struct daxl_commit commit = {.pool = a->pool,
	                             .changes = only_b ? &changes[1] : changes,
	                             .nchanges = only_b || pair->one ? 1 : 2,
	                             .rec = &rec};
	if (only_b)
		daxl_change_abort(&pair->a);
	must(daxl_commit(&commit, &pair->credit));
	if (pair->one)
		daxl_mutex_unlock(&a->mutex);
	else if (a->id < b->id)
		daxl_mutex_unlock_pair(&a->mutex, &b->mutex);
	else
		daxl_mutex_unlock_pair(&b->mutex, &a->mutex);
	return 0;
}

static inline int image_ref_run(daxl_fblk_t at, const struct daxl_run *run, void *arg)
{
	struct daxl_inode *const *dst_at = arg;
	(void)at;
	return run->flags & DAXL_RUN_HOLE ? 0 : daxl_space_ref((*dst_at)->pool->space, run->blk, run->len);
}

/* Two different files; the destination range must be empty before. */
static inline int file_clone(struct daxl_inode *src, daxl_fblk_t src_at, struct daxl_inode *dst, daxl_fblk_t dst_at,
                             daxl_nblk_t len)
{
	struct pair pair;
	int rc = pair_begin(&pair, src, dst);

	if (rc)
		return rc;
	must(daxl_rope_walk(src->version->root, src_at, src_at + len, image_ref_run, &src));
	must(daxl_edit_copy(&pair.b.edit, dst_at, src->version->root, src_at, len));
	uint64_t end = daxl_blocks_to_bytes(dst_at + len, src->pool->block_shift);
	if (end > pair.b.next->size)
		pair.b.next->size = end;
	struct daxl_md_rec_two two = {.src = src->id,
	                              .dst = dst->id,
	                              .src_fblk = src_at,
	                              .dst_fblk = dst_at,
	                              .len = len,
	                              .src_size = src->version->size,
	                              .dst_size = pair.b.next->size,
	                              .time_ns = pair.b.next->ctime_ns};
	return pair_commit(&pair, DAXL_REC_CLONE, &two, true);
}

static inline int file_exchange(struct daxl_inode *a, daxl_fblk_t a_at, struct daxl_inode *b, daxl_fblk_t b_at,
                                daxl_nblk_t len)
{
	struct pair pair;
	int rc = pair_begin(&pair, a, b);

	if (rc)
		return rc;
	must(daxl_edit_exchange(&pair.a.edit, a_at, pair.one ? &pair.a.edit : &pair.b.edit, b_at, len));
	if (!pair.one)
		pair.b.next->mtime_ns = pair.b.next->ctime_ns = pair.a.next->ctime_ns;
	struct daxl_md_rec_two two = {.src = a->id,
	                              .dst = b->id,
	                              .src_fblk = a_at,
	                              .dst_fblk = b_at,
	                              .len = len,
	                              .src_size = a->version->size,
	                              .dst_size = b->version->size,
	                              .time_ns = pair.a.next->ctime_ns};
	return pair_commit(&pair, DAXL_REC_EXCHANGE, &two, false);
}

static inline int file_setattr(struct daxl_inode *ino, const char *key, const void *value, size_t len)
{
	struct daxl_change change, *changes[] = {&change};
	struct daxl_attrs *attrs;
	struct daxl_record rec;
	bool credit = true;
	int rc = daxl_credit_take(ino->pool, DAXL_NEED_GROW);

	if (rc)
		return rc;
	daxl_mutex_lock(&ino->mutex);
	must(daxl_attrs_with(ino->version->attrs, key, strlen(key), value, len, &attrs));
	must(daxl_change_begin(&change, ino, false));
	change.next->generation = change.old->generation;
	struct daxl_md_rec_attr head = {.id = ino->id,
	                                .time_ns = change.next->ctime_ns,
	                                .key_len = (uint8_t)strlen(key),
	                                .removed = !value,
	                                .value_len = (uint16_t)len};
	daxl_record_init(&rec, DAXL_REC_ATTR);
	must(daxl_record_put(&rec, &head, sizeof(head)));
	must(daxl_record_put(&rec, key, strlen(key)));
	if (len)
		must(daxl_record_put(&rec, value, len));
	change.next->attrs = attrs;
	struct daxl_commit commit = {.pool = ino->pool, .changes = changes, .nchanges = 1, .rec = &rec};
	must(daxl_commit(&commit, &credit));
	daxl_record_free(&rec);
	daxl_mutex_unlock(&ino->mutex);
	return 0;
}

/* --- what a pool holds, as text --- */

struct text {
	char *bytes;
	size_t len, cap;
};

DAXL_PRINTF(2, 3) static inline void text_add(struct text *text, const char *fmt, ...)
{
	va_list ap;

	if (text->cap - text->len < 1024) {
		text->cap = text->cap * 2 + 4096;
		text->bytes = realloc(text->bytes, text->cap);
		ck_assert_ptr_nonnull(text->bytes);
	}
	va_start(ap, fmt);
	text->len += (size_t)vsnprintf(text->bytes + text->len, text->cap - text->len, fmt, ap);
	va_end(ap);
}

static inline int text_run(daxl_fblk_t at, const struct daxl_run *run, void *arg)
{
	text_add(arg, " %" PRIu64 "+%" PRIu64 "@%" PRIu64 "/%u", at, run->len, run->blk, run->flags);
	return 0;
}

struct inode_list {
	struct daxl_inode **inos;
	size_t n;
};

static inline void inode_collect(struct daxl_inode *ino, void *arg)
{
	struct inode_list *list = arg;

	if (!ino->name) /* what a reopen does not bring back */
		return;
	if ((list->n & (list->n - 1)) == 0) /* 0 or a power of two: full */
		list->inos = realloc(list->inos, (list->n ? list->n * 2 : 1) * sizeof(struct daxl_inode *));
	ck_assert_ptr_nonnull(list->inos);
	list->inos[list->n++] = ino;
}

static inline int inode_order(const void *a, const void *b)
{
	uint32_t x = (*(struct daxl_inode *const *)a)->id, y = (*(struct daxl_inode *const *)b)->id;
	return x < y ? -1 : x > y;
}

/* Every named file: id, name, size, times, map, attributes. To be freed. Nothing else may be going on. */
static inline char *pool_text(struct daxl_pool *pool)
{
	struct inode_list list = {0};
	struct text text = {0};

	daxl_ids_each(pool, inode_collect, &list);
	if (list.n)
		qsort(list.inos, list.n, sizeof(struct daxl_inode *), inode_order);
	text_add(&text, "files %" PRIu64 "\n", pool->files);
	for (size_t i = 0; i < list.n; i++) {
		const struct daxl_version *v = list.inos[i]->version;

		must(daxl_rope_verify(v->root));
		text_add(&text,
		         "%u '%s' size %" PRIu64 " gen %" PRIu64 " times %" PRIu64 " %" PRIu64 " %" PRIu64
		         " runs %" PRIu64 " blocks %" PRIu64 " damaged %d:",
		         list.inos[i]->id, v->name->bytes, v->size, v->generation, list.inos[i]->btime_ns, v->mtime_ns,
		         v->ctime_ns, daxl_rope_runs(v->root), daxl_rope_blocks(v->root), v->damaged);
		daxl_rope_walk(v->root, 0, DAXL_FBLK_INF, text_run, &text);
		for (unsigned k = 0; v->attrs && k < v->attrs->len; k++)
			text_add(&text, "%s%02x", k ? "" : " attrs ", v->attrs->bytes[k]);
		text_add(&text, "\n");
	}
	free(list.inos);
	return text.bytes;
}

static inline void texts_equal(const char *was, const char *is, const char *when)
{
	size_t at = 0, line = 0;

	if (strcmp(was, is) == 0)
		return;
	for (; was[at] && was[at] == is[at]; at++)
		if (was[at] == '\n')
			line = at + 1;
	ck_abort_msg("%s: the files differ:\n  was %.300s\n  is  %.300s", when, was + line, is + line);
}

/* Each test is a case of its own, so that CK_RUN_CASE can choose one. */
static inline void test_add(Suite *suite, const char *name, const TTest *test)
{
	TCase *tc = tcase_create(name);

	tcase_set_timeout(tc, 600);
	tcase_add_test(tc, test);
	suite_add_tcase(suite, tc);
}

/* The seed of random tests: DAXL_SEED or the clock; printed. */
static inline uint64_t test_seed(const char *test)
{
	const char *env = getenv("DAXL_SEED");
	uint64_t seed = env ? strtoull(env, NULL, 0) : 0;

	if (!env) {
		struct timespec ts;
		clock_gettime(CLOCK_REALTIME, &ts);
		seed = (uint64_t)ts.tv_sec * 1000003u ^ (uint64_t)ts.tv_nsec;
	}
	fprintf(stderr, "%s: DAXL_SEED=%" PRIu64 "\n", test, seed);
	return seed;
}

static inline uint64_t test_random(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

#endif
