/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Pools. A pool is one region of bytes with many files in it: a device DAX device, a file on a DAX file system, or
 * any ordinary file. It is mapped into memory once. One process at a time may have it open for writing; any number
 * may have it open read-only while nobody has it open for writing. Conventions: <daxlayout.h>.
 */
#ifndef DAXLAYOUT_POOL_H
#define DAXLAYOUT_POOL_H

#include <daxlayout/types.h>

#ifdef __cplusplus
extern "C" {
#endif

enum daxl_pool_flags {
	/* Open only. Nothing is stored to the medium; a log left by a crash is replayed in memory alone. A damaged
	 * pool can be opened this way: daxl_open of a damaged file gives -EUCLEAN. */
	DAXL_POOL_READ_ONLY = 1,
	/* Create only. Leave the blocks of an ordinary file to be allocated by its file system on first use. A store
	 * into such a block while that file system is full raises SIGBUS; without this flag all are allocated. */
	DAXL_POOL_SPARSE = 2
};

/* Options of create and open. What only create uses is ignored by open. */
struct daxl_pool_opts {
	size_t size;                     /* sizeof(struct daxl_pool_opts) */
	uint32_t block_size;             /* create: bytes, a power of two from 4096 to 2097152; 0: 4096 */
	uint64_t log_size;               /* create: bytes, 256 KiB to 256 MiB; 0: 1/256 of the pool within these limits */
	uint32_t mode;                   /* create: permission bits of a new ordinary file; 0: 0600. The umask applies */
	uint32_t flags;                  /* DAXL_POOL_READ_ONLY, DAXL_POOL_SPARSE */
	uint32_t lease_break_ms;         /* how long holders have to give a recalled lease back; 0: 45000 */
	uint32_t checkpoint_interval_ms; /* a background thread checkpoints this often; 0: no such thread */
};

#define DAXL_POOL_OPTS_INIT { sizeof(struct daxl_pool_opts), 0, 0, 0, 0, 0, 0 }

/* What the platform makes durable without being asked, and so what a flush costs. */
enum daxl_pool_granularity {
	DAXL_GRANULARITY_BYTE = 0,       /* stores are durable when visible (battery-backed caches) */
	DAXL_GRANULARITY_CACHE_LINE = 1, /* cache lines are flushed by the CPU */
	DAXL_GRANULARITY_PAGE = 2        /* pages are flushed by msync(2) */
};

/* Bits of daxl_pool_stat.flags. */
enum daxl_pool_stat_flags {
	DAXL_POOL_STAT_READ_ONLY = 1,  /* opened with DAXL_POOL_READ_ONLY */
	DAXL_POOL_STAT_RECOVERED = 2,  /* had not been closed cleanly; the log was replayed by this open */
	DAXL_POOL_STAT_DAMAGED = 4,    /* something in it is unreadable or contradictory; open read-only because of it */
	DAXL_POOL_STAT_DEVICE = 8,     /* on a device DAX device, not in a file */
	DAXL_POOL_STAT_FORCED = 16     /* the granularity was forced through the environment: durability is not certain */
};

struct daxl_pool_stat {
	uint64_t pool_size;        /* bytes */
	uint64_t block_size;       /* bytes */
	uint64_t total_blocks;     /* that can ever hold data or metadata */
	uint64_t free_blocks;      /* that data can take now */
	uint64_t reserved_blocks;  /* kept back so that checkpoints, deletes and recovery never lack room */
	uint64_t limbo_blocks;     /* in no file any more but still pinned; free when their last pin goes */
	uint64_t pending_blocks;   /* freed, and soon free_blocks: waiting until no reader can still see them */
	uint64_t shared_blocks;    /* used in more than one place */
	uint64_t files;            /* that have a name */
	uint64_t open_files;       /* handles of this process */
	uint64_t leases;           /* not drained yet: out, or returned with pins */
	uint64_t epoch;            /* a random number drawn at each open for writing; with a lease id it is unique */
	uint64_t generation;       /* of the newest checkpoint */
	uint64_t log_size_bytes;
	uint64_t log_used_bytes;   /* since the newest checkpoint; what a crash now would have to replay */
	uint64_t log_records;      /* written since the pool was opened */
	uint64_t checkpoints;      /* completed since the pool was opened */
	uint64_t checkpoint_pages; /* pages of 4096 bytes which the newest checkpoint consists of */
	uint8_t uuid[16];
	uint32_t granularity;      /* enum daxl_pool_granularity, as in force */
	uint32_t flags;            /* enum daxl_pool_stat_flags */
	uint64_t reserved[16];     /* 0 */
};

/*
 * Makes a new, empty pool at path and opens it for writing.
 *
 * path      a device DAX device, an empty ordinary file, or a name at which an ordinary file is made
 * size      bytes, at least 4 MiB and 16 blocks; whole blocks are used, a rest is not. For a device 0 means all of it.
 * opts      or NULL
 * ret_pool  the handle; end it with daxl_pool_close
 *
 * On failure a file made by the call is removed again. Waiting: short; time grows with size, since all of an
 * ordinary file's blocks are allocated, unless DAXL_POOL_SPARSE is given.
 *
 *   -EEXIST      a file that is not empty, or a device that holds a pool
 *   -EINVAL      too small; a bad block_size or log_size; unknown flags, or READ_ONLY; neither device nor file
 *   -E2BIG       opts from a newer program
 *   -EBUSY       somebody, perhaps this process, has it open
 *   -ENOSPC      the file system is full, or the device is smaller than size
 *   -ENOENT, -EACCES, -EPERM, -ENOTDIR, -EROFS, -EMFILE, ...  as open(2) gives them
 *   -EOPNOTSUPP  it cannot be mapped, or not shared
 *   -EIO         the medium cannot be written or read back
 *   -EAGAIN      a thread cannot be started: each pool open for writing has one, and one more for checkpoint_interval_ms
 *   -ENOMEM
 */
DAXL_API int daxl_pool_create(const char *path, uint64_t size, const struct daxl_pool_opts *opts,
                              struct daxl_pool **ret_pool);

/*
 * Opens a pool, for writing unless opts say DAXL_POOL_READ_ONLY. After a crash it first recovers: the log is replayed,
 * files without a name are deleted, and a checkpoint is written.
 *
 * Waiting: short; time grows with the metadata and the log, not with the pool's size.
 *
 *   -EBUSY       another process writes it, or has it open and this is for writing; or this process has it open
 *   -EINVAL      not a pool; needs features this library does not have; unknown flags, or SPARSE
 *   -EUCLEAN     damaged. Nothing was changed. Open it read-only to rescue data, or use daxl_check to repair
 *   -EROFS       for writing only: features are in use which this library may only read
 *   -ENOSPC      for writing only: no room for the checkpoint that ends recovery
 *   -EIO         a part of the medium that is needed cannot be read
 *   -E2BIG       opts from a newer program
 *   -ENOENT, -EACCES, -EPERM, -ENOTDIR, -EMFILE, ...  as open(2) gives them
 *   -EOPNOTSUPP  it cannot be mapped, or not shared
 *   -EAGAIN      a thread cannot be started: each pool open for writing has one, and one more for checkpoint_interval_ms
 *   -ENOMEM
 */
DAXL_API int daxl_pool_open(const char *path, const struct daxl_pool_opts *opts, struct daxl_pool **ret_pool);

/*
 * Closes the pool: a last checkpoint, a mark that the close was clean, and the mapping is undone. On success the
 * handle is gone, and so are the address daxl_pool_base gave and the event file descriptor.
 *
 * Waiting: short. Waits for no holder; with leases out it fails instead.
 *
 *   -EBUSY   files are open, leases are out (or returned with pins still on them), or breaks have not been ended;
 *            daxl_errormsg() lists them. The pool stays open
 *   -EDEADLK called inside a read section of liburcu (flavour bp)
 * Failing to write the last checkpoint is not an error: the log has it all, and the next open replays it.
 */
DAXL_API int daxl_pool_close(struct daxl_pool *pool);

/* Fills in *ret_stat. The figures are taken one after the other while others work. Never waits. No errors. */
DAXL_API int daxl_pool_stat(struct daxl_pool *pool, struct daxl_pool_stat *ret_stat);

/*
 * Writes a checkpoint now, so that a crash after it has nothing to replay. Needed by nobody: one is written whenever
 * the log is half full. Other operations go on meanwhile.
 *
 * Waiting: short. While another thread's checkpoint runs, waits for it and then writes one.
 *
 *   -EROFS    the pool is open read-only
 *   -ENOSPC   not even the reserve has room for it
 *   -ENOMEM
 */
DAXL_API int daxl_pool_checkpoint(struct daxl_pool *pool);

/*
 * Makes the pool larger while it is in use. Addresses handed out stay valid. An ordinary file is lengthened; its new
 * blocks are allocated as they were at creation. A pool on a device can grow up to the device's size. new_size is in
 * bytes, whole blocks are used; no block more than now changes nothing. A failure may leave the file longer than the
 * pool; that does no harm.
 *
 * Waiting: short.
 *
 *   -EINVAL      smaller than the present size
 *   -EROFS       the pool is open read-only
 *   -EFBIG       more blocks than the format can number
 *   -ENOSPC      the file system is full
 *   -EOPNOTSUPP  the pool is on a device that is smaller, or the address space behind the mapping is taken
 *   -ENOMEM
 */
DAXL_API int daxl_pool_grow(struct daxl_pool *pool, uint64_t new_size);

enum daxl_event_kind {
	/* A lease is recalled. Only leases with DAXL_LEASE_QUEUE_EVENTS are told this way. */
	DAXL_EVENT_RECALL = 1,
	/* A break from daxl_break_begin has come to its end, well or not: daxl_break_poll tells which. */
	DAXL_EVENT_BREAK_READY = 2,
	/* The last block that a lease (one with DAXL_LEASE_QUEUE_EVENTS) had in limbo is free. */
	DAXL_EVENT_LIMBO_DRAINED = 3
};

struct daxl_event {
	int kind;                         /* enum daxl_event_kind */
	struct daxl_lease *lease;         /* RECALL, LIMBO_DRAINED; only valid if the program has not freed it since */
	uint64_t lease_id;                /* the same; of BREAK_READY 0 */
	struct daxl_break_handle *handle; /* BREAK_READY; else NULL */
	void *arg;                        /* the lease's arg; of BREAK_READY NULL */
	off_t off;                        /* RECALL: as in struct daxl_recall; else where the lease or break begins */
	off_t len;                        /* bytes from there, DAXL_TO_END where it has no end */
	int level;                        /* RECALL, BREAK_READY: enum daxl_break_level; else 0 */
	int reason;                       /* RECALL: enum daxl_reason; else DAXL_REASON_NONE */
	uint64_t deadline_ns;             /* RECALL: as in struct daxl_recall; else 0 */
	uint64_t reserved[4];             /* 0 */
};

/*
 * A file descriptor for poll, epoll or io_uring that is readable while events are queued. It belongs to the pool: do
 * not read it, write it or close it. The same one each time. Wait-free. No errors: it is made with the handle.
 */
DAXL_API int daxl_pool_event_fd(struct daxl_pool *pool);

/*
 * Takes the oldest event off the queue. Returns 1 with *ret_event filled in, or 0 when there is none. Each event goes
 * to one caller. Taking the last one makes the file descriptor unreadable again. Events need no memory and are never
 * lost. daxl_lease_free drops the events its lease has in the queue, daxl_break_end those of its break; for an event
 * taken before, by another thread, lease_id is still right when lease is not valid any more.
 *
 * Never waits. No errors.
 */
DAXL_API int daxl_event_next(struct daxl_pool *pool, struct daxl_event *ret_event);

/*
 * The address at which the pool is mapped: daxl_extent.pool_off counts from there. For those who register the whole
 * pool with a device once. The memory may be touched only where a pinned lease allows it. NULL for a NULL pool.
 * Wait-free.
 */
DAXL_API void *daxl_pool_base(struct daxl_pool *pool);

/*
 * A fresh owner tag for daxl_wait.owner and daxl_lease_opts.owner: never 0, and never the same twice in one process.
 * Give each client that holds leases its own. Wait-free. Cannot fail.
 */
DAXL_API uint64_t daxl_owner_new(void);

#ifdef __cplusplus
}
#endif

#endif
