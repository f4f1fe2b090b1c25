/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What <daxlayout/stats.h> shows of a pool. Two halves:
 *
 * The toll is a thread's own: what the public call it is in has recalled and waited for so far. Whoever recalls or waits only marks it there, whatever the
 * call is; the call, when it ends, adds it to its kind's line.
 *
 * The tally is the pool's. The lines of calls, and sums of what nearly every operation changes, are striped by thread, so that two threads do not share one. Times and events are not: what they count has
 * slept, called a holder, or written a checkpoint.
 */
#ifndef DAXL_BASE_TALLY_H
#define DAXL_BASE_TALLY_H

#include <daxlayout/stats.h>

#include <stdbool.h>

struct daxl_toll {
	uint32_t recalls;
	bool breaks;     /* it has recalled somebody, or has had somebody to wait for */
	bool waits;      /* for leases, or for other operations on its range */
	bool log_waits;  /* for room in the log */
	bool grace_waits; /* for freed blocks */
};
/* initial-exec: found with one load also from inside a shared library. */
extern _Thread_local struct daxl_toll daxl_toll __attribute__((tls_model("initial-exec")));

enum daxl_tally_event {
	DAXL_TALLY_FENCES_FAILED,
	DAXL_TALLY_REVOKED_FENCE,
	DAXL_TALLY_REVOKED_LIMBO,
	DAXL_TALLY_LIMBO_BLOCKS,
	DAXL_TALLY_EVENTS
};

enum daxl_tally_sum {
	DAXL_TALLY_LOG_WAITS,
	DAXL_TALLY_GRACE_WAITS,
	DAXL_TALLY_RECORDS,    /* committed since the pool was opened */
	DAXL_TALLY_BLOCKS_OUT, /* let go, and waiting for their grace period */
	DAXL_TALLY_SUMS
};

struct daxl_tally;

int daxl_tally_create(struct daxl_tally **ret_tally);
void daxl_tally_destroy(struct daxl_tally *tally);
/* Adds to the line of op (enum daxl_stat_op): the figures in more, and this thread's toll. */
void daxl_tally_call(struct daxl_tally *tally, unsigned op, const struct daxl_op_stats *more);
/* A call that recalls nobody, waits for nobody and stores nothing. */
void daxl_tally_plain(struct daxl_tally *tally, unsigned op, bool failed);
void daxl_tally_time(struct daxl_tally *tally, enum daxl_stat_histogram which, uint64_t ns);
void daxl_tally_event(struct daxl_tally *tally, enum daxl_tally_event event, uint64_t n);
/* n may be negative. */
void daxl_tally_add(struct daxl_tally *tally, enum daxl_tally_sum which, int64_t n);
uint64_t daxl_tally_sum(const struct daxl_tally *tally, enum daxl_tally_sum which);
void daxl_tally_read(const struct daxl_tally *tally, struct daxl_stats *ret);

static inline bool daxl_toll_any(void)
{
	return daxl_toll.recalls || daxl_toll.breaks || daxl_toll.waits || daxl_toll.log_waits || daxl_toll.grace_waits;
}

/* A stretch of work whose toll is not the call's that this thread is in: begin gives the call's, end puts it back. */
static inline struct daxl_toll daxl_toll_begin(void)
{
	struct daxl_toll outer = daxl_toll;

	daxl_toll = (struct daxl_toll){ 0 };
	return outer;
}

static inline void daxl_toll_end(struct daxl_toll outer)
{
	daxl_toll = outer;
}

#endif
