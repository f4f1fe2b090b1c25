/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The tables of names and ids.
 *
 * Two hash tables with chains through the inodes, doubled when they are as full as they are long. The table of ids
 * holds every inode in memory, from creation until its memory is freed, so an id is not given out again while
 * anybody, the checkpointer included, may still speak of its former bearer. Its hash is the id itself: ids are given out
 * in order, and so are neighbours here. The table of names holds those that have one.
 *
 * A table that cannot grow for want of memory only gets slower; it is an error only when there is no table at all.
 */
#include "file/names.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/hook.h"

#define BUCKETS_MIN ((size_t)64)

/* Multiplied and folded, eight bytes at a time: names come from programs, not from strangers. */
static uint32_t name_hash(const char *bytes, size_t len)
{
	uint64_t h = len, part;
	for (; len >= sizeof(part); bytes += sizeof(part), len -= sizeof(part)) {
		memcpy(&part, bytes, sizeof(part));
		h = (h ^ part) * UINT64_C(0x9e3779b97f4a7c15);
		h ^= h >> 32;
	}
	for (part = 0; len != 0; len--)
		part = part << 8 | (uint8_t)*bytes++;
	h = (h ^ part) * UINT64_C(0x9e3779b97f4a7c15);
	return (uint32_t)(h >> 32);
}

int daxl_name_new(const char *bytes, size_t len, struct daxl_name **ret_name)
{
	assert(len >= 1 && len <= DAXL_NAME_MAX);
	struct daxl_name *name = daxl_alloc(sizeof(*name) + len + 1);
	if (name == NULL)
		return daxl_fail(ENOMEM, "no memory for the name '%.*s'", (int)len, bytes);
	name->hash = name_hash(bytes, len);
	name->len = (uint8_t)len;
	memcpy(name->bytes, bytes, len);
	name->bytes[len] = '\0';
	*ret_name = name;
	return 0;
}

static struct daxl_inode **name_bucket(const struct daxl_pool *pool, uint32_t hash)
{
	return &pool->by_name[hash & (pool->name_buckets - 1)];
}

static struct daxl_inode **id_bucket(const struct daxl_pool *pool, uint32_t id)
{
	return &pool->by_id[id & (pool->id_buckets - 1)];
}

/* A longer table for names, filled from the old one. False: no memory. */
static bool grow_names(struct daxl_pool *pool)
{
	size_t old_buckets = pool->name_buckets;
	size_t buckets = old_buckets != 0 ? old_buckets * 2 : BUCKETS_MIN;
	struct daxl_inode **old = pool->by_name;
	struct daxl_inode **table = daxl_zalloc(buckets * sizeof(struct daxl_inode *));
	if (table == NULL)
		return false;
	pool->by_name = table;
	pool->name_buckets = buckets;
	for (size_t i = 0; i < old_buckets; i++) {
		for (struct daxl_inode *ino = old[i], *next; ino != NULL; ino = next) {
			struct daxl_inode **head = name_bucket(pool, ino->name->hash);
			next = ino->hash_next;
			ino->hash_next = *head;
			*head = ino;
		}
	}
	daxl_free(old);
	return true;
}

/* A longer table for ids, filled from the old one. False: no memory. */
static bool grow_ids(struct daxl_pool *pool)
{
	size_t old_buckets = pool->id_buckets;
	size_t buckets = old_buckets != 0 ? old_buckets * 2 : BUCKETS_MIN;
	struct daxl_inode **old = pool->by_id;
	struct daxl_inode **table = daxl_zalloc(buckets * sizeof(struct daxl_inode *));
	if (table == NULL)
		return false;
	pool->by_id = table;
	pool->id_buckets = buckets;
	for (size_t i = 0; i < old_buckets; i++) {
		for (struct daxl_inode *ino = old[i], *next; ino != NULL; ino = next) {
			struct daxl_inode **head = id_bucket(pool, ino->id);
			next = ino->id_next;
			ino->id_next = *head;
			*head = ino;
		}
	}
	daxl_free(old);
	return true;
}

int daxl_names_room(struct daxl_pool *pool)
{
	if (pool->files >= pool->name_buckets && !grow_names(pool) && pool->name_buckets == 0)
		return daxl_fail(ENOMEM, "no memory for the table of names");
	if (pool->ids >= pool->id_buckets && !grow_ids(pool) && pool->id_buckets == 0)
		return daxl_fail(ENOMEM, "no memory for the table of files");
	return 0;
}

void daxl_names_destroy(struct daxl_pool *pool)
{
	daxl_free(pool->by_name);
	daxl_free(pool->by_id);
	pool->by_name = NULL;
	pool->by_id = NULL;
	pool->name_buckets = 0;
	pool->id_buckets = 0;
}

struct daxl_inode *daxl_names_find(const struct daxl_pool *pool, const char *bytes, size_t len)
{
	if (pool->name_buckets == 0)
		return NULL;
	uint32_t hash = name_hash(bytes, len);
	struct daxl_inode *ino = *name_bucket(pool, hash);
	while (ino != NULL &&
	       (ino->name->hash != hash || ino->name->len != len || memcmp(ino->name->bytes, bytes, len) != 0))
		ino = ino->hash_next;
	return ino;
}

void daxl_names_insert(struct daxl_pool *pool, struct daxl_inode *ino, struct daxl_name *name)
{
	assert(ino->name == NULL);
	struct daxl_inode **head = name_bucket(pool, name->hash);
	ino->name = name;
	ino->hash_next = *head;
	*head = ino;
	pool->files++;
}

void daxl_names_remove(struct daxl_pool *pool, struct daxl_inode *ino)
{
	if (ino->name == NULL)
		return;
	struct daxl_inode **link = name_bucket(pool, ino->name->hash);
	while (*link != ino)
		link = &(*link)->hash_next;
	*link = ino->hash_next;
	ino->hash_next = NULL;
	ino->name = NULL;
	pool->files--;
}

struct daxl_inode *daxl_inode_by_id(struct daxl_pool *pool, uint32_t id)
{
	if (pool->id_buckets == 0)
		return NULL;
	struct daxl_inode *ino = *id_bucket(pool, id);
	while (ino != NULL && ino->id != id)
		ino = ino->id_next;
	return ino;
}

void daxl_ids_insert(struct daxl_pool *pool, struct daxl_inode *ino)
{
	struct daxl_inode **head = id_bucket(pool, ino->id);
	ino->id_next = *head;
	*head = ino;
	pool->ids++;
	if (ino->id > pool->highest_id)
		pool->highest_id = ino->id;
}

void daxl_ids_remove(struct daxl_pool *pool, struct daxl_inode *ino)
{
	struct daxl_inode **link = id_bucket(pool, ino->id);
	while (*link != ino)
		link = &(*link)->id_next;
	*link = ino->id_next;
	ino->id_next = NULL;
	pool->ids--;
}

void daxl_ids_each(struct daxl_pool *pool, void (*fn)(struct daxl_inode *ino, void *arg), void *arg)
{
	for (size_t i = 0; i < pool->id_buckets; i++) {
		for (struct daxl_inode *ino = pool->by_id[i], *next; ino != NULL; ino = next) {
			next = ino->id_next;
			fn(ino, arg);
		}
	}
}

int daxl_names_give(struct daxl_pool *pool, struct daxl_inode *ino, const char *bytes, size_t len)
{
	struct daxl_name *name = NULL;
	struct daxl_name *old = ino->name;
	if (len != 0) {
		struct daxl_inode *other = daxl_names_find(pool, bytes, len);
		if (other != NULL && other != ino)
			return daxl_fail(EUCLEAN, "the name '%.*s' of file %u is also that of file %u", (int)len, bytes, ino->id,
			                 other->id);
		int rc = daxl_names_room(pool);
		if (rc == 0)
			rc = daxl_name_new(bytes, len, &name);
		if (rc < 0)
			return rc;
	}
	daxl_names_remove(pool, ino);
	ino->version->name = name;
	daxl_free(old);
	if (name != NULL)
		daxl_names_insert(pool, ino, name);
	return 0;
}

void daxl_names_swap(struct daxl_pool *pool, struct daxl_inode *a, struct daxl_inode *b)
{
	struct daxl_name *a_name = a->name;
	struct daxl_name *b_name = b->name;
	daxl_names_remove(pool, a);
	daxl_names_remove(pool, b);
	a->version->name = b_name;
	b->version->name = a_name;
	if (b_name != NULL)
		daxl_names_insert(pool, a, b_name);
	if (a_name != NULL)
		daxl_names_insert(pool, b, a_name);
}
