/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Making, opening and closing pools: what is refused, and that a refusal changes no byte; locks within and between
 * processes; features of other versions; opening read-only.
 *
 * The program is its own second process: "test hold PATH rw|ro" opens the pool, says what it got, and closes it when
 * its standard input ends; "test crash PATH" leaves the pool as a crash would.
 */
#include "api.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/crc32c.h"
#include "base/hook.h"
#include "base/rcu.h"
#include "media/format.h"

/* --- the other process --- */

static int hold(const char *path, const char *how)
{
	struct daxl_pool_opts opts = DAXL_POOL_OPTS_INIT;
	struct daxl_pool *pool;
	char c;

	opts.flags = strcmp(how, "ro") == 0 ? DAXL_POOL_READ_ONLY : 0;
	int rc = daxl_pool_open(path, &opts, &pool);

	dprintf(1, "%d\n", rc);
	while (rc == 0 && read(0, &c, 1) > 0)
		;
	return rc == 0 ? -daxl_pool_close(pool) : 0;
}

static int crash(const char *path)
{
	struct daxl_pool *pool;
	struct daxl_file *file;

	if (daxl_pool_open(path, NULL, &pool) || daxl_open(pool, "crashed", O_RDWR | O_CREAT, &file) ||
	    daxl_pwrite(file, "kept", 4, 5 * BLK) != 4)
		return 1;
	return raise(SIGKILL);
}

struct other {
	pid_t pid;
	int in, out; /* its */
};

static struct other start(const char *mode, const char *path, const char *how)
{
	struct other other;
	int in[2], out[2];

	ck_assert_int_eq(pipe2(in, O_CLOEXEC), 0);
	ck_assert_int_eq(pipe2(out, O_CLOEXEC), 0);
	other.pid = fork();
	if (other.pid == 0) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		execl("/proc/self/exe", "test", mode, path, how, (char *)NULL);
		_exit(127);
	}
	ck_assert_int_gt(other.pid, 0);
	close(in[0]);
	close(out[1]);
	other.in = in[1];
	other.out = out[0];
	return other;
}

static int stop(struct other *other)
{
	int status;

	close(other->in);
	close(other->out);
	ck_assert_int_eq(waitpid(other->pid, &status, 0), other->pid);
	return status;
}

/* What opening gave it. */
static int said(struct other *other)
{
	char line[16] = "";

	ck_assert_int_gt(read(other->out, line, sizeof(line) - 1), 0);
	return atoi(line);
}

/* --- helpers --- */

static void put_file(const char *path, const void *bytes, size_t len)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, bytes, len), (ssize_t)len);
	close(fd);
}

static struct daxl_pool_opts flags(uint32_t f)
{
	struct daxl_pool_opts opts = DAXL_POOL_OPTS_INIT;

	opts.flags = f;
	return opts;
}

/* Opening in any way gives err, and not a byte changes. */
static void never_opens(const char *path, int err)
{
	struct daxl_pool_opts ro = flags(DAXL_POOL_READ_ONLY);
	struct daxl_pool *pool = UNTOUCHED;
	uint64_t was = api_hash(path);

	fails(daxl_pool_open(path, NULL, &pool), err);
	fails(daxl_pool_open(path, &ro, &pool), err);
	ck_assert_ptr_eq(pool, UNTOUCHED);
	ck_assert_uint_eq(api_hash(path), was);
}

/* A closed pool with a file "f" in it. */
static const char *closed_pool(void)
{
	const char *path;
	struct daxl_pool *pool = api_pool(&path);

	ok(daxl_close(api_file(pool, "f", 3 * BLK + 5)));
	ok(daxl_pool_close(pool));
	return path;
}

/* Changes all superblock copies, or only the first n of them, and makes their checksums right again. */
static void patch(const char *path, void (*change)(struct daxl_md_super *super), int n)
{
	union {
		struct daxl_md_super super;
		unsigned char bytes[4096];
	} page;
	int fd = open(path, O_RDWR | O_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pread(fd, &page, sizeof(page), 0), sizeof(page));
	const uint64_t at[] = {0, page.super.mid, page.super.pool_size - 4096};

	for (int i = 0; i < n; i++) {
		ck_assert_int_eq(pread(fd, &page, sizeof(page), (off_t)at[i]), sizeof(page));
		ck_assert_uint_eq(page.super.magic, DAXL_SB_MAGIC);
		change(&page.super);
		page.super.crc = 0;
		page.super.crc = daxl_crc32c(0, &page, sizeof(page));
		ck_assert_int_eq(pwrite(fd, &page, sizeof(page), (off_t)at[i]), sizeof(page));
	}
	close(fd);
}

static void unknown_incompat(struct daxl_md_super *super)
{
	super->feature_incompat |= 1u << 9;
}
static void unknown_ro_compat(struct daxl_md_super *super)
{
	super->feature_ro_compat |= 1u << 3;
}
static void unknown_compat(struct daxl_md_super *super)
{
	super->feature_compat |= 1u << 31;
}
static void other_version(struct daxl_md_super *super)
{
	super->version = 2;
}
static void impossible_block_size(struct daxl_md_super *super)
{
	super->block_shift = 63;
}
static void impossible_log(struct daxl_md_super *super)
{
	super->log_off = super->pool_size;
}

/* Makes the checksum of the superblock copy at the offset wrong. */
static void spoil_super(int fd, uint64_t at)
{
	unsigned char byte;

	ck_assert_int_eq(pread(fd, &byte, 1, (off_t)at + 100), 1);
	byte ^= 0xff; /* not a fixed value: it may have that already */
	ck_assert_int_eq(pwrite(fd, &byte, 1, (off_t)at + 100), 1);
}

/* --- create --- */

START_TEST(create_refuses_sizes)
{
	struct daxl_pool_opts opts = flags(DAXL_POOL_SPARSE);
	struct daxl_pool *pool = UNTOUCHED;
	const char *path = api_path();

	fails(daxl_pool_create(path, 0, &opts, &pool), EINVAL);
	fails(daxl_pool_create(path, 4 * MIB - 1, &opts, &pool), EINVAL);
	opts.block_size = 2 * MIB;
	fails(daxl_pool_create(path, 32 * MIB - 1, &opts, &pool), EINVAL); /* 15 blocks */
	static const uint32_t bad_blocks[] = {1, 512, 2048, 4095, 4097, 12288, 4u << 20, 1u << 31, UINT32_MAX};

	for (size_t i = 0; i < sizeof(bad_blocks) / sizeof(bad_blocks[0]); i++) {
		opts.block_size = bad_blocks[i];
		fails(daxl_pool_create(path, 64 * MIB, &opts, &pool), EINVAL);
	}
	opts.block_size = 0;
	static const uint64_t bad_logs[] = {1, 256 * KIB - 1, 256 * MIB + 1, UINT64_MAX, 4 * MIB};

	for (size_t i = 0; i < sizeof(bad_logs) / sizeof(bad_logs[0]); i++) {
		opts.log_size = bad_logs[i];
		fails(daxl_pool_create(path, 4 * MIB, &opts, &pool), EINVAL);
	}
	ck_assert_ptr_eq(pool, UNTOUCHED);
	ck_assert_int_ne(access(path, F_OK), 0);
}
END_TEST

START_TEST(create_refuses_flags)
{
	struct daxl_pool *pool = UNTOUCHED;
	const char *path = api_path();

	for (uint32_t bit = 1; bit != 0; bit <<= 1) {
		struct daxl_pool_opts opts = flags(bit);

		if (bit != DAXL_POOL_SPARSE)
			fails(daxl_pool_create(path, 8 * MIB, &opts, &pool), EINVAL);
		if (bit != DAXL_POOL_READ_ONLY)
			fails(daxl_pool_open(path, &opts, &pool), EINVAL);
	}
	ck_assert_ptr_eq(pool, UNTOUCHED);
	ck_assert_int_ne(access(path, F_OK), 0);
}
END_TEST

START_TEST(create_refuses_what_is_there)
{
	struct daxl_pool_opts opts = flags(DAXL_POOL_SPARSE);
	struct daxl_pool *pool = UNTOUCHED;
	const char *text = api_path(), *closed = closed_pool(), *empty = api_path(), *link = api_path();

	put_file(text, "x", 1);
	uint64_t was = api_hash(text), was_closed = api_hash(closed);

	fails(daxl_pool_create(text, 8 * MIB, &opts, &pool), EEXIST);
	fails(daxl_pool_create(closed, 8 * MIB, &opts, &pool), EEXIST);
	ck_assert_uint_eq(api_hash(text), was);
	ck_assert_uint_eq(api_hash(closed), was_closed);
	fails(daxl_pool_create("/tmp", 8 * MIB, &opts, &pool), EINVAL);
	fails(daxl_pool_create("/dev/null", 8 * MIB, &opts, &pool), EINVAL);
	fails(daxl_pool_create("/nonexistent/folder/pool", 8 * MIB, &opts, &pool), ENOENT);
	char below[300];

	snprintf(below, sizeof(below), "%s/pool", text);
	fails(daxl_pool_create(below, 8 * MIB, &opts, &pool), ENOTDIR);
	ck_assert_ptr_eq(pool, UNTOUCHED);
	/* an empty file is taken, by whatever name, and is left empty when it comes to nothing */
	put_file(empty, "", 0);
	ck_assert_int_eq(symlink(empty, link), 0);
	opts.log_size = 1;
	fails(daxl_pool_create(empty, 8 * MIB, &opts, &pool), EINVAL);
	struct stat st;

	ck_assert_int_eq(stat(empty, &st), 0);
	ck_assert_int_eq(st.st_size, 0);
	opts.log_size = 0;
	ok(daxl_pool_create(link, 8 * MIB, &opts, &pool));
	fails(daxl_pool_create(empty, 8 * MIB, &opts, &pool), EBUSY);
	ok(daxl_pool_close(pool));
	ck_assert_int_eq(stat(empty, &st), 0);
	ck_assert_int_eq(st.st_size, 8 * MIB);
}
END_TEST

START_TEST(create_refuses_without_permission)
{
	struct daxl_pool *pool = UNTOUCHED;
	const char *path = closed_pool();
	uid_t me = geteuid();

	ck_assert_int_eq(chmod(path, 0), 0);
	/* nothing is asserted in between: the rest of the program needs its rights back */
	const char *other = api_path();
	int failed = me == 0 ? seteuid(65534) : 0;
	int rc = daxl_pool_open(path, NULL, &pool);
	int rc_create = me == 0 ? daxl_pool_create(other, 8 * MIB, NULL, &pool) : -EACCES;
	int rc_check = daxl_check(path, 0, NULL, NULL);

	failed |= me == 0 ? seteuid(me) : 0;
	is(failed, 0);
	is(rc, -EACCES);
	is(rc_create, -EACCES);
	is(rc_check, -EACCES);
	ck_assert_ptr_eq(pool, UNTOUCHED);
}
END_TEST

START_TEST(create_on_a_full_file_system)
{
	struct daxl_pool *pool = UNTOUCHED;
	const char *at = api_path();
	char path[300];

	ck_assert_int_eq(mkdir(at, 0700), 0);
	if (mount("none", at, "tmpfs", 0, "size=6m") != 0) {
		printf("create_on_a_full_file_system: not tried, no right to mount a tmpfs: %s\n", strerror(errno));
		return;
	}
	snprintf(path, sizeof(path), "%s/pool", at);
	fails(daxl_pool_create(path, 8 * MIB, NULL, &pool), ENOSPC);
	ck_assert_int_ne(access(path, F_OK), 0);
	put_file(path, "", 0);
	fails(daxl_pool_create(path, 8 * MIB, NULL, &pool), ENOSPC);
	struct stat st;

	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_size, 0);
	ok(daxl_pool_create(path, 5 * MIB, NULL, &pool));
	fails(daxl_pool_grow(pool, 8 * MIB), ENOSPC);
	struct daxl_pool_stat ps;

	ok(daxl_pool_stat(pool, &ps));
	is(ps.pool_size, 5 * MIB);
	ok(daxl_close(api_file(pool, "f", BLK)));
	ok(daxl_pool_close(pool));
	ck_assert_int_eq(umount(at), 0);
}
END_TEST

static bool fault_point(const char *point, void *arg)
{
	return strcmp(point, arg) == 0;
}
static void fault(const char *point)
{
	daxl_fault_set(point ? fault_point : NULL, (void *)(uintptr_t)point);
}

START_TEST(a_create_that_fails_late_leaves_nothing)
{
	static const struct {
		const char *point;
		int err;
	} faults[] = {{"media.extend", ENOSPC}, {"media.map", ENOMEM}, {"media.read", EIO}};
	struct daxl_pool *pool = UNTOUCHED;

	for (int there = 0; there < 2; there++)
		for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
			struct stat st;
			const char *path = api_path();

			if (there)
				put_file(path, "", 0);
			fault(faults[i].point);
			fails(daxl_pool_create(path, 8 * MIB, NULL, &pool), faults[i].err);
			fault(NULL);
			ck_assert_int_eq(stat(path, &st), there ? 0 : -1);
			if (there)
				ck_assert_int_eq(st.st_size, 0);
		}
	ck_assert_ptr_eq(pool, UNTOUCHED);
}
END_TEST

START_TEST(create_takes_all_block_and_log_sizes)
{
	for (uint32_t block = 4096; block <= 2 * MIB; block *= 2) {
		struct daxl_pool_opts opts = flags(DAXL_POOL_SPARSE);
		uint64_t size = block * 24ull < 4 * MIB ? 4 * MIB : block * 24ull;
		struct daxl_pool_stat st;
		const char *path;

		opts.block_size = block;
		struct daxl_pool *pool = api_pool_with(size + block - 1, &opts, &path);

		ok(daxl_pool_stat(pool, &st));
		is(st.block_size, block);
		is(st.pool_size, size); /* whole blocks */
		is(st.log_size_bytes, 256 * KIB);
		struct daxl_file *file = api_file(pool, "f", 3ull * block + 1);

		pool = (ok(daxl_close(file)), api_reopen(pool, path, 0));
		ok(daxl_open(pool, "f", O_RDONLY, &file));
		api_is_pattern(file, 0, 3ull * block + 1, 0);
		ok(daxl_close(file));
		ok(daxl_pool_close(pool));
	}
	struct daxl_pool_opts opts = flags(DAXL_POOL_SPARSE);
	struct daxl_pool_stat st;

	opts.log_size = 256 * MIB;
	struct daxl_pool *pool = api_pool_with(300 * MIB, &opts, NULL);

	ok(daxl_pool_stat(pool, &st));
	is(st.log_size_bytes, 256 * MIB);
	ok(daxl_pool_close(pool));
	opts.log_size = 0;
	pool = api_pool_with(512 * MIB, &opts, NULL);
	ok(daxl_pool_stat(pool, &st));
	is(st.log_size_bytes, 2 * MIB); /* 1/256 */
	ok(daxl_pool_close(pool));
}
END_TEST

START_TEST(create_sets_mode_and_allocates)
{
	struct daxl_pool_opts opts = DAXL_POOL_OPTS_INIT;
	const char *path;
	struct stat st;
	mode_t mask = umask(022);

	ok(daxl_pool_close(api_pool_with(8 * MIB, NULL, &path)));
	ck_assert_int_eq(stat(path, &st), 0);
	is(st.st_mode & 07777, 0600);
	ck_assert_int_ge(st.st_blocks * 512, 8 * (long)MIB);
	opts.mode = 0666;
	opts.flags = DAXL_POOL_SPARSE;
	ok(daxl_pool_close(api_pool_with(8 * MIB, &opts, &path)));
	ck_assert_int_eq(stat(path, &st), 0);
	is(st.st_mode & 07777, 0644);
	ck_assert_int_lt(st.st_blocks * 512, 2 * (long)MIB);
	umask(mask);
}
END_TEST

/* --- open --- */

START_TEST(what_is_no_pool)
{
	static const char zeroes[64 * 1024];
	struct daxl_pool *pool = UNTOUCHED;
	const char *path = api_path();

	put_file(path, "", 0);
	never_opens(path, EINVAL);
	put_file(path, "some text", 9);
	never_opens(path, EINVAL);
	put_file(path, zeroes, sizeof(zeroes));
	never_opens(path, EINVAL);
	ck_assert_int_eq(truncate(path, 8 * (off_t)MIB), 0);
	never_opens(path, EINVAL);
	fails(daxl_check(path, 0, NULL, NULL), EINVAL);
	fails(daxl_check(path, DAXL_CHECK_REPAIR, NULL, NULL), EINVAL);
	fails(daxl_pool_open("/tmp", NULL, &pool), EINVAL);
	fails(daxl_pool_open("/dev/null", NULL, &pool), EINVAL);
	fails(daxl_pool_open("", NULL, &pool), ENOENT);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	fails(daxl_pool_open(path, NULL, &pool), EINVAL); /* and does not wait for a writer */
	ck_assert_ptr_eq(pool, UNTOUCHED);
}
END_TEST

START_TEST(what_cannot_be_mapped)
{
	static const char *const sysfs = "/sys/kernel/mm/transparent_hugepage/enabled";
	struct daxl_pool_opts ro = flags(DAXL_POOL_READ_ONLY);
	struct daxl_pool *pool = UNTOUCHED;

	if (access(sysfs, R_OK) != 0) {
		printf("what_cannot_be_mapped: not tried, there is no %s\n", sysfs);
		return;
	}
	fails(daxl_pool_open(sysfs, &ro, &pool), EOPNOTSUPP);
	fails(daxl_check(sysfs, 0, NULL, NULL), EOPNOTSUPP);
	ck_assert_ptr_eq(pool, UNTOUCHED);
}
END_TEST

START_TEST(a_truncated_pool)
{
	static const uint64_t lengths[] = {8 * MIB - 1, 8 * MIB - 4096, 4 * MIB, 2 * MIB, 12288, 4096};

	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		const char *path = closed_pool();

		ck_assert_int_eq(truncate(path, (off_t)lengths[i]), 0);
		never_opens(path, EUCLEAN);
		ck_assert_ptr_nonnull(strstr(daxl_errormsg(), "truncated"));
	}
	const char *path = closed_pool();

	ck_assert_int_eq(truncate(path, 4095), 0); /* not even a superblock */
	never_opens(path, EINVAL);
	/* a longer file is no harm */
	path = closed_pool();
	ck_assert_int_eq(truncate(path, 9 * (off_t)MIB), 0);
	struct daxl_pool *pool;

	ok(daxl_pool_open(path, NULL, &pool));
	ok(daxl_pool_close(pool));
}
END_TEST

START_TEST(pools_of_other_versions)
{
	struct daxl_pool_opts ro = flags(DAXL_POOL_READ_ONLY);
	struct daxl_pool *pool = UNTOUCHED;
	const char *path = closed_pool();

	patch(path, unknown_incompat, 3);
	never_opens(path, EINVAL);
	ck_assert_ptr_nonnull(strstr(daxl_errormsg(), "bit 9"));
	fails(daxl_check(path, 0, NULL, NULL), EINVAL);
	fails(daxl_check(path, DAXL_CHECK_REPAIR, NULL, NULL), EINVAL);

	path = closed_pool();
	patch(path, other_version, 3);
	never_opens(path, EINVAL);
	ck_assert_ptr_nonnull(strstr(daxl_errormsg(), "version"));

	path = closed_pool();
	patch(path, unknown_ro_compat, 3);
	uint64_t was = api_hash(path);

	fails(daxl_pool_open(path, NULL, &pool), EROFS);
	ck_assert_ptr_nonnull(strstr(daxl_errormsg(), "bit 3"));
	fails(daxl_check(path, DAXL_CHECK_REPAIR, NULL, NULL), EROFS);
	is(daxl_check(path, 0, NULL, NULL), 0);
	ok(daxl_pool_open(path, &ro, &pool));
	struct daxl_file *file;

	ok(daxl_open(pool, "f", O_RDONLY, &file));
	api_is_pattern(file, 0, 3 * BLK + 5, 0);
	ok(daxl_close(file));
	ok(daxl_pool_close(pool));
	ck_assert_uint_eq(api_hash(path), was);

	path = closed_pool();
	patch(path, unknown_compat, 3);
	ok(daxl_pool_open(path, NULL, &pool));
	ok(daxl_pool_close(pool));
}
END_TEST

START_TEST(damaged_superblocks)
{
	struct daxl_pool *pool;
	const char *path = closed_pool();

	patch(path, impossible_block_size, 3);
	never_opens(path, EUCLEAN);
	path = closed_pool();
	patch(path, impossible_log, 3);
	never_opens(path, EUCLEAN);
	/* wrong checksums: any one copy is enough, none is not */
	for (int left = 0; left < 4; left++) {
		const uint64_t at[] = {0, 2 * MIB, 8 * MIB - 4096};
		int fd = (path = closed_pool(), open(path, O_RDWR | O_CLOEXEC));

		for (int i = 0; i < 3; i++)
			if (i != left)
				spoil_super(fd, at[i]);
		close(fd);
		if (left == 3) {
			never_opens(path, EUCLEAN);
			fails(daxl_check(path, DAXL_CHECK_REPAIR, NULL, NULL), EUCLEAN);
		} else {
			is(daxl_check(path, 0, NULL, NULL), 1);
			ok(daxl_pool_open(path, NULL, &pool));
			ok(daxl_pool_close(pool));
		}
	}
}
END_TEST

START_TEST(a_medium_that_cannot_be_read)
{
	const char *path = closed_pool();

	fault("media.read");
	never_opens(path, EIO);
	fails(daxl_check(path, 0, NULL, NULL), EIO);
	fails(daxl_check(path, DAXL_CHECK_REPAIR, NULL, NULL), EIO);
	fault(NULL);
}
END_TEST

START_TEST(a_pool_is_open_once_in_a_process)
{
	struct daxl_pool_opts ro = flags(DAXL_POOL_READ_ONLY);
	struct daxl_pool *pool, *second = UNTOUCHED;
	const char *path = closed_pool(), *link = api_path();

	ck_assert_int_eq(symlink(path, link), 0);
	for (int read_only = 0; read_only < 2; read_only++) {
		ok(daxl_pool_open(path, read_only ? &ro : NULL, &pool));
		fails(daxl_pool_open(path, NULL, &second), EBUSY);
		fails(daxl_pool_open(path, &ro, &second), EBUSY);
		fails(daxl_pool_open(link, &ro, &second), EBUSY);
		fails(daxl_pool_create(path, 8 * MIB, NULL, &second), EBUSY);
		fails(daxl_check(path, 0, NULL, NULL), EBUSY);
		fails(daxl_check(path, DAXL_CHECK_REPAIR, NULL, NULL), EBUSY);
		ok(daxl_pool_close(pool));
	}
	ck_assert_ptr_eq(second, UNTOUCHED);
}
END_TEST

START_TEST(a_writer_excludes_other_processes)
{
	struct daxl_pool_opts ro = flags(DAXL_POOL_READ_ONLY);
	struct daxl_pool *pool = UNTOUCHED;
	const char *path = closed_pool();
	struct other other = start("hold", path, "rw");

	is(said(&other), 0);
	fails(daxl_pool_open(path, NULL, &pool), EBUSY);
	fails(daxl_pool_open(path, &ro, &pool), EBUSY);
	fails(daxl_pool_create(path, 8 * MIB, NULL, &pool), EBUSY);
	fails(daxl_check(path, 0, NULL, NULL), EBUSY);
	ck_assert_ptr_eq(pool, UNTOUCHED);
	is(stop(&other), 0);

	ok(daxl_pool_open(path, NULL, &pool));
	other = start("hold", path, "rw");
	is(said(&other), -EBUSY);
	is(stop(&other), 0);
	other = start("hold", path, "ro");
	is(said(&other), -EBUSY);
	is(stop(&other), 0);
	ok(daxl_pool_close(pool));
}
END_TEST

START_TEST(readers_of_several_processes_go_together)
{
	struct daxl_pool_opts ro = flags(DAXL_POOL_READ_ONLY);
	struct daxl_pool *pool;
	const char *path = closed_pool();
	struct other other = start("hold", path, "ro");

	is(said(&other), 0);
	ok(daxl_pool_open(path, &ro, &pool));
	ok(daxl_pool_close(pool));
	is(daxl_check(path, 0, NULL, NULL), 0);
	fails(daxl_check(path, DAXL_CHECK_REPAIR, NULL, NULL), EBUSY);
	fails(daxl_pool_open(path, NULL, &pool), EBUSY);
	is(stop(&other), 0);
	ok(daxl_pool_open(path, NULL, &pool));
	ok(daxl_pool_close(pool));
}
END_TEST

/* --- read-only --- */

START_TEST(a_pool_open_read_only_refuses_changes)
{
	struct daxl_pool_opts ro = flags(DAXL_POOL_READ_ONLY);
	struct daxl_pool *pool;
	struct daxl_file *file, *other = UNTOUCHED;
	struct daxl_pool_stat st;
	struct daxl_lease_opts opts = DAXL_LEASE_OPTS_INIT;
	struct daxl_lease *lease = UNTOUCHED;
	struct daxl_break_handle *handle = UNTOUCHED;
	const char *path = closed_pool();
	uint64_t was = api_hash(path);

	ro.checkpoint_interval_ms = 1;
	ok(daxl_pool_open(path, &ro, &pool));
	ok(daxl_pool_stat(pool, &st));
	ck_assert_uint_eq(st.flags & DAXL_POOL_STAT_READ_ONLY, DAXL_POOL_STAT_READ_ONLY);
	fails(daxl_pool_checkpoint(pool), EROFS);
	fails(daxl_pool_grow(pool, 16 * MIB), EROFS);
	fails(daxl_open(pool, "f", O_RDWR, &other), EROFS);
	fails(daxl_open(pool, "g", O_RDONLY | O_CREAT, &other), EROFS);
	fails(daxl_open(pool, "g", O_RDWR | O_CREAT, &other), EROFS);
	fails(daxl_open(pool, "g", O_RDONLY, &other), ENOENT);
	fails(daxl_unlink(pool, "f"), EROFS);
	fails(daxl_rename(pool, "f", "g", 0), EROFS);
	ok(daxl_open(pool, "f", O_RDONLY | O_CREAT, &file));
	fails(daxl_pwrite(file, "x", 1, 0), EBADF);
	fails(daxl_setattr(file, "k", "v", 1), EBADF);
	fails(daxl_fallocate(file, 0, 0, BLK, NULL), EBADF);
	fails(daxl_truncate(file, 0, NULL), EBADF);
	fails(daxl_clone_range(file, 0, file, 8 * BLK, BLK, NULL), EBADF);
	fails(daxl_exchange_range(file, 0, file, BLK, BLK, NULL), EBADF);
	fails(daxl_copy_range(file, 0, file, 8 * BLK, 1), EBADF);
	fails(daxl_break(file, 0, BLK, DAXL_BREAK_UNMAP, NULL), EBADF);
	fails(daxl_break_begin(file, 0, BLK, DAXL_BREAK_UNMAP, NULL, &handle), EBADF);
	opts.mode = DAXL_LEASE_WRITE;
	fails(daxl_lease_acquire(file, 0, BLK, &opts, &lease), EBADF);
	/* and reads */
	api_is_pattern(file, 0, 3 * BLK + 5, 0);
	ok(daxl_fsync(file));
	lease = api_lease(file, 0, DAXL_TO_END, DAXL_LEASE_READ);
	ok(daxl_lease_pin(lease));
	struct daxl_extent ext;

	is(daxl_lease_extents(lease, &ext, 1), 1);
	ck_assert_uint_eq(((unsigned char *)ext.addr)[5], api_byte(5));
	daxl_lease_unpin(lease);
	daxl_lease_free(lease);
	ok(daxl_close(file));
	ok(daxl_pool_close(pool));
	ck_assert_ptr_eq(other, UNTOUCHED);
	ck_assert_ptr_eq(handle, UNTOUCHED);
	ck_assert_uint_eq(api_hash(path), was);
}
END_TEST

START_TEST(reading_after_a_crash_replays_in_memory_alone)
{
	struct daxl_pool_opts ro = flags(DAXL_POOL_READ_ONLY);
	struct daxl_pool *pool;
	struct daxl_file *file;
	struct daxl_pool_stat st;
	const char *path = closed_pool();
	struct other other = start("crash", path, "");

	is(stop(&other), SIGKILL);
	uint64_t was = api_hash(path);

	for (int i = 0; i < 2; i++) {
		ok(daxl_pool_open(path, &ro, &pool));
		ok(daxl_pool_stat(pool, &st));
		ck_assert_uint_eq(st.flags, DAXL_POOL_STAT_READ_ONLY | DAXL_POOL_STAT_RECOVERED);
		ck_assert_uint_gt(st.log_used_bytes, 0);
		ok(daxl_open(pool, "crashed", O_RDONLY, &file));
		is(api_size(file), 5 * BLK + 4);
		api_is_filled(file, 0, 5 * BLK, 0);
		ok(daxl_close(file));
		ok(daxl_pool_close(pool));
		ck_assert_uint_eq(api_hash(path), was);
	}
	ok(daxl_pool_open(path, NULL, &pool));
	ok(daxl_pool_stat(pool, &st));
	ck_assert_uint_eq(st.flags, DAXL_POOL_STAT_RECOVERED);
	pool = api_reopen(pool, path, 0);
	ok(daxl_pool_stat(pool, &st));
	ck_assert_uint_eq(st.flags, 0);
	ok(daxl_pool_close(pool));
}
END_TEST

/* --- damage --- */

START_TEST(a_damaged_file)
{
	struct daxl_pool_opts ro = flags(DAXL_POOL_READ_ONLY);
	const char *path;
	struct daxl_pool *pool = api_pool(&path);
	struct daxl_file *file = api_file(pool, "broken", 0);
	struct daxl_pool_stat st;

	for (off_t i = 0; i < 100; i++) /* more runs than go into its record */
		is(daxl_pwrite(file, "x", 1, 2 * i * BLK), 1);
	ok(daxl_close(file));
	ok(daxl_close(api_file(pool, "whole", 3 * BLK)));
	ok(daxl_pool_close(pool));
	ck_assert_int_gt(api_spoil_maps(path), 0);
	uint64_t was = api_hash(path);

	pool = UNTOUCHED;
	fails(daxl_pool_open(path, NULL, &pool), EUCLEAN);
	ck_assert_ptr_eq(pool, UNTOUCHED);
	ck_assert_uint_eq(api_hash(path), was);
	is(daxl_check(path, 0, NULL, NULL), 1);
	ck_assert_uint_eq(api_hash(path), was);
	ok(daxl_pool_open(path, &ro, &pool));
	ok(daxl_pool_stat(pool, &st));
	ck_assert_uint_eq(st.flags, DAXL_POOL_STAT_READ_ONLY | DAXL_POOL_STAT_DAMAGED);
	file = UNTOUCHED;
	fails(daxl_open(pool, "broken", O_RDONLY, &file), EUCLEAN);
	ck_assert_ptr_nonnull(strstr(daxl_errormsg(), "'broken'"));
	ck_assert_ptr_eq(file, UNTOUCHED);
	ok(daxl_open(pool, "whole", O_RDONLY, &file));
	api_is_pattern(file, 0, 3 * BLK, 0);
	ok(daxl_close(file));
	ok(daxl_pool_close(pool));
	ck_assert_uint_eq(api_hash(path), was);

	is(daxl_check(path, DAXL_CHECK_REPAIR, NULL, NULL), 1);
	is(daxl_check(path, 0, NULL, NULL), 0);
	ok(daxl_pool_open(path, NULL, &pool));
	ok(daxl_open(pool, "whole", O_RDONLY, &file));
	api_is_pattern(file, 0, 3 * BLK, 0);
	ok(daxl_close(file));
	ok(daxl_pool_close(pool));
}
END_TEST

/* --- check --- */

struct findings {
	int progress, warnings, errors, stop_at, wrong;
	uint64_t done;
};

static int count_finding(const struct daxl_check_finding *f, void *arg)
{
	struct findings *seen = arg;
	uint64_t zero[4] = {0};

	if (!f->message || strlen(f->message) < 3 || f->reserved0 != 0 ||
	    memcmp(f->reserved, zero, sizeof(zero)) != 0 || (f->kind == DAXL_FINDING_PROGRESS && f->done < seen->done))
		seen->wrong++;
	if (f->kind == DAXL_FINDING_PROGRESS) {
		seen->done = f->done;
		seen->progress++;
	} else if (f->severity == DAXL_SEVERITY_WARNING)
		seen->warnings++;
	else if (f->severity == DAXL_SEVERITY_ERROR)
		seen->errors++;
	return seen->progress + seen->warnings + seen->errors == seen->stop_at;
}

START_TEST(check_says_what_it_finds_and_can_be_ended)
{
	struct findings seen = {0};
	const char *path = closed_pool();

	fails(daxl_check("/nonexistent/pool", 0, NULL, NULL), ENOENT);
	fails(daxl_check("/dev/null/pool", 0, NULL, NULL), ENOTDIR);
	fails(daxl_check("/dev/null", 0, NULL, NULL), EINVAL);
	fails(daxl_check(path, 2, NULL, NULL), EINVAL);
	fails(daxl_check(path, 1u << 31 | DAXL_CHECK_REPAIR, NULL, NULL), EINVAL);
	is(daxl_check(path, 0, count_finding, &seen), 0);
	ck_assert_int_gt(seen.progress, 0);
	ck_assert_int_eq(seen.warnings + seen.errors + seen.wrong, 0);
	seen = (struct findings){.stop_at = 1};
	fails(daxl_check(path, 0, count_finding, &seen), ECANCELED);

	int fd = open(path, O_RDWR | O_CLOEXEC);

	spoil_super(fd, 2 * MIB);
	close(fd);
	uint64_t was = api_hash(path);

	seen = (struct findings){0};
	is(daxl_check(path, 0, count_finding, &seen), 1);
	ck_assert_int_eq(seen.warnings, 1);
	ck_assert_int_eq(seen.errors + seen.wrong, 0);
	ck_assert_uint_eq(api_hash(path), was);
	for (int i = 1; i < 30; i++) { /* ended at each report in turn */
		seen = (struct findings){.stop_at = i};
		int rc = daxl_check(path, 0, count_finding, &seen);

		is(rc, seen.warnings ? 1 : -ECANCELED);
		ck_assert_uint_eq(api_hash(path), was);
	}
	is(daxl_check(path, DAXL_CHECK_REPAIR, NULL, NULL), 1);
	is(daxl_check(path, DAXL_CHECK_REPAIR, NULL, NULL), 0);
	is(daxl_check(path, 0, NULL, NULL), 0);
}
END_TEST

/* --- close, grow, descriptors --- */

START_TEST(close_is_refused_while_anything_is_out)
{
	struct daxl_pool *pool = api_pool(NULL);
	struct daxl_file *file = api_file(pool, "f", BLK);
	struct daxl_lease *lease = api_lease(file, 0, BLK, DAXL_LEASE_READ);
	struct daxl_break_handle *handle;
	struct daxl_wait forever = api_wait(DAXL_WAIT_FOREVER, 0, 0);

	fails(daxl_pool_close(pool), EBUSY);
	ok(daxl_lease_pin(lease));
	ok(daxl_close(file));
	fails(daxl_pool_close(pool), EBUSY);
	ck_assert_ptr_nonnull(strstr(daxl_errormsg(), "lease"));
	ok(daxl_lease_return(lease));
	fails(daxl_pool_close(pool), EBUSY);
	daxl_lease_free(lease);
	fails(daxl_pool_close(pool), EBUSY); /* its pin is still out */
	daxl_lease_unpin(lease);
	ok(daxl_open(pool, "f", O_RDWR, &file));
	ok(daxl_break_begin(file, 0, BLK, DAXL_BREAK_WRITE, &forever, &handle));
	fails(daxl_pool_close(pool), EBUSY);
	daxl_break_end(handle);
	ok(daxl_close(file));
	daxl_rcu_read_lock();
	fails(daxl_pool_close(pool), EDEADLK);
	daxl_rcu_read_unlock();
	ok(daxl_pool_close(pool));
}
END_TEST

START_TEST(grow_in_use)
{
	const char *path;
	struct daxl_pool *pool = api_pool(&path);
	struct daxl_file *file = api_file(pool, "f", BLK);
	struct daxl_pool_stat was, st;
	void *base = daxl_pool_base(pool);

	ok(daxl_pool_stat(pool, &was));
	fault("media.extend");
	fails(daxl_pool_grow(pool, 16 * MIB), ENOSPC);
	fault(NULL);
	fails(daxl_pool_grow(pool, 64 * 1024 * MIB), EOPNOTSUPP); /* beyond the address space set aside */
	ok(daxl_pool_stat(pool, &st));
	is(st.pool_size, 8 * MIB);
	is(st.total_blocks, was.total_blocks);
	struct daxl_lease *lease = api_lease(file, 0, BLK, DAXL_LEASE_WRITE);

	ok(daxl_pool_grow(pool, 16 * MIB + 5));
	ck_assert_ptr_eq(daxl_pool_base(pool), base);
	ck_assert_int_eq(daxl_lease_state(lease), DAXL_LEASE_LIVE);
	daxl_lease_free(lease);
	ok(daxl_pool_stat(pool, &st));
	is(st.pool_size, 16 * MIB);
	ck_assert_uint_ge(st.free_blocks, was.free_blocks + 2000);
	ok(daxl_close(file));
	file = api_file(pool, "large", 10 * MIB);
	pool = (ok(daxl_close(file)), api_reopen(pool, path, 0));
	ok(daxl_pool_stat(pool, &st));
	is(st.pool_size, 16 * MIB);
	ok(daxl_open(pool, "large", O_RDONLY, &file));
	api_is_pattern(file, 0, 10 * MIB, 0);
	ok(daxl_close(file));
	ok(daxl_pool_close(pool));
	is(daxl_check(path, 0, NULL, NULL), 0);
}
END_TEST

START_TEST(no_descriptors_left)
{
	struct daxl_pool *pool = api_pool(NULL), *other = UNTOUCHED;
	struct rlimit limit, none;
	const char *path = closed_pool(), *at = api_path();
	int fd = (int)ok(daxl_pool_event_fd(pool)), rc[3];

	is(daxl_pool_event_fd(pool), fd);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = limit;
	for (none.rlim_cur = 0; none.rlim_cur < 64; none.rlim_cur++) { /* the first to fail, then each one after it */
		ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
		rc[0] = daxl_pool_open(path, NULL, &other);
		rc[1] = rc[0] ? daxl_pool_create(at, 8 * MIB, NULL, &other) : 0;
		rc[2] = rc[0] ? daxl_check(path, 0, NULL, NULL) : 0;
		ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
		if (rc[0] == 0)
			break;
		is(rc[0], -EMFILE);
		is(rc[1], -EMFILE);
		ck_assert_int_ne(access(at, F_OK), 0);
		ck_assert(rc[2] == -EMFILE || rc[2] == 0);
		ck_assert_ptr_eq(other, UNTOUCHED);
	}
	ok(daxl_pool_close(other));
	ok(daxl_pool_close(pool));
	ck_assert_int_eq(fcntl(fd, F_GETFD), -1);
}
END_TEST

START_TEST(stat_adds_up)
{
	static const uint64_t zero[16];
	const char *path;
	struct daxl_pool *pool = api_pool(&path);
	struct daxl_pool_stat a, b;

	ok(daxl_pool_stat(pool, &a));
	is(a.pool_size, 8 * MIB);
	is(a.files, 0);
	is(a.open_files, 0);
	ck_assert_uint_ne(a.epoch, 0);
	ck_assert_uint_eq(a.flags, 0);
	ck_assert_uint_gt(a.reserved_blocks, 0);
	ck_assert_uint_le(a.free_blocks + a.reserved_blocks, a.total_blocks);
	ck_assert_uint_lt(a.total_blocks, 8 * MIB / BLK);
	ck_assert_int_eq(memcmp(a.reserved, zero, sizeof(zero)), 0);
	struct daxl_file *file = api_file(pool, "f", 10 * BLK);
	struct daxl_lease *lease = api_lease(file, 0, BLK, DAXL_LEASE_READ);

	ok(daxl_pool_stat(pool, &b));
	is(b.files, 1);
	is(b.open_files, 1);
	is(b.leases, 1);
	ck_assert_uint_eq(b.free_blocks, a.free_blocks - 10);
	ck_assert_uint_gt(b.log_records, a.log_records);
	ck_assert_uint_gt(b.log_used_bytes, a.log_used_bytes);
	ok(daxl_clone_range(file, 0, file, 16 * BLK, 4 * BLK, NULL));
	ok(daxl_pool_stat(pool, &b));
	is(b.shared_blocks, 4);
	ok(daxl_pool_checkpoint(pool));
	ok(daxl_pool_stat(pool, &a));
	ck_assert_uint_gt(a.generation, b.generation);
	ck_assert_uint_eq(a.checkpoints, b.checkpoints + 1);
	is(a.log_used_bytes, 0);
	daxl_lease_free(lease);
	ok(daxl_close(file));
	pool = api_reopen(pool, path, 0);
	ok(daxl_pool_stat(pool, &b));
	ck_assert_uint_ne(a.epoch, b.epoch);
	ck_assert_int_eq(memcmp(a.uuid, b.uuid, sizeof(a.uuid)), 0);
	is(b.shared_blocks, 4);
	is(b.files, 1);
	ok(daxl_pool_close(pool));
}
END_TEST

START_TEST(granularity_as_forced_is_shown)
{
	static const char *const names[] = {"BYTE", "CACHE_LINE", "PAGE"};

	for (uint32_t i = 0; i < 3; i++) {
		struct daxl_pool_stat st;
		const char *path;

		ck_assert_int_eq(setenv("PMEM2_FORCE_GRANULARITY", names[i], 1), 0);
		struct daxl_pool *pool = api_pool(&path);

		ok(daxl_pool_stat(pool, &st));
		is(st.granularity, i);
		ck_assert_uint_eq(st.flags, DAXL_POOL_STAT_FORCED);
		struct daxl_file *file = api_file(pool, "f", 3 * BLK);
		struct daxl_lease *lease = api_lease(file, 0, BLK, DAXL_LEASE_WRITE);

		ok(daxl_lease_persist(lease, 0, BLK));
		ok(daxl_fsync(file));
		daxl_lease_free(lease);
		ok(daxl_close(file));
		pool = api_reopen(pool, path, 0);
		ok(daxl_open(pool, "f", O_RDONLY, &file));
		api_is_pattern(file, 0, 3 * BLK, 0);
		ok(daxl_close(file));
		ok(daxl_pool_close(pool));
	}
	unsetenv("PMEM2_FORCE_GRANULARITY");
}
END_TEST

START_TEST(checkpoints_in_the_background)
{
	struct daxl_pool_opts opts = flags(DAXL_POOL_SPARSE);
	struct daxl_pool_stat st;

	opts.checkpoint_interval_ms = 1;
	struct daxl_pool *pool = api_pool_with(8 * MIB, &opts, NULL);
	struct daxl_file *file = api_file(pool, "f", BLK);

	for (ok(daxl_pool_stat(pool, &st)); st.checkpoints < 4; ok(daxl_pool_stat(pool, &st)))
		ok(daxl_setattr(file, "key", &st.log_records, sizeof(st.log_records)));
	ok(daxl_close(file));
	ok(daxl_pool_close(pool));
}
END_TEST

int main(int argc, char **argv)
{
	const struct api_case cases[] = {
		{"create_sizes", create_refuses_sizes},
		{"create_flags", create_refuses_flags},
		{"create_exists", create_refuses_what_is_there},
		{"create_access", create_refuses_without_permission},
		{"create_full", create_on_a_full_file_system},
		{"create_late", a_create_that_fails_late_leaves_nothing},
		{"create_geometry", create_takes_all_block_and_log_sizes},
		{"create_mode", create_sets_mode_and_allocates},
		{"no_pool", what_is_no_pool},
		{"no_map", what_cannot_be_mapped},
		{"truncated", a_truncated_pool},
		{"versions", pools_of_other_versions},
		{"superblocks", damaged_superblocks},
		{"unreadable", a_medium_that_cannot_be_read},
		{"busy", a_pool_is_open_once_in_a_process},
		{"busy_process", a_writer_excludes_other_processes},
		{"readers", readers_of_several_processes_go_together},
		{"read_only", a_pool_open_read_only_refuses_changes},
		{"read_only_crash", reading_after_a_crash_replays_in_memory_alone},
		{"damaged_file", a_damaged_file},
		{"check", check_says_what_it_finds_and_can_be_ended},
		{"close", close_is_refused_while_anything_is_out},
		{"grow", grow_in_use},
		{"event_fd", no_descriptors_left},
		{"stat", stat_adds_up},
		{"granularity", granularity_as_forced_is_shown},
		{"background", checkpoints_in_the_background},
	};

	if (argc == 4 && strcmp(argv[1], "hold") == 0)
		return hold(argv[2], argv[3]);
	if (argc == 4 && strcmp(argv[1], "crash") == 0)
		return crash(argv[2]);
	return API_RUN("api.pool", cases);
}
