/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Owners. A call may not wait while its owner sits on a recalled lease: that lease may be what it waits for. So the recalled, unreturned leases of owners are
 * listed, and a recall wakes the owner's waiting calls. The list is linked through the leases: nothing here can fail.
 */
#include "lease/impl.h"

#define MIX UINT64_C(0x9e3779b97f4a7c15) /* odd: no two owners have one key, and only nobody has 0 */

uint64_t daxl_owner_key(uint64_t owner)
{
	return owner * MIX;
}

static struct daxl_lease **bucket_of(struct daxl_domain *domain, uint64_t owner)
{
	return &domain->recalled[daxl_owner_key(owner) % DAXL_OWNER_BUCKETS];
}

void daxl_owner_add_recalled(struct daxl_lease *lease)
{
	struct daxl_domain *domain = lease->rl->domain;
	struct daxl_lease **head = bucket_of(domain, lease->owner);

	daxl_mutex_assert_held(&lease->rl->mutex);
	if (lease->owner == 0)
		return;
	daxl_mutex_lock(&domain->mutex);
	lease->recalled_next = *head;
	lease->recalled_prev = head;
	if (*head)
		(*head)->recalled_prev = &lease->recalled_next;
	*head = lease;
	daxl_mutex_unlock(&domain->mutex);
	daxl_wake_key(daxl_owner_key(lease->owner));
}

void daxl_owner_del_recalled(struct daxl_lease *lease)
{
	struct daxl_domain *domain = lease->rl->domain;

	daxl_mutex_assert_held(&lease->rl->mutex);
	if (lease->owner == 0)
		return;
	daxl_mutex_lock(&domain->mutex);
	*lease->recalled_prev = lease->recalled_next;
	if (lease->recalled_next)
		lease->recalled_next->recalled_prev = lease->recalled_prev;
	daxl_mutex_unlock(&domain->mutex);
}

uint32_t daxl_owner_recalled(struct daxl_domain *domain, uint64_t owner)
{
	uint32_t n = 0;

	if (owner == 0)
		return 0;
	daxl_mutex_lock(&domain->mutex);
	for (const struct daxl_lease *l = *bucket_of(domain, owner); l; l = l->recalled_next)
		n += l->owner == owner;
	daxl_mutex_unlock(&domain->mutex);
	return n;
}
