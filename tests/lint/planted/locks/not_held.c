/* SPDX-License-Identifier: BSD-3-Clause */
/* Planted: calling function 'read_guarded' requires holding lock 'daxl_role_RANGE' */
#include "planted/locks.h"

int daxl_planted(struct planted *p)
{
	daxl_mutex_lock(&p->file);
	(void)read_guarded(p);
	daxl_mutex_unlock(&p->file);
	return 0;
}
