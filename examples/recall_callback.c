/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A holder that is told of recalls by a function. One thread works on leased blocks, a pin around each piece of work.
 * Meanwhile the main thread truncates the file. The recall function runs on the main thread, inside daxl_truncate: it
 * commits what is complete and returns the lease. The truncate then waits for the last pin, and goes on.
 */
#include "example.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#define PIECE ((size_t)4096)
#define PIECES 64u

struct holder {
	struct daxl_lease *lease;
	struct daxl_extent extents[PIECES];
	size_t extent_count;
	pthread_mutex_t lock;
	pthread_cond_t moved;
	unsigned complete; /* pieces, from the start of the file; under lock */
};

/* Every function of the library that does not have to wait for a lease may be called here. */
static void on_recall(struct daxl_lease *lease, const struct daxl_recall *recall, void *arg)
{
	struct holder *holder = arg;
	unsigned complete;
	off_t len;
	int err = 0;

	pthread_mutex_lock(&holder->lock);
	complete = holder->complete;
	pthread_mutex_unlock(&holder->lock);
	printf("recall: reason %d wants everything from byte %lld on\n", recall->reason, (long long)recall->off);
	len = (off_t)(complete * PIECE);
	if (len > 0)
		err = daxl_lease_commit(lease, 0, len, len);
	if (err < 0)
		example_error("committing", err);
	daxl_lease_return(lease);
	printf("recall: %u pieces committed, lease returned\n", complete);
}

static char *address(const struct holder *holder, size_t off)
{
	for (size_t i = 0; i < holder->extent_count; i++) {
		const struct daxl_extent *extent = &holder->extents[i];

		if (off - extent->file_off < extent->len)
			return (char *)extent->addr + (off - extent->file_off);
	}
	return NULL;
}

/* Fills piece after piece, until there is no more to do or no more pin to be had. */
static void *work(void *arg)
{
	struct holder *holder = arg;

	for (unsigned piece = 0; piece < PIECES; piece++) {
		if (daxl_lease_pin(holder->lease) == -ESTALE) {
			printf("worker: the lease is recalled, stopping before piece %u\n", piece);
			break;
		}
		memset(address(holder, piece * PIECE), 'a' + (int)(piece % 26), PIECE);
		usleep(1000); /* it is slow work */
		pthread_mutex_lock(&holder->lock);
		holder->complete = piece + 1;
		pthread_cond_signal(&holder->moved);
		pthread_mutex_unlock(&holder->lock);
		daxl_lease_unpin(holder->lease);
	}
	return NULL;
}

static int truncate_under_work(struct daxl_file *file, struct holder *holder)
{
	struct daxl_stat stat;
	pthread_t thread;
	int err = pthread_create(&thread, NULL, work, holder);

	if (err)
		return example_error("starting a thread", -err);
	pthread_mutex_lock(&holder->lock);
	while (holder->complete < 10)
		pthread_cond_wait(&holder->moved, &holder->lock);
	pthread_mutex_unlock(&holder->lock);
	printf("main:   truncating to %zu bytes\n", 5 * PIECE);
	err = daxl_truncate(file, (off_t)(5 * PIECE), NULL);
	if (err < 0)
		example_error("truncating", err);
	pthread_join(thread, NULL);
	daxl_stat(file, &stat);
	printf("main:   done, the file has %llu bytes\n", (unsigned long long)stat.size);
	return err;
}

static int body(struct daxl_pool *pool)
{
	struct daxl_lease_opts opts = DAXL_LEASE_OPTS_INIT;
	struct holder holder = {.lock = PTHREAD_MUTEX_INITIALIZER, .moved = PTHREAD_COND_INITIALIZER};
	struct daxl_file *file;
	ssize_t count;
	int err = daxl_open(pool, "work", O_RDWR | O_CREAT, &file);

	if (err < 0)
		return example_error("daxl_open", err);
	err = daxl_truncate(file, (off_t)(PIECES * PIECE), NULL);
	if (err < 0) {
		daxl_close(file);
		return example_error("making it larger", err);
	}
	opts.mode = DAXL_LEASE_WRITE;
	opts.owner = daxl_owner_new();
	opts.recall = on_recall;
	opts.arg = &holder;
	err = daxl_lease_acquire(file, 0, (off_t)(PIECES * PIECE), &opts, &holder.lease);
	if (err < 0) {
		example_error("acquiring a lease", err);
	} else {
		count = daxl_lease_extents(holder.lease, holder.extents, PIECES);
		holder.extent_count = count < 0 ? 0 : (size_t)count; /* at most one for each block */
		err = count < 0 ? example_error("its extents", (int)count) : truncate_under_work(file, &holder);
		daxl_lease_free(holder.lease);
	}
	daxl_close(file);
	return err;
}

int main(int argc, char **argv)
{
	return example_main(argc, argv, "Truncates a file while a thread works on its blocks.", body);
}
