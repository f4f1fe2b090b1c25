/* SPDX-License-Identifier: BSD-3-Clause */
/* How the harness prints: text for who runs one program, one JSON object for tests/bench/run. index counts rows. */
#ifndef DAXL_BENCH_REPORT_H
#define DAXL_BENCH_REPORT_H

#include "harness.h"

void report_header(const char *program, bool json, double seconds);
void report_footer(void);
/* A peer with a name and no function is missing, for the reason given; times has no entry for it. */
void report_path(const struct bench_path *path, const struct bench_times *times, const char *const *missing,
                 unsigned index);
void report_figures(const char *name, const struct bench_figure *figures, unsigned n, unsigned index);
void report_point(const char *curve, const char *by, double x, double ns, unsigned index);

#endif
