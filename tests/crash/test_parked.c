/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A thread is parked inside its commit, between ticket and store or between store and fence, while another returns from call
 * after call on another file. Then the crash: what returned is there (L15), though its records stand behind a slot that was never
 * completed; the parked call is there wholly or not at all, and if it is not, it never comes back: each image is recovered, used and
 * crashed again.
 *
 *   test_parked [--rounds N]
 *
 * Environment: DAXL_SEED.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "base/hook.h"
#include "crash.h"

#define PREFIX ""
#define SIZE (4u << 20)

enum place { BEFORE_STORE, BEFORE_FENCE, BEFORE_PUBLISH, PLACES };
static const char *const place_names[] = { "between ticket and store", "between store and fence",
	                                   "between fence and publish" };

static const struct budget budget = { .exhaustive = 6, .singles = 6, .others = 10, .again = 6, .check = 32, .inner = 4 };
static uint64_t seed, round_number;
static const char *what_parked = "?", *where_parked = "?";

/* --- parking --- */

static struct {
	pthread_mutex_t mutex;
	pthread_cond_t cond;
	enum place place;
	bool parked, ended, released;
} lot = { .mutex = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER };

static _Thread_local bool parkable, record_stored;

static void park(void)
{
	parkable = false;
	pthread_mutex_lock(&lot.mutex);
	lot.parked = true;
	pthread_cond_broadcast(&lot.cond);
	while (!lot.released)
		pthread_cond_wait(&lot.cond, &lot.mutex);
	pthread_mutex_unlock(&lot.mutex);
}

static void at_point(const char *point, void *arg)
{
	(void)arg;
	if (!parkable)
		return;
	if (strcmp(point, "log-stored") == 0)
		record_stored = true;
	if (strcmp(point, lot.place == BEFORE_STORE ? "commit:ticket" : "commit:durable") == 0 && lot.place != BEFORE_FENCE)
		park();
}

static void at_event(enum daxl_media_event event, void *arg)
{
	(void)arg;
	if (parkable && record_stored && event == DAXL_MEDIA_EV_FENCE && lot.place == BEFORE_FENCE)
		park();
}

/* --- the two threads --- */

static struct trace trace;
/* Each knows one file: the parked thread a, the other b. What is expected of both together is put together from them. */
static struct state *a0; /* the parked thread's file before its call */
static struct state *a1; /* and after it: filled in at the end, copied to late[] then */
static struct state **late;
static size_t nlate;

static struct state *both(const struct state *a, const struct state *b)
{
	struct state *state = state_copy(b);

	if (a)
		file_copy(&state->f[0], &a->f[0]);
	return state;
}

/* A state with the parked thread's file as it will be after its call. */
static struct state *both_late(const struct state *b)
{
	late = realloc(late, (nlate + 1) * sizeof(struct state *));
	if (!late)
		fail("no memory");
	return late[nlate++] = both(NULL, b);
}

static void expect(const char *what, const struct state *b, const struct state *b_next)
{
	struct state *states[4];
	unsigned n = 0;

	states[n++] = both(a0, b);
	states[n++] = both_late(b);
	if (b_next) {
		states[n++] = both(a0, b_next);
		states[n++] = both_late(b_next);
	}
	trace_accept_all(&trace, what, states, n)->mixed = true;
}

static struct accept *b_open;

static void b_begin(struct run *run, const char *what)
{
	struct state *states[] = { both(a0, run->model), both_late(run->model) };

	b_open = trace_accept_all(&trace, what, states, 2);
	b_open->mixed = true;
}

static void b_end(struct run *run)
{
	char name[32];

	file_ask(run->pool, name_of(PREFIX, 1, name), &run->model->f[1], false);
	b_open->states[2] = both(a0, run->model);
	b_open->states[3] = both_late(run->model);
	b_open->n = 4;
	expect(b_open->what, run->model, NULL);
}

static void a_begin(struct run *run, const char *what)
{
	(void)run;
	what_parked = what;
}

static void a_end(struct run *run)
{
	char name[32];

	file_ask(run->pool, name_of(PREFIX, 0, name), &run->model->f[0], false);
}

static const struct op *a_op;

static void *parked_thread(void *arg)
{
	struct run *run = arg;

	record_stored = false;
	parkable = true;
	while (!a_op->run(run))
		;
	parkable = false;
	pthread_mutex_lock(&lot.mutex);
	lot.ended = true;
	pthread_cond_broadcast(&lot.cond);
	pthread_mutex_unlock(&lot.mutex);
	return NULL;
}

static void say_round(void)
{
	fprintf(stderr, "  round %" PRIu64 ": '%s' parked %s\n  again: DAXL_SEED=%" PRIu64 " test_parked --round %" PRIu64 "\n",
	        round_number, what_parked, where_parked, seed, round_number);
}

/* Calls of one step each, on one file. */
static const char *const single[] = { "write",  "append",   "atomic", "allocate",      "zero",       "punch", "punch-aligned",
	                              "insert", "collapse", "grant",  "truncate-down", "truncate-up" };

static void run_round(void)
{
	uint64_t rng = seed ^ round_number * UINT64_C(0xd1342543de82ef95);
	uint8_t *base = xalloc(SIZE);
	struct daxl_pool *pool = pool_make(base, SIZE, NULL);
	struct state all;
	pthread_t thread;
	struct sim sim;
	char name[32];

	rnd(&rng);
	lot.place = (enum place)rnd_below(&rng, PLACES);
	lot.parked = lot.ended = lot.released = false;
	where_parked = place_names[lot.place];
	/* Two files, some blocks each. */
	for (unsigned i = 0; i < 2; i++) {
		struct daxl_file *file;
		uint8_t bytes[20000];

		for (size_t k = 0; k < sizeof(bytes); k++)
			bytes[k] = (uint8_t)(rnd(&rng) | 1);
		must(daxl_open(pool, name_of(PREFIX, i, name), O_RDWR | O_CREAT, &file));
		if (daxl_pwrite(file, bytes, sizeof(bytes) - i * 999, 0) < 0 || daxl_pwrite(file, bytes, 9000, 40000) < 0)
			fail("preparation: %s", daxl_error_last());
		must(daxl_close(file));
	}
	pool_crash(pool);
	must(pool_load(base, SIZE, &pool));
	state_init(&all);
	state_read(pool, PREFIX, &all);
	a0 = state_copy(&all);
	file_remove(&a0->f[1]);
	struct state *b = state_copy(&all);

	file_remove(&b->f[0]);
	a1 = state_copy(a0);
	trace_init(&trace, base, SIZE);
	trace.tap = at_event;
	sim_init(&sim, base, SIZE, PREFIX, &rng, &budget);
	sim.page = rnd_below(&rng, 4) == 0;
	expect("a call that will be parked", b, NULL);
	trace_start(&trace);
	daxl_hook_set(at_point, NULL);

	struct run ra = { .pool = pool, .prefix = PREFIX, .model = a1, .rng = rnd(&rng), .block = 4096, .trace = &trace,
		          .begin = a_begin, .end = a_end };
	struct run rb = { .pool = pool, .prefix = PREFIX, .model = b, .rng = rnd(&rng), .block = 4096, .trace = &trace,
		          .begin = b_begin, .end = b_end };

	a_op = op_find(single[rnd_below(&rng, DAXL_ARRAY_LEN(single))]);
	pthread_create(&thread, NULL, parked_thread, &ra);
	pthread_mutex_lock(&lot.mutex);
	while (!lot.parked && !lot.ended)
		pthread_cond_wait(&lot.cond, &lot.mutex);
	pthread_mutex_unlock(&lot.mutex);
	for (uint64_t i = 1 + rnd_below(&rng, 4); i > 0;)
		i -= op_find(single[rnd_below(&rng, DAXL_ARRAY_LEN(single))])->run(&rb);
	pthread_mutex_lock(&lot.mutex);
	lot.released = true;
	pthread_cond_broadcast(&lot.cond);
	pthread_mutex_unlock(&lot.mutex);
	pthread_join(thread, NULL);
	trace_accept(&trace, "all returned", both(a1, b), NULL);
	daxl_hook_set(NULL, NULL);
	trace_stop(&trace);
	pool_crash(pool);
	for (size_t i = 0; i < nlate; i++)
		file_copy(&late[i]->f[0], &a1->f[0]);
	nlate = 0;
	sim_run(&sim, &trace, NULL);
	sim_fini(&sim);
	trace_fini(&trace);
	state_free(&all);
	state_drop(a0);
	state_drop(a1);
	state_drop(b);
	free(base);
}

int main(int argc, char **argv)
{
	static const struct option options[] = { { "rounds", required_argument, NULL, 'n' },
		                                 { "round", required_argument, NULL, 'r' },
		                                 { 0 } };
	const char *env = getenv("DAXL_SEED");
	uint64_t rounds = 60, only = 0;
	int opt;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (opt == 'n') {
			rounds = strtoull(optarg, NULL, 0);
		} else if (opt == 'r') {
			only = strtoull(optarg, NULL, 0);
		} else {
			fprintf(stderr, "usage: test_parked [--rounds N] [--round N]\n");
			return 2;
		}
	}
	images_setup();
	seed = env ? strtoull(env, NULL, 0) : (uint64_t)time(NULL);
	printf("DAXL_SEED=%" PRIu64 "\n", seed);
	fflush(stdout);
	fail_context = say_round;
	for (round_number = only ? only : 1; round_number <= (only ? only : rounds); round_number++)
		run_round();
	printf("%" PRIu64 " rounds: %" PRIu64 " images looked at, %" PRIu64 " of them in recoveries, %zu distinct\n",
	       only ? 1 : rounds, totals.images, totals.again, totals.seen.n);
	return 0;
}
