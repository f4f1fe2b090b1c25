/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The wall: public calls check their arguments in the order that callers of fallocate(2) and the like know, count themselves, and
 * call the operation. Nothing behind the wall checks an argument again, nothing in front knows how anything is stored.
 */
#ifndef DAXL_API_WALL_H
#define DAXL_API_WALL_H

#include <errno.h>

#include "base/error.h"
#include "file/count.h"
#include "file/file.h"
#include "ops/ops.h"

/* Copies a caller's option struct of any age: its first field is its size. -EINVAL when shorter than the oldest version known, -E2BIG when longer with
 * something set that is unknown here. */
int daxl_opts_copy(const char *name, const void *from, void *to, size_t known);
/* The slow half of daxl_wait_copy: from is not NULL. */
int daxl_wait_check(const struct daxl_wait *from, struct daxl_wait *buf);

/* A wait as the caller gave it (or NULL) checked and copied to buf; *ret is buf or NULL. */
static inline int daxl_wait_copy(const struct daxl_wait *from, struct daxl_wait *buf, const struct daxl_wait **ret)
{
	int rc = from ? daxl_wait_check(from, buf) : 0;

	if (!rc)
		*ret = from ? buf : NULL;
	return rc;
}

/* Signs: off >= 0, len > 0. -EINVAL. */
static inline int daxl_check_range(off_t off, off_t len)
{
	if (off < 0)
		return daxl_fail(EINVAL, "offset %lld is negative", (long long)off);
	if (len <= 0)
		return daxl_fail(EINVAL, "length %lld is not positive", (long long)len);
	return 0;
}

/* -EBADF unless the handle may write. */
static inline int daxl_check_writable(const struct daxl_file *file)
{
	if (!file->writable)
		return daxl_fail(EBADF, "the file was opened for reading only");
	return 0;
}

/* off + len within the largest file. -EFBIG. */
static inline int daxl_check_max(const struct daxl_file *file, off_t off, off_t len)
{
	uint64_t max = file->pool->max_file_size;

	if ((uint64_t)off > max || (uint64_t)len > max - (uint64_t)off)
		return daxl_fail(EFBIG, "[%lld, +%lld) ends past the largest file size of %llu bytes", (long long)off,
		                 (long long)len, (unsigned long long)max);
	return 0;
}

#endif
