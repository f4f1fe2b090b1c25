/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Wait buckets: a process-wide hashed table of sleepers which outlives every
 * lease, file and pool, so that a late unpin may wake without touching memory
 * that its subtraction gave away (lease word, rule 4).
 *
 * A waiter computes its predicate with the bucket held and sleeps in one step; a waker
 * changes the state first, then calls wake. Neither can miss the other (L13).
 */
#ifndef DAXL_BASE_BUCKET_H
#define DAXL_BASE_BUCKET_H

#include <stdint.h>

#include "base/role.h"

struct daxl_bucket;

/* The bucket of a key (a file's or pool's address or any 64-bit tag). Wait-free. */
struct daxl_bucket *daxl_bucket_of(const void *key);

/*
 * Sequence protocol: seq = prepare(b); test the predicate; if still to wait, wait(b, seq, deadline).
 * wait returns 0 when woken (or spuriously), -ETIMEDOUT once CLOCK_MONOTONIC passed deadline_ns
 * (UINT64_MAX: never). Holds no lock of the library while asleep. prepare counts the caller as a waiter, so
 * every prepare is followed by exactly one wait or one cancel.
 */
uint32_t daxl_bucket_prepare(struct daxl_bucket *bucket);
int daxl_bucket_wait(struct daxl_bucket *bucket, uint32_t seq, uint64_t deadline_ns) DAXL_WAITS;
void daxl_bucket_cancel(struct daxl_bucket *bucket);
/* Wakes all sleepers of the bucket; a full barrier orders the caller's state change before. Cheap when nobody waits. */
void daxl_bucket_wake(struct daxl_bucket *bucket);

uint64_t daxl_now_ns(void); /* CLOCK_MONOTONIC */
uint64_t daxl_realtime_ns(void); /* since 1970; advances in steps of some milliseconds */

#endif
