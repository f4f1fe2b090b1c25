/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * libdaxlayout: named files in one region of byte-addressable memory, whose blocks can be lent out for direct
 * access by the CPU, a network card or a GPU, and whose layout can still be changed safely while they are lent.
 * This header includes all the others; each of them also compiles alone, as C99, C11 or C++11 and later, and
 * needs no feature macro (on a 32-bit system: -D_FILE_OFFSET_BITS=64).
 *
 * Results. Functions that return int, ssize_t or off_t give 0 or more on success and a negative errno on failure;
 * errno itself is neither read nor set. Results are stored through ret_ pointers on success only. After a failure
 * daxl_errormsg() says in a sentence what failed and where. A NULL pointer where something is needed is -EINVAL in
 * every function, which is not repeated at each; functions that return nothing ignore NULL.
 *
 * Units. Offsets, lengths and sizes are in bytes unless their name says otherwise, ranges are half open, times end
 * in _ms (milliseconds) or _ns (nanoseconds). Deadlines are on CLOCK_MONOTONIC, file times on CLOCK_REALTIME. The
 * largest file size is 2^63 bytes less one block.
 *
 * Threads. Every function may be called from any number of threads at once, on one handle too, and threads are not
 * registered. The exception is the end of a handle: no other call may be using a handle while it is closed or freed
 * (unpinning a lease is always allowed, once per pin). Nothing here may be called from a signal handler. After
 * fork() the child may only call exec. A pool open for writing has a thread of its own, with all signals blocked, which
 * sleeps while nothing changes.
 *
 * Waiting. Each function says which of these it is:
 *   wait-free    a bounded number of steps, whatever other threads do
 *   never waits  takes locks of the library for a short time, but waits for no lease, no break and no checkpoint
 *   short        may also wait for other threads that are storing to the medium, or run a checkpoint itself
 *   may wait     may wait for the holders of leases; struct daxl_wait (types.h) says for how long
 *
 * Durability. What a successful call has changed survives a crash that happens after it returned, and every change
 * of layout, name or attribute is found after a crash either complete or not begun. Leases do not survive: after
 * reopening there are none.
 *
 * Option structs begin with their own size in bytes, as the caller compiled it. Initialise them with their
 * DAXL_..._INIT macro; NULL in place of one means all defaults, and 0 is the default of every field (except
 * daxl_wait.timeout_ms, where 0 means not to wait). Fields are only ever added at the end. A struct from a newer
 * program is accepted if the part that this library does not know is 0, else -E2BIG; one shorter than in version
 * 0.1.0 is -EINVAL. Structs which the library fills end in reserved words that are 0.
 */
#ifndef DAXLAYOUT_H
#define DAXLAYOUT_H

#include <daxlayout/types.h>
#include <daxlayout/version.h>
#include <daxlayout/error.h>
#include <daxlayout/pool.h>
#include <daxlayout/file.h>
#include <daxlayout/layout.h>
#include <daxlayout/range.h>
#include <daxlayout/lease.h>
#include <daxlayout/check.h>
#include <daxlayout/stats.h>

#endif
