/* SPDX-License-Identifier: BSD-3-Clause */
/* Collapse range and insert range: what follows the range moves, so every lease behind its start must go. */
#include <errno.h>

#include "base/error.h"
#include "ops/op.h"
#include "ops/ops.h"

struct shift_op {
	struct daxl_op op;
	uint64_t off, len; /* bytes, block aligned */
	bool insert;
};

static int plan_shift(struct daxl_op *op)
{
	struct shift_op *s = daxl_container_of(op, struct shift_op, op);
	const struct daxl_version *v = op->f[0].v;

	if (!s->insert && s->off + s->len >= v->size)
		return daxl_fail(EINVAL, "collapse of [%llu, %llu) reaches the end of the file at %llu; truncate instead",
		                 (unsigned long long)s->off, (unsigned long long)(s->off + s->len),
		                 (unsigned long long)v->size);
	if (s->insert && s->off >= v->size)
		return daxl_fail(EINVAL, "insert at %llu is not inside the file, which ends at %llu", (unsigned long long)s->off,
		                 (unsigned long long)v->size);
	if (s->insert && s->len > op->pool->max_file_size - v->size)
		return daxl_fail(EFBIG, "insert of %llu bytes grows the file past its maximum", (unsigned long long)s->len);
	daxl_op_clause(op, 0, daxl_op_blk_down(op, s->off), DAXL_FBLK_INF, DAXL_LEVEL_U, DAXL_WHO_ALL);
	return 0;
}

static int DAXL_HOLDS(FILE) build_shift(struct daxl_op *op)
{
	struct shift_op *s = daxl_container_of(op, struct shift_op, op);
	daxl_fblk_t at = daxl_bytes_to_blocks_exact(s->off, op->shift);
	daxl_nblk_t n = daxl_bytes_to_blocks_exact(s->len, op->shift);
	int rc = daxl_op_begin(op, 0, s->insert ? DAXL_REC_INSERT : DAXL_REC_COLLAPSE);

	if (rc)
		return rc;
	struct daxl_change *c = &op->f[0].change;

	c->next->size = s->insert ? c->old->size + s->len : c->old->size - s->len;
	rc = daxl_op_edit(op, 0, s->insert ? DAXL_PENDING_INSERT : DAXL_PENDING_REMOVE, at, &(struct daxl_run){ .len = n });
	return rc ? rc : daxl_record_map_edit(op->rec, at, n, 0);
}

static const struct daxl_recipe collapse_recipe = {
	.plan = plan_shift,
	.build = build_shift,
	.reason = DAXL_REASON_COLLAPSE,
	.plans_by_version = true,
	.need = DAXL_NEED_FREE,
	.moves = true,
};

static const struct daxl_recipe insert_recipe = {
	.plan = plan_shift,
	.build = build_shift,
	.reason = DAXL_REASON_INSERT,
	.plans_by_version = true,
	.moves = true,
};

static int run_shift(struct daxl_file *file, uint64_t off, uint64_t len, bool insert, const struct daxl_wait *wait)
{
	struct shift_op s; /* op is not cleared: daxl_op_init fills what is read */
	struct daxl_wait def;

	s.off = off;
	s.len = len;
	s.insert = insert;
	int rc = daxl_op_init(&s.op, insert ? &insert_recipe : &collapse_recipe, file->ino, NULL, wait,
	                      daxl_file_wait(file, &def));

	return rc ? rc : daxl_op_run(&s.op);
}

int daxl_do_collapse(struct daxl_file *file, uint64_t off, uint64_t len, const struct daxl_wait *wait)
{
	return run_shift(file, off, len, false, wait);
}

int daxl_do_insert(struct daxl_file *file, uint64_t off, uint64_t len, const struct daxl_wait *wait)
{
	return run_shift(file, off, len, true, wait);
}
