/* SPDX-License-Identifier: BSD-3-Clause */
/* The table of wait buckets: process-wide, never freed. */
#include "base/waitq.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/bucket.h"
#include "base/compiler.h"
#include "base/lock.h"
#include "base/spin.h"

#define BUCKETS 256u
#define SPIN_NS 4000u /* about what a sleep and its end cost: what comes sooner is waited for awake */
#define LOOKS 32u     /* between two at the clock */

/* What daxl_waiter.state says. Only a waiter that is ASLEEP needs the kernel to be told. */
enum { ARMED, ASLEEP, SIGNALED };

struct bucket {
	DAXL_CACHE_ALIGNED uint32_t count; /* entries; changed under mutex, read without */
	DAXL_MUTEX(BUCKET) mutex;
	struct daxl_waiter_entry *head DAXL_GUARDED(BUCKET);
};

static struct bucket table[BUCKETS];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void init_table(void)
{
	for (unsigned i = 0; i < BUCKETS; i++)
		daxl_mutex_init(&table[i].mutex, DAXL_RANK_BUCKET);
}

static struct bucket *bucket_of(uint64_t key)
{
	return &table[(key * UINT64_C(0x9e3779b97f4a7c15)) >> 56];
}

void daxl_waiter_init(struct daxl_waiter *waiter, void (*notify)(struct daxl_waiter *waiter))
{
	pthread_once(&once, init_table);
	waiter->state = ARMED;
	waiter->nkeys = 0;
	waiter->notify = notify;
}

void daxl_waiter_add(struct daxl_waiter *waiter, uint64_t key)
{
	if (key == 0)
		return;
	assert(waiter->nkeys < DAXL_WAITER_KEYS);
	struct daxl_waiter_entry *entry = &waiter->entry[waiter->nkeys++];
	struct bucket *b = bucket_of(key);

	entry->waiter = waiter;
	entry->key = key;
	daxl_mutex_lock(&b->mutex);
	entry->next = b->head;
	entry->prev = &b->head;
	if (b->head)
		b->head->prev = &entry->next;
	b->head = entry;
	/* Pairs with the fence in daxl_wake_key: a waker that misses the count has changed its state before our next look. */
	__atomic_fetch_add(&b->count, 1, __ATOMIC_SEQ_CST);
	daxl_mutex_unlock(&b->mutex);
}

void daxl_waiter_remove(struct daxl_waiter *waiter)
{
	for (unsigned i = 0; i < waiter->nkeys; i++) {
		struct daxl_waiter_entry *entry = &waiter->entry[i];
		struct bucket *b = bucket_of(entry->key);

		daxl_mutex_lock(&b->mutex);
		*entry->prev = entry->next;
		if (entry->next)
			entry->next->prev = entry->prev;
		__atomic_fetch_sub(&b->count, 1, __ATOMIC_SEQ_CST);
		daxl_mutex_unlock(&b->mutex);
	}
	waiter->nkeys = 0;
}

void daxl_waiter_arm(struct daxl_waiter *waiter)
{
	/* An exchange: if it takes back a waker's mark, what that waker changed is seen. */
	(void)__atomic_exchange_n(&waiter->state, ARMED, __ATOMIC_SEQ_CST);
	daxl_full_fence();
}

/* Looks until over says yes, or it would have been better to sleep: false. */
DAXL_INLINE bool spin(bool (*over)(const void *what, uint64_t seen), const void *what, uint64_t seen)
{
	uint64_t until = daxl_now_ns() + SPIN_NS;

	do {
		for (unsigned i = 0; i < LOOKS; i++) {
			if (over(what, seen))
				return true;
			daxl_relax();
		}
	} while (daxl_now_ns() < until);
	return false;
}

static bool is_changed(const void *word, uint64_t seen)
{
	return __atomic_load_n((const uint64_t *)word, __ATOMIC_SEQ_CST) != seen;
}

bool daxl_word_watch(const uint64_t *word, uint64_t seen)
{
	return spin(is_changed, word, seen);
}

static bool is_signaled(const void *state, uint64_t unused)
{
	(void)unused;
	return __atomic_load_n((const uint32_t *)state, __ATOMIC_SEQ_CST) == SIGNALED;
}

int daxl_waiter_sleep(struct daxl_waiter *waiter, uint64_t deadline_ns)
{
	struct timespec ts = { .tv_sec = (time_t)(deadline_ns / 1000000000u), .tv_nsec = (long)(deadline_ns % 1000000000u) };
	uint32_t armed = ARMED;
	int saved = errno, rc = 0;

	daxl_assert_no_locks();
	if (spin(is_signaled, &waiter->state, 0))
		return 0;
	/* Fails if it is SIGNALED by now. */
	(void)__atomic_compare_exchange_n(&waiter->state, &armed, ASLEEP, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	while (!is_signaled(&waiter->state, 0) && rc == 0)
		/* BITSET: the deadline is a point of CLOCK_MONOTONIC. Signals end the call, not the sleep. */
		if (syscall(SYS_futex, &waiter->state, FUTEX_WAIT_BITSET_PRIVATE, ASLEEP,
		            deadline_ns == UINT64_MAX ? NULL : &ts, NULL, FUTEX_BITSET_MATCH_ANY) != 0 &&
		    errno == ETIMEDOUT)
			rc = -ETIMEDOUT;
	errno = saved;
	return is_signaled(&waiter->state, 0) ? 0 : rc;
}

/* Whether it sleeps, and the kernel is to be told too. */
static bool tell(struct daxl_waiter *waiter)
{
	if (!waiter->notify)
		return __atomic_exchange_n(&waiter->state, SIGNALED, __ATOMIC_SEQ_CST) == ASLEEP;
	waiter->notify(waiter);
	return false;
}

/* The word may be gone by now, and be another's: who sleeps on a futex looks again when woken for nothing. */
static void wake_sleeper(const uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

void daxl_wake_key(uint64_t key)
{
	/* Pairs with the increment in daxl_waiter_add. */
	daxl_full_fence();
	daxl_wake_key_looked(key);
}

/* A waiter that has looked in vain had counted itself before, and let the mutex go to us: we see the count. */
void daxl_wake_key_looked(uint64_t key)
{
	struct bucket *b = bucket_of(key);
	const uint32_t *sleeper = NULL;

	if (__atomic_load_n(&b->count, __ATOMIC_SEQ_CST) == 0)
		return;
	int saved = errno;

	daxl_mutex_lock(&b->mutex);
	for (struct daxl_waiter_entry *e = b->head, *next; e; e = next) {
		next = e->next; /* who is told is at work on that cache line next */
		if (e->key != key || !tell(e->waiter))
			continue;
		if (sleeper)
			wake_sleeper(sleeper);
		sleeper = &e->waiter->state;
	}
	daxl_mutex_unlock(&b->mutex);
	if (sleeper) /* the last without the mutex: it will want it */
		wake_sleeper(sleeper);
	errno = saved;
}

uint64_t daxl_key_new(void)
{
	static uint64_t next;

	return __atomic_add_fetch(&next, 1, __ATOMIC_RELAXED);
}
