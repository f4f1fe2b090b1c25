/* SPDX-License-Identifier: BSD-3-Clause */
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

START_TEST(fail_returns_the_negative_error_and_keeps_the_sentence)
{
	ck_assert_int_eq(daxl_fail(ENOSPC, "log record %d of file '%s': length %u", 81204, "wal-3", 0u), -ENOSPC);
	ck_assert_str_eq(daxl_error_last(), "log record 81204 of file 'wal-3': length 0");
}
END_TEST

START_TEST(errno_is_untouched)
{
	errno = EXDEV;
	(void)daxl_fail(EIO, "%d", 1);
	ck_assert_int_eq(errno, EXDEV);
}
END_TEST

START_TEST(a_sentence_may_quote_the_one_before)
{
	(void)daxl_fail(EIO, "the cause");
	(void)daxl_fail(EUCLEAN, "cannot open: %s", daxl_error_last());
	ck_assert_str_eq(daxl_error_last(), "cannot open: the cause");
}
END_TEST

START_TEST(an_endless_sentence_is_cut)
{
	char longest[5000];

	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	(void)daxl_fail(EIO, "%s", longest);
	ck_assert_uint_lt(strlen(daxl_error_last()), sizeof(longest) - 1);
	ck_assert_uint_gt(strlen(daxl_error_last()), 500);
}
END_TEST

static void *other_thread(void *arg)
{
	bool *fresh = arg;

	*fresh = strcmp(daxl_error_last(), "") == 0;
	(void)daxl_fail(EIO, "theirs");
	return NULL;
}

START_TEST(each_thread_has_its_own_and_none_before_its_first_failure)
{
	pthread_t thread;
	bool fresh = false;

	(void)daxl_fail(EIO, "mine");
	ck_assert_int_eq(pthread_create(&thread, NULL, other_thread, &fresh), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert(fresh);
	ck_assert_str_eq(daxl_error_last(), "mine");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("error");
	TCase *tcase = tcase_create("error");
	SRunner *runner;
	int failed;

	tcase_add_test(tcase, fail_returns_the_negative_error_and_keeps_the_sentence);
	tcase_add_test(tcase, errno_is_untouched);
	tcase_add_test(tcase, a_sentence_may_quote_the_one_before);
	tcase_add_test(tcase, an_endless_sentence_is_cut);
	tcase_add_test(tcase, each_thread_has_its_own_and_none_before_its_first_failure);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
