/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A process dies in the middle of its work; what it was told is done is there afterwards.
 *
 * The program runs itself a second time as the worker (after a fork the child may only call exec). The worker appends
 * numbered records to the file "journal" and after every eighth replaces the file "state" by a new one, and tells its
 * parent through a pipe of each step that has returned. Another thread of it then kills it with SIGKILL, wherever the
 * worker is at that moment. The parent reopens the pool and compares.
 */
#define _GNU_SOURCE 1

#include "example.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <time.h>

#define KILL_AFTER_MS 200
#define MOST 100000u /* records */

extern char **environ;

struct record {
	uint64_t number;   /* from 1 */
	uint64_t words[7]; /* made from number, so that a record in parts shows */
};

/* What the worker tells its parent. */
struct done {
	uint64_t journal; /* the last record appended */
	uint64_t state;   /* the record which state stands for; 0: none */
};

static void record_make(struct record *record, uint64_t number)
{
	record->number = number;
	for (unsigned i = 0; i < 7; i++)
		record->words[i] = number * UINT64_C(0x9e3779b97f4a7c15) + i;
}

static bool record_good(const struct record *record, uint64_t number)
{
	struct record good;

	record_make(&good, number);
	return memcmp(record, &good, sizeof(good)) == 0;
}

static void *kill_thread(void *arg)
{
	struct timespec time = {.tv_nsec = KILL_AFTER_MS * 1000000};

	(void)arg;
	nanosleep(&time, NULL);
	kill(getpid(), SIGKILL);
	return NULL;
}

/* A new file takes the place of the old one, which no crash can catch half way. */
static int replace_state(struct daxl_pool *pool, const struct record *record)
{
	struct daxl_file *file;
	ssize_t done;
	int err = daxl_open(pool, "state.new", O_RDWR | O_CREAT | O_TRUNC, &file);

	if (err < 0)
		return err;
	done = daxl_pwrite(file, record, sizeof(*record), 0);
	daxl_close(file);
	return done < 0 ? (int)done : daxl_rename(pool, "state.new", "state", 0);
}

static int worker(const char *path, int pipe_fd)
{
	struct daxl_pool *pool;
	struct daxl_file *journal;
	struct done done = {0};
	pthread_t thread;
	int err = daxl_pool_open(path, NULL, &pool);

	if (err == 0)
		err = daxl_open(pool, "journal", O_RDWR | O_CREAT | O_APPEND, &journal);
	if (err == 0)
		err = -pthread_create(&thread, NULL, kill_thread, NULL);
	while (err == 0 && done.journal < MOST) {
		struct record record;
		ssize_t len;

		record_make(&record, done.journal + 1);
		len = daxl_pwrite(journal, &record, sizeof(record), 0); /* O_APPEND: at the end, whatever the offset */
		if (len < 0) {
			err = (int)len;
			break;
		}
		done.journal++;
		if (done.journal % 8 == 0) {
			err = replace_state(pool, &record);
			done.state = done.journal;
		}
		if (err == 0 && write(pipe_fd, &done, sizeof(done)) != (ssize_t)sizeof(done))
			err = -EPIPE;
	}
	while (err == 0)
		pause(); /* a fast machine: all done before it was killed */
	example_error("worker", err);
	return EXIT_FAILURE;
}

/* Starts the worker and reads what it tells until it is dead. */
static int run_worker(const char *path, struct done *last)
{
	char fd[16], flag[] = "--worker", name[] = "crash_recover", path_copy[256];
	char *argv[] = {name, flag, path_copy, fd, NULL};
	struct done done;
	int pipe_fds[2], status, err;
	pid_t child;

	if (pipe(pipe_fds) < 0)
		return example_error("pipe", -errno);
	snprintf(fd, sizeof(fd), "%d", pipe_fds[1]);
	snprintf(path_copy, sizeof(path_copy), "%s", path);
	err = posix_spawn(&child, "/proc/self/exe", NULL, NULL, argv, environ);
	close(pipe_fds[1]);
	if (err == 0) {
		while (read(pipe_fds[0], &done, sizeof(done)) == (ssize_t)sizeof(done))
			*last = done;
		waitpid(child, &status, 0);
		if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
			err = ECHILD;
	}
	close(pipe_fds[0]);
	return err ? example_error("the worker", -err) : 0;
}

/* Counts the records of the journal, each of which has to be whole. */
static int read_journal(struct daxl_pool *pool, uint64_t *ret_count)
{
	struct daxl_file *file;
	struct record record;
	uint64_t count = 0;
	ssize_t len;
	int err = daxl_open(pool, "journal", O_RDONLY, &file);

	if (err < 0)
		return example_error("journal", err);
	while ((len = daxl_pread(file, &record, sizeof(record), (off_t)(count * sizeof(record)))) > 0) {
		if (len != (ssize_t)sizeof(record) || !record_good(&record, count + 1)) {
			fprintf(stderr, "record %" PRIu64 " is not whole\n", count + 1);
			err = -EILSEQ;
			break;
		}
		count++;
	}
	daxl_close(file);
	*ret_count = count;
	return err;
}

static int read_state(struct daxl_pool *pool, uint64_t *ret_number)
{
	struct daxl_file *file;
	struct record record;
	ssize_t len;
	int err = daxl_open(pool, "state", O_RDONLY, &file);

	*ret_number = 0;
	if (err == -ENOENT)
		return 0;
	if (err < 0)
		return example_error("state", err);
	len = daxl_pread(file, &record, sizeof(record), 0);
	daxl_close(file);
	if (len != (ssize_t)sizeof(record) || !record_good(&record, record.number)) {
		fprintf(stderr, "state is not whole\n");
		return -EILSEQ;
	}
	*ret_number = record.number;
	return 0;
}

static int compare(const char *path, const struct done *told)
{
	struct daxl_pool *pool;
	struct daxl_pool_stat stat;
	struct done found = {0};
	int err = daxl_pool_open(path, NULL, &pool);

	if (err < 0)
		return example_error("reopening the pool", err);
	daxl_pool_stat(pool, &stat);
	err = read_journal(pool, &found.journal);
	if (err == 0)
		err = read_state(pool, &found.state);
	daxl_pool_close(pool);
	if (err < 0)
		return err;
	printf("journal: %" PRIu64 " records were acknowledged, %" PRIu64 " are there\n", told->journal, found.journal);
	printf("state:   of record %" PRIu64 " was acknowledged, of record %" PRIu64 " is there\n", told->state,
	       found.state);
	printf("pool:    %s\n", stat.flags & DAXL_POOL_STAT_RECOVERED ? "recovered from the crash" : "closed cleanly?");
	/* The step under way when the worker died may be there or not, but there is only one. */
	if (found.journal < told->journal || found.journal > told->journal + 1 || found.state < told->state ||
	    found.state > found.journal) {
		fprintf(stderr, "that does not fit\n");
		return -EILSEQ;
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct daxl_pool *pool;
	struct done told = {0};
	char path[256];
	int err;

	if (argc == 4 && strcmp(argv[1], "--worker") == 0)
		return worker(argv[2], atoi(argv[3]));
	if (argc > 1) {
		bool help = strcmp(argv[1], "--help") == 0;

		fprintf(help ? stdout : stderr,
		        "usage: %s [--help]\n"
		        "Kills a process that writes to a pool; what it was told is done has to be there.\n",
		        argv[0]);
		return help ? EXIT_SUCCESS : EXIT_FAILURE;
	}
	example_pool_path(path, sizeof(path));
	err = daxl_pool_create(path, EXAMPLE_POOL_SIZE, NULL, &pool);
	if (err < 0) {
		example_error("making a pool", err);
		return EXIT_FAILURE;
	}
	daxl_pool_close(pool);
	err = run_worker(path, &told);
	if (err == 0)
		err = compare(path, &told);
	unlink(path);
	return err < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
