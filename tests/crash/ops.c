/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The operations. Arguments come from random numbers and from the model alone, so that a run without a pool, to learn what a killed
 * process had done, takes the same steps.
 */
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "crash.h"

#define BLOCKS_MAX (FILE_CAP / run->block)
#define LEASE_EXTENTS 64u

/* One call: between these two a crash leaves the state before or after it. */
#define STEP(run, what, call, change)                                                                                  \
	do {                                                                                                           \
		(run)->begin((run), (what));                                                                           \
		if ((run)->pool)                                                                                       \
			must_be_0((call), (what), __FILE__, __LINE__);                                                 \
		change;                                                                                                \
		(run)->end(run);                                                                                       \
	} while (0)

bool changes_in_place(const char *what)
{
	static const char *const starts[] = { "write", "overwrite", "punch", "zero", "holder", "before a write",
		                              "one hole more" };

	for (unsigned i = 0; i < DAXL_ARRAY_LEN(starts); i++)
		if (strncmp(what, starts[i], strlen(starts[i])) == 0)
			return true;
	return false;
}

void recorded_begin(struct run *run, const char *what)
{
	run->open = trace_accept(run->trace, what, state_copy(run->model), NULL);
	run->open->mixed = changes_in_place(what);
}

/* The library's view goes into the model's files, and their bytes must be the model's already. */
void recorded_end(struct run *run)
{
	struct state live;

	state_init(&live);
	state_read(run->pool, run->prefix, &live);
	const char *why = state_bytes_differ(run->model, NULL, &live, false);

	for (unsigned i = 0; i < NFILES; i++) {
		run->model->f[i].nmaps = UINT32_MAX;
		if (!why)
			why = file_layout_differs(&run->model->f[i], &live.f[i]);
	}
	if (why)
		fail("before any crash, after '%s': %s", run->open->what, why);
	for (unsigned i = 0; i < NFILES; i++)
		if (live.f[i].there)
			file_copy(&run->model->f[i], &live.f[i]);
	state_free(&live);
	struct accept *before = run->open;

	before->states[1] = state_copy(run->model);
	before->n = 2;
	trace_accept(run->trace, before->what, state_copy(run->model), NULL);
}

static uint64_t below(struct run *run, uint64_t n)
{
	return rnd_below(&run->rng, n);
}

/* A file that is there, or is not; NFILES: none. */
static unsigned pick(struct run *run, bool there)
{
	unsigned first = (unsigned)below(run, NFILES);

	for (unsigned i = 0; i < NFILES; i++)
		if (run->model->f[(first + i) % NFILES].there == there)
			return (first + i) % NFILES;
	return NFILES;
}

static unsigned pick_other(struct run *run, unsigned than)
{
	for (unsigned i = 1; i < NFILES; i++)
		if (run->model->f[(than + i) % NFILES].there)
			return (than + i) % NFILES;
	return NFILES;
}

static struct daxl_file *open_flags(struct run *run, unsigned i, int flags)
{
	struct daxl_file *file = NULL;
	char name[32];

	if (run->pool)
		must(daxl_open(run->pool, name_of(run->prefix, i, name), flags, &file));
	return file;
}

static struct daxl_file *open_file(struct run *run, unsigned i)
{
	return open_flags(run, i, O_RDWR);
}

static void close_file(struct daxl_file *file)
{
	if (file)
		must(daxl_close(file));
}

static long whole(ssize_t rc, uint64_t len)
{
	return rc == (ssize_t)len ? 0 : rc < 0 ? rc : -EIO;
}

static uint8_t *fill(struct run *run, uint64_t len)
{
	static _Thread_local uint8_t buf[FILE_CAP];
	uint64_t z = rnd(&run->rng);

	/* No zero bytes: what should have been zeroed and was not shows. */
	for (uint64_t i = 0; i < len; i++) {
		if (i % 8 == 0)
			rnd(&z);
		buf[i] = (uint8_t)((z >> i % 8 * 8) | 1);
	}
	return buf;
}

static void model_write(struct mfile *f, uint64_t off, const uint8_t *bytes, uint64_t len)
{
	if (off + len > f->size)
		file_resize(f, off + len);
	memcpy(f->bytes + off, bytes, len);
}

static void model_zero(struct mfile *f, uint64_t off, uint64_t end)
{
	if (off < f->size)
		memset(f->bytes + off, 0, daxl_min_u64(end, f->size) - off);
}

/* --- names --- */

static bool op_create(struct run *run)
{
	unsigned i = pick(run, false);
	struct daxl_file *file = NULL;
	char name[32];

	if (i == NFILES)
		return false;
	STEP(run, "create", daxl_open(run->pool, name_of(run->prefix, i, name), O_RDWR | O_CREAT | O_EXCL, &file),
	     run->model->f[i].there = true);
	close_file(file);
	return true;
}

static void swap_files(struct mfile *a, struct mfile *b)
{
	struct mfile t = *a;

	*a = *b;
	*b = t;
}

static bool rename_to(struct run *run, bool there, unsigned flags)
{
	unsigned i = pick(run, true), k = there && i < NFILES ? pick_other(run, i) : pick(run, false);
	struct mfile *f = run->model->f;
	char from[32], to[32];

	if (i == NFILES || k == NFILES)
		return false;
	run->begin(run, there ? flags ? "rename exchange" : "rename replace" : "rename");
	if (run->pool)
		must(daxl_rename(run->pool, name_of(run->prefix, i, from), name_of(run->prefix, k, to), flags));
	swap_files(&f[i], &f[k]);
	if (there && !flags)
		file_remove(&f[i]);
	run->end(run);
	return true;
}

static bool op_rename(struct run *run)
{
	return rename_to(run, false, 0);
}

static bool op_rename_replace(struct run *run)
{
	return rename_to(run, true, 0);
}

static bool op_rename_exchange(struct run *run)
{
	return rename_to(run, true, DAXL_RENAME_EXCHANGE);
}

static bool op_unlink(struct run *run)
{
	unsigned i = pick(run, true);
	char name[32];

	if (i == NFILES)
		return false;
	STEP(run, "unlink", daxl_unlink(run->pool, name_of(run->prefix, i, name)), file_remove(&run->model->f[i]));
	return true;
}

static bool op_unlink_open(struct run *run)
{
	unsigned i = pick(run, true);
	char name[32];

	if (i == NFILES)
		return false;
	struct daxl_file *file = open_file(run, i);
	uint8_t *bytes = fill(run, 10000);

	STEP(run, "unlink of an open file", daxl_unlink(run->pool, name_of(run->prefix, i, name)),
	     file_remove(&run->model->f[i]));
	STEP(run, "write to a file without a name", whole(daxl_pwrite(file, bytes, 10000, 5000), 10000), (void)0);
	STEP(run, "checkpoint with a file without a name", daxl_pool_checkpoint(run->pool), (void)0);
	STEP(run, "last close", daxl_close(file), (void)0);
	return true;
}

static bool op_setattr(struct run *run)
{
	unsigned i = pick(run, true);
	uint32_t value = (uint32_t)rnd(&run->rng) | 1;

	if (i == NFILES)
		return false;
	struct daxl_file *file = open_file(run, i);

	STEP(run, "setattr", daxl_setattr(file, ATTR_KEY, &value, sizeof(value)), run->model->f[i].attr = value);
	if (below(run, 3) == 0)
		STEP(run, "removal of an attribute", daxl_setattr(file, ATTR_KEY, NULL, 0), run->model->f[i].attr = 0);
	close_file(file);
	return true;
}

/* --- bytes --- */

static bool write_at(struct run *run, const char *what, unsigned i, uint64_t off, uint64_t len, int oflags, unsigned flags)
{
	struct mfile *f = &run->model->f[i];
	uint8_t *bytes = fill(run, len);
	struct iovec iov = { .iov_base = bytes, .iov_len = len };

	if (len == 0 || off + len > FILE_CAP)
		return false;
	struct daxl_file *file = open_flags(run, i, O_RDWR | oflags);

	STEP(run, what, whole(daxl_pwritev(file, &iov, 1, (off_t)off, flags, NULL), len), model_write(f, off, bytes, len));
	close_file(file);
	return true;
}

/* Lengths of a few bytes, of about a block, and of several. */
static uint64_t some_len(struct run *run)
{
	uint64_t block = run->block;

	switch (below(run, 4)) {
	case 0:
		return 1 + below(run, 60);
	case 1:
		return block * (1 + below(run, 3));
	case 2:
		return 1 + below(run, 2 * block);
	default:
		return 1 + below(run, 5 * block);
	}
}

static uint64_t some_block(struct run *run, uint64_t off)
{
	return below(run, 2) ? off : off / run->block * run->block;
}

static bool op_overwrite(struct run *run)
{
	unsigned i = pick(run, true);

	if (i == NFILES || run->model->f[i].size == 0)
		return false;
	uint64_t off = some_block(run, below(run, run->model->f[i].size));

	return write_at(run, "overwrite", i, off, daxl_min_u64(some_len(run), run->model->f[i].size - off), 0, 0);
}

static bool op_write(struct run *run)
{
	unsigned i = pick(run, true);

	if (i == NFILES)
		return false;
	uint64_t off = some_block(run, below(run, run->model->f[i].size + 1));

	return write_at(run, "write", i, off, daxl_min_u64(some_len(run), FILE_CAP - off), 0, 0);
}

static bool op_write_past(struct run *run)
{
	unsigned i = pick(run, true);

	if (i == NFILES)
		return false;
	uint64_t off = run->model->f[i].size + 1 + below(run, 3 * run->block);

	return off < FILE_CAP &&
	       write_at(run, "write past the end", i, off, daxl_min_u64(some_len(run), FILE_CAP - off), 0, 0);
}

static bool op_append(struct run *run)
{
	unsigned i = pick(run, true);

	if (i == NFILES)
		return false;
	uint64_t off = run->model->f[i].size;

	return write_at(run, "append", i, off, daxl_min_u64(some_len(run), FILE_CAP - off), O_APPEND, 0);
}

static bool op_atomic(struct run *run)
{
	unsigned i = pick(run, true);

	if (i == NFILES)
		return false;
	uint64_t off = some_block(run, below(run, run->model->f[i].size + 1));

	return write_at(run, "atomic write", i, off, daxl_min_u64(some_len(run), FILE_CAP - off), 0, DAXL_WRITE_ATOMIC);
}

/* --- fallocate and truncate --- */

static bool fallocate_at(struct run *run, const char *what, unsigned i, int mode, uint64_t off, uint64_t len)
{
	struct mfile *f = &run->model->f[i];

	if (len == 0 || off + len > FILE_CAP)
		return false;
	struct daxl_file *file = open_file(run, i);
	int kind = mode & ~FALLOC_FL_KEEP_SIZE;

	run->begin(run, what);
	if (run->pool)
		must_be_0(daxl_fallocate(file, mode, (off_t)off, (off_t)len, NULL), what, __FILE__, __LINE__);
	if (kind == FALLOC_FL_PUNCH_HOLE || kind == FALLOC_FL_ZERO_RANGE)
		model_zero(f, off, off + len);
	if ((kind == 0 || kind == FALLOC_FL_ZERO_RANGE) && !(mode & FALLOC_FL_KEEP_SIZE) && off + len > f->size)
		file_resize(f, off + len);
	if (kind == FALLOC_FL_COLLAPSE_RANGE) {
		memmove(f->bytes + off, f->bytes + off + len, f->size - off - len);
		file_resize(f, f->size - len);
	}
	if (kind == FALLOC_FL_INSERT_RANGE) {
		file_resize(f, f->size + len);
		memmove(f->bytes + off + len, f->bytes + off, f->size - off - len);
		memset(f->bytes + off, 0, len);
	}
	run->end(run);
	close_file(file);
	return true;
}

static bool fallocate_some(struct run *run, const char *what, int mode, bool aligned)
{
	unsigned i = pick(run, true);

	if (i == NFILES)
		return false;
	uint64_t off = below(run, run->model->f[i].size + run->block), len = some_len(run);

	if (aligned) {
		off = off / run->block * run->block;
		len = daxl_round_up(len, run->block);
	}
	if (off >= FILE_CAP)
		return false;
	return fallocate_at(run, what, i, mode, off, daxl_min_u64(len, FILE_CAP - off));
}

static bool op_allocate(struct run *run)
{
	return fallocate_some(run, "allocate", 0, below(run, 2));
}

static bool op_allocate_keep(struct run *run)
{
	return fallocate_some(run, "allocate KEEP_SIZE", FALLOC_FL_KEEP_SIZE, below(run, 2));
}

static bool op_zero(struct run *run)
{
	return fallocate_some(run, "zero range", FALLOC_FL_ZERO_RANGE, below(run, 3) == 0);
}

static bool op_zero_keep(struct run *run)
{
	return fallocate_some(run, "zero range KEEP_SIZE", FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, below(run, 3) == 0);
}

static bool op_punch(struct run *run)
{
	return fallocate_some(run, "punch, unaligned", FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, false);
}

static bool op_punch_aligned(struct run *run)
{
	return fallocate_some(run, "punch, aligned", FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, true);
}

static bool op_unshare(struct run *run)
{
	return fallocate_some(run, "unshare", FALLOC_FL_UNSHARE_RANGE, below(run, 2));
}

static bool op_collapse(struct run *run)
{
	unsigned i = pick(run, true);

	if (i == NFILES || run->model->f[i].size <= run->block)
		return false;
	uint64_t blocks = (run->model->f[i].size - 1) / run->block; /* something stays behind it */
	uint64_t at = below(run, blocks);

	return fallocate_at(run, "collapse", i, FALLOC_FL_COLLAPSE_RANGE, at * run->block,
	                    (1 + below(run, daxl_min_u64(blocks - at, 4))) * run->block);
}

static bool op_insert(struct run *run)
{
	unsigned i = pick(run, true);

	if (i == NFILES || run->model->f[i].size == 0)
		return false;
	uint64_t at = below(run, (run->model->f[i].size + run->block - 1) / run->block);
	uint64_t len = (1 + below(run, 4)) * run->block;

	return run->model->f[i].size + len <= FILE_CAP &&
	       fallocate_at(run, "insert", i, FALLOC_FL_INSERT_RANGE, at * run->block, len);
}

/* A hole or unwritten blocks first, then a write that covers part of them. */
static bool write_into(struct run *run, const char *what, int mode)
{
	unsigned i = pick(run, true);

	if (i == NFILES || run->model->f[i].size == 0)
		return false;
	uint64_t at = below(run, run->model->f[i].size) / run->block, n = 1 + below(run, 4);
	uint64_t off = at * run->block, len = n * run->block;

	if (!fallocate_at(run, "before a write", i, mode | FALLOC_FL_KEEP_SIZE, off, len))
		return false;
	uint64_t from = some_block(run, off + below(run, len));

	return write_at(run, what, i, from, daxl_min_u64(some_len(run), FILE_CAP - from), 0, 0);
}

static bool op_write_hole(struct run *run)
{
	return write_into(run, "write into a hole", FALLOC_FL_PUNCH_HOLE);
}

static bool op_write_unwritten(struct run *run)
{
	return write_into(run, "write into unwritten blocks", FALLOC_FL_ZERO_RANGE);
}

static void truncate_to(struct run *run, const char *what, unsigned i, uint64_t size, const struct daxl_wait *wait)
{
	struct daxl_file *file = open_file(run, i);

	STEP(run, what, daxl_truncate(file, (off_t)size, wait), file_resize(&run->model->f[i], size));
	close_file(file);
}

static bool op_truncate_down(struct run *run)
{
	unsigned i = pick(run, true);

	if (i == NFILES || run->model->f[i].size == 0)
		return false;
	truncate_to(run, "truncate down", i, below(run, run->model->f[i].size), NULL);
	return true;
}

static bool op_truncate_up(struct run *run)
{
	unsigned i = pick(run, true);

	if (i == NFILES || run->model->f[i].size == FILE_CAP)
		return false;
	uint64_t size = run->model->f[i].size + 1 + below(run, 3 * run->block);

	truncate_to(run, "truncate up", i, daxl_min_u64(size, FILE_CAP), NULL);
	return true;
}

/* Down and up again: what was cut off reads as zeroes. */
static bool op_truncate_down_up(struct run *run)
{
	unsigned i = pick(run, true);

	if (i == NFILES || run->model->f[i].size < 2)
		return false;
	uint64_t size = run->model->f[i].size;

	truncate_to(run, "truncate down", i, 1 + below(run, size - 1), NULL);
	truncate_to(run, "truncate up again", i, size, NULL);
	return true;
}

static bool op_truncate_same(struct run *run)
{
	unsigned i = pick(run, true);

	if (i == NFILES)
		return false;
	uint64_t size = run->model->f[i].size;

	fallocate_at(run, "allocate past the end", i, FALLOC_FL_KEEP_SIZE, size,
	             daxl_min_u64(3 * run->block, FILE_CAP - size));
	truncate_to(run, "truncate to the same size", i, size, NULL);
	return true;
}

static bool op_open_truncate(struct run *run)
{
	unsigned i = pick(run, true);
	struct daxl_file *file = NULL;
	char name[32];

	if (i == NFILES)
		return false;
	STEP(run, "open with O_TRUNC", daxl_open(run->pool, name_of(run->prefix, i, name), O_RDWR | O_TRUNC, &file),
	     file_resize(&run->model->f[i], 0));
	close_file(file);
	return true;
}

/* --- two files --- */

static bool clone_some(struct run *run, bool write_after)
{
	unsigned i = pick(run, true), k = i < NFILES ? pick_other(run, i) : NFILES;

	if (k == NFILES || run->model->f[i].size == 0)
		return false;
	struct mfile *src = &run->model->f[i], *dst = &run->model->f[k];
	uint64_t at = below(run, (src->size + run->block - 1) / run->block) * run->block;
	uint64_t to = below(run, (dst->size + run->block - 1) / run->block + 2) * run->block;
	uint64_t len = daxl_min_u64(src->size - at, (1 + below(run, 4)) * run->block);

	/* An unaligned end only at the ends of both. */
	if (len % run->block && to + len < dst->size)
		len = len / run->block * run->block;
	if (len == 0 || to + daxl_round_up(len, run->block) > FILE_CAP)
		return false;
	struct daxl_file *a = open_file(run, i), *b = open_file(run, k);

	STEP(run, "clone", daxl_clone_range(a, (off_t)at, b, (off_t)to, (off_t)len, NULL),
	     model_write(dst, to, src->bytes + at, len));
	close_file(a);
	close_file(b);
	if (write_after) {
		write_at(run, "write to shared blocks", k, to + below(run, len), 1 + below(run, len), 0, 0);
		uint64_t off = at + below(run, len);

		fallocate_at(run, "punch in shared blocks", i, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, off,
		             daxl_min_u64(1 + below(run, len), FILE_CAP - off));
	}
	return true;
}

static bool op_clone(struct run *run)
{
	return clone_some(run, false);
}

static bool op_clone_write(struct run *run)
{
	return clone_some(run, true);
}

static bool op_dedupe(struct run *run)
{
	unsigned i = pick(run, true), k = i < NFILES ? pick_other(run, i) : NFILES;
	struct mfile *f = run->model->f;
	bool same = false;

	if (k == NFILES || daxl_min_u64(f[i].size, f[k].size) < run->block)
		return false;
	uint64_t at = below(run, f[i].size / run->block) * run->block, to = below(run, f[k].size / run->block) * run->block;
	uint64_t len = daxl_min_u64(f[i].size - at, f[k].size - to) / run->block;

	len = (1 + below(run, daxl_min_u64(len, 3))) * run->block;
	/* The same bytes first. */
	struct daxl_file *a = open_file(run, i), *b = open_file(run, k);

	STEP(run, "write before dedupe", whole(daxl_pwrite(b, f[i].bytes + at, len, (off_t)to), len),
	     model_write(&f[k], to, f[i].bytes + at, len));
	STEP(run, "dedupe", daxl_dedupe_range(a, (off_t)at, b, (off_t)to, (off_t)len, NULL, &same), (void)0);
	if (run->pool && !same)
		fail("dedupe of equal ranges found a difference");
	close_file(a);
	close_file(b);
	return true;
}

static bool op_exchange(struct run *run)
{
	unsigned i = pick(run, true), k = i < NFILES ? pick_other(run, i) : NFILES;
	struct mfile *f = run->model->f;
	static _Thread_local uint8_t tmp[FILE_CAP];

	if (k == NFILES || daxl_min_u64(f[i].size, f[k].size) < run->block)
		return false;
	uint64_t at = below(run, f[i].size / run->block) * run->block, to = below(run, f[k].size / run->block) * run->block;
	uint64_t len = daxl_min_u64(f[i].size - at, f[k].size - to) / run->block;

	len = (1 + below(run, daxl_min_u64(len, 3))) * run->block;
	struct daxl_file *a = open_file(run, i), *b = open_file(run, k);

	run->begin(run, "exchange");
	if (run->pool)
		must(daxl_exchange_range(a, (off_t)at, b, (off_t)to, (off_t)len, NULL));
	memcpy(tmp, f[i].bytes + at, len);
	memcpy(f[i].bytes + at, f[k].bytes + to, len);
	memcpy(f[k].bytes + to, tmp, len);
	run->end(run);
	close_file(a);
	close_file(b);
	return true;
}

static bool op_exchange_whole(struct run *run)
{
	unsigned i = pick(run, true), k = i < NFILES ? pick_other(run, i) : NFILES;
	struct mfile *f = run->model->f;

	if (k == NFILES)
		return false;
	struct daxl_file *a = open_file(run, i), *b = open_file(run, k);

	run->begin(run, "exchange of whole files");
	if (run->pool)
		must(daxl_exchange_range(a, 0, b, 0, DAXL_TO_END, NULL));
	swap_files(&f[i], &f[k]);
	uint32_t attr = f[i].attr; /* stays with the file */

	f[i].attr = f[k].attr;
	f[k].attr = attr;
	run->end(run);
	close_file(a);
	close_file(b);
	return true;
}

/* --- leases --- */

static int write_lease(struct daxl_file *file, uint64_t off, uint64_t len, struct daxl_lease **ret_lease)
{
	struct daxl_lease_opts opts = DAXL_LEASE_OPTS_INIT;

	opts.mode = DAXL_LEASE_WRITE;
	return daxl_lease_acquire(file, (off_t)off, (off_t)len, &opts, ret_lease);
}

/* The holder's device: stores through the lease's addresses. */
static void holder_store(struct run *run, struct daxl_lease *lease, uint64_t off, const uint8_t *bytes, uint64_t len)
{
	struct daxl_extent exts[LEASE_EXTENTS];
	ssize_t n = daxl_lease_extents(lease, exts, LEASE_EXTENTS);

	if (n < 0 || n > (ssize_t)LEASE_EXTENTS)
		fail("lease of %zd extents", n);
	must(daxl_lease_pin(lease));
	for (ssize_t i = 0; i < n; i++) {
		uint64_t from = daxl_max_u64(off, exts[i].file_off);
		uint64_t to = daxl_min_u64(off + len, exts[i].file_off + exts[i].len);

		if (from >= to)
			continue;
		if (!exts[i].addr)
			fail("a WRITE lease without an address at %llu", (unsigned long long)from);
		trace_holder_store(run->trace, (char *)exts[i].addr + (from - exts[i].file_off), bytes + (from - off), to - from);
	}
	daxl_lease_unpin(lease);
}

static void end_lease(struct daxl_lease *lease)
{
	if (!lease)
		return;
	must(daxl_lease_return(lease));
	daxl_lease_free(lease);
}

static bool op_grant(struct run *run)
{
	unsigned i = pick(run, true);
	struct daxl_lease *lease = NULL;

	if (i == NFILES)
		return false;
	uint64_t off = below(run, run->model->f[i].size + run->block), len = some_len(run);

	if (off >= FILE_CAP)
		return false;
	len = daxl_min_u64(len, FILE_CAP - off);
	struct daxl_file *file = open_file(run, i);

	STEP(run, "WRITE grant", write_lease(file, off, len, &lease), (void)0);
	end_lease(lease);
	close_file(file);
	return true;
}

/* A grant past the end, stores by the holder, a commit that moves the size. The holder also scribbles past it (L10). */
static bool op_commit(struct run *run)
{
	unsigned i = pick(run, true);
	struct daxl_lease *lease = NULL;

	if (i == NFILES)
		return false;
	struct mfile *f = &run->model->f[i];
	uint64_t off = f->size + (below(run, 2) ? 0 : below(run, run->block)), len = some_len(run);
	uint64_t extra = below(run, 100);

	if (off + len + extra > FILE_CAP)
		return false;
	struct daxl_file *file = open_file(run, i);
	uint8_t *bytes = fill(run, len + extra);

	STEP(run, "WRITE grant past the end", write_lease(file, f->size, off + len + extra - f->size, &lease), (void)0);
	run->begin(run, "holder's stores and commit with size");
	if (run->pool) {
		holder_store(run, lease, off, bytes, len + extra);
		must(daxl_lease_commit(lease, (off_t)off, (off_t)len, (off_t)(off + len)));
	}
	model_write(f, off, bytes, len);
	run->end(run);
	end_lease(lease);
	close_file(file);
	return true;
}

/* The same inside the file: bytes in place are old or new, and durable after the commit. */
static bool op_commit_inside(struct run *run)
{
	unsigned i = pick(run, true);
	struct daxl_lease *lease = NULL;

	if (i == NFILES || run->model->f[i].size == 0)
		return false;
	struct mfile *f = &run->model->f[i];
	uint64_t off = below(run, f->size), len = daxl_min_u64(some_len(run), f->size - off);
	struct daxl_file *file = open_file(run, i);
	uint8_t *bytes = fill(run, len);
	bool persist = below(run, 2);

	STEP(run, "WRITE grant inside", write_lease(file, off, len, &lease), (void)0);
	run->begin(run, persist ? "holder's stores and persist" : "holder's stores and commit");
	if (run->pool) {
		holder_store(run, lease, off, bytes, len);
		if (persist)
			must(daxl_lease_persist(lease, (off_t)off, (off_t)len));
		else
			must(daxl_lease_commit(lease, (off_t)off, (off_t)len, -1));
	}
	model_write(f, off, bytes, len);
	run->end(run);
	end_lease(lease);
	close_file(file);
	return true;
}

/* Blocks are cut off under a pin and go to limbo; after a crash they are free (L15). */
static bool op_limbo(struct run *run)
{
	unsigned i = pick(run, true);
	struct daxl_wait wait = DAXL_WAIT_INIT;
	struct daxl_lease_opts opts = DAXL_LEASE_OPTS_INIT;
	struct daxl_lease *lease = NULL;

	if (i == NFILES || run->model->f[i].size <= run->block)
		return false;
	struct daxl_file *file = open_file(run, i);

	wait.timeout_ms = 2;
	wait.on_timeout = DAXL_ON_TIMEOUT_LIMBO;
	opts.break_ms = 1;
	if (run->pool) {
		must(daxl_lease_acquire(file, 0, DAXL_TO_END, &opts, &lease));
		must(daxl_lease_pin(lease));
	}
	truncate_to(run, "truncate with limbo", i, below(run, run->model->f[i].size), &wait);
	STEP(run, "checkpoint with blocks in limbo", daxl_pool_checkpoint(run->pool), (void)0);
	if (lease) {
		daxl_lease_unpin(lease);
		end_lease(lease);
	}
	close_file(file);
	return true;
}

static bool op_checkpoint(struct run *run)
{
	/* With what was replaced before let go, or still waiting for its grace period. */
	if (below(run, 2) && run->pool)
		(void)daxl_wait_for_frees(run->pool);
	STEP(run, "checkpoint", daxl_pool_checkpoint(run->pool), (void)0);
	return true;
}

/* Runs so many that the map needs inner nodes and the record payload pages, then a record over all of it. */
static bool op_many_runs(struct run *run)
{
	unsigned i = pick(run, true);

	if (i == NFILES)
		return false;
	uint64_t blocks = BLOCKS_MAX - 2;
	struct mfile *f = &run->model->f[i];

	fallocate_at(run, "allocate all", i, 0, 0, blocks * run->block);
	for (uint64_t at = 0; at < blocks; at += 2)
		fallocate_at(run, "one hole more", i, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at * run->block, run->block);
	uint64_t off = below(run, run->block), len = FILE_CAP - run->block - below(run, run->block) - off;

	if (below(run, 2))
		return fallocate_at(run, "allocate many holes", i, 0, off, len);
	return f->size < FILE_CAP && write_at(run, "write into many holes", i, off, len, 0, 0);
}

const struct op ops[] = {
	{ "create", op_create },
	{ "rename", op_rename },
	{ "rename-replace", op_rename_replace },
	{ "rename-exchange", op_rename_exchange },
	{ "unlink", op_unlink },
	{ "unlink-open", op_unlink_open },
	{ "setattr", op_setattr },
	{ "write", op_write },
	{ "overwrite", op_overwrite },
	{ "write-past", op_write_past },
	{ "write-hole", op_write_hole },
	{ "write-unwritten", op_write_unwritten },
	{ "append", op_append },
	{ "atomic", op_atomic },
	{ "allocate", op_allocate },
	{ "allocate-keep", op_allocate_keep },
	{ "zero", op_zero },
	{ "zero-keep", op_zero_keep },
	{ "punch", op_punch },
	{ "punch-aligned", op_punch_aligned },
	{ "unshare", op_unshare },
	{ "collapse", op_collapse },
	{ "insert", op_insert },
	{ "truncate-down", op_truncate_down },
	{ "truncate-up", op_truncate_up },
	{ "truncate-down-up", op_truncate_down_up },
	{ "truncate-same", op_truncate_same },
	{ "open-truncate", op_open_truncate },
	{ "clone", op_clone },
	{ "clone-write", op_clone_write },
	{ "dedupe", op_dedupe },
	{ "exchange", op_exchange },
	{ "exchange-whole", op_exchange_whole },
	{ "grant", op_grant },
	{ "commit", op_commit },
	{ "commit-inside", op_commit_inside },
	{ "limbo", op_limbo },
	{ "checkpoint", op_checkpoint },
	{ "many-runs", op_many_runs },
};
const unsigned nops = DAXL_ARRAY_LEN(ops);

const struct op *op_find(const char *name)
{
	for (unsigned i = 0; i < nops; i++)
		if (strcmp(ops[i].name, name) == 0)
			return &ops[i];
	return NULL;
}

void run_random_op(struct run *run)
{
	/* The last one takes long: only where it is asked for. */
	while (!ops[below(run, nops - 1)].run(run))
		;
}
