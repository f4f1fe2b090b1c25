/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reading a rope. A descent subtracts the start of each child it enters, so keys stay relative. What costs time in a
 * large rope are cache misses, and next to them how few lookups fit a CPU's window at once: so few instructions and
 * loads count, and nothing is prefetched, for the ends of a node are loaded all at once anyway.
 */
#include "map/rope_node.h"

#if defined(__x86_64__)
#include <immintrin.h>
#define WIDE __attribute__((target("avx512f,popcnt")))

/* What daxl_ends_search finds, with AVX-512: all ends are counted, a line at a time. lines is not 0. */
static inline WIDE unsigned search_wide(const uint64_t *end, unsigned lines, uint64_t at)
{
	const __m512i key = _mm512_set1_epi64((long long)at);
	unsigned n = 0;
	for (unsigned i = 0; i < lines; i++)
		n += (unsigned)__builtin_popcount(_mm512_cmple_epu64_mask(_mm512_load_si512(end + (size_t)i * 8), key));
	return n;
}
#endif

/* The run at a block that lies inside the rope; wide: as the name says, and wants a CPU that can. */
DAXL_INLINE void descend(const struct daxl_node *root, daxl_fblk_t at, bool wide, struct daxl_run *out)
{
	unsigned i, lines = root->cap / 8u, depth = root->depth;
	const uint64_t *word;
	for (;;) {
		word = root->word;
#if defined(__x86_64__)
		if (wide && lines != 0)
			i = search_wide(word + 1, lines, at);
		else
#endif
			i = daxl_ends_search(word + 1, lines, at);
		word += i; /* where entry i starts, then its end, and its val cap words on */
		at -= word[0];
		uint64_t val = word[1 + (lines != 0 ? lines * 8 : 4)];
		if (depth-- == 0) {
			daxl_val_run(daxl_val_advance(val, at), word[1] - word[0] - at, out);
			return;
		}
		root = daxl_ref_node(val);
		lines = (unsigned)(val & DAXL_REF_LINES);
	}
}

#if defined(__x86_64__)
static WIDE void lookup_wide(const struct daxl_node *root, daxl_fblk_t at, struct daxl_run *out)
{
	descend(root, at, true, out);
}
#endif

/* What daxl_rope_lookup does on any CPU; root is not NULL, at inside of it. */
void daxl_rope_lookup_narrow(const struct daxl_node *root, daxl_fblk_t at, struct daxl_run *out)
{
	descend(root, at, false, out);
}

/* The run at a block and what is left of it; the version is kept alive by the caller. */
void daxl_rope_lookup(const struct daxl_node *root, daxl_fblk_t at, struct daxl_run *out)
{
	if (!root || at >= daxl_node_len(root)) {
		*out = (struct daxl_run){ .len = at < DAXL_FBLK_INF ? DAXL_FBLK_INF - at : 0, .flags = DAXL_RUN_HOLE };
		return;
	}
#if defined(__x86_64__)
	if (__builtin_cpu_supports("avx512f")) {
		lookup_wide(root, at, out);
		return;
	}
#endif
	daxl_rope_lookup_narrow(root, at, out);
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

/* Walks [start, end) of a leaf, both counted from it and inside of it, and not empty; its first block is base of the file. */
static int walk_leaf(const struct daxl_node *leaf, daxl_fblk_t base, daxl_fblk_t start, daxl_fblk_t end, daxl_run_fn fn,
                     void *arg)
{
	const uint64_t *word = leaf->word + daxl_node_search(leaf, start), *val = word + 1 + leaf->cap;
	uint64_t skip = start - word[0];
	for (;; val++) {
		daxl_fblk_t to = daxl_min_u64(end, *++word);
		struct daxl_run run;
		daxl_val_run(daxl_val_advance(*val, skip), to - start, &run);
		int stop = fn(base + start, &run, arg);
		if (stop || to == end)
			return stop;
		start = to;
		skip = 0;
	}
}

/* The same for any node. */
static int walk_node(const struct daxl_node *node, daxl_fblk_t base, daxl_fblk_t start, daxl_fblk_t end, daxl_run_fn fn,
                     void *arg)
{
	if (node->depth == 0)
		return walk_leaf(node, base, start, end, fn, arg);
	int stop = 0;
	for (unsigned i = daxl_node_search(node, start); start < end && !stop; i++) {
		daxl_fblk_t first = daxl_node_start(node, i), to = daxl_min_u64(end, daxl_node_end(node, i));
		if (to < end)
			daxl_child_prefetch(node, i + 1);
		stop = walk_node(daxl_node_child(node, i), base + first, start - first, to - first, fn, arg);
		start = to;
	}
	return stop;
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
