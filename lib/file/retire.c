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
 * A node's pages belong to the last durable checkpoint and are handed to the checkpointer when the node goes. They
 * are read then, not earlier: a running checkpoint gives pages to nodes that are replaced already.
 */
#include <string.h>

#include "base/hook.h"
#include "file/file.h"

/*
 * Versions and retires come from the nodes' slab: one of each is made by nearly every operation and freed by the RCU
 * worker, which is what the slab is for.
 */
struct daxl_version *daxl_version_alloc(struct daxl_pool *pool)
{
	return daxl_slab_alloc(pool->slab, sizeof(struct daxl_version));
}

void daxl_version_free(struct daxl_pool *pool, struct daxl_version *version)
{
	if (version != NULL)
		daxl_slab_free(pool->slab, version, sizeof(*version));
}

struct daxl_retire *daxl_retire_alloc(struct daxl_pool *pool)
{
	struct daxl_retire *retire = daxl_slab_alloc(pool->slab, sizeof(*retire));
	if (retire != NULL)
		memset(retire, 0, sizeof(*retire));
	return retire;
}

void daxl_retire_free(struct daxl_pool *pool, struct daxl_retire *retire)
{
	if (retire != NULL)
		daxl_slab_free(pool->slab, retire, sizeof(*retire));
}

static void unref_run(daxl_blk_t blk, daxl_nblk_t len, void *arg)
{
	struct daxl_pool *pool = arg;
	daxl_space_unref(pool->space, blk, len);
}

static void page_gone(daxl_page_t page, daxl_page_t copy, void *arg)
{
	daxl_ckpt_page_retired(arg, page, copy);
}

/* The second half: nodes, version, name, attributes. */
static void free_nodes(struct daxl_retire *retire)
{
	struct daxl_pool *pool = retire->pool;
	daxl_dropped_free(&retire->dropped, pool->slab, page_gone, pool);
	if (retire->drop_name)
		daxl_free(retire->old->name);
	if (retire->drop_attrs)
		daxl_free(retire->old->attrs);
	daxl_version_free(pool, retire->old);
	daxl_retire_free(pool, retire);
}

/* The grace period is over. On the RCU worker's thread. */
static void retire_now(struct rcu_head *head)
{
	struct daxl_retire *retire = daxl_container_of(head, struct daxl_retire, rcu);
	struct daxl_pool *pool = retire->pool;

	daxl_dropped_each_run(&retire->dropped, unref_run, pool);
	__atomic_fetch_sub(&pool->blocks_out, retire->blocks, __ATOMIC_RELAXED);
	daxl_mutex_lock(&pool->retire_mutex);
	bool wait = pool->ckpt_active;
	if (wait) {
		retire->next = pool->retired_wait;
		pool->retired_wait = retire;
	}
	daxl_mutex_unlock(&pool->retire_mutex);
	if (!wait)
		free_nodes(retire);
	/* Release: who sees the count fall sees the blocks free. */
	__atomic_fetch_sub(&pool->retires_out, 1, __ATOMIC_RELEASE);
}

void daxl_retire_start(struct daxl_retire *retire)
{
	struct daxl_pool *pool = retire->pool;
	__atomic_fetch_add(&pool->retires_out, 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&pool->blocks_out, retire->blocks, __ATOMIC_RELAXED);
	daxl_rcu_call(&retire->rcu, retire_now);
}

void daxl_retire_flush(struct daxl_pool *pool)
{
	daxl_mutex_lock(&pool->retire_mutex);
	struct daxl_retire *list = pool->retired_wait;
	pool->retired_wait = NULL;
	daxl_mutex_unlock(&pool->retire_mutex);
	while (list != NULL) {
		struct daxl_retire *retire = list;
		list = retire->next;
		free_nodes(retire);
	}
}

bool daxl_wait_for_frees(struct daxl_pool *pool)
{
	daxl_assert_no_locks();
	if (__atomic_load_n(&pool->retires_out, __ATOMIC_ACQUIRE) == 0)
		return false;
	daxl_rcu_barrier();
	return true;
}
