/* SPDX-License-Identifier: BSD-3-Clause */
/* Unshare range: blocks of the range that other users have too are copied, so that later writes go in place. The size stays. */
#include "base/error.h"
#include "ops/op.h"
#include "ops/ops.h"

struct unshare_op {
	struct daxl_op op;
	uint64_t off, end; /* bytes */
	daxl_nblk_t need;
};

/* Calls fn for each shared piece of run. */
static int each_shared(struct daxl_op *op, daxl_fblk_t at, const struct daxl_run *run,
                       int (*fn)(struct daxl_op *op, daxl_fblk_t at, const struct daxl_run *piece))
{
	int rc = 0;

	if (run->flags & DAXL_RUN_HOLE)
		return 0;
	for (daxl_nblk_t i = 0, n; !rc && i < run->len; i += n) {
		if (!daxl_space_is_shared(op->pool->space, run->blk + i, run->len - i, &n))
			continue;
		struct daxl_run piece = { .len = n, .blk = run->blk + i, .flags = run->flags };

		rc = fn(op, at + i, &piece);
	}
	return rc;
}

static int plan_piece(struct daxl_op *op, daxl_fblk_t at, const struct daxl_run *piece)
{
	daxl_op_clause(op, 0, at, at + piece->len, DAXL_LEVEL_U, DAXL_WHO_ALL);
	return 0;
}

static int plan_run(daxl_fblk_t at, const struct daxl_run *run, void *arg)
{
	return each_shared(arg, at, run, plan_piece);
}

static int plan_unshare(struct daxl_op *op)
{
	struct unshare_op *u = daxl_container_of(op, struct unshare_op, op);
	daxl_fblk_t start = daxl_op_blk_down(op, u->off), end = daxl_op_blk_up(op, u->end);

	daxl_op_close(op, 0, start, end);
	return op->want_clauses ? daxl_rope_walk(op->f[0].v->root, start, end, plan_run, op) : 0;
}

static int count_piece(struct daxl_op *op, daxl_fblk_t at, const struct daxl_run *piece)
{
	(void)at;
	daxl_container_of(op, struct unshare_op, op)->need += piece->len;
	return 0;
}

static int count_run(daxl_fblk_t at, const struct daxl_run *run, void *arg)
{
	return each_shared(arg, at, run, count_piece);
}

static int DAXL_HOLDS(FILE) copy_piece(struct daxl_op *op, daxl_fblk_t at, const struct daxl_run *piece)
{
	int rc = daxl_op_limbo(op, 0, at, at + piece->len);

	if (rc)
		return rc;
	return piece->flags & DAXL_RUN_UNWRITTEN ? daxl_op_set_new(op, 0, at, piece->len, DAXL_RUN_UNWRITTEN)
	                                         : daxl_op_set_copy(op, 0, at, piece->len, piece->blk);
}

static int copy_run(daxl_fblk_t at, const struct daxl_run *run, void *arg)
{
	return each_shared(arg, at, run, copy_piece);
}

static int DAXL_HOLDS(FILE) build_unshare(struct daxl_op *op)
{
	struct unshare_op *u = daxl_container_of(op, struct unshare_op, op);
	const struct daxl_version *v = op->f[0].v;
	daxl_fblk_t start = daxl_op_blk_down(op, u->off), end = daxl_op_blk_up(op, u->end);

	u->need = 0;
	(void)daxl_rope_walk(v->root, start, end, count_run, op);
	if (u->need == 0)
		return 0;
	int rc = daxl_op_reserve(op, u->need);

	if (!rc)
		rc = daxl_op_begin(op, 0, DAXL_REC_MAP);
	return rc ? rc : daxl_rope_walk(v->root, start, end, copy_run, op);
}

static const struct daxl_recipe unshare_recipe = {
	.plan = plan_unshare,
	.build = build_unshare,
	.reason = DAXL_REASON_UNSHARE,
	.limbo_ok = true,
	.keeps_times = true,
};

int daxl_do_unshare(struct daxl_file *file, uint64_t off, uint64_t len, const struct daxl_wait *wait)
{
	struct unshare_op u = { .off = off, .end = off + len };
	struct daxl_wait def;
	int rc = daxl_op_init(&u.op, &unshare_recipe, file->ino, NULL, wait, daxl_file_wait(file, &def));

	return rc ? rc : daxl_op_run(&u.op);
}
