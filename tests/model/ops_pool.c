/* SPDX-License-Identifier: BSD-3-Clause */
/* The pool as a whole: checkpoints, growth, clean close and reopen, and crash, which is to go on from a copy of the medium. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "model.h"

#define COPY (UINT64_C(1) << 20)

static struct daxl_pool_opts options(void)
{
	struct daxl_pool_opts opts = DAXL_POOL_OPTS_INIT;

	opts.block_size = (uint32_t)model.block;
	opts.log_size = UINT64_C(256) << 10;
	opts.lease_break_ms = 5;
	return opts;
}

static uint64_t used_at_first;

void pool_start(void)
{
	struct daxl_pool_opts opts = options();
	struct daxl_pool_stat st;

	(void)remove(model.path[0]);
	(void)remove(model.path[1]);
	must(daxl_pool_create(model.path[0], model.pool_size, &opts, &model.pool), "create");
	must(daxl_pool_stat(model.pool, &st), "pool stat");
	used_at_first = st.total_blocks - st.free_blocks - st.reserved_blocks;
}

static void pool_open(bool crashed)
{
	struct daxl_pool_opts opts = options();
	struct daxl_pool_stat st;

	must(daxl_pool_open(model.path[model.which], &opts, &model.pool), crashed ? "open after a crash" : "open");
	must(daxl_pool_stat(model.pool, &st), "pool stat");
	if ((st.flags & DAXL_POOL_STAT_DAMAGED) || (bool)(st.flags & DAXL_POOL_STAT_RECOVERED) != crashed)
		fail("opened %s, the pool has flags %#x", crashed ? "after a crash" : "after a clean close", st.flags);
	if (st.leases || st.limbo_blocks || st.open_files)
		fail("just opened, the pool has %" PRIu64 " leases, %" PRIu64 " blocks in limbo, %" PRIu64 " open files", st.leases,
		     st.limbo_blocks, st.open_files);
	verify_all();
}

static void check_pool(void)
{
#ifdef MODEL_HAS_CHECK
	int rc = daxl_check(model.path[model.which], 0, NULL, NULL);

	if (rc)
		fail("daxl_check gave %d", rc);
#endif
}

static void reopen_step(void)
{
	note("reopen");
	leases_end();
	close_handles();
	must(daxl_pool_close(model.pool), "close");
	check_pool();
	model.reopens++;
	pool_open(false);
}

static void copy_pool(const char *from, const char *to)
{
	static unsigned char buf[COPY];
	int in = open(from, O_RDONLY | O_CLOEXEC), out = open(to, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	struct stat st;

	if (in < 0 || out < 0 || fstat(in, &st) || ftruncate(out, st.st_size))
		fail("cannot copy the pool");
	for (off_t at = 0; at < st.st_size;) {
		ssize_t n = pread(in, buf, COPY, at);

		if (n <= 0 || (!is_zero(buf, (uint64_t)n) && pwrite(out, buf, (size_t)n, at) != n))
			fail("cannot copy the pool");
		at += n;
	}
	(void)close(in);
	(void)close(out);
}

void pool_crash(void)
{
	note("crash");
	copy_pool(model.path[model.which], model.path[!model.which]);
	leases_end();
	close_handles();
	must(daxl_pool_close(model.pool), "close");
	(void)remove(model.path[model.which]);
	model.which = !model.which;
	model.crashes++;
	pool_open(true);
}

static void crash_step(void)
{
	if (model.crash_every)
		pool_crash();
}

static void checkpoint_step(void)
{
	note("checkpoint");
	int rc = daxl_pool_checkpoint(model.pool);

	if (rc)
		fail("checkpoint gave %d", rc);
}

static void grow_step(void)
{
	uint64_t to = model.pool_size + (UINT64_C(1) << 20) + model.block;
	struct daxl_pool_stat before, after;

	if (to > 4 * model.pool_size || !chance(20))
		return;
	must(daxl_pool_stat(model.pool, &before), "pool stat");
	if (to < before.pool_size)
		to = before.pool_size;
	note("grow to %" PRIu64, to);
	int rc = daxl_pool_grow(model.pool, to);

	if (rc == -EOPNOTSUPP)
		return;
	must(rc, "grow");
	must(daxl_pool_stat(model.pool, &after), "pool stat");
	if (after.total_blocks < before.total_blocks)
		fail("grown from %" PRIu64 " to %" PRIu64 " blocks", before.total_blocks, after.total_blocks);
	model.pool_size = to;
}

static void stat_step(void)
{
	struct daxl_pool_stat st;
	uint64_t files = 0, open_files = 0;

	must(daxl_pool_stat(model.pool, &st), "pool stat");
	note("pool stat: %" PRIu64 " blocks free, %" PRIu64 " kept back", st.free_blocks, st.reserved_blocks);
	for (unsigned i = 0; i < model.nnames; i++)
		files += model.names[i] != NULL;
	for (unsigned i = 0; i < MAX_HANDLES; i++)
		open_files += model.handles[i].file != NULL;
	if (st.files != files || st.open_files != open_files || st.block_size != model.block)
		fail("pool stat: %" PRIu64 " files of which %" PRIu64 " open, expected %" PRIu64 " and %" PRIu64, st.files,
		     st.open_files, files, open_files);
	if (st.free_blocks > st.total_blocks || st.total_blocks > st.pool_size / model.block)
		fail("pool stat: %" PRIu64 " blocks free of %" PRIu64, st.free_blocks, st.total_blocks);
}

/* With all files gone and the pool reopened, all its blocks but those of little metadata have to be free. */
static void verify_nothing_leaked(void)
{
	struct daxl_pool_stat st;

	for (unsigned i = 0; i < model.nnames; i++) {
		if (!model.names[i])
			continue;
		must(daxl_unlink(model.pool, model.name[i]), "unlink");
		mfile_put(model.names[i]);
		model.names[i] = NULL;
	}
	must(daxl_pool_close(model.pool), "close");
	pool_open(false);
	must(daxl_pool_stat(model.pool, &st), "pool stat");
	uint64_t used = st.total_blocks - st.free_blocks - st.reserved_blocks;
	uint64_t allowed = used_at_first + 4 + (UINT64_C(128) << 10) / model.block;

	if (used > allowed)
		fail("the pool is empty and %" PRIu64 " of its %" PRIu64 " blocks are not free (%" PRIu64 " pending, %" PRIu64
		     " in limbo)",
		     used, st.total_blocks, st.pending_blocks, st.limbo_blocks);
	if (model.verbose)
		fprintf(stderr, "in the empty pool %" PRIu64 " blocks of %" PRIu64 " are used, at first %" PRIu64 "\n", used,
		        st.total_blocks, used_at_first);
}

void pool_finish(void)
{
	leases_end();
	verify_all();
	close_handles();
	must(daxl_pool_close(model.pool), "close");
	check_pool();
	pool_open(false);
	verify_nothing_leaked();
	must(daxl_pool_close(model.pool), "close");
	check_pool();
	(void)remove(model.path[0]);
	(void)remove(model.path[1]);
}

const struct op pool_ops[] = {
	{ .name = "checkpoint", .weight = 5, .special = checkpoint_step },
	{ .name = "reopen", .weight = 1, .special = reopen_step },
	{ .name = "crash", .weight = 1, .special = crash_step },
	{ .name = "grow", .weight = 1, .special = grow_step },
	{ .name = "poolstat", .weight = 3, .special = stat_step },
	{ .name = NULL },
};
