/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The only door to liburcu (flavour bp: callers' threads need no registration).
 *
 *   daxl_rcu_read_lock(), daxl_rcu_read_unlock(), daxl_rcu_read_ongoing()   wait-free; nest
 *   daxl_rcu_deref(p)          loads what daxl_rcu_assign published, and everything stored before it
 *   daxl_rcu_assign(p, v)      publishes v: whoever loads it sees what was stored before
 *   daxl_rcu_synchronize()     waits a grace period; not inside a read section, no library lock held
 *
 * Read sections are inlined: 1 ns instead of 8. liburcu 0.13 does that for sources that declare themselves compatible
 * with the LGPL, which this licence is. Not under AddressSanitizer, which comes with UBSan: liburcu 0.13 places its
 * readers less aligned than it declares them.
 *
 * ThreadSanitizer sees no order in liburcu's own code. There the library is called, not inlined; publishing goes
 * through __atomic, which it does see; and the order that a grace period gives is declared: a read section's end
 * releases, and what has waited for a grace period acquires. Declaring more than that would hide real races.
 */
#ifndef DAXL_BASE_RCU_H
#define DAXL_BASE_RCU_H

#include <stdbool.h>

#include "base/compiler.h"

#if !DAXL_TSAN && !DAXL_ASAN && !defined(__clang_analyzer__) /* which cannot follow it into there */
#ifndef URCU_INLINE_SMALL_FUNCTIONS
#define URCU_INLINE_SMALL_FUNCTIONS /* liburcu from 0.14 */
#endif
#ifndef _LGPL_SOURCE
#define _LGPL_SOURCE /* liburcu 0.13 */
#endif
#endif
#include <urcu-bp.h>

#define daxl_rcu_deref(p) __atomic_load_n(&(p), __ATOMIC_ACQUIRE)
#define daxl_rcu_assign(p, v) __atomic_store_n(&(p), (v), __ATOMIC_RELEASE)

#if DAXL_TSAN

void daxl_rcu_read_lock(void);
void daxl_rcu_read_unlock(void);
void daxl_rcu_synchronize(void);

#else

static inline void daxl_rcu_read_lock(void)
{
	urcu_bp_read_lock();
}

static inline void daxl_rcu_read_unlock(void)
{
	urcu_bp_read_unlock();
}

static inline void daxl_rcu_synchronize(void)
{
	urcu_bp_synchronize_rcu();
}

#endif

static inline bool daxl_rcu_read_ongoing(void)
{
	return urcu_bp_read_ongoing() != 0;
}

#endif
