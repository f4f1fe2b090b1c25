/* SPDX-License-Identifier: BSD-3-Clause */
/* What the files of this folder share: the lease itself, and the domain's inside. */
#ifndef DAXL_LEASE_IMPL_H
#define DAXL_LEASE_IMPL_H

#include "base/bucket.h"
#include "base/error.h"
#include "base/hook.h"
#include "base/rcu.h"
#include "base/tally.h"
#include "base/waitq.h"
#include "lease/interval.h"
#include "lease/lease.h"
#include "lease/word.h"
#include "map/slab.h"
#include "space/limbo.h"

/* A place in the pool's event queue; guarded by the domain's events mutex. */
struct daxl_event_node {
	struct daxl_event_node *next, **prev; /* prev NULL: not queued */
	uint8_t kind;                         /* enum daxl_event_kind: says what it is in. A lease is referenced while it is queued */
	bool closed;                          /* the break handle is ended: never queued again */
};

#define DAXL_OWNER_BUCKETS 64u

struct daxl_domain {
	struct daxl_pool *pool;
	unsigned block_shift;
	uint64_t epoch;
	uint32_t break_ms;
	uint64_t next_id;       /* atomic: leases' numbers, handed to files in batches */
	struct daxl_slab *slab; /* leases, and nothing else */
	int event_fd;
	DAXL_MUTEX(FILE) files_mutex; /* the list of range locks */
	struct daxl_range_lock *files DAXL_GUARDED(FILE);
	struct daxl_tally *tally;
	DAXL_MUTEX(EVENTS) mutex; /* what follows */
	struct daxl_event_node *events DAXL_GUARDED(EVENTS), **events_tail DAXL_GUARDED(EVENTS);
	/* Owners' leases that are RECALLED, by owner. */
	struct daxl_lease *recalled[DAXL_OWNER_BUCKETS] DAXL_GUARDED(EVENTS);
	struct daxl_break_handle *woken DAXL_GUARDED(EVENTS); /* asynchronous breaks that may be able to go on */
};

/* A lease's blocks in limbo: one hold on the list. Once made, guarded by the range mutex. */
struct daxl_limbo_link {
	struct daxl_limbo_link *next;               /* of the lease; before that of the links being made */
	struct daxl_limbo_link *file_next, **file_prev; /* of the file */
	struct daxl_lease *lease;
	struct daxl_limbo *limbo;
	daxl_fblk_t start, end; /* where the blocks were */
};

/* What stands between preparing and making links: a lease, referenced, and what it will take. */
struct daxl_limbo_maker {
	struct daxl_limbo_maker *next;
	struct daxl_lease *lease;
	struct daxl_limbo_link *link;  /* with a hold; NULL once it is the lease's */
	struct daxl_lease_span *spare; /* for a cut in the middle of a span */
};

struct daxl_limbo_links {
	struct daxl_limbo_links *next; /* of those the break is to drop when it holds nothing */
	struct daxl_break *brk;
	struct daxl_range_lock *rl;
	daxl_fblk_t start, end;
	struct daxl_limbo_maker *makers;
};

/*
 * Most leases are taken and given back, and nothing else happens to them: what they need comes first, and the last lines are not even filled in for them.
 */
struct daxl_lease {
	/* A cache line of its own: with the word, what pins look at. All but the word is constant from the grant. */
	uint64_t word; /* word.h */
	uint64_t key; /* rl->key: for waking */
	struct daxl_range_lock *rl;
	void *file;
	const struct daxl_lease_ops *ops;
	uint64_t id, generation;
	uint64_t owner;
	/* Constant. */
	daxl_recall_fn recall;
	daxl_fence_fn fence;
	daxl_release_fn release;
	void *arg;
	uint32_t break_ms;
	uint16_t credit; /* atomic: log slots for one commit */
	/* guarded by rl->mutex */
	uint16_t flags DAXL_GUARDED(RANGE);       /* or read as one: daxl_lease_flags */
	uint8_t mode DAXL_GUARDED(RANGE);         /* the same: daxl_lease_is_write */
	uint8_t reason DAXL_GUARDED(RANGE), level DAXL_GUARDED(RANGE);
	bool indexed;                             /* its spans are in rl->spans; the last one out looks without the mutex */
	bool fencing DAXL_GUARDED(RANGE);         /* a fence function runs */
	/* Downgraded with pins out or while recalled: still WRITE to breaks, until it is over. */
	bool was_write DAXL_GUARDED(RANGE);
	bool was_exclusive DAXL_GUARDED(RANGE);   /* the same */
	/* As granted, less what was returned at its ends. */
	daxl_fblk_t start DAXL_GUARDED(RANGE), end DAXL_GUARDED(RANGE);
	struct daxl_lease_span first; /* empty once it is given back */
	uint64_t seen DAXL_GUARDED(RANGE);        /* the scan that met it last */
	uint64_t limbo_by DAXL_GUARDED(RANGE);    /* the id of the break that goes on without it */
	uint64_t fence_failed_ns DAXL_GUARDED(RANGE); /* when one last said no; 0: never */
	uint64_t deadline_ns DAXL_GUARDED(RANGE);
	struct daxl_limbo_link *limbo DAXL_GUARDED(RANGE);
	/* From here on nothing is set before it is needed (lease.c). By the marking break: the part asked back; its list, while it holds the notice's reference. */
	daxl_fblk_t asked_start DAXL_GUARDED(RANGE), asked_end DAXL_GUARDED(RANGE);
	struct daxl_lease *notice_next;
	struct daxl_lease *returned_next; /* the returning break's */
	/* Of the owner's, while RECALLED. */
	struct daxl_lease *recalled_next DAXL_GUARDED(EVENTS), **recalled_prev DAXL_GUARDED(EVENTS);
	/* With QUEUE_EVENTS; guarded by the events mutex. */
	struct daxl_event_node ev_recall, ev_limbo;
};

_Static_assert(offsetof(struct daxl_lease, owner) + sizeof(uint64_t) == DAXL_CACHE_LINE, "pins look at one cache line");
_Static_assert(sizeof(struct daxl_lease) % DAXL_CACHE_LINE == 0, "the slab's bytes count leases");

/* Without the range mutex: a downgrade may take EXCLUSIVE away meanwhile, the other flags stay. */
static inline uint32_t daxl_lease_flags(const struct daxl_lease *lease)
{
	return __atomic_load_n(&lease->flags, __ATOMIC_RELAXED);
}

#define DAXL_LEASE_SOLID (DAXL_LEASE_STABLE | DAXL_LEASE_EXCLUSIVE)

/* Read without the mutex, and so stored as one. */
static inline void DAXL_HOLDS(RANGE) daxl_range_count_lease(struct daxl_range_lock *rl, int n)
{
	__atomic_store_n(&rl->nspans, rl->nspans + (uint32_t)n, __ATOMIC_RELEASE);
}

/* references (lease.c) */
void daxl_lease_ref(struct daxl_lease *lease); /* the caller's handle, pin or reference keeps it */
/* For who found it in the index, the range mutex held: false when its last user is about to free it. */
bool daxl_lease_try_ref(struct daxl_lease *lease) DAXL_HOLDS(RANGE);
void daxl_lease_unref(struct daxl_lease *lease) DAXL_WAITS; /* no lock held: may be the end of the lease */

/* Gives the log credit back, if the lease has it. */
void daxl_lease_give_credit(struct daxl_lease *lease);
/*
 * RETURNED in one step, with all that follows from it; the range mutex held, and the handle is the caller's. Gives the word after the step, with which the caller must then,
 * without the mutex, call daxl_lease_after_return; 0 when it was returned already.
 */
uint64_t daxl_lease_return_locked(struct daxl_lease *lease) DAXL_HOLDS(RANGE);
void daxl_lease_after_return(struct daxl_lease *lease, uint64_t w) DAXL_WAITS;
/* Left LIVE or RECALLED for good: solid count and owner count; the range mutex held. old: the word before. */
void daxl_lease_over_locked(struct daxl_lease *lease, uint64_t old) DAXL_HOLDS(RANGE);
/* Spans out of the index once nothing waits for them; the range mutex held. */
void daxl_lease_unindex_locked(struct daxl_lease *lease) DAXL_HOLDS(RANGE);
/* Puts the limbo holds of a lease, and limbo's reference: for whose step has drained it. No lock held. */
void daxl_lease_drain_limbo(struct daxl_lease *lease) DAXL_WAITS;

/* What daxl_busy tells about a lease; false when it is in nobody's way any more. Range mutex held. */
bool daxl_lease_holder_locked(const struct daxl_lease *lease, struct daxl_holder *ret) DAXL_HOLDS(RANGE);

void daxl_spans_cut_locked(struct daxl_lease *lease, daxl_fblk_t start, daxl_fblk_t end, struct daxl_lease_span **spare)
	DAXL_HOLDS(RANGE);
void daxl_spans_bounds_locked(struct daxl_lease *lease) DAXL_HOLDS(RANGE);
/* Waits until every in-place writer counted before the call has left (bounded). No lock held. */
void daxl_writers_drain(struct daxl_range_lock *rl) DAXL_WAITS;

/* What a break has kept for when nothing is held. */
void daxl_limbo_links_free(struct daxl_limbo_links *links) DAXL_WAITS;

/* The first of the lease's pieces that is left; the others follow by next_of_lease. Range mutex held. */
static inline struct daxl_lease_span DAXL_HOLDS(RANGE) *daxl_lease_spans(struct daxl_lease *lease)
{
	return lease->first.start < lease->first.end ? &lease->first : lease->first.next_of_lease;
}

/* owners (owner.c) */
uint64_t daxl_owner_key(uint64_t owner);               /* wait key; 0 for nobody */
/* Wakes the owner's waiting calls. Range mutex held. */
void daxl_owner_add_recalled(struct daxl_lease *lease) DAXL_HOLDS(RANGE);
void daxl_owner_del_recalled(struct daxl_lease *lease) DAXL_HOLDS(RANGE); /* range mutex held */
/* How many leases of the owner are recalled and not given back. */
uint32_t daxl_owner_recalled(struct daxl_domain *domain, uint64_t owner) DAXL_TAKES(EVENTS);

/* events (events.c) */
/* Takes a lease reference along. */
void daxl_event_queue(struct daxl_domain *domain, struct daxl_event_node *node) DAXL_TAKES(EVENTS);
/* Takes node out if it is queued: true, and the reference is the caller's. */
bool daxl_event_unqueue(struct daxl_domain *domain, struct daxl_event_node *node) DAXL_TAKES(EVENTS);
/* For a break handle: takes node out and keeps it out. */
void daxl_event_close(struct daxl_domain *domain, struct daxl_event_node *node) DAXL_TAKES(EVENTS);
void daxl_event_signal(struct daxl_domain *domain);
/* Lets asynchronous breaks that were woken make progress (abreak.c). */
void daxl_abreaks_step(struct daxl_domain *domain) DAXL_WAITS;

/* What the event of a break handle says; the events mutex held. */
struct daxl_event daxl_abreak_event(struct daxl_event_node *node) DAXL_HOLDS(EVENTS);
/* The bytes of [start, end) as they are shown to users; DAXL_TO_END where there is no end. */
static inline uint64_t daxl_range_len(const struct daxl_domain *domain, daxl_fblk_t start, daxl_fblk_t end)
{
	return end == DAXL_FBLK_INF ? (uint64_t)DAXL_TO_END : daxl_blocks_to_bytes(end - start, domain->block_shift);
}
/* The same with where they begin, as recalls and events have it. */
static inline void daxl_range_bytes(const struct daxl_domain *domain, daxl_fblk_t start, daxl_fblk_t end, off_t *ret_off,
                                    off_t *ret_len)
{
	*ret_off = (off_t)daxl_blocks_to_bytes(start, domain->block_shift);
	*ret_len = (off_t)daxl_range_len(domain, start, end);
}
/* What the holder of a lease that is marked is told; a reference held. */
struct daxl_recall daxl_lease_asked(const struct daxl_lease *lease);

/* Around a holder's function: what it calls is not of the call that this thread is in. enter gives that one's toll, leave puts it back. */
struct daxl_toll daxl_callback_enter(void);
void daxl_callback_leave(struct daxl_toll outer);

/* queue.c, recall.c, fence.c: pieces of a break */
void daxl_break_lock(struct daxl_break *brk) DAXL_LOCKS(RANGE);   /* the range mutexes of all parts */
void daxl_break_unlock(struct daxl_break *brk) DAXL_UNLOCKS(RANGE);
bool daxl_break_first_locked(struct daxl_break *brk) DAXL_HOLDS(RANGE); /* first in all queues; marks it in service */
/* Enters all queues in one step; whether it is first in all of them (and then in service). */
bool daxl_break_queue(struct daxl_break *brk) DAXL_TAKES(RANGE);
/* Whether a closed range overlaps [start, end). What the caller grants after a "no" is seen by whoever closes a range later: reopen follows, the mutex held throughout. */
bool daxl_queue_overlaps(struct daxl_range_lock *rl, daxl_fblk_t start, daxl_fblk_t end) DAXL_HOLDS(RANGE);
void daxl_queue_reopen(struct daxl_range_lock *rl) DAXL_HOLDS(RANGE);
struct daxl_break_part *daxl_break_held_part(struct daxl_break *brk); /* of the break that it runs inside (abreak.c) */
static inline struct daxl_break_part *daxl_break_part_of(struct daxl_break *brk, unsigned i)
{
	return daxl_unlikely(brk->held != NULL) ? daxl_break_held_part(brk) : &brk->part[i];
}
/* Why the break may not go on waiting: 0, -ECANCELED, -hold_err. own: recalled leases of its owner that it is about to return. */
int daxl_break_may_go_on(struct daxl_break *brk, uint32_t own);
/* The latter alone. */
int daxl_break_may_hold(struct daxl_break *brk, uint32_t own);
void daxl_break_start_clock(struct daxl_break *brk); /* at the first wait: a break that never waits asks no clock */
void daxl_break_listen(struct daxl_break *brk);
void daxl_break_unlisten(struct daxl_break *brk);

/* Whether a lease concerned by clause is still to be waited for, judged by one word. */
bool daxl_clause_waits(const struct daxl_clause *clause, const struct daxl_lease *lease, uint64_t owner)
	DAXL_HOLDS(RANGE);
/* A lease concerned that is still to be waited for; NULL: there is none. Range mutexes held. */
struct daxl_lease *daxl_break_late_locked(struct daxl_break *brk, const struct daxl_clause *clauses, size_t n, bool limbo)
	DAXL_HOLDS(RANGE);
/*
 * What must be so before anybody is marked: no own pins (-EDEADLK). Range mutexes held. *ret_others: whether there is somebody else to wait for; *ret_own: how many of
 * the owner's recalled leases the break would return. Both may be NULL.
 */
int daxl_break_check_locked(struct daxl_break *brk, const struct daxl_clause *clauses, size_t n, bool *ret_others, uint32_t *ret_own)
	DAXL_HOLDS(RANGE);
/* Whether limbo is an answer to the clause. */
bool daxl_clause_limbo(const struct daxl_clause *clause);
/* From here on the break goes on without those it would wait for: their blocks go to limbo. Range mutexes held. */
void daxl_break_accept_locked(struct daxl_break *brk, const struct daxl_clause *clauses, size_t n) DAXL_HOLDS(RANGE);
/* fn for every span that a clause and its part of the index have in common, with arg's first member set to the clause. */
struct daxl_scan {
	const struct daxl_clause *clause;
	struct daxl_break *brk;
};
int daxl_break_scan_locked(struct daxl_break *brk, const struct daxl_clause *clauses, size_t n, struct daxl_scan *scan,
                           int (*fn)(struct daxl_lease_span *span, void *scan)) DAXL_HOLDS(RANGE);
/* Whether a held break covers level; true when none is held (abreak.c). */
bool daxl_break_held_level(const struct daxl_break *brk, enum daxl_level level);
/* Marks all LIVE leases concerned; Range mutexes held, daxl_break_check_locked passed. *ret_return: own leases given back for the breaker. */
void daxl_break_mark_locked(struct daxl_break *brk, const struct daxl_clause *clauses, size_t n, struct daxl_lease **ret_notices,
                           struct daxl_lease **ret_returned) DAXL_HOLDS(RANGE);
/* Delivers and drops the notices' references. No lock held. */
void daxl_notices_deliver(struct daxl_lease *notices) DAXL_WAITS;
void daxl_returned_finish(struct daxl_lease *returned) DAXL_WAITS;
/*
 * Past the deadline. Looks at who is late: 1: look again, after fencing *ret_victim if that is not NULL (brk->limbo says whether to go on without the late); 0: look again at *ret_again_ns or
 * when woken; -ETIMEDOUT. No lock held.
 */
int daxl_break_deadline(struct daxl_break *brk, const struct daxl_clause *clauses, size_t n, uint64_t *ret_again_ns,
                        struct daxl_lease **ret_victim) DAXL_WAITS;
/* Calls the fence of a victim and draws the consequences. */
void daxl_lease_fence(struct daxl_lease *victim) DAXL_WAITS;

#endif
