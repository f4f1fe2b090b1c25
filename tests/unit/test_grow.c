/* SPDX-License-Identifier: BSD-3-Clause */
/* Growing a pool: in use, across crashes at every step, and with everything in its way. */
#include "image.h"

#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include <daxlayout/check.h>

#include "check/check.h"

#define OLD_SIZE (8u << 20)
#define NEW_SIZE (20u << 20)

static int tell(const struct daxl_check_finding *finding, void *arg)
{
	(void)arg;
	if (finding->kind != DAXL_FINDING_PROGRESS)
		fprintf(stderr, "  %d/%d %s\n", finding->kind, finding->severity, finding->message);
	return 0;
}

static void expect_clean(const struct image *image)
{
	struct daxl_media *media;

	must(daxl_media_open_memory(image->base, image->size, true, &media));
	ck_assert_int_eq(daxl_check_media(media, false, tell, NULL), 0);
}

/* A pool of OLD_SIZE on a medium of NEW_SIZE, as a device would have it. */
static void make(struct image *image, uint32_t block_size)
{
	struct image small;

	image_make(&small, OLD_SIZE * (block_size > 65536 ? 8 : 1), block_size, 0);
	image->size = small.size + (NEW_SIZE - OLD_SIZE);
	image->base = aligned_alloc(4096, image->size);
	ck_assert_ptr_nonnull(image->base);
	memset(image->base, 0xa5, image->size);
	memcpy(image->base, small.base, small.size);
	image_free(&small);
}

/* Fills the pool with one file until nothing is left for data; returns the blocks it got. */
static daxl_nblk_t fill(struct daxl_pool *pool, const char *name)
{
	struct daxl_inode *ino = file_make(pool, name);
	daxl_nblk_t n = 0;
	int rc;

	while ((rc = file_map(ino, n, 1, 0, 1)) == 0)
		n++;
	ck_assert_int_eq(rc, -ENOSPC);
	return n;
}

START_TEST(new_blocks_can_be_used_at_once_and_after_a_reopen)
{
	const uint32_t block_sizes[] = {4096, 65536, 2u << 20};

	for (unsigned i = 0; i < DAXL_ARRAY_LEN(block_sizes); i++) {
		struct daxl_space_stat before, after;
		struct image image;

		make(&image, block_sizes[i]);
		struct daxl_pool *pool = image_open(&image);
		uint64_t size = pool->super.pool_size;
		daxl_nblk_t first = fill(pool, "first");
		daxl_space_stat(pool->space, &before);
		must(daxl_pool_enlarge(pool, image.size));
		daxl_space_stat(pool->space, &after);
		ck_assert_uint_eq(pool->super.pool_size, image.size);
		ck_assert_uint_eq(after.total, image.size / block_sizes[i]);
		ck_assert_uint_ge(after.free, before.free + (image.size - size) / block_sizes[i] - 1);
		ck_assert_uint_gt(fill(pool, "second"), (image.size - size) / block_sizes[i] / 2);
		char *was = pool_text(pool);
		daxl_pool_abandon(pool); /* as a crash would */
		expect_clean(&image);
		pool = image_open(&image);
		ck_assert_uint_eq(pool->super.pool_size, image.size);
		ck_assert_uint_eq(daxl_rope_blocks(file_find(pool, "first")->version->root), first);
		char *is = pool_text(pool);
		texts_equal(was, is, "grown and reopened");
		must(daxl_pool_end(pool));
		expect_clean(&image);
		daxl_pool_abandon(image_open(&image)); /* a test build compares the summary */
		free(was);
		free(is);
		image_free(&image);
	}
}
END_TEST

START_TEST(it_grows_in_small_steps_too)
{
	struct image image;

	make(&image, 4096);
	struct daxl_pool *pool = image_open(&image);
	for (uint64_t size = OLD_SIZE; size < OLD_SIZE + 40 * 4096; size += 4096) {
		must(daxl_pool_enlarge(pool, size + 100)); /* whole blocks are used */
		ck_assert_uint_eq(pool->super.pool_size, size);
	}
	for (uint64_t size = pool->super.pool_size; size < NEW_SIZE - (1u << 20); size += 77 * 4096)
		must(daxl_pool_enlarge(pool, size));
	fill(pool, "all");
	must(daxl_pool_end(pool));
	expect_clean(&image);
	pool = image_open(&image);
	must(daxl_pool_end(pool));
	image_free(&image);
}
END_TEST

/* What the medium would hold after a crash at each store, flush and fence: half of the store in hand, or none. */
struct crashes {
	const struct image *image;
	struct image images[64];
	unsigned n;
};

static void snapshot(struct daxl_media *media, enum daxl_media_event event, const void *addr, const void *src,
                     size_t len, void *arg)
{
	struct crashes *crashes = arg;

	(void)media;
	ck_assert_uint_le(crashes->n + 2, DAXL_ARRAY_LEN(crashes->images));
	image_copy(&crashes->images[crashes->n++], crashes->image);
	if (event != DAXL_MEDIA_EV_STORE || !src)
		return;
	struct image *torn = &crashes->images[crashes->n++];
	image_copy(torn, crashes->image);
	memcpy(torn->base + ((const char *)addr - crashes->image->base), src, len / 16 * 8);
}

START_TEST(a_crash_at_any_step_leaves_the_old_or_the_new_pool)
{
	struct crashes crashes = {0};
	struct image image;
	unsigned old = 0, new = 0;

	make(&image, 4096);
	crashes.image = &image;
	struct daxl_pool *pool = image_open(&image);
	fill(pool, "first");
	char *was = pool_text(pool);
	daxl_media_observe(snapshot, &crashes);
	must(daxl_pool_enlarge(pool, NEW_SIZE));
	daxl_media_observe(NULL, NULL);
	ck_assert_uint_gt(crashes.n, 12);
	daxl_pool_abandon(pool);
	for (unsigned i = 0; i < crashes.n; i++) {
		struct image *crashed = &crashes.images[i];

		for (unsigned again = 0; again < 2; again++) {
			pool = image_open(crashed);
			char *is = pool_text(pool);
			texts_equal(was, is, "after a crash");
			ck_assert(pool->super.pool_size == OLD_SIZE || pool->super.pool_size == NEW_SIZE);
			ck_assert(!new || pool->super.pool_size == NEW_SIZE);
			if (pool->super.pool_size == NEW_SIZE) {
				new ++;
				if (again)
					fill(pool, "second");
			} else {
				old++;
			}
			must(daxl_pool_end(pool));
			expect_clean(crashed);
			free(is);
		}
		image_free(crashed);
	}
	ck_assert_uint_gt(old, 0);
	ck_assert_uint_gt(new, 0);
	free(was);
	image_free(&image);
}
END_TEST

/* No new block is to be had before the record is durable. */
static void still_small(const char *point, void *arg)
{
	struct daxl_pool *pool = arg;
	struct daxl_space_stat stat;

	if (strcmp(point, "commit:ticket") != 0 && strcmp(point, "log-stored") != 0 &&
	    strcmp(point, "commit:durable") != 0)
		return;
	daxl_space_stat(pool->space, &stat);
	ck_assert_uint_eq(stat.total, OLD_SIZE / 4096);
}

START_TEST(nobody_gets_a_new_block_before_the_growth_is_durable)
{
	struct image image;

	make(&image, 4096);
	struct daxl_pool *pool = image_open(&image);
	daxl_hook_set(still_small, pool);
	must(daxl_pool_enlarge(pool, NEW_SIZE));
	daxl_hook_set(NULL, NULL);
	must(daxl_pool_end(pool));
	image_free(&image);
}
END_TEST

/* Fails the n-th passage through any fault point. */
static bool fail_nth(const char *point, void *arg)
{
	unsigned *left = arg;

	(void)point;
	return *left && --*left == 0;
}

START_TEST(growing_survives_anything_failing)
{
	struct image image;
	bool done = false;

	make(&image, 4096);
	for (unsigned n = 1; !done; n++) {
		unsigned left = n;
		struct daxl_pool *pool = image_open(&image);

		daxl_fault_set(fail_nth, &left);
		int rc = daxl_pool_enlarge(pool, NEW_SIZE);
		daxl_fault_set(NULL, NULL);
		ck_assert(rc == 0 || rc == -ENOMEM || rc == -ENOSPC);
		ck_assert_uint_eq(pool->super.pool_size, rc ? OLD_SIZE : NEW_SIZE);
		done = left != 0 || rc == 0;
		must(daxl_pool_end(pool));
		expect_clean(&image);
		ck_assert_uint_lt(n, 1000);
	}
	image_free(&image);
}
END_TEST

static char path[64];

static void make_path(void)
{
	strcpy(path, "/tmp/daxl-grow-XXXXXX");
	int fd = mkstemp(path);
	ck_assert_int_ge(fd, 0);
	close(fd);
}

START_TEST(an_ordinary_file_becomes_longer_and_addresses_stay)
{
	struct daxl_pool_opts opts = DAXL_POOL_OPTS_INIT;
	struct daxl_pool_stat stat, larger;
	struct daxl_pool *pool;
	struct daxl_file *file;
	char text[] = "still here", got[sizeof(text)];

	make_path();
	must(daxl_pool_create(path, OLD_SIZE, NULL, &pool));
	void *base = daxl_pool_base(pool);
	must(daxl_open(pool, "f", O_RDWR | O_CREAT, &file));
	ck_assert_int_eq(daxl_pwrite(file, text, sizeof(text), 100), (ssize_t)sizeof(text));
	must(daxl_pool_stat(pool, &stat));
	ck_assert_int_eq(daxl_pool_grow(pool, OLD_SIZE - 4096), -EINVAL);
	must(daxl_pool_grow(pool, OLD_SIZE));
	must(daxl_pool_stat(pool, &larger));
	ck_assert_uint_eq(stat.pool_size, larger.pool_size);
	must(daxl_pool_grow(pool, NEW_SIZE));
	must(daxl_pool_stat(pool, &larger));
	ck_assert_uint_eq(larger.pool_size, NEW_SIZE);
	ck_assert_uint_eq(larger.total_blocks, stat.total_blocks + (NEW_SIZE - OLD_SIZE) / 4096);
	ck_assert_ptr_eq(base, daxl_pool_base(pool));
	must(daxl_fallocate(file, 0, 0, 12 << 20, NULL));
	ck_assert_int_eq(daxl_pread(file, got, sizeof(got), 100), (ssize_t)sizeof(got));
	ck_assert_str_eq(text, got);
	must(daxl_close(file));
	must(daxl_pool_close(pool));
	ck_assert_int_eq(daxl_check(path, 0, tell, NULL), 0);
	opts.flags = DAXL_POOL_READ_ONLY;
	must(daxl_pool_open(path, &opts, &pool));
	ck_assert_int_eq(daxl_pool_grow(pool, 2 * NEW_SIZE), -EROFS);
	must(daxl_pool_stat(pool, &stat));
	ck_assert_uint_eq(stat.pool_size, NEW_SIZE);
	must(daxl_pool_close(pool));
	unlink(path);
}
END_TEST

static void *append(void *arg)
{
	struct daxl_file *file = arg;
	char block[4096];

	for (unsigned i = 0; i < 600; i++) {
		memset(block, (int)(i % 251), sizeof(block));
		ssize_t n = daxl_pwrite(file, block, sizeof(block), (off_t)i * 4096);
		ck_assert_int_eq(n, (ssize_t)sizeof(block));
	}
	return NULL;
}

START_TEST(others_go_on_while_it_grows)
{
	struct daxl_pool *pool;
	struct daxl_file *files[2];
	pthread_t threads[2];
	char block[4096];

	make_path();
	must(daxl_pool_create(path, OLD_SIZE, NULL, &pool));
	for (unsigned i = 0; i < 2; i++) {
		must(daxl_open(pool, i ? "b" : "a", O_RDWR | O_CREAT, &files[i]));
		ck_assert_int_eq(pthread_create(&threads[i], NULL, append, files[i]), 0);
	}
	for (uint64_t size = OLD_SIZE; size <= NEW_SIZE; size += 36864)
		must(daxl_pool_grow(pool, size));
	for (unsigned i = 0; i < 2; i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
	for (unsigned i = 0; i < 1200; i++) {
		ck_assert_int_eq(daxl_pread(files[i / 600], block, sizeof(block), (off_t)(i % 600) * 4096), 4096);
		ck_assert_int_eq(block[4095], (char)(i % 600 % 251));
	}
	for (unsigned i = 0; i < 2; i++)
		must(daxl_close(files[i]));
	must(daxl_pool_close(pool));
	ck_assert_int_eq(daxl_check(path, 0, tell, NULL), 0);
	unlink(path);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("grow");

#define ADD(name) test_add(suite, #name, name)
	ADD(new_blocks_can_be_used_at_once_and_after_a_reopen);
	ADD(it_grows_in_small_steps_too);
	ADD(a_crash_at_any_step_leaves_the_old_or_the_new_pool);
	ADD(nobody_gets_a_new_block_before_the_growth_is_durable);
	ADD(growing_survives_anything_failing);
	ADD(an_ordinary_file_becomes_longer_and_addresses_stay);
	ADD(others_go_on_while_it_grows);
	SRunner *sr = srunner_create(suite);
	srunner_set_fork_status(sr, CK_NOFORK);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
