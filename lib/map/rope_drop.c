/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What an edit took out of the published rope, until a grace period has passed.
 *
 * Replaced nodes and whole subtrees hang on two lists through their next field, which only the writer that retires a
 * node uses. Blocks of replaced leaves are listed one by one; a subtree's blocks are found by walking it, after the
 * grace period. runs is NULL while the inline run suffices, so that the struct may be copied; after that it has room for
 * RUNS_MIN, then for each power of two.
 */
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/hook.h"
#include "map/rope_tree.h"

static const struct daxl_dropped_run *dropped_runs(const struct daxl_dropped *dropped)
{
	return dropped->runs ? dropped->runs : dropped->inline_runs;
}

#define RUNS_MIN 16u

/* Whether n runs fill their array. */
static bool is_full(size_t n)
{
	return n < RUNS_MIN ? n == DAXL_ARRAY_LEN(((struct daxl_dropped *)NULL)->inline_runs) : (n & (n - 1)) == 0;
}

/* Notes a run, joined to the last one if it continues it. */
int daxl_dropped_add_run(struct daxl_dropped *dropped, daxl_blk_t blk, daxl_nblk_t len)
{
	struct daxl_dropped_run *runs = dropped->runs ? dropped->runs : dropped->inline_runs;
	size_t n = dropped->nruns;
	if (n != 0 && runs[n - 1].blk + runs[n - 1].len == blk) {
		runs[n - 1].len += len;
		return 0;
	}
	if (is_full(n)) {
		size_t cap = n < RUNS_MIN ? RUNS_MIN : n * 2;
		struct daxl_dropped_run *grown = daxl_realloc(dropped->runs, cap * sizeof(*grown));
		if (!grown)
			return daxl_fail(ENOMEM, "rope: no memory to note %zu dropped runs", cap);
		if (!dropped->runs)
			memcpy(grown, dropped->inline_runs, n * sizeof(*grown));
		dropped->runs = runs = grown;
	}
	runs[n].blk = blk;
	runs[n].len = len;
	dropped->nruns = n + 1;
	return 0;
}

/* Adds a whole rope, which nobody publishes any more. */
void daxl_dropped_add_rope(struct daxl_dropped *dropped, struct daxl_node *root)
{
	if (!root)
		return;
	root->next = dropped->subtrees;
	dropped->subtrees = root;
}

/* Calls fn for every dropped run; the grace period is over. */
void daxl_dropped_each_run(const struct daxl_dropped *dropped, daxl_blocks_fn fn, void *arg)
{
	for (size_t i = 0; i < dropped->nruns; i++)
		fn(dropped_runs(dropped)[i].blk, dropped_runs(dropped)[i].len, arg);
	for (const struct daxl_node *node = dropped->subtrees; node; node = node->next)
		daxl_rope_each_mapped(node, 0, DAXL_FBLK_INF, fn, arg);
}

static void free_one(struct daxl_slab *slab, struct daxl_node *node,
                     void (*page_fn)(daxl_page_t page, daxl_page_t copy, void *arg), void *arg)
{
	if (page_fn && (node->page[0] != 0 || node->page[1] != 0))
		page_fn(node->page[0], node->page[1], arg);
	daxl_node_free(slab, node);
}

static void free_below(struct daxl_slab *slab, struct daxl_node *node,
                       void (*page_fn)(daxl_page_t page, daxl_page_t copy, void *arg), void *arg)
{
	for (unsigned i = 0; node->depth != 0 && i < node->count; i++) {
		if (i + 1u < node->count)
			__builtin_prefetch(daxl_node_child(node, i + 1));
		free_below(slab, daxl_node_child(node, i), page_fn, arg);
	}
	free_one(slab, node, page_fn, arg);
}

/* Frees all nodes and the list of runs; the grace period is over and the blocks have been seen to. */
void daxl_dropped_free(struct daxl_dropped *dropped, struct daxl_slab *slab,
                       void (*page_fn)(daxl_page_t page, daxl_page_t copy, void *arg), void *arg)
{
	for (struct daxl_node *node = dropped->nodes, *next; node; node = next) {
		next = node->next;
		free_one(slab, node, page_fn, arg);
	}
	for (struct daxl_node *node = dropped->subtrees, *next; node; node = next) {
		next = node->next;
		free_below(slab, node, page_fn, arg);
	}
	daxl_free(dropped->runs);
	*dropped = (struct daxl_dropped){ 0 };
}
