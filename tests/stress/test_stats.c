/* SPDX-License-Identifier: BSD-3-Clause */
/* <daxlayout/stats.h>, figure by figure: what each field promises is brought about once, and the count looked at. */
#include "stress.h"

#define B(n) ((off_t)((n) * BLK))

static struct daxl_stats was, now; /* large */

static void look(void)
{
	was = now;
	must(daxl_stats(pool, &now));
}

#define GREW(field) (now.field - was.field)
#define OP_GREW(which, field) GREW(op[which].field)

/* A histogram has grown by n, and its parts agree. */
static void timed(unsigned which, unsigned n)
{
	const struct daxl_histogram *h = &now.histogram[which];
	uint64_t sum = 0, least = 0;

	for (unsigned i = 0; i < DAXL_HISTOGRAM_BUCKETS; i++) {
		sum += h->bucket[i];
		least += h->bucket[i] * (i ? UINT64_C(1) << i : 0);
	}
	ck_assert_msg(GREW(histogram[which].count) == n, "histogram %u: %llu times more, not %u", which,
	              (unsigned long long)GREW(histogram[which].count), n);
	ck_assert_uint_eq(sum, h->count);
	ck_assert_uint_ge(h->sum_ns, least);
	ck_assert_uint_le(h->max_ns, h->sum_ns);
	ck_assert(h->count == 0 || h->sum_ns / h->count <= h->max_ns);
}

static void untimed_but(unsigned which)
{
	for (unsigned i = 0; i < DAXL_HISTOGRAM_SLOTS; i++)
		if (i != which)
			timed(i, 0);
}

/* recalls counts leases, breaks calls; who has nobody to wait for does not wait. */
START_TEST(recalls_are_counted_for_the_call_that_made_them)
{
	struct holder a = { .returns = true }, b = { .returns = true };
	struct daxl_file *f;

	stress_begin("stats recalls");
	f = stress_file("f", B(4));
	holder_take(&a, f, 0, BLK, DAXL_LEASE_READ, 0);
	holder_take(&b, f, 0, B(2), DAXL_LEASE_READ, 0);
	look();
	must(call_run(&CALL(.op = OP_PUNCH, .file = f, .len = BLK)));
	must(call_run(&CALL(.op = OP_PUNCH, .file = f, .len = BLK)));
	look();
	ck_assert_uint_eq(OP_GREW(DAXL_STAT_PUNCH, calls), 2);
	ck_assert_uint_eq(OP_GREW(DAXL_STAT_PUNCH, breaks), 1);
	ck_assert_uint_eq(OP_GREW(DAXL_STAT_PUNCH, recalls), 2);
	ck_assert_uint_eq(OP_GREW(DAXL_STAT_PUNCH, waits), 0);
	ck_assert_uint_eq(OP_GREW(DAXL_STAT_RETURN, calls), 2); /* by the recall functions, inside the punch */
	ck_assert_uint_eq(OP_GREW(DAXL_STAT_RETURN, recalls), 0);
	ck_assert_uint_ge(OP_GREW(DAXL_STAT_PUNCH, fences), 1);
	ck_assert_uint_ge(OP_GREW(DAXL_STAT_PUNCH, lines), 1);
	ck_assert_uint_eq(OP_GREW(DAXL_STAT_WRITE, breaks), 0);
	untimed_but(DAXL_HISTOGRAMS);
	daxl_lease_free(a.lease);
	daxl_lease_free(b.lease);
	must(daxl_close(f));
	stress_end();
}
END_TEST

/* Who gives up has had somebody to wait for; a timeout of 0 is no wait. */
START_TEST(giving_up_is_counted)
{
	struct holder h = { 0 };
	struct daxl_file *f;
	struct call call;

	stress_begin("stats giving up");
	f = stress_file("f", B(4));
	holder_take(&h, f, 0, BLK, DAXL_LEASE_READ, 0);
	look();
	call = CALL(.op = OP_TRUNCATE, .file = f);
	call.wait.timeout_ms = 0;
	must_be(call_run(&call), -EAGAIN);
	must_be(call_run(&call), -EAGAIN);
	look();
	ck_assert_uint_eq(OP_GREW(DAXL_STAT_TRUNCATE, breaks), 2);
	ck_assert_uint_eq(OP_GREW(DAXL_STAT_TRUNCATE, recalls), 1); /* once in the lease's life */
	ck_assert_uint_eq(OP_GREW(DAXL_STAT_TRUNCATE, waits), 0);
	ck_assert_uint_eq(OP_GREW(DAXL_STAT_TRUNCATE, errors), 2);
	untimed_but(DAXL_HISTOGRAMS);
	call.wait.timeout_ms = 5;
	must_be(call_run(&call), -ETIMEDOUT);
	look();
	ck_assert_uint_eq(OP_GREW(DAXL_STAT_TRUNCATE, breaks), 1);
	ck_assert_uint_eq(OP_GREW(DAXL_STAT_TRUNCATE, waits), 1);
	ck_assert_uint_eq(OP_GREW(DAXL_STAT_TRUNCATE, timeouts), 1);
	timed(DAXL_HISTOGRAM_BREAK_WAIT, 1);
	untimed_but(DAXL_HISTOGRAM_BREAK_WAIT);
	ck_assert_uint_ge(GREW(histogram[DAXL_HISTOGRAM_BREAK_WAIT].sum_ns), 4000000);
	daxl_lease_free(h.lease);
	must(daxl_close(f));
	stress_end();
}
END_TEST

/* Two breaks behind each other: one waits for pins, the other in the queue. */
START_TEST(waits_for_leases_and_in_the_queue_are_told_apart)
{
	struct holder h = { .returns = true };
	struct daxl_file *f;
	struct job first, second;

	stress_begin("stats waits");
	f = stress_file("f", B(4));
	holder_take(&h, f, 0, BLK, DAXL_LEASE_READ, 0);
	must(daxl_lease_pin(h.lease));
	look();
	points_on();
	job_start(&first, &CALL(.op = OP_PUNCH, .file = f, .len = BLK));
	wait_for_sleeper(1);
	job_start(&second, &CALL(.op = OP_ZERO, .file = f, .len = BLK));
	point_wait("break:queue-sleep", 1);
	daxl_lease_unpin(h.lease);
	must(job_join(&first));
	must(job_join(&second));
	points_off();
	look();
	ck_assert_uint_eq(OP_GREW(DAXL_STAT_PUNCH, waits), 1);
	ck_assert_uint_eq(OP_GREW(DAXL_STAT_PUNCH, recalls), 1);
	ck_assert_uint_eq(OP_GREW(DAXL_STAT_ZERO, waits), 1);
	ck_assert_uint_eq(OP_GREW(DAXL_STAT_ZERO, breaks), 0);
	timed(DAXL_HISTOGRAM_BREAK_WAIT, 1);
	timed(DAXL_HISTOGRAM_QUEUE_WAIT, 1);
	timed(DAXL_HISTOGRAM_GRANT_WAIT, 0);
	daxl_lease_free(h.lease);
	must(daxl_close(f));
	stress_end();
}
END_TEST

static struct daxl_file *grant_file;

static int take_one(void *arg)
{
	holder_take(arg, grant_file, 0, BLK, DAXL_LEASE_READ, 0);
	return 0;
}

START_TEST(a_grant_that_waits_is_timed_and_others_are_not)
{
	struct holder ex = { 0 }, h = { 0 }, free = { 0 };
	struct job job;

	stress_begin("stats grant");
	grant_file = stress_file("f", B(4));
	holder_take(&ex, grant_file, 0, BLK, DAXL_LEASE_READ, DAXL_LEASE_EXCLUSIVE);
	look();
	holder_take(&free, grant_file, B(1), BLK, DAXL_LEASE_READ, 0);
	points_on();
	job_start_fn(&job, take_one, &h);
	wait_for_sleeper(1);
	must(daxl_lease_return(ex.lease));
	must(job_join(&job));
	points_off();
	look();
	ck_assert_uint_eq(OP_GREW(DAXL_STAT_ACQUIRE, calls), 2);
	ck_assert_uint_eq(OP_GREW(DAXL_STAT_ACQUIRE, waits), 1);
	ck_assert_uint_eq(OP_GREW(DAXL_STAT_ACQUIRE, recalls), 1);
	timed(DAXL_HISTOGRAM_GRANT_WAIT, 1);
	daxl_lease_free(ex.lease);
	daxl_lease_free(free.lease);
	daxl_lease_free(h.lease);
	must(daxl_close(grant_file));
	stress_end();
}
END_TEST

START_TEST(fences_and_limbo_are_counted)
{
	struct daxl_pool_opts opts = DAXL_POOL_OPTS_INIT;
	struct daxl_file *f;

	opts.lease_break_ms = 5;
	stress_begin_with("stats fence, limbo", &opts);
	f = stress_file("f", B(8));
	look();
	for (int refuses = 1; refuses >= 0; refuses--) {
		struct holder h = { .fence_says = refuses };
		struct call call = CALL(.op = OP_PUNCH, .file = f, .len = BLK);

		holder_take(&h, f, 0, BLK, DAXL_LEASE_READ, 0);
		call.wait.timeout_ms = 5;
		call.wait.on_timeout = DAXL_ON_TIMEOUT_FENCE;
		must_be(call_run(&call), refuses ? -ETIMEDOUT : 0);
		look();
		ck_assert_uint_eq(GREW(fences_failed), (unsigned)refuses);
		ck_assert_uint_eq(GREW(revoked_fence), 1u - (unsigned)refuses);
		timed(DAXL_HISTOGRAM_FENCE_CALL, 1);
		daxl_lease_free(h.lease);
		look();
	}
	struct holder pinned = { 0 }, late = { 0 };
	struct call call = CALL(.op = OP_PUNCH, .file = f, .off = B(1), .len = B(5));
	struct daxl_pool_stat st;

	holder_take(&pinned, f, B(1), B(3), DAXL_LEASE_READ, 0);
	holder_take(&late, f, B(3), B(3), DAXL_LEASE_READ, 0);
	must(daxl_lease_pin(pinned.lease));
	call.wait.timeout_ms = 5;
	call.wait.on_timeout = DAXL_ON_TIMEOUT_LIMBO;
	must(call_run(&call));
	look();
	ck_assert_uint_eq(GREW(revoked_limbo), 2);
	ck_assert_uint_eq(GREW(limbo_blocks), 3); /* and not those under the lease that was only not returned */
	must(daxl_pool_stat(pool, &st));
	ck_assert_uint_eq(st.limbo_blocks, 3);
	daxl_lease_unpin(pinned.lease);
	look();
	ck_assert_uint_eq(GREW(limbo_blocks), 0);
	ck_assert_uint_eq(GREW(revoked_limbo), 0);
	daxl_lease_free(pinned.lease);
	daxl_lease_free(late.lease);
	must(daxl_close(f));
	stress_end();
}
END_TEST

/* Steps of an asynchronous break are counted for it, in whatever call they are made. */
START_TEST(an_asynchronous_break_counts_as_one)
{
	struct holder h = { .returns = true };
	struct daxl_break_handle *first, *brk;
	struct daxl_event ev;
	struct daxl_file *f;

	stress_begin("stats break_begin");
	f = stress_file("f", B(4));
	holder_take(&h, f, B(1), BLK, DAXL_LEASE_READ, 0);
	must(daxl_lease_pin(h.lease));
	look();
	must(daxl_break_begin(f, 0, BLK, DAXL_BREAK_UNMAP, NULL, &first));
	must(daxl_break_begin(f, 0, B(2), DAXL_BREAK_UNMAP, NULL, &brk));
	look();
	ck_assert_uint_eq(OP_GREW(DAXL_STAT_BREAK, calls), 2);
	ck_assert_uint_eq(OP_GREW(DAXL_STAT_BREAK, recalls), 0);
	daxl_break_end(first);
	while (holder_recalls(&h) == 0)
		(void)daxl_event_next(pool, &ev);
	must_be(daxl_break_poll(brk), 0);
	daxl_lease_unpin(h.lease);
	must_be(daxl_break_poll(brk), 1);
	look();
	ck_assert_uint_eq(OP_GREW(DAXL_STAT_BREAK, calls), 0);
	ck_assert_uint_eq(OP_GREW(DAXL_STAT_BREAK, recalls), 1);
	ck_assert_uint_eq(OP_GREW(DAXL_STAT_BREAK, breaks), 1);
	timed(DAXL_HISTOGRAM_QUEUE_WAIT, 1);
	timed(DAXL_HISTOGRAM_BREAK_WAIT, 1);
	daxl_break_end(brk);
	daxl_lease_free(h.lease);
	must(daxl_close(f));
	stress_end();
}
END_TEST

/* A checkpoint counts for itself, whoever asks for it; its fences are not those of the call that found it due. */
START_TEST(checkpoints_count_for_themselves)
{
	struct daxl_pool_opts opts = DAXL_POOL_OPTS_INIT;
	struct daxl_file *f;

	opts.log_size = 256 << 10;
	stress_begin_with("stats checkpoint", &opts);
	f = stress_file("f", B(4));
	look();
	must(daxl_pool_checkpoint(pool));
	look();
	ck_assert_uint_eq(OP_GREW(DAXL_STAT_CHECKPOINT, calls), 1);
	ck_assert_uint_ge(OP_GREW(DAXL_STAT_CHECKPOINT, fences), 1);
	timed(DAXL_HISTOGRAM_CHECKPOINT, 1);
	uint64_t calls = 0;

	do {
		must(daxl_truncate(f, calls++ % 2 ? B(4) : B(5), NULL));
		look();
	} while (OP_GREW(DAXL_STAT_CHECKPOINT, calls) == 0 && calls < 10000);
	ck_assert_uint_eq(OP_GREW(DAXL_STAT_CHECKPOINT, calls), 1);
	ck_assert_uint_eq(OP_GREW(DAXL_STAT_TRUNCATE, calls), 1);
	ck_assert_uint_le(OP_GREW(DAXL_STAT_TRUNCATE, fences), 1); /* its record */
	ck_assert_uint_ge(OP_GREW(DAXL_STAT_CHECKPOINT, fences), 1);
	timed(DAXL_HISTOGRAM_CHECKPOINT, 1);
	must(daxl_close(f));
	stress_end();
}
END_TEST

/* A full pool whose blocks have just been freed: the next write waits for them. */
START_TEST(waits_for_freed_blocks_are_counted)
{
	static char buf[256 * BLK];
	struct daxl_file *f;
	off_t size = 0;
	ssize_t n;

	stress_begin("stats grace");
	f = stress_file("f", 0);
	look();
	while ((n = daxl_pwrite(f, buf, sizeof(buf), size)) > 0)
		size += n;
	must_be(n, -ENOSPC);
	for (unsigned i = 0; i < 1000 && GREW(grace_waits) == 0; i++) { /* they may have been freed already */
		must(daxl_truncate(f, size - (off_t)sizeof(buf), NULL));
		must_be(daxl_pwrite(f, buf, sizeof(buf), size - (off_t)sizeof(buf)), (long long)sizeof(buf));
		must(daxl_stats(pool, &now));
	}
	ck_assert_uint_gt(GREW(grace_waits), 0);
	must(daxl_close(f));
	stress_end();
}
END_TEST

int main(int argc, char **argv)
{
	Suite *suite = suite_create("stats");
	TCase *tc = tcase_create("stats");

	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, recalls_are_counted_for_the_call_that_made_them);
	tcase_add_test(tc, giving_up_is_counted);
	tcase_add_test(tc, waits_for_leases_and_in_the_queue_are_told_apart);
	tcase_add_test(tc, a_grant_that_waits_is_timed_and_others_are_not);
	tcase_add_test(tc, fences_and_limbo_are_counted);
	tcase_add_test(tc, an_asynchronous_break_counts_as_one);
	tcase_add_test(tc, checkpoints_count_for_themselves);
	tcase_add_test(tc, waits_for_freed_blocks_are_counted);
	suite_add_tcase(suite, tc);
	return stress_main(argc, argv, suite);
}
