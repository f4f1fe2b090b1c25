/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The threads that change A's layout. They know nothing of the device: each call returns when the blocks it takes
 * away are nobody's, and what it frees goes to B. How long a call that recalled somebody took is what a layout
 * change costs while blocks are lent out.
 */
#include "demo.h"

#include <errno.h>
#include <stdlib.h>

#define REWRITES 16u /* of slots of B after each change of A */

const char *const change_names[CHANGES] = {"truncate", "grow", "punch", "zero", "collapse", "insert", "unlink"};

static int waits_add(struct waits *waits, uint64_t ns)
{
	if (waits->count == waits->room) {
		size_t room = waits->room ? waits->room * 2 : 1024;
		uint64_t *bigger = realloc(waits->ns, room * sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		waits->ns = bigger;
		waits->room = room;
	}
	waits->ns[waits->count++] = ns;
	return 0;
}

/* Truncate, punch and zero are tried at any multiple of 512 bytes, collapse and insert need whole blocks. */
static int change_layout(struct demo *demo, struct daxl_file *a, enum change change, off_t size, uint64_t *random)
{
	uint64_t blocks = (uint64_t)size / demo->block_size;
	off_t len = (off_t)((1 + draw(random, 256)) * demo->block_size);
	off_t block_off = (off_t)(draw(random, blocks + 1) * demo->block_size);
	off_t sector_off = (off_t)(draw(random, (uint64_t)size / 512 + 1) * 512);

	if (len > demo->a_size / 4)
		len = demo->a_size / 4;
	switch (change) {
	case TRUNCATE:
		return daxl_truncate(a, sector_off, NULL);
	case GROW:
		return daxl_truncate(a, demo->a_size, NULL);
	case PUNCH:
		return daxl_fallocate(a, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, sector_off, len, NULL);
	case ZERO:
		return daxl_fallocate(a, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, sector_off, len, NULL);
	case COLLAPSE:
		return daxl_fallocate(a, FALLOC_FL_COLLAPSE_RANGE, block_off, len, NULL);
	case INSERT:
		if (size + len > demo->a_size)
			return daxl_truncate(a, block_off, NULL);
		return daxl_fallocate(a, FALLOC_FL_INSERT_RANGE, block_off, len, NULL);
	default:
		return daxl_unlink(demo->pool, "A");
	}
}

/* Some answers are no failure here: the other thread may have changed or removed A, and the pool is nearly full. */
static bool expected(enum change change, int err)
{
	return err == 0 || err == -ENOSPC || ((change == COLLAPSE || change == INSERT) && err == -EINVAL) ||
	       (change == UNLINK && err == -ENOENT);
}

/* One change of A, from open to close: the last close of an unlinked file is what frees its blocks. */
static int change_once(struct layout_thread *self, enum change change)
{
	struct demo *demo = self->demo;
	uint64_t recalls = recalls_here, begin = now_ns();
	struct daxl_file *a;
	struct daxl_stat stat;
	int err = daxl_open(demo->pool, "A", O_RDWR | O_CREAT, &a);

	if (err < 0)
		return err == -ENOSPC ? 0 : err;
	err = daxl_stat(a, &stat);
	if (err == 0)
		err = change_layout(demo, a, change, (off_t)stat.size, &self->random);
	daxl_close(a);
	if (!expected(change, err))
		return err;
	if (err == 0) {
		demo_count(demo, COUNT_CHANGES, 1);
		atomic_fetch_add(&demo->change[change], 1);
	} else if (err == -ENOSPC) {
		demo_count(demo, COUNT_FULL, 1);
	}
	/* Recall functions run on the thread of the call that recalls. */
	return recalls == recalls_here ? 0 : waits_add(&self->waits, now_ns() - begin);
}

void *layout_thread(void *arg)
{
	struct layout_thread *self = arg;
	struct demo *demo = self->demo;
	uint64_t *buffer = malloc(SLOT);
	int err = buffer ? 0 : -ENOMEM;

	while (err == 0 && !demo->stop) {
		err = change_once(self, (enum change)draw(&self->random, CHANGES));
		for (unsigned i = 0; i < REWRITES && err == 0; i++)
			err = b_rewrite(demo, (unsigned)draw(&self->random, demo->slot_count), buffer);
		sleep_until(now_ns() + draw(&self->random, 20000000));
	}
	if (err < 0)
		demo_fail(demo, "changing A or B", err);
	free(buffer);
	return NULL;
}
