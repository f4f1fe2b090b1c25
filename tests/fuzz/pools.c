/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The pools that recipes begin with: closed cleanly and not, with every type of record in the log, with a directory
 * and inner nodes, with large blocks, empty, and grown since the checkpoint.
 *
 * Each is kept as a file in memory and mapped privately: what a run has stored to goes away with the pages it touched.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <daxlayout.h>

#include "base/crc32c.h"
#include "file/file.h"
#include "fuzz.h"
#include "log/page.h"
#include "log/record.h"

#define MAX_HELD 4u

/* A pool in the making. */
struct making {
	struct daxl_pool *pool;
	uint64_t block;
	struct daxl_file *held[MAX_HELD]; /* open when it stops */
	unsigned nheld;
};

#define must(call) must_be((long)(call), #call)
static void must_be(long rc, const char *what)
{
	if (rc < 0)
		fuzz_fail("making the pools: %s gave %ld", what, rc);
}

static struct daxl_file *file_of(struct making *m, const char *name)
{
	struct daxl_file *file;

	must(daxl_open(m->pool, name, O_RDWR | O_CREAT, &file));
	return file;
}

/* Writes nblocks blocks less a few bytes at block at. */
static void put(struct making *m, const char *name, uint64_t at, uint64_t nblocks)
{
	struct daxl_file *file = file_of(m, name);
	size_t len = nblocks * m->block - 100;
	char *bytes = malloc(len);

	if (!bytes)
		fuzz_fail("no memory");
	memset(bytes, name[0], len);
	must(daxl_pwrite(file, bytes, len, (off_t)(at * m->block)));
	must(daxl_close(file));
	free(bytes);
}

/* Some files that differ in shape. */
static void some_files(struct making *m)
{
	struct daxl_file *file, *other;
	off_t block = (off_t)m->block;

	put(m, "a", 0, 3);
	put(m, "b", 2, 1);
	put(m, "b", 6, 2);
	put(m, "shared", 0, 4);
	put(m, "e1", 0, 4);
	put(m, "e2", 0, 3);
	put(m, "gone", 0, 1);
	file = file_of(m, "shared");
	other = file_of(m, "clone");
	must(daxl_clone_range(file, block, other, 0, 2 * block, NULL));
	must(daxl_setattr(other, "key", "value", 5));
	must(daxl_fallocate(other, 0, 4 * block, 2 * block, NULL));
	must(daxl_close(file));
	must(daxl_close(other));
	must(daxl_close(file_of(m, "empty")));
}

/* A file of n runs, a block each. */
static void many_runs(struct making *m, const char *name, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		put(m, name, 2 * i, 1);
}

static void held_and_unlinked(struct making *m, const char *name)
{
	put(m, name, 0, 2);
	m->held[m->nheld++] = file_of(m, name);
	must(daxl_unlink(m->pool, name));
}

/* One record of each type at least, one of them with payload pages. */
static void all_records(struct making *m, unsigned nruns)
{
	off_t block = (off_t)m->block;
	struct daxl_file *a = file_of(m, "a"), *b = file_of(m, "b");

	put(m, "new", 1, 2);
	must(daxl_fallocate(a, FALLOC_FL_INSERT_RANGE, block, 2 * block, NULL));
	must(daxl_fallocate(a, FALLOC_FL_COLLAPSE_RANGE, 0, block, NULL));
	must(daxl_fallocate(b, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 2 * block, block, NULL));
	must(daxl_fallocate(b, 0, 10 * block, 3 * block, NULL));
	put(m, "b", 11, 1);
	must(daxl_truncate(b, 12 * block + 17, NULL));
	must(daxl_clone_range(a, 0, b, block, block, NULL));
	must(daxl_setattr(a, "k", "v", 1));
	must(daxl_setattr(a, "k", NULL, 0));
	must(daxl_close(a));
	must(daxl_close(b));
	a = file_of(m, "e1");
	b = file_of(m, "e2");
	must(daxl_exchange_range(a, block, b, 0, block, NULL));
	must(daxl_exchange_range(a, 0, b, 0, DAXL_TO_END, NULL));
	must(daxl_close(a));
	must(daxl_close(b));
	many_runs(m, "runs", nruns);
	put(m, "runs", 0, 2ul * nruns);
	must(daxl_rename(m->pool, "new", "newer", 0));
	must(daxl_rename(m->pool, "newer", "empty", 0));
	must(daxl_rename(m->pool, "e1", "e2", DAXL_RENAME_EXCHANGE));
	must(daxl_unlink(m->pool, "gone"));
	put(m, "reuses", 0, 2);
	held_and_unlinked(m, "held");
}

static void make_clean(struct making *m)
{
	some_files(m);
	must(daxl_unlink(m->pool, "gone"));
	must(daxl_pool_checkpoint(m->pool));
	put(m, "later", 0, 2);
}

static void make_log(struct making *m)
{
	some_files(m);
	held_and_unlinked(m, "early");
	must(daxl_pool_checkpoint(m->pool));
	all_records(m, 25);
}

static void make_large_blocks(struct making *m)
{
	some_files(m);
	must(daxl_pool_checkpoint(m->pool));
	put(m, "a", 2, 3);
	put(m, "later", 1, 1);
	must(daxl_unlink(m->pool, "gone"));
}

/* Enough for a directory page and for inner nodes. */
static void make_many(struct making *m)
{
	char name[DAXL_NAME_MAX + 1];

	some_files(m);
	for (unsigned i = 0; i < 60; i++) {
		(void)snprintf(name, sizeof(name), "file %u %0*u", i, i % 10 == 9 ? 200 : 40, i);
		put(m, name, i % 3, 1);
	}
	many_runs(m, "long", 270);
	must(daxl_pool_checkpoint(m->pool));
	struct daxl_file *file = file_of(m, "long"), *other = file_of(m, "long clone");
	must(daxl_clone_range(file, 0, other, 0, 400 * (off_t)m->block, NULL));
	must(daxl_close(file));
	must(daxl_close(other));
}

static void make_empty(struct making *m)
{
	(void)m;
}

static void make_grown(struct making *m)
{
	some_files(m);
	must(daxl_pool_checkpoint(m->pool));
	put(m, "before", 0, 2);
	must(daxl_pool_grow(m->pool, (4u << 20) + (512u << 10)));
	put(m, "after", 0, 2);
	all_records(m, 8);
}

static const struct fuzz_plan {
	uint64_t size, medium; /* bytes */
	uint32_t block;
	bool clean;
	void (*fill)(struct making *m);
} plans[FUZZ_POOLS] = {
	{4u << 20, 4u << 20, 4096, true, make_clean},          {4u << 20, 4u << 20, 4096, false, make_log},
	{4u << 20, 4u << 20, 65536, false, make_large_blocks}, {4u << 20, 4u << 20, 4096, true, make_many},
	{4u << 20, 4u << 20, 4096, true, make_empty},          {4u << 20, 5u << 20, 4096, false, make_grown},
};

static struct fuzz_pool pools[FUZZ_POOLS];
static int fds[FUZZ_POOLS];

/* The bytes of the pool as planned, closed or as a crash would leave them. */
static void make_bytes(const struct fuzz_plan *plan, char *bytes)
{
	struct daxl_pool_opts opts = DAXL_POOL_OPTS_INIT;
	struct making m = {.block = plan->block};
	struct daxl_media *media;
	char *crashed = malloc(plan->medium);

	if (!crashed)
		fuzz_fail("no memory");
	opts.block_size = plan->block;
	fuzz_random_seed(1);
	must(daxl_media_open_memory(bytes, plan->medium, false, &media));
	must(daxl_pool_make_media(media, plan->size, &opts, &m.pool));
	plan->fill(&m);
	memcpy(crashed, bytes, plan->medium);
	while (m.nheld)
		must(daxl_close(m.held[--m.nheld]));
	must(daxl_pool_close(m.pool));
	if (!plan->clean)
		memcpy(bytes, crashed, plan->medium);
	free(crashed);
}

static void add_object(struct fuzz_pool *pool, enum fuzz_kind kind, uint64_t page)
{
	size_t n = pool->nobjects[kind];
	struct fuzz_object *objects = realloc(pool->objects[kind], (n + 1) * sizeof(*objects));

	if (!objects)
		fuzz_fail("no memory");
	pool->objects[kind] = objects;
	objects[n] = (struct fuzz_object){.page = (uint32_t)page, .twin = (uint32_t)page};
	pool->nobjects[kind] = n + 1;
}

static enum fuzz_kind kind_of(const struct daxl_md_page *hdr)
{
	switch (hdr->type) {
	case DAXL_PAGE_DIR:
		return FUZZ_DIR;
	case DAXL_PAGE_TABLE:
		return FUZZ_TABLE;
	case DAXL_PAGE_ROPE:
		return hdr->depth ? FUZZ_INNER : FUZZ_LEAF;
	case DAXL_PAGE_PAYLOAD:
		return FUZZ_PAYLOAD;
	case DAXL_PAGE_SUMMARY:
		return FUZZ_SUMMARY;
	default:
		return FUZZ_KINDS;
	}
}

/* Pairs each page with another that has the same contents. */
static void pair(struct fuzz_pool *pool, enum fuzz_kind kind)
{
	for (size_t i = 0; i < pool->nobjects[kind]; i++) {
		struct fuzz_object *one = &pool->objects[kind][i];
		const struct daxl_pagebuf *a = (const void *)(pool->base + ((uint64_t)one->page << DAXL_PAGE_SHIFT));

		for (size_t k = i + 1; k < pool->nobjects[kind] && one->twin == one->page; k++) {
			struct fuzz_object *two = &pool->objects[kind][k];
			const struct daxl_pagebuf *b =
				(const void *)(pool->base + ((uint64_t)two->page << DAXL_PAGE_SHIFT));

			if (a->hdr.used == b->hdr.used && a->hdr.position == b->hdr.position &&
			    a->hdr.owner == b->hdr.owner && memcmp(a->body, b->body, a->hdr.used) == 0) {
				one->twin = two->page;
				two->twin = one->page;
			}
		}
	}
}

static void find_pages(struct fuzz_pool *pool)
{
	uint64_t pages = pool->size >> DAXL_PAGE_SHIFT, per_block = 1u << (pool->shift - DAXL_PAGE_SHIFT);

	for (uint64_t page = 1; page < pages; page++) {
		const struct daxl_md_page *hdr = (const void *)(pool->base + (page << DAXL_PAGE_SHIFT));

		if (hdr->magic == DAXL_PAGE_MAGIC && hdr->self == page && hdr->used <= DAXL_PAGE_BODY &&
		    kind_of(hdr) < FUZZ_KINDS)
			add_object(pool, kind_of(hdr), page);
	}
	for (enum fuzz_kind kind = FUZZ_DIR; kind < FUZZ_PAGE_KINDS; kind++)
		pair(pool, kind);
	/* Blocks that were never touched: the end of the pool, before the last superblock. */
	pool->spare = calloc(pages, sizeof(*pool->spare));
	if (!pool->spare)
		fuzz_fail("no memory");
	for (uint64_t blk = (pool->super.pool_size >> pool->shift) - 2; blk && pool->nspare < 64; blk--) {
		const char *at = pool->base + (blk << pool->shift);

		if (at[0] == 0 && memcmp(at, at + 1, per_block * DAXL_PAGE_SIZE - 1) == 0 &&
		    (blk << pool->shift) >= pool->super.log_off + pool->super.log_size)
			pool->spare[pool->nspare++] = (uint32_t)blk;
	}
	if (pool->nspare == 0)
		fuzz_fail("making the pools: no block is free");
}

static void find_records(struct fuzz_pool *pool)
{
	uint64_t at = pool->slot.position;

	for (;;) {
		const struct daxl_md_rec *rec = fuzz_record_at(pool, at);

		if (rec->position != at || rec->slots < 1 || rec->slots > DAXL_REC_SLOTS_MAX)
			break;
		pool->records = realloc(pool->records, (pool->nrecords + 1) * sizeof(*pool->records));
		if (!pool->records)
			fuzz_fail("no memory");
		pool->records[pool->nrecords++] = at;
		at += rec->slots;
	}
	pool->head = at;
}

static void describe(struct fuzz_pool *pool)
{
	struct daxl_media *media;
	int which;

	memcpy(&pool->super, pool->base, sizeof(pool->super));
	pool->shift = pool->super.block_shift;
	must(daxl_media_open_memory(pool->base, pool->size, true, &media));
	must(daxl_slot_read(media, &pool->super, &pool->slot, &which, NULL));
	daxl_media_close(media);
	add_object(pool, FUZZ_SUPER, 0);
	add_object(pool, FUZZ_SUPER, pool->super.mid >> DAXL_PAGE_SHIFT);
	add_object(pool, FUZZ_SUPER, (pool->super.pool_size >> DAXL_PAGE_SHIFT) - 1);
	for (unsigned place = 0; place < 4; place++)
		add_object(pool, FUZZ_SLOT, (place < 2 ? 0 : pool->super.mid >> DAXL_PAGE_SHIFT) + 1 + place % 2);
	for (unsigned place = 0; place < 4; place++)
		pool->objects[FUZZ_SLOT][place].twin = pool->objects[FUZZ_SLOT][place ^ 2].page;
	find_pages(pool);
	find_records(pool);
}

static void make(unsigned which)
{
	const struct fuzz_plan *plan = &plans[which];
	struct fuzz_pool *pool = &pools[which];
	char *mem;

	pool->size = plan->medium;
	fds[which] = memfd_create("pool", MFD_CLOEXEC);
	if (fds[which] < 0 || ftruncate(fds[which], (off_t)pool->size) != 0)
		fuzz_fail("no file in memory");
	mem = mmap(NULL, pool->size, PROT_READ | PROT_WRITE, MAP_SHARED, fds[which], 0);
	if (mem == MAP_FAILED)
		fuzz_fail("no memory");
	make_bytes(plan, mem);
	munmap(mem, pool->size);
	mem = mmap(NULL, pool->size + 2 * DAXL_PAGE_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mem == MAP_FAILED)
		fuzz_fail("no memory");
	pool->base =
		mmap(mem + DAXL_PAGE_SIZE, pool->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, fds[which], 0);
	if (pool->base == MAP_FAILED)
		fuzz_fail("no memory");
	describe(pool);
}

struct daxl_md_rec *fuzz_record_at(const struct fuzz_pool *pool, uint64_t position)
{
	uint64_t slot = position % (pool->super.log_size / DAXL_SLOT_SIZE);

	return (struct daxl_md_rec *)(void *)(pool->base + pool->super.log_off + slot * DAXL_SLOT_SIZE);
}

void fuzz_pool_reset(struct fuzz_pool *pool)
{
	if (mprotect(pool->base, pool->size, PROT_READ | PROT_WRITE) != 0 ||
	    madvise(pool->base, pool->size, MADV_DONTNEED) != 0)
		fuzz_fail("cannot reset the pool");
}

struct fuzz_pool *fuzz_pool_get(unsigned which)
{
	struct fuzz_pool *pool = &pools[which % FUZZ_POOLS];

	if (!pool->base)
		make(which % FUZZ_POOLS);
	fuzz_pool_reset(pool);
	return pool;
}
