/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The device, and a reader that looks at what the device has brought.
 *
 * The device streams the disk file into A. It looks up where a window of A's blocks lies and then starts one read
 * after the other into them, at its own pace, several at once. That takes some 60 ms, in which the blocks may stop
 * being A's:
 *
 *   safe    The window is leased, and each read holds a pin from start to end. After a recall no pin is granted, so
 *           no read starts; those under way end and are unpinned; what has come is committed; the lease goes back.
 *           Only then does the call that recalled it take the blocks away.
 *   unsafe  The same stream into addresses from daxl_map, without a lease. Nobody knows that the blocks are in use.
 */
#include "demo.h"

#include <errno.h>
#include <stdlib.h>

_Thread_local uint64_t recalls_here;

struct device {
	struct demo *demo;
	uint64_t owner;
	off_t a_off;      /* where the next window of A begins */
	size_t disk_off;  /* where the next read of the disk begins */
	uint64_t due_ns;  /* when the next read may start */
	unsigned pending; /* reads under way */
	bool busy[QUEUE]; /* tags of theirs */
	bool error;       /* a read has failed */
	struct daxl_extent *extents;
	size_t room; /* of extents */
};

/* Called by the library on the thread of the call that wants A's blocks. The device sees the recall at its next pin. */
static void on_recall(struct daxl_lease *lease, const struct daxl_recall *recall, void *arg)
{
	struct demo *demo = arg;

	(void)lease;
	(void)recall;
	recalls_here++;
	demo_count(demo, COUNT_RECALLS, 1);
}

/* Takes the end of one read, waiting for it until until_ns. lease is NULL without leases. */
static void finish_one(struct device *device, struct daxl_lease *lease, uint64_t until_ns)
{
	unsigned tag;
	ssize_t len;
	int got = disk_finish(device->demo->disk, until_ns, &tag, &len);

	if (got < 0 || (got == 1 && len <= 0)) {
		demo_fail(device->demo, "reading the disk", got < 0 ? got : len < 0 ? (int)len : -EIO);
		device->error = true;
	}
	if (got < 1)
		return;
	if (lease)
		daxl_lease_unpin(lease);
	device->busy[tag] = false;
	device->pending--;
	if (len > 0)
		demo_count(device->demo, COUNT_DISK_BYTES, (uint64_t)len);
	demo_count(device->demo, COUNT_TRANSFERS, 1);
}

/* Waits until the device may start a read of len bytes: there is room in its queue, and its pace allows it. */
static void await_turn(struct device *device, struct daxl_lease *lease, size_t len)
{
	uint64_t rate = device->demo->rate, now;

	while (device->pending == QUEUE)
		finish_one(device, lease, UINT64_MAX);
	if (rate == 0)
		return;
	for (now = now_ns(); now < device->due_ns; now = now_ns()) {
		if (device->pending > 0)
			finish_one(device, lease, device->due_ns);
		else
			sleep_until(device->due_ns);
	}
	if (now - device->due_ns > 20000000)
		device->due_ns = now; /* time lost is not made up for */
	device->due_ns += len * 1000000000 / rate;
}

/* Starts one read into len bytes at addr, pinned if there is a lease. -ESTALE: the lease is recalled. */
static int start_one(struct device *device, struct daxl_lease *lease, char *addr, size_t len)
{
	unsigned tag = 0;
	int err;

	await_turn(device, lease, len);
	err = lease ? daxl_lease_pin(lease) : 0;
	if (err < 0)
		return err;
	if (device->disk_off + len > disk_size(device->demo->disk))
		device->disk_off = 0;
	while (device->busy[tag])
		tag++;
	err = disk_start(device->demo->disk, tag, addr, len, (off_t)device->disk_off);
	if (err < 0) {
		if (lease)
			daxl_lease_unpin(lease);
		demo_fail(device->demo, "starting a read of the disk", err);
		return err;
	}
	device->busy[tag] = true;
	device->pending++;
	device->disk_off += len;
	return 0;
}

/*
 * Streams into the count extents (no more than WINDOW has blocks) and waits for every read. Gives the bytes brought,
 * from the start of the first extent.
 */
static off_t stream(struct device *device, struct daxl_lease *lease, size_t count)
{
	off_t done = 0;
	int err = 0;

	demo_count(device->demo, COUNT_STREAMS, 1);
	for (size_t i = 0; i < count && err == 0; i++) {
		const struct daxl_extent *extent = &device->extents[i];
		size_t len;

		if (!extent->addr)
			break; /* without a lease nobody keeps A from being punched before we look */
		for (size_t at = 0; at < extent->len && err == 0 && !device->demo->stop; at += len) {
			len = extent->len - at < TRANSFER ? extent->len - at : TRANSFER;
			err = start_one(device, lease, (char *)extent->addr + at, len);
			if (err == 0)
				done += (off_t)len;
		}
	}
	while (device->pending > 0)
		finish_one(device, lease, UINT64_MAX);
	if (err == -ESTALE)
		demo_count(device->demo, COUNT_STOPPED, 1);
	return device->error ? 0 : done;
}

/* One window of A with a lease on it. Closes A's handle: the lease does not need it, and A may so be deleted. */
static int stream_leased(struct device *device, struct daxl_file *a)
{
	struct daxl_lease_opts opts = DAXL_LEASE_OPTS_INIT;
	struct daxl_lease *lease;
	struct daxl_stat stat;
	off_t off = device->a_off, done = 0;
	ssize_t count;
	int err;

	opts.mode = DAXL_LEASE_WRITE;
	opts.owner = device->owner;
	opts.recall = on_recall;
	opts.arg = device->demo;
	err = daxl_lease_acquire(a, off, WINDOW, &opts, &lease);
	if (err < 0) {
		daxl_close(a);
		return err;
	}
	/* From here on the blocks stay, and A cannot become shorter than it is without a recall. */
	daxl_stat(a, &stat);
	daxl_close(a);
	count = daxl_lease_extents(lease, device->extents, device->room);
	if (count >= 0 && stat.size >= (uint64_t)off)
		done = stream(device, lease, (size_t)count);
	else
		device->a_off = 0; /* A has lost its name, or was too short already: begin anew */
	if (done > 0) {
		err = daxl_lease_commit(lease, off, done, off + done);
		if (err < 0 && err != -ESTALE) /* stale: A was deleted meanwhile, there is nothing to commit to */
			demo_fail(device->demo, "committing to A", err);
		device->a_off = off + done;
	}
	daxl_lease_return(lease);
	daxl_lease_free(lease);
	return 0;
}

/* One window of A without a lease: its blocks are made by writing zeroes, looked up, and read into. DON'T. */
static int stream_unleased(struct device *device, struct daxl_file *a)
{
	static char zeroes[WINDOW];
	off_t off = device->a_off;
	ssize_t count = daxl_pwrite(a, zeroes, sizeof(zeroes), off);

	if (count >= 0)
		count = daxl_map(a, off, WINDOW, device->extents, device->room);
	daxl_close(a);
	if (count < 0)
		return (int)count;
	device->a_off = off + stream(device, NULL, (size_t)count);
	return 0;
}

void *device_thread(void *arg)
{
	struct demo *demo = arg;
	struct device device = {.demo = demo, .owner = daxl_owner_new(), .due_ns = now_ns()};
	struct daxl_file *a;
	int err;

	device.room = (size_t)WINDOW / demo->block_size; /* at worst each block is one */
	device.extents = calloc(device.room, sizeof(*device.extents));
	err = device.extents ? 0 : -ENOMEM;
	while (err == 0 && !demo->stop) {
		if (device.a_off + WINDOW > demo->a_size)
			device.a_off = 0;
		err = daxl_open(demo->pool, "A", O_RDWR | O_CREAT, &a);
		if (err == 0)
			err = demo->unsafe ? stream_unleased(&device, a) : stream_leased(&device, a);
		if (err == -ENOSPC) {
			demo_count(demo, COUNT_FULL, 1);
			sleep_until(now_ns() + 1000000);
			err = 0;
		}
	}
	if (err < 0)
		demo_fail(demo, "streaming into A", err);
	free(device.extents);
	return NULL;
}

/*
 * Counts the bytes at words that are neither the disk's nor zero. Of a disk file of the user's we know only that B's
 * words do not follow each other in it, though one may be like B's by chance.
 */
static void check_words(struct demo *demo, const uint64_t *words, size_t len)
{
	bool pattern = disk_has_pattern(demo->disk);
	uint64_t foreign = 0, last = 0;

	for (size_t i = 0; i < len / sizeof(*words); i++) {
		uint64_t word = __atomic_load_n(&words[i], __ATOMIC_RELAXED); /* the device may be writing it */

		if (pattern)
			foreign += word != 0 && (word & MAGIC_MASK) != DISK_MAGIC;
		else
			foreign += b_owns(word) && word == last + 1;
		last = word;
	}
	demo_count(demo, COUNT_A_FOREIGN, foreign * sizeof(*words));
	demo_count(demo, COUNT_A_CHECKED, len);
}

/* Looks at a piece of A through pointers, under a READ lease that need not be recalled when holes are filled. */
static int check_a_piece(struct demo *demo, struct daxl_file *a, uint64_t owner, uint64_t *random)
{
	enum { EXTENTS = 64 };
	struct daxl_lease_opts opts = DAXL_LEASE_OPTS_INIT;
	struct daxl_extent extents[EXTENTS];
	struct daxl_lease *lease;
	off_t off = (off_t)(draw(random, (uint64_t)demo->a_size / TRANSFER) * TRANSFER);
	ssize_t count;
	int err;

	opts.flags = DAXL_LEASE_FILL_OK;
	opts.owner = owner;
	opts.recall = on_recall;
	opts.arg = demo;
	err = daxl_lease_acquire(a, off, (off_t)TRANSFER * 4, &opts, &lease);
	if (err < 0)
		return err;
	if (daxl_lease_pin(lease) == 0) {
		count = daxl_lease_extents(lease, extents, EXTENTS);
		for (ssize_t i = 0; i < count && i < EXTENTS; i++)
			if (extents[i].addr)
				check_words(demo, extents[i].addr, extents[i].len);
		daxl_lease_unpin(lease);
	}
	daxl_lease_free(lease); /* returns it, too */
	return 0;
}

void *a_checker_thread(void *arg)
{
	struct demo *demo = arg;
	uint64_t owner = daxl_owner_new(), random = demo->seed ^ owner;
	struct daxl_file *a;
	int err = 0;

	while (err == 0 && !demo->stop) {
		err = daxl_open(demo->pool, "A", O_RDONLY, &a);
		if (err == 0) {
			err = check_a_piece(demo, a, owner, &random);
			daxl_close(a);
		} else if (err == -ENOENT) {
			err = 0; /* just unlinked */
		}
		sleep_until(now_ns() + 1000000);
	}
	if (err < 0)
		demo_fail(demo, "checking A", err);
	return NULL;
}
