/* SPDX-License-Identifier: BSD-3-Clause */
/* What the small examples share: a command line of at most one argument, a place for a pool, and saying what failed. */
#ifndef EXAMPLE_H
#define EXAMPLE_H

#include <daxlayout.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXAMPLE_POOL_SIZE ((uint64_t)16 << 20) /* bytes */

/* Says what failed and why. err is what a call of the library gave; gives it back. */
static inline int example_error(const char *what, int err)
{
	const char *sentence = daxl_errormsg();

	fprintf(stderr, "%s: %s%s%s\n", what, strerror(-err), *sentence ? ": " : "", sentence);
	return err;
}

/* A path for a pool of our own, in memory if that can be had. */
static inline void example_pool_path(char *path, size_t size)
{
	const char *dir = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : getenv("TMPDIR");

	snprintf(path, size, "%s/daxlayout_example.%ld", dir ? dir : "/tmp", (long)getpid());
}

/*
 * Makes a pool and takes its name away at once: it lives as long as it is open, and nothing is left behind however
 * the program ends.
 */
static inline int example_pool_create(struct daxl_pool **ret_pool)
{
	char path[256];
	int err;

	example_pool_path(path, sizeof(path));
	err = daxl_pool_create(path, EXAMPLE_POOL_SIZE, NULL, ret_pool);
	if (err < 0)
		return example_error("making a pool", err);
	unlink(path);
	return 0;
}

/* The rest of main for a program without arguments: run says what the program is about, body does it in a pool. */
static inline int example_main(int argc, char **argv, const char *about, int (*body)(struct daxl_pool *pool))
{
	struct daxl_pool *pool;
	int err, close_err;

	if (argc > 1) {
		bool help = strcmp(argv[1], "--help") == 0;

		fprintf(help ? stdout : stderr, "usage: %s [--help]\n%s\n", argv[0], about);
		return help ? EXIT_SUCCESS : EXIT_FAILURE;
	}
	if (example_pool_create(&pool) < 0)
		return EXIT_FAILURE;
	err = body(pool);
	close_err = daxl_pool_close(pool);
	if (close_err < 0)
		err = example_error("closing the pool", close_err);
	return err < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
