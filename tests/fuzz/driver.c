/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A main for compilers without libFuzzer.
 *
 * usage: fuzz_TARGET FILE|FOLDER...            runs each input once
 *        fuzz_TARGET --rounds N FILE|FOLDER... and then N inputs made from them, from DAXL_SEED (or the clock) on
 *
 * An input that fails is left in the present folder as crash-SEED-ROUND: it is written before it runs and removed
 * after it.
 */
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "fuzz.h"

#define INPUT_MAX 4096u

struct input {
	uint8_t *bytes;
	size_t len;
};

static struct input *inputs;
static size_t ninputs;
static uint64_t rng;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

/* As libFuzzer's: changes a byte or two. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size)
{
	if (size < max_size && fuzz_rnd(&rng, 4) == 0)
		data[size++] = (uint8_t)fuzz_rnd(&rng, 256);
	for (uint64_t n = 1 + fuzz_rnd(&rng, 2); n-- && size;)
		data[fuzz_rnd(&rng, size)] = (uint8_t)fuzz_rnd(&rng, 256);
	return size;
}

static void run_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	struct stat st;

	if (!file || fstat(fileno(file), &st) != 0)
		die(path);
	struct input *input;
	inputs = realloc(inputs, (ninputs + 1) * sizeof(*inputs));
	if (!inputs)
		die(path);
	input = &inputs[ninputs++];
	input->len = (size_t)st.st_size;
	input->bytes = malloc(input->len + 1);
	if (!input->bytes || fread(input->bytes, 1, input->len, file) != input->len)
		die(path);
	(void)fclose(file);
	fprintf(stderr, "%s\n", path);
	(void)LLVMFuzzerTestOneInput(input->bytes, input->len);
}

static void run_path(const char *path)
{
	struct dirent **entries;
	struct stat st;

	if (stat(path, &st) != 0)
		die(path);
	if (!S_ISDIR(st.st_mode)) {
		run_file(path);
		return;
	}
	int n = scandir(path, &entries, NULL, alphasort);
	if (n < 0)
		die(path);
	for (int i = 0; i < n; i++) {
		char name[4096];

		if (entries[i]->d_name[0] != '.' &&
		    snprintf(name, sizeof(name), "%s/%s", path, entries[i]->d_name) < (int)sizeof(name))
			run_path(name);
		free(entries[i]);
	}
	free(entries);
}

static void run_random(uint64_t seed, uint64_t round)
{
	uint8_t bytes[INPUT_MAX] = {0};
	size_t len = 0;
	char name[64];

	if (ninputs) {
		const struct input *from = &inputs[fuzz_rnd(&rng, ninputs)];

		len = from->len < sizeof(bytes) ? from->len : sizeof(bytes);
		memcpy(bytes, from->bytes, len);
	}
	for (uint64_t n = 1 + fuzz_rnd(&rng, 6); n--;)
		len = LLVMFuzzerCustomMutator(bytes, len, sizeof(bytes), (unsigned)fuzz_rnd(&rng, 0));
	(void)snprintf(name, sizeof(name), "crash-%" PRIu64 "-%" PRIu64, seed, round);
	FILE *file = fopen(name, "wb");
	if (!file || fwrite(bytes, 1, len, file) != len || fclose(file) != 0)
		die(name);
	(void)LLVMFuzzerTestOneInput(bytes, len);
	(void)unlink(name);
}

int main(int argc, char **argv)
{
	const char *env = getenv("DAXL_SEED");
	uint64_t rounds = 0, seed = env ? strtoull(env, NULL, 0) : (uint64_t)time(NULL);
	int at = 1;

	(void)LLVMFuzzerInitialize(&argc, &argv);
	if (argc > 2 && strcmp(argv[1], "--rounds") == 0) {
		rounds = strtoull(argv[2], NULL, 0);
		fprintf(stderr, "DAXL_SEED=%" PRIu64 "\n", seed);
		at = 3;
	}
	for (; at < argc; at++)
		run_path(argv[at]);
	rng = seed;
	for (uint64_t round = 0; round < rounds; round++)
		run_random(seed, round);
	fprintf(stderr, "%zu inputs and %" PRIu64 " rounds\n", ninputs, rounds);
	for (size_t i = 0; i < ninputs; i++)
		free(inputs[i].bytes);
	free(inputs);
	return 0;
}
