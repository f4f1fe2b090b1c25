/* SPDX-License-Identifier: BSD-3-Clause */
/* Clone, dedupe, exchange and copy. h is the destination (of exchange the first file), g the other one. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"

static bool overlap(const struct call *c, uint64_t n)
{
	return c->h->f == c->g->f && (uint64_t)c->off < (uint64_t)c->off2 + n && (uint64_t)c->off2 < (uint64_t)c->off + n;
}

static bool pick_two(struct call *c)
{
	c->h = any_handle();
	c->g = any_handle();
	if (!c->h)
		return false;
	if (chance(10))
		c->g = c->h;
	return c->h->f->size <= model.maxlen;
}

static void spoil(struct call *c)
{
	switch (rnd(60)) {
	case 0:
		c->off = -1;
		break;
	case 1:
		c->off2 = -(off_t)model.block;
		break;
	case 2:
		c->len = -1;
		break;
	case 3:
		c->off += 1;
		break;
	case 4:
		c->off2 += 8;
		break;
	case 5:
		c->len += 1;
		break;
	case 6:
		c->off = (off_t)model.max_size;
		c->len = (off_t)model.block;
		break;
	case 7:
		c->off2 = (off_t)(model.max_size - model.block);
		c->len = 2 * (off_t)model.block;
		break;
	default:
		break;
	}
}

static void two_reach(struct call *c, bool source_writers)
{
	uint64_t n = c->len > 0 ? (uint64_t)c->len : c->g->f->size;
	uint64_t from = (uint64_t)c->off;

	c->need = 6;
	if (c->off < 0 || c->off2 < 0 || c->len < 0 || c->off > (off_t)model.room || c->off2 > (off_t)model.room ||
	    c->len > (off_t)model.room)
		return;
	if (from > c->h->f->size)
		from = c->h->f->size; /* a clone past the end: the gap too */
	add_reach(c, c->h->f, from, (uint64_t)c->off + n, false);
	add_reach(c, c->g->f, (uint64_t)c->off2, (uint64_t)c->off2 + n, source_writers);
	add_growth(c, c->h->f);
}

static void two_note(const struct call *c, const char *what)
{
	note("%s %p (size %" PRIu64 ") at %lld, from %p (size %" PRIu64 ") [%lld, +%lld)", what, (void *)c->h->f, c->h->f->size,
	     (long long)c->off, (void *)c->g->f, c->g->f->size, (long long)c->off2, (long long)c->len);
}

/* An aligned range of the source, sometimes up to its end. */
static bool aligned_two(struct call *c)
{
	if (!pick_two(c))
		return false;
	c->off = aligned_off(c->h->f);
	c->off2 = aligned_off(c->g->f);
	c->len = aligned_len();
	if ((uint64_t)(c->off2 + c->len) > c->g->f->size && chance(90))
		c->len = (off_t)c->g->f->size - c->off2;
	if (c->len < 0)
		c->len = 0;
	return true;
}

static int check_two(const struct call *c)
{
	if (c->off < 0 || c->off2 < 0 || c->len < 0)
		return -EINVAL;
	return (c->h->oflags & O_ACCMODE) == O_RDONLY ? -EBADF : 0;
}

static bool misaligned(const struct call *c)
{
	return ((uint64_t)c->off | (uint64_t)c->off2) % model.block;
}

static bool clone_prepare(struct call *c)
{
	if (!aligned_two(c))
		return false;
	if (chance(10))
		c->len = 0;
	spoil(c);
	two_reach(c, true);
	two_note(c, "clone");
	return true;
}

static ssize_t clone_expect(struct call *c)
{
	uint64_t src_size = c->g->f->size, n = (uint64_t)c->len;
	int rc = check_two(c);

	if (rc)
		return rc;
	if ((uint64_t)c->off + (uint64_t)c->len > model.max_size)
		return -EFBIG;
	if (misaligned(c) || (uint64_t)c->off2 > src_size)
		return -EINVAL;
	if (n == 0)
		n = src_size - (uint64_t)c->off2;
	if (n > src_size - (uint64_t)c->off2)
		return -EINVAL;
	if ((uint64_t)c->off + n > model.max_size)
		return -EFBIG;
	if (n % model.block && ((uint64_t)c->off2 + n != src_size || (uint64_t)c->off + n < c->h->f->size))
		return -EINVAL;
	return overlap(c, n) ? -EINVAL : 0;
}

static ssize_t clone_run(struct call *c)
{
	return daxl_clone_range(c->g->file, c->off2, c->h->file, c->off, c->len, c->waitp);
}

static void put_bytes(struct call *c, uint64_t n)
{
	struct mfile *dst = c->h->f;
	uint64_t end = (uint64_t)c->off + n;

	if (n == 0)
		return;
	memcpy(model.io, c->g->f->data + c->off2, n);
	if (end > dst->size)
		mfile_resize(dst, end);
	memcpy(dst->data + c->off, model.io, n);
}

static void clone_apply(struct call *c, ssize_t rc)
{
	uint64_t n = c->len ? (uint64_t)c->len : c->g->f->size - (uint64_t)c->off2;

	(void)rc;
	put_bytes(c, n);
	model.twin.src = c->g->f;
	model.twin.dst = c->h->f;
	model.twin.src_off = c->off2;
	model.twin.dst_off = c->off;
	model.twin.len = (off_t)n;
}

static bool dedupe_prepare(struct call *c)
{
	if (!aligned_two(c))
		return false;
	if (chance(70)) { /* what was made equal last, if it still is open */
		for (unsigned i = 0; i < MAX_HANDLES; i++) {
			struct mhandle *h = &model.handles[i];

			if (h->file && h->f == model.twin.src)
				c->g = h;
			if (h->file && h->f == model.twin.dst)
				c->h = h;
		}
		c->off = model.twin.dst_off;
		c->off2 = model.twin.src_off;
		c->len = model.twin.len;
	}
	if ((uint64_t)c->len % model.block && ((uint64_t)(c->off + c->len) != c->h->f->size || chance(10)))
		c->len = (off_t)block_down((uint64_t)c->len);
	spoil(c);
	two_reach(c, true);
	two_note(c, "dedupe");
	return true;
}

static ssize_t dedupe_expect(struct call *c)
{
	uint64_t n = (uint64_t)c->len;
	int rc = check_two(c);

	if (rc)
		return rc;
	if ((uint64_t)c->off + n > model.max_size || (uint64_t)c->off2 + n > model.max_size)
		return -EFBIG;
	if (misaligned(c))
		return -EINVAL;
	if (n == 0)
		return 0;
	if ((uint64_t)c->off2 + n > c->g->f->size || (uint64_t)c->off + n > c->h->f->size)
		return -EINVAL;
	if (n % model.block && ((uint64_t)c->off2 + n != c->g->f->size || (uint64_t)c->off + n != c->h->f->size))
		return -EINVAL;
	return overlap(c, n) ? -EINVAL : 0;
}

static ssize_t dedupe_run(struct call *c)
{
	c->same = false;
	return daxl_dedupe_range(c->g->file, c->off2, c->h->file, c->off, c->len, c->waitp, &c->same);
}

static void dedupe_apply(struct call *c, ssize_t rc)
{
	bool same = c->len == 0 || memcmp(c->g->f->data + c->off2, c->h->f->data + c->off, (size_t)c->len) == 0;

	(void)rc;
	note_more(" %s", c->same ? "same" : "differ");
	if (same != c->same)
		fail("dedupe says the ranges %s, and they %s", c->same ? "are the same" : "differ", same ? "are the same" : "differ");
}

static bool exchange_prepare(struct call *c)
{
	if (!aligned_two(c))
		return false;
	if (c->g->f->size > model.maxlen)
		return false;
	if ((uint64_t)(c->off + c->len) > c->h->f->size && chance(90))
		c->len = (off_t)block_down(c->h->f->size > (uint64_t)c->off ? c->h->f->size - (uint64_t)c->off : 0);
	if ((uint64_t)c->len % model.block && ((uint64_t)(c->off + c->len) != c->h->f->size))
		c->len = (off_t)block_down((uint64_t)c->len);
	spoil(c);
	if (chance(15)) {
		c->off = c->off2 = 0;
		c->len = DAXL_TO_END;
		if (chance(10))
			c->off2 = (off_t)model.block;
	}
	c->need = 6;
	if (c->len == DAXL_TO_END) {
		add_reach(c, c->h->f, 0, NO_END, false);
		add_reach(c, c->g->f, 0, NO_END, false);
	} else {
		two_reach(c, false);
	}
	two_note(c, "exchange");
	return true;
}

static ssize_t exchange_expect(struct call *c)
{
	uint64_t n = (uint64_t)c->len;

	if (c->off < 0 || c->off2 < 0 || c->len <= 0)
		return -EINVAL;
	if ((c->h->oflags & O_ACCMODE) == O_RDONLY || (c->g->oflags & O_ACCMODE) == O_RDONLY)
		return -EBADF;
	if (c->len == DAXL_TO_END)
		return c->off || c->off2 || c->h->f == c->g->f ? -EINVAL : 0;
	if ((uint64_t)c->off + n > model.max_size || (uint64_t)c->off2 + n > model.max_size)
		return -EFBIG;
	if (misaligned(c))
		return -EINVAL;
	if ((uint64_t)c->off + n > c->h->f->size || (uint64_t)c->off2 + n > c->g->f->size)
		return -EINVAL;
	if (n % model.block && ((uint64_t)c->off + n != c->h->f->size || (uint64_t)c->off2 + n != c->g->f->size))
		return -EINVAL;
	return overlap(c, n) ? -EINVAL : 0;
}

static ssize_t exchange_run(struct call *c)
{
	return daxl_exchange_range(c->h->file, c->off, c->g->file, c->off2, c->len, c->waitp);
}

static void exchange_apply(struct call *c, ssize_t rc)
{
	struct mfile *a = c->h->f, *b = c->g->f;

	(void)rc;
	if (c->len == DAXL_TO_END) {
		unsigned char *data = a->data;
		uint64_t size = a->size;

		a->data = b->data;
		a->size = b->size;
		b->data = data;
		b->size = size;
		return;
	}
	memcpy(model.io, a->data + c->off, (size_t)c->len);
	memcpy(a->data + c->off, b->data + c->off2, (size_t)c->len);
	memcpy(b->data + c->off2, model.io, (size_t)c->len);
}

static bool copy_prepare(struct call *c)
{
	if (!pick_two(c))
		return false;
	c->off = any_off(c->h->f);
	c->off2 = any_off(c->g->f);
	c->len = chance(3) ? 0 : chance(50) ? any_len() : (off_t)(rnd(model.maxlen / 2));
	if (chance(40)) /* alike in the block: the middle is cloned */
		c->off = (off_t)(block_down((uint64_t)c->off) + (uint64_t)c->off2 % model.block);
	spoil(c);
	c->silent = true;
	two_reach(c, true);
	c->need = (uint64_t)(c->len > 0 && c->len < (off_t)model.room ? c->len : 0) / model.block + 8;
	two_note(c, "copy");
	return true;
}

static ssize_t copy_expect(struct call *c)
{
	uint64_t n = (uint64_t)c->len, size = c->g->f->size;

	if (c->off < 0 || c->off2 < 0 || c->len < 0)
		return -EINVAL;
	if ((c->h->oflags & O_ACCMODE) == O_RDONLY || c->h->oflags & O_APPEND)
		return -EBADF;
	if ((uint64_t)c->off + n > model.max_size)
		return -EFBIG;
	if ((uint64_t)c->off2 >= size)
		return 0;
	if (n > size - (uint64_t)c->off2)
		n = size - (uint64_t)c->off2;
	return overlap(c, n) ? -EINVAL : (ssize_t)n;
}

static ssize_t copy_run(struct call *c)
{
	return daxl_copy_range(c->g->file, c->off2, c->h->file, c->off, (size_t)c->len);
}

static void copy_apply(struct call *c, ssize_t rc)
{
	put_bytes(c, (uint64_t)rc);
}

#define TWO_OP(what, often, takes_out) \
	{ .name = #what, .weight = (often), .prepare = what##_prepare, .run = what##_run, .expect = what##_expect, \
	  .apply = what##_apply, .limbo = (takes_out) }

const struct op two_ops[] = {
	TWO_OP(clone, 40, true),
	TWO_OP(dedupe, 25, true),
	TWO_OP(exchange, 25, false),
	TWO_OP(copy, 25, false),
	{ .name = NULL },
};
