/* SPDX-License-Identifier: BSD-3-Clause */
#include "fault.h"

#include "media/format.h"
#include "media/media.h"

struct world w;

#define PATTERN 0x5a

static struct daxl_file *by_name(const char *name)
{
	struct daxl_file *file;

	ok(daxl_open(w.pool, name, O_RDWR, &file));
	return file;
}

void world_make(void)
{
	struct daxl_lease_opts opts = DAXL_LEASE_OPTS_INIT;

	if (!w.image)
		w.image = api_path();
	w.pool = api_pool(&w.path);
	w.f = api_file(w.pool, "f", 8 * BLK + 7);
	ok(daxl_truncate(w.f, 16 * BLK + 7, NULL));
	ok(daxl_setattr(w.f, "old", "value", 5));
	w.clone = api_file(w.pool, "clone", 0);
	ok(daxl_clone_range(w.f, 0, w.clone, 0, 4 * BLK, NULL));
	w.twin = api_file(w.pool, "twin", 16 * BLK);
	ok(daxl_close(api_file(w.pool, "spare", BLK)));
	ok(daxl_close(api_file(w.pool, "victim", BLK)));
	w.hold = api_file(w.pool, "hold", 16 * BLK);
	w.extra = by_name("hold");
	w.gone = api_file(w.pool, "gone", 4 * BLK);
	ok(daxl_unlink(w.pool, "gone"));
	opts.mode = DAXL_LEASE_WRITE;
	ok(daxl_lease_acquire(w.hold, 16 * BLK, 12 * BLK, &opts, &w.held));
	w.aside = api_file(w.pool, "aside", 4 * BLK);
	w.idle = api_lease(w.aside, 0, 2 * BLK, DAXL_LEASE_READ);
	w.pinned = api_lease(w.aside, 0, 4 * BLK, DAXL_LEASE_READ);
	ok(daxl_lease_pin(w.pinned));
	w.quiet = api_file(w.pool, "quiet", 4 * BLK);
	ok(daxl_break_begin(w.quiet, 0, BLK, DAXL_BREAK_UNMAP, NULL, &w.handle));
	ok(daxl_cancel_new(&w.cancel));
	ok(daxl_pool_checkpoint(w.pool)); /* pages and tables are there: changes replace some */
	ok(daxl_setattr(w.twin, "after", "the checkpoint", 14));
}

void world_end(void)
{
	struct daxl_file *files[] = {w.f, w.clone, w.twin, w.hold, w.extra, w.gone, w.aside, w.quiet};

	if (w.handle)
		daxl_break_end(w.handle);
	if (w.pinned)
		daxl_lease_unpin(w.pinned);
	daxl_lease_free(w.pinned);
	daxl_lease_free(w.idle);
	daxl_lease_free(w.held);
	daxl_cancel_free(w.cancel);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		if (files[i])
			ok(daxl_close(files[i]));
	ok(daxl_pool_close(w.pool));
	is(daxl_check(w.path, 0, NULL, NULL), 0);
	ck_assert_int_eq(unlink(w.path), 0);
	const char *image = w.image;

	w = (struct world){.image = image};
}

/* A line of api_state without what another attempt may have differently: id, times, runs, addresses. */
static void put_lasting(FILE *out, const char *line)
{
	const char *name = strrchr(line, '\''), *size = strstr(name, " size ");
	const char *runs = strstr(line, " runs "), *gen = strstr(line, " gen "), *times = strstr(line, " times "),
		   *hash = strstr(line, " hash "), *end = strchr(hash, ':');

	fprintf(out, "%.*s%.*s%.*s%.*s\n", (int)(name - line), line, (int)(runs - size), size, (int)(times - gen), gen,
	        (int)(end - hash), hash);
}

static int by_range(const void *a, const void *b)
{
	const struct daxl_holder *x = a, *y = b;

	return x->off != y->off ? (x->off < y->off ? -1 : 1) : x->len < y->len ? -1 : x->len > y->len;
}

static void put_holders(FILE *out, struct daxl_file *file, const char *name)
{
	struct daxl_holder holders[8];
	ssize_t n = file ? daxl_busy(file, 0, DAXL_TO_END, holders, 8) : 0;

	ck_assert_int_le(ok(n), 8);
	qsort(holders, (size_t)n, sizeof(holders[0]), by_range);
	for (ssize_t i = 0; i < n; i++)
		fprintf(out, "%s: %" PRIu64 "+%" PRIu64 " mode %u flags %u state %u pins %" PRIu64 "\n", name,
		        holders[i].off, holders[i].len, holders[i].mode, holders[i].flags, holders[i].state,
		        holders[i].pins);
}

char *world_state(bool exact)
{
	struct daxl_pool_stat st;
	char *files = api_state(w.pool), *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	if (exact)
		fputs(files, out);
	for (char *line = exact ? NULL : strtok(files, "\n"); line; line = strtok(NULL, "\n"))
		put_lasting(out, line);
	free(files);
	put_holders(out, w.hold, "hold");
	put_holders(out, w.aside, "aside");
	put_holders(out, w.quiet, "quiet");
	put_holders(out, w.f, "f");
	ok(daxl_pool_stat(w.pool, &st));
	fprintf(out, "size %" PRIu64 " files %" PRIu64 " open %" PRIu64 " leases %" PRIu64 " limbo %" PRIu64 "\n",
	        st.pool_size, st.files, st.open_files, st.leases, st.limbo_blocks);
	fclose(out);
	return text;
}

void world_survives(const char *label)
{
	static const char *copy;
	struct daxl_pool *pool;

	if (!copy)
		copy = api_path();
	api_copy(w.path, copy);
	ok(daxl_pool_open(copy, NULL, &pool));
	char *is = api_state(w.pool), *would_be = api_state(pool);

	if (strcmp(is, would_be) != 0)
		ck_abort_msg("%s: a crash would leave\n%s--- and there is\n%s", label, would_be, is);
	free(is);
	free(would_be);
	ok(daxl_pool_close(pool));
}

void outs_fill(void)
{
	memset(&w.out, PATTERN, sizeof(w.out));
}

bool outs_untouched(void)
{
	const unsigned char *bytes = (const unsigned char *)&w.out;

	for (size_t i = 0; i < sizeof(w.out); i++)
		if (bytes[i] != PATTERN)
			return false;
	return true;
}

/* --- images --- */

static const char *crashed, *damaged;

/* "many" has more runs than go into its record, "whole" a few blocks; the last changes are in the log only. */
static void make_images(void)
{
	struct daxl_pool_opts opts = DAXL_POOL_OPTS_INIT;
	struct daxl_file *many;
	const char *path;

	opts.flags = DAXL_POOL_SPARSE;
	struct daxl_pool *pool = api_pool_with(4 * MIB, &opts, &path);

	many = api_file(pool, "many", 0);
	for (off_t i = 0; i < 100; i++)
		is(daxl_pwrite(many, "x", 1, 2 * i * BLK), 1);
	ok(daxl_pool_checkpoint(pool));
	ok(daxl_close(api_file(pool, "whole", 3 * BLK)));
	ok(daxl_fallocate(many, FALLOC_FL_COLLAPSE_RANGE, 0, 4 * BLK, NULL));
	crashed = api_path();
	api_copy(path, crashed);
	ok(daxl_close(many));
	ok(daxl_pool_close(pool));
	damaged = path;
	ck_assert_int_gt(api_spoil_maps(path), 0);
}

static void take_image(const char **which)
{
	if (!*which)
		make_images();
	api_copy(*which, w.image);
}

void image_crashed(void)
{
	take_image(&crashed);
}

void image_damaged(void)
{
	take_image(&damaged);
}

void image_none(void)
{
	(void)unlink(w.image);
}

void image_is_whole(void)
{
	struct daxl_pool *pool;
	struct daxl_file *file;

	ok(daxl_pool_open(w.image, NULL, &pool));
	ok(daxl_open(pool, "whole", O_RDONLY, &file));
	is(api_size(file), 3 * BLK);
	api_is_pattern(file, 0, 3 * BLK, 0);
	ok(daxl_close(file));
	ok(daxl_open(pool, "many", O_RDONLY, &file));
	is(api_size(file), 194 * BLK + 1);
	ok(daxl_close(file));
	ok(daxl_pool_close(pool));
	is(daxl_check(w.image, 0, NULL, NULL), 0);
}

/* --- rows --- */

const struct fault_row *fault_row(size_t i)
{
	if (i < fault_file_nrows)
		return &fault_file_rows[i];
	i -= fault_file_nrows;
	if (i < fault_range_nrows)
		return &fault_range_rows[i];
	i -= fault_range_nrows;
	if (i < fault_lease_nrows)
		return &fault_lease_rows[i];
	i -= fault_lease_nrows;
	return i < fault_pool_nrows ? &fault_pool_rows[i] : NULL;
}
