/* SPDX-License-Identifier: BSD-3-Clause */
/* The commit path: what is durable when, what is published when, and what is freed when. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "base/hook.h"
#include "file/names.h"

#define POOL_BYTES ((size_t)16 << 20)

/* A pool over memory that a crash can copy. */
struct box {
	char *mem;
	size_t size;
	struct daxl_pool *pool;
};

static void box_load(struct box *box)
{
	struct daxl_media *media;
	ck_assert_int_eq(daxl_media_open_memory(box->mem, box->size, false, &media), 0);
	int rc = daxl_pool_load_media(media, NULL, &box->pool);
	ck_assert_msg(rc == 0, "%d: %s", rc, daxl_error_last());
}

static struct box box_new(size_t size)
{
	struct box box = {.size = size};
	struct daxl_media *media;
	ck_assert_int_eq(posix_memalign((void **)&box.mem, 4096, size), 0);
	memset(box.mem, 0, size);
	ck_assert_int_eq(daxl_media_open_memory(box.mem, size, false, &media), 0);
	int rc = daxl_pool_make_media(media, size, NULL, &box.pool);
	ck_assert_msg(rc == 0, "%d: %s", rc, daxl_error_last());
	return box;
}

static struct box box_crash(const struct box *box)
{
	struct box copy = {.size = box->size};
	ck_assert_int_eq(posix_memalign((void **)&copy.mem, 4096, copy.size), 0);
	memcpy(copy.mem, box->mem, copy.size);
	box_load(&copy);
	return copy;
}

static void box_free(struct box *box)
{
	int rc = daxl_pool_end(box->pool);
	ck_assert_msg(rc == 0, "%d: %s", rc, daxl_error_last());
	free(box->mem);
}

static struct daxl_inode *create(struct box *box, const char *name)
{
	struct daxl_inode *ino;
	int rc = daxl_inode_create(box->pool, name, strlen(name), &ino);
	ck_assert_msg(rc == 0, "%d: %s", rc, daxl_error_last());
	return ino;
}

static daxl_nblk_t free_blocks(const struct daxl_pool *pool)
{
	struct daxl_space_stat stat;
	daxl_space_stat(pool->space, &stat);
	return stat.free;
}

static uint64_t credit_out(const struct daxl_pool *pool)
{
	struct daxl_log_stat stat;
	daxl_log_stat(pool->log, &stat);
	return stat.credit_out;
}

static int same(daxl_fblk_t at, const struct daxl_run *run, void *arg)
{
	struct daxl_run there;
	daxl_rope_lookup(arg, at, &there);
	ck_assert_uint_eq(there.blk, run->blk);
	ck_assert_uint_eq(there.flags, run->flags);
	ck_assert_uint_ge(there.len, run->len);
	return 0;
}

static void assert_same_map(const struct daxl_version *a, const struct daxl_version *b)
{
	ck_assert_uint_eq(a->size, b->size);
	ck_assert_uint_eq(a->generation, b->generation);
	ck_assert_uint_eq(a->mtime_ns, b->mtime_ns);
	ck_assert_uint_eq(a->ctime_ns, b->ctime_ns);
	ck_assert_uint_eq(daxl_rope_runs(a->root), daxl_rope_runs(b->root));
	ck_assert_uint_eq(daxl_rope_blocks(a->root), daxl_rope_blocks(b->root));
	ck_assert_uint_eq(daxl_rope_len(a->root), daxl_rope_len(b->root));
	ck_assert_int_eq(daxl_rope_walk(a->root, 0, DAXL_FBLK_INF, same, b->root), 0);
}

/* A change of one file on its way: n blocks, each its own run, at every second block from at on. */
struct work {
	struct daxl_pool *pool;
	struct daxl_change change;
	struct daxl_record rec;
	struct daxl_change *changes[1];
	struct daxl_commit commit;
	bool credit;
	daxl_nblk_t taken, reserved;
	struct daxl_blkrun *runs;
};

static int work_begin(struct work *work, struct daxl_inode *ino, daxl_fblk_t at, size_t n)
{
	memset(work, 0, sizeof(*work));
	work->pool = ino->pool;
	int rc = daxl_credit_take(ino->pool, DAXL_NEED_GROW);
	if (rc < 0)
		return rc;
	work->credit = true;
	daxl_mutex_lock(&ino->mutex);
	daxl_record_init(&work->rec, DAXL_REC_MAP);
	rc = daxl_change_begin(&work->change, ino, true);
	if (rc < 0)
		goto unlock;
	work->runs = calloc(n, sizeof(*work->runs));
	ck_assert_ptr_nonnull(work->runs);
	rc = daxl_space_reserve(ino->pool->space, DAXL_SPACE_DATA, n);
	if (rc == 0) {
		work->reserved = n;
		rc = daxl_record_map_begin(&work->rec, DAXL_REC_MAP, ino->id);
	}
	for (size_t i = 0; i < n && rc == 0; i++) {
		daxl_space_take(ino->pool->space, 1, 0, &work->runs[i]);
		work->taken++;
		work->reserved--;
		const struct daxl_run run = {.len = 1, .blk = work->runs[i].blk};
		rc = daxl_edit_set(&work->change.edit, at + 2 * i, &run);
		if (rc == 0)
			rc = daxl_record_map_edit(&work->rec, at + 2 * i, 1, run.blk);
	}
	if (rc < 0)
		goto abort;
	work->change.next->size = daxl_max_u64(work->change.old->size, (at + 2 * n) * 4096);
	daxl_record_map_finish(&work->rec, work->change.next->size, work->change.next->ctime_ns);
	work->changes[0] = &work->change;
	work->commit = (struct daxl_commit){
		.pool = ino->pool, .changes = work->changes, .nchanges = 1, .rec = &work->rec};
	return 0;
abort:
	daxl_change_abort(&work->change);
	for (size_t i = 0; i < work->taken; i++)
		daxl_space_unref(ino->pool->space, work->runs[i].blk, 1);
	daxl_space_unreserve(ino->pool->space, work->reserved);
	free(work->runs);
unlock:
	daxl_record_free(&work->rec);
	daxl_mutex_unlock(&ino->mutex);
	daxl_credit_give(ino->pool);
	return rc;
}

static int work_end(struct work *work, int rc)
{
	if (rc < 0) {
		daxl_change_abort(&work->change);
		for (size_t i = 0; i < work->taken; i++)
			daxl_space_unref(work->pool->space, work->runs[i].blk, 1);
	}
	daxl_mutex_unlock(&work->change.ino->mutex);
	free(work->runs);
	daxl_record_free(&work->rec);
	if (work->credit)
		daxl_credit_give(work->pool);
	return rc;
}

static int map_blocks(struct daxl_inode *ino, daxl_fblk_t at, size_t n)
{
	struct work work;
	int rc = work_begin(&work, ino, at, n);
	if (rc < 0)
		return rc;
	return work_end(&work, daxl_commit(&work.commit, &work.credit));
}

static int too_late(void *arg)
{
	(void)arg;
	return -EINTR;
}

/* As map_blocks, but the change's late edit fails. */
static int map_too_late(struct daxl_inode *ino, daxl_fblk_t at, size_t n)
{
	struct work work;
	ck_assert_int_eq(work_begin(&work, ino, at, n), 0);
	work.commit.late = too_late;
	return work_end(&work, daxl_commit(&work.commit, &work.credit));
}

/* Drops everything from block at on. */
static int cut_file(struct daxl_inode *ino, daxl_fblk_t at)
{
	struct daxl_change change;
	struct daxl_record rec;
	struct daxl_change *changes[] = {&change};
	struct daxl_commit commit = {.pool = ino->pool, .changes = changes, .nchanges = 1, .rec = &rec};
	bool credit = true;
	ck_assert_int_eq(daxl_credit_take(ino->pool, DAXL_NEED_GROW), 0);
	daxl_mutex_lock(&ino->mutex);
	ck_assert_int_eq(daxl_change_begin(&change, ino, true), 0);
	ck_assert_int_eq(daxl_record_map_begin(&rec, DAXL_REC_TRUNCATE, ino->id), 0);
	ck_assert_int_eq(daxl_edit_cut(&change.edit, at), 0);
	change.next->size = at * 4096;
	daxl_record_map_finish(&rec, change.next->size, change.next->ctime_ns);
	int rc = daxl_commit(&commit, &credit);
	if (rc < 0)
		daxl_change_abort(&change);
	daxl_mutex_unlock(&ino->mutex);
	daxl_record_free(&rec);
	if (credit)
		daxl_credit_give(ino->pool);
	return rc;
}

/* --- one commit --- */

struct trace {
	unsigned fences, stores, in_place_stores, in_place_fences, published_fences;
	const struct daxl_inode *ino;
	const struct daxl_version *seen;
	uint64_t moved;
};

static void observe(struct daxl_media *media, enum daxl_media_event event, const void *addr, const void *src,
                    size_t len, void *arg)
{
	struct trace *trace = arg;
	(void)media;
	(void)addr;
	(void)src;
	(void)len;
	if (event == DAXL_MEDIA_EV_FENCE)
		trace->fences++;
	else if (event == DAXL_MEDIA_EV_STORE)
		trace->stores++;
}

static void in_place(void *arg)
{
	struct trace *trace = arg;
	trace->in_place_stores = trace->stores;
	trace->in_place_fences = trace->fences;
}

static void published(void *arg)
{
	struct trace *trace = arg;
	trace->published_fences = trace->fences;
	trace->seen = trace->ino->version;
	trace->moved = trace->ino->moved;
}

static void commit_traced(struct box *box, size_t n, unsigned fences)
{
	struct daxl_inode *ino = create(box, "a");
	struct trace trace = {.ino = ino};
	struct work work;
	ck_assert_int_eq(work_begin(&work, ino, 0, n), 0);
	const struct daxl_version *next = work.change.next;
	work.change.moves = true;
	work.commit.in_place = in_place;
	work.commit.arg = &trace;
	work.commit.published = published;
	work.commit.published_arg = &trace;
	daxl_media_observe(observe, &trace);
	int rc = daxl_commit(&work.commit, &work.credit);
	daxl_media_observe(NULL, NULL);
	ck_assert_int_eq(work_end(&work, rc), 0);
	ck_assert(!work.credit);
	ck_assert_uint_eq(trace.fences, fences);
	ck_assert_uint_ge(trace.in_place_stores, fences);
	ck_assert_uint_eq(trace.in_place_fences, fences - 1);
	ck_assert_uint_eq(trace.published_fences, fences);
	ck_assert_ptr_eq(trace.seen, next);
	ck_assert_uint_eq(ino->moved, 2);
	ck_assert_uint_eq(ino->version->generation, 2);
	ck_assert_uint_eq(daxl_rope_blocks(ino->version->root), n);
	ck_assert_uint_eq(daxl_rope_runs(ino->version->root), n * 2 - 1);
	ck_assert_uint_eq(credit_out(box->pool), 0);
	daxl_inode_put(ino);
}

START_TEST(a_commit_is_one_fence_and_publishes_after_it)
{
	struct box box = box_new(POOL_BYTES);
	commit_traced(&box, 1, 1);
	box_free(&box);
}
END_TEST

START_TEST(a_long_record_has_its_payload_durable_before_it)
{
	struct box box = box_new(POOL_BYTES);
	commit_traced(&box, 1000, 2);
	box_free(&box);
}
END_TEST

START_TEST(what_a_returned_commit_says_is_there_after_a_crash)
{
	struct box box = box_new(POOL_BYTES);
	struct daxl_inode *ino = create(&box, "a");
	ck_assert_int_eq(map_blocks(ino, 0, 1), 0);
	ck_assert_int_eq(map_blocks(ino, 10, 5), 0);
	ck_assert_int_eq(map_blocks(ino, 1000, 700), 0);
	ck_assert_int_eq(cut_file(ino, 1500), 0);
	struct box copy = box_crash(&box);
	struct daxl_inode *other = daxl_inode_get(copy.pool, "a", 1);
	ck_assert_ptr_nonnull(other);
	assert_same_map(ino->version, other->version);
	daxl_inode_put(other);
	/* The first checkpoint after recovery lets go of the payload pages: a second crash has the same. */
	struct box again = box_crash(&copy);
	other = daxl_inode_get(again.pool, "a", 1);
	assert_same_map(ino->version, other->version);
	daxl_inode_put(other);
	box_free(&again);
	box_free(&copy);
	daxl_inode_put(ino);
	box_free(&box);
}
END_TEST

/* Of one slot, of several, and with payload pages, which are for what is known before the record. */
START_TEST(a_late_edit_that_fails_leaves_a_record_that_says_nothing)
{
	static const size_t edits[] = {1, 10, 100};
	struct box box = box_new(POOL_BYTES);
	struct daxl_inode *ino = create(&box, "a");
	ck_assert_int_eq(map_blocks(ino, 0, 1), 0);
	for (size_t i = 0; i < DAXL_ARRAY_LEN(edits); i++) {
		const struct daxl_version *version = ino->version;
		daxl_nblk_t blocks = free_blocks(box.pool);
		ck_assert_int_eq(map_too_late(ino, 101, edits[i]), -EINTR);
		ck_assert_ptr_eq(ino->version, version);
		ck_assert_uint_eq(free_blocks(box.pool), blocks);
		ck_assert_uint_eq(credit_out(box.pool), 0);
		for (unsigned round = 0; round < 2; round++) {
			struct box copy = box_crash(&box);
			struct daxl_inode *other = daxl_inode_get(copy.pool, "a", 1);
			assert_same_map(ino->version, other->version);
			daxl_inode_put(other);
			box_free(&copy);
			ck_assert_int_eq(map_blocks(ino, 1001 + 2 * i, 1), 0); /* and what follows it counts */
		}
	}
	daxl_inode_put(ino);
	box_free(&box);
}
END_TEST

START_TEST(an_aborted_change_leaves_nothing_behind)
{
	struct box box = box_new(POOL_BYTES);
	struct daxl_inode *ino = create(&box, "a");
	ck_assert_int_eq(map_blocks(ino, 0, 300), 0);
	while (daxl_wait_for_frees(box.pool))
		;
	const struct daxl_version *version = ino->version;
	uint64_t nodes = daxl_slab_bytes(box.pool->slab);
	daxl_nblk_t blocks = free_blocks(box.pool);
	struct work work;
	ck_assert_int_eq(work_begin(&work, ino, 101, 200), 0);
	ck_assert_int_eq(work_end(&work, -EINTR), -EINTR);
	ck_assert_ptr_eq(ino->version, version);
	ck_assert_uint_eq(daxl_slab_bytes(box.pool->slab), nodes);
	ck_assert_uint_eq(free_blocks(box.pool), blocks);
	ck_assert_uint_eq(credit_out(box.pool), 0);
	daxl_inode_put(ino);
	box_free(&box);
}
END_TEST

START_TEST(a_lease_commits_with_the_slots_it_kept)
{
	struct box box = box_new(POOL_BYTES);
	struct daxl_inode *ino = create(&box, "a");
	struct work work;
	for (size_t n = 1; n <= 40; n += 13) {
		ck_assert_int_eq(work_begin(&work, ino, 100 * n, n), 0);
		/* Credit changes hands: 2 slots stay, 6 go back. Longer records go to a page. */
		unsigned slots = 2;
		daxl_log_credit_give(box.pool->log, DAXL_REC_SLOTS_MAX - slots);
		work.credit = false;
		ck_assert_int_eq(work_end(&work, daxl_commit_with(&work.commit, &slots)), 0);
		ck_assert_uint_eq(slots, 1);
		daxl_log_credit_give(box.pool->log, slots);
	}
	ck_assert_uint_eq(credit_out(box.pool), 0);
	struct box copy = box_crash(&box);
	struct daxl_inode *other = daxl_inode_get(copy.pool, "a", 1);
	assert_same_map(ino->version, other->version);
	daxl_inode_put(other);
	box_free(&copy);
	daxl_inode_put(ino);
	box_free(&box);
}
END_TEST

START_TEST(the_log_goes_round_as_often_as_it_likes)
{
	struct box box = box_new(POOL_BYTES);
	struct daxl_inode *ino = create(&box, "a");
	for (unsigned i = 0; i < 20000; i++) {
		int rc = map_blocks(ino, i % 500, 1 + i % 3);
		/* Blocks may be replaced faster than the grace period gives them back; one wait is enough then. */
		if (rc == -ENOSPC && daxl_wait_for_frees(box.pool))
			rc = map_blocks(ino, i % 500, 1 + i % 3);
		ck_assert_msg(rc == 0, "%u: %d: %s", i, rc, daxl_error_last());
		if (i % 1000 == 999)
			ck_assert_int_eq(cut_file(ino, 100), 0);
	}
	struct daxl_pool_stat stat;
	daxl_pool_fill_stat(box.pool, &stat);
	ck_assert_uint_ge(stat.checkpoints, 5);
	struct box copy = box_crash(&box);
	struct daxl_inode *other = daxl_inode_get(copy.pool, "a", 1);
	assert_same_map(ino->version, other->version);
	daxl_inode_put(other);
	box_free(&copy);
	daxl_inode_put(ino);
	box_free(&box);
}
END_TEST

/* --- what is freed when --- */

START_TEST(blocks_come_back_after_the_grace_period_not_before)
{
	struct box box = box_new(POOL_BYTES);
	struct daxl_inode *ino = create(&box, "a");
	ck_assert_int_eq(map_blocks(ino, 0, 100), 0);
	while (daxl_wait_for_frees(box.pool))
		;
	daxl_nblk_t mapped = free_blocks(box.pool);
	daxl_rcu_read_lock();
	ck_assert_int_eq(cut_file(ino, 0), 0);
	struct daxl_pool_stat stat;
	daxl_pool_fill_stat(box.pool, &stat);
	ck_assert_uint_eq(stat.pending_blocks, 100);
	ck_assert_uint_eq(free_blocks(box.pool), mapped);
	daxl_rcu_read_unlock();
	while (daxl_wait_for_frees(box.pool))
		;
	ck_assert_uint_eq(free_blocks(box.pool), mapped + 100);
	daxl_pool_fill_stat(box.pool, &stat);
	ck_assert_uint_eq(stat.pending_blocks, 0);
	daxl_inode_put(ino);
	box_free(&box);
}
END_TEST

static void set_ckpt_active(struct daxl_pool *pool, bool active)
{
	daxl_mutex_lock(&pool->retire_mutex);
	pool->ckpt_active = active;
	daxl_mutex_unlock(&pool->retire_mutex);
}

START_TEST(while_a_checkpoint_runs_blocks_come_back_and_nodes_wait)
{
	struct box box = box_new(POOL_BYTES);
	struct daxl_inode *ino = create(&box, "a");
	while (daxl_wait_for_frees(box.pool))
		;
	uint64_t version = daxl_slab_bytes(box.pool->slab); /* of a file without blocks: its version alone */
	ck_assert_int_eq(map_blocks(ino, 0, 500), 0);
	ck_assert_int_eq(daxl_ckpt_run(box.pool, false, 0), 0);
	while (daxl_wait_for_frees(box.pool))
		;
	daxl_nblk_t mapped = free_blocks(box.pool);
	uint64_t nodes = daxl_slab_bytes(box.pool->slab);
	set_ckpt_active(box.pool, true);
	ck_assert_int_eq(cut_file(ino, 0), 0);
	while (daxl_wait_for_frees(box.pool))
		;
	ck_assert_uint_eq(free_blocks(box.pool), mapped + 500);
	ck_assert_uint_ge(daxl_slab_bytes(box.pool->slab), nodes);
	ck_assert_ptr_nonnull(box.pool->retired_wait);
	set_ckpt_active(box.pool, false);
	daxl_retire_flush(box.pool);
	ck_assert_uint_eq(daxl_slab_bytes(box.pool->slab), version);
	/* The nodes' pages are the last checkpoint's; the next one lets go of them. */
	ck_assert_int_eq(daxl_ckpt_run(box.pool, false, 0), 0);
	ck_assert_uint_gt(free_blocks(box.pool), mapped + 500);
	daxl_inode_put(ino);
	box_free(&box);
}
END_TEST

START_TEST(a_deleted_file_gives_everything_back)
{
	struct box box = box_new(POOL_BYTES);
	ck_assert_int_eq(daxl_ckpt_run(box.pool, false, 0), 0);
	daxl_nblk_t before = free_blocks(box.pool);
	struct daxl_inode *ino = create(&box, "a");
	while (daxl_wait_for_frees(box.pool))
		;
	uint64_t version = daxl_slab_bytes(box.pool->slab); /* of a file without blocks: its version alone */
	ck_assert_int_eq(map_blocks(ino, 0, 900), 0);
	ck_assert_int_eq(map_blocks(ino, 1, 900), 0);
	ck_assert_int_eq(daxl_ckpt_run(box.pool, false, 0), 0);
	ck_assert_int_eq(daxl_names_unlink(box.pool, "a", 1), 0);
	ck_assert(ino->version->deleted);
	ck_assert_ptr_null(ino->version->root);
	struct daxl_change change;
	daxl_mutex_lock(&ino->mutex);
	ck_assert_int_eq(daxl_change_begin(&change, ino, true), -ESTALE);
	daxl_mutex_unlock(&ino->mutex);
	daxl_inode_put(ino);
	while (daxl_wait_for_frees(box.pool))
		;
	ck_assert_uint_eq(daxl_slab_bytes(box.pool->slab), version);
	for (unsigned i = 0; i < 2; i++)
		ck_assert_int_eq(daxl_ckpt_run(box.pool, false, 0), 0);
	ck_assert_uint_eq(free_blocks(box.pool), before);
	ck_assert_uint_eq(box.pool->ids, 0);
	box_free(&box);
}
END_TEST

START_TEST(a_file_can_be_deleted_when_the_pool_is_full)
{
	struct box box = box_new(POOL_BYTES);
	struct daxl_inode *ino = create(&box, "a");
	daxl_fblk_t at = 0;
	int rc;
	while ((rc = map_blocks(ino, at, 200)) == 0)
		at += 1000;
	ck_assert_int_eq(rc, -ENOSPC);
	while (map_blocks(ino, at, 1) == 0)
		at += 2;
	daxl_inode_put(ino);
	ck_assert_int_eq(daxl_names_unlink(box.pool, "a", 1), 0);
	while (daxl_wait_for_frees(box.pool))
		;
	ck_assert_int_eq(daxl_ckpt_run(box.pool, false, 0), 0);
	ino = create(&box, "b");
	ck_assert_int_eq(map_blocks(ino, 0, 2000), 0);
	daxl_inode_put(ino);
	box_free(&box);
}
END_TEST

/* --- without memory or room --- */

struct nth {
	unsigned left;
	bool fired;
};

static bool fail_nth(const char *point, void *arg)
{
	struct nth *nth = arg;
	(void)point;
	if (nth->fired || nth->left-- != 0)
		return false;
	nth->fired = true;
	return true;
}

START_TEST(a_commit_that_lacks_memory_changes_nothing)
{
	struct box box = box_new(POOL_BYTES);
	struct daxl_inode *ino = create(&box, "a");
	ck_assert_int_eq(map_blocks(ino, 0, 200), 0);
	while (daxl_wait_for_frees(box.pool))
		;
	for (size_t n = 1; n <= 300; n += 299) {
		for (unsigned left = 0;; left++) {
			ck_assert_uint_lt(left, 1000);
			const struct daxl_version *version = ino->version;
			uint64_t nodes = daxl_slab_bytes(box.pool->slab);
			daxl_nblk_t blocks = free_blocks(box.pool);
			struct nth nth = {.left = left};
			daxl_fault_set(fail_nth, &nth);
			int rc = map_blocks(ino, 1001, n);
			daxl_fault_set(NULL, NULL);
			ck_assert_uint_eq(credit_out(box.pool), 0);
			if (rc == 0)
				break;
			ck_assert(nth.fired);
			ck_assert_ptr_eq(ino->version, version);
			ck_assert_uint_eq(daxl_slab_bytes(box.pool->slab), nodes);
			ck_assert_uint_eq(free_blocks(box.pool), blocks);
		}
		while (daxl_wait_for_frees(box.pool))
			;
	}
	daxl_inode_put(ino);
	box_free(&box);
}
END_TEST

static sem_t parked, go;
static const char *hold_at; /* where the thread that reclaims stops; guarded by the semaphores */

static void hold_worker(const char *point, void *arg)
{
	(void)arg;
	const char *at = __atomic_load_n(&hold_at, __ATOMIC_ACQUIRE);
	if (at != NULL && strcmp(point, at) == 0) {
		sem_post(&parked);
		while (sem_wait(&go) != 0)
			;
	}
}

/* The worker goes on, and stops at point next (NULL: nowhere). */
static void let_go(const char *point)
{
	__atomic_store_n(&hold_at, point, __ATOMIC_RELEASE);
	sem_post(&go);
	while (point != NULL && sem_wait(&parked) != 0)
		;
}

START_TEST(the_more_versions_are_replaced_the_sooner_they_are_freed)
{
	struct box box = box_new(POOL_BYTES);
	struct daxl_inode *ino = create(&box, "a");
	ck_assert_int_eq(map_blocks(ino, 0, 100), 0);
	while (daxl_wait_for_frees(box.pool))
		;
	daxl_nblk_t before = free_blocks(box.pool);
	sem_init(&parked, 0, 0);
	sem_init(&go, 0, 0);
	__atomic_store_n(&hold_at, "retire:batch", __ATOMIC_RELEASE);
	daxl_hook_set(hold_worker, NULL);
	ck_assert_int_eq(cut_file(ino, 198), 0); /* every second block is mapped */
	while (sem_wait(&parked) != 0)
		;
	ck_assert_uint_eq(free_blocks(box.pool), before + 1);
	for (unsigned i = 1; i <= 50; i++)
		ck_assert_int_eq(cut_file(ino, 198 - 2 * i), 0);
	let_go("retire:nap"); /* fifty are many: it is soon back */
	ck_assert_uint_eq(free_blocks(box.pool), before + 51);
	ck_assert_int_eq(cut_file(ino, 96), 0);
	ck_assert_uint_eq(free_blocks(box.pool), before + 51);
	let_go("retire:doze"); /* one is not */
	ck_assert_uint_eq(free_blocks(box.pool), before + 52);
	let_go(NULL);
	while (daxl_wait_for_frees(box.pool))
		;
	ck_assert_uint_eq(free_blocks(box.pool), before + 52);
	__atomic_store_n(&hold_at, "retire:batch", __ATOMIC_RELEASE);
	ck_assert_int_eq(cut_file(ino, 94), 0);
	while (sem_wait(&parked) != 0)
		;
	let_go(NULL);
	while (daxl_wait_for_frees(box.pool))
		;
	ck_assert_uint_eq(free_blocks(box.pool), before + 53);
	daxl_hook_set(NULL, NULL);
	daxl_inode_put(ino);
	box_free(&box);
}
END_TEST

/* --- threads --- */

static _Thread_local bool park_me;

static void park(const char *point, void *arg)
{
	(void)arg;
	if (park_me && strcmp(point, "commit:ticket") == 0) {
		sem_post(&parked);
		while (sem_wait(&go) != 0)
			;
	}
}

static void *map_parked(void *arg)
{
	park_me = true;
	int rc = map_blocks(arg, 0, 3);
	park_me = false;
	return rc == 0 ? arg : NULL;
}

START_TEST(a_commit_parked_before_its_record_holds_up_nobody_and_is_not_there_after_a_crash)
{
	struct box box = box_new(POOL_BYTES);
	struct daxl_inode *a = create(&box, "a"), *b = create(&box, "b");
	pthread_t thread;
	void *done;
	sem_init(&parked, 0, 0);
	sem_init(&go, 0, 0);
	daxl_hook_set(park, NULL);
	ck_assert_int_eq(pthread_create(&thread, NULL, map_parked, a), 0);
	while (sem_wait(&parked) != 0)
		;
	ck_assert_int_eq(map_blocks(b, 0, 4), 0);
	ck_assert_int_eq(map_blocks(b, 8, 4), 0);
	ck_assert_uint_eq(daxl_rope_blocks(a->version->root), 0);
	struct box copy = box_crash(&box);
	struct box again = box_crash(&copy);
	for (unsigned i = 0; i < 2; i++) {
		struct daxl_pool *pool = i == 0 ? copy.pool : again.pool;
		struct daxl_inode *a2 = daxl_inode_get(pool, "a", 1), *b2 = daxl_inode_get(pool, "b", 1);
		ck_assert_uint_eq(daxl_rope_blocks(a2->version->root), 0);
		assert_same_map(b->version, b2->version);
		daxl_inode_put(a2);
		daxl_inode_put(b2);
	}
	box_free(&again);
	box_free(&copy);
	sem_post(&go);
	pthread_join(thread, &done);
	ck_assert_ptr_eq(done, a);
	daxl_hook_set(NULL, NULL);
	ck_assert_uint_eq(daxl_rope_blocks(a->version->root), 3);
	daxl_inode_put(a);
	daxl_inode_put(b);
	box_free(&box);
}
END_TEST

struct worker {
	struct daxl_inode *ino;
	unsigned seed, rounds;
	int rc;
};

static void *churn(void *arg)
{
	struct worker *worker = arg;
	for (unsigned i = 0; i < worker->rounds && worker->rc == 0; i++) {
		worker->rc = map_blocks(worker->ino, (daxl_fblk_t)(rand_r(&worker->seed) % 400),
		                        1 + (size_t)(rand_r(&worker->seed) % 20));
		if (i % 8 == 7 && worker->rc == 0)
			worker->rc = cut_file(worker->ino, (daxl_fblk_t)(rand_r(&worker->seed) % 100));
		/* Each round replaces blocks faster than a grace period gives them back. */
		if (worker->rc == -ENOSPC && daxl_wait_for_frees(worker->ino->pool))
			worker->rc = 0;
	}
	return NULL;
}

START_TEST(threads_commit_while_checkpoints_run)
{
	struct box box = box_new(POOL_BYTES);
	struct worker worker[2];
	pthread_t thread[2];
	for (unsigned i = 0; i < 2; i++) {
		worker[i] = (struct worker){
			.ino = create(&box, i == 0 ? "a" : "b"), .seed = (unsigned)rand(), .rounds = 2000};
		ck_assert_int_eq(pthread_create(&thread[i], NULL, churn, &worker[i]), 0);
	}
	for (unsigned i = 0; i < 30; i++)
		ck_assert_int_eq(daxl_ckpt_run(box.pool, false, 0), 0);
	for (unsigned i = 0; i < 2; i++) {
		pthread_join(thread[i], NULL);
		ck_assert_int_eq(worker[i].rc, 0);
	}
	struct box copy = box_crash(&box);
	for (unsigned i = 0; i < 2; i++) {
		struct daxl_inode *other = daxl_inode_get(copy.pool, i == 0 ? "a" : "b", 1);
		assert_same_map(worker[i].ino->version, other->version);
		daxl_inode_put(other);
		daxl_inode_put(worker[i].ino);
	}
	box_free(&copy);
	box_free(&box);
}
END_TEST

int main(void)
{
	const char *given = getenv("DAXL_SEED");
	unsigned seed = given != NULL ? (unsigned)strtoul(given, NULL, 0) : (unsigned)time(NULL);
	printf("DAXL_SEED=%u\n", seed);
	srand(seed);
	Suite *s = suite_create("commit");
	TCase *t = tcase_create("commit");
	tcase_set_timeout(t, 120);
	tcase_add_test(t, a_commit_is_one_fence_and_publishes_after_it);
	tcase_add_test(t, a_long_record_has_its_payload_durable_before_it);
	tcase_add_test(t, what_a_returned_commit_says_is_there_after_a_crash);
	tcase_add_test(t, a_late_edit_that_fails_leaves_a_record_that_says_nothing);
	tcase_add_test(t, an_aborted_change_leaves_nothing_behind);
	tcase_add_test(t, a_lease_commits_with_the_slots_it_kept);
	tcase_add_test(t, the_log_goes_round_as_often_as_it_likes);
	suite_add_tcase(s, t);
	t = tcase_create("retire");
	tcase_set_timeout(t, 120);
	tcase_add_test(t, blocks_come_back_after_the_grace_period_not_before);
	tcase_add_test(t, while_a_checkpoint_runs_blocks_come_back_and_nodes_wait);
	tcase_add_test(t, the_more_versions_are_replaced_the_sooner_they_are_freed);
	tcase_add_test(t, a_deleted_file_gives_everything_back);
	tcase_add_test(t, a_file_can_be_deleted_when_the_pool_is_full);
	tcase_add_test(t, a_commit_that_lacks_memory_changes_nothing);
	suite_add_tcase(s, t);
	t = tcase_create("threads");
	tcase_set_timeout(t, 120);
	tcase_add_test(t, a_commit_parked_before_its_record_holds_up_nobody_and_is_not_there_after_a_crash);
	tcase_add_test(t, threads_commit_while_checkpoints_run);
	suite_add_tcase(s, t);
	SRunner *sr = srunner_create(s);
	srunner_set_fork_status(sr, CK_NOFORK);
	srunner_run_all(sr, CK_NORMAL);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
