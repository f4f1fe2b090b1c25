/* SPDX-License-Identifier: BSD-3-Clause */
#include "harness.h"

#include <fcntl.h>
#include <immintrin.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define LIMIT_RING (2u << 20)   /* bytes; as large as the pool's log */
#define LIMIT_BLOCKS 1024u
#define DIR "/dev/shm"
#define WARM_UP 300e6 /* ns */

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

static struct {
	const char *program;
	const char *pattern;
	bool json, list;
	unsigned reps;
	unsigned paths; /* run so far */
	struct daxl_pool *pool;
	char *ring, *blocks;
	uint64_t ring_at;
	double started, spent; /* of the batch under way, ns */
	pthread_t other;
	pthread_mutex_t mutex;
	pthread_cond_t cond;
	bool done; /* guarded by mutex */
	void (*store_block)(void *dst, const void *src);
	const char *store_name;
} bench = { .reps = 301, .pattern = "", .mutex = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER };

static double now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

void bench_start(void)
{
	bench.started = now_ns();
}

void bench_stop(void)
{
	bench.spent += now_ns() - bench.started;
}

static _Noreturn void die(const char *what)
{
	perror(what);
	exit(2);
}

int64_t bench_check(int64_t err)
{
	if (err >= 0)
		return err;
	fprintf(stderr, "%s: %s (%s)\n", bench.program, daxl_errormsg(), strerror((int)-err));
	exit(2);
}

uint64_t bench_random(void)
{
	static uint64_t state = 20261121;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state * UINT64_C(0x2545f4914f6cdd1d) >> 11;
}

static void store_block_sse2(void *dst, const void *src)
{
	for (size_t i = 0; i < BENCH_BLOCK / 16; i++)
		_mm_stream_si128((__m128i *)dst + i, _mm_loadu_si128((const __m128i *)src + i));
}

__attribute__((target("avx"))) static void store_block_avx(void *dst, const void *src)
{
	for (size_t i = 0; i < BENCH_BLOCK / 32; i++)
		_mm256_stream_si256((__m256i *)dst + i, _mm256_loadu_si256((const __m256i *)src + i));
}

__attribute__((target("avx512f"))) static void store_block_avx512(void *dst, const void *src)
{
	for (size_t i = 0; i < BENCH_BLOCK / 64; i++)
		_mm512_stream_si512((__m512i *)dst + i, _mm512_loadu_si512((const __m512i *)src + i));
}

void limit_log_append(void)
{
	__m128i *slot = (__m128i *)(void *)(bench.ring + bench.ring_at);

	for (int i = 0; i < 4; i++)
		_mm_stream_si128(slot + i, _mm_set1_epi64x((int64_t)bench.ring_at));
	_mm_sfence();
	bench.ring_at = (bench.ring_at + 64) % LIMIT_RING;
}

void limit_store_block(const void *src, uint64_t i)
{
	bench.store_block(bench.blocks + i % LIMIT_BLOCKS * BENCH_BLOCK, src);
}

void limit_fence(void)
{
	_mm_sfence();
}

/* Touches every page for writing without changing it. */
static void touch(char *base, size_t len)
{
	if (madvise(base, len, MADV_POPULATE_WRITE) == 0)
		return;
	for (size_t i = 0; i < len; i += 4096)
		(void)__atomic_fetch_add(base + i, 0, __ATOMIC_RELAXED);
}

static char *limit_memory(size_t len)
{
	char path[] = DIR "/daxl_bench.XXXXXX";
	int fd = mkstemp(path);
	char *base;

	if (fd < 0)
		die(DIR);
	unlink(path);
	if (posix_fallocate(fd, 0, (off_t)len) != 0)
		die("room in " DIR);
	base = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (base == MAP_FAILED)
		die("mmap");
	close(fd);
	touch(base, len);
	return base;
}

static void *other_thread(void *arg)
{
	(void)arg;
	pthread_mutex_lock(&bench.mutex);
	while (!bench.done)
		pthread_cond_wait(&bench.cond, &bench.mutex);
	pthread_mutex_unlock(&bench.mutex);
	return NULL;
}

/* Reads the first line that a shell command prints. */
static void first_line(const char *command, char *line, size_t size)
{
	FILE *pipe = popen(command, "r");

	snprintf(line, size, "unknown");
	if (!pipe)
		return;
	if (fgets(line, (int)size, pipe))
		line[strcspn(line, "\n")] = '\0';
	else
		snprintf(line, size, "unknown");
	pclose(pipe);
}

static const char *granularity_name(uint32_t granularity)
{
	static const char *const names[] = { "BYTE", "CACHE_LINE", "PAGE" };

	return granularity < 3 ? names[granularity] : "?";
}

static void print_header(void)
{
	struct daxl_pool_stat stat;
	char commit[128], cpu[128];

	daxl_pool_stat(bench.pool, &stat);
	first_line("git -C '" BENCH_SOURCE_DIR "' describe --always --dirty 2>/dev/null", commit, sizeof(commit));
	first_line("sed -n 's/^model name[^:]*: *//p' /proc/cpuinfo", cpu, sizeof(cpu));
	if (bench.json) {
		printf("{\"program\":\"%s\",\"medium\":\"tmpfs file in " DIR "\",\"granularity\":\"%s\",\"forced\":%s,"
		       "\"cpu\":\"%s\",\"cpus\":%ld,\"compiler\":\"%s\",\"commit\":\"%s\",\"limit_copy\":\"%s\","
		       "\"reps\":%u,\"paths\":[",
		       bench.program, granularity_name(stat.granularity),
		       stat.flags & DAXL_POOL_STAT_FORCED ? "true" : "false", cpu, sysconf(_SC_NPROCESSORS_ONLN),
		       __VERSION__, commit, bench.store_name, bench.reps);
		return;
	}
	printf("medium:   file in " DIR " (tmpfs, not persistent), granularity %s%s, memory touched before\n",
	       granularity_name(stat.granularity), stat.flags & DAXL_POOL_STAT_FORCED ? " (forced)" : "");
	printf("machine:  %s, %ld CPUs\n", cpu, sysconf(_SC_NPROCESSORS_ONLN));
	printf("compiler: %s; commit: %s; the limit copies with %s\n", __VERSION__, commit, bench.store_name);
	printf("ns per operation; medians of %u batches, ours and limit in turn; a second thread is alive\n\n", bench.reps);
	printf("%-34s %9s %9s %9s %9s %7s %6s  %s\n", "path", "ours", "min", "limit", "min", "ratio", "goal", "limit is");
}

static void parse(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--json") == 0) {
			bench.json = true;
		} else if (strcmp(argv[i], "--list") == 0) {
			bench.list = true;
		} else if (strcmp(argv[i], "--reps") == 0 && i + 1 < argc && atoi(argv[i + 1]) > 0) {
			bench.reps = (unsigned)atoi(argv[++i]);
		} else if (argv[i][0] != '-') {
			bench.pattern = argv[i];
		} else {
			fprintf(stderr, "usage: %s [--json] [--list] [--reps N] [WORD]\n"
			        "Times paths of the library against the hardware's limit; with WORD, those that contain it.\n",
			        argv[0]);
			exit(strcmp(argv[i], "--help") == 0 ? 0 : 2);
		}
	}
}

struct daxl_pool *bench_init(int argc, char **argv, const char *program, uint64_t bytes)
{
	char path[64];

	bench.program = program;
	parse(argc, argv);
	setenv("PMEM2_FORCE_GRANULARITY", "CACHE_LINE", 0);
	bench.store_block = store_block_sse2;
	bench.store_name = "SSE2";
	if (__builtin_cpu_supports("avx")) {
		bench.store_block = store_block_avx;
		bench.store_name = "AVX";
	}
	if (__builtin_cpu_supports("avx512f")) {
		bench.store_block = store_block_avx512;
		bench.store_name = "AVX-512";
	}
	snprintf(path, sizeof(path), DIR "/daxl_bench.%ld", (long)getpid());
	bench_check(daxl_pool_create(path, bytes, NULL, &bench.pool));
	unlink(path);
	touch(daxl_pool_base(bench.pool), bytes);
	bench.ring = limit_memory(LIMIT_RING);
	bench.blocks = limit_memory((size_t)LIMIT_BLOCKS * BENCH_BLOCK);
	if (pthread_create(&bench.other, NULL, other_thread, NULL) != 0)
		die("a second thread");
	if (!bench.list)
		print_header();
	return bench.pool;
}

bool bench_wants(const char *name)
{
	return !bench.list && strstr(name, bench.pattern) != NULL;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

struct figures {
	double median, min, mean;
};

static struct figures figures(double *times, unsigned n)
{
	struct figures f = { 0 };

	for (unsigned i = 0; i < n; i++)
		f.mean += times[i] / n;
	qsort(times, n, sizeof(times[0]), by_value);
	f.median = times[n / 2];
	f.min = times[0];
	return f;
}

static double batch(bench_fn fn, unsigned ops)
{
	bench.spent = 0;
	fn(ops);
	return bench.spent / ops;
}

void bench_run(const struct bench_path *path)
{
	double *times = calloc(2 * (size_t)bench.reps, sizeof(times[0]));
	struct figures ours, limit;
	double *limits = times + bench.reps;

	if (!times)
		die("memory");
	if (bench.list)
		printf("%s\n", path->name);
	if (!bench_wants(path->name)) {
		free(times);
		return;
	}
	/* Caches, branch predictors, and as much memory as waits for its grace period when the path is walked for long. */
	for (double until = now_ns() + WARM_UP; now_ns() < until;) {
		batch(path->ours, path->ops);
		batch(path->limit, path->ops);
	}
	for (unsigned i = 0; i < bench.reps; i++) {
		times[i] = batch(path->ours, path->ops);
		limits[i] = batch(path->limit, path->ops);
	}
	ours = figures(times, bench.reps);
	limit = figures(limits, bench.reps);
	if (bench.json) {
		printf("%s\n{\"path\":\"%s\",\"ours\":%.1f,\"ours_min\":%.1f,\"ours_mean\":%.1f,\"limit\":%.1f,"
		       "\"limit_min\":%.1f,\"limit_is\":\"%s\",\"ratio\":%.2f,\"goal\":%.2f}",
		       bench.paths ? "," : "", path->name, ours.median, ours.min, ours.mean, limit.median, limit.min,
		       path->limit_name, ours.median / limit.median, path->goal);
	} else {
		char goal[16] = "";

		if (path->goal > 0)
			snprintf(goal, sizeof(goal), "%.1f", path->goal);
		printf("%-34s %9.1f %9.1f %9.1f %9.1f %7.2f %6s  %s\n", path->name, ours.median, ours.min, limit.median,
		       limit.min, ours.median / limit.median, goal, path->limit_name);
	}
	fflush(stdout);
	bench.paths++;
	free(times);
}

int bench_end(void)
{
	if (bench.json && !bench.list)
		printf("\n]}\n");
	pthread_mutex_lock(&bench.mutex);
	bench.done = true;
	pthread_cond_signal(&bench.cond);
	pthread_mutex_unlock(&bench.mutex);
	pthread_join(bench.other, NULL);
	munmap(bench.ring, LIMIT_RING);
	munmap(bench.blocks, (size_t)LIMIT_BLOCKS * BENCH_BLOCK);
	bench_check(daxl_pool_close(bench.pool));
	if (bench.paths == 0 && !bench.list) {
		fprintf(stderr, "%s: no path's name contains '%s'\n", bench.program, bench.pattern);
		return 2;
	}
	return 0;
}
