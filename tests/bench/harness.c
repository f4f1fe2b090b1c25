/* SPDX-License-Identifier: BSD-3-Clause */
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "report.h"
#include "timing.h"

#define COLUMNS (2 + BENCH_PEERS)

static struct {
	const char *program, *pattern;
	bool json, list, slow;
	double seconds; /* for a path */
	unsigned reps;  /* batches of a column at most */
	unsigned rows;  /* printed so far */
	struct daxl_pool *pool;
} bench = { .seconds = 1.5, .reps = TIMING_BATCHES_MAX, .pattern = "" };

_Noreturn void bench_die(const char *what)
{
	fprintf(stderr, "%s: ", bench.program);
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

void *bench_alloc(size_t size)
{
	void *memory = calloc(1, size);

	if (!memory)
		bench_die("memory");
	return memory;
}

uint64_t bench_random(void)
{
	static _Thread_local uint64_t state = 20261121;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state * UINT64_C(0x2545f4914f6cdd1d) >> 11;
}

double bench_self(const char *option, const char *argument)
{
	char exe[512], command[1024];
	ssize_t len = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	double number;
	FILE *pipe;

	if (len < 0)
		bench_die("/proc/self/exe");
	exe[len] = '\0';
	snprintf(command, sizeof(command), "'%s' %s '%s'", exe, option, argument);
	pipe = popen(command, "r");
	if (!pipe || fscanf(pipe, "%lf", &number) != 1 || pclose(pipe) != 0) {
		fprintf(stderr, "%s: '%s' failed\n", bench.program, command);
		exit(2);
	}
	return number;
}

/* --- beginning and end --- */

static void parse(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		bool more = i + 1 < argc && atof(argv[i + 1]) > 0;

		if (strcmp(argv[i], "--json") == 0) {
			bench.json = true;
		} else if (strcmp(argv[i], "--list") == 0) {
			bench.list = true;
		} else if (strcmp(argv[i], "--long") == 0) {
			bench.slow = true;
		} else if (strcmp(argv[i], "--seconds") == 0 && more) {
			bench.seconds = atof(argv[++i]);
		} else if (strcmp(argv[i], "--reps") == 0 && more) {
			bench.reps = (unsigned)atoi(argv[++i]);
		} else if (argv[i][0] != '-') {
			bench.pattern = argv[i];
		} else {
			fprintf(stderr,
			        "usage: %s [--json] [--list] [--long] [--seconds S] [--reps N] [WORD]\n"
			        "Times the library against the hardware's limit and its peers; with WORD, what\n"
			        "contains it. --seconds: for each path (1.5); --reps: batches at most; --long: the\n"
			        "large sizes too.\n",
			        argv[0]);
			exit(strcmp(argv[i], "--help") == 0 ? 0 : 2);
		}
	}
	if (bench.reps > TIMING_BATCHES_MAX)
		bench.reps = TIMING_BATCHES_MAX;
}

void bench_init(int argc, char **argv, const char *program)
{
	bench.program = program;
	parse(argc, argv);
	setenv("PMEM2_FORCE_GRANULARITY", "CACHE_LINE", 0);
	limit_init();
	timing_begin();
	if (!bench.list)
		report_header(bench.program, bench.json, bench.seconds);
}

static struct daxl_pool *create(const char *path, uint64_t bytes, const struct daxl_pool_opts *with)
{
	struct daxl_pool_opts opts = *with;
	struct daxl_pool *pool;

	opts.flags |= DAXL_POOL_SPARSE;
	bench_check(daxl_pool_create(path, bytes, &opts, &pool));
	return pool;
}

static const struct daxl_pool_opts no_opts = DAXL_POOL_OPTS_INIT;

struct daxl_pool *bench_pool_at(const char *path, uint64_t bytes)
{
	return create(path, bytes, &no_opts);
}

struct daxl_pool *bench_pool_with(uint64_t bytes, uint64_t touched, const struct daxl_pool_opts *opts)
{
	char path[64];

	snprintf(path, sizeof(path), BENCH_DIR "/daxl_bench.%ld", (long)getpid());
	bench.pool = create(path, bytes, opts);
	unlink(path);
	bench_touch(daxl_pool_base(bench.pool), touched);
	return bench.pool;
}

struct daxl_pool *bench_pool(uint64_t bytes, uint64_t touched)
{
	return bench_pool_with(bytes, touched, &no_opts);
}

bool bench_long(void)
{
	return bench.slow;
}

bool bench_wants(const char *name)
{
	return !bench.list && strstr(name, bench.pattern) != NULL;
}

int bench_end(void)
{
	if (bench.json && !bench.list)
		report_footer();
	timing_end();
	if (bench.pool)
		bench_check(daxl_pool_close(bench.pool));
	if (bench.rows == 0 && !bench.list) {
		fprintf(stderr, "%s: no name contains '%s'\n", bench.program, bench.pattern);
		return 2;
	}
	return 0;
}

/* --- paths --- */

struct bench_times bench_time(bench_fn fn, unsigned ops, const void *arg)
{
	struct timing_column column = { .fn = fn, .arg = arg, .ops = ops };
	struct bench_times times;

	timing_run(&column, 1, false, bench.reps, bench.seconds);
	times = bench_times_of(column.values, column.batches);
	free(column.values);
	return times;
}

/* Those that are there, into columns; returns how many. */
static unsigned columns_of(const struct bench_path *path, struct timing_column *columns)
{
	unsigned n = 0;

	columns[n++] = (struct timing_column){ .fn = path->ours, .arg = path->arg, .ops = path->ops };
	for (unsigned i = 0; i <= BENCH_PEERS; i++) {
		const struct bench_other *other = i ? &path->peers[i - 1] : &path->limit;

		if (other->fn)
			columns[n++] = (struct timing_column){ .fn = other->fn, .arg = other->arg,
				                        .ops = other->ops ? other->ops : path->ops };
	}
	return n;
}

void bench_measure(const struct bench_path *path, struct bench_times *times)
{
	struct timing_column columns[COLUMNS];
	unsigned n = columns_of(path, columns);
	unsigned most = path->batches && path->batches < bench.reps ? path->batches : bench.reps;

	timing_run(columns, n, path->limit.fn != NULL, most, bench.seconds);
	for (unsigned i = 0; i < n; i++) {
		times[i] = bench_times_of(columns[i].values, columns[i].batches);
		free(columns[i].values);
	}
}

void bench_run(const struct bench_path *path)
{
	struct bench_path ready = *path; /* with those peers that can be had */
	struct bench_times times[COLUMNS];
	const char *missing[BENCH_PEERS] = { NULL };

	if (bench.list)
		printf("%s\n", path->name);
	if (!bench_wants(path->name))
		return;
	for (unsigned i = 0; i < BENCH_PEERS; i++) {
		struct bench_other *peer = &ready.peers[i];

		missing[i] = peer->missing ? peer->missing(peer->arg) : NULL;
		if (missing[i])
			peer->fn = NULL;
	}
	bench_measure(&ready, times);
	report_path(&ready, times, missing, bench.rows++);
}

void bench_report(const struct bench_path *path, const struct bench_times *times)
{
	static const char *const missing[BENCH_PEERS];

	report_path(path, times, missing, bench.rows++);
}

void bench_figures(const char *name, const struct bench_figure *figures, unsigned n)
{
	if (bench_wants(name))
		report_figures(name, figures, n, bench.rows++);
}

void bench_point(const char *curve, const char *by, double x, double ns)
{
	report_point(curve, by, x, ns, bench.rows++);
}
