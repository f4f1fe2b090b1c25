/* SPDX-License-Identifier: BSD-3-Clause */
/* <daxlayout/pool.h>, <daxlayout/error.h>, <daxlayout/version.h>. */
#include <daxlayout/pool.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>

#include <daxlayout/error.h>
#include <daxlayout/version.h>

#include "api/wall.h"
#include "base/hook.h"

DAXL_API unsigned daxl_version(void)
{
	return (unsigned)DAXL_VERSION_MAJOR << 16 | (unsigned)DAXL_VERSION_MINOR << 8 | (unsigned)DAXL_VERSION_PATCH;
}

DAXL_API const char *daxl_errormsg(void)
{
	return daxl_error_last();
}

static int check_opts(const struct daxl_pool_opts *opts, struct daxl_pool_opts *ret, uint32_t known_flags)
{
	static const struct daxl_pool_opts none = DAXL_POOL_OPTS_INIT;
	int rc = daxl_opts_copy("daxl_pool_opts", opts ? opts : &none, ret, sizeof(*ret));

	if (!rc && (ret->flags & ~known_flags))
		rc = daxl_fail(EINVAL, "pool flags %#x are unknown or not for this call", ret->flags & ~known_flags);
	return rc;
}

DAXL_API int daxl_pool_create(const char *path, uint64_t size, const struct daxl_pool_opts *opts, struct daxl_pool **ret_pool)
{
	DAXL_NEED(path);
	DAXL_NEED(ret_pool);
	struct daxl_pool_opts o;
	int saved_errno = errno;
	int rc = check_opts(opts, &o, DAXL_POOL_SPARSE);

	if (!rc)
		rc = daxl_pool_make(path, size, &o, ret_pool);
	errno = saved_errno;
	return rc;
}

DAXL_API int daxl_pool_open(const char *path, const struct daxl_pool_opts *opts, struct daxl_pool **ret_pool)
{
	DAXL_NEED(path);
	DAXL_NEED(ret_pool);
	struct daxl_pool_opts o;
	int saved_errno = errno;
	int rc = check_opts(opts, &o, DAXL_POOL_READ_ONLY);

	if (!rc)
		rc = daxl_pool_load(path, &o, ret_pool);
	errno = saved_errno;
	return rc;
}

DAXL_API int daxl_pool_close(struct daxl_pool *pool)
{
	DAXL_NEED(pool);
	int saved_errno = errno;
	int rc = daxl_pool_end(pool);

	errno = saved_errno;
	return rc;
}

DAXL_API int daxl_pool_stat(struct daxl_pool *pool, struct daxl_pool_stat *ret_stat)
{
	DAXL_NEED(pool);
	DAXL_NEED(ret_stat);
	daxl_pool_fill_stat(pool, ret_stat);
	return 0;
}

DAXL_API int daxl_pool_checkpoint(struct daxl_pool *pool)
{
	DAXL_NEED(pool);
	return daxl_ckpt_run(pool, false, pool->epoch); /* which counts itself, whoever asks */
}

DAXL_API int daxl_pool_grow(struct daxl_pool *pool, uint64_t new_size)
{
	DAXL_NEED(pool);
	struct daxl_count count = daxl_count_begin(pool->tally, DAXL_STAT_GROW);
	uint64_t size = __atomic_load_n(&pool->super.pool_size, __ATOMIC_RELAXED);
	int rc;

	if (pool->read_only)
		rc = daxl_fail(EROFS, "the pool is open for reading only");
	else if (new_size < size)
		rc = daxl_fail(EINVAL, "the pool has %" PRIu64 " bytes and cannot shrink to %" PRIu64, size, new_size);
	else
		rc = daxl_pool_enlarge(pool, new_size);
	return daxl_count_end_int(&count, rc);
}

DAXL_API int daxl_pool_event_fd(struct daxl_pool *pool)
{
	DAXL_NEED(pool);
	return daxl_domain_event_fd(pool->domain);
}

DAXL_API int daxl_event_next(struct daxl_pool *pool, struct daxl_event *ret_event)
{
	DAXL_NEED(pool);
	DAXL_NEED(ret_event);
	return daxl_domain_event_next(pool->domain, ret_event);
}

DAXL_API void *daxl_pool_base(struct daxl_pool *pool)
{
	return pool ? daxl_media_base(pool->media) : NULL;
}
