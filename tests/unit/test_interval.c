/* SPDX-License-Identifier: BSD-3-Clause */
/* The interval index against a list that is searched whole. */
#include "lease_help.h"

#define SPANS 300u
#define TURNS 20000u

struct found {
	struct daxl_lease_span *span[SPANS];
	size_t n, stop_after;
};

static int collect(struct daxl_lease_span *span, void *arg)
{
	struct found *f = arg;

	f->span[f->n++] = span;
	return f->n == f->stop_after ? 42 : 0;
}

static void compare(struct daxl_lease_span *root, const struct daxl_lease_span *all, const bool *in, uint64_t start, uint64_t end)
{
	struct found f = { 0 };
	size_t expected = 0;

	ck_assert_int_eq(daxl_interval_each(root, start, end, collect, &f), 0);
	for (size_t i = 0; i < SPANS; i++)
		expected += in[i] && all[i].start < end && start < all[i].end;
	ck_assert_uint_eq(f.n, expected);
	for (size_t i = 0; i < f.n; i++) {
		ck_assert(in[f.span[i] - all]);
		ck_assert(f.span[i]->start < end && start < f.span[i]->end);
		ck_assert(i == 0 || f.span[i - 1]->start <= f.span[i]->start);
	}
}

START_TEST(finds_exactly_what_overlaps_in_order_of_start)
{
	static struct daxl_lease_span all[SPANS];
	static bool in[SPANS];
	struct daxl_lease_span *root = NULL;
	uint64_t state = seed_of() | 1;

	for (unsigned turn = 0; turn < TURNS; turn++) {
		size_t i = next_random(&state) % SPANS;

		if (in[i]) {
			daxl_interval_erase(&root, &all[i]);
		} else {
			all[i].start = next_random(&state) % 1000;
			all[i].end = next_random(&state) % 50 == 0 ? DAXL_FBLK_INF : all[i].start + 1 + next_random(&state) % 40;
			daxl_interval_insert(&root, &all[i]);
		}
		in[i] = !in[i];
		if (turn % 10 == 0) {
			uint64_t start = next_random(&state) % 1100;

			compare(root, all, in, start, start + 1 + next_random(&state) % 100);
		}
	}
	compare(root, all, in, 0, DAXL_FBLK_INF);
	for (size_t i = 0; i < SPANS; i++)
		if (in[i])
			daxl_interval_erase(&root, &all[i]);
	ck_assert_ptr_null(root);
}
END_TEST

START_TEST(touching_ranges_do_not_overlap)
{
	struct daxl_lease_span s = { .start = 10, .end = 20 }, *root = NULL;
	struct found f = { 0 };

	daxl_interval_insert(&root, &s);
	(void)daxl_interval_each(root, 0, 10, collect, &f);
	(void)daxl_interval_each(root, 20, DAXL_FBLK_INF, collect, &f);
	ck_assert_uint_eq(f.n, 0);
	(void)daxl_interval_each(root, 19, 20, collect, &f);
	(void)daxl_interval_each(root, 0, 11, collect, &f);
	ck_assert_uint_eq(f.n, 2);
}
END_TEST

START_TEST(a_nonzero_answer_stops)
{
	struct daxl_lease_span s[5], *root = NULL;
	struct found f = { .stop_after = 2 };

	for (unsigned i = 0; i < 5; i++) {
		s[i] = (struct daxl_lease_span){ .start = i, .end = 10 };
		daxl_interval_insert(&root, &s[i]);
	}
	ck_assert_int_eq(daxl_interval_each(root, 0, 10, collect, &f), 42);
	ck_assert_uint_eq(f.n, 2);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		finds_exactly_what_overlaps_in_order_of_start,
		touching_ranges_do_not_overlap,
		a_nonzero_answer_stops,
	};

	return suite_main("interval", tests, DAXL_ARRAY_LEN(tests));
}
