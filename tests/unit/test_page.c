/* SPDX-License-Identifier: BSD-3-Clause */
/* Metadata pages in blocks of every size: packing, distance, loading, exhaustion. */
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/hook.h"
#include "space/space.h"

#define APART 512u /* pages in 2 MiB */

static const unsigned shifts[] = {12, 13, 16, 21};

static struct daxl_space *make(daxl_nblk_t nblocks, unsigned shift)
{
	struct daxl_space *space = NULL;

	ck_assert_int_eq(daxl_space_create(nblocks, shift, 0, &space), 0);
	return space;
}

static daxl_nblk_t free_blocks(const struct daxl_space *space)
{
	struct daxl_space_stat st;

	daxl_space_stat(space, &st);
	ck_assert_uint_eq(st.reserved, 0);
	return st.free;
}

static daxl_page_t distance(daxl_page_t a, daxl_page_t b)
{
	return a > b ? a - b : b - a;
}

START_TEST(pages_are_packed_and_a_block_goes_with_its_last_page)
{
	unsigned shift = shifts[_i], per = 1u << (shift - 12);
	struct daxl_space *space = make(64, shift);
	unsigned npages = 5 * per;
	daxl_page_t *page = calloc(npages, sizeof(*page));
	char *seen = calloc((size_t)64 * per, 1);

	for (unsigned i = 0; i < npages; i++) {
		ck_assert_int_eq(daxl_page_alloc(space, 0, &page[i]), 0);
		ck_assert_uint_lt(page[i], 64 * per);
		ck_assert_int_eq(seen[page[i]]++, 0);
		ck_assert(daxl_space_is_used(space, page[i] / per));
		ck_assert_uint_eq(free_blocks(space), 64 - (i / per + 1));
	}
	for (unsigned i = 0; i < npages; i++) { /* in order of allocation: block by block */
		daxl_page_free(space, page[i]);
		ck_assert_uint_eq(free_blocks(space), 59 + (i + 1) / per);
	}
	free(page);
	free(seen);
	daxl_space_destroy(space);
}
END_TEST

START_TEST(a_freed_page_is_used_again_before_another_block_is_taken)
{
	unsigned per = 16;
	struct daxl_space *space = make(64, 16);
	daxl_page_t page[32], again;

	for (unsigned i = 0; i < 32; i++)
		ck_assert_int_eq(daxl_page_alloc(space, 0, &page[i]), 0);
	ck_assert_uint_eq(free_blocks(space), 64 - 32 / per);
	daxl_page_free(space, page[3]);
	ck_assert_int_eq(daxl_page_alloc(space, 0, &again), 0);
	ck_assert_uint_eq(again, page[3]);
	ck_assert_uint_eq(free_blocks(space), 64 - 32 / per);
	daxl_space_destroy(space);
}
END_TEST

START_TEST(a_second_copy_stands_two_mib_away_where_the_pool_allows)
{
	unsigned shift = shifts[_i];
	struct daxl_space *space = make((64u << 20) >> shift, shift);
	daxl_page_t page[400][2];

	for (unsigned i = 0; i < 400; i++) {
		ck_assert_int_eq(daxl_page_alloc(space, 0, &page[i][0]), 0);
		if (page[i][0] == 0) { /* page 0 stands for none; a pool has its superblock there */
			ck_assert_int_eq(daxl_page_alloc(space, 0, &page[i][0]), 0);
		}
		ck_assert_int_eq(daxl_page_alloc(space, page[i][0], &page[i][1]), 0);
		ck_assert_uint_ge(distance(page[i][0], page[i][1]), APART);
	}
	for (unsigned i = 0; i < 400; i++) {
		daxl_page_free(space, page[i][1]);
		daxl_page_free(space, page[i][0]);
	}
	daxl_space_destroy(space);
}
END_TEST

START_TEST(the_only_far_block_is_found)
{
	struct daxl_space *space = make(4096, 12);
	daxl_page_t page;

	/* Free: 1000 .. 1099 and 3000. */
	ck_assert_int_eq(daxl_space_mark(space, 0, 1000), 0);
	ck_assert_int_eq(daxl_space_mark(space, 1100, 1900), 0);
	ck_assert_int_eq(daxl_space_mark(space, 3001, 1095), 0);
	ck_assert_int_eq(daxl_page_alloc(space, 1050, &page), 0);
	ck_assert_uint_eq(page, 3000);
	/* And none there: better a near one than none. */
	ck_assert_int_eq(daxl_page_alloc(space, 1050, &page), 0);
	ck_assert_uint_ge(page, 1000);
	ck_assert_uint_lt(page, 1100);
	ck_assert_uint_eq(free_blocks(space), 99);
	daxl_space_destroy(space);
}
END_TEST

START_TEST(a_pool_of_one_block_gives_all_its_pages)
{
	struct daxl_space *space = make(1, 21);
	daxl_page_t page;

	for (unsigned i = 0; i < 512; i++)
		ck_assert_int_eq(daxl_page_alloc(space, 5, &page), 0);
	ck_assert_int_eq(daxl_page_alloc(space, 5, &page), -ENOSPC);
	ck_assert_int_eq(daxl_page_alloc(space, 0, &page), -ENOSPC);
	for (unsigned i = 0; i < 512; i++)
		daxl_page_free(space, i);
	ck_assert_uint_eq(free_blocks(space), 1);
	daxl_space_destroy(space);
}
END_TEST

START_TEST(pages_may_use_the_kept_back_blocks)
{
	struct daxl_space *space = NULL;
	daxl_page_t page;

	ck_assert_int_eq(daxl_space_create(4, 12, 4, &space), 0);
	ck_assert_int_eq(daxl_space_reserve(space, DAXL_SPACE_DATA, 1), -ENOSPC);
	for (unsigned i = 0; i < 4; i++)
		ck_assert_int_eq(daxl_page_alloc(space, 0, &page), 0);
	ck_assert_int_eq(daxl_page_alloc(space, 0, &page), -ENOSPC);
	daxl_space_destroy(space);
}
END_TEST

START_TEST(a_loaded_page_is_in_use_once)
{
	unsigned shift = shifts[_i], per = 1u << (shift - 12);
	struct daxl_space *space = make(64, shift);

	ck_assert_int_eq(daxl_page_mark(space, 3 * per), 0);
	ck_assert_int_eq(daxl_page_mark(space, 3 * per), -EUCLEAN);
	if (per > 1)
		ck_assert_int_eq(daxl_page_mark(space, 4 * per - 1), 0);
	ck_assert_uint_eq(free_blocks(space), 63);
	ck_assert_int_eq(daxl_page_mark(space, 64 * per), -EUCLEAN);
	ck_assert_int_eq(daxl_page_mark(space, UINT64_MAX), -EUCLEAN);
	ck_assert_int_eq(daxl_space_mark(space, 10, 1), 0); /* data */
	ck_assert_int_eq(daxl_page_mark(space, 10 * per), -EUCLEAN);
	ck_assert_int_eq(daxl_space_mark(space, 3, 1), -EUCLEAN);
	daxl_page_free(space, 3 * per);
	if (per > 1)
		daxl_page_free(space, 4 * per - 1);
	ck_assert_uint_eq(free_blocks(space), 63);
	ck_assert(!daxl_space_is_used(space, 3));
	daxl_space_destroy(space);
}
END_TEST

START_TEST(many_loaded_blocks_are_found_again)
{
	struct daxl_space *space = make(10000, 13);

	for (daxl_page_t p = 0; p < 20000; p += 3)
		ck_assert_int_eq(daxl_page_mark(space, p), 0);
	for (daxl_page_t p = 0; p < 20000; p += 3)
		ck_assert_int_eq(daxl_page_mark(space, p), -EUCLEAN);
	for (daxl_page_t p = 0; p < 20000; p += 3)
		daxl_page_free(space, p);
	ck_assert_uint_eq(free_blocks(space), 10000);
	daxl_space_destroy(space);
}
END_TEST

struct fault_plan {
	unsigned at, seen;
};

static bool fault_at(const char *point, void *arg)
{
	struct fault_plan *plan = arg;

	(void)point;
	return ++plan->seen == plan->at;
}

START_TEST(every_failing_allocation_leaves_nothing_in_use)
{
	for (unsigned n = 1;; n++) {
		struct fault_plan plan = {.at = n};
		struct daxl_space *space = make(400, 13);
		daxl_page_t page[150];
		bool marked;
		unsigned got = 0;

		daxl_fault_set(fault_at, &plan);
		marked = daxl_page_mark(space, 799) == 0;
		for (unsigned i = 0; i < 150; i++) {
			int err = daxl_page_alloc(space, i, &page[got]);

			ck_assert(err == 0 || err == -ENOMEM || err == -ENOSPC);
			got += err == 0;
		}
		daxl_fault_set(NULL, NULL);
		ck_assert_uint_ge(got + marked, 150);
		while (got)
			daxl_page_free(space, page[--got]);
		if (marked)
			daxl_page_free(space, 799);
		ck_assert_uint_eq(free_blocks(space), 400);
		daxl_space_destroy(space);
		if (plan.seen < n)
			break;
	}
}
END_TEST

struct worker {
	struct daxl_space *space;
	unsigned char *owner; /* by page; atomic */
	pthread_t thread;
	uint64_t seed;
	int wrong;
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

static void *work(void *arg)
{
	struct worker *w = arg;
	daxl_page_t page[100];
	unsigned n = 0;

	for (unsigned i = 0; i < 20000; i++) {
		uint64_t r = next_random(&w->seed);

		if (n == 100 || (n && r % 2)) {
			unsigned at = (unsigned)(r / 2 % n);

			w->wrong += __atomic_exchange_n(&w->owner[page[at]], 0, __ATOMIC_RELAXED) != 1;
			daxl_page_free(w->space, page[at]);
			page[at] = page[--n];
		} else if (daxl_page_alloc(w->space, r / 2 % 3 ? 0 : r / 8 % 1024, &page[n]) == 0) {
			w->wrong += __atomic_exchange_n(&w->owner[page[n]], 1, __ATOMIC_RELAXED) != 0;
			n++;
		}
	}
	while (n) {
		__atomic_store_n(&w->owner[page[--n]], 0, __ATOMIC_RELAXED);
		daxl_page_free(w->space, page[n]);
	}
	return NULL;
}

START_TEST(threads_never_get_a_page_twice)
{
	unsigned shift = shifts[_i];
	daxl_nblk_t nblocks = shift == 21 ? 2 : (1u << 20) >> shift; /* scarce */
	struct daxl_space *space = make(nblocks, shift);
	unsigned char *owner = calloc(nblocks << (shift - 12), 1);
	struct worker worker[3];

	for (unsigned i = 0; i < 3; i++) {
		worker[i] = (struct worker){.space = space, .owner = owner, .seed = seed_from_env() + i * 7919};
		ck_assert_int_eq(pthread_create(&worker[i].thread, NULL, work, &worker[i]), 0);
	}
	for (unsigned i = 0; i < 3; i++) {
		pthread_join(worker[i].thread, NULL);
		ck_assert_int_eq(worker[i].wrong, 0);
	}
	ck_assert_uint_eq(free_blocks(space), nblocks);
	free(owner);
	daxl_space_destroy(space);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("page");
	TCase *tc = tcase_create("page");
	SRunner *runner = srunner_create(suite);
	int n = (int)(sizeof(shifts) / sizeof(shifts[0]));
	int failed;

	printf("DAXL_SEED=%llu\n", (unsigned long long)seed_from_env());
	suite_add_tcase(suite, tc);
	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, pages_are_packed_and_a_block_goes_with_its_last_page, 0, n);
	tcase_add_test(tc, a_freed_page_is_used_again_before_another_block_is_taken);
	tcase_add_loop_test(tc, a_second_copy_stands_two_mib_away_where_the_pool_allows, 0, n);
	tcase_add_test(tc, the_only_far_block_is_found);
	tcase_add_test(tc, a_pool_of_one_block_gives_all_its_pages);
	tcase_add_test(tc, pages_may_use_the_kept_back_blocks);
	tcase_add_loop_test(tc, a_loaded_page_is_in_use_once, 0, n);
	tcase_add_test(tc, many_loaded_blocks_are_found_again);
	tcase_add_test(tc, every_failing_allocation_leaves_nothing_in_use);
	tcase_add_loop_test(tc, threads_never_get_a_page_twice, 0, n);
	srunner_set_fork_status(runner, CK_NOFORK);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
