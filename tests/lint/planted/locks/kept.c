/* SPDX-License-Identifier: BSD-3-Clause */
/* Planted: 'daxl_role_FILE' is still held at the end of function */
#include "planted/locks.h"

int daxl_planted(struct planted *p)
{
	daxl_mutex_lock(&p->file);
	return 0;
}
