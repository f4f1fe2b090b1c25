/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/spin.h"

#include <sched.h>
#include <time.h>

void daxl_spin_wait(const uint32_t *lock)
{
	for (unsigned round = 0; __atomic_load_n(lock, __ATOMIC_RELAXED) != 0; round++) {
		if (round < 100) {
			daxl_relax();
		} else if (round < 200) {
			sched_yield();
		} else {
			/* A holder of lower priority may be waiting for this very CPU. */
			const struct timespec nap = {.tv_nsec = 20000};

			nanosleep(&nap, NULL);
		}
	}
}
