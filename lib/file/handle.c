/* SPDX-License-Identifier: BSD-3-Clause */
/* Handles: what daxl_open gives out. A handle holds a reference on its file; the last one to go deletes a file
 * without a name. */
#include <errno.h>
#include <fcntl.h>

#include "base/error.h"
#include "base/hook.h"
#include "file/names.h"

/* The file's range lock, made at its first open. names_mutex held. */
static int make_range_lock(struct daxl_inode *ino)
{
	if (ino->rl != NULL)
		return 0;
	struct daxl_range_lock *rl = daxl_zalloc(sizeof(*rl));
	if (rl == NULL)
		return daxl_fail(ENOMEM, "no memory to open file '%s'", ino->name->bytes);
	int rc = daxl_range_lock_init(rl, ino->pool->domain, ino->id);
	if (rc < 0) {
		daxl_free(rl);
		return rc;
	}
	ino->rl = rl;
	return 0;
}

/* Whether the file can be opened. names_mutex held. */
static int may_open(const struct daxl_inode *ino)
{
	if (ino->name == NULL)
		return daxl_fail(ENOENT, "file %u has just been unlinked", ino->id);
	daxl_rcu_read_lock();
	bool damaged = daxl_version_get(ino)->damaged;
	daxl_rcu_read_unlock();
	return damaged ? daxl_fail(EUCLEAN, "file '%s' is damaged", ino->name->bytes) : 0;
}

int daxl_handle_open(struct daxl_pool *pool, struct daxl_inode *ino, int oflags, struct daxl_file **ret_file)
{
	struct daxl_file *file = daxl_zalloc(sizeof(*file));
	if (file == NULL)
		return daxl_fail(ENOMEM, "no memory to open file %u", ino->id);
	file->pool = pool;
	file->ino = ino;
	file->oflags = oflags;
	file->readable = (oflags & O_ACCMODE) != O_WRONLY;
	file->writable = (oflags & O_ACCMODE) != O_RDONLY;
	pthread_mutex_init(&file->wait_mutex, NULL);
	daxl_mutex_lock(&pool->names_mutex);
	int rc = may_open(ino);
	if (rc == 0)
		rc = make_range_lock(ino);
	if (rc == 0) {
		ino->handles++;
		pool->open_files++;
	}
	daxl_mutex_unlock(&pool->names_mutex);
	if (rc < 0) {
		pthread_mutex_destroy(&file->wait_mutex);
		daxl_free(file);
		return rc;
	}
	*ret_file = file;
	return 0;
}

int daxl_handle_close(struct daxl_file *file)
{
	struct daxl_pool *pool = file->pool;
	struct daxl_inode *ino = file->ino;

	daxl_mutex_lock(&pool->names_mutex);
	ino->handles--;
	pool->open_files--;
	bool due = daxl_inode_delete_due(ino);
	daxl_mutex_unlock(&pool->names_mutex);
	if (due)
		daxl_inode_delete(ino);
	daxl_inode_put(ino);
	pthread_mutex_destroy(&file->wait_mutex);
	daxl_free(file);
	return 0;
}
