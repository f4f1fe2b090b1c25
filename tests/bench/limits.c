/* SPDX-License-Identifier: BSD-3-Clause */
/* What the hardware needs for the same work: copies, fences and appends on memory of the medium that is warm. */
#include <immintrin.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "harness.h"

#define RING (2u << 20) /* bytes; as large as the log of a pool of 512 MiB */
#define BLOCKS 1024u

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

static char *ring, *blocks;
static uint64_t ring_at;
static void (*store_block)(void *dst, const void *src);
static const char *copy_name;

static void store_block_sse2(void *dst, const void *src)
{
	for (size_t i = 0; i < BENCH_BLOCK / 16; i++)
		_mm_stream_si128((__m128i *)dst + i, _mm_loadu_si128((const __m128i *)src + i));
}

__attribute__((target("avx"))) static void store_block_avx(void *dst, const void *src)
{
	for (size_t i = 0; i < BENCH_BLOCK / 32; i++)
		_mm256_stream_si256((__m256i *)dst + i, _mm256_loadu_si256((const __m256i *)src + i));
}

__attribute__((target("avx512f"))) static void store_block_avx512(void *dst, const void *src)
{
	for (size_t i = 0; i < BENCH_BLOCK / 64; i++)
		_mm512_stream_si512((__m512i *)dst + i, _mm512_loadu_si512((const __m512i *)src + i));
}

/* Touches every page for writing without changing it. */
void bench_touch(char *base, size_t len)
{
	if (madvise(base, len, MADV_POPULATE_WRITE) == 0)
		return;
	for (size_t i = 0; i < len; i += 4096)
		(void)__atomic_fetch_add(base + i, 0, __ATOMIC_RELAXED);
}

char *bench_memory(size_t len, int *ret_fd)
{
	char path[] = BENCH_DIR "/daxl_bench.XXXXXX";
	int fd = mkstemp(path);
	char *base;

	if (fd < 0)
		bench_die(BENCH_DIR);
	unlink(path);
	if (ftruncate(fd, (off_t)len) != 0)
		bench_die("room in " BENCH_DIR);
	base = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (base == MAP_FAILED)
		bench_die("mmap");
	if (ret_fd)
		*ret_fd = fd;
	else
		close(fd);
	bench_touch(base, len);
	return base;
}

void bench_memory_end(char *base, size_t len)
{
	munmap(base, len);
}

void limit_init(void)
{
	store_block = store_block_sse2;
	copy_name = "SSE2";
	if (__builtin_cpu_supports("avx")) {
		store_block = store_block_avx;
		copy_name = "AVX";
	}
	if (__builtin_cpu_supports("avx512f")) {
		store_block = store_block_avx512;
		copy_name = "AVX-512";
	}
	ring = bench_memory(RING, NULL);
	blocks = bench_memory((size_t)BLOCKS * BENCH_BLOCK, NULL);
}

const char *limit_copy_name(void)
{
	return copy_name;
}

void limit_log_append(void)
{
	__m128i *slot = (__m128i *)(void *)(ring + ring_at);

	for (int i = 0; i < 4; i++)
		_mm_stream_si128(slot + i, _mm_set1_epi64x((int64_t)ring_at));
	_mm_sfence();
	ring_at = (ring_at + 64) % RING;
}

void limit_appends(unsigned ops, const void *arg)
{
	unsigned each = arg ? *(const unsigned *)arg : 1;

	bench_start();
	for (unsigned i = 0; i < ops * each; i++)
		limit_log_append();
	bench_stop();
}

void limit_store_block(const void *src, uint64_t i)
{
	store_block(blocks + i % BLOCKS * BENCH_BLOCK, src);
}

void limit_fence(void)
{
	_mm_sfence();
}

__attribute__((target("sse4.2"))) uint64_t limit_sum(const void *data, size_t len)
{
	uint64_t sum = 0;

	for (size_t page = 0; page + BENCH_BLOCK <= len; page += BENCH_BLOCK) {
		const uint64_t *word = (const uint64_t *)(const void *)((const char *)data + page);
		uint64_t crc = 0;

		for (unsigned i = 0; i < BENCH_BLOCK / sizeof(*word); i++)
			crc = __builtin_ia32_crc32di(crc, word[i]);
		sum += crc;
	}
	return sum;
}
