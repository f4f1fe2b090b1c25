/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The tables of names and ids, and the raw life of an inode: for lib/file itself.
 *
 * daxl_inode_add and daxl_inode_by_id (file.h) are in inode.c. daxl_inode_erase is in load.c, which knows table
 * pages and space; it ends with daxl_names_give(pool, ino, NULL, 0), daxl_ids_remove and daxl_inode_destroy.
 *
 * Everything here wants names_mutex held, or a pool that nobody else can reach yet (load, replay) or any more (end).
 * ino->name is the same object as version->name: under names_mutex the one, inside an RCU read section the other.
 */
#ifndef DAXL_FILE_NAMES_H
#define DAXL_FILE_NAMES_H

#include "file/file.h"

/* A name object of its own. -ENOMEM. Freed with daxl_free. */
int daxl_name_new(const char *bytes, size_t len, struct daxl_name **ret_name);

/* Makes room so that the next daxl_names_insert and the next daxl_ids_insert cannot fail. -ENOMEM. */
int daxl_names_room(struct daxl_pool *pool);
/* Room for so many files at once, where memory allows. */
void daxl_names_expect(struct daxl_pool *pool, uint64_t files);
/* Frees both hash tables; what is in them stays. */
void daxl_names_destroy(struct daxl_pool *pool);

/* The file with that name, or NULL; no reference taken. */
struct daxl_inode *daxl_names_find(const struct daxl_pool *pool, const char *bytes, size_t len);
/* Puts ino in the table as name, which nobody has; ino has none. Sets ino->name, counts pool->files. The version
 * is the caller's. */
void daxl_names_insert(struct daxl_pool *pool, struct daxl_inode *ino, struct daxl_name *name);
/* Takes ino's name out of the table (nothing if it has none); the object is the caller's to free. */
void daxl_names_remove(struct daxl_pool *pool, struct daxl_inode *ino);

void daxl_ids_insert(struct daxl_pool *pool, struct daxl_inode *ino);
void daxl_ids_remove(struct daxl_pool *pool, struct daxl_inode *ino);
/* Calls fn for every file in memory, nameless and deleted ones too. */
void daxl_ids_each(struct daxl_pool *pool, void (*fn)(struct daxl_inode *ino, void *arg), void *arg);

/* Load and replay: ino loses its name (the object is freed at once), in table and version, and gets a copy of
 * bytes instead, or none with len 0. -EUCLEAN when another file has it, -ENOMEM; nothing has changed then. */
int daxl_names_give(struct daxl_pool *pool, struct daxl_inode *ino, const char *bytes, size_t len);
/* Load and replay: the two files swap names, in table and versions. */
void daxl_names_swap(struct daxl_pool *pool, struct daxl_inode *a, struct daxl_inode *b);

/* A bare inode with the table reference and no version, in no table. NULL: no memory. */
struct daxl_inode *daxl_inode_alloc(struct daxl_pool *pool, uint32_t id, uint64_t btime_ns);
/* Frees the inode, which is in no table any more, with its range lock and its version's name and attributes. The
 * version's rope is freed node by node, without its pages and blocks: who wants those back has seen to them before
 * and set root to NULL. */
void daxl_inode_destroy(struct daxl_inode *ino);

/* True when the file has no range lock, perhaps from now on: nobody has it open, and nothing is left in the lock. refs:
 * as many references as there are then. names_mutex held. */
bool daxl_inode_shed_range_lock(struct daxl_inode *ino, uint32_t refs) DAXL_HOLDS(NAMES);
void daxl_range_lock_free(struct daxl_range_lock *rl);

/* Unlinks and deletes a file that has a name and no range lock, in one record. names_mutex held: without it,
 * the file may be gone. */
int daxl_inode_remove(struct daxl_inode *ino, bool *credit) DAXL_HOLDS(NAMES);
/* True, once, when the file has no name and no handle: it is to be deleted, and the caller has got a reference for
 * that. names_mutex held. */
bool daxl_inode_delete_due(struct daxl_inode *ino) DAXL_HOLDS(NAMES);
/* Deletes it, through the delete hook if it has a range lock, and drops that reference. No lock held. A failure
 * leaves the file nameless, for recovery to delete. */
void daxl_inode_delete(struct daxl_inode *ino) DAXL_WAITS;

#endif
