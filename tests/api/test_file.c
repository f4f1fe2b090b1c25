/* SPDX-License-Identifier: BSD-3-Clause */
/* Files as a user sees them: opening, names, writing and reading, holes, maps, layout changes, statistics. */
#include "api.h"

#include <fcntl.h>
#include <sys/uio.h>
#include <time.h>

static struct daxl_pool *pool;
static const char *path;

static struct daxl_file *file_open(const char *name, int oflags)
{
	struct daxl_file *file = NULL;

	ok(daxl_open(pool, name, oflags, &file));
	return file;
}

static void make(const char *name, uint64_t size)
{
	ok(daxl_close(api_file(pool, name, size)));
}

/* --- names --- */

START_TEST(open_creates_truncates_and_excludes)
{
	pool = api_pool(&path);
	struct daxl_file *a = file_open("a", O_RDWR | O_CREAT | O_EXCL), *b = file_open("a", O_RDONLY | O_CREAT);

	is(daxl_pwrite(a, "hello", 5, 0), 5);
	is(api_size(b), 5);
	struct daxl_file *c = file_open("a", O_RDWR | O_TRUNC);

	is(api_size(b), 0);
	struct daxl_file *d = file_open("b", O_RDONLY | O_CREAT); /* made through a read-only handle */

	is(api_size(d), 0);
	fails(daxl_pwrite(d, "x", 1, 0), EBADF);
	struct daxl_file *e = file_open("c/d\n", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC); /* '/' is a byte */

	ok(daxl_close(a));
	ok(daxl_close(b));
	ok(daxl_close(c));
	ok(daxl_close(d));
	ok(daxl_close(e));
	ok(daxl_pool_close(pool));
}
END_TEST

START_TEST(unlinked_files_live_until_the_last_close)
{
	struct daxl_pool_stat st, before;

	pool = api_pool(&path);
	ok(daxl_pool_stat(pool, &before));
	struct daxl_file *a = api_file(pool, "a", 5 * BLK), *b = file_open("a", O_RDONLY);

	ok(daxl_unlink(pool, "a"));
	fails(daxl_unlink(pool, "a"), ENOENT);
	ok(daxl_pool_stat(pool, &st));
	is(st.files, 0);
	is(st.open_files, 2);
	is(daxl_pwrite(a, "still", 5, 8 * BLK), 5);
	ok(daxl_close(a));
	api_is_pattern(b, 0, 5 * BLK, 0);
	a = api_file(pool, "a", 10); /* the name is free for another */
	is(api_size(b), 8 * BLK + 5);
	is(api_size(a), 10);
	ok(daxl_close(a));
	ok(daxl_close(b));
	ok(daxl_unlink(pool, "a"));
	pool = api_reopen(pool, path, 0);
	ok(daxl_pool_stat(pool, &st));
	is(st.free_blocks, before.free_blocks);
	is(st.files, 0);
	ok(daxl_pool_close(pool));
}
END_TEST

static uint64_t id_of(const char *name)
{
	struct daxl_file *file = file_open(name, O_RDONLY);
	struct daxl_stat st;

	ok(daxl_stat(file, &st));
	ok(daxl_close(file));
	return st.id;
}

START_TEST(rename_moves_replaces_and_exchanges)
{
	pool = api_pool(&path);
	make("a", 1);
	make("b", 2);
	make("c", 3);
	uint64_t a = id_of("a"), b = id_of("b"), c = id_of("c");
	struct daxl_file *open_b = file_open("b", O_RDONLY), *gone = UNTOUCHED;

	ck_assert(a != b && b != c && a != c);
	ok(daxl_rename(pool, "a", "d", DAXL_RENAME_NOREPLACE));
	is(id_of("d"), a);
	fails(daxl_open(pool, "a", O_RDONLY, &gone), ENOENT);
	ok(daxl_rename(pool, "d", "b", 0)); /* b loses its name, and lives on while it is open */
	is(id_of("b"), a);
	is(api_size(open_b), 2);
	ok(daxl_close(open_b));
	ok(daxl_rename(pool, "b", "c", DAXL_RENAME_EXCHANGE));
	is(id_of("b"), c);
	is(id_of("c"), a);
	unchanged(pool, ok(daxl_rename(pool, "b", "b", 0)));
	unchanged(pool, ok(daxl_rename(pool, "b", "b", DAXL_RENAME_EXCHANGE)));
	fails(daxl_rename(pool, "b", "b", DAXL_RENAME_NOREPLACE), EEXIST);
	pool = api_reopen(pool, path, 0);
	is(id_of("b"), c);
	is(id_of("c"), a);
	ok(daxl_pool_close(pool));
}
END_TEST

struct listing {
	unsigned n, stop_after;
	bool seen[40];
};

static int list_one(const char *name, uint64_t id, void *arg)
{
	struct listing *l = arg;
	unsigned i = (unsigned)atoi(name + 1);

	ck_assert_uint_lt(i, 40);
	ck_assert(!l->seen[i]);
	l->seen[i] = true;
	is(id_of(name), id); /* fn may call the library */
	return ++l->n == l->stop_after ? 4711 : 0;
}

static int unlink_one(const char *name, uint64_t id, void *arg)
{
	(void)id, (void)arg;
	return daxl_unlink(pool, name);
}

START_TEST(list_calls_for_each_name)
{
	char name[16];

	pool = api_pool(&path);
	struct listing l = {0};

	is(daxl_list(pool, list_one, &l), 0);
	is(l.n, 0);
	for (int i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		make(name, 0);
	}
	is(daxl_list(pool, list_one, &l), 0);
	is(l.n, 40);
	l = (struct listing){.stop_after = 7};
	is(daxl_list(pool, list_one, &l), 4711);
	is(l.n, 7);
	is(daxl_list(pool, unlink_one, NULL), 0);
	struct daxl_pool_stat st;

	ok(daxl_pool_stat(pool, &st));
	is(st.files, 0);
	ok(daxl_pool_close(pool));
}
END_TEST

START_TEST(attributes_belong_to_the_file)
{
	char buf[16];

	pool = api_pool(&path);
	struct daxl_file *file = api_file(pool, "a", 10);
	uint64_t generation = api_generation(file);

	ok(daxl_setattr(file, "one", "1", 1));
	ok(daxl_setattr(file, "two", "22", 2));
	ok(daxl_setattr(file, "none", "", 0));
	ok(daxl_setattr(file, "one", "111", 3));
	is(api_generation(file), generation); /* of map and size */
	is(daxl_getattr(file, "one", buf, sizeof(buf)), 3);
	ck_assert_int_eq(memcmp(buf, "111", 3), 0);
	is(daxl_getattr(file, "one", NULL, 0), 3);
	is(daxl_getattr(file, "none", buf, sizeof(buf)), 0);
	ok(daxl_setattr(file, "two", NULL, 0));
	ok(daxl_rename(pool, "a", "b", 0));
	ok(daxl_close(file));
	pool = api_reopen(pool, path, 0);
	file = file_open("b", O_RDONLY);
	is(daxl_getattr(file, "one", buf, 3), 3);
	is(daxl_getattr(file, "none", buf, sizeof(buf)), 0);
	fails(daxl_getattr(file, "two", buf, sizeof(buf)), ENODATA);
	ok(daxl_close(file));
	ok(daxl_pool_close(pool));
}
END_TEST

/* --- reading and writing --- */

START_TEST(append_goes_to_the_end)
{
	pool = api_pool(&path);
	struct daxl_file *file = file_open("a", O_RDWR | O_CREAT | O_APPEND), *other = file_open("a", O_RDWR);
	struct iovec iov[2] = {{(void *)(uintptr_t) "cd", 2}, {(void *)(uintptr_t) "ef", 2}};
	char buf[9] = "";

	is(daxl_pwrite(file, "ab", 2, 0), 2);
	is(daxl_pwritev(file, iov, 2, 5000, 0, NULL), 4);
	is(daxl_pwrite(other, "g", 1, 6), 1);
	is(daxl_pwritev(file, iov, 1, 0, DAXL_WRITE_ATOMIC, NULL), 2);
	is(api_size(file), 9);
	is(daxl_pread(other, buf, 9, 0), 9);
	ck_assert_int_eq(memcmp(buf, "abcdefgcd", 9), 0);
	ok(daxl_close(file));
	ok(daxl_close(other));
	ok(daxl_pool_close(pool));
}
END_TEST

START_TEST(vectors_of_1024_pieces)
{
	enum { N = 1024, LEN = N * 37 };
	static unsigned char out[LEN], in[LEN + 100];
	static struct iovec iov[N];
	unsigned flags[] = {0, DAXL_WRITE_ATOMIC};

	pool = api_pool(&path);
	struct daxl_file *file = file_open("a", O_RDWR | O_CREAT);

	for (unsigned k = 0; k < 2; k++) {
		size_t at = 0;

		for (size_t i = 0; i < N; i++) { /* empty ones, small ones, and one that takes the rest */
			size_t len = i == N - 1 ? LEN - at : i % 5 * 7;

			iov[i] = (struct iovec){out + at, len};
			at += len;
		}
		for (size_t i = 0; i < LEN; i++)
			out[i] = api_byte(i + k);
		is(daxl_pwritev(file, iov, N, 1001, flags[k], NULL), LEN);
		api_is_pattern(file, 1001, LEN, k);
		for (size_t i = 0; i < N; i++)
			iov[i].iov_base = in + ((unsigned char *)iov[i].iov_base - out);
		iov[N - 1].iov_len += 100;
		is(daxl_preadv(file, iov, N, 1001), LEN); /* short at the end of the file */
		ck_assert_int_eq(memcmp(in, out, LEN), 0);
	}
	api_is_filled(file, 0, 1001, 0);
	ok(daxl_close(file));
	ok(daxl_pool_close(pool));
}
END_TEST

START_TEST(reads_end_with_the_file)
{
	char buf[10];

	pool = api_pool(&path);
	struct daxl_file *file = api_file(pool, "a", BLK + 3);

	is(daxl_pread(file, buf, 10, BLK), 3);
	is(daxl_pread(file, buf, 10, BLK + 3), 0);
	is(daxl_pread(file, buf, 10, INT64_MAX), 0);
	is(daxl_pread(file, buf, 0, 0), 0);
	is(daxl_pwrite(file, "", 0, 100 * BLK), 0);
	is(api_size(file), BLK + 3);
	/* what is written past the end leaves zeroes in between, also where a former size ended */
	ok(daxl_truncate(file, BLK + 1, NULL));
	is(daxl_pwrite(file, "x", 1, 3 * BLK), 1);
	api_is_filled(file, BLK + 1, 2 * BLK - 1, 0);
	api_is_pattern(file, 0, BLK + 1, 0);
	ok(daxl_close(file));
	ok(daxl_pool_close(pool));
}
END_TEST

static bool continues(const struct daxl_extent *a, const struct daxl_extent *b)
{
	return a->flags == b->flags && ((a->flags & DAXL_EXTENT_HOLE) || a->pool_off + a->len == b->pool_off);
}

/* What layout.h promises of any list of extents. */
static void lawful(const struct daxl_extent *exts, ssize_t n, uint64_t from, uint64_t to, bool lease_write)
{
	ck_assert_int_gt(n, 0);
	is(exts[0].file_off, from);
	for (ssize_t i = 0; i < n; i++) {
		const struct daxl_extent *e = &exts[i];

		ck_assert_uint_gt(e->len, 0);
		is(e->file_off % BLK + e->pool_off % BLK + e->len % BLK, 0);
		is(e->reserved, 0);
		if (e->flags & DAXL_EXTENT_HOLE) {
			is(e->flags, DAXL_EXTENT_HOLE);
			is(e->pool_off, 0);
			ck_assert_ptr_null(e->addr);
		} else if ((e->flags & DAXL_EXTENT_UNWRITTEN) && !lease_write) {
			ck_assert_ptr_null(e->addr);
			ck_assert_uint_ne(e->pool_off, 0);
		} else {
			ck_assert_ptr_eq(e->addr, (char *)daxl_pool_base(pool) + e->pool_off);
		}
		if (i > 0) {
			is(e->file_off, exts[i - 1].file_off + exts[i - 1].len);
			ck_assert(!continues(&exts[i - 1], e)); /* else they should have been merged */
		}
	}
	is(exts[n - 1].file_off + exts[n - 1].len, to);
}

START_TEST(the_map_tells_data_holes_unwritten_and_shared)
{
	struct daxl_extent exts[16];

	pool = api_pool(&path);
	struct daxl_file *file = api_file(pool, "a", 2 * BLK);

	ok(daxl_truncate(file, 9 * BLK + 5, NULL));
	ok(daxl_fallocate(file, 0, 4 * BLK, 2 * BLK, NULL));
	ok(daxl_fallocate(file, FALLOC_FL_KEEP_SIZE, 12 * BLK, BLK, NULL));
	ok(daxl_clone_range(file, BLK, file, 8 * BLK, BLK, NULL));
	/* data 0, shared 1, hole 2-3, unwritten 4-5, hole 6-7, shared 8, hole 9-11, unwritten 12 */
	is(daxl_map(file, 0, DAXL_TO_END, exts, 16), 8);
	lawful(exts, 8, 0, 13 * BLK, false);
	static const uint32_t flags[] = {0,
	                                 DAXL_EXTENT_SHARED,
	                                 DAXL_EXTENT_HOLE,
	                                 DAXL_EXTENT_UNWRITTEN,
	                                 DAXL_EXTENT_HOLE,
	                                 DAXL_EXTENT_SHARED,
	                                 DAXL_EXTENT_HOLE,
	                                 DAXL_EXTENT_UNWRITTEN};
	static const uint64_t starts[] = {0, 1, 2, 4, 6, 8, 9, 12};

	for (int i = 0; i < 8; i++) {
		is(exts[i].flags, flags[i]);
		is(exts[i].file_off, starts[i] * BLK);
	}
	is(exts[1].pool_off, exts[5].pool_off);
	/* the needed count; the first max are stored and no more */
	struct daxl_extent some[4] = {[3] = {.file_off = 4711}};

	is(daxl_map(file, 0, DAXL_TO_END, NULL, 0), 8);
	is(daxl_map(file, 0, DAXL_TO_END, some, 3), 8);
	ck_assert_int_eq(memcmp(some, exts, 3 * sizeof(some[0])), 0);
	is(some[3].file_off, 4711);
	/* widened to blocks, clipped, and ended where the map ends */
	is(daxl_map(file, 5 * BLK + 1, 1, exts, 16), 1);
	lawful(exts, 1, 5 * BLK, 6 * BLK, false);
	is(daxl_map(file, 3 * BLK + 17, BLK, exts, 16), 2);
	lawful(exts, 2, 3 * BLK, 5 * BLK, false);
	is(daxl_map(file, 11 * BLK, 1000 * BLK, exts, 16), 2);
	lawful(exts, 2, 11 * BLK, 13 * BLK, false);
	is(daxl_map(file, 12 * BLK + 1, INT64_MAX - 5, exts, 16), 1);
	is(daxl_map(file, 13 * BLK, BLK, exts, 16), 0);
	/* the statistics agree */
	struct daxl_stat st;

	ok(daxl_stat(file, &st));
	is(st.runs, 7); /* sharing does not split a run */
	is(st.blocks, 6);
	is(st.size, 9 * BLK + 5);
	/* neighbours that are alike are one */
	ok(daxl_fallocate(file, 0, 0, 13 * BLK, NULL));
	ok(daxl_fallocate(file, FALLOC_FL_UNSHARE_RANGE, 0, 13 * BLK, NULL));
	ssize_t n = daxl_map(file, 0, DAXL_TO_END, exts, 16);

	lawful(exts, n, 0, 13 * BLK, false);
	/* a file of nothing */
	struct daxl_file *empty = api_file(pool, "e", 0);

	is(daxl_map(empty, 0, DAXL_TO_END, exts, 16), 0);
	ok(daxl_close(empty));
	ok(daxl_close(file));
	ok(daxl_pool_close(pool));
}
END_TEST

START_TEST(seek_finds_data_and_holes)
{
	pool = api_pool(&path);
	struct daxl_file *file = api_file(pool, "a", 2 * BLK);

	is(daxl_pwrite(file, "x", 1, 6 * BLK + 10), 1);
	ok(daxl_fallocate(file, 0, 3 * BLK, BLK, NULL)); /* unwritten is a hole */
	is(daxl_seek(file, 0, DAXL_SEEK_DATA), 0);
	is(daxl_seek(file, 17, DAXL_SEEK_DATA), 17);
	is(daxl_seek(file, 17, DAXL_SEEK_HOLE), 2 * BLK);
	is(daxl_seek(file, 2 * BLK + 1, DAXL_SEEK_HOLE), 2 * BLK + 1);
	is(daxl_seek(file, 2 * BLK, DAXL_SEEK_DATA), 6 * BLK);
	is(daxl_seek(file, 6 * BLK, DAXL_SEEK_HOLE), 6 * BLK + 11); /* the end is followed by one */
	is(daxl_seek(file, 6 * BLK + 10, DAXL_SEEK_DATA), 6 * BLK + 10);
	ok(daxl_truncate(file, 5 * BLK, NULL));
	fails(daxl_seek(file, 2 * BLK, DAXL_SEEK_DATA), ENXIO);
	is(daxl_seek(file, 2 * BLK, DAXL_SEEK_HOLE), 2 * BLK);
	ok(daxl_close(file));
	ok(daxl_pool_close(pool));
}
END_TEST

/* --- layout changes --- */

START_TEST(fallocate_in_each_mode)
{
	pool = api_pool(&path);
	struct daxl_file *file = api_file(pool, "a", 8 * BLK);

	/* punch: whole blocks go, edges are zeroed */
	ok(daxl_fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, BLK + 100, 2 * BLK, NULL));
	api_is_pattern(file, 0, BLK + 100, 0);
	api_is_filled(file, BLK + 100, 2 * BLK, 0);
	api_is_pattern(file, 3 * BLK + 100, 5 * BLK - 100, 3 * BLK + 100);
	is(daxl_seek(file, 0, DAXL_SEEK_HOLE), 2 * BLK);
	/* zero range: allocated, may grow */
	ok(daxl_fallocate(file, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 7 * BLK + 1, 2 * BLK, NULL));
	is(api_size(file), 8 * BLK);
	ok(daxl_fallocate(file, FALLOC_FL_ZERO_RANGE, 7 * BLK + 1, 2 * BLK, NULL));
	is(api_size(file), 9 * BLK + 1);
	api_is_filled(file, 7 * BLK + 1, 2 * BLK, 0);
	/* insert and collapse are each other's inverse here */
	ok(daxl_fallocate(file, FALLOC_FL_INSERT_RANGE, 4 * BLK, 3 * BLK, NULL));
	is(api_size(file), 12 * BLK + 1);
	api_is_filled(file, 4 * BLK, 3 * BLK, 0);
	api_is_pattern(file, 7 * BLK, 3 * BLK, 4 * BLK);
	ok(daxl_fallocate(file, FALLOC_FL_COLLAPSE_RANGE, 4 * BLK, 3 * BLK, NULL));
	is(api_size(file), 9 * BLK + 1);
	api_is_pattern(file, 4 * BLK, 3 * BLK, 4 * BLK);
	/* allocate: reads stay zeroes; past the end only mode 0 grows */
	ok(daxl_fallocate(file, 0, 0, 12 * BLK + 5, NULL));
	is(api_size(file), 12 * BLK + 5);
	ok(daxl_fallocate(file, FALLOC_FL_KEEP_SIZE, 0, 20 * BLK, NULL));
	is(api_size(file), 12 * BLK + 5);
	struct daxl_stat st;

	ok(daxl_stat(file, &st));
	is(st.blocks, 20);
	/* truncate to the same size gives back what lies past the end */
	ok(daxl_truncate(file, 12 * BLK + 5, NULL));
	ok(daxl_stat(file, &st));
	is(st.blocks, 13);
	pool = (ok(daxl_close(file)), api_reopen(pool, path, 0));
	file = file_open("a", O_RDONLY);
	is(api_size(file), 12 * BLK + 5);
	api_is_pattern(file, 4 * BLK, 3 * BLK, 4 * BLK);
	ok(daxl_close(file));
	ok(daxl_pool_close(pool));
}
END_TEST

START_TEST(two_files_share_exchange_and_copy)
{
	bool same = false;

	pool = api_pool(&path);
	struct daxl_file *a = api_file(pool, "a", 4 * BLK + 50), *b = api_file(pool, "b", 3);

	ok(daxl_clone_range(a, 0, b, 0, 0, NULL)); /* to the end of a */
	is(api_size(b), 4 * BLK + 50);
	api_is_pattern(b, 0, 4 * BLK + 50, 0);
	is(daxl_pwrite(b, "changed", 7, 0), 7);
	api_is_pattern(a, 0, 4 * BLK + 50, 0);
	ok(daxl_dedupe_range(a, 0, b, 0, BLK, NULL, &same));
	ck_assert(!same);
	is(daxl_pwrite(b, "\x07", 1, 2 * BLK), 1);
	ok(daxl_dedupe_range(a, BLK, b, BLK, BLK, NULL, &same));
	ck_assert(same);
	ok(daxl_exchange_range(a, 0, b, 0, BLK, NULL));
	char buf[7];

	is(daxl_pread(a, buf, 7, 0), 7);
	ck_assert_int_eq(memcmp(buf, "changed", 7), 0);
	api_is_pattern(b, 0, BLK, 0);
	ok(daxl_truncate(b, 10, NULL));
	ok(daxl_exchange_range(a, 0, b, 0, DAXL_TO_END, NULL));
	is(api_size(a), 10);
	is(api_size(b), 4 * BLK + 50);
	is(daxl_copy_range(b, BLK + 10, a, 5, 3 * BLK), 3 * BLK);
	api_is_pattern(a, 5, 3 * BLK, BLK + 10);
	is(daxl_copy_range(b, 4 * BLK, a, 8 * BLK, 1000), 50); /* short where b ends */
	is(daxl_copy_range(b, 5 * BLK, a, 8 * BLK, 1000), 0);
	ok(daxl_close(a));
	ok(daxl_close(b));
	ok(daxl_pool_close(pool));
}
END_TEST

START_TEST(stat_says_what_changed)
{
	static const uint64_t zero[8];
	struct daxl_stat a, b;
	struct timespec now;

	pool = api_pool(&path);
	clock_gettime(CLOCK_REALTIME, &now);
	struct daxl_file *file = api_file(pool, "a", 10);

	ok(daxl_stat(file, &a));
	ck_assert_uint_ge(a.btime_ns, (uint64_t)now.tv_sec * UINT64_C(1000000000));
	ck_assert_uint_ge(a.mtime_ns, a.btime_ns);
	is(a.block_size, BLK);
	ck_assert_int_eq(memcmp(a.reserved, zero, sizeof(zero)), 0);
	is(daxl_pwrite(file, "x", 1, 0), 1); /* in place: contents, neither map nor size */
	ok(daxl_stat(file, &b));
	is(b.generation, a.generation);
	is(b.mtime_ns, a.mtime_ns);
	do { /* the clock goes in steps */
		is(daxl_pwrite(file, "x", 1, (off_t)api_size(file) / BLK * BLK + BLK), 1);
		ok(daxl_stat(file, &b));
		ck_assert_uint_gt(b.generation, a.generation);
		ck_assert_uint_ge(b.mtime_ns, a.mtime_ns);
	} while (b.mtime_ns == a.mtime_ns && b.size < 6 * MIB);
	ck_assert_uint_gt(b.mtime_ns, a.mtime_ns);
	ok(daxl_rename(pool, "a", "b", 0));
	ok(daxl_stat(file, &a));
	ck_assert_uint_ge(a.ctime_ns, b.ctime_ns);
	is(a.mtime_ns, b.mtime_ns);
	is(a.btime_ns, b.btime_ns);
	is(a.generation, b.generation);
	struct daxl_lease *lease = api_lease(file, 0, BLK, DAXL_LEASE_READ);

	ok(daxl_lease_pin(lease));
	ok(daxl_lease_pin(lease));
	ok(daxl_stat(file, &a));
	is(a.leases, 1);
	is(a.pins, 2);
	daxl_lease_free(lease);
	ok(daxl_stat(file, &a));
	is(a.leases, 1);
	daxl_lease_unpin(lease);
	daxl_lease_unpin(lease);
	ok(daxl_stat(file, &a));
	is(a.leases + a.pins, 0);
	ok(daxl_close(file));
	pool = api_reopen(pool, path, 0);
	file = file_open("b", O_RDONLY);
	ok(daxl_stat(file, &b));
	is(a.generation, b.generation);
	is(a.mtime_ns, b.mtime_ns);
	is(a.btime_ns, b.btime_ns);
	is(a.id, b.id);
	ok(daxl_close(file));
	ok(daxl_pool_close(pool));
}
END_TEST

START_TEST(stats_count_calls_errors_and_bytes)
{
	static struct daxl_stats was, now; /* large */
	char buf[100] = {0};

	pool = api_pool(&path);
	struct daxl_file *file = api_file(pool, "a", 10);

	ok(daxl_stats(pool, &was));
	is(daxl_pwrite(file, buf, 100, 0), 100);
	is(daxl_pread(file, buf, 60, 50), 50);
	fails(daxl_pread(file, buf, 60, -1), EINVAL);
	ok(daxl_truncate(file, 5, NULL));
	ok(daxl_pool_checkpoint(pool));
	ok(daxl_stats(pool, &now));
	is(now.op[DAXL_STAT_WRITE].calls - was.op[DAXL_STAT_WRITE].calls, 1);
	is(now.op[DAXL_STAT_WRITE].bytes - was.op[DAXL_STAT_WRITE].bytes, 100);
	ck_assert_uint_gt(now.op[DAXL_STAT_WRITE].fences, was.op[DAXL_STAT_WRITE].fences);
	ck_assert_uint_gt(now.op[DAXL_STAT_WRITE].lines, was.op[DAXL_STAT_WRITE].lines);
	is(now.op[DAXL_STAT_READ].calls - was.op[DAXL_STAT_READ].calls, 2);
	is(now.op[DAXL_STAT_READ].errors - was.op[DAXL_STAT_READ].errors, 1);
	is(now.op[DAXL_STAT_READ].bytes - was.op[DAXL_STAT_READ].bytes, 50);
	is(now.op[DAXL_STAT_TRUNCATE].calls - was.op[DAXL_STAT_TRUNCATE].calls, 1);
	is(now.op[DAXL_STAT_CHECKPOINT].calls - was.op[DAXL_STAT_CHECKPOINT].calls, 1);
	for (int i = DAXL_STAT_OPS; i < DAXL_STAT_OP_SLOTS; i++)
		is(now.op[i].calls, 0);
	for (int i = DAXL_HISTOGRAMS; i < DAXL_HISTOGRAM_SLOTS; i++)
		is(now.histogram[i].count, 0);
	ok(daxl_close(file));
	ok(daxl_pool_close(pool));
}
END_TEST

int main(void)
{
	const struct api_case cases[] = {
		{"open", open_creates_truncates_and_excludes},
		{"unlink", unlinked_files_live_until_the_last_close},
		{"rename", rename_moves_replaces_and_exchanges},
		{"list", list_calls_for_each_name},
		{"attributes", attributes_belong_to_the_file},
		{"append", append_goes_to_the_end},
		{"vectors", vectors_of_1024_pieces},
		{"reads", reads_end_with_the_file},
		{"map", the_map_tells_data_holes_unwritten_and_shared},
		{"seek", seek_finds_data_and_holes},
		{"fallocate", fallocate_in_each_mode},
		{"two_files", two_files_share_exchange_and_copy},
		{"stat", stat_says_what_changed},
		{"stats", stats_count_calls_errors_and_bytes},
	};

	return API_RUN("api.file", cases);
}
