/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Why no wake-up is lost. A waiter counts itself, then reads seq, then its predicate; a waker changes the state,
 * passes a full barrier, then reads the count. One of the two comes first:
 *
 * - the waker reads a count without the waiter: then the waiter counted itself later, and its predicate (after a full
 *   barrier of its own) sees the changed state;
 * - the waker sees it and moves seq: if that was after the waiter read seq, the futex does not sleep; if before,
 *   the waiter read the moved seq (acquire), and its predicate sees the changed state.
 *
 * Keys share buckets, so a waiter may be woken for another's sake; waking all is what makes that harmless.
 */
#include "base/bucket.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/compiler.h"
#include "base/lock.h"

#define BUCKETS_LOG2 8u
#define NS_PER_SEC UINT64_C(1000000000)

struct daxl_bucket {
	uint32_t seq;     /* futex word; moved by each wake that saw a waiter */
	uint32_t waiters; /* between prepare and wait or cancel */
} DAXL_CACHE_ALIGNED;

static struct daxl_bucket buckets[1u << BUCKETS_LOG2];

struct daxl_bucket *daxl_bucket_of(const void *key)
{
	uint64_t hash = (uint64_t)(uintptr_t)key * UINT64_C(0x9e3779b97f4a7c15);

	return &buckets[hash >> (64 - BUCKETS_LOG2)];
}

uint32_t daxl_bucket_prepare(struct daxl_bucket *bucket)
{
	uint32_t seq;

	(void)__atomic_fetch_add(&bucket->waiters, 1, __ATOMIC_SEQ_CST);
	seq = __atomic_load_n(&bucket->seq, __ATOMIC_SEQ_CST);
	daxl_full_fence(); /* pairs with the one in wake */
	return seq;
}

void daxl_bucket_cancel(struct daxl_bucket *bucket)
{
	(void)__atomic_fetch_sub(&bucket->waiters, 1, __ATOMIC_RELAXED);
}

int daxl_bucket_wait(struct daxl_bucket *bucket, uint32_t seq, uint64_t deadline_ns)
{
	struct timespec deadline;
	int saved = errno;
	int err = 0;

	daxl_assert_no_locks();
	deadline.tv_sec = (time_t)(deadline_ns / NS_PER_SEC);
	deadline.tv_nsec = (long)(deadline_ns % NS_PER_SEC);
	if (__atomic_load_n(&bucket->seq, __ATOMIC_ACQUIRE) == seq) {
		/* BITSET: the deadline is a point of CLOCK_MONOTONIC, not a duration. Signals end the sleep: spurious. */
		if (syscall(SYS_futex, &bucket->seq, FUTEX_WAIT_BITSET_PRIVATE, seq,
		            deadline_ns == UINT64_MAX ? NULL : &deadline, NULL, FUTEX_BITSET_MATCH_ANY) != 0 &&
		    errno == ETIMEDOUT)
			err = -ETIMEDOUT;
	}
	if (__atomic_load_n(&bucket->seq, __ATOMIC_ACQUIRE) != seq)
		err = 0;
	daxl_bucket_cancel(bucket);
	errno = saved;
	return err;
}

void daxl_bucket_wake(struct daxl_bucket *bucket)
{
	int saved;

	daxl_full_fence(); /* pairs with the one in prepare */
	if (daxl_likely(__atomic_load_n(&bucket->waiters, __ATOMIC_SEQ_CST) == 0))
		return;
	saved = errno;
	(void)__atomic_fetch_add(&bucket->seq, 1, __ATOMIC_SEQ_CST);
	(void)syscall(SYS_futex, &bucket->seq, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
	errno = saved;
}

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * NS_PER_SEC + (uint64_t)now.tv_nsec;
}

uint64_t daxl_now_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

uint64_t daxl_realtime_ns(void)
{
	return clock_ns(CLOCK_REALTIME_COARSE); /* as kernel file systems stamp their files: cheap, good to some ms */
}
