/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The slowest single operation while checkpoints run. One thread changes the sizes of files, one after the other, and
 * notes how long each call takes; whenever all are dirty the second thread writes a checkpoint, and the first goes on.
 * Against the median of the same calls without checkpoints. Apart, the slowest call without any, which is what the
 * machine itself does to a thread, and the checkpoint, which is somebody's call too. And how often the first thread went
 * to sleep in a call beside a checkpoint: a slowest call of so many milliseconds is the machine's doing when it never did.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "ops.h"

#define POOL (UINT64_C(8) << 30)
#define LOG (UINT64_C(256) << 20)

static struct daxl_pool *pool;
static struct daxl_file **files;
static unsigned nfiles, size_now;
static uint32_t checkpoint_runs; /* atomic */

struct calls {
	double slowest, sum;
	uint64_t count;
	long sleeps;
	double *sample; /* of the first nfiles */
};

static void change_one(struct calls *calls, unsigned i)
{
	double began = bench_now(), took;

	bench_check(daxl_truncate(files[i], (off_t)size_now * OP_BYTES, NULL));
	took = bench_now() - began;
	if (took > calls->slowest)
		calls->slowest = took;
	if (calls->count < nfiles)
		calls->sample[calls->count] = took;
	calls->sum += took;
	calls->count++;
}

static void change_all(struct calls *calls)
{
	size_now = size_now % 1000 + 1;
	for (unsigned i = 0; i < nfiles; i++)
		change_one(calls, i);
}

struct side {
	bool checkpoints;
	struct calls *calls;
	double *ns; /* of the checkpoint */
};

/* How often this thread has given up the CPU to wait. */
static long sleeps(void)
{
	struct rusage usage;

	bench_check(getrusage(RUSAGE_THREAD, &usage));
	return usage.ru_nvcsw;
}

static void both_sides(unsigned ops, const void *arg)
{
	const struct side *side = arg;

	(void)ops;
	if (side->checkpoints) {
		double began = bench_now();

		bench_check(daxl_pool_checkpoint(pool));
		*side->ns = bench_now() - began;
		__atomic_store_n(&checkpoint_runs, 0, __ATOMIC_RELEASE);
		return;
	}
	long before = sleeps();

	for (unsigned i = 0; __atomic_load_n(&checkpoint_runs, __ATOMIC_ACQUIRE); i = (i + 1) % nfiles) {
		if (i == 0)
			size_now = size_now % 1000 + 1;
		change_one(side->calls, i);
	}
	side->calls->sleeps += sleeps() - before;
}

static void stall(unsigned checkpoints)
{
	struct calls without = { 0 }, with = { 0 };
	double *checkpoint_ns = bench_alloc(checkpoints * sizeof(double));
	struct bench_times times[2] = { { 0 } };
	struct bench_figure figures[2] = { { "ms", 0, 0, 0 }, { "ns a file", 0, 0, 0 } };
	char name[96];
	const struct bench_path path = {
		name, 1, .limit = { .name = "median call without checkpoints" }, .more_ns = 1e6,
	};

	without.sample = bench_alloc(nfiles * sizeof(double));
	with.sample = bench_alloc(nfiles * sizeof(double));
	change_all(&without);
	without.slowest = 0;
	without.count = 0;
	bench_check(daxl_pool_checkpoint(pool));
	change_all(&without);
	for (unsigned i = 0; i < checkpoints; i++) {
		const struct side changes = { false, &with, NULL }, writes = { true, NULL, &checkpoint_ns[i] };

		change_all(&with);
		__atomic_store_n(&checkpoint_runs, 1, __ATOMIC_RELEASE);
		bench_with(both_sides, 1, &changes, &writes);
	}
	times[0] = bench_times_of(&with.slowest, 1);
	times[1] = bench_times_of(without.sample, nfiles);
	snprintf(name, sizeof(name), "slowest call, %u checkpoints, %u files", checkpoints, nfiles);
	bench_report(&path, times);
	const struct bench_figure slept = { "times", (double)with.sleeps, 0, 0 };

	figures[0].value = without.slowest / 1e6;
	bench_figures("slowest call without checkpoints", figures, 1);
	bench_figures("sleeps in calls beside checkpoints", &slept, 1);
	times[0] = bench_times_of(checkpoint_ns, checkpoints);
	figures[0].value = times[0].median / 1e6;
	figures[1].value = times[0].median / nfiles;
	bench_figures("checkpoint of all the files, dirty", figures, 2);
	free(without.sample);
	free(with.sample);
	free(checkpoint_ns);
}

int main(int argc, char **argv)
{
	struct daxl_pool_opts opts = DAXL_POOL_OPTS_INIT;

	bench_init(argc, argv, "bench_stall");
	opts.log_size = LOG; /* never half full: no call but the second thread's runs a checkpoint */
	pool = bench_pool_with(POOL, LOG + (UINT64_C(64) << 20), &opts);
	nfiles = bench_long() ? 1000000 : 100000;
	files = bench_alloc(nfiles * sizeof(files[0]));
	for (unsigned i = 0; i < nfiles; i++)
		files[i] = op_one_run(pool, i);
	stall(bench_long() ? 100 : 20);
	for (unsigned i = 0; i < nfiles; i++)
		bench_check(daxl_close(files[i]));
	free(files);
	return bench_end();
}
