/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DRAM: bytes for each run, closed file, lease and unused block. Measured from outside, as the growth of the process's
 * anonymous memory, with what the allocator loses; each in a process of its own, so that none reuses another's.
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ops.h"

#define POOL (UINT64_C(9) << 28) /* little more than the runs need: checkpoints use the same pages again */
#define LARGE_POOL (UINT64_C(1) << 40)
#define RUNS 1000000u
#define FILES 100000u
#define LEASES 100000u
#define GAP 2u

static char path[96];

/* Anonymous memory, bytes: the pool's own, which is a shared mapping, is not in it. */
static double anonymous(void)
{
	long size, resident, shared;
	FILE *statm = fopen("/proc/self/statm", "r");

	malloc_trim(0);
	if (!statm || fscanf(statm, "%ld %ld %ld", &size, &resident, &shared) != 3)
		bench_die("/proc/self/statm");
	fclose(statm);
	return (double)(resident - shared) * (double)sysconf(_SC_PAGESIZE);
}

/* Until what was freed has had its grace period. */
static void settle(struct daxl_pool *pool)
{
	struct daxl_pool_stat stat;

	do {
		bench_check(daxl_pool_checkpoint(pool));
		bench_check(daxl_pool_stat(pool, &stat));
	} while (stat.pending_blocks > 0);
}

static void fill_runs(struct daxl_pool *pool)
{
	struct op_file of = op_runs(pool, "runs", RUNS, GAP);

	op_shuffle(&of, GAP);
	bench_check(daxl_close(of.file));
}

static void fill_files(struct daxl_pool *pool)
{
	for (unsigned i = 0; i < FILES; i++)
		bench_check(daxl_close(op_one_run(pool, i)));
}

static void fill_nothing(struct daxl_pool *pool)
{
	(void)pool;
}

/* What filling an empty pool adds. */
static double grown(uint64_t bytes, void (*fill)(struct daxl_pool *pool))
{
	struct daxl_pool *pool = bench_pool_at(path, bytes);
	double before = anonymous(), after;

	fill(pool);
	settle(pool);
	after = anonymous();
	bench_check(daxl_pool_close(pool));
	return after - before;
}

/* What opening a pool that was made by another process adds, beyond an empty one. */
static double loaded(void)
{
	double before = anonymous(), after;
	struct daxl_pool *pool;

	bench_check(daxl_pool_open(path, NULL, &pool));
	after = anonymous();
	bench_check(daxl_pool_close(pool));
	return after - before;
}

static double leases(void)
{
	struct daxl_pool *pool = bench_pool_at(path, POOL);
	struct op_file of = op_runs(pool, "leased", 2 * LEASES, GAP);
	struct daxl_lease **all = bench_alloc(LEASES * sizeof(all[0]));
	double before, after;

	memset(all, 1, LEASES * sizeof(all[0]));
	settle(pool);
	before = anonymous();
	for (unsigned i = 0; i < LEASES; i++)
		bench_check(daxl_lease_acquire(of.file, (off_t)i * GAP * OP_BYTES, OP_BYTES, NULL, &all[i]));
	after = anonymous();
	for (unsigned i = 0; i < LEASES; i++)
		daxl_lease_free(all[i]);
	free(all);
	op_end(&of, "leased");
	bench_check(daxl_pool_close(pool));
	return after - before;
}

/* The other process: prints one number. path is where the pool is, or is to be, and stays. */
static int measure(const char *what)
{
	double bytes;

	if (strcmp(what, "runs") == 0)
		bytes = grown(POOL, fill_runs);
	else if (strcmp(what, "files") == 0)
		bytes = grown(POOL, fill_files);
	else if (strcmp(what, "blocks") == 0)
		bytes = grown(LARGE_POOL, fill_nothing);
	else if (strcmp(what, "leases") == 0)
		bytes = leases();
	else
		bytes = loaded();
	printf("%.0f\n", bytes);
	return 0;
}

static void report(const char *name, const char *unit, double bytes, double things, double goal)
{
	const struct bench_figure figure = { unit, bytes / things, goal, 0 };

	bench_figures(name, &figure, 1);
}

/* Makes a pool with such things, opens it, and prints both. */
static void both(const char *kind, const char *name, const char *unit, double things, double goal)
{
	char option[32], loaded_name[64];

	snprintf(option, sizeof(option), "--measure-%s", kind);
	snprintf(loaded_name, sizeof(loaded_name), "%s, opened", name);
	if (!bench_wants(name) && !bench_wants(loaded_name))
		return;
	report(name, unit, bench_self(option, path), things, goal);
	report(loaded_name, unit, bench_self("--measure-loaded", path), things, goal);
	unlink(path);
}

static void remove_pool(void)
{
	unlink(path);
}

int main(int argc, char **argv)
{
	static const char option[] = "--measure-";
	static const char lease_name[] = "10^5 leases of a file", block_name[] = "empty pool of 1 TiB";

	if (argc == 3 && strncmp(argv[1], option, strlen(option)) == 0) {
		snprintf(path, sizeof(path), "%s", argv[2]);
		return measure(argv[1] + strlen(option));
	}
	bench_init(argc, argv, "bench_memory");
	snprintf(path, sizeof(path), BENCH_DIR "/daxl_bench.memory.%ld", (long)getpid());
	atexit(remove_pool);
	both("runs", "10^6 runs at random", "bytes a run", RUNS, 24);
	both("files", "10^5 closed files of one run", "bytes a file", FILES, 256);
	if (bench_wants(lease_name))
		report(lease_name, "bytes a lease", bench_self("--measure-leases", path), LEASES, 0);
	unlink(path);
	if (bench_wants(block_name))
		report(block_name, "bytes a block", bench_self("--measure-blocks", path), LARGE_POOL / BENCH_BLOCK, 0);
	return bench_end();
}
