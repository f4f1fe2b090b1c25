/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The wall: public calls check their arguments in the order that callers of fallocate(2) and the like know, count themselves, and
 * call the operation. Nothing behind the wall checks an argument again, nothing in front knows how anything is stored.
 */
#ifndef DAXL_API_WALL_H
#define DAXL_API_WALL_H

#include "base/error.h"
#include "file/count.h"
#include "file/file.h"
#include "ops/ops.h"

/* Copies a caller's option struct of any age: its first field is its size. -EINVAL when shorter than the oldest version known, -E2BIG when longer with
 * something set that is unknown here. */
int daxl_opts_copy(const char *name, const void *from, void *to, size_t known);
/* A wait as the caller gave it (or NULL) checked and copied to buf; *ret is buf or NULL. */
int daxl_wait_copy(const struct daxl_wait *from, struct daxl_wait *buf, const struct daxl_wait **ret);

/* Signs: off >= 0, len > 0. -EINVAL. */
int daxl_check_range(off_t off, off_t len);
/* -EBADF unless the handle may write. */
int daxl_check_writable(const struct daxl_file *file);
/* off + len within the largest file. -EFBIG. */
int daxl_check_max(const struct daxl_file *file, off_t off, off_t len);

#endif
