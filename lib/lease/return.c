/* SPDX-License-Identifier: BSD-3-Clause */
/* Giving a lease back: whole, in part, or from WRITE to READ; and what drains when it does. */
#include <errno.h>

#include "lease/impl.h"

void daxl_lease_over_locked(struct daxl_lease *lease, uint64_t old)
{
	struct daxl_range_lock *rl = lease->rl;

	daxl_mutex_assert_held(&rl->mutex);
	if (old & DAXL_LW_OVER)
		return;
	if (lease->flags & DAXL_LEASE_SOLID)
		__atomic_fetch_sub(&rl->nsolid, 1, __ATOMIC_SEQ_CST);
	if (old & DAXL_LW_RECALLED)
		daxl_owner_del_recalled(lease);
}

void daxl_lease_unindex_locked(struct daxl_lease *lease)
{
	struct daxl_range_lock *rl = lease->rl;
	struct daxl_lease_span *next;

	daxl_mutex_assert_held(&rl->mutex);
	if (!lease->indexed)
		return;
	lease->indexed = false;
	for (struct daxl_lease_span *s = daxl_lease_spans(lease); s; s = next) {
		next = s->next_of_lease;
		daxl_interval_erase(&rl->spans, s);
		if (s != &lease->first)
			daxl_free(s);
	}
	lease->first.next_of_lease = NULL;
	lease->first.end = lease->first.start;
	daxl_range_count_lease(rl, -1);
}

uint64_t daxl_lease_return_locked(struct daxl_lease *lease)
{
	uint64_t w = daxl_lw_load(&lease->word);

	daxl_mutex_assert_held(&lease->rl->mutex);
	do {
		if (w & DAXL_LW_RETURNED)
			return 0;
	} while (!daxl_lw_swap(&lease->word, &w, w | DAXL_LW_RETURNED));
	daxl_lease_over_locked(lease, w);
	w |= DAXL_LW_RETURNED;
	if (!daxl_lw_busy(w))
		daxl_lease_unindex_locked(lease);
	return w;
}

void daxl_lease_after_return(struct daxl_lease *lease, uint64_t w)
{
	daxl_lease_give_credit(lease);
	if (daxl_lw_drains_limbo(w & ~DAXL_LW_RETURNED, w))
		daxl_lease_drain_limbo(lease);
	daxl_wake_key_looked(lease->key);
}

static int count_return(struct daxl_tally *tally, int rc)
{
	daxl_tally_plain(tally, DAXL_STAT_RETURN, rc < 0);
	return rc;
}

DAXL_API int daxl_lease_return(struct daxl_lease *lease)
{
	DAXL_NEED(lease);
	daxl_mutex_lock(&lease->rl->mutex);
	uint64_t w = daxl_lease_return_locked(lease);

	daxl_mutex_unlock(&lease->rl->mutex);
	if (w)
		daxl_lease_after_return(lease, w);
	return count_return(lease->rl->domain->tally, 0);
}

void daxl_lease_drain_limbo(struct daxl_lease *lease)
{
	daxl_mutex_lock(&lease->rl->mutex);
	struct daxl_limbo_link *list = lease->limbo, *next;
	bool told = list && (lease->flags & DAXL_LEASE_QUEUE_EVENTS);

	lease->limbo = NULL;
	for (struct daxl_limbo_link *l = list; l; l = l->next) {
		*l->file_prev = l->file_next;
		if (l->file_next)
			l->file_next->file_prev = l->file_prev;
	}
	daxl_mutex_unlock(&lease->rl->mutex);
	for (struct daxl_limbo_link *l = list; l; l = next) {
		next = l->next;
		daxl_limbo_put(l->limbo);
		daxl_free(l);
	}
	if (told)
		daxl_event_queue(lease->rl->domain, &lease->ev_limbo);
	daxl_lease_unref(lease);
}

/* Takes [start, end) out of the spans. spare: for a cut in the middle; *spare is NULL afterwards if it was used. */
void daxl_spans_cut_locked(struct daxl_lease *lease, daxl_fblk_t start, daxl_fblk_t end, struct daxl_lease_span **spare)
{
	struct daxl_range_lock *rl = lease->rl;
	struct daxl_lease_span *next, **link = &lease->first.next_of_lease;

	daxl_mutex_assert_held(&rl->mutex);
	if (!lease->indexed)
		return;
	for (struct daxl_lease_span *s = daxl_lease_spans(lease); s; s = next) {
		bool first = s == &lease->first;

		next = s->next_of_lease;
		if (s->end <= start || end <= s->start) {
			if (!first)
				link = &s->next_of_lease;
			continue;
		}
		daxl_fblk_t old_end = s->end, old_start = s->start;

		daxl_interval_erase(&rl->spans, s);
		if (old_start < start && end < old_end) { /* two pieces: the second in the spare */
			struct daxl_lease_span *tail = *spare;

			assert(tail);
			*spare = NULL;
			s->end = start;
			*tail = (struct daxl_lease_span){ .lease = lease, .start = end, .end = old_end, .next_of_lease = next };
			s->next_of_lease = tail;
			daxl_interval_insert(&rl->spans, tail);
		} else if (old_start < start) {
			s->end = start;
		} else {
			s->start = daxl_min_u64(end, old_end);
		}
		if (s->start < s->end) {
			daxl_interval_insert(&rl->spans, s);
			if (!first)
				link = &s->next_of_lease;
		} else if (!first) {
			*link = next;
			daxl_free(s);
		}
	}
}

/* What is left decides what stat shows: the range from the first to the last piece. */
void daxl_spans_bounds_locked(struct daxl_lease *lease)
{
	daxl_fblk_t start = DAXL_FBLK_INF, end = 0;

	for (struct daxl_lease_span *s = daxl_lease_spans(lease); s; s = s->next_of_lease) {
		start = daxl_min_u64(start, s->start);
		end = daxl_max_u64(end, s->end);
	}
	if (start < end) {
		lease->start = start;
		lease->end = end;
	}
}

static int return_blocks(struct daxl_lease *lease, daxl_fblk_t start, daxl_fblk_t end, struct daxl_lease_span **spare)
{
	uint64_t returned = 0;

	daxl_mutex_lock(&lease->rl->mutex);
	uint64_t w = daxl_lw_load(&lease->word);

	if (w & DAXL_LW_PINS) {
		daxl_mutex_unlock(&lease->rl->mutex);
		return daxl_fail(EBUSY, "%llu pins are out", (unsigned long long)(w & DAXL_LW_PINS));
	}
	if (!(w & DAXL_LW_OVER)) {
		daxl_spans_cut_locked(lease, start, end, spare);
		if (daxl_lease_spans(lease))
			daxl_spans_bounds_locked(lease);
		else
			returned = daxl_lease_return_locked(lease);
	}
	daxl_mutex_unlock(&lease->rl->mutex);
	if (returned)
		daxl_lease_after_return(lease, returned);
	else
		daxl_wake_key_looked(lease->key);
	return 0;
}

static int return_range(struct daxl_lease *lease, off_t off, off_t len)
{
	unsigned shift = lease->rl->domain->block_shift;

	if (off < 0 || len <= 0)
		return daxl_fail(EINVAL, "offset %lld is negative or length %lld is not positive", (long long)off, (long long)len);
	daxl_fblk_t start = daxl_bytes_to_blocks_up((uint64_t)off, shift); /* rounded inwards */
	daxl_fblk_t end = len == DAXL_TO_END || len > INT64_MAX - off
	                          ? DAXL_FBLK_INF
	                          : daxl_bytes_to_blocks_down((uint64_t)off + (uint64_t)len, shift);

	if (start >= end)
		return daxl_lw_load(&lease->word) & DAXL_LW_PINS ? daxl_fail(EBUSY, "pins are out") : 0;
	struct daxl_lease_span *spare = daxl_alloc(sizeof(*spare));

	if (!spare)
		return daxl_fail(ENOMEM, "no memory to split a lease");
	int rc = return_blocks(lease, start, end, &spare);

	daxl_free(spare);
	return rc;
}

DAXL_API int daxl_lease_return_range(struct daxl_lease *lease, off_t off, off_t len)
{
	DAXL_NEED(lease);
	struct daxl_tally *tally = lease->rl->domain->tally;

	return count_return(tally, return_range(lease, off, len));
}

/* WRITE goes, EXCLUSIVE goes; true when the credit for a commit is not needed any more. Range mutex held. */
static bool DAXL_HOLDS(RANGE) downgrade_locked(struct daxl_lease *lease, uint64_t w)
{
	bool was_write = lease->mode == DAXL_LEASE_WRITE;

	/* Work begun before goes on storing, and a recall is answered by the return only. */
	if (was_write && ((w & DAXL_LW_RECALLED) || daxl_lw_busy(w)))
		lease->was_write = true;
	if ((lease->flags & DAXL_LEASE_EXCLUSIVE) && (w & DAXL_LW_RECALLED))
		lease->was_exclusive = true;
	if ((lease->flags & DAXL_LEASE_SOLID) == DAXL_LEASE_EXCLUSIVE)
		__atomic_fetch_sub(&lease->rl->nsolid, 1, __ATOMIC_SEQ_CST);
	__atomic_store_n(&lease->mode, DAXL_LEASE_READ, __ATOMIC_RELAXED);
	__atomic_store_n(&lease->flags, (uint16_t)(lease->flags & ~DAXL_LEASE_EXCLUSIVE), __ATOMIC_RELAXED);
	return was_write;
}

DAXL_API int daxl_lease_downgrade(struct daxl_lease *lease)
{
	DAXL_NEED(lease);
	bool over, was_write = false;

	daxl_mutex_lock(&lease->rl->mutex);
	uint64_t w = daxl_lw_load(&lease->word);

	over = w & DAXL_LW_OVER;
	if (!over)
		was_write = downgrade_locked(lease, w);
	daxl_mutex_unlock(&lease->rl->mutex);
	if (over)
		return daxl_fail(ESTALE, "the lease is returned or revoked");
	if (was_write)
		daxl_lease_give_credit(lease);
	daxl_wake_key_looked(lease->key); /* a break may not be concerned any more */
	return 0;
}
