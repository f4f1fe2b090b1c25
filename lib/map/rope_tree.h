/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Trees inside one edit: cutting them apart and putting them together.
 *
 * A tree here is a root (NULL: empty) that may hold any runs, a trailing hole included. Functions that *consume* a
 * tree take over its root: nodes of it which they cannot keep are freed (fresh) or retired to edit->dropped.nodes
 * (published). All return 0 or -ENOMEM or -EFBIG, after which the edit is only good for abort: nothing is unwound,
 * since abort frees every fresh node wherever it hangs. Callers hold the mutexes of the files whose nodes are
 * involved.
 */
#ifndef DAXL_MAP_ROPE_TREE_H
#define DAXL_MAP_ROPE_TREE_H

#include "map/rope_node.h"

/* Entries on their way into nodes: what two full nodes and an edit's pieces may add up to. */
#define DAXL_ENTRIES_MAX (2 * DAXL_NODE_MAX + 8)
struct daxl_entries {
	unsigned count;
	uint64_t end[DAXL_ENTRIES_MAX];
	uint64_t val[DAXL_ENTRIES_MAX];
};

/* Appends one entry of len blocks. */
static inline void daxl_entries_add(struct daxl_entries *ents, daxl_nblk_t len, uint64_t val)
{
	assert(ents->count < DAXL_ENTRIES_MAX);
	ents->end[ents->count] = (ents->count != 0 ? ents->end[ents->count - 1] : 0) + len;
	ents->val[ents->count++] = val;
}

static inline void daxl_entries_add_node(struct daxl_entries *ents, struct daxl_node *child)
{
	daxl_entries_add(ents, daxl_node_len(child), daxl_ref_of(child));
}

/* Appends entries [from, to) of node. */
void daxl_entries_add_range(struct daxl_entries *ents, const struct daxl_node *node, unsigned from, unsigned to);

/* What entries add up to, as a node has it. */
struct daxl_sums {
	uint64_t blocks, runs;
};

/* A fresh node of room for count entries, entries and sums not set. NULL: no memory. */
struct daxl_node *daxl_tree_node(struct daxl_edit *edit, unsigned depth, unsigned count);
/* Fills a fresh node: count, entries [from, from + count), padding. Sums are the caller's. */
void daxl_tree_fill(struct daxl_node *node, const struct daxl_entries *ents, unsigned from, unsigned count);
/* Copies entries and padding from a node with as many. */
void daxl_tree_copy_entries(struct daxl_node *copy, const struct daxl_node *node);
/* Consumes the node alone: frees a fresh one, retires a published one. */
void daxl_tree_retire(struct daxl_edit *edit, struct daxl_node *node);
/* One or two evenly filled fresh nodes from the entries, whose sums are given (NULL: computed). */
int daxl_tree_emit(struct daxl_edit *edit, unsigned depth, const struct daxl_entries *ents,
                   const struct daxl_sums *sums, struct daxl_node *out[2], unsigned *ret_count);
/* The same for two neighbours being combined: two nodes already where one would be nearly full. */
int daxl_tree_emit_merged(struct daxl_edit *edit, unsigned depth, const struct daxl_entries *ents,
                          const struct daxl_sums *sums, struct daxl_node *out[2], unsigned *ret_count);
/* Consumes the node alone: a fresh node with the same entries (itself if it is fresh). */
int daxl_tree_own(struct daxl_edit *edit, struct daxl_node *node, struct daxl_node **ret_node);
/* A root over the one or two nodes. */
int daxl_tree_root(struct daxl_edit *edit, struct daxl_node *const nodes[2], unsigned count,
                   struct daxl_node **ret_root);

/* A tree of one run. */
int daxl_tree_run(struct daxl_edit *edit, daxl_nblk_t len, uint64_t val, struct daxl_node **ret_root);
/* Consumes root: its first at blocks and the rest; at may be anything. */
int daxl_tree_split(struct daxl_edit *edit, struct daxl_node *root, daxl_nblk_t at, struct daxl_node **ret_left,
                    struct daxl_node **ret_right);
/* Consumes both: one behind the other, as they are. */
int daxl_tree_join(struct daxl_edit *edit, struct daxl_node *left, struct daxl_node *right,
                   struct daxl_node **ret_root);
/* Consumes both: the same, and the runs at the seam become one if they continue each other. */
int daxl_tree_glue(struct daxl_edit *edit, struct daxl_node *left, struct daxl_node *right,
                   struct daxl_node **ret_root);
/* Consumes root: the same tree with a hole behind it so that it is len blocks long (or as it is, if it is longer). */
int daxl_tree_pad(struct daxl_edit *edit, struct daxl_node *root, daxl_nblk_t len, struct daxl_node **ret_root);
/* Consumes root: the same tree without a hole at its end. */
int daxl_tree_trim(struct daxl_edit *edit, struct daxl_node *root, struct daxl_node **ret_root);
/* A copy of [from, to) of root, all of it fresh; root is not consumed. */
int daxl_tree_copy(struct daxl_edit *edit, const struct daxl_node *root, daxl_nblk_t from, daxl_nblk_t to,
                   struct daxl_node **ret_root);
/* Consumes root with its blocks: published subtrees whole, without walking them. */
int daxl_tree_drop(struct daxl_edit *edit, struct daxl_node *root);
/* Consumes root without its blocks, which stay mapped or are accounted for elsewhere. Walks it. */
void daxl_tree_drop_nodes(struct daxl_edit *edit, struct daxl_node *root);
/* Notes a block run as dropped. */
int daxl_dropped_add_run(struct daxl_dropped *dropped, daxl_blk_t blk, daxl_nblk_t len);

#endif
