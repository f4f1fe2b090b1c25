/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Every operation alone, and in sequences of two and three over several files, crashed everywhere (P43 and its kin): after reopening
 * the files are as before or after the call that was under way, nothing of a returned call is lost (L15), and no block leaks. Also: opening
 * after creation, clean close, creation itself, growth and repair.
 *
 *   test_images [--long] [--images N] [--ops NAME[,NAME...]] [--scenario N] [--list]
 *
 * --images N: sequences (or the operations named) until there are so many distinct images. --long: more at each fence, and 10^6.
 *
 * Environment: DAXL_SEED; DAXL_CRASH_DUMP names a file for the image that failed.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "check/check.h"
#include "crash.h"
#include "media/superblock.h"

#define PREFIX ""

static uint64_t seed, scenario;
static const char *scenario_ops;

static const struct budget quick = { .exhaustive = 6, .singles = 8, .others = 8, .again = 24, .check = 32, .inner = 4 };
static const struct budget thorough = { .exhaustive = 9, .singles = 20, .others = 40, .again = 40, .check = 64, .inner = 4 };
/* For checkpoints: a slot torn by one crash is written again by the recovery, which crashes too. */
static const struct budget deep = { .exhaustive = 6, .singles = 32, .others = 8, .again = 2, .check = 32, .inner = 7 };
static const struct budget *budget = &quick;

struct image {
	uint8_t *base;
	uint64_t size;
};

static struct daxl_pool *load(const struct image *image)
{
	struct daxl_pool *pool = NULL;

	must(pool_load(image->base, image->size, &pool));
	return pool;
}

static void no_begin(struct run *run, const char *what)
{
	(void)run;
	(void)what;
}

static void no_end(struct run *run)
{
	(void)run;
}

/* A pool with files of mixed maps, closed or left as a crash leaves it. */
static void prepare(struct image *image, struct state *model, const char *list, uint64_t *rng)
{
	static const uint32_t block_sizes[] = { 4096, 4096, 4096, 8192, 16384 };
	struct daxl_pool_opts opts = DAXL_POOL_OPTS_INIT;
	struct daxl_pool *pool;

	opts.block_size = block_sizes[rnd_below(rng, DAXL_ARRAY_LEN(block_sizes))];
	/* That many blocks a file has with small ones only. */
	if (strstr(list, "many-runs"))
		opts.block_size = 4096;
	image->size = 4u << 20;
	image->base = xalloc(image->size);
	pool = pool_make(image->base, image->size, &opts);
	struct run run = { .pool = pool, .prefix = PREFIX, .model = model, .rng = rnd(rng), .block = opts.block_size,
		           .begin = no_begin, .end = no_end };

	op_find("create")->run(&run);
	op_find("create")->run(&run);
	for (unsigned i = 0; i < 4; i++)
		op_find("append")->run(&run);
	for (uint64_t i = rnd_below(rng, 8); i-- > 0;) {
		const struct op *op = &ops[rnd_below(rng, nops - 1)];

		if (strncmp(op->name, "unlink", 6) != 0 && strcmp(op->name, "rename-replace") != 0 &&
		    strcmp(op->name, "limbo") != 0)
			op->run(&run);
	}
	if (rnd_below(rng, 2)) {
		must(daxl_pool_close(pool));
		return;
	}
	pool_crash(pool);
}

static void say_scenario(void)
{
	fprintf(stderr, "  scenario %" PRIu64 ", operations %s\n", scenario, scenario_ops);
	fprintf(stderr, "  again: DAXL_SEED=%" PRIu64 " test_images --scenario %" PRIu64 " --ops %s%s\n", seed, scenario,
	        scenario_ops, budget == &thorough ? " --long" : "");
}

static const struct op *find_op(const char *name)
{
	const struct op *op = op_find(name);

	if (!op)
		fail("no operation '%s'; see --list", name);
	return op;
}

/* What the library says of the files goes into the model: by opening a copy. Gives the copy's superblock. */
static struct daxl_md_super read_model(const struct image *image, struct state *model)
{
	struct image copy = { .base = xalloc(image->size), .size = image->size };

	memcpy(copy.base, image->base, image->size);
	struct daxl_pool *pool = load(&copy);
	struct daxl_md_super super = pool->super;

	state_read(pool, PREFIX, model);
	pool_crash(pool);
	free(copy.base);
	return super;
}

/*
 * One scenario: the open, the operations named in list (separated by commas), and perhaps the close, recorded; then all
 * crashes in it.
 */
static void run_scenario(const char *list)
{
	uint64_t rng = seed ^ scenario * UINT64_C(0xd1342543de82ef95);
	struct state model;
	struct image image;
	struct trace trace;
	struct sim sim;
	char names[256], *save = NULL;

	scenario_ops = list;
	rnd(&rng);
	state_init(&model);
	prepare(&image, &model, list, &rng);
	read_model(&image, &model);

	bool with_open = rnd_below(&rng, 4) == 0 || strcmp(list, "open") == 0;
	bool with_close = rnd_below(&rng, 4) == 0 || strcmp(list, "close") == 0;

	trace_init(&trace, image.base, image.size);
	bool slots = strstr(list, "checkpoint") || strstr(list, "unlink-open");
	const struct budget *mine = slots && !strstr(list, "many-runs") ? &deep : budget;

	sim_init(&sim, image.base, image.size, PREFIX, &rng, mine);
	sim.page = rnd_below(&rng, 4) == 0;
	trace_accept(&trace, "open", state_copy(&model), NULL);
	if (with_open)
		trace_start(&trace);
	struct daxl_pool *pool = load(&image);
	if (!with_open) {
		sim_fini(&sim);
		bool page = sim.page;

		sim_init(&sim, image.base, image.size, PREFIX, &rng, mine);
		sim.page = page;
		trace_start(&trace);
	}
	struct run run = { .pool = pool,
		           .prefix = PREFIX,
		           .model = &model,
		           .rng = rnd(&rng),
		           .block = UINT64_C(1) << pool->block_shift,
		           .trace = &trace,
		           .begin = recorded_begin,
		           .end = recorded_end };

	snprintf(names, sizeof(names), "%s", list);
	if (strcmp(list, "open") != 0 && strcmp(list, "close") != 0)
		for (char *name = strtok_r(names, ",", &save); name; name = strtok_r(NULL, ",", &save))
			for (unsigned tries = 0; tries < 20 && !find_op(name)->run(&run); tries++)
				;
	if (with_close) {
		trace_accept(&trace, "close", state_copy(&model), NULL);
		must(daxl_pool_close(pool));
		trace_stop(&trace);
	} else {
		trace_stop(&trace);
		pool_crash(pool);
	}
	sim_run(&sim, &trace, NULL);
	if (!sim.page && memcmp(sim.cache, image.base, image.size) != 0)
		fail("something was stored past the media layer");
	if (sim_unsettled(&sim))
		fail("%zu words were never flushed and fenced", sim_unsettled(&sim));
	sim_fini(&sim);
	trace_fini(&trace);
	state_free(&model);
	free(image.base);
}

/* Creation: a pool that is half made is refused, or is whole and empty. */
static void run_creation(bool garbage)
{
	uint64_t rng = seed ^ scenario * UINT64_C(0xd1342543de82ef95);
	struct image image = { .base = xalloc(4u << 20), .size = 4u << 20 };
	struct daxl_pool *pool;
	struct trace trace;
	struct state *empty = malloc(sizeof(*empty));
	struct sim sim;

	scenario_ops = garbage ? "create-pool-garbage" : "create-pool";
	if (!empty)
		fail("no memory");
	state_init(empty);
	if (garbage)
		for (uint64_t off = 0; off < image.size; off += 8) {
			uint64_t value = rnd(&rng);

			memcpy(image.base + off, &value, 8);
		}
	trace_init(&trace, image.base, image.size);
	sim_init(&sim, image.base, image.size, PREFIX, &rng, budget);
	sim.page = rnd_below(&rng, 4) == 0;
	struct accept *half = trace_accept(&trace, "pool creation", state_copy(empty), NULL);

	half->refused = true;
	trace_start(&trace);
	pool = pool_make(image.base, image.size, NULL);
	trace_accept(&trace, "pool created", empty, NULL);
	trace_stop(&trace);
	pool_crash(pool);
	sim_run(&sim, &trace, NULL);
	sim_fini(&sim);
	trace_fini(&trace);
	free(image.base);
}

/* A larger medium, with the pool at its front. */
static void widen(struct image *image)
{
	struct image wide = { .base = xalloc(2 * image->size), .size = 2 * image->size };

	memcpy(wide.base, image->base, image->size);
	free(image->base);
	*image = wide;
}

/* A growth, or a repair of a pool of which one superblock copy is bad, which writes everything anew: no file changes. */
static void run_whole_pool(bool repair)
{
	uint64_t rng = seed ^ scenario * UINT64_C(0xd1342543de82ef95);
	struct budget unchecked = *budget; /* by daxl_check: it tells of superblock copies that differ */
	struct daxl_pool *pool = NULL;
	struct daxl_media *media;
	struct state model;
	struct image image;
	struct trace trace;
	struct sim sim;

	scenario_ops = repair ? "repair" : "grow";
	state_init(&model);
	prepare(&image, &model, scenario_ops, &rng);
	if (!repair)
		widen(&image);
	struct daxl_md_super super = read_model(&image, &model);

	unchecked.check = 0;
	if (repair) {
		image.base[daxl_super_end_copy(&super) + sizeof(super) / 2] ^= 1;
	} else {
		pool = load(&image);
	}
	trace_init(&trace, image.base, image.size);
	sim_init(&sim, image.base, image.size, PREFIX, &rng, &unchecked);
	sim.page = rnd_below(&rng, 4) == 0;
	trace_accept(&trace, scenario_ops, state_copy(&model), NULL);
	trace_start(&trace);
	if (repair) {
		must(daxl_media_open_memory(image.base, image.size, false, &media));
		if (daxl_check_media(media, true, NULL, NULL) < 1)
			fail("the repair found nothing: %s", daxl_error_last());
	} else {
		must(daxl_pool_enlarge(pool, image.size));
	}
	trace_stop(&trace);
	if (pool)
		pool_crash(pool);
	sim_run(&sim, &trace, NULL);
	sim_fini(&sim);
	trace_fini(&trace);
	state_free(&model);
	free(image.base);
}

static void report(const char *what)
{
	printf("%s: %" PRIu64 " images looked at, %" PRIu64 " of them in recoveries, %zu distinct\n", what, totals.images,
	       totals.again, totals.seen.n);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	static const struct option options[] = { { "long", no_argument, NULL, 'l' },
		                                 { "images", required_argument, NULL, 'n' },
		                                 { "ops", required_argument, NULL, 'o' },
		                                 { "scenario", required_argument, NULL, 's' },
		                                 { "list", no_argument, NULL, 'L' },
		                                 { 0 } };
	const char *env = getenv("DAXL_SEED"), *list = NULL;
	uint64_t images = 0, only = 0;
	int opt;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (opt) {
		case 'l':
			budget = &thorough;
			images = images ? images : 1000000;
			break;
		case 'n':
			images = strtoull(optarg, NULL, 0);
			break;
		case 'o':
			list = optarg;
			break;
		case 's':
			only = strtoull(optarg, NULL, 0);
			break;
		case 'L':
			for (unsigned i = 0; i < nops; i++)
				puts(ops[i].name);
			return 0;
		default:
			fprintf(stderr, "usage: test_images [--long] [--images N] [--ops NAME,...] [--scenario N] [--list]\n");
			return 2;
		}
	}
	images_setup();
	seed = env ? strtoull(env, NULL, 0) : (uint64_t)time(NULL);
	printf("DAXL_SEED=%" PRIu64 "\n", seed);
	fail_context = say_scenario;
	if (list) {
		scenario = only ? only : 1;
		do {
			if (strcmp(list, "create-pool") == 0 || strcmp(list, "create-pool-garbage") == 0)
				run_creation(strcmp(list, "create-pool") != 0);
			else if (strcmp(list, "grow") == 0 || strcmp(list, "repair") == 0)
				run_whole_pool(strcmp(list, "repair") == 0);
			else
				run_scenario(list);
			scenario++;
		} while (totals.seen.n < images);
		report(list);
		return 0;
	}
	/* Each alone, then two and three at a time until there are enough images. */
	for (unsigned i = 0; i < nops; i++, scenario++)
		run_scenario(ops[i].name);
	static const char *const more[] = { "many-runs,checkpoint,write-hole,checkpoint,punch,checkpoint",
		                            "write,checkpoint,unlink,checkpoint", "unlink-open,create,unlink-open" };

	for (unsigned i = 0; i < DAXL_ARRAY_LEN(more); i++) {
		scenario++;
		run_scenario(more[i]);
	}
	scenario++;
	run_scenario("open");
	scenario++;
	run_scenario("close");
	scenario++;
	run_creation(false);
	scenario++;
	run_creation(true);
	for (unsigned i = 0; i < 8; i++) {
		scenario++;
		run_whole_pool(i % 2);
	}
	report("alone");
	uint64_t rng = seed, alone = totals.seen.n;

	do {
		char several[128];
		int len = 0;

		scenario++;
		for (uint64_t n = 2 + rnd_below(&rng, 2); n-- > 0;)
			len += snprintf(several + len, sizeof(several) - (size_t)len, "%s%s", len ? "," : "",
			                ops[rnd_below(&rng, nops - 1)].name);
		run_scenario(several);
	} while (totals.seen.n - alone < images);
	report("all");
	return 0;
}
