/* SPDX-License-Identifier: BSD-3-Clause */
/* Planted: 'daxl_role_FILE' is not held on every path through here */
#include "planted/locks.h"

int daxl_planted(struct planted *p)
{
	if (p->spin)
		daxl_mutex_lock(&p->file);
	return 0;
}
