/* SPDX-License-Identifier: BSD-3-Clause */
/* Layout changes: of one block in files of few and of many runs, at the front, and of all at once. */
#include <stdio.h>

#include "ops.h"
#include "paths.h"
#include "peers.h"

#define FEW 16u
#define MANY 100000u
#define MOST 1000000u
#define PEER_BATCH 8u

/* Of a file of our own that is made anew for each; only the truncate is timed. */
static void truncate_all(unsigned ops, const void *arg)
{
	struct daxl_pool *pool = ((const struct op_file *)arg)->pool;

	for (unsigned i = 0; i < ops; i++) {
		struct op_file all = op_runs(pool, "all", MANY, OP_GAP);

		bench_check(daxl_pool_checkpoint(pool)); /* not in the time of the truncate */
		bench_start();
		bench_check(daxl_truncate(all.file, 0, NULL));
		bench_stop();
		op_end(&all, "all");
	}
}

static void one_block(struct op_file *of)
{
	static const struct {
		const char *name;
		bench_fn ours, peer;
	} kinds[] = {
		{ "punch one block", op_punch, peer_punch },
		{ "allocate one block", op_allocate, peer_allocate },
		{ "truncate by one block", op_truncate, peer_truncate },
	};
	const char *runs = of->runs == FEW ? "16 runs" : "10^6 runs";
	struct peer_file ext4 = { PEER_EXT4, runs, of->runs, false }, ext4_sync = { PEER_EXT4, runs, of->runs, true };
	struct peer_file xfs = { PEER_XFS, runs, of->runs, false }, xfs_sync = { PEER_XFS, runs, of->runs, true };
	char name[64];

	for (size_t i = 0; i < BENCH_COUNT(kinds); i++) {
		bench_fn peer = kinds[i].peer;
		struct bench_path path = {
			name, OP_BATCH, kinds[i].ours, of,
			.limit = { .name = "64-byte log append, fence", limit_appends },
			.ratio = of->runs == FEW ? 2.5 : 4,
			.peers = { { .name = "ext4", peer, &ext4, 2, PEER_BATCH, peer_file_missing },
				   { .name = "ext4 + fsync", peer, &ext4_sync, 20, PEER_BATCH, peer_file_missing },
				   { .name = "xfs", peer, &xfs, 2, PEER_BATCH, peer_file_missing },
				   { .name = "xfs + fsync", peer, &xfs_sync, 20, PEER_BATCH, peer_file_missing } },
		};

		snprintf(name, sizeof(name), "%s, %s", kinds[i].name, runs);
		bench_run(&path);
	}
	peer_file_forget(&ext4);
	peer_file_forget(&xfs);
}

static bool wants_blocks(const char *runs)
{
	static const char *const kinds[] = { "punch one block", "allocate one block", "truncate by one block" };
	bool any = false;
	char name[64];

	for (size_t i = 0; i < BENCH_COUNT(kinds); i++) {
		snprintf(name, sizeof(name), "%s, %s", kinds[i], runs);
		any |= bench_wants(name);
	}
	return any;
}

void paths_layout(struct daxl_pool *pool)
{
	static struct op_file few, many, most;
	static const struct peer_file ext4 = { PEER_EXT4, "10^5 runs", MANY, false };
	static const struct peer_file ext4_cut = { PEER_EXT4, "10^5 runs to cut", MANY, false };
	static const struct bench_path at_many[] = { {
		"collapse at the front, 10^5 runs", OP_BATCH, op_collapse, &many,
		.limit = { .name = "the same with 16 runs", op_collapse, &few }, .ratio = 1.6,
		.peers = { { .name = "ext4", peer_collapse, &ext4, 500, 1, peer_file_missing } },
	}, {
		"insert at the front, 10^5 runs", OP_BATCH, op_insert, &many,
		.limit = { .name = "the same with 16 runs", op_insert, &few }, .ratio = 1.6,
		.peers = { { .name = "ext4", peer_insert, &ext4, 500, 1, peer_file_missing } },
	} };
	static const struct bench_path all = {
		"truncate 10^5 runs to nothing", 1, truncate_all, &few,
		.limit = { .name = "64-byte log append, fence", limit_appends, .ops = OP_BATCH }, .ratio = 10,
		.peers = { { .name = "ext4", peer_truncate_all, &ext4_cut, 1000, 1, peer_file_missing } },
	};

	few = op_runs(pool, "few", FEW, OP_GAP);
	one_block(&few);
	if (bench_wants(at_many[0].name) || bench_wants(at_many[1].name)) {
		many = op_runs(pool, "many", MANY, OP_GAP);
		bench_run(&at_many[0]);
		bench_run(&at_many[1]);
		op_end(&many, "many");
	}
	bench_run(&all);
	if (wants_blocks("10^6 runs")) {
		most = op_runs(pool, "most", MOST, OP_GAP);
		one_block(&most);
		op_end(&most, "most");
	}
	op_end(&few, "few");
}
