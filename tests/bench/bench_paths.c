/* SPDX-License-Identifier: BSD-3-Clause */
/* The paths that users wait for, one by one, through the public calls of the shared library. See README.md. */
#include "paths.h"

#define POOL (UINT64_C(4) << 30)
#define TOUCHED (UINT64_C(256) << 20) /* the log, and what the files with data come to lie in */

int main(int argc, char **argv)
{
	struct daxl_pool *pool;

	bench_init(argc, argv, "bench_paths");
	pool = bench_pool(POOL, TOUCHED);
	paths_lease(pool);
	paths_write(pool);
	paths_layout(pool);
	return bench_end();
}
