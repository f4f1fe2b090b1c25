/* SPDX-License-Identifier: BSD-3-Clause */
/* The one thread that the library starts, and only if asked: it writes a checkpoint now and then. */
#ifndef DAXL_FILE_BACKGROUND_H
#define DAXL_FILE_BACKGROUND_H

#include <stdint.h>

#include "base/role.h"

struct daxl_background;
struct daxl_pool;

/* Checkpoints the pool each interval in which something was logged. -ENOMEM, -EAGAIN. */
int daxl_background_start(struct daxl_pool *pool, uint32_t interval_ms, struct daxl_background **ret_background);
/* Ends the thread, after its checkpoint if it is in one. NULL: nothing. */
void daxl_background_stop(struct daxl_background *background) DAXL_WAITS;

#endif
