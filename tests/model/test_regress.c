/* SPDX-License-Identifier: BSD-3-Clause */
/* What model_random has found in the library, each as the shortest program that shows it. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <daxlayout.h>

#define BLOCK 4096
#define TAIL 100 /* bytes in the last block */

static char path[256];
static struct daxl_pool *pool;
static struct daxl_file *file;

static void set_up(void)
{
	const char *dir = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
	char bytes[TAIL];

	memset(bytes, 'd', sizeof(bytes));
	(void)snprintf(path, sizeof(path), "%s/daxl-regress.%d", dir, (int)getpid());
	(void)remove(path);
	ck_assert_int_eq(daxl_pool_create(path, 4 << 20, NULL, &pool), 0);
	ck_assert_int_eq(daxl_open(pool, "f", O_RDWR | O_CREAT, &file), 0);
	ck_assert_int_eq(daxl_pwrite(file, bytes, sizeof(bytes), 0), sizeof(bytes));
}

static void tear_down(void)
{
	ck_assert_int_eq(daxl_close(file), 0);
	ck_assert_int_eq(daxl_pool_close(pool), 0);
	(void)remove(path);
}

/* A pinned lease whose holder never hears of its recall. */
static struct daxl_lease *deaf_lease(uint32_t mode, off_t off, off_t len)
{
	struct daxl_lease_opts opts = DAXL_LEASE_OPTS_INIT;
	struct daxl_lease *lease;

	opts.mode = mode;
	opts.break_ms = 1;
	ck_assert_int_eq(daxl_lease_acquire(file, off, len, &opts, &lease), 0);
	ck_assert_int_eq(daxl_lease_pin(lease), 0);
	return lease;
}

static void end_lease(struct daxl_lease *lease)
{
	daxl_lease_unpin(lease);
	daxl_lease_free(lease);
}

static struct daxl_wait limbo_wait(void)
{
	struct daxl_wait wait = DAXL_WAIT_INIT;

	wait.timeout_ms = 10;
	wait.on_timeout = DAXL_ON_TIMEOUT_LIMBO;
	return wait;
}

static uint64_t limbo_blocks(void)
{
	struct daxl_pool_stat st;

	ck_assert_int_eq(daxl_pool_stat(pool, &st), 0);
	return st.limbo_blocks;
}

/* Uses every free block of the pool once. */
static void use_all_blocks(void)
{
	static char bytes[BLOCK];
	struct daxl_file *other;
	off_t at = 0;

	memset(bytes, 'o', sizeof(bytes));
	ck_assert_int_eq(daxl_open(pool, "other", O_RDWR | O_CREAT, &other), 0);
	while (daxl_pwrite(other, bytes, sizeof(bytes), at) == BLOCK)
		at += BLOCK;
	ck_assert_int_gt(at, BLOCK);
	ck_assert_int_eq(daxl_unlink(pool, "other"), 0);
	ck_assert_int_eq(daxl_close(other), 0);
}

/* The ways to grow a file whose last block is partly used. */
static ssize_t grow_by(int way, const struct daxl_wait *wait)
{
	char byte = 'n';
	struct iovec iov = { &byte, 1 };

	switch (way) {
	case 0:
		return daxl_truncate(file, 3 * BLOCK, wait);
	case 1:
		return daxl_pwritev(file, &iov, 1, 3 * BLOCK, 0, wait) == 1 ? 0 : -1;
	case 2:
		return daxl_pwritev(file, &iov, 1, TAIL + 50, 0, wait) == 1 ? 0 : -1;
	case 3:
		return daxl_pwritev(file, &iov, 1, TAIL, 0, wait) == 1 ? 0 : -1;
	case 4:
		return daxl_fallocate(file, FALLOC_FL_ZERO_RANGE, 2 * BLOCK, BLOCK, wait);
	default:
		return daxl_pwritev(file, &iov, 1, 2 * BLOCK, DAXL_WRITE_ATOMIC, wait) == 1 ? 0 : -1;
	}
}

START_TEST(a_busy_tail_block_of_a_growing_file_goes_to_limbo_and_is_not_reused)
{
	struct daxl_wait wait = limbo_wait();
	struct daxl_extent ext;
	char bytes[TAIL + 1], *mem;

	set_up();
	struct daxl_lease *lease = deaf_lease(DAXL_LEASE_WRITE, 0, 1);

	ck_assert_int_eq(daxl_lease_extents(lease, &ext, 1), 1);
	mem = ext.addr;
	ck_assert_int_eq(grow_by(_i, &wait), 0);
	ck_assert_uint_eq(limbo_blocks(), 1);
	ck_assert_int_eq(daxl_lease_state(lease), DAXL_LEASE_REVOKED);
	memset(mem, 'h', BLOCK); /* the holder knows of nothing */
	use_all_blocks();
	for (int i = 0; i < BLOCK; i++)
		ck_assert_int_eq(mem[i], 'h');
	ck_assert_int_eq(daxl_pread(file, bytes, sizeof(bytes), 0), sizeof(bytes));
	for (int i = 0; i < TAIL; i++)
		ck_assert_int_eq(bytes[i], 'd');
	ck_assert_int_eq(bytes[TAIL], _i == 3 ? 'n' : 0);
	end_lease(lease);
	ck_assert_uint_eq(limbo_blocks(), 0);
	tear_down();
}
END_TEST

START_TEST(truncate_to_the_same_size_leaves_the_tail_block_to_its_holder)
{
	struct daxl_wait wait = limbo_wait();

	set_up();
	ck_assert_int_eq(daxl_fallocate(file, FALLOC_FL_KEEP_SIZE, BLOCK, BLOCK, NULL), 0);
	struct daxl_lease *tail = deaf_lease(DAXL_LEASE_WRITE, 0, 1), *past = deaf_lease(DAXL_LEASE_READ, BLOCK, 1);

	ck_assert_int_eq(daxl_truncate(file, TAIL, &wait), 0);
	ck_assert_int_eq(daxl_lease_state(tail), DAXL_LEASE_LIVE);
	ck_assert_int_eq(daxl_lease_state(past), DAXL_LEASE_REVOKED);
	ck_assert_uint_eq(limbo_blocks(), 1);
	end_lease(tail);
	end_lease(past);
	tear_down();
}
END_TEST

START_TEST(the_first_error_in_the_documented_order_is_given)
{
	const off_t far = (INT64_MAX & ~(off_t)(BLOCK - 1)) - BLOCK;
	struct daxl_file *readable, *appending, *empty;
	bool same;

	set_up();
	ck_assert_int_eq(daxl_open(pool, "f", O_RDONLY, &readable), 0);
	ck_assert_int_eq(daxl_open(pool, "f", O_RDWR | O_APPEND, &appending), 0);
	ck_assert_int_eq(daxl_open(pool, "e", O_RDWR | O_CREAT, &empty), 0);
	ck_assert_int_eq(daxl_dedupe_range(file, far, empty, 0, 2 * BLOCK, NULL, &same), -EFBIG);
	ck_assert_int_eq(daxl_exchange_range(file, 0, empty, far, 2 * BLOCK, NULL), -EFBIG);
	ck_assert_int_eq(daxl_exchange_range(readable, 0, empty, 0, 0, NULL), -EINVAL);
	ck_assert_int_eq(daxl_exchange_range(readable, 1, empty, 0, BLOCK, NULL), -EBADF);
	ck_assert_int_eq(daxl_copy_range(file, 0, appending, BLOCK, 1), -EBADF);
	ck_assert_int_eq(daxl_open(pool, "g", O_RDWR | O_EXCL, &empty), -EINVAL);
	ck_assert_int_eq(daxl_unlink(pool, ""), -EINVAL);
	ck_assert_int_eq(daxl_close(readable), 0);
	ck_assert_int_eq(daxl_close(appending), 0);
	ck_assert_int_eq(daxl_close(empty), 0);
	tear_down();
}
END_TEST

START_TEST(cloning_an_empty_rest_of_a_file_does_nothing)
{
	struct daxl_file *empty;
	struct daxl_stat st;

	set_up();
	ck_assert_int_eq(daxl_open(pool, "e", O_RDWR | O_CREAT, &empty), 0);
	ck_assert_int_eq(daxl_clone_range(empty, 0, file, 0, 0, NULL), 0);
	ck_assert_int_eq(daxl_stat(file, &st), 0);
	ck_assert_uint_eq(st.size, TAIL);
	ck_assert_int_eq(daxl_close(empty), 0);
	tear_down();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("model.regress");
	TCase *tcase = tcase_create("found");
	SRunner *runner;

	tcase_add_loop_test(tcase, a_busy_tail_block_of_a_growing_file_goes_to_limbo_and_is_not_reused, 0, 6);
	tcase_add_test(tcase, truncate_to_the_same_size_leaves_the_tail_block_to_its_holder);
	tcase_add_test(tcase, the_first_error_in_the_documented_order_is_given);
	tcase_add_test(tcase, cloning_an_empty_rest_of_a_file_does_nothing);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_set_fork_status(runner, CK_NOFORK);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);

	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
