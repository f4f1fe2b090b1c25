/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * CRC32C. The CPU's instruction takes 8 bytes in 3 cycles but can start one each cycle, so long inputs run as three
 * streams of STREAM bytes. Their results are joined by linearity: the CRC of a stream followed by STREAM
 * further bytes is the CRC advanced over STREAM zeroes (a linear map, tabulated by byte) xor the CRC of those bytes.
 */
#include "base/crc32c.h"

#include <string.h>

#include "base/compiler.h"

#define POLYNOMIAL UINT32_C(0x82f63b78) /* reflected */
#define STREAM 256u

static uint32_t byte_table[256];
static uint32_t (*advance)(uint32_t crc, const unsigned char *p, size_t len); /* set once, before main */

/* One table look-up a byte: for machines without the instruction. */
static uint32_t advance_table(uint32_t crc, const unsigned char *p, size_t len)
{
	for (; len > 0; len--)
		crc = byte_table[(crc ^ *p++) & 0xff] ^ (crc >> 8);
	return crc;
}

#ifdef __x86_64__

static uint32_t zeroes_table[4][256]; /* a CRC advanced over STREAM zeroes, by its four bytes */

static uint32_t over_stream(uint32_t crc)
{
	return zeroes_table[0][crc & 0xff] ^ zeroes_table[1][crc >> 8 & 0xff] ^ zeroes_table[2][crc >> 16 & 0xff] ^
	       zeroes_table[3][crc >> 24];
}

static inline uint64_t load_u64(const unsigned char *p)
{
	uint64_t word;

	memcpy(&word, p, sizeof(word));
	return word;
}

__attribute__((target("sse4.2"))) static uint32_t advance_sse42(uint32_t crc, const unsigned char *p, size_t len)
{
	uint64_t a = crc;

	for (; len >= 3 * STREAM; len -= 3 * STREAM, p += 3 * STREAM) {
		uint64_t b = 0, c = 0;

		for (size_t i = 0; i < STREAM; i += 8) {
			a = __builtin_ia32_crc32di(a, load_u64(p + i));
			b = __builtin_ia32_crc32di(b, load_u64(p + STREAM + i));
			c = __builtin_ia32_crc32di(c, load_u64(p + 2 * STREAM + i));
		}
		a = over_stream(over_stream((uint32_t)a) ^ (uint32_t)b) ^ (uint32_t)c;
	}
	for (; len >= 8; len -= 8, p += 8)
		a = __builtin_ia32_crc32di(a, load_u64(p));
	crc = (uint32_t)a;
	for (; len > 0; len--)
		crc = __builtin_ia32_crc32qi(crc, *p++);
	return crc;
}

static void fill_zeroes_table(void)
{
	static const unsigned char zeroes[STREAM];

	for (unsigned byte = 0; byte < 4; byte++) {
		for (unsigned bit = 0; bit < 8; bit++)
			zeroes_table[byte][1u << bit] = advance_table(UINT32_C(1) << (8 * byte + bit), zeroes, STREAM);
		for (unsigned n = 1; n < 256; n++)
			zeroes_table[byte][n] = zeroes_table[byte][n & (n - 1)] ^ zeroes_table[byte][n & -n];
	}
}

#endif

__attribute__((constructor)) static void choose(void)
{
	for (uint32_t n = 0; n < 256; n++) {
		uint32_t crc = n;

		for (unsigned bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? POLYNOMIAL : 0);
		byte_table[n] = crc;
	}
	advance = advance_table;
#ifdef __x86_64__
	__builtin_cpu_init();
	if (__builtin_cpu_supports("sse4.2")) {
		fill_zeroes_table();
		advance = advance_sse42;
	}
#endif
}

uint32_t daxl_crc32c(uint32_t crc, const void *data, size_t len)
{
	return ~advance(~crc, data, len);
}

#ifdef DAXL_TEST_HOOKS
uint32_t daxl_crc32c_portable(uint32_t crc, const void *data, size_t len)
{
	return ~advance_table(~crc, data, len);
}
#endif
