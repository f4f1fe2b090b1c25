/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Copying a range of a rope. Files share blocks, never nodes: whole subtrees are copied node by node as they are, and
 * only the two boundary paths are cut to size and joined to them.
 */
#include <errno.h>
#include <string.h>

#include "map/rope_tree.h"

/* A fresh copy of the whole tree. */
static int duplicate(struct daxl_edit *edit, const struct daxl_node *root, struct daxl_node **ret_root)
{
	struct daxl_node *copy = daxl_tree_node(edit, root->depth, root->count);
	if (!copy)
		return -ENOMEM;
	daxl_tree_copy_entries(copy, root);
	copy->blocks = root->blocks;
	copy->runs = root->runs;
	uint64_t *val = daxl_node_vals(copy);
	for (unsigned i = 0; root->depth != 0 && i < root->count; i++) {
		struct daxl_node *child;
		if (i + 1u < root->count)
			daxl_child_prefetch(root, i + 1);
		int err = duplicate(edit, daxl_node_child(root, i), &child);
		if (err)
			return err;
		val[i] = daxl_ref_of(child);
	}
	*ret_root = copy;
	return 0;
}

/* Copies of whole children [from, to) as a tree. */
static int copy_children(struct daxl_edit *edit, const struct daxl_node *node, unsigned from, unsigned to,
                         struct daxl_node **ret_root)
{
	struct daxl_entries ents;
	ents.count = 0;
	struct daxl_node *out[2] = { NULL, NULL };
	unsigned made;
	for (unsigned i = from; i < to; i++) {
		int err = duplicate(edit, daxl_node_child(node, i), &out[0]);
		if (err)
			return err;
		daxl_entries_add_node(&ents, out[0]);
	}
	if (ents.count > 1) {
		int err = daxl_tree_emit(edit, node->depth, &ents, NULL, out, &made);
		if (err)
			return err;
	}
	*ret_root = out[0];
	return 0;
}

/* A fresh copy of [from, to), which lies inside root and is not empty. */
int daxl_tree_copy(struct daxl_edit *edit, const struct daxl_node *root, daxl_nblk_t from, daxl_nblk_t to,
                   struct daxl_node **ret_root)
{
	assert(from < to && to <= daxl_node_len(root));
	if (from == 0 && to == daxl_node_len(root))
		return duplicate(edit, root, ret_root);
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
		err = copy_children(edit, root, i + 1, j, &mid);
	if (!err)
		err = daxl_tree_join(edit, left, mid, &left);
	if (!err)
		err = daxl_tree_copy(edit, daxl_node_child(root, j), 0, to - j_start, &right);
	return err ? err : daxl_tree_join(edit, left, right, ret_root);
}
