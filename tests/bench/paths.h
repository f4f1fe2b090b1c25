/* SPDX-License-Identifier: BSD-3-Clause */
/* The parts of bench_paths. All work in one pool. */
#ifndef DAXL_BENCH_PATHS_H
#define DAXL_BENCH_PATHS_H

#include "harness.h"

void paths_lease(struct daxl_pool *pool);
void paths_write(struct daxl_pool *pool);
void paths_layout(struct daxl_pool *pool);

#endif
