/* SPDX-License-Identifier: BSD-3-Clause */
/* Planted: requires holding lock 'daxl_role_FILE' */
#include "planted/locks.h"

int daxl_planted(struct planted *p)
{
	daxl_mutex_assert_held(&p->file);
	return 0;
}
