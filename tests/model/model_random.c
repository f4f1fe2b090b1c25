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

#define MAX_OPS 64u
#define COMPARE_EVERY 1000

struct model model;

static const struct op *ops[MAX_OPS];
static bool left_out[MAX_OPS];
static unsigned nops, total_weight;

static void collect(const struct op *list)
{
	for (; list->name; list++)
		ops[nops++] = list;
}

static void leave_out(const char *names)
{
	for (unsigned i = 0; i < nops; i++) {
		size_t len = strlen(ops[i]->name);

		for (const char *at = names; (at = strstr(at, ops[i]->name)) != NULL; at += len)
			if ((at == names || at[-1] == ',') && (at[len] == 0 || at[len] == ','))
				left_out[i] = true;
	}
}

static const struct op *any_op(void)
{
	uint64_t x = rnd(total_weight);

	for (unsigned i = 0;; i++) {
		if (left_out[i])
			continue;
		if (x < ops[i]->weight)
			return ops[i];
		x -= ops[i]->weight;
	}
}

static void use(const char *program)
{
	fprintf(stderr, "use: %s [--seed N] [--ops N] [--block-size N] [--pool-size N] [--files N] [--file-size N]\n"
	                "       [--crash-every N] [--without OP,OP] [--dir PATH] [--verbose]\noperations:",
	        program);
	for (unsigned i = 0; i < nops; i++)
		fprintf(stderr, " %s", ops[i]->name);
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
		dir = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
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
			leave_out(optarg);
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

static void make_names(void)
{
	model.nnames = 2 * model.nfiles;
	for (unsigned i = 0; i < model.nnames; i++) {
		(void)snprintf(model.name[i], sizeof(model.name[i]), "f%u", i);
		if (i % 4 == 3) { /* as long as can be, with bytes that mean nothing here */
			memset(model.name[i], '/', DAXL_NAME_MAX);
			model.name[i][0] = (char)('a' + i);
			model.name[i][1] = '\n';
			model.name[i][2] = (char)0xff;
		}
	}
}

static void set_up(const char *dir)
{
	uint64_t blocks = model.block <= 4096 ? 96 : model.block <= 65536 ? 24 : 4;

	if (model.pool_size == 0)
		model.pool_size = model.block <= 65536 ? UINT64_C(64) << 20 : UINT64_C(256) << 20;
	model.maxlen = model.maxlen >= 4 * model.block ? block_up(model.maxlen) : blocks * model.block;
	model.room = 4 * model.maxlen + 16 * model.block;
	model.start_size = model.pool_size;
	model.max_size = (uint64_t)INT64_MAX & ~(model.block - 1);
	model.rng = model.seed;
	model.io = calloc(1, model.room);
	model.io2 = calloc(1, model.room);
	if (!model.io || !model.io2)
		fail("no memory");
	for (int i = 0; i < 2; i++)
		(void)snprintf(model.path[i], sizeof(model.path[i]), "%s/daxl-model.%d.%d", dir, (int)getpid(), i);
	make_names();
}

int main(int argc, char **argv)
{
	model.ops = 3000;
	model.block = 4096;
	model.nfiles = 4;
	model.crash_every = 400;
	collect(data_ops);
	collect(range_ops);
	collect(two_ops);
	collect(name_ops);
	collect(lease_ops);
	collect(pool_ops);
	set_up(read_options(argc, argv));
	for (unsigned i = 0; i < nops; i++)
		total_weight += left_out[i] ? 0 : ops[i]->weight;
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
	free(model.io);
	free(model.io2);
	return 0;
}
