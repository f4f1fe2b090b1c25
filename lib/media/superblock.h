/* SPDX-License-Identifier: BSD-3-Clause */
/* Three superblock copies: written one at a time with a fence between; the highest valid generation wins. */
#ifndef DAXL_MEDIA_SUPERBLOCK_H
#define DAXL_MEDIA_SUPERBLOCK_H

#include "media/format.h"
#include "media/media.h"

/*
 * Geometry of a pool of size bytes. log_size 0: 1/256 of the pool within the limits. -EINVAL with a message for sizes
 * below the minimum, a block size that is no power of two from 4 KiB to 2 MiB, fewer than 16 blocks, a log that does
 * not fit. Sizes are rounded down to whole blocks. Fills everything but crc and self.
 */
int daxl_super_plan(uint64_t size, uint32_t block_size, uint64_t log_size, struct daxl_md_super *ret_super);
/*
 * Writes all copies of super (its own location and CRC filled in for each), one fence after each. Creation writes the
 * copies last to first, so copy 0 is the last thing to appear.
 */
void daxl_super_write(struct daxl_media *media, struct daxl_md_super *super);
/* The same for the end copy alone: no reader looks at it while copies 0 and 1 are intact and name another end. */
void daxl_super_write_end(struct daxl_media *media, struct daxl_md_super *super);
/*
 * Finds and verifies the superblock: copy 0, the middle, the end of the media (and, when the media is longer than the
 * pool, the pool's own end). Every field is checked (block size, geometry inside the media, log inside, no overlap).
 * -EINVAL: not a pool (no magic anywhere); -EUCLEAN: damaged; truncated pools say so. Unknown incompat bit: -EINVAL
 * naming the bit; unknown ro-compat bit: -EROFS when for_write. *ret_bad (may be NULL): a bit for each bad copy. A
 * device or file that is all zero is not a pool.
 */
int daxl_super_read(struct daxl_media *media, bool for_write, struct daxl_md_super *ret_super, unsigned *ret_bad);
/* Calls fn for each fixed area (superblocks, slots, log) as [byte offset, length): the blocks never given out. */
void daxl_super_fixed(const struct daxl_md_super *super, void (*fn)(uint64_t off, uint64_t len, void *arg), void *arg);
uint64_t daxl_super_end_copy(const struct daxl_md_super *super); /* byte offset of the last copy */

#endif
