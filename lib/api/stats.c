/* SPDX-License-Identifier: BSD-3-Clause */
/* <daxlayout/stats.h>. What is counted where is in base/tally.h and file/count.h; pins and lookups count nothing. */
#include <daxlayout/stats.h>

#include <errno.h>

#include "api/wall.h"

DAXL_API int daxl_stats(struct daxl_pool *pool, struct daxl_stats *ret)
{
	DAXL_NEED(pool);
	DAXL_NEED(ret);
	daxl_tally_read(pool->tally, ret);
	return 0;
}
