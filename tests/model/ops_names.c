/* SPDX-License-Identifier: BSD-3-Clause */
/* Names, handles and attributes. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "model.h"

static void name_forget(int i)
{
	struct mfile *f = model.names[i];

	model.names[i] = NULL;
	f->name = -1;
	mfile_put(f);
}

static void handle_close(struct mhandle *h)
{
	struct mfile *f = h->f;

	h->file = NULL;
	h->f = NULL;
	f->handles--;
	mfile_put(f);
}

static void whole_reach(struct call *c, const struct mfile *f)
{
	if (f)
		add_reach(c, f, 0, NO_END, false);
}

/* --- open and close --- */

static struct mhandle *free_handle(void)
{
	for (unsigned i = 0; i < MAX_HANDLES; i++)
		if (!model.handles[i].file)
			return &model.handles[i];
	return NULL;
}

static bool open_prepare(struct call *c)
{
	static const int accesses[] = { O_RDWR, O_RDWR, O_RDWR, O_RDWR, O_RDWR, O_RDONLY };

	c->a = (int)rnd(model.nnames);
	c->flags = (unsigned)accesses[rnd(6)] | (chance(75) ? O_CREAT : 0) | (chance(10) ? O_EXCL : 0) |
	           (chance(8) ? O_TRUNC : 0) | (chance(12) ? O_APPEND : 0);
	if (chance(1))
		c->flags |= O_WRONLY;
	if (!free_handle())
		return false;
	c->need = 4;
	if (model.names[c->a] && (c->flags & O_TRUNC)) { /* waits as the pool says, not as a handle does */
		whole_reach(c, model.names[c->a]);
		give_way(model.names[c->a], true);
	}
	note("open %d flags %#o", c->a, c->flags);
	return true;
}

static ssize_t open_expect(struct call *c)
{
	unsigned flags = c->flags;
	bool there = model.names[c->a];

	if ((flags & O_ACCMODE) != O_RDONLY && (flags & O_ACCMODE) != O_RDWR)
		return -EINVAL;
	if (((flags & O_TRUNC) && (flags & O_ACCMODE) == O_RDONLY) || ((flags & O_EXCL) && !(flags & O_CREAT)))
		return -EINVAL;
	if (there)
		return flags & O_EXCL ? -EEXIST : 0;
	return flags & O_CREAT ? 0 : -ENOENT;
}

static ssize_t open_run(struct call *c)
{
	return daxl_open(model.pool, model.name[c->a], (int)c->flags, &c->opened);
}

static void open_apply(struct call *c, ssize_t rc)
{
	struct mhandle *h = free_handle();
	struct mfile *f = model.names[c->a];
	struct daxl_wait wait = DAXL_WAIT_INIT;
	struct daxl_stat st;

	(void)rc;
	must(daxl_stat(c->opened, &st), "stat");
	if (!f) {
		f = mfile_new();
		f->name = c->a;
		f->id = st.id;
		model.names[c->a] = f;
		if (st.size || st.blocks)
			fail("a new file has %" PRIu64 " bytes in %" PRIu64 " blocks", st.size, st.blocks);
	}
	if (c->flags & O_TRUNC)
		mfile_resize(f, 0);
	f->refs++;
	f->handles++;
	*h = (struct mhandle){ .file = c->opened, .f = f, .oflags = (int)c->flags };
	wait.timeout_ms = 0;
	must(daxl_set_wait(h->file, &wait), "set_wait");
	c->h = h;
}

static void close_step(void)
{
	struct mhandle *h = any_handle();
	struct call c = { 0 };

	if (!h)
		return;
	note("close %p name %d", (void *)h->f, h->f->name);
	whole_reach(&c, h->f);
	bool stays = h->f->handles > 1 || h->f->name >= 0;

	model.call = &c;
	must(daxl_close(h->file), "close");
	h->file = NULL; /* nobody may look through it */
	leases_upkeep();
	model.call = NULL;
	if (c.recalls && stays)
		fail("close has recalled %u leases of a file that stays", c.recalls);
	handle_close(h);
}

void close_handles(void)
{
	for (unsigned i = 0; i < MAX_HANDLES; i++) {
		struct mhandle *h = &model.handles[i];

		if (!h->file)
			continue;
		must(daxl_close(h->file), "close");
		handle_close(h);
	}
}

/* --- unlink and rename --- */

static bool unlink_prepare(struct call *c)
{
	c->a = (int)rnd(model.nnames);
	whole_reach(c, model.names[c->a]);
	note("unlink %d", c->a);
	return true;
}

static ssize_t unlink_expect(struct call *c)
{
	return model.names[c->a] ? 0 : -ENOENT;
}

static ssize_t unlink_run(struct call *c)
{
	return daxl_unlink(model.pool, model.name[c->a]);
}

static void unlink_apply(struct call *c, ssize_t rc)
{
	(void)rc;
	if (c->recalls && model.names[c->a]->handles)
		fail("unlink has recalled %u leases of an open file", c->recalls);
	name_forget(c->a);
}

static bool rename_prepare(struct call *c)
{
	c->a = (int)rnd(model.nnames);
	c->b = (int)rnd(model.nnames);
	c->flags = chance(40) ? (unsigned)rnd(5) : 0; /* 3: both, 4: unknown */
	c->need = 4;
	whole_reach(c, model.names[c->b]);
	note("rename %d to %d flags %u", c->a, c->b, c->flags);
	return true;
}

static ssize_t rename_expect(struct call *c)
{
	bool a = model.names[c->a], b = model.names[c->b];

	if (c->flags > 2)
		return -EINVAL;
	if (!a || (c->flags == DAXL_RENAME_EXCHANGE && !b))
		return -ENOENT;
	return c->flags == DAXL_RENAME_NOREPLACE && b ? -EEXIST : 0;
}

static ssize_t rename_run(struct call *c)
{
	return daxl_rename(model.pool, model.name[c->a], model.name[c->b], c->flags);
}

static void rename_apply(struct call *c, ssize_t rc)
{
	struct mfile *a = model.names[c->a], *b = model.names[c->b];

	(void)rc;
	if (a == b)
		return;
	if (c->flags == DAXL_RENAME_EXCHANGE) {
		model.names[c->a] = b;
		b->name = c->a;
	} else {
		if (b)
			name_forget(c->b);
		model.names[c->a] = NULL;
	}
	model.names[c->b] = a;
	a->name = c->b;
}

/* Names that cannot be. */
static void bad_name_step(void)
{
	static char name[DAXL_NAME_MAX + 3];
	bool empty = chance(50);
	int want = empty ? -EINVAL : -ENAMETOOLONG;
	struct daxl_file *file;
	int rc;

	memset(name, 'n', sizeof(name) - 1);
	if (empty)
		name[0] = 0;
	note("bad name%s", empty ? ", empty" : "");
	switch (rnd(4)) {
	case 0:
		rc = daxl_open(model.pool, name, O_RDWR | O_CREAT, &file);
		break;
	case 1:
		rc = daxl_unlink(model.pool, name);
		break;
	case 2:
		rc = daxl_rename(model.pool, name, model.name[0], 0);
		break;
	default:
		rc = daxl_rename(model.pool, model.name[0], name, 0);
	}
	if (rc != want)
		fail("%s name: expected %d, got %d", empty ? "an empty" : "a long", want, rc);
}

static void list_step(void)
{
	note("list");
	verify_names();
}

/* --- attributes --- */

static bool setattr_prepare(struct call *c)
{
	c->h = any_handle();
	if (!c->h)
		return false;
	c->a = (int)rnd(MAX_KEYS);
	c->len = (off_t)(chance(50) ? rnd(64) : rnd(MAX_VALUE));
	c->flags = chance(30); /* remove */
	if (chance(2))
		c->len = DAXL_ATTR_SPACE_MAX;
	c->need = 2;
	fill_random(model.io, (size_t)c->len);
	note("setattr %p k%d %s %lld", (void *)c->h->f, c->a, c->flags ? "removed" : "of", (long long)c->len);
	return true;
}

static ssize_t setattr_expect(struct call *c)
{
	size_t total = 2 + 4 + (size_t)c->len;

	if ((c->h->oflags & O_ACCMODE) == O_RDONLY)
		return -EBADF;
	if (c->flags)
		return c->h->f->attrs[c->a].set ? 0 : -ENODATA;
	if (total > DAXL_ATTR_SPACE_MAX)
		return -E2BIG;
	for (int i = 0; i < (int)MAX_KEYS; i++)
		if (i != c->a && c->h->f->attrs[i].set)
			total += 2 + 4 + c->h->f->attrs[i].len;
	return total > DAXL_ATTR_SPACE_MAX ? -ENOSPC : 0;
}

static ssize_t setattr_run(struct call *c)
{
	char key[] = { 'k', (char)('0' + c->a), 0 };

	return daxl_setattr(c->h->file, key, c->flags ? NULL : model.io, c->flags ? 0 : (size_t)c->len);
}

static void setattr_apply(struct call *c, ssize_t rc)
{
	struct mattr *a = &c->h->f->attrs[c->a];
	char key[] = { 'k', (char)('0' + c->a), 0 };

	(void)rc;
	a->set = !c->flags;
	a->len = a->set ? (size_t)c->len : 0;
	memcpy(a->value, model.io, a->len);
	ssize_t n = daxl_getattr(c->h->file, key, NULL, 0);

	if (n != (a->set ? (ssize_t)a->len : -ENODATA))
		fail("getattr of what was just set gave %zd", n);
	if (a->len > 1 && daxl_getattr(c->h->file, key, model.io2, a->len - 1) != -ERANGE)
		fail("getattr into too small a buffer does not say so");
}

const struct op name_ops[] = {
	{ .name = "open", .weight = 30, .prepare = open_prepare, .run = open_run, .expect = open_expect, .apply = open_apply },
	{ .name = "close", .weight = 15, .special = close_step },
	{ .name = "unlink", .weight = 7, .prepare = unlink_prepare, .run = unlink_run, .expect = unlink_expect,
	  .apply = unlink_apply },
	{ .name = "rename", .weight = 10, .prepare = rename_prepare, .run = rename_run, .expect = rename_expect,
	  .apply = rename_apply },
	{ .name = "badname", .weight = 1, .special = bad_name_step },
	{ .name = "list", .weight = 3, .special = list_step },
	{ .name = "setattr", .weight = 8, .prepare = setattr_prepare, .run = setattr_run, .expect = setattr_expect,
	  .apply = setattr_apply },
	{ .name = NULL },
};
