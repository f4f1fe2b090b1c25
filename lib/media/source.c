/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two locks keep a pool's bytes to one user. An open-file-description lock excludes other processes: shared for
 * readers, exclusive for a writer; it goes with the descriptor, so a crash leaves nothing behind. It would let this
 * process open the same file for reading twice, though, and two pools over one mapping would not know of each other:
 * hence the list of claims, by device and inode number, which refuses any second open in a process.
 *
 * What stands at the path is judged before it is opened: opening a FIFO waits, and opening some devices acts.
 */
#include "media/source.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/error.h"
#include "base/hook.h"
#include "media/media.h"

/* A leaf of its own: nothing is taken and nothing of the library is called while it is held. */
static pthread_mutex_t claims_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct daxl_source *claims; /* guarded by claims_mutex */

/* Whether the character device belongs to the kernel's dax subsystem, as libpmem2 decides it. */
static bool is_device_dax(dev_t rdev)
{
	char link[64], target[PATH_MAX];
	const char *name;

	snprintf(link, sizeof(link), "/sys/dev/char/%u:%u/subsystem", major(rdev), minor(rdev));
	if (!realpath(link, target))
		return false;
	name = strrchr(target, '/');
	return name && strcmp(name, "/dax") == 0;
}

/* Refuses what is neither an ordinary file nor a device DAX node. */
static int judge(const char *path, const struct stat *st)
{
	if (S_ISREG(st->st_mode))
		return 0;
	if (S_ISDIR(st->st_mode))
		return daxl_fail(EINVAL, "'%s' is a directory, not a file or a device DAX node", path);
	if (S_ISBLK(st->st_mode))
		return daxl_fail(EINVAL, "'%s' is a block device: a pool needs a file on it, or a device DAX node",
		                 path);
	if (!S_ISCHR(st->st_mode) || !is_device_dax(st->st_rdev))
		return daxl_fail(EINVAL, "'%s' is not an ordinary file or a device DAX node", path);
	return 0;
}

/* Opens the descriptor; sets fd and created. */
static int open_fd(const char *path, unsigned flags, unsigned mode, struct daxl_source *source)
{
	int oflags = (flags & DAXL_MEDIA_READ_ONLY ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOCTTY;
	struct stat st;
	int err;

	source->created = false;
	if (DAXL_FAULT("media.open"))
		return daxl_fail(EMFILE, "cannot open '%s': %s", path, strerror(EMFILE));
	if (flags & DAXL_MEDIA_CREATE) {
		source->fd = open(path, oflags | O_CREAT | O_EXCL, (mode_t)mode);
		if (source->fd >= 0) {
			source->created = true;
			return 0;
		}
		if (errno != EEXIST)
			return daxl_fail(errno, "cannot create '%s': %s", path, strerror(errno));
	}
	if (stat(path, &st) != 0)
		return daxl_fail(errno, "cannot open '%s': %s", path, strerror(errno));
	err = judge(path, &st);
	if (err)
		return err;
	source->fd = open(path, oflags | O_NONBLOCK);
	if (source->fd < 0)
		return daxl_fail(errno, "cannot open '%s': %s", path, strerror(errno));
	return 0;
}

/* Enters the source into this process's list, once its identity is known. */
static int claim(const char *path, struct daxl_source *source)
{
	struct daxl_source *other;

	pthread_mutex_lock(&claims_mutex);
	for (other = claims; other; other = other->next_claimed) {
		if (other->dev == source->dev && other->ino == source->ino && other->device == source->device)
			break;
	}
	if (!other) {
		source->next_claimed = claims;
		claims = source;
	}
	pthread_mutex_unlock(&claims_mutex);
	return other ? daxl_fail(EBUSY, "'%s' is already open in this process", path) : 0;
}

/* The descriptor, and the lock with it, is closed before anybody in this process can claim the file anew. */
void daxl_source_close(struct daxl_source *source)
{
	struct daxl_source **p;

	pthread_mutex_lock(&claims_mutex);
	(void)close(source->fd);
	for (p = &claims; *p; p = &(*p)->next_claimed) {
		if (*p == source) {
			*p = source->next_claimed;
			break;
		}
	}
	pthread_mutex_unlock(&claims_mutex);
	source->fd = -1;
}

static int lock(const char *path, const struct daxl_source *source, bool read_only)
{
	struct flock fl = {.l_type = read_only ? F_RDLCK : F_WRLCK, .l_whence = SEEK_SET};

	if (DAXL_FAULT("media.lock"))
		return daxl_fail(ENOLCK, "cannot lock '%s': %s", path, strerror(ENOLCK));
	if (fcntl(source->fd, F_OFD_SETLK, &fl) == 0)
		return 0;
	if (errno == EAGAIN || errno == EACCES)
		return daxl_fail(EBUSY, "'%s' is in use by another process", path);
	return daxl_fail(errno, "cannot lock '%s': %s", path, strerror(errno));
}

int daxl_source_extend(struct daxl_source *source, uint64_t new_size, bool sparse)
{
	uint64_t old_size = source->size;
	int err;

	assert(!source->device && new_size > old_size);
	if (new_size > INT64_MAX)
		return daxl_fail(EFBIG, "a file of %" PRIu64 " bytes", new_size);
	if (DAXL_FAULT("media.extend")) {
		err = ENOSPC;
	} else if (sparse) {
		err = ftruncate(source->fd, (off_t)new_size) == 0 ? 0 : errno;
	} else {
		do
			err = posix_fallocate(source->fd, (off_t)old_size, (off_t)(new_size - old_size));
		while (err == EINTR);
	}
	if (err) {
		if (ftruncate(source->fd, (off_t)old_size) != 0)
			return daxl_fail(err, "cannot lengthen the file to %" PRIu64 " bytes: %s; nor undo that",
			                 new_size, strerror(err));
		return daxl_fail(err, "cannot lengthen the file to %" PRIu64 " bytes: %s", new_size, strerror(err));
	}
	source->size = new_size;
	return 0;
}

void daxl_source_shrink(struct daxl_source *source, uint64_t old_size)
{
	if (ftruncate(source->fd, (off_t)old_size) == 0)
		source->size = old_size;
}

/* Claimed and locked: looks at what there is and gives a file to be created its size. */
static int fill(const char *path, unsigned flags, uint64_t create_size, struct daxl_source *source)
{
	struct stat st;
	int err;

	if (fstat(source->fd, &st) != 0)
		return daxl_fail(errno, "cannot stat '%s': %s", path, strerror(errno));
	source->size = source->device ? 0 : (uint64_t)st.st_size;
	if (source->device)
		return 0;
	if (st.st_nlink == 0)
		return daxl_fail(ENOENT, "'%s' was removed while it was being opened", path);
	if (!(flags & DAXL_MEDIA_CREATE)) {
		if (source->size == 0)
			return daxl_fail(EINVAL, "'%s' is empty", path);
		return 0;
	}
	if (source->size != 0)
		return daxl_fail(EEXIST, "'%s' exists and is not empty", path);
	if (create_size == 0)
		return daxl_fail(EINVAL, "cannot create '%s' with no bytes", path);
	err = daxl_source_extend(source, create_size, flags & DAXL_MEDIA_SPARSE);
	if (!err)
		source->filled = true;
	return err;
}

void daxl_source_undo(struct daxl_source *source, const char *path)
{
	struct stat here, there;

	if (source->created) {
		if (fstat(source->fd, &here) == 0 && lstat(path, &there) == 0 && here.st_dev == there.st_dev &&
		    here.st_ino == there.st_ino)
			(void)unlink(path);
	} else if (source->filled && ftruncate(source->fd, 0) == 0) {
		source->size = 0;
	}
}

int daxl_source_open(const char *path, unsigned flags, uint64_t create_size, unsigned mode, struct daxl_source *source)
{
	struct stat st;
	bool undo = true; /* a created file that another opener holds is theirs */
	int err;

	*source = (struct daxl_source){.fd = -1};
	if ((flags & DAXL_MEDIA_READ_ONLY) && (flags & (DAXL_MEDIA_CREATE | DAXL_MEDIA_SPARSE)))
		return daxl_fail(EINVAL, "'%s': read-only excludes creating", path);
	err = open_fd(path, flags, mode, source);
	if (err)
		return err;
	if (fstat(source->fd, &st) != 0) {
		err = daxl_fail(errno, "cannot stat '%s': %s", path, strerror(errno));
		goto out_close;
	}
	err = judge(path, &st); /* again: it may have been replaced */
	if (err)
		goto out_close;
	source->device = S_ISCHR(st.st_mode);
	source->dev = source->device ? st.st_rdev : st.st_dev;
	source->ino = source->device ? 0 : st.st_ino;
	err = claim(path, source);
	undo = err != -EBUSY;
	if (err)
		goto out_close;
	err = lock(path, source, flags & DAXL_MEDIA_READ_ONLY);
	undo = err != -EBUSY;
	if (err)
		goto out_close;
	err = fill(path, flags, create_size, source);
	if (!err)
		return 0;
out_close:
	if (undo)
		daxl_source_undo(source, path);
	daxl_source_close(source);
	return err;
}
