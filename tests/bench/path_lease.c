/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Pins, leases, and the hand-over from the last unpin to a waiting break.
 *
 * The hand-over: the breaker recalls the lease, which is returned at once, and waits for its pin. The second thread,
 * which has it, lets it go some time later, and notes when. "Sleeping" is long enough for the breaker to have stopped
 * spinning. The limit is the same between two threads that have only a word and, to sleep, a futex. The breaker says
 * that it runs by returning from its call; what the call has to do after its wait, with no hand-over in it, is a path
 * of its own: from the return of a recalled lease without pins to the return of the break.
 */
#include <linux/futex.h>
#include <limits.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <pthread.h>

#include "ops.h"
#include "paths.h"
#include "peers.h"

#define SHORT_NS 1000.0
#define LONG_NS 150e3

static struct daxl_file *small;
static struct daxl_lease *lease;

static void two_adds(unsigned ops, const void *arg)
{
	static _Alignas(64) uint64_t word[8];

	(void)arg;
	bench_start();
	for (unsigned i = 0; i < ops; i++) {
		(void)__atomic_fetch_add(&word[0], 1, __ATOMIC_SEQ_CST);
		(void)__atomic_fetch_sub(&word[0], 1, __ATOMIC_SEQ_CST);
	}
	bench_stop();
}

static void acquire(unsigned ops, const void *arg)
{
	struct daxl_lease *one;

	(void)arg;
	bench_start();
	for (unsigned i = 0; i < ops; i++) {
		bench_check(daxl_lease_acquire(small, 0, OP_BYTES, NULL, &one));
		bench_check(daxl_lease_return(one));
		daxl_lease_free(one);
	}
	bench_stop();
}

static void two_mutexes(unsigned ops, const void *arg)
{
	static pthread_mutex_t a = PTHREAD_MUTEX_INITIALIZER, b = PTHREAD_MUTEX_INITIALIZER;

	(void)arg;
	bench_start();
	for (unsigned i = 0; i < ops; i++) {
		pthread_mutex_lock(&a);
		pthread_mutex_unlock(&a);
		pthread_mutex_lock(&b);
		pthread_mutex_unlock(&b);
	}
	bench_stop();
}

/* --- hand-over --- */

static struct {
	double delay;                     /* ns from the recall to the unpin */
	bool sleeps;                      /* the limit: the waiter sleeps in a futex */
	_Alignas(64) uint32_t told;       /* the waiter is about to wait */
	_Alignas(64) uint32_t word;       /* of the limit: the last pin is gone */
	double let_go;                    /* when it went; written before it goes */
} hand;

static void delay(void)
{
	while (__atomic_load_n(&hand.told, __ATOMIC_ACQUIRE) == 0)
		__builtin_ia32_pause();
	for (double until = bench_now() + hand.delay; bench_now() < until;)
		__builtin_ia32_pause();
	__atomic_store_n(&hand.told, 0, __ATOMIC_RELAXED);
	hand.let_go = bench_now();
}

static void recalled(struct daxl_lease *which, const struct daxl_recall *recall, void *arg)
{
	(void)recall;
	(void)arg;
	bench_check(daxl_lease_return(which));
	__atomic_store_n(&hand.told, 1, __ATOMIC_RELEASE);
}

static void ours_hand_over(unsigned ops, const void *arg)
{
	(void)ops;
	if (arg) {
		delay();
		daxl_lease_unpin(lease);
		return;
	}
	bench_check(daxl_break(small, 0, OP_BYTES, DAXL_BREAK_UNMAP, NULL));
	bench_add(bench_now() - hand.let_go);
}

static void recalled_unpinned(struct daxl_lease *which, const struct daxl_recall *recall, void *arg)
{
	(void)recall;
	(void)arg;
	bench_check(daxl_lease_return(which));
	hand.let_go = bench_now();
}

static void rest_of_break(unsigned ops, const void *arg)
{
	struct daxl_lease_opts opts = DAXL_LEASE_OPTS_INIT;

	(void)arg;
	opts.recall = recalled_unpinned;
	for (unsigned i = 0; i < ops; i++) {
		bench_check(daxl_lease_acquire(small, 0, OP_BYTES, &opts, &lease));
		bench_check(daxl_break(small, 0, OP_BYTES, DAXL_BREAK_UNMAP, NULL));
		bench_add(bench_now() - hand.let_go);
		daxl_lease_free(lease);
	}
}

static void word_hand_over(unsigned ops, const void *arg)
{
	(void)ops;
	if (arg) {
		delay();
		__atomic_store_n(&hand.word, 1, __ATOMIC_SEQ_CST);
		if (hand.sleeps)
			syscall(SYS_futex, &hand.word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
		return;
	}
	__atomic_store_n(&hand.told, 1, __ATOMIC_RELEASE);
	while (__atomic_load_n(&hand.word, __ATOMIC_SEQ_CST) == 0) {
		if (hand.sleeps)
			syscall(SYS_futex, &hand.word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
		else
			__builtin_ia32_pause();
	}
	bench_add(bench_now() - hand.let_go);
	hand.word = 0;
}

static void hand_over(unsigned ops, const void *arg)
{
	bench_fn work = *(const bench_fn *)arg;
	struct daxl_lease_opts opts = DAXL_LEASE_OPTS_INIT;

	opts.recall = recalled;
	for (unsigned i = 0; i < ops; i++) {
		if (work == ours_hand_over) {
			bench_check(daxl_lease_acquire(small, 0, OP_BYTES, &opts, &lease));
			bench_check(daxl_lease_pin(lease));
		}
		bench_with(work, 1, NULL, &hand);
		if (work == ours_hand_over)
			daxl_lease_free(lease);
	}
}

static void hand_overs(void)
{
	static const bench_fn ours = ours_hand_over, word = word_hand_over;
	static const struct bench_path spinning = {
		"last unpin to breaker, spinning", 16, hand_over, &ours,
		.limit = { .name = "hand-off between spinning threads", hand_over, &word }, .ratio = 3,
	}, sleeping = {
		"last unpin to breaker, sleeping", 4, hand_over, &ours,
		.limit = { .name = "futex wake to return from wait", hand_over, &word }, .ratio = 1.3,
	}, rest = { .name = "what a break does after its wait", .ops = 16, .ours = rest_of_break };

	hand.delay = SHORT_NS;
	bench_run(&spinning);
	hand.delay = LONG_NS;
	hand.sleeps = true;
	bench_run(&sleeping);
	bench_run(&rest);
}

void paths_lease(struct daxl_pool *pool)
{
	static const struct peer_file tmpfs = { .fs = PEER_TMPFS, .name = "lease", .runs = 1 };
	static const struct bench_path pins = {
		"pin + unpin", 10000, op_pin, &lease, .limit = { .name = "two atomic adds", two_adds }, .ratio = 1.8,
	}, acquires = {
		"acquire + return", 1000, acquire, .limit = { .name = "two mutex lock/unlock", two_mutexes },
		.ratio = 2.5,
		.peers = { { .name = "fcntl(F_SETLEASE), tmpfs", peer_setlease, &tmpfs, 8, 0, peer_file_missing } },
	};

	small = op_create(pool, "small");
	op_write_block(small, 0);
	bench_check(daxl_lease_acquire(small, 0, OP_BYTES, NULL, &lease));
	bench_run(&pins);
	daxl_lease_free(lease);
	bench_run(&acquires);
	hand_overs();
	bench_check(daxl_close(small));
}
