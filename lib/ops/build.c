/* SPDX-License-Identifier: BSD-3-Clause */
/* What builds have in common: new blocks, edits with their record, edges, growth, limbo. All with the file mutex held. */
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/hook.h"
#include "ops/op.h"

int daxl_op_begin(struct daxl_op *op, unsigned part, unsigned rec_type)
{
	struct daxl_opfile *f = &op->f[part];

	if (f->begun)
		return 0;
	int rc = daxl_change_begin(&f->change, f->ino, !op->recipe->keeps_times);

	if (rc)
		return rc;
	f->begun = true;
	if (op->has_rec)
		return 0;
	daxl_record_init(op->rec, rec_type);
	op->has_rec = true;
	if (rec_type == DAXL_REC_MAP || rec_type == DAXL_REC_TRUNCATE || rec_type == DAXL_REC_COLLAPSE ||
	    rec_type == DAXL_REC_INSERT)
		rc = daxl_record_map_begin(op->rec, rec_type, f->ino->id);
	return rc;
}

int daxl_op_reserve(struct daxl_op *op, daxl_nblk_t n)
{
	if (n == 0)
		return 0;
	int rc = daxl_space_reserve(op->pool->space, DAXL_SPACE_DATA, n);

	if (rc) {
		char label[320];
		struct daxl_space_stat st;

		daxl_space_stat(op->pool->space, &st);
		return daxl_fail(ENOSPC, "file '%s' needs %llu more blocks, the pool has %llu free of which %llu are kept back",
		                 daxl_inode_label(op->f[0].ino, label, sizeof(label)), (unsigned long long)n,
		                 (unsigned long long)st.free, (unsigned long long)st.keep_back);
	}
	op->reserved += n;
	return 0;
}

int daxl_op_take(struct daxl_op *op, daxl_nblk_t want, daxl_blk_t hint, struct daxl_blkrun *ret)
{
	assert(want <= op->reserved);
	if (op->ntaken == op->taken_cap) {
		struct daxl_blkrun *more =
			daxl_op_widen_array(op->taken, op->scratch->taken, &op->taken_cap, sizeof(*more));

		if (!more)
			return daxl_fail(ENOMEM, "no memory for the list of new blocks");
		op->taken = more;
	}
	daxl_space_take(op->pool->space, want, hint, ret);
	op->reserved -= ret->len;
	op->taken[op->ntaken++] = *ret;
	return 0;
}

int daxl_op_settle(struct daxl_op *op)
{
	const struct daxl_pending *p = &op->pending;
	enum daxl_pending_kind kind = p->kind;

	if (kind == DAXL_PENDING_NONE) /* the rest is undefined */
		return 0;
	struct daxl_edit *edit = &op->f[p->part].change.edit;

	op->pending.kind = DAXL_PENDING_NONE;
	switch (kind) {
	case DAXL_PENDING_NONE:
		break;
	case DAXL_PENDING_SET:
		return daxl_edit_set(edit, p->at, &p->run);
	case DAXL_PENDING_CONVERT:
		return daxl_edit_convert(edit, p->at, p->run.len);
	case DAXL_PENDING_CUT:
		return daxl_edit_cut(edit, p->at);
	case DAXL_PENDING_REMOVE:
		return daxl_edit_remove(edit, p->at, p->run.len);
	case DAXL_PENDING_INSERT:
		return daxl_edit_insert(edit, p->at, p->run.len);
	}
	return 0;
}

int daxl_op_edit(struct daxl_op *op, unsigned part, enum daxl_pending_kind kind, daxl_fblk_t at, const struct daxl_run *run)
{
	int rc = daxl_op_settle(op);

	op->pending = (struct daxl_pending){ .kind = kind, .part = part, .at = at, .run = *run };
	op->changed = true;
	return rc;
}

int daxl_op_lookup(struct daxl_op *op, unsigned part, daxl_fblk_t at, struct daxl_run *ret)
{
	int rc = daxl_op_settle(op);

	if (!rc)
		daxl_rope_lookup(op->f[part].begun ? op->f[part].change.edit.root : op->f[part].v->root, at, ret);
	return rc;
}

int daxl_op_set(struct daxl_op *op, unsigned part, daxl_fblk_t at, daxl_nblk_t len, daxl_blk_t blk, uint32_t flags)
{
	struct daxl_run run = { .len = len, .blk = flags & DAXL_RUN_HOLE ? 0 : blk, .flags = flags };
	uint64_t val = flags & DAXL_RUN_HOLE ? DAXL_EDIT_HOLE : blk | (flags & DAXL_RUN_UNWRITTEN ? DAXL_EDIT_UNWRITTEN : 0);
	int rc = daxl_op_edit(op, part, DAXL_PENDING_SET, at, &run);

	if (rc || op->rec->type != DAXL_REC_CLONE)
		return rc ? rc : daxl_record_map_edit(op->rec, at, len, val);
	assert(op->nedits_apart < DAXL_ARRAY_LEN(op->edits_apart));
	op->edits_apart[op->nedits_apart++] = (struct daxl_md_edit){ .fblk = at, .len = len, .val = val };
	return 0;
}

int daxl_op_convert(struct daxl_op *op, unsigned part, daxl_fblk_t at, daxl_nblk_t len)
{
	int rc = daxl_op_edit(op, part, DAXL_PENDING_CONVERT, at, &(struct daxl_run){ .len = len });

	return rc ? rc : daxl_record_map_edit(op->rec, at, len, DAXL_EDIT_CONVERT);
}

void daxl_op_zero_with_record(struct daxl_op *op, daxl_blk_t blk, uint64_t from, uint64_t to)
{
	assert(op->nin_place < DAXL_ARRAY_LEN(op->in_place));
	op->in_place[op->nin_place++] =
		(struct daxl_zeroes){ .addr = daxl_pool_addr(op->pool, blk) + from, .len = to - from };
}

void daxl_op_zero_now(struct daxl_op *op, daxl_blk_t blk, uint64_t from, uint64_t to)
{
	if (from == to)
		return;
	daxl_media_zero(op->pool->media, daxl_pool_addr(op->pool, blk) + from, to - from);
	op->stored = true;
}

/* Whether the block is new in this very operation. */
static bool is_taken(const struct daxl_op *op, daxl_blk_t blk)
{
	for (size_t i = 0; i < op->ntaken; i++)
		if (blk - op->taken[i].blk < op->taken[i].len)
			return true;
	return false;
}

bool daxl_op_is_busy(struct daxl_op *op, unsigned part, daxl_fblk_t at)
{
	daxl_fblk_t s, e;

	return op->brk.limbo && daxl_break_busy(&op->brk, op->clauses, op->nclauses, part, at, at + 1, &s, &e);
}

bool daxl_op_must_replace(struct daxl_op *op, unsigned part, daxl_fblk_t at, daxl_blk_t blk)
{
	if (is_taken(op, blk))
		return false;
	if (daxl_space_is_shared(op->pool->space, blk, 1, NULL))
		return true;
	return daxl_op_is_busy(op, part, at);
}

daxl_blk_t daxl_op_hint(const struct daxl_op *op, unsigned part, daxl_fblk_t at)
{
	struct daxl_run run;

	if (at == 0)
		return 0;
	daxl_rope_lookup(op->f[part].v->root, at - 1, &run);
	return run.flags & DAXL_RUN_HOLE ? 0 : run.blk + 1;
}

int daxl_op_replace_zeroed(struct daxl_op *op, unsigned part, daxl_fblk_t at, daxl_blk_t blk, uint64_t from, uint64_t to)
{
	struct daxl_blkrun fresh;
	uint64_t size = daxl_op_bytes(op, 1);
	int rc = daxl_op_take(op, 1, daxl_op_hint(op, part, at), &fresh);

	if (rc)
		return rc;
	char *dst = daxl_pool_addr(op->pool, fresh.blk), *src = daxl_pool_addr(op->pool, blk);

	if (from > 0)
		daxl_media_copy(op->pool->media, dst, src, from);
	daxl_media_zero(op->pool->media, dst + from, to - from);
	if (to < size)
		daxl_media_copy(op->pool->media, dst + to, src + to, size - to);
	op->stored = true;
	return daxl_op_set(op, part, at, 1, fresh.blk, 0);
}

/* Whom the block at at concerns, late, goes to limbo. A tail block under the growth rule may lie outside what the operation itself takes out. */
static int DAXL_HOLDS(FILE) limbo_edge(struct daxl_op *op, unsigned part, daxl_fblk_t at)
{
	struct daxl_opfile *f = &op->f[part];
	daxl_fblk_t start = f->limbo_start, end = f->limbo_end;

	if (!op->brk.limbo || (start <= at && at < end))
		return 0;
	int rc = daxl_op_limbo(op, part, at, at + 1);

	f->limbo_start = start;
	f->limbo_end = end;
	return rc;
}

int daxl_op_zero_edge(struct daxl_op *op, unsigned part, uint64_t from, uint64_t to, bool before_record, daxl_nblk_t *need)
{
	daxl_fblk_t at = daxl_op_blk_down(op, from);
	uint64_t base = daxl_op_bytes(op, at);
	struct daxl_run run;

	if (from >= to)
		return 0;
	assert(to - base <= daxl_op_bytes(op, 1));
	int rc = daxl_op_lookup(op, part, at, &run);

	if (rc || (run.flags & (DAXL_RUN_HOLE | DAXL_RUN_UNWRITTEN)))
		return rc; /* else it reads as zeroes already */
	bool replace = daxl_op_must_replace(op, part, at, run.blk);

	if (replace && !op->brk.changing) { /* a writer in place would store into the old block, once that is shared no more */
		op->alone = true;
		return -EAGAIN;
	}
	if (need) {
		*need += replace;
		return 0;
	}
	rc = limbo_edge(op, part, at);
	if (rc || replace)
		return rc ? rc : daxl_op_replace_zeroed(op, part, at, run.blk, from - base, to - base);
	/* What is new has to be whole before its record, though the range's own zeroes may come with it. */
	if (before_record || is_taken(op, run.blk))
		daxl_op_zero_now(op, run.blk, from - base, to - base);
	else
		daxl_op_zero_with_record(op, run.blk, from - base, to - base);
	return 0;
}

void daxl_op_plan_growth(struct daxl_op *op, unsigned part, uint64_t new_size)
{
	const struct daxl_version *v = op->f[part].v;
	daxl_fblk_t tail = daxl_op_blk_down(op, v->size), s, e;
	struct daxl_clause clause = {
		.part = part, .start = tail, .end = tail + 1, .level = DAXL_LEVEL_U, .who = DAXL_WHO_WRITE, .reason = DAXL_REASON_GROWTH
	};
	struct daxl_run run;

	if (new_size <= v->size || daxl_offset_in_block(v->size, op->shift) == 0)
		return;
	daxl_rope_lookup(v->root, tail, &run);
	if (run.flags & (DAXL_RUN_HOLE | DAXL_RUN_UNWRITTEN)) {
		daxl_op_close(op, part, tail, tail + 1);
		return;
	}
	/* The block will be replaced: it is shared, or a WRITE holder that is late has pins on it. That is known only then. */
	if (daxl_space_is_shared(op->pool->space, run.blk, 1, NULL) ||
	    (op->brk.limbo && daxl_break_busy(&op->brk, &clause, 1, part, tail, tail + 1, &s, &e)))
		clause.who = DAXL_WHO_ALL;
	daxl_op_add_clause(op, &clause);
}

int daxl_op_grow(struct daxl_op *op, unsigned part, uint64_t new_size, daxl_nblk_t *need)
{
	const struct daxl_version *v = op->f[part].v;
	uint64_t tail_end = daxl_op_bytes(op, daxl_op_blk_up(op, v->size));
	int rc = 0;

	if (new_size <= v->size)
		return 0;
	if (tail_end > v->size)
		rc = daxl_op_zero_edge(op, part, v->size, tail_end, true, need);
	if (!rc && !need) {
		op->f[part].change.next->size = new_size;
		op->changed = true;
	}
	return rc;
}

static int add_run(daxl_fblk_t at, const struct daxl_run *run, void *arg)
{
	(void)at;
	struct daxl_limbo *limbo = arg;

	return run->flags & DAXL_RUN_HOLE ? 0 : daxl_limbo_add(limbo, run->blk, run->len);
}

int daxl_op_limbo(struct daxl_op *op, unsigned part, daxl_fblk_t start, daxl_fblk_t end)
{
	struct daxl_opfile *f = &op->f[part];
	daxl_fblk_t s, e, at = start;
	size_t late;
	int rc = 0;

	f->limbo_start = start;
	f->limbo_end = end;
	if (!op->brk.limbo)
		return 0;
	if (!op->limbo)
		rc = daxl_limbo_create(op->pool->space, NULL, NULL, &op->limbo);
	while (!rc && at < end && daxl_break_busy(&op->brk, op->clauses, op->nclauses, part, at, end, &s, &e)) {
		rc = daxl_rope_walk(f->v->root, s, e, add_run, op->limbo);
		at = e;
	}
	if (rc)
		return rc;
	if (op->nlinks == op->links_cap) {
		struct daxl_limbo_links **more =
			daxl_op_widen_array(op->links, op->scratch->links, &op->links_cap, sizeof(struct daxl_limbo_links *));

		if (!more)
			return daxl_fail(ENOMEM, "no memory for the list of leases whose blocks go to limbo");
		op->links = more;
	}
	rc = daxl_break_limbo_prepare(&op->brk, op->clauses, op->nclauses, part, start, end, op->limbo, &op->links[op->nlinks], &late);
	if (!rc)
		op->nlinks++;
	return rc;
}

/* New blocks for [at, at + len), mapped with flags; how they are filled before is up to fill. */
enum fill { FILL_NOT, FILL_ZERO, FILL_COPY };

static int DAXL_HOLDS(FILE)
set_fresh(struct daxl_op *op, unsigned part, daxl_fblk_t at, daxl_nblk_t len, uint32_t flags, enum fill fill,
                     daxl_blk_t old)
{
	struct daxl_media *media = op->pool->media;
	daxl_blk_t hint = daxl_op_hint(op, part, at);
	int rc = 0;

	while (!rc && len) {
		struct daxl_blkrun fresh;

		rc = daxl_op_take(op, len, hint, &fresh);
		if (rc)
			break;
		char *dst = daxl_pool_addr(op->pool, fresh.blk);

		if (fill == FILL_ZERO)
			daxl_media_zero(media, dst, daxl_op_bytes(op, fresh.len));
		else if (fill == FILL_COPY)
			daxl_media_copy(media, dst, daxl_pool_addr(op->pool, old), daxl_op_bytes(op, fresh.len));
		op->stored |= fill != FILL_NOT;
		rc = daxl_op_set(op, part, at, fresh.len, fresh.blk, flags);
		at += fresh.len;
		old += fresh.len;
		len -= fresh.len;
		hint = fresh.blk + fresh.len;
	}
	return rc;
}

int daxl_op_set_new(struct daxl_op *op, unsigned part, daxl_fblk_t at, daxl_nblk_t len, uint32_t flags)
{
	return set_fresh(op, part, at, len, flags, FILL_NOT, 0);
}

int daxl_op_set_copy(struct daxl_op *op, unsigned part, daxl_fblk_t at, daxl_nblk_t len, daxl_blk_t old)
{
	return set_fresh(op, part, at, len, 0, FILL_COPY, old);
}

int daxl_op_set_zeroed(struct daxl_op *op, unsigned part, daxl_fblk_t at, daxl_nblk_t len, uint32_t flags)
{
	return set_fresh(op, part, at, len, flags, FILL_ZERO, 0);
}
