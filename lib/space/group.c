/* SPDX-License-Identifier: BSD-3-Clause */
#include "space/group.h"

#include "space/space_impl.h"

static uint64_t load_word(const uint64_t *bits, uint64_t word)
{
	return __atomic_load_n(&bits[word], __ATOMIC_RELAXED);
}

daxl_blk_t daxl_bits_next_free(const uint64_t *bits, daxl_blk_t from, daxl_blk_t end)
{
	uint64_t word = from >> 6;
	uint64_t w;

	if (from >= end)
		return end;
	w = ~load_word(bits, word) & (UINT64_MAX << (from & 63));
	while (w == 0) {
		if (++word << 6 >= end)
			return end;
		w = ~load_word(bits, word);
	}
	return daxl_min_u64((word << 6) + (unsigned)__builtin_ctzll(w), end);
}

daxl_blk_t daxl_bits_next_used(const uint64_t *bits, daxl_blk_t from, daxl_blk_t end)
{
	uint64_t word = from >> 6;
	uint64_t w;

	if (from >= end)
		return end;
	w = load_word(bits, word) & (UINT64_MAX << (from & 63));
	while (w == 0) {
		if (++word << 6 >= end)
			return end;
		w = load_word(bits, word);
	}
	return daxl_min_u64((word << 6) + (unsigned)__builtin_ctzll(w), end);
}

/* How many of the n > 0 bits from at lie in at's word, and *ret_mask of them. */
static inline unsigned word_piece(unsigned at, unsigned n, uint64_t *ret_mask)
{
	unsigned count = (unsigned)daxl_min_u64(n, 64 - at % 64);

	*ret_mask = (UINT64_MAX >> (64 - count)) << at % 64;
	return count;
}

/* Brings the trees up to date with the group, whose lines were full and touched as given before. */
static inline void DAXL_HOLDS(SPIN)
update_trees(struct daxl_space *space, uint64_t index, unsigned full, unsigned touched)
{
	const struct daxl_group *group = &space->groups[index];

	if (daxl_likely(group->full == full && group->touched == touched))
		return;
	bool had_part = (touched & ~full) != 0;
	bool has_part = (group->touched & ~(unsigned)group->full) != 0;
	bool had_whole = touched != DAXL_GROUP_ALL_LINES;
	bool has_whole = group->touched != DAXL_GROUP_ALL_LINES;

	/* Additions first: a group with a free block is never in neither. */
	if (has_part && !had_part)
		daxl_sum_set(&space->part, index);
	if (has_whole && !had_whole)
		daxl_sum_set(&space->whole, index);
	if (had_part && !has_part)
		daxl_sum_clear(&space->part, index);
	if (had_whole && !has_whole)
		daxl_sum_clear(&space->whole, index);
}

static inline void DAXL_HOLDS(SPIN) line_changed(struct daxl_group *group, unsigned line, unsigned used)
{
	uint16_t bit = (uint16_t)(1u << line);

	assert(used <= DAXL_LINE_BLOCKS);
	group->line_used[line] = (uint16_t)used;
	group->full = (uint16_t)(used == DAXL_LINE_BLOCKS ? group->full | bit : group->full & ~bit);
	group->touched = (uint16_t)(used != 0 ? group->touched | bit : group->touched & ~bit);
}

void daxl_group_take(struct daxl_space *space, uint64_t index, unsigned off, unsigned n)
{
	struct daxl_group *group = &space->groups[index];
	uint64_t *bits = &space->bits[index * DAXL_GROUP_WORDS];
	unsigned full = group->full, touched = group->touched;

	for (unsigned done = 0; done < n;) {
		unsigned at = off + done, word = at / 64, line = at / DAXL_LINE_BLOCKS;
		uint64_t mask;
		unsigned count = word_piece(at, n - done, &mask);
		uint64_t old = load_word(bits, word);

		assert((old & mask) == 0);
		__atomic_store_n(&bits[word], old | mask, __ATOMIC_RELAXED);
		line_changed(group, line, group->line_used[line] + count);
		done += count;
	}
	update_trees(space, index, full, touched);
}

void daxl_group_give(struct daxl_space *space, uint64_t index, unsigned off, unsigned n)
{
	struct daxl_group *group = &space->groups[index];
	uint64_t *bits = &space->bits[index * DAXL_GROUP_WORDS];
	unsigned full = group->full, touched = group->touched;

	for (unsigned done = 0; done < n;) {
		unsigned at = off + done, word = at / 64, line = at / DAXL_LINE_BLOCKS;
		uint64_t mask;
		unsigned count = word_piece(at, n - done, &mask);
		uint64_t old = load_word(bits, word);

		assert((old & mask) == mask); /* a block given back twice */
		__atomic_store_n(&bits[word], old & ~mask, __ATOMIC_RELAXED);
		line_changed(group, line, group->line_used[line] - count);
		done += count;
	}
	update_trees(space, index, full, touched);
}

unsigned daxl_group_merge_word(struct daxl_space *space, uint64_t index, unsigned word, uint64_t mask)
{
	struct daxl_group *group = &space->groups[index];
	uint64_t *bits = &space->bits[index * DAXL_GROUP_WORDS];
	unsigned full = group->full, touched = group->touched;
	unsigned line = word / DAXL_LINE_WORDS;
	uint64_t old = load_word(bits, word);
	unsigned fresh = (unsigned)__builtin_popcountll(mask & ~old);

	if (fresh == 0)
		return 0;
	__atomic_store_n(&bits[word], old | mask, __ATOMIC_RELAXED);
	line_changed(group, line, group->line_used[line] + fresh);
	update_trees(space, index, full, touched);
	return fresh;
}
