/* SPDX-License-Identifier: BSD-3-Clause */
#include "lease/domain.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lease/impl.h"

static _Thread_local unsigned callback_depth;

void daxl_callback_enter(void)
{
	daxl_assert_no_locks();
	callback_depth++;
}

void daxl_callback_leave(void)
{
	callback_depth--;
}

bool daxl_may_not_wait(void)
{
	return callback_depth != 0 || daxl_rcu_read_ongoing();
}

int daxl_domain_create(struct daxl_pool *pool, unsigned block_shift, uint64_t epoch, uint32_t break_ms,
                       struct daxl_domain **ret_domain)
{
	struct daxl_domain *domain = daxl_zalloc(sizeof(*domain));

	if (!domain)
		return daxl_fail(ENOMEM, "no memory for the pool's leases");
	domain->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (domain->event_fd < 0) {
		int err = errno;

		daxl_free(domain);
		return daxl_fail(err, "no event file descriptor: %s", strerror(err));
	}
	domain->pool = pool;
	domain->block_shift = block_shift;
	domain->epoch = epoch;
	domain->break_ms = break_ms ? break_ms : 45000;
	domain->next_lease_id = 1;
	domain->events_tail = &domain->events;
	daxl_mutex_init(&domain->mutex, DAXL_RANK_EVENTS);
	*ret_domain = domain;
	return 0;
}

void daxl_domain_destroy(struct daxl_domain *domain)
{
	if (!domain)
		return;
	assert(__atomic_load_n(&domain->nleases, __ATOMIC_ACQUIRE) == 0);
	close(domain->event_fd);
	daxl_mutex_destroy(&domain->mutex);
	daxl_free(domain);
}

uint64_t daxl_domain_leases(const struct daxl_domain *domain)
{
	return __atomic_load_n(&domain->nleases, __ATOMIC_ACQUIRE);
}

uint32_t daxl_domain_break_ms(const struct daxl_domain *domain)
{
	return domain->break_ms;
}

void daxl_domain_each(struct daxl_domain *domain, void (*fn)(const struct daxl_holder *holder, const char *file, void *arg),
                      void *arg)
{
	char file[32];

	daxl_mutex_lock(&domain->mutex);
	for (struct daxl_lease *l = domain->leases; l; l = l->all_next) {
		uint64_t w = daxl_lw_load(&l->word);
		struct daxl_holder holder = {
			.lease_id = l->id,
			.owner = l->owner,
			.state = (uint32_t)daxl_lease_state(l),
			.pins = w & DAXL_LW_PINS,
		};

		snprintf(file, sizeof(file), "file %u", l->rl->file_id);
		fn(&holder, file, arg);
	}
	daxl_mutex_unlock(&domain->mutex);
}

void daxl_domain_stat(const struct daxl_domain *domain, struct daxl_domain_stat *ret)
{
	const uint64_t *from = (const uint64_t *)(const void *)&domain->stat;
	uint64_t *to = (uint64_t *)(void *)ret;

	for (size_t i = 0; i < sizeof(*ret) / sizeof(uint64_t); i++)
		to[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
}

DAXL_API uint64_t daxl_owner_new(void)
{
	static uint64_t next;

	return __atomic_add_fetch(&next, 1, __ATOMIC_RELAXED);
}
