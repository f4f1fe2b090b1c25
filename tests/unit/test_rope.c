/* SPDX-License-Identifier: BSD-3-Clause */
/* What a rope promises, case by case; test_rope_model.c covers the space between the cases. */
#include <check.h>
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/hook.h"
#include "map/rope_node.h"

static struct daxl_slab *slab;

static void setup(void)
{
	ck_assert_int_eq(daxl_slab_create(&slab), 0);
}

static void teardown(void)
{
	ck_assert_uint_eq(daxl_slab_bytes(slab), 0);
	daxl_slab_destroy(slab);
}

static struct daxl_run mapped(daxl_blk_t blk, daxl_nblk_t len)
{
	return (struct daxl_run){ .len = len, .blk = blk };
}

static struct daxl_run unwritten(daxl_blk_t blk, daxl_nblk_t len)
{
	return (struct daxl_run){ .len = len, .blk = blk, .flags = DAXL_RUN_UNWRITTEN };
}

static struct daxl_run hole(daxl_nblk_t len)
{
	return (struct daxl_run){ .len = len, .flags = DAXL_RUN_HOLE };
}

/* The blocks that an edit dropped, in the order reported. */
static struct daxl_dropped_run lost[64];
static size_t nlost;
static uint64_t lost_blocks;

static void note_lost(daxl_blk_t blk, daxl_nblk_t len, void *arg)
{
	(void)arg;
	if (nlost < DAXL_ARRAY_LEN(lost))
		lost[nlost] = (struct daxl_dropped_run){ blk, len };
	nlost++;
	lost_blocks += len;
}

static struct daxl_node *commit(struct daxl_edit *edit)
{
	struct daxl_dropped dropped;
	struct daxl_node *root = daxl_edit_commit(edit, &dropped);
	ck_assert_msg(daxl_rope_verify(root) == 0, "%s", daxl_error_last());
	nlost = 0;
	lost_blocks = 0;
	daxl_dropped_each_run(&dropped, note_lost, NULL);
	daxl_dropped_free(&dropped, slab, NULL, NULL);
	return root;
}

static struct daxl_node *set(struct daxl_node *root, daxl_fblk_t at, struct daxl_run run)
{
	struct daxl_edit edit;
	daxl_edit_begin(&edit, slab, root);
	ck_assert_int_eq(daxl_edit_set(&edit, at, &run), 0);
	return commit(&edit);
}

static void discard(struct daxl_node *root)
{
	struct daxl_dropped dropped = { 0 };
	daxl_dropped_add_rope(&dropped, root);
	daxl_dropped_free(&dropped, slab, NULL, NULL);
}

/* Runs of one block, none continuing another: block 10 + 2 i at i. */
static struct daxl_node *fragments(uint64_t runs)
{
	struct daxl_edit edit;
	daxl_edit_begin(&edit, slab, NULL);
	for (uint64_t i = 0; i < runs; i++) {
		struct daxl_run run = mapped(10 + 2 * i, 1);
		ck_assert_int_eq(daxl_edit_set(&edit, i, &run), 0);
	}
	return commit(&edit);
}

static void expect(const struct daxl_node *root, daxl_fblk_t at, daxl_nblk_t len, daxl_blk_t blk, uint32_t flags)
{
	struct daxl_run run;
	daxl_rope_lookup(root, at, &run);
	ck_assert_uint_eq(run.len, len);
	ck_assert_uint_eq(run.blk, blk);
	ck_assert_uint_eq(run.flags, flags);
}

START_TEST(an_empty_rope_is_one_endless_hole)
{
	expect(NULL, 0, DAXL_FBLK_INF, 0, DAXL_RUN_HOLE);
	expect(NULL, 5, DAXL_FBLK_INF - 5, 0, DAXL_RUN_HOLE);
	ck_assert_uint_eq(daxl_rope_len(NULL), 0);
	ck_assert_int_eq(daxl_rope_verify(NULL), 0);
}
END_TEST

START_TEST(runs_that_continue_each_other_become_one)
{
	struct daxl_node *root = set(NULL, 0, mapped(100, 4));
	root = set(root, 8, mapped(108, 4));
	expect(root, 4, 4, 0, DAXL_RUN_HOLE);
	ck_assert_uint_eq(root->runs, 3);
	root = set(root, 4, mapped(104, 4));
	expect(root, 0, 12, 100, 0);
	expect(root, 5, 7, 105, 0);
	ck_assert_uint_eq(root->runs, 1);
	ck_assert_uint_eq(nlost, 0);
	root = set(root, 12, unwritten(112, 1));
	ck_assert_uint_eq(root->runs, 2);
	expect(root, 12, 1, 112, DAXL_RUN_UNWRITTEN);
	discard(root);
}
END_TEST

START_TEST(a_rope_never_ends_in_a_hole)
{
	struct daxl_node *root = set(NULL, 0, mapped(100, 2));
	root = set(root, 10, mapped(200, 2));
	ck_assert_uint_eq(daxl_rope_len(root), 12);
	root = set(root, 9, hole(DAXL_FBLK_INF));
	ck_assert_uint_eq(daxl_rope_len(root), 2);
	ck_assert_uint_eq(nlost, 1);
	ck_assert_uint_eq(lost[0].blk, 200);
	root = set(root, 5, hole(1));
	ck_assert_uint_eq(daxl_rope_len(root), 2);
	root = set(root, 0, hole(2));
	ck_assert_ptr_null(root);
}
END_TEST

START_TEST(setting_the_very_same_blocks_drops_nothing)
{
	struct daxl_node *root = set(NULL, 0, unwritten(100, 8));
	root = set(root, 2, mapped(102, 3));
	ck_assert_uint_eq(nlost, 0);
	ck_assert_uint_eq(root->runs, 3);
	/* Over many leaves, of which every second block is the same. */
	struct daxl_edit edit;
	daxl_edit_begin(&edit, slab, NULL);
	for (uint64_t i = 0; i < 1000; i++) {
		struct daxl_run run = mapped(i % 2 != 0 ? 5000 + i : 9000 + 2 * i, 1);
		ck_assert_int_eq(daxl_edit_set(&edit, i, &run), 0);
	}
	struct daxl_node *big = commit(&edit);
	big = set(big, 0, mapped(5000, 1000));
	ck_assert_uint_eq(big->runs, 1);
	ck_assert_uint_eq(lost_blocks, 500);
	for (size_t i = 0; i < DAXL_ARRAY_LEN(lost); i++)
		ck_assert_uint_ge(lost[i].blk, 9000);
	discard(big);
	discard(root);
}
END_TEST

START_TEST(convert_clears_unwritten_and_drops_nothing)
{
	struct daxl_node *root = set(NULL, 0, unwritten(100, 8));
	struct daxl_edit edit;
	root = set(root, 20, unwritten(300, 4));
	daxl_edit_begin(&edit, slab, root);
	ck_assert_int_eq(daxl_edit_convert(&edit, 4, 18), 0);
	ck_assert_int_eq(edit.blocks_delta, 0);
	ck_assert_int_eq(edit.runs_delta, 2);
	root = commit(&edit);
	ck_assert_uint_eq(nlost, 0);
	expect(root, 0, 4, 100, DAXL_RUN_UNWRITTEN);
	expect(root, 4, 4, 104, 0);
	expect(root, 8, 12, 0, DAXL_RUN_HOLE);
	expect(root, 20, 2, 300, 0);
	expect(root, 22, 2, 302, DAXL_RUN_UNWRITTEN);
	discard(root);
}
END_TEST

START_TEST(a_small_edit_of_a_deep_rope_copies_one_node_a_level)
{
	struct daxl_node *root = fragments(120000);
	struct daxl_edit edit;
	ck_assert_uint_ge(root->depth, 2);
	for (uint64_t at = 777; at < 120000; at += 11113) {
		struct daxl_run run = hole(1);
		daxl_edit_begin(&edit, slab, root);
		ck_assert_int_eq(daxl_edit_set(&edit, at, &run), 0);
		ck_assert_uint_eq(edit.nodes_new, root->depth + 1u);
		ck_assert_int_eq(edit.blocks_delta, -1);
		root = commit(&edit);
		ck_assert_uint_eq(nlost, 1);
		ck_assert_uint_eq(lost[0].blk, 10 + 2 * at);
	}
	discard(root);
}
END_TEST

START_TEST(later_edits_of_one_transaction_reuse_its_nodes)
{
	struct daxl_node *root = fragments(5000);
	uint64_t bytes = daxl_slab_bytes(slab);
	struct daxl_edit edit;
	struct daxl_run run = mapped(999999, 1);
	daxl_edit_begin(&edit, slab, root);
	for (unsigned i = 0; i < 50; i++) {
		run.blk += 2;
		ck_assert_int_eq(daxl_edit_set(&edit, 2500, &run), 0);
	}
	ck_assert_uint_eq(edit.nodes_new, root->depth + 1u);
	ck_assert_uint_le(daxl_slab_bytes(slab) - bytes, (root->depth + 1u) * daxl_node_size(DAXL_NODE_MAX));
	daxl_edit_abort(&edit);
	ck_assert_uint_eq(daxl_slab_bytes(slab), bytes);
	expect(root, 2500, 1, 10 + 5000, 0);
	discard(root);
}
END_TEST

START_TEST(truncate_does_not_walk_what_it_drops)
{
	struct daxl_node *root = fragments(100000);
	struct daxl_edit edit;
	daxl_edit_begin(&edit, slab, root);
	ck_assert_int_eq(daxl_edit_cut(&edit, 3), 0);
	ck_assert_uint_le(edit.nodes_new, 2);
	ck_assert_int_eq(edit.runs_delta, 3 - 100000);
	ck_assert_int_eq(edit.blocks_delta, 3 - 100000);
	ck_assert_uint_le(edit.dropped.nruns, 2 * DAXL_NODE_MAX);
	root = commit(&edit);
	ck_assert_uint_eq(lost_blocks, 100000 - 3);
	ck_assert_uint_eq(daxl_rope_len(root), 3);
	discard(root);
}
END_TEST

START_TEST(collapse_and_insert_at_the_front_touch_one_path)
{
	struct daxl_node *root = fragments(100000);
	struct daxl_edit edit;
	daxl_edit_begin(&edit, slab, root);
	ck_assert_int_eq(daxl_edit_remove(&edit, 0, 1), 0);
	ck_assert_uint_le(edit.nodes_new, root->depth + 1u);
	root = commit(&edit);
	expect(root, 0, 1, 12, 0);
	expect(root, 99998, 1, 10 + 2 * 99999, 0);
	daxl_edit_begin(&edit, slab, root);
	ck_assert_int_eq(daxl_edit_insert(&edit, 0, 1), 0);
	ck_assert_uint_le(edit.nodes_new, root->depth + 1u);
	root = commit(&edit);
	expect(root, 0, 1, 0, DAXL_RUN_HOLE);
	expect(root, 99999, 1, 10 + 2 * 99999, 0);
	discard(root);
}
END_TEST

START_TEST(shrinking_block_by_block_gives_every_level_back)
{
	struct daxl_node *root = fragments(20000);
	struct daxl_edit edit;
	for (uint64_t left = 20000; left > 0; left--) {
		daxl_edit_begin(&edit, slab, root);
		ck_assert_int_eq(daxl_edit_remove(&edit, left * 7919 % left, 1), 0);
		struct daxl_dropped dropped;
		root = daxl_edit_commit(&edit, &dropped);
		daxl_dropped_free(&dropped, slab, NULL, NULL);
		if (left % 512 == 0)
			ck_assert_int_eq(daxl_rope_verify(root), 0);
	}
	ck_assert_ptr_null(root);
}
END_TEST

START_TEST(runs_merge_across_the_edges_of_leaves)
{
	struct daxl_node *root = NULL;
	struct daxl_edit edit;
	for (uint64_t i = 0; i < 300; i++)
		root = set(root, 2 * i, mapped(10 + 2 * i, 1));
	for (daxl_fblk_t at = 0; at < 300; at++) {
		for (daxl_nblk_t len = 1; len < 70; len++) {
			struct daxl_run gap = hole(len);
			daxl_edit_begin(&edit, slab, root);
			ck_assert_int_eq(daxl_edit_remove(&edit, at, len), 0);
			ck_assert_msg(daxl_rope_verify(edit.root) == 0, "%s", daxl_error_last());
			daxl_edit_abort(&edit);
			ck_assert_int_eq(daxl_edit_set(&edit, at, &gap), 0);
			ck_assert_msg(daxl_rope_verify(edit.root) == 0, "%s", daxl_error_last());
			daxl_edit_abort(&edit);
		}
	}
	discard(root);
}
END_TEST

/* What stays behind the end that grows is half of a full node, and has no room for more than that. */
START_TEST(a_map_that_grows_at_its_end_keeps_no_spare_room)
{
	const uint64_t runs = 3000;
	struct daxl_node *root = NULL;
	for (uint64_t i = 0; i < runs; i++)
		root = set(root, i, mapped(10 + 2 * i, 1));
	size_t node = daxl_node_size(DAXL_NODE_MAX / 2);
	uint64_t leaves = runs / (DAXL_NODE_MAX / 2);
	ck_assert_uint_le(daxl_slab_bytes(slab), (leaves + leaves / (DAXL_NODE_MAX / 2 - 1) + 4) * node);
	discard(root);
}
END_TEST

START_TEST(offsets_beyond_32_bits_work)
{
	const uint64_t far = UINT64_C(1) << 40;
	struct daxl_node *root = NULL;
	struct daxl_edit edit;
	for (uint64_t i = 0; i < 200; i++)
		root = set(root, i * far, mapped(7 + 3 * i, 2));
	ck_assert_uint_eq(daxl_rope_len(root), 199 * far + 2);
	expect(root, 150 * far + 1, 1, 7 + 450 + 1, 0);
	expect(root, 150 * far + 2, far - 2, 0, DAXL_RUN_HOLE);
	daxl_edit_begin(&edit, slab, root);
	ck_assert_int_eq(daxl_edit_remove(&edit, 2, far - 2), 0);
	ck_assert_int_eq(daxl_edit_insert(&edit, 10 * far, 5 * far), 0);
	root = commit(&edit);
	expect(root, 2, 2, 10, 0);
	ck_assert_uint_eq(daxl_rope_len(root), 198 * far + 4 + 5 * far);
	discard(root);
}
END_TEST

START_TEST(maps_beyond_the_last_block_are_refused)
{
	struct daxl_edit edit;
	struct daxl_run run = mapped(5, 2);
	struct daxl_node *root = set(NULL, DAXL_FBLK_INF - 3, mapped(9, 2));
	daxl_edit_begin(&edit, slab, root);
	ck_assert_int_eq(daxl_edit_set(&edit, DAXL_FBLK_INF - 1, &run), -EFBIG);
	daxl_edit_abort(&edit);
	ck_assert_int_eq(daxl_edit_insert(&edit, 0, 2), -EFBIG);
	daxl_edit_abort(&edit);
	ck_assert_int_eq(daxl_edit_insert(&edit, 0, UINT64_MAX), -EFBIG);
	daxl_edit_abort(&edit);
	ck_assert_int_eq(daxl_edit_copy(&edit, 0, root, DAXL_FBLK_INF - 1, 9), -EFBIG);
	daxl_edit_abort(&edit);
	ck_assert_int_eq(daxl_edit_exchange(&edit, 0, &edit, DAXL_FBLK_INF - 1, 9), -EFBIG);
	daxl_edit_abort(&edit);
	/* What only clears may name an endless range. */
	ck_assert_int_eq(daxl_edit_convert(&edit, 0, UINT64_MAX), 0);
	ck_assert_int_eq(daxl_edit_remove(&edit, 0, UINT64_MAX), 0);
	root = commit(&edit);
	ck_assert_ptr_null(root);
}
END_TEST

START_TEST(a_copy_onto_itself_drops_nothing)
{
	struct daxl_node *root = fragments(3000);
	struct daxl_edit edit;
	daxl_edit_begin(&edit, slab, root);
	ck_assert_int_eq(daxl_edit_copy(&edit, 100, root, 100, 2500), 0);
	ck_assert_int_eq(edit.blocks_delta, 0);
	root = commit(&edit);
	ck_assert_uint_eq(nlost, 0);
	expect(root, 1234, 1, 10 + 2 * 1234, 0);
	discard(root);
}
END_TEST

START_TEST(a_clone_maps_the_same_blocks_and_shares_no_node)
{
	struct daxl_node *src = fragments(10000), *root;
	struct daxl_rope_counts a, b;
	struct daxl_edit edit;
	daxl_edit_begin(&edit, slab, NULL);
	ck_assert_int_eq(daxl_edit_copy(&edit, 0, src, 0, DAXL_FBLK_INF - 1), 0);
	root = commit(&edit);
	daxl_rope_count(src, &a);
	discard(src);
	daxl_rope_count(root, &b);
	ck_assert_mem_eq(&a, &b, sizeof(a));
	ck_assert_int_eq(daxl_rope_verify(root), 0);
	expect(root, 9999, 1, 10 + 2 * 9999, 0);
	discard(root);
}
END_TEST

START_TEST(exchange_drops_no_block_and_pads_short_maps)
{
	struct daxl_node *x = fragments(5000), *y = set(NULL, 0, mapped(700000, 3));
	struct daxl_edit a, b;
	daxl_edit_begin(&a, slab, x);
	daxl_edit_begin(&b, slab, y);
	ck_assert_int_eq(daxl_edit_exchange(&a, 1000, &b, 2, 3000), 0);
	ck_assert_int_eq(a.blocks_delta, -2999);
	ck_assert_int_eq(b.blocks_delta, 2999);
	x = commit(&a);
	ck_assert_uint_eq(nlost, 0);
	y = commit(&b);
	ck_assert_uint_eq(nlost, 0);
	expect(x, 1000, 1, 700002, 0);
	expect(x, 1001, 2999, 0, DAXL_RUN_HOLE);
	expect(x, 4000, 1, 8010, 0);
	expect(y, 2, 1, 2010, 0);
	ck_assert_uint_eq(daxl_rope_len(y), 3002);
	discard(x);
	discard(y);
}
END_TEST

static unsigned pages;

static void note_page(daxl_page_t page, daxl_page_t copy, void *arg)
{
	(void)arg;
	ck_assert_uint_eq(copy, page + 1000);
	pages++;
}

START_TEST(media_pages_of_replaced_nodes_are_handed_back_once)
{
	struct daxl_node *root = fragments(5000);
	struct daxl_edit edit;
	struct daxl_dropped dropped, moved;
	struct daxl_run run = hole(1);
	root->page[0] = 5;
	root->page[1] = 1005;
	daxl_node_child(root, 1)->page[0] = 6;
	daxl_node_child(root, 1)->page[1] = 1006;
	daxl_edit_begin(&edit, slab, root);
	ck_assert_int_eq(daxl_edit_set(&edit, 0, &run), 0);
	root = daxl_edit_commit(&edit, &moved);
	dropped = moved;
	memset(&moved, 0xee, sizeof(moved));
	pages = 0;
	nlost = 0;
	daxl_dropped_each_run(&dropped, note_lost, NULL);
	ck_assert_uint_eq(nlost, 1);
	ck_assert_uint_eq(lost[0].blk, 10);
	daxl_dropped_free(&dropped, slab, note_page, NULL);
	ck_assert_uint_eq(pages, 1);
	ck_assert_uint_eq(root->page[0], 0);
	daxl_dropped_add_rope(&dropped, root);
	daxl_dropped_free(&dropped, slab, note_page, NULL);
	ck_assert_uint_eq(pages, 2);
}
END_TEST

static int stop_at_third(daxl_fblk_t at, const struct daxl_run *run, void *arg)
{
	unsigned *calls = arg;
	(void)run;
	return ++*calls == 3 ? (int)at : 0;
}

START_TEST(walk_clips_reports_the_tail_and_stops_when_told)
{
	struct daxl_node *root = fragments(1000);
	unsigned calls = 0;
	ck_assert_int_eq(daxl_rope_walk(root, 500, 600, stop_at_third, &calls), 502);
	calls = 10;
	ck_assert_int_eq(daxl_rope_walk(root, 998, 1010, stop_at_third, &calls), 0);
	ck_assert_uint_eq(calls, 13);
	calls = 10;
	ck_assert_int_eq(daxl_rope_walk(root, 998, DAXL_FBLK_INF, stop_at_third, &calls), 0);
	ck_assert_uint_eq(calls, 12);
	ck_assert_int_eq(daxl_rope_walk(root, 7, 7, stop_at_third, &calls), 0);
	ck_assert_uint_eq(calls, 12);
	discard(root);
}
END_TEST

START_TEST(verify_finds_what_is_wrong)
{
	struct daxl_node *root = fragments(1000), *leaf = daxl_node_child(root, 2);
	uint64_t end = daxl_node_ends(leaf)[3], val = daxl_node_vals(leaf)[3];
	ck_assert_int_eq(daxl_rope_verify(root), 0);
	daxl_node_ends(leaf)[3] = daxl_node_ends(leaf)[4];
	ck_assert_int_eq(daxl_rope_verify(root), -EUCLEAN);
	daxl_node_ends(leaf)[3] = end;
	daxl_node_vals(leaf)[3] = daxl_node_vals(leaf)[2] + 1;
	ck_assert_int_eq(daxl_rope_verify(root), -EUCLEAN);
	daxl_node_vals(leaf)[3] = val;
	leaf->blocks++;
	ck_assert_int_eq(daxl_rope_verify(root), -EUCLEAN);
	leaf->blocks--;
	leaf->depth = 1;
	ck_assert_int_eq(daxl_rope_verify(root), -EUCLEAN);
	leaf->depth = 0;
	leaf->word[0] = 1;
	ck_assert_int_eq(daxl_rope_verify(root), -EUCLEAN);
	leaf->word[0] = 0;
	daxl_node_vals(root)[2] ^= 1; /* another number of lines */
	ck_assert_int_eq(daxl_rope_verify(root), -EUCLEAN);
	daxl_node_vals(root)[2] ^= 1;
	ck_assert_int_eq(daxl_rope_verify(root), 0);
	ck_assert_str_ne(daxl_error_last(), "");
	discard(root);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("rope");
	TCase *tcase = tcase_create("contract");
	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, an_empty_rope_is_one_endless_hole);
	tcase_add_test(tcase, runs_that_continue_each_other_become_one);
	tcase_add_test(tcase, a_rope_never_ends_in_a_hole);
	tcase_add_test(tcase, setting_the_very_same_blocks_drops_nothing);
	tcase_add_test(tcase, convert_clears_unwritten_and_drops_nothing);
	tcase_add_test(tcase, a_small_edit_of_a_deep_rope_copies_one_node_a_level);
	tcase_add_test(tcase, later_edits_of_one_transaction_reuse_its_nodes);
	tcase_add_test(tcase, truncate_does_not_walk_what_it_drops);
	tcase_add_test(tcase, collapse_and_insert_at_the_front_touch_one_path);
	tcase_add_test(tcase, shrinking_block_by_block_gives_every_level_back);
	tcase_add_test(tcase, runs_merge_across_the_edges_of_leaves);
	tcase_add_test(tcase, a_map_that_grows_at_its_end_keeps_no_spare_room);
	tcase_add_test(tcase, offsets_beyond_32_bits_work);
	tcase_add_test(tcase, maps_beyond_the_last_block_are_refused);
	tcase_add_test(tcase, a_copy_onto_itself_drops_nothing);
	tcase_add_test(tcase, a_clone_maps_the_same_blocks_and_shares_no_node);
	tcase_add_test(tcase, exchange_drops_no_block_and_pads_short_maps);
	tcase_add_test(tcase, media_pages_of_replaced_nodes_are_handed_back_once);
	tcase_add_test(tcase, walk_clips_reports_the_tail_and_stops_when_told);
	tcase_add_test(tcase, verify_finds_what_is_wrong);
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_set_fork_status(runner, CK_NOFORK);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
