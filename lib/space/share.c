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
 * Many pieces, of a clone or of what a dead map held, are put in order by group before they are counted: where a file's
 * blocks lie at random there would be a lock for each, and two threads would pass the groups back and forth.
 *
 * A number that reached its maximum stays there: the block is lost until the pool is opened again, never freed under
 * somebody.
 */
#include <errno.h>

#include "base/error.h"
#include "base/hook.h"
#include "space/space_impl.h"

#define PLACES 64u /* of pieces that are counted together: groups, modulo this */

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

/* A walk over blocks, with the group of the last ones locked, and what it has done so far. */
struct hold {
	struct daxl_space *space;
	uint32_t *shares;
	struct daxl_group *group;    /* locked, or NULL */
	unsigned work;               /* blocks since then */
	daxl_nblk_t fresh;           /* raised: those that became shared */
	daxl_nblk_t freed, unshared; /* dropped */
};

static inline void DAXL_UNCHECKED release(struct hold *hold)
{
	if (hold->group)
		daxl_spin_unlock(&hold->group->lock);
	hold->group = NULL;
}

/* Locks the group, if that is not the one that is locked; others get their turn now and then. */
static inline struct daxl_group *DAXL_UNCHECKED hold_group(struct hold *hold, daxl_blk_t blk)
{
	struct daxl_group *group = &hold->space->groups[daxl_group_of(blk)];

	if (group != hold->group || hold->work >= DAXL_GROUP_BLOCKS) {
		release(hold);
		daxl_spin_lock(&group->lock);
		hold->group = group;
		hold->work = 0;
	}
	return group;
}

/* One more reference on each of the blocks. The space counts them as shared already. */
static inline void raise(struct hold *hold, daxl_blk_t blk, daxl_nblk_t len)
{
	assert(daxl_space_inside(hold->space, blk, len));
	while (len) {
		unsigned n = len == 1 ? 1 : daxl_group_piece(blk, len), fresh;
		struct daxl_group *group = hold_group(hold, blk);

		assert(daxl_bits_next_free(hold->space->bits, blk, blk + n) == blk + n);
		fresh = raise_shares(hold->shares, blk, n);
		group_shared_add(group, (int32_t)fresh);
		hold->fresh += fresh;
		hold->work += n;
		blk += n;
		len -= n;
	}
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

/* One reference less on each of the blocks. */
static inline void DAXL_UNCHECKED drop(struct hold *hold, daxl_blk_t blk, daxl_nblk_t len)
{
	assert(daxl_space_inside(hold->space, blk, len));
	while (len) {
		unsigned n = daxl_group_piece(blk, len), cleared;
		struct daxl_group *group = hold_group(hold, blk);

		if (daxl_likely(group->shared == 0)) {
			daxl_group_give(hold->space, daxl_group_of(blk), daxl_group_offset(blk), n);
			hold->freed += n;
		} else {
			if (!hold->shares) /* shared for the first time since this began */
				hold->shares = shares_of(hold->space);
			hold->freed += drop_shared(hold->space, hold->shares, blk, n, &cleared);
			group_shared_add(group, -(int32_t)cleared);
			hold->unshared += cleared;
		}
		hold->work += n;
		blk += n;
		len -= n;
	}
}

/* Counts what was dropped; no group is locked. */
static inline void settle_drops(const struct hold *hold)
{
	if (hold->unshared)
		__atomic_fetch_sub(&hold->space->shared, hold->unshared, __ATOMIC_RELAXED);
	if (hold->freed) {
		daxl_space_count_used(hold->space, -(int64_t)hold->freed);
		daxl_space_avail_add(hold->space, hold->freed);
	}
}

int daxl_space_ref(struct daxl_space *space, daxl_blk_t blk, daxl_nblk_t len)
{
	struct hold hold = { .space = space };
	int err = DAXL_FAULT("space.ref") ? daxl_fail(ENOMEM, "no memory to share blocks") : need_shares(space, &hold.shares);

	if (err)
		return err;
	__atomic_fetch_add(&space->shared, len, __ATOMIC_RELAXED);
	raise(&hold, blk, len);
	release(&hold);
	if (hold.fresh != len)
		__atomic_fetch_sub(&space->shared, len - hold.fresh, __ATOMIC_RELAXED);
	return 0;
}

void daxl_space_unref(struct daxl_space *space, daxl_blk_t blk, daxl_nblk_t len)
{
	struct hold hold = { .space = space, .shares = shares_of(space) };

	drop(&hold, blk, len);
	release(&hold);
	settle_drops(&hold);
}

int daxl_refs_begin(struct daxl_refs *refs, struct daxl_space *space, daxl_nblk_t most)
{
	int err = DAXL_FAULT("space.ref") ? daxl_fail(ENOMEM, "no memory to share blocks") : need_shares(space, &refs->shares);

	if (err)
		return err;
	__atomic_fetch_add(&space->shared, most, __ATOMIC_RELAXED);
	refs->space = space;
	refs->drop = false;
	refs->unfound = most;
	refs->n = 0;
	return 0;
}

void daxl_unrefs_begin(struct daxl_refs *refs, struct daxl_space *space)
{
	refs->space = space;
	refs->shares = shares_of(space);
	refs->drop = true;
	refs->unfound = 0;
	refs->n = 0;
}

/* Where a piece lies, roughly: pieces of one group are equal. */
static inline unsigned place_of(const struct daxl_blkrun *piece)
{
	return (unsigned)daxl_group_of(piece->blk) % PLACES;
}

/* The order in which the pieces lie in the pool, roughly; their numbers are on their way into the caches. */
static void sort_pieces(const struct daxl_refs *refs, uint16_t order[DAXL_REFS_MAX])
{
	uint16_t end[PLACES] = { 0 };
	unsigned sum = 0;

	for (unsigned i = 0; i < refs->n; i++)
		end[place_of(&refs->piece[i])]++;
	for (unsigned place = 0; place < PLACES; place++) {
		unsigned n = end[place];

		end[place] = (uint16_t)sum;
		sum += n;
	}
	for (unsigned i = 0; i < refs->n; i++) {
		order[end[place_of(&refs->piece[i])]++] = (uint16_t)i;
		if (refs->shares)
			__builtin_prefetch(&refs->shares[refs->piece[i].blk], 1);
	}
}

/* Counts the pieces that have come together. */
static void __attribute__((noinline)) count_pieces(struct daxl_refs *refs)
{
	struct hold hold = { .space = refs->space, .shares = refs->shares };
	uint16_t order[DAXL_REFS_MAX];

	sort_pieces(refs, order);
	for (unsigned i = 0; i < refs->n; i++) {
		const struct daxl_blkrun *piece = &refs->piece[order[i]];

		if (refs->drop)
			drop(&hold, piece->blk, piece->len);
		else
			raise(&hold, piece->blk, piece->len);
	}
	release(&hold);
	refs->unfound -= hold.fresh;
	settle_drops(&hold);
	refs->n = 0;
}

void daxl_refs_add(daxl_blk_t blk, daxl_nblk_t len, void *to)
{
	struct daxl_refs *refs = to;

	if (refs->n == DAXL_REFS_MAX)
		count_pieces(refs);
	refs->piece[refs->n++] = (struct daxl_blkrun){ blk, len };
}

void daxl_refs_end(struct daxl_refs *refs)
{
	if (refs->n)
		count_pieces(refs);
	if (refs->unfound)
		__atomic_fetch_sub(&refs->space->shared, refs->unfound, __ATOMIC_RELAXED);
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
