/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Operations that change which blocks a file has, and breaks: asking the holders of leases to give way.
 *
 * Every operation goes the same way. Bad arguments are refused first, before anybody is disturbed. Then its range is
 * closed, so that no new lease or pin comes in; the leases it concerns are recalled, each once; and it waits until
 * they are returned and, if blocks go, move or become shared, until their last pin is gone. Then it changes the file
 * in one durable step and opens the range. Operations on overlapping ranges are served in the order they came.
 *
 * Wherever wait is a parameter it may be NULL, for the handle's default (daxl_set_wait). All of them may wait, give
 * the errors of waiting listed at struct daxl_wait (types.h), and leave the file as it was if they fail.
 *
 * When several errors apply, the first of these is given: negative offsets and bad lengths; unknown modes; a handle
 * that is not for writing (in a pool open read-only that is every handle); offsets past the largest file size;
 * alignment; what does not fit the present size; no room; no memory. Sizes count as they are after the wait: an
 * argument that was good before may be refused then.
 *
 * -ENOSPC comes only after blocks that were just freed have been waited for once. Punch and truncate can need blocks
 * too, where the edge of the range lies in a shared or a busy block. Conventions: <daxlayout.h>.
 */
#ifndef DAXLAYOUT_RANGE_H
#define DAXLAYOUT_RANGE_H

#include <linux/falloc.h>
#include <stdbool.h>

#include <daxlayout/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Changes the blocks under [off, off + len). The modes are those of fallocate(2), from <linux/falloc.h>, which this
 * header includes:
 *
 *   0                                 allocates blocks for holes, unwritten, and raises the size if it ends past it
 *   FALLOC_FL_KEEP_SIZE               allocates, and leaves the size
 *   FALLOC_FL_PUNCH_HOLE | KEEP_SIZE  makes a hole; edges that are no whole block are zeroed
 *   FALLOC_FL_ZERO_RANGE              makes the range read as zeroes, allocated; may raise the size, or with
 *                                     | KEEP_SIZE does not
 *   FALLOC_FL_COLLAPSE_RANGE          takes the range out, and what follows moves down
 *   FALLOC_FL_INSERT_RANGE            puts a hole in at off, and what follows moves up
 *   FALLOC_FL_UNSHARE_RANGE           gives the file copies of its own of blocks it shares; with or without
 *                                     | KEEP_SIZE; holes and size stay
 *
 * Collapse and insert need off and len in multiples of the block size, begin inside the file, and collapse ends
 * before its end. They concern every lease from off on; the others those in the range. Allocating concerns only
 * leases that show the holes it fills, and STABLE or EXCLUSIVE leases of other owners.
 *
 *   -EINVAL      off negative, len not positive; misaligned collapse or insert; collapse reaching the end of the
 *                file, insert at or past it
 *   -EOPNOTSUPP  unknown mode bits; two modes at once; punch without KEEP_SIZE, collapse or insert with it
 *   -EBADF       the handle is O_RDONLY
 *   -EFBIG       ends past the largest file size, or an insert pushes the end past it
 *   -ENOSPC      no room
 *   -ENOMEM
 *   and the errors of waiting; LIMBO is for punch, zero range and unshare
 */
DAXL_API int daxl_fallocate(struct daxl_file *file, int mode, off_t off, off_t len, const struct daxl_wait *wait);

/*
 * Sets the file's size, in bytes. Smaller: everything from there on goes, and leases from the block of the new end on
 * are concerned. Larger: the new part is a hole; only WRITE leases over the old last block, if it is partly used, are
 * concerned. The same: blocks allocated past the end are given back.
 *
 *   -EINVAL   size negative
 *   -EBADF    the handle is O_RDONLY
 *   -EFBIG    past the largest file size
 *   -ENOSPC   no room for a copy of the old last block, if it is shared, or with LIMBO of the new one
 *   -ENOMEM
 *   and the errors of waiting; LIMBO may be used
 */
DAXL_API int daxl_truncate(struct daxl_file *file, off_t size, const struct daxl_wait *wait);

/*
 * Makes dst's bytes at dst_off the same as src's at src_off by sharing the blocks, without copying; later writes to
 * either copy first. dst grows if need be. src and dst may be the same file. wait NULL: dst's default.
 *
 * len  bytes, 0: to the end of src. Offsets are multiples of the block size, and len too, unless it ends at the end
 *      of src and at or past the end of dst
 *
 * Concerns WRITE leases over the source (READ leases stay), and all leases over the destination.
 *
 *   -EINVAL   negative offset or length; misaligned; the source range ends past the end of src; source and
 *             destination overlap in one file
 *   -EBADF    dst is O_RDONLY
 *   -EXDEV    the files are in different pools
 *   -EFBIG    the destination ends past the largest file size
 *   -ENOSPC   no room
 *   -ENOMEM
 *   and the errors of waiting; LIMBO acts on the destination, while a late holder in the source ends the call with
 *   -ETIMEDOUT
 */
DAXL_API int daxl_clone_range(struct daxl_file *src, off_t src_off, struct daxl_file *dst, off_t dst_off, off_t len,
                              const struct daxl_wait *wait);

/*
 * Compares two ranges and, if their bytes are the same, lets dst share src's blocks and frees its own. *ret_same says
 * whether they were the same; that they differ is no error, and then nothing changed. Nothing can write in between.
 * wait NULL: dst's default.
 *
 * len  bytes; 0 does nothing (the same). Offsets are multiples of the block size, and len too, unless it ends at the
 *      end of both files
 *
 * Concerns WRITE leases over the source, and all leases over the destination.
 *
 *   -EINVAL   negative offset or length; misaligned; a range ends past the end of its file; the ranges overlap in one
 *             file
 *   -EBADF    dst is O_RDONLY
 *   -EXDEV    the files are in different pools
 *   -EFBIG    offset and length add up past the largest file size
 *   -ENOSPC   no room for the change of the map
 *   -ENOMEM
 *   and the errors of waiting; LIMBO as with daxl_clone_range
 */
DAXL_API int daxl_dedupe_range(struct daxl_file *src, off_t src_off, struct daxl_file *dst, off_t dst_off, off_t len,
                               const struct daxl_wait *wait, bool *ret_same);

/*
 * Exchanges the contents of two ranges by exchanging their blocks, in one step that a crash cannot split. With both
 * offsets 0 and len DAXL_TO_END the files exchange everything, sizes included. wait NULL: a's default.
 *
 * len  bytes. Offsets are multiples of the block size, and len too, unless it ends at the end of both files
 *
 * Concerns all leases over both ranges, or of both files.
 *
 *   -EINVAL   negative offset, length not positive; misaligned; a range ends past the end of its file; DAXL_TO_END
 *             with an offset that is not 0; the ranges overlap in one file; on_timeout LIMBO
 *   -EBADF    a handle is O_RDONLY
 *   -EXDEV    the files are in different pools
 *   -EFBIG    offset and length add up past the largest file size
 *   -ENOSPC   no room for the change of the maps
 *   -ENOMEM
 *   and the errors of waiting
 */
DAXL_API int daxl_exchange_range(struct daxl_file *a, off_t a_off, struct daxl_file *b, off_t b_off, off_t len,
                                 const struct daxl_wait *wait);

/*
 * Copies len bytes from src to dst, at any offsets, by whatever is cheapest: whole blocks are shared where both lie
 * alike in a block, the rest is copied. Returns how many bytes, fewer than len only where src ends, or where an error
 * came after a part was done: the error is returned when nothing was. It is durable when the call returns. Waits as
 * dst's handle says.
 *
 * Concerns leases as a write or as daxl_clone_range does, by part.
 *
 *   -EINVAL   negative offset; len more than SSIZE_MAX; source and destination overlap in one file
 *   -EBADF    dst is O_RDONLY, or O_APPEND
 *   -EXDEV    the files are in different pools
 *   -EFBIG    the destination ends past the largest file size
 *   -ENOSPC   no room
 *   -ENOMEM
 *   and the errors of waiting
 */
DAXL_API ssize_t daxl_copy_range(struct daxl_file *src, off_t src_off, struct daxl_file *dst, off_t dst_off,
                                 size_t len);

/*
 * Breaks the leases over [off, off + len), widened to whole blocks, and changes nothing. When it returns 0 they have
 * been given back, and the next one may be granted at once; to keep the range closed use daxl_break_begin.
 *
 * len    bytes, or DAXL_TO_END
 * level  DAXL_BREAK_WRITE: leases of other owners, until they are returned; DAXL_BREAK_UNMAP: all leases, until they
 *        are returned and their pins gone
 *
 *   -EINVAL   off negative, len not positive, unknown level, on_timeout LIMBO
 *   -EBADF    the handle is O_RDONLY
 *   -EFBIG    ends past the largest file size, and len is not DAXL_TO_END
 *   -ENOMEM
 *   and the errors of waiting
 */
DAXL_API int daxl_break(struct daxl_file *file, off_t off, off_t len, int level, const struct daxl_wait *wait);

/*
 * Begins a break without waiting for it: for programs with an event loop, whose one thread has to go on serving the
 * holders. It takes its place in the queue of the range: what comes later stays behind it until daxl_break_end, and
 * when its turn comes the leases are recalled. Parameters as for daxl_break.
 *
 * When it has drained, DAXL_EVENT_BREAK_READY is queued (pool.h) and daxl_break_poll says 1. Then operations through
 * any handle of the file run inside it at once, given a struct daxl_wait whose held is *ret_break.
 *
 * The timeout of wait counts from here; with 0 the first poll finds the break drained or over its time. The cancel of
 * wait has to stay valid until daxl_break_end.
 *
 * Never waits. If nothing is ahead of it the recall functions are called before it returns, on this thread; else later,
 * by the thread that makes way or from daxl_break_poll.
 *
 *   -EINVAL   off negative, len not positive, unknown level, on_timeout LIMBO, held not NULL
 *   -EBADF    the handle is O_RDONLY
 *   -EFBIG    ends past the largest file size, and len is not DAXL_TO_END
 *   -E2BIG    wait from a newer program
 *   -EDEADLK  the caller's owner has pins in a range to be unmapped, or a recalled lease that it has not returned
 *   -ENOMEM
 */
DAXL_API int daxl_break_begin(struct daxl_file *file, off_t off, off_t len, int level, const struct daxl_wait *wait,
                              struct daxl_break_handle **ret_break);

/*
 * How the break stands: 1 it has drained, 0 not yet. Once it has said 1 or an error it goes on saying so, until
 * daxl_break_end. Nobody but the program watches the clock: that the time is over shows in the first poll after it,
 * and with DAXL_ON_TIMEOUT_FENCE the fence functions are called from there. So poll when the time comes as well as
 * after an event.
 *
 * Never waits.
 *
 *   -ETIMEDOUT  the time is over, and no fence helped
 *   -ECANCELED  the cancel was used
 */
DAXL_API int daxl_break_poll(struct daxl_break_handle *handle);

/*
 * Ends the break, at any stage: opens the range, lets in who waits, drops its event if that is still queued, and
 * frees the handle. No operation may be running inside it. End it before closing the file. Never waits.
 */
DAXL_API void daxl_break_end(struct daxl_break_handle *handle);

/*
 * Makes a cancel: a switch that ends the waits which have it in their struct daxl_wait. Never waits.
 *
 *   -ENOMEM
 */
DAXL_API int daxl_cancel_new(struct daxl_cancel **ret_cancel);

/*
 * Throws the switch: every wait with this cancel ends with -ECANCELED, those under way and, since the switch stays
 * thrown, those to come. What no longer waits is carried to its end. Any thread; not from a signal handler. Never
 * waits.
 */
DAXL_API void daxl_cancel_all(struct daxl_cancel *cancel);

/* Frees a cancel that no call, break or file handle uses any more. Never waits. */
DAXL_API void daxl_cancel_free(struct daxl_cancel *cancel);

#ifdef __cplusplus
}
#endif

#endif
