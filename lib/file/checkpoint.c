/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checkpoints: the files as of one moment, written while they change.
 *
 * The moment is the *cut*. With the gate closed nobody is between ticket and publish, so the versions published then
 * are exactly what the records below the log position P say; P goes into the slot, and replay starts there. With the
 * gate still closed the list of files changed since the last cut is taken, the cut number rises, and ckpt_active tells
 * the retiring side to keep what is replaced from now on. Then the gate opens.
 *
 * Which version of a file is that of the cut? The first change after a cut (daxl_ckpt_note) keeps the version it
 * replaces in cut_version and then sets dirty_cut to the cut's number, both before it publishes. So, reading in the
 * other order: the version, then dirty_cut; if that is not the running cut's, the version read is the cut's, else
 * cut_version is. No mutex is needed, and an operation that holds a file for long delays no checkpoint.
 *
 *     idle --cut--> nodes --> table --> directory --fence--> slot (two fences) --> idle
 *                     |         |           |
 *                     +---------+-----------+--no room, no memory--> idle: the old checkpoint stands
 *
 * Until the slot is written everything goes to pages that no checkpoint refers to. After it, the pages that it replaced
 * are freed: those of table and directory, and those retired before the cut. A page retired later (its node was
 * replaced after the cut) may be in this very checkpoint and waits for the next one. A node that got a page keeps it
 * even when the checkpoint fails: it never changes, and the next attempt needs it.
 *
 * A file's deletion is done with when a checkpoint without it is durable: then the tables' reference on it goes. A file
 * that is created and deleted between two cuts is in no checkpoint: its deletion takes it off the list again
 * (daxl_ckpt_knows), so short-lived files are memory that is used again at once, and no work for the checkpoint.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/bucket.h"
#include "base/error.h"
#include "base/hook.h"
#include "base/spin.h"
#include "file/ckpt.h"
#include "file/count.h"
#include "file/names.h"
#include "log/slots.h"
#include "map/rope_node.h"
#include "map/rope_store.h"

static struct daxl_inode *dirty_next(const struct daxl_inode *ino, uint64_t cut)
{
	return ino->dirty_next[cut & 1];
}

/*
 * Queues the file for the next cut. Its dirty_cut was not the present one and is now set. Only newborn files are ever taken
 * off again, and know what they hang on.
 */
static void dirty_push(struct daxl_pool *pool, struct daxl_inode *ino)
{
	daxl_spin_lock(&pool->dirty_lock);
	struct daxl_inode *head = pool->dirty;

	ino->dirty_next[pool->cut & 1] = head;
	if (ino->newborn)
		ino->dirty_prev = &pool->dirty;
	if (head && head->newborn)
		head->dirty_prev = &ino->dirty_next[pool->cut & 1];
	pool->dirty = ino;
	daxl_spin_unlock(&pool->dirty_lock);
}

/* Takes a newborn file off the list that was queued since the cut, in the gate. */
static void dirty_remove(struct daxl_pool *pool, struct daxl_inode *ino)
{
	daxl_spin_lock(&pool->dirty_lock);
	struct daxl_inode *next = ino->dirty_next[pool->cut & 1];

	*ino->dirty_prev = next;
	if (next && next->newborn)
		next->dirty_prev = ino->dirty_prev;
	daxl_spin_unlock(&pool->dirty_lock);
}

/*
 * A bound for the nodes without pages that a file can have: what its changes added, but never much more than its rope
 * has at all.
 */
static uint32_t nodes_bound(const struct daxl_inode *ino, const struct daxl_version *old, size_t added)
{
	uint64_t runs = old && old->root ? old->root->runs : 0;
	uint64_t most = runs / DAXL_NODE_MIN + added + DAXL_ROPE_DEPTH_MAX;

	return (uint32_t)daxl_min_u64(daxl_min_u64(ino->dirty_nodes + added, most), UINT32_MAX);
}

/* By how many bytes the change makes the file's record longer; runs aside, which are counted at the first change. */
static size_t record_growth(const struct daxl_version *old, const struct daxl_version *next)
{
	if (daxl_likely(old->name == next->name && old->attrs == next->attrs))
		return 0;
	size_t was = daxl_file_record_len(old), is = daxl_file_record_len(next);

	return is > was ? is - was : 0;
}

#define NEW_FILE_BYTES (sizeof(struct daxl_md_file) + DAXL_NAME_MAX)

/* A file of no checkpoint is deleted. */
static void forget(struct daxl_pool *pool, struct daxl_inode *ino)
{
	dirty_remove(pool, ino);
	__atomic_fetch_sub(&pool->ckpt->dirty_bytes, NEW_FILE_BYTES, __ATOMIC_RELAXED);
	__atomic_fetch_sub(&pool->ckpt->dirty_nodes, ino->dirty_nodes, __ATOMIC_RELAXED);
	__atomic_store_n(&ino->dirty_cut, 0, __ATOMIC_RELAXED);
}

bool daxl_ckpt_knows(const struct daxl_inode *ino)
{
	return __atomic_load_n(&ino->dirty_cut, __ATOMIC_RELAXED) != 0;
}

void daxl_ckpt_note(struct daxl_inode *ino, struct daxl_version *old, const struct daxl_version *next, size_t pages)
{
	struct daxl_pool *pool = ino->pool;
	struct daxl_ckpt *ckpt = pool->ckpt;

	daxl_mutex_assert_held(&ino->mutex);
	if (next->deleted && ino->newborn && ino->dirty_cut == pool->cut) {
		forget(pool, ino);
		return;
	}
	if (ino->dirty_cut != pool->cut) {
		ino->newborn = old == NULL;
		if (!ino->newborn && __atomic_load_n(&pool->ckpt_active, __ATOMIC_RELAXED))
			ino->cut_version = old;
		/* Pairs with the acquire in daxl_ckpt_version. */
		__atomic_store_n(&ino->dirty_cut, pool->cut, __ATOMIC_RELEASE);
		dirty_push(pool, ino);
		ino->dirty_nodes = 0;
		__atomic_fetch_add(&ckpt->dirty_files, old != NULL, __ATOMIC_RELAXED);
		__atomic_fetch_add(&ckpt->dirty_bytes,
		                   old ? daxl_file_record_len(old) + DAXL_FILE_INLINE_RUNS * sizeof(struct daxl_md_run)
		                       : NEW_FILE_BYTES,
		                   __ATOMIC_RELAXED);
	}
	size_t growth = old ? record_growth(old, next) : 0;
	if (growth)
		__atomic_fetch_add(&ckpt->dirty_bytes, growth, __ATOMIC_RELAXED);
	uint32_t nodes = nodes_bound(ino, old, pages);
	if (nodes > ino->dirty_nodes) {
		__atomic_fetch_add(&ckpt->dirty_nodes, nodes - ino->dirty_nodes, __ATOMIC_RELAXED);
		ino->dirty_nodes = nodes;
	}
}

struct daxl_version *daxl_ckpt_version(const struct daxl_inode *ino)
{
	struct daxl_version *version = __atomic_load_n(&ino->version, __ATOMIC_ACQUIRE);

	if (__atomic_load_n(&ino->dirty_cut, __ATOMIC_ACQUIRE) == ino->pool->cut)
		return ino->newborn ? NULL : ino->cut_version;
	return version;
}

void daxl_ckpt_replayed(struct daxl_inode *ino)
{
	ino->dirty_cut = ino->pool->cut;
}

static void queue_replayed(struct daxl_inode *ino, void *arg)
{
	struct daxl_pool *pool = arg;

	if (ino->dirty_cut == pool->cut)
		dirty_push(pool, ino);
}

void daxl_ckpt_loaded(struct daxl_pool *pool)
{
	daxl_ids_each(pool, queue_replayed, pool);
}

struct cut {
	uint64_t position;
	uint64_t number;          /* the list hangs on dirty_next of the cut before */
	struct daxl_inode *dirty; /* the files changed before it */
	uint64_t pool_size;
	uint32_t next_id;
	uint64_t dirty_nodes, dirty_files, dirty_bytes;
};

static void set_active(struct daxl_pool *pool, bool active)
{
	daxl_mutex_lock(&pool->retire_mutex);
	__atomic_store_n(&pool->ckpt_active, active, __ATOMIC_RELAXED);
	daxl_mutex_unlock(&pool->retire_mutex);
}

/* With the gate closed for a moment. */
static void DAXL_HOLDS(CHECKPOINT) take_cut(struct daxl_ckpt *ckpt, uint64_t new_epoch, struct cut *cut)
{
	struct daxl_pool *pool = ckpt->pool;

	cut->position = daxl_log_gate_close(pool->log);
	daxl_spin_lock(&pool->dirty_lock);
	cut->dirty = pool->dirty;
	pool->dirty = NULL;
	daxl_spin_unlock(&pool->dirty_lock);
	cut->number = ++pool->cut;
	set_active(pool, true);
	ckpt->retired_cut = daxl_ckpt_retired_count(ckpt);
	cut->dirty_nodes = __atomic_exchange_n(&ckpt->dirty_nodes, 0, __ATOMIC_RELAXED);
	cut->dirty_files = __atomic_exchange_n(&ckpt->dirty_files, 0, __ATOMIC_RELAXED);
	cut->dirty_bytes = __atomic_exchange_n(&ckpt->dirty_bytes, 0, __ATOMIC_RELAXED);
	cut->pool_size = pool->super.pool_size;
	cut->next_id = pool->next_id;
	if (new_epoch)
		daxl_log_set_epoch(pool->log, new_epoch);
	daxl_log_gate_open(pool->log);
	DAXL_HOOK("ckpt:cut");
}

static int page_get(void *arg, daxl_page_t avoid, daxl_page_t *ret_page)
{
	return daxl_ckpt_page_get(arg, avoid, ret_page);
}

static void page_put(void *arg, daxl_page_t page)
{
	daxl_ckpt_page_put(arg, page);
}

/* Writes the nodes of the files of the cut, and tells the table whose record changes. */
static int DAXL_HOLDS(CHECKPOINT) write_files(struct daxl_ckpt *ckpt, const struct cut *cut)
{
	struct daxl_rope_out *out = ckpt->out;
	struct daxl_pool *pool = ckpt->pool;

	out->media = pool->media;
	out->uuid = pool->super.uuid;
	out->position = cut->position;
	out->page_get = page_get;
	out->page_put = page_put;
	out->arg = ckpt;
	for (struct daxl_inode *ino = cut->dirty; ino; ino = dirty_next(ino, cut->number - 1)) {
		const struct daxl_version *version = daxl_ckpt_version(ino);

		assert(version && !version->damaged);
		if (version->deleted) {
			daxl_table_remove(&ckpt->table, ino);
			continue;
		}
		out->owner = ino->id;
		int err = daxl_rope_write(out, version->root);
		if (err)
			return err;
		daxl_table_touch(&ckpt->table, ino);
	}
	return 0;
}

/* Nothing has come of it: the files taken are dirty still. */
static void requeue(struct daxl_ckpt *ckpt, const struct cut *cut)
{
	struct daxl_pool *pool = ckpt->pool;
	struct daxl_inode *next;

	for (struct daxl_inode *ino = cut->dirty; ino; ino = next) {
		next = dirty_next(ino, cut->number - 1);
		daxl_mutex_lock(&ino->mutex);
		if (ino->dirty_cut != pool->cut) {
			ino->newborn = false; /* the table has it */
			__atomic_store_n(&ino->dirty_cut, pool->cut, __ATOMIC_RELEASE);
			dirty_push(pool, ino);
		}
		daxl_mutex_unlock(&ino->mutex);
	}
	__atomic_fetch_add(&ckpt->dirty_nodes, cut->dirty_nodes, __ATOMIC_RELAXED);
	__atomic_fetch_add(&ckpt->dirty_files, cut->dirty_files, __ATOMIC_RELAXED);
	__atomic_fetch_add(&ckpt->dirty_bytes, cut->dirty_bytes, __ATOMIC_RELAXED);
}

/* A durable checkpoint is without the deleted files of the cut. */
static void let_deleted_go(const struct cut *cut)
{
	struct daxl_inode *next;

	for (struct daxl_inode *ino = cut->dirty; ino; ino = next) {
		next = dirty_next(ino, cut->number - 1);
		if (daxl_ckpt_version(ino)->deleted)
			daxl_inode_put(ino);
	}
}

/* The checkpoint has ended, either way: what waited for it is freed. */
static void end_cut(struct daxl_pool *pool)
{
	set_active(pool, false);
	daxl_retire_flush(pool);
}

/* Makes the slot the newest checkpoint; all that it refers to is durable. */
static void DAXL_HOLDS(CHECKPOINT) publish_slot(struct daxl_ckpt *ckpt, struct daxl_md_slot *slot)
{
	struct daxl_pool *pool = ckpt->pool;

	slot->generation = ckpt->slot.generation + 1;
	daxl_slot_write(pool->media, &pool->super, slot, 1 - ckpt->which);
	ckpt->which = 1 - ckpt->which;
	ckpt->slot = *slot;
	__atomic_fetch_add(&ckpt->completed, 1, __ATOMIC_RELAXED);
}

/* Writes a checkpoint. The mutex is held. */
static int DAXL_HOLDS(CHECKPOINT) write_checkpoint(struct daxl_ckpt *ckpt, uint64_t new_epoch)
{
	struct daxl_pool *pool = ckpt->pool;
	struct daxl_md_slot slot = {0};
	struct cut cut;
	uint64_t number = __atomic_add_fetch(&ckpt->begun, 1, __ATOMIC_ACQ_REL);

	take_cut(ckpt, new_epoch, &cut);
	slot.pool_size = cut.pool_size;
	slot.position = cut.position;
	slot.cut = cut.number;
	slot.epoch = new_epoch ? new_epoch : pool->epoch;
	slot.next_id = cut.next_id;
	int err = write_files(ckpt, &cut);
	if (!err)
		err = daxl_table_write(ckpt, cut.position, &slot);
	/* Also after a failure: nodes keep their pages, and the next checkpoint may be another thread's. */
	daxl_media_fence(pool->media);
	DAXL_HOOK("ckpt:written");
	if (err) {
		daxl_table_undo(ckpt);
		requeue(ckpt, &cut);
		end_cut(pool);
		return err;
	}
	publish_slot(ckpt, &slot);
	DAXL_HOOK("ckpt:durable");
	daxl_log_advance(pool->log, cut.position);
	daxl_table_done(ckpt);
	daxl_ckpt_retired_free(ckpt, ckpt->retired_cut);
	let_deleted_go(&cut);
	end_cut(pool);
	ckpt->done = number;
	return 0;
}

static int DAXL_HOLDS(CHECKPOINT) run(struct daxl_ckpt *ckpt, uint64_t new_epoch)
{
	uint64_t start = daxl_now_ns();
	int err = write_checkpoint(ckpt, new_epoch);

	if (ckpt->pool->tally)
		daxl_tally_time(ckpt->pool->tally, DAXL_HISTOGRAM_CHECKPOINT, daxl_now_ns() - start);
	return err;
}

/* Whether a checkpoint would say just what the last one says. The mutex is held, nothing else is going on. */
static bool DAXL_HOLDS(CHECKPOINT) nothing_new(struct daxl_ckpt *ckpt)
{
	struct daxl_pool *pool = ckpt->pool;
	struct daxl_log_stat log;

	daxl_log_stat(pool->log, &log);
	daxl_spin_lock(&pool->dirty_lock);
	bool clean = !pool->dirty;

	daxl_spin_unlock(&pool->dirty_lock);
	return clean && daxl_ckpt_retired_count(ckpt) == 0 && log.head == ckpt->slot.position;
}

/* The last act of a clean close: a slot that says so, with the summary. Frees must have ended; the mutex is held. */
static void DAXL_HOLDS(CHECKPOINT) mark_clean(struct daxl_ckpt *ckpt)
{
	struct daxl_pool *pool = ckpt->pool;
	struct daxl_md_slot slot = ckpt->slot;
	struct daxl_space_stat stat;

	slot.flags |= DAXL_SLOT_CLEAN;
	daxl_mutex_lock(&ckpt->page_mutex);
	bool lost = ckpt->lost;
	daxl_mutex_unlock(&ckpt->page_mutex);
	if (!lost)
		daxl_summary_write(ckpt, slot.position, &slot);
	daxl_space_stat(pool->space, &stat);
	slot.free_blocks = stat.free;
	daxl_media_fence(pool->media);
	publish_slot(ckpt, &slot);
}

static int run_clean(struct daxl_ckpt *ckpt)
{
	int err = 0;

	/* A checkpoint frees pages and retires nodes: the second one frees theirs, and a third should find nothing. */
	for (unsigned i = 0; i < 4 && !err; i++) {
		(void)daxl_wait_for_frees(ckpt->pool);
		daxl_mutex_lock(&ckpt->mutex);
		bool ready = nothing_new(ckpt);
		if (!ready)
			err = run(ckpt, 0);
		else if (!(ckpt->slot.flags & DAXL_SLOT_CLEAN))
			mark_clean(ckpt);
		daxl_mutex_unlock(&ckpt->mutex);
		if (ready)
			break;
	}
	return err;
}

static int ckpt_run(struct daxl_pool *pool, bool clean, uint64_t new_epoch)
{
	struct daxl_ckpt *ckpt = pool->ckpt;
	uint64_t begun = __atomic_load_n(&ckpt->begun, __ATOMIC_ACQUIRE);
	int err = 0;

	if (pool->read_only)
		return daxl_fail(EROFS, "a checkpoint of a pool that is open read-only");
	daxl_assert_no_locks();
	if (clean)
		return run_clean(ckpt);
	daxl_mutex_lock(&ckpt->mutex);
	/* One that began after this call will do. */
	if (new_epoch || ckpt->done <= begun)
		err = run(ckpt, new_epoch);
	daxl_mutex_unlock(&ckpt->mutex);
	return err;
}

int daxl_ckpt_run(struct daxl_pool *pool, bool clean, uint64_t new_epoch)
{
	struct daxl_toll outer = daxl_toll_begin();
	struct daxl_count count = daxl_count_begin(pool->tally, DAXL_STAT_CHECKPOINT);
	int rc = daxl_count_end_int(&count, ckpt_run(pool, clean, new_epoch));

	daxl_toll_end(outer);
	return rc;
}

int DAXL_ALONE daxl_ckpt_create(struct daxl_pool *pool, struct daxl_ckpt **ret_ckpt)
{
	struct daxl_ckpt *ckpt = daxl_zalloc(sizeof(*ckpt));
	struct daxl_rope_out *out = daxl_zalloc(sizeof(*out));

	if (!ckpt || !out) {
		daxl_free(ckpt);
		daxl_free(out);
		return daxl_fail(ENOMEM, "no memory for checkpoints");
	}
	ckpt->pool = pool;
	ckpt->out = out;
	daxl_mutex_init(&ckpt->mutex, DAXL_RANK_CHECKPOINT);
	daxl_mutex_init(&ckpt->page_mutex, DAXL_RANK_SLAB);
	daxl_table_init(&ckpt->table);
	*ret_ckpt = ckpt;
	return 0;
}

void DAXL_ALONE daxl_ckpt_destroy(struct daxl_ckpt *ckpt)
{
	daxl_table_fini(&ckpt->table);
	daxl_free(ckpt->retired);
	daxl_free(ckpt->out);
	daxl_mutex_destroy(&ckpt->mutex);
	daxl_mutex_destroy(&ckpt->page_mutex);
	daxl_free(ckpt);
}

void daxl_ckpt_stat(const struct daxl_pool *pool, uint64_t *ret_checkpoints, uint64_t *ret_pages)
{
	struct daxl_ckpt *ckpt = pool->ckpt;

	*ret_checkpoints = __atomic_load_n(&ckpt->completed, __ATOMIC_RELAXED);
	daxl_mutex_lock(&ckpt->page_mutex);
	*ret_pages = ckpt->live;
	daxl_mutex_unlock(&ckpt->page_mutex);
}
