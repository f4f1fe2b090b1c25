/* SPDX-License-Identifier: BSD-3-Clause */
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include "base/bucket.h"
#include "base/compiler.h"

#define NS_PER_MS UINT64_C(1000000)

START_TEST(a_key_has_one_bucket_and_keys_spread)
{
	static char keys[64 * 64];
	unsigned distinct = 0;

	ck_assert_ptr_eq(daxl_bucket_of(&keys[0]), daxl_bucket_of(&keys[0]));
	for (unsigned i = 0; i < 64; i++) {
		bool seen = false;

		for (unsigned j = 0; j < i; j++)
			seen = seen || daxl_bucket_of(&keys[64 * i]) == daxl_bucket_of(&keys[64 * j]);
		distinct += !seen;
	}
	ck_assert_uint_gt(distinct, 32);
}
END_TEST

START_TEST(a_wait_ends_at_its_deadline_on_the_monotonic_clock)
{
	struct daxl_bucket *bucket = daxl_bucket_of(&(char){0});
	uint64_t deadline = daxl_now_ns() + 20 * NS_PER_MS;
	int err;

	do
		err = daxl_bucket_wait(bucket, daxl_bucket_prepare(bucket), deadline);
	while (err == 0);
	ck_assert_int_eq(err, -ETIMEDOUT);
	ck_assert_uint_ge(daxl_now_ns(), deadline);
}
END_TEST

START_TEST(a_deadline_in_the_past_does_not_wait)
{
	struct daxl_bucket *bucket = daxl_bucket_of(&(char){0});

	ck_assert_int_eq(daxl_bucket_wait(bucket, daxl_bucket_prepare(bucket), 0), -ETIMEDOUT);
	ck_assert_int_eq(daxl_bucket_wait(bucket, daxl_bucket_prepare(bucket), daxl_now_ns()), -ETIMEDOUT);
}
END_TEST

START_TEST(a_wake_between_prepare_and_wait_is_not_lost)
{
	struct daxl_bucket *bucket = daxl_bucket_of(&(char){0});
	uint32_t seq = daxl_bucket_prepare(bucket);

	daxl_bucket_wake(bucket);
	ck_assert_int_eq(daxl_bucket_wait(bucket, seq, UINT64_MAX), 0);
}
END_TEST

START_TEST(a_cancelled_waiter_is_not_woken_for)
{
	struct daxl_bucket *bucket = daxl_bucket_of(&(char){0});
	uint32_t seq = daxl_bucket_prepare(bucket);

	daxl_bucket_cancel(bucket);
	daxl_bucket_wake(bucket); /* nobody waits: leaves the sequence alone */
	ck_assert_uint_eq(daxl_bucket_prepare(bucket), seq);
	daxl_bucket_cancel(bucket);
}
END_TEST

/* Two threads hand a turn to each other; a lost wake-up leaves both asleep, and the test times out. */
#define TURNS 20000u

struct turns {
	unsigned turn; /* atomic */
	unsigned parity[2];
};

static struct turns turns;

static void wait_for_turn(unsigned parity)
{
	struct daxl_bucket *bucket = daxl_bucket_of(&turns);

	for (;;) {
		uint32_t seq = daxl_bucket_prepare(bucket);

		if ((__atomic_load_n(&turns.turn, __ATOMIC_ACQUIRE) & 1) == parity) {
			daxl_bucket_cancel(bucket);
			return;
		}
		ck_assert_int_eq(daxl_bucket_wait(bucket, seq, UINT64_MAX), 0);
	}
}

static void *take_turns(void *arg)
{
	unsigned parity = *(const unsigned *)arg;

	for (unsigned i = 0; i < TURNS; i++) {
		wait_for_turn(parity);
		(void)__atomic_fetch_add(&turns.turn, 1, __ATOMIC_RELEASE);
		daxl_bucket_wake(daxl_bucket_of(&turns));
	}
	return NULL;
}

START_TEST(no_wake_up_is_lost_between_two_threads)
{
	pthread_t threads[2];

	turns = (struct turns){0, {0, 1}};
	for (unsigned i = 0; i < 2; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, take_turns, &turns.parity[i]), 0);
	for (unsigned i = 0; i < 2; i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
	ck_assert_uint_eq(turns.turn, 2 * TURNS);
}
END_TEST

#define SLEEPERS 6u

static unsigned gate;    /* atomic: rounds opened */
static unsigned arrived; /* atomic: sleepers counted in for the present round */

static void *sleep_rounds(void *arg)
{
	struct daxl_bucket *bucket = daxl_bucket_of(&gate);
	const unsigned *rounds = arg;

	for (unsigned round = 0; round < *rounds; round++) {
		bool counted = false;

		for (;;) {
			uint32_t seq = daxl_bucket_prepare(bucket);

			if (!counted)
				(void)__atomic_fetch_add(&arrived, 1, __ATOMIC_RELEASE);
			counted = true;
			if (__atomic_load_n(&gate, __ATOMIC_ACQUIRE) > round) {
				daxl_bucket_cancel(bucket);
				break;
			}
			(void)daxl_bucket_wait(bucket, seq, UINT64_MAX);
		}
	}
	return NULL;
}

START_TEST(one_wake_wakes_all_sleepers)
{
	pthread_t threads[SLEEPERS];
	unsigned rounds = 500;

	gate = 0;
	arrived = 0;
	for (unsigned i = 0; i < SLEEPERS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, sleep_rounds, &rounds), 0);
	for (unsigned round = 0; round < rounds; round++) {
		while (__atomic_load_n(&arrived, __ATOMIC_ACQUIRE) < SLEEPERS * (round + 1))
			sched_yield();
		(void)__atomic_fetch_add(&gate, 1, __ATOMIC_RELEASE);
		daxl_bucket_wake(daxl_bucket_of(&gate));
	}
	for (unsigned i = 0; i < SLEEPERS; i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
}
END_TEST

START_TEST(the_clocks_are_the_right_ones)
{
	struct timespec real, mono;

	clock_gettime(CLOCK_REALTIME, &real);
	clock_gettime(CLOCK_MONOTONIC, &mono);
	ck_assert_uint_ge(daxl_now_ns() / 1000000000, (uint64_t)mono.tv_sec);
	ck_assert_uint_ge(daxl_realtime_ns() / 1000000000, (uint64_t)real.tv_sec);
	ck_assert_uint_le(daxl_now_ns() / 1000000000, (uint64_t)mono.tv_sec + 60);
	ck_assert_uint_le(daxl_realtime_ns() / 1000000000, (uint64_t)real.tv_sec + 60);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("bucket");
	TCase *tcase = tcase_create("bucket");
	SRunner *runner;
	int failed;

	tcase_add_test(tcase, a_key_has_one_bucket_and_keys_spread);
	tcase_add_test(tcase, a_wait_ends_at_its_deadline_on_the_monotonic_clock);
	tcase_add_test(tcase, a_deadline_in_the_past_does_not_wait);
	tcase_add_test(tcase, a_wake_between_prepare_and_wait_is_not_lost);
	tcase_add_test(tcase, a_cancelled_waiter_is_not_woken_for);
	tcase_add_test(tcase, no_wake_up_is_lost_between_two_threads);
	tcase_add_test(tcase, one_wake_wakes_all_sleepers);
	tcase_add_test(tcase, the_clocks_are_the_right_ones);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_set_fork_status(runner, CK_NOFORK);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
