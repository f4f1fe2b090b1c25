/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the fault tests share: one mechanism that makes the n-th passage of a fault point of this thread fail, a world
 * in which every call of the library has something to work on, and a table with a row or more for each of them.
 */
#ifndef DAXL_TESTS_FAULT_FAULT_H
#define DAXL_TESTS_FAULT_FAULT_H

#include "../api/api.h"

#include <fcntl.h>

/* --- inject.c --- */

/* Every DAXL_FAULT of the library, and the error a call gives when the step behind it fails. */
struct fault_point {
	const char *name;
	int err;       /* 0: the library does without that step */
	int or_err;    /* what else it may give; 0: nothing */
	bool for_good; /* may fail every time; otherwise the library asks again until it is through */
};
#define FAULT_POINTS 19
#define LATE_FAILURE 1 /* the one for memory of maps */
extern const struct fault_point fault_points[FAULT_POINTS];

/* From now on the n-th passage of the point by this thread fails, or the n-th and all after it; others pass. */
void fault_arm(size_t point, unsigned n, bool all_after);
/* Nothing fails any more; whether the n-th was reached. */
bool fault_disarm(void);
/* Counts this thread's passages of each point, from now on until disarmed, and lets all pass. */
void fault_count(void);
extern unsigned fault_counted[FAULT_POINTS];
extern bool fault_met[FAULT_POINTS]; /* has been made to fail at least once */

/* Whether the comment above the function in the public headers names the error. */
bool fault_documented(const char *function, int err);

/* --- world.c --- */

/* What a call may store to; filled with a pattern before it, and to be found so after a failure. */
struct outs {
	struct daxl_pool *pool;
	struct daxl_file *file;
	struct daxl_lease *lease;
	struct daxl_break_handle *handle;
	struct daxl_cancel *cancel;
	struct daxl_pool_stat pool_stat;
	struct daxl_stat stat;
	struct daxl_lease_stat lease_stat;
	struct daxl_event event;
	struct daxl_stats stats;
	struct daxl_extent exts[8];
	struct daxl_holder holders[8];
	unsigned char buf[2 * BLK];
	bool same;
};

struct world {
	struct daxl_pool *pool;
	const char *path;
	struct daxl_file *f;             /* 8 blocks, a hole up to 16, 7 bytes; shares 4 with clone; attribute "old" */
	struct daxl_file *clone, *twin;  /* twin: as f, 16 blocks */
	struct daxl_file *hold;          /* 16 blocks; held lies behind them */
	struct daxl_file *aside, *quiet; /* 4 blocks each: leases over one, a drained break over the other */
	struct daxl_file *extra;         /* a second handle of hold */
	struct daxl_file *gone;          /* of a file without a name */
	struct daxl_lease *held;         /* WRITE */
	struct daxl_lease *idle, *pinned;
	struct daxl_break_handle *handle;
	struct daxl_cancel *cancel;
	const char *image; /* where the rows about whole pools work */
	struct outs out;
};
extern struct world w;

void world_make(void);
void world_end(void); /* the pool is closed, and found clean */
/* All that a user can see of files, leases and pool; exact: also times and addresses. To be freed. */
char *world_state(bool exact);
/* What a crash at this moment would leave is the files as they are. */
void world_survives(const char *label);
void outs_fill(void);
bool outs_untouched(void);

/* A closed pool that a crash left with a log to replay, one with damage that can be repaired: copied to w.image. */
void image_crashed(void);
void image_damaged(void);
void image_none(void); /* w.image is a name that no file has */
/* The crashed pool, whatever became of it: it opens and its file is there. */
void image_is_whole(void);

/* --- rows_*.c --- */

struct fault_row {
	const char *function; /* the exported one that it calls */
	const char *what;
	void (*prepare)(void); /* before each attempt, or NULL */
	long long (*call)(void);
	void (*failed)(void);       /* after a failure: looks, and tidies up; or NULL */
	void (*done)(long long rc); /* after a success: looks, and ends what the call has made; or NULL */
	bool partial;               /* may do a part, and say so by its result */
	int or_err;                 /* what else it may give, whichever step fails; 0: nothing */
};
/* A row's call, from the one expression that it is; and its entry in the row. */
#define CALL(id, ...)                   \
	static long long id(void)       \
	{                               \
		return (__VA_ARGS__);   \
	}
#define ROW(fn) .call = (fn), .what = #fn

extern const struct fault_row fault_file_rows[], fault_range_rows[], fault_lease_rows[], fault_pool_rows[];
extern const size_t fault_file_nrows, fault_range_nrows, fault_lease_nrows, fault_pool_nrows;
/* All rows one after the other: NULL behind the last. */
const struct fault_row *fault_row(size_t i);

#endif
