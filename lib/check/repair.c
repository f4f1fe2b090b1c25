/* SPDX-License-Identifier: BSD-3-Clause */
/* What repair changes, in memory: it sets blocks aside. The checkpoint that follows makes all of it durable. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/hook.h"
#include "check/check.h"
#include "file/names.h"
#include "map/rope_node.h"

#define QUARANTINE "lost+found.blocks"

struct quarantine {
	struct daxl_check *check;
	uint8_t *block; /* one block's bytes */
	struct daxl_edit edit;
	daxl_fblk_t end;        /* blocks in it so far */
	struct daxl_blkrun run; /* being collected */
};

static bool is_zero(const uint8_t *bytes, size_t len)
{
	return bytes[0] == 0 && memcmp(bytes, bytes + 1, len - 1) == 0;
}

/* Whether a page of the pool which nothing refers to holds one of an earlier checkpoint, intact. */
static bool is_outdated_page(struct daxl_check *check, daxl_page_t page, const uint8_t *bytes)
{
	struct daxl_pool *pool = check->pool;
	struct daxl_md_page hdr;

	memcpy(&hdr, bytes, sizeof(hdr));
	if (check->orphans || hdr.magic != DAXL_PAGE_MAGIC || hdr.self != page)
		return false;
	const struct daxl_page_expect expect = {
		.uuid = pool->super.uuid, .type = hdr.type, .depth = -1, .any_owner = true};
	return daxl_page_read(pool->media, &(struct daxl_md_ref){.page = page}, &expect, &check->other, NULL) == 0;
}

/* Whether there is nothing to lose in a block. */
static bool is_empty(struct daxl_check *check, daxl_blk_t blk, const uint8_t *bytes)
{
	daxl_page_t page = blk << (check->pool->block_shift - DAXL_PAGE_SHIFT);
	size_t size = (size_t)1 << check->pool->block_shift;

	for (size_t at = 0; at < size; at += DAXL_PAGE_SIZE, page++)
		if (!is_zero(bytes + at, DAXL_PAGE_SIZE) && !is_outdated_page(check, page, bytes + at))
			return false;
	return true;
}

/* Whether a block that nobody has is certain to hold nothing. */
static int proven_free(struct quarantine *q, daxl_blk_t blk, bool *ret)
{
	struct daxl_check *check = q->check;
	struct daxl_pool *pool = check->pool;
	size_t size = (size_t)1 << pool->block_shift;

	*ret = false;
	if (check->summary && check->clean && !(check->summary[blk / 8] >> (blk % 8) & 1)) {
		*ret = true;
		return 0;
	}
	int err = daxl_media_read(pool->media, daxl_blocks_to_bytes(blk, pool->block_shift), q->block, size);
	if (err == -EIO) /* who knows what is there */
		return 0;
	*ret = !err && is_empty(check, blk, q->block);
	return err;
}

/* Puts the run collected into the file. */
static int flush_run(struct quarantine *q)
{
	const struct daxl_run run = {.len = q->run.len, .blk = q->run.blk};

	if (run.len == 0)
		return 0;
	int err = daxl_space_mark(q->check->pool->space, run.blk, run.len);
	if (!err)
		err = daxl_edit_set(&q->edit, q->end, &run);
	q->end += run.len;
	q->run.len = 0;
	return err;
}

static int collect(struct quarantine *q)
{
	struct daxl_pool *pool = q->check->pool;
	daxl_nblk_t nblocks = daxl_bytes_to_blocks_exact(pool->super.pool_size, pool->block_shift);
	int err = 0;

	for (daxl_blk_t blk = 0; blk < nblocks && !err; blk++) {
		bool free;

		if (daxl_space_is_used(pool->space, blk))
			continue;
		err = proven_free(q, blk, &free);
		if (err || free)
			continue;
		if (q->run.len && blk == q->run.blk + q->run.len) {
			q->run.len++;
			continue;
		}
		err = flush_run(q);
		q->run = (struct daxl_blkrun){.blk = blk, .len = 1};
	}
	return err ? err : flush_run(q);
}

/* The file that has them; ends the edit in any case. */
static int make_file(struct quarantine *q)
{
	struct daxl_pool *pool = q->check->pool;
	struct daxl_dropped dropped;
	struct daxl_inode *ino;
	char name[64] = QUARANTINE;

	for (unsigned i = 1; daxl_names_find(pool, name, strlen(name)); i++)
		snprintf(name, sizeof(name), QUARANTINE ".%u", i);
	int err = daxl_check_add_file(q->check, 0, name, strlen(name), 0, &ino);
	if (err) {
		daxl_edit_abort(&q->edit);
		return err;
	}
	ino->version->root = daxl_edit_commit(&q->edit, &dropped);
	daxl_dropped_free(&dropped, pool->slab, NULL, NULL);
	ino->version->size = daxl_blocks_to_bytes(q->end, pool->block_shift);
	struct daxl_where where = DAXL_WHERE(DAXL_FINDING_OTHER);
	where.file_name = name;
	where.file_id = ino->id;
	return daxl_check_found(q->check, DAXL_SEVERITY_INFO, &where,
	                        "%" PRIu64
	                        " blocks that nothing has but that may have been in use are set aside in '%s'",
	                        q->end, name);
}

static int set_aside(struct daxl_check *check)
{
	struct quarantine q = {.check = check, .block = daxl_alloc((size_t)1 << check->pool->block_shift)};

	if (!q.block)
		return daxl_fail(ENOMEM, "no memory to look at blocks");
	daxl_edit_begin(&q.edit, check->pool->slab, NULL);
	int err = collect(&q);
	if (!err && q.end)
		err = make_file(&q);
	else
		daxl_edit_abort(&q.edit);
	daxl_free(q.block);
	return err;
}

static void erase_nameless(struct daxl_inode *ino, void *arg)
{
	if (!ino->name)
		daxl_inode_erase(arg, ino);
}

static void make_dirty(struct daxl_inode *ino, void *arg)
{
	(void)arg;
	daxl_ckpt_replayed(ino);
}

int daxl_check_put_right(struct daxl_check *check)
{
	struct daxl_pool *pool = check->pool;
	int err = check->lost ? set_aside(check) : 0;

	if (err)
		return err;
	daxl_ids_each(pool, erase_nameless, pool);
	daxl_ids_each(pool, make_dirty, NULL);
	daxl_ckpt_loaded(pool);
	return 0;
}
