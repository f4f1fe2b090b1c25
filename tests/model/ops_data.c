/* SPDX-License-Identifier: BSD-3-Clause */
/* Reading and writing. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"

#define PIECES_MAX 9

/* Cuts buf into pieces, some of them empty. */
static int cut(struct iovec *iov, unsigned char *buf, uint64_t len)
{
	int n = 1 + (int)rnd(PIECES_MAX - 1);

	for (int i = 0; i < n; i++) {
		uint64_t part = i == n - 1 ? len : rnd(len + 1);

		if (chance(10))
			part = i == n - 1 ? len : 0;
		iov[i] = (struct iovec){ .iov_base = buf, .iov_len = part };
		buf += part;
		len -= part;
	}
	return n;
}

static ssize_t write_expect(struct call *c)
{
	bool append = c->h->oflags & O_APPEND;

	if (c->off < 0)
		return -EINVAL;
	if (c->flags & ~(unsigned)DAXL_WRITE_ATOMIC)
		return -EOPNOTSUPP;
	if ((c->h->oflags & O_ACCMODE) == O_RDONLY)
		return -EBADF;
	if (!append && (uint64_t)c->off + (uint64_t)c->len > model.max_size)
		return -EFBIG;
	return c->len;
}

static void write_apply(struct call *c, ssize_t rc)
{
	struct mfile *f = c->h->f;
	uint64_t off = c->h->oflags & O_APPEND ? f->size : (uint64_t)c->off, end = off + (uint64_t)rc;

	if (rc == 0)
		return;
	if (end > f->size)
		mfile_resize(f, end);
	memcpy(f->data + off, model.io, (size_t)rc);
	verify_flags(c->h->file, block_down(off), block_up(end),
	             DAXL_EXTENT_HOLE | DAXL_EXTENT_UNWRITTEN | DAXL_EXTENT_SHARED, false);
}

static bool write_prepare(struct call *c)
{
	c->h = any_handle();
	if (!c->h)
		return false;
	struct mfile *f = c->h->f;

	c->off = any_off(f);
	c->len = any_len();
	if (c->h->oflags & O_APPEND) {
		if (f->size > model.maxlen)
			return false;
		add_reach(c, f, f->size, NO_END, false); /* wherever the end is when its turn comes */
	} else {
		add_reach(c, f, (uint64_t)c->off, (uint64_t)(c->off + c->len), false);
	}
	add_growth(c, f);
	switch (rnd(100)) {
	case 0:
		c->off = -1;
		break;
	case 1:
		c->off = (off_t)model.max_size - (off_t)rnd((uint64_t)c->len);
		break;
	case 2:
		c->len = 0;
		break;
	case 3:
		c->flags = 2;
		break;
	default:
		break;
	}
	c->need = (uint64_t)c->len / model.block + 3;
	fill_random(model.io, (size_t)c->len);
	c->pieces = c->flags || chance(25);
	return true;
}

static bool plain_write_prepare(struct call *c)
{
	if (!write_prepare(c))
		return false;
	note("write %p name %d [%lld, +%lld)%s%s", (void *)c->h->f, c->h->f->name, (long long)c->off, (long long)c->len,
	     c->h->oflags & O_APPEND ? " append" : "", c->pieces ? " in pieces" : "");
	return true;
}

static bool atomic_write_prepare(struct call *c)
{
	if (!write_prepare(c))
		return false;
	c->flags |= DAXL_WRITE_ATOMIC;
	c->pieces = 1;
	note("atomic write %p [%lld, +%lld) flags %u", (void *)c->h->f, (long long)c->off, (long long)c->len, c->flags);
	return true;
}

static ssize_t write_run(struct call *c)
{
	struct iovec iov[PIECES_MAX];

	if (!c->pieces && !c->waitp)
		return daxl_pwrite(c->h->file, model.io, (size_t)c->len, c->off);
	return daxl_pwritev(c->h->file, iov, cut(iov, model.io, (uint64_t)c->len), c->off, c->flags, c->waitp);
}

/* Writes what another file has, so that a dedupe finds something. */
static bool twin_prepare(struct call *c)
{
	struct mhandle *src = any_handle();

	c->h = writable_handle();
	if (!c->h || c->h->oflags & O_APPEND || src->f->size == 0)
		return false;
	c->off2 = aligned_off(src->f);
	c->off = aligned_off(c->h->f);
	c->len = aligned_len();
	if ((uint64_t)(c->off2 + c->len) > src->f->size)
		c->len = (off_t)src->f->size - c->off2;
	if (c->len <= 0)
		return false;
	memcpy(model.io, src->f->data + c->off2, (size_t)c->len);
	add_reach(c, c->h->f, (uint64_t)c->off, (uint64_t)(c->off + c->len), false);
	add_growth(c, c->h->f);
	c->need = (uint64_t)c->len / model.block + 3;
	model.twin.src = src->f;
	model.twin.dst = c->h->f;
	model.twin.src_off = c->off2;
	model.twin.dst_off = c->off;
	model.twin.len = c->len;
	note("twin write %p [%lld, +%lld) as %p at %lld", (void *)c->h->f, (long long)c->off, (long long)c->len, (void *)src->f,
	     (long long)c->off2);
	return true;
}

static bool read_prepare(struct call *c)
{
	c->h = any_handle();
	if (!c->h)
		return false;
	c->off = any_off(c->h->f);
	c->len = chance(3) ? 0 : any_len();
	if (chance(2))
		c->off = -1 - c->off;
	if (chance(1))
		c->off = (off_t)model.max_size - 3;
	note("read %p [%lld, +%lld)", (void *)c->h->f, (long long)c->off, (long long)c->len);
	return true;
}

static ssize_t read_expect(struct call *c)
{
	uint64_t size = c->h->f->size;

	if (c->off < 0)
		return -EINVAL;
	if ((uint64_t)c->off >= size)
		return 0;
	return (uint64_t)(c->off + c->len) > size ? (off_t)size - c->off : c->len;
}

static ssize_t read_run(struct call *c)
{
	struct iovec iov[PIECES_MAX];

	memset(model.io, 0xa5, (size_t)c->len);
	if (chance(60))
		return daxl_pread(c->h->file, model.io, (size_t)c->len, c->off);
	return daxl_preadv(c->h->file, iov, cut(iov, model.io, (uint64_t)c->len), c->off);
}

static void read_apply(struct call *c, ssize_t rc)
{
	if (rc && memcmp(model.io, c->h->f->data + c->off, (size_t)rc) != 0)
		fail("the bytes read are not those of the file");
}

static void fsync_step(void)
{
	struct mhandle *h = any_handle();

	if (!h)
		return;
	note("fsync %p", (void *)h->f);
	must(daxl_fsync(h->file), "fsync");
}

const struct op data_ops[] = {
	{ .name = "write", .weight = 100, .prepare = plain_write_prepare, .run = write_run, .expect = write_expect,
	  .apply = write_apply, .limbo = true },
	{ .name = "atomic", .weight = 25, .prepare = atomic_write_prepare, .run = write_run, .expect = write_expect,
	  .apply = write_apply, .limbo = true },
	{ .name = "twin", .weight = 15, .prepare = twin_prepare, .run = write_run, .expect = write_expect, .apply = write_apply },
	{ .name = "read", .weight = 40, .prepare = read_prepare, .run = read_run, .expect = read_expect, .apply = read_apply },
	{ .name = "fsync", .weight = 2, .special = fsync_step },
	{ .name = NULL },
};
