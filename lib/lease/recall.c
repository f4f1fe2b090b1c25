/* SPDX-License-Identifier: BSD-3-Clause */
/* Whom a break concerns, marking them, and telling them. */
#include <errno.h>

#include "lease/impl.h"

/*
 * Whether the clause is about this lease at all, whatever its state; w: its word. A downgrade answers no recall, and what a device stores under pins taken before it is still
 * stored.
 */
static bool DAXL_HOLDS(RANGE) concerns(const struct daxl_clause *clause, const struct daxl_lease *lease, uint64_t w)
{
	bool exclusive = (lease->flags & DAXL_LEASE_EXCLUSIVE) || lease->was_exclusive;
	bool stable = lease->flags & DAXL_LEASE_STABLE;

	switch (clause->who) {
	case DAXL_WHO_ALL:
		return true;
	case DAXL_WHO_WRITE:
		return lease->mode == DAXL_LEASE_WRITE || (lease->was_write && ((w & DAXL_LW_RECALLED) || daxl_lw_busy(w)));
	case DAXL_WHO_HOLE:
		return lease->mode == DAXL_LEASE_READ && !(lease->flags & DAXL_LEASE_FILL_OK);
	case DAXL_WHO_SOLID:
		return stable || exclusive;
	case DAXL_WHO_EXCLUSIVE:
		return exclusive;
	case DAXL_WHO_STABLE:
		return stable;
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

	if (clause->level == DAXL_LEVEL_N || !concerns(clause, lease, w))
		return false;
	if (is_own(lease, owner) && (clause->level == DAXL_LEVEL_W || clause->own_exempt))
		return false;
	return clause->level == DAXL_LEVEL_W ? !(w & DAXL_LW_OVER) : !daxl_lw_drained(w);
}

int daxl_break_scan_locked(struct daxl_break *brk, const struct daxl_clause *clauses, size_t n, struct daxl_scan *scan,
                           int (*fn)(struct daxl_lease_span *span, void *scan))
{
	int rc = 0;

	scan->brk = brk;
	for (size_t i = 0; !rc && i < n; i++) {
		scan->clause = &clauses[i];
		assert(clauses[i].part < brk->nparts);
		rc = daxl_interval_each(daxl_break_part_of(brk, clauses[i].part)->rl->spans, clauses[i].start, clauses[i].end, fn,
		                        scan);
	}
	return rc;
}

struct wait_scan {
	struct daxl_scan scan;
	bool limbo;
	struct daxl_lease *late;
};

bool daxl_clause_limbo(const struct daxl_clause *clause)
{
	return clause->level == DAXL_LEVEL_U && !clause->no_limbo;
}

static int DAXL_HOLDS(RANGE) waits(struct daxl_lease_span *span, void *arg)
{
	struct wait_scan *s = arg;

	if (!daxl_clause_waits(s->scan.clause, span->lease, s->scan.brk->owner))
		return 0;
	/* Accepted under a clause at U, it will be revoked: which is all that one at W waits for. */
	if (s->limbo && span->lease->limbo_by == s->scan.brk->id && !s->scan.clause->no_limbo)
		return 0;
	s->late = span->lease;
	return 1;
}

struct daxl_lease *daxl_break_late_locked(struct daxl_break *brk, const struct daxl_clause *clauses, size_t n, bool limbo)
{
	struct wait_scan s = { .limbo = limbo };

	(void)daxl_break_scan_locked(brk, clauses, n, &s.scan, waits);
	return s.late;
}

static int DAXL_HOLDS(RANGE) accept(struct daxl_lease_span *span, void *arg)
{
	const struct daxl_scan *s = arg;

	if (daxl_clause_limbo(s->clause) && daxl_clause_waits(s->clause, span->lease, s->brk->owner)) {
		span->lease->limbo_by = s->brk->id;
		s->brk->limbo = true;
	}
	return 0;
}

void daxl_break_accept_locked(struct daxl_break *brk, const struct daxl_clause *clauses, size_t n)
{
	struct daxl_scan scan;

	brk->id = daxl_key_new();
	(void)daxl_break_scan_locked(brk, clauses, n, &scan, accept);
}

struct check_scan {
	struct daxl_scan scan;
	uint64_t token;
	uint32_t own_recalled; /* of those about to be returned */
	bool others;           /* somebody else is to be waited for */
};

/* Own leases under a U clause: with pins the call would wait for itself. */
static int DAXL_HOLDS(RANGE) check(struct daxl_lease_span *span, void *arg)
{
	struct check_scan *s = arg;
	struct daxl_lease *l = span->lease;
	uint64_t w = daxl_lw_load(&l->word);

	if (!daxl_clause_waits(s->scan.clause, l, s->scan.brk->owner))
		return 0;
	if (!is_own(l, s->scan.brk->owner)) {
		s->others = true;
		return 0;
	}
	if (daxl_lw_busy(w))
		return 1;
	if (l->seen != s->token && (w & DAXL_LW_RECALLED) && !(w & DAXL_LW_OVER))
		s->own_recalled++;
	l->seen = s->token;
	return 0;
}

int daxl_break_check_locked(struct daxl_break *brk, const struct daxl_clause *clauses, size_t n, bool *ret_others, uint32_t *ret_own)
{
	struct check_scan s = { .token = daxl_key_new() };

	if (daxl_break_scan_locked(brk, clauses, n, &s.scan, check))
		return daxl_fail(EDEADLK, "the call's own owner has pins out in the range");
	if (ret_others)
		*ret_others = s.others;
	if (ret_own)
		*ret_own = s.own_recalled;
	return 0;
}

struct mark_scan {
	struct daxl_scan scan;
	uint64_t token, now_ns;
	struct daxl_lease *notices, **notices_tail, *returned;
	uint32_t marked;
};

/* LIVE to RECALLED and the notice's reference in one step; false when it is not LIVE. */
static bool DAXL_HOLDS(RANGE) mark(struct daxl_lease *lease)
{
	uint64_t w = daxl_lw_load(&lease->word);

	do {
		if (w & DAXL_LW_NOT_LIVE)
			return false;
	} while (!daxl_lw_swap(&lease->word, &w, (w | DAXL_LW_RECALLED) + DAXL_LW_REF));
	daxl_owner_add_recalled(lease);
	return true;
}

/* At U the breaker's own leases are returned for it; nobody is told. The index is left alone: it is being walked. */
static void DAXL_HOLDS(RANGE) return_own(struct mark_scan *s, struct daxl_lease *lease)
{
	uint64_t w = daxl_lw_load(&lease->word);

	do {
		if (w & DAXL_LW_RETURNED)
			return;
	} while (!daxl_lw_swap(&lease->word, &w, (w | DAXL_LW_RETURNED) + DAXL_LW_REF));
	daxl_lease_over_locked(lease, w);
	lease->returned_next = s->returned;
	s->returned = lease;
}

static int DAXL_HOLDS(RANGE) mark_span(struct daxl_lease_span *span, void *arg)
{
	struct mark_scan *s = arg;
	const struct daxl_clause *clause = s->scan.clause;
	struct daxl_lease *l = span->lease;

	if (!daxl_clause_waits(clause, l, s->scan.brk->owner))
		return 0;
	if (is_own(l, s->scan.brk->owner)) {
		return_own(s, l);
		return 0;
	}
	if (l->seen != s->token) {
		if (!mark(l))
			return 0;
		l->seen = s->token;
		l->reason = (uint8_t)clause->reason;
		l->level = DAXL_BREAK_WRITE;
		l->deadline_ns = s->now_ns + (uint64_t)l->break_ms * 1000000u;
		l->asked_start = DAXL_FBLK_INF;
		l->asked_end = 0;
		l->notice_next = NULL;
		*s->notices_tail = l;
		s->notices_tail = &l->notice_next;
		s->marked++;
	}
	if (!clause->reason || !l->reason)
		l->reason = (uint8_t)s->scan.brk->reason;
	if (clause->level == DAXL_LEVEL_U)
		l->level = DAXL_BREAK_UNMAP;
	l->asked_start = daxl_min_u64(l->asked_start, daxl_max_u64(span->start, clause->start));
	l->asked_end = daxl_max_u64(l->asked_end, daxl_min_u64(span->end, clause->end));
	return 0;
}

void daxl_break_mark_locked(struct daxl_break *brk, const struct daxl_clause *clauses, size_t n, struct daxl_lease **ret_notices,
                           struct daxl_lease **ret_returned)
{
	struct mark_scan s = { .token = daxl_key_new(), .now_ns = daxl_now_ns() };

	s.notices_tail = &s.notices;
	(void)daxl_break_scan_locked(brk, clauses, n, &s.scan, mark_span);
	*ret_notices = s.notices;
	*ret_returned = s.returned;
	daxl_toll.recalls += s.marked;
	daxl_toll.breaks |= s.marked != 0;
}

/* No lock needed: nothing of it changes after the mark. */
struct daxl_recall DAXL_UNCHECKED daxl_lease_asked(const struct daxl_lease *lease)
{
	struct daxl_recall recall = {
		.lease_id = lease->id,
		.level = lease->level,
		.reason = lease->reason,
		.deadline_ns = lease->deadline_ns,
	};

	daxl_range_bytes(lease->rl->domain, lease->asked_start, lease->asked_end, &recall.off, &recall.len);
	return recall;
}

static void call_holder(struct daxl_lease *lease)
{
	struct daxl_recall recall = daxl_lease_asked(lease);

	struct daxl_toll outer = daxl_callback_enter();
	lease->recall(lease, &recall, lease->arg);
	daxl_callback_leave(outer);
}

void daxl_notices_deliver(struct daxl_lease *notices)
{
	struct daxl_lease *next;

	for (struct daxl_lease *l = notices; l; l = next) {
		next = l->notice_next;
		DAXL_HOOK("recall:deliver");
		if (daxl_lease_flags(l) & DAXL_LEASE_QUEUE_EVENTS)
			daxl_event_queue(l->rl->domain, &l->ev_recall);
		else if (l->recall && !(daxl_lw_load(&l->word) & DAXL_LW_ENDED)) /* whose handle is gone has nothing to give */
			call_holder(l);
		daxl_lease_unref(l);
	}
}

void daxl_returned_finish(struct daxl_lease *returned)
{
	struct daxl_lease *next;

	for (struct daxl_lease *l = returned; l; l = next) {
		next = l->returned_next;
		daxl_mutex_lock(&l->rl->mutex);
		if (!daxl_lw_busy(daxl_lw_load(&l->word)))
			daxl_lease_unindex_locked(l);
		daxl_mutex_unlock(&l->rl->mutex);
		daxl_lease_after_return(l, daxl_lw_load(&l->word));
		daxl_lease_unref(l);
	}
}

void daxl_recall_nowait(struct daxl_range_lock *rl, const struct daxl_clause *clauses, size_t n, uint64_t owner, uint32_t reason)
{
	struct daxl_break brk = { .nparts = 1, .domain = rl->domain, .owner = owner, .reason = reason };
	struct daxl_lease *notices, *returned;

	brk.part[0].rl = rl;
	daxl_mutex_lock(&rl->mutex);
	daxl_break_mark_locked(&brk, clauses, n, &notices, &returned);
	daxl_mutex_unlock(&rl->mutex);
	assert(!returned); /* W clauses return nobody */
	daxl_notices_deliver(notices);
}
