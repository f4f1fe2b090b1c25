/* SPDX-License-Identifier: BSD-3-Clause */
/* One step: the call is made, judged, repeated when holders were in the way, and what it touched is compared. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"

#define TRIES 12

void add_reach(struct call *c, const struct mfile *f, uint64_t start, uint64_t end, bool writers)
{
	if (c->nreach == MAX_REACH)
		fail("the model's list of ranges is too short");
	c->reach[c->nreach++] = (struct reach){ .f = f, .start = block_down(start), .end = end == NO_END ? NO_END : block_up(end),
		                                .writers = writers };
}

void add_growth(struct call *c, const struct mfile *f)
{
	if (f->size % model.block)
		add_reach(c, f, f->size, f->size + 1, false); /* READ leases too: a shared tail block is copied */
}

bool reached(const struct mlease *l)
{
	const struct call *c = model.call;

	if (!c || c->stirred)
		return c != NULL;
	for (unsigned i = 0; i < c->nreach; i++) {
		const struct reach *r = &c->reach[i];

		if (r->f != l->f || (r->writers && l->mode == DAXL_LEASE_READ && !l->was_write))
			continue;
		for (unsigned k = 0; k < l->nspans; k++)
			if (l->spans[k].start < r->end && r->start < l->spans[k].end)
				return true;
	}
	return false;
}

/* What must not have changed when a call failed. */
struct before {
	struct daxl_stat st[2];
};

static void look(const struct call *c, struct before *b)
{
	memset(b, 0, sizeof(*b));
	if (c->h && c->h->file)
		must(daxl_stat(c->h->file, &b->st[0]), "stat");
	if (c->g && c->g->file)
		must(daxl_stat(c->g->file, &b->st[1]), "stat");
}

static void unchanged(const struct call *c, const struct before *b)
{
	struct before now;

	look(c, &now);
	for (int i = 0; i < 2 && !c->stirred; i++)
		if (now.st[i].generation != b->st[i].generation || now.st[i].size != b->st[i].size ||
		    now.st[i].blocks != b->st[i].blocks)
			fail("the call failed, but file %d has changed: generation %" PRIu64 " to %" PRIu64 ", size %" PRIu64
			     " to %" PRIu64 ", blocks %" PRIu64 " to %" PRIu64,
			     i, b->st[i].generation, now.st[i].generation, b->st[i].size, now.st[i].size, b->st[i].blocks,
			     now.st[i].blocks);
}

static void verify_touched(const struct call *c)
{
	const struct mhandle *hs[] = { c->h, c->g };

	for (int i = 0; i < 2; i++) {
		const struct mhandle *h = hs[i];

		if (!h || !h->file)
			continue;
		verify_size(h->file, h->f);
		verify_map(h->file, h->f);
		if (model.block > 65536 && c->op->apply && !chance(25)) {
			uint64_t at = (uint64_t)(i ? c->off2 : c->off);

			if (at < model.room) /* large blocks: about the start of what was touched */
				verify_range(h->file, h->f, at > 4096 ? at - 4096 : 0, at + model.block + 4096);
		} else {
			verify_range(h->file, h->f, 0, h->f->size);
		}
	}
}

static bool holders_excuse(const struct call *c)
{
	return (c->h && in_the_way(c->h->f)) || (c->g && in_the_way(c->g->f)) || owner_stuck(c->wait.owner) ||
	       owner_stuck(c->owner);
}

/* Whether the pool may lack room for the call. */
static bool space_excuse(const struct call *c, const struct daxl_pool_stat *before)
{
	uint64_t slack = 4 + (UINT64_C(256) << 10) / model.block;
	struct daxl_pool_stat now;

	must(daxl_pool_stat(model.pool, &now), "pool stat");
	return before->free_blocks <= c->need + slack || now.free_blocks <= c->need + slack;
}

static void make_way(struct call *c, int tries)
{
	if (c->h)
		give_way(c->h->f, tries > 3);
	if (c->g)
		give_way(c->g->f, tries > 3);
	give_way_owner(c->wait.owner);
	give_way_owner(c->owner);
}

static const char *how_it_waits(const struct call *c)
{
	if (!c->waitp)
		return "";
	if (c->wait.on_timeout == DAXL_ON_TIMEOUT_LIMBO)
		return " limbo";
	return c->wait.on_timeout ? " fence" : c->wait.owner ? " owned" : "";
}

/* Makes the call once. True: it was settled, well or not. */
static bool try_once(struct call *c, int tries)
{
	struct daxl_pool_stat space;
	struct before before;
	ssize_t want = c->op->expect(c);

	must(daxl_pool_stat(model.pool, &space), "pool stat");
	look(c, &before);
	c->recalls = 0;
	c->stirred = false;
	model.call = c;
	ssize_t rc = c->op->run(c);

	leases_upkeep();
	model.call = NULL;
	note_more("%s = %zd", how_it_waits(c), rc);
	if (want < 0 && (rc != want || c->recalls))
		fail("%s: expected %zd and nobody recalled (L5), got %zd and %u recalls", c->op->name, want, rc, c->recalls);
	want = c->op->expect(c); /* recall functions may have committed */
	if (rc == want) {
		if (rc < 0)
			unchanged(c, &before);
		else
			c->op->apply(c, rc);
		return true;
	}
	if (rc >= 0 && c->op->apply && c->silent && rc < want && space_excuse(c, &space)) {
		c->op->apply(c, rc); /* a copy that ran out of room half way */
		return true;
	}
	if (rc >= 0 && c->silent && rc < want && holders_excuse(c)) {
		c->op->apply(c, rc);
		return true;
	}
	if (rc == -ENOSPC && space_excuse(c, &space)) {
		unchanged(c, &before);
		model.lacked++;
		return true;
	}
	if ((rc == -EAGAIN || rc == -ETIMEDOUT || rc == -EDEADLK) && holders_excuse(c)) {
		unchanged(c, &before);
		model.refused++;
		make_way(c, tries);
		return false;
	}
	fail("%s: expected %zd, got %zd (%u recalls; %s in the way; %" PRIu64
	     " blocks free, at most %" PRIu64 " needed)",
	     c->op->name, want, rc, c->recalls, holders_excuse(c) ? "somebody" : "nobody", space.free_blocks,
	     c->need);
}

static void no_wait(struct call *c)
{
	c->wait = (struct daxl_wait)DAXL_WAIT_INIT;
	c->wait.timeout_ms = 0;
	c->waitp = NULL; /* the handle's default, which is not to wait */
}

/* Mostly NULL, for the handle's default. Else with an owner, and where holders are in the way often with limbo or fence. */
static void choose_wait(struct call *c)
{
	bool held_up = c->h && in_the_way(c->h->f);

	if (chance(held_up ? 40 : 60))
		return;
	c->waitp = &c->wait;
	if (chance(40))
		c->wait.owner = lease_owner();
	if (chance(held_up ? 50 : 5)) {
		c->wait.timeout_ms = 2; /* longer than the leases' own deadlines */
		c->wait.on_timeout = c->op->limbo && chance(60) ? DAXL_ON_TIMEOUT_LIMBO : DAXL_ON_TIMEOUT_FENCE;
	}
}

void run_op(const struct op *op)
{
	struct call c = { .op = op };

	if (op->special) {
		op->special();
		leases_upkeep();
		return;
	}
	no_wait(&c);
	if (!op->prepare(&c))
		return;
	choose_wait(&c);
	for (int tries = 0; !try_once(&c, tries); tries++) {
		if (tries == TRIES)
			fail("%s: holders have given way %d times and it still does not go on", op->name, TRIES);
		no_wait(&c);
		if (c.h) /* holders that gave way may have moved the end */
			add_growth(&c, c.h->f);
		note_more("; again");
	}
	free(c.map);
	verify_touched(&c);
}
