/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Unlink, rename, list.
 *
 * Names change with names_mutex held from the lookup over the record's ticket to the publish, so the log has them in
 * the order in which the table saw them. Below it come the mutexes of the one or two files, lower id first. Version
 * and table change together inside the gate: a checkpoint's cut sees both or neither.
 *
 * The generation stays: it counts changes of map and size.
 */
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/hook.h"
#include "file/names.h"

/* Two files whose names change in one record; b may be absent. */
struct swap {
	struct daxl_pool *pool;
	struct daxl_change change[2];
	struct daxl_inode *a, *b;
	struct daxl_name *a_name, *b_name; /* from now on; NULL: nameless */
};

/* names_mutex held. */
static void DAXL_LOCKS(FILE) lock_files(struct daxl_inode *a, struct daxl_inode *b)
{
	if (b == NULL)
		daxl_mutex_lock(&a->mutex);
	else if (a->id < b->id)
		daxl_mutex_lock_pair(&a->mutex, &b->mutex);
	else
		daxl_mutex_lock_pair(&b->mutex, &a->mutex);
}

static void DAXL_UNLOCKS(FILE) unlock_files(struct daxl_inode *a, struct daxl_inode *b)
{
	if (b == NULL)
		daxl_mutex_unlock(&a->mutex);
	else if (a->id < b->id)
		daxl_mutex_unlock_pair(&a->mutex, &b->mutex);
	else
		daxl_mutex_unlock_pair(&b->mutex, &a->mutex);
}

/* Inside the gate: the tables follow the versions. */
static void published(void *arg)
{
	struct swap *swap = arg;
	daxl_names_remove(swap->pool, swap->a);
	if (swap->b != NULL)
		daxl_names_remove(swap->pool, swap->b);
	if (swap->a_name != NULL)
		daxl_names_insert(swap->pool, swap->a, swap->a_name);
	if (swap->b_name != NULL)
		daxl_names_insert(swap->pool, swap->b, swap->b_name);
}

static int DAXL_HOLDS(FILE) begin(struct swap *swap, unsigned i, struct daxl_inode *ino, struct daxl_name *name)
{
	struct daxl_change *change = &swap->change[i];
	int rc = daxl_change_begin(change, ino, false);
	if (rc < 0)
		return rc;
	change->next->generation = change->old->generation;
	change->next->name = name;
	return 0;
}

/* Gives both files their new names under one record, whose time lies time_at bytes into its body. names_mutex held. */
static int swap_commit(struct swap *swap, struct daxl_record *rec, size_t time_at, bool *credit)
{
	struct daxl_change *changes[] = {&swap->change[0], &swap->change[1]};
	size_t n = 0;

	lock_files(swap->a, swap->b);
	int rc = begin(swap, 0, swap->a, swap->a_name);
	n += rc == 0;
	if (rc == 0 && swap->b != NULL) {
		rc = begin(swap, 1, swap->b, swap->b_name);
		n += rc == 0;
	}
	if (rc == 0) {
		uint64_t now = swap->change[0].next->ctime_ns;
		memcpy(rec->buf + time_at, &now, sizeof(now));
		if (n == 2)
			swap->change[1].next->ctime_ns = now;
		struct daxl_commit commit = {.pool = swap->pool,
		                             .changes = changes,
		                             .nchanges = n,
		                             .rec = rec,
		                             .published = published,
		                             .published_arg = swap};
		rc = daxl_commit(&commit, credit);
	}
	if (rc < 0) {
		while (n > 0)
			daxl_change_abort(&swap->change[--n]);
	}
	unlock_files(swap->a, swap->b);
	return rc;
}

static int no_such_file(const char *name, size_t len)
{
	return daxl_fail(ENOENT, "no file '%.*s'", (int)len, name);
}

/* names_mutex held. */
static int unlink_locked(struct daxl_pool *pool, struct daxl_inode *ino, bool *credit)
{
	const struct daxl_md_rec_ids body = {.id = ino->id};
	struct swap swap = {.pool = pool, .a = ino};
	struct daxl_record rec;
	daxl_record_init(&rec, DAXL_REC_UNLINK);
	int rc = daxl_record_put(&rec, &body, sizeof(body));
	if (rc == 0)
		rc = swap_commit(&swap, &rec, offsetof(struct daxl_md_rec_ids, time_ns), credit);
	daxl_record_free(&rec);
	return rc;
}

int daxl_names_unlink(struct daxl_pool *pool, const char *name, size_t len)
{
	int rc = daxl_credit_take(pool, DAXL_NEED_DELETE);
	if (rc < 0)
		return rc;
	bool credit = true;
	daxl_mutex_lock(&pool->names_mutex);
	struct daxl_inode *ino = daxl_names_find(pool, name, len);
	bool forgotten = false, due = false;
	if (ino == NULL) {
		rc = no_such_file(name, len);
	} else if (daxl_inode_shed_range_lock(ino, 1)) {
		rc = daxl_inode_remove(ino, &credit);
		forgotten = rc == 0 && !daxl_ckpt_knows(ino);
	} else {
		rc = unlink_locked(pool, ino, &credit);
		due = rc == 0 && daxl_inode_delete_due(ino);
	}
	daxl_mutex_unlock(&pool->names_mutex);
	if (credit)
		daxl_credit_give(pool);
	if (forgotten)
		daxl_inode_put(ino); /* the tables' reference */
	if (due)
		daxl_inode_delete(ino);
	return rc;
}

/* from becomes to's name; replaced, which has it now, may be NULL. names_mutex held. */
static int rename_locked(struct daxl_pool *pool, struct daxl_inode *ino, struct daxl_inode *replaced, const char *to,
                         size_t len, bool *credit)
{
	const struct daxl_md_rec_rename head = {
		.id = ino->id, .replaced = replaced != NULL ? replaced->id : 0, .name_len = (uint8_t)len};
	struct swap swap = {.pool = pool, .a = ino, .b = replaced};
	struct daxl_record rec;
	int rc = daxl_name_new(to, len, &swap.a_name);
	if (rc < 0)
		return rc;
	daxl_record_init(&rec, DAXL_REC_RENAME);
	rc = daxl_record_put(&rec, &head, sizeof(head));
	if (rc == 0)
		rc = daxl_record_put(&rec, to, len);
	if (rc == 0)
		rc = swap_commit(&swap, &rec, offsetof(struct daxl_md_rec_rename, time_ns), credit);
	if (rc < 0)
		daxl_free(swap.a_name);
	daxl_record_free(&rec);
	return rc;
}

/* names_mutex held. */
static int exchange_locked(struct daxl_pool *pool, struct daxl_inode *a, struct daxl_inode *b, bool *credit)
{
	const struct daxl_md_rec_ids body = {.id = a->id, .other = b->id};
	struct swap swap = {.pool = pool, .a = a, .b = b, .a_name = b->name, .b_name = a->name};
	struct daxl_record rec;
	daxl_record_init(&rec, DAXL_REC_SWAPNAMES);
	int rc = daxl_record_put(&rec, &body, sizeof(body));
	if (rc == 0)
		rc = swap_commit(&swap, &rec, offsetof(struct daxl_md_rec_ids, time_ns), credit);
	daxl_record_free(&rec);
	return rc;
}

int daxl_names_rename(struct daxl_pool *pool, const char *from, size_t from_len, const char *to, size_t to_len,
                      unsigned flags)
{
	struct daxl_inode *replaced = NULL;
	bool due = false;
	int rc = daxl_credit_take(pool, DAXL_NEED_GROW);
	if (rc < 0)
		return rc;
	bool credit = true;
	daxl_mutex_lock(&pool->names_mutex);
	struct daxl_inode *ino = daxl_names_find(pool, from, from_len);
	struct daxl_inode *other = daxl_names_find(pool, to, to_len);
	if (ino == NULL) {
		rc = no_such_file(from, from_len);
	} else if (flags & DAXL_RENAME_EXCHANGE) {
		if (other == NULL)
			rc = no_such_file(to, to_len);
		else if (other != ino)
			rc = exchange_locked(pool, ino, other, &credit);
	} else if ((flags & DAXL_RENAME_NOREPLACE) && other != NULL) {
		rc = daxl_fail(EEXIST, "file '%.*s' exists", (int)to_len, to);
	} else if (other != ino) {
		rc = rename_locked(pool, ino, other, to, to_len, &credit);
		replaced = other;
		due = rc == 0 && replaced != NULL && daxl_inode_delete_due(replaced);
	}
	daxl_mutex_unlock(&pool->names_mutex);
	if (credit)
		daxl_credit_give(pool);
	if (due)
		daxl_inode_delete(replaced);
	return rc;
}

/* A copy of all names, one behind the other. */
struct listing {
	char *buf;
	size_t len;
	uint64_t count;
};
struct listed {
	uint64_t id;
	uint8_t len;
};

/* Copies the names as they are at one moment. */
static int take_listing(struct daxl_pool *pool, struct listing *list)
{
	memset(list, 0, sizeof(*list));
	daxl_mutex_lock(&pool->names_mutex);
	for (size_t i = 0; i < pool->names.size; i++)
		if (pool->names.hash[i] != 0)
			list->len += sizeof(struct listed) + pool->names.inode[i]->name->len + 1;
	list->count = pool->files;
	if (list->count != 0) {
		list->buf = daxl_alloc(list->len);
		if (list->buf == NULL) {
			daxl_mutex_unlock(&pool->names_mutex);
			return daxl_fail(ENOMEM, "no memory to list %llu files", (unsigned long long)list->count);
		}
		char *at = list->buf;
		for (size_t i = 0; i < pool->names.size; i++) {
			if (pool->names.hash[i] == 0)
				continue;
			const struct daxl_inode *ino = pool->names.inode[i];
			const struct listed head = {.id = ino->id, .len = ino->name->len};
			memcpy(at, &head, sizeof(head));
			memcpy(at + sizeof(head), ino->name->bytes, (size_t)head.len + 1);
			at += sizeof(head) + head.len + 1;
		}
	}
	daxl_mutex_unlock(&pool->names_mutex);
	return 0;
}

int daxl_names_list(struct daxl_pool *pool, daxl_list_fn fn, void *arg)
{
	struct listing list;
	int rc = take_listing(pool, &list);
	if (rc < 0)
		return rc;
	const char *at = list.buf;
	for (uint64_t i = 0; i < list.count && rc == 0; i++) {
		struct listed head;
		memcpy(&head, at, sizeof(head));
		rc = fn(at + sizeof(head), head.id, arg);
		at += sizeof(head) + head.len + 1;
	}
	daxl_free(list.buf);
	return rc;
}
