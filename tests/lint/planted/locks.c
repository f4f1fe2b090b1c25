/* SPDX-License-Identifier: BSD-3-Clause */
/* Nothing wrong here: the pattern that each file of planted/locks breaks in one place. */
#include "planted/locks.h"

int daxl_planted(struct planted *p)
{
	daxl_mutex_lock(&p->file);
	daxl_mutex_lock(&p->range);
	int guarded = read_guarded(p);
	daxl_mutex_unlock(&p->range);
	takes_range(p);
	daxl_mutex_unlock(&p->file);
	waits();
	return guarded;
}
