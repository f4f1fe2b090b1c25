/* SPDX-License-Identifier: BSD-3-Clause */
/* What holders do of their own: take leases, pin them, store through the addresses, commit, give parts back. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"

/* --- acquire --- */

static bool acquire_prepare(struct call *c)
{
	c->h = any_handle();
	if (!c->h || !lease_room())
		return false;
	c->off = any_off(c->h->f);
	c->len = chance(10) ? DAXL_TO_END : any_len();
	c->mode = chance(65) ? DAXL_LEASE_WRITE : DAXL_LEASE_READ;
	c->flags = (chance(8) ? DAXL_LEASE_EXCLUSIVE : 0u) | (chance(8) ? DAXL_LEASE_STABLE : 0u) |
	           (chance(8) ? DAXL_LEASE_IMPLICIT_PIN : 0u) | (chance(20) ? DAXL_LEASE_FILL_OK : 0u) |
	           (chance(20) ? DAXL_LEASE_NOWAIT : 0u) | (chance(15) ? DAXL_LEASE_QUEUE_EVENTS : 0u);
	c->owner = chance(40) ? 0 : chance(40) ? lease_owner() : daxl_owner_new();
	switch (rnd(100)) {
	case 0:
		c->off = -1;
		break;
	case 1:
		c->len = -c->len;
		break;
	case 2:
		c->flags |= 1u << 20;
		break;
	case 3:
		c->off = (off_t)model.max_size - 1;
		c->len = 2;
		break;
	default:
		break;
	}
	if (c->off >= 0 && c->len > 0)
		add_reach(c, c->h->f, (uint64_t)c->off, c->len == DAXL_TO_END ? NO_END : (uint64_t)c->off + (uint64_t)c->len,
		          false);
	c->need = (c->len == DAXL_TO_END ? c->h->f->size : (uint64_t)(c->len > 0 ? c->len : 0)) / model.block + 4;
	note("acquire %s %p [%lld, +%lld) flags %#x size %" PRIu64, c->mode ? "WRITE" : "READ", (void *)c->h->f, (long long)c->off,
	     (long long)c->len, c->flags, c->h->f->size);
	return true;
}

static ssize_t acquire_expect(struct call *c)
{
	bool write = c->mode == DAXL_LEASE_WRITE;

	if (c->off < 0 || c->len <= 0 || c->flags >> 20)
		return -EINVAL;
	if (write && (c->h->oflags & O_ACCMODE) == O_RDONLY)
		return -EBADF;
	if (c->len != DAXL_TO_END && (uint64_t)c->off + (uint64_t)c->len > model.max_size)
		return -EFBIG;
	return write && c->len == DAXL_TO_END && (uint64_t)c->off >= c->h->f->size ? -EINVAL : 0;
}

static ssize_t acquire_run(struct call *c)
{
	struct daxl_lease_opts opts = DAXL_LEASE_OPTS_INIT;
	struct mlease *l = lease_new(c->h->f);
	struct daxl_lease_stat st;

	l->mode = opts.mode = (uint32_t)c->mode;
	l->flags = opts.flags = c->flags;
	l->owner = opts.owner = c->owner;
	l->willing = !(c->flags & DAXL_LEASE_QUEUE_EVENTS) && chance(60);
	l->commits = chance(50);
	l->fences = chance(70);
	opts.recall = lease_recalled;
	opts.fence = lease_fence;
	opts.release = lease_released;
	opts.arg = l;
	opts.break_ms = 1;
	opts.wait = c->waitp;
	if (c->wait.timeout_ms == 0)
		l->flags |= DAXL_LEASE_NOWAIT;
	l->spans[0].start = block_down((uint64_t)c->off);
	l->nspans = 1;
	free(c->map);
	c->map = map_of(c->h->file, &c->nmap);
	uint64_t size = c->h->f->size; /* a commit in a recall function may raise it, which counts or not */
	int rc = daxl_lease_acquire(c->h->file, c->off, c->len, &opts, &l->lease);

	if (rc < 0) {
		if (l->released)
			fail("release was called for a lease that never was");
		l->f->refs--;
		free(l);
		return rc;
	}
	must(daxl_lease_stat(l->lease, &st), "lease stat");
	l->id = st.id;
	l->flags = st.flags;
	l->spans[0].end = c->len != DAXL_TO_END ? block_up((uint64_t)(c->off + c->len))
	                                        : c->mode == DAXL_LEASE_WRITE ? block_up(size) : NO_END;
	if (c->len == DAXL_TO_END && c->mode == DAXL_LEASE_WRITE && st.off + st.len == block_up(l->f->size))
		l->spans[0].end = block_up(l->f->size);
	if (st.off != l->spans[0].start || (l->spans[0].end == NO_END ? st.len != (uint64_t)DAXL_TO_END
	                                                              : st.off + st.len != l->spans[0].end))
		fail("lease granted on [%" PRIu64 ", +%" PRIu64 "), asked for [%" PRIu64 ", %" PRIu64 ")", st.off, st.len,
		     l->spans[0].start, l->spans[0].end);
	note_more(" id %" PRIu64 "%s", l->id, l->willing ? " willing" : "");
	lease_add(l);
	c->lease = l;
	return 0;
}

/* A WRITE lease's blocks as they are in memory: below the size the file's bytes, unwritten ones zeroes or another holder's bytes. */
static void take_over(struct mlease *l, const struct daxl_extent *e)
{
	struct mfile *f = l->f;
	const unsigned char *mem = e->addr;

	for (uint64_t o = 0; o < e->len; o += model.block) {
		uint64_t at = e->file_off + o, shown = 0;

		if (!(e->flags & DAXL_EXTENT_UNWRITTEN) && at < f->size)
			shown = f->size - at < model.block ? f->size - at : model.block;
		if (memcmp(mem + o, f->data + at, shown) != 0)
			fail("lease %" PRIu64 ": memory at file offset %" PRIu64 " is not what the file holds", l->id, at);
		if (e->flags & DAXL_EXTENT_UNWRITTEN) {
			bool theirs = lease_other_writer(l, at);

			if (theirs ? memcmp(mem + o, f->raw + at, model.block) != 0 : !is_zero(mem + o, model.block))
				fail("lease %" PRIu64 ": unwritten block at %" PRIu64 " is not %s (L10)", l->id, at,
				     theirs ? "as the other holder left it" : "zeroes");
			if (at < f->size && at + model.block <= block_up(f->size) && !theirs)
				fail("WRITE lease %" PRIu64 ": block at %" PRIu64 " below the size is unwritten", l->id, at);
		}
		memcpy(f->raw + at + shown, mem + o + shown, model.block - shown);
	}
}

/*
 * Unwritten blocks that the size has moved over become written by a WRITE grant. They become zeroes, but for those under another
 * holder's lease: there its bytes come to light, without its commit.
 */
static void come_to_light(const struct call *c, const struct mlease *l)
{
	struct mfile *f = l->f;

	for (size_t i = 0; i < c->nmap; i++) {
		const struct daxl_extent *e = &c->map[i];

		for (uint64_t at = e->file_off; (e->flags & DAXL_EXTENT_UNWRITTEN) && at < e->file_off + e->len; at += model.block)
			if (at < f->size && lease_covers(l, at, at + 1) && lease_other_writer(l, at))
				memcpy(f->data + at, f->raw + at, f->size - at < model.block ? f->size - at : model.block);
	}
}

static void acquire_apply(struct call *c, ssize_t rc)
{
	struct mlease *l = c->lease;

	(void)rc;
	if (l->mode == DAXL_LEASE_WRITE)
		come_to_light(c, l);
	if (l->returned || l->revoked)
		return;
	lease_look(l);
	for (size_t i = 0; i < l->nexts; i++) {
		const struct daxl_extent *e = &l->exts[i];

		if (l->mode == DAXL_LEASE_WRITE) {
			take_over(l, e);
		} else if (e->addr) {
			uint64_t end = e->file_off + e->len < l->f->size ? e->file_off + e->len : l->f->size;

			if (e->file_off < end && memcmp(e->addr, l->f->data + e->file_off, end - e->file_off) != 0)
				fail("READ lease %" PRIu64 ": memory at %" PRIu64 " is not what the file holds", l->id, e->file_off);
		}
	}
	if (l->mode == DAXL_LEASE_WRITE && l->nexts &&
	    l->exts[l->nexts - 1].file_off + l->exts[l->nexts - 1].len != l->spans[0].end)
		fail("WRITE lease %" PRIu64 " has no blocks at its end", l->id);
}

/* --- storing --- */

static void pin_step(void)
{
	struct mlease *l = any_lease();

	if (!l || l->freed)
		return;
	int want = l->recalled || l->returned || l->revoked ? -ESTALE : 0, rc = daxl_lease_pin(l->lease);

	note("pin %" PRIu64 " = %d", l->id, rc);
	if (rc != want)
		fail("pin: expected %d, got %d", want, rc);
	l->pins += rc == 0;
}

static void unpin_step(void)
{
	struct mlease *l = any_lease();

	if (!l || !l->pins)
		return;
	note("unpin %" PRIu64, l->id);
	lease_unpin(l);
	if (l->freed && !l->pins)
		lease_settle(l, false);
}

static void store(struct mlease *l, const struct daxl_extent *e, uint64_t from, uint64_t len)
{
	struct mfile *f = l->f;
	uint64_t shown = 0;

	fill_random(model.io, len);
	memcpy((unsigned char *)e->addr + (from - e->file_off), model.io, len);
	if (!(e->flags & DAXL_EXTENT_UNWRITTEN) && from < f->size)
		shown = f->size - from < len ? f->size - from : len;
	memcpy(f->data + from, model.io, shown);
	memcpy(f->raw + from + shown, model.io + shown, len - shown);
	model.scribbles++;
}

static bool may_store(const struct mlease *l)
{
	return !l->freed && !l->returned && !l->revoked && l->mode == DAXL_LEASE_WRITE;
}

static void scribble_step(void)
{
	struct mlease *l = NULL;

	for (unsigned i = 0; i < 6 && !(l && may_store(l)); i++)
		l = any_lease();
	if (!l || !may_store(l))
		return;
	if (!l->pins) {
		if (daxl_lease_pin(l->lease) != 0)
			return;
		l->pins++;
	}
	lease_look(l);
	if (!l->nexts)
		return;
	const struct daxl_extent *e = &l->exts[rnd(l->nexts)];
	uint64_t from = e->file_off + rnd(e->len), len = 1 + rnd(2 * model.block);

	if (chance(30) && e->file_off <= l->f->size && l->f->size < e->file_off + e->len)
		from = l->f->size; /* the end of the file */
	if (len > e->file_off + e->len - from)
		len = e->file_off + e->len - from;
	note("store through %" PRIu64 " [%" PRIu64 ", +%" PRIu64 ") flags %#x size %" PRIu64, l->id, from, len, e->flags,
	     l->f->size);
	store(l, e, from, len);
	if (chance(30))
		must(daxl_lease_persist(l->lease, (off_t)from, (off_t)len), "persist");
	if (chance(40))
		lease_unpin(l);
}

/* --- commit --- */

struct commit {
	uint64_t off, len;
	off_t new_size;
};

static int commit_expect(const struct mlease *l, const struct commit *m)
{
	uint64_t size = l->f->size;
	bool grows = m->new_size > (off_t)size;

	if (m->new_size < -1)
		return -EINVAL;
	if (l->returned || l->revoked)
		return -ESTALE;
	if (l->mode != DAXL_LEASE_WRITE || !lease_covers(l, m->off, m->off + m->len))
		return -ERANGE;
	if (!grows)
		return 0;
	if ((uint64_t)m->new_size <= m->off || (uint64_t)m->new_size > m->off + m->len)
		return -ERANGE;
	return size < m->off && !lease_covers(l, size, m->off) ? -ERANGE : 0;
}

/* What lies in the unwritten blocks of the committed range becomes the file's; what lies between old and new size too. */
static void commit_apply(struct mlease *l, const struct commit *m)
{
	struct mfile *f = l->f;
	uint64_t old = f->size, size = m->new_size > (off_t)old ? (uint64_t)m->new_size : old;
	bool gap = size > old && old < m->off;
	uint64_t start = block_down(gap ? old : m->off), end = block_up(m->off + m->len);

	mfile_resize(f, size);
	if (gap)
		memset(f->raw + old, 0, m->off - old);
	if (old < size)
		memcpy(f->data + old, f->raw + old, size - old);
	for (size_t i = 0; i < l->nexts; i++) {
		const struct daxl_extent *e = &l->exts[i];
		uint64_t from = e->file_off > start ? e->file_off : start;
		uint64_t to = e->file_off + e->len < end ? e->file_off + e->len : end;

		if (to > size)
			to = size;
		if ((e->flags & DAXL_EXTENT_UNWRITTEN) && from < to)
			memcpy(f->data + from, f->raw + from, to - from);
	}
}

bool lease_commit(struct mlease *l)
{
	struct call *outer = model.call, c = { 0 };
	struct commit m = { 0 };
	bool changed;

	if (l->nspans == 0)
		return false;
	const struct span *s = &l->spans[rnd(l->nspans)];
	uint64_t end = s->end == NO_END ? s->start + model.maxlen : s->end;

	m.off = chance(40) ? s->start : s->start + rnd(end - s->start);
	m.len = chance(40) ? end - m.off : 1 + rnd(end - m.off);
	if (chance(3))
		m.len += model.block;
	m.new_size = chance(40) ? -1 : (off_t)(m.off + 1 + rnd(m.len));
	if (chance(20))
		m.new_size = (off_t)(m.off + m.len);
	if (chance(3))
		m.new_size = (off_t)(m.off + m.len + 1);
	if (!l->returned && !l->revoked)
		lease_look(l);
	int want = commit_expect(l, &m);

	add_reach(&c, l->f, l->f->size < m.off ? l->f->size : m.off, m.off + m.len, false);
	c.stirred = false;
	note_more(" {commit %" PRIu64 " [%" PRIu64 ", +%" PRIu64 ") new size %lld of %" PRIu64, l->id, m.off, m.len,
	          (long long)m.new_size, l->f->size);
	model.call = &c;
	if (want == 0)
		commit_apply(l, &m); /* now: a READ lease recalled by it may look */
	changed = want == 0;
	int rc = daxl_lease_commit(l->lease, (off_t)m.off, (off_t)m.len, m.new_size);

	note_more(" = %d}", rc);
	if (rc != want && !(rc == -ERANGE && want == -ESTALE)) /* both can be true */
		fail("commit: expected %d, got %d", want, rc);
	if (!outer)
		leases_upkeep();
	model.call = outer;
	if (outer && c.recalls && !outer->stirred)
		outer->stirred = true; /* queued recalls of the commit are found later */
	model.commits += changed;
	return changed;
}

static void commit_step(void)
{
	struct mlease *l = any_lease();

	if (l && !may_store(l))
		l = any_lease();
	if (!l || l->freed)
		return;
	note("commit");
	(void)lease_commit(l);
}

/* --- giving back --- */

static void return_step(void)
{
	struct mlease *l = any_lease();

	if (!l)
		return;
	note("return %" PRIu64 " with %u pins", l->id, l->pins);
	if (!l->freed && chance(50))
		lease_return(l);
	else
		lease_settle(l, chance(50));
}

static void return_range_step(void)
{
	struct mlease *l = any_lease();

	if (!l || l->freed || l->returned || l->revoked || l->nspans == 0 || l->nspans == MAX_SPANS)
		return;
	uint64_t off = (uint64_t)any_off(l->f), len = chance(15) ? (uint64_t)DAXL_TO_END : (uint64_t)any_len();
	uint64_t from = block_up(off), to = len == (uint64_t)DAXL_TO_END ? NO_END : block_down(off + len);
	int want = l->pins ? -EBUSY : 0, rc = daxl_lease_return_range(l->lease, (off_t)off, (off_t)len);

	note("return of [%" PRIu64 ", +%" PRIu64 ") of %" PRIu64 " = %d", off, len, l->id, rc);
	if (rc != want)
		fail("return_range: expected %d, got %d", want, rc);
	if (rc == 0 && from < to)
		lease_subtract(l, from, to);
	if (l->nspans == 0)
		l->returned = true;
	else if (rc == 0)
		lease_look(l);
}

static void downgrade_step(void)
{
	struct mlease *l = any_lease();

	if (!l || l->freed || l->pins)
		return;
	int want = l->returned || l->revoked ? -ESTALE : 0, rc = daxl_lease_downgrade(l->lease);

	note("downgrade %" PRIu64 " = %d", l->id, rc);
	if (rc != want)
		fail("downgrade: expected %d, got %d", want, rc);
	if (rc)
		return;
	l->was_write |= l->mode == DAXL_LEASE_WRITE;
	l->mode = DAXL_LEASE_READ;
	l->flags &= ~(uint32_t)DAXL_LEASE_EXCLUSIVE;
	lease_look(l);
}

static void leasestat_step(void)
{
	struct mlease *l = any_lease();
	struct daxl_lease_stat st;

	if (!l || l->freed)
		return;
	note("lease stat %" PRIu64, l->id);
	must(daxl_lease_stat(l->lease, &st), "lease stat");
	if (st.id != l->id || st.mode != l->mode || st.flags != l->flags || st.pins != l->pins || st.owner != l->owner)
		fail("lease stat: id %" PRIu64 " mode %u flags %#x pins %" PRIu64 " owner %" PRIu64 "; expected %" PRIu64
		     " %u %#x %u %" PRIu64,
		     st.id, st.mode, st.flags, st.pins, st.owner, l->id, l->mode, l->flags, l->pins, l->owner);
	if ((st.reason != DAXL_REASON_NONE) != l->recalled)
		fail("lease stat: reason %u, and it was %srecalled", st.reason, l->recalled ? "" : "not ");
}

/* daxl_busy against the leases we know of. */
static void busy_step(void)
{
	struct mhandle *h = any_handle();
	struct daxl_holder holders[MAX_LEASES];
	uint64_t want = 0;

	if (!h)
		return;
	note("busy %p", (void *)h->f);
	for (unsigned i = 0; i < MAX_LEASES; i++) {
		const struct mlease *l = model.leases[i];

		if (!l || l->f != h->f)
			continue;
		if (l->revoked || l->fenced)
			return; /* parts of it have gone */
		want += l->nspans && (!l->returned || l->pins);
	}
	ssize_t n = daxl_busy(h->file, 0, DAXL_TO_END, holders, MAX_LEASES);

	if (n < 0 || (uint64_t)n != want)
		fail("daxl_busy: expected %" PRIu64 " holders, got %zd", want, n);
	for (ssize_t i = 0; i < n; i++) {
		bool known = false;

		for (unsigned k = 0; k < MAX_LEASES; k++)
			known |= model.leases[k] && model.leases[k]->id == holders[i].lease_id &&
			         model.leases[k]->pins == holders[i].pins && model.leases[k]->mode == holders[i].mode;
		if (!known)
			fail("daxl_busy shows lease %" PRIu64 ", or its pins or mode, as nobody has it", holders[i].lease_id);
	}
}

const struct op lease_ops[] = {
	{ .name = "acquire", .weight = 90, .prepare = acquire_prepare, .run = acquire_run, .expect = acquire_expect,
	  .apply = acquire_apply },
	{ .name = "pin", .weight = 10, .special = pin_step },
	{ .name = "unpin", .weight = 8, .special = unpin_step },
	{ .name = "store", .weight = 70, .special = scribble_step },
	{ .name = "commit", .weight = 30, .special = commit_step },
	{ .name = "return", .weight = 14, .special = return_step },
	{ .name = "returnrange", .weight = 8, .special = return_range_step },
	{ .name = "downgrade", .weight = 4, .special = downgrade_step },
	{ .name = "leasestat", .weight = 6, .special = leasestat_step },
	{ .name = "busy", .weight = 4, .special = busy_step },
	{ .name = NULL },
};
