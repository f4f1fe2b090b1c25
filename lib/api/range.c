/* SPDX-License-Identifier: BSD-3-Clause */
/* <daxlayout/range.h>: layout changes. */
#include <daxlayout/range.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>

#include "api/wall.h"

static unsigned count_of_mode(int mode)
{
	switch (mode & ~FALLOC_FL_KEEP_SIZE) {
	case FALLOC_FL_PUNCH_HOLE:
		return DAXL_STAT_PUNCH;
	case FALLOC_FL_ZERO_RANGE:
		return DAXL_STAT_ZERO;
	case FALLOC_FL_COLLAPSE_RANGE:
		return DAXL_STAT_COLLAPSE;
	case FALLOC_FL_INSERT_RANGE:
		return DAXL_STAT_INSERT;
	case FALLOC_FL_UNSHARE_RANGE:
		return DAXL_STAT_UNSHARE;
	default:
		return DAXL_STAT_ALLOCATE;
	}
}

static int check_mode(int mode)
{
	int op = mode & ~FALLOC_FL_KEEP_SIZE;
	bool keep = mode & FALLOC_FL_KEEP_SIZE;

	if (mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE | FALLOC_FL_COLLAPSE_RANGE |
	             FALLOC_FL_INSERT_RANGE | FALLOC_FL_UNSHARE_RANGE))
		return daxl_fail(EOPNOTSUPP, "mode %#x has unknown bits", (unsigned)mode);
	if (op & (op - 1))
		return daxl_fail(EOPNOTSUPP, "mode %#x asks for two operations at once", (unsigned)mode);
	if (op == FALLOC_FL_PUNCH_HOLE && !keep)
		return daxl_fail(EOPNOTSUPP, "PUNCH_HOLE goes with KEEP_SIZE only");
	if ((op == FALLOC_FL_COLLAPSE_RANGE || op == FALLOC_FL_INSERT_RANGE) && keep)
		return daxl_fail(EOPNOTSUPP, "COLLAPSE_RANGE and INSERT_RANGE do not go with KEEP_SIZE");
	return 0;
}

static int check_aligned(const struct daxl_file *file, off_t off, off_t len)
{
	unsigned shift = file->pool->block_shift;

	if (daxl_offset_in_block((uint64_t)off, shift) || daxl_offset_in_block((uint64_t)len, shift))
		return daxl_fail(EINVAL, "offset %lld and length %lld must be multiples of the block size %llu", (long long)off,
		                 (long long)len, 1ull << shift);
	return 0;
}

static int fallocate_checked(struct daxl_file *file, int mode, off_t off, off_t len, const struct daxl_wait *wait)
{
	uint64_t uoff = (uint64_t)off, ulen = (uint64_t)len;
	bool keep = mode & FALLOC_FL_KEEP_SIZE;
	int op = mode & ~FALLOC_FL_KEEP_SIZE;
	int rc = check_mode(mode);

	if (!rc)
		rc = daxl_check_writable(file);
	if (!rc)
		rc = daxl_check_max(file, off, len);
	if (!rc && (op == FALLOC_FL_COLLAPSE_RANGE || op == FALLOC_FL_INSERT_RANGE))
		rc = check_aligned(file, off, len);
	if (rc)
		return rc;
	switch (op) {
	case FALLOC_FL_PUNCH_HOLE:
		return daxl_do_punch(file, uoff, ulen, wait);
	case FALLOC_FL_ZERO_RANGE:
		return daxl_do_zero(file, uoff, ulen, keep, wait);
	case FALLOC_FL_COLLAPSE_RANGE:
		return daxl_do_collapse(file, uoff, ulen, wait);
	case FALLOC_FL_INSERT_RANGE:
		return daxl_do_insert(file, uoff, ulen, wait);
	case FALLOC_FL_UNSHARE_RANGE:
		return daxl_do_unshare(file, uoff, ulen, wait);
	default:
		return daxl_do_allocate(file, uoff, ulen, keep, wait);
	}
}

DAXL_API int daxl_fallocate(struct daxl_file *file, int mode, off_t off, off_t len, const struct daxl_wait *wait)
{
	DAXL_NEED(file);
	struct daxl_count count = daxl_count_begin(file->pool->tally, count_of_mode(mode));
	struct daxl_wait buf;
	const struct daxl_wait *w = NULL;
	int rc = daxl_check_range(off, len);

	if (!rc)
		rc = daxl_wait_copy(wait, &buf, &w);
	if (!rc)
		rc = fallocate_checked(file, mode, off, len, w);
	return daxl_count_end_int(&count, rc);
}

DAXL_API int daxl_truncate(struct daxl_file *file, off_t size, const struct daxl_wait *wait)
{
	DAXL_NEED(file);
	struct daxl_count count = daxl_count_begin(file->pool->tally, DAXL_STAT_TRUNCATE);
	struct daxl_wait buf;
	const struct daxl_wait *w = NULL;
	int rc = size < 0 ? daxl_fail(EINVAL, "size %lld is negative", (long long)size) : 0;

	if (!rc)
		rc = daxl_check_writable(file);
	if (!rc)
		rc = daxl_check_max(file, size, 0);
	if (!rc)
		rc = daxl_wait_copy(wait, &buf, &w);
	if (!rc)
		rc = daxl_do_truncate(file, (uint64_t)size, w);
	return daxl_count_end_int(&count, rc);
}

static int check_break(off_t off, off_t len, int level)
{
	int rc = daxl_check_range(off, len);

	if (!rc && level != DAXL_BREAK_WRITE && level != DAXL_BREAK_UNMAP)
		rc = daxl_fail(EINVAL, "level %d is neither DAXL_BREAK_WRITE nor DAXL_BREAK_UNMAP", level);
	return rc;
}

/* A break to the end has no limit; any other must end within the largest file. */
static int check_break_max(const struct daxl_file *file, off_t off, off_t len)
{
	return len == DAXL_TO_END ? daxl_check_max(file, off, 0) : daxl_check_max(file, off, len);
}

DAXL_API int daxl_break(struct daxl_file *file, off_t off, off_t len, int level, const struct daxl_wait *wait)
{
	DAXL_NEED(file);
	struct daxl_count count = daxl_count_begin(file->pool->tally, DAXL_STAT_BREAK);
	struct daxl_wait buf;
	const struct daxl_wait *w = NULL;
	int rc = check_break(off, len, level);

	if (!rc)
		rc = daxl_check_writable(file);
	if (!rc)
		rc = check_break_max(file, off, len);
	if (!rc)
		rc = daxl_wait_copy(wait, &buf, &w);
	if (!rc)
		rc = daxl_do_break(file, (uint64_t)off, (uint64_t)len, level, w);
	return daxl_count_end_int(&count, rc);
}

DAXL_API int daxl_break_begin(struct daxl_file *file, off_t off, off_t len, int level, const struct daxl_wait *wait,
                              struct daxl_break_handle **ret_break)
{
	DAXL_NEED(file);
	DAXL_NEED(ret_break);
	struct daxl_count count = daxl_count_begin(file->pool->tally, DAXL_STAT_BREAK);
	struct daxl_wait buf;
	const struct daxl_wait *w = NULL;
	int rc = check_break(off, len, level);

	if (!rc)
		rc = daxl_check_writable(file);
	if (!rc)
		rc = check_break_max(file, off, len);
	if (!rc)
		rc = daxl_wait_copy(wait, &buf, &w);
	if (!rc)
		rc = daxl_do_break_begin(file, (uint64_t)off, (uint64_t)len, level, w, ret_break);
	return daxl_count_end_int(&count, rc);
}

DAXL_API int daxl_break_poll(struct daxl_break_handle *handle)
{
	DAXL_NEED(handle);
	int rc = daxl_abreak_poll(handle);

	if (rc == -ETIMEDOUT) /* perhaps found out long ago, or by another thread: says so each time */
		return daxl_fail(ETIMEDOUT, "the break's time is over, and not all holders have given way");
	return rc == -ECANCELED ? daxl_fail(ECANCELED, "the break was cancelled") : rc;
}

DAXL_API void daxl_break_end(struct daxl_break_handle *handle)
{
	if (handle)
		daxl_abreak_end(handle);
}

DAXL_API int daxl_cancel_new(struct daxl_cancel **ret_cancel)
{
	DAXL_NEED(ret_cancel);
	return daxl_cancel_create(ret_cancel);
}

DAXL_API void daxl_cancel_all(struct daxl_cancel *cancel)
{
	if (cancel)
		daxl_cancel_fire(cancel);
}

DAXL_API void daxl_cancel_free(struct daxl_cancel *cancel)
{
	daxl_cancel_destroy(cancel);
}

/* What clone, dedupe, exchange and copy ask of their two files, before anything about offsets. */
static int check_two(const struct daxl_file *src, off_t src_off, const struct daxl_file *dst, off_t dst_off, off_t len)
{
	if (src_off < 0 || dst_off < 0 || len < 0)
		return daxl_fail(EINVAL, "offsets %lld, %lld or length %lld are negative", (long long)src_off, (long long)dst_off,
		                 (long long)len);
	if (!src->readable)
		return daxl_fail(EBADF, "the source was not opened for reading");
	if (daxl_check_writable(dst))
		return -EBADF;
	if (src->pool != dst->pool)
		return daxl_fail(EXDEV, "the files are in different pools");
	return 0;
}

static int check_max_both(const struct daxl_file *a, off_t a_off, const struct daxl_file *b, off_t b_off, off_t len)
{
	int rc = daxl_check_max(a, a_off, len);

	return rc ? rc : daxl_check_max(b, b_off, len);
}

static int check_starts(const struct daxl_file *file, off_t a_off, off_t b_off)
{
	unsigned shift = file->pool->block_shift;

	if (daxl_offset_in_block((uint64_t)a_off, shift) || daxl_offset_in_block((uint64_t)b_off, shift))
		return daxl_fail(EINVAL, "offsets %lld and %lld must be multiples of the block size %llu", (long long)a_off,
		                 (long long)b_off, 1ull << shift);
	return 0;
}

DAXL_API int daxl_clone_range(struct daxl_file *src, off_t src_off, struct daxl_file *dst, off_t dst_off, off_t len,
                              const struct daxl_wait *wait)
{
	DAXL_NEED(src);
	DAXL_NEED(dst);
	struct daxl_count count = daxl_count_begin(dst->pool->tally, DAXL_STAT_CLONE);
	struct daxl_wait buf;
	const struct daxl_wait *w = NULL;
	int rc = check_two(src, src_off, dst, dst_off, len);

	if (!rc)
		rc = daxl_check_max(dst, dst_off, len);
	if (!rc)
		rc = check_starts(dst, src_off, dst_off);
	if (!rc)
		rc = daxl_wait_copy(wait, &buf, &w);
	if (!rc)
		rc = daxl_do_clone(src, (uint64_t)src_off, dst, (uint64_t)dst_off, (uint64_t)len, w);
	return daxl_count_end_int(&count, rc);
}

DAXL_API int daxl_dedupe_range(struct daxl_file *src, off_t src_off, struct daxl_file *dst, off_t dst_off, off_t len,
                               const struct daxl_wait *wait, bool *ret_same)
{
	DAXL_NEED(src);
	DAXL_NEED(dst);
	DAXL_NEED(ret_same);
	struct daxl_count count = daxl_count_begin(dst->pool->tally, DAXL_STAT_DEDUPE);
	struct daxl_wait buf;
	const struct daxl_wait *w = NULL;
	int rc = check_two(src, src_off, dst, dst_off, len);

	if (!rc)
		rc = check_max_both(src, src_off, dst, dst_off, len);
	if (!rc)
		rc = check_starts(dst, src_off, dst_off);
	if (!rc)
		rc = daxl_wait_copy(wait, &buf, &w);
	if (!rc && len == 0)
		*ret_same = true;
	else if (!rc)
		rc = daxl_do_dedupe(src, (uint64_t)src_off, dst, (uint64_t)dst_off, (uint64_t)len, w, ret_same);
	return daxl_count_end_int(&count, rc);
}

static int check_exchange(const struct daxl_file *a, off_t a_off, const struct daxl_file *b, off_t b_off, off_t len)
{
	int rc = len == 0 ? daxl_fail(EINVAL, "length is 0") : check_two(a, a_off, b, b_off, len);

	if (!rc)
		rc = daxl_check_writable(a);
	if (!rc && len == DAXL_TO_END && (a_off || b_off))
		rc = daxl_fail(EINVAL, "whole files are exchanged with both offsets 0");
	if (!rc && len != DAXL_TO_END)
		rc = check_max_both(a, a_off, b, b_off, len);
	if (!rc)
		rc = check_starts(a, a_off, b_off);
	if (!rc && a->ino == b->ino &&
	    (len == DAXL_TO_END || (len > a_off - b_off && len > b_off - a_off)))
		rc = daxl_fail(EINVAL, "the two ranges overlap");
	return rc;
}

DAXL_API int daxl_exchange_range(struct daxl_file *a, off_t a_off, struct daxl_file *b, off_t b_off, off_t len,
                                 const struct daxl_wait *wait)
{
	DAXL_NEED(a);
	DAXL_NEED(b);
	struct daxl_count count = daxl_count_begin(a->pool->tally, DAXL_STAT_EXCHANGE);
	struct daxl_wait buf;
	const struct daxl_wait *w = NULL;
	int rc = check_exchange(a, a_off, b, b_off, len);

	if (!rc)
		rc = daxl_wait_copy(wait, &buf, &w);
	if (!rc)
		rc = daxl_do_exchange(a, (uint64_t)a_off, b, (uint64_t)b_off, (uint64_t)len, w);
	return daxl_count_end_int(&count, rc);
}

DAXL_API ssize_t daxl_copy_range(struct daxl_file *src, off_t src_off, struct daxl_file *dst, off_t dst_off, size_t len)
{
	DAXL_NEED(src);
	DAXL_NEED(dst);
	struct daxl_count count = daxl_count_begin(dst->pool->tally, DAXL_STAT_COPY);
	ssize_t rc = len > SSIZE_MAX ? daxl_fail(EINVAL, "length %zu is more than SSIZE_MAX", len)
	                             : check_two(src, src_off, dst, dst_off, (off_t)len);

	if (!rc && (dst->oflags & O_APPEND))
		rc = daxl_fail(EBADF, "the destination was opened with O_APPEND");
	if (!rc)
		rc = daxl_check_max(dst, dst_off, (off_t)len);
	if (!rc && len)
		rc = daxl_do_copy(src, (uint64_t)src_off, dst, (uint64_t)dst_off, len);
	return daxl_count_end(&count, rc, true);
}
