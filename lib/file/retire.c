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
 * Retires go through grace periods in batches: at most one callback of a pool is out. pool->retire_list collects those
 * that wait for the next grace period, retire_grace has those whose one is under way. The callback frees the batch whose
 * grace period is over and sends the list into the next. The list's head says who has to begin:
 *
 *     NULL   nothing is out: who comes now is the batch, and queues the callback
 *     none   a grace period is under way, nothing waits for the next one
 *     else   the newest that waits
 *
 * liburcu's worker naps for 10 ms between its grace periods. A busy pool replaces ten thousand versions in that time, and
 * their memory has left every cache when it comes back, which costs more than all else an operation does. So while many
 * come, the callback stays: it paces itself with naps of 0.1 ms and has a grace period after each, so that what is
 * reused was used a moment ago. After PACE_ROUNDS it hands the worker back all the same, for other callbacks of the
 * process; and at once when few have come, or when somebody waits for frees.
 *
 * A node's pages belong to the last durable checkpoint and are handed to the checkpointer when the node goes. They
 * are read then, not earlier: a running checkpoint gives pages to nodes that are replaced already.
 */
#include <time.h>

#include "base/hook.h"
#include "file/file.h"

#define PACE_NS 100000l
#define PACE_ROUNDS 256u
#define PACE_FEW 32u /* versions in a round: not worth another */

/* From the nodes' slab: one is made by nearly every operation and freed by the RCU worker, which is what the slab is for. */
struct daxl_version *daxl_version_alloc(struct daxl_pool *pool)
{
	return daxl_slab_alloc(pool->slab, sizeof(struct daxl_version));
}

void daxl_version_free(struct daxl_pool *pool, struct daxl_version *version)
{
	if (version != NULL)
		daxl_slab_free(pool->slab, version, sizeof(*version));
}

static struct daxl_version none; /* its address is the mark */

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

/*
 * A batch's grace period is over: frees it and counts it. Returns how many there were. What operations look at too is
 * touched once for all.
 */
static size_t free_batch(struct daxl_pool *pool, struct daxl_version *list)
{
	struct daxl_version *last = list;
	daxl_nblk_t blocks = 0;
	size_t n = 0;

	assert(list);
	for (struct daxl_version *old = list; old != NULL; old = old->retired.next, n++) {
		daxl_dropped_each_run(&old->retired.dropped, unref_run, pool);
		blocks += old->retired.blocks;
		last = old;
	}
	if (blocks != 0)
		daxl_tally_count(pool->tally, DAXL_TALLY_BLOCKS_OUT, -(int64_t)blocks);
	if (!wait_for_checkpoint(pool, list, last))
		free_all(pool, list);
	/* Release: who sees the round over sees the blocks free. */
	__atomic_store_n(&pool->retire_rounds, pool->retire_rounds + 1, __ATOMIC_RELEASE);
	return n;
}

/* Whether the callback stays for the next batch; if so, it has waited for that to come together. */
static bool pace(const struct daxl_pool *pool, unsigned rounds, size_t last_batch)
{
	const struct timespec nap = {.tv_nsec = PACE_NS};

	if (rounds == 0) /* the worker has napped while it came */
		return true;
	if (rounds == PACE_ROUNDS || last_batch < PACE_FEW || __atomic_load_n(&pool->retire_waiters, __ATOMIC_RELAXED) != 0)
		return false;
	DAXL_HOOK("retire:pace");
	(void)nanosleep(&nap, NULL);
	return true;
}

/* On the RCU worker's thread. */
static void retire_batch(struct rcu_head *head)
{
	struct daxl_pool *pool = daxl_container_of(head, struct daxl_pool, retire_rcu);
	struct daxl_version *idle = &none;
	size_t n = free_batch(pool, pool->retire_grace);

	DAXL_HOOK("retire:batch");
	for (unsigned rounds = 0; pace(pool, rounds, n); rounds++) {
		struct daxl_version *list = __atomic_exchange_n(&pool->retire_list, &none, __ATOMIC_ACQUIRE);

		if (list == &none)
			break;
		daxl_rcu_synchronize();
		n = free_batch(pool, list);
	}
	/* Release: who sees NULL sees the blocks free. The pool may be gone then. */
	if (__atomic_compare_exchange_n(&pool->retire_list, &idle, NULL, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
		return;
	pool->retire_grace = __atomic_exchange_n(&pool->retire_list, &none, __ATOMIC_ACQUIRE);
	daxl_rcu_call(&pool->retire_rcu, retire_batch);
}

void daxl_retire_start(struct daxl_pool *pool, struct daxl_version *old)
{
	struct daxl_version *head = __atomic_load_n(&pool->retire_list, __ATOMIC_RELAXED);

	if (old->retired.blocks != 0)
		daxl_tally_count(pool->tally, DAXL_TALLY_BLOCKS_OUT, (int64_t)old->retired.blocks);
	do
		old->retired.next = head == &none ? NULL : head;
	while (!__atomic_compare_exchange_n(&pool->retire_list, &head, head != NULL ? old : &none, true,
	                                    __ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
	if (head == NULL) {
		pool->retire_grace = old;
		daxl_rcu_call(&pool->retire_rcu, retire_batch);
	}
}

void daxl_retire_flush(struct daxl_pool *pool)
{
	daxl_mutex_lock(&pool->retire_mutex);
	struct daxl_version *list = pool->retired_wait;
	pool->retired_wait = NULL;
	daxl_mutex_unlock(&pool->retire_mutex);
	free_all(pool, list);
}

bool daxl_wait_for_frees(struct daxl_pool *pool)
{
	daxl_assert_no_locks();
	/* One batch may be under way, and what came since then is in the next. */
	uint64_t begun = __atomic_load_n(&pool->retire_rounds, __ATOMIC_ACQUIRE);
	bool any = false;
	__atomic_fetch_add(&pool->retire_waiters, 1, __ATOMIC_RELAXED);
	while (__atomic_load_n(&pool->retire_list, __ATOMIC_ACQUIRE) != NULL &&
	       __atomic_load_n(&pool->retire_rounds, __ATOMIC_ACQUIRE) - begun < 2) {
		DAXL_HOOK("retire:wait");
		daxl_rcu_barrier();
		any = true;
	}
	__atomic_fetch_sub(&pool->retire_waiters, 1, __ATOMIC_RELAXED);
	return any;
}
