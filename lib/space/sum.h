/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A summary tree: a set of small integers that answers "which is the next member" in a few loads, however large the
 * set is.
 *
 * Level 0 has one bit a member; a bit of the level above says that a word of 64 bits below is not zero. A member is
 * changed by one thread at a time (the caller holds that member's lock), but different members of one word change at
 * once: whoever empties a word clears the bit above and looks at the word again; whoever fills one sets the word
 * first and looks at the bit above afterwards. Both are sequentially consistent, so one of the two sees the other,
 * and a bit above is missing only while its last writer is still inside. A search may therefore miss a member for a
 * moment; it never misses one for good.
 */
#ifndef DAXL_SPACE_SUM_H
#define DAXL_SPACE_SUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DAXL_SUM_DEPTH_MAX 6u
#define DAXL_SUM_NONE UINT64_MAX

struct daxl_sum {
	uint64_t *level[DAXL_SUM_DEPTH_MAX]; /* words: atomic */
	uint64_t words[DAXL_SUM_DEPTH_MAX];
	unsigned depth;
};

/* Bytes of memory that a set of members 0 .. nbits - 1 needs. */
size_t daxl_sum_size(uint64_t nbits);
/* An empty set in mem, which is daxl_sum_size(nbits) zero bytes, aligned to 8. */
void daxl_sum_init(struct daxl_sum *sum, void *mem, uint64_t nbits);
/* Adds or removes a member; the caller keeps others from changing the same member meanwhile. */
void daxl_sum_set(struct daxl_sum *sum, uint64_t member);
void daxl_sum_clear(struct daxl_sum *sum, uint64_t member);
/* Adds the members from .. to - 1, which nobody else changes meanwhile. */
void daxl_sum_set_range(struct daxl_sum *sum, uint64_t from, uint64_t to);
/* The first member at or behind from, or DAXL_SUM_NONE. */
uint64_t daxl_sum_next(const struct daxl_sum *sum, uint64_t from);

#endif
