/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who has which block.
 *
 * Maps may share blocks as they like, so what is wrong with a block is that a file has it and something else has it too
 * that shares with nobody: a page of the checkpoint or log, or a log record that was left out and wanted it new. Fixed
 * areas and blocks beyond the pool were seen to when the maps were read.
 *
 * The account which replay kept is not exact any more if a record was left out half way, so after any finding it is
 * made anew from the files as they are.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/hook.h"
#include "check/check.h"
#include "file/names.h"
#include "map/rope_node.h"

int daxl_ranges_add(struct daxl_ranges *ranges, daxl_blk_t blk, daxl_nblk_t len)
{
	if (ranges->n == ranges->cap) {
		size_t cap = ranges->cap ? ranges->cap * 2 : 16;
		struct daxl_blkrun *runs = daxl_realloc(ranges->runs, cap * sizeof(*runs));

		if (!runs)
			return daxl_fail(ENOMEM, "no memory to keep track of %zu ranges of blocks", cap);
		ranges->runs = runs;
		ranges->cap = cap;
	}
	ranges->runs[ranges->n++] = (struct daxl_blkrun){.blk = blk, .len = len};
	return 0;
}

static int by_block(const void *a, const void *b)
{
	const struct daxl_blkrun *x = a, *y = b;

	return x->blk < y->blk ? -1 : x->blk > y->blk;
}

void daxl_ranges_sort(struct daxl_ranges *ranges)
{
	size_t n = 0;

	if (ranges->n)
		qsort(ranges->runs, ranges->n, sizeof(*ranges->runs), by_block);
	for (size_t i = 0; i < ranges->n; i++) {
		const struct daxl_blkrun run = ranges->runs[i];
		struct daxl_blkrun *last = n ? &ranges->runs[n - 1] : NULL;

		if (last && run.blk <= last->blk + last->len)
			last->len = daxl_max_u64(last->len, run.blk + run.len - last->blk);
		else
			ranges->runs[n++] = run;
	}
	ranges->n = n;
}

bool daxl_ranges_find(const struct daxl_ranges *ranges, daxl_blk_t blk, daxl_nblk_t len, struct daxl_blkrun *ret)
{
	size_t low = 0, high = ranges->n;

	while (low < high) { /* the first that ends behind blk */
		size_t mid = low + (high - low) / 2;

		if (ranges->runs[mid].blk + ranges->runs[mid].len <= blk)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == ranges->n || ranges->runs[low].blk >= blk + len)
		return false;
	ret->blk = daxl_max_u64(blk, ranges->runs[low].blk);
	ret->len = daxl_min_u64(blk + len, ranges->runs[low].blk + ranges->runs[low].len) - ret->blk;
	return true;
}

bool daxl_check_is_fixed(const struct daxl_check *check, daxl_blk_t blk, daxl_nblk_t len)
{
	for (unsigned i = 0; i < check->nfixed; i++)
		if (blk < check->fixed[i].blk + check->fixed[i].len && check->fixed[i].blk < blk + len)
			return true;
	return false;
}

/* A walk over all files. */
struct sweep {
	struct daxl_check *check;
	int err;
	struct daxl_inode *ino;
	struct daxl_ranges gaps; /* file blocks that the file in hand does not keep */
};

static int mark_run(daxl_fblk_t at, const struct daxl_run *run, void *space)
{
	(void)at;
	return run->flags & DAXL_RUN_HOLE ? 0 : daxl_space_mark_shared(space, run->blk, run->len);
}

int daxl_check_mark_map(struct daxl_check *check, const struct daxl_node *root)
{
	return daxl_rope_walk(root, 0, DAXL_FBLK_INF, mark_run, check->pool->space);
}

static void mark_file(struct daxl_inode *ino, void *arg)
{
	struct sweep *sweep = arg;

	if (!sweep->err)
		sweep->err = daxl_check_mark_map(sweep->check, ino->version->root);
}

/* Free space as the files and nothing else make it. */
static int account(struct daxl_check *check)
{
	struct daxl_pool *pool = check->pool;
	struct sweep sweep = {.check = check};
	struct daxl_space *space;
	int err = daxl_pool_space_make(&pool->super, &space, &pool->keep_back, &pool->fixed_blocks);

	if (err)
		return err;
	daxl_space_destroy(pool->space);
	pool->space = space;
	daxl_ids_each(pool, mark_file, &sweep);
	return sweep.err;
}

/* A page that was referred to lies in a block that is in use. */
static int page_conflict(struct daxl_check *check, daxl_page_t page, daxl_blk_t blk, bool good)
{
	struct daxl_where where = DAXL_WHERE(DAXL_FINDING_BLOCK);

	where.pool_off = page << DAXL_PAGE_SHIFT;
	where.block = blk;
	int err = daxl_check_found(check, DAXL_SEVERITY_ERROR, &where,
	                           "page %" PRIu64 " of the checkpoint or log lies in block %" PRIu64 ", which is %s",
	                           page, blk,
	                           daxl_check_is_fixed(check, blk, 1) ? "a superblock's, a slot's or the log's" : "a file's");
	/* Who has a block in which a good page lies has lost what was his there. */
	if (!err && good && !daxl_check_is_fixed(check, blk, 1))
		err = daxl_ranges_add(&check->contested, blk, 1);
	return err;
}

/* Finds pages that lie in blocks of files. Only good pages are in use: a bad one may be somebody's data. */
static int check_pages(struct daxl_check *check)
{
	struct daxl_pool *pool = check->pool;
	int err = 0;

	for (size_t i = 0; i < check->seen.size && !err; i++) {
		daxl_page_t page = check->seen.slots[i];
		daxl_blk_t blk = page >> (pool->block_shift - DAXL_PAGE_SHIFT);

		if (page && daxl_space_is_used(pool->space, blk))
			err = page_conflict(check, page, blk, daxl_page_set_has(&check->good, page));
	}
	return err;
}

/* A run of the file in hand: the contested pieces of it. */
static int contest_run(daxl_fblk_t at, const struct daxl_run *run, void *arg)
{
	struct sweep *sweep = arg;
	struct daxl_check *check = sweep->check;
	unsigned shift = check->pool->block_shift;
	daxl_nblk_t done = 0;
	struct daxl_blkrun piece;

	while (!(run->flags & DAXL_RUN_HOLE) && done < run->len &&
	       daxl_ranges_find(&check->contested, run->blk + done, run->len - done, &piece)) {
		daxl_fblk_t from = at + (piece.blk - run->blk);
		struct daxl_where where = DAXL_WHERE(DAXL_FINDING_BLOCK);

		where.file_id = sweep->ino->id;
		where.file_name = sweep->ino->name ? sweep->ino->name->bytes : NULL;
		where.file_off = daxl_blocks_to_bytes(from, shift);
		where.block = piece.blk;
		where.pool_off = daxl_blocks_to_bytes(piece.blk, shift);
		int err = daxl_check_found(check, DAXL_SEVERITY_ERROR, &where,
		                           "file %" PRIu32 " ('%s'), byte %" PRIu64 ": blocks %" PRIu64 "+%" PRIu64
		                           " are claimed by something else as well",
		                           sweep->ino->id, where.file_name ? where.file_name : "", where.file_off,
		                           piece.blk, piece.len);
		if (!err)
			err = daxl_ranges_add(&sweep->gaps, from, piece.len);
		if (err)
			return err;
		done = piece.blk + piece.len - run->blk;
	}
	return 0;
}

static void unref_run(daxl_blk_t blk, daxl_nblk_t len, void *arg)
{
	daxl_space_unref(arg, blk, len);
}

/* The file loses sweep->gaps. */
static int cut_gaps(struct sweep *sweep)
{
	struct daxl_pool *pool = sweep->check->pool;
	struct daxl_version *version = sweep->ino->version;
	struct daxl_dropped dropped;
	struct daxl_edit edit;
	int err = 0;

	daxl_edit_begin(&edit, pool->slab, version->root);
	for (size_t i = 0; i < sweep->gaps.n && !err; i++) {
		const struct daxl_run hole = {.len = sweep->gaps.runs[i].len, .flags = DAXL_RUN_HOLE};

		err = daxl_edit_set(&edit, sweep->gaps.runs[i].blk, &hole);
	}
	if (err) {
		daxl_edit_abort(&edit);
		return err;
	}
	version->root = daxl_edit_commit(&edit, &dropped);
	daxl_dropped_each_run(&dropped, unref_run, pool->space);
	daxl_dropped_free(&dropped, pool->slab, NULL, NULL);
	return 0;
}

static void contest_file(struct daxl_inode *ino, void *arg)
{
	struct sweep *sweep = arg;

	if (sweep->err)
		return;
	sweep->ino = ino;
	sweep->gaps.n = 0;
	sweep->err = daxl_rope_walk(ino->version->root, 0, DAXL_FBLK_INF, contest_run, sweep);
	if (!sweep->err && sweep->gaps.n)
		sweep->err = cut_gaps(sweep);
}

/* Compares the summary with the account, which has all files and good pages. */
static int compare_summary(struct daxl_check *check)
{
	struct daxl_pool *pool = check->pool;
	size_t len = daxl_space_export_size(pool->space);
	struct daxl_where where = DAXL_WHERE(DAXL_FINDING_SUMMARY);
	uint8_t *mine = daxl_alloc(len);
	struct daxl_space_stat stat;
	int err = 0;

	if (!mine)
		return daxl_fail(ENOMEM, "no memory to compare the summary of free space");
	daxl_space_export(pool->space, mine);
	for (daxl_blk_t blk = 0; blk / 8 < len && !err; blk++) {
		if (((mine[blk / 8] ^ check->summary[blk / 8]) >> (blk % 8) & 1) == 0)
			continue;
		bool used = check->summary[blk / 8] >> (blk % 8) & 1;

		where.block = blk;
		where.pool_off = blk << pool->block_shift;
		check->lost |= used;
		err = daxl_check_found(check, DAXL_SEVERITY_WARNING, &where,
		                       "block %" PRIu64 " was %s when the pool was closed, but %s has it", blk,
		                       used ? "in use" : "free", used ? "nothing" : "something");
		daxl_free(mine);
		return err;
	}
	daxl_free(mine);
	daxl_space_stat(pool->space, &stat);
	if (stat.free == check->slot.free_blocks)
		return 0;
	return daxl_check_found(check, DAXL_SEVERITY_WARNING, &where,
	                        "%" PRIu64 " blocks were free when the pool was closed, the files leave %" PRIu64,
	                        check->slot.free_blocks, stat.free);
}

/* Good pages are in use until the next checkpoint is durable. */
static int keep_pages(struct daxl_check *check)
{
	int err = 0;

	for (size_t i = 0; i < check->good.size && !err; i++) {
		if (!check->good.slots[i])
			continue;
		err = daxl_page_mark(check->pool->space, check->good.slots[i]);
		if (err == -EUCLEAN) { /* in a fixed area: reported, and nobody will free it */
			err = 0;
			continue;
		}
		if (!err)
			err = daxl_ckpt_page_loaded(check->pool->ckpt);
		if (!err)
			daxl_ckpt_page_retired(check->pool, check->good.slots[i], 0);
	}
	return err;
}

int daxl_check_blocks(struct daxl_check *check)
{
	struct sweep sweep = {.check = check};
	int err = check->found ? account(check) : 0;

	if (!err)
		err = check_pages(check);
	if (!err && check->contested.n) {
		daxl_ranges_sort(&check->contested);
		daxl_ids_each(check->pool, contest_file, &sweep);
		err = sweep.err;
	}
	daxl_free(sweep.gaps.runs);
	if (!err)
		err = keep_pages(check);
	/* Only where nothing else explains a difference. */
	if (!err && check->summary && check->clean && !check->lost && check->contested.n == 0 &&
	    check->seen.count == check->good.count)
		err = compare_summary(check);
	return err;
}
