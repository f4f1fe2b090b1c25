/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Record bodies under construction.
 *
 * A body grows in the record's own buffer, which holds all that fits into log slots, and moves to the heap when it gets
 * longer; daxl_commit decides by the length whether it goes into slots or payload pages.
 *
 * The map records begin with one header that has room for one edit. Edits are applied in order, header first, so only
 * the very first one may use that room, and only if its length fits 32 bits; otherwise the header's length stays 0 and
 * every edit is in the list. COLLAPSE and INSERT have their range in the place of the first edit, under the same rule.
 */
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/hook.h"
#include "file/file.h"

void daxl_record_init(struct daxl_record *rec, unsigned type)
{
	rec->type = type;
	rec->buf = rec->inline_buf;
	rec->len = 0;
	rec->cap = sizeof(rec->inline_buf);
}

/* Makes the buffer hold want bytes. */
static int record_grow(struct daxl_record *rec, size_t want)
{
	size_t cap = rec->cap * 2;
	while (cap < want)
		cap *= 2;
	uint8_t *buf;
	if (rec->buf == rec->inline_buf) {
		buf = daxl_alloc(cap);
		if (buf != NULL)
			memcpy(buf, rec->inline_buf, rec->len);
	} else {
		buf = daxl_realloc(rec->buf, cap);
	}
	if (buf == NULL)
		return daxl_fail(ENOMEM, "no memory for a log record of %zu bytes", want);
	rec->buf = buf;
	rec->cap = cap;
	return 0;
}

int daxl_record_put(struct daxl_record *rec, const void *bytes, size_t len)
{
	if (len > rec->cap - rec->len) {
		int rc = record_grow(rec, rec->len + len);
		if (rc < 0)
			return rc;
	}
	memcpy(rec->buf + rec->len, bytes, len);
	rec->len += len;
	return 0;
}

void daxl_record_free(struct daxl_record *rec)
{
	if (rec->buf != rec->inline_buf)
		daxl_free(rec->buf);
	rec->buf = rec->inline_buf;
	rec->len = 0;
	rec->cap = sizeof(rec->inline_buf);
}

int daxl_record_map_begin(struct daxl_record *rec, unsigned type, uint32_t id)
{
	assert(type == DAXL_REC_MAP || type == DAXL_REC_TRUNCATE || type == DAXL_REC_COLLAPSE || type == DAXL_REC_INSERT);
	struct daxl_md_rec_map head = {.id = id};
	daxl_record_init(rec, type);
	return daxl_record_put(rec, &head, sizeof(head));
}

/*
 * The header's fields are read and written one by one where they lie: a whole struct copied out and in again stalls on
 * its own stores.
 */
#define HEAD_GET(rec, field, to) memcpy(to, (rec)->buf + offsetof(struct daxl_md_rec_map, field), sizeof(*(to)))
#define HEAD_SET(rec, field, from) memcpy((rec)->buf + offsetof(struct daxl_md_rec_map, field), from, sizeof(*(from)))

int daxl_record_map_edit(struct daxl_record *rec, daxl_fblk_t at, daxl_nblk_t len, uint64_t val)
{
	assert(len != 0 && rec->len >= sizeof(struct daxl_md_rec_map));
	uint32_t first_len, nedits;
	HEAD_GET(rec, len, &first_len);
	if (rec->len == sizeof(struct daxl_md_rec_map) && first_len == 0 && len <= UINT32_MAX) {
		first_len = (uint32_t)len;
		HEAD_SET(rec, fblk, &at);
		HEAD_SET(rec, val, &val);
		HEAD_SET(rec, len, &first_len);
		return 0;
	}
	const struct daxl_md_edit edit = {.fblk = at, .len = len, .val = val};
	HEAD_GET(rec, nedits, &nedits);
	if (nedits == UINT32_MAX) {
		uint32_t id;
		HEAD_GET(rec, id, &id);
		return daxl_fail(EFBIG, "file %u: more than 2^32 edits in one log record", id);
	}
	int rc = daxl_record_put(rec, &edit, sizeof(edit));
	if (rc < 0)
		return rc;
	nedits++;
	HEAD_SET(rec, nedits, &nedits);
	return 0;
}

void daxl_record_map_finish(struct daxl_record *rec, uint64_t size, uint64_t time_ns)
{
	HEAD_SET(rec, size, &size);
	HEAD_SET(rec, time_ns, &time_ns);
}
