/* SPDX-License-Identifier: BSD-3-Clause */
/* A set of page numbers, for loading: which pages were met already. */
#ifndef DAXL_FILE_PAGE_SET_H
#define DAXL_FILE_PAGE_SET_H

#include <stdbool.h>
#include <stddef.h>

#include "base/units.h"

/* Open addressing, at most half full; 0 is no page. All zero is the empty set; its end is daxl_free(slots). */
struct daxl_page_set {
	daxl_page_t *slots;
	size_t size, count; /* size: a power of two, or 0 */
};

/* Adds page; *ret_fresh: it was not in the set. -ENOMEM. */
int daxl_page_set_add(struct daxl_page_set *set, daxl_page_t page, bool *ret_fresh);
bool daxl_page_set_has(const struct daxl_page_set *set, daxl_page_t page);

#endif
