/* SPDX-License-Identifier: BSD-3-Clause */
/* The inner half of the harness: batches that take turns, and the second thread. */
#ifndef DAXL_BENCH_TIMING_H
#define DAXL_BENCH_TIMING_H

#include "harness.h"

#define TIMING_BATCHES_MAX 4096u /* of one column */
#define TIMING_BATCHES_MIN 3u

struct timing_column {
	bench_fn fn;
	const void *arg;
	unsigned ops, batches;
	double turns_ns; /* all it took, what is not timed included */
	double *values;  /* ns an operation, of each batch; the caller frees it */
};

/* Starts the second thread, and ends it. */
void timing_begin(void);
void timing_end(void);

/*
 * Times the columns: at most so many batches of each, for so long, but some of each in any case.
 * First a fifth of the time is spent on warming up: caches, predictors, and what waits for its grace period. With a
 * limit, columns 0 and 1 are ours and it; they go together, so that each finds the caches as the other left them.
 */
void timing_run(struct timing_column *columns, unsigned n, bool limit, unsigned most, double seconds);

#endif
