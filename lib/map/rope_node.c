/* SPDX-License-Identifier: BSD-3-Clause */
/* A node's memory and sums, and what can be asked of a rope as a whole. */
#include "map/rope_node.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/error.h"

/* A published, unsealed node of room for count entries; NULL: no memory. */
struct daxl_node *daxl_node_new(struct daxl_slab *slab, unsigned depth, unsigned count)
{
	assert(count >= 1 && count <= DAXL_NODE_MAX && depth < DAXL_ROPE_DEPTH_MAX);
	unsigned cap = daxl_node_cap(count);
	struct daxl_node *node = daxl_slab_alloc(slab, daxl_node_size(cap));
	if (!node)
		return NULL;
	memset(node, 0, DAXL_CACHE_LINE); /* with the word before the ends */
	node->count = (uint16_t)count;
	node->cap = (uint16_t)cap;
	node->depth = (uint8_t)depth;
	return node;
}

/* Pads end[] and computes the sums; the caller is the only one who can reach the node. */
void daxl_node_seal(struct daxl_node *node)
{
	for (unsigned i = node->count; i < node->cap; i++)
		daxl_node_ends(node)[i] = DAXL_FBLK_INF;
	uint64_t blocks = 0, runs = 0;
	for (unsigned i = 0; i < node->count; i++) {
		if (node->depth != 0) {
			blocks += daxl_node_child(node, i)->blocks;
			runs += daxl_node_child(node, i)->runs;
		} else if (!daxl_val_is_hole(daxl_node_val(node, i))) {
			blocks += daxl_node_end(node, i) - daxl_node_start(node, i);
		}
	}
	node->blocks = blocks;
	node->runs = node->depth != 0 ? runs : node->count;
}

/* Frees the node alone; nobody can reach it any more. */
void daxl_node_free(struct daxl_slab *slab, struct daxl_node *node)
{
	daxl_slab_free(slab, node, daxl_node_size(node->cap));
}

/* Frees the node and all below it; nobody can reach them any more. */
void daxl_node_free_tree(struct daxl_slab *slab, struct daxl_node *root)
{
	if (!root)
		return;
	if (root->depth != 0) {
		for (unsigned i = 0; i < root->count; i++)
			daxl_node_free_tree(slab, daxl_node_child(root, i));
	}
	daxl_node_free(slab, root);
}

static uint64_t daxl_node_count_below(const struct daxl_node *node)
{
	uint64_t n = 1;
	if (node->depth == 1)
		return n + node->count;
	for (unsigned i = 0; node->depth != 0 && i < node->count; i++)
		n += daxl_node_count_below(daxl_node_child(node, i));
	return n;
}

/* Counts runs, blocks and nodes; the version is kept alive by the caller. */
void daxl_rope_count(const struct daxl_node *root, struct daxl_rope_counts *counts)
{
	*counts = (struct daxl_rope_counts){ 0 };
	if (!root)
		return;
	counts->runs = root->runs;
	counts->blocks = root->blocks;
	counts->nodes = daxl_node_count_below(root);
}

/* What verification carries along the leaves. */
struct verify {
	bool any;      /* a run was seen */
	uint64_t val;  /* the last run's word */
	uint64_t len;  /* and its length */
	daxl_fblk_t at; /* where the next run starts */
};

static int verify_leaf(const struct daxl_node *node, struct verify *v, uint64_t *ret_blocks)
{
	uint64_t blocks = 0;
	for (unsigned i = 0; i < node->count; i++) {
		uint64_t val = daxl_node_val(node, i);
		uint64_t len = daxl_node_end(node, i) - daxl_node_start(node, i);
		if (daxl_val_is_hole(val) ? val != DAXL_VAL_HOLE
		                          : (val & ~(DAXL_VAL_UNWRITTEN | DAXL_VAL_BLOCK_MASK)) != 0 ||
		                                    len > DAXL_VAL_BLOCK_MASK - daxl_val_blk(val))
			return daxl_fail(EUCLEAN, "rope: run at block %" PRIu64 " has the bad value %#" PRIx64,
			                 v->at, val);
		if (v->any && daxl_val_continues(v->val, v->len, val))
			return daxl_fail(EUCLEAN, "rope: run at block %" PRIu64 " continues the run before it", v->at);
		blocks += daxl_val_is_hole(val) ? 0 : len;
		v->any = true;
		v->val = val;
		v->len = len;
		v->at += len;
	}
	*ret_blocks = blocks;
	return 0;
}

static int verify_node(const struct daxl_node *node, bool is_root, struct verify *v)
{
	unsigned min = !is_root ? DAXL_NODE_MIN : node->depth != 0 ? 2 : 1;
	if (node->count < min || node->count > DAXL_NODE_MAX || node->count > node->cap ||
	    node->cap != daxl_node_cap(node->cap))
		return daxl_fail(EUCLEAN, "rope: node at block %" PRIu64 " has %u entries, room for %u", v->at,
		                 (unsigned)node->count, (unsigned)node->cap);
	uint64_t last = node->word[0];
	if (last != 0)
		return daxl_fail(EUCLEAN, "rope: the node at block %" PRIu64 " does not start at 0", v->at);
	for (unsigned i = 0; i < node->count; i++) {
		uint64_t end = daxl_node_end(node, i);
		if (end <= last || end > DAXL_FBLK_INF - v->at)
			return daxl_fail(EUCLEAN, "rope: ends do not ascend in the node at block %" PRIu64, v->at);
		last = end;
	}
	for (unsigned i = node->count; i < node->cap; i++) {
		if (daxl_node_end(node, i) != DAXL_FBLK_INF)
			return daxl_fail(EUCLEAN, "rope: node at block %" PRIu64 " is not padded", v->at);
	}
	uint64_t blocks = 0, runs = node->count;
	if (node->depth == 0) {
		int err = verify_leaf(node, v, &blocks);
		if (err)
			return err;
	} else {
		runs = 0;
		for (unsigned i = 0; i < node->count; i++) {
			const struct daxl_node *child = daxl_node_child(node, i);
			daxl_fblk_t at = v->at;
			if (child->depth != node->depth - 1)
				return daxl_fail(EUCLEAN, "rope: depth %u below depth %u at block %" PRIu64,
				                 (unsigned)child->depth, (unsigned)node->depth, at);
			if (daxl_node_val(node, i) != daxl_ref_of(child))
				return daxl_fail(EUCLEAN, "rope: wrong reference to the node at block %" PRIu64, at);
			if (child->owner && !node->owner)
				return daxl_fail(EUCLEAN, "rope: fresh node below a published one at block %" PRIu64,
				                 at);
			int err = verify_node(child, false, v);
			if (err)
				return err;
			if (v->at - at != daxl_node_end(node, i) - daxl_node_start(node, i))
				return daxl_fail(EUCLEAN, "rope: node at block %" PRIu64 " is not as long as its parent says",
				                 at);
			blocks += child->blocks;
			runs += child->runs;
		}
	}
	if (blocks != node->blocks || runs != node->runs)
		return daxl_fail(EUCLEAN, "rope: wrong sums in the node that ends at block %" PRIu64, v->at);
	return 0;
}

/* Checks every invariant by walking; the version is kept alive by the caller. */
int daxl_rope_verify(const struct daxl_node *root)
{
	if (!root)
		return 0;
	if (root->depth >= DAXL_ROPE_DEPTH_MAX)
		return daxl_fail(EUCLEAN, "rope: depth %u", (unsigned)root->depth);
	struct verify v = { 0 };
	int err = verify_node(root, true, &v);
	if (err)
		return err;
	if (daxl_val_is_hole(v.val))
		return daxl_fail(EUCLEAN, "rope: ends in a hole at block %" PRIu64, v.at);
	return 0;
}
