/* SPDX-License-Identifier: BSD-3-Clause */
#include "api.h"

#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>

#include "base/error.h"
#include "media/format.h"

#define UNSAID "nothing was said"

static char folder[256];
static char **paths; /* given out; they live until the end */
static size_t npaths;

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st, (void)flag, (void)ftw;
	(void)remove(path);
	return 0;
}

int api_run(const char *suite, const struct api_case *cases, size_t n)
{
	const char *base = getenv("TMPDIR");

	if (!base)
		base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
	snprintf(folder, sizeof(folder), "%s/daxl-api.XXXXXX", base);
	if (!mkdtemp(folder)) {
		perror(folder);
		return 1;
	}
	Suite *s = suite_create(suite);

	for (size_t i = 0; i < n; i++) {
		TCase *tc = tcase_create(cases[i].name);

		tcase_set_timeout(tc, 300);
		tcase_add_test(tc, cases[i].test);
		suite_add_tcase(s, tc);
	}
	SRunner *runner = srunner_create(s);

	srunner_set_fork_status(runner, CK_NOFORK); /* RCU's threads do not survive a fork */
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);

	srunner_free(runner);
	nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	while (npaths > 0)
		free(paths[--npaths]);
	free(paths);
	return failed ? 1 : 0;
}

const char *api_path(void)
{
	if (npaths % 64 == 0)
		paths = realloc(paths, (npaths + 64) * sizeof(*paths));
	ck_assert_ptr_nonnull(paths);
	ck_assert_int_gt(asprintf(&paths[npaths], "%s/%zu", folder, npaths), 0);
	return paths[npaths++];
}

struct daxl_pool *api_pool_with(uint64_t size, const struct daxl_pool_opts *opts, const char **ret_path)
{
	struct daxl_pool *pool = NULL;
	const char *path = api_path();

	ok(daxl_pool_create(path, size, opts, &pool));
	if (ret_path)
		*ret_path = path;
	return pool;
}

struct daxl_pool *api_pool(const char **ret_path)
{
	struct daxl_pool_opts opts = DAXL_POOL_OPTS_INIT;

	opts.flags = DAXL_POOL_SPARSE;
	return api_pool_with(8 * MIB, &opts, ret_path);
}

struct daxl_pool *api_reopen(struct daxl_pool *pool, const char *path, uint32_t flags)
{
	struct daxl_pool_opts opts = DAXL_POOL_OPTS_INIT;

	opts.flags = flags;
	ok(daxl_pool_close(pool));
	ok(daxl_pool_open(path, &opts, &pool));
	return pool;
}

void api_copy(const char *from, const char *to)
{
	static unsigned char buf[64 * 1024];
	int in = open(from, O_RDONLY | O_CLOEXEC), out = open(to, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	off_t at = 0;
	ssize_t n;

	ck_assert_int_ge(in, 0);
	ck_assert_int_ge(out, 0);
	for (; (n = pread(in, buf, sizeof(buf), at)) > 0; at += n) {
		bool any = false;

		for (ssize_t i = 0; i < n && !any; i++)
			any = buf[i] != 0;
		if (any)
			ck_assert_int_eq(pwrite(out, buf, (size_t)n, at), n);
	}
	ck_assert_int_eq(ftruncate(out, at), 0);
	close(in);
	close(out);
}

int api_spoil_maps(const char *path)
{
	static unsigned char page[4096];
	int fd = open(path, O_RDWR | O_CLOEXEC), spoilt = 0;

	for (off_t at = 0; pread(fd, page, sizeof(page), at) == (ssize_t)sizeof(page); at += 4096) {
		struct daxl_md_page head;

		memcpy(&head, page, sizeof(head));
		if (head.magic != DAXL_PAGE_MAGIC || head.type != DAXL_PAGE_ROPE)
			continue;
		page[70] ^= 0x10;
		ck_assert_int_eq(pwrite(fd, page, sizeof(page), at), (ssize_t)sizeof(page));
		spoilt++;
	}
	close(fd);
	return spoilt;
}

unsigned char api_byte(uint64_t off)
{
	return (unsigned char)(off * 31 + off / 251 + 7);
}

struct daxl_file *api_file(struct daxl_pool *pool, const char *name, uint64_t size)
{
	struct daxl_file *file = NULL;
	unsigned char *buf = malloc(size + 1);

	for (uint64_t i = 0; i < size; i++)
		buf[i] = api_byte(i);
	ok(daxl_open(pool, name, O_RDWR | O_CREAT | O_TRUNC, &file));
	is(daxl_pwrite(file, buf, size, 0), size);
	free(buf);
	return file;
}

static unsigned char *contents(struct daxl_file *file, uint64_t off, uint64_t len)
{
	unsigned char *buf = malloc(len + 1);

	is(daxl_pread(file, buf, len, (off_t)off), len);
	return buf;
}

void api_is_pattern(struct daxl_file *file, uint64_t off, uint64_t len, uint64_t from)
{
	unsigned char *buf = contents(file, off, len);

	for (uint64_t i = 0; i < len; i++)
		if (buf[i] != api_byte(from + i))
			ck_abort_msg("byte %" PRIu64 " is %u, not %u", off + i, buf[i], api_byte(from + i));
	free(buf);
}

void api_is_filled(struct daxl_file *file, uint64_t off, uint64_t len, unsigned char fill)
{
	unsigned char *buf = contents(file, off, len);

	for (uint64_t i = 0; i < len; i++)
		if (buf[i] != fill)
			ck_abort_msg("byte %" PRIu64 " is %u, not %u", off + i, buf[i], fill);
	free(buf);
}

static struct daxl_stat stat_of(struct daxl_file *file)
{
	struct daxl_stat st;

	ok(daxl_stat(file, &st));
	return st;
}

uint64_t api_size(struct daxl_file *file)
{
	return stat_of(file).size;
}

uint64_t api_generation(struct daxl_file *file)
{
	return stat_of(file).generation;
}

static uint64_t hash(uint64_t h, const unsigned char *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		h = (h ^ bytes[i]) * UINT64_C(0x100000001b3);
	return h;
}

/* --- the state as text --- */

struct state {
	struct daxl_pool *pool;
	char *lines[256];
	size_t n;
};

static int add_file(const char *name, uint64_t id, void *arg)
{
	struct state *state = arg;
	struct daxl_file *file;
	struct daxl_extent exts[512];
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	ok(daxl_open(state->pool, name, O_RDONLY, &file));
	struct daxl_stat st = stat_of(file);
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	for (uint64_t at = 0; at < st.size && at < 64 * MIB; at += 64 * KIB) {
		uint64_t piece = st.size - at < 64 * KIB ? st.size - at : 64 * KIB;
		unsigned char *buf = contents(file, at, piece);

		h = hash(h, buf, piece);
		free(buf);
	}
	fprintf(out,
	        "'%s' %" PRIu64 " size %" PRIu64 " blocks %" PRIu64 " runs %" PRIu64 " gen %" PRIu64 " times %" PRIu64
	        " %" PRIu64 " %" PRIu64 " hash %" PRIx64 ":",
	        name, id, st.size, st.blocks, st.runs, st.generation, st.mtime_ns, st.ctime_ns, st.btime_ns, h);
	ssize_t n = daxl_map(file, 0, DAXL_TO_END, exts, 512);

	ck_assert_int_ge(n, 0);
	ck_assert_int_le(n, 512);
	for (ssize_t i = 0; i < n; i++) {
		struct daxl_extent *e = &exts[i];

		/* What was shared is shown so until freed blocks really are free: that ends by itself. */
		e->flags &= ~(uint32_t)DAXL_EXTENT_SHARED;
		if (i + 1 < n && (exts[i + 1].flags & ~(uint32_t)DAXL_EXTENT_SHARED) == e->flags &&
		    e->pool_off + e->len == exts[i + 1].pool_off) {
			exts[i + 1].file_off = e->file_off;
			exts[i + 1].pool_off = e->pool_off;
			exts[i + 1].len += e->len;
			continue;
		}
		fprintf(out, " %" PRIx64 "+%" PRIx64 "@%" PRIx64 "/%x", e->file_off, e->len, e->pool_off, e->flags);
	}
	fclose(out);
	ok(daxl_close(file));
	ck_assert_uint_lt(state->n, 256);
	state->lines[state->n++] = text;
	return 0;
}

static int order(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

char *api_state(struct daxl_pool *pool)
{
	struct state state = {.pool = pool};
	char *text = NULL;
	size_t len = 0;

	ok(daxl_list(pool, add_file, &state));
	qsort(state.lines, state.n, sizeof(char *), order);
	FILE *out = open_memstream(&text, &len);

	for (size_t i = 0; i < state.n; i++) {
		fprintf(out, "%s\n", state.lines[i]);
		free(state.lines[i]);
	}
	fclose(out);
	return text;
}

void api_same(char *was, struct daxl_pool *pool, int line)
{
	char *is_now = api_state(pool);

	if (strcmp(was, is_now) != 0)
		ck_abort_msg("line %d: something has changed:\n%s---\n%s", line, was, is_now);
	free(was);
	free(is_now);
}

uint64_t api_hash(const char *path)
{
	static unsigned char buf[64 * 1024];
	uint64_t h = UINT64_C(0xcbf29ce484222325);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	ck_assert_int_ge(fd, 0);
	while ((n = read(fd, buf, sizeof(buf))) > 0)
		h = hash(h, buf, (size_t)n);
	close(fd);
	return h;
}

/* --- leases --- */

struct daxl_lease *api_lease(struct daxl_file *file, off_t off, off_t len, uint32_t mode)
{
	struct daxl_lease_opts opts = DAXL_LEASE_OPTS_INIT;
	struct daxl_lease *lease = NULL;

	opts.mode = mode;
	ok(daxl_lease_acquire(file, off, len, &opts, &lease));
	return lease;
}

struct daxl_wait api_wait(int64_t timeout_ms, int on_timeout, uint64_t owner)
{
	struct daxl_wait wait = DAXL_WAIT_INIT;

	wait.timeout_ms = timeout_ms;
	wait.on_timeout = on_timeout;
	wait.owner = owner;
	return wait;
}

/* --- results --- */

void api_before(void)
{
	daxl_error_record(1, UNSAID);
}

void api_failed(long long got, int err, const char *call, int line)
{
	const char *said = daxl_errormsg();

	if (got != -err)
		ck_abort_msg("line %d: %s gave %lld (%s), not %d (%s); it said: %s", line, call, got,
		             got < 0 ? strerror((int)-got) : "success", -err, strerror(err), said);
	if (strcmp(said, UNSAID) == 0 || strlen(said) < 8 || !strchr(said, ' '))
		ck_abort_msg("line %d: %s gave %lld, and said: '%s'", line, call, got, said);
}

long long api_ok(long long got, const char *call, int line)
{
	if (got < 0)
		ck_abort_msg("line %d: %s gave %lld (%s): %s", line, call, got, strerror((int)-got), daxl_errormsg());
	return got;
}

void api_is(long long got, long long want, const char *call, int line)
{
	if (got != want)
		ck_abort_msg("line %d: %s gave %lld, not %lld; last failure: %s", line, call, got, want,
		             daxl_errormsg());
}
