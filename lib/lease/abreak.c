/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The asynchronous break: the course of an ordinary one, taken in steps that never wait. A step is made by begin, by poll, and by whoever takes events; what would have
 * woken a sleeper makes the pool's event descriptor readable instead. It has the same place in the queue, the same marks, the same deadline.
 */
#include <errno.h>
#include <sched.h>

#include "lease/impl.h"

struct daxl_break_handle {
	struct daxl_break brk;
	struct daxl_clause clause;
	struct daxl_waiter waiter;  /* notifies; brk's own is not used */
	bool woken;                 /* atomic */
	bool stepping, marked;      /* stepping: guarded by the events mutex; the rest belongs to who steps */
	int result;                 /* atomic: 0 under way, 1 drained, -errno */
	uint64_t look_again_ns;
	struct daxl_event_node event;
	struct daxl_break_handle *next; /* guarded by the events mutex */
};

struct daxl_break_part *daxl_break_part_of(struct daxl_break *brk, unsigned i)
{
	return brk->held ? &brk->held->brk.part[0] : &brk->part[i];
}

bool daxl_break_held_level(const struct daxl_break *brk, enum daxl_level level)
{
	return !brk->held || level <= brk->held->clause.level;
}

static void notify(struct daxl_waiter *waiter)
{
	struct daxl_break_handle *h = daxl_container_of(waiter, struct daxl_break_handle, waiter);

	__atomic_store_n(&h->woken, true, __ATOMIC_SEQ_CST);
	daxl_event_signal(h->brk.domain);
}

static void finish(struct daxl_break_handle *h, int result)
{
	__atomic_store_n(&h->result, result, __ATOMIC_SEQ_CST);
	daxl_event_queue(h->brk.domain, &h->event);
}

static bool is_first(struct daxl_break_handle *h)
{
	daxl_break_lock(&h->brk);
	bool first = h->brk.part[0].in_service || daxl_break_first_locked(&h->brk);

	daxl_break_unlock(&h->brk);
	return first;
}

/* Marks and tells, once. */
static int start_recall(struct daxl_break_handle *h)
{
	struct daxl_lease *notices, *returned;
	bool nowait = h->brk.nowait;

	h->brk.nowait = true; /* the check is not to mind waiting: there is none here */
	daxl_break_lock(&h->brk);
	int rc = daxl_break_check_locked(&h->brk, &h->clause, 1);

	if (!rc)
		daxl_break_mark_locked(&h->brk, &h->clause, 1, &notices, &returned);
	daxl_break_unlock(&h->brk);
	h->brk.nowait = nowait;
	if (rc)
		return rc;
	h->marked = true;
	daxl_notices_deliver(notices);
	daxl_returned_finish(returned);
	return 0;
}

static bool is_done(struct daxl_break_handle *h)
{
	daxl_break_lock(&h->brk);
	bool done = daxl_break_done_locked(&h->brk, &h->clause, 1, false);

	daxl_break_unlock(&h->brk);
	return done;
}

/* As far as it goes without waiting. The caller has set stepping. */
static void step(struct daxl_break_handle *h)
{
	while (h->result == 0) {
		__atomic_store_n(&h->woken, false, __ATOMIC_SEQ_CST);
		bool first = is_first(h);
		int rc = 0;

		if (first && !h->marked)
			rc = start_recall(h);
		if (!rc && first && is_done(h)) {
			finish(h, 1);
			return;
		}
		if (!rc)
			rc = daxl_break_may_go_on(&h->brk);
		if (!rc && h->brk.nowait)
			rc = daxl_fail(EAGAIN, "the range is not free yet");
		if (!rc && daxl_now_ns() >= h->look_again_ns) {
			rc = first ? daxl_break_deadline(&h->brk, &h->clause, 1, &h->look_again_ns)
			           : daxl_fail(ETIMEDOUT, "timed out behind another operation on the range");
			if (rc == 0 && h->look_again_ns == UINT64_MAX)
				h->look_again_ns = h->brk.deadline_ns; /* somebody's fence will wake us */
			if (rc > 0) {
				h->look_again_ns = h->brk.deadline_ns;
				continue;
			}
		}
		if (rc < 0) {
			finish(h, rc);
			return;
		}
		if (!__atomic_load_n(&h->woken, __ATOMIC_SEQ_CST))
			return;
	}
}

static bool try_step(struct daxl_domain *domain, struct daxl_break_handle *h)
{
	daxl_mutex_lock(&domain->mutex);
	bool mine = !h->stepping;

	h->stepping = true;
	daxl_mutex_unlock(&domain->mutex);
	if (!mine)
		return false;
	step(h);
	daxl_mutex_lock(&domain->mutex);
	h->stepping = false;
	daxl_mutex_unlock(&domain->mutex);
	return true;
}

void daxl_abreaks_step(struct daxl_domain *domain)
{
	for (;;) {
		daxl_mutex_lock(&domain->mutex);
		struct daxl_break_handle *h = domain->abreaks;

		while (h && (h->stepping || h->result != 0 || !__atomic_load_n(&h->woken, __ATOMIC_SEQ_CST)))
			h = h->next;
		if (h)
			h->stepping = true;
		daxl_mutex_unlock(&domain->mutex);
		if (!h)
			return;
		step(h);
		daxl_mutex_lock(&domain->mutex);
		h->stepping = false;
		daxl_mutex_unlock(&domain->mutex);
	}
}

static void listen(struct daxl_break_handle *h)
{
	daxl_waiter_init(&h->waiter, notify);
	daxl_waiter_add(&h->waiter, h->brk.part[0].rl->key);
	if (h->brk.owner_rec)
		daxl_waiter_add(&h->waiter, h->brk.owner_rec->key);
	if (h->brk.cancel)
		daxl_waiter_add(&h->waiter, daxl_cancel_key(h->brk.cancel));
}

int daxl_abreak_begin(struct daxl_domain *domain, struct daxl_range_lock *rl, daxl_fblk_t start, daxl_fblk_t end,
                      enum daxl_level level, const struct daxl_wait *wait, const struct daxl_wait *def,
                      struct daxl_break_handle **ret_handle)
{
	if (wait && wait->held)
		return daxl_fail(EINVAL, "an asynchronous break cannot begin inside a held one");
	struct daxl_break_handle *h = daxl_zalloc(sizeof(*h));

	if (!h)
		return daxl_fail(ENOMEM, "no memory for an asynchronous break");
	int rc = daxl_break_init(&h->brk, domain, wait, def, DAXL_REASON_BREAK, false);

	if (!rc)
		rc = daxl_break_listen_owner(&h->brk);
	if (rc) {
		daxl_free(h);
		return rc;
	}
	unsigned shift = domain->block_shift;

	daxl_break_add(&h->brk, rl, start, end);
	h->clause = (struct daxl_clause){ .start = start, .end = end, .level = level, .who = DAXL_WHO_ALL };
	h->look_again_ns = h->brk.deadline_ns;
	h->event.event = (struct daxl_event){
		.kind = DAXL_EVENT_BREAK_READY,
		.handle = h,
		.off = (off_t)daxl_blocks_to_bytes(start, shift),
		.len = end == DAXL_FBLK_INF ? DAXL_TO_END : (off_t)daxl_blocks_to_bytes(end - start, shift),
		.level = level == DAXL_LEVEL_U ? DAXL_BREAK_UNMAP : DAXL_BREAK_WRITE,
	};
	listen(h);
	daxl_break_queue(&h->brk);
	daxl_mutex_lock(&domain->mutex);
	h->next = domain->abreaks;
	domain->abreaks = h;
	daxl_mutex_unlock(&domain->mutex);
	(void)try_step(domain, h);
	if (h->result < 0 && h->result != -EAGAIN) {
		rc = h->result;
		daxl_abreak_end(h);
		return rc;
	}
	*ret_handle = h;
	return 0;
}

int daxl_abreak_poll(struct daxl_break_handle *handle)
{
	int result = __atomic_load_n(&handle->result, __ATOMIC_SEQ_CST);

	if (result == 0) {
		(void)try_step(handle->brk.domain, handle);
		result = __atomic_load_n(&handle->result, __ATOMIC_SEQ_CST);
	}
	return result;
}

void daxl_abreak_end(struct daxl_break_handle *handle)
{
	struct daxl_domain *domain = handle->brk.domain;

	if (!handle)
		return;
	for (;;) { /* somebody who takes events may be stepping it: bounded */
		daxl_mutex_lock(&domain->mutex);
		if (!handle->stepping)
			break;
		daxl_mutex_unlock(&domain->mutex);
		sched_yield();
	}
	struct daxl_break_handle **at = &domain->abreaks;

	while (*at != handle)
		at = &(*at)->next;
	*at = handle->next;
	daxl_mutex_unlock(&domain->mutex);
	daxl_waiter_remove(&handle->waiter);
	(void)daxl_event_unqueue(domain, &handle->event);
	daxl_break_leave(&handle->brk);
	daxl_owner_put(domain, handle->brk.owner_rec);
	daxl_free(handle);
}

int daxl_break_hold(struct daxl_break *brk, struct daxl_break_handle *handle)
{
	if (handle->brk.domain != brk->domain)
		return daxl_fail(EINVAL, "the held break is of another pool");
	if (__atomic_load_n(&handle->result, __ATOMIC_SEQ_CST) != 1)
		return daxl_fail(EINVAL, "the held break is not drained");
	brk->held = handle;
	brk->nparts = 1;
	brk->part[0] = handle->brk.part[0]; /* range and file, to be looked at */
	return 0;
}
