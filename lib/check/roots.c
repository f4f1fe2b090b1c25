/* SPDX-License-Identifier: BSD-3-Clause */
/* The roots: superblock copies and checkpoint slots. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/error.h"
#include "check/check.h"
#include "media/superblock.h"

#define PLACES 4u

int daxl_check_supers(struct daxl_check *check, struct daxl_media *media)
{
	struct daxl_where where = DAXL_WHERE(DAXL_FINDING_SUPERBLOCK);
	struct daxl_md_super super;
	unsigned bad = 0;
	int err = daxl_super_read(media, check->repair, &super, &bad);

	if (err == -EUCLEAN) {
		int rc = daxl_check_found(check, DAXL_SEVERITY_ERROR, &where, "%s", daxl_error_last());

		return rc ? rc : err;
	}
	if (err)
		return err;
	const uint64_t offs[] = {0, super.mid, daxl_super_end_copy(&super)};
	for (unsigned i = 0; i < 3 && !err; i++) {
		if (!(bad & 1u << i))
			continue;
		where.pool_off = offs[i];
		where.block = offs[i] >> super.block_shift;
		err = daxl_check_found(check, DAXL_SEVERITY_WARNING, &where,
		                       "superblock copy %u at byte %" PRIu64
		                       " is damaged or not what the newest one, at byte %" PRIu64 ", says",
		                       i, offs[i], super.self);
	}
	return err;
}

/* Whether a place may be blank: B is first written with generation 2. */
static bool may_be_blank(unsigned place, uint64_t newest)
{
	return (newest <= 1 && place % 2 == 1) || (newest <= 2 && place == 3);
}

/* Tells of places that hold no slot. A crash can have spoiled one, unless the pool was closed after it. */
static int report_places(struct daxl_check *check, const struct daxl_slot_place places[PLACES], bool clean)
{
	struct daxl_where where = DAXL_WHERE(DAXL_FINDING_CHECKPOINT);
	int err = 0;

	for (unsigned i = 0; i < PLACES && !err; i++) {
		const struct daxl_slot_place *place = &places[i];

		if (place->state == DAXL_SLOT_VALID ||
		    (place->state == DAXL_SLOT_BLANK && may_be_blank(i, check->slot.generation)))
			continue;
		where.pool_off = place->off;
		where.block = place->off >> check->pool->block_shift;
		err = daxl_check_found(check, clean ? DAXL_SEVERITY_WARNING : DAXL_SEVERITY_INFO, &where,
		                       "checkpoint slot %c, %s place: %s%s", 'A' + (int)(i % 2),
		                       i < 2 ? "first" : "second",
		                       place->state == DAXL_SLOT_UNREADABLE ? "it cannot be read" : "wrong ",
		                       place->state == DAXL_SLOT_UNREADABLE ? "" : place->fault);
	}
	return err;
}

static void add_fixed(uint64_t off, uint64_t len, void *arg)
{
	struct daxl_check *check = arg;
	unsigned shift = check->pool->block_shift;
	daxl_blk_t start = off >> shift;

	assert(check->nfixed < DAXL_ARRAY_LEN(check->fixed));
	check->fixed[check->nfixed++] =
		(struct daxl_blkrun){.blk = start, .len = daxl_bytes_to_blocks_up(off + len, shift) - start};
}

/* Too little is left to go by. */
static int hopeless(struct daxl_check *check, const char *what)
{
	int err = daxl_check_found(check, DAXL_SEVERITY_ERROR, &DAXL_WHERE(DAXL_FINDING_CHECKPOINT), "%s", what);

	return err ? err : -EUCLEAN;
}

int DAXL_ALONE daxl_check_slots(struct daxl_check *check)
{
	struct daxl_pool *pool = check->pool;
	struct daxl_slot_place places[PLACES];
	int which;
	int err = daxl_slot_read(pool->media, &pool->super, &check->slot, &which, NULL);

	if (err == -EUCLEAN || err == -EIO)
		return hopeless(check, daxl_error_last());
	if (err)
		return err;
	daxl_slot_survey(pool->media, &pool->super, places);
	err = report_places(check, places, check->slot.flags & DAXL_SLOT_CLEAN);
	if (!err && daxl_slot_lost(places)) {
		check->lost = check->orphans = true;
		err = daxl_check_found(
			check, DAXL_SEVERITY_ERROR, &DAXL_WHERE(DAXL_FINDING_CHECKPOINT),
			"checkpoint slot %c: neither place is valid, and it may have been the newest: what "
			"changed since generation %" PRIu64 " may be lost",
			'A' + (1 - which), check->slot.generation);
	}
	if (err)
		return err;
	const char *fault = daxl_ckpt_slot_fault(pool, &check->slot);
	if (fault) {
		(void)daxl_fail(EUCLEAN, "checkpoint slot %c: wrong %s", 'A' + which, fault);
		return hopeless(check, daxl_error_last());
	}
	check->total = check->slot.table_pages + 6;
	err = daxl_pool_extend(pool, check->slot.pool_size);
	if (err)
		return err;
	pool->ckpt->slot = check->slot;
	pool->ckpt->which = which;
	pool->cut = check->slot.cut + 1;
	pool->next_id = check->slot.next_id;
	daxl_super_fixed(&pool->super, add_fixed, check);
	return 0;
}
