/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Opening a pool with many runs or many files: closed cleanly, and after a crash. The limit is mapping, reading and
 * summing as many bytes of the medium as the pool has metadata. The crash is a process of its own, which opens the
 * pool, changes something and ends without closing.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ops.h"

#define POOL (UINT64_C(8) << 30)
#define RUNS 1000000u
#define GAP 2u
#define CHANGES 1000u /* made before the crash */

static char path[64];
static uint64_t metadata_bytes; /* which opening has to read */
static int metadata_fd; /* as many bytes on the medium */
static volatile uint64_t sink;

static struct daxl_pool *open_pool(void)
{
	struct daxl_pool *pool;

	bench_check(daxl_pool_open(path, NULL, &pool));
	return pool;
}

static void remove_pool(void)
{
	unlink(path);
}

/* Closes what was made, and looks how large it is. */
static void end(struct daxl_pool *pool)
{
	struct daxl_pool_stat stat;

	bench_check(daxl_pool_checkpoint(pool));
	bench_check(daxl_pool_stat(pool, &stat));
	bench_check(daxl_pool_close(pool));
	metadata_bytes = stat.checkpoint_pages * BENCH_BLOCK;
	bench_memory_end(bench_memory(metadata_bytes, &metadata_fd), metadata_bytes);
}

static void make_runs(unsigned n)
{
	struct daxl_pool *pool = bench_pool_at(path, POOL);

	bench_check(daxl_close(op_runs(pool, "runs", n, GAP).file));
	end(pool);
}

static void make_files(unsigned n)
{
	struct daxl_pool *pool = bench_pool_at(path, POOL);

	for (unsigned i = 0; i < n; i++)
		bench_check(daxl_close(op_one_run(pool, i)));
	end(pool);
}

static void open_clean(unsigned ops, const void *arg)
{
	struct daxl_pool *pool;

	(void)ops;
	(void)arg;
	bench_start();
	pool = open_pool();
	bench_stop();
	bench_check(daxl_pool_close(pool));
}

static void open_crashed(unsigned ops, const void *arg)
{
	(void)bench_self("--crash", path);
	open_clean(ops, arg);
}

/* Mapped anew each time, as a pool is when it is opened. */
static void sum(unsigned ops, const void *arg)
{
	char *bytes;

	(void)ops;
	(void)arg;
	bench_start();
	bytes = mmap(NULL, metadata_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, metadata_fd, 0);
	if (bytes == MAP_FAILED)
		bench_die("mmap");
	sink = limit_sum(bytes, metadata_bytes);
	bench_stop();
	bench_memory_end(bytes, metadata_bytes);
}

/* The other process. */
static int crash(const char *where)
{
	struct daxl_pool *pool;
	struct daxl_file *file;

	snprintf(path, sizeof(path), "%s", where);
	pool = open_pool();
	bench_check(daxl_open(pool, "crashed", O_RDWR | O_CREAT, &file));
	for (unsigned i = 0; i < CHANGES; i++)
		bench_check(daxl_fallocate(file, i % 2 ? OP_PUNCH : 0, 0, OP_BYTES, NULL));
	printf("0\n");
	fflush(stdout);
	_exit(0);
}

static void opens(const char *what, unsigned n, void (*make)(unsigned n), double clean_ratio, double crash_ns)
{
	char clean_name[64], crash_name[64];
	static const char limit[] = "map, read, CRC as many bytes";
	const struct bench_path paths[] = {
		{ clean_name, n, open_clean, .limit = { .name = limit, sum }, .ratio = clean_ratio },
		{ crash_name, n, open_crashed, .limit = { .name = limit, sum }, .most_ns = crash_ns },
	};

	snprintf(clean_name, sizeof(clean_name), "open, %s, clean", what);
	snprintf(crash_name, sizeof(crash_name), "open, %s, after a crash", what);
	if (!bench_wants(clean_name) && !bench_wants(crash_name))
		return;
	make(n);
	for (size_t i = 0; i < BENCH_COUNT(paths); i++)
		bench_run(&paths[i]);
	close(metadata_fd);
	unlink(path);
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "--crash") == 0)
		return crash(argv[2]);
	bench_init(argc, argv, "bench_open");
	snprintf(path, sizeof(path), BENCH_DIR "/daxl_bench.open.%ld", (long)getpid());
	atexit(remove_pool);
	opens("10^6 runs", RUNS, make_runs, 2, 60);
	opens("10^5 files", 100000, make_files, 0, 0);
	if (bench_long())
		opens("10^6 files", 1000000, make_files, 0, 0);
	return bench_end();
}
