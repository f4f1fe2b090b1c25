/* SPDX-License-Identifier: BSD-3-Clause */
/* A break's own course: set up, recall and wait, decide at the deadline. Its place in the queues is in queue.c, whom it concerns in recall.c. */
#include "lease/break.h"

#include <errno.h>
#include <string.h>

#include "lease/impl.h"

#define WATCH_NS UINT64_C(20000)

int daxl_break_init(struct daxl_break *brk, struct daxl_domain *domain, const struct daxl_wait *wait,
                    const struct daxl_wait *def, uint32_t reason, bool limbo_ok)
{
	static const struct daxl_wait all_defaults = DAXL_WAIT_INIT;
	const struct daxl_wait *w = wait ? wait : def ? def : &all_defaults;

	if (w->on_timeout == DAXL_ON_TIMEOUT_LIMBO && !limbo_ok && w == wait)
		return daxl_fail(EINVAL, "DAXL_ON_TIMEOUT_LIMBO is for operations that take blocks out of a file");
	memset(brk, 0, offsetof(struct daxl_break, waiter));
	brk->domain = domain;
	brk->owner = w->owner;
	brk->reason = reason;
	brk->on_timeout = w->on_timeout == DAXL_ON_TIMEOUT_LIMBO && !limbo_ok ? DAXL_ON_TIMEOUT_FAIL : w->on_timeout;
	brk->nowait_err = EAGAIN;
	brk->hold_err = EDEADLK;
	brk->nowait = w->timeout_ms == 0;
	brk->timeout_ms = w->timeout_ms == -1 ? domain->break_ms : (uint64_t)w->timeout_ms;
	brk->cancel = w->cancel;
	return 0;
}

void daxl_break_start_clock(struct daxl_break *brk)
{
	if (brk->deadline_ns)
		return;
	uint64_t now = daxl_now_ns();

	brk->deadline_ns = brk->timeout_ms > (UINT64_MAX - now) / 1000000u ? UINT64_MAX : now + brk->timeout_ms * 1000000u;
}

void daxl_break_add(struct daxl_break *brk, struct daxl_range_lock *rl, daxl_fblk_t start, daxl_fblk_t end)
{
	struct daxl_break_part *part = &brk->part[brk->nparts];

	assert(!brk->entered);
	if (brk->held) { /* the held break has its own part */
		const struct daxl_break_part *held = daxl_break_part_of(brk, 0);

		brk->held_short |= rl != held->rl || start < held->start || end > held->end;
		return;
	}
	assert(brk->nparts < 2);
	*part = (struct daxl_break_part){ .rl = rl, .brk = brk, .start = start, .end = end };
	brk->nparts++;
}

int daxl_break_may_hold(struct daxl_break *brk, uint32_t own)
{
	if (daxl_owner_recalled(brk->domain, brk->owner) > own)
		return daxl_fail(brk->hold_err, "the call's owner has a recalled lease which it has not returned");
	return 0;
}

int daxl_break_may_go_on(struct daxl_break *brk, uint32_t own)
{
	if (brk->cancel && daxl_cancel_fired(brk->cancel))
		return daxl_fail(ECANCELED, "the wait was cancelled");
	return daxl_break_may_hold(brk, own);
}

void daxl_break_listen(struct daxl_break *brk)
{
	daxl_break_start_clock(brk);
	daxl_waiter_init(&brk->waiter, NULL);
	for (unsigned i = 0; i < brk->nparts; i++)
		daxl_waiter_add(&brk->waiter, daxl_break_part_of(brk, i)->rl->key);
	daxl_waiter_add(&brk->waiter, daxl_owner_key(brk->owner));
	if (brk->cancel)
		daxl_waiter_add(&brk->waiter, daxl_cancel_key(brk->cancel));
}

void daxl_break_unlisten(struct daxl_break *brk)
{
	daxl_waiter_remove(&brk->waiter);
}

/* Whether the clauses lie in what is closed; only a held break can be too narrow here. */
static int check_held(struct daxl_break *brk, const struct daxl_clause *clauses, size_t n)
{
	if (!brk->held)
		return 0;
	const struct daxl_break_part *part = daxl_break_part_of(brk, 0);

	for (size_t i = 0; i < n; i++)
		if (clauses[i].start < part->start || clauses[i].end > part->end ||
		    !daxl_break_held_level(brk, clauses[i].level))
			return daxl_fail(EINVAL, "the held break does not cover the operation's range or level");
	return 0;
}

static bool done(struct daxl_break *brk, const struct daxl_clause *clauses, size_t n)
{
	daxl_break_lock(brk);
	bool ret = !daxl_break_late_locked(brk, clauses, n, brk->limbo);

	daxl_break_unlock(brk);
	return ret;
}

/*
 * Most are soon back. So a break first looks at the very words that returns and unpins change, and is told by one cache line; only when a lease takes longer than a sleep costs,
 * or pins come back for longer than WATCH_NS, does it listen, and look at its deadline. True: nothing is left to wait for.
 */
static bool watch(struct daxl_break *brk, const struct daxl_clause *clauses, size_t n, uint64_t started_ns)
{
	uint64_t until = daxl_min_u64(brk->deadline_ns, started_ns + WATCH_NS);

	do {
		daxl_break_lock(brk);
		struct daxl_lease *late = daxl_break_late_locked(brk, clauses, n, brk->limbo);
		uint64_t w = late ? daxl_lw_load(&late->word) : 0;
		bool ended = late && !daxl_lease_try_ref(late); /* by an unpin, just now */

		daxl_break_unlock(brk);
		if (!late)
			return true;
		if (ended)
			continue;
		DAXL_HOOK("break:watch");
		bool changed = daxl_word_watch(&late->word, w + DAXL_LW_REF);

		daxl_lease_unref(late);
		if (!changed)
			return false;
	} while (daxl_now_ns() < until);
	return false;
}

/* Sleeps until everything concerned is given back and drained, or the time is over and there is an answer. */
static int sleep_until_done(struct daxl_break *brk, const struct daxl_clause *clauses, size_t n)
{
	int rc = 0;

	daxl_break_listen(brk);
	uint64_t until = brk->deadline_ns;

	for (;;) {
		daxl_waiter_arm(&brk->waiter);
		if (done(brk, clauses, n))
			break;
		DAXL_HOOK("break:looked");
		rc = daxl_break_may_go_on(brk, 0);
		if (!rc && daxl_now_ns() >= until) {
			struct daxl_lease *victim = NULL;

			rc = daxl_break_deadline(brk, clauses, n, &until, &victim);
			if (victim)
				daxl_lease_fence(victim);
		}
		if (rc < 0)
			break;
		if (rc > 0) {
			rc = 0;
			continue;
		}
		DAXL_HOOK("break:before-sleep");
		/* Woken, everything is to be looked at anew: also who is late, once the deadline has passed. */
		if (daxl_waiter_sleep(&brk->waiter, until) == 0)
			until = brk->deadline_ns;
	}
	daxl_break_unlisten(brk);
	return rc;
}

static int wait_done(struct daxl_break *brk, const struct daxl_clause *clauses, size_t n)
{
	uint64_t started_ns = daxl_now_ns();

	daxl_toll.waits = true;
	daxl_break_start_clock(brk);
	int rc = watch(brk, clauses, n, started_ns) ? 0 : sleep_until_done(brk, clauses, n);

	daxl_tally_time(brk->domain->tally, DAXL_HISTOGRAM_BREAK_WAIT, daxl_now_ns() - started_ns);
	DAXL_HOOK("break:after-wait");
	return rc;
}

/* Checks, marks, tells. *ret_done: nobody is left to wait for. */
static int start_recall(struct daxl_break *brk, const struct daxl_clause *clauses, size_t n, bool *ret_done)
{
	struct daxl_lease *notices = NULL, *returned = NULL;
	bool sleeps = !brk->nowait && !brk->limbo_at_once, others;
	uint32_t own;

	daxl_break_lock(brk);
	brk->limbo = false; /* whom an earlier round went on without is late still */
	int rc = daxl_break_check_locked(brk, clauses, n, &others, &own);

	if (!rc && sleeps && others && daxl_may_not_wait())
		rc = daxl_fail(EDEADLK, "would wait for leases inside a callback or an RCU read section");
	if (!rc && sleeps && others)
		rc = daxl_break_may_go_on(brk, own);
	if (!rc)
		daxl_break_mark_locked(brk, clauses, n, &notices, &returned);
	if (!rc && brk->limbo_at_once)
		daxl_break_accept_locked(brk, clauses, n);
	daxl_break_unlock(brk);
	if (rc)
		return rc;
	daxl_returned_finish(returned);
	daxl_notices_deliver(notices);
	*ret_done = done(brk, clauses, n);
	return 0;
}

int daxl_break_recall(struct daxl_break *brk, const struct daxl_clause *clauses, size_t n)
{
	bool is_done;
	int rc = check_held(brk, clauses, n);

	if (!rc)
		rc = start_recall(brk, clauses, n, &is_done);
	/* cppcheck-suppress legacyUninitvar ; start_recall sets it unless it fails */
	if (rc || is_done)
		return rc;
	daxl_toll.breaks = true;
	if (brk->nowait)
		return daxl_fail(brk->nowait_err, "leases in the range have been recalled and are not back yet");
	return wait_done(brk, clauses, n);
}

bool daxl_break_covered(struct daxl_break *brk, const struct daxl_clause *clauses, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct daxl_break_part *part = daxl_break_part_of(brk, clauses[i].part);

		if (clauses[i].start < part->start || clauses[i].end > part->end)
			return false;
	}
	return done(brk, clauses, n);
}
