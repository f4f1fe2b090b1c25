/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A lock of one word for sections of a few stores, beneath which nothing else is locked, called or waited for (so it
 * has no rank): where a mutex would cost more than what it protects. Zero is free.
 */
#ifndef DAXL_BASE_SPIN_H
#define DAXL_BASE_SPIN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/role.h"

/* Between two looks at what another thread will change. */
static inline void daxl_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#endif
}

/* Returns when the lock was seen free: the slow half of daxl_spin_lock. */
void daxl_spin_wait(const uint32_t *lock);

static inline bool DAXL_TRIES(SPIN) DAXL_UNCHECKED daxl_spin_trylock(uint32_t *lock)
{
	return __atomic_exchange_n(lock, 1, __ATOMIC_ACQUIRE) == 0;
}

static inline void DAXL_LOCKS(SPIN) DAXL_UNCHECKED daxl_spin_lock(uint32_t *lock)
{
	while (daxl_unlikely(!daxl_spin_trylock(lock)))
		daxl_spin_wait(lock);
}

static inline void DAXL_UNLOCKS(SPIN) DAXL_UNCHECKED daxl_spin_unlock(uint32_t *lock)
{
	__atomic_store_n(lock, 0, __ATOMIC_RELEASE);
}

#endif
