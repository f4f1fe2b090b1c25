/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * In-place writers. A writer counts itself, then looks whether its range is being changed, then works; whoever changes a range marks it, then waits for the
 * writers counted before. Counts are striped, and doubled: new writers count under the current parity, and a waiter flips it and waits for the old side
 * to empty, twice, so that a stream of new writers cannot hold it up and one that was slow between choosing a side and counting is not missed.
 */
#include <errno.h>

#include "lease/impl.h"

int daxl_range_lock_init(struct daxl_range_lock *rl, struct daxl_domain *domain, uint32_t file_id)
{
	*rl = (struct daxl_range_lock){ .file_id = file_id, .key = daxl_key_new(), .domain = domain, .next_ticket = 1 };
	rl->stripes = daxl_alloc_aligned(DAXL_CACHE_LINE, DAXL_WRITER_STRIPES * sizeof(*rl->stripes));
	if (!rl->stripes)
		return daxl_fail(ENOMEM, "no memory for a file's range lock");
	for (unsigned i = 0; i < DAXL_WRITER_STRIPES; i++)
		rl->stripes[i] = (struct daxl_writer_stripe){ .count = { 0, 0 } };
	daxl_mutex_init(&rl->mutex, DAXL_RANK_RANGE);
	daxl_mutex_lock(&domain->files_mutex);
	rl->next = domain->files;
	rl->prev = &domain->files;
	if (rl->next)
		rl->next->prev = &rl->next;
	domain->files = rl;
	daxl_mutex_unlock(&domain->files_mutex);
	return 0;
}

void DAXL_ALONE daxl_range_lock_destroy(struct daxl_range_lock *rl)
{
	struct daxl_domain *domain = rl->domain;

	assert(!rl->queue_head && !rl->alone && !rl->spans && !rl->limbo);
	daxl_mutex_lock(&domain->files_mutex);
	*rl->prev = rl->next;
	if (rl->next)
		rl->next->prev = rl->prev;
	daxl_mutex_unlock(&domain->files_mutex);
	daxl_mutex_destroy(&rl->mutex);
	daxl_free(rl->stripes);
}

bool daxl_range_lock_is_idle(struct daxl_range_lock *rl)
{
	daxl_mutex_lock(&rl->mutex);
	bool idle = !rl->queue_head && !__atomic_load_n(&rl->alone, __ATOMIC_RELAXED) && !rl->spans && !rl->limbo;

	daxl_mutex_unlock(&rl->mutex);
	return idle;
}

static bool DAXL_HOLDS(RANGE) changing_locked(const struct daxl_range_lock *rl, daxl_fblk_t start, daxl_fblk_t end)
{
	for (const struct daxl_break_part *p = rl->queue_head; p; p = p->next)
		if (p->changing && p->start < end && start < p->end)
			return true;
	return false;
}

static bool is_changing(struct daxl_range_lock *rl, daxl_fblk_t start, daxl_fblk_t end)
{
	if (__atomic_load_n(&rl->nchanging, __ATOMIC_SEQ_CST) == 0)
		return false;
	daxl_mutex_lock(&rl->mutex);
	bool changing = changing_locked(rl, start, end);

	daxl_mutex_unlock(&rl->mutex);
	return changing;
}

static void wait_while_changing(struct daxl_range_lock *rl, daxl_fblk_t start, daxl_fblk_t end)
{
	struct daxl_waiter waiter;

	daxl_waiter_init(&waiter, NULL);
	daxl_waiter_add(&waiter, rl->key);
	for (;;) {
		daxl_waiter_arm(&waiter);
		if (!is_changing(rl, start, end))
			break;
		daxl_toll.waits = true;
		DAXL_HOOK("writer:sleep");
		(void)daxl_waiter_sleep(&waiter, UINT64_MAX);
	}
	daxl_waiter_remove(&waiter);
}

int daxl_writer_enter_changing(struct daxl_range_lock *rl, daxl_fblk_t start, daxl_fblk_t end, uint64_t **count)
{
	do {
		if (!is_changing(rl, start, end))
			return 0;
		daxl_writer_leave(rl, *count);
		/* Whoever changes the range may have to wait for a grace period. */
		if (daxl_rcu_read_ongoing())
			return daxl_fail(EDEADLK, "would wait for another operation inside an RCU read section");
		wait_while_changing(rl, start, end);
	} while (!daxl_writer_try(rl, count));
	return 0;
}

void daxl_writers_wake(struct daxl_range_lock *rl)
{
	daxl_wake_key(rl->key);
}

static uint64_t side_count(const struct daxl_range_lock *rl, unsigned side)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < DAXL_WRITER_STRIPES; i++)
		n += __atomic_load_n(&rl->stripes[i].count[side], __ATOMIC_SEQ_CST);
	return n;
}

static bool any_counted(const struct daxl_range_lock *rl)
{
	uint64_t any = 0;

	for (unsigned i = 0; i < DAXL_WRITER_STRIPES; i++)
		any |= __atomic_load_n(&rl->stripes[i].count[0], __ATOMIC_SEQ_CST) | __atomic_load_n(&rl->stripes[i].count[1], __ATOMIC_SEQ_CST);
	return any != 0;
}

void daxl_writers_drain(struct daxl_range_lock *rl)
{
	struct daxl_waiter waiter;

	/* Nobody changes sides while counted, so one look at each count is enough; who counts after it sees the mark. */
	if (!any_counted(rl))
		return;
	daxl_waiter_init(&waiter, NULL);
	daxl_waiter_add(&waiter, rl->key);
	for (;;) { /* one at a time */
		daxl_waiter_arm(&waiter);
		daxl_mutex_lock(&rl->mutex);
		bool mine = !rl->draining;

		rl->draining = true;
		daxl_mutex_unlock(&rl->mutex);
		if (mine)
			break;
		(void)daxl_waiter_sleep(&waiter, UINT64_MAX);
	}
	for (unsigned round = 0; round < 2; round++) {
		unsigned old = __atomic_fetch_add(&rl->parity, 1, __ATOMIC_SEQ_CST) & 1u;

		for (;;) {
			daxl_waiter_arm(&waiter);
			if (side_count(rl, old) == 0)
				break;
			daxl_toll.waits = true;
			DAXL_HOOK("writers:drain-sleep");
			(void)daxl_waiter_sleep(&waiter, UINT64_MAX);
		}
	}
	daxl_mutex_lock(&rl->mutex);
	rl->draining = false;
	daxl_mutex_unlock(&rl->mutex);
	daxl_waiter_remove(&waiter);
	daxl_wake_key(rl->key);
}

void daxl_lease_settle(struct daxl_lease *lease)
{
	struct daxl_range_lock *rl = lease->rl;

	if (!(daxl_lease_flags(lease) & (DAXL_LEASE_STABLE | DAXL_LEASE_EXCLUSIVE)))
		return;
	__atomic_fetch_add(&rl->nsettling, 1, __ATOMIC_SEQ_CST);
	daxl_writers_drain(rl);
	__atomic_fetch_sub(&rl->nsettling, 1, __ATOMIC_SEQ_CST);
}

static int DAXL_HOLDS(RANGE) is_solid(struct daxl_lease_span *span, void *arg)
{
	const uint64_t *owner = arg;
	const struct daxl_lease *l = span->lease;

	return (l->flags & (DAXL_LEASE_STABLE | DAXL_LEASE_EXCLUSIVE)) && !(daxl_lw_load(&l->word) & DAXL_LW_OVER) &&
	       !(*owner && l->owner == *owner);
}

bool daxl_solid_conflict(struct daxl_range_lock *rl, daxl_fblk_t start, daxl_fblk_t end, uint64_t owner)
{
	if (!daxl_has_solid(rl))
		return false;
	daxl_mutex_lock(&rl->mutex);
	bool conflict = daxl_interval_each(rl->spans, start, end, is_solid, &owner);

	daxl_mutex_unlock(&rl->mutex);
	return conflict;
}
