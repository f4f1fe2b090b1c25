/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The node of a rope, for lib/map itself and for whoever stores and loads nodes.
 *
 * A node is a 56-byte header and one array of words, allocated for cap entries: a 0, then end[cap], then val[cap].
 * end[i] is the end of entry i counted from the node's own start, so ends ascend strictly and end[count - 1] is the
 * node's length; entry i starts at the word before end[i], for which the 0 is there. In a leaf val[i] is a block number
 * with flag bits (the very word that the medium holds), in an inner node a reference: the child's address, and in its
 * low bits how many lines of ends it has; a child's length is end[i] - end[i - 1]. Words of end[] past count hold
 * DAXL_FBLK_INF, so that a search may look at whole cache lines: cap is 4 or a multiple of 8, the slab aligns nodes to a
 * line, and the ends begin on one.
 *
 * With the number of lines in the reference a descent never waits for a node's header, and no branch of it depends on
 * what the memory has yet to deliver: where a rope is larger than the caches, lookups overlap.
 *
 * Shape: a node other than the root has DAXL_NODE_MIN to DAXL_NODE_MAX entries, an inner root two or more, a leaf root
 * one or more. MIN is a little below half of MAX, so that a node which was just split is not merged by the next edit.
 * All leaves are at depth 0. blocks and runs count what is below the node and are always exact.
 *
 * Two states. *Fresh*: owner names the edit that made it; only that edit (or one it exchanged ranges with) can reach
 * it, under the file's mutex, and may change it in place. *Published*: owner is NULL; nothing changes any more but
 * page[], which belongs to the checkpointer, and next, which belongs to the writer that retires the node (the file's
 * mutex). A fresh node's parent is always fresh.
 */
#ifndef DAXL_MAP_ROPE_NODE_H
#define DAXL_MAP_ROPE_NODE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/compiler.h"
#include "base/units.h"
#include "map/rope.h"
#include "map/slab.h"

/* Entries of a node: at most as many as a lookup counts at once (rope_lookup.c); and 64 bytes and 24 an inner entry must
 * fit a page of the medium. Tests build with 8 for deep trees. */
#ifndef DAXL_NODE_MAX
#define DAXL_NODE_MAX 64u
#endif
#define DAXL_NODE_MIN (DAXL_NODE_MAX * 3 / 8)
/* Two neighbours become one only up to this many, so that the next insertion does not split it again. */
#define DAXL_NODE_FULL (DAXL_NODE_MAX * 7 / 8)
_Static_assert(64 + 24 * DAXL_NODE_MAX <= DAXL_PAGE_SIZE, "an inner node fits a page of the medium");
_Static_assert(DAXL_NODE_MAX % 8 == 0 && DAXL_NODE_FULL + 1 >= 2 * DAXL_NODE_MIN, "sizes that split and merge");

/* A leaf's val: the same bits as struct daxl_md_run. A hole is DAXL_VAL_HOLE and nothing else. */
#define DAXL_VAL_HOLE (UINT64_C(1) << 63)
#define DAXL_VAL_UNWRITTEN (UINT64_C(1) << 62)
#define DAXL_VAL_BLOCK_MASK ((UINT64_C(1) << 48) - 1)

/* Of a reference: how many lines of ends the child has; 0: half a line. */
#define DAXL_REF_LINES UINT64_C(63)

struct daxl_node {
	union {
		daxl_page_t page[2];      /* published: media page and its copy as last checkpointed; 0: none. The checkpointer's */
		struct daxl_node **pprev; /* fresh */
	};
	struct daxl_node *next;   /* fresh: the edit's list; published: the list it is retired to */
	struct daxl_edit *owner;  /* fresh: the edit; published: NULL */
	uint64_t blocks;          /* mapped blocks below */
	uint64_t runs;            /* runs below, holes included */
	uint16_t count;           /* entries; 1 to DAXL_NODE_MAX */
	uint16_t cap;             /* entries there is room for */
	uint8_t depth;            /* 0: leaf */
	uint8_t zero[3];
	uint64_t word[];          /* 0, end[cap], val[cap] */
};
_Static_assert(offsetof(struct daxl_node, word) + sizeof(uint64_t) == DAXL_CACHE_LINE, "ends start on a cache line");
_Static_assert(sizeof(uintptr_t) == sizeof(uint64_t), "a child's address fits a word");

static inline unsigned daxl_node_cap(unsigned count)
{
	return count <= 4 ? 4 : (count + 7) & ~7u;
}

static inline size_t daxl_node_size(unsigned cap)
{
	return sizeof(struct daxl_node) + (1 + (size_t)cap * 2) * sizeof(uint64_t);
}

static inline uint64_t *daxl_node_ends(struct daxl_node *node)
{
	return node->word + 1;
}

static inline uint64_t *daxl_node_vals(struct daxl_node *node)
{
	return node->word + 1 + node->cap;
}

static inline uint64_t daxl_node_end(const struct daxl_node *node, unsigned i)
{
	return node->word[1 + i];
}

/* Where entry i starts. */
static inline uint64_t daxl_node_start(const struct daxl_node *node, unsigned i)
{
	return node->word[i];
}

static inline uint64_t daxl_node_val(const struct daxl_node *node, unsigned i)
{
	return node->word[1 + node->cap + i];
}

/* The word for a child. */
static inline uint64_t daxl_ref_of(const struct daxl_node *node)
{
	return (uintptr_t)node | node->cap / 8u;
}

static inline struct daxl_node *daxl_ref_node(uint64_t ref)
{
	return (struct daxl_node *)(uintptr_t)(ref & ~DAXL_REF_LINES);
}

static inline struct daxl_node *daxl_node_child(const struct daxl_node *node, unsigned i)
{
	return daxl_ref_node(daxl_node_val(node, i));
}

/*
 * Asks for a child that is about to be read whole. Inlined by force: gcc 12 finds that a function which only prefetches does
 * nothing, and drops its calls.
 */
DAXL_INLINE void daxl_child_prefetch(const struct daxl_node *node, unsigned i)
{
	uint64_t ref = daxl_node_val(node, i);
	const char *child = (const char *)daxl_ref_node(ref);
	for (unsigned line = 0; line <= 2 * (ref & DAXL_REF_LINES); line++)
		__builtin_prefetch(child + (size_t)line * DAXL_CACHE_LINE);
}

static inline uint64_t daxl_node_len(const struct daxl_node *node)
{
	return node->word[node->count];
}

/* Moves ends [from, to) by shift, mod 2^64. Four at a time: at -O2 gcc makes no vectors of a loop over one. */
static inline void daxl_node_shift(uint64_t *end, unsigned from, unsigned to, uint64_t shift)
{
	typedef uint64_t four __attribute__((vector_size(32)));
	const four by = { shift, shift, shift, shift };
	if (shift == 0)
		return;
	for (; from + 4 <= to; from += 4) {
		four ends;
		memcpy(&ends, end + from, sizeof(ends));
		ends += by;
		memcpy(end + from, &ends, sizeof(ends));
	}
	for (; from < to; from++)
		end[from] += shift;
}

/* How many of a line's first seven ends do not lie behind at: a sum in a tree, which is the shortest. */
static inline unsigned daxl_node_line_search(const uint64_t *end, uint64_t at)
{
	unsigned a = (unsigned)(end[0] <= at) + (unsigned)(end[1] <= at);
	unsigned b = (unsigned)(end[2] <= at) + (unsigned)(end[3] <= at);
	unsigned c = (unsigned)(end[4] <= at) + (unsigned)(end[5] <= at);
	return (a + b) + (c + (unsigned)(end[6] <= at));
}

/*
 * The entry that holds offset at among the ends of a node of so many lines (0: half a line); at must lie inside the
 * node. First whole lines are skipped by their last word, all of them independent loads; then one line is counted. No
 * branch depends on the keys.
 */
static inline unsigned daxl_ends_search(const uint64_t *end, unsigned lines, uint64_t at)
{
	if (lines == 0)
		return (unsigned)(end[0] <= at) + (unsigned)(end[1] <= at) + (unsigned)(end[2] <= at);
	unsigned line = 0;
	for (unsigned i = 1; i < lines; i++)
		line += (unsigned)(end[i * 8 - 1] <= at);
	return line * 8 + daxl_node_line_search(end + (size_t)line * 8, at);
}

static inline unsigned daxl_node_search(const struct daxl_node *node, uint64_t at)
{
	return daxl_ends_search(node->word + 1, node->cap / 8u, at);
}

/* A run's word. */
static inline uint64_t daxl_val_of(const struct daxl_run *run)
{
	if (run->flags & DAXL_RUN_HOLE)
		return DAXL_VAL_HOLE;
	assert((run->blk & ~DAXL_VAL_BLOCK_MASK) == 0);
	return run->blk | (run->flags & DAXL_RUN_UNWRITTEN ? DAXL_VAL_UNWRITTEN : 0);
}

static inline bool daxl_val_is_hole(uint64_t val)
{
	return (val & DAXL_VAL_HOLE) != 0;
}

static inline daxl_blk_t daxl_val_blk(uint64_t val)
{
	return val & DAXL_VAL_BLOCK_MASK;
}

/* The word of what lies skip blocks further on in the same run. */
static inline uint64_t daxl_val_advance(uint64_t val, daxl_nblk_t skip)
{
	return val + (skip & ((val >> 63) - 1)); /* no branch: what lies there is not to be guessed */
}

/* Whether a run of len blocks with word val and one with word next right behind it are one run. */
static inline bool daxl_val_continues(uint64_t val, daxl_nblk_t len, uint64_t next)
{
	return daxl_val_advance(val, len) == next;
}

static inline void daxl_val_run(uint64_t val, daxl_nblk_t len, struct daxl_run *out)
{
	out->len = len;
	out->blk = daxl_val_blk(val);
	out->flags = (uint32_t)(val >> 63) | (uint32_t)(val >> 62 & 1) * DAXL_RUN_UNWRITTEN;
}

/* What daxl_rope_lookup does, by kind of CPU, for tests: root is not NULL, at inside of it. NULL: this CPU cannot. */
#define DAXL_LOOKUP_FORMS 3u
typedef void daxl_lookup_fn(const struct daxl_node *root, daxl_fblk_t at, struct daxl_run *out);
daxl_lookup_fn *daxl_rope_lookup_form(unsigned form);
/*
 * For loading: a published node with room for count entries and nothing in them; the caller fills end[] and val[], then
 * seals it. NULL: no memory.
 */
struct daxl_node *daxl_node_new(struct daxl_slab *slab, unsigned depth, unsigned count);
/* Pads end[] and computes blocks and runs from the entries (an inner node's children are sealed already). */
void daxl_node_seal(struct daxl_node *node);
/* Frees the node alone. */
void daxl_node_free(struct daxl_slab *slab, struct daxl_node *node);
/* Frees the node and all below it: a load that fails half way. */
void daxl_node_free_tree(struct daxl_slab *slab, struct daxl_node *root);

#endif
