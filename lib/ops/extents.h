/* SPDX-License-Identifier: BSD-3-Clause */
/* A list of extents being filled, as snprintf counts: n goes on past max. */
#ifndef DAXL_OPS_EXTENTS_H
#define DAXL_OPS_EXTENTS_H

#include "file/file.h"

struct daxl_extent_list {
	struct daxl_pool *pool;
	struct daxl_extent *exts;
	size_t max, n;
	const struct daxl_version *version;
	bool show_unwritten;    /* addr for UNWRITTEN: in WRITE leases */
	struct daxl_extent cur; /* not yet in the list; len 0: none */
};

/* Appends v's map of [start, end), as far as the map reaches when end is DAXL_FBLK_INF. Inside a read section, or v kept alive otherwise. */
void daxl_extents_add(struct daxl_extent_list *list, const struct daxl_version *v, daxl_fblk_t start, daxl_fblk_t end);
/* How many extents there are. */
ssize_t daxl_extents_finish(struct daxl_extent_list *list);

#endif
