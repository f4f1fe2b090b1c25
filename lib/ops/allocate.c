/* SPDX-License-Identifier: BSD-3-Clause */
/* fallocate mode 0 and KEEP_SIZE: holes in the range get blocks, unwritten, so that later writes cannot run out of space. */
#include "base/error.h"
#include "ops/op.h"
#include "ops/ops.h"

struct allocate_op {
	struct daxl_op op;
	uint64_t off, end; /* bytes */
	bool keep_size;
	daxl_nblk_t need;
};

static int plan_hole(daxl_fblk_t at, const struct daxl_run *run, void *arg)
{
	if (run->flags & DAXL_RUN_HOLE)
		daxl_op_clause(arg, 0, at, at + run->len, DAXL_LEVEL_W, DAXL_WHO_HOLE);
	return 0;
}

static int plan_allocate(struct daxl_op *op)
{
	struct allocate_op *a = daxl_container_of(op, struct allocate_op, op);
	daxl_fblk_t start = daxl_op_blk_down(op, a->off), end = daxl_op_blk_up(op, a->end);

	if (!a->keep_size)
		daxl_op_plan_growth(op, 0, a->end);
	daxl_op_clause(op, 0, start, end, DAXL_LEVEL_W, DAXL_WHO_SOLID);
	return op->want_clauses ? daxl_rope_walk(op->f[0].v->root, start, end, plan_hole, op) : 0;
}

static int count_hole(daxl_fblk_t at, const struct daxl_run *run, void *arg)
{
	struct allocate_op *a = arg;

	(void)at;
	if (run->flags & DAXL_RUN_HOLE)
		a->need += run->len;
	return 0;
}

static int fill_hole(daxl_fblk_t at, const struct daxl_run *run, void *arg)
{
	return run->flags & DAXL_RUN_HOLE ? daxl_op_set_new(arg, 0, at, run->len, DAXL_RUN_UNWRITTEN) : 0;
}

static int build_allocate(struct daxl_op *op)
{
	struct allocate_op *a = daxl_container_of(op, struct allocate_op, op);
	const struct daxl_version *v = op->f[0].v;
	daxl_fblk_t start = daxl_op_blk_down(op, a->off), end = daxl_op_blk_up(op, a->end);
	int rc = 0;

	a->need = 0;
	(void)daxl_rope_walk(v->root, start, end, count_hole, a);
	if (!a->keep_size)
		rc = daxl_op_grow(op, 0, a->end, &a->need);
	if (!rc)
		rc = daxl_op_reserve(op, a->need);
	if (!rc)
		rc = daxl_op_begin(op, 0, DAXL_REC_MAP);
	if (!rc && !a->keep_size)
		rc = daxl_op_grow(op, 0, a->end, NULL);
	return rc ? rc : daxl_rope_walk(v->root, start, end, fill_hole, op);
}

static const struct daxl_recipe allocate_recipe = {
	.plan = plan_allocate,
	.build = build_allocate,
	.reason = DAXL_REASON_ALLOCATE,
};

int daxl_do_allocate(struct daxl_file *file, uint64_t off, uint64_t len, bool keep_size, const struct daxl_wait *wait)
{
	struct allocate_op a; /* op is not cleared: daxl_op_init fills what is read */
	struct daxl_wait def;

	a.off = off;
	a.end = off + len;
	a.keep_size = keep_size;
	int rc = daxl_op_init(&a.op, &allocate_recipe, file->ino, NULL, wait, daxl_file_wait(file, &def));

	a.op.alone = false;
	return rc ? rc : daxl_op_run(&a.op);
}
