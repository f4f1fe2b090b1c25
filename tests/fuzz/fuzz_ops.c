/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Bytes as operations: the model of tests/model (an array of bytes a file, leases with their holders, crashes), with an
 * input in place of its random numbers.
 *
 * An input is a byte that chooses the kind of pool, and steps of 16 bytes. The first byte of a step says which
 * operation, the others are the choices it makes; one that makes more goes on with numbers that follow from the step.
 * So a step means the same wherever it stands, as far as the files are the same.
 */
#include <stdlib.h>
#include <string.h>

#include "../model/model.h"
#include "fuzz.h"

#define STEP 16u
#define STEPS_MAX 120u
#define KINDS 4u

static const struct kind {
	uint64_t block, pool_size, maxlen;
	unsigned nfiles;
} kinds[KINDS] = {
	{4096, 4u << 20, 24u << 12, 3},
	{4096, 4u << 20, 160u << 12, 6}, /* the pool gets full */
	{65536, 8u << 20, 8u << 16, 3},
	{4096, 16u << 20, 64u << 12, 2},
};

static unsigned nops;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	(void)setenv("PMEM2_FORCE_GRANULARITY", "CACHE_LINE", 1);
	ops_collect();
	while (op_number(nops))
		nops++;
	return 0;
}

/* The model anew, empty. */
static void begin(const struct kind *kind)
{
	memset(&model, 0, sizeof(model));
	model.block = kind->block;
	model.pool_size = kind->pool_size;
	model.maxlen = kind->maxlen;
	model.nfiles = kind->nfiles;
	model.crash_every = 1;
	model.verbose = getenv("FUZZ_VERBOSE") != NULL;
	set_up(usual_dir());
	pool_start();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1 + STEP)
		return 0;
	fuzz_random_seed(3);
	begin(&kinds[data[0] % KINDS]);
	for (size_t at = 1; at + STEP <= size && model.step < STEPS_MAX; at += STEP) {
		model.step++;
		memcpy(&model.rng, data + at, sizeof(model.rng));
		model.choices = data + at + 1;
		model.choices_end = data + at + STEP;
		run_op(op_number(data[at] % nops));
	}
	model.choices = model.choices_end;
	pool_finish();
	clean_up();
	return 0;
}

static void new_step(uint8_t *to, uint64_t *rng)
{
	for (unsigned i = 0; i < STEP; i++)
		to[i] = (uint8_t)fuzz_rnd(rng, fuzz_rnd(rng, 4) ? 256 : 16);
	for (unsigned tries = 0; tries < 2 && op_number(to[0] % nops)->weight < 5; tries++)
		to[0] = (uint8_t)fuzz_rnd(rng, 256); /* reopening and the like: less often */
}

/* Adds, changes, doubles, exchanges or removes a step. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
	uint64_t rng = seed;
	size_t room = (max_size - 1) / STEP;

	if (max_size < 1 + STEP)
		return size;
	if (size < 1)
		data[0] = (uint8_t)fuzz_rnd(&rng, KINDS);
	if (room > STEPS_MAX)
		room = STEPS_MAX;
	size_t n = size < 1 ? 0 : (size - 1) / STEP < room ? (size - 1) / STEP : room;
	uint8_t *at = data + 1 + (n ? fuzz_rnd(&rng, n) : 0) * STEP, *end = data + 1 + n * STEP;
	uint64_t what = fuzz_rnd(&rng, 16);

	if (n == 0) {
		for (; n < 8 && n < room; n++)
			new_step(data + 1 + n * STEP, &rng);
	} else if (what < 6) { /* some more, mostly at the end */
		size_t more = 1 + fuzz_rnd(&rng, 6);

		if (what < 3)
			at = end;
		for (; more-- && n < room; n++, end += STEP) {
			memmove(at + STEP, at, (size_t)(end - at));
			new_step(at, &rng);
		}
	} else if (what < 7) {
		data[0] = (uint8_t)fuzz_rnd(&rng, KINDS);
	} else if (what < 9 && n > 1) {
		memmove(at, at + STEP, (size_t)(end - at) - STEP);
		n--;
	} else if (what < 10 && n < room) {
		memcpy(end, at, STEP);
		n++;
	} else if (what < 12) {
		new_step(at, &rng);
	} else {
		(void)LLVMFuzzerMutate(at, STEP, STEP);
	}
	return 1 + n * STEP;
}
