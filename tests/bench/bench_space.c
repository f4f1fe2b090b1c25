/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The allocator alone: taking and freeing blocks near a hint, in an aged space of 16 TiB, by two threads, and sharing.
 * Aged: in lines spread through the space about half of the blocks are used, in single blocks at random.
 */
#include <search.h>
#include <stdlib.h>

#include "base/compiler.h"
#include "harness.h"
#include "space/space.h"

#define BLOCKS (UINT64_C(1) << 32) /* 16 TiB */
#define LINE 512u
#define LINES 8192u
#define LINE_STEP (BLOCKS / LINES)
#define BATCH 1000u

static struct daxl_space *space;

static struct daxl_space *make(daxl_nblk_t nblocks)
{
	struct daxl_space *made;

	bench_check(daxl_space_create(nblocks, 12, 0, &made));
	return made;
}

static daxl_blk_t take_one(daxl_blk_t hint)
{
	struct daxl_blkrun run;

	bench_check(daxl_space_reserve(space, DAXL_SPACE_DATA, 1));
	daxl_space_take(space, 1, hint, &run);
	return run.blk;
}

/* A block in some aged line, used or not. */
static daxl_blk_t aged_place(void)
{
	return bench_random() % LINES * LINE_STEP + bench_random() % LINE;
}

/* Takes blocks near random places of aged lines, or all near the one that arg points to; frees them untimed. */
static void take(unsigned ops, const void *arg)
{
	static daxl_blk_t at[BATCH];
	const uint64_t *fixed = arg;

	for (unsigned i = 0; i < ops; i++)
		at[i] = fixed ? *fixed : aged_place();
	bench_start();
	for (unsigned i = 0; i < ops; i++)
		at[i] = take_one(at[i]);
	bench_stop();
	for (unsigned i = 0; i < ops; i++)
		daxl_space_unref(space, at[i], 1);
}

static void take_and_free(unsigned ops, const void *arg)
{
	const uint64_t *hint = arg;

	bench_start();
	for (unsigned i = 0; i < ops; i++)
		daxl_space_unref(space, take_one(*hint), 1);
	bench_stop();
}

static void two_threads(unsigned ops, const void *arg)
{
	const uint64_t *hints = arg;

	bench_both(take_and_free, ops, &hints[0], &hints[1]);
}

/* --- the peer: free pieces in two red-black trees, by place and by size, as tsearch of glibc has them --- */

struct piece {
	daxl_blk_t at;
	daxl_nblk_t len;
};

static void *by_place, *by_size;
static const struct piece *nearest; /* the first piece at or behind what is searched, of those that were met */

static int place_order(const void *a, const void *b)
{
	const struct piece *x = a, *y = b;

	return (x->at > y->at) - (x->at < y->at);
}

static int size_order(const void *a, const void *b)
{
	const struct piece *x = a, *y = b;

	return x->len != y->len ? (x->len > y->len) - (x->len < y->len) : place_order(a, b);
}

static int place_search(const void *key, const void *met)
{
	const struct piece *want = key, *piece = met;

	if (piece->at >= want->at && (!nearest || piece->at < nearest->at))
		nearest = piece;
	return place_order(key, met);
}

static void insert(void *key, void **tree, int (*order)(const void *a, const void *b))
{
	if (!tsearch(key, tree, order))
		bench_die("memory of a tree");
}

static void add_piece(daxl_blk_t at, daxl_nblk_t len)
{
	struct piece *piece = bench_alloc(sizeof(*piece));

	*piece = (struct piece){ .at = at, .len = len };
	insert(piece, &by_place, place_order);
	insert(piece, &by_size, size_order);
}

static void tree_remove(struct piece *piece)
{
	tdelete(piece, &by_place, place_order);
	tdelete(piece, &by_size, size_order);
}

/* Takes the first block of the first piece behind the hint. */
static daxl_blk_t tree_take(daxl_blk_t hint)
{
	struct piece want = { .at = hint }, *piece;
	daxl_blk_t at;

	nearest = NULL;
	(void)tfind(&want, &by_place, place_search);
	if (!nearest) {
		want.at = 0;
		(void)tfind(&want, &by_place, place_search);
	}
	piece = (struct piece *)(uintptr_t)nearest;
	at = piece->at;
	tdelete(piece, &by_size, size_order);
	if (piece->len == 1) {
		tdelete(piece, &by_place, place_order);
		free(piece);
		return at;
	}
	piece->at++; /* keeps its place among the others */
	piece->len--;
	insert(piece, &by_size, size_order);
	return at;
}

/* The block goes to the piece behind it, if that is its neighbour. */
static void tree_free(daxl_blk_t at)
{
	struct piece want = { .at = at };

	nearest = NULL;
	(void)tfind(&want, &by_place, place_search);
	if (nearest && nearest->at == at + 1) {
		struct piece *next = (struct piece *)(uintptr_t)nearest;
		daxl_nblk_t len = next->len;

		tree_remove(next);
		free(next);
		add_piece(at, len + 1);
		return;
	}
	add_piece(at, 1);
}

static void trees_take(unsigned ops, const void *arg)
{
	static daxl_blk_t at[BATCH];
	const uint64_t *fixed = arg;

	for (unsigned i = 0; i < ops; i++)
		at[i] = fixed ? *fixed : aged_place();
	bench_start();
	for (unsigned i = 0; i < ops; i++)
		at[i] = tree_take(at[i]);
	bench_stop();
	for (unsigned i = ops; i > 0; i--)
		tree_free(at[i - 1]);
}

/* Ages the space, and gives the trees the same free pieces. */
static void age(bool trees)
{
	for (uint64_t i = 0; i < LINES; i++) {
		daxl_blk_t line = i * LINE_STEP, free_from = line;

		for (unsigned j = 0; j < LINE; j++) {
			if (bench_random() & 1)
				continue;
			bench_check(daxl_space_mark(space, line + j, 1));
			if (trees && free_from < line + j)
				add_piece(free_from, line + j - free_from);
			free_from = line + j + 1;
		}
		if (trees)
			add_piece(free_from, line + LINE_STEP - free_from);
	}
}

/* --- sharing --- */

#define SHARED (1u << 20)

static void ask_shared(unsigned ops, const void *arg)
{
	uint64_t sum = 0;
	daxl_nblk_t same;

	(void)arg;
	bench_start();
	for (unsigned i = 0; i < ops; i++)
		sum += daxl_space_is_shared(space, bench_random() % SHARED, 1, &same);
	bench_stop();
	if (sum > ops)
		abort();
}

static void share(unsigned ops, const void *arg)
{
	static daxl_blk_t at[BATCH];

	(void)arg;
	for (unsigned i = 0; i < ops; i++)
		at[i] = bench_random() % SHARED;
	bench_start();
	for (unsigned i = 0; i < ops; i++)
		bench_check(daxl_space_ref(space, at[i], 1));
	bench_stop();
	for (unsigned i = 0; i < ops; i++)
		daxl_space_unref(space, at[i], 1);
}

int main(int argc, char **argv)
{
	static const uint64_t hints[] = { 4 * LINE_STEP, BLOCKS / 2 };
	static const struct bench_path aged[] = { {
		"allocator, aged 16 TiB, random hints", BATCH, take, .most_ns = 50,
		.peers = { { .name = "two red-black trees", trees_take, NULL, 20 } },
	}, {
		"allocator, aged 16 TiB, one hint", BATCH, take, hints, .most_ns = 50,
		.peers = { { .name = "two red-black trees", trees_take, hints, 20 } },
	}, {
		"take + free at one hint", BATCH, take_and_free, .arg = hints,
	}, {
		"take + free, two threads, each", 100000, two_threads, .arg = hints,
	} };
	static const struct bench_path shared[] = {
		{ "is_shared, nothing shared", BATCH, .ours = ask_shared },
		{ "ref of a random block", BATCH, .ours = share },
	};

	bench_init(argc, argv, "bench_space");
	space = make(BLOCKS);
	age(bench_wants(aged[0].name) || bench_wants(aged[1].name));
	for (size_t i = 0; i < BENCH_COUNT(aged); i++)
		bench_run(&aged[i]);
	daxl_space_destroy(space);
	space = make(SHARED);
	bench_check(daxl_space_mark(space, 0, SHARED));
	for (size_t i = 0; i < BENCH_COUNT(shared); i++)
		bench_run(&shared[i]);
	daxl_space_destroy(space);
	return bench_end();
}
