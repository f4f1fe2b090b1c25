/* SPDX-License-Identifier: BSD-3-Clause */
#include "file/count.h"

#include <errno.h>

/* What has been counted inside of the call this thread is in. */
static _Thread_local struct daxl_media_counts inner __attribute__((tls_model("initial-exec")));

struct daxl_count daxl_count_begin(struct daxl_tally *tally, unsigned op)
{
	struct daxl_count count = {
		.tally = tally,
		.op = op,
		.saved_errno = errno,
		.outer = daxl_toll_begin(),
		.before = daxl_media_counts(),
		.inner = inner,
	};

	inner = (struct daxl_media_counts){ 0 };
	return count;
}

ssize_t daxl_count_end(const struct daxl_count *count, ssize_t ret, bool bytes)
{
	struct daxl_media_counts now = daxl_media_counts();
	uint64_t fences = now.fences - count->before.fences, lines = now.lines - count->before.lines;
	struct daxl_op_stats more = {
		.calls = 1,
		.errors = ret < 0,
		.bytes = bytes && ret > 0 ? (uint64_t)ret : 0,
		.fences = fences - inner.fences,
		.lines = lines - inner.lines,
		.timeouts = ret == -ETIMEDOUT,
	};

	if (count->tally)
		daxl_tally_call(count->tally, count->op, &more);
	daxl_toll_end(count->outer);
	inner.fences = count->inner.fences + fences;
	inner.lines = count->inner.lines + lines;
	errno = count->saved_errno;
	return ret;
}

int daxl_count_end_int(const struct daxl_count *count, int ret)
{
	return (int)daxl_count_end(count, ret, false);
}
