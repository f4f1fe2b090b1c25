/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A lease: permission to reach the blocks of a range directly. One atomic word holds the pin count, the references (collected notices,
 * queued events, running callbacks, a running fence) and the state bits; every transition is one read-modify-write of that word, so
 * "drained" and "last one out" are each decided by exactly one thread.
 */
#ifndef DAXL_LEASE_LEASE_H
#define DAXL_LEASE_LEASE_H

#include "lease/break.h"

/* One contiguous piece of a lease's range, in the file's interval index. */
struct daxl_lease_span {
	struct daxl_lease *lease;
	daxl_fblk_t start, end; /* guarded by rl->mutex */
	/* index links belong to interval.c */
	struct daxl_lease_span *left, *right;
	daxl_fblk_t max_end;
	struct daxl_lease_span *next_of_lease;
};

/* What the layers above do for a lease; file: as in its params. No lock held. */
struct daxl_lease_ops {
	void (*put)(void *file);                         /* once, at the very end */
	void (*give_credit)(void *file, unsigned slots); /* log credit that is not needed any more */
};

struct daxl_lease_params {
	struct daxl_range_lock *rl;
	void *file;                     /* the in-core file: the lease holds it alive */
	const struct daxl_lease_ops *ops;
	daxl_fblk_t start, end;         /* DAXL_FBLK_INF: to infinity (READ) */
	const struct daxl_lease_opts *opts; /* validated by daxl_lease_check_opts */
};

/* -EINVAL, -E2BIG with a message: mode, flags, sizes. */
int daxl_lease_check_opts(const struct daxl_lease_opts *opts);
/* Memory and callbacks set up; not visible yet. -ENOMEM. */
int daxl_lease_create(const struct daxl_lease_params *params, struct daxl_lease **ret_lease);
/* A lease that was never granted: freed; release is not called, the file not put. */
void daxl_lease_discard(struct daxl_lease *lease);
/*
 * The uncontended grant in one critical section: if no request is queued over the range, no lease conflicts, and ok(arg) (called with the range mutex held; NULL: true) holds, the
 * lease becomes LIVE and recallable (L9) and the file is taken over; true. Else false, nothing done.
 */
bool daxl_lease_try_grant(struct daxl_lease *lease, bool (*ok)(struct daxl_lease *lease, void *arg), void *arg)
	DAXL_TAKES(RANGE);
/* The conflicts of a grant as clauses of part 0 (at most 3): returns how many. */
size_t daxl_lease_grant_clauses(const struct daxl_lease *lease, struct daxl_clause *clauses);
/* Inside a break that has closed the range: the lease becomes LIVE; call before daxl_break_leave. */
void daxl_lease_grant(struct daxl_lease *lease) DAXL_TAKES(RANGE);
/* The file's generation as the lease finds it: before the lease is seen by others. */
void daxl_lease_set_generation(struct daxl_lease *lease, uint64_t generation);
/* A STABLE or EXCLUSIVE lease, once granted and after leave: waits for the in-place writers counted before it (bounded, no library lock held). */
void daxl_lease_settle(struct daxl_lease *lease) DAXL_WAITS;

/* For commit, under the file mutex: true while LIVE or RECALLED, and WRITE. */
bool daxl_lease_may_commit(const struct daxl_lease *lease);
/* Whether the lease's spans cover [start, end) wholly. Takes the range mutex. */
bool daxl_lease_covers(const struct daxl_lease *lease, daxl_fblk_t start, daxl_fblk_t end) DAXL_TAKES(RANGE);
/* Calls fn for each span in order (copied; no lock held during fn). Returns fn's nonzero. */
int daxl_lease_each_span(const struct daxl_lease *lease, int (*fn)(daxl_fblk_t start, daxl_fblk_t end, void *arg), void *arg)
	DAXL_WAITS;
/* Some other lease than self, of WRITE mode: over blocks [start, end): unreturned (LIVE, RECALLED) -> 1; only returned but still busy -> 2; none -> 0. ret_start and ret_end get the first such piece, clipped. For a WRITE
 * grant over unwritten runs. */
int daxl_lease_other_writer(struct daxl_range_lock *rl, const struct daxl_lease *self, daxl_fblk_t start, daxl_fblk_t end,
                            daxl_fblk_t *ret_start, daxl_fblk_t *ret_end) DAXL_TAKES(RANGE);
bool daxl_lease_is_write(const struct daxl_lease *lease);
bool daxl_lease_is_stale(const struct daxl_lease *lease); /* REVOKED, or RETURNED and drained: extents no longer mean anything */
uint64_t daxl_lease_owner(const struct daxl_lease *lease);
void *daxl_lease_file(const struct daxl_lease *lease);
/* Log credit kept for one commit, counted in slots; what the lease still has when it ends goes back through its ops. */
void daxl_lease_set_credit(struct daxl_lease *lease, unsigned slots);
unsigned daxl_lease_take_credit(struct daxl_lease *lease); /* what is kept; then 0 */

/* The API calls daxl_lease_pin, _unpin, _return, _return_range, _downgrade, _stat, _state, _free of <daxlayout/lease.h> are implemented in this folder directly
 * (arguments in bytes where the API has bytes): they touch no map. persist, commit, extents, acquire live in ops. */

#endif
