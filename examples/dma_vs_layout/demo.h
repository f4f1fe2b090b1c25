/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the parts of dma_vs_layout share. Two files lie in one pool:
 *
 *   A  the device reads the disk straight into its blocks, while other threads change its layout (layout.c). Its
 *      words are the disk's or zero.
 *   B  gets the blocks that A loses. It is divided into slots, and every word of a slot says where in B it belongs
 *      and how often the slot has been written (b_file.c). Any other word in it is foreign.
 */
#ifndef DEMO_H
#define DEMO_H

#include <daxlayout.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#define TRANSFER ((size_t)64 << 10) /* bytes of one read of the disk, or fewer where A's blocks are not adjacent */
#define WINDOW ((off_t)4 << 20)     /* bytes of A that the device streams into under one lease */
#define QUEUE 32u                   /* reads under way at most */
#define SLOT ((size_t)128 << 10)    /* bytes of a slot of B */
#define LAYOUT_THREADS 2u

/* Words of the default disk file: this and, below it, the number of the word. */
#define DISK_MAGIC (UINT64_C(0xd15c) << 48)
#define MAGIC_MASK (UINT64_C(0xffff) << 48)

/* The disk file, and the ways of reading it. */
struct disk;

enum count {
	COUNT_DISK_BYTES, /* that the device has read into A */
	COUNT_TRANSFERS,
	COUNT_STREAMS,   /* pieces of A that the device began to stream into: leases, in safe mode */
	COUNT_STOPPED,   /* leases of the device whose stream ended early because of a recall */
	COUNT_RECALLS,   /* leases recalled, those of the checker of A included */
	COUNT_CHANGES,   /* of A's layout */
	COUNT_FULL,      /* calls that found the pool full */
	COUNT_A_CHECKED, /* bytes of A looked at through leases */
	COUNT_A_FOREIGN, /* bytes of A that were neither the disk's nor zero */
	COUNT_B_WRITTEN, /* bytes */
	COUNT_B_CHECKED, /* bytes */
	COUNT_B_FOREIGN, /* bytes of B that B has never written */
	COUNTS
};

/* Exit statuses. */
enum { EXIT_GOOD = 0, EXIT_CORRUPT = 1, EXIT_TROUBLE = 2, EXIT_NOTHING_SHOWN = 3 };

enum change { TRUNCATE, GROW, PUNCH, ZERO, COLLAPSE, INSERT, UNLINK, CHANGES };

/* Times of the calls that recalled somebody, each layout thread for itself. */
struct waits {
	uint64_t *ns;
	size_t count;
	size_t room;
};

struct slot {
	pthread_mutex_t lock;
	uint32_t generation; /* of its latest contents; under lock */
	bool empty;          /* a hole; under lock */
};

struct demo {
	/* These stay as main sets them. */
	struct daxl_pool *pool;
	struct disk *disk;
	struct daxl_file *b;
	struct slot *slots;
	unsigned slot_count;
	size_t block_size; /* bytes */
	off_t a_size;      /* bytes that A grows to at most */
	uint64_t rate;     /* of the device, bytes a second; 0: as fast as the disk */
	uint64_t seed;
	bool unsafe;
	bool quiet;

	atomic_bool stop;
	atomic_bool failed;
	atomic_bool damage_shown;
	atomic_ullong count[COUNTS];
	atomic_ullong change[CHANGES];
};

/* main.c */
void demo_count(struct demo *demo, enum count which, uint64_t amount);
/* Says that something failed which must not, err as a call gave it, and stops the run. */
void demo_fail(struct demo *demo, const char *what, int err);
uint64_t now_ns(void);
void sleep_until(uint64_t when_ns);
/* A pseudo-random number below limit. */
uint64_t draw(uint64_t *state, uint64_t limit);

/* disk.c. Functions give 0 or a negative errno. */
int disk_open(const char *path, struct disk **ret_disk);     /* path NULL: a file of its own, gone with disk_close */
void disk_attach(struct disk *disk, void *base, size_t len); /* base: of the pool, whose memory is to be read into */
void disk_close(struct disk *disk);
const char *disk_method(const struct disk *disk);
const char *disk_source(const struct disk *disk);
bool disk_has_pattern(const struct disk *disk);
size_t disk_size(const struct disk *disk);
/* Starts a read whose end will be told with tag, below QUEUE. */
int disk_start(struct disk *disk, unsigned tag, void *addr, size_t len, off_t off);
/* Waits for the end of a read, no longer than until_ns. Gives 1 and what ended, or 0 if nothing did. */
int disk_finish(struct disk *disk, uint64_t until_ns, unsigned *ret_tag, ssize_t *ret_len);

/* device.c: bodies of threads, the argument is the demo */
extern _Thread_local uint64_t recalls_here; /* leases that calls of this thread have recalled */
void *device_thread(void *arg);
void *a_checker_thread(void *arg);

/* layout.c */
struct layout_thread {
	struct demo *demo;
	uint64_t random;
	struct waits waits;
};
void *layout_thread(void *arg);
extern const char *const change_names[CHANGES];

/* report.c */
void report_progress(struct demo *demo, unsigned second);
/* Prints the summary and gives the exit status. The threads have ended. */
int report(struct demo *demo, const struct layout_thread *layout, bool json);

/* b_file.c */
int b_create(struct demo *demo);
void b_destroy(struct demo *demo);
/* Gives a slot of B new blocks and new contents, having checked the old ones. buffer: SLOT bytes. */
int b_rewrite(struct demo *demo, unsigned number, uint64_t *buffer);
int b_check(struct demo *demo, unsigned number, uint64_t *buffer);
bool b_owns(uint64_t word);
void *b_checker_thread(void *arg);

#endif
