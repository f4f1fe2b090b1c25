/* SPDX-License-Identifier: BSD-3-Clause */
/* Planted: cannot call function 'waits' while lock 'daxl_role_FILE' is held */
#include "planted/locks.h"

int daxl_planted(struct planted *p)
{
	daxl_mutex_lock(&p->file);
	waits();
	daxl_mutex_unlock(&p->file);
	return 0;
}
