/* SPDX-License-Identifier: BSD-3-Clause */
/* Checkpoints: what is written comes back, whatever happens meanwhile, and no page is lost or used twice. */
#include <pthread.h>
#include <time.h>

#include "base/spin.h"
#include "image.h"

#define MIB (UINT64_C(1) << 20)

/* Nothing is left that waits for readers. */
static void wait_for_frees(struct daxl_pool *pool)
{
	while (daxl_wait_for_frees(pool))
		;
}

/* Leaves the pool as a crash would and opens what is on the medium. */
static struct daxl_pool *crash(struct daxl_pool *pool, const struct image *image)
{
	daxl_pool_abandon(pool);
	return image_open(image);
}

/*
 * Crash, reopen, clean close, reopen: the files are always those of before. In test builds the last one compares free
 * space with the summary.
 */
static void must_come_back(struct daxl_pool **pool, const struct image *image)
{
	char *was = pool_text(*pool), *is;

	*pool = crash(*pool, image);
	is = pool_text(*pool);
	texts_equal(was, is, "after a crash");
	free(is);
	must(daxl_pool_end(*pool));
	*pool = image_open(image);
	is = pool_text(*pool);
	texts_equal(was, is, "after a clean close");
	free(is);
	free(was);
}

START_TEST(an_empty_pool_comes_back)
{
	struct image image;

	image_make(&image, 8 * MIB, 4096, 0);
	struct daxl_pool *pool = image_open(&image);
	must_come_back(&pool, &image);
	must(daxl_pool_end(pool));
	image_free(&image);
}
END_TEST

START_TEST(files_come_back_through_a_checkpoint_alone)
{
	struct image image;

	image_make(&image, 8 * MIB, 4096, 0);
	struct daxl_pool *pool = image_open(&image);
	struct daxl_inode *a = file_make(pool, "a"), *b = file_make(pool, "b");
	must(file_map(a, 0, 4, 0, 4));
	must(file_map(b, 3, 40, DAXL_RUN_UNWRITTEN, 1));
	must(file_setattr(a, "colour", "green", 5));
	must(daxl_ckpt_run(pool, false, 0));
	struct daxl_log_stat log;
	daxl_log_stat(pool->log, &log);
	ck_assert_uint_eq(log.head, log.start);
	must_come_back(&pool, &image);
	must(daxl_pool_end(pool));
	image_free(&image);
}
END_TEST

START_TEST(a_checkpoint_without_changes_writes_no_table)
{
	struct image image;
	uint64_t pages, again, n;

	image_make(&image, 8 * MIB, 4096, 0);
	struct daxl_pool *pool = image_open(&image);
	must(file_map(file_make(pool, "a"), 0, 40, 0, 1));
	must(daxl_ckpt_run(pool, false, 0));
	daxl_ckpt_stat(pool, &n, &pages);
	struct daxl_md_ref root = pool->ckpt->slot.table;
	must(daxl_ckpt_run(pool, false, 0));
	daxl_ckpt_stat(pool, &n, &again);
	ck_assert_uint_eq(pages, again);
	ck_assert_uint_eq(root.page, pool->ckpt->slot.table.page);
	must(daxl_pool_end(pool));
	image_free(&image);
}
END_TEST

START_TEST(two_copies_lie_two_mebibytes_apart)
{
	struct image image;

	image_make(&image, 64 * MIB, 4096, 0);
	struct daxl_pool *pool = image_open(&image);
	must(file_map(file_make(pool, "a"), 0, 40, 0, 1));
	must(daxl_ckpt_run(pool, false, 0));
	struct daxl_md_ref root = pool->ckpt->slot.table;
	uint64_t apart = root.page > root.copy ? root.page - root.copy : root.copy - root.page;
	ck_assert_uint_ge(apart, 512);
	/* Either will do. */
	memset(image.base + root.page * 4096, 0xff, 4096);
	must_come_back(&pool, &image);
	must(daxl_pool_end(pool));
	image_free(&image);
}
END_TEST

START_TEST(deep_maps_come_back)
{
	struct image image;

	image_make(&image, 64 * MIB, 4096, 0);
	struct daxl_pool *pool = image_open(&image);
	struct daxl_inode *a = file_make(pool, "deep");
	for (unsigned i = 0; i < 5000; i++) {
		must(file_map(a, 2 * i, 1, i % 3 ? 0 : DAXL_RUN_UNWRITTEN, 1));
		if (i % 1000 == 999)
			must_come_back(&pool, &image);
		a = file_find(pool, "deep");
	}
	ck_assert_uint_ge(daxl_rope_runs(a->version->root), 9999);
	must(daxl_ckpt_run(pool, false, 0));
	must_come_back(&pool, &image);
	/* A small change of a large map writes a path, not the map. */
	uint64_t n, before, after;
	must(daxl_ckpt_run(pool, false, 0));
	wait_for_frees(pool);
	must(file_punch(file_find(pool, "deep"), 5000, 1));
	wait_for_frees(pool);
	daxl_ckpt_stat(pool, &n, &before);
	must(daxl_ckpt_run(pool, false, 0));
	daxl_ckpt_stat(pool, &n, &after);
	ck_assert_uint_le(after, before + 8);
	must_come_back(&pool, &image);
	must(daxl_pool_end(pool));
	image_free(&image);
}
END_TEST

START_TEST(deleted_files_leave_the_table_and_give_everything_back)
{
	struct image image;
	struct daxl_space_stat empty, now;
	char name[32];

	image_make(&image, 32 * MIB, 4096, 0);
	struct daxl_pool *pool = image_open(&image);
	must(daxl_ckpt_run(pool, false, 0));
	daxl_space_stat(pool->space, &empty);
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < 300; i++) {
			snprintf(name, sizeof(name), "file-%u-%u", round, i);
			must(file_map(file_make(pool, name), 0, 3, 0, 1));
		}
		must(daxl_ckpt_run(pool, false, 0));
		must_come_back(&pool, &image);
		for (unsigned i = 0; i < 300; i++) {
			snprintf(name, sizeof(name), "file-%u-%u", round, i);
			must(daxl_names_unlink(pool, name, strlen(name)));
		}
		if (round == 1)
			must_come_back(&pool, &image);
	}
	for (unsigned i = 0; i < 3; i++) {
		wait_for_frees(pool);
		must(daxl_ckpt_run(pool, false, 0));
	}
	daxl_space_stat(pool->space, &now);
	ck_assert_uint_eq(now.free, empty.free);
	ck_assert_uint_eq(pool->ckpt->slot.table.page, 0);
	ck_assert_uint_eq(pool->ckpt->live, 0);
	ck_assert_uint_eq(pool->ids, 0);
	must(daxl_pool_end(pool));
	image_free(&image);
}
END_TEST

START_TEST(records_that_outgrow_their_page_move)
{
	struct image image;
	char name[32], value[3000];

	memset(value, 'x', sizeof(value));
	image_make(&image, 32 * MIB, 4096, 0);
	struct daxl_pool *pool = image_open(&image);
	for (unsigned i = 0; i < 60; i++) {
		snprintf(name, sizeof(name), "f%u", i);
		file_make(pool, name);
	}
	must(daxl_ckpt_run(pool, false, 0));
	uint64_t pages = pool->ckpt->table.count;
	for (unsigned i = 0; i < 60; i += 5) {
		snprintf(name, sizeof(name), "f%u", i);
		must(file_setattr(file_find(pool, name), "big", value, sizeof(value)));
	}
	must(daxl_ckpt_run(pool, false, 0));
	ck_assert_uint_gt(pool->ckpt->table.count, pages);
	must_come_back(&pool, &image);
	for (unsigned i = 0; i < 60; i++) {
		snprintf(name, sizeof(name), "f%u", i);
		if (i % 5 == 0)
			must(file_setattr(file_find(pool, name), "big", NULL, 0));
		if (i % 3 == 0)
			must(daxl_names_unlink(pool, name, strlen(name)));
	}
	must_come_back(&pool, &image);
	must(daxl_pool_end(pool));
	image_free(&image);
}
END_TEST

START_TEST(a_table_that_ends_earlier_comes_back)
{
	struct image image;
	char name[32];

	image_make(&image, 32 * MIB, 4096, 0);
	struct daxl_pool *pool = image_open(&image);
	for (unsigned i = 0; i < 400; i++) {
		snprintf(name, sizeof(name), "file-%u", i);
		file_make(pool, name);
	}
	must(daxl_ckpt_run(pool, false, 0));
	while (pool->ckpt->table.count > 1) {
		const struct daxl_tpage *last = pool->ckpt->table.pages[pool->ckpt->table.count - 1];
		uint64_t count = pool->ckpt->table.count;
		while (pool->ckpt->table.count == count) {
			for (const struct daxl_inode *ino = last->files; ino; ino = ino->tpage_next) {
				snprintf(name, sizeof(name), "%s", ino->name->bytes);
				must(daxl_names_unlink(pool, name, strlen(name)));
			}
			must(daxl_ckpt_run(pool, false, 0));
		}
		must_come_back(&pool, &image);
	}
	must(daxl_pool_end(pool));
	image_free(&image);
}
END_TEST

START_TEST(blocks_larger_than_pages_hold_many)
{
	static const uint32_t sizes[] = {16384, 65536, 2 << 20};

	for (unsigned s = 0; s < DAXL_ARRAY_LEN(sizes); s++) {
		struct image image;
		image_make(&image, sizes[s] * UINT64_C(64) < 16 * MIB ? 16 * MIB : sizes[s] * UINT64_C(64), sizes[s],
		           0);
		struct daxl_pool *pool = image_open(&image);
		struct daxl_inode *a = file_make(pool, "a");
		for (unsigned i = 0; i < 20; i++)
			must(file_map(a, 2 * i, 1, 0, 1));
		for (unsigned i = 0; i < 100; i++) {
			char name[16];
			snprintf(name, sizeof(name), "n%u", i);
			file_make(pool, name);
		}
		must(daxl_ckpt_run(pool, false, 0));
		must_come_back(&pool, &image);
		must(daxl_pool_end(pool));
		image_free(&image);
	}
}
END_TEST

START_TEST(a_nameless_open_file_is_in_the_checkpoint_and_gone_after_a_crash)
{
	struct image image;
	struct daxl_space_stat before, after;

	image_make(&image, 8 * MIB, 4096, 0);
	struct daxl_pool *pool = image_open(&image);
	must(daxl_ckpt_run(pool, false, 0));
	daxl_space_stat(pool->space, &before);
	struct daxl_inode *ino = NULL;
	struct daxl_file *file = NULL;
	must(daxl_inode_create(pool, "gone", 4, &ino));
	must(daxl_handle_open(pool, ino, 2, &file));
	must(file_map(ino, 0, 100, 0, 1));
	must(daxl_names_unlink(pool, "gone", 4));
	must(daxl_ckpt_run(pool, false, 0));
	ck_assert_uint_eq(pool->ckpt->slot.files, 1);
	/* The crash: the medium as it is now. */
	struct image copy;
	image_copy(&copy, &image);
	struct daxl_pool *other = image_open(&copy);
	ck_assert_uint_eq(other->ids, 0);
	must(daxl_ckpt_run(other, false, 0));
	daxl_space_stat(other->space, &after);
	ck_assert_uint_eq(before.free, after.free);
	must(daxl_pool_end(other));
	image_free(&copy);
	must(daxl_handle_close(file));
	must(daxl_pool_end(pool));
	image_free(&image);
}
END_TEST

/* --- the cut --- */

struct at_point {
	const char *point;
	void (*fn)(struct daxl_pool *pool);
	struct daxl_pool *pool;
	bool done;
};

static void *call_fn(void *arg)
{
	struct at_point *at = arg;
	at->fn(at->pool);
	return NULL;
}

static void run_in_thread(const char *point, void *arg)
{
	struct at_point *at = arg;
	pthread_t thread;

	if (strcmp(point, at->point) != 0 || at->done) /* done is the point's thread's: liburcu's passes other points */
		return;
	at->done = true;
	ck_assert_int_eq(pthread_create(&thread, NULL, call_fn, at), 0);
	pthread_join(thread, NULL);
}

/* Pages that were retired behind the cut. */
static daxl_page_t late_pages[64];
static size_t nlate;

static void change_everything(struct daxl_pool *pool)
{
	struct daxl_ckpt *ckpt = pool->ckpt;

	must(file_map(file_find(pool, "clean"), 200, 40, 0, 1)); /* in payload pages */
	nlate = 0;
	for (size_t i = ckpt->retired_cut; i < ckpt->nretired && nlate < 64; i++)
		late_pages[nlate++] = ckpt->retired[i];
	must(file_map(file_find(pool, "a"), 0, 2, 0, 1));
	must(file_truncate(file_find(pool, "b"), 4096 * 7));
	must(file_map(file_find(pool, "clean"), 100, 1, 0, 1));
	must(daxl_names_unlink(pool, "c", 1));
	must(daxl_names_rename(pool, "d", 1, "dd", 2, 0));
	must(file_map(file_make(pool, "new"), 0, 3, 0, 1));
	must(file_setattr(file_find(pool, "a"), "k", "v", 1));
	must(file_map(file_find(pool, "a"), 5, 2, 0, 1)); /* a second change since the cut */
	wait_for_frees(pool);
}

static struct daxl_pool *pool_with_files(struct image *image)
{
	image_make(image, 64 * MIB, 4096, 0); /* large enough that no checkpoint comes by itself */
	struct daxl_pool *pool = image_open(image);
	must(file_map(file_make(pool, "clean"), 0, 50, 0, 1));
	must(daxl_ckpt_run(pool, false, 0));
	must(file_map(file_make(pool, "a"), 0, 50, 0, 1));
	must(file_map(file_make(pool, "b"), 0, 30, 0, 1));
	must(file_map(file_make(pool, "c"), 0, 30, 0, 1));
	must(file_map(file_make(pool, "d"), 0, 3, 0, 1));
	struct daxl_inode *runs = file_make(pool, "runs");
	for (unsigned i = 0; i < 150; i++) {
		char name[16];
		must(file_map(runs, 2 * i, 1, 0, 1));
		snprintf(name, sizeof(name), "f%u", i);
		file_make(pool, name);
	}
	return pool;
}

/* What changes behind the cut is not in the checkpoint but in the log. */
START_TEST(changes_behind_the_cut_are_the_logs)
{
	static const char *const points[] = {"ckpt:cut", "ckpt:written", "ckpt:durable"};
	struct image image, copy;

	for (unsigned i = 0; i < DAXL_ARRAY_LEN(points); i++) {
		struct daxl_pool *pool = pool_with_files(&image);
		char *at_cut = pool_text(pool), *is;
		struct at_point at = {.point = points[i], .fn = change_everything, .pool = pool};

		daxl_hook_set(run_in_thread, &at);
		must(daxl_ckpt_run(pool, false, 0));
		daxl_hook_set(NULL, NULL);
		ck_assert(at.done);
		ck_assert_uint_gt(nlate, 0);
		for (size_t k = 0; k < nlate; k++)
			ck_assert(daxl_space_is_used(pool->space, late_pages[k]));
		/* With the log beyond P taken away, the checkpoint alone: the files of the cut. */
		image_copy(&copy, &image);
		memset(copy.base + pool->super.log_off, 0, pool->super.log_size);
		struct daxl_pool *other = image_open(&copy);
		is = pool_text(other);
		texts_equal(at_cut, is, points[i]);
		free(is);
		must(daxl_pool_end(other));
		image_free(&copy);
		free(at_cut);
		must_come_back(&pool, &image);
		must(daxl_pool_end(pool));
		image_free(&image);
	}
}
END_TEST

struct slot_watch {
	const char *base;
	const struct daxl_pool *pool;
	uint64_t start; /* of the log before the checkpoint */
	unsigned stores;
};

/* L15: until the new slot is written a crash replays from the old one: the log still begins where that says. */
static void watch_slot(struct daxl_media *media, enum daxl_media_event event, const void *addr, const void *src, size_t len,
                       void *arg)
{
	struct slot_watch *watch = arg;
	uint64_t off = (uint64_t)((const char *)addr - watch->base), mid = watch->pool->super.mid;
	struct daxl_log_stat log;

	(void)media;
	(void)src;
	(void)len;
	if (event != DAXL_MEDIA_EV_STORE || (off - 4096 >= 2 * 4096 && off - mid - 4096 >= 2 * 4096))
		return;
	watch->stores++;
	daxl_log_stat(watch->pool->log, &log);
	ck_assert_uint_eq(log.start, watch->start);
}

START_TEST(the_log_is_kept_until_the_slot_is_written)
{
	struct image image;
	struct daxl_log_stat log;
	struct daxl_pool *pool = pool_with_files(&image);
	struct slot_watch watch = {.base = daxl_media_base(pool->media), .pool = pool};

	daxl_log_stat(pool->log, &log);
	watch.start = log.start;
	ck_assert_uint_lt(log.start, log.head);
	daxl_media_observe(watch_slot, &watch);
	must(daxl_ckpt_run(pool, false, 0));
	daxl_media_observe(NULL, NULL);
	ck_assert_uint_ge(watch.stores, 2);
	daxl_log_stat(pool->log, &log);
	ck_assert_uint_gt(log.start, watch.start);
	must_come_back(&pool, &image);
	must(daxl_pool_end(pool));
	image_free(&image);
}
END_TEST

static uint64_t fail_at, passages;
static bool fail_point(const char *point, void *arg)
{
	(void)point;
	(void)arg;
	return __atomic_add_fetch(&passages, 1, __ATOMIC_RELAXED) == fail_at;
}

/* A checkpoint whose fail_at-th step fails, if it comes so far. */
static int failing_checkpoint(struct daxl_pool *pool)
{
	passages = 0;
	daxl_fault_set(fail_point, NULL);
	int rc = daxl_ckpt_run(pool, false, 0);
	daxl_fault_set(NULL, NULL);
	return rc;
}

/* Whatever fails in a checkpoint, the files stay, the next one works and nothing is lost. */
START_TEST(a_checkpoint_may_fail_anywhere)
{
	struct image image;
	unsigned failed = 0;

	for (fail_at = 1;; fail_at++) {
		struct daxl_pool *pool = pool_with_files(&image);
		char *was = pool_text(pool);

		int rc = failing_checkpoint(pool);
		bool over = passages < fail_at;
		failed += rc != 0;
		if (rc)
			ck_assert(rc == -ENOMEM || rc == -ENOSPC);
		char *is = pool_text(pool);
		texts_equal(was, is, "after the failure");
		free(is);
		if (fail_at % 2)
			change_everything(pool);
		must_come_back(&pool, &image); /* from the checkpoint before and the log */
		must(daxl_ckpt_run(pool, false, 0));
		must_come_back(&pool, &image);
		must(daxl_pool_end(pool));
		free(was);
		image_free(&image);
		if (over)
			break;
	}
	ck_assert_uint_ge(failed, 3);
}
END_TEST

static size_t dirty_files(struct daxl_pool *pool)
{
	size_t n = 0;

	daxl_spin_lock(&pool->dirty_lock);
	for (const struct daxl_inode *ino = pool->dirty; ino; ino = ino->dirty_next[pool->cut & 1])
		n++;
	daxl_spin_unlock(&pool->dirty_lock);
	return n;
}

static void live_shortly(struct daxl_pool *pool)
{
	size_t ids = pool->ids, dirty = dirty_files(pool);
	char name[] = "short-0";

	for (; name[6] < '5'; name[6]++)
		must(file_map(file_make(pool, name), 0, 2, 0, 1));
	ck_assert_uint_eq(dirty_files(pool), dirty + 5);
	for (const char *at = "21403"; *at; at++) { /* from the list's middle, and its ends */
		name[6] = *at;
		must(daxl_names_unlink(pool, name, 7));
		ck_assert_uint_eq(dirty_files(pool), dirty + strlen(at + 1));
	}
	ck_assert_uint_eq(pool->ids, ids);
}

START_TEST(files_that_no_checkpoint_has_seen_are_none_of_its_work)
{
	struct image image;
	struct daxl_pool *pool = pool_with_files(&image);
	uint64_t bytes = pool->ckpt->dirty_bytes, nodes = pool->ckpt->dirty_nodes;
	struct at_point at = {.point = "ckpt:written", .fn = live_shortly, .pool = pool};

	live_shortly(pool);
	ck_assert_uint_eq(pool->ckpt->dirty_bytes, bytes);
	ck_assert_uint_eq(pool->ckpt->dirty_nodes, nodes);
	daxl_hook_set(run_in_thread, &at);
	must(daxl_ckpt_run(pool, false, 0));
	daxl_hook_set(NULL, NULL);
	ck_assert(at.done);
	live_shortly(pool);
	must_come_back(&pool, &image);
	must(daxl_pool_end(pool));
	image_free(&image);
}
END_TEST

/* One that failed has the file in its table. */
START_TEST(a_file_that_a_failed_checkpoint_has_seen_waits_for_the_next)
{
	struct image image;
	unsigned failed = 0;
	int rc = -1;

	for (fail_at = 1; rc != 0; fail_at++) {
		image_make(&image, 8 * MIB, 4096, 0);
		struct daxl_pool *pool = image_open(&image);
		file_make(pool, "a");
		rc = failing_checkpoint(pool);
		if (rc != 0) {
			failed++;
			must(daxl_names_unlink(pool, "a", 1));
			ck_assert_uint_eq(pool->ids, 1);
			must(daxl_ckpt_run(pool, false, 0));
			ck_assert_uint_eq(pool->ids, 0);
			ck_assert_uint_eq(pool->ckpt->slot.files, 0);
			must_come_back(&pool, &image);
		}
		must(daxl_pool_end(pool));
		image_free(&image);
	}
	ck_assert_uint_gt(failed, 0);
}
END_TEST

/* As a_checkpoint_may_fail_anywhere, in one pool: failure after failure, then success. */
START_TEST(a_checkpoint_that_failed_is_tried_again)
{
	struct image image;
	struct daxl_pool *pool = pool_with_files(&image);

	for (fail_at = 1; fail_at < 40; fail_at++) {
		char name[16];

		(void)failing_checkpoint(pool);
		snprintf(name, sizeof(name), "more%u", (unsigned)fail_at);
		must(file_map(file_make(pool, name), 0, 40, 0, 1));
		must(daxl_names_unlink(pool, name, strlen(name)));
		must(file_map(file_find(pool, "a"), fail_at, 1, 0, 1));
	}
	must(daxl_ckpt_run(pool, false, 0));
	must_come_back(&pool, &image);
	must(daxl_pool_end(pool));
	image_free(&image);
}
END_TEST

/* With no page free, one, two, ... until the checkpoint fits. */
START_TEST(a_full_pool_keeps_its_old_checkpoint)
{
	struct image image, copy;
	struct daxl_pool *pool = pool_with_files(&image);
	struct daxl_space_stat stat;
	char *was = pool_text(pool);
	unsigned left = 0;
	int rc;

	wait_for_frees(pool);
	do {
		/*
		 * META takes the reserve too: nothing else is left. Nodes keep their pages, so each attempt needs
		 * fewer.
		 */
		daxl_space_stat(pool->space, &stat);
		daxl_nblk_t n = stat.free - stat.reserved - left;
		must(daxl_space_reserve(pool->space, DAXL_SPACE_META, n));
		rc = daxl_ckpt_run(pool, false, 0);
		daxl_space_unreserve(pool->space, n);
		if (left % 8 == 0) {
			image_copy(&copy, &image);
			struct daxl_pool *other = image_open(&copy);
			char *is = pool_text(other);
			texts_equal(was, is, "opened from the old checkpoint");
			free(is);
			must(daxl_pool_end(other));
			image_free(&copy);
		}
		left++;
	} while (rc == -ENOSPC);
	must(rc);
	ck_assert_uint_gt(left, 8);
	must_come_back(&pool, &image);
	must(daxl_pool_end(pool));
	free(was);
	image_free(&image);
}
END_TEST

/* --- many threads --- */

struct worker {
	struct daxl_pool *pool;
	unsigned number;
	uint64_t seed;
	unsigned steps;
};

static void *work(void *arg)
{
	struct worker *w = arg;
	char name[32], other[32];

	snprintf(name, sizeof(name), "w%u", w->number);
	struct daxl_inode *ino = file_make(w->pool, name);
	for (unsigned i = 0; i < w->steps; i++) {
		uint64_t r = test_random(&w->seed);
		daxl_fblk_t at = r >> 8 & 127;

		switch (r % 8) {
		case 0:
		case 1:
		case 2:
			(void)file_map(ino, at, 1 + (r >> 20 & 3), 0, 1);
			break;
		case 3:
			must(file_punch(ino, at, 3));
			break;
		case 4:
			must(file_shift(ino, at, 1, r >> 30 & 1));
			break;
		case 5:
			must(file_truncate(ino, 4096 * at));
			break;
		case 6:
			snprintf(other, sizeof(other), "t%u-%u", w->number, i);
			must(file_map(file_make(w->pool, other), 0, 2, 0, 1));
			must(daxl_names_unlink(w->pool, other, strlen(other)));
			break;
		default:
			snprintf(other, sizeof(other), "w%u%s", w->number, r >> 30 & 1 ? "x" : "");
			must(daxl_names_rename(w->pool, name, strlen(name), other, strlen(other), 0));
			memcpy(name, other, sizeof(name));
			break;
		}
	}
	return NULL;
}

START_TEST(checkpoints_run_beside_everything)
{
	struct image image;
	struct worker workers[3];
	pthread_t threads[3];
	uint64_t seed = test_seed("checkpoints_run_beside_everything");

	image_make(&image, 24 * MIB, 4096, 0);
	struct daxl_pool *pool = image_open(&image);
	for (unsigned round = 0; round < 4; round++) {
		for (unsigned i = 0; i < 3; i++) {
			workers[i] = (struct worker){
				.pool = pool, .number = round * 10 + i, .seed = test_random(&seed), .steps = 400};
			ck_assert_int_eq(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
		}
		for (unsigned i = 0; i < 60; i++)
			must(daxl_ckpt_run(pool, false, 0));
		for (unsigned i = 0; i < 3; i++)
			pthread_join(threads[i], NULL);
		must_come_back(&pool, &image);
	}
	must(daxl_pool_end(pool));
	image_free(&image);
}
END_TEST

START_TEST(a_hundred_thousand_files_come_back)
{
	struct image image;
	char name[64];
	unsigned count = getenv("DAXL_FILES") ? (unsigned)atoi(getenv("DAXL_FILES")) : 100000;

	image_make(&image, 256 * MIB, 4096, 0);
	struct daxl_pool *pool = image_open(&image);
	for (unsigned i = 0; i < count; i++) {
		snprintf(name, sizeof(name), "a/name/of/some/length/%u", i);
		struct daxl_inode *ino = file_make(pool, name);
		if (i % 16 == 0)
			must(file_map(ino, 0, 1, 0, 1));
	}
	must_come_back(&pool, &image);
	ck_assert_uint_eq(pool->files, count);
	ck_assert_uint_ge(pool->ckpt->slot.table_depth, count > 10000 ? 2 : 1);
	for (unsigned i = 0; i < count; i++) {
		snprintf(name, sizeof(name), "a/name/of/some/length/%u", i);
		if (i % 1000)
			must(daxl_names_unlink(pool, name, strlen(name)));
	}
	must_come_back(&pool, &image);
	must(daxl_pool_end(pool));
	image_free(&image);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("checkpoint");
	test_add(suite, "an_empty_pool_comes_back", an_empty_pool_comes_back);
	test_add(suite, "files_come_back_through_a_checkpoint_alone", files_come_back_through_a_checkpoint_alone);
	test_add(suite, "a_checkpoint_without_changes_writes_no_table", a_checkpoint_without_changes_writes_no_table);
	test_add(suite, "two_copies_lie_two_mebibytes_apart", two_copies_lie_two_mebibytes_apart);
	test_add(suite, "deep_maps_come_back", deep_maps_come_back);
	test_add(suite, "deleted_files_leave_the_table_and_give_everything_back",
	         deleted_files_leave_the_table_and_give_everything_back);
	test_add(suite, "records_that_outgrow_their_page_move", records_that_outgrow_their_page_move);
	test_add(suite, "a_table_that_ends_earlier_comes_back", a_table_that_ends_earlier_comes_back);
	test_add(suite, "blocks_larger_than_pages_hold_many", blocks_larger_than_pages_hold_many);
	test_add(suite, "a_nameless_open_file_is_in_the_checkpoint_and_gone_after_a_crash",
	         a_nameless_open_file_is_in_the_checkpoint_and_gone_after_a_crash);
	test_add(suite, "changes_behind_the_cut_are_the_logs", changes_behind_the_cut_are_the_logs);
	test_add(suite, "the_log_is_kept_until_the_slot_is_written", the_log_is_kept_until_the_slot_is_written);
	test_add(suite, "a_checkpoint_may_fail_anywhere", a_checkpoint_may_fail_anywhere);
	test_add(suite, "files_that_no_checkpoint_has_seen_are_none_of_its_work",
	         files_that_no_checkpoint_has_seen_are_none_of_its_work);
	test_add(suite, "a_file_that_a_failed_checkpoint_has_seen_waits_for_the_next",
	         a_file_that_a_failed_checkpoint_has_seen_waits_for_the_next);
	test_add(suite, "a_checkpoint_that_failed_is_tried_again", a_checkpoint_that_failed_is_tried_again);
	test_add(suite, "a_full_pool_keeps_its_old_checkpoint", a_full_pool_keeps_its_old_checkpoint);
	test_add(suite, "checkpoints_run_beside_everything", checkpoints_run_beside_everything);
	test_add(suite, "a_hundred_thousand_files_come_back", a_hundred_thousand_files_come_back);
	SRunner *runner = srunner_create(suite);
	srunner_set_fork_status(runner, CK_NOFORK);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
