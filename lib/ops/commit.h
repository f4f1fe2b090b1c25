/* SPDX-License-Identifier: BSD-3-Clause */
/* Log credit that a WRITE lease keeps for one commit, so that a commit never waits for room (L7). */
#ifndef DAXL_OPS_COMMIT_H
#define DAXL_OPS_COMMIT_H

#include "file/file.h"
#include "lease/lease.h"

/* Slots of a commit's record; what does not fit goes to payload pages. */
#define DAXL_COMMIT_SLOTS 2u

/* Takes credit and leaves it with the lease, which gives it back when it ends. Nothing may be held. -ENOSPC. */
int daxl_commit_credit_keep(struct daxl_lease *lease, struct daxl_pool *pool);
/* Gives it back to the log of the lease's file. */
void daxl_commit_credit_give(void *file, unsigned slots);

#endif
