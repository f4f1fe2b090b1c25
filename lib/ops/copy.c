/* SPDX-License-Identifier: BSD-3-Clause */
/* Copying a range between files: whole blocks are cloned where both sides are aligned alike, the rest goes through a buffer. */
#include <errno.h>

#include "base/error.h"
#include "base/hook.h"
#include "ops/iov.h"
#include "ops/ops.h"

#define BUFFER (256u << 10)

static ssize_t copy_bytes(struct daxl_file *src, uint64_t src_off, struct daxl_file *dst, uint64_t dst_off, uint64_t len)
{
	uint64_t done = 0;
	char *buf = len ? daxl_alloc(daxl_min_u64(len, BUFFER)) : NULL;
	ssize_t n = 0;

	if (len && !buf)
		return daxl_fail(ENOMEM, "no memory for the copy buffer");
	while (done < len) {
		struct iovec iov = { .iov_base = buf, .iov_len = daxl_min_u64(len - done, BUFFER) };
		struct daxl_iov in = { .iov = &iov, .left = iov.iov_len }, out = { .iov = &iov };

		n = daxl_do_read(src, &in, src_off + done);
		if (n <= 0)
			break;
		iov.iov_len = out.left = (size_t)n;
		n = daxl_do_write(dst, &out, dst_off + done, DAXL_DO_WRITE_COPY, NULL);
		if (n < 0)
			break;
		done += (uint64_t)n;
	}
	daxl_free(buf);
	return done || n >= 0 ? (ssize_t)done : n;
}

ssize_t daxl_do_copy(struct daxl_file *src, uint64_t src_off, struct daxl_file *dst, uint64_t dst_off, size_t len)
{
	unsigned shift = src->pool->block_shift;
	uint64_t block = daxl_blocks_to_bytes(1, shift), done = 0;

	daxl_rcu_read_lock();
	uint64_t size = daxl_version_get(src->ino)->size;

	daxl_rcu_read_unlock();
	if (src_off >= size)
		return 0;
	uint64_t n = daxl_min_u64(len, size - src_off);

	if (src->ino == dst->ino && src_off < dst_off + n && dst_off < src_off + n)
		return daxl_fail(EINVAL, "source and destination range overlap");
	uint64_t head = (block - daxl_offset_in_block(src_off, shift)) & (block - 1);

	if (src->pool == dst->pool && daxl_offset_in_block(src_off, shift) == daxl_offset_in_block(dst_off, shift) &&
	    head < n && n - head >= block) {
		uint64_t middle = (n - head) & ~(block - 1);
		ssize_t got = copy_bytes(src, src_off, dst, dst_off, head);

		if (got < 0 || (uint64_t)got < head)
			return got;
		done = head;
		int rc = daxl_do_clone_for_copy(src, src_off + head, dst, dst_off + head, middle);

		if (rc == 0)
			done += middle;
		else if (rc != -EINVAL) /* -EINVAL: the source shrank meanwhile; copying finds out how far it goes */
			return done ? (ssize_t)done : rc;
	}
	ssize_t rest = copy_bytes(src, src_off + done, dst, dst_off + done, n - done);

	if (rest < 0)
		return done ? (ssize_t)done : rest;
	return (ssize_t)done + rest;
}
