/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * From lease to limbo: prepared while things may fail, made when the change is published. Both run under a file's mutex, where no lease may be given its last reference back
 * (its end calls the holder): what they hold is dropped when the break leaves.
 */
#include <errno.h>

#include "lease/impl.h"

struct gather {
	struct daxl_break *brk;
	const struct daxl_clause *clause;
	struct daxl_limbo_links *links;
	struct daxl_limbo *limbo;
	uint64_t token;
	size_t n;
};

static void free_maker(struct daxl_limbo_maker *maker)
{
	if (maker->link)
		daxl_free(maker->link);
	daxl_free(maker->spare);
	daxl_free(maker);
}

static struct daxl_limbo_maker *new_maker(void)
{
	struct daxl_limbo_maker *maker = daxl_zalloc(sizeof(*maker));

	if (!maker)
		return NULL;
	maker->link = daxl_zalloc(sizeof(*maker->link));
	maker->spare = daxl_zalloc(sizeof(*maker->spare));
	if (maker->link && maker->spare)
		return maker;
	free_maker(maker);
	return NULL;
}

static int DAXL_HOLDS(RANGE) gather_span(struct daxl_lease_span *span, void *arg)
{
	struct gather *g = arg;
	struct daxl_lease *l = span->lease;

	if (l->seen == g->token)
		return 0; /* another piece of the same lease */
	if (!daxl_clause_waits(g->clause, l, g->brk->owner))
		return 0;
	l->seen = g->token;
	struct daxl_limbo_maker *maker = new_maker();

	if (!maker)
		return -ENOMEM;
	if (!daxl_lease_try_ref(l)) {
		free_maker(maker);
		return 0;
	}
	daxl_limbo_get(g->limbo);
	maker->lease = l;
	*maker->link = (struct daxl_limbo_link){
		.lease = l, .limbo = g->limbo, .start = g->links->start, .end = g->links->end
	};
	maker->next = g->links->makers;
	g->links->makers = maker;
	g->n++;
	return 0;
}

/* fn for the spans that meet [start, end) of part and a clause that may end in limbo; *clause is set to it. Range mutex held. */
static int DAXL_HOLDS(RANGE)
each_late(struct daxl_range_lock *rl, const struct daxl_clause *clauses, size_t n, unsigned part, daxl_fblk_t start,
                     daxl_fblk_t end, const struct daxl_clause **clause, int (*fn)(struct daxl_lease_span *span, void *arg),
                     void *arg)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < n; i++) {
		daxl_fblk_t from = daxl_max_u64(start, clauses[i].start), to = daxl_min_u64(end, clauses[i].end);

		*clause = &clauses[i];
		if (clauses[i].part == part && daxl_clause_limbo(&clauses[i]) && from < to)
			rc = daxl_interval_each(rl->spans, from, to, fn, arg);
	}
	return rc;
}

struct busy {
	const struct daxl_break *brk;
	const struct daxl_clause *clause;
	daxl_fblk_t start, end; /* asked */
	daxl_fblk_t from, to;   /* found: the first so far; empty: none */
};

static int DAXL_HOLDS(RANGE) busy_span(struct daxl_lease_span *span, void *arg)
{
	struct busy *b = arg;
	daxl_fblk_t from = daxl_max_u64(daxl_max_u64(span->start, b->start), b->clause->start);

	if (daxl_clause_waits(b->clause, span->lease, b->brk->owner) && daxl_lw_busy(daxl_lw_load(&span->lease->word)) &&
	    (b->from == b->to || from < b->from)) {
		b->from = from;
		b->to = daxl_min_u64(daxl_min_u64(span->end, b->end), b->clause->end);
	}
	return 0;
}

bool daxl_break_busy(struct daxl_break *brk, const struct daxl_clause *clauses, size_t n, unsigned part, daxl_fblk_t start,
                     daxl_fblk_t end, daxl_fblk_t *ret_start, daxl_fblk_t *ret_end)
{
	struct daxl_range_lock *rl = daxl_break_part_of(brk, part)->rl;
	struct busy b = { .brk = brk, .start = start, .end = end };

	daxl_mutex_lock(&rl->mutex);
	(void)each_late(rl, clauses, n, part, start, end, &b.clause, busy_span, &b);
	daxl_mutex_unlock(&rl->mutex);
	if (b.from == b.to)
		return false;
	*ret_start = b.from;
	*ret_end = b.to;
	return true;
}

int daxl_break_limbo_prepare(struct daxl_break *brk, const struct daxl_clause *clauses, size_t n, unsigned part, daxl_fblk_t start,
                             daxl_fblk_t end, struct daxl_limbo *limbo, struct daxl_limbo_links **links, size_t *ret_late)
{
	struct daxl_range_lock *rl = daxl_break_part_of(brk, part)->rl;
	struct gather g = { .brk = brk, .limbo = limbo, .token = daxl_key_new() };

	g.links = daxl_zalloc(sizeof(*g.links));
	if (!g.links)
		return daxl_fail(ENOMEM, "no memory for a list of leases");
	*g.links = (struct daxl_limbo_links){ .brk = brk, .rl = rl, .start = start, .end = end };
	daxl_mutex_lock(&rl->mutex);
	int rc = each_late(rl, clauses, n, part, start, end, &g.clause, gather_span, &g);

	daxl_mutex_unlock(&rl->mutex);
	if (rc) {
		daxl_break_limbo_drop(g.links);
		return daxl_fail(ENOMEM, "no memory for a list of leases");
	}
	*links = g.links;
	*ret_late = g.n;
	return 0;
}

static void DAXL_HOLDS(RANGE) add_link(struct daxl_lease *lease, struct daxl_limbo_link *link)
{
	struct daxl_range_lock *rl = lease->rl;

	link->next = lease->limbo;
	lease->limbo = link;
	link->file_next = rl->limbo;
	link->file_prev = &rl->limbo;
	if (rl->limbo)
		rl->limbo->file_prev = &link->file_next;
	rl->limbo = link;
}

/* The word once the lease is led to limbo: with limbo's reference, if its drain is still to come (word.h). */
static uint64_t in_limbo(uint64_t w)
{
	bool first = !(w & DAXL_LW_LIMBO);

	w |= DAXL_LW_LIMBO;
	return first && daxl_lw_busy(w) ? w + DAXL_LW_REF : w;
}

/*
 * Revokes the lease, takes the range from it, and, if it is busy, leaves the link with it. Whoever drains it in that moment sees the bit, then needs the range mutex, which is
 * held here, and finds the link.
 */
static void DAXL_HOLDS(RANGE) make_locked(struct daxl_limbo_links *links, struct daxl_limbo_maker *maker)
{
	struct daxl_lease *l = maker->lease;
	uint64_t w = daxl_lw_load(&l->word);

	do {
		if (daxl_lw_drained(w))
			return;
	} while (!daxl_lw_swap(&l->word, &w, in_limbo(w)));
	if (!(w & DAXL_LW_LIMBO)) {
		daxl_lease_over_locked(l, w);
		daxl_tally_event(l->rl->domain->tally, DAXL_TALLY_REVOKED_LIMBO, 1);
	}
	daxl_spans_cut_locked(l, links->start, links->end, &maker->spare);
	daxl_spans_bounds_locked(l);
	if (daxl_lw_busy(w | DAXL_LW_LIMBO)) {
		add_link(l, maker->link);
		daxl_tally_event(l->rl->domain->tally, DAXL_TALLY_LIMBO_BLOCKS, daxl_limbo_enter(maker->link->limbo));
		maker->link = NULL;
	} else {
		daxl_lease_unindex_locked(l);
	}
}

static void drop_later(struct daxl_limbo_links *links)
{
	links->next = links->brk->dropped;
	links->brk->dropped = links;
}

void daxl_break_limbo_apply(struct daxl_break *brk, struct daxl_limbo_links *links)
{
	struct daxl_range_lock *rl = links->rl;

	assert(links->brk == brk);
	(void)brk;
	daxl_mutex_lock(&rl->mutex);
	for (struct daxl_limbo_maker *m = links->makers; m; m = m->next)
		make_locked(links, m);
	daxl_mutex_unlock(&rl->mutex);
	daxl_wake_key(rl->key);
	drop_later(links);
}

void daxl_break_limbo_drop(struct daxl_limbo_links *links)
{
	for (struct daxl_limbo_maker *m = links->makers; m; m = m->next)
		if (m->link) {
			daxl_limbo_put(m->link->limbo);
			m->link->limbo = NULL;
		}
	drop_later(links);
}

void daxl_limbo_links_free(struct daxl_limbo_links *links)
{
	struct daxl_limbo_maker *next;

	for (struct daxl_limbo_maker *m = links->makers; m; m = next) {
		next = m->next;
		if (m->link && m->link->limbo)
			daxl_limbo_put(m->link->limbo);
		daxl_lease_unref(m->lease);
		free_maker(m);
	}
	daxl_free(links);
}
