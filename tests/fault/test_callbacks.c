/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The functions that programs give to the library, behaving badly. Whatever call is made from inside one of them gives
 * what it gives outside, or says -EDEADLK where it would have to wait; what they return is taken as documented.
 */
#include "fault.h"

/* --- every call from every function --- */

enum inside { RECALL, FENCE, RELEASE, LIST, CHECK, INSIDES };
static const char *const inside_names[] = {"recall", "fence", "release", "list", "check"};

static const struct fault_row *row; /* what is called from inside, once */
static long long row_rc;
static bool called;

static void call_it(void)
{
	if (called)
		return;
	called = true;
	row_rc = row->call();
}

static void recall_calls(struct daxl_lease *lease, const struct daxl_recall *recall, void *arg)
{
	(void)recall, (void)arg;
	call_it();
	ok(daxl_lease_return(lease));
}
static int fence_calls(struct daxl_lease *lease, void *arg)
{
	(void)lease, (void)arg;
	call_it();
	return 0;
}
static void release_calls(void *arg)
{
	(void)arg;
	call_it();
}
static int list_calls(const char *name, uint64_t id, void *arg)
{
	(void)name, (void)id, (void)arg;
	call_it();
	return 0;
}
static int check_calls(const struct daxl_check_finding *finding, void *arg)
{
	(void)finding, (void)arg;
	call_it();
	return 0;
}

/* A closed pool for daxl_check, and a file of a pool of its own for leases: rows leave both alone. */
static struct daxl_pool *apart;
static const char *apart_path, *closed;
static struct daxl_file *stage;

static void call_from(enum inside inside)
{
	struct daxl_lease_opts opts = DAXL_LEASE_OPTS_INIT;
	struct daxl_wait wait = api_wait(1, DAXL_ON_TIMEOUT_FENCE, 0);
	struct daxl_lease *lease = NULL;

	called = false;
	if (inside == LIST) {
		ok(daxl_list(apart, list_calls, NULL));
		return;
	}
	if (inside == CHECK) {
		is(daxl_check(closed, 0, check_calls, NULL), 0);
		return;
	}
	opts.recall = inside == RECALL ? recall_calls : NULL;
	opts.fence = inside == FENCE ? fence_calls : NULL;
	opts.release = inside == RELEASE ? release_calls : NULL;
	opts.break_ms = 1;
	ok(daxl_lease_acquire(stage, 0, BLK, &opts, &lease));
	if (inside != RELEASE)
		ok(daxl_truncate(stage, 0, &wait));
	daxl_lease_free(lease);
	ok(daxl_truncate(stage, BLK, NULL));
}

START_TEST(every_call_from_every_function)
{
	const char *only = getenv("DAXL_FAULT_ROW");

	apart = api_pool(&apart_path);
	stage = api_file(apart, "stage", BLK);
	struct daxl_pool *pool = api_pool(&closed);

	ok(daxl_pool_close(pool));
	for (size_t i = 0; fault_row(i); i++) {
		row = fault_row(i);
		if (only && strcmp(only, row->what) != 0)
			continue;
		world_make();
		if (row->prepare)
			row->prepare();
		outs_fill();
		long long want = row->call();
		char *after = world_state(false);

		if (row->done)
			row->done(want);
		world_end();
		for (enum inside inside = RECALL; inside < INSIDES; inside++) {
			char label[120];

			snprintf(label, sizeof(label), "%s (%s) inside %s", row->function, row->what,
			         inside_names[inside]);
			world_make();
			if (row->prepare)
				row->prepare();
			outs_fill();
			call_from(inside);
			ck_assert(called);
			api_is(row_rc, want, label, __LINE__);
			char *now = world_state(false);

			if (strcmp(after, now) != 0)
				ck_abort_msg("%s: left\n%s--- not\n%s", label, now, after);
			free(now);
			if (row->done)
				row->done(row_rc);
			world_end();
		}
		free(after);
	}
	ok(daxl_close(stage));
	ok(daxl_pool_close(apart));
	is(daxl_check(apart_path, 0, NULL, NULL), 0);
}
END_TEST

/* --- recall functions --- */

static struct daxl_pool *pool;
static const char *path;
static struct daxl_file *file;
static int recalls, fences, releases;

static struct daxl_lease *holder(daxl_recall_fn recall, daxl_fence_fn fence, daxl_release_fn release)
{
	struct daxl_lease_opts opts = DAXL_LEASE_OPTS_INIT;
	struct daxl_lease *lease = NULL;

	recalls = fences = releases = 0;
	opts.break_ms = 1;
	opts.recall = recall;
	opts.fence = fence;
	opts.release = release;
	ok(daxl_lease_acquire(file, 0, 4 * BLK, &opts, &lease));
	return lease;
}

static void setup(void)
{
	pool = api_pool(&path);
	file = api_file(pool, "f", 8 * BLK);
}

static void teardown(void)
{
	ok(daxl_close(file));
	ok(daxl_pool_close(pool));
	is(daxl_check(path, 0, NULL, NULL), 0);
}

static void does_nothing(struct daxl_lease *lease, const struct daxl_recall *recall, void *arg)
{
	(void)lease, (void)recall, (void)arg;
	recalls++;
}

START_TEST(a_recall_function_that_does_nothing)
{
	struct daxl_wait brief = api_wait(3, 0, 0), limbo = api_wait(3, DAXL_ON_TIMEOUT_LIMBO, 0);

	setup();
	struct daxl_lease *lease = holder(does_nothing, NULL, NULL);

	unchanged(pool, {
		fails(daxl_truncate(file, 0, &brief), ETIMEDOUT);
		fails(daxl_truncate(file, 0, &brief), ETIMEDOUT);
	});
	is(recalls, 1); /* it has been told */
	ok(daxl_truncate(file, 0, &limbo));
	daxl_lease_free(lease);
	teardown();
}
END_TEST

/* Wants back what is being taken away; then wants it at once; then takes it elsewhere. */
static long long again[3];

static void acquires_again(struct daxl_lease *lease, const struct daxl_recall *recall, void *arg)
{
	struct daxl_lease_opts opts = DAXL_LEASE_OPTS_INIT;
	struct daxl_lease *more = UNTOUCHED;

	(void)arg;
	recalls++;
	again[0] = daxl_lease_acquire(file, recall->off, BLK, &opts, &more);
	opts.flags = DAXL_LEASE_NOWAIT;
	again[1] = daxl_lease_acquire(file, recall->off, BLK, &opts, &more);
	ck_assert_ptr_eq(more, UNTOUCHED);
	again[2] = daxl_lease_acquire(file, 6 * BLK, BLK, &opts, &more);
	if (again[2] == 0)
		daxl_lease_free(more);
	ok(daxl_lease_return(lease));
}

START_TEST(a_recall_function_that_acquires_again)
{
	setup();
	struct daxl_lease *lease = holder(acquires_again, NULL, NULL);

	ok(daxl_fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, BLK, NULL));
	is(recalls, 1);
	is(again[0], -EDEADLK);
	is(again[1], -EAGAIN);
	is(again[2], 0);
	daxl_lease_free(lease);
	teardown();
}
END_TEST

static void frees(struct daxl_lease *lease, const struct daxl_recall *recall, void *arg)
{
	(void)recall, (void)arg;
	recalls++;
	daxl_lease_free(lease);
}
static void counts_release(void *arg)
{
	(void)arg;
	releases++;
}

START_TEST(a_recall_function_that_ends_its_lease)
{
	setup();
	(void)holder(frees, NULL, counts_release);
	ok(daxl_truncate(file, 0, NULL));
	is(recalls, 1);
	is(releases, 1);
	teardown();
}
END_TEST

/* --- fence functions --- */

static int fence_result;
static bool fence_returns, fence_unpins;

static int fence(struct daxl_lease *lease, void *arg)
{
	(void)arg;
	fences++;
	if (fence_returns)
		ok(daxl_lease_return(lease));
	if (fence_unpins)
		daxl_lease_unpin(lease);
	return fence_result;
}

START_TEST(what_a_fence_function_returns)
{
	static const int results[] = {1, -1, INT32_MIN, INT32_MAX, -ETIMEDOUT, 0};
	struct daxl_wait wait = api_wait(2, DAXL_ON_TIMEOUT_FENCE, 0);

	for (size_t i = 0; i < sizeof(results) / sizeof(results[0]); i++)
		for (int gives_back = 0; gives_back < 2; gives_back++) {
			setup();
			struct daxl_lease *lease = holder(NULL, fence, NULL);

			ok(daxl_lease_pin(lease));
			fence_result = results[i];
			fence_returns = fence_unpins = gives_back;
			if (results[i] && !gives_back)
				unchanged(pool, fails(daxl_truncate(file, 0, &wait), ETIMEDOUT));
			else /* a return and a last unpin meanwhile win */
				ok(daxl_truncate(file, 0, &wait));
			is(fences, 1);
			is(daxl_lease_state(lease), gives_back    ? DAXL_LEASE_RETURNED
			                            : results[i] ? DAXL_LEASE_RECALLED
			                                         : DAXL_LEASE_REVOKED);
			if (!gives_back)
				daxl_lease_unpin(lease);
			daxl_lease_free(lease);
			teardown();
		}
}
END_TEST

/* --- list and check --- */

static int told, stop_at, stop_with;

static int stops_list(const char *name, uint64_t id, void *arg)
{
	(void)name, (void)id, (void)arg;
	return ++told == stop_at ? stop_with : 0;
}

START_TEST(a_list_function_that_ends_the_list)
{
	static const int results[] = {1, -1, -ENOMEM, INT32_MIN, INT32_MAX};

	setup();
	for (char name[2] = "0"; name[0] <= '4'; name[0]++)
		ok(daxl_close(api_file(pool, name, 0)));
	for (size_t i = 0; i < sizeof(results) / sizeof(results[0]); i++)
		for (int n = 1; n <= 7; n++) {
			told = 0;
			stop_at = n;
			stop_with = results[i];
			is(daxl_list(pool, stops_list, NULL), n < 7 ? stop_with : 0);
			is(told, n < 7 ? n : 6);
		}
	teardown();
}
END_TEST

static bool found;

static int stops_check(const struct daxl_check_finding *finding, void *arg)
{
	(void)arg;
	found |= finding->kind != DAXL_FINDING_PROGRESS && finding->severity >= DAXL_SEVERITY_WARNING;
	return ++told == stop_at ? stop_with : 0;
}

/* Ended at each report in turn, for a pool that is whole and one that is not, looking and repairing. */
START_TEST(a_check_function_that_ends_the_check)
{
	world_make();
	for (int damaged = 0; damaged < 2; damaged++)
		for (unsigned flags = 0; flags <= DAXL_CHECK_REPAIR; flags += DAXL_CHECK_REPAIR)
			for (int n = 1; n <= told + 1 || n == 1; n++) {
				if (damaged)
					image_damaged();
				else
					image_crashed();
				uint64_t was = api_hash(w.image);

				told = 0;
				found = false;
				stop_at = n;
				stop_with = n % 2 ? 1 : -ENOMEM;
				api_before();
				int rc = daxl_check(w.image, flags, stops_check, NULL);

				if (told < n)
					is(rc, damaged); /* it came to its end */
				else if (found || rc == 1)
					is(rc, damaged ? 1 : -ECANCELED); /* what repair finds it tells later */
				else
					is(rc, -ECANCELED);
				if (rc < 0)
					api_failed(rc, ECANCELED, "daxl_check", __LINE__);
				if (!flags)
					is(api_hash(w.image), was);
				is(daxl_check(w.image, DAXL_CHECK_REPAIR, NULL, NULL) < 0, 0);
				is(daxl_check(w.image, 0, NULL, NULL), 0);
				if (!damaged)
					image_is_whole();
			}
	world_end();
}
END_TEST

int main(void)
{
	const struct api_case cases[] = {
		{"calls", every_call_from_every_function},
		{"recall_nothing", a_recall_function_that_does_nothing},
		{"recall_acquires", a_recall_function_that_acquires_again},
		{"recall_frees", a_recall_function_that_ends_its_lease},
		{"fence", what_a_fence_function_returns},
		{"list", a_list_function_that_ends_the_list},
		{"check", a_check_function_that_ends_the_check},
	};

	return API_RUN("fault.callbacks", cases);
}
