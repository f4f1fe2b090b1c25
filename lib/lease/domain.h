/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the leases of one pool have in common: lease ids, owners with a recall pending, the event queue, counters.
 */
#ifndef DAXL_LEASE_DOMAIN_H
#define DAXL_LEASE_DOMAIN_H

#include <daxlayout.h>

#include "base/compiler.h"
#include "base/lock.h"
#include "base/units.h"

struct daxl_domain;

/* pool: the handle that events and callbacks name (opaque here). break_ms: the pool's lease break time. */
int daxl_domain_create(struct daxl_pool *pool, unsigned block_shift, uint64_t epoch, uint32_t break_ms,
                       struct daxl_domain **ret_domain);
void daxl_domain_destroy(struct daxl_domain *domain); /* no leases, no breaks left */
uint64_t daxl_domain_leases(const struct daxl_domain *domain); /* that are not freed */
uint32_t daxl_domain_break_ms(const struct daxl_domain *domain);
/* Calls fn for each lease that is out (for the message of a pool close). */
void daxl_domain_each(struct daxl_domain *domain, void (*fn)(const struct daxl_holder *holder, const char *file, void *arg), void *arg);

/* Events (events.c). */
int daxl_domain_event_fd(struct daxl_domain *domain);
int daxl_domain_event_next(struct daxl_domain *domain, struct daxl_event *ret_event);

/* In a recall, fence or release callback of this thread (depth > 0), or in an RCU read section: a call that would wait must fail with -EDEADLK. */
bool daxl_may_not_wait(void);

struct daxl_domain_stat { uint64_t breaks, recalls, waits, timeouts, fences, limbos; uint64_t wait_hist[64]; /* log2 ns */ };
void daxl_domain_stat(const struct daxl_domain *domain, struct daxl_domain_stat *ret);

#endif
