/* SPDX-License-Identifier: BSD-3-Clause */
/* Counters: stripes, histograms, and what can only be brought about from inside. */
#include <check.h>
#include <daxlayout.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/tally.h"
#include "file/file.h"

#define THREADS 40
#define CALLS 1000

static struct daxl_stats st; /* large */

static void *count_calls(void *arg)
{
	for (unsigned i = 0; i < CALLS; i++) {
		struct daxl_toll outer = daxl_toll_begin();

		daxl_toll.lines = 5;
		daxl_toll.fences = 1;
		if (i % 2) { /* each second call is none as most are */
			daxl_toll.recalls = 2;
			daxl_toll.waits = true;
			daxl_toll.log_waits = i % 4 == 1;
		}
		daxl_tally_call(arg, DAXL_STAT_PUNCH, i % 8 == 4 ? -ETIMEDOUT : 3, 3);
		daxl_toll_end(outer);
	}
	ck_assert_uint_eq(daxl_toll.recalls, 0);
	return NULL;
}

/* More threads than stripes: none of them loses a count of another. */
START_TEST(no_count_is_lost)
{
	struct daxl_tally *tally;
	pthread_t thread[THREADS];

	ck_assert_int_eq(daxl_tally_create(&tally), 0);
	for (unsigned i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&thread[i], NULL, count_calls, tally), 0);
	for (unsigned i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_join(thread[i], NULL), 0);
	daxl_tally_read(tally, &st);
	ck_assert_uint_eq(st.op[DAXL_STAT_PUNCH].calls, THREADS * CALLS);
	ck_assert_uint_eq(st.op[DAXL_STAT_PUNCH].bytes, 3 * THREADS * CALLS);
	ck_assert_uint_eq(st.op[DAXL_STAT_PUNCH].lines, 5 * THREADS * CALLS);
	ck_assert_uint_eq(st.op[DAXL_STAT_PUNCH].fences, THREADS * CALLS);
	ck_assert_uint_eq(st.op[DAXL_STAT_PUNCH].errors, THREADS * CALLS / 8);
	ck_assert_uint_eq(st.op[DAXL_STAT_PUNCH].timeouts, THREADS * CALLS / 8);
	ck_assert_uint_eq(st.op[DAXL_STAT_PUNCH].recalls, THREADS * CALLS);
	ck_assert_uint_eq(st.op[DAXL_STAT_PUNCH].waits, THREADS * CALLS / 2);
	ck_assert_uint_eq(st.op[DAXL_STAT_PUNCH].breaks, 0);
	ck_assert_uint_eq(st.log_waits, THREADS * CALLS / 4);
	ck_assert_uint_eq(st.op[DAXL_STAT_ZERO].calls, 0);
	daxl_tally_destroy(tally);
}
END_TEST

START_TEST(times_fall_into_their_buckets)
{
	static const struct {
		uint64_t ns;
		unsigned bucket;
	} times[] = { { 0, 0 }, { 1, 0 }, { 2, 1 }, { 3, 1 }, { 4, 2 }, { 1023, 9 }, { 1024, 10 }, { UINT64_C(1) << 47, 47 },
		      { UINT64_C(1) << 60, 47 } };
	struct daxl_tally *tally;

	ck_assert_int_eq(daxl_tally_create(&tally), 0);
	for (unsigned i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		daxl_tally_read(tally, &st);
		const struct daxl_histogram *h = &st.histogram[DAXL_HISTOGRAM_FENCE_CALL];
		struct daxl_histogram was = *h;

		daxl_tally_time(tally, DAXL_HISTOGRAM_FENCE_CALL, times[i].ns);
		daxl_tally_read(tally, &st);
		was.count++;
		was.sum_ns += times[i].ns;
		was.max_ns = times[i].ns;
		was.bucket[times[i].bucket]++;
		ck_assert_mem_eq(h, &was, sizeof(was));
	}
	daxl_tally_time(tally, DAXL_HISTOGRAM_FENCE_CALL, 5);
	daxl_tally_read(tally, &st);
	ck_assert_uint_eq(st.histogram[DAXL_HISTOGRAM_FENCE_CALL].max_ns, UINT64_C(1) << 60);
	daxl_tally_destroy(tally);
}
END_TEST

/* Credit is taken away until the next call finds the ring full: it waits for a checkpoint, and says so. */
START_TEST(a_wait_for_room_in_the_log_is_counted)
{
	struct daxl_pool_opts opts = DAXL_POOL_OPTS_INIT;
	struct daxl_log_stat log;
	struct daxl_pool *pool;
	struct daxl_file *file;
	char path[] = "/tmp/daxl_tally.XXXXXX";
	unsigned taken = 0;

	setenv("PMEM2_FORCE_GRANULARITY", "CACHE_LINE", 0);
	close(mkstemp(path));
	opts.log_size = 256 << 10;
	ck_assert_int_eq(daxl_pool_create(path, 8 << 20, &opts, &pool), 0);
	unlink(path);
	ck_assert_int_eq(daxl_open(pool, "f", O_RDWR | O_CREAT, &file), 0);
	for (unsigned i = 0; i < 2 * DAXL_REC_SLOTS_MAX; i++)
		ck_assert_int_eq(daxl_truncate(file, 1 + (off_t)i, NULL), 0);
	do {
		ck_assert_int_eq(daxl_log_credit_take(pool->log, 1), 0);
		taken++;
		daxl_log_stat(pool->log, &log);
	} while (log.head - log.start + log.credit_out + DAXL_REC_SLOTS_MAX <= log.slots);
	ck_assert_int_eq(daxl_stats(pool, &st), 0);
	ck_assert_uint_eq(st.log_waits, 0);
	ck_assert_int_eq(daxl_truncate(file, 0, NULL), 0);
	ck_assert_int_eq(daxl_stats(pool, &st), 0);
	ck_assert_uint_eq(st.log_waits, 1);
	ck_assert_uint_eq(st.op[DAXL_STAT_CHECKPOINT].calls, 1);
	daxl_log_credit_give(pool->log, taken);
	ck_assert_int_eq(daxl_truncate(file, 1, NULL), 0);
	ck_assert_int_eq(daxl_stats(pool, &st), 0);
	ck_assert_uint_eq(st.log_waits, 1);
	ck_assert_int_eq(daxl_close(file), 0);
	ck_assert_int_eq(daxl_pool_close(pool), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("tally");
	TCase *tcase = tcase_create("tally");

	tcase_add_test(tcase, no_count_is_lost);
	tcase_add_test(tcase, times_fall_into_their_buckets);
	tcase_add_test(tcase, a_wait_for_room_in_the_log_is_counted);
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);

	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);

	srunner_free(runner);
	return failed != 0;
}
