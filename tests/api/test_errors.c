/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Each errno that a call documents for its arguments and for what the files are like, with a lease over the file that
 * must not be recalled by a call refused so. Errors of waiting: test_wait.c; of space and memory: test_full.c; of
 * pools: test_pool.c.
 */
#include "api.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/uio.h>

#define MAX_SIZE (INT64_MAX - (BLK - 1)) /* 2^63 less one block */

static char name_256[257];
static struct daxl_pool *pool;
static struct daxl_file *file, *ro; /* both "f", of 8 blocks and 100 bytes */
static struct daxl_lease *watch;    /* READ over all of it */

static void setup(void)
{
	memset(name_256, 'n', 256);
	pool = api_pool(NULL);
	file = api_file(pool, "f", 8 * BLK + 100);
	ok(daxl_open(pool, "f", O_RDONLY, &ro));
	watch = api_lease(file, 0, DAXL_TO_END, DAXL_LEASE_READ);
}

static void teardown(void)
{
	ck_assert_int_eq(daxl_lease_state(watch), DAXL_LEASE_LIVE); /* L5 */
	daxl_lease_free(watch);
	ok(daxl_close(file));
	ok(daxl_close(ro));
	ok(daxl_pool_close(pool));
}

START_TEST(open_refuses)
{
	static const int bad_flags[] = {O_WRONLY,    O_RDWR | O_WRONLY,        O_TRUNC, O_EXCL, O_RDWR | O_EXCL,
	                                O_DIRECTORY, O_RDWR | O_CREAT | O_SYNC};
	struct daxl_file *f = UNTOUCHED;

	setup();
	unchanged(pool, {
		fails(daxl_open(pool, "g", O_RDONLY, &f), ENOENT);
		ck_assert_ptr_nonnull(strstr(daxl_errormsg(), "'g'"));
		fails(daxl_open(pool, "f", O_RDWR | O_CREAT | O_EXCL, &f), EEXIST);
		fails(daxl_open(pool, "", O_RDWR | O_CREAT, &f), EINVAL);
		for (size_t i = 0; i < sizeof(bad_flags) / sizeof(bad_flags[0]); i++)
			fails(daxl_open(pool, "f", bad_flags[i], &f), EINVAL);
		fails(daxl_open(pool, name_256, O_RDWR | O_CREAT, &f), ENAMETOOLONG);
		ck_assert_ptr_eq(f, UNTOUCHED);
	});
	teardown();
}
END_TEST

START_TEST(names_refuse)
{
	setup();
	ok(daxl_close(api_file(pool, "g", 10)));
	unchanged(pool, {
		fails(daxl_unlink(pool, "h"), ENOENT);
		fails(daxl_unlink(pool, ""), EINVAL);
		fails(daxl_unlink(pool, name_256), ENAMETOOLONG);
		fails(daxl_rename(pool, "h", "i", 0), ENOENT);
		fails(daxl_rename(pool, "h", "f", DAXL_RENAME_NOREPLACE), ENOENT);
		fails(daxl_rename(pool, "f", "h", DAXL_RENAME_EXCHANGE), ENOENT);
		fails(daxl_rename(pool, "h", "f", DAXL_RENAME_EXCHANGE), ENOENT);
		fails(daxl_rename(pool, "f", "g", DAXL_RENAME_NOREPLACE), EEXIST);
		fails(daxl_rename(pool, "", "h", 0), EINVAL);
		fails(daxl_rename(pool, "f", "", 0), EINVAL);
		fails(daxl_rename(pool, "f", "g", 4), EINVAL);
		fails(daxl_rename(pool, "f", "g", DAXL_RENAME_NOREPLACE | DAXL_RENAME_EXCHANGE), EINVAL);
		fails(daxl_rename(pool, name_256, "h", 0), ENAMETOOLONG);
		fails(daxl_rename(pool, "f", name_256, 0), ENAMETOOLONG);
	});
	name_256[255] = 0; /* the longest there is */
	ok(daxl_rename(pool, "g", name_256, 0));
	ok(daxl_unlink(pool, name_256));
	teardown();
}
END_TEST

START_TEST(attributes_refuse)
{
	char value[DAXL_ATTR_SPACE_MAX] = {1}, got[4] = "abc";

	setup();
	ok(daxl_setattr(file, "key", "value", 5));
	unchanged(pool, {
		fails(daxl_setattr(file, "", "v", 1), EINVAL);
		fails(daxl_setattr(file, "k", NULL, 1), EINVAL);
		fails(daxl_setattr(file, name_256, "v", 1), ENAMETOOLONG);
		fails(daxl_setattr(ro, "k", "v", 1), EBADF);
		fails(daxl_setattr(file, "k", value, DAXL_ATTR_SPACE_MAX - 4), E2BIG);
		fails(daxl_setattr(file, "k", value, SIZE_MAX), E2BIG);
		fails(daxl_setattr(file, "k", value, DAXL_ATTR_SPACE_MAX - 5), ENOSPC);
		fails(daxl_setattr(file, "k", NULL, 0), ENODATA);
		fails(daxl_getattr(file, "k", got, 4), ENODATA);
		fails(daxl_getattr(file, "k", NULL, 0), ENODATA);
		fails(daxl_getattr(file, "key", got, 4), ERANGE);
		fails(daxl_getattr(file, "", got, 4), EINVAL);
		fails(daxl_getattr(file, name_256, got, 4), ENAMETOOLONG);
	});
	ck_assert_str_eq(got, "abc");
	is(daxl_getattr(file, "key", NULL, 0), 5);
	ok(daxl_setattr(file, "key", NULL, 0));
	ok(daxl_setattr(file, "k", value, DAXL_ATTR_SPACE_MAX - 5)); /* all the space there is */
	is(daxl_getattr(ro, "k", value, sizeof(value)), DAXL_ATTR_SPACE_MAX - 5);
	teardown();
}
END_TEST

START_TEST(reads_refuse)
{
	char buf[4] = "abc";
	struct iovec iov[2] = {{buf, SSIZE_MAX}, {buf, 1}};
	static struct iovec many[1025];

	setup();
	unchanged(pool, {
		fails(daxl_pread(file, buf, 4, -1), EINVAL);
		fails(daxl_pread(file, buf, 4, INT64_MIN), EINVAL);
		fails(daxl_pread(file, buf, (size_t)SSIZE_MAX + 1, 0), EINVAL);
		fails(daxl_preadv(file, iov, 2, 0), EINVAL);
		fails(daxl_preadv(file, iov, -1, 0), EINVAL);
		fails(daxl_preadv(file, many, 1025, 0), EINVAL);
		iov[0].iov_len = 4;
		fails(daxl_preadv(file, iov, 1, -1), EINVAL);
	});
	ck_assert_str_eq(buf, "abc");
	is(daxl_preadv(file, many, 1024, 0), 0);
	is(daxl_preadv(file, NULL, 0, 0), 0);
	is(daxl_pread(file, NULL, 0, 0), 0);
	teardown();
}
END_TEST

START_TEST(writes_refuse)
{
	char buf[4] = "abc";
	struct iovec iov[2] = {{buf, SSIZE_MAX}, {buf, 1}};
	static struct iovec many[1025];

	setup();
	unchanged(pool, {
		fails(daxl_pwrite(ro, buf, 4, 0), EBADF);
		fails(daxl_pwrite(file, buf, 4, -1), EINVAL);
		fails(daxl_pwrite(file, buf, (size_t)SSIZE_MAX + 1, 0), EINVAL);
		fails(daxl_pwrite(file, buf, 4, MAX_SIZE - 3), EFBIG);
		fails(daxl_pwrite(file, buf, 4, INT64_MAX), EFBIG);
		fails(daxl_pwritev(file, iov, 2, 0, 0, NULL), EINVAL);
		fails(daxl_pwritev(file, iov, 1, BLK, 0, NULL), EFBIG);
		fails(daxl_pwritev(file, iov, -1, 0, 0, NULL), EINVAL);
		fails(daxl_pwritev(file, many, 1025, 0, 0, NULL), EINVAL);
		iov[0].iov_len = 4;
		fails(daxl_pwritev(file, iov, 1, 0, 2, NULL), EOPNOTSUPP);
		fails(daxl_pwritev(file, iov, 1, 0, 1u << 31 | DAXL_WRITE_ATOMIC, NULL), EOPNOTSUPP);
		fails(daxl_pwritev(ro, iov, 1, 0, 0, NULL), EBADF);
		fails(daxl_pwritev(ro, iov, 1, 0, DAXL_WRITE_ATOMIC, NULL), EBADF);
		is(daxl_pwrite(file, buf, 0, 0), 0);
		is(daxl_pwritev(file, NULL, 0, 9 * BLK, 0, NULL), 0);
		is(daxl_pwritev(file, many, 1024, 9 * BLK, DAXL_WRITE_ATOMIC, NULL), 0);
	});
	teardown();
}
END_TEST

START_TEST(map_and_seek_refuse)
{
	struct daxl_extent ext = {.file_off = 4711};

	setup();
	fails(daxl_map(file, -1, 1, &ext, 1), EINVAL);
	fails(daxl_map(file, 0, -1, &ext, 1), EINVAL);
	fails(daxl_map(file, 0, INT64_MIN, &ext, 1), EINVAL);
	ck_assert_uint_eq(ext.file_off, 4711);
	is(daxl_map(file, 0, 0, &ext, 1), 0);
	is(daxl_map(file, 100 * BLK, DAXL_TO_END, &ext, 1), 0);
	is(daxl_map(file, INT64_MAX, DAXL_TO_END, &ext, 1), 0);
	ck_assert_uint_eq(ext.file_off, 4711);
	fails(daxl_seek(file, 8 * BLK + 100, DAXL_SEEK_DATA), ENXIO);
	fails(daxl_seek(file, 8 * BLK + 100, DAXL_SEEK_HOLE), ENXIO);
	fails(daxl_seek(file, INT64_MAX, DAXL_SEEK_HOLE), ENXIO);
	fails(daxl_seek(file, -1, DAXL_SEEK_DATA), EINVAL);
	fails(daxl_seek(file, 0, SEEK_SET), EINVAL);
	fails(daxl_seek(file, 0, SEEK_END), EINVAL);
	fails(daxl_seek(file, 0, 5), EINVAL);
	teardown();
}
END_TEST

#define KEEP FALLOC_FL_KEEP_SIZE

START_TEST(fallocate_refuses_bad_modes)
{
	static const int bad[] = {
		FALLOC_FL_PUNCH_HOLE,
		FALLOC_FL_COLLAPSE_RANGE | KEEP,
		FALLOC_FL_INSERT_RANGE | KEEP,
		FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE | KEEP,
		FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_INSERT_RANGE,
		FALLOC_FL_ZERO_RANGE | FALLOC_FL_UNSHARE_RANGE,
		FALLOC_FL_NO_HIDE_STALE,
		FALLOC_FL_NO_HIDE_STALE | KEEP,
		0x80,
		0x1000,
		INT_MIN,
		-1,
	};

	setup();
	unchanged(pool, {
		for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
			fails(daxl_fallocate(file, bad[i], 0, BLK, NULL), EOPNOTSUPP);
			fails(daxl_fallocate(ro, bad[i], 0, BLK, NULL), EOPNOTSUPP); /* before -EBADF */
			fails(daxl_fallocate(ro, bad[i], 0, 0, NULL), EINVAL);       /* and after the signs */
		}
	});
	teardown();
}
END_TEST

START_TEST(fallocate_refuses_bad_ranges)
{
	static const int modes[] = {
		0,
		KEEP,
		FALLOC_FL_PUNCH_HOLE | KEEP,
		FALLOC_FL_ZERO_RANGE,
		FALLOC_FL_ZERO_RANGE | KEEP,
		FALLOC_FL_COLLAPSE_RANGE,
		FALLOC_FL_INSERT_RANGE,
		FALLOC_FL_UNSHARE_RANGE,
		FALLOC_FL_UNSHARE_RANGE | KEEP,
	};

	setup();
	unchanged(pool, {
		for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
			fails(daxl_fallocate(file, modes[i], -BLK, BLK, NULL), EINVAL);
			fails(daxl_fallocate(file, modes[i], 0, 0, NULL), EINVAL);
			fails(daxl_fallocate(file, modes[i], 0, -BLK, NULL), EINVAL);
			fails(daxl_fallocate(file, modes[i], INT64_MIN, INT64_MIN, NULL), EINVAL);
			fails(daxl_fallocate(ro, modes[i], 0, BLK, NULL), EBADF);
			fails(daxl_fallocate(ro, modes[i], MAX_SIZE, BLK, NULL), EBADF); /* before -EFBIG */
			fails(daxl_fallocate(file, modes[i], MAX_SIZE, BLK, NULL), EFBIG);
			fails(daxl_fallocate(file, modes[i], BLK, MAX_SIZE, NULL), EFBIG);
			fails(daxl_fallocate(file, modes[i], INT64_MAX, INT64_MAX, NULL), EFBIG);
			fails(daxl_fallocate(file, modes[i], 1, DAXL_TO_END, NULL), EFBIG); /* and alignment after it */
		}
	});
	teardown();
}
END_TEST

START_TEST(collapse_and_insert_refuse)
{
	static const int modes[] = {FALLOC_FL_COLLAPSE_RANGE, FALLOC_FL_INSERT_RANGE};

	setup();
	unchanged(pool, {
		for (int i = 0; i < 2; i++) {
			fails(daxl_fallocate(file, modes[i], 1, BLK, NULL), EINVAL);
			fails(daxl_fallocate(file, modes[i], 0, BLK - 1, NULL), EINVAL);
			fails(daxl_fallocate(file, modes[i], 9 * BLK, BLK, NULL), EINVAL);
		}
		fails(daxl_fallocate(file, FALLOC_FL_COLLAPSE_RANGE, 8 * BLK, BLK, NULL), EINVAL);
		fails(daxl_fallocate(file, FALLOC_FL_COLLAPSE_RANGE, 0, 9 * BLK, NULL), EINVAL);
		fails(daxl_fallocate(file, FALLOC_FL_INSERT_RANGE, 0, MAX_SIZE - 8 * BLK, NULL), EFBIG);
	});
	teardown();
}
END_TEST

START_TEST(collapse_to_the_very_end_is_refused_also_when_aligned)
{
	setup();
	struct daxl_file *g = api_file(pool, "g", 4 * BLK);

	unchanged(pool, {
		fails(daxl_fallocate(g, FALLOC_FL_COLLAPSE_RANGE, 2 * BLK, 2 * BLK, NULL), EINVAL);
		fails(daxl_fallocate(g, FALLOC_FL_COLLAPSE_RANGE, 0, 4 * BLK, NULL), EINVAL);
		fails(daxl_fallocate(g, FALLOC_FL_INSERT_RANGE, 4 * BLK, BLK, NULL), EINVAL);
	});
	ok(daxl_fallocate(g, FALLOC_FL_COLLAPSE_RANGE, 2 * BLK, BLK, NULL));
	is(api_size(g), 3 * BLK);
	ok(daxl_close(g));
	teardown();
}
END_TEST

START_TEST(truncate_refuses)
{
	setup();
	unchanged(pool, {
		fails(daxl_truncate(file, -1, NULL), EINVAL);
		fails(daxl_truncate(ro, 0, NULL), EBADF);
		fails(daxl_truncate(ro, -1, NULL), EINVAL);
		fails(daxl_truncate(file, MAX_SIZE + 1, NULL), EFBIG);
		fails(daxl_truncate(file, INT64_MAX, NULL), EFBIG);
	});
	ok(daxl_truncate(file, MAX_SIZE, NULL));
	is(api_size(file), MAX_SIZE);
	fails(daxl_fallocate(file, FALLOC_FL_INSERT_RANGE, 0, BLK, NULL), EFBIG);
	teardown();
}
END_TEST

/* Two files in this pool and one in another: what clone, dedupe, exchange and copy refuse. */
START_TEST(two_file_operations_refuse)
{
	struct daxl_pool *other_pool = api_pool(NULL);
	struct daxl_file *other = api_file(other_pool, "f", 8 * BLK);
	bool same = true;

	setup();
	struct daxl_file *g = api_file(pool, "g", 6 * BLK + 50);
	struct daxl_lease *watch_g = api_lease(g, 0, DAXL_TO_END, DAXL_LEASE_READ);

	unchanged(pool, {
		/* clone */
		fails(daxl_clone_range(file, -BLK, g, 0, BLK, NULL), EINVAL);
		fails(daxl_clone_range(file, 0, g, -BLK, BLK, NULL), EINVAL);
		fails(daxl_clone_range(file, 0, g, 0, -1, NULL), EINVAL);
		fails(daxl_clone_range(file, 1, g, 0, BLK, NULL), EINVAL);
		fails(daxl_clone_range(file, 0, g, 1, BLK, NULL), EINVAL);
		fails(daxl_clone_range(file, 0, g, 0, BLK - 1, NULL), EINVAL);
		fails(daxl_clone_range(file, 8 * BLK, g, 0, 100, NULL), EINVAL); /* before the end of g */
		fails(daxl_clone_range(file, 8 * BLK, g, 0, BLK, NULL), EINVAL); /* past the end of f */
		fails(daxl_clone_range(file, 10 * BLK, g, 0, 0, NULL), EINVAL);
		fails(daxl_clone_range(file, 0, file, BLK, 2 * BLK, NULL), EINVAL);
		fails(daxl_clone_range(file, 0, file, 0, BLK, NULL), EINVAL);
		fails(daxl_clone_range(file, BLK, file, 2 * BLK, 0, NULL), EINVAL);
		fails(daxl_clone_range(g, 0, ro, 0, BLK, NULL), EBADF);
		fails(daxl_clone_range(file, 0, other, 0, BLK, NULL), EXDEV);
		fails(daxl_clone_range(file, 0, g, MAX_SIZE, BLK, NULL), EFBIG);
		fails(daxl_clone_range(file, 0, g, MAX_SIZE, 0, NULL), EFBIG);
		/* dedupe */
		fails(daxl_dedupe_range(file, -BLK, g, 0, BLK, NULL, &same), EINVAL);
		fails(daxl_dedupe_range(file, 0, g, -BLK, BLK, NULL, &same), EINVAL);
		fails(daxl_dedupe_range(file, 0, g, 0, -1, NULL, &same), EINVAL);
		fails(daxl_dedupe_range(file, 1, g, 0, BLK, NULL, &same), EINVAL);
		fails(daxl_dedupe_range(file, 0, g, 1, BLK, NULL, &same), EINVAL);
		fails(daxl_dedupe_range(file, 0, g, 0, BLK - 1, NULL, &same), EINVAL);
		fails(daxl_dedupe_range(file, 8 * BLK, g, 6 * BLK, 100, NULL, &same), EINVAL);
		fails(daxl_dedupe_range(file, 0, g, 6 * BLK, BLK, NULL, &same), EINVAL);
		fails(daxl_dedupe_range(file, 8 * BLK, g, 0, BLK, NULL, &same), EINVAL);
		fails(daxl_dedupe_range(file, 0, file, BLK, 2 * BLK, NULL, &same), EINVAL);
		fails(daxl_dedupe_range(g, 0, ro, 0, BLK, NULL, &same), EBADF);
		fails(daxl_dedupe_range(file, 0, other, 0, BLK, NULL, &same), EXDEV);
		fails(daxl_dedupe_range(file, 0, g, MAX_SIZE, BLK, NULL, &same), EFBIG);
		fails(daxl_dedupe_range(file, MAX_SIZE, g, 0, BLK, NULL, &same), EFBIG);
		ck_assert(same);
		same = false;
		fails(daxl_dedupe_range(file, 0, g, 0, -1, NULL, &same), EINVAL);
		ck_assert(!same);
		ok(daxl_dedupe_range(file, 0, g, 0, 0, NULL, &same));
		ck_assert(same);
		/* exchange */
		fails(daxl_exchange_range(file, -BLK, g, 0, BLK, NULL), EINVAL);
		fails(daxl_exchange_range(file, 0, g, -BLK, BLK, NULL), EINVAL);
		fails(daxl_exchange_range(file, 0, g, 0, -1, NULL), EINVAL);
		fails(daxl_exchange_range(file, 0, g, 0, 0, NULL), EINVAL);
		fails(daxl_exchange_range(file, 1, g, 0, BLK, NULL), EINVAL);
		fails(daxl_exchange_range(file, 0, g, 1, BLK, NULL), EINVAL);
		fails(daxl_exchange_range(file, 0, g, 0, BLK - 1, NULL), EINVAL);
		fails(daxl_exchange_range(file, 0, g, 6 * BLK, BLK, NULL), EINVAL);
		fails(daxl_exchange_range(file, 8 * BLK, g, 0, BLK, NULL), EINVAL);
		fails(daxl_exchange_range(file, 0, g, BLK, DAXL_TO_END, NULL), EINVAL);
		fails(daxl_exchange_range(file, BLK, g, 0, DAXL_TO_END, NULL), EINVAL);
		fails(daxl_exchange_range(file, 0, file, BLK, 2 * BLK, NULL), EINVAL);
		fails(daxl_exchange_range(file, 0, ro, 0, DAXL_TO_END, NULL), EBADF); /* rights come before overlap */
		fails(daxl_exchange_range(file, 0, file, 0, DAXL_TO_END, NULL), EINVAL);
		fails(daxl_exchange_range(g, 0, ro, 0, BLK, NULL), EBADF);
		fails(daxl_exchange_range(ro, 0, g, 0, BLK, NULL), EBADF);
		fails(daxl_exchange_range(file, 0, other, 0, BLK, NULL), EXDEV);
		fails(daxl_exchange_range(file, MAX_SIZE, g, 0, BLK, NULL), EFBIG);
		fails(daxl_exchange_range(file, 0, g, MAX_SIZE, BLK, NULL), EFBIG);
		/* copy */
		fails(daxl_copy_range(file, -1, g, 0, 1), EINVAL);
		fails(daxl_copy_range(file, 0, g, -1, 1), EINVAL);
		fails(daxl_copy_range(file, 0, g, 0, (size_t)SSIZE_MAX + 1), EINVAL);
		fails(daxl_copy_range(file, 0, file, 50, 100), EINVAL);
		fails(daxl_copy_range(file, 50, file, 0, 100), EINVAL);
		fails(daxl_copy_range(g, 0, ro, 0, 1), EBADF);
		fails(daxl_copy_range(file, 0, other, 0, 1), EXDEV);
		fails(daxl_copy_range(file, 0, g, MAX_SIZE, 1), EFBIG);
		is(daxl_copy_range(file, 0, g, 0, 0), 0);
		is(daxl_copy_range(file, 9 * BLK, g, 0, 10), 0);
	});
	struct daxl_file *append;

	ok(daxl_open(pool, "g", O_RDWR | O_APPEND, &append));
	unchanged(pool, fails(daxl_copy_range(file, 0, append, 0, 10), EBADF));
	ok(daxl_close(append));
	ck_assert_int_eq(daxl_lease_state(watch_g), DAXL_LEASE_LIVE);
	daxl_lease_free(watch_g);
	ok(daxl_close(g));
	ok(daxl_close(other));
	ok(daxl_pool_close(other_pool));
	teardown();
}
END_TEST

START_TEST(breaks_refuse)
{
	struct daxl_break_handle *handle = UNTOUCHED;
	struct daxl_wait limbo = api_wait(0, DAXL_ON_TIMEOUT_LIMBO, 0);

	setup();
	unchanged(pool, {
		fails(daxl_break(file, -1, BLK, DAXL_BREAK_WRITE, NULL), EINVAL);
		fails(daxl_break(file, 0, 0, DAXL_BREAK_WRITE, NULL), EINVAL);
		fails(daxl_break(file, 0, -1, DAXL_BREAK_WRITE, NULL), EINVAL);
		fails(daxl_break(file, 0, BLK, 0, NULL), EINVAL);
		fails(daxl_break(file, 0, BLK, 3, NULL), EINVAL);
		fails(daxl_break(file, 0, BLK, DAXL_BREAK_WRITE, &limbo), EINVAL);
		fails(daxl_break(ro, 0, BLK, DAXL_BREAK_WRITE, NULL), EBADF);
		fails(daxl_break(file, MAX_SIZE, BLK, DAXL_BREAK_UNMAP, NULL), EFBIG);
		fails(daxl_break_begin(file, -1, BLK, DAXL_BREAK_WRITE, NULL, &handle), EINVAL);
		fails(daxl_break_begin(file, 0, 0, DAXL_BREAK_WRITE, NULL, &handle), EINVAL);
		fails(daxl_break_begin(file, 0, -1, DAXL_BREAK_WRITE, NULL, &handle), EINVAL);
		fails(daxl_break_begin(file, 0, BLK, 0, NULL, &handle), EINVAL);
		fails(daxl_break_begin(file, 0, BLK, 3, NULL, &handle), EINVAL);
		fails(daxl_break_begin(file, 0, BLK, DAXL_BREAK_WRITE, &limbo, &handle), EINVAL);
		fails(daxl_break_begin(ro, 0, BLK, DAXL_BREAK_WRITE, NULL, &handle), EBADF);
		fails(daxl_break_begin(file, MAX_SIZE, BLK, DAXL_BREAK_UNMAP, NULL, &handle), EFBIG);
	});
	ck_assert_ptr_eq(handle, UNTOUCHED);
	teardown();
}
END_TEST

START_TEST(acquire_refuses)
{
	struct daxl_lease_opts opts = DAXL_LEASE_OPTS_INIT;
	struct daxl_lease *lease = UNTOUCHED;

	setup();
	unchanged(pool, {
		fails(daxl_lease_acquire(file, -1, BLK, NULL, &lease), EINVAL);
		fails(daxl_lease_acquire(file, 0, 0, NULL, &lease), EINVAL);
		fails(daxl_lease_acquire(file, 0, -1, NULL, &lease), EINVAL);
		fails(daxl_lease_acquire(file, MAX_SIZE, BLK, NULL, &lease), EFBIG);
		fails(daxl_lease_acquire(file, 1, DAXL_TO_END - 1, NULL, &lease), EFBIG);
		opts.mode = 2;
		fails(daxl_lease_acquire(file, 0, BLK, &opts, &lease), EINVAL);
		opts.mode = DAXL_LEASE_WRITE;
		fails(daxl_lease_acquire(ro, 0, BLK, &opts, &lease), EBADF);
		fails(daxl_lease_acquire(file, 9 * BLK, DAXL_TO_END, &opts, &lease), EINVAL);
		fails(daxl_lease_acquire(file, 8 * BLK + 100, DAXL_TO_END, &opts, &lease), EINVAL);
		for (uint32_t bit = 64; bit != 0; bit <<= 1) {
			opts.flags = bit;
			fails(daxl_lease_acquire(file, 0, BLK, &opts, &lease), EINVAL);
		}
		ck_assert_ptr_eq(lease, UNTOUCHED);
	});
	ok(daxl_lease_acquire(ro, 0, BLK, NULL, &lease)); /* READ needs no more */
	daxl_lease_free(lease);
	teardown();
}
END_TEST

START_TEST(leases_refuse)
{
	struct daxl_extent ext = {.file_off = 4711};

	setup();
	struct daxl_lease *read = api_lease(file, 0, 2 * BLK, DAXL_LEASE_READ);
	struct daxl_lease *write = api_lease(file, BLK, 2 * BLK, DAXL_LEASE_WRITE);

	unchanged(pool, {
		fails(daxl_lease_persist(write, -1, 1), EINVAL);
		fails(daxl_lease_persist(write, BLK, 0), EINVAL);
		fails(daxl_lease_persist(write, BLK, -1), EINVAL);
		fails(daxl_lease_persist(write, BLK - 1, 2), ERANGE);
		fails(daxl_lease_persist(write, 3 * BLK - 1, 2), ERANGE);
		fails(daxl_lease_persist(write, BLK, INT64_MAX), ERANGE);
		fails(daxl_lease_commit(write, -1, 1, -1), EINVAL);
		fails(daxl_lease_commit(write, BLK, 0, -1), EINVAL);
		fails(daxl_lease_commit(write, BLK, -1, -1), EINVAL);
		fails(daxl_lease_commit(write, BLK, BLK, -2), EINVAL);
		fails(daxl_lease_commit(read, 0, BLK, -1), ERANGE);
		fails(daxl_lease_commit(write, 0, BLK, -1), ERANGE);
		fails(daxl_lease_commit(write, 2 * BLK, 2 * BLK, -1), ERANGE);
		fails(daxl_lease_commit(write, BLK, BLK, 9 * BLK), ERANGE);
		fails(daxl_lease_commit(write, BLK, INT64_MAX, -1), ERANGE);
		fails(daxl_lease_return_range(write, -1, 1), EINVAL);
		fails(daxl_lease_return_range(write, 0, 0), EINVAL);
		fails(daxl_lease_return_range(write, 0, -1), EINVAL);
		ok(daxl_lease_pin(write));
		fails(daxl_lease_return_range(write, BLK, BLK), EBUSY);
		daxl_lease_unpin(write);
		fails(daxl_busy(file, -1, BLK, NULL, 0), EINVAL);
		fails(daxl_busy(file, 0, 0, NULL, 0), EINVAL);
		fails(daxl_busy(file, 0, -1, NULL, 0), EINVAL);
		ok(daxl_lease_return(write));
		ok(daxl_lease_return(write));
		ck_assert_int_eq(daxl_lease_pin(write), -ESTALE); /* the one that leaves no sentence */
		fails(daxl_lease_extents(write, &ext, 1), ESTALE);
		ck_assert_uint_eq(ext.file_off, 4711);
		fails(daxl_lease_persist(write, BLK, BLK), ESTALE);
		fails(daxl_lease_commit(write, BLK, BLK, -1), ESTALE);
		fails(daxl_lease_downgrade(write), ESTALE);
		ok(daxl_lease_return_range(write, BLK, BLK));
	});
	ck_assert_int_eq(daxl_lease_state(read), DAXL_LEASE_LIVE);
	daxl_lease_free(read);
	daxl_lease_free(write);
	teardown();
}
END_TEST

START_TEST(pool_calls_refuse)
{
	struct daxl_pool_stat st;

	setup();
	ok(daxl_pool_stat(pool, &st));
	unchanged(pool, {
		fails(daxl_pool_close(pool), EBUSY);
		ck_assert_ptr_nonnull(strstr(daxl_errormsg(), "'f'")); /* lists what is out */
		fails(daxl_pool_grow(pool, st.pool_size - 1), EINVAL);
		fails(daxl_pool_grow(pool, 0), EINVAL);
		fails(daxl_pool_grow(pool, UINT64_MAX), EFBIG);
		ok(daxl_pool_grow(pool, st.pool_size));
		ok(daxl_pool_grow(pool, st.pool_size + st.block_size - 1));
	});
	teardown();
}
END_TEST

int main(void)
{
	const struct api_case cases[] = {
		{"open", open_refuses},
		{"names", names_refuse},
		{"attributes", attributes_refuse},
		{"reads", reads_refuse},
		{"writes", writes_refuse},
		{"map_seek", map_and_seek_refuse},
		{"fallocate_modes", fallocate_refuses_bad_modes},
		{"fallocate_ranges", fallocate_refuses_bad_ranges},
		{"collapse_insert", collapse_and_insert_refuse},
		{"collapse_end", collapse_to_the_very_end_is_refused_also_when_aligned},
		{"truncate", truncate_refuses},
		{"two_files", two_file_operations_refuse},
		{"breaks", breaks_refuse},
		{"acquire", acquire_refuses},
		{"leases", leases_refuse},
		{"pool", pool_calls_refuse},
	};

	return API_RUN("api.errors", cases);
}
