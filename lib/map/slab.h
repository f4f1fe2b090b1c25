/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory for rope nodes: size classes with free lists, because general allocators cost more than the path copy itself. Nodes are allocated at exactly the
 * entries they hold (rounded to the class), since they never grow. Allocated by writers,
 * freed mostly by the thread that reclaims; safe from any thread.
 */
#ifndef DAXL_MAP_SLAB_H
#define DAXL_MAP_SLAB_H

#include <stddef.h>
#include <stdint.h>

#include "base/role.h"

struct daxl_slab;

int daxl_slab_create(struct daxl_slab **ret_slab);
/* Everything must have been freed (debug builds assert it). */
void daxl_slab_destroy(struct daxl_slab *slab);
void *daxl_slab_alloc(struct daxl_slab *slab, size_t size) DAXL_TAKES(SLAB); /* NULL: no memory (fault point) */
void daxl_slab_free(struct daxl_slab *slab, void *ptr, size_t size) DAXL_TAKES(SLAB);
uint64_t daxl_slab_bytes(const struct daxl_slab *slab); /* in use by live objects */

#endif
