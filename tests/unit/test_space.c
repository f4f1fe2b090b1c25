/* SPDX-License-Identifier: BSD-3-Clause */
/* Free space: accounting, where requests are placed, loading, growth, and threads against each other. */
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/hook.h"
#include "faults.h"
#include "space/space.h"

#define LINE 512u

static struct daxl_space *make(daxl_nblk_t nblocks, unsigned shift, daxl_nblk_t keep_back)
{
	struct daxl_space *space = NULL;

	ck_assert_int_eq(daxl_space_create(nblocks, shift, keep_back, &space), 0);
	return space;
}

static struct daxl_space_stat stat_of(const struct daxl_space *space)
{
	struct daxl_space_stat st;

	daxl_space_stat(space, &st);
	return st;
}

/* Reserves and takes. */
static struct daxl_blkrun take(struct daxl_space *space, daxl_nblk_t want, daxl_blk_t hint)
{
	struct daxl_blkrun run;

	ck_assert_int_eq(daxl_space_reserve(space, DAXL_SPACE_META, want), 0);
	daxl_space_take(space, want, hint, &run);
	ck_assert_uint_ge(run.len, 1);
	ck_assert_uint_le(run.len, want);
	daxl_space_unreserve(space, want - run.len);
	return run;
}

START_TEST(create_refuses_what_cannot_be_a_pool)
{
	struct daxl_space *space = NULL;

	ck_assert_int_eq(daxl_space_create(0, 12, 0, &space), -EINVAL);
	ck_assert_int_eq(daxl_space_create(8, 11, 0, &space), -EINVAL);
	ck_assert_int_eq(daxl_space_create(8, 22, 0, &space), -EINVAL);
	ck_assert_int_eq(daxl_space_create(8, 12, 9, &space), -EINVAL);
	ck_assert_int_eq(daxl_space_create(UINT64_MAX, 12, 0, &space), -EINVAL);
	ck_assert_ptr_null(space);
	ck_assert(daxl_error_last()[0] != '\0');
}
END_TEST

START_TEST(a_new_space_is_all_free)
{
	struct daxl_space *space = make(100000, 12, 10);
	struct daxl_space_stat st = stat_of(space);

	ck_assert_uint_eq(st.total, 100000);
	ck_assert_uint_eq(st.free, 100000);
	ck_assert_uint_eq(st.reserved, 0);
	ck_assert_uint_eq(st.keep_back, 10);
	ck_assert_uint_eq(st.shared, 0);
	for (daxl_blk_t b = 0; b < 100000; b++)
		ck_assert(!daxl_space_is_used(space, b));
	ck_assert(!daxl_space_is_used(space, 100000));
	daxl_space_destroy(space);
	daxl_space_destroy(NULL);
}
END_TEST

START_TEST(data_leaves_the_kept_back_blocks_to_metadata_to_the_block)
{
	struct daxl_space *space = make(1000, 12, 30);

	ck_assert_int_eq(daxl_space_reserve(space, DAXL_SPACE_DATA, 971), -ENOSPC);
	ck_assert_int_eq(daxl_space_reserve(space, DAXL_SPACE_DATA, 970), 0);
	ck_assert_int_eq(daxl_space_reserve(space, DAXL_SPACE_DATA, 1), -ENOSPC);
	ck_assert_int_eq(daxl_space_reserve(space, DAXL_SPACE_DATA, 0), 0);
	ck_assert_int_eq(daxl_space_reserve(space, DAXL_SPACE_META, 31), -ENOSPC);
	ck_assert_int_eq(daxl_space_reserve(space, DAXL_SPACE_META, 30), 0);
	ck_assert_int_eq(daxl_space_reserve(space, DAXL_SPACE_META, 1), -ENOSPC);
	ck_assert_uint_eq(stat_of(space).reserved, 1000);
	ck_assert_uint_eq(stat_of(space).free, 1000);
	daxl_space_unreserve(space, 1000);
	ck_assert_uint_eq(stat_of(space).reserved, 0);
	ck_assert_int_eq(daxl_space_reserve(space, DAXL_SPACE_DATA, UINT64_MAX), -ENOSPC);
	ck_assert_int_eq(daxl_space_reserve(space, DAXL_SPACE_META, UINT64_MAX), -ENOSPC);
	daxl_space_destroy(space);
}
END_TEST

START_TEST(a_reservation_can_be_taken_to_the_last_block)
{
	struct daxl_space *space = make(20000, 12, 0);
	daxl_nblk_t left = 20000;

	ck_assert_int_eq(daxl_space_reserve(space, DAXL_SPACE_DATA, left), 0);
	while (left) {
		struct daxl_blkrun run;

		daxl_space_take(space, left > 777 ? 777 : left, 0, &run);
		left -= run.len;
	}
	ck_assert_uint_eq(stat_of(space).free, 0);
	ck_assert_uint_eq(stat_of(space).reserved, 0);
	for (daxl_blk_t b = 0; b < 20000; b++)
		ck_assert(daxl_space_is_used(space, b));
	daxl_space_unref(space, 0, 20000);
	ck_assert_uint_eq(stat_of(space).free, 20000);
	daxl_space_destroy(space);
}
END_TEST

START_TEST(a_run_goes_on_at_the_hint)
{
	struct daxl_space *space = make(1 << 16, 12, 0);
	struct daxl_blkrun run = take(space, 7, 5000);

	ck_assert_uint_eq(run.blk, 5000);
	ck_assert_uint_eq(run.len, 7);
	for (daxl_blk_t at = 5007; at < 5000 + 3 * LINE; at++) {
		run = take(space, 1, at);
		ck_assert_uint_eq(run.blk, at);
	}
	daxl_space_destroy(space);
}
END_TEST

START_TEST(a_hint_outside_of_the_pool_is_no_hint)
{
	struct daxl_space *space = make(1000, 12, 0);
	struct daxl_blkrun run = take(space, 10, 1000);

	ck_assert_uint_eq(run.len, 10);
	run = take(space, 10, UINT64_MAX);
	ck_assert_uint_eq(run.len, 10);
	daxl_space_destroy(space);
}
END_TEST

START_TEST(small_requests_fill_used_lines_before_they_break_a_free_one)
{
	struct daxl_space *space = make(64 * LINE, 12, 0);

	ck_assert_int_eq(daxl_space_mark(space, 40 * LINE, 1), 0);
	for (unsigned i = 0; i < LINE - 1; i++) {
		struct daxl_blkrun run = take(space, 1, 40 * LINE); /* used: no run to go on with */

		ck_assert_uint_eq(run.blk / LINE, 40);
	}
	ck_assert_uint_ne(take(space, 1, 40 * LINE).blk / LINE, 40);
	daxl_space_destroy(space);
}
END_TEST

START_TEST(the_tightest_hole_is_taken)
{
	struct daxl_space *space = make(64 * LINE, 12, 0);
	struct daxl_blkrun run;

	/* Line 3: holes of 100 at 10, 20 at 200, 30 at 300. */
	ck_assert_int_eq(daxl_space_mark(space, 3 * LINE, 10), 0);
	ck_assert_int_eq(daxl_space_mark(space, 3 * LINE + 110, 90), 0);
	ck_assert_int_eq(daxl_space_mark(space, 3 * LINE + 220, 80), 0);
	ck_assert_int_eq(daxl_space_mark(space, 3 * LINE + 330, LINE - 330), 0);
	run = take(space, 18, 3 * LINE);
	ck_assert_uint_eq(run.blk, 3 * LINE + 200);
	ck_assert_uint_eq(run.len, 18);
	run = take(space, 21, 3 * LINE);
	ck_assert_uint_eq(run.blk, 3 * LINE + 300);
	/* What fits in no hole of the line breaks a free one rather than come in pieces. */
	run = take(space, 101, 3 * LINE);
	ck_assert_uint_eq(run.len, 101);
	ck_assert_uint_ne(run.blk / LINE, 3);
	daxl_space_destroy(space);
}
END_TEST

START_TEST(large_requests_get_aligned_regions)
{
	static const unsigned shifts[] = {12, 13, 16, 20, 21};

	for (unsigned s = 0; s < sizeof(shifts) / sizeof(shifts[0]); s++) {
		unsigned shift = shifts[s];
		daxl_nblk_t region = 1u << (21 - shift);
		struct daxl_space *space = make(1 << 16, shift, 0);

		/* Litter, so that most lines are touched. */
		for (daxl_blk_t b = 1; b < 1 << 15; b += 300)
			ck_assert_int_eq(daxl_space_mark(space, b, 1), 0);
		for (unsigned i = 0; i < 20; i++) {
			struct daxl_blkrun run = take(space, region, i % 3 ? 0 : 77 * i);

			ck_assert_uint_eq(run.blk % region, 0);
			ck_assert_uint_eq(run.len, region);
		}
		daxl_space_destroy(space);
	}
}
END_TEST

START_TEST(a_huge_request_crosses_groups_in_one_run)
{
	struct daxl_space *space = make(1 << 18, 12, 0);
	struct daxl_blkrun run = take(space, 100000, 8192);

	ck_assert_uint_eq(run.blk, 8192);
	ck_assert_uint_eq(run.len, 100000);
	run = take(space, 1 << 17, 0);
	ck_assert_uint_eq(run.blk % LINE, 0);
	ck_assert_uint_ge(run.len, 8192);
	daxl_space_destroy(space);
}
END_TEST

START_TEST(a_full_pool_gives_the_pieces_it_has)
{
	struct daxl_space *space = make(1 << 15, 12, 0);
	daxl_nblk_t left = 0;

	/* Every seventh block is free. */
	for (daxl_blk_t b = 0; b < 1 << 15; b++) {
		if (b % 7)
			ck_assert_int_eq(daxl_space_mark(space, b, 1), 0);
		else
			left++;
	}
	ck_assert_int_eq(daxl_space_reserve(space, DAXL_SPACE_DATA, left), 0);
	while (left) {
		struct daxl_blkrun run;

		daxl_space_take(space, left > 2000 ? 2000 : left, 0, &run);
		ck_assert_uint_eq(run.blk % 7, 0);
		ck_assert_uint_eq(run.len, 1);
		left--;
	}
	ck_assert_uint_eq(stat_of(space).free, 0);
	daxl_space_destroy(space);
}
END_TEST

START_TEST(take_aligned_finds_the_only_place_and_no_other)
{
	struct daxl_space *space = make(1 << 15, 12, 0);
	struct daxl_blkrun run = {0, 0};

	/* Free: 8190 .. 8195 over a group's border, and 20001 .. 20016. */
	ck_assert_int_eq(daxl_space_mark(space, 0, 8190), 0);
	ck_assert_int_eq(daxl_space_mark(space, 8196, 20001 - 8196), 0);
	ck_assert_int_eq(daxl_space_mark(space, 20017, (1 << 15) - 20017), 0);
	ck_assert_int_eq(daxl_space_reserve(space, DAXL_SPACE_DATA, 22), 0);
	ck_assert(!daxl_space_take_aligned(space, 17, 1, &run));
	ck_assert(!daxl_space_take_aligned(space, 16, 16, &run));
	ck_assert(!daxl_space_take_aligned(space, 1, 1 << 14, &run));
	ck_assert(!daxl_space_take_aligned(space, 1 << 16, 1, &run));
	ck_assert(!daxl_space_take_aligned(space, 1, 1 << 20, &run));
	ck_assert_uint_eq(run.len, 0);
	ck_assert_uint_eq(stat_of(space).free, 22);
	ck_assert(daxl_space_take_aligned(space, 4, 8192, &run));
	ck_assert_uint_eq(run.blk, 8192);
	ck_assert_uint_eq(run.len, 4);
	ck_assert(daxl_space_take_aligned(space, 2, 2, &run));
	ck_assert_uint_eq(run.blk, 8190);
	ck_assert(daxl_space_take_aligned(space, 8, 8, &run));
	ck_assert_uint_eq(run.blk, 20008);
	ck_assert_uint_eq(stat_of(space).reserved, 8);
	daxl_space_destroy(space);
}
END_TEST

START_TEST(take_aligned_takes_over_borders_of_groups)
{
	struct daxl_space *space = make(1 << 15, 12, 0);
	struct daxl_blkrun run;

	ck_assert_int_eq(daxl_space_mark(space, 0, 8000), 0);
	ck_assert_int_eq(daxl_space_reserve(space, DAXL_SPACE_DATA, 20000), 0);
	ck_assert(daxl_space_take_aligned(space, 20000, 1000, &run));
	ck_assert_uint_eq(run.blk, 8000);
	ck_assert_uint_eq(stat_of(space).free, (1 << 15) - 28000);
	daxl_space_unref(space, run.blk, run.len);
	ck_assert_uint_eq(stat_of(space).free, (1 << 15) - 8000);
	daxl_space_destroy(space);
}
END_TEST

START_TEST(mark_takes_all_or_nothing)
{
	struct daxl_space *space = make(30000, 12, 0);

	ck_assert_int_eq(daxl_space_mark(space, 16384, 1), 0);
	ck_assert_int_eq(daxl_space_mark(space, 100, 17000), -EUCLEAN); /* fails in the third group */
	ck_assert_uint_eq(stat_of(space).free, 29999);
	for (daxl_blk_t b = 0; b < 30000; b++)
		ck_assert(daxl_space_is_used(space, b) == (b == 16384));
	ck_assert_int_eq(daxl_space_mark(space, 29999, 2), -EUCLEAN);
	ck_assert_int_eq(daxl_space_mark(space, 30000, 1), -EUCLEAN);
	ck_assert_int_eq(daxl_space_mark(space, 1, UINT64_MAX), -EUCLEAN);
	ck_assert_int_eq(daxl_space_mark(space, UINT64_MAX, 1), -EUCLEAN);
	ck_assert_int_eq(daxl_space_mark(space, 16384, 1), -EUCLEAN);
	ck_assert_int_eq(daxl_space_mark(space, 29999, 1), 0);
	ck_assert_int_eq(daxl_space_reserve(space, DAXL_SPACE_DATA, 29998), 0);
	ck_assert_int_eq(daxl_space_mark(space, 5, 1), -EUCLEAN); /* all the rest is promised */
	ck_assert_uint_eq(stat_of(space).reserved, 29998);
	daxl_space_destroy(space);
}
END_TEST

START_TEST(growth_adds_exactly_the_new_blocks)
{
	static const daxl_nblk_t sizes[] = {5, 6, 511, 512, 8191, 8192, 8193, 16384, 30000, 100001};
	struct daxl_space *space = make(1, 12, 0);
	daxl_nblk_t used = 0;

	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		ck_assert_int_eq(daxl_space_grow(space, sizes[i]), 0);
		ck_assert_uint_eq(stat_of(space).total, sizes[i]);
		ck_assert_uint_eq(stat_of(space).free, sizes[i] - used);
		ck_assert_int_eq(daxl_space_mark(space, sizes[i], 1), -EUCLEAN);
		while (used < sizes[i])
			used += take(space, sizes[i] - used, 0).len;
		ck_assert_int_eq(daxl_space_reserve(space, DAXL_SPACE_META, 1), -ENOSPC);
	}
	ck_assert_int_eq(daxl_space_grow(space, 100001), 0);
	ck_assert_int_eq(daxl_space_grow(space, 100000), -EINVAL);
	ck_assert_int_eq(daxl_space_grow(space, UINT64_MAX), -ENOMEM);
	daxl_space_unref(space, 0, 100001);
	ck_assert_uint_eq(stat_of(space).free, 100001);
	daxl_space_destroy(space);
}
END_TEST

START_TEST(what_is_exported_can_be_imported)
{
	static const daxl_nblk_t sizes[] = {1, 7, 64, 1000, 8192, 20003};

	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		daxl_nblk_t n = sizes[i], used = 0;
		struct daxl_space *from = make(n, 12, 0), *to = make(n, 12, 0);
		size_t size = daxl_space_export_size(from);
		uint8_t *bits = malloc(size), *again = malloc(size);

		ck_assert_uint_eq(size, (n + 7) / 8);
		for (daxl_blk_t b = 0; b < n; b = b * 3 / 2 + 1, used++)
			ck_assert_int_eq(daxl_space_mark(from, b, 1), 0);
		daxl_space_export(from, bits);
		ck_assert_int_eq(daxl_space_mark(to, 0, 1), 0); /* marked before: stays at one reference */
		ck_assert_int_eq(daxl_space_import(to, bits), 0);
		ck_assert_uint_eq(stat_of(to).free, n - used);
		for (daxl_blk_t b = 0; b < n; b++) {
			ck_assert(daxl_space_is_used(to, b) == daxl_space_is_used(from, b));
			ck_assert(daxl_space_is_used(to, b) == (bits[b / 8] >> (b % 8) & 1));
		}
		daxl_space_export(to, again);
		ck_assert(memcmp(bits, again, size) == 0);
		if (n % 8) {
			bits[size - 1] |= 0x80;
			ck_assert_int_eq(daxl_space_import(to, bits), -EUCLEAN);
			ck_assert_uint_eq(stat_of(to).free, n - used);
		}
		daxl_space_unref(to, 0, 1);
		ck_assert(!daxl_space_is_used(to, 0));
		free(bits);
		free(again);
		daxl_space_destroy(from);
		daxl_space_destroy(to);
	}
}
END_TEST

START_TEST(a_sparse_pool_of_16_tib_is_made_and_used)
{
	struct daxl_space *space = make(UINT64_C(1) << 32, 12, 0);
	struct daxl_blkrun run = take(space, 512, UINT64_C(0xfff00000));

	ck_assert_uint_eq(run.blk, UINT64_C(0xfff00000));
	ck_assert_int_eq(daxl_space_ref(space, run.blk, 512), 0);
	ck_assert(daxl_space_is_shared(space, run.blk, 512, NULL));
	daxl_space_unref(space, run.blk, 512);
	daxl_space_unref(space, run.blk, 512);
	ck_assert_uint_eq(stat_of(space).free, UINT64_C(1) << 32);
	daxl_space_destroy(space);
}
END_TEST

struct fault_plan {
	unsigned at, seen; /* seen: by one thread */
};

static bool fault_at(const char *point, void *arg)
{
	struct fault_plan *plan = arg;

	return fault_is_memory(point) && ++plan->seen == plan->at;
}

static bool fault_always(const char *point, void *arg)
{
	(void)point;
	(void)arg;
	return true;
}

START_TEST(without_any_memory_there_is_no_space)
{
	struct daxl_space *space = NULL;

	daxl_fault_set(fault_always, NULL);
	ck_assert_int_eq(daxl_space_create(5000, 12, 0, &space), -ENOMEM);
	daxl_fault_set(NULL, NULL);
	ck_assert_ptr_null(space);
}
END_TEST

/* Where only the address space to grow into is refused, the space is made and refuses to grow. */
START_TEST(every_failing_allocation_leaves_nothing_behind)
{
	for (unsigned n = 1;; n++) {
		struct fault_plan plan = {.at = n};
		struct daxl_space *space = NULL;
		int err;

		daxl_fault_set(fault_at, &plan);
		err = daxl_space_create(5000, 12, 0, &space);
		if (!err) {
			int grown = daxl_space_grow(space, 1 << 20);
			struct daxl_blkrun run;

			ck_assert(grown == 0 || grown == -ENOMEM);
			ck_assert_uint_eq(stat_of(space).total, grown ? 5000 : 1 << 20);
			ck_assert_uint_eq(stat_of(space).free, grown ? 5000 : 1 << 20);
			ck_assert_int_eq(daxl_space_reserve(space, DAXL_SPACE_DATA, 5000), 0);
			ck_assert(daxl_space_take_aligned(space, 5000, 1, &run));
			daxl_space_destroy(space);
		} else {
			ck_assert_int_eq(err, -ENOMEM);
			ck_assert_ptr_null(space);
		}
		daxl_fault_set(NULL, NULL);
		if (plan.seen < n)
			break;
	}
}
END_TEST

#define THREADS 4
#define OWNED_MAX 512

struct arena {
	struct daxl_space *space;
	unsigned char *owner; /* by block: taken right now; atomic */
	daxl_nblk_t nblocks;
	unsigned rounds;
	uint64_t seed;
	int errors; /* atomic */
};

struct worker {
	struct arena *arena;
	pthread_t thread;
	uint64_t seed;
};

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state * UINT64_C(0x2545f4914f6cdd1d) >> 11;
}

static uint64_t seed_from_env(void)
{
	const char *text = getenv("DAXL_SEED");
	uint64_t seed = text ? strtoull(text, NULL, 0) : 20261121;

	return seed ? seed : 1;
}

static void own(struct arena *arena, struct daxl_blkrun run, unsigned char from, unsigned char to)
{
	for (daxl_blk_t b = run.blk; b < run.blk + run.len; b++)
		if (__atomic_exchange_n(&arena->owner[b], to, __ATOMIC_RELAXED) != from)
			__atomic_fetch_add(&arena->errors, 1, __ATOMIC_RELAXED);
}

/* Takes and frees at random, with every kind of request; checks that what it gets belongs to nobody. */
static void *work(void *arg)
{
	struct worker *w = arg;
	struct arena *arena = w->arena;
	struct daxl_blkrun owned[OWNED_MAX];
	unsigned n = 0;

	for (unsigned i = 0; i < arena->rounds; i++) {
		uint64_t r = next_random(&w->seed);
		daxl_nblk_t want = r % 16 == 0 ? r / 16 % 2000 + 1 : r / 16 % 12 + 1;

		if (n == OWNED_MAX || (n && r / 8192 % 2)) {
			unsigned at = (unsigned)(r / 65536 % n);

			own(arena, owned[at], 1, 0);
			daxl_space_unref(arena->space, owned[at].blk, owned[at].len);
			owned[at] = owned[--n];
		} else if (daxl_space_reserve(arena->space, DAXL_SPACE_DATA, want) == 0) {
			struct daxl_blkrun run;
			daxl_blk_t hint = r / 65536 % 2 ? r / 131072 % arena->nblocks : 0;

			if (r / 65536 % 8 || !daxl_space_take_aligned(arena->space, want, 4, &run))
				daxl_space_take(arena->space, want, hint, &run);
			if (run.len == 0 || run.len > want || run.blk + run.len > arena->nblocks)
				__atomic_fetch_add(&arena->errors, 1, __ATOMIC_RELAXED);
			own(arena, run, 0, 1);
			daxl_space_unreserve(arena->space, want - run.len);
			owned[n++] = run;
		}
	}
	while (n--) {
		own(arena, owned[n], 1, 0);
		daxl_space_unref(arena->space, owned[n].blk, owned[n].len);
	}
	return NULL;
}

static void run_threads(daxl_nblk_t nblocks, unsigned shift, unsigned rounds)
{
	struct arena arena = {.nblocks = nblocks, .rounds = rounds, .seed = seed_from_env()};
	struct worker worker[THREADS];

	arena.space = make(nblocks, shift, 3);
	arena.owner = calloc(nblocks, 1);
	for (unsigned i = 0; i < THREADS; i++) {
		worker[i] = (struct worker){.arena = &arena, .seed = arena.seed + i * 7919};
		ck_assert_int_eq(pthread_create(&worker[i].thread, NULL, work, &worker[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(worker[i].thread, NULL);
	ck_assert_msg(arena.errors == 0, "%d blocks given twice, DAXL_SEED=%llu", arena.errors,
	              (unsigned long long)arena.seed);
	ck_assert_uint_eq(stat_of(arena.space).free, nblocks);
	ck_assert_uint_eq(stat_of(arena.space).reserved, 0);
	ck_assert_int_eq(daxl_space_reserve(arena.space, DAXL_SPACE_DATA, nblocks - 2), -ENOSPC);
	ck_assert_int_eq(daxl_space_reserve(arena.space, DAXL_SPACE_DATA, nblocks - 3), 0);
	ck_assert_int_eq(daxl_space_reserve(arena.space, DAXL_SPACE_META, 3), 0);
	ck_assert_int_eq(daxl_space_reserve(arena.space, DAXL_SPACE_META, 1), -ENOSPC);
	daxl_space_destroy(arena.space);
	free(arena.owner);
}

START_TEST(threads_never_get_a_block_twice)
{
	run_threads(1 << 18, 12, 20000);
}
END_TEST

START_TEST(threads_share_a_pool_that_is_nearly_full)
{
	run_threads(3000, 21, 20000);
	run_threads(600, 12, 20000);
}
END_TEST

#define QUOTA 3000u

/* Reserves up to a quota, by ones and all at once, and gives it back. */
static void *reserve_quota(void *arg)
{
	struct worker *w = arg;
	daxl_nblk_t held = 0;

	for (unsigned i = 0; i < w->arena->rounds; i++) {
		uint64_t r = next_random(&w->seed);
		daxl_nblk_t left = QUOTA - held;

		if (left && r % 2) {
			daxl_nblk_t n = r / 2 % 4 ? r / 8 % daxl_min_u64(left, 80) + 1 : left;

			if (daxl_space_reserve(w->arena->space, DAXL_SPACE_DATA, n) != 0)
				__atomic_fetch_add(&w->arena->errors, 1, __ATOMIC_RELAXED);
			else
				held += n;
		} else if (held) {
			daxl_nblk_t n = r / 2 % 4 ? r / 8 % daxl_min_u64(held, 80) + 1 : held;

			daxl_space_unreserve(w->arena->space, n);
			held -= n;
		}
	}
	daxl_space_unreserve(w->arena->space, held);
	return NULL;
}

START_TEST(a_thread_within_its_share_of_the_pool_is_never_refused)
{
	for (unsigned keep_back = 0; keep_back <= 500; keep_back += 500) {
		struct arena arena = {.rounds = 50000, .seed = seed_from_env()};
		struct worker worker[THREADS];

		arena.space = make(THREADS * QUOTA + keep_back, 12, keep_back);
		for (unsigned i = 0; i < THREADS; i++) {
			worker[i] = (struct worker){.arena = &arena, .seed = arena.seed + i * 7919};
			ck_assert_int_eq(pthread_create(&worker[i].thread, NULL, reserve_quota, &worker[i]), 0);
		}
		for (unsigned i = 0; i < THREADS; i++)
			pthread_join(worker[i].thread, NULL);
		ck_assert_msg(arena.errors == 0, "refused %d times, DAXL_SEED=%llu", arena.errors,
		              (unsigned long long)arena.seed);
		ck_assert_uint_eq(stat_of(arena.space).reserved, 0);
		daxl_space_destroy(arena.space);
	}
}
END_TEST

static void *grow_slowly(void *arg)
{
	struct arena *arena = arg;

	for (daxl_nblk_t n = 1000; n <= arena->nblocks; n += 1777)
		if (daxl_space_grow(arena->space, n) != 0)
			__atomic_fetch_add(&arena->errors, 1, __ATOMIC_RELAXED);
	return NULL;
}

START_TEST(threads_work_while_the_pool_grows)
{
	struct arena arena = {.space = make(1000, 12, 3), .nblocks = 1 << 17, .rounds = 10000, .seed = seed_from_env()};
	struct worker worker[2];
	pthread_t grower;
	daxl_nblk_t total;

	arena.owner = calloc(arena.nblocks, 1);
	ck_assert_int_eq(pthread_create(&grower, NULL, grow_slowly, &arena), 0);
	for (unsigned i = 0; i < 2; i++) {
		worker[i] = (struct worker){.arena = &arena, .seed = arena.seed + i * 7919};
		ck_assert_int_eq(pthread_create(&worker[i].thread, NULL, work, &worker[i]), 0);
	}
	pthread_join(grower, NULL);
	for (unsigned i = 0; i < 2; i++)
		pthread_join(worker[i].thread, NULL);
	total = stat_of(arena.space).total;
	ck_assert_int_eq(arena.errors, 0);
	ck_assert_uint_eq(stat_of(arena.space).free, total);
	/* Each block can be had: none was lost where the end used to be. */
	ck_assert_int_eq(daxl_space_mark(arena.space, 0, total), 0);
	daxl_space_destroy(arena.space);
	free(arena.owner);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("space");
	TCase *one = tcase_create("one thread");
	TCase *many = tcase_create("threads");
	SRunner *runner = srunner_create(suite);
	int failed;

	printf("DAXL_SEED=%llu\n", (unsigned long long)seed_from_env());
	suite_add_tcase(suite, one);
	tcase_add_test(one, create_refuses_what_cannot_be_a_pool);
	tcase_add_test(one, a_new_space_is_all_free);
	tcase_add_test(one, data_leaves_the_kept_back_blocks_to_metadata_to_the_block);
	tcase_add_test(one, a_reservation_can_be_taken_to_the_last_block);
	tcase_add_test(one, a_run_goes_on_at_the_hint);
	tcase_add_test(one, a_hint_outside_of_the_pool_is_no_hint);
	tcase_add_test(one, small_requests_fill_used_lines_before_they_break_a_free_one);
	tcase_add_test(one, the_tightest_hole_is_taken);
	tcase_add_test(one, large_requests_get_aligned_regions);
	tcase_add_test(one, a_huge_request_crosses_groups_in_one_run);
	tcase_add_test(one, a_full_pool_gives_the_pieces_it_has);
	tcase_add_test(one, take_aligned_finds_the_only_place_and_no_other);
	tcase_add_test(one, take_aligned_takes_over_borders_of_groups);
	tcase_add_test(one, mark_takes_all_or_nothing);
	tcase_add_test(one, growth_adds_exactly_the_new_blocks);
	tcase_add_test(one, what_is_exported_can_be_imported);
	tcase_add_test(one, a_sparse_pool_of_16_tib_is_made_and_used);
	tcase_add_test(one, without_any_memory_there_is_no_space);
	tcase_add_test(one, every_failing_allocation_leaves_nothing_behind);
	suite_add_tcase(suite, many);
	tcase_set_timeout(many, 120);
	tcase_add_test(many, threads_never_get_a_block_twice);
	tcase_add_test(many, threads_share_a_pool_that_is_nearly_full);
	tcase_add_test(many, a_thread_within_its_share_of_the_pool_is_never_refused);
	tcase_add_test(many, threads_work_while_the_pool_grows);
	srunner_set_fork_status(runner, CK_NOFORK);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
