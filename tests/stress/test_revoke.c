/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Holders who are late: fenced, or their blocks in limbo, or the break fails; and everything that can come at the same
 * moment: return, last unpin, cancel, commit, the end of the handle, of the file, of the pool.
 */
#include "stress.h"

#include <unistd.h>

#define B(n) ((off_t)((n) * BLK))

static struct daxl_file *f;

static void begin(const char *what)
{
	struct daxl_pool_opts opts = DAXL_POOL_OPTS_INIT;

	opts.lease_break_ms = 20;
	stress_begin_with(what, &opts);
	f = stress_file("f", B(4));
}

static void take_for(struct holder *h, off_t off, off_t len, uint32_t mode, uint32_t flags, uint32_t break_ms)
{
	struct daxl_lease_opts opts = holder_opts(h, mode, flags);

	opts.break_ms = break_ms;
	must(daxl_lease_acquire(f, off, len, &opts, &h->lease));
}

static struct call call_of(enum op op, off_t off, off_t len, int64_t timeout_ms, int on_timeout)
{
	struct call call = CALL(.op = op, .file = f, .off = off, .len = len);

	call.wait.timeout_ms = timeout_ms;
	call.wait.on_timeout = on_timeout;
	return call;
}

static uint64_t limbo_now(void)
{
	struct daxl_pool_stat st;

	must(daxl_pool_stat(pool, &st));
	return st.limbo_blocks;
}

/* Takes every block that can be had and fills them with tags of another file; gives how many. */
static unsigned fill_pool(const char *name)
{
	static char buf[BLK];
	struct daxl_file *g;
	unsigned n = 0;

	must(daxl_open(pool, name, O_RDWR | O_CREAT | O_EXCL, &g));
	uint64_t id = file_id(g);

	for (;; n++) {
		tag_fill(buf, BLK, id, B(n), 0);
		ssize_t rc = daxl_pwrite(g, buf, BLK, B(n));

		if (rc == -ENOSPC)
			break;
		must_be(rc, BLK);
	}
	must(daxl_close(g));
	return n;
}

/* L12, P32, P39: a late holder is fenced; its commit comes too late, its unpins stay legal, its bytes do not come back. */
START_TEST(p32_a_fenced_lease_is_over)
{
	struct holder h = { 0 };
	struct call punch;
	char buf[BLK];

	begin("fence");
	take_for(&h, 0, B(4), DAXL_LEASE_WRITE, 0, 0);
	must(daxl_lease_pin(h.lease));
	must(daxl_lease_pin(h.lease));
	punch = call_of(OP_PUNCH, 0, B(2), 20, DAXL_ON_TIMEOUT_FENCE);
	must(call_run(&punch));
	ck_assert_uint_eq(h.fences, 1);
	ck_assert_int_eq(daxl_lease_state(h.lease), DAXL_LEASE_REVOKED);
	must_be(daxl_lease_commit(h.lease, 0, BLK, -1), -ESTALE);
	must_be(daxl_lease_persist(h.lease, 0, BLK), -ESTALE);
	must_be(daxl_lease_pin(h.lease), -ESTALE);
	must_be(daxl_lease_extents(h.lease, NULL, 0), -ESTALE);
	must_be(daxl_pread(f, buf, BLK, 0), BLK);
	ck_assert(all_zero(buf, BLK));
	/* Its pins make nothing busy any more. */
	punch = call_of(OP_TRUNCATE, 0, 0, 0, 0);
	must(call_run(&punch));
	must_be(daxl_busy(f, 0, DAXL_TO_END, NULL, 0), 0);
	daxl_lease_unpin(h.lease);
	must(daxl_lease_return(h.lease));
	ck_assert_int_eq(daxl_lease_state(h.lease), DAXL_LEASE_REVOKED);
	daxl_lease_free(h.lease);
	ck_assert_uint_eq(h.releases, 0);
	daxl_lease_unpin(h.lease);
	ck_assert_uint_eq(h.releases, 1);
	must(daxl_close(f));
	stress_end();
}
END_TEST

/* L12: neither fence nor limbo before the lease's own deadline, and not before the breaker's. */
START_TEST(nobody_is_late_before_both_deadlines)
{
	begin("deadlines");
	for (int on = DAXL_ON_TIMEOUT_FENCE; on <= DAXL_ON_TIMEOUT_LIMBO; on++) {
		struct holder h = { 0 };

		must_be(daxl_pwrite(f, "there", 5, 0), 5);
		struct call punch = call_of(OP_PUNCH, 0, BLK, 30, on);

		/* A breaker with less time than the lease has. */
		take_for(&h, 0, BLK, DAXL_LEASE_READ, 0, 60000);
		must(daxl_lease_pin(h.lease));
		must_be(call_run(&punch), -ETIMEDOUT);
		ck_assert_uint_eq(h.fences, 0);
		ck_assert_int_eq(daxl_lease_state(h.lease), DAXL_LEASE_RECALLED);
		ck_assert_uint_eq(limbo_now(), 0);
		/* NOWAIT has no time at all. */
		punch.wait.timeout_ms = 0;
		must_be(call_run(&punch), -EAGAIN);
		daxl_lease_unpin(h.lease);
		daxl_lease_free(h.lease);
		/* A breaker with more time than the lease: it is waited for that long. */
		h = (struct holder){ 0 };
		take_for(&h, 0, BLK, DAXL_LEASE_READ, 0, 10);
		must(daxl_lease_pin(h.lease));
		punch.wait.timeout_ms = 120;
		uint64_t start = stress_now_ms();

		must(call_run(&punch));
		ck_assert_uint_ge(stress_now_ms() - start, 119);
		ck_assert_int_eq(daxl_lease_state(h.lease), DAXL_LEASE_REVOKED);
		daxl_lease_unpin(h.lease);
		daxl_lease_free(h.lease);
		/* As much time as the lease, counted from a little earlier: the later of both. */
		h = (struct holder){ 0 };
		take_for(&h, 0, BLK, DAXL_LEASE_READ, 0, 50);
		must(daxl_lease_pin(h.lease));
		punch.wait.timeout_ms = 50;
		must(call_run(&punch));
		daxl_lease_unpin(h.lease);
		daxl_lease_free(h.lease);
	}
	must(daxl_close(f));
	stress_end();
}
END_TEST

/* L6, L12: a fence that says no: the break fails and has changed nothing; the next may ask again. */
START_TEST(a_refused_fence_fails_the_break_and_may_be_tried_again)
{
	struct holder h = { .fence_says = 1 };
	struct call call;
	struct daxl_lease_opts opts;

	begin("refused fence");
	take_for(&h, 0, B(4), DAXL_LEASE_WRITE, DAXL_LEASE_IMPLICIT_PIN, 0);
	call = call_of(OP_COLLAPSE, 0, BLK, 20, DAXL_ON_TIMEOUT_FENCE);
	must_be(call_run(&call), -ETIMEDOUT);
	ck_assert_uint_eq(h.fences, 1);
	ck_assert_int_eq(daxl_lease_state(h.lease), DAXL_LEASE_RECALLED);
	ck_assert_uint_eq(file_size(f), (uint64_t)B(4));
	must(daxl_lease_commit(h.lease, 0, BLK, -1));
	must_be(call_run(&call), -ETIMEDOUT);
	ck_assert_uint_eq(h.fences, 2);
	ck_assert_uint_eq(holder_recalls(&h), 1);
	h.fence_says = 0;
	must(call_run(&call));
	ck_assert_uint_eq(h.fences, 3);
	ck_assert_uint_eq(file_size(f), (uint64_t)B(3));
	daxl_lease_free(h.lease);
	/* Without a fence function a late holder cannot be fenced. */
	h = (struct holder){ 0 };
	opts = holder_opts(&h, DAXL_LEASE_READ, 0);
	opts.fence = NULL;
	must(daxl_lease_acquire(f, 0, BLK, &opts, &h.lease));
	must_be(call_run(&call), -ETIMEDOUT);
	daxl_lease_free(h.lease);
	must(daxl_close(f));
	stress_end();
}
END_TEST

/* P39: two breakers fence one lease at once: it is asked once, and both have its answer. */
START_TEST(p39_two_breakers_share_one_fence)
{
	for (int says = 0; says < 2; says++) {
		struct holder h = { .fence_says = says };
		struct call call;
		struct job a, b;

		begin("two fences");
		take_for(&h, 0, B(4), DAXL_LEASE_READ, 0, 10);
		must(daxl_lease_pin(h.lease));
		points_on();
		point_park("fence:before");
		call = call_of(OP_PUNCH, 0, BLK, 20, DAXL_ON_TIMEOUT_FENCE);
		job_start(&a, &call);
		point_wait_parked("fence:before");
		unsigned sleeps = point_count("break:before-sleep");

		call.off = B(2);
		job_start(&b, &call);
		wait_for_sleeper(sleeps + 2); /* until the deadline, and then for the other's fence */
		ck_assert_uint_eq(h.fences, 0);
		point_release("fence:before");
		must_be(job_join(&a), says ? -ETIMEDOUT : 0);
		must_be(job_join(&b), says ? -ETIMEDOUT : 0);
		points_off();
		ck_assert_uint_eq(h.fences, 1);
		daxl_lease_unpin(h.lease);
		daxl_lease_free(h.lease);
		must(daxl_close(f));
		stress_end();
	}
}
END_TEST

static void return_and_unpin(struct holder *h)
{
	must(daxl_lease_return(h->lease));
	daxl_lease_unpin(h->lease);
}

/* P33: return and last unpin that come while the fence runs win: the lease was given back, not revoked. */
START_TEST(p33_a_return_during_the_fence_wins)
{
	for (int says = 0; says < 2; says++) {
		struct holder h = { .fence_says = says, .on_fence = return_and_unpin };
		struct call call;

		begin("return during fence");
		take_for(&h, 0, BLK, DAXL_LEASE_READ, 0, 0);
		must(daxl_lease_pin(h.lease));
		call = call_of(OP_PUNCH, 0, BLK, 20, DAXL_ON_TIMEOUT_FENCE);
		must(call_run(&call));
		ck_assert_int_eq(daxl_lease_state(h.lease), DAXL_LEASE_RETURNED);
		daxl_lease_free(h.lease);
		must(daxl_close(f));
		stress_end();
	}
}
END_TEST

/* --- every interleaving --- */

enum act { ACT_RETURN, ACT_UNPIN, ACT_BOTH, ACT_END, ACT_CANCEL, ACT_COMMIT, ACTS };

struct course {
	struct holder h;
	enum act act;
	struct daxl_cancel *cancel;
	bool unpinned, ended;
	int commit;
	unsigned runs;
};

static void act(void *arg)
{
	struct course *c = arg;

	c->runs++;
	switch (c->act) {
	case ACT_RETURN:
		must(daxl_lease_return(c->h.lease));
		break;
	case ACT_UNPIN:
		daxl_lease_unpin(c->h.lease);
		c->unpinned = true;
		break;
	case ACT_BOTH:
		must(daxl_lease_return(c->h.lease));
		daxl_lease_unpin(c->h.lease);
		c->unpinned = true;
		break;
	case ACT_END:
		daxl_lease_free(c->h.lease);
		c->ended = true;
		daxl_lease_unpin(c->h.lease);
		c->unpinned = true;
		break;
	case ACT_CANCEL:
		daxl_cancel_all(c->cancel);
		break;
	default:
		c->commit = daxl_lease_commit(c->h.lease, 0, BLK, -1);
		break;
	}
}

static const char *const course_at[] = { "break:queued", "recall:deliver", "break:before-sleep", "fence:before", "fence:after",
	                                 "break:after-wait", "op:drained" };
#define PLACES (sizeof(course_at) / sizeof(course_at[0]))

static void one_course(unsigned place, enum act what, int on_timeout, enum op op)
{
	struct course c = { .act = what };
	struct call call = call_of(op, 0, BLK, 25, on_timeout);
	char buf[BLK];

	must(daxl_fallocate(f, 0, 0, B(4), NULL));
	memset(buf, 'x', BLK);
	must_be(daxl_pwrite(f, buf, BLK, 0), BLK);
	uint64_t size = file_size(f);

	take_for(&c.h, 0, B(2), DAXL_LEASE_WRITE, place % 2 ? DAXL_LEASE_IMPLICIT_PIN : 0, 0);
	must(daxl_lease_pin(c.h.lease));
	must(daxl_cancel_new(&c.cancel));
	call.wait.cancel = c.cancel;
	points_on();
	point_call(course_at[place], act, &c);
	int rc = call_run(&call);

	points_off();
	ck_assert_msg(rc == 0 || rc == -ETIMEDOUT || (rc == -ECANCELED && what == ACT_CANCEL), "%s: %d", course_at[place], rc);
	must_be(daxl_pread(f, buf, BLK, 0), BLK);
	if (rc == 0 && op != OP_INSERT)
		ck_assert(all_zero(buf, BLK)); /* whole, */
	else if (rc)
		ck_assert(buf[0] == 'x' && buf[BLK - 1] == 'x' && file_size(f) == size); /* or not at all (L6) */
	if (rc == 0 && what == ACT_UNPIN && on_timeout == DAXL_ON_TIMEOUT_FAIL)
		ck_abort_msg("%s: a lease that was not given back was taken for drained", course_at[place]);
	if (!c.ended && rc == 0 && daxl_lease_state(c.h.lease) == DAXL_LEASE_REVOKED)
		must_be(daxl_lease_commit(c.h.lease, 0, BLK, -1), -ESTALE);
	if (!c.unpinned)
		daxl_lease_unpin(c.h.lease);
	if (!c.ended)
		daxl_lease_free(c.h.lease);
	ck_assert_uint_eq(c.h.releases, 1);
	ck_assert_uint_eq(limbo_now(), 0);
	ck_assert_uint_le(holder_recalls(&c.h), 1);
	daxl_cancel_free(c.cancel);
	must_be(daxl_busy(f, 0, DAXL_TO_END, NULL, 0), 0);
	must(daxl_truncate(f, B(4), NULL));
}

/* P32, P33, P39, L1, L6, L12: what a holder may do, at every point of a break that ends in failure, fence or limbo. */
START_TEST(p33_every_interleaving_of_holder_and_deadline)
{
	begin("interleavings");
	for (unsigned place = 0; place < PLACES; place++)
		for (int what = 0; what < ACTS; what++)
			for (int on = DAXL_ON_TIMEOUT_FAIL; on <= DAXL_ON_TIMEOUT_LIMBO; on++)
				one_course(place, (enum act)what, on, what % 2 ? OP_ZERO : OP_PUNCH);
	must(daxl_close(f));
	stress_end();
}
END_TEST

/* L1, L12: under limbo the holder's device goes on, into blocks that are nobody's; they are free when the last pin goes. */
START_TEST(busy_blocks_in_limbo_are_nobody_elses)
{
	static const enum op ops[] = { OP_PUNCH, OP_ZERO, OP_TRUNCATE, OP_ATOMIC_WRITE };

	for (unsigned k = 0; k < sizeof(ops) / sizeof(ops[0]); k++) {
		struct holder h = { 0 };
		struct daxl_holder who;
		char buf[B(2)];

		begin("limbo");
		uint64_t all = free_blocks();

		take_for(&h, 0, B(2), DAXL_LEASE_WRITE, 0, 0);
		must(daxl_lease_pin(h.lease));
		char *addr = holder_addr(&h, 0);
		/* The edges lie inside blocks: those are replaced. */
		struct call call = call_of(ops[k], 104, ops[k] == OP_TRUNCATE ? 0 : B(1), 20, DAXL_ON_TIMEOUT_LIMBO);

		must(call_run(&call));
		ck_assert_int_eq(daxl_lease_state(h.lease), DAXL_LEASE_REVOKED);
		ck_assert_uint_ge(limbo_now(), 2);
		must_be(daxl_lease_commit(h.lease, 0, BLK, -1), -ESTALE);
		must_be(daxl_busy(f, 0, B(2), &who, 1), 1);
		ck_assert_uint_eq(who.pins, 1);
		ck_assert_uint_ge(who.limbo_blocks, 2);
		memset(addr, 0xee, 2 * BLK); /* the device, late */
		unsigned filled = fill_pool("g");

		ck_assert_uint_gt(filled, 100);
		for (off_t i = 0; i < B(2); i++)
			ck_assert_int_eq((unsigned char)addr[i], 0xee);
		if (ops[k] == OP_TRUNCATE) {
			ck_assert_uint_eq(file_size(f), 104);
			must(daxl_truncate(f, B(2), NULL));
		}
		must_be(daxl_pread(f, buf, sizeof(buf), 0), (long long)sizeof(buf));
		ck_assert_int_eq(tag_foreign(buf, 104, file_id(f), 0), 0);
		ck_assert(!all_zero(buf, 104));
		for (unsigned i = 0; i < sizeof(buf); i++)
			ck_assert_msg((unsigned char)buf[i] != 0xee, "%s: the late device's byte is in the file at %u", op_name[ops[k]], i);
		daxl_lease_unpin(h.lease);
		ck_assert_uint_eq(limbo_now(), 0);
		must_be(daxl_busy(f, 0, B(2), NULL, 0), 0);
		daxl_lease_free(h.lease);
		must(daxl_unlink(pool, "g"));
		must(daxl_truncate(f, 0, NULL));
		ck_assert_uint_ge(free_blocks(), all);
		must(daxl_close(f));
		stress_end();
	}
}
END_TEST

/* L1: a lease that counts as pinned keeps its limbo until it is returned, whatever its explicit pins do. */
START_TEST(an_implicit_pin_keeps_limbo_until_the_return)
{
	struct holder h = { 0 };
	struct call call;

	begin("implicit pin in limbo");
	take_for(&h, 0, BLK, DAXL_LEASE_WRITE, DAXL_LEASE_IMPLICIT_PIN, 0);
	must(daxl_lease_pin(h.lease));
	char *addr = holder_addr(&h, 0);

	call = call_of(OP_PUNCH, 0, BLK, 20, DAXL_ON_TIMEOUT_LIMBO);
	must(call_run(&call));
	daxl_lease_unpin(h.lease);
	ck_assert_uint_eq(limbo_now(), 1);
	memset(addr, 0xee, BLK);
	(void)fill_pool("g");
	ck_assert_int_eq((unsigned char)addr[7], 0xee);
	ck_assert_int_eq(daxl_lease_state(h.lease), DAXL_LEASE_REVOKED);
	must(daxl_lease_return(h.lease));
	ck_assert_int_eq(daxl_lease_state(h.lease), DAXL_LEASE_RETURNED);
	ck_assert_uint_eq(limbo_now(), 0);
	daxl_lease_free(h.lease);
	must(daxl_close(f));
	stress_end();
}
END_TEST

/* The growth rule under limbo: the busy tail block is replaced and kept from reuse; a READ lease over it is asked first (L1, L2, L12). */
START_TEST(growing_past_a_late_holder_replaces_its_tail_block)
{
	static const struct {
		enum op op;
		off_t off, len;
	} grow[] = { { OP_TRUNCATE, B(6), 0 }, { OP_WRITE, B(5), 10 },  { OP_ZERO, B(5), BLK },        { OP_ATOMIC_WRITE, B(5), 10 },
		     { OP_WRITE, B(3) + 200, 10 }, { OP_WRITE, B(3) + 104, 10 }, { OP_CLONE, B(5), BLK } };

	for (unsigned k = 0; k < sizeof(grow) / sizeof(grow[0]) * 2; k++) {
		struct holder h = { 0 }, reader = { .returns = true };
		char buf[BLK];

		begin("growth under limbo");
		struct daxl_file *other = stress_file("other", BLK);

		must(daxl_truncate(f, B(3) + 104, NULL));
		take_for(&h, B(3), BLK, DAXL_LEASE_WRITE, 0, 0);
		must(daxl_lease_pin(h.lease));
		char *addr = holder_addr(&h, B(3));

		if (k % 2)
			take_for(&reader, B(3), BLK, DAXL_LEASE_READ, 0, 0);
		struct call call = call_of(grow[k / 2].op, grow[k / 2].off, grow[k / 2].len, 20, DAXL_ON_TIMEOUT_LIMBO);

		call.other = other;
		must(call_run(&call));
		if (k % 2)
			ck_assert_msg(holder_recalls(&reader) == 1, "%u, %s: a READ lease's block was replaced without a recall", k / 2,
			              op_name[call.op]);
		ck_assert_int_eq(daxl_lease_state(h.lease), DAXL_LEASE_REVOKED);
		memset(addr, 0xee, BLK); /* the device, late */
		(void)fill_pool("g");
		for (off_t i = 0; i < BLK; i++)
			ck_assert_msg((unsigned char)addr[i] == 0xee, "%u, %s: a pinned block was used again", k / 2, op_name[call.op]);
		must_be(daxl_pread(f, buf, BLK, B(3)) > 104, 1);
		ck_assert_int_eq(tag_foreign(buf, 104, file_id(f), B(3)), 0);
		for (unsigned i = 0; i < 114; i++)
			ck_assert_msg((unsigned char)buf[i] != 0xee, "%u, %s: the late device's byte is in the file", k / 2, op_name[call.op]);
		daxl_lease_unpin(h.lease);
		ck_assert_uint_eq(limbo_now(), 0);
		daxl_lease_free(h.lease);
		if (k % 2)
			daxl_lease_free(reader.lease);
		must(daxl_close(other));
		must(daxl_close(f));
		stress_end();
	}
}
END_TEST

/* A late holder without pins is revoked by limbo as well: it can commit nothing into what has become another file (P39). */
START_TEST(a_late_holder_without_pins_is_revoked_by_limbo)
{
	struct holder h = { 0 };
	struct call call;

	begin("limbo without pins");
	take_for(&h, 0, B(2), DAXL_LEASE_WRITE, 0, 0);
	call = call_of(OP_PUNCH, 0, BLK, 20, DAXL_ON_TIMEOUT_LIMBO);
	must(call_run(&call));
	ck_assert_int_eq(daxl_lease_state(h.lease), DAXL_LEASE_REVOKED);
	must_be(daxl_lease_commit(h.lease, B(1), BLK, -1), -ESTALE);
	must(daxl_lease_return(h.lease));
	ck_assert_int_eq(daxl_lease_state(h.lease), DAXL_LEASE_RETURNED);
	ck_assert_uint_eq(limbo_now(), 0);
	daxl_lease_free(h.lease);
	must(daxl_close(f));
	stress_end();
}
END_TEST

/* L12: limbo takes blocks out; where none are to be taken out, a late holder ends the call. */
START_TEST(limbo_is_no_answer_to_who_only_has_to_return)
{
	static const enum op ops[] = { OP_WRITE, OP_CLONE, OP_DEDUPE };

	for (unsigned k = 0; k < 3; k++) {
		struct holder h = { 0 };
		struct call call;
		char buf[BLK];

		begin("limbo is no answer");
		struct daxl_file *g = stress_file("g", B(4));

		must(daxl_fallocate(f, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, B(1), BLK, NULL));
		take_for(&h, B(1), BLK, k ? DAXL_LEASE_WRITE : DAXL_LEASE_READ, 0, 0);
		must(daxl_lease_pin(h.lease));
		call = call_of(ops[k], B(1), BLK, 20, DAXL_ON_TIMEOUT_LIMBO);
		if (k) { /* the holder is in the source, which keeps its blocks */
			call.file = g;
			call.other = f;
			call.other_off = B(1);
		}
		must_be(call_run(&call), -ETIMEDOUT);
		ck_assert_int_eq(daxl_lease_state(h.lease), DAXL_LEASE_RECALLED);
		ck_assert_uint_eq(limbo_now(), 0);
		must_be(daxl_pread(f, buf, BLK, B(1)), BLK);
		ck_assert(all_zero(buf, BLK));
		daxl_lease_unpin(h.lease);
		daxl_lease_free(h.lease);
		must(daxl_close(g));
		must(daxl_close(f));
		stress_end();
	}
}
END_TEST

/* A lease that a write waits for at both levels: for its return, since it is STABLE, and for its pins on a block to be copied. Limbo answers both. */
START_TEST(limbo_answers_for_a_stable_lease_on_a_shared_block)
{
	for (int pinned = 0; pinned < 2; pinned++) {
		struct holder h = { 0 };
		struct call call;
		char was[BLK];

		begin("limbo and STABLE");
		struct daxl_file *g = stress_file("g", 0);

		must(daxl_clone_range(f, B(1), g, 0, BLK, NULL));
		take_for(&h, 0, B(3), DAXL_LEASE_READ, DAXL_LEASE_STABLE, 0);
		if (pinned)
			must(daxl_lease_pin(h.lease));
		const char *addr = holder_addr(&h, B(1));

		memcpy(was, addr, BLK);
		call = call_of(OP_WRITE, 0, B(3), 20, DAXL_ON_TIMEOUT_LIMBO);
		must(call_run(&call));
		ck_assert_uint_eq(holder_recalls(&h), 1);
		ck_assert_int_eq(daxl_lease_state(h.lease), DAXL_LEASE_REVOKED);
		ck_assert_uint_eq(limbo_now(), (unsigned)pinned);
		ck_assert_mem_eq(was, addr, BLK); /* what the device reads there is still what it was */
		if (pinned)
			daxl_lease_unpin(h.lease);
		ck_assert_uint_eq(limbo_now(), 0);
		daxl_lease_free(h.lease);
		must(daxl_close(g));
		must(daxl_close(f));
		stress_end();
	}
}
END_TEST

/* The growth rule is about WRITE leases, under limbo too: READ leases over the tail stay, as long as its block does. */
START_TEST(growing_under_limbo_leaves_readers_of_the_tail_alone)
{
	for (int late = 0; late < 3; late++) { /* no writer; one without pins; one that returns in time */
		struct holder reader = { 0 }, writer = { .returns = late == 2 };
		struct call call;

		begin("growth and readers");
		must(daxl_truncate(f, B(3) + 104, NULL));
		take_for(&reader, 0, B(4), DAXL_LEASE_READ, 0, 0);
		must(daxl_lease_pin(reader.lease));
		const char *addr = holder_addr(&reader, B(3));

		if (late) {
			take_for(&writer, B(3), BLK, DAXL_LEASE_WRITE, 0, 0);
			memset(holder_addr(&writer, B(3)) + 104, 0xee, BLK - 104);
		}
		call = call_of(OP_TRUNCATE, B(6), 0, 20, DAXL_ON_TIMEOUT_LIMBO);
		must(call_run(&call));
		ck_assert_uint_eq(holder_recalls(&reader), 0);
		ck_assert_int_eq(daxl_lease_state(reader.lease), DAXL_LEASE_LIVE);
		ck_assert_ptr_eq(holder_addr(&reader, B(3)), addr);
		ck_assert(all_zero(addr + 104, BLK - 104));
		if (late) {
			ck_assert_int_eq(writer.reason, DAXL_REASON_GROWTH);
			must_be(daxl_lease_commit(writer.lease, B(3), BLK, -1), -ESTALE);
			daxl_lease_free(writer.lease);
		}
		ck_assert_uint_eq(limbo_now(), 0);
		daxl_lease_unpin(reader.lease);
		daxl_lease_free(reader.lease);
		must(daxl_close(f));
		stress_end();
	}
}
END_TEST

/* Limbo takes out what is busy. A late lease without pins is revoked, and its blocks change in place, or are free at once. */
START_TEST(what_is_late_but_not_busy_is_not_replaced)
{
	static const struct {
		enum op op;
		off_t off, len;
	} calls[] = { { OP_PUNCH, 100, BLK - 200 }, { OP_ZERO, 0, B(2) }, { OP_TRUNCATE, 100, 0 } };

	for (unsigned k = 0; k < 3; k++) {
		struct holder h = { 0 };
		struct daxl_extent was, is;
		struct call call;

		begin("late, not busy");
		take_for(&h, 0, B(2), DAXL_LEASE_WRITE, 0, 0);
		must_be(daxl_map(f, 0, BLK, &was, 1), 1);
		call = call_of(calls[k].op, calls[k].off, calls[k].len, 20, DAXL_ON_TIMEOUT_LIMBO);
		must(call_run(&call));
		must_be(daxl_map(f, 0, BLK, &is, 1), 1);
		ck_assert_msg(was.pool_off == is.pool_off, "%s has replaced a block that nobody pins", op_name[call.op]);
		ck_assert_int_eq(daxl_lease_state(h.lease), DAXL_LEASE_REVOKED);
		must_be(daxl_lease_commit(h.lease, 0, BLK, -1), -ESTALE);
		daxl_lease_free(h.lease);
		must(daxl_close(f));
		stress_end();
	}
}
END_TEST

/* L1, P24: limbo counts as a sharer: the file that shares a block in limbo copies before it writes. */
START_TEST(p24_a_block_in_limbo_is_shared)
{
	struct holder h = { 0 };
	struct daxl_file *g;
	struct call call;
	char was[BLK];

	begin("limbo is a sharer");
	g = stress_file("g", 0);
	take_for(&h, 0, BLK, DAXL_LEASE_READ, 0, 0);
	must(daxl_lease_pin(h.lease));
	const char *addr = holder_addr(&h, 0);

	must(daxl_clone_range(f, 0, g, 0, BLK, NULL));
	call = call_of(OP_PUNCH, 0, BLK, 20, DAXL_ON_TIMEOUT_LIMBO);
	must(call_run(&call));
	memcpy(was, addr, BLK);
	must_be(daxl_pwrite(g, "changed", 7, 0), 7);
	ck_assert_mem_eq(was, addr, BLK);
	must(daxl_truncate(g, 0, NULL));
	(void)fill_pool("h");
	ck_assert_mem_eq(was, addr, BLK);
	daxl_lease_unpin(h.lease);
	daxl_lease_free(h.lease);
	must(daxl_close(g));
	must(daxl_close(f));
	stress_end();
}
END_TEST

/* --- P35, P36: closing in every order --- */

enum step { STEP_RETURN, STEP_UNPIN, STEP_FREE, STEP_CLOSE, STEP_UNLINK, STEPS };

static bool next_permutation(unsigned *p)
{
	int i = STEPS - 2, k = STEPS - 1;

	while (i >= 0 && p[i] > p[i + 1])
		i--;
	if (i < 0)
		return false;
	while (p[k] < p[i])
		k--;
	unsigned t = p[i];

	p[i] = p[k];
	p[k] = t;
	for (int a = i + 1, b = STEPS - 1; a < b; a++, b--) {
		t = p[a];
		p[a] = p[b];
		p[b] = t;
	}
	return true;
}

/* P35, P36, L1: nothing hangs, nothing is freed too early, and the pool does not close before all is given back. */
START_TEST(p35_everything_may_be_closed_in_any_order)
{
	unsigned p[STEPS] = { 0, 1, 2, 3, 4 };

	do {
		struct holder h = { 0 };
		bool freed = false, closed = false, unlinked = false;

		begin("closing");
		take_for(&h, 0, B(2), p[0] % 2 ? DAXL_LEASE_WRITE : DAXL_LEASE_READ, 0, 0);
		must(daxl_lease_pin(h.lease));
		const char *addr = holder_addr(&h, 0);
		uint64_t id = file_id(f);
		bool pinned = true;

		for (unsigned i = 0; i < STEPS; i++) {
			if (freed && !pinned && closed)
				break; /* what may be left is a name, or an empty step: nothing would keep the pool */
			ck_assert_int_eq(daxl_pool_close(pool), -EBUSY);
			ck_assert_msg(strstr(daxl_errormsg(), "lease") || strstr(daxl_errormsg(), "open"), "pool close said: %s",
			              daxl_errormsg());
			switch (p[i]) {
			case STEP_RETURN:
				if (!freed) /* the handle is gone otherwise */
					must(daxl_lease_return(h.lease));
				break;
			case STEP_UNPIN:
				daxl_lease_unpin(h.lease);
				pinned = false;
				break;
			case STEP_FREE:
				daxl_lease_free(h.lease);
				freed = true;
				break;
			case STEP_CLOSE:
				must(daxl_close(f));
				closed = true;
				break;
			default:
				must(daxl_unlink(pool, "f"));
				unlinked = true;
				break;
			}
			if (pinned)
				ck_assert_int_eq(tag_foreign(addr, B(2), id, 0) || all_zero(addr, B(2)), 0);
			ck_assert_uint_eq(h.releases, freed && !pinned);
		}
		if (!unlinked)
			must(daxl_unlink(pool, "f"));
		stress_end();
	} while (next_permutation(p));
}
END_TEST

/* P36: pins are not forgotten when the pool is to be closed, and the message says who. */
START_TEST(p36_closing_the_pool_lists_what_is_out)
{
	struct daxl_lease_stat st;
	struct holder h = { 0 };
	char id[32];

	begin("pool close");
	take_for(&h, 0, BLK, DAXL_LEASE_READ, 0, 0);
	must(daxl_lease_stat(h.lease, &st));
	must(daxl_lease_pin(h.lease));
	must(daxl_close(f));
	must_be(daxl_pool_close(pool), -EBUSY);
	snprintf(id, sizeof(id), "%llu", (unsigned long long)st.id);
	ck_assert_msg(strstr(daxl_errormsg(), id) && strstr(daxl_errormsg(), "lease"), "%s", daxl_errormsg());
	ck_assert_msg(strstr(daxl_errormsg(), "on file 'f' (1 pins)"), "%s", daxl_errormsg());
	daxl_lease_free(h.lease);
	must_be(daxl_pool_close(pool), -EBUSY);
	must(daxl_unlink(pool, "f"));
	must_be(daxl_pool_close(pool), -EBUSY);
	ck_assert_msg(strstr(daxl_errormsg(), "on unlinked file #"), "%s", daxl_errormsg());
	daxl_lease_unpin(h.lease);
	stress_end();
}
END_TEST

/* L15: a crash with leases out and blocks in limbo: afterwards there are none, and the blocks are free. */
START_TEST(after_a_crash_there_are_no_leases_and_no_limbo)
{
	struct holder h = { 0 }, w = { 0 };
	struct daxl_pool *live;
	struct daxl_pool_stat st;
	struct daxl_holder who;
	struct daxl_file *g;
	char path[128], buf[BLK];
	struct call call;

	begin("crash");
	take_for(&h, 0, B(2), DAXL_LEASE_READ, 0, 0);
	must(daxl_lease_pin(h.lease));
	call = call_of(OP_PUNCH, 0, B(2), 20, DAXL_ON_TIMEOUT_LIMBO);
	must(call_run(&call));
	take_for(&w, B(4), BLK, DAXL_LEASE_WRITE, 0, 0);
	memcpy(holder_addr(&w, B(4)), "committed", 9);
	must(daxl_lease_commit(w.lease, B(4), BLK, B(4) + 9));
	uint64_t free_now = free_blocks();

	snprintf(path, sizeof(path), "%s/daxl_stress_crash.%ld", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp", (long)getpid());
	FILE *out = fopen(path, "w");

	ck_assert_ptr_nonnull(out);
	ck_assert_uint_eq(fwrite(daxl_pool_base(pool), 1, POOL_SIZE, out), POOL_SIZE);
	ck_assert_int_eq(fclose(out), 0);
	live = pool;
	must(daxl_pool_open(path, NULL, &pool));
	unlink(path);
	must(daxl_pool_stat(pool, &st));
	ck_assert(st.flags & DAXL_POOL_STAT_RECOVERED);
	ck_assert_uint_eq(st.leases, 0);
	ck_assert_uint_eq(st.limbo_blocks, 0);
	ck_assert_uint_ge(free_blocks() + 8, free_now + 2); /* but for the pages of a checkpoint */
	must(daxl_open(pool, "f", O_RDWR, &g));
	must_be(daxl_busy(g, 0, DAXL_TO_END, &who, 1), 0);
	ck_assert_uint_eq(file_size(g), (uint64_t)B(4) + 9);
	must_be(daxl_pread(g, buf, 9, B(4)), 9);
	ck_assert_mem_eq(buf, "committed", 9);
	must_be(daxl_pread(g, buf, BLK, 0), BLK);
	ck_assert(all_zero(buf, BLK));
	must(daxl_close(g));
	must(daxl_pool_close(pool));
	pool = live;
	daxl_lease_unpin(h.lease);
	daxl_lease_free(h.lease);
	daxl_lease_free(w.lease);
	must(daxl_close(f));
	stress_end();
}
END_TEST

int main(int argc, char **argv)
{
	Suite *suite = suite_create("revoke");
	TCase *tc = tcase_create("revoke");

	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, p32_a_fenced_lease_is_over);
	tcase_add_test(tc, nobody_is_late_before_both_deadlines);
	tcase_add_test(tc, a_refused_fence_fails_the_break_and_may_be_tried_again);
	tcase_add_test(tc, p39_two_breakers_share_one_fence);
	tcase_add_test(tc, p33_a_return_during_the_fence_wins);
	tcase_add_test(tc, p33_every_interleaving_of_holder_and_deadline);
	tcase_add_test(tc, busy_blocks_in_limbo_are_nobody_elses);
	tcase_add_test(tc, an_implicit_pin_keeps_limbo_until_the_return);
	tcase_add_test(tc, growing_past_a_late_holder_replaces_its_tail_block);
	tcase_add_test(tc, a_late_holder_without_pins_is_revoked_by_limbo);
	tcase_add_test(tc, limbo_is_no_answer_to_who_only_has_to_return);
	tcase_add_test(tc, limbo_answers_for_a_stable_lease_on_a_shared_block);
	tcase_add_test(tc, growing_under_limbo_leaves_readers_of_the_tail_alone);
	tcase_add_test(tc, what_is_late_but_not_busy_is_not_replaced);
	tcase_add_test(tc, p24_a_block_in_limbo_is_shared);
	tcase_add_test(tc, p35_everything_may_be_closed_in_any_order);
	tcase_add_test(tc, p36_closing_the_pool_lists_what_is_out);
	tcase_add_test(tc, after_a_crash_there_are_no_leases_and_no_limbo);
	suite_add_tcase(suite, tc);
	return stress_main(argc, argv, suite);
}
