/* SPDX-License-Identifier: BSD-3-Clause */
/* Random numbers, failure, hashes. */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "crash.h"

void (*fail_context)(void);

uint64_t rnd(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

uint64_t rnd_below(uint64_t *state, uint64_t n)
{
	return n ? rnd(state) % n : 0;
}

static char temp_path[4096];

static void temp_remove(void)
{
	if (temp_path[0])
		(void)unlink(temp_path);
}

void fail(const char *fmt, ...)
{
	va_list ap;

	fflush(stdout);
	fputs("FAILED: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	sim_say_where();
	if (fail_context)
		fail_context();
	fflush(stderr);
	temp_remove();
	_Exit(1);
}

int temp_file(char *path, size_t size)
{
	const char *dir = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : getenv("TMPDIR");

	snprintf(temp_path, sizeof(temp_path), "%s/daxl-crash.XXXXXX", dir ? dir : "/tmp");
	int fd = mkostemp(temp_path, O_CLOEXEC);

	if (fd < 0)
		fail("cannot make %s: %s", temp_path, strerror(errno));
	atexit(temp_remove);
	snprintf(path, size, "%s", temp_path);
	return fd;
}

void images_setup(void)
{
	mallopt(M_MMAP_THRESHOLD, 1 << 30);
	mallopt(M_TRIM_THRESHOLD, 1 << 30);
	mallopt(M_TOP_PAD, 64 << 20);
}

void *xalloc(size_t size)
{
	void *p = aligned_alloc(4096, (size + 4095) & ~(size_t)4095);

	if (!p)
		fail("no memory for %zu bytes", size);
	memset(p, 0, size);
	return p;
}

void must_be_0(long rc, const char *what, const char *file, int line)
{
	if (rc)
		fail("%s:%d: %s gave %ld: %s", file, line, what, rc, daxl_error_last());
}

bool hashes_add(struct hashes *set, uint64_t hash)
{
	hash += !hash; /* 0 marks a free slot */
	if (set->n * 2 >= set->cap) {
		struct hashes larger = { .cap = set->cap ? set->cap * 2 : 4096 };

		larger.slots = calloc(larger.cap, sizeof(uint64_t));
		if (!larger.slots)
			fail("no memory for %zu hashes", larger.cap);
		for (size_t i = 0; i < set->cap; i++)
			if (set->slots[i])
				hashes_add(&larger, set->slots[i]);
		free(set->slots);
		*set = larger;
	}
	for (size_t i = hash & (set->cap - 1);; i = (i + 1) & (set->cap - 1)) {
		if (set->slots[i] == hash)
			return false;
		if (!set->slots[i]) {
			set->slots[i] = hash;
			set->n++;
			return true;
		}
	}
}
