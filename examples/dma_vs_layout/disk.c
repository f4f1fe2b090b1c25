/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The disk: a file opened with O_DIRECT, read with io_uring into memory of the caller's, which is then the target of
 * the disk's own transfers. Where the kernel lets us, that memory is registered beforehand. Each step that a kernel
 * or a file system refuses has a lesser one below it; disk_method() says in words which one it has come to.
 */
#define _GNU_SOURCE 1

#include "demo.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#ifdef HAVE_LIBURING
#include <liburing.h>
#endif

#define OWN_SIZE ((size_t)16 << 20) /* of a disk file made here */

struct ended {
	unsigned tag;
	ssize_t len;
};

struct disk {
	int fd;
	size_t size; /* bytes, a multiple of TRANSFER */
	bool pattern;
	bool direct;
	bool ram; /* the file system keeps its files in memory */
	bool ring_ready, registered;
	char source[256];
	char method[160];
#ifdef HAVE_LIBURING
	struct io_uring ring;
#endif
	struct ended ended[QUEUE]; /* without a ring: reads that have ended and were not told yet */
	unsigned ended_count;
};

static bool is_ram(int fd)
{
	struct statfs fs;
	struct stat st;

	if (fstat(fd, &st) == 0 && S_ISBLK(st.st_mode))
		return false; /* a disk itself: its node is in a file system in memory */
	return fstatfs(fd, &fs) == 0 && (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC);
}

/* Fills the file with words that tell where they are from. */
static int fill(int fd)
{
	uint64_t *words = malloc(TRANSFER);
	int err = words ? 0 : -ENOMEM;

	for (size_t off = 0; off < OWN_SIZE && err == 0; off += TRANSFER) {
		for (size_t i = 0; i < TRANSFER / 8; i++)
			words[i] = DISK_MAGIC | (off / 8 + i);
		if (pwrite(fd, words, TRANSFER, (off_t)off) != (ssize_t)TRANSFER)
			err = errno ? -errno : -EIO;
	}
	free(words);
	if (err == 0 && fsync(fd) < 0)
		err = -errno;
	return err;
}

/* Makes a file that is gone when it is closed, on a disk rather than in memory if there is a choice. */
static int make_own(struct disk *disk)
{
	const char *tmpdir = getenv("TMPDIR");
	const char *dirs[] = {".", "/var/tmp", tmpdir ? tmpdir : "/tmp", "/tmp"};
	size_t count = sizeof(dirs) / sizeof(*dirs);
	int err = -ENOENT;

	for (size_t i = 0; i < 2 * count; i++) { /* in the second round memory will do */
		snprintf(disk->source, sizeof(disk->source), "%s/dma_vs_layout.XXXXXX", dirs[i % count]);
		disk->fd = mkstemp(disk->source);
		if (disk->fd < 0) {
			err = -errno;
			continue;
		}
		unlink(disk->source);
		err = i < count && is_ram(disk->fd) ? -ENODEV : fill(disk->fd);
		if (err == 0) {
			snprintf(disk->source, sizeof(disk->source), "a temporary file in %s", dirs[i % count]);
			disk->size = OWN_SIZE;
			disk->pattern = true;
			return 0;
		}
		close(disk->fd);
		disk->fd = -1;
	}
	return err;
}

static int open_users(struct disk *disk, const char *path)
{
	off_t size;

	snprintf(disk->source, sizeof(disk->source), "%s", path);
	disk->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (disk->fd < 0)
		return -errno;
	size = lseek(disk->fd, 0, SEEK_END); /* of a block device, too */
	if (size < (off_t)TRANSFER)
		return size < 0 ? -errno : -EINVAL;
	disk->size = (size_t)size - (size_t)size % TRANSFER;
	return 0;
}

/* Turns on O_DIRECT, and sees whether it works. */
static bool set_direct(int fd)
{
	int flags = fcntl(fd, F_GETFL);
	void *probe;
	bool good = false;

	if (posix_memalign(&probe, 4096, 4096) != 0)
		return false;
	if (flags >= 0 && fcntl(fd, F_SETFL, flags | O_DIRECT) == 0) {
		good = pread(fd, probe, 4096, 0) == 4096;
		if (!good)
			fcntl(fd, F_SETFL, flags);
	}
	free(probe);
	return good;
}

int disk_open(const char *path, struct disk **ret_disk)
{
	struct disk *disk = calloc(1, sizeof(*disk));
	int err;

	if (!disk)
		return -ENOMEM;
	disk->fd = -1;
	err = path ? open_users(disk, path) : make_own(disk);
	if (err < 0) {
		disk_close(disk);
		return err;
	}
	disk->direct = set_direct(disk->fd);
	disk->ram = is_ram(disk->fd);
	*ret_disk = disk;
	return 0;
}

/* Gives -ENOSYS, or whatever else the kernel has against io_uring; *registering is why buffers are plain, or 0. */
static int ring_init(struct disk *disk, void *base, size_t len, int *registering)
{
#ifdef HAVE_LIBURING
	struct iovec all = {.iov_base = base, .iov_len = len};
	int err = io_uring_queue_init(QUEUE, &disk->ring, 0);

	if (err == 0)
		*registering = io_uring_register_buffers(&disk->ring, &all, 1);
	return err;
#else
	(void)disk, (void)base, (void)len, (void)registering;
	return -ENOSYS;
#endif
}

/* What keeps the disk from transferring into the memory itself. */
static const char *shortcoming(const struct disk *disk)
{
	if (disk->ram)
		return "; the file is in memory, so the CPU copies";
	return disk->direct ? "" : "; O_DIRECT is refused, so the CPU copies";
}

void disk_attach(struct disk *disk, void *base, size_t len)
{
	const char *flag = disk->direct ? " with O_DIRECT" : "", *reason;
	int registering = 0, err = ring_init(disk, base, len, &registering);

	disk->ring_ready = err == 0;
	disk->registered = err == 0 && registering == 0;
	reason = err == -ENOSYS ? "none here" : strerror(err ? -err : -registering);
	if (disk->registered)
		snprintf(disk->method, sizeof(disk->method), "io_uring%s, registered buffers%s", flag,
		         shortcoming(disk));
	else if (disk->ring_ready)
		snprintf(disk->method, sizeof(disk->method), "io_uring%s, plain buffers (registering: %s)%s", flag,
		         reason, shortcoming(disk));
	else
		snprintf(disk->method, sizeof(disk->method), "preadv%s (io_uring: %s)%s", flag, reason,
		         shortcoming(disk));
}

void disk_close(struct disk *disk)
{
#ifdef HAVE_LIBURING
	if (disk->ring_ready)
		io_uring_queue_exit(&disk->ring);
#endif
	if (disk->fd >= 0)
		close(disk->fd);
	free(disk);
}

const char *disk_method(const struct disk *disk)
{
	return disk->method;
}

const char *disk_source(const struct disk *disk)
{
	return disk->source;
}

bool disk_has_pattern(const struct disk *disk)
{
	return disk->pattern;
}

size_t disk_size(const struct disk *disk)
{
	return disk->size;
}

#ifdef HAVE_LIBURING
static int ring_start(struct disk *disk, unsigned tag, void *addr, size_t len, off_t off)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&disk->ring);
	int count;

	if (!sqe)
		return -EBUSY;
	if (disk->registered)
		io_uring_prep_read_fixed(sqe, disk->fd, addr, (unsigned)len, (uint64_t)off, 0);
	else
		io_uring_prep_read(sqe, disk->fd, addr, (unsigned)len, (uint64_t)off);
	io_uring_sqe_set_data64(sqe, tag);
	do
		count = io_uring_submit(&disk->ring);
	while (count == -EINTR || count == -EAGAIN);
	return count < 0 ? count : 0;
}

static int ring_finish(struct disk *disk, uint64_t until_ns, unsigned *ret_tag, ssize_t *ret_len)
{
	struct io_uring_cqe *cqe;
	int err = io_uring_peek_cqe(&disk->ring, &cqe);

	while (err == -EAGAIN || err == -EINTR) {
		uint64_t now = now_ns(), left = until_ns > now ? until_ns - now : 0;
		struct __kernel_timespec timeout = {.tv_sec = (long long)(left / 1000000000),
		                                    .tv_nsec = (long long)(left % 1000000000)};

		if (left == 0)
			return 0;
		err = until_ns == UINT64_MAX ? io_uring_wait_cqe(&disk->ring, &cqe)
		                             : io_uring_wait_cqe_timeout(&disk->ring, &cqe, &timeout);
	}
	if (err < 0)
		return err == -ETIME ? 0 : err;
	*ret_tag = (unsigned)io_uring_cqe_get_data64(cqe);
	*ret_len = cqe->res;
	io_uring_cqe_seen(&disk->ring, cqe);
	return 1;
}
#endif

int disk_start(struct disk *disk, unsigned tag, void *addr, size_t len, off_t off)
{
	struct iovec iov = {.iov_base = addr, .iov_len = len};
	ssize_t got;

#ifdef HAVE_LIBURING
	if (disk->ring_ready)
		return ring_start(disk, tag, addr, len, off);
#endif
	do
		got = preadv(disk->fd, &iov, 1, off);
	while (got < 0 && errno == EINTR);
	disk->ended[disk->ended_count].tag = tag;
	disk->ended[disk->ended_count++].len = got < 0 ? -errno : got;
	return 0;
}

int disk_finish(struct disk *disk, uint64_t until_ns, unsigned *ret_tag, ssize_t *ret_len)
{
#ifdef HAVE_LIBURING
	if (disk->ring_ready)
		return ring_finish(disk, until_ns, ret_tag, ret_len);
#endif
	if (disk->ended_count == 0) {
		sleep_until(until_ns);
		return 0;
	}
	*ret_tag = disk->ended[--disk->ended_count].tag;
	*ret_len = disk->ended[disk->ended_count].len;
	return 1;
}
