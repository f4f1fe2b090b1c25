/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ranked mutexes. With assertions on, each thread keeps the stack of what it holds, and a lock taken against the order
 * aborts at once, with both ranks, instead of deadlocking once in a million runs. A trylock cannot deadlock and
 * is exempt, but what it took counts from then on.
 */
#include "base/lock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

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

/* A pthread call on a mutex of ours fails only if memory is broken or the caller's contract is. */
_Noreturn void daxl_mutex_failed(int err)
{
	fprintf(stderr, "daxl: mutex: error %d\n", err);
	abort();
}

static void must(int err)
{
	if (daxl_unlikely(err != 0))
		daxl_mutex_failed(err);
}

void daxl_mutex_init(struct daxl_mutex *mutex, enum daxl_lock_rank rank)
{
	mutex->rank = rank;
	must(pthread_mutex_init(&mutex->m, NULL));
}

void daxl_mutex_destroy(struct daxl_mutex *mutex)
{
	must(pthread_mutex_destroy(&mutex->m));
}

static void lock_beside(struct daxl_mutex *mutex, const struct daxl_mutex *peer)
{
	check_order(mutex, peer);
	must(pthread_mutex_lock(&mutex->m));
	push(mutex);
}

bool daxl_mutex_trylock(struct daxl_mutex *mutex)
{
	int err = pthread_mutex_trylock(&mutex->m);

	if (err == EBUSY)
		return false;
	must(err);
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
	must(pthread_mutex_unlock(&mutex->m));
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
