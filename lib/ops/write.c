/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Writing. Two ways:
 *
 * In place, when every byte of the call falls into written, unshared blocks below the size and no STABLE or EXCLUSIVE lease of somebody else is in
 * the way: the writer counts itself, looks up, stores, flushes, and one fence makes it durable. No lock, no record.
 *
 * As an operation otherwise, and always when it is to be atomic: holes get new blocks, unwritten runs are converted, shared blocks are copied, the size may grow; data and zeroes first, then
 * one record for the whole call. What goes into written blocks is seen at once, and so is stored last, when nothing can fail any more.
 */
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/hook.h"
#include "ops/iov.h"
#include "ops/op.h"
#include "ops/ops.h"

struct write_op {
	struct daxl_op op;
	struct daxl_iov data; /* as the call gave it; build works on a copy */
	uint64_t off, len;
	bool append;
	bool atomic; /* all of it into new blocks: wholly there after a crash, or not at all */
};

/*
 * Stores at dst len bytes that cross into a further buffer. Where one ends inside an 8-byte word and another goes on, the word is put together
 * first: each word is stored once, so that a crash finds it old or new.
 */
static __attribute__((noinline)) void store_buffers(struct daxl_media *media, char *dst, struct daxl_iov *it, size_t len)
{
	while (len) {
		size_t room;
		char *src = daxl_iov_span(it, &room);
		size_t n = daxl_min_u64(room, len), over = n < len ? ((uintptr_t)dst + n) % 8 : 0;
		char word[8];

		if (n > over) {
			n -= over;
			daxl_media_copy(media, dst, src, n);
			daxl_iov_use(it, n);
		} else { /* what is left of the word, from as many buffers as it takes */
			n = daxl_min_u64(8 - (uintptr_t)dst % 8, len);
			for (size_t i = 0; i < n; i++, daxl_iov_use(it, 1))
				word[i] = *daxl_iov_span(it, &room);
			daxl_media_copy(media, dst, word, n);
		}
		dst += n;
		len -= n;
	}
}

/* Stores len bytes from the cursor at dst. Not fenced. */
static inline void store_iov(struct daxl_media *media, char *dst, struct daxl_iov *it, size_t len)
{
	if (daxl_unlikely(len > it->iov->iov_len - it->skip)) {
		store_buffers(media, dst, it, len);
		return;
	}
	const char *src = (const char *)it->iov->iov_base + it->skip;

	daxl_iov_use(it, len);
	daxl_media_copy(media, dst, src, len);
}

struct store {
	struct daxl_pool *pool;
	struct daxl_iov *it;
	uint64_t off, len;
};

static int is_plain(daxl_fblk_t at, const struct daxl_run *run, void *arg)
{
	const struct daxl_pool *pool = arg;
	daxl_nblk_t same;

	(void)at;
	return run->flags != 0 || daxl_space_is_shared(pool->space, run->blk, run->len, &same) || same < run->len;
}

static int store_run(daxl_fblk_t at, const struct daxl_run *run, void *arg)
{
	const struct store *s = arg;
	unsigned shift = s->pool->block_shift;
	uint64_t base = daxl_blocks_to_bytes(at, shift);
	uint64_t from = daxl_max_u64(base, s->off);
	uint64_t to = daxl_min_u64(base + daxl_blocks_to_bytes(run->len, shift), s->off + s->len);

	DAXL_HOOK("write:looked-up");
	store_iov(s->pool->media, daxl_pool_addr(s->pool, run->blk) + (from - base), s->it, to - from);
	return 0;
}

/* store_in_place over more than one run. */
static __attribute__((noinline)) bool store_runs(struct daxl_pool *pool, const struct daxl_version *v, daxl_fblk_t start, daxl_fblk_t end,
                                                 struct daxl_iov *it, uint64_t off)
{
	struct store s = { .pool = pool, .it = it, .off = off, .len = it->left };

	return !daxl_rope_walk(v->root, start, end, is_plain, pool) && daxl_rope_walk(v->root, start, end, store_run, &s) == 0;
}

/* Inside a read section: stores all bytes at the cursor, which are for [start, end), if all may be stored in place, else nothing. */
static inline bool store_in_place(struct daxl_pool *pool, const struct daxl_version *v, daxl_fblk_t start, daxl_fblk_t end,
                                  struct daxl_iov *it, uint64_t off)
{
	struct daxl_run run;

	if (off + it->left > v->size)
		return false;
	daxl_rope_lookup(v->root, start, &run);
	if (daxl_unlikely(run.len < end - start))
		return store_runs(pool, v, start, end, it, off);
	run.len = end - start; /* one run, as most often: one look at the map */
	if (is_plain(start, &run, pool))
		return false;
	DAXL_HOOK("write:looked-up");
	store_iov(pool->media, daxl_pool_addr(pool, run.blk) + daxl_offset_in_block(off, pool->block_shift), it, it->left);
	return true;
}

/*
 * Stores all of the call in place, against one map, and fences: 1; or stores nothing: 0. The read section is as long as the copy: what leaves the
 * map meanwhile is not used again before it is over, and a call that has begun to store cannot come to a place where it would have to wait (L6).
 */
static inline int write_in_place(struct daxl_file *file, struct daxl_iov *it, uint64_t off, uint64_t owner)
{
	struct daxl_pool *pool = file->pool;
	struct daxl_inode *ino = file->ino;
	daxl_fblk_t start = daxl_bytes_to_blocks_down(off, pool->block_shift);
	daxl_fblk_t end = daxl_bytes_to_blocks_up(off + it->left, pool->block_shift);
	struct daxl_range_lock *rl = ino->rl;
	uint64_t *count;

	daxl_rcu_read_lock();
	if (off + it->left > daxl_version_get(ino)->size) { /* a look in passing, before anything is counted */
		daxl_rcu_read_unlock();
		return 0;
	}
	bool in = daxl_writer_try(rl, &count);

	if (daxl_unlikely(!in || daxl_has_solid(rl))) { /* outside of the read section: this may wait */
		daxl_rcu_read_unlock();
		int rc = in ? 0 : daxl_writer_enter_changing(rl, start, end, &count);

		if (rc)
			return rc;
		if (daxl_solid_conflict(rl, start, end, owner)) {
			daxl_writer_leave(rl, count);
			return 0;
		}
		daxl_rcu_read_lock();
	}
	bool done = store_in_place(pool, daxl_version_get(ino), start, end, it, off);

	daxl_rcu_read_unlock();
	if (done)
		daxl_media_fence(pool->media);
	daxl_writer_leave(rl, count);
	return done;
}

struct write_walk {
	struct write_op *w;
	uint64_t off, end; /* bytes of the call */
	daxl_nblk_t need;
	struct daxl_iov it;
};

static void write_last(struct daxl_op *op);

/* Whether the call covers only part of the blocks [at, at + len) at their edges. */
static void edges(const struct write_walk *ww, daxl_fblk_t at, daxl_nblk_t len, uint64_t *ret_head, uint64_t *ret_tail)
{
	const struct daxl_op *op = &ww->w->op;
	uint64_t base = daxl_op_bytes(op, at), end = daxl_op_bytes(op, at + len);

	*ret_head = ww->off > base ? ww->off - base : 0;
	*ret_tail = ww->end < end ? end - ww->end : 0;
}

static int plan_run(daxl_fblk_t at, const struct daxl_run *run, void *arg)
{
	struct write_walk *ww = arg;
	struct daxl_op *op = &ww->w->op;
	uint64_t head, tail;

	if (run->flags) {
		daxl_op_clause(op, 0, at, at + run->len, DAXL_LEVEL_W, DAXL_WHO_HOLE);
		edges(ww, at, run->len, &head, &tail);
		if ((run->flags & DAXL_RUN_UNWRITTEN) && head)
			daxl_op_clause(op, 0, at, at + 1, DAXL_LEVEL_U, DAXL_WHO_ALL);
		if ((run->flags & DAXL_RUN_UNWRITTEN) && tail)
			daxl_op_clause(op, 0, at + run->len - 1, at + run->len, DAXL_LEVEL_U, DAXL_WHO_ALL);
		return 0;
	}
	for (daxl_nblk_t i = 0, n; i < run->len; i += n)
		if (daxl_space_is_shared(op->pool->space, run->blk + i, run->len - i, &n))
			daxl_op_clause(op, 0, at + i, at + i + n, DAXL_LEVEL_U, DAXL_WHO_ALL);
	return 0;
}

static int plan_write(struct daxl_op *op)
{
	struct write_op *w = daxl_container_of(op, struct write_op, op);
	const struct daxl_version *v = op->f[0].v;

	if (w->append) {
		w->off = v->size;
		if (w->len > op->pool->max_file_size - w->off)
			return daxl_fail(EFBIG, "append of %llu bytes at %llu grows the file past its maximum",
			                 (unsigned long long)w->len, (unsigned long long)w->off);
		daxl_op_close(op, 0, daxl_op_blk_down(op, v->size), DAXL_FBLK_INF);
	}
	daxl_fblk_t start = daxl_op_blk_down(op, w->off), end = daxl_op_blk_up(op, w->off + w->len);
	struct write_walk ww = { .w = w, .off = w->off, .end = w->off + w->len };

	if (daxl_offset_in_block(v->size, op->shift) != 0 || daxl_op_bytes(op, start) < v->size)
		op->alone = true; /* behind the size nobody stores in place */
	daxl_op_plan_growth(op, 0, w->off + w->len);
	if (w->atomic) {
		daxl_op_clause(op, 0, start, end, DAXL_LEVEL_U, DAXL_WHO_ALL);
		return 0;
	}
	daxl_op_clause(op, 0, start, end, DAXL_LEVEL_W, DAXL_WHO_SOLID);
	if (op->want_clauses)
		return daxl_rope_walk(v->root, start, end, plan_run, &ww);
	return 0;
}

/*
 * How the first blocks of a mapped run are to be written: *ret_n blocks from at have one answer. True: by new blocks, because the write is
 * atomic, or they are shared, or are busy under limbo and either the partly written edge of an unwritten run or the old tail of a growing file.
 */
static bool by_new_blocks(const struct write_walk *ww, daxl_fblk_t at, daxl_blk_t blk, daxl_nblk_t len, bool unwritten,
                          daxl_nblk_t *ret_n)
{
	struct daxl_op *op = &ww->w->op;
	bool shared = daxl_space_is_shared(op->pool->space, blk, len, ret_n);

	if (ww->w->atomic) {
		*ret_n = len;
		return true;
	}
	if (shared || !op->brk.limbo)
		return shared;
	if (!unwritten) {
		uint64_t size = op->f[0].v->size;
		daxl_fblk_t old_tail = daxl_op_blk_down(op, size);

		if (ww->end <= size || daxl_offset_in_block(size, op->shift) == 0 || at > old_tail)
			return false;
		*ret_n = at < old_tail ? daxl_min_u64(*ret_n, old_tail - at) : 1;
		return at == old_tail && daxl_op_is_busy(op, 0, at);
	}
	uint64_t base = daxl_op_bytes(op, at), block = daxl_op_bytes(op, 1);

	if (ww->off <= base && ww->end >= base + block) { /* no edge: up to the edge at the end, if there is one */
		daxl_nblk_t whole = daxl_op_blk_down(op, ww->end) - at;

		*ret_n = daxl_min_u64(*ret_n, whole);
		return false;
	}
	*ret_n = 1;
	return daxl_op_is_busy(op, 0, at);
}

/* Blocks of the call within run: how many new ones it takes. */
static int count_run(daxl_fblk_t at, const struct daxl_run *run, void *arg)
{
	struct write_walk *ww = arg;

	if (run->flags & DAXL_RUN_HOLE) {
		ww->need += run->len;
		return 0;
	}
	for (daxl_nblk_t i = 0, n; i < run->len; i += n)
		if (by_new_blocks(ww, at + i, run->blk + i, run->len - i, run->flags & DAXL_RUN_UNWRITTEN, &n))
			ww->need += n;
	return 0;
}

/* Fills n blocks at blk for file blocks from at: the call's bytes, and around them the bytes of the blocks from old, or zeroes. */
static void fill(struct write_walk *ww, daxl_fblk_t at, daxl_nblk_t n, daxl_blk_t blk, bool copy, daxl_blk_t old)
{
	struct daxl_op *op = &ww->w->op;
	struct daxl_media *media = op->pool->media;
	uint64_t head, tail, size = daxl_op_bytes(op, n);
	char *dst = daxl_pool_addr(op->pool, blk);
	const char *src = copy ? daxl_pool_addr(op->pool, old) : NULL;

	edges(ww, at, n, &head, &tail);
	if (head && copy)
		daxl_media_copy(media, dst, src, head);
	else if (head)
		daxl_media_zero(media, dst, head);
	store_iov(media, dst + head, &ww->it, size - head - tail);
	if (tail && copy)
		daxl_media_copy(media, dst + size - tail, src + size - tail, tail);
	else if (tail)
		daxl_media_zero(media, dst + size - tail, tail);
	op->stored = true;
}

/* New blocks for [at, at + len): filled and mapped. copy: they replace the blocks from old. */
static int DAXL_HOLDS(FILE) write_new(struct write_walk *ww, daxl_fblk_t at, daxl_nblk_t len, bool copy, daxl_blk_t old)
{
	struct daxl_op *op = &ww->w->op;
	daxl_blk_t hint = daxl_op_hint(op, 0, at);
	int rc = 0;

	while (!rc && len) {
		struct daxl_blkrun fresh;

		rc = daxl_op_take(op, len, hint, &fresh);
		if (rc)
			break;
		fill(ww, at, fresh.len, fresh.blk, copy, old);
		rc = daxl_op_begin(op, 0, DAXL_REC_MAP); /* while the data is on its way */
		if (!rc)
			rc = daxl_op_set(op, 0, at, fresh.len, fresh.blk, 0);
		at += fresh.len;
		len -= fresh.len;
		old += fresh.len;
		hint = fresh.blk + fresh.len;
	}
	return rc;
}

/* How many of the call's len bytes, from head in block at on, lie below the present size. */
static uint64_t seen_bytes(const struct daxl_op *op, daxl_fblk_t at, uint64_t head, uint64_t len)
{
	uint64_t from = daxl_op_bytes(op, at) + head, size = op->f[0].v->size;

	return from < size ? daxl_min_u64(len, size - from) : 0;
}

/* Blocks [at, at + len) mapped to blk: an unwritten run is filled, its rest zeroed, and converted; of written blocks, what is seen now is left to write_last. */
static int DAXL_HOLDS(FILE)
write_mapped(struct write_walk *ww, daxl_fblk_t at, daxl_nblk_t len, daxl_blk_t blk, bool unwritten)
{
	struct daxl_op *op = &ww->w->op;
	uint64_t head, tail;

	if (unwritten) {
		fill(ww, at, len, blk, false, 0);
		int rc = daxl_op_begin(op, 0, DAXL_REC_MAP);

		return rc ? rc : daxl_op_convert(op, 0, at, len);
	}
	edges(ww, at, len, &head, &tail);
	uint64_t size = daxl_op_bytes(op, len) - head - tail, seen = seen_bytes(op, at, head, size);

	daxl_iov_skip(&ww->it, seen);
	if (seen)
		op->last = write_last;
	if (seen < size) { /* must be durable when the new size is */
		store_iov(op->pool->media, daxl_pool_addr(op->pool, blk) + head + seen, &ww->it, size - seen);
		op->stored = true;
	}
	return 0;
}

/* Pieces of a run of the old map: those that were written and have stayed where they were get their bytes, the others have them. */
static int write_last_run(daxl_fblk_t at, const struct daxl_run *run, void *arg)
{
	struct write_walk *ww = arg;
	struct daxl_op *op = &ww->w->op;

	for (daxl_nblk_t i = 0, n; i < run->len; i += n) {
		struct daxl_run now;
		uint64_t head, tail;

		daxl_rope_lookup(op->f[0].change.edit.root, at + i, &now); /* the edits are made */
		n = daxl_min_u64(now.len, run->len - i);
		edges(ww, at + i, n, &head, &tail);
		uint64_t len = daxl_op_bytes(op, n) - head - tail, seen = 0;

		if (run->flags == 0 && now.blk == run->blk + i) {
			seen = seen_bytes(op, at + i, head, len);
			store_iov(op->pool->media, daxl_pool_addr(op->pool, now.blk) + head, &ww->it, seen);
		}
		daxl_iov_skip(&ww->it, len - seen);
	}
	return 0;
}

static void write_last(struct daxl_op *op)
{
	struct write_op *w = daxl_container_of(op, struct write_op, op);
	struct write_walk ww = { .w = w, .off = w->off, .end = w->off + w->len, .it = w->data };

	(void)daxl_rope_walk(op->f[0].v->root, daxl_op_blk_down(op, ww.off), daxl_op_blk_up(op, ww.end), write_last_run, &ww);
}

static int DAXL_HOLDS(FILE) write_run(daxl_fblk_t at, const struct daxl_run *run, void *arg)
{
	struct write_walk *ww = arg;
	bool unwritten = run->flags & DAXL_RUN_UNWRITTEN;
	int rc = 0;

	if (run->flags & DAXL_RUN_HOLE)
		return write_new(ww, at, run->len, false, 0);
	for (daxl_nblk_t i = 0, n; !rc && i < run->len; i += n) {
		bool fresh = by_new_blocks(ww, at + i, run->blk + i, run->len - i, unwritten, &n);

		rc = daxl_op_limbo(&ww->w->op, 0, at + i, at + i + n); /* also who is late without pins is over */
		if (!rc && fresh)
			rc = write_new(ww, at + i, n, !unwritten, run->blk + i);
		else if (!rc)
			rc = write_mapped(ww, at + i, n, run->blk + i, unwritten);
	}
	return rc;
}

static int DAXL_HOLDS(FILE) build_write(struct daxl_op *op)
{
	struct write_op *w = daxl_container_of(op, struct write_op, op);
	const struct daxl_version *v = op->f[0].v;
	uint64_t end = w->off + w->len;
	daxl_fblk_t from = daxl_op_blk_down(op, w->off), to = daxl_op_blk_up(op, end);
	struct write_walk ww = { .w = w, .off = w->off, .end = end, .it = w->data };
	int rc = daxl_rope_walk_short(v->root, from, to, count_run, &ww);

	/* The old tail block is zeroed up to the write, and only if the write is not in that very block's replacement. */
	uint64_t gap_end = daxl_min_u64(daxl_op_bytes(op, daxl_op_blk_up(op, v->size)), w->off);
	bool gap_apart = v->size < gap_end && daxl_op_blk_down(op, v->size) < from;

	if (!rc && gap_apart)
		rc = daxl_op_zero_edge(op, 0, v->size, gap_end, true, &ww.need);
	if (!rc)
		rc = daxl_op_reserve(op, ww.need);
	if (!rc)
		rc = daxl_rope_walk_short(v->root, from, to, write_run, &ww);
	if (!rc)
		rc = daxl_op_begin(op, 0, DAXL_REC_MAP);
	if (!rc && v->size < gap_end) {
		if (gap_apart) {
			rc = daxl_op_zero_edge(op, 0, v->size, gap_end, true, NULL);
		} else { /* one block holds the old end and the write's start: zero the gap in what is mapped there now */
			struct daxl_run run;

			uint64_t base = daxl_op_bytes(op, from);

			rc = daxl_op_lookup(op, 0, from, &run);
			if (!rc)
				daxl_op_zero_now(op, run.blk, v->size - base, gap_end - base);
		}
	}
	if (!rc && end > v->size) {
		op->f[0].change.next->size = end;
		op->changed = true;
	}
	return rc;
}

static const struct daxl_recipe atomic_recipe = {
	.plan = plan_write,
	.build = build_write,
	.reason = DAXL_REASON_ATOMIC_WRITE,
	.plans_by_version = true,
	.limbo_ok = true,
};

static const struct daxl_recipe copy_recipe = {
	.plan = plan_write,
	.build = build_write,
	.reason = DAXL_REASON_COPY,
	.plans_by_version = true,
	.limbo_ok = true,
};

static const struct daxl_recipe write_recipe = {
	.plan = plan_write,
	.build = build_write,
	.reason = DAXL_REASON_WRITE,
	.plans_by_version = true,
	.limbo_ok = true,
};

/* What could not be stored in place. Apart, so that the other way needs none of its stack. */
static __attribute__((noinline)) int write_as_operation(struct daxl_file *file, const struct daxl_iov *data, uint64_t off, unsigned flags,
                                                        const struct daxl_wait *wait, const struct daxl_wait *def)
{
	bool atomic = flags & DAXL_WRITE_ATOMIC;
	const struct daxl_recipe *recipe = flags & DAXL_DO_WRITE_COPY ? &copy_recipe : &write_recipe;
	struct write_op w; /* op is not cleared: daxl_op_init fills what is read */

	w.data = *data;
	w.off = off;
	w.len = data->left;
	w.append = flags & DAXL_DO_WRITE_APPEND;
	w.atomic = atomic;
	int rc = daxl_op_init(&w.op, atomic ? &atomic_recipe : recipe, file->ino, NULL, wait, def);

	w.op.alone = atomic;
	return rc ? rc : daxl_op_run(&w.op);
}

ssize_t daxl_do_write(struct daxl_file *file, struct daxl_iov *data, uint64_t off, unsigned flags, const struct daxl_wait *wait)
{
	struct daxl_wait def_buf;
	const struct daxl_wait *def = daxl_file_wait(file, &def_buf);
	const struct daxl_wait *eff = wait ? wait : def;
	size_t len = data->left;
	int rc = 0;

	/* Whether a held break covers it, the operation finds out. */
	if (!(flags & (DAXL_DO_WRITE_APPEND | DAXL_WRITE_ATOMIC)) && !(eff && eff->held))
		rc = write_in_place(file, data, off, eff ? eff->owner : 0);
	if (rc == 0)
		rc = write_as_operation(file, data, off, flags, wait, def);
	return rc < 0 ? rc : (ssize_t)len;
}
