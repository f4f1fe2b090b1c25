/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * References: counts against a plain array of numbers, whole and after every failure, and threads that drop the same
 * block.
 */
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/hook.h"
#include "space/space.h"

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

static bool fault_always(const char *point, void *arg)
{
	(void)point;
	(void)arg;
	return true;
}

START_TEST(a_block_is_free_after_as_many_drops_as_it_had_references)
{
	struct daxl_space *space = make(20000, 12, 0);
	daxl_nblk_t same = 0;

	ck_assert_int_eq(daxl_space_mark(space, 8000, 1000), 0);
	ck_assert(!daxl_space_is_shared(space, 0, 20000, &same));
	ck_assert_uint_eq(same, 20000);
	ck_assert_int_eq(daxl_space_ref(space, 8100, 500), 0);
	ck_assert_int_eq(daxl_space_ref(space, 8599, 1), 0);
	ck_assert_uint_eq(stat_of(space).shared, 500);
	ck_assert(!daxl_space_is_shared(space, 0, 20000, &same));
	ck_assert_uint_eq(same, 8100);
	ck_assert(daxl_space_is_shared(space, 8100, 11900, &same));
	ck_assert_uint_eq(same, 500);
	ck_assert(daxl_space_is_shared(space, 8190, 4, &same));
	ck_assert_uint_eq(same, 4);
	ck_assert(!daxl_space_is_shared(space, 8600, 11400, &same));
	ck_assert_uint_eq(same, 11400);
	ck_assert(daxl_space_is_shared(space, 8599, 1, NULL));
	daxl_space_unref(space, 8000, 1000);
	ck_assert_uint_eq(stat_of(space).free, 19500);
	ck_assert_uint_eq(stat_of(space).shared, 1);
	ck_assert(!daxl_space_is_used(space, 8099));
	ck_assert(daxl_space_is_used(space, 8100));
	daxl_space_unref(space, 8100, 500);
	ck_assert_uint_eq(stat_of(space).free, 19999);
	ck_assert_uint_eq(stat_of(space).shared, 0);
	ck_assert(!daxl_space_is_shared(space, 0, 20000, &same));
	ck_assert_uint_eq(same, 20000);
	daxl_space_unref(space, 8599, 1);
	ck_assert_uint_eq(stat_of(space).free, 20000);
	daxl_space_destroy(space);
}
END_TEST

START_TEST(load_counts_the_first_and_every_further_reference)
{
	struct daxl_space *space = make(20000, 12, 0);

	ck_assert_int_eq(daxl_space_mark_shared(space, 100, 10000), 0);
	ck_assert_uint_eq(stat_of(space).free, 10000);
	ck_assert_uint_eq(stat_of(space).shared, 0);
	ck_assert_int_eq(daxl_space_mark_shared(space, 50, 100), 0);
	ck_assert_uint_eq(stat_of(space).free, 9950);
	ck_assert_uint_eq(stat_of(space).shared, 50);
	ck_assert_int_eq(daxl_space_mark_shared(space, 8000, 8000), 0);
	ck_assert_uint_eq(stat_of(space).free, 9950 - 5900);
	ck_assert_uint_eq(stat_of(space).shared, 50 + 2100);
	ck_assert_int_eq(daxl_space_mark_shared(space, 19999, 2), -EUCLEAN);
	ck_assert_int_eq(daxl_space_mark_shared(space, UINT64_MAX, 2), -EUCLEAN);
	ck_assert_uint_eq(stat_of(space).free, 9950 - 5900);
	daxl_space_unref(space, 100, 10000);
	daxl_space_unref(space, 50, 100);
	daxl_space_unref(space, 8000, 8000);
	ck_assert_uint_eq(stat_of(space).free, 20000);
	ck_assert_uint_eq(stat_of(space).shared, 0);
	daxl_space_destroy(space);
}
END_TEST

START_TEST(load_does_not_take_what_is_promised)
{
	struct daxl_space *space = make(20000, 12, 0);

	ck_assert_int_eq(daxl_space_mark(space, 9000, 10), 0);
	ck_assert_int_eq(daxl_space_reserve(space, DAXL_SPACE_DATA, 19000), 0);
	ck_assert_int_eq(daxl_space_mark_shared(space, 8500, 1600), -EUCLEAN);
	ck_assert_uint_eq(stat_of(space).free, 19990);
	ck_assert_uint_eq(stat_of(space).reserved, 19000);
	ck_assert_uint_eq(stat_of(space).shared, 0);
	daxl_space_destroy(space);
}
END_TEST

START_TEST(sharing_that_fails_counts_nothing)
{
	struct daxl_space *space = make(20000, 12, 0);

	ck_assert_int_eq(daxl_space_mark(space, 10000, 100), 0);
	daxl_fault_set(fault_always, NULL);
	ck_assert_int_eq(daxl_space_ref(space, 10000, 100), -ENOMEM);
	ck_assert_int_eq(daxl_space_mark_shared(space, 7000, 3001), -ENOMEM); /* its last block is used */
	daxl_fault_set(NULL, NULL);
	ck_assert_uint_eq(stat_of(space).free, 19900);
	ck_assert_uint_eq(stat_of(space).shared, 0);
	ck_assert(!daxl_space_is_shared(space, 10000, 100, NULL));
	ck_assert_int_eq(daxl_space_ref(space, 10000, 100), 0);
	ck_assert_uint_eq(stat_of(space).shared, 100);
	daxl_space_destroy(space);
}
END_TEST

START_TEST(blocks_that_a_pool_grew_by_can_be_shared)
{
	struct daxl_space *space = make(3000, 12, 0);

	ck_assert_int_eq(daxl_space_mark(space, 0, 1), 0);
	ck_assert_int_eq(daxl_space_ref(space, 0, 1), 0);
	ck_assert_int_eq(daxl_space_grow(space, 3000000), 0);
	ck_assert_int_eq(daxl_space_mark(space, 2999000, 1000), 0);
	ck_assert_int_eq(daxl_space_ref(space, 2999000, 1000), 0);
	ck_assert_uint_eq(stat_of(space).shared, 1001);
	daxl_space_destroy(space);
}
END_TEST

/* The model: how many references each block has, and what is set aside. */
struct model {
	struct daxl_space *space;
	daxl_nblk_t nblocks, keep_back, free, reserved;
	unsigned *refs;
	uint64_t seed;
};

static void compare(const struct model *m)
{
	struct daxl_space_stat st = stat_of(m->space);
	daxl_nblk_t shared = 0;

	for (daxl_blk_t b = 0; b < m->nblocks; b++) {
		if (daxl_space_is_used(m->space, b) != (m->refs[b] > 0) ||
		    daxl_space_is_shared(m->space, b, 1, NULL) != (m->refs[b] > 1))
			ck_abort_msg("block %llu, %u references", (unsigned long long)b, m->refs[b]);
		shared += m->refs[b] > 1;
	}
	ck_assert_uint_eq(st.free, m->free);
	ck_assert_uint_eq(st.reserved, m->reserved);
	ck_assert_uint_eq(st.shared, shared);
}

/* How many blocks from blk on, up to len, have (not) any reference. */
static daxl_nblk_t run_of(const struct model *m, daxl_blk_t blk, daxl_nblk_t len, bool used)
{
	daxl_nblk_t n = 0;

	while (n < len && blk + n < m->nblocks && (m->refs[blk + n] > 0) == used)
		n++;
	return n;
}

static void got_run(struct model *m, struct daxl_blkrun run)
{
	for (daxl_blk_t b = run.blk; b < run.blk + run.len; b++)
		if (m->refs[b]++ != 0)
			ck_abort_msg("block %llu given twice", (unsigned long long)b);
	m->free -= run.len;
}

static void model_take(struct model *m, daxl_nblk_t want, uint64_t r)
{
	bool data = r % 4 != 0;
	bool fits = m->free - m->reserved >= want + (data ? m->keep_back : 0);
	enum daxl_space_class cls = data ? DAXL_SPACE_DATA : DAXL_SPACE_META;
	struct daxl_blkrun run;

	ck_assert_int_eq(daxl_space_reserve(m->space, cls, want), fits ? 0 : -ENOSPC);
	if (!fits)
		return;
	if (r / 4 % 4 == 0) { /* aligned: exactly when there is such a run */
		daxl_nblk_t align = UINT64_C(1) << r / 16 % 8;
		bool there = false;

		for (daxl_blk_t b = 0; b < m->nblocks && !there; b += align)
			there = run_of(m, b, want, false) == want;
		ck_assert(daxl_space_take_aligned(m->space, want, align, &run) == there);
		if (!there) {
			daxl_space_unreserve(m->space, want);
			return;
		}
		ck_assert_uint_eq(run.len, want);
		ck_assert_uint_eq(run.blk % align, 0);
	} else {
		daxl_space_take(m->space, want, r / 16 % 2 ? r / 32 % m->nblocks : 0, &run);
		ck_assert(run.len >= 1 && run.len <= want);
	}
	got_run(m, run);
	if (r / 4 % 2) { /* the rest stays reserved for a while */
		m->reserved += want - run.len;
	} else {
		daxl_space_unreserve(m->space, want - run.len);
	}
}

static void model_step(struct model *m)
{
	uint64_t r = next_random(&m->seed);
	daxl_blk_t blk = next_random(&m->seed) % m->nblocks;
	daxl_nblk_t len = r / 16 % 8 ? r / 128 % 20 + 1 : r / 128 % (m->nblocks / 2) + 1;
	daxl_nblk_t same, n = 0;
	int err;

	r /= 16;
	switch (next_random(&m->seed) % 10) {
	case 0:
	case 1:
	case 2:
		model_take(m, len, r);
		break;
	case 3:
	case 4:
	case 5:
		n = run_of(m, blk, len, true);
		if (n)
			daxl_space_unref(m->space, blk, n);
		for (daxl_blk_t b = blk; b < blk + n; b++)
			m->free += --m->refs[b] == 0;
		break;
	case 6:
		n = run_of(m, blk, len, true);
		if (n)
			ck_assert_int_eq(daxl_space_ref(m->space, blk, n), 0);
		for (daxl_blk_t b = blk; b < blk + n; b++)
			m->refs[b]++;
		break;
	case 7:
		len = daxl_min_u64(len, m->nblocks - blk);
		n = run_of(m, blk, len, false);
		err = n == len && m->free - m->reserved >= len ? 0 : -EUCLEAN;
		ck_assert_int_eq(daxl_space_mark(m->space, blk, len), err);
		if (!err)
			got_run(m, (struct daxl_blkrun){blk, len});
		break;
	case 8:
		len = daxl_min_u64(len, m->nblocks - blk);
		if (daxl_space_is_shared(m->space, blk, len, &same) != (m->refs[blk] > 1))
			ck_abort_msg("is_shared");
		for (n = 0; n < len && (m->refs[blk + n] > 1) == (m->refs[blk] > 1); n++)
			;
		ck_assert_uint_eq(same, n);
		break;
	default:
		len = daxl_min_u64(daxl_min_u64(len, 20), m->nblocks - blk);
		for (daxl_blk_t b = blk; b < blk + len; b++)
			n += m->refs[b] == 0;
		if (n > m->free - m->reserved)
			break;
		ck_assert_int_eq(daxl_space_mark_shared(m->space, blk, len), 0);
		m->free -= n;
		for (daxl_blk_t b = blk; b < blk + len; b++)
			m->refs[b]++;
		break;
	}
	if (m->reserved && r % 32 == 0) {
		n = r / 32 % m->reserved + 1;
		daxl_space_unreserve(m->space, n);
		m->reserved -= n;
	}
}

static void run_model(daxl_nblk_t nblocks, unsigned shift, daxl_nblk_t keep_back, unsigned steps)
{
	struct model m = {.nblocks = nblocks, .keep_back = keep_back, .free = nblocks, .seed = seed_from_env() + shift};

	m.space = make(nblocks, shift, keep_back);
	m.refs = calloc(nblocks, sizeof(*m.refs));
	for (unsigned i = 0; i < steps; i++) {
		model_step(&m);
		if (i % 500 == 0)
			compare(&m);
	}
	compare(&m);
	for (daxl_blk_t b = 0; b < nblocks; b++)
		for (; m.refs[b]; m.refs[b]--)
			daxl_space_unref(m.space, b, 1);
	daxl_space_unreserve(m.space, m.reserved);
	m.reserved = 0;
	m.free = nblocks;
	compare(&m);
	free(m.refs);
	daxl_space_destroy(m.space);
}

START_TEST(random_operations_agree_with_a_model)
{
	static const unsigned shifts[] = {12, 16, 21};

	run_model(20000, shifts[_i], 50, 15000);
	run_model(3 * 8192, shifts[_i], 0, 15000);
	run_model(500, shifts[_i], 7, 60000);
}
END_TEST

#define THREADS 4

struct dropper {
	struct daxl_space *space;
	daxl_nblk_t nblocks;
	pthread_barrier_t *barrier;
	pthread_t thread;
	unsigned step;
};

/* Drops one reference on each block, in its own order. */
static void *drop(void *arg)
{
	struct dropper *d = arg;

	pthread_barrier_wait(d->barrier);
	for (daxl_nblk_t i = 0; i < d->nblocks; i++)
		daxl_space_unref(d->space, i * d->step % d->nblocks, 1);
	return NULL;
}

START_TEST(of_threads_that_drop_the_last_references_exactly_one_frees)
{
	static const unsigned steps[THREADS] = {1, 3, 1, 5};
	daxl_nblk_t nblocks = 1 << 15;
	struct daxl_space *space = make(nblocks, 12, 0);
	struct dropper dropper[THREADS];
	pthread_barrier_t barrier;

	pthread_barrier_init(&barrier, NULL, THREADS);
	for (unsigned round = 0; round < 5; round++) {
		ck_assert_int_eq(daxl_space_mark(space, 0, nblocks), 0);
		for (unsigned i = 1; i < THREADS; i++)
			ck_assert_int_eq(daxl_space_ref(space, 0, nblocks), 0);
		for (unsigned i = 0; i < THREADS; i++) {
			dropper[i] = (struct dropper){space, nblocks, &barrier, 0, steps[i]};
			ck_assert_int_eq(pthread_create(&dropper[i].thread, NULL, drop, &dropper[i]), 0);
		}
		for (unsigned i = 0; i < THREADS; i++)
			pthread_join(dropper[i].thread, NULL);
		ck_assert_uint_eq(stat_of(space).free, nblocks);
		ck_assert_uint_eq(stat_of(space).shared, 0);
	}
	pthread_barrier_destroy(&barrier);
	daxl_space_destroy(space);
}
END_TEST

struct cloner {
	struct daxl_space *space;
	pthread_t thread;
	uint64_t seed;
	daxl_blk_t own; /* a block only this thread has references on, beside shared neighbours */
	int wrong;
};

/* Clones and drops its own block; while it has two references on it, it must be seen shared, else not. */
static void *clone_and_drop(void *arg)
{
	struct cloner *c = arg;

	for (unsigned i = 0; i < 50000; i++) {
		if (daxl_space_ref(c->space, c->own, 1) != 0 || !daxl_space_is_shared(c->space, c->own, 1, NULL))
			c->wrong++;
		daxl_space_unref(c->space, c->own, 1);
		if (daxl_space_is_shared(c->space, c->own, 1, NULL) || !daxl_space_is_used(c->space, c->own))
			c->wrong++;
	}
	return NULL;
}

START_TEST(a_shared_block_is_seen_shared_whatever_its_neighbours_do)
{
	struct daxl_space *space = make(1000, 12, 0);
	struct cloner cloner[THREADS];

	ck_assert_int_eq(daxl_space_mark(space, 0, 1000), 0);
	for (unsigned i = 0; i < THREADS; i++) {
		cloner[i] = (struct cloner){.space = space, .own = 500 + i};
		ck_assert_int_eq(pthread_create(&cloner[i].thread, NULL, clone_and_drop, &cloner[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(cloner[i].thread, NULL);
		ck_assert_int_eq(cloner[i].wrong, 0);
	}
	ck_assert_uint_eq(stat_of(space).shared, 0);
	daxl_space_destroy(space);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("share");
	TCase *one = tcase_create("one thread");
	TCase *many = tcase_create("threads");
	SRunner *runner = srunner_create(suite);
	int failed;

	printf("DAXL_SEED=%llu\n", (unsigned long long)seed_from_env());
	suite_add_tcase(suite, one);
	tcase_set_timeout(one, 120);
	tcase_add_test(one, a_block_is_free_after_as_many_drops_as_it_had_references);
	tcase_add_test(one, load_counts_the_first_and_every_further_reference);
	tcase_add_test(one, load_does_not_take_what_is_promised);
	tcase_add_test(one, sharing_that_fails_counts_nothing);
	tcase_add_test(one, blocks_that_a_pool_grew_by_can_be_shared);
	tcase_add_loop_test(one, random_operations_agree_with_a_model, 0, 3);
	suite_add_tcase(suite, many);
	tcase_set_timeout(many, 120);
	tcase_add_test(many, of_threads_that_drop_the_last_references_exactly_one_frees);
	tcase_add_test(many, a_shared_block_is_seen_shared_whatever_its_neighbours_do);
	srunner_set_fork_status(runner, CK_NOFORK);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
