/* SPDX-License-Identifier: BSD-3-Clause */
/* Argument checks that several calls share. */
#include <errno.h>
#include <string.h>

#include "api/wall.h"

int daxl_opts_copy(const char *name, const void *from, void *to, size_t known)
{
	size_t size;

	memcpy(&size, from, sizeof(size));
	if (size < known)
		return daxl_fail(EINVAL, "struct %s: size %zu is less than the %zu of version 0.1; use its INIT macro", name, size,
		                 known);
	const unsigned char *bytes = from;

	for (size_t i = known; i < size; i++)
		if (bytes[i] != 0)
			return daxl_fail(E2BIG, "struct %s: byte %zu is set, which only a newer library knows", name, i);
	memcpy(to, from, known);
	memcpy(to, &known, sizeof(known));
	return 0;
}

int daxl_wait_check(const struct daxl_wait *from, struct daxl_wait *buf)
{
	int rc = daxl_opts_copy("daxl_wait", from, buf, sizeof(*buf));

	if (rc)
		return rc;
	if (buf->timeout_ms < -1)
		return daxl_fail(EINVAL, "daxl_wait.timeout_ms %lld is negative", (long long)buf->timeout_ms);
	if (buf->on_timeout < DAXL_ON_TIMEOUT_FAIL || buf->on_timeout > DAXL_ON_TIMEOUT_LIMBO)
		return daxl_fail(EINVAL, "daxl_wait.on_timeout %d is unknown", buf->on_timeout);
	return 0;
}
