/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What happens at the deadline (L12): fail, fence, or limbo. A lease is late when both the breaker's time and the lease's own are over. A breaker that was given less
 * time than the lease has cannot call it late; its break fails.
 *
 * One fence runs at a time for a lease. Other breakers that come to their deadlines meanwhile wait for it and share its result.
 */
#include <errno.h>

#include "lease/impl.h"

struct late {
	struct daxl_break *brk;
	const struct daxl_clause *clause;
	uint64_t now, again_ns;
	bool too_early;            /* some lease has longer than the breaker */
	bool stubborn;             /* some lease cannot be ended the way the breaker wants */
	struct daxl_lease *victim; /* FENCE: the first late lease nobody fences; referenced */
	bool fencing;              /* somebody else fences one */
};

static int judge(struct daxl_lease_span *span, void *arg)
{
	struct late *late = arg;
	struct daxl_break *brk = late->brk;
	struct daxl_lease *l = span->lease;

	if (!daxl_clause_waits(late->clause, l, brk->owner))
		return 0;
	if (l->deadline_ns > brk->deadline_ns && brk->timeout_ms < l->break_ms) {
		late->too_early = true;
		return 0;
	}
	if (l->deadline_ns > late->now) {
		late->again_ns = daxl_min_u64(late->again_ns, l->deadline_ns);
		return 0;
	}
	if (brk->on_timeout == DAXL_ON_TIMEOUT_LIMBO) {
		if (late->clause->level != DAXL_LEVEL_U || late->clause->no_limbo)
			late->stubborn = true;
		return 0;
	}
	if (l->fencing)
		late->fencing = true;
	else if (!l->fence)
		late->stubborn = true;
	else if (!late->victim) {
		late->victim = l;
		l->fencing = true;
		daxl_lease_ref(l);
	}
	return 0;
}

/* Calls the victim's fence and draws the consequences. 0, or its refusal. */
static int fence_one(struct daxl_lease *l)
{
	bool over = false;

	DAXL_HOOK("fence:before");
	daxl_callback_enter();
	int refused = l->fence(l, l->arg);

	daxl_callback_leave();
	DAXL_HOOK("fence:after");
	daxl_mutex_lock(&l->rl->mutex);
	l->fencing = false;
	if (refused) {
		l->fence_failures++;
	} else {
		uint64_t w = daxl_lw_load(&l->word);

		/* Return or the last unpin meanwhile wins. */
		while (!daxl_lw_drained(w))
			if (daxl_lw_swap(&l->word, &w, w | DAXL_LW_FENCED)) {
				daxl_lease_over_locked(l, w);
				daxl_lease_unindex_locked(l);
				over = true;
				break;
			}
	}
	daxl_mutex_unlock(&l->rl->mutex);
	if (over) {
		DAXL_STAT_ADD(l->domain, fences, 1);
		daxl_lease_drain_limbo(l);
	}
	daxl_wake_key(l->key);
	daxl_lease_unref(l);
	return refused;
}

/* Failures of fences on the leases concerned, so that a breaker that waits for somebody's fence hears its result. */
static int add_failures(struct daxl_lease_span *span, void *arg)
{
	struct late *late = arg;

	if (daxl_clause_waits(late->clause, span->lease, late->brk->owner))
		late->now += span->lease->fence_failures;
	return 0;
}

static uint64_t failures(struct daxl_break *brk, const struct daxl_clause *clauses, size_t n)
{
	struct late late = { .brk = brk };

	for (size_t i = 0; i < n; i++) {
		late.clause = &clauses[i];
		(void)daxl_interval_each(daxl_break_part_of(brk, clauses[i].part)->rl->spans, clauses[i].start, clauses[i].end,
		                         add_failures, &late);
	}
	return late.now;
}

int daxl_break_deadline(struct daxl_break *brk, const struct daxl_clause *clauses, size_t n, uint64_t *ret_again_ns)
{
	struct late late = { .brk = brk, .now = daxl_now_ns(), .again_ns = UINT64_MAX };

	if (brk->on_timeout == DAXL_ON_TIMEOUT_FAIL)
		goto timed_out;
	daxl_break_lock(brk);
	for (size_t i = 0; i < n; i++) {
		late.clause = &clauses[i];
		(void)daxl_interval_each(daxl_break_part_of(brk, clauses[i].part)->rl->spans, clauses[i].start, clauses[i].end, judge,
		                         &late);
	}
	uint64_t failed = failures(brk, clauses, n);
	bool joined_failure = brk->joining && failed != brk->fence_failures;

	brk->joining = late.fencing;
	brk->fence_failures = failed;
	if ((late.too_early || late.stubborn || joined_failure) && late.victim)
		late.victim->fencing = false; /* the break fails anyway */
	daxl_break_unlock(brk);
	if (late.too_early || late.stubborn || joined_failure) {
		if (late.victim)
			daxl_lease_unref(late.victim);
		goto timed_out;
	}
	if (late.victim) {
		if (fence_one(late.victim))
			goto timed_out;
		*ret_again_ns = 0; /* look at once for the next */
		return 1;
	}
	*ret_again_ns = late.again_ns; /* UINT64_MAX: a fence runs elsewhere and will wake us */
	if (late.fencing || late.again_ns != UINT64_MAX)
		return 0;
	if (brk->on_timeout == DAXL_ON_TIMEOUT_LIMBO)
		brk->limbo = true;
	*ret_again_ns = 0;
	return 1;
timed_out:
	DAXL_STAT_ADD(brk->domain, timeouts, 1);
	return daxl_fail(ETIMEDOUT, "leases in the range were not given back in time");
}
