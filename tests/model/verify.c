/* SPDX-License-Identifier: BSD-3-Clause */
/* Comparing the pool with the model, and a file's map with what the headers say of maps. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"

void verify_size(struct daxl_file *file, const struct mfile *f)
{
	struct daxl_stat st;

	must(daxl_stat(file, &st), "stat");
	if (st.size != f->size)
		fail("file of id %" PRIu64 ": size expected %" PRIu64 ", got %" PRIu64, f->id, f->size, st.size);
	if (st.id != f->id)
		fail("id expected %" PRIu64 ", got %" PRIu64, f->id, st.id);
}

void verify_range(struct daxl_file *file, const struct mfile *f, uint64_t from, uint64_t to)
{
	if (to > f->size + model.block)
		to = f->size + model.block;
	if (to > model.room)
		to = model.room;
	if (from >= to)
		return;
	uint64_t want = from >= f->size ? 0 : (to < f->size ? to : f->size) - from;
	ssize_t n = daxl_pread(file, model.io2, to - from, (off_t)from);

	if (n < 0 || (uint64_t)n != want)
		fail("file of id %" PRIu64 ": reading [%" PRIu64 ", %" PRIu64 ") gave %zd, expected %" PRIu64, f->id, from, to, n,
		     want);
	if (want == 0 || memcmp(model.io2, f->data + from, want) == 0)
		return;
	uint64_t i = 0, end = want;

	while (model.io2[i] == f->data[from + i])
		i++;
	while (model.io2[end - 1] == f->data[from + end - 1])
		end--;
	fail("file of id %" PRIu64 " (size %" PRIu64 "): first difference at offset %" PRIu64 " (block %" PRIu64 " + %" PRIu64
	     "): expected 0x%02x, got 0x%02x; the last one at %" PRIu64,
	     f->id, f->size, from + i, (from + i) / model.block, (from + i) % model.block, f->data[from + i], model.io2[i],
	     from + end - 1);
}

/* Two looks may differ: an extent stops being SHARED when the grace period of what it was shared with is over. */
struct daxl_extent *map_of(struct daxl_file *file, size_t *ret_n)
{
	struct daxl_extent *exts = NULL;
	size_t max = 0;

	for (;;) {
		ssize_t n = daxl_map(file, 0, DAXL_TO_END, exts, max);

		must((int)n, "map");
		if ((size_t)n <= max && exts) {
			*ret_n = (size_t)n;
			return exts;
		}
		free(exts);
		max = (size_t)n + 4;
		exts = calloc(max, sizeof(*exts));
		if (!exts)
			fail("no memory");
	}
}

static void verify_extent(const struct mfile *f, const struct daxl_extent *e, const struct daxl_extent *before)
{
	uint64_t end = e->file_off + e->len;
	bool hole = e->flags & DAXL_EXTENT_HOLE, unwritten = e->flags & DAXL_EXTENT_UNWRITTEN;

	if (e->file_off != (before ? before->file_off + before->len : 0) || e->len == 0 ||
	    (e->file_off | e->len | e->pool_off) % model.block)
		fail("map: extent at %" PRIu64 " of %" PRIu64 " bytes does not follow the one before", e->file_off, e->len);
	if (before && before->flags == e->flags && (hole || before->pool_off + before->len == e->pool_off))
		fail("map: extent at %" PRIu64 " is not merged with the one before", e->file_off);
	if (hole && (e->flags != DAXL_EXTENT_HOLE || e->pool_off || e->addr))
		fail("map: hole at %" PRIu64 " has flags %#x and pool offset %" PRIu64, e->file_off, e->flags, e->pool_off);
	if (!hole && e->addr != (unwritten ? NULL : (char *)daxl_pool_base(model.pool) + e->pool_off))
		fail("map: extent at %" PRIu64 " has the wrong address", e->file_off);
	if (end > f->size)
		end = f->size;
	if ((hole || unwritten) && e->file_off < end && !is_zero(f->data + e->file_off, end - e->file_off))
		fail("map: extent at %" PRIu64 " reads as zeroes (flags %#x), but the file has data there", e->file_off, e->flags);
}

/* One answer of seek against the map. */
static void verify_seek(struct daxl_file *file, const struct mfile *f, const struct daxl_extent *exts, size_t n)
{
	int whence = chance(50) ? DAXL_SEEK_DATA : DAXL_SEEK_HOLE;
	uint64_t off = (uint64_t)any_off(f);
	off_t want = -ENXIO;

	if (off < f->size && whence == DAXL_SEEK_HOLE)
		want = (off_t)f->size;
	for (size_t i = 0; off < f->size && i < n; i++) {
		bool data = !(exts[i].flags & (DAXL_EXTENT_HOLE | DAXL_EXTENT_UNWRITTEN));

		if (exts[i].file_off + exts[i].len <= off || data != (whence == DAXL_SEEK_DATA) || exts[i].file_off >= f->size)
			continue;
		want = (off_t)(exts[i].file_off > off ? exts[i].file_off : off);
		break;
	}
	off_t got = daxl_seek(file, (off_t)off, whence);

	if (got != want)
		fail("seek %s from %" PRIu64 ": expected %lld, got %lld", whence == DAXL_SEEK_DATA ? "data" : "hole", off,
		     (long long)want, (long long)got);
}

void verify_map(struct daxl_file *file, const struct mfile *f)
{
	struct daxl_stat st;
	size_t n;
	struct daxl_extent *exts = map_of(file, &n);
	uint64_t blocks = 0, end = 0;

	must(daxl_stat(file, &st), "stat");
	for (size_t i = 0; i < n; i++) {
		verify_extent(f, &exts[i], i ? &exts[i - 1] : NULL);
		if (!(exts[i].flags & DAXL_EXTENT_HOLE))
			blocks += exts[i].len / model.block;
		end = exts[i].file_off + exts[i].len;
	}
	if (end < f->size)
		fail("map ends at %" PRIu64 ", before the size %" PRIu64, end, f->size);
	if (end > block_up(f->size) && (exts[n - 1].flags & DAXL_EXTENT_HOLE))
		fail("map ends with a hole past the size");
	if (st.blocks != blocks)
		fail("stat says %" PRIu64 " blocks, the map has %" PRIu64, st.blocks, blocks);
	verify_seek(file, f, exts, n);
	free(exts);
}

void verify_flags(struct daxl_file *file, uint64_t from, uint64_t to, uint32_t flags, bool all)
{
	size_t n;
	struct daxl_extent *exts = map_of(file, &n);

	for (size_t i = 0; i < n; i++) {
		const struct daxl_extent *e = &exts[i];

		if (e->file_off >= to || e->file_off + e->len <= from)
			continue;
		if (all ? !(e->flags & flags) : (e->flags & flags) != 0)
			fail("map: extent [%" PRIu64 ", %" PRIu64 ") has flags %#x; in [%" PRIu64 ", %" PRIu64 ") %s of %#x expected",
			     e->file_off, e->file_off + e->len, e->flags, from, to, all ? "one" : "none", flags);
	}
	uint64_t end = n ? exts[n - 1].file_off + exts[n - 1].len : 0;

	if (end < to && from < to && !(flags & DAXL_EXTENT_HOLE) == all)
		fail("map ends at %" PRIu64 ", blocks are expected up to %" PRIu64, end, to);
	free(exts);
}

static void verify_attrs(struct daxl_file *file, const struct mfile *f)
{
	unsigned char value[MAX_VALUE];

	for (unsigned i = 0; i < MAX_KEYS; i++) {
		char key[] = { 'k', (char)('0' + i), 0 };
		const struct mattr *a = &f->attrs[i];
		ssize_t n = daxl_getattr(file, key, value, sizeof(value));

		if (n != (a->set ? (ssize_t)a->len : -ENODATA) || (n > 0 && memcmp(value, a->value, (size_t)n) != 0))
			fail("attribute %s of file id %" PRIu64 ": got %zd, expected %zd or other bytes", key, f->id, n,
			     a->set ? (ssize_t)a->len : -ENODATA);
	}
}

/* Which blocks are used by whom: two users only where the map says SHARED. */
static uint32_t *uses;

static void count_uses(struct daxl_file *file, uint64_t nblocks, bool check)
{
	size_t n;
	struct daxl_extent *exts = map_of(file, &n);

	for (size_t i = 0; i < n; i++) {
		uint64_t first = exts[i].pool_off / model.block;

		if (exts[i].flags & DAXL_EXTENT_HOLE)
			continue;
		for (uint64_t b = first; b < first + exts[i].len / model.block; b++) {
			if (b == 0 || b >= nblocks)
				fail("map: block %" PRIu64 " is outside the pool", b);
			if (!check)
				uses[b]++;
			else if (uses[b] > 1 && !(exts[i].flags & DAXL_EXTENT_SHARED))
				fail("block %" PRIu64 " has %u users and is not SHARED at %" PRIu64, b, uses[b],
				     exts[i].file_off + (b - first) * model.block);
		}
	}
	free(exts);
}

static int list_one(const char *name, uint64_t id, void *arg)
{
	bool *seen = arg;

	for (unsigned i = 0; i < model.nnames; i++) {
		if (strcmp(name, model.name[i]) != 0)
			continue;
		if (!model.names[i] || model.names[i]->id != id || seen[i])
			fail("list shows '%.20s' with id %" PRIu64 ", which %s", name, id,
			     seen[i] ? "came before" : model.names[i] ? "has another id" : "is not there");
		seen[i] = true;
		return 0;
	}
	fail("list shows '%.40s', which nobody made", name);
}

void verify_names(void)
{
	bool seen[MAX_NAMES] = { false };

	must(daxl_list(model.pool, list_one, seen), "list");
	for (unsigned i = 0; i < model.nnames; i++)
		if (model.names[i] && !seen[i])
			fail("list does not show '%.40s'", model.name[i]);
}

/* Every file there is, by a handle: of the name, or one that is open. */
static void each_file(void (*fn)(struct daxl_file *file, struct mfile *f, void *arg), void *arg)
{
	for (unsigned i = 0; i < model.nnames; i++) {
		struct daxl_file *file;

		if (!model.names[i])
			continue;
		must(daxl_open(model.pool, model.name[i], O_RDONLY, &file), "open to verify");
		fn(file, model.names[i], arg);
		must(daxl_close(file), "close");
	}
	for (unsigned i = 0; i < MAX_HANDLES; i++)
		if (model.handles[i].file && model.handles[i].f->name < 0 && handle_of(model.handles[i].f) == &model.handles[i])
			fn(model.handles[i].file, model.handles[i].f, arg);
}

static void compare_one(struct daxl_file *file, struct mfile *f, void *arg)
{
	(void)arg;
	if (f->id == 0) { /* its creation is the model's to know, its id the library's */
		struct daxl_stat st;

		must(daxl_stat(file, &st), "stat");
		f->id = st.id;
	}
	verify_size(file, f);
	verify_range(file, f, 0, f->size);
	verify_map(file, f);
	verify_attrs(file, f);
}

struct uses_pass {
	uint64_t nblocks;
	bool check;
};

static void uses_one(struct daxl_file *file, struct mfile *f, void *arg)
{
	const struct uses_pass *pass = arg;

	(void)f;
	count_uses(file, pass->nblocks, pass->check);
}

void verify_all(void)
{
	struct uses_pass pass = { 0 };
	struct daxl_pool_stat st;

	must(daxl_pool_stat(model.pool, &st), "pool stat");
	verify_names();
	each_file(compare_one, NULL);
	pass.nblocks = st.pool_size / model.block;
	uses = calloc(pass.nblocks, sizeof(*uses));
	if (!uses)
		fail("no memory");
	each_file(uses_one, &pass);
	pass.check = true;
	each_file(uses_one, &pass);
	free(uses);
}
