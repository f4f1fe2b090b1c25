/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A break: how an operation takes a range away from leases before it changes the map.
 *
 *     daxl_break_init      who, why, how long, what at the deadline
 *     daxl_break_add       one or two files with the block range to close
 *     daxl_break_enter     all ranges enter their queues in one step; waits until the break is first in all (FIFO, L14)
 *     daxl_break_recall    given the clauses (which leases, at which level): marks those LIVE as RECALLED, delivers each notice once (L4, no lock
 *                          held: L8), waits until all concerned are returned and, for U, drained. May be called again with other clauses.
 *     daxl_break_change    marks the closed ranges `changing` and waits for the in-place writers counted before (not for pure removal)
 *     -- the operation takes its file mutexes, recomputes its clauses and asks
 *     daxl_break_covered   whether they need no further wait. If not: drop the mutexes, daxl_break_widen (leaves service, closes the whole file
 *                          with the old ticket, waits to be first again), recall with the new clauses, and so on.
 *     daxl_break_leave     opens the ranges and wakes who waits. Always, whatever failed; idempotent.
 *
 * The range stays closed from enter to leave, so what a break waits for only shrinks (L3).
 */
#ifndef DAXL_LEASE_BREAK_H
#define DAXL_LEASE_BREAK_H

#include "base/waitq.h"
#include "lease/range_lock.h"

enum daxl_level { DAXL_LEVEL_N, DAXL_LEVEL_W, DAXL_LEVEL_U };

/* Which leases a clause concerns; at W and with own_exempt, never those of the breaker's own (non-zero) owner. */
enum daxl_who {
	DAXL_WHO_ALL,
	DAXL_WHO_WRITE,     /* WRITE leases */
	DAXL_WHO_HOLE,      /* READ leases without FILL_OK (over blocks which they show as hole or unwritten) */
	DAXL_WHO_SOLID,     /* STABLE or EXCLUSIVE leases */
	DAXL_WHO_EXCLUSIVE, /* EXCLUSIVE leases */
	DAXL_WHO_STABLE,    /* STABLE leases */
};

struct daxl_clause {
	unsigned part; /* index of the file in the break */
	daxl_fblk_t start, end;
	enum daxl_level level;
	enum daxl_who who;
	bool no_limbo;   /* limbo is no answer here: a clone's source stays in its file */
	bool own_exempt; /* at U too: for grants, which never conflict with own leases */
	uint32_t reason; /* what whom only this concerns is told; 0: the break's */
};

struct daxl_break_part { /* in the queue of rl while entered; guarded by rl->mutex */
	struct daxl_range_lock *rl;
	struct daxl_break *brk;
	daxl_fblk_t start, end;
	uint64_t ticket;
	struct daxl_break_part *next, *prev;
	bool in_service; /* it has been first in all its queues */
	unsigned changing; /* operations that are about to change it: 1, more inside a held break */
};

struct daxl_limbo;
struct daxl_limbo_links;
struct daxl_break_handle;

struct daxl_break {
	struct daxl_break_part part[2];
	unsigned nparts;
	struct daxl_domain *domain;
	uint64_t owner;
	uint32_t reason;       /* DAXL_REASON_* */
	int on_timeout;        /* DAXL_ON_TIMEOUT_* */
	int nowait_err;        /* EAGAIN */
	int hold_err;          /* EDEADLK; EAGAIN for acquire */
	bool limbo_at_once;    /* last close: nothing is waited for */
	bool nowait;
	bool limbo;            /* result of recall: go on, busy blocks go to limbo */
	uint64_t timeout_ms;
	uint64_t deadline_ns;  /* UINT64_MAX: never; 0: the clock has not been looked at yet */
	struct daxl_cancel *cancel;
	/* further state belongs to this folder */
	struct daxl_break_handle *held;    /* runs inside this asynchronous break */
	struct daxl_limbo_links *dropped;  /* links to be freed once nothing is held */
	uint64_t id;                       /* once limbo: marks the leases it goes on without */
	uint64_t fencing_since_ns;         /* when it first found a lease to be fenced; 0: not yet */
	bool held_short;                   /* the held break does not cover a part */
	bool entered;
	bool changing;                     /* its parts are marked */
	struct daxl_waiter waiter;         /* only while listening; last, so that setting up a break need not clear it */
};

/*
 * wait NULL: def (the handle's default) or, if that is NULL too, all defaults. Validates: size, timeout_ms, on_timeout: -EINVAL, -E2BIG; LIMBO where !limbo_ok: -EINVAL. The clock starts at the first wait.
 */
int daxl_break_init(struct daxl_break *brk, struct daxl_domain *domain, const struct daxl_wait *wait,
                    const struct daxl_wait *def, uint32_t reason, bool limbo_ok);
void daxl_break_add(struct daxl_break *brk, struct daxl_range_lock *rl, daxl_fblk_t start, daxl_fblk_t end);

/* 0; -EAGAIN (timeout 0 and not first at once), -ETIMEDOUT, -ECANCELED, -EDEADLK, hold_err. On failure nothing is queued. Parts may name the same rl twice. */
int daxl_break_enter(struct daxl_break *brk) DAXL_WAITS;
/*
 * 0 (brk->limbo may be set), -EAGAIN (timeout 0: recall started), -ETIMEDOUT, -ECANCELED, -EDEADLK (own pins in a U clause, or a wait that is not allowed: nobody recalled), -ENOMEM (nobody recalled).
 * U clauses return own leases without pins. The range stays closed also on failure, until leave.
 */
int daxl_break_recall(struct daxl_break *brk, const struct daxl_clause *clauses, size_t n) DAXL_WAITS;
int daxl_break_change(struct daxl_break *brk) DAXL_WAITS;
/* With the file mutexes held: the closed ranges hold all clauses and no lease concerned is still to be waited for (with brk->limbo, busy ones are accepted in the clauses at U recalled before). */
bool daxl_break_covered(struct daxl_break *brk, const struct daxl_clause *clauses, size_t n) DAXL_TAKES(RANGE);
int daxl_break_widen(struct daxl_break *brk) DAXL_WAITS;
void daxl_break_leave(struct daxl_break *brk) DAXL_WAITS;

/*
 * Limbo: the first sub-range of [start, end) of part, clipped, over which a lease is busy that a U clause concerns; false: none. Blocks there are not changed in
 * place, but leave the file. Leases that are late without being busy only end. Takes the range mutex.
 */
bool daxl_break_busy(struct daxl_break *brk, const struct daxl_clause *clauses, size_t n, unsigned part, daxl_fblk_t start,
                     daxl_fblk_t end, daxl_fblk_t *ret_start, daxl_fblk_t *ret_end) DAXL_TAKES(RANGE);
/*
 * Limbo at publish, two steps. prepare (file mutex held, before the ticket; -ENOMEM) makes, for every lease that a U clause concerns and that is not given back or still busy over
 * [start, end) of part, a link to limbo with a hold on it; apply (cannot fail) makes the links: the lease becomes REVOKED by limbo, [start, end) leaves its range, and if it is busy its
 * drain will put the hold. A lease that is over and drained just drops its hold. *ret_late: how many. drop undoes a prepare that is not applied. References to leases go in
 * daxl_break_leave, when nothing is held.
 */
int daxl_break_limbo_prepare(struct daxl_break *brk, const struct daxl_clause *clauses, size_t n, unsigned part, daxl_fblk_t start,
                             daxl_fblk_t end, struct daxl_limbo *limbo, struct daxl_limbo_links **links, size_t *ret_late)
	DAXL_TAKES(RANGE);
void daxl_break_limbo_apply(struct daxl_break *brk, struct daxl_limbo_links *links) DAXL_TAKES(RANGE);
void daxl_break_limbo_drop(struct daxl_limbo_links *links);
/* Recalls without waiting (commit's notice to READ leases of others that show the run as unwritten). No lock may be held. Best effort is not allowed: -ENOMEM never happens, events live in the leases. */
void daxl_recall_nowait(struct daxl_range_lock *rl, const struct daxl_clause *clauses, size_t n, uint64_t owner, uint32_t reason)
	DAXL_WAITS;

/* The asynchronous break, over one file. */
int daxl_abreak_begin(struct daxl_domain *domain, struct daxl_range_lock *rl, daxl_fblk_t start, daxl_fblk_t end, enum daxl_level level,
                      const struct daxl_wait *wait, const struct daxl_wait *def, struct daxl_break_handle **ret_handle)
	DAXL_WAITS;
int daxl_abreak_poll(struct daxl_break_handle *handle) DAXL_WAITS;
void daxl_abreak_end(struct daxl_break_handle *handle) DAXL_WAITS;
/* Runs an operation inside a held break: brk is set up to use the handle's closed ranges (enter, leave do nothing). -EINVAL when handle is over another file, not yet ready, or its range or level does not cover the part; checked again
 * by recall for the clauses (-EINVAL, nobody recalled). */
int daxl_break_hold(struct daxl_break *brk, struct daxl_break_handle *handle);

/* Cancel objects (sticky). */
int daxl_cancel_create(struct daxl_cancel **ret_cancel);
void daxl_cancel_fire(struct daxl_cancel *cancel) DAXL_TAKES(BUCKET);
void daxl_cancel_destroy(struct daxl_cancel *cancel);
bool daxl_cancel_fired(const struct daxl_cancel *cancel);
uint64_t daxl_cancel_key(const struct daxl_cancel *cancel); /* wait key */

#endif
