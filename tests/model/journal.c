/* SPDX-License-Identifier: BSD-3-Clause */
/* Random numbers, the list of the last operations, and how a run ends when something differs. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"

#define LINES 60u
#define LINE 240u

static char lines[LINES][LINE];
static uint64_t noted;

/* A number of the choices given: one, two or four bytes. False: they do not reach. */
static bool choose(uint64_t n, uint64_t *ret)
{
	size_t len = n == 0 || n > 65536 ? 4 : n > 256 ? 2 : 1;
	uint32_t value = 0;

	if ((size_t)(model.choices_end - model.choices) < len)
		return false;
	memcpy(&value, model.choices, len);
	model.choices += len;
	*ret = n ? value % n : value * UINT64_C(0x9e3779b97f4a7c15);
	return true;
}

uint64_t rnd(uint64_t n)
{
	uint64_t chosen;

	if (choose(n, &chosen))
		return chosen;
	uint64_t z = (model.rng += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	z ^= z >> 31;
	return n ? z % n : 0;
}

bool chance(unsigned percent)
{
	return rnd(100) < percent;
}

void fill_random(unsigned char *buf, size_t len)
{
	uint64_t x = rnd(0) | 1;

	for (size_t i = 0; i < len; i++) {
		if ((i & 7) == 0) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
		}
		buf[i] = (unsigned char)(x >> (8 * (i & 7)));
	}
}

void note(const char *fmt, ...)
{
	char *line = lines[noted++ % LINES];
	int n = snprintf(line, LINE, "%8" PRIu64 " ", model.step);
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(line + n, LINE - (size_t)n, fmt, ap);
	va_end(ap);
	if (model.verbose)
		fprintf(stderr, "%s\n", line);
}

void note_more(const char *fmt, ...)
{
	char *line = lines[(noted - 1) % LINES];
	size_t n = strlen(line);
	va_list ap;

	if (noted == 0)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(line + n, LINE - n, fmt, ap);
	va_end(ap);
	if (model.verbose)
		fprintf(stderr, "         ...%s\n", line + n);
}

void fail(const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "the last operations:\n");
	for (uint64_t i = noted > LINES ? noted - LINES : 0; i < noted; i++)
		fprintf(stderr, "%s\n", lines[i % LINES]);
	fprintf(stderr, "model_random: step %" PRIu64 ": ", model.step);
	va_start(ap, fmt);
	(void)vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "\nlibrary's last message: %s\n", daxl_errormsg());
	fprintf(stderr, "again: --seed %" PRIu64 " --ops %" PRIu64 " --block-size %" PRIu64 " --pool-size %" PRIu64
	                " --files %u --file-size %" PRIu64 " --crash-every %u\n",
	        model.seed, model.ops, model.block, model.start_size, model.nfiles, model.maxlen, model.crash_every);
	for (int i = 0; i < 2; i++)
		if (!getenv("DAXL_KEEP"))
			(void)remove(model.path[i]);
	fflush(NULL);
	abort();
}

void must(int rc, const char *what)
{
	if (rc < 0)
		fail("%s: error %d", what, -rc);
}
