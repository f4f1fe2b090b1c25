/* SPDX-License-Identifier: BSD-3-Clause */
/* Exchange: two ranges, or two whole files with their sizes, swap their blocks in one step. Nothing is freed and nothing copied. */
#include <errno.h>

#include "base/error.h"
#include "ops/op.h"
#include "ops/ops.h"

struct exchange_op {
	struct daxl_op op;
	uint64_t off[2], len; /* bytes */
	bool whole;
};

static int plan_exchange(struct daxl_op *op)
{
	struct exchange_op *x = daxl_container_of(op, struct exchange_op, op);
	const struct daxl_version *a = op->f[0].v, *b = op->f[1].v;

	if (x->whole) {
		for (unsigned i = 0; i < 2; i++)
			daxl_op_clause(op, i, 0, DAXL_FBLK_INF, DAXL_LEVEL_U, DAXL_WHO_ALL);
		return 0;
	}
	for (unsigned i = 0; i < 2; i++) {
		uint64_t size = op->f[i].v->size;

		if (x->off[i] > size || x->len > size - x->off[i])
			return daxl_fail(EINVAL, "range %u ends at %llu, past the end of its file at %llu", i + 1,
			                 (unsigned long long)(x->off[i] + x->len), (unsigned long long)size);
	}
	if (daxl_offset_in_block(x->len, op->shift) && (x->off[0] + x->len != a->size || x->off[1] + x->len != b->size))
		return daxl_fail(EINVAL, "length %llu is no multiple of the block size, and does not end at both files' ends",
		                 (unsigned long long)x->len);
	for (unsigned i = 0; i < 2; i++)
		daxl_op_clause(op, i, daxl_op_blk_down(op, x->off[i]), daxl_op_blk_up(op, x->off[i] + x->len), DAXL_LEVEL_U,
		               DAXL_WHO_ALL);
	return 0;
}

static int DAXL_HOLDS(FILE) build_exchange(struct daxl_op *op)
{
	struct exchange_op *x = daxl_container_of(op, struct exchange_op, op);
	bool one = op->f[0].ino == op->f[1].ino;
	daxl_fblk_t at[2] = { daxl_op_blk_down(op, x->off[0]), daxl_op_blk_down(op, x->off[1]) };
	daxl_nblk_t n = x->whole ? daxl_max_u64(daxl_rope_len(op->f[0].v->root), daxl_rope_len(op->f[1].v->root))
	                         : daxl_op_blk_up(op, x->len);
	int rc = daxl_op_begin(op, 0, DAXL_REC_EXCHANGE);

	if (!rc && !one)
		rc = daxl_op_begin(op, 1, DAXL_REC_EXCHANGE);
	if (rc)
		return rc;
	struct daxl_change *a = &op->f[0].change, *b = one ? a : &op->f[1].change;

	if (n)
		rc = daxl_edit_exchange(&a->edit, at[0], &b->edit, at[1], n);
	if (x->whole) {
		a->next->size = b->old->size;
		b->next->size = a->old->size;
	}
	b->next->mtime_ns = b->next->ctime_ns = a->next->ctime_ns; /* the record has one time */
	struct daxl_md_rec_two two = {
		.src = op->f[0].ino->id,
		.dst = op->f[1].ino->id,
		.src_fblk = at[0],
		.dst_fblk = at[1],
		.len = n,
		.src_size = a->next->size,
		.dst_size = b->next->size,
		.time_ns = a->next->ctime_ns,
	};

	op->changed = true;
	return rc ? rc : daxl_record_put(op->rec, &two, sizeof(two));
}

static const struct daxl_recipe exchange_recipe = {
	.plan = plan_exchange,
	.build = build_exchange,
	.reason = DAXL_REASON_EXCHANGE,
	.moves = true,
};

int daxl_do_exchange(struct daxl_file *a, uint64_t a_off, struct daxl_file *b, uint64_t b_off, uint64_t len,
                     const struct daxl_wait *wait)
{
	struct exchange_op x = { .off = { a_off, b_off }, .len = len, .whole = len == (uint64_t)DAXL_TO_END };
	struct daxl_wait def;
	int rc = daxl_op_init(&x.op, &exchange_recipe, a->ino, b->ino, wait, daxl_file_wait(a, &def));

	return rc ? rc : daxl_op_run(&x.op);
}
