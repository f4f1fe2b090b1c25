/* SPDX-License-Identifier: BSD-3-Clause */
/* An operation plans once where nothing changed since, and anew where something did. */
#include <check.h>
#include <daxlayout.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hook.h"

#define BLK 4096
#define PUNCH (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)

static char path[64];
static struct daxl_pool *pool;
static struct daxl_file *file;
static unsigned stood;        /* operations whose first plan was good enough */
static void (*between)(void); /* once, when an operation has planned and closed its range */

static void on_point(const char *point, void *arg)
{
	(void)arg;
	if (strcmp(point, "op:plan-stands") == 0)
		stood++;
	if (strcmp(point, "break:queued") == 0 && between) {
		void (*fn)(void) = between;

		between = NULL;
		fn();
	}
}

static void setup(void)
{
	char data[8 * BLK];

	memset(data, 'd', sizeof(data));
	snprintf(path, sizeof(path), "plan-test.%d", (int)getpid());
	ck_assert_int_eq(daxl_pool_create(path, 32u << 20, NULL, &pool), 0);
	ck_assert_int_eq(daxl_open(pool, "f", O_RDWR | O_CREAT, &file), 0);
	ck_assert_int_eq(daxl_pwrite(file, data, sizeof(data), 0), sizeof(data));
	stood = 0;
	between = NULL;
	daxl_hook_set(on_point, NULL);
}

static void teardown(void)
{
	daxl_hook_set(NULL, NULL);
	ck_assert_int_eq(daxl_close(file), 0);
	ck_assert_int_eq(daxl_pool_close(pool), 0);
	ck_assert_int_eq(unlink(path), 0);
}

START_TEST(a_plan_is_made_once_while_nothing_changes)
{
	ck_assert_int_eq(daxl_fallocate(file, PUNCH, 0, BLK, NULL), 0);
	ck_assert_uint_eq(stood, 1);
	ck_assert_int_eq(daxl_fallocate(file, 0, 0, BLK, NULL), 0);
	ck_assert_uint_eq(stood, 2);
	ck_assert_int_eq(daxl_fallocate(file, FALLOC_FL_INSERT_RANGE, BLK, BLK, NULL), 0);
	ck_assert_uint_eq(stood, 3);
	ck_assert_int_eq(daxl_truncate(file, 3 * BLK, NULL), 0);
	ck_assert_uint_eq(stood, 4);
}
END_TEST

static void punch_behind(void)
{
	ck_assert_int_eq(daxl_fallocate(file, PUNCH, 4 * BLK, BLK, NULL), 0);
}

START_TEST(a_file_that_changed_is_planned_for_anew)
{
	struct daxl_extent ext[4];

	between = punch_behind;
	ck_assert_int_eq(daxl_fallocate(file, PUNCH, 2 * BLK, BLK, NULL), 0);
	ck_assert_uint_eq(stood, 1); /* the one between */
	ck_assert_int_eq(daxl_map(file, 0, 8 * BLK, ext, 4), 5); /* the last of them did not fit */
	ck_assert_uint_eq(ext[1].file_off, 2 * BLK);
	ck_assert_uint_eq(ext[1].len, BLK);
	ck_assert_uint_eq(ext[3].file_off, 4 * BLK);
	ck_assert_uint_eq(ext[3].len, BLK);
}
END_TEST

static void grow(void)
{
	ck_assert_int_eq(daxl_pwrite(file, "g", 1, 8 * BLK + 5), 1);
}

/* The old end was where it fitted when it planned; at the new one it has a block to zero that it had not closed. */
START_TEST(a_growth_between_is_seen)
{
	char buf[BLK];

	between = grow;
	ck_assert_int_eq(daxl_fallocate(file, 0, 9 * BLK, BLK, NULL), 0);
	ck_assert_uint_eq(stood, 2); /* the write's, and the plan that had it close the whole file */
	ck_assert_int_eq(daxl_pread(file, buf, BLK, 8 * BLK), BLK);
	ck_assert_int_eq(buf[5], 'g');
	for (unsigned i = 6; i < BLK; i++)
		ck_assert_int_eq(buf[i], 0);
}
END_TEST

static struct daxl_lease *lease;

static void acquire(void)
{
	ck_assert_int_eq(daxl_lease_acquire(file, 6 * BLK, BLK, NULL, &lease), 0);
}

/* A lease outside of the range changes no map, but now there is somebody who may be concerned. */
START_TEST(a_lease_between_is_asked_about)
{
	between = acquire;
	ck_assert_int_eq(daxl_fallocate(file, PUNCH, 2 * BLK, BLK, NULL), 0);
	ck_assert_uint_eq(stood, 0);
	ck_assert_int_eq(daxl_lease_return(lease), 0);
	daxl_lease_free(lease);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("plan");
	TCase *tcase = tcase_create("plan");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, a_plan_is_made_once_while_nothing_changes);
	tcase_add_test(tcase, a_file_that_changed_is_planned_for_anew);
	tcase_add_test(tcase, a_growth_between_is_seen);
	tcase_add_test(tcase, a_lease_between_is_asked_about);
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);

	srunner_set_fork_status(runner, CK_NOFORK);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);

	srunner_free(runner);
	return failed != 0;
}
