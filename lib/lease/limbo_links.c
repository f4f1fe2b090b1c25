/* SPDX-License-Identifier: BSD-3-Clause */
/* From lease to limbo: prepared while things may fail, made when the change is published. */
#include <errno.h>

#include "lease/impl.h"

struct gather {
	struct daxl_limbo_links *links;
	struct daxl_limbo *limbo;
	struct daxl_lease *last;
	size_t busy;
	bool no_memory;
};

static int gather_span(struct daxl_lease_span *span, void *arg)
{
	struct gather *g = arg;
	struct daxl_lease *l = span->lease;

	if (!daxl_lw_busy(daxl_lw_load(&l->word)))
		return 0;
	for (struct daxl_limbo_link *at = g->links->head; at; at = at->next)
		if (at->lease == l)
			return 0; /* another piece of the same lease */
	struct daxl_limbo_link *link = daxl_zalloc(sizeof(*link));
	struct daxl_limbo_link *second = daxl_zalloc(sizeof(*second)); /* drops the lease's reference once link is the lease's */
	struct daxl_lease_span *spare = daxl_zalloc(sizeof(*spare));

	if (!link || !second || !spare) {
		daxl_free(link);
		daxl_free(second);
		daxl_free(spare);
		g->no_memory = true;
		return 1;
	}
	link->spare = spare;
	link->limbo = g->limbo;
	link->lease = l;
	link->blocks = daxl_limbo_blocks(g->limbo);
	daxl_lease_ref(l);
	daxl_limbo_get(g->limbo);
	link->next = g->links->head;
	g->links->head = link;
	second->next = g->links->unused_links;
	g->links->unused_links = second;
	g->busy++;
	return 0;
}

int daxl_break_limbo_prepare(struct daxl_break *brk, unsigned part, daxl_fblk_t start, daxl_fblk_t end, struct daxl_limbo *limbo,
                             struct daxl_limbo_links **links, size_t *ret_busy)
{
	struct daxl_range_lock *rl = daxl_break_part_of(brk, part)->rl;
	struct gather g = { .links = daxl_zalloc(sizeof(*g.links)), .limbo = limbo };

	if (!g.links)
		return daxl_fail(ENOMEM, "no memory for a list of leases");
	g.links->rl = rl;
	g.links->start = start;
	g.links->end = end;
	daxl_mutex_lock(&rl->mutex);
	(void)daxl_interval_each(rl->spans, start, end, gather_span, &g);
	daxl_mutex_unlock(&rl->mutex);
	if (g.no_memory) {
		daxl_break_limbo_drop(g.links);
		return daxl_fail(ENOMEM, "no memory for a list of leases");
	}
	*links = g.links;
	*ret_busy = g.busy;
	return 0;
}

/* The lease is revoked and keeps the limbo, unless it has drained meanwhile. Range mutex held. */
static bool make_locked(struct daxl_limbo_links *links, struct daxl_limbo_link *link)
{
	struct daxl_lease *l = link->lease;
	uint64_t w = daxl_lw_load(&l->word);

	link->next = l->limbo;
	l->limbo = link; /* before the bit: who sees the bit finds the link */
	while (daxl_lw_busy(w))
		if (daxl_lw_swap(&l->word, &w, w | DAXL_LW_LIMBO)) {
			if (!(w & DAXL_LW_LIMBO)) {
				daxl_lease_over_locked(l, w);
				DAXL_STAT_ADD(l->domain, limbos, 1);
			}
			daxl_spans_cut_locked(l, links->start, links->end, &link->spare);
			if (daxl_lease_spans(l))
				daxl_spans_bounds_locked(l);
			return true;
		}
	l->limbo = link->next;
	return false;
}

void daxl_break_limbo_apply(struct daxl_break *brk, struct daxl_limbo_links *links)
{
	struct daxl_limbo_link *next, *rest = NULL;

	daxl_mutex_lock(&links->rl->mutex);
	for (struct daxl_limbo_link *link = links->head; link; link = next) {
		next = link->next;
		struct daxl_limbo_link *leftover = link;
		struct daxl_lease *l = link->lease;

		if (make_locked(links, link)) {
			/* The link is the lease's now; its lease reference goes when nothing is held. */
			leftover = links->unused_links;
			links->unused_links = leftover->next;
			leftover->lease = l;
			leftover->limbo = NULL;
			leftover->spare = link->spare;
			link->spare = NULL;
			link->lease = NULL;
		}
		leftover->next = rest;
		rest = leftover;
	}
	links->head = rest;
	daxl_mutex_unlock(&links->rl->mutex);
	links->next = brk->applied;
	brk->applied = links;
}

static void free_list(struct daxl_limbo_link *list)
{
	struct daxl_limbo_link *next;

	for (struct daxl_limbo_link *link = list; link; link = next) {
		next = link->next;
		if (link->limbo)
			daxl_limbo_put(link->limbo);
		if (link->lease)
			daxl_lease_unref(link->lease);
		daxl_free(link->spare);
		daxl_free(link);
	}
}

void daxl_break_limbo_drop(struct daxl_limbo_links *links)
{
	free_list(links->head);
	free_list(links->unused_links);
	daxl_free(links);
}
