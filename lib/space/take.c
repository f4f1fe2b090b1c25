/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which blocks a request gets.
 *
 * 1. The hint itself, when it is free: the caller's run goes on.
 * 2. A request below a line (512 blocks) goes into a line that is partly used already, the nearest forward from the
 *    hint that has a run long enough; inside the line the tightest fit. A request of a 2 MiB region or more stays
 *    aligned to the region in it. Only a few groups are looked at.
 * 3. Then, and at once for a larger request, a wholly free line is broken; a larger request looks at a few groups for
 *    a long row of such lines.
 * 4. Without any of these, the longest piece in the next partly used group: better a piece than a long search.
 *
 * A group that somebody else is busy in is passed over while there are others: two threads without hints part ways
 * the first time that they meet (each then breaks a line in its own part of the pool).
 *
 * The reservation promises that there is a free block, not where. A block may become free behind a search while
 * another is taken in front of it, so a search that ends empty-handed starts again; it does so only because others
 * made progress.
 */
#include <sched.h>

#include "space/space_impl.h"

/* How many groups a search for a good place looks at. */
#define FIT_PROBES 4u
#define ROW_PROBES 16u

/* The members of a tree once around, from start. */
struct round_trip {
	const struct daxl_sum *sum;
	uint64_t start, next;
	bool wrapped;
};

static bool round_trip_next(struct round_trip *trip, uint64_t *ret_index)
{
	for (;;) {
		uint64_t index = daxl_sum_next(trip->sum, trip->next);

		if (index != DAXL_SUM_NONE && (!trip->wrapped || index < trip->start)) {
			trip->next = index + 1;
			*ret_index = index;
			return true;
		}
		if (trip->wrapped || trip->start == 0)
			return false;
		trip->wrapped = true;
		trip->next = 0;
	}
}

/* A free piece inside a group. */
struct piece {
	unsigned off, len;
};

/*
 * With blk's group locked on entry (of which off.. is free for n): takes them, unlocks, and goes on into the groups
 * behind while they continue.
 */
static daxl_nblk_t DAXL_UNLOCKS(SPIN) take_on(struct daxl_space *space, daxl_blk_t blk, unsigned n, daxl_nblk_t want)
{
	uint64_t index = daxl_group_of(blk);
	daxl_nblk_t got = n;

	daxl_group_take(space, index, daxl_group_offset(blk), n);
	daxl_spin_unlock(&space->groups[index].lock);
	want = daxl_min_u64(want, daxl_space_nblocks(space) - blk);
	while (got < want && daxl_group_offset(blk + got) == 0) {
		daxl_blk_t at = blk + got, end = at + daxl_group_piece(at, want - got);
		struct daxl_group *group = &space->groups[++index];

		daxl_spin_lock(&group->lock);
		n = (unsigned)(daxl_bits_next_used(space->bits, at, end) - at);
		if (n)
			daxl_group_take(space, index, 0, n);
		daxl_spin_unlock(&group->lock);
		got += n;
		if (n == 0)
			break;
	}
	return got;
}

/* Takes blocks from exactly blk on, when at least least (or all that the group still has) of them are free. */
static daxl_nblk_t take_at(struct daxl_space *space, daxl_blk_t blk, daxl_nblk_t want, daxl_nblk_t least)
{
	struct daxl_group *group = &space->groups[daxl_group_of(blk)];
	daxl_blk_t end;
	unsigned n;

	__builtin_prefetch(group, 1); /* one miss for both */
	if (daxl_space_bit(space, blk)) /* mostly so, and then without the lock */
		return 0;
	want = daxl_min_u64(want, daxl_space_nblocks(space) - blk);
	end = blk + daxl_group_piece(blk, want);
	daxl_spin_lock(&group->lock);
	n = (unsigned)(daxl_bits_next_used(space->bits, blk, end) - blk);
	if (n == 0 || (n < least && blk + n < end)) {
		daxl_spin_unlock(&group->lock);
		return 0;
	}
	return take_on(space, blk, n, want);
}

/*
 * The tightest piece that starts at a multiple of align (a power of two) and has at least want blocks in a line, else
 * the longest such piece, if that is longer than what *best has. bits are the group's, whose lock is held.
 */
static void fit_in_line(const uint64_t *bits, unsigned line, unsigned want, unsigned align, struct piece *best)
{
	unsigned end = (line + 1) * DAXL_LINE_BLOCKS;
	unsigned at = line * DAXL_LINE_BLOCKS;

	while (at < end) {
		unsigned from = ((unsigned)daxl_bits_next_free(bits, at, end) + align - 1) & ~(align - 1);
		unsigned len;

		if (from >= end)
			break;
		at = (unsigned)daxl_bits_next_used(bits, from, end);
		len = at - from;
		if (len == want) {
			*best = (struct piece){from, len};
			return;
		}
		if (best->len < want ? len > best->len : len > want && len < best->len)
			*best = (struct piece){from, len};
		at = at > from ? at : from + 1;
	}
}

/*
 * The best piece for want in the partly used lines of a locked group, those from offset near on first; len 0 when
 * there is none.
 */
static struct piece DAXL_HOLDS(SPIN)
fit_in_group(const struct daxl_space *space, uint64_t index, unsigned near, unsigned want,
                                 unsigned align)
{
	const struct daxl_group *group = &space->groups[index];
	const uint64_t *bits = &space->bits[index * DAXL_GROUP_WORDS];
	unsigned near_line = near / DAXL_LINE_BLOCKS;
	unsigned part = group->touched & ~(unsigned)group->full;
	struct piece best = {0, 0};

	for (unsigned i = 0; i < DAXL_GROUP_LINES && best.len < want; i++) {
		unsigned line = (near_line + i) % DAXL_GROUP_LINES;

		if (!(part >> line & 1))
			continue;
		if (want == 1) { /* any block: the nearest forward, else the line's first */
			unsigned from = line * DAXL_LINE_BLOCKS, end = from + DAXL_LINE_BLOCKS;
			unsigned at = end;

			if (i == 0)
				at = (unsigned)daxl_bits_next_free(bits, near, end);
			if (at == end)
				at = (unsigned)daxl_bits_next_free(bits, from, end);
			return (struct piece){at, 1};
		}
		if (best.len == 0 || DAXL_LINE_BLOCKS - group->line_used[line] > best.len)
			fit_in_line(bits, line, want, align, &best);
	}
	return best;
}

/*
 * Takes from a partly used line near goal: a piece of at least want blocks out of a group that nobody is busy in, or
 * with any the longest of the first group that has one. Sets *ret_met when it met somebody.
 */
static daxl_nblk_t take_part(struct daxl_space *space, daxl_nblk_t want, unsigned align, daxl_blk_t goal, bool any,
                             daxl_blk_t *ret_blk, bool *ret_met)
{
	uint64_t goal_index = daxl_group_of(goal);
	struct round_trip trip = {.sum = &space->part, .start = goal_index, .next = goal_index};
	unsigned most = (unsigned)daxl_min_u64(want, DAXL_LINE_BLOCKS);
	uint64_t index;

	for (unsigned probe = 0; (any || probe < FIT_PROBES) && round_trip_next(&trip, &index); probe++) {
		struct daxl_group *group = &space->groups[index];
		struct piece fit;

		if (any) {
			daxl_spin_lock(&group->lock);
		} else if (!daxl_spin_trylock(&group->lock)) {
			*ret_met = true;
			continue;
		}
		fit = fit_in_group(space, index, index == goal_index ? daxl_group_offset(goal) : 0, most, align);
		if (fit.len >= most || (any && fit.len)) {
			*ret_blk = (index << DAXL_GROUP_SHIFT) + fit.off;
			return take_on(space, *ret_blk, fit.len < most ? fit.len : most, want);
		}
		daxl_spin_unlock(&group->lock);
	}
	return 0;
}

/* The first row of at least want lines whose bits are clear in touched, else the longest; in lines. */
static struct piece find_row(unsigned touched, unsigned near_line, unsigned want)
{
	struct piece best = {0, 0};

	for (unsigned i = 0; i < DAXL_GROUP_LINES && best.len < want; i++) {
		unsigned line = (near_line + i) % DAXL_GROUP_LINES;
		unsigned len = 0;

		while (line + len < DAXL_GROUP_LINES && !(touched >> (line + len) & 1))
			len++;
		if (len > best.len)
			best = (struct piece){line, len};
	}
	return best;
}

/* Takes from wholly free lines near goal, out of a group with a long row of them where one is soon found. */
static daxl_nblk_t take_whole(struct daxl_space *space, daxl_nblk_t want, daxl_blk_t goal, daxl_blk_t *ret_blk)
{
	uint64_t goal_index = daxl_group_of(goal);
	struct round_trip trip = {.sum = &space->whole, .start = goal_index, .next = goal_index};
	unsigned lines = (unsigned)daxl_min_u64((want + DAXL_LINE_BLOCKS - 1) / DAXL_LINE_BLOCKS, DAXL_GROUP_LINES);
	unsigned probes = lines > 1 ? ROW_PROBES : 1;
	struct piece best = {0, 0};
	uint64_t best_index = 0, index;

	for (unsigned probe = 0; probe < probes && round_trip_next(&trip, &index); probe++) {
		struct daxl_group *group = &space->groups[index];
		unsigned near = index == goal_index ? daxl_group_offset(goal) / DAXL_LINE_BLOCKS : 0;
		struct piece row;

		daxl_spin_lock(&group->lock);
		row = find_row(group->touched, near, lines);
		daxl_spin_unlock(&group->lock);
		if (row.len > best.len) {
			best = row;
			best_index = index;
		}
		if (best.len >= lines)
			break;
	}
	if (best.len == 0)
		return 0;
	*ret_blk = (best_index << DAXL_GROUP_SHIFT) + best.off * DAXL_LINE_BLOCKS;
	return take_at(space, *ret_blk, want, daxl_min_u64(want, DAXL_LINE_BLOCKS));
}

/* A thread's own part of the pool. */
static daxl_blk_t home_of(const struct daxl_space *space, const struct daxl_space_slot *slot)
{
	static const unsigned char spread[DAXL_SPACE_SLOTS] = {0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15};

	return daxl_space_nblocks(space) / DAXL_SPACE_SLOTS * spread[slot - space->slots];
}

/* Where a thread looks when nobody tells it: behind what it took last, at first at home. */
static daxl_blk_t cursor_of(const struct daxl_space *space, const struct daxl_space_slot *slot)
{
	daxl_blk_t cursor = __atomic_load_n(&slot->cursor, __ATOMIC_RELAXED);

	if (cursor == 0)
		return home_of(space, slot);
	return cursor < daxl_space_nblocks(space) ? cursor : 0;
}

/* Takes the best that can be had near goal; 0 when blocks moved around under the search. */
static daxl_nblk_t take_near(struct daxl_space *space, daxl_nblk_t want, daxl_blk_t goal, daxl_blk_t home,
                             daxl_blk_t *ret_blk)
{
	unsigned align = want >= space->region && space->region < DAXL_LINE_BLOCKS ? (unsigned)space->region : 1;
	daxl_nblk_t got = 0;
	bool met = false;

	if (want < DAXL_LINE_BLOCKS)
		got = take_part(space, want, align, goal, false, ret_blk, &met);
	if (!got)
		got = take_whole(space, want, met ? home : goal, ret_blk);
	if (!got && align > 1) /* no free line: a free region in one that is partly used is the next best */
		got = take_part(space, space->region, align, goal, false, ret_blk, &met);
	if (!got)
		got = take_part(space, want, 1, goal, true, ret_blk, &met);
	return got;
}

void daxl_space_take(struct daxl_space *space, daxl_nblk_t want, daxl_blk_t hint, struct daxl_blkrun *ret)
{
	struct daxl_space_slot *slot = daxl_space_slot(space);
	bool hinted = hint != 0 && hint < daxl_space_nblocks(space);
	daxl_blk_t goal = hinted ? hint : cursor_of(space, slot);
	daxl_nblk_t got = 0;
	daxl_blk_t blk = goal;

	assert(want > 0);
	/* A request of a region or more goes on at the hint only where that keeps it aligned. */
	if (hinted && want < space->region)
		got = take_at(space, hint, want, 1);
	else if (hinted && hint % space->region == 0)
		got = take_at(space, hint, want, space->region);
	for (unsigned round = 0; daxl_unlikely(got == 0); round++) {
		got = take_near(space, want, goal, home_of(space, slot), &blk);
		if (got == 0 && round > 16)
			sched_yield();
	}
	if (!hinted)
		__atomic_store_n(&slot->cursor, blk + got, __ATOMIC_RELAXED);
	__atomic_fetch_add(&slot->used, (int64_t)got, __ATOMIC_RELAXED);
	assert(got <= want);
	ret->blk = blk;
	ret->len = got;
}

/* The first group at or behind index with a free block. */
static uint64_t next_group(const struct daxl_space *space, uint64_t index)
{
	uint64_t part = daxl_sum_next(&space->part, index);

	return part == index ? part : daxl_min_u64(part, daxl_sum_next(&space->whole, index));
}

/* Finds want free blocks from a multiple of align on, in [from, to); a snapshot: claim them to be sure. */
static bool find_run(const struct daxl_space *space, daxl_blk_t from, daxl_blk_t to, daxl_nblk_t want,
                     daxl_nblk_t align, daxl_blk_t *ret_blk)
{
	while (from < to) {
		uint64_t index = daxl_group_of(from), next = next_group(space, index);
		daxl_blk_t end = (index + 1) << DAXL_GROUP_SHIFT;
		daxl_blk_t start, used;

		if (next == DAXL_SUM_NONE)
			return false;
		if (next > index) {
			from = next << DAXL_GROUP_SHIFT;
			continue;
		}
		start = daxl_bits_next_free(space->bits, from, daxl_min_u64(end, to));
		if (start == end) {
			from = end;
			continue;
		}
		start = daxl_round_up(start, align);
		if (start >= to || to - start < want)
			return false;
		used = daxl_bits_next_used(space->bits, start, start + want);
		if (used == start + want) {
			*ret_blk = start;
			return true;
		}
		from = used + 1;
	}
	return false;
}

/* Finds and takes such a run; false when there is none. */
static bool take_run(struct daxl_space *space, daxl_blk_t from, daxl_blk_t to, daxl_nblk_t want, daxl_nblk_t align,
                     daxl_blk_t *ret_blk)
{
	daxl_blk_t blk = from;

	while (find_run(space, blk, to, want, align, &blk)) {
		if (daxl_space_claim(space, blk, want)) { /* else somebody was faster: look again from there */
			daxl_space_count_used(space, (int64_t)want);
			*ret_blk = blk;
			return true;
		}
	}
	return false;
}

bool daxl_space_take_aligned(struct daxl_space *space, daxl_nblk_t want, daxl_nblk_t align, struct daxl_blkrun *ret)
{
	daxl_blk_t goal = cursor_of(space, daxl_space_slot(space));
	daxl_nblk_t nblocks = daxl_space_nblocks(space);

	assert(want > 0 && align > 0);
	if (want > nblocks)
		return false;
	if (!take_run(space, goal, nblocks, want, align, &ret->blk) &&
	    !take_run(space, 0, nblocks, want, align, &ret->blk))
		return false;
	ret->len = want;
	return true;
}

bool daxl_space_take_one_in(struct daxl_space *space, daxl_blk_t from, daxl_blk_t to, daxl_blk_t *ret_blk)
{
	return take_run(space, from, daxl_min_u64(to, daxl_space_nblocks(space)), 1, 1, ret_blk);
}
