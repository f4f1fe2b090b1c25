/* SPDX-License-Identifier: BSD-3-Clause */
/* Numbers that are the same in each run, and the end of a run. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <daxlayout.h>

#include "fuzz.h"

uint64_t fuzz_rnd(uint64_t *rng, uint64_t n)
{
	uint64_t z = (*rng += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	z ^= z >> 31;
	return n ? z % n : z;
}

uint64_t fuzz_evil(uint64_t pick)
{
	static const uint64_t values[] = {0,
	                                  1,
	                                  2,
	                                  8,
	                                  63,
	                                  64,
	                                  255,
	                                  1023,
	                                  1024,
	                                  4032,
	                                  4095,
	                                  4096,
	                                  65535,
	                                  65536,
	                                  INT32_MAX,
	                                  UINT32_MAX,
	                                  UINT64_C(1) << 32,
	                                  UINT64_C(1) << 36,
	                                  (UINT64_C(1) << 48) - 1,
	                                  UINT64_C(1) << 48,
	                                  (UINT64_C(1) << 51) - 1,
	                                  UINT64_C(1) << 59,
	                                  UINT64_C(1) << 61,
	                                  UINT64_C(1) << 62,
	                                  UINT64_C(3) << 62,
	                                  INT64_MAX,
	                                  INT64_MAX & ~UINT64_C(4095),
	                                  UINT64_C(1) << 63,
	                                  UINT64_MAX};
	size_t n = sizeof(values) / sizeof(values[0]);

	return values[pick % n] + pick / n % 5 - 2;
}

static uint64_t library_rng;

void fuzz_random_seed(uint64_t seed)
{
	library_rng = seed;
}

/* In place of the C library's: uuids and epochs are the same each time. */
ssize_t getrandom(void *buf, size_t len, unsigned flags)
{
	unsigned char *to = buf;

	(void)flags;
	for (size_t i = 0; i < len; i++)
		to[i] = (unsigned char)fuzz_rnd(&library_rng, 256);
	return (ssize_t)len;
}

void fuzz_fail(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "\nlibrary's last message: %s\n", daxl_errormsg());
	abort();
}
