/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Lock roles: what clang's thread safety analysis is told, so that "the mutex is held" is checked by a compiler and not
 * only said. There is one role for each rank of daxl_lock_rank, in its order, and one for the spin words, which come
 * last. A mutex declared DAXL_MUTEX(FILE) gives whoever locks it the role FILE. So a thread has each role at most once,
 * which is the rule of the ranks (of two files, both are locked in one step).
 *
 * Roles are global because clang in C cannot name a lock that is a member beside what it guards. The price: the analysis
 * knows that a file's mutex is held, not which file's. daxl_mutex_assert_held knows.
 *
 * The words below are empty unless DAXL_CHECK_LOCKS is defined; then everything is compiled, and nothing can be linked.
 *
 *   DAXL_MUTEX(R)        the type of a mutex of rank R
 *   DAXL_GUARDED(R)      of a field: read and written with R held
 *   DAXL_HOLDS(R)        of a function: the caller holds R before and after
 *   DAXL_LOCKS(R), DAXL_UNLOCKS(R), DAXL_TRIES(R)    of a function: the caller holds R afterwards; before; if it is true
 *   DAXL_TAKES(R)        of a function: locks R, and perhaps what comes after it; the caller holds none of these
 *   DAXL_WAITS           of a function: may wait or call back; the caller holds nothing
 *   DAXL_ALONE           of a function: what it touches is nobody else's yet, or any more; no lock is needed
 *   DAXL_UNCHECKED       of a function: what it does cannot be said in these words; its comment says why
 */
#ifndef DAXL_BASE_ROLE_H
#define DAXL_BASE_ROLE_H

#ifndef DAXL_CHECK_LOCKS

#define DAXL_MUTEX(rank) struct daxl_mutex
#define DAXL_GUARDED(rank)
#define DAXL_HOLDS(rank)
#define DAXL_LOCKS(rank)
#define DAXL_UNLOCKS(rank)
#define DAXL_TRIES(rank)
#define DAXL_TAKES(rank)
#define DAXL_WAITS
#define DAXL_ALONE
#define DAXL_UNCHECKED

#else

struct __attribute__((capability("lock"))) daxl_role {
	char unused;
};

#define DAXL_ROLE_AFTER(before) __attribute__((acquired_after(daxl_role_##before)))
extern struct daxl_role daxl_role_POOL;
extern struct daxl_role daxl_role_CHECKPOINT DAXL_ROLE_AFTER(POOL);
extern struct daxl_role daxl_role_NAMES DAXL_ROLE_AFTER(CHECKPOINT);
extern struct daxl_role daxl_role_FILE DAXL_ROLE_AFTER(NAMES);
extern struct daxl_role daxl_role_RANGE DAXL_ROLE_AFTER(FILE);
extern struct daxl_role daxl_role_BUCKET DAXL_ROLE_AFTER(RANGE);
extern struct daxl_role daxl_role_EVENTS DAXL_ROLE_AFTER(BUCKET);
extern struct daxl_role daxl_role_LOG DAXL_ROLE_AFTER(EVENTS);
extern struct daxl_role daxl_role_SPACE DAXL_ROLE_AFTER(LOG);
extern struct daxl_role daxl_role_SLAB DAXL_ROLE_AFTER(SPACE);
extern struct daxl_role daxl_role_SPIN DAXL_ROLE_AFTER(SLAB);

#define DAXL_FROM_SPIN daxl_role_SPIN
#define DAXL_FROM_SLAB daxl_role_SLAB, DAXL_FROM_SPIN
#define DAXL_FROM_SPACE daxl_role_SPACE, DAXL_FROM_SLAB
#define DAXL_FROM_LOG daxl_role_LOG, DAXL_FROM_SPACE
#define DAXL_FROM_EVENTS daxl_role_EVENTS, DAXL_FROM_LOG
#define DAXL_FROM_BUCKET daxl_role_BUCKET, DAXL_FROM_EVENTS
#define DAXL_FROM_RANGE daxl_role_RANGE, DAXL_FROM_BUCKET
#define DAXL_FROM_FILE daxl_role_FILE, DAXL_FROM_RANGE
#define DAXL_FROM_NAMES daxl_role_NAMES, DAXL_FROM_FILE
#define DAXL_FROM_CHECKPOINT daxl_role_CHECKPOINT, DAXL_FROM_NAMES
#define DAXL_FROM_POOL daxl_role_POOL, DAXL_FROM_CHECKPOINT

#define DAXL_MUTEX(rank) struct daxl_mutex_##rank
#define DAXL_GUARDED(rank) __attribute__((guarded_by(daxl_role_##rank)))
#define DAXL_HOLDS(rank) __attribute__((requires_capability(daxl_role_##rank)))
#define DAXL_LOCKS(rank) __attribute__((acquire_capability(daxl_role_##rank)))
#define DAXL_UNLOCKS(rank) __attribute__((release_capability(daxl_role_##rank)))
#define DAXL_TRIES(rank) __attribute__((try_acquire_capability(1, daxl_role_##rank)))
#define DAXL_TAKES(rank) __attribute__((locks_excluded(DAXL_FROM_##rank)))
#define DAXL_WAITS __attribute__((locks_excluded(DAXL_FROM_POOL)))
#define DAXL_ALONE __attribute__((no_thread_safety_analysis))
#define DAXL_UNCHECKED __attribute__((no_thread_safety_analysis))

/* A type of mutex for each rank, and the functions of lock.h for it. */
#define DAXL_ROLE_FUNCTIONS(rank)                                                                                      \
	struct daxl_mutex_##rank {                                                                                     \
		char unused;                                                                                           \
	};                                                                                                             \
	void daxl_mutex_lock_##rank(struct daxl_mutex_##rank *mutex) DAXL_LOCKS(rank);                                 \
	void daxl_mutex_unlock_##rank(struct daxl_mutex_##rank *mutex) DAXL_UNLOCKS(rank);                             \
	_Bool daxl_mutex_trylock_##rank(struct daxl_mutex_##rank *mutex) DAXL_TRIES(rank);                             \
	void daxl_mutex_assert_held_##rank(const struct daxl_mutex_##rank *mutex) DAXL_HOLDS(rank);                    \
	void daxl_mutex_lock_pair_##rank(struct daxl_mutex_##rank *a, struct daxl_mutex_##rank *b) DAXL_LOCKS(rank);   \
	void daxl_mutex_unlock_pair_##rank(struct daxl_mutex_##rank *a, struct daxl_mutex_##rank *b) DAXL_UNLOCKS(rank)

DAXL_ROLE_FUNCTIONS(POOL);
DAXL_ROLE_FUNCTIONS(CHECKPOINT);
DAXL_ROLE_FUNCTIONS(NAMES);
DAXL_ROLE_FUNCTIONS(FILE);
DAXL_ROLE_FUNCTIONS(RANGE);
DAXL_ROLE_FUNCTIONS(BUCKET);
DAXL_ROLE_FUNCTIONS(EVENTS);
DAXL_ROLE_FUNCTIONS(LOG);
DAXL_ROLE_FUNCTIONS(SPACE);
DAXL_ROLE_FUNCTIONS(SLAB);

/* what ## R for the rank R of mutex */
#define DAXL_BY_RANK(mutex, what)                                                                                      \
	_Generic((mutex), struct daxl_mutex_POOL *: what##POOL, struct daxl_mutex_CHECKPOINT *: what##CHECKPOINT,      \
	         struct daxl_mutex_NAMES *: what##NAMES, struct daxl_mutex_FILE *: what##FILE,                         \
	         struct daxl_mutex_RANGE *: what##RANGE, struct daxl_mutex_BUCKET *: what##BUCKET,                     \
	         struct daxl_mutex_EVENTS *: what##EVENTS, struct daxl_mutex_LOG *: what##LOG,                         \
	         struct daxl_mutex_SPACE *: what##SPACE, struct daxl_mutex_SLAB *: what##SLAB)

#define daxl_mutex_lock(mutex) DAXL_BY_RANK(mutex, daxl_mutex_lock_)(mutex)
#define daxl_mutex_unlock(mutex) DAXL_BY_RANK(mutex, daxl_mutex_unlock_)(mutex)
#define daxl_mutex_trylock(mutex) DAXL_BY_RANK(mutex, daxl_mutex_trylock_)(mutex)
#define daxl_mutex_lock_pair(a, b) DAXL_BY_RANK(a, daxl_mutex_lock_pair_)(a, b)
#define daxl_mutex_unlock_pair(a, b) DAXL_BY_RANK(a, daxl_mutex_unlock_pair_)(a, b)
#define daxl_mutex_assert_held(mutex) DAXL_BY_RANK(mutex, daxl_mutex_assert_held_)(mutex)
/* The rank that it is given must be the one that it was declared with. */
#define daxl_mutex_init(mutex, rank) ((void)sizeof(char[DAXL_BY_RANK(mutex, DAXL_RANK_) == (rank) ? 1 : -1]))
#define daxl_mutex_destroy(mutex) ((void)(mutex))
void daxl_assert_no_locks(void) DAXL_WAITS;

#endif

#endif
