/* SPDX-License-Identifier: BSD-3-Clause */
#include "stress.h"

#include <sched.h>
#include <time.h>
#include <unistd.h>

#include "base/hook.h"

void stress_must_be(long long rc, long long want, const char *what, const char *file, int line)
{
	if (rc != want)
		ck_abort_msg("%s:%d: %s gave %lld (%s), not %lld: %s", file, line, what, rc, rc < 0 ? strerror((int)-rc) : "",
		             want, daxl_errormsg());
}

uint64_t stress_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

/* --- watchdog --- */

#define WATCH_SLOTS 64u

static struct {
	const char *what; /* atomic */
	uint64_t since;   /* atomic */
} watch[WATCH_SLOTS];
static unsigned watch_used; /* atomic */
static _Thread_local unsigned watch_mine; /* slot + 1 */
static pthread_t watch_thread;
static pthread_mutex_t watch_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t watch_stop_cond;
static bool watch_stop;
static const char *watch_test;
uint64_t stress_watch_ms = 60000;

void stress_at(const char *what)
{
	if (watch_mine == 0)
		watch_mine = __atomic_fetch_add(&watch_used, 1, __ATOMIC_SEQ_CST) % WATCH_SLOTS + 1;
	__atomic_store_n(&watch[watch_mine - 1].since, stress_now_ms(), __ATOMIC_SEQ_CST);
	__atomic_store_n(&watch[watch_mine - 1].what, what, __ATOMIC_SEQ_CST);
}

static void print_points(void);

static void *watch_main(void *arg)
{
	uint64_t end = stress_now_ms() + *(uint64_t *)arg;
	struct timespec ts = { .tv_sec = (time_t)(end / 1000u), .tv_nsec = (long)(end % 1000u) * 1000000 };
	int rc = 0;

	pthread_mutex_lock(&watch_mutex);
	while (!watch_stop && rc == 0)
		rc = pthread_cond_timedwait(&watch_stop_cond, &watch_mutex, &ts);
	bool hangs = !watch_stop;

	pthread_mutex_unlock(&watch_mutex);
	if (!hangs)
		return NULL;
	fprintf(stderr, "watchdog: %s hangs. Who does what:\n", watch_test);
	for (unsigned i = 0; i < WATCH_SLOTS; i++) {
		const char *what = __atomic_load_n(&watch[i].what, __ATOMIC_SEQ_CST);

		if (what)
			fprintf(stderr, "  thread %u: %s, for %llu ms\n", i, what,
			        (unsigned long long)(stress_now_ms() - __atomic_load_n(&watch[i].since, __ATOMIC_SEQ_CST)));
	}
	fprintf(stderr, "Points passed:\n");
	print_points();
	abort();
}

static void watch_begin(const char *what)
{
	pthread_condattr_t attr;

	watch_test = what;
	watch_stop = false;
	memset(watch, 0, sizeof(watch));
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&watch_stop_cond, &attr);
	pthread_condattr_destroy(&attr);
	ck_assert_int_eq(pthread_create(&watch_thread, NULL, watch_main, &stress_watch_ms), 0);
	stress_at("the test itself");
}

static void watch_end(void)
{
	pthread_mutex_lock(&watch_mutex);
	watch_stop = true;
	pthread_cond_signal(&watch_stop_cond);
	pthread_mutex_unlock(&watch_mutex);
	pthread_join(watch_thread, NULL);
	pthread_cond_destroy(&watch_stop_cond);
}

/* --- pool --- */

struct daxl_pool *pool;

void stress_begin_with(const char *what, const struct daxl_pool_opts *opts)
{
	const char *dir = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : getenv("TMPDIR");
	char path[256];

	/* An ordinary file in memory has no granularity of its own that would be honest; these tests do not crash. */
	setenv("PMEM2_FORCE_GRANULARITY", "CACHE_LINE", 0);
	watch_begin(what);
	snprintf(path, sizeof(path), "%s/daxl_stress.%ld", dir ? dir : "/tmp", (long)getpid());
	unlink(path);
	must(daxl_pool_create(path, POOL_SIZE, opts, &pool));
	unlink(path);
}

void stress_begin(const char *what)
{
	stress_begin_with(what, NULL);
}

void stress_end(void)
{
	stress_at("closing the pool");
	must(daxl_pool_close(pool));
	pool = NULL;
	watch_end();
}

uint64_t file_id(struct daxl_file *file)
{
	struct daxl_stat st;

	must(daxl_stat(file, &st));
	return st.id;
}

uint64_t file_size(struct daxl_file *file)
{
	struct daxl_stat st;

	must(daxl_stat(file, &st));
	return st.size;
}

uint64_t free_blocks(void)
{
	struct daxl_pool_stat st;

	must(daxl_pool_stat(pool, &st));
	return st.free_blocks + st.pending_blocks;
}

struct daxl_file *stress_file(const char *name, off_t size)
{
	struct daxl_file *file;

	must(daxl_open(pool, name, O_RDWR | O_CREAT | O_EXCL, &file));
	if (size == 0)
		return file;
	char *buf = malloc((size_t)size);

	ck_assert_ptr_nonnull(buf);
	tag_fill(buf, (size_t)size, file_id(file), 0, 0);
	must_be(daxl_pwrite(file, buf, (size_t)size, 0), size);
	free(buf);
	return file;
}

uint64_t stress_seed(void)
{
	static uint64_t seed;

	if (seed == 0) {
		const char *given = getenv("DAXL_SEED");

		seed = given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL) * 1000003u + (uint64_t)getpid();
		if (seed == 0)
			seed = 1;
		printf("DAXL_SEED=%llu\n", (unsigned long long)seed);
		fflush(stdout);
	}
	return seed;
}

uint64_t stress_random(uint64_t *state)
{
	uint64_t x = *state += UINT64_C(0x9e3779b97f4a7c15);

	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

/* --- tags: 16 bits of file, 28 of word offset in the file, 20 of generation --- */

#define TAG_MARK UINT64_C(0x8000000000000000)

uint64_t tag_make(uint64_t file, uint64_t off, uint64_t generation)
{
	return TAG_MARK | (file & 0x7fff) << 48 | ((off >> 3) & 0xfffffff) << 20 | (generation & 0xfffff);
}

/* Devices go round the library, and so round what ThreadSanitizer could know about them. */
#define DEVICE __attribute__((no_sanitize("thread")))
typedef uint64_t __attribute__((aligned(1), may_alias)) word_t;

DEVICE void tag_fill(void *buf, size_t len, uint64_t file, off_t off, uint64_t generation)
{
	char *at = buf;
	size_t i = 0;

	for (; i + 8 <= len; i += 8)
		*(volatile word_t *)(void *)(at + i) = tag_make(file, (uint64_t)off + i, generation);
	for (uint64_t tag = tag_make(file, (uint64_t)off + i, generation); i < len; i++, tag >>= 8)
		at[i] = (char)tag;
}

DEVICE int tag_foreign(const void *buf, size_t len, uint64_t file, off_t off)
{
	const char *at = buf;

	for (size_t i = 0; i + 8 <= len; i += 8) {
		uint64_t tag = *(const volatile word_t *)(const void *)(at + i);

		if (tag != 0 && (tag ^ tag_make(file, (uint64_t)off + i, 0)) >> 20 != 0) {
			fprintf(stderr, "file %llu at %llu: found the tag of file %llu at %llu (%016llx)\n", (unsigned long long)file,
			        (unsigned long long)off + i, (unsigned long long)(tag >> 48 & 0x7fff),
			        (unsigned long long)((tag >> 20 & 0xfffffff) << 3), (unsigned long long)tag);
			return 1;
		}
	}
	return 0;
}

DEVICE int tag_outside(const void *buf, size_t len, uint64_t lowest, uint64_t highest)
{
	const char *at = buf;

	for (size_t i = 0; i + 8 <= len; i += 8) {
		uint64_t tag = *(const volatile word_t *)(const void *)(at + i), file = tag >> 48 & 0x7fff;

		if (tag != 0 && (!(tag & TAG_MARK) || file < lowest || file > highest)) {
			fprintf(stderr, "found %016llx, of file %llu, among the files %llu to %llu\n", (unsigned long long)tag,
			        (unsigned long long)file, (unsigned long long)lowest, (unsigned long long)highest);
			return 1;
		}
	}
	return 0;
}

bool all_zero(const void *buf, size_t len)
{
	const char *at = buf;

	for (size_t i = 0; i < len; i++)
		if (at[i])
			return false;
	return true;
}

/* --- holders --- */

static void on_recall(struct daxl_lease *lease, const struct daxl_recall *recall, void *arg)
{
	struct holder *h = arg;

	__atomic_store_n(&h->level, recall->level, __ATOMIC_SEQ_CST);
	__atomic_store_n(&h->reason, recall->reason, __ATOMIC_SEQ_CST);
	__atomic_store_n(&h->off, recall->off, __ATOMIC_SEQ_CST);
	__atomic_store_n(&h->len, recall->len, __ATOMIC_SEQ_CST);
	__atomic_store_n(&h->deadline_ns, recall->deadline_ns, __ATOMIC_SEQ_CST);
	__atomic_fetch_add(&h->recalls, 1, __ATOMIC_SEQ_CST);
	if (h->on_recall)
		h->on_recall(h);
	if (h->returns)
		must(daxl_lease_return(lease));
	for (unsigned i = 0; i < h->unpins; i++)
		daxl_lease_unpin(lease);
}

static int on_fence(struct daxl_lease *lease, void *arg)
{
	struct holder *h = arg;

	(void)lease;
	__atomic_fetch_add(&h->fences, 1, __ATOMIC_SEQ_CST);
	if (h->on_fence)
		h->on_fence(h);
	return __atomic_load_n(&h->fence_says, __ATOMIC_SEQ_CST);
}

static void on_release(void *arg)
{
	struct holder *h = arg;

	__atomic_fetch_add(&h->releases, 1, __ATOMIC_SEQ_CST);
}

struct daxl_lease_opts holder_opts(struct holder *holder, uint32_t mode, uint32_t flags)
{
	struct daxl_lease_opts opts = DAXL_LEASE_OPTS_INIT;

	opts.mode = mode;
	opts.flags = flags;
	opts.recall = on_recall;
	opts.fence = on_fence;
	opts.release = on_release;
	opts.arg = holder;
	return opts;
}

void holder_take_as(struct holder *holder, struct daxl_file *file, off_t off, off_t len, uint32_t mode, uint32_t flags,
                    uint64_t owner)
{
	struct daxl_lease_opts opts = holder_opts(holder, mode, flags);

	opts.owner = owner;
	must(daxl_lease_acquire(file, off, len, &opts, &holder->lease));
}

void holder_take(struct holder *holder, struct daxl_file *file, off_t off, off_t len, uint32_t mode, uint32_t flags)
{
	holder_take_as(holder, file, off, len, mode, flags, 0);
}

void holder_end(struct holder *holder)
{
	daxl_lease_free(holder->lease);
	stress_at("waiting for a release");
	while (__atomic_load_n(&holder->releases, __ATOMIC_SEQ_CST) == 0)
		sched_yield();
}

unsigned holder_recalls(const struct holder *holder)
{
	return __atomic_load_n(&holder->recalls, __ATOMIC_SEQ_CST);
}

char *holder_addr(const struct holder *holder, off_t off)
{
	struct daxl_extent exts[64];
	ssize_t n = daxl_lease_extents(holder->lease, exts, 64);

	ck_assert_msg(n >= 0 && n <= 64, "extents of a lease: %zd", n);
	for (ssize_t i = 0; i < n; i++)
		if ((uint64_t)off >= exts[i].file_off && (uint64_t)off < exts[i].file_off + exts[i].len)
			return exts[i].addr ? (char *)exts[i].addr + ((uint64_t)off - exts[i].file_off) : NULL;
	ck_abort_msg("offset %lld is not in the lease", (long long)off);
	return NULL;
}

/* --- calls --- */

const char *const op_name[OP_COUNT] = {
	[OP_READ] = "read",
	[OP_WRITE] = "write",
	[OP_ATOMIC_WRITE] = "atomic write",
	[OP_ALLOCATE] = "allocate",
	[OP_ALLOCATE_KEEP] = "allocate, size kept",
	[OP_PUNCH] = "punch",
	[OP_ZERO] = "zero range",
	[OP_ZERO_KEEP] = "zero range, size kept",
	[OP_COLLAPSE] = "collapse",
	[OP_INSERT] = "insert",
	[OP_UNSHARE] = "unshare",
	[OP_TRUNCATE] = "truncate",
	[OP_BREAK_WRITE] = "break WRITE",
	[OP_BREAK_UNMAP] = "break UNMAP",
	[OP_CLONE] = "clone",
	[OP_DEDUPE] = "dedupe",
	[OP_EXCHANGE] = "exchange",
	[OP_COPY] = "copy",
};

static int run_rw(struct call *c)
{
	char *buf = malloc((size_t)c->len);
	ssize_t n;

	ck_assert_ptr_nonnull(buf);
	tag_fill(buf, (size_t)c->len, file_id(c->file), c->off, 1);
	if (c->op == OP_READ) {
		n = daxl_pread(c->file, buf, (size_t)c->len, c->off);
	} else {
		struct iovec iov = { .iov_base = buf, .iov_len = (size_t)c->len };

		n = daxl_pwritev(c->file, &iov, 1, c->off, c->op == OP_ATOMIC_WRITE ? DAXL_WRITE_ATOMIC : 0, &c->wait);
	}
	free(buf);
	return n < 0 ? (int)n : 0;
}

/* copy_range waits as the handle says. */
static int run_copy(struct call *c)
{
	must(daxl_set_wait(c->file, &c->wait));
	ssize_t n = daxl_copy_range(c->other, c->other_off, c->file, c->off, (size_t)c->len);

	must(daxl_set_wait(c->file, NULL));
	return n < 0 ? (int)n : 0;
}

int call_run(struct call *c)
{
	static const int mode[OP_COUNT] = {
		[OP_ALLOCATE_KEEP] = FALLOC_FL_KEEP_SIZE,
		[OP_PUNCH] = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		[OP_ZERO] = FALLOC_FL_ZERO_RANGE,
		[OP_ZERO_KEEP] = FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
		[OP_COLLAPSE] = FALLOC_FL_COLLAPSE_RANGE,
		[OP_INSERT] = FALLOC_FL_INSERT_RANGE,
		[OP_UNSHARE] = FALLOC_FL_UNSHARE_RANGE,
	};
	bool same;

	switch (c->op) {
	case OP_READ:
	case OP_WRITE:
	case OP_ATOMIC_WRITE:
		return run_rw(c);
	case OP_TRUNCATE:
		return daxl_truncate(c->file, c->off, &c->wait);
	case OP_BREAK_WRITE:
		return daxl_break(c->file, c->off, c->len, DAXL_BREAK_WRITE, &c->wait);
	case OP_BREAK_UNMAP:
		return daxl_break(c->file, c->off, c->len, DAXL_BREAK_UNMAP, &c->wait);
	case OP_CLONE:
		return daxl_clone_range(c->other, c->other_off, c->file, c->off, c->len, &c->wait);
	case OP_DEDUPE:
		return daxl_dedupe_range(c->other, c->other_off, c->file, c->off, c->len, &c->wait, &same);
	case OP_EXCHANGE:
		return daxl_exchange_range(c->file, c->off, c->other, c->other_off, c->len, &c->wait);
	case OP_COPY:
		return run_copy(c);
	default:
		return daxl_fallocate(c->file, mode[c->op], c->off, c->len, &c->wait);
	}
}

static void *job_main(void *arg)
{
	struct job *job = arg;

	stress_at(job->fn ? "a job" : op_name[job->call.op]);
	job->rc = job->fn ? job->fn(job->arg) : call_run(&job->call);
	stress_at("done");
	__atomic_store_n(&job->done, true, __ATOMIC_SEQ_CST);
	return NULL;
}

void job_start(struct job *job, const struct call *call)
{
	*job = (struct job){ .call = *call };
	ck_assert_int_eq(pthread_create(&job->thread, NULL, job_main, job), 0);
}

void job_start_fn(struct job *job, int (*fn)(void *arg), void *arg)
{
	*job = (struct job){ .fn = fn, .arg = arg };
	ck_assert_int_eq(pthread_create(&job->thread, NULL, job_main, job), 0);
}

bool job_done(const struct job *job)
{
	return __atomic_load_n(&job->done, __ATOMIC_SEQ_CST);
}

int job_join(struct job *job)
{
	stress_at("joining a job");
	ck_assert_int_eq(pthread_join(job->thread, NULL), 0);
	stress_at("the test itself");
	return job->rc;
}

/* --- points --- */

#define POINTS 64u

struct point {
	const char *name;
	unsigned count, to_park, parked, released;
	void (*fn)(void *arg);
	void *arg;
};

static pthread_mutex_t points_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t points_cond = PTHREAD_COND_INITIALIZER;
static struct point points[POINTS]; /* guarded by points_mutex */

static struct point *point_of(const char *name)
{
	unsigned i = 0;

	while (points[i].name && strcmp(points[i].name, name) != 0)
		i++;
	ck_assert_uint_lt(i, POINTS - 1);
	if (!points[i].name)
		points[i].name = strdup(name);
	return &points[i];
}

static void pass(const char *name, void *unused)
{
	(void)unused;
	pthread_mutex_lock(&points_mutex);
	struct point *p = point_of(name);
	void (*fn)(void *arg) = p->fn;
	void *arg = p->arg;

	p->fn = NULL;
	p->count++;
	pthread_cond_broadcast(&points_cond);
	if (p->to_park) {
		p->to_park--;
		p->parked++;
		while (p->released == 0)
			pthread_cond_wait(&points_cond, &points_mutex);
		p->released--;
		p->parked--;
		pthread_cond_broadcast(&points_cond);
	}
	pthread_mutex_unlock(&points_mutex);
	if (fn)
		fn(arg);
}

void points_on(void)
{
	pthread_mutex_lock(&points_mutex);
	for (unsigned i = 0; i < POINTS; i++) {
		free((char *)(uintptr_t)points[i].name);
		points[i] = (struct point){ 0 };
	}
	pthread_mutex_unlock(&points_mutex);
	daxl_hook_set(pass, NULL);
}

void points_off(void)
{
	daxl_hook_set(NULL, NULL);
}

static void print_points(void)
{
	if (pthread_mutex_trylock(&points_mutex) != 0)
		return;
	for (unsigned i = 0; i < POINTS && points[i].name; i++)
		fprintf(stderr, "  %s: %u times, %u threads held\n", points[i].name, points[i].count, points[i].parked);
	pthread_mutex_unlock(&points_mutex);
}

unsigned point_count(const char *name)
{
	pthread_mutex_lock(&points_mutex);
	unsigned n = point_of(name)->count;

	pthread_mutex_unlock(&points_mutex);
	return n;
}

void point_wait(const char *name, unsigned count)
{
	stress_at(name);
	pthread_mutex_lock(&points_mutex);
	while (point_of(name)->count < count)
		pthread_cond_wait(&points_cond, &points_mutex);
	pthread_mutex_unlock(&points_mutex);
	stress_at("the test itself");
}

void point_park(const char *name)
{
	pthread_mutex_lock(&points_mutex);
	point_of(name)->to_park++;
	pthread_mutex_unlock(&points_mutex);
}

void point_wait_parked(const char *name)
{
	stress_at(name);
	pthread_mutex_lock(&points_mutex);
	while (point_of(name)->parked == 0)
		pthread_cond_wait(&points_cond, &points_mutex);
	pthread_mutex_unlock(&points_mutex);
	stress_at("the test itself");
}

void point_release(const char *name)
{
	pthread_mutex_lock(&points_mutex);
	point_of(name)->released++;
	pthread_cond_broadcast(&points_cond);
	pthread_mutex_unlock(&points_mutex);
}

void point_call(const char *name, void (*fn)(void *arg), void *arg)
{
	pthread_mutex_lock(&points_mutex);
	point_of(name)->fn = fn;
	point_of(name)->arg = arg;
	pthread_mutex_unlock(&points_mutex);
}

void wait_for_sleeper(unsigned n)
{
	point_wait("break:before-sleep", n);
}

int stress_main(int argc, char **argv, Suite *suite)
{
	SRunner *runner = srunner_create(suite);

	if (argc > 1) /* one case, by name */
		setenv("CK_RUN_CASE", argv[1], 1);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);

	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
