/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a rope maps, for whoever counts blocks and asks neither where in the file they are nor what state they are in.
 *
 * Files are mostly written in order, so blocks follow each other in the pool from one run to the next although a hole, or
 * a run in another state, lies between them: these are given as one, and cost one compare each.
 */
#include "map/rope_node.h"

struct joined {
	daxl_blk_t first, next; /* not given yet: [first, next) */
	daxl_blocks_fn fn;
	void *arg;
};

/* Gives what has been joined. */
static void give(const struct joined *j)
{
	if (j->next != j->first)
		j->fn(j->first, j->next - j->first, j->arg);
}

/* What is mapped in [start, end) of a leaf, both counted from it and inside of it, and not empty. */
static void leaf_mapped(const struct daxl_node *leaf, daxl_fblk_t start, daxl_fblk_t end, struct joined *j)
{
	const uint64_t *word = leaf->word + (start != 0 ? daxl_node_search(leaf, start) : 0), *vals = word + 1 + leaf->cap;
	uint64_t val = daxl_val_advance(*vals, start - word[0]);
	daxl_blk_t next = j->next;
	for (;;) {
		daxl_fblk_t to = daxl_min_u64(end, *++word);
		if ((val & ~DAXL_VAL_UNWRITTEN) == next) { /* no hole is */
			next += to - start;
		} else if (!daxl_val_is_hole(val)) {
			j->next = next;
			give(j);
			j->first = daxl_val_blk(val);
			next = j->first + (to - start);
		}
		if (to == end)
			break;
		start = to;
		val = *++vals;
	}
	j->next = next;
}

/* The same for any node. */
static void node_mapped(const struct daxl_node *node, daxl_fblk_t start, daxl_fblk_t end, struct joined *j)
{
	if (node->depth == 0) {
		leaf_mapped(node, start, end, j);
		return;
	}
	for (unsigned i = start != 0 ? daxl_node_search(node, start) : 0; start < end; i++) {
		daxl_fblk_t first = daxl_node_start(node, i), to = daxl_min_u64(end, daxl_node_end(node, i));
		if (i + 2u < node->count) /* a child takes less time than its successor's lines */
			daxl_child_prefetch(node, i + 2);
		node_mapped(daxl_node_child(node, i), start - first, to - first, j);
		start = to;
	}
}

/* Calls fn for the mapped blocks of the range; the version is kept alive by the caller. */
void daxl_rope_each_mapped(const struct daxl_node *root, daxl_fblk_t start, daxl_fblk_t end, daxl_blocks_fn fn, void *arg)
{
	struct joined j = { .fn = fn, .arg = arg };
	end = daxl_min_u64(end, daxl_rope_len(root));
	if (start >= end)
		return;
	node_mapped(root, start, end, &j);
	give(&j);
}
