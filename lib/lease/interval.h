/* SPDX-License-Identifier: BSD-3-Clause */
/* The index of lease spans by range: a treap ordered by start, each node knowing the largest end below it. Under the range mutex. */
#ifndef DAXL_LEASE_INTERVAL_H
#define DAXL_LEASE_INTERVAL_H

#include "lease/lease.h"

void daxl_interval_insert(struct daxl_lease_span **root, struct daxl_lease_span *span) DAXL_HOLDS(RANGE);
void daxl_interval_erase(struct daxl_lease_span **root, struct daxl_lease_span *span) DAXL_HOLDS(RANGE);
/* fn for every span that overlaps [start, end), in order of start; nonzero stops and is returned. fn must not change the index. */
int daxl_interval_each(struct daxl_lease_span *root, daxl_fblk_t start, daxl_fblk_t end,
                       int (*fn)(struct daxl_lease_span *span, void *arg), void *arg) DAXL_HOLDS(RANGE);

#endif
