/* SPDX-License-Identifier: BSD-3-Clause */
/* Writing, and names. */
#include "ops.h"
#include "paths.h"
#include "peers.h"

/* Blocks; with an arg, each with its append to a log. */
static void copies(unsigned ops, const void *arg)
{
	static uint64_t at;

	bench_start();
	for (unsigned i = 0; i < ops; i++) {
		limit_store_block(op_data(), at++);
		limit_fence();
		if (arg)
			limit_log_append();
	}
	bench_stop();
}

void paths_write(struct daxl_pool *pool)
{
	static const unsigned two = 2;
	static const bool append = true;
	static const struct peer_file ext4 = { .fs = PEER_EXT4, .name = "warm", .sync = true };
	static const struct peer_file tmpfs = { .fs = PEER_TMPFS, .name = "names", .runs = 1 };
	static const struct peer_file xfs = { .fs = PEER_XFS, .name = "names", .runs = 1, .sync = true };
	static struct op_file warm;
	static const struct bench_path paths[] = { {
		"overwrite 4 KiB", 256, op_overwrite, &warm,
		.limit = { .name = "non-temporal copy, fence", copies }, .ratio = 1.1,
		.peers = { { .name = "ext4, pwrite + fdatasync", peer_overwrite, &ext4, 20, 16, peer_file_missing } },
	}, {
		"append 4 KiB", OP_BATCH, op_append, &warm,
		.limit = { .name = "copy, fence, log append, fence", copies, &append }, .ratio = 1.5,
		.peers = { { .name = "ext4, pwrite + fsync", peer_append, &ext4, 30, 16, peer_file_missing },
			   { .name = "libpmemobj: allocate, write, link", peer_pmemobj_append, NULL, 3, 0,
			     peer_pmemobj_missing } },
	}, {
		"create + close + unlink", OP_BATCH, op_short_life, &warm,
		.limit = { .name = "two log appends, fences", limit_appends, &two }, .ratio = 2,
		.peers = { { .name = "tmpfs", peer_create, &tmpfs, 2, 0, peer_file_missing },
			   { .name = "xfs, each step with fsync", peer_create, &xfs, 30, 4, peer_file_missing } },
	} };

	warm = op_warm(pool, "warm");
	for (size_t i = 0; i < BENCH_COUNT(paths); i++)
		bench_run(&paths[i]);
	op_end(&warm, "warm");
}
