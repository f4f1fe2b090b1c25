/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * kill -9 at random instants of a load of several threads on an ordinary file. The parent starts this program again as the child, which
 * opens the pool and works until it is killed; how many calls have returned stands in shared memory. The arguments of all
 * calls follow from the seed and the model, so the parent takes the same steps on the model alone, and what the pool holds has
 * to be what had returned, or that and the one call which each thread was in (L15). daxl_check finds nothing before or after.
 *
 *   test_kill [--rounds N] [--dir FOLDER]
 *
 * Environment: DAXL_SEED.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "crash.h"

#define THREADS 3u
#define POOL_SIZE (16u << 20)

struct shared {
	uint64_t steps[THREADS]; /* calls that have returned */
	uint32_t working;        /* threads that have begun */
};

static struct shared *shared;
static uint64_t seed, round_number;
static char path[4096];

static const char *prefix_of(unsigned i)
{
	static const char *const prefixes[THREADS] = { "x-", "y-", "z-" };

	return prefixes[i];
}

static uint64_t thread_seed(unsigned i)
{
	uint64_t z = seed ^ round_number * UINT64_C(0xd1342543de82ef95) ^ i;

	return rnd(&z);
}

/* --- the child --- */

static void child_begin(struct run *run, const char *what)
{
	(void)run;
	(void)what;
}

static void child_end(struct run *run)
{
	uint64_t *steps = run->arg;

	__atomic_store_n(steps, *steps + 1, __ATOMIC_RELEASE);
}

struct worker {
	struct daxl_pool *pool;
	unsigned number;
	struct state model;
};

static void *work(void *arg)
{
	struct worker *w = arg;
	struct run run = { .pool = w->pool,
		           .prefix = prefix_of(w->number),
		           .model = &w->model,
		           .rng = thread_seed(w->number),
		           .block = 4096,
		           .begin = child_begin,
		           .end = child_end,
		           .arg = &shared->steps[w->number] };

	__atomic_fetch_add(&shared->working, 1, __ATOMIC_RELEASE);
	for (;;)
		run_random_op(&run);
	return NULL;
}

static int child_main(void)
{
	struct worker workers[THREADS];
	struct daxl_pool *pool;
	pthread_t thread;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	alarm(60); /* should the parent not get round to it */
	must(daxl_pool_open(path, NULL, &pool));
	for (unsigned i = 0; i < THREADS; i++) {
		workers[i] = (struct worker){ .pool = pool, .number = i };
		state_init(&workers[i].model);
		state_read(pool, prefix_of(i), &workers[i].model);
	}
	for (unsigned i = 0; i < THREADS; i++)
		if (pthread_create(&thread, NULL, work, &workers[i]))
			fail("no thread");
	for (;;)
		pause();
}

/* --- the parent --- */

/* What a thread may have left: after the steps that returned, and with the one it was in. */
struct replay {
	uint64_t want, steps;
	struct state *before, *after;
	char what[96]; /* the call between them */
	char now[96];
};

static void replay_begin(struct run *run, const char *what)
{
	struct replay *r = run->arg;

	snprintf(r->now, sizeof(r->now), "%s", what);
}

static void replay_end(struct run *run)
{
	struct replay *r = run->arg;

	r->steps++;
	if (r->steps == r->want)
		r->before = state_copy(run->model);
	if (r->steps == r->want + 1) {
		r->after = state_copy(run->model);
		memcpy(r->what, r->now, sizeof(r->what));
	}
}

static void replay_steps(unsigned number, const struct state *start, struct replay *r)
{
	struct state *model = state_copy(start);
	struct run run = { .prefix = prefix_of(number),
		           .model = model,
		           .rng = thread_seed(number),
		           .block = 4096,
		           .begin = replay_begin,
		           .end = replay_end,
		           .arg = r };

	for (unsigned i = 0; i < NFILES; i++)
		model->f[i].nmaps = UINT32_MAX; /* no more is known of it */
	r->want = __atomic_load_n(&shared->steps[number], __ATOMIC_ACQUIRE);
	if (r->want == 0)
		r->before = state_copy(model);
	while (r->steps < r->want + 1)
		run_random_op(&run);
	state_drop(model);
}

static void compare(unsigned number, const struct replay *r, const struct state *is)
{
	const struct state *states[] = { r->before, r->after };
	char first[512] = "";

	for (unsigned i = 0; i < 2; i++) {
		const char *why = state_layout_differs(states[i], is);

		if (!why)
			why = state_bytes_differ(states[i], changes_in_place(r->what) ? states[1 - i] : NULL, is, true);
		if (!why)
			return;
		if (i == 1)
			fail("thread %u, %" PRIu64 " calls returned, in '%s': neither state: %s | %s", number, r->want, r->what,
			     first, why);
		snprintf(first, sizeof(first), "%s", why);
	}
}

static void check_pool(struct state *states)
{
	struct daxl_pool *pool;
	const struct state *all[THREADS];

	verify_check(path);
	must(daxl_pool_open(path, NULL, &pool));
	for (unsigned i = 0; i < THREADS; i++) {
		struct replay r = { 0 };
		struct state is;

		replay_steps(i, &states[i], &r);
		state_init(&is);
		state_read(pool, prefix_of(i), &is);
		compare(i, &r, &is);
		state_free(&states[i]);
		states[i] = is;
		all[i] = &states[i];
		state_drop(r.before);
		state_drop(r.after);
	}
	verify_space(pool, all, THREADS);
	if (round_number % 2)
		must(daxl_pool_close(pool));
	else
		pool_crash(pool);
	if (round_number % 8 == 0)
		verify_check(path);
}

static void say_round(void)
{
	fprintf(stderr, "  round %" PRIu64 ", DAXL_SEED=%" PRIu64 "; the pool is left at %s\n", round_number, seed, path);
}

static void run_round(struct state *states, uint64_t *rng, int fd)
{
	char seed_text[24], round_text[24], fd_text[12];
	struct timespec nap = { 0 };
	int status;

	memset(shared, 0, sizeof(*shared));
	snprintf(seed_text, sizeof(seed_text), "%" PRIu64, seed);
	snprintf(round_text, sizeof(round_text), "%" PRIu64, round_number);
	snprintf(fd_text, sizeof(fd_text), "%d", fd);
	pid_t pid = fork();

	if (pid < 0)
		fail("fork: %s", strerror(errno));
	if (pid == 0) {
		execl("/proc/self/exe", "test_kill", "--child", path, seed_text, round_text, fd_text, (char *)NULL);
		_exit(127);
	}
	nap.tv_nsec = 200000;
	while (__atomic_load_n(&shared->working, __ATOMIC_ACQUIRE) < THREADS && waitpid(pid, &status, WNOHANG) == 0)
		nanosleep(&nap, NULL);
	/* The random instant. */
	nap.tv_nsec = (long)rnd_below(rng, rnd_below(rng, 4) ? 8000000 : 80000000);
	nanosleep(&nap, NULL);
	kill(pid, SIGKILL);
	if (waitpid(pid, &status, 0) == pid && !(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL))
		fail("the child ended by itself, status %#x", (unsigned)status);
	check_pool(states);
}

int main(int argc, char **argv)
{
	static const struct option options[] = { { "rounds", required_argument, NULL, 'n' },
		                                 { "dir", required_argument, NULL, 'd' },
		                                 { "child", no_argument, NULL, 'c' },
		                                 { 0 } };
	const char *env = getenv("DAXL_SEED"), *dir = getenv("TMPDIR");
	struct state states[THREADS];
	uint64_t rounds = 10, calls = 0;
	struct daxl_pool *pool;
	bool child = false;
	int opt, fd;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (opt == 'n') {
			rounds = strtoull(optarg, NULL, 0);
		} else if (opt == 'd') {
			dir = optarg;
		} else if (opt == 'c') {
			child = true;
		} else {
			fprintf(stderr, "usage: test_kill [--rounds N] [--dir FOLDER]\n");
			return 2;
		}
	}
	images_setup();
	if (child && argc - optind == 4) {
		snprintf(path, sizeof(path), "%s", argv[optind]);
		seed = strtoull(argv[optind + 1], NULL, 0);
		round_number = strtoull(argv[optind + 2], NULL, 0);
		fd = (int)strtol(argv[optind + 3], NULL, 0);
		shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		return shared == MAP_FAILED ? 1 : child_main();
	}
	seed = env ? strtoull(env, NULL, 0) : (uint64_t)time(NULL);
	printf("DAXL_SEED=%" PRIu64 "\n", seed);
	fflush(stdout);
	snprintf(path, sizeof(path), "%s/crash-kill.%ld.pool", dir ? dir : access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp",
	         (long)getpid());
	fd = memfd_create("steps", 0);
	if (fd < 0 || ftruncate(fd, sizeof(*shared)) != 0)
		fail("shared memory: %s", strerror(errno));
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (shared == MAP_FAILED)
		fail("shared memory: %s", strerror(errno));
	fail_context = say_round;
	(void)unlink(path);
	must(daxl_pool_create(path, POOL_SIZE, NULL, &pool));
	must(daxl_pool_close(pool));
	for (unsigned i = 0; i < THREADS; i++)
		state_init(&states[i]);
	uint64_t rng = seed;

	for (round_number = 1; round_number <= rounds; round_number++) {
		run_round(states, &rng, fd);
		for (unsigned i = 0; i < THREADS; i++)
			calls += shared->steps[i];
	}
	for (unsigned i = 0; i < THREADS; i++)
		state_free(&states[i]);
	(void)unlink(path);
	printf("%" PRIu64 " rounds, %" PRIu64 " calls returned before the kill\n", rounds, calls);
	return 0;
}
