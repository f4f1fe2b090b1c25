/* SPDX-License-Identifier: BSD-3-Clause */
#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/hook.h"

static void count_point(const char *point, void *arg)
{
	unsigned *passed = arg;

	*passed += strcmp(point, "here") == 0;
}

START_TEST(a_hook_is_called_with_the_points_name_until_removed)
{
	unsigned passed = 0;

	DAXL_HOOK("here");
	daxl_hook_set(count_point, &passed);
	DAXL_HOOK("here");
	DAXL_HOOK("there");
	DAXL_HOOK("here");
	daxl_hook_set(NULL, NULL);
	DAXL_HOOK("here");
	ck_assert_uint_eq(passed, 2);
}
END_TEST

static void *pass_here(void *arg)
{
	(void)arg;
	DAXL_HOOK("here");
	return NULL;
}

START_TEST(a_hook_is_seen_by_other_threads)
{
	pthread_t thread;
	unsigned passed = 0;

	daxl_hook_set(count_point, &passed);
	ck_assert_int_eq(pthread_create(&thread, NULL, pass_here, NULL), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	daxl_hook_set(NULL, NULL);
	ck_assert_uint_eq(passed, 1);
}
END_TEST

static bool fail_nth(const char *point, void *arg)
{
	unsigned *left = arg;

	return strcmp(point, "alloc") == 0 && --*left == 0;
}

START_TEST(the_nth_allocation_fails_whichever_kind_it_is)
{
	for (unsigned n = 1; n <= 4; n++) {
		unsigned left = n;
		void *a, *b, *c, *d;

		daxl_fault_set(fail_nth, &left);
		a = daxl_alloc(10);
		b = daxl_zalloc(10);
		c = daxl_realloc(NULL, 10);
		d = daxl_realloc(c, 20);
		daxl_fault_set(NULL, NULL);
		ck_assert_int_eq(a == NULL, n == 1);
		ck_assert_int_eq(b == NULL, n == 2);
		ck_assert_int_eq(c == NULL, n == 3);
		ck_assert_int_eq(d == NULL, n == 4);
		daxl_free(a);
		daxl_free(b);
		daxl_free(d ? d : c);
	}
}
END_TEST

START_TEST(zalloc_gives_zeroes)
{
	static const char zeroes[1000];
	void *p = daxl_zalloc(sizeof(zeroes));

	ck_assert_ptr_nonnull(p);
	ck_assert_mem_eq(p, zeroes, sizeof(zeroes));
	daxl_free(p);
	daxl_free(NULL);
}
END_TEST

START_TEST(a_fault_point_passes_when_nobody_asks)
{
	ck_assert(!DAXL_FAULT("anything"));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("hook");
	TCase *tcase = tcase_create("hook");
	SRunner *runner;
	int failed;

	tcase_add_test(tcase, a_hook_is_called_with_the_points_name_until_removed);
	tcase_add_test(tcase, a_hook_is_seen_by_other_threads);
	tcase_add_test(tcase, the_nth_allocation_fails_whichever_kind_it_is);
	tcase_add_test(tcase, zalloc_gives_zeroes);
	tcase_add_test(tcase, a_fault_point_passes_when_nobody_asks);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_set_fork_status(runner, CK_NOFORK);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
