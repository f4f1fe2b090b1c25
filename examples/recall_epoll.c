/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Holder and breaker in one thread, with an event loop. Recalls come as events through a file descriptor for epoll. A
 * break must not block such a thread, since the thread itself has to answer the recall: so it is begun, its end comes
 * as an event too, and the operation runs inside it and has nothing to wait for.
 *
 * A timer stands in for the device whose transfer is under way when the recall comes.
 */
#include "example.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>

#define LEN ((off_t)1 << 20)

struct loop {
	struct daxl_pool *pool;
	struct daxl_file *file;
	struct daxl_lease *lease;
	struct daxl_break_handle *punch; /* a break in progress, or NULL */
	int epoll_fd;
	int device_fd;
	bool pinned; /* a transfer is under way */
	bool done;
};

/* The device tells that its transfer has ended. */
static int on_device(struct loop *loop)
{
	uint64_t expirations;

	if (read(loop->device_fd, &expirations, sizeof(expirations)) < 0)
		return errno == EAGAIN ? 0 : example_error("the timer", -errno);
	printf("device: the transfer has ended, unpinning\n");
	daxl_lease_unpin(loop->lease);
	loop->pinned = false;
	return 0;
}

/* The lease is wanted back. No new transfers; what is under way keeps its pin until it ends. */
static void on_recall(const struct daxl_event *event)
{
	printf("event:  lease %llu is recalled, returning it\n", (unsigned long long)event->lease_id);
	daxl_lease_return(event->lease);
}

/* Nobody is in the way any more: the operation runs inside the break, which then ends. */
static int on_break_ready(struct loop *loop, const struct daxl_event *event)
{
	struct daxl_wait wait = DAXL_WAIT_INIT;
	int err = daxl_break_poll(event->handle);

	if (err == 1) {
		wait.held = event->handle;
		err = daxl_fallocate(loop->file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, LEN, &wait);
	}
	daxl_break_end(event->handle);
	loop->punch = NULL;
	loop->done = true;
	if (err < 0)
		return example_error("punching", err);
	printf("event:  the break has drained, the hole is punched\n");
	return 0;
}

static int on_events(struct loop *loop)
{
	struct daxl_event event;
	int err = 0;

	while (err == 0 && daxl_event_next(loop->pool, &event) == 1) {
		if (event.kind == DAXL_EVENT_RECALL)
			on_recall(&event);
		else if (event.kind == DAXL_EVENT_BREAK_READY)
			err = on_break_ready(loop, &event);
	}
	return err;
}

static int run(struct loop *loop)
{
	int err = 0;

	while (err == 0 && !loop->done) {
		struct epoll_event event;
		int count = epoll_wait(loop->epoll_fd, &event, 1, 1000);

		if (count == 1)
			err = event.data.fd == loop->device_fd ? on_device(loop) : on_events(loop);
		else if (count < 0 && errno != EINTR)
			err = example_error("epoll_wait", -errno);
		else if (count == 0 && loop->punch && (err = daxl_break_poll(loop->punch)) < 0)
			example_error("waiting for the lease", err); /* only the program watches the clock */
		else
			err = 0;
	}
	return err;
}

static int watch(struct loop *loop, int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

	return epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? example_error("epoll_ctl", -errno) : 0;
}

/* Leases the file, starts a transfer of 50 ms, and begins the break while it runs. */
static int start(struct loop *loop)
{
	struct daxl_lease_opts opts = DAXL_LEASE_OPTS_INIT;
	struct itimerspec transfer = {.it_value.tv_nsec = 50000000};
	int event_fd = daxl_pool_event_fd(loop->pool), err;

	if (event_fd < 0)
		return example_error("the event descriptor", event_fd);
	err = watch(loop, event_fd);
	if (err == 0)
		err = watch(loop, loop->device_fd);
	if (err < 0)
		return err;
	opts.mode = DAXL_LEASE_WRITE;
	opts.flags = DAXL_LEASE_QUEUE_EVENTS;
	opts.owner = daxl_owner_new();
	err = daxl_lease_acquire(loop->file, 0, LEN, &opts, &loop->lease);
	if (err < 0)
		return example_error("acquiring a lease", err);
	err = daxl_lease_pin(loop->lease);
	if (err < 0)
		return example_error("pinning", err);
	loop->pinned = true;
	if (timerfd_settime(loop->device_fd, 0, &transfer, NULL) < 0)
		return example_error("the timer", -errno);
	printf("main:   a transfer is under way; beginning to punch\n");
	err = daxl_break_begin(loop->file, 0, LEN, DAXL_BREAK_UNMAP, NULL, &loop->punch);
	return err < 0 ? example_error("beginning the break", err) : 0;
}

static int body(struct daxl_pool *pool)
{
	struct loop loop = {.pool = pool,
	                    .epoll_fd = epoll_create1(EPOLL_CLOEXEC),
	                    .device_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC)};
	int err = loop.epoll_fd < 0 || loop.device_fd < 0 ? example_error("epoll or timerfd", -errno)
	                                                  : daxl_open(pool, "work", O_RDWR | O_CREAT, &loop.file);

	if (err == 0)
		err = start(&loop);
	if (err == 0)
		err = run(&loop);
	if (loop.punch)
		daxl_break_end(loop.punch);
	if (loop.pinned)
		daxl_lease_unpin(loop.lease);
	if (loop.lease)
		daxl_lease_free(loop.lease);
	if (loop.file)
		daxl_close(loop.file);
	if (loop.device_fd >= 0)
		close(loop.device_fd);
	if (loop.epoll_fd >= 0)
		close(loop.epoll_fd);
	return err;
}

int main(int argc, char **argv)
{
	return example_main(argc, argv, "Recalls a lease and punches a hole from a single-threaded event loop.", body);
}
