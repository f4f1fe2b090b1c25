/* SPDX-License-Identifier: BSD-3-Clause */
/* Checkpoint and payload pages: sealed on the way out, verified on the way in. */
#ifndef DAXL_LOG_PAGE_H
#define DAXL_LOG_PAGE_H

#include "media/format.h"
#include "media/media.h"
#include "base/units.h"

/* A page being built in DRAM. */
struct daxl_pagebuf {
	_Alignas(64) struct daxl_md_page hdr;
	uint8_t body[DAXL_PAGE_BODY];
};
_Static_assert(sizeof(struct daxl_pagebuf) == 4096, "a page");

/* What the reader expects; a mismatch is -EUCLEAN with a message that names the page and the field. */
struct daxl_page_expect {
	const uint8_t *uuid;
	uint16_t type;
	uint32_t owner;
	int depth;             /* -1: any */
	uint64_t position_end; /* the page was written below this log position; 0: at any */
	bool any_owner;        /* rope pages: parts of a map may have come from another file by an exchange */
};

/* Starts a page: clears the header, fills magic, uuid, type, owner, depth. */
void daxl_pagebuf_init(struct daxl_pagebuf *buf, const uint8_t *uuid, unsigned type, uint32_t owner, unsigned depth);
/*
 * Seals for page number page (self, position, CRC over header and used bytes) and stores it (flushed, not fenced). Only
 * header + used bytes are stored.
 */
void daxl_page_write(struct daxl_media *media, struct daxl_pagebuf *buf, daxl_page_t page, uint64_t position);
/* Both copies (copy 0: only one). */
void daxl_page_write_ref(struct daxl_media *media, struct daxl_pagebuf *buf, const struct daxl_md_ref *ref,
                         uint64_t position);
/*
 * Reads and verifies ref->page, or the copy when the first is bad (*ret_copy_used (may be NULL) tells: a finding for
 * check). -EUCLEAN, -EIO. Bounds, self, crc, used, count are checked; the content is the caller's to check.
 */
int daxl_page_read(struct daxl_media *media, const struct daxl_md_ref *ref, const struct daxl_page_expect *expect,
                   struct daxl_pagebuf *buf, bool *ret_copy_used);

/* Pages a payload of len bytes takes. */
size_t daxl_payload_pages(size_t len);
/*
 * Payload of a long record: body is split over pages[0..n), chained by next. Flushed, not fenced; goes out before (or
 * under the same fence as) the record. Pages hold DAXL_PAGE_BODY bytes each;
 * n is daxl_payload_pages(len), len not 0. ret_payload->file is left 0: the caller fills it.
 */
void daxl_payload_write(struct daxl_media *media, const uint8_t *uuid, const daxl_page_t *pages, size_t n,
                        const void *body, size_t len, uint64_t position, struct daxl_md_payload *ret_payload);
/*
 * Reads it into memory to be daxl_free'd; each page number goes to page_fn (to be marked used) first: nonzero stops.
 * -EUCLEAN, -EIO, -ENOMEM; len is bounded by max_len.
 */
int daxl_payload_read(struct daxl_media *media, const uint8_t *uuid, const struct daxl_md_payload *payload,
                      uint64_t max_len, int (*page_fn)(daxl_page_t page, void *arg), void *arg, void **ret_body);

#endif
