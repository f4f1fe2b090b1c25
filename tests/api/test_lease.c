/* SPDX-License-Identifier: BSD-3-Clause */
/* Leases as a holder sees them: extents, pins, commit and its rules, parts, downgrade, recalls by function and event. */
#include "api.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <time.h>

static struct daxl_pool *pool;
static const char *path;
static struct daxl_file *file;

static void setup(uint64_t size)
{
	pool = api_pool(&path);
	file = api_file(pool, "f", size);
}

static void teardown(void)
{
	ok(daxl_close(file));
	ok(daxl_pool_close(pool));
	is(daxl_check(path, 0, NULL, NULL), 0);
}

static struct daxl_lease_opts options(uint32_t mode, uint32_t flags, uint64_t owner)
{
	struct daxl_lease_opts opts = DAXL_LEASE_OPTS_INIT;

	opts.mode = mode;
	opts.flags = flags;
	opts.owner = owner;
	return opts;
}

static struct daxl_lease *acquire(off_t off, off_t len, const struct daxl_lease_opts *opts)
{
	struct daxl_lease *lease = NULL;

	ok(daxl_lease_acquire(file, off, len, opts, &lease));
	return lease;
}

static struct daxl_lease_stat stat_of(struct daxl_lease *lease)
{
	struct daxl_lease_stat st;

	ok(daxl_lease_stat(lease, &st));
	return st;
}

static void state_is(const struct daxl_lease *lease, int state)
{
	ck_assert_int_eq(daxl_lease_state(lease), state);
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * UINT64_C(1000000000) + (uint64_t)ts.tv_nsec;
}

/* The address of byte off of the lease. */
static unsigned char *at(struct daxl_lease *lease, uint64_t off)
{
	struct daxl_extent exts[16];
	ssize_t n = daxl_lease_extents(lease, exts, 16);

	ck_assert_int_le(n, 16);
	for (ssize_t i = 0; i < n; i++)
		if (exts[i].file_off <= off && off < exts[i].file_off + exts[i].len) {
			ck_assert_ptr_nonnull(exts[i].addr);
			return (unsigned char *)exts[i].addr + (off - exts[i].file_off);
		}
	ck_abort_msg("byte %" PRIu64 " is not in the lease", off);
	return NULL;
}

static void nowait_truncate(off_t size)
{
	struct daxl_wait wait = api_wait(0, DAXL_ON_TIMEOUT_FAIL, 0);

	is(daxl_truncate(file, size, &wait), -EAGAIN);
}

/* --- grants --- */

START_TEST(a_read_lease_shows_holes_and_unwritten)
{
	struct daxl_extent exts[8];

	setup(BLK);
	ok(daxl_truncate(file, 6 * BLK, NULL));
	ok(daxl_fallocate(file, 0, 3 * BLK, BLK, NULL));
	struct daxl_lease *lease = acquire(0, DAXL_TO_END, NULL);
	uint64_t generation = api_generation(file);

	is(daxl_lease_extents(lease, exts, 8), 4);
	is(daxl_lease_extents(lease, NULL, 0), 4);
	is(exts[1].flags, DAXL_EXTENT_HOLE);
	is(exts[2].flags, DAXL_EXTENT_UNWRITTEN);
	ck_assert_ptr_null(exts[2].addr);
	is(exts[3].file_off + exts[3].len, 6 * BLK);
	ck_assert_ptr_eq(exts[0].addr, (char *)daxl_pool_base(pool) + exts[0].pool_off);
	struct daxl_lease_stat st = stat_of(lease);

	is(st.off, 0);
	is((off_t)st.len, DAXL_TO_END);
	is(st.generation, generation);
	daxl_lease_free(lease);
	teardown();
}
END_TEST

START_TEST(a_write_lease_has_blocks_everywhere)
{
	struct daxl_extent exts[8];
	struct daxl_lease_opts opts = options(DAXL_LEASE_WRITE, 0, 0);

	setup(BLK);
	ok(daxl_truncate(file, 4 * BLK + 10, NULL));
	ok(daxl_clone_range(file, 0, file, 2 * BLK, BLK, NULL));
	struct daxl_lease *lease = acquire(0, DAXL_TO_END, &opts); /* to the size rounded up */
	struct daxl_lease_stat st = stat_of(lease);

	is(st.off, 0);
	is(st.len, 5 * BLK);
	ssize_t n = daxl_lease_extents(lease, exts, 8);

	for (ssize_t i = 0; i < n; i++) {
		is(exts[i].flags, 0); /* nothing unwritten, nothing shared */
		ck_assert_ptr_nonnull(exts[i].addr);
	}
	daxl_lease_free(lease);
	api_is_pattern(file, 0, BLK, 0);
	api_is_pattern(file, 2 * BLK, BLK, 0);
	api_is_filled(file, BLK, BLK, 0);
	api_is_filled(file, 3 * BLK, BLK + 10, 0);
	/* past the end: allocated, unwritten until commit, with an address all the same */
	lease = acquire(8 * BLK + 1, 1, &opts);
	st = stat_of(lease);
	is(st.off, 8 * BLK);
	is(st.len, BLK);
	is(daxl_lease_extents(lease, exts, 8), 1);
	is(exts[0].flags, DAXL_EXTENT_UNWRITTEN);
	ck_assert_ptr_nonnull(exts[0].addr);
	is(api_size(file), 4 * BLK + 10);
	daxl_lease_free(lease);
	teardown();
}
END_TEST

START_TEST(a_grant_that_finds_its_blocks_stores_nothing)
{
	static struct daxl_stats was, now;
	struct daxl_lease_opts opts = options(DAXL_LEASE_WRITE, 0, 0);

	setup(4 * BLK);
	ok(daxl_stats(pool, &was));
	daxl_lease_free(acquire(0, 4 * BLK, &opts));
	daxl_lease_free(acquire(0, DAXL_TO_END, NULL));
	ok(daxl_stats(pool, &now));
	is(now.op[DAXL_STAT_ACQUIRE].calls - was.op[DAXL_STAT_ACQUIRE].calls, 2);
	is(now.op[DAXL_STAT_ACQUIRE].fences - was.op[DAXL_STAT_ACQUIRE].fences, 0);
	is(now.op[DAXL_STAT_ACQUIRE].lines - was.op[DAXL_STAT_ACQUIRE].lines, 0);
	teardown();
}
END_TEST

START_TEST(who_stands_beside_whom)
{
	struct daxl_wait none = api_wait(0, 0, 0);
	uint64_t me = daxl_owner_new(), you = daxl_owner_new();

	setup(4 * BLK);
	/* mode, flags of the first; of the second; whether another owner's second recalls the first */
	static const struct {
		uint32_t mode, flags, mode2, flags2;
		bool conflict;
	} pairs[] = {
		{DAXL_LEASE_READ, 0, DAXL_LEASE_READ, 0, false},
		{DAXL_LEASE_READ, 0, DAXL_LEASE_WRITE, 0, false},
		{DAXL_LEASE_WRITE, 0, DAXL_LEASE_WRITE, 0, false},
		{DAXL_LEASE_READ, DAXL_LEASE_EXCLUSIVE, DAXL_LEASE_READ, 0, true},
		{DAXL_LEASE_READ, 0, DAXL_LEASE_READ, DAXL_LEASE_EXCLUSIVE, true},
		{DAXL_LEASE_WRITE, 0, DAXL_LEASE_WRITE, DAXL_LEASE_EXCLUSIVE, true},
		{DAXL_LEASE_READ, DAXL_LEASE_STABLE, DAXL_LEASE_READ, 0, false},
		{DAXL_LEASE_READ, DAXL_LEASE_STABLE, DAXL_LEASE_READ, DAXL_LEASE_STABLE, false},
		{DAXL_LEASE_READ, DAXL_LEASE_STABLE, DAXL_LEASE_WRITE, 0, true},
		{DAXL_LEASE_WRITE, 0, DAXL_LEASE_READ, DAXL_LEASE_STABLE, true},
	};

	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
		for (int own = 0; own < 2; own++) {
			struct daxl_lease_opts first = options(pairs[i].mode, pairs[i].flags, me);
			struct daxl_lease_opts second = options(pairs[i].mode2, pairs[i].flags2, own ? me : you);
			struct daxl_lease *a = acquire(0, 2 * BLK, &first), *b = UNTOUCHED;
			bool conflict = pairs[i].conflict && !own;

			second.wait = &none;
			ok(daxl_lease_acquire(file, 2 * BLK, BLK, &second, &b)); /* beside it is free */
			daxl_lease_free(b);
			b = UNTOUCHED;
			int rc = daxl_lease_acquire(file, BLK, BLK, &second, &b);

			is(rc, conflict ? -EAGAIN : 0);
			state_is(a, conflict ? DAXL_LEASE_RECALLED : DAXL_LEASE_LIVE);
			if (conflict) {
				ck_assert_ptr_eq(b, UNTOUCHED);
				is(stat_of(a).reason, DAXL_REASON_GRANT);
				second.wait = NULL;
				second.flags |= DAXL_LEASE_NOWAIT; /* the flag means the same */
				fails(daxl_lease_acquire(file, BLK, BLK, &second, &b), EAGAIN);
				ok(daxl_lease_return(a));
				ok(daxl_lease_acquire(file, BLK, BLK, &second, &b));
			}
			daxl_lease_free(b);
			daxl_lease_free(a);
		}
	teardown();
}
END_TEST

START_TEST(lease_stat_tells_it_all)
{
	static const uint64_t zero[8];
	uint64_t owner = daxl_owner_new();
	struct daxl_lease_opts opts = options(DAXL_LEASE_WRITE, DAXL_LEASE_EXCLUSIVE | DAXL_LEASE_STABLE, owner);
	struct daxl_pool_stat pool_stat;

	setup(4 * BLK);
	opts.break_ms = 1234567;
	struct daxl_lease *lease = acquire(BLK + 1, BLK, &opts);
	struct daxl_lease_stat st = stat_of(lease), second;

	ok(daxl_pool_stat(pool, &pool_stat));
	ck_assert_uint_ne(st.id, 0);
	is(st.off, BLK);
	is(st.len, 2 * BLK);
	is(st.mode, DAXL_LEASE_WRITE);
	is(st.flags, DAXL_LEASE_EXCLUSIVE | DAXL_LEASE_STABLE);
	is(st.state, DAXL_LEASE_LIVE);
	is(st.reason, DAXL_REASON_NONE);
	is(st.pins, 0);
	is(st.owner, owner);
	is(st.generation, api_generation(file));
	ck_assert_uint_eq(st.epoch, pool_stat.epoch);
	is(st.deadline_ns, 0);
	ck_assert_int_eq(memcmp(st.reserved, zero, sizeof(zero)), 0);
	ok(daxl_lease_pin(lease));
	is(stat_of(lease).pins, 1);
	uint64_t before = now_ns();

	nowait_truncate(0);
	st = stat_of(lease);
	is(st.state, DAXL_LEASE_RECALLED);
	is(st.reason, DAXL_REASON_TRUNCATE);
	ck_assert_uint_ge(st.deadline_ns, before + UINT64_C(1234567000000));
	ck_assert_uint_le(st.deadline_ns, now_ns() + UINT64_C(1234567000000));
	ck_assert_int_eq(daxl_lease_pin(lease), -ESTALE);
	daxl_lease_unpin(lease);
	ok(daxl_lease_return(lease));
	is(stat_of(lease).state, DAXL_LEASE_RETURNED);
	struct daxl_lease *other = acquire(0, BLK, NULL);

	second = stat_of(other);
	ck_assert_uint_ne(second.id, st.id);
	daxl_lease_free(other);
	daxl_lease_free(lease);
	teardown();
}
END_TEST

/* --- busy --- */

START_TEST(busy_lists_who_is_in_the_way)
{
	struct daxl_holder holders[4] = {{0}};
	uint64_t owner = daxl_owner_new();
	struct daxl_lease_opts opts = options(DAXL_LEASE_WRITE, 0, owner);

	setup(8 * BLK);
	struct daxl_lease *a = acquire(0, 2 * BLK, &opts), *b = acquire(4 * BLK, DAXL_TO_END, NULL);

	ok(daxl_lease_pin(a));
	ok(daxl_lease_pin(a));
	is(daxl_busy(file, 0, DAXL_TO_END, NULL, 0), 2);
	is(daxl_busy(file, 2 * BLK, 2 * BLK, holders, 4), 0);
	is(daxl_busy(file, 2 * BLK - 1, 1, holders, 4), 1);
	is(holders[0].lease_id, stat_of(a).id);
	is(holders[0].owner, owner);
	is(holders[0].off, 0);
	is(holders[0].len, 2 * BLK);
	is(holders[0].mode, DAXL_LEASE_WRITE);
	is(holders[0].flags, 0);
	is(holders[0].state, DAXL_LEASE_LIVE);
	is(holders[0].reason, DAXL_REASON_NONE);
	is(holders[0].pins, 2);
	is(holders[0].deadline_ns, 0);
	is(holders[0].limbo_blocks, 0);
	is(daxl_busy(file, INT64_MAX - 1, 1, holders, 4), 1); /* b has no end */
	is(holders[0].lease_id, stat_of(b).id);
	is((off_t)holders[0].len, DAXL_TO_END);
	holders[1].lease_id = 4711;
	is(daxl_busy(file, 0, DAXL_TO_END, holders, 1), 2); /* the needed count */
	is(holders[1].lease_id, 4711);
	/* returned with pins is still in the way; without, no more */
	ok(daxl_lease_return(a));
	ok(daxl_lease_return(b));
	is(daxl_busy(file, 0, DAXL_TO_END, holders, 4), 1);
	is(holders[0].state, DAXL_LEASE_RETURNED);
	daxl_lease_unpin(a);
	is(daxl_busy(file, 0, DAXL_TO_END, holders, 4), 1);
	daxl_lease_unpin(a);
	is(daxl_busy(file, 0, DAXL_TO_END, holders, 4), 0);
	daxl_lease_free(a);
	daxl_lease_free(b);
	teardown();
}
END_TEST

START_TEST(blocks_in_limbo_are_shown_until_they_drain)
{
	struct daxl_holder holders[2];
	struct daxl_pool_stat st;
	struct daxl_lease_opts opts = options(DAXL_LEASE_WRITE, DAXL_LEASE_QUEUE_EVENTS, 0);
	struct daxl_wait limbo = api_wait(50, DAXL_ON_TIMEOUT_LIMBO, 0);
	struct daxl_event event;

	setup(8 * BLK);
	opts.break_ms = 1;
	struct daxl_lease *lease = acquire(0, 8 * BLK, &opts);
	unsigned char *byte = at(lease, 5 * BLK);

	ok(daxl_lease_pin(lease));
	ok(daxl_fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4 * BLK, 2 * BLK, &limbo));
	state_is(lease, DAXL_LEASE_REVOKED);
	ck_assert_uint_eq(*byte, api_byte(5 * BLK)); /* nobody has touched it */
	*byte = 0xee;
	api_is_filled(file, 4 * BLK, 2 * BLK, 0);
	ok(daxl_pool_stat(pool, &st));
	is(st.limbo_blocks, 2);
	is(daxl_busy(file, 0, DAXL_TO_END, holders, 2), 1);
	is(holders[0].limbo_blocks, 2);
	is(holders[0].state, DAXL_LEASE_REVOKED);
	fails(daxl_lease_commit(lease, 0, BLK, -1), ESTALE);
	is(daxl_event_next(pool, &event), 1);
	is(event.kind, DAXL_EVENT_RECALL);
	is(daxl_event_next(pool, &event), 0);
	ok(daxl_lease_return(lease));
	ok(daxl_pool_stat(pool, &st));
	is(st.limbo_blocks, 2);
	daxl_lease_unpin(lease);
	ok(daxl_pool_stat(pool, &st));
	is(st.limbo_blocks, 0);
	is(daxl_event_next(pool, &event), 1);
	is(event.kind, DAXL_EVENT_LIMBO_DRAINED);
	ck_assert_ptr_eq(event.lease, lease);
	is(event.lease_id, stat_of(lease).id);
	is(event.reason, DAXL_REASON_NONE);
	state_is(lease, DAXL_LEASE_RETURNED);
	daxl_lease_free(lease);
	teardown();
}
END_TEST

/* --- parts, downgrade --- */

START_TEST(a_lease_is_returned_in_parts)
{
	struct daxl_extent exts[4];
	struct daxl_wait none = api_wait(0, 0, 0);
	struct daxl_lease_opts opts = options(DAXL_LEASE_WRITE, 0, 0);

	setup(10 * BLK);
	struct daxl_lease *lease = acquire(0, 10 * BLK, &opts);

	ok(daxl_lease_return_range(lease, 0, BLK - 1)); /* rounded inwards: nothing */
	is(stat_of(lease).off, 0);
	ok(daxl_lease_return_range(lease, 0, BLK));
	ok(daxl_lease_return_range(lease, 9 * BLK, DAXL_TO_END));
	is(stat_of(lease).off, BLK);
	is(stat_of(lease).len, 8 * BLK);
	ok(daxl_lease_return_range(lease, 4 * BLK - 1, BLK + 2)); /* block 4: two pieces are left */
	state_is(lease, DAXL_LEASE_LIVE);
	is(daxl_lease_extents(lease, exts, 4), 2);
	is(exts[0].file_off, BLK);
	is(exts[0].len, 3 * BLK);
	is(exts[1].file_off, 5 * BLK);
	is(exts[1].len, 4 * BLK);
	fails(daxl_lease_persist(lease, 3 * BLK, 3 * BLK), ERANGE);
	fails(daxl_lease_commit(lease, 3 * BLK, 3 * BLK, -1), ERANGE);
	ok(daxl_lease_commit(lease, 5 * BLK, 4 * BLK, -1));
	is(daxl_busy(file, 4 * BLK, BLK, NULL, 0), 0);
	/* a break waits for what is left in its range only */
	ok(daxl_fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4 * BLK, BLK, &none));
	state_is(lease, DAXL_LEASE_LIVE);
	is(daxl_fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 5 * BLK, BLK, &none), -EAGAIN);
	state_is(lease, DAXL_LEASE_RECALLED);
	ok(daxl_lease_return_range(lease, 5 * BLK, BLK));
	state_is(lease, DAXL_LEASE_RECALLED);
	ok(daxl_fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 5 * BLK, BLK, &none));
	ok(daxl_lease_return_range(lease, 0, DAXL_TO_END)); /* nothing is left */
	state_is(lease, DAXL_LEASE_RETURNED);
	daxl_lease_free(lease);
	teardown();
}
END_TEST

START_TEST(a_write_lease_becomes_a_read_lease)
{
	uint64_t me = daxl_owner_new(), you = daxl_owner_new();
	struct daxl_lease_opts opts = options(DAXL_LEASE_WRITE, DAXL_LEASE_EXCLUSIVE, me);
	struct daxl_wait none = api_wait(0, 0, 0);

	setup(4 * BLK);
	struct daxl_lease *lease = acquire(0, 4 * BLK, &opts), *other;

	ok(daxl_lease_downgrade(lease));
	ok(daxl_lease_pin(lease));
	is(stat_of(lease).mode, DAXL_LEASE_READ);
	is(stat_of(lease).flags, 0);
	is(stat_of(lease).pins, 1);
	fails(daxl_lease_commit(lease, 0, BLK, -1), ERANGE);
	opts = options(DAXL_LEASE_READ, DAXL_LEASE_STABLE, you);
	opts.wait = &none;
	ok(daxl_lease_acquire(file, 0, BLK, &opts, &other));
	daxl_lease_free(other);
	state_is(lease, DAXL_LEASE_LIVE);
	ok(daxl_lease_downgrade(lease));
	nowait_truncate(0);
	ok(daxl_lease_downgrade(lease)); /* does not answer a recall */
	state_is(lease, DAXL_LEASE_RECALLED);
	daxl_lease_unpin(lease);
	daxl_lease_free(lease);
	/* work begun as a writer goes on writing */
	struct daxl_lease_opts write = options(DAXL_LEASE_WRITE, 0, me);

	lease = acquire(0, BLK, &write);
	ok(daxl_lease_pin(lease));
	ok(daxl_lease_downgrade(lease));
	fails(daxl_lease_acquire(file, 0, BLK, &opts, &other), EAGAIN);
	daxl_lease_unpin(lease);
	daxl_lease_free(lease);
	teardown();
}
END_TEST

/* --- commit --- */

START_TEST(commit_publishes_past_the_end)
{
	struct daxl_lease_opts opts = options(DAXL_LEASE_WRITE, 0, 0);
	struct daxl_extent ext;

	setup(BLK);
	struct daxl_lease *lease = acquire(BLK, 4 * BLK, &opts);

	ok(daxl_lease_pin(lease));
	memset(at(lease, BLK), 0xaa, 4 * BLK);
	is(api_size(file), BLK);
	ok(daxl_lease_commit(lease, BLK, 2 * BLK, 2 * BLK + 100));
	is(api_size(file), 2 * BLK + 100);
	api_is_filled(file, BLK, BLK + 100, 0xaa);
	/* a size that is not more leaves it, and so does -1 */
	ok(daxl_lease_commit(lease, BLK, BLK, BLK + 5));
	ok(daxl_lease_commit(lease, BLK, BLK, 0));
	ok(daxl_lease_commit(lease, BLK, BLK, -1));
	is(api_size(file), 2 * BLK + 100);
	/* nothing past the new size is zeroed, for the holder's next commit */
	ok(daxl_lease_commit(lease, 2 * BLK, BLK, 2 * BLK + 200));
	api_is_filled(file, BLK, BLK + 200, 0xaa);
	/* between the size and off it is zeroed */
	ok(daxl_lease_commit(lease, 4 * BLK, BLK, 5 * BLK));
	is(api_size(file), 5 * BLK);
	api_is_filled(file, 2 * BLK + 200, 2 * BLK - 200, 0);
	api_is_filled(file, 4 * BLK, BLK, 0xaa);
	is(daxl_map(file, BLK, 4 * BLK, &ext, 1), 1);
	is(ext.flags, 0);
	daxl_lease_unpin(lease);
	daxl_lease_free(lease);
	ok(daxl_close(file));
	pool = api_reopen(pool, path, 0);
	ok(daxl_open(pool, "f", O_RDWR, &file));
	is(api_size(file), 5 * BLK);
	api_is_filled(file, 4 * BLK, BLK, 0xaa);
	teardown();
}
END_TEST

START_TEST(commit_refuses_what_is_not_in_the_lease)
{
	struct daxl_lease_opts opts = options(DAXL_LEASE_WRITE, 0, 0);

	setup(BLK + 10);
	struct daxl_lease *lease = acquire(4 * BLK, 2 * BLK, &opts);

	unchanged(pool, {
		fails(daxl_lease_commit(lease, 4 * BLK - 1, 2, -1), ERANGE);
		fails(daxl_lease_commit(lease, 5 * BLK, BLK + 1, -1), ERANGE);
		fails(daxl_lease_commit(lease, 6 * BLK, 1, -1), ERANGE);
		fails(daxl_lease_commit(lease, 4 * BLK, BLK, 5 * BLK + 1), ERANGE); /* past off + len */
		fails(daxl_lease_commit(lease, 5 * BLK, BLK, 5 * BLK), ERANGE);     /* not more than off */
		/* what would have to be zeroed, between the size and off, is not in the lease */
		fails(daxl_lease_commit(lease, 4 * BLK, BLK, 5 * BLK), ERANGE);
		fails(daxl_lease_commit(lease, 5 * BLK, 10, 5 * BLK + 10), ERANGE);
	});
	ok(daxl_truncate(file, 4 * BLK, NULL)); /* growing concerns nobody but the old tail */
	ok(daxl_lease_commit(lease, 5 * BLK, 10, 5 * BLK + 10));
	is(api_size(file), 5 * BLK + 10);
	api_is_filled(file, 4 * BLK, BLK, 0);
	daxl_lease_free(lease);
	teardown();
}
END_TEST

START_TEST(commit_while_recalled_and_not_after)
{
	struct daxl_lease_opts opts = options(DAXL_LEASE_WRITE, 0, 0);

	setup(BLK);
	struct daxl_lease *lease = acquire(BLK, 2 * BLK, &opts);

	ok(daxl_lease_pin(lease));
	memset(at(lease, BLK), 0xbb, 2 * BLK);
	nowait_truncate(BLK);
	state_is(lease, DAXL_LEASE_RECALLED);
	ok(daxl_lease_persist(lease, BLK, BLK));
	ok(daxl_lease_commit(lease, BLK, BLK, 2 * BLK));
	api_is_filled(file, BLK, BLK, 0xbb);
	daxl_lease_unpin(lease);
	ok(daxl_lease_return(lease));
	unchanged(pool, fails(daxl_lease_commit(lease, 2 * BLK, BLK, 3 * BLK), ESTALE));
	/* what was not committed is not part of the file */
	ok(daxl_truncate(file, 3 * BLK, NULL));
	api_is_filled(file, 2 * BLK, BLK, 0);
	daxl_lease_free(lease);
	teardown();
}
END_TEST

START_TEST(commit_recalls_readers_of_unwritten_blocks_and_waits_for_none)
{
	struct daxl_lease_opts opts = options(DAXL_LEASE_WRITE, 0, daxl_owner_new());
	struct daxl_lease_opts fill_ok = options(DAXL_LEASE_READ, DAXL_LEASE_FILL_OK, daxl_owner_new());

	setup(BLK);
	struct daxl_lease *lease = acquire(BLK, 2 * BLK, &opts), *reader = acquire(0, DAXL_TO_END, NULL);
	struct daxl_lease *content = acquire(0, DAXL_TO_END, &fill_ok);

	ok(daxl_lease_pin(reader));
	ok(daxl_lease_commit(lease, BLK, BLK, 2 * BLK));
	state_is(reader, DAXL_LEASE_RECALLED);
	is(stat_of(reader).reason, DAXL_REASON_COMMIT);
	state_is(content, DAXL_LEASE_LIVE);
	daxl_lease_unpin(reader);
	daxl_lease_free(reader);
	daxl_lease_free(content);
	daxl_lease_free(lease);
	teardown();
}
END_TEST

START_TEST(persist_and_fsync_keep_what_the_cpu_stored)
{
	struct daxl_lease_opts opts = options(DAXL_LEASE_WRITE, 0, 0);

	setup(2 * BLK);
	struct daxl_lease *lease = acquire(0, 2 * BLK, &opts);

	ok(daxl_lease_pin(lease));
	*at(lease, 10) = 0xcc;
	*at(lease, BLK + 10) = 0xdd;
	ok(daxl_lease_persist(lease, 10, 1));
	ok(daxl_fsync(file));
	daxl_lease_unpin(lease);
	daxl_lease_free(lease);
	ok(daxl_close(file));
	pool = api_reopen(pool, path, 0);
	ok(daxl_open(pool, "f", O_RDWR, &file));
	api_is_filled(file, 10, 1, 0xcc);
	api_is_filled(file, BLK + 10, 1, 0xdd);
	teardown();
}
END_TEST

/* --- recalls --- */

struct told {
	int recalls, releases;
	struct daxl_recall last;
	struct daxl_lease *lease;
	bool give_back;
	int commit; /* its result */
};

static void on_recall(struct daxl_lease *lease, const struct daxl_recall *recall, void *arg)
{
	struct told *told = arg;

	told->recalls++;
	told->last = *recall;
	told->lease = lease;
	if (told->give_back) {
		told->commit = daxl_lease_commit(lease, recall->off, BLK, -1);
		ok(daxl_lease_return(lease));
	}
}

static void on_release(void *arg)
{
	((struct told *)arg)->releases++;
}

START_TEST(a_recall_is_told_once)
{
	static const uint64_t zero[4];
	struct told told = {0};
	struct daxl_lease_opts opts = options(DAXL_LEASE_READ, 0, 0);

	setup(8 * BLK);
	opts.recall = on_recall;
	opts.release = on_release;
	opts.arg = &told;
	struct daxl_lease *lease = acquire(2 * BLK, DAXL_TO_END, &opts);

	ok(daxl_lease_pin(lease));
	nowait_truncate(5 * BLK + 1);
	nowait_truncate(0);
	is(told.recalls, 1); /* L4 */
	ck_assert_ptr_eq(told.lease, lease);
	is(told.last.lease_id, stat_of(lease).id);
	is(told.last.off, 5 * BLK);
	is(told.last.len, DAXL_TO_END);
	is(told.last.level, DAXL_BREAK_UNMAP);
	is(told.last.reason, DAXL_REASON_TRUNCATE);
	is(told.last.deadline_ns, stat_of(lease).deadline_ns);
	ck_assert_int_eq(memcmp(told.last.reserved, zero, sizeof(zero)), 0);
	daxl_lease_free(lease);
	is(told.releases, 0); /* its pin is out */
	daxl_lease_unpin(lease);
	is(told.releases, 1);
	teardown();
}
END_TEST

START_TEST(the_recall_function_may_commit_and_return)
{
	struct told told = {.give_back = true, .commit = 4711};
	struct daxl_lease_opts opts = options(DAXL_LEASE_WRITE, 0, 0);

	setup(8 * BLK);
	opts.recall = on_recall;
	opts.release = on_release;
	opts.arg = &told;
	struct daxl_lease *lease = acquire(0, 8 * BLK, &opts);
	struct daxl_wait none = api_wait(DAXL_WAIT_FOREVER, 0, 0);

	ok(daxl_fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 2 * BLK, BLK, &none));
	is(told.recalls, 1);
	is(told.commit, 0);
	is(told.last.off, 2 * BLK);
	is(told.last.len, BLK);
	is(told.last.reason, DAXL_REASON_PUNCH);
	state_is(lease, DAXL_LEASE_RETURNED);
	daxl_lease_free(lease);
	is(told.releases, 1);
	teardown();
}
END_TEST

/* Each operation gives its reason, its level and its range. */
START_TEST(each_operation_says_who_asks)
{
	enum { PUNCH = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE };
	struct daxl_wait none = api_wait(0, 0, 0);
	struct iovec iov = {(void *)(uintptr_t) "x", 1};
	bool same;

	setup(8 * BLK);
	struct daxl_file *g = api_file(pool, "g", 8 * BLK);

	ok(daxl_clone_range(file, 7 * BLK, g, 7 * BLK, BLK, NULL)); /* the last block is shared */
	for (int which = 0; which < 15; which++) {
		struct told told = {0};
		struct daxl_lease_opts opts = options(DAXL_LEASE_READ, DAXL_LEASE_STABLE, daxl_owner_new());
		int reason = 0, level = DAXL_BREAK_UNMAP, rc = 0;
		off_t off = BLK, len = BLK;

		opts.recall = on_recall;
		opts.arg = &told;
		if (which == 6 || which == 11)
			off = 0; /* recalled from their offset on */
		struct daxl_lease *lease = acquire(0, DAXL_TO_END, &opts);

		off = BLK;
		switch (which) {
		case 0:
			rc = (int)daxl_pwritev(file, &iov, 1, BLK + 5, 0, &none);
			reason = DAXL_REASON_WRITE, level = DAXL_BREAK_WRITE;
			break;
		case 1:
			rc = daxl_fallocate(file, FALLOC_FL_KEEP_SIZE, BLK, BLK, &none);
			reason = DAXL_REASON_ALLOCATE, level = DAXL_BREAK_WRITE;
			break;
		case 2:
			rc = daxl_fallocate(file, FALLOC_FL_ZERO_RANGE, BLK, BLK, &none);
			reason = DAXL_REASON_ZERO;
			break;
		case 3:
			rc = daxl_fallocate(file, PUNCH, BLK, BLK, &none);
			reason = DAXL_REASON_PUNCH;
			break;
		case 4:
			rc = daxl_fallocate(file, FALLOC_FL_COLLAPSE_RANGE, BLK, BLK, &none);
			reason = DAXL_REASON_COLLAPSE, len = DAXL_TO_END;
			break;
		case 5:
			rc = daxl_fallocate(file, FALLOC_FL_INSERT_RANGE, BLK, BLK, &none);
			reason = DAXL_REASON_INSERT, len = DAXL_TO_END;
			break;
		case 6:
			rc = daxl_fallocate(file, FALLOC_FL_UNSHARE_RANGE, 0, 8 * BLK, &none);
			reason = DAXL_REASON_UNSHARE, off = 7 * BLK;
			break;
		case 7:
			rc = daxl_truncate(file, BLK + 5, &none);
			reason = DAXL_REASON_TRUNCATE, len = DAXL_TO_END;
			break;
		case 8:
			rc = daxl_clone_range(g, 0, file, BLK, BLK, &none);
			reason = DAXL_REASON_CLONE;
			break;
		case 9:
			rc = daxl_dedupe_range(g, 0, file, BLK, BLK, &none, &same);
			reason = DAXL_REASON_DEDUPE;
			break;
		case 10:
			rc = daxl_exchange_range(g, 0, file, BLK, BLK, &none);
			reason = DAXL_REASON_EXCHANGE;
			break;
		case 11:
			ok(daxl_set_wait(file, &none));
			rc = (int)daxl_copy_range(g, 0, file, BLK, BLK);
			ok(daxl_set_wait(file, NULL));
			reason = DAXL_REASON_COPY;
			break;
		case 12:
			rc = (int)daxl_pwritev(file, &iov, 1, BLK + 5, DAXL_WRITE_ATOMIC, &none);
			reason = DAXL_REASON_ATOMIC_WRITE;
			break;
		case 13:
			rc = daxl_break(file, BLK, BLK, DAXL_BREAK_WRITE, &none);
			reason = DAXL_REASON_BREAK, level = DAXL_BREAK_WRITE;
			break;
		default:
			rc = (int)daxl_pwritev(file, &iov, 1, 7 * BLK, 0, &none); /* copy-on-write */
			reason = DAXL_REASON_WRITE, off = 7 * BLK;
			break;
		}
		if (rc != -EAGAIN || told.recalls != 1 || told.last.reason != reason || told.last.level != level ||
		    told.last.off != off || told.last.len != len)
			ck_abort_msg("operation %d gave %d (%s); %d recalls, reason %d not %d, level %d not %d, range "
			             "%lld+%lld "
			             "not %lld+%lld",
			             which, rc, daxl_errormsg(), told.recalls, told.last.reason, reason,
			             told.last.level, level, (long long)told.last.off, (long long)told.last.len,
			             (long long)off, (long long)len);
		daxl_lease_free(lease);
	}
	ok(daxl_close(g));
	teardown();
}
END_TEST

START_TEST(closing_an_unlinked_file_recalls_and_does_not_wait)
{
	struct told told = {0};
	struct daxl_lease_opts opts = options(DAXL_LEASE_WRITE, 0, 0);
	struct daxl_pool_stat st;

	setup(8 * BLK);
	struct daxl_file *gone = api_file(pool, "gone", 4 * BLK);
	struct daxl_lease *lease = NULL;

	opts.recall = on_recall;
	opts.release = on_release;
	opts.arg = &told;
	ok(daxl_lease_acquire(gone, 0, 4 * BLK, &opts, &lease));
	unsigned char *byte = at(lease, 0);

	ok(daxl_lease_pin(lease));
	ok(daxl_unlink(pool, "gone"));
	is(told.recalls, 0);
	ok(daxl_close(gone));
	is(told.recalls, 1);
	is(told.last.reason, DAXL_REASON_UNLINK);
	ok(daxl_pool_stat(pool, &st));
	is(st.limbo_blocks, 4);
	ck_assert_uint_eq(*byte, api_byte(0));
	fails(daxl_lease_commit(lease, 0, BLK, -1), ESTALE);
	daxl_lease_free(lease);
	daxl_lease_unpin(lease);
	is(told.releases, 1);
	ok(daxl_pool_stat(pool, &st));
	is(st.limbo_blocks, 0);
	teardown();
}
END_TEST

/* --- events --- */

START_TEST(events_come_through_epoll)
{
	static const uint64_t zero[4];
	struct told told = {0};
	struct daxl_lease_opts opts = options(DAXL_LEASE_READ, DAXL_LEASE_QUEUE_EVENTS, 0);
	struct daxl_event event;
	struct epoll_event ready, interest = {.events = EPOLLIN};

	setup(8 * BLK);
	int fd = (int)ok(daxl_pool_event_fd(pool)), ep = epoll_create1(EPOLL_CLOEXEC);

	ck_assert_int_eq(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &interest), 0);
	memset(&event, 0x5a, sizeof(event));
	is(daxl_event_next(pool, &event), 0);
	is(event.kind, 0x5a5a5a5a); /* untouched */
	is(epoll_wait(ep, &ready, 1, 0), 0);
	opts.recall = on_recall; /* is not called */
	opts.arg = &told;
	struct daxl_lease *a = acquire(0, 2 * BLK, &opts), *b = acquire(BLK, 4 * BLK, &opts),
			  *c = acquire(0, BLK, &opts);
	uint64_t id_a = stat_of(a).id, id_b = stat_of(b).id;

	is(daxl_break(file, BLK, BLK, DAXL_BREAK_WRITE, &(struct daxl_wait){.size = sizeof(struct daxl_wait)}),
	   -EAGAIN);
	is(epoll_wait(ep, &ready, 1, 0), 1);
	is(daxl_event_next(pool, &event), 1);
	is(event.kind, DAXL_EVENT_RECALL);
	ck_assert(event.lease == a || event.lease == b);
	is(event.lease_id, event.lease == a ? id_a : id_b);
	ck_assert_ptr_null(event.handle);
	ck_assert_ptr_eq(event.arg, &told);
	is(event.off, BLK);
	is(event.len, BLK);
	is(event.level, DAXL_BREAK_WRITE);
	is(event.reason, DAXL_REASON_BREAK);
	is(event.deadline_ns, stat_of(event.lease).deadline_ns);
	ck_assert_int_eq(memcmp(event.reserved, zero, sizeof(zero)), 0);
	is(epoll_wait(ep, &ready, 1, 0), 1); /* there is another */
	/* freeing a lease drops its event, and with the last one the descriptor goes quiet */
	struct daxl_lease *other = event.lease == a ? b : a;

	daxl_lease_free(other);
	memset(&event, 0x5a, sizeof(event));
	is(daxl_event_next(pool, &event), 0);
	is(event.kind, 0x5a5a5a5a);
	is(epoll_wait(ep, &ready, 1, 0), 0);
	is(told.recalls, 0);
	state_is(c, DAXL_LEASE_LIVE);
	daxl_lease_free(other == a ? b : a);
	daxl_lease_free(c);
	close(ep);
	teardown();
}
END_TEST

START_TEST(one_thread_breaks_serves_and_goes_on)
{
	struct daxl_lease_opts opts = options(DAXL_LEASE_READ, DAXL_LEASE_QUEUE_EVENTS, 0);
	struct daxl_wait wait = api_wait(DAXL_WAIT_FOREVER, 0, 0), inside = api_wait(0, 0, 0);
	struct daxl_break_handle *handle, *second;
	struct daxl_event event;
	struct pollfd p = {.events = POLLIN};

	setup(8 * BLK);
	p.fd = (int)ok(daxl_pool_event_fd(pool));
	struct daxl_lease *lease = acquire(2 * BLK, DAXL_TO_END, &opts), *out = UNTOUCHED;

	ok(daxl_lease_pin(lease));
	ok(daxl_break_begin(file, 2 * BLK + 1, DAXL_TO_END, DAXL_BREAK_UNMAP, &wait, &handle));
	is(daxl_break_poll(handle), 0);
	is(poll(&p, 1, 0), 1);
	is(daxl_event_next(pool, &event), 1);
	is(event.kind, DAXL_EVENT_RECALL);
	/* the range is closed: what comes later stays behind it */
	opts.flags = DAXL_LEASE_NOWAIT;
	fails(daxl_lease_acquire(file, 4 * BLK, BLK, &opts, &out), EAGAIN);
	ok(daxl_break_begin(file, 4 * BLK, BLK, DAXL_BREAK_WRITE, &wait, &second));
	is(daxl_break_poll(second), 0);
	inside.held = handle;
	fails(daxl_truncate(file, 3 * BLK, &inside), EINVAL); /* not drained */
	ok(daxl_lease_return(lease));
	is(daxl_break_poll(handle), 0); /* its pin is out */
	daxl_lease_unpin(lease);
	is(poll(&p, 1, 0), 1);
	is(daxl_event_next(pool, &event), 1);
	is(event.kind, DAXL_EVENT_BREAK_READY);
	ck_assert_ptr_eq(event.handle, handle);
	ck_assert_ptr_null(event.lease);
	ck_assert_ptr_null(event.arg);
	is(event.lease_id, 0);
	is(event.off, 2 * BLK);
	is(event.len, DAXL_TO_END);
	is(event.level, DAXL_BREAK_UNMAP);
	is(event.reason, DAXL_REASON_NONE);
	is(event.deadline_ns, 0);
	is(daxl_break_poll(handle), 1);
	is(daxl_break_poll(handle), 1);
	is(daxl_event_next(pool, &event), 0);
	/* inside it; through any handle of the file; what it does not cover is refused */
	struct daxl_file *again;

	ok(daxl_open(pool, "f", O_RDWR, &again));
	unchanged(pool, {
		fails(daxl_truncate(again, BLK, &inside), EINVAL);
		fails(daxl_fallocate(again, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, BLK, 4 * BLK, &inside), EINVAL);
	});
	ok(daxl_truncate(again, 3 * BLK, &inside));
	ok(daxl_close(again));
	is(api_size(file), 3 * BLK);
	daxl_break_end(handle);
	is(daxl_break_poll(second), 1); /* its turn */
	is(daxl_event_next(pool, &event), 1);
	ck_assert_ptr_eq(event.handle, second);
	/* a break at level WRITE does not cover what unmaps */
	inside.held = second;
	fails(daxl_fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4 * BLK, BLK, &inside), EINVAL);
	daxl_break_end(second);
	daxl_lease_free(lease);
	teardown();
}
END_TEST

START_TEST(ending_a_break_drops_its_event)
{
	struct daxl_break_handle *handle;
	struct daxl_event event;
	struct pollfd p = {.events = POLLIN};

	setup(8 * BLK);
	p.fd = (int)ok(daxl_pool_event_fd(pool));
	ok(daxl_break_begin(file, 0, BLK, DAXL_BREAK_UNMAP, NULL, &handle)); /* nobody is there */
	is(daxl_break_poll(handle), 1);
	is(poll(&p, 1, 0), 1);
	daxl_break_end(handle);
	is(daxl_event_next(pool, &event), 0);
	is(poll(&p, 1, 0), 0);
	teardown();
}
END_TEST

int main(void)
{
	const struct api_case cases[] = {
		{"read", a_read_lease_shows_holes_and_unwritten},
		{"write", a_write_lease_has_blocks_everywhere},
		{"cheap", a_grant_that_finds_its_blocks_stores_nothing},
		{"beside", who_stands_beside_whom},
		{"stat", lease_stat_tells_it_all},
		{"busy", busy_lists_who_is_in_the_way},
		{"limbo", blocks_in_limbo_are_shown_until_they_drain},
		{"parts", a_lease_is_returned_in_parts},
		{"downgrade", a_write_lease_becomes_a_read_lease},
		{"commit_end", commit_publishes_past_the_end},
		{"commit_range", commit_refuses_what_is_not_in_the_lease},
		{"commit_recalled", commit_while_recalled_and_not_after},
		{"commit_readers", commit_recalls_readers_of_unwritten_blocks_and_waits_for_none},
		{"persist", persist_and_fsync_keep_what_the_cpu_stored},
		{"recall_once", a_recall_is_told_once},
		{"recall_commit", the_recall_function_may_commit_and_return},
		{"reasons", each_operation_says_who_asks},
		{"unlink", closing_an_unlinked_file_recalls_and_does_not_wait},
		{"epoll", events_come_through_epoll},
		{"break", one_thread_breaks_serves_and_goes_on},
		{"break_end", ending_a_break_drops_its_event},
	};

	return API_RUN("api.lease", cases);
}
