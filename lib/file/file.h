/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The pool and its files in DRAM.
 *
 * struct daxl_inode is a file; what readers see of it is one immutable struct daxl_version (name, size, map,
 * generation, times, attributes), replaced whole under the file's mutex and inside the log's gate. struct daxl_change
 * is the next version of one file while an operation builds it; daxl_commit writes the record that makes one or two
 * changes durable and publishes them. struct daxl_file is a handle: what daxl_open gives out.
 */
#ifndef DAXL_FILE_FILE_H
#define DAXL_FILE_FILE_H

#include <daxlayout.h>

#include "base/lock.h"
#include "base/rcu.h"
#include "base/tally.h"
#include "lease/break.h"
#include "lease/domain.h"
#include "lease/range_lock.h"
#include "log/log.h"
#include "map/rope.h"
#include "media/media.h"
#include "space/limbo.h"
#include "space/space.h"

struct daxl_name { /* immutable */
	uint32_t hash;
	uint8_t len;
	char bytes[]; /* len bytes and a NUL for messages */
};
struct daxl_attrs { /* immutable: the packed attribute bytes of the on-media file record */
	uint16_t len;
	uint8_t bytes[];
};

/* What a replaced version leaves behind, while it waits for its grace period: retire.c. */
struct daxl_retired {
	struct daxl_version *next;
	struct daxl_dropped dropped;
	daxl_nblk_t blocks; /* in dropped */
};

struct daxl_version { /* all but retired immutable once published */
	uint64_t size; /* bytes */
	uint64_t generation;
	uint64_t mtime_ns, ctime_ns;
	struct daxl_node *root; /* knows its runs and blocks */
	struct daxl_name *name;   /* NULL: nameless. Owned by the newest version that has it */
	struct daxl_attrs *attrs; /* NULL: none. Owned likewise */
	bool deleted; /* the last version of a deleted file: no map */
	bool damaged; /* read-only open of a damaged pool: every access answers -EUCLEAN */
	bool drops_name, drops_attrs; /* set when it is replaced: no later version has its name, its attrs */
	struct daxl_retired retired;  /* set when it is replaced */
};
_Static_assert(sizeof(struct daxl_version) == 2 * DAXL_CACHE_LINE, "two lines, of which readers look at the first");

struct daxl_tpage; /* checkpoint.c: the table page this file's record lies in */

struct daxl_inode { /* from the slab */
	struct daxl_pool *pool;
	uint64_t btime_ns;
	struct daxl_version *version; /* RCU; written under mutex, inside the gate */
	uint32_t id;
	/* Atomic: handles + leases + operations in flight + 1 for the tables, which goes once a durable checkpoint is
	 * without the deleted file. Only who holds a reference, or found the file under
	 * names_mutex, takes another. */
	uint32_t refs;
	DAXL_MUTEX(FILE) mutex;
	uint32_t handles; /* open handles; guarded by pool->names_mutex */
	/* Atomic. Raised under mutex when blocks move or become shared (shift, exchange, clone, dedupe): once
	 * before the publish and once after, so it is odd for a moment. Who reads it odd takes that as "changed". */
	uint64_t moved;
	struct daxl_range_lock *rl; /* from an open until the last close that finds nothing in it; else NULL */
	/* guarded by pool->names_mutex */
	struct daxl_inode *id_next; /* id table */
	struct daxl_name *name; /* as in version->name; NULL: nameless */
	bool deleting;          /* the delete hook was called, or is about to be */
	/* checkpoint (checkpoint.c); guarded by mutex unless it says otherwise */
	bool newborn;         /* created since dirty_cut, and never queued again */
	uint32_t dirty_nodes; /* at most so many nodes without pages since dirty_cut */
	uint64_t dirty_cut;   /* the cut since which it was last changed for the first time */
	union {
		struct daxl_version *cut_version; /* not newborn; valid while dirty_cut is the running cut: the version as of the cut */
		struct daxl_inode **dirty_prev;   /* newborn; guarded by pool->dirty_lock, while dirty_cut is the pool's cut */
	};
	struct daxl_inode *dirty_next[2]; /* by cut parity */
	struct daxl_tpage *tpage;         /* checkpointer only */
	struct daxl_inode *tpage_next;    /* checkpointer only */
};
#if defined(NDEBUG) && !defined(DAXL_CHECK_LOCKS)
_Static_assert(sizeof(struct daxl_inode) == 2 * DAXL_CACHE_LINE, "two lines, of which operations look at the first");
#endif

struct daxl_file {
	struct daxl_pool *pool;
	struct daxl_inode *ino;
	int oflags;
	bool readable, writable;
	bool has_wait;              /* guarded by wait_mutex */
	struct daxl_wait wait;      /* daxl_set_wait */
	pthread_mutex_t wait_mutex;
};

struct daxl_ckpt; /* checkpoint.c */

struct daxl_names { /* names.c; a place is empty when its hash is 0 */
	size_t size; /* places: a power of two, or 0 */
	uint32_t *hash;
	struct daxl_inode **inode;
};

#define DAXL_SPARE_RANGE_LOCKS 16u

struct daxl_pool {
	struct daxl_media *media;
	struct daxl_md_super super;
	struct daxl_space *space;
	struct daxl_slab *slab;
	struct daxl_log *log;
	struct daxl_domain *domain;
	struct daxl_ckpt *ckpt;
	unsigned block_shift;
	bool read_only;
	bool recovered;            /* this open replayed records */
	uint64_t epoch;
	daxl_nblk_t keep_back;     /* blocks */
	uint64_t max_file_size;    /* bytes: INT64_MAX rounded down to a block */
	unsigned bad_supers;       /* copies that were found damaged or outdated when it was opened */
	bool grew;                 /* this open found it larger than the superblock says */
	DAXL_MUTEX(POOL) grow_mutex; /* one growth at a time */
	DAXL_MUTEX(NAMES) names_mutex; /* name table, id table, refs, handles, next_id, spare. Lookup of names too */
	struct daxl_names names;    /* of files that have one */
	struct daxl_inode **by_id;  /* a hash table too */
	size_t id_buckets;
	uint64_t files, open_files; /* files: those with a name; also changed inside the gate only */
	size_t ids;                 /* in by_id */
	uint32_t next_id;
	uint32_t highest_id;        /* that any file in by_id has had */
	struct daxl_range_lock *spare[DAXL_SPARE_RANGE_LOCKS]; /* of files that were closed, for those that are opened */
	unsigned nspare;
	uint64_t cut;              /* changed with the gate closed; read inside the gate */
	bool ckpt_active;          /* changed with the gate closed */
	uint32_t dirty_lock;       /* a spin lock */
	struct daxl_inode *dirty DAXL_GUARDED(SPIN); /* files changed since the cut */
	struct daxl_tally *tally;  /* the domain's; NULL until there is one */
	/* retired versions: see retire.c. retired_wait is what they wait on while a checkpoint runs, guarded by retire_mutex */
	DAXL_MUTEX(SPACE) retire_mutex;
	struct daxl_version *retired_wait DAXL_GUARDED(SPACE);
	/* reclaim.c; the atomics are sequentially consistent */
	uint64_t retire_list;     /* atomic: replaced versions that wait for a grace period, and how many */
	uint64_t retire_rounds;   /* atomic: batches that have been freed */
	uint32_t retire_waiters;  /* atomic: calls that wait for frees */
	bool retire_stop;         /* atomic */
	bool reclaims;            /* the thread is there */
	pthread_t retire_thread;
	uint64_t retire_key, retire_done_key; /* what the thread waits for, and who waits for frees */
	uint64_t ckpt_asked;       /* atomic: somebody is about to run the checkpoint that is due */
	uint64_t first_generation; /* of the checkpoint that was loaded; each one since is one more */
	daxl_nblk_t fixed_blocks;  /* superblocks, slots, log: never given out */
	bool damaged;              /* read-only open: some file or page cannot be read */
	bool forced;               /* the granularity was forced through the environment */
	struct daxl_background *background; /* the checkpointing thread, or NULL */
};

/* --- pool.c: life of a pool (argument checks are done by api/) --- */
int daxl_pool_make(const char *path, uint64_t size, const struct daxl_pool_opts *opts, struct daxl_pool **ret_pool);
int daxl_pool_load(const char *path, const struct daxl_pool_opts *opts, struct daxl_pool **ret_pool);
/* The same over any media, which is the pool's from success on and stays the caller's on failure (crash images,
 * fuzzing). */
int daxl_pool_load_media(struct daxl_media *media, const struct daxl_pool_opts *opts, struct daxl_pool **ret_pool);
/* The same with another loader than daxl_load: check's, which goes on where that gives up. */
struct daxl_load_result;
typedef int (*daxl_loader_fn)(struct daxl_pool *pool, struct daxl_load_result *ret, void *arg);
int daxl_pool_load_with(struct daxl_media *media, const struct daxl_pool_opts *opts, daxl_loader_fn loader, void *arg,
                        struct daxl_pool **ret_pool);
/* Free space of a pool with nothing in it but what every pool has. */
int daxl_pool_space_make(const struct daxl_md_super *super, struct daxl_space **ret_space, daxl_nblk_t *ret_keep_back,
                         daxl_nblk_t *ret_fixed);
int daxl_pool_make_media(struct daxl_media *media, uint64_t size /* 0: all of it */, const struct daxl_pool_opts *opts,
                         struct daxl_pool **ret_pool);
/*
 * grow.c: new_size, rounded down to blocks, is not below the present size. The medium is made longer where it has to
 * be. -EROFS, -EFBIG, -ENOSPC, -EOPNOTSUPP, -ENOMEM; the pool is as it was then, though its file may be longer.
 */
int daxl_pool_enlarge(struct daxl_pool *pool, uint64_t new_size) DAXL_WAITS;
/* Clean close; -EBUSY with a message that lists leases and open files. */
int daxl_pool_end(struct daxl_pool *pool) DAXL_WAITS;
/* Drops a pool without the clean close (tests: as a crash would leave the medium). Leases and files must be gone. */
void daxl_pool_abandon(struct daxl_pool *pool) DAXL_WAITS;

static inline char *daxl_pool_addr(const struct daxl_pool *pool, daxl_blk_t blk)
{
	return daxl_media_base(pool->media) + daxl_blocks_to_bytes(blk, pool->block_shift);
}

/* --- inode.c, names.c: files, names, handles --- */
/* Looks a name up and takes a reference, or NULL. */
struct daxl_inode *daxl_inode_get(struct daxl_pool *pool, const char *name, size_t len) DAXL_TAKES(NAMES);
void daxl_inode_ref(struct daxl_inode *ino);
/* Drops a reference; the last one frees the memory. Deletion is not triggered here but by the last close, or by
 * the loss of the name of a file that is not open: then daxl_delete_hook is called, once. No lock of rank NAMES or
 * above held. */
void daxl_inode_put(struct daxl_inode *ino) DAXL_TAKES(NAMES);
/* Creates a file with a CREATE record (credit taken inside), returns it referenced. -EEXIST when the name is taken. */
int daxl_inode_create(struct daxl_pool *pool, const char *name, size_t len, struct daxl_inode **ret_ino) DAXL_WAITS;
int daxl_names_unlink(struct daxl_pool *pool, const char *name, size_t len) DAXL_WAITS;
int daxl_names_rename(struct daxl_pool *pool, const char *from, size_t from_len, const char *to, size_t to_len, unsigned flags)
	DAXL_WAITS;
int daxl_names_list(struct daxl_pool *pool, daxl_list_fn fn, void *arg) DAXL_WAITS; /* no lock held during fn */
/* Takes over the reference on success. -ENOENT: the file lost its name since it was looked up (look it up again,
 * or create it); -EUCLEAN: damaged; -ENOMEM. */
int daxl_handle_open(struct daxl_pool *pool, struct daxl_inode *ino, int oflags, struct daxl_file **ret_file)
	DAXL_TAKES(NAMES);
int daxl_handle_close(struct daxl_file *file) DAXL_WAITS;
/* The file's name for messages, copied ("<unlinked file 12>" when nameless). */
const char *daxl_inode_label(struct daxl_inode *ino, char *buf, size_t size);

/* The current version, inside an RCU read section. */
static inline struct daxl_version *daxl_version_get(const struct daxl_inode *ino)
{
	return daxl_rcu_deref(ino->version);
}

/* --- commit.c: changes and their record --- */
/* Memory of versions (retire.c), undefined: NULL when there is none; NULL may be freed. */
struct daxl_version *daxl_version_alloc(struct daxl_pool *pool);
void daxl_version_free(struct daxl_pool *pool, struct daxl_version *version);

struct daxl_change {
	struct daxl_inode *ino;     /* its mutex is held from begin to commit or abort */
	struct daxl_version *old;
	struct daxl_version *next;  /* set size, times etc. here; root comes from edit at commit */
	struct daxl_edit edit;
	bool moves; /* raise ino->moved at publish */
};
/* Begins: next is a copy of the present version with generation + 1 and ctime (mtime too unless !touch) now.
 * -ENOMEM, -EUCLEAN (damaged file). */
int daxl_change_begin(struct daxl_change *change, struct daxl_inode *ino, bool touch) DAXL_HOLDS(FILE);
void daxl_change_abort(struct daxl_change *change) DAXL_HOLDS(FILE);

/* --- room.c --- */
/* What an operation does to the room for checkpoints. */
enum daxl_need { DAXL_NEED_GROW, DAXL_NEED_FREE, DAXL_NEED_DELETE };
bool daxl_ckpt_due(const struct daxl_pool *pool); /* the next checkpoint would take half of what is kept back */
/* There is room for what need says, perhaps after a checkpoint; else -ENOSPC (never for DELETE). No lock held. */
int daxl_room_make(struct daxl_pool *pool, enum daxl_need need) DAXL_WAITS;
/* Whether a change with so many new nodes can be taken into a checkpoint; -ENOSPC. */
int daxl_room_for_nodes(const struct daxl_pool *pool, uint64_t nodes);

/* Takes credit for one operation (DAXL_REC_SLOTS_MAX slots). Runs a checkpoint when one is due (log half full, or
 * dirty pages reach half of the reserve): nothing may be held. -ENOSPC, -EROFS. */
int daxl_credit_take(struct daxl_pool *pool, enum daxl_need need) DAXL_WAITS;
void daxl_credit_give(struct daxl_pool *pool);

/* A record under construction: fixed part and list in one growing buffer. */
struct daxl_record {
	unsigned type;
	uint8_t *buf; /* inline_buf until it does not fit */
	size_t len, cap;
	uint8_t inline_buf[DAXL_REC_BODY_MAX];
};
void daxl_record_init(struct daxl_record *rec, unsigned type);
int daxl_record_put(struct daxl_record *rec, const void *bytes, size_t len); /* -ENOMEM */
void daxl_record_free(struct daxl_record *rec);
/* MAP, TRUNCATE, COLLAPSE, INSERT records: the header goes in at finish, edits are added in order (compact first
 * edit where it fits). */
int daxl_record_map_begin(struct daxl_record *rec, unsigned type, uint32_t id);
int daxl_record_map_edit(struct daxl_record *rec, daxl_fblk_t at, daxl_nblk_t len, uint64_t val);
void daxl_record_map_finish(struct daxl_record *rec, uint64_t size, uint64_t time_ns);

/*
 * The commit point (steps 5 and 6 of an operation). Uses one operation's credit (and then clears *credit), or slots from
 * credit that a lease has kept. Fails for want of payload pages for a long record (-ENOSPC, -ENOMEM), of room for the next
 * checkpoint (-ENOSPC), or because late did; nothing has changed then and the changes are still the caller's to abort. Else:
 * ticket, record, late(arg), in_place(arg) (stores of zeroes at unaligned edges; may be NULL; only stores), one fence, publish
 * every change, leave; old versions are retired, and what they dropped is freed after a grace period. Data that must
 * precede the record has been fenced by the caller. The changes' mutexes stay locked; the caller unlocks.
 */
struct daxl_commit {
	struct daxl_pool *pool;
	struct daxl_change **changes;
	size_t nchanges;
	struct daxl_record *rec;
	int (*late)(void *arg);  /* the last edit of a map, which only DRAM shows; may be NULL */
	void (*last)(void *arg); /* before the record; only stores, which are seen at once and which the record's fence makes durable; may be NULL */
	void (*in_place)(void *arg);
	void *arg;
	void (*published)(void *arg); /* right after publish, still inside the gate and the mutexes: limbo links, id tables. May be NULL */
	void *published_arg;
};
int daxl_commit(struct daxl_commit *commit, bool *credit) DAXL_HOLDS(FILE);
/* As daxl_commit with the slots a lease kept for it (>= what the record needs; records that do not fit use payload
 * pages). */
int daxl_commit_with(struct daxl_commit *commit, unsigned *slots) DAXL_HOLDS(FILE);

/* --- reclaim.c --- */
/* The thread that waits for grace periods; -EAGAIN. */
int daxl_reclaim_start(struct daxl_pool *pool);
/* All that was handed to it has been freed, and the thread has ended. Nothing if there is none. */
void daxl_reclaim_stop(struct daxl_pool *pool) DAXL_WAITS;
/* Hands a replaced version to its grace period. Cannot fail. */
void daxl_retire_start(struct daxl_pool *pool, struct daxl_version *old) DAXL_TAKES(BUCKET);
/* Waits once for the frees pending in the grace period; true when there were any: try again. No lock held. Before
 * -ENOSPC. */
bool daxl_wait_for_frees(struct daxl_pool *pool) DAXL_WAITS;

/* --- retire.c --- */
/* The grace period of all in the list is over: frees what they let go, and them. */
void daxl_retire_free(struct daxl_pool *pool, struct daxl_version *list) DAXL_TAKES(SPACE);
/* A checkpoint has ended (ckpt_active is false again): frees what waited for it. No lock of rank SPACE held. */
void daxl_retire_flush(struct daxl_pool *pool) DAXL_TAKES(SPACE);

/* --- stat.c --- */
void daxl_pool_fill_stat(struct daxl_pool *pool, struct daxl_pool_stat *ret_stat) DAXL_TAKES(NAMES);

/* --- checkpoint.c, table.c, load.c, replay.c --- */
int daxl_ckpt_create(struct daxl_pool *pool, struct daxl_ckpt **ret_ckpt);
void daxl_ckpt_destroy(struct daxl_ckpt *ckpt);
/* Writes a checkpoint now (or waits for the one in progress and then writes one). clean: with the clean flag and
 * summary (close). -ENOSPC, -ENOMEM: the old one stays valid. No lock held. */
int daxl_ckpt_run(struct daxl_pool *pool, bool clean, uint64_t new_epoch) DAXL_WAITS;
/* Called inside the gate at publish, before ino->version is replaced: keeps old for a running checkpoint, queues
 * the file as dirty. pages: new rope nodes of this change. */
void daxl_ckpt_note(struct daxl_inode *ino, struct daxl_version *old, const struct daxl_version *next, size_t pages)
	DAXL_HOLDS(FILE);
/* Of a file that has just been deleted: whether a checkpoint, when it is durable, drops the tables' reference. Else the
 * caller does. */
bool daxl_ckpt_knows(const struct daxl_inode *ino);
/* A node's pages are used until the next checkpoint is durable; a payload page likewise. */
void daxl_ckpt_page_retired(struct daxl_pool *pool, daxl_page_t page, daxl_page_t copy) DAXL_TAKES(SLAB);
void daxl_ckpt_payload_retired(struct daxl_pool *pool, daxl_page_t page) DAXL_TAKES(SLAB);
/* Loads the newest checkpoint and replays the log into pool (super, media, space, slab set up; names and inodes
 * empty). *ret_head: log position where new records go; *ret_slot_start. -EUCLEAN, -EIO, -ENOMEM with a message. */
struct daxl_load_result {
	uint64_t start, head, epoch;
	uint64_t records; /* replayed */
	bool clean;
};
int daxl_load(struct daxl_pool *pool, struct daxl_load_result *ret);
void daxl_ckpt_stat(const struct daxl_pool *pool, uint64_t *ret_checkpoints, uint64_t *ret_pages);
/* inode.c: adds a loaded or replayed file to the tables (no record; len 0: nameless), with an empty version of
 * generation 1 which the caller may still change, and keeps next_id above id. -EUCLEAN when id or name is taken,
 * -ENOMEM. More for load and replay in file/names.h. */
int daxl_inode_add(struct daxl_pool *pool, uint32_t id, const char *name, size_t len, uint64_t btime_ns, struct daxl_inode **ret_ino);
struct daxl_inode *daxl_inode_by_id(struct daxl_pool *pool, uint32_t id); /* no reference taken; load only */
/* Removes from tables and frees at once with its whole rope's blocks (load and replay only). */
void daxl_inode_erase(struct daxl_pool *pool, struct daxl_inode *ino);

/*
 * Deletion with limbo, provided by ops/ so that file/ need not know it: set once at start-up. Called with nothing
 * held when a nameless file's last reference or handle goes: recalls (reason UNLINK), puts busy blocks to limbo, and
 * commits the DELETE record with daxl_delete_commit.
 */
extern int (*daxl_delete_hook)(struct daxl_inode *ino); /* only for files with a range lock */
/* Mutex held: DELETE or, if the file has a name, REMOVE record; version becomes nameless and deleted, blocks freed after
 * grace. With a name, names_mutex is held too, and published takes it out of the table. */
int daxl_delete_commit(struct daxl_inode *ino, bool *credit, void (*published)(void *arg), void *arg) DAXL_HOLDS(FILE);

#endif
