/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The file table: which file's record lies in which table page, and the pages on the medium.
 *
 * A record changes its length with the file's name, attributes and short maps, so files are packed by length when a
 * checkpoint is written. A file stays in its page while it fits. Those that do not, and new ones, are homeless until
 * packing finds them room: in the page being filled, in one that is to be written anyway or is a quarter empty, in an
 * empty place, in a new one at the end. The search goes round the table a little further each time, so no checkpoint
 * pays for the table's size. Empty places at the end are given up.
 *
 * Writing is copy-on-write and can be taken back: a page's `next` is where the running checkpoint has it and becomes
 * `ref` when that is durable (daxl_table_done), or is freed (daxl_table_undo), and then the page is still dirty. Who
 * sits where is DRAM's matter and is not taken back.
 */
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/hook.h"
#include "file/ckpt.h"
#include "map/rope_node.h"
#include "map/rope_store.h"

#define HOMELESS UINT64_MAX
#define PROBES 64u                          /* places looked at for one homeless file */
#define WORTH_DIRTYING (DAXL_PAGE_BODY / 4) /* free bytes that make it worth writing a page again */

void daxl_table_init(struct daxl_table *table)
{
	memset(table, 0, sizeof(*table));
	table->homeless.index = HOMELESS;
}

void daxl_table_fini(struct daxl_table *table)
{
	for (uint64_t i = 0; i < table->cap; i++)
		daxl_free(table->pages[i]);
	daxl_free(table->pages);
	for (unsigned i = 0; i < DAXL_TABLE_DEPTH_MAX; i++)
		daxl_free(table->level[i].pages);
}

uint64_t daxl_table_level_count(uint64_t count, unsigned depth)
{
	for (unsigned d = 0; d < depth; d++)
		count = count / DAXL_DIR_ENTRIES + (count % DAXL_DIR_ENTRIES != 0);
	return count;
}

unsigned daxl_table_depth(uint64_t count)
{
	unsigned depth = 0;

	while (count > 1) {
		count = daxl_table_level_count(count, 1);
		depth++;
	}
	return depth;
}

static void mark_dirty(struct daxl_table *table, struct daxl_tpage *page)
{
	if (page->dirty || page->index == HOMELESS)
		return;
	page->dirty = true;
	page->dirty_next = table->dirty;
	table->dirty = page;
}

static void sit(struct daxl_tpage *page, struct daxl_inode *ino)
{
	ino->tpage = page;
	ino->tpage_next = page->files;
	page->files = ino;
	page->nfiles++;
}

static void unsit(struct daxl_inode *ino)
{
	struct daxl_inode **link = &ino->tpage->files;

	while (*link != ino)
		link = &(*link)->tpage_next;
	*link = ino->tpage_next;
	ino->tpage->nfiles--;
	ino->tpage = NULL;
	ino->tpage_next = NULL;
}

void daxl_table_touch(struct daxl_table *table, struct daxl_inode *ino)
{
	if (ino->tpage) {
		mark_dirty(table, ino->tpage);
		return;
	}
	sit(&table->homeless, ino);
	table->files++;
}

void daxl_table_remove(struct daxl_table *table, struct daxl_inode *ino)
{
	if (!ino->tpage)
		return;
	mark_dirty(table, ino->tpage);
	unsit(ino);
	table->files--;
}

void daxl_table_adopt(struct daxl_table *table, struct daxl_tpage *page, struct daxl_inode *ino, size_t record_len)
{
	sit(page, ino);
	page->used += (uint32_t)record_len;
	table->files++;
}

/* Makes pages[] hold cap places. */
static int places_reserve(struct daxl_table *table, uint64_t cap)
{
	if (cap <= table->cap)
		return 0;
	cap = daxl_max_u64(cap, table->cap * 2);
	/* NOLINTNEXTLINE(bugprone-sizeof-expression): pointers they are */
	struct daxl_tpage **pages = daxl_realloc(table->pages, cap * sizeof(*pages));
	if (!pages)
		return daxl_fail(ENOMEM, "no memory for a file table of %llu pages", (unsigned long long)cap);
	for (uint64_t i = table->cap; i < cap; i++)
		pages[i] = NULL;
	table->pages = pages;
	table->cap = cap;
	return 0;
}

static void set_count(struct daxl_table *table, uint64_t count)
{
	__atomic_store_n(&table->count, count, __ATOMIC_RELAXED);
}

int daxl_table_resize(struct daxl_table *table, uint64_t count)
{
	int err = places_reserve(table, count);

	if (!err)
		set_count(table, count);
	return err;
}

/* The page at a place below cap, made if there is none. */
static int page_at(struct daxl_table *table, uint64_t index, struct daxl_tpage **ret_page)
{
	if (!table->pages[index]) {
		struct daxl_tpage *page = daxl_zalloc(sizeof(*page));

		if (!page)
			return daxl_fail(ENOMEM, "no memory for a page of the file table");
		page->index = index;
		table->pages[index] = page;
	}
	*ret_page = table->pages[index];
	return 0;
}

int daxl_table_load_page(struct daxl_table *table, uint64_t index, const struct daxl_md_ref *ref,
                         struct daxl_tpage **ret_page)
{
	int err = page_at(table, index, ret_page);

	if (!err)
		(*ret_page)->ref = *ref;
	return err;
}

/* Empties a dirty page's surplus into the homeless and adds up what stays. */
static void evict(struct daxl_table *table, struct daxl_tpage *page)
{
	struct daxl_inode *next;

	page->used = 0;
	for (struct daxl_inode *ino = page->files; ino; ino = next) {
		size_t len = daxl_file_record_len(daxl_ckpt_version(ino));

		next = ino->tpage_next;
		if (len <= DAXL_PAGE_BODY - page->used) {
			page->used += (uint32_t)len;
			continue;
		}
		unsit(ino);
		sit(&table->homeless, ino);
	}
}

static bool has_room(const struct daxl_tpage *page, size_t len)
{
	size_t room = DAXL_PAGE_BODY - page->used;

	return room >= len && (page->dirty || page->nfiles == 0 || room >= WORTH_DIRTYING);
}

/* A page with room for len bytes. */
static int find_room(struct daxl_table *table, size_t len, struct daxl_tpage **ret_page)
{
	if (table->open && has_room(table->open, len)) {
		*ret_page = table->open;
		return 0;
	}
	for (unsigned probe = 0; probe < PROBES && probe < table->count; probe++) {
		uint64_t index = table->scan < table->count ? table->scan : 0;

		table->scan = index + 1;
		if (!table->pages[index] || has_room(table->pages[index], len))
			return page_at(table, index, ret_page);
	}
	int err = places_reserve(table, table->count + 1);
	if (!err)
		err = page_at(table, table->count, ret_page);
	if (!err)
		set_count(table, table->count + 1);
	return err;
}

static int pack(struct daxl_table *table)
{
	table->open = NULL;
	for (struct daxl_tpage *page = table->dirty; page; page = page->dirty_next)
		evict(table, page);
	if (table->dirty)
		table->open = table->dirty;
	while (table->homeless.files) {
		struct daxl_inode *ino = table->homeless.files;
		size_t len = daxl_file_record_len(daxl_ckpt_version(ino));
		struct daxl_tpage *page;
		int err = find_room(table, len, &page);

		if (err)
			return err;
		if (page->nfiles == 0)
			page->used = 0;
		mark_dirty(table, page);
		unsit(ino);
		sit(page, ino);
		page->used += (uint32_t)len;
		table->open = page;
	}
	uint64_t count = table->count;
	while (count && (!table->pages[count - 1] || table->pages[count - 1]->nfiles == 0))
		count--;
	set_count(table, count);
	return 0;
}

size_t daxl_file_record_len(const struct daxl_version *version)
{
	size_t len = sizeof(struct daxl_md_file);

	len += version->name ? version->name->len : 0;
	len += version->attrs ? version->attrs->len : 0;
	if (version->root && daxl_rope_is_inline(version->root))
		len += version->root->count * sizeof(struct daxl_md_run);
	return (len + 7) & ~(size_t)7;
}

/* Stores the record of a file whose rope is written; returns its length. */
static size_t put_record(uint8_t *at, const struct daxl_inode *ino, const struct daxl_version *version)
{
	struct daxl_md_run runs[DAXL_FILE_INLINE_RUNS];
	size_t len = daxl_file_record_len(version), off = sizeof(struct daxl_md_file);
	struct daxl_md_file rec = {
		.id = ino->id,
		.rec_len = (uint16_t)len,
		.flags = (uint8_t)(version->name ? 0 : DAXL_FILE_NAMELESS),
		.name_len = version->name ? version->name->len : 0,
		.attr_len = version->attrs ? version->attrs->len : 0,
		.size = version->size,
		.generation = version->generation,
		.btime_ns = ino->btime_ns,
		.mtime_ns = version->mtime_ns,
		.ctime_ns = version->ctime_ns,
	};

	if (daxl_rope_is_inline(version->root)) {
		rec.inline_runs = (uint8_t)daxl_rope_inline_runs(version->root, runs);
	} else {
		rec.root_depth = version->root->depth;
		rec.root.page = version->root->page[0];
		rec.root.copy = version->root->page[1];
	}
	memset(at, 0, len);
	memcpy(at, &rec, sizeof(rec));
	if (rec.name_len)
		memcpy(at + off, version->name->bytes, rec.name_len);
	off += rec.name_len;
	if (rec.attr_len)
		memcpy(at + off, version->attrs->bytes, rec.attr_len);
	off += rec.attr_len;
	if (rec.inline_runs)
		memcpy(at + off, runs, rec.inline_runs * sizeof(runs[0]));
	return len;
}

static int write_table_page(struct daxl_ckpt *ckpt, struct daxl_tpage *page, uint64_t position,
                            struct daxl_pagebuf *buf)
{
	size_t used = 0;

	assert(page->next.page == 0);
	if (page->nfiles == 0)
		return 0;
	int err = daxl_ckpt_ref_get(ckpt, &page->next);
	if (err)
		return err;
	daxl_pagebuf_init(buf, ckpt->pool->super.uuid, DAXL_PAGE_TABLE, 0, 0);
	for (const struct daxl_inode *ino = page->files; ino; ino = ino->tpage_next)
		used += put_record(buf->body + used, ino, daxl_ckpt_version(ino));
	assert(used == page->used && used <= DAXL_PAGE_BODY);
	buf->hdr.count = (uint16_t)page->nfiles;
	buf->hdr.used = (uint16_t)used;
	daxl_page_write_ref(ckpt->pool->media, buf, &page->next, position);
	return 0;
}

/* Where the running checkpoint has the page at place index of depth (0: a table page). */
static struct daxl_md_ref ref_now(const struct daxl_table *table, unsigned depth, uint64_t index)
{
	if (depth) {
		const struct daxl_dirpage *dir = &table->level[depth - 1].pages[index];

		return dir->written ? dir->next : dir->ref;
	}
	const struct daxl_tpage *page = table->pages[index];
	return !page ? (struct daxl_md_ref){0, 0} : page->dirty ? page->next : page->ref;
}

int daxl_table_level_reserve(struct daxl_table *table, unsigned depth, uint64_t count)
{
	struct daxl_dirlevel *level = &table->level[depth - 1];

	if (count <= level->cap)
		return 0;
	uint64_t cap = daxl_max_u64(count, level->cap * 2);
	struct daxl_dirpage *pages = daxl_realloc(level->pages, cap * sizeof(*pages));
	if (!pages)
		return daxl_fail(ENOMEM, "no memory for the directory of the file table");
	memset(pages + level->cap, 0, (cap - level->cap) * sizeof(*pages));
	level->pages = pages;
	level->cap = cap;
	return 0;
}

static int write_dir_page(struct daxl_ckpt *ckpt, unsigned depth, uint64_t index, uint64_t position,
                          struct daxl_pagebuf *buf)
{
	struct daxl_table *table = &ckpt->table;
	struct daxl_dirpage *dir = &table->level[depth - 1].pages[index];
	uint64_t below = daxl_table_level_count(table->count, depth - 1), first = index * DAXL_DIR_ENTRIES;
	uint32_t entries = (uint32_t)daxl_min_u64(DAXL_DIR_ENTRIES, below - first);

	if (!dir->dirty && dir->ref.page && dir->entries == entries)
		return 0;
	int err = daxl_ckpt_ref_get(ckpt, &dir->next);
	if (err)
		return err;
	daxl_pagebuf_init(buf, ckpt->pool->super.uuid, DAXL_PAGE_DIR, 0, depth);
	for (uint32_t i = 0; i < entries; i++) {
		const struct daxl_md_ref ref = ref_now(table, depth - 1, first + i);

		memcpy(buf->body + i * sizeof(ref), &ref, sizeof(ref));
	}
	buf->hdr.count = (uint16_t)entries;
	buf->hdr.used = (uint16_t)(entries * sizeof(struct daxl_md_ref));
	daxl_page_write_ref(ckpt->pool->media, buf, &dir->next, position);
	dir->next_entries = entries;
	dir->written = true;
	return 0;
}

/* Writes the directory's changed pages from the bottom up. */
static int write_dirs(struct daxl_ckpt *ckpt, unsigned depth, uint64_t position, struct daxl_pagebuf *buf)
{
	struct daxl_table *table = &ckpt->table;
	int err = 0;

	for (unsigned d = 1; d <= depth && !err; d++)
		err = daxl_table_level_reserve(table, d, daxl_table_level_count(table->count, d));
	if (err || depth == 0)
		return err;
	for (const struct daxl_tpage *page = table->dirty; page; page = page->dirty_next)
		if (page->index < table->count)
			table->level[0].pages[page->index / DAXL_DIR_ENTRIES].dirty = true;
	for (unsigned d = 1; d <= depth && !err; d++) {
		for (uint64_t i = 0; i < daxl_table_level_count(table->count, d) && !err; i++) {
			err = write_dir_page(ckpt, d, i, position, buf);
			if (d < depth && table->level[d - 1].pages[i].written)
				table->level[d].pages[i / DAXL_DIR_ENTRIES].dirty = true;
		}
	}
	return err;
}

int daxl_table_write(struct daxl_ckpt *ckpt, uint64_t position, struct daxl_md_slot *slot)
{
	struct daxl_table *table = &ckpt->table;
	struct daxl_pagebuf buf;
	int err = pack(table);

	for (struct daxl_tpage *page = table->dirty; page && !err; page = page->dirty_next)
		err = write_table_page(ckpt, page, position, &buf);
	if (err)
		return err;
	unsigned depth = daxl_table_depth(table->count);
	err = write_dirs(ckpt, depth, position, &buf);
	if (err)
		return err;
	slot->table_depth = depth;
	slot->table = table->count ? ref_now(table, depth, 0) : (struct daxl_md_ref){0, 0};
	slot->table_pages = table->count;
	slot->files = table->files;
	return 0;
}

void daxl_table_done(struct daxl_ckpt *ckpt)
{
	struct daxl_table *table = &ckpt->table;
	unsigned depth = daxl_table_depth(table->count);
	struct daxl_tpage *next;

	for (struct daxl_tpage *page = table->dirty; page; page = next) {
		next = page->dirty_next;
		daxl_ckpt_ref_put(ckpt, &page->ref);
		page->ref = page->next;
		page->next = (struct daxl_md_ref){0, 0};
		page->dirty = false;
		page->dirty_next = NULL;
	}
	table->dirty = NULL;
	for (unsigned d = 1; d <= DAXL_TABLE_DEPTH_MAX; d++) {
		struct daxl_dirlevel *level = &table->level[d - 1];
		uint64_t count = d <= depth ? daxl_table_level_count(table->count, d) : 0;

		for (uint64_t i = 0; i < level->cap; i++) {
			struct daxl_dirpage *dir = &level->pages[i];

			if (dir->written || i >= count) {
				daxl_ckpt_ref_put(ckpt, &dir->ref);
				*dir = (struct daxl_dirpage){.ref = dir->next, .entries = dir->next_entries};
			}
		}
	}
}

void daxl_table_undo(struct daxl_ckpt *ckpt)
{
	struct daxl_table *table = &ckpt->table;

	for (struct daxl_tpage *page = table->dirty; page; page = page->dirty_next)
		daxl_ckpt_ref_put(ckpt, &page->next);
	for (unsigned d = 0; d < DAXL_TABLE_DEPTH_MAX; d++) {
		for (uint64_t i = 0; i < table->level[d].cap; i++) {
			struct daxl_dirpage *dir = &table->level[d].pages[i];

			daxl_ckpt_ref_put(ckpt, &dir->next);
			dir->written = false;
			dir->next_entries = 0;
		}
	}
}
