/* SPDX-License-Identifier: BSD-3-Clause */
/* Whole pools: making, opening, closing, checking, growing, asking about them. Most work on w.image, beside w.pool. */
#include "fault.h"

#include <sys/stat.h>

static uint64_t was; /* the image's hash before a call that may store nothing */

static long long create_with(uint32_t flags)
{
	struct daxl_pool_opts opts = DAXL_POOL_OPTS_INIT;

	opts.flags = flags;
	return daxl_pool_create(w.image, 4 * MIB, &opts, &w.out.pool);
}
CALL(create, create_with(0))
CALL(create_sparse, create_with(DAXL_POOL_SPARSE))

static long long open_with(uint32_t flags, uint32_t checkpoint_interval_ms)
{
	struct daxl_pool_opts opts = DAXL_POOL_OPTS_INIT;

	opts.flags = flags;
	opts.checkpoint_interval_ms = checkpoint_interval_ms;
	return daxl_pool_open(w.image, &opts, &w.out.pool);
}
CALL(open_it, open_with(0, 0))
CALL(open_background, open_with(0, 3600 * 1000))
CALL(open_read_only, open_with(DAXL_POOL_READ_ONLY, 0))
CALL(stat_it, daxl_pool_stat(w.pool, &w.out.pool_stat))
CALL(checkpoint, daxl_pool_checkpoint(w.pool))
CALL(grow, daxl_pool_grow(w.pool, 24 * MIB))
CALL(event_fd, daxl_pool_event_fd(w.pool) < 0)
CALL(event_next, daxl_event_next(w.pool, &w.out.event))
CALL(base, daxl_pool_base(w.pool) == NULL)
CALL(owner_new, daxl_owner_new() == 0)
CALL(version, daxl_version())
CALL(errormsg, daxl_errormsg() == NULL)
CALL(stats, daxl_stats(w.pool, &w.out.stats))

static int listen(const struct daxl_check_finding *finding, void *arg)
{
	(void)finding, (void)arg;
	return 0;
}
CALL(check, daxl_check(w.image, 0, listen, NULL))
CALL(repair, daxl_check(w.image, DAXL_CHECK_REPAIR, listen, NULL))

static void nothing_there(void)
{
	ck_assert_int_ne(access(w.image, F_OK), 0);
}
static void empty_file(void)
{
	image_none();
	int fd = open(w.image, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	close(fd);
}
static void empty_still(void)
{
	struct stat st;

	ck_assert_int_eq(stat(w.image, &st), 0);
	is(st.st_size, 0);
}
static void is_new(long long rc)
{
	struct daxl_file *file = api_file(w.out.pool, "f", 3 * BLK);

	(void)rc;
	ok(daxl_close(file));
	ok(daxl_pool_close(w.out.pool));
	is(daxl_check(w.image, 0, NULL, NULL), 0);
}
static void close_and_look(long long rc)
{
	(void)rc;
	ok(daxl_pool_close(w.out.pool));
	image_is_whole();
}
static void crashed_and_hashed(void)
{
	image_crashed();
	was = api_hash(w.image);
}
static void damaged_and_hashed(void)
{
	image_damaged();
	was = api_hash(w.image);
}
static void as_it_was(void)
{
	is(api_hash(w.image), was);
}
static void close_unchanged(long long rc)
{
	(void)rc;
	ok(daxl_pool_close(w.out.pool));
	as_it_was();
	image_is_whole();
}
static void unchanged_after(long long rc)
{
	(void)rc;
	as_it_was();
}
/* An open pool with changes since its last checkpoint. */
static struct daxl_pool *opened;
static long long close_opened(void)
{
	return daxl_pool_close(opened);
}
static void open_and_change(void)
{
	struct daxl_file *file;

	image_crashed();
	ok(daxl_pool_open(w.image, NULL, &opened));
	ok(daxl_open(opened, "many", O_RDWR, &file));
	ok(daxl_setattr(file, "key", "value", 5));
	ok(daxl_fallocate(file, FALLOC_FL_INSERT_RANGE, 0, 2 * BLK, NULL));
	ok(daxl_fallocate(file, FALLOC_FL_COLLAPSE_RANGE, 0, 2 * BLK, NULL));
	ok(daxl_close(file));
}
static void is_whole_after(long long rc)
{
	(void)rc;
	image_is_whole();
}
/* Whatever the attempt has done: a repair brings a pool that opens, with the file that was not damaged. */
static void is_repaired(void)
{
	struct daxl_pool *pool;
	struct daxl_file *file;

	ck_assert_int_ge(daxl_check(w.image, DAXL_CHECK_REPAIR, NULL, NULL), 0);
	is(daxl_check(w.image, 0, NULL, NULL), 0);
	ok(daxl_pool_open(w.image, NULL, &pool));
	ok(daxl_open(pool, "whole", O_RDONLY, &file));
	api_is_pattern(file, 0, 3 * BLK, 0);
	ok(daxl_close(file));
	ok(daxl_pool_close(pool));
}
static void is_repaired_after(long long rc)
{
	(void)rc;
	is_repaired();
}

const struct fault_row fault_pool_rows[] = {
	{"daxl_pool_create", ROW(create), .prepare = image_none, .failed = nothing_there, .done = is_new},
	{"daxl_pool_create", ROW(create_sparse), .prepare = empty_file, .failed = empty_still, .done = is_new},
	{"daxl_pool_open", ROW(open_it), .prepare = image_crashed, .failed = image_is_whole, .done = close_and_look},
	{"daxl_pool_open", ROW(open_background), .prepare = image_crashed, .failed = image_is_whole,
	 .done = close_and_look},
	{"daxl_pool_open", ROW(open_read_only), .prepare = crashed_and_hashed, .failed = as_it_was,
	 .done = close_unchanged},
	{"daxl_pool_close", ROW(close_opened), .prepare = open_and_change, .done = is_whole_after},
	{"daxl_pool_stat", ROW(stat_it)},
	{"daxl_pool_checkpoint", ROW(checkpoint)},
	{"daxl_pool_grow", ROW(grow)},
	{"daxl_pool_event_fd", ROW(event_fd)},
	{"daxl_event_next", ROW(event_next)},
	{"daxl_pool_base", ROW(base)},
	{"daxl_owner_new", ROW(owner_new)},
	{"daxl_version", ROW(version)},
	{"daxl_errormsg", ROW(errormsg)},
	{"daxl_stats", ROW(stats)},
	{"daxl_check", ROW(check), .prepare = crashed_and_hashed, .failed = as_it_was, .done = unchanged_after,
	 .partial = true},
	{"daxl_check", "damaged", .call = check, .prepare = damaged_and_hashed, .failed = as_it_was,
	 .done = unchanged_after, .partial = true},
	/* -ENOSPC: what can no longer be read may have been in use, and that may be everything */
	{"daxl_check", ROW(repair), .prepare = image_damaged, .failed = is_repaired, .done = is_repaired_after,
	 .partial = true, .or_err = ENOSPC},
};
const size_t fault_pool_nrows = sizeof(fault_pool_rows) / sizeof(fault_pool_rows[0]);
