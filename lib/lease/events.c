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

void daxl_event_queue(struct daxl_domain *domain, struct daxl_event_node *node)
{
	daxl_mutex_lock(&domain->mutex);
	/* A handle that is gone hears nothing any more; daxl_lease_free sets ENDED before it takes this mutex. */
	if (node->prev || node->closed || (node->lease && (daxl_lw_load(&node->lease->word) & DAXL_LW_ENDED))) {
		daxl_mutex_unlock(&domain->mutex);
		return;
	}
	if (node->lease)
		daxl_lease_ref(node->lease);
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
		*ret_event = node->event;
		lease = node->lease;
		if (domain->events)
			daxl_event_signal(domain);
	}
	daxl_mutex_unlock(&domain->mutex);
	if (lease)
		daxl_lease_unref(lease);
	return node != NULL;
}
