/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The recipe that every layout operation follows.
 *
 *     check what can be refused, take log credit          nobody recalled yet
 *     close the range, recall, wait                       lease/break.h
 *     let counted in-place writers out                    unless only blocks are removed
 *     lock the file(s), plan again: still covered?        else once more round, closing the whole file
 *     reserve blocks and build the next version           may fail: nothing changed
 *     persist new data, then commit                       one record, one fence
 *     open the range
 *
 * An operation brings two functions. plan says, for the version it is shown, whether it must be refused, which range it closes and which leases it
 * concerns (clauses); it runs before the break, when the break is first in its queue, and again under the file mutex, and
 * must not change anything but its own struct. build makes the change, with the mutex held and everything drained.
 */
#ifndef DAXL_OPS_OP_H
#define DAXL_OPS_OP_H

#include "file/file.h"

struct daxl_op;

struct daxl_recipe {
	int (*plan)(struct daxl_op *op);
	int (*build)(struct daxl_op *op);
	void (*undo)(struct daxl_op *op); /* after a build that failed: takes back what only the operation knows; may be NULL */
	uint32_t reason;   /* DAXL_REASON_* */
	enum daxl_need need;
	bool limbo_ok;     /* DAXL_ON_TIMEOUT_LIMBO may be asked for */
	bool moves;        /* readers must look again: blocks move or become shared */
	bool keeps_times;  /* mtime stays (a lease grant that only fills) */
	bool no_record;    /* build changes nothing: no room in the log is asked for */
	bool plans_by_version; /* without clauses, plan's answer follows from the version(s) alone */
};

/* One file of an operation. */
struct daxl_opfile {
	struct daxl_inode *ino;
	const struct daxl_version *v; /* what plan and build look at */
	daxl_fblk_t start, end;       /* the range to close, set by plan */
	uint64_t planned;             /* generation of the version that plan saw last */
	struct daxl_change change;
	bool begun;
	daxl_fblk_t limbo_start, limbo_end; /* busy blocks of this range are going to limbo already */
};

/* An edit that has yet to be made: of one part's map, at a block. */
enum daxl_pending_kind { DAXL_PENDING_NONE, DAXL_PENDING_SET, DAXL_PENDING_CONVERT, DAXL_PENDING_CUT, DAXL_PENDING_REMOVE, DAXL_PENDING_INSERT };

struct daxl_pending {
	enum daxl_pending_kind kind;
	unsigned part;
	daxl_fblk_t at;
	struct daxl_run run; /* SET: all of it; CUT: nothing; else its len */
};

struct daxl_zeroes {
	char *addr;
	size_t len;
};

/* First homes of op's arrays, and the record. On the driver's stack and never cleared: most operations use little of it. */
struct daxl_op_scratch {
	struct daxl_clause clauses[8];
	struct daxl_blkrun taken[8];
	struct daxl_limbo_links *links[4];
	struct daxl_record rec;
};

struct daxl_op {
	const struct daxl_recipe *recipe;
	struct daxl_pool *pool;
	unsigned shift; /* of a block */
	struct daxl_break brk;
	struct daxl_opfile f[2];
	unsigned nfiles;
	bool credit;
	/* In-place writers have to be out first. True unless the operation only removes blocks or fills holes: then set false before the run. Plan may set
	 * it again, and build with -EAGAIN, if the file turns out to be other than was thought: then it goes round once more. */
	bool alone;
	/* plan's answer */
	struct daxl_clause *clauses;
	size_t nclauses, clauses_cap;
	bool want_clauses; /* false: no lease can be concerned, do not bother */
	bool no_memory;    /* a clause was lost: the plan fails */
	/* build's state */
	struct daxl_op_scratch *scratch;
	struct daxl_record *rec;
	bool has_rec;
	/* edits of a record that is no MAP (a replaced edge of a clone's destination): they go behind its own struct */
	struct daxl_md_edit edits_apart[2];
	uint32_t nedits_apart;
	struct daxl_blkrun *taken; /* new blocks: given back when the build fails */
	size_t ntaken, taken_cap;
	daxl_nblk_t reserved; /* blocks still set aside */
	struct daxl_pending pending; /* the last edit: commit makes it, if nobody wants to see it earlier */
	bool stored;          /* data was stored: a fence must precede the record */
	bool changed;         /* there is something to commit */
	struct daxl_zeroes in_place[2]; /* edges to be zeroed with the record */
	unsigned nin_place;
	struct daxl_limbo *limbo;
	struct daxl_limbo_links **links;
	size_t nlinks, links_cap;
	void (*last)(struct daxl_op *op); /* stores that are seen at once: made when nothing can fail any more, before the record; may be NULL */
	void (*published)(struct daxl_op *op); /* the operation's own step inside the gate, may be NULL */
	void (*before_open)(struct daxl_op *op); /* after success, the range still closed, no mutex held; may be NULL */
};

/* Prepares op over one or two files. wait NULL: def. Returns -EINVAL, -E2BIG for a bad wait. */
int daxl_op_init(struct daxl_op *op, const struct daxl_recipe *recipe, struct daxl_inode *a, struct daxl_inode *b,
                 const struct daxl_wait *wait, const struct daxl_wait *def);
/* Runs the recipe. Nothing may be held. Whatever it returns, op holds nothing afterwards. */
int daxl_op_run(struct daxl_op *op) DAXL_WAITS;

/* A full array of cap items (its first home inline_array, in the scratch) doubled: NULL and unchanged when there is no memory. */
void *daxl_op_widen_array(void *array, void *inline_array, size_t *cap, size_t item);

/* For plan: the range part must close (grows the hull), and whom the operation concerns. */
void daxl_op_close(struct daxl_op *op, unsigned part, daxl_fblk_t start, daxl_fblk_t end);
void daxl_op_clause(struct daxl_op *op, unsigned part, daxl_fblk_t start, daxl_fblk_t end, enum daxl_level level,
                    enum daxl_who who);
void daxl_op_add_clause(struct daxl_op *op, const struct daxl_clause *clause);
/* The growth rule: the size of part is to become new_size (bytes). */
void daxl_op_plan_growth(struct daxl_op *op, unsigned part, uint64_t new_size);

/* For build. All return 0 or a negative errno, after which the driver undoes everything. */
/* The change and the MAP-like record of part, once. */
int daxl_op_begin(struct daxl_op *op, unsigned part, unsigned rec_type) DAXL_HOLDS(FILE);
int daxl_op_reserve(struct daxl_op *op, daxl_nblk_t n) DAXL_HOLDS(FILE);                  /* -ENOSPC */
int daxl_op_take(struct daxl_op *op, daxl_nblk_t want, daxl_blk_t hint, struct daxl_blkrun *ret) DAXL_HOLDS(FILE);
/* An edit of the map; what comes before it is made. daxl_op_settle: all are made. */
int daxl_op_edit(struct daxl_op *op, unsigned part, enum daxl_pending_kind kind, daxl_fblk_t at, const struct daxl_run *run)
	DAXL_HOLDS(FILE);
int daxl_op_settle(struct daxl_op *op) DAXL_HOLDS(FILE);
/* The run at a block of the map as far as it has been built. */
int daxl_op_lookup(struct daxl_op *op, unsigned part, daxl_fblk_t at, struct daxl_run *ret) DAXL_HOLDS(FILE);
/* Maps a range, and puts that into the record. */
int daxl_op_set(struct daxl_op *op, unsigned part, daxl_fblk_t at, daxl_nblk_t len, daxl_blk_t blk, uint32_t flags)
	DAXL_HOLDS(FILE);
/* Maps new blocks over [at, at + len), as reserved. */
int daxl_op_set_new(struct daxl_op *op, unsigned part, daxl_fblk_t at, daxl_nblk_t len, uint32_t flags)
	DAXL_HOLDS(FILE);
/* The same with new blocks that are copies of the blocks from old. */
int daxl_op_set_copy(struct daxl_op *op, unsigned part, daxl_fblk_t at, daxl_nblk_t len, daxl_blk_t old)
	DAXL_HOLDS(FILE);
/* The same with new blocks full of zeroes. */
int daxl_op_set_zeroed(struct daxl_op *op, unsigned part, daxl_fblk_t at, daxl_nblk_t len, uint32_t flags)
	DAXL_HOLDS(FILE);
int daxl_op_convert(struct daxl_op *op, unsigned part, daxl_fblk_t at, daxl_nblk_t len) DAXL_HOLDS(FILE);
/* Bytes inside the block. */
void daxl_op_zero_with_record(struct daxl_op *op, daxl_blk_t blk, uint64_t from, uint64_t to) DAXL_HOLDS(FILE);
void daxl_op_zero_now(struct daxl_op *op, daxl_blk_t blk, uint64_t from, uint64_t to) DAXL_HOLDS(FILE);
/* Under limbo: whether somebody late whom the operation concerns is busy on the block at at. */
bool daxl_op_is_busy(struct daxl_op *op, unsigned part, daxl_fblk_t at);
/* What to do about one block that is to be changed: true when it must be replaced by a new one (shared, or busy under limbo). */
bool daxl_op_must_replace(struct daxl_op *op, unsigned part, daxl_fblk_t at, daxl_blk_t blk) DAXL_HOLDS(FILE);
/* Replaces the written block at at by a copy in a new block whose bytes [from, to) are zero. Takes one reserved block. */
int daxl_op_replace_zeroed(struct daxl_op *op, unsigned part, daxl_fblk_t at, daxl_blk_t blk, uint64_t from, uint64_t to)
	DAXL_HOLDS(FILE);
/* Zeroes [from, to) bytes of the file inside one block, if that block is written: with the record or before it. *need (not NULL): only counts the blocks it would take. */
int daxl_op_zero_edge(struct daxl_op *op, unsigned part, uint64_t from, uint64_t to, bool before_record, daxl_nblk_t *need)
	DAXL_HOLDS(FILE);
/* The growth rule's zeroes for new_size, and the size itself. need as above. */
int daxl_op_grow(struct daxl_op *op, unsigned part, uint64_t new_size, daxl_nblk_t *need) DAXL_HOLDS(FILE);
/* Blocks of [start, end) that are busy leave the file for limbo (only when the break ended in limbo). Before the map is edited. */
int daxl_op_limbo(struct daxl_op *op, unsigned part, daxl_fblk_t start, daxl_fblk_t end) DAXL_HOLDS(FILE);
/* The block after the one mapped before at: where new blocks had best lie. */
daxl_blk_t daxl_op_hint(const struct daxl_op *op, unsigned part, daxl_fblk_t at);

/* Whether in-place writers are out, or need not be. */
static inline bool daxl_op_is_alone(const struct daxl_op *op)
{
	return !op->alone || op->brk.changing;
}

static inline daxl_fblk_t daxl_op_blk_down(const struct daxl_op *op, uint64_t byte)
{
	return daxl_bytes_to_blocks_down(byte, op->shift);
}

static inline daxl_fblk_t daxl_op_blk_up(const struct daxl_op *op, uint64_t byte)
{
	return daxl_bytes_to_blocks_up(byte, op->shift);
}

static inline uint64_t daxl_op_bytes(const struct daxl_op *op, uint64_t blocks)
{
	return daxl_blocks_to_bytes(blocks, op->shift);
}

#endif
