/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One revocable range lock a file. Leases hold ranges shared (lease.h); an operation that changes the map holds its range closed
 * (break.h). This header is what a file embeds, and the library's own accesses: counted in-place writers and the `changing` marks.
 */
#ifndef DAXL_LEASE_RANGE_LOCK_H
#define DAXL_LEASE_RANGE_LOCK_H

#include "base/hook.h"
#include "base/thread.h"
#include "lease/domain.h"

#define DAXL_WRITER_STRIPES 8u

struct daxl_writer_stripe {
	DAXL_CACHE_ALIGNED uint64_t count[2];
};

struct daxl_break;
struct daxl_break_part;
struct daxl_lease_span;
struct daxl_limbo_link;

struct daxl_range_lock {
	DAXL_MUTEX(RANGE) mutex; /* the order between two is the file id */
	uint32_t file_id;
	uint64_t key; /* wait key */
	struct daxl_domain *domain;
	/* guarded by mutex */
	/* Requests in order of ticket, but for one that is inside alone. */
	struct daxl_break_part *queue_head DAXL_GUARDED(RANGE), *queue_tail DAXL_GUARDED(RANGE);
	struct daxl_lease_span *spans DAXL_GUARDED(RANGE); /* interval index: spans of all leases not yet gone */
	struct daxl_limbo_link *limbo DAXL_GUARDED(RANGE); /* leases' blocks that are in limbo */
	struct daxl_break *alone; /* atomic, queue.c: inside without a place in the queue; NULL: nobody, and who comes may; the mark: nobody may */
	uint64_t next_ticket DAXL_GUARDED(RANGE);
	uint64_t last_id DAXL_GUARDED(RANGE); /* the last lease's, of a batch that is over at a multiple of its size */
	/* read without the mutex, changed under it; seq_cst where nothing else is said */
	uint32_t nspans;    /* leases with something in spans; an operation looks after it has closed its range (queue.c says why it sees them) */
	uint32_t nsolid;    /* STABLE or EXCLUSIVE leases that are LIVE or RECALLED */
	uint32_t nchanging; /* parts in the state changing */
	uint32_t nsettling; /* grants that wait for counted writers */
	uint32_t parity;    /* which of the two counters new writers use */
	bool draining DAXL_GUARDED(RANGE); /* somebody waits for writers; one at a time */
	struct daxl_writer_stripe *stripes;
	struct daxl_range_lock *next DAXL_GUARDED(FILE), **prev DAXL_GUARDED(FILE); /* of domain->files_mutex */
};

int daxl_range_lock_init(struct daxl_range_lock *rl, struct daxl_domain *domain, uint32_t file_id) DAXL_TAKES(FILE);
void daxl_range_lock_destroy(struct daxl_range_lock *rl) DAXL_TAKES(FILE); /* nothing in it */
/* Whether nothing is in it: no lease, no blocks in limbo, no break. That stays so while nobody can reach the file. */
bool daxl_range_lock_is_idle(struct daxl_range_lock *rl) DAXL_TAKES(RANGE);

/* Counts the calling thread, at *ret_count. True: nothing of the file is being changed, so that it is in. Never waits. */
static inline bool daxl_writer_try(struct daxl_range_lock *rl, uint64_t **ret_count)
{
	struct daxl_writer_stripe *stripe = &rl->stripes[daxl_thread_number() % DAXL_WRITER_STRIPES];
	uint64_t *count = &stripe->count[__atomic_load_n(&rl->parity, __ATOMIC_SEQ_CST) & 1u];

	__atomic_fetch_add(count, 1, __ATOMIC_SEQ_CST);
	DAXL_HOOK("writer:counted");
	*ret_count = count;
	/* Pairs with the seq_cst mark in daxl_break_change: either we see the mark, or it sees our count. */
	return daxl_likely(__atomic_load_n(&rl->nchanging, __ATOMIC_SEQ_CST) == 0);
}

/* The slow half of daxl_writer_enter, after daxl_writer_try was false. */
int daxl_writer_enter_changing(struct daxl_range_lock *rl, daxl_fblk_t start, daxl_fblk_t end, uint64_t **count) DAXL_WAITS;
/* Wakes who waits for the writers to leave. */
void daxl_writers_wake(struct daxl_range_lock *rl) DAXL_TAKES(BUCKET);

/*
 * In-place writers (and readers that gave up revalidating). enter counts the caller, then tests `changing`: if [start, end) is being
 * changed it uncounts, waits (bounded: a copy each) and tries again; it never waits while counted. *ret_count goes to leave.
 * What it waits for waits for no lease, so callbacks may call it, whatever wait they ask for. It may wait for a grace period (the one before -ENOSPC), so inside an RCU
 * read section -EDEADLK comes instead of the wait, with nothing counted.
 */
static inline int DAXL_WAITS daxl_writer_enter(struct daxl_range_lock *rl, daxl_fblk_t start, daxl_fblk_t end, uint64_t **ret_count)
{
	return daxl_writer_try(rl, ret_count) ? 0 : daxl_writer_enter_changing(rl, start, end, ret_count);
}

static inline void DAXL_TAKES(BUCKET) daxl_writer_leave(struct daxl_range_lock *rl, uint64_t *count)
{
	uint64_t left = __atomic_sub_fetch(count, 1, __ATOMIC_SEQ_CST);

	if (left == 0 && daxl_unlikely(__atomic_load_n(&rl->nchanging, __ATOMIC_SEQ_CST) || __atomic_load_n(&rl->nsettling, __ATOMIC_SEQ_CST)))
		daxl_writers_wake(rl);
}

/* While counted: whether the file has a STABLE or EXCLUSIVE lease; and whether one of another owner than owner (0 matches nobody) overlaps. */
static inline bool daxl_has_solid(const struct daxl_range_lock *rl)
{
	return __atomic_load_n(&rl->nsolid, __ATOMIC_SEQ_CST) != 0;
}
bool daxl_solid_conflict(struct daxl_range_lock *rl, daxl_fblk_t start, daxl_fblk_t end, uint64_t owner) DAXL_TAKES(RANGE);

/* Who holds or pins what in the range: fills up to max, returns how many there are. */
size_t daxl_range_holders(struct daxl_range_lock *rl, daxl_fblk_t start, daxl_fblk_t end, unsigned block_shift,
                          struct daxl_holder *holders, size_t max) DAXL_TAKES(RANGE);
/* Unreturned leases and pins of the whole file, for stat. */
void daxl_range_counts(struct daxl_range_lock *rl, uint64_t *ret_leases, uint64_t *ret_pins) DAXL_TAKES(RANGE);

#endif
