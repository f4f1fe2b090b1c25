/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Four places for two slots: A and B behind superblock copy 0, A' and B' behind copy 1. A checkpoint writes the slot
 * that is not the newest, first place, fence, copy, fence; so at any moment the newest complete checkpoint stands in
 * two places, or in one while its other is being written, and the one before it is untouched. Where a crash has torn one
 * of the two places, that one is written first: a second crash cannot leave the slot without a valid place, which is how
 * loss is told from what crashes do (daxl_slot_lost).
 */
#include "log/slots.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/error.h"

#define PLACES 4u

/* Byte offset of place 0..3: A, B, A', B'. */
static uint64_t place_off(const struct daxl_md_super *super, unsigned place)
{
	uint64_t base = place < 2 ? 0 : super->mid;

	return base + (1 + place % 2) * (uint64_t)DAXL_PAGE_SIZE;
}

/* The slot's checksum, whatever its crc field holds. */
static uint32_t slot_crc(const struct daxl_md_slot *slot)
{
	struct daxl_md_slot copy = *slot;

	copy.crc = 0;
	return daxl_crc32c(0, &copy, sizeof(copy));
}

static bool slot_is_blank(const struct daxl_md_slot *slot)
{
	static const struct daxl_md_slot blank;

	return memcmp(slot, &blank, sizeof(blank)) == 0;
}

/* Why the slot is not one of this pool; NULL: it is. */
static const char *slot_fault(const struct daxl_md_slot *slot, const struct daxl_md_super *super)
{
	if (slot->magic != DAXL_SLOT_MAGIC)
		return "magic";
	if (slot->crc != slot_crc(slot))
		return "checksum";
	if (slot->version != DAXL_FORMAT_VERSION)
		return "version";
	if (memcmp(slot->uuid, super->uuid, sizeof(slot->uuid)) != 0)
		return "pool uuid";
	return NULL;
}

int daxl_slot_read(struct daxl_media *media, const struct daxl_md_super *super, struct daxl_md_slot *ret_slot,
                   int *ret_which, unsigned *bad)
{
	struct daxl_md_slot slot, newest;
	unsigned invalid = 0, unreadable = 0;
	const char *last_fault = "all are blank";
	uint64_t last_off = place_off(super, 0);
	int which = -1;

	for (unsigned place = 0; place < PLACES; place++) {
		uint64_t off = place_off(super, place);

		if (daxl_media_read(media, off, &slot, sizeof(slot))) {
			invalid++;
			unreadable++;
			continue;
		}
		const char *fault = slot_fault(&slot, super);
		if (fault) {
			if (!slot_is_blank(&slot)) {
				invalid++;
				last_fault = fault;
				last_off = off;
			}
			continue;
		}
		if (which < 0 || slot.generation > newest.generation) {
			newest = slot;
			which = (int)(place % 2);
		}
	}
	if (which < 0)
		return daxl_fail(unreadable ? EIO : EUCLEAN,
		                 "checkpoint slots: no valid one (%u unreadable; at byte %" PRIu64 ": %s)", unreadable,
		                 last_off, last_fault);
	*ret_slot = newest;
	*ret_which = which;
	if (bad)
		*bad = invalid;
	return 0;
}

void daxl_slot_survey(struct daxl_media *media, const struct daxl_md_super *super, struct daxl_slot_place places[4])
{
	struct daxl_md_slot slot;

	for (unsigned place = 0; place < PLACES; place++) {
		struct daxl_slot_place *at = &places[place];

		*at = (struct daxl_slot_place){.off = place_off(super, place)};
		if (daxl_media_read(media, at->off, &slot, sizeof(slot))) {
			at->state = DAXL_SLOT_UNREADABLE;
			continue;
		}
		at->fault = slot_fault(&slot, super);
		at->generation = slot.generation;
		if (at->fault)
			at->state = slot_is_blank(&slot) ? DAXL_SLOT_BLANK : DAXL_SLOT_INVALID;
	}
}

/*
 * Slots are written in turn, so while the newest is of generation 2 or more both have been written, but for the second
 * place of a slot whose first write a crash cut short; of generation 1 there is only A.
 */
bool daxl_slot_lost(const struct daxl_slot_place places[4])
{
	uint64_t newest = 0;

	for (unsigned place = 0; place < PLACES; place++)
		if (places[place].state == DAXL_SLOT_VALID)
			newest = daxl_max_u64(newest, places[place].generation);
	for (unsigned which = 0; which < 2; which++) {
		const struct daxl_slot_place *first = &places[which], *second = &places[which + 2];

		if (first->state == DAXL_SLOT_VALID || second->state == DAXL_SLOT_VALID)
			continue;
		if (newest > 1 || second->state != DAXL_SLOT_BLANK)
			return true;
	}
	return false;
}

static enum daxl_slot_state place_state(struct daxl_media *media, const struct daxl_md_super *super, unsigned place)
{
	struct daxl_md_slot slot;

	if (daxl_media_read(media, place_off(super, place), &slot, sizeof(slot)))
		return DAXL_SLOT_UNREADABLE;
	if (!slot_fault(&slot, super))
		return DAXL_SLOT_VALID;
	return slot_is_blank(&slot) ? DAXL_SLOT_BLANK : DAXL_SLOT_INVALID;
}

/*
 * Makes a place that a crash has torn blank. Were the new slot written over it, a second crash could leave the words
 * that the first one had kept back, and with them the old slot, whole at last; but its pages are used again by now.
 * Without its magic number it can never be whole, so that goes first.
 */
static void clear_place(struct daxl_media *media, const struct daxl_md_super *super, unsigned place)
{
	char *at = daxl_media_base(media) + place_off(super, place);

	daxl_media_zero(media, at + offsetof(struct daxl_md_slot, magic), sizeof(uint64_t));
	daxl_media_fence(media);
	daxl_media_zero(media, at, sizeof(struct daxl_md_slot));
	daxl_media_fence(media);
}

static void write_place(struct daxl_media *media, const struct daxl_md_super *super, const struct daxl_md_slot *slot,
                        unsigned place)
{
	enum daxl_slot_state state = place_state(media, super, place);

	if (state == DAXL_SLOT_INVALID || state == DAXL_SLOT_UNREADABLE)
		clear_place(media, super, place);
	daxl_media_copy(media, daxl_media_base(media) + place_off(super, place), slot, sizeof(*slot));
	daxl_media_fence(media);
}

void daxl_slot_write(struct daxl_media *media, const struct daxl_md_super *super, struct daxl_md_slot *slot, int which)
{
	assert(which == 0 || which == 1);
	slot->magic = DAXL_SLOT_MAGIC;
	slot->version = DAXL_FORMAT_VERSION;
	memcpy(slot->uuid, super->uuid, sizeof(slot->uuid));
	slot->crc = slot_crc(slot);
	unsigned first = (unsigned)which, second = first + 2;

	/* What the slot held stays whole in one place until the new contents are: a place that a crash has torn goes first. */
	if (place_state(media, super, first) == DAXL_SLOT_VALID &&
	    place_state(media, super, second) != DAXL_SLOT_VALID) {
		write_place(media, super, slot, second);
		write_place(media, super, slot, first);
		return;
	}
	write_place(media, super, slot, first);
	write_place(media, super, slot, second);
}
