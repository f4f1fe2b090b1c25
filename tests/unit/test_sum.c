/* SPDX-License-Identifier: BSD-3-Clause */
/* Summary trees: against a plain array, and threads that fill and empty one word. */
#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "space/sum.h"

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

static const uint64_t sizes[] = {1, 63, 64, 65, 4096, 4097, 300000};

START_TEST(next_finds_what_an_array_finds)
{
	uint64_t n = sizes[_i], seed = seed_from_env();
	void *mem = calloc(1, daxl_sum_size(n));
	char *in = calloc(n, 1);
	struct daxl_sum sum;

	daxl_sum_init(&sum, mem, n);
	ck_assert_uint_eq(daxl_sum_next(&sum, 0), DAXL_SUM_NONE);
	for (unsigned i = 0; i < 3000; i++) {
		uint64_t member = next_random(&seed) % n, from = next_random(&seed) % n, expect;

		if (next_random(&seed) % 2) {
			daxl_sum_set(&sum, member);
			in[member] = 1;
		} else {
			daxl_sum_clear(&sum, member);
			in[member] = 0;
		}
		for (expect = from; expect < n && !in[expect]; expect++)
			;
		ck_assert_uint_eq(daxl_sum_next(&sum, from), expect < n ? expect : DAXL_SUM_NONE);
		ck_assert_uint_eq(daxl_sum_next(&sum, n + from), DAXL_SUM_NONE);
	}
	free(in);
	free(mem);
}
END_TEST

START_TEST(a_range_is_its_members)
{
	static const uint64_t edges[] = {0, 1, 63, 64, 65, 127, 128, 4095, 4096, 9000, 10000};
	unsigned nedges = sizeof(edges) / sizeof(edges[0]);

	for (unsigned a = 0; a < nedges; a++) {
		for (unsigned b = a; b < nedges; b++) {
			void *mem = calloc(1, daxl_sum_size(10000));
			struct daxl_sum sum;
			uint64_t next = 0;

			daxl_sum_init(&sum, mem, 10000);
			daxl_sum_set_range(&sum, edges[a], edges[b]);
			for (uint64_t m = edges[a]; m < edges[b]; m++, next = m) {
				if (daxl_sum_next(&sum, next) != m)
					ck_abort_msg("member %llu", (unsigned long long)m);
			}
			ck_assert_uint_eq(daxl_sum_next(&sum, edges[b]), DAXL_SUM_NONE);
			ck_assert(edges[a] < edges[b] || daxl_sum_next(&sum, 0) == DAXL_SUM_NONE);
			free(mem);
		}
	}
}
END_TEST

#define THREADS 3
#define ROUNDS 20000

struct toggler {
	struct daxl_sum *sum;
	pthread_barrier_t *barrier;
	pthread_t thread;
	uint64_t member;
	int lost;
};

/*
 * All set and clear members of one word, so that bits above come and go; in the end of each round the member is in,
 * and must be found.
 */
static void *toggle(void *arg)
{
	struct toggler *t = arg;

	for (unsigned i = 0; i < ROUNDS; i++) {
		for (unsigned j = 0; j < 3; j++) {
			daxl_sum_set(t->sum, t->member);
			daxl_sum_clear(t->sum, t->member);
		}
		if ((i + t->member) % 2)
			daxl_sum_set(t->sum, t->member);
		if (i % 100 == 0) {
			daxl_sum_set(t->sum, t->member);
			pthread_barrier_wait(t->barrier);
			t->lost += daxl_sum_next(t->sum, t->member) != t->member;
			t->lost += daxl_sum_next(t->sum, 0) > t->member;
			pthread_barrier_wait(t->barrier);
		}
		daxl_sum_clear(t->sum, t->member);
	}
	return NULL;
}

START_TEST(no_member_is_lost_for_good)
{
	void *mem = calloc(1, daxl_sum_size(300000));
	struct toggler toggler[THREADS];
	pthread_barrier_t barrier;
	struct daxl_sum sum;

	daxl_sum_init(&sum, mem, 300000);
	pthread_barrier_init(&barrier, NULL, THREADS);
	for (unsigned i = 0; i < THREADS; i++) {
		toggler[i] = (struct toggler){.sum = &sum, .barrier = &barrier, .member = 262144 + i};
		ck_assert_int_eq(pthread_create(&toggler[i].thread, NULL, toggle, &toggler[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(toggler[i].thread, NULL);
		ck_assert_int_eq(toggler[i].lost, 0);
	}
	ck_assert_uint_eq(daxl_sum_next(&sum, 0), DAXL_SUM_NONE);
	pthread_barrier_destroy(&barrier);
	free(mem);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("sum");
	TCase *tc = tcase_create("sum");
	SRunner *runner = srunner_create(suite);
	int failed;

	printf("DAXL_SEED=%llu\n", (unsigned long long)seed_from_env());
	suite_add_tcase(suite, tc);
	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, next_finds_what_an_array_finds, 0, (int)(sizeof(sizes) / sizeof(sizes[0])));
	tcase_add_test(tc, a_range_is_its_members);
	tcase_add_test(tc, no_member_is_lost_for_good);
	srunner_set_fork_status(runner, CK_NOFORK);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
