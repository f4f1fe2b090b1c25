/* SPDX-License-Identifier: BSD-3-Clause */
/* Limbo: blocks come back once, when the last hold goes. */
#include <check.h>
#include <errno.h>
#include <pthread.h>

#include "base/hook.h"
#include "space/limbo.h"

static daxl_nblk_t free_blocks(const struct daxl_space *space)
{
	struct daxl_space_stat st;

	daxl_space_stat(space, &st);
	return st.free;
}

static struct daxl_space *make(void)
{
	struct daxl_space *space = NULL;

	ck_assert_int_eq(daxl_space_create(10000, 12, 0, &space), 0);
	ck_assert_int_eq(daxl_space_mark(space, 0, 1000), 0);
	return space;
}

struct seen {
	struct daxl_space *space;
	unsigned calls; /* atomic */
	daxl_nblk_t free;
};

static void done(void *arg)
{
	struct seen *seen = arg;

	__atomic_fetch_add(&seen->calls, 1, __ATOMIC_RELAXED);
	seen->free = free_blocks(seen->space);
}

START_TEST(blocks_are_released_by_the_last_put_and_done_is_called_after)
{
	struct daxl_space *space = make();
	struct seen seen = {.space = space};
	struct daxl_limbo *limbo = NULL;

	ck_assert_int_eq(daxl_limbo_create(space, done, &seen, &limbo), 0);
	ck_assert_uint_eq(daxl_limbo_blocks(limbo), 0);
	for (daxl_blk_t b = 0; b < 100; b += 10) /* more runs than fit at first */
		ck_assert_int_eq(daxl_limbo_add(limbo, b, 3), 0);
	ck_assert_int_eq(daxl_limbo_add(limbo, 93, 7), 0); /* behind the last */
	ck_assert_uint_eq(daxl_limbo_blocks(limbo), 37);
	ck_assert_uint_eq(daxl_limbo_total(space), 37);
	ck_assert(daxl_space_is_shared(space, 0, 1, NULL)); /* limbo is a sharer */
	daxl_space_unref(space, 0, 100);                    /* the file gives them up */
	ck_assert_uint_eq(free_blocks(space), 9063);
	ck_assert(daxl_space_is_used(space, 2));
	ck_assert(!daxl_space_is_used(space, 3));
	daxl_limbo_get(limbo);
	daxl_limbo_put(limbo);
	ck_assert_uint_eq(free_blocks(space), 9063);
	ck_assert_uint_eq(seen.calls, 0);
	daxl_limbo_put(limbo);
	ck_assert_uint_eq(free_blocks(space), 9100);
	ck_assert_uint_eq(daxl_limbo_total(space), 0);
	ck_assert_uint_eq(seen.calls, 1);
	ck_assert_uint_eq(seen.free, 9100);
	daxl_space_destroy(space);
}
END_TEST

START_TEST(an_empty_list_only_calls_done)
{
	struct daxl_space *space = make();
	struct seen seen = {.space = space};
	struct daxl_limbo *limbo = NULL;

	ck_assert_int_eq(daxl_limbo_create(space, done, &seen, &limbo), 0);
	daxl_limbo_put(limbo);
	ck_assert_uint_eq(seen.calls, 1);
	ck_assert_int_eq(daxl_limbo_create(space, NULL, NULL, &limbo), 0);
	daxl_limbo_put(limbo);
	ck_assert_uint_eq(free_blocks(space), 9000);
	daxl_space_destroy(space);
}
END_TEST

START_TEST(a_block_shared_with_a_file_stays_with_the_file)
{
	struct daxl_space *space = make();
	struct daxl_limbo *one = NULL, *two = NULL;

	ck_assert_int_eq(daxl_space_ref(space, 500, 10), 0); /* a clone has them too */
	ck_assert_int_eq(daxl_limbo_create(space, NULL, NULL, &one), 0);
	ck_assert_int_eq(daxl_limbo_create(space, NULL, NULL, &two), 0);
	ck_assert_int_eq(daxl_limbo_add(one, 500, 10), 0);
	ck_assert_int_eq(daxl_limbo_add(two, 505, 10), 0);
	ck_assert_uint_eq(daxl_limbo_total(space), 20);
	daxl_space_unref(space, 500, 10);
	daxl_limbo_put(one);
	ck_assert_uint_eq(free_blocks(space), 9000);
	daxl_limbo_put(two);
	ck_assert_uint_eq(free_blocks(space), 9000);
	ck_assert(!daxl_space_is_shared(space, 500, 10, NULL));
	daxl_space_unref(space, 500, 10);
	ck_assert_uint_eq(free_blocks(space), 9010);
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

START_TEST(every_failing_allocation_leaves_the_list_as_it_was)
{
	for (unsigned n = 1;; n++) {
		struct fault_plan plan = {.at = n};
		struct daxl_space *space = make();
		struct daxl_limbo *limbo = NULL;
		daxl_nblk_t added = 0;
		int err;

		daxl_fault_set(fault_at, &plan);
		err = daxl_limbo_create(space, NULL, NULL, &limbo);
		ck_assert(err == 0 || err == -ENOMEM);
		for (daxl_blk_t b = 0; !err && b < 40; b += 2) {
			int failed = daxl_limbo_add(limbo, b, 1);

			ck_assert(failed == 0 || failed == -ENOMEM);
			ck_assert(daxl_space_is_shared(space, b, 1, NULL) == !failed);
			added += !failed;
			ck_assert_uint_eq(daxl_limbo_blocks(limbo), added);
			ck_assert_uint_eq(daxl_limbo_total(space), added);
		}
		daxl_fault_set(NULL, NULL);
		if (!err)
			daxl_limbo_put(limbo);
		daxl_space_unref(space, 0, 1000);
		ck_assert_uint_eq(free_blocks(space), 10000);
		ck_assert_uint_eq(daxl_limbo_total(space), 0);
		daxl_space_destroy(space);
		if (plan.seen < n)
			break;
	}
}
END_TEST

#define THREADS 4

static void *put_many(void *arg)
{
	struct daxl_limbo *limbo = arg;

	for (unsigned i = 0; i < 1000; i++) {
		daxl_limbo_get(limbo);
		daxl_limbo_put(limbo);
	}
	daxl_limbo_put(limbo);
	return NULL;
}

START_TEST(of_threads_that_put_exactly_one_releases)
{
	for (unsigned round = 0; round < 20; round++) {
		struct daxl_space *space = make();
		struct seen seen = {.space = space};
		struct daxl_limbo *limbo = NULL;
		pthread_t thread[THREADS];

		ck_assert_int_eq(daxl_limbo_create(space, done, &seen, &limbo), 0);
		ck_assert_int_eq(daxl_limbo_add(limbo, 0, 1000), 0);
		daxl_space_unref(space, 0, 1000);
		for (unsigned i = 1; i < THREADS; i++)
			daxl_limbo_get(limbo);
		for (unsigned i = 0; i < THREADS; i++)
			ck_assert_int_eq(pthread_create(&thread[i], NULL, put_many, limbo), 0);
		for (unsigned i = 0; i < THREADS; i++)
			pthread_join(thread[i], NULL);
		ck_assert_uint_eq(seen.calls, 1);
		ck_assert_uint_eq(free_blocks(space), 10000);
		daxl_space_destroy(space);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("limbo");
	TCase *tc = tcase_create("limbo");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tc);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, blocks_are_released_by_the_last_put_and_done_is_called_after);
	tcase_add_test(tc, an_empty_list_only_calls_done);
	tcase_add_test(tc, a_block_shared_with_a_file_stays_with_the_file);
	tcase_add_test(tc, every_failing_allocation_leaves_the_list_as_it_was);
	tcase_add_test(tc, of_threads_that_put_exactly_one_releases);
	srunner_set_fork_status(runner, CK_NOFORK);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
