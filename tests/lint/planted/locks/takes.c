/* SPDX-License-Identifier: BSD-3-Clause */
/* Planted: cannot call function 'takes_range' while lock 'daxl_role_RANGE' is held */
#include "planted/locks.h"

int daxl_planted(struct planted *p)
{
	daxl_mutex_lock(&p->range);
	takes_range(p);
	daxl_mutex_unlock(&p->range);
	return 0;
}
