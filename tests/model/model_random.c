/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * model_random [--seed N] [--ops N] [--block-size N] [--pool-size N] [--files N] [--file-size N] [--crash-every N]
 * [--without op,op] [--dir PATH] [--verbose]
 *
 * --file-size: bytes up to which files are made on purpose; against it stands --pool-size.
 *
 * Exit status 0: no difference. Without --seed the environment's DAXL_SEED counts, else the clock. DAXL_KEEP in the environment keeps
 * the pool file after a failure.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "model.h"

#define COMPARE_EVERY 1000

static void use(const char *program)
{
	fprintf(stderr, "use: %s [--seed N] [--ops N] [--block-size N] [--pool-size N] [--files N] [--file-size N]\n"
	                "       [--crash-every N] [--without OP,OP] [--dir PATH] [--verbose]\noperations:",
	        program);
	for (unsigned i = 0; op_number(i); i++)
		fprintf(stderr, " %s", op_number(i)->name);
	fprintf(stderr, "\n");
	exit(2);
}

static uint64_t number(const char *text)
{
	char *end;
	unsigned long long n = strtoull(text, &end, 0);

	if (*end) {
		fprintf(stderr, "'%s' is not a number\n", text);
		exit(2);
	}
	return n;
}

static const char *read_options(int argc, char **argv)
{
	static const struct option options[] = {
		{ "seed", required_argument, NULL, 's' },       { "ops", required_argument, NULL, 'o' },
		{ "block-size", required_argument, NULL, 'b' }, { "pool-size", required_argument, NULL, 'p' },
		{ "files", required_argument, NULL, 'f' },      { "crash-every", required_argument, NULL, 'c' },
		{ "without", required_argument, NULL, 'w' },    { "dir", required_argument, NULL, 'd' },
		{ "file-size", required_argument, NULL, 'l' },  { "verbose", no_argument, NULL, 'v' },
		{ NULL, 0, NULL, 0 },
	};
	const char *seed = getenv("DAXL_SEED"), *dir = getenv("TMPDIR");
	int opt;

	if (!dir)
		dir = usual_dir();
	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (opt) {
		case 's':
			seed = optarg;
			break;
		case 'o':
			model.ops = number(optarg);
			break;
		case 'b':
			model.block = number(optarg);
			break;
		case 'p':
			model.pool_size = number(optarg);
			break;
		case 'f':
			model.nfiles = (unsigned)number(optarg);
			break;
		case 'c':
			model.crash_every = (unsigned)number(optarg);
			break;
		case 'l':
			model.maxlen = number(optarg);
			break;
		case 'w':
			ops_leave_out(optarg);
			break;
		case 'd':
			dir = optarg;
			break;
		case 'v':
			model.verbose = true;
			break;
		default:
			use(argv[0]);
		}
	}
	if (optind < argc || model.nfiles == 0 || 2 * model.nfiles > MAX_NAMES || (model.block & (model.block - 1)) ||
	    model.block < 4096 || model.block > (1u << 21))
		use(argv[0]);
	model.seed = seed ? number(seed) : (uint64_t)time(NULL) ^ (uint64_t)getpid() << 20;
	return dir;
}

int main(int argc, char **argv)
{
	model.ops = 3000;
	model.block = 4096;
	model.nfiles = 4;
	model.crash_every = 400;
	ops_collect();
	set_up(read_options(argc, argv));
	printf("seed %" PRIu64 "\n", model.seed);
	fflush(stdout);
	pool_start();
	for (model.step = 1; model.step <= model.ops; model.step++) {
		run_op(any_op());
		if (model.step % COMPARE_EVERY == 0)
			verify_all();
		if (model.crash_every && model.step % model.crash_every == 0)
			pool_crash();
	}
	pool_finish();
	printf("%" PRIu64 " steps: %" PRIu64 " crashes, %" PRIu64 " reopens, %" PRIu64 " refusals by holders, %" PRIu64
	       " without room, %" PRIu64 " recalls, %" PRIu64 " stores, %" PRIu64 " commits, %" PRIu64 " limbos, %" PRIu64 " fences\n",
	       model.ops, model.crashes, model.reopens, model.refused, model.lacked, model.recalls, model.scribbles, model.commits,
	       model.limbos, model.fences);
	clean_up();
	return 0;
}
