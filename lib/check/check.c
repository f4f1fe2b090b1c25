/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checking a pool, and repairing it.
 *
 * A check is a load that does not give up. It reads what loading reads, in the same order, and both copies of what has
 * two; what is bad it reports, and goes on with the rest:
 *
 *     superblocks, slots     the newest of each is believed; others are compared with it
 *     file table, maps       a lost page costs what lay in it, no more
 *     summary                of a clean close
 *     log                    replayed; a record that contradicts the files is left out
 *     blocks                 accounted for anew: who has which, and who has one that he cannot have
 *
 * Then all that could be kept is in memory, as files like any others, and nothing was written. A check ends here: it
 * takes the media read-only. A repair that has found something goes on:
 *
 * - What is contested nobody keeps: a block that a log record claims while a file has it, and one that a good page of
 *   the checkpoint lies in, leave the files they are in; the gap is a hole.
 * - If something was lost that had blocks, a block in no file is not free for that. It is proven free by the summary
 *   of a clean close, or because there is nothing in it to lose: zeroes, or a page of some earlier checkpoint, unless
 *   what is lost are pages that may have led to it. All others come into a file of their own, lost+found.blocks, in
 *   the order in which they lie in the pool.
 * - Everything is dirty: superblocks, then a checkpoint with new pages for all of it, in blocks that are free, in the
 *   other slot. Until that is durable the pool is what it was, and the repair can be run again; after it the
 *   pool is an ordinary one. It is closed cleanly at once, which writes the second slot.
 *
 * So repair has no writing of its own that could go wrong; it is loading with other eyes and the checkpoint that
 * follows every load. It needs room for that checkpoint: -ENOSPC if too little is proven free.
 */
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/hook.h"
#include "check/check.h"

/* Everything that reading finds. */
static int examine(struct daxl_check *check)
{
	int err = daxl_check_slots(check);

	if (!err)
		err = daxl_check_table(check);
	if (!err)
		err = daxl_check_summary(check);
	if (!err)
		err = daxl_check_log(check);
	if (!err)
		err = daxl_check_progress(check, "the blocks");
	return err ? err : daxl_check_blocks(check);
}

/* A daxl_loader_fn: what it leaves in the pool, should it succeed, is the pool as repaired. */
static int load(struct daxl_pool *pool, struct daxl_load_result *ret, void *arg)
{
	struct daxl_check *check = arg;

	check->pool = pool;
	check->damage = UINT64_MAX;
	daxl_media_read_begin(pool->media);
	int err = examine(check);
	daxl_media_read_end(pool->media);
	if (err)
		return err;
	check->over = !check->repair || check->found + check->notes == 0;
	if (check->over)
		return -ECANCELED; /* no failure: there is no message */
	err = daxl_check_progress(check, "repair");
	if (!err)
		err = daxl_check_put_right(check);
	if (err)
		return err;
	*ret = (struct daxl_load_result){
		.start = check->slot.position, .head = check->log_end, .epoch = check->slot.epoch};
	return 0;
}

/* What comes after the superblocks. *media is NULL once it is closed. */
static int check_pool(struct daxl_check *check, struct daxl_media **media)
{
	struct daxl_pool *pool;
	int err = daxl_pool_load_with(*media, NULL, load, check, &pool);

	if (check->over)
		return 0;
	if (err)
		return err;
	*media = NULL;
	err = daxl_pool_end(pool);
	assert(!err); /* nobody has anything of it */
	return daxl_check_deliver(check, true);
}

static int run(struct daxl_check *check, struct daxl_media **media)
{
	int err = daxl_check_progress(check, "the superblocks");

	if (!err)
		err = daxl_check_supers(check, *media);
	if (!err)
		err = check_pool(check, media);
	if (!err)
		return check->found != 0;
	if (check->repair && err != -ECANCELED) { /* what was found is true even if it stays */
		char why[256];

		strncpy(why, daxl_error_last(), sizeof(why) - 1);
		why[sizeof(why) - 1] = '\0';
		(void)daxl_check_deliver(check, false);
		return daxl_fail(-err, "%s", why);
	}
	/* A plain check has told what makes it end here. */
	if (check->found && (err == -ECANCELED || err == -EUCLEAN))
		return 1;
	return err;
}

int daxl_check_media(struct daxl_media *media, bool repair, daxl_check_fn report, void *arg)
{
	struct daxl_check *check = daxl_zalloc(sizeof(*check));
	int rc;

	if (check) {
		check->report = report;
		check->arg = arg;
		check->repair = repair;
		check->kept_end = &check->kept;
		check->total = 6;
		rc = run(check, &media);
		daxl_check_drop_kept(check);
		daxl_free(check->seen.slots);
		daxl_free(check->good.slots);
		daxl_free(check->contested.runs);
		daxl_free(check->summary);
		daxl_free(check);
	} else {
		rc = daxl_fail(ENOMEM, "no memory to check a pool");
	}
	if (media)
		daxl_media_close(media);
	return rc;
}
