/* SPDX-License-Identifier: BSD-3-Clause */
/* Planted: lock 'daxl_role_FILE' must be acquired before 'daxl_role_RANGE' */
#include "planted/locks.h"

int daxl_planted(struct planted *p)
{
	daxl_mutex_lock(&p->range);
	daxl_mutex_lock(&p->file);
	daxl_mutex_unlock(&p->file);
	daxl_mutex_unlock(&p->range);
	return 0;
}
