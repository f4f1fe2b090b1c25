/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/thread.h"

_Thread_local unsigned daxl_thread_drawn __attribute__((tls_model("initial-exec")));

unsigned daxl_thread_draw(void)
{
	static unsigned next;

	/* Never 0, also after 2^32 threads. */
	daxl_thread_drawn = __atomic_fetch_add(&next, 1, __ATOMIC_RELAXED) % (1u << 30) + 1;
	return daxl_thread_drawn - 1;
}
