/* SPDX-License-Identifier: BSD-3-Clause */
/* <daxlayout/layout.h>: the map. */
#include <daxlayout/layout.h>

#include <errno.h>

#include "api/wall.h"

DAXL_API ssize_t daxl_map(struct daxl_file *file, off_t off, off_t len, struct daxl_extent *exts, size_t max)
{
	DAXL_NEED(file);
	DAXL_NEED_ARRAY(exts, max);
	struct daxl_count count = daxl_count_begin(file->pool->tally, DAXL_STAT_MAP);
	ssize_t rc = 0;

	if (off < 0 || len < 0)
		rc = daxl_fail(EINVAL, "offset %lld or length %lld is negative", (long long)off, (long long)len);
	else if (len > INT64_MAX - off) /* past any file there is nothing */
		len = DAXL_TO_END;
	if (!rc && len)
		rc = daxl_do_map(file, (uint64_t)off, (uint64_t)len, exts, max);
	return daxl_count_end(&count, rc, false);
}

DAXL_API off_t daxl_seek(struct daxl_file *file, off_t off, int whence)
{
	DAXL_NEED(file);
	struct daxl_count count = daxl_count_begin(file->pool->tally, DAXL_STAT_SEEK);
	off_t rc;

	if (whence != DAXL_SEEK_DATA && whence != DAXL_SEEK_HOLE)
		rc = daxl_fail(EINVAL, "whence %d is neither SEEK_DATA nor SEEK_HOLE", whence);
	else if (off < 0)
		rc = daxl_fail(EINVAL, "offset %lld is negative", (long long)off);
	else
		rc = daxl_do_seek(file, (uint64_t)off, whence == DAXL_SEEK_DATA);
	return (off_t)daxl_count_end(&count, (ssize_t)rc, false);
}
