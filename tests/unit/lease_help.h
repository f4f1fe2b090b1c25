/* SPDX-License-Identifier: BSD-3-Clause */
/* Leases and breaks without a pool: two dummy files, a domain, and the grant and the break as the operations do them. */
#ifndef TESTS_UNIT_LEASE_HELP_H
#define TESTS_UNIT_LEASE_HELP_H

#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bucket.h"
#include "base/hook.h"
#include "lease/impl.h"

#define MS UINT64_C(1000000)
#define BLOCK UINT64_C(4096)
#define HELP __attribute__((unused)) static

/* Progress of another thread is waited for by looking at its effect; Check's own timeout is the watchdog. */
#define AWAIT(cond)                                                                                                    \
	do {                                                                                                           \
		while (!(cond))                                                                                        \
			sched_yield();                                                                                 \
	} while (0)
#define LOAD(x) __atomic_load_n(&(x), __ATOMIC_SEQ_CST)
#define STORE(x, v) __atomic_store_n(&(x), (v), __ATOMIC_SEQ_CST)
#define ADD(x, n) __atomic_fetch_add(&(x), (n), __ATOMIC_SEQ_CST)

struct file {
	struct daxl_range_lock rl;
	int refs; /* leases that hold it */
	unsigned credit; /* that has come back */
};

static struct daxl_domain *domain;
static struct file fa, fb;

/* Whether no range of the file is closed, and nobody waits to close one. */
HELP bool is_open(const struct file *f)
{
	return !LOAD(f->rl.alone) && !LOAD(f->rl.queue_head);
}

HELP void setup(void)
{
	ck_assert_int_eq(daxl_domain_create(NULL, 12, 77, 10000, &domain), 0);
	memset(&fa, 0, sizeof(fa));
	memset(&fb, 0, sizeof(fb));
	ck_assert_int_eq(daxl_range_lock_init(&fa.rl, domain, 1), 0);
	ck_assert_int_eq(daxl_range_lock_init(&fb.rl, domain, 2), 0);
}

HELP void teardown(void)
{
	ck_assert_uint_eq(daxl_domain_leases(domain), 0);
	ck_assert_int_eq(LOAD(fa.refs), 0);
	ck_assert_int_eq(LOAD(fb.refs), 0);
	ck_assert(is_open(&fa) && is_open(&fb));
	ck_assert_uint_eq(LOAD(fa.rl.nspans), 0);
	ck_assert_uint_eq(LOAD(fa.rl.nsolid), 0);
	ck_assert_uint_eq(LOAD(fa.rl.nchanging), 0);
	daxl_range_lock_destroy(&fa.rl);
	daxl_range_lock_destroy(&fb.rl);
	daxl_domain_destroy(domain);
}

HELP uint64_t now_ms(void)
{
	return daxl_now_ns() / MS;
}

HELP unsigned long seed_of(void)
{
	const char *env = getenv("DAXL_SEED");
	unsigned long seed = env ? strtoul(env, NULL, 0) : (unsigned long)daxl_now_ns();

	printf("DAXL_SEED=%lu\n", seed);
	fflush(stdout);
	return seed;
}

HELP uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static void put_file(void *arg)
{
	struct file *f = arg;

	ADD(f->refs, -1);
}

static void give_credit(void *arg, unsigned slots)
{
	struct file *f = arg;

	ADD(f->credit, slots);
}

static const struct daxl_lease_ops file_ops = { .put = put_file, .give_credit = give_credit };

HELP struct daxl_lease *create_lease(struct file *f, uint64_t start, uint64_t end, const struct daxl_lease_opts *opts)
{
	struct daxl_lease_opts none = DAXL_LEASE_OPTS_INIT;
	struct daxl_lease_params params = {
		.rl = &f->rl, .file = f, .ops = &file_ops, .start = start, .end = end, .opts = opts ? opts : &none
	};
	struct daxl_lease *lease;

	ck_assert_int_eq(daxl_lease_check_opts(params.opts), 0);
	ck_assert_int_eq(daxl_lease_create(&params, &lease), 0);
	return lease;
}

/* As the acquire call does it. */
HELP int acquire(struct file *f, uint64_t start, uint64_t end, const struct daxl_lease_opts *opts, struct daxl_lease **ret)
{
	struct daxl_lease *lease = create_lease(f, start, end, opts);
	struct daxl_wait wait = DAXL_WAIT_INIT;
	struct daxl_clause clauses[3];
	struct daxl_break brk;
	int rc = 0;

	ADD(f->refs, 1);
	if (!daxl_lease_try_grant(lease, NULL, NULL)) {
		if (opts && opts->wait)
			wait = *opts->wait;
		wait.owner = opts ? opts->owner : 0;
		size_t n = daxl_lease_grant_clauses(lease, clauses);

		rc = daxl_break_init(&brk, domain, &wait, NULL, DAXL_REASON_GRANT, false);
		brk.hold_err = EAGAIN;
		daxl_break_add(&brk, &f->rl, start, end);
		if (!rc)
			rc = daxl_break_enter(&brk);
		if (!rc)
			rc = daxl_break_recall(&brk, clauses, n);
		if (!rc)
			daxl_lease_grant(lease);
		daxl_break_leave(&brk);
	}
	if (rc) {
		ADD(f->refs, -1);
		daxl_lease_discard(lease);
		return rc;
	}
	daxl_lease_settle(lease);
	*ret = lease;
	return 0;
}

/* A lease that conflicts with nothing. */
HELP struct daxl_lease *grant(struct file *f, uint64_t start, uint64_t end, const struct daxl_lease_opts *opts)
{
	struct daxl_lease *lease = create_lease(f, start, end, opts);

	ADD(f->refs, 1);
	ck_assert(daxl_lease_try_grant(lease, NULL, NULL));
	daxl_lease_settle(lease);
	return lease;
}

/* The first busy piece of [start, end), whoever is busy on it. */
HELP bool busy_piece(struct file *f, uint64_t start, uint64_t end, uint64_t *ret_start, uint64_t *ret_end)
{
	struct daxl_clause clause = { .start = start, .end = end, .level = DAXL_LEVEL_U, .who = DAXL_WHO_ALL };
	struct daxl_break brk = { .nparts = 1, .domain = domain };

	brk.part[0].rl = &f->rl;
	return daxl_break_busy(&brk, &clause, 1, 0, start, end, ret_start, ret_end);
}

/* A break from enter to the moment where the operation would change the map; leave is the caller's. */
HELP int open_break(struct daxl_break *brk, struct file *f, uint64_t start, uint64_t end, enum daxl_level level,
                    const struct daxl_wait *wait, bool limbo_ok)
{
	struct daxl_clause clause = { .start = start, .end = end, .level = level, .who = DAXL_WHO_ALL };
	int rc = daxl_break_init(brk, domain, wait, NULL, DAXL_REASON_PUNCH, limbo_ok);

	if (rc)
		return rc;
	daxl_break_add(brk, &f->rl, start, end);
	rc = daxl_break_enter(brk);
	return rc ? rc : daxl_break_recall(brk, &clause, 1);
}

HELP int run_break(struct file *f, uint64_t start, uint64_t end, enum daxl_level level, const struct daxl_wait *wait)
{
	struct daxl_break brk = { 0 };
	int rc = open_break(&brk, f, start, end, level, wait, false);

	daxl_break_leave(&brk);
	return rc;
}

/* A break on a thread of its own. */
struct breaker {
	pthread_t thread;
	struct file *file, *second; /* second: a two-file break over the same blocks */
	uint64_t start, end;
	enum daxl_level level;
	struct daxl_wait wait;
	bool limbo_ok;
	int rc;       /* once done */
	bool done;    /* atomic */
	void (*drained)(struct breaker *breaker); /* with the range closed; may be NULL */
	bool limbo;
	struct daxl_break brk;
};

HELP void *breaker_main(void *arg)
{
	struct breaker *b = arg;
	struct daxl_clause clauses[2] = {
		{ .start = b->start, .end = b->end, .level = b->level, .who = DAXL_WHO_ALL },
		{ .part = 1, .start = b->start, .end = b->end, .level = b->level, .who = DAXL_WHO_ALL },
	};
	size_t n = b->second ? 2 : 1;

	b->rc = daxl_break_init(&b->brk, domain, &b->wait, NULL, DAXL_REASON_PUNCH, b->limbo_ok);
	if (!b->rc) {
		daxl_break_add(&b->brk, &b->file->rl, b->start, b->end);
		if (b->second)
			daxl_break_add(&b->brk, &b->second->rl, b->start, b->end);
		b->rc = daxl_break_enter(&b->brk);
	}
	if (!b->rc)
		b->rc = daxl_break_recall(&b->brk, clauses, n);
	b->limbo = b->brk.limbo;
	if (!b->rc) {
		ck_assert(daxl_break_covered(&b->brk, clauses, n));
		if (b->drained)
			b->drained(b);
	}
	daxl_break_leave(&b->brk);
	STORE(b->done, true);
	return NULL;
}

HELP void start_breaker(struct breaker *b)
{
	ck_assert_int_eq(pthread_create(&b->thread, NULL, breaker_main, b), 0);
}

HELP int join_breaker(struct breaker *b)
{
	ck_assert_int_eq(pthread_join(b->thread, NULL), 0);
	return b->rc;
}

#define BREAKER(f, s, e, l) \
	{ .file = (f), .start = (s), .end = (e), .level = (l), .wait = DAXL_WAIT_INIT }

/* A holder that counts what it is told. */
struct holder {
	struct daxl_lease *lease;
	int recalls, fences, releases; /* atomic */
	struct daxl_recall last;
	bool return_at_once; /* from the recall function */
	int fence_rc;
	void (*on_recall)(struct holder *holder);
};

HELP void on_recall(struct daxl_lease *lease, const struct daxl_recall *recall, void *arg)
{
	struct holder *h = arg;

	h->last = *recall;
	if (h->return_at_once)
		ck_assert_int_eq(daxl_lease_return(lease), 0);
	if (h->on_recall)
		h->on_recall(h);
	ADD(h->recalls, 1);
}

HELP int on_fence(struct daxl_lease *lease, void *arg)
{
	struct holder *h = arg;

	(void)lease;
	ADD(h->fences, 1);
	return LOAD(h->fence_rc);
}

HELP void on_release(void *arg)
{
	struct holder *h = arg;

	ADD(h->releases, 1);
}

HELP struct daxl_lease_opts holder_opts(struct holder *h)
{
	struct daxl_lease_opts opts = DAXL_LEASE_OPTS_INIT;

	opts.recall = on_recall;
	opts.release = on_release;
	opts.arg = h;
	return opts;
}

HELP void hold(struct holder *h, struct file *f, uint64_t start, uint64_t end, struct daxl_lease_opts *more)
{
	struct daxl_lease_opts opts = more ? *more : (struct daxl_lease_opts)DAXL_LEASE_OPTS_INIT;

	opts.recall = on_recall;
	opts.release = on_release;
	opts.arg = h;
	h->lease = grant(f, start, end, &opts);
}

HELP int suite_with(const char *name, const TTest *const *tests, size_t n, void (*before)(void), void (*after)(void))
{
	Suite *suite = suite_create(name);
	TCase *tcase = tcase_create(name);

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, before, after);
	for (size_t i = 0; i < n; i++)
		tcase_add_test(tcase, tests[i]);
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);

	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);

	srunner_free(runner);
	return failed != 0;
}

HELP int suite_main(const char *name, const TTest *const *tests, size_t n)
{
	return suite_with(name, tests, n, setup, teardown);
}

#endif
