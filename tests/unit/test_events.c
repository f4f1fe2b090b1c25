/* SPDX-License-Identifier: BSD-3-Clause */
/* The event queue and the asynchronous break: a program with one thread and an event loop. */
#include "lease_help.h"

#include <poll.h>

static bool readable(void)
{
	struct pollfd p = { .fd = daxl_domain_event_fd(domain), .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

static struct daxl_lease *queued_lease(uint64_t start, uint64_t end, uint64_t owner, void *arg)
{
	struct daxl_lease_opts opts = DAXL_LEASE_OPTS_INIT;

	opts.flags = DAXL_LEASE_QUEUE_EVENTS;
	opts.recall = on_recall; /* not to be called */
	opts.release = on_release;
	opts.owner = owner;
	opts.arg = arg;
	return grant(&fa, start, end, &opts);
}

static int break_now(uint64_t start, uint64_t end)
{
	struct daxl_wait w = DAXL_WAIT_INIT;

	w.timeout_ms = 0;
	return run_break(&fa, start, end, DAXL_LEVEL_U, &w);
}

START_TEST(recalls_come_in_order_and_the_descriptor_tells)
{
	struct holder h[3] = { 0 };
	struct daxl_event ev;
	int order[3] = { 2, 0, 1 };

	for (unsigned i = 0; i < 3; i++)
		h[i].lease = queued_lease(10 * i, 10 * i + 10, 0, &h[i]);
	ck_assert(!readable());
	ck_assert_int_eq(daxl_domain_event_next(domain, &ev), 0);
	for (unsigned i = 0; i < 3; i++)
		ck_assert_int_eq(break_now((uint64_t)order[i] * 10 + 3, (uint64_t)order[i] * 10 + 5), -EAGAIN);
	for (unsigned i = 0; i < 3; i++) {
		struct holder *expected = &h[order[i]];
		struct daxl_lease_stat st;

		ck_assert(readable());
		ck_assert_int_eq(daxl_domain_event_next(domain, &ev), 1);
		ck_assert_int_eq(daxl_lease_stat(expected->lease, &st), 0);
		ck_assert_int_eq(ev.kind, DAXL_EVENT_RECALL);
		ck_assert_ptr_eq(ev.lease, expected->lease);
		ck_assert_ptr_eq(ev.arg, expected);
		ck_assert_ptr_null(ev.handle);
		ck_assert_uint_eq(ev.lease_id, st.id);
		ck_assert_int_eq(ev.off, (order[i] * 10 + 3) * 4096);
		ck_assert_int_eq(ev.len, 2 * 4096);
		ck_assert_int_eq(ev.level, DAXL_BREAK_UNMAP);
		ck_assert_int_eq(ev.reason, DAXL_REASON_PUNCH);
		ck_assert_uint_eq(ev.deadline_ns, st.deadline_ns);
	}
	ck_assert_int_eq(daxl_domain_event_next(domain, &ev), 0);
	ck_assert(!readable());
	for (unsigned i = 0; i < 3; i++) {
		ck_assert_int_eq(h[i].recalls, 0);
		daxl_lease_free(h[i].lease);
	}
}
END_TEST

START_TEST(free_drops_the_events_of_the_lease_and_no_others)
{
	struct holder a = { 0 }, b = { 0 };
	struct daxl_event ev;

	a.lease = queued_lease(0, 10, 0, &a);
	b.lease = queued_lease(0, 10, 0, &b);
	ck_assert_int_eq(break_now(0, 10), -EAGAIN);
	daxl_lease_free(a.lease);
	ck_assert_int_eq(a.releases, 1);
	ck_assert_int_eq(daxl_domain_event_next(domain, &ev), 1);
	ck_assert_ptr_eq(ev.lease, b.lease);
	ck_assert_int_eq(daxl_domain_event_next(domain, &ev), 0);
	daxl_lease_free(b.lease);
}
END_TEST

START_TEST(a_lease_returned_before_its_event_is_read_stays_valid)
{
	struct holder h = { 0 };
	struct daxl_event ev;

	h.lease = queued_lease(0, 10, 0, &h);
	ck_assert_int_eq(break_now(0, 10), -EAGAIN);
	ck_assert_int_eq(daxl_lease_return(h.lease), 0);
	ck_assert_int_eq(break_now(0, 10), 0);
	ck_assert_int_eq(daxl_domain_event_next(domain, &ev), 1);
	ck_assert_int_eq(daxl_lease_state(ev.lease), DAXL_LEASE_RETURNED);
	daxl_lease_free(h.lease);
}
END_TEST

/* P28 */
static void use_everything(struct holder *h)
{
	struct daxl_lease_stat st;
	struct daxl_holder out[4];
	struct daxl_event ev;
	struct daxl_break_handle *handle;
	struct daxl_cancel *cancel;
	uint64_t *count;
	uint64_t s, e;

	ck_assert_int_eq(daxl_lease_pin(h->lease), -ESTALE);
	ck_assert_int_eq(daxl_lease_stat(h->lease, &st), 0);
	ck_assert_uint_eq(st.state, DAXL_LEASE_RECALLED);
	ck_assert_uint_ge(daxl_range_holders(&fa.rl, 0, 100, 12, out, 4), 1);
	(void)busy_piece(&fa, 0, 100, &s, &e);
	ck_assert_int_eq(daxl_domain_event_next(domain, &ev), 0);
	ck_assert(daxl_may_not_wait());
	ck_assert_int_eq(daxl_writer_enter(&fa.rl, 0, 10, &count), 0); /* L7 */
	daxl_writer_leave(&fa.rl, count);
	ck_assert_int_eq(daxl_abreak_begin(domain, &fb.rl, 0, 10, DAXL_LEVEL_U, NULL, NULL, &handle), 0);
	ck_assert_int_eq(daxl_abreak_poll(handle), 1);
	daxl_abreak_end(handle);
	ck_assert_int_eq(daxl_cancel_create(&cancel), 0);
	daxl_cancel_fire(cancel);
	daxl_cancel_destroy(cancel);
	daxl_lease_free(grant(&fb, 0, 10, NULL));
	ck_assert_int_eq(daxl_lease_return_range(h->lease, 0, 4096), 0);
	ck_assert_int_eq(daxl_lease_downgrade(h->lease), 0);
	ck_assert_int_eq(daxl_lease_return(h->lease), 0);
	daxl_lease_free(h->lease);
	ck_assert_int_eq(h->releases, 0); /* the callback itself still uses arg */
}

START_TEST(a_recall_function_may_call_everything_and_end_its_lease)
{
	struct daxl_lease_opts opts = DAXL_LEASE_OPTS_INIT;
	struct holder h = { .on_recall = use_everything };

	opts.mode = DAXL_LEASE_WRITE;
	hold(&h, &fa, 0, 10, &opts);
	ck_assert_int_eq(break_now(0, 10), 0);
	ck_assert_int_eq(h.recalls, 1);
	ck_assert_int_eq(h.releases, 1);
	ck_assert(!daxl_may_not_wait());
}
END_TEST

static struct daxl_break_handle *begin(uint64_t start, uint64_t end, enum daxl_level level, const struct daxl_wait *wait)
{
	struct daxl_break_handle *h;

	ck_assert_int_eq(daxl_abreak_begin(domain, &fa.rl, start, end, level, wait, NULL, &h), 0);
	return h;
}

/* P29: one thread is breaker and holder; everything goes through the descriptor. */
START_TEST(a_single_thread_breaks_and_returns)
{
	struct holder h = { 0 };
	struct daxl_event ev;

	h.lease = queued_lease(0, 10, 0, &h);
	ck_assert_int_eq(daxl_lease_pin(h.lease), 0);
	struct daxl_break_handle *b = begin(0, 10, DAXL_LEVEL_U, NULL);
	unsigned recalls = 0, ready = 0;

	while (ready == 0) {
		ck_assert(readable());
		if (daxl_domain_event_next(domain, &ev) == 0)
			continue;
		if (ev.kind == DAXL_EVENT_RECALL) {
			ck_assert_int_eq(daxl_abreak_poll(b), 0);
			ck_assert_int_eq(daxl_lease_return(ev.lease), 0);
			ck_assert_int_eq(daxl_abreak_poll(b), 0); /* the pin */
			daxl_lease_unpin(ev.lease);
			recalls++;
		} else {
			ck_assert_int_eq(ev.kind, DAXL_EVENT_BREAK_READY);
			ck_assert_ptr_eq(ev.handle, b);
			ck_assert_int_eq(ev.off, 0);
			ck_assert_int_eq(ev.len, 10 * 4096);
			ck_assert_int_eq(ev.level, DAXL_BREAK_UNMAP);
			ready++;
		}
	}
	ck_assert_uint_eq(recalls, 1);
	ck_assert_int_eq(daxl_abreak_poll(b), 1);
	ck_assert_int_eq(daxl_domain_event_next(domain, &ev), 0); /* once */
	ck_assert_int_eq(break_now(0, 1), -EAGAIN);               /* closed until the end */
	daxl_abreak_end(b);
	ck_assert_int_eq(break_now(0, 1), 0);
	daxl_lease_free(h.lease);
}
END_TEST

START_TEST(a_break_that_is_behind_another_goes_on_when_that_leaves)
{
	struct holder h = { .return_at_once = true };
	struct daxl_event ev;

	hold(&h, &fa, 5, 20, NULL);
	struct daxl_break_handle *a = begin(0, 5, DAXL_LEVEL_U, NULL), *b = begin(0, 20, DAXL_LEVEL_U, NULL);

	ck_assert_int_eq(daxl_abreak_poll(a), 1);
	ck_assert_int_eq(daxl_domain_event_next(domain, &ev), 1);
	ck_assert_ptr_eq(ev.handle, a);
	ck_assert_int_eq(daxl_abreak_poll(b), 0);
	ck_assert_int_eq(h.recalls, 0);
	daxl_abreak_end(a);
	ck_assert(readable());
	ck_assert_int_eq(daxl_domain_event_next(domain, &ev), 1);
	ck_assert_ptr_eq(ev.handle, b);
	ck_assert_int_eq(h.recalls, 1);
	daxl_abreak_end(b);
	daxl_lease_free(h.lease);
}
END_TEST

START_TEST(end_drops_the_event_at_any_stage)
{
	struct holder h = { 0 };
	struct daxl_event ev;

	hold(&h, &fa, 0, 10, NULL);
	struct daxl_break_handle *ready = begin(20, 30, DAXL_LEVEL_U, NULL), *waiting = begin(0, 10, DAXL_LEVEL_U, NULL);
	struct daxl_break_handle *behind = begin(0, 5, DAXL_LEVEL_U, NULL);

	daxl_abreak_end(ready);
	daxl_abreak_end(behind);
	daxl_abreak_end(waiting);
	daxl_abreak_end(NULL);
	ck_assert_int_eq(daxl_domain_event_next(domain, &ev), 0);
	ck_assert(is_open(&fa));
	ck_assert_int_eq(daxl_lease_state(h.lease), DAXL_LEASE_RECALLED);
	daxl_lease_free(h.lease);
}
END_TEST

START_TEST(the_time_is_over_in_the_first_poll_after_it)
{
	struct daxl_wait w = DAXL_WAIT_INIT;
	struct holder h = { 0 };
	struct daxl_event ev;

	hold(&h, &fa, 0, 10, NULL);
	w.timeout_ms = 0;
	struct daxl_break_handle *b = begin(0, 10, DAXL_LEVEL_U, &w);

	ck_assert_int_eq(h.recalls, 1);
	ck_assert_int_eq(daxl_domain_event_next(domain, &ev), 0); /* events do not look at the clock */
	ck_assert_int_eq(daxl_abreak_poll(b), -ETIMEDOUT);
	ck_assert_int_eq(daxl_lease_return(h.lease), 0);
	ck_assert_int_eq(daxl_abreak_poll(b), -ETIMEDOUT); /* and goes on saying so */
	ck_assert_int_eq(daxl_domain_event_next(domain, &ev), 1);
	ck_assert_int_eq(ev.kind, DAXL_EVENT_BREAK_READY);
	daxl_abreak_end(b);
	b = begin(0, 10, DAXL_LEVEL_U, &w); /* nobody there: drained at once, whatever the time */
	ck_assert_int_eq(daxl_abreak_poll(b), 1);
	daxl_abreak_end(b);
	daxl_lease_free(h.lease);
}
END_TEST

START_TEST(poll_fences_when_the_time_is_over)
{
	struct daxl_wait w = DAXL_WAIT_INIT;
	struct daxl_lease_opts opts = DAXL_LEASE_OPTS_INIT;
	struct holder h = { 0 };
	int rc;

	opts.fence = on_fence;
	opts.break_ms = 20;
	hold(&h, &fa, 0, 10, &opts);
	ck_assert_int_eq(daxl_lease_pin(h.lease), 0);
	w.timeout_ms = 20;
	w.on_timeout = DAXL_ON_TIMEOUT_FENCE;
	struct daxl_break_handle *b = begin(0, 10, DAXL_LEVEL_U, &w);

	AWAIT((rc = daxl_abreak_poll(b)) != 0);
	ck_assert_int_eq(rc, 1);
	ck_assert_int_eq(h.fences, 1);
	ck_assert_uint_ge(daxl_now_ns(), h.last.deadline_ns);
	daxl_abreak_end(b);
	daxl_lease_unpin(h.lease);
	daxl_lease_free(h.lease);
}
END_TEST

START_TEST(a_cancel_ends_an_asynchronous_break)
{
	struct daxl_wait w = DAXL_WAIT_INIT;
	struct holder h = { 0 };
	struct daxl_event ev;

	ck_assert_int_eq(daxl_cancel_create(&w.cancel), 0);
	hold(&h, &fa, 0, 10, NULL);
	struct daxl_break_handle *b = begin(0, 10, DAXL_LEVEL_U, &w);

	daxl_cancel_fire(w.cancel);
	ck_assert(readable());
	ck_assert_int_eq(daxl_domain_event_next(domain, &ev), 1);
	ck_assert_ptr_eq(ev.handle, b);
	ck_assert_int_eq(daxl_abreak_poll(b), -ECANCELED);
	daxl_abreak_end(b);
	b = begin(0, 10, DAXL_LEVEL_U, &w); /* used before: begin itself never waits */
	ck_assert_int_eq(daxl_abreak_poll(b), -ECANCELED);
	daxl_abreak_end(b);
	daxl_cancel_destroy(w.cancel);
	daxl_lease_free(h.lease);
}
END_TEST

START_TEST(begin_refuses_what_could_never_end_and_recalls_nobody)
{
	struct daxl_wait w = DAXL_WAIT_INIT, n = DAXL_WAIT_INIT;
	struct daxl_lease_opts opts = DAXL_LEASE_OPTS_INIT;
	struct holder mine = { 0 }, other = { 0 };
	struct daxl_break_handle *b;

	opts.owner = w.owner = 9;
	n.timeout_ms = 0;
	hold(&mine, &fa, 0, 10, &opts);
	hold(&other, &fa, 5, 20, NULL);
	ck_assert_int_eq(daxl_lease_pin(mine.lease), 0);
	ck_assert_int_eq(daxl_abreak_begin(domain, &fa.rl, 0, 20, DAXL_LEVEL_U, &w, NULL, &b), -EDEADLK);
	ck_assert_int_eq(daxl_abreak_begin(domain, &fa.rl, 0, 1, DAXL_LEVEL_W, &w, NULL, &b), 0);
	daxl_abreak_end(b);
	daxl_lease_unpin(mine.lease);
	ck_assert_int_eq(run_break(&fa, 0, 1, DAXL_LEVEL_U, &n), -EAGAIN); /* mine is recalled */
	ck_assert_int_eq(daxl_abreak_begin(domain, &fa.rl, 10, 20, DAXL_LEVEL_U, &w, NULL, &b), -EDEADLK);
	ck_assert_int_eq(other.recalls, 0);
	w.on_timeout = DAXL_ON_TIMEOUT_LIMBO;
	ck_assert_int_eq(daxl_abreak_begin(domain, &fa.rl, 10, 20, DAXL_LEVEL_U, &w, NULL, &b), -EINVAL);
	ck_assert(is_open(&fa));
	daxl_lease_free(mine.lease);
	daxl_lease_free(other.lease);
}
END_TEST

static struct daxl_break_handle *to_end;

static void end_break(struct holder *h)
{
	ck_assert_int_eq(daxl_lease_return(h->lease), 0);
	ck_assert_int_eq(daxl_abreak_poll(to_end), 0); /* it is being stepped: by us */
	daxl_abreak_end(to_end);
}

START_TEST(a_recall_function_may_end_the_break_that_calls_it)
{
	struct holder h = { .on_recall = end_break };
	struct daxl_event ev;

	hold(&h, &fa, 5, 20, NULL);
	struct daxl_break_handle *first = begin(0, 5, DAXL_LEVEL_U, NULL);

	to_end = begin(0, 20, DAXL_LEVEL_U, NULL);
	daxl_abreak_end(first);
	ck_assert_int_eq(daxl_domain_event_next(domain, &ev), 0); /* steps it, calls the holder, which ends it */
	ck_assert_int_eq(h.recalls, 1);
	ck_assert(is_open(&fa));
	daxl_lease_free(h.lease);
}
END_TEST

static int run_held(struct daxl_break_handle *h, struct file *f, uint64_t start, uint64_t end, enum daxl_level level)
{
	struct daxl_clause clause = { .start = start, .end = end, .level = level, .who = DAXL_WHO_ALL };
	struct daxl_wait w = DAXL_WAIT_INIT;
	struct daxl_break brk;
	int rc;

	w.timeout_ms = 0;
	ck_assert_int_eq(daxl_break_init(&brk, domain, &w, NULL, DAXL_REASON_PUNCH, false), 0);
	rc = daxl_break_hold(&brk, h);
	if (rc)
		return rc;
	daxl_break_add(&brk, &f->rl, start, end);
	rc = daxl_break_enter(&brk);
	if (!rc)
		rc = daxl_break_recall(&brk, &clause, 1);
	if (!rc) {
		ck_assert_int_eq(daxl_break_change(&brk), 0);
		ck_assert_uint_eq(fa.rl.nchanging, 1);
		ck_assert(daxl_break_covered(&brk, &clause, 1));
		ck_assert_int_eq(daxl_break_widen(&brk), -EINVAL);
	}
	daxl_break_leave(&brk);
	return rc;
}

START_TEST(a_held_break_lets_in_what_it_covers)
{
	struct holder h = { 0 };

	hold(&h, &fa, 10, 20, NULL);
	struct daxl_break_handle *b = begin(10, 20, DAXL_LEVEL_U, NULL);

	ck_assert_int_eq(run_held(b, &fa, 12, 14, DAXL_LEVEL_U), -EINVAL); /* not drained yet */
	ck_assert_int_eq(daxl_lease_return(h.lease), 0);
	ck_assert_int_eq(daxl_abreak_poll(b), 1);
	ck_assert_int_eq(run_held(b, &fa, 12, 14, DAXL_LEVEL_U), 0);
	ck_assert_int_eq(run_held(b, &fa, 10, 20, DAXL_LEVEL_W), 0);
	ck_assert_int_eq(run_held(b, &fa, 10, 21, DAXL_LEVEL_U), -EINVAL);
	ck_assert_int_eq(run_held(b, &fb, 12, 14, DAXL_LEVEL_U), -EINVAL);
	ck_assert_int_eq(break_now(12, 14), -EAGAIN); /* still closed for others */
	daxl_abreak_end(b);
	b = begin(10, 20, DAXL_LEVEL_W, NULL);
	ck_assert_int_eq(daxl_abreak_poll(b), 1);
	ck_assert_int_eq(run_held(b, &fa, 12, 14, DAXL_LEVEL_U), -EINVAL);
	daxl_abreak_end(b);
	daxl_lease_free(h.lease);
}
END_TEST

struct loop {
	bool stop; /* atomic */
	unsigned long events;
};

static void *event_loop(void *arg)
{
	struct loop *l = arg;
	struct daxl_event ev;

	while (!LOAD(l->stop))
		if (daxl_domain_event_next(domain, &ev) == 1)
			l->events++;
	return NULL;
}

static void *holder_loop(void *arg)
{
	struct loop *l = arg;

	while (!LOAD(l->stop)) {
		struct holder h = { .return_at_once = true };
		struct daxl_lease_opts opts = holder_opts(&h);
		struct daxl_lease *lease;

		ck_assert_int_eq(acquire(&fa, 0, 10, &opts, &lease), 0);
		if (daxl_lease_pin(lease) == 0)
			daxl_lease_unpin(lease);
		daxl_lease_free(lease);
		AWAIT(LOAD(h.releases) == 1);
	}
	return NULL;
}

/* begin, poll, end and foreign event loops against holders: handles live as long as they are used, nothing gets stuck. */
START_TEST(breaks_stepped_from_many_threads_come_to_their_ends)
{
	struct loop l[4] = { 0 };
	pthread_t thread[4];

	for (unsigned i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_create(&thread[i], NULL, i < 2 ? event_loop : holder_loop, &l[i]), 0);
	for (unsigned i = 0; i < 2000; i++) {
		struct daxl_break_handle *b = begin(0, 10, DAXL_LEVEL_U, NULL);

		if (i % 3) {
			AWAIT(daxl_abreak_poll(b) != 0);
			ck_assert_int_eq(daxl_abreak_poll(b), 1);
		}
		daxl_abreak_end(b);
	}
	for (unsigned i = 0; i < 4; i++) {
		STORE(l[i].stop, true);
		pthread_join(thread[i], NULL);
	}
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		recalls_come_in_order_and_the_descriptor_tells,
		free_drops_the_events_of_the_lease_and_no_others,
		a_lease_returned_before_its_event_is_read_stays_valid,
		a_recall_function_may_call_everything_and_end_its_lease,
		a_single_thread_breaks_and_returns,
		a_break_that_is_behind_another_goes_on_when_that_leaves,
		end_drops_the_event_at_any_stage,
		the_time_is_over_in_the_first_poll_after_it,
		poll_fences_when_the_time_is_over,
		a_cancel_ends_an_asynchronous_break,
		begin_refuses_what_could_never_end_and_recalls_nobody,
		a_recall_function_may_end_the_break_that_calls_it,
		a_held_break_lets_in_what_it_covers,
		breaks_stepped_from_many_threads_come_to_their_ends,
	};

	return suite_main("events", tests, DAXL_ARRAY_LEN(tests));
}
