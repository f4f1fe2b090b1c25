/* SPDX-License-Identifier: BSD-3-Clause */
/* What grace periods and counts are for: readers and writers held in the middle of the library's own accesses. */
#include "stress.h"

#include <sched.h>

#define B(n) ((off_t)((n) * BLK))

static struct daxl_file *f, *g;
static char read_buf[BLK];

static int read_block(void *arg)
{
	return daxl_pread(arg, read_buf, BLK, 0) == BLK ? 0 : -EIO;
}

static int write_block(void *arg)
{
	char buf[BLK];

	memset(buf, 'w', BLK);
	return daxl_pwrite(arg, buf, BLK, 0) == BLK ? 0 : -EIO;
}

/* Blocks that could be taken now. */
static uint64_t takable(void)
{
	struct daxl_pool_stat st;

	must(daxl_pool_stat(pool, &st));
	return st.free_blocks;
}

/*
 * L1: blocks freed while the library works off an earlier batch get a grace period of their own. The worker is held
 * between the two batches; a reader looks up a block then, which is freed behind its back.
 */
START_TEST(blocks_freed_during_a_grace_period_wait_for_the_next)
{
	struct job reader;

	stress_begin("second batch");
	f = stress_file("f", B(2));
	g = stress_file("g", B(2));
	points_on();
	point_park("retire:batch");
	must(daxl_truncate(g, 0, NULL));
	point_wait_parked("retire:batch");
	point_park("read:looked-up");
	job_start_fn(&reader, read_block, f);
	point_wait_parked("read:looked-up");
	must(daxl_truncate(f, 0, NULL));
	uint64_t before = takable();

	point_release("retire:batch");
	/* Nothing tells that the worker waits: it gets many turns in which to do wrong. */
	for (unsigned i = 0; i < 20000; i++) {
		ck_assert_uint_eq(takable(), before);
		sched_yield();
	}
	point_release("read:looked-up");
	must(job_join(&reader));
	points_off();
	ck_assert_int_eq(tag_foreign(read_buf, BLK, file_id(f), 0), 0);
	must(daxl_close(f));
	must(daxl_close(g));
	stress_end();
}
END_TEST

static struct holder stable[2];

static int take_stable(void *arg)
{
	holder_take_as(arg, f, 0, BLK, DAXL_LEASE_READ, DAXL_LEASE_STABLE, 7);
	return 0;
}

/* STABLE leases are granted when the writers that were under way are out: what they show does not change afterwards. */
START_TEST(a_stable_grant_waits_for_writers_under_way)
{
	struct job writer, grants[2];

	stress_begin("settle");
	f = stress_file("f", B(1));
	points_on();
	point_park("write:looked-up");
	job_start_fn(&writer, write_block, f);
	point_wait_parked("write:looked-up");
	for (unsigned i = 0; i < 2; i++) {
		stable[i] = (struct holder){ .returns = true };
		job_start_fn(&grants[i], take_stable, &stable[i]);
	}
	point_wait("grant:granted", 2);
	while (!job_done(&grants[0]) && !job_done(&grants[1]) && point_count("writers:drain-sleep") == 0)
		sched_yield();
	ck_assert(!job_done(&grants[0]) && !job_done(&grants[1]));
	point_release("write:looked-up");
	must(job_join(&writer));
	for (unsigned i = 0; i < 2; i++) {
		must(job_join(&grants[i]));
		ck_assert_int_eq(holder_addr(&stable[i], 0)[0], 'w');
		ck_assert_uint_eq(holder_recalls(&stable[i]), 0);
	}
	points_off();
	for (unsigned i = 0; i < 2; i++)
		daxl_lease_free(stable[i].lease);
	must(daxl_close(f));
	stress_end();
}
END_TEST

/* P19: a read held between look-up and copy while its block becomes another file's and is written, reads again. */
START_TEST(p19_a_reader_held_across_an_exchange_reads_again)
{
	struct job reader;
	char buf[BLK];

	stress_begin("P19 reader held");
	f = stress_file("f", B(1));
	g = stress_file("g", B(1));
	memset(buf, 'g', BLK);
	must_be(daxl_pwrite(g, buf, BLK, 0), BLK);
	points_on();
	point_park("read:looked-up");
	job_start_fn(&reader, read_block, f);
	point_wait_parked("read:looked-up");
	must(daxl_exchange_range(f, 0, g, 0, BLK, NULL));
	memset(buf, 'x', BLK); /* into the block that was f's */
	must_be(daxl_pwrite(g, buf, BLK, 0), BLK);
	point_release("read:looked-up");
	must(job_join(&reader));
	points_off();
	for (unsigned i = 0; i < BLK; i++)
		ck_assert_int_eq(read_buf[i], 'g');
	must(daxl_close(f));
	must(daxl_close(g));
	stress_end();
}
END_TEST

static int exchange(void *arg)
{
	(void)arg;
	return daxl_exchange_range(f, 0, g, 0, BLK, NULL);
}

/* P19: a reader whose block moves each time it has looked counts itself, and then the next move waits for it. */
START_TEST(p19_a_reader_that_is_overtaken_four_times_is_waited_for)
{
	struct job reader, mover;
	unsigned round = 1;

	stress_begin("P19 reader counted");
	f = stress_file("f", B(1));
	g = stress_file("g", B(1));
	must(write_block(f));
	points_on();
	point_park("read:looked-up");
	job_start_fn(&reader, read_block, f);
	for (; round <= 4; round++) {
		point_wait("read:looked-up", round);
		must(exchange(NULL));
		point_park("read:looked-up"); /* the next look */
		point_release("read:looked-up");
	}
	point_wait("read:looked-up", round);
	job_start_fn(&mover, exchange, NULL);
	while (!job_done(&mover) && point_count("writers:drain-sleep") == 0)
		sched_yield();
	ck_assert(!job_done(&mover));
	point_release("read:looked-up");
	must(job_join(&reader));
	must(job_join(&mover));
	points_off();
	for (unsigned i = 0; i < BLK; i++)
		ck_assert_int_eq(read_buf[i], 'w');
	must(daxl_close(f));
	must(daxl_close(g));
	stress_end();
}
END_TEST

int main(int argc, char **argv)
{
	Suite *suite = suite_create("grace");
	TCase *tc = tcase_create("grace");

	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, blocks_freed_during_a_grace_period_wait_for_the_next);
	tcase_add_test(tc, a_stable_grant_waits_for_writers_under_way);
	tcase_add_test(tc, p19_a_reader_held_across_an_exchange_reads_again);
	tcase_add_test(tc, p19_a_reader_that_is_overtaken_four_times_is_waited_for);
	suite_add_tcase(suite, tc);
	return stress_main(argc, argv, suite);
}
