/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The thread that waits for grace periods, one for a pool that is open for writing. What it then does with replaced versions is in
 * retire.c.
 *
 * A busy pool replaces ten thousand versions in the 10 ms that liburcu's own worker naps for between its grace periods, and their memory has
 * left every cache when it comes back, which costs more than all else an operation does. So this thread paces itself by what there is. While
 * many versions come it naps for 0.1 ms before each grace period, and what is reused was used a moment ago. While few come it
 * dozes for up to 10 ms, or until they are many or somebody waits for frees. When none has come it sleeps, and the next one wakes it.
 *
 * pool->retire_list is one atomic word: the newest version that waits, and in its low bits, which alignment leaves free, how many do.
 *
 *     0          the thread sleeps, or is about to; who comes now wakes it
 *     1          it is awake, and nothing waits
 *     v | n + 1  n versions wait, v is the newest; from COUNT_MAX on n is no longer exact
 *
 * Who makes them MANY wakes the thread too, which then does not doze. It is one system call for a burst, not one for an operation.
 */
#include <errno.h>
#include <time.h>

#include "base/bucket.h"
#include "base/error.h"
#include "base/hook.h"
#include "base/thread.h"
#include "base/waitq.h"
#include "file/file.h"

#define NAP_NS 100000l
#define DOZE_NS UINT64_C(10000000)
#define MANY 32u
#define COUNT_MAX UINT64_C(63)
#define AWAKE UINT64_C(1)

_Static_assert(MANY + 1 < COUNT_MAX, "many can be counted");

static struct daxl_version *newest(uint64_t word)
{
	return (struct daxl_version *)(uintptr_t)(word & ~COUNT_MAX);
}

static unsigned count(uint64_t word)
{
	return (unsigned)(word & COUNT_MAX) - 1;
}

static uint64_t list_now(const struct daxl_pool *pool)
{
	return __atomic_load_n(&pool->retire_list, __ATOMIC_SEQ_CST);
}

static bool hurried(const struct daxl_pool *pool)
{
	return __atomic_load_n(&pool->retire_waiters, __ATOMIC_SEQ_CST) != 0 ||
	       __atomic_load_n(&pool->retire_stop, __ATOMIC_SEQ_CST);
}

void daxl_retire_start(struct daxl_pool *pool, struct daxl_version *old)
{
	uint64_t word = __atomic_load_n(&pool->retire_list, __ATOMIC_RELAXED), n;

	if (old->retired.blocks != 0)
		daxl_tally_count(pool->tally, DAXL_TALLY_BLOCKS_OUT, (int64_t)old->retired.blocks);
	do {
		n = daxl_min_u64((word & COUNT_MAX) + 1 + (word == 0), COUNT_MAX);
		old->retired.next = newest(word);
	} while (!__atomic_compare_exchange_n(&pool->retire_list, &word, (uintptr_t)old | n, true, __ATOMIC_SEQ_CST,
	                                      __ATOMIC_RELAXED));
	if (daxl_unlikely(word == 0 || n == MANY + 1))
		daxl_wake_key(pool->retire_key);
}

/* Sleeps until a version has come; false: until it is to stop. */
static bool sleep_idle(struct daxl_pool *pool, struct daxl_waiter *waiter)
{
	for (;;) {
		daxl_waiter_arm(waiter);
		if (list_now(pool) != 0)
			return true;
		if (__atomic_load_n(&pool->retire_stop, __ATOMIC_SEQ_CST))
			return false;
		(void)daxl_waiter_sleep(waiter, UINT64_MAX);
	}
}

/* Gives versions time to come together. */
static void doze(struct daxl_pool *pool, struct daxl_waiter *waiter)
{
	uint64_t until = daxl_now_ns() + DOZE_NS;

	for (;;) {
		daxl_waiter_arm(waiter);
		if (hurried(pool) || count(list_now(pool)) >= MANY)
			return;
		DAXL_HOOK("retire:doze");
		if (daxl_waiter_sleep(waiter, until) != 0)
			return;
	}
}

static void nap(const struct daxl_pool *pool)
{
	const struct timespec time = { .tv_nsec = NAP_NS };

	if (hurried(pool))
		return;
	DAXL_HOOK("retire:nap");
	(void)nanosleep(&time, NULL);
}

/* A batch's grace period, and what comes after it. */
static void reclaim(struct daxl_pool *pool, struct daxl_version *list)
{
	daxl_rcu_synchronize();
	daxl_retire_free(pool, list);
	/* Who sees the round over sees the blocks free. */
	(void)__atomic_fetch_add(&pool->retire_rounds, 1, __ATOMIC_SEQ_CST);
	DAXL_HOOK("retire:batch");
}

/* Whether the thread may sleep: still nothing waits. */
static bool go_to_sleep(struct daxl_pool *pool)
{
	uint64_t idle = AWAKE;

	return __atomic_compare_exchange_n(&pool->retire_list, &idle, 0, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
}

static void *run(void *arg)
{
	struct daxl_pool *pool = arg;
	struct daxl_waiter waiter;

	daxl_waiter_init(&waiter, NULL);
	daxl_waiter_add(&waiter, pool->retire_key);
	while (sleep_idle(pool, &waiter)) {
		unsigned n = 0;

		do {
			if (n >= MANY)
				nap(pool);
			else
				doze(pool, &waiter);
			uint64_t word = __atomic_exchange_n(&pool->retire_list, AWAKE, __ATOMIC_SEQ_CST);

			n = count(word);
			if (n != 0)
				reclaim(pool, newest(word));
			daxl_wake_key(pool->retire_done_key);
		} while (n != 0 || !go_to_sleep(pool));
		daxl_wake_key(pool->retire_done_key);
	}
	daxl_waiter_remove(&waiter);
	daxl_thread_give_back();
	return NULL;
}

int daxl_reclaim_start(struct daxl_pool *pool)
{
	pool->retire_key = daxl_key_new();
	pool->retire_done_key = daxl_key_new();
	int rc = DAXL_FAULT("reclaim-thread") ? EAGAIN : daxl_thread_start(&pool->retire_thread, run, pool);

	pool->reclaims = rc == 0;
	return rc == 0 ? 0 : daxl_fail(rc, "the thread that waits for readers cannot be started");
}

void daxl_reclaim_stop(struct daxl_pool *pool)
{
	if (!pool->reclaims)
		return;
	__atomic_store_n(&pool->retire_stop, true, __ATOMIC_SEQ_CST);
	daxl_wake_key(pool->retire_key);
	(void)pthread_join(pool->retire_thread, NULL);
	pool->reclaims = false;
}

bool daxl_wait_for_frees(struct daxl_pool *pool)
{
	struct daxl_waiter waiter;

	daxl_assert_no_locks();
	if (list_now(pool) == 0)
		return false;
	/* One batch may be under way, and what came since then is in the next. */
	uint64_t begun = __atomic_load_n(&pool->retire_rounds, __ATOMIC_SEQ_CST);

	(void)__atomic_fetch_add(&pool->retire_waiters, 1, __ATOMIC_SEQ_CST);
	daxl_wake_key(pool->retire_key);
	daxl_waiter_init(&waiter, NULL);
	daxl_waiter_add(&waiter, pool->retire_done_key);
	for (;;) {
		daxl_waiter_arm(&waiter);
		if (list_now(pool) == 0 || __atomic_load_n(&pool->retire_rounds, __ATOMIC_SEQ_CST) - begun >= 2)
			break;
		DAXL_HOOK("retire:wait");
		(void)daxl_waiter_sleep(&waiter, UINT64_MAX);
	}
	daxl_waiter_remove(&waiter);
	(void)__atomic_fetch_sub(&pool->retire_waiters, 1, __ATOMIC_SEQ_CST);
	return true;
}
