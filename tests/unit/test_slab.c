/* SPDX-License-Identifier: BSD-3-Clause */
/* What the node slab promises. */
#include <check.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "base/hook.h"
#include "map/slab.h"

static struct daxl_slab *slab;

static void setup(void)
{
	ck_assert_int_eq(daxl_slab_create(&slab), 0);
}

static void teardown(void)
{
	ck_assert_uint_eq(daxl_slab_bytes(slab), 0);
	daxl_slab_destroy(slab);
}

START_TEST(objects_are_line_aligned_and_do_not_overlap)
{
	static unsigned char *object[3000];
	for (size_t i = 0; i < DAXL_ARRAY_LEN(object); i++) {
		size_t size = 1 + i * 37 % 4096;
		object[i] = daxl_slab_alloc(slab, size);
		ck_assert_ptr_nonnull(object[i]);
		ck_assert_uint_eq((uintptr_t)object[i] % DAXL_CACHE_LINE, 0);
		memset(object[i], (int)(i % 251), size);
	}
	for (size_t i = 0; i < DAXL_ARRAY_LEN(object); i++) {
		size_t size = 1 + i * 37 % 4096;
		for (size_t k = 0; k < size; k++) {
			if (object[i][k] != i % 251)
				ck_abort_msg("object %zu, byte %zu", i, k);
		}
		daxl_slab_free(slab, object[i], size);
	}
}
END_TEST

START_TEST(bytes_counts_live_objects_by_class)
{
	void *a = daxl_slab_alloc(slab, 1), *b = daxl_slab_alloc(slab, 65), *c = daxl_slab_alloc(slab, 4096);
	ck_assert_uint_eq(daxl_slab_bytes(slab), 64 + 128 + 4096);
	daxl_slab_free(slab, b, 65);
	ck_assert_uint_eq(daxl_slab_bytes(slab), 64 + 4096);
	daxl_slab_free(slab, a, 1);
	daxl_slab_free(slab, c, 4096);
}
END_TEST

static bool count_allocs(const char *point, void *arg)
{
	*(unsigned *)arg += strcmp(point, "slab-alloc") != 0;
	return false;
}

START_TEST(freed_memory_is_used_again)
{
	static void *object[1000];
	unsigned chunks = 0;
	for (unsigned round = 0; round < 20; round++) {
		if (round == 1)
			daxl_fault_set(count_allocs, &chunks);
		for (size_t i = 0; i < DAXL_ARRAY_LEN(object); i++)
			object[i] = daxl_slab_alloc(slab, 1000);
		for (size_t i = 0; i < DAXL_ARRAY_LEN(object); i++)
			daxl_slab_free(slab, object[i], 1000);
	}
	daxl_fault_set(NULL, NULL);
	ck_assert_uint_eq(chunks, 0);
}
END_TEST

static bool always_fail(const char *point, void *arg)
{
	(void)point;
	(void)arg;
	return true;
}

static bool fail_chunks(const char *point, void *arg)
{
	(void)arg;
	return strcmp(point, "slab-alloc") != 0;
}

START_TEST(no_memory_is_an_ordinary_outcome)
{
	struct daxl_slab *other = NULL;
	daxl_fault_set(always_fail, NULL);
	ck_assert_ptr_null(daxl_slab_alloc(slab, 64));
	ck_assert_int_lt(daxl_slab_create(&other), 0);
	ck_assert_ptr_null(other);
	daxl_fault_set(fail_chunks, NULL);
	ck_assert_ptr_null(daxl_slab_alloc(slab, 64));
	daxl_fault_set(NULL, NULL);
	void *object = daxl_slab_alloc(slab, 64);
	ck_assert_ptr_nonnull(object);
	daxl_slab_free(slab, object, 64);
}
END_TEST

#define RING 256u
#define PASSES 100000u
static _Atomic(unsigned char *) ring[RING];

/* Allocates for the other thread to free, as writers do for the RCU worker. */
static void *produce(void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < PASSES; i++) {
		size_t size = 64 + i % 5 * 200;
		unsigned char *object = daxl_slab_alloc(slab, size);
		if (!object)
			abort();
		memset(object, (int)(i % 251), size);
		while (atomic_load(&ring[i % RING]))
			sched_yield();
		atomic_store(&ring[i % RING], object);
	}
	return NULL;
}

static void *consume(void *arg)
{
	unsigned *bad = arg;
	for (unsigned i = 0; i < PASSES; i++) {
		size_t size = 64 + i % 5 * 200;
		unsigned char *object;
		while (!(object = atomic_load(&ring[i % RING])))
			sched_yield();
		*bad += object[0] != i % 251 || object[size - 1] != i % 251;
		daxl_slab_free(slab, object, size);
		atomic_store(&ring[i % RING], NULL);
	}
	return NULL;
}

START_TEST(memory_freed_by_another_thread_comes_back)
{
	pthread_t producer, consumer;
	unsigned bad = 0, chunks = 0;
	daxl_fault_set(count_allocs, &chunks);
	ck_assert_int_eq(pthread_create(&producer, NULL, produce, NULL), 0);
	ck_assert_int_eq(pthread_create(&consumer, NULL, consume, &bad), 0);
	pthread_join(producer, NULL);
	pthread_join(consumer, NULL);
	daxl_fault_set(NULL, NULL);
	ck_assert_uint_eq(bad, 0);
	/* RING objects are alive at a time; without a way back it would be 180 chunks. */
	ck_assert_uint_le(chunks, 6);
}
END_TEST

#define CROWD 24 /* more than have a shard to themselves */

static void *alloc_and_free(void *arg)
{
	unsigned *bad = arg;
	unsigned char *object[40];
	unsigned tag = (unsigned)(uintptr_t)arg / sizeof(unsigned) % 251;

	for (unsigned round = 0; round < 200; round++) {
		for (size_t i = 0; i < DAXL_ARRAY_LEN(object); i++) {
			object[i] = daxl_slab_alloc(slab, 100 + i % 3 * 64);
			if (!object[i])
				abort();
			memset(object[i], (int)tag, 100);
		}
		for (size_t i = 0; i < DAXL_ARRAY_LEN(object); i++) {
			for (size_t k = 0; k < 100; k++)
				*bad += object[i][k] != tag;
			daxl_slab_free(slab, object[i], 100 + i % 3 * 64);
		}
	}
	return NULL;
}

START_TEST(threads_with_and_without_a_shard_of_their_own_get_memory_of_their_own)
{
	pthread_t thread[CROWD];
	static unsigned bad[CROWD];

	for (unsigned i = 0; i < CROWD; i++)
		ck_assert_int_eq(pthread_create(&thread[i], NULL, alloc_and_free, &bad[i]), 0);
	for (unsigned i = 0; i < CROWD; i++) {
		pthread_join(thread[i], NULL);
		ck_assert_uint_eq(bad[i], 0);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("slab");
	TCase *tcase = tcase_create("contract");
	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, objects_are_line_aligned_and_do_not_overlap);
	tcase_add_test(tcase, bytes_counts_live_objects_by_class);
	tcase_add_test(tcase, freed_memory_is_used_again);
	tcase_add_test(tcase, no_memory_is_an_ordinary_outcome);
	tcase_add_test(tcase, memory_freed_by_another_thread_comes_back);
	tcase_add_test(tcase, threads_with_and_without_a_shard_of_their_own_get_memory_of_their_own);
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_set_fork_status(runner, CK_NOFORK);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
