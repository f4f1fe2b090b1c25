/* SPDX-License-Identifier: BSD-3-Clause */
/* fallocate mode 0 and KEEP_SIZE: holes in the range get blocks, unwritten, so that later writes cannot run out of space. */
#include "base/error.h"
#include "ops/op.h"
#include "ops/ops.h"

struct allocate_op {
	struct daxl_op op;
	uint64_t off, end; /* bytes */
	bool keep_size;
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

/* The run at at, as far as end. */
static struct daxl_run run_at(const struct daxl_version *v, daxl_fblk_t at, daxl_fblk_t end)
{
	struct daxl_run run;

	daxl_rope_lookup(v->root, at, &run);
	run.len = daxl_min_u64(run.len, end - at);
	return run;
}

static int DAXL_HOLDS(FILE) build_allocate(struct daxl_op *op)
{
	struct allocate_op *a = daxl_container_of(op, struct allocate_op, op);
	const struct daxl_version *v = op->f[0].v;
	daxl_fblk_t start = daxl_op_blk_down(op, a->off), end = daxl_op_blk_up(op, a->end);
	daxl_nblk_t need = 0;
	struct daxl_run run;
	int rc = 0;

	for (daxl_fblk_t at = start; at < end; at += run.len) {
		run = run_at(v, at, end);
		if (run.flags & DAXL_RUN_HOLE)
			need += run.len;
	}
	if (!a->keep_size)
		rc = daxl_op_grow(op, 0, a->end, &need);
	if (!rc)
		rc = daxl_op_reserve(op, need);
	if (!rc)
		rc = daxl_op_begin(op, 0, DAXL_REC_MAP);
	if (!rc && !a->keep_size)
		rc = daxl_op_grow(op, 0, a->end, NULL);
	for (daxl_fblk_t at = start; !rc && at < end; at += run.len) {
		run = run_at(v, at, end);
		if (run.flags & DAXL_RUN_HOLE)
			rc = daxl_op_set_new(op, 0, at, run.len, DAXL_RUN_UNWRITTEN);
	}
	return rc;
}

static const struct daxl_recipe allocate_recipe = {
	.plan = plan_allocate,
	.build = build_allocate,
	.reason = DAXL_REASON_ALLOCATE,
	.plans_by_version = true,
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
