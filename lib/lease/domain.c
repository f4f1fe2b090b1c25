/* SPDX-License-Identifier: BSD-3-Clause */
#include "lease/domain.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lease/impl.h"

static _Thread_local unsigned callback_depth;

struct daxl_toll daxl_callback_enter(void)
{
	daxl_assert_no_locks();
	callback_depth++;
	return daxl_toll_begin();
}

void daxl_callback_leave(struct daxl_toll outer)
{
	callback_depth--;
	daxl_toll_end(outer);
}

bool daxl_may_not_wait(void)
{
	return callback_depth != 0 || daxl_rcu_read_ongoing();
}

int DAXL_ALONE daxl_domain_create(struct daxl_pool *pool, unsigned block_shift, uint64_t epoch, uint32_t break_ms,
                       struct daxl_domain **ret_domain)
{
	struct daxl_domain *domain = daxl_zalloc(sizeof(*domain));

	if (!domain)
		return daxl_fail(ENOMEM, "no memory for the pool's leases");
	int rc = daxl_tally_create(&domain->tally);

	if (!rc)
		rc = daxl_slab_create(&domain->slab);
	if (rc) {
		daxl_tally_destroy(domain->tally);
		daxl_free(domain);
		return rc;
	}
	bool refused = DAXL_FAULT("event.fd");

	domain->event_fd = refused ? -1 : eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (domain->event_fd < 0) {
		int err = refused ? EMFILE : errno;

		daxl_slab_destroy(domain->slab);
		daxl_tally_destroy(domain->tally);
		daxl_free(domain);
		return daxl_fail(err, "no event file descriptor: %s", strerror(err));
	}
	domain->pool = pool;
	domain->block_shift = block_shift;
	domain->epoch = epoch;
	domain->break_ms = break_ms ? break_ms : 45000;
	domain->events_tail = &domain->events;
	daxl_mutex_init(&domain->files_mutex, DAXL_RANK_FILE);
	daxl_mutex_init(&domain->mutex, DAXL_RANK_EVENTS);
	*ret_domain = domain;
	return 0;
}

void DAXL_ALONE daxl_domain_destroy(struct daxl_domain *domain)
{
	if (!domain)
		return;
	assert(daxl_domain_leases(domain) == 0 && !domain->files);
	close(domain->event_fd);
	daxl_mutex_destroy(&domain->mutex);
	daxl_mutex_destroy(&domain->files_mutex);
	daxl_slab_destroy(domain->slab);
	daxl_tally_destroy(domain->tally);
	daxl_free(domain);
}

uint64_t daxl_domain_leases(const struct daxl_domain *domain)
{
	return daxl_slab_bytes(domain->slab) / sizeof(struct daxl_lease);
}

uint32_t daxl_domain_break_ms(const struct daxl_domain *domain)
{
	return domain->break_ms;
}

struct each {
	void (*fn)(const struct daxl_holder *holder, const void *file, void *arg);
	void *arg;
	uint64_t token;
};

static int DAXL_HOLDS(RANGE) tell(struct daxl_lease_span *span, void *arg)
{
	struct each *each = arg;
	struct daxl_lease *l = span->lease;
	struct daxl_holder holder;

	if (l->seen == each->token || !daxl_lease_holder_locked(l, &holder))
		return 0;
	l->seen = each->token;
	each->fn(&holder, l->file, each->arg);
	return 0;
}

void daxl_domain_each(struct daxl_domain *domain, void (*fn)(const struct daxl_holder *holder, const void *file, void *arg),
                      void *arg)
{
	struct each each = { .fn = fn, .arg = arg, .token = daxl_key_new() };

	daxl_mutex_lock(&domain->files_mutex);
	for (struct daxl_range_lock *rl = domain->files; rl; rl = rl->next) {
		daxl_mutex_lock(&rl->mutex);
		(void)daxl_interval_each(rl->spans, 0, DAXL_FBLK_INF, tell, &each);
		for (struct daxl_limbo_link *link = rl->limbo; link; link = link->file_next)
			(void)tell(&link->lease->first, &each);
		daxl_mutex_unlock(&rl->mutex);
	}
	daxl_mutex_unlock(&domain->files_mutex);
}

struct daxl_tally *daxl_domain_tally(const struct daxl_domain *domain)
{
	return domain->tally;
}

DAXL_API uint64_t daxl_owner_new(void)
{
	static uint64_t next;

	return __atomic_add_fetch(&next, 1, __ATOMIC_RELAXED);
}
