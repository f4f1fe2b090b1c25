/* SPDX-License-Identifier: BSD-3-Clause */
/* The queue of a range lock, in-place writers, and questions about a range. */
#include "lease_help.h"

static int try_break(struct daxl_break *brk, struct file *f, uint64_t start, uint64_t end)
{
	struct daxl_wait nowait = DAXL_WAIT_INIT;

	nowait.timeout_ms = 0;
	ck_assert_int_eq(daxl_break_init(brk, domain, &nowait, NULL, DAXL_REASON_PUNCH, false), 0);
	daxl_break_add(brk, &f->rl, start, end);
	return daxl_break_enter(brk);
}

/* Whether somebody has closed a range of f without a place in the queue. */
static bool is_alone(const struct file *f)
{
	return LOAD(f->rl.alone) && !LOAD(f->rl.queue_head);
}

START_TEST(overlapping_requests_exclude_each_other_and_touching_ones_do_not)
{
	struct daxl_break a, b;

	ck_assert_int_eq(try_break(&a, &fa, 10, 20), 0);
	ck_assert_int_eq(try_break(&b, &fa, 0, 10), 0);
	daxl_break_leave(&b);
	ck_assert_int_eq(try_break(&b, &fa, 20, DAXL_FBLK_INF), 0);
	daxl_break_leave(&b);
	ck_assert_int_eq(try_break(&b, &fa, 19, 20), -EAGAIN);
	ck_assert_int_eq(try_break(&b, &fb, 10, 20), 0);
	daxl_break_leave(&b);
	daxl_break_leave(&a);
	daxl_break_leave(&a); /* idempotent */
	ck_assert_int_eq(try_break(&b, &fa, 19, 20), 0);
	daxl_break_leave(&b);
	ck_assert(is_open(&fa));
}
END_TEST

/* Who comes alone takes no place, until somebody else looks. */
START_TEST(a_request_takes_a_place_once_there_is_another)
{
	struct daxl_break a, b;
	struct daxl_lease *l = create_lease(&fa, 50, 60, NULL);

	ck_assert_int_eq(try_break(&a, &fa, 10, 20), 0);
	ck_assert(is_alone(&fa));
	daxl_break_leave(&a);
	ck_assert(is_open(&fa));
	ck_assert_int_eq(try_break(&a, &fa, 10, 20), 0);
	ck_assert_int_eq(try_break(&b, &fa, 30, 40), 0);
	ck_assert_ptr_eq(fa.rl.queue_head, &a.part[0]);
	ck_assert_ptr_eq(a.part[0].next, &b.part[0]);
	daxl_break_leave(&a);
	ck_assert_ptr_eq(fa.rl.queue_head, &b.part[0]);
	daxl_break_leave(&b);
	ck_assert(is_open(&fa));
	ck_assert_int_eq(try_break(&a, &fa, 10, 20), 0);
	ck_assert(is_alone(&fa));
	ADD(fa.refs, 1);
	ck_assert(daxl_lease_try_grant(l, NULL, NULL));
	ck_assert_ptr_eq(fa.rl.queue_head, &a.part[0]);
	daxl_break_leave(&a);
	ck_assert(is_open(&fa));
	daxl_lease_free(l);
}
END_TEST

/* L3, L9: a closed range grants nothing. */
START_TEST(no_lease_is_granted_in_a_closed_range)
{
	struct daxl_break a;
	struct daxl_lease *l = create_lease(&fa, 5, 15, NULL);

	ck_assert_int_eq(try_break(&a, &fa, 10, 20), 0);
	ck_assert(!daxl_lease_try_grant(l, NULL, NULL));
	daxl_break_leave(&a);
	ADD(fa.refs, 1);
	ck_assert(daxl_lease_try_grant(l, NULL, NULL));
	daxl_lease_free(l);
}
END_TEST

static unsigned order[16];
static unsigned norder; /* guarded by the range being closed */

static void note_order(struct breaker *b)
{
	order[norder++] = (unsigned)b->wait.owner;
}

static uint64_t tickets(struct file *f)
{
	daxl_mutex_lock(&f->rl.mutex);
	uint64_t n = f->rl.next_ticket + is_alone(f); /* it gets its ticket when there is another */

	daxl_mutex_unlock(&f->rl.mutex);
	return n;
}

/* L14. */
START_TEST(overlapping_requests_are_served_in_order_of_arrival)
{
	struct breaker b[8];
	struct daxl_break first;

	ck_assert_int_eq(try_break(&first, &fa, 0, 100), 0);
	for (unsigned i = 0; i < 8; i++) {
		uint64_t before = tickets(&fa);

		b[i] = (struct breaker)BREAKER(&fa, i, 50 + i, DAXL_LEVEL_U);
		b[i].wait.owner = 100 + i;
		b[i].drained = note_order;
		start_breaker(&b[i]);
		AWAIT(tickets(&fa) == before + 1);
	}
	daxl_break_leave(&first);
	for (unsigned i = 0; i < 8; i++)
		ck_assert_int_eq(join_breaker(&b[i]), 0);
	for (unsigned i = 0; i < 8; i++)
		ck_assert_uint_eq(order[i], 100 + i);
}
END_TEST

/* A later request, or a grant, does not pass an earlier one that still waits, even if what is in service now is not in its way. */
START_TEST(a_waiting_request_keeps_later_ones_behind_it)
{
	struct daxl_break first, third;
	struct breaker second = BREAKER(&fa, 10, 30, DAXL_LEVEL_U);
	struct daxl_lease *lease = create_lease(&fa, 25, 28, NULL);
	uint64_t before;

	ck_assert_int_eq(try_break(&first, &fa, 0, 20), 0);
	before = tickets(&fa);
	start_breaker(&second);
	AWAIT(tickets(&fa) == before + 1);
	ck_assert_int_eq(try_break(&third, &fa, 25, 40), -EAGAIN);
	ck_assert_int_eq(try_break(&third, &fa, 30, 40), 0);
	daxl_break_leave(&third);
	ck_assert(!daxl_lease_try_grant(lease, NULL, NULL));
	daxl_break_leave(&first);
	ck_assert_int_eq(join_breaker(&second), 0);
	ADD(fa.refs, 1);
	ck_assert(daxl_lease_try_grant(lease, NULL, NULL));
	daxl_lease_free(lease);
}
END_TEST

START_TEST(time_that_passes_in_the_queue_is_a_timeout_whatever_was_chosen)
{
	struct daxl_break first;

	ck_assert_int_eq(try_break(&first, &fa, 0, 20), 0);
	for (int way = DAXL_ON_TIMEOUT_FAIL; way <= DAXL_ON_TIMEOUT_LIMBO; way++) {
		struct daxl_wait wait = DAXL_WAIT_INIT;
		struct daxl_break brk;
		uint64_t start = now_ms();

		wait.timeout_ms = 30;
		wait.on_timeout = way;
		ck_assert_int_eq(open_break(&brk, &fa, 10, 12, DAXL_LEVEL_U, &wait, true), -ETIMEDOUT);
		ck_assert_uint_ge(now_ms() + 1, start + 30);
	}
	daxl_break_leave(&first);
	ck_assert(is_open(&fa));
}
END_TEST

/* A request that closes the whole file keeps its place, but waits for who is in service behind it. */
START_TEST(widening_waits_for_who_is_served_and_passes_who_is_not)
{
	struct daxl_break first, behind, brk;
	struct breaker third = BREAKER(&fa, 5, 60, DAXL_LEVEL_U);
	uint64_t before;

	ck_assert_int_eq(try_break(&first, &fa, 0, 10), 0);
	ck_assert_int_eq(try_break(&behind, &fa, 50, 60), 0);
	ck_assert_int_eq(daxl_break_widen(&first), -EAGAIN); /* behind is in service */
	before = tickets(&fa);
	start_breaker(&third);
	AWAIT(tickets(&fa) == before + 1);
	daxl_break_leave(&behind);
	ck_assert_int_eq(daxl_break_widen(&first), 0); /* third waits for it, with its higher ticket */
	ck_assert_uint_eq(first.part[0].start, 0);
	ck_assert_uint_eq(first.part[0].end, DAXL_FBLK_INF);
	ck_assert_int_eq(try_break(&brk, &fa, 1000, 1001), -EAGAIN);
	ck_assert(!LOAD(third.done));
	daxl_break_leave(&first);
	ck_assert_int_eq(join_breaker(&third), 0);
}
END_TEST

#define PAIRS 20000u

struct two_files {
	struct file *x, *y;
	bool same; /* one file twice */
};

static unsigned inside[2]; /* plain: the closed ranges are what guards them */

static void *two_file_breaks(void *arg)
{
	struct two_files *t = arg;
	struct daxl_wait wait = DAXL_WAIT_INIT;

	wait.timeout_ms = DAXL_WAIT_FOREVER;
	for (unsigned i = 0; i < PAIRS; i++) {
		struct daxl_break brk;

		ck_assert_int_eq(daxl_break_init(&brk, domain, &wait, NULL, DAXL_REASON_CLONE, false), 0);
		daxl_break_add(&brk, &t->x->rl, 0, 10);
		if (t->y)
			daxl_break_add(&brk, &t->y->rl, 0, 10);
		ck_assert_int_eq(daxl_break_enter(&brk), 0);
		inside[t->x == &fb]++;
		if (t->y)
			inside[t->y == &fb]++;
		daxl_break_leave(&brk);
	}
	return NULL;
}

/* P11: A to B, B to A, and single files in between: nobody waits for ever, nobody is in with another. */
START_TEST(two_file_requests_in_any_order_do_not_deadlock)
{
	struct two_files t[4] = { { &fa, &fb, false }, { &fb, &fa, false }, { &fa, NULL, false }, { &fb, &fb, true } };
	pthread_t thread[4];

	for (unsigned i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_create(&thread[i], NULL, two_file_breaks, &t[i]), 0);
	for (unsigned i = 0; i < 4; i++)
		pthread_join(thread[i], NULL);
	ck_assert_uint_eq(inside[0], 3 * PAIRS);
	ck_assert_uint_eq(inside[1], 4 * PAIRS);
}
END_TEST

struct writer {
	struct file *f;
	bool entered, done; /* atomic */
	bool stop;          /* atomic */
	uint64_t start, end;
	unsigned long n;
	int rc;
};

static void *write_once(void *arg)
{
	struct writer *w = arg;
	uint64_t *count;

	w->rc = daxl_writer_enter(&w->f->rl, w->start, w->end, &count);
	STORE(w->entered, true);
	if (!w->rc)
		daxl_writer_leave(&w->f->rl, count);
	STORE(w->done, true);
	return NULL;
}

START_TEST(a_writer_waits_while_its_range_is_changing_and_no_other_does)
{
	struct writer in = { .f = &fa, .start = 5, .end = 6 }, out = { .f = &fa, .start = 10, .end = 11 };
	struct daxl_break brk;
	pthread_t thread;

	ck_assert_int_eq(try_break(&brk, &fa, 0, 10), 0);
	write_once(&in); /* a closed range alone does not hold a writer up (L7) */
	ck_assert_int_eq(in.rc, 0);
	in.entered = false;
	ck_assert_int_eq(daxl_break_change(&brk), 0);
	write_once(&out);
	ck_assert_int_eq(pthread_create(&thread, NULL, write_once, &in), 0);
	daxl_rcu_read_lock(); /* P47: not inside a read section */
	struct writer here = { .f = &fa, .start = 0, .end = 1 };

	write_once(&here);
	daxl_rcu_read_unlock();
	ck_assert_int_eq(here.rc, -EDEADLK);
	ck_assert(!LOAD(in.entered));
	daxl_break_leave(&brk);
	pthread_join(thread, NULL);
	ck_assert_int_eq(in.rc, 0);
}
END_TEST

static void *change_once(void *arg)
{
	struct writer *w = arg;
	struct daxl_break brk;

	ck_assert_int_eq(try_break(&brk, w->f, w->start, w->end), 0);
	ck_assert_int_eq(daxl_break_change(&brk), 0);
	STORE(w->done, true);
	daxl_break_leave(&brk);
	return NULL;
}

START_TEST(a_change_waits_for_the_writers_counted_before)
{
	struct writer w = { .f = &fa, .start = 0, .end = 10 };
	uint64_t *count;
	pthread_t thread;

	ck_assert_int_eq(daxl_writer_enter(&fa.rl, 3, 4, &count), 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, change_once, &w), 0);
	AWAIT(LOAD(fa.rl.nchanging) == 1);
	for (unsigned i = 0; i < 1000; i++)
		sched_yield();
	ck_assert(!LOAD(w.done));
	daxl_writer_leave(&fa.rl, count);
	pthread_join(thread, NULL);
	ck_assert(w.done);
}
END_TEST

/* The Dekker of count and mark: parked between its count and its look, a writer is waited for or sees the mark. */
static unsigned parked; /* atomic: 1 parked, 2 go on */

static void park_writer(const char *point, void *arg)
{
	(void)arg;
	if (strcmp(point, "writer:counted") == 0 && LOAD(parked) == 0) {
		STORE(parked, 1);
		AWAIT(LOAD(parked) == 2);
	}
}

START_TEST(a_writer_parked_before_its_look_sees_the_mark)
{
	struct writer w = { .f = &fa, .start = 0, .end = 10 }, c = w;
	pthread_t writer, changer;

	daxl_hook_set(park_writer, NULL);
	ck_assert_int_eq(pthread_create(&writer, NULL, write_once, &w), 0);
	AWAIT(LOAD(parked) == 1);
	ck_assert_int_eq(pthread_create(&changer, NULL, change_once, &c), 0);
	AWAIT(LOAD(fa.rl.nchanging) == 1);
	ck_assert(!LOAD(c.done)); /* it is counted */
	STORE(parked, 2);
	pthread_join(changer, NULL); /* it has uncounted itself, though it wants the range */
	pthread_join(writer, NULL);
	daxl_hook_set(NULL, NULL);
	ck_assert_int_eq(w.rc, 0);
}
END_TEST

static unsigned long shared_word; /* plain */

static void *write_loop(void *arg)
{
	struct writer *w = arg;

	while (!LOAD(w->stop)) {
		uint64_t *count;

		ck_assert_int_eq(daxl_writer_enter(&w->f->rl, w->start, w->end, &count), 0);
		if (w->start == 0)
			ck_assert_uint_ne(__atomic_load_n(&shared_word, __ATOMIC_RELAXED), 1);
		daxl_writer_leave(&w->f->rl, count);
		w->n++;
	}
	return NULL;
}

/* Writers over the range never meet the change, and a stream of writers, there or elsewhere, does not hold changes up. */
START_TEST(changes_and_writers_never_meet_and_neither_starves)
{
	struct writer w[3] = {
		{ .f = &fa, .start = 0, .end = 10 },
		{ .f = &fa, .start = 100, .end = 101 },
		{ .f = &fa, .start = 100, .end = 101 },
	};
	pthread_t thread[3];

	for (unsigned i = 0; i < 3; i++)
		ck_assert_int_eq(pthread_create(&thread[i], NULL, write_loop, &w[i]), 0);
	for (unsigned i = 0; i < 3000; i++) {
		struct daxl_break brk;

		ck_assert_int_eq(try_break(&brk, &fa, 0, 10), 0);
		ck_assert_int_eq(daxl_break_change(&brk), 0);
		__atomic_store_n(&shared_word, 1, __ATOMIC_RELAXED);
		__atomic_store_n(&shared_word, 2, __ATOMIC_RELAXED);
		daxl_break_leave(&brk);
	}
	for (unsigned i = 0; i < 3; i++) {
		STORE(w[i].stop, true);
		pthread_join(thread[i], NULL);
	}
}
END_TEST

static void *settle_once(void *arg)
{
	struct writer *w = arg;
	struct daxl_lease_opts opts = DAXL_LEASE_OPTS_INIT;

	opts.flags = DAXL_LEASE_STABLE;
	struct daxl_lease *l = grant(w->f, w->start, w->end, &opts);

	STORE(w->done, true);
	daxl_lease_free(l);
	return NULL;
}

START_TEST(a_stable_grant_waits_for_the_writers_counted_before)
{
	struct writer w = { .f = &fa, .start = 0, .end = 10 };
	uint64_t *count;
	pthread_t thread;

	ck_assert_int_eq(daxl_writer_enter(&fa.rl, 3, 4, &count), 0);
	ck_assert(!daxl_solid_conflict(&fa.rl, 3, 4, 0));
	ck_assert_int_eq(pthread_create(&thread, NULL, settle_once, &w), 0);
	AWAIT(LOAD(fa.rl.nsettling) == 1);
	ck_assert(!LOAD(w.done));
	daxl_writer_leave(&fa.rl, count);
	pthread_join(thread, NULL);
}
END_TEST

START_TEST(solid_leases_of_others_conflict_with_writers)
{
	for (uint32_t flag = 0; flag < 2; flag++) {
		struct daxl_lease_opts opts = DAXL_LEASE_OPTS_INIT;

		opts.flags = flag ? DAXL_LEASE_STABLE : DAXL_LEASE_EXCLUSIVE;
		opts.owner = 7;
		struct daxl_lease *l = grant(&fa, 0, 10, &opts);

		ck_assert(daxl_solid_conflict(&fa.rl, 9, 11, 0));
		ck_assert(daxl_solid_conflict(&fa.rl, 9, 11, 8));
		ck_assert(!daxl_solid_conflict(&fa.rl, 9, 11, 7));
		ck_assert(!daxl_solid_conflict(&fa.rl, 10, 11, 8));
		ck_assert_int_eq(daxl_lease_pin(l), 0);
		ck_assert_int_eq(daxl_lease_return(l), 0);
		ck_assert(!daxl_solid_conflict(&fa.rl, 9, 11, 8)); /* returned, though pinned */
		daxl_lease_unpin(l);
		daxl_lease_free(l);
	}
}
END_TEST

START_TEST(holders_are_listed_once_each)
{
	struct daxl_holder out[2];
	uint64_t leases, pins;
	struct daxl_lease_opts opts = DAXL_LEASE_OPTS_INIT;

	opts.owner = 5;
	struct daxl_lease *a = grant(&fa, 0, 30, &opts), *b = grant(&fa, 10, DAXL_FBLK_INF, NULL), *c = grant(&fa, 0, 5, NULL);

	ck_assert_int_eq(daxl_lease_return_range(a, 4096 * 10, 4096 * 5), 0); /* two pieces */
	ck_assert_int_eq(daxl_lease_pin(a), 0);
	ck_assert_int_eq(daxl_lease_return(c), 0);
	ck_assert_uint_eq(daxl_range_holders(&fa.rl, 0, DAXL_FBLK_INF, 12, NULL, 0), 2);
	ck_assert_uint_eq(daxl_range_holders(&fa.rl, 0, DAXL_FBLK_INF, 12, out, 2), 2);
	ck_assert_uint_eq(out[0].owner, 5);
	ck_assert_uint_eq(out[0].pins, 1);
	ck_assert_uint_eq(out[0].off, 0);
	ck_assert_uint_eq(out[0].len, 4096 * 30);
	ck_assert_uint_eq(out[1].len, (uint64_t)DAXL_TO_END);
	ck_assert_uint_eq(daxl_range_holders(&fa.rl, 11, 12, 12, out, 2), 1);
	daxl_range_counts(&fa.rl, &leases, &pins);
	ck_assert_uint_eq(leases, 2);
	ck_assert_uint_eq(pins, 1);
	ck_assert_int_eq(daxl_lease_return(a), 0);
	ck_assert_uint_eq(daxl_range_holders(&fa.rl, 0, 5, 12, out, 2), 1); /* returned with a pin */
	ck_assert_uint_eq(out[0].state, DAXL_LEASE_RETURNED);
	daxl_lease_unpin(a);
	ck_assert_uint_eq(daxl_range_holders(&fa.rl, 0, 5, 12, out, 2), 0);
	daxl_lease_free(a);
	daxl_lease_free(b);
	daxl_lease_free(c);
}
END_TEST

START_TEST(other_writers_are_found_piece_by_piece)
{
	struct daxl_lease_opts opts = DAXL_LEASE_OPTS_INIT;
	uint64_t s, e;

	opts.mode = DAXL_LEASE_WRITE;
	struct daxl_lease *a = grant(&fa, 10, 20, &opts), *b = grant(&fa, 15, 30, &opts), *self = grant(&fa, 0, 40, &opts);
	struct daxl_lease *r = grant(&fa, 0, 40, NULL);

	ck_assert_int_eq(daxl_lease_pin(a), 0);
	ck_assert_int_eq(daxl_lease_return(a), 0);
	ck_assert_int_eq(daxl_lease_other_writer(&fa.rl, self, 0, 40, &s, &e), 2);
	ck_assert_uint_eq(s, 10);
	ck_assert_uint_eq(e, 15); /* from there the unreturned one has the say */
	ck_assert_int_eq(daxl_lease_other_writer(&fa.rl, self, 15, 40, &s, &e), 1);
	ck_assert_uint_eq(s, 15);
	ck_assert_uint_eq(e, 30);
	ck_assert_int_eq(daxl_lease_other_writer(&fa.rl, self, 30, 40, &s, &e), 0);
	daxl_lease_unpin(a);
	ck_assert_int_eq(daxl_lease_other_writer(&fa.rl, self, 0, 15, &s, &e), 0);
	daxl_lease_free(a);
	daxl_lease_free(b);
	daxl_lease_free(r);
	daxl_lease_free(self);
}
END_TEST

/* What is to be found over a block: 1 an unreturned WRITE lease, 2 only pins of one that is returned or downgraded. */
static int writer_of(uint64_t block, struct daxl_lease **leases, unsigned n, const struct daxl_lease *self)
{
	int state = 0;

	for (unsigned i = 0; i < n; i++) {
		const struct daxl_lease *l = leases[i];

		if (l == self || block < l->start || block >= l->end)
			continue;
		if (l->mode == DAXL_LEASE_WRITE && !(LOAD(l->word) & DAXL_LW_OVER))
			return 1;
		if ((l->mode == DAXL_LEASE_WRITE || l->was_write) && (LOAD(l->word) & DAXL_LW_PINS))
			state = 2;
	}
	return state;
}

START_TEST(other_writers_agree_with_a_look_at_each_block)
{
	enum { LEASES = 6, BLOCKS = 24 };
	uint64_t random = seed_of() | 1;

	for (unsigned round = 0; round < 2000; round++) {
		struct daxl_lease *leases[LEASES];
		bool pinned[LEASES];

		for (unsigned i = 0; i < LEASES; i++) {
			struct daxl_lease_opts opts = DAXL_LEASE_OPTS_INIT;
			uint64_t start = next_random(&random) % BLOCKS, len = 1 + next_random(&random) % (BLOCKS - start);

			opts.mode = next_random(&random) % 4 ? DAXL_LEASE_WRITE : DAXL_LEASE_READ;
			leases[i] = grant(&fa, start, start + len, &opts);
			pinned[i] = next_random(&random) % 2 && daxl_lease_pin(leases[i]) == 0;
			if (next_random(&random) % 3 == 0)
				ck_assert_int_eq(daxl_lease_return(leases[i]), 0);
			else if (next_random(&random) % 3 == 0)
				ck_assert_int_eq(daxl_lease_downgrade(leases[i]), 0);
		}
		for (uint64_t at = 0, s = 0, e = 0; at < BLOCKS; at = e) {
			int state = daxl_lease_other_writer(&fa.rl, leases[0], at, BLOCKS, &s, &e);

			if (state == 0)
				s = e = BLOCKS;
			ck_assert(at <= s && s <= e && (state == 0 || s < e) && e <= BLOCKS);
			for (uint64_t b = at; b < e; b++)
				ck_assert_int_eq(writer_of(b, leases, LEASES, leases[0]), b < s ? 0 : state);
		}
		for (unsigned i = 0; i < LEASES; i++) {
			if (pinned[i])
				daxl_lease_unpin(leases[i]);
			daxl_lease_free(leases[i]);
		}
	}
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		overlapping_requests_exclude_each_other_and_touching_ones_do_not,
		a_request_takes_a_place_once_there_is_another,
		no_lease_is_granted_in_a_closed_range,
		overlapping_requests_are_served_in_order_of_arrival,
		a_waiting_request_keeps_later_ones_behind_it,
		time_that_passes_in_the_queue_is_a_timeout_whatever_was_chosen,
		widening_waits_for_who_is_served_and_passes_who_is_not,
		two_file_requests_in_any_order_do_not_deadlock,
		a_writer_waits_while_its_range_is_changing_and_no_other_does,
		a_change_waits_for_the_writers_counted_before,
		a_writer_parked_before_its_look_sees_the_mark,
		changes_and_writers_never_meet_and_neither_starves,
		a_stable_grant_waits_for_the_writers_counted_before,
		solid_leases_of_others_conflict_with_writers,
		holders_are_listed_once_each,
		other_writers_are_found_piece_by_piece,
		other_writers_agree_with_a_look_at_each_block,
	};

	return suite_main("range_lock", tests, DAXL_ARRAY_LEN(tests));
}
