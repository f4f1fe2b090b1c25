/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The queue of a range lock. A request enters with the next ticket, and with that its range is closed: what overlaps and comes later stays
 * behind it. It is served when no overlapping request with a lower ticket is left, in all its queues. A request that widens keeps its ticket, and waits also for those
 * behind it that are served already.
 *
 * Most operations find the queue empty and leave it so. Such a one takes neither the mutex nor a place: a compare-and-swap of rl->alone from NULL to itself
 * closes its range, another one back opens it. Whoever wants to see the queue takes the mutex and settles: an exchange with `queued` keeps the next one from
 * going alone, and who is inside alone already gets its place, in service, with the next ticket. It then leaves like everybody, since its second
 * compare-and-swap fails. Who leaves the queue empty, mutex held, stores NULL. So whoever has gone alone saw nothing in the queue, and sees every grant
 * that was made before: a grant settles first and stores NULL last.
 */
#include <errno.h>

#include "lease/impl.h"

/* Two parts of different files, lower id first; NULL second when there is one mutex only. */
static void two_locks(struct daxl_break *brk, struct daxl_range_lock **first, struct daxl_range_lock **second)
{
	struct daxl_range_lock *a = daxl_break_part_of(brk, 0)->rl, *b = brk->nparts == 2 ? brk->part[1].rl : a;

	*first = a->file_id <= b->file_id ? a : b;
	*second = a->file_id <= b->file_id ? b : a;
}

void daxl_break_lock(struct daxl_break *brk)
{
	struct daxl_range_lock *first, *second;

	two_locks(brk, &first, &second);
	if (first == second)
		daxl_mutex_lock(&first->mutex);
	else
		daxl_mutex_lock_pair(&first->mutex, &second->mutex);
}

void daxl_break_unlock(struct daxl_break *brk)
{
	struct daxl_range_lock *first, *second;

	two_locks(brk, &first, &second);
	if (first == second)
		daxl_mutex_unlock(&first->mutex);
	else
		daxl_mutex_unlock_pair(&first->mutex, &second->mutex);
}

static struct daxl_break queued; /* its address is the mark */

/* Puts part at the end of the queue. */
static void DAXL_HOLDS(RANGE) append(struct daxl_break_part *part)
{
	struct daxl_range_lock *rl = part->rl;

	part->ticket = rl->next_ticket++;
	part->next = NULL;
	part->prev = rl->queue_tail;
	if (rl->queue_tail)
		rl->queue_tail->next = part;
	else
		rl->queue_head = part;
	rl->queue_tail = part;
}

/* From here to reopen the queue has everybody in it whose range is closed. */
static void DAXL_HOLDS(RANGE) settle(struct daxl_range_lock *rl)
{
	struct daxl_break *inside = __atomic_exchange_n(&rl->alone, &queued, __ATOMIC_ACQ_REL);

	if (inside && inside != &queued)
		append(&inside->part[0]);
}

void daxl_queue_reopen(struct daxl_range_lock *rl)
{
	if (!rl->queue_head)
		__atomic_store_n(&rl->alone, NULL, __ATOMIC_RELEASE);
}

/* Whether the break is inside alone now. */
static bool go_alone(struct daxl_break *brk)
{
	struct daxl_break_part *part = &brk->part[0];
	struct daxl_break *nobody = NULL;

	if (brk->nparts != 1 || __atomic_load_n(&part->rl->alone, __ATOMIC_RELAXED))
		return false;
	part->in_service = true;
	part->changing = 0;
	brk->entered = __atomic_compare_exchange_n(&part->rl->alone, &nobody, brk, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
	return brk->entered;
}

/* Whether the break was inside alone until now. */
static bool leave_alone(struct daxl_break *brk)
{
	struct daxl_break *me = brk;

	return __atomic_load_n(&brk->part[0].rl->alone, __ATOMIC_RELAXED) == brk &&
	       __atomic_compare_exchange_n(&brk->part[0].rl->alone, &me, NULL, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED);
}

bool daxl_queue_overlaps(struct daxl_range_lock *rl, daxl_fblk_t start, daxl_fblk_t end)
{
	settle(rl);
	for (const struct daxl_break_part *p = rl->queue_head; p; p = p->next)
		if (p->start < end && start < p->end && p->start < p->end)
			return true;
	return false;
}

static bool overlap(const struct daxl_break_part *a, const struct daxl_break_part *b)
{
	return a->start < b->end && b->start < a->end && a->start < a->end && b->start < b->end;
}

/* Whether another request of the queue is in the way of part. */
static bool DAXL_HOLDS(RANGE) blocked(const struct daxl_break_part *part)
{
	for (const struct daxl_break_part *p = part->rl->queue_head; p; p = p->next)
		if (p->brk != part->brk && overlap(p, part) && (p->ticket < part->ticket || p->in_service))
			return true;
	return false;
}

bool daxl_break_first_locked(struct daxl_break *brk)
{
	for (unsigned i = 0; i < brk->nparts; i++)
		if (blocked(&brk->part[i]))
			return false;
	for (unsigned i = 0; i < brk->nparts; i++)
		brk->part[i].in_service = true;
	return true;
}

bool daxl_break_queue(struct daxl_break *brk)
{
	daxl_break_lock(brk);
	for (unsigned i = 0; i < brk->nparts; i++) {
		struct daxl_break_part *part = &brk->part[i];

		settle(part->rl);
		part->in_service = false;
		part->changing = 0;
		append(part);
	}
	bool first = daxl_break_first_locked(brk);

	daxl_break_unlock(brk);
	brk->entered = true;
	return first;
}

static void DAXL_HOLDS(RANGE) unqueue_locked(struct daxl_break_part *part)
{
	struct daxl_range_lock *rl = part->rl;

	if (part->prev)
		part->prev->next = part->next;
	else
		rl->queue_head = part->next;
	if (part->next)
		part->next->prev = part->prev;
	else
		rl->queue_tail = part->prev;
	daxl_queue_reopen(rl);
}

/* What daxl_break_change has marked. */
static void unmark_all_locked(struct daxl_break *brk)
{
	for (unsigned i = 0; brk->changing && i < brk->nparts; i++) {
		struct daxl_break_part *part = daxl_break_part_of(brk, i);

		assert(part->changing > 0);
		part->changing--;
		__atomic_fetch_sub(&part->rl->nchanging, 1, __ATOMIC_SEQ_CST);
	}
	brk->changing = false;
}

/* The break was not first: waits, listening, until it is. On failure it is still queued. */
static int wait_first(struct daxl_break *brk)
{
	int rc = 0;

	if (brk->nowait)
		return daxl_fail(brk->nowait_err, "another operation is on the range");
	if (daxl_may_not_wait())
		return daxl_fail(EDEADLK, "would wait for another operation inside a callback or an RCU read section");
	daxl_break_listen(brk);
	daxl_toll.waits = true;
	uint64_t started_ns = daxl_now_ns();
	for (;;) {
		daxl_waiter_arm(&brk->waiter);
		daxl_break_lock(brk);
		bool first = daxl_break_first_locked(brk);

		daxl_break_unlock(brk);
		if (first)
			break;
		rc = daxl_break_may_go_on(brk, 0);
		if (!rc && daxl_now_ns() >= brk->deadline_ns)
			rc = daxl_fail(ETIMEDOUT, "timed out behind another operation on the range");
		if (rc)
			break;
		DAXL_HOOK("break:queue-sleep");
		(void)daxl_waiter_sleep(&brk->waiter, brk->deadline_ns);
	}
	daxl_break_unlisten(brk);
	daxl_tally_time(brk->domain->tally, DAXL_HISTOGRAM_QUEUE_WAIT, daxl_now_ns() - started_ns);
	return rc;
}

int daxl_break_enter(struct daxl_break *brk)
{
	if (brk->held)
		return brk->held_short ? daxl_fail(EINVAL, "the held break does not cover the operation's range") : 0;
	assert(brk->nparts > 0 && !brk->entered);
	bool first = go_alone(brk) || daxl_break_queue(brk);

	DAXL_HOOK("break:queued");
	int rc = first ? 0 : wait_first(brk);

	if (rc)
		daxl_break_leave(brk);
	return rc;
}

int daxl_break_widen(struct daxl_break *brk)
{
	if (brk->held)
		return daxl_fail(EINVAL, "the held break does not cover what the operation needs");
	daxl_break_lock(brk);
	unmark_all_locked(brk);
	for (unsigned i = 0; i < brk->nparts; i++) {
		struct daxl_break_part *part = &brk->part[i];

		settle(part->rl);
		part->in_service = false;
		part->start = 0;
		part->end = DAXL_FBLK_INF;
	}
	bool first = daxl_break_first_locked(brk);

	daxl_break_unlock(brk);
	for (unsigned i = 0; i < brk->nparts; i++)
		daxl_wake_key(brk->part[i].rl->key);
	return first ? 0 : wait_first(brk);
}

int daxl_break_change(struct daxl_break *brk)
{
	daxl_break_lock(brk);
	for (unsigned i = 0; !brk->changing && i < brk->nparts; i++) {
		struct daxl_break_part *part = daxl_break_part_of(brk, i);

		settle(part->rl);
		part->changing++;
		__atomic_fetch_add(&part->rl->nchanging, 1, __ATOMIC_SEQ_CST);
	}
	brk->changing = true;
	daxl_break_unlock(brk);
	DAXL_HOOK("break:changing");
	for (unsigned i = 0; i < brk->nparts; i++)
		if (i == 0 || brk->part[1].rl != brk->part[0].rl)
			daxl_writers_drain(daxl_break_part_of(brk, i)->rl);
	return 0;
}

void daxl_break_leave(struct daxl_break *brk)
{
	if (brk->entered && leave_alone(brk)) {
		brk->entered = false; /* nobody has looked at the queue, so nobody waits */
	} else if (brk->entered || brk->held) {
		uint64_t keys[2] = { 0 };

		daxl_break_lock(brk);
		unmark_all_locked(brk);
		for (unsigned i = 0; i < brk->nparts; i++) {
			keys[i] = brk->part[i].rl->key; /* once it is out of the queue, the range lock may be gone */
			if (brk->entered)
				unqueue_locked(&brk->part[i]);
		}
		daxl_break_unlock(brk);
		brk->entered = false;
		for (unsigned i = 0; i < brk->nparts; i++)
			daxl_wake_key(keys[i]);
	}
	while (brk->dropped) {
		struct daxl_limbo_links *links = brk->dropped;

		brk->dropped = links->next;
		daxl_limbo_links_free(links);
	}
}
