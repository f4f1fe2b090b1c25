/* SPDX-License-Identifier: BSD-3-Clause */
/* Whom a break concerns, marking them, and telling them. */
#include <errno.h>

#include "lease/impl.h"

/* Whether the clause is about this lease at all, whatever its state. */
static bool concerns(const struct daxl_clause *clause, const struct daxl_lease *lease)
{
	switch (clause->who) {
	case DAXL_WHO_ALL:
		return true;
	case DAXL_WHO_WRITE:
		return lease->mode == DAXL_LEASE_WRITE;
	case DAXL_WHO_HOLE:
		return lease->mode == DAXL_LEASE_READ && !(lease->flags & DAXL_LEASE_FILL_OK);
	case DAXL_WHO_SOLID:
		return lease->flags & (DAXL_LEASE_STABLE | DAXL_LEASE_EXCLUSIVE);
	case DAXL_WHO_EXCLUSIVE:
		return lease->flags & DAXL_LEASE_EXCLUSIVE;
	case DAXL_WHO_STABLE:
		return lease->flags & DAXL_LEASE_STABLE;
	}
	return false;
}

static bool is_own(const struct daxl_lease *lease, uint64_t owner)
{
	return owner != 0 && lease->owner == owner;
}

bool daxl_clause_waits(const struct daxl_clause *clause, const struct daxl_lease *lease, uint64_t owner)
{
	uint64_t w = daxl_lw_load(&lease->word);

	if (clause->level == DAXL_LEVEL_N || !concerns(clause, lease))
		return false;
	if (is_own(lease, owner) && (clause->level == DAXL_LEVEL_W || clause->own_exempt))
		return false;
	return clause->level == DAXL_LEVEL_W ? !(w & DAXL_LW_OVER) : !daxl_lw_drained(w);
}

struct scan {
	struct daxl_break *brk;
	const struct daxl_clause *clause;
	bool limbo;
	/* mark */
	struct daxl_lease *notices, **notices_tail, *returned;
	uint32_t marked;
};

static int scan_clauses(struct daxl_break *brk, const struct daxl_clause *clauses, size_t n, struct scan *scan,
                        int (*fn)(struct daxl_lease_span *span, void *arg))
{
	int rc = 0;

	scan->brk = brk;
	for (size_t i = 0; !rc && i < n; i++) {
		scan->clause = &clauses[i];
		rc = daxl_interval_each(daxl_break_part_of(brk, clauses[i].part)->rl->spans, clauses[i].start, clauses[i].end, fn,
		                        scan);
	}
	return rc;
}

static int waits(struct daxl_lease_span *span, void *arg)
{
	const struct scan *s = arg;
	const struct daxl_lease *l = span->lease;

	if (!daxl_clause_waits(s->clause, l, s->brk->owner))
		return 0;
	/* Under limbo those asked for in vain at U do not hold the break up. */
	return !(s->limbo && s->clause->level == DAXL_LEVEL_U && !s->clause->no_limbo &&
	         (daxl_lw_load(&l->word) & DAXL_LW_NOT_LIVE));
}

bool daxl_break_done_locked(struct daxl_break *brk, const struct daxl_clause *clauses, size_t n, bool limbo)
{
	struct scan scan = { .limbo = limbo };

	return !scan_clauses(brk, clauses, n, &scan, waits);
}

/* Own leases under a U clause: with pins the call would wait for itself. */
static int own_with_pins(struct daxl_lease_span *span, void *arg)
{
	struct scan *s = arg;
	struct daxl_lease *l = span->lease;

	if (s->clause->level != DAXL_LEVEL_U || s->clause->own_exempt || !is_own(l, s->brk->owner) || !concerns(s->clause, l))
		return 0;
	return daxl_lw_busy(daxl_lw_load(&l->word));
}

/* LIVE to RECALLED and the notice's reference in one step; false when it is not LIVE. */
static bool mark(struct daxl_lease *lease)
{
	uint64_t w = daxl_lw_load(&lease->word);

	do {
		if (w & DAXL_LW_NOT_LIVE)
			return false;
	} while (!daxl_lw_swap(&lease->word, &w, (w | DAXL_LW_RECALLED) + DAXL_LW_REF));
	if (lease->owner_rec) {
		__atomic_fetch_add(&lease->owner_rec->recalled, 1, __ATOMIC_SEQ_CST);
		daxl_wake_key(lease->owner_rec->key);
	}
	return true;
}

static void fill_notice(struct daxl_lease *lease, const struct scan *s, const struct daxl_lease_span *span)
{
	unsigned shift = lease->domain->block_shift;
	struct daxl_event *ev = &lease->ev_recall.event;

	lease->reason = s->brk->reason;
	lease->level = s->clause->level == DAXL_LEVEL_U ? DAXL_BREAK_UNMAP : DAXL_BREAK_WRITE;
	lease->deadline_ns = daxl_now_ns() + (uint64_t)lease->break_ms * 1000000u;
	lease->asked_start = daxl_max_u64(span->start, s->clause->start);
	lease->asked_end = daxl_min_u64(span->end, s->clause->end);
	ev->off = (off_t)daxl_blocks_to_bytes(lease->asked_start, shift);
	ev->len = lease->asked_end == DAXL_FBLK_INF
	                  ? DAXL_TO_END
	                  : (off_t)daxl_blocks_to_bytes(lease->asked_end - lease->asked_start, shift);
	ev->level = lease->level;
	ev->reason = (int)lease->reason;
	ev->deadline_ns = lease->deadline_ns;
}

static int mark_span(struct daxl_lease_span *span, void *arg)
{
	struct scan *s = arg;
	struct daxl_lease *l = span->lease;

	if (!daxl_clause_waits(s->clause, l, s->brk->owner))
		return 0;
	if (is_own(l, s->brk->owner)) { /* at U: returned for the breaker, once; nobody is told */
		l->notice_next = s->returned;
		s->returned = l;
		uint64_t w = daxl_lw_load(&l->word);

		while (!(w & DAXL_LW_RETURNED))
			if (daxl_lw_swap(&l->word, &w, (w | DAXL_LW_RETURNED) + DAXL_LW_REF)) {
				daxl_lease_over_locked(l, w);
				return 0;
			}
		s->returned = l->notice_next;
		return 0;
	}
	/* The fields first: who sees RECALLED may read them (under the mutex). */
	if (daxl_lw_load(&l->word) & DAXL_LW_NOT_LIVE)
		return 0;
	fill_notice(l, s, span);
	if (!mark(l)) {
		l->reason = DAXL_REASON_NONE;
		l->deadline_ns = 0;
		return 0;
	}
	s->marked++;
	l->notice_next = NULL;
	*s->notices_tail = l;
	s->notices_tail = &l->notice_next;
	return 0;
}

/* Somebody else's lease that must be waited for: own ones at U are about to be returned. */
static int others_wait(struct daxl_lease_span *span, void *arg)
{
	const struct scan *s = arg;

	return waits(span, arg) && !is_own(span->lease, s->brk->owner);
}

int daxl_break_check_locked(struct daxl_break *brk, const struct daxl_clause *clauses, size_t n)
{
	struct scan scan = { .limbo = brk->limbo };

	if (scan_clauses(brk, clauses, n, &scan, own_with_pins))
		return daxl_fail(EDEADLK, "the call's own owner has pins out in the range");
	if (brk->limbo_at_once || brk->nowait || !scan_clauses(brk, clauses, n, &scan, others_wait))
		return 0;
	if (daxl_may_not_wait())
		return daxl_fail(EDEADLK, "would wait for leases inside a callback or an RCU read section");
	return daxl_break_may_go_on(brk);
}

void daxl_break_mark_locked(struct daxl_break *brk, const struct daxl_clause *clauses, size_t n, struct daxl_lease **ret_notices,
                           struct daxl_lease **ret_returned)
{
	struct scan scan = { 0 };

	*ret_notices = *ret_returned = NULL;
	scan.notices_tail = ret_notices;
	(void)scan_clauses(brk, clauses, n, &scan, mark_span);
	*ret_returned = scan.returned;
	if (scan.marked) {
		DAXL_STAT_ADD(brk->domain, recalls, scan.marked);
		DAXL_STAT_ADD(brk->domain, breaks, 1);
	}
}

void daxl_notices_deliver(struct daxl_lease *notices)
{
	struct daxl_lease *next;

	for (struct daxl_lease *l = notices; l; l = next) {
		next = l->notice_next;
		DAXL_HOOK("recall:deliver");
		if (l->flags & DAXL_LEASE_QUEUE_EVENTS) {
			daxl_event_queue(l->domain, &l->ev_recall);
		} else if (l->recall) {
			const struct daxl_event *ev = &l->ev_recall.event; /* not changed after the mark */
			struct daxl_recall recall = {
				.lease_id = l->id,
				.off = ev->off,
				.len = ev->len,
				.level = ev->level,
				.reason = ev->reason,
				.deadline_ns = ev->deadline_ns,
			};

			daxl_callback_enter();
			l->recall(l, &recall, l->arg);
			daxl_callback_leave();
		}
		daxl_lease_unref(l);
	}
}

void daxl_returned_finish(struct daxl_lease *returned)
{
	struct daxl_lease *next;

	for (struct daxl_lease *l = returned; l; l = next) {
		next = l->notice_next;
		daxl_mutex_lock(&l->rl->mutex);
		if (!daxl_lw_busy(daxl_lw_load(&l->word)))
			daxl_lease_unindex_locked(l);
		daxl_mutex_unlock(&l->rl->mutex);
		daxl_lease_after_return(l);
	}
}

void daxl_recall_nowait(struct daxl_range_lock *rl, const struct daxl_clause *clauses, size_t n, uint64_t owner, uint32_t reason)
{
	struct daxl_break brk = { .nparts = 1, .domain = rl->domain, .owner = owner, .reason = reason };
	struct daxl_lease *notices, *returned;

	if (__atomic_load_n(&rl->nspans, __ATOMIC_SEQ_CST) == 0)
		return;
	brk.part[0].rl = rl;
	daxl_mutex_lock(&rl->mutex);
	daxl_break_mark_locked(&brk, clauses, n, &notices, &returned);
	daxl_mutex_unlock(&rl->mutex);
	assert(!returned); /* W clauses return nobody */
	daxl_notices_deliver(notices);
}
