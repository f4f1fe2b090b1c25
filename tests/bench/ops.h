/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Batches of operations on files of many runs, through the public calls; arg is a struct op_file each time.
 *
 * Files of many runs have one allocated block, then a hole, over and over. The blocks are unwritten, which makes no
 * difference to a map and spares memory. What a batch changes it puts back, untimed, so that every batch finds the file
 * with as many runs as the one before. A batch is at most OP_BATCH operations where that is so.
 */
#ifndef DAXL_BENCH_OPS_H
#define DAXL_BENCH_OPS_H

#include "harness.h"

#define OP_GAP 64u   /* blocks from one allocated block to the next */
#define OP_BATCH 32u /* layout changes; they fit into one gap */
#define OP_BYTES ((off_t)BENCH_BLOCK)
#define OP_PUNCH (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)

struct op_file {
	struct daxl_pool *pool;
	struct daxl_file *file;
	unsigned runs;          /* as the file was made */
	struct op_file *target; /* of op_clone */
};

struct daxl_file *op_create(struct daxl_pool *pool, const char *name);
/* A new file with runs runs, holes counted, gap blocks from one to the next: OP_GAP for what follows. */
struct op_file op_runs(struct daxl_pool *pool, const char *name, unsigned runs, unsigned gap);
/* Its blocks change places at random: neighbours in the file come to lie anywhere in the pool. */
void op_shuffle(const struct op_file *of, unsigned gap);
/* The i-th of many files, with one allocated block. */
struct daxl_file *op_one_run(struct daxl_pool *pool, unsigned i);
void op_end(struct op_file *of, const char *name); /* closes and unlinks */
void op_write_block(struct daxl_file *file, uint64_t block);
const char *op_data(void); /* OP_BATCH blocks of bytes */

/* Of one block, at some place: */
void op_map(unsigned ops, const void *arg);
void op_punch(unsigned ops, const void *arg);
void op_allocate(unsigned ops, const void *arg);
void op_truncate(unsigned ops, const void *arg);
void op_clone(unsigned ops, const void *arg); /* of a block to the target's end; the target is cut to 0 again */
/* Of one block, at the front: */
void op_collapse(unsigned ops, const void *arg);
void op_insert(unsigned ops, const void *arg);
/* Of one block, in files whose first OP_WARM blocks are written (op_warm): */
#define OP_WARM 1024u
struct op_file op_warm(struct daxl_pool *pool, const char *name);
void op_overwrite(unsigned ops, const void *arg);
void op_append(unsigned ops, const void *arg); /* the batch is cut off again */
void op_read(unsigned ops, const void *arg);
/* Of a further file in the pool: create, close, unlink. */
void op_short_life(unsigned ops, const void *arg);
/* arg points to the address of a lease: pin and unpin. */
void op_pin(unsigned ops, const void *arg);

#endif
