/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The life of a file.
 *
 * An inode begins with one reference, the tables'. It is in the table of ids from then on until its memory is freed,
 * and in the table of names while it has a name. The steps down are separate, and each is taken once:
 *
 *     named     --unlink, rename over-------------> nameless
 *     nameless  --last close----------------------> deleted
 *     deleted   --checkpoint, if one knows of it--> the tables' reference goes
 *               --last reference------------------> freed
 *
 * A file that nobody has open or on lease goes from named to deleted in one step and one record (REMOVE).
 *
 * Deletion frees the blocks and is logged; it follows the handles, not the references, because leases keep the inode
 * (they point to it) but not the file. `deleting`, set under names_mutex by whoever sees no name and no handle, makes
 * it happen once; a nameless file cannot be opened, so that stays true. A deletion that fails (no log space) is not
 * tried again: the file stays nameless, is written so by checkpoints, and the next open of the pool deletes it.
 *
 * References are atomic because every lease takes and drops one. None is ever taken from a count of 0: whoever takes
 * one has one, or finds the file by its name, and a file with a name still has the tables' reference.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/bucket.h"
#include "base/error.h"
#include "base/hook.h"
#include "file/names.h"

struct daxl_inode *daxl_inode_alloc(struct daxl_pool *pool, uint32_t id, uint64_t btime_ns)
{
	struct daxl_inode *ino = daxl_slab_alloc(pool->slab, sizeof(*ino));
	if (ino == NULL)
		return NULL;
	memset(ino, 0, sizeof(*ino));
	ino->id = id;
	ino->pool = pool;
	ino->btime_ns = btime_ns;
	ino->refs = 1;
	daxl_mutex_init(&ino->mutex, DAXL_RANK_FILE);
	return ino;
}

void daxl_inode_destroy(struct daxl_inode *ino)
{
	struct daxl_version *version = ino->version;
	if (version != NULL) {
		struct daxl_dropped dropped;
		memset(&dropped, 0, sizeof(dropped));
		if (version->root != NULL)
			daxl_dropped_add_rope(&dropped, version->root);
		daxl_dropped_free(&dropped, ino->pool->slab, NULL, NULL);
		daxl_free(version->name);
		daxl_free(version->attrs);
		daxl_version_free(ino->pool, version);
	}
	if (ino->rl != NULL)
		daxl_range_lock_free(ino->rl);
	daxl_mutex_destroy(&ino->mutex);
	daxl_slab_free(ino->pool->slab, ino, sizeof(*ino));
}

/* An empty version of generation 1. NULL: no memory. */
static struct daxl_version *first_version(struct daxl_pool *pool, uint64_t time_ns)
{
	struct daxl_version *version = daxl_version_alloc(pool);
	if (version == NULL)
		return NULL;
	memset(version, 0, sizeof(*version));
	version->generation = 1;
	version->mtime_ns = time_ns;
	version->ctime_ns = time_ns;
	return version;
}

int daxl_inode_add(struct daxl_pool *pool, uint32_t id, const char *name, size_t len, uint64_t btime_ns,
                   struct daxl_inode **ret_ino)
{
	if (id == 0)
		return daxl_fail(EUCLEAN, "a file has the id 0");
	if (daxl_inode_by_id(pool, id) != NULL)
		return daxl_fail(EUCLEAN, "two files have the id %u", id);
	int rc = daxl_names_room(pool);
	if (rc < 0)
		return rc;
	struct daxl_inode *ino = daxl_inode_alloc(pool, id, btime_ns);
	if (ino == NULL)
		return daxl_fail(ENOMEM, "no memory for file %u", id);
	ino->version = first_version(pool, btime_ns);
	rc = ino->version != NULL ? 0 : daxl_fail(ENOMEM, "no memory for file %u", id);
	if (rc == 0 && len != 0)
		rc = daxl_names_give(pool, ino, name, len);
	if (rc < 0) {
		daxl_inode_destroy(ino);
		return rc;
	}
	daxl_ids_insert(pool, ino);
	if (id >= pool->next_id)
		pool->next_id = id + 1;
	*ret_ino = ino;
	return 0;
}

struct daxl_inode *daxl_inode_get(struct daxl_pool *pool, const char *name, size_t len)
{
	daxl_mutex_lock(&pool->names_mutex);
	struct daxl_inode *ino = daxl_names_find(pool, name, len);
	if (ino != NULL)
		daxl_inode_ref(ino);
	daxl_mutex_unlock(&pool->names_mutex);
	return ino;
}

void daxl_inode_ref(struct daxl_inode *ino)
{
	uint32_t refs = __atomic_fetch_add(&ino->refs, 1, __ATOMIC_RELAXED);
	assert(refs != 0 && refs != UINT32_MAX);
	(void)refs;
}

void daxl_inode_put(struct daxl_inode *ino)
{
	struct daxl_pool *pool = ino->pool;
	/* Release: what this user did with the inode comes before the free by whoever drops the last one, who
	 * acquires. */
	uint32_t refs = __atomic_sub_fetch(&ino->refs, 1, __ATOMIC_ACQ_REL);
	assert(refs != UINT32_MAX);
	if (refs != 0)
		return;
	daxl_mutex_lock(&pool->names_mutex);
	assert(ino->name == NULL && ino->handles == 0);
	daxl_ids_remove(pool, ino);
	daxl_mutex_unlock(&pool->names_mutex);
	daxl_inode_destroy(ino);
}

/* An id that no inode in memory has: next_id, or what comes after it once the numbers have wrapped. names_mutex
 * held. */
static int pick_id(struct daxl_pool *pool, uint32_t *ret_id)
{
	uint32_t id = pool->next_id;
	if (pool->ids >= UINT32_MAX - 1)
		return daxl_fail(ENOSPC, "all file ids are in use");
	while (id == 0 || (id <= pool->highest_id && daxl_inode_by_id(pool, id) != NULL))
		id++;
	*ret_id = id;
	return 0;
}

static void created(void *arg)
{
	struct daxl_inode *ino = arg;
	struct daxl_pool *pool = ino->pool;
	daxl_names_insert(pool, ino, ino->version->name);
	daxl_ids_insert(pool, ino);
	pool->next_id = ino->id + 1;
}

/* The CREATE record of ino, whose first version is `first`. names_mutex and the inode's mutex held. */
static int DAXL_HOLDS(FILE) create_commit(struct daxl_inode *ino, struct daxl_version *first, bool *credit)
{
	const struct daxl_md_rec_create head = {
		.id = ino->id, .time_ns = ino->btime_ns, .name_len = first->name->len};
	struct daxl_record rec;
	daxl_record_init(&rec, DAXL_REC_CREATE);
	int rc = daxl_record_put(&rec, &head, sizeof(head));
	if (rc == 0)
		rc = daxl_record_put(&rec, first->name->bytes, first->name->len);
	if (rc == 0) {
		struct daxl_change change = {.ino = ino, .next = first};
		struct daxl_change *changes[] = {&change};
		struct daxl_commit commit = {.pool = ino->pool,
		                             .changes = changes,
		                             .nchanges = 1,
		                             .rec = &rec,
		                             .published = created,
		                             .published_arg = ino};
		rc = daxl_commit(&commit, credit);
	}
	daxl_record_free(&rec);
	return rc;
}

/* Makes the file unless the name is taken. names_mutex held. */
static int create_locked(struct daxl_pool *pool, const char *name, size_t len, bool *credit,
                         struct daxl_inode **ret_ino)
{
	if (daxl_names_find(pool, name, len) != NULL)
		return daxl_fail(EEXIST, "file '%.*s' exists", (int)len, name);
	uint32_t id;
	int rc = pick_id(pool, &id);
	if (rc == 0)
		rc = daxl_names_room(pool);
	if (rc < 0)
		return rc;
	uint64_t now = daxl_realtime_ns();
	struct daxl_inode *ino = daxl_inode_alloc(pool, id, now);
	if (ino == NULL)
		return daxl_fail(ENOMEM, "no memory for file '%.*s'", (int)len, name);
	struct daxl_version *first = first_version(pool, now);
	rc = first != NULL ? daxl_name_new(name, len, &first->name)
	                   : daxl_fail(ENOMEM, "no memory for file '%.*s'", (int)len, name);
	if (rc == 0) {
		daxl_inode_ref(ino);
		daxl_mutex_lock(&ino->mutex);
		rc = create_commit(ino, first, credit);
		daxl_mutex_unlock(&ino->mutex);
	}
	if (rc < 0) {
		if (first != NULL)
			daxl_free(first->name);
		daxl_version_free(pool, first);
		daxl_inode_destroy(ino);
		return rc;
	}
	*ret_ino = ino;
	return 0;
}

int daxl_inode_create(struct daxl_pool *pool, const char *name, size_t len, struct daxl_inode **ret_ino)
{
	int rc = daxl_credit_take(pool, DAXL_NEED_GROW);
	if (rc < 0)
		return rc;
	bool credit = true;
	daxl_mutex_lock(&pool->names_mutex);
	rc = create_locked(pool, name, len, &credit, ret_ino);
	daxl_mutex_unlock(&pool->names_mutex);
	if (credit)
		daxl_credit_give(pool);
	return rc;
}

int daxl_delete_commit(struct daxl_inode *ino, bool *credit, void (*published)(void *arg), void *arg)
{
	struct daxl_change change;
	int rc = daxl_change_begin(&change, ino, false);
	if (rc < 0)
		return rc;
	change.next->name = NULL;
	change.next->size = 0;
	change.next->attrs = NULL;
	change.next->deleted = true;
	struct daxl_record rec;
	const struct daxl_md_rec_ids body = {.id = ino->id, .time_ns = change.next->ctime_ns};
	daxl_record_init(&rec, change.old->name != NULL ? DAXL_REC_REMOVE : DAXL_REC_DELETE);
	rc = daxl_record_put(&rec, &body, sizeof(body));
	if (rc == 0)
		rc = daxl_edit_cut(&change.edit, 0);
	if (rc == 0) {
		struct daxl_change *changes[] = {&change};
		struct daxl_commit commit = {.pool = ino->pool,
		                             .changes = changes,
		                             .nchanges = 1,
		                             .rec = &rec,
		                             .published = published,
		                             .published_arg = arg};
		rc = daxl_commit(&commit, credit);
	}
	if (rc < 0)
		daxl_change_abort(&change);
	daxl_record_free(&rec);
	return rc;
}

static void removed(void *arg)
{
	struct daxl_inode *ino = arg;
	daxl_names_remove(ino->pool, ino);
}

int daxl_inode_remove(struct daxl_inode *ino, bool *credit)
{
	daxl_mutex_assert_held(&ino->pool->names_mutex);
	assert(ino->name != NULL && ino->rl == NULL && ino->handles == 0);
	daxl_mutex_lock(&ino->mutex);
	int rc = daxl_delete_commit(ino, credit, removed, ino);
	daxl_mutex_unlock(&ino->mutex);
	ino->deleting = rc == 0;
	return rc;
}

/* Deletes a nameless file that has no range lock: nobody has a lease on it. */
static int delete_unleased(struct daxl_inode *ino)
{
	int rc = daxl_credit_take(ino->pool, DAXL_NEED_DELETE);
	if (rc < 0)
		return rc;
	bool credit = true;
	daxl_mutex_lock(&ino->mutex);
	rc = daxl_delete_commit(ino, &credit, NULL, NULL);
	daxl_mutex_unlock(&ino->mutex);
	if (credit)
		daxl_credit_give(ino->pool);
	return rc;
}

bool daxl_inode_delete_due(struct daxl_inode *ino)
{
	daxl_mutex_assert_held(&ino->pool->names_mutex);
	if (ino->name != NULL || ino->handles != 0 || ino->deleting)
		return false;
	ino->deleting = true;
	daxl_inode_ref(ino);
	return true;
}

void daxl_inode_delete(struct daxl_inode *ino)
{
	int rc = ino->rl != NULL ? daxl_delete_hook(ino) : delete_unleased(ino);
	if (rc == 0 && !daxl_ckpt_knows(ino))
		daxl_inode_put(ino); /* the tables' reference */
	daxl_inode_put(ino);
}

const char *daxl_inode_label(struct daxl_inode *ino, char *buf, size_t size)
{
	daxl_rcu_read_lock();
	const struct daxl_version *version = daxl_version_get(ino);
	const struct daxl_name *name = version != NULL ? version->name : NULL;
	if (name != NULL)
		snprintf(buf, size, "%s", name->bytes);
	else
		snprintf(buf, size, "<unlinked file %u>", ino->id);
	daxl_rcu_read_unlock();
	return buf;
}
