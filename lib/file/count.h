/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Counting one call, or a checkpoint: begin where it starts, end with its result. What is counted inside of it (a call from a holder's function, a checkpoint
 * because the log is half full) counts for itself and not for the outer one: who calls a holder's function, or begins a checkpoint, keeps the toll aside. Else
 * nobody is inside a call when one begins, and what its thread has on the toll is of no account.
 */
#ifndef DAXL_FILE_COUNT_H
#define DAXL_FILE_COUNT_H

#include <errno.h>
#include <sys/types.h>

#include "base/tally.h"

struct daxl_count {
	struct daxl_tally *tally; /* NULL: nothing is counted (the checkpoint of an open) */
	unsigned op;
	int saved_errno; /* is put back: system calls and libpmem2 may change it */
};

DAXL_INLINE struct daxl_count daxl_count_begin(struct daxl_tally *tally, unsigned op)
{
	daxl_toll_clear();
	return (struct daxl_count){ .tally = tally, .op = op, .saved_errno = errno };
}

/* Counts it; ret is passed through (a count of bytes when positive and bytes is true). */
DAXL_INLINE ssize_t daxl_count_end(const struct daxl_count *count, ssize_t ret, bool bytes)
{
	if (daxl_likely(count->tally != NULL))
		daxl_tally_call(count->tally, count->op, ret, bytes && ret > 0 ? (uint64_t)ret : 0);
	errno = count->saved_errno;
	return ret;
}

DAXL_INLINE int daxl_count_end_int(const struct daxl_count *count, int ret)
{
	return (int)daxl_count_end(count, ret, false);
}

#endif
