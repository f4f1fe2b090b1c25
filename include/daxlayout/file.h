/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Files: names, handles, attributes, reading and writing. A pool has one flat set of names; a name is 1 to 255 bytes
 * without a NUL, and '/' is an ordinary byte. In a pool open read-only all handles are O_RDONLY. Conventions:
 * <daxlayout.h>.
 */
#ifndef DAXLAYOUT_FILE_H
#define DAXLAYOUT_FILE_H

#include <fcntl.h>
#include <sys/uio.h>

#include <daxlayout/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define DAXL_NAME_MAX 255        /* bytes, without the NUL */
#define DAXL_ATTR_KEY_MAX 255    /* bytes, without the NUL */
#define DAXL_ATTR_SPACE_MAX 3072 /* of all attributes of a file: for each, bytes of key and value, and 4 */

/*
 * Flags of daxl_rename. RENAME_NOREPLACE and RENAME_EXCHANGE, from <linux/fs.h> or, with _GNU_SOURCE, from <stdio.h>,
 * have the same values and may be used as well.
 */
#define DAXL_RENAME_NOREPLACE 1u
#define DAXL_RENAME_EXCHANGE 2u

/* Flags of daxl_pwritev. */
enum daxl_write_flags {
	DAXL_WRITE_ATOMIC = 1 /* after a crash either all of the write is there or nothing of it */
};

struct daxl_stat {
	uint64_t id;          /* of the file, unique in the pool among files that exist */
	uint64_t size;        /* bytes */
	uint64_t blocks;      /* allocated, in blocks, shared and unwritten ones included */
	uint64_t block_size;  /* bytes */
	uint64_t runs;        /* pieces in which the file's map lies, holes included */
	uint64_t generation;  /* grows with every change of map or size; survives reopening */
	uint64_t mtime_ns;    /* last change of contents by a call or commit, since 1970, good to some milliseconds; a write
	                       * that only overwrites blocks of its own leaves the times as they are */
	uint64_t ctime_ns;    /* last change of contents, name or attributes */
	uint64_t btime_ns;    /* creation */
	uint64_t leases;      /* on the file, not drained yet */
	uint64_t pins;        /* explicit ones, over all leases of the file */
	uint64_t reserved[8]; /* 0 */
};

/*
 * Opens the file called name, and with O_CREAT makes it first if there is none.
 *
 * oflags    O_RDONLY or O_RDWR, and any of:
 *             O_CREAT   make the file if it does not exist
 *             O_EXCL    with O_CREAT: fail if it does
 *             O_TRUNC   cut it to size 0 (needs O_RDWR); waits as the pool's default says
 *             O_APPEND  each write goes to the end, whatever offset it gives
 * ret_file  the handle; end it with daxl_close
 *
 * Waiting: may wait with O_TRUNC on a file that is leased out; else short where it creates, and never waits.
 *
 *   -ENOENT        no such file, and O_CREAT is not given
 *   -EEXIST        O_CREAT and O_EXCL, and the file exists
 *   -EINVAL        an empty name; O_WRONLY, other flags, O_TRUNC without O_RDWR, O_EXCL without O_CREAT
 *   -ENAMETOOLONG  more than 255 bytes
 *   -EROFS         the pool is open read-only, and O_RDWR is asked for or a file would have to be made
 *   -ENOSPC        no room to make the file, or for what O_TRUNC has to copy
 *   -EUCLEAN       the file is damaged (in a pool opened read-only because of it)
 *   -ENOMEM        with O_CREAT, the file may have been made
 *   and with O_TRUNC the errors of waiting (struct daxl_wait)
 */
DAXL_API int daxl_open(struct daxl_pool *pool, const char *name, int oflags, struct daxl_file **ret_file);

/*
 * Ends the handle. Leases taken through it live on until they are returned. If the file has no name any more and this
 * was the last handle, the file is deleted: leases on it are recalled, and blocks still pinned go to limbo at once.
 *
 * Waiting: short; never waits for holders. The handle is gone whatever is returned. No errors.
 */
DAXL_API int daxl_close(struct daxl_file *file);

/*
 * Takes the name away. The file itself goes with its last handle; if it is not open, now, and then as daxl_close
 * says. After a crash it is not there.
 *
 * Waiting: short; never waits for holders.
 *
 *   -ENOENT        no such file
 *   -EINVAL        an empty name
 *   -ENAMETOOLONG  more than 255 bytes
 *   -EROFS         the pool is open read-only
 *   -ENOSPC        no room in the log beside what other calls and the commits of WRITE leases have set aside
 *   -ENOMEM
 */
DAXL_API int daxl_unlink(struct daxl_pool *pool, const char *name);

/*
 * Gives the file which from names the name in to. A file that had that name loses it as by daxl_unlink, in the same
 * step: no moment, and no crash, shows neither or both. If both names are the same file nothing happens.
 *
 * flags  0; or DAXL_RENAME_NOREPLACE: fail if to exists; or DAXL_RENAME_EXCHANGE: both exist and swap names
 *
 * Waiting: short; never waits for holders.
 *
 *   -ENOENT        no file from; with EXCHANGE, no file to
 *   -EEXIST        with NOREPLACE, to exists
 *   -EINVAL        an empty name; unknown flags, or both
 *   -ENAMETOOLONG  more than 255 bytes
 *   -EROFS         the pool is open read-only
 *   -ENOSPC        no room for a longer name
 *   -ENOMEM
 */
DAXL_API int daxl_rename(struct daxl_pool *pool, const char *from, const char *to, unsigned flags);

/* Fills in *ret_stat. Size, blocks, runs and generation belong to one moment. Never waits. No errors. */
DAXL_API int daxl_stat(struct daxl_file *file, struct daxl_stat *ret_stat);

/* Called for each file by daxl_list. name is valid during the call only. A result other than 0 ends the list. */
typedef int (*daxl_list_fn)(const char *name, uint64_t id, void *arg);

/*
 * Calls fn for every name in the pool, in no particular order. A file that is there all the time comes once; one that
 * is made, removed or renamed meanwhile may come or not. fn may call any function of the library.
 *
 * Returns 0, or what fn returned to end it. Never waits.
 *
 *   -ENOMEM
 */
DAXL_API int daxl_list(struct daxl_pool *pool, daxl_list_fn fn, void *arg);

/*
 * Sets the attribute key of the file to a copy of the len bytes at value, or, with value NULL and len 0, removes it.
 * Attributes are small things that belong to the file and go with it; the library gives them no meaning.
 *
 * key  1 to 255 bytes before its NUL
 * len  bytes; 0 with a value that is not NULL sets an empty one
 *
 * Waiting: short.
 *
 *   -EINVAL        an empty key; value NULL and len not 0
 *   -ENAMETOOLONG  a key of more than 255 bytes
 *   -EBADF         the handle is O_RDONLY
 *   -E2BIG         key and value alone exceed DAXL_ATTR_SPACE_MAX
 *   -ENODATA       removing, and there is no such attribute
 *   -ENOSPC        all of the file's attributes together exceed DAXL_ATTR_SPACE_MAX; or the pool is full
 *   -ENOMEM
 */
DAXL_API int daxl_setattr(struct daxl_file *file, const char *key, const void *value, size_t len);

/*
 * Copies the attribute key to value, which has room for len bytes, and returns its length in bytes. With len 0 only
 * the length is returned, and value may be NULL. Never waits.
 *
 *   -ENODATA       no such attribute
 *   -ERANGE        it is longer than len
 *   -EINVAL        an empty key
 *   -ENAMETOOLONG  a key of more than 255 bytes
 */
DAXL_API ssize_t daxl_getattr(struct daxl_file *file, const char *key, void *value, size_t len);

/*
 * Reads up to len bytes at offset off into buf. Returns how many: fewer than len only at the end of the file, 0 past
 * it. Holes and unwritten blocks read as zeroes.
 *
 * Never queues behind a break or a lease. A read that runs against a write, or against operations that move blocks,
 * may see parts of both, in pieces of up to 64 KiB; it never sees bytes of another file.
 *
 * Waiting: never waits, except shortly for an operation which is about to move the very blocks it reads. That is no
 * wait for holders, and may happen in a recall or fence function too.
 *
 *   -EINVAL   off negative; len more than SSIZE_MAX
 *   -EDEADLK  it would have to wait inside a read section of liburcu (flavour bp)
 */
DAXL_API ssize_t daxl_pread(struct daxl_file *file, void *buf, size_t len, off_t off);

/*
 * Writes len bytes from buf at offset off, or, on an O_APPEND handle, at the end, whatever off is. Returns len when
 * all is done and durable: a write is complete or fails, never short, and after an error nothing was stored. len 0
 * writes nothing and returns 0.
 *
 * A write that only overwrites blocks of its own waits for nobody, unless other owners' leases over it are STABLE or
 * EXCLUSIVE; those are recalled first. Writing into a hole recalls leases that show it as one, writing to a shared
 * block (which is copied) all leases over it. A crash in the middle leaves each 8 bytes of what is overwritten either
 * old or new; new blocks and a new size appear together or not at all.
 *
 * Waiting: may wait, as the handle's default says (daxl_set_wait). A write that only overwrites may also wait, shortly
 * and as daxl_pread does, for an operation that is about to move its blocks, whatever the default says.
 *
 *   -EBADF    the handle is O_RDONLY
 *   -EINVAL   off negative; len more than SSIZE_MAX
 *   -EFBIG    it would end past the largest file size
 *   -ENOSPC   no room for new blocks
 *   -ENOMEM
 *   and the errors of waiting (struct daxl_wait)
 */
DAXL_API ssize_t daxl_pwrite(struct daxl_file *file, const void *buf, size_t len, off_t off);

/*
 * As daxl_pread, into iovcnt buffers one after the other.
 *
 *   -EINVAL  also: iovcnt negative or more than 1024; the lengths add up to more than SSIZE_MAX
 *   and the other errors of daxl_pread
 */
DAXL_API ssize_t daxl_preadv(struct daxl_file *file, const struct iovec *iov, int iovcnt, off_t off);

/*
 * As daxl_pwrite, from iovcnt buffers, waiting as wait says. With DAXL_WRITE_ATOMIC in flags the write goes to new
 * blocks which replace the old ones in one step, so it recalls all leases over the range and waits for their pins.
 *
 *   -EOPNOTSUPP  unknown flags
 *   -EINVAL      also: iovcnt negative or more than 1024; the lengths add up to more than SSIZE_MAX
 *   and the other errors of daxl_pwrite
 */
DAXL_API ssize_t daxl_pwritev(struct daxl_file *file, const struct iovec *iov, int iovcnt, off_t off, unsigned flags,
                              const struct daxl_wait *wait);

/*
 * Sets how operations through this handle wait: pwrite, copy_range (the destination's handle), and all others that
 * are given NULL for wait. *wait is copied; its cancel has to stay valid until it is replaced or the handle is
 * closed. NULL goes back to DAXL_WAIT_INIT. Operations under way keep what they started with. Never waits.
 *
 *   -EINVAL  timeout_ms below -1; unknown on_timeout; held not NULL
 *   -E2BIG   from a newer program
 *   -ENOMEM
 */
DAXL_API int daxl_set_wait(struct daxl_file *file, const struct daxl_wait *wait);

/*
 * Makes durable whatever this machine's CPUs have stored into the file's blocks through leases. Calls of the library
 * need no fsync, and daxl_lease_persist does the same for a range at less cost. It does not commit: what a holder has
 * written past the size stays unwritten until daxl_lease_commit.
 *
 * Waiting: never waits for holders; time grows with the file's allocated blocks. No errors.
 */
DAXL_API int daxl_fsync(struct daxl_file *file);

#ifdef __cplusplus
}
#endif

#endif
