/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The asynchronous break: the course of an ordinary one, taken in steps that never wait. begin makes the first, later ones are made by poll, and by whoever takes events; what would
 * have woken a sleeper puts the break on the domain's list of woken ones and makes the event descriptor readable. It has the same place in the queue, the same marks, the same deadline, but
 * only poll looks at the clock.
 *
 * One thread steps a break at a time; another that comes meanwhile asks it to go round again. Holders are called in a step, and may do anything, also end this very break; so the handle is
 * counted, and the range lock, which may go with its file once the break is ended, is touched only between touch and untouch, for which end waits (a scan at most).
 */
#include <errno.h>
#include <sched.h>

#include "lease/impl.h"

struct daxl_break_handle {
	struct daxl_break brk;
	struct daxl_clause clause;
	struct daxl_waiter waiter; /* notifies; brk's own is not used */
	struct daxl_event_node event;
	int result; /* atomic: 0 under way, 1 drained, -errno; set once, by who steps */
	/* of who steps */
	bool marked;
	bool counted;        /* as a break that had somebody to recall or to wait for */
	uint64_t queued_ns;  /* since when it waits in the queue; 0: it does not */
	uint64_t waiting_ns; /* since when it waits for leases; 0: it does not */
	/* guarded by the domain's mutex */
	unsigned users;
	bool stepping, touching, ended;
	bool again, again_clock; /* for who steps: once more, and with an eye on the clock */
	struct daxl_break_handle *woken_next, **woken_prev; /* prev NULL: not in the list */
};

struct daxl_break_part *daxl_break_held_part(struct daxl_break *brk)
{
	return &brk->held->brk.part[0];
}

bool daxl_break_held_level(const struct daxl_break *brk, enum daxl_level level)
{
	return !brk->held || level <= brk->held->clause.level;
}

static int result_of(const struct daxl_break_handle *h)
{
	return __atomic_load_n(&h->result, __ATOMIC_SEQ_CST);
}

static void unlink_woken(struct daxl_break_handle *h)
{
	if (!h->woken_prev)
		return;
	*h->woken_prev = h->woken_next;
	if (h->woken_next)
		h->woken_next->woken_prev = h->woken_prev;
	h->woken_prev = NULL;
}

/* Under the lock of a wait bucket. */
static void notify(struct daxl_waiter *waiter)
{
	struct daxl_break_handle *h = daxl_container_of(waiter, struct daxl_break_handle, waiter);
	struct daxl_domain *domain = h->brk.domain;

	daxl_mutex_lock(&domain->mutex);
	if (h->stepping) {
		h->again = true;
	} else if (!h->woken_prev && !h->ended && result_of(h) == 0) {
		h->woken_next = domain->woken;
		h->woken_prev = &domain->woken;
		if (h->woken_next)
			h->woken_next->woken_prev = &h->woken_next;
		domain->woken = h;
		daxl_event_signal(domain);
	}
	daxl_mutex_unlock(&domain->mutex);
}

/* From here to untouch the range lock stays; false once the break is ended. */
static bool touch(struct daxl_break_handle *h)
{
	struct daxl_domain *domain = h->brk.domain;

	daxl_mutex_lock(&domain->mutex);
	bool ok = h->touching = !h->ended;

	daxl_mutex_unlock(&domain->mutex);
	return ok;
}

static void untouch(struct daxl_break_handle *h)
{
	struct daxl_domain *domain = h->brk.domain;

	daxl_mutex_lock(&domain->mutex);
	h->touching = false;
	daxl_mutex_unlock(&domain->mutex);
}

static void end_wait(struct daxl_break_handle *h, enum daxl_stat_histogram which, uint64_t *since_ns)
{
	if (*since_ns)
		daxl_tally_time(h->brk.domain->tally, which, daxl_now_ns() - *since_ns);
	*since_ns = 0;
}

static void finish(struct daxl_break_handle *h, int result)
{
	end_wait(h, DAXL_HISTOGRAM_QUEUE_WAIT, &h->queued_ns);
	end_wait(h, DAXL_HISTOGRAM_BREAK_WAIT, &h->waiting_ns);
	__atomic_store_n(&h->result, result, __ATOMIC_SEQ_CST);
	daxl_event_queue(h->brk.domain, &h->event);
}

enum stage { QUEUED, RECALLED, DRAINED, TOLD, GONE };

/* A step counts for the break, on whatever thread and in whatever call it is made. */
static void count_step(struct daxl_break_handle *h, enum stage stage, struct daxl_toll outer)
{
	if (stage == QUEUED && !h->queued_ns)
		h->queued_ns = daxl_now_ns();
	else if (stage != QUEUED)
		end_wait(h, DAXL_HISTOGRAM_QUEUE_WAIT, &h->queued_ns);
	if (stage == RECALLED && !h->waiting_ns)
		h->waiting_ns = daxl_now_ns();
	daxl_toll.breaks |= stage == RECALLED;
	daxl_toll.breaks &= !h->counted;
	h->counted |= daxl_toll.breaks;
	if (daxl_toll.breaks || daxl_toll.recalls)
		daxl_tally_toll(h->brk.domain->tally, DAXL_STAT_BREAK);
	daxl_toll_end(outer);
}

/* Takes its place, marks whom it concerns and tells them, or sees how far they are. TOLD: look again. */
static int advance(struct daxl_break_handle *h, enum stage *ret_stage)
{
	struct daxl_lease *notices = NULL, *returned = NULL;
	int rc = 0;

	*ret_stage = GONE;
	if (!touch(h))
		return 0;
	struct daxl_toll outer = daxl_toll_begin();

	daxl_break_lock(&h->brk);
	bool first = h->brk.part[0].in_service || daxl_break_first_locked(&h->brk);

	if (first && !h->marked) {
		rc = daxl_break_check_locked(&h->brk, &h->clause, 1, NULL, NULL);
		if (!rc)
			daxl_break_mark_locked(&h->brk, &h->clause, 1, &notices, &returned);
		h->marked = true;
	}
	*ret_stage = !first ? QUEUED : daxl_break_late_locked(&h->brk, &h->clause, 1, false) ? RECALLED : DRAINED;
	daxl_break_unlock(&h->brk);
	untouch(h);
	count_step(h, *ret_stage, outer);
	if (notices || returned)
		*ret_stage = TOLD;
	daxl_returned_finish(returned);
	daxl_notices_deliver(notices);
	return rc;
}

/* Past the deadline: 0: nothing to be done now; 1: look again; -ETIMEDOUT. */
static int judge(struct daxl_break_handle *h, enum stage stage)
{
	struct daxl_lease *victim = NULL;
	uint64_t again_ns;

	if (stage == QUEUED)
		return daxl_fail(ETIMEDOUT, "timed out behind another operation on the range");
	if (!touch(h))
		return 0;
	int rc = daxl_break_deadline(&h->brk, &h->clause, 1, &again_ns, &victim);

	untouch(h);
	if (victim)
		daxl_lease_fence(victim);
	return rc;
}

/* As far as it goes without waiting. */
static void step_through(struct daxl_break_handle *h, bool clock)
{
	while (result_of(h) == 0) {
		enum stage stage;
		int rc = advance(h, &stage);

		if (stage == GONE)
			return;
		if (rc == 0 && stage == TOLD)
			continue;
		if (rc == 0 && stage == DRAINED)
			rc = 1;
		else if (rc == 0 && h->brk.cancel && daxl_cancel_fired(h->brk.cancel))
			rc = daxl_fail(ECANCELED, "the break was cancelled");
		else if (rc == 0 && clock && daxl_now_ns() >= h->brk.deadline_ns) {
			rc = judge(h, stage);
			if (rc > 0)
				continue;
		}
		if (rc)
			finish(h, rc);
		else
			return;
	}
}

/* The domain's mutex held; true: the caller frees. */
static bool put_user(struct daxl_break_handle *h)
{
	return --h->users == 0;
}

/* Begins a step, unless there is nothing to step or another thread does it, which is asked to go round again. The domain's mutex held. */
static bool start_step_locked(struct daxl_break_handle *h, bool clock)
{
	unlink_woken(h);
	if (h->ended || result_of(h) != 0)
		return false;
	if (h->stepping) {
		h->again = true;
		h->again_clock |= clock;
		return false;
	}
	h->stepping = true;
	h->users++;
	return true;
}

static void step(struct daxl_break_handle *h, bool clock)
{
	struct daxl_domain *domain = h->brk.domain;
	bool more, gone;

	do {
		step_through(h, clock);
		daxl_mutex_lock(&domain->mutex);
		more = h->again && !h->ended && result_of(h) == 0;
		clock = h->again_clock;
		h->again = h->again_clock = false;
		if (!more)
			h->stepping = false;
		gone = !more && put_user(h);
		daxl_mutex_unlock(&domain->mutex);
	} while (more);
	if (gone)
		daxl_free(h);
}

void daxl_abreaks_step(struct daxl_domain *domain)
{
	for (;;) {
		daxl_mutex_lock(&domain->mutex);
		struct daxl_break_handle *h = domain->woken;
		bool mine = h && start_step_locked(h, false);

		daxl_mutex_unlock(&domain->mutex);
		if (!h)
			return;
		if (mine)
			step(h, false);
	}
}

/* Own pins, and an owner that holds what it was asked back, are refused before anybody is recalled. */
static int check_begin(struct daxl_break_handle *h)
{
	bool others;
	uint32_t own;

	daxl_break_lock(&h->brk);
	bool first = daxl_break_first_locked(&h->brk);
	int rc = daxl_break_check_locked(&h->brk, &h->clause, 1, &others, &own);

	if (!rc && !first)
		rc = daxl_break_may_hold(&h->brk, 0);
	else if (!rc && others)
		rc = daxl_break_may_hold(&h->brk, own);
	daxl_break_unlock(&h->brk);
	return rc;
}

struct daxl_event daxl_abreak_event(struct daxl_event_node *node)
{
	struct daxl_break_handle *h = daxl_container_of(node, struct daxl_break_handle, event);
	struct daxl_event event = {
		.kind = DAXL_EVENT_BREAK_READY,
		.handle = h,
		.level = h->clause.level == DAXL_LEVEL_U ? DAXL_BREAK_UNMAP : DAXL_BREAK_WRITE,
	};

	daxl_range_bytes(h->brk.domain, h->clause.start, h->clause.end, &event.off, &event.len);
	return event;
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

	if (rc) {
		daxl_free(h);
		return rc;
	}
	daxl_break_add(&h->brk, rl, start, end);
	h->clause = (struct daxl_clause){ .start = start, .end = end, .level = level, .who = DAXL_WHO_ALL };
	h->event.kind = DAXL_EVENT_BREAK_READY;
	daxl_break_start_clock(&h->brk);
	h->users = 2; /* the program, and the step below */
	h->stepping = true;
	daxl_waiter_init(&h->waiter, notify);
	daxl_waiter_add(&h->waiter, rl->key);
	if (h->brk.cancel)
		daxl_waiter_add(&h->waiter, daxl_cancel_key(h->brk.cancel));
	(void)daxl_break_queue(&h->brk); /* check_begin asks again, with all else that it looks at */
	rc = check_begin(h);
	if (rc) {
		daxl_waiter_remove(&h->waiter);
		daxl_break_leave(&h->brk);
		daxl_free(h);
		return rc;
	}
	step(h, false);
	*ret_handle = h;
	return 0;
}

int daxl_abreak_poll(struct daxl_break_handle *handle)
{
	struct daxl_domain *domain = handle->brk.domain;

	daxl_mutex_lock(&domain->mutex);
	bool mine = start_step_locked(handle, true);

	daxl_mutex_unlock(&domain->mutex);
	if (mine)
		step(handle, true);
	return result_of(handle);
}

void daxl_abreak_end(struct daxl_break_handle *handle)
{
	if (!handle)
		return;
	struct daxl_domain *domain = handle->brk.domain;

	daxl_mutex_lock(&domain->mutex);
	handle->ended = true;
	while (handle->touching) {
		daxl_mutex_unlock(&domain->mutex);
		sched_yield();
		daxl_mutex_lock(&domain->mutex);
	}
	daxl_mutex_unlock(&domain->mutex);
	daxl_waiter_remove(&handle->waiter);
	daxl_event_close(domain, &handle->event);
	daxl_break_leave(&handle->brk);
	daxl_mutex_lock(&domain->mutex);
	unlink_woken(handle);
	bool gone = put_user(handle);

	daxl_mutex_unlock(&domain->mutex);
	if (gone)
		daxl_free(handle);
}

int daxl_break_hold(struct daxl_break *brk, struct daxl_break_handle *handle)
{
	if (handle->brk.domain != brk->domain)
		return daxl_fail(EINVAL, "the held break is of another pool");
	if (result_of(handle) != 1)
		return daxl_fail(EINVAL, "the held break is not drained");
	brk->held = handle;
	brk->nparts = 1;
	brk->part[0] = handle->brk.part[0]; /* range and file, to be looked at */
	return 0;
}
