/* SPDX-License-Identifier: BSD-3-Clause */
/* Pools over memory, with all of the interface usable on them. */
#include <stdlib.h>

#include "api/wall.h"
#include "crash.h"

int pool_load(void *base, uint64_t size, struct daxl_pool **ret_pool)
{
	struct daxl_media *media;
	int rc;

	must(daxl_media_open_memory(base, size, false, &media));
	rc = daxl_pool_load_media(media, NULL, ret_pool);
	if (rc) {
		daxl_media_close(media);
		return rc;
	}
	return 0;
}

struct daxl_pool *pool_make(void *base, uint64_t size, const struct daxl_pool_opts *opts)
{
	struct daxl_media *media;
	struct daxl_pool *pool = NULL;

	must(daxl_media_open_memory(base, size, false, &media));
	must(daxl_pool_make_media(media, 0, opts, &pool));
	return pool;
}

void pool_crash(struct daxl_pool *pool)
{
	daxl_pool_abandon(pool);
}
