/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The file table, leniently. A page that is bad in both copies costs the files in it; a record that is bad in one field
 * costs that field. Every record whose length can be believed becomes a file.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "check/check.h"
#include "file/attrs.h"
#include "file/names.h"

/* A record cut into its parts. */
struct parts {
	struct daxl_md_file rec;
	const char *name;
	const uint8_t *attrs;
	struct daxl_md_run runs[DAXL_FILE_INLINE_RUNS];
	unsigned nruns;
};

/* An id that no file has. */
static uint32_t free_id(struct daxl_pool *pool)
{
	uint32_t id = pool->next_id;

	while (id == 0 || daxl_inode_by_id(pool, id))
		id++;
	return id;
}

int daxl_check_add_file(struct daxl_check *check, uint32_t id, const char *name, size_t len, uint64_t btime_ns,
                        struct daxl_inode **ret_ino)
{
	struct daxl_pool *pool = check->pool;
	char own[DAXL_NAME_MAX + 1];

	if (id == 0 || daxl_inode_by_id(pool, id))
		id = free_id(pool);
	if (!name || memchr(name, '\0', len) || daxl_names_find(pool, name, len)) {
		len = (size_t)snprintf(own, sizeof(own), "lost+found.%" PRIu32, id);
		for (unsigned i = 1; daxl_names_find(pool, own, len); i++)
			len = (size_t)snprintf(own, sizeof(own), "lost+found.%" PRIu32 ".%u", id, i);
		name = own;
	}
	return daxl_inode_add(pool, id, name, len, btime_ns, ret_ino);
}

/* Takes a record with room bytes apart; false: it does not say how long it is, or what it says cannot be. */
static bool take_apart(const uint8_t *at, size_t room, struct parts *parts)
{
	struct daxl_md_file *rec = &parts->rec;
	size_t need = sizeof(*rec);

	if (room < need)
		return false;
	memcpy(rec, at, sizeof(*rec));
	parts->nruns = rec->inline_runs;
	if (rec->inline_runs > DAXL_FILE_INLINE_RUNS)
		return false;
	parts->name = (const char *)at + need;
	need += rec->name_len;
	parts->attrs = at + need;
	need += rec->attr_len;
	if (need + parts->nruns * sizeof(struct daxl_md_run) > room)
		return false;
	memcpy(parts->runs, at + need, parts->nruns * sizeof(struct daxl_md_run));
	need += parts->nruns * sizeof(struct daxl_md_run);
	return rec->rec_len <= room && rec->rec_len == ((need + 7) & ~(size_t)7);
}

static int report_record(struct daxl_check *check, const struct daxl_where *where, int kind, const char *what)
{
	struct daxl_where at = *where;

	at.kind = kind;
	return daxl_check_found(check, DAXL_SEVERITY_ERROR, &at, "file %" PRIu64 " ('%s'): %s", at.file_id,
	                        at.file_name ? at.file_name : "", what);
}

/* Reports what is wrong with a file's id and name; the same tests as daxl_check_add_file's. */
static int check_identity(struct daxl_check *check, const struct parts *parts, const struct daxl_where *where)
{
	const struct daxl_md_file *rec = &parts->rec;
	int err = 0;

	if (rec->id == 0 || daxl_inode_by_id(check->pool, rec->id))
		err = report_record(check, where, DAXL_FINDING_FILE,
		                    rec->id ? "its id is also that of another file" : "its id is 0");
	if (!err && rec->name_len && memchr(parts->name, '\0', rec->name_len))
		err = report_record(check, where, DAXL_FINDING_NAME, "its name is none, for it has a NUL");
	else if (!err && rec->name_len && daxl_names_find(check->pool, parts->name, rec->name_len))
		err = report_record(check, where, DAXL_FINDING_NAME, "its name is also that of another file");
	if (!err && (rec->flags & ~DAXL_FILE_NAMELESS || !!(rec->flags & DAXL_FILE_NAMELESS) != (rec->name_len == 0)))
		err = report_record(check, where, DAXL_FINDING_NAME, "its flags and its name contradict each other");
	return err;
}

/* What the record says besides id, name and map. */
static int fill_version(struct daxl_check *check, const struct parts *parts, const struct daxl_where *where,
                        struct daxl_version *version)
{
	const struct daxl_md_file *rec = &parts->rec;
	int err = 0;

	version->size = rec->size;
	version->mtime_ns = rec->mtime_ns;
	version->ctime_ns = rec->ctime_ns;
	if (rec->generation < DAXL_NUMBER_MAX)
		version->generation = rec->generation;
	else
		err = report_record(check, where, DAXL_FINDING_FILE, "its generation is impossible");
	if (!err && rec->size > check->pool->max_file_size) {
		err = report_record(check, where, DAXL_FINDING_FILE,
		                    "its size is impossible; that of its map is taken");
		version->size = UINT64_MAX; /* add_record sees to it */
	}
	if (err || daxl_attrs_valid(parts->attrs, rec->attr_len))
		return err ? err : daxl_attrs_new(parts->attrs, rec->attr_len, &version->attrs);
	return report_record(check, where, DAXL_FINDING_ATTRIBUTE, "its attributes cannot be read and are dropped");
}

static int fill_map(struct daxl_check *check, const struct parts *parts, const struct daxl_where *where,
                    struct daxl_inode *ino)
{
	const struct daxl_md_file *rec = &parts->rec;

	if (rec->root_depth < DAXL_ROPE_DEPTH_MAX && (rec->root.page || (!rec->root_depth && !rec->root.copy)) &&
	    !(rec->root.page && parts->nruns))
		return daxl_check_map(check, ino, &rec->root, rec->root_depth, parts->runs, parts->nruns);
	check->lost = check->orphans = true;
	return report_record(check, where, DAXL_FINDING_MAP, "where its map lies is impossible; the map is lost");
}

/* Makes a file of a record. */
static int add_record(struct daxl_check *check, const struct parts *parts, struct daxl_where where)
{
	const struct daxl_md_file *rec = &parts->rec;
	bool nameless = rec->name_len == 0 && rec->flags & DAXL_FILE_NAMELESS;
	char name[DAXL_NAME_MAX + 1];
	struct daxl_inode *ino;

	memcpy(name, parts->name, rec->name_len);
	name[rec->name_len] = '\0';
	where.file_id = rec->id;
	where.file_name = rec->name_len ? name : NULL;
	int err = check_identity(check, parts, &where);
	if (!err && nameless && rec->id && !daxl_inode_by_id(check->pool, rec->id))
		err = daxl_inode_add(check->pool, rec->id, NULL, 0, rec->btime_ns, &ino);
	else if (!err)
		err = daxl_check_add_file(check, rec->id, rec->name_len ? parts->name : NULL, rec->name_len,
		                          rec->btime_ns, &ino);
	if (!err)
		err = fill_version(check, parts, &where, ino->version);
	if (!err)
		err = fill_map(check, parts, &where, ino);
	if (err)
		return err;
	if (ino->version->size == UINT64_MAX)
		ino->version->size = daxl_blocks_to_bytes(daxl_rope_len(ino->version->root), check->pool->block_shift);
	check->records++;
	return 0;
}

static int add_records(struct daxl_check *check, daxl_page_t number)
{
	const struct daxl_pagebuf *buf = &check->buf[0];
	struct daxl_where where = DAXL_WHERE(DAXL_FINDING_FILE);
	size_t at = 0;

	for (unsigned i = 0; i < buf->hdr.count; i++) {
		struct parts parts;

		where.pool_off = (number << DAXL_PAGE_SHIFT) + sizeof(buf->hdr) + at;
		where.block = where.pool_off >> check->pool->block_shift;
		if (!take_apart(buf->body + at, buf->hdr.used - at, &parts)) {
			check->lost = check->orphans = true;
			return daxl_check_found(check, DAXL_SEVERITY_ERROR, &where,
			                        "file table page %" PRIu64
			                        ": the record at byte %zu has an impossible length; %u files are lost",
			                        number, at, buf->hdr.count - i);
		}
		int err = add_record(check, &parts, where);
		if (err)
			return err;
		at += parts.rec.rec_len;
	}
	if (at == buf->hdr.used)
		return 0;
	check->lost = check->orphans = true;
	return daxl_check_found(check, DAXL_SEVERITY_ERROR, &where,
	                        "file table page %" PRIu64 ": %u bytes used, %zu of them by file records", number,
	                        buf->hdr.used, at);
}

static int walk_page(struct daxl_check *check, unsigned depth, uint64_t index, const struct daxl_md_ref *ref);

/* What the directory page in check->buf[depth] refers to. */
static int walk_entries(struct daxl_check *check, daxl_page_t number, unsigned depth, uint64_t index)
{
	const struct daxl_pagebuf *buf = &check->buf[depth];
	uint64_t first = index * DAXL_DIR_ENTRIES;
	uint64_t want =
		daxl_min_u64(DAXL_DIR_ENTRIES, daxl_table_level_count(check->slot.table_pages, depth - 1) - first);
	int err = 0;

	if (buf->hdr.count != want || buf->hdr.used != want * sizeof(struct daxl_md_ref)) {
		struct daxl_where where = DAXL_WHERE(DAXL_FINDING_CHECKPOINT);

		where.pool_off = number << DAXL_PAGE_SHIFT;
		where.block = where.pool_off >> check->pool->block_shift;
		check->lost = check->orphans = true;
		err = daxl_check_found(check, DAXL_SEVERITY_ERROR, &where,
		                       "file table directory page %" PRIu64 ": %u entries in %u bytes, %" PRIu64
		                       " expected",
		                       number, buf->hdr.count, buf->hdr.used, want);
	}
	want = daxl_min_u64(want, buf->hdr.count);
	for (uint64_t i = 0; i < want && !err; i++) {
		struct daxl_md_ref ref;

		memcpy(&ref, buf->body + i * sizeof(ref), sizeof(ref));
		if (depth > 1 || ref.page || ref.copy)
			err = walk_page(check, depth - 1, first + i, &ref);
	}
	return err;
}

/* A page of the directory or the table and all below. */
static int walk_page(struct daxl_check *check, unsigned depth, uint64_t index, const struct daxl_md_ref *ref)
{
	const struct daxl_page_expect expect = {
		.uuid = check->pool->super.uuid,
		.type = depth ? DAXL_PAGE_DIR : DAXL_PAGE_TABLE,
		.depth = (int)depth,
		.position_end = check->slot.position + 1,
	};
	char what[64];

	snprintf(what, sizeof(what), "file table %s %" PRIu64, depth ? "directory page" : "page", index);
	int rc = daxl_check_progress(check, "the file table");
	if (!rc)
		rc = daxl_check_page(check, ref, &expect, &DAXL_WHERE(DAXL_FINDING_CHECKPOINT), what,
		                     &check->buf[depth]);
	if (rc)
		return rc < 0 ? rc : 0;
	return depth ? walk_entries(check, ref->page, depth, index) : add_records(check, ref->page);
}

int daxl_check_table(struct daxl_check *check)
{
	const struct daxl_md_slot *slot = &check->slot;
	bool lost = check->lost;

	check->lost = false;
	int err = slot->table_pages ? walk_page(check, slot->table_depth, 0, &slot->table) : 0;
	if (!err && check->records != slot->files && !check->lost)
		err = daxl_check_found(check, DAXL_SEVERITY_ERROR, &DAXL_WHERE(DAXL_FINDING_CHECKPOINT),
		                       "the checkpoint slot speaks of %" PRIu64 " files, the file table has %" PRIu64,
		                       slot->files, check->records);
	check->lost |= lost;
	check->pool->next_id = slot->next_id;
	return err;
}
