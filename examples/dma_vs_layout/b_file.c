/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * File B: an ordinary file of the pool that is written and read with daxl_pwrite and daxl_pread. It has no part in
 * what happens to A, and gives its blocks up and takes new ones all the time, so that it gets those that A has lost.
 */
#include "demo.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define B_MAGIC (UINT64_C(0xb0b0) << 48)

bool b_owns(uint64_t word)
{
	return (word & MAGIC_MASK) == B_MAGIC;
}

/* What the word with this number, counted from the start of B, is in a slot of this generation. */
static uint64_t b_word(uint64_t number, uint32_t generation)
{
	return B_MAGIC | (uint64_t)(generation & 0xffff) << 32 | (number & UINT32_MAX);
}

int b_create(struct demo *demo)
{
	int err = daxl_open(demo->pool, "B", O_RDWR | O_CREAT | O_EXCL, &demo->b);

	if (err < 0)
		return err;
	demo->slots = calloc(demo->slot_count, sizeof(*demo->slots));
	if (!demo->slots)
		return -ENOMEM;
	for (unsigned i = 0; i < demo->slot_count; i++) {
		pthread_mutex_init(&demo->slots[i].lock, NULL);
		demo->slots[i].empty = true;
	}
	return daxl_truncate(demo->b, (off_t)(demo->slot_count * SLOT), NULL);
}

void b_destroy(struct demo *demo)
{
	if (demo->slots)
		for (unsigned i = 0; i < demo->slot_count; i++)
			pthread_mutex_destroy(&demo->slots[i].lock);
	free(demo->slots);
	if (demo->b)
		daxl_close(demo->b);
}

/* The first damage is shown with all that is known about it; what follows is only counted. */
static void show_damage(struct demo *demo, uint64_t number, uint64_t expected, uint64_t found)
{
	if (atomic_exchange(&demo->damage_shown, true) || demo->quiet)
		return;
	fprintf(stderr, "B is damaged at byte %" PRIu64 ": it should be %016" PRIx64 " and is %016" PRIx64, number * 8,
	        expected, found);
	if (disk_has_pattern(demo->disk) && (found & MAGIC_MASK) == DISK_MAGIC)
		fprintf(stderr, ",\n  which the device has read from byte %" PRIu64 " of the disk file, for A",
		        (found & ~MAGIC_MASK) * 8);
	fputc('\n', stderr);
}

/* Compares the slot with what was last written to it. Its lock is held. Gives 1 if something in it is foreign. */
static int check_locked(struct demo *demo, unsigned number, uint64_t *buffer)
{
	const struct slot *slot = &demo->slots[number];
	uint64_t first = (uint64_t)number * SLOT / 8, foreign = 0;
	ssize_t len = daxl_pread(demo->b, buffer, SLOT, (off_t)(number * SLOT));

	if (len != (ssize_t)SLOT)
		return len < 0 ? (int)len : -EIO;
	for (uint64_t i = 0; i < SLOT / 8; i++) {
		uint64_t expected = slot->empty ? 0 : b_word(first + i, slot->generation);

		if (buffer[i] == expected)
			continue;
		if (foreign++ == 0)
			show_damage(demo, first + i, expected, buffer[i]);
	}
	demo_count(demo, COUNT_B_FOREIGN, foreign * 8);
	demo_count(demo, COUNT_B_CHECKED, SLOT);
	return foreign > 0;
}

/* Lets the slot's blocks go and writes it anew, into other blocks. Its lock is held. */
static int rewrite_locked(struct demo *demo, unsigned number, uint64_t *buffer)
{
	struct slot *slot = &demo->slots[number];
	off_t off = (off_t)(number * SLOT);
	ssize_t len;
	int err = daxl_fallocate(demo->b, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, off, (off_t)SLOT, NULL);

	if (err < 0)
		return err;
	slot->empty = true;
	slot->generation++;
	for (uint64_t i = 0; i < SLOT / 8; i++)
		buffer[i] = b_word((uint64_t)off / 8 + i, slot->generation);
	len = daxl_pwrite(demo->b, buffer, SLOT, off);
	if (len == -ENOSPC) {
		demo_count(demo, COUNT_FULL, 1); /* nothing was written; the slot stays a hole for now */
		return 0;
	}
	if (len < 0)
		return (int)len;
	slot->empty = false;
	demo_count(demo, COUNT_B_WRITTEN, SLOT);
	return 0;
}

int b_rewrite(struct demo *demo, unsigned number, uint64_t *buffer)
{
	int err;

	pthread_mutex_lock(&demo->slots[number].lock);
	err = check_locked(demo, number, buffer);
	if (err >= 0)
		err = rewrite_locked(demo, number, buffer);
	pthread_mutex_unlock(&demo->slots[number].lock);
	return err;
}

int b_check(struct demo *demo, unsigned number, uint64_t *buffer)
{
	int err;

	pthread_mutex_lock(&demo->slots[number].lock);
	err = check_locked(demo, number, buffer);
	if (err == 1) /* written anew, so that no damage is counted twice */
		err = rewrite_locked(demo, number, buffer);
	pthread_mutex_unlock(&demo->slots[number].lock);
	return err;
}

void *b_checker_thread(void *arg)
{
	struct demo *demo = arg;
	uint64_t *buffer = malloc(SLOT);
	int err = buffer ? 0 : -ENOMEM;

	for (unsigned number = 0; err == 0 && !demo->stop; number = (number + 1) % demo->slot_count) {
		err = b_check(demo, number, buffer);
		sleep_until(now_ns() + 200000); /* leave some of the machine to the others */
	}
	if (err < 0)
		demo_fail(demo, "checking B", err);
	free(buffer);
	return NULL;
}
