/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Free space. DRAM only: nothing of it is on the medium, it is derived when a pool opens. One bit a block; a 64-byte
 * line of 512 bits is one region (2 MiB of 4 KiB blocks), with summaries above. Large requests get 2 MiB aligned runs
 * where there are some, small ones fill holes first.
 *
 * A block is free or has at least one *reference*: a file's map, a limbo list, a checkpoint page, the fixed areas.
 * The first reference is the bit; further sharers (clones, limbo) are counted in a side table that is empty in a pool
 * without sharing. A freed block that still waits for its grace period keeps its reference until daxl_space_unref is
 * called from the reclaim.
 *
 * Reservation comes first: after daxl_space_reserve(n) succeeded, n blocks can be taken without failing. Data
 * reservations leave the kept-back reserve alone, so that a checkpoint, a delete and a recovery always have room.
 *
 * All functions are safe from any thread; none blocks for long.
 */
#ifndef DAXL_SPACE_SPACE_H
#define DAXL_SPACE_SPACE_H

#include <stddef.h>

#include "base/compiler.h"
#include "base/role.h"
#include "base/units.h"

struct daxl_space;

struct daxl_blkrun {
	daxl_blk_t blk;
	daxl_nblk_t len;
};

enum daxl_space_class { DAXL_SPACE_DATA, DAXL_SPACE_META };

/* nblocks blocks of 1 << block_shift bytes, all free; keep_back blocks are for META only. */
int daxl_space_create(daxl_nblk_t nblocks, unsigned block_shift, daxl_nblk_t keep_back, struct daxl_space **ret_space);
void daxl_space_destroy(struct daxl_space *space);
/* More blocks behind the present ones (pool growth): free. Online; -ENOMEM. */
int daxl_space_grow(struct daxl_space *space, daxl_nblk_t new_nblocks) DAXL_TAKES(SPACE);
/*
 * The same in two steps: prepare does what can fail, then extend, which is all stores, makes the new blocks free but for
 * the last one, which comes with a reference. No other growth in between.
 */
int daxl_space_grow_prepare(struct daxl_space *space, daxl_nblk_t new_nblocks) DAXL_TAKES(SPACE);
void daxl_space_grow_extend(struct daxl_space *space, daxl_nblk_t new_nblocks) DAXL_TAKES(SPACE);

/*
 * Load: takes a first reference on exactly these blocks. -EUCLEAN (nothing marked) when one lies outside or is
 * referenced already.
 */
int daxl_space_mark(struct daxl_space *space, daxl_blk_t blk, daxl_nblk_t len) DAXL_TAKES(SPIN);
/* Load with sharing allowed: first or one more reference on each. -EUCLEAN outside the pool, -ENOMEM. */
int daxl_space_mark_shared(struct daxl_space *space, daxl_blk_t blk, daxl_nblk_t len) DAXL_TAKES(SPACE);

/*
 * Load, while no reservation is out: every block whose bit is set in bits (laid out as daxl_space_export does) and
 * that has no reference yet gets a first one. -EUCLEAN (nothing imported) when a bit beyond the last block is set.
 */
int daxl_space_import(struct daxl_space *space, const uint8_t *bits) DAXL_TAKES(SPIN);

/* Sets n blocks aside; -ENOSPC. */
int daxl_space_reserve(struct daxl_space *space, enum daxl_space_class cls, daxl_nblk_t n) DAXL_TAKES(SPIN);
void daxl_space_unreserve(struct daxl_space *space, daxl_nblk_t n) DAXL_TAKES(SPIN);
/*
 * Takes up to want blocks of the caller's reservation as one run, as long as it can find near hint (a pool block; 0:
 * none); *ret gets at least one block. Cannot fail under a reservation. The blocks have one reference and are used up
 * from the reservation.
 */
void daxl_space_take(struct daxl_space *space, daxl_nblk_t want, daxl_blk_t hint, struct daxl_blkrun *ret)
	DAXL_TAKES(SPIN);
/*
 * Same, but only a run of exactly want blocks which start at a multiple of align blocks; false when there is none
 * (nothing taken).
 */
bool daxl_space_take_aligned(struct daxl_space *space, daxl_nblk_t want, daxl_nblk_t align, struct daxl_blkrun *ret)
	DAXL_TAKES(SPIN);

/* One more reference on each block (a clone, a limbo list). -ENOMEM: none counted. */
int daxl_space_ref(struct daxl_space *space, daxl_blk_t blk, daxl_nblk_t len) DAXL_TAKES(SPACE);
/* One reference less on each block; those without any become free. */
void daxl_space_unref(struct daxl_space *space, daxl_blk_t blk, daxl_nblk_t len) DAXL_TAKES(SPIN);
/*
 * The same two for many pieces in one go: a reference more on each of at most `most` blocks, or one less. Begin, add, add
 * .., end; it is done when it has ended. Only the first can fail (-ENOMEM), and has counted nothing then.
 */
#define DAXL_REFS_MAX 512u
struct daxl_refs {
	struct daxl_space *space;
	uint32_t *shares;
	bool drop;
	unsigned n;          /* pieces that are not counted yet */
	daxl_nblk_t unfound; /* counted as shared by the space, and not found to be so far: it must never be too few */
	struct daxl_blkrun piece[DAXL_REFS_MAX];
};
int daxl_refs_begin(struct daxl_refs *refs, struct daxl_space *space, daxl_nblk_t most) DAXL_TAKES(SPACE);
void daxl_unrefs_begin(struct daxl_refs *refs, struct daxl_space *space);
void daxl_refs_add(daxl_blk_t blk, daxl_nblk_t len, void *to) DAXL_TAKES(SPIN); /* to the struct daxl_refs; as walks of a map call it */
void daxl_refs_end(struct daxl_refs *refs) DAXL_TAKES(SPIN);
/*
 * Whether blk has more than one reference; *ret_len (may be NULL): for how many of len blocks from blk the answer is
 * the same. Cheap (one load) while nothing in the pool is shared.
 */
bool daxl_space_is_shared(const struct daxl_space *space, daxl_blk_t blk, daxl_nblk_t len, daxl_nblk_t *ret_len);
bool daxl_space_is_used(const struct daxl_space *space, daxl_blk_t blk); /* for check and asserts */

/*
 * free: without a reference, reserved ones included. shared: blocks with more than one reference. Exact while nothing
 * changes.
 */
struct daxl_space_stat {
	daxl_nblk_t total, free, reserved, keep_back, shared;
};
void daxl_space_stat(const struct daxl_space *space, struct daxl_space_stat *ret);
/* Whether all that is kept back is free; one load. */
bool daxl_space_has_reserve(const struct daxl_space *space);
/* Free blocks promised to nobody, those kept back included. */
daxl_nblk_t daxl_space_avail(const struct daxl_space *space);

/*
 * Metadata pages: always 4 KiB, packed into blocks taken from META space. avoid: a page from which the new one shall
 * be at least 2 MiB away where the pool allows (0: none). -ENOSPC, -ENOMEM.
 */
int daxl_page_alloc(struct daxl_space *space, daxl_page_t avoid, daxl_page_t *ret_page) DAXL_TAKES(SPACE);
void daxl_page_free(struct daxl_space *space, daxl_page_t page) DAXL_TAKES(SPACE);
/* Pages that daxl_page_alloc can give at this moment, out of what is kept back too. */
uint64_t daxl_page_room(const struct daxl_space *space);
/* Load: this page is in use. -EUCLEAN when outside or in use as a page or (block) by data. */
int daxl_page_mark(struct daxl_space *space, daxl_page_t page) DAXL_TAKES(SPACE);

/* The bitmap as bytes, bit i of byte i/8 = block i used, for the clean-close summary; len is (nblocks + 7) / 8. */
size_t daxl_space_export_size(const struct daxl_space *space);
void daxl_space_export(const struct daxl_space *space, uint8_t *bits);

#endif
