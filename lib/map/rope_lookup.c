/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reading a rope. A descent subtracts the start of each child it enters, so keys stay relative. What costs time in a
 * large rope are cache misses, and next to them how few lookups fit a CPU's window at once: so few instructions and
 * loads count, and nothing is prefetched, for the ends of a node are loaded all at once anyway. In a small rope it is
 * branches that cannot be foreseen, and how many lines a node has is such.
 *
 * So with vectors any node of four lines or more is searched as if it had eight: behind the ends come the vals, at
 * least as many, and what they compare to is masked off. The key less each word has its sign bit set where an end
 * lies behind the key; shuffles and packs with saturation keep signs alone, a byte for each word and then a bit. They
 * take the words of a 16-byte lane two from each line in turn: a 16th of the word of bits for a lane, two bits for a line.
 * (Compares into mask registers are as many instructions, but a CPU has so few of these that lookups no longer overlap.)
 */
#include "map/rope_node.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum form { FORM_WORDS, FORM_AVX2, FORM_AVX512 };

/* From so many lines on a node has words for eight lines. */
#define VECTOR_LINES 4u
_Static_assert(DAXL_NODE_MAX <= 64, "eight lines are all ends that a node can have");

#if defined(__x86_64__)
/* Any CPU with AVX2 has the others, any with AVX512BW those and POPCNT. */
#define WITH_AVX2 __attribute__((target("avx2,bmi,popcnt")))
#define WITH_AVX512 __attribute__((target("avx512f,avx512bw,bmi,popcnt")))

/* The bits of eight lines' first or last four words, as above. */
static inline WITH_AVX2 uint32_t signs_avx2(const uint64_t *word, __m256i key)
{
#define LESS(i) _mm256_castsi256_ps(_mm256_sub_epi64(key, *(const __m256i *)(const void *)(word + (i) * 8)))
#define HIGH_HALVES(i) _mm256_castps_si256(_mm256_shuffle_ps(LESS(i), LESS((i) + 1), 0xdd))
	__m256i low = _mm256_packs_epi32(HIGH_HALVES(0), HIGH_HALVES(2));
	__m256i high = _mm256_packs_epi32(HIGH_HALVES(4), HIGH_HALVES(6));
	return (uint32_t)_mm256_movemask_epi8(_mm256_packs_epi16(low, high));
#undef HIGH_HALVES
#undef LESS
}

/* The bits of eight lines. */
static inline WITH_AVX2 uint64_t behind_avx2(const uint64_t *end, uint64_t at)
{
	const __m256i key = _mm256_set1_epi64x((long long)at);
	return signs_avx2(end, key) | (uint64_t)signs_avx2(end + 4, key) << 32;
}

static inline WITH_AVX512 uint64_t behind_avx512(const uint64_t *end, uint64_t at)
{
	const __m512i key = _mm512_set1_epi64((long long)at);
#define LESS(i) _mm512_castsi512_ps(_mm512_sub_epi64(key, *(const __m512i *)(const void *)(end + (i) * 8)))
#define HIGH_HALVES(i) _mm512_castps_si512(_mm512_shuffle_ps(LESS(i), LESS((i) + 1), 0xdd))
	__m512i low = _mm512_packs_epi32(HIGH_HALVES(0), HIGH_HALVES(2));
	__m512i high = _mm512_packs_epi32(HIGH_HALVES(4), HIGH_HALVES(6));
	return _mm512_movepi8_mask(_mm512_packs_epi16(low, high));
#undef HIGH_HALVES
#undef LESS
}
#endif

/* What daxl_ends_search finds. */
DAXL_INLINE unsigned search(enum form form, const uint64_t *end, unsigned lines, uint64_t at)
{
#if defined(__x86_64__)
	if (form != FORM_WORDS && lines >= VECTOR_LINES) {
		uint64_t behind = form == FORM_AVX2 ? behind_avx2(end, at) : behind_avx512(end, at);
		uint64_t ends = ((UINT64_C(1) << 2 * lines) - 1) * UINT64_C(0x0001000100010001);
		return (unsigned)__builtin_popcountll(ends & ~behind);
	}
#endif
	(void)form;
	return daxl_ends_search(end, lines, at);
}

/* The run at a block that lies inside the rope. */
DAXL_INLINE void descend(enum form form, const struct daxl_node *root, daxl_fblk_t at, struct daxl_run *out)
{
	unsigned lines = root->cap / 8u, depth = root->depth;
	const uint64_t *word;
	for (;;) {
		word = root->word;
		word += search(form, word + 1, lines, at); /* where the entry starts, then its end, and its val cap words on */
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

static void lookup_words(const struct daxl_node *root, daxl_fblk_t at, struct daxl_run *out)
{
	descend(FORM_WORDS, root, at, out);
}

#if defined(__x86_64__)
static WITH_AVX2 void lookup_avx2(const struct daxl_node *root, daxl_fblk_t at, struct daxl_run *out)
{
	descend(FORM_AVX2, root, at, out);
}

static WITH_AVX512 void lookup_avx512(const struct daxl_node *root, daxl_fblk_t at, struct daxl_run *out)
{
	descend(FORM_AVX512, root, at, out);
}
#endif

/* Form 0 is the one that any CPU has. */
daxl_lookup_fn *daxl_rope_lookup_form(unsigned form)
{
#if defined(__x86_64__)
	if (form == FORM_AVX512)
		return __builtin_cpu_supports("avx512bw") ? lookup_avx512 : NULL;
	if (form == FORM_AVX2)
		return __builtin_cpu_supports("avx2") ? lookup_avx2 : NULL;
#endif
	return form == FORM_WORDS ? lookup_words : NULL;
}

/* The run at a block and what is left of it; the version is kept alive by the caller. */
void daxl_rope_lookup(const struct daxl_node *root, daxl_fblk_t at, struct daxl_run *out)
{
	if (!root || at >= daxl_node_len(root)) {
		*out = (struct daxl_run){ .len = at < DAXL_FBLK_INF ? DAXL_FBLK_INF - at : 0, .flags = DAXL_RUN_HOLE };
		return;
	}
	/* Tests and direct jumps: where indirect jumps are not predicted, one would cost as much as a level. */
#if defined(__x86_64__)
	if (__builtin_cpu_supports("avx512bw")) {
		lookup_avx512(root, at, out);
		return;
	}
	if (__builtin_cpu_supports("avx2")) {
		lookup_avx2(root, at, out);
		return;
	}
#endif
	lookup_words(root, at, out);
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
