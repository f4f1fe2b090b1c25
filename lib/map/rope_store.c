/* SPDX-License-Identifier: BSD-3-Clause */
/* Writing what is new of a rope, and reading one back. */
#include "map/rope_store.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/error.h"
#include "map/rope_node.h"

/* NOLINTBEGIN(misc-redundant-expression): that they are equal is what is asserted */
_Static_assert(DAXL_VAL_HOLE == DAXL_MD_RUN_HOLE && DAXL_VAL_UNWRITTEN == DAXL_MD_RUN_UNWRITTEN &&
                       DAXL_VAL_BLOCK_MASK == DAXL_MD_RUN_BLOCK_MASK,
               "a run's word is the same in DRAM and on the medium");
/* NOLINTEND(misc-redundant-expression) */
_Static_assert(DAXL_NODE_MAX * sizeof(struct daxl_md_child) <= DAXL_PAGE_BODY, "an inner node fits a page");

bool daxl_rope_is_inline(const struct daxl_node *root)
{
	return !root || (root->depth == 0 && root->count <= DAXL_FILE_INLINE_RUNS);
}

static struct daxl_md_run run_at(const struct daxl_node *leaf, unsigned i)
{
	return (struct daxl_md_run){.end = daxl_node_end(leaf, i), .val = daxl_node_val(leaf, i)};
}

unsigned daxl_rope_inline_runs(const struct daxl_node *root, struct daxl_md_run *runs)
{
	assert(daxl_rope_is_inline(root));
	unsigned n = root ? root->count : 0;
	for (unsigned i = 0; i < n; i++)
		runs[i] = run_at(root, i);
	return n;
}

/* The checkpointer is the only writer; a retiring thread may look. */
static daxl_page_t page_of(const struct daxl_node *node, unsigned copy)
{
	return __atomic_load_n(&node->page[copy], __ATOMIC_RELAXED);
}

static void fill_page(struct daxl_pagebuf *buf, const struct daxl_node *node)
{
	size_t size = node->depth != 0 ? sizeof(struct daxl_md_child) : sizeof(struct daxl_md_run);
	for (unsigned i = 0; i < node->count; i++) {
		if (node->depth != 0) {
			const struct daxl_node *child = daxl_node_child(node, i);
			const struct daxl_md_child entry = {
				.end = daxl_node_end(node, i),
				.ref = {.page = page_of(child, 0), .copy = page_of(child, 1)},
			};
			memcpy(buf->body + i * size, &entry, size);
		} else {
			const struct daxl_md_run entry = run_at(node, i);
			memcpy(buf->body + i * size, &entry, size);
		}
	}
	buf->hdr.count = node->count;
	buf->hdr.used = (uint16_t)(node->count * size);
}

/* Writes a node whose children are written. */
static int write_node(struct daxl_rope_out *out, struct daxl_node *node, bool twice)
{
	struct daxl_md_ref ref = {0, 0};
	int err = out->page_get(out->arg, 0, &ref.page);
	if (!err && twice) {
		err = out->page_get(out->arg, ref.page, &ref.copy);
		if (err)
			out->page_put(out->arg, ref.page);
	}
	if (err)
		return err;
	daxl_pagebuf_init(&out->buf, out->uuid, DAXL_PAGE_ROPE, out->owner, node->depth);
	fill_page(&out->buf, node);
	daxl_page_write_ref(out->media, &out->buf, &ref, out->position);
	__atomic_store_n(&node->page[0], ref.page, __ATOMIC_RELAXED);
	__atomic_store_n(&node->page[1], ref.copy, __ATOMIC_RELAXED);
	return 0;
}

static int write_below(struct daxl_rope_out *out, struct daxl_node *node, bool is_root)
{
	if (page_of(node, 0) != 0)
		return 0;
	for (unsigned i = 0; node->depth != 0 && i < node->count; i++) {
		int err = write_below(out, daxl_node_child(node, i), false);
		if (err)
			return err;
	}
	return write_node(out, node, is_root || node->depth != 0);
}

int daxl_rope_write(struct daxl_rope_out *out, struct daxl_node *root)
{
	return daxl_rope_is_inline(root) ? 0 : write_below(out, root, true);
}

/* No run has this word. */
#define FOLLOWS_NONE UINT64_MAX

/* Why entry i, which ends at end and begins at start, cannot be; NULL: it can. */
static const char *run_fault(const struct daxl_rope_in *in, uint64_t start, const struct daxl_md_run *run)
{
	if (run->end <= start || run->end > in->len_max)
		return "ends before it begins or too far away";
	if (run->val == in->follows)
		return "continues the run before it";
	if (run->val & DAXL_VAL_HOLE)
		return run->val == DAXL_VAL_HOLE ? NULL : "is a hole with a block";
	if (run->val & ~(DAXL_VAL_UNWRITTEN | DAXL_VAL_BLOCK_MASK))
		return "has unknown flags";
	if (run->end - start > DAXL_VAL_BLOCK_MASK - daxl_val_blk(run->val))
		return "is longer than any pool";
	return NULL;
}

/* Makes a leaf of n runs that lie at bytes. */
static int make_leaf(struct daxl_rope_in *in, const uint8_t *bytes, unsigned n, struct daxl_node **ret_node)
{
	struct daxl_node *leaf = daxl_node_new(in->slab, 0, n);
	if (!leaf)
		return daxl_fail(ENOMEM, "no memory for a node of %u runs", n);
	uint64_t start = 0;
	int err = 0;
	for (unsigned i = 0; i < n && !err; i++) {
		struct daxl_md_run run;
		memcpy(&run, bytes + i * sizeof(run), sizeof(run));
		const char *fault = run_fault(in, start, &run);
		if (fault)
			err = daxl_fail(EUCLEAN, "run %u %s (%" PRIu64 " to %" PRIu64 ", %#" PRIx64 ")", i, fault,
			                start, run.end, run.val);
		else if (!daxl_val_is_hole(run.val))
			err = in->run_fn(daxl_val_blk(run.val), run.end - start, in->arg);
		daxl_node_ends(leaf)[i] = run.end;
		daxl_node_vals(leaf)[i] = run.val;
		in->follows = daxl_val_advance(run.val, run.end - start);
		start = run.end;
	}
	if (err) {
		daxl_node_free(in->slab, leaf);
		return err;
	}
	daxl_node_seal(leaf);
	*ret_node = leaf;
	return 0;
}

static int read_node(struct daxl_rope_in *in, const struct daxl_md_ref *ref, unsigned depth,
                     struct daxl_node **ret_node);

/* Makes an inner node out of in->buf and reads what is below it. */
static int make_inner(struct daxl_rope_in *in, daxl_page_t page, unsigned depth, unsigned n,
                      struct daxl_node **ret_node)
{
	struct daxl_md_ref refs[DAXL_NODE_MAX];
	struct daxl_node *node = daxl_node_new(in->slab, depth, n);
	if (!node)
		return daxl_fail(ENOMEM, "no memory for a node of %u entries", n);
	for (unsigned i = 0; i < n; i++) {
		struct daxl_md_child entry;
		memcpy(&entry, in->buf.body + i * sizeof(entry), sizeof(entry));
		daxl_node_ends(node)[i] = entry.end;
		refs[i] = entry.ref;
	}
	unsigned made = 0;
	int err = 0;
	while (made < n && !err) {
		struct daxl_node *child;
		err = read_node(in, &refs[made], depth - 1, &child);
		if (err)
			break;
		uint64_t start = daxl_node_start(node, made), end = daxl_node_end(node, made);
		daxl_node_vals(node)[made++] = daxl_ref_of(child);
		if (end <= start || end > in->len_max || end - start != daxl_node_len(child))
			err = daxl_fail(EUCLEAN,
			                "page %" PRIu64 ": entry %u goes from %" PRIu64 " to %" PRIu64
			                ", what is below it has %" PRIu64 " blocks",
			                page, made - 1, start, end, daxl_node_len(child));
		else if (child->count < DAXL_NODE_MIN)
			err = daxl_fail(EUCLEAN, "page %" PRIu64 ": below entry %u there are %u entries", page, made - 1,
			                (unsigned)child->count);
	}
	if (err) {
		for (unsigned i = 0; i < made; i++)
			daxl_node_free_tree(in->slab, daxl_node_child(node, i));
		daxl_node_free(in->slab, node);
		return err;
	}
	daxl_node_seal(node);
	*ret_node = node;
	return 0;
}

static int read_node(struct daxl_rope_in *in, const struct daxl_md_ref *ref, unsigned depth,
                     struct daxl_node **ret_node)
{
	const struct daxl_page_expect expect = {
		.uuid = in->uuid,
		.type = DAXL_PAGE_ROPE,
		.depth = (int)depth,
		.position_end = in->position_end,
		.any_owner = true,
	};
	bool copy_used = false;
	int err = in->page_fn(ref->page, in->arg);
	if (!err && ref->copy)
		err = in->page_fn(ref->copy, in->arg);
	if (!err)
		err = daxl_page_read(in->media, ref, &expect, &in->buf, &copy_used);
	if (!err && in->read_fn)
		err = in->read_fn(ref, &expect, &in->buf, in->arg);
	if (err)
		return err;
	in->copies_used += copy_used;
	unsigned n = in->buf.hdr.count;
	size_t size = depth ? sizeof(struct daxl_md_child) : sizeof(struct daxl_md_run);
	if (n < 1 || n > DAXL_NODE_MAX || in->buf.hdr.used != n * size)
		return daxl_fail(EUCLEAN, "page %" PRIu64 ": %u entries in %u bytes", ref->page, n, in->buf.hdr.used);
	err = depth ? make_inner(in, ref->page, depth, n, ret_node) : make_leaf(in, in->buf.body, n, ret_node);
	if (err)
		return err;
	(*ret_node)->page[0] = ref->page;
	(*ret_node)->page[1] = ref->copy;
	return 0;
}

/* What only the whole rope shows. */
static int accept(struct daxl_rope_in *in, struct daxl_node *root, struct daxl_node **ret_root)
{
	int err = 0;
	if (root->depth != 0 && root->count < 2)
		err = daxl_fail(EUCLEAN, "a map of depth %u with one entry", (unsigned)root->depth);
	else if (in->follows == DAXL_VAL_HOLE)
		err = daxl_fail(EUCLEAN, "the map ends in a hole at block %" PRIu64, daxl_node_len(root));
	if (err) {
		daxl_node_free_tree(in->slab, root);
		return err;
	}
	assert(daxl_rope_verify(root) == 0);
	*ret_root = root;
	return 0;
}

int daxl_rope_read(struct daxl_rope_in *in, const struct daxl_md_ref *ref, unsigned depth, struct daxl_node **ret_root)
{
	struct daxl_node *root = NULL;
	if (depth >= DAXL_ROPE_DEPTH_MAX)
		return daxl_fail(EUCLEAN, "page %" PRIu64 ": a map of depth %u", ref->page, depth);
	in->follows = FOLLOWS_NONE;
	int err = read_node(in, ref, depth, &root);
	return err ? err : accept(in, root, ret_root);
}

int daxl_rope_read_inline(struct daxl_rope_in *in, const struct daxl_md_run *runs, unsigned n,
                          struct daxl_node **ret_root)
{
	struct daxl_node *root = NULL;
	if (n == 0) {
		*ret_root = NULL;
		return 0;
	}
	assert(n <= DAXL_FILE_INLINE_RUNS);
	in->follows = FOLLOWS_NONE;
	int err = make_leaf(in, (const uint8_t *)runs, n, &root);
	return err ? err : accept(in, root, ret_root);
}
