/* SPDX-License-Identifier: BSD-3-Clause */
/* Limbo: at the deadline a break goes on, and what is busy leaves the file for as long as it is (L1, L12). */
#include "lease_help.h"

#define BLK 100u /* the pool block that file block 0 stands for */

static struct daxl_space *space;
static size_t npart;

static void make_space(void)
{
	setup();
	ck_assert_int_eq(daxl_space_create(1000, 12, 0, &space), 0);
	ck_assert_int_eq(daxl_space_mark(space, BLK, 20), 0);
}

static void drop_space(void)
{
	ck_assert_uint_eq(daxl_limbo_total(space), 0);
	daxl_space_destroy(space);
	teardown();
}

/* A punch of [start, end) under limbo, as far as its build and publish concern leases. fails: the build gives up. */
static int punch(uint64_t start, uint64_t end, const struct daxl_wait *wait, bool at_once, bool fails)
{
	struct daxl_clause clause = { .start = start, .end = end, .level = DAXL_LEVEL_U, .who = DAXL_WHO_ALL };
	struct daxl_limbo_links *links = NULL;
	struct daxl_limbo *limbo = NULL;
	struct daxl_break brk;
	uint64_t s, e, at = start;
	int rc = daxl_break_init(&brk, domain, wait, NULL, DAXL_REASON_PUNCH, true);

	brk.limbo_at_once = at_once;
	daxl_break_add(&brk, &fa.rl, start, end);
	if (!rc)
		rc = daxl_break_enter(&brk);
	if (!rc)
		rc = daxl_break_recall(&brk, &clause, 1);
	npart = 0;
	if (!rc) {
		ck_assert(daxl_break_covered(&brk, &clause, 1));
		if (brk.limbo) {
			ck_assert_int_eq(daxl_limbo_create(space, NULL, NULL, &limbo), 0);
			while (at < end && busy_piece(&fa, at, end, &s, &e)) {
				ck_assert_int_eq(daxl_limbo_add(limbo, BLK + s, daxl_min_u64(e, 20) - s), 0);
				at = e;
			}
			rc = daxl_break_limbo_prepare(&brk, &clause, 1, 0, start, end, limbo, &links, &npart);
		}
		if (!rc && fails)
			rc = -ENOSPC;
		if (links && rc)
			daxl_break_limbo_drop(links);
		else if (links)
			daxl_break_limbo_apply(&brk, links);
		if (!rc)
			daxl_space_unref(space, BLK + start, daxl_min_u64(end, 20) - start); /* the file's own reference */
		if (limbo)
			daxl_limbo_put(limbo);
	}
	daxl_break_leave(&brk);
	return rc;
}

static struct daxl_wait limbo_wait(int64_t ms)
{
	struct daxl_wait w = DAXL_WAIT_INIT;

	w.timeout_ms = ms;
	w.on_timeout = DAXL_ON_TIMEOUT_LIMBO;
	return w;
}

static void hold_ms(struct holder *h, uint64_t start, uint64_t end, uint32_t break_ms, uint32_t flags)
{
	struct daxl_lease_opts opts = DAXL_LEASE_OPTS_INIT;

	opts.mode = DAXL_LEASE_WRITE;
	opts.break_ms = break_ms;
	opts.flags = flags;
	hold(h, &fa, start, end, &opts);
}

START_TEST(busy_blocks_stay_used_until_the_last_pin_goes)
{
	struct daxl_wait w = limbo_wait(10);
	struct holder h = { 0 };
	struct daxl_holder out;
	struct daxl_lease_stat st;

	hold_ms(&h, 0, 10, 10, 0);
	ck_assert_int_eq(daxl_lease_pin(h.lease), 0);
	ck_assert_int_eq(daxl_lease_pin(h.lease), 0);
	ck_assert_int_eq(punch(4, 20, &w, false, false), 0);
	ck_assert_uint_eq(npart, 1);
	ck_assert_int_eq(daxl_lease_state(h.lease), DAXL_LEASE_REVOKED);
	ck_assert(!daxl_lease_may_commit(h.lease));
	ck_assert_int_eq(daxl_lease_pin(h.lease), -ESTALE);
	ck_assert_int_eq(daxl_lease_stat(h.lease, &st), 0);
	ck_assert_uint_eq(st.off, 0);
	ck_assert_uint_eq(st.len, 4 * 4096); /* what was taken out is not its range any more */
	ck_assert(daxl_space_is_used(space, BLK + 4) && daxl_space_is_used(space, BLK + 9));
	ck_assert(!daxl_space_is_used(space, BLK + 10)); /* not under the lease */
	ck_assert_uint_eq(daxl_range_holders(&fa.rl, 8, 9, 12, &out, 1), 1); /* by where the blocks were */
	ck_assert_uint_eq(out.limbo_blocks, 6);
	ck_assert_uint_eq(out.pins, 2);
	daxl_lease_unpin(h.lease);
	ck_assert(daxl_space_is_used(space, BLK + 4));
	daxl_lease_unpin(h.lease);
	ck_assert(!daxl_space_is_used(space, BLK + 4));
	ck_assert_uint_eq(daxl_range_holders(&fa.rl, 8, 9, 12, &out, 1), 0);
	ck_assert_int_eq(daxl_lease_state(h.lease), DAXL_LEASE_REVOKED);
	ck_assert_int_eq(daxl_lease_return(h.lease), 0);
	ck_assert_int_eq(daxl_lease_state(h.lease), DAXL_LEASE_RETURNED);
	daxl_lease_free(h.lease);
	ck_assert_int_eq(h.releases, 1);
}
END_TEST

/* Rule 6: limbo alone leaves an implicit pin busy, also when explicit ones go; the return drains. */
START_TEST(an_implicit_pin_keeps_its_limbo_until_the_return)
{
	struct daxl_wait w = limbo_wait(10);
	struct holder h = { 0 };

	hold_ms(&h, 0, 10, 10, DAXL_LEASE_IMPLICIT_PIN);
	ck_assert_int_eq(daxl_lease_pin(h.lease), 0);
	ck_assert_int_eq(punch(0, 10, &w, false, false), 0);
	daxl_lease_unpin(h.lease);
	ck_assert(daxl_space_is_used(space, BLK));
	ck_assert_int_eq(daxl_lease_return(h.lease), 0);
	ck_assert(!daxl_space_is_used(space, BLK));
	ck_assert_int_eq(daxl_lease_state(h.lease), DAXL_LEASE_RETURNED);
	daxl_lease_free(h.lease);
}
END_TEST

START_TEST(a_revoked_lease_shows_returned_only_when_its_limbo_has_drained)
{
	struct daxl_wait w = limbo_wait(10);
	struct holder h = { 0 };

	hold_ms(&h, 0, 10, 10, 0);
	ck_assert_int_eq(daxl_lease_pin(h.lease), 0);
	ck_assert_int_eq(punch(0, 10, &w, false, false), 0);
	ck_assert_int_eq(daxl_lease_return(h.lease), 0);
	ck_assert_int_eq(daxl_lease_state(h.lease), DAXL_LEASE_REVOKED);
	daxl_lease_unpin(h.lease);
	ck_assert_int_eq(daxl_lease_state(h.lease), DAXL_LEASE_RETURNED);
	daxl_lease_free(h.lease);
}
END_TEST

/* Rule 7: pins of a revoked lease hold up U breaks over what is left of its range, and only there. */
START_TEST(what_is_left_of_the_range_is_still_busy)
{
	struct daxl_wait w = limbo_wait(10), n = DAXL_WAIT_INIT;
	struct holder h = { 0 };

	n.timeout_ms = 0;
	hold_ms(&h, 0, 10, 10, 0);
	ck_assert_int_eq(daxl_lease_pin(h.lease), 0);
	ck_assert_int_eq(punch(4, 6, &w, false, false), 0); /* a middle part: two pieces are left */
	ck_assert_int_eq(run_break(&fa, 4, 6, DAXL_LEVEL_U, &n), 0);
	ck_assert_int_eq(run_break(&fa, 3, 4, DAXL_LEVEL_U, &n), -EAGAIN);
	ck_assert_int_eq(run_break(&fa, 6, 7, DAXL_LEVEL_U, &n), -EAGAIN);
	ck_assert_int_eq(run_break(&fa, 3, 4, DAXL_LEVEL_W, &n), 0); /* nothing more comes from it */
	ck_assert_int_eq(h.recalls, 1);
	ck_assert_int_eq(punch(0, 1, &w, false, false), 0); /* a second part goes the same way */
	daxl_lease_unpin(h.lease);
	ck_assert(!daxl_space_is_used(space, BLK + 4));
	ck_assert_int_eq(run_break(&fa, 0, 10, DAXL_LEVEL_U, &n), 0);
	daxl_lease_free(h.lease);
}
END_TEST

/* P33: a late commit changes nothing, also of a holder that had no pins. */
START_TEST(an_idle_late_lease_is_revoked_too_and_keeps_nothing)
{
	struct daxl_wait w = limbo_wait(10);
	struct holder h = { 0 };

	hold_ms(&h, 0, 10, 10, 0);
	ck_assert_int_eq(punch(0, 10, &w, false, false), 0);
	ck_assert_int_eq(daxl_lease_state(h.lease), DAXL_LEASE_REVOKED);
	ck_assert(!daxl_lease_may_commit(h.lease));
	ck_assert(!daxl_space_is_used(space, BLK));
	ck_assert_uint_eq(fa.rl.nspans, 0);
	daxl_lease_free(h.lease);
}
END_TEST

/* L6: an operation that gives up after the deadline has revoked nobody. */
START_TEST(a_build_that_fails_revokes_nobody)
{
	struct daxl_wait w = limbo_wait(10);
	struct holder h = { 0 };

	hold_ms(&h, 0, 10, 10, 0);
	ck_assert_int_eq(daxl_lease_pin(h.lease), 0);
	ck_assert_int_eq(punch(0, 10, &w, false, true), -ENOSPC);
	ck_assert_int_eq(daxl_lease_state(h.lease), DAXL_LEASE_RECALLED);
	ck_assert(daxl_lease_may_commit(h.lease));
	ck_assert(daxl_space_is_used(space, BLK));
	ck_assert_uint_eq(daxl_limbo_total(space), 0);
	daxl_lease_unpin(h.lease);
	daxl_lease_free(h.lease);
}
END_TEST

START_TEST(limbo_waits_for_the_leases_own_deadline_and_fails_with_less_time)
{
	struct daxl_wait less = limbo_wait(10), same = limbo_wait(60);
	struct holder slow = { 0 }, h = { 0 };

	hold_ms(&slow, 0, 10, 100000, 0);
	ck_assert_int_eq(punch(0, 10, &less, false, false), -ETIMEDOUT);
	ck_assert_int_eq(daxl_lease_state(slow.lease), DAXL_LEASE_RECALLED);
	daxl_lease_free(slow.lease);
	hold_ms(&h, 0, 10, 60, 0);
	ck_assert_int_eq(punch(0, 10, &same, false, false), 0);
	ck_assert_uint_ge(daxl_now_ns(), h.last.deadline_ns);
	ck_assert_int_eq(daxl_lease_state(h.lease), DAXL_LEASE_REVOKED);
	daxl_lease_free(h.lease);
}
END_TEST

START_TEST(at_the_last_close_nobody_is_waited_for)
{
	struct daxl_wait w = DAXL_WAIT_INIT;
	struct holder busy = { 0 }, idle = { 0 }, quick = { .return_at_once = true };

	hold_ms(&busy, 0, 5, 100000, 0);
	hold_ms(&idle, 5, 10, 100000, 0);
	hold_ms(&quick, 10, 15, 100000, 0);
	ck_assert_int_eq(daxl_lease_pin(busy.lease), 0);
	uint64_t start = now_ms();

	ck_assert_int_eq(punch(0, DAXL_FBLK_INF, &w, true, false), 0);
	ck_assert_uint_lt(now_ms() - start, 5000);
	ck_assert(busy.recalls == 1 && idle.recalls == 1 && quick.recalls == 1);
	ck_assert_int_eq(daxl_lease_state(busy.lease), DAXL_LEASE_REVOKED);
	ck_assert_int_eq(daxl_lease_state(idle.lease), DAXL_LEASE_REVOKED);
	ck_assert_int_eq(daxl_lease_state(quick.lease), DAXL_LEASE_RETURNED);
	ck_assert(daxl_space_is_used(space, BLK) && !daxl_space_is_used(space, BLK + 12));
	daxl_lease_free(busy.lease);
	daxl_lease_free(idle.lease);
	daxl_lease_free(quick.lease);
	daxl_lease_unpin(busy.lease); /* long after file and handle */
	ck_assert(!daxl_space_is_used(space, BLK));
}
END_TEST

START_TEST(a_fence_after_limbo_drains_it)
{
	struct daxl_wait w = limbo_wait(10), fence = limbo_wait(10);
	struct daxl_lease_opts opts = DAXL_LEASE_OPTS_INIT;
	struct holder h = { 0 };

	fence.on_timeout = DAXL_ON_TIMEOUT_FENCE;
	opts.break_ms = 10;
	opts.fence = on_fence;
	hold(&h, &fa, 0, 10, &opts);
	ck_assert_int_eq(daxl_lease_pin(h.lease), 0);
	ck_assert_int_eq(daxl_lease_pin(h.lease), 0);
	ck_assert_int_eq(punch(0, 5, &w, false, false), 0);
	ck_assert(daxl_space_is_used(space, BLK));
	ck_assert_int_eq(run_break(&fa, 5, 10, DAXL_LEVEL_U, &fence), 0);
	ck_assert(!daxl_space_is_used(space, BLK));
	daxl_lease_unpin(h.lease); /* legal, in every order */
	daxl_lease_free(h.lease);
	daxl_lease_unpin(h.lease);
	ck_assert_int_eq(h.releases, 1);
}
END_TEST

START_TEST(the_drain_is_told_once_through_the_queue)
{
	struct daxl_wait w = limbo_wait(10);
	struct holder h = { 0 };
	struct daxl_event ev;

	hold_ms(&h, 0, 10, 10, DAXL_LEASE_QUEUE_EVENTS);
	ck_assert_int_eq(daxl_lease_pin(h.lease), 0);
	ck_assert_int_eq(punch(0, 3, &w, false, false), 0);
	ck_assert_int_eq(punch(3, 5, &w, false, false), 0);
	ck_assert_int_eq(daxl_domain_event_next(domain, &ev), 1);
	ck_assert_int_eq(ev.kind, DAXL_EVENT_RECALL);
	ck_assert_int_eq(daxl_domain_event_next(domain, &ev), 0);
	daxl_lease_unpin(h.lease);
	ck_assert_int_eq(daxl_domain_event_next(domain, &ev), 1);
	ck_assert_int_eq(ev.kind, DAXL_EVENT_LIMBO_DRAINED);
	ck_assert_ptr_eq(ev.lease, h.lease);
	ck_assert_ptr_eq(ev.arg, &h);
	ck_assert_int_eq(daxl_domain_event_next(domain, &ev), 0);
	daxl_lease_free(h.lease);
}
END_TEST

static long fail_at;

static bool fail_nth(const char *point, void *arg)
{
	(void)arg;
	return strcmp(point, "alloc") == 0 && fail_at >= 0 && fail_at-- == 0;
}

START_TEST(every_allocation_may_fail)
{
	struct daxl_clause clause = { .start = 2, .end = 4, .level = DAXL_LEVEL_U, .who = DAXL_WHO_ALL };
	struct daxl_wait w = limbo_wait(1);

	for (long n = 0;; n++) {
		struct holder h[2] = { 0 };
		struct daxl_limbo_links *links;
		struct daxl_limbo *limbo;
		struct daxl_break brk;
		size_t busy;

		for (int i = 0; i < 2; i++) {
			hold_ms(&h[i], 0, 10, 1, 0);
			ck_assert_int_eq(daxl_lease_pin(h[i].lease), 0);
		}
		ck_assert_int_eq(open_break(&brk, &fa, 2, 4, DAXL_LEVEL_U, &w, true), 0);
		ck_assert(brk.limbo);
		ck_assert_int_eq(daxl_limbo_create(space, NULL, NULL, &limbo), 0);
		fail_at = n;
		daxl_fault_set(fail_nth, NULL);
		int rc = daxl_break_limbo_prepare(&brk, &clause, 1, 0, 2, 4, limbo, &links, &busy);
		bool reached = fail_at < 0;

		daxl_fault_set(NULL, NULL);
		ck_assert_int_eq(rc, reached ? -ENOMEM : 0);
		if (!rc)
			daxl_break_limbo_drop(links);
		daxl_limbo_put(limbo);
		daxl_break_leave(&brk);
		for (int i = 0; i < 2; i++) {
			ck_assert_int_eq(daxl_lease_state(h[i].lease), DAXL_LEASE_RECALLED);
			daxl_lease_unpin(h[i].lease);
			daxl_lease_free(h[i].lease);
			ck_assert_int_eq(h[i].releases, 1);
		}
		if (!reached)
			break;
	}
}
END_TEST

START_TEST(a_lease_that_drains_before_the_publish_is_not_revoked)
{
	struct daxl_clause clause = { .start = 2, .end = 4, .level = DAXL_LEVEL_U, .who = DAXL_WHO_ALL };
	struct daxl_wait w = limbo_wait(1);
	struct daxl_limbo_links *links;
	struct daxl_limbo *limbo;
	static struct daxl_stats st;
	struct holder h = { 0 };
	struct daxl_break brk;
	size_t busy;

	hold_ms(&h, 0, 10, 1, 0);
	ck_assert_int_eq(daxl_lease_pin(h.lease), 0);
	ck_assert_int_eq(open_break(&brk, &fa, 2, 4, DAXL_LEVEL_U, &w, true), 0);
	ck_assert_int_eq(daxl_limbo_create(space, NULL, NULL, &limbo), 0);
	ck_assert_int_eq(daxl_limbo_add(limbo, BLK + 2, 2), 0);
	ck_assert_int_eq(daxl_break_limbo_prepare(&brk, &clause, 1, 0, 2, 4, limbo, &links, &busy), 0);
	ck_assert_uint_eq(busy, 1);
	daxl_lease_unpin(h.lease);
	ck_assert_int_eq(daxl_lease_return(h.lease), 0);
	daxl_break_limbo_apply(&brk, links);
	daxl_limbo_put(limbo);
	daxl_break_leave(&brk);
	ck_assert_uint_eq(daxl_limbo_total(space), 0);
	ck_assert_int_eq(daxl_lease_state(h.lease), DAXL_LEASE_RETURNED);
	daxl_tally_read(domain->tally, &st);
	ck_assert_uint_eq(st.revoked_limbo, 0);
	daxl_lease_free(h.lease);
}
END_TEST

struct late_pin {
	struct daxl_lease *lease;
	bool go; /* atomic */
};

static void *unpin_late(void *arg)
{
	struct late_pin *p = arg;

	AWAIT(LOAD(p->go));
	daxl_lease_unpin(p->lease);
	return NULL;
}

/* P25, rule 4: the last unpin at any moment of publishing: the blocks come back once, and the lease goes once. */
START_TEST(the_last_unpin_races_with_the_links)
{
	struct daxl_wait w = DAXL_WAIT_INIT;

	for (unsigned round = 0; round < 2000; round++) {
		struct holder h = { 0 };
		struct late_pin p = { 0 };
		pthread_t thread;

		hold_ms(&h, 0, 10, 1, round & 1 ? DAXL_LEASE_IMPLICIT_PIN : 0);
		ck_assert_int_eq(daxl_lease_pin(h.lease), 0);
		p.lease = h.lease;
		if (round & 2)
			daxl_lease_free(h.lease);
		ck_assert_int_eq(pthread_create(&thread, NULL, unpin_late, &p), 0);
		STORE(p.go, true);
		ck_assert_int_eq(punch(0, 10, &w, true, false), 0);
		pthread_join(thread, NULL);
		if (!(round & 2))
			daxl_lease_free(h.lease);
		ck_assert_int_eq(LOAD(h.releases), 1);
		ck_assert(!daxl_space_is_used(space, BLK));
		ck_assert_uint_eq(daxl_limbo_total(space), 0);
		ck_assert_int_eq(daxl_space_mark(space, BLK, 10), 0);
	}
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		busy_blocks_stay_used_until_the_last_pin_goes,
		an_implicit_pin_keeps_its_limbo_until_the_return,
		a_revoked_lease_shows_returned_only_when_its_limbo_has_drained,
		what_is_left_of_the_range_is_still_busy,
		an_idle_late_lease_is_revoked_too_and_keeps_nothing,
		a_build_that_fails_revokes_nobody,
		limbo_waits_for_the_leases_own_deadline_and_fails_with_less_time,
		at_the_last_close_nobody_is_waited_for,
		a_fence_after_limbo_drains_it,
		the_drain_is_told_once_through_the_queue,
		every_allocation_may_fail,
		a_lease_that_drains_before_the_publish_is_not_revoked,
		the_last_unpin_races_with_the_links,
	};

	return suite_with("limbo_links", tests, DAXL_ARRAY_LEN(tests), make_space, drop_space);
}
