/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The errors of waiting, in every call that waits: with a holder in the way, given each kind of wait, the call ends as
 * <daxlayout/types.h> says and the files are as they were.
 */
#include "api.h"

#include <fcntl.h>

#include "base/hook.h"
#include "base/rcu.h"

static struct daxl_pool *pool;
static struct daxl_file *file, *other; /* "f" and "g", of 8 blocks; block 7 of f is shared with g */

static void setup(void)
{
	pool = api_pool(NULL);
	file = api_file(pool, "f", 8 * BLK);
	other = api_file(pool, "g", 8 * BLK);
	ok(daxl_clone_range(file, 7 * BLK, other, 7 * BLK, BLK, NULL));
}

static void teardown(void)
{
	ok(daxl_close(file));
	ok(daxl_close(other));
	ok(daxl_pool_close(pool));
}

/* --- the calls, over block 1 of f (or the shared one) --- */

static struct iovec two = {(void *)(uintptr_t) "xy", 2};

static int write_stable(const struct daxl_wait *wait)
{
	return (int)daxl_pwritev(file, &two, 1, BLK + 5, 0, wait);
}
static int write_shared(const struct daxl_wait *wait)
{
	return (int)daxl_pwritev(file, &two, 1, 7 * BLK, 0, wait);
}
static int
write_both(const struct daxl_wait *wait) /* in place and copy-on-write: nothing may be stored before the wait */
{
	return (int)daxl_pwritev(file, &two, 1, 7 * BLK - 1, 0, wait);
}
static int write_atomic(const struct daxl_wait *wait)
{
	return (int)daxl_pwritev(file, &two, 1, BLK + 5, DAXL_WRITE_ATOMIC, wait);
}
static int block_1(int mode, const struct daxl_wait *wait)
{
	return daxl_fallocate(file, mode, BLK, BLK, wait);
}
static int punch(const struct daxl_wait *wait)
{
	return block_1(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, wait);
}
static int punch_edges(const struct daxl_wait *wait)
{
	return daxl_fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, BLK + 5, 2 * BLK, wait);
}
static int zero(const struct daxl_wait *wait)
{
	return block_1(FALLOC_FL_ZERO_RANGE, wait);
}
static int collapse(const struct daxl_wait *wait)
{
	return block_1(FALLOC_FL_COLLAPSE_RANGE, wait);
}
static int insert(const struct daxl_wait *wait)
{
	return block_1(FALLOC_FL_INSERT_RANGE, wait);
}
static int unshare_all(const struct daxl_wait *wait)
{
	return daxl_fallocate(file, FALLOC_FL_UNSHARE_RANGE, 0, 8 * BLK, wait);
}
static int cut(const struct daxl_wait *wait)
{
	return daxl_truncate(file, BLK + 5, wait);
}
static int clone_to(const struct daxl_wait *wait)
{
	return daxl_clone_range(other, 0, file, BLK, BLK, wait);
}
static int dedupe_to(const struct daxl_wait *wait)
{
	bool same;

	return daxl_dedupe_range(other, BLK, file, BLK, BLK, wait, &same);
}
static int exchange_a(const struct daxl_wait *wait)
{
	return daxl_exchange_range(file, BLK, other, 0, BLK, wait);
}
static int exchange_b(const struct daxl_wait *wait)
{
	return daxl_exchange_range(other, 0, file, BLK, BLK, wait);
}
static int exchange_all(const struct daxl_wait *wait)
{
	return daxl_exchange_range(other, 0, file, 0, DAXL_TO_END, wait);
}
static int break_write(const struct daxl_wait *wait)
{
	return daxl_break(file, BLK, BLK, DAXL_BREAK_WRITE, wait);
}
static int break_unmap(const struct daxl_wait *wait)
{
	return daxl_break(file, BLK, BLK, DAXL_BREAK_UNMAP, wait);
}
/* These wait as the handle says. */
static int with_default(int (*call)(const struct daxl_wait *), const struct daxl_wait *wait)
{
	ok(daxl_set_wait(file, wait));
	int rc = call(NULL);

	ok(daxl_set_wait(file, NULL));
	return rc;
}
static int plain_write(const struct daxl_wait *wait)
{
	(void)wait;
	return (int)daxl_pwrite(file, "xy", 2, BLK + 5);
}
static int default_write(const struct daxl_wait *wait)
{
	return with_default(plain_write, wait);
}
static int plain_copy(const struct daxl_wait *wait)
{
	(void)wait;
	return (int)daxl_copy_range(other, 3, file, BLK + 5, 7);
}
static int default_copy(const struct daxl_wait *wait)
{
	return with_default(plain_copy, wait);
}
static int plain_copy_blocks(const struct daxl_wait *wait)
{
	(void)wait;
	return (int)daxl_copy_range(other, 0, file, BLK, BLK);
}
static int default_copy_blocks(const struct daxl_wait *wait)
{
	return with_default(plain_copy_blocks, wait);
}
static int default_punch(const struct daxl_wait *wait)
{
	return with_default(punch, wait);
}

static const struct {
	const char *name;
	int (*call)(const struct daxl_wait *wait);
	bool pins;     /* waits for pins too */
	bool limbo;    /* can take blocks out */
	bool no_limbo; /* and is refused when asked to */
} calls[] = {
	{"write_stable", write_stable, false, false, false},
	{"write_shared", write_shared, true, true, false},
	{"write_both", write_both, true, true, false},
	{"write_atomic", write_atomic, true, true, false},
	{"punch", punch, true, true, false},
	{"punch_edges", punch_edges, true, true, false},
	{"zero", zero, true, true, false},
	{"collapse", collapse, true, false, true},
	{"insert", insert, true, false, true},
	{"unshare", unshare_all, true, true, false},
	{"cut", cut, true, true, false},
	{"clone_to", clone_to, true, true, false},
	{"dedupe_to", dedupe_to, true, true, false},
	{"exchange_a", exchange_a, true, false, true},
	{"exchange_b", exchange_b, true, false, true},
	{"exchange_all", exchange_all, true, false, true},
	{"break_write", break_write, false, false, true},
	{"break_unmap", break_unmap, true, false, true},
	{"default_write", default_write, false, false, false},
	{"default_copy", default_copy, false, false, false},
	{"default_copy_blocks", default_copy_blocks, true, true, false},
	{"default_punch", default_punch, true, true, false},
};
#define CALLS (sizeof(calls) / sizeof(calls[0]))

/* As fails(), and says which call it was; the files are as they were. */
static void call_fails(size_t i, const struct daxl_wait *wait, int err, int line)
{
	unchanged(pool, {
		api_before();
		api_failed(calls[i].call(wait), err, calls[i].name, line);
	});
}
#define CALL_FAILS(i, wait, err) call_fails(i, wait, err, __LINE__)

/* A holder of all of f whom every call concerns (flags: STABLE, or 0 where blocks go anyway). */
static struct daxl_lease *holder_with(uint32_t flags, uint64_t owner, uint32_t break_ms, daxl_recall_fn recall,
                                      daxl_fence_fn fence, void *arg)
{
	struct daxl_lease_opts opts = DAXL_LEASE_OPTS_INIT;
	struct daxl_lease *lease = NULL;

	opts.flags = flags;
	opts.owner = owner;
	opts.break_ms = break_ms;
	opts.recall = recall;
	opts.fence = fence;
	opts.arg = arg;
	ok(daxl_lease_acquire(file, 0, DAXL_TO_END, &opts, &lease));
	return lease;
}

static struct daxl_lease *holder(uint64_t owner, uint32_t break_ms, daxl_recall_fn recall, daxl_fence_fn fence,
                                 void *arg)
{
	return holder_with(DAXL_LEASE_STABLE, owner, break_ms, recall, fence, arg);
}

static void state_is(const struct daxl_lease *lease, int state, size_t i)
{
	if (daxl_lease_state(lease) != state)
		ck_abort_msg("%s: the lease is in state %d, not %d", calls[i].name, daxl_lease_state(lease), state);
}

START_TEST(no_wait_and_a_time_that_is_over)
{
	struct daxl_wait none = api_wait(0, 0, 0), brief = api_wait(5, 0, 0);

	for (size_t i = 0; i < CALLS; i++) {
		setup();
		struct daxl_lease *lease = holder(1, 0, NULL, NULL, NULL);

		ok(daxl_lease_pin(lease));
		CALL_FAILS(i, &none, EAGAIN);
		state_is(lease, DAXL_LEASE_RECALLED, i); /* the recall has been sent */
		CALL_FAILS(i, &brief, ETIMEDOUT);
		if (calls[i].pins) { /* the return is not enough */
			ok(daxl_lease_return(lease));
			CALL_FAILS(i, &none, EAGAIN);
			CALL_FAILS(i, &brief, ETIMEDOUT);
		}
		daxl_lease_unpin(lease);
		daxl_lease_free(lease);
		ok(calls[i].call(&none));
		teardown();
	}
}
END_TEST

START_TEST(the_pools_default_is_its_break_time)
{
	struct daxl_pool_opts opts = DAXL_POOL_OPTS_INIT;
	struct daxl_file *gone = UNTOUCHED;

	opts.flags = DAXL_POOL_SPARSE;
	opts.lease_break_ms = 5;
	pool = api_pool_with(8 * MIB, &opts, NULL);
	file = api_file(pool, "f", 8 * BLK);
	struct daxl_lease *lease = holder(1, 0, NULL, NULL, NULL);

	ok(daxl_lease_pin(lease));
	unchanged(pool, {
		fails(daxl_truncate(file, 0, NULL), ETIMEDOUT);
		fails(daxl_open(pool, "f", O_RDWR | O_TRUNC, &gone), ETIMEDOUT);
	});
	ck_assert_ptr_eq(gone, UNTOUCHED);
	daxl_lease_unpin(lease);
	daxl_lease_free(lease);
	ok(daxl_open(pool, "f", O_RDWR | O_TRUNC, &gone));
	ok(daxl_close(gone));
	ok(daxl_close(file));
	ok(daxl_pool_close(pool));
}
END_TEST

/* --- cancel --- */

static void cancel_on_sleep(const char *point, void *arg)
{
	if (strcmp(point, "break:before-sleep") == 0)
		daxl_cancel_all(*(struct daxl_cancel **)arg);
}

START_TEST(cancelled_before_and_during)
{
	for (size_t i = 0; i < CALLS; i++) {
		struct daxl_wait wait = api_wait(DAXL_WAIT_FOREVER, 0, 0);

		setup();
		struct daxl_lease *lease = holder(1, 0, NULL, NULL, NULL);

		ok(daxl_lease_pin(lease));
		ok(daxl_cancel_new(&wait.cancel));
		char *was = api_state(pool); /* not while the hook is set */

		daxl_hook_set(cancel_on_sleep, &wait.cancel);
		int rc = calls[i].call(&wait);

		daxl_hook_set(NULL, NULL);
		api_is(rc, -ECANCELED, calls[i].name, __LINE__);
		api_same(was, pool, __LINE__);
		CALL_FAILS(i, &wait, ECANCELED); /* it stays thrown */
		daxl_lease_unpin(lease);
		daxl_lease_free(lease);
		daxl_cancel_free(wait.cancel);
		wait.cancel = NULL;
		ok(calls[i].call(&wait));
		teardown();
	}
}
END_TEST

/* --- fence and limbo --- */

static int fenced; /* calls */

static int fence_fails(struct daxl_lease *lease, void *arg)
{
	(void)lease, (void)arg;
	fenced++;
	return -1;
}
static int fence_works(struct daxl_lease *lease, void *arg)
{
	(void)lease, (void)arg;
	fenced++;
	return 0;
}

START_TEST(fence_at_the_deadline)
{
	struct daxl_wait wait = api_wait(5, DAXL_ON_TIMEOUT_FENCE, 0);

	for (size_t i = 0; i < CALLS; i++) {
		static struct daxl_stats stats;

		setup();
		fenced = 0;
		/* none, one that fails, one whose lease's own deadline is still to come, one that works */
		struct daxl_lease *lease = holder(1, 1, NULL, NULL, NULL);

		ok(daxl_lease_pin(lease));
		CALL_FAILS(i, &wait, ETIMEDOUT);
		daxl_lease_unpin(lease);
		daxl_lease_free(lease);
		lease = holder(1, 1, NULL, fence_fails, NULL);
		ok(daxl_lease_pin(lease));
		CALL_FAILS(i, &wait, ETIMEDOUT);
		is(fenced, 1);
		CALL_FAILS(i, &wait, ETIMEDOUT);
		is(fenced, 2); /* another break asks again */
		state_is(lease, DAXL_LEASE_RECALLED, i);
		ok(daxl_stats(pool, &stats));
		daxl_lease_unpin(lease);
		daxl_lease_free(lease);
		lease = holder(1, 3600 * 1000, NULL, fence_works, NULL);
		ok(daxl_lease_pin(lease));
		CALL_FAILS(i, &wait, ETIMEDOUT);
		is(fenced, 2);
		daxl_lease_unpin(lease);
		daxl_lease_free(lease);
		lease = holder(1, 1, NULL, fence_works, NULL);
		ok(daxl_lease_pin(lease));
		api_ok(calls[i].call(&wait), calls[i].name, __LINE__);
		is(fenced, 3);
		state_is(lease, DAXL_LEASE_REVOKED, i);
		struct daxl_extent ext;

		fails(daxl_lease_extents(lease, &ext, 1), ESTALE);
		fails(daxl_lease_persist(lease, 0, 1), ESTALE);
		fails(daxl_lease_downgrade(lease), ESTALE);
		ok(daxl_stats(pool, &stats));
		is(stats.revoked_fence, 1);
		daxl_lease_unpin(lease); /* stays legal */
		daxl_lease_free(lease);
		teardown();
	}
}
END_TEST

START_TEST(limbo_at_the_deadline)
{
	struct daxl_wait wait = api_wait(5, DAXL_ON_TIMEOUT_LIMBO, 0);
	struct daxl_pool_stat st;

	for (size_t i = 0; i < CALLS; i++) {
		setup();
		struct daxl_lease *lease = holder(1, 3600 * 1000, NULL, NULL, NULL);

		ok(daxl_lease_pin(lease));
		if (calls[i].no_limbo) {
			CALL_FAILS(i, &wait, EINVAL);
			state_is(lease, DAXL_LEASE_LIVE, i);
		} else {
			CALL_FAILS(i, &wait, ETIMEDOUT); /* the lease's own deadline is still to come */
			daxl_lease_unpin(lease);
			daxl_lease_free(lease);
			lease = holder_with(calls[i].limbo ? 0 : DAXL_LEASE_STABLE, 1, 1, NULL, NULL, NULL);
			ok(daxl_lease_pin(lease));
			if (calls[i].limbo) {
				api_ok(calls[i].call(&wait), calls[i].name, __LINE__);
				state_is(lease, DAXL_LEASE_REVOKED, i);
				ok(daxl_pool_stat(pool, &st));
				if (st.limbo_blocks == 0)
					ck_abort_msg("%s: nothing went to limbo", calls[i].name);
			} else {
				CALL_FAILS(i, &wait, ETIMEDOUT); /* acts as FAIL */
			}
		}
		daxl_lease_unpin(lease);
		daxl_lease_free(lease);
		ok(daxl_pool_stat(pool, &st));
		is(st.limbo_blocks, 0);
		teardown();
	}
}
END_TEST

START_TEST(limbo_does_not_act_on_a_source)
{
	struct daxl_wait wait = api_wait(5, DAXL_ON_TIMEOUT_LIMBO, 0);
	struct daxl_lease_opts opts = DAXL_LEASE_OPTS_INIT;
	struct daxl_lease *lease = NULL;
	bool same;

	setup();
	opts.mode = DAXL_LEASE_WRITE;
	opts.break_ms = 1;
	ok(daxl_lease_acquire(other, 0, BLK, &opts, &lease));
	ok(daxl_lease_pin(lease));
	unchanged(pool, {
		fails(daxl_clone_range(other, 0, file, 0, BLK, &wait), ETIMEDOUT);
		fails(daxl_dedupe_range(other, 0, file, 0, BLK, &wait, &same), ETIMEDOUT);
	});
	daxl_lease_unpin(lease);
	daxl_lease_free(lease);
	/* READ leases over the source stay */
	lease = api_lease(other, 0, BLK, DAXL_LEASE_READ);
	ok(daxl_lease_pin(lease));
	ok(daxl_clone_range(other, 0, file, 0, BLK, &wait));
	ck_assert_int_eq(daxl_lease_state(lease), DAXL_LEASE_LIVE);
	daxl_lease_unpin(lease);
	daxl_lease_free(lease);
	teardown();
}
END_TEST

/* --- deadlocks --- */

START_TEST(ones_own_leases)
{
	for (size_t i = 0; i < CALLS; i++) {
		uint64_t me = daxl_owner_new();
		struct daxl_wait wait = api_wait(DAXL_WAIT_FOREVER, 0, me);

		setup();
		struct daxl_lease *mine = holder(me, 0, NULL, NULL, NULL),
				  *watch = holder(me + 1000, 0, NULL, NULL, NULL);

		ok(daxl_lease_pin(mine));
		if (calls[i].pins) { /* one's own pin where blocks are to go: nobody is recalled */
			CALL_FAILS(i, &wait, EDEADLK);
			state_is(mine, DAXL_LEASE_LIVE, i);
			state_is(watch, DAXL_LEASE_LIVE, i);
		}
		daxl_lease_free(watch);
		if (calls[i].pins)
			daxl_lease_unpin(mine);
		api_ok(calls[i].call(&wait), calls[i].name, __LINE__);
		state_is(mine, calls[i].pins ? DAXL_LEASE_RETURNED : DAXL_LEASE_LIVE, i);
		if (!calls[i].pins)
			daxl_lease_unpin(mine);
		daxl_lease_free(mine);
		teardown();
	}
}
END_TEST

START_TEST(an_owner_that_has_been_asked_is_not_waited_for)
{
	for (size_t i = 0; i < CALLS; i++) {
		uint64_t me = daxl_owner_new();
		struct daxl_wait wait = api_wait(DAXL_WAIT_FOREVER, 0, me), none = api_wait(0, 0, 0);
		struct daxl_lease_opts opts = DAXL_LEASE_OPTS_INIT;
		struct daxl_lease *mine = NULL, *lease = NULL;

		setup();
		struct daxl_file *third = api_file(pool, "h", BLK);

		opts.owner = me;
		ok(daxl_lease_acquire(third, 0, BLK, &opts, &mine));
		is(daxl_break(third, 0, BLK, DAXL_BREAK_WRITE, &none), -EAGAIN);
		ok(daxl_close(third));
		ck_assert_int_eq(daxl_lease_state(mine), DAXL_LEASE_RECALLED);
		lease = holder(1000000, 0, NULL, NULL, NULL);
		CALL_FAILS(i, &wait, EDEADLK);
		ok(daxl_lease_return(mine));
		ok(daxl_lease_return(lease));
		api_ok(calls[i].call(&wait), calls[i].name, __LINE__);
		daxl_lease_free(mine);
		daxl_lease_free(lease);
		teardown();
	}
}
END_TEST

START_TEST(inside_an_rcu_read_section)
{
	struct daxl_wait wait = api_wait(DAXL_WAIT_FOREVER, 0, 0);

	for (size_t i = 0; i < CALLS; i++) {
		setup();
		struct daxl_lease *lease = holder(1, 0, NULL, NULL, NULL);
		char *was = api_state(pool);

		daxl_rcu_read_lock();
		api_before();
		api_failed(calls[i].call(&wait), EDEADLK, calls[i].name, __LINE__);
		daxl_rcu_read_unlock();
		api_same(was, pool, __LINE__);
		daxl_lease_free(lease);
		teardown();
	}
}
END_TEST

static int in_recall, in_fence; /* results of the call from inside */
static size_t call_inside;
static char said[256];

static void calls_from_recall(struct daxl_lease *lease, const struct daxl_recall *recall, void *arg)
{
	struct daxl_wait wait = api_wait(DAXL_WAIT_FOREVER, 0, 0);

	(void)lease, (void)recall, (void)arg;
	in_recall = calls[call_inside].call(&wait);
	snprintf(said, sizeof(said), "%s", daxl_errormsg());
}

static int calls_from_fence(struct daxl_lease *lease, void *arg)
{
	struct daxl_wait wait = api_wait(DAXL_WAIT_FOREVER, 0, 0);

	(void)lease, (void)arg;
	in_fence = calls[call_inside].call(&wait);
	return -1;
}

START_TEST(inside_recall_and_fence_functions)
{
	for (size_t i = 0; i < CALLS; i++) {
		struct daxl_wait fence = api_wait(5, DAXL_ON_TIMEOUT_FENCE, 0);

		setup();
		struct daxl_lease *lease = holder(1, 1, calls_from_recall, calls_from_fence, NULL);

		call_inside = i;
		in_recall = in_fence = 4711;
		CALL_FAILS(i, &fence, ETIMEDOUT);
		api_is(in_recall, -EDEADLK, calls[i].name, __LINE__);
		ck_assert_str_ne(said, "");
		api_is(in_fence, -EDEADLK, calls[i].name, __LINE__);
		daxl_lease_free(lease);
		teardown();
	}
}
END_TEST

/* --- held --- */

START_TEST(held_has_to_cover_the_operation)
{
	for (size_t i = 0; i < CALLS; i++) {
		struct daxl_wait wait = api_wait(DAXL_WAIT_FOREVER, 0, 0);
		struct daxl_break_handle *handle;

		if (strncmp(calls[i].name, "default", 7) == 0)
			continue;
		setup();
		/* too narrow, of another file, with somebody over f who is not to be told */
		struct daxl_lease *lease = holder(1, 0, NULL, NULL, NULL);
		struct daxl_file *third = api_file(pool, "h", 8 * BLK);

		ok(daxl_break_begin(third, 0, DAXL_TO_END, DAXL_BREAK_UNMAP, NULL, &handle));
		is(daxl_break_poll(handle), 1);
		wait.held = handle;
		CALL_FAILS(i, &wait, EINVAL);
		state_is(lease, DAXL_LEASE_LIVE, i);
		daxl_break_end(handle);
		ok(daxl_close(third));
		daxl_lease_free(lease);
		ok(daxl_break_begin(file, 4 * BLK, BLK, DAXL_BREAK_UNMAP, NULL, &handle));
		is(daxl_break_poll(handle), 1);
		wait.held = handle;
		CALL_FAILS(i, &wait, EINVAL);
		daxl_break_end(handle);
		teardown();
	}
}
END_TEST

START_TEST(inside_a_held_break)
{
	for (size_t i = 0; i < CALLS; i++) {
		struct daxl_wait wait = api_wait(0, 0, 0);
		struct daxl_break_handle *handle;
		bool two_files = calls[i].call == exchange_a || calls[i].call == exchange_b ||
		                 calls[i].call == exchange_all || calls[i].call == clone_to ||
		                 calls[i].call == dedupe_to;

		if (strncmp(calls[i].name, "default", 7) == 0 || two_files)
			continue;
		setup();
		ok(daxl_break_begin(file, 0, DAXL_TO_END, DAXL_BREAK_UNMAP, NULL, &handle));
		is(daxl_break_poll(handle), 1);
		wait.held = handle;
		api_ok(calls[i].call(&wait), calls[i].name, __LINE__);
		is(daxl_break_poll(handle), 1);
		daxl_break_end(handle);
		teardown();
	}
}
END_TEST

START_TEST(a_default_cannot_name_a_held_break)
{
	struct daxl_wait wait = DAXL_WAIT_INIT;
	struct daxl_break_handle *handle, *second = UNTOUCHED;

	setup();
	ok(daxl_break_begin(file, 0, BLK, DAXL_BREAK_UNMAP, NULL, &handle));
	wait.held = handle;
	fails(daxl_set_wait(file, &wait), EINVAL);
	fails(daxl_break_begin(file, 0, BLK, DAXL_BREAK_UNMAP, &wait, &second), EINVAL);
	ck_assert_ptr_eq(second, UNTOUCHED);
	daxl_break_end(handle);
	teardown();
}
END_TEST

/* --- acquire --- */

START_TEST(errors_of_acquire)
{
	uint64_t me = daxl_owner_new(), you = daxl_owner_new();
	struct daxl_wait none = api_wait(0, 0, 0), brief = api_wait(5, 0, 0),
			 forever = api_wait(DAXL_WAIT_FOREVER, 0, 0);
	struct daxl_lease_opts opts = DAXL_LEASE_OPTS_INIT, mine = DAXL_LEASE_OPTS_INIT;
	struct daxl_lease *exclusive = NULL, *asked = NULL, *got = UNTOUCHED;

	setup();
	opts.flags = DAXL_LEASE_EXCLUSIVE;
	opts.owner = you;
	ok(daxl_lease_acquire(file, 0, 4 * BLK, &opts, &exclusive));
	mine.owner = me;
	ok(daxl_lease_acquire(other, 0, BLK, &mine, &asked));
	unchanged(pool, {
		mine.wait = &none;
		fails(daxl_lease_acquire(file, BLK, BLK, &mine, &got), EAGAIN);
		mine.wait = &brief;
		fails(daxl_lease_acquire(file, BLK, BLK, &mine, &got), ETIMEDOUT);
		mine.wait = &forever;
		daxl_rcu_read_lock();
		fails(daxl_lease_acquire(file, BLK, BLK, &mine, &got), EDEADLK);
		daxl_rcu_read_unlock();
		ok(daxl_cancel_new(&forever.cancel));
		daxl_hook_set(cancel_on_sleep, &forever.cancel);
		int rc = daxl_lease_acquire(file, BLK, BLK, &mine, &got);

		daxl_hook_set(NULL, NULL);
		is(rc, -ECANCELED);
		fails(daxl_lease_acquire(file, BLK, BLK, &mine, &got), ECANCELED);
		daxl_cancel_free(forever.cancel);
		forever.cancel = NULL;
		/* who has been asked himself does not wait */
		is(daxl_break(other, 0, BLK, DAXL_BREAK_WRITE, &none), -EAGAIN);
		fails(daxl_lease_acquire(file, BLK, BLK, &mine, &got), EAGAIN);
		ck_assert_ptr_eq(got, UNTOUCHED);
	});
	ok(daxl_lease_acquire(file, 5 * BLK, BLK, &mine, &got)); /* where nobody is in the way he may */
	daxl_lease_free(got);
	daxl_lease_free(asked);
	daxl_lease_free(exclusive);
	ok(daxl_lease_acquire(file, BLK, BLK, &mine, &got));
	daxl_lease_free(got);
	teardown();
}
END_TEST

/* --- breaks begun --- */

START_TEST(errors_of_break_begin_and_poll)
{
	uint64_t me = daxl_owner_new();
	struct daxl_wait own = api_wait(DAXL_WAIT_FOREVER, 0, me), brief = api_wait(1, 0, 0), none = api_wait(0, 0, 0);
	struct daxl_wait cancelled = api_wait(DAXL_WAIT_FOREVER, 0, 0), fence = api_wait(1, DAXL_ON_TIMEOUT_FENCE, 0);
	struct daxl_break_handle *handle = UNTOUCHED;

	setup();
	struct daxl_lease *mine = holder(me, 0, NULL, NULL, NULL);

	ok(daxl_lease_pin(mine));
	unchanged(pool, {
		fails(daxl_break_begin(file, 0, BLK, DAXL_BREAK_UNMAP, &own, &handle), EDEADLK);
		ck_assert_ptr_eq(handle, UNTOUCHED);
		ck_assert_int_eq(daxl_lease_state(mine), DAXL_LEASE_LIVE);
		ok(daxl_break_begin(file, 0, BLK, DAXL_BREAK_UNMAP, &brief, &handle));
		int rc;

		do /* the clock is the program's to watch */
			rc = daxl_break_poll(handle);
		while (rc == 0);
		is(rc, -ETIMEDOUT);
		fails(daxl_break_poll(handle), ETIMEDOUT);
		daxl_break_end(handle);
		ok(daxl_break_begin(file, 0, BLK, DAXL_BREAK_UNMAP, &none, &handle));
		fails(daxl_break_poll(handle), ETIMEDOUT);
		daxl_break_end(handle);
		ok(daxl_cancel_new(&cancelled.cancel));
		ok(daxl_break_begin(file, 0, BLK, DAXL_BREAK_UNMAP, &cancelled, &handle));
		is(daxl_break_poll(handle), 0);
		daxl_cancel_all(cancelled.cancel);
		fails(daxl_break_poll(handle), ECANCELED);
		fails(daxl_break_poll(handle), ECANCELED);
		daxl_break_end(handle);
		daxl_cancel_free(cancelled.cancel);
		/* recalled and not returned: its owner cannot begin another */
		struct daxl_lease *watch = holder(me + 1000, 0, NULL, NULL, NULL);

		handle = UNTOUCHED;
		fails(daxl_break_begin(file, 0, BLK, DAXL_BREAK_WRITE, &own, &handle), EDEADLK);
		ck_assert_ptr_eq(handle, UNTOUCHED);
		daxl_lease_free(watch);
	});
	daxl_lease_unpin(mine);
	daxl_lease_free(mine);
	/* fence functions are called from poll */
	fenced = 0;
	struct daxl_lease *late = holder(1, 1, NULL, fence_works, NULL);

	ok(daxl_lease_pin(late));
	ok(daxl_break_begin(file, 0, BLK, DAXL_BREAK_UNMAP, &fence, &handle));
	is(fenced, 0);
	while (daxl_break_poll(handle) == 0)
		;
	is(daxl_break_poll(handle), 1);
	is(fenced, 1);
	daxl_break_end(handle);
	daxl_lease_unpin(late);
	daxl_lease_free(late);
	teardown();
}
END_TEST

START_TEST(timed_out_behind_another_operation)
{
	for (size_t i = 0; i < CALLS; i++) {
		struct daxl_break_handle *handle;
		struct daxl_wait brief = api_wait(3, DAXL_ON_TIMEOUT_FENCE, 0), none = api_wait(0, 0, 0);

		if (calls[i].call == write_stable || calls[i].call == default_write || calls[i].call == default_copy)
			continue; /* in place: they go on beside it */
		setup();
		ok(daxl_break_begin(file, 0, DAXL_TO_END, DAXL_BREAK_UNMAP, NULL, &handle));
		CALL_FAILS(i, &none, EAGAIN);
		CALL_FAILS(i, &brief, ETIMEDOUT);
		daxl_break_end(handle);
		ok(calls[i].call(&none));
		teardown();
	}
}
END_TEST

int main(void)
{
	const struct api_case cases[] = {
		{"nowait_timeout", no_wait_and_a_time_that_is_over},
		{"pool_default", the_pools_default_is_its_break_time},
		{"cancel", cancelled_before_and_during},
		{"fence", fence_at_the_deadline},
		{"limbo", limbo_at_the_deadline},
		{"limbo_source", limbo_does_not_act_on_a_source},
		{"own", ones_own_leases},
		{"asked", an_owner_that_has_been_asked_is_not_waited_for},
		{"rcu", inside_an_rcu_read_section},
		{"callbacks", inside_recall_and_fence_functions},
		{"held", held_has_to_cover_the_operation},
		{"held_inside", inside_a_held_break},
		{"held_default", a_default_cannot_name_a_held_break},
		{"acquire", errors_of_acquire},
		{"begin", errors_of_break_begin_and_poll},
		{"behind", timed_out_behind_another_operation},
	};

	return API_RUN("api.wait", cases);
}
