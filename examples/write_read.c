/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The same file in two ways: by calls, which copy, and by pointers into its blocks, under a lease. What one writes the
 * other reads.
 */
#include "example.h"

#include <errno.h>

/* Durable when it returns; no fsync. */
static int write_by_call(struct daxl_file *file, const char *text)
{
	ssize_t done = daxl_pwrite(file, text, strlen(text), 0);

	return done < 0 ? example_error("daxl_pwrite", (int)done) : 0;
}

static int read_by_call(struct daxl_file *file)
{
	char text[256];
	ssize_t len = daxl_pread(file, text, sizeof(text), 0);

	if (len < 0)
		return example_error("daxl_pread", (int)len);
	printf("by call:    %.*s\n", (int)len, text);
	return 0;
}

/* A READ lease keeps the blocks where they are; the pin says that we are looking at them now. */
static int read_by_pointer(struct daxl_file *file)
{
	struct daxl_lease *lease;
	struct daxl_extent extent;
	struct daxl_stat stat;
	int err = daxl_lease_acquire(file, 0, DAXL_TO_END, NULL, &lease);

	if (err < 0)
		return example_error("a READ lease", err);
	daxl_stat(file, &stat);
	err = daxl_lease_pin(lease);
	if (err == 0) {
		/* One extent is enough for a file of one block; in general there are several, holes among them. */
		if (daxl_lease_extents(lease, &extent, 1) > 0 && extent.addr)
			printf("by pointer: %.*s\n", (int)stat.size, (const char *)extent.addr);
		daxl_lease_unpin(lease);
	}
	daxl_lease_free(lease);
	return err;
}

/* A WRITE lease has blocks everywhere, past the end of the file too. What lies there counts after the commit. */
static int append_by_pointer(struct daxl_file *file, const char *text)
{
	struct daxl_lease_opts opts = DAXL_LEASE_OPTS_INIT;
	struct daxl_lease *lease;
	struct daxl_extent extent;
	struct daxl_stat stat;
	off_t end, len = (off_t)strlen(text);
	int err;

	daxl_stat(file, &stat);
	end = (off_t)stat.size;
	opts.mode = DAXL_LEASE_WRITE;
	err = daxl_lease_acquire(file, end, len, &opts, &lease);
	if (err < 0)
		return example_error("a WRITE lease", err);
	err = daxl_lease_pin(lease);
	if (err == 0) {
		if (daxl_lease_extents(lease, &extent, 1) == 1)
			memcpy((char *)extent.addr + ((uint64_t)end - extent.file_off), text, (size_t)len);
		else
			err = -EFBIG; /* the text crosses into a block elsewhere: more than this example does */
		daxl_lease_unpin(lease);
	}
	if (err == 0)
		err = daxl_lease_commit(lease, end, len, end + len); /* durable, and the file is longer now */
	if (err < 0)
		example_error("appending through the lease", err);
	daxl_lease_free(lease);
	return err;
}

static int body(struct daxl_pool *pool)
{
	struct daxl_file *file;
	int err = daxl_open(pool, "greeting", O_RDWR | O_CREAT, &file);

	if (err < 0)
		return example_error("daxl_open", err);
	err = write_by_call(file, "Hello");
	if (err == 0)
		err = read_by_pointer(file);
	if (err == 0)
		err = append_by_pointer(file, ", world");
	if (err == 0)
		err = read_by_call(file);
	daxl_close(file);
	return err;
}

int main(int argc, char **argv)
{
	return example_main(argc, argv, "Writes and reads a file by calls and by pointers into its blocks.", body);
}
