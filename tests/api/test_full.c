/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * No room and no memory. A call that finds the pool full fails as a whole, and what frees blocks still works; a log
 * that is full does not keep holders from committing (L7); and with each allocation failing in turn, each call gives
 * -ENOMEM, says so, and leaves everything as it was until the attempt that succeeds.
 */
#include "api.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/hook.h"

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
	int from = open(path, O_RDONLY), to = open(copy, O_RDWR | O_CREAT | O_EXCL, 0600);
	struct daxl_pool *opened;
	ssize_t n;

	ck_assert(from >= 0 && to >= 0);
	while ((n = copy_file_range(from, NULL, to, NULL, 1u << 30, 0)) > 0)
		;
	is(n, 0);
	close(from);
	close(to);
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

/* --- no memory --- */

static unsigned fail_at, seen; /* the n-th allocation fails; 0: none */

static bool nth(const char *point, void *arg)
{
	(void)arg;
	if (strcmp(point, "alloc") != 0 && strcmp(point, "slab-alloc") != 0 && strcmp(point, "space.ref") != 0 &&
	    strncmp(point, "arena", 5) != 0)
		return false;
	return ++seen == fail_at;
}

static void arm(unsigned n)
{
	fail_at = n;
	seen = 0;
	daxl_fault_set(nth, NULL);
}

static struct daxl_file *other;
static struct daxl_lease *lease;
static struct daxl_break_handle *handle;
static struct daxl_cancel *cancel;
static const struct daxl_wait wait_now = DAXL_WAIT_INIT;

static int see(const char *name, uint64_t id, void *arg)
{
	(void)name, (void)id, (void)arg;
	return 0;
}

/* One call each, on a pool with f (with holes and shared blocks), clone and twin. */
static long long m_open(void)
{
	int rc = daxl_open(pool, "new", O_RDWR | O_CREAT, &other);

	daxl_fault_set(NULL, NULL);
	if (rc == 0)
		ok(daxl_close(other));
	else
		(void)daxl_unlink(pool, "new"); /* it may have been made */
	return rc;
}
static long long m_open_old(void)
{
	int rc = daxl_open(pool, "f", O_RDONLY, &other);

	if (rc == 0)
		ok(daxl_close(other));
	return rc;
}
static struct daxl_file *by_name(const char *name)
{
	struct daxl_file *f;

	ok(daxl_open(pool, name, O_RDWR, &f));
	return f;
}
static struct daxl_file *clone_file, *twin, *hold_file;

static long long m_unlink(void)
{
	return daxl_unlink(pool, "spare");
}
static long long m_rename(void)
{
	return daxl_rename(pool, "spare", "a longer name than it had before", 0);
}
static long long m_rename_over(void)
{
	return daxl_rename(pool, "spare", "victim", 0);
}
static long long m_rename_exchange(void)
{
	return daxl_rename(pool, "spare", "victim", DAXL_RENAME_EXCHANGE);
}
static long long m_list(void)
{
	return daxl_list(pool, see, NULL);
}
static long long m_setattr(void)
{
	return daxl_setattr(file, "key", "value", 5);
}
static long long m_setattr_remove(void)
{
	return daxl_setattr(file, "old", NULL, 0);
}
static long long m_write_hole(void)
{
	return daxl_pwrite(file, block, 100, 9 * BLK + 50);
}
static long long m_write_shared(void)
{
	return daxl_pwrite(clone_file, block, 100, 3 * BLK + 50);
}
static long long m_write_atomic(void)
{
	struct iovec iov = {block, 3000};

	return daxl_pwritev(file, &iov, 1, 6 * BLK, DAXL_WRITE_ATOMIC, NULL);
}
static long long m_allocate(void)
{
	return daxl_fallocate(file, 0, 8 * BLK, 4 * BLK, NULL);
}
static long long m_zero(void)
{
	return daxl_fallocate(file, FALLOC_FL_ZERO_RANGE, BLK + 1, 2 * BLK, NULL);
}
static long long m_punch(void)
{
	return daxl_fallocate(file, PUNCH, BLK + 1, 2 * BLK, NULL);
}
static long long m_collapse(void)
{
	return daxl_fallocate(file, FALLOC_FL_COLLAPSE_RANGE, BLK, BLK, NULL);
}
static long long m_insert(void)
{
	return daxl_fallocate(file, FALLOC_FL_INSERT_RANGE, BLK, BLK, NULL);
}
static long long m_unshare(void)
{
	return daxl_fallocate(clone_file, FALLOC_FL_UNSHARE_RANGE, 0, 4 * BLK, NULL);
}
static long long m_truncate(void)
{
	return daxl_truncate(clone_file, 2 * BLK + 5, NULL);
}
static long long m_grow_size(void)
{
	return daxl_truncate(file, 100 * BLK, NULL);
}
static long long m_clone(void)
{
	return daxl_clone_range(file, 0, twin, 4 * BLK, 4 * BLK, NULL);
}
static long long m_dedupe(void)
{
	bool same;

	return daxl_dedupe_range(file, 0, twin, 0, 4 * BLK, NULL, &same);
}
static long long m_exchange(void)
{
	return daxl_exchange_range(file, 0, twin, BLK, 2 * BLK, NULL);
}
static long long m_exchange_all(void)
{
	return daxl_exchange_range(file, 0, twin, 0, DAXL_TO_END, NULL);
}
static long long m_copy_bytes(void)
{
	return daxl_copy_range(file, 5, twin, 7, 1000);
}
static long long m_copy_blocks(void)
{
	return daxl_copy_range(file, BLK, twin, 5 * BLK, 2 * BLK);
}
static long long m_break(void)
{
	return daxl_break(file, 0, BLK, DAXL_BREAK_UNMAP, NULL);
}
static long long m_break_begin(void)
{
	int rc = daxl_break_begin(file, 0, BLK, DAXL_BREAK_UNMAP, NULL, &handle);

	if (rc == 0)
		daxl_break_end(handle);
	return rc;
}
static long long m_cancel(void)
{
	int rc = daxl_cancel_new(&cancel);

	if (rc == 0)
		daxl_cancel_free(cancel);
	return rc;
}
static long long m_acquire_read(void)
{
	int rc = daxl_lease_acquire(file, 0, DAXL_TO_END, NULL, &lease);

	if (rc == 0)
		daxl_lease_free(lease);
	return rc;
}
static long long acquire_write(struct daxl_file *f, off_t off, off_t len)
{
	struct daxl_lease_opts opts = DAXL_LEASE_OPTS_INIT;

	opts.mode = DAXL_LEASE_WRITE;
	int rc = daxl_lease_acquire(f, off, len, &opts, &lease);

	if (rc == 0)
		daxl_lease_free(lease);
	return rc;
}
static long long m_acquire_write(void)
{
	return acquire_write(file, 0, BLK);
}
static long long m_acquire_fill(void)
{
	return acquire_write(file, 7 * BLK, 8 * BLK);
}
static long long m_acquire_copy(void)
{
	return acquire_write(clone_file, 0, 4 * BLK);
}
static struct daxl_lease *held;
static long long m_commit(void)
{
	return daxl_lease_commit(held, 20 * BLK, BLK, 21 * BLK);
}
static long long m_return_range(void)
{
	return daxl_lease_return_range(held, 22 * BLK, BLK);
}
static long long m_set_wait(void)
{
	return daxl_set_wait(file, &wait_now);
}
static long long m_busy(void)
{
	struct daxl_holder holder;

	return daxl_busy(file, 0, DAXL_TO_END, &holder, 1);
}
static long long m_checkpoint(void)
{
	return daxl_pool_checkpoint(pool);
}
static long long m_grow(void)
{
	return daxl_pool_grow(pool, 24 * MIB);
}
static const struct {
	const char *name;
	long long (*call)(void);
} calls[] = {
	{"open", m_open},
	{"open_old", m_open_old},
	{"unlink", m_unlink},
	{"rename", m_rename},
	{"rename_over", m_rename_over},
	{"rename_exchange", m_rename_exchange},
	{"list", m_list},
	{"setattr", m_setattr},
	{"setattr_remove", m_setattr_remove},
	{"write_hole", m_write_hole},
	{"write_shared", m_write_shared},
	{"write_atomic", m_write_atomic},
	{"allocate", m_allocate},
	{"zero", m_zero},
	{"punch", m_punch},
	{"collapse", m_collapse},
	{"insert", m_insert},
	{"unshare", m_unshare},
	{"truncate", m_truncate},
	{"grow_size", m_grow_size},
	{"clone", m_clone},
	{"dedupe", m_dedupe},
	{"exchange", m_exchange},
	{"exchange_all", m_exchange_all},
	{"copy_bytes", m_copy_bytes},
	{"copy_blocks", m_copy_blocks},
	{"break", m_break},
	{"break_begin", m_break_begin},
	{"cancel", m_cancel},
	{"acquire_read", m_acquire_read},
	{"acquire_write", m_acquire_write},
	{"acquire_fill", m_acquire_fill},
	{"acquire_copy", m_acquire_copy},
	{"commit", m_commit},
	{"return_range", m_return_range},
	{"set_wait", m_set_wait},
	{"busy", m_busy},
	{"checkpoint", m_checkpoint},
	{"grow", m_grow},
};

static void make_files(void)
{
	struct daxl_lease_opts opts = DAXL_LEASE_OPTS_INIT;

	pool = api_pool(&path);
	file = api_file(pool, "f", 8 * BLK + 7);
	ok(daxl_truncate(file, 16 * BLK + 7, NULL));
	ok(daxl_setattr(file, "old", "value", 5));
	clone_file = api_file(pool, "clone", 0);
	ok(daxl_clone_range(file, 0, clone_file, 0, 4 * BLK, NULL));
	ok(daxl_close(api_file(pool, "twin", 16 * BLK)));
	twin = by_name("twin");
	ok(daxl_close(api_file(pool, "spare", BLK)));
	ok(daxl_close(api_file(pool, "victim", BLK)));
	hold_file = api_file(pool, "hold", 16 * BLK);
	opts.mode = DAXL_LEASE_WRITE;
	ok(daxl_lease_acquire(hold_file, 16 * BLK, 12 * BLK, &opts, &held));
}

static void end_files(void)
{
	daxl_lease_free(held);
	ok(daxl_close(file));
	ok(daxl_close(clone_file));
	ok(daxl_close(twin));
	ok(daxl_close(hold_file));
	ok(daxl_pool_close(pool));
	is(daxl_check(path, 0, NULL, NULL), 0);
}

START_TEST(each_allocation_fails_in_turn)
{
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		unsigned n = 0;
		long long rc;

		make_files();
		char *was = api_state(pool);

		do {
			arm(++n);
			api_before();
			rc = calls[i].call();
			daxl_fault_set(NULL, NULL);
			if (rc >= 0)
				break;
			api_failed(rc, ENOMEM, calls[i].name, __LINE__);
			char *now = api_state(pool);

			if (strcmp(was, now) != 0)
				ck_abort_msg("%s: the %u-th allocation failed and something changed:\n%s---\n%s",
				             calls[i].name, n, was, now);
			free(now);
		} while (n < 1000);
		/* it is through, perhaps having done without: from here on none may fail */
		api_ok(rc, calls[i].name, __LINE__);
		if (seen >= n &&
		    n < 1000) { /* the n-th failed, and the call succeeded all the same: go on to the end */
			for (unsigned k = n + 1; k <= n + 50; k++) {
				end_files();
				make_files();
				arm(k);
				rc = calls[i].call();
				daxl_fault_set(NULL, NULL);
				if (rc < 0)
					api_failed(rc, ENOMEM, calls[i].name, __LINE__);
				if (seen < k)
					break;
			}
		}
		free(was);
		end_files();
	}
}
END_TEST

START_TEST(opening_closing_and_checking_without_memory)
{
	struct daxl_pool_opts ro = DAXL_POOL_OPTS_INIT, rw = DAXL_POOL_OPTS_INIT;
	struct daxl_pool *got = UNTOUCHED;
	unsigned n;
	int rc;

	make_files();
	end_files();
	ro.flags = DAXL_POOL_READ_ONLY;
	for (int how = 0; how < 4; how++) {
		const char *fresh = api_path();

		for (n = 1, rc = -ENOMEM; rc != 0 && n < 3000; n++) {
			uint64_t was = api_hash(path);

			arm(n);
			api_before();
			switch (how) {
			case 0:
				rc = daxl_pool_open(path, &ro, &got);
				break;
			case 1:
				rc = daxl_pool_open(path, &rw, &got);
				break;
			case 2:
				rc = daxl_check(path, 0, NULL, NULL);
				break;
			default:
				rc = daxl_pool_create(fresh, 4 * MIB, NULL, &got);
				break;
			}
			daxl_fault_set(NULL, NULL);
			if (rc == 0)
				break;
			api_failed(rc, ENOMEM, "open, check or create", __LINE__);
			if (how != 1)
				ck_assert_uint_eq(api_hash(path), was);
			if (how == 3)
				ck_assert_int_ne(access(fresh, F_OK), 0);
			ck_assert_ptr_eq(got, UNTOUCHED);
		}
		is(rc, 0);
		ck_assert_uint_gt(n, 3);
		if (how != 2)
			ok(daxl_pool_close(got));
		got = UNTOUCHED;
	}
	/* closing always works: what cannot be written then is in the log */
	for (n = 1; n < 200; n++) {
		char *was;

		ok(daxl_pool_open(path, NULL, &pool));
		file = by_name("f");
		is(daxl_pwrite(file, block, 1, (off_t)(n % 100) * BLK), 1);
		ok(daxl_close(file));
		was = api_state(pool);
		arm(n);
		rc = daxl_pool_close(pool);
		daxl_fault_set(NULL, NULL);
		ok(rc);
		ok(daxl_pool_open(path, NULL, &pool));
		api_same(was, pool, __LINE__);
		ok(daxl_pool_close(pool));
		if (seen < n)
			break;
	}
	is(daxl_check(path, 0, NULL, NULL), 0);
}
END_TEST

int main(void)
{
	const struct api_case cases[] = {
		{"pool", a_full_pool_refuses_whole_operations},
		{"frees", what_frees_works_in_a_full_pool},
		{"names", names_and_attributes_in_a_full_pool},
		{"log", holders_commit_on_a_full_log},
		{"memory", each_allocation_fails_in_turn},
		{"memory_pool", opening_closing_and_checking_without_memory},
	};

	return API_RUN("api.full", cases);
}
