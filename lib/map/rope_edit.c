/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The edits of a rope, in terms of splices (rope_splice.c) and of trees cut apart and glued (rope_tree.c).
 *
 * A failed edit leaves edit->root unusable and the edit good for abort only: every node it made is on its list of
 * fresh nodes, wherever it hangs, and nothing of the published rope was touched but the next fields of nodes it
 * meant to retire.
 */
#include <errno.h>
#include <inttypes.h>

#include "base/error.h"
#include "base/hook.h"
#include "map/rope_splice.h"

/* Begins an edit; the file's mutex is held until commit or abort. */
void daxl_edit_begin(struct daxl_edit *edit, struct daxl_slab *slab, struct daxl_node *old_root)
{
	edit->slab = slab;
	edit->old_root = edit->root = old_root;
	edit->dropped.nodes = edit->dropped.subtrees = NULL;
	edit->dropped.runs = NULL; /* the inline ones, none of which is in use */
	edit->dropped.nruns = 0;
	edit->runs_delta = edit->blocks_delta = 0;
	edit->nodes_new = 0;
	edit->fresh = NULL;
}

/* Frees everything built. */
void daxl_edit_abort(struct daxl_edit *edit)
{
	for (struct daxl_node *node = edit->fresh, *next; node; node = next) {
		next = node->next;
		daxl_node_free(edit->slab, node);
	}
	daxl_free(edit->dropped.runs);
	daxl_edit_begin(edit, edit->slab, edit->old_root);
}

/* Makes the fresh nodes published ones and hands over what the old rope lost. */
struct daxl_node *daxl_edit_commit(struct daxl_edit *edit, struct daxl_dropped *dropped)
{
	struct daxl_node *root = edit->root;
	for (struct daxl_node *node = edit->fresh, *next; node; node = next) {
		next = node->next;
		node->owner = NULL;
		node->next = NULL;
		node->pprev = NULL;
	}
	*dropped = edit->dropped;
	edit->fresh = NULL;
	edit->dropped = (struct daxl_dropped){ 0 };
	return root;
}

/* Ends an operation that went well: the edit's totals follow the root's. */
static int finish(struct daxl_edit *edit)
{
	const struct daxl_node *old = edit->old_root, *new = edit->root;
	edit->runs_delta = (int64_t)((new ? new->runs : 0) - (old ? old->runs : 0));
	edit->blocks_delta = (int64_t)((new ? new->blocks : 0) - (old ? old->blocks : 0));
	return 0;
}

/* One splice, after which the rope must not end in a hole. */
static int splice(struct daxl_edit *edit, const struct daxl_splice *sp)
{
	bool at_end = sp->hi == daxl_rope_len(edit->root) && (sp->len == 0 || daxl_val_is_hole(sp->val));
	int err = daxl_splice(edit, sp);
	if (!err && at_end)
		err = daxl_tree_trim(edit, edit->root, &edit->root);
	return err ? err : finish(edit);
}

static int check_range(daxl_fblk_t at, daxl_nblk_t len)
{
	if (at < DAXL_FBLK_INF && len < DAXL_FBLK_INF - at)
		return 0;
	return daxl_fail(EFBIG, "rope: %" PRIu64 " blocks at block %" PRIu64 " are beyond any map", len, at);
}

/* Replaces a range by a run of the same length. */
int daxl_edit_set(struct daxl_edit *edit, daxl_fblk_t at, const struct daxl_run *run)
{
	daxl_nblk_t total = daxl_rope_len(edit->root);
	uint64_t val = daxl_val_of(run);
	if (run->len == 0 || (daxl_val_is_hole(val) && at >= total))
		return 0;
	int err = daxl_val_is_hole(val) ? 0 : check_range(at, run->len);
	if (err)
		return err;
	if (at > total) {
		struct daxl_splice gap = { .lo = total, .hi = total, .len = at - total, .val = DAXL_VAL_HOLE };
		err = daxl_splice(edit, &gap);
		if (err)
			return err;
		total = at;
	}
	struct daxl_splice sp = { .lo = at, .len = run->len, .val = val, .in_place = true };
	sp.hi = run->len < total - at ? at + run->len : total;
	if (daxl_val_is_hole(val) && sp.hi == total)
		sp.len = 0;
	return splice(edit, &sp);
}

/* Clears UNWRITTEN in a range. */
int daxl_edit_convert(struct daxl_edit *edit, daxl_fblk_t at, daxl_nblk_t len)
{
	daxl_nblk_t total = daxl_rope_len(edit->root);
	if (at >= total)
		return 0;
	daxl_fblk_t end = len < total - at ? at + len : total;
	while (at < end) {
		struct daxl_run run;
		daxl_rope_lookup(edit->root, at, &run);
		run.len = daxl_min_u64(run.len, end - at);
		if (run.flags & DAXL_RUN_UNWRITTEN) {
			run.flags &= ~DAXL_RUN_UNWRITTEN;
			int err = daxl_edit_set(edit, at, &run);
			if (err)
				return err;
		}
		at += run.len;
	}
	return 0;
}

/* Drops what is at and behind a block. */
int daxl_edit_cut(struct daxl_edit *edit, daxl_fblk_t at)
{
	daxl_nblk_t total = daxl_rope_len(edit->root);
	return at < total ? daxl_edit_remove(edit, at, total - at) : 0;
}

/* Drops a range; what follows moves down. */
int daxl_edit_remove(struct daxl_edit *edit, daxl_fblk_t at, daxl_nblk_t len)
{
	daxl_nblk_t total = daxl_rope_len(edit->root);
	if (len == 0 || at >= total)
		return 0;
	struct daxl_splice sp = { .lo = at, .hi = len < total - at ? at + len : total };
	return splice(edit, &sp);
}

/* Puts a hole before a block; what follows moves up. */
int daxl_edit_insert(struct daxl_edit *edit, daxl_fblk_t at, daxl_nblk_t len)
{
	daxl_nblk_t total = daxl_rope_len(edit->root);
	if (len == 0 || at >= total)
		return 0;
	int err = check_range(total, len);
	if (err)
		return err;
	struct daxl_splice sp = { .lo = at, .hi = at, .len = len, .val = DAXL_VAL_HOLE };
	return splice(edit, &sp);
}

/*
 * Notes what a copy drops where source and target have a block in common at the same place. Called for runs of the
 * target and, nested, for the runs of the source that meet it.
 */
struct overlap {
	struct daxl_edit *edit;
	const struct daxl_node *src;
	uint64_t to_src; /* source block - target block, mod 2^64 */
	bool note;       /* false: only look for a block that stays */
	daxl_blk_t blk;  /* the target's run: first block, counted from block 0 of the source */
};

static int overlap_src(daxl_fblk_t at, const struct daxl_run *run, void *arg)
{
	const struct overlap *overlap = arg;
	daxl_blk_t blk = overlap->blk + at;
	bool stays = !(run->flags & DAXL_RUN_HOLE) && run->blk == blk;
	if (!overlap->note)
		return stays;
	return stays ? 0 : daxl_dropped_add_run(&overlap->edit->dropped, blk, run->len);
}

static int overlap_dst(daxl_fblk_t at, const struct daxl_run *run, void *arg)
{
	struct overlap *overlap = arg;
	if (run->flags & DAXL_RUN_HOLE)
		return 0;
	daxl_fblk_t src_at = at + overlap->to_src;
	overlap->blk = run->blk - src_at;
	return daxl_rope_walk(overlap->src, src_at, src_at + run->len, overlap_src, overlap);
}

/* Three trees one behind the other, each padded to its length if anything follows it; no hole at the end. */
static int assemble(struct daxl_edit *edit, struct daxl_node *left, daxl_nblk_t left_len, struct daxl_node *mid,
                    daxl_nblk_t mid_len, struct daxl_node *right)
{
	int err = 0;
	if (mid || right)
		err = daxl_tree_pad(edit, left, left_len, &left);
	if (!err)
		err = daxl_tree_glue(edit, left, mid, &left);
	if (!err && right)
		err = daxl_tree_pad(edit, left, left_len + mid_len, &left);
	if (!err)
		err = daxl_tree_glue(edit, left, right, &left);
	return err ? err : daxl_tree_trim(edit, left, &edit->root);
}

/* Replaces a range by a copy of another rope's range. */
int daxl_edit_copy(struct daxl_edit *edit, daxl_fblk_t at, const struct daxl_node *src, daxl_fblk_t src_at,
                   daxl_nblk_t len)
{
	int err = check_range(at, len);
	if (!err)
		err = check_range(src_at, len);
	if (err || len == 0)
		return err;
	struct daxl_node *left, *mid, *right, *copy = NULL;
	daxl_nblk_t src_len = daxl_rope_len(src), total = daxl_rope_len(edit->root);
	struct overlap overlap = { .edit = edit, .src = src, .to_src = src_at - at };
	bool noted = false;
	if (at < total) {
		daxl_fblk_t end = daxl_min_u64(at + len, total);
		noted = overlap.note = daxl_rope_walk(edit->root, at, end, overlap_dst, &overlap) != 0;
		if (noted)
			err = daxl_rope_walk(edit->root, at, end, overlap_dst, &overlap);
	}
	/* Before anything is cut: the source may be this very rope. */
	if (!err && src_at < src_len)
		err = daxl_tree_copy(edit, src, src_at, daxl_min_u64(src_at + len, src_len), &copy);
	if (!err)
		err = daxl_tree_split(edit, edit->root, at, &left, &right);
	if (!err)
		err = daxl_tree_split(edit, right, len, &mid, &right);
	if (err)
		return err;
	if (noted)
		daxl_tree_drop_nodes(edit, mid);
	else
		err = daxl_tree_drop(edit, mid);
	if (!err)
		err = assemble(edit, left, at, copy, len, right);
	return err ? err : finish(edit);
}

/* Swaps two ranges of one rope, the first of them first. */
static int exchange_within(struct daxl_edit *edit, daxl_fblk_t first_at, daxl_fblk_t second_at, daxl_nblk_t len)
{
	struct daxl_node *left, *first, *between, *second, *rest;
	daxl_nblk_t gap = second_at - first_at - len;
	int err = daxl_tree_split(edit, edit->root, first_at, &left, &rest);
	if (!err)
		err = daxl_tree_split(edit, rest, len, &first, &rest);
	if (!err)
		err = daxl_tree_split(edit, rest, gap, &between, &rest);
	if (!err)
		err = daxl_tree_split(edit, rest, len, &second, &rest);
	if (!err)
		err = assemble(edit, left, first_at, second, len, between);
	if (!err)
		err = assemble(edit, edit->root, first_at + len + gap, first, len, rest);
	return err;
}

/* Swaps two ranges. */
int daxl_edit_exchange(struct daxl_edit *a, daxl_fblk_t a_at, struct daxl_edit *b, daxl_fblk_t b_at, daxl_nblk_t len)
{
	int err = check_range(a_at, len);
	if (!err)
		err = check_range(b_at, len);
	if (err || len == 0)
		return err;
	if (a == b) {
		assert(a_at <= b_at ? b_at - a_at >= len : a_at - b_at >= len);
		err = exchange_within(a, daxl_min_u64(a_at, b_at), daxl_max_u64(a_at, b_at), len);
		return err ? err : finish(a);
	}
	struct daxl_node *a_left, *a_mid, *a_right, *b_left, *b_mid, *b_right;
	err = daxl_tree_split(a, a->root, a_at, &a_left, &a_right);
	if (!err)
		err = daxl_tree_split(a, a_right, len, &a_mid, &a_right);
	if (!err)
		err = daxl_tree_split(b, b->root, b_at, &b_left, &b_right);
	if (!err)
		err = daxl_tree_split(b, b_right, len, &b_mid, &b_right);
	if (!err)
		err = assemble(a, a_left, a_at, b_mid, len, a_right);
	if (!err)
		err = assemble(b, b_left, b_at, a_mid, len, b_right);
	if (err)
		return err;
	finish(a);
	return finish(b);
}
