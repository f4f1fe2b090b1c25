/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Leases: permission to reach the blocks of a file's range directly, with the CPU or with a device.
 *
 * While a lease is out, the blocks under its range stay where they are. Work on them is done under a pin: pin, start
 * the transfer, and unpin when it has ended. When an operation needs the range, the lease is recalled: from that
 * moment it gains no pins, and its holder is to commit what it wants kept, return the lease, and unpin as its
 * transfers end. Blocks with a pin on them are never freed, reused or zeroed by the library, whatever becomes of file,
 * lease and handle; the only exception is a lease whose fence function has said that nothing can land any more.
 *
 *               recall              return
 *       LIVE ------------> RECALLED --------------> RETURNED
 *        |                    |                         ^
 *        |                    +-----> REVOKED - - - - - + (if it was by limbo, and then returned)
 *        +--------------------------------------------->
 *
 * A READ lease may cover holes and unwritten blocks; they are shown as such and read as zeroes. A WRITE lease has
 * blocks of the file's own everywhere: granting it fills the holes with zeroes, durably, and copies what is shared.
 * Blocks that begin at or past the end of the file are allocated too, but unwritten until daxl_lease_commit moves the
 * size over them. Leases of different owners may overlap, and order between their holders is the holders' business.
 * Conventions: <daxlayout.h>.
 */
#ifndef DAXLAYOUT_LEASE_H
#define DAXLAYOUT_LEASE_H

#include <daxlayout/layout.h>
#include <daxlayout/types.h>

#ifdef __cplusplus
extern "C" {
#endif

enum daxl_lease_mode {
	DAXL_LEASE_READ = 0,
	DAXL_LEASE_WRITE = 1
};

enum daxl_lease_flags {
	/* No lease of another owner beside it: granting it recalls those that overlap, and as long as it is out other
	 * owners' leases and writes recall it. */
	DAXL_LEASE_EXCLUSIVE = 1,
	/* Other owners are not to change the contents behind it, as suits a holder that caches: their writes recall it
	 * first, and WRITE leases of other owners do not go together with it. */
	DAXL_LEASE_STABLE = 2,
	/* Counts as pinned from grant to return (or fence): for devices that transfer without asking, such as into a
	 * registered RDMA region. */
	DAXL_LEASE_IMPLICIT_PIN = 4,
	/* READ: others may fill holes and unwritten blocks it shows without recalling it. */
	DAXL_LEASE_FILL_OK = 8,
	/* Acquire only: do not wait, as a timeout of 0. */
	DAXL_LEASE_NOWAIT = 16,
	/* Recalls come through the pool's event queue (pool.h), and the recall function is not called. */
	DAXL_LEASE_QUEUE_EVENTS = 32
};

/* What daxl_lease_state returns. */
enum daxl_lease_states {
	DAXL_LEASE_LIVE = 0,     /* may be pinned */
	DAXL_LEASE_RECALLED = 1, /* asked back: takes no more pins, can still commit; return it */
	DAXL_LEASE_REVOKED = 2,  /* ended without its holder: fenced, or its blocks are in limbo */
	DAXL_LEASE_RETURNED = 3  /* given back; pins may still be out */
};

/* What a holder is told when its lease is recalled, once in the lease's life. */
struct daxl_recall {
	uint64_t lease_id;
	off_t off;             /* the part of the lease's range that is asked back, in bytes. */
	off_t len;             /* DAXL_TO_END where it has no end */
	int level;             /* enum daxl_break_level: WRITE waits for the return, UNMAP for the pins too */
	int reason;            /* enum daxl_reason: which operation asks */
	uint64_t deadline_ns;  /* CLOCK_MONOTONIC; what may happen from then on: enum daxl_on_timeout */
	uint64_t reserved[4];  /* 0 */
};

/*
 * Told of a recall, on the thread of the operation that recalls. *recall is valid during the call only. No lock of the
 * library is held, and every function of it may be called, such as commit, unpin and return; only those that would
 * have to wait for a lease fail with -EDEADLK. It may be called before daxl_lease_acquire has returned: until then the
 * lease may be returned, but not freed. Be quick: others are recalled after it.
 */
typedef void (*daxl_recall_fn)(struct daxl_lease *lease, const struct daxl_recall *recall, void *arg);

/*
 * Asked to stop the holder's device when the deadline has passed (DAXL_ON_TIMEOUT_FENCE). 0 means: no transfer through
 * this lease can reach its blocks any more, now or later. Anything else means that this could not be brought about;
 * another break may ask again. The blocks may belong to somebody else the moment after 0, so never say it in hope.
 * It runs on the breaking thread, one at a time for a lease, may take its time, and else lives by the rules of
 * daxl_recall_fn.
 */
typedef int (*daxl_fence_fn)(struct daxl_lease *lease, void *arg);

/* Called once, last: no function, event or pin of the lease will use arg after it. On any thread, also from unpin. */
typedef void (*daxl_release_fn)(void *arg);

struct daxl_lease_opts {
	size_t size;                  /* sizeof(struct daxl_lease_opts) */
	uint32_t mode;                /* enum daxl_lease_mode */
	uint32_t flags;               /* enum daxl_lease_flags */
	uint64_t owner;               /* a tag from daxl_owner_new, or 0 for nobody */
	daxl_recall_fn recall;        /* NULL: the holder looks at daxl_lease_state, or queues events */
	daxl_fence_fn fence;          /* NULL: cannot be fenced */
	daxl_release_fn release;      /* NULL: none */
	void *arg;                    /* passed to the three */
	uint32_t break_ms;            /* from recall to deadline; 0: the pool's lease_break_ms */
	const struct daxl_wait *wait; /* how the grant waits; NULL: the handle's default. Its owner and on_timeout are */
	                              /* ignored: owner is above, and a grant that comes too late fails */
};

#define DAXL_LEASE_OPTS_INIT { sizeof(struct daxl_lease_opts), DAXL_LEASE_READ, 0, 0, 0, 0, 0, 0, 0, 0 }

struct daxl_lease_stat {
	uint64_t id;          /* never used again while the pool is open; unique for ever together with epoch */
	uint64_t off;         /* the range as granted, widened to whole blocks, less what was returned at its ends: */
	uint64_t len;         /* bytes; DAXL_TO_END for a READ lease without end */
	uint32_t mode;        /* enum daxl_lease_mode, as it is now */
	uint32_t flags;       /* enum daxl_lease_flags, as they are now */
	uint32_t state;       /* enum daxl_lease_states */
	uint32_t reason;      /* enum daxl_reason: why it was recalled; DAXL_REASON_NONE if it was not */
	uint64_t pins;        /* explicit ones out now */
	uint64_t owner;
	uint64_t generation;  /* of the file, at the grant */
	uint64_t epoch;       /* of the pool */
	uint64_t deadline_ns; /* CLOCK_MONOTONIC; 0 if it was not recalled */
	uint64_t reserved[8]; /* 0 */
};

/* One entry of daxl_busy: a lease that is out, or returned with pins, or has blocks in limbo. */
struct daxl_holder {
	uint64_t lease_id;
	uint64_t owner;
	uint64_t off;          /* of the lease, bytes */
	uint64_t len;          /* bytes; DAXL_TO_END for a READ lease without end */
	uint32_t mode;         /* enum daxl_lease_mode */
	uint32_t flags;        /* enum daxl_lease_flags */
	uint32_t state;        /* enum daxl_lease_states */
	uint32_t reason;       /* enum daxl_reason; DAXL_REASON_NONE if it was not recalled */
	uint64_t pins;         /* explicit ones out now */
	uint64_t deadline_ns;  /* CLOCK_MONOTONIC; 0 if it was not recalled */
	uint64_t limbo_blocks; /* out of the file, and kept by its pins, or those of others whom the same operation revoked */
	uint64_t reserved[4];  /* 0 */
};

/*
 * Takes a lease on [off, off + len) of the file, widened to whole blocks.
 *
 * len        bytes. DAXL_TO_END: for READ without end, for WRITE to the size rounded up to whole blocks
 * opts       or NULL for a READ lease of nobody's
 * ret_lease  the handle, to be ended with daxl_lease_free. It lives on if the file's handle is closed
 *
 * Waits behind operations on the range that came before, and for other owners' leases that cannot stand beside it
 * (EXCLUSIVE, STABLE), which it recalls. A WRITE grant that allocates or copies blocks recalls leases as an allocation
 * or a write to shared blocks does. An owner's own leases are never in the way. If it was recalled before the
 * call returns, the call still succeeds, and the handle says RECALLED, or RETURNED if its recall function did that.
 *
 * Waiting: may wait. A READ lease that conflicts with nothing, and a WRITE lease whose blocks are all there, store
 * nothing to the medium.
 *
 *   -EINVAL     off negative, len not positive; a WRITE lease with DAXL_TO_END from the end of the file on; unknown
 *               mode or flags; a bad wait
 *   -E2BIG      opts or wait from a newer program
 *   -EBADF      WRITE, and the handle is O_RDONLY
 *   -EFBIG      ends past the largest file size, and len is not DAXL_TO_END
 *   -ENOSPC     no room for the blocks of a WRITE lease, or in the log for its commit
 *   -ENOMEM
 *   -EAGAIN     NOWAIT or a timeout of 0, and it would have to wait; or the owner has a recalled lease in the pool
 *               which it has not returned, and it would have to wait
 *   -ETIMEDOUT  the time is over
 *   -ECANCELED  the cancel was used
 *   -EDEADLK    it would have to wait, inside a recall or fence function or a read section of liburcu
 */
DAXL_API int daxl_lease_acquire(struct daxl_file *file, off_t off, off_t len, const struct daxl_lease_opts *opts,
                                struct daxl_lease **ret_lease);

/*
 * Lists the lease's extents as daxl_map does, but these stay true until the lease is returned or revoked: holes and
 * unwritten blocks may be filled, nothing else changes. The list covers what has not been returned; for a READ lease
 * it ends where daxl_map's does. In a WRITE lease addr is given for unwritten blocks as well. The memory may be
 * touched under a pin only.
 *
 * Returns how many there are, which may be more than max; then the first max were stored. Never waits.
 *
 *   -ESTALE  the lease is returned or revoked
 */
DAXL_API ssize_t daxl_lease_extents(struct daxl_lease *lease, struct daxl_extent *exts, size_t max);

/*
 * Pins the lease for one piece of work, to be undone by one daxl_lease_unpin. The blocks of the whole lease stay where
 * they are until then. Any number of pins may be out. Never waits; takes no lock.
 *
 *   -ESTALE  the lease is recalled, revoked or returned: start nothing
 */
DAXL_API int daxl_lease_pin(struct daxl_lease *lease);

/*
 * Undoes one pin. Once for each pin, from any thread, in any state of the lease: after its return, after
 * daxl_lease_free, after the file was closed. The last one lets a waiting break go on, and after daxl_lease_free it
 * frees the lease, calling its release function. The handle must not be used after that. Never waits.
 */
DAXL_API void daxl_lease_unpin(struct daxl_lease *lease);

/*
 * Makes durable what this machine's CPUs have stored into [off, off + len) of the lease. Changes neither size nor map:
 * what lies in unwritten blocks counts only after daxl_lease_commit. Legal while recalled. Never waits.
 *
 *   -EINVAL  off negative, len not positive
 *   -ERANGE  not all of the range is in the lease
 *   -ESTALE  the lease is returned or revoked
 */
DAXL_API int daxl_lease_persist(struct daxl_lease *lease, off_t off, off_t len);

/*
 * Publishes what was written through a WRITE lease: makes [off, off + len) durable, turns its unwritten blocks into
 * data, and raises the file's size to new_size if that is more than it is, in one step that a crash cannot split.
 *
 * new_size  bytes, more than off and at most off + len; or -1, or not more than the present size, to leave the size.
 *           Nothing past it is zeroed. If the size is below off, the lease has to cover what lies between, which is
 *           zeroed
 *
 * Legal while recalled, and then the last thing to do before the return. It comes wholly before whatever change the
 * recall is for, or fails with -ESTALE and changes nothing. READ leases of others that show the blocks as unwritten
 * are recalled, and not waited for.
 *
 * Never waits for holders or behind a break, also from a recall function; room in the log is set aside at the grant.
 *
 *   -EINVAL  off negative, len not positive, new_size below -1
 *   -ERANGE  not all of the range, or of what has to be zeroed, is in the lease; a READ lease; new_size past both the
 *            present size and off + len
 *   -ESTALE  the lease is returned or revoked
 *   -ENOMEM
 */
DAXL_API int daxl_lease_commit(struct daxl_lease *lease, off_t off, off_t len, off_t new_size);

/*
 * Gives the lease back: no new work starts under it. Pins that are out stay, and what was asked back is free when the
 * last one has gone. Returning it again does nothing. What was not committed is not part of the file: in unwritten
 * blocks it is lost. The handle stays until daxl_lease_free. Never waits. No errors.
 */
DAXL_API int daxl_lease_return(struct daxl_lease *lease);

/*
 * Gives back a part: the whole blocks inside [off, off + len), as far as they are in the lease. A part in the middle
 * leaves a lease of two pieces. A break waits only for what is left in its range. When nothing is left the lease is
 * returned. The state stays as it is otherwise. len may be DAXL_TO_END. Never waits.
 *
 *   -EINVAL  off negative, len not positive
 *   -EBUSY   explicit pins are out
 *   -ENOMEM
 */
DAXL_API int daxl_lease_return_range(struct daxl_lease *lease, off_t off, off_t len);

/*
 * Turns a WRITE lease into a READ lease and takes its EXCLUSIVE flag away. What has been written has to be committed
 * before. Pins that are out may go on storing: if there are any, it still counts as a WRITE lease for others whenever
 * it is pinned. On a READ lease only the flag goes. Does not answer a recall. Never waits.
 *
 *   -ESTALE  the lease is returned or revoked
 */
DAXL_API int daxl_lease_downgrade(struct daxl_lease *lease);

/* Fills in *ret_stat, in any state of the lease. Never waits. No errors. */
DAXL_API int daxl_lease_stat(struct daxl_lease *lease, struct daxl_lease_stat *ret_stat);

/*
 * The lease's state, one of enum daxl_lease_states. It may have changed when the caller looks: only a pin holds a
 * lease. Wait-free.
 */
DAXL_API int daxl_lease_state(const struct daxl_lease *lease);

/*
 * Ends the handle, returning the lease if that was not done, and drops its queued events. With pins out the lease
 * itself stays behind until the last unpin, which is all that may still be called with it. Does not wait for a recall
 * or fence function that is running; the release function is called when all have ended, perhaps from here. Never
 * waits.
 */
DAXL_API void daxl_lease_free(struct daxl_lease *lease);

/*
 * Who is in the way of a change to [off, off + len): lists the leases there that are out, returned with pins, or have
 * blocks in limbo that came from there. len may be DAXL_TO_END.
 *
 * holders  room for max entries; may be NULL if max is 0
 *
 * Returns how many there are, which may be more than max; then the first max were stored. Never waits.
 *
 *   -EINVAL  off negative, len not positive
 *   -ENOMEM
 */
DAXL_API ssize_t daxl_busy(struct daxl_file *file, off_t off, off_t len, struct daxl_holder *holders, size_t max);

#ifdef __cplusplus
}
#endif

#endif
