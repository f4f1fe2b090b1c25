/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What becomes of replaced versions.
 *
 * A replaced version, the nodes that only it had and the blocks it let go wait for a grace period, so that a copy
 * that looked its block up before the change never lands in a block that is somebody else's. They then part ways. The
 * blocks go back at once: a checkpoint does not need them, it writes maps and not data. Version, name and nodes go
 * back too, unless a checkpoint is running, which reads the maps as of its cut without a read section of its own.
 * While it runs they wait on pool->retired_wait until it ends: ckpt_active is set with the gate closed, so before any
 * version can be replaced that the checkpoint needs, and its grace period ends later still. A version replaced before
 * the cut may then wait for nothing; that does no harm.
 *
 * The grace period, and in which batches they go through it, is the business of reclaim.c.
 *
 * A node's pages belong to the last durable checkpoint and are handed to the checkpointer when the node goes. They
 * are read then, not earlier: a running checkpoint gives pages to nodes that are replaced already.
 */
#include "base/hook.h"
#include "file/file.h"

/* From the nodes' slab: one is made by nearly every operation and freed by another thread, which is what the slab is for. */
struct daxl_version *daxl_version_alloc(struct daxl_pool *pool)
{
	return daxl_slab_alloc(pool->slab, sizeof(struct daxl_version));
}

void daxl_version_free(struct daxl_pool *pool, struct daxl_version *version)
{
	if (version != NULL)
		daxl_slab_free(pool->slab, version, sizeof(*version));
}

static void page_gone(daxl_page_t page, daxl_page_t copy, void *arg)
{
	daxl_ckpt_page_retired(arg, page, copy);
}

/* The second half: nodes, version, name, attributes. */
static void free_nodes(struct daxl_pool *pool, struct daxl_version *old)
{
	daxl_dropped_free(&old->retired.dropped, pool->slab, page_gone, pool);
	if (old->drops_name)
		daxl_free(old->name);
	if (old->drops_attrs)
		daxl_free(old->attrs);
	daxl_version_free(pool, old);
}

/* While a checkpoint runs, hands it the list: true. Else the list is still the caller's, to be freed. */
static bool wait_for_checkpoint(struct daxl_pool *pool, struct daxl_version *first, struct daxl_version *last)
{
	daxl_mutex_lock(&pool->retire_mutex);
	bool wait = pool->ckpt_active;
	if (wait) {
		last->retired.next = pool->retired_wait;
		pool->retired_wait = first;
	}
	daxl_mutex_unlock(&pool->retire_mutex);
	return wait;
}

static void free_all(struct daxl_pool *pool, struct daxl_version *list)
{
	for (struct daxl_version *next; list != NULL; list = next) {
		next = list->retired.next;
		if (next != NULL)
			__builtin_prefetch(next->retired.dropped.nodes);
		free_nodes(pool, list);
	}
}

/* What operations look at too is touched once for all. */
void daxl_retire_free(struct daxl_pool *pool, struct daxl_version *list)
{
	struct daxl_version *last = list;
	struct daxl_refs refs;
	daxl_nblk_t blocks = 0;

	assert(list);
	daxl_unrefs_begin(&refs, pool->space);
	for (struct daxl_version *old = list; old != NULL; old = old->retired.next) {
		daxl_dropped_each_run(&old->retired.dropped, daxl_refs_add, &refs);
		blocks += old->retired.blocks;
		last = old;
	}
	daxl_refs_end(&refs);
	if (blocks != 0)
		daxl_tally_count(pool->tally, DAXL_TALLY_BLOCKS_OUT, -(int64_t)blocks);
	if (!wait_for_checkpoint(pool, list, last))
		free_all(pool, list);
}

void daxl_retire_flush(struct daxl_pool *pool)
{
	daxl_mutex_lock(&pool->retire_mutex);
	struct daxl_version *list = pool->retired_wait;
	pool->retired_wait = NULL;
	daxl_mutex_unlock(&pool->retire_mutex);
	free_all(pool, list);
}
