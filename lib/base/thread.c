/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/thread.h"

#include <stdint.h>

_Thread_local unsigned daxl_thread_drawn;

unsigned daxl_thread_draw(void)
{
	static uint64_t next;
	const uint64_t once = 1u << 30;
	uint64_t n = __atomic_fetch_add(&next, 1, __ATOMIC_RELAXED);

	/* The first numbers are drawn once: who has one may own what it picks by it. */
	daxl_thread_drawn = (unsigned)(n < once ? n : once + n % once) + 1;
	return daxl_thread_drawn - 1;
}
