/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Mutexes with a rank. The lock order of the whole library is this enum: a
 * thread may take a lock only while every lock it holds has a lower rank (two
 * of the same rank only by daxl_mutex_lock_pair, lower address or id first, as the caller
 * orders them). Debug builds keep a per-thread stack of held ranks and abort
 * on a violation, naming both ranks.
 */
#ifndef DAXL_BASE_LOCK_H
#define DAXL_BASE_LOCK_H

#include <pthread.h>
#include <stdbool.h>

#include "base/compiler.h"
#include "base/role.h"

enum daxl_lock_rank {
	DAXL_RANK_POOL,       /* open, close, grow: the list of pools of this process */
	DAXL_RANK_CHECKPOINT, /* one checkpoint at a time; may be held while file mutexes are taken */
	DAXL_RANK_NAMES,      /* a shard of the name table */
	DAXL_RANK_FILE,       /* a file's mutex: its next version; lower file id first */
	DAXL_RANK_RANGE,      /* a file's range-lock mutex: queue, lease index; lower file id first */
	DAXL_RANK_BUCKET,     /* a wait bucket */
	DAXL_RANK_EVENTS,     /* a pool's event queue */
	DAXL_RANK_LOG,        /* log bookkeeping off the hot path */
	DAXL_RANK_SPACE,      /* an allocator shard, meta pages, limbo list */
	DAXL_RANK_SLAB,       /* node slab, leaf of the order */
	DAXL_RANK_COUNT
};

#ifndef DAXL_CHECK_LOCKS /* else base/role.h has a type for each rank, and these functions for each type */

struct daxl_mutex {
	pthread_mutex_t m;
	enum daxl_lock_rank rank;
};

void daxl_mutex_init(struct daxl_mutex *mutex, enum daxl_lock_rank rank);
void daxl_mutex_destroy(struct daxl_mutex *mutex);
_Noreturn void daxl_mutex_failed(int err); /* ends the process over what a pthread call gave */
bool daxl_mutex_trylock(struct daxl_mutex *mutex);
/* Two of one rank; first before second is the caller's promise (lower file id). first == second locks once. */
void daxl_mutex_lock_pair(struct daxl_mutex *first, struct daxl_mutex *second);
void daxl_mutex_unlock_pair(struct daxl_mutex *first, struct daxl_mutex *second);

#ifndef NDEBUG

void daxl_mutex_lock(struct daxl_mutex *mutex);
void daxl_mutex_unlock(struct daxl_mutex *mutex);
/* Aborts if this thread does not hold it. */
void daxl_mutex_assert_held(const struct daxl_mutex *mutex);
/* Aborts if this thread holds any library lock (before callbacks and waits, L8). */
void daxl_assert_no_locks(void);

#else /* ranks are not kept: pthread's own calls, inline */

static inline void daxl_mutex_lock(struct daxl_mutex *mutex)
{
	int err = pthread_mutex_lock(&mutex->m);

	if (daxl_unlikely(err != 0))
		daxl_mutex_failed(err);
}

static inline void daxl_mutex_unlock(struct daxl_mutex *mutex)
{
	int err = pthread_mutex_unlock(&mutex->m);

	if (daxl_unlikely(err != 0))
		daxl_mutex_failed(err);
}

static inline void daxl_mutex_assert_held(const struct daxl_mutex *mutex)
{
	(void)mutex;
}

static inline void daxl_assert_no_locks(void)
{
}

#endif

#endif

#endif
