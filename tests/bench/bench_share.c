/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Sharing, exchange and check, through the public calls. "In order": block numbers rise with the file; "at random":
 * neighbours in the file are anywhere in the pool.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ops.h"
#include "peers.h"

#define FEW 16u
#define MANY 100000u
#define MOST 1000000u
#define POOL (UINT64_C(2) << 30)
#define CHECK_POOL (UINT64_C(6) << 30)
#define RUN_BYTES 16u /* of a run in a map */
#define GAP 2u

static struct daxl_pool *pool;

/* --- clone --- */

static struct op_file source, target;

static void clone(unsigned ops, const void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < ops; i++) {
		bench_start();
		bench_check(daxl_clone_range(source.file, 0, target.file, 0, 0, NULL));
		bench_stop();
		bench_check(daxl_truncate(target.file, 0, NULL));
		bench_check(daxl_pool_checkpoint(pool)); /* the log and the old nodes are not this batch's */
	}
}

static void copy(unsigned ops, const void *arg)
{
	static char from[MANY * RUN_BYTES], to[MANY * RUN_BYTES];

	(void)arg;
	for (unsigned i = 0; i < ops; i++) {
		from[i] = (char)i;
		bench_start();
		memcpy(to, from, sizeof(to));
		__asm__ volatile("" : : "r"(to) : "memory");
		limit_log_append();
		bench_stop();
	}
}

static void clones(void)
{
	static const struct peer_file xfs = { PEER_XFS, "10^5 runs", MANY, false };
	static const char what[] = "copy 16 B a run + append";
	static const struct bench_path paths[] = { {
		"clone 10^5 runs, in order", 1, clone, .limit = { .name = what, copy }, .ratio = 3,
		.peers = { { .name = "xfs reflink", peer_clone, &xfs, 20, 1, peer_file_missing } },
	}, {
		"clone 10^5 runs, at random", 1, clone, .limit = { .name = what, copy }, .ratio = 10,
		.peers = { { .name = "xfs reflink, in order", peer_clone, &xfs, 20, 1, peer_file_missing } },
	} };

	for (int shuffled = 0; shuffled < 2; shuffled++) {
		if (!bench_wants(paths[shuffled].name))
			continue;
		source = op_runs(pool, "source", MANY, GAP);
		if (shuffled)
			op_shuffle(&source, GAP);
		target = op_runs(pool, "target", 0, GAP);
		bench_run(&paths[shuffled]);
		op_end(&source, "source");
		op_end(&target, "target");
	}
}

/* --- exchange --- */

static struct op_file left, right;

/* Half of one file, from a quarter on, against the same of the other. */
static void exchange(unsigned ops, const void *arg)
{
	off_t quarter = (off_t)left.runs / 4 * OP_BYTES;

	(void)arg;
	bench_start();
	for (unsigned i = 0; i < ops; i++)
		bench_check(daxl_exchange_range(left.file, quarter, right.file, quarter, 2 * quarter, NULL));
	bench_stop();
}

static void exchanges(void)
{
	static const unsigned runs[] = { FEW, 1000, MANY };
	static const char append[] = "64-byte log append, fence";
	static const struct bench_path paths[] = {
		{ "exchange ranges, 16 runs", 16, exchange, .limit = { .name = append, limit_appends } },
		{ "exchange ranges, 10^3 runs", 16, exchange, .limit = { .name = append, limit_appends } },
		{ "exchange ranges, 10^5 runs", 16, exchange, .limit = { .name = append, limit_appends } },
	};

	for (size_t i = 0; i < BENCH_COUNT(paths); i++) {
		if (!bench_wants(paths[i].name))
			continue;
		left = op_runs(pool, "left", runs[i], GAP);
		right = op_runs(pool, "right", runs[i], GAP);
		bench_run(&paths[i]);
		op_end(&left, "left");
		op_end(&right, "right");
	}
}

/* --- check --- */

static char checked_path[64];
static uint64_t metadata_bytes; /* what a check has to read */
static char *metadata;
static volatile uint64_t sink;

static void make_checked(void)
{
	struct daxl_pool_stat stat;
	struct daxl_pool *checked;

	snprintf(checked_path, sizeof(checked_path), BENCH_DIR "/daxl_bench_check.%ld", (long)getpid());
	checked = bench_pool_at(checked_path, CHECK_POOL);
	bench_check(daxl_close(op_runs(checked, "runs", MOST, GAP).file));
	bench_check(daxl_pool_checkpoint(checked));
	bench_check(daxl_pool_stat(checked, &stat));
	bench_check(daxl_pool_close(checked));
	metadata_bytes = stat.checkpoint_pages * BENCH_BLOCK;
	metadata = bench_alloc(metadata_bytes);
	memset(metadata, 1, metadata_bytes);
}

static void check(unsigned ops, const void *arg)
{
	(void)ops;
	(void)arg;
	bench_start();
	bench_check(daxl_check(checked_path, 0, NULL, NULL));
	bench_stop();
}

static void sum(unsigned ops, const void *arg)
{
	(void)ops;
	(void)arg;
	bench_start();
	sink = limit_sum(metadata, metadata_bytes);
	bench_stop();
}

static void checks(void)
{
	static const struct bench_path path = {
		"check, a run of 10^6", MOST, check, .limit = { .name = "read + CRC of its pages", sum }, .batches = 5,
	};

	if (!bench_wants(path.name))
		return;
	make_checked();
	bench_run(&path);
	unlink(checked_path);
	free(metadata);
}

int main(int argc, char **argv)
{
	bench_init(argc, argv, "bench_share");
	pool = bench_pool(POOL, UINT64_C(64) << 20);
	clones();
	exchanges();
	checks();
	return bench_end();
}
