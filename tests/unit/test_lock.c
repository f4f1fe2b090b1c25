/* SPDX-License-Identifier: BSD-3-Clause */
#include <check.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/compiler.h"
#include "base/lock.h"

static struct daxl_mutex names, file_a, file_b, slab;

static void setup(void)
{
	daxl_mutex_init(&names, DAXL_RANK_NAMES);
	daxl_mutex_init(&file_a, DAXL_RANK_FILE);
	daxl_mutex_init(&file_b, DAXL_RANK_FILE);
	daxl_mutex_init(&slab, DAXL_RANK_SLAB);
}

static void teardown(void)
{
	daxl_mutex_destroy(&names);
	daxl_mutex_destroy(&file_a);
	daxl_mutex_destroy(&file_b);
	daxl_mutex_destroy(&slab);
}

START_TEST(locks_may_be_taken_by_rising_rank_and_released_in_any_order)
{
	daxl_mutex_lock(&names);
	daxl_mutex_lock(&file_a);
	daxl_mutex_lock(&slab);
	daxl_mutex_assert_held(&names);
	daxl_mutex_unlock(&names);
	daxl_mutex_unlock(&slab);
	daxl_mutex_assert_held(&file_a);
	daxl_mutex_unlock(&file_a);
	daxl_assert_no_locks();
}
END_TEST

START_TEST(a_pair_takes_two_of_one_rank_and_one_only_once)
{
	daxl_mutex_lock_pair(&file_a, &file_b);
	daxl_mutex_assert_held(&file_a);
	daxl_mutex_assert_held(&file_b);
	daxl_mutex_unlock_pair(&file_a, &file_b);
	daxl_mutex_lock_pair(&file_a, &file_a);
	daxl_mutex_assert_held(&file_a);
	daxl_mutex_unlock_pair(&file_a, &file_a);
	daxl_assert_no_locks();
}
END_TEST

static void *try_file_a(void *arg)
{
	bool *got = arg;

	*got = daxl_mutex_trylock(&file_a);
	if (*got)
		daxl_mutex_unlock(&file_a);
	return NULL;
}

START_TEST(trylock_fails_while_another_thread_holds_it_and_succeeds_after)
{
	pthread_t thread;
	bool got = true;

	daxl_mutex_lock(&file_a);
	ck_assert_int_eq(pthread_create(&thread, NULL, try_file_a, &got), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert(!got);
	daxl_mutex_unlock(&file_a);
	ck_assert_int_eq(pthread_create(&thread, NULL, try_file_a, &got), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert(got);
}
END_TEST

#define THREADS 4
#define ROUNDS 20000

static unsigned counter; /* guarded by slab */

static void *count(void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < ROUNDS; i++) {
		daxl_mutex_lock(&slab);
		counter++;
		daxl_mutex_unlock(&slab);
	}
	return NULL;
}

START_TEST(a_mutex_excludes)
{
	pthread_t threads[THREADS];

	counter = 0;
	for (unsigned i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, count, NULL), 0);
	for (unsigned i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
	ck_assert_uint_eq(counter, THREADS * ROUNDS);
}
END_TEST

static void lock_downwards(void)
{
	daxl_mutex_lock(&slab);
	daxl_mutex_lock(&names);
}

static void lock_two_of_a_rank(void)
{
	daxl_mutex_lock(&file_a);
	daxl_mutex_lock(&file_b);
}

static void lock_again(void)
{
	daxl_mutex_lock(&file_a);
	daxl_mutex_lock_pair(&file_b, &file_a);
}

static void go_below_what_trylock_took(void)
{
	if (daxl_mutex_trylock(&slab))
		daxl_mutex_lock(&names);
}

static void claim_to_hold(void)
{
	daxl_mutex_assert_held(&names);
}

static void wait_with_a_lock(void)
{
	daxl_mutex_lock(&names);
	daxl_assert_no_locks();
}

static void release_what_is_not_held(void)
{
	daxl_mutex_unlock(&names);
}

static void (*const violations[])(void) = {
	lock_downwards,   lock_two_of_a_rank,       lock_again, go_below_what_trylock_took, claim_to_hold,
	wait_with_a_lock, release_what_is_not_held,
};

START_TEST(a_violation_aborts)
{
	pid_t child = fork();
	int status;

	ck_assert_int_ge(child, 0);
	if (child == 0) {
		const struct rlimit no_core = {0, 0};

		setrlimit(RLIMIT_CORE, &no_core);
		signal(SIGABRT, SIG_DFL);
		if (!freopen("/dev/null", "w", stderr))
			_exit(2);
		violations[_i]();
		_exit(0);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("lock");
	TCase *tcase = tcase_create("lock");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, locks_may_be_taken_by_rising_rank_and_released_in_any_order);
	tcase_add_test(tcase, a_pair_takes_two_of_one_rank_and_one_only_once);
	tcase_add_test(tcase, trylock_fails_while_another_thread_holds_it_and_succeeds_after);
	tcase_add_test(tcase, a_mutex_excludes);
	tcase_add_loop_test(tcase, a_violation_aborts, 0, (int)DAXL_ARRAY_LEN(violations));
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_set_fork_status(runner, CK_NOFORK);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
