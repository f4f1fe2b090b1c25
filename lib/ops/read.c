/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reading. A read takes no lock: it copies in pieces of at most 64 KiB, each against one map, inside an RCU read section, so that a block on its
 * way out cannot be somebody else's before the piece is done. Blocks that move or become shared are not protected by that; the
 * file's moved counter, raised when such a change is published, says that a piece must be read again. After three repeats the reader
 * counts itself as an in-place writer does, which such a change waits for.
 */
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/hook.h"
#include "ops/iov.h"
#include "ops/ops.h"

#define PIECE (64u << 10)
#define REPEATS 3u

struct piece {
	struct daxl_pool *pool;
	char *dst;
	uint64_t off, len; /* bytes of the file */
};

static inline int copy_run(daxl_fblk_t at, const struct daxl_run *run, void *arg)
{
	const struct piece *p = arg;
	unsigned shift = p->pool->block_shift;
	uint64_t base = daxl_blocks_to_bytes(at, shift);
	uint64_t from = daxl_max_u64(base, p->off);
	uint64_t to = daxl_min_u64(base + daxl_blocks_to_bytes(run->len, shift), p->off + p->len);

	DAXL_HOOK("read:looked-up");
	if (run->flags & (DAXL_RUN_HOLE | DAXL_RUN_UNWRITTEN))
		memset(p->dst + (from - p->off), 0, to - from);
	else
		memcpy(p->dst + (from - p->off), daxl_pool_addr(p->pool, run->blk) + (from - base), to - from);
	return 0;
}

/* Reads [off, off + len) as far as the size goes, against one map. Returns the bytes read. */
static inline size_t read_piece(struct daxl_inode *ino, char *dst, uint64_t off, size_t len)
{
	unsigned shift = ino->pool->block_shift;
	struct piece p = { .pool = ino->pool, .dst = dst, .off = off };

	daxl_rcu_read_lock();
	const struct daxl_version *v = daxl_version_get(ino);

	p.len = off >= v->size ? 0 : daxl_min_u64(len, v->size - off);
	if (p.len)
		(void)daxl_rope_walk_short(v->root, daxl_bytes_to_blocks_down(off, shift), daxl_bytes_to_blocks_up(off + p.len, shift),
		                           copy_run, &p);
	daxl_rcu_read_unlock();
	return p.len;
}

/* One piece, repeated until no block of the file moved meanwhile. */
static ssize_t read_stable(struct daxl_inode *ino, char *dst, uint64_t off, size_t len)
{
	unsigned shift = ino->pool->block_shift;
	uint64_t *count;
	size_t n;

	for (unsigned i = 0; i <= REPEATS; i++) {
		uint64_t moved = __atomic_load_n(&ino->moved, __ATOMIC_ACQUIRE);

		n = read_piece(ino, dst, off, len);
		daxl_load_fence();
		/* Odd: a change is being published at this moment. */
		if (!(moved & 1) && __atomic_load_n(&ino->moved, __ATOMIC_RELAXED) == moved)
			return (ssize_t)n;
	}
	int rc = daxl_writer_enter(ino->rl, daxl_bytes_to_blocks_down(off, shift), daxl_bytes_to_blocks_up(off + len, shift),
	                           &count);

	if (rc)
		return rc;
	n = read_piece(ino, dst, off, len);
	daxl_writer_leave(ino->rl, count);
	return (ssize_t)n;
}

ssize_t daxl_do_read(struct daxl_file *file, struct daxl_iov *data, uint64_t off)
{
	size_t done = 0;

	while (data->left) {
		size_t room;
		char *dst = daxl_iov_span(data, &room);
		size_t want = daxl_min_u64(room, PIECE);
		ssize_t n = read_stable(file->ino, dst, off + done, want);

		if (n < 0)
			return n;
		done += (size_t)n;
		if ((size_t)n < want)
			break;
		daxl_iov_use(data, want);
	}
	return (ssize_t)done;
}
