/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What checkpoint, table, summary, load and replay share; for lib/file itself.
 *
 * The table on the medium is an array of *table pages* with the file records, and above it a radix tree of *directory
 * pages* with nothing but refs: a directory page of depth 1 refers to table pages, one of depth d to directory pages of
 * depth d - 1. The slot refers to the root; its table_depth is the root's, 0 when the only table page is the root
 * itself. The tree is as low as it can be for table_pages places. A place may be empty (page 0); directory pages never
 * are. Every page is written twice.
 */
#ifndef DAXL_FILE_CKPT_H
#define DAXL_FILE_CKPT_H

#include "file/file.h"
#include "log/page.h"

#define DAXL_DIR_ENTRIES (DAXL_PAGE_BODY / (unsigned)sizeof(struct daxl_md_ref))
#define DAXL_TABLE_DEPTH_MAX 6u
#define DAXL_TABLE_PLACES_MAX (UINT64_C(1) << 47) /* what depth 6 reaches is more */

/* A table page in DRAM: the files whose records lie in it. */
struct daxl_tpage {
	uint64_t index;           /* its place; UINT64_MAX: the homeless */
	struct daxl_md_ref ref;   /* as the last durable checkpoint has it; page 0: not there */
	struct daxl_md_ref next;  /* as the running checkpoint has it */
	struct daxl_inode *files; /* by tpage_next */
	uint32_t nfiles;
	uint32_t used; /* bytes of their records when last packed */
	bool dirty;
	struct daxl_tpage *dirty_next;
};

/* A directory page in DRAM; its entries are those of the level below. */
struct daxl_dirpage {
	struct daxl_md_ref ref, next; /* as above */
	uint32_t entries;             /* in ref's page */
	uint32_t next_entries;
	bool dirty;   /* a child was written */
	bool written; /* next is valid */
};

struct daxl_dirlevel {
	struct daxl_dirpage *pages;
	uint64_t cap;
};

/* The checkpointer's only (its mutex), or load's. */
struct daxl_table {
	struct daxl_tpage **pages;                        /* by place; NULL: empty and never used */
	uint64_t count, cap;                              /* places; atomic for who estimates */
	struct daxl_dirlevel level[DAXL_TABLE_DEPTH_MAX]; /* [d - 1]: depth d */
	struct daxl_tpage *dirty;
	struct daxl_tpage homeless; /* files that have to be put into a page */
	struct daxl_tpage *open;    /* the page that is being filled */
	uint64_t scan;              /* where the search for room goes on */
	uint64_t files;             /* members of all pages and homeless ones */
};

struct daxl_ckpt {
	struct daxl_pool *pool;
	DAXL_MUTEX(CHECKPOINT) mutex; /* one checkpoint at a time. Guards what follows */
	struct daxl_table table;
	struct daxl_md_slot slot DAXL_GUARDED(CHECKPOINT); /* the newest durable one */
	int which DAXL_GUARDED(CHECKPOINT); /* 0 A, 1 B: where it is */
	size_t retired_cut DAXL_GUARDED(CHECKPOINT); /* entries of retired[] that were there at the cut */
	struct daxl_rope_out *out DAXL_GUARDED(CHECKPOINT); /* for the one who writes nodes */

	uint64_t begun;     /* checkpoints begun; atomic */
	uint64_t done DAXL_GUARDED(CHECKPOINT); /* the number of the last one that succeeded */
	uint64_t completed; /* atomic, for stat */

	/* Pages that the last durable checkpoint or the log after it still needs, but nothing newer does. */
	DAXL_MUTEX(SLAB) page_mutex; /* a leaf: the thread that reclaims comes here. Guards up to lost */
	daxl_page_t *retired DAXL_GUARDED(SLAB);
	size_t nretired DAXL_GUARDED(SLAB), retired_cap DAXL_GUARDED(SLAB);
	size_t live DAXL_GUARDED(SLAB); /* pages in use and not retired: there is room for them in retired */
	bool lost DAXL_GUARDED(SLAB); /* a page could not be noted and stays used until the next open */

	/* What the next checkpoint would write, at most: raised by daxl_ckpt_note, emptied at the cut. Atomic */
	uint64_t dirty_nodes, dirty_files, dirty_bytes;
};

/* checkpoint.c */

/*
 * The file's version as of the running cut; NULL: it was not there yet. Only while a checkpoint runs; whoever runs it.
 */
struct daxl_version *daxl_ckpt_version(const struct daxl_inode *ino);
/* Load and replay: the file has changed since the checkpoint loaded. daxl_ckpt_loaded makes it so for good. */
void daxl_ckpt_replayed(struct daxl_inode *ino);
/* Load has ended: files that replay changed are queued for the first checkpoint. */
void daxl_ckpt_loaded(struct daxl_pool *pool);

/* ckpt_pages.c */

/* A page for a checkpoint, at least 2 MiB from avoid where possible. -ENOSPC, -ENOMEM. */
int daxl_ckpt_page_get(struct daxl_ckpt *ckpt, daxl_page_t avoid, daxl_page_t *ret_page) DAXL_TAKES(SPACE);
/* Two of them; none on failure. */
int daxl_ckpt_ref_get(struct daxl_ckpt *ckpt, struct daxl_md_ref *ret_ref) DAXL_TAKES(SPACE);
/* Gives a page back at once: no durable checkpoint needs it. */
void daxl_ckpt_page_put(struct daxl_ckpt *ckpt, daxl_page_t page) DAXL_TAKES(SPACE);
/* Both pages; ref is 0 then. */
void daxl_ckpt_ref_put(struct daxl_ckpt *ckpt, struct daxl_md_ref *ref) DAXL_TAKES(SPACE);
/* Load: a page of the checkpoint being loaded, taken care of from now on. -ENOMEM. */
int daxl_ckpt_page_loaded(struct daxl_ckpt *ckpt) DAXL_TAKES(SLAB);
/* How many pages are retired and not free yet. */
size_t daxl_ckpt_retired_count(struct daxl_ckpt *ckpt) DAXL_TAKES(SLAB);
/* Frees the first n of them: a checkpoint that does not need them is durable. */
void daxl_ckpt_retired_free(struct daxl_ckpt *ckpt, size_t n) DAXL_TAKES(SPACE);

/* table.c */

void daxl_table_init(struct daxl_table *table);
void daxl_table_fini(struct daxl_table *table);
/* Bytes of a file's record. */
size_t daxl_file_record_len(const struct daxl_version *version);
/* The file's record has to be written: its page becomes dirty, or it gets homeless. Cannot fail. */
void daxl_table_touch(struct daxl_table *table, struct daxl_inode *ino);
/* The file is no longer in the table (nothing if it is not). */
void daxl_table_remove(struct daxl_table *table, struct daxl_inode *ino);
/*
 * Packs dirty pages and the homeless, then writes every dirty page and the directory (flushed). -ENOSPC, -ENOMEM: call
 * undo.
 */
int daxl_table_write(struct daxl_ckpt *ckpt, uint64_t position, struct daxl_md_slot *slot) DAXL_HOLDS(CHECKPOINT);
/* The checkpoint is durable: pages it replaced are freed. */
void daxl_table_done(struct daxl_ckpt *ckpt) DAXL_HOLDS(CHECKPOINT);
/* It failed: pages written for it are freed, dirty pages stay dirty. */
void daxl_table_undo(struct daxl_ckpt *ckpt) DAXL_HOLDS(CHECKPOINT);
/* Load: makes room for count places, all empty. -ENOMEM. */
int daxl_table_resize(struct daxl_table *table, uint64_t count);
/* Load: makes room for count directory pages of depth. -ENOMEM. */
int daxl_table_level_reserve(struct daxl_table *table, unsigned depth, uint64_t count);
/* Load: the table page at place index lies at ref. -ENOMEM. */
int daxl_table_load_page(struct daxl_table *table, uint64_t index, const struct daxl_md_ref *ref,
                         struct daxl_tpage **ret_page);
/* Load: puts a file in a page. */
void daxl_table_adopt(struct daxl_table *table, struct daxl_tpage *page, struct daxl_inode *ino, size_t record_len);
/* The depth of the directory for count places, and how many pages it has at depth d. */
unsigned daxl_table_depth(uint64_t count);
uint64_t daxl_table_level_count(uint64_t count, unsigned depth);

/* summary.c */

/*
 * Writes the list of used blocks into new pages and fills in the slot's summary fields; without room or memory the slot
 * has none. Not fenced.
 */
void daxl_summary_write(struct daxl_ckpt *ckpt, uint64_t position, struct daxl_md_slot *slot) DAXL_HOLDS(CHECKPOINT);
/* Load: compares the summary with free space as derived. -EUCLEAN when they differ, -ENOMEM. */
int daxl_summary_check(struct daxl_pool *pool, const struct daxl_md_slot *slot, const uint8_t *bits);
/* Load: reads it; *ret_bits to be freed, NULL when there is none. -EUCLEAN, -EIO, -ENOMEM, or page_fn's. */
int daxl_summary_read(struct daxl_pool *pool, const struct daxl_md_slot *slot,
                      int (*page_fn)(daxl_page_t page, void *arg), void *arg, uint8_t **ret_bits);

/* load.c, replay.c */

/*
 * The pool has new_size bytes from now on, all in DRAM: free space, the last superblock's block, super. The medium has
 * that size. The block that held the last superblock becomes free: before anything is written the superblocks are.
 * Smaller or equal: nothing. -EUCLEAN, -ENOMEM.
 */
int daxl_pool_extend(struct daxl_pool *pool, uint64_t new_size);
/* The block with the last superblock of a pool that had old_size bytes becomes free. */
void daxl_pool_release_end(struct daxl_pool *pool, uint64_t old_size);

/* The field of an intact slot that is impossible in this pool; NULL: none. */
const char *daxl_ckpt_slot_fault(const struct daxl_pool *pool, const struct daxl_md_slot *slot);
/* Generations and cuts below are believable, and can still be counted up. */
#define DAXL_NUMBER_MAX (UINT64_C(1) << 62)

struct daxl_replay {
	struct daxl_pool *pool;
	int (*page_fn)(daxl_page_t page, void *arg); /* a payload page is in use */
	void *page_arg;
	bool tolerant; /* read-only: a bad record damages its files, not the pool */
	bool lost;     /* tolerant, and files may be missing */
	uint64_t records;
	struct daxl_inode *files[2]; /* those which the record in hand is about */
};
/* The version loses its map: blocks are dropped, nodes freed, their pages queued as retired. */
void daxl_replay_drop_map(struct daxl_pool *pool, struct daxl_version *version);
/* Applies one record: a daxl_rec_fn whose arg is a struct daxl_replay. */
int daxl_replay_record(const struct daxl_rec_view *rec, void *arg);

#endif
