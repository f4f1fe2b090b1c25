/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The bitmap, in lines and groups. Inside lib/space only.
 *
 * A *line* is 512 bits in one cache line (2 MiB of 4 KiB blocks), a *group* is 16 lines with one cache line of state:
 * a lock, how many blocks of each line are used, which lines are full and which are touched at all. Whatever changes
 * a bit or a share count of a group holds the group's lock; holders only compute, so the lock is a word that is spun
 * on, and nothing else is ever locked beneath it. Bits and share counts are also read without the lock, so they are
 * stored atomically.
 *
 * All of it is zero for a free group: an untouched part of a large pool costs address space and no memory.
 *
 * Two summary trees over the groups follow the state of each group under its lock: `part` has the groups with a line
 * that is partly used, `whole` those with a line that is wholly free. A group with a free block is in at least one of
 * them.
 */
#ifndef DAXL_SPACE_GROUP_H
#define DAXL_SPACE_GROUP_H

#include "base/compiler.h"
#include "base/role.h"
#include "base/units.h"
#include "base/spin.h"

struct daxl_space;

#define DAXL_LINE_BLOCKS 512u
#define DAXL_LINE_WORDS (DAXL_LINE_BLOCKS / 64u)
#define DAXL_GROUP_LINES 16u
#define DAXL_GROUP_SHIFT 13u
#define DAXL_GROUP_BLOCKS (1u << DAXL_GROUP_SHIFT)
#define DAXL_GROUP_WORDS (DAXL_GROUP_BLOCKS / 64u)
#define DAXL_GROUP_ALL_LINES 0xffffu
_Static_assert(DAXL_LINE_BLOCKS * DAXL_GROUP_LINES == DAXL_GROUP_BLOCKS, "a group is 16 lines");

struct DAXL_CACHE_ALIGNED daxl_group {
	uint32_t lock;                        /* 1: held */
	uint32_t shared;                      /* blocks with more than one reference; lock, read by anyone */
	uint16_t full DAXL_GUARDED(SPIN);     /* lines without a free block */
	uint16_t touched DAXL_GUARDED(SPIN);  /* lines with a used block */
	uint16_t line_used[DAXL_GROUP_LINES] DAXL_GUARDED(SPIN);
};
_Static_assert(sizeof(struct daxl_group) == DAXL_CACHE_LINE, "one line of state a group");

static inline uint64_t daxl_group_of(daxl_blk_t blk)
{
	return blk >> DAXL_GROUP_SHIFT;
}

static inline unsigned daxl_group_offset(daxl_blk_t blk)
{
	return (unsigned)(blk & (DAXL_GROUP_BLOCKS - 1));
}

/* How many of len blocks from blk lie in blk's group. */
static inline unsigned daxl_group_piece(daxl_blk_t blk, daxl_nblk_t len)
{
	return (unsigned)daxl_min_u64(len, DAXL_GROUP_BLOCKS - daxl_group_offset(blk));
}

/*
 * First block at or behind from, below end, which is free (used): end when there is none. Any blocks of the bitmap; a
 * snapshot unless locked.
 */
daxl_blk_t daxl_bits_next_free(const uint64_t *bits, daxl_blk_t from, daxl_blk_t end);
daxl_blk_t daxl_bits_next_used(const uint64_t *bits, daxl_blk_t from, daxl_blk_t end);

/*
 * n blocks from offset off of the group, all free, become used (all used, become free); the group's lock is held.
 * Keeps the trees.
 */
void daxl_group_take(struct daxl_space *space, uint64_t index, unsigned off, unsigned n) DAXL_HOLDS(SPIN);
void daxl_group_give(struct daxl_space *space, uint64_t index, unsigned off, unsigned n) DAXL_HOLDS(SPIN);
/* ORs mask into word of the group, whose lock is held; returns how many blocks became used. */
unsigned daxl_group_merge_word(struct daxl_space *space, uint64_t index, unsigned word, uint64_t mask) DAXL_HOLDS(SPIN);

#endif
