/* SPDX-License-Identifier: BSD-3-Clause */
/* Waiting for keys: no wake-up is lost (L13), none comes from another key, deadlines are points of the monotonic clock. */
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/bucket.h"
#include "base/waitq.h"

#define MS UINT64_C(1000000)

static struct daxl_waiter *listening(struct daxl_waiter *w, uint64_t key)
{
	daxl_waiter_init(w, NULL);
	daxl_waiter_add(w, key);
	daxl_waiter_arm(w);
	return w;
}

START_TEST(keys_are_never_given_twice_and_never_zero)
{
	uint64_t a = daxl_key_new(), b = daxl_key_new();

	ck_assert_uint_ne(a, 0);
	ck_assert_uint_ne(a, b);
}
END_TEST

START_TEST(a_wake_between_look_and_sleep_is_not_lost)
{
	struct daxl_waiter w;
	uint64_t key = daxl_key_new();

	listening(&w, key);
	daxl_wake_key(key);
	ck_assert_int_eq(daxl_waiter_sleep(&w, UINT64_MAX), 0);
	daxl_waiter_remove(&w);
}
END_TEST

START_TEST(arming_forgets_earlier_wakes)
{
	struct daxl_waiter w;
	uint64_t key = daxl_key_new();

	listening(&w, key);
	daxl_wake_key(key);
	daxl_waiter_arm(&w);
	ck_assert_int_eq(daxl_waiter_sleep(&w, daxl_now_ns()), -ETIMEDOUT);
	daxl_waiter_remove(&w);
}
END_TEST

START_TEST(a_sleep_ends_at_its_deadline_and_leaves_errno)
{
	struct daxl_waiter w;
	uint64_t deadline = daxl_now_ns() + 20 * MS;

	listening(&w, daxl_key_new());
	errno = 12345;
	ck_assert_int_eq(daxl_waiter_sleep(&w, deadline), -ETIMEDOUT);
	ck_assert_int_eq(errno, 12345);
	ck_assert_uint_ge(daxl_now_ns(), deadline);
	daxl_waiter_remove(&w);
}
END_TEST

START_TEST(a_word_is_watched_until_it_changes_or_a_sleep_is_cheaper)
{
	uint64_t word = 7;

	ck_assert(!daxl_word_watch(&word, 7));
	ck_assert(daxl_word_watch(&word, 8));
}
END_TEST

START_TEST(another_key_does_not_wake_even_in_the_same_bucket)
{
	struct daxl_waiter w;
	uint64_t key = daxl_key_new();

	listening(&w, key);
	for (unsigned i = 0; i < 4096; i++)
		daxl_wake_key(daxl_key_new());
	ck_assert_int_eq(daxl_waiter_sleep(&w, daxl_now_ns()), -ETIMEDOUT);
	daxl_waiter_remove(&w);
}
END_TEST

START_TEST(any_of_several_keys_wakes_and_key_zero_is_ignored)
{
	uint64_t keys[4] = { daxl_key_new(), daxl_key_new(), 0, daxl_key_new() };
	struct daxl_waiter w;

	daxl_waiter_init(&w, NULL);
	for (unsigned i = 0; i < 4; i++)
		daxl_waiter_add(&w, keys[i]);
	ck_assert_uint_eq(w.nkeys, 3);
	for (unsigned i = 0; i < 4; i++) {
		if (keys[i] == 0)
			continue;
		daxl_waiter_arm(&w);
		daxl_wake_key(keys[i]);
		ck_assert_int_eq(daxl_waiter_sleep(&w, UINT64_MAX), 0);
	}
	daxl_waiter_remove(&w);
	daxl_waiter_arm(&w);
	daxl_wake_key(keys[0]);
	ck_assert_int_eq(daxl_waiter_sleep(&w, daxl_now_ns()), -ETIMEDOUT);
}
END_TEST

START_TEST(one_key_wakes_all_its_waiters)
{
	uint64_t key = daxl_key_new();
	struct daxl_waiter w[3];

	for (unsigned i = 0; i < 3; i++)
		listening(&w[i], key);
	daxl_wake_key(key);
	for (unsigned i = 0; i < 3; i++)
		ck_assert_int_eq(daxl_waiter_sleep(&w[i], daxl_now_ns()), 0);
	daxl_waiter_remove(&w[1]); /* out of the middle */
	daxl_waiter_arm(&w[0]);
	daxl_waiter_arm(&w[2]);
	daxl_wake_key(key);
	ck_assert_int_eq(daxl_waiter_sleep(&w[0], daxl_now_ns()), 0);
	ck_assert_int_eq(daxl_waiter_sleep(&w[2], daxl_now_ns()), 0);
	daxl_waiter_remove(&w[0]);
	daxl_waiter_remove(&w[2]);
}
END_TEST

static unsigned notified;

static void count_notify(struct daxl_waiter *waiter)
{
	(void)waiter;
	notified++;
}

START_TEST(a_waiter_with_notify_is_called_each_time)
{
	struct daxl_waiter w;
	uint64_t key = daxl_key_new();

	daxl_waiter_init(&w, count_notify);
	daxl_waiter_add(&w, key);
	daxl_wake_key(key);
	daxl_wake_key(key);
	ck_assert_uint_eq(notified, 2);
	daxl_waiter_remove(&w);
	daxl_wake_key(key);
	ck_assert_uint_eq(notified, 2);
}
END_TEST

#define ROUNDS 100000u

struct pingpong {
	uint64_t key[2];
	uint32_t turn; /* atomic */
};

static void *player(void *arg)
{
	struct pingpong *p = arg;
	struct daxl_waiter w;

	daxl_waiter_init(&w, NULL);
	daxl_waiter_add(&w, p->key[1]);
	for (uint32_t i = 0; i < ROUNDS; i++) {
		for (;;) {
			daxl_waiter_arm(&w);
			if (__atomic_load_n(&p->turn, __ATOMIC_RELAXED) == 2 * i + 1)
				break;
			ck_assert_int_eq(daxl_waiter_sleep(&w, UINT64_MAX), 0);
		}
		__atomic_store_n(&p->turn, 2 * i + 2, __ATOMIC_RELAXED);
		daxl_wake_key(p->key[0]);
	}
	daxl_waiter_remove(&w);
	return NULL;
}

/* P14: were one wake-up lost, both would sleep for ever. */
START_TEST(a_hundred_thousand_hand_overs_lose_no_wake_up)
{
	struct pingpong p = { .key = { daxl_key_new(), daxl_key_new() } };
	struct daxl_waiter w;
	pthread_t thread;

	daxl_waiter_init(&w, NULL);
	daxl_waiter_add(&w, p.key[0]);
	ck_assert_int_eq(pthread_create(&thread, NULL, player, &p), 0);
	for (uint32_t i = 0; i < ROUNDS; i++) {
		__atomic_store_n(&p.turn, 2 * i + 1, __ATOMIC_RELAXED);
		daxl_wake_key(p.key[1]);
		for (;;) {
			daxl_waiter_arm(&w);
			if (__atomic_load_n(&p.turn, __ATOMIC_RELAXED) == 2 * i + 2)
				break;
			ck_assert_int_eq(daxl_waiter_sleep(&w, UINT64_MAX), 0);
		}
	}
	pthread_join(thread, NULL);
	daxl_waiter_remove(&w);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("waitq");
	TCase *tcase = tcase_create("waitq");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, keys_are_never_given_twice_and_never_zero);
	tcase_add_test(tcase, a_wake_between_look_and_sleep_is_not_lost);
	tcase_add_test(tcase, arming_forgets_earlier_wakes);
	tcase_add_test(tcase, a_sleep_ends_at_its_deadline_and_leaves_errno);
	tcase_add_test(tcase, a_word_is_watched_until_it_changes_or_a_sleep_is_cheaper);
	tcase_add_test(tcase, another_key_does_not_wake_even_in_the_same_bucket);
	tcase_add_test(tcase, any_of_several_keys_wakes_and_key_zero_is_ignored);
	tcase_add_test(tcase, one_key_wakes_all_its_waiters);
	tcase_add_test(tcase, a_waiter_with_notify_is_called_each_time);
	tcase_add_test(tcase, a_hundred_thousand_hand_overs_lose_no_wake_up);
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);

	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);

	srunner_free(runner);
	return failed != 0;
}
