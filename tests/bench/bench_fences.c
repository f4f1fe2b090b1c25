/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What an operation costs the medium: fences, and cache lines that are flushed, by kind of operation, as daxl_stats
 * counts them. No times, so the figures are the same on every machine. Each operation touches one run. Goals: 128 bytes
 * beside the data, and one fence, plus one where data must be durable before the record.
 */
#include "ops.h"

#define CALLS 64u
#define END (2 * CALLS) /* blocks of the file */
#define DATA_LINES (BENCH_BLOCK / 64.0)
#define LINES 2 /* 128 bytes */

static struct daxl_pool *pool;
static struct daxl_file *file;
static struct op_file other;

static void create_and_unlink(unsigned i)
{
	struct daxl_file *one;

	(void)i;
	bench_check(daxl_open(pool, "one", O_RDWR | O_CREAT | O_EXCL, &one));
	bench_check(daxl_close(one));
	bench_check(daxl_unlink(pool, "one"));
}

static void rename_file(unsigned i)
{
	bench_check(daxl_rename(pool, i % 2 ? "renamed" : "file", i % 2 ? "file" : "renamed", 0));
}

static void set_attribute(unsigned i)
{
	bench_check(daxl_setattr(file, "key", &i, sizeof(i)));
}

/* Every second block of the first END is written, the others are holes. */
static void fill(unsigned i)
{
	op_write_block(file, 2 * (uint64_t)i);
}

static void cut_at_last(unsigned i)
{
	if (i == CALLS - 1)
		bench_check(daxl_truncate(file, END * OP_BYTES, NULL));
}

static void append(unsigned i)
{
	op_write_block(file, END + i);
	cut_at_last(i);
}

static void overwrite(unsigned i)
{
	op_write_block(file, 2 * (uint64_t)i);
}

static void overwrite_atomic(unsigned i)
{
	struct iovec iov = { (void *)(uintptr_t)op_data(), BENCH_BLOCK };

	bench_check(daxl_pwritev(file, &iov, 1, 2 * (off_t)i * OP_BYTES, DAXL_WRITE_ATOMIC, NULL));
}

static void allocate(unsigned i)
{
	bench_check(daxl_fallocate(file, 0, (2 * (off_t)i + 1) * OP_BYTES, OP_BYTES, NULL));
}

static void lease(off_t block, off_t new_size)
{
	struct daxl_lease_opts opts = DAXL_LEASE_OPTS_INIT;
	struct daxl_lease *lease;

	opts.mode = DAXL_LEASE_WRITE;
	bench_check(daxl_lease_acquire(file, block * OP_BYTES, OP_BYTES, &opts, &lease));
	if (new_size)
		bench_check(daxl_lease_commit(lease, block * OP_BYTES, OP_BYTES, new_size));
	daxl_lease_free(lease);
}

static void lease_block(unsigned i)
{
	lease(2 * (off_t)i + 1, 0);
}

static void lease_and_commit(unsigned i)
{
	lease(END + i, (off_t)(END + i + 1) * OP_BYTES);
	cut_at_last(i);
}

static void punch(unsigned i)
{
	bench_check(daxl_fallocate(file, OP_PUNCH, (2 * (off_t)i + 1) * OP_BYTES, OP_BYTES, NULL));
}

static void zero(unsigned i)
{
	bench_check(daxl_fallocate(file, FALLOC_FL_ZERO_RANGE, 2 * (off_t)i * OP_BYTES, OP_BYTES, NULL));
}

static void insert(unsigned i)
{
	(void)i;
	bench_check(daxl_fallocate(file, FALLOC_FL_INSERT_RANGE, OP_BYTES, OP_BYTES, NULL));
}

static void collapse(unsigned i)
{
	(void)i;
	bench_check(daxl_fallocate(file, FALLOC_FL_COLLAPSE_RANGE, OP_BYTES, OP_BYTES, NULL));
}

static void clone(unsigned i)
{
	bench_check(daxl_clone_range(file, 0, other.file, 2 * (off_t)i * OP_BYTES, OP_BYTES, NULL));
}

static void exchange(unsigned i)
{
	off_t at = 2 * (off_t)i * OP_BYTES;

	bench_check(daxl_exchange_range(file, at, other.file, at, OP_BYTES, NULL));
}

static void truncate_block(unsigned i)
{
	bench_check(daxl_truncate(file, 2 * (off_t)(CALLS - 1 - i) * OP_BYTES, NULL));
}

static void checkpoint(unsigned i)
{
	if (i == 0)
		bench_check(daxl_pool_checkpoint(pool));
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*call)(unsigned i);
		enum daxl_stat_op op;
		double fences, lines; /* goals; 0: none */
	} kinds[] = { /* in this order: each finds what those before have left */
		{ "create", create_and_unlink, DAXL_STAT_OPEN, 1, LINES },
		{ "unlink and its delete", create_and_unlink, DAXL_STAT_UNLINK, 1, LINES },
		{ "rename", rename_file, DAXL_STAT_RENAME, 1, LINES },
		{ "setattr", set_attribute, DAXL_STAT_SETATTR, 1, LINES },
		{ "write 4 KiB, into a hole", fill, DAXL_STAT_WRITE, 2, DATA_LINES + LINES },
		{ "write 4 KiB, appending", append, DAXL_STAT_WRITE, 2, DATA_LINES + LINES },
		{ "write 4 KiB, overwriting", overwrite, DAXL_STAT_WRITE, 1, DATA_LINES },
		{ "write 4 KiB, atomic", overwrite_atomic, DAXL_STAT_ATOMIC_WRITE, 2, DATA_LINES + LINES },
		{ "allocate a block", allocate, DAXL_STAT_ALLOCATE, 1, LINES },
		{ "lease for writing, unwritten block", lease_block, DAXL_STAT_ACQUIRE, 2, DATA_LINES + LINES },
		{ "punch a block", punch, DAXL_STAT_PUNCH, 1, LINES },
		{ "lease for writing, hole", lease_block, DAXL_STAT_ACQUIRE, 2, DATA_LINES + LINES },
		{ "lease for writing, past the end", lease_and_commit, DAXL_STAT_ACQUIRE, 2, DATA_LINES + LINES },
		{ "commit, past the end", lease_and_commit, DAXL_STAT_COMMIT, 2, DATA_LINES + LINES },
		{ "zero a block", zero, DAXL_STAT_ZERO, 0, 0 },
		{ "insert a block", insert, DAXL_STAT_INSERT, 1, LINES },
		{ "collapse a block", collapse, DAXL_STAT_COLLAPSE, 1, LINES },
		{ "clone a block", clone, DAXL_STAT_CLONE, 1, LINES },
		{ "write 4 KiB, shared block", fill, DAXL_STAT_WRITE, 2, DATA_LINES + LINES },
		{ "exchange a block", exchange, DAXL_STAT_EXCHANGE, 1, 0 },
		{ "truncate by a block", truncate_block, DAXL_STAT_TRUNCATE, 1, LINES },
		{ "checkpoint", checkpoint, DAXL_STAT_CHECKPOINT, 0, 0 },
	};
	static struct daxl_stats before, after;

	bench_init(argc, argv, "bench_fences");
	pool = bench_pool(UINT64_C(64) << 20, 0);
	file = op_create(pool, "file");
	bench_check(daxl_truncate(file, END * OP_BYTES, NULL));
	other = op_runs(pool, "other", 0, 1);
	for (size_t i = 0; i < BENCH_COUNT(kinds); i++) {
		const struct daxl_op_stats *a = &before.op[kinds[i].op], *b = &after.op[kinds[i].op];
		struct bench_figure figures[2] = {
			{ "fences", 0, kinds[i].fences, 0 },
			{ "lines", 0, kinds[i].lines, 0 },
		};

		bench_check(daxl_stats(pool, &before));
		for (unsigned call = 0; call < CALLS; call++)
			kinds[i].call(call);
		bench_check(daxl_stats(pool, &after));
		figures[0].value = (double)(b->fences - a->fences) / (double)(b->calls - a->calls);
		figures[1].value = (double)(b->lines - a->lines) / (double)(b->calls - a->calls);
		bench_figures(kinds[i].name, figures, 2);
	}
	bench_check(daxl_close(file));
	bench_check(daxl_close(other.file));
	return bench_end();
}
