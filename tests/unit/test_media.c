/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The medium over files on tmpfs and on the disk at all three granularities, and over memory. msync is wrapped here,
 * to count how often libpmem2 calls it. Device DAX and DAX file systems need a machine that has them: run with the
 * argument devdax or fsdax the program tests those alone, on the node that DAXL_TEST_DEVDAX names or in the folder that
 * DAXL_TEST_FSDAX names, and is skipped without.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "base/hook.h"
#include "base/tally.h"
#include "media/media.h"

#define SIZE (UINT64_C(4) << 20)

static char dir[256];
static char path[300], other[300];
static unsigned msyncs;

int msync(void *addr, size_t len, int flags)
{
	msyncs++;
	return (int)syscall(SYS_msync, addr, len, flags);
}

static void make_dir(const char *parent)
{
	snprintf(dir, sizeof(dir), "%s/daxl-media-XXXXXX", parent);
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/pool", dir);
	snprintf(other, sizeof(other), "%s/other", dir);
}

static void setup(void)
{
	make_dir("/dev/shm");
}

static void teardown(void)
{
	daxl_fault_set(NULL, NULL);
	daxl_media_observe(NULL, NULL);
	unsetenv("PMEM2_FORCE_GRANULARITY");
	(void)unlink(path);
	(void)unlink(other);
	ck_assert_int_eq(rmdir(dir), 0); /* nothing else was left behind */
}

static struct daxl_media *create(uint64_t size)
{
	struct daxl_media *media = NULL;
	int err = daxl_media_open(path, DAXL_MEDIA_CREATE, size, 0600, &media);

	ck_assert_msg(err == 0, "%d: %s", err, daxl_error_last());
	return media;
}

static struct daxl_media *reopen(unsigned flags)
{
	struct daxl_media *media = NULL;
	int err = daxl_media_open(path, flags, 0, 0, &media);

	ck_assert_msg(err == 0, "%d: %s", err, daxl_error_last());
	return media;
}

static int try_open(const char *which, unsigned flags, uint64_t size)
{
	struct daxl_media *media = (void *)dir;
	int err = daxl_media_open(which, flags, size, 0600, &media);

	if (err == 0)
		daxl_media_close(media);
	else
		ck_assert_ptr_eq(media, (void *)dir); /* out parameters are written on success only */
	return err;
}

static void write_file(const char *which, const char *text)
{
	int fd = open(which, O_WRONLY | O_CREAT, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

static uint64_t file_size(const char *which, uint64_t *blocks)
{
	struct stat st;

	ck_assert_int_eq(stat(which, &st), 0);
	if (blocks)
		*blocks = (uint64_t)st.st_blocks;
	return (uint64_t)st.st_size;
}

static const struct {
	const char *name;
	enum daxl_granularity granularity;
} forced[] = {
	{"BYTE", DAXL_MEDIA_BYTE},
	{"CACHE_LINE", DAXL_MEDIA_CACHE_LINE},
	{"PAGE", DAXL_MEDIA_PAGE},
};

/* Stores of many lengths and alignments, as they should be afterwards. */
static void store_everywhere(struct daxl_media *media, unsigned char *want)
{
	static const size_t lens[] = {1, 7, 8, 63, 64, 65, 128, 255, 256, 4096, 5000, 70000};
	static unsigned char src[70000];
	unsigned char *base = (unsigned char *)daxl_media_base(media);
	size_t off = 3;

	for (size_t i = 0; i < sizeof(src); i++)
		src[i] = (unsigned char)(i * 7 + 1);
	for (size_t i = 0; i < DAXL_ARRAY_LEN(lens); i++) {
		daxl_media_copy(media, base + off, src, lens[i]);
		memcpy(want + off, src, lens[i]);
		daxl_media_zero(media, base + off + lens[i] / 2, lens[i] / 3);
		memset(want + off + lens[i] / 2, 0, lens[i] / 3);
		off += lens[i] + 61;
	}
	daxl_media_copy(media, base, src, 0);
	daxl_media_zero(media, base, 0);
	daxl_media_flush(media, base, 0);
	daxl_media_fence(media);
	memset(base + off, 0x5a, 100);
	memset(want + off, 0x5a, 100);
	daxl_media_flush(media, base + off, 100);
	daxl_media_fence(media);
	daxl_media_copy(media, base + SIZE - 64, src, 64);
	memcpy(want + SIZE - 64, src, 64);
	daxl_media_persist(media, base + SIZE - 64, 64);
	daxl_media_persist(media, base, 0);
}

START_TEST(what_is_stored_is_there_after_reopening_at_every_granularity)
{
	static unsigned char want[SIZE], got[SIZE];
	struct daxl_media *media;

	setenv("PMEM2_FORCE_GRANULARITY", forced[_i].name, 1);
	memset(want, 0, sizeof(want));
	media = create(SIZE);
	ck_assert_int_eq((int)daxl_media_granularity(media), (int)forced[_i].granularity);
	ck_assert_uint_eq(daxl_media_size(media), SIZE);
	ck_assert(!daxl_media_is_read_only(media) && !daxl_media_is_device(media));
	ck_assert_uint_eq((uintptr_t)daxl_media_base(media) % (2u << 20), 0);
	store_everywhere(media, want);
	daxl_media_close(media);

	media = reopen(DAXL_MEDIA_READ_ONLY);
	ck_assert(daxl_media_is_read_only(media));
	ck_assert_mem_eq(daxl_media_base(media), want, SIZE);
	ck_assert_int_eq(daxl_media_read(media, 0, got, SIZE), 0);
	ck_assert_mem_eq(got, want, SIZE);
	daxl_media_close(media);
}
END_TEST

START_TEST(an_ordinary_file_has_page_granularity_and_syncs_each_store_once)
{
	struct daxl_media *media = create(SIZE);
	char *base = daxl_media_base(media);
	char data[64] = "record";

	ck_assert_int_eq((int)daxl_media_granularity(media), DAXL_MEDIA_PAGE);
	msyncs = 0;
	daxl_media_copy(media, base, data, sizeof(data));
	ck_assert_uint_eq(msyncs, 1);
	daxl_media_zero(media, base + 8192, 4096);
	ck_assert_uint_eq(msyncs, 2);
	daxl_media_fence(media);
	ck_assert_uint_eq(msyncs, 2);
	daxl_media_flush(media, base, 64);
	ck_assert_uint_eq(msyncs, 3);
	daxl_media_persist(media, base, 64);
	ck_assert_uint_eq(msyncs, 4);
	daxl_media_close(media);
}
END_TEST

START_TEST(finer_granularities_do_not_sync)
{
	struct daxl_media *media;

	setenv("PMEM2_FORCE_GRANULARITY", forced[_i].name, 1);
	media = create(SIZE);
	msyncs = 0;
	daxl_media_zero(media, daxl_media_base(media), 100000);
	daxl_media_persist(media, daxl_media_base(media), 100000);
	daxl_media_fence(media);
	ck_assert_uint_eq(msyncs, 0);
	daxl_media_close(media);
}
END_TEST

START_TEST(creation_allocates_all_blocks_unless_sparse)
{
	uint64_t blocks;

	daxl_media_close(create(SIZE));
	ck_assert_uint_eq(file_size(path, &blocks), SIZE);
	ck_assert_uint_ge(blocks * 512, SIZE);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(try_open(path, DAXL_MEDIA_CREATE | DAXL_MEDIA_SPARSE, SIZE), 0);
	ck_assert_uint_eq(file_size(path, &blocks), SIZE);
	ck_assert_uint_lt(blocks * 512, SIZE / 2);
}
END_TEST

START_TEST(creation_takes_an_empty_file_and_refuses_others)
{
	write_file(path, "");
	ck_assert_int_eq(try_open(path, DAXL_MEDIA_CREATE, SIZE), 0);
	ck_assert_uint_eq(file_size(path, NULL), SIZE);
	ck_assert_int_eq(try_open(path, DAXL_MEDIA_CREATE, SIZE), -EEXIST);
	ck_assert_uint_eq(file_size(path, NULL), SIZE);
	write_file(other, "precious");
	ck_assert_int_eq(try_open(other, DAXL_MEDIA_CREATE, SIZE), -EEXIST);
	ck_assert_uint_eq(file_size(other, NULL), 8);
}
END_TEST

START_TEST(a_created_file_has_the_mode_asked_for)
{
	struct stat st;
	mode_t mask = umask(0);
	struct daxl_media *media;

	ck_assert_int_eq(daxl_media_open(path, DAXL_MEDIA_CREATE, SIZE, 0640, &media), 0);
	umask(mask);
	daxl_media_close(media);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0640);
}
END_TEST

static bool fail_at(const char *point, void *arg)
{
	return strcmp(point, arg) == 0;
}

static bool fail_nth(const char *point, void *arg)
{
	unsigned *left = arg;

	(void)point;
	return *left != 0 && --*left == 0;
}

START_TEST(a_failed_creation_leaves_nothing_behind)
{
	static char points[][16] = {"media.extend", "media.map"};

	for (size_t i = 0; i < DAXL_ARRAY_LEN(points); i++) {
		int want = i == 0 ? -ENOSPC : -ENOMEM;

		daxl_fault_set(fail_at, points[i]);
		ck_assert_int_eq(try_open(path, DAXL_MEDIA_CREATE, SIZE), want);
		ck_assert_int_eq(access(path, F_OK), -1);
		write_file(other, "");
		ck_assert_int_eq(try_open(other, DAXL_MEDIA_CREATE, SIZE), want);
		ck_assert_uint_eq(file_size(other, NULL), 0);
		daxl_fault_set(NULL, NULL);
	}
	ck_assert_int_lt(try_open(path, DAXL_MEDIA_CREATE, UINT64_C(1) << 60), 0); /* for real: nobody has that much */
	ck_assert_int_eq(access(path, F_OK), -1);
	ck_assert_int_eq(try_open(path, DAXL_MEDIA_CREATE, 0), -EINVAL);
	ck_assert_int_eq(access(path, F_OK), -1);
	ck_assert_int_eq(try_open(path, DAXL_MEDIA_CREATE, UINT64_MAX), -EFBIG);
	ck_assert_int_eq(access(path, F_OK), -1);
	ck_assert_int_eq(try_open(path, DAXL_MEDIA_CREATE, SIZE), 0); /* the claim is gone as well */
}
END_TEST

START_TEST(every_failing_step_of_an_open_unwinds)
{
	bool survived = false;

	daxl_media_close(create(SIZE));
	for (unsigned n = 1; !survived; n++) {
		unsigned left = n;

		ck_assert_uint_lt(n, 20);
		daxl_fault_set(fail_nth, &left);
		survived = try_open(path, 0, 0) == 0;
		daxl_fault_set(NULL, NULL);
	}
	ck_assert_uint_eq(file_size(path, NULL), SIZE);
}
END_TEST

START_TEST(discard_takes_back_what_creation_did)
{
	daxl_media_discard(create(SIZE));
	ck_assert_int_eq(access(path, F_OK), -1);
	write_file(path, "");
	daxl_media_discard(create(SIZE));
	ck_assert_uint_eq(file_size(path, NULL), 0);
	daxl_media_close(create(SIZE));
	daxl_media_discard(reopen(0));
	ck_assert_uint_eq(file_size(path, NULL), SIZE);
}
END_TEST

START_TEST(what_is_not_a_file_or_device_dax_is_refused_with_a_sentence)
{
	ck_assert_int_eq(try_open(path, 0, 0), -ENOENT);
	ck_assert_ptr_nonnull(strstr(daxl_error_last(), path));
	ck_assert_int_eq(try_open(dir, 0, 0), -EINVAL);
	ck_assert_ptr_nonnull(strstr(daxl_error_last(), "directory"));
	ck_assert_int_eq(try_open(dir, DAXL_MEDIA_CREATE, SIZE), -EINVAL);
	ck_assert_int_eq(try_open("/dev/null", 0, 0), -EINVAL);
	ck_assert_int_eq(try_open("/dev/zero", DAXL_MEDIA_CREATE, SIZE), -EINVAL);
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	ck_assert_int_eq(try_open(path, 0, 0), -EINVAL); /* and does not wait for a writer */
	ck_assert_int_eq(try_open(path, DAXL_MEDIA_READ_ONLY, 0), -EINVAL);
	write_file(other, "");
	ck_assert_int_eq(try_open(other, 0, 0), -EINVAL);
	ck_assert_ptr_nonnull(strstr(daxl_error_last(), "empty"));
	ck_assert_int_eq(try_open(other, DAXL_MEDIA_READ_ONLY | DAXL_MEDIA_CREATE, SIZE), -EINVAL);
	snprintf(path + strlen(path), sizeof(path) - strlen(path), "/below");
	ck_assert_int_eq(try_open(path, 0, 0), -ENOTDIR);
	*strrchr(path, '/') = '\0';
}
END_TEST

START_TEST(a_symbolic_link_leads_to_the_file)
{
	daxl_media_close(create(SIZE));
	ck_assert_int_eq(symlink(path, other), 0);
	ck_assert_int_eq(try_open(other, 0, 0), 0);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(try_open(other, 0, 0), -ENOENT);
	ck_assert_int_eq(try_open(other, DAXL_MEDIA_CREATE, SIZE), -ENOENT);
}
END_TEST

START_TEST(a_short_or_ragged_file_opens_with_the_size_it_has)
{
	struct daxl_media *media;
	char got[3];

	write_file(path, "abc");
	media = reopen(0);
	ck_assert_uint_eq(daxl_media_size(media), 3);
	ck_assert_int_eq(daxl_media_read(media, 0, got, 3), 0);
	ck_assert_mem_eq(got, "abc", 3);
	ck_assert_int_eq(daxl_media_read(media, 1, got, 3), -EIO);
	ck_assert_int_eq(daxl_media_read(media, UINT64_MAX, got, 3), -EIO);
	ck_assert_int_eq(daxl_media_grow(media, 4096), -EINVAL);
	daxl_media_close(media);
}
END_TEST

START_TEST(a_second_open_in_one_process_is_busy_under_any_name)
{
	for (unsigned first = 0; first < 2; first++) {
		struct daxl_media *media;

		if (access(path, F_OK) != 0)
			daxl_media_close(create(SIZE));
		media = reopen(first ? DAXL_MEDIA_READ_ONLY : 0);
		ck_assert_int_eq(link(path, other), 0);
		ck_assert_int_eq(try_open(path, 0, 0), -EBUSY);
		ck_assert_int_eq(try_open(path, DAXL_MEDIA_READ_ONLY, 0), -EBUSY);
		ck_assert_int_eq(try_open(path, DAXL_MEDIA_CREATE, SIZE), -EBUSY);
		ck_assert_int_eq(try_open(other, DAXL_MEDIA_READ_ONLY, 0), -EBUSY);
		ck_assert_uint_eq(file_size(path, NULL), SIZE);
		daxl_media_close(media);
		ck_assert_int_eq(try_open(other, 0, 0), 0);
		ck_assert_int_eq(unlink(other), 0);
	}
}
END_TEST

/* What opening path with flags gives in another process. */
static int open_in_a_child(unsigned flags, uint64_t size)
{
	int status;
	pid_t child;
	char flag[16], size_text[32];

	/* A process of its own, not a fork: it must not inherit this one's claims. */
	snprintf(flag, sizeof(flag), "%u", flags);
	snprintf(size_text, sizeof(size_text), "%llu", (unsigned long long)size);
	child = fork();
	ck_assert_int_ge(child, 0);
	if (child == 0) {
		execl("/proc/self/exe", "test_media", "open", path, flag, size_text, (char *)NULL);
		_exit(127);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) != 127);
	return -WEXITSTATUS(status);
}

START_TEST(a_writer_excludes_other_processes_and_readers_share)
{
	struct daxl_media *media = create(SIZE);

	ck_assert_int_eq(open_in_a_child(0, 0), -EBUSY);
	ck_assert_int_eq(open_in_a_child(DAXL_MEDIA_READ_ONLY, 0), -EBUSY);
	ck_assert_int_eq(open_in_a_child(DAXL_MEDIA_CREATE, SIZE), -EBUSY);
	ck_assert_uint_eq(file_size(path, NULL), SIZE);
	daxl_media_close(media);
	media = reopen(DAXL_MEDIA_READ_ONLY);
	ck_assert_int_eq(open_in_a_child(DAXL_MEDIA_READ_ONLY, 0), 0);
	ck_assert_int_eq(open_in_a_child(0, 0), -EBUSY);
	daxl_media_close(media);
	ck_assert_int_eq(open_in_a_child(0, 0), 0);
}
END_TEST

START_TEST(growth_keeps_the_mapping_and_what_is_in_it)
{
	static unsigned char data[8192], got[8192];
	struct daxl_media *media;
	char *base;
	uint64_t blocks;

	setenv("PMEM2_FORCE_GRANULARITY", forced[_i].name, 1);
	media = create(SIZE);
	base = daxl_media_base(media);
	memset(data, 0x77, sizeof(data));
	daxl_media_copy(media, base + 100, data, 100);
	for (unsigned step = 1; step <= 5; step++) {
		uint64_t size = SIZE + step * UINT64_C(3) * 4096;

		ck_assert_int_eq(daxl_media_grow(media, size), 0);
		ck_assert_uint_eq(daxl_media_size(media), size);
		ck_assert_uint_eq(file_size(path, &blocks), size);
		ck_assert_uint_ge(blocks * 512, size);
		ck_assert_ptr_eq(daxl_media_base(media), base);
		daxl_media_copy(media, base + SIZE - 4096, data, sizeof(data)); /* across the seam */
		daxl_media_persist(media, base + SIZE - 4096, size - SIZE + 4096);
		daxl_media_zero(media, base + size - 4096, 4096);
		daxl_media_copy(media, base + size - 1, data, 1);
		daxl_media_fence(media);
		ck_assert_int_eq(daxl_media_read(media, SIZE - 4096, got, sizeof(got)), 0);
		ck_assert_mem_eq(got, data, sizeof(got));
	}
	daxl_media_close(media);
	media = reopen(0);
	ck_assert_uint_eq(daxl_media_size(media), SIZE + UINT64_C(15) * 4096);
	ck_assert_mem_eq(daxl_media_base(media) + 100, data, 100);
	ck_assert_mem_eq(daxl_media_base(media) + SIZE - 4096, data, sizeof(data));
	ck_assert_int_eq(daxl_media_base(media)[SIZE + 15 * 4096 - 1], 0x77);
	daxl_media_close(media);
}
END_TEST

START_TEST(growth_that_fails_changes_nothing)
{
	static char points[][16] = {"media.extend", "media.map", "alloc"};
	struct daxl_media *media = create(SIZE);

	for (size_t i = 0; i < DAXL_ARRAY_LEN(points); i++) {
		daxl_fault_set(fail_at, points[i]);
		ck_assert_int_eq(daxl_media_grow(media, 2 * SIZE), i == 0 ? -ENOSPC : -ENOMEM);
		daxl_fault_set(NULL, NULL);
		ck_assert_uint_eq(daxl_media_size(media), SIZE);
		ck_assert_uint_eq(file_size(path, NULL), SIZE);
	}
	ck_assert_int_eq(daxl_media_grow(media, SIZE), -EINVAL);
	ck_assert_int_eq(daxl_media_grow(media, SIZE - 4096), -EINVAL);
	ck_assert_int_eq(daxl_media_grow(media, SIZE + 100), -EINVAL);
	ck_assert_int_eq(daxl_media_grow(media, UINT64_C(1) << 50), -EOPNOTSUPP);
	ck_assert_uint_eq(file_size(path, NULL), SIZE);
	ck_assert_int_eq(daxl_media_grow(media, 2 * SIZE), 0);
	daxl_media_close(media);
	media = reopen(DAXL_MEDIA_READ_ONLY);
	ck_assert_int_eq(daxl_media_grow(media, 3 * SIZE), -EOPNOTSUPP);
	daxl_media_close(media);
}
END_TEST

START_TEST(an_unreadable_place_is_an_error_that_says_where)
{
	struct daxl_media *media = create(SIZE);
	char got[4096];
	char name[] = "media.read";

	daxl_fault_set(fail_at, name);
	ck_assert_int_eq(daxl_media_read(media, 8192, got, sizeof(got)), -EIO);
	ck_assert_ptr_nonnull(strstr(daxl_error_last(), "8192"));
	daxl_fault_set(NULL, NULL);
	ck_assert_int_eq(truncate(path, 8192), 0); /* behind the library's back: no SIGBUS, an error */
	ck_assert_int_eq(daxl_media_read(media, 4096, got, sizeof(got)), 0);
	ck_assert_int_eq(daxl_media_read(media, 6000, got, sizeof(got)), -EIO);
	ck_assert_ptr_nonnull(strstr(daxl_error_last(), "8192"));
	daxl_media_close(media);
}
END_TEST

#define EVENTS_MAX 16u

struct seen {
	struct daxl_media *media;
	unsigned n;
	struct {
		enum daxl_media_event event;
		const void *addr, *src;
		size_t len;
		char before; /* the first byte at addr when the event came */
	} events[EVENTS_MAX];
};

static void see(struct daxl_media *media, enum daxl_media_event event, const void *addr, const void *src, size_t len,
                void *arg)
{
	struct seen *seen = arg;

	ck_assert_uint_lt(seen->n, EVENTS_MAX);
	ck_assert_ptr_eq(media, seen->media);
	seen->events[seen->n].event = event;
	seen->events[seen->n].addr = addr;
	seen->events[seen->n].src = src;
	seen->events[seen->n].len = len;
	seen->events[seen->n].before = addr ? *(const char *)addr : 0;
	seen->n++;
}

static void expect(const struct seen *seen, unsigned i, enum daxl_media_event event, const void *addr, const void *src,
                   size_t len, char before)
{
	ck_assert_uint_lt(i, seen->n);
	ck_assert_int_eq((int)seen->events[i].event, (int)event);
	ck_assert_ptr_eq(seen->events[i].addr, addr);
	ck_assert_ptr_eq(seen->events[i].src, src);
	ck_assert_uint_eq(seen->events[i].len, len);
	ck_assert_int_eq(seen->events[i].before, before);
}

START_TEST(an_observer_sees_every_store_before_it_lands)
{
	struct daxl_media *media = create(SIZE);
	struct seen seen = {.media = media};
	char *base = daxl_media_base(media);

	daxl_media_observe(see, &seen);
	daxl_media_copy(media, base, "A", 1);
	daxl_media_zero(media, base, 2);
	daxl_media_flush(media, base, 3);
	daxl_media_fence(media);
	daxl_media_persist(media, base, 4);
	daxl_media_copy(media, base, "", 0);
	daxl_media_observe(NULL, NULL);
	daxl_media_copy(media, base, "B", 1);
	ck_assert_uint_eq(seen.n, 8);
	ck_assert_ptr_nonnull(seen.events[0].src);
	expect(&seen, 0, DAXL_MEDIA_EV_STORE, base, seen.events[0].src, 1, 0);
	ck_assert_int_eq(*(const char *)seen.events[0].src, 'A');
	expect(&seen, 1, DAXL_MEDIA_EV_FLUSH, base, NULL, 1, 'A');
	expect(&seen, 2, DAXL_MEDIA_EV_STORE, base, NULL, 2, 'A');
	expect(&seen, 3, DAXL_MEDIA_EV_FLUSH, base, NULL, 2, 0);
	expect(&seen, 4, DAXL_MEDIA_EV_FLUSH, base, NULL, 3, 0);
	expect(&seen, 5, DAXL_MEDIA_EV_FENCE, NULL, NULL, 0, 0);
	expect(&seen, 6, DAXL_MEDIA_EV_FLUSH, base, NULL, 4, 0);
	expect(&seen, 7, DAXL_MEDIA_EV_FENCE, NULL, NULL, 0, 0);
	daxl_media_close(media);
}
END_TEST

START_TEST(counts_tell_fences_and_lines_of_this_thread)
{
	struct daxl_media *media = create(SIZE);
	char *base = daxl_media_base(media);
	struct daxl_toll before = daxl_toll, after;

	daxl_media_zero(media, base, 64);
	daxl_media_zero(media, base + 63, 2);
	daxl_media_flush(media, base, 65);
	daxl_media_fence(media);
	daxl_media_persist(media, base, 1);
	after = daxl_toll;
	ck_assert_uint_eq(after.lines - before.lines, 1 + 2 + 2 + 1);
	ck_assert_uint_eq(after.fences - before.fences, 2);
	daxl_media_close(media);
}
END_TEST

START_TEST(memory_is_a_medium_too)
{
	static unsigned char memory[SIZE], want[SIZE], got[100];
	struct daxl_media *media;

	memset(memory, 0, sizeof(memory));
	memset(want, 0, sizeof(want));
	ck_assert_int_eq(daxl_media_open_memory(memory, SIZE, false, &media), 0);
	ck_assert_ptr_eq(daxl_media_base(media), (char *)memory);
	ck_assert_uint_eq(daxl_media_size(media), SIZE);
	ck_assert(!daxl_media_is_device(media) && !daxl_media_is_read_only(media));
	store_everywhere(media, want);
	ck_assert_mem_eq(memory, want, SIZE);
	ck_assert_int_eq(daxl_media_read(media, SIZE - 100, got, 100), 0);
	ck_assert_mem_eq(got, want + SIZE - 100, 100);
	ck_assert_int_eq(daxl_media_read(media, SIZE - 99, got, 100), -EIO);
	ck_assert_int_eq(daxl_media_grow(media, 2 * SIZE), -EOPNOTSUPP);
	daxl_media_close(media);
	daxl_fault_set(fail_nth, &(unsigned){1});
	ck_assert_int_eq(daxl_media_open_memory(memory, SIZE, false, &media), -ENOMEM);
}
END_TEST

START_TEST(a_file_on_the_disk_works_as_well)
{
	static unsigned char want[SIZE];
	struct daxl_media *media;

	ck_assert_int_eq(rmdir(dir), 0);
	make_dir(getenv("TMPDIR") ? getenv("TMPDIR") : "/var/tmp");
	memset(want, 0, sizeof(want));
	media = create(SIZE);
	store_everywhere(media, want);
	ck_assert_int_eq(daxl_media_grow(media, 2 * SIZE), 0);
	daxl_media_zero(media, daxl_media_base(media) + SIZE, SIZE);
	daxl_media_close(media);
	media = reopen(DAXL_MEDIA_READ_ONLY);
	ck_assert_mem_eq(daxl_media_base(media), want, SIZE);
	daxl_media_close(media);
}
END_TEST

START_TEST(a_file_on_a_dax_file_system_is_finer_than_a_page)
{
	const char *folder = getenv("DAXL_TEST_FSDAX");
	static unsigned char want[SIZE];
	struct daxl_media *media;

	ck_assert_int_eq(rmdir(dir), 0);
	make_dir(folder);
	memset(want, 0, sizeof(want));
	media = create(SIZE);
	ck_assert_int_ne((int)daxl_media_granularity(media), DAXL_MEDIA_PAGE);
	store_everywhere(media, want);
	ck_assert_int_eq(daxl_media_grow(media, 2 * SIZE), 0);
	daxl_media_close(media);
	media = reopen(DAXL_MEDIA_READ_ONLY);
	ck_assert_mem_eq(daxl_media_base(media), want, SIZE);
	daxl_media_close(media);
}
END_TEST

/* Overwrites the start of the device. */
START_TEST(a_device_dax_node_is_a_medium_of_its_own_size)
{
	const char *node = getenv("DAXL_TEST_DEVDAX");
	static unsigned char want[SIZE], got[SIZE];
	struct daxl_media *media;

	ck_assert_int_eq(daxl_media_open(node, DAXL_MEDIA_CREATE, 0, 0, &media), 0);
	ck_assert(daxl_media_is_device(media));
	ck_assert_uint_ge(daxl_media_size(media), SIZE);
	ck_assert_int_ne((int)daxl_media_granularity(media), DAXL_MEDIA_PAGE);
	ck_assert_int_eq(try_open(node, DAXL_MEDIA_READ_ONLY, 0), -EBUSY);
	memset(want, 0, sizeof(want));
	daxl_media_zero(media, daxl_media_base(media), SIZE);
	store_everywhere(media, want);
	ck_assert_int_eq(daxl_media_read(media, 0, got, SIZE), 0);
	ck_assert_mem_eq(got, want, SIZE);
	ck_assert_int_eq(daxl_media_grow(media, 2 * daxl_media_size(media)), -EOPNOTSUPP);
	daxl_media_discard(media); /* a device is left as it is */
	ck_assert_int_eq(daxl_media_open(node, DAXL_MEDIA_READ_ONLY, 0, 0, &media), 0);
	ck_assert_mem_eq(daxl_media_base(media), want, SIZE);
	daxl_media_close(media);
}
END_TEST

/* The child of open_in_a_child: exits with the error. */
static int open_for_a_parent(char **argv)
{
	struct daxl_media *media;
	unsigned flags = (unsigned)strtoul(argv[3], NULL, 10);
	int err = daxl_media_open(argv[2], flags, strtoull(argv[4], NULL, 10), 0600, &media);

	if (err == 0)
		daxl_media_close(media);
	return -err;
}

static void add_tests(TCase *tcase)
{
	tcase_add_loop_test(tcase, what_is_stored_is_there_after_reopening_at_every_granularity, 0, 3);
	tcase_add_test(tcase, an_ordinary_file_has_page_granularity_and_syncs_each_store_once);
	tcase_add_loop_test(tcase, finer_granularities_do_not_sync, 0, 2);
	tcase_add_test(tcase, creation_allocates_all_blocks_unless_sparse);
	tcase_add_test(tcase, creation_takes_an_empty_file_and_refuses_others);
	tcase_add_test(tcase, a_created_file_has_the_mode_asked_for);
	tcase_add_test(tcase, a_failed_creation_leaves_nothing_behind);
	tcase_add_test(tcase, every_failing_step_of_an_open_unwinds);
	tcase_add_test(tcase, discard_takes_back_what_creation_did);
	tcase_add_test(tcase, what_is_not_a_file_or_device_dax_is_refused_with_a_sentence);
	tcase_add_test(tcase, a_symbolic_link_leads_to_the_file);
	tcase_add_test(tcase, a_short_or_ragged_file_opens_with_the_size_it_has);
	tcase_add_test(tcase, a_second_open_in_one_process_is_busy_under_any_name);
	tcase_add_test(tcase, a_writer_excludes_other_processes_and_readers_share);
	tcase_add_loop_test(tcase, growth_keeps_the_mapping_and_what_is_in_it, 0, 3);
	tcase_add_test(tcase, growth_that_fails_changes_nothing);
	tcase_add_test(tcase, an_unreadable_place_is_an_error_that_says_where);
	tcase_add_test(tcase, an_observer_sees_every_store_before_it_lands);
	tcase_add_test(tcase, counts_tell_fences_and_lines_of_this_thread);
	tcase_add_test(tcase, memory_is_a_medium_too);
	tcase_add_test(tcase, a_file_on_the_disk_works_as_well);
}

/* Whether this machine has what the kind of test needs; says so if not. */
static bool has_dax(const char *kind)
{
	bool device = strcmp(kind, "devdax") == 0;
	const char *variable = device ? "DAXL_TEST_DEVDAX" : "DAXL_TEST_FSDAX";

	if (!device && strcmp(kind, "fsdax") != 0) {
		fprintf(stderr, "usage: unit_media [fsdax|devdax]\n");
		exit(2);
	}
	if (!getenv(variable))
		printf("skipped: %s names no %s\n", variable, device ? "device DAX node" : "folder on a DAX file system");
	return getenv(variable);
}

int main(int argc, char **argv)
{
	if (argc == 5)
		return open_for_a_parent(argv);
	if (argc == 2 && !has_dax(argv[1]))
		return 77;

	Suite *suite = suite_create("media");
	TCase *tcase = tcase_create("media");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tcase, setup, teardown);
	if (argc == 1)
		add_tests(tcase);
	else if (strcmp(argv[1], "devdax") == 0)
		tcase_add_test(tcase, a_device_dax_node_is_a_medium_of_its_own_size);
	else
		tcase_add_test(tcase, a_file_on_a_dax_file_system_is_finer_than_a_page);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_set_fork_status(runner, CK_NOFORK);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
