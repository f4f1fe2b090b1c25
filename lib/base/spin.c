/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/spin.h"

#include <sched.h>
#include <time.h>

void daxl_spin_wait(const uint32_t *lock)
{
	for (unsigned round = 0; __atomic_load_n(lock, __ATOMIC_RELAXED) != 0; round++) {
		if (round < 100) {
#if defined(__x86_64__) || defined(__i386__)
			__builtin_ia32_pause();
#endif
		} else if (round < 200) {
			sched_yield();
		} else {
			/* A holder of lower priority may be waiting for this very CPU. */
			const struct timespec nap = {.tv_nsec = 20000};

			nanosleep(&nap, NULL);
		}
	}
}
