/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Units. A *byte* offset or length is daxl_byte_t, a block number inside the
 * pool is daxl_blk_t, a block offset inside a file is daxl_fblk_t, a number of
 * blocks is daxl_nblk_t, and a metadata page number (always 4 KiB, counted from
 * the pool's start) is daxl_page_t. Conversions go through the named functions
 * below, which assert divisibility where it is promised; no other place shifts.
 */
#ifndef DAXL_BASE_UNITS_H
#define DAXL_BASE_UNITS_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

typedef uint64_t daxl_byte_t;
typedef uint64_t daxl_blk_t;
typedef uint64_t daxl_fblk_t;
typedef uint64_t daxl_nblk_t;
typedef uint64_t daxl_page_t;

#define DAXL_PAGE_SIZE 4096u
#define DAXL_PAGE_SHIFT 12u
#define DAXL_BLOCK_SHIFT_MIN 12u
#define DAXL_BLOCK_SHIFT_MAX 21u

/* Larger than any file block: the end of an infinite range. */
#define DAXL_FBLK_INF (UINT64_MAX >> 1)

/* Blocks needed to hold bytes. */
static inline uint64_t daxl_bytes_to_blocks_up(daxl_byte_t bytes, unsigned shift)
{
	return (bytes >> shift) + ((bytes & ((UINT64_C(1) << shift) - 1)) != 0);
}

/* Whole blocks in bytes. */
static inline uint64_t daxl_bytes_to_blocks_down(daxl_byte_t bytes, unsigned shift)
{
	return bytes >> shift;
}

/* Bytes known to be a multiple of the block size. */
static inline uint64_t daxl_bytes_to_blocks_exact(daxl_byte_t bytes, unsigned shift)
{
	assert((bytes & ((UINT64_C(1) << shift) - 1)) == 0);
	return bytes >> shift;
}

static inline daxl_byte_t daxl_blocks_to_bytes(uint64_t blocks, unsigned shift)
{
	assert(blocks <= (UINT64_MAX >> shift));
	return blocks << shift;
}

/* The bytes of offset inside its block. */
static inline daxl_byte_t daxl_offset_in_block(daxl_byte_t off, unsigned shift)
{
	return off & ((UINT64_C(1) << shift) - 1);
}

static inline bool daxl_is_power_of_two(uint64_t x)
{
	return x != 0 && (x & (x - 1)) == 0;
}

static inline uint64_t daxl_round_up(uint64_t x, uint64_t unit)
{
	return (x + unit - 1) / unit * unit;
}

static inline uint64_t daxl_min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline uint64_t daxl_max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

#endif
