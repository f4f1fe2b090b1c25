/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Readers follow a published pointer while it is replaced and what it pointed at is destroyed after a grace period.
 * Under ThreadSanitizer this must be quiet; with the argument "early" things are destroyed at once, and it must not
 * be: that run is for a sanitizer to fail.
 */
#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rcu.h"

#define READERS 2
#define CHANGES 2000u
#define ALIVE 0x600dU
#define DEAD 0xdeadU

struct thing {
	unsigned a, b; /* equal, while the thing lives */
};

static struct thing *published;
static bool stop;          /* atomic */
static unsigned bad;       /* atomic: readings of something dead or torn */
static bool early;

static struct thing *new_thing(void)
{
	struct thing *thing = malloc(sizeof(*thing));

	ck_assert_ptr_nonnull(thing);
	thing->a = ALIVE;
	thing->b = ALIVE;
	return thing;
}

static void *read_on(void *arg)
{
	(void)arg;
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		struct thing *thing;

		daxl_rcu_read_lock();
		daxl_rcu_read_lock();
		thing = daxl_rcu_deref(published);
		daxl_rcu_read_unlock();
		if (!daxl_rcu_read_ongoing() || thing->a != ALIVE || thing->b != ALIVE)
			(void)__atomic_fetch_add(&bad, 1, __ATOMIC_RELAXED);
		daxl_rcu_read_unlock();
	}
	return NULL;
}

static void change(void)
{
	struct thing *old = published;

	daxl_rcu_assign(published, new_thing());
	if (early) {
		old->a = DEAD; /* too early, by design; not freed, so that only a sanitizer sees it */
		return;
	}
	daxl_rcu_synchronize();
	old->a = DEAD;
	free(old);
}

START_TEST(nothing_is_destroyed_under_a_reader)
{
	pthread_t readers[READERS];

	published = new_thing();
	for (unsigned i = 0; i < READERS; i++)
		ck_assert_int_eq(pthread_create(&readers[i], NULL, read_on, NULL), 0);
	for (unsigned i = 0; i < CHANGES; i++)
		change();
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < READERS; i++)
		ck_assert_int_eq(pthread_join(readers[i], NULL), 0);
	ck_assert_uint_eq(bad, 0);
	free(published);
}
END_TEST

START_TEST(a_thread_outside_a_section_is_not_in_one)
{
	ck_assert(!daxl_rcu_read_ongoing());
	daxl_rcu_read_lock();
	ck_assert(daxl_rcu_read_ongoing());
	daxl_rcu_read_unlock();
	ck_assert(!daxl_rcu_read_ongoing());
}
END_TEST

int main(int argc, char **argv)
{
	early = argc > 1 && strcmp(argv[1], "early") == 0;

	Suite *suite = suite_create("rcu");
	TCase *tcase = tcase_create("rcu");
	SRunner *runner;
	int failed;

	tcase_add_test(tcase, a_thread_outside_a_section_is_not_in_one);
	tcase_add_test(tcase, nothing_is_destroyed_under_a_reader);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_set_fork_status(runner, CK_NOFORK);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
