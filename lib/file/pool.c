/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The life of a pool.
 *
 * Making one writes, in this order, zeroes where log, slots and superblocks go, a first empty and clean checkpoint in
 * slot A, and the superblocks, copy 0 last; so until it is whole it is no pool. Then it is opened like any other.
 *
 * Opening: superblock, free space with the fixed areas taken out, checkpoint and log (daxl_load). Up to here nothing
 * is written, and if anything is wrong an open for writing ends here. Then, for writing, the superblocks, if a growth
 * was cut short, and a checkpoint with a new random epoch: it clears the clean mark, takes in what was replayed, and
 * makes every record beyond the replay's end, which was perhaps still on its way when the crash came, void for ever.
 *
 * What is kept back. Checkpoints are written copy-on-write, so they need room when everything else is full, and deleting
 * needs a checkpoint sooner or later. Of the pool's blocks 1/32 is kept back from data, not less than RESERVE_PAGES
 * pages and not more than RESERVE_BYTES_MAX: a checkpoint becomes due when what it would write reaches half of that,
 * so this bounds how much, not how large a pool can be. In the smallest pools it is 64 of some 950 blocks of 4 KiB,
 * or 1 of 12 larger ones. How it is shared out among what grows and what frees: room.c.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/hook.h"
#include "file/background.h"
#include "file/ckpt.h"
#include "file/names.h"
#include "log/slots.h"
#include "media/superblock.h"

#define BLOCK_SIZE_DEFAULT 4096u
#define MODE_DEFAULT 0600u
#define BREAK_MS_DEFAULT 45000u
#define RESERVE_SHARE 32u
#define RESERVE_PAGES UINT64_C(64)
#define RESERVE_BYTES_MAX (UINT64_C(64) << 20)
#define HEAD_BYTES (3u * DAXL_PAGE_SIZE) /* a superblock copy and two slots behind it */

static daxl_nblk_t reserve_for(daxl_nblk_t nblocks, unsigned shift)
{
	uint64_t least = daxl_bytes_to_blocks_up(RESERVE_PAGES * DAXL_PAGE_SIZE, shift);
	uint64_t most = daxl_bytes_to_blocks_down(RESERVE_BYTES_MAX, shift);
	return daxl_max_u64(least, daxl_min_u64(nblocks / RESERVE_SHARE, most));
}

static int new_epoch(uint64_t *ret_epoch)
{
	uint64_t epoch = 0;
	while (epoch == 0)
		if (DAXL_FAULT("random") || getrandom(&epoch, sizeof(epoch), 0) != (ssize_t)sizeof(epoch))
			return daxl_fail(EIO, "pool epoch: no random bytes");
	*ret_epoch = epoch;
	return 0;
}

struct marking {
	struct daxl_space *space;
	unsigned shift;
	daxl_nblk_t blocks;
	int rc;
};

/* Takes the blocks under [off, off + len) that are not taken yet: two areas may lie in one block. */
static void mark_fixed(uint64_t off, uint64_t len, void *arg)
{
	struct marking *marking = arg;
	daxl_blk_t end = daxl_bytes_to_blocks_up(off + len, marking->shift);
	for (daxl_blk_t blk = off >> marking->shift; blk < end && marking->rc == 0; blk++) {
		if (daxl_space_is_used(marking->space, blk))
			continue;
		marking->rc = daxl_space_mark(marking->space, blk, 1);
		marking->blocks++;
	}
}

int daxl_pool_space_make(const struct daxl_md_super *super, struct daxl_space **ret_space, daxl_nblk_t *ret_keep_back,
                         daxl_nblk_t *ret_fixed)
{
	daxl_nblk_t nblocks = daxl_bytes_to_blocks_exact(super->pool_size, super->block_shift);
	daxl_nblk_t keep_back = reserve_for(nblocks, super->block_shift);
	struct daxl_space *space;
	int rc = daxl_space_create(nblocks, super->block_shift, keep_back, &space);
	if (rc < 0)
		return rc;
	struct marking marking = {.space = space, .shift = super->block_shift};
	daxl_super_fixed(super, mark_fixed, &marking);
	if (marking.rc < 0) {
		daxl_space_destroy(space);
		return marking.rc;
	}
	*ret_space = space;
	*ret_keep_back = keep_back;
	*ret_fixed = marking.blocks;
	return 0;
}

/* Slot A of a pool without files, clean. */
static int write_first_slot(struct daxl_media *media, const struct daxl_md_super *super)
{
	struct daxl_space *space;
	struct daxl_space_stat stat;
	daxl_nblk_t keep_back, fixed;
	struct daxl_md_slot slot;

	memset(&slot, 0, sizeof(slot));
	int rc = new_epoch(&slot.epoch);
	if (rc == 0)
		rc = daxl_pool_space_make(super, &space, &keep_back, &fixed);
	if (rc)
		return rc;
	daxl_space_stat(space, &stat);
	daxl_space_destroy(space);
	slot.magic = DAXL_SLOT_MAGIC;
	slot.version = DAXL_FORMAT_VERSION;
	memcpy(slot.uuid, super->uuid, sizeof(slot.uuid));
	slot.generation = 1;
	slot.pool_size = super->pool_size;
	slot.flags = DAXL_SLOT_CLEAN;
	slot.next_id = 1;
	slot.free_blocks = stat.free;
	daxl_slot_write(media, super, &slot, 0);
	return 0;
}

/* Writes an empty pool over the whole of what super describes. log: whether the ring may hold anything but zeroes. */
static int write_pool(struct daxl_media *media, struct daxl_md_super *super, bool log)
{
	char *base = daxl_media_base(media);
	daxl_media_zero(media, base, HEAD_BYTES);
	daxl_media_zero(media, base + super->mid, HEAD_BYTES);
	daxl_media_zero(media, base + daxl_super_end_copy(super), DAXL_PAGE_SIZE);
	if (log)
		daxl_media_zero(media, base + super->log_off, super->log_size);
	daxl_media_fence(media);
	int rc = write_first_slot(media, super);
	if (rc == 0)
		daxl_super_write(media, super);
	return rc;
}

static void free_inode(struct daxl_inode *ino, void *arg)
{
	(void)arg;
	daxl_inode_destroy(ino);
}

/* Frees what there is of the pool, but not its media. Nothing of it is in use any more, retires may be out. */
static void pool_free(struct daxl_pool *pool)
{
	daxl_background_stop(pool->background);
	daxl_reclaim_stop(pool);
	daxl_retire_flush(pool);
	if (pool->ckpt != NULL)
		daxl_ckpt_destroy(pool->ckpt);
	daxl_ids_each(pool, free_inode, NULL);
	daxl_names_destroy(pool);
	while (pool->nspare != 0)
		daxl_range_lock_free(pool->spare[--pool->nspare]);
	if (pool->domain != NULL)
		daxl_domain_destroy(pool->domain);
	if (pool->log != NULL)
		daxl_log_close(pool->log);
	if (pool->space != NULL)
		daxl_space_destroy(pool->space);
	if (pool->slab != NULL)
		daxl_slab_destroy(pool->slab);
	daxl_mutex_destroy(&pool->grow_mutex);
	daxl_mutex_destroy(&pool->names_mutex);
	daxl_mutex_destroy(&pool->retire_mutex);
	daxl_free(pool);
}

/* Superblock, free space, checkpoints: all that loading needs. */
static int pool_prepare(struct daxl_pool *pool)
{
	int rc = daxl_super_read(pool->media, !pool->read_only, &pool->super, &pool->bad_supers);
	if (rc < 0)
		return rc;
	pool->block_shift = pool->super.block_shift;
	pool->max_file_size = (uint64_t)INT64_MAX & ~((UINT64_C(1) << pool->block_shift) - 1);
	rc = daxl_slab_create(&pool->slab);
	if (rc == 0)
		rc = daxl_pool_space_make(&pool->super, &pool->space, &pool->keep_back, &pool->fixed_blocks);
	if (rc == 0)
		rc = daxl_names_room(pool);
	if (rc == 0)
		rc = daxl_ckpt_create(pool, &pool->ckpt);
	return rc;
}

static void note_damage(struct daxl_inode *ino, void *arg)
{
	struct daxl_pool *pool = arg;
	if (ino->version != NULL && ino->version->damaged)
		pool->damaged = true;
}

/* Checkpoint and log into memory, and the log ready for what comes. */
static int DAXL_ALONE pool_load(struct daxl_pool *pool, daxl_loader_fn loader, void *arg)
{
	uint64_t size = pool->super.pool_size;
	struct daxl_load_result loaded;
	int rc = loader(pool, &loaded, arg);
	if (rc < 0)
		return rc;
	if (pool->super.pool_size > daxl_media_size(pool->media))
		return daxl_fail(EUCLEAN, "the pool is truncated: it has %" PRIu64 " bytes, of which %" PRIu64 " are there",
		                 pool->super.pool_size, daxl_media_size(pool->media));
	pool->epoch = loaded.epoch;
	pool->recovered = !loaded.clean;
	pool->grew = pool->super.pool_size != size;
	pool->first_generation = pool->ckpt->slot.generation;
	if (pool->read_only)
		daxl_ids_each(pool, note_damage, pool);
	return daxl_log_open(pool->media, pool->super.log_off, pool->super.log_size, loaded.start, loaded.head,
	                     loaded.epoch, &pool->log);
}

/* The first checkpoint after opening for writing. */
static int pool_claim(struct daxl_pool *pool)
{
	uint64_t epoch;
	int rc = new_epoch(&epoch);
	if (rc == 0)
		rc = daxl_ckpt_run(pool, false, epoch);
	if (rc == 0)
		pool->epoch = epoch;
	return rc;
}

/*
 * A growth that a crash cut short has left superblock copies behind that say something else or are torn. They come
 * first: the block that held the last copy is free already.
 */
static void heal_supers(struct daxl_pool *pool)
{
	if (!pool->grew && (!pool->recovered || pool->bad_supers == 0))
		return;
	pool->super.generation++;
	daxl_super_write(pool->media, &pool->super);
}

/* Loads from a prepared pool's medium with daxl_load. */
static int load_plainly(struct daxl_pool *pool, struct daxl_load_result *ret, void *arg)
{
	(void)arg;
	return daxl_load(pool, ret);
}

static int pool_open(struct daxl_pool *pool, const struct daxl_pool_opts *opts, daxl_loader_fn loader, void *arg)
{
	uint32_t break_ms = opts != NULL && opts->lease_break_ms != 0 ? opts->lease_break_ms : BREAK_MS_DEFAULT;
	int rc = pool_prepare(pool);
	if (rc == 0)
		rc = pool_load(pool, loader, arg);
	if (rc == 0 && !pool->read_only) {
		heal_supers(pool);
		rc = pool_claim(pool);
	}
	if (rc == 0)
		rc = daxl_domain_create(pool, pool->block_shift, pool->epoch, break_ms, &pool->domain);
	if (rc == 0)
		pool->tally = daxl_domain_tally(pool->domain);
	if (rc == 0 && !pool->read_only)
		rc = daxl_reclaim_start(pool);
	if (rc == 0 && !pool->read_only && opts != NULL && opts->checkpoint_interval_ms != 0)
		rc = daxl_background_start(pool, opts->checkpoint_interval_ms, &pool->background);
	return rc;
}

int daxl_pool_load_with(struct daxl_media *media, const struct daxl_pool_opts *opts, daxl_loader_fn loader, void *arg,
                        struct daxl_pool **ret_pool)
{
	struct daxl_pool *pool = daxl_zalloc(sizeof(*pool));
	if (pool == NULL)
		return daxl_fail(ENOMEM, "no memory for a pool");
	pool->media = media;
	pool->read_only = daxl_media_is_read_only(media);
	pool->forced = getenv("PMEM2_FORCE_GRANULARITY") != NULL;
	pool->next_id = 1;
	daxl_mutex_init(&pool->grow_mutex, DAXL_RANK_POOL);
	daxl_mutex_init(&pool->names_mutex, DAXL_RANK_NAMES);
	daxl_mutex_init(&pool->retire_mutex, DAXL_RANK_SPACE);
	int rc = pool_open(pool, opts, loader, arg);
	if (rc < 0) {
		pool_free(pool);
		return rc;
	}
	*ret_pool = pool;
	return 0;
}

int daxl_pool_load_media(struct daxl_media *media, const struct daxl_pool_opts *opts, struct daxl_pool **ret_pool)
{
	return daxl_pool_load_with(media, opts, load_plainly, NULL, ret_pool);
}

int daxl_pool_load(const char *path, const struct daxl_pool_opts *opts, struct daxl_pool **ret_pool)
{
	unsigned flags = opts != NULL && (opts->flags & DAXL_POOL_READ_ONLY) ? DAXL_MEDIA_READ_ONLY : 0;
	struct daxl_media *media;
	int rc = daxl_media_open(path, flags, 0, 0, &media);
	if (rc < 0)
		return rc;
	rc = daxl_pool_load_media(media, opts, ret_pool);
	if (rc < 0)
		daxl_media_close(media);
	return rc;
}

static uint32_t block_size_of(const struct daxl_pool_opts *opts)
{
	return opts != NULL && opts->block_size != 0 ? opts->block_size : BLOCK_SIZE_DEFAULT;
}

int daxl_pool_make_media(struct daxl_media *media, uint64_t size, const struct daxl_pool_opts *opts,
                         struct daxl_pool **ret_pool)
{
	struct daxl_md_super super;
	bool device = daxl_media_is_device(media);
	if (device && daxl_super_read(media, false, &super, NULL) != -EINVAL)
		return daxl_fail(EEXIST, "the device holds a pool already");
	if (size == 0)
		size = daxl_media_size(media);
	int rc = daxl_super_plan(size, block_size_of(opts), opts != NULL ? opts->log_size : 0, &super);
	if (rc < 0)
		return rc;
	if (super.pool_size > daxl_media_size(media))
		return daxl_fail(ENOSPC, "the medium has %" PRIu64 " bytes, %" PRIu64 " are needed", daxl_media_size(media),
		                 super.pool_size);
	/* A sparse file reads as zeroes; it shall stay sparse. */
	rc = write_pool(media, &super, device || opts == NULL || !(opts->flags & DAXL_POOL_SPARSE));
	if (rc == 0)
		rc = daxl_pool_load_media(media, opts, ret_pool);
	return rc;
}

int daxl_pool_make(const char *path, uint64_t size, const struct daxl_pool_opts *opts, struct daxl_pool **ret_pool)
{
	unsigned mode = opts != NULL && opts->mode != 0 ? opts->mode : MODE_DEFAULT;
	unsigned flags = DAXL_MEDIA_CREATE;
	uint64_t create_size = 0;
	struct daxl_media *media;
	struct stat st;

	if (opts != NULL && (opts->flags & DAXL_POOL_SPARSE))
		flags |= DAXL_MEDIA_SPARSE;
	if (size != 0) {
		struct daxl_md_super plan;
		int rc = daxl_super_plan(size, block_size_of(opts), opts != NULL ? opts->log_size : 0, &plan);
		if (rc < 0)
			return rc;
		create_size = plan.pool_size;
	} else if (stat(path, &st) != 0 || !S_ISCHR(st.st_mode)) {
		return daxl_fail(EINVAL, "pool size 0 is for devices, which '%s' is not", path);
	}
	bool existed = stat(path, &st) == 0;
	int rc = daxl_media_open(path, flags, create_size, mode, &media);
	if (rc < 0)
		return rc;
	bool device = daxl_media_is_device(media);
	rc = daxl_pool_make_media(media, create_size, opts, ret_pool);
	if (rc < 0) {
		/* While it is still locked: a file of ours goes, one that was there gets empty again. */
		if (!device && !existed)
			(void)unlink(path);
		daxl_media_close(media);
		if (!device && existed)
			(void)!truncate(path, 0);
	}
	return rc;
}

void daxl_pool_abandon(struct daxl_pool *pool)
{
	struct daxl_media *media = pool->media;
	pool_free(pool);
	daxl_media_close(media);
}

/* What keeps a pool from being closed, as the end of a sentence. */
struct outstanding {
	char text[400];
	size_t len;
	uint64_t left_out;
	bool any;
};

static void say(struct outstanding *out, const char *item)
{
	size_t len = strlen(item);
	out->any = true;
	if (out->left_out != 0 || out->len + len + 2 >= sizeof(out->text) - 32) {
		out->left_out++;
		return;
	}
	if (out->len != 0) {
		memcpy(out->text + out->len, ", ", 2);
		out->len += 2;
	}
	memcpy(out->text + out->len, item, len + 1);
	out->len += len;
}

static const char *say_which(const struct daxl_inode *ino, char *buf, size_t size)
{
	daxl_rcu_read_lock();
	const struct daxl_name *name = daxl_version_get(ino)->name;
	if (name != NULL)
		snprintf(buf, size, "file '%s'", name->bytes);
	else
		snprintf(buf, size, "unlinked file #%" PRIu32, ino->id);
	daxl_rcu_read_unlock();
	return buf;
}

static void say_file(struct daxl_inode *ino, void *arg)
{
	char label[DAXL_NAME_MAX + 32], item[DAXL_NAME_MAX + 64];
	uint32_t refs = __atomic_load_n(&ino->refs, __ATOMIC_ACQUIRE);
	bool forgotten = ino->version->deleted && !daxl_ckpt_knows(ino); /* the tables have no reference any more */
	if (ino->handles == 0 && refs + forgotten <= 1)
		return;
	say_which(ino, label, sizeof(label));
	if (ino->handles != 0)
		snprintf(item, sizeof(item), "%s (open %" PRIu32 " times)", label, ino->handles);
	else
		snprintf(item, sizeof(item), "%s (a lease or break is out)", label);
	say(arg, item);
}

static void say_lease(const struct daxl_holder *holder, const void *file, void *arg)
{
	char label[DAXL_NAME_MAX + 32], item[DAXL_NAME_MAX + 128];
	snprintf(item, sizeof(item), "lease %" PRIu64 " of owner %" PRIu64 " on %s (%" PRIu64 " pins)", holder->lease_id,
	         holder->owner, say_which(file, label, sizeof(label)), holder->pins);
	say(arg, item);
}

int daxl_pool_end(struct daxl_pool *pool)
{
	struct outstanding out = {.len = 0};
	if (daxl_rcu_read_ongoing())
		return daxl_fail(EDEADLK, "the pool cannot be closed inside an RCU read section");
	daxl_domain_each(pool->domain, say_lease, &out);
	daxl_mutex_lock(&pool->names_mutex);
	daxl_ids_each(pool, say_file, &out);
	daxl_mutex_unlock(&pool->names_mutex);
	if (out.any && out.left_out != 0)
		return daxl_fail(EBUSY, "the pool is in use: %s and %" PRIu64 " more", out.text, out.left_out);
	if (out.any)
		return daxl_fail(EBUSY, "the pool is in use: %s", out.text);
	daxl_background_stop(pool->background);
	pool->background = NULL;
	if (!pool->read_only) {
		/* The summary says what is free: what has been freed has to be. A failure is no loss, the log has
		 * it all. */
		(void)daxl_wait_for_frees(pool);
		(void)daxl_ckpt_run(pool, true, 0);
	}
	daxl_pool_abandon(pool);
	return 0;
}
