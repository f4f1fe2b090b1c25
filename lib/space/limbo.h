/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Limbo: blocks taken out of a file while leases were still busy on them. They belong to no file and are not free. A
 * limbo list holds one reference on each of its blocks and is held itself by every busy lease on it and by the
 * operation that made it; when the last hold is dropped the blocks lose the list's reference (and become free unless
 * shared). No locks; put may be called from any thread, also from a completion.
 */
#ifndef DAXL_SPACE_LIMBO_H
#define DAXL_SPACE_LIMBO_H

#include "space/space.h"

struct daxl_limbo;

/*
 * Made with one hold and no blocks. done(arg) (may be NULL) is called once, after the blocks were released; no lock
 * held.
 */
int daxl_limbo_create(struct daxl_space *space, void (*done)(void *arg), void *arg, struct daxl_limbo **ret_limbo);
/* Before it is shared with others: takes one more reference on the blocks (-ENOMEM). */
int daxl_limbo_add(struct daxl_limbo *limbo, daxl_blk_t blk, daxl_nblk_t len);
daxl_nblk_t daxl_limbo_blocks(const struct daxl_limbo *limbo);
/* Its blocks have become somebody's to keep: how many, the first time; then 0. For counting. */
daxl_nblk_t daxl_limbo_enter(struct daxl_limbo *limbo);
void daxl_limbo_get(struct daxl_limbo *limbo);
void daxl_limbo_put(struct daxl_limbo *limbo);
/* Blocks in limbo in this space, for stat; one that is in two lists counts twice. */
daxl_nblk_t daxl_limbo_total(const struct daxl_space *space);

#endif
