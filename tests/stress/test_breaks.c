/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Breaks and grants against each other, one interleaving a test: threads are held at named points of the library, so
 * that what could go wrong once in a million runs happens in each.
 */
#include "stress.h"

#include <time.h>

#define B(n) ((off_t)((n) * BLK))

static void unpin_once(void *arg)
{
	struct holder *h = arg;

	daxl_lease_unpin(h->lease);
}

/* P1, L13: of four pins one goes between the breaker's look and its sleep. It must not take that for all of them. */
START_TEST(p1_a_break_counts_every_pin_and_not_the_first_to_go)
{
	struct holder h = { .returns = true };
	struct daxl_file *f;
	struct job job;

	stress_begin("P1");
	f = stress_file("f", B(4));
	holder_take(&h, f, 0, B(4), DAXL_LEASE_READ, 0);
	for (unsigned i = 0; i < 4; i++)
		must(daxl_lease_pin(h.lease));
	points_on();
	point_call("break:before-sleep", unpin_once, &h);
	job_start(&job, &CALL(.op = OP_TRUNCATE, .file = f, .off = 0));
	wait_for_sleeper(1);
	daxl_lease_unpin(h.lease);
	daxl_lease_unpin(h.lease);
	ck_assert(!job_done(&job));
	ck_assert_uint_eq(file_size(f), (uint64_t)B(4));
	daxl_lease_unpin(h.lease);
	must(job_join(&job));
	points_off();
	ck_assert_uint_eq(file_size(f), 0);
	daxl_lease_free(h.lease);
	must(daxl_close(f));
	stress_end();
}
END_TEST

struct intruder {
	struct daxl_file *f;
	struct holder *h;
	int pin, read, write, exclusive;
	unsigned runs;
};

static int grant_nowait(struct daxl_file *f, off_t off, off_t len, uint32_t mode, uint32_t flags)
{
	struct daxl_lease_opts opts = DAXL_LEASE_OPTS_INIT;
	struct daxl_lease *lease;

	opts.mode = mode;
	opts.flags = flags | DAXL_LEASE_NOWAIT;
	int rc = daxl_lease_acquire(f, off, len, &opts, &lease);

	if (rc == 0)
		daxl_lease_free(lease);
	return rc;
}

static void intrude(void *arg)
{
	struct intruder *i = arg;

	i->pin = daxl_lease_pin(i->h->lease);
	if (i->pin == 0)
		daxl_lease_unpin(i->h->lease);
	i->read = grant_nowait(i->f, B(1), BLK, DAXL_LEASE_READ, 0);
	i->write = grant_nowait(i->f, B(1), BLK, DAXL_LEASE_WRITE, 0);
	i->exclusive = grant_nowait(i->f, 0, DAXL_TO_END, DAXL_LEASE_READ, DAXL_LEASE_EXCLUSIVE);
	i->runs++;
}

/* P3, L3: the range stays closed from before the recall until the result is published. */
START_TEST(p3_nothing_gets_in_between_the_wait_and_the_change)
{
	static const char *const at[] = { "break:queued", "recall:deliver", "break:before-sleep", "break:after-wait", "break:changing",
		                          "op:drained" };
	static const enum op ops[] = { OP_ZERO, OP_COLLAPSE };
	struct daxl_file *f;

	stress_begin("P3");
	for (unsigned k = 0; k < 6; k++) {
		struct holder h = { .returns = true };
		struct intruder i = { .h = &h };
		struct job job;

		i.f = f = stress_file("f", B(4));
		holder_take(&h, f, B(1), BLK, DAXL_LEASE_READ, 0);
		must(daxl_lease_pin(h.lease));
		points_on();
		point_call(at[k], intrude, &i);
		if (k != 2) /* the holder gives way when the breaker has found that it must wait */
			point_call("break:before-sleep", unpin_once, &h);
		job_start(&job, &CALL(.op = ops[k % 2], .file = f, .off = B(1), .len = BLK));
		if (k == 2) {
			wait_for_sleeper(1);
			daxl_lease_unpin(h.lease);
		}
		must(job_join(&job));
		points_off();
		ck_assert_msg(i.runs == 1, "%s was not passed", at[k]);
		/* At the first the recall is still to come: the lease is LIVE. */
		ck_assert_msg(i.pin == (k ? -ESTALE : 0), "%s: a pin got %d", at[k], i.pin);
		ck_assert_msg(i.read == -EAGAIN, "%s: a READ grant got %d", at[k], i.read);
		ck_assert_msg(i.write == -EAGAIN, "%s: a WRITE grant got %d", at[k], i.write);
		ck_assert_msg(i.exclusive == -EAGAIN, "%s: an EXCLUSIVE grant got %d", at[k], i.exclusive);
		ck_assert_uint_eq(holder_recalls(&h), 1);
		daxl_lease_free(h.lease);
		must(daxl_close(f));
		must(daxl_unlink(pool, "f"));
	}
	stress_end();
}
END_TEST

/* P4, L6: what fits the size when a collapse begins need not when its turn comes; then it is refused, and recalls nobody. */
START_TEST(p4_a_collapse_looks_at_the_size_when_its_turn_comes)
{
	struct holder late = { .returns = true }, other = { 0 };
	struct daxl_file *f;
	struct job cut, collapse;
	struct daxl_stat st;

	stress_begin("P4 collapse");
	f = stress_file("f", B(6));
	holder_take(&late, f, B(5), BLK, DAXL_LEASE_READ, 0);
	holder_take(&other, f, B(1), BLK, DAXL_LEASE_READ, 0);
	must(daxl_lease_pin(late.lease));
	points_on();
	job_start(&cut, &CALL(.op = OP_TRUNCATE, .file = f, .off = B(2)));
	wait_for_sleeper(1);
	job_start(&collapse, &CALL(.op = OP_COLLAPSE, .file = f, .off = B(1), .len = B(2)));
	point_wait("break:queued", 2);
	daxl_lease_unpin(late.lease);
	must(job_join(&cut));
	must_be(job_join(&collapse), -EINVAL);
	points_off();
	ck_assert_uint_eq(holder_recalls(&other), 0);
	must(daxl_stat(f, &st));
	ck_assert_uint_eq(st.size, (uint64_t)B(2));
	daxl_lease_free(late.lease);
	daxl_lease_free(other.lease);
	must(daxl_close(f));
	stress_end();
}
END_TEST

static void commit_two_blocks(struct holder *h)
{
	char *addr = holder_addr(h, 0);

	tag_fill(addr, 2 * BLK, 7, 0, 7);
	must(daxl_lease_commit(h->lease, 0, 2 * BLK, 2 * BLK));
}

/* P4, P42: an append waits for a holder, who moves the size before it gives way: the append lands behind that. */
START_TEST(p4_an_append_lands_where_the_size_is_after_the_wait)
{
	struct holder h = { .returns = true, .on_recall = commit_two_blocks };
	struct daxl_file *f, *a;
	char buf[2 * BLK + 10];

	stress_begin("P4 append");
	f = stress_file("f", 100);
	must(daxl_open(pool, "f", O_RDWR | O_APPEND, &a));
	holder_take(&h, f, 0, B(4), DAXL_LEASE_WRITE, 0);
	must_be(daxl_pwrite(a, "0123456789", 10, 0), 10);
	ck_assert_uint_eq(holder_recalls(&h), 1);
	ck_assert_uint_eq(file_size(f), 2 * BLK + 10);
	must_be(daxl_pread(f, buf, sizeof(buf), 0), (long long)sizeof(buf));
	ck_assert_int_eq(tag_foreign(buf, 2 * BLK, 7, 0), 0);
	ck_assert(!all_zero(buf, 8));
	ck_assert_mem_eq(buf + 2 * BLK, "0123456789", 10);
	daxl_lease_free(h.lease);
	must(daxl_close(a));
	must(daxl_close(f));
	stress_end();
}
END_TEST

/* The range an operation needs may have grown when its turn comes; nobody in what it has not closed is recalled or lost. */
START_TEST(an_operation_whose_range_has_grown_closes_the_whole_file_first)
{
	struct holder late = { .returns = true }, tail = { .returns = true };
	struct daxl_file *f;
	struct job cut, grow;

	stress_begin("widen");
	f = stress_file("f", B(6));
	/* truncate up of an aligned size concerns nobody; behind a cut to an unaligned one it concerns the tail's WRITE holder. */
	holder_take(&late, f, B(4), BLK, DAXL_LEASE_READ, 0);
	holder_take(&tail, f, B(1), BLK, DAXL_LEASE_WRITE, 0);
	must(daxl_lease_pin(late.lease));
	points_on();
	job_start(&cut, &CALL(.op = OP_TRUNCATE, .file = f, .off = B(2) - 100));
	wait_for_sleeper(1);
	ck_assert_uint_eq(holder_recalls(&tail), 1);
	job_start(&grow, &CALL(.op = OP_TRUNCATE, .file = f, .off = B(9)));
	point_wait("break:queued", 2);
	daxl_lease_unpin(late.lease);
	must(job_join(&cut));
	must(job_join(&grow));
	points_off();
	ck_assert_uint_eq(file_size(f), (uint64_t)B(9));
	char buf[BLK];

	must_be(daxl_pread(f, buf, BLK, B(1)), BLK);
	ck_assert(all_zero(buf + BLK - 100, 100));
	ck_assert_int_eq(tag_foreign(buf, BLK - 104, file_id(f), B(1)), 0);
	daxl_lease_free(late.lease);
	daxl_lease_free(tail.lease);
	must(daxl_close(f));
	stress_end();
}
END_TEST

struct tail_race {
	struct daxl_file *f;
	struct holder tail;
	int grant;
};

static void grant_over_the_tail(void *arg)
{
	struct tail_race *t = arg;

	t->grant = grant_nowait(t->f, B(1), BLK, DAXL_LEASE_READ, 0);
}

/* L3: whom a call turns out to concern when its turn has come is recalled only after that range is closed too. */
START_TEST(nobody_is_recalled_in_a_range_that_is_not_closed)
{
	struct holder late = { .returns = true };
	struct tail_race t = { .tail = { .returns = true }, .grant = 1 };
	struct job cut, grow;

	stress_begin("L3 widen");
	t.f = stress_file("f", B(6));
	holder_take(&late, t.f, B(4), BLK, DAXL_LEASE_READ, 0);
	must(daxl_lease_pin(late.lease));
	points_on();
	job_start(&cut, &CALL(.op = OP_TRUNCATE, .file = t.f, .off = B(2) - 100));
	wait_for_sleeper(1);
	point_park("break:queue-sleep");
	job_start(&grow, &CALL(.op = OP_TRUNCATE, .file = t.f, .off = B(9))); /* closes from block 6 on, as things are */
	point_wait_parked("break:queue-sleep");
	daxl_lease_unpin(late.lease);
	must(job_join(&cut));
	holder_take(&t.tail, t.f, B(1), BLK, DAXL_LEASE_WRITE, 0);
	point_call("recall:deliver", grant_over_the_tail, &t);
	point_release("break:queue-sleep");
	must(job_join(&grow));
	points_off();
	ck_assert_uint_eq(holder_recalls(&t.tail), 1);
	ck_assert_int_eq(t.grant, -EAGAIN);
	daxl_lease_free(late.lease);
	daxl_lease_free(t.tail.lease);
	must(daxl_close(t.f));
	stress_end();
}
END_TEST

/* The generation a lease shows is that of the map it shows, also when the grant itself has changed it. */
START_TEST(a_lease_shows_the_generation_of_its_grant)
{
	struct daxl_file *f;

	stress_begin("generation");
	f = stress_file("f", B(2));
	for (unsigned k = 0; k < 4; k++) {
		struct holder h = { 0 };
		struct daxl_lease_stat ls;
		struct daxl_stat st;

		must(daxl_fallocate(f, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, BLK, NULL));
		holder_take(&h, f, 0, BLK, k % 2 ? DAXL_LEASE_WRITE : DAXL_LEASE_READ, k / 2 ? DAXL_LEASE_EXCLUSIVE : 0);
		must(daxl_lease_stat(h.lease, &ls));
		must(daxl_stat(f, &st));
		ck_assert_uint_eq(ls.generation, st.generation);
		daxl_lease_free(h.lease);
	}
	must(daxl_close(f));
	stress_end();
}
END_TEST

/* P6, L1: a pin outlives its lease and the file's handle, and still holds up who wants its blocks. */
START_TEST(p6_a_pin_counts_after_return_and_close)
{
	struct holder h = { 0 };
	struct daxl_file *f, *g;
	struct daxl_holder who;
	struct call punch;

	stress_begin("P6");
	f = stress_file("f", B(2));
	must(daxl_open(pool, "f", O_RDWR, &g));
	holder_take(&h, f, 0, BLK, DAXL_LEASE_WRITE, 0);
	char *addr = holder_addr(&h, 0);

	must(daxl_lease_pin(h.lease));
	must(daxl_lease_return(h.lease));
	must(daxl_close(f));
	daxl_lease_free(h.lease); /* the handle too */
	punch = CALL(.op = OP_PUNCH, .file = g, .off = 0, .len = BLK);
	punch.wait.timeout_ms = 0;
	must_be(call_run(&punch), -EAGAIN);
	must_be(daxl_busy(g, 0, BLK, &who, 1), 1);
	ck_assert_uint_eq(who.pins, 1);
	ck_assert_int_eq(tag_foreign(addr, BLK, file_id(g), 0), 0);
	ck_assert(!all_zero(addr, BLK));
	ck_assert_uint_eq(h.releases, 0);
	daxl_lease_unpin(h.lease);
	ck_assert_uint_eq(h.releases, 1);
	must(call_run(&punch));
	must_be(daxl_busy(g, 0, BLK, NULL, 0), 0);
	must(daxl_close(g));
	stress_end();
}
END_TEST

static uint64_t thread_cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* P11: a pin on one of two files: the deadline is kept, the time is slept, and nothing has changed (L6). */
START_TEST(p11_a_pin_on_the_second_file_is_slept_for)
{
	for (int k = 0; k < 4; k++) {
		struct holder h = { .returns = true };
		struct daxl_file *a, *b;
		struct call call;

		stress_begin("P11 deadline");
		a = stress_file("a", B(2));
		b = stress_file("b", B(2));
		holder_take(&h, k % 2 ? a : b, 0, BLK, DAXL_LEASE_WRITE, 0);
		must(daxl_lease_pin(h.lease));
		call = CALL(.op = k < 2 ? OP_CLONE : OP_EXCHANGE, .file = a, .other = b, .len = B(2));
		call.wait.timeout_ms = 200;
		uint64_t start = stress_now_ms(), cpu = thread_cpu_ns();

		must_be(call_run(&call), -ETIMEDOUT);
		cpu = thread_cpu_ns() - cpu;
		ck_assert_uint_ge(stress_now_ms() - start, 199);
		ck_assert_msg(cpu < 10000000, "waiting took %llu us of CPU time", (unsigned long long)cpu / 1000);
		daxl_lease_unpin(h.lease);
		must(call_run(&call));
		daxl_lease_free(h.lease);
		must(daxl_close(a));
		must(daxl_close(b));
		stress_end();
	}
}
END_TEST

struct pair {
	struct daxl_file *a, *b;
	unsigned rounds;
	unsigned kind;
};

static int two_files(void *arg)
{
	struct pair *p = arg;

	for (unsigned i = 0; i < p->rounds; i++) {
		struct call call = CALL(.op = p->kind == 0 ? OP_EXCHANGE : p->kind == 1 ? OP_CLONE : OP_BREAK_UNMAP, .file = p->a,
		                        .other = p->b, .off = 0, .len = BLK);

		call.wait.timeout_ms = DAXL_WAIT_FOREVER;
		if (p->kind == 2)
			call.file = i % 2 ? p->a : p->b;
		if (p->kind == 3) { /* a holder on each in turn */
			struct holder h = { .returns = true };

			holder_take(&h, i % 2 ? p->a : p->b, 0, BLK, i % 3 ? DAXL_LEASE_WRITE : DAXL_LEASE_READ, 0);
			holder_end(&h);
			continue;
		}
		must(call_run(&call));
	}
	return 0;
}

/* P11: A with B against B with A against each alone, with no deadline: the two queues agree, or this hangs. */
START_TEST(p11_two_files_in_either_order_do_not_deadlock)
{
	struct pair pairs[6];
	struct job jobs[6];
	struct daxl_file *a, *b;

	stress_begin("P11 order");
	a = stress_file("a", B(2));
	b = stress_file("b", B(2));
	for (unsigned i = 0; i < 6; i++) {
		pairs[i] = (struct pair){ .a = i % 2 ? a : b, .b = i % 2 ? b : a, .rounds = 300, .kind = i < 4 ? i / 2 : i - 2 };
		job_start_fn(&jobs[i], two_files, &pairs[i]);
	}
	for (unsigned i = 0; i < 6; i++)
		must(job_join(&jobs[i]));
	must(daxl_close(a));
	must(daxl_close(b));
	stress_end();
}
END_TEST

struct rounds {
	struct daxl_file *f;
	pthread_barrier_t *barrier;
	unsigned n;
	struct holder h;
};

static int hold_and_let_go(void *arg)
{
	struct rounds *r = arg;

	for (unsigned i = 0; i < r->n; i++) {
		r->h = (struct holder){ 0 };
		holder_take(&r->h, r->f, 0, BLK, DAXL_LEASE_READ, 0);
		must(daxl_lease_pin(r->h.lease));
		pthread_barrier_wait(r->barrier);
		if (i % 3 == 0)
			must(daxl_lease_return(r->h.lease));
		daxl_lease_unpin(r->h.lease);
		must(daxl_lease_return(r->h.lease));
		pthread_barrier_wait(r->barrier);
		holder_end(&r->h);
	}
	return 0;
}

/* P14, L13: return and last unpin race with the breaker's look and sleep, again and again; a lost wake-up hangs it. */
START_TEST(p14_no_wake_up_is_lost)
{
	pthread_barrier_t barrier;
	struct rounds r = { .barrier = &barrier, .n = 4000 };
	struct job job;

	stress_begin("P14");
	r.f = stress_file("f", BLK);
	pthread_barrier_init(&barrier, NULL, 2);
	job_start_fn(&job, hold_and_let_go, &r);
	for (unsigned i = 0; i < r.n; i++) {
		struct call call = CALL(.op = i % 2 ? OP_BREAK_UNMAP : OP_BREAK_WRITE, .file = r.f, .len = BLK);

		call.wait.timeout_ms = DAXL_WAIT_FOREVER;
		pthread_barrier_wait(&barrier);
		must(call_run(&call));
		pthread_barrier_wait(&barrier);
	}
	must(job_join(&job));
	pthread_barrier_destroy(&barrier);
	must(daxl_close(r.f));
	stress_end();
}
END_TEST

/* P15: nobody waits on behalf of an owner who sits on a recalled lease, not even who began before the recall. */
START_TEST(p15_an_owner_with_a_recall_pending_is_not_waited_for)
{
	uint64_t me = daxl_owner_new(), you = daxl_owner_new();
	struct holder mine = { 0 }, yours = { 0 };
	struct daxl_lease_opts opts = DAXL_LEASE_OPTS_INIT;
	struct daxl_lease *lease;
	struct daxl_file *f;
	struct call call;
	struct job job;

	stress_begin("P15");
	f = stress_file("f", B(4));
	holder_take_as(&mine, f, 0, BLK, DAXL_LEASE_READ, 0, me);
	holder_take_as(&yours, f, B(1), BLK, DAXL_LEASE_READ, DAXL_LEASE_EXCLUSIVE, you);
	must(daxl_lease_pin(yours.lease));
	points_on();
	/* Waiting already, when the recall comes. */
	call = CALL(.op = OP_PUNCH, .file = f, .off = B(1), .len = BLK);
	call.wait.owner = me;
	call.wait.timeout_ms = DAXL_WAIT_FOREVER;
	job_start(&job, &call);
	wait_for_sleeper(1);
	call = CALL(.op = OP_PUNCH, .file = f, .off = 0, .len = BLK);
	call.wait.timeout_ms = 0;
	must_be(call_run(&call), -EAGAIN);
	ck_assert_uint_eq(holder_recalls(&mine), 1);
	must_be(job_join(&job), -EDEADLK);
	points_off();
	/* And does not begin to. */
	call = CALL(.op = OP_PUNCH, .file = f, .off = B(1), .len = BLK);
	call.wait.owner = me;
	must_be(call_run(&call), -EDEADLK);
	opts.owner = me;
	must_be(daxl_lease_acquire(f, B(1), BLK, &opts, &lease), -EAGAIN);
	/* What need not wait goes through. */
	call.off = B(2);
	must(call_run(&call));
	must(daxl_lease_acquire(f, B(2), BLK, &opts, &lease));
	daxl_lease_free(lease);
	/* Given back, everything is as before. */
	must(daxl_lease_return(mine.lease));
	must(daxl_lease_return(yours.lease));
	call.off = B(1);
	call.wait.timeout_ms = 0;
	must_be(call_run(&call), -EAGAIN);
	daxl_lease_unpin(yours.lease);
	must(call_run(&call));
	daxl_lease_free(mine.lease);
	daxl_lease_free(yours.lease);
	must(daxl_close(f));
	stress_end();
}
END_TEST

static struct daxl_file *order_file;
static struct holder order_holder;

static int order_grant(void *arg)
{
	(void)arg;
	holder_take(&order_holder, order_file, 0, BLK, DAXL_LEASE_READ, 0);
	return 0;
}

/* L14: in order of arrival: break, grant, break. The second break finds the lease that came before it. */
START_TEST(waiters_of_one_range_are_served_in_order_of_arrival)
{
	struct holder first = { 0 };
	struct job a, b, c;

	stress_begin("order");
	order_file = stress_file("f", B(2));
	order_holder = (struct holder){ 0 };
	holder_take(&first, order_file, 0, BLK, DAXL_LEASE_READ, 0);
	points_on();
	job_start(&a, &CALL(.op = OP_PUNCH, .file = order_file, .len = BLK));
	wait_for_sleeper(1);
	job_start_fn(&b, order_grant, NULL);
	point_wait("break:queue-sleep", 1);
	job_start(&c, &CALL(.op = OP_PUNCH, .file = order_file, .len = B(2)));
	point_wait("break:queue-sleep", 2);
	ck_assert(!job_done(&b));
	must(daxl_lease_return(first.lease));
	must(job_join(&a));
	must(job_join(&b));
	wait_for_sleeper(2); /* c now waits for b's lease */
	ck_assert_uint_eq(holder_recalls(&order_holder), 1);
	ck_assert(!job_done(&c));
	must(daxl_lease_return(order_holder.lease));
	must(job_join(&c));
	points_off();
	daxl_lease_free(first.lease);
	daxl_lease_free(order_holder.lease);
	must(daxl_close(order_file));
	stress_end();
}
END_TEST

static int point_break_rc;

static void break_it(void *arg)
{
	struct call call = CALL(.op = OP_BREAK_UNMAP, .file = arg, .len = BLK);

	call.wait.timeout_ms = 0;
	point_break_rc = call_run(&call);
}

/* P31, L9: a break inside the grant finds the lease and recalls it, before acquire has returned; or the grant finds it closed. */
START_TEST(p31_a_break_during_a_grant_recalls_the_lease_or_keeps_it_out)
{
	struct daxl_file *f;

	stress_begin("P31");
	f = stress_file("f", B(2));
	for (unsigned k = 0; k < 4; k++) {
		struct holder h = { .returns = k % 2 };

		must(daxl_fallocate(f, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, BLK, NULL));
		points_on();
		point_call("grant:granted", break_it, f);
		holder_take(&h, f, 0, BLK, k < 2 ? DAXL_LEASE_READ : DAXL_LEASE_WRITE, 0);
		points_off();
		ck_assert_uint_eq(holder_recalls(&h), 1);
		ck_assert_int_eq(point_break_rc, h.returns ? 0 : -EAGAIN);
		ck_assert_int_eq(daxl_lease_state(h.lease), h.returns ? DAXL_LEASE_RETURNED : DAXL_LEASE_RECALLED);
		must_be(daxl_lease_pin(h.lease), -ESTALE);
		daxl_lease_free(h.lease);
	}
	/* The other way round: the break is in the queue, the grant comes. */
	struct holder h = { 0 };
	struct intruder i = { .f = f, .h = &h };
	struct call call = CALL(.op = OP_BREAK_UNMAP, .file = f, .off = B(1), .len = BLK);

	holder_take(&h, f, 0, BLK, DAXL_LEASE_READ, 0);
	points_on();
	point_call("break:queued", intrude, &i);
	must(call_run(&call));
	points_off();
	must(i.pin); /* another range: not closed */
	ck_assert_int_eq(i.read, -EAGAIN);
	ck_assert_int_eq(i.write, -EAGAIN);
	daxl_lease_free(h.lease);
	must(daxl_close(f));
	stress_end();
}
END_TEST

static int take_writer(void *arg)
{
	holder_take(arg, order_file, 0, BLK, DAXL_LEASE_WRITE, 0);
	return 0;
}

/* P31, L9: who queues while a grant makes its blocks finds the lease when its turn comes, not the blocks without it. */
START_TEST(p31_a_break_behind_a_grant_finds_the_lease)
{
	struct job grant, cut;

	stress_begin("P31 behind");
	order_file = stress_file("f", BLK);
	for (unsigned i = 0; i < 20; i++) {
		struct holder h = { .returns = true };

		must(daxl_fallocate(order_file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, BLK, NULL));
		points_on();
		point_park("op:drained");
		job_start_fn(&grant, take_writer, &h);
		point_wait_parked("op:drained");
		job_start(&cut, &CALL(.op = OP_PUNCH, .file = order_file, .len = BLK));
		point_wait("break:queue-sleep", 1);
		point_release("op:drained");
		must(job_join(&grant));
		must(job_join(&cut));
		points_off();
		ck_assert_uint_eq(holder_recalls(&h), 1);
		holder_end(&h);
	}
	must(daxl_close(order_file));
	stress_end();
}
END_TEST

/* L7: a break that waits is in nobody's way but those who want its range. */
START_TEST(a_waiting_break_holds_up_no_commit_read_unpin_query_or_write_in_place)
{
	struct holder w = { 0 }, r = { 0 };
	struct daxl_lease_stat ls;
	struct daxl_extent exts[4];
	struct daxl_file *f;
	struct daxl_stat st;
	char buf[100];
	struct job job;

	stress_begin("L7");
	f = stress_file("f", B(4));
	holder_take(&w, f, 0, B(6), DAXL_LEASE_WRITE, 0);
	holder_take(&r, f, B(3), BLK, DAXL_LEASE_READ, 0);
	must(daxl_lease_pin(w.lease));
	must(daxl_lease_pin(w.lease));
	points_on();
	job_start(&job, &CALL(.op = OP_COLLAPSE, .file = f, .off = 0, .len = BLK));
	wait_for_sleeper(1);
	must_be(daxl_pwrite(f, "in place", 8, 5), 8);
	must_be(daxl_pread(f, buf, sizeof(buf), 0), (long long)sizeof(buf));
	must(daxl_lease_persist(w.lease, 0, B(4)));
	must(daxl_lease_commit(w.lease, B(4), BLK, B(5)));
	must(daxl_lease_stat(w.lease, &ls));
	ck_assert_int_eq((int)ls.state, DAXL_LEASE_RECALLED);
	ck_assert(daxl_lease_extents(w.lease, exts, 4) > 0);
	ck_assert(daxl_map(f, 0, DAXL_TO_END, exts, 4) > 0);
	must_be(daxl_seek(f, 0, DAXL_SEEK_DATA), 0);
	must_be(daxl_busy(f, 0, DAXL_TO_END, NULL, 0), 2);
	must(daxl_stat(f, &st));
	ck_assert_uint_eq(st.size, (uint64_t)B(5));
	daxl_lease_unpin(w.lease);
	must(daxl_lease_return_range(r.lease, B(3), BLK));
	must(daxl_lease_return(w.lease));
	ck_assert(!job_done(&job));
	daxl_lease_unpin(w.lease);
	must(job_join(&job));
	points_off();
	ck_assert_uint_eq(file_size(f), (uint64_t)B(4));
	daxl_lease_free(w.lease);
	daxl_lease_free(r.lease);
	must(daxl_close(f));
	stress_end();
}
END_TEST

/* L6: a call that gives up has changed nothing, whatever ends its wait; who was recalled stays recalled. */
START_TEST(who_gives_up_leaves_everything_as_it_was)
{
	static const enum op ops[] = { OP_TRUNCATE, OP_PUNCH, OP_ZERO, OP_COLLAPSE, OP_INSERT, OP_ATOMIC_WRITE, OP_CLONE, OP_EXCHANGE,
		                       OP_WRITE, OP_UNSHARE, OP_DEDUPE };
	char before[B(4)], after[B(4)];

	stress_begin("L6");
	for (unsigned k = 0; k < sizeof(ops) / sizeof(ops[0]) * 3; k++) {
		struct daxl_file *f = stress_file("f", B(4)), *g = stress_file("g", B(4));
		struct holder h = { 0 };
		struct call call = CALL(.op = ops[k / 3], .file = f, .other = g, .off = 0, .len = B(2));
		struct daxl_stat was, is;
		struct daxl_cancel *cancel;
		struct job job;

		must(daxl_clone_range(f, 0, g, 0, BLK, NULL)); /* so that writing and unsharing concern somebody */
		holder_take(&h, f, 0, BLK, DAXL_LEASE_READ, 0);
		must_be(daxl_pread(f, before, B(4), 0), B(4));
		must(daxl_stat(f, &was));
		must(daxl_cancel_new(&cancel));
		call.wait.cancel = cancel;
		call.wait.timeout_ms = k % 3 == 0 ? 0 : k % 3 == 1 ? 20 : DAXL_WAIT_FOREVER;
		points_on();
		job_start(&job, &call);
		if (k % 3 == 2) {
			wait_for_sleeper(1);
			daxl_cancel_all(cancel);
		}
		must_be(job_join(&job), k % 3 == 0 ? -EAGAIN : k % 3 == 1 ? -ETIMEDOUT : -ECANCELED);
		points_off();
		must_be(daxl_pread(f, after, B(4), 0), B(4));
		ck_assert_mem_eq(before, after, (size_t)B(4));
		must(daxl_stat(f, &is));
		ck_assert_uint_eq(is.size, was.size);
		ck_assert_uint_eq(is.generation, was.generation);
		ck_assert_uint_eq(is.runs, was.runs);
		ck_assert_int_eq(daxl_lease_state(h.lease), DAXL_LEASE_RECALLED);
		/* The range is open again. */
		must(grant_nowait(f, 0, BLK, DAXL_LEASE_READ, 0));
		daxl_cancel_free(cancel);
		daxl_lease_free(h.lease);
		must(daxl_close(f));
		must(daxl_close(g));
		must(daxl_unlink(pool, "f"));
		must(daxl_unlink(pool, "g"));
	}
	stress_end();
}
END_TEST

int main(int argc, char **argv)
{
	Suite *suite = suite_create("breaks");
	TCase *tc = tcase_create("breaks");

	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, p1_a_break_counts_every_pin_and_not_the_first_to_go);
	tcase_add_test(tc, p3_nothing_gets_in_between_the_wait_and_the_change);
	tcase_add_test(tc, p4_a_collapse_looks_at_the_size_when_its_turn_comes);
	tcase_add_test(tc, p4_an_append_lands_where_the_size_is_after_the_wait);
	tcase_add_test(tc, an_operation_whose_range_has_grown_closes_the_whole_file_first);
	tcase_add_test(tc, nobody_is_recalled_in_a_range_that_is_not_closed);
	tcase_add_test(tc, a_lease_shows_the_generation_of_its_grant);
	tcase_add_test(tc, p6_a_pin_counts_after_return_and_close);
	tcase_add_test(tc, p11_a_pin_on_the_second_file_is_slept_for);
	tcase_add_test(tc, p11_two_files_in_either_order_do_not_deadlock);
	tcase_add_test(tc, p14_no_wake_up_is_lost);
	tcase_add_test(tc, p15_an_owner_with_a_recall_pending_is_not_waited_for);
	tcase_add_test(tc, waiters_of_one_range_are_served_in_order_of_arrival);
	tcase_add_test(tc, p31_a_break_during_a_grant_recalls_the_lease_or_keeps_it_out);
	tcase_add_test(tc, p31_a_break_behind_a_grant_finds_the_lease);
	tcase_add_test(tc, a_waiting_break_holds_up_no_commit_read_unpin_query_or_write_in_place);
	tcase_add_test(tc, who_gives_up_leaves_everything_as_it_was);
	suite_add_tcase(suite, tc);
	return stress_main(argc, argv, suite);
}
