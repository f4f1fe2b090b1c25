/* SPDX-License-Identifier: BSD-3-Clause */
/* The life of a space: how it is made, grows, and is loaded and written out. */
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/hook.h"
#include "space/space_impl.h"

/* A pool may grow to this many bytes, or to twice its size at open. */
#define GROW_BYTES_LOG2 44u

static uint64_t groups_for(daxl_nblk_t nblocks)
{
	return (nblocks + DAXL_GROUP_BLOCKS - 1) >> DAXL_GROUP_SHIFT;
}

/* Makes room for the bits and groups of nblocks; grow_mutex is held or nobody else knows the space. */
static int extend_arrays(struct daxl_space *space, daxl_nblk_t nblocks)
{
	uint64_t groups = groups_for(nblocks);
	int err = daxl_arena_extend(&space->bits_arena, groups * DAXL_GROUP_WORDS * sizeof(uint64_t));

	if (!err)
		err = daxl_arena_extend(&space->groups_arena, groups * sizeof(struct daxl_group));
	if (!err && space->shares_arena.base)
		err = daxl_arena_extend(&space->shares_arena, nblocks * sizeof(uint32_t));
	return err;
}

/* Closes what lies behind nblocks in the last group, which nobody can find yet. */
static void close_tail(struct daxl_space *space, daxl_nblk_t nblocks)
{
	uint64_t last = groups_for(nblocks) - 1;
	unsigned tail = daxl_group_offset(nblocks);

	if (tail == 0)
		return;
	daxl_spin_lock(&space->groups[last].lock);
	daxl_group_take(space, last, tail, DAXL_GROUP_BLOCKS - tail);
	daxl_spin_unlock(&space->groups[last].lock);
}

/* Lets the groups from first on, which are untouched but for the closed tail, be found. */
static void open_groups(struct daxl_space *space, uint64_t first, daxl_nblk_t nblocks)
{
	uint64_t groups = groups_for(nblocks);
	struct daxl_group *last = &space->groups[groups - 1];

	if (first == groups)
		return;
	daxl_sum_set_range(&space->whole, first, groups - 1);
	daxl_spin_lock(&last->lock);
	if (last->touched != DAXL_GROUP_ALL_LINES)
		daxl_sum_set(&space->whole, groups - 1);
	daxl_spin_unlock(&last->lock);
}

int daxl_space_create(daxl_nblk_t nblocks, unsigned block_shift, daxl_nblk_t keep_back, struct daxl_space **ret_space)
{
	size_t header = daxl_round_up(sizeof(struct daxl_space), DAXL_CACHE_LINE);
	struct daxl_arena self = {0};
	struct daxl_space *space;
	daxl_nblk_t capacity;
	size_t sums;
	int err;

	if (block_shift < DAXL_BLOCK_SHIFT_MIN || block_shift > DAXL_BLOCK_SHIFT_MAX)
		return daxl_fail(EINVAL, "free space: a block of 2^%u bytes", block_shift);
	if (nblocks == 0 || nblocks > UINT64_C(1) << 40 || keep_back > nblocks)
		return daxl_fail(EINVAL, "free space: %llu blocks, %llu kept back", (unsigned long long)nblocks,
		                 (unsigned long long)keep_back);
	capacity = daxl_max_u64(nblocks * 2, UINT64_C(1) << (GROW_BYTES_LOG2 - block_shift));
	sums = daxl_sum_size(groups_for(capacity));
	err = daxl_arena_init(&self, header + 2 * sums, 0);
	if (err)
		return err;
	space = (struct daxl_space *)(void *)self.base;
	space->self_arena = self;
	space->block_shift = block_shift;
	space->region = UINT64_C(1) << (21 - block_shift);
	space->keep_back = keep_back;
	space->capacity = capacity;
	daxl_sum_init(&space->part, self.base + header, groups_for(capacity));
	daxl_sum_init(&space->whole, self.base + header + sums, groups_for(capacity));
	err = daxl_arena_init(&space->bits_arena, groups_for(nblocks) * DAXL_GROUP_WORDS * sizeof(uint64_t),
	                      groups_for(capacity) * DAXL_GROUP_WORDS * sizeof(uint64_t));
	if (err)
		goto fail_self;
	err = daxl_arena_init(&space->groups_arena, groups_for(nblocks) * sizeof(struct daxl_group),
	                      groups_for(capacity) * sizeof(struct daxl_group));
	if (err)
		goto fail_bits;
	daxl_arena_want_huge(&space->bits_arena);
	daxl_arena_want_huge(&space->groups_arena);
	space->bits = (uint64_t *)(void *)space->bits_arena.base;
	space->groups = (struct daxl_group *)(void *)space->groups_arena.base;
	daxl_mutex_init(&space->grow_mutex, DAXL_RANK_SPACE);
	daxl_page_table_init(&space->pages);
	close_tail(space, nblocks);
	open_groups(space, 0, nblocks);
	space->nblocks = nblocks;
	space->avail = nblocks;
	*ret_space = space;
	return 0;

fail_bits:
	daxl_arena_fini(&space->bits_arena);
fail_self:
	daxl_arena_fini(&self);
	return err;
}

void daxl_space_destroy(struct daxl_space *space)
{
	struct daxl_arena self;

	if (!space)
		return;
	daxl_page_table_fini(&space->pages);
	daxl_mutex_destroy(&space->grow_mutex);
	daxl_arena_fini(&space->shares_arena);
	daxl_arena_fini(&space->groups_arena);
	daxl_arena_fini(&space->bits_arena);
	self = space->self_arena; /* the space lies in it */
	daxl_arena_fini(&self);
}

/* Makes the arrays fit; grow_mutex is held. */
static int DAXL_HOLDS(SPACE) prepare(struct daxl_space *space, daxl_nblk_t new_nblocks)
{
	daxl_nblk_t old = daxl_space_nblocks(space);

	if (new_nblocks < old)
		return daxl_fail(EINVAL, "free space: %llu blocks cannot shrink to %llu", (unsigned long long)old,
		                 (unsigned long long)new_nblocks);
	if (new_nblocks > space->capacity)
		return daxl_fail(ENOMEM, "free space: growth to %llu blocks exceeds the %llu provided for at open",
		                 (unsigned long long)new_nblocks, (unsigned long long)space->capacity);
	int err = extend_arrays(space, new_nblocks);
	if (!err)
		space->prepared = new_nblocks;
	return err;
}

/* Takes the last tail blocks of a space of nblocks, which lie in a group that nobody can find yet. */
static void take_last(struct daxl_space *space, daxl_nblk_t nblocks, unsigned tail)
{
	daxl_blk_t blk = nblocks - tail;
	uint64_t index = daxl_group_of(blk);

	daxl_spin_lock(&space->groups[index].lock);
	daxl_group_take(space, index, daxl_group_offset(blk), tail);
	daxl_spin_unlock(&space->groups[index].lock);
}

/* The blocks up to new_nblocks are there, free but for the last tail (0 or 1) ones; grow_mutex is held, all prepared. */
static void extend(struct daxl_space *space, daxl_nblk_t new_nblocks, unsigned tail)
{
	daxl_nblk_t old = daxl_space_nblocks(space);
	uint64_t old_groups = groups_for(old);
	unsigned closed = daxl_group_offset(old);

	if (new_nblocks == old)
		return;
	/* Nobody finds the new groups before their tree bits, nor counts on their blocks before avail. */
	if (groups_for(new_nblocks) > old_groups) {
		close_tail(space, new_nblocks);
		if (tail)
			take_last(space, new_nblocks, tail);
	}
	__atomic_store_n(&space->nblocks, new_nblocks, __ATOMIC_RELEASE);
	open_groups(space, old_groups, new_nblocks);
	if (closed) { /* open what was closed behind the old end */
		struct daxl_group *group = &space->groups[old_groups - 1];
		daxl_nblk_t open = new_nblocks - old - (groups_for(new_nblocks) == old_groups ? tail : 0);

		daxl_spin_lock(&group->lock);
		if (open)
			daxl_group_give(space, old_groups - 1, closed, daxl_group_piece(old, open));
		daxl_spin_unlock(&group->lock);
	}
	daxl_space_count_used(space, tail);
	daxl_space_avail_add(space, new_nblocks - old - tail);
}

int daxl_space_grow(struct daxl_space *space, daxl_nblk_t new_nblocks)
{
	daxl_mutex_lock(&space->grow_mutex);
	int err = prepare(space, new_nblocks);
	if (!err)
		extend(space, new_nblocks, 0);
	daxl_mutex_unlock(&space->grow_mutex);
	return err;
}

int daxl_space_grow_prepare(struct daxl_space *space, daxl_nblk_t new_nblocks)
{
	daxl_mutex_lock(&space->grow_mutex);
	int err = prepare(space, new_nblocks);
	daxl_mutex_unlock(&space->grow_mutex);
	return err;
}

void daxl_space_grow_extend(struct daxl_space *space, daxl_nblk_t new_nblocks)
{
	daxl_mutex_lock(&space->grow_mutex);
	assert(new_nblocks <= space->prepared);
	extend(space, new_nblocks, 1);
	daxl_mutex_unlock(&space->grow_mutex);
}

/* Gives back bits that daxl_space_claim took. */
static void unclaim(struct daxl_space *space, daxl_blk_t blk, daxl_nblk_t len)
{
	while (len) {
		unsigned n = daxl_group_piece(blk, len);
		uint64_t index = daxl_group_of(blk);

		daxl_spin_lock(&space->groups[index].lock);
		daxl_group_give(space, index, daxl_group_offset(blk), n);
		daxl_spin_unlock(&space->groups[index].lock);
		blk += n;
		len -= n;
	}
}

bool daxl_space_claim(struct daxl_space *space, daxl_blk_t blk, daxl_nblk_t len)
{
	for (daxl_nblk_t done = 0; done < len;) {
		unsigned n = daxl_group_piece(blk + done, len - done);
		uint64_t index = daxl_group_of(blk + done);
		struct daxl_group *group = &space->groups[index];
		bool all_free;

		daxl_spin_lock(&group->lock);
		all_free = daxl_bits_next_used(space->bits, blk + done, blk + done + n) == blk + done + n;
		if (all_free)
			daxl_group_take(space, index, daxl_group_offset(blk + done), n);
		daxl_spin_unlock(&group->lock);
		if (!all_free) {
			unclaim(space, blk, done);
			return false;
		}
		done += n;
	}
	return true;
}

int daxl_space_mark(struct daxl_space *space, daxl_blk_t blk, daxl_nblk_t len)
{
	if (!daxl_space_inside(space, blk, len))
		return daxl_fail(EUCLEAN, "blocks %llu+%llu lie outside of the pool of %llu", (unsigned long long)blk,
		                 (unsigned long long)len, (unsigned long long)daxl_space_nblocks(space));
	if (daxl_space_avail_sub(space, len, 0)) {
		if (daxl_space_claim(space, blk, len)) {
			daxl_space_count_used(space, (int64_t)len);
			return 0;
		}
		daxl_space_avail_add(space, len);
	}
	return daxl_fail(EUCLEAN, "one of the blocks %llu+%llu is in use already", (unsigned long long)blk,
	                 (unsigned long long)len);
}

bool daxl_space_is_used(const struct daxl_space *space, daxl_blk_t blk)
{
	return daxl_space_inside(space, blk, 1) && daxl_space_bit(space, blk);
}

size_t daxl_space_export_size(const struct daxl_space *space)
{
	return (daxl_space_nblocks(space) + 7) / 8;
}

/* Which bits of a word stand for blocks. */
static uint64_t inside_mask(daxl_nblk_t nblocks, uint64_t word)
{
	daxl_nblk_t rest = nblocks - word * 64;

	return rest >= 64 ? UINT64_MAX : (UINT64_C(1) << rest) - 1;
}

void daxl_space_export(const struct daxl_space *space, uint8_t *bits)
{
	daxl_nblk_t nblocks = daxl_space_nblocks(space);
	size_t size = (nblocks + 7) / 8;

	for (uint64_t word = 0; word * 64 < nblocks; word++) {
		uint64_t w = __atomic_load_n(&space->bits[word], __ATOMIC_RELAXED) & inside_mask(nblocks, word);

		for (size_t at = word * 8; at < size && at < word * 8 + 8; at++, w >>= 8)
			bits[at] = (uint8_t)w;
	}
}

/* Word number word of exported bits. */
static uint64_t exported_word(const uint8_t *bits, size_t size, uint64_t word)
{
	uint64_t w = 0;

	for (size_t i = daxl_min_u64(8, size - word * 8); i-- > 0;)
		w = w << 8 | bits[word * 8 + i];
	return w;
}

int daxl_space_import(struct daxl_space *space, const uint8_t *bits)
{
	daxl_nblk_t nblocks = daxl_space_nblocks(space);
	size_t size = (nblocks + 7) / 8;
	uint64_t fresh = 0;
	bool ok;

	if (nblocks % 8 && bits[size - 1] >> (nblocks % 8))
		return daxl_fail(EUCLEAN, "the list of used blocks goes beyond the pool of %llu",
		                 (unsigned long long)nblocks);
	for (uint64_t index = 0; index < groups_for(nblocks); index++) {
		struct daxl_group *group = &space->groups[index];

		for (unsigned i = 0; i < DAXL_GROUP_WORDS; i++) {
			uint64_t word = index * DAXL_GROUP_WORDS + i;
			uint64_t w;

			if (word * 64 >= nblocks)
				break;
			w = exported_word(bits, size, word);
			if (w == 0)
				continue;
			daxl_spin_lock(&group->lock);
			fresh += daxl_group_merge_word(space, index, i, w);
			daxl_spin_unlock(&group->lock);
		}
	}
	ok = daxl_space_avail_sub(space, fresh, 0);
	assert(ok); /* nobody holds a reservation */
	(void)ok;
	daxl_space_count_used(space, (int64_t)fresh);
	return 0;
}
