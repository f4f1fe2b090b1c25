/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a rope costs in DRAM alone: no log, no medium, no grace period. Prints ns an operation, the median of several
 * rounds over warm memory, for ropes of 16, 10^5 and 10^6 runs. Ratios within one run mean something, absolute times
 * little.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/compiler.h"
#include "map/rope_node.h"

#define ROUNDS 15
#define OPS 20000u

static uint64_t state = 88172645463325252u;
static volatile uint64_t sink;

static uint64_t rnd(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static double now_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static void require(int err)
{
	if (err) {
		fprintf(stderr, "bench_rope: error %d\n", err);
		exit(1);
	}
}

static void ignore_run(daxl_blk_t blk, daxl_nblk_t len, void *arg)
{
	(void)arg;
	sink += blk + len;
}

/* Commits and reclaims at once: nobody reads. */
static struct daxl_node *end_edit(struct daxl_edit *edit)
{
	struct daxl_dropped dropped;
	struct daxl_node *root = daxl_edit_commit(edit, &dropped);
	daxl_dropped_each_run(&dropped, ignore_run, NULL);
	daxl_dropped_free(&dropped, edit->slab, NULL, NULL);
	return root;
}

/* Every run is two blocks long; block numbers never continue each other. */
static struct daxl_node *build(struct daxl_slab *slab, uint64_t runs)
{
	struct daxl_edit edit;
	struct daxl_node *root = NULL;
	for (uint64_t i = 0; i < runs;) {
		daxl_edit_begin(&edit, slab, root);
		for (unsigned k = 0; k < 1000 && i < runs; k++, i++) {
			struct daxl_run run = { .len = 2, .blk = 1000 + (i * 7919 % runs) * 3 };
			require(daxl_edit_set(&edit, i * 2, &run));
		}
		root = end_edit(&edit);
	}
	return root;
}

struct place {
	struct daxl_slab *slab;
	struct daxl_node *root;
	uint64_t runs;
};

static void op_lookup(struct place *p, uint64_t i)
{
	struct daxl_run run;
	(void)i;
	daxl_rope_lookup(p->root, rnd() % (p->runs * 2), &run);
	sink += run.blk;
}

static void op_lookup_dependent(struct place *p, uint64_t i)
{
	struct daxl_run run;
	(void)i;
	daxl_rope_lookup(p->root, (rnd() + (sink & 1)) % (p->runs * 2), &run);
	sink = run.blk;
}

static void op_set(struct place *p, uint64_t i)
{
	struct daxl_edit edit;
	struct daxl_run run = { .len = 2, .blk = 10000000 + i * 3 };
	daxl_edit_begin(&edit, p->slab, p->root);
	require(daxl_edit_set(&edit, rnd() % p->runs * 2, &run));
	p->root = end_edit(&edit);
}

/* Warm: the same few leaves again and again. */
static void op_set_near(struct place *p, uint64_t i)
{
	struct daxl_edit edit;
	struct daxl_run run = { .len = 2, .blk = 10000000 + i * 3 };
	daxl_edit_begin(&edit, p->slab, p->root);
	require(daxl_edit_set(&edit, (p->runs / 2 + i % 16) % p->runs * 2, &run));
	p->root = end_edit(&edit);
}

static void op_punch(struct place *p, uint64_t i)
{
	struct daxl_edit edit;
	struct daxl_run run = { .len = 1, .blk = 0, .flags = DAXL_RUN_HOLE };
	static uint64_t at;
	if (i % 2 == 0)
		at = rnd() % (p->runs * 2 - 1);
	else
		run = (struct daxl_run){ .len = 1, .blk = 10000000 + i * 3 };
	daxl_edit_begin(&edit, p->slab, p->root);
	require(daxl_edit_set(&edit, at, &run));
	p->root = end_edit(&edit);
}

static void op_shift(struct place *p, uint64_t i)
{
	struct daxl_edit edit;
	(void)i;
	daxl_edit_begin(&edit, p->slab, p->root);
	require(daxl_edit_remove(&edit, 0, 1));
	p->root = end_edit(&edit);
	daxl_edit_begin(&edit, p->slab, p->root);
	require(daxl_edit_insert(&edit, 0, 1));
	p->root = end_edit(&edit);
}

/* Fallocate's collapse of a whole run in the middle, then a new one at its place. */
static void op_shift_middle(struct place *p, uint64_t i)
{
	struct daxl_edit edit;
	struct daxl_run run = { .len = 2, .blk = 10000000 + i * 3 };
	uint64_t at = rnd() % p->runs * 2;
	daxl_edit_begin(&edit, p->slab, p->root);
	require(daxl_edit_remove(&edit, at, 2));
	p->root = end_edit(&edit);
	daxl_edit_begin(&edit, p->slab, p->root);
	require(daxl_edit_insert(&edit, at, 2));
	require(daxl_edit_set(&edit, at, &run));
	p->root = end_edit(&edit);
}

static double measure(struct place *p, void (*op)(struct place *p, uint64_t i), unsigned ops)
{
	double times[ROUNDS];
	static uint64_t i;
	for (unsigned round = 0; round < ROUNDS; round++) {
		double start = now_ns();
		for (unsigned k = 0; k < ops; k++)
			op(p, i++);
		times[round] = (now_ns() - start) / ops;
	}
	qsort(times, ROUNDS, sizeof(times[0]), by_value);
	return times[ROUNDS / 2];
}

int main(void)
{
	static const uint64_t sizes[] = { 16, 100000, 1000000 };
	static const struct {
		const char *name;
		void (*op)(struct place *p, uint64_t i);
	} paths[] = {
		{ "lookup", op_lookup },
		{ "lookup, dependent", op_lookup_dependent },
		{ "set one run, same leaf", op_set_near },
		{ "set one run", op_set },
		{ "punch or fill one block", op_punch },
		{ "collapse + insert at front", op_shift },
		{ "collapse, insert, set", op_shift_middle },
	};
	double ns[DAXL_ARRAY_LEN(paths)][DAXL_ARRAY_LEN(sizes)];
	for (unsigned s = 0; s < DAXL_ARRAY_LEN(sizes); s++) {
		struct place place = { .runs = sizes[s] };
		require(daxl_slab_create(&place.slab));
		place.root = build(place.slab, sizes[s]);
		printf("%" PRIu64 " runs: %.1f bytes a run\n", sizes[s],
		       (double)daxl_slab_bytes(place.slab) / (double)sizes[s]);
		for (unsigned i = 0; i < DAXL_ARRAY_LEN(paths); i++)
			ns[i][s] = measure(&place, paths[i].op, OPS);
		struct daxl_edit edit;
		daxl_edit_begin(&edit, place.slab, place.root);
		double start = now_ns();
		require(daxl_edit_cut(&edit, 3));
		double cut = now_ns() - start;
		daxl_edit_abort(&edit);
		daxl_edit_begin(&edit, place.slab, NULL);
		start = now_ns();
		require(daxl_edit_copy(&edit, 0, place.root, 0, daxl_rope_len(place.root)));
		printf("%" PRIu64 " runs: truncate %.0f ns, clone %.1f ns a run\n", sizes[s], cut,
		       (now_ns() - start) / (double)sizes[s]);
		daxl_edit_abort(&edit);
		struct daxl_dropped dropped = { 0 };
		daxl_dropped_add_rope(&dropped, place.root);
		daxl_dropped_free(&dropped, place.slab, NULL, NULL);
		daxl_slab_destroy(place.slab);
	}
	printf("%-28s %10s %10s %10s   ns\n", "runs", "16", "10^5", "10^6");
	for (unsigned i = 0; i < DAXL_ARRAY_LEN(paths); i++)
		printf("%-28s %10.1f %10.1f %10.1f\n", paths[i].name, ns[i][0], ns[i][1], ns[i][2]);
	return 0;
}
