/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Maps. Each is first read the way loading reads it, which knows every rule of ropes, with a look at every second copy:
 * that is all there is to an intact map.
 *
 * One that does not pass is read leniently. The pages are walked by depth, and every run that can be is put into a new
 * rope, at the place that its inner nodes give it: so a leaf that is lost leaves a hole as long as it was, and what
 * follows stays where it is. The walk reports what it meets; should it meet nothing, the first reading's complaint is
 * reported.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/hook.h"
#include "check/check.h"
#include "map/rope_node.h"
#include "map/rope_store.h"

struct walk {
	struct daxl_check *check;
	struct daxl_inode *ino;
	struct daxl_where where;
	struct daxl_edit edit;
	struct daxl_pagebuf buf;
};

/* Something is wrong with the map from file block at on. */
static int found(struct walk *walk, daxl_fblk_t at, daxl_blk_t blk, const char *what)
{
	struct daxl_where where = walk->where;

	where.file_off = daxl_blocks_to_bytes(at, walk->check->pool->block_shift);
	if (blk != DAXL_FINDING_UNKNOWN) {
		where.block = blk;
		where.pool_off = blk << walk->check->pool->block_shift;
	}
	return daxl_check_found(walk->check, DAXL_SEVERITY_ERROR, &where,
	                        "file %" PRIu32 " ('%s'), byte %" PRIu64 ": %s", walk->ino->id,
	                        where.file_name ? where.file_name : "", where.file_off, what);
}

/* Puts blocks that lie in the pool into the new map. */
static int put(struct walk *walk, daxl_fblk_t at, const struct daxl_run *run)
{
	int err = daxl_space_mark_shared(walk->check->pool->space, run->blk, run->len);

	return err ? err : daxl_edit_set(&walk->edit, at, run);
}

/* The same, less what lies in fixed areas from number i on. */
static int put_around_fixed(struct walk *walk, daxl_fblk_t at, struct daxl_run run, unsigned i)
{
	const struct daxl_check *check = walk->check;

	for (; i < check->nfixed; i++) {
		const struct daxl_blkrun *fixed = &check->fixed[i];

		if (run.blk >= fixed->blk + fixed->len || fixed->blk >= run.blk + run.len)
			continue;
		struct daxl_run before = run, behind = run;
		daxl_blk_t end = run.blk + run.len;
		int err = found(walk, at, daxl_max_u64(run.blk, fixed->blk),
		                "it has a block of a superblock, slot or the log");

		if (!err && fixed->blk > run.blk) {
			before.len = fixed->blk - run.blk;
			err = put_around_fixed(walk, at, before, i + 1);
		}
		if (err || fixed->blk + fixed->len >= end)
			return err;
		behind.blk = fixed->blk + fixed->len;
		behind.len = end - behind.blk;
		return put_around_fixed(walk, at + (behind.blk - run.blk), behind, i + 1);
	}
	return put(walk, at, &run);
}

/* One run of len blocks at file block at. */
static int take_run(struct walk *walk, daxl_fblk_t at, daxl_nblk_t len, uint64_t val)
{
	daxl_nblk_t nblocks =
		daxl_bytes_to_blocks_exact(walk->check->pool->super.pool_size, walk->check->pool->block_shift);
	struct daxl_run run = {.len = len, .blk = val & DAXL_MD_RUN_BLOCK_MASK};

	if (val == DAXL_MD_RUN_HOLE)
		return 0;
	if (val & ~(DAXL_MD_RUN_UNWRITTEN | DAXL_MD_RUN_BLOCK_MASK)) {
		walk->check->lost = walk->check->orphans = true;
		return found(walk, at, DAXL_FINDING_UNKNOWN, "a run has unknown flags");
	}
	if (run.blk >= nblocks || len > nblocks - run.blk) {
		int err = found(walk, at, run.blk, "a run lies outside of the pool");

		if (err || run.blk >= nblocks)
			return err;
		run.len = nblocks - run.blk;
	}
	if (val & DAXL_MD_RUN_UNWRITTEN)
		run.flags = DAXL_RUN_UNWRITTEN;
	return put_around_fixed(walk, at, run, 0);
}

/* The runs at bytes, n of them, from file block base on, not beyond limit. */
static int take_runs(struct walk *walk, const uint8_t *bytes, unsigned n, daxl_fblk_t base, daxl_fblk_t limit)
{
	uint64_t start = 0;
	int err = 0;

	for (unsigned i = 0; i < n && !err; i++) {
		struct daxl_md_run run;

		memcpy(&run, bytes + i * sizeof(run), sizeof(run));
		if (run.end <= start || run.end > limit - base) {
			walk->check->lost = walk->check->orphans = true;
			return found(walk, base + start, DAXL_FINDING_UNKNOWN,
			             "a run ends before it begins or too far away; it and those behind it are lost");
		}
		err = take_run(walk, base + start, run.end - start, run.val);
		start = run.end;
	}
	return err;
}

static int walk_node(struct walk *walk, const struct daxl_md_ref *ref, unsigned depth, daxl_fblk_t base,
                     daxl_fblk_t limit, bool root);

/* The children of the inner node in walk->buf. */
static int walk_children(struct walk *walk, unsigned depth, unsigned n, daxl_fblk_t base, daxl_fblk_t limit)
{
	struct daxl_md_child entries[DAXL_NODE_MAX];
	uint64_t start = 0;
	int err = 0;

	memcpy(entries, walk->buf.body, n * sizeof(entries[0]));
	for (unsigned i = 0; i < n && !err; i++) {
		if (entries[i].end <= start || entries[i].end > limit - base) {
			walk->check->lost = walk->check->orphans = true;
			return found(walk, base + start, DAXL_FINDING_UNKNOWN,
			             "a part of the map ends before it begins or too far away; it and all behind it "
			             "are lost");
		}
		err = walk_node(walk, &entries[i].ref, depth - 1, base + start, base + entries[i].end, false);
		start = entries[i].end;
	}
	return err;
}

/* A node whose blocks are those from base to limit of the file (of a root: at most). */
static int walk_node(struct walk *walk, const struct daxl_md_ref *ref, unsigned depth, daxl_fblk_t base,
                     daxl_fblk_t limit, bool root)
{
	struct daxl_check *check = walk->check;
	const struct daxl_page_expect expect = {
		.uuid = check->pool->super.uuid,
		.type = DAXL_PAGE_ROPE,
		.depth = (int)depth,
		.position_end = check->slot.position + 1,
		.any_owner = true,
	};
	size_t size = depth ? sizeof(struct daxl_md_child) : sizeof(struct daxl_md_run);
	struct daxl_where where = walk->where;
	char what[DAXL_NAME_MAX + 128], span[32] = "the end";

	where.file_off = daxl_blocks_to_bytes(base, check->pool->block_shift);
	if (!root)
		snprintf(span, sizeof(span), "%" PRIu64, daxl_blocks_to_bytes(limit, check->pool->block_shift));
	snprintf(what, sizeof(what), "file %" PRIu32 " ('%s'): the map of bytes %" PRIu64 " to %s", walk->ino->id,
	         where.file_name ? where.file_name : "", where.file_off, span);
	int rc = daxl_check_page(check, ref, &expect, &where, what, &walk->buf);
	if (rc)
		return rc < 0 ? rc : 0;
	unsigned n = walk->buf.hdr.count;
	if (n < 1 || n > DAXL_NODE_MAX || walk->buf.hdr.used != n * size) {
		check->lost = check->orphans = true;
		return found(walk, base, DAXL_FINDING_UNKNOWN, "a node of the map has an impossible number of entries");
	}
	uint64_t end;
	memcpy(&end, walk->buf.body + (n - 1) * size, sizeof(end));
	if (!root && end != limit - base) {
		rc = found(walk, base, DAXL_FINDING_UNKNOWN,
		           "a node of the map is not as long as the one above it says");
		if (rc)
			return rc;
	}
	return depth ? walk_children(walk, depth, n, base, limit) : take_runs(walk, walk->buf.body, n, base, limit);
}

/* A strict reading: what it met so far. */
struct strict {
	struct daxl_check *check;
	struct daxl_page_set pages;
};

static int strict_page(daxl_page_t page, void *arg)
{
	struct strict *strict = arg;
	const struct daxl_check *check = strict->check;
	bool fresh = false;

	if (!daxl_check_has_page(check, page))
		return daxl_fail(EUCLEAN, "page %" PRIu64 " is referred to, the pool does not have it", page);
	int err = daxl_page_set_has(&check->seen, page) ? 0 : daxl_page_set_add(&strict->pages, page, &fresh);

	return err || fresh ? err : daxl_fail(EUCLEAN, "page %" PRIu64 " is referred to twice", page);
}

static int strict_read(const struct daxl_md_ref *ref, const struct daxl_page_expect *expect,
                       const struct daxl_pagebuf *buf, void *arg)
{
	struct strict *strict = arg;

	return ref->copy ? daxl_check_copy(strict->check, ref, expect, buf) : 0;
}

static int strict_run(daxl_blk_t blk, daxl_nblk_t len, void *arg)
{
	const struct strict *strict = arg;

	if (!daxl_check_has_blocks(strict->check, blk, len))
		return daxl_fail(EUCLEAN, "a run lies outside of the pool");
	if (daxl_check_is_fixed(strict->check, blk, len))
		return daxl_fail(EUCLEAN, "a run has a block of a superblock, slot or the log");
	return 0;
}

/* No node has a page of its own: repair writes all of them anew, and frees those they were read from. */
static void forget_pages(struct daxl_node *node)
{
	for (unsigned i = 0; node->depth && i < node->count; i++)
		forget_pages(daxl_node_child(node, i));
	node->page[0] = node->page[1] = 0;
}

/* What a strict reading that went well has met counts. */
static int take_strict(struct strict *strict, struct daxl_node *root)
{
	struct daxl_check *check = strict->check;
	int err = daxl_check_mark_map(check, root);

	if (root)
		forget_pages(root);
	for (size_t i = 0; i < strict->pages.size && !err; i++) {
		daxl_page_t page = strict->pages.slots[i];
		bool fresh;

		if (page)
			err = daxl_page_set_add(&check->seen, page, &fresh);
		if (page && !err)
			err = daxl_page_set_add(&check->good, page, &fresh);
	}
	return err;
}

/* Reads a map as loading would, with both copies of each page. -EUCLEAN, -EIO: it is not as it should be. */
static int read_strictly(struct daxl_check *check, const struct daxl_md_ref *root, unsigned depth,
                         const struct daxl_md_run *runs, unsigned n, struct daxl_node **ret_node)
{
	struct daxl_pool *pool = check->pool;
	struct strict strict = {.check = check};
	struct daxl_rope_in in = {
		.media = pool->media,
		.slab = pool->slab,
		.uuid = pool->super.uuid,
		.len_max = pool->max_file_size >> pool->block_shift,
		.position_end = check->slot.position + 1,
		.page_fn = strict_page,
		.read_fn = strict_read,
		.run_fn = strict_run,
		.arg = &strict,
	};
	struct daxl_node *node = NULL;
	int err = root->page ? daxl_rope_read(&in, root, depth, &node) : daxl_rope_read_inline(&in, runs, n, &node);

	if (!err && in.copies_used)
		err = daxl_fail(EUCLEAN, "a page's first copy is bad");
	if (!err)
		err = take_strict(&strict, node);
	daxl_free(strict.pages.slots);
	if (err && node)
		daxl_node_free_tree(pool->slab, node);
	if (!err)
		*ret_node = node;
	return err;
}

/* Makes the map of what can be read; complaint: what the strict reading said. */
static int read_leniently(struct walk *walk, const struct daxl_md_ref *root, unsigned depth,
                          const struct daxl_md_run *runs, unsigned n, const char *complaint, struct daxl_node **ret_node)
{
	struct daxl_check *check = walk->check;
	uint64_t found_before = check->found;
	daxl_fblk_t limit = check->pool->max_file_size >> check->pool->block_shift;
	struct daxl_dropped dropped;

	daxl_edit_begin(&walk->edit, check->pool->slab, NULL);
	int err = root->page ? walk_node(walk, root, depth, 0, limit, true)
	                     : take_runs(walk, (const uint8_t *)runs, n, 0, limit);
	if (!err && check->found == found_before)
		err = found(walk, 0, DAXL_FINDING_UNKNOWN, complaint);
	if (err) {
		daxl_edit_abort(&walk->edit);
		return err;
	}
	*ret_node = daxl_edit_commit(&walk->edit, &dropped);
	daxl_dropped_free(&dropped, check->pool->slab, NULL, NULL);
	return 0;
}

int daxl_check_map(struct daxl_check *check, struct daxl_inode *ino, const struct daxl_md_ref *root, unsigned depth,
                   const struct daxl_md_run *runs, unsigned n)
{
	struct walk walk = {.check = check, .ino = ino, .where = DAXL_WHERE(DAXL_FINDING_MAP)};
	struct daxl_node *node = NULL;

	walk.where.file_id = ino->id;
	walk.where.file_name = ino->name ? ino->name->bytes : NULL;
	int err = read_strictly(check, root, depth, runs, n, &node);
	if (err == -EUCLEAN || err == -EIO) {
		char complaint[256];

		snprintf(complaint, sizeof(complaint), "%s", daxl_error_last());
		err = read_leniently(&walk, root, depth, runs, n, complaint, &node);
	}
	if (err)
		return err;
	ino->version->root = node;
	return 0;
}
