/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The shared library as a plug-in finds it: loaded with dlopen by a program that is not linked to it, every function
 * of the version script looked up under its version, used through the pointers, closed while nothing is open.
 *
 * usage: load LIBRARY VERSION_SCRIPT
 */
#include <daxlayout.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void *lib;
static int failed;

static void *look_up(const char *name)
{
	void *at = dlvsym(lib, name, "DAXL_0.1");

	if (!at) {
		printf("FAIL: %s\n", dlerror());
		failed = 1;
	}
	return at;
}

/* Each name of the version script. */
static int look_all_up(const char *path)
{
	char line[256], name[128];
	FILE *map = fopen(path, "r");
	int n = 0;

	if (!map) {
		perror(path);
		return -1;
	}
	while (fgets(line, sizeof(line), map))
		if (sscanf(line, " %127[a-z0-9_];", name) == 1 && strncmp(name, "daxl_", 5) == 0 && look_up(name))
			n++;
	fclose(map);
	return n;
}

/* What is expected, or a line that says what was not. */
static void expect(int right, const char *what)
{
	if (right)
		return;
	printf("FAIL: %s\n", what);
	failed = 1;
}

#define USE(name) __typeof__(name) *name##_p = (__typeof__(name) *)(uintptr_t)look_up(#name)

static void use(void)
{
	struct daxl_pool_opts opts = DAXL_POOL_OPTS_INIT;
	char path[] = "/tmp/daxl-load.XXXXXX", buf[5];
	struct daxl_pool *pool;
	struct daxl_file *file;
	int fd = mkstemp(path);

	USE(daxl_version);
	USE(daxl_errormsg);
	USE(daxl_pool_create);
	USE(daxl_pool_open);
	USE(daxl_pool_close);
	USE(daxl_open);
	USE(daxl_close);
	USE(daxl_pwrite);
	USE(daxl_pread);

	if (failed || fd < 0)
		return;
	close(fd);
	opts.flags = DAXL_POOL_SPARSE;
	expect(daxl_version_p() == DAXL_VERSION, "the version is another");
	expect(daxl_pool_open_p("/nonexistent/pool", NULL, &pool) == -ENOENT, "a pool that is not there opens");
	expect(strlen(daxl_errormsg_p()) > 0, "nothing is said");
	if (daxl_pool_create_p(path, 8u << 20, &opts, &pool) == 0) {
		expect(daxl_open_p(pool, "f", O_RDWR | O_CREAT, &file) == 0, "a file cannot be made");
		expect(daxl_pwrite_p(file, "hello", 5, 0) == 5, "it cannot be written");
		expect(daxl_pread_p(file, buf, 5, 0) == 5 && memcmp(buf, "hello", 5) == 0, "it cannot be read");
		expect(daxl_close_p(file) == 0 && daxl_pool_close_p(pool) == 0, "it cannot be closed");
	} else {
		expect(0, daxl_errormsg_p());
	}
	unlink(path);
}

int main(int argc, char **argv)
{
	if (argc != 3) {
		fprintf(stderr, "usage: %s LIBRARY VERSION_SCRIPT\n", argv[0]);
		return 2;
	}
	lib = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
	if (!lib) {
		printf("FAIL: %s\n", dlerror());
		return 1;
	}
	int n = look_all_up(argv[2]);

	expect(n > 50, "the version script has too few names");
	expect(!dlsym(lib, "daxl_fail") && !dlsym(lib, "daxl_error_record"), "internal names are visible");
	dlerror();
	use();
	if (!failed)
		printf("ok: %d functions looked up\n", n);
	return failed;
}
