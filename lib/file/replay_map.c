/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Replay of records that change maps.
 *
 * The edits of a record are one sequence: the one in the header, if it has a length, then the list. COLLAPSE and INSERT
 * have the range that moves as the first of them, CLONE and EXCHANGE do their own work first; what follows are edits
 * like those of MAP.
 */
#include "file/replay.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/error.h"
#include "map/rope_node.h"

/* Finds a file for a record that changes its map. */
static int find_whole(struct daxl_replay *replay, uint32_t id, struct daxl_inode **ret_ino)
{
	int err = daxl_replay_find(replay, id, ret_ino);

	if (!err && (*ret_ino)->version->damaged)
		err = daxl_fail(EUCLEAN, "file %" PRIu32 " is damaged", id);
	return err;
}

static daxl_nblk_t blocks_max(const struct daxl_pool *pool)
{
	return pool->max_file_size >> pool->block_shift;
}

static int check_range(const struct daxl_pool *pool, daxl_fblk_t at, daxl_nblk_t len)
{
	daxl_nblk_t max = blocks_max(pool);

	if (at > max || len > max - at)
		return daxl_fail(EUCLEAN, "blocks %" PRIu64 "+%" PRIu64 " of a file cannot be", at, len);
	return 0;
}

/* An edit has a length, always. */
static int check_edit(const struct daxl_pool *pool, const struct daxl_md_edit *md)
{
	if (md->len == 0)
		return daxl_fail(EUCLEAN, "an edit of no blocks at %" PRIu64, md->fblk);
	return check_range(pool, md->fblk, md->len);
}

static int check_size(const struct daxl_pool *pool, uint64_t size)
{
	if (size > pool->max_file_size)
		return daxl_fail(EUCLEAN, "a file size of %" PRIu64, size);
	return 0;
}

/* What rope edits say, as a finding. */
static int edit_result(int err)
{
	return err == -EFBIG ? daxl_fail(EUCLEAN, "a map that would be too long") : err;
}

struct mapping {
	struct daxl_space *space;
	uint64_t to_blk; /* block - file block, mod 2^64 */
};

/* A piece of the map as it was where new blocks come. */
static int mark_new(daxl_fblk_t at, const struct daxl_run *run, void *arg)
{
	const struct mapping *mapping = arg;

	if (!(run->flags & DAXL_RUN_HOLE) && run->blk == at + mapping->to_blk)
		return 0;
	return daxl_space_mark(mapping->space, at + mapping->to_blk, run->len);
}

static int apply_edit(struct daxl_pool *pool, struct daxl_edit *edit, const struct daxl_md_edit *md)
{
	struct daxl_run run = {.len = md->len, .blk = md->val & DAXL_VAL_BLOCK_MASK};
	int err = check_edit(pool, md);

	if (err)
		return err;
	if (md->val == DAXL_EDIT_CONVERT)
		return edit_result(daxl_edit_convert(edit, md->fblk, md->len));
	if (md->val == DAXL_EDIT_HOLE) {
		run.flags = DAXL_RUN_HOLE;
		return edit_result(daxl_edit_set(edit, md->fblk, &run));
	}
	if (md->val & ~(DAXL_EDIT_UNWRITTEN | DAXL_VAL_BLOCK_MASK))
		return daxl_fail(EUCLEAN, "an edit of blocks %" PRIu64 "+%" PRIu64 " with unknown flags %#" PRIx64,
		                 md->fblk, md->len, md->val);
	if (run.len > DAXL_VAL_BLOCK_MASK - run.blk)
		return daxl_fail(EUCLEAN, "blocks %" PRIu64 "+%" PRIu64 " lie outside of the pool", run.blk, run.len);
	if (md->val & DAXL_EDIT_UNWRITTEN)
		run.flags = DAXL_RUN_UNWRITTEN;
	struct mapping mapping = {.space = pool->space, .to_blk = run.blk - md->fblk};
	err = daxl_rope_walk(edit->root, md->fblk, md->fblk + md->len, mark_new, &mapping);
	return err ? err : edit_result(daxl_edit_set(edit, md->fblk, &run));
}

/* The list of n edits. */
static int apply_list(struct daxl_pool *pool, struct daxl_edit *edit, struct daxl_body *body, uint32_t n)
{
	int err = 0;

	for (uint32_t i = 0; i < n && !err; i++) {
		struct daxl_md_edit md;

		err = daxl_body_struct(body, &md, sizeof(md));
		if (!err)
			err = apply_edit(pool, edit, &md);
	}
	return err;
}

static void drop_run(daxl_blk_t blk, daxl_nblk_t len, void *arg)
{
	struct daxl_pool *pool = arg;

	daxl_space_unref(pool->space, blk, len);
}

static void drop_page(daxl_page_t page, daxl_page_t copy, void *arg)
{
	daxl_ckpt_page_retired(arg, page, copy);
}

static void drop(struct daxl_pool *pool, struct daxl_dropped *dropped)
{
	daxl_dropped_each_run(dropped, drop_run, pool);
	daxl_dropped_free(dropped, pool->slab, drop_page, pool);
}

void daxl_replay_drop_map(struct daxl_pool *pool, struct daxl_version *version)
{
	struct daxl_dropped dropped = {0};

	daxl_dropped_add_rope(&dropped, version->root);
	drop(pool, &dropped);
	version->root = NULL;
}

/* Ends an edit: the file has the new map and size. */
static void finish(struct daxl_inode *ino, struct daxl_edit *edit, uint64_t size, uint64_t time_ns)
{
	struct daxl_version *version = ino->version;
	struct daxl_dropped dropped;

	version->root = daxl_edit_commit(edit, &dropped);
	version->size = size;
	version->generation++;
	version->ctime_ns = time_ns & ~DAXL_TIME_KEEPS_MTIME;
	if (!(time_ns & DAXL_TIME_KEEPS_MTIME))
		version->mtime_ns = time_ns;
	drop(ino->pool, &dropped);
	daxl_ckpt_replayed(ino);
}

/* The first edit of a map record, from its header or, when that has none, from the list; *n counts the list down. */
static int first_edit(const struct daxl_md_rec_map *rec, struct daxl_body *body, uint32_t *n, struct daxl_md_edit *ret)
{
	if (rec->len == 0) {
		if (*n == 0)
			return daxl_fail(EUCLEAN, "it has no range");
		--*n;
		return daxl_body_struct(body, ret, sizeof(*ret));
	}
	*ret = (struct daxl_md_edit){.fblk = rec->fblk, .len = rec->len, .val = rec->val};
	return 0;
}

/* Does the work of a map record's type. */
static int map_edits(struct daxl_pool *pool, unsigned type, const struct daxl_md_rec_map *rec, struct daxl_body *body,
                     struct daxl_edit *edit)
{
	uint32_t n = rec->nedits;
	struct daxl_md_edit first;
	int err = 0;

	if (type == DAXL_REC_COLLAPSE || type == DAXL_REC_INSERT || rec->len != 0 || n != 0) {
		err = first_edit(rec, body, &n, &first);
		if (!err)
			err = check_edit(pool, &first);
		if (err)
			return err;
		if (type == DAXL_REC_COLLAPSE)
			err = edit_result(daxl_edit_remove(edit, first.fblk, first.len));
		else if (type == DAXL_REC_INSERT && daxl_rope_len(edit->root) > blocks_max(pool) - first.len)
			err = daxl_fail(EUCLEAN, "a map that would be too long");
		else if (type == DAXL_REC_INSERT)
			err = edit_result(daxl_edit_insert(edit, first.fblk, first.len));
		else
			err = apply_edit(pool, edit, &first);
	}
	if (!err)
		err = apply_list(pool, edit, body, n);
	if (!err && type == DAXL_REC_TRUNCATE)
		err = edit_result(daxl_edit_cut(edit, daxl_bytes_to_blocks_up(rec->size, pool->block_shift)));
	return err;
}

int daxl_replay_map(struct daxl_replay *replay, unsigned type, struct daxl_body *body)
{
	struct daxl_pool *pool = replay->pool;
	struct daxl_md_rec_map rec;
	struct daxl_inode *ino;
	struct daxl_edit edit;
	int err = daxl_body_struct(body, &rec, sizeof(rec));

	if (!err)
		err = find_whole(replay, rec.id, &ino);
	if (!err)
		err = check_size(pool, rec.size);
	if (err)
		return err;
	daxl_edit_begin(&edit, pool->slab, ino->version->root);
	err = map_edits(pool, type, &rec, body, &edit);
	if (err)
		daxl_edit_abort(&edit);
	else
		finish(ino, &edit, rec.size, rec.time_ns);
	return err;
}

struct sharing {
	struct daxl_space *space;
	const struct daxl_node *dst;
	uint64_t to_dst;     /* destination block - source block, mod 2^64 */
	struct daxl_run run; /* of the source, and where the destination gets it */
	daxl_fblk_t at;
};

/* A piece of the destination as it was: the source's blocks come there, unless it has them already. */
static int share_piece(daxl_fblk_t at, const struct daxl_run *run, void *arg)
{
	const struct sharing *sharing = arg;
	daxl_blk_t blk = sharing->run.blk + (at - sharing->at);

	if (!(run->flags & DAXL_RUN_HOLE) && run->blk == blk)
		return 0;
	return daxl_space_ref(sharing->space, blk, run->len);
}

static int share_run(daxl_fblk_t at, const struct daxl_run *run, void *arg)
{
	struct sharing *sharing = arg;

	if (run->flags & DAXL_RUN_HOLE)
		return 0;
	sharing->run = *run;
	sharing->at = at + sharing->to_dst;
	return daxl_rope_walk(sharing->dst, sharing->at, sharing->at + run->len, share_piece, sharing);
}

static int replay_clone(struct daxl_replay *replay, const struct daxl_md_rec_two *rec, struct daxl_inode *src,
                        struct daxl_inode *dst, struct daxl_body *body)
{
	struct daxl_pool *pool = replay->pool;
	struct sharing sharing = {
		.space = pool->space, .dst = dst->version->root, .to_dst = rec->dst_fblk - rec->src_fblk};
	struct daxl_edit edit;
	int err = daxl_rope_walk(src->version->root, rec->src_fblk, rec->src_fblk + rec->len, share_run, &sharing);

	if (err)
		return err;
	daxl_edit_begin(&edit, pool->slab, dst->version->root);
	err = edit_result(daxl_edit_copy(&edit, rec->dst_fblk, src->version->root, rec->src_fblk, rec->len));
	if (!err)
		err = apply_list(pool, &edit, body, rec->nedits);
	if (err)
		daxl_edit_abort(&edit);
	else
		finish(dst, &edit, rec->dst_size, rec->time_ns);
	return err;
}

static bool overlap(daxl_fblk_t a, daxl_fblk_t b, daxl_nblk_t len)
{
	return a < b ? b - a < len : a - b < len;
}

static int replay_exchange(struct daxl_replay *replay, const struct daxl_md_rec_two *rec, struct daxl_inode *src,
                           struct daxl_inode *dst, struct daxl_body *body)
{
	struct daxl_slab *slab = replay->pool->slab;
	/* cppcheck-suppress uninitvar ; addresses only */
	struct daxl_edit a, b, *to = src == dst ? &a : &b;

	if (src == dst && overlap(rec->src_fblk, rec->dst_fblk, rec->len))
		return daxl_fail(EUCLEAN, "an exchange of overlapping ranges at blocks %" PRIu64 " and %" PRIu64,
		                 rec->src_fblk, rec->dst_fblk);
	daxl_edit_begin(&a, slab, src->version->root);
	if (to == &b)
		daxl_edit_begin(&b, slab, dst->version->root);
	int err = 0;
	if (rec->len) /* 0: only sizes change places */
		err = edit_result(daxl_edit_exchange(&a, rec->src_fblk, to, rec->dst_fblk, rec->len));
	if (!err)
		err = apply_list(replay->pool, to, body, rec->nedits);
	if (err) {
		daxl_edit_abort(&a);
		if (to == &b)
			daxl_edit_abort(&b);
		return err;
	}
	finish(src, &a, rec->src_size, rec->time_ns);
	if (to == &b)
		finish(dst, &b, rec->dst_size, rec->time_ns);
	return 0;
}

int daxl_replay_two(struct daxl_replay *replay, unsigned type, struct daxl_body *body)
{
	struct daxl_pool *pool = replay->pool;
	struct daxl_md_rec_two rec;
	struct daxl_inode *src, *dst;
	int err = daxl_body_struct(body, &rec, sizeof(rec));

	if (!err)
		err = find_whole(replay, rec.src, &src);
	if (!err)
		err = find_whole(replay, rec.dst, &dst);
	if (!err)
		err = check_range(pool, rec.src_fblk, rec.len);
	if (!err)
		err = check_range(pool, rec.dst_fblk, rec.len);
	if (!err)
		err = check_size(pool, rec.src_size);
	if (!err)
		err = check_size(pool, rec.dst_size);
	if (err)
		return err;
	return type == DAXL_REC_CLONE ? replay_clone(replay, &rec, src, dst, body)
	                              : replay_exchange(replay, &rec, src, dst, body);
}
