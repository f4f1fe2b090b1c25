/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Mutexes of one word, with a rank. There is one in every file, and a pthread_mutex_t would be a third of a file's memory. The lock order of the whole library is this enum: a
 * thread may take a lock only while every lock it holds has a lower rank (two
 * of the same rank only by daxl_mutex_lock_pair, lower address or id first, as the caller
 * orders them). Debug builds keep a per-thread stack of held ranks and abort
 * on a violation, naming both ranks.
 */
#ifndef DAXL_BASE_LOCK_H
#define DAXL_BASE_LOCK_H

#include <stdbool.h>
#include <stdint.h>

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
	uint32_t word; /* atomic: DAXL_MUTEX_* */
#ifndef NDEBUG
	enum daxl_lock_rank rank;
#endif
};
enum { DAXL_MUTEX_FREE, DAXL_MUTEX_HELD, DAXL_MUTEX_AWAITED /* held, and somebody may sleep */ };

void daxl_mutex_init(struct daxl_mutex *mutex, enum daxl_lock_rank rank);
void daxl_mutex_destroy(struct daxl_mutex *mutex);
bool daxl_mutex_trylock(struct daxl_mutex *mutex);
/* Two of one rank; first before second is the caller's promise (lower file id). first == second locks once. */
void daxl_mutex_lock_pair(struct daxl_mutex *first, struct daxl_mutex *second);
void daxl_mutex_unlock_pair(struct daxl_mutex *first, struct daxl_mutex *second);

/* The rest of lock and unlock, where there is another thread. */
void daxl_mutex_wait(struct daxl_mutex *mutex);
void daxl_mutex_wake(struct daxl_mutex *mutex);

static inline bool daxl_mutex_word_take(struct daxl_mutex *mutex)
{
	uint32_t word = DAXL_MUTEX_FREE;

	return daxl_likely(__atomic_compare_exchange_n(&mutex->word, &word, DAXL_MUTEX_HELD, false, __ATOMIC_ACQUIRE,
	                                               __ATOMIC_RELAXED));
}

static inline void daxl_mutex_word_lock(struct daxl_mutex *mutex)
{
	if (!daxl_mutex_word_take(mutex))
		daxl_mutex_wait(mutex);
}

static inline void daxl_mutex_word_unlock(struct daxl_mutex *mutex)
{
	if (daxl_unlikely(__atomic_exchange_n(&mutex->word, DAXL_MUTEX_FREE, __ATOMIC_RELEASE) == DAXL_MUTEX_AWAITED))
		daxl_mutex_wake(mutex);
}

#ifndef NDEBUG

void daxl_mutex_lock(struct daxl_mutex *mutex);
void daxl_mutex_unlock(struct daxl_mutex *mutex);
/* Aborts if this thread does not hold it. */
void daxl_mutex_assert_held(const struct daxl_mutex *mutex);
/* Aborts if this thread holds any library lock (before callbacks and waits, L8). */
void daxl_assert_no_locks(void);

#else /* ranks are not kept */

static inline void daxl_mutex_lock(struct daxl_mutex *mutex)
{
	daxl_mutex_word_lock(mutex);
}

static inline void daxl_mutex_unlock(struct daxl_mutex *mutex)
{
	daxl_mutex_word_unlock(mutex);
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
