/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What may be called from a recall or fence function, and how a program with one thread serves its holders: nothing is
 * held across a callback (L8), nothing in it can hang, and events and asynchronous breaks replace every wait.
 */
#include "stress.h"

#include <poll.h>
#include <urcu-bp.h>

#define B(n) ((off_t)((n) * BLK))

static struct daxl_file *f, *g;


static int count_file(const char *name, uint64_t id, void *arg)
{
	(void)name;
	(void)id;
	++*(unsigned *)arg;
	return 0;
}

static void look_around(struct holder *h)
{
	struct daxl_pool_stat pst;
	struct daxl_lease_stat lst;
	struct daxl_extent ext;
	struct daxl_stats *stats = malloc(sizeof(*stats));
	struct daxl_stat st;
	unsigned files = 0;
	char buf[64];

	must(daxl_pool_stat(pool, &pst));
	must(daxl_stats(pool, stats));
	free(stats);
	must(daxl_stat(f, &st));
	must(daxl_list(pool, count_file, &files));
	ck_assert_uint_ge(files, 2);
	must_be(daxl_pread(f, buf, sizeof(buf), 0), (long long)sizeof(buf));
	ck_assert(daxl_map(f, 0, DAXL_TO_END, &ext, 1) >= 1);
	must_be(daxl_seek(f, 0, DAXL_SEEK_DATA), 0);
	ck_assert(daxl_busy(f, 0, DAXL_TO_END, NULL, 0) >= 1);
	must(daxl_lease_stat(h->lease, &lst));
	ck_assert_int_eq(daxl_lease_state(h->lease), DAXL_LEASE_RECALLED);
	ck_assert(daxl_lease_extents(h->lease, &ext, 1) >= 1);
	must_be(daxl_lease_pin(h->lease), -ESTALE);
	must(daxl_setattr(f, "k", "v", 1));
	must_be(daxl_getattr(f, "k", buf, sizeof(buf)), 1);
	must(daxl_fsync(f));
}

/* What changes other places goes through; what would have to wait for this very break says so. */
static void change_things(void)
{
	struct daxl_lease_opts opts = DAXL_LEASE_OPTS_INIT;
	struct daxl_break_handle *brk;
	struct daxl_cancel *cancel;
	struct daxl_lease *lease;
	struct daxl_file *tmp;
	struct daxl_event ev;
	bool same;

	must_be(daxl_pwrite(f, "in place", 8, 10), 8); /* also where the break waits */
	must_be(daxl_pwrite(g, "in place", 8, 10), 8);
	must_be(daxl_pwrite(g, "growing", 7, B(9)), 7);
	must(daxl_fallocate(g, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, B(1), BLK, NULL));
	must(daxl_truncate(g, B(5), NULL));
	must(daxl_clone_range(g, 0, g, B(6), BLK, NULL));
	must(daxl_dedupe_range(g, 0, g, B(6), BLK, NULL, &same));
	must(daxl_exchange_range(g, 0, g, B(6), BLK, NULL));
	must(daxl_break(g, 0, BLK, DAXL_BREAK_UNMAP, NULL));
	must(daxl_open(pool, "tmp", O_RDWR | O_CREAT, &tmp));
	must_be(daxl_copy_range(g, 0, tmp, 0, 100), 100);
	must(daxl_rename(pool, "tmp", "tmp2", 0));
	must(daxl_unlink(pool, "tmp2"));
	must(daxl_close(tmp));
	must(daxl_pool_checkpoint(pool));
	must(daxl_lease_acquire(g, 0, BLK, NULL, &lease));
	daxl_lease_free(lease);
	must(daxl_cancel_new(&cancel));
	daxl_cancel_all(cancel);
	daxl_cancel_free(cancel);
	must_be(daxl_event_next(pool, &ev), 0);
	ck_assert_int_ge(daxl_pool_event_fd(pool), 0);
	must(daxl_break_begin(g, 0, BLK, DAXL_BREAK_WRITE, NULL, &brk));
	must_be(daxl_break_poll(brk), 1);
	daxl_break_end(brk);
	/* Behind the break that waits for us: not begun at all, or begun and ended without waiting. */
	must_be(daxl_truncate(f, 0, NULL), -EDEADLK);
	must_be(daxl_break(f, 0, BLK, DAXL_BREAK_WRITE, NULL), -EDEADLK);
	must_be(daxl_lease_acquire(f, 0, BLK, NULL, &lease), -EDEADLK);
	opts.flags = DAXL_LEASE_NOWAIT;
	must_be(daxl_lease_acquire(f, 0, BLK, &opts, &lease), -EAGAIN);
	must(daxl_break_begin(f, 0, BLK, DAXL_BREAK_WRITE, NULL, &brk));
	must_be(daxl_break_poll(brk), 0);
	daxl_break_end(brk);
	must_be(daxl_pool_close(pool), -EBUSY);
}

static void call_everything(struct holder *h)
{
	look_around(h);
	change_things();
	must(daxl_lease_persist(h->lease, 0, BLK));
	must(daxl_lease_commit(h->lease, 0, BLK, -1));
	must(daxl_lease_downgrade(h->lease));
	must_be(daxl_lease_return_range(h->lease, B(1), BLK), h->unpins ? -EBUSY : 0);
	must(daxl_lease_return(h->lease));
}

/* P28, L7, L8: a recall function calls every function there is. */
START_TEST(p28_a_recall_function_may_call_everything)
{
	for (unsigned pins = 0; pins < 2; pins++) {
		struct holder h = { .on_recall = call_everything, .unpins = pins };

		stress_begin("P28");
		f = stress_file("f", B(4));
		g = stress_file("g", B(4));
		holder_take(&h, f, 0, B(2), DAXL_LEASE_WRITE, 0);
		if (pins)
			must(daxl_lease_pin(h.lease));
		must(daxl_truncate(f, 0, NULL));
		ck_assert_uint_eq(holder_recalls(&h), 1);
		daxl_lease_free(h.lease);
		must(daxl_close(f));
		must(daxl_close(g));
		stress_end();
	}
}
END_TEST

static void end_own_handle(struct holder *h)
{
	daxl_lease_free(h->lease);
}

/* P28, L8: the handle may be ended in its own recall; release comes once, last. */
START_TEST(p28_a_recall_function_may_end_its_lease)
{
	struct holder h = { .on_recall = end_own_handle };

	stress_begin("P28 end");
	f = stress_file("f", BLK);
	holder_take(&h, f, 0, BLK, DAXL_LEASE_READ, 0);
	must(daxl_truncate(f, 0, NULL));
	ck_assert_uint_eq(h.releases, 1);
	must(daxl_close(f));
	stress_end();
}
END_TEST

static void fence_and_look(struct holder *h)
{
	look_around(h);
	must_be(daxl_truncate(f, 0, NULL), -EDEADLK);
}

/* P28: a fence function too. */
START_TEST(p28_a_fence_function_holds_nothing)
{
	struct holder h = { .on_fence = fence_and_look };
	struct daxl_lease_opts opts = holder_opts(&h, DAXL_LEASE_WRITE, DAXL_LEASE_IMPLICIT_PIN);
	struct call call = CALL(.op = OP_COLLAPSE, .len = BLK);

	stress_begin("P28 fence");
	f = stress_file("f", B(4));
	g = stress_file("g", BLK);
	opts.break_ms = 5;
	must(daxl_lease_acquire(f, 0, BLK, &opts, &h.lease));
	call.file = f;
	call.wait.timeout_ms = 20;
	call.wait.on_timeout = DAXL_ON_TIMEOUT_FENCE;
	must(call_run(&call));
	ck_assert_uint_eq(h.fences, 1);
	daxl_lease_free(h.lease);
	must(daxl_close(f));
	must(daxl_close(g));
	stress_end();
}
END_TEST

static int next_event(struct daxl_event *ev)
{
	struct pollfd pfd = { .fd = daxl_pool_event_fd(pool), .events = POLLIN };

	for (;;) {
		int rc = daxl_event_next(pool, ev);

		if (rc)
			return rc;
		stress_at("poll(2) for events");
		ck_assert_int_eq(poll(&pfd, 1, 20000), 1);
	}
}

/* P29, L7: one thread, which is both holder and breaker; no call of it ever waits. */
START_TEST(p29_one_thread_breaks_returns_and_operates)
{
	struct holder h = { 0 };
	struct daxl_break_handle *brk;
	struct daxl_wait wait = DAXL_WAIT_INIT;
	struct daxl_event ev;

	stress_begin("P29");
	f = stress_file("f", B(4));
	holder_take(&h, f, 0, B(2), DAXL_LEASE_WRITE, DAXL_LEASE_QUEUE_EVENTS);
	must(daxl_lease_pin(h.lease));
	must(daxl_break_begin(f, 0, DAXL_TO_END, DAXL_BREAK_UNMAP, NULL, &brk));
	must_be(daxl_break_poll(brk), 0);
	must_be(next_event(&ev), 1);
	ck_assert_int_eq(ev.kind, DAXL_EVENT_RECALL);
	ck_assert_ptr_eq(ev.lease, h.lease);
	ck_assert_ptr_eq(ev.arg, &h);
	ck_assert_int_eq(ev.level, DAXL_BREAK_UNMAP);
	ck_assert_int_eq(ev.reason, DAXL_REASON_BREAK);
	must_be(daxl_event_next(pool, &ev), 0);
	ck_assert_uint_eq(holder_recalls(&h), 0); /* by events, not by the function */
	must(daxl_lease_commit(h.lease, 0, BLK, -1));
	must(daxl_lease_return(h.lease));
	must_be(daxl_break_poll(brk), 0);
	daxl_lease_unpin(h.lease); /* the device's completion */
	must_be(next_event(&ev), 1);
	ck_assert_int_eq(ev.kind, DAXL_EVENT_BREAK_READY);
	ck_assert_ptr_eq(ev.handle, brk);
	must_be(daxl_break_poll(brk), 1);
	wait.held = brk;
	must(daxl_truncate(f, B(1), &wait));
	must(daxl_fallocate(f, FALLOC_FL_INSERT_RANGE, 0, BLK, &wait));
	daxl_break_end(brk);
	ck_assert_uint_eq(file_size(f), (uint64_t)B(2));
	daxl_lease_free(h.lease);
	must(daxl_close(f));
	stress_end();
}
END_TEST

/* P29: many asynchronous breaks behind each other, one thread: each gets its turn, in order (L14). */
START_TEST(p29_asynchronous_breaks_queue_behind_each_other)
{
	struct daxl_break_handle *brk[8];
	struct holder h = { 0 };
	struct daxl_event ev;

	stress_begin("P29 queue");
	f = stress_file("f", B(4));
	holder_take(&h, f, 0, BLK, DAXL_LEASE_READ, DAXL_LEASE_QUEUE_EVENTS);
	for (unsigned i = 0; i < 8; i++)
		must(daxl_break_begin(f, 0, B(2), DAXL_BREAK_UNMAP, NULL, &brk[i]));
	must_be(next_event(&ev), 1);
	ck_assert_int_eq(ev.kind, DAXL_EVENT_RECALL);
	must_be(daxl_event_next(pool, &ev), 0); /* L4: one recall, eight breaks */
	must(daxl_lease_return(h.lease));
	for (unsigned i = 0; i < 8; i++) {
		must_be(next_event(&ev), 1);
		ck_assert_int_eq(ev.kind, DAXL_EVENT_BREAK_READY);
		ck_assert_ptr_eq(ev.handle, brk[i]);
		for (unsigned k = i + 1; k < 8; k++)
			must_be(daxl_break_poll(brk[k]), 0);
		daxl_break_end(brk[i]);
	}
	daxl_lease_free(h.lease);
	must(daxl_close(f));
	stress_end();
}
END_TEST

/* Deadlines, cancels and refusals of asynchronous breaks show in poll, and change nothing (L6). */
START_TEST(an_asynchronous_break_ends_by_time_cancel_and_fence)
{
	uint64_t me = daxl_owner_new();
	struct daxl_wait wait = DAXL_WAIT_INIT;
	struct daxl_break_handle *brk;
	struct daxl_cancel *cancel;
	struct holder h = { 0 };
	struct daxl_lease_opts opts;

	stress_begin("asynchronous ends");
	f = stress_file("f", B(4));
	opts = holder_opts(&h, DAXL_LEASE_READ, 0);
	opts.break_ms = 5;
	opts.owner = me;
	must(daxl_lease_acquire(f, 0, BLK, &opts, &h.lease));
	must(daxl_lease_pin(h.lease));
	wait.owner = me;
	must_be(daxl_break_begin(f, 0, BLK, DAXL_BREAK_UNMAP, &wait, &brk), -EDEADLK);
	ck_assert_uint_eq(holder_recalls(&h), 0);
	wait.owner = 0;
	wait.timeout_ms = 0;
	must(daxl_break_begin(f, 0, BLK, DAXL_BREAK_UNMAP, &wait, &brk));
	ck_assert_uint_eq(holder_recalls(&h), 1);
	must_be(daxl_break_poll(brk), -ETIMEDOUT);
	must_be(daxl_break_poll(brk), -ETIMEDOUT);
	daxl_break_end(brk);
	must(daxl_cancel_new(&cancel));
	wait.timeout_ms = DAXL_WAIT_FOREVER;
	wait.cancel = cancel;
	must(daxl_break_begin(f, 0, BLK, DAXL_BREAK_UNMAP, &wait, &brk));
	must_be(daxl_break_poll(brk), 0);
	daxl_cancel_all(cancel);
	must_be(daxl_break_poll(brk), -ECANCELED);
	daxl_break_end(brk);
	daxl_cancel_free(cancel);
	/* Own recalled lease: not even begun. */
	wait = (struct daxl_wait)DAXL_WAIT_INIT;
	wait.owner = me;
	must_be(daxl_break_begin(f, B(1), BLK, DAXL_BREAK_UNMAP, &wait, &brk), 0); /* nobody to wait for */
	must_be(daxl_break_poll(brk), 1);
	daxl_break_end(brk);
	wait.owner = 0;
	wait.timeout_ms = 5;
	wait.on_timeout = DAXL_ON_TIMEOUT_FENCE;
	must(daxl_break_begin(f, 0, BLK, DAXL_BREAK_UNMAP, &wait, &brk));
	uint64_t end = stress_now_ms() + 20000;
	int rc;

	do
		rc = daxl_break_poll(brk);
	while (rc == 0 && stress_now_ms() < end);
	must_be(rc, 1);
	ck_assert_uint_eq(h.fences, 1);
	ck_assert_int_eq(daxl_lease_state(h.lease), DAXL_LEASE_REVOKED);
	daxl_break_end(brk);
	daxl_lease_unpin(h.lease);
	daxl_lease_free(h.lease);
	must(daxl_close(f));
	stress_end();
}
END_TEST

static struct daxl_break_handle *brk_to_end;

static void end_the_break(struct holder *h)
{
	(void)h;
	if (brk_to_end)
		daxl_break_end(brk_to_end);
	brk_to_end = NULL;
}

/* P28: a recall function may end the very break that recalls it. */
START_TEST(p28_a_recall_function_may_end_the_break)
{
	struct holder ahead = { 0 }, h = { .on_recall = end_the_break };
	struct daxl_break_handle *first;
	struct daxl_event ev;

	stress_begin("P28 break end");
	f = stress_file("f", B(4));
	holder_take(&ahead, f, 0, BLK, DAXL_LEASE_READ, 0);
	holder_take(&h, f, B(1), BLK, DAXL_LEASE_READ, 0);
	must(daxl_break_begin(f, 0, BLK, DAXL_BREAK_UNMAP, NULL, &first));
	must(daxl_break_begin(f, 0, B(2), DAXL_BREAK_UNMAP, NULL, &brk_to_end));
	ck_assert_uint_eq(holder_recalls(&h), 0);
	daxl_break_end(first);
	(void)daxl_event_next(pool, &ev); /* steps the second break, which recalls h, which ends it */
	ck_assert_uint_eq(holder_recalls(&h), 1);
	ck_assert_ptr_null(brk_to_end);
	daxl_lease_free(ahead.lease);
	daxl_lease_free(h.lease);
	must(daxl_truncate(f, 0, NULL));
	must(daxl_close(f));
	stress_end();
}
END_TEST

/* P47: in a read section of liburcu nothing waits; what need not wait goes through. */
START_TEST(p47_nothing_waits_inside_a_read_section)
{
	struct holder h = { 0 };
	struct daxl_lease *lease;

	stress_begin("P47");
	f = stress_file("f", B(4));
	g = stress_file("g", B(4));
	for (int op = OP_READ; op < OP_COUNT; op++) {
		static const char letter[OP_COUNT + 1] = "--U--UUUUU-UUUUUUU";
		struct call call = CALL(.op = (enum op)op, .file = f, .other = g, .off = 0, .len = BLK);

		h = (struct holder){ 0 };
		holder_take(&h, f, 0, BLK, DAXL_LEASE_READ, 0);
		must(daxl_lease_pin(h.lease));
		urcu_bp_read_lock();
		int rc = call_run(&call);

		urcu_bp_read_unlock();
		ck_assert_msg(rc == (letter[op] == 'U' ? -EDEADLK : 0), "%s: %d (%s)", op_name[op], rc, daxl_errormsg());
		ck_assert_uint_eq(holder_recalls(&h), 0);
		daxl_lease_unpin(h.lease);
		daxl_lease_free(h.lease);
	}
	holder_take(&h, f, 0, BLK, DAXL_LEASE_READ, DAXL_LEASE_EXCLUSIVE);
	urcu_bp_read_lock();
	must_be(daxl_lease_acquire(f, 0, BLK, NULL, &lease), -EDEADLK);
	must(daxl_lease_acquire(f, B(1), BLK, NULL, &lease));
	urcu_bp_read_unlock();
	daxl_lease_free(lease);
	daxl_lease_free(h.lease);
	must(daxl_close(f));
	must(daxl_close(g));
	stress_end();
}
END_TEST

int main(int argc, char **argv)
{
	Suite *suite = suite_create("callbacks");
	TCase *tc = tcase_create("callbacks");

	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, p28_a_recall_function_may_call_everything);
	tcase_add_test(tc, p28_a_recall_function_may_end_its_lease);
	tcase_add_test(tc, p28_a_fence_function_holds_nothing);
	tcase_add_test(tc, p28_a_recall_function_may_end_the_break);
	tcase_add_test(tc, p29_one_thread_breaks_returns_and_operates);
	tcase_add_test(tc, p29_asynchronous_breaks_queue_behind_each_other);
	tcase_add_test(tc, an_asynchronous_break_ends_by_time_cancel_and_fence);
	tcase_add_test(tc, p47_nothing_waits_inside_a_read_section);
	suite_add_tcase(suite, tc);
	return stress_main(argc, argv, suite);
}
