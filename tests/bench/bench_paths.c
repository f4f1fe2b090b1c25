/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The paths that users wait for, one by one, through the public calls, against the limit. See README.md in this folder.
 *
 * Files of many runs have one written block, then a hole, over and over. What a batch changes it puts back, untimed,
 * so that every batch finds the file with as many runs as the one before.
 */
#include <pthread.h>
#include <string.h>

#include "harness.h"

#define BLOCK ((off_t)BENCH_BLOCK)
#define GAP 64u            /* blocks from one written block to the next */
#define FEW 16u            /* runs */
#define MANY 100000u
#define BATCH 32u          /* layout operations; they fit into one gap */
#define PUNCH (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)

static struct daxl_pool *pool;
static char data[BATCH * BENCH_BLOCK];

static struct daxl_file *open_new(const char *name)
{
	struct daxl_file *file;

	bench_check(daxl_open(pool, name, O_RDWR | O_CREAT | O_EXCL, &file));
	return file;
}

static void write_block(struct daxl_file *file, off_t block)
{
	bench_check(daxl_pwrite(file, data, BENCH_BLOCK, block * BLOCK));
}

static struct daxl_file *open_runs(const char *name, unsigned runs)
{
	struct daxl_file *file = open_new(name);

	for (unsigned i = 0; i < runs / 2; i++)
		write_block(file, (off_t)i * GAP);
	bench_check(daxl_truncate(file, (off_t)(runs / 2) * GAP * BLOCK, NULL));
	return file;
}

/* --- pin and unpin, acquire and return --- */

static struct daxl_file *small;
static struct daxl_lease *lease;

static void pin_ours(unsigned ops)
{
	bench_start();
	for (unsigned i = 0; i < ops; i++) {
		bench_check(daxl_lease_pin(lease));
		daxl_lease_unpin(lease);
	}
	bench_stop();
}

static void pin_limit(unsigned ops)
{
	static _Alignas(64) uint64_t word[8];

	bench_start();
	for (unsigned i = 0; i < ops; i++) {
		(void)__atomic_fetch_add(&word[0], 1, __ATOMIC_SEQ_CST);
		(void)__atomic_fetch_sub(&word[0], 1, __ATOMIC_SEQ_CST);
	}
	bench_stop();
}

static void acquire_ours(unsigned ops)
{
	struct daxl_lease *one;

	bench_start();
	for (unsigned i = 0; i < ops; i++) {
		bench_check(daxl_lease_acquire(small, 0, BLOCK, NULL, &one));
		bench_check(daxl_lease_return(one));
		daxl_lease_free(one);
	}
	bench_stop();
}

static void acquire_limit(unsigned ops)
{
	static pthread_mutex_t a = PTHREAD_MUTEX_INITIALIZER, b = PTHREAD_MUTEX_INITIALIZER;

	bench_start();
	for (unsigned i = 0; i < ops; i++) {
		pthread_mutex_lock(&a);
		pthread_mutex_unlock(&a);
		pthread_mutex_lock(&b);
		pthread_mutex_unlock(&b);
	}
	bench_stop();
}

static void leases(void)
{
	static const struct bench_path pin = { "pin + unpin", "two atomic adds", pin_ours, pin_limit, 10000, 2 };
	static const struct bench_path acquire = { "acquire + return", "two mutex lock/unlock", acquire_ours,
		                                   acquire_limit, 1000, 0 };

	small = open_new("small");
	write_block(small, 0);
	bench_check(daxl_lease_acquire(small, 0, BLOCK, NULL, &lease));
	bench_run(&pin);
	daxl_lease_free(lease);
	bench_run(&acquire);
	bench_check(daxl_close(small));
}

/* --- writing --- */

#define WARM 1024u /* blocks that are overwritten */

static struct daxl_file *warm;

static void overwrite_ours(unsigned ops)
{
	static uint64_t at;

	bench_start();
	for (unsigned i = 0; i < ops; i++, at++)
		bench_check(daxl_pwrite(warm, data, BENCH_BLOCK, (off_t)(at % WARM) * BLOCK));
	bench_stop();
}

static void overwrite_limit(unsigned ops)
{
	static uint64_t at;

	bench_start();
	for (unsigned i = 0; i < ops; i++) {
		limit_store_block(data, at++);
		limit_fence();
	}
	bench_stop();
}

/* Behind the blocks that are overwritten; the batch is cut off again. */
static void append_ours(unsigned ops)
{
	bench_start();
	for (unsigned i = 0; i < ops; i++)
		bench_check(daxl_pwrite(warm, data, BENCH_BLOCK, (off_t)(WARM + i) * BLOCK));
	bench_stop();
	bench_check(daxl_truncate(warm, WARM * BLOCK, NULL));
}

static void append_limit(unsigned ops)
{
	static uint64_t at;

	bench_start();
	for (unsigned i = 0; i < ops; i++) {
		limit_store_block(data, at++);
		limit_fence();
		limit_log_append();
	}
	bench_stop();
}

static void writes(void)
{
	static const struct bench_path overwrite = { "overwrite 4 KiB", "non-temporal copy, fence", overwrite_ours,
		                                     overwrite_limit, 256, 1.2 };
	static const struct bench_path append = { "append 4 KiB", "copy, fence, log append, fence", append_ours,
		                                  append_limit, BATCH, 0 };

	warm = open_new("warm");
	for (off_t i = 0; i < WARM; i++)
		write_block(warm, i);
	bench_run(&overwrite);
	bench_run(&append);
	bench_check(daxl_close(warm));
}

/* --- layout changes of one block, in files of few and of many runs --- */

static struct daxl_file *few, *many, *file; /* file: the one the path is about */
static unsigned file_runs;

static void log_limit(unsigned ops)
{
	bench_start();
	for (unsigned i = 0; i < ops; i++)
		limit_log_append();
	bench_stop();
}

/* The first block of some gap's hole. */
static off_t some_gap(void)
{
	return (off_t)(bench_random() % (file_runs / 2)) * GAP + 1;
}

static void punch_ours(unsigned ops)
{
	off_t at = some_gap();

	bench_check(daxl_pwrite(file, data, ops * BENCH_BLOCK, at * BLOCK));
	bench_start();
	for (unsigned i = 0; i < ops; i++)
		bench_check(daxl_fallocate(file, PUNCH, (at + i) * BLOCK, BLOCK, NULL));
	bench_stop();
}

static void allocate_ours(unsigned ops)
{
	off_t at = some_gap();

	bench_start();
	for (unsigned i = 0; i < ops; i++)
		bench_check(daxl_fallocate(file, 0, (at + i) * BLOCK, BLOCK, NULL));
	bench_stop();
	bench_check(daxl_fallocate(file, PUNCH, at * BLOCK, ops * BLOCK, NULL));
}

static void truncate_ours(unsigned ops)
{
	off_t end = (off_t)(file_runs / 2) * GAP;

	bench_check(daxl_pwrite(file, data, ops * BENCH_BLOCK, end * BLOCK));
	bench_start();
	for (unsigned i = ops; i > 0; i--)
		bench_check(daxl_truncate(file, (end + i - 1) * BLOCK, NULL));
	bench_stop();
}

static void lookup_ours(unsigned ops)
{
	struct daxl_extent extent;
	uint64_t blocks = (uint64_t)(file_runs / 2) * GAP;

	bench_start();
	for (unsigned i = 0; i < ops; i++)
		bench_check(daxl_map(file, (off_t)(bench_random() % blocks) * BLOCK, BLOCK, &extent, 1));
	bench_stop();
}

/* A load from a table with 8 bytes a block, at an index that depends on the load before. */
static void lookup_limit(unsigned ops)
{
	static uint64_t table[MANY / 2 * GAP];
	static uint64_t sum;
	uint64_t blocks = (uint64_t)(file_runs / 2) * GAP;

	if (table[0] == 0) /* memory of its own, not one page of zeroes */
		for (uint64_t i = 0; i < MANY / 2 * GAP; i++)
			table[i] = i + 1;
	bench_start();
	for (unsigned i = 0; i < ops; i++)
		sum = table[(bench_random() + sum) % blocks];
	bench_stop();
}

/* The front of a file: block after block of data is taken out, and all put back. */
static void collapse_front(struct daxl_file *from, unsigned ops)
{
	bench_check(daxl_fallocate(from, FALLOC_FL_INSERT_RANGE, 0, ops * BLOCK, NULL));
	bench_check(daxl_pwrite(from, data, ops * BENCH_BLOCK, 0));
	bench_start();
	for (unsigned i = 0; i < ops; i++)
		bench_check(daxl_fallocate(from, FALLOC_FL_COLLAPSE_RANGE, 0, BLOCK, NULL));
	bench_stop();
}

static void collapse_many(unsigned ops)
{
	collapse_front(many, ops);
}

static void collapse_few(unsigned ops)
{
	collapse_front(few, ops);
}

static void insert_front(struct daxl_file *into, unsigned ops)
{
	bench_start();
	for (unsigned i = 0; i < ops; i++)
		bench_check(daxl_fallocate(into, FALLOC_FL_INSERT_RANGE, 0, BLOCK, NULL));
	bench_stop();
	bench_check(daxl_fallocate(into, FALLOC_FL_COLLAPSE_RANGE, 0, ops * BLOCK, NULL));
}

static void insert_many(unsigned ops)
{
	insert_front(many, ops);
}

static void insert_few(unsigned ops)
{
	insert_front(few, ops);
}

static void layout_of(struct daxl_file *which, unsigned runs, const struct bench_path *paths, size_t n)
{
	file = which;
	file_runs = runs;
	for (size_t i = 0; i < n; i++)
		bench_run(&paths[i]);
}

static void layout(void)
{
	static const char log_append[] = "64-byte log append, fence", table[] = "load from a flat table";
	static const struct bench_path at_few[] = {
		{ "punch one block, 16 runs", log_append, punch_ours, log_limit, BATCH, 4 },
		{ "allocate one block, 16 runs", log_append, allocate_ours, log_limit, BATCH, 4 },
		{ "truncate by one block, 16 runs", log_append, truncate_ours, log_limit, BATCH, 4 },
		{ "map one block, 16 runs", table, lookup_ours, lookup_limit, 10000, 0 },
	}, at_many[] = {
		{ "punch one block, 10^5 runs", log_append, punch_ours, log_limit, BATCH, 4 },
		{ "allocate one block, 10^5 runs", log_append, allocate_ours, log_limit, BATCH, 4 },
		{ "truncate by one block, 10^5 runs", log_append, truncate_ours, log_limit, BATCH, 4 },
		{ "map one block, 10^5 runs", table, lookup_ours, lookup_limit, 10000, 0 },
	};
	static const struct bench_path collapse = { "collapse at the front, 10^5 runs", "the same with 16 runs",
		                                    collapse_many, collapse_few, BATCH, 2 };
	static const struct bench_path insert = { "insert at the front, 10^5 runs", "the same with 16 runs",
		                                  insert_many, insert_few, BATCH, 0 };

	few = open_runs("few", FEW);
	many = open_runs("many", MANY);
	layout_of(few, FEW, at_few, sizeof(at_few) / sizeof(at_few[0]));
	layout_of(many, MANY, at_many, sizeof(at_many) / sizeof(at_many[0]));
	bench_run(&collapse);
	bench_run(&insert);
	bench_check(daxl_close(few));
	bench_check(daxl_close(many));
}

/* --- names --- */

static void create_ours(unsigned ops)
{
	struct daxl_file *one;

	bench_start();
	for (unsigned i = 0; i < ops; i++) {
		bench_check(daxl_open(pool, "one", O_RDWR | O_CREAT | O_EXCL, &one));
		bench_check(daxl_close(one));
		bench_check(daxl_unlink(pool, "one"));
	}
	bench_stop();
}

static void create_limit(unsigned ops)
{
	bench_start();
	for (unsigned i = 0; i < ops; i++) {
		limit_log_append();
		limit_log_append();
	}
	bench_stop();
}

static void names(void)
{
	static const struct bench_path create = { "create + close + unlink", "two log appends, fences", create_ours,
		                                  create_limit, BATCH, 0 };

	bench_run(&create);
}

int main(int argc, char **argv)
{
	memset(data, 0x5a, sizeof(data));
	pool = bench_init(argc, argv, "bench_paths", (uint64_t)512 << 20);
	leases();
	writes();
	layout();
	names();
	return bench_end();
}
