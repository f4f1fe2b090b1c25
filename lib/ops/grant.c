/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Granting a lease.
 *
 * Where nothing is queued over the range, no lease conflicts and the map needs no change, the grant is one critical section of the range lock. Else it is an
 * operation like any other: it closes the range, recalls who cannot stand beside it, makes the map fit for a WRITE lease, and becomes a lease before the range opens (L9).
 *
 * A WRITE lease has its own blocks everywhere. Those that start below the size are written: holes get zeroed blocks, unwritten runs are zeroed and converted. Those at
 * or past the size are zeroed but stay unwritten until a commit moves the size over them. An unwritten run under another unreturned WRITE lease is zeroed already and holds
 * that holder's data: it is left alone; one that a returned lease still pins has to be waited for.
 */
#include <errno.h>

#include "base/bucket.h"
#include "base/error.h"
#include "base/hook.h"
#include "lease/lease.h"
#include "ops/commit.h"
#include "ops/op.h"
#include "ops/ops.h"

struct grant_op {
	struct daxl_op op;
	struct daxl_lease *lease;
	daxl_fblk_t start, end;
	bool write;
	daxl_nblk_t need;
};

/* Blocks of an unwritten run from at: *ret_n of them are all in one state. 0: to be zeroed; 1: another holder's data; 2: a returned lease pins them. */
static int unwritten_state(const struct grant_op *g, daxl_fblk_t at, daxl_nblk_t len, daxl_nblk_t *ret_n)
{
	daxl_fblk_t s, e;
	int state = daxl_lease_other_writer(g->op.f[0].ino->rl, g->lease, at, at + len, &s, &e);

	if (state == 0) {
		*ret_n = len;
		return 0;
	}
	if (s > at) {
		*ret_n = s - at;
		return 0;
	}
	*ret_n = e - at;
	return state;
}

/* Splits [at, at + len) where the size lies: *ret_n blocks from at all start below it (true) or not. */
static bool below_size(const struct daxl_op *op, daxl_fblk_t at, daxl_nblk_t len, daxl_nblk_t *ret_n)
{
	daxl_fblk_t border = daxl_op_blk_up(op, op->f[0].v->size);

	*ret_n = at < border ? daxl_min_u64(len, border - at) : len;
	return at < border;
}

static int plan_write_run(daxl_fblk_t at, const struct daxl_run *run, void *arg)
{
	struct grant_op *g = arg;
	struct daxl_op *op = &g->op;

	if (run->flags & DAXL_RUN_HOLE) {
		daxl_op_clause(op, 0, at, at + run->len, DAXL_LEVEL_W, DAXL_WHO_HOLE);
		return 0;
	}
	for (daxl_nblk_t i = 0, n; i < run->len; i += n)
		if (daxl_space_is_shared(op->pool->space, run->blk + i, run->len - i, &n))
			daxl_op_clause(op, 0, at + i, at + i + n, DAXL_LEVEL_U, DAXL_WHO_ALL);
	if (!(run->flags & DAXL_RUN_UNWRITTEN))
		return 0;
	for (daxl_nblk_t i = 0, n; i < run->len; i += n) {
		if (below_size(op, at + i, run->len - i, &n))
			daxl_op_clause(op, 0, at + i, at + i + n, DAXL_LEVEL_W, DAXL_WHO_HOLE);
		if (unwritten_state(g, at + i, n, &n) == 2)
			daxl_op_clause(op, 0, at + i, at + i + n, DAXL_LEVEL_U, DAXL_WHO_WRITE);
	}
	return 0;
}

static int plan_grant(struct daxl_op *op)
{
	struct grant_op *g = daxl_container_of(op, struct grant_op, op);
	struct daxl_clause conflicts[4];
	size_t n = daxl_lease_grant_clauses(g->lease, conflicts);

	daxl_op_close(op, 0, g->start, g->end);
	for (size_t i = 0; i < n; i++)
		daxl_op_add_clause(op, &conflicts[i]);
	return g->write && op->want_clauses ? daxl_rope_walk(op->f[0].v->root, g->start, g->end, plan_write_run, g) : 0;
}

static int count_run(daxl_fblk_t at, const struct daxl_run *run, void *arg)
{
	struct grant_op *g = arg;

	(void)at;
	if (run->flags & DAXL_RUN_HOLE)
		g->need += run->len;
	else
		for (daxl_nblk_t i = 0, n; i < run->len; i += n)
			if (daxl_space_is_shared(g->op.pool->space, run->blk + i, run->len - i, &n))
				g->need += n;
	return 0;
}

/* An unwritten, unshared piece in one state on one side of the size. */
static int DAXL_HOLDS(FILE)
settle_unwritten(struct grant_op *g, daxl_fblk_t at, daxl_nblk_t len, daxl_blk_t blk, bool below)
{
	struct daxl_op *op = &g->op;

	for (daxl_nblk_t i = 0, n; i < len; i += n)
		if (unwritten_state(g, at + i, len - i, &n) == 0) {
			daxl_media_zero(op->pool->media, daxl_pool_addr(op->pool, blk + i), daxl_op_bytes(op, n));
			op->stored = true;
		}
	return below ? daxl_op_convert(op, 0, at, len) : 0;
}

static int DAXL_HOLDS(FILE) grant_run(daxl_fblk_t at, const struct daxl_run *run, void *arg)
{
	struct grant_op *g = arg;
	struct daxl_op *op = &g->op;
	bool unwritten = run->flags & DAXL_RUN_UNWRITTEN, hole = run->flags & DAXL_RUN_HOLE;
	int rc = 0;

	for (daxl_nblk_t i = 0, n; !rc && i < run->len; i += n) {
		bool below = below_size(op, at + i, run->len - i, &n);
		bool shared = !hole && daxl_space_is_shared(op->pool->space, run->blk + i, n, &n);

		if (hole || (shared && unwritten))
			rc = daxl_op_set_zeroed(op, 0, at + i, n, below ? 0 : DAXL_RUN_UNWRITTEN);
		else if (shared)
			rc = daxl_op_set_copy(op, 0, at + i, n, run->blk + i);
		else if (unwritten)
			rc = settle_unwritten(g, at + i, n, run->blk + i, below);
	}
	return rc;
}

static int DAXL_HOLDS(FILE) build_grant(struct daxl_op *op)
{
	struct grant_op *g = daxl_container_of(op, struct grant_op, op);
	const struct daxl_version *v = op->f[0].v;
	int rc;

	if (!g->write)
		return 0;
	g->need = 0;
	(void)daxl_rope_walk(v->root, g->start, g->end, count_run, g);
	rc = daxl_op_reserve(op, g->need);
	if (!rc)
		rc = daxl_op_begin(op, 0, DAXL_REC_MAP);
	return rc ? rc : daxl_rope_walk(v->root, g->start, g->end, grant_run, g);
}

static void become_lease(struct daxl_op *op)
{
	struct grant_op *g = daxl_container_of(op, struct grant_op, op);

	daxl_rcu_read_lock();
	daxl_lease_set_generation(g->lease, daxl_version_get(op->f[0].ino)->generation);
	daxl_rcu_read_unlock();
	daxl_lease_grant(g->lease);
}

static const struct daxl_recipe grant_recipe = {
	.plan = plan_grant,
	.build = build_grant,
	.reason = DAXL_REASON_GRANT,
	.keeps_times = true,
};

static int not_ready(daxl_fblk_t at, const struct daxl_run *run, void *arg)
{
	const struct daxl_pool *pool = arg;
	daxl_nblk_t same;

	(void)at;
	return run->flags || daxl_space_is_shared(pool->space, run->blk, run->len, &same) || same < run->len;
}

/* Under the range mutex: whether the map is fit for this lease as it is. */
static bool map_is_ready(struct daxl_lease *lease, void *arg)
{
	struct grant_op *g = arg;
	struct daxl_inode *ino = daxl_lease_file(lease);

	daxl_rcu_read_lock();
	const struct daxl_version *v = daxl_version_get(ino);
	bool ready = !g->write || !daxl_rope_walk(v->root, g->start, g->end, not_ready, ino->pool);

	daxl_lease_set_generation(lease, v->generation);
	daxl_rcu_read_unlock();
	return ready;
}

static void put_file(void *file)
{
	daxl_inode_put(file);
}

static const struct daxl_lease_ops lease_ops = { .put = put_file, .give_credit = daxl_commit_credit_give };

/* The blocks a lease over [off, off + len) covers; a WRITE lease to the end stops at the size. */
static int lease_range(struct daxl_file *file, uint64_t off, uint64_t len, bool write, daxl_fblk_t *ret_start,
                       daxl_fblk_t *ret_end)
{
	unsigned shift = file->pool->block_shift;

	*ret_start = daxl_bytes_to_blocks_down(off, shift);
	*ret_end = daxl_range_end_blk(off, len, shift);
	if (!write || *ret_end != DAXL_FBLK_INF)
		return 0;
	daxl_rcu_read_lock();
	uint64_t size = daxl_version_get(file->ino)->size;

	daxl_rcu_read_unlock();
	*ret_end = daxl_bytes_to_blocks_up(size, shift);
	if (off >= size)
		return daxl_fail(EINVAL, "WRITE lease from %llu to the end of a file of %llu bytes covers nothing",
		                 (unsigned long long)off, (unsigned long long)size);
	return 0;
}

/* How the grant waits: opts->wait or the handle's default, with the lease's owner, and never anything but failing at the deadline. */
static struct daxl_wait grant_wait(struct daxl_file *file, const struct daxl_lease_opts *opts)
{
	struct daxl_wait wait = DAXL_WAIT_INIT, def;

	if (opts->wait)
		wait = *opts->wait;
	else if (daxl_file_wait(file, &def))
		wait = def;
	wait.size = sizeof(wait);
	wait.owner = opts->owner;
	wait.on_timeout = DAXL_ON_TIMEOUT_FAIL;
	if (opts->flags & DAXL_LEASE_NOWAIT)
		wait.timeout_ms = 0;
	return wait;
}

/* The grant as an operation. */
static int grant_waiting(struct grant_op *g, struct daxl_file *file, const struct daxl_lease_opts *opts)
{
	struct daxl_wait wait = grant_wait(file, opts);
	uint64_t started_ns = daxl_now_ns();
	int rc = daxl_op_init(&g->op, &grant_recipe, file->ino, NULL, &wait, NULL);

	g->op.brk.hold_err = EAGAIN;
	g->op.before_open = become_lease;
	if (!rc)
		rc = daxl_op_run(&g->op);
	if (daxl_toll.waits)
		daxl_tally_time(file->pool->tally, DAXL_HISTOGRAM_GRANT_WAIT, daxl_now_ns() - started_ns);
	return rc;
}

int daxl_do_acquire(struct daxl_file *file, uint64_t off, uint64_t len, const struct daxl_lease_opts *opts,
                    struct daxl_lease **ret_lease)
{
	struct daxl_inode *ino = file->ino;
	struct grant_op g; /* op is not cleared: daxl_op_init fills what is read */

	g.write = opts->mode == DAXL_LEASE_WRITE;
	int rc = lease_range(file, off, len, g.write, &g.start, &g.end);

	if (rc)
		return rc;
	struct daxl_lease_params params = {
		.rl = ino->rl,
		.file = ino,
		.ops = &lease_ops,
		.start = g.start,
		.end = g.end,
		.opts = opts,
	};

	rc = daxl_lease_create(&params, &g.lease);
	if (rc)
		return rc;
	if (g.write)
		rc = daxl_commit_credit_keep(g.lease, file->pool);
	daxl_inode_ref(ino);
	if (!rc && !daxl_lease_try_grant(g.lease, map_is_ready, &g))
		rc = grant_waiting(&g, file, opts);
	if (rc) {
		daxl_lease_discard(g.lease);
		daxl_inode_put(ino);
		return rc;
	}
	DAXL_HOOK("grant:granted");
	daxl_lease_settle(g.lease);
	*ret_lease = g.lease;
	return 0;
}
