/* SPDX-License-Identifier: BSD-3-Clause */
/* <daxlayout/file.h>: files, names, reading and writing. */
#include <daxlayout/file.h>

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "api/wall.h"
#include "base/hook.h"
#include "ops/iov.h"

/* Names are 1 to 255 bytes. *ret_len. */
static int check_name(const char *name, size_t *ret_len)
{
	size_t len = name ? strnlen(name, DAXL_NAME_MAX + 1u) : 0;

	if (len == 0)
		return daxl_fail(EINVAL, "a file name is empty");
	if (len > DAXL_NAME_MAX)
		return daxl_fail(ENAMETOOLONG, "a file name is longer than %u bytes", (unsigned)DAXL_NAME_MAX);
	*ret_len = len;
	return 0;
}

static int check_oflags(const struct daxl_pool *pool, int oflags)
{
	int acc = oflags & O_ACCMODE;

	if (acc != O_RDONLY && acc != O_RDWR)
		return daxl_fail(EINVAL, "a file is opened O_RDONLY or O_RDWR");
	if (oflags & ~(O_ACCMODE | O_CREAT | O_EXCL | O_TRUNC | O_APPEND | O_CLOEXEC))
		return daxl_fail(EINVAL, "open flags %#o are unknown", (unsigned)oflags);
	if ((oflags & (O_EXCL | O_CREAT)) == O_EXCL)
		return daxl_fail(EINVAL, "O_EXCL goes with O_CREAT only");
	if ((oflags & O_TRUNC) && acc != O_RDWR)
		return daxl_fail(EINVAL, "O_TRUNC goes with O_RDWR only");
	if (pool->read_only && acc == O_RDWR)
		return daxl_fail(EROFS, "the pool is open for reading only");
	return 0;
}

/* The inode of name, made if O_CREAT asks for it; referenced. */
static int find_or_create(struct daxl_pool *pool, const char *name, size_t len, int oflags, struct daxl_inode **ret_ino)
{
	for (;;) {
		struct daxl_inode *ino = daxl_inode_get(pool, name, len);

		if (ino && (oflags & O_CREAT) && (oflags & O_EXCL)) {
			daxl_inode_put(ino);
			return daxl_fail(EEXIST, "file '%s' exists", name);
		}
		if (ino) {
			*ret_ino = ino;
			return 0;
		}
		if (!(oflags & O_CREAT))
			return daxl_fail(ENOENT, "there is no file '%s'", name);
		if (pool->read_only)
			return daxl_fail(EROFS, "the pool is open for reading only");
		int rc = daxl_inode_create(pool, name, len, ret_ino);

		if (rc != -EEXIST)
			return rc; /* else somebody made it meanwhile: look again */
	}
}

static int open_checked(struct daxl_pool *pool, const char *name, size_t len, int oflags, struct daxl_file **ret_file)
{
	struct daxl_inode *ino;
	struct daxl_file *file;
	int rc = find_or_create(pool, name, len, oflags, &ino);

	if (rc)
		return rc;
	daxl_rcu_read_lock();
	bool damaged = daxl_version_get(ino)->damaged;

	daxl_rcu_read_unlock();
	if (damaged)
		rc = daxl_fail(EUCLEAN, "file '%s' is damaged", name);
	if (!rc)
		rc = daxl_handle_open(pool, ino, oflags, &file);
	if (rc) {
		daxl_inode_put(ino);
		/* Unlinked between look-up and open: the name is free now, or another file's. */
		return rc == -ENOENT && (oflags & O_CREAT) ? open_checked(pool, name, len, oflags, ret_file) : rc;
	}
	if (oflags & O_TRUNC)
		rc = daxl_do_truncate(file, 0, NULL);
	if (rc) {
		(void)daxl_handle_close(file);
		return rc;
	}
	*ret_file = file;
	return 0;
}

DAXL_API int daxl_open(struct daxl_pool *pool, const char *name, int oflags, struct daxl_file **ret_file)
{
	DAXL_NEED(pool);
	DAXL_NEED(name);
	DAXL_NEED(ret_file);
	struct daxl_count count = daxl_count_begin(pool->tally, DAXL_STAT_OPEN);
	size_t len;
	int rc = check_name(name, &len);

	if (!rc)
		rc = check_oflags(pool, oflags);
	if (!rc)
		rc = open_checked(pool, name, len, oflags, ret_file);
	return daxl_count_end_int(&count, rc);
}

DAXL_API int daxl_close(struct daxl_file *file)
{
	DAXL_NEED(file);
	struct daxl_count count = daxl_count_begin(file->pool->tally, DAXL_STAT_CLOSE);

	return daxl_count_end_int(&count, daxl_handle_close(file));
}

static int check_pool_writable(const struct daxl_pool *pool)
{
	return pool->read_only ? daxl_fail(EROFS, "the pool is open for reading only") : 0;
}

DAXL_API int daxl_unlink(struct daxl_pool *pool, const char *name)
{
	DAXL_NEED(pool);
	DAXL_NEED(name);
	struct daxl_count count = daxl_count_begin(pool->tally, DAXL_STAT_UNLINK);
	size_t len;
	int rc = check_name(name, &len);

	if (!rc)
		rc = check_pool_writable(pool);
	if (!rc)
		rc = daxl_names_unlink(pool, name, len);
	return daxl_count_end_int(&count, rc);
}

DAXL_API int daxl_rename(struct daxl_pool *pool, const char *from, const char *to, unsigned flags)
{
	DAXL_NEED(pool);
	DAXL_NEED(from);
	DAXL_NEED(to);
	struct daxl_count count = daxl_count_begin(pool->tally, DAXL_STAT_RENAME);
	size_t from_len, to_len;
	int rc = check_name(from, &from_len);

	if (!rc)
		rc = check_name(to, &to_len);
	if (!rc && ((flags & ~(DAXL_RENAME_NOREPLACE | DAXL_RENAME_EXCHANGE)) ||
	            flags == (DAXL_RENAME_NOREPLACE | DAXL_RENAME_EXCHANGE)))
		rc = daxl_fail(EINVAL, "rename flags %#x", flags);
	if (!rc)
		rc = check_pool_writable(pool);
	if (!rc)
		rc = daxl_names_rename(pool, from, from_len, to, to_len, flags);
	return daxl_count_end_int(&count, rc);
}

DAXL_API int daxl_stat(struct daxl_file *file, struct daxl_stat *ret_stat)
{
	DAXL_NEED(file);
	DAXL_NEED(ret_stat);
	struct daxl_stat st = { .id = file->ino->id, .block_size = 1u << file->pool->block_shift, .btime_ns = file->ino->btime_ns };

	daxl_rcu_read_lock();
	const struct daxl_version *v = daxl_version_get(file->ino);

	st.size = v->size;
	st.blocks = daxl_rope_blocks(v->root);
	st.runs = daxl_rope_runs(v->root);
	st.generation = v->generation;
	st.mtime_ns = v->mtime_ns;
	st.ctime_ns = v->ctime_ns;
	daxl_rcu_read_unlock();
	daxl_range_counts(file->ino->rl, &st.leases, &st.pins);
	*ret_stat = st;
	return 0;
}

DAXL_API int daxl_list(struct daxl_pool *pool, daxl_list_fn fn, void *arg)
{
	DAXL_NEED(pool);
	DAXL_NEED(fn);
	return daxl_names_list(pool, fn, arg);
}

static int check_key(const char *key)
{
	size_t len = key ? strnlen(key, DAXL_ATTR_KEY_MAX + 1u) : 0;

	if (len == 0)
		return daxl_fail(EINVAL, "an attribute's key is empty");
	if (len > DAXL_ATTR_KEY_MAX)
		return daxl_fail(ENAMETOOLONG, "an attribute's key is longer than %u bytes", (unsigned)DAXL_ATTR_KEY_MAX);
	return 0;
}

DAXL_API int daxl_setattr(struct daxl_file *file, const char *key, const void *value, size_t len)
{
	DAXL_NEED(file);
	DAXL_NEED(key);
	struct daxl_count count = daxl_count_begin(file->pool->tally, DAXL_STAT_SETATTR);
	int rc = check_key(key);

	if (!rc && !value && len)
		rc = daxl_fail(EINVAL, "the value of attribute '%s' is NULL and %zu bytes long", key, len);
	if (!rc)
		rc = daxl_check_writable(file);
	if (!rc && len > DAXL_ATTR_SPACE_MAX - 4u - strlen(key))
		rc = daxl_fail(E2BIG, "attribute '%s' of %zu bytes is larger than a file's attributes may be together", key, len);
	if (!rc)
		rc = daxl_do_setattr(file, key, value, len);
	return daxl_count_end_int(&count, rc);
}

DAXL_API ssize_t daxl_getattr(struct daxl_file *file, const char *key, void *value, size_t len)
{
	DAXL_NEED(file);
	DAXL_NEED(key);
	DAXL_NEED_ARRAY(value, len);
	int rc = check_key(key);

	return rc ? rc : daxl_do_getattr(file, key, value, len);
}

/* The whole of an iovec array in *ret. */
DAXL_INLINE int check_iov(const struct iovec *iov, int iovcnt, struct daxl_iov *ret)
{
	size_t len = 0;

	if (iovcnt < 0 || iovcnt > IOV_MAX)
		return daxl_fail(EINVAL, "iovcnt %d is not between 0 and %d", iovcnt, IOV_MAX);
	for (int i = 0; i < iovcnt; i++) {
		if (iov[i].iov_len > SSIZE_MAX - len)
			return daxl_fail(EINVAL, "the lengths of the iovec sum to more than SSIZE_MAX");
		if (!iov[i].iov_base && iov[i].iov_len)
			return daxl_fail(EINVAL, "iovec %d has a length and no address", i);
		len += iov[i].iov_len;
	}
	*ret = (struct daxl_iov){ .iov = iov, .left = len };
	return 0;
}

/* Both forms of a call; inlined, so that the plain one is without what it does not use. */
DAXL_INLINE ssize_t read_at(struct daxl_file *file, const struct iovec *iov, int iovcnt, off_t off)
{
	struct daxl_count count = daxl_count_begin(file->pool->tally, DAXL_STAT_READ);
	struct daxl_iov data;
	ssize_t rc = check_iov(iov, iovcnt, &data);

	if (!rc && off < 0)
		rc = daxl_fail(EINVAL, "offset %lld is negative", (long long)off);
	if (!rc && data.left)
		rc = daxl_do_read(file, &data, (uint64_t)off);
	return daxl_count_end(&count, rc, true);
}

DAXL_API ssize_t daxl_preadv(struct daxl_file *file, const struct iovec *iov, int iovcnt, off_t off)
{
	DAXL_NEED(file);
	DAXL_NEED_ARRAY(iov, iovcnt);
	return read_at(file, iov, iovcnt, off);
}

DAXL_API ssize_t daxl_pread(struct daxl_file *file, void *buf, size_t len, off_t off)
{
	DAXL_NEED(file);
	DAXL_NEED_ARRAY(buf, len);
	struct iovec iov = { .iov_base = buf, .iov_len = len };

	return read_at(file, &iov, 1, off);
}

DAXL_INLINE ssize_t write_at(struct daxl_file *file, const struct iovec *iov, int iovcnt, off_t off, unsigned flags,
                             const struct daxl_wait *wait)
{
	struct daxl_count count = daxl_count_begin(file->pool->tally, flags & DAXL_WRITE_ATOMIC ? DAXL_STAT_ATOMIC_WRITE : DAXL_STAT_WRITE);
	bool append = file->oflags & O_APPEND;
	struct daxl_wait buf;
	const struct daxl_wait *w = NULL;
	struct daxl_iov data;
	ssize_t rc = check_iov(iov, iovcnt, &data);

	if (!rc && off < 0)
		rc = daxl_fail(EINVAL, "offset %lld is negative", (long long)off);
	if (!rc && (flags & ~(unsigned)DAXL_WRITE_ATOMIC))
		rc = daxl_fail(EOPNOTSUPP, "write flags %#x are unknown", flags);
	if (!rc)
		rc = daxl_check_writable(file);
	if (!rc)
		rc = daxl_check_max(file, append ? 0 : off, (off_t)data.left);
	if (!rc)
		rc = daxl_wait_copy(wait, &buf, &w);
	if (!rc && data.left)
		rc = daxl_do_write(file, &data, (uint64_t)off, flags | (append ? DAXL_DO_WRITE_APPEND : 0), w);
	return daxl_count_end(&count, rc, true);
}

DAXL_API ssize_t daxl_pwritev(struct daxl_file *file, const struct iovec *iov, int iovcnt, off_t off, unsigned flags,
                              const struct daxl_wait *wait)
{
	DAXL_NEED(file);
	DAXL_NEED_ARRAY(iov, iovcnt);
	return write_at(file, iov, iovcnt, off, flags, wait);
}

DAXL_API ssize_t daxl_pwrite(struct daxl_file *file, const void *buf, size_t len, off_t off)
{
	DAXL_NEED(file);
	DAXL_NEED_ARRAY(buf, len);
	struct iovec iov = { .iov_base = (void *)(uintptr_t)buf, .iov_len = len };

	return write_at(file, &iov, 1, off, 0, NULL);
}

DAXL_API int daxl_set_wait(struct daxl_file *file, const struct daxl_wait *wait)
{
	DAXL_NEED(file);
	struct daxl_wait buf;
	const struct daxl_wait *w;
	int rc = daxl_wait_copy(wait, &buf, &w);

	if (!rc && w && w->held)
		rc = daxl_fail(EINVAL, "a default wait cannot name a held break");
	if (rc)
		return rc;
	pthread_mutex_lock(&file->wait_mutex);
	if (w)
		file->wait = buf;
	__atomic_store_n(&file->has_wait, w != NULL, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&file->wait_mutex);
	return 0;
}

const struct daxl_wait *daxl_file_wait_copy(struct daxl_file *file, struct daxl_wait *buf)
{
	const struct daxl_wait *ret = NULL;

	pthread_mutex_lock(&file->wait_mutex);
	if (file->has_wait) {
		*buf = file->wait;
		ret = buf;
	}
	pthread_mutex_unlock(&file->wait_mutex);
	return ret;
}

static int flush_run(daxl_fblk_t at, const struct daxl_run *run, void *arg)
{
	struct daxl_pool *pool = arg;

	(void)at;
	if (!(run->flags & DAXL_RUN_HOLE))
		daxl_media_flush(pool->media, daxl_pool_addr(pool, run->blk), daxl_blocks_to_bytes(run->len, pool->block_shift));
	return 0;
}

DAXL_API int daxl_fsync(struct daxl_file *file)
{
	DAXL_NEED(file);
	struct daxl_count count = daxl_count_begin(file->pool->tally, DAXL_STAT_FSYNC);

	if (!file->pool->read_only) {
		daxl_rcu_read_lock();
		const struct daxl_version *v = daxl_version_get(file->ino);

		(void)daxl_rope_walk(v->root, 0, daxl_rope_len(v->root), flush_run, file->pool);
		daxl_rcu_read_unlock();
		daxl_media_fence(file->pool->media);
	}
	return daxl_count_end_int(&count, 0);
}
