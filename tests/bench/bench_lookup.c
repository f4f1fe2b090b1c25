/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Looking a block up: the rope inside an RCU read section, as every operation of the library does it, and daxl_map.
 * The limit is a flat table of 8 bytes a block. "Dependent": the next place comes from the last answer, so that the
 * time is that of one lookup from begin to end; otherwise lookups may overlap. Runs are one block long, which makes the
 * table as small as it can be.
 */
#include <pthread.h>

#include "file/file.h"
#include "ops.h"
#include "peers.h"

#define FEW 128u
#define MOST 1000000u
#define PLACES 20000u /* of a batch */

struct set {
	struct op_file of;
	uint64_t *table;         /* block by file block */
	struct daxl_run *sorted; /* by file block, each with blk as in the table */
	uint64_t *starts;        /* of these */
};

static struct set few, most;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static volatile uint64_t sink;

static uint64_t look(const struct set *set, uint64_t at)
{
	struct daxl_run run;

	daxl_rcu_read_lock();
	daxl_rope_lookup(daxl_version_get(set->of.file->ino)->root, at, &run);
	daxl_rcu_read_unlock();
	return run.blk;
}

/* After the pool is made the file's blocks do not change, so the copies stay right. */
static void make(struct set *set, struct daxl_pool *pool, const char *name, unsigned runs)
{
	set->of = op_runs(pool, name, runs, 2);
	set->table = bench_alloc(runs * sizeof(set->table[0]));
	set->sorted = bench_alloc(runs * sizeof(set->sorted[0]));
	set->starts = bench_alloc(runs * sizeof(set->starts[0]));
	for (unsigned i = 0; i < runs; i++) {
		set->starts[i] = i;
		set->sorted[i].len = 1;
		set->table[i] = set->sorted[i].blk = look(set, i);
	}
}

/* Other places for each batch: what the last one brought into the caches is of no more use than by chance. */
static const uint64_t *new_places(const struct set *set, unsigned ops)
{
	static _Thread_local uint64_t places[PLACES];

	for (unsigned i = 0; i < ops; i++)
		places[i] = bench_random() % set->of.runs;
	return places;
}

/* 0, but nobody can know before blk is there. */
static uint64_t nothing(uint64_t blk)
{
	return blk >> 63;
}

static void rope(unsigned ops, const void *arg)
{
	const struct set *set = arg;
	const uint64_t *place = new_places(set, ops);
	uint64_t sum = 0;

	bench_start();
	for (unsigned i = 0; i < ops; i++)
		sum += look(set, place[i]);
	bench_stop();
	sink = sum;
}

static void rope_dependent(unsigned ops, const void *arg)
{
	const struct set *set = arg;
	const uint64_t *place = new_places(set, ops);
	uint64_t last = 0;

	bench_start();
	for (unsigned i = 0; i < ops; i++)
		last = look(set, place[i] + nothing(last));
	bench_stop();
	sink = last;
}

/* Hides the address from the compiler, which would else gather several loads in one instruction. */
static const uint64_t *one_load(const uint64_t *at)
{
	__asm__ volatile("" : "+r"(at));
	return at;
}

static void flat(unsigned ops, const void *arg)
{
	const struct set *set = arg;
	const uint64_t *place = new_places(set, ops);
	uint64_t sum = 0;

	bench_start();
	for (unsigned i = 0; i < ops; i++)
		sum += *one_load(&set->table[place[i]]);
	bench_stop();
	sink = sum;
}

static void flat_dependent(unsigned ops, const void *arg)
{
	const struct set *set = arg;
	const uint64_t *place = new_places(set, ops);
	uint64_t last = 0;

	bench_start();
	for (unsigned i = 0; i < ops; i++)
		last = set->table[place[i] + nothing(last)];
	bench_stop();
	sink = last;
}

static void map(unsigned ops, const void *arg)
{
	const struct set *set = arg;
	const uint64_t *place = new_places(set, ops);
	struct daxl_extent extent;

	bench_start();
	for (unsigned i = 0; i < ops; i++) {
		bench_check(daxl_map(set->of.file, (off_t)place[i] * OP_BYTES, OP_BYTES, &extent, 1));
		sink = extent.pool_off;
	}
	bench_stop();
}

static uint64_t search(const struct set *set, uint64_t at)
{
	uint64_t low = 0, n = set->of.runs;

	while (n > 1) {
		uint64_t half = n / 2;

		low += set->starts[low + half] <= at ? half : 0;
		n -= half;
	}
	return set->sorted[low].blk;
}

static void locked_array(unsigned ops, const void *arg)
{
	const struct set *set = arg;
	const uint64_t *place = new_places(set, ops);
	uint64_t sum = 0;

	bench_start();
	for (unsigned i = 0; i < ops; i++) {
		pthread_rwlock_rdlock(&rwlock);
		sum += search(set, place[i]);
		pthread_rwlock_unlock(&rwlock);
	}
	bench_stop();
	sink = sum;
}

/* By two threads at once: ns for one lookup of each. */
static void two_ropes(unsigned ops, const void *arg)
{
	bench_both(rope, ops, arg, arg);
}

static void two_flats(unsigned ops, const void *arg)
{
	bench_both(flat, ops, arg, arg);
}

static void two_locked_arrays(unsigned ops, const void *arg)
{
	bench_both(locked_array, ops, arg, arg);
}

/* What PERFORMANCE allows depends on how wide the CPU compares. */
static double throughput_goal(void)
{
	if (__builtin_cpu_supports("avx512f"))
		return 5;
	return __builtin_cpu_supports("avx2") ? 10 : 12;
}

int main(int argc, char **argv)
{
	static const struct peer_file ext4 = { PEER_EXT4, "128 runs", FEW, false };
	const struct bench_path paths[] = { {
		"lookup, 128 runs, dependent", PLACES, rope_dependent, &few,
		.limit = { .name = "load from a flat table", flat_dependent, &few }, .more_ns = 10,
		.peers = { { .name = "FIEMAP of a block, ext4", peer_fiemap, &ext4, 20, 100, peer_file_missing } },
	}, {
		"lookup, 10^6 runs, dependent", PLACES, rope_dependent, &most,
		.limit = { .name = "load from a flat table", flat_dependent, &most }, .ratio = 4.5,
	}, {
		"lookup, 10^6 runs, throughput", PLACES, rope, &most,
		.limit = { .name = "load from a flat table", flat, &most }, .ratio = throughput_goal(),
	}, {
		"lookup, 10^6 runs, two threads", PLACES, two_ropes, &most,
		.limit = { .name = "load from a flat table", two_flats, &most },
		.peers = { { .name = "pthread rwlock, sorted array", two_locked_arrays, &most, 5 } },
	}, {
		"daxl_map of one block, 128 runs", PLACES, map, &few,
		.limit = { .name = "load from a flat table", flat, &few },
		.peers = { { .name = "FIEMAP of a block, ext4", peer_fiemap, &ext4, 20, 100, peer_file_missing } },
	}, {
		"daxl_map of one block, 10^6 runs", PLACES, map, &most,
		.limit = { .name = "load from a flat table", flat, &most },
	} };
	struct daxl_pool *pool;

	bench_init(argc, argv, "bench_lookup");
	pool = bench_pool(UINT64_C(4) << 30, 0);
	make(&few, pool, "few", FEW);
	make(&most, pool, "most", MOST);
	for (size_t i = 0; i < BENCH_COUNT(paths); i++)
		bench_run(&paths[i]);
	op_end(&few.of, "few");
	op_end(&most.of, "most");
	return bench_end();
}
