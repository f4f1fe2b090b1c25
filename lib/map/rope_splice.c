/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The common edit in one pass. A range inside one leaf whose neighbours do not merge across the leaf's edge is
 * replaced there, and the path above is copied with its ends moved: one node a level. Only where the leaf becomes
 * too full or too empty do the levels above change shape, as far up as that reaches. Any other range is cut out and
 * the two sides are put together again around the new run (rope_tree.c).
 */
#include "map/rope_splice.h"

#include <errno.h>
#include <string.h>

struct piece {
	daxl_nblk_t len;
	uint64_t val;
};

/* The leaf under the knife: which of its entries stay, and what comes between them. All offsets count from the leaf. */
struct cut {
	struct daxl_node *path[DAXL_ROPE_DEPTH_MAX]; /* by depth; path[0] is the leaf */
	unsigned idx[DAXL_ROPE_DEPTH_MAX];           /* which child of path[depth] path[depth - 1] is */
	unsigned top;                                /* the root's depth */
	daxl_fblk_t base;                            /* the leaf's first block */
	unsigned a, b;       /* entries that hold the first block replaced and the first one behind; count: none */
	unsigned keep, rest; /* entries [0, keep) and [rest, count) stay as they are */
	struct piece mid[3];
	unsigned nmid;
	uint64_t shift;  /* how much what follows moves, mod 2^64 */
	uint64_t blocks; /* change of mapped blocks, mod 2^64 */
};

/* Adds a piece to the middle, joined to the one before if it continues it. */
static void cut_push(struct cut *cut, daxl_nblk_t len, uint64_t val)
{
	if (cut->nmid != 0) {
		struct piece *last = &cut->mid[cut->nmid - 1];
		if (daxl_val_continues(last->val, last->len, val)) {
			last->len += len;
			return;
		}
	}
	cut->mid[cut->nmid++] = (struct piece){ len, val };
}

/* Descends to the leaf that holds block at, or to the last leaf if at is the end. */
static void cut_descend(struct cut *cut, struct daxl_node *root, daxl_fblk_t at)
{
	cut->top = root->depth;
	cut->base = 0;
	bool end = at == daxl_node_len(root);
	while (root->depth != 0) {
		unsigned i = end ? root->count - 1u : daxl_node_search(root, at - cut->base);
		cut->path[root->depth] = root;
		cut->idx[root->depth] = i;
		cut->base += daxl_node_start(root, i);
		root = daxl_node_child(root, i);
	}
	cut->path[0] = root;
}

/* Whether the run right before block at (outside the leaf) would merge with the word val. */
static bool merges_before(const struct daxl_node *root, daxl_fblk_t at, uint64_t val)
{
	struct daxl_run run;
	daxl_rope_lookup(root, at - 1, &run);
	return daxl_val_continues(daxl_val_of(&run), 1, val);
}

static bool merges_behind(const struct daxl_node *root, daxl_fblk_t at, const struct piece *piece)
{
	struct daxl_run run;
	daxl_rope_lookup(root, at, &run);
	return daxl_val_continues(piece->val, piece->len, daxl_val_of(&run));
}

/* Lays out the new leaf. False: the splice reaches beyond this leaf. */
static bool cut_plan(struct cut *cut, struct daxl_edit *edit, const struct daxl_splice *sp)
{
	cut_descend(cut, edit->root, sp->lo);
	struct daxl_node *leaf = cut->path[0];
	daxl_nblk_t len = daxl_node_len(leaf);
	uint64_t lo = sp->lo - cut->base, hi = sp->hi - cut->base;
	if (hi > len)
		return false;
	unsigned a = lo < len ? daxl_node_search(leaf, lo) : leaf->count;
	unsigned b = hi >= len ? leaf->count : hi < daxl_node_end(leaf, a) ? a : daxl_node_search(leaf, hi);
	uint64_t start = daxl_node_start(leaf, a);
	bool left_outside = false, right_outside = false;
	cut->a = a;
	cut->b = b;
	cut->nmid = 0;
	cut->keep = a;
	cut->rest = b;
	if (lo > start) {
		cut_push(cut, lo - start, daxl_node_val(leaf, a));
	} else if (a != 0) {
		cut->keep = a - 1;
		cut_push(cut, start - daxl_node_start(leaf, a - 1), daxl_node_val(leaf, a - 1));
	} else {
		left_outside = sp->lo != 0;
	}
	if (sp->len != 0)
		cut_push(cut, sp->len, sp->val);
	if (b < leaf->count) {
		cut->rest = b + 1;
		cut_push(cut, daxl_node_end(leaf, b) - hi,
		         daxl_val_advance(daxl_node_val(leaf, b), hi - daxl_node_start(leaf, b)));
	} else {
		right_outside = sp->hi != daxl_node_len(edit->root);
	}
	if (cut->nmid == 0)
		return !(left_outside && right_outside);
	if (left_outside && merges_before(edit->root, sp->lo, cut->mid[0].val))
		return false;
	return !(right_outside && merges_behind(edit->root, sp->hi, &cut->mid[cut->nmid - 1]));
}

/* Notes what the leaf loses and sums up the change. */
static int cut_drop(struct cut *cut, struct daxl_edit *edit, const struct daxl_splice *sp)
{
	const struct daxl_node *leaf = cut->path[0];
	uint64_t lo = sp->lo - cut->base, hi = sp->hi - cut->base;
	cut->shift = sp->len - (hi - lo);
	cut->blocks = daxl_val_is_hole(sp->val) ? 0 : sp->len;
	for (unsigned i = cut->a; i < leaf->count && daxl_node_start(leaf, i) < hi; i++) {
		uint64_t val = daxl_node_val(leaf, i), start = daxl_node_start(leaf, i), from = daxl_max_u64(start, lo);
		daxl_nblk_t len = daxl_min_u64(daxl_node_end(leaf, i), hi) - from;
		if (daxl_val_is_hole(val))
			continue;
		cut->blocks -= len;
		daxl_blk_t blk = daxl_val_blk(val) + (from - start);
		if (sp->in_place && !daxl_val_is_hole(sp->val) && blk - (from - lo) == daxl_val_blk(sp->val))
			continue;
		int err = daxl_dropped_add_run(&edit->dropped, blk, len);
		if (err)
			return err;
	}
	return 0;
}

/* Consumes the leaf: one leaf of count entries, changed in place where it is fresh and has room. */
static int cut_leaf(const struct cut *cut, struct daxl_edit *edit, unsigned count, struct daxl_node **ret_leaf)
{
	struct daxl_node *old = cut->path[0], *leaf = old;
	unsigned tail = old->count - cut->rest, to = cut->keep + cut->nmid;
	if (!old->owner || count > old->cap) {
		leaf = daxl_tree_node(edit, 0, count);
		if (!leaf)
			return -ENOMEM;
	}
	uint64_t *end = daxl_node_ends(leaf), *val = daxl_node_vals(leaf);
	uint64_t blocks = old->blocks + cut->blocks;
	if (to == cut->rest && leaf->cap == old->cap) { /* a boundary moves, and nothing behind it: one copy or none */
		if (leaf != old)
			memcpy(leaf->word, old->word, daxl_node_size(old->cap) - sizeof(*old));
	} else {
		if (leaf != old) {
			memcpy(end, daxl_node_ends(old), cut->keep * sizeof(uint64_t));
			memcpy(val, daxl_node_vals(old), cut->keep * sizeof(uint64_t));
		}
		memmove(end + to, daxl_node_ends(old) + cut->rest, tail * sizeof(uint64_t));
		memmove(val + to, daxl_node_vals(old) + cut->rest, tail * sizeof(uint64_t));
		for (unsigned i = count; i < leaf->cap; i++)
			end[i] = DAXL_FBLK_INF;
	}
	daxl_node_shift(end, to, count, cut->shift);
	uint64_t at = cut->keep != 0 ? end[cut->keep - 1] : 0;
	for (unsigned i = 0; i < cut->nmid; i++) {
		at += cut->mid[i].len;
		end[cut->keep + i] = at;
		val[cut->keep + i] = cut->mid[i].val;
	}
	leaf->count = (uint16_t)count;
	leaf->blocks = blocks;
	leaf->runs = count;
	if (leaf != old)
		daxl_tree_retire(edit, old);
	*ret_leaf = leaf;
	return 0;
}

/* Copies the path above depth, whose new node at that depth replaces the old one: same shapes, ends moved. */
static int cut_copy_path(const struct cut *cut, struct daxl_edit *edit, struct daxl_node *node, unsigned depth,
                         uint64_t runs)
{
	while (depth++ < cut->top) {
		struct daxl_node *up;
		unsigned i = cut->idx[depth];
		int err = daxl_tree_own(edit, cut->path[depth], &up);
		if (err)
			return err;
		daxl_node_vals(up)[i] = daxl_ref_of(node);
		daxl_node_shift(daxl_node_ends(up), i, up->count, cut->shift);
		up->blocks += cut->blocks;
		up->runs += runs;
		node = up;
	}
	edit->root = node;
	return 0;
}

/*
 * Entries that became too few for a node of their own (or none) are combined with a neighbour below the same parent;
 * [*first, *last) are the parent's children that the result replaces.
 */
static int combine(struct daxl_edit *edit, struct daxl_node *parent, unsigned i, struct daxl_entries *ents,
                   const struct daxl_sums *sums, struct daxl_node *out[2], unsigned *made, unsigned *first,
                   unsigned *last)
{
	*made = 0;
	*first = i;
	*last = i + 1;
	if (ents->count == 0)
		return 0;
	unsigned depth = parent->depth - 1u, with = i != 0 ? i - 1 : 1;
	struct daxl_node *near = daxl_node_child(parent, with);
	struct daxl_sums both = { sums->blocks + near->blocks, sums->runs + near->runs };
	struct daxl_entries all;
	all.count = 0;
	if (with < i)
		daxl_entries_add_range(&all, near, 0, near->count);
	for (unsigned k = 0; k < ents->count; k++)
		daxl_entries_add(&all, ents->end[k] - (k != 0 ? ents->end[k - 1] : 0), ents->val[k]);
	if (with > i)
		daxl_entries_add_range(&all, near, 0, near->count);
	daxl_tree_retire(edit, near);
	*first = with < i ? with : i;
	*last = *first + 2;
	return daxl_tree_emit_merged(edit, depth, &all, &both, out, made);
}

/* Consumes the path: the leaf's new entries make other than one good leaf, and the levels above follow. */
static int cut_reshape(const struct cut *cut, struct daxl_edit *edit, struct daxl_entries *ents)
{
	struct daxl_node *out[2];
	uint64_t runs = ents->count - (uint64_t)cut->path[0]->runs;
	struct daxl_sums sums = { cut->path[0]->blocks + cut->blocks, ents->count };
	daxl_tree_retire(edit, cut->path[0]);
	for (unsigned depth = 0;; depth++) {
		/* ents are the new entries of the node at this depth, which is gone. */
		unsigned made = 0, first, last;
		if (depth == cut->top && depth != 0 && ents->count == 1) {
			edit->root = daxl_ref_node(ents->val[0]);
			return 0;
		}
		bool loose = depth < cut->top && ents->count < DAXL_NODE_MIN;
		if (!loose && ents->count != 0) {
			int err = daxl_tree_emit(edit, depth, ents, &sums, out, &made);
			if (err)
				return err;
		}
		if (depth == cut->top) {
			edit->root = NULL;
			return made != 0 ? daxl_tree_root(edit, out, made, &edit->root) : 0;
		}
		struct daxl_node *up = cut->path[depth + 1];
		first = cut->idx[depth + 1];
		last = first + 1;
		if (loose) {
			int err = combine(edit, up, first, ents, &sums, out, &made, &first, &last);
			if (err)
				return err;
		}
		if (!loose && made == 1)
			return cut_copy_path(cut, edit, out[0], depth, runs);
		ents->count = 0;
		daxl_entries_add_range(ents, up, 0, first);
		for (unsigned i = 0; i < made; i++)
			daxl_entries_add_node(ents, out[i]);
		daxl_entries_add_range(ents, up, last, up->count);
		sums.blocks = up->blocks + cut->blocks;
		sums.runs = up->runs + runs;
		daxl_tree_retire(edit, up);
	}
}

/* Notes the runs in a range that a mapped run replaces in place, all but those that stay where they are. */
struct keep {
	struct daxl_edit *edit;
	uint64_t origin; /* block - file block of what is set */
	bool note;       /* false: only look for a block that stays */
};

static int keep_run(daxl_fblk_t at, const struct daxl_run *run, void *arg)
{
	const struct keep *keep = arg;
	if (run->flags & DAXL_RUN_HOLE)
		return 0;
	bool stays = run->blk - at == keep->origin;
	if (!keep->note)
		return stays;
	return stays ? 0 : daxl_dropped_add_run(&keep->edit->dropped, run->blk, run->len);
}

/* Cuts the range out and puts the sides together around the new run. */
static int splice_apart(struct daxl_edit *edit, const struct daxl_splice *sp)
{
	bool noted = false;
	int err = 0;
	if (sp->in_place && !daxl_val_is_hole(sp->val)) {
		struct keep keep = { edit, daxl_val_blk(sp->val) - sp->lo, false };
		noted = keep.note = daxl_rope_walk(edit->root, sp->lo, sp->hi, keep_run, &keep) != 0;
		if (noted)
			err = daxl_rope_walk(edit->root, sp->lo, sp->hi, keep_run, &keep);
	}
	struct daxl_node *left, *mid, *right, *run = NULL;
	if (!err)
		err = daxl_tree_split(edit, edit->root, sp->lo, &left, &right);
	if (!err)
		err = daxl_tree_split(edit, right, sp->hi - sp->lo, &mid, &right);
	if (!err && sp->len != 0)
		err = daxl_tree_run(edit, sp->len, sp->val, &run);
	if (err)
		return err;
	if (noted)
		daxl_tree_drop_nodes(edit, mid);
	else
		err = daxl_tree_drop(edit, mid);
	if (!err)
		err = daxl_tree_glue(edit, left, run, &left);
	return err ? err : daxl_tree_glue(edit, left, right, &edit->root);
}

/* Replaces the range; needs the file's mutex. */
int daxl_splice(struct daxl_edit *edit, const struct daxl_splice *sp)
{
	assert(sp->lo <= sp->hi && sp->hi <= daxl_rope_len(edit->root));
	if (!edit->root)
		return sp->len != 0 ? daxl_tree_run(edit, sp->len, sp->val, &edit->root) : 0;
	struct cut cut;
	if (!cut_plan(&cut, edit, sp))
		return splice_apart(edit, sp);
	int err = cut_drop(&cut, edit, sp);
	if (err)
		return err;
	struct daxl_node *leaf = cut.path[0];
	unsigned count = cut.keep + cut.nmid + (leaf->count - cut.rest);
	unsigned min = cut.top != 0 ? DAXL_NODE_MIN : 1;
	if (count >= min && count <= DAXL_NODE_MAX) {
		uint64_t runs = count - (uint64_t)leaf->count;
		err = cut_leaf(&cut, edit, count, &leaf);
		return err ? err : cut_copy_path(&cut, edit, leaf, 0, runs);
	}
	struct daxl_entries ents;
	ents.count = 0;
	daxl_entries_add_range(&ents, leaf, 0, cut.keep);
	for (unsigned i = 0; i < cut.nmid; i++)
		daxl_entries_add(&ents, cut.mid[i].len, cut.mid[i].val);
	daxl_entries_add_range(&ents, leaf, cut.rest, leaf->count);
	return cut_reshape(&cut, edit, &ents);
}
