/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Commit: a holder publishes what its device wrote. It is not a break and waits for nobody: it persists the range, then, under the file's mutex, checks that the lease
 * still stands, converts the unwritten blocks and moves the size in one record.
 */
#include "ops/commit.h"

#include <errno.h>

#include "base/error.h"
#include "base/hook.h"
#include "ops/extents.h"
#include "ops/ops.h"

void daxl_commit_credit_give(void *file, unsigned slots)
{
	const struct daxl_inode *ino = file;

	daxl_log_credit_give(ino->pool->log, slots);
}

/* Credit for one commit; runs checkpoints as the log asks for them. */
static int take_commit_credit(struct daxl_pool *pool)
{
	for (;;) {
		int rc = daxl_log_credit_take(pool->log, DAXL_COMMIT_SLOTS);

		if (rc == 0)
			return 0;
		if (rc != 1 && rc != -EAGAIN)
			return daxl_fail(-rc, "the log is too small for a further WRITE lease's commit");
		daxl_toll.log_waits |= rc == -EAGAIN;
		int err = daxl_ckpt_run(pool, false, pool->epoch);

		if (rc == 1)
			return 0; /* taken; a checkpoint that failed is the next operation's trouble */
		if (err)
			return err;
	}
}

int daxl_commit_credit_keep(struct daxl_lease *lease, struct daxl_pool *pool)
{
	int rc = take_commit_credit(pool);

	if (!rc)
		daxl_lease_set_credit(lease, DAXL_COMMIT_SLOTS);
	return rc;
}

struct flush {
	struct daxl_pool *pool;
	uint64_t off, end;
};

static int flush_run(daxl_fblk_t at, const struct daxl_run *run, void *arg)
{
	struct flush *f = arg;
	unsigned shift = f->pool->block_shift;
	uint64_t base = daxl_blocks_to_bytes(at, shift);
	uint64_t from = daxl_max_u64(base, f->off);
	uint64_t to = daxl_min_u64(base + daxl_blocks_to_bytes(run->len, shift), f->end);

	if (!(run->flags & DAXL_RUN_HOLE))
		daxl_media_flush(f->pool->media, daxl_pool_addr(f->pool, run->blk) + (from - base), to - from);
	return 0;
}

int daxl_do_lease_persist(struct daxl_lease *lease, uint64_t off, uint64_t len)
{
	struct daxl_inode *ino = daxl_lease_file(lease);
	unsigned shift = ino->pool->block_shift;
	daxl_fblk_t start = daxl_bytes_to_blocks_down(off, shift), end = daxl_bytes_to_blocks_up(off + len, shift);
	struct flush f = { .pool = ino->pool, .off = off, .end = off + len };

	if (daxl_lease_is_stale(lease))
		return daxl_fail(ESTALE, "the lease is returned or revoked");
	if (!daxl_lease_covers(lease, start, end))
		return daxl_fail(ERANGE, "[%llu, %llu) is not all in the lease", (unsigned long long)off,
		                 (unsigned long long)(off + len));
	daxl_rcu_read_lock();
	(void)daxl_rope_walk(daxl_version_get(ino)->root, start, end, flush_run, &f);
	daxl_rcu_read_unlock();
	daxl_media_fence(ino->pool->media);
	return 0;
}

struct commit_op {
	struct daxl_inode *ino;
	struct daxl_lease *lease;
	uint64_t off, end;     /* bytes to publish */
	uint64_t new_size;
	bool set_size;
	struct daxl_change change;
	struct daxl_record rec;
	bool changed, stored;
	struct daxl_clause *shown; /* what was unwritten, for the READ leases that show it */
	size_t nshown;
	struct daxl_clause one;
};

static int convert_run(daxl_fblk_t at, const struct daxl_run *run, void *arg)
{
	struct commit_op *c = arg;
	int rc;

	if (!(run->flags & DAXL_RUN_UNWRITTEN))
		return 0;
	rc = daxl_edit_convert(&c->change.edit, at, run->len);
	if (!rc)
		rc = daxl_record_map_edit(&c->rec, at, run->len, DAXL_EDIT_CONVERT);
	c->changed = true;
	if (c->shown)
		c->shown[c->nshown] = (struct daxl_clause){
			.start = at, .end = at + run->len, .level = DAXL_LEVEL_W, .who = DAXL_WHO_HOLE
		};
	c->nshown++;
	return rc;
}

static int count_unwritten(daxl_fblk_t at, const struct daxl_run *run, void *arg)
{
	(void)at;
	if (run->flags & DAXL_RUN_UNWRITTEN)
		(*(size_t *)arg)++;
	return 0;
}

struct zero_gap {
	struct commit_op *c;
	uint64_t from, to;
};

static int zero_run(daxl_fblk_t at, const struct daxl_run *run, void *arg)
{
	struct zero_gap *z = arg;
	struct daxl_pool *pool = z->c->ino->pool;
	uint64_t base = daxl_blocks_to_bytes(at, pool->block_shift);
	uint64_t from = daxl_max_u64(base, z->from);
	uint64_t to = daxl_min_u64(base + daxl_blocks_to_bytes(run->len, pool->block_shift), z->to);

	if (!(run->flags & DAXL_RUN_HOLE))
		daxl_media_zero(pool->media, daxl_pool_addr(pool, run->blk) + (from - base), to - from);
	z->c->stored = true;
	return 0;
}

/* Under the mutex: the size as it will be, and the blocks [start, end) to convert. -ERANGE when the lease does not reach. */
static int plan_size(struct commit_op *c, uint64_t size, daxl_fblk_t *ret_start, daxl_fblk_t *ret_end)
{
	unsigned shift = c->ino->pool->block_shift;
	bool grows = c->set_size && c->new_size > size;

	*ret_start = daxl_bytes_to_blocks_down(c->off, shift);
	*ret_end = daxl_bytes_to_blocks_up(c->end, shift);
	if (c->set_size && c->new_size > size && (c->new_size <= c->off || c->new_size > c->end))
		return daxl_fail(ERANGE, "new size %llu is not inside the committed range [%llu, %llu)",
		                 (unsigned long long)c->new_size, (unsigned long long)c->off,
		                 (unsigned long long)c->end);
	if (grows && size < c->off) {
		*ret_start = daxl_bytes_to_blocks_down(size, shift);
		if (!daxl_lease_covers(c->lease, *ret_start, *ret_end))
			return daxl_fail(ERANGE, "the file ends at %llu and the lease does not cover what lies before %llu",
			                 (unsigned long long)size, (unsigned long long)c->off);
	}
	/* Blocks that start at or past the size stay unwritten until a commit moves the size over them. */
	*ret_end = daxl_min_u64(*ret_end, daxl_bytes_to_blocks_up(grows ? c->new_size : size, shift));
	if (*ret_end < *ret_start)
		*ret_end = *ret_start;
	return 0;
}

/* Under the mutex: the next version and its record. */
static int DAXL_HOLDS(FILE) build(struct commit_op *c)
{
	daxl_fblk_t start, end;
	size_t unwritten = 0;
	int rc;

	if (!daxl_lease_may_commit(c->lease) || c->ino->version->deleted)
		return daxl_fail(ESTALE, "the lease is returned or revoked");
	uint64_t size = c->ino->version->size;

	rc = plan_size(c, size, &start, &end);
	if (rc)
		return rc;
	(void)daxl_rope_walk(c->ino->version->root, start, end, count_unwritten, &unwritten);
	if (unwritten == 1) {
		c->shown = &c->one;
	} else if (unwritten) {
		c->shown = daxl_alloc(unwritten * sizeof(*c->shown));
		if (!c->shown)
			return daxl_fail(ENOMEM, "no memory to commit %zu unwritten runs", unwritten);
	}
	rc = daxl_change_begin(&c->change, c->ino, true);
	if (rc)
		return rc;
	rc = daxl_record_map_begin(&c->rec, DAXL_REC_MAP, c->ino->id);
	if (!rc)
		rc = daxl_rope_walk(c->change.old->root, start, end, convert_run, c);
	if (!rc && c->set_size && c->new_size > size) {
		if (size < c->off) {
			struct zero_gap z = { .c = c, .from = size, .to = c->off };
			unsigned shift = c->ino->pool->block_shift;

			(void)daxl_rope_walk(c->change.old->root, start, daxl_bytes_to_blocks_up(c->off, shift), zero_run, &z);
		}
		c->change.next->size = c->new_size;
		c->changed = true;
	}
	if (rc)
		daxl_change_abort(&c->change);
	return rc;
}

/* Under the mutex, after build. */
static int DAXL_HOLDS(FILE) publish(struct commit_op *c, unsigned *slots)
{
	struct daxl_change *change = &c->change;
	struct daxl_commit commit = {
		.pool = c->ino->pool, .changes = &change, .nchanges = 1, .rec = &c->rec
	};

	if (!c->changed) {
		daxl_change_abort(change);
		return 0;
	}
	if (c->stored)
		daxl_media_fence(c->ino->pool->media);
	daxl_record_map_finish(&c->rec, change->next->size, change->next->ctime_ns);
	int rc = daxl_commit_with(&commit, slots);

	if (rc)
		daxl_change_abort(change);
	return rc;
}

int daxl_do_commit(struct daxl_lease *lease, uint64_t off, uint64_t len, uint64_t new_size, bool set_size)
{
	struct daxl_inode *ino = daxl_lease_file(lease);
	struct commit_op c = {
		.ino = ino, .lease = lease, .off = off, .end = off + len, .new_size = new_size, .set_size = set_size
	};

	if (!daxl_lease_is_write(lease))
		return daxl_fail(ERANGE, "a READ lease has nothing to commit");
	int rc = daxl_do_lease_persist(lease, off, len);

	if (rc)
		return rc;
	unsigned slots = daxl_lease_take_credit(lease);

	if (slots == 0) {
		rc = take_commit_credit(ino->pool);
		if (rc)
			return rc;
		slots = DAXL_COMMIT_SLOTS;
	}
	daxl_record_init(&c.rec, DAXL_REC_MAP);
	daxl_mutex_lock(&ino->mutex);
	DAXL_HOOK("commit:locked");
	rc = build(&c);
	if (!rc)
		rc = publish(&c, &slots);
	daxl_mutex_unlock(&ino->mutex);
	daxl_record_free(&c.rec);
	if (!rc && c.changed && c.nshown)
		daxl_recall_nowait(ino->rl, c.shown, c.nshown, daxl_lease_owner(lease), DAXL_REASON_COMMIT);
	if (c.shown != &c.one)
		daxl_free(c.shown);
	if (slots)
		daxl_log_credit_give(ino->pool->log, slots);
	if (daxl_lease_may_commit(lease) && take_commit_credit(ino->pool) == 0)
		daxl_lease_set_credit(lease, DAXL_COMMIT_SLOTS);
	return rc;
}

static int add_span(daxl_fblk_t start, daxl_fblk_t end, void *arg)
{
	struct daxl_extent_list *list = arg;

	daxl_extents_add(list, list->version, start, end);
	return 0;
}

ssize_t daxl_do_lease_extents(struct daxl_lease *lease, struct daxl_extent *exts, size_t max)
{
	struct daxl_inode *ino = daxl_lease_file(lease);
	struct daxl_extent_list list = {
		.pool = ino->pool, .exts = exts, .max = max, .show_unwritten = daxl_lease_is_write(lease)
	};

	if (daxl_lease_is_stale(lease))
		return daxl_fail(ESTALE, "the lease is returned or revoked");
	daxl_rcu_read_lock();
	list.version = daxl_version_get(ino);
	bool deleted = list.version->deleted;
	int rc = daxl_lease_each_span(lease, add_span, &list);
	ssize_t n = daxl_extents_finish(&list);

	daxl_rcu_read_unlock();
	if (deleted)
		return daxl_fail(ESTALE, "the lease's file has been deleted");
	return rc ? rc : n;
}
