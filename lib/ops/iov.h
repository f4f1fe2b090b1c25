/* SPDX-License-Identifier: BSD-3-Clause */
/* A cursor over an iovec array. */
#ifndef DAXL_OPS_IOV_H
#define DAXL_OPS_IOV_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct daxl_iov {
	const struct iovec *iov;
	int n;
	size_t skip; /* bytes of iov[0] already used */
	size_t left; /* bytes in all */
};

static inline void daxl_iov_init(struct daxl_iov *it, const struct iovec *iov, int iovcnt)
{
	*it = (struct daxl_iov){ .iov = iov, .n = iovcnt };
	for (int i = 0; i < iovcnt; i++)
		it->left += iov[i].iov_len;
}

/* The contiguous bytes at the cursor (at least one while left > 0). */
static inline char *daxl_iov_span(struct daxl_iov *it, size_t *ret_len)
{
	while (it->skip == it->iov->iov_len) {
		it->iov++;
		it->n--;
		it->skip = 0;
	}
	*ret_len = it->iov->iov_len - it->skip;
	return (char *)it->iov->iov_base + it->skip;
}

static inline void daxl_iov_skip(struct daxl_iov *it, size_t len)
{
	it->left -= len;
	while (len) {
		size_t span;

		(void)daxl_iov_span(it, &span);
		if (span > len)
			span = len;
		it->skip += span;
		len -= span;
	}
}

#endif
