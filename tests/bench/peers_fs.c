/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Kernel file systems as peers. An image in tmpfs is mounted through a loop device; the mount is detached at once and
 * kept by a descriptor of its root folder, so the kernel takes all of it away when the process ends.
 */
#include "peers.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ops.h"

#define IMAGE ((off_t)6 << 30)
#define FILES 32

static struct {
	const char *name, *mkfs;
	bool tried;
	int dir;
	char reason[128];
} fs[PEER_KINDS] = {
	[PEER_EXT4] = { .name = "ext4", .mkfs = "mkfs.ext4 -q -F -E lazy_itable_init=1,lazy_journal_init=1" },
	[PEER_XFS] = { .name = "xfs", .mkfs = "mkfs.xfs -q -f -m reflink=1" },
	[PEER_TMPFS] = { .name = "tmpfs" },
};

static struct { /* those that were made */
	const struct peer_file *file;
	int fd;
} made[FILES];
static unsigned made_count;

static void check(int result, const char *what)
{
	if (result < 0)
		bench_die(what);
}

static const char *reason(enum peer_fs kind, const char *what)
{
	snprintf(fs[kind].reason, sizeof(fs[kind].reason), "%s: %s", fs[kind].name, what);
	return fs[kind].reason;
}

/* Mounts the image at a new folder, and leaves only the descriptor of the root. */
static const char *mount_image(enum peer_fs kind, const char *image, const char *at)
{
	static const char path[] = "PATH=$PATH:/usr/sbin:/sbin;";
	char command[512];
	int fd = open(image, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0)
		return reason(kind, "no image in " BENCH_DIR);
	check(ftruncate(fd, IMAGE), "ftruncate");
	close(fd);
	snprintf(command, sizeof(command), "%s %s '%s' >/dev/null 2>&1", path, fs[kind].mkfs, image);
	if (system(command) != 0)
		return reason(kind, "no mkfs, or it failed");
	snprintf(command, sizeof(command), "%s mount -o loop '%s' '%s' >/dev/null 2>&1", path, image, at);
	if (system(command) != 0)
		return reason(kind, "a loop device cannot be mounted here");
	fs[kind].dir = open(at, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	check(umount2(at, MNT_DETACH), "umount");
	return fs[kind].dir < 0 ? reason(kind, "its root cannot be opened") : NULL;
}

static const char *mount_fs(enum peer_fs kind)
{
	char image[64], at[] = "/tmp/daxl_bench.XXXXXX";
	const char *why;

	if (kind == PEER_TMPFS) {
		fs[kind].dir = open(BENCH_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		return fs[kind].dir < 0 ? reason(kind, "no " BENCH_DIR) : NULL;
	}
	if (geteuid() != 0)
		return reason(kind, "only root can mount it");
	if (!mkdtemp(at))
		return reason(kind, "no folder in /tmp");
	snprintf(image, sizeof(image), BENCH_DIR "/daxl_bench.%s.%ld", fs[kind].name, (long)getpid());
	why = mount_image(kind, image, at);
	unlink(image);
	rmdir(at);
	return why;
}

static void make_runs(int fd, unsigned runs)
{
	for (unsigned i = 0; i < runs / 2; i++)
		check(fallocate(fd, 0, (off_t)i * OP_GAP * OP_BYTES, OP_BYTES), "fallocate on a peer");
	check(ftruncate(fd, (off_t)(runs / 2) * OP_GAP * OP_BYTES), "ftruncate on a peer");
}

static int find(const struct peer_file *pf)
{
	for (unsigned i = 0; i < made_count; i++)
		if (made[i].file->fs == pf->fs && strcmp(made[i].file->name, pf->name) == 0)
			return made[i].fd;
	return -1;
}

const char *peer_file_missing(const void *arg)
{
	const struct peer_file *pf = arg;
	int fd;

	if (!fs[pf->fs].tried)
		(void)mount_fs(pf->fs);
	fs[pf->fs].tried = true;
	if (fs[pf->fs].reason[0])
		return fs[pf->fs].reason;
	if (find(pf) >= 0)
		return NULL;
	/* tmpfs is shared with others: a file without a name there. */
	fd = pf->fs == PEER_TMPFS ? openat(fs[pf->fs].dir, ".", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600)
	                          : openat(fs[pf->fs].dir, pf->name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	check(fd, pf->name);
	if (pf->runs > 1)
		make_runs(fd, pf->runs);
	for (unsigned i = 0; pf->runs == 0 && i < OP_WARM; i++)
		check((int)pwrite(fd, op_data(), BENCH_BLOCK, (off_t)i * OP_BYTES), "pwrite on a peer");
	check(fsync(fd), "fsync on a peer");
	if (made_count == FILES) {
		errno = ENOSPC;
		bench_die("files of peers");
	}
	made[made_count].file = pf;
	made[made_count++].fd = fd;
	return NULL;
}

int peer_file_fd(const struct peer_file *pf)
{
	int fd = find(pf);

	check(fd, pf->name);
	return fd;
}

void peer_file_forget(const struct peer_file *pf)
{
	for (unsigned i = 0; i < made_count; i++)
		if (made[i].fd == find(pf)) {
			close(made[i].fd);
			unlinkat(fs[pf->fs].dir, pf->name, 0);
			made[i] = made[--made_count];
			return;
		}
}

static void done(const struct peer_file *pf, int fd, int result)
{
	check(result, "a change on a peer");
	if (pf->sync)
		check(fsync(fd), "fsync on a peer");
}

static off_t some_gap(const struct peer_file *pf)
{
	return (off_t)(bench_random() % (pf->runs / 2)) * OP_GAP + 1;
}

void peer_allocate(unsigned ops, const void *arg)
{
	const struct peer_file *pf = arg;
	off_t at = some_gap(pf);
	int fd = peer_file_fd(pf);

	bench_start();
	for (unsigned i = 0; i < ops; i++)
		done(pf, fd, fallocate(fd, 0, (at + i) * OP_BYTES, OP_BYTES));
	bench_stop();
	check(fallocate(fd, OP_PUNCH, at * OP_BYTES, ops * OP_BYTES), "punch on a peer");
}

void peer_punch(unsigned ops, const void *arg)
{
	const struct peer_file *pf = arg;
	off_t at = some_gap(pf);
	int fd = peer_file_fd(pf);

	done(pf, fd, fallocate(fd, 0, at * OP_BYTES, ops * OP_BYTES));
	bench_start();
	for (unsigned i = 0; i < ops; i++)
		done(pf, fd, fallocate(fd, OP_PUNCH, (at + i) * OP_BYTES, OP_BYTES));
	bench_stop();
}

void peer_truncate(unsigned ops, const void *arg)
{
	const struct peer_file *pf = arg;
	off_t end = (off_t)(pf->runs / 2) * OP_GAP;
	int fd = peer_file_fd(pf);

	done(pf, fd, fallocate(fd, 0, end * OP_BYTES, ops * OP_BYTES));
	bench_start();
	for (unsigned i = ops; i > 0; i--)
		done(pf, fd, ftruncate(fd, (end + i - 1) * OP_BYTES));
	bench_stop();
}

void peer_collapse(unsigned ops, const void *arg)
{
	const struct peer_file *pf = arg;
	int fd = peer_file_fd(pf);

	check(fallocate(fd, FALLOC_FL_INSERT_RANGE, 0, ops * OP_BYTES), "insert on a peer");
	done(pf, fd, fallocate(fd, 0, 0, ops * OP_BYTES));
	bench_start();
	for (unsigned i = 0; i < ops; i++)
		done(pf, fd, fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 0, OP_BYTES));
	bench_stop();
}

void peer_insert(unsigned ops, const void *arg)
{
	const struct peer_file *pf = arg;
	int fd = peer_file_fd(pf);

	bench_start();
	for (unsigned i = 0; i < ops; i++)
		done(pf, fd, fallocate(fd, FALLOC_FL_INSERT_RANGE, 0, OP_BYTES));
	bench_stop();
	check(fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 0, ops * OP_BYTES), "collapse on a peer");
}

void peer_truncate_all(unsigned ops, const void *arg)
{
	const struct peer_file *pf = arg;
	int fd = peer_file_fd(pf);

	for (unsigned i = 0; i < ops; i++) {
		bench_start();
		done(pf, fd, ftruncate(fd, 0));
		bench_stop();
		make_runs(fd, pf->runs);
		check(fsync(fd), "fsync on a peer");
	}
}

void peer_overwrite(unsigned ops, const void *arg)
{
	static uint64_t at;
	int fd = peer_file_fd(arg);

	bench_start();
	for (unsigned i = 0; i < ops; i++, at++) {
		check((int)pwrite(fd, op_data(), BENCH_BLOCK, (off_t)(at % OP_WARM) * OP_BYTES), "pwrite on a peer");
		check(fdatasync(fd), "fdatasync on a peer");
	}
	bench_stop();
}

void peer_append(unsigned ops, const void *arg)
{
	const struct peer_file *pf = arg;
	int fd = peer_file_fd(pf);

	bench_start();
	for (unsigned i = 0; i < ops; i++)
		done(pf, fd, (int)pwrite(fd, op_data(), BENCH_BLOCK, (off_t)(OP_WARM + i) * OP_BYTES));
	bench_stop();
	check(ftruncate(fd, OP_WARM * OP_BYTES), "ftruncate on a peer");
}

void peer_create(unsigned ops, const void *arg)
{
	const struct peer_file *pf = arg;
	int dir = fs[pf->fs].dir;
	char name[64];

	snprintf(name, sizeof(name), "daxl_bench.%ld.one", (long)getpid());
	bench_start();
	for (unsigned i = 0; i < ops; i++) {
		int fd = openat(dir, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

		check(fd, "create on a peer");
		done(pf, fd, 0);
		done(pf, dir, close(fd));
		done(pf, dir, unlinkat(dir, name, 0));
	}
	bench_stop();
}

void peer_fiemap(unsigned ops, const void *arg)
{
	const struct peer_file *pf = arg;
	uint64_t blocks = (uint64_t)(pf->runs / 2) * OP_GAP;
	int fd = peer_file_fd(pf);
	union {
		struct fiemap map;
		char room[sizeof(struct fiemap) + sizeof(struct fiemap_extent)];
	} ask;

	bench_start();
	for (unsigned i = 0; i < ops; i++) {
		memset(&ask, 0, sizeof(ask));
		ask.map.fm_start = bench_random() % blocks * BENCH_BLOCK;
		ask.map.fm_length = BENCH_BLOCK;
		ask.map.fm_extent_count = 1;
		check(ioctl(fd, FS_IOC_FIEMAP, &ask), "FIEMAP on a peer");
	}
	bench_stop();
}

void peer_clone(unsigned ops, const void *arg)
{
	const struct peer_file *pf = arg;
	int fd = peer_file_fd(pf), to = openat(fs[pf->fs].dir, "clone", O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	check(to, "a clone on a peer");
	for (unsigned i = 0; i < ops; i++) {
		bench_start();
		done(pf, to, ioctl(to, FICLONE, fd));
		bench_stop();
		check(ftruncate(to, 0), "ftruncate on a peer");
	}
	close(to);
}

void peer_setlease(unsigned ops, const void *arg)
{
	int fd = peer_file_fd(arg);

	bench_start();
	for (unsigned i = 0; i < ops; i++) {
		check(fcntl(fd, F_SETLEASE, F_WRLCK), "F_SETLEASE");
		check(fcntl(fd, F_SETLEASE, F_UNLCK), "F_SETLEASE");
	}
	bench_stop();
}
