/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fairness, by counts (L14). From the moment that a request stands in its queue it is counted who is served before it. That is bounded by who was ahead or on the way
 * already, however long the stream of others goes on, and however slow the machine is.
 */
#include "stress.h"

#include "base/hook.h"

#define STREAM 8

static struct daxl_file *f;
static bool stop;       /* atomic */
static uint64_t grants; /* atomic: leases of the stream that are in the index */
static uint64_t breaks; /* atomic: calls of the stream that have ended */

/* The measured thread's turn. */
static _Thread_local struct turn {
	const uint64_t *others; /* what counts those who are served; NULL: not measured */
	const char *served;     /* the point where it is served itself */
	bool queued;
	uint64_t at, most, turns;
} turn;

static void measure(const char *point, void *arg)
{
	(void)arg;
	if (!turn.others) {
		if (strcmp(point, "lease:granted") == 0)
			__atomic_fetch_add(&grants, 1, __ATOMIC_SEQ_CST);
		return;
	}
	if (strcmp(point, "break:queued") == 0) {
		turn.at = __atomic_load_n(turn.others, __ATOMIC_SEQ_CST);
		turn.queued = true;
	} else if (turn.queued && strcmp(point, turn.served) == 0) {
		uint64_t n = __atomic_load_n(turn.others, __ATOMIC_SEQ_CST) - turn.at;

		if (n > turn.most)
			turn.most = n;
		turn.turns++;
		turn.queued = false;
	}
}

static bool stopped(void)
{
	return __atomic_load_n(&stop, __ATOMIC_RELAXED);
}

static int grab_and_pin(void *arg)
{
	(void)arg;
	while (!stopped()) {
		struct holder h = { .returns = true };

		holder_take(&h, f, 0, BLK, DAXL_LEASE_READ, 0);
		for (unsigned i = 0; i < 50 && daxl_lease_pin(h.lease) == 0; i++)
			daxl_lease_unpin(h.lease);
		holder_end(&h);
	}
	return 0;
}

static int punch_on(void *arg)
{
	(void)arg;
	while (!stopped()) {
		struct call call = CALL(.op = OP_PUNCH, .file = f, .len = BLK);

		call.wait.timeout_ms = DAXL_WAIT_FOREVER;
		must(call_run(&call));
		__atomic_fetch_add(&breaks, 1, __ATOMIC_SEQ_CST);
	}
	return 0;
}

static void begin(const char *what, struct job *jobs, int (*fn)(void *arg))
{
	stress_begin(what);
	f = stress_file("f", BLK);
	stop = false;
	daxl_hook_set(measure, NULL);
	for (unsigned i = 0; i < STREAM; i++)
		job_start_fn(&jobs[i], fn, NULL);
}

static void end(struct job *jobs, const char *what, uint64_t bound)
{
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	turn.others = NULL;
	for (unsigned i = 0; i < STREAM; i++)
		must(job_join(&jobs[i]));
	daxl_hook_set(NULL, NULL);
	printf("%s: in %llu turns at most %llu others first\n", what, (unsigned long long)turn.turns, (unsigned long long)turn.most);
	ck_assert_uint_gt(turn.turns, 0);
	ck_assert_msg(turn.most <= bound, "%s: %llu others were served first", what, (unsigned long long)turn.most);
	must(daxl_close(f));
	stress_end();
}

/* P16, P5: threads take leases and pin them without end. A grant that counts after the break was queued was in the index before: one for each thread. */
START_TEST(p16_a_stream_of_pins_and_grants_does_not_starve_a_break)
{
	struct job jobs[STREAM];

	begin("P16", jobs, grab_and_pin);
	turn = (struct turn){ .others = &grants, .served = "op:drained" };
	for (unsigned i = 0; i < 200; i++) {
		struct call call = CALL(.op = OP_BREAK_UNMAP, .file = f, .len = BLK);

		call.wait.timeout_ms = DAXL_WAIT_FOREVER;
		must(call_run(&call));
	}
	end(jobs, "breaks", STREAM);
}
END_TEST

/* P17: threads break without end. Each may have one call ahead in the queue, and one that has left it and is still to be counted. */
START_TEST(p17_a_stream_of_breaks_does_not_starve_a_grant)
{
	struct job jobs[STREAM];

	begin("P17", jobs, punch_on);
	turn = (struct turn){ .others = &breaks, .served = "lease:granted" };
	for (unsigned i = 0; turn.turns < 200; i++) { /* where nobody is in the queue there is no turn */
		struct holder h = { .returns = true };

		holder_take(&h, f, 0, BLK, i % 2 ? DAXL_LEASE_READ : DAXL_LEASE_WRITE, 0);
		turn.queued = false;
		holder_end(&h);
	}
	end(jobs, "grants", 2 * STREAM);
}
END_TEST

int main(int argc, char **argv)
{
	Suite *suite = suite_create("fair");
	TCase *tc = tcase_create("fair");

	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, p16_a_stream_of_pins_and_grants_does_not_starve_a_break);
	tcase_add_test(tc, p17_a_stream_of_breaks_does_not_starve_a_grant);
	suite_add_tcase(suite, tc);
	return stress_main(argc, argv, suite);
}
