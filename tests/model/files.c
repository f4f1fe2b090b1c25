/* SPDX-License-Identifier: BSD-3-Clause */
/* The oracle's files, and the choice of handles, offsets and lengths: often at or next to where something begins or ends. */
#include <stdlib.h>
#include <string.h>

#include "model.h"

uint64_t block_down(uint64_t byte)
{
	return byte & ~(model.block - 1);
}

uint64_t block_up(uint64_t byte)
{
	return block_down(byte + model.block - 1);
}

struct mfile *mfile_new(void)
{
	struct mfile *f = calloc(1, sizeof(*f));

	if (f) {
		f->data = calloc(1, model.room);
		f->raw = calloc(1, model.room);
	}
	if (!f || !f->data || !f->raw)
		fail("no memory for the model");
	f->refs = 1;
	f->name = -1;
	return f;
}

void mfile_put(struct mfile *f)
{
	if (--f->refs)
		return;
	free(f->data);
	free(f->raw);
	free(f);
}

void mfile_resize(struct mfile *f, uint64_t size)
{
	if (size > model.room)
		fail("the model is too small for a file of %llu bytes", (unsigned long long)size);
	if (size < f->size)
		memset(f->data + size, 0, f->size - size);
	f->size = size;
}

void mfile_zero(struct mfile *f, uint64_t from, uint64_t to)
{
	if (to > f->size)
		to = f->size;
	if (from < to)
		memset(f->data + from, 0, to - from);
}

static struct mhandle *pick(int access)
{
	unsigned start = (unsigned)rnd(MAX_HANDLES);

	for (unsigned i = 0; i < MAX_HANDLES; i++) {
		struct mhandle *h = &model.handles[(start + i) % MAX_HANDLES];

		if (h->file && (access < 0 || (h->oflags & O_ACCMODE) == access))
			return h;
	}
	return NULL;
}

/* Often a file with a lease on it: most of what can go wrong needs one. */
static struct mhandle *leased_handle(void)
{
	const struct mlease *l = any_lease();
	struct mhandle *h = l ? handle_of(l->f) : NULL;

	return h && (h->oflags & O_ACCMODE) == O_RDWR ? h : NULL;
}

/* Where a lease on f begins, if there is one. */
static bool leased_off(const struct mfile *f, uint64_t *ret_off)
{
	const struct mlease *l = any_lease();

	if (!l || l->f != f || l->nspans == 0)
		return false;
	*ret_off = l->spans[0].start;
	return true;
}

struct mhandle *any_handle(void)
{
	struct mhandle *h = chance(35) ? leased_handle() : NULL;

	if (h)
		return h;
	h = chance(93) ? pick(O_RDWR) : NULL;

	return h ? h : pick(-1);
}

struct mhandle *writable_handle(void)
{
	return pick(O_RDWR);
}

struct mhandle *handle_of(const struct mfile *f)
{
	for (unsigned i = 0; i < MAX_HANDLES; i++)
		if (model.handles[i].file && model.handles[i].f == f)
			return &model.handles[i];
	return NULL;
}

static uint64_t clip(uint64_t x)
{
	return x > model.maxlen ? rnd(model.maxlen) : x;
}

off_t any_off(const struct mfile *f)
{
	uint64_t x;

	if (chance(25) && leased_off(f, &x))
		return (off_t)clip(x + (chance(50) ? rnd(model.block) : 0));
	switch (rnd(8)) {
	case 0:
		x = f->size;
		break;
	case 1:
		x = f->size + rnd(2 * model.block);
		break;
	case 2:
		x = f->size > 17 ? f->size - 1 - rnd(16) : 0;
		break;
	case 3:
	case 4:
		x = block_down(rnd(model.maxlen));
		break;
	case 5:
		x = block_down(rnd(model.maxlen)) + (chance(50) ? 1 + rnd(9) : model.block - 1 - rnd(9));
		break;
	case 6:
		x = rnd(f->size + 1);
		break;
	default:
		x = rnd(model.maxlen);
	}
	return (off_t)clip(x);
}

off_t any_len(void)
{
	switch (rnd(6)) {
	case 0:
		return (off_t)(1 + rnd(16));
	case 1:
		return (off_t)(model.block * (1 + rnd(3)));
	case 2:
		return (off_t)(model.block + rnd(17) - 8);
	case 3:
		return (off_t)(1 + rnd(model.maxlen / 4));
	default:
		return (off_t)(1 + rnd(3 * model.block));
	}
}

off_t aligned_off(const struct mfile *f)
{
	uint64_t x;

	if (chance(20) && leased_off(f, &x))
		return (off_t)x;
	return (off_t)(chance(70) ? block_down(rnd(f->size + 1)) : block_down(rnd(model.maxlen)));
}

off_t aligned_len(void)
{
	return (off_t)(model.block * (1 + rnd(chance(80) ? 4 : model.maxlen / model.block / 2)));
}

bool is_zero(const unsigned char *bytes, uint64_t len)
{
	return len == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, len - 1) == 0);
}
