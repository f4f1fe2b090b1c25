/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dma_vs_layout: a device writes into blocks of a file while other threads take those very blocks away from it.
 * With leases nothing goes wrong; with --unsafe, which leaves them out, another file is damaged within seconds.
 * demo.h tells what lies where; begin reading in device.c.
 */
#define _GNU_SOURCE 1

#include "demo.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct settings {
	const char *pool_path; /* NULL: a temporary one */
	const char *source;    /* NULL: a temporary one */
	uint64_t size;         /* of the pool, bytes */
	unsigned seconds;
	bool keep;
	bool json;
};

void demo_count(struct demo *demo, enum count which, uint64_t amount)
{
	atomic_fetch_add_explicit(&demo->count[which], amount, memory_order_relaxed);
}

void demo_fail(struct demo *demo, const char *what, int err)
{
	const char *sentence = daxl_errormsg();

	fprintf(stderr, "dma_vs_layout: %s: %s%s%s\n", what, strerror(-err), *sentence ? ": " : "", sentence);
	demo->failed = true;
	demo->stop = true;
}

uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

void sleep_until(uint64_t when_ns)
{
	struct timespec when = {.tv_sec = (time_t)(when_ns / 1000000000), .tv_nsec = (long)(when_ns % 1000000000)};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &when, NULL) == EINTR)
		;
}

uint64_t draw(uint64_t *state, uint64_t limit)
{
	uint64_t x = *state += UINT64_C(0x9e3779b97f4a7c15); /* splitmix64 */

	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return (x ^ x >> 31) % limit;
}

static void usage(FILE *out)
{
	fputs("usage: dma_vs_layout [options]\n"
	      "Reads a disk straight into blocks of file A while A is truncated, punched, shifted and unlinked, and\n"
	      "its blocks go to file B. Shows that B stays whole, and how long the changes waited for the device.\n"
	      "  --unsafe        leave the leases out, and see B damaged\n"
	      "  --seconds N     how long to run (10)\n"
	      "  --pool PATH     where to make the pool: a file, or a device DAX device (a file in /dev/shm)\n"
	      "  --size MIB      of the pool (32)\n"
	      "  --source FILE   what to read, a file on a disk (a temporary file)\n"
	      "  --rate MIB      the device's pace in MiB a second, 0: the disk's own (64)\n"
	      "  --seed N        for the random choices (from the clock)\n"
	      "  --keep          do not remove the pool\n"
	      "  --json          give the summary as JSON\n"
	      "  --quiet         show no progress\n"
	      "  --help\n"
	      "exit status: 0 all went as it should (with --unsafe: B was damaged), 1 damage in spite of leases,\n"
	      "  2 something else failed, 3 the run was too short to show anything\n",
	      out);
}

static bool number(const char *text, uint64_t max, uint64_t *ret)
{
	char *end;
	unsigned long long value;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno || end == text || *end || *text == '-' || value > max)
		return false;
	*ret = value;
	return true;
}

/* Gives 1 to go on, 0 to end well, -1 for a bad command line. */
static int parse(int argc, char **argv, struct settings *settings, struct demo *demo)
{
	static const struct option options[] = {
		{"unsafe", no_argument, NULL, 'u'},       {"seconds", required_argument, NULL, 's'},
		{"pool", required_argument, NULL, 'p'},   {"size", required_argument, NULL, 'z'},
		{"source", required_argument, NULL, 'f'}, {"rate", required_argument, NULL, 'r'},
		{"seed", required_argument, NULL, 'e'},   {"keep", no_argument, NULL, 'k'},
		{"json", no_argument, NULL, 'j'},         {"quiet", no_argument, NULL, 'q'},
		{"help", no_argument, NULL, 'h'},         {NULL, 0, NULL, 0},
	};
	uint64_t size_mib = 32, rate_mib = 64, seconds = 10;
	bool good = true;
	int option;

	demo->seed = now_ns();
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'u':
			demo->unsafe = true;
			break;
		case 'q':
			demo->quiet = true;
			break;
		case 'k':
			settings->keep = true;
			break;
		case 'j':
			settings->json = true;
			break;
		case 'p':
			settings->pool_path = optarg;
			break;
		case 'f':
			settings->source = optarg;
			break;
		case 's':
			good &= number(optarg, 86400, &seconds);
			break;
		case 'z':
			good &= number(optarg, 1 << 20, &size_mib) && size_mib >= 16;
			break;
		case 'r':
			good &= number(optarg, 1 << 20, &rate_mib);
			break;
		case 'e':
			good &= number(optarg, UINT64_MAX, &demo->seed);
			break;
		case 'h':
			usage(stdout);
			return 0;
		default:
			good = false;
		}
	}
	settings->seconds = (unsigned)seconds;
	settings->size = size_mib << 20;
	demo->rate = rate_mib << 20;
	if (!good || optind < argc) {
		usage(stderr);
		return -1;
	}
	return 1;
}

/*
 * Makes the pool and decides how large A and B are: together a little larger than the pool, so that what one loses the
 * other soon takes.
 */
static int setup(struct demo *demo, const struct settings *settings)
{
	struct daxl_pool_opts opts = DAXL_POOL_OPTS_INIT;
	struct daxl_pool_stat stat;
	char path[64];
	const char *pool_path = settings->pool_path;
	bool ours;
	int err;

	if (!pool_path) {
		bool shm = access("/dev/shm", W_OK) == 0;

		snprintf(path, sizeof(path), "%s/dma_vs_layout.%ld", shm ? "/dev/shm" : "/tmp", (long)getpid());
		pool_path = path;
	}
	ours = access(pool_path, F_OK) < 0; /* what is there already, such as a device, is not removed */
	opts.lease_break_ms = 10000;
	err = daxl_pool_create(pool_path, settings->size, &opts, &demo->pool);
	if (err < 0) {
		demo_fail(demo, "making the pool", err);
		return err;
	}
	/* A pool needs its name only to be opened. Without one it is gone however this program ends. */
	if (ours && !settings->keep)
		unlink(pool_path);
	daxl_pool_stat(demo->pool, &stat);
	demo->block_size = stat.block_size;
	demo->a_size = (off_t)(stat.free_blocks * stat.block_size / 4 / SLOT * SLOT);
	if (demo->a_size < WINDOW)
		demo->a_size = WINDOW;
	demo->slot_count = (unsigned)((stat.free_blocks * stat.block_size - (uint64_t)demo->a_size * 3 / 4) / SLOT);
	disk_attach(demo->disk, daxl_pool_base(demo->pool), stat.pool_size);
	err = b_create(demo);
	if (err < 0)
		demo_fail(demo, "making B", err);
	return err;
}

static int start(struct demo *demo, pthread_t *thread, void *(*body)(void *), void *arg)
{
	int err = pthread_create(thread, NULL, body, arg);

	if (err)
		demo_fail(demo, "starting a thread", -err);
	return -err;
}

/* Runs all threads until the time is over, a signal comes or something fails, and checks B once more at the end. */
static void run(struct demo *demo, unsigned seconds, struct layout_thread *layout)
{
	static void *(*const others[])(void *) = {device_thread, b_checker_thread, a_checker_thread};
	pthread_t threads[LAYOUT_THREADS + 3];
	unsigned count = 0, second = 0;
	uint64_t begin = now_ns(), *buffer = malloc(SLOT);
	sigset_t signals;
	int err = 0;

	if (!buffer) {
		demo_fail(demo, "running", -ENOMEM);
		return;
	}
	/* Blocked in all threads, the signals wait until main asks for them. */
	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
	for (unsigned i = 0; i < LAYOUT_THREADS && err == 0; i++) {
		layout[i] = (struct layout_thread){.demo = demo, .random = demo->seed + i * 1000003};
		err = start(demo, &threads[count], layout_thread, &layout[i]);
		count += err == 0;
	}
	for (unsigned i = 0; i < (demo->unsafe ? 2 : 3) && err == 0; i++) {
		err = start(demo, &threads[count], others[i], demo);
		count += err == 0;
	}
	while (!demo->stop && second < seconds) {
		uint64_t tick = begin + (second + 1) * UINT64_C(1000000000), now = now_ns();
		uint64_t left = tick > now ? tick - now : 0;
		struct timespec wait = {.tv_sec = (time_t)(left / 1000000000), .tv_nsec = (long)(left % 1000000000)};

		if (sigtimedwait(&signals, NULL, &wait) > 0)
			break;
		if (now_ns() >= tick)
			report_progress(demo, ++second);
	}
	demo->stop = true;
	pthread_sigmask(SIG_UNBLOCK, &signals, NULL); /* another one ends the program at once */
	while (count > 0)
		pthread_join(threads[--count], NULL);
	for (unsigned i = 0; i < demo->slot_count && err >= 0; i++)
		err = b_check(demo, i, buffer);
	if (err < 0)
		demo_fail(demo, "checking B at the end", err);
	free(buffer);
}

int main(int argc, char **argv)
{
	struct settings settings = {0};
	struct demo demo = {0};
	struct layout_thread layout[LAYOUT_THREADS] = {0};
	int status = EXIT_TROUBLE, parsed = parse(argc, argv, &settings, &demo), err;

	if (parsed < 1)
		return parsed == 0 ? EXIT_GOOD : EXIT_TROUBLE;
	err = disk_open(settings.source, &demo.disk);
	if (err < 0) {
		fprintf(stderr, "dma_vs_layout: the disk file %s: %s\n", settings.source ? settings.source : "",
		        err == -EINVAL ? "shorter than 64 KiB" : strerror(-err));
		return EXIT_TROUBLE;
	}
	if (setup(&demo, &settings) == 0) {
		if (!demo.quiet)
			fprintf(stderr, "%s leases; reading %s by %s\n", demo.unsafe ? "Without" : "With",
			        disk_source(demo.disk), disk_method(demo.disk));
		run(&demo, settings.seconds, layout);
		status = report(&demo, layout, settings.json);
	}
	for (unsigned i = 0; i < LAYOUT_THREADS; i++)
		free(layout[i].waits.ns);
	b_destroy(&demo);
	disk_close(demo.disk); /* before the pool: the ring may have the pool's memory registered */
	err = demo.pool ? daxl_pool_close(demo.pool) : 0;
	if (err < 0) {
		demo_fail(&demo, "closing the pool", err);
		status = EXIT_TROUBLE;
	}
	return status;
}
