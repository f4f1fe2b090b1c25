/* SPDX-License-Identifier: BSD-3-Clause */
/* A write is done completely or not at all, whatever happens to the file or to the library's memory on the way. */
#include "../unit/faults.h"
#include "file/file.h" /* before stress.h, whose pool its arguments would hide */
#include "stress.h"

#include <urcu/urcu-bp.h>

#include "base/hook.h"

#define B(n) ((off_t)((n) * BLK))
#define LONG_WRITE (64 * BLK)

static struct daxl_file *f;
static struct daxl_lease *hole_lease;

/* The second half becomes a hole that somebody shows a device. */
static void punch_and_lease(void *arg)
{
	(void)arg;
	must(daxl_fallocate(f, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, LONG_WRITE / 2, LONG_WRITE / 2, NULL));
	must(daxl_lease_acquire(f, LONG_WRITE / 2, LONG_WRITE / 2, NULL, &hole_lease));
}

/* L6: the map changes under a write that has begun to store, into one for which it would have to wait, and may not: it is done all the same, before the change. */
START_TEST(p4_a_write_that_has_begun_is_not_cut_short)
{
	static char buf[LONG_WRITE], back[LONG_WRITE];
	struct daxl_wait wait = DAXL_WAIT_INIT;

	stress_begin("write, map changes");
	f = stress_file("f", LONG_WRITE);
	memset(buf, 'w', sizeof(buf));
	wait.timeout_ms = 0;
	must(daxl_set_wait(f, &wait));
	points_on();
	point_call("write:looked-up", punch_and_lease, NULL);
	must_be(daxl_pwrite(f, buf, sizeof(buf), 0), (long long)sizeof(buf));
	points_off();
	must_be(daxl_pread(f, back, sizeof(back), 0), (long long)sizeof(back));
	ck_assert_mem_eq(buf, back, LONG_WRITE / 2);
	ck_assert(all_zero(back + LONG_WRITE / 2, LONG_WRITE / 2));
	ck_assert_int_eq(daxl_lease_state(hole_lease), DAXL_LEASE_LIVE); /* it was not in the way */
	daxl_lease_free(hole_lease);
	must(daxl_close(f));
	stress_end();
}
END_TEST

static long fail_at;

static bool fail_nth(const char *point, void *arg)
{
	(void)arg;
	return fault_is_memory(point) && fail_at-- == 0;
}

/* Whatever allocation fails, a write over written blocks and holes in turn leaves every byte as it was. */
START_TEST(a_write_that_fails_has_stored_nothing)
{
	enum { BLOCKS = 60 };
	static char was[BLOCKS * BLK], buf[BLOCKS * BLK], back[BLOCKS * BLK];
	long n, failed = 0;

	stress_begin("write fails");
	f = stress_file("f", B(BLOCKS) - 100);
	for (unsigned i = 1; i < BLOCKS - 1; i += 2)
		must(daxl_fallocate(f, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, B(i), BLK, NULL));
	must_be(daxl_pread(f, was, sizeof(was), 0), (long long)sizeof(was) - 100);
	memset(buf, 'w', sizeof(buf));
	for (n = 0;; n++) {
		fail_at = n;
		daxl_fault_set(fail_nth, NULL);
		ssize_t rc = daxl_pwrite(f, buf, sizeof(buf), 0);

		daxl_fault_set(NULL, NULL);
		if (rc == (ssize_t)sizeof(buf))
			break;
		ck_assert_msg(rc == -ENOMEM || rc == -ENOSPC, "fault %ld: %zd", n, rc);
		failed++;
		must_be(daxl_pread(f, back, sizeof(back), 0), (long long)sizeof(back) - 100);
		ck_assert_msg(memcmp(back, was, sizeof(back) - 100) == 0, "fault %ld: bytes have changed", n);
	}
	ck_assert_int_gt(failed, 0);
	must_be(daxl_pread(f, back, sizeof(back), 0), (long long)sizeof(back));
	ck_assert_mem_eq(back, buf, sizeof(buf));
	must(daxl_close(f));
	stress_end();
}
END_TEST

/* P47, L7: a write behind a change of its very blocks waits for it, but for one in a read section, which has stored nothing. */
START_TEST(p47_a_write_in_a_read_section_does_not_wait_for_a_change)
{
	struct job change, write;
	char buf[BLK], byte;

	stress_begin("P47 write");
	f = stress_file("f", B(4));
	points_on();
	point_park("op:drained");
	job_start(&change, &CALL(.op = OP_COLLAPSE, .file = f, .off = B(1), .len = BLK));
	point_wait_parked("op:drained");
	memset(buf, 'w', sizeof(buf));
	urcu_bp_read_lock();
	must_be(daxl_pwrite(f, buf, sizeof(buf), B(2)), -EDEADLK);
	must_be(daxl_pread(f, &byte, 1, B(2)), 1);
	ck_assert_int_ne(byte, 'w');
	must_be(daxl_pwrite(f, buf, sizeof(buf), 0), BLK); /* beside it */
	urcu_bp_read_unlock();
	job_start(&write, &CALL(.op = OP_WRITE, .file = f, .off = B(2), .len = BLK));
	point_wait("writer:sleep", 1);
	ck_assert(!job_done(&write));
	point_release("op:drained");
	must(job_join(&change));
	must(job_join(&write));
	points_off();
	must(daxl_close(f));
	stress_end();
}
END_TEST

static int write_first_block(void *arg)
{
	char buf[BLK];

	memset(buf, *(const char *)arg, sizeof(buf));
	return daxl_pwrite(f, buf, BLK, 0) == BLK ? 0 : -EIO;
}

/* A write behind the end of the file has nobody to keep out. One that finds it grown when its turn comes has, and does. */
START_TEST(a_write_behind_the_end_may_find_the_file_grown)
{
	static char letters[] = "ab";
	struct job first, second;
	char back[BLK];

	stress_begin("write behind the end");
	f = stress_file("f", 0);
	points_on();
	point_park("op:drained");
	job_start_fn(&first, write_first_block, &letters[0]);
	point_wait_parked("op:drained");
	ck_assert_uint_eq(point_count("break:changing"), 0);
	job_start_fn(&second, write_first_block, &letters[1]);
	point_wait("break:queue-sleep", 1);
	point_release("op:drained");
	must(job_join(&first));
	must(job_join(&second));
	ck_assert_uint_eq(point_count("break:changing"), 1);
	points_off();
	must_be(daxl_pread(f, back, BLK, 0), BLK);
	for (unsigned i = 0; i < BLK; i++)
		ck_assert_int_eq(back[i], 'b');
	must(daxl_close(f));
	stress_end();
}
END_TEST

static int write_tail(void *arg)
{
	return daxl_pwrite(f, arg, 50, B(1)) == 50 ? 0 : -EIO;
}

/*
 * The tail block of a growing file is shared, and so is copied; meanwhile it is shared no more, and somebody writes into the tail in place. What he wrote is in
 * the copy, too.
 */
START_TEST(a_write_into_a_tail_that_is_being_copied_is_not_lost)
{
	static const enum op grows[] = { OP_TRUNCATE, OP_ALLOCATE };
	char buf[50], back[50];
	struct daxl_file *g;
	struct job growth, write;

	stress_begin("write, tail copied");
	f = stress_file("f", BLK + 100);
	g = stress_file("g", 0);
	must(daxl_clone_range(f, 0, g, 0, 0, NULL));
	memset(buf, 'w', sizeof(buf));
	points_on();
	point_park("commit:enter");
	job_start(&growth, &CALL(.op = grows[_i], .file = f, .off = B(4), .len = BLK));
	point_wait_parked("commit:enter");
	must(daxl_truncate(g, 0, NULL));
	daxl_wait_for_frees(pool);
	job_start_fn(&write, write_tail, buf);
	while (!job_done(&write) && point_count("writer:sleep") == 0)
		sched_yield();
	point_release("commit:enter");
	must(job_join(&growth));
	must(job_join(&write));
	points_off();
	must_be(daxl_pread(f, back, sizeof(back), B(1)), (long long)sizeof(back));
	ck_assert_mem_eq(buf, back, sizeof(buf));
	must(daxl_close(f));
	must(daxl_close(g));
	stress_end();
}
END_TEST

int main(int argc, char **argv)
{
	Suite *suite = suite_create("writes");
	TCase *tc = tcase_create("writes");

	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, p4_a_write_that_has_begun_is_not_cut_short);
	tcase_add_test(tc, a_write_that_fails_has_stored_nothing);
	tcase_add_test(tc, p47_a_write_in_a_read_section_does_not_wait_for_a_change);
	tcase_add_test(tc, a_write_behind_the_end_may_find_the_file_grown);
	tcase_add_loop_test(tc, a_write_into_a_tail_that_is_being_copied_is_not_lost, 0, 2);
	suite_add_tcase(suite, tc);
	return stress_main(argc, argv, suite);
}
