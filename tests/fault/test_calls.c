/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Each step that can fail, in each call of the library, fails: the first, the second, and so on until the call
 * survives; once, and from there on. A call that fails gives the error of that step, which its documentation names, and
 * a sentence; it has stored nothing through its pointers and changed nothing that can be seen, nor after a crash. The same call then
 * succeeds on the same objects, with the result it has where nothing fails, and the pool is found clean.
 */
#include "fault.h"

/* What is under test, for messages. */
static char label[200];

static void same(const char *was, const char *now)
{
	if (strcmp(was, now) != 0)
		ck_abort_msg("%s: was\n%s--- and is\n%s", label, was, now);
}

/* The call where nothing fails: its result and what it leaves, and how often it passes each point. */
static long long without_faults(const struct fault_row *row, char **ret_state)
{
	world_make();
	if (row->prepare)
		row->prepare();
	outs_fill();
	fault_count();
	long long rc = row->call();

	(void)fault_disarm();
	api_ok(rc, row->what, __LINE__);
	*ret_state = world_state(false);
	if (row->done)
		row->done(rc);
	world_end();
	return rc;
}

static void check_failure(const struct fault_row *row, const struct fault_point *point, long long rc, bool fired,
                          const char *was)
{
	int got = (int)-rc, err = got == point->or_err || got == row->or_err ? got : point->err;

	if (!fired || err == 0)
		ck_abort_msg("%s: %lld though nothing failed: %s", label, rc, daxl_errormsg());
	api_failed(rc, err, label, __LINE__);
	if (!fault_documented(row->function, err))
		ck_abort_msg("%s: %s does not document %s: %s", label, row->function, strerror(err), daxl_errormsg());
	if (!outs_untouched())
		ck_abort_msg("%s: it failed, and stored through a pointer", label);
	if (row->failed)
		row->failed();
	char *now = world_state(true);

	same(was, now);
	free(now);
	if (point == &fault_points[LATE_FAILURE]) /* a step that may come after the record */
		world_survives(label);
}

static void fail_in_turn(const struct fault_row *row, size_t p, bool all_after, long long want, const char *after)
{
	const struct fault_point *point = &fault_points[p];
	bool fired = true;

	world_make();
	char *was = world_state(true);

	for (unsigned n = 1; fired; n++) {
		snprintf(label, sizeof(label), "%s (%s), %s %u%s", row->function, row->what, point->name, n,
		         all_after ? " and on" : "");
		ck_assert_uint_lt(n, 3000);
		if (row->prepare)
			row->prepare();
		outs_fill();
		api_before();
		fault_arm(p, n, all_after);
		long long rc = row->call();

		fired = fault_disarm();
		if (rc < 0) {
			check_failure(row, point, rc, fired, was);
			continue;
		}
		if (!row->partial || !fired)
			api_is(rc, want, label, __LINE__);
		if (rc == want) {
			char *now = world_state(false);

			same(after, now);
			free(now);
		}
		if (row->done)
			row->done(rc);
		free(was);
		world_end();
		world_make(); /* it went without: on to the next step, from the start */
		was = world_state(true);
	}
	free(was);
	world_end();
}

START_TEST(each_step_fails_in_turn)
{
	const char *only = getenv("DAXL_FAULT_ROW");

	for (size_t i = 0; fault_row(i); i++) {
		const struct fault_row *row = fault_row(i);
		unsigned counts[FAULT_POINTS];
		char *after;

		if (only && strcmp(only, row->what) != 0)
			continue;
		long long want = without_faults(row, &after);

		memcpy(counts, fault_counted, sizeof(counts));
		for (size_t p = 0; p < FAULT_POINTS; p++) {
			if (counts[p] == 0)
				continue;
			fail_in_turn(row, p, false, want, after);
			if (fault_points[p].for_good)
				fail_in_turn(row, p, true, want, after);
		}
		free(after);
	}
}
END_TEST

/* A pool that found no room for growth in the address space works, and cannot grow before it is opened again. */
START_TEST(growth_without_address_space)
{
	size_t p = 0;

	while (strcmp(fault_points[p].name, "media.reserve") != 0)
		p++;
	world_make();
	image_crashed();
	fault_arm(p, 1, true);
	struct daxl_pool *pool;
	int rc = daxl_pool_open(w.image, NULL, &pool);

	ck_assert(fault_disarm());
	ok(rc);
	unchanged(pool, fails(daxl_pool_grow(pool, 8 * MIB), EOPNOTSUPP));
	pool = api_reopen(pool, w.image, 0);
	ok(daxl_pool_grow(pool, 8 * MIB));
	ok(daxl_pool_close(pool));
	image_is_whole();
	world_end();
}
END_TEST

/* --- nothing is left out --- */

START_TEST(each_exported_function_has_a_row)
{
	FILE *map = fopen(DAXL_VERSION_SCRIPT, "r");
	char line[200], name[100];
	unsigned exported = 0;

	ck_assert_ptr_nonnull(map);
	while (fgets(line, sizeof(line), map)) {
		size_t i = 0;

		if (sscanf(line, " %99[a-z_0-9];", name) != 1 || strncmp(name, "daxl_", 5) != 0)
			continue;
		exported++;
		while (fault_row(i) && strcmp(fault_row(i)->function, name) != 0)
			i++;
		if (!fault_row(i))
			ck_abort_msg("%s is exported and has no row in tests/fault", name);
	}
	fclose(map);
	ck_assert_uint_gt(exported, 50);
}
END_TEST

/* Runs last: what the rows do not reach has not been tested. */
START_TEST(each_point_has_failed)
{
	if (getenv("DAXL_FAULT_ROW"))
		return;
	for (size_t p = 0; p < FAULT_POINTS; p++)
		if (!fault_met[p])
			ck_abort_msg("no call has met a failure of %s", fault_points[p].name);
}
END_TEST

int main(void)
{
	const struct api_case cases[] = {
		{"exports", each_exported_function_has_a_row},
		{"steps", each_step_fails_in_turn},
		{"address_space", growth_without_address_space},
		{"points", each_point_has_failed},
	};

	return API_RUN("fault.calls", cases);
}
