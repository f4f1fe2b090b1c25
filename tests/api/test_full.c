/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * No room. A call that finds the pool full fails as a whole, and what frees blocks still works; a log that is full does
 * not keep holders from committing (L7). No memory, and all else that can fail: tests/fault.
 */
#include "api.h"

#include <fcntl.h>
#include <unistd.h>

#define PUNCH (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)

static struct daxl_pool *pool;
static const char *path;
static struct daxl_file *file, *filler;
static unsigned char block[BLK];

/* Allocates until the pool is full; false if it was already. */
static bool fill_once(void)
{
	struct daxl_wait none = api_wait(0, 0, 0);
	off_t from = (off_t)api_size(filler), at = from;
	int rc;

	while ((rc = daxl_fallocate(filler, 0, at, BLK, &none)) == 0)
		at += BLK;
	is(rc, -ENOSPC);
	ck_assert_ptr_nonnull(strchr(daxl_errormsg(), ' '));
	return at > from;
}

/*
 * Nothing is left for data but the blocks that left files get. A checkpoint in the background holds two generations of
 * pages for a while: full is what is full when none is under way and the last one's old pages are free.
 */
static void fill(uint64_t left)
{
	filler = api_file(pool, "filler", 0);
	while (fill_once())
		ok(daxl_pool_checkpoint(pool));
	if (left)
		ok(daxl_truncate(filler, (off_t)api_size(filler) - (off_t)left * BLK, NULL));
}

static void setup_with(uint32_t block_size, uint64_t size)
{
	struct daxl_pool_opts opts = DAXL_POOL_OPTS_INIT;

	opts.flags = DAXL_POOL_SPARSE;
	opts.block_size = block_size;
	pool = api_pool_with(size, &opts, &path);
	file = api_file(pool, "f", 8 * BLK);
}

static void setup(void)
{
	setup_with(BLK, 4 * MIB);
}

static void teardown(void)
{
	ok(daxl_close(file));
	ok(daxl_pool_close(pool));
	is(daxl_check(path, 0, NULL, NULL), 0);
}

/* --- a full pool --- */

START_TEST(a_full_pool_refuses_whole_operations)
{
	struct daxl_lease_opts opts = DAXL_LEASE_OPTS_INIT;
	struct daxl_lease *lease = UNTOUCHED;
	static unsigned char many[6 * BLK];
	struct iovec iov = {many, sizeof(many)};
	bool same;

	setup();
	struct daxl_file *clone = api_file(pool, "clone", 0), *twin = api_file(pool, "twin", 8 * BLK);

	ok(daxl_clone_range(file, 0, clone, 0, 0, NULL));
	ok(daxl_truncate(twin, 12 * BLK, NULL));
	fill(3);
	unchanged(pool, {
		fails(daxl_pwrite(twin, many, sizeof(many), 8 * BLK - BLK / 2), ENOSPC); /* 4 new ones are needed */
		fails(daxl_pwritev(twin, &iov, 1, 100, DAXL_WRITE_ATOMIC, NULL), ENOSPC);
		fails(daxl_pwrite(clone, many, sizeof(many), 0), ENOSPC); /* copy-on-write of 6 */
		fails(daxl_fallocate(twin, 0, 8 * BLK, 4 * BLK, NULL), ENOSPC);
		fails(daxl_fallocate(twin, FALLOC_FL_KEEP_SIZE, 20 * BLK, 4 * BLK, NULL), ENOSPC);
		fails(daxl_fallocate(twin, FALLOC_FL_ZERO_RANGE, 8 * BLK, 4 * BLK, NULL), ENOSPC);
		fails(daxl_fallocate(clone, FALLOC_FL_UNSHARE_RANGE, 0, 8 * BLK, NULL), ENOSPC);
		opts.mode = DAXL_LEASE_WRITE;
		fails(daxl_lease_acquire(twin, 8 * BLK, 4 * BLK, &opts, &lease), ENOSPC);
		fails(daxl_lease_acquire(clone, 0, 8 * BLK, &opts, &lease), ENOSPC);
		ck_assert_ptr_eq(lease, UNTOUCHED);
	});
	/* what needs no blocks of its own goes on */
	is(daxl_pwrite(twin, many, sizeof(many), 0), sizeof(many));
	ok(daxl_dedupe_range(file, 7 * BLK, twin, 7 * BLK, BLK, NULL, &same));
	ck_assert(same);
	ok(daxl_clone_range(file, 0, twin, 0, BLK, NULL));
	ok(daxl_exchange_range(file, 0, twin, BLK, BLK, NULL));
	ok(daxl_rename(pool, "clone", "renamed", 0));
	ok(daxl_setattr(twin, "key", "value", 5));
	/* and with what it needs, the same write does */
	ok(daxl_truncate(filler, (off_t)api_size(filler) - 4 * BLK, NULL));
	is(daxl_pwrite(clone, many, sizeof(many), 0), sizeof(many));
	api_is_filled(clone, 0, sizeof(many), 0);
	api_is_pattern(file, 2 * BLK, 6 * BLK, 2 * BLK);
	ok(daxl_close(clone));
	ok(daxl_close(twin));
	ok(daxl_close(filler));
	pool = (ok(daxl_close(file)), api_reopen(pool, path, 0));
	ok(daxl_open(pool, "f", O_RDWR, &file));
	api_is_pattern(file, 2 * BLK, 6 * BLK, 2 * BLK);
	teardown();
}
END_TEST

START_TEST(what_frees_works_in_a_full_pool)
{
	setup();
	struct daxl_file *clone = api_file(pool, "clone", 0);

	ok(daxl_clone_range(file, 0, clone, 0, 0, NULL));
	fill(0);
	/* edges in shared blocks need copies */
	unchanged(pool, fails(daxl_fallocate(clone, PUNCH, 100, 4 * BLK, NULL), ENOSPC));
	ok(daxl_truncate(clone, 7 * BLK + 100, NULL));
	unchanged(pool, fails(daxl_truncate(clone, 7 * BLK + 101, NULL), ENOSPC));
	ok(daxl_fallocate(clone, PUNCH, BLK, 4 * BLK, NULL));
	ok(daxl_truncate(clone, 6 * BLK, NULL));
	ok(daxl_fallocate(file, FALLOC_FL_COLLAPSE_RANGE, 0, BLK, NULL));
	ok(daxl_unlink(pool, "clone"));
	ok(daxl_close(clone));
	for (int i = 0; i < 20; i++) { /* checkpoints find their room in the reserve */
		is(daxl_pwrite(file, block, BLK, 0), BLK);
		ok(daxl_pool_checkpoint(pool));
	}
	ok(daxl_unlink(pool, "filler"));
	ok(daxl_close(filler));
	struct daxl_file *again = api_file(pool, "again", 2 * MIB);

	api_is_pattern(again, 0, 2 * MIB, 0);
	ok(daxl_close(again));
	teardown();
}
END_TEST

/* Opens what a kill now would leave, for writing. */
static void survives_a_kill(void)
{
	const char *copy = api_path();
	struct daxl_pool *opened;

	api_copy(path, copy);
	ok(daxl_pool_open(copy, NULL, &opened));
	ok(daxl_pool_close(opened));
	is(daxl_check(copy, 0, NULL, NULL), 0);
}

/* Their place is in checkpoints, which also find room in what is kept back, to a point; a full pool opens again. */
static void names_and_attributes(uint32_t block_size, uint64_t size)
{
	char name[256], big[3000];
	int i = 0, rc = 0;

	memset(big, 'v', sizeof(big));
	setup_with(block_size, size);
	fill(0);
	for (; !rc; i++) {
		struct daxl_file *f = UNTOUCHED;

		ck_assert_int_lt(i, 20000);
		snprintf(name, sizeof(name), "%0250d", i);
		rc = daxl_open(pool, name, O_RDWR | O_CREAT, &f);
		if (!rc) {
			rc = daxl_setattr(f, "key", big, sizeof(big));
			ok(daxl_close(f));
		}
	}
	is(rc, -ENOSPC);
	ck_assert_int_gt(i, 4);
	fails(daxl_setattr(file, "key", big, sizeof(big)), ENOSPC);
	is(daxl_pwrite(file, block, BLK, 0), BLK);
	survives_a_kill();
	ok(daxl_close(filler));
	pool = (ok(daxl_close(file)), api_reopen(pool, path, 0));
	fails(daxl_open(pool, "one more", O_RDWR | O_CREAT | O_EXCL, &file), ENOSPC);
	for (int n = 0; n < i - 1; n++) {
		snprintf(name, sizeof(name), "%0250d", n);
		ok(daxl_unlink(pool, name));
	}
	ok(daxl_open(pool, "f", O_RDWR, &file));
	ok(daxl_setattr(file, "key", big, sizeof(big)));
	teardown();
}

START_TEST(names_and_attributes_in_a_full_pool)
{
	names_and_attributes(BLK, 4 * MIB);
	names_and_attributes(64 * KIB, 8 * MIB);
	names_and_attributes(2 * MIB, 48 * MIB);
}
END_TEST

/* --- a full log --- */

START_TEST(holders_commit_on_a_full_log)
{
	enum { MOST = 8192 };
	static struct daxl_lease *leases[MOST];
	struct daxl_pool_opts popts = DAXL_POOL_OPTS_INIT;
	struct daxl_lease_opts opts = DAXL_LEASE_OPTS_INIT;
	struct daxl_pool_stat st;
	int n = 0, rc = 0;

	popts.flags = DAXL_POOL_SPARSE;
	popts.log_size = 256 * KIB;
	pool = api_pool_with(64 * MIB, &popts, &path);
	file = api_file(pool, "f", 0);
	opts.mode = DAXL_LEASE_WRITE;
	for (; n < MOST; n++) { /* each keeps room for its commit */
		rc = daxl_lease_acquire(file, (off_t)n * BLK, BLK, &opts, &leases[n]);
		if (rc)
			break;
	}
	if (rc != -ENOSPC)
		ck_abort_msg("after %d leases: %d: %s", n, rc, daxl_errormsg());
	ck_assert_int_gt(n, 100);
	/* one more fails and leaves nothing */
	unchanged(pool, fails(daxl_lease_acquire(file, (off_t)n * BLK, BLK, &opts, &leases[n]), ENOSPC));
	/* other operations find room, by checkpoints */
	for (int i = 0; i < 3000; i++)
		ok(daxl_setattr(file, "key", &i, sizeof(i)));
	struct daxl_file *other = api_file(pool, "g", BLK);

	ok(daxl_close(other));
	for (int i = 0; i < n; i++)
		ok(daxl_lease_commit(leases[i], (off_t)i * BLK, BLK, (off_t)(i + 1) * BLK));
	is(api_size(file), (uint64_t)n * BLK);
	ok(daxl_pool_stat(pool, &st));
	is(st.leases, n);
	for (int i = 0; i < n; i++)
		daxl_lease_free(leases[i]);
	ok(daxl_lease_acquire(file, 0, BLK, &opts, &leases[0]));
	daxl_lease_free(leases[0]);
	teardown();
}
END_TEST

int main(void)
{
	const struct api_case cases[] = {
		{"pool", a_full_pool_refuses_whole_operations},
		{"frees", what_frees_works_in_a_full_pool},
		{"names", names_and_attributes_in_a_full_pool},
		{"log", holders_commit_on_a_full_log},
	};

	return API_RUN("api.full", cases);
}
