/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A file's map: a rope of runs that is never changed in place.
 *
 * A rope is the sequence of a file's runs from block 0; holes are runs too, so lengths add up. It is a
 * B+tree of immutable nodes whose keys are *relative to the node*: entry i ends at end[i] blocks from the
 * node's own start. Shifting what follows a cut (collapse, insert) therefore touches one path only. Past the
 * rope's total length everything is a hole; a rope never ends in a hole run. NULL is the empty rope. Neighbouring
 * runs that continue each other (same flags, contiguous blocks; or both holes) are always merged, so
 * the run count is canonical for a given map.
 *
 * An edit path-copies what it touches. Until it is committed nothing of the old rope has changed, and aborting
 * frees what was built. Committing yields the new root and what the old rope lost (struct daxl_dropped): nodes no longer reachable and block runs
 * no longer mapped. Both may be reclaimed only after a grace period; whole subtrees that a cut drops are
 * not walked before that, so truncating 10^5 runs costs O(log n) on the caller's path.
 *
 * Readers hold the RCU read lock (or otherwise keep the version alive) and call the lookup functions on a root.
 * Writers hold the file's mutex.
 */
#ifndef DAXL_MAP_ROPE_H
#define DAXL_MAP_ROPE_H

#include <stddef.h>

#include "base/compiler.h"
#include "base/units.h"
#include "map/slab.h"

#define DAXL_RUN_HOLE 1u
#define DAXL_RUN_UNWRITTEN 2u

struct daxl_run {
	daxl_nblk_t len;
	daxl_blk_t blk; /* 0 for a hole */
	uint32_t flags; /* DAXL_RUN_* */
};

struct daxl_node; /* immutable once published; rope_node.h for the folder itself */

#define DAXL_ROPE_DEPTH_MAX 12 /* levels, leaf included */

/* The run that holds block at: out->blk is at's own block, out->len what is left of the run from at. Past the end: a hole of
 * length DAXL_FBLK_INF - at. O(log runs), no allocation, no lock. */
void daxl_rope_lookup(const struct daxl_node *root, daxl_fblk_t at, struct daxl_run *out);
/* Blocks covered by the rope (end of its last run); 0 for NULL. */
daxl_nblk_t daxl_rope_len(const struct daxl_node *root);
/* Runs of the whole rope, holes inside included, and mapped blocks: one load. */
uint64_t daxl_rope_runs(const struct daxl_node *root);
daxl_nblk_t daxl_rope_blocks(const struct daxl_node *root);
/* Calls fn for each run in [start, end), clipped, in order, trailing implicit hole included when end reaches past the rope (as one
 * run; end may be DAXL_FBLK_INF: then the implicit hole is not reported). fn's nonzero return stops and is returned. */
typedef int (*daxl_run_fn)(daxl_fblk_t at, const struct daxl_run *run, void *arg);
int daxl_rope_walk(const struct daxl_node *root, daxl_fblk_t start, daxl_fblk_t end, daxl_run_fn fn, void *arg);
/* The same for a range, not empty and not endless, that most often lies in one run: one look at the map then, and fn is inlined. */
static inline int daxl_rope_walk_short(const struct daxl_node *root, daxl_fblk_t start, daxl_fblk_t end, daxl_run_fn fn, void *arg)
{
	struct daxl_run run;

	daxl_rope_lookup(root, start, &run);
	if (daxl_unlikely(run.len < end - start))
		return daxl_rope_walk(root, start, end, fn, arg);
	run.len = end - start;
	return fn(start, &run, arg);
}
/* Calls fn for what is mapped in [start, end), in order; blocks that follow each other in the pool are given as one, whatever lies between them
 * in the file. For who counts blocks: several times as fast as a walk. */
typedef void (*daxl_blocks_fn)(daxl_blk_t blk, daxl_nblk_t len, void *arg);
void daxl_rope_each_mapped(const struct daxl_node *root, daxl_fblk_t start, daxl_fblk_t end, daxl_blocks_fn fn, void *arg);

/*
 * What an edit took out of the published rope. The account is exact: every block of the old rope and every block which
 * the edit was given by set or copy is afterwards either mapped by the new rope or listed here, once for each time it
 * was mapped or given. A block set or copied to where it already is counts once only: it is neither given nor dropped.
 */
struct daxl_dropped_run {
	daxl_blk_t blk;
	daxl_nblk_t len;
};
struct daxl_dropped {
	struct daxl_node *nodes;    /* replaced nodes, linked by next: the node itself only */
	struct daxl_node *subtrees; /* dropped whole: every node below and every block in it */
	struct daxl_dropped_run *runs; /* blocks dropped from replaced leaves; NULL: they are the inline ones */
	size_t nruns;
	struct daxl_dropped_run inline_runs[1]; /* so that a small edit allocates no array; the struct may be copied */
};

struct daxl_edit {
	struct daxl_slab *slab;
	struct daxl_node *old_root;
	struct daxl_node *root; /* the rope as edited so far; readable with daxl_rope_lookup and walk */
	struct daxl_dropped dropped;
	int64_t runs_delta;   /* change of the number of runs (holes inside the rope count) where known: see daxl_rope_runs */
	int64_t blocks_delta; /* change of mapped blocks */
	size_t nodes_new;     /* nodes this edit added to the published rope: pages a checkpoint will have to write */
	/* further fields belong to lib/map */
	struct daxl_node *fresh; /* nodes made by this edit, for abort; the struct must not move meanwhile */
};

/* Begins an edit of old_root (not changed until after commit). The struct is the caller's and stays where it is until commit or abort;
 * nothing is allocated. */
void daxl_edit_begin(struct daxl_edit *edit, struct daxl_slab *slab, struct daxl_node *old_root);
/* Frees everything built. The old rope is as it was. Legal after any failure. */
void daxl_edit_abort(struct daxl_edit *edit);
/* Ends the edit: returns the new root and hands *dropped (to be kept with the old version until the grace period). Cannot fail.
 * dropped's inline storage is moved too. */
struct daxl_node *daxl_edit_commit(struct daxl_edit *edit, struct daxl_dropped *dropped);

/* Each returns 0 or -ENOMEM (the edit is then only good for abort) or -EFBIG (depth or length limits). Several edits may follow one another: later ones see earlier
 * ones' result in edit->root and reuse this edit's own fresh nodes in place. */
/* Replaces the blocks of [at, at + run->len) by run (a hole or blocks). What was mapped there and is not the very same block is dropped. */
int daxl_edit_set(struct daxl_edit *edit, daxl_fblk_t at, const struct daxl_run *run);
/* Clears UNWRITTEN from every mapped run in [at, at + len); nothing is dropped. O(log n) for each such run. */
int daxl_edit_convert(struct daxl_edit *edit, daxl_fblk_t at, daxl_nblk_t len);
/* Drops [at, end of rope): truncate. */
int daxl_edit_cut(struct daxl_edit *edit, daxl_fblk_t at);
/* Collapse: drops [at, at + len) and moves what follows down. O(log n). */
int daxl_edit_remove(struct daxl_edit *edit, daxl_fblk_t at, daxl_nblk_t len);
/* Insert: a hole of len at at, what follows moves up. O(log n). */
int daxl_edit_insert(struct daxl_edit *edit, daxl_fblk_t at, daxl_nblk_t len);
/* Clone: replaces [at, at + len) by what src maps in [src_at, src_at + len), holes included, flags kept. src is not changed; may be the same rope's
 * old root. Caller has counted the new sharers. */
int daxl_edit_copy(struct daxl_edit *edit, daxl_fblk_t at, const struct daxl_node *src, daxl_fblk_t src_at,
                   daxl_nblk_t len);
/* Exchange: swaps [a_at, +len) of edit a with [b_at, +len) of edit b; O(log runs); nothing is dropped but replaced nodes. a and b may be the same edit if
 * the ranges do not overlap. Two edits that exchanged share one fate: both are committed or both aborted. */
int daxl_edit_exchange(struct daxl_edit *a, daxl_fblk_t a_at, struct daxl_edit *b, daxl_fblk_t b_at, daxl_nblk_t len);

/* After the grace period. First the blocks: fn for all dropped blocks (subtrees are walked here). */
void daxl_dropped_each_run(const struct daxl_dropped *dropped, daxl_blocks_fn fn, void *arg);
/* Then the nodes: page_fn (may be NULL) for both media pages (0: none) of each node that had any, then frees all nodes and dropped's own memory. Empties *dropped. */
void daxl_dropped_free(struct daxl_dropped *dropped, struct daxl_slab *slab,
                       void (*page_fn)(daxl_page_t page, daxl_page_t copy, void *arg), void *arg);
/* A whole rope as one dropped subtree (delete of a file). */
void daxl_dropped_add_rope(struct daxl_dropped *dropped, struct daxl_node *root);

/* Whole-rope counts, by walking: for load and check. */
struct daxl_rope_counts {
	uint64_t runs, blocks, nodes;
};
void daxl_rope_count(const struct daxl_node *root, struct daxl_rope_counts *counts);
/* Debug and tests: every invariant (ends ascend, counts in bounds, merged, depth equal, no trailing hole); 0 or -EUCLEAN with a message. */
int daxl_rope_verify(const struct daxl_node *root);

#endif
