/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The background checkpointer. It sleeps on a condition with the monotonic clock, so that stopping it takes no longer
 * than its checkpoint.
 */
#include "file/background.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>

#include "base/error.h"
#include "base/hook.h"
#include "base/thread.h"
#include "file/file.h"

struct daxl_background {
	struct daxl_pool *pool;
	uint32_t interval_ms;
	pthread_t thread;
	pthread_mutex_t mutex; /* held over no library call */
	pthread_cond_t cond;
	bool stop; /* guarded by mutex */
};

static void add_ms(struct timespec *ts, uint32_t ms)
{
	ts->tv_sec += ms / 1000;
	ts->tv_nsec += (long)(ms % 1000) * 1000000;
	if (ts->tv_nsec >= 1000000000) {
		ts->tv_nsec -= 1000000000;
		ts->tv_sec++;
	}
}

/* Sleeps for an interval; false when told to stop. */
static bool next_round(struct daxl_background *background)
{
	struct timespec until;
	int rc = 0;
	clock_gettime(CLOCK_MONOTONIC, &until);
	add_ms(&until, background->interval_ms);
	pthread_mutex_lock(&background->mutex);
	while (!background->stop && rc == 0)
		rc = pthread_cond_timedwait(&background->cond, &background->mutex, &until);
	bool stop = background->stop;
	pthread_mutex_unlock(&background->mutex);
	return !stop;
}

static void *run(void *arg)
{
	struct daxl_background *background = arg;
	struct daxl_pool *pool = background->pool;
	uint64_t seen = 0;
	while (next_round(background)) {
		uint64_t records = daxl_tally_sum(pool->tally, DAXL_TALLY_RECORDS);
		/* A failure leaves the old checkpoint valid; the next round tries again. */
		if (records != seen && daxl_ckpt_run(pool, false, 0) == 0)
			seen = records;
	}
	daxl_thread_give_back();
	return NULL;
}

int daxl_background_start(struct daxl_pool *pool, uint32_t interval_ms, struct daxl_background **ret_background)
{
	struct daxl_background *background = daxl_zalloc(sizeof(*background));
	pthread_condattr_t attr;

	if (background == NULL)
		return daxl_fail(ENOMEM, "no memory for the background checkpointer");
	background->pool = pool;
	background->interval_ms = interval_ms;
	pthread_mutex_init(&background->mutex, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&background->cond, &attr);
	pthread_condattr_destroy(&attr);
	int rc = DAXL_FAULT("background-thread") ? EAGAIN : daxl_thread_start(&background->thread, run, background);

	if (rc != 0) {
		pthread_cond_destroy(&background->cond);
		pthread_mutex_destroy(&background->mutex);
		daxl_free(background);
		return daxl_fail(rc, "the background checkpointer's thread cannot be started");
	}
	*ret_background = background;
	return 0;
}

void daxl_background_stop(struct daxl_background *background)
{
	if (background == NULL)
		return;
	pthread_mutex_lock(&background->mutex);
	background->stop = true;
	pthread_cond_signal(&background->cond);
	pthread_mutex_unlock(&background->mutex);
	pthread_join(background->thread, NULL);
	pthread_cond_destroy(&background->cond);
	pthread_mutex_destroy(&background->mutex);
	daxl_free(background);
}
