/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the leases of one pool have in common: lease ids, owners with a recall pending, the event queue, the counters.
 */
#ifndef DAXL_LEASE_DOMAIN_H
#define DAXL_LEASE_DOMAIN_H

#include <daxlayout.h>

#include "base/compiler.h"
#include "base/lock.h"
#include "base/tally.h"
#include "base/units.h"

struct daxl_domain;

/* pool: the handle that events and callbacks name (opaque here). break_ms: the pool's lease break time. */
int daxl_domain_create(struct daxl_pool *pool, unsigned block_shift, uint64_t epoch, uint32_t break_ms,
                       struct daxl_domain **ret_domain);
void daxl_domain_destroy(struct daxl_domain *domain); /* no leases, no breaks left */
uint64_t daxl_domain_leases(const struct daxl_domain *domain); /* that are not freed */
uint32_t daxl_domain_break_ms(const struct daxl_domain *domain);
/* Calls fn, under a range mutex, for each lease that is out, with the file it was given (for the message of a pool close). */
void daxl_domain_each(struct daxl_domain *domain, void (*fn)(const struct daxl_holder *holder, const void *file, void *arg), void *arg)
	DAXL_TAKES(FILE);

/* Events (events.c). */
int daxl_domain_event_fd(struct daxl_domain *domain);
int daxl_domain_event_next(struct daxl_domain *domain, struct daxl_event *ret_event) DAXL_WAITS;

/* In a recall, fence or release callback of this thread (depth > 0), or in an RCU read section: a call that would wait must fail with -EDEADLK. */
bool daxl_may_not_wait(void);

/* The pool's counters: the domain's, and as old as it is. */
struct daxl_tally *daxl_domain_tally(const struct daxl_domain *domain);

#endif
