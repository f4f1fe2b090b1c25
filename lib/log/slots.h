/* SPDX-License-Identifier: BSD-3-Clause */
/* Checkpoint slots A and B: the root of everything. */
#ifndef DAXL_LOG_SLOTS_H
#define DAXL_LOG_SLOTS_H

#include "media/format.h"
#include "media/media.h"

/*
 * Reads all four places, takes the newest valid slot of this pool (uuid, version, crc). *ret_which: 0 A, 1 B. -EUCLEAN
 * when there is none, -EIO if that may be the medium's fault. bad (may be NULL) counts invalid places that are not blank (all zero).
 */
int daxl_slot_read(struct daxl_media *media, const struct daxl_md_super *super, struct daxl_md_slot *ret_slot,
                   int *ret_which, unsigned *bad);
enum daxl_slot_state { DAXL_SLOT_VALID, DAXL_SLOT_BLANK, DAXL_SLOT_INVALID, DAXL_SLOT_UNREADABLE };
struct daxl_slot_place {
	daxl_byte_t off;
	enum daxl_slot_state state;
	uint64_t generation; /* when valid */
	const char *fault;   /* when invalid: the field */
};
/* Says what lies at each of the four places: A, B, then their copies. */
void daxl_slot_survey(struct daxl_media *media, const struct daxl_md_super *super, struct daxl_slot_place places[4]);
/*
 * Whether a slot is lost: both its places were written, no crash can have spoiled both, and neither is valid. It may
 * have been the newest. places is what survey found.
 */
bool daxl_slot_lost(const struct daxl_slot_place places[4]);
/*
 * Seals and writes slot which (0 A, 1 B) to its first place, fences, then to its copy beside the middle superblock,
 * fences: durable on return. The copy comes first where it alone is not valid.
 */
void daxl_slot_write(struct daxl_media *media, const struct daxl_md_super *super, struct daxl_md_slot *slot, int which);

#endif
