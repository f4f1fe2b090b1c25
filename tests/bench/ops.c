/* SPDX-License-Identifier: BSD-3-Clause */
#include "ops.h"

#include <stdio.h>
#include <string.h>

static char data[OP_BATCH * BENCH_BLOCK];

const char *op_data(void)
{
	if (data[0] == 0)
		memset(data, 0x5a, sizeof(data));
	return data;
}

struct daxl_file *op_create(struct daxl_pool *pool, const char *name)
{
	struct daxl_file *file;

	bench_check(daxl_open(pool, name, O_RDWR | O_CREAT | O_EXCL, &file));
	return file;
}

void op_write_block(struct daxl_file *file, uint64_t block)
{
	bench_check(daxl_pwrite(file, op_data(), BENCH_BLOCK, (off_t)block * OP_BYTES));
}

struct op_file op_runs(struct daxl_pool *pool, const char *name, unsigned runs, unsigned gap)
{
	struct op_file of = { .pool = pool, .file = op_create(pool, name), .runs = runs };

	for (unsigned i = 0; i < runs / 2; i++)
		bench_check(daxl_fallocate(of.file, 0, (off_t)i * gap * OP_BYTES, OP_BYTES, NULL));
	bench_check(daxl_truncate(of.file, (off_t)(runs / 2) * gap * OP_BYTES, NULL));
	return of;
}

void op_shuffle(const struct op_file *of, unsigned gap)
{
	for (unsigned i = of->runs / 2 - 1; i > 0; i--) {
		off_t a = (off_t)i * gap, b = (off_t)(bench_random() % i) * gap;

		bench_check(daxl_exchange_range(of->file, a * OP_BYTES, of->file, b * OP_BYTES, OP_BYTES, NULL));
	}
}

struct daxl_file *op_one_run(struct daxl_pool *pool, unsigned i)
{
	struct daxl_file *file;
	char name[32];

	snprintf(name, sizeof(name), "f%07u", i);
	file = op_create(pool, name);
	bench_check(daxl_fallocate(file, 0, 0, OP_BYTES, NULL));
	return file;
}

void op_end(struct op_file *of, const char *name)
{
	bench_check(daxl_close(of->file));
	bench_check(daxl_unlink(of->pool, name));
}

/* The first block of some gap's hole. */
static off_t some_gap(const struct op_file *of)
{
	return (off_t)(bench_random() % (of->runs / 2)) * OP_GAP + 1;
}

void op_map(unsigned ops, const void *arg)
{
	const struct op_file *of = arg;
	uint64_t blocks = (uint64_t)(of->runs / 2) * OP_GAP;
	struct daxl_extent extent;

	bench_start();
	for (unsigned i = 0; i < ops; i++)
		bench_check(daxl_map(of->file, (off_t)(bench_random() % blocks) * OP_BYTES, OP_BYTES, &extent, 1));
	bench_stop();
}

void op_punch(unsigned ops, const void *arg)
{
	const struct op_file *of = arg;
	off_t at = some_gap(of);

	bench_check(daxl_fallocate(of->file, 0, at * OP_BYTES, ops * OP_BYTES, NULL));
	bench_start();
	for (unsigned i = 0; i < ops; i++)
		bench_check(daxl_fallocate(of->file, OP_PUNCH, (at + i) * OP_BYTES, OP_BYTES, NULL));
	bench_stop();
}

void op_allocate(unsigned ops, const void *arg)
{
	const struct op_file *of = arg;
	off_t at = some_gap(of);

	bench_start();
	for (unsigned i = 0; i < ops; i++)
		bench_check(daxl_fallocate(of->file, 0, (at + i) * OP_BYTES, OP_BYTES, NULL));
	bench_stop();
	bench_check(daxl_fallocate(of->file, OP_PUNCH, at * OP_BYTES, ops * OP_BYTES, NULL));
}

void op_truncate(unsigned ops, const void *arg)
{
	const struct op_file *of = arg;
	off_t end = (off_t)(of->runs / 2) * OP_GAP;

	bench_check(daxl_fallocate(of->file, 0, end * OP_BYTES, ops * OP_BYTES, NULL));
	bench_start();
	for (unsigned i = ops; i > 0; i--)
		bench_check(daxl_truncate(of->file, (end + i - 1) * OP_BYTES, NULL));
	bench_stop();
}

void op_clone(unsigned ops, const void *arg)
{
	const struct op_file *of = arg;
	uint64_t pieces = of->runs / 2;

	bench_start();
	for (unsigned i = 0; i < ops; i++)
		bench_check(daxl_clone_range(of->file, (off_t)(bench_random() % pieces * OP_GAP) * OP_BYTES,
		                             of->target->file, (off_t)i * OP_BYTES, OP_BYTES, NULL));
	bench_stop();
	bench_check(daxl_truncate(of->target->file, 0, NULL));
}

void op_collapse(unsigned ops, const void *arg)
{
	struct daxl_file *file = ((const struct op_file *)arg)->file;

	bench_check(daxl_fallocate(file, FALLOC_FL_INSERT_RANGE, 0, ops * OP_BYTES, NULL));
	bench_check(daxl_fallocate(file, 0, 0, ops * OP_BYTES, NULL));
	bench_start();
	for (unsigned i = 0; i < ops; i++)
		bench_check(daxl_fallocate(file, FALLOC_FL_COLLAPSE_RANGE, 0, OP_BYTES, NULL));
	bench_stop();
}

void op_insert(unsigned ops, const void *arg)
{
	struct daxl_file *file = ((const struct op_file *)arg)->file;

	bench_start();
	for (unsigned i = 0; i < ops; i++)
		bench_check(daxl_fallocate(file, FALLOC_FL_INSERT_RANGE, 0, OP_BYTES, NULL));
	bench_stop();
	bench_check(daxl_fallocate(file, FALLOC_FL_COLLAPSE_RANGE, 0, ops * OP_BYTES, NULL));
}

struct op_file op_warm(struct daxl_pool *pool, const char *name)
{
	struct op_file of = { .pool = pool, .file = op_create(pool, name), .runs = 1 };

	for (unsigned i = 0; i < OP_WARM; i++)
		op_write_block(of.file, i);
	return of;
}

void op_overwrite(unsigned ops, const void *arg)
{
	static _Thread_local uint64_t at;
	struct daxl_file *file = ((const struct op_file *)arg)->file;

	bench_start();
	for (unsigned i = 0; i < ops; i++, at++)
		op_write_block(file, at % OP_WARM);
	bench_stop();
}

void op_append(unsigned ops, const void *arg)
{
	struct daxl_file *file = ((const struct op_file *)arg)->file;

	bench_start();
	for (unsigned i = 0; i < ops; i++)
		op_write_block(file, OP_WARM + i);
	bench_stop();
	bench_check(daxl_truncate(file, OP_WARM * OP_BYTES, NULL));
}

void op_read(unsigned ops, const void *arg)
{
	static _Thread_local char into[BENCH_BLOCK] __attribute__((aligned(BENCH_BLOCK))); /* a copy does not meet its own stores */
	static _Thread_local uint64_t at;
	struct daxl_file *file = ((const struct op_file *)arg)->file;

	bench_start();
	for (unsigned i = 0; i < ops; i++, at++)
		bench_check(daxl_pread(file, into, BENCH_BLOCK, (off_t)(at % OP_WARM) * OP_BYTES));
	bench_stop();
}

void op_short_life(unsigned ops, const void *arg)
{
	const struct op_file *of = arg;
	struct daxl_file *one;

	bench_start();
	for (unsigned i = 0; i < ops; i++) {
		bench_check(daxl_open(of->pool, "one", O_RDWR | O_CREAT | O_EXCL, &one));
		bench_check(daxl_close(one));
		bench_check(daxl_unlink(of->pool, "one"));
	}
	bench_stop();
}

void op_pin(unsigned ops, const void *arg)
{
	struct daxl_lease *lease = *(struct daxl_lease *const *)arg;

	bench_start();
	for (unsigned i = 0; i < ops; i++) {
		bench_check(daxl_lease_pin(lease));
		daxl_lease_unpin(lease);
	}
	bench_stop();
}
