/* SPDX-License-Identifier: BSD-3-Clause */
/* The holders: which leases are out, how they hear of a recall, and how they give way. What they store and commit is in holders.c. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"

struct mlease *any_lease(void)
{
	unsigned start = (unsigned)rnd(MAX_LEASES);

	for (unsigned i = 0; i < MAX_LEASES; i++)
		if (model.leases[(start + i) % MAX_LEASES])
			return model.leases[(start + i) % MAX_LEASES];
	return NULL;
}

uint64_t lease_owner(void)
{
	const struct mlease *l = any_lease();

	return l ? l->owner : 0;
}

bool lease_room(void)
{
	for (unsigned i = 0; i < MAX_LEASES; i++)
		if (!model.leases[i])
			return true;
	return false;
}

struct mlease *lease_new(struct mfile *f)
{
	struct mlease *l = calloc(1, sizeof(*l));

	if (!l)
		fail("no memory");
	l->f = f;
	f->refs++;
	return l;
}

void lease_add(struct mlease *l)
{
	for (unsigned i = 0; i < MAX_LEASES; i++)
		if (!model.leases[i]) {
			model.leases[i] = l;
			return;
		}
	fail("the model has no room for a lease");
}

static void lease_drop(struct mlease *l)
{
	for (unsigned i = 0; i < MAX_LEASES; i++)
		if (model.leases[i] == l)
			model.leases[i] = NULL;
	mfile_put(l->f);
	free(l->exts);
	free(l->junk);
	free(l);
}

bool lease_covers(const struct mlease *l, uint64_t from, uint64_t to)
{
	for (unsigned i = 0; i < l->nspans; i++)
		if (l->spans[i].start <= from && to <= l->spans[i].end)
			return true;
	return false;
}

bool lease_other_writer(const struct mlease *l, uint64_t at)
{
	for (unsigned i = 0; i < MAX_LEASES; i++) {
		const struct mlease *o = model.leases[i];

		if (o && o != l && o->f == l->f && o->mode == DAXL_LEASE_WRITE && !o->returned && !o->revoked &&
		    lease_covers(o, at, at + 1))
			return true;
	}
	return false;
}

void lease_subtract(struct mlease *l, uint64_t from, uint64_t to)
{
	struct span left[MAX_SPANS + 1];
	unsigned n = 0;

	for (unsigned i = 0; i < l->nspans; i++) {
		struct span s = l->spans[i];

		if (s.end <= from || to <= s.start) {
			left[n++] = s;
			continue;
		}
		if (s.start < from)
			left[n++] = (struct span){ s.start, from };
		if (to < s.end)
			left[n++] = (struct span){ to, s.end };
	}
	if (n > MAX_SPANS)
		fail("the model's list of a lease's pieces is too short");
	memcpy(l->spans, left, n * sizeof(left[0]));
	l->nspans = n;
}

void lease_look(struct mlease *l)
{
	ssize_t n = daxl_lease_extents(l->lease, NULL, 0);

	must((int)n, "lease extents");
	free(l->exts);
	l->exts = calloc((size_t)n + 1, sizeof(*l->exts));
	if (!l->exts)
		fail("no memory");
	l->nexts = (size_t)n;
	if (daxl_lease_extents(l->lease, l->exts, l->nexts) != n)
		fail("lease extents: two counts");
	for (size_t i = 0; i < l->nexts; i++) {
		const struct daxl_extent *e = &l->exts[i];
		bool hole = e->flags & DAXL_EXTENT_HOLE, unwritten = e->flags & DAXL_EXTENT_UNWRITTEN;
		bool shown = !hole && (!unwritten || l->mode == DAXL_LEASE_WRITE);

		if (!lease_covers(l, e->file_off, e->file_off + e->len))
			fail("lease %" PRIu64 ": extent [%" PRIu64 ", +%" PRIu64 ") is not in it", l->id, e->file_off, e->len);
		if (e->addr != (shown ? (char *)daxl_pool_base(model.pool) + e->pool_off : NULL))
			fail("lease %" PRIu64 ": extent at %" PRIu64 " with flags %#x has the wrong address", l->id, e->file_off,
			     e->flags);
		if (l->mode == DAXL_LEASE_WRITE && e->flags & (DAXL_EXTENT_HOLE | DAXL_EXTENT_SHARED))
			fail("WRITE lease %" PRIu64 ": extent at %" PRIu64 " has flags %#x", l->id, e->file_off, e->flags);
	}
}

/* --- recalls --- */

static bool busy(const struct mlease *l)
{
	return l->pins || ((l->flags & DAXL_LEASE_IMPLICIT_PIN) && !l->returned);
}

/* For each recall, by function or event, once in a lease's life (L4). */
static void told(struct mlease *l, uint64_t off, uint64_t len, int level, int reason)
{
	if (l->recalled)
		fail("lease %" PRIu64 " is recalled a second time", l->id);
	if (l->returned && l->nspans)
		fail("lease %" PRIu64 " is recalled after its return", l->id);
	l->recalled = true;
	model.recalls++;
	if (level != DAXL_BREAK_WRITE && level != DAXL_BREAK_UNMAP)
		fail("recall of lease %" PRIu64 " at level %d", l->id, level);
	if (reason <= DAXL_REASON_NONE || reason > DAXL_REASON_REPAIR || len == 0)
		fail("recall of lease %" PRIu64 " for reason %d", l->id, reason);
	if (!reached(l))
		fail("lease %" PRIu64 " on [%" PRIu64 ", %" PRIu64 ") is recalled (part %" PRIu64 " +%" PRIu64
		     ") by a call which does not concern it",
		     l->id, l->spans[0].start, l->spans[0].end, off, len);
	model.call->recalls++;
}

void lease_recalled(struct daxl_lease *lease, const struct daxl_recall *recall, void *arg)
{
	struct mlease *l = arg;

	if (lease != l->lease || recall->lease_id != l->id)
		fail("a recall function is given another lease than its own");
	note_more(" [recall %" PRIu64 "%s]", l->id, l->willing ? " willing" : "");
	told(l, (uint64_t)recall->off, (uint64_t)recall->len, recall->level, recall->reason);
	if (!l->willing)
		return;
	if (l->commits && l->mode == DAXL_LEASE_WRITE && !model.call->silent && lease_commit(l))
		model.call->stirred = true;
	while (l->pins)
		lease_unpin(l);
	lease_return(l);
}

static void check_junk(const struct mlease *l)
{
	for (size_t i = 0; i < l->njunk; i++) {
		const struct junk *j = &l->junk[i];

		if (j->addr[0] != j->pattern || memcmp(j->addr, j->addr + 1, j->len - 1) != 0)
			fail("lease %" PRIu64 ": block %" PRIu64 ", in limbo, was used while it was pinned (L1)", l->id,
			     (uint64_t)(j->addr - (unsigned char *)daxl_pool_base(model.pool)) / model.block);
	}
}

static void take_events(void)
{
	struct daxl_event event;

	while (daxl_event_next(model.pool, &event) == 1)
		for (unsigned i = 0; i < MAX_LEASES; i++)
			if (model.leases[i] && model.leases[i]->id == event.lease_id && event.kind == DAXL_EVENT_RECALL)
				told(model.leases[i], (uint64_t)event.off, (uint64_t)event.len, event.level, event.reason);
}

int lease_fence(struct daxl_lease *lease, void *arg)
{
	struct mlease *l = arg;

	take_events(); /* a lease that hears of its recall by event */
	if (lease != l->lease || (!l->recalled && !l->returned))
		fail("a fence function is called for a lease that was neither recalled nor returned");
	note_more(" [fence %" PRIu64 "%s]", l->id, l->fences ? "" : " fails");
	if (!l->fences)
		return -EIO;
	check_junk(l);
	l->njunk = 0; /* from now on its blocks may be somebody else's */
	l->fenced = true;
	model.fences++;
	return 0;
}

void lease_released(void *arg)
{
	struct mlease *l = arg;

	if (l->released)
		fail("lease %" PRIu64 " is released twice", l->id);
	l->released = true;
}

/* --- giving way --- */

/* The lease's last hold on its blocks in limbo goes now: from here on they may be somebody else's. */
static void forget_junk(struct mlease *l)
{
	check_junk(l);
	l->njunk = 0;
}

void lease_unpin(struct mlease *l)
{
	if (l->pins == 1 && (l->returned || !(l->flags & DAXL_LEASE_IMPLICIT_PIN)))
		forget_junk(l);
	l->pins--;
	daxl_lease_unpin(l->lease);
}

void lease_return(struct mlease *l)
{
	if (l->pins == 0)
		forget_junk(l);
	l->returned = true;
	must(daxl_lease_return(l->lease), "return");
}

static void lease_end(struct mlease *l)
{
	if (l->pins == 0)
		forget_junk(l);
	l->returned = true;
	l->freed = true;
	daxl_lease_free(l->lease);
}

void lease_settle(struct mlease *l, bool commit)
{
	if (!l->freed && commit && l->mode == DAXL_LEASE_WRITE && !l->returned && !l->revoked)
		(void)lease_commit(l);
	if (!l->freed && chance(30))
		lease_end(l); /* the pins outlive the handle */
	if (!l->freed && chance(50))
		lease_return(l);
	while (l->pins)
		lease_unpin(l);
	if (!l->freed)
		lease_end(l);
	if (!l->released)
		fail("lease %" PRIu64 " has ended, and its release function was not called", l->id);
	lease_drop(l);
}

bool in_the_way(const struct mfile *f)
{
	for (unsigned i = 0; i < MAX_LEASES; i++) {
		const struct mlease *l = model.leases[i];

		if (l && l->f == f && (l->returned ? l->pins != 0 : !l->willing || l->recalled))
			return true;
	}
	return false;
}

bool owner_stuck(uint64_t owner)
{
	for (unsigned i = 0; owner && i < MAX_LEASES; i++) {
		const struct mlease *l = model.leases[i];

		if (l && l->owner == owner && (busy(l) || (l->recalled && !l->returned)))
			return true;
	}
	return false;
}

void give_way(const struct mfile *f, bool all)
{
	for (unsigned i = 0; i < MAX_LEASES; i++) {
		struct mlease *l = model.leases[i];

		if (l && l->f == f && (all || l->recalled || l->returned))
			lease_settle(l, l->commits);
	}
}

void give_way_owner(uint64_t owner)
{
	for (unsigned i = 0; owner && i < MAX_LEASES; i++) {
		struct mlease *l = model.leases[i];

		if (l && l->owner == owner && (busy(l) || l->recalled))
			lease_settle(l, l->commits);
	}
}

void leases_end(void)
{
	for (unsigned i = 0; i < MAX_LEASES; i++)
		if (model.leases[i])
			lease_settle(model.leases[i], false);
}

/* --- after each call --- */

/*
 * The lease's blocks that are in the file no more are in limbo: its holder, who knows of nothing, goes on storing. Two leases may have
 * the same block there, so the bytes come from its number.
 */
static void make_junk(struct mlease *l)
{
	const struct mhandle *h = handle_of(l->f);
	struct daxl_extent *map = NULL;
	size_t n = 0;

	if (h)
		map = map_of(h->file, &n);
	else if (l->f->name >= 0)
		return; /* not deleted, and there is no handle to look with */
	free(l->junk);
	l->njunk = 0;
	l->junk = calloc(l->nexts * (model.room / model.block) + 1, sizeof(*l->junk));
	if (!l->junk)
		fail("no memory");
	for (size_t i = 0; i < l->nexts; i++) {
		for (uint64_t o = 0; o < l->exts[i].len; o += model.block) {
			uint64_t at = l->exts[i].file_off + o, blk = l->exts[i].pool_off + o;
			bool there = false;

			for (size_t k = 0; k < n; k++)
				there |= !(map[k].flags & DAXL_EXTENT_HOLE) && map[k].file_off <= at &&
				         at < map[k].file_off + map[k].len && map[k].pool_off + (at - map[k].file_off) == blk;
			if (there || !l->exts[i].addr)
				continue;
			l->junk[l->njunk] = (struct junk){ .addr = (unsigned char *)l->exts[i].addr + o, .len = model.block,
				                           .pattern = (unsigned char)(1 + blk / model.block % 255) };
			memset(l->junk[l->njunk].addr, l->junk[l->njunk].pattern, model.block);
			l->njunk++;
		}
	}
	model.limbos += l->njunk != 0;
	free(map);
}

static void check_state(struct mlease *l)
{
	int state = daxl_lease_state(l->lease);

	switch (state) {
	case DAXL_LEASE_LIVE:
		if (l->recalled || l->returned)
			fail("lease %" PRIu64 " is LIVE after its recall or return", l->id);
		break;
	case DAXL_LEASE_RECALLED:
		if (!l->recalled || l->returned)
			fail("lease %" PRIu64 " is RECALLED and was %s", l->id, l->returned ? "returned" : "not told");
		break;
	case DAXL_LEASE_REVOKED:
		if (!l->recalled && !l->returned) /* one returned with pins on it may yet be put in limbo */
			fail("lease %" PRIu64 " is REVOKED and was never recalled", l->id);
		if (l->revoked)
			break;
		l->revoked = true;
		if (!l->fenced && l->mode == DAXL_LEASE_WRITE && busy(l))
			make_junk(l);
		break;
	default:
		if (!l->returned && (!model.call || !l->owner ||
		                     (model.call->wait.owner != l->owner && model.call->owner != l->owner)))
			fail("lease %" PRIu64 " is RETURNED, and nobody did that", l->id);
		l->returned = true;
	}
}

void leases_upkeep(void)
{
	take_events();
	for (unsigned i = 0; i < MAX_LEASES; i++)
		if (model.leases[i] && !model.leases[i]->freed)
			check_state(model.leases[i]);
	for (unsigned i = 0; i < MAX_LEASES; i++)
		if (model.leases[i])
			check_junk(model.leases[i]);
}
