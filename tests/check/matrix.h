/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Pools to be damaged, and what is known of them. Every block of data begins with a tag of its own, so that after a
 * repair each can be asked for: no block whose contents were not damaged may have become unreachable.
 */
#ifndef DAXL_TESTS_CHECK_MATRIX_H
#define DAXL_TESTS_CHECK_MATRIX_H

#include "image.h"

#include <daxlayout/check.h>

#include "base/crc32c.h"
#include "check/check.h"
#include "log/page.h"

#define MATRIX_POOL (8u << 20)
#define MATRIX_MAGIC UINT64_C(0x7461676765640000)

struct verdict {
	int rc;
	unsigned errors, warnings, infos, unrepaired;
	bool files[512]; /* those which an error names */
	bool anonymous;  /* an error names none */
	char log[8192];
};

static inline int verdict_add(const struct daxl_check_finding *finding, void *arg)
{
	struct verdict *verdict = arg;
	size_t at = strlen(verdict->log);

	if (finding->kind == DAXL_FINDING_PROGRESS)
		return 0;
	verdict->errors += finding->severity == DAXL_SEVERITY_ERROR;
	verdict->warnings += finding->severity == DAXL_SEVERITY_WARNING;
	verdict->infos += finding->severity == DAXL_SEVERITY_INFO;
	verdict->unrepaired += !finding->repaired;
	if (finding->severity == DAXL_SEVERITY_ERROR && finding->file_id < DAXL_ARRAY_LEN(verdict->files))
		verdict->files[finding->file_id] = true;
	else if (finding->severity == DAXL_SEVERITY_ERROR)
		verdict->anonymous = true;
	snprintf(verdict->log + at, sizeof(verdict->log) - at, "  %d/%d %s\n", finding->kind, finding->severity,
	         finding->message);
	return 0;
}

static inline void judge(const struct image *image, bool repair, struct verdict *verdict)
{
	struct daxl_media *media;

	memset(verdict, 0, sizeof(*verdict));
	must(daxl_media_open_memory(image->base, image->size, !repair, &media));
	verdict->rc = daxl_check_media(media, repair, verdict_add, verdict);
}

/* --- tags --- */

struct tags {
	uint8_t seen[MATRIX_POOL / 4096 * 4];
	char *base;
	unsigned n;
};

static inline int tag_run(daxl_fblk_t at, const struct daxl_run *run, void *arg)
{
	struct tags *tags = arg;
	uint64_t tag;

	(void)at;
	if (run->flags & DAXL_RUN_HOLE)
		return 0;
	for (daxl_nblk_t i = 0; i < run->len; i++) {
		memcpy(&tag, tags->base + (run->blk + i) * 4096, sizeof(tag));
		tag -= MATRIX_MAGIC;
		if (tag < sizeof(tags->seen) && !tags->seen[tag]) {
			tags->seen[tag] = 1;
			tags->n++;
		}
	}
	return 0;
}

static inline void tag_file(struct daxl_inode *ino, void *arg)
{
	if (ino->name)
		(void)daxl_rope_walk(ino->version->root, 0, DAXL_FBLK_INF, tag_run, arg);
}

/* The tags that the pool's files have. */
static inline void tags_of(struct daxl_pool *pool, struct tags *tags)
{
	memset(tags, 0, sizeof(*tags));
	tags->base = daxl_media_base(pool->media);
	daxl_ids_each(pool, tag_file, tags);
}

static inline int put_tag(daxl_fblk_t at, const struct daxl_run *run, void *arg)
{
	struct daxl_pool *pool = arg;

	(void)at;
	for (daxl_nblk_t i = 0; i < run->len && !(run->flags & DAXL_RUN_HOLE); i++) {
		uint64_t tag = MATRIX_MAGIC + run->blk + i;

		memcpy(daxl_pool_addr(pool, run->blk + i), &tag, sizeof(tag));
	}
	return 0;
}

static inline void put_tags(struct daxl_inode *ino, void *arg)
{
	(void)daxl_rope_walk(ino->version->root, 0, DAXL_FBLK_INF, put_tag, arg);
}

/* --- pools --- */

/* Enough files for a directory, a map with inner nodes, a record with payload, shared blocks, attributes. */
static inline void matrix_fill(struct daxl_pool *pool)
{
	char name[32];

	struct daxl_inode *large = file_make(pool, "large"), *long_record = file_make(pool, "long record");
	for (unsigned i = 0; i < 200; i++)
		must(file_map(large, i * 2, 1, i % 9 ? 0 : DAXL_RUN_UNWRITTEN, 1));
	for (unsigned i = 0; i < 110; i++) {
		snprintf(name, sizeof(name), "file-%u-with-a-name", i);
		must(file_map(file_make(pool, name), i % 4, 1 + i % 3, 0, 3));
	}
	must(file_map(long_record, 0, 200, 0, 1));
	must(file_clone(large, 10, file_make(pool, "clone"), 0, 50));
	must(file_setattr(file_find(pool, "file-7-with-a-name"), "key", "value", 5));
}

static inline void matrix_change(struct daxl_pool *pool, unsigned round)
{
	char name[32];

	struct daxl_inode *large = file_find(pool, "large");
	must(file_punch(large, 20 + round * 8, 4));
	must(file_map(large, 401 + round * 2, 1, 0, 1));
	for (unsigned i = 0; i < 6; i++) {
		snprintf(name, sizeof(name), "round-%u-%u", round, i);
		must(file_map(file_make(pool, name), 0, 2, 0, 2));
	}
	must(file_map(file_find(pool, "long record"), 200 + round * 130, 130, 0, 1));
	must(file_truncate(file_find(pool, "file-3-with-a-name"), 4096));
	must(file_shift(file_find(pool, "file-5-with-a-name"), 0, 1, true));
	must(file_exchange(file_find(pool, "file-8-with-a-name"), 0, file_find(pool, "file-11-with-a-name"), 0, 1));
	snprintf(name, sizeof(name), "renamed-%u", round);
	must(daxl_names_rename(pool, "file-9-with-a-name", 18, name, strlen(name), 0));
	must(daxl_names_rename(pool, name, strlen(name), "file-9-with-a-name", 18, 0));
}

/* One record of each type, and no checkpoint meanwhile. */
static inline void matrix_log(struct daxl_pool *pool)
{
	struct daxl_inode *small = file_find(pool, "file-20-with-a-name");

	pool->keep_back = 1u << 20; /* that is what makes one due */
	must(file_map(file_make(pool, "in the log"), 0, 2, 0, 2));
	must(file_map(file_make(pool, "long in the log"), 0, 30, 0, 1));
	must(file_map(small, 10, 3, DAXL_RUN_UNWRITTEN, 3));
	must(file_convert(small, 11, 1));
	must(file_shift(small, 0, 2, true));
	must(file_shift(small, 8, 4, false));
	must(file_punch(file_find(pool, "file-22-with-a-name"), 2, 1));
	must(file_truncate(file_find(pool, "file-23-with-a-name"), 4096));
	must(file_exchange(file_find(pool, "file-24-with-a-name"), 0, file_find(pool, "file-25-with-a-name"), 0, 1));
	must(file_clone(file_find(pool, "file-26-with-a-name"), 0, file_make(pool, "clone in the log"), 0, 4));
	must(file_setattr(file_find(pool, "file-27-with-a-name"), "another key", "its value", 9));
	must(daxl_names_rename(pool, "file-28-with-a-name", 19, "renamed", 7, 0));
	must(daxl_names_rename(pool, "file-29-with-a-name", 19, "file-30-with-a-name", 19, 0));
	must(daxl_names_unlink(pool, "file-31-with-a-name", 19));
	must(file_map(file_make(pool, "reuses"), 0, 3, 0, 3));
	must(file_map(file_make(pool, "the last"), 0, 2, 0, 2));
}

/*
 * A pool with tags; older is what it was a checkpoint or two before. log: changes since the newest checkpoint are only
 * in the log, else it is closed cleanly.
 */
static inline void matrix_make(struct image *image, struct image *older, bool log)
{
	image_make(image, MATRIX_POOL, 4096, 0);
	struct daxl_pool *pool = image_open(image);
	matrix_fill(pool);
	must(daxl_ckpt_run(pool, false, 0));
	matrix_change(pool, 0);
	must(daxl_ckpt_run(pool, false, 0));
	image_copy(older, image);
	matrix_change(pool, 1);
	must(daxl_ckpt_run(pool, false, 0));
	if (log)
		matrix_log(pool);
	daxl_ids_each(pool, put_tags, pool);
	if (log)
		daxl_pool_abandon(pool);
	else
		must(daxl_pool_end(pool));
}

/* The lines of a pool's text, by file id. */
struct lines {
	char *text;
	const char *line[512];
};

static inline void lines_of(struct daxl_pool *pool, struct lines *lines)
{
	memset(lines, 0, sizeof(*lines));
	lines->text = pool_text(pool);
	for (char *line = strchr(lines->text, '\n'); line;) {
		char *next = strchr(line + 1, '\n');
		unsigned id = (unsigned)strtoul(line + 1, NULL, 10);

		*line = '\0';
		if (id < DAXL_ARRAY_LEN(lines->line))
			lines->line[id] = line + 1;
		if (next && !next[1])
			*next = '\0';
		line = next && *next ? next : NULL;
	}
}

static inline const struct daxl_md_super *matrix_super(const struct image *image)
{
	return (const void *)image->base;
}

static inline struct daxl_pagebuf *matrix_page(const struct image *image, daxl_page_t page)
{
	return (void *)(image->base + (page << DAXL_PAGE_SHIFT));
}

static inline bool is_page(const struct image *image, daxl_page_t page)
{
	const struct daxl_pagebuf *buf = matrix_page(image, page);

	return buf->hdr.magic == DAXL_PAGE_MAGIC && buf->hdr.self == page && buf->hdr.used <= DAXL_PAGE_BODY;
}

static inline void reseal(struct daxl_pagebuf *buf)
{
	if (buf->hdr.used > DAXL_PAGE_BODY)
		return;
	buf->hdr.crc = 0;
	buf->hdr.crc = daxl_crc32c(0, buf, sizeof(buf->hdr) + buf->hdr.used);
}

#endif
