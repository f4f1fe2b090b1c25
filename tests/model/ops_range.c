/* SPDX-License-Identifier: BSD-3-Clause */
/* fallocate in all its modes, truncate, and breaks. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "model.h"

static bool range_prepare(struct call *c, int mode)
{
	c->h = any_handle();
	if (!c->h)
		return false;
	c->mode = mode;
	c->off = any_off(c->h->f);
	c->len = any_len();
	switch (rnd(100)) {
	case 0:
		c->off = -1 - c->off;
		break;
	case 1:
		c->len = 0;
		break;
	case 2:
		c->len = -c->len;
		break;
	case 3:
		c->off = (off_t)model.max_size - 1;
		c->len = 2;
		break;
	case 4:
		c->mode |= 0x4000;
		break;
	case 5:
		c->mode |= FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE;
		break;
	case 6:
		c->len = INT64_MAX;
		break;
	default:
		break;
	}
	c->need = (uint64_t)(c->len > 0 && c->len < (off_t)model.room ? c->len : 0) / model.block + 4;
	return true;
}

static void range_reach(struct call *c)
{
	if (c->off < 0 || c->len <= 0 || c->len > (off_t)model.room || c->off > (off_t)model.room)
		return;
	int op = c->mode & ~FALLOC_FL_KEEP_SIZE;
	bool shifts = op == FALLOC_FL_COLLAPSE_RANGE || op == FALLOC_FL_INSERT_RANGE;

	add_reach(c, c->h->f, (uint64_t)c->off, shifts ? NO_END : (uint64_t)(c->off + c->len), false);
	if (!(c->mode & FALLOC_FL_KEEP_SIZE))
		add_growth(c, c->h->f);
}

static bool fallocate_note(struct call *c, const char *what)
{
	range_reach(c);
	note("%s %p [%lld, +%lld) mode %#x size %" PRIu64, what, (void *)c->h->f, (long long)c->off, (long long)c->len,
	     (unsigned)c->mode, c->h->f->size);
	return true;
}

static bool allocate_prepare(struct call *c)
{
	if (!range_prepare(c, chance(50) ? FALLOC_FL_KEEP_SIZE : 0))
		return false;
	if (c->len > 0 && c->off >= 0 && chance(20)) { /* much, so that small pools get full */
		c->off = 0;
		c->len = (off_t)model.maxlen;
		c->need = model.maxlen / model.block + 4;
	}
	return fallocate_note(c, "allocate");
}

static bool punch_prepare(struct call *c)
{
	return range_prepare(c, FALLOC_FL_PUNCH_HOLE | (chance(98) ? FALLOC_FL_KEEP_SIZE : 0)) && fallocate_note(c, "punch");
}

static bool zero_prepare(struct call *c)
{
	return range_prepare(c, FALLOC_FL_ZERO_RANGE | (chance(50) ? FALLOC_FL_KEEP_SIZE : 0)) && fallocate_note(c, "zero");
}

static bool unshare_prepare(struct call *c)
{
	return range_prepare(c, FALLOC_FL_UNSHARE_RANGE | (chance(50) ? FALLOC_FL_KEEP_SIZE : 0)) &&
	       fallocate_note(c, "unshare");
}

static bool shift_prepare(struct call *c, int mode)
{
	if (!range_prepare(c, mode | (chance(2) ? FALLOC_FL_KEEP_SIZE : 0)))
		return false;
	if (c->off >= 0 && c->len > 0 && c->len < (off_t)model.room && chance(94)) {
		c->off = aligned_off(c->h->f);
		c->len = aligned_len();
	}
	return true;
}

static bool collapse_prepare(struct call *c)
{
	return shift_prepare(c, FALLOC_FL_COLLAPSE_RANGE) && fallocate_note(c, "collapse");
}

static bool insert_prepare(struct call *c)
{
	if (!shift_prepare(c, FALLOC_FL_INSERT_RANGE) || c->h->f->size > model.maxlen)
		return false;
	if (chance(2) && c->off >= 0 && c->off % (off_t)model.block == 0) /* pushes the end past the maximum */
		c->len = (off_t)(model.max_size - block_down((uint64_t)c->off));
	return fallocate_note(c, "insert");
}

static ssize_t fallocate_run(struct call *c)
{
	return daxl_fallocate(c->h->file, c->mode, c->off, c->len, c->waitp);
}

static int check_mode(int mode)
{
	int op = mode & ~FALLOC_FL_KEEP_SIZE;
	bool keep = mode & FALLOC_FL_KEEP_SIZE;

	switch (op) {
	case 0:
	case FALLOC_FL_ZERO_RANGE:
	case FALLOC_FL_UNSHARE_RANGE:
		return 0;
	case FALLOC_FL_PUNCH_HOLE:
		return keep ? 0 : -EOPNOTSUPP;
	case FALLOC_FL_COLLAPSE_RANGE:
	case FALLOC_FL_INSERT_RANGE:
		return keep ? -EOPNOTSUPP : 0;
	default:
		return -EOPNOTSUPP;
	}
}

static ssize_t fallocate_expect(struct call *c)
{
	uint64_t size = c->h->f->size, off = (uint64_t)c->off, len = (uint64_t)c->len;
	int op = c->mode & ~FALLOC_FL_KEEP_SIZE;

	if (c->off < 0 || c->len <= 0)
		return -EINVAL;
	if (check_mode(c->mode))
		return -EOPNOTSUPP;
	if ((c->h->oflags & O_ACCMODE) == O_RDONLY)
		return -EBADF;
	if (off + len > model.max_size)
		return -EFBIG;
	if (op != FALLOC_FL_COLLAPSE_RANGE && op != FALLOC_FL_INSERT_RANGE)
		return 0;
	if ((off | len) % model.block)
		return -EINVAL;
	if (op == FALLOC_FL_COLLAPSE_RANGE)
		return off + len >= size ? -EINVAL : 0;
	if (off >= size)
		return -EINVAL;
	return len > model.max_size - size ? -EFBIG : 0;
}

static void shift_up(struct mfile *f, uint64_t off, uint64_t len)
{
	uint64_t old = f->size;

	mfile_resize(f, old + len);
	for (uint64_t i = old; i > off; i--)
		f->data[i - 1 + len] = f->data[i - 1];
	for (uint64_t i = off; i < off + len; i++)
		f->data[i] = 0;
}

static void shift_down(struct mfile *f, uint64_t off, uint64_t len)
{
	for (uint64_t i = off + len; i < f->size; i++)
		f->data[i - len] = f->data[i];
	mfile_resize(f, f->size - len);
}

static void fallocate_apply(struct call *c, ssize_t rc)
{
	struct mfile *f = c->h->f;
	uint64_t off = (uint64_t)c->off, end = off + (uint64_t)c->len;
	uint64_t inner = block_up(off), inner_end = block_down(end);
	bool keep = c->mode & FALLOC_FL_KEEP_SIZE;

	(void)rc;
	switch (c->mode & ~FALLOC_FL_KEEP_SIZE) {
	case 0:
		if (!keep && end > f->size)
			mfile_resize(f, end);
		verify_flags(c->h->file, block_down(off), block_up(end), DAXL_EXTENT_HOLE, false);
		break;
	case FALLOC_FL_PUNCH_HOLE:
		mfile_zero(f, off, end);
		if (inner < inner_end)
			verify_flags(c->h->file, inner, inner_end, DAXL_EXTENT_HOLE, true);
		break;
	case FALLOC_FL_ZERO_RANGE:
		if (!keep && end > f->size)
			mfile_resize(f, end);
		mfile_zero(f, off, end);
		verify_flags(c->h->file, block_down(off), block_up(end), DAXL_EXTENT_HOLE, false);
		if (inner < inner_end)
			verify_flags(c->h->file, inner, inner_end, DAXL_EXTENT_UNWRITTEN, true);
		break;
	case FALLOC_FL_COLLAPSE_RANGE:
		shift_down(f, off, end - off);
		break;
	case FALLOC_FL_INSERT_RANGE:
		shift_up(f, off, end - off);
		verify_flags(c->h->file, off, end, DAXL_EXTENT_HOLE, true);
		break;
	default:
		verify_flags(c->h->file, block_down(off), block_up(end), DAXL_EXTENT_SHARED, false);
	}
}

static bool truncate_prepare(struct call *c)
{
	c->h = any_handle();
	if (!c->h)
		return false;
	c->size = chance(15) ? (off_t)c->h->f->size : any_off(c->h->f);
	if (chance(2))
		c->size = -1 - c->size;
	else if (chance(1))
		c->size = INT64_MAX - (off_t)rnd(model.block - 1);
	c->need = 3;
	c->off = c->size < 0 || c->size > (off_t)model.room ? 0 : c->size;
	add_reach(c, c->h->f, (uint64_t)c->off, NO_END, false);
	add_growth(c, c->h->f);
	note("truncate %p from %" PRIu64 " to %lld", (void *)c->h->f, c->h->f->size, (long long)c->size);
	return true;
}

static ssize_t truncate_expect(struct call *c)
{
	if (c->size < 0)
		return -EINVAL;
	if ((c->h->oflags & O_ACCMODE) == O_RDONLY)
		return -EBADF;
	return (uint64_t)c->size > model.max_size ? -EFBIG : 0;
}

static ssize_t truncate_run(struct call *c)
{
	return daxl_truncate(c->h->file, c->size, c->waitp);
}

static void truncate_apply(struct call *c, ssize_t rc)
{
	uint64_t old = c->h->f->size;

	(void)rc;
	mfile_resize(c->h->f, (uint64_t)c->size);
	if ((uint64_t)c->size > old)
		return;
	size_t n;
	struct daxl_extent *exts = map_of(c->h->file, &n);

	if (n && exts[n - 1].file_off + exts[n - 1].len > block_up((uint64_t)c->size))
		fail("truncate to %lld left blocks past the end", (long long)c->size);
	free(exts);
}

/* Very far out and back again: sizes and offsets with all 63 bits. */
static void excursion_step(void)
{
	struct mhandle *h = writable_handle();
	unsigned char byte = 0x5a, got = 0;
	off_t far;

	if (!h || h->oflags & O_APPEND)
		return;
	give_way(h->f, true);
	far = (off_t)(model.max_size - 1 - rnd(3 * model.block));
	note("excursion %p to %lld", (void *)h->f, (long long)far);
	ssize_t rc = daxl_pwrite(h->file, &byte, 1, far);

	if (rc == -ENOSPC)
		return;
	if (rc != 1)
		fail("a write at %lld gave %zd", (long long)far, rc);
	if (daxl_pread(h->file, &got, 1, far) != 1 || got != byte)
		fail("the byte at %lld is 0x%02x", (long long)far, got);
	off_t data = daxl_seek(h->file, (off_t)(block_up(h->f->size) + 64 * model.maxlen), DAXL_SEEK_DATA);

	if (data != (off_t)block_down((uint64_t)far))
		fail("seek finds data at %lld, it was written at %lld", (long long)data, (long long)far);
	if (chance(50))
		must(daxl_fallocate(h->file, FALLOC_FL_COLLAPSE_RANGE, (off_t)(block_up(h->f->size) + model.block),
		                    (off_t)model.block, NULL),
		     "collapse far out");
	must(daxl_truncate(h->file, (off_t)h->f->size, NULL), "truncate back");
	verify_size(h->file, h->f);
	verify_range(h->file, h->f, 0, h->f->size);
	verify_map(h->file, h->f);
}

static bool break_prepare(struct call *c)
{
	c->h = any_handle();
	if (!c->h)
		return false;
	c->off = any_off(c->h->f);
	c->len = chance(20) ? DAXL_TO_END : any_len();
	c->mode = (int)rnd(20) ? 1 + (int)rnd(2) : 3;
	if (chance(3))
		c->len = -c->len;
	if (chance(2))
		c->off = (off_t)model.max_size;
	add_reach(c, c->h->f, (uint64_t)c->off, c->len == DAXL_TO_END || c->len < 0 ? NO_END : (uint64_t)c->off + (uint64_t)c->len,
	          false);
	note("break %p [%lld, +%lld) level %d", (void *)c->h->f, (long long)c->off, (long long)c->len, c->mode);
	return true;
}

static ssize_t break_expect(struct call *c)
{
	if (c->off < 0 || c->len <= 0 || c->mode < DAXL_BREAK_WRITE || c->mode > DAXL_BREAK_UNMAP)
		return -EINVAL;
	if ((c->h->oflags & O_ACCMODE) == O_RDONLY)
		return -EBADF;
	if (c->len != DAXL_TO_END && (uint64_t)c->off + (uint64_t)c->len > model.max_size)
		return -EFBIG;
	return 0;
}

static ssize_t break_run(struct call *c)
{
	return daxl_break(c->h->file, c->off, c->len, c->mode, c->waitp);
}

static void break_apply(struct call *c, ssize_t rc)
{
	(void)c;
	(void)rc;
}

/* A break that is held while an operation runs inside it. */
static void held_step(void)
{
	struct mhandle *h = writable_handle();
	struct daxl_wait wait = DAXL_WAIT_INIT;
	struct daxl_break_handle *held;
	uint64_t to;
	int rc;

	if (!h)
		return;
	struct call c = { .h = h };

	add_reach(&c, h->f, 0, NO_END, false);
	note("held break %p size %" PRIu64, (void *)h->f, h->f->size);
	wait.timeout_ms = DAXL_WAIT_FOREVER;
	model.call = &c;
	must(daxl_break_begin(h->file, 0, DAXL_TO_END, DAXL_BREAK_UNMAP, &wait, &held), "break_begin");
	leases_upkeep();
	model.call = NULL;
	give_way(h->f, true);
	rc = daxl_break_poll(held);
	if (rc != 1)
		fail("all holders have given way, and daxl_break_poll says %d", rc);
	wait.held = held;
	to = rnd(model.maxlen);
	if (chance(50)) {
		note_more(" truncate to %" PRIu64, to);
		rc = daxl_truncate(h->file, (off_t)to, &wait);
		if (rc == 0)
			mfile_resize(h->f, to);
	} else {
		note_more(" punch [%" PRIu64 ", +%" PRIu64 ")", to, model.block + 7);
		rc = daxl_fallocate(h->file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)to, (off_t)model.block + 7, &wait);
		if (rc == 0)
			mfile_zero(h->f, to, to + model.block + 7);
	}
	if (rc && rc != -ENOSPC)
		fail("the operation inside the held break gave %d", rc);
	daxl_break_end(held);
	verify_size(h->file, h->f);
	verify_range(h->file, h->f, 0, h->f->size);
}

#define FALLOCATE_OP(what, often, takes_out) \
	{ .name = #what, .weight = (often), .prepare = what##_prepare, .run = fallocate_run, .expect = fallocate_expect, \
	  .apply = fallocate_apply, .limbo = (takes_out) }

const struct op range_ops[] = {
	FALLOCATE_OP(allocate, 25, false),
	FALLOCATE_OP(punch, 35, true),
	FALLOCATE_OP(zero, 25, true),
	FALLOCATE_OP(collapse, 20, false),
	FALLOCATE_OP(insert, 20, false),
	FALLOCATE_OP(unshare, 12, true),
	{ .name = "truncate", .weight = 35, .prepare = truncate_prepare, .run = truncate_run, .expect = truncate_expect,
	  .apply = truncate_apply, .limbo = true },
	{ .name = "excursion", .weight = 2, .special = excursion_step },
	{ .name = "break", .weight = 8, .prepare = break_prepare, .run = break_run, .expect = break_expect, .apply = break_apply },
	{ .name = "held", .weight = 5, .special = held_step },
	{ .name = NULL },
};
