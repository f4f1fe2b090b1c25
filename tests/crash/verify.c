/* SPDX-License-Identifier: BSD-3-Clause */
/* Opens an image and compares what is in it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "crash.h"
#include "file/ckpt.h"

#define PAGE 4096u

/* Blocks that the files have, each once. */
static uint64_t file_blocks(const struct daxl_pool *pool, const struct state *const *states, unsigned nstates)
{
	unsigned shift = pool->block_shift;
	uint64_t total = pool->super.pool_size >> shift, n = 0;
	uint8_t *used = calloc(1, total);

	if (!used)
		fail("no memory to count blocks");
	for (unsigned i = 0; i < nstates * NFILES; i++) {
		const struct mfile *f = &states[i / NFILES]->f[i % NFILES];

		for (uint32_t k = 0; f->there && k < f->nmaps; k++) {
			const struct mapping *m = &f->maps[k];

			if (m->flags & DAXL_EXTENT_HOLE)
				continue;
			for (uint64_t blk = m->pool_off >> shift; blk < (m->pool_off + m->len) >> shift; blk++) {
				if (blk >= total)
					fail("file %c has block %llu, the pool has %llu", (int)('a' + i % NFILES),
					     (unsigned long long)blk, (unsigned long long)total);
				n += !used[blk];
				used[blk] = 1;
			}
		}
	}
	free(used);
	return n;
}

void verify_space(struct daxl_pool *pool, const struct state *const *states, unsigned n)
{
	struct daxl_space_stat space;
	struct daxl_pool_stat st;
	uint64_t files = file_blocks(pool, states, n);

	(void)daxl_wait_for_frees(pool);
	daxl_space_stat(pool->space, &space);
	must(daxl_pool_stat(pool, &st));
	uint64_t used = space.total - space.free - pool->fixed_blocks - files;
	uint64_t packed = UINT64_C(1) << (pool->block_shift - 12);
	uint64_t most = st.checkpoint_pages, least = (st.checkpoint_pages + packed - 1) / packed;

	if (used > most || used < least)
		fail("%llu of %llu blocks are free: files have %llu, fixed are %llu, the checkpoint has %llu pages",
		     (unsigned long long)space.free, (unsigned long long)space.total, (unsigned long long)files,
		     (unsigned long long)pool->fixed_blocks, (unsigned long long)st.checkpoint_pages);
	if (st.limbo_blocks || st.pending_blocks || st.leases || st.open_files || space.reserved)
		fail("after opening: %llu limbo blocks, %llu pending, %llu reserved, %llu leases, %llu open files (L15)",
		     (unsigned long long)st.limbo_blocks, (unsigned long long)st.pending_blocks,
		     (unsigned long long)space.reserved, (unsigned long long)st.leases,
		     (unsigned long long)st.open_files);
}

/*
 * A place of a checkpoint slot that a crash has torn is worth a warning if the newest checkpoint is that of a clean
 * close: the crash came inside that close, or inside the open after it.
 */
static int told(const struct daxl_check_finding *finding, void *arg)
{
	bool *torn = arg;

	if (finding->kind == DAXL_FINDING_PROGRESS || finding->severity == DAXL_SEVERITY_INFO)
		return 0;
	if (finding->kind != DAXL_FINDING_CHECKPOINT || finding->severity != DAXL_SEVERITY_WARNING ||
	    strncmp(finding->message, "checkpoint slot ", 16) != 0)
		fail("daxl_check: %s", finding->message);
	*torn = true;
	return 0;
}

void verify_check(const char *path)
{
	bool torn = false;
	int rc = daxl_check(path, 0, told, &torn);

	if (rc != torn)
		fail("daxl_check gave %d: %s", rc, daxl_error_last());
}

/* daxl_check of the image, before anybody has opened it: a crash is no damage. */
static void check_image(const struct sim *sim)
{
	static char path[4096];
	static int fd = -1;

	if (fd < 0)
		fd = temp_file(path, sizeof(path));
	if (ftruncate(fd, (off_t)sim->size) != 0 || pwrite(fd, sim->work, sim->size, 0) != (ssize_t)sim->size)
		fail("cannot put the image into a file: %s", strerror(errno));
	verify_check(path);
}

static void compare(const struct accept *accept, const struct state *is)
{
	const char *why = NULL;

	for (unsigned i = 0; i < accept->n; i++) {
		/* Of four, each file's other state is in the one where both files differ. */
		const struct state *other = accept->mixed && accept->n > 1 ? accept->states[accept->n - 1 - i] : NULL;
		char copy[512] = "";

		if (why)
			snprintf(copy, sizeof(copy), "%s", why);
		why = state_layout_differs(accept->states[i], is);
		if (!why) {
			why = state_bytes_differ(accept->states[i], other, is, false);
			if (!why)
				return;
		}
		if (i + 1 == accept->n)
			fail("neither state: %s%s%s", copy, copy[0] ? " | " : "", why);
	}
	fail("a crash at a moment for which the test has no state");
}

/* What a crash in the recovery just recorded, or in the operation after it, may leave. */
static void crash_again(struct sim *sim, const uint8_t *start, const struct trace *trace, struct accept *found)
{
	struct budget budget = { .exhaustive = sim->budget->inner, .singles = 2, .others = 3, .check = sim->budget->check ? 64 : 0 };
	struct sim inner;

	sim_init(&inner, start, sim->size, sim->prefix, sim->rng, &budget);
	inner.depth = sim->depth + 1;
	inner.page = sim->page;
	sim_run(&inner, trace, found);
	sim_fini(&inner);
}

/* Life goes on: an operation on the recovered pool, and sometimes a clean close. Ends the pool. */
static void go_on(struct sim *sim, struct daxl_pool *pool, struct trace *trace, const struct state *is)
{
	struct run run = {
		.pool = pool,
		.prefix = sim->prefix,
		.model = state_copy(is),
		.rng = rnd(sim->rng),
		.block = UINT64_C(1) << pool->block_shift,
		.trace = trace,
		.begin = recorded_begin,
		.end = recorded_end,
	};

	run_random_op(&run);
	if (rnd_below(sim->rng, 4) == 0) {
		must(daxl_pool_close(pool));
		trace_stop(trace);
	} else {
		trace_stop(trace);
		pool_crash(pool);
	}
	state_drop(run.model);
}

/* Whether a crash inside the pool's creation stands at the beginning: superblock copies may be missing for good. */
static bool half_made(const struct sim *sim)
{
	for (; sim; sim = sim->outer)
		if (sim->accept->refused)
			return true;
	return false;
}

void verify_image(struct sim *sim)
{
	bool again = sim->budget->again && rnd_below(sim->rng, sim->budget->again) == 0;
	struct daxl_pool *pool;
	struct trace trace;
	struct state is;
	uint8_t *start = NULL;

	if (sim->budget->check && !half_made(sim) && rnd_below(sim->rng, sim->budget->check) == 0)
		check_image(sim);
	if (again) {
		start = xalloc(sim->size);
		memcpy(start, sim->work, sim->size);
	}
	trace_init(&trace, sim->work, sim->size);
	trace_start(&trace);
	int rc = pool_load(sim->work, sim->size, &pool);

	if (rc) {
		trace_stop(&trace);
		if (!sim->accept->refused || (rc != -EINVAL && rc != -EUCLEAN) || !daxl_error_last()[0])
			fail("the image does not open: %d: %s", rc, daxl_error_last());
		if (trace.nevents)
			fail("an open that failed has stored something");
		trace_fini(&trace);
		free(start);
		return;
	}
	state_init(&is);
	state_read(pool, sim->prefix, &is);
	compare(sim->accept, &is);
	verify_space(pool, (const struct state *const[]){ &is }, 1);
	if (again) {
		struct accept found = { .n = 1, .states = { &is }, .serial = rnd(sim->rng), .what = "recovery" };

		go_on(sim, pool, &trace, &is);
		crash_again(sim, start, &trace, &found);
	} else {
		trace_stop(&trace);
		pool_crash(pool);
	}
	for (size_t i = 0; i < trace.nevents; i++)
		if (trace.events[i].type == EV_STORE)
			memset(sim->dirty + trace.events[i].off / PAGE, 1,
			       (trace.events[i].off + trace.events[i].len - 1) / PAGE - trace.events[i].off / PAGE + 1);
	state_free(&is);
	trace_fini(&trace);
	free(start);
}
