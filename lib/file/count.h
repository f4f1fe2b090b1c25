/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Counting one call, or a checkpoint: begin where it starts, end with its result. What is counted inside of it (a call from a holder's function, a checkpoint
 * because the log is half full) counts for itself and not for the outer one.
 */
#ifndef DAXL_FILE_COUNT_H
#define DAXL_FILE_COUNT_H

#include <sys/types.h>

#include "base/tally.h"
#include "media/media.h"

struct daxl_count {
	struct daxl_tally *tally; /* NULL: nothing is counted (the checkpoint of an open) */
	unsigned op;
	int saved_errno; /* is put back: system calls and libpmem2 may change it */
	struct daxl_toll outer;
	struct daxl_media_counts before, inner;
};

struct daxl_count daxl_count_begin(struct daxl_tally *tally, unsigned op);
/* Counts it; ret is passed through (a count of bytes when positive and bytes is true). */
ssize_t daxl_count_end(const struct daxl_count *count, ssize_t ret, bool bytes);
int daxl_count_end_int(const struct daxl_count *count, int ret);

#endif
