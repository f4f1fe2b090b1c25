/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The log: a ring of 64-byte slots, and the gate.
 *
 * A position counts slots since the pool was made; position p lies in slot p % slots. A record is one or more
 * consecutive slots, written once and made durable by one fence; it says itself which position, lag and (in its CRC)
 * pool epoch it belongs to, so nothing else is written: no head, no tail.
 *
 * The order of one operation, with the file mutexes held:
 *
 * daxl_log_enter    takes the ticket (position) and is inside the gate daxl_log_store    stores and flushes the record
 * } only stores: nothing here can fence             the commit point                     } fail, wait or be cancelled
 * publish the new version daxl_log_leave    marks the ticket finished
 *
 * Ticket and gate are one atomic word: the next position and a CLOSED bit. The gate is closed by setting the bit, and
 * is empty once every ticket below the position is finished. `watermark` is the lowest unfinished ticket: all below are
 * durable *and published*. A ticket waits (bounded: others have only stores left) when it would be W slots or more
 * ahead of the watermark.
 *
 * Credit: an operation takes credit for the slots it may need before it breaks leases or takes a mutex. Used ring space
 * (head - replay start) plus outstanding credit never exceeds the ring, so a ticket never waits for space.
 */
#ifndef DAXL_LOG_LOG_H
#define DAXL_LOG_LOG_H

#include "base/compiler.h"
#include "base/units.h"
#include "media/format.h"
#include "media/media.h"

struct daxl_log;

/*
 * A ring at byte offset off, bytes long, whose next record gets position head and whose replay would start at start (<=
 * head).
 */
int daxl_log_open(struct daxl_media *media, daxl_byte_t off, daxl_byte_t bytes, uint64_t start, uint64_t head,
                  uint64_t epoch, struct daxl_log **ret_log);
void daxl_log_close(struct daxl_log *log);

/*
 * Takes credit for slots. 0: taken. 1: taken, and the ring is half full or more: a checkpoint is due (the caller runs
 * one, with nothing held). -EAGAIN: not taken, there is no room before a checkpoint has advanced the start. -ENOSPC:
 * not even an empty ring could grant it beside the credit that is out.
 */
int daxl_log_credit_take(struct daxl_log *log, unsigned slots);
void daxl_log_credit_give(struct daxl_log *log, unsigned slots); /* unused credit back */

struct daxl_ticket {
	uint64_t position;
	uint32_t slots;
	uint32_t lag;
};
/* Slots a body of len bytes takes (1..DAXL_REC_SLOTS_MAX); 0: too long, use payload pages. */
unsigned daxl_log_slots_for(size_t body_len);
/*
 * Enters the gate with a ticket for slots, which are used up from credit. Waits only while the gate is closed for a cut
 * or the window is full.
 */
void daxl_log_enter(struct daxl_log *log, unsigned slots, struct daxl_ticket *ret_ticket);
/*
 * Stores and flushes the record (not fenced). body_len fits ticket->slots. One non-temporal copy of the assembled slots
 * per contiguous part.
 */
void daxl_log_store(struct daxl_log *log, const struct daxl_ticket *ticket, unsigned type, unsigned flags,
                    const void *body, size_t body_len);
void daxl_log_leave(struct daxl_log *log, const struct daxl_ticket *ticket);

/*
 * Closes the gate and waits until it is empty; returns the position P at which a checkpoint cut here starts its replay.
 * The caller does its (short) cut and opens again.
 */
uint64_t daxl_log_gate_close(struct daxl_log *log);
void daxl_log_gate_open(struct daxl_log *log);
/* The checkpoint with replay start start is durable: ring space below is free. */
void daxl_log_advance(struct daxl_log *log, uint64_t start);
/* A new epoch (pool opened for writing): with the gate closed or before any ticket. */
void daxl_log_set_epoch(struct daxl_log *log, uint64_t epoch);

struct daxl_log_stat {
	uint64_t head, start, watermark, slots, credit_out;
};
void daxl_log_stat(const struct daxl_log *log, struct daxl_log_stat *ret);

/*
 * Recovery: reads the ring through daxl_media_read from position start, gives every valid record in order to fn, and
 * ends after W slots without a valid record. *ret_end is the position behind the last valid record (start when none). A
 * hole below some record's position - lag is damage: -EUCLEAN, and the message says where; fn has not been called at
 * all then. A slot that cannot be read (poison) counts as damage only when such a mark or a valid later record proves
 * that it held a record; an unreadable slot otherwise too (-EIO): it cannot be told. fn gets the body (whole, slots
 * joined; for HAS_PAYLOAD the daxl_md_payload) and stops the scan by a nonzero return, which is returned.
 */
struct daxl_rec_view {
	uint64_t position;
	uint32_t slots;
	unsigned type;
	unsigned flags;
	const void *body;
	size_t body_len; /* slots' room, not the exact length: a body says its own length */
};
typedef int (*daxl_rec_fn)(const struct daxl_rec_view *rec, void *arg);
int daxl_log_scan(struct daxl_media *media, daxl_byte_t off, daxl_byte_t bytes, uint64_t start, uint64_t epoch,
                  daxl_rec_fn fn, void *arg, uint64_t *ret_end);

/*
 * For check: what daxl_log_scan fails for is stepped over, and the whole ring is searched, so that records behind a gap
 * of W slots and more are found too. *ret_damage, filled in before fn is called first, is the position of the first
 * slot of which it is certain or cannot be told that it held a record, UINT64_MAX if there is none; daxl_log_scan would
 * have delivered the same then.
 */
int daxl_log_scan_damaged(struct daxl_media *media, daxl_byte_t off, daxl_byte_t bytes, uint64_t start, uint64_t epoch,
                          daxl_rec_fn fn, void *arg, uint64_t *ret_damage, uint64_t *ret_end);

#endif
