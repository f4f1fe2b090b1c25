/* SPDX-License-Identifier: BSD-3-Clause */
/* What the files of lib/space share; nobody else includes it. */
#ifndef DAXL_SPACE_SPACE_IMPL_H
#define DAXL_SPACE_SPACE_IMPL_H

#include "base/lock.h"
#include "space/group.h"
#include "space/space.h"
#include "space/sum.h"

#define DAXL_SPACE_SLOTS 16u

/*
 * One of a few places which threads are spread over, so that they neither allocate from one group nor count on one
 * line.
 */
struct DAXL_CACHE_ALIGNED daxl_space_slot {
	uint32_t lock;
	uint64_t stash;    /* free blocks promised to nobody; stored under lock, read by anyone */
	daxl_blk_t cursor; /* where to look without a hint; 0: not set; atomic */
	int64_t used;      /* blocks taken less blocks freed through this slot; atomic, only the sum means something */
};

struct daxl_page_block;

/* The blocks that metadata pages are packed into, when a block is larger than a page. */
struct daxl_page_table {
	DAXL_MUTEX(SPACE) mutex;
	struct daxl_page_block **bucket DAXL_GUARDED(SPACE); /* by block number */
	uint64_t nbuckets DAXL_GUARDED(SPACE); /* power of two, 0 at first */
	uint64_t count DAXL_GUARDED(SPACE); /* page blocks */
	uint64_t free;                   /* pages not in use in page blocks; changed under mutex, atomic */
	struct daxl_page_block *partial DAXL_GUARDED(SPACE); /* those with a free page, most recently touched first */
	daxl_blk_t hint[2];              /* behind the last block taken for a first, a second copy; atomic */
};

/* Address space of which a growing front part is accessible: arrays that grow without moving. */
struct daxl_arena {
	char *base;
	size_t reserved, usable; /* grow_mutex */
};

struct daxl_space {
	unsigned block_shift;
	daxl_nblk_t region;    /* blocks in 2 MiB */
	daxl_nblk_t keep_back;
	daxl_nblk_t capacity;  /* blocks that the reserved address space has room for */
	daxl_nblk_t nblocks;   /* atomic; changed under grow_mutex */
	daxl_nblk_t prepared DAXL_GUARDED(SPACE); /* the arrays have room for so many, if that is more */
	uint64_t *bits;        /* words: stored under their group's lock, atomic */
	struct daxl_group *groups;
	uint32_t *shares;      /* references beyond the first, by block; NULL until one is shared; atomic, grow_mutex */
	struct daxl_sum part;  /* groups with a line partly used */
	struct daxl_sum whole; /* groups with a line wholly free */
	struct daxl_arena self_arena; /* this struct and the trees */
	struct daxl_arena bits_arena, groups_arena, shares_arena;
	DAXL_MUTEX(SPACE) grow_mutex;
	struct daxl_page_table pages;

	/*
	 * Free blocks promised to nobody, less those in stashes; atomic. A bit is clear before it is counted and
	 * counted out before it is set, so there are never fewer clear bits than blocks counted or reserved: who
	 * holds a reservation finds a block.
	 */
	DAXL_CACHE_ALIGNED uint64_t avail;
	unsigned draining; /* threads that bring the stashes together; atomic */
	/* Blocks with more than one reference; atomic. Raised before and lowered after the fact: 0 means none. */
	DAXL_CACHE_ALIGNED uint64_t shared;
	DAXL_CACHE_ALIGNED uint64_t limbo; /* blocks in limbo lists; atomic */
	struct daxl_space_slot slots[DAXL_SPACE_SLOTS];
};

/* This thread's slot. */
struct daxl_space_slot *daxl_space_slot(struct daxl_space *space);

static inline daxl_nblk_t daxl_space_nblocks(const struct daxl_space *space)
{
	return __atomic_load_n(&space->nblocks, __ATOMIC_ACQUIRE);
}

/* Whether all of [blk, blk + len) lies in the pool. */
static inline bool daxl_space_inside(const struct daxl_space *space, daxl_blk_t blk, daxl_nblk_t len)
{
	daxl_nblk_t n = daxl_space_nblocks(space);

	return blk < n && len <= n - blk;
}

static inline bool daxl_space_bit(const struct daxl_space *space, daxl_blk_t blk)
{
	return (__atomic_load_n(&space->bits[blk >> 6], __ATOMIC_RELAXED) >> (blk & 63)) & 1;
}

/* Counts blocks as used (n may be negative) for stat. */
static inline void daxl_space_count_used(struct daxl_space *space, int64_t n)
{
	__atomic_fetch_add(&daxl_space_slot(space)->used, n, __ATOMIC_RELAXED);
}

/* Takes n of the free blocks promised to nobody when at least keep (0 or keep_back) of them remain. */
bool daxl_space_avail_sub(struct daxl_space *space, uint64_t n, uint64_t keep);
/* n more free blocks, whose bits are clear, are promised to nobody. */
void daxl_space_avail_add(struct daxl_space *space, uint64_t n);

/*
 * All of [blk, blk + len), which lies in the pool, becomes used; false, and nothing did, when a block of it is used.
 * Counts nothing.
 */
bool daxl_space_claim(struct daxl_space *space, daxl_blk_t blk, daxl_nblk_t len) DAXL_TAKES(SPIN);
/* One block in [from, to), of the caller's reservation; false when there is none. */
bool daxl_space_take_one_in(struct daxl_space *space, daxl_blk_t from, daxl_blk_t to, daxl_blk_t *ret_blk)
	DAXL_TAKES(SPIN);

/* Reserves address space for max bytes, or at least for bytes, and makes bytes accessible; -ENOMEM. */
int daxl_arena_init(struct daxl_arena *arena, size_t bytes, size_t max);
/* Makes bytes accessible; -ENOMEM. */
int daxl_arena_extend(struct daxl_arena *arena, size_t bytes);
/* Asks for huge pages wherever the accessible part fills one. */
void daxl_arena_want_huge(const struct daxl_arena *arena);
void daxl_arena_fini(struct daxl_arena *arena);

void daxl_page_table_init(struct daxl_page_table *pages);
void daxl_page_table_fini(struct daxl_page_table *pages);

#endif
