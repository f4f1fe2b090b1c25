/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two threads on two files against one thread on one: how many times as many operations are done in the same time. Both
 * are timed in turns; the machine has to have two CPUs to spare, else the figure is about the scheduler. What shares
 * the machine's caches and memory shares their bandwidth too: beside copies stands what they reach with no library.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops.h"

static struct op_file files[2];
static struct daxl_lease *leases[2];
static char *plain[2]; /* OP_WARM blocks each */

struct kind {
	const char *name;
	bench_fn fn;
	unsigned ops;
	const void *arg[2];
	double goal;
};

/* What op_read copies, from memory of the same size. */
static void plain_read(unsigned ops, const void *arg)
{
	static _Thread_local char into[BENCH_BLOCK] __attribute__((aligned(BENCH_BLOCK))); /* a copy does not meet its own stores */
	static _Thread_local uint64_t at;
	const char *from = *(char *const *)arg;

	bench_start();
	for (unsigned i = 0; i < ops; i++, at++) {
		memcpy(into, from + at % OP_WARM * BENCH_BLOCK, BENCH_BLOCK);
		__asm__ volatile("" ::"r"(into) : "memory");
	}
	bench_stop();
}

/* What op_overwrite stores. The two threads have a half each of the limit's memory. */
static void plain_store(unsigned ops, const void *arg)
{
	static _Thread_local uint64_t at;
	unsigned half = (unsigned)((char *const *)arg - plain);

	bench_start();
	for (unsigned i = 0; i < ops; i++, at++) {
		limit_store_block(op_data() + at % OP_BATCH * BENCH_BLOCK, 2 * at + half);
		limit_fence();
	}
	bench_stop();
}

/* Batches of what batches do, together ops: one batch is too short for two threads to meet. */
#define REPEAT(batch)                                                                                                  \
	static void batch##s(unsigned ops, const void *arg)                                                            \
	{                                                                                                              \
		for (unsigned done = 0; done < ops; done += OP_BATCH)                                                  \
			op_##batch(OP_BATCH, arg);                                                                     \
	}

REPEAT(punch)
REPEAT(append)

static void one(unsigned ops, const void *arg)
{
	const struct kind *kind = arg;

	kind->fn(ops, kind->arg[0]);
}

static void two(unsigned ops, const void *arg)
{
	const struct kind *kind = arg;

	bench_both(kind->fn, ops, kind->arg[0], kind->arg[1]);
}

/* One and two are columns of one path, so that they take turns. */
static void run(const struct kind *kind)
{
	struct bench_path path = {
		kind->name, kind->ops, one, kind, .limit = { .name = "one operation of each of two", two, kind },
	};
	struct bench_times times[2];
	struct bench_figure speedup = { "x one thread", 0, 0, kind->goal };

	if (!bench_wants(kind->name))
		return;
	bench_measure(&path, times);
	speedup.value = 2 * times[0].median / times[1].median;
	bench_figures(kind->name, &speedup, 1);
}

int main(int argc, char **argv)
{
	static const struct kind kinds[] = {
		{ "two threads: reads, 4 KiB", op_read, 5000, { &files[0], &files[1] }, 1.8 },
		{ "two threads: copies of 4 KiB, no library", plain_read, 5000, { &plain[0], &plain[1] }, 0 },
		{ "two threads: pin + unpin", op_pin, 200000, { &leases[0], &leases[1] }, 1.8 },
		{ "two threads: overwrites, 4 KiB", op_overwrite, 5000, { &files[0], &files[1] }, 1.8 },
		{ "two threads: stores of 4 KiB, no library", plain_store, 5000, { &plain[0], &plain[1] }, 0 },
		{ "two threads: punch", punchs, 2048, { &files[0], &files[1] }, 1.4 },
		{ "two threads: append 4 KiB", appends, 2048, { &files[0], &files[1] }, 1.4 },
	};
	struct daxl_pool *pool;
	double load = 0;

	bench_init(argc, argv, "bench_scale");
	pool = bench_pool(UINT64_C(256) << 20, UINT64_C(256) << 20);
	if (getloadavg(&load, 1) == 1 && load > 0.5)
		fprintf(stderr, "bench_scale: load average %.2f: two threads will not have two CPUs\n", load);
	for (unsigned i = 0; i < 2; i++) {
		files[i] = op_warm(pool, i ? "b" : "a");
		files[i].runs = 2; /* op_punch works in the first gap, behind the lease's block */
		bench_check(daxl_lease_acquire(files[i].file, 0, OP_BYTES, NULL, &leases[i]));
		plain[i] = bench_memory((size_t)OP_WARM * BENCH_BLOCK, NULL);
	}
	for (size_t i = 0; i < BENCH_COUNT(kinds); i++)
		run(&kinds[i]);
	for (unsigned i = 0; i < 2; i++) {
		daxl_lease_free(leases[i]);
		op_end(&files[i], i ? "b" : "a");
		bench_memory_end(plain[i], (size_t)OP_WARM * BENCH_BLOCK);
	}
	return bench_end();
}
