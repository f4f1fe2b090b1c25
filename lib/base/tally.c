/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The first threads of a process have a stripe each to themselves and count with plain loads and stores; those after them share stripes, and count with
 * read-modify-writes, which cost several times as much.
 */
#include "base/tally.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/hook.h"
#include "base/thread.h"

#define OWN_STRIPES 16u
#define STRIPES (OWN_STRIPES + 8u)

_Thread_local struct daxl_toll daxl_toll __attribute__((tls_model("initial-exec")));

/* All of it relaxed atomics. */
struct daxl_tally {
	struct {
		DAXL_CACHE_ALIGNED struct daxl_op_stats op[DAXL_STAT_OPS];
		uint64_t sum[DAXL_TALLY_SUMS];
	} stripe[STRIPES];
	DAXL_CACHE_ALIGNED struct daxl_histogram histogram[DAXL_HISTOGRAMS]; /* count is the buckets' sum */
	uint64_t event[DAXL_TALLY_EVENTS];
};

int daxl_tally_create(struct daxl_tally **ret_tally)
{
	struct daxl_tally *tally = daxl_alloc_aligned(DAXL_CACHE_LINE, sizeof(*tally));

	if (!tally)
		return daxl_fail(ENOMEM, "no memory for the pool's counters");
	memset(tally, 0, sizeof(*tally));
	*ret_tally = tally;
	return 0;
}

void daxl_tally_destroy(struct daxl_tally *tally)
{
	daxl_free(tally);
}

/* The calling thread's stripe, and whether it is nobody else's. */
static unsigned my_stripe(bool *ret_own)
{
	return daxl_thread_place(OWN_STRIPES, STRIPES - OWN_STRIPES, ret_own);
}

static void add(uint64_t *counter, uint64_t n, bool own)
{
	if (n == 0)
		return;
	if (own)
		__atomic_store_n(counter, __atomic_load_n(counter, __ATOMIC_RELAXED) + n, __ATOMIC_RELAXED);
	else
		__atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

void daxl_tally_call(struct daxl_tally *tally, unsigned op, const struct daxl_op_stats *more)
{
	bool own;
	unsigned stripe = my_stripe(&own);
	struct daxl_op_stats *line = &tally->stripe[stripe].op[op];

	add(&line->calls, more->calls, own);
	add(&line->errors, more->errors, own);
	add(&line->bytes, more->bytes, own);
	add(&line->fences, more->fences, own);
	add(&line->lines, more->lines, own);
	add(&line->timeouts, more->timeouts, own);
	if (daxl_likely(!daxl_toll_any()))
		return;
	add(&line->breaks, daxl_toll.breaks, own);
	add(&line->recalls, daxl_toll.recalls, own);
	add(&line->waits, daxl_toll.waits, own);
	add(&tally->stripe[stripe].sum[DAXL_TALLY_LOG_WAITS], daxl_toll.log_waits, own);
	add(&tally->stripe[stripe].sum[DAXL_TALLY_GRACE_WAITS], daxl_toll.grace_waits, own);
}

void daxl_tally_add(struct daxl_tally *tally, enum daxl_tally_sum which, int64_t n)
{
	bool own;
	unsigned stripe = my_stripe(&own);

	add(&tally->stripe[stripe].sum[which], (uint64_t)n, own);
}

uint64_t daxl_tally_sum(const struct daxl_tally *tally, enum daxl_tally_sum which)
{
	uint64_t sum = 0;

	for (unsigned s = 0; s < STRIPES; s++)
		sum += __atomic_load_n(&tally->stripe[s].sum[which], __ATOMIC_RELAXED);
	return (int64_t)sum < 0 ? 0 : sum; /* what was taken away had been added in a stripe that was read before that */
}

void daxl_tally_plain(struct daxl_tally *tally, unsigned op, bool failed)
{
	bool own;
	struct daxl_op_stats *line = &tally->stripe[my_stripe(&own)].op[op];

	add(&line->calls, 1, own);
	add(&line->errors, failed, own);
}

void daxl_tally_time(struct daxl_tally *tally, enum daxl_stat_histogram which, uint64_t ns)
{
	struct daxl_histogram *h = &tally->histogram[which];
	unsigned bucket = ns ? 63u - (unsigned)__builtin_clzll(ns) : 0;
	uint64_t max = __atomic_load_n(&h->max_ns, __ATOMIC_RELAXED);

	if (bucket >= DAXL_HISTOGRAM_BUCKETS)
		bucket = DAXL_HISTOGRAM_BUCKETS - 1;
	__atomic_fetch_add(&h->bucket[bucket], 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&h->sum_ns, ns, __ATOMIC_RELAXED);
	while (ns > max && !__atomic_compare_exchange_n(&h->max_ns, &max, ns, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
}

void daxl_tally_event(struct daxl_tally *tally, enum daxl_tally_event event, uint64_t n)
{
	__atomic_fetch_add(&tally->event[event], n, __ATOMIC_RELAXED);
}

static void read_line(const struct daxl_op_stats *line, struct daxl_op_stats *sum)
{
	sum->calls += __atomic_load_n(&line->calls, __ATOMIC_RELAXED);
	sum->errors += __atomic_load_n(&line->errors, __ATOMIC_RELAXED);
	sum->bytes += __atomic_load_n(&line->bytes, __ATOMIC_RELAXED);
	sum->fences += __atomic_load_n(&line->fences, __ATOMIC_RELAXED);
	sum->lines += __atomic_load_n(&line->lines, __ATOMIC_RELAXED);
	sum->breaks += __atomic_load_n(&line->breaks, __ATOMIC_RELAXED);
	sum->recalls += __atomic_load_n(&line->recalls, __ATOMIC_RELAXED);
	sum->waits += __atomic_load_n(&line->waits, __ATOMIC_RELAXED);
	sum->timeouts += __atomic_load_n(&line->timeouts, __ATOMIC_RELAXED);
}

static void read_histogram(const struct daxl_histogram *from, struct daxl_histogram *to)
{
	for (unsigned b = 0; b < DAXL_HISTOGRAM_BUCKETS; b++) {
		to->bucket[b] = __atomic_load_n(&from->bucket[b], __ATOMIC_RELAXED);
		to->count += to->bucket[b];
	}
	to->sum_ns = __atomic_load_n(&from->sum_ns, __ATOMIC_RELAXED);
	to->max_ns = __atomic_load_n(&from->max_ns, __ATOMIC_RELAXED);
}

void daxl_tally_read(const struct daxl_tally *tally, struct daxl_stats *ret)
{
	memset(ret, 0, sizeof(*ret));
	for (unsigned s = 0; s < STRIPES; s++)
		for (unsigned i = 0; i < DAXL_STAT_OPS; i++)
			read_line(&tally->stripe[s].op[i], &ret->op[i]);
	ret->log_waits = daxl_tally_sum(tally, DAXL_TALLY_LOG_WAITS);
	ret->grace_waits = daxl_tally_sum(tally, DAXL_TALLY_GRACE_WAITS);
	for (unsigned i = 0; i < DAXL_HISTOGRAMS; i++)
		read_histogram(&tally->histogram[i], &ret->histogram[i]);
	ret->fences_failed = __atomic_load_n(&tally->event[DAXL_TALLY_FENCES_FAILED], __ATOMIC_RELAXED);
	ret->revoked_fence = __atomic_load_n(&tally->event[DAXL_TALLY_REVOKED_FENCE], __ATOMIC_RELAXED);
	ret->revoked_limbo = __atomic_load_n(&tally->event[DAXL_TALLY_REVOKED_LIMBO], __ATOMIC_RELAXED);
	ret->limbo_blocks = __atomic_load_n(&tally->event[DAXL_TALLY_LIMBO_BLOCKS], __ATOMIC_RELAXED);
}
