/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a user would take instead: kernel file systems on a loop device over tmpfs (as root, where that works), and
 * libpmemobj where it was found. Each is made when first asked for by its "missing" function, which gives NULL, or the
 * reason why it cannot be had. All of it goes with the process, however that ends.
 */
#ifndef DAXL_BENCH_PEERS_H
#define DAXL_BENCH_PEERS_H

#include "harness.h"

enum peer_fs { PEER_EXT4, PEER_XFS, PEER_TMPFS, PEER_KINDS };

/* A file on one of them, made as op_runs makes ours when it is first asked for. */
struct peer_file {
	enum peer_fs fs;
	const char *name;
	unsigned runs; /* 0: OP_WARM written blocks; 1: an empty file */
	bool sync;     /* each change is followed by fsync (overwrites: fdatasync) */
};

/* arg: a struct peer_file, each time. */
const char *peer_file_missing(const void *arg);
int peer_file_fd(const struct peer_file *pf);
void peer_file_forget(const struct peer_file *pf); /* closes and unlinks it, if it was made */
void peer_allocate(unsigned ops, const void *arg);
void peer_punch(unsigned ops, const void *arg);
void peer_truncate(unsigned ops, const void *arg);
void peer_collapse(unsigned ops, const void *arg);
void peer_insert(unsigned ops, const void *arg);
void peer_truncate_all(unsigned ops, const void *arg); /* all runs to nothing; made anew, untimed */
void peer_overwrite(unsigned ops, const void *arg);
void peer_append(unsigned ops, const void *arg);
void peer_create(unsigned ops, const void *arg); /* create, close, unlink; sync: the folder too */
void peer_fiemap(unsigned ops, const void *arg);
void peer_clone(unsigned ops, const void *arg); /* the whole file, into an empty one */
void peer_setlease(unsigned ops, const void *arg);

const char *peer_pmemobj_missing(const void *arg);
void peer_pmemobj_append(unsigned ops, const void *arg); /* transaction: allocate, write 4 KiB, link */

#endif
