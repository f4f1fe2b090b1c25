/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the stress tests share: a pool, holders of leases that note what they are told, operations as data, threads held
 * at named points of the library, tagged blocks, and a watchdog that says who waits for what instead of hanging.
 */
#ifndef DAXL_TESTS_STRESS_H
#define DAXL_TESTS_STRESS_H

#include <check.h>
#include <daxlayout.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLK 4096
#define POOL_SIZE (UINT64_C(24) << 20)

/* rc is expected to be want; else the test fails and says what the library said. */
#define must_be(rc, want) stress_must_be((long long)(rc), (long long)(want), #rc, __FILE__, __LINE__)
#define must(rc) must_be(rc, 0)
void stress_must_be(long long rc, long long want, const char *what, const char *file, int line);

/* --- the pool of the test, and the watchdog --- */
extern struct daxl_pool *pool;
/* A fresh pool without a name in the file system; what: the test's name, for the watchdog. */
void stress_begin(const char *what);
void stress_begin_with(const char *what, const struct daxl_pool_opts *opts);
void stress_end(void); /* closes it: everything has to be given back */
/* A file of size bytes whose blocks carry the tag (id of the file, offset, 0); named name, opened O_RDWR. */
struct daxl_file *stress_file(const char *name, off_t size);
extern uint64_t stress_watch_ms; /* when the watchdog barks; set before stress_begin */
/* What this thread is doing, for the watchdog; a string that stays valid. */
void stress_at(const char *what);
uint64_t stress_now_ms(void);
uint64_t stress_seed(void); /* printed once; DAXL_SEED gives it */
uint64_t stress_random(uint64_t *state);

/* --- tags: every 8-byte word of a block says whose it is --- */
uint64_t tag_make(uint64_t file, uint64_t off, uint64_t generation);
void tag_fill(void *buf, size_t len, uint64_t file, off_t off, uint64_t generation); /* off: of buf in the file */
/* 0 when every word of [buf, buf + len) is zero or a tag of that file and place; else 1 and a message on stderr. */
int tag_foreign(const void *buf, size_t len, uint64_t file, off_t off);
/* The same for files among which blocks move: any place in any file with an id from lowest to highest. */
int tag_outside(const void *buf, size_t len, uint64_t lowest, uint64_t highest);
bool all_zero(const void *buf, size_t len);
uint64_t file_id(struct daxl_file *file);
uint64_t file_size(struct daxl_file *file);
uint64_t free_blocks(void);

/* --- holders --- */
struct holder {
	struct daxl_lease *lease;
	bool returns;      /* gives the lease back in the recall function */
	unsigned unpins;   /* undoes so many pins there */
	int fence_says;    /* what the fence function returns */
	void (*on_recall)(struct holder *holder);
	void (*on_fence)(struct holder *holder);
	void *arg;
	/* what it was told; atomic */
	unsigned recalls, fences, releases;
	int level, reason; /* of the recall */
	off_t off, len;
	uint64_t deadline_ns;
};
/* Options of a lease for the holder: mode and flags, owner 0. */
struct daxl_lease_opts holder_opts(struct holder *holder, uint32_t mode, uint32_t flags);
void holder_take(struct holder *holder, struct daxl_file *file, off_t off, off_t len, uint32_t mode, uint32_t flags);
void holder_take_as(struct holder *holder, struct daxl_file *file, off_t off, off_t len, uint32_t mode, uint32_t flags,
                    uint64_t owner);
/*
 * Ends the handle of a lease without pins, and waits until nobody uses the holder any more: a recall that runs on another thread may, until release.
 */
void holder_end(struct holder *holder);
unsigned holder_recalls(const struct holder *holder);
/* The address of byte off of the file under the lease; NULL for a hole. */
char *holder_addr(const struct holder *holder, off_t off);

/* --- operations as data --- */
enum op {
	OP_READ, OP_WRITE, OP_ATOMIC_WRITE, OP_ALLOCATE, OP_ALLOCATE_KEEP, OP_PUNCH, OP_ZERO, OP_ZERO_KEEP, OP_COLLAPSE,
	OP_INSERT, OP_UNSHARE, OP_TRUNCATE, OP_BREAK_WRITE, OP_BREAK_UNMAP, OP_CLONE, OP_DEDUPE, OP_EXCHANGE, OP_COPY,
	OP_COUNT
};
extern const char *const op_name[OP_COUNT];
struct call {
	enum op op;
	struct daxl_file *file;  /* of a two-file operation the destination, or the first */
	off_t off, len;          /* truncate: off is the size */
	struct daxl_file *other; /* of a two-file operation the source, or the second */
	off_t other_off;
	struct daxl_wait wait;
};
#define CALL(...) ((struct call){ .wait = DAXL_WAIT_INIT, __VA_ARGS__ })
int call_run(struct call *call); /* 0 where the call gives a count */

/* A call on a thread of its own. */
struct job {
	pthread_t thread;
	struct call call;
	int (*fn)(void *arg); /* instead of call, if not NULL */
	void *arg;
	int rc;
	bool done; /* atomic */
};
void job_start(struct job *job, const struct call *call);
void job_start_fn(struct job *job, int (*fn)(void *arg), void *arg);
bool job_done(const struct job *job);
int job_join(struct job *job);

/* --- named points of the library --- */
void points_on(void);  /* counts passages from here on; nothing is held */
void points_off(void);
unsigned point_count(const char *point);
void point_wait(const char *point, unsigned count); /* until it was passed so often since points_on */
void point_park(const char *point);                 /* the next thread that passes is held there */
void point_wait_parked(const char *point);          /* until it is there */
void point_release(const char *point);
/* The next thread that passes calls fn(arg) there. */
void point_call(const char *point, void (*fn)(void *arg), void *arg);

/* A breaker is asleep, or about to be with its wake-up counted in: it has found somebody to wait for. */
void wait_for_sleeper(unsigned n);

/* Runs the cases of a suite; forked unless CK_FORK says no. Returns the program's exit status. */
int stress_main(int argc, char **argv, Suite *suite);

#endif
