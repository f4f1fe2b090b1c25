/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Counters. Each call counts itself in one of a few stripes, picked by thread, so that two threads do not share a line; pin, unpin and lookups count nothing.
 * The first threads of a process have a stripe each to themselves and count with plain loads and stores; those after them share stripes, and count with
 * read-modify-writes, which cost several times as much.
 */
#include <daxlayout/stats.h>

#include <errno.h>
#include <string.h>

#include "api/wall.h"
#include "base/hook.h"
#include "base/thread.h"

#define OWN_STRIPES 16u
#define STRIPES (OWN_STRIPES + 8u)

struct op_line { /* relaxed atomics */
	uint64_t calls, errors, bytes, fences, lines, timeouts;
};

struct daxl_stats_shared {
	struct {
		DAXL_CACHE_ALIGNED struct op_line op[DAXL_STAT_OPS];
	} stripe[STRIPES];
};

struct daxl_stats_shared *daxl_stats_shared_new(void)
{
	return daxl_zalloc(sizeof(struct daxl_stats_shared));
}

/* The calling thread's stripe, and whether it is nobody else's. */
static unsigned my_stripe(bool *ret_own)
{
	unsigned n = daxl_thread_number();

	*ret_own = n < OWN_STRIPES;
	return *ret_own ? n : OWN_STRIPES + n % (STRIPES - OWN_STRIPES);
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

struct daxl_count daxl_count_begin(struct daxl_pool *pool, unsigned op)
{
	return (struct daxl_count){ .pool = pool, .op = op, .before = daxl_media_counts(), .saved_errno = errno };
}

ssize_t daxl_count_end(const struct daxl_count *count, ssize_t ret, bool bytes)
{
	bool own;
	struct op_line *line = &count->pool->stats->stripe[my_stripe(&own)].op[count->op];
	struct daxl_media_counts now = daxl_media_counts();

	add(&line->calls, 1, own);
	add(&line->errors, ret < 0, own);
	add(&line->bytes, bytes && ret > 0 ? (uint64_t)ret : 0, own);
	add(&line->fences, now.fences - count->before.fences, own);
	add(&line->lines, now.lines - count->before.lines, own);
	add(&line->timeouts, ret == -ETIMEDOUT, own);
	errno = count->saved_errno;
	return ret;
}

int daxl_count_end_int(const struct daxl_count *count, int ret)
{
	return (int)daxl_count_end(count, ret, false);
}

DAXL_API int daxl_stats(struct daxl_pool *pool, struct daxl_stats *ret)
{
	DAXL_NEED(pool);
	DAXL_NEED(ret);
	struct daxl_domain_stat dom;
	struct daxl_histogram *h = &ret->histogram[DAXL_HISTOGRAM_BREAK_WAIT];

	memset(ret, 0, sizeof(*ret));
	for (unsigned s = 0; s < STRIPES; s++)
		for (unsigned i = 0; i < DAXL_STAT_OPS; i++) {
			struct op_line *line = &pool->stats->stripe[s].op[i];

			ret->op[i].calls += __atomic_load_n(&line->calls, __ATOMIC_RELAXED);
			ret->op[i].errors += __atomic_load_n(&line->errors, __ATOMIC_RELAXED);
			ret->op[i].bytes += __atomic_load_n(&line->bytes, __ATOMIC_RELAXED);
			ret->op[i].fences += __atomic_load_n(&line->fences, __ATOMIC_RELAXED);
			ret->op[i].lines += __atomic_load_n(&line->lines, __ATOMIC_RELAXED);
			ret->op[i].timeouts += __atomic_load_n(&line->timeouts, __ATOMIC_RELAXED);
		}
	daxl_domain_stat(pool->domain, &dom);
	for (unsigned i = 0; i < DAXL_ARRAY_LEN(dom.wait_hist); i++) {
		unsigned b = i < DAXL_HISTOGRAM_BUCKETS ? i : DAXL_HISTOGRAM_BUCKETS - 1;

		h->bucket[b] += dom.wait_hist[i];
		h->count += dom.wait_hist[i];
	}
	ret->revoked_fence = dom.fences;
	ret->revoked_limbo = dom.limbos;
	return 0;
}
