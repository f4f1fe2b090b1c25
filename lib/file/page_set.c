/* SPDX-License-Identifier: BSD-3-Clause */
/* A hash table of numbers. */
#include "file/page_set.h"

#include <errno.h>

#include "base/error.h"
#include "base/hook.h"

/* Where page is, or belongs. */
static size_t set_at(const struct daxl_page_set *set, daxl_page_t page)
{
	size_t at = (size_t)((page * UINT64_C(0x9e3779b97f4a7c15)) >> 20) & (set->size - 1);

	while (set->slots[at] && set->slots[at] != page)
		at = (at + 1) & (set->size - 1);
	return at;
}

/* Doubles the table. */
static int set_grow(struct daxl_page_set *set)
{
	struct daxl_page_set old = *set;

	set->size = old.size ? old.size * 2 : 256;
	set->slots = daxl_zalloc(set->size * sizeof(*set->slots));
	if (!set->slots) {
		*set = old;
		return daxl_fail(ENOMEM, "no memory to keep track of %zu pages", set->count);
	}
	for (size_t i = 0; i < old.size; i++)
		if (old.slots[i])
			set->slots[set_at(set, old.slots[i])] = old.slots[i];
	daxl_free(old.slots);
	return 0;
}

int daxl_page_set_add(struct daxl_page_set *set, daxl_page_t page, bool *ret_fresh)
{
	if (set->count * 2 >= set->size) {
		int err = set_grow(set);

		if (err)
			return err;
	}
	size_t at = set_at(set, page);
	*ret_fresh = set->slots[at] == 0;
	set->count += *ret_fresh;
	set->slots[at] = page;
	return 0;
}

bool daxl_page_set_has(const struct daxl_page_set *set, daxl_page_t page)
{
	return set->size && set->slots[set_at(set, page)] == page;
}
