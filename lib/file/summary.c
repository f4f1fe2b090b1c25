/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The summary of a clean close: one bit a block, in a chain of pages, under one checksum in the slot.
 *
 * It is a second opinion. Loading reads every map anyway, so free space is always derived from the maps, which is what
 * everything else rests on, and a summary that cannot be read is done without. One that can has to agree bit for bit: a
 * block that it knows and the maps do not was lost by somebody. Test builds refuse such a pool, to find out who.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/error.h"
#include "base/hook.h"
#include "file/ckpt.h"

static size_t summary_pages(size_t len)
{
	return (len + DAXL_PAGE_BODY - 1) / DAXL_PAGE_BODY;
}

/* Stores the list, which includes the pages it is stored in. */
static void write_pages(struct daxl_pool *pool, const daxl_page_t *pages, const uint8_t *bits, size_t len,
                        uint64_t position)
{
	struct daxl_pagebuf buf;

	for (size_t i = 0, done = 0; done < len; i++) {
		size_t part = len - done < DAXL_PAGE_BODY ? len - done : DAXL_PAGE_BODY;

		daxl_pagebuf_init(&buf, pool->super.uuid, DAXL_PAGE_SUMMARY, 0, 0);
		memcpy(buf.body, bits + done, part);
		done += part;
		buf.hdr.used = (uint16_t)part;
		buf.hdr.next = done < len ? pages[i + 1] : 0;
		daxl_page_write(pool->media, &buf, pages[i], position);
	}
}

void daxl_summary_write(struct daxl_ckpt *ckpt, uint64_t position, struct daxl_md_slot *slot)
{
	struct daxl_pool *pool = ckpt->pool;
	size_t len = daxl_space_export_size(pool->space), want = summary_pages(len), got = 0;
	daxl_page_t *pages = daxl_alloc(want * sizeof(*pages));
	uint8_t *bits = daxl_alloc(len);

	while (pages && bits && got < want && daxl_ckpt_page_get(ckpt, 0, &pages[got]) == 0)
		got++;
	if (pages && bits && got == want) {
		daxl_space_export(pool->space, bits);
		write_pages(pool, pages, bits, len, position);
		slot->summary = (struct daxl_md_ref){.page = pages[0]};
		slot->summary_pages = want;
		slot->summary_crc = daxl_crc32c(0, bits, len);
	}
	for (size_t i = 0; i < got; i++) {
		if (got == want)
			daxl_ckpt_page_retired(pool, pages[i], 0); /* in use until the next checkpoint */
		else
			daxl_ckpt_page_put(ckpt, pages[i]);
	}
	daxl_free(pages);
	daxl_free(bits);
}

int daxl_summary_read(struct daxl_pool *pool, const struct daxl_md_slot *slot,
                      int (*page_fn)(daxl_page_t page, void *arg), void *arg, uint8_t **ret_bits)
{
	const struct daxl_page_expect expect = {.uuid = pool->super.uuid, .type = DAXL_PAGE_SUMMARY, .depth = 0};
	size_t len = daxl_space_export_size(pool->space), done = 0;
	struct daxl_md_ref ref = slot->summary;
	struct daxl_pagebuf buf;
	int err = 0;

	*ret_bits = NULL;
	if (!ref.page)
		return 0;
	if (slot->summary_pages != summary_pages(len))
		return daxl_fail(EUCLEAN, "summary at page %" PRIu64 ": %" PRIu64 " pages for a pool that needs %zu",
		                 ref.page, slot->summary_pages, summary_pages(len));
	uint8_t *bits = daxl_alloc(len);
	if (!bits)
		return daxl_fail(ENOMEM, "no memory for the summary of free space");
	while (!err && done < len) { /* the length, not the chain, says how many pages there are */
		size_t part = len - done < DAXL_PAGE_BODY ? len - done : DAXL_PAGE_BODY;

		err = page_fn(ref.page, arg);
		if (!err)
			err = daxl_page_read(pool->media, &ref, &expect, &buf, NULL);
		if (!err && (buf.hdr.used != part || (done + part == len) != (buf.hdr.next == 0)))
			err = daxl_fail(EUCLEAN, "summary page %" PRIu64 ": %u bytes, next page %" PRIu64, ref.page,
			                buf.hdr.used, buf.hdr.next);
		if (err)
			break;
		memcpy(bits + done, buf.body, part);
		done += part;
		ref = (struct daxl_md_ref){.page = buf.hdr.next};
	}
	if (!err && daxl_crc32c(0, bits, len) != slot->summary_crc)
		err = daxl_fail(EUCLEAN, "summary at page %" PRIu64 ": wrong checksum", slot->summary.page);
	if (err) {
		daxl_free(bits);
		return err;
	}
	*ret_bits = bits;
	return 0;
}

int daxl_summary_check(struct daxl_pool *pool, const struct daxl_md_slot *slot, const uint8_t *bits)
{
	size_t len = daxl_space_export_size(pool->space), at = 0;
	uint8_t *mine = daxl_alloc(len);
	struct daxl_space_stat stat;
	int err = 0;

	if (!mine)
		return daxl_fail(ENOMEM, "no memory to compare the summary of free space");
	daxl_space_export(pool->space, mine);
	while (at < len && mine[at] == bits[at])
		at++;
	daxl_space_stat(pool->space, &stat);
	if (at < len)
		err = daxl_fail(EUCLEAN, "summary: of blocks %zu to %zu the maps use %#x, the summary says %#x", at * 8,
		                at * 8 + 7, mine[at], bits[at]);
	else if (slot->free_blocks != stat.free)
		err = daxl_fail(EUCLEAN, "summary: %" PRIu64 " free blocks, the maps leave %" PRIu64, slot->free_blocks,
		                stat.free);
	daxl_free(mine);
	return err;
}
