/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What has to go together, whatever the pool's bytes are. FUZZ_VERBOSE in the environment shows the files as seen.
 *
 * - A check, an open for reading, and an open that is refused for an error, store nothing (the bytes are
 *   write-protected meanwhile).
 * - What the check calls clean opens for writing, and so does what it finds no error in.
 * - What opens for writing has no error, was readable, and has in it just what the reader saw.
 * - What opened for writing can be used, is clean after it was closed, and has in it what was there before the close.
 * - What repair calls put right is clean and can be opened and used in the same way.
 * - A refusal is one of the errors that the headers promise, with a sentence.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <daxlayout.h>

#include "check/check.h"
#include "file/file.h"
#include "fuzz.h"

#define MAX_READ_EXTENTS 32u
#define MAX_USED_FILES 4u
#define READ_BYTES 4096u
#define KEPT_BYTES 1024u

/* --- what a pool holds, as a number --- */

struct digest {
	struct daxl_pool *pool;
	uint64_t sum;
	char some[MAX_USED_FILES][DAXL_NAME_MAX + 1]; /* names of files to use */
	unsigned nsome;
};

static uint64_t mix(uint64_t sum, const void *bytes, size_t len)
{
	const unsigned char *at = bytes;
	uint64_t word;

	/* By words: it is most of what a short input costs. */
	for (; len >= sizeof(word); at += sizeof(word), len -= sizeof(word)) {
		memcpy(&word, at, sizeof(word));
		sum = (sum ^ word) * UINT64_C(0x9e3779b97f4a7c15);
		sum ^= sum >> 32;
	}
	for (; len; at++, len--)
		sum = (sum ^ *at) * UINT64_C(0x100000001b3);
	return sum;
}

static uint64_t mix_number(uint64_t sum, uint64_t number)
{
	return mix(sum, &number, sizeof(number));
}

/* Nothing in a pool that opened well is damaged. */
static void must_hold(long rc, const char *what)
{
	if (rc == -EUCLEAN || rc == -EIO)
		fuzz_fail("%s in an open pool gave %ld", what, rc);
}

static void must(long rc, const char *what)
{
	if (rc < 0)
		fuzz_fail("%s gave %ld", what, rc);
}

static uint64_t mix_bytes(uint64_t sum, struct daxl_file *file, uint64_t off)
{
	char bytes[READ_BYTES];
	ssize_t n = daxl_pread(file, bytes, sizeof(bytes), (off_t)off);

	must(n, "reading");
	return mix(sum, bytes, (size_t)n);
}

/* Forgets what is shared: that it is not any more shows when those who read it then have gone. */
static ssize_t merge(struct daxl_extent *exts, ssize_t n)
{
	ssize_t to = 0;

	for (ssize_t i = 0; i < n; i++) {
		exts[i].flags &= ~(uint32_t)DAXL_EXTENT_SHARED;
		if (to && !(exts[i].flags & DAXL_EXTENT_HOLE) && exts[i].flags == exts[to - 1].flags &&
		    exts[i].pool_off == exts[to - 1].pool_off + exts[to - 1].len)
			exts[to - 1].len += exts[i].len;
		else
			exts[to++] = exts[i];
	}
	return to;
}

/* The map, and bytes of its first extents. */
static uint64_t mix_map(uint64_t sum, struct daxl_file *file)
{
	ssize_t n = daxl_map(file, 0, DAXL_TO_END, NULL, 0);

	must(n, "the map");
	struct daxl_extent *exts = calloc((size_t)n + 1, sizeof(*exts));
	if (!exts)
		fuzz_fail("no memory for %zd extents", n);
	must(daxl_map(file, 0, DAXL_TO_END, exts, (size_t)n), "the map");
	n = merge(exts, n);
	for (ssize_t i = 0; i < n; i++) {
		sum = mix(sum, &exts[i], offsetof(struct daxl_extent, addr));
		sum = mix_number(sum, exts[i].flags);
		if (i < MAX_READ_EXTENTS)
			sum = mix_bytes(sum, file, exts[i].file_off);
	}
	free(exts);
	return sum;
}

static uint64_t mix_file(uint64_t sum, struct daxl_file *file)
{
	char value[DAXL_ATTR_SPACE_MAX];
	struct daxl_stat st;

	must(daxl_stat(file, &st), "stat");
	sum = mix_number(sum, st.id);
	sum = mix_number(sum, st.size);
	sum = mix_number(sum, st.blocks);
	sum = mix_number(sum, st.runs);
	sum = mix_number(sum, st.generation);
	sum = mix_number(sum, st.mtime_ns ^ st.ctime_ns << 1 ^ st.btime_ns << 2);
	sum = mix_map(sum, file);
	if (st.size)
		sum = mix_bytes(sum, file, st.size - 1);
	sum = mix_number(sum, (uint64_t)daxl_seek(file, 0, DAXL_SEEK_DATA));
	sum = mix_number(sum, (uint64_t)daxl_seek(file, 0, DAXL_SEEK_HOLE));
	ssize_t n = daxl_getattr(file, "key", value, sizeof(value));
	return n > 0 ? mix(sum, value, (size_t)n) : sum;
}

/* For who looks for what differs. */
static void describe(struct daxl_file *file, const char *name, uint64_t sum)
{
	struct daxl_extent exts[8];
	struct daxl_stat st;

	must(daxl_stat(file, &st), "stat");
	ssize_t n = daxl_map(file, 0, DAXL_TO_END, exts, 8);
	fprintf(stderr, "%" PRIx64 " '%s' id %" PRIu64 " size %" PRIu64 " generation %" PRIu64 " runs %" PRIu64 ":",
	        sum, name, st.id, st.size, st.generation, st.runs);
	for (ssize_t i = 0; i < n && i < 8; i++)
		fprintf(stderr, " %" PRIu64 "+%" PRIu64 "@%" PRIu64 "/%u", exts[i].file_off, exts[i].len,
		        exts[i].pool_off, exts[i].flags);
	fprintf(stderr, "\n");
}

static int digest_file(const char *name, uint64_t id, void *arg)
{
	struct digest *digest = arg;
	struct daxl_file *file;
	uint64_t sum = mix(UINT64_C(0xcbf29ce484222325), name, strlen(name));
	int rc = daxl_open(digest->pool, name, O_RDONLY, &file);

	if (rc == -EUCLEAN)
		digest->sum += mix_number(sum, id); /* damaged; the pool says so */
	else
		must(rc, "opening a file");
	if (rc)
		return 0;
	sum = mix_file(sum, file);
	digest->sum += sum;
	if (getenv("FUZZ_VERBOSE"))
		describe(file, name, sum);
	must(daxl_close(file), "closing a file");
	if (digest->nsome < MAX_USED_FILES)
		(void)snprintf(digest->some[digest->nsome++], sizeof(digest->some[0]), "%s", name);
	return 0;
}

/* Reads all that can be read. */
static void digest_make(struct daxl_pool *pool, struct digest *digest)
{
	static struct daxl_stats stats;

	memset(digest, 0, sizeof(*digest));
	digest->pool = pool;
	must(daxl_list(pool, digest_file, digest), "list");
	must(daxl_stats(pool, &stats), "stats");
}

/* --- using a pool --- */

static void use_lease(struct daxl_file *file, uint32_t mode)
{
	struct daxl_lease_opts opts = DAXL_LEASE_OPTS_INIT;
	struct daxl_extent exts[8];
	struct daxl_lease *lease;

	opts.mode = mode;
	opts.flags = DAXL_LEASE_NOWAIT;
	int rc = daxl_lease_acquire(file, 0, 3 << 12, &opts, &lease);
	must_hold(rc, "a lease");
	if (rc)
		return;
	must(daxl_lease_pin(lease), "a pin");
	ssize_t n = daxl_lease_extents(lease, exts, 8);
	must(n, "extents of a lease");
	for (ssize_t i = 0; i < n && i < 8; i++) {
		char *at = exts[i].addr;

		if (at && mode == DAXL_LEASE_WRITE)
			at[exts[i].len - 1] = 'w';
		else if (at && *(volatile char *)at == 'w')
			at = NULL; /* looked at */
	}
	if (mode == DAXL_LEASE_WRITE)
		must(daxl_lease_commit(lease, 0, 1, -1), "a commit");
	daxl_lease_unpin(lease);
	daxl_lease_free(lease);
}

/* Every kind of change, to a file that was there. What does not fit may fail. */
static void use_file(struct daxl_pool *pool, struct daxl_file *mine, const char *name, unsigned how, off_t block)
{
	struct daxl_file *file;

	must(daxl_open(pool, name, O_RDWR, &file), "opening a file to write");
	use_lease(file, how & 1 ? DAXL_LEASE_WRITE : DAXL_LEASE_READ);
	must_hold(daxl_pwrite(file, "written", 7, block - 3), "a write");
	must_hold(daxl_clone_range(file, 0, mine, 8 * block, block, NULL), "a clone");
	must_hold(daxl_fallocate(file, 0, 0, 4 * block, NULL), "an allocation");
	must_hold(daxl_fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, block, block, NULL), "a punch");
	if (how == 1)
		must_hold(daxl_fallocate(file, FALLOC_FL_COLLAPSE_RANGE, 0, block, NULL), "a collapse");
	if (how == 2)
		must_hold(daxl_fallocate(file, FALLOC_FL_INSERT_RANGE, 0, block, NULL), "an insert");
	if (how == 3)
		must_hold(daxl_exchange_range(file, 0, mine, 0, block, NULL), "an exchange");
	must_hold(daxl_setattr(file, "fuzz", "value", 5), "an attribute");
	must_hold(daxl_truncate(file, block + 5, NULL), "a truncate");
	if (how == 0)
		must_hold(daxl_unlink(pool, name), "an unlink");
	must(daxl_close(file), "close");
}

static void use(struct daxl_pool *pool, const struct digest *digest)
{
	struct daxl_pool_stat st;
	struct daxl_file *file;
	char bytes[KEPT_BYTES];

	must(daxl_pool_stat(pool, &st), "pool stat");
	memset(bytes, 'u', sizeof(bytes));
	int rc = daxl_open(pool, "fuzz", O_RDWR | O_CREAT, &file);
	must_hold(rc, "making a file");
	if (rc)
		return;
	must_hold(daxl_pwrite(file, bytes, sizeof(bytes), 3), "a write");
	must_hold(daxl_pwrite(file, bytes, sizeof(bytes), (off_t)st.block_size * 2 - 1), "a write");
	for (unsigned i = 0; i < digest->nsome; i++)
		if (strcmp(digest->some[i], "fuzz") != 0)
			use_file(pool, file, digest->some[i], i, (off_t)st.block_size);
	must_hold(daxl_pool_checkpoint(pool), "a checkpoint");
	must_hold(daxl_rename(pool, "fuzz", "renamed", 0), "a rename");
	must_hold(daxl_pwrite(file, bytes, sizeof(bytes), 0), "a write");
	must(daxl_close(file), "close");
}

/* --- judging --- */

struct findings {
	int rc;
	unsigned errors, warnings;
	char first[KEPT_BYTES]; /* errors */
};

static int count(const struct daxl_check_finding *finding, void *arg)
{
	struct findings *findings = arg;

	if (finding->kind == DAXL_FINDING_PROGRESS)
		return 0;
	if (!finding->message || !finding->message[0])
		fuzz_fail("a finding of kind %d has no message", finding->kind);
	findings->errors += finding->severity == DAXL_SEVERITY_ERROR;
	findings->warnings += finding->severity == DAXL_SEVERITY_WARNING;
	size_t at = strlen(findings->first);
	if (finding->severity != DAXL_SEVERITY_INFO)
		(void)snprintf(findings->first + at, sizeof(findings->first) - at, "%s\n", finding->message);
	return 0;
}

static bool known_refusal(int rc)
{
	const int known[] = {EINVAL, EUCLEAN, EROFS, ENOSPC, EIO};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (rc == -known[i])
			return true;
	return false;
}

static void check(struct fuzz_pool *pool, bool repair, struct findings *findings)
{
	struct daxl_media *media;

	memset(findings, 0, sizeof(*findings));
	must(daxl_media_open_memory(pool->base, pool->size, !repair, &media), "medium");
	findings->rc = daxl_check_media(media, repair, count, findings);
	if (findings->rc < 0 && !known_refusal(findings->rc))
		fuzz_fail("%s gave %d", repair ? "repair" : "check", findings->rc);
	if (findings->rc >= 0 && (findings->errors + findings->warnings != 0) != (findings->rc == 1))
		fuzz_fail("%s gave %d with %u errors and %u warnings", repair ? "repair" : "check", findings->rc,
		          findings->errors, findings->warnings);
}

static int open_pool(struct fuzz_pool *pool, bool read_only, struct daxl_pool **ret_pool)
{
	struct daxl_media *media;

	must(daxl_media_open_memory(pool->base, pool->size, read_only, &media), "medium");
	int rc = daxl_pool_load_media(media, NULL, ret_pool);
	if (rc == 0)
		return 0;
	if (!known_refusal(rc))
		fuzz_fail("open for %s gave %d", read_only ? "reading" : "writing", rc);
	if (!daxl_errormsg()[0])
		fuzz_fail("a refusal without a sentence");
	daxl_media_close(media);
	return rc;
}

static void protect(struct fuzz_pool *pool, bool protect)
{
	if (mprotect(pool->base, pool->size, PROT_READ | (protect ? 0 : PROT_WRITE)) != 0)
		fuzz_fail("mprotect");
}

/* Opens for reading. *ret_whole: nothing in it is damaged. */
static int look(struct fuzz_pool *pool, struct digest *digest, bool *ret_whole)
{
	struct daxl_pool_stat st;
	struct daxl_pool *opened;

	*ret_whole = false;
	int rc = open_pool(pool, true, &opened);
	if (rc)
		return rc;
	digest_make(opened, digest);
	must(daxl_pool_stat(opened, &st), "pool stat");
	*ret_whole = !(st.flags & DAXL_POOL_STAT_DAMAGED);
	must(daxl_pool_close(opened), "close");
	return 0;
}

/* Uses a pool that has been opened, closes it, and looks at what is left. */
static void use_and_close(struct fuzz_pool *pool, struct daxl_pool *opened, const struct digest *digest, bool warned)
{
	struct digest before, after;
	struct findings findings;
	bool whole;

	use(opened, digest);
	digest_make(opened, &before);
	must(daxl_pool_close(opened), "close");
	protect(pool, true);
	check(pool, false, &findings);
	if (findings.rc < 0 || findings.errors || (findings.rc && !warned))
		fuzz_fail("after a clean close check gave %d:\n%s", findings.rc, findings.first);
	must(look(pool, &after, &whole), "opening what was closed");
	if (!whole || after.sum != before.sum)
		fuzz_fail("closed and opened again, the pool is %s", whole ? "another" : "damaged");
	protect(pool, false);
}

/* A summary that contradicts the maps: other builds make nothing of it. */
static bool only_tests_refuse(int rc)
{
	return rc == -EUCLEAN && strncmp(daxl_errormsg(), "summary: ", 9) == 0;
}

static void judge_open(struct fuzz_pool *pool, const struct findings *found)
{
	struct digest seen, digest;
	struct daxl_pool *opened;
	bool whole;

	bool bad = found->rc < 0 || found->errors;
	protect(pool, true);
	int readable = look(pool, &seen, &whole);
	protect(pool, bad); /* what does not open is not written to */
	int rc = open_pool(pool, false, &opened);
	protect(pool, false);
	if (rc) {
		if (!bad && rc != -ENOSPC && rc != -EROFS && !only_tests_refuse(rc))
			fuzz_fail("check found no error (%d), open for writing gave %d\n%s", found->rc, rc,
			          found->first);
		return;
	}
	if (bad)
		fuzz_fail("the pool opens for writing, check gave %d\n%s", found->rc, found->first);
	digest_make(opened, &digest);
	if (readable || !whole || seen.sum != digest.sum)
		fuzz_fail("opened for writing, the pool is not what was read: reading gave %d%s", readable,
		          whole ? "" : " and damage");
	use_and_close(pool, opened, &digest, found->warnings != 0);
}

static void judge_repair(struct fuzz_pool *pool, const struct findings *found)
{
	struct findings repair, after;
	struct daxl_pool *opened;
	struct digest digest;

	check(pool, true, &repair);
	if (repair.rc < 0)
		return;
	if (repair.rc == 0)
		fuzz_fail("check gave %d, repair found nothing\n%s", found->rc, found->first);
	protect(pool, true);
	check(pool, false, &after);
	if (after.rc)
		fuzz_fail("after repair check gave %d:\n%sit was:\n%s", after.rc, after.first, repair.first);
	protect(pool, false);
	must(open_pool(pool, false, &opened), "opening what was repaired");
	digest_make(opened, &digest);
	use_and_close(pool, opened, &digest, false);
}

void fuzz_judge(struct fuzz_pool *pool, void (*spoil)(struct fuzz_pool *pool, void *arg), void *arg)
{
	struct findings found;

	fuzz_random_seed(2); /* other epochs than those in the pool */
	fuzz_pool_reset(pool);
	spoil(pool, arg);
	protect(pool, true);
	check(pool, false, &found);
	protect(pool, false);
	judge_open(pool, &found);
	if (found.rc == 0)
		return;
	fuzz_pool_reset(pool);
	spoil(pool, arg);
	judge_repair(pool, &found);
}
