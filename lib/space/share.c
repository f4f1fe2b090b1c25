/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * References. The first reference on a block is its bit; those beyond it are counted in an array with one number a
 * block, which is not there until something is shared for the first time and costs memory only where something is. A
 * dense array, because a clone counts up every run of a file in one go, and because counting must not fail halfway.
 *
 * Numbers and bits of a group change together under its lock, so of two threads that drop the last two references of
 * a block exactly one frees it. `shared` of the space and of the group tell in one load that nothing is shared; the
 * first is raised before and lowered after the numbers, so it is never 0 while a shared block exists.
 *
 * A number that reached its maximum stays there: the block is lost until the pool is opened again, never freed under
 * somebody.
 */
#include <errno.h>

#include "base/error.h"
#include "base/hook.h"
#include "space/space_impl.h"

static uint32_t *shares_of(const struct daxl_space *space)
{
	return __atomic_load_n(&space->shares, __ATOMIC_ACQUIRE); /* pairs with the release in need_shares */
}

static uint32_t share_load(const uint32_t *shares, daxl_blk_t blk)
{
	return __atomic_load_n(&shares[blk], __ATOMIC_RELAXED);
}

/* Makes sure that the array is there; *ret_shares is it. No group is locked. */
static int need_shares(struct daxl_space *space, uint32_t **ret_shares)
{
	uint32_t *shares = shares_of(space);
	int err = 0;

	if (daxl_unlikely(!shares)) {
		daxl_mutex_lock(&space->grow_mutex);
		shares = shares_of(space);
		if (!shares)
			err = daxl_arena_init(&space->shares_arena, daxl_max_u64(daxl_space_nblocks(space), space->prepared) * sizeof(uint32_t),
			                      space->capacity * sizeof(uint32_t));
		if (!shares && !err) {
			shares = (uint32_t *)(void *)space->shares_arena.base;
			__atomic_store_n(&space->shares, shares, __ATOMIC_RELEASE);
		}
		daxl_mutex_unlock(&space->grow_mutex);
		if (err)
			return err;
	}
	*ret_shares = shares;
	return 0;
}

/* One more reference on each of n used blocks, whose group's lock is held. Returns how many are shared only now. */
static inline unsigned raise_shares(uint32_t *shares, daxl_blk_t blk, unsigned n)
{
	unsigned fresh = 0;

	for (unsigned i = 0; i < n; i++) {
		uint32_t count = share_load(shares, blk + i);

		if (daxl_likely(count != UINT32_MAX))
			__atomic_store_n(&shares[blk + i], count + 1, __ATOMIC_RELAXED);
		fresh += count == 0;
	}
	return fresh;
}

/* Counts n more (less) shared blocks in a group whose lock is held. */
static void group_shared_add(struct daxl_group *group, int32_t n)
{
	__atomic_store_n(&group->shared, group->shared + (uint32_t)n, __ATOMIC_RELAXED);
}

int daxl_refs_begin(struct daxl_refs *refs, struct daxl_space *space)
{
	if (DAXL_FAULT("space.ref"))
		return daxl_fail(ENOMEM, "no memory to share blocks");
	*refs = (struct daxl_refs){ .space = space };
	return need_shares(space, &refs->shares);
}

/* Lets the group go; its count and the space's are right again. */
static void DAXL_UNCHECKED refs_unlock(struct daxl_refs *refs)
{
	struct daxl_group *group = refs->group;

	if (!group)
		return;
	group_shared_add(group, (int32_t)refs->fresh);
	daxl_spin_unlock(&group->lock);
	if (refs->fresh != DAXL_GROUP_BLOCKS)
		__atomic_fetch_sub(&refs->space->shared, DAXL_GROUP_BLOCKS - refs->fresh, __ATOMIC_RELAXED);
	refs->group = NULL;
	refs->fresh = 0;
}

/* The space counts all of the group as shared until it is known how many are: it must never be too few. */
static void DAXL_UNCHECKED refs_lock(struct daxl_refs *refs, struct daxl_group *group)
{
	refs_unlock(refs);
	__atomic_fetch_add(&refs->space->shared, DAXL_GROUP_BLOCKS, __ATOMIC_RELAXED);
	daxl_spin_lock(&group->lock);
	refs->group = group;
}

/* The next group's blocks, or those of several. */
static void __attribute__((noinline)) refs_add_slow(struct daxl_refs *refs, daxl_blk_t blk, daxl_nblk_t len)
{
	struct daxl_space *space = refs->space;

	while (len) {
		struct daxl_group *group = &space->groups[daxl_group_of(blk)];
		unsigned n = daxl_group_piece(blk, len);

		if (group != refs->group)
			refs_lock(refs, group);
		assert(daxl_bits_next_free(space->bits, blk, blk + n) == blk + n);
		refs->fresh += raise_shares(refs->shares, blk, n);
		blk += n;
		len -= n;
	}
}

void daxl_refs_add(struct daxl_refs *refs, daxl_blk_t blk, daxl_nblk_t len)
{
	assert(daxl_space_inside(refs->space, blk, len));
	if (len == 1 && &refs->space->groups[daxl_group_of(blk)] == refs->group) {
		assert(daxl_space_bit(refs->space, blk));
		refs->fresh += raise_shares(refs->shares, blk, 1);
	} else {
		refs_add_slow(refs, blk, len);
	}
}

void daxl_refs_end(struct daxl_refs *refs)
{
	refs_unlock(refs);
}

int daxl_space_ref(struct daxl_space *space, daxl_blk_t blk, daxl_nblk_t len)
{
	struct daxl_refs refs;
	int err = daxl_refs_begin(&refs, space);

	if (err)
		return err;
	daxl_refs_add(&refs, blk, len);
	daxl_refs_end(&refs);
	return 0;
}

/*
 * Drops a reference on each of n blocks in one group, whose lock is held, where some are shared. Returns how many
 * became free, and in *ret_cleared how many are shared no more.
 */
static unsigned DAXL_HOLDS(SPIN) drop_shared(struct daxl_space *space, uint32_t *shares, daxl_blk_t blk, unsigned n,
                            unsigned *ret_cleared)
{
	uint64_t index = daxl_group_of(blk);
	unsigned freed = 0, cleared = 0;

	for (unsigned i = 0; i < n;) {
		uint32_t count = share_load(shares, blk + i);
		unsigned run = 1;

		if (count == 0) {
			while (i + run < n && share_load(shares, blk + i + run) == 0)
				run++;
			daxl_group_give(space, index, daxl_group_offset(blk) + i, run);
			freed += run;
		} else if (count != UINT32_MAX) {
			__atomic_store_n(&shares[blk + i], count - 1, __ATOMIC_RELAXED);
			cleared += count == 1;
		}
		i += run;
	}
	*ret_cleared = cleared;
	return freed;
}

void daxl_space_unref(struct daxl_space *space, daxl_blk_t blk, daxl_nblk_t len)
{
	uint32_t *shares = shares_of(space);
	daxl_nblk_t freed = 0, unshared = 0;

	assert(daxl_space_inside(space, blk, len));
	while (len) {
		unsigned n = daxl_group_piece(blk, len), cleared = 0;
		uint64_t index = daxl_group_of(blk);
		struct daxl_group *group = &space->groups[index];

		daxl_spin_lock(&group->lock);
		if (daxl_likely(group->shared == 0)) {
			daxl_group_give(space, index, daxl_group_offset(blk), n);
			freed += n;
		} else {
			if (!shares) /* shared for the first time since this call began */
				shares = shares_of(space);
			freed += drop_shared(space, shares, blk, n, &cleared);
			group_shared_add(group, -(int32_t)cleared);
		}
		daxl_spin_unlock(&group->lock);
		unshared += cleared;
		blk += n;
		len -= n;
	}
	if (unshared)
		__atomic_fetch_sub(&space->shared, unshared, __ATOMIC_RELAXED);
	if (freed) {
		daxl_space_count_used(space, -(int64_t)freed);
		daxl_space_avail_add(space, freed);
	}
}

int daxl_space_mark_shared(struct daxl_space *space, daxl_blk_t blk, daxl_nblk_t len)
{
	uint32_t *shares = shares_of(space);
	daxl_blk_t at = blk, end = blk + len;
	int err = 0;

	if (!daxl_space_inside(space, blk, len))
		return daxl_fail(EUCLEAN, "blocks %llu+%llu lie outside of the pool of %llu", (unsigned long long)blk,
		                 (unsigned long long)len, (unsigned long long)daxl_space_nblocks(space));
	while (at < end) {
		uint64_t index = daxl_group_of(at);
		struct daxl_group *group = &space->groups[index];
		unsigned n = daxl_group_piece(at, end - at);
		daxl_blk_t run_end = at + n;
		bool used;

		/* One run of used or of free blocks at a time. */
		daxl_spin_lock(&group->lock);
		used = daxl_space_bit(space, at);
		if (used) {
			if (!shares) {
				daxl_spin_unlock(&group->lock);
				err = need_shares(space, &shares);
				if (err)
					break;
				continue;
			}
			run_end = daxl_bits_next_free(space->bits, at, run_end);
			/* Before the counts: who reads 0 does not look at them. */
			__atomic_fetch_add(&space->shared, run_end - at, __ATOMIC_RELAXED);
			unsigned fresh = raise_shares(shares, at, (unsigned)(run_end - at));
			group_shared_add(group, (int32_t)fresh);
			__atomic_fetch_sub(&space->shared, run_end - at - fresh, __ATOMIC_RELAXED);
		} else {
			run_end = daxl_bits_next_used(space->bits, at, run_end);
			if (daxl_space_avail_sub(space, run_end - at, 0))
				daxl_group_take(space, index, daxl_group_offset(at), (unsigned)(run_end - at));
			else
				err = daxl_fail(EUCLEAN, "block %llu is set aside already", (unsigned long long)at);
		}
		daxl_spin_unlock(&group->lock);
		if (err)
			break;
		if (!used)
			daxl_space_count_used(space, (int64_t)(run_end - at));
		at = run_end;
	}
	if (err)
		daxl_space_unref(space, blk, at - blk);
	return err;
}

bool daxl_space_is_shared(const struct daxl_space *space, daxl_blk_t blk, daxl_nblk_t len, daxl_nblk_t *ret_len)
{
	const uint32_t *shares;
	daxl_blk_t at = blk, end = blk + len;
	bool shared;

	assert(len > 0 && daxl_space_inside(space, blk, len));
	if (daxl_likely(__atomic_load_n(&space->shared, __ATOMIC_RELAXED) == 0) || !(shares = shares_of(space))) {
		if (ret_len)
			*ret_len = len;
		return false;
	}
	shared = share_load(shares, blk) != 0;
	if (!ret_len)
		return shared;
	while (at < end) {
		daxl_blk_t piece_end = at + daxl_group_piece(at, end - at);

		if (__atomic_load_n(&space->groups[daxl_group_of(at)].shared, __ATOMIC_RELAXED) == 0) {
			if (shared)
				break;
			at = piece_end;
			continue;
		}
		while (at < piece_end && (share_load(shares, at) != 0) == shared)
			at++;
		if (at < piece_end)
			break;
	}
	*ret_len = daxl_max_u64(at - blk, 1); /* should the first have changed under us: it is about that one */
	return shared;
}
