/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Punch hole and zero range. Both make a range read as zeroes: whole blocks by the map (a hole, or blocks marked
 * unwritten), unaligned edges by zeroes in place, stored together with the record, unless the edge block is shared or busy under limbo
 * and has to be replaced.
 */
#include "base/error.h"
#include "ops/op.h"
#include "ops/ops.h"

struct punch_op {
	struct daxl_op op;
	uint64_t off, end; /* bytes */
	bool zero;         /* zero range: the blocks stay, holes are allocated */
	bool keep_size;
	daxl_nblk_t need;
};

/* The whole blocks inside the range, and the bytes of its unaligned edges: up to two pieces, each inside one block. */
struct parts {
	daxl_fblk_t start, end;
	struct {
		uint64_t from, to;
	} edge[2];
};

static void split(const struct punch_op *p, struct parts *ret)
{
	const struct daxl_op *op = &p->op;
	uint64_t first_whole = daxl_op_bytes(op, daxl_op_blk_up(op, p->off)), last_whole = daxl_op_bytes(op, daxl_op_blk_down(op, p->end));

	*ret = (struct parts){ 0 };
	if (first_whole > last_whole) { /* inside one block */
		ret->edge[0].from = p->off;
		ret->edge[0].to = p->end;
		return;
	}
	ret->start = daxl_op_blk_down(op, first_whole);
	ret->end = daxl_op_blk_down(op, last_whole);
	ret->edge[0].from = p->off;
	ret->edge[0].to = first_whole;
	ret->edge[1].from = last_whole;
	ret->edge[1].to = p->end;
}

static int plan_punch(struct daxl_op *op)
{
	struct punch_op *p = daxl_container_of(op, struct punch_op, op);

	if (p->zero && !p->keep_size)
		daxl_op_plan_growth(op, 0, p->end);
	daxl_op_clause(op, 0, daxl_op_blk_down(op, p->off), daxl_op_blk_up(op, p->end), DAXL_LEVEL_U, DAXL_WHO_ALL);
	return 0;
}

/* Whether blocks from blk stay when they are made unwritten; *ret_n of them have that answer. */
static bool DAXL_HOLDS(FILE)
may_keep(struct daxl_op *op, daxl_fblk_t at, daxl_blk_t blk, daxl_nblk_t len, daxl_nblk_t *ret_n)
{
	if (!op->brk.limbo)
		return !daxl_space_is_shared(op->pool->space, blk, len, ret_n);
	*ret_n = 1;
	return !daxl_op_must_replace(op, 0, at, blk);
}

static int DAXL_HOLDS(FILE) count_zero(daxl_fblk_t at, const struct daxl_run *run, void *arg)
{
	struct punch_op *p = arg;

	if (run->flags & DAXL_RUN_HOLE)
		p->need += run->len;
	else
		for (daxl_nblk_t i = 0, n; i < run->len; i += n)
			if (!may_keep(&p->op, at + i, run->blk + i, run->len - i, &n))
				p->need += n;
	return 0;
}

static int DAXL_HOLDS(FILE) zero_run(daxl_fblk_t at, const struct daxl_run *run, void *arg)
{
	struct punch_op *p = arg;
	struct daxl_op *op = &p->op;
	int rc = 0;

	if (run->flags & DAXL_RUN_HOLE)
		return daxl_op_set_new(op, 0, at, run->len, DAXL_RUN_UNWRITTEN);
	for (daxl_nblk_t i = 0, n; !rc && i < run->len; i += n) {
		if (!may_keep(op, at + i, run->blk + i, run->len - i, &n))
			rc = daxl_op_set_new(op, 0, at + i, n, DAXL_RUN_UNWRITTEN);
		else if (!(run->flags & DAXL_RUN_UNWRITTEN))
			rc = daxl_op_set(op, 0, at + i, n, run->blk + i, DAXL_RUN_UNWRITTEN);
	}
	return rc;
}

/* Holes that touch are one run, so a hole that ends inside of the range has a block behind it. */
static bool any_mapped(const struct daxl_version *v, daxl_fblk_t start, daxl_fblk_t end)
{
	struct daxl_run run;

	if (start == end)
		return false;
	daxl_rope_lookup(v->root, start, &run);
	return !(run.flags & DAXL_RUN_HOLE) || run.len < end - start;
}

/* One edge: zeroes where it is written; zero range also allocates it where it is a hole. need not NULL: only counts. */
static int DAXL_HOLDS(FILE) do_edge(struct punch_op *p, uint64_t from, uint64_t to, daxl_nblk_t *need)
{
	struct daxl_op *op = &p->op;
	struct daxl_run run;

	if (from >= to)
		return 0;
	daxl_fblk_t at = daxl_op_blk_down(op, from);
	int rc = daxl_op_lookup(op, 0, at, &run);

	if (rc)
		return rc;
	if (p->zero && (run.flags & DAXL_RUN_HOLE)) {
		if (need) {
			*need += 1;
			return 0;
		}
		return daxl_op_set_new(op, 0, at, 1, DAXL_RUN_UNWRITTEN);
	}
	return daxl_op_zero_edge(op, 0, from, to, false, need);
}

static int DAXL_HOLDS(FILE) build_punch(struct daxl_op *op)
{
	struct punch_op *p = daxl_container_of(op, struct punch_op, op);
	const struct daxl_version *v = op->f[0].v;
	struct parts parts;
	int rc = 0;

	split(p, &parts);
	p->need = 0;
	/* An old tail block among the whole blocks becomes unwritten: nothing to zero in it. */
	daxl_fblk_t tail = daxl_op_blk_down(op, v->size);
	bool grows = p->zero && !p->keep_size && !(parts.start <= tail && tail < parts.end);

	if (p->zero)
		(void)daxl_rope_walk(v->root, parts.start, parts.end, count_zero, p);
	for (unsigned i = 0; !rc && i < 2; i++)
		rc = do_edge(p, parts.edge[i].from, parts.edge[i].to, &p->need);
	if (!rc && grows)
		rc = daxl_op_grow(op, 0, p->end, &p->need);
	if (!rc)
		rc = daxl_op_reserve(op, p->need);
	if (!rc)
		rc = daxl_op_begin(op, 0, DAXL_REC_MAP);
	if (!rc)
		rc = daxl_op_limbo(op, 0, daxl_op_blk_down(op, p->off), daxl_op_blk_up(op, p->end));
	if (!rc && p->zero)
		rc = daxl_rope_walk(v->root, parts.start, parts.end, zero_run, p);
	else if (!rc && any_mapped(v, parts.start, parts.end))
		rc = daxl_op_set(op, 0, parts.start, parts.end - parts.start, 0, DAXL_RUN_HOLE);
	if (!rc && grows)
		rc = daxl_op_grow(op, 0, p->end, NULL);
	for (unsigned i = 0; !rc && i < 2; i++)
		rc = do_edge(p, parts.edge[i].from, parts.edge[i].to, NULL);
	if (!rc && p->zero && !p->keep_size && p->end > v->size) {
		op->f[0].change.next->size = p->end;
		op->changed = true;
	}
	return rc;
}

static const struct daxl_recipe punch_recipe = {
	.plan = plan_punch,
	.build = build_punch,
	.reason = DAXL_REASON_PUNCH,
	.plans_by_version = true,
	.need = DAXL_NEED_FREE,
	.limbo_ok = true,
};

static const struct daxl_recipe zero_recipe = {
	.plan = plan_punch,
	.build = build_punch,
	.reason = DAXL_REASON_ZERO,
	.plans_by_version = true,
	.limbo_ok = true,
};

static int run_punch(struct daxl_file *file, uint64_t off, uint64_t len, bool zero, bool keep_size,
                     const struct daxl_wait *wait)
{
	struct punch_op p; /* op is not cleared: daxl_op_init fills what is read */
	struct daxl_wait def;

	p.off = off;
	p.end = off + len;
	p.zero = zero;
	p.keep_size = keep_size;
	int rc = daxl_op_init(&p.op, zero ? &zero_recipe : &punch_recipe, file->ino, NULL, wait, daxl_file_wait(file, &def));

	p.op.alone = zero || daxl_offset_in_block(p.off | p.end, file->pool->block_shift);
	return rc ? rc : daxl_op_run(&p.op);
}

int daxl_do_punch(struct daxl_file *file, uint64_t off, uint64_t len, const struct daxl_wait *wait)
{
	return run_punch(file, off, len, false, true, wait);
}

int daxl_do_zero(struct daxl_file *file, uint64_t off, uint64_t len, bool keep_size, const struct daxl_wait *wait)
{
	return run_punch(file, off, len, true, keep_size, wait);
}
