/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ropes against plain arrays of words, one a block: random sequences of all edits, committed and aborted, with every
 * allocation failing in turn. After each edit: the same map, every invariant, an exact account of blocks (old + given =
 * new + dropped) and of nodes (the slab holds the two ropes and nothing else). DAXL_SEED repeats a run.
 */
#include <check.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "base/hook.h"
#include "map/rope_node.h"

#define HOLE DAXL_VAL_HOLE
#define BLOCKS_MAX 24000u
#define BLK_MAX 200000u

/* An array of words; the map ends where only holes follow. */
struct model {
	uint64_t *word; /* BLOCKS_MAX */
	unsigned len;
};

static struct daxl_slab *slab;
static struct daxl_node *root[2];
static struct model model[2], next_model[2];
static int *account; /* BLK_MAX: references owed for each block */
static uint64_t next_blk;
static uint64_t seed, state;
static unsigned limit; /* blocks of a file in this run */

static uint64_t rnd(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static unsigned below(uint64_t n)
{
	return (unsigned)(rnd() % n);
}

static unsigned small_len(void)
{
	switch (below(8)) {
	case 0:
		return 1 + below(limit / 2);
	case 1:
		return 1 + below(limit / 16 + 1);
	default:
		return 1 + below(4);
	}
}

static void model_trim(struct model *m)
{
	while (m->len != 0 && m->word[m->len - 1] == HOLE)
		m->len--;
}

static void model_grow(struct model *m, unsigned len)
{
	ck_assert_uint_le(len, BLOCKS_MAX);
	for (; m->len < len; m->len++)
		m->word[m->len] = HOLE;
}

static uint64_t model_at(const struct model *m, unsigned at)
{
	return at < m->len ? m->word[at] : HOLE;
}

/* One word is replaced: what was not there before was given by the caller. */
static void model_put(struct model *m, unsigned at, uint64_t word)
{
	bool given = word != HOLE &&
	             (m->word[at] == HOLE || daxl_val_blk(m->word[at]) != daxl_val_blk(word));
	if (given)
		account[daxl_val_blk(word)]++;
	m->word[at] = word;
}

static uint64_t fresh_blocks(unsigned len)
{
	if (next_blk + len >= BLK_MAX)
		next_blk = 1;
	uint64_t blk = next_blk;
	next_blk += len + below(2);
	return blk;
}

/* One random edit on edits[which] and its model; 0 or -ENOMEM (then the models are spoilt). */
static int random_op(struct daxl_edit *edits, unsigned which)
{
	struct daxl_edit *edit = &edits[which];
	struct model *m = &next_model[which];
	unsigned at = below(m->len + 5u), len = small_len(), from, i;
	struct daxl_run run = { 0 };
	int err;
	if (at + len > limit)
		at = at % (limit / 2), len = 1 + len % (limit / 2);
	switch (below(12)) {
	case 0:
	case 1:
	case 2: /* new blocks, sometimes continuing what stands before */
	case 3:
		run.len = len;
		run.flags = below(3) == 0 ? DAXL_RUN_UNWRITTEN : 0;
		run.blk = fresh_blocks(len);
		if (at != 0 && below(2) && model_at(m, at - 1) != HOLE &&
		    daxl_val_blk(model_at(m, at - 1)) + len + 1 < BLK_MAX) {
			run.blk = daxl_val_blk(model_at(m, at - 1)) + 1;
			run.flags = model_at(m, at - 1) & DAXL_VAL_UNWRITTEN ? DAXL_RUN_UNWRITTEN : 0;
		}
		err = daxl_edit_set(edit, at, &run);
		model_grow(m, at + len);
		for (i = 0; i < len; i++)
			model_put(m, at + i, daxl_val_advance(daxl_val_of(&run), i));
		break;
	case 4: /* the block that is there, with other flags, over whatever follows */
		if (model_at(m, at) == HOLE)
			return 0;
		run.len = len;
		run.flags = below(2) ? DAXL_RUN_UNWRITTEN : 0;
		run.blk = daxl_val_blk(model_at(m, at));
		if (run.blk + len >= BLK_MAX)
			return 0;
		err = daxl_edit_set(edit, at, &run);
		model_grow(m, at + len);
		for (i = 0; i < len; i++)
			model_put(m, at + i, daxl_val_advance(daxl_val_of(&run), i));
		break;
	case 5: /* punch */
		run.len = len;
		run.flags = DAXL_RUN_HOLE;
		err = daxl_edit_set(edit, at, &run);
		for (i = at; i < m->len && i < at + len; i++)
			m->word[i] = HOLE;
		break;
	case 6:
		err = daxl_edit_convert(edit, at, len);
		for (i = at; i < m->len && i < at + len; i++)
			m->word[i] &= ~DAXL_VAL_UNWRITTEN;
		break;
	case 7: /* cut, mostly near the end */
		if (below(8) != 0 && m->len > 8)
			at = m->len - below(8);
		err = daxl_edit_cut(edit, at);
		if (at < m->len)
			m->len = at;
		break;
	case 8:
		if (below(2))
			at = 0;
		err = daxl_edit_remove(edit, at, len);
		if (at < m->len) {
			len = len < m->len - at ? len : m->len - at;
			memmove(m->word + at, m->word + at + len, (m->len - at - len) * sizeof(*m->word));
			m->len -= len;
		}
		break;
	case 9:
		if (m->len + len > limit)
			return 0;
		err = daxl_edit_insert(edit, at, len);
		if (at < m->len) {
			memmove(m->word + at + len, m->word + at, (m->len - at) * sizeof(*m->word));
			for (i = 0; i < len; i++)
				m->word[at + i] = HOLE;
			m->len += len;
		}
		break;
	case 10: { /* copy from the published state of either rope, sometimes onto the same place */
		unsigned src = below(2);
		from = below(3) ? below(model[src].len + 3u) : at;
		err = daxl_edit_copy(edit, at, root[src], from, len);
		model_grow(m, at + len);
		for (i = 0; i < len; i++)
			model_put(m, at + i, model_at(&model[src], from + i));
		break;
	}
	default: { /* exchange with the other rope or within */
		unsigned other = below(2);
		from = below(next_model[other].len + 5u);
		if (from + len > limit || (other == which && (from < at ? at - from < len : from - at < len)))
			return 0;
		err = daxl_edit_exchange(edit, at, &edits[other], from, len);
		model_grow(m, at + len);
		model_grow(&next_model[other], from + len);
		for (i = 0; i < len; i++) {
			uint64_t word = m->word[at + i];
			m->word[at + i] = next_model[other].word[from + i];
			next_model[other].word[from + i] = word;
		}
		model_trim(&next_model[other]);
		break;
	}
	}
	model_trim(m);
	return err;
}

static int compare_run(daxl_fblk_t at, const struct daxl_run *run, void *arg)
{
	const struct model *m = arg;
	uint64_t val = daxl_val_of(run);
	for (uint64_t i = 0; i < run->len; i++) {
		if (model_at(m, (unsigned)(at + i)) != daxl_val_advance(val, i))
			return 1;
	}
	return 0;
}

static void compare(const struct daxl_node *node, struct model *m)
{
	ck_assert_msg(daxl_rope_verify(node) == 0, "seed %" PRIu64 ": %s", seed, daxl_error_last());
	ck_assert_uint_eq(daxl_rope_len(node), m->len);
	ck_assert_msg(daxl_rope_walk(node, 0, m->len + 7u, compare_run, m) == 0, "seed %" PRIu64, seed);
	for (unsigned i = 0; i < 8; i++) {
		struct daxl_run run;
		unsigned at = below(m->len + 2u);
		daxl_rope_lookup(node, at, &run);
		ck_assert_uint_eq(daxl_val_of(&run), model_at(m, at));
		if (at >= m->len)
			continue;
		for (unsigned form = 0; form < DAXL_LOOKUP_FORMS; form++) {
			struct daxl_run same;
			if (!daxl_rope_lookup_form(form))
				continue;
			daxl_rope_lookup_form(form)(node, at, &same);
			ck_assert_uint_eq(daxl_val_of(&same), daxl_val_of(&run));
			ck_assert_uint_eq(same.len, run.len);
		}
	}
}

static uint64_t tree_bytes(const struct daxl_node *node, uint64_t *nodes)
{
	if (!node)
		return 0;
	uint64_t bytes = (daxl_node_size(node->cap) + 63) / 64 * 64;
	++*nodes;
	for (unsigned i = 0; node->depth != 0 && i < node->count; i++)
		bytes += tree_bytes(daxl_node_child(node, i), nodes);
	return bytes;
}

static void settle_run(daxl_blk_t blk, daxl_nblk_t len, void *arg)
{
	(void)arg;
	for (uint64_t i = 0; i < len; i++)
		account[blk + i]--;
}

static uint64_t dropped_nodes(const struct daxl_dropped *dropped)
{
	uint64_t n = 0;
	for (const struct daxl_node *node = dropped->nodes; node; node = node->next)
		n++;
	for (const struct daxl_node *node = dropped->subtrees; node; node = node->next)
		tree_bytes(node, &n);
	return n;
}

static void account_model(const struct model *m, int by)
{
	for (unsigned i = 0; i < m->len; i++) {
		if (m->word[i] != HOLE)
			account[daxl_val_blk(m->word[i])] += by;
	}
}

static void copy_model(struct model *to, const struct model *from)
{
	to->len = from->len;
	memcpy(to->word, from->word, from->len * sizeof(*from->word));
}

/* Blocks and nodes are all accounted for; called with old models and given blocks in the account. */
static void settle(struct daxl_edit *edits)
{
	struct daxl_dropped dropped[2], moved;
	struct daxl_rope_counts counts;
	uint64_t old_nodes = 0, new_nodes = 0, bytes = 0, gone = 0;
	for (unsigned i = 0; i < 2; i++) {
		daxl_rope_count(root[i], &counts);
		old_nodes += counts.nodes;
		int64_t runs = -(int64_t)counts.runs, blocks = -(int64_t)counts.blocks;
		root[i] = daxl_edit_commit(&edits[i], &moved);
		dropped[i] = moved;
		daxl_rope_count(root[i], &counts);
		ck_assert_int_eq(edits[i].runs_delta, runs + (int64_t)counts.runs);
		ck_assert_int_eq(edits[i].blocks_delta, blocks + (int64_t)counts.blocks);
	}
	for (unsigned i = 0; i < 2; i++) {
		compare(root[i], &next_model[i]);
		copy_model(&model[i], &next_model[i]);
		account_model(&model[i], -1);
		gone += dropped_nodes(&dropped[i]);
		daxl_dropped_each_run(&dropped[i], settle_run, NULL);
		daxl_dropped_free(&dropped[i], slab, NULL, NULL);
		ck_assert_ptr_null(dropped[i].nodes);
	}
	for (unsigned i = 0; i < 2; i++)
		bytes += tree_bytes(root[i], &new_nodes);
	ck_assert_uint_eq(daxl_slab_bytes(slab), bytes);
	ck_assert_uint_eq(edits[0].nodes_new + edits[1].nodes_new, new_nodes + gone - old_nodes);
	for (uint64_t blk = 0; blk < BLK_MAX; blk++) {
		if (account[blk] != 0)
			ck_abort_msg("seed %" PRIu64 ": block %" PRIu64 " off by %d", seed, blk, account[blk]);
	}
}

struct fault {
	uint64_t left; /* passages until the one that fails */
	bool hit;
};

static bool fail_nth(const char *point, void *arg)
{
	(void)point;
	struct fault *fault = arg;
	if (fault->left == 0 || --fault->left != 0)
		return false;
	fault->hit = true;
	return true;
}

static void setup(void)
{
	const char *env = getenv("DAXL_SEED");
	seed = env ? strtoull(env, NULL, 0) : (uint64_t)time(NULL);
	printf("test_rope_model: DAXL_SEED=%" PRIu64 "\n", seed);
	fflush(stdout);
	state = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
	ck_assert_int_eq(daxl_slab_create(&slab), 0);
	account = calloc(BLK_MAX, sizeof(*account));
	next_blk = 1;
	for (unsigned i = 0; i < 2; i++) {
		root[i] = NULL;
		model[i] = (struct model){ malloc(2 * BLOCKS_MAX * sizeof(uint64_t)), 0 };
		next_model[i] = (struct model){ malloc(2 * BLOCKS_MAX * sizeof(uint64_t)), 0 };
	}
}

static void teardown(void)
{
	struct daxl_dropped dropped = { 0 };
	for (unsigned i = 0; i < 2; i++) {
		daxl_dropped_add_rope(&dropped, root[i]);
		free(model[i].word);
		free(next_model[i].word);
	}
	daxl_dropped_free(&dropped, slab, NULL, NULL);
	ck_assert_uint_eq(daxl_slab_bytes(slab), 0);
	daxl_slab_destroy(slab);
	free(account);
}

/* A fragmented start, so that there is depth from the first edit on. */
static void fill(void)
{
	struct daxl_edit edits[2];
	for (unsigned i = 0; i < 2; i++) {
		daxl_edit_begin(&edits[i], slab, root[i]);
		copy_model(&next_model[i], &model[i]);
		account_model(&model[i], 1);
		for (unsigned at = 0; at < limit; at += 1 + below(2)) {
			struct daxl_run run = { .len = 1, .blk = fresh_blocks(2) };
			ck_assert_int_eq(daxl_edit_set(&edits[i], at, &run), 0);
			model_grow(&next_model[i], at + 1);
			model_put(&next_model[i], at, run.blk);
		}
	}
	settle(edits);
}

static void rounds(unsigned n, bool faults)
{
	struct daxl_edit edits[2];
	for (unsigned round = 0; round < n; round++) {
		uint64_t start = state, blk = next_blk;
		struct fault fault = { 0, false };
		for (;;) {
			int err = 0;
			/* The same edits again after each failure. */
			state = start;
			next_blk = blk;
			for (unsigned i = 0; i < 2; i++) {
				daxl_edit_begin(&edits[i], slab, root[i]);
				copy_model(&next_model[i], &model[i]);
			}
			account_model(&model[0], 1);
			account_model(&model[1], 1);
			unsigned ops = below(4) ? 1 : 1 + below(6);
			if (faults) {
				static uint64_t nth;
				nth = fault.hit ? nth + 1 : 1;
				fault = (struct fault){ nth, false };
				daxl_fault_set(fail_nth, &fault);
			}
			for (unsigned i = 0; i < ops && !err; i++)
				err = random_op(edits, below(2));
			daxl_fault_set(NULL, NULL);
			ck_assert_msg(err == (fault.hit ? -ENOMEM : 0), "seed %" PRIu64 ": %d", seed, err);
			if (!err && below(6) != 0) {
				settle(edits);
				break;
			}
			daxl_edit_abort(&edits[0]);
			daxl_edit_abort(&edits[1]);
			memset(account, 0, BLK_MAX * sizeof(*account));
			for (unsigned i = 0; i < 2; i++)
				compare(root[i], &model[i]);
			uint64_t nodes = 0;
			uint64_t bytes = tree_bytes(root[0], &nodes) + tree_bytes(root[1], &nodes);
			ck_assert_uint_eq(daxl_slab_bytes(slab), bytes);
			if (!err)
				break;
		}
	}
}

START_TEST(random_edits_of_small_ropes_match_a_plain_array)
{
	limit = 40;
	rounds(600, false);
}
END_TEST

START_TEST(random_edits_of_middling_ropes_match_a_plain_array)
{
	limit = 1500;
	fill();
	rounds(600, false);
}
END_TEST

START_TEST(random_edits_of_deep_ropes_match_a_plain_array)
{
	limit = BLOCKS_MAX - 100;
	for (unsigned i = 0; i < 6; i++) {
		fill();
		rounds(80, false);
	}
}
END_TEST

START_TEST(every_failing_allocation_leaves_the_old_rope_as_it_was)
{
	limit = 6000;
	fill();
	rounds(60, true);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("rope model");
	TCase *tcase = tcase_create("random");
	tcase_set_timeout(tcase, 120);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, random_edits_of_small_ropes_match_a_plain_array);
	tcase_add_test(tcase, random_edits_of_middling_ropes_match_a_plain_array);
	tcase_add_test(tcase, random_edits_of_deep_ropes_match_a_plain_array);
	tcase_add_test(tcase, every_failing_allocation_leaves_the_old_rope_as_it_was);
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_set_fork_status(runner, CK_NOFORK);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
