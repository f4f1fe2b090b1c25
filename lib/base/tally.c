/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/tally.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/hook.h"

_Thread_local struct daxl_toll daxl_toll;

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
static struct daxl_tally_stripe *my_stripe(struct daxl_tally *tally, bool *ret_own)
{
	return &tally->stripe[daxl_thread_place(DAXL_TALLY_OWN, DAXL_TALLY_STRIPES - DAXL_TALLY_OWN, ret_own)];
}

static void add(uint64_t *counter, uint64_t n, bool own)
{
	if (n == 0)
		return;
	if (own)
		daxl_tally_own(counter, n);
	else
		__atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

void daxl_tally_add(struct daxl_tally *tally, unsigned op, const struct daxl_op_stats *more)
{
	bool own;
	struct daxl_op_stats *line = &my_stripe(tally, &own)->op[op];

	add(&line->calls, more->calls, own);
	add(&line->errors, more->errors, own);
	add(&line->bytes, more->bytes, own);
	add(&line->fences, more->fences, own);
	add(&line->lines, more->lines, own);
	add(&line->breaks, more->breaks, own);
	add(&line->recalls, more->recalls, own);
	add(&line->waits, more->waits, own);
	add(&line->timeouts, more->timeouts, own);
}

void daxl_tally_toll(struct daxl_tally *tally, unsigned op)
{
	bool own;
	struct daxl_tally_stripe *stripe = my_stripe(tally, &own);
	struct daxl_op_stats more = {
		.fences = daxl_toll.fences,
		.lines = daxl_toll.lines,
		.breaks = daxl_toll.breaks,
		.recalls = daxl_toll.recalls,
		.waits = daxl_toll.waits,
	};

	daxl_tally_add(tally, op, &more);
	add(&stripe->sum[DAXL_TALLY_LOG_WAITS], daxl_toll.log_waits, own);
	add(&stripe->sum[DAXL_TALLY_GRACE_WAITS], daxl_toll.grace_waits, own);
}

void daxl_tally_count(struct daxl_tally *tally, enum daxl_tally_sum which, int64_t n)
{
	bool own;
	struct daxl_tally_stripe *stripe = my_stripe(tally, &own);

	add(&stripe->sum[which], (uint64_t)n, own);
}

uint64_t daxl_tally_sum(const struct daxl_tally *tally, enum daxl_tally_sum which)
{
	uint64_t sum = 0;

	for (unsigned s = 0; s < DAXL_TALLY_STRIPES; s++)
		sum += __atomic_load_n(&tally->stripe[s].sum[which], __ATOMIC_RELAXED);
	return (int64_t)sum < 0 ? 0 : sum; /* what was taken away had been added in a stripe that was read before that */
}

void daxl_tally_any_call(struct daxl_tally *tally, unsigned op, int64_t ret, uint64_t bytes)
{
	struct daxl_op_stats more = { .calls = 1, .errors = ret < 0, .bytes = bytes, .timeouts = ret == -ETIMEDOUT };

	daxl_tally_add(tally, op, &more);
	daxl_tally_toll(tally, op);
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
	for (unsigned s = 0; s < DAXL_TALLY_STRIPES; s++)
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
