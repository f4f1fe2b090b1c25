/* SPDX-License-Identifier: BSD-3-Clause */
/* Questions about leases that change nothing. */
#include <errno.h>

#include "lease/impl.h"

DAXL_API int daxl_lease_state(const struct daxl_lease *lease)
{
	DAXL_NEED(lease);
	uint64_t w = daxl_lw_load(&lease->word);

	if (w & DAXL_LW_FENCED)
		return DAXL_LEASE_REVOKED;
	if (w & DAXL_LW_LIMBO) /* returned counts once it has drained */
		return (w & DAXL_LW_RETURNED) && !daxl_lw_busy(w) ? DAXL_LEASE_RETURNED : DAXL_LEASE_REVOKED;
	if (w & DAXL_LW_RETURNED)
		return DAXL_LEASE_RETURNED;
	return w & DAXL_LW_RECALLED ? DAXL_LEASE_RECALLED : DAXL_LEASE_LIVE;
}

DAXL_API int daxl_lease_stat(struct daxl_lease *lease, struct daxl_lease_stat *ret_stat)
{
	DAXL_NEED(lease);
	DAXL_NEED(ret_stat);
	daxl_mutex_lock(&lease->rl->mutex);
	*ret_stat = (struct daxl_lease_stat){
		.id = lease->id,
		.off = daxl_blocks_to_bytes(lease->start, lease->rl->domain->block_shift),
		.len = daxl_range_len(lease->rl->domain, lease->start, lease->end),
		.mode = lease->mode,
		.flags = lease->flags,
		.state = (uint32_t)daxl_lease_state(lease),
		.reason = lease->reason,
		.pins = daxl_lw_load(&lease->word) & DAXL_LW_PINS,
		.owner = lease->owner,
		.generation = lease->generation,
		.epoch = lease->rl->domain->epoch,
		.deadline_ns = lease->deadline_ns,
	};
	daxl_mutex_unlock(&lease->rl->mutex);
	return 0;
}

struct span_copy {
	daxl_fblk_t start, end;
};

int daxl_lease_each_span(const struct daxl_lease *lease, int (*fn)(daxl_fblk_t start, daxl_fblk_t end, void *arg), void *arg)
{
	struct daxl_lease *l = (struct daxl_lease *)(uintptr_t)lease;
	struct span_copy few[4], *copy = few;
	size_t n = 0, cap = DAXL_ARRAY_LEN(few);
	int rc = 0;

	for (;;) {
		n = 0;
		daxl_mutex_lock(&l->rl->mutex);
		for (struct daxl_lease_span *s = daxl_lease_spans(l); s; s = s->next_of_lease) {
			if (n < cap)
				copy[n] = (struct span_copy){ s->start, s->end };
			n++;
		}
		daxl_mutex_unlock(&l->rl->mutex);
		if (n <= cap)
			break;
		if (copy != few)
			daxl_free(copy);
		cap = n;
		copy = daxl_alloc(cap * sizeof(*copy));
		if (!copy)
			return daxl_fail(ENOMEM, "no memory to list a lease's %zu pieces", n);
	}
	/* In the order of the file: what a cut leaves behind it is put right behind what it leaves before it. */
	for (size_t i = 0; !rc && i < n; i++)
		rc = fn(copy[i].start, copy[i].end, arg);
	if (copy != few)
		daxl_free(copy);
	return rc;
}

bool daxl_lease_covers(const struct daxl_lease *lease, daxl_fblk_t start, daxl_fblk_t end)
{
	struct daxl_lease *l = (struct daxl_lease *)(uintptr_t)lease;
	daxl_nblk_t covered = 0;

	daxl_mutex_lock(&l->rl->mutex);
	for (struct daxl_lease_span *s = daxl_lease_spans(l); s; s = s->next_of_lease) {
		daxl_fblk_t from = daxl_max_u64(s->start, start), to = daxl_min_u64(s->end, end);

		covered += from < to ? to - from : 0;
	}
	daxl_mutex_unlock(&l->rl->mutex);
	return covered == end - start;
}

struct holders {
	struct daxl_holder *out;
	size_t max, n;
	uint64_t token;
};

/* Of the lease's blocks in limbo; a list it has by several links counts once. */
static daxl_nblk_t DAXL_HOLDS(RANGE) limbo_blocks(const struct daxl_lease *lease)
{
	daxl_nblk_t n = 0;

	for (const struct daxl_limbo_link *link = lease->limbo; link; link = link->next) {
		bool again = false;

		for (const struct daxl_limbo_link *l = lease->limbo; l != link && !again; l = l->next)
			again = l->limbo == link->limbo;
		n += again ? 0 : daxl_limbo_blocks(link->limbo);
	}
	return n;
}

bool daxl_lease_holder_locked(const struct daxl_lease *l, struct daxl_holder *ret)
{
	uint64_t w = daxl_lw_load(&l->word);

	if (daxl_lw_drained(w))
		return false;
	*ret = (struct daxl_holder){
		.lease_id = l->id,
		.owner = l->owner,
		.off = daxl_blocks_to_bytes(l->start, l->rl->domain->block_shift),
		.len = daxl_range_len(l->rl->domain, l->start, l->end),
		.mode = l->mode,
		.flags = l->flags,
		.state = (uint32_t)daxl_lease_state(l),
		.reason = l->reason,
		.pins = w & DAXL_LW_PINS,
		.deadline_ns = l->deadline_ns,
		.limbo_blocks = limbo_blocks(l),
	};
	return true;
}

static void DAXL_HOLDS(RANGE) add_holder(struct holders *h, struct daxl_lease *l)
{
	struct daxl_holder holder;

	if (l->seen == h->token || !daxl_lease_holder_locked(l, &holder))
		return;
	l->seen = h->token;
	if (h->n < h->max)
		h->out[h->n] = holder;
	h->n++;
}

static int DAXL_HOLDS(RANGE) add_holder_span(struct daxl_lease_span *span, void *arg)
{
	add_holder(arg, span->lease);
	return 0;
}

size_t daxl_range_holders(struct daxl_range_lock *rl, daxl_fblk_t start, daxl_fblk_t end, unsigned block_shift,
                          struct daxl_holder *holders, size_t max)
{
	(void)block_shift; /* the domain's */
	struct holders h = { .out = holders, .max = max, .token = daxl_key_new() };

	daxl_mutex_lock(&rl->mutex);
	(void)daxl_interval_each(rl->spans, start, end, add_holder_span, &h);
	for (struct daxl_limbo_link *link = rl->limbo; link; link = link->file_next)
		if (link->start < end && start < link->end)
			add_holder(&h, link->lease);
	daxl_mutex_unlock(&rl->mutex);
	return h.n;
}

struct counts {
	uint64_t leases, pins;
};

static int DAXL_HOLDS(RANGE) count(struct daxl_lease_span *span, void *arg)
{
	struct counts *c = arg;
	struct daxl_lease *l = span->lease;

	if (span != daxl_lease_spans(l))
		return 0; /* each lease once */
	c->leases += !daxl_lw_drained(daxl_lw_load(&l->word));
	c->pins += daxl_lw_load(&l->word) & DAXL_LW_PINS;
	return 0;
}

void daxl_range_counts(struct daxl_range_lock *rl, uint64_t *ret_leases, uint64_t *ret_pins)
{
	struct counts c = { 0 };

	daxl_mutex_lock(&rl->mutex);
	(void)daxl_interval_each(rl->spans, 0, DAXL_FBLK_INF, count, &c);
	daxl_mutex_unlock(&rl->mutex);
	*ret_leases = c.leases;
	*ret_pins = c.pins;
}

struct find_writer {
	daxl_fblk_t start, end; /* asked */
	daxl_fblk_t from, to;   /* found: the first piece */
	const struct daxl_lease *self;
	int state;
};

/* Unreturned beats returned-but-busy; the first block decides, and how far its answer reaches. */
static int DAXL_HOLDS(RANGE) writer_span(struct daxl_lease_span *span, void *arg)
{
	struct find_writer *f = arg;
	const struct daxl_lease *l = span->lease;
	uint64_t w = daxl_lw_load(&l->word);
	int state = !(w & DAXL_LW_OVER) ? 1 : daxl_lw_busy(w) ? 2 : 0;

	bool writes = l->mode == DAXL_LEASE_WRITE;

	if (!writes && l->was_write && daxl_lw_busy(w)) {
		state = 2; /* what it had not committed is lost, but its device may still store */
		writes = true;
	}
	if (l == f->self || !writes || state == 0)
		return 0;
	daxl_fblk_t from = daxl_max_u64(span->start, f->start), to = daxl_min_u64(span->end, f->end);

	if (f->state == 0 || from < f->from) {
		if (f->state)
			to = daxl_min_u64(to, f->from);
		f->from = from;
		f->to = to;
		f->state = state;
	} else if (from == f->from) {
		if (state == f->state)
			f->to = daxl_max_u64(f->to, to);
		else if (state == 1) {
			f->state = 1;
			f->to = to;
		} else if (f->state == 2) {
			f->to = daxl_min_u64(f->to, to);
		}
	} else if (from < f->to && f->state == 2 && state == 1) {
		f->to = from;
	}
	return 0;
}

int daxl_lease_other_writer(struct daxl_range_lock *rl, const struct daxl_lease *self, daxl_fblk_t start, daxl_fblk_t end,
                            daxl_fblk_t *ret_start, daxl_fblk_t *ret_end)
{
	struct find_writer f = { .start = start, .end = end, .self = self };

	daxl_mutex_lock(&rl->mutex);
	(void)daxl_interval_each(rl->spans, start, end, writer_span, &f);
	daxl_mutex_unlock(&rl->mutex);
	if (f.state) {
		*ret_start = f.from;
		*ret_end = f.to;
	}
	return f.state;
}
