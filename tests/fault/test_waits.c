/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Each wait of each call ends early: the first, the second, and so on until the call survives. Three obstacles stand
 * in a call's way, another operation ahead of it, a lease, and a pin on that lease; at each of its sleeps one of them
 * goes, but at the n-th the wait is cancelled, or its owner is asked for a lease itself, or the time is over. A call
 * that fails leaves the files as they were and the range open, and works once the obstacles are gone.
 *
 * No call can be ended at what it waits for with its mind made up: stores of others, the gate, grace periods. There a
 * cancel comes too late, and the call succeeds.
 */
#include "../api/api.h"

#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>

#include "base/hook.h"
#include "base/rcu.h"

static struct daxl_pool *pool;
static const char *path;
static struct daxl_file *file, *other, *third; /* "f", "g" of 8 blocks; block 7 of f is shared with g */
static struct iovec two = {(void *)(uintptr_t) "xy", 2};

/* --- the calls --- */

static long long atomic_write(const struct daxl_wait *wait)
{
	return daxl_pwritev(file, &two, 1, BLK + 5, DAXL_WRITE_ATOMIC, wait);
}
static long long write_stable(const struct daxl_wait *wait)
{
	return daxl_pwritev(file, &two, 1, BLK + 5, 0, wait);
}
static long long write_mixed(const struct daxl_wait *wait) /* in place and copy-on-write */
{
	return daxl_pwritev(file, &two, 1, 7 * BLK - 1, 0, wait);
}
static long long punch(const struct daxl_wait *wait)
{
	return daxl_fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, BLK + 5, 2 * BLK, wait);
}
static long long zero(const struct daxl_wait *wait)
{
	return daxl_fallocate(file, FALLOC_FL_ZERO_RANGE, BLK, BLK, wait);
}
static long long collapse(const struct daxl_wait *wait)
{
	return daxl_fallocate(file, FALLOC_FL_COLLAPSE_RANGE, BLK, BLK, wait);
}
static long long insert(const struct daxl_wait *wait)
{
	return daxl_fallocate(file, FALLOC_FL_INSERT_RANGE, BLK, BLK, wait);
}
static long long unshare_all(const struct daxl_wait *wait)
{
	return daxl_fallocate(file, FALLOC_FL_UNSHARE_RANGE, 0, 8 * BLK, wait);
}
static long long cut(const struct daxl_wait *wait)
{
	return daxl_truncate(file, BLK + 5, wait);
}
static long long clone_to(const struct daxl_wait *wait)
{
	return daxl_clone_range(other, 0, file, BLK, BLK, wait);
}
static long long dedupe_to(const struct daxl_wait *wait)
{
	bool same;

	return daxl_dedupe_range(other, BLK, file, BLK, BLK, wait, &same);
}
static long long exchange(const struct daxl_wait *wait)
{
	return daxl_exchange_range(other, 0, file, BLK, BLK, wait);
}
static long long copy_to(const struct daxl_wait *wait)
{
	ok(daxl_set_wait(file, wait));
	long long rc = daxl_copy_range(other, 0, file, BLK, BLK);

	ok(daxl_set_wait(file, NULL));
	return rc;
}
static long long break_unmap(const struct daxl_wait *wait)
{
	return daxl_break(file, BLK, BLK, DAXL_BREAK_UNMAP, wait);
}
static long long break_write(const struct daxl_wait *wait)
{
	return daxl_break(file, BLK, BLK, DAXL_BREAK_WRITE, wait);
}
static long long acquire(const struct daxl_wait *wait)
{
	struct daxl_lease_opts opts = DAXL_LEASE_OPTS_INIT;
	struct daxl_lease *lease = UNTOUCHED;

	opts.flags = DAXL_LEASE_EXCLUSIVE;
	opts.owner = wait->owner;
	opts.wait = wait;
	int rc = daxl_lease_acquire(file, BLK, BLK, &opts, &lease);

	if (rc == 0)
		daxl_lease_free(lease);
	else
		ck_assert_ptr_eq(lease, UNTOUCHED);
	return rc;
}

enum { QUEUE = 1, PINS = 2, LIMBO = 4, NO_LIMBO = 8, FENCES = 16, ASKED_IS_EAGAIN = 32 };
static const struct {
	const char *name;
	long long (*call)(const struct daxl_wait *wait);
	unsigned is; /* waits behind operations, waits for pins; what helps at its deadline */
} calls[] = {
	{"write_stable", write_stable, QUEUE | FENCES},
	{"write_mixed", write_mixed, QUEUE | PINS | FENCES | LIMBO},
	{"atomic_write", atomic_write, QUEUE | PINS | FENCES | LIMBO},
	{"punch", punch, QUEUE | PINS | FENCES | LIMBO},
	{"zero", zero, QUEUE | PINS | FENCES | LIMBO},
	{"collapse", collapse, QUEUE | PINS | FENCES | NO_LIMBO},
	{"insert", insert, QUEUE | PINS | FENCES | NO_LIMBO},
	{"unshare", unshare_all, QUEUE | PINS | FENCES | LIMBO},
	{"cut", cut, QUEUE | PINS | FENCES | LIMBO},
	{"clone_to", clone_to, QUEUE | PINS | FENCES | LIMBO},
	{"dedupe_to", dedupe_to, QUEUE | PINS | FENCES | LIMBO},
	{"exchange", exchange, QUEUE | PINS | FENCES | NO_LIMBO},
	{"copy_to", copy_to, QUEUE | PINS | FENCES | LIMBO},
	{"break_unmap", break_unmap, QUEUE | PINS | FENCES | NO_LIMBO},
	{"break_write", break_write, QUEUE | FENCES | NO_LIMBO},
	{"acquire", acquire, QUEUE | PINS | ASKED_IS_EAGAIN},
};
#define CALLS (sizeof(calls) / sizeof(calls[0]))

/* --- the obstacles --- */

static const uint64_t MINE = 1000001, THEIRS = 1000002;
static struct daxl_break_handle *ahead;
static struct daxl_lease *held, *mine;
static bool pinned;
static struct daxl_cancel *cancel;

static int fence_works(struct daxl_lease *lease, void *arg)
{
	(void)lease, (void)arg;
	return 0;
}

static void setup(uint32_t flags)
{
	struct daxl_lease_opts opts = DAXL_LEASE_OPTS_INIT;
	struct daxl_wait theirs = api_wait(DAXL_WAIT_FOREVER, 0, THEIRS);

	pool = api_pool(&path);
	file = api_file(pool, "f", 8 * BLK);
	other = api_file(pool, "g", 8 * BLK);
	third = api_file(pool, "h", BLK);
	ok(daxl_clone_range(file, 7 * BLK, other, 7 * BLK, BLK, NULL));
	opts.owner = MINE;
	ok(daxl_lease_acquire(third, 0, BLK, &opts, &mine));
	opts.owner = THEIRS;
	opts.flags = flags;
	opts.fence = fence_works;
	opts.break_ms = 1;
	ok(daxl_lease_acquire(file, 0, DAXL_TO_END, &opts, &held));
	ok(daxl_lease_pin(held));
	pinned = true;
	/* its owner's own leases are none of its business */
	ok(daxl_break_begin(file, 0, DAXL_TO_END, DAXL_BREAK_WRITE, &theirs, &ahead));
	ok(daxl_cancel_new(&cancel));
}

static void make_way(void)
{
	if (ahead)
		daxl_break_end(ahead);
	ahead = NULL;
	ok(daxl_lease_return(held));
	if (pinned)
		daxl_lease_unpin(held);
	pinned = false;
}

static void teardown(void)
{
	make_way();
	daxl_lease_free(held);
	daxl_lease_free(mine);
	daxl_cancel_free(cancel);
	ok(daxl_close(file));
	ok(daxl_close(other));
	ok(daxl_close(third));
	ok(daxl_pool_close(pool));
	is(daxl_check(path, 0, NULL, NULL), 0);
	ck_assert_int_eq(unlink(path), 0);
}

/* --- what happens at the n-th sleep --- */

enum event { CANCEL, ASKED, TIME, EVENTS };
static enum event event;
static unsigned end_at, sleeps;
static bool inside, in_queue; /* in_queue: the n-th sleep was one behind another operation */
static const char *slept_at[8];

static void ask_for_mine(void)
{
	struct daxl_wait none = api_wait(0, 0, 0);

	is(daxl_break(third, 0, BLK, DAXL_BREAK_WRITE, &none), -EAGAIN);
}

static void one_goes(bool queue)
{
	if (queue) {
		daxl_break_end(ahead);
		ahead = NULL;
	} else if (daxl_lease_state(held) == DAXL_LEASE_RECALLED) {
		ok(daxl_lease_return(held));
	} else if (pinned) {
		daxl_lease_unpin(held);
		pinned = false;
	}
}

static void on_sleep(const char *point, void *arg)
{
	bool queue = strcmp(point, "break:queue-sleep") == 0;

	(void)arg;
	if ((!queue && strcmp(point, "break:before-sleep") != 0) || inside) /* other threads pass other points */
		return;
	inside = true;
	sleeps++;
	if (sleeps < sizeof(slept_at) / sizeof(slept_at[0]))
		slept_at[sleeps] = point;
	if (sleeps != end_at) {
		if (sleeps < end_at)
			one_goes(queue);
	} else {
		in_queue = queue;
		if (event == CANCEL)
			daxl_cancel_all(cancel);
		else if (event == ASKED)
			ask_for_mine();
	}
	inside = false;
}

/* The call with its n-th sleep ended by the event; its result. */
static long long call_ended_at(size_t i, unsigned n, enum event what, const struct daxl_wait *wait)
{
	end_at = n;
	sleeps = 0;
	in_queue = false;
	event = what;
	api_before();
	daxl_hook_set(on_sleep, NULL);
	long long rc = calls[i].call(wait);

	daxl_hook_set(NULL, NULL);
	return rc;
}

/* After a failure: nothing has changed, the range is open, and with the obstacles gone the call works. */
static void check_failed(size_t i, long long rc, int err, const char *was)
{
	struct daxl_wait none = api_wait(0, 0, 0);
	char label[64], *now;

	snprintf(label, sizeof(label), "%s, sleep %u, event %d", calls[i].name, end_at, (int)event);
	api_failed(rc, err, label, __LINE__);
	now = api_state(pool);
	if (strcmp(was, now) != 0)
		ck_abort_msg("%s: was\n%s--- and is\n%s", label, was, now);
	free(now);
	make_way();
	api_ok(calls[i].call(&none), label, __LINE__);
}

START_TEST(each_sleep_ends_early)
{
	for (size_t i = 0; i < CALLS; i++) {
		unsigned all = 0;

		for (enum event e = CANCEL; e < EVENTS; e++) {
			int asked = calls[i].is & ASKED_IS_EAGAIN ? EAGAIN : EDEADLK;
			int err = e == CANCEL ? ECANCELED : e == TIME ? ETIMEDOUT : asked;

			for (unsigned n = 1;; n++) {
				struct daxl_wait wait = api_wait(e == TIME ? 2 : DAXL_WAIT_FOREVER, 0, MINE);

				if (e == TIME && n > all)
					break;
				setup(DAXL_LEASE_STABLE);
				wait.cancel = cancel;
				char *was = api_state(pool);
				long long rc = call_ended_at(i, n, e, &wait);

				if (rc < 0)
					check_failed(i, rc, err, was);
				else
					ck_assert_uint_lt(sleeps, n);
				free(was);
				teardown();
				if (rc >= 0)
					break;
				if (e == CANCEL)
					all = n;
			}
		}
		/* none of the obstacles was for nothing */
		unsigned want = 1u + ((calls[i].is & QUEUE) != 0) + ((calls[i].is & PINS) != 0);

		if (all != want)
			ck_abort_msg("%s sleeps %u times, not %u: at %s, %s, %s", calls[i].name, all, want, slept_at[1],
			             all > 1 ? slept_at[2] : "", all > 2 ? slept_at[3] : "");
	}
}
END_TEST

/* Fence and limbo come to the rescue at the lease and at the pin, and not behind another operation. */
START_TEST(at_each_deadline_what_was_asked_for)
{
	static const int ways[] = {DAXL_ON_TIMEOUT_FENCE, DAXL_ON_TIMEOUT_LIMBO};

	for (size_t i = 0; i < CALLS; i++)
		for (size_t way = 0; way < 2; way++) {
			unsigned stages = 1u + ((calls[i].is & QUEUE) != 0) + ((calls[i].is & PINS) != 0);

			for (unsigned n = 1; n <= stages; n++) {
				struct daxl_wait wait = api_wait(5, ways[way], MINE);
				bool limbo = ways[way] == DAXL_ON_TIMEOUT_LIMBO;
				bool helps = (calls[i].is & (limbo ? LIMBO : FENCES)) != 0;

				setup(limbo && (calls[i].is & LIMBO) ? 0 : DAXL_LEASE_STABLE);
				char *was = api_state(pool);
				long long rc = call_ended_at(i, n, TIME, &wait);

				if (limbo && (calls[i].is & NO_LIMBO))
					check_failed(i, rc, EINVAL, was);
				else if (rc < 0) /* it may also have come too late where its sleeps are watched */
					check_failed(i, rc, ETIMEDOUT, was);
				else if (in_queue || !helps)
					ck_abort_msg("%s: succeeded at sleep %u", calls[i].name, n);
				else
					ck_assert_int_ne(daxl_lease_state(held), DAXL_LEASE_LIVE);
				free(was);
				teardown();
			}
		}
}
END_TEST

/* --- a break that has to close more --- */

static bool grew;

/* Before the call locks the file, a holder commits a last block partly used, and somebody closes another one. */
static void on_widen(const char *point, void *arg)
{
	struct daxl_wait theirs = api_wait(DAXL_WAIT_FOREVER, 0, THEIRS);

	if (strcmp(point, "op:drained") == 0 && !inside && !grew) {
		inside = grew = true;
		ok(daxl_lease_commit(held, 30 * BLK, 8, 30 * BLK + 8));
		ok(daxl_break_begin(file, 0, BLK, DAXL_BREAK_WRITE, &theirs, &ahead));
		inside = false;
	}
	on_sleep(point, arg);
}

START_TEST(the_waits_of_a_break_that_widens)
{
	for (enum event e = CANCEL; e < EVENTS; e++) {
		int err = e == CANCEL ? ECANCELED : e == TIME ? ETIMEDOUT : EDEADLK;
		long long rc = -1;

		for (unsigned n = 1; rc < 0 && n < (e == TIME ? 3 : 5); n++) {
			struct daxl_wait wait = api_wait(e == TIME ? 5 : DAXL_WAIT_FOREVER, 0, MINE);
			struct daxl_lease_opts opts = DAXL_LEASE_OPTS_INIT;

			setup(DAXL_LEASE_STABLE);
			make_way();
			daxl_lease_free(held);
			opts.mode = DAXL_LEASE_WRITE;
			opts.owner = THEIRS;
			ok(daxl_lease_acquire(file, 8 * BLK, 23 * BLK, &opts, &held));
			wait.cancel = cancel;
			end_at = n;
			sleeps = 0;
			event = e;
			grew = false;
			api_before();
			daxl_hook_set(on_widen, NULL);
			rc = daxl_truncate(file, 50 * BLK, &wait);
			daxl_hook_set(NULL, NULL);
			ck_assert(grew);
			if (rc < 0) {
				api_failed(rc, err, "truncate", __LINE__);
				is(api_size(file), 30 * BLK + 8);
				make_way();
				ok(daxl_truncate(file, 50 * BLK, NULL));
			} else {
				ck_assert_uint_eq(n, 3); /* behind the break, and for the lease */
			}
			is(api_size(file), 50 * BLK);
			teardown();
		}
		ck_assert(e == TIME || rc == 0);
	}
}
END_TEST

/* --- waits that nobody can end --- */

static sem_t arrived, go_on;
static const char *park_at; /* where the other thread stays until it may go on */
static _Thread_local bool is_other;

static void wait_for(sem_t *sem)
{
	while (sem_wait(sem) != 0)
		ck_assert_int_eq(errno, EINTR);
}

static long long other_rc;

/* A write in place by another thread. */
static void *other_writes(void *arg)
{
	struct daxl_wait wait = api_wait(DAXL_WAIT_FOREVER, 0, 0);

	(void)arg;
	is_other = true;
	wait.cancel = cancel;
	other_rc = daxl_pwritev(file, &two, 1, BLK + 5, 0, &wait);
	return NULL;
}

static void *other_sets(void *arg)
{
	is_other = true;
	other_rc = daxl_setattr(arg, "key", "value", 5);
	return NULL;
}

static void setup_threads(void)
{
	pool = api_pool(&path);
	file = api_file(pool, "f", 8 * BLK);
	other = api_file(pool, "g", 8 * BLK);
	ok(daxl_cancel_new(&cancel));
	ck_assert_int_eq(sem_init(&arrived, 0, 0), 0);
	ck_assert_int_eq(sem_init(&go_on, 0, 0), 0);
	other_rc = 4711;
	sleeps = 0;
}

static void teardown_threads(void)
{
	daxl_cancel_free(cancel);
	ok(daxl_close(file));
	ok(daxl_close(other));
	ok(daxl_pool_close(pool));
	is(daxl_check(path, 0, NULL, NULL), 0);
	sem_destroy(&arrived);
	sem_destroy(&go_on);
}

/* The other thread parks where park_at says; this one, where it sleeps for it, throws the cancel and lets it go. */
static void cancel_and_release(const char *point, void *arg)
{
	if (is_other && strcmp(point, park_at) == 0) {
		ck_assert_int_eq(sem_post(&arrived), 0);
		wait_for(&go_on);
	} else if (!is_other && strcmp(point, arg) == 0 && sleeps++ == 0) {
		daxl_cancel_all(cancel);
		ck_assert_int_eq(sem_post(&go_on), 0);
	}
}

START_TEST(a_cancel_comes_too_late_for_counted_writers)
{
	struct daxl_wait wait = api_wait(DAXL_WAIT_FOREVER, 0, 0);
	pthread_t thread;

	setup_threads();
	wait.cancel = cancel;
	park_at = "write:looked-up";
	daxl_hook_set(cancel_and_release, (void *)(uintptr_t) "writers:drain-sleep");
	ck_assert_int_eq(pthread_create(&thread, NULL, other_writes, NULL), 0);
	wait_for(&arrived);
	int rc = daxl_exchange_range(file, 0, other, 0, 2 * BLK, &wait);

	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	daxl_hook_set(NULL, NULL);
	ok(rc);
	is(other_rc, 2);
	ck_assert_uint_gt(sleeps, 0);
	teardown_threads();
}
END_TEST

static pthread_t writer;

/* The range is being changed when the writer comes; its own cancel is thrown while it sleeps. */
static void cancel_the_writer(const char *point, void *arg)
{
	(void)arg;
	if (is_other && strcmp(point, "writer:sleep") == 0) {
		sleeps++;
		daxl_cancel_all(cancel);
		ck_assert_int_eq(sem_post(&arrived), 0);
	} else if (!is_other && strcmp(point, "op:drained") == 0) {
		ck_assert_int_eq(pthread_create(&writer, NULL, other_writes, NULL), 0);
		wait_for(&arrived);
	}
}

START_TEST(a_cancel_comes_too_late_for_a_writer_beside_a_change)
{
	setup_threads();
	daxl_hook_set(cancel_the_writer, NULL);
	int rc = daxl_exchange_range(file, 0, other, 0, 2 * BLK, NULL);

	ck_assert_int_eq(pthread_join(writer, NULL), 0);
	daxl_hook_set(NULL, NULL);
	ok(rc);
	is(other_rc, 2);
	ck_assert_uint_gt(sleeps, 0);
	teardown_threads();
}
END_TEST

static _Thread_local bool is_checkpoint, gate_closed;

static void *checkpoint(void *arg)
{
	is_checkpoint = true;
	ok(daxl_pool_checkpoint(arg));
	return NULL;
}

/* The other thread is inside the gate, the checkpoint has closed it and waits; this one finds it closed. */
static void cancel_at_the_gate(const char *point, void *arg)
{
	if (!is_checkpoint)
		cancel_and_release(point, arg);
	else if (strcmp(point, "log-wait") == 0 && !gate_closed) {
		gate_closed = true;
		ck_assert_int_eq(sem_post(&arrived), 0);
	}
}

START_TEST(a_cancel_comes_too_late_at_the_gate)
{
	struct daxl_wait wait = api_wait(DAXL_WAIT_FOREVER, 0, 0);
	pthread_t sets, checkpoints;

	setup_threads();
	wait.cancel = cancel;
	park_at = "commit:ticket";
	daxl_hook_set(cancel_at_the_gate, (void *)(uintptr_t) "log-wait");
	ck_assert_int_eq(pthread_create(&sets, NULL, other_sets, other), 0);
	wait_for(&arrived);
	ck_assert_int_eq(pthread_create(&checkpoints, NULL, checkpoint, pool), 0);
	wait_for(&arrived);
	int rc = daxl_truncate(file, BLK, &wait);

	ck_assert_int_eq(pthread_join(sets, NULL), 0);
	ck_assert_int_eq(pthread_join(checkpoints, NULL), 0);
	daxl_hook_set(NULL, NULL);
	ok(rc);
	ok(other_rc);
	ck_assert_uint_gt(sleeps, 0);
	is(api_size(file), BLK);
	teardown_threads();
}
END_TEST

/* Keeps freed blocks from being free for as long as it stays. */
static void *reads(void *arg)
{
	(void)arg;
	daxl_rcu_read_lock();
	ck_assert_int_eq(sem_post(&arrived), 0);
	wait_for(&go_on);
	daxl_rcu_read_unlock();
	return NULL;
}

START_TEST(a_cancel_comes_too_late_for_a_grace_period)
{
	static unsigned char bytes[32 * BLK];
	struct daxl_wait wait = api_wait(DAXL_WAIT_FOREVER, 0, 0);
	struct iovec iov = {bytes, sizeof(bytes)};
	off_t at = 8 * BLK;
	pthread_t reader;

	setup_threads();
	struct daxl_file *victim = api_file(pool, "victim", 64 * BLK);

	while (daxl_fallocate(other, 0, at, BLK, NULL) == 0)
		at += BLK;
	wait.cancel = cancel;
	park_at = "";
	ck_assert_int_eq(pthread_create(&reader, NULL, reads, NULL), 0);
	wait_for(&arrived);
	daxl_hook_set(cancel_and_release, (void *)(uintptr_t) "retire:wait");
	ok(daxl_truncate(victim, 0, NULL));
	is(daxl_pwritev(file, &iov, 1, 8 * BLK, 0, &wait), sizeof(bytes));
	daxl_hook_set(NULL, NULL);
	ck_assert_uint_gt(sleeps, 0);
	ck_assert_int_eq(pthread_join(reader, NULL), 0);
	ok(daxl_close(victim));
	teardown_threads();
}
END_TEST

int main(void)
{
	const struct api_case cases[] = {
		{"sleeps", each_sleep_ends_early},
		{"deadlines", at_each_deadline_what_was_asked_for},
		{"widen", the_waits_of_a_break_that_widens},
		{"counted", a_cancel_comes_too_late_for_counted_writers},
		{"writer", a_cancel_comes_too_late_for_a_writer_beside_a_change},
		{"gate", a_cancel_comes_too_late_at_the_gate},
		{"grace", a_cancel_comes_too_late_for_a_grace_period},
	};

	return API_RUN("fault.waits", cases);
}
