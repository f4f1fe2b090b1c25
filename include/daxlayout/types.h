/* SPDX-License-Identifier: BSD-3-Clause */
/* What several headers share: handles, how to wait, levels of break and reasons. Conventions: <daxlayout.h>. */
#ifndef DAXLAYOUT_TYPES_H
#define DAXLAYOUT_TYPES_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#if defined(__GNUC__)
#define DAXL_API __attribute__((visibility("default")))
#else
#define DAXL_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

struct daxl_pool;         /* pool.h: an open pool */
struct daxl_file;         /* file.h: an open file */
struct daxl_lease;        /* lease.h: permission to reach a range's blocks */
struct daxl_cancel;       /* range.h: ends waits early */
struct daxl_break_handle; /* range.h: a break that is in progress */

/* Offsets have 64 bits: where this does not compile, add -D_FILE_OFFSET_BITS=64. */
typedef char daxl_off_t_has_64_bits[sizeof(off_t) == 8 ? 1 : -1];

/*
 * As a length: to the end, however far that is. READ leases, return_range, break and busy take it as infinity, a
 * WRITE lease as up to the size rounded up to whole blocks, map as everything there is, and exchange, with both
 * offsets 0, as the whole of both files.
 */
#define DAXL_TO_END ((off_t)INT64_MAX)

/* daxl_wait.timeout_ms: the pool's lease break time, and no limit. */
#define DAXL_WAIT_POOL_DEFAULT (-1)
#define DAXL_WAIT_FOREVER INT64_MAX

/* What a call does about holders who have not given way when its time is over. */
enum daxl_on_timeout {
	DAXL_ON_TIMEOUT_FAIL = 0,  /* give up with -ETIMEDOUT; nothing has changed */
	DAXL_ON_TIMEOUT_FENCE = 1, /* call the late lease's fence function; if it succeeds, revoke the lease and go on */
	DAXL_ON_TIMEOUT_LIMBO = 2  /* take the busy blocks out of the file; they become free when the last pin is gone */
};

/*
 * How a call waits for the holders of leases. NULL in its place means the file handle's default (daxl_set_wait),
 * which without that call is DAXL_WAIT_INIT.
 *
 * timeout_ms   0: do not wait. The recall is sent, then the call ends with -EAGAIN.
 *              DAXL_WAIT_POOL_DEFAULT (-1, what the INIT macro sets): the pool's lease_break_ms.
 *              DAXL_WAIT_FOREVER, or a number of milliseconds counted from the start of the call. Smaller than -1
 *              is -EINVAL.
 * on_timeout   one of enum daxl_on_timeout. Neither FENCE nor LIMBO is done to a lease before that lease's own
 *              deadline, which is the time of its recall plus its break_ms: a call given less time than that ends
 *              with -ETIMEDOUT instead. LIMBO suits what takes blocks out of a file: punch, zero range, truncate,
 *              writes to shared blocks, atomic writes, unshare, and the destination of clone and dedupe. With
 *              collapse, insert, exchange, daxl_break and daxl_break_begin it is -EINVAL, for a holder with an old
 *              map would go on writing to the wrong offsets. Where a call has no blocks to take out it acts as FAIL.
 * owner        who is calling: a tag of the caller's choice (daxl_owner_new), 0 for nobody. A break at level WRITE
 *              passes over leases of the same owner; one at level UNMAP returns them, if they have no pins. Nobody
 *              is waited for on behalf of an owner who has itself been asked to give a lease back.
 * cancel       lets another thread end the wait (range.h), or NULL.
 * held         a break which the caller holds (daxl_break_begin): the operation runs inside it and has nothing left
 *              to wait for. NULL otherwise. It has to cover the operation's range and level, else -EINVAL with
 *              nobody recalled.
 *
 * The errors of waiting, which every function gives that takes this struct or uses the handle's:
 *   -EAGAIN     the timeout is 0 and there is somebody to wait for; the recall has been sent
 *   -ETIMEDOUT  the time is over, and: on_timeout is FAIL; or a late holder has no fence function or it failed; or
 *               a late lease's own deadline is still to come; or another operation on the range was still ahead
 *   -ECANCELED  cancel was used, before or during the call
 *   -EDEADLK    waiting could never end: the caller's owner has pins in a range to be unmapped, or a recalled lease
 *               it has not returned; or the call would have to wait and is made inside a recall or fence function
 *               or a read section of liburcu (flavour bp)
 *   -EINVAL     a field has a value it cannot have, on_timeout does not suit the operation, held does not cover it
 *   -E2BIG      the struct is longer than this library knows, and the rest is not 0
 * After any of them the file is as it was. Who was recalled stays recalled. -EINVAL, -E2BIG and the case of the
 * caller's own pins recall nobody.
 */
struct daxl_wait {
	size_t size; /* sizeof(struct daxl_wait) */
	int64_t timeout_ms;
	int on_timeout;
	uint64_t owner;
	struct daxl_cancel *cancel;
	struct daxl_break_handle *held;
};

#define DAXL_WAIT_INIT { sizeof(struct daxl_wait), DAXL_WAIT_POOL_DEFAULT, DAXL_ON_TIMEOUT_FAIL, 0, 0, 0 }

/* How far a break goes. In a recall: what the holder is in the way of. */
enum daxl_break_level {
	DAXL_BREAK_WRITE = 1, /* contents or holes are about to change: leases concerned are to be returned */
	DAXL_BREAK_UNMAP = 2  /* blocks are about to go, move or become shared: returned, and their pins gone */
};

/* The operation that recalled a lease. */
enum daxl_reason {
	DAXL_REASON_NONE = 0,    /* not recalled */
	DAXL_REASON_WRITE = 1,   /* a write, into holes, shared blocks or what a lease wants stable */
	DAXL_REASON_ALLOCATE = 2,
	DAXL_REASON_ZERO = 3,
	DAXL_REASON_PUNCH = 4,
	DAXL_REASON_COLLAPSE = 5,
	DAXL_REASON_INSERT = 6,
	DAXL_REASON_UNSHARE = 7,
	DAXL_REASON_TRUNCATE = 8, /* also opening with O_TRUNC */
	DAXL_REASON_CLONE = 9,    /* as source or as destination */
	DAXL_REASON_DEDUPE = 10,  /* as source or as destination */
	DAXL_REASON_EXCHANGE = 11,
	DAXL_REASON_COPY = 12,
	DAXL_REASON_ATOMIC_WRITE = 13,
	DAXL_REASON_UNLINK = 14,  /* the last close of a file without a name */
	DAXL_REASON_COMMIT = 15,  /* another holder published blocks which a READ lease shows as unwritten */
	DAXL_REASON_GRANT = 16,   /* another owner's lease cannot stand beside this one, or has blocks to allocate */
	DAXL_REASON_BREAK = 17,   /* daxl_break, daxl_break_begin */
	DAXL_REASON_GROWTH = 18,  /* the size grows past an unaligned end, the rest of whose block has to be zeroed */
	DAXL_REASON_TRIM = 19,    /* the library tidies up blocks nobody uses */
	DAXL_REASON_REPAIR = 20
};

#ifdef __cplusplus
}
#endif

#endif
