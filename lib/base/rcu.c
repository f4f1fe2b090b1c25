/* SPDX-License-Identifier: BSD-3-Clause */
/* The ThreadSanitizer side of rcu.h: the same calls, with the order of grace periods declared. */
#include "base/rcu.h"

#if DAXL_TSAN

#include <sanitizer/tsan_interface.h>

static char grace_period; /* released by readers, acquired after a grace period */

void daxl_rcu_read_lock(void)
{
	urcu_bp_read_lock();
}

void daxl_rcu_read_unlock(void)
{
	__tsan_release(&grace_period);
	urcu_bp_read_unlock();
}

void daxl_rcu_synchronize(void)
{
	urcu_bp_synchronize_rcu();
	__tsan_acquire(&grace_period);
}

#else

typedef int daxl_rcu_is_inline; /* ISO C wants a declaration in each file */

#endif
