/* SPDX-License-Identifier: BSD-3-Clause */
/* Queries of the map: extents of a file or of a lease, and seeking for data or holes. RCU only; long answers are taken in one read section. */
#include <errno.h>
#include <unistd.h>

#include "base/error.h"
#include "ops/extents.h"
#include "ops/ops.h"

static void flush_extent(struct daxl_extent_list *list)
{
	if (list->cur.len == 0)
		return;
	if (list->n < list->max)
		list->exts[list->n] = list->cur;
	list->n++;
	list->cur.len = 0;
}

static bool continues(const struct daxl_extent *a, const struct daxl_extent *b)
{
	return a->len && a->flags == b->flags && a->file_off + a->len == b->file_off &&
	       ((a->flags & DAXL_EXTENT_HOLE) || a->pool_off + a->len == b->pool_off);
}

static void add_extent(struct daxl_extent_list *list, daxl_fblk_t at, daxl_nblk_t len, daxl_blk_t blk, uint32_t flags)
{
	unsigned shift = list->pool->block_shift;
	struct daxl_extent ext = {
		.file_off = daxl_blocks_to_bytes(at, shift),
		.len = daxl_blocks_to_bytes(len, shift),
		.flags = flags,
	};

	if (!(flags & DAXL_EXTENT_HOLE)) {
		ext.pool_off = daxl_blocks_to_bytes(blk, shift);
		if (!(flags & DAXL_EXTENT_UNWRITTEN) || list->show_unwritten)
			ext.addr = daxl_pool_addr(list->pool, blk);
	}
	if (continues(&list->cur, &ext)) {
		list->cur.len += ext.len;
		return;
	}
	flush_extent(list);
	list->cur = ext;
}

static int add_run(daxl_fblk_t at, const struct daxl_run *run, void *arg)
{
	struct daxl_extent_list *list = arg;
	uint32_t flags = run->flags & DAXL_RUN_UNWRITTEN ? DAXL_EXTENT_UNWRITTEN : 0;
	daxl_nblk_t n;

	if (run->flags & DAXL_RUN_HOLE) {
		add_extent(list, at, run->len, 0, DAXL_EXTENT_HOLE);
		return 0;
	}
	for (daxl_nblk_t i = 0; i < run->len; i += n) {
		bool shared = daxl_space_is_shared(list->pool->space, run->blk + i, run->len - i, &n);

		add_extent(list, at + i, n, run->blk + i, flags | (shared ? DAXL_EXTENT_SHARED : 0));
	}
	return 0;
}

/* Where the map ends: the later of the size and the last allocated block, in blocks. */
static daxl_fblk_t map_end(const struct daxl_version *v, unsigned shift)
{
	return daxl_max_u64(daxl_bytes_to_blocks_up(v->size, shift), daxl_rope_len(v->root));
}

void daxl_extents_add(struct daxl_extent_list *list, const struct daxl_version *v, daxl_fblk_t start, daxl_fblk_t end)
{
	if (end == DAXL_FBLK_INF)
		end = map_end(v, list->pool->block_shift);
	if (start < end)
		(void)daxl_rope_walk_short(v->root, start, end, add_run, list);
}

ssize_t daxl_extents_finish(struct daxl_extent_list *list)
{
	flush_extent(list);
	return (ssize_t)list->n;
}

ssize_t daxl_do_map(struct daxl_file *file, uint64_t off, uint64_t len, struct daxl_extent *exts, size_t max)
{
	unsigned shift = file->pool->block_shift;
	struct daxl_extent_list list = { .pool = file->pool, .exts = exts, .max = max };
	daxl_fblk_t start = daxl_bytes_to_blocks_down(off, shift), end = daxl_range_end_blk(off, len, shift);

	daxl_rcu_read_lock();
	const struct daxl_version *v = daxl_version_get(file->ino);

	end = daxl_min_u64(end, map_end(v, shift));
	daxl_extents_add(&list, v, start, end);
	ssize_t n = daxl_extents_finish(&list);

	daxl_rcu_read_unlock();
	return n;
}

struct seek {
	bool data;
	daxl_fblk_t found;
};

static int seek_run(daxl_fblk_t at, const struct daxl_run *run, void *arg)
{
	struct seek *s = arg;
	bool data = run->flags == 0;

	if (data != s->data)
		return 0;
	s->found = at;
	return 1;
}

off_t daxl_do_seek(struct daxl_file *file, uint64_t off, bool data)
{
	unsigned shift = file->pool->block_shift;
	struct seek s = { .data = data };
	off_t ret;

	daxl_rcu_read_lock();
	const struct daxl_version *v = daxl_version_get(file->ino);
	uint64_t size = v->size;

	if (off >= size)
		ret = -ENXIO;
	else if (daxl_rope_walk(v->root, daxl_bytes_to_blocks_down(off, shift), daxl_bytes_to_blocks_up(size, shift), seek_run,
	                        &s))
		ret = (off_t)daxl_min_u64(size, daxl_max_u64(off, daxl_blocks_to_bytes(s.found, shift)));
	else
		ret = data ? -ENXIO : (off_t)size;
	daxl_rcu_read_unlock();
	if (ret == -ENXIO)
		return daxl_fail(ENXIO, "no %s at or behind %llu in a file of %llu bytes", data ? "data" : "offset",
		                 (unsigned long long)off, (unsigned long long)size);
	return ret;
}
