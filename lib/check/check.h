/* SPDX-License-Identifier: BSD-3-Clause */
/* What the files of lib/check share. The theory is in check.c. */
#ifndef DAXL_CHECK_CHECK_H
#define DAXL_CHECK_CHECK_H

#include <daxlayout/check.h>

#include "file/ckpt.h"
#include "file/page_set.h"
#include "log/slots.h"

/* Where a finding lies. */
struct daxl_where {
	int kind; /* enum daxl_finding_kind */
	const char *file_name;
	uint64_t file_id, file_off, pool_off, block;
};
#define DAXL_WHERE(what)                                                                           \
	(struct daxl_where)                                                                        \
	{                                                                                          \
		.kind = (what), .file_id = DAXL_FINDING_UNKNOWN, .file_off = DAXL_FINDING_UNKNOWN, \
		.pool_off = DAXL_FINDING_UNKNOWN, .block = DAXL_FINDING_UNKNOWN                    \
	}

struct daxl_kept; /* report.c: a finding that waits for the end of the repair */

/* Areas of a block, by number. */
struct daxl_ranges {
	struct daxl_blkrun *runs;
	size_t n, cap;
};

struct daxl_check {
	daxl_check_fn report;
	void *arg;
	bool repair;
	uint64_t found; /* findings that count */
	uint64_t notes; /* others that repair puts right */
	struct daxl_kept *kept, **kept_end;
	uint64_t nkept, unkept; /* unkept: too many */
	uint64_t done, total;   /* progress */

	struct daxl_pool *pool; /* being loaded */
	struct daxl_md_slot slot;
	struct daxl_page_set seen; /* pages that were referred to */
	struct daxl_page_set good; /* of these, the ones that hold what they should */
	struct daxl_blkrun fixed[8];
	unsigned nfixed;
	uint64_t records; /* of files, in the table */
	bool lost;        /* something that had blocks could not be read: a block which nobody has is not proven free */
	bool orphans;     /* of that, something that leads to other pages: they may lie about unreferred to */
	bool over;        /* the check is through; loading ends here */
	struct daxl_ranges contested; /* blocks that a record claimed which somebody else has */
	uint64_t damage;              /* log position of the first damaged record */
	uint64_t log_end;
	uint8_t *summary;                                  /* of a clean close, one bit a block; NULL: there is none */
	bool clean;                                        /* closed cleanly, nothing in the log */
	struct daxl_pagebuf buf[DAXL_TABLE_DEPTH_MAX + 1]; /* by depth: table page, directory pages */
	struct daxl_pagebuf other;                         /* the second copy of the page in hand */
};

/* --- report.c: findings. All give 0 or -ECANCELED (report ended the check) or -ENOMEM. --- */

int daxl_check_found(struct daxl_check *check, enum daxl_finding_severity severity, const struct daxl_where *where,
                     const char *fmt, ...) DAXL_PRINTF(4, 5);
/* The next of check->total steps begins. */
int daxl_check_progress(struct daxl_check *check, const char *what);
/* Repair has ended: what was kept is told, as put right or not. */
int daxl_check_deliver(struct daxl_check *check, bool repaired);
void daxl_check_drop_kept(struct daxl_check *check);

/* --- roots.c: superblocks and slots --- */

/* -EINVAL, -EROFS, -EIO, -EUCLEAN (reported), as daxl_super_read gives them. */
int daxl_check_supers(struct daxl_check *check, struct daxl_media *media);
/* Chooses check->slot, and gives the pool its size. -EUCLEAN (reported): there is none to go by. */
int daxl_check_slots(struct daxl_check *check);

/* --- pages.c --- */

/*
 * Reads both copies. 0: *buf is the page, whatever was wrong with a copy has been reported. 1: neither copy is good,
 * which has been reported as an error at where. *what says in words what the page is.
 */
int daxl_check_page(struct daxl_check *check, const struct daxl_md_ref *ref, const struct daxl_page_expect *expect,
                    const struct daxl_where *where, const char *what, struct daxl_pagebuf *buf);
/* Whether ref->copy is good and says what buf, read from ref->page, does. -EUCLEAN, -EIO; nothing is reported. */
int daxl_check_copy(struct daxl_check *check, const struct daxl_md_ref *ref, const struct daxl_page_expect *expect,
                    const struct daxl_pagebuf *buf);
/* A page is referred to by log or summary. 0: for the first time, else 1, which has been reported. */
int daxl_check_page_ref(struct daxl_check *check, daxl_page_t page, const struct daxl_where *where, const char *what);

/* --- table.c, map.c, log.c, blocks.c, repair.c --- */

/* Makes the files of the checkpoint, as far as they can be read. */
int daxl_check_table(struct daxl_check *check);
/* Gives ino the map that root (page 0: the n runs) describes, less what is bad. */
int daxl_check_map(struct daxl_check *check, struct daxl_inode *ino, const struct daxl_md_ref *root, unsigned depth,
                   const struct daxl_md_run *runs, unsigned n);
/* A file that has no name of its own, or not one it can keep, with an id of its own if id is taken or 0. -ENOMEM. */
int daxl_check_add_file(struct daxl_check *check, uint32_t id, const char *name, size_t len, uint64_t btime_ns,
                        struct daxl_inode **ret_ino);
/* Replays the log. */
int daxl_check_log(struct daxl_check *check);
/* Reads the summary of a clean close. */
int daxl_check_summary(struct daxl_check *check);
/* Accounts for all blocks anew, in check->pool->space, and reports who has one that he cannot have. */
int daxl_check_blocks(struct daxl_check *check);
/* Sets aside what is not proven free, and makes everything dirty: the next checkpoint writes it all. */
int daxl_check_put_right(struct daxl_check *check);

/* Counts all that a map has as in use, in check->pool->space. */
int daxl_check_mark_map(struct daxl_check *check, const struct daxl_node *root);
/* Whether a fixed area (superblocks, slots, log) has any of these blocks. */
bool daxl_check_is_fixed(const struct daxl_check *check, daxl_blk_t blk, daxl_nblk_t len);

/* Whether the pool has all of these blocks; len is not 0. */
static inline bool daxl_check_has_blocks(const struct daxl_check *check, daxl_blk_t blk, daxl_nblk_t len)
{
	daxl_nblk_t nblocks = daxl_bytes_to_blocks_exact(check->pool->super.pool_size, check->pool->block_shift);

	return blk < nblocks && len <= nblocks - blk;
}

static inline uint64_t daxl_check_npages(const struct daxl_check *check)
{
	return check->pool->super.pool_size >> DAXL_PAGE_SHIFT;
}

static inline bool daxl_check_has_page(const struct daxl_check *check, daxl_page_t page)
{
	return page != 0 && page < daxl_check_npages(check);
}

int daxl_ranges_add(struct daxl_ranges *ranges, daxl_blk_t blk, daxl_nblk_t len); /* -ENOMEM */
void daxl_ranges_sort(struct daxl_ranges *ranges);                                /* and merges */
/* The first of the sorted ranges that overlaps [blk, blk + len), cut to it; false: none. */
bool daxl_ranges_find(const struct daxl_ranges *ranges, daxl_blk_t blk, daxl_nblk_t len, struct daxl_blkrun *ret);

/* --- check.c: the whole, over a medium, which is closed in any case. As daxl_check. --- */
int daxl_check_media(struct daxl_media *media, bool repair, daxl_check_fn report, void *arg);

#endif
