/* SPDX-License-Identifier: BSD-3-Clause */
#include "space/limbo.h"

#include <errno.h>

#include "base/error.h"
#include "base/hook.h"
#include "space/space_impl.h"

struct daxl_limbo {
	struct daxl_space *space;
	void (*done)(void *arg);
	void *arg;
	uint64_t holds; /* atomic */
	/* Changed only before the list is shared, read by the last put. */
	struct daxl_blkrun *run;
	size_t nruns, room;
	daxl_nblk_t blocks;
	bool entered; /* atomic */
};

int daxl_limbo_create(struct daxl_space *space, void (*done)(void *arg), void *arg, struct daxl_limbo **ret_limbo)
{
	struct daxl_limbo *limbo = daxl_zalloc(sizeof(*limbo));

	if (!limbo)
		return daxl_fail(ENOMEM, "no memory for a limbo list");
	limbo->space = space;
	limbo->done = done;
	limbo->arg = arg;
	limbo->holds = 1;
	*ret_limbo = limbo;
	return 0;
}

int daxl_limbo_add(struct daxl_limbo *limbo, daxl_blk_t blk, daxl_nblk_t len)
{
	struct daxl_blkrun *last = limbo->nruns ? &limbo->run[limbo->nruns - 1] : NULL;
	bool joins = last && last->blk + last->len == blk;
	int err;

	if (!joins && limbo->nruns == limbo->room) {
		size_t room = limbo->room ? limbo->room * 2 : 4;
		struct daxl_blkrun *run = daxl_realloc(limbo->run, room * sizeof(*run));

		if (!run)
			return daxl_fail(ENOMEM, "no memory to put blocks %llu+%llu into limbo",
			                 (unsigned long long)blk, (unsigned long long)len);
		limbo->run = run;
		limbo->room = room;
	}
	assert(limbo->run);
	err = daxl_space_ref(limbo->space, blk, len);
	if (err)
		return err;
	if (joins)
		last->len += len;
	else
		limbo->run[limbo->nruns++] = (struct daxl_blkrun){blk, len};
	limbo->blocks += len;
	__atomic_fetch_add(&limbo->space->limbo, len, __ATOMIC_RELAXED);
	return 0;
}

daxl_nblk_t daxl_limbo_blocks(const struct daxl_limbo *limbo)
{
	return limbo->blocks;
}

daxl_nblk_t daxl_limbo_enter(struct daxl_limbo *limbo)
{
	return __atomic_exchange_n(&limbo->entered, true, __ATOMIC_RELAXED) ? 0 : limbo->blocks;
}

void daxl_limbo_get(struct daxl_limbo *limbo)
{
	uint64_t holds = __atomic_fetch_add(&limbo->holds, 1, __ATOMIC_RELAXED);

	assert(holds > 0);
	(void)holds;
}

void daxl_limbo_put(struct daxl_limbo *limbo)
{
	struct daxl_space *space = limbo->space;
	void (*done)(void *arg) = limbo->done;
	void *arg = limbo->arg;

	/* Release and acquire: what every holder did to the blocks comes before they are free. */
	if (__atomic_sub_fetch(&limbo->holds, 1, __ATOMIC_ACQ_REL) != 0)
		return;
	for (size_t i = 0; i < limbo->nruns; i++)
		daxl_space_unref(space, limbo->run[i].blk, limbo->run[i].len);
	__atomic_fetch_sub(&space->limbo, limbo->blocks, __ATOMIC_RELAXED);
	daxl_free(limbo->run);
	daxl_free(limbo);
	if (done)
		done(arg);
}

daxl_nblk_t daxl_limbo_total(const struct daxl_space *space)
{
	return __atomic_load_n(&space->limbo, __ATOMIC_RELAXED);
}
