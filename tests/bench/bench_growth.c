/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How operations grow: with the runs of the file, with the files of the pool, and with the size of the pool. Each point
 * is a median, ns an operation. tests/bench/plot draws the curves.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ops.h"

#define POOL (UINT64_C(4) << 30)
#define LONG_POOL (UINT64_C(32) << 30)

static struct daxl_pool *pool;

/* --- by runs --- */

static struct op_file target; /* of clones */

struct curve {
	const char *name;
	bench_fn fn;
	unsigned ops;
};

static const struct curve by_runs[] = {
	{ "daxl_map of a block", op_map, 2000 },
	{ "punch a block", op_punch, OP_BATCH },
	{ "allocate a block", op_allocate, OP_BATCH },
	{ "truncate by a block", op_truncate, OP_BATCH },
	{ "collapse at the front", op_collapse, OP_BATCH },
	{ "insert at the front", op_insert, OP_BATCH },
	{ "clone a block", op_clone, OP_BATCH },
};

#define RUN_SIZES 7u

static void runs(void)
{
	static const unsigned sizes[RUN_SIZES] = { 16, 100, 1000, 10000, 100000, 1000000, 10000000 };
	double ns[BENCH_COUNT(by_runs)][RUN_SIZES] = { { 0 } };
	unsigned n = bench_long() ? RUN_SIZES : RUN_SIZES - 1;
	bool any = false;

	for (size_t i = 0; i < BENCH_COUNT(by_runs); i++)
		any |= bench_wants(by_runs[i].name);
	for (unsigned s = 0; any && s < n; s++) {
		struct op_file of = op_runs(pool, "runs", sizes[s], OP_GAP);

		of.target = &target;
		for (size_t i = 0; i < BENCH_COUNT(by_runs); i++)
			if (bench_wants(by_runs[i].name))
				ns[i][s] = bench_time(by_runs[i].fn, by_runs[i].ops, &of).median;
		op_end(&of, "runs");
	}
	for (size_t i = 0; i < BENCH_COUNT(by_runs); i++)
		for (unsigned s = 0; bench_wants(by_runs[i].name) && s < n; s++)
			bench_point(by_runs[i].name, "runs", sizes[s], ns[i][s]);
}

/* --- by files --- */

static unsigned files_now;

static const char *file_name(unsigned i)
{
	static char name[32];

	snprintf(name, sizeof(name), "f%07u", i);
	return name;
}

static void open_and_close(unsigned ops, const void *arg)
{
	struct daxl_file *one;

	(void)arg;
	bench_start();
	for (unsigned i = 0; i < ops; i++) {
		bench_check(daxl_open(pool, file_name((unsigned)(bench_random() % files_now)), O_RDWR, &one));
		bench_check(daxl_close(one));
	}
	bench_stop();
}

static const struct curve by_files[] = {
	{ "create, close and unlink", op_short_life, OP_BATCH },
	{ "open and close", open_and_close, 500 },
};

static void files(void)
{
	unsigned most = bench_long() ? 1000000 : 100000;
	const struct op_file any = { .pool = pool };

	for (size_t i = 0; i < BENCH_COUNT(by_files); i++) {
		if (!bench_wants(by_files[i].name))
			continue;
		files_now = 0;
		for (unsigned n = 1; n <= most; n *= 10) {
			for (; files_now < n; files_now++)
				bench_check(daxl_close(op_create(pool, file_name(files_now))));
			bench_point(by_files[i].name, "files", n,
			            bench_time(by_files[i].fn, by_files[i].ops, &any).median);
		}
		while (files_now > 0)
			bench_check(daxl_unlink(pool, file_name(--files_now)));
	}
}

/* --- by size of the pool --- */

static void pools(void)
{
	static const char name[] = "punch a block, 16 runs";
	struct daxl_pool_opts opts = DAXL_POOL_OPTS_INIT;
	char path[64];

	opts.flags = DAXL_POOL_SPARSE;
	opts.log_size = UINT64_C(1) << 20; /* the same in all of them; the default grows with the pool */
	snprintf(path, sizeof(path), BENCH_DIR "/daxl_bench.size.%ld", (long)getpid());
	for (uint64_t size = UINT64_C(64) << 20; bench_wants(name) && size <= UINT64_C(16) << 40; size *= 8) {
		struct daxl_pool *sized;
		struct op_file of;

		bench_check(daxl_pool_create(path, size, &opts, &sized));
		unlink(path);
		of = op_runs(sized, "runs", 16, OP_GAP);
		bench_point(name, "bytes of pool", (double)size, bench_time(op_punch, OP_BATCH, &of).median);
		op_end(&of, "runs");
		bench_check(daxl_pool_close(sized));
	}
}

int main(int argc, char **argv)
{
	bench_init(argc, argv, "bench_growth");
	pool = bench_pool(bench_long() ? LONG_POOL : POOL, UINT64_C(64) << 20);
	target = op_runs(pool, "target", 0, OP_GAP);
	runs();
	files();
	pools();
	op_end(&target, "target");
	return bench_end();
}
