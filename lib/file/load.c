/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Loading: the newest checkpoint and the log after it become the files in DRAM.
 *
 * 1. The slot, the table with its directory, every file's record and map. A block may be in several maps; it may not
 * lie in the fixed areas.
 * 2. The log: scanned as a whole, then replayed in order. Now a newly mapped block must be free at that very moment,
 * for so it was when the record was written.
 * 3. The pages. Only now: blocks that were freed after the cut may hold pages of this checkpoint or payload, and were
 * freed by records just replayed. Pages whose nodes replay has replaced are marked all the same, and queued as retired:
 * until a newer checkpoint is durable a crash brings us back to this one.
 * 4. Files without a name go. They were open when the pool stopped, and nobody can reach them any more.
 *
 * Nothing that is read is believed. Each page number may turn up once, so the work is bounded by the pool's pages
 * whatever the refs say, and memory by what those pages hold. Every complaint says which file, page or log position it
 * is about. In a pool opened for writing any complaint ends the loading; the caller frees what there is of the pool,
 * nothing was written. In one opened for reading a file whose map or records are bad is marked damaged, and a table
 * page that cannot be read costs the files in it.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/error.h"
#include "base/hook.h"
#include "file/attrs.h"
#include "file/ckpt.h"
#include "file/names.h"
#include "file/page_set.h"
#include "log/record.h"
#include "log/slots.h"
#include "map/rope_node.h"
#include "map/rope_store.h"
#include "media/superblock.h"

#define FILES_A_PAGE (DAXL_PAGE_BODY / sizeof(struct daxl_md_file)) /* at most */

struct fixed_area {
	daxl_blk_t start, end;
};

struct load {
	struct daxl_pool *pool;
	struct daxl_ckpt *ckpt;
	struct daxl_md_slot slot;
	uint64_t pages; /* of the pool */
	struct daxl_page_set seen;
	struct fixed_area fixed[8];
	unsigned nfixed;
	bool tolerant; /* read-only */
	bool lost;     /* tolerant, and records of files could not be read */
	struct daxl_rope_in in;
	struct daxl_pagebuf buf[DAXL_TABLE_DEPTH_MAX + 1]; /* by depth: the table page or directory page in hand */
};

/* A page number that the checkpoint or the log refers to: it must be one, and for the first time. */
static int page_seen(daxl_page_t page, void *arg)
{
	struct load *load = arg;

	/* A record may have made the pool larger since the checkpoint. */
	uint64_t pages = daxl_max_u64(load->pages, load->pool->super.pool_size >> DAXL_PAGE_SHIFT);

	if (page == 0 || page >= pages)
		return daxl_fail(EUCLEAN, "page %" PRIu64 ": the pool has %" PRIu64, page, pages);
	bool fresh;
	int err = daxl_page_set_add(&load->seen, page, &fresh);
	if (!err && !fresh)
		err = daxl_fail(EUCLEAN, "page %" PRIu64 ": referred to twice", page);
	return err ? err : daxl_ckpt_page_loaded(load->ckpt);
}

/* The same for a page that only this checkpoint and its log need: payload, summary. */
static int page_seen_last(daxl_page_t page, void *arg)
{
	struct load *load = arg;
	int err = page_seen(page, arg);

	if (!err)
		daxl_ckpt_page_retired(load->pool, page, 0);
	return err;
}

static int ref_seen(struct load *load, const struct daxl_md_ref *ref)
{
	int err = page_seen(ref->page, load);

	if (!err && ref->copy)
		err = page_seen(ref->copy, load);
	return err;
}

/* Every page met is in use. */
static int mark_pages(struct load *load)
{
	for (size_t i = 0; i < load->seen.size; i++) {
		if (!load->seen.slots[i])
			continue;
		int err = daxl_page_mark(load->pool->space, load->seen.slots[i]);

		if (err == -EUCLEAN && load->tolerant)
			continue;
		if (err == -EUCLEAN)
			return daxl_fail(EUCLEAN,
			                 "page %" PRIu64
			                 " is part of the checkpoint or log, and its block of a file or fixed area",
			                 load->seen.slots[i]);
		if (err)
			return err;
	}
	return 0;
}

static void add_fixed(uint64_t off, uint64_t len, void *arg)
{
	struct load *load = arg;
	unsigned shift = load->pool->block_shift;

	assert(load->nfixed < DAXL_ARRAY_LEN(load->fixed));
	load->fixed[load->nfixed++] =
		(struct fixed_area){.start = off >> shift, .end = daxl_bytes_to_blocks_up(off + len, shift)};
}

void daxl_pool_release_end(struct daxl_pool *pool, uint64_t old_size)
{
	daxl_blk_t end = (old_size - DAXL_PAGE_SIZE) >> pool->block_shift;

	/* In large blocks the log may reach into it; it lies behind everything else. */
	if ((pool->super.log_off + pool->super.log_size - 1) >> pool->block_shift == end)
		return;
	daxl_space_unref(pool->space, end, 1);
	__atomic_fetch_sub(&pool->fixed_blocks, 1, __ATOMIC_RELAXED);
}

int daxl_pool_extend(struct daxl_pool *pool, uint64_t new_size)
{
	daxl_nblk_t nblocks = daxl_bytes_to_blocks_exact(new_size, pool->block_shift);
	uint64_t old_size = pool->super.pool_size;

	if (new_size <= old_size)
		return 0;
	int err = daxl_space_grow(pool->space, nblocks);
	if (!err)
		err = daxl_space_mark(pool->space, nblocks - 1, 1);
	if (err)
		return err;
	pool->fixed_blocks++;
	daxl_pool_release_end(pool, old_size);
	pool->super.pool_size = new_size;
	pool->super.devices[0].size = new_size;
	return 0;
}

/* A complaint that a read-only open survives. */
static bool tolerable(const struct load *load, int err)
{
	return load->tolerant && (err == -EUCLEAN || err == -EIO);
}

/* Says which file the thread's last complaint is about. */
static int blame_file(int err, uint32_t id, const char *name, size_t len)
{
	char why[256];

	strncpy(why, daxl_error_last(), sizeof(why) - 1);
	why[sizeof(why) - 1] = '\0';
	return daxl_fail(-err, "file %" PRIu32 " ('%.*s'): %s", id, (int)len, name, why);
}

/* A run of a map. */
static int run_mapped(daxl_blk_t blk, daxl_nblk_t len, void *arg)
{
	struct load *load = arg;

	for (unsigned i = 0; i < load->nfixed; i++)
		if (blk < load->fixed[i].end && load->fixed[i].start < blk + len)
			return daxl_fail(EUCLEAN,
			                 "blocks %" PRIu64 "+%" PRIu64 " lie over a superblock, slot or the log", blk,
			                 len);
	return daxl_space_mark_shared(load->pool->space, blk, len);
}

/* A file record cut into its parts. */
struct parts {
	struct daxl_md_file rec;
	const char *name;
	const uint8_t *attrs;
	struct daxl_md_run runs[DAXL_FILE_INLINE_RUNS];
};

/* The field of a record with room bytes that is impossible; NULL: none. */
static const char *take_apart(const struct daxl_pool *pool, const uint8_t *at, size_t room, struct parts *parts)
{
	struct daxl_md_file *rec = &parts->rec;
	size_t need = sizeof(*rec);

	if (room < sizeof(*rec))
		return "length";
	memcpy(rec, at, sizeof(*rec));
	if (rec->inline_runs > DAXL_FILE_INLINE_RUNS || (rec->inline_runs && (rec->root.page || rec->root.copy)))
		return "number of runs";
	parts->name = (const char *)at + need;
	need += rec->name_len;
	parts->attrs = at + need;
	need += rec->attr_len;
	size_t runs_at = need;
	need += rec->inline_runs * sizeof(struct daxl_md_run);
	if (rec->rec_len > room || rec->rec_len != ((need + 7) & ~(size_t)7))
		return "length";
	if (rec->flags & ~DAXL_FILE_NAMELESS || !!(rec->flags & DAXL_FILE_NAMELESS) != (rec->name_len == 0))
		return "flags";
	if (rec->id == 0)
		return "id";
	if (memchr(parts->name, '\0', rec->name_len))
		return "name";
	if (!daxl_attrs_valid(parts->attrs, rec->attr_len))
		return "attributes";
	if (rec->size > pool->max_file_size)
		return "size";
	if (rec->generation >= DAXL_NUMBER_MAX)
		return "generation";
	if (rec->root_depth >= DAXL_ROPE_DEPTH_MAX || (!rec->root.page && (rec->root_depth || rec->root.copy)))
		return "map";
	memcpy(parts->runs, at + runs_at, rec->inline_runs * sizeof(struct daxl_md_run));
	return NULL;
}

static int load_map(struct load *load, const struct parts *parts, struct daxl_version *version)
{
	const struct daxl_md_file *rec = &parts->rec;
	return rec->root.page ? daxl_rope_read(&load->in, &rec->root, rec->root_depth, &version->root)
	                      : daxl_rope_read_inline(&load->in, parts->runs, rec->inline_runs, &version->root);
}

/* Makes the file that the record describes. */
static int load_file(struct load *load, const struct parts *parts, struct daxl_tpage *page)
{
	const struct daxl_md_file *rec = &parts->rec;
	struct daxl_inode *ino;
	int err = daxl_inode_add(load->pool, rec->id, parts->name, rec->name_len, rec->btime_ns, &ino);

	if (err)
		return err;
	daxl_table_adopt(&load->ckpt->table, page, ino, rec->rec_len);
	struct daxl_version *version = ino->version;
	version->size = rec->size;
	version->generation = rec->generation;
	version->mtime_ns = rec->mtime_ns;
	version->ctime_ns = rec->ctime_ns;
	err = daxl_attrs_new(parts->attrs, rec->attr_len, &version->attrs);
	if (!err)
		err = load_map(load, parts, version);
	if (tolerable(load, err)) {
		version->damaged = true;
		err = 0;
	}
	return err ? blame_file(err, rec->id, parts->name, rec->name_len) : 0;
}

/* Makes the files of a table page that has been read. */
static int load_records(struct load *load, daxl_page_t number, struct daxl_tpage *page)
{
	const struct daxl_pagebuf *buf = &load->buf[0];
	size_t at = 0;

	for (unsigned i = 0; i < buf->hdr.count; i++) {
		struct parts parts;
		const char *fault = take_apart(load->pool, buf->body + at, buf->hdr.used - at, &parts);

		if (fault)
			return daxl_fail(EUCLEAN, "table page %" PRIu64 ", file record at byte %zu: wrong %s", number,
			                 at, fault);
		int err = load_file(load, &parts, page);
		if (err)
			return err;
		at += parts.rec.rec_len;
	}
	if (at != buf->hdr.used)
		return daxl_fail(EUCLEAN, "table page %" PRIu64 ": %u bytes used, %zu of them by file records", number,
		                 buf->hdr.used, at);
	return 0;
}

static int load_page(struct load *load, unsigned depth, uint64_t index, const struct daxl_md_ref *ref);

/* Loads what a directory page that has been read refers to. */
static int load_entries(struct load *load, daxl_page_t number, unsigned depth, uint64_t index)
{
	const struct daxl_pagebuf *buf = &load->buf[depth];
	uint64_t first = index * DAXL_DIR_ENTRIES;
	uint64_t want =
		daxl_min_u64(DAXL_DIR_ENTRIES, daxl_table_level_count(load->slot.table_pages, depth - 1) - first);

	if (buf->hdr.count != want || buf->hdr.used != want * sizeof(struct daxl_md_ref))
		return daxl_fail(EUCLEAN, "directory page %" PRIu64 ": %u entries in %u bytes, %" PRIu64 " expected",
		                 number, buf->hdr.count, buf->hdr.used, want);
	for (uint64_t i = 0; i < want; i++) {
		struct daxl_md_ref ref;

		memcpy(&ref, buf->body + i * sizeof(ref), sizeof(ref));
		if (depth == 1 && !ref.page && !ref.copy)
			continue;
		int err = load_page(load, depth - 1, first + i, &ref);
		if (err)
			return err;
	}
	return 0;
}

static int load_page_strict(struct load *load, unsigned depth, uint64_t index, const struct daxl_md_ref *ref)
{
	const struct daxl_page_expect expect = {
		.uuid = load->pool->super.uuid,
		.type = depth ? DAXL_PAGE_DIR : DAXL_PAGE_TABLE,
		.depth = (int)depth,
		.position_end = load->slot.position + 1,
	};
	struct daxl_tpage *page;
	int err = ref_seen(load, ref);

	if (!err)
		err = daxl_page_read(load->pool->media, ref, &expect, &load->buf[depth], NULL);
	if (err)
		return err;
	if (depth) {
		load->ckpt->table.level[depth - 1].pages[index] =
			(struct daxl_dirpage){.ref = *ref, .entries = load->buf[depth].hdr.count};
		return load_entries(load, ref->page, depth, index);
	}
	err = daxl_table_load_page(&load->ckpt->table, index, ref, &page);
	return err ? err : load_records(load, ref->page, page);
}

/* Loads a page of the directory or the table and all below. */
static int load_page(struct load *load, unsigned depth, uint64_t index, const struct daxl_md_ref *ref)
{
	int err = load_page_strict(load, depth, index, ref);

	if (tolerable(load, err)) {
		load->lost = true;
		err = 0;
	}
	return err;
}

const char *daxl_ckpt_slot_fault(const struct daxl_pool *pool, const struct daxl_md_slot *slot)
{
	uint64_t pages = daxl_max_u64(pool->super.pool_size, slot->pool_size) >> DAXL_PAGE_SHIFT;

	if (slot->generation >= DAXL_NUMBER_MAX)
		return "generation";
	if (slot->cut >= DAXL_NUMBER_MAX)
		return "cut";
	if (slot->position >= DAXL_LOG_POSITION_MAX - pool->super.log_size / DAXL_SLOT_SIZE)
		return "log position";
	if (daxl_offset_in_block(slot->pool_size, pool->block_shift) || slot->pool_size > daxl_media_size(pool->media))
		return "pool size";
	if (slot->flags & ~DAXL_SLOT_CLEAN)
		return "flags";
	if (slot->table_pages > pages || (slot->table_pages == 0) != (slot->table.page == 0))
		return "number of table pages";
	if (slot->table_depth != daxl_table_depth(slot->table_pages) || slot->table_depth > DAXL_TABLE_DEPTH_MAX)
		return "depth of the table";
	return NULL;
}

/* Room for the directory that the slot speaks of. */
static int prepare_table(struct load *load)
{
	struct daxl_table *table = &load->ckpt->table;
	int err = daxl_table_resize(table, load->slot.table_pages);

	for (unsigned d = 1; d <= load->slot.table_depth && !err; d++)
		err = daxl_table_level_reserve(table, d, daxl_table_level_count(load->slot.table_pages, d));
	return err;
}

/* Whether what is wrong with the slots may be the medium's fault alone. */
static bool unreadable(const struct daxl_slot_place places[4])
{
	for (unsigned i = 0; i < 4; i++)
		if (places[i].state == DAXL_SLOT_UNREADABLE)
			return true;
	return false;
}

static int DAXL_ALONE load_checkpoint(struct load *load)
{
	struct daxl_pool *pool = load->pool;
	struct daxl_ckpt *ckpt = load->ckpt;
	const struct daxl_md_slot *slot = &load->slot;
	struct daxl_slot_place places[4];
	const char *fault;
	int err = daxl_slot_read(pool->media, &pool->super, &load->slot, &ckpt->which, NULL);

	if (err)
		return err;
	daxl_slot_survey(pool->media, &pool->super, places);
	if (daxl_slot_lost(places)) {
		if (!load->tolerant)
			return daxl_fail(unreadable(places) ? EIO : EUCLEAN,
			                 "checkpoint slot %c: neither copy is valid, and it may have been the newest",
			                 'A' + (1 - ckpt->which));
		load->lost = true;
	}
	load->pages = daxl_max_u64(pool->super.pool_size, slot->pool_size) >> DAXL_PAGE_SHIFT;
	fault = daxl_ckpt_slot_fault(pool, slot);
	if (fault)
		return daxl_fail(EUCLEAN, "checkpoint slot %c: wrong %s", 'A' + ckpt->which, fault);
	ckpt->slot = *slot;
	pool->cut = slot->cut + 1; /* so that no file looks changed */
	err = daxl_pool_extend(pool, slot->pool_size);
	if (err)
		return err;
	daxl_super_fixed(&pool->super, add_fixed, load);
	load->in = (struct daxl_rope_in){
		.media = pool->media,
		.slab = pool->slab,
		.uuid = pool->super.uuid,
		.len_max = pool->max_file_size >> pool->block_shift,
		.position_end = slot->position + 1,
		.page_fn = page_seen,
		.run_fn = run_mapped,
		.arg = load,
	};
	err = prepare_table(load);
	if (!err)
		daxl_names_expect(pool, daxl_min_u64(slot->files, slot->table_pages * FILES_A_PAGE));
	if (!err && slot->table_pages)
		err = load_page(load, slot->table_depth, 0, &slot->table);
	if (err)
		return err;
	if (ckpt->table.files != slot->files && !load->lost) {
		if (!load->tolerant)
			return daxl_fail(EUCLEAN, "checkpoint slot %c: %" PRIu64 " files, the table has %" PRIu64,
			                 'A' + ckpt->which, slot->files, ckpt->table.files);
		load->lost = true;
	}
	pool->next_id = slot->next_id; /* ids may have wrapped: it need not be above all others */
	return 0;
}

static void damage(struct daxl_inode *ino, void *arg)
{
	(void)arg;
	ino->version->damaged = true;
}

static int load_log(struct load *load, struct daxl_load_result *ret)
{
	struct daxl_pool *pool = load->pool;
	struct daxl_replay replay = {
		.pool = pool,
		.page_fn = page_seen_last,
		.page_arg = load,
		.tolerant = load->tolerant,
		.lost = load->lost,
	};
	int err = daxl_log_scan(pool->media, pool->super.log_off, pool->super.log_size, load->slot.position,
	                        load->slot.epoch, daxl_replay_record, &replay, &ret->head);

	load->lost |= replay.lost;
	if (tolerable(load, err)) {
		/* Nothing was replayed: any of the files may have had its blocks changed since. */
		load->lost = true;
		daxl_ids_each(pool, damage, NULL);
		ret->head = load->slot.position;
		err = 0;
	}
	ret->start = load->slot.position;
	ret->epoch = load->slot.epoch;
	ret->records = replay.records;
	ret->clean = (load->slot.flags & DAXL_SLOT_CLEAN) && ret->head == ret->start;
	return err;
}

void daxl_inode_erase(struct daxl_pool *pool, struct daxl_inode *ino)
{
	struct daxl_version *version = ino->version;

	daxl_replay_drop_map(pool, version);
	daxl_table_remove(&pool->ckpt->table, ino);
	(void)daxl_names_give(pool, ino, NULL, 0);
	daxl_ids_remove(pool, ino);
	daxl_inode_destroy(ino);
}

static void erase_nameless(struct daxl_inode *ino, void *arg)
{
	if (!ino->name)
		daxl_inode_erase(arg, ino);
}

static int check_summary(const struct load *load, const struct daxl_load_result *ret, const uint8_t *bits)
{
	int err = 0;
#ifdef DAXL_TEST_HOOKS
	if (bits && ret->clean)
		err = daxl_summary_check(load->pool, &load->slot, bits);
#endif
	(void)bits;
	(void)ret;
	return tolerable(load, err) ? 0 : err;
}

static int load_all(struct load *load, struct daxl_load_result *ret)
{
	uint8_t *bits = NULL;
	int err = load_checkpoint(load);

	if (!err && (load->slot.flags & DAXL_SLOT_CLEAN)) {
		err = daxl_summary_read(load->pool, &load->slot, page_seen_last, load, &bits);
		if (err == -EUCLEAN || err == -EIO)
			err = 0;
	}
	if (!err)
		err = load_log(load, ret);
	if (!err)
		err = mark_pages(load);
	if (!err)
		err = check_summary(load, ret, bits);
	daxl_free(bits);
	if (err)
		return err;
	/* Most files are as the checkpoint has them: they need no looking at. */
	if (load->pool->files != load->pool->ids)
		daxl_ids_each(load->pool, erase_nameless, load->pool);
	if (ret->records != 0)
		daxl_ckpt_loaded(load->pool);
	return 0;
}

int daxl_load(struct daxl_pool *pool, struct daxl_load_result *ret)
{
	struct daxl_load_result result = {0};
	struct load *load = daxl_zalloc(sizeof(*load));

	if (!load)
		return daxl_fail(ENOMEM, "no memory to load a pool");
	load->pool = pool;
	load->ckpt = pool->ckpt;
	load->tolerant = pool->read_only;
	daxl_media_read_begin(pool->media);
	int err = load_all(load, &result);
	daxl_media_read_end(pool->media);
	pool->damaged = load->lost;
	daxl_free(load->seen.slots);
	daxl_free(load);
	if (!err)
		*ret = result;
	return err;
}
