/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Room for the next checkpoint.
 *
 * A checkpoint is written copy-on-write, so it needs pages when everything else is full, and what comes after it (more
 * deletions, a recovery) needs another. Part of the pool is kept back from data for this (pool.c); but names,
 * attributes and runs grow into that part too, since they live in checkpoints. So that it never runs out, an operation
 * asks before it begins, by what it does to the pool:
 *
 *     pages that are free  >=  pages the next checkpoint would take  +  need's share of what is kept back
 *
 *     GROW    1/2   adds names, attributes, runs or data
 *     FREE    1/4   gives blocks back, but may add runs
 *     DELETE  1/8   only gives back; is not refused, but has a checkpoint run first
 *
 * Where this does not hold a checkpoint runs, which makes the second term 0 and frees what it replaces; if it still
 * does not hold then, the operation fails with -ENOSPC and nobody has been recalled.
 *
 * The estimate counts the nodes without a page and the bytes of file records that changed; two half-full table pages
 * side by side do not occur, so twice the bytes is enough room. Both copies of each page are counted.
 */
#include <errno.h>
#include <inttypes.h>

#include "base/error.h"
#include "file/ckpt.h"

static uint64_t kept_pages(const struct daxl_pool *pool)
{
	return pool->keep_back << (pool->block_shift - DAXL_PAGE_SHIFT);
}

/* Pages that a checkpoint begun now would take, at most. */
static uint64_t next_checkpoint(const struct daxl_pool *pool)
{
	const struct daxl_ckpt *ckpt = pool->ckpt;
	uint64_t places = __atomic_load_n(&ckpt->table.count, __ATOMIC_RELAXED);
	uint64_t tables = daxl_min_u64(__atomic_load_n(&ckpt->dirty_files, __ATOMIC_RELAXED), places) +
	                  __atomic_load_n(&ckpt->dirty_bytes, __ATOMIC_RELAXED) / (DAXL_PAGE_BODY / 2) + 1;
	uint64_t dirs = daxl_min_u64(tables, places / DAXL_DIR_ENTRIES + 1) + DAXL_TABLE_DEPTH_MAX;

	return 2 * (__atomic_load_n(&ckpt->dirty_nodes, __ATOMIC_RELAXED) + tables + (places > 1 ? dirs : 1));
}

bool daxl_ckpt_due(const struct daxl_pool *pool)
{
	return next_checkpoint(pool) >= kept_pages(pool) / 2;
}

/* Whether there is room for a checkpoint with more further nodes, and need's share besides. */
static bool is_roomy(const struct daxl_pool *pool, enum daxl_need need, uint64_t more)
{
	static const unsigned share[] = {[DAXL_NEED_DELETE] = 8, [DAXL_NEED_FREE] = 4, [DAXL_NEED_GROW] = 2};

	return daxl_page_room(pool->space) >= next_checkpoint(pool) + 2 * more + kept_pages(pool) / share[need];
}

static int no_room(const struct daxl_pool *pool)
{
	return daxl_fail(ENOSPC,
	                 "the pool is full: %" PRIu64 " pages are left for the next checkpoint's %" PRIu64
	                 " and to delete files with",
	                 daxl_page_room(pool->space), next_checkpoint(pool));
}

int daxl_room_make(struct daxl_pool *pool, enum daxl_need need)
{
	/* What a checkpoint replaces may be let go by the one after it only. */
	for (int i = 0; i < 2 && !is_roomy(pool, need, 0); i++) {
		daxl_toll.grace_waits |= daxl_wait_for_frees(pool);
		(void)daxl_ckpt_run(pool, false, 0);
		(void)daxl_wait_for_frees(pool);
	}
	return need == DAXL_NEED_DELETE || is_roomy(pool, need, 0) ? 0 : no_room(pool);
}

int daxl_room_for_nodes(const struct daxl_pool *pool, uint64_t nodes)
{
	/* The share left by daxl_room_make is for the few nodes of most operations. */
	if (daxl_likely(nodes < 8) || is_roomy(pool, DAXL_NEED_FREE, nodes))
		return 0;
	return no_room(pool);
}
