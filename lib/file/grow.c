/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A pool becomes larger while it is in use.
 *
 *     the medium is longer           a crash leaves a file with something behind the pool's end
 *     the new end superblock         nobody looks there while copies 0 and 1 name the old end
 *     GROW record                    the commit point; free space grows inside the gate
 *     superblocks end, middle, 0     one by one; the highest generation wins
 *     the old end's block is free    from now on data may overwrite the old end copy
 *
 * Records that use new blocks come behind the GROW record, for nobody can take one before that is durable. A crash
 * before the record leaves the old pool; should copies 0 and 1 be damaged as well, the end copy that is found gives the
 * new size, which is as good: free space behind what checkpoint and log know. A crash after it: replay makes the pool
 * larger, opening for writing rewrites the superblocks. A checkpoint in between puts the new size into its slot.
 */
#include <errno.h>
#include <inttypes.h>

#include "base/error.h"
#include "base/hook.h"
#include "file/ckpt.h"
#include "media/superblock.h"

struct growth {
	struct daxl_pool *pool;
	struct daxl_md_super super; /* as it will be */
};

/* The record is durable, we are inside the gate: the pool has its new size. */
static void grown(void *arg)
{
	struct growth *growth = arg;
	struct daxl_pool *pool = growth->pool;

	daxl_space_grow_extend(pool->space, daxl_bytes_to_blocks_exact(growth->super.pool_size, pool->block_shift));
	__atomic_fetch_add(&pool->fixed_blocks, 1, __ATOMIC_RELAXED);
	pool->super.generation = growth->super.generation;
	pool->super.devices[0].size = growth->super.pool_size;
	__atomic_store_n(&pool->super.pool_size, growth->super.pool_size, __ATOMIC_RELAXED);
}

/* The record is about no file, so no file is locked. */
static int DAXL_UNCHECKED commit_growth(struct growth *growth, bool *credit)
{
	const struct daxl_md_rec_grow body = {.new_size = growth->super.pool_size};
	struct daxl_record rec;

	daxl_record_init(&rec, DAXL_REC_GROW);
	int rc = daxl_record_put(&rec, &body, sizeof(body));
	if (!rc) {
		struct daxl_commit commit = {
			.pool = growth->pool, .rec = &rec, .published = grown, .published_arg = growth};
		rc = daxl_commit(&commit, credit);
	}
	daxl_record_free(&rec);
	return rc;
}

/* Does it; grow_mutex is held, new_size is whole blocks and above the present size. */
static int DAXL_HOLDS(POOL) enlarge(struct daxl_pool *pool, uint64_t new_size, bool *credit)
{
	struct growth growth = {.pool = pool, .super = pool->super};
	uint64_t old_size = pool->super.pool_size;
	daxl_nblk_t nblocks = daxl_bytes_to_blocks_exact(new_size, pool->block_shift);

	if (nblocks > DAXL_MD_RUN_BLOCK_MASK || new_size > INT64_MAX)
		return daxl_fail(EFBIG, "a pool of %" PRIu64 " bytes has more blocks than can be numbered", new_size);
	int rc = daxl_space_grow_prepare(pool->space, nblocks);
	if (!rc && new_size > daxl_media_size(pool->media))
		rc = daxl_media_grow(pool->media, new_size);
	if (rc)
		return rc;
	DAXL_HOOK("grow:longer");
	growth.super.pool_size = new_size;
	growth.super.generation++;
	daxl_super_write_end(pool->media, &growth.super);
	DAXL_HOOK("grow:end");
	rc = commit_growth(&growth, credit);
	if (rc)
		return rc;
	DAXL_HOOK("grow:committed");
	daxl_super_write(pool->media, &growth.super);
	daxl_pool_release_end(pool, old_size);
	return 0;
}

int daxl_pool_enlarge(struct daxl_pool *pool, uint64_t new_size)
{
	bool credit = true;

	new_size = daxl_blocks_to_bytes(daxl_bytes_to_blocks_down(new_size, pool->block_shift), pool->block_shift);
	int rc = daxl_credit_take(pool, DAXL_NEED_FREE);
	if (rc)
		return rc;
	daxl_mutex_lock(&pool->grow_mutex);
	if (new_size > pool->super.pool_size)
		rc = enlarge(pool, new_size, &credit);
	daxl_mutex_unlock(&pool->grow_mutex);
	if (credit)
		daxl_credit_give(pool);
	return rc;
}
