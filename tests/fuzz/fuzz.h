/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the fuzz targets share.
 *
 * Inputs are recipes, not pools: a recipe names one of a few pools that this program makes itself, always the same
 * ones, and says what to do to it. Checksums are put right after the changes, so that what the library looks at is what
 * was changed.
 */
#ifndef DAXL_TESTS_FUZZ_FUZZ_H
#define DAXL_TESTS_FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "log/slots.h"
#include "media/format.h"

/* --- what libFuzzer calls, and what it offers --- */
int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

/* Says what is wrong and aborts. */
void fuzz_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));

/* --- random.c --- */
uint64_t fuzz_rnd(uint64_t *rng, uint64_t n); /* 0 to n - 1; n 0: any 64 bits */
/* A value that is likely to hurt; which one follows from pick. */
uint64_t fuzz_evil(uint64_t pick);
/* What the library gets from getrandom(2) begins anew. */
void fuzz_random_seed(uint64_t seed);

/* --- pools.c: the pools to begin with --- */
#define FUZZ_POOLS 6u

struct fuzz_object { /* a page, or a place of a superblock or slot */
	uint32_t page;
	uint32_t twin; /* another that is a copy of it; itself: there is none */
};

/* Things of one kind that a recipe can choose from. */
enum fuzz_kind {
	FUZZ_SUPER,
	FUZZ_SLOT,
	FUZZ_DIR,
	FUZZ_TABLE,
	FUZZ_LEAF,
	FUZZ_INNER,
	FUZZ_PAYLOAD,
	FUZZ_SUMMARY,
	FUZZ_PAGE_KINDS,
	FUZZ_RECORD = FUZZ_PAGE_KINDS,
	FUZZ_KINDS
};

struct fuzz_pool {
	char *base;    /* its bytes, private to this process, between two pages that may not be touched */
	uint64_t size; /* of the medium */
	struct daxl_md_super super;
	struct daxl_md_slot slot; /* the newest */
	unsigned shift;           /* of a block */
	struct fuzz_object *objects[FUZZ_PAGE_KINDS];
	size_t nobjects[FUZZ_PAGE_KINDS];
	uint64_t *records; /* positions */
	size_t nrecords;
	uint64_t head;   /* behind the last record */
	uint32_t *spare; /* blocks that nothing is in */
	size_t nspare;
};

/* The pool as it was made, whatever was done to it before. */
struct fuzz_pool *fuzz_pool_get(unsigned which);
void fuzz_pool_reset(struct fuzz_pool *pool);
/* Where the slot of a log position lies. */
struct daxl_md_rec *fuzz_record_at(const struct fuzz_pool *pool, uint64_t position);

/* --- verdict.c --- */
/*
 * Does to the pool whatever can be done to one, and fails where two answers do not go together. spoil applies the
 * recipe to a pool that has just been reset.
 */
void fuzz_judge(struct fuzz_pool *pool, void (*spoil)(struct fuzz_pool *pool, void *arg), void *arg);

#endif
