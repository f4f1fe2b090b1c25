/* SPDX-License-Identifier: BSD-3-Clause */
/* NULL where something is needed, and option structs of other ages: in every call that takes them. */
#include "api.h"

#include <fcntl.h>

static int see(const char *name, uint64_t id, void *arg)
{
	(void)name, (void)id, (void)arg;
	return 0;
}

START_TEST(null_is_einval_in_every_function)
{
	struct daxl_pool *pool = api_pool(NULL);
	struct daxl_file *file = api_file(pool, "f", 3 * BLK);
	struct daxl_lease *lease = api_lease(file, 0, BLK, DAXL_LEASE_WRITE);
	struct iovec iov = {0};
	bool same;

	unchanged(pool, {
		fails(daxl_pool_create(NULL, 8 * MIB, NULL, &pool), EINVAL);
		fails(daxl_pool_create("/nonexistent/x", 8 * MIB, NULL, NULL), EINVAL);
		fails(daxl_pool_open(NULL, NULL, &pool), EINVAL);
		fails(daxl_pool_open("/nonexistent/x", NULL, NULL), EINVAL);
		fails(daxl_pool_close(NULL), EINVAL);
		fails(daxl_pool_stat(NULL, UNTOUCHED), EINVAL);
		fails(daxl_pool_stat(pool, NULL), EINVAL);
		fails(daxl_pool_checkpoint(NULL), EINVAL);
		fails(daxl_pool_grow(NULL, 1), EINVAL);
		fails(daxl_pool_event_fd(NULL), EINVAL);
		fails(daxl_event_next(NULL, UNTOUCHED), EINVAL);
		fails(daxl_event_next(pool, NULL), EINVAL);
		ck_assert_ptr_null(daxl_pool_base(NULL));
		fails(daxl_open(NULL, "f", O_RDONLY, UNTOUCHED), EINVAL);
		fails(daxl_open(pool, NULL, O_RDONLY, UNTOUCHED), EINVAL);
		fails(daxl_open(pool, "f", O_RDONLY, NULL), EINVAL);
		fails(daxl_close(NULL), EINVAL);
		fails(daxl_unlink(NULL, "f"), EINVAL);
		fails(daxl_unlink(pool, NULL), EINVAL);
		fails(daxl_rename(NULL, "f", "g", 0), EINVAL);
		fails(daxl_rename(pool, NULL, "g", 0), EINVAL);
		fails(daxl_rename(pool, "f", NULL, 0), EINVAL);
		fails(daxl_stat(NULL, UNTOUCHED), EINVAL);
		fails(daxl_stat(file, NULL), EINVAL);
		fails(daxl_list(NULL, see, NULL), EINVAL);
		fails(daxl_list(pool, NULL, NULL), EINVAL);
		fails(daxl_setattr(NULL, "k", "v", 1), EINVAL);
		fails(daxl_setattr(file, NULL, "v", 1), EINVAL);
		fails(daxl_getattr(NULL, "k", UNTOUCHED, 1), EINVAL);
		fails(daxl_getattr(file, NULL, UNTOUCHED, 1), EINVAL);
		fails(daxl_getattr(file, "k", NULL, 1), EINVAL);
		fails(daxl_pread(NULL, UNTOUCHED, 1, 0), EINVAL);
		fails(daxl_pread(file, NULL, 1, 0), EINVAL);
		fails(daxl_pwrite(NULL, UNTOUCHED, 1, 0), EINVAL);
		fails(daxl_pwrite(file, NULL, 1, 0), EINVAL);
		fails(daxl_preadv(NULL, &iov, 1, 0), EINVAL);
		fails(daxl_preadv(file, NULL, 1, 0), EINVAL);
		fails(daxl_pwritev(NULL, &iov, 1, 0, 0, NULL), EINVAL);
		fails(daxl_pwritev(file, NULL, 1, 0, 0, NULL), EINVAL);
		iov.iov_len = 1;
		fails(daxl_preadv(file, &iov, 1, 0), EINVAL);
		fails(daxl_pwritev(file, &iov, 1, 0, 0, NULL), EINVAL);
		fails(daxl_set_wait(NULL, NULL), EINVAL);
		fails(daxl_fsync(NULL), EINVAL);
		fails(daxl_map(NULL, 0, 1, NULL, 0), EINVAL);
		fails(daxl_map(file, 0, 1, NULL, 1), EINVAL);
		fails(daxl_seek(NULL, 0, DAXL_SEEK_DATA), EINVAL);
		fails(daxl_fallocate(NULL, 0, 0, 1, NULL), EINVAL);
		fails(daxl_truncate(NULL, 0, NULL), EINVAL);
		fails(daxl_clone_range(NULL, 0, file, 0, 0, NULL), EINVAL);
		fails(daxl_clone_range(file, 0, NULL, 0, 0, NULL), EINVAL);
		fails(daxl_dedupe_range(NULL, 0, file, 0, 0, NULL, &same), EINVAL);
		fails(daxl_dedupe_range(file, 0, NULL, 0, 0, NULL, &same), EINVAL);
		fails(daxl_dedupe_range(file, 0, file, 0, 0, NULL, NULL), EINVAL);
		fails(daxl_exchange_range(NULL, 0, file, 0, BLK, NULL), EINVAL);
		fails(daxl_exchange_range(file, 0, NULL, 0, BLK, NULL), EINVAL);
		fails(daxl_copy_range(NULL, 0, file, 0, 1), EINVAL);
		fails(daxl_copy_range(file, 0, NULL, 0, 1), EINVAL);
		fails(daxl_break(NULL, 0, BLK, DAXL_BREAK_WRITE, NULL), EINVAL);
		fails(daxl_break_begin(NULL, 0, BLK, DAXL_BREAK_WRITE, NULL, UNTOUCHED), EINVAL);
		fails(daxl_break_begin(file, 0, BLK, DAXL_BREAK_WRITE, NULL, NULL), EINVAL);
		fails(daxl_break_poll(NULL), EINVAL);
		fails(daxl_cancel_new(NULL), EINVAL);
		fails(daxl_lease_acquire(NULL, 0, BLK, NULL, UNTOUCHED), EINVAL);
		fails(daxl_lease_acquire(file, 0, BLK, NULL, NULL), EINVAL);
		fails(daxl_lease_extents(NULL, NULL, 0), EINVAL);
		fails(daxl_lease_extents(lease, NULL, 1), EINVAL);
		fails(daxl_lease_pin(NULL), EINVAL);
		fails(daxl_lease_persist(NULL, 0, BLK), EINVAL);
		fails(daxl_lease_commit(NULL, 0, BLK, -1), EINVAL);
		fails(daxl_lease_return(NULL), EINVAL);
		fails(daxl_lease_return_range(NULL, 0, BLK), EINVAL);
		fails(daxl_lease_downgrade(NULL), EINVAL);
		fails(daxl_lease_stat(NULL, UNTOUCHED), EINVAL);
		fails(daxl_lease_stat(lease, NULL), EINVAL);
		fails(daxl_lease_state(NULL), EINVAL);
		fails(daxl_busy(NULL, 0, BLK, NULL, 0), EINVAL);
		fails(daxl_busy(file, 0, BLK, NULL, 1), EINVAL);
		fails(daxl_check(NULL, 0, NULL, NULL), EINVAL);
		fails(daxl_stats(NULL, UNTOUCHED), EINVAL);
		fails(daxl_stats(pool, NULL), EINVAL);
	});
	ck_assert_int_eq(daxl_lease_state(lease), DAXL_LEASE_LIVE);
	daxl_lease_free(lease);
	ok(daxl_close(file));
	ok(daxl_pool_close(pool));
}
END_TEST

START_TEST(functions_that_return_nothing_ignore_null)
{
	daxl_break_end(NULL);
	daxl_cancel_all(NULL);
	daxl_cancel_free(NULL);
	daxl_lease_unpin(NULL);
	daxl_lease_free(NULL);
}
END_TEST

/* --- option structs --- */

struct newer_pool_opts {
	struct daxl_pool_opts known;
	unsigned char more[24];
};
struct newer_wait {
	struct daxl_wait known;
	unsigned char more[24];
};
struct newer_lease_opts {
	struct daxl_lease_opts known;
	unsigned char more[24];
};

START_TEST(pool_options_of_any_age)
{
	struct newer_pool_opts opts = {.known = DAXL_POOL_OPTS_INIT};
	struct daxl_pool *pool = UNTOUCHED;
	const char *path = api_path();

	opts.known.flags = DAXL_POOL_SPARSE;
	for (size_t size = 0; size < sizeof(opts.known); size++) {
		opts.known.size = size;
		fails(daxl_pool_create(path, 8 * MIB, &opts.known, &pool), EINVAL);
	}
	opts.known.size = sizeof(opts);
	for (size_t i = 0; i < sizeof(opts.more); i++) {
		opts.more[i] = 1;
		fails(daxl_pool_create(path, 8 * MIB, &opts.known, &pool), E2BIG);
		opts.more[i] = 0;
	}
	ck_assert_int_ne(access(path, F_OK), 0);
	ck_assert_ptr_eq(pool, UNTOUCHED);
	ok(daxl_pool_create(path, 8 * MIB, &opts.known, &pool));
	ok(daxl_pool_close(pool));

	pool = UNTOUCHED;
	opts.known.flags = 0;
	opts.more[23] = 1;
	fails(daxl_pool_open(path, &opts.known, &pool), E2BIG);
	opts.known.size = sizeof(opts.known) - 1;
	fails(daxl_pool_open(path, &opts.known, &pool), EINVAL);
	ck_assert_ptr_eq(pool, UNTOUCHED);
	opts.more[23] = 0;
	opts.known.size = sizeof(opts);
	ok(daxl_pool_open(path, &opts.known, &pool));
	ok(daxl_pool_close(pool));
}
END_TEST

/* Each call that takes a wait, with wait. */
static int with_wait(int which, struct daxl_file *file, const struct daxl_wait *wait)
{
	struct iovec iov = {.iov_base = (void *)(uintptr_t) "xyz", .iov_len = 3};
	struct daxl_break_handle *handle;
	struct daxl_lease_opts opts = DAXL_LEASE_OPTS_INIT;
	struct daxl_lease *lease;
	bool same;
	int rc;

	switch (which) {
	case 0:
		return (int)daxl_pwritev(file, &iov, 1, 0, 0, wait);
	case 1:
		return daxl_set_wait(file, wait);
	case 2:
		return daxl_fallocate(file, 0, 0, BLK, wait);
	case 3:
		return daxl_truncate(file, 8 * BLK, wait);
	case 4:
		return daxl_clone_range(file, 0, file, 4 * BLK, BLK, wait);
	case 5:
		return daxl_dedupe_range(file, 0, file, BLK, BLK, wait, &same);
	case 6:
		return daxl_exchange_range(file, 0, file, BLK, BLK, wait);
	case 7:
		return daxl_break(file, 0, BLK, DAXL_BREAK_UNMAP, wait);
	case 8:
		rc = daxl_break_begin(file, 0, BLK, DAXL_BREAK_UNMAP, wait, &handle);
		if (rc == 0)
			daxl_break_end(handle);
		return rc;
	case 9:
		opts.wait = wait;
		rc = daxl_lease_acquire(file, 0, BLK, &opts, &lease);
		if (rc == 0)
			daxl_lease_free(lease);
		return rc;
	default:
		ck_abort();
		return -1;
	}
}
#define WITH_WAIT 10

START_TEST(waits_of_any_age_and_bad_ones)
{
	struct daxl_pool *pool = api_pool(NULL);
	struct daxl_file *file = api_file(pool, "f", 8 * BLK);

	for (int which = 0; which < WITH_WAIT; which++) {
		struct newer_wait wait = {.known = DAXL_WAIT_INIT};
		struct daxl_lease *holder = api_lease(file, 0, DAXL_TO_END, DAXL_LEASE_READ);

		unchanged(pool, {
			for (size_t size = 0; size < sizeof(wait.known); size += 4) {
				wait.known.size = size;
				fails(with_wait(which, file, &wait.known), EINVAL);
			}
			wait.known.size = sizeof(wait);
			wait.more[0] = 1;
			fails(with_wait(which, file, &wait.known), E2BIG);
			wait.more[0] = 0;
			wait.more[23] = 1;
			fails(with_wait(which, file, &wait.known), E2BIG);
			wait.more[23] = 0;
			wait.known.timeout_ms = -2;
			fails(with_wait(which, file, &wait.known), EINVAL);
			wait.known.timeout_ms = INT64_MIN;
			fails(with_wait(which, file, &wait.known), EINVAL);
			wait.known.timeout_ms = DAXL_WAIT_POOL_DEFAULT;
			if (which != 9) { /* a lease's is ignored */
				wait.known.on_timeout = 3;
				fails(with_wait(which, file, &wait.known), EINVAL);
				wait.known.on_timeout = -1;
				fails(with_wait(which, file, &wait.known), EINVAL);
			}
		});
		wait.known.on_timeout = 0;
		ck_assert_int_eq(daxl_lease_state(holder), DAXL_LEASE_LIVE);
		daxl_lease_free(holder);
		ok(with_wait(which, file, &wait.known)); /* longer, the rest 0 */
		ok(with_wait(which, file, NULL));
	}
	ok(daxl_close(file));
	ok(daxl_pool_close(pool));
}
END_TEST

START_TEST(lease_options_of_any_age)
{
	struct daxl_pool *pool = api_pool(NULL);
	struct daxl_file *file = api_file(pool, "f", 8 * BLK);
	struct newer_lease_opts opts = {.known = DAXL_LEASE_OPTS_INIT};
	struct daxl_lease *lease = UNTOUCHED;

	for (size_t size = 0; size < sizeof(opts.known); size++) {
		opts.known.size = size;
		fails(daxl_lease_acquire(file, 0, BLK, &opts.known, &lease), EINVAL);
	}
	opts.known.size = sizeof(opts);
	for (size_t i = 0; i < sizeof(opts.more); i++) {
		opts.more[i] = 0x80;
		fails(daxl_lease_acquire(file, 0, BLK, &opts.known, &lease), E2BIG);
		opts.more[i] = 0;
	}
	ck_assert_ptr_eq(lease, UNTOUCHED);
	ok(daxl_lease_acquire(file, 0, BLK, &opts.known, &lease));
	daxl_lease_free(lease);
	/* owner and on_timeout of a lease's wait are ignored */
	struct daxl_wait wait = api_wait(0, DAXL_ON_TIMEOUT_LIMBO, 77);

	opts.known.wait = &wait;
	ok(daxl_lease_acquire(file, 0, BLK, &opts.known, &lease));
	daxl_lease_free(lease);
	ok(daxl_close(file));
	ok(daxl_pool_close(pool));
}
END_TEST

START_TEST(initialisers_are_the_defaults)
{
	struct daxl_pool_opts pool = DAXL_POOL_OPTS_INIT;
	struct daxl_wait wait = DAXL_WAIT_INIT;
	struct daxl_lease_opts lease = DAXL_LEASE_OPTS_INIT;

	ck_assert(pool.size == sizeof(pool) && pool.block_size == 0 && pool.log_size == 0 && pool.mode == 0 &&
	          pool.flags == 0 && pool.lease_break_ms == 0 && pool.checkpoint_interval_ms == 0);
	ck_assert(wait.size == sizeof(wait) && wait.timeout_ms == -1 && wait.on_timeout == DAXL_ON_TIMEOUT_FAIL &&
	          wait.owner == 0 && !wait.cancel && !wait.held);
	ck_assert(lease.size == sizeof(lease) && lease.mode == DAXL_LEASE_READ && lease.flags == 0 &&
	          lease.owner == 0 && !lease.recall && !lease.fence && !lease.release && !lease.arg &&
	          lease.break_ms == 0 && !lease.wait);
	ck_assert_int_eq(DAXL_WAIT_POOL_DEFAULT, -1);
	ck_assert_int_eq(DAXL_LEASE_READ, 0);
}
END_TEST

START_TEST(the_library_says_its_version)
{
	ck_assert_uint_eq(daxl_version(), DAXL_VERSION);
	ck_assert_uint_eq(daxl_version() >> 16, DAXL_VERSION_MAJOR);
}
END_TEST

START_TEST(success_leaves_the_last_sentence)
{
	char said[512];

	fails(daxl_pool_open("/nonexistent/pool", NULL, UNTOUCHED), ENOENT);
	snprintf(said, sizeof(said), "%s", daxl_errormsg());
	ck_assert_ptr_nonnull(strstr(said, "/nonexistent/pool"));
	errno = 4711;
	struct daxl_pool *pool = api_pool(NULL);

	ck_assert_str_eq(said, daxl_errormsg());
	ck_assert_uint_ne(daxl_owner_new(), 0);
	ck_assert_uint_ne(daxl_owner_new(), daxl_owner_new());
	ok(daxl_pool_close(pool));
	ck_assert_int_eq(errno, 4711);
	fails(daxl_pool_open("/nonexistent/pool", NULL, &pool), ENOENT);
	ck_assert_int_eq(errno, 4711);
}
END_TEST

int main(void)
{
	const struct api_case cases[] = {
		{"null", null_is_einval_in_every_function}, {"null_void", functions_that_return_nothing_ignore_null},
		{"pool_opts", pool_options_of_any_age},     {"waits", waits_of_any_age_and_bad_ones},
		{"lease_opts", lease_options_of_any_age},   {"inits", initialisers_are_the_defaults},
		{"version", the_library_says_its_version},  {"errormsg", success_leaves_the_last_sentence},
	};

	return API_RUN("api.null", cases);
}
