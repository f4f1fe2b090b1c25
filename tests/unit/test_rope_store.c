/* SPDX-License-Identifier: BSD-3-Clause */
/* Ropes on the medium: written once, read back equal, and never believed. */
#include <check.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/error.h"
#include "base/hook.h"
#include "map/rope_node.h"
#include "map/rope_store.h"

#define PAGES 2048u

struct store {
	char *base;
	struct daxl_media *media;
	struct daxl_slab *slab;
	struct daxl_rope_out out;
	struct daxl_rope_in in;
	daxl_page_t next, end; /* pages given out */
	unsigned put, seen[PAGES];
	daxl_nblk_t mapped;
};

static const uint8_t uuid[16] = {1, 2, 3};

static int page_get(void *arg, daxl_page_t avoid, daxl_page_t *ret_page)
{
	struct store *store = arg;

	(void)avoid;
	if (store->next == store->end)
		return daxl_fail(ENOSPC, "no page");
	*ret_page = store->next++;
	return 0;
}

static void page_put(void *arg, daxl_page_t page)
{
	struct store *store = arg;

	ck_assert_uint_lt(page, store->next);
	store->put++;
}

static int page_seen(daxl_page_t page, void *arg)
{
	struct store *store = arg;

	if (page == 0 || page >= PAGES || store->seen[page]++)
		return daxl_fail(EUCLEAN, "page %" PRIu64, page);
	return 0;
}

static int run_seen(daxl_blk_t blk, daxl_nblk_t len, void *arg)
{
	struct store *store = arg;

	store->mapped += len;
	return blk + len > 1000000 ? daxl_fail(EUCLEAN, "block %" PRIu64, blk) : 0;
}

static struct store *store_make(void)
{
	struct store *store = calloc(1, sizeof(*store));

	store->base = aligned_alloc(4096, PAGES * 4096);
	memset(store->base, 0, PAGES * 4096);
	ck_assert_int_eq(daxl_media_open_memory(store->base, PAGES * 4096, false, &store->media), 0);
	ck_assert_int_eq(daxl_slab_create(&store->slab), 0);
	store->next = 1;
	store->end = PAGES;
	store->out = (struct daxl_rope_out){.media = store->media,
	                                    .uuid = uuid,
	                                    .position = 7,
	                                    .owner = 3,
	                                    .page_get = page_get,
	                                    .page_put = page_put,
	                                    .arg = store};
	store->in = (struct daxl_rope_in){.media = store->media,
	                                  .slab = store->slab,
	                                  .uuid = uuid,
	                                  .len_max = UINT64_C(1) << 50,
	                                  .page_fn = page_seen,
	                                  .run_fn = run_seen,
	                                  .arg = store};
	return store;
}

static void store_free(struct store *store)
{
	ck_assert_uint_eq(daxl_slab_bytes(store->slab), 0);
	daxl_slab_destroy(store->slab);
	daxl_media_close(store->media);
	free(store->base);
	free(store);
}

/* A rope of n runs of one block with holes between. */
static struct daxl_node *rope_of(struct store *store, unsigned n)
{
	struct daxl_dropped dropped;
	struct daxl_edit edit;

	daxl_edit_begin(&edit, store->slab, NULL);
	for (unsigned i = 0; i < n; i++) {
		const struct daxl_run run = {.len = 1, .blk = 500 + i, .flags = i % 5 ? 0 : DAXL_RUN_UNWRITTEN};
		ck_assert_int_eq(daxl_edit_set(&edit, 2 * i, &run), 0);
	}
	struct daxl_node *root = daxl_edit_commit(&edit, &dropped);
	daxl_dropped_free(&dropped, store->slab, NULL, NULL);
	return root;
}

static struct daxl_node *punch(struct store *store, struct daxl_node *root, daxl_fblk_t at)
{
	const struct daxl_run hole = {.len = 1, .flags = DAXL_RUN_HOLE};
	struct daxl_dropped dropped;
	struct daxl_edit edit;

	daxl_edit_begin(&edit, store->slab, root);
	ck_assert_int_eq(daxl_edit_set(&edit, at, &hole), 0);
	root = daxl_edit_commit(&edit, &dropped);
	daxl_dropped_free(&dropped, store->slab, NULL, NULL);
	return root;
}

static struct daxl_md_ref ref_of(const struct daxl_node *node)
{
	return (struct daxl_md_ref){node->page[0], node->page[1]};
}

static int read_back(struct store *store, const struct daxl_node *root, struct daxl_node **ret_root)
{
	struct daxl_md_ref ref = ref_of(root);

	memset(store->seen, 0, sizeof(store->seen));
	store->mapped = 0;
	return daxl_rope_read(&store->in, &ref, root->depth, ret_root);
}

static int same_run(daxl_fblk_t at, const struct daxl_run *run, void *arg)
{
	struct daxl_run other;

	daxl_rope_lookup(arg, at, &other);
	return other.len != run->len || other.blk != run->blk || other.flags != run->flags;
}

START_TEST(ropes_of_all_sizes_come_back)
{
	static const unsigned sizes[] = {5, 9, 40, 64, 65, 500, 5000};

	for (unsigned i = 0; i < DAXL_ARRAY_LEN(sizes); i++) {
		struct store *store = store_make();
		struct daxl_node *root = rope_of(store, sizes[i]), *back;
		ck_assert_int_eq(daxl_rope_write(&store->out, root), 0);
		ck_assert_int_eq(read_back(store, root, &back), 0);
		ck_assert_int_eq(daxl_rope_walk(root, 0, DAXL_FBLK_INF, same_run, back), 0);
		ck_assert_uint_eq(back->runs, root->runs);
		ck_assert_uint_eq(store->mapped, sizes[i]);
		ck_assert_uint_eq(back->page[0], root->page[0]);
		daxl_node_free_tree(store->slab, root);
		daxl_node_free_tree(store->slab, back);
		store_free(store);
	}
}
END_TEST

START_TEST(small_ropes_are_inline)
{
	struct store *store = store_make();
	struct daxl_md_run runs[DAXL_FILE_INLINE_RUNS];
	struct daxl_node *root = rope_of(store, 4), *back;

	ck_assert(daxl_rope_is_inline(root));
	ck_assert(daxl_rope_is_inline(NULL));
	ck_assert_int_eq(daxl_rope_write(&store->out, root), 0);
	ck_assert_uint_eq(root->page[0], 0);
	unsigned n = daxl_rope_inline_runs(root, runs);
	ck_assert_uint_eq(n, 7);
	ck_assert_int_eq(daxl_rope_read_inline(&store->in, runs, n, &back), 0);
	ck_assert_int_eq(daxl_rope_walk(root, 0, DAXL_FBLK_INF, same_run, back), 0);
	daxl_node_free_tree(store->slab, back);
	ck_assert_int_eq(daxl_rope_read_inline(&store->in, runs, 0, &back), 0);
	ck_assert_ptr_null(back);
	ck_assert_int_eq(daxl_rope_read_inline(&store->in, runs, 6, &back), -EUCLEAN); /* ends in a hole */
	runs[1].val = runs[0].val + 1;
	runs[0].val = runs[1].val - 1;
	ck_assert_int_eq(daxl_rope_read_inline(&store->in, runs, n, &back), -EUCLEAN); /* two runs that are one */
	daxl_node_free_tree(store->slab, root);
	store_free(store);
}
END_TEST

START_TEST(only_new_nodes_are_written)
{
	struct store *store = store_make();
	struct daxl_node *root = rope_of(store, 2000);

	ck_assert_int_eq(daxl_rope_write(&store->out, root), 0);
	daxl_page_t first = store->next;
	ck_assert_int_eq(daxl_rope_write(&store->out, root), 0);
	ck_assert_uint_eq(store->next, first);
	root = punch(store, root, 2000);
	ck_assert_int_eq(daxl_rope_write(&store->out, root), 0);
	ck_assert_uint_le(store->next, first + 2u * root->depth + 1);
	struct daxl_node *back;
	ck_assert_int_eq(read_back(store, root, &back), 0);
	daxl_node_free_tree(store->slab, root);
	daxl_node_free_tree(store->slab, back);
	store_free(store);
}
END_TEST

START_TEST(writing_without_pages_goes_on_where_it_stopped)
{
	struct store *store = store_make();
	struct daxl_node *root = rope_of(store, 2000), *back;
	unsigned attempts = 1;

	store->end = 2;
	while (daxl_rope_write(&store->out, root) == -ENOSPC) {
		ck_assert_uint_eq(root->page[0], 0);
		store->end += 3;
		attempts++;
	}
	ck_assert_uint_gt(attempts, 10);
	ck_assert_uint_ne(root->page[0], 0);
	ck_assert_int_eq(read_back(store, root, &back), 0);
	daxl_node_free_tree(store->slab, root);
	daxl_node_free_tree(store->slab, back);
	store_free(store);
}
END_TEST

START_TEST(an_inner_page_is_there_twice_and_a_leaf_once)
{
	struct store *store = store_make();
	struct daxl_node *root = rope_of(store, 500), *back;

	ck_assert_int_eq(daxl_rope_write(&store->out, root), 0);
	ck_assert_uint_ne(root->page[1], 0);
	ck_assert_uint_eq(daxl_node_child(root, 0)->page[1], 0);
	memset(store->base + root->page[0] * 4096, 0, 4096);
	ck_assert_int_eq(read_back(store, root, &back), 0);
	ck_assert_uint_eq(store->in.copies_used, 1);
	daxl_node_free_tree(store->slab, back);
	store->base[daxl_node_child(root, 1)->page[0] * 4096 + 70]++;
	ck_assert_int_eq(read_back(store, root, &back), -EUCLEAN);
	daxl_node_free_tree(store->slab, root);
	root = rope_of(store, 5000);
	ck_assert_uint_ge(root->depth, 2);
	ck_assert_int_eq(daxl_rope_write(&store->out, root), 0);
	ck_assert_uint_ne(daxl_node_child(root, 1)->page[1], 0);
	daxl_node_free_tree(store->slab, root);
	store_free(store);
}
END_TEST

/* Makes the checksum of a page right again. */
static void reseal(struct store *store, daxl_page_t page)
{
	struct daxl_pagebuf *buf = (struct daxl_pagebuf *)(void *)(store->base + page * 4096);

	buf->hdr.crc = 0;
	buf->hdr.crc = daxl_crc32c(0, buf, 64u + buf->hdr.used);
}

START_TEST(pages_that_lie_are_found_out)
{
	struct store *store = store_make();
	struct daxl_node *root = rope_of(store, 500), *back = NULL;

	ck_assert_int_eq(daxl_rope_write(&store->out, root), 0);
	char *good = malloc(PAGES * 4096);
	memcpy(good, store->base, PAGES * 4096);
	struct daxl_md_child *child = (struct daxl_md_child *)(void *)(store->base + root->page[0] * 4096 + 64);
	struct daxl_md_run *run =
		(struct daxl_md_run *)(void *)(store->base + daxl_node_child(root, 1)->page[0] * 4096 + 64);
	struct daxl_md_page *hdr = (struct daxl_md_page *)(void *)(store->base + root->page[0] * 4096);
	for (unsigned lie = 0; lie < 14; lie++) {
		switch (lie) {
		case 0:
			child[1].end++;
			break;
		case 1:
			child[1].end = child[0].end;
			break;
		case 2:
			child[2].ref = child[1].ref;
			break; /* one child twice */
		case 3:
			child[0].ref.page = root->page[0];
			break; /* a loop */
		case 4:
			child[0].ref.page = PAGES + 5;
			break;
		case 5:
			child[0].ref.page = 0;
			break;
		case 6:
			run[3].end = run[2].end;
			break;
		case 7:
			run[3].end = UINT64_MAX;
			break;
		case 8:
			run[2].val = DAXL_MD_RUN_HOLE | 1;
			break;
		case 9:
			run[2].val = UINT64_C(1) << 55;
			break;
		case 10:
			run[2].val = 999999999;
			break;
		case 11:
			hdr->count = 0;
			break;
		case 12:
			hdr->count--;
			break;
		default:
			hdr->count = 167;
			hdr->used = 167 * 24;
			break;
		}
		reseal(store, root->page[0]);
		reseal(store, daxl_node_child(root, 1)->page[0]);
		memset(store->base + root->page[1] * 4096, 0, 4096);
		int rc = read_back(store, root, &back);
		ck_assert_msg(rc == -EUCLEAN, "lie %u: %d", lie, rc);
		memcpy(store->base, good, PAGES * 4096);
	}
	struct daxl_md_ref ref = ref_of(root);
	memset(store->seen, 0, sizeof(store->seen));
	ck_assert_int_eq(daxl_rope_read(&store->in, &ref, DAXL_ROPE_DEPTH_MAX, &back), -EUCLEAN);
	ck_assert_int_eq(daxl_rope_read(&store->in, &ref, root->depth + 1u, &back), -EUCLEAN);
	free(good);
	daxl_node_free_tree(store->slab, root);
	store_free(store);
}
END_TEST

static unsigned fail_at, passages;
static bool fail_point(const char *point, void *arg)
{
	(void)arg;
	return !strstr(point, "read") && ++passages == fail_at;
}

START_TEST(reading_survives_any_allocation_failing)
{
	struct store *store = store_make();
	struct daxl_node *root = rope_of(store, 1000), *back;
	int rc = -1;

	ck_assert_int_eq(daxl_rope_write(&store->out, root), 0);
	uint64_t bytes = daxl_slab_bytes(store->slab);
	for (fail_at = 1; rc != 0; fail_at++) {
		passages = 0;
		daxl_fault_set(fail_point, NULL);
		rc = read_back(store, root, &back);
		daxl_fault_set(NULL, NULL);
		if (rc)
			ck_assert_uint_eq(daxl_slab_bytes(store->slab), bytes);
	}
	ck_assert_uint_gt(fail_at, 20);
	daxl_node_free_tree(store->slab, root);
	daxl_node_free_tree(store->slab, back);
	store_free(store);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("rope_store");
	TCase *tc = tcase_create("all");

	tcase_add_test(tc, ropes_of_all_sizes_come_back);
	tcase_add_test(tc, small_ropes_are_inline);
	tcase_add_test(tc, only_new_nodes_are_written);
	tcase_add_test(tc, writing_without_pages_goes_on_where_it_stopped);
	tcase_add_test(tc, an_inner_page_is_there_twice_and_a_leaf_once);
	tcase_add_test(tc, pages_that_lie_are_found_out);
	tcase_add_test(tc, reading_survives_any_allocation_failing);
	suite_add_tcase(suite, tc);
	SRunner *runner = srunner_create(suite);
	srunner_set_fork_status(runner, CK_NOFORK);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
