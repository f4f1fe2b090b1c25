/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What <daxlayout/stats.h> shows of a pool. Two halves:
 *
 * The toll is a thread's own: what the public call it is in has stored, recalled and waited for so far. Whoever stores, recalls or waits only marks it
 * there, whatever the call is; the call, when it ends, adds it to its kind's line.
 *
 * The tally is the pool's. The lines of calls, and sums of what nearly every operation changes, are striped by thread, so that two threads do not share
 * one: the first threads of a process have a stripe each to themselves and count with plain loads and stores, those after them share stripes and count with
 * read-modify-writes. Times and events are not striped: what they count has slept, called a holder, or written a checkpoint.
 *
 * A call as most are (a thread with a stripe of its own, no error, nobody recalled, nothing waited for) is counted inline, in a dozen instructions.
 */
#ifndef DAXL_BASE_TALLY_H
#define DAXL_BASE_TALLY_H

#include <daxlayout/stats.h>

#include <stdbool.h>

#include "base/thread.h"

struct daxl_toll {
	uint64_t lines;  /* cache lines flushed */
	uint64_t fences; /* of the medium */
	union {
		struct {
			uint32_t recalls;
			bool breaks;      /* it has recalled somebody, or has had somebody to wait for */
			bool waits;       /* for leases, or for other operations on its range */
			bool log_waits;   /* for room in the log */
			bool grace_waits; /* for freed blocks */
		};
		uint64_t rare; /* all of these */
	};
};
_Static_assert(sizeof(struct daxl_toll) == 3 * sizeof(uint64_t), "a flag is not in rare");

extern _Thread_local struct daxl_toll daxl_toll;

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

#define DAXL_TALLY_OWN 16u
#define DAXL_TALLY_STRIPES (DAXL_TALLY_OWN + 8u)

struct daxl_tally_stripe {
	DAXL_CACHE_ALIGNED struct daxl_op_stats op[DAXL_STAT_OPS];
	uint64_t sum[DAXL_TALLY_SUMS];
};

/* All of it relaxed atomics. */
struct daxl_tally {
	struct daxl_tally_stripe stripe[DAXL_TALLY_STRIPES];
	DAXL_CACHE_ALIGNED struct daxl_histogram histogram[DAXL_HISTOGRAMS]; /* count is the buckets' sum */
	uint64_t event[DAXL_TALLY_EVENTS];
};

int daxl_tally_create(struct daxl_tally **ret_tally);
void daxl_tally_destroy(struct daxl_tally *tally);
/* Adds to the line of op (enum daxl_stat_op): the figures in more. */
void daxl_tally_add(struct daxl_tally *tally, unsigned op, const struct daxl_op_stats *more);
/* The same: this thread's toll. */
void daxl_tally_toll(struct daxl_tally *tally, unsigned op);
/* The slow half of daxl_tally_call: any call of any thread. */
void daxl_tally_any_call(struct daxl_tally *tally, unsigned op, int64_t ret, uint64_t bytes);
void daxl_tally_time(struct daxl_tally *tally, enum daxl_stat_histogram which, uint64_t ns);
void daxl_tally_event(struct daxl_tally *tally, enum daxl_tally_event event, uint64_t n);
/* n may be negative. */
void daxl_tally_count(struct daxl_tally *tally, enum daxl_tally_sum which, int64_t n);
uint64_t daxl_tally_sum(const struct daxl_tally *tally, enum daxl_tally_sum which);
void daxl_tally_read(const struct daxl_tally *tally, struct daxl_stats *ret);

/* A counter of the calling thread's own. */
static inline void daxl_tally_own(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, __atomic_load_n(counter, __ATOMIC_RELAXED) + n, __ATOMIC_RELAXED);
}

/* The calling thread's own line of op, or NULL. */
static inline struct daxl_op_stats *daxl_tally_own_line(struct daxl_tally *tally, unsigned op)
{
	unsigned n = daxl_thread_number();

	return daxl_likely(n < DAXL_TALLY_OWN) ? &tally->stripe[n].op[op] : NULL;
}

/* A call of kind op that has ended with ret, and this thread's toll, which is its. */
static inline void daxl_tally_call(struct daxl_tally *tally, unsigned op, int64_t ret, uint64_t bytes)
{
	struct daxl_op_stats *line = daxl_tally_own_line(tally, op);

	if (daxl_unlikely(!line || ret < 0 || daxl_toll.rare)) {
		daxl_tally_any_call(tally, op, ret, bytes);
		return;
	}
	daxl_tally_own(&line->calls, 1);
	daxl_tally_own(&line->bytes, bytes);
	daxl_tally_own(&line->fences, daxl_toll.fences);
	daxl_tally_own(&line->lines, daxl_toll.lines);
}

/* A call that recalls nobody, waits for nobody and stores nothing. */
static inline void daxl_tally_plain(struct daxl_tally *tally, unsigned op, bool failed)
{
	struct daxl_op_stats *line = daxl_tally_own_line(tally, op);

	if (daxl_unlikely(!line || failed))
		daxl_tally_add(tally, op, &(struct daxl_op_stats){ .calls = 1, .errors = failed });
	else
		daxl_tally_own(&line->calls, 1);
}

/* One word after the other, which atomics are kept: what was stored as a pair is slow to load as single words, and that has cost an overwrite 10 ns. */
static inline void daxl_toll_clear(void)
{
	__atomic_store_n(&daxl_toll.lines, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&daxl_toll.fences, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&daxl_toll.rare, 0, __ATOMIC_RELAXED);
}

/* A stretch of work whose toll is not the call's that this thread is in: begin gives the call's, end puts it back. */
static inline struct daxl_toll daxl_toll_begin(void)
{
	struct daxl_toll outer = daxl_toll;

	daxl_toll_clear();
	return outer;
}

static inline void daxl_toll_end(struct daxl_toll outer)
{
	daxl_toll = outer;
}

#endif
