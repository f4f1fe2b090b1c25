/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Timing a path of the library against the physical limit (the same work with no library) and against its peers (what a
 * user would take instead). All are timed in the same run, in batches that take turns, so that what else the machine
 * does falls on all: ours and the limit together, batch by batch, and the next turn goes to whoever has had the least
 * time so far. The figures are medians over the batches. A second thread is alive throughout (with one thread alone,
 * libc leaves out locks).
 *
 * A program prints one row for each path, or lines of plain figures, or points of a curve; with --json one object.
 */
#ifndef DAXL_BENCH_HARNESS_H
#define DAXL_BENCH_HARNESS_H

#include <daxlayout.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BENCH_BLOCK 4096u
#define BENCH_DIR "/dev/shm"
#define BENCH_PEERS 4
#define BENCH_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* A batch: ops operations, of which only those between bench_start and bench_stop are timed. */
typedef void (*bench_fn)(unsigned ops, const void *arg);

/* The limit, or a peer. */
struct bench_other {
	const char *name; /* NULL: none */
	bench_fn fn;
	const void *arg;
	double at_least; /* peers: how many times slower than ours it has to be; 0: no goal */
	unsigned ops;    /* in a batch; 0: as many as ours */
	const char *(*missing)(const void *arg); /* makes ready; else the reason why it cannot be had. NULL: ready */
};

struct bench_path {
	const char *name;
	unsigned ops; /* in a batch */
	bench_fn ours;
	const void *arg;
	struct bench_other limit;
	double ratio;   /* goal: at most so many times the limit; 0: none */
	double more_ns; /* goal: at most so much more than the limit */
	double most_ns; /* goal: at most so much */
	struct bench_other peers[BENCH_PEERS];
	unsigned batches; /* at most so many; 0: as many as there is time for */
};

/* A plain figure, with at most one goal. */
struct bench_figure {
	const char *unit;
	double value, at_most, at_least; /* 0: no goal */
};

/* ns an operation, over the batches */
struct bench_times {
	double median, min, mean, spread; /* spread: from the lower to the upper quartile, as a part of the median */
	unsigned batches;
};

void bench_start(void);
void bench_stop(void);
void bench_add(double ns); /* instead of the two: time taken otherwise */
double bench_now(void);    /* ns */

/*
 * Reads the options (--json, --list, --long, --seconds, --reps, and a word that names have to contain) and prints where
 * the program runs. Ends the program where nothing is to be done.
 */
void bench_init(int argc, char **argv, const char *program);
/* A sparse pool of bytes on the medium of the bench, without a name, of which the first touched bytes are warm. */
struct daxl_pool *bench_pool(uint64_t bytes, uint64_t touched);
/* The same, with options; it is sparse whatever they say. */
struct daxl_pool *bench_pool_with(uint64_t bytes, uint64_t touched, const struct daxl_pool_opts *opts);
/* One with a name, which the caller opens and closes as often as it likes, and unlinks. */
struct daxl_pool *bench_pool_at(const char *path, uint64_t bytes);
bool bench_long(void);
/* Whether a path of this name will run: to skip what it would need. */
bool bench_wants(const char *name);
/* Runs a path and prints its row. */
void bench_run(const struct bench_path *path);
/* Only times a path's columns, none of which may be missing: ours, limit, peers. */
void bench_measure(const struct bench_path *path, struct bench_times *times);
/* Prints the row of a path that was timed otherwise. times has as many as the path has columns: ours, limit, peers. */
void bench_report(const struct bench_path *path, const struct bench_times *times);
/* Times one function, for a curve. */
struct bench_times bench_time(bench_fn fn, unsigned ops, const void *arg);
struct bench_times bench_times_of(double *values, unsigned n); /* sorts them */
void bench_figures(const char *name, const struct bench_figure *figures, unsigned n);
void bench_point(const char *curve, const char *by, double x, double ns);
/* Ends the list, closes the pool if there is one, and gives the exit status. */
int bench_end(void);

/* work(ops, a) here while the second thread does work(ops, b); returns when both are done. */
void bench_with(bench_fn work, unsigned ops, const void *a, const void *b);
/* The same; the batch has taken what the slower of the two has timed. */
void bench_both(bench_fn work, unsigned ops, const void *a, const void *b);

/* Runs this program again, as a process of its own, with these two arguments, and gives back the number it prints. */
double bench_self(const char *option, const char *argument);

/* Ends the program with the library's sentence if err is negative; else gives it back. */
int64_t bench_check(int64_t err);
/* Ends the program with errno's. */
_Noreturn void bench_die(const char *what);
void *bench_alloc(size_t size); /* zeroed; never NULL */
uint64_t bench_random(void);

/* limits.c: work without a library, on memory of the same medium, warm. */
char *bench_memory(size_t len, int *ret_fd); /* of the medium, warm; ret_fd may be NULL */
void bench_memory_end(char *base, size_t len);
void bench_touch(char *base, size_t len);
void limit_init(void);
const char *limit_copy_name(void);
void limit_log_append(void);                         /* 64 bytes at the end of a ring, non-temporal; fence */
void limit_store_block(const void *src, uint64_t i); /* 4096 bytes to the i-th of some blocks, non-temporal */
void limit_fence(void);
void limit_appends(unsigned ops, const void *arg);   /* a batch of limit_log_append; arg: unsigned, how many each */
uint64_t limit_sum(const void *data, size_t len);    /* reads and CRCs, page by page */

#endif
