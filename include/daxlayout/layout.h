/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where a file's bytes are. A map is a picture of one moment: without a lease the blocks may belong to another file
 * by the time it is looked at, so nothing may be stored or fetched through it. Leases: lease.h. Conventions:
 * <daxlayout.h>.
 */
#ifndef DAXLAYOUT_LAYOUT_H
#define DAXLAYOUT_LAYOUT_H

#include <daxlayout/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* For daxl_seek; equal to SEEK_DATA and SEEK_HOLE of <unistd.h>, which need _GNU_SOURCE. */
#define DAXL_SEEK_DATA 3
#define DAXL_SEEK_HOLE 4

/* Bits of daxl_extent.flags. */
enum daxl_extent_flags {
	DAXL_EXTENT_HOLE = 1,      /* no blocks; reads as zeroes */
	DAXL_EXTENT_UNWRITTEN = 2, /* blocks are allocated, but read as zeroes until written or committed */
	DAXL_EXTENT_SHARED = 4     /* blocks are used elsewhere too; a write copies them first */
};

/* A piece of a file whose bytes are adjacent in the pool, or a hole. Offsets and length are multiples of blocks. */
struct daxl_extent {
	uint64_t file_off; /* bytes from the start of the file */
	uint64_t pool_off; /* bytes from the start of the pool; 0 for a hole */
	uint64_t len;      /* bytes */
	void *addr;        /* of the first byte; NULL for a hole, and for UNWRITTEN except in a WRITE lease */
	uint32_t flags;    /* enum daxl_extent_flags */
	uint32_t reserved; /* 0 */
};

/*
 * Lists the extents of [off, off + len), widened to whole blocks: in order, holes included, so that each begins where
 * the one before ended, and merged where adjacent and alike. The list ends at the later of the file's size and its
 * last allocated block; len may be DAXL_TO_END.
 *
 * exts  room for max extents; may be NULL if max is 0
 *
 * Returns how many there are, which may be more than max; then the first max were stored. All belong to one state of
 * the file. Never waits.
 *
 *   -EINVAL   off or len negative
 */
DAXL_API ssize_t daxl_map(struct daxl_file *file, off_t off, off_t len, struct daxl_extent *exts, size_t max);

/*
 * Returns the offset of the first byte at or after off that lies in data (DAXL_SEEK_DATA) or in a hole
 * (DAXL_SEEK_HOLE). Unwritten blocks count as a hole, and the end of the file is followed by one. Never waits.
 *
 *   -ENXIO    off is at or past the end of the file; or no data follows
 *   -EINVAL   off negative; another whence
 */
DAXL_API off_t daxl_seek(struct daxl_file *file, off_t off, int whence);

#ifdef __cplusplus
}
#endif

#endif
