/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Copying a range of a rope. Files share blocks, never nodes: whole subtrees are copied node by node as they are, and
 * only the two boundary paths are cut to size and joined to them.
 */
#include <errno.h>
#include <string.h>

#include "map/rope_tree.h"

/* A fresh node to copy node to, whose lines are asked for, to be stored to. NULL: no memory. */
static struct daxl_node *copy_node(struct daxl_edit *edit, const struct daxl_node *node)
{
	struct daxl_node *copy = daxl_tree_node(edit, node->depth, node->count);
	if (!copy)
		return NULL;
	copy->blocks = node->blocks;
	copy->runs = node->runs;
	for (size_t at = DAXL_CACHE_LINE; at < daxl_node_size(copy->cap); at += DAXL_CACHE_LINE)
		__builtin_prefetch((char *)copy + at, 1);
	return copy;
}

/*
 * Copies of children [from, to), not none, with all below them, as references. What is copied lies in no cache, nor does
 * what it is copied to: while one child is copied the lines of the next are on their way, from and to.
 */
static int copy_children(struct daxl_edit *edit, const struct daxl_node *node, unsigned from, unsigned to, uint64_t *refs)
{
	struct daxl_node *next = copy_node(edit, daxl_node_child(node, from));
	for (unsigned i = from; i < to; i++) {
		const struct daxl_node *child = daxl_node_child(node, i);
		struct daxl_node *copy = next;
		if (!copy)
			return -ENOMEM;
		refs[i - from] = daxl_ref_of(copy);
		if (i + 2 < to)
			daxl_child_prefetch(node, i + 2);
		if (i + 1 < to)
			next = copy_node(edit, daxl_node_child(node, i + 1));
		daxl_tree_copy_entries(copy, child);
		int err = child->depth != 0 ? copy_children(edit, child, 0, child->count, daxl_node_vals(copy)) : 0;
		if (err)
			return err;
	}
	return 0;
}

/* A fresh copy of the whole tree. */
static int copy_whole(struct daxl_edit *edit, const struct daxl_node *root, struct daxl_node **ret_root)
{
	struct daxl_node *copy = copy_node(edit, root);
	if (!copy)
		return -ENOMEM;
	daxl_tree_copy_entries(copy, root);
	*ret_root = copy;
	return root->depth != 0 ? copy_children(edit, root, 0, root->count, daxl_node_vals(copy)) : 0;
}

/* Copies of whole children [from, to) as a tree; NULL of none. */
static int copy_part(struct daxl_edit *edit, const struct daxl_node *node, unsigned from, unsigned to,
                     struct daxl_node **ret_root)
{
	uint64_t refs[DAXL_NODE_MAX];
	struct daxl_entries ents;
	struct daxl_node *out[2] = { NULL, NULL };
	unsigned made;
	int err = from < to ? copy_children(edit, node, from, to, refs) : 0;
	if (err)
		return err;
	ents.count = 0;
	for (unsigned i = from; i < to; i++) {
		out[0] = daxl_ref_node(refs[i - from]);
		daxl_entries_add_node(&ents, out[0]);
	}
	if (ents.count > 1)
		err = daxl_tree_emit(edit, node->depth, &ents, NULL, out, &made);
	if (!err)
		*ret_root = out[0];
	return err;
}

/* A fresh copy of [from, to), which lies inside root and is not empty. */
int daxl_tree_copy(struct daxl_edit *edit, const struct daxl_node *root, daxl_nblk_t from, daxl_nblk_t to,
                   struct daxl_node **ret_root)
{
	assert(from < to && to <= daxl_node_len(root));
	if (from == 0 && to == daxl_node_len(root))
		return copy_whole(edit, root, ret_root);
	unsigned i = daxl_node_search(root, from), j = daxl_node_search(root, to - 1);
	if (root->depth == 0) {
		struct daxl_entries ents;
		struct daxl_node *out[2];
		unsigned made;
		ents.count = 0;
		for (unsigned k = i; k <= j; k++) {
			uint64_t start = daxl_node_start(root, k), first = daxl_max_u64(start, from);
			daxl_entries_add(&ents, daxl_min_u64(daxl_node_end(root, k), to) - first,
			                 daxl_val_advance(daxl_node_val(root, k), first - start));
		}
		int err = daxl_tree_emit(edit, 0, &ents, NULL, out, &made);
		if (!err)
			*ret_root = out[0];
		return err;
	}
	uint64_t i_start = daxl_node_start(root, i), j_start = daxl_node_start(root, j);
	if (i == j)
		return daxl_tree_copy(edit, daxl_node_child(root, i), from - i_start, to - i_start, ret_root);
	struct daxl_node *left, *mid, *right;
	int err = daxl_tree_copy(edit, daxl_node_child(root, i), from - i_start, daxl_node_end(root, i) - i_start,
	                         &left);
	if (!err)
		err = copy_part(edit, root, i + 1, j, &mid);
	if (!err)
		err = daxl_tree_join(edit, left, mid, &left);
	if (!err)
		err = daxl_tree_copy(edit, daxl_node_child(root, j), 0, to - j_start, &right);
	return err ? err : daxl_tree_join(edit, left, right, ret_root);
}
