/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Accounting: how many free blocks are promised to nobody.
 *
 * The number is the sum of `avail`, which all threads share, and of a small stash in each slot, which mostly one
 * thread uses: two threads that reserve and free a block at a time do not pass one cache line back and forth. It never
 * promises too much: a number is taken out of one place before it goes anywhere else. And it never promises too
 * little, which a request for the last block would notice:
 *
 * - numbers move between avail and a stash only under the stash's lock;
 * - who does not find enough announces that it is draining, then moves every stash into avail, then looks at avail
 *   once more. Meanwhile nothing is moved or freed into a stash, so all that there was when it began is in avail by
 *   then, or in the hands of others;
 * - a stash is filled only while avail is far above the kept-back reserve, and is used for data only while avail
 *   alone covers that reserve.
 */
#include <errno.h>

#include "base/error.h"
#include "base/hook.h"
#include "base/thread.h"
#include "space/space_impl.h"

#define STASH 64u    /* blocks moved into a stash at a time; twice as many is the most it has */
#define PLENTY 4096u /* blocks above the reserve from which on stashes are used */

struct daxl_space_slot *daxl_space_slot(struct daxl_space *space)
{
	return &space->slots[daxl_thread_number() % DAXL_SPACE_SLOTS];
}

static uint64_t avail_of(const struct daxl_space *space)
{
	return __atomic_load_n(&space->avail, __ATOMIC_ACQUIRE);
}

static bool is_draining(const struct daxl_space *space)
{
	return __atomic_load_n(&space->draining, __ATOMIC_RELAXED) != 0;
}

static void set_stash(struct daxl_space_slot *slot, uint64_t stash)
{
	__atomic_store_n(&slot->stash, stash, __ATOMIC_RELAXED); /* atomic for stat */
}

/* Takes n out of avail when at least keep remain there. */
static bool avail_sub(struct daxl_space *space, uint64_t n, uint64_t keep)
{
	/* Acquire pairs with the release in daxl_space_avail_add: bits that were counted in are seen clear. */
	uint64_t avail = avail_of(space);

	do {
		if (avail < keep || avail - keep < n)
			return false;
	} while (!__atomic_compare_exchange_n(&space->avail, &avail, avail - n, true, __ATOMIC_ACQ_REL,
	                                      __ATOMIC_ACQUIRE));
	return true;
}

/* The slow half of daxl_space_avail_sub: brings all stashes together first. */
static bool drain_and_sub(struct daxl_space *space, uint64_t n, uint64_t keep)
{
	bool ok;

	__atomic_fetch_add(&space->draining, 1, __ATOMIC_SEQ_CST);
	for (unsigned i = 0; i < DAXL_SPACE_SLOTS; i++) {
		struct daxl_space_slot *slot = &space->slots[i];

		daxl_spin_lock(&slot->lock); /* who locks it after us sees draining */
		if (slot->stash)
			__atomic_fetch_add(&space->avail, slot->stash, __ATOMIC_RELEASE);
		set_stash(slot, 0);
		daxl_spin_unlock(&slot->lock);
	}
	ok = avail_sub(space, n, keep);
	__atomic_fetch_sub(&space->draining, 1, __ATOMIC_RELEASE);
	return ok;
}

bool daxl_space_avail_sub(struct daxl_space *space, uint64_t n, uint64_t keep)
{
	struct daxl_space_slot *slot = daxl_space_slot(space);
	bool ok = false;

	if (n <= STASH) {
		daxl_spin_lock(&slot->lock);
		if (slot->stash >= n && avail_of(space) >= keep) {
			set_stash(slot, slot->stash - n);
			ok = true;
		} else if (!is_draining(space) && avail_sub(space, n + STASH, space->keep_back + PLENTY)) {
			set_stash(slot, slot->stash + STASH);
			ok = true;
		}
		daxl_spin_unlock(&slot->lock);
	}
	return ok || avail_sub(space, n, keep) || drain_and_sub(space, n, keep);
}

void daxl_space_avail_add(struct daxl_space *space, uint64_t n)
{
	struct daxl_space_slot *slot = daxl_space_slot(space);
	uint64_t stash;

	if (n <= STASH && avail_of(space) >= space->keep_back + PLENTY) {
		daxl_spin_lock(&slot->lock);
		if (!is_draining(space)) {
			stash = slot->stash + n;
			if (stash > 2 * STASH) {
				__atomic_fetch_add(&space->avail, stash - STASH, __ATOMIC_RELEASE);
				stash = STASH;
			}
			set_stash(slot, stash);
			n = 0;
		}
		daxl_spin_unlock(&slot->lock);
	}
	if (n)
		__atomic_fetch_add(&space->avail, n, __ATOMIC_RELEASE);
}

int daxl_space_reserve(struct daxl_space *space, enum daxl_space_class cls, daxl_nblk_t n)
{
	if (n == 0 || (!DAXL_FAULT("space.reserve") && daxl_likely(daxl_space_avail_sub(space, n, cls == DAXL_SPACE_DATA ? space->keep_back : 0))))
		return 0;
	return daxl_fail(ENOSPC, "no room for %llu more blocks", (unsigned long long)n);
}

void daxl_space_unreserve(struct daxl_space *space, daxl_nblk_t n)
{
	if (n)
		daxl_space_avail_add(space, n);
}

bool daxl_space_has_reserve(const struct daxl_space *space)
{
	return __atomic_load_n(&space->avail, __ATOMIC_RELAXED) >= space->keep_back;
}

daxl_nblk_t daxl_space_avail(const struct daxl_space *space)
{
	daxl_nblk_t avail = avail_of(space);

	for (unsigned i = 0; i < DAXL_SPACE_SLOTS; i++)
		avail += __atomic_load_n(&space->slots[i].stash, __ATOMIC_RELAXED);
	return avail;
}

void daxl_space_stat(const struct daxl_space *space, struct daxl_space_stat *ret)
{
	uint64_t avail = daxl_space_avail(space);
	daxl_nblk_t total = daxl_space_nblocks(space);
	int64_t used = 0;

	for (unsigned i = 0; i < DAXL_SPACE_SLOTS; i++)
		used += __atomic_load_n(&space->slots[i].used, __ATOMIC_RELAXED);
	/* The figures were read one after the other: keep what does not add up inside its bounds. */
	used = used < 0 ? 0 : used;
	ret->total = total;
	ret->free = total - daxl_min_u64((uint64_t)used, total);
	ret->reserved = ret->free - daxl_min_u64(avail, ret->free);
	ret->keep_back = space->keep_back;
	ret->shared = __atomic_load_n(&space->shared, __ATOMIC_RELAXED);
}
