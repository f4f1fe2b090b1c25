/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Handles: what daxl_open gives out. A handle holds a reference on its file; the last one to go deletes a file without
 * a name.
 *
 * A closed file has no range lock, unless leases, blocks in limbo or breaks outlive the last handle: then it keeps the
 * one they are in, until a later close or an unlink finds nothing in it. The pool keeps a few to spare, so that opening
 * and closing files does not make and destroy one each time.
 */
#include <errno.h>
#include <fcntl.h>

#include "base/error.h"
#include "base/hook.h"
#include "file/names.h"

/* Gives the file a range lock if it has none. names_mutex held. */
static int take_range_lock(struct daxl_pool *pool, struct daxl_inode *ino)
{
	if (ino->rl != NULL)
		return 0;
	if (pool->nspare != 0) {
		ino->rl = pool->spare[--pool->nspare];
		ino->rl->file_id = ino->id;
		/* It is another mutex from now on: in the order of file ids it has another place. */
		daxl_mutex_destroy(&ino->rl->mutex);
		daxl_mutex_init(&ino->rl->mutex, DAXL_RANK_RANGE);
		return 0;
	}
	struct daxl_range_lock *rl = daxl_zalloc(sizeof(*rl));
	if (rl == NULL)
		return daxl_fail(ENOMEM, "no memory to open file '%s'", ino->name->bytes);
	int rc = daxl_range_lock_init(rl, pool->domain, ino->id);
	if (rc < 0) {
		daxl_free(rl);
		return rc;
	}
	ino->rl = rl;
	return 0;
}

void daxl_range_lock_free(struct daxl_range_lock *rl)
{
	daxl_range_lock_destroy(rl);
	daxl_free(rl);
}

bool daxl_inode_shed_range_lock(struct daxl_inode *ino, uint32_t refs)
{
	struct daxl_pool *pool = ino->pool;
	struct daxl_range_lock *rl = ino->rl;

	daxl_mutex_assert_held(&pool->names_mutex);
	if (rl == NULL)
		return true;
	/* Acquire: whoever dropped a reference has done with the lock before. A lease has one to its end, and only who
	 * has one gets another; a break needs none, but is in the queue. */
	if (ino->handles != 0 || __atomic_load_n(&ino->refs, __ATOMIC_ACQUIRE) != refs || !daxl_range_lock_is_idle(rl))
		return false;
	ino->rl = NULL;
	if (pool->nspare < DAXL_SPARE_RANGE_LOCKS)
		pool->spare[pool->nspare++] = rl;
	else
		daxl_range_lock_free(rl);
	return true;
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
		rc = take_range_lock(pool, ino);
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
	(void)daxl_inode_shed_range_lock(ino, 2); /* the tables' and this handle's */
	bool due = daxl_inode_delete_due(ino);
	daxl_mutex_unlock(&pool->names_mutex);
	if (due)
		daxl_inode_delete(ino);
	daxl_inode_put(ino);
	pthread_mutex_destroy(&file->wait_mutex);
	daxl_free(file);
	return 0;
}
