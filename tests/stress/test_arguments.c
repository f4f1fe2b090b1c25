/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Every wrong argument of every call that could recall somebody, with holders of everything present: the errno that the
 * header documents, and nobody recalled (L5, P4).
 */
#include "stress.h"

#include <unistd.h>

#define B(n) ((off_t)((n) * BLK))
#define FOREVER_PAST ((off_t)(INT64_MAX - BLK))

static struct daxl_file *f, *g, *ro, *append, *foreign;
static struct daxl_pool *other_pool;
static struct holder holders[6];

static void take_all(void)
{
	memset(holders, 0, sizeof(holders));
	holder_take(&holders[0], f, 0, B(8), DAXL_LEASE_WRITE, 0);
	holder_take(&holders[1], f, 0, B(20), DAXL_LEASE_READ, 0);
	holder_take(&holders[2], f, B(20), DAXL_TO_END, DAXL_LEASE_READ, DAXL_LEASE_EXCLUSIVE);
	holder_take(&holders[3], g, 0, B(8), DAXL_LEASE_WRITE, 0);
	holder_take(&holders[4], g, 0, DAXL_TO_END, DAXL_LEASE_READ, 0);
	holder_take(&holders[5], g, B(20), BLK, DAXL_LEASE_READ, DAXL_LEASE_STABLE);
}

static void begin(const char *what)
{
	const char *dir = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
	char path[256];

	stress_begin(what);
	f = stress_file("f", 3 * BLK + 100);
	g = stress_file("g", 3 * BLK + 100);
	must(daxl_open(pool, "f", O_RDONLY, &ro));
	must(daxl_open(pool, "f", O_RDWR | O_APPEND, &append));
	snprintf(path, sizeof(path), "%s/daxl_stress_other.%ld", dir, (long)getpid());
	unlink(path);
	must(daxl_pool_create(path, POOL_SIZE, NULL, &other_pool));
	unlink(path);
	must(daxl_open(other_pool, "f", O_RDWR | O_CREAT, &foreign));
	must_be(daxl_pwrite(foreign, "x", 1, 0), 1);
}

static void end(void)
{
	for (unsigned i = 0; i < 6; i++)
		daxl_lease_free(holders[i].lease);
	must(daxl_close(f));
	must(daxl_close(g));
	must(daxl_close(ro));
	must(daxl_close(append));
	must(daxl_close(foreign));
	must(daxl_pool_close(other_pool));
	stress_end();
}

/* The call has given want, has said something, and has recalled nobody. */
#define refused(call, want)                                                                                       \
	do {                                                                                                      \
		must_be(call, want);                                                                              \
		ck_assert_msg(daxl_errormsg()[0] != '\0', "%s: no message", #call);                               \
		for (unsigned i_ = 0; i_ < 6; i_++)                                                               \
			ck_assert_msg(holder_recalls(&holders[i_]) == 0,                                          \
			              "%s: holder %u was recalled", #call, i_);                                   \
	} while (0)

static struct daxl_wait wait_of(int64_t timeout_ms, int on_timeout)
{
	struct daxl_wait wait = DAXL_WAIT_INIT;

	wait.timeout_ms = timeout_ms;
	wait.on_timeout = on_timeout;
	return wait;
}

#define PUNCH (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)

/* L5 */
START_TEST(fallocate_and_truncate_refuse_before_they_recall)
{
	static const int modes[] = { 0, FALLOC_FL_KEEP_SIZE, PUNCH, FALLOC_FL_ZERO_RANGE, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
		                     FALLOC_FL_COLLAPSE_RANGE, FALLOC_FL_INSERT_RANGE, FALLOC_FL_UNSHARE_RANGE };
	static const int bad_modes[] = { 1 << 20, FALLOC_FL_PUNCH_HOLE, FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_KEEP_SIZE,
		                         FALLOC_FL_INSERT_RANGE | FALLOC_FL_KEEP_SIZE, PUNCH | FALLOC_FL_ZERO_RANGE,
		                         FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_INSERT_RANGE, -1 };
	struct daxl_wait bad;

	begin("arguments of fallocate and truncate");
	take_all();
	for (unsigned i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		bool shifts = modes[i] == FALLOC_FL_COLLAPSE_RANGE || modes[i] == FALLOC_FL_INSERT_RANGE;

		refused(daxl_fallocate(f, modes[i], -1, BLK, NULL), -EINVAL);
		refused(daxl_fallocate(f, modes[i], 0, 0, NULL), -EINVAL);
		refused(daxl_fallocate(f, modes[i], 0, -1, NULL), -EINVAL);
		refused(daxl_fallocate(ro, modes[i], 0, BLK, NULL), -EBADF);
		refused(daxl_fallocate(f, modes[i], FOREVER_PAST, B(2), NULL), -EFBIG);
		refused(daxl_fallocate(f, modes[i], INT64_MAX, INT64_MAX, NULL), -EFBIG);
		bad = wait_of(-2, 0);
		refused(daxl_fallocate(f, modes[i], 0, BLK, &bad), -EINVAL);
		bad = wait_of(0, 3);
		refused(daxl_fallocate(f, modes[i], 0, BLK, &bad), -EINVAL);
		bad = wait_of(0, 0);
		bad.size = 4;
		refused(daxl_fallocate(f, modes[i], 0, BLK, &bad), -EINVAL);
		bad = wait_of(0, DAXL_ON_TIMEOUT_LIMBO);
		if (shifts)
			refused(daxl_fallocate(f, modes[i], 0, BLK, &bad), -EINVAL);
	}
	for (unsigned i = 0; i < sizeof(bad_modes) / sizeof(bad_modes[0]); i++) {
		refused(daxl_fallocate(f, bad_modes[i], 0, BLK, NULL), -EOPNOTSUPP);
		refused(daxl_fallocate(ro, bad_modes[i], 0, BLK, NULL), -EOPNOTSUPP);
		refused(daxl_fallocate(f, bad_modes[i], -1, BLK, NULL), -EINVAL);
	}
	for (unsigned i = 0; i < 2; i++) {
		int mode = i ? FALLOC_FL_COLLAPSE_RANGE : FALLOC_FL_INSERT_RANGE;

		refused(daxl_fallocate(f, mode, 1, BLK, NULL), -EINVAL);
		refused(daxl_fallocate(f, mode, 0, BLK + 1, NULL), -EINVAL);
		refused(daxl_fallocate(f, mode, B(4), BLK, NULL), -EINVAL);
		refused(daxl_fallocate(f, mode, B(100), BLK, NULL), -EINVAL);
	}
	refused(daxl_fallocate(f, FALLOC_FL_COLLAPSE_RANGE, B(1), B(3), NULL), -EINVAL);
	refused(daxl_fallocate(f, FALLOC_FL_COLLAPSE_RANGE, 0, B(4), NULL), -EINVAL);
	refused(daxl_fallocate(f, FALLOC_FL_INSERT_RANGE, 0, FOREVER_PAST / BLK * BLK - B(1), NULL), -EFBIG);
	refused(daxl_truncate(f, -1, NULL), -EINVAL);
	refused(daxl_truncate(ro, 0, NULL), -EBADF);
	refused(daxl_truncate(f, INT64_MAX, NULL), -EFBIG);
	bad = wait_of(-2, 0);
	refused(daxl_truncate(f, 0, &bad), -EINVAL);
	end();
}
END_TEST

/* L5 */
START_TEST(two_file_calls_refuse_before_they_recall)
{
	struct daxl_wait limbo = wait_of(0, DAXL_ON_TIMEOUT_LIMBO), bad = wait_of(-2, 0);
	bool same;

	begin("arguments of two-file calls");
	take_all();
	refused(daxl_clone_range(f, -1, g, 0, BLK, NULL), -EINVAL);
	refused(daxl_clone_range(f, 0, g, -1, BLK, NULL), -EINVAL);
	refused(daxl_clone_range(f, 0, g, 0, -1, NULL), -EINVAL);
	refused(daxl_clone_range(f, 1, g, 0, BLK, NULL), -EINVAL);
	refused(daxl_clone_range(f, 0, g, 1, BLK, NULL), -EINVAL);
	refused(daxl_clone_range(f, 0, g, 0, BLK + 1, NULL), -EINVAL);
	refused(daxl_clone_range(f, 0, g, 0, 3 * BLK + 50, NULL), -EINVAL);
	refused(daxl_clone_range(f, B(3), g, 0, 100, NULL), -EINVAL); /* ends at the source's end, not at g's */
	refused(daxl_clone_range(f, 0, g, 0, B(4), NULL), -EINVAL);
	refused(daxl_clone_range(f, B(5), g, 0, 0, NULL), -EINVAL);
	refused(daxl_clone_range(f, 0, f, 0, BLK, NULL), -EINVAL);
	refused(daxl_clone_range(f, 0, f, BLK, B(2), NULL), -EINVAL);
	refused(daxl_clone_range(g, 0, ro, 0, BLK, NULL), -EBADF);
	refused(daxl_clone_range(f, 0, foreign, 0, BLK, NULL), -EXDEV);
	refused(daxl_clone_range(f, 0, g, FOREVER_PAST / BLK * BLK, B(2), NULL), -EFBIG);
	refused(daxl_clone_range(f, 0, g, 0, BLK, &bad), -EINVAL);

	refused(daxl_dedupe_range(f, -1, g, 0, BLK, NULL, &same), -EINVAL);
	refused(daxl_dedupe_range(f, 0, g, 0, -1, NULL, &same), -EINVAL);
	refused(daxl_dedupe_range(f, 1, g, 0, BLK, NULL, &same), -EINVAL);
	refused(daxl_dedupe_range(f, 0, g, 0, BLK + 1, NULL, &same), -EINVAL);
	refused(daxl_dedupe_range(f, 0, g, 0, B(4), NULL, &same), -EINVAL);
	refused(daxl_dedupe_range(f, 0, g, B(8), BLK, NULL, &same), -EINVAL);
	refused(daxl_dedupe_range(f, 0, f, 0, BLK, NULL, &same), -EINVAL);
	refused(daxl_dedupe_range(g, 0, ro, 0, BLK, NULL, &same), -EBADF);
	refused(daxl_dedupe_range(f, 0, foreign, 0, BLK, NULL, &same), -EXDEV);
	refused(daxl_dedupe_range(f, 0, g, 0, BLK, &bad, &same), -EINVAL);

	refused(daxl_exchange_range(f, -1, g, 0, BLK, NULL), -EINVAL);
	refused(daxl_exchange_range(f, 0, g, 0, 0, NULL), -EINVAL);
	refused(daxl_exchange_range(f, 1, g, 0, BLK, NULL), -EINVAL);
	refused(daxl_exchange_range(f, 0, g, 0, BLK + 1, NULL), -EINVAL);
	refused(daxl_exchange_range(f, 0, g, 0, B(4), NULL), -EINVAL);
	refused(daxl_exchange_range(f, 0, g, B(1), B(3) + 100, NULL), -EINVAL);
	refused(daxl_exchange_range(f, B(1), g, 0, DAXL_TO_END, NULL), -EINVAL);
	refused(daxl_exchange_range(f, 0, f, 0, BLK, NULL), -EINVAL);
	refused(daxl_exchange_range(f, 0, f, 0, DAXL_TO_END, NULL), -EINVAL);
	refused(daxl_exchange_range(f, 0, ro, BLK, BLK, NULL), -EBADF);
	refused(daxl_exchange_range(ro, 0, g, 0, BLK, NULL), -EBADF);
	refused(daxl_exchange_range(f, 0, foreign, 0, BLK, NULL), -EXDEV);
	refused(daxl_exchange_range(f, 0, g, 0, BLK, &limbo), -EINVAL);

	refused(daxl_copy_range(f, -1, g, 0, BLK), -EINVAL);
	refused(daxl_copy_range(f, 0, g, -1, BLK), -EINVAL);
	refused(daxl_copy_range(f, 0, g, 0, (size_t)INT64_MAX + 1), -EINVAL);
	refused(daxl_copy_range(f, 0, f, 10, 100), -EINVAL);
	refused(daxl_copy_range(g, 0, ro, 0, BLK), -EBADF);
	refused(daxl_copy_range(g, 0, append, 0, BLK), -EBADF);
	refused(daxl_copy_range(f, 0, foreign, 0, BLK), -EXDEV);
	refused(daxl_copy_range(f, 0, g, FOREVER_PAST, B(2)), -EFBIG);
	end();
}
END_TEST

/* L5 */
START_TEST(writes_breaks_and_grants_refuse_before_they_recall)
{
	struct daxl_wait limbo = wait_of(0, DAXL_ON_TIMEOUT_LIMBO), bad = wait_of(-2, 0);
	char x = 0;
	struct iovec iov = { .iov_base = &x, .iov_len = 1 };
	struct daxl_break_handle *brk;
	struct daxl_lease_opts opts;
	struct daxl_lease *lease;

	begin("arguments of writes, breaks and grants");
	take_all();
	refused(daxl_pwrite(f, "x", 1, -1), -EINVAL);
	refused(daxl_pwrite(ro, "x", 1, 0), -EBADF);
	refused(daxl_pwrite(f, "x", 1, INT64_MAX), -EFBIG);
	refused(daxl_pwritev(f, &iov, 1, 0, 1u << 20, NULL), -EOPNOTSUPP);
	refused(daxl_pwritev(f, &iov, -1, 0, DAXL_WRITE_ATOMIC, NULL), -EINVAL);
	refused(daxl_pwritev(f, &iov, 1, 0, DAXL_WRITE_ATOMIC, &bad), -EINVAL);

	refused(daxl_break(f, -1, BLK, DAXL_BREAK_UNMAP, NULL), -EINVAL);
	refused(daxl_break(f, 0, 0, DAXL_BREAK_UNMAP, NULL), -EINVAL);
	refused(daxl_break(f, 0, BLK, 0, NULL), -EINVAL);
	refused(daxl_break(f, 0, BLK, 3, NULL), -EINVAL);
	refused(daxl_break(f, 0, BLK, DAXL_BREAK_UNMAP, &limbo), -EINVAL);
	refused(daxl_break(ro, 0, BLK, DAXL_BREAK_UNMAP, NULL), -EBADF);
	refused(daxl_break(f, FOREVER_PAST, B(2), DAXL_BREAK_UNMAP, NULL), -EFBIG);
	refused(daxl_break_begin(f, -1, BLK, DAXL_BREAK_UNMAP, NULL, &brk), -EINVAL);
	refused(daxl_break_begin(f, 0, 0, DAXL_BREAK_UNMAP, NULL, &brk), -EINVAL);
	refused(daxl_break_begin(f, 0, BLK, 7, NULL, &brk), -EINVAL);
	refused(daxl_break_begin(f, 0, BLK, DAXL_BREAK_UNMAP, &limbo, &brk), -EINVAL);
	refused(daxl_break_begin(ro, 0, BLK, DAXL_BREAK_UNMAP, NULL, &brk), -EBADF);
	refused(daxl_break_begin(f, FOREVER_PAST, B(2), DAXL_BREAK_UNMAP, NULL, &brk), -EFBIG);

	opts = (struct daxl_lease_opts)DAXL_LEASE_OPTS_INIT;
	opts.flags = DAXL_LEASE_EXCLUSIVE;
	refused(daxl_lease_acquire(f, -1, BLK, &opts, &lease), -EINVAL);
	refused(daxl_lease_acquire(f, 0, 0, &opts, &lease), -EINVAL);
	refused(daxl_lease_acquire(f, FOREVER_PAST, B(2), &opts, &lease), -EFBIG);
	opts.wait = &bad;
	refused(daxl_lease_acquire(f, 0, BLK, &opts, &lease), -EINVAL);
	opts.wait = NULL;
	opts.flags = 1u << 30;
	refused(daxl_lease_acquire(f, 0, BLK, &opts, &lease), -EINVAL);
	opts.flags = DAXL_LEASE_EXCLUSIVE;
	opts.mode = 2;
	refused(daxl_lease_acquire(f, 0, BLK, &opts, &lease), -EINVAL);
	opts.mode = DAXL_LEASE_WRITE;
	refused(daxl_lease_acquire(ro, 0, BLK, &opts, &lease), -EBADF);
	refused(daxl_lease_acquire(f, B(100), DAXL_TO_END, &opts, &lease), -EINVAL);
	opts.size = 3;
	refused(daxl_lease_acquire(f, 0, BLK, &opts, &lease), -EINVAL);
	end();
}
END_TEST

/* L5: an operation that a held break does not cover is an argument too. */
START_TEST(what_a_held_break_does_not_cover_is_refused_before_it_recalls)
{
	struct daxl_break_handle *brk;
	struct daxl_wait wait = DAXL_WAIT_INIT;
	struct holder mine = { .returns = true }, beside = { 0 };

	begin("held breaks");
	memset(holders, 0, sizeof(holders));
	for (unsigned i = 0; i < 6; i++)
		holder_take(&holders[i], g, B(10 + i), BLK, DAXL_LEASE_READ, 0);
	holder_take(&mine, f, 0, BLK, DAXL_LEASE_READ, 0);
	holder_take(&beside, f, B(1), BLK, DAXL_LEASE_READ, 0);
	must(daxl_break_begin(f, 0, BLK, DAXL_BREAK_WRITE, NULL, &brk));
	must_be(daxl_break_poll(brk), 1);
	wait.held = brk;
	refused(daxl_fallocate(f, PUNCH, 0, BLK, &wait), -EINVAL);     /* level */
	refused(daxl_fallocate(f, PUNCH, 0, B(2), &wait), -EINVAL);    /* and range */
	refused(daxl_truncate(f, 0, &wait), -EINVAL);
	refused(daxl_fallocate(g, PUNCH, B(10), BLK, &wait), -EINVAL); /* another file */
	refused(daxl_exchange_range(f, 0, g, 0, BLK, &wait), -EINVAL);
	daxl_break_end(brk);
	must(daxl_break_begin(f, 0, BLK, DAXL_BREAK_UNMAP, NULL, &brk));
	wait.held = brk;
	refused(daxl_fallocate(f, PUNCH, 0, B(2), &wait), -EINVAL);
	refused(daxl_fallocate(f, FALLOC_FL_COLLAPSE_RANGE, 0, BLK, &wait), -EINVAL);
	ck_assert_uint_eq(holder_recalls(&beside), 0);
	must(daxl_fallocate(f, PUNCH, 0, BLK, &wait));
	daxl_break_end(brk);
	/* Not drained yet. */
	must(daxl_lease_pin(beside.lease));
	must(daxl_break_begin(f, B(1), BLK, DAXL_BREAK_UNMAP, NULL, &brk));
	wait.held = brk;
	refused(daxl_fallocate(f, PUNCH, B(1), BLK, &wait), -EINVAL);
	daxl_lease_unpin(beside.lease);
	must(daxl_lease_return(beside.lease));
	must_be(daxl_break_poll(brk), 1);
	must(daxl_fallocate(f, PUNCH, B(1), BLK, &wait));
	daxl_break_end(brk);
	daxl_lease_free(mine.lease);
	daxl_lease_free(beside.lease);
	end();
}
END_TEST

/* A check that finds nothing is no failure: what daxl_errormsg said before it still stands. */
START_TEST(a_check_without_findings_leaves_no_message)
{
	const char *dir = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
	char path[256], said[1024];

	snprintf(path, sizeof(path), "%s/daxl_stress_check.%ld", dir, (long)getpid());
	setenv("PMEM2_FORCE_GRANULARITY", "CACHE_LINE", 0);
	must(daxl_pool_create(path, POOL_SIZE, NULL, &other_pool));
	must_be(daxl_unlink(other_pool, "no such file"), -ENOENT);
	snprintf(said, sizeof(said), "%s", daxl_errormsg());
	must(daxl_pool_close(other_pool));
	must(daxl_check(path, 0, NULL, NULL));
	ck_assert_str_eq(daxl_errormsg(), said);
	must(daxl_check(path, DAXL_CHECK_REPAIR, NULL, NULL));
	ck_assert_str_eq(daxl_errormsg(), said);
	unlink(path);
}
END_TEST

int main(int argc, char **argv)
{
	Suite *suite = suite_create("arguments");
	TCase *tc = tcase_create("arguments");

	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, fallocate_and_truncate_refuse_before_they_recall);
	tcase_add_test(tc, two_file_calls_refuse_before_they_recall);
	tcase_add_test(tc, writes_breaks_and_grants_refuse_before_they_recall);
	tcase_add_test(tc, a_check_without_findings_leaves_no_message);
	tcase_add_test(tc, what_a_held_break_does_not_cover_is_refused_before_it_recalls);
	suite_add_tcase(suite, tc);
	return stress_main(argc, argv, suite);
}
