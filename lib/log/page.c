/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Pages on their way out and in. A page says whose it is (pool, type, owner, depth) and where it lies, under a
 * checksum, so that a page which is intact but stale, misplaced or somebody else's is found out as well as a damaged
 * one. Nothing of a page is used before all that is checked.
 */
#include "log/page.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/error.h"
#include "base/hook.h"

void daxl_pagebuf_init(struct daxl_pagebuf *buf, const uint8_t *uuid, unsigned type, uint32_t owner, unsigned depth)
{
	buf->hdr = (struct daxl_md_page){
		.magic = DAXL_PAGE_MAGIC,
		.owner = owner,
		.type = (uint16_t)type,
		.depth = (uint16_t)depth,
	};
	memcpy(buf->hdr.uuid, uuid, sizeof(buf->hdr.uuid));
}

/* The checksum of the page; the crc field is 0 during the call. */
static uint32_t page_crc(const struct daxl_pagebuf *buf)
{
	return daxl_crc32c(0, buf, sizeof(buf->hdr) + buf->hdr.used);
}

void daxl_page_write(struct daxl_media *media, struct daxl_pagebuf *buf, daxl_page_t page, uint64_t position)
{
	assert(page != 0 && page < daxl_media_size(media) >> DAXL_PAGE_SHIFT);
	assert(buf->hdr.used <= DAXL_PAGE_BODY);
	buf->hdr.self = page;
	buf->hdr.position = position;
	buf->hdr.crc = 0;
	buf->hdr.crc = page_crc(buf);
	daxl_media_copy(media, daxl_media_base(media) + (page << DAXL_PAGE_SHIFT), buf,
	                sizeof(buf->hdr) + buf->hdr.used);
}

void daxl_page_write_ref(struct daxl_media *media, struct daxl_pagebuf *buf, const struct daxl_md_ref *ref,
                         uint64_t position)
{
	daxl_page_write(media, buf, ref->page, position);
	if (ref->copy)
		daxl_page_write(media, buf, ref->copy, position);
}

/* The smallest entry of a page of this type and depth; 0: its bytes are not counted in entries. */
static size_t entry_size_min(unsigned type, unsigned depth)
{
	switch (type) {
	case DAXL_PAGE_DIR:
		return sizeof(struct daxl_md_ref);
	case DAXL_PAGE_TABLE:
		return sizeof(struct daxl_md_file);
	case DAXL_PAGE_ROPE:
		return depth ? sizeof(struct daxl_md_child) : sizeof(struct daxl_md_run);
	default:
		return 0;
	}
}

/* The field of a header that is not as expected; NULL: all are. */
static const char *header_fault(const struct daxl_md_page *hdr, daxl_page_t page, const struct daxl_page_expect *expect)
{
	if (hdr->magic != DAXL_PAGE_MAGIC)
		return "magic";
	if (memcmp(hdr->uuid, expect->uuid, sizeof(hdr->uuid)) != 0)
		return "pool uuid";
	if (hdr->self != page)
		return "own page number";
	if (hdr->type != expect->type)
		return "type";
	if (!expect->any_owner && hdr->owner != expect->owner)
		return "owner";
	if (expect->depth >= 0 && hdr->depth != (unsigned)expect->depth)
		return "depth";
	if (expect->position_end && hdr->position >= expect->position_end)
		return "log position";
	if (hdr->used > DAXL_PAGE_BODY)
		return "used bytes";
	if (hdr->count * entry_size_min(hdr->type, hdr->depth) > hdr->used)
		return "entry count";
	return NULL;
}

/* Reads a page's header and used bytes, in one piece unless something on the page cannot be read. */
static int load_page(struct daxl_media *media, daxl_byte_t off, struct daxl_pagebuf *buf)
{
	if (daxl_media_read(media, off, buf, sizeof(*buf)) == 0)
		return 0;
	/* It may be only what is not used. */
	int err = daxl_media_read(media, off, &buf->hdr, sizeof(buf->hdr));
	if (!err && buf->hdr.used <= DAXL_PAGE_BODY)
		err = daxl_media_read(media, off + sizeof(buf->hdr), buf->body, buf->hdr.used);
	return err;
}

/* Reads and verifies one page; buf is undefined after a failure. The bytes behind the used ones are zeroes. */
static int read_page(struct daxl_media *media, daxl_page_t page, const struct daxl_page_expect *expect,
                     struct daxl_pagebuf *buf)
{
	if (page == 0 || page >= daxl_media_size(media) >> DAXL_PAGE_SHIFT)
		return daxl_fail(EUCLEAN, "page %" PRIu64 ": not a page of the pool", page);

	int err = load_page(media, page << DAXL_PAGE_SHIFT, buf);
	if (err)
		return err;
	const char *fault = header_fault(&buf->hdr, page, expect);
	if (fault)
		return daxl_fail(EUCLEAN, "page %" PRIu64 ": wrong %s", page, fault);

	uint32_t crc = buf->hdr.crc;
	buf->hdr.crc = 0;
	if (page_crc(buf) != crc)
		return daxl_fail(EUCLEAN, "page %" PRIu64 ": wrong checksum", page);
	buf->hdr.crc = crc;
	memset(buf->body + buf->hdr.used, 0, DAXL_PAGE_BODY - buf->hdr.used);
	return 0;
}

int daxl_page_read(struct daxl_media *media, const struct daxl_md_ref *ref, const struct daxl_page_expect *expect,
                   struct daxl_pagebuf *buf, bool *ret_copy_used)
{
	bool copy_used = false;
	int err = read_page(media, ref->page, expect, buf);

	if (err && ref->copy) {
		copy_used = true;
		err = read_page(media, ref->copy, expect, buf);
	}
	if (!err && ret_copy_used)
		*ret_copy_used = copy_used;
	return err;
}

size_t daxl_payload_pages(size_t len)
{
	return len / DAXL_PAGE_BODY + (len % DAXL_PAGE_BODY != 0);
}

void daxl_payload_write(struct daxl_media *media, const uint8_t *uuid, const daxl_page_t *pages, size_t n,
                        const void *body, size_t len, uint64_t position, struct daxl_md_payload *ret_payload)
{
	const uint8_t *from = body;
	struct daxl_pagebuf buf;

	assert(len != 0 && n == daxl_payload_pages(len));
	for (size_t i = 0; i < n; i++) {
		size_t left = len - i * DAXL_PAGE_BODY;
		size_t part = left < DAXL_PAGE_BODY ? left : DAXL_PAGE_BODY;

		daxl_pagebuf_init(&buf, uuid, DAXL_PAGE_PAYLOAD, 0, 0);
		buf.hdr.next = i + 1 < n ? pages[i + 1] : 0;
		buf.hdr.used = (uint16_t)part;
		memcpy(buf.body, from + i * DAXL_PAGE_BODY, part);
		daxl_page_write(media, &buf, pages[i], position);
	}
	*ret_payload = (struct daxl_md_payload){
		.first_page = pages[0],
		.len = len,
		.crc = daxl_crc32c(0, body, len),
	};
}

/*
 * Fills body[0..len) from the chain of pages that starts at page. The length, not the chain, says how many there are: a
 * chain cannot loop.
 */
static int read_chain(struct daxl_media *media, const uint8_t *uuid, daxl_page_t page, uint8_t *body, size_t len,
                      int (*page_fn)(daxl_page_t page, void *arg), void *arg)
{
	const struct daxl_page_expect expect = { .uuid = uuid, .type = DAXL_PAGE_PAYLOAD, .owner = 0, .depth = 0 };
	struct daxl_pagebuf buf;
	size_t done = 0;

	while (done < len) {
		size_t part = len - done < DAXL_PAGE_BODY ? len - done : DAXL_PAGE_BODY;
		bool last = done + part == len;

		int ret = page_fn(page, arg);
		if (ret)
			return ret;
		ret = daxl_page_read(media, &(struct daxl_md_ref){ .page = page }, &expect, &buf, NULL);
		if (ret)
			return ret;
		if (buf.hdr.used != part || last != (buf.hdr.next == 0))
			return daxl_fail(EUCLEAN,
			                 "payload page %" PRIu64 " (byte %zu of %zu): %u used bytes, next %" PRIu64,
			                 page, done, len, buf.hdr.used, buf.hdr.next);
		memcpy(body + done, buf.body, part);
		done += part;
		page = buf.hdr.next;
	}
	return 0;
}

int daxl_payload_read(struct daxl_media *media, const uint8_t *uuid, const struct daxl_md_payload *payload,
                      uint64_t max_len, int (*page_fn)(daxl_page_t page, void *arg), void *arg, void **ret_body)
{
	uint64_t len = payload->len;

	if (len == 0 || len > max_len || len > daxl_media_size(media))
		return daxl_fail(EUCLEAN, "payload at page %" PRIu64 ": length %" PRIu64 " is impossible",
		                 payload->first_page, len);
	uint8_t *body = daxl_alloc((size_t)len);
	if (!body)
		return daxl_fail(ENOMEM, "payload at page %" PRIu64 ": no memory for %" PRIu64 " bytes",
		                 payload->first_page, len);

	int ret = read_chain(media, uuid, payload->first_page, body, (size_t)len, page_fn, arg);
	if (!ret && daxl_crc32c(0, body, (size_t)len) != payload->crc)
		ret = daxl_fail(EUCLEAN, "payload at page %" PRIu64 " (file %" PRIu32 "): wrong checksum",
		                payload->first_page, payload->file);
	if (ret) {
		daxl_free(body);
		return ret;
	}
	*ret_body = body;
	return 0;
}
