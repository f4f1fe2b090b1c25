/* SPDX-License-Identifier: BSD-3-Clause */
/* The life of one lease: pins, recall, return, parts, downgrade, the end. The rules of lease/word.h by number. */
#include "lease_help.h"

START_TEST(pins_are_for_live_leases_only)
{
	struct daxl_lease *l = grant(&fa, 0, 10, NULL);

	ck_assert_int_eq(daxl_lease_state(l), DAXL_LEASE_LIVE);
	ck_assert_int_eq(daxl_lease_pin(l), 0);
	ck_assert_int_eq(daxl_lease_pin(l), 0);
	daxl_lease_unpin(l);
	ck_assert_int_eq(daxl_lease_return(l), 0);
	ck_assert_int_eq(daxl_lease_pin(l), -ESTALE);
	ck_assert_int_eq(daxl_lease_state(l), DAXL_LEASE_RETURNED);
	ck_assert_uint_eq(fa.rl.nspans, 1); /* one pin is out */
	daxl_lease_unpin(l);
	daxl_lease_free(l);
}
END_TEST

START_TEST(a_recalled_lease_takes_no_pin_and_can_still_commit)
{
	struct daxl_wait nowait = DAXL_WAIT_INIT;
	struct daxl_lease_opts opts = DAXL_LEASE_OPTS_INIT;
	struct daxl_lease *l;

	nowait.timeout_ms = 0;
	opts.mode = DAXL_LEASE_WRITE;
	l = grant(&fa, 0, 10, &opts);
	ck_assert_int_eq(daxl_lease_pin(l), 0);
	ck_assert_int_eq(run_break(&fa, 0, 10, DAXL_LEVEL_U, &nowait), -EAGAIN);
	ck_assert_int_eq(daxl_lease_state(l), DAXL_LEASE_RECALLED);
	ck_assert_int_eq(daxl_lease_pin(l), -ESTALE);
	ck_assert(daxl_lease_may_commit(l));
	ck_assert(!daxl_lease_is_stale(l));
	daxl_lease_unpin(l);
	ck_assert_int_eq(daxl_lease_return(l), 0);
	ck_assert(!daxl_lease_may_commit(l));
	ck_assert(daxl_lease_is_stale(l));
	ck_assert_int_eq(run_break(&fa, 0, 10, DAXL_LEVEL_U, &nowait), 0);
	daxl_lease_free(l);
}
END_TEST

START_TEST(returning_twice_does_nothing)
{
	struct daxl_lease *l = grant(&fa, 0, 10, NULL);

	ck_assert_int_eq(daxl_lease_return(l), 0);
	ck_assert_int_eq(daxl_lease_return(l), 0);
	ck_assert_uint_eq(fa.rl.nspans, 0);
	ck_assert_int_eq(fa.refs, 1);
	daxl_lease_free(l);
	ck_assert_int_eq(fa.refs, 0);
}
END_TEST

/* Rule 4, P35: the last unpin frees, once, also when handle, file and breaker are long done. */
START_TEST(a_free_with_pins_out_leaves_the_rest_to_the_last_unpin)
{
	struct holder h = { 0 };

	hold(&h, &fa, 0, 10, NULL);
	ck_assert_int_eq(daxl_lease_pin(h.lease), 0);
	ck_assert_int_eq(daxl_lease_pin(h.lease), 0);
	daxl_lease_free(h.lease);
	ck_assert_int_eq(h.releases, 0);
	ck_assert_int_eq(fa.refs, 1);
	daxl_lease_unpin(h.lease);
	ck_assert_int_eq(h.releases, 0);
	daxl_lease_unpin(h.lease);
	ck_assert_int_eq(h.releases, 1);
	ck_assert_int_eq(fa.refs, 0);
}
END_TEST

/* P6: a pin that outlives its returned lease still counts. */
START_TEST(pins_of_a_returned_lease_hold_up_u_and_not_w)
{
	struct daxl_wait nowait = DAXL_WAIT_INIT;
	struct holder h = { 0 };

	hold(&h, &fa, 0, 10, NULL);
	struct daxl_lease *l = h.lease;

	nowait.timeout_ms = 0;
	ck_assert_int_eq(daxl_lease_pin(l), 0);
	ck_assert_int_eq(daxl_lease_return(l), 0);
	ck_assert_int_eq(run_break(&fa, 0, 10, DAXL_LEVEL_W, &nowait), 0);
	ck_assert_int_eq(run_break(&fa, 0, 10, DAXL_LEVEL_U, &nowait), -EAGAIN);
	ck_assert_int_eq(daxl_lease_state(l), DAXL_LEASE_RETURNED);
	ck_assert_int_eq(h.recalls, 0); /* rule 2 */
	daxl_lease_free(l);
	ck_assert_int_eq(run_break(&fa, 0, 10, DAXL_LEVEL_U, &nowait), -EAGAIN);
	daxl_lease_unpin(l);
	ck_assert_int_eq(run_break(&fa, 0, 10, DAXL_LEVEL_U, &nowait), 0);
}
END_TEST

/* Rule 6. */
START_TEST(an_implicit_pin_lasts_until_the_return)
{
	struct daxl_lease_opts opts = DAXL_LEASE_OPTS_INIT;
	struct daxl_wait nowait = DAXL_WAIT_INIT;
	struct daxl_lease_stat st;
	uint64_t s, e;

	nowait.timeout_ms = 0;
	opts.flags = DAXL_LEASE_IMPLICIT_PIN;
	struct daxl_lease *l = grant(&fa, 0, 10, &opts);

	ck_assert(busy_piece(&fa, 5, 20, &s, &e));
	ck_assert_uint_eq(s, 5);
	ck_assert_uint_eq(e, 10);
	ck_assert_int_eq(daxl_lease_stat(l, &st), 0);
	ck_assert_uint_eq(st.pins, 0);
	ck_assert_int_eq(daxl_lease_return_range(l, 0, 4096), 0); /* it is no explicit pin */
	ck_assert_int_eq(run_break(&fa, 0, 1, DAXL_LEVEL_U, &nowait), 0);
	ck_assert_int_eq(run_break(&fa, 0, 2, DAXL_LEVEL_U, &nowait), -EAGAIN);
	ck_assert_int_eq(daxl_lease_return(l), 0);
	ck_assert_int_eq(run_break(&fa, 0, 10, DAXL_LEVEL_U, &nowait), 0);
	daxl_lease_free(l);
}
END_TEST

static int list_spans(uint64_t start, uint64_t end, void *arg)
{
	char *text = arg;

	sprintf(text + strlen(text), "%llu-%llu ", (unsigned long long)start, (unsigned long long)end);
	return 0;
}

static void spans_are(struct daxl_lease *l, const char *expected)
{
	char text[200] = "";

	ck_assert_int_eq(daxl_lease_each_span(l, list_spans, text), 0);
	ck_assert_str_eq(text, expected);
}

START_TEST(returned_parts_leave_pieces)
{
	struct daxl_lease_stat st;
	struct daxl_lease *l = grant(&fa, 0, 100, NULL);

	ck_assert_int_eq(daxl_lease_return_range(l, 4096 * 40 + 1, 4096 * 20), 0); /* rounded inwards: 41 to 60 */
	spans_are(l, "0-41 60-100 ");
	ck_assert(daxl_lease_covers(l, 0, 41) && !daxl_lease_covers(l, 40, 42) && daxl_lease_covers(l, 60, 100));
	ck_assert_int_eq(daxl_lease_return_range(l, 4096 * 10, 4096 * 5), 0);
	ck_assert_int_eq(daxl_lease_return_range(l, 4096 * 70, 4096 * 10), 0);
	spans_are(l, "0-10 15-41 60-70 80-100 ");
	ck_assert_int_eq(daxl_lease_return_range(l, 0, 4096 * 65), 0); /* across pieces */
	spans_are(l, "65-70 80-100 ");
	ck_assert_int_eq(daxl_lease_stat(l, &st), 0);
	ck_assert_uint_eq(st.off, 4096 * 65);
	ck_assert_uint_eq(st.len, 4096 * 35);
	ck_assert_int_eq(daxl_lease_return_range(l, 4096 * 80, 100), 0); /* less than a block */
	spans_are(l, "65-70 80-100 ");
	ck_assert_uint_eq(fa.rl.nspans, 1);
	ck_assert_int_eq(daxl_lease_state(l), DAXL_LEASE_LIVE);
	ck_assert_int_eq(daxl_lease_return_range(l, 0, DAXL_TO_END), 0);
	ck_assert_int_eq(daxl_lease_state(l), DAXL_LEASE_RETURNED);
	ck_assert_int_eq(daxl_lease_return_range(l, -1, 1), -EINVAL);
	ck_assert_int_eq(daxl_lease_return_range(l, 0, 0), -EINVAL);
	daxl_lease_free(l);
}
END_TEST

START_TEST(no_part_is_returned_under_pins)
{
	struct daxl_lease *l = grant(&fa, 0, 100, NULL);

	ck_assert_int_eq(daxl_lease_pin(l), 0);
	ck_assert_int_eq(daxl_lease_return_range(l, 0, 4096), -EBUSY);
	daxl_lease_unpin(l);
	ck_assert_int_eq(daxl_lease_return_range(l, 0, 4096), 0);
	daxl_lease_free(l);
}
END_TEST

START_TEST(parts_at_random_agree_with_a_bitmap)
{
	uint64_t state = seed_of() | 1;

	for (unsigned round = 0; round < 50; round++) {
		bool in[64];
		struct daxl_lease *l = grant(&fa, 0, 64, NULL);

		memset(in, 1, sizeof(in));
		for (unsigned i = 0; i < 20 && daxl_lease_state(l) == DAXL_LEASE_LIVE; i++) {
			uint64_t start = next_random(&state) % 64, n = 1 + next_random(&state) % 8;
			char text[400] = "", expected[400] = "";
			bool any = false;

			ck_assert_int_eq(daxl_lease_return_range(l, (off_t)(start * BLOCK), (off_t)(n * BLOCK)), 0);
			for (uint64_t b = start; b < start + n && b < 64; b++)
				in[b] = false;
			for (uint64_t b = 0; b < 64; b++) {
				any |= in[b];
				if (in[b] && (b == 0 || !in[b - 1]))
					sprintf(expected + strlen(expected), "%llu-", (unsigned long long)b);
				if (in[b] && (b == 63 || !in[b + 1]))
					sprintf(expected + strlen(expected), "%llu ", (unsigned long long)b + 1);
			}
			ck_assert_int_eq(daxl_lease_state(l) == DAXL_LEASE_LIVE, any);
			if (any) {
				ck_assert_int_eq(daxl_lease_each_span(l, list_spans, text), 0);
				ck_assert_str_eq(text, expected);
			}
		}
		daxl_lease_free(l);
	}
}
END_TEST

START_TEST(a_downgrade_drops_write_and_exclusive)
{
	struct daxl_lease_opts opts = DAXL_LEASE_OPTS_INIT;
	struct daxl_lease_stat st;

	opts.mode = DAXL_LEASE_WRITE;
	opts.flags = DAXL_LEASE_EXCLUSIVE;
	struct daxl_lease *l = grant(&fa, 0, 10, &opts);

	ck_assert_uint_eq(fa.rl.nsolid, 1);
	ck_assert_int_eq(daxl_lease_downgrade(l), 0);
	ck_assert_uint_eq(fa.rl.nsolid, 0);
	ck_assert_int_eq(daxl_lease_stat(l, &st), 0);
	ck_assert_uint_eq(st.mode, DAXL_LEASE_READ);
	ck_assert_uint_eq(st.flags, 0);
	ck_assert(!daxl_lease_may_commit(l));
	daxl_lease_free(grant(&fa, 0, 10, NULL)); /* nobody is in the way any more */
	ck_assert_int_eq(daxl_lease_return(l), 0);
	ck_assert_int_eq(daxl_lease_downgrade(l), -ESTALE);
	daxl_lease_free(l);
}
END_TEST

/* "Does not answer a recall": and what was pinned for writing goes on being written. */
START_TEST(a_downgrade_does_not_let_a_break_go_on)
{
	struct daxl_clause writers = { .start = 0, .end = 10, .level = DAXL_LEVEL_U, .who = DAXL_WHO_WRITE };
	struct daxl_lease_opts opts = DAXL_LEASE_OPTS_INIT;
	struct daxl_wait nowait = DAXL_WAIT_INIT;

	nowait.timeout_ms = 0;
	opts.mode = DAXL_LEASE_WRITE;
	for (int pinned = 0; pinned < 2; pinned++) {
		struct daxl_lease *l = grant(&fa, 0, 10, &opts);

		if (pinned)
			ck_assert_int_eq(daxl_lease_pin(l), 0);
		else
			ck_assert_int_eq(run_break(&fa, 0, 10, DAXL_LEVEL_U, &nowait), -EAGAIN);
		ck_assert_int_eq(daxl_lease_downgrade(l), 0);
		struct daxl_break brk;

		ck_assert_int_eq(daxl_break_init(&brk, domain, &nowait, NULL, DAXL_REASON_CLONE, false), 0);
		daxl_break_add(&brk, &fa.rl, 0, 10);
		ck_assert_int_eq(daxl_break_enter(&brk), 0);
		ck_assert_int_eq(daxl_break_recall(&brk, &writers, 1), -EAGAIN);
		if (pinned)
			daxl_lease_unpin(l);
		ck_assert_int_eq(daxl_lease_return(l), 0);
		ck_assert_int_eq(daxl_break_recall(&brk, &writers, 1), 0);
		daxl_break_leave(&brk);
		daxl_lease_free(l);
	}
}
END_TEST

static void *break_now(void *arg)
{
	struct daxl_wait nowait = DAXL_WAIT_INIT;

	nowait.timeout_ms = 0;
	*(int *)arg = run_break(&fa, 0, 10, DAXL_LEVEL_U, &nowait);
	return NULL;
}

/* The notice is delivered without the range mutex while the holder downgrades: ThreadSanitizer looks at the flags. */
START_TEST(a_downgrade_while_the_notice_is_delivered)
{
	struct daxl_lease_opts opts = DAXL_LEASE_OPTS_INIT;

	opts.mode = DAXL_LEASE_WRITE;
	opts.flags = DAXL_LEASE_EXCLUSIVE;
	for (int round = 0; round < 50; round++) {
		struct daxl_lease *l = grant(&fa, 0, 10, &opts);
		pthread_t thread;
		int rc;

		ck_assert_int_eq(pthread_create(&thread, NULL, break_now, &rc), 0);
		AWAIT(daxl_lease_state(l) == DAXL_LEASE_RECALLED);
		ck_assert_int_eq(daxl_lease_downgrade(l), 0);
		ck_assert_int_eq(pthread_join(thread, NULL), 0);
		ck_assert_int_eq(rc, -EAGAIN);
		ck_assert_int_eq(daxl_lease_return(l), 0);
		daxl_lease_free(l);
	}
}
END_TEST

START_TEST(log_credit_comes_back_once_however_the_lease_ends)
{
	struct daxl_lease_opts opts = DAXL_LEASE_OPTS_INIT;

	opts.mode = DAXL_LEASE_WRITE;
	for (int way = 0; way < 4; way++) {
		struct daxl_lease *l = create_lease(&fa, 0, 10, &opts);

		fa.credit = 0;
		daxl_lease_set_credit(l, 3);
		if (way == 0) {
			daxl_lease_discard(l);
			ck_assert_uint_eq(fa.credit, 3);
			continue;
		}
		ADD(fa.refs, 1);
		ck_assert(daxl_lease_try_grant(l, NULL, NULL));
		if (way == 1)
			ck_assert_int_eq(daxl_lease_return(l), 0);
		else if (way == 2)
			ck_assert_int_eq(daxl_lease_downgrade(l), 0);
		else
			ck_assert_uint_eq(daxl_lease_take_credit(l), 3);
		ck_assert_uint_eq(fa.credit, way == 3 ? 0 : 3);
		if (way == 3) { /* a commit that refills just after the return */
			ck_assert_int_eq(daxl_lease_return(l), 0);
			daxl_lease_set_credit(l, 3);
		}
		daxl_lease_free(l);
		ck_assert_uint_eq(fa.credit, 3);
	}
}
END_TEST

START_TEST(options_are_checked)
{
	struct daxl_lease_opts opts = DAXL_LEASE_OPTS_INIT;

	opts.mode = 2;
	ck_assert_int_eq(daxl_lease_check_opts(&opts), -EINVAL);
	opts.mode = DAXL_LEASE_READ;
	opts.flags = 1u << 20;
	ck_assert_int_eq(daxl_lease_check_opts(&opts), -EINVAL);
}
END_TEST

#define PINNERS 3

struct race {
	struct holder h;
	unsigned ready; /* atomic */
	bool go;        /* atomic */
};

/* A worker of the holder: it has a pin of its own, given back whenever; between, it tries for more. */
static void *pinner(void *arg)
{
	struct race *r = arg;

	ADD(r->ready, 1);
	AWAIT(LOAD(r->go));
	while (daxl_lease_pin(r->h.lease) == 0)
		daxl_lease_unpin(r->h.lease);
	daxl_lease_unpin(r->h.lease);
	return NULL;
}

/* P39, rules 1 to 5: return, recall, free and late unpins against each other. One release, no use after free (ASan), no race (TSan). */
START_TEST(late_unpins_race_with_break_return_and_free)
{
	for (unsigned round = 0; round < 2000; round++) {
		struct race r = { 0 };
		struct breaker b = BREAKER(&fa, 0, 10, DAXL_LEVEL_U);
		pthread_t thread[PINNERS];

		hold(&r.h, &fa, 0, 10, NULL);
		for (unsigned i = 0; i < PINNERS; i++) {
			ck_assert_int_eq(daxl_lease_pin(r.h.lease), 0);
			ck_assert_int_eq(pthread_create(&thread[i], NULL, pinner, &r), 0);
		}
		AWAIT(LOAD(r.ready) == PINNERS);
		start_breaker(&b);
		STORE(r.go, true);
		if (round % 3 == 0)
			AWAIT(LOAD(r.h.recalls) == 1);
		/* The handle's end makes pin illegal: the workers have to have seen the return. */
		ck_assert_int_eq(daxl_lease_return(r.h.lease), 0);
		if (round % 2)
			for (unsigned i = 0; i < PINNERS; i++)
				pthread_join(thread[i], NULL);
		if (round % 2)
			daxl_lease_free(r.h.lease);
		ck_assert_int_eq(join_breaker(&b), 0);
		if (round % 2 == 0)
			for (unsigned i = 0; i < PINNERS; i++)
				pthread_join(thread[i], NULL);
		if (round % 2 == 0)
			daxl_lease_free(r.h.lease);
		ck_assert_int_eq(LOAD(r.h.releases), 1);
		ck_assert_int_le(LOAD(r.h.recalls), 1);
	}
}
END_TEST

struct one_unpin {
	struct daxl_lease *lease;
	bool go; /* atomic */
};

static void *unpin_once(void *arg)
{
	struct one_unpin *u = arg;

	AWAIT(LOAD(u->go));
	daxl_lease_unpin(u->lease);
	return NULL;
}

/* The last unpin against the free: exactly one of them is the last. */
START_TEST(free_and_last_unpin_agree_on_who_is_last)
{
	for (unsigned round = 0; round < 3000; round++) {
		struct holder h = { 0 };
		struct one_unpin u = { 0 };
		pthread_t thread;

		hold(&h, &fa, 0, 10, NULL);
		u.lease = h.lease;
		ck_assert_int_eq(daxl_lease_pin(h.lease), 0);
		ck_assert_int_eq(pthread_create(&thread, NULL, unpin_once, &u), 0);
		STORE(u.go, true);
		daxl_lease_free(h.lease);
		pthread_join(thread, NULL);
		ck_assert_int_eq(LOAD(h.releases), 1);
		ck_assert_int_eq(LOAD(fa.refs), 0);
	}
}
END_TEST

/* How often limbo's reference is handed on from here to where no step is left, on every way; all agree. */
static unsigned drains_from(uint64_t w)
{
	const uint64_t next[] = {
		w & DAXL_LW_PINS ? w - DAXL_LW_PIN : w, /* an unpin */
		w | DAXL_LW_RETURNED,
		w | DAXL_LW_FENCED,
	};
	unsigned drains = 0;
	bool any = false;

	for (size_t i = 0; i < DAXL_ARRAY_LEN(next); i++) {
		if (next[i] == w || (next[i] & DAXL_LW_FENCED && !(w & DAXL_LW_FENCED) && daxl_lw_drained(w)))
			continue;
		unsigned n = (unsigned)daxl_lw_drains_limbo(w, next[i]) + drains_from(next[i]);

		ck_assert(!any || n == drains);
		drains = n;
		any = true;
	}
	return drains;
}

/* Rule 5. */
START_TEST(one_step_drains_limbo)
{
	for (uint64_t pins = 0; pins < 4; pins++)
		for (unsigned i = 0; i < 4; i++) {
			uint64_t w = pins | (i & 1 ? DAXL_LW_RETURNED : DAXL_LW_RECALLED) | (i & 2 ? DAXL_LW_IMPLICIT : 0);

			ck_assert_uint_eq(drains_from(w), 0);
			w |= DAXL_LW_LIMBO;
			ck_assert_uint_eq(drains_from(w), daxl_lw_busy(w));
		}
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		pins_are_for_live_leases_only,
		a_recalled_lease_takes_no_pin_and_can_still_commit,
		returning_twice_does_nothing,
		a_free_with_pins_out_leaves_the_rest_to_the_last_unpin,
		pins_of_a_returned_lease_hold_up_u_and_not_w,
		an_implicit_pin_lasts_until_the_return,
		returned_parts_leave_pieces,
		no_part_is_returned_under_pins,
		parts_at_random_agree_with_a_bitmap,
		a_downgrade_drops_write_and_exclusive,
		a_downgrade_does_not_let_a_break_go_on,
		a_downgrade_while_the_notice_is_delivered,
		log_credit_comes_back_once_however_the_lease_ends,
		options_are_checked,
		late_unpins_race_with_break_return_and_free,
		free_and_last_unpin_agree_on_who_is_last,
		one_step_drains_limbo,
	};

	return suite_main("lease_word", tests, DAXL_ARRAY_LEN(tests));
}
