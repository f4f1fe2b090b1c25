/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The reading side of the log: which records does the ring hold?
 *
 * One pass reads the ring, from the position where replay starts, into memory (a linear image: index i is position
 * start + i, the ring's wrap is gone) and judges slot after slot: is it the first of a valid record? Its position must
 * be the very one that is looked for, its checksum right under the epoch; so neither an earlier lap nor an earlier
 * epoch can pass. What is no record is a hole, stepped over one slot at a time. The pass ends after W slots of hole,
 * because no ticket was ever further ahead of the oldest unfinished one, or at the ring's length.
 *
 * A hole may be an operation that had not returned. It is not when a later record says that everything up to behind it
 * was durable (position - lag): then a record was there and is damaged. The lowest hole and the highest such mark
 * decide. Only after that the records are delivered, so a damaged log changes nothing.
 *
 * Check wants what can be had of a damaged log: then the pass goes on to the ring's length, and what would have ended
 * it is noted. A record behind W slots of hole is proof of damage as well.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/error.h"
#include "base/hook.h"
#include "log/log.h"
#include "log/record.h"

#define CHUNK_SLOTS UINT64_C(2048) /* read at once */
#define NOWHERE UINT64_MAX

struct scan {
	struct daxl_media *media;
	daxl_byte_t off;
	uint64_t ring; /* slots */
	uint64_t start;
	uint32_t seed;
	uint8_t *image;
	uint64_t room;       /* slots allocated in image */
	uint64_t have;       /* slots of image that are read */
	uint64_t unreadable; /* lowest index that could not be read (zeroes stand there); NOWHERE: none */
	bool salvage;        /* damage is noted here instead of ending the scan */
	uint64_t damage;     /* lowest index that is damaged; NOWHERE: none */
};

static struct daxl_md_rec *rec_at(const struct scan *scan, uint64_t index)
{
	return (struct daxl_md_rec *)(void *)(scan->image + index * DAXL_SLOT_SIZE);
}

/* Reads n slots that lie together in the ring. */
static int read_slots(const struct scan *scan, uint64_t index, uint64_t n)
{
	uint64_t slot = (scan->start + index) % scan->ring;

	return daxl_media_read(scan->media, scan->off + slot * DAXL_SLOT_SIZE, scan->image + index * DAXL_SLOT_SIZE,
	                       (size_t)(n * DAXL_SLOT_SIZE));
}

/* The same, after it failed with -EIO: one by one, to see which. */
static int read_slots_singly(struct scan *scan, uint64_t index, uint64_t n)
{
	for (uint64_t i = index; i < index + n; i++) {
		int err = read_slots(scan, i, 1);

		if (err && err != -EIO)
			return err;
		if (err) {
			memset(rec_at(scan, i), 0, DAXL_SLOT_SIZE);
			scan->unreadable = daxl_min_u64(scan->unreadable, i);
		}
	}
	return 0;
}

static int grow_image(struct scan *scan, uint64_t slots)
{
	if (slots <= scan->room)
		return 0;

	uint64_t room = daxl_min_u64(scan->ring, daxl_max_u64(slots, 2 * scan->room));
	uint8_t *image = daxl_realloc(scan->image, (size_t)(room * DAXL_SLOT_SIZE));
	if (!image)
		return daxl_fail(ENOMEM, "log ring: no memory to read %" PRIu64 " slots", room);
	scan->image = image;
	scan->room = room;
	return 0;
}

/* Makes the image hold slots slots at least; slots is not above the ring's. */
static int fill(struct scan *scan, uint64_t slots)
{
	if (daxl_likely(slots <= scan->have))
		return 0;

	uint64_t want = daxl_min_u64(scan->ring, daxl_max_u64(slots, scan->have + CHUNK_SLOTS));
	int err = grow_image(scan, want);
	while (!err && scan->have < want) {
		uint64_t slot = (scan->start + scan->have) % scan->ring;
		uint64_t n = daxl_min_u64(want - scan->have, scan->ring - slot);

		err = read_slots(scan, scan->have, n);
		if (err == -EIO)
			err = read_slots_singly(scan, scan->have, n);
		if (!err)
			scan->have += n;
	}
	return err;
}

/* *ret_slots: how many slots the valid record at index has; 0 when there is none. */
static int judge(struct scan *scan, uint64_t index, unsigned *ret_slots)
{
	int err = fill(scan, index + 1);
	if (err)
		return err;

	const struct daxl_md_rec *head = rec_at(scan, index);
	unsigned slots = head->slots;
	*ret_slots = 0;
	if (head->position != scan->start + index || slots < 1 || slots > DAXL_REC_SLOTS_MAX ||
	    slots > scan->ring - index)
		return 0;
	err = fill(scan, index + slots);
	if (err)
		return err;

	struct daxl_md_rec *rec = rec_at(scan, index);
	uint32_t crc = rec->crc;
	rec->crc = 0;
	if (daxl_rec_crc(scan->seed, rec, slots) != crc)
		return 0;
	rec->crc = crc;
	/* No writer gives a ticket W ahead of the watermark, and no watermark is below 0. */
	bool possible = rec->lag < DAXL_LOG_WINDOW && rec->lag <= rec->position;
	if (!possible && scan->salvage) {
		scan->damage = daxl_min_u64(scan->damage, index);
		return 0;
	}
	if (!possible)
		return daxl_fail(EUCLEAN, "log record at position %" PRIu64 ": lag %" PRIu32 " is impossible",
		                 rec->position, rec->lag);
	*ret_slots = slots;
	return 0;
}

/* The pass: *ret_end is the index behind the last valid record. In the image, holes have slots = 0 afterwards. */
static int collect(struct scan *scan, uint64_t *ret_end)
{
	uint64_t hole = NOWHERE; /* the lowest */
	/* cppcheck-suppress duplicateAssignExpression ; both begin there */
	uint64_t durable = scan->start, durable_by = scan->start;
	uint64_t end = 0, index = 0;

	while (index < scan->ring && (scan->salvage || index - end < DAXL_LOG_WINDOW)) {
		unsigned slots;
		int err = judge(scan, index, &slots);
		if (err)
			return err;

		struct daxl_md_rec *rec = rec_at(scan, index);
		if (slots == 0) {
			rec->slots = 0;
			hole = daxl_min_u64(hole, index);
			index++;
			continue;
		}
		if (rec->position - rec->lag > durable) {
			durable = rec->position - rec->lag;
			durable_by = rec->position;
		}
		if (index - end >= DAXL_LOG_WINDOW)
			scan->damage = daxl_min_u64(scan->damage, end);
		index += slots;
		end = index;
	}

	*ret_end = end;
	if (scan->salvage) {
		if (scan->unreadable < end + DAXL_LOG_WINDOW)
			scan->damage = daxl_min_u64(scan->damage, scan->unreadable);
		if (hole != NOWHERE && scan->start + hole < durable)
			scan->damage = daxl_min_u64(scan->damage, hole);
		return 0;
	}
	if (scan->unreadable < end)
		return daxl_fail(EUCLEAN, "log record at position %" PRIu64 " cannot be read, and valid ones follow",
		                 scan->start + scan->unreadable);
	if (scan->unreadable < index)
		return daxl_fail(EIO, "log slot at position %" PRIu64 " cannot be read: the log's end is unknown",
		                 scan->start + scan->unreadable);
	if (hole != NOWHERE && scan->start + hole < durable)
		return daxl_fail(EUCLEAN,
		                 "log record at position %" PRIu64 " is damaged: position %" PRIu64 " had seen it",
		                 scan->start + hole, durable_by);
	return 0;
}

static int deliver(const struct scan *scan, uint64_t end, daxl_rec_fn fn, void *arg)
{
	uint64_t index = 0;

	while (index < end) {
		const struct daxl_md_rec *rec = rec_at(scan, index);

		if (rec->slots == 0) {
			index++;
			continue;
		}
		struct daxl_rec_view view = {
			.position = rec->position,
			.slots = rec->slots,
			.type = rec->type,
			.flags = rec->flags,
			.body = scan->image + index * DAXL_SLOT_SIZE + DAXL_REC_BODY_OFF,
			.body_len = (size_t)rec->slots * DAXL_SLOT_SIZE - DAXL_REC_BODY_OFF,
		};
		int ret = fn(&view, arg);
		if (ret)
			return ret;
		index += rec->slots;
	}
	return 0;
}

/* Both scans. ret_damage NULL: damage ends it. */
static int scan_ring(struct daxl_media *media, daxl_byte_t off, daxl_byte_t bytes, uint64_t start, uint64_t epoch,
                     daxl_rec_fn fn, void *arg, uint64_t *ret_damage, uint64_t *ret_end)
{
	uint64_t size = daxl_media_size(media);
	struct scan scan = {
		.media = media,
		.off = off,
		.ring = bytes / DAXL_SLOT_SIZE,
		.start = start,
		.seed = daxl_rec_seed(epoch),
		.unreadable = NOWHERE,
		.salvage = ret_damage != NULL,
		.damage = NOWHERE,
	};

	if (bytes % DAXL_SLOT_SIZE != 0 || bytes == 0 || off > size || bytes > size - off)
		return daxl_fail(EUCLEAN, "log ring: %" PRIu64 " bytes at %" PRIu64 " do not lie in %" PRIu64 " bytes",
		                 bytes, off, size);
	/* The end, too, must be a position that a log can be opened at. */
	if (start >= DAXL_LOG_POSITION_MAX - scan.ring)
		return daxl_fail(EUCLEAN, "log ring: replay position %" PRIu64 " is impossible", start);

	uint64_t end = 0;
	int ret = collect(&scan, &end);
	if (!ret && ret_damage)
		*ret_damage = scan.damage == NOWHERE ? UINT64_MAX : start + scan.damage;
	if (!ret)
		ret = deliver(&scan, end, fn, arg);
	daxl_free(scan.image);
	if (!ret)
		*ret_end = start + end;
	return ret;
}

int daxl_log_scan(struct daxl_media *media, daxl_byte_t off, daxl_byte_t bytes, uint64_t start, uint64_t epoch,
                  daxl_rec_fn fn, void *arg, uint64_t *ret_end)
{
	return scan_ring(media, off, bytes, start, epoch, fn, arg, NULL, ret_end);
}

int daxl_log_scan_damaged(struct daxl_media *media, daxl_byte_t off, daxl_byte_t bytes, uint64_t start, uint64_t epoch,
                          daxl_rec_fn fn, void *arg, uint64_t *ret_damage, uint64_t *ret_end)
{
	return scan_ring(media, off, bytes, start, epoch, fn, arg, ret_damage, ret_end);
}
