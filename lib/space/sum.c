/* SPDX-License-Identifier: BSD-3-Clause */
#include "space/sum.h"

#include <assert.h>

static uint64_t bit_of(uint64_t member)
{
	return UINT64_C(1) << (member & 63);
}

static uint64_t load(const struct daxl_sum *sum, unsigned level, uint64_t word)
{
	return __atomic_load_n(&sum->level[level][word], __ATOMIC_SEQ_CST);
}

size_t daxl_sum_size(uint64_t nbits)
{
	size_t words = 0;

	do {
		nbits = (nbits + 63) >> 6;
		words += nbits;
	} while (nbits > 1);
	return words * sizeof(uint64_t);
}

void daxl_sum_init(struct daxl_sum *sum, void *mem, uint64_t nbits)
{
	uint64_t *at = mem;

	sum->depth = 0;
	do {
		nbits = (nbits + 63) >> 6;
		assert(sum->depth < DAXL_SUM_DEPTH_MAX);
		sum->level[sum->depth] = at;
		sum->words[sum->depth++] = nbits;
		at += nbits;
	} while (nbits > 1);
}

/* Sets bit member of level and what is missing above it. */
static void raise_from(struct daxl_sum *sum, unsigned level, uint64_t member)
{
	for (;;) {
		__atomic_fetch_or(&sum->level[level][member >> 6], bit_of(member), __ATOMIC_SEQ_CST);
		if (++level == sum->depth)
			return;
		member >>= 6;
		if (load(sum, level, member >> 6) & bit_of(member))
			return; /* pairs with the second look in daxl_sum_clear */
	}
}

void daxl_sum_set(struct daxl_sum *sum, uint64_t member)
{
	raise_from(sum, 0, member);
}

void daxl_sum_set_range(struct daxl_sum *sum, uint64_t from, uint64_t to)
{
	while (from < to) {
		uint64_t next = (from | 63) + 1;
		uint64_t bits = UINT64_MAX << (from & 63);

		if (next > to) {
			next = to;
			bits &= bit_of(to) - 1;
		}
		__atomic_fetch_or(&sum->level[0][from >> 6], bits, __ATOMIC_SEQ_CST);
		raise_from(sum, 0, from);
		from = next;
	}
}

void daxl_sum_clear(struct daxl_sum *sum, uint64_t member)
{
	for (unsigned level = 0;; level++) {
		uint64_t bit = bit_of(member);
		uint64_t old = __atomic_fetch_and(&sum->level[level][member >> 6], ~bit, __ATOMIC_SEQ_CST);

		if (level > 0 && load(sum, level - 1, member) != 0) {
			raise_from(sum, level, member); /* filled again: pairs with the look up in raise_from */
			return;
		}
		if ((old & ~bit) != 0 || level + 1 == sum->depth)
			return;
		member >>= 6;
	}
}

uint64_t daxl_sum_next(const struct daxl_sum *sum, uint64_t from)
{
	uint64_t at = from;
	unsigned level = 0;

	while (level < sum->depth) {
		uint64_t word = at >> 6;
		uint64_t w = 0;

		if (word < sum->words[level])
			w = load(sum, level, word) & (UINT64_MAX << (at & 63));
		if (w == 0) {
			at = word + 1;
			level++;
			continue;
		}
		at = (word << 6) + (unsigned)__builtin_ctzll(w);
		if (level == 0)
			return at;
		level--; /* down into the word that the bit stands for: from its first member */
		at <<= 6;
	}
	return DAXL_SUM_NONE;
}
