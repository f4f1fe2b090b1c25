/* SPDX-License-Identifier: BSD-3-Clause */
/* Two locks in order, and functions that say what they want of them. */
#ifndef DAXL_PLANTED_LOCKS_H
#define DAXL_PLANTED_LOCKS_H

#include "base/lock.h"
#include "base/spin.h"

struct planted {
	DAXL_MUTEX(FILE) file, other;
	DAXL_MUTEX(RANGE) range;
	uint32_t spin;
	int guarded DAXL_GUARDED(RANGE);
};

int daxl_planted(struct planted *p);
void takes_range(struct planted *p) DAXL_TAKES(RANGE);
void waits(void) DAXL_WAITS;

static inline int DAXL_HOLDS(RANGE) read_guarded(const struct planted *p)
{
	return p->guarded;
}

#endif
