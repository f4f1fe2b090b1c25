/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Owners. A call may not wait while its owner sits on a recalled lease: that lease may be what it waits for. So each owner's recalled, unreturned leases are
 * counted, and a recall wakes the owner's waiting calls.
 */
#include "lease/impl.h"

static struct daxl_owner **bucket_of(struct daxl_domain *domain, uint64_t tag)
{
	return &domain->owners[(tag * UINT64_C(0x9e3779b97f4a7c15)) >> 58];
}

static struct daxl_owner *find(struct daxl_owner *at, uint64_t tag)
{
	while (at && at->tag != tag)
		at = at->next;
	return at;
}

struct daxl_owner *daxl_owner_get(struct daxl_domain *domain, uint64_t tag)
{
	struct daxl_owner **bucket = bucket_of(domain, tag), *spare = NULL, *owner;

	daxl_mutex_lock(&domain->mutex);
	owner = find(*bucket, tag);
	if (!owner) {
		daxl_mutex_unlock(&domain->mutex);
		spare = daxl_zalloc(sizeof(*spare));
		if (!spare)
			return NULL;
		daxl_mutex_lock(&domain->mutex);
		owner = find(*bucket, tag);
		if (!owner) {
			owner = spare;
			spare = NULL;
			owner->tag = tag;
			owner->key = daxl_key_new();
			owner->next = *bucket;
			*bucket = owner;
		}
	}
	owner->users++;
	daxl_mutex_unlock(&domain->mutex);
	daxl_free(spare);
	return owner;
}

void daxl_owner_put(struct daxl_domain *domain, struct daxl_owner *owner)
{
	struct daxl_owner *gone = NULL;

	if (!owner)
		return;
	daxl_mutex_lock(&domain->mutex);
	if (--owner->users == 0) {
		struct daxl_owner **at = bucket_of(domain, owner->tag);

		while (*at != owner)
			at = &(*at)->next;
		*at = owner->next;
		gone = owner;
	}
	daxl_mutex_unlock(&domain->mutex);
	daxl_free(gone);
}
