/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Clone and dedupe: the destination gets the source's map, and the blocks have one user more. Nothing is copied, so both files must hold still:
 * no WRITE lease over the source (its holder could store into what is shared, L11), no lease at all over the destination, and no in-place writer
 * in either range. Dedupe compares first, when all that is so.
 */
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "ops/op.h"
#include "ops/ops.h"

struct clone_op {
	struct daxl_op op;
	uint64_t src_off, dst_off, len; /* bytes; len 0 of a clone: to the source's end */
	uint64_t n;                     /* bytes, as planned */
	bool dedupe, same;
	daxl_nblk_t reffed; /* blocks of the source range whose new user is counted: all or none */
};

/* The rules of FICLONERANGE and FIDEDUPERANGE against the present sizes. */
static int check_sizes(struct clone_op *c)
{
	const struct daxl_op *op = &c->op;
	uint64_t src_size = op->f[0].v->size, dst_size = op->f[1].v->size;

	if (c->src_off > src_size)
		return daxl_fail(EINVAL, "the source range starts at %llu, past the end of its file at %llu",
		                 (unsigned long long)c->src_off, (unsigned long long)src_size);
	c->n = c->len ? c->len : src_size - c->src_off;
	if (c->n > src_size - c->src_off)
		return daxl_fail(EINVAL, "the source range ends at %llu, past the end of its file at %llu",
		                 (unsigned long long)(c->src_off + c->n), (unsigned long long)src_size);
	if (c->dedupe && (c->dst_off > dst_size || c->n > dst_size - c->dst_off))
		return daxl_fail(EINVAL, "the destination range ends at %llu, past the end of its file at %llu",
		                 (unsigned long long)(c->dst_off + c->n), (unsigned long long)dst_size);
	if (c->n > op->pool->max_file_size - c->dst_off)
		return daxl_fail(EFBIG, "the destination range ends past the largest file size");
	if (daxl_offset_in_block(c->n, op->shift) && (c->src_off + c->n != src_size || c->dst_off + c->n < dst_size))
		return daxl_fail(EINVAL, "length %llu is no multiple of the block size, and does not end at both files' ends",
		                 (unsigned long long)c->n);
	if (op->f[0].ino == op->f[1].ino && c->src_off < c->dst_off + c->n && c->dst_off < c->src_off + c->n)
		return daxl_fail(EINVAL, "source and destination range overlap");
	return 0;
}

static int plan_clone(struct daxl_op *op)
{
	struct clone_op *c = daxl_container_of(op, struct clone_op, op);
	int rc = check_sizes(c);

	if (rc)
		return rc;
	uint64_t dst_size = op->f[1].v->size;

	struct daxl_clause source = {
		.start = daxl_op_blk_down(op, c->src_off),
		.end = daxl_op_blk_up(op, c->src_off + c->n),
		.level = DAXL_LEVEL_U,
		.who = DAXL_WHO_WRITE,
		.no_limbo = true, /* the source's blocks stay where they are */
	};

	daxl_op_add_clause(op, &source);
	daxl_op_plan_growth(op, 1, c->dst_off + c->n);
	/* Past the old end also the gap. */
	daxl_op_clause(op, 1, daxl_op_blk_down(op, daxl_min_u64(c->dst_off, dst_size)), daxl_op_blk_up(op, c->dst_off + c->n),
	               DAXL_LEVEL_U, DAXL_WHO_ALL);
	return 0;
}

struct compare {
	struct clone_op *c;
	daxl_fblk_t src_start;
};

static bool all_zero(const char *bytes, size_t len)
{
	return len == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, len - 1) == 0);
}

/* The bytes of one source run against the destination's, run by run; nonzero when they differ. */
static int compare_run(daxl_fblk_t at, const struct daxl_run *run, void *arg)
{
	struct compare *cmp = arg;
	struct daxl_op *op = &cmp->c->op;
	daxl_fblk_t dst_start = daxl_op_blk_down(op, cmp->c->dst_off);
	uint64_t limit = cmp->c->src_off + cmp->c->n;

	for (daxl_nblk_t i = 0, n; i < run->len; i += n) {
		struct daxl_run other;

		daxl_rope_lookup(op->f[1].v->root, at + i - cmp->src_start + dst_start, &other);
		n = daxl_min_u64(other.len, run->len - i);
		uint64_t from = daxl_op_bytes(op, at + i);
		size_t len = daxl_min_u64(daxl_op_bytes(op, n), limit - from);
		bool zero_a = run->flags != 0, zero_b = other.flags != 0;
		const char *a = zero_a ? NULL : daxl_pool_addr(op->pool, run->blk + i);
		const char *b = zero_b ? NULL : daxl_pool_addr(op->pool, other.blk);

		if (zero_a && zero_b)
			continue;
		if (zero_a ? !all_zero(b, len) : zero_b ? !all_zero(a, len) : memcmp(a, b, len) != 0)
			return 1;
	}
	return 0;
}

struct given {
	daxl_blk_t there; /* what the destination maps at block 0 of the source, mod 2^64 */
	daxl_blocks_fn fn;
	void *arg;
};

static int given_run(daxl_fblk_t at, const struct daxl_run *run, void *arg)
{
	const struct given *given = arg;

	if (!(run->flags & DAXL_RUN_HOLE) && run->blk != given->there + at)
		given->fn(run->blk, run->len, given->arg);
	return 0;
}

/*
 * Calls fn for what the source maps in the first n blocks of the range and the destination does not map at that very
 * place already: that is new to it. (A block copied onto its own place changes nothing and gets no further user.)
 */
static void each_given(const struct clone_op *c, daxl_nblk_t n, daxl_blocks_fn fn, void *arg)
{
	const struct daxl_node *src = c->op.f[0].v->root, *dst = c->op.f[1].v->root;
	daxl_fblk_t from = daxl_op_blk_down(&c->op, c->src_off), end = from + n;
	daxl_fblk_t to_dst = daxl_op_blk_down(&c->op, c->dst_off) - from; /* mod 2^64 */

	for (daxl_fblk_t to; from < end; from = to) { /* a run of the destination at a time */
		struct daxl_run old;

		daxl_rope_lookup(dst, from + to_dst, &old);
		to = from + daxl_min_u64(old.len, end - from);
		if (old.flags & DAXL_RUN_HOLE) {
			daxl_rope_each_mapped(src, from, to, fn, arg);
		} else {
			struct given given = { .there = old.blk - from, .fn = fn, .arg = arg };

			(void)daxl_rope_walk(src, from, to, given_run, &given);
		}
	}
}

/* Counts the new user of all that the source range maps. */
static int ref_source(struct clone_op *c, daxl_nblk_t n)
{
	struct daxl_refs refs;
	int rc = daxl_refs_begin(&refs, c->op.pool->space, daxl_min_u64(n, daxl_rope_blocks(c->op.f[0].v->root)));

	if (rc)
		return rc;
	each_given(c, n, daxl_refs_add, &refs);
	daxl_refs_end(&refs);
	c->reffed = n;
	return 0;
}

static void undo_clone(struct daxl_op *op)
{
	struct clone_op *c = daxl_container_of(op, struct clone_op, op);
	struct daxl_refs refs;

	daxl_unrefs_begin(&refs, op->pool->space);
	each_given(c, c->reffed, daxl_refs_add, &refs);
	daxl_refs_end(&refs);
	c->reffed = 0;
}

/* The record: what replay needs to copy the map again. Edits of the destination (a replaced old tail) have gone in as a list. */
static int put_record(struct clone_op *c, daxl_fblk_t src, daxl_fblk_t dst, daxl_nblk_t n, uint64_t dst_size)
{
	struct daxl_op *op = &c->op;
	struct daxl_md_rec_two two = {
		.src = op->f[0].ino->id,
		.dst = op->f[1].ino->id,
		.src_fblk = src,
		.dst_fblk = dst,
		.len = n,
		.src_size = op->f[0].v->size,
		.dst_size = dst_size,
		.time_ns = op->f[1].change.next->ctime_ns,
		.nedits = op->nedits_apart,
	};
	int rc = daxl_record_put(op->rec, &two, sizeof(two));

	return rc ? rc : daxl_record_put(op->rec, op->edits_apart, op->nedits_apart * sizeof(op->edits_apart[0]));
}

static int DAXL_HOLDS(FILE) build_clone(struct daxl_op *op)
{
	struct clone_op *c = daxl_container_of(op, struct clone_op, op);
	uint64_t end = c->dst_off + c->n, dst_size = op->f[1].v->size;
	daxl_fblk_t src = daxl_op_blk_down(op, c->src_off), dst = daxl_op_blk_down(op, c->dst_off);
	daxl_nblk_t n = daxl_op_blk_up(op, c->n), need = 0;
	bool gap_tail = dst_size < c->dst_off && daxl_op_blk_down(op, dst_size) < dst;
	int rc = 0;

	c->same = true;
	if (c->n == 0)
		return 0;
	if (c->dedupe) {
		struct compare cmp = { .c = c, .src_start = src };

		c->same = daxl_rope_walk(op->f[0].v->root, src, src + n, compare_run, &cmp) == 0;
		if (!c->same)
			return 0;
	}
	c->reffed = 0;
	if (gap_tail)
		rc = daxl_op_grow(op, 1, end, &need);
	if (!rc)
		rc = daxl_op_reserve(op, need);
	if (!rc)
		rc = daxl_op_begin(op, 1, DAXL_REC_CLONE);
	if (!rc)
		rc = daxl_op_limbo(op, 1, daxl_op_blk_down(op, daxl_min_u64(c->dst_off, dst_size)), daxl_op_blk_up(op, end));
	if (!rc && gap_tail)
		rc = daxl_op_grow(op, 1, end, NULL);
	if (!rc)
		rc = daxl_op_settle(op);
	if (!rc)
		rc = ref_source(c, n);
	if (!rc)
		rc = daxl_edit_copy(&op->f[1].change.edit, dst, op->f[0].v->root, src, n);
	if (!rc)
		rc = put_record(c, src, dst, n, daxl_max_u64(dst_size, end));
	if (!rc) {
		op->f[1].change.next->size = daxl_max_u64(dst_size, end);
		op->changed = true;
	}
	return rc;
}

/* The source's blocks became shared: an in-place writer or reader of it must look again too. */
static void raise_moved(struct daxl_op *op)
{
	__atomic_fetch_add(&op->f[0].ino->moved, 2, __ATOMIC_RELEASE); /* even: nothing of the source's map is under way */
}

static const struct daxl_recipe clone_recipe = {
	.plan = plan_clone,
	.build = build_clone,
	.undo = undo_clone,
	.reason = DAXL_REASON_CLONE,
	.limbo_ok = true,
	.moves = true,
};

static const struct daxl_recipe copy_recipe = {
	.plan = plan_clone,
	.build = build_clone,
	.undo = undo_clone,
	.reason = DAXL_REASON_COPY,
	.limbo_ok = true,
	.moves = true,
};

static const struct daxl_recipe dedupe_recipe = {
	.plan = plan_clone,
	.build = build_clone,
	.undo = undo_clone,
	.reason = DAXL_REASON_DEDUPE,
	.limbo_ok = true,
	.moves = true,
};

static int run_clone(struct clone_op *c, const struct daxl_recipe *recipe, struct daxl_file *src, struct daxl_file *dst,
                     const struct daxl_wait *wait)
{
	struct daxl_wait def;
	int rc = daxl_op_init(&c->op, recipe, src->ino, dst->ino, wait, daxl_file_wait(dst, &def));

	c->op.published = raise_moved;
	return rc ? rc : daxl_op_run(&c->op);
}

int daxl_do_clone(struct daxl_file *src, uint64_t src_off, struct daxl_file *dst, uint64_t dst_off, uint64_t len,
                  const struct daxl_wait *wait)
{
	struct clone_op c = { .src_off = src_off, .dst_off = dst_off, .len = len };

	return run_clone(&c, &clone_recipe, src, dst, wait);
}

int daxl_do_clone_for_copy(struct daxl_file *src, uint64_t src_off, struct daxl_file *dst, uint64_t dst_off, uint64_t len)
{
	struct clone_op c = { .src_off = src_off, .dst_off = dst_off, .len = len };

	return run_clone(&c, &copy_recipe, src, dst, NULL);
}

int daxl_do_dedupe(struct daxl_file *src, uint64_t src_off, struct daxl_file *dst, uint64_t dst_off, uint64_t len,
                   const struct daxl_wait *wait, bool *ret_same)
{
	struct clone_op c = { .src_off = src_off, .dst_off = dst_off, .len = len, .dedupe = true };
	int rc = run_clone(&c, &dedupe_recipe, src, dst, wait);

	if (!rc)
		*ret_same = c.same;
	return rc;
}
