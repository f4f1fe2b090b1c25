/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reading a rope. A descent subtracts the start of each child it enters, so keys stay relative. What costs time in a
 * large rope are cache misses, so the lines of the next node are asked for all at once before its header is read.
 */
#include "map/rope_node.h"

static inline void prefetch_node(const struct daxl_node *node)
{
	const char *p = (const char *)node;
	for (unsigned i = 0; i <= DAXL_NODE_MAX / 8; i++)
		__builtin_prefetch(p + (size_t)i * DAXL_CACHE_LINE);
}

/* The run at a block and what is left of it; the version is kept alive by the caller. */
void daxl_rope_lookup(const struct daxl_node *root, daxl_fblk_t at, struct daxl_run *out)
{
	if (!root || at >= daxl_node_len(root)) {
		*out = (struct daxl_run){ .len = at < DAXL_FBLK_INF ? DAXL_FBLK_INF - at : 0, .flags = DAXL_RUN_HOLE };
		return;
	}
	unsigned i;
	while (root->depth != 0) {
		i = daxl_node_search(root, at);
		const struct daxl_node *child = daxl_node_child(root, i);
		prefetch_node(child);
		at -= daxl_node_start(root, i);
		root = child;
	}
	i = daxl_node_search(root, at);
	uint64_t val = daxl_val_advance(daxl_node_val(root, i), at - daxl_node_start(root, i));
	daxl_val_run(val, daxl_node_end(root, i) - at, out);
}

/* Blocks covered by the rope. */
daxl_nblk_t daxl_rope_len(const struct daxl_node *root)
{
	return root ? daxl_node_len(root) : 0;
}

uint64_t daxl_rope_runs(const struct daxl_node *root)
{
	return root ? root->runs : 0;
}

daxl_nblk_t daxl_rope_blocks(const struct daxl_node *root)
{
	return root ? root->blocks : 0;
}

/* Walks [start, end) of node, both counted from it, whose first block is block base of the file. */
static int walk_node(const struct daxl_node *node, daxl_fblk_t base, daxl_fblk_t start, daxl_fblk_t end, daxl_run_fn fn,
                     void *arg)
{
	for (unsigned i = daxl_node_search(node, start); i < node->count; i++) {
		daxl_fblk_t first = daxl_node_start(node, i);
		if (first >= end)
			break;
		daxl_fblk_t from = daxl_max_u64(start, first);
		daxl_fblk_t to = daxl_min_u64(end, daxl_node_end(node, i));
		int stop;
		if (node->depth != 0) {
			if (i + 1 < node->count)
				daxl_node_prefetch(daxl_node_child(node, i + 1));
			stop = walk_node(daxl_node_child(node, i), base + first, from - first, to - first, fn, arg);
		} else {
			struct daxl_run run;
			daxl_val_run(daxl_val_advance(daxl_node_val(node, i), from - first), to - from, &run);
			stop = fn(base + from, &run, arg);
		}
		if (stop)
			return stop;
	}
	return 0;
}

/* Calls fn for each run of the range in order; the version is kept alive by the caller. */
int daxl_rope_walk(const struct daxl_node *root, daxl_fblk_t start, daxl_fblk_t end, daxl_run_fn fn, void *arg)
{
	daxl_nblk_t len = daxl_rope_len(root);
	if (start < len && start < end) {
		int stop = walk_node(root, 0, start, daxl_min_u64(end, len), fn, arg);
		if (stop)
			return stop;
	}
	daxl_fblk_t tail = daxl_max_u64(start, len);
	if (end == DAXL_FBLK_INF || tail >= end)
		return 0;
	struct daxl_run hole = { .len = end - tail, .flags = DAXL_RUN_HOLE };
	return fn(tail, &hole, arg);
}
