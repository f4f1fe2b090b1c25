/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The tables of names and ids.
 *
 * The table of names has no chains: a name lies at the place that its hash says or behind that, with no empty place
 * between. The hashes are an array of their own, 0 where the place is empty, so that a search reads that first, and of
 * inodes and names hardly any but the one that it was for. It is doubled when seven eighths are full.
 *
 * The table of ids has chains through the inodes, and is doubled when it is as full as it is long. It holds every inode
 * in memory, from creation until its memory is freed, so an id is not given out again while anybody, the checkpointer
 * included, may still speak of its former bearer. Its hash is the id itself: ids are given out in order, and so are
 * neighbours here.
 *
 * A table that cannot grow for want of memory only gets slower, as long as there is any room.
 */
#include "file/names.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/hook.h"

#define PLACES_MIN ((size_t)64)

/* Multiplied and folded, eight bytes at a time: names come from programs, not from strangers. Never 0. */
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
	return (uint32_t)(h >> 32) | 1u << 31;
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

static struct daxl_inode **id_bucket(const struct daxl_pool *pool, uint32_t id)
{
	return &pool->by_id[id & (pool->id_buckets - 1)];
}

/* Where the search for hash begins, and where it goes on after at. */
static size_t name_home(const struct daxl_names *names, uint32_t hash)
{
	return hash & (names->size - 1);
}

static size_t name_after(const struct daxl_names *names, size_t at)
{
	return (at + 1) & (names->size - 1);
}

/* There is an empty place. */
static void name_put(struct daxl_names *names, uint32_t hash, struct daxl_inode *ino)
{
	size_t at = name_home(names, hash);
	while (names->hash[at] != 0)
		at = name_after(names, at);
	names->hash[at] = hash;
	names->inode[at] = ino;
}

/* A table of names with size places, filled from the old one. False: no memory. */
static bool resize_names(struct daxl_pool *pool, size_t size)
{
	struct daxl_names old = pool->names;
	struct daxl_names names = {
		.size = size,
		.hash = daxl_zalloc(size * sizeof(*names.hash)),
		.inode = daxl_alloc(size * sizeof(struct daxl_inode *)),
	};
	if (names.hash == NULL || names.inode == NULL) {
		daxl_free(names.hash);
		daxl_free(names.inode);
		return false;
	}
	for (size_t i = 0; i < old.size; i++)
		if (old.hash[i] != 0)
			name_put(&names, old.hash[i], old.inode[i]);
	daxl_free(old.hash);
	daxl_free(old.inode);
	pool->names = names;
	return true;
}

/* A table of ids with so many buckets, filled from the old one. False: no memory. */
static bool resize_ids(struct daxl_pool *pool, size_t buckets)
{
	size_t old_buckets = pool->id_buckets;
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

/* Whether one more of so many places may be filled. */
static bool is_roomy(uint64_t used, size_t size)
{
	return used + 1 <= size / 8 * 7;
}

int daxl_names_room(struct daxl_pool *pool)
{
	struct daxl_names *names = &pool->names;
	/* One place stays empty: there every search ends. */
	if (!is_roomy(pool->files, names->size) && !resize_names(pool, daxl_max_u64(names->size * 2, PLACES_MIN)) &&
	    pool->files + 2 > names->size)
		return daxl_fail(ENOMEM, "no memory for the table of names");
	if (pool->ids >= pool->id_buckets && !resize_ids(pool, daxl_max_u64(pool->id_buckets * 2, PLACES_MIN)) &&
	    pool->id_buckets == 0)
		return daxl_fail(ENOMEM, "no memory for the table of files");
	return 0;
}

void daxl_names_expect(struct daxl_pool *pool, uint64_t files)
{
	size_t places = PLACES_MIN, buckets = PLACES_MIN;
	while (!is_roomy(files, places))
		places *= 2;
	while (buckets < files)
		buckets *= 2;
	if (places > pool->names.size)
		(void)resize_names(pool, places);
	if (buckets > pool->id_buckets)
		(void)resize_ids(pool, buckets);
}

void daxl_names_destroy(struct daxl_pool *pool)
{
	daxl_free(pool->names.hash);
	daxl_free(pool->names.inode);
	daxl_free(pool->by_id);
	pool->names = (struct daxl_names){0};
	pool->by_id = NULL;
	pool->id_buckets = 0;
}

struct daxl_inode *daxl_names_find(const struct daxl_pool *pool, const char *bytes, size_t len)
{
	const struct daxl_names *names = &pool->names;
	if (names->size == 0)
		return NULL;
	uint32_t hash = name_hash(bytes, len);
	for (size_t at = name_home(names, hash); names->hash[at] != 0; at = name_after(names, at)) {
		if (names->hash[at] != hash)
			continue;
		const struct daxl_name *name = names->inode[at]->name;
		if (name->len == len && memcmp(name->bytes, bytes, len) == 0)
			return names->inode[at];
	}
	return NULL;
}

void daxl_names_insert(struct daxl_pool *pool, struct daxl_inode *ino, struct daxl_name *name)
{
	assert(ino->name == NULL && pool->files + 2 <= pool->names.size);
	ino->name = name;
	name_put(&pool->names, name->hash, ino);
	pool->files++;
}

void daxl_names_remove(struct daxl_pool *pool, struct daxl_inode *ino)
{
	struct daxl_names *names = &pool->names;
	if (ino->name == NULL)
		return;
	size_t at = name_home(names, ino->name->hash);
	while (names->inode[at] != ino || names->hash[at] == 0)
		at = name_after(names, at);
	/* What lies behind moves up, if its search comes past here. */
	for (size_t next = name_after(names, at); names->hash[next] != 0; next = name_after(names, next)) {
		size_t way = (next - name_home(names, names->hash[next])) & (names->size - 1);
		if (way < ((next - at) & (names->size - 1)))
			continue;
		names->hash[at] = names->hash[next];
		names->inode[at] = names->inode[next];
		at = next;
	}
	names->hash[at] = 0;
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
