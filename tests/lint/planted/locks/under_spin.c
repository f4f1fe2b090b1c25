/* SPDX-License-Identifier: BSD-3-Clause */
/* Planted: lock 'daxl_role_RANGE' must be acquired before 'daxl_role_SPIN' */
#include "planted/locks.h"

int daxl_planted(struct planted *p)
{
	daxl_spin_lock(&p->spin);
	daxl_mutex_lock(&p->range);
	daxl_mutex_unlock(&p->range);
	daxl_spin_unlock(&p->spin);
	return 0;
}
