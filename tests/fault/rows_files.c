/* SPDX-License-Identifier: BSD-3-Clause */
/* Names, handles, attributes, reading and writing. */
#include "fault.h"

static unsigned char block[2 * BLK];

static int see(const char *name, uint64_t id, void *arg)
{
	(void)name, (void)id;
	++*(int *)arg;
	return 0;
}

static void close_it(long long rc)
{
	(void)rc;
	ok(daxl_close(w.out.file));
}

/* -ENOMEM with O_CREAT: it may have been made, empty. */
static void may_have_been_made(void)
{
	struct daxl_file *file;

	if (daxl_open(w.pool, "new", O_RDONLY, &file) != 0)
		return;
	is(api_size(file), 0);
	ok(daxl_close(file));
	ok(daxl_unlink(w.pool, "new"));
}

CALL(create, daxl_open(w.pool, "new", O_RDWR | O_CREAT | O_EXCL, &w.out.file))
CALL(open_there, daxl_open(w.pool, "spare", O_RDWR | O_APPEND, &w.out.file))
CALL(open_again, daxl_open(w.pool, "f", O_RDONLY, &w.out.file))
CALL(open_cut, daxl_open(w.pool, "f", O_RDWR | O_TRUNC, &w.out.file))
CALL(open_cut_unopened, daxl_open(w.pool, "spare", O_RDWR | O_TRUNC, &w.out.file))
CALL(close_extra, daxl_close(w.extra))
CALL(close_last, daxl_close(w.gone))
CALL(unlink_unopened, daxl_unlink(w.pool, "spare"))
CALL(unlink_open, daxl_unlink(w.pool, "twin"))
CALL(unlink_leased, daxl_unlink(w.pool, "aside"))
CALL(rename_it, daxl_rename(w.pool, "spare", "a longer name than it had before", 0))
CALL(rename_over, daxl_rename(w.pool, "spare", "victim", 0))
CALL(rename_over_open, daxl_rename(w.pool, "spare", "f", 0))
CALL(rename_exchange, daxl_rename(w.pool, "spare", "f", DAXL_RENAME_EXCHANGE))
CALL(stat_it, daxl_stat(w.f, &w.out.stat))
static long long list(void)
{
	int n = 0;
	int rc = daxl_list(w.pool, see, &n);

	return rc ? rc : n;
}
CALL(setattr, daxl_setattr(w.f, "key", "value", 5))
CALL(setattr_larger, daxl_setattr(w.f, "old", block, 3000))
CALL(setattr_remove, daxl_setattr(w.f, "old", NULL, 0))
CALL(getattr, daxl_getattr(w.f, "old", w.out.buf, sizeof(w.out.buf)))
CALL(read_some, daxl_pread(w.f, w.out.buf, sizeof(w.out.buf), 7 * BLK + 3))
CALL(write_in_place, daxl_pwrite(w.f, block, 100, 5 * BLK + 50))
CALL(write_hole, daxl_pwrite(w.f, block, 100, 9 * BLK + 50))
CALL(write_shared, daxl_pwrite(w.clone, block, 100, 3 * BLK + 50))
CALL(write_both, daxl_pwrite(w.f, block, BLK + 200, 3 * BLK + 50))
CALL(write_far, daxl_pwrite(w.f, block, 300, 40 * BLK + 5))
static long long readv_some(void)
{
	struct iovec iov[2] = {{w.out.buf, 100}, {w.out.buf + 100, 200}};

	return daxl_preadv(w.f, iov, 2, 0);
}
static long long writev_with(unsigned flags, off_t off)
{
	struct iovec iov[2] = {{block, 3000}, {block, 2000}};

	return daxl_pwritev(w.f, iov, 2, off, flags, NULL);
}
CALL(writev_hole, writev_with(0, 12 * BLK))
CALL(writev_atomic, writev_with(DAXL_WRITE_ATOMIC, 6 * BLK + 9))
static long long set_wait(void)
{
	struct daxl_wait wait = api_wait(1000, DAXL_ON_TIMEOUT_FAIL, 0);

	return daxl_set_wait(w.f, &wait);
}
CALL(sync_it, daxl_fsync(w.f))
CALL(map, daxl_map(w.f, 0, DAXL_TO_END, w.out.exts, 8))
CALL(seek, daxl_seek(w.f, 0, SEEK_HOLE))

static void extra_is_closed(long long rc)
{
	(void)rc;
	w.extra = NULL;
}
static void gone_is_closed(long long rc)
{
	(void)rc;
	w.gone = NULL;
}

const struct fault_row fault_file_rows[] = {
	{"daxl_open", ROW(create), .failed = may_have_been_made, .done = close_it},
	{"daxl_open", ROW(open_there), .done = close_it},
	{"daxl_open", ROW(open_again), .done = close_it},
	{"daxl_open", ROW(open_cut), .done = close_it},
	{"daxl_open", ROW(open_cut_unopened), .done = close_it},
	{"daxl_close", ROW(close_extra), .done = extra_is_closed},
	{"daxl_close", ROW(close_last), .done = gone_is_closed},
	{"daxl_unlink", ROW(unlink_unopened)},
	{"daxl_unlink", ROW(unlink_open)},
	{"daxl_unlink", ROW(unlink_leased)},
	{"daxl_rename", ROW(rename_it)},
	{"daxl_rename", ROW(rename_over)},
	{"daxl_rename", ROW(rename_over_open)},
	{"daxl_rename", ROW(rename_exchange)},
	{"daxl_stat", ROW(stat_it)},
	{"daxl_list", ROW(list)},
	{"daxl_setattr", ROW(setattr)},
	{"daxl_setattr", ROW(setattr_larger)},
	{"daxl_setattr", ROW(setattr_remove)},
	{"daxl_getattr", ROW(getattr)},
	{"daxl_pread", ROW(read_some)},
	{"daxl_pwrite", ROW(write_in_place)},
	{"daxl_pwrite", ROW(write_hole)},
	{"daxl_pwrite", ROW(write_shared)},
	{"daxl_pwrite", ROW(write_both)},
	{"daxl_pwrite", ROW(write_far)},
	{"daxl_preadv", ROW(readv_some)},
	{"daxl_pwritev", ROW(writev_hole)},
	{"daxl_pwritev", ROW(writev_atomic)},
	{"daxl_set_wait", ROW(set_wait)},
	{"daxl_fsync", ROW(sync_it)},
	{"daxl_map", ROW(map)},
	{"daxl_seek", ROW(seek)},
};
const size_t fault_file_nrows = sizeof(fault_file_rows) / sizeof(fault_file_rows[0]);
