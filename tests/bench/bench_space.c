/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What taking and freeing blocks costs: near a hint, at random in an aged sparse space, by two threads; and sharing.
 * Prints, asserts nothing.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "space/space.h"

static double now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state * UINT64_C(0x2545f4914f6cdd1d) >> 11;
}

static struct daxl_space *make(daxl_nblk_t nblocks)
{
	struct daxl_space *space;

	if (daxl_space_create(nblocks, 12, 0, &space) != 0) {
		fprintf(stderr, "no space of %llu blocks\n", (unsigned long long)nblocks);
		exit(1);
	}
	return space;
}

static daxl_blk_t take_one(struct daxl_space *space, daxl_blk_t hint)
{
	struct daxl_blkrun run;

	if (daxl_space_reserve(space, DAXL_SPACE_DATA, 1) != 0)
		exit(1);
	daxl_space_take(space, 1, hint, &run);
	return run.blk;
}

struct loop {
	struct daxl_space *space;
	unsigned rounds;
	daxl_blk_t hint;
	double ns; /* a round */
	pthread_t thread;
};

static void *take_and_free(void *arg)
{
	struct loop *loop = arg;
	double start = now_ns();

	for (unsigned i = 0; i < loop->rounds; i++)
		daxl_space_unref(loop->space, take_one(loop->space, loop->hint), 1);
	loop->ns = (now_ns() - start) / loop->rounds;
	return NULL;
}

/* Half of each line used, in single blocks at random, over lines spread through the space. */
static void age(struct daxl_space *space, daxl_nblk_t nblocks, unsigned lines, uint64_t *seed)
{
	for (unsigned i = 0; i < lines; i++) {
		daxl_blk_t line = (nblocks / 512 / lines * i) * 512;

		for (unsigned j = 0; j < 512; j++)
			if (next_random(seed) & 1)
				(void)daxl_space_mark(space, line + j, 1);
	}
}

#define APPENDS 1000000u

static void bench_hint(struct daxl_space *space, const char *what)
{
	struct loop loop = {.space = space, .rounds = 5000000, .hint = 4096};
	daxl_blk_t *blk = calloc(APPENDS, sizeof(*blk));
	struct loop pair[2];
	double start;

	if (!blk)
		exit(1);
	take_and_free(&loop);
	take_and_free(&loop);
	printf("reserve + take + unref at the hint, %s: %.1f ns\n", what, loop.ns);
	start = now_ns();
	for (unsigned i = 0; i < APPENDS; i++)
		blk[i] = take_one(space, i ? blk[i - 1] + 1 : 8192);
	printf("reserve + take, appending, %s: %.1f ns\n", what, (now_ns() - start) / APPENDS);
	start = now_ns();
	for (unsigned i = 0; i < APPENDS; i++)
		daxl_space_unref(space, blk[i], 1);
	printf("unref of these, %s: %.1f ns\n", what, (now_ns() - start) / APPENDS);
	free(blk);
	for (unsigned i = 0; i < 2; i++) {
		pair[i] = loop;
		pair[i].hint = 4096 + i * (1u << 20);
		pthread_create(&pair[i].thread, NULL, take_and_free, &pair[i]);
	}
	for (unsigned i = 0; i < 2; i++)
		pthread_join(pair[i].thread, NULL);
	printf("the same by two threads, each: %.1f %.1f ns\n", pair[0].ns, pair[1].ns);
}

static void bench_aged(uint64_t *seed)
{
	daxl_nblk_t nblocks = UINT64_C(1) << 32;
	double start = now_ns(), ns;
	struct daxl_space *space = make(nblocks);
	unsigned rounds = 1000000;
	daxl_blk_t *blk = malloc(rounds * sizeof(*blk));

	if (!blk)
		exit(1);
	printf("create 2^32 blocks: %.0f us\n", (now_ns() - start) / 1e3);
	age(space, nblocks, 1 << 17, seed);
	for (unsigned i = 0; i < rounds; i++)
		blk[i] = next_random(seed) % nblocks;
	start = now_ns();
	for (unsigned i = 0; i < rounds; i++)
		blk[i] = take_one(space, blk[i] & ~UINT64_C(1));
	ns = (now_ns() - start) / rounds;
	printf("reserve + take at random hints, aged 16 TiB sparse, mostly free: %.1f ns\n", ns);
	start = now_ns();
	for (unsigned i = 0; i < rounds; i++)
		daxl_space_unref(space, blk[i], 1);
	printf("unref of these: %.1f ns\n", (now_ns() - start) / rounds);

	/* Hints in used blocks: a search each time. */
	for (unsigned i = 0; i < rounds; i++) {
		blk[i] = (nblocks / 512 / (1 << 17) * (next_random(seed) % (1 << 17))) * 512 + next_random(seed) % 512;
		while (!daxl_space_is_used(space, blk[i]))
			blk[i]++;
	}
	start = now_ns();
	for (unsigned i = 0; i < rounds; i++)
		blk[i] = take_one(space, blk[i]);
	ns = (now_ns() - start) / rounds;
	printf("reserve + take near random used hints: %.1f ns\n", ns);
	daxl_space_destroy(space);
	free(blk);
}

static void bench_share(uint64_t *seed)
{
	daxl_nblk_t nblocks = 1 << 20;
	struct daxl_space *space = make(nblocks);
	unsigned runs = 100000;
	daxl_blk_t *blk = malloc(runs * sizeof(*blk));
	daxl_nblk_t same;
	double start;

	if (!blk || daxl_space_mark(space, 0, nblocks) != 0)
		exit(1);
	for (unsigned i = 0; i < runs; i++)
		blk[i] = next_random(seed) % nblocks;
	start = now_ns();
	for (unsigned i = 0; i < 1000; i++) {
		(void)daxl_space_is_shared(space, blk[i], 1, &same);
	}
	printf("is_shared, nothing shared: %.1f ns\n", (now_ns() - start) / 1000);
	for (unsigned pass = 0; pass < 3; pass++) {
		start = now_ns();
		for (unsigned i = 0; i < runs; i++)
			if (daxl_space_ref(space, blk[i], 1) != 0)
				exit(1);
		printf("ref of 10^5 random blocks, pass %u: %.1f ns each\n", pass, (now_ns() - start) / runs);
	}
	start = now_ns();
	for (unsigned i = 0; i < runs; i++)
		if (daxl_space_ref(space, i, 1) != 0)
			exit(1);
	printf("ref of 10^5 blocks in order: %.1f ns each\n", (now_ns() - start) / runs);
	start = now_ns();
	for (unsigned i = 0; i < runs; i++)
		daxl_space_unref(space, blk[i], 1);
	printf("unref of 10^5 random shared blocks: %.1f ns each\n", (now_ns() - start) / runs);
	daxl_space_destroy(space);
	free(blk);
}

int main(void)
{
	uint64_t seed = 20261121;
	struct daxl_space *space = make(1 << 24);

	bench_hint(space, "empty 64 GiB");
	age(space, 1 << 24, 1 << 15, &seed);
	bench_hint(space, "aged 64 GiB");
	daxl_space_destroy(space);
	bench_aged(&seed);
	bench_share(&seed);
	return 0;
}
