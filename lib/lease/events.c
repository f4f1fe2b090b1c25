/* SPDX-License-Identifier: BSD-3-Clause */
/* The pool's event queue. Nodes live in leases and break handles, so queueing cannot fail. The descriptor is readable while the queue is not empty, or a break may have progressed. */
#include <errno.h>
#include <unistd.h>

#include "lease/impl.h"

void daxl_event_signal(struct daxl_domain *domain)
{
	uint64_t one = 1;
	ssize_t rc = write(domain->event_fd, &one, sizeof(one));

	(void)rc; /* the counter cannot overflow in practice, and a full one is readable */
}

/* Whose event it is; NULL: of a break handle. */
static struct daxl_lease *lease_of(struct daxl_event_node *node)
{
	switch (node->kind) {
	case DAXL_EVENT_RECALL:
		return daxl_container_of(node, struct daxl_lease, ev_recall);
	case DAXL_EVENT_LIMBO_DRAINED:
		return daxl_container_of(node, struct daxl_lease, ev_limbo);
	default:
		return NULL;
	}
}

void daxl_event_queue(struct daxl_domain *domain, struct daxl_event_node *node)
{
	struct daxl_lease *lease = lease_of(node);

	daxl_mutex_lock(&domain->mutex);
	/* A handle that is gone hears nothing any more; daxl_lease_free sets ENDED before it takes this mutex. */
	if (node->prev || node->closed || (lease && (daxl_lw_load(&lease->word) & DAXL_LW_ENDED))) {
		daxl_mutex_unlock(&domain->mutex);
		return;
	}
	if (lease)
		daxl_lease_ref(lease);
	node->next = NULL;
	node->prev = domain->events_tail;
	*domain->events_tail = node;
	domain->events_tail = &node->next;
	daxl_event_signal(domain);
	daxl_mutex_unlock(&domain->mutex);
}

static void DAXL_HOLDS(EVENTS) unlink_node(struct daxl_domain *domain, struct daxl_event_node *node)
{
	*node->prev = node->next;
	if (node->next)
		node->next->prev = node->prev;
	else
		domain->events_tail = node->prev;
	node->prev = NULL;
}

bool daxl_event_unqueue(struct daxl_domain *domain, struct daxl_event_node *node)
{
	daxl_mutex_lock(&domain->mutex);
	bool queued = node->prev != NULL;

	if (queued)
		unlink_node(domain, node);
	daxl_mutex_unlock(&domain->mutex);
	return queued;
}

void daxl_event_close(struct daxl_domain *domain, struct daxl_event_node *node)
{
	daxl_mutex_lock(&domain->mutex);
	node->closed = true;
	if (node->prev)
		unlink_node(domain, node);
	daxl_mutex_unlock(&domain->mutex);
}

int daxl_domain_event_fd(struct daxl_domain *domain)
{
	return domain->event_fd;
}

/* What a queued event of a lease says. No lock needed: nothing of it changes once it is queued. */
static struct daxl_event DAXL_UNCHECKED event_of(struct daxl_lease *lease, int kind)
{
	struct daxl_event event = { .kind = kind, .lease = lease, .lease_id = lease->id, .arg = lease->arg };

	if (kind == DAXL_EVENT_RECALL) {
		struct daxl_recall recall = daxl_lease_asked(lease);

		event.off = recall.off;
		event.len = recall.len;
		event.level = recall.level;
		event.reason = recall.reason;
		event.deadline_ns = recall.deadline_ns;
	} else {
		daxl_range_bytes(lease->rl->domain, lease->start, lease->end, &event.off, &event.len);
	}
	return event;
}

int daxl_domain_event_next(struct daxl_domain *domain, struct daxl_event *ret_event)
{
	struct daxl_lease *lease = NULL;
	uint64_t count;

	/* Reset first: what is signalled from here on stays readable. */
	ssize_t rc = read(domain->event_fd, &count, sizeof(count));

	(void)rc; /* -EAGAIN: nothing was signalled */
	daxl_abreaks_step(domain);
	daxl_mutex_lock(&domain->mutex);
	struct daxl_event_node *node = domain->events;

	if (node) {
		unlink_node(domain, node);
		lease = lease_of(node);
		*ret_event = lease ? event_of(lease, node->kind) : daxl_abreak_event(node);
		if (domain->events)
			daxl_event_signal(domain);
	}
	daxl_mutex_unlock(&domain->mutex);
	if (lease)
		daxl_lease_unref(lease);
	return node != NULL;
}
