/* SPDX-License-Identifier: BSD-3-Clause */
/* <daxlayout/check.h>. */
#include <daxlayout/check.h>

#include <errno.h>

#include "base/error.h"
#include "check/check.h"

DAXL_API int daxl_check(const char *path, unsigned flags, daxl_check_fn report, void *arg)
{
	DAXL_NEED(path);
	int saved_errno = errno;
	bool repair = flags & DAXL_CHECK_REPAIR;
	struct daxl_media *media;

	if (flags & ~(unsigned)DAXL_CHECK_REPAIR)
		return daxl_fail(EINVAL, "check flags %#x are unknown", flags & ~(unsigned)DAXL_CHECK_REPAIR);
	int rc = daxl_media_open(path, repair ? 0 : DAXL_MEDIA_READ_ONLY, 0, 0, &media);
	if (!rc)
		rc = daxl_check_media(media, repair, report, arg);
	errno = saved_errno;
	return rc;
}
