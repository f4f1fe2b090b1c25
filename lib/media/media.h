/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The medium: one region of bytes mapped once through libpmem2, and the single
 * door for stores to it. No other folder stores into the pool or includes a
 * libpmem2 header. A test build can observe every store, flush and fence.
 *
 * copy and zero leave the bytes flushed but not fenced; after the next fence by
 * the same thread they are durable. At PAGE granularity (an ordinary file)
 * flushing is msync and happens at once, so the order "data, then record" is kept by the
 * order of the calls.
 */
#ifndef DAXL_MEDIA_MEDIA_H
#define DAXL_MEDIA_MEDIA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/units.h"

enum daxl_granularity { DAXL_MEDIA_BYTE, DAXL_MEDIA_CACHE_LINE, DAXL_MEDIA_PAGE };

struct daxl_media; /* one open mapping */

/* Where and how a pool's bytes are to be mapped. */
enum daxl_media_flags {
	DAXL_MEDIA_READ_ONLY = 1,
	DAXL_MEDIA_CREATE = 2, /* make or fill an empty ordinary file of create_size bytes; -EEXIST when non-empty */
	DAXL_MEDIA_SPARSE = 4, /* do not allocate the file's blocks up front, nor when it grows */
};

/*
 * Opens, locks (OFD lock: shared for read-only, exclusive else; plus a process-wide table, so that a second open in
 * one process is -EBUSY) and maps path. Errors: -EBUSY, -EEXIST, -ENOENT, -EACCES, -ENOSPC, -EINVAL (not a file or
 * device that can be mapped), -ENOMEM. Nothing is left behind on failure (a created file is removed). For
 * DAXL_MEDIA_CREATE on a device, create_size 0 means the device's size.
 */
int daxl_media_open(const char *path, unsigned flags, uint64_t create_size, unsigned mode,
                    struct daxl_media **ret_media);
void daxl_media_close(struct daxl_media *media);
/*
 * Closes and, while it is still locked, takes back what DAXL_MEDIA_CREATE did to an ordinary file: one that was made
 * is removed, one that was there is empty again. For whoever cannot finish a new pool.
 */
void daxl_media_discard(struct daxl_media *media);
/* A media over caller memory (crash images, fuzzing): same calls, nothing persistent. */
int daxl_media_open_memory(void *base, uint64_t size, bool read_only, struct daxl_media **ret_media);
/*
 * Lengthens an ordinary file to new_size, a multiple of 4 KiB as the size before; the mapping stays where it is and is
 * continued in address space reserved at open. One call at a time. -ENOSPC, -EFBIG, -ENOMEM; -EINVAL for a size that
 * is not larger; -EOPNOTSUPP for devices, memory, read-only, or beyond the reservation (open again, then grow).
 */
int daxl_media_grow(struct daxl_media *media, uint64_t new_size);

char *daxl_media_base(const struct daxl_media *media);
uint64_t daxl_media_size(const struct daxl_media *media);
enum daxl_granularity daxl_media_granularity(const struct daxl_media *media);
bool daxl_media_is_read_only(const struct daxl_media *media);
/* Device DAX: it is never empty, so only its superblocks tell whether it holds a pool. */
bool daxl_media_is_device(const struct daxl_media *media);

/* Reads metadata in a way that survives a poisoned line (mcsafe); -EIO says where. For open and check only. */
int daxl_media_read(struct daxl_media *media, uint64_t off, void *buf, size_t len);
/*
 * From begin to end one thread reads, and nobody stores: reads may be answered from what was read ahead. Without memory
 * for that they are as before.
 */
void daxl_media_read_begin(struct daxl_media *media);
void daxl_media_read_end(struct daxl_media *media);

/* Stores; dst lies in the mapping. Not fenced. */
void daxl_media_copy(struct daxl_media *media, void *dst, const void *src, size_t len);
void daxl_media_zero(struct daxl_media *media, void *dst, size_t len);
/* Flushes what somebody stored through pointers (CPU stores of a lease holder). Not fenced. */
void daxl_media_flush(struct daxl_media *media, const void *addr, size_t len);
/* Orders all earlier copy, zero and flush of this thread before anything later; they are durable. */
void daxl_media_fence(struct daxl_media *media);
/* flush + fence where the granularity makes that cheaper as one. */
void daxl_media_persist(struct daxl_media *media, const void *addr, size_t len);

#ifdef DAXL_TEST_HOOKS
enum daxl_media_event { DAXL_MEDIA_EV_STORE, DAXL_MEDIA_EV_FLUSH, DAXL_MEDIA_EV_FENCE };
/*
 * Called before a STORE lands (addr, len, the bytes in src; NULL: zeroes), before each FLUSH of a range, and before
 * each FENCE, by the thread that does it. copy and zero are a STORE and, after it landed, a FLUSH of the same range;
 * persist is FLUSH, FENCE. Install and remove while no other thread stores.
 */
typedef void (*daxl_media_observer_fn)(struct daxl_media *media, enum daxl_media_event event, const void *addr,
                                       const void *src, size_t len, void *arg);
void daxl_media_observe(daxl_media_observer_fn fn, void *arg);
#endif

#endif
