/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the tests of the public calls share: a scratch folder, small pools and files in it, the macros that ask a call
 * for a certain error, and a text that holds everything a user could see of a pool's files.
 */
#ifndef DAXL_TESTS_API_API_H
#define DAXL_TESTS_API_API_H

#include <check.h>
#include <daxlayout.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KIB UINT64_C(1024)
#define MIB (UINT64_C(1) << 20)
#define BLK 4096 /* block size of api_pool */

struct api_case {
	const char *name;
	const TTest *test;
};

/* Runs the cases, each by its name, in one process, with a scratch folder in tmpfs; main's result. */
int api_run(const char *suite, const struct api_case *cases, size_t n);
#define API_RUN(suite, cases) api_run(suite, cases, sizeof(cases) / sizeof((cases)[0]))

/* A path in the scratch folder that no file has; valid for good. */
const char *api_path(void);
/* A new pool of 8 MiB with 4 KiB blocks at a new path, and that path. */
struct daxl_pool *api_pool(const char **ret_path);
struct daxl_pool *api_pool_with(uint64_t size, const struct daxl_pool_opts *opts, const char **ret_path);
struct daxl_pool *api_reopen(struct daxl_pool *pool, const char *path, uint32_t flags);
/* Copies a file outside of the pool, holes left out: what a kill now would leave of a pool that is open. */
void api_copy(const char *from, const char *to);
/* Makes every page of the maps in the pool at path unreadable; gives how many. */
int api_spoil_maps(const char *path);
/* A file of size bytes of api_byte(offset), open for reading and writing. */
struct daxl_file *api_file(struct daxl_pool *pool, const char *name, uint64_t size);
unsigned char api_byte(uint64_t off);
/* Bytes [off, off + len) are api_byte of from and on; or all fill. */
void api_is_pattern(struct daxl_file *file, uint64_t off, uint64_t len, uint64_t from);
void api_is_filled(struct daxl_file *file, uint64_t off, uint64_t len, unsigned char fill);
uint64_t api_size(struct daxl_file *file);
uint64_t api_generation(struct daxl_file *file);
/* Every named file with all that can be asked of it, and its contents; to be freed. */
char *api_state(struct daxl_pool *pool);
void api_same(char *was, struct daxl_pool *pool, int line); /* frees was */
uint64_t api_hash(const char *path);                        /* of a whole file outside the pool */

struct daxl_lease *api_lease(struct daxl_file *file, off_t off, off_t len, uint32_t mode);
struct daxl_wait api_wait(int64_t timeout_ms, int on_timeout, uint64_t owner);

/* The call gives -err, and a sentence of its own; ok: 0 or more. */
#define fails(call, err) (api_before(), api_failed((long long)(call), err, #call, __LINE__))
#define ok(call) api_ok((long long)(call), #call, __LINE__)
#define is(call, want) api_is((long long)(call), (long long)(want), #call, __LINE__)
/* The statements leave no trace in the pool. */
#define unchanged(pool, ...)                    \
	do {                                    \
		char *was_ = api_state(pool);   \
		__VA_ARGS__;                    \
		api_same(was_, pool, __LINE__); \
	} while (0)

void api_before(void);
void api_failed(long long got, int err, const char *call, int line);
long long api_ok(long long got, const char *call, int line);
void api_is(long long got, long long want, const char *call, int line);

/* A pointer that no call may have stored to. */
#define UNTOUCHED ((void *)(uintptr_t)0x5a5a5a50)

#endif
