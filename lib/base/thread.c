/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/thread.h"

#include <signal.h>
#include <stdint.h>

_Thread_local unsigned daxl_thread_drawn;

/* A bit for each number below 64 that was given back. */
static uint64_t returned;

unsigned daxl_thread_draw(void)
{
	static uint64_t next;
	const uint64_t once = 1u << 30;
	uint64_t free = __atomic_load_n(&returned, __ATOMIC_RELAXED);

	/* Acquire: what the one before has left where it owned a place is seen. */
	while (free != 0)
		if (__atomic_compare_exchange_n(&returned, &free, free & (free - 1), true, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
			daxl_thread_drawn = (unsigned)__builtin_ctzll(free) + 1;
			return daxl_thread_drawn - 1;
		}
	uint64_t n = __atomic_fetch_add(&next, 1, __ATOMIC_RELAXED);

	/* The first numbers are drawn once: who has one may own what it picks by it. */
	daxl_thread_drawn = (unsigned)(n < once ? n : once + n % once) + 1;
	return daxl_thread_drawn - 1;
}

void daxl_thread_give_back(void)
{
	unsigned drawn = daxl_thread_drawn;

	daxl_thread_drawn = 0;
	if (drawn != 0 && drawn <= 64)
		(void)__atomic_fetch_or(&returned, UINT64_C(1) << (drawn - 1), __ATOMIC_RELEASE);
}

int daxl_thread_start(pthread_t *ret_thread, void *(*run)(void *arg), void *arg)
{
	sigset_t all, old;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	int rc = pthread_create(ret_thread, NULL, run, arg);

	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return rc;
}
