/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Makes a pool if there is none, adds a file to it, and lists what it holds. Run it several times with one path and
 * the pool fills up; without a path it uses a pool that is gone at the end.
 */
#include "example.h"

#include <errno.h>
#include <inttypes.h>

static int open_or_create(const char *path, struct daxl_pool **ret_pool)
{
	int err = daxl_pool_open(path, NULL, ret_pool);

	if (err == -ENOENT) {
		printf("no pool at %s yet: making one\n", path);
		err = daxl_pool_create(path, EXAMPLE_POOL_SIZE, NULL, ret_pool);
	}
	return err < 0 ? example_error(path, err) : 0;
}

/* Adds a file with some text; the first number that is free makes its name. */
static int add_file(struct daxl_pool *pool)
{
	char name[DAXL_NAME_MAX + 1], text[512];
	struct daxl_file *file;
	unsigned number = 0;
	ssize_t done;
	int err;

	do {
		snprintf(name, sizeof(name), "notes/%u", ++number);
		err = daxl_open(pool, name, O_RDWR | O_CREAT | O_EXCL, &file);
	} while (err == -EEXIST);
	if (err < 0)
		return example_error(name, err);
	snprintf(text, sizeof(text), "This is %s. A '/' in a name is a byte like any other.\n", name);
	done = daxl_pwrite(file, text, strlen(text), 0);
	if (done < 0)
		err = example_error("writing", (int)done);
	if (err == 0)
		err = daxl_setattr(file, "author", "pool_create_list", 16);
	daxl_close(file);
	return err;
}

/* Called for each name. */
static int show(const char *name, uint64_t id, void *arg)
{
	struct daxl_pool *pool = arg;
	struct daxl_file *file;
	struct daxl_stat stat;
	int err = daxl_open(pool, name, O_RDONLY, &file);

	if (err == -ENOENT)
		return 0; /* removed since: not here, but in a program with more threads */
	if (err < 0)
		return example_error(name, err);
	daxl_stat(file, &stat);
	printf("  %-16s id %" PRIu64 ", %" PRIu64 " bytes in %" PRIu64 " blocks\n", name, id, stat.size, stat.blocks);
	daxl_close(file);
	return 0;
}

static void show_pool(struct daxl_pool *pool)
{
	static const char *const granularity[] = {"byte", "cache line", "page"};
	struct daxl_pool_stat stat;

	daxl_pool_stat(pool, &stat);
	printf("pool of %" PRIu64 " KiB, blocks of %" PRIu64 " bytes, %" PRIu64 " free; flushed by the %s\n",
	       stat.pool_size >> 10, stat.block_size, stat.free_blocks, granularity[stat.granularity]);
}

int main(int argc, char **argv)
{
	struct daxl_pool *pool;
	int err, close_err;

	if (argc > 2 || (argc == 2 && strcmp(argv[1], "--help") == 0)) {
		printf("usage: %s [PATH]\n"
		       "Adds a file to the pool at PATH, made if there is none, and lists it.\n",
		       argv[0]);
		return argc > 2 ? EXIT_FAILURE : EXIT_SUCCESS;
	}
	err = argc == 2 ? open_or_create(argv[1], &pool) : example_pool_create(&pool);
	if (err < 0)
		return EXIT_FAILURE;
	err = add_file(pool);
	if (err == 0) {
		show_pool(pool);
		err = daxl_list(pool, show, pool);
	}
	close_err = daxl_pool_close(pool);
	if (close_err < 0)
		err = example_error("closing the pool", close_err);
	return err < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
