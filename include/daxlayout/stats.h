/* SPDX-License-Identifier: BSD-3-Clause */
/* Counters and latency histograms of an open pool, for monitoring and tuning. Conventions: <daxlayout.h>. */
#ifndef DAXLAYOUT_STATS_H
#define DAXLAYOUT_STATS_H

#include <daxlayout/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Index into daxl_stats.op. Pins and queries are not counted: they are too quick for that. */
enum daxl_stat_op {
	DAXL_STAT_OPEN = 0,
	DAXL_STAT_CLOSE = 1,
	DAXL_STAT_UNLINK = 2,
	DAXL_STAT_RENAME = 3,
	DAXL_STAT_SETATTR = 4,
	DAXL_STAT_READ = 5,          /* pread, preadv */
	DAXL_STAT_WRITE = 6,         /* pwrite, pwritev */
	DAXL_STAT_ATOMIC_WRITE = 7,  /* pwritev with DAXL_WRITE_ATOMIC */
	DAXL_STAT_FSYNC = 8,
	DAXL_STAT_MAP = 9,
	DAXL_STAT_SEEK = 10,
	DAXL_STAT_ALLOCATE = 11,     /* daxl_fallocate, by mode: from here */
	DAXL_STAT_ZERO = 12,
	DAXL_STAT_PUNCH = 13,
	DAXL_STAT_COLLAPSE = 14,
	DAXL_STAT_INSERT = 15,
	DAXL_STAT_UNSHARE = 16,      /* to here */
	DAXL_STAT_TRUNCATE = 17,
	DAXL_STAT_CLONE = 18,
	DAXL_STAT_DEDUPE = 19,
	DAXL_STAT_EXCHANGE = 20,
	DAXL_STAT_COPY = 21,
	DAXL_STAT_BREAK = 22,        /* daxl_break, daxl_break_begin */
	DAXL_STAT_ACQUIRE = 23,
	DAXL_STAT_PERSIST = 24,
	DAXL_STAT_COMMIT = 25,
	DAXL_STAT_RETURN = 26,       /* daxl_lease_return, _return_range, and returns by daxl_lease_free */
	DAXL_STAT_CHECKPOINT = 27,   /* asked for, in the background, or because the log was half full */
	DAXL_STAT_GROW = 28,
	DAXL_STAT_TRIM = 29,         /* tidying up by the library itself */
	DAXL_STAT_OPS                /* how many there are in this version */
};

#define DAXL_STAT_OP_SLOTS 48 /* entries of daxl_stats.op; those from DAXL_STAT_OPS on are 0 */

/* What is called from inside a call, by a holder's function, or a checkpoint, counts for itself and not for the call. */
struct daxl_op_stats {
	uint64_t calls;       /* that have ended, well or not */
	uint64_t errors;      /* that ended with an error */
	uint64_t bytes;       /* read, written, copied or persisted; else 0 */
	uint64_t fences;      /* of the medium: waits until earlier stores were durable */
	uint64_t lines;       /* cache lines flushed */
	uint64_t breaks;      /* calls that recalled somebody or had a holder to wait for */
	uint64_t recalls;     /* leases recalled */
	uint64_t waits;       /* calls that slept or spun for leases or for another operation on their range */
	uint64_t timeouts;    /* calls that ended with -ETIMEDOUT */
	uint64_t reserved[3]; /* 0 */
};

/* Index into daxl_stats.histogram. */
enum daxl_stat_histogram {
	DAXL_HISTOGRAM_BREAK_WAIT = 0, /* from the recalls to the return and last unpin of all, or to giving up */
	DAXL_HISTOGRAM_GRANT_WAIT = 1, /* of acquires that had to wait, from call to grant or giving up */
	DAXL_HISTOGRAM_QUEUE_WAIT = 2, /* behind other operations on the same range */
	DAXL_HISTOGRAM_FENCE_CALL = 3, /* in the holders' fence functions */
	DAXL_HISTOGRAM_CHECKPOINT = 4, /* from start to end of a checkpoint */
	DAXL_HISTOGRAMS                /* how many there are in this version */
};

#define DAXL_HISTOGRAM_SLOTS 8 /* entries of daxl_stats.histogram; those from DAXL_HISTOGRAMS on are 0 */
#define DAXL_HISTOGRAM_BUCKETS 48

/* Times in nanoseconds. bucket[i] counts those from 2^i to below 2^(i + 1); the first also 0, the last all longer. */
struct daxl_histogram {
	uint64_t count;
	uint64_t sum_ns;
	uint64_t max_ns;
	uint64_t bucket[DAXL_HISTOGRAM_BUCKETS];
};

struct daxl_stats {
	struct daxl_op_stats op[DAXL_STAT_OP_SLOTS];
	struct daxl_histogram histogram[DAXL_HISTOGRAM_SLOTS];
	uint64_t fences_failed;  /* holders' fence functions that gave something else than 0 */
	uint64_t revoked_fence;  /* leases revoked after a fence */
	uint64_t revoked_limbo;  /* leases revoked by limbo, with blocks that went there or without */
	uint64_t limbo_blocks;   /* that ever went to limbo; daxl_pool_stat has those there now */
	uint64_t log_waits;      /* calls that had to wait for room in the log */
	uint64_t grace_waits;    /* calls that waited for freed blocks before -ENOSPC or instead of it */
	uint64_t reserved[16];   /* 0 */
};

/*
 * Fills in *ret with the figures since the pool was opened. They only grow; each is right, but they are read one after
 * the other while others work. The struct is large (some 8 KiB). Never waits. No errors.
 */
DAXL_API int daxl_stats(struct daxl_pool *pool, struct daxl_stats *ret);

#ifdef __cplusplus
}
#endif

#endif
