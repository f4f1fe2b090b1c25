/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Looking blocks up, in every form that this CPU can do, against a plain list of runs: around each boundary of ropes of
 * every number of runs in a leaf, and of deep ropes with nodes of every size. DAXL_SEED repeats a run.
 */
#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/error.h"
#include "map/rope_node.h"

#define MOST 20000u

struct place {
	daxl_fblk_t at;
	struct daxl_run run;
};

static struct daxl_slab *slab;
static struct place place[MOST];
static unsigned places;
static uint64_t seed, state;

static uint64_t below(uint64_t n)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state % n;
}

static void setup(void)
{
	const char *env = getenv("DAXL_SEED");
	seed = env ? strtoull(env, NULL, 0) : (uint64_t)time(NULL);
	printf("test_rope_lookup: DAXL_SEED=%" PRIu64 "\n", seed);
	fflush(stdout);
	state = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
	ck_assert_int_eq(daxl_slab_create(&slab), 0);
}

static void teardown(void)
{
	ck_assert_uint_eq(daxl_slab_bytes(slab), 0);
	daxl_slab_destroy(slab);
}

static uint64_t any_size(unsigned bits)
{
	return 1 + below(UINT64_C(1) << below(bits));
}

/* A list of runs that do not continue each other, the last of them no hole; blocks and lengths large and small, so that
 * a val may be less than a key or more. */
static void make_list(unsigned count)
{
	daxl_fblk_t at = 0;
	for (places = 0; places < count; places++) {
		struct place *p = &place[places];
		const struct daxl_run *last = places != 0 ? &p[-1].run : NULL;
		p->at = at;
		p->run = (struct daxl_run){ .len = any_size(44) };
		if (below(3) == 0 && places + 1 < count && (!last || last->flags != DAXL_RUN_HOLE)) {
			p->run.flags = DAXL_RUN_HOLE;
		} else {
			p->run.blk = any_size(46);
			p->run.flags = below(3) == 0 ? DAXL_RUN_UNWRITTEN : 0;
			if (last && last->blk + last->len == p->run.blk)
				p->run.blk++;
		}
		at += p->run.len;
	}
}

/* The list's rope, its runs set in order, or in any order. */
static struct daxl_node *make_rope(bool in_order)
{
	struct daxl_edit edit;
	struct daxl_dropped dropped;
	static unsigned order[MOST];
	daxl_edit_begin(&edit, slab, NULL);
	for (unsigned i = 0; i < places; i++)
		order[i] = i;
	for (unsigned i = 0; i < places; i++) {
		unsigned other = in_order ? i : i + (unsigned)below(places - i), now = order[other];
		order[other] = order[i];
		if (place[now].run.flags != DAXL_RUN_HOLE)
			ck_assert_int_eq(daxl_edit_set(&edit, place[now].at, &place[now].run), 0);
	}
	struct daxl_node *root = daxl_edit_commit(&edit, &dropped);
	daxl_dropped_free(&dropped, slab, NULL, NULL);
	ck_assert_msg(daxl_rope_verify(root) == 0, "%s", daxl_error_last());
	ck_assert_uint_eq(root->runs, places);
	return root;
}

static void discard(struct daxl_node *root)
{
	struct daxl_dropped dropped = { 0 };
	daxl_dropped_add_rope(&dropped, root);
	daxl_dropped_free(&dropped, slab, NULL, NULL);
}

static void expect(const struct place *p, uint64_t skip, const struct daxl_run *run, unsigned form)
{
	daxl_blk_t blk = p->run.flags == DAXL_RUN_HOLE ? 0 : p->run.blk + skip;
	ck_assert_msg(run->len == p->run.len - skip && run->blk == blk && run->flags == p->run.flags,
	              "seed %" PRIu64 ", form %u, %u runs, block %" PRIu64, seed, form, places, p->at + skip);
}

static void compare(const struct daxl_node *root)
{
	for (unsigned i = 0; i < places; i++) {
		const struct place *p = &place[i];
		const uint64_t skip[] = { 0, p->run.len - 1, below(p->run.len) };
		for (unsigned k = 0; k < DAXL_ARRAY_LEN(skip); k++) {
			struct daxl_run run;
			daxl_rope_lookup(root, p->at + skip[k], &run);
			expect(p, skip[k], &run, DAXL_LOOKUP_FORMS);
			for (unsigned form = 0; form < DAXL_LOOKUP_FORMS; form++) {
				if (!daxl_rope_lookup_form(form))
					continue;
				daxl_rope_lookup_form(form)(root, p->at + skip[k], &run);
				expect(p, skip[k], &run, form);
			}
		}
	}
}

/* Forms that are never run would make the rest say nothing: what the CPU can is asked of it in another way. */
START_TEST(every_form_that_the_cpu_has_is_looked_at)
{
	ck_assert(daxl_rope_lookup_form(0) != NULL);
#if defined(__x86_64__)
	ck_assert_int_eq(daxl_rope_lookup_form(1) != NULL, __builtin_cpu_supports("avx2") != 0);
	ck_assert_int_eq(daxl_rope_lookup_form(2) != NULL, __builtin_cpu_supports("avx512bw") != 0);
#else
	ck_assert(daxl_rope_lookup_form(1) == NULL && daxl_rope_lookup_form(2) == NULL);
#endif
	ck_assert(daxl_rope_lookup_form(DAXL_LOOKUP_FORMS) == NULL);
}
END_TEST

START_TEST(leaves_of_every_size)
{
	for (unsigned count = 1; count <= DAXL_NODE_MAX; count++) {
		for (unsigned round = 0; round < 20; round++) {
			make_list(count);
			struct daxl_node *root = make_rope(true);
			ck_assert_uint_eq(root->depth, 0);
			compare(root);
			discard(root);
		}
	}
}
END_TEST

START_TEST(deep_ropes)
{
	for (unsigned count = DAXL_NODE_MAX + 1; count < MOST; count += 1 + count / 4 + (unsigned)below(10)) {
		make_list(count);
		struct daxl_node *root = make_rope(below(2) == 0);
		ck_assert_uint_ne(root->depth, 0);
		compare(root);
		discard(root);
	}
}
END_TEST

START_TEST(behind_the_end_is_a_hole)
{
	struct daxl_run run;
	make_list(100);
	struct daxl_node *root = make_rope(true);
	daxl_fblk_t len = daxl_rope_len(root);
	const daxl_fblk_t at[] = { len, len + 1, DAXL_FBLK_INF - 1, DAXL_FBLK_INF, UINT64_MAX };
	for (unsigned i = 0; i < DAXL_ARRAY_LEN(at); i++) {
		for (unsigned empty = 0; empty < 2; empty++) {
			daxl_rope_lookup(empty ? NULL : root, at[i], &run);
			ck_assert_uint_eq(run.len, at[i] < DAXL_FBLK_INF ? DAXL_FBLK_INF - at[i] : 0);
			ck_assert_uint_eq(run.blk, 0);
			ck_assert_uint_eq(run.flags, DAXL_RUN_HOLE);
		}
	}
	discard(root);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("rope_lookup");
	TCase *tc = tcase_create("rope_lookup");
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, every_form_that_the_cpu_has_is_looked_at);
	tcase_add_test(tc, leaves_of_every_size);
	tcase_add_test(tc, deep_ropes);
	tcase_add_test(tc, behind_the_end_is_a_hole);
	suite_add_tcase(suite, tc);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
