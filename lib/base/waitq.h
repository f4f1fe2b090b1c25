/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Waiting for keys. A key is a 64-bit number (a file's, an owner's, a cancel object's); a process-wide hashed table of
 * buckets maps keys to waiters and outlives every lease, file and pool, so a late unpin may wake a key without touching memory that its
 * subtraction gave away (lease word, rule 4).
 *
 * A waiter listens on up to DAXL_WAITER_KEYS keys. Protocol, never losing a wake-up (L13):
 *     add keys once;  loop { arm; evaluate predicate (under whatever lock it needs); satisfied ? break : sleep }  remove.
 * To sleep is to spin for a few microseconds first, so short waits cost no system call on either side.
 * A waker changes the state first and then wakes the key. A waiter with notify instead of a sleeper is told by a call with the bucket's lock held
 * (short, takes no lock of rank BUCKET or below).
 */
#ifndef DAXL_BASE_WAITQ_H
#define DAXL_BASE_WAITQ_H

#include <stdbool.h>
#include <stdint.h>

#include "base/role.h"

#define DAXL_WAITER_KEYS 4u

struct daxl_waiter;
struct daxl_waiter_entry { /* guarded by its bucket's lock */
	struct daxl_waiter_entry *next, **prev;
	struct daxl_waiter *waiter;
	uint64_t key;
};
struct daxl_waiter {
	uint32_t state; /* futex word: armed, asleep or signaled */
	unsigned nkeys;
	void (*notify)(struct daxl_waiter *waiter); /* NULL: a thread sleeps */
	struct daxl_waiter_entry entry[DAXL_WAITER_KEYS];
};

void daxl_waiter_init(struct daxl_waiter *waiter, void (*notify)(struct daxl_waiter *waiter));
void daxl_waiter_add(struct daxl_waiter *waiter, uint64_t key) DAXL_TAKES(BUCKET); /* key 0 is ignored */
/* All keys; afterwards nobody touches it. */
void daxl_waiter_remove(struct daxl_waiter *waiter) DAXL_TAKES(BUCKET);
void daxl_waiter_arm(struct daxl_waiter *waiter);
/* 0 woken, -ETIMEDOUT once CLOCK_MONOTONIC reached deadline_ns (UINT64_MAX: never). No library lock may be held. */
int daxl_waiter_sleep(struct daxl_waiter *waiter, uint64_t deadline_ns) DAXL_WAITS;

/* Awake, without a key, for the time that a sleep costs: true as soon as word is not what was seen. */
bool daxl_word_watch(const uint64_t *word, uint64_t seen) DAXL_WAITS;

/* Wakes every waiter of key. A full barrier precedes; one load when the bucket is empty. */
void daxl_wake_key(uint64_t key) DAXL_TAKES(BUCKET);
/* The same without the barrier, for who since its change has held the mutex under which the waiters look. */
void daxl_wake_key_looked(uint64_t key) DAXL_TAKES(BUCKET);
uint64_t daxl_key_new(void); /* a number never given before in this process, not 0 */

#endif
