/* SPDX-License-Identifier: BSD-3-Clause */
/* A cursor over an iovec array. */
#ifndef DAXL_OPS_IOV_H
#define DAXL_OPS_IOV_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct daxl_iov {
	const struct iovec *iov;
	size_t skip; /* bytes of iov[0] already used */
	size_t left; /* bytes in all */
};

/* The contiguous bytes at the cursor (at least one while left > 0). */
static inline char *daxl_iov_span(struct daxl_iov *it, size_t *ret_len)
{
	while (it->skip == it->iov->iov_len) {
		it->iov++;
		it->skip = 0;
	}
	*ret_len = it->iov->iov_len - it->skip;
	return (char *)it->iov->iov_base + it->skip;
}

/* Moves the cursor over len bytes of the span it is at. */
static inline void daxl_iov_use(struct daxl_iov *it, size_t len)
{
	it->skip += len;
	it->left -= len;
}

static inline void daxl_iov_skip(struct daxl_iov *it, size_t len)
{
	while (len) {
		size_t span;

		(void)daxl_iov_span(it, &span);
		if (span > len)
			span = len;
		daxl_iov_use(it, span);
		len -= span;
	}
}

#endif
