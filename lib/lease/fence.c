/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What happens at the deadline (L12): fail, fence, or limbo. A lease is late when both the breaker's time and the lease's own are over. A breaker that was given less
 * time than the lease has cannot call it late; its break fails.
 *
 * One fence runs at a time for a lease. Other breakers that come to their deadlines meanwhile wait for it and share its result: a refusal since a break first looked
 * for somebody to fence is its own. Nobody is fenced for a break that must fail anyway.
 */
#include <errno.h>

#include "lease/impl.h"

struct late {
	struct daxl_scan scan;
	uint64_t token; /* LIMBO: in the leases that a clause lets go to limbo */
	uint64_t now_ns, again_ns;
	bool any;
	bool stubborn;             /* some lease cannot be ended in the time and the way the breaker wants */
	bool fencing;              /* somebody else fences one */
	struct daxl_lease *victim; /* FENCE: the first late lease nobody fences */
};

static int DAXL_HOLDS(RANGE) may_go_to_limbo(struct daxl_lease_span *span, void *arg)
{
	struct late *late = arg;

	if (daxl_clause_limbo(late->scan.clause) && daxl_clause_waits(late->scan.clause, span->lease, late->scan.brk->owner))
		span->lease->seen = late->token;
	return 0;
}

static int DAXL_HOLDS(RANGE) judge(struct daxl_lease_span *span, void *arg)
{
	struct late *late = arg;
	struct daxl_break *brk = late->scan.brk;
	const struct daxl_clause *clause = late->scan.clause;
	struct daxl_lease *l = span->lease;

	if (!daxl_clause_waits(clause, l, brk->owner))
		return 0;
	late->any = true;
	if (l->deadline_ns > brk->deadline_ns && brk->timeout_ms < l->break_ms)
		late->stubborn = true; /* it has longer than the breaker. NOLINT(bugprone-branch-clone): the questions' order matters */
	else if (l->deadline_ns > late->now_ns)
		late->again_ns = daxl_min_u64(late->again_ns, l->deadline_ns);
	else if (brk->on_timeout == DAXL_ON_TIMEOUT_LIMBO)
		late->stubborn |= clause->no_limbo || l->seen != late->token;
	else if (l->fencing)
		late->fencing = true;
	else if (!l->fence || l->fence_failed_ns >= brk->fencing_since_ns)
		late->stubborn = true;
	else if (!late->victim)
		late->victim = l;
	return 0;
}

void daxl_lease_fence(struct daxl_lease *victim)
{
	struct daxl_lease *l = victim;

	DAXL_HOOK("fence:before");
	uint64_t started_ns = daxl_now_ns();

	struct daxl_toll outer = daxl_callback_enter();
	int refused = l->fence(l, l->arg);

	daxl_callback_leave(outer);
	daxl_tally_time(l->rl->domain->tally, DAXL_HISTOGRAM_FENCE_CALL, daxl_now_ns() - started_ns);
	if (refused)
		daxl_tally_event(l->rl->domain->tally, DAXL_TALLY_FENCES_FAILED, 1);
	DAXL_HOOK("fence:after");
	daxl_mutex_lock(&l->rl->mutex);
	l->fencing = false;
	uint64_t w = daxl_lw_load(&l->word);
	bool drains = false;

	/* Return and last unpin meanwhile win. */
	while (!refused && !daxl_lw_drained(w))
		if (daxl_lw_swap(&l->word, &w, w | DAXL_LW_FENCED)) {
			drains = daxl_lw_drains_limbo(w, w | DAXL_LW_FENCED);
			daxl_lease_over_locked(l, w);
			daxl_lease_unindex_locked(l);
			daxl_tally_event(l->rl->domain->tally, DAXL_TALLY_REVOKED_FENCE, 1);
			break;
		}
	if (refused)
		l->fence_failed_ns = daxl_now_ns();
	daxl_mutex_unlock(&l->rl->mutex);
	if (drains)
		daxl_lease_drain_limbo(l);
	daxl_wake_key(l->key);
	daxl_lease_unref(l);
}

int daxl_break_deadline(struct daxl_break *brk, const struct daxl_clause *clauses, size_t n, uint64_t *ret_again_ns,
                        struct daxl_lease **ret_victim)
{
	struct late late = { .token = daxl_key_new(), .now_ns = daxl_now_ns(), .again_ns = UINT64_MAX };

	if (!brk->fencing_since_ns)
		brk->fencing_since_ns = late.now_ns;
	daxl_break_lock(brk);
	if (brk->on_timeout == DAXL_ON_TIMEOUT_LIMBO)
		(void)daxl_break_scan_locked(brk, clauses, n, &late.scan, may_go_to_limbo);
	(void)daxl_break_scan_locked(brk, clauses, n, &late.scan, judge);
	bool fails = late.any && (late.stubborn || brk->on_timeout == DAXL_ON_TIMEOUT_FAIL);
	bool later = late.fencing || late.again_ns != UINT64_MAX;

	if (fails) {
		late.victim = NULL;
	} else if (late.victim) {
		if (daxl_lease_try_ref(late.victim))
			late.victim->fencing = true;
		else
			late.victim = NULL;
	} else if (!later && brk->on_timeout == DAXL_ON_TIMEOUT_LIMBO) {
		daxl_break_accept_locked(brk, clauses, n);
	}
	daxl_break_unlock(brk);
	if (fails)
		return daxl_fail(ETIMEDOUT, "leases in the range were not given back in time");
	*ret_victim = late.victim;
	if (late.victim || !later)
		return 1;
	*ret_again_ns = late.again_ns; /* UINT64_MAX: a fence runs elsewhere, and will wake us */
	return 0;
}
