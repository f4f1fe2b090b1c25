/* SPDX-License-Identifier: BSD-3-Clause */
/* Operations whose single steps fail or are held: what they leave, and who waits for them. */
#include "stress.h"

#include <sched.h>

#include "base/hook.h"
#include "media/media.h"

#define B(n) ((off_t)((n) * BLK))

static struct daxl_file *f, *g;
static unsigned to_fail, passed; /* which of this thread's fault points fails; how many were passed */

static bool nth(const char *point, void *arg)
{
	(void)point;
	return pthread_equal(*(pthread_t *)arg, pthread_self()) && ++passed == to_fail;
}

static void fill(struct daxl_file *file, off_t blocks)
{
	char buf[BLK];

	for (off_t at = 0; at < B(blocks); at += BLK) {
		tag_fill(buf, BLK, 1, at, 1);
		must_be(daxl_pwrite(file, buf, BLK, at), BLK);
	}
}

/* Whether file is as fill has left it. */
static bool is_as_filled(struct daxl_file *file, off_t blocks)
{
	char buf[BLK];

	if (file_size(file) != (uint64_t)B(blocks))
		return false;
	for (off_t at = 0; at < B(blocks); at += BLK)
		if (daxl_pread(file, buf, BLK, at) != BLK || all_zero(buf, BLK) || tag_foreign(buf, BLK, 1, at))
			return false;
	return true;
}

/* The maps of both files, one behind the other: also which blocks are shared. */
static void maps(struct daxl_extent *exts)
{
	memset(exts, 0, 32 * sizeof(*exts));
	ck_assert_int_lt(daxl_map(f, 0, DAXL_TO_END, exts, 16), 16);
	ck_assert_int_lt(daxl_map(g, 0, DAXL_TO_END, exts + 16, 16), 16);
}

/* One round of an operation under limbo over a busy range. *ret_faults: the fault points that it passed. */
static int late_holder(enum op op, unsigned fail_at, unsigned *ret_faults)
{
	struct daxl_extent before[32], after[32];
	pthread_t self = pthread_self();
	struct holder h = { 0 };

	stress_begin("P2");
	f = stress_file("f", 0);
	g = stress_file("g", 0);
	fill(f, 6);
	fill(g, 6);
	struct daxl_lease_opts opts = holder_opts(&h, DAXL_LEASE_READ, 0);

	opts.break_ms = 1;
	must(daxl_lease_acquire(f, 0, B(4), &opts, &h.lease));
	must(daxl_lease_pin(h.lease));

	struct call call = CALL(.op = op, .file = f, .other = g, .off = 100, .len = B(2));

	if (op == OP_CLONE)
		call.off = 0;
	call.wait.timeout_ms = 1;
	call.wait.on_timeout = DAXL_ON_TIMEOUT_LIMBO;
	uint64_t free_before = free_blocks();

	maps(before);

	to_fail = fail_at;
	passed = 0;
	daxl_fault_set(nth, &self);
	int rc = call_run(&call);

	daxl_fault_set(NULL, NULL);
	*ret_faults = passed;
	if (rc < 0) { /* nothing has changed, no block is lost, and it can be done again */
		ck_assert_msg(is_as_filled(f, 6) && is_as_filled(g, 6), "%s failed at %u and changed a file", op_name[op], fail_at);
		maps(after);
		ck_assert_msg(memcmp(before, after, sizeof(before)) == 0, "%s failed at %u and changed a map", op_name[op], fail_at);
		ck_assert_uint_eq(free_blocks(), free_before);
		ck_assert_int_eq(holder_recalls(&h) <= 1, 1);
		must(call_run(&call));
	}
	daxl_lease_unpin(h.lease);
	daxl_lease_free(h.lease);
	must(daxl_close(f));
	must(daxl_close(g));
	stress_end();
	return rc;
}

/* P2, L6: no step of a break swallows its error: wherever it fails, the call says so, and the map is as it was. */
START_TEST(p2_every_step_of_a_break_may_fail)
{
	static const enum op ops[] = { OP_PUNCH, OP_ZERO, OP_TRUNCATE, OP_ATOMIC_WRITE, OP_CLONE };
	enum op op = ops[_i];
	unsigned faults, failures = 0;

	must(late_holder(op, 0, &faults));
	for (unsigned n = 1; n <= faults && n < 200; n++) {
		unsigned again;
		int rc = late_holder(op, n, &again);

		ck_assert_msg(rc == 0 || rc == -ENOMEM || rc == -ENOSPC || rc == -EAGAIN, "%s: %d", op_name[op], rc);
		failures += rc < 0;
	}
	ck_assert_uint_gt(failures, 3); /* recall, limbo, build and commit take memory */
}
END_TEST

static int fill_hole(void *arg)
{
	char buf[BLK];

	(void)arg;
	tag_fill(buf, BLK, 1, B(1), 1);
	return daxl_pwrite(f, buf, BLK, B(1)) == BLK ? 0 : -EIO;
}

/* P7: a block that is being filled is not passed over: the punch waits for the filler, then finds the block. */
START_TEST(p7_a_punch_waits_for_a_filler_and_finds_its_block)
{
	static const char *const points[] = { "op:drained", "commit:ticket", "commit:durable" };
	struct daxl_extent ext;
	struct job filler, punch;

	stress_begin("P7");
	f = stress_file("f", 0);
	must(daxl_truncate(f, B(4), NULL));
	points_on();
	point_park(points[_i]);
	job_start_fn(&filler, fill_hole, NULL);
	point_wait_parked(points[_i]);
	struct call call = CALL(.op = OP_PUNCH, .file = f, .off = 0, .len = B(4));

	call.wait.timeout_ms = DAXL_WAIT_FOREVER;
	job_start(&punch, &call);
	while (!job_done(&punch) && point_count("break:queue-sleep") == 0)
		sched_yield();
	ck_assert(!job_done(&punch));
	point_release(points[_i]);
	must(job_join(&filler));
	must(job_join(&punch));
	points_off();
	must_be(daxl_map(f, 0, B(4), &ext, 1), 1);
	ck_assert_uint_eq(ext.flags, DAXL_EXTENT_HOLE);
	must(daxl_close(f));
	stress_end();
}
END_TEST

static int pin(void *arg)
{
	return daxl_lease_pin(((struct holder *)arg)->lease);
}

/* P3, L3: a pin that has seen a live lease, and counts only after the lease was recalled and drained, is refused. */
START_TEST(p3_a_pin_that_looked_before_the_recall_is_refused)
{
	struct holder h = { .returns = true };
	struct job pinner;

	stress_begin("P3 pin");
	f = stress_file("f", B(2));
	holder_take(&h, f, 0, B(2), DAXL_LEASE_WRITE, 0);
	points_on();
	point_park("lease:pin");
	job_start_fn(&pinner, pin, &h);
	point_wait_parked("lease:pin");
	struct call call = CALL(.op = OP_PUNCH, .file = f, .off = 0, .len = B(2));

	must(call_run(&call));
	ck_assert_uint_eq(holder_recalls(&h), 1);
	point_release("lease:pin");
	must_be(job_join(&pinner), -ESTALE);
	points_off();
	daxl_lease_free(h.lease);
	must(daxl_close(f));
	stress_end();
}
END_TEST

/* L6: a write over blocks and a hole that somebody shows waits for the hole before it stores into the blocks. */
START_TEST(a_write_over_several_kinds_of_runs_stores_all_or_nothing)
{
	struct holder h = { 0 };
	char *buf = malloc((size_t)B(24));

	ck_assert_ptr_nonnull(buf);
	stress_begin("L6 kinds of runs");
	f = stress_file("f", 0);
	fill(f, 20);
	must(daxl_truncate(f, B(24), NULL));
	holder_take(&h, f, B(20), B(4), DAXL_LEASE_READ, 0);
	struct daxl_wait wait = DAXL_WAIT_INIT;
	struct iovec iov = { .iov_base = buf, .iov_len = (size_t)B(24) };

	wait.timeout_ms = 0;
	memset(buf, 'n', (size_t)B(24));
	must_be(daxl_pwritev(f, &iov, 1, 0, 0, &wait), -EAGAIN);
	ck_assert_uint_eq(holder_recalls(&h), 1);
	must_be(daxl_pread(f, buf, (size_t)B(20), 0), B(20));
	ck_assert_int_eq(tag_foreign(buf, (size_t)B(20), 1, 0), 0);
	daxl_lease_free(h.lease);
	must(daxl_close(f));
	free(buf);
	stress_end();
}
END_TEST

static int commit_block(void *arg)
{
	return daxl_lease_commit(((struct holder *)arg)->lease, 0, BLK, BLK);
}

/* P33, L12: a commit whose lease is fenced after it has persisted, before its turn at the file, changes nothing. */
START_TEST(p33_a_commit_begun_before_the_fence_is_refused)
{
	struct holder h = { 0 };
	struct job committer, breaker;
	struct daxl_lease_stat st;

	stress_begin("P33 commit");
	f = stress_file("f", 0);
	struct daxl_lease_opts opts = holder_opts(&h, DAXL_LEASE_WRITE, 0);

	opts.break_ms = 1;
	must(daxl_lease_acquire(f, 0, B(2), &opts, &h.lease));
	points_on();
	point_park("commit:locked");
	job_start_fn(&committer, commit_block, &h);
	point_wait_parked("commit:locked");
	struct call call = CALL(.op = OP_BREAK_UNMAP, .file = f, .off = 0, .len = B(2));

	call.wait.timeout_ms = 1;
	call.wait.on_timeout = DAXL_ON_TIMEOUT_FENCE;
	job_start(&breaker, &call);
	do {
		sched_yield();
		must(daxl_lease_stat(h.lease, &st));
	} while (st.state != DAXL_LEASE_REVOKED);
	point_release("commit:locked");
	must_be(job_join(&committer), -ESTALE);
	must(job_join(&breaker));
	points_off();
	ck_assert_uint_eq(file_size(f), 0);
	daxl_lease_free(h.lease);
	must(daxl_close(f));
	stress_end();
}
END_TEST

/* What the library has made durable: the bytes flushed, of those a test asks about, and fences behind them. */
struct durable {
	const char *addr;
	size_t len, flushed;
	unsigned fences; /* since the flush */
};

static void see_durable(struct daxl_media *media, enum daxl_media_event event, const void *addr, const void *src,
                        size_t len, void *arg)
{
	struct durable *d = arg;
	const char *at = addr;

	(void)media;
	(void)src;
	if (event == DAXL_MEDIA_EV_FENCE)
		d->fences += d->flushed == d->len;
	if (event == DAXL_MEDIA_EV_FLUSH && at <= d->addr && d->addr + d->len <= at + len)
		d->flushed = d->len;
}

/* L15: persist, fsync and commit flush what a holder's CPU has stored, and fence; it is durable when they return. */
START_TEST(persist_fsync_and_commit_flush_what_the_cpu_stored)
{
	struct holder h = { 0 };

	stress_begin("L15 flush");
	f = stress_file("f", B(4));
	holder_take(&h, f, 0, B(4), DAXL_LEASE_WRITE, 0);
	for (unsigned k = 0; k < 3; k++) {
		struct durable d = { .addr = holder_addr(&h, B(2) + 8), .len = 100 };

		memset(holder_addr(&h, B(2) + 8), 'x', 100);
		daxl_media_observe(see_durable, &d);
		if (k == 0)
			must(daxl_lease_persist(h.lease, B(2), BLK));
		else if (k == 1)
			must(daxl_fsync(f));
		else
			must(daxl_lease_commit(h.lease, B(2), BLK, -1));
		daxl_media_observe(NULL, NULL);
		ck_assert_uint_eq(d.flushed, d.len);
		ck_assert_uint_gt(d.fences, 0);
	}
	daxl_lease_free(h.lease);
	must(daxl_close(f));
	stress_end();
}
END_TEST

int main(int argc, char **argv)
{
	Suite *suite = suite_create("steps");
	TCase *tc = tcase_create("steps");

	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, p2_every_step_of_a_break_may_fail, 0, 5);
	tcase_add_loop_test(tc, p7_a_punch_waits_for_a_filler_and_finds_its_block, 0, 3);
	tcase_add_test(tc, p3_a_pin_that_looked_before_the_recall_is_refused);
	tcase_add_test(tc, a_write_over_several_kinds_of_runs_stores_all_or_nothing);
	tcase_add_test(tc, persist_fsync_and_commit_flush_what_the_cpu_stored);
	tcase_add_test(tc, p33_a_commit_begun_before_the_fence_is_refused);
	suite_add_tcase(suite, tc);
	return stress_main(argc, argv, suite);
}
