/* SPDX-License-Identifier: BSD-3-Clause */
/* A lease's life: created, granted, pinned, referenced, freed by the last one out. Giving it back is in return.c. */
#include "lease/lease.h"

#include <errno.h>
#include <string.h>

#include "lease/impl.h"

#define KNOWN_FLAGS                                                                                                    \
	(DAXL_LEASE_EXCLUSIVE | DAXL_LEASE_STABLE | DAXL_LEASE_IMPLICIT_PIN | DAXL_LEASE_FILL_OK | DAXL_LEASE_NOWAIT | \
	 DAXL_LEASE_QUEUE_EVENTS)
#define ID_BATCH 64u

int daxl_lease_check_opts(const struct daxl_lease_opts *opts)
{
	if (opts->mode != DAXL_LEASE_READ && opts->mode != DAXL_LEASE_WRITE)
		return daxl_fail(EINVAL, "lease mode %u is neither READ nor WRITE", opts->mode);
	if (opts->flags & ~(uint32_t)KNOWN_FLAGS)
		return daxl_fail(EINVAL, "lease flags %#x are unknown", opts->flags & ~(uint32_t)KNOWN_FLAGS);
	return 0;
}

int DAXL_ALONE daxl_lease_create(const struct daxl_lease_params *params, struct daxl_lease **ret_lease)
{
	const struct daxl_lease_opts *opts = params->opts;
	const struct daxl_domain *domain = params->rl->domain;
	struct daxl_lease *lease = daxl_slab_alloc(domain->slab, sizeof(*lease));

	if (!lease)
		return daxl_fail(ENOMEM, "no memory for a lease");
#ifndef NDEBUG
	memset(lease, 0xa5, sizeof(*lease)); /* for who relies on what is not set here */
#endif
	/* Field by field: the insertion sets the rest of the span and the id, and what only a recall or an event needs is left alone. */
	lease->word = opts->flags & DAXL_LEASE_IMPLICIT_PIN ? DAXL_LW_IMPLICIT : 0;
	lease->key = params->rl->key;
	lease->rl = params->rl;
	lease->file = params->file;
	lease->ops = params->ops;
	lease->generation = 0;
	lease->owner = opts->owner;
	lease->recall = opts->recall;
	lease->fence = opts->fence;
	lease->release = opts->release;
	lease->arg = opts->arg;
	lease->break_ms = opts->break_ms ? opts->break_ms : domain->break_ms;
	lease->credit = 0;
	lease->flags = (uint16_t)(opts->flags & ~(uint32_t)DAXL_LEASE_NOWAIT);
	lease->mode = (uint8_t)opts->mode;
	lease->reason = lease->level = 0;
	lease->indexed = lease->fencing = lease->was_write = lease->was_exclusive = false;
	lease->start = lease->first.start = params->start;
	lease->end = lease->first.end = params->end;
	lease->first.lease = lease;
	lease->first.next_of_lease = NULL;
	lease->seen = lease->limbo_by = lease->fence_failed_ns = lease->deadline_ns = 0;
	lease->limbo = NULL;
	if (opts->flags & DAXL_LEASE_QUEUE_EVENTS) {
		lease->ev_recall = (struct daxl_event_node){ .kind = DAXL_EVENT_RECALL };
		lease->ev_limbo = (struct daxl_event_node){ .kind = DAXL_EVENT_LIMBO_DRAINED };
	}
	*ret_lease = lease;
	return 0;
}

void daxl_lease_give_credit(struct daxl_lease *lease)
{
	if (__atomic_load_n(&lease->credit, __ATOMIC_SEQ_CST) == 0)
		return;
	unsigned slots = daxl_lease_take_credit(lease);

	if (slots)
		lease->ops->give_credit(lease->file, slots);
}

void daxl_lease_discard(struct daxl_lease *lease)
{
	daxl_lease_give_credit(lease);
	daxl_slab_free(lease->rl->domain->slab, lease, sizeof(*lease));
}

void daxl_lease_set_credit(struct daxl_lease *lease, unsigned slots)
{
	unsigned old = __atomic_exchange_n(&lease->credit, (uint16_t)slots, __ATOMIC_SEQ_CST);

	if (old)
		lease->ops->give_credit(lease->file, old); /* two commits refilled at once */
	/* A return that came first has found nothing to give. */
	if (daxl_lw_load(&lease->word) & DAXL_LW_OVER)
		daxl_lease_give_credit(lease);
}

unsigned daxl_lease_take_credit(struct daxl_lease *lease)
{
	return __atomic_exchange_n(&lease->credit, 0, __ATOMIC_SEQ_CST);
}

static void DAXL_HOLDS(RANGE) insert_locked(struct daxl_lease *lease)
{
	struct daxl_range_lock *rl = lease->rl;

	if (rl->last_id % ID_BATCH == 0)
		rl->last_id = __atomic_fetch_add(&rl->domain->next_id, ID_BATCH, __ATOMIC_RELAXED);
	lease->id = ++rl->last_id;
	daxl_interval_insert(&rl->spans, &lease->first);
	lease->indexed = true;
	if (lease->flags & DAXL_LEASE_SOLID)
		__atomic_fetch_add(&rl->nsolid, 1, __ATOMIC_SEQ_CST);
	daxl_range_count_lease(rl, 1);
}

size_t DAXL_ALONE daxl_lease_grant_clauses(const struct daxl_lease *lease, struct daxl_clause *clauses)
{
	struct daxl_clause base = { .start = lease->start, .end = lease->end, .level = DAXL_LEVEL_U, .own_exempt = true };
	size_t n = 0;

	if (lease->flags & DAXL_LEASE_EXCLUSIVE) {
		clauses[n] = base;
		clauses[n++].who = DAXL_WHO_ALL;
		return n;
	}
	clauses[n] = base;
	clauses[n++].who = DAXL_WHO_EXCLUSIVE;
	if (lease->mode == DAXL_LEASE_WRITE) {
		clauses[n] = base;
		clauses[n++].who = DAXL_WHO_STABLE;
	}
	if (lease->flags & DAXL_LEASE_STABLE) {
		clauses[n] = base;
		clauses[n++].who = DAXL_WHO_WRITE;
	}
	return n;
}

struct conflict {
	const struct daxl_lease *lease;
	const struct daxl_clause *clauses;
	size_t n;
};

static int DAXL_HOLDS(RANGE) conflicts(struct daxl_lease_span *span, void *arg)
{
	const struct conflict *c = arg;

	for (size_t i = 0; i < c->n; i++)
		if (daxl_clause_waits(&c->clauses[i], span->lease, c->lease->owner))
			return 1;
	return 0;
}

bool daxl_lease_try_grant(struct daxl_lease *lease, bool (*ok)(struct daxl_lease *lease, void *arg), void *arg)
{
	struct daxl_range_lock *rl = lease->rl;

	daxl_mutex_lock(&rl->mutex);
	bool granted = !daxl_queue_overlaps(rl, lease->start, lease->end);
	if (granted && rl->spans) {
		struct daxl_clause clauses[3];
		struct conflict c = { .lease = lease, .clauses = clauses, .n = daxl_lease_grant_clauses(lease, clauses) };

		granted = !daxl_interval_each(rl->spans, lease->start, lease->end, conflicts, &c);
	}
	if (granted && ok)
		granted = ok(lease, arg);
	if (granted)
		insert_locked(lease);
	daxl_queue_reopen(rl);
	daxl_mutex_unlock(&rl->mutex);
	if (granted)
		DAXL_HOOK("lease:granted");
	return granted;
}

void daxl_lease_set_generation(struct daxl_lease *lease, uint64_t generation)
{
	lease->generation = generation;
}

void daxl_lease_grant(struct daxl_lease *lease)
{
	daxl_mutex_lock(&lease->rl->mutex);
	insert_locked(lease);
	daxl_mutex_unlock(&lease->rl->mutex);
	DAXL_HOOK("lease:granted");
}

DAXL_API int daxl_lease_pin(struct daxl_lease *lease)
{
	DAXL_NEED(lease);
	uint64_t w = __atomic_load_n(&lease->word, __ATOMIC_RELAXED);

	do {
		if (daxl_unlikely(w & DAXL_LW_NOT_LIVE))
			return -ESTALE;
		assert((w & DAXL_LW_PINS) != DAXL_LW_PINS);
		DAXL_HOOK("lease:pin");
	} while (!__atomic_compare_exchange_n(&lease->word, &w, w + DAXL_LW_PIN, true, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
	return 0;
}

static void end(struct daxl_lease *lease);

/* The rest of an unpin that has met a lease which is not LIVE; old: the word before. Apart: a plain unpin then needs no stack. */
static void __attribute__((noinline)) unpinned(struct daxl_lease *lease, uint64_t key, uint64_t old)
{
	uint64_t now = old - DAXL_LW_PIN;

	if (now & DAXL_LW_PINS)
		return;
	DAXL_HOOK("lease:unpinned");
	if (daxl_lw_is_last(now)) {
		end(lease);
		return;
	}
	if (daxl_lw_drains_limbo(old, now))
		daxl_lease_drain_limbo(lease);
	daxl_wake_key(key);
}

DAXL_API void daxl_lease_unpin(struct daxl_lease *lease)
{
	if (!lease)
		return;
	uint64_t key = lease->key; /* rule 4: before the step */
	uint64_t old = __atomic_fetch_sub(&lease->word, DAXL_LW_PIN, __ATOMIC_SEQ_CST);

	assert(old & DAXL_LW_PINS);
	if (daxl_unlikely(old & DAXL_LW_NOT_LIVE))
		unpinned(lease, key, old);
}

void daxl_lease_ref(struct daxl_lease *lease)
{
	uint64_t old = __atomic_fetch_add(&lease->word, DAXL_LW_REF, __ATOMIC_SEQ_CST);

	assert((old & DAXL_LW_REFS) != DAXL_LW_REFS);
	(void)old;
}

void daxl_lease_unref(struct daxl_lease *lease)
{
	uint64_t now = __atomic_sub_fetch(&lease->word, DAXL_LW_REF, __ATOMIC_SEQ_CST);

	if (daxl_lw_is_last(now))
		end(lease);
}

bool daxl_lease_try_ref(struct daxl_lease *lease)
{
	uint64_t w = daxl_lw_load(&lease->word);

	do {
		if (daxl_lw_is_last(w))
			return false;
	} while (!daxl_lw_swap(&lease->word, &w, w + DAXL_LW_REF));
	return true;
}

/*
 * This thread alone is left. Once the file is put, file and pool may be gone at any moment, so that comes last, and
 * whoever has closed the pool knows that all release functions have returned.
 */
static void end(struct daxl_lease *lease)
{
	struct daxl_range_lock *rl = lease->rl;
	const struct daxl_lease_ops *ops = lease->ops;
	void *file = lease->file;

	if (lease->indexed) { /* else it was taken out by who came before in the word, and who waited for it has been woken */
		daxl_mutex_lock(&rl->mutex);
		daxl_lease_unindex_locked(lease);
		daxl_mutex_unlock(&rl->mutex);
		daxl_wake_key_looked(lease->key);
	}
	daxl_lease_give_credit(lease);
	if (lease->release) {
		struct daxl_toll outer = daxl_callback_enter();

		lease->release(lease->arg);
		daxl_callback_leave(outer);
	}
	daxl_slab_free(rl->domain->slab, lease, sizeof(*lease));
	ops->put(file);
}

DAXL_API void daxl_lease_free(struct daxl_lease *lease)
{
	if (!lease)
		return;
	uint64_t w = daxl_lw_load(&lease->word);

	if (!(w & DAXL_LW_RETURNED)) {
		(void)daxl_lease_return(lease);
		w = daxl_lw_load(&lease->word);
	}
	/* Nobody has it, and nobody can find it: so it stays, and no step is needed to say that it has ended. */
	if ((w & (DAXL_LW_PINS | DAXL_LW_REFS | DAXL_LW_LIMBO)) == 0 && !lease->indexed) {
		end(lease);
		return;
	}
	if (!(daxl_lease_flags(lease) & DAXL_LEASE_QUEUE_EVENTS)) {
		if (daxl_lw_is_last(__atomic_or_fetch(&lease->word, DAXL_LW_ENDED, __ATOMIC_SEQ_CST)))
			end(lease);
		return;
	}
	struct daxl_domain *domain = lease->rl->domain;

	/* ENDED, and one more reference for this call: nothing is queued for the lease after that (daxl_event_queue looks). */
	(void)__atomic_fetch_add(&lease->word, DAXL_LW_ENDED + DAXL_LW_REF, __ATOMIC_SEQ_CST);
	if (daxl_event_unqueue(domain, &lease->ev_recall))
		daxl_lease_unref(lease);
	if (daxl_event_unqueue(domain, &lease->ev_limbo))
		daxl_lease_unref(lease);
	daxl_lease_unref(lease);
}

bool daxl_lease_may_commit(const struct daxl_lease *lease)
{
	return !(daxl_lw_load(&lease->word) & DAXL_LW_OVER) && daxl_lease_is_write(lease);
}

bool daxl_lease_is_write(const struct daxl_lease *lease)
{
	return __atomic_load_n(&lease->mode, __ATOMIC_RELAXED) == DAXL_LEASE_WRITE;
}

bool daxl_lease_is_stale(const struct daxl_lease *lease)
{
	return daxl_lw_load(&lease->word) & DAXL_LW_OVER;
}

uint64_t daxl_lease_owner(const struct daxl_lease *lease)
{
	return lease->owner;
}

void *daxl_lease_file(const struct daxl_lease *lease)
{
	return lease->file;
}
