/* SPDX-License-Identifier: BSD-3-Clause */
/* <daxlayout/lease.h>: the calls that look at a file's map. Those that touch only the lease are in lib/lease. */
#include <daxlayout/lease.h>

#include <errno.h>

#include "api/wall.h"
#include "lease/lease.h"

/* What the caller asked for, checked and copied to *o, its wait to *wait. */
static int copy_opts(struct daxl_file *file, const struct daxl_lease_opts *opts, struct daxl_lease_opts *o,
                     struct daxl_wait *wait)
{
	int rc = daxl_opts_copy("daxl_lease_opts", opts, o, sizeof(*o));

	if (!rc)
		rc = daxl_wait_copy(o->wait, wait, &o->wait);
	if (!rc)
		rc = daxl_lease_check_opts(o);
	if (!rc && o->mode == DAXL_LEASE_WRITE)
		rc = daxl_check_writable(file);
	return rc;
}

DAXL_API int daxl_lease_acquire(struct daxl_file *file, off_t off, off_t len, const struct daxl_lease_opts *opts,
                                struct daxl_lease **ret_lease)
{
	DAXL_NEED(file);
	DAXL_NEED(ret_lease);
	static const struct daxl_lease_opts read_opts = DAXL_LEASE_OPTS_INIT;
	struct daxl_count count = daxl_count_begin(file->pool->tally, DAXL_STAT_ACQUIRE);
	struct daxl_lease_opts o;
	struct daxl_wait wait;
	int rc = daxl_check_range(off, len);

	if (!rc && opts)
		rc = copy_opts(file, opts, &o, &wait);
	if (!rc)
		rc = daxl_check_max(file, off, len == DAXL_TO_END ? 0 : len);
	if (!rc)
		rc = daxl_do_acquire(file, (uint64_t)off, (uint64_t)len, opts ? &o : &read_opts, ret_lease);
	return daxl_count_end_int(&count, rc);
}

DAXL_API ssize_t daxl_lease_extents(struct daxl_lease *lease, struct daxl_extent *exts, size_t max)
{
	DAXL_NEED(lease);
	DAXL_NEED_ARRAY(exts, max);
	return daxl_do_lease_extents(lease, exts, max);
}

static struct daxl_pool *pool_of(const struct daxl_lease *lease)
{
	struct daxl_inode *ino = daxl_lease_file(lease);

	return ino->pool;
}

DAXL_API int daxl_lease_persist(struct daxl_lease *lease, off_t off, off_t len)
{
	DAXL_NEED(lease);
	struct daxl_count count = daxl_count_begin(pool_of(lease)->tally, DAXL_STAT_PERSIST);
	int rc = daxl_check_range(off, len);

	if (!rc && len > INT64_MAX - off)
		rc = daxl_fail(ERANGE, "[%lld, +%lld) is not all in the lease", (long long)off, (long long)len);
	if (!rc)
		rc = daxl_do_lease_persist(lease, (uint64_t)off, (uint64_t)len);
	return daxl_count_end_int(&count, rc);
}

DAXL_API int daxl_lease_commit(struct daxl_lease *lease, off_t off, off_t len, off_t new_size)
{
	DAXL_NEED(lease);
	struct daxl_count count = daxl_count_begin(pool_of(lease)->tally, DAXL_STAT_COMMIT);
	int rc = daxl_check_range(off, len);

	if (!rc && new_size < -1)
		rc = daxl_fail(EINVAL, "new size %lld is negative", (long long)new_size);
	if (!rc && len > INT64_MAX - off)
		rc = daxl_fail(ERANGE, "[%lld, +%lld) is not all in the lease", (long long)off, (long long)len);
	if (!rc)
		rc = daxl_do_commit(lease, (uint64_t)off, (uint64_t)len, (uint64_t)new_size, new_size >= 0);
	return daxl_count_end_int(&count, rc);
}

DAXL_API ssize_t daxl_busy(struct daxl_file *file, off_t off, off_t len, struct daxl_holder *holders, size_t max)
{
	DAXL_NEED(file);
	DAXL_NEED_ARRAY(holders, max);
	unsigned shift = file->pool->block_shift;
	int rc = daxl_check_range(off, len);

	if (rc)
		return rc;
	daxl_fblk_t end = len > INT64_MAX - off ? DAXL_FBLK_INF : daxl_range_end_blk((uint64_t)off, (uint64_t)len, shift);

	return (ssize_t)daxl_range_holders(file->ino->rl, daxl_bytes_to_blocks_down((uint64_t)off, shift), end, shift, holders,
	                                   max);
}
