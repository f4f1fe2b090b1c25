/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Metadata pages. Where a block is a page, a page is a block and there is nothing to keep. Where a block is larger, a
 * *page block* records which of its pages are in use; it comes with its first page and goes, with the block, when its
 * last page is freed. Page blocks are found by block number in a hash table; those with a free page are on a list
 * besides.
 *
 * Two copies of one page stand 2 MiB apart where the pool allows: one bad region of the medium does not take both.
 * First and second copies have a hint each, so that both kinds stay together instead of leapfrogging through the
 * pool.
 */
#include <errno.h>

#include "base/error.h"
#include "base/hook.h"
#include "space/space_impl.h"

#define APART_PAGES ((2u << 20) / DAXL_PAGE_SIZE)
#define PAGES_MAX (1u << (DAXL_BLOCK_SHIFT_MAX - DAXL_PAGE_SHIFT))

struct daxl_page_block {
	struct daxl_page_block *chain;         /* in its bucket */
	struct daxl_page_block *next, **pprev; /* on the partial list; pprev NULL: not there */
	daxl_blk_t blk;
	unsigned in_use;               /* pages */
	uint64_t used[PAGES_MAX / 64]; /* bit a page */
};

static unsigned pages_log2(const struct daxl_space *space)
{
	return space->block_shift - DAXL_PAGE_SHIFT;
}

static daxl_page_t first_page(const struct daxl_space *space, daxl_blk_t blk)
{
	return blk << pages_log2(space);
}

static unsigned page_index(const struct daxl_space *space, daxl_page_t page)
{
	return (unsigned)(page & ((UINT64_C(1) << pages_log2(space)) - 1));
}

static bool is_apart(daxl_page_t page, daxl_page_t avoid)
{
	return avoid == 0 || (page > avoid ? page - avoid : avoid - page) >= APART_PAGES;
}

void daxl_page_table_init(struct daxl_page_table *pages)
{
	daxl_mutex_init(&pages->mutex, DAXL_RANK_SPACE);
}

void DAXL_ALONE daxl_page_table_fini(struct daxl_page_table *pages)
{
	for (uint64_t i = 0; i < pages->nbuckets; i++) {
		struct daxl_page_block *pb = pages->bucket[i];

		while (pb) {
			struct daxl_page_block *next = pb->chain;

			daxl_free(pb);
			pb = next;
		}
	}
	daxl_free(pages->bucket);
	daxl_mutex_destroy(&pages->mutex);
}

static uint64_t bucket_of(daxl_blk_t blk, uint64_t nbuckets)
{
	return (blk * UINT64_C(0x9e3779b97f4a7c15)) >> 32 & (nbuckets - 1);
}

/* The page block of blk or NULL; the table's mutex is held, here and below. */
static struct daxl_page_block DAXL_HOLDS(SPACE) *table_find(const struct daxl_page_table *pages, daxl_blk_t blk)
{
	struct daxl_page_block *pb = pages->nbuckets ? pages->bucket[bucket_of(blk, pages->nbuckets)] : NULL;

	while (pb && pb->blk != blk)
		pb = pb->chain;
	return pb;
}

/* Doubles the buckets; on failure they stay, which is fatal only while there are none. */
static bool DAXL_HOLDS(SPACE) table_widen(struct daxl_page_table *pages)
{
	uint64_t nbuckets = pages->nbuckets ? pages->nbuckets * 2 : 16;
	struct daxl_page_block **bucket = daxl_zalloc(nbuckets * sizeof(*bucket)); /* NOLINT(bugprone-sizeof-expression): pointers */

	if (!bucket)
		return pages->nbuckets != 0;
	for (uint64_t i = 0; i < pages->nbuckets; i++) {
		struct daxl_page_block *pb = pages->bucket[i];

		while (pb) {
			struct daxl_page_block *next = pb->chain, **head = &bucket[bucket_of(pb->blk, nbuckets)];

			pb->chain = *head;
			*head = pb;
			pb = next;
		}
	}
	daxl_free(pages->bucket);
	pages->bucket = bucket;
	pages->nbuckets = nbuckets;
	return true;
}

static void DAXL_HOLDS(SPACE) partial_add(struct daxl_page_table *pages, struct daxl_page_block *pb)
{
	pb->next = pages->partial;
	pb->pprev = &pages->partial;
	if (pb->next)
		pb->next->pprev = &pb->next;
	pages->partial = pb;
}

static void partial_remove(struct daxl_page_block *pb)
{
	*pb->pprev = pb->next;
	if (pb->next)
		pb->next->pprev = pb->pprev;
	pb->pprev = NULL;
}

/* A page block without a block or a page, with room for it in the table; NULL: no memory. */
static struct daxl_page_block DAXL_HOLDS(SPACE) *table_prepare(struct daxl_page_table *pages)
{
	if (pages->count >= pages->nbuckets && !table_widen(pages))
		return NULL;
	return daxl_zalloc(sizeof(struct daxl_page_block));
}

static void DAXL_HOLDS(SPACE) table_insert(struct daxl_page_table *pages, struct daxl_page_block *pb, daxl_blk_t blk)
{
	struct daxl_page_block **head = &pages->bucket[bucket_of(blk, pages->nbuckets)];

	pb->blk = blk;
	pb->chain = *head;
	*head = pb;
	pages->count++;
	partial_add(pages, pb);
}

static void DAXL_HOLDS(SPACE) table_remove(struct daxl_page_table *pages, struct daxl_page_block *pb)
{
	struct daxl_page_block **at = &pages->bucket[bucket_of(pb->blk, pages->nbuckets)];

	while (*at != pb)
		at = &(*at)->chain;
	*at = pb->chain;
	pages->count--;
	if (pb->pprev)
		partial_remove(pb);
	daxl_free(pb);
}

/* The mutex is held. */
static void count_free(struct daxl_page_table *pages, int64_t n)
{
	__atomic_store_n(&pages->free, pages->free + (uint64_t)n, __ATOMIC_RELAXED);
}

static bool page_in_use(const struct daxl_page_block *pb, unsigned i)
{
	return pb->used[i / 64] >> (i % 64) & 1;
}

static void page_use(struct daxl_space *space, struct daxl_page_block *pb, unsigned i)
{
	pb->used[i / 64] |= UINT64_C(1) << (i % 64);
	count_free(&space->pages, -1);
	if (++pb->in_use == 1u << pages_log2(space))
		partial_remove(pb);
}

/* A free page of pb that is apart from avoid; false when there is none. */
static bool page_pick(const struct daxl_space *space, const struct daxl_page_block *pb, daxl_page_t avoid,
                      unsigned *ret_i)
{
	for (unsigned i = 0; i < 1u << pages_log2(space); i++) {
		if (!page_in_use(pb, i) && is_apart(first_page(space, pb->blk) + i, avoid)) {
			*ret_i = i;
			return true;
		}
	}
	return false;
}

/* Takes a block for pages, whose first page is apart from avoid where some free block's is; -ENOSPC. */
static int take_block(struct daxl_space *space, daxl_page_t avoid, daxl_blk_t *ret_blk)
{
	daxl_blk_t *hint = &space->pages.hint[avoid != 0];
	struct daxl_blkrun run;
	int err = daxl_space_reserve(space, DAXL_SPACE_META, 1);

	if (err)
		return err;
	daxl_space_take(space, 1, __atomic_load_n(hint, __ATOMIC_RELAXED), &run);
	if (!is_apart(first_page(space, run.blk), avoid)) {
		/* Held while the blocks behind and before are looked through: it is the last resort. */
		daxl_blk_t behind = (avoid + APART_PAGES + (UINT64_C(1) << pages_log2(space)) - 1) >> pages_log2(space);
		daxl_blk_t before = avoid >= APART_PAGES ? ((avoid - APART_PAGES) >> pages_log2(space)) + 1 : 0;
		daxl_blk_t better;

		if (daxl_space_reserve(space, DAXL_SPACE_META, 1) == 0) {
			if (daxl_space_take_one_in(space, behind, UINT64_MAX, &better) ||
			    daxl_space_take_one_in(space, 0, before, &better)) {
				daxl_space_unref(space, run.blk, 1);
				run.blk = better;
			} else {
				daxl_space_unreserve(space, 1);
			}
		}
	}
	__atomic_store_n(hint, run.blk + 1, __ATOMIC_RELAXED);
	*ret_blk = run.blk;
	return 0;
}

/* A page out of a page block, of which there is a new one if need be. */
static int DAXL_HOLDS(SPACE) alloc_packed(struct daxl_space *space, daxl_page_t avoid, daxl_page_t *ret_page)
{
	struct daxl_page_table *pages = &space->pages;
	struct daxl_page_block *pb;
	daxl_blk_t blk;
	unsigned i;
	int err;

	for (pb = pages->partial; pb; pb = pb->next) /* at most the few within 2 MiB of avoid are in vain */
		if (page_pick(space, pb, avoid, &i))
			goto found;
	pb = table_prepare(pages);
	if (!pb)
		return daxl_fail(ENOMEM, "no memory for a block of metadata pages");
	err = take_block(space, avoid, &blk);
	if (!err) {
		table_insert(pages, pb, blk);
		count_free(pages, INT64_C(1) << pages_log2(space));
		if (!page_pick(space, pb, avoid, &i))
			i = 0;
		goto found;
	}
	daxl_free(pb);
	pb = pages->partial; /* the pool does not allow it apart */
	if (!pb || !page_pick(space, pb, 0, &i))
		return err;
found:
	*ret_page = first_page(space, pb->blk) + i;
	page_use(space, pb, i);
	return 0;
}

int daxl_page_alloc(struct daxl_space *space, daxl_page_t avoid, daxl_page_t *ret_page)
{
	int err;

	if (pages_log2(space) == 0)
		return take_block(space, avoid, ret_page);
	daxl_mutex_lock(&space->pages.mutex);
	err = alloc_packed(space, avoid, ret_page);
	daxl_mutex_unlock(&space->pages.mutex);
	return err;
}

void daxl_page_free(struct daxl_space *space, daxl_page_t page)
{
	daxl_blk_t blk = page >> pages_log2(space);
	struct daxl_page_block *pb;
	unsigned i;

	if (pages_log2(space) == 0) {
		daxl_space_unref(space, blk, 1);
		return;
	}
	i = page_index(space, page);
	daxl_mutex_lock(&space->pages.mutex);
	pb = table_find(&space->pages, blk);
	assert(pb && page_in_use(pb, i));
	pb->used[i / 64] &= ~(UINT64_C(1) << (i % 64));
	pb->in_use--;
	count_free(&space->pages, 1);
	if (pb->in_use == 0) {
		count_free(&space->pages, -(INT64_C(1) << pages_log2(space)));
		table_remove(&space->pages, pb);
		daxl_space_unref(space, blk, 1);
	} else if (!pb->pprev) {
		partial_add(&space->pages, pb);
	}
	daxl_mutex_unlock(&space->pages.mutex);
}

/* The page block of blk, made of a free block if there is none; the mutex is held. */
static int DAXL_HOLDS(SPACE) mark_block(struct daxl_space *space, daxl_blk_t blk, struct daxl_page_block **ret_pb)
{
	struct daxl_page_block *pb = table_find(&space->pages, blk);
	int err;

	if (!pb) {
		pb = table_prepare(&space->pages);
		if (!pb)
			return daxl_fail(ENOMEM, "no memory for a block of metadata pages");
		err = daxl_space_mark(space, blk, 1);
		if (err) {
			daxl_free(pb);
			return err;
		}
		table_insert(&space->pages, pb, blk);
		count_free(&space->pages, INT64_C(1) << pages_log2(space));
	}
	*ret_pb = pb;
	return 0;
}

int daxl_page_mark(struct daxl_space *space, daxl_page_t page)
{
	daxl_blk_t blk = page >> pages_log2(space);
	struct daxl_page_block *pb = NULL;
	int err;

	if (pages_log2(space) == 0)
		return daxl_space_mark(space, blk, 1);
	daxl_mutex_lock(&space->pages.mutex);
	err = mark_block(space, blk, &pb);
	if (!err && page_in_use(pb, page_index(space, page)))
		err = daxl_fail(EUCLEAN, "metadata page %llu is in use already", (unsigned long long)page);
	if (!err)
		page_use(space, pb, page_index(space, page));
	daxl_mutex_unlock(&space->pages.mutex);
	return err;
}

uint64_t daxl_page_room(const struct daxl_space *space)
{
	return (daxl_space_avail(space) << pages_log2(space)) + __atomic_load_n(&space->pages.free, __ATOMIC_RELAXED);
}
