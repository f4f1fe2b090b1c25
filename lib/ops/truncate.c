/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Truncate. Down: whole blocks past the new size leave the map; nothing is zeroed, for bytes past the size are nobody's, and
 * whoever grows the file zeroes them. Up: only the size, under the growth rule. To the same size: blocks past the end, if any, go.
 */
#include "base/error.h"
#include "ops/op.h"
#include "ops/ops.h"

struct truncate_op {
	struct daxl_op op;
	uint64_t size;
};

static int plan_truncate(struct daxl_op *op)
{
	struct truncate_op *t = daxl_container_of(op, struct truncate_op, op);
	const struct daxl_version *v = op->f[0].v;

	if (t->size < v->size) {
		daxl_op_clause(op, 0, daxl_op_blk_down(op, t->size), DAXL_FBLK_INF, DAXL_LEVEL_U, DAXL_WHO_ALL);
	} else if (t->size > v->size) {
		daxl_op_plan_growth(op, 0, t->size);
		daxl_op_close(op, 0, daxl_op_blk_down(op, v->size), DAXL_FBLK_INF);
	} else {
		daxl_fblk_t end = daxl_op_blk_up(op, v->size);

		if (daxl_rope_len(v->root) > end)
			daxl_op_clause(op, 0, end, DAXL_FBLK_INF, DAXL_LEVEL_U, DAXL_WHO_ALL);
		else
			daxl_op_close(op, 0, end, DAXL_FBLK_INF);
	}
	return 0;
}

/* Under limbo a busy tail block is replaced: the kept bytes in a new block, zeroes behind them. */
static int DAXL_HOLDS(FILE) replace_busy_tail(struct daxl_op *op, uint64_t size)
{
	daxl_fblk_t tail = daxl_op_blk_down(op, size);
	uint64_t keep = daxl_offset_in_block(size, op->shift);
	struct daxl_run run;

	if (keep == 0 || !daxl_op_is_busy(op, 0, tail))
		return 0;
	daxl_rope_lookup(op->f[0].v->root, tail, &run);
	if (run.flags & DAXL_RUN_HOLE)
		return 0;
	int rc = daxl_op_reserve(op, 1);

	if (rc)
		return rc;
	if (run.flags & DAXL_RUN_UNWRITTEN)
		return daxl_op_set_new(op, 0, tail, 1, DAXL_RUN_UNWRITTEN);
	return daxl_op_replace_zeroed(op, 0, tail, run.blk, keep, daxl_op_bytes(op, 1));
}

static int DAXL_HOLDS(FILE) build_truncate(struct daxl_op *op)
{
	struct truncate_op *t = daxl_container_of(op, struct truncate_op, op);
	const struct daxl_version *v = op->f[0].v;
	daxl_fblk_t cut = daxl_op_blk_up(op, t->size);
	daxl_nblk_t need = 0;
	int rc;

	if (t->size == v->size && daxl_rope_len(v->root) <= cut)
		return 0;
	if (t->size > v->size) {
		rc = daxl_op_grow(op, 0, t->size, &need);
		if (!rc)
			rc = daxl_op_reserve(op, need);
		if (!rc)
			rc = daxl_op_begin(op, 0, DAXL_REC_MAP);
		return rc ? rc : daxl_op_grow(op, 0, t->size, NULL);
	}
	rc = daxl_op_begin(op, 0, DAXL_REC_TRUNCATE);
	if (!rc)
		rc = daxl_op_limbo(op, 0, t->size < v->size ? daxl_op_blk_down(op, t->size) : cut, DAXL_FBLK_INF);
	if (!rc && t->size < v->size) /* at the same size the tail block is not concerned: its holders were not asked */
		rc = replace_busy_tail(op, t->size);
	if (!rc)
		rc = daxl_op_edit(op, 0, DAXL_PENDING_CUT, cut, &(struct daxl_run){ 0 });
	if (!rc)
		op->f[0].change.next->size = t->size;
	return rc;
}

static const struct daxl_recipe truncate_recipe = {
	.plan = plan_truncate,
	.build = build_truncate,
	.reason = DAXL_REASON_TRUNCATE,
	.plans_by_version = true,
	.need = DAXL_NEED_DELETE,
	.limbo_ok = true,
};

int daxl_do_truncate(struct daxl_file *file, uint64_t size, const struct daxl_wait *wait)
{
	struct truncate_op t; /* op is not cleared: daxl_op_init fills what is read */
	struct daxl_wait def;

	t.size = size;
	int rc = daxl_op_init(&t.op, &truncate_recipe, file->ino, NULL, wait, daxl_file_wait(file, &def));

	t.op.alone = false;
	return rc ? rc : daxl_op_run(&t.op);
}
