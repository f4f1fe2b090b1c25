/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ropes on the medium.
 *
 * A published node never changes, so it is written once: node->page[] says where, 0 that it never was. Writing a rope
 * therefore touches only the nodes that are new since the last time, children before parents, and a rope that did not
 * change costs nothing. Inner nodes and roots are written twice, far apart; a lost leaf costs a file a few dozen runs,
 * a lost inner node would cost it thousands. A root that is a leaf of a few runs gets no page at all: the file's record
 * holds its runs.
 *
 * Reading trusts nothing. The depth falls by exactly one on the way down, every page number is shown to the caller
 * before it is read (who refuses one that was seen before, so the work is bounded by the pool's pages), and a rope that
 * comes out obeys every rule that lib/map relies on.
 */
#ifndef DAXL_MAP_ROPE_STORE_H
#define DAXL_MAP_ROPE_STORE_H

#include "log/page.h"
#include "map/rope.h"

/* Where pages for nodes come from. */
struct daxl_rope_out {
	struct daxl_media *media;
	const uint8_t *uuid;
	uint64_t position; /* log position of the checkpoint */
	uint32_t owner;    /* file id */
	int (*page_get)(void *arg, daxl_page_t avoid, daxl_page_t *ret_page);
	void (*page_put)(void *arg, daxl_page_t page);
	void *arg;
	struct daxl_pagebuf buf;
};
/* Whether the rope's runs go into the file record: no page is written for them. */
bool daxl_rope_is_inline(const struct daxl_node *root);
/* The runs of an inline (or empty) rope as the medium holds them; returns how many. */
unsigned daxl_rope_inline_runs(const struct daxl_node *root, struct daxl_md_run *runs);
/*
 * Writes every node that has no page (flushed, not fenced), unless the rope is inline or empty. The version is kept
 * alive by the caller, the only one who writes pages. On failure (page_get's) the nodes written keep their pages and
 * the next attempt goes on from there.
 */
int daxl_rope_write(struct daxl_rope_out *out, struct daxl_node *root);

struct daxl_rope_in {
	struct daxl_media *media;
	struct daxl_slab *slab;
	const uint8_t *uuid;
	daxl_nblk_t len_max; /* no rope is longer */
	uint64_t position_end; /* its pages were written below this log position; 0: at any */
	/*
	 * A page is about to be read or is the copy of one; nonzero (a page outside of the pool or met before) ends the
	 * reading.
	 */
	int (*page_fn)(daxl_page_t page, void *arg);
	/* The page ref->page, or its copy, has been read and is good; nonzero ends the reading. May be NULL. */
	int (*read_fn)(const struct daxl_md_ref *ref, const struct daxl_page_expect *expect, const struct daxl_pagebuf *buf,
	               void *arg);
	/* A run of blocks is mapped; nonzero ends the reading. */
	int (*run_fn)(daxl_blk_t blk, daxl_nblk_t len, void *arg);
	void *arg;
	unsigned copies_used; /* pages whose first copy was bad */
	uint64_t follows; /* rope_store.c: the word of a run that would continue the one read last */
	struct daxl_pagebuf buf;
};
/*
 * Reads the rope whose root page has this depth. -EUCLEAN, -EIO, -ENOMEM; nothing is left behind but what the callbacks
 * did.
 */
int daxl_rope_read(struct daxl_rope_in *in, const struct daxl_md_ref *ref, unsigned depth, struct daxl_node **ret_root);
/* Makes the rope of n runs (0: NULL) that a file record holds. */
int daxl_rope_read_inline(struct daxl_rope_in *in, const struct daxl_md_run *runs, unsigned n,
                          struct daxl_node **ret_root);

#endif
