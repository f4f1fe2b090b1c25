/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ranked mutexes. The word is that of a futex, as glibc's mutex has it: who finds it held marks it awaited and sleeps
 * while it is; who frees an awaited one wakes one sleeper, which marks it awaited again, as there may be others. Freed
 * memory may be woken on: who sleeps on a futex looks again.
 *
 * With assertions on, each thread keeps the stack of what it holds, and a lock taken against the order
 * aborts at once, with both ranks, instead of deadlocking once in a million runs. A trylock cannot deadlock and
 * is exempt, but what it took counts from then on.
 */
#include "base/lock.h"

#include <errno.h>
#include <linux/futex.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/compiler.h"

#ifndef NDEBUG

#define HELD_MAX 32u

static _Thread_local const struct daxl_mutex *held[HELD_MAX];
static _Thread_local unsigned nheld;

static const char *const rank_names[DAXL_RANK_COUNT] = {
	[DAXL_RANK_POOL] = "POOL",     [DAXL_RANK_CHECKPOINT] = "CHECKPOINT",
	[DAXL_RANK_NAMES] = "NAMES",   [DAXL_RANK_FILE] = "FILE",
	[DAXL_RANK_RANGE] = "RANGE",   [DAXL_RANK_BUCKET] = "BUCKET",
	[DAXL_RANK_EVENTS] = "EVENTS", [DAXL_RANK_LOG] = "LOG",
	[DAXL_RANK_SPACE] = "SPACE",   [DAXL_RANK_SLAB] = "SLAB",
};

/* Ends the process over a lock that is used against its rules. */
static _Noreturn void violation(const char *what, const struct daxl_mutex *mutex, const struct daxl_mutex *other)
{
	fprintf(stderr, "daxl: lock order: %s %s%s%s\n", what, rank_names[mutex->rank], other ? " while holding " : "",
	        other ? rank_names[other->rank] : "");
	abort();
}

/* Aborts unless every held lock has a lower rank than mutex; peer may have the same. */
static void check_order(const struct daxl_mutex *mutex, const struct daxl_mutex *peer)
{
	for (unsigned i = 0; i < nheld; i++) {
		if (held[i] == mutex)
			violation("taking again", mutex, NULL);
		if (held[i]->rank >= mutex->rank && held[i] != peer)
			violation("taking", mutex, held[i]);
	}
}

static void push(const struct daxl_mutex *mutex)
{
	if (nheld == HELD_MAX)
		violation("too many locks: taking", mutex, held[HELD_MAX - 1]);
	held[nheld++] = mutex;
}

static void pop(const struct daxl_mutex *mutex)
{
	for (unsigned i = nheld; i-- > 0;) {
		if (held[i] != mutex)
			continue;
		for (nheld--; i < nheld; i++)
			held[i] = held[i + 1];
		return;
	}
	violation("releasing, not held:", mutex, NULL);
}

#else

static inline void check_order(const struct daxl_mutex *mutex, const struct daxl_mutex *peer)
{
	(void)mutex;
	(void)peer;
}

static inline void push(const struct daxl_mutex *mutex)
{
	(void)mutex;
}

#endif

/* Sleeps until the mutex is free, and takes it. */
void daxl_mutex_wait(struct daxl_mutex *mutex)
{
	int saved = errno;

	while (__atomic_exchange_n(&mutex->word, DAXL_MUTEX_AWAITED, __ATOMIC_ACQUIRE) != DAXL_MUTEX_FREE)
		(void)syscall(SYS_futex, &mutex->word, FUTEX_WAIT_PRIVATE, DAXL_MUTEX_AWAITED, NULL, NULL, 0);
	errno = saved;
}

/* Wakes one of those who sleep. The mutex may be gone. */
void daxl_mutex_wake(struct daxl_mutex *mutex)
{
	int saved = errno;

	(void)syscall(SYS_futex, &mutex->word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
	errno = saved;
}

void daxl_mutex_init(struct daxl_mutex *mutex, enum daxl_lock_rank rank)
{
	*mutex = (struct daxl_mutex){.word = DAXL_MUTEX_FREE};
#ifndef NDEBUG
	mutex->rank = rank;
#else
	(void)rank;
#endif
}

void daxl_mutex_destroy(struct daxl_mutex *mutex)
{
	assert(mutex->word == DAXL_MUTEX_FREE);
	(void)mutex;
}

static void lock_beside(struct daxl_mutex *mutex, const struct daxl_mutex *peer)
{
	check_order(mutex, peer);
	daxl_mutex_word_lock(mutex);
	push(mutex);
}

bool daxl_mutex_trylock(struct daxl_mutex *mutex)
{
	if (!daxl_mutex_word_take(mutex))
		return false;
	push(mutex);
	return true;
}

void daxl_mutex_lock_pair(struct daxl_mutex *first, struct daxl_mutex *second)
{
	assert(first->rank == second->rank);
	daxl_mutex_lock(first);
	if (second != first)
		lock_beside(second, first);
}

void daxl_mutex_unlock_pair(struct daxl_mutex *first, struct daxl_mutex *second)
{
	if (second != first)
		daxl_mutex_unlock(second);
	daxl_mutex_unlock(first);
}

#ifndef NDEBUG

void daxl_mutex_lock(struct daxl_mutex *mutex)
{
	lock_beside(mutex, NULL);
}

void daxl_mutex_unlock(struct daxl_mutex *mutex)
{
	pop(mutex);
	daxl_mutex_word_unlock(mutex);
}

void daxl_mutex_assert_held(const struct daxl_mutex *mutex)
{
	for (unsigned i = 0; i < nheld; i++) {
		if (held[i] == mutex)
			return;
	}
	violation("not held:", mutex, NULL);
}

void daxl_assert_no_locks(void)
{
	if (nheld != 0)
		violation("may wait or call back with a lock held:", held[nheld - 1], NULL);
}

#endif
