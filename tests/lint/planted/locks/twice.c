/* SPDX-License-Identifier: BSD-3-Clause */
/* Planted: acquiring lock 'daxl_role_FILE' that is already held */
#include "planted/locks.h"

int daxl_planted(struct planted *p)
{
	daxl_mutex_lock(&p->file);
	daxl_mutex_lock(&p->other);
	daxl_mutex_unlock(&p->other);
	return 0;
}
