/* SPDX-License-Identifier: BSD-3-Clause */
/* Planted: reading variable 'guarded' requires holding lock 'daxl_role_RANGE' */
#include "planted/locks.h"

int daxl_planted(struct planted *p)
{
	if (p->guarded)
		return 1;
	return 0;
}
