/* SPDX-License-Identifier: BSD-3-Clause */
/* Breaks: whom they recall, what they wait for, how they end. Hazards by their numbers. */
#include "lease_help.h"

#include <time.h>

static struct daxl_wait nowait(void)
{
	struct daxl_wait w = DAXL_WAIT_INIT;

	w.timeout_ms = 0;
	return w;
}

static struct daxl_wait timed(int64_t ms, int way)
{
	struct daxl_wait w = DAXL_WAIT_INIT;

	w.timeout_ms = ms;
	w.on_timeout = way;
	return w;
}

/* Leases revoked after a fence so far. */
static uint64_t fenced(void)
{
	static struct daxl_stats st;

	daxl_tally_read(domain->tally, &st);
	return st.revoked_fence;
}

/* Breaks that have closed their range of fa, or wait to. */
static unsigned queued_breaks(void)
{
	daxl_mutex_lock(&fa.rl.mutex);
	unsigned n = LOAD(fa.rl.alone) && !fa.rl.queue_head;

	for (struct daxl_break_part *p = fa.rl.queue_head; p; p = p->next)
		n++;
	daxl_mutex_unlock(&fa.rl.mutex);
	return n;
}

START_TEST(a_break_of_nobody_recalls_nobody)
{
	struct holder h = { 0 };
	struct daxl_wait w = nowait();

	hold(&h, &fa, 0, 10, NULL);
	ck_assert_int_eq(run_break(&fa, 10, 20, DAXL_LEVEL_U, &w), 0);
	ck_assert_int_eq(run_break(&fb, 0, 10, DAXL_LEVEL_U, &w), 0);
	ck_assert_int_eq(h.recalls, 0);
	ck_assert_int_eq(daxl_lease_state(h.lease), DAXL_LEASE_LIVE);
	daxl_lease_free(h.lease);
}
END_TEST

/* L4: one recall in a lease's life, and what it says. */
START_TEST(a_recall_is_told_once_and_says_what_is_asked)
{
	struct daxl_wait w = nowait();
	struct daxl_lease_opts opts = DAXL_LEASE_OPTS_INIT;
	struct daxl_lease_stat st;
	struct holder h = { 0 };
	uint64_t before = daxl_now_ns();

	opts.break_ms = 500;
	hold(&h, &fa, 5, 50, &opts);
	ck_assert_int_eq(run_break(&fa, 0, 20, DAXL_LEVEL_U, &w), -EAGAIN);
	ck_assert_int_eq(run_break(&fa, 0, 50, DAXL_LEVEL_U, &w), -EAGAIN);
	ck_assert_int_eq(h.recalls, 1);
	ck_assert_int_eq(daxl_lease_stat(h.lease, &st), 0);
	ck_assert_uint_eq(h.last.lease_id, st.id);
	ck_assert_int_eq(h.last.off, 4096 * 5);
	ck_assert_int_eq(h.last.len, 4096 * 15);
	ck_assert_int_eq(h.last.level, DAXL_BREAK_UNMAP);
	ck_assert_int_eq(h.last.reason, DAXL_REASON_PUNCH);
	ck_assert_uint_ge(h.last.deadline_ns, before + 500 * MS);
	ck_assert_uint_le(h.last.deadline_ns, daxl_now_ns() + 500 * MS);
	ck_assert_uint_eq(st.deadline_ns, h.last.deadline_ns);
	ck_assert_uint_eq(st.reason, DAXL_REASON_PUNCH);
	ck_assert_uint_eq(daxl_toll.recalls, 1);
	daxl_lease_free(h.lease);
}
END_TEST

START_TEST(several_clauses_make_one_notice_of_the_whole)
{
	struct daxl_clause clauses[] = {
		{ .start = 2, .end = 4, .level = DAXL_LEVEL_W, .who = DAXL_WHO_ALL },
		{ .start = 20, .end = 30, .level = DAXL_LEVEL_U, .who = DAXL_WHO_ALL },
		{ .start = 10, .end = 12, .level = DAXL_LEVEL_W, .who = DAXL_WHO_ALL },
	};
	struct daxl_wait w = nowait();
	struct daxl_break brk;
	struct holder h = { 0 };

	hold(&h, &fa, 0, 25, NULL);
	ck_assert_int_eq(daxl_break_init(&brk, domain, &w, NULL, DAXL_REASON_WRITE, false), 0);
	daxl_break_add(&brk, &fa.rl, 0, 30);
	ck_assert_int_eq(daxl_break_enter(&brk), 0);
	ck_assert_int_eq(daxl_break_recall(&brk, clauses, 3), -EAGAIN);
	daxl_break_leave(&brk);
	ck_assert_int_eq(h.recalls, 1);
	ck_assert_int_eq(h.last.level, DAXL_BREAK_UNMAP);
	ck_assert_int_eq(h.last.off, 4096 * 2);
	ck_assert_int_eq(h.last.len, 4096 * 23);
	daxl_lease_free(h.lease);
}
END_TEST

START_TEST(a_holder_that_returns_from_its_callback_needs_no_wait)
{
	struct daxl_wait w = nowait();
	struct holder h = { .return_at_once = true };

	hold(&h, &fa, 0, 10, NULL);
	ck_assert_int_eq(run_break(&fa, 0, 10, DAXL_LEVEL_U, &w), 0);
	ck_assert_int_eq(h.recalls, 1);
	ck_assert(!daxl_toll.waits);
	daxl_lease_free(h.lease);
}
END_TEST

/* Whom each kind of clause is about. */
START_TEST(clauses_choose_their_leases)
{
	static const struct {
		uint32_t mode, flags;
		bool hit[6]; /* by enum daxl_who */
	} kind[] = {
		{ DAXL_LEASE_READ, 0, { true, false, true, false, false, false } },
		{ DAXL_LEASE_READ, DAXL_LEASE_FILL_OK, { true, false, false, false, false, false } },
		{ DAXL_LEASE_READ, DAXL_LEASE_STABLE, { true, false, true, true, false, true } },
		{ DAXL_LEASE_WRITE, 0, { true, true, false, false, false, false } },
		{ DAXL_LEASE_WRITE, DAXL_LEASE_EXCLUSIVE, { true, true, false, true, true, false } },
	};

	for (size_t i = 0; i < DAXL_ARRAY_LEN(kind); i++)
		for (enum daxl_who who = DAXL_WHO_ALL; who <= DAXL_WHO_STABLE; who++) {
			struct daxl_clause clause = { .start = 0, .end = 10, .level = DAXL_LEVEL_W, .who = who };
			struct daxl_lease_opts opts = DAXL_LEASE_OPTS_INIT;
			struct daxl_wait w = nowait();
			struct daxl_break brk;
			struct holder h = { 0 };

			opts.mode = kind[i].mode;
			opts.flags = kind[i].flags;
			hold(&h, &fa, 0, 10, &opts);
			ck_assert_int_eq(daxl_break_init(&brk, domain, &w, NULL, DAXL_REASON_WRITE, false), 0);
			daxl_break_add(&brk, &fa.rl, 0, 10);
			ck_assert_int_eq(daxl_break_enter(&brk), 0);
			ck_assert_int_eq(daxl_break_recall(&brk, &clause, 1), kind[i].hit[who] ? -EAGAIN : 0);
			ck_assert_int_eq(h.recalls, kind[i].hit[who]);
			clause.level = DAXL_LEVEL_N;
			ck_assert_int_eq(daxl_break_recall(&brk, &clause, 1), 0);
			daxl_break_leave(&brk);
			daxl_lease_free(h.lease);
		}
}
END_TEST

struct four_pins {
	struct daxl_lease *lease;
	int looks; /* atomic: how often the breaker was about to sleep */
};

static void unpin_one_before_sleep(const char *point, void *arg)
{
	struct four_pins *p = arg;

	if (strcmp(point, "break:before-sleep") == 0 && ADD(p->looks, 1) == 0)
		daxl_lease_unpin(p->lease);
}

/* P1: one of four pins goes between scan and sleep; the break must go on waiting for the others. */
START_TEST(a_pin_that_goes_between_scan_and_sleep_is_not_taken_for_all)
{
	struct breaker b = BREAKER(&fa, 0, 10, DAXL_LEVEL_U);
	struct holder h = { .return_at_once = true };
	struct four_pins p = { 0 };

	hold(&h, &fa, 0, 10, NULL);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(daxl_lease_pin(h.lease), 0);
	p.lease = h.lease;
	daxl_hook_set(unpin_one_before_sleep, &p);
	start_breaker(&b);
	AWAIT(LOAD(p.looks) >= 1);
	daxl_lease_unpin(h.lease);
	daxl_lease_unpin(h.lease);
	for (int i = 0; i < 1000; i++)
		sched_yield();
	ck_assert(!LOAD(b.done));
	daxl_lease_unpin(h.lease);
	ck_assert_int_eq(join_breaker(&b), 0);
	daxl_hook_set(NULL, NULL);
	daxl_lease_free(h.lease);
}
END_TEST

static void unpin_last_after_look(const char *point, void *arg)
{
	struct four_pins *p = arg;

	if (strcmp(point, "break:looked") == 0 && ADD(p->looks, 1) == 0)
		daxl_lease_unpin(p->lease);
}

/* L13: the last one goes there, and with it the only wake-up there will be. */
START_TEST(the_last_pin_between_scan_and_sleep_wakes)
{
	struct daxl_wait w = timed(DAXL_WAIT_FOREVER, DAXL_ON_TIMEOUT_FAIL);
	struct holder h = { .return_at_once = true };
	struct four_pins p = { 0 };

	hold(&h, &fa, 0, 10, NULL);
	ck_assert_int_eq(daxl_lease_pin(h.lease), 0);
	p.lease = h.lease;
	daxl_hook_set(unpin_last_after_look, &p);
	ck_assert_int_eq(run_break(&fa, 0, 10, DAXL_LEVEL_U, &w), 0);
	daxl_hook_set(NULL, NULL);
	daxl_lease_free(h.lease);
}
END_TEST

static void unpin_and_free_while_watched(const char *point, void *arg)
{
	struct four_pins *p = arg;

	if (strcmp(point, "break:watch") != 0)
		return;
	daxl_lease_unpin(p->lease);
	if (ADD(p->looks, 1) == 1)
		daxl_lease_free(p->lease);
}

/* P1, and rule 5: awake, a break sees each pin go, and holds the lease meanwhile. */
START_TEST(a_lease_freed_while_a_break_watches_is_released_after_it)
{
	struct daxl_wait w = timed(DAXL_WAIT_FOREVER, DAXL_ON_TIMEOUT_FAIL);
	struct holder h = { .return_at_once = true };
	struct four_pins p = { 0 };

	hold(&h, &fa, 0, 10, NULL);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(daxl_lease_pin(h.lease), 0);
	p.lease = h.lease;
	daxl_hook_set(unpin_and_free_while_watched, &p);
	ck_assert_int_eq(run_break(&fa, 0, 10, DAXL_LEVEL_U, &w), 0);
	daxl_hook_set(NULL, NULL);
	ck_assert_int_eq(LOAD(p.looks), 2);
	ck_assert_int_eq(h.releases, 1);
	ck_assert_int_eq(fa.refs, 0);
}
END_TEST

static int tried;
static struct holder gate_holder;

static void pin_and_acquire(const char *point, void *arg)
{
	struct daxl_lease *l;

	(void)arg;
	if (strcmp(point, "break:after-wait") != 0)
		return;
	ck_assert_int_eq(daxl_lease_pin(gate_holder.lease), -ESTALE);
	l = create_lease(&fa, 3, 4, NULL);
	ck_assert(!daxl_lease_try_grant(l, NULL, NULL));
	daxl_lease_discard(l);
	tried++;
}

/* P3, L3: when the wait is over nothing gets in before the change. */
START_TEST(nothing_slips_in_between_the_wait_and_the_change)
{
	struct breaker b = BREAKER(&fa, 0, 10, DAXL_LEVEL_U);

	gate_holder = (struct holder){ 0 };
	hold(&gate_holder, &fa, 0, 10, NULL);
	ck_assert_int_eq(daxl_lease_pin(gate_holder.lease), 0);
	daxl_hook_set(pin_and_acquire, NULL);
	start_breaker(&b);
	AWAIT(LOAD(gate_holder.recalls) == 1);
	ck_assert_int_eq(daxl_lease_return(gate_holder.lease), 0);
	daxl_lease_unpin(gate_holder.lease);
	ck_assert_int_eq(join_breaker(&b), 0);
	daxl_hook_set(NULL, NULL);
	ck_assert_int_eq(tried, 1);
	daxl_lease_free(gate_holder.lease);
}
END_TEST

static uint64_t cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* P11: a pin on the second file only. */
START_TEST(a_pin_on_the_second_file_is_waited_for_asleep)
{
	struct daxl_wait w = timed(200, DAXL_ON_TIMEOUT_FAIL);
	struct daxl_clause clauses[2] = {
		{ .start = 0, .end = 10, .level = DAXL_LEVEL_U, .who = DAXL_WHO_ALL },
		{ .part = 1, .start = 0, .end = 10, .level = DAXL_LEVEL_U, .who = DAXL_WHO_ALL },
	};
	struct holder h = { .return_at_once = true };
	struct daxl_break brk;
	uint64_t cpu, wall;

	hold(&h, &fb, 0, 10, NULL);
	ck_assert_int_eq(daxl_lease_pin(h.lease), 0);
	ck_assert_int_eq(daxl_break_init(&brk, domain, &w, NULL, DAXL_REASON_CLONE, false), 0);
	daxl_break_add(&brk, &fa.rl, 0, 10);
	daxl_break_add(&brk, &fb.rl, 0, 10);
	cpu = cpu_ns();
	wall = daxl_now_ns();
	ck_assert_int_eq(daxl_break_enter(&brk), 0);
	ck_assert_int_eq(daxl_break_recall(&brk, clauses, 2), -ETIMEDOUT);
	daxl_break_leave(&brk);
	ck_assert_uint_ge(daxl_now_ns() - wall, 200 * MS);
	ck_assert_uint_lt(cpu_ns() - cpu, 10 * MS);
	daxl_lease_unpin(h.lease);
	daxl_lease_free(h.lease);
}
END_TEST

struct relay {
	struct daxl_lease *lease;
	uint32_t turn; /* atomic: rounds begun; -1: end */
};

static void *unpinner(void *arg)
{
	struct relay *r = arg;

	for (uint32_t i = 1;; i++) {
		uint32_t turn;

		AWAIT((turn = LOAD(r->turn)) >= i);
		if (turn == UINT32_MAX)
			return NULL;
		daxl_lease_unpin(r->lease);
	}
}

#ifdef __SANITIZE_THREAD__
#define ROUNDS 10000u
#else
#define ROUNDS 100000u
#endif

/* P14: an unpin against a wait, as often as time allows. Leases returned, not only recalled, must wake. */
START_TEST(unpin_against_wait_loses_no_wake_up)
{
	struct daxl_wait w = timed(DAXL_WAIT_FOREVER, DAXL_ON_TIMEOUT_FAIL);
	struct relay r = { 0 };
	pthread_t thread;

	ck_assert_int_eq(pthread_create(&thread, NULL, unpinner, &r), 0);
	for (uint32_t i = 1; i <= ROUNDS; i++) {
		struct daxl_lease *l = grant(&fa, 0, 10, NULL);

		ck_assert_int_eq(daxl_lease_pin(l), 0);
		ck_assert_int_eq(daxl_lease_return(l), 0);
		daxl_lease_free(l);
		r.lease = l;
		STORE(r.turn, i);
		ck_assert_int_eq(run_break(&fa, 0, 10, DAXL_LEVEL_U, &w), 0);
	}
	STORE(r.turn, UINT32_MAX);
	pthread_join(thread, NULL);
}
END_TEST

/* P15: who sits on a recalled lease does not wait; not before, and not any longer. */
START_TEST(an_owner_with_a_recalled_lease_does_not_begin_to_wait)
{
	struct daxl_wait w = nowait(), owner = DAXL_WAIT_INIT;
	struct daxl_lease_opts opts = DAXL_LEASE_OPTS_INIT, excl = DAXL_LEASE_OPTS_INIT;
	struct holder mine = { 0 }, other = { 0 };
	struct daxl_lease *l;

	opts.owner = excl.owner = owner.owner = 9;
	excl.flags = DAXL_LEASE_EXCLUSIVE;
	hold(&mine, &fa, 0, 10, &opts);
	hold(&other, &fb, 0, 10, NULL);
	ck_assert_int_eq(run_break(&fa, 0, 10, DAXL_LEVEL_U, &w), -EAGAIN);
	ck_assert_int_eq(run_break(&fb, 0, 10, DAXL_LEVEL_U, &owner), -EDEADLK);
	ck_assert_int_eq(acquire(&fb, 0, 10, &excl, &l), -EAGAIN);
	ck_assert_int_eq(other.recalls, 0); /* nobody was asked */
	ck_assert_int_eq(acquire(&fb, 20, 30, &excl, &l), 0); /* this one has nothing to wait for */
	daxl_lease_free(l);
	ck_assert_int_eq(daxl_lease_return(mine.lease), 0);
	other.return_at_once = true;
	ck_assert_int_eq(run_break(&fb, 0, 10, DAXL_LEVEL_U, &owner), 0);
	daxl_lease_free(mine.lease);
	daxl_lease_free(other.lease);
}
END_TEST

START_TEST(an_owner_whose_lease_is_recalled_does_not_go_on_waiting)
{
	struct daxl_wait w = nowait();
	struct daxl_lease_opts opts = DAXL_LEASE_OPTS_INIT;
	struct holder mine = { 0 }, other = { 0 };
	struct breaker b = BREAKER(&fb, 0, 10, DAXL_LEVEL_U);

	opts.owner = b.wait.owner = 9;
	b.wait.timeout_ms = DAXL_WAIT_FOREVER;
	hold(&mine, &fa, 0, 10, &opts);
	hold(&other, &fb, 0, 10, NULL);
	start_breaker(&b);
	AWAIT(LOAD(other.recalls) == 1);
	ck_assert_int_eq(run_break(&fa, 0, 10, DAXL_LEVEL_U, &w), -EAGAIN);
	ck_assert_int_eq(join_breaker(&b), -EDEADLK);
	daxl_lease_free(mine.lease);
	daxl_lease_free(other.lease);
}
END_TEST

/* A recalled lease of its own that the break itself returns is no reason to refuse. */
START_TEST(own_recalled_leases_in_the_range_are_returned_not_held_against_the_call)
{
	struct daxl_wait w = nowait(), owner = DAXL_WAIT_INIT;
	struct daxl_lease_opts opts = DAXL_LEASE_OPTS_INIT;
	struct holder mine = { 0 }, other = { .return_at_once = true };

	opts.owner = owner.owner = 9;
	hold(&mine, &fa, 0, 10, &opts);
	hold(&other, &fa, 5, 10, NULL);
	ck_assert_int_eq(run_break(&fa, 0, 1, DAXL_LEVEL_U, &w), -EAGAIN);
	ck_assert_int_eq(run_break(&fa, 5, 10, DAXL_LEVEL_U, &owner), 0);
	ck_assert_int_eq(daxl_lease_state(mine.lease), DAXL_LEASE_RETURNED);
	ck_assert_int_eq(mine.recalls, 1);
	daxl_lease_free(mine.lease);
	daxl_lease_free(other.lease);
}
END_TEST

struct grants {
	bool stop; /* atomic */
	unsigned long n;
};

static void *pin_loop(void *arg)
{
	struct grants *g = arg;

	while (!LOAD(g->stop)) {
		struct holder h = { .return_at_once = true };
		struct daxl_lease_opts opts = holder_opts(&h);
		struct daxl_lease *l;

		ck_assert_int_eq(acquire(&fa, 0, 10, &opts, &l), 0);
		while (!LOAD(g->stop) && daxl_lease_pin(l) == 0) {
			daxl_lease_unpin(l);
			g->n++;
		}
		daxl_lease_free(l);
		AWAIT(LOAD(h.releases) == 1); /* its recall may still be running */
	}
	return NULL;
}

/* P16, L14: eight holders that pin and come back at once against one breaker. */
START_TEST(pinning_holders_do_not_starve_a_break)
{
	struct daxl_wait w = timed(20000, DAXL_ON_TIMEOUT_FAIL);
	struct grants g[8] = { 0 };
	pthread_t thread[8];

	for (int i = 0; i < 8; i++)
		ck_assert_int_eq(pthread_create(&thread[i], NULL, pin_loop, &g[i]), 0);
	for (int i = 0; i < 200; i++)
		ck_assert_int_eq(run_break(&fa, 0, 10, DAXL_LEVEL_U, &w), 0);
	for (int i = 0; i < 8; i++)
		STORE(g[i].stop, true);
	for (int i = 0; i < 8; i++)
		pthread_join(thread[i], NULL);
}
END_TEST

static void *break_loop(void *arg)
{
	struct grants *g = arg;
	struct daxl_wait w = timed(DAXL_WAIT_FOREVER, DAXL_ON_TIMEOUT_FAIL);

	while (!LOAD(g->stop)) {
		ck_assert_int_eq(run_break(&fa, 0, 10, DAXL_LEVEL_U, &w), 0);
		g->n++;
	}
	return NULL;
}

/* P17, L14: four breakers against grants. */
START_TEST(breaks_do_not_starve_a_grant)
{
	struct grants g[4] = { 0 };
	pthread_t thread[4];
	struct daxl_wait w = timed(20000, DAXL_ON_TIMEOUT_FAIL);
	struct daxl_lease_opts opts = DAXL_LEASE_OPTS_INIT;

	opts.wait = &w;
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_create(&thread[i], NULL, break_loop, &g[i]), 0);
	for (int i = 0; i < 500; i++) {
		struct daxl_lease *l;

		ck_assert_int_eq(acquire(&fa, 0, 10, &opts, &l), 0);
		daxl_lease_free(l);
	}
	for (int i = 0; i < 4; i++)
		STORE(g[i].stop, true);
	for (int i = 0; i < 4; i++)
		pthread_join(thread[i], NULL);
}
END_TEST

static struct breaker in_grant;
static struct holder granted_holder;

static void break_in_grant(const char *point, void *arg)
{
	(void)arg;
	if (strcmp(point, "lease:granted") != 0)
		return;
	start_breaker(&in_grant);
	AWAIT(LOAD(granted_holder.recalls) == 1);
}

/* P31, L9: a break between the insertion and the return of the grant sees the lease. */
START_TEST(a_break_inside_the_grant_recalls_the_lease)
{
	struct daxl_lease_opts opts;
	struct daxl_lease *l;

	in_grant = (struct breaker)BREAKER(&fa, 0, 10, DAXL_LEVEL_U);
	granted_holder = (struct holder){ .return_at_once = true };
	opts = holder_opts(&granted_holder);
	daxl_hook_set(break_in_grant, NULL);
	ck_assert_int_eq(acquire(&fa, 0, 10, &opts, &l), 0);
	daxl_hook_set(NULL, NULL);
	ck_assert_int_eq(daxl_lease_state(l), DAXL_LEASE_RETURNED);
	ck_assert_int_eq(join_breaker(&in_grant), 0);
	daxl_lease_free(l);
	ck_assert_int_eq(granted_holder.releases, 1);
}
END_TEST

START_TEST(fail_leaves_everybody_recalled_and_the_range_open)
{
	struct daxl_wait w = timed(20, DAXL_ON_TIMEOUT_FAIL), n = nowait();
	struct holder h = { 0 };

	hold(&h, &fa, 0, 10, NULL);
	uint64_t start = daxl_now_ns();

	ck_assert_int_eq(run_break(&fa, 0, 10, DAXL_LEVEL_U, &w), -ETIMEDOUT);
	ck_assert_uint_ge(daxl_now_ns() - start, 20 * MS);
	ck_assert_int_eq(daxl_lease_state(h.lease), DAXL_LEASE_RECALLED);
	daxl_lease_free(grant(&fa, 0, 10, NULL));
	ck_assert_int_eq(daxl_lease_return(h.lease), 0);
	ck_assert_int_eq(run_break(&fa, 0, 10, DAXL_LEVEL_U, &n), 0);
	daxl_lease_free(h.lease);
}
END_TEST

static void hold_fenced(struct holder *h, uint32_t break_ms, uint32_t flags)
{
	struct daxl_lease_opts opts = DAXL_LEASE_OPTS_INIT;

	opts.fence = on_fence;
	opts.break_ms = break_ms;
	opts.flags = flags;
	hold(h, &fa, 0, 10, &opts);
}

/* Rule 7: after a fence nothing is busy, and late unpins are legal. */
START_TEST(a_fence_ends_pins_of_either_kind)
{
	struct daxl_wait w = timed(20, DAXL_ON_TIMEOUT_FENCE);
	struct holder h = { 0 };
	struct daxl_lease_stat st;
	uint64_t s, e;

	hold_fenced(&h, 20, DAXL_LEASE_IMPLICIT_PIN);
	ck_assert_int_eq(daxl_lease_pin(h.lease), 0);
	uint64_t start = daxl_now_ns();

	ck_assert_int_eq(run_break(&fa, 0, 10, DAXL_LEVEL_U, &w), 0);
	ck_assert_uint_ge(daxl_now_ns() - start, 20 * MS);
	ck_assert_int_eq(h.fences, 1);
	ck_assert_int_eq(daxl_lease_state(h.lease), DAXL_LEASE_REVOKED);
	ck_assert(!busy_piece(&fa, 0, 10, &s, &e));
	ck_assert(!daxl_lease_may_commit(h.lease));
	ck_assert_int_eq(daxl_lease_return(h.lease), 0);
	ck_assert_int_eq(daxl_lease_state(h.lease), DAXL_LEASE_REVOKED);
	ck_assert_int_eq(daxl_lease_stat(h.lease, &st), 0);
	ck_assert_uint_eq(st.pins, 1);
	ck_assert_uint_eq(fenced(), 1);
	daxl_lease_free(h.lease);
	ck_assert_int_eq(h.releases, 0);
	daxl_lease_unpin(h.lease);
	ck_assert_int_eq(h.releases, 1);
}
END_TEST

START_TEST(a_refused_fence_fails_the_break_and_the_next_may_ask_again)
{
	struct daxl_wait w = timed(10, DAXL_ON_TIMEOUT_FENCE);
	struct holder h = { .fence_rc = -EIO };

	hold_fenced(&h, 10, 0);
	ck_assert_int_eq(run_break(&fa, 0, 10, DAXL_LEVEL_U, &w), -ETIMEDOUT);
	ck_assert_int_eq(daxl_lease_state(h.lease), DAXL_LEASE_RECALLED);
	h.fence_rc = 0;
	ck_assert_int_eq(run_break(&fa, 0, 10, DAXL_LEVEL_U, &w), 0);
	ck_assert_int_eq(h.fences, 2);
	daxl_lease_free(h.lease);
}
END_TEST

START_TEST(nobody_is_fenced_for_a_break_that_must_fail)
{
	struct daxl_wait w = timed(10, DAXL_ON_TIMEOUT_FENCE);
	struct daxl_lease_opts opts = DAXL_LEASE_OPTS_INIT;
	struct holder h = { 0 }, without = { 0 };

	opts.break_ms = 10;
	hold_fenced(&h, 10, 0);
	hold(&without, &fa, 5, 20, &opts);
	ck_assert_int_eq(run_break(&fa, 0, 10, DAXL_LEVEL_U, &w), -ETIMEDOUT);
	ck_assert_int_eq(h.fences, 0);
	daxl_lease_free(h.lease);
	daxl_lease_free(without.lease);
}
END_TEST

/* P32: not before the lease's own deadline; a breaker with less time gives up at its own. */
START_TEST(a_lease_has_its_own_time_before_it_is_late)
{
	struct daxl_wait less = timed(20, DAXL_ON_TIMEOUT_FENCE), same = timed(60, DAXL_ON_TIMEOUT_FENCE);
	struct holder slow = { 0 }, h = { 0 };

	hold_fenced(&slow, 100000, 0);
	ck_assert_int_eq(run_break(&fa, 0, 10, DAXL_LEVEL_U, &less), -ETIMEDOUT);
	ck_assert_uint_lt(daxl_now_ns(), slow.last.deadline_ns);
	ck_assert_int_eq(slow.fences, 0);
	daxl_lease_free(slow.lease);
	hold_fenced(&h, 60, 0);
	ck_assert_int_eq(run_break(&fa, 0, 10, DAXL_LEVEL_U, &same), 0);
	ck_assert_uint_ge(daxl_now_ns(), h.last.deadline_ns);
	ck_assert_int_eq(h.fences, 1);
	daxl_lease_free(h.lease);
}
END_TEST

START_TEST(a_breaker_with_little_time_may_act_once_the_leases_time_is_over)
{
	struct daxl_wait w = timed(10, DAXL_ON_TIMEOUT_FENCE), n = nowait();
	struct holder h = { 0 };

	hold_fenced(&h, 30, 0);
	ck_assert_int_eq(run_break(&fa, 0, 10, DAXL_LEVEL_U, &n), -EAGAIN);
	AWAIT(daxl_now_ns() >= h.last.deadline_ns);
	ck_assert_int_eq(run_break(&fa, 0, 10, DAXL_LEVEL_U, &w), 0);
	daxl_lease_free(h.lease);
}
END_TEST

static struct {
	int in_fence; /* atomic: 1 inside, 2 may go on */
	int sleeps;   /* atomic: breakers that went to sleep meanwhile */
	struct daxl_lease *lease;
	bool give_back, unpin;
} fencing;

static int slow_fence(struct daxl_lease *lease, void *arg)
{
	struct holder *h = arg;

	ADD(h->fences, 1);
	STORE(fencing.in_fence, 1);
	AWAIT(LOAD(fencing.in_fence) == 2);
	(void)lease;
	return LOAD(h->fence_rc);
}

static void count_sleeps(const char *point, void *arg)
{
	(void)arg;
	if (strcmp(point, "break:before-sleep") == 0 && LOAD(fencing.in_fence) == 1)
		ADD(fencing.sleeps, 1);
}

/* P39: two breakers at their deadlines; one fences, both hear the result. */
START_TEST(one_fence_at_a_time_and_the_others_share_its_result)
{
	daxl_hook_set(count_sleeps, NULL);
	for (int refused = 0; refused < 2; refused++) {
		struct daxl_lease_opts opts = DAXL_LEASE_OPTS_INIT;
		struct holder h = { .fence_rc = refused };
		struct breaker b[2] = { BREAKER(&fa, 0, 5, DAXL_LEVEL_U), BREAKER(&fa, 5, 10, DAXL_LEVEL_U) };

		fencing.in_fence = fencing.sleeps = 0;
		opts.fence = slow_fence;
		opts.break_ms = 10;
		hold(&h, &fa, 0, 10, &opts);
		for (int i = 0; i < 2; i++) {
			b[i].wait.timeout_ms = i ? 10 : 1000;
			b[i].wait.on_timeout = DAXL_ON_TIMEOUT_FENCE;
			start_breaker(&b[i]);
			AWAIT(queued_breaks() == 1 + (unsigned)i && LOAD(h.recalls) == 1);
		}
		AWAIT(LOAD(fencing.in_fence) == 1);
		AWAIT(LOAD(fencing.sleeps) == 1); /* the other has come to its deadline too, and waits for the fence */
		STORE(fencing.in_fence, 2);
		for (int i = 0; i < 2; i++)
			ck_assert_int_eq(join_breaker(&b[i]), refused ? -ETIMEDOUT : 0);
		ck_assert_int_eq(h.fences, 1);
		daxl_lease_free(h.lease);
		ck_assert_int_eq(h.releases, 1);
	}
	daxl_hook_set(NULL, NULL);
}
END_TEST

static void during_fence(const char *point, void *arg)
{
	(void)arg;
	if (strcmp(point, "fence:after") != 0)
		return;
	if (fencing.unpin)
		daxl_lease_unpin(fencing.lease);
	if (fencing.give_back)
		ck_assert_int_eq(daxl_lease_return(fencing.lease), 0);
}

/* P33: return and last unpin while the fence runs win, whatever it says. */
START_TEST(what_comes_first_wins_against_a_running_fence)
{
	daxl_hook_set(during_fence, NULL);
	for (int rc = 0; rc < 2; rc++) {
		struct daxl_wait w = timed(10, DAXL_ON_TIMEOUT_FENCE);
		struct holder h = { .fence_rc = rc };

		hold_fenced(&h, 10, 0);
		ck_assert_int_eq(daxl_lease_pin(h.lease), 0);
		fencing.lease = h.lease;
		fencing.unpin = fencing.give_back = true;
		ck_assert_int_eq(run_break(&fa, 0, 10, DAXL_LEVEL_U, &w), 0);
		ck_assert_int_eq(daxl_lease_state(h.lease), DAXL_LEASE_RETURNED);
		ck_assert_uint_eq(fenced(), 0);
		daxl_lease_free(h.lease);
	}
	daxl_hook_set(NULL, NULL);
}
END_TEST

/* The handle's end while the fence runs: the running fence holds the lease (rule 5). */
static void free_during_fence(const char *point, void *arg)
{
	(void)arg;
	if (strcmp(point, "fence:after") == 0)
		daxl_lease_free(fencing.lease);
}

START_TEST(a_lease_freed_while_it_is_fenced_is_released_after_the_fence)
{
	struct daxl_wait w = timed(10, DAXL_ON_TIMEOUT_FENCE);
	struct holder h = { 0 };

	hold_fenced(&h, 10, 0);
	fencing.lease = h.lease;
	daxl_hook_set(free_during_fence, NULL);
	ck_assert_int_eq(run_break(&fa, 0, 10, DAXL_LEVEL_U, &w), 0);
	daxl_hook_set(NULL, NULL);
	ck_assert_int_eq(h.releases, 1);
}
END_TEST

/* P34 */
START_TEST(own_leases_are_exempt_at_w)
{
	struct daxl_wait w = nowait();
	struct daxl_lease_opts opts = DAXL_LEASE_OPTS_INIT;
	struct holder h = { 0 };

	opts.owner = w.owner = 9;
	hold(&h, &fa, 0, 10, &opts);
	ck_assert_int_eq(run_break(&fa, 0, 10, DAXL_LEVEL_W, &w), 0);
	ck_assert_int_eq(daxl_lease_state(h.lease), DAXL_LEASE_LIVE);
	w.owner = 0; /* nobody owns nothing */
	ck_assert_int_eq(run_break(&fa, 0, 10, DAXL_LEVEL_W, &w), -EAGAIN);
	daxl_lease_free(h.lease);
	opts.owner = 0;
	h = (struct holder){ 0 };
	hold(&h, &fa, 0, 10, &opts);
	ck_assert_int_eq(run_break(&fa, 0, 10, DAXL_LEVEL_W, &w), -EAGAIN);
	daxl_lease_free(h.lease);
}
END_TEST

START_TEST(own_leases_at_u_are_returned_or_refused_with_pins)
{
	static const uint32_t flags[3] = { 0, 0, DAXL_LEASE_IMPLICIT_PIN };

	for (int kind = 0; kind < 3; kind++) {
		struct daxl_wait w = DAXL_WAIT_INIT;
		struct daxl_lease_opts opts = DAXL_LEASE_OPTS_INIT;
		struct holder mine = { 0 }, other = { .return_at_once = true };

		opts.owner = w.owner = 9;
		opts.flags = flags[kind];
		hold(&mine, &fa, 0, 10, &opts);
		hold(&other, &fa, 0, 10, NULL);
		if (kind == 1)
			ck_assert_int_eq(daxl_lease_pin(mine.lease), 0);
		ck_assert_int_eq(run_break(&fa, 0, 10, DAXL_LEVEL_U, &w), kind ? -EDEADLK : 0);
		ck_assert_int_eq(mine.recalls, 0);
		ck_assert_int_eq(other.recalls, kind == 0);
		ck_assert_int_eq(daxl_lease_state(mine.lease), kind ? DAXL_LEASE_LIVE : DAXL_LEASE_RETURNED);
		if (kind == 1)
			daxl_lease_unpin(mine.lease);
		daxl_lease_free(mine.lease);
		daxl_lease_free(other.lease);
	}
}
END_TEST

static int rc_in_callback[3];

static void break_from_callback(struct holder *h)
{
	struct daxl_wait w = DAXL_WAIT_INIT, n = nowait();
	struct daxl_lease_opts opts = DAXL_LEASE_OPTS_INIT;
	struct daxl_lease *l;

	(void)h;
	opts.flags = DAXL_LEASE_EXCLUSIVE;
	opts.owner = 1234;
	rc_in_callback[0] = run_break(&fb, 0, 10, DAXL_LEVEL_U, &w); /* would wait for a lease */
	rc_in_callback[1] = run_break(&fa, 5, 6, DAXL_LEVEL_U, &w);  /* would wait for this very break */
	rc_in_callback[2] = acquire(&fb, 0, 10, &opts, &l);
	ck_assert_int_eq(run_break(&fb, 20, 30, DAXL_LEVEL_U, &w), 0); /* need not wait */
	ck_assert_int_eq(run_break(&fa, 5, 6, DAXL_LEVEL_U, &n), -EAGAIN);
	daxl_lease_free(grant(&fb, 5, 6, NULL));
}

/* P34, P47: nothing waits in a callback or a read section, and nobody is recalled for it. */
START_TEST(calls_that_would_wait_in_a_callback_are_refused)
{
	struct holder h = { .return_at_once = true, .on_recall = break_from_callback }, other = { 0 };
	struct daxl_wait w = DAXL_WAIT_INIT;

	hold(&h, &fa, 0, 10, NULL);
	hold(&other, &fb, 0, 10, NULL);
	ck_assert_int_eq(run_break(&fa, 0, 10, DAXL_LEVEL_U, &w), 0);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(rc_in_callback[i], -EDEADLK);
	ck_assert_int_eq(other.recalls, 0);
	daxl_rcu_read_lock();
	ck_assert_int_eq(run_break(&fb, 0, 10, DAXL_LEVEL_U, &w), -EDEADLK);
	ck_assert_int_eq(run_break(&fb, 10, 11, DAXL_LEVEL_U, &w), 0);
	daxl_rcu_read_unlock();
	ck_assert_int_eq(other.recalls, 0);
	daxl_lease_free(h.lease);
	daxl_lease_free(other.lease);
}
END_TEST

START_TEST(a_cancel_ends_waits_under_way_and_to_come)
{
	struct daxl_cancel *cancel;
	struct holder h = { 0 };
	struct breaker waiting = BREAKER(&fa, 0, 10, DAXL_LEVEL_U), queued = BREAKER(&fa, 0, 10, DAXL_LEVEL_U);

	ck_assert_int_eq(daxl_cancel_create(&cancel), 0);
	hold(&h, &fa, 0, 10, NULL);
	waiting.wait.cancel = queued.wait.cancel = cancel;
	waiting.wait.timeout_ms = queued.wait.timeout_ms = DAXL_WAIT_FOREVER;
	start_breaker(&waiting);
	AWAIT(LOAD(h.recalls) == 1);
	start_breaker(&queued);
	AWAIT(queued_breaks() == 2);
	daxl_cancel_fire(cancel);
	ck_assert_int_eq(join_breaker(&waiting), -ECANCELED);
	ck_assert_int_eq(join_breaker(&queued), -ECANCELED);
	ck_assert_int_eq(run_break(&fa, 0, 10, DAXL_LEVEL_U, &waiting.wait), -ECANCELED);
	ck_assert_int_eq(run_break(&fa, 10, 20, DAXL_LEVEL_U, &waiting.wait), 0); /* no wait, nothing to cancel */
	daxl_lease_free(h.lease);
	daxl_cancel_destroy(cancel);
}
END_TEST

START_TEST(limbo_where_it_is_not_for_is_refused_before_anything)
{
	struct daxl_wait w = timed(10, DAXL_ON_TIMEOUT_LIMBO);
	struct holder h = { 0 };

	hold(&h, &fa, 0, 10, NULL);
	ck_assert_int_eq(run_break(&fa, 0, 10, DAXL_LEVEL_U, &w), -EINVAL);
	ck_assert_int_eq(h.recalls, 0);
	daxl_lease_free(h.lease);
}
END_TEST

/* Who must not stand beside whom. */
START_TEST(grants_recall_who_cannot_stand_beside_them)
{
	enum { READ, WRITE, STABLE, EXCL };
	static const uint32_t mode[] = { DAXL_LEASE_READ, DAXL_LEASE_WRITE, DAXL_LEASE_READ, DAXL_LEASE_READ };
	static const uint32_t flags[] = { 0, 0, DAXL_LEASE_STABLE, DAXL_LEASE_EXCLUSIVE };
	static const bool clash[4][4] = {
		[READ] = { [EXCL] = true },
		[WRITE] = { [STABLE] = true, [EXCL] = true },
		[STABLE] = { [WRITE] = true, [EXCL] = true },
		[EXCL] = { true, true, true, true },
	};

	for (int held = READ; held <= EXCL; held++)
		for (int asked = READ; asked <= EXCL; asked++)
			for (uint64_t same = 0; same < 2; same++) {
				struct daxl_lease_opts old = DAXL_LEASE_OPTS_INIT, new = DAXL_LEASE_OPTS_INIT;
				struct daxl_wait w = nowait();
				struct holder h = { 0 };
				struct daxl_lease *l = NULL;
				bool clashes = clash[held][asked] && !same;

				old.mode = mode[held];
				old.flags = flags[held];
				old.owner = 7;
				new.mode = mode[asked];
				new.flags = flags[asked];
				new.owner = same ? 7 : 8;
				new.wait = &w;
				hold(&h, &fa, 0, 10, &old);
				ck_assert_int_eq(acquire(&fa, 9, 20, &new, &l), clashes ? -EAGAIN : 0);
				ck_assert_int_eq(h.recalls, clashes);
				if (clashes) {
					ck_assert_int_eq(h.last.reason, DAXL_REASON_GRANT);
					ck_assert_int_eq(daxl_lease_return(h.lease), 0);
					ck_assert_int_eq(acquire(&fa, 9, 20, &new, &l), 0);
				}
				daxl_lease_free(l);
				daxl_lease_free(h.lease);
			}
}
END_TEST

START_TEST(a_part_that_is_given_back_lets_the_break_of_it_go_on)
{
	struct breaker b = BREAKER(&fa, 3, 5, DAXL_LEVEL_U);
	struct holder h = { 0 };

	hold(&h, &fa, 0, 10, NULL);
	start_breaker(&b);
	AWAIT(LOAD(h.recalls) == 1);
	ck_assert_int_eq(daxl_lease_return_range(h.lease, 4096 * 3, 4096 * 2), 0);
	ck_assert_int_eq(join_breaker(&b), 0);
	ck_assert_int_eq(daxl_lease_state(h.lease), DAXL_LEASE_RECALLED);
	daxl_lease_free(h.lease);
}
END_TEST

START_TEST(covered_asks_for_range_and_leases)
{
	struct daxl_clause in = { .start = 0, .end = 10, .level = DAXL_LEVEL_U, .who = DAXL_WHO_ALL };
	struct daxl_clause out = { .start = 5, .end = 11, .level = DAXL_LEVEL_U, .who = DAXL_WHO_ALL };
	struct daxl_clause writers = { .start = 0, .end = 10, .level = DAXL_LEVEL_U, .who = DAXL_WHO_WRITE };
	struct holder h = { .return_at_once = true };
	struct daxl_wait w = nowait();
	struct daxl_break brk;

	hold(&h, &fa, 0, 20, NULL);
	ck_assert_int_eq(daxl_break_init(&brk, domain, &w, NULL, DAXL_REASON_PUNCH, false), 0);
	daxl_break_add(&brk, &fa.rl, 0, 10);
	ck_assert_int_eq(daxl_break_enter(&brk), 0);
	ck_assert_int_eq(daxl_break_recall(&brk, &writers, 1), 0);
	ck_assert(daxl_break_covered(&brk, &writers, 1));
	ck_assert(!daxl_break_covered(&brk, &in, 1)); /* the READ lease is there still */
	ck_assert_int_eq(daxl_break_widen(&brk), 0);
	ck_assert_int_eq(daxl_break_recall(&brk, &out, 1), 0);
	ck_assert(daxl_break_covered(&brk, &out, 1));
	daxl_break_leave(&brk);
	daxl_lease_free(h.lease);
}
END_TEST

START_TEST(a_notice_without_wait_goes_to_others_once)
{
	struct daxl_clause shown = { .start = 0, .end = 5, .level = DAXL_LEVEL_W, .who = DAXL_WHO_HOLE };
	struct daxl_lease_opts opts = DAXL_LEASE_OPTS_INIT;
	struct holder own = { 0 }, other = { 0 };

	opts.owner = 9;
	hold(&own, &fa, 0, 10, &opts);
	hold(&other, &fa, 0, 10, NULL);
	for (int i = 0; i < 2; i++)
		daxl_recall_nowait(&fa.rl, &shown, 1, 9, DAXL_REASON_COMMIT);
	ck_assert_int_eq(own.recalls, 0);
	ck_assert_int_eq(other.recalls, 1);
	ck_assert_int_eq(other.last.reason, DAXL_REASON_COMMIT);
	daxl_lease_free(own.lease);
	daxl_lease_free(other.lease);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		a_break_of_nobody_recalls_nobody,
		a_recall_is_told_once_and_says_what_is_asked,
		several_clauses_make_one_notice_of_the_whole,
		a_holder_that_returns_from_its_callback_needs_no_wait,
		clauses_choose_their_leases,
		a_pin_that_goes_between_scan_and_sleep_is_not_taken_for_all,
		the_last_pin_between_scan_and_sleep_wakes,
		a_lease_freed_while_a_break_watches_is_released_after_it,
		nothing_slips_in_between_the_wait_and_the_change,
		a_pin_on_the_second_file_is_waited_for_asleep,
		unpin_against_wait_loses_no_wake_up,
		an_owner_with_a_recalled_lease_does_not_begin_to_wait,
		an_owner_whose_lease_is_recalled_does_not_go_on_waiting,
		own_recalled_leases_in_the_range_are_returned_not_held_against_the_call,
		pinning_holders_do_not_starve_a_break,
		breaks_do_not_starve_a_grant,
		a_break_inside_the_grant_recalls_the_lease,
		fail_leaves_everybody_recalled_and_the_range_open,
		a_fence_ends_pins_of_either_kind,
		a_refused_fence_fails_the_break_and_the_next_may_ask_again,
		nobody_is_fenced_for_a_break_that_must_fail,
		a_lease_has_its_own_time_before_it_is_late,
		a_breaker_with_little_time_may_act_once_the_leases_time_is_over,
		one_fence_at_a_time_and_the_others_share_its_result,
		what_comes_first_wins_against_a_running_fence,
		a_lease_freed_while_it_is_fenced_is_released_after_the_fence,
		own_leases_are_exempt_at_w,
		own_leases_at_u_are_returned_or_refused_with_pins,
		calls_that_would_wait_in_a_callback_are_refused,
		a_cancel_ends_waits_under_way_and_to_come,
		limbo_where_it_is_not_for_is_refused_before_anything,
		grants_recall_who_cannot_stand_beside_them,
		a_part_that_is_given_back_lets_the_break_of_it_go_on,
		covered_asks_for_range_and_leases,
		a_notice_without_wait_goes_to_others_once,
	};

	return suite_main("break", tests, DAXL_ARRAY_LEN(tests));
}
