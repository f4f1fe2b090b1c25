/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Timing one path of the library against the physical limit: the same work with no library. Both are timed in the same
 * run, a batch of one and a batch of the other in turn, so that what else the machine does falls on both; the figures
 * are medians over the batches. A second thread is alive throughout (with one thread alone, libc leaves out locks).
 */
#ifndef DAXL_BENCH_HARNESS_H
#define DAXL_BENCH_HARNESS_H

#include <daxlayout.h>
#include <stdbool.h>
#include <stdint.h>

#define BENCH_BLOCK 4096u

/* A batch: ops operations, of which only those between bench_start and bench_stop are timed. */
typedef void (*bench_fn)(unsigned ops);

struct bench_path {
	const char *name;
	const char *limit_name;
	bench_fn ours, limit;
	unsigned ops; /* in a batch */
	double goal;  /* the ratio to reach; 0: none */
};

void bench_start(void);
void bench_stop(void);

/*
 * Options (--json, --reps N, --list, and a word that names have to contain), a pool of bytes on the medium of the
 * bench, and all its memory touched. Ends the program where that fails or nothing is to be done.
 */
struct daxl_pool *bench_init(int argc, char **argv, const char *program, uint64_t bytes);
/* Whether any path whose name contains the word will run: to skip what it would need. */
bool bench_wants(const char *name);
void bench_run(const struct bench_path *path);
/* Prints what is to be printed at the end, closes the pool, and gives the exit status. */
int bench_end(void);

/* Ends the program with the library's sentence if err is negative; else gives it back. */
int64_t bench_check(int64_t err);
uint64_t bench_random(void);

/* Limits, on memory of the same medium, warm. */
void limit_log_append(void);                        /* 64 bytes at the end of a ring, non-temporal; fence */
void limit_store_block(const void *src, uint64_t i); /* 4096 bytes to the i-th of some blocks, non-temporal */
void limit_fence(void);

#endif
