/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Cutting trees apart and putting them together.
 *
 * A split walks one path: at each level the children before it and those after it become two smaller nodes, and on
 * the way back up the pieces of the path are joined to them. A join descends the taller tree's edge to the height of
 * the shorter one and hangs it there; a piece with too few entries is combined with its neighbour. Both make
 * O(depth) nodes, and once a path is fresh, further cuts along it touch no published node.
 */
#include "map/rope_tree.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"

/* Appends entries [from, to) of node, whose first follows what is there. */
void daxl_entries_add_range(struct daxl_entries *ents, const struct daxl_node *node, unsigned from, unsigned to)
{
	assert(from <= to && to <= node->count && ents->count + (to - from) <= DAXL_ENTRIES_MAX);
	uint64_t shift = (ents->count != 0 ? ents->end[ents->count - 1] : 0) - daxl_node_start(node, from);
	for (unsigned i = from; i < to; i++) {
		ents->end[ents->count + i - from] = daxl_node_end(node, i) + shift;
		ents->val[ents->count + i - from] = daxl_node_val(node, i);
	}
	ents->count += to - from;
}

/* A fresh node with room for count entries, on the edit's list. */
struct daxl_node *daxl_tree_node(struct daxl_edit *edit, unsigned depth, unsigned count)
{
	struct daxl_node *node = daxl_node_new(edit->slab, depth, count);
	if (!node) {
		(void)daxl_fail(ENOMEM, "rope: no memory for a node of %u entries", count);
		return NULL;
	}
	node->owner = edit;
	node->next = edit->fresh;
	if (node->next)
		node->next->pprev = &node->next;
	node->pprev = &edit->fresh;
	edit->fresh = node;
	edit->nodes_new++;
	return node;
}

/* Fills a fresh node that has the room; sums are the caller's. */
void daxl_tree_fill(struct daxl_node *node, const struct daxl_entries *ents, unsigned from, unsigned count)
{
	assert(node->owner && count <= node->cap);
	uint64_t *end = daxl_node_ends(node);
	uint64_t start = from != 0 ? ents->end[from - 1] : 0;
	node->count = (uint16_t)count;
	for (unsigned i = 0; i < count; i++)
		end[i] = ents->end[from + i] - start;
	for (unsigned i = count; i < node->cap; i++)
		end[i] = DAXL_FBLK_INF;
	memcpy(daxl_node_vals(node), ents->val + from, count * sizeof(uint64_t));
}

/* Consumes the node alone. */
void daxl_tree_retire(struct daxl_edit *edit, struct daxl_node *node)
{
	if (node->owner) {
		*node->pprev = node->next;
		if (node->next)
			node->next->pprev = node->pprev;
		node->owner->nodes_new--;
		daxl_node_free(edit->slab, node);
	} else {
		node->next = edit->dropped.nodes;
		edit->dropped.nodes = node;
	}
}

/* What entries [from, from + count) add up to; reads each child's header in an inner node. */
static struct daxl_sums entries_sums(unsigned depth, const struct daxl_entries *ents, unsigned from, unsigned count)
{
	struct daxl_sums sums = { 0, 0 };
	if (depth == 0) {
		uint64_t start = from != 0 ? ents->end[from - 1] : 0;
		for (unsigned i = from; i < from + count; i++) {
			sums.blocks += daxl_val_is_hole(ents->val[i]) ? 0 : ents->end[i] - start;
			start = ents->end[i];
		}
		sums.runs = count;
		return sums;
	}
	for (unsigned i = from; i < from + count; i++) {
		const struct daxl_node *child = daxl_ref_node(ents->val[i]);
		sums.blocks += child->blocks;
		sums.runs += child->runs;
	}
	return sums;
}

/*
 * One fresh node, or two evenly filled ones if there are more than limit entries. An odd one goes to the second: in a map
 * that grows at its end the first stays as it is, and 32 entries take 576 bytes, 33 take 704.
 */
static int emit(struct daxl_edit *edit, unsigned depth, const struct daxl_entries *ents, const struct daxl_sums *sums,
                unsigned limit, struct daxl_node *out[2], unsigned *ret_count)
{
	assert(ents->count >= 1 && ents->count <= 2 * DAXL_NODE_MAX);
	unsigned first = ents->count <= limit ? ents->count : ents->count / 2;
	struct daxl_sums all = sums ? *sums : entries_sums(depth, ents, 0, ents->count);
	struct daxl_sums here = first == ents->count ? all : entries_sums(depth, ents, 0, first);
	for (unsigned from = 0, n = 0; from < ents->count; n++) {
		struct daxl_node *node = daxl_tree_node(edit, depth, first);
		if (!node)
			return -ENOMEM;
		daxl_tree_fill(node, ents, from, first);
		node->blocks = here.blocks;
		node->runs = here.runs;
		out[n] = node;
		*ret_count = n + 1;
		from += first;
		first = ents->count - from;
		here.blocks = all.blocks - here.blocks;
		here.runs = all.runs - here.runs;
	}
	return 0;
}

/* One or two nodes, as many as are needed. */
int daxl_tree_emit(struct daxl_edit *edit, unsigned depth, const struct daxl_entries *ents,
                   const struct daxl_sums *sums, struct daxl_node *out[2], unsigned *ret_count)
{
	return emit(edit, depth, ents, sums, DAXL_NODE_MAX, out, ret_count);
}

/* The entries of two neighbours, one of them too small: one node or two of a good size. */
int daxl_tree_emit_merged(struct daxl_edit *edit, unsigned depth, const struct daxl_entries *ents,
                          const struct daxl_sums *sums, struct daxl_node *out[2], unsigned *ret_count)
{
	return emit(edit, depth, ents, sums, DAXL_NODE_FULL, out, ret_count);
}

/* A root over one or two nodes of the same depth. */
int daxl_tree_root(struct daxl_edit *edit, struct daxl_node *const nodes[2], unsigned count,
                   struct daxl_node **ret_root)
{
	if (count == 1) {
		*ret_root = nodes[0];
		return 0;
	}
	unsigned depth = nodes[0]->depth + 1u;
	if (depth >= DAXL_ROPE_DEPTH_MAX)
		return daxl_fail(EFBIG, "rope: the map needs more than %d levels", DAXL_ROPE_DEPTH_MAX);
	struct daxl_entries ents = { .count = 0 };
	daxl_entries_add_node(&ents, nodes[0]);
	daxl_entries_add_node(&ents, nodes[1]);
	unsigned made;
	struct daxl_node *out[2];
	int err = daxl_tree_emit(edit, depth, &ents, NULL, out, &made);
	if (!err)
		*ret_root = out[0];
	return err;
}

/* A tree of one run. */
int daxl_tree_run(struct daxl_edit *edit, daxl_nblk_t len, uint64_t val, struct daxl_node **ret_root)
{
	struct daxl_entries ents = { .count = 0 };
	struct daxl_node *out[2];
	unsigned made;
	daxl_entries_add(&ents, len, val);
	int err = daxl_tree_emit(edit, 0, &ents, NULL, out, &made);
	if (!err)
		*ret_root = out[0];
	return err;
}

/* Consumes two neighbours of one depth: the same two, or one or two of a good size if either is too small. */
static int pair(struct daxl_edit *edit, struct daxl_node *left, struct daxl_node *right, struct daxl_node *out[2],
                unsigned *ret_count)
{
	if (left->count >= DAXL_NODE_MIN && right->count >= DAXL_NODE_MIN) {
		out[0] = left;
		out[1] = right;
		*ret_count = 2;
		return 0;
	}
	struct daxl_sums sums = { left->blocks + right->blocks, left->runs + right->runs };
	struct daxl_entries ents;
	ents.count = 0;
	unsigned depth = left->depth;
	daxl_entries_add_range(&ents, left, 0, left->count);
	daxl_entries_add_range(&ents, right, 0, right->count);
	daxl_tree_retire(edit, left);
	daxl_tree_retire(edit, right);
	return daxl_tree_emit_merged(edit, depth, &ents, &sums, out, ret_count);
}

/* Consumes both: hangs the lower tree behind (or before) tall's entries; one or two nodes of tall's depth. */
static int hang(struct daxl_edit *edit, struct daxl_node *tall, struct daxl_node *low, bool behind,
                struct daxl_node *out[2], unsigned *ret_count)
{
	struct daxl_sums sums = { tall->blocks + low->blocks, tall->runs + low->runs };
	unsigned depth = tall->depth, made;
	struct daxl_node *edge = daxl_node_child(tall, behind ? tall->count - 1u : 0), *mid[2];
	int err;
	if (edge->depth != low->depth)
		err = hang(edit, edge, low, behind, mid, &made);
	else if (behind)
		err = pair(edit, edge, low, mid, &made);
	else
		err = pair(edit, low, edge, mid, &made);
	if (err)
		return err;
	struct daxl_entries ents;
	ents.count = 0;
	if (behind)
		daxl_entries_add_range(&ents, tall, 0, tall->count - 1u);
	for (unsigned i = 0; i < made; i++)
		daxl_entries_add_node(&ents, mid[i]);
	if (!behind)
		daxl_entries_add_range(&ents, tall, 1, tall->count);
	daxl_tree_retire(edit, tall);
	return daxl_tree_emit(edit, depth, &ents, &sums, out, ret_count);
}

/* Consumes both: one behind the other. */
int daxl_tree_join(struct daxl_edit *edit, struct daxl_node *left, struct daxl_node *right,
                   struct daxl_node **ret_root)
{
	if (!left || !right) {
		*ret_root = left ? left : right;
		return 0;
	}
	struct daxl_node *out[2];
	unsigned made;
	int err;
	if (left->depth == right->depth)
		err = pair(edit, left, right, out, &made);
	else if (left->depth > right->depth)
		err = hang(edit, left, right, true, out, &made);
	else
		err = hang(edit, right, left, false, out, &made);
	return err ? err : daxl_tree_root(edit, out, made, ret_root);
}

/* Entries [from, to) of a node as a tree: empty, the only child, or a fresh root; node is not consumed. */
static int part(struct daxl_edit *edit, const struct daxl_node *node, unsigned from, unsigned to,
                const struct daxl_sums *sums, struct daxl_node **ret_root)
{
	if (from == to) {
		*ret_root = NULL;
		return 0;
	}
	if (node->depth != 0 && to - from == 1) {
		*ret_root = daxl_node_child(node, from);
		return 0;
	}
	struct daxl_entries ents;
	ents.count = 0;
	daxl_entries_add_range(&ents, node, from, to);
	struct daxl_node *out[2];
	unsigned made;
	int err = daxl_tree_emit(edit, node->depth, &ents, sums, out, &made);
	if (!err)
		*ret_root = out[0];
	return err;
}

/* Consumes a leaf: cuts it inside, at an entry's start or within one. */
static int split_leaf(struct daxl_edit *edit, struct daxl_node *leaf, daxl_nblk_t at, struct daxl_node **ret_left,
                      struct daxl_node **ret_right)
{
	unsigned i = daxl_node_search(leaf, at);
	uint64_t start = daxl_node_start(leaf, i), val = daxl_node_val(leaf, i);
	struct daxl_entries left, right;
	left.count = right.count = 0;
	daxl_entries_add_range(&left, leaf, 0, i);
	if (at > start)
		daxl_entries_add(&left, at - start, val);
	daxl_entries_add(&right, daxl_node_end(leaf, i) - at, daxl_val_advance(val, at - start));
	daxl_entries_add_range(&right, leaf, i + 1, leaf->count);
	daxl_tree_retire(edit, leaf);
	struct daxl_node *out[2];
	unsigned made;
	int err = daxl_tree_emit(edit, 0, &left, NULL, out, &made);
	if (err)
		return err;
	*ret_left = out[0];
	err = daxl_tree_emit(edit, 0, &right, NULL, out, &made);
	if (!err)
		*ret_right = out[0];
	return err;
}

/* Adds up children [from, to). */
static struct daxl_sums children_sums(const struct daxl_node *node, unsigned from, unsigned to)
{
	struct daxl_sums sums = { 0, 0 };
	for (unsigned i = from; i < to; i++) {
		sums.blocks += daxl_node_child(node, i)->blocks;
		sums.runs += daxl_node_child(node, i)->runs;
	}
	return sums;
}

/* Consumes root: what is before at and what is behind. */
int daxl_tree_split(struct daxl_edit *edit, struct daxl_node *root, daxl_nblk_t at, struct daxl_node **ret_left,
                    struct daxl_node **ret_right)
{
	if (!root || at == 0 || at >= daxl_node_len(root)) {
		*ret_left = at == 0 ? NULL : root;
		*ret_right = at == 0 ? root : NULL;
		return 0;
	}
	if (root->depth == 0)
		return split_leaf(edit, root, at, ret_left, ret_right);
	unsigned i = daxl_node_search(root, at);
	struct daxl_node *child = daxl_node_child(root, i), *before, *behind, *left, *right;
	/* Only the shorter side's headers are read; the other side is what remains. */
	struct daxl_sums near = i < root->count / 2u ? children_sums(root, 0, i) :
	                                                children_sums(root, i + 1, root->count);
	struct daxl_sums far = { root->blocks - near.blocks - child->blocks, root->runs - near.runs - child->runs };
	bool near_first = i < root->count / 2u;
	int err = part(edit, root, 0, i, near_first ? &near : &far, &before);
	if (!err)
		err = part(edit, root, i + 1, root->count, near_first ? &far : &near, &behind);
	if (!err)
		err = daxl_tree_split(edit, child, at - daxl_node_start(root, i), &left, &right);
	if (err)
		return err;
	daxl_tree_retire(edit, root);
	err = daxl_tree_join(edit, before, left, ret_left);
	if (!err)
		err = daxl_tree_join(edit, right, behind, ret_right);
	return err;
}

/* The last run's word and length. */
static uint64_t last_run(const struct daxl_node *root, daxl_nblk_t *ret_len)
{
	while (root->depth != 0)
		root = daxl_node_child(root, root->count - 1u);
	*ret_len = daxl_node_len(root) - daxl_node_start(root, root->count - 1u);
	return daxl_node_val(root, root->count - 1u);
}

static uint64_t first_run(const struct daxl_node *root, daxl_nblk_t *ret_len)
{
	while (root->depth != 0)
		root = daxl_node_child(root, 0);
	*ret_len = daxl_node_end(root, 0);
	return daxl_node_val(root, 0);
}

/* Copies entries and padding to a fresh node with as many; sums are the caller's. */
void daxl_tree_copy_entries(struct daxl_node *copy, const struct daxl_node *node)
{
	assert(copy->count == node->count && copy->cap <= node->cap);
	/* Words past count are copied along: of end[] they are padding. A node that shrank in place has more of them. */
	if (copy->cap == node->cap) {
		memcpy(copy->word, node->word, daxl_node_size(node->cap) - sizeof(*node));
	} else {
		memcpy(copy->word, node->word, (1 + (size_t)copy->cap) * sizeof(uint64_t));
		memcpy(daxl_node_vals(copy), node->word + 1 + node->cap, node->count * sizeof(uint64_t));
	}
}

/* Consumes the node: a fresh one with the same entries. */
int daxl_tree_own(struct daxl_edit *edit, struct daxl_node *node, struct daxl_node **ret_node)
{
	if (node->owner) {
		*ret_node = node;
		return 0;
	}
	struct daxl_node *copy = daxl_tree_node(edit, node->depth, node->count);
	if (!copy)
		return -ENOMEM;
	daxl_tree_copy_entries(copy, node);
	copy->blocks = node->blocks;
	copy->runs = node->runs;
	daxl_tree_retire(edit, node);
	*ret_node = copy;
	return 0;
}

/* Consumes root: the same with its last run len blocks longer. */
static int extend_last(struct daxl_edit *edit, struct daxl_node *root, daxl_nblk_t len, bool mapped,
                       struct daxl_node **ret_root)
{
	struct daxl_node *node;
	int err = daxl_tree_own(edit, root, &node);
	if (err)
		return err;
	unsigned last = node->count - 1u;
	if (node->depth != 0) {
		struct daxl_node *child;
		err = extend_last(edit, daxl_node_child(node, last), len, mapped, &child);
		if (err)
			return err;
		daxl_node_vals(node)[last] = daxl_ref_of(child);
	}
	daxl_node_ends(node)[last] += len;
	node->blocks += mapped ? len : 0;
	*ret_root = node;
	return 0;
}

/* Consumes both: one behind the other, merged at the seam. */
int daxl_tree_glue(struct daxl_edit *edit, struct daxl_node *left, struct daxl_node *right,
                   struct daxl_node **ret_root)
{
	if (left && right) {
		daxl_nblk_t last_len, len;
		uint64_t last = last_run(left, &last_len), first = first_run(right, &len);
		if (daxl_val_continues(last, last_len, first)) {
			struct daxl_node *piece;
			int err = daxl_tree_split(edit, right, len, &piece, &right);
			if (!err)
				err = extend_last(edit, left, len, !daxl_val_is_hole(first), &left);
			if (err)
				return err;
			daxl_tree_drop_nodes(edit, piece);
		}
	}
	return daxl_tree_join(edit, left, right, ret_root);
}

/* Consumes root: at least len blocks long, with a hole behind it. */
int daxl_tree_pad(struct daxl_edit *edit, struct daxl_node *root, daxl_nblk_t len, struct daxl_node **ret_root)
{
	daxl_nblk_t have = daxl_rope_len(root);
	if (have >= len) {
		*ret_root = root;
		return 0;
	}
	struct daxl_node *hole;
	int err = daxl_tree_run(edit, len - have, DAXL_VAL_HOLE, &hole);
	return err ? err : daxl_tree_glue(edit, root, hole, ret_root);
}

/* Consumes root: without a hole at its end. */
int daxl_tree_trim(struct daxl_edit *edit, struct daxl_node *root, struct daxl_node **ret_root)
{
	daxl_nblk_t len;
	if (!root || !daxl_val_is_hole(last_run(root, &len))) {
		*ret_root = root;
		return 0;
	}
	struct daxl_node *piece;
	int err = daxl_tree_split(edit, root, daxl_node_len(root) - len, &root, &piece);
	if (err)
		return err;
	daxl_tree_drop_nodes(edit, piece);
	*ret_root = root;
	return 0;
}

/* Consumes root with its blocks; only its fresh nodes are walked. */
int daxl_tree_drop(struct daxl_edit *edit, struct daxl_node *root)
{
	if (!root)
		return 0;
	if (!root->owner) {
		daxl_dropped_add_rope(&edit->dropped, root);
		return 0;
	}
	for (unsigned i = 0; i < root->count; i++) {
		int err = 0;
		uint64_t val = daxl_node_val(root, i);
		if (root->depth != 0)
			err = daxl_tree_drop(edit, daxl_node_child(root, i));
		else if (!daxl_val_is_hole(val))
			err = daxl_dropped_add_run(&edit->dropped, daxl_val_blk(val),
			                           daxl_node_end(root, i) - daxl_node_start(root, i));
		if (err)
			return err;
	}
	daxl_tree_retire(edit, root);
	return 0;
}

/* Consumes root without its blocks. */
void daxl_tree_drop_nodes(struct daxl_edit *edit, struct daxl_node *root)
{
	if (!root)
		return;
	for (unsigned i = 0; root->depth != 0 && i < root->count; i++)
		daxl_tree_drop_nodes(edit, daxl_node_child(root, i));
	daxl_tree_retire(edit, root);
}
