/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The log, as far as it goes and beyond.
 *
 * Records before the first damaged one are replayed as ever. Those behind it are tried too: most speak of other files
 * or other places than the one that is lost. A record that contradicts the files is left out, and then:
 *
 * - the file it is about, if there is none, is made, with a name that says so; the record that made it is what is lost;
 * - blocks it maps which somebody else has are contested. Which of the two is right cannot be told, so neither keeps
 *   them (blocks.c).
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/error.h"
#include "base/hook.h"
#include "check/check.h"
#include "file/names.h"
#include "file/replay.h"

struct reading {
	struct daxl_check *check;
	struct daxl_replay replay;
	struct daxl_where where;
};

/* Where the record at a log position lies. */
static void place(struct daxl_where *where, const struct daxl_pool *pool, uint64_t position)
{
	uint64_t slots = pool->super.log_size / DAXL_SLOT_SIZE;

	where->pool_off = pool->super.log_off + position % slots * DAXL_SLOT_SIZE;
	where->block = where->pool_off >> pool->block_shift;
}

/* A payload page is in use; whatever is wrong with it, its record says. */
static int payload_page(daxl_page_t page, void *arg)
{
	struct reading *reading = arg;
	bool fresh;
	int rc = daxl_check_page_ref(reading->check, page, &reading->where, "a log record");

	if (rc == 1)
		return daxl_fail(EUCLEAN, "payload page %" PRIu64 " cannot be", page);
	return rc ? rc : daxl_page_set_add(&reading->check->good, page, &fresh);
}

static int same_page_again(daxl_page_t page, void *arg)
{
	(void)page, (void)arg;
	return 0;
}

/* The record's body, wherever it is; *ret_bytes is to be freed. False: it cannot be had. */
static bool open_body(struct reading *reading, const struct daxl_rec_view *rec, struct daxl_body *ret_body,
                      void **ret_bytes)
{
	struct daxl_pool *pool = reading->check->pool;
	struct daxl_body body = {.at = rec->body, .left = rec->body_len};
	struct daxl_md_payload payload;

	*ret_bytes = NULL;
	if (rec->flags & DAXL_REC_HAS_PAYLOAD) {
		if (daxl_body_struct(&body, &payload, sizeof(payload)) ||
		    daxl_payload_read(pool->media, pool->super.uuid, &payload, pool->super.pool_size, same_page_again,
		                      NULL, ret_bytes))
			return false;
		body = (struct daxl_body){.at = *ret_bytes, .left = (size_t)payload.len};
	}
	*ret_body = body;
	return true;
}

struct claim {
	struct daxl_check *check;
	uint64_t to_blk; /* block - file block, mod 2^64 */
};

/* A piece of the file as it is where the record maps blocks. */
static int claim_piece(daxl_fblk_t at, const struct daxl_run *run, void *arg)
{
	const struct claim *claim = arg;
	daxl_blk_t blk = at + claim->to_blk;

	if (!(run->flags & DAXL_RUN_HOLE) && run->blk == blk)
		return 0;
	return daxl_ranges_add(&claim->check->contested, blk, run->len);
}

/* One edit of a record that was left out. */
static int claim_edit(struct daxl_check *check, const struct daxl_inode *ino, const struct daxl_md_edit *edit)
{
	struct daxl_pool *pool = check->pool;
	daxl_nblk_t max = pool->max_file_size >> pool->block_shift;
	daxl_blk_t blk = edit->val & DAXL_MD_RUN_BLOCK_MASK;
	struct claim claim = {.check = check, .to_blk = blk - edit->fblk};

	if (edit->len == 0 || edit->val & (DAXL_EDIT_HOLE | DAXL_EDIT_CONVERT) ||
	    !daxl_check_has_blocks(check, blk, edit->len) || edit->fblk > max || edit->len > max - edit->fblk)
		return 0;
	return daxl_rope_walk(ino ? ino->version->root : NULL, edit->fblk, edit->fblk + edit->len, claim_piece, &claim);
}

/* What blocks a record that was left out would have mapped. */
static int claim_blocks(struct reading *reading, const struct daxl_rec_view *rec)
{
	struct daxl_pool *pool = reading->check->pool;
	struct daxl_md_rec_map map;
	struct daxl_md_rec_two two;
	struct daxl_md_edit edit;
	struct daxl_body body;
	uint32_t id = 0, n = 0;
	void *bytes;
	int err = 0;

	if (!open_body(reading, rec, &body, &bytes))
		return 0;
	if ((rec->type == DAXL_REC_MAP || rec->type == DAXL_REC_TRUNCATE) &&
	    !daxl_body_struct(&body, &map, sizeof(map))) {
		edit = (struct daxl_md_edit){.fblk = map.fblk, .len = map.len, .val = map.val};
		id = map.id;
		n = map.nedits;
		err = claim_edit(reading->check, daxl_inode_by_id(pool, id), &edit);
	} else if ((rec->type == DAXL_REC_CLONE || rec->type == DAXL_REC_EXCHANGE) &&
	           !daxl_body_struct(&body, &two, sizeof(two))) {
		id = two.dst;
		n = two.nedits;
	}
	for (; n && !err && !daxl_body_struct(&body, &edit, sizeof(edit)); n--)
		err = claim_edit(reading->check, daxl_inode_by_id(pool, id), &edit);
	daxl_free(bytes);
	return err;
}

/* The files which a record is about. */
static unsigned record_files(const struct daxl_rec_view *rec, struct daxl_body *body, uint32_t ids[2])
{
	ids[0] = ids[1] = 0;
	if (rec->type == DAXL_REC_GROW || rec->type == DAXL_REC_CREATE || rec->type == DAXL_REC_DELETE ||
	    rec->type == DAXL_REC_REMOVE || rec->type == DAXL_REC_NOP ||
	    daxl_body_struct(body, ids,
	                     rec->type == DAXL_REC_CLONE || rec->type == DAXL_REC_EXCHANGE ||
	                                     rec->type == DAXL_REC_SWAPNAMES
	                             ? 2 * sizeof(ids[0])
	                             : sizeof(ids[0])))
		return 0;
	return 2;
}

/* Makes files which the record is about and which are not there. *ret_made: one was. */
static int make_files(struct reading *reading, const struct daxl_rec_view *rec, bool *ret_made)
{
	struct daxl_check *check = reading->check;
	struct daxl_body body;
	uint32_t ids[2];
	void *bytes;
	int err = 0;

	*ret_made = false;
	if (!open_body(reading, rec, &body, &bytes))
		return 0;
	unsigned n = record_files(rec, &body, ids);
	daxl_free(bytes);
	for (unsigned i = 0; i < n && !err; i++) {
		struct daxl_inode *ino;

		if (ids[i] == 0 || daxl_inode_by_id(check->pool, ids[i]))
			continue;
		err = daxl_check_add_file(check, ids[i], NULL, 0, 0, &ino);
		*ret_made = !err;
	}
	return err;
}

/* A file whose name somebody has: it gets another. */
static int make_created(struct reading *reading, const struct daxl_rec_view *rec, bool *ret_made)
{
	struct daxl_check *check = reading->check;
	struct daxl_md_rec_create create;
	struct daxl_inode *ino;
	struct daxl_body body;
	void *bytes;
	int err = 0;

	*ret_made = false;
	if (!open_body(reading, rec, &body, &bytes))
		return 0;
	if (!daxl_body_struct(&body, &create, sizeof(create)) && create.id &&
	    !daxl_inode_by_id(check->pool, create.id)) {
		err = daxl_check_add_file(check, create.id, NULL, 0, create.time_ns, &ino);
		*ret_made = !err;
	}
	daxl_free(bytes);
	return err;
}

static int report_record(struct reading *reading, const char *did)
{
	struct daxl_where where = reading->where;
	const struct daxl_inode *ino = reading->replay.files[0];

	if (ino) {
		where.file_id = ino->id;
		where.file_name = ino->name ? ino->name->bytes : NULL;
	}
	return daxl_check_found(reading->check, DAXL_SEVERITY_ERROR, &where, "%s%s", daxl_error_last(), did);
}

/* Applies a record, or reports it. */
static int read_record(const struct daxl_rec_view *rec, void *arg)
{
	struct reading *reading = arg;
	struct daxl_check *check = reading->check;
	bool made = false;

	place(&reading->where, check->pool, rec->position);
	int err = daxl_replay_record(rec, &reading->replay);
	if (err != -EUCLEAN && err != -EIO)
		return err;
	/* It has to be reported before others speak. */
	int rc = report_record(reading, "");
	if (rc)
		return rc;
	check->lost = true;
	if (rec->type == DAXL_REC_CREATE)
		return make_created(reading, rec, &made);
	rc = make_files(reading, rec, &made);
	if (!rc && made) {
		reading->replay.page_fn = same_page_again;
		err = daxl_replay_record(rec, &reading->replay);
		reading->replay.page_fn = payload_page;
		if (err != -EUCLEAN && err != -EIO)
			return err;
	}
	return rc ? rc : claim_blocks(reading, rec);
}

/* Says that the log is damaged, before what is behind the damage is tried. */
static int report_damage(struct daxl_check *check, uint64_t position)
{
	struct daxl_where where = DAXL_WHERE(DAXL_FINDING_LOG);

	place(&where, check->pool, position);
	check->lost = true;
	return daxl_check_found(check, DAXL_SEVERITY_ERROR, &where,
	                        "log record at position %" PRIu64
	                        " is damaged or cannot be read: what it did is lost, and what follows may not fit",
	                        position);
}

/* Damage is known when the first record comes; it is reported before the first one that follows it. */
static int on_record(const struct daxl_rec_view *rec, void *arg)
{
	struct reading *reading = arg;
	struct daxl_check *check = reading->check;
	int err = 0;

	if (rec->position > check->damage) {
		err = report_damage(check, check->damage);
		check->damage = UINT64_MAX;
	}
	return err ? err : read_record(rec, arg);
}

int daxl_check_log(struct daxl_check *check)
{
	struct daxl_pool *pool = check->pool;
	struct reading reading = {
		.check = check,
		.where = DAXL_WHERE(DAXL_FINDING_LOG),
		.replay = {.pool = pool, .page_fn = payload_page},
	};

	reading.replay.page_arg = &reading;
	int err = daxl_check_progress(check, "the log");
	if (!err)
		err = daxl_log_scan_damaged(pool->media, pool->super.log_off, pool->super.log_size,
		                            check->slot.position, check->slot.epoch, on_record, &reading,
		                            &check->damage, &check->log_end);
	if (!err && check->damage != UINT64_MAX)
		err = report_damage(check, check->damage);
	check->clean = (check->slot.flags & DAXL_SLOT_CLEAN) && check->log_end == check->slot.position;
	return err;
}

static int summary_page(daxl_page_t page, void *arg)
{
	struct daxl_check *check = arg;
	bool fresh;
	int rc = daxl_check_page_ref(check, page, &DAXL_WHERE(DAXL_FINDING_SUMMARY), "the summary of free space");

	if (rc == 1)
		return daxl_fail(EUCLEAN, "summary page %" PRIu64 " cannot be", page);
	return rc ? rc : daxl_page_set_add(&check->good, page, &fresh);
}

int daxl_check_summary(struct daxl_check *check)
{
	if (!(check->slot.flags & DAXL_SLOT_CLEAN))
		return 0;
	int err = daxl_summary_read(check->pool, &check->slot, summary_page, check, &check->summary);
	if (err == -EUCLEAN || err == -EIO)
		return daxl_check_found(check, DAXL_SEVERITY_WARNING, &DAXL_WHERE(DAXL_FINDING_SUMMARY), "%s",
		                        daxl_error_last());
	return err;
}
