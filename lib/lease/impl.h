/* SPDX-License-Identifier: BSD-3-Clause */
/* What the files of this folder share: the lease itself, and the domain's inside. */
#ifndef DAXL_LEASE_IMPL_H
#define DAXL_LEASE_IMPL_H

#include "base/bucket.h"
#include "base/error.h"
#include "base/hook.h"
#include "base/rcu.h"
#include "base/waitq.h"
#include "lease/interval.h"
#include "lease/lease.h"
#include "lease/word.h"
#include "space/limbo.h"

/* A place in the pool's event queue; guarded by the domain's events mutex. */
struct daxl_event_node {
	struct daxl_event_node *next, **prev; /* prev NULL: not queued */
	struct daxl_lease *lease;             /* holds a reference while queued; NULL: of a break handle */
	struct daxl_event event;
};

struct daxl_owner { /* in the domain's table while any lease or waiting call names it */
	struct daxl_owner *next;
	uint64_t tag, key;
	uint32_t users;    /* guarded by the events mutex */
	uint32_t recalled; /* atomic: leases RECALLED and not returned */
};

#define DAXL_OWNER_BUCKETS 64u

struct daxl_domain {
	struct daxl_pool *pool;
	unsigned block_shift;
	uint64_t epoch;
	uint32_t break_ms;
	uint64_t next_lease_id; /* atomic */
	uint64_t nleases;       /* atomic; the last thing a dying lease touches */
	int event_fd;
	struct daxl_mutex mutex; /* rank EVENTS: queue, owners, lists of leases and asynchronous breaks */
	struct daxl_event_node *events, **events_tail;
	struct daxl_owner *owners[DAXL_OWNER_BUCKETS];
	struct daxl_lease *leases; /* linked by all_next */
	struct daxl_break_handle *abreaks;
	struct daxl_domain_stat stat; /* relaxed atomics */
};

/* A lease's blocks in limbo: one hold on the list. */
struct daxl_limbo_link {
	struct daxl_limbo_link *next;
	struct daxl_lease *lease;       /* while it is being made: referenced */
	struct daxl_limbo *limbo;
	struct daxl_lease_span *spare;  /* for a cut in the middle of a span */
	daxl_nblk_t blocks;
};

struct daxl_limbo_links {
	struct daxl_limbo_links *next;
	struct daxl_range_lock *rl;
	daxl_fblk_t start, end;
	struct daxl_limbo_link *head;
	struct daxl_limbo_link *unused_links; /* one more for each lease */
};

struct daxl_lease {
	DAXL_CACHE_ALIGNED uint64_t word; /* word.h */
	uint64_t key;                     /* rl->key, constant: for waking */
	struct daxl_range_lock *rl;
	struct daxl_domain *domain;
	void *file;
	void (*file_put)(void *file);
	uint64_t id, generation;
	uint64_t owner;
	struct daxl_owner *owner_rec; /* NULL without owner */
	daxl_recall_fn recall;
	daxl_fence_fn fence;
	daxl_release_fn release;
	void *arg;
	uint32_t break_ms;
	/* guarded by rl->mutex */
	uint32_t mode, flags;
	bool granted, indexed;
	bool solid_counted;          /* in rl->nsolid */
	bool fencing;                /* a fence function runs */
	uint32_t fence_failures;     /* how often one said no */
	daxl_fblk_t start, end;      /* as granted, less what was returned at its ends */
	struct daxl_lease_span first;
	struct daxl_lease_span *more; /* further spans, linked by next_of_lease */
	uint32_t reason;
	int level;
	uint64_t deadline_ns;
	daxl_fblk_t asked_start, asked_end; /* the part asked back */
	struct daxl_limbo_link *limbo;
	struct daxl_lease *notice_next; /* list of the break that marked it */
	/* guarded by the events mutex */
	struct daxl_event_node ev_recall, ev_limbo;
	struct daxl_lease *all_next, **all_prev;
	/* log credit for one commit */
	uint32_t credit; /* atomic */
	void (*credit_give)(void *arg, unsigned slots);
	void *credit_arg;
};

/* references (lease.c) */
void daxl_lease_ref(struct daxl_lease *lease);
void daxl_lease_unref(struct daxl_lease *lease); /* no lock held: may be the end of the lease */

/* RETURNED in one step, with all that follows from it; the range mutex held. True when the caller must afterwards, without it, call daxl_lease_after_return. */
bool daxl_lease_return_locked(struct daxl_lease *lease);
void daxl_lease_after_return(struct daxl_lease *lease);
/* Left LIVE or RECALLED for good: solid count and owner count; the range mutex held. old: the word before. */
void daxl_lease_over_locked(struct daxl_lease *lease, uint64_t old);
/* Spans out of the index once nothing waits for them; the range mutex held. */
void daxl_lease_unindex_locked(struct daxl_lease *lease);
/* Puts the limbo holds of a lease that has drained. No lock held; a reference or the handle held. */
void daxl_lease_drain_limbo(struct daxl_lease *lease);

void daxl_spans_cut_locked(struct daxl_lease *lease, daxl_fblk_t start, daxl_fblk_t end, struct daxl_lease_span **spare);
void daxl_spans_bounds_locked(struct daxl_lease *lease);
/* Waits until every in-place writer counted before the call has left (bounded). No lock held. */
void daxl_writers_drain(struct daxl_range_lock *rl);

/* spans: calls fn for each of the lease's spans; range mutex held */
static inline struct daxl_lease_span *daxl_lease_spans(struct daxl_lease *lease)
{
	return lease->first.start < lease->first.end ? &lease->first : lease->more;
}

/* owners (owner.c); events mutex inside */
struct daxl_owner *daxl_owner_get(struct daxl_domain *domain, uint64_t tag); /* NULL: no memory */
void daxl_owner_put(struct daxl_domain *domain, struct daxl_owner *owner);

/* events (events.c) */
void daxl_event_queue(struct daxl_domain *domain, struct daxl_event_node *node); /* takes a lease reference along */
/* Takes node out if it is queued: true, and the reference is the caller's. */
bool daxl_event_unqueue(struct daxl_domain *domain, struct daxl_event_node *node);
void daxl_event_signal(struct daxl_domain *domain);
/* Lets asynchronous breaks that were woken make progress (abreak.c). */
void daxl_abreaks_step(struct daxl_domain *domain);

/* callbacks */
void daxl_callback_enter(void);
void daxl_callback_leave(void);

/* queue.c, recall.c, fence.c: pieces of a break */
void daxl_break_lock(struct daxl_break *brk);   /* the range mutexes of all parts */
void daxl_break_unlock(struct daxl_break *brk);
bool daxl_break_first_locked(struct daxl_break *brk); /* first in all queues; marks it in service */
void daxl_break_queue(struct daxl_break *brk);        /* enters all queues in one step */
struct daxl_break_part *daxl_break_part_of(struct daxl_break *brk, unsigned i);
/* Why the break may not go on waiting: 0, -ECANCELED, -hold_err. */
int daxl_break_may_go_on(struct daxl_break *brk);
void daxl_break_listen(struct daxl_break *brk);
void daxl_break_unlisten(struct daxl_break *brk);
int daxl_break_listen_owner(struct daxl_break *brk); /* -ENOMEM */

/* Whether a lease concerned by clause is still to be waited for, judged by one word. */
bool daxl_clause_waits(const struct daxl_clause *clause, const struct daxl_lease *lease, uint64_t owner);
/* Whether nothing concerned is left to wait for. Range mutexes held. */
bool daxl_break_done_locked(struct daxl_break *brk, const struct daxl_clause *clauses, size_t n, bool limbo);
/* What must be so before anybody is marked: no own pins, and no wait that is not allowed. Range mutexes held; owner_rec set. */
int daxl_break_check_locked(struct daxl_break *brk, const struct daxl_clause *clauses, size_t n);
/* Whether a held break covers level; true when none is held (abreak.c). */
bool daxl_break_held_level(const struct daxl_break *brk, enum daxl_level level);
/* Marks all LIVE leases concerned; Range mutexes held, daxl_break_check_locked passed. *ret_return: own leases given back for the breaker. */
void daxl_break_mark_locked(struct daxl_break *brk, const struct daxl_clause *clauses, size_t n, struct daxl_lease **ret_notices,
                           struct daxl_lease **ret_returned);
/* Delivers and drops the notices' references. No lock held. */
void daxl_notices_deliver(struct daxl_lease *notices);
void daxl_returned_finish(struct daxl_lease *returned);
/*
 * At the deadline. Looks at who is late: 0: nobody left, go on; 1: look again at *ret_again_ns (or when woken); -ETIMEDOUT.
 * Sets brk->limbo where that is the answer. No lock held; may run fence functions when can_fence.
 */
int daxl_break_deadline(struct daxl_break *brk, const struct daxl_clause *clauses, size_t n, uint64_t *ret_again_ns);

#define DAXL_STAT_ADD(domain, field, n) __atomic_fetch_add(&(domain)->stat.field, (n), __ATOMIC_RELAXED)

#endif
