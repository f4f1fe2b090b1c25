/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a rope costs in DRAM alone: no log, no medium, no grace period. Every run is two blocks long; block numbers
 * never continue each other.
 */
#include <stdio.h>

#include "harness.h"
#include "map/rope_node.h"

#define BATCH 2000u

struct place {
	struct daxl_slab *slab;
	struct daxl_node *root;
	uint64_t runs;
	uint64_t next_blk; /* not yet used */
};

static struct place place;
static volatile uint64_t sink;

static void ignore_run(daxl_blk_t blk, daxl_nblk_t len, void *arg)
{
	(void)arg;
	sink += blk + len;
}

/* Commits and reclaims at once: nobody reads. */
static void end_edit(struct daxl_edit *edit)
{
	struct daxl_dropped dropped;

	place.root = daxl_edit_commit(edit, &dropped);
	daxl_dropped_each_run(&dropped, ignore_run, NULL);
	daxl_dropped_free(&dropped, place.slab, NULL, NULL);
}

static void build(uint64_t runs)
{
	struct daxl_edit edit;

	place = (struct place){ .runs = runs, .next_blk = UINT64_C(1) << 24 };
	bench_check(daxl_slab_create(&place.slab));
	for (uint64_t i = 0; i < runs;) {
		daxl_edit_begin(&edit, place.slab, place.root);
		for (unsigned k = 0; k < 1000 && i < runs; k++, i++) {
			struct daxl_run run = { .len = 2, .blk = 1000 + (i * 7919 % runs) * 3 };

			bench_check(daxl_edit_set(&edit, i * 2, &run));
		}
		end_edit(&edit);
	}
}

static void destroy(void)
{
	struct daxl_dropped dropped = { 0 };

	daxl_dropped_add_rope(&dropped, place.root);
	daxl_dropped_free(&dropped, place.slab, NULL, NULL);
	daxl_slab_destroy(place.slab);
}

static struct daxl_run new_run(daxl_nblk_t len)
{
	place.next_blk += 3;
	return (struct daxl_run){ .len = len, .blk = place.next_blk };
}

static void set(daxl_fblk_t at, struct daxl_run run)
{
	struct daxl_edit edit;

	daxl_edit_begin(&edit, place.slab, place.root);
	bench_check(daxl_edit_set(&edit, at, &run));
	end_edit(&edit);
}

static void lookup(unsigned ops, const void *arg)
{
	struct daxl_run run;

	(void)arg;
	bench_start();
	for (unsigned i = 0; i < ops; i++) {
		daxl_rope_lookup(place.root, bench_random() % (place.runs * 2), &run);
		sink += run.blk;
	}
	bench_stop();
}

static void set_run(unsigned ops, const void *arg)
{
	(void)arg;
	bench_start();
	for (unsigned i = 0; i < ops; i++)
		set(bench_random() % place.runs * 2, new_run(2));
	bench_stop();
}

static void punch_and_fill(unsigned ops, const void *arg)
{
	(void)arg;
	bench_start();
	for (unsigned i = 0; i < ops; i += 2) {
		daxl_fblk_t at = bench_random() % (place.runs * 2 - 1);

		set(at, (struct daxl_run){ .len = 1, .flags = DAXL_RUN_HOLE });
		set(at, new_run(1));
	}
	bench_stop();
}

/* A block at the front is taken out, and a hole put in. */
static void shift(unsigned ops, const void *arg)
{
	struct daxl_edit edit;

	(void)arg;
	bench_start();
	for (unsigned i = 0; i < ops; i += 2) {
		daxl_edit_begin(&edit, place.slab, place.root);
		bench_check(daxl_edit_remove(&edit, 0, 1));
		end_edit(&edit);
		daxl_edit_begin(&edit, place.slab, place.root);
		bench_check(daxl_edit_insert(&edit, 0, 1));
		end_edit(&edit);
	}
	bench_stop();
}

static void cut(unsigned ops, const void *arg)
{
	struct daxl_edit edit;

	(void)arg;
	for (unsigned i = 0; i < ops; i++) {
		daxl_edit_begin(&edit, place.slab, place.root);
		bench_start();
		bench_check(daxl_edit_cut(&edit, 3));
		bench_stop();
		daxl_edit_abort(&edit);
	}
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		bench_fn fn;
	} edits[] = {
		{ "rope: lookup", lookup },           { "rope: set a run", set_run },
		{ "rope: punch or fill", punch_and_fill }, { "rope: collapse or insert, front", shift },
		{ "rope: cut all but 3 blocks", cut },
	};
	static const uint64_t runs[] = { 16, 100000, 1000000 };

	bench_init(argc, argv, "bench_rope");
	for (size_t s = 0; s < BENCH_COUNT(runs); s++) {
		build(runs[s]);
		for (size_t i = 0; i < BENCH_COUNT(edits); i++) {
			char name[64];
			struct bench_path path = { name, BATCH, .ours = edits[i].fn };

			snprintf(name, sizeof(name), "%s, %u runs", edits[i].name, (unsigned)runs[s]);
			bench_run(&path);
		}
		destroy();
	}
	return bench_end();
}
