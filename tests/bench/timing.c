/* SPDX-License-Identifier: BSD-3-Clause */
#include "timing.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#define TURN 10e6 /* ns, or a batch */

static struct {
	pthread_t thread;
	pthread_mutex_t mutex;
	pthread_cond_t cond;
	bool done;     /* guarded by mutex, as are these: */
	bench_fn work; /* what it is to do; NULL: nothing, or it has done it */
	unsigned work_ops;
	const void *work_arg;
	double work_spent; /* what it has timed */
	unsigned arrived;  /* atomic: threads that are at their work's beginning */
} second = { .mutex = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER };

/* Of the batch under way, ns. */
static _Thread_local double started, spent;

double bench_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

void bench_start(void)
{
	started = bench_now();
}

void bench_stop(void)
{
	spent += bench_now() - started;
}

void bench_add(double ns)
{
	spent += ns;
}

static void arrive(void)
{
	__atomic_fetch_add(&second.arrived, 1, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&second.arrived, __ATOMIC_SEQ_CST) < 2)
		__builtin_ia32_pause();
}

static void *other_thread(void *arg)
{
	(void)arg;
	pthread_mutex_lock(&second.mutex);
	while (!second.done) {
		if (second.work) {
			pthread_mutex_unlock(&second.mutex);
			arrive();
			spent = 0;
			second.work(second.work_ops, second.work_arg);
			pthread_mutex_lock(&second.mutex);
			second.work_spent = spent;
			second.work = NULL;
			pthread_cond_broadcast(&second.cond);
			continue;
		}
		pthread_cond_wait(&second.cond, &second.mutex);
	}
	pthread_mutex_unlock(&second.mutex);
	return NULL;
}

void bench_with(bench_fn work, unsigned ops, const void *a, const void *b)
{
	pthread_mutex_lock(&second.mutex);
	__atomic_store_n(&second.arrived, 0, __ATOMIC_SEQ_CST);
	second.work_ops = ops;
	second.work_arg = b;
	second.work = work;
	pthread_cond_broadcast(&second.cond);
	pthread_mutex_unlock(&second.mutex);
	arrive();
	work(ops, a);
	pthread_mutex_lock(&second.mutex);
	while (second.work)
		pthread_cond_wait(&second.cond, &second.mutex);
	pthread_mutex_unlock(&second.mutex);
}

void bench_both(bench_fn work, unsigned ops, const void *a, const void *b)
{
	bench_with(work, ops, a, b);
	if (spent < second.work_spent)
		spent = second.work_spent;
}

void timing_begin(void)
{
	if (pthread_create(&second.thread, NULL, other_thread, NULL) != 0)
		bench_die("a second thread");
}

void timing_end(void)
{
	pthread_mutex_lock(&second.mutex);
	second.done = true;
	pthread_cond_broadcast(&second.cond);
	pthread_mutex_unlock(&second.mutex);
	pthread_join(second.thread, NULL);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

struct bench_times bench_times_of(double *values, unsigned n)
{
	struct bench_times times = { .batches = n };

	for (unsigned i = 0; i < n; i++)
		times.mean += values[i] / n;
	qsort(values, n, sizeof(values[0]), by_value);
	times.median = values[n / 2];
	times.min = values[0];
	times.spread = (values[n * 3 / 4] - values[n / 4]) / times.median;
	return times;
}

static double batch(const struct timing_column *column)
{
	spent = 0;
	column->fn(column->ops, column->arg);
	return spent / column->ops;
}

/*
 * A turn of n columns, which are ours and the limit, or a peer: batches until it has taken long enough. The first ones
 * find the caches as somebody else has left them, and do not count, unless they are so long that it makes no difference.
 */
static void turn(struct timing_column *columns, unsigned n, unsigned most)
{
	double begin = bench_now(), took, values[2] = { 0 };

	do {
		for (unsigned i = 0; i < n; i++)
			values[i] = batch(&columns[i]);
		took = bench_now() - begin;
		for (unsigned i = 0; i < n && took > TURN / 8; i++)
			columns[i].values[columns[i].batches++] = values[i];
	} while (took < TURN && columns[0].batches < most);
	for (unsigned i = 0; i < n; i++)
		columns[i].turns_ns += took;
}

/* The one whose turn it is: the one with the least time so far of those that may have another batch. */
static struct timing_column *next(struct timing_column *columns, unsigned n, unsigned most)
{
	struct timing_column *best = NULL;

	for (unsigned i = 0; i < n; i++)
		if (columns[i].batches < most && (!best || columns[i].turns_ns < best->turns_ns))
			best = &columns[i];
	return best;
}

static bool enough(const struct timing_column *columns, unsigned n, double until)
{
	if (bench_now() < until)
		return false;
	for (unsigned i = 0; i < n; i++)
		if (columns[i].batches < TIMING_BATCHES_MIN)
			return false;
	return true;
}

void timing_run(struct timing_column *columns, unsigned n, bool limit, unsigned most, double seconds)
{
	double ns = seconds * 1e9;
	struct timing_column *column;

	if (most < TIMING_BATCHES_MIN)
		most = TIMING_BATCHES_MIN;
	for (unsigned i = 0; i < n; i++)
		columns[i].values = bench_alloc(TIMING_BATCHES_MAX * sizeof(double));
	for (double until = bench_now() + ns / 5; bench_now() < until;)
		for (unsigned i = 0; i < n && bench_now() < until; i++)
			(void)batch(&columns[i]);
	for (double until = bench_now() + ns; !enough(columns, n, until);) {
		column = next(columns, n, most);
		if (!column)
			break;
		if (limit && column <= &columns[1])
			turn(columns, 2, most);
		else
			turn(column, 1, most);
	}
}
