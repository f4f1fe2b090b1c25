/* SPDX-License-Identifier: BSD-3-Clause */
/* Check and repair: what is said about each kind of damage, and what is left of a pool that was put right. */
#include "image.h"

#include <unistd.h>

#include <daxlayout/check.h>

#include "check/check.h"
#include "log/page.h"

#define POOL_SIZE (8u << 20)

struct findings {
	unsigned n, by_severity[3], by_kind[16], repaired, progress;
	uint64_t done;
	uint64_t stop_after; /* 0: never */
	char log[16384];
};

static int note(const struct daxl_check_finding *finding, void *arg)
{
	struct findings *findings = arg;
	size_t at = strlen(findings->log);

	if (finding->kind == DAXL_FINDING_PROGRESS) {
		ck_assert_uint_ge(finding->done, findings->done);
		ck_assert_uint_ge(finding->total, finding->done);
		findings->done = finding->done;
		findings->progress++;
		return 0;
	}
	ck_assert_uint_ne(strlen(finding->message), 0);
	findings->n++;
	findings->by_severity[finding->severity]++;
	findings->by_kind[finding->kind]++;
	findings->repaired += finding->repaired != 0;
	snprintf(findings->log + at, sizeof(findings->log) - at, "  %d/%d %s\n", finding->kind, finding->severity,
	         finding->message);
	return findings->stop_after && findings->n >= findings->stop_after;
}

static int check(const struct image *image, bool repair, struct findings *findings)
{
	struct daxl_media *media;

	memset(findings, 0, sizeof(*findings));
	int rc = daxl_media_open_memory(image->base, image->size, !repair, &media);
	return rc ? rc : daxl_check_media(media, repair, note, findings);
}

static void expect_clean(const struct image *image, const char *when)
{
	struct findings findings;
	int rc = check(image, false, &findings);

	ck_assert_msg(rc == 0, "%s: check gave %d (%s):\n%s", when, rc, daxl_error_last(), findings.log);
}

/* Repairs, and expects an ordinary pool afterwards. */
static void repair(const struct image *image, struct findings *findings)
{
	int rc = check(image, true, findings);

	ck_assert_msg(rc == 1, "repair gave %d: %s\n%s", rc, daxl_error_last(), findings->log);
	ck_assert_uint_eq(findings->repaired, findings->n);
	expect_clean(image, "after repair");
	daxl_pool_abandon(image_open(image));
}

/* Files of several kinds: small, fragmented with a map in pages, shared, with attributes. */
static void populate(struct daxl_pool *pool)
{
	struct daxl_inode *ino;

	must(file_map(file_make(pool, "small"), 0, 3, 0, 3));
	ino = file_make(pool, "large");
	for (unsigned i = 0; i < 150; i++)
		must(file_map(ino, i * 2, 1, i % 7 ? 0 : DAXL_RUN_UNWRITTEN, 1));
	ino = file_make(pool, "attrs");
	must(file_setattr(ino, "key", "value", 5));
	must(file_map(ino, 5, 2, 0, 2));
	must(file_clone(file_find(pool, "small"), 0, file_make(pool, "clone"), 0, 3));
	file_make(pool, "empty");
}

/* A pool with files, closed cleanly or left with a log. */
static char *make(struct image *image, bool clean)
{
	image_make(image, POOL_SIZE, 4096, 0);
	struct daxl_pool *pool = image_open(image);
	populate(pool);
	char *text = pool_text(pool);
	if (clean)
		must(daxl_pool_end(pool));
	else
		daxl_pool_abandon(pool);
	return text;
}

static struct daxl_md_super super_of(const struct image *image)
{
	struct daxl_md_super super;

	memcpy(&super, image->base, sizeof(super));
	return super;
}

static struct daxl_md_slot newest_slot(const struct image *image, int *which)
{
	struct daxl_md_super super = super_of(image);
	struct daxl_media *media;
	struct daxl_md_slot slot;

	must(daxl_media_open_memory(image->base, image->size, true, &media));
	must(daxl_slot_read(media, &super, &slot, which, NULL));
	daxl_media_close(media);
	return slot;
}

static struct daxl_md_page *page_at(const struct image *image, daxl_page_t page)
{
	return (void *)(image->base + (page << DAXL_PAGE_SHIFT));
}

/* Runs fn on the pool read-only. */
static char *text_of(const struct image *image)
{
	struct daxl_pool *pool;

	must(image_try(image, true, &pool));
	char *text = pool_text(pool);
	daxl_pool_abandon(pool);
	return text;
}

START_TEST(a_sound_pool_is_clean_and_check_changes_nothing)
{
	for (unsigned clean = 0; clean < 2; clean++) {
		struct image image, before;
		struct findings findings;

		free(make(&image, clean));
		image_copy(&before, &image);
		ck_assert_int_eq(check(&image, false, &findings), 0);
		ck_assert_uint_eq(findings.n, 0);
		ck_assert_uint_gt(findings.progress, 2);
		ck_assert_int_eq(check(&image, true, &findings), 0);
		ck_assert_int_eq(memcmp(before.base, image.base, image.size), 0);
		image_free(&image);
		image_free(&before);
	}
}
END_TEST

START_TEST(no_pool_is_an_error_not_a_finding)
{
	struct image image = {.size = POOL_SIZE, .base = aligned_alloc(4096, POOL_SIZE)};
	struct findings findings;

	memset(image.base, 0, image.size);
	ck_assert_int_eq(check(&image, false, &findings), -EINVAL);
	ck_assert_int_eq(check(&image, true, &findings), -EINVAL);
	ck_assert_uint_eq(findings.n, 0);
	image_free(&image);
}
END_TEST

START_TEST(a_bad_superblock_copy_is_a_warning_and_is_rewritten)
{
	struct image image;
	struct findings findings;
	char *was = make(&image, true);
	const uint64_t offs[] = {0, super_of(&image).mid, image.size - 4096};

	for (unsigned i = 0; i < 3; i++) {
		image.base[offs[i] + 100] ^= 1;
		ck_assert_int_eq(check(&image, false, &findings), 1);
		ck_assert_uint_eq(findings.by_kind[DAXL_FINDING_SUPERBLOCK], 1);
		ck_assert_uint_eq(findings.by_severity[DAXL_SEVERITY_WARNING], findings.n);
		repair(&image, &findings);
		char *is = text_of(&image);
		texts_equal(was, is, "superblock copy");
		free(is);
	}
	free(was);
	image_free(&image);
}
END_TEST

START_TEST(without_a_superblock_or_a_slot_too_little_is_left)
{
	struct image image;
	struct findings findings;

	free(make(&image, true));
	for (unsigned place = 0; place < 4; place++)
		image.base[(place < 2 ? 0 : super_of(&image).mid) + (1 + place % 2) * 4096 + 40] ^= 1;
	ck_assert_int_eq(check(&image, false, &findings), 1);
	ck_assert_uint_eq(findings.by_severity[DAXL_SEVERITY_ERROR], 1);
	ck_assert_int_eq(check(&image, true, &findings), -EUCLEAN);
	ck_assert_uint_eq(findings.n, 1);
	ck_assert_uint_eq(findings.repaired, 0);
	for (unsigned i = 0; i < 3; i++)
		image.base[(const uint64_t[]){0, super_of(&image).mid, image.size - 4096}[2 - i] + 100] ^= 1;
	ck_assert_int_eq(check(&image, false, &findings), 1);
	ck_assert_int_eq(check(&image, true, &findings), -EUCLEAN);
	image_free(&image);
}
END_TEST

START_TEST(losing_both_places_of_a_slot_is_an_error_for_it_may_have_been_the_newest)
{
	struct image image;
	struct findings findings;
	struct daxl_pool *pool;
	int which;

	free(make(&image, true));
	(void)newest_slot(&image, &which);
	image.base[(1 + which) * 4096 + 40] ^= 1;
	ck_assert_int_eq(check(&image, false, &findings), 1);
	ck_assert_uint_eq(findings.by_severity[DAXL_SEVERITY_ERROR], 0);
	image.base[super_of(&image).mid + (uint64_t)(1 + which) * 4096 + 40] ^= 1;
	ck_assert_int_eq(check(&image, false, &findings), 1);
	ck_assert_uint_ge(findings.by_severity[DAXL_SEVERITY_ERROR], 1);
	ck_assert_int_eq(image_try(&image, false, &pool), -EUCLEAN);
	repair(&image, &findings);
	image_free(&image);
}
END_TEST

/* All pages of a type that the checkpoint has. */
static unsigned pages_of_type(const struct image *image, unsigned type, unsigned depth, daxl_page_t *pages,
                              unsigned max)
{
	unsigned n = 0;

	for (daxl_page_t page = 1; page < image->size / 4096; page++)
		if (page_at(image, page)->magic == DAXL_PAGE_MAGIC && page_at(image, page)->type == type &&
		    page_at(image, page)->depth == depth && page_at(image, page)->self == page && n < max)
			pages[n++] = page;
	return n;
}

START_TEST(a_bad_copy_of_a_table_page_is_a_warning_and_both_together_cost_its_files)
{
	struct image image;
	struct findings findings;
	struct daxl_pool *pool;
	char *was = make(&image, true);
	struct daxl_md_slot slot = newest_slot(&image, &(int){0});

	for (unsigned copy = 0; copy < 2; copy++) {
		struct image one;

		image_copy(&one, &image);
		page_at(&one, copy ? slot.table.copy : slot.table.page)->used ^= 8;
		ck_assert_int_eq(check(&one, false, &findings), 1);
		ck_assert_uint_eq(findings.by_severity[DAXL_SEVERITY_WARNING], 1);
		ck_assert_uint_eq(findings.by_severity[DAXL_SEVERITY_ERROR], 0);
		repair(&one, &findings);
		char *is = text_of(&one);
		texts_equal(was, is, "table copy");
		free(is);
		image_free(&one);
	}
	page_at(&image, slot.table.page)->used ^= 8;
	page_at(&image, slot.table.copy)->used ^= 8;
	ck_assert_int_eq(check(&image, false, &findings), 1);
	ck_assert_uint_eq(findings.by_severity[DAXL_SEVERITY_ERROR], 1);
	ck_assert_int_eq(image_try(&image, false, &pool), -EUCLEAN);
	repair(&image, &findings);
	free(was);
	image_free(&image);
}
END_TEST

START_TEST(a_lost_leaf_costs_its_runs_and_its_blocks_are_set_aside)
{
	struct image image;
	struct findings findings;
	daxl_page_t leaves[64];

	image_make(&image, POOL_SIZE, 4096, 0);
	struct daxl_pool *pool = image_open(&image);
	populate(pool);
	struct daxl_inode *ino = file_find(pool, "large");
	struct daxl_run run;
	for (unsigned i = 0; i < 150; i++) { /* every block holds its own number */
		daxl_rope_lookup(ino->version->root, i * 2, &run);
		memset(daxl_pool_addr(pool, run.blk), (int)(1 + i), 4096);
	}
	must(daxl_pool_end(pool));
	unsigned n = pages_of_type(&image, DAXL_PAGE_ROPE, 0, leaves, 64);
	ck_assert_uint_ge(n, 2);
	pool = image_open(&image); /* which leaves are alive? */
	ino = file_find(pool, "large");
	ck_assert_uint_eq(ino->version->root->depth, 1);
	daxl_page_t leaf = daxl_node_child(ino->version->root, 1)->page[0];
	daxl_fblk_t from = daxl_node_start(ino->version->root, 1), to = daxl_node_end(ino->version->root, 1);
	must(daxl_pool_end(pool));
	page_at(&image, leaf)->crc ^= 1;

	ck_assert_int_eq(check(&image, false, &findings), 1);
	ck_assert_uint_eq(findings.by_kind[DAXL_FINDING_MAP], 1);
	ck_assert_int_eq(image_try(&image, false, &pool), -EUCLEAN);
	repair(&image, &findings);
	pool = image_open(&image);
	ino = file_find(pool, "large");
	struct daxl_inode *aside = file_find(pool, "lost+found.blocks");
	ck_assert_ptr_nonnull(ino);
	ck_assert_ptr_nonnull(aside);
	unsigned gone = 0, kept = 0;
	for (unsigned i = 0; i < 150; i++) {
		daxl_rope_lookup(ino->version->root, i * 2, &run);
		if (run.flags & DAXL_RUN_HOLE) {
			ck_assert_uint_ge(i * 2, from);
			ck_assert_uint_lt(i * 2, to);
			gone++;
		} else {
			ck_assert_int_eq(*daxl_pool_addr(pool, run.blk), (char)(1 + i));
		}
	}
	for (daxl_fblk_t at = 0; at < daxl_rope_len(aside->version->root); at++) {
		daxl_rope_lookup(aside->version->root, at, &run);
		unsigned i = (unsigned char)*daxl_pool_addr(pool, run.blk) - 1u;
		if (i < 150 && i * 2 >= from && i * 2 < to)
			kept++;
	}
	ck_assert_uint_gt(gone, 10);
	ck_assert_uint_ge(kept, gone);
	must(daxl_pool_end(pool));
	image_free(&image);
}
END_TEST

START_TEST(a_damaged_record_is_an_error_and_what_does_not_depend_on_it_is_kept)
{
	struct image image;
	struct findings findings;
	struct daxl_pool *pool;

	image_make(&image, POOL_SIZE, 4096, 0);
	pool = image_open(&image);
	struct daxl_inode *a = file_make(pool, "a"), *b = file_make(pool, "b");
	must(file_map(b, 0, 2, 0, 2));
	struct daxl_log_stat log;
	daxl_log_stat(pool->log, &log);
	uint64_t lost = log.head;
	must(file_map(a, 0, 1, 0, 1));
	must(file_map(b, 2, 2, 0, 2));
	struct daxl_md_super super = pool->super;
	daxl_pool_abandon(pool);
	image.base[super.log_off + lost % (super.log_size / 64) * 64 + 20] ^= 1;

	ck_assert_int_eq(check(&image, false, &findings), 1);
	ck_assert_uint_eq(findings.by_kind[DAXL_FINDING_LOG], 1);
	ck_assert_uint_eq(findings.by_severity[DAXL_SEVERITY_ERROR], 1);
	ck_assert_int_eq(image_try(&image, false, &pool), -EUCLEAN);
	repair(&image, &findings);
	pool = image_open(&image);
	ck_assert_uint_eq(daxl_rope_blocks(file_find(pool, "b")->version->root), 4);
	ck_assert_uint_eq(daxl_rope_blocks(file_find(pool, "a")->version->root), 0);
	must(daxl_pool_end(pool));
	image_free(&image);
}
END_TEST

START_TEST(a_file_whose_creation_is_lost_comes_back_under_another_name)
{
	struct image image;
	struct findings findings;
	struct daxl_pool *pool;
	struct daxl_log_stat log;

	image_make(&image, POOL_SIZE, 4096, 0);
	pool = image_open(&image);
	daxl_log_stat(pool->log, &log);
	struct daxl_inode *a = file_make(pool, "a");
	uint32_t id = a->id;
	must(file_map(a, 0, 7, 0, 7));
	struct daxl_md_super super = pool->super;
	daxl_pool_abandon(pool);
	image.base[super.log_off + log.head % (super.log_size / 64) * 64 + 20] ^= 1;

	repair(&image, &findings);
	char name[64];
	snprintf(name, sizeof(name), "lost+found.%u", id);
	pool = image_open(&image);
	ck_assert_msg(file_find(pool, name) != NULL, "%s", findings.log);
	ck_assert_uint_eq(daxl_rope_blocks(file_find(pool, name)->version->root), 7);
	must(daxl_pool_end(pool));
	image_free(&image);
}
END_TEST

START_TEST(records_behind_a_gap_longer_than_the_window_are_not_forgotten)
{
	struct image image;
	struct findings findings;
	struct daxl_pool *pool;
	struct daxl_log_stat log;

	image_make(&image, POOL_SIZE, 4096, 1u << 20);
	pool = image_open(&image);
	struct daxl_inode *a = file_make(pool, "a");
	daxl_log_stat(pool->log, &log);
	uint64_t first = log.head;
	for (unsigned i = 0; i < 1200; i++)
		must(file_setattr(a, "k", &i, sizeof(i)));
	daxl_log_stat(pool->log, &log);
	must(file_map(file_make(pool, "b"), 0, 1, 0, 1));
	struct daxl_md_super super = pool->super;
	daxl_pool_abandon(pool);
	memset(image.base + super.log_off + first % (super.log_size / 64) * 64, 0, (log.head - first) * 64);
	ck_assert_int_eq(check(&image, false, &findings), 1);
	ck_assert_uint_eq(findings.by_kind[DAXL_FINDING_LOG], 1);
	repair(&image, &findings);
	pool = image_open(&image);
	ck_assert_ptr_nonnull(file_find(pool, "b"));
	must(daxl_pool_end(pool));
	image_free(&image);
}
END_TEST

START_TEST(a_pool_in_long_use_has_room_for_the_repair)
{
	struct image image;
	struct findings findings;
	struct daxl_log_stat log;

	image_make(&image, POOL_SIZE, 4096, 0);
	struct daxl_pool *pool = image_open(&image);
	populate(pool);
	for (unsigned i = 0; i < 5; i++) {
		must(file_setattr(file_find(pool, "attrs"), "round", &i, sizeof(i)));
		must(file_map(file_find(pool, "large"), 301 + i * 2, 1, 0, 1));
		must(daxl_ckpt_run(pool, false, 0));
	}
	daxl_log_stat(pool->log, &log);
	must(file_map(file_find(pool, "small"), 9, 1, 0, 1));
	must(file_map(file_find(pool, "small"), 11, 1, 0, 1));
	struct daxl_md_super super = pool->super;
	for (daxl_blk_t blk = 0; blk < image.size / 4096; blk++) /* no free block is empty */
		if (!daxl_space_is_used(pool->space, blk) && page_at(&image, blk)->magic != DAXL_PAGE_MAGIC)
			memset(image.base + blk * 4096, 0xee, 4096);
	daxl_pool_abandon(pool);
	image.base[super.log_off + log.head % (super.log_size / 64) * 64 + 20] ^= 1;
	repair(&image, &findings);
	pool = image_open(&image);
	daxl_nblk_t aside = daxl_rope_blocks(file_find(pool, "lost+found.blocks")->version->root);
	ck_assert_uint_gt(aside, image.size / 4096 / 2);
	must(daxl_names_unlink(pool, "lost+found.blocks", 17));
	(void)daxl_wait_for_frees(pool);
	must(file_map(file_make(pool, "again"), 0, 100, 0, 100));
	must(daxl_pool_end(pool));
	expect_clean(&image, "after all");
	image_free(&image);
}
END_TEST

/* A pool with something of each kind wrong. */
static void make_damaged(struct image *image, uint32_t block_size)
{
	struct daxl_log_stat log;

	image_make(image, POOL_SIZE / 4096 * (uint64_t)block_size, block_size, 0);
	struct daxl_pool *pool = image_open(image);
	populate(pool);
	must(daxl_ckpt_run(pool, false, 0));
	daxl_log_stat(pool->log, &log);
	must(file_map(file_find(pool, "small"), 9, 1, 0, 1));
	must(file_map(file_find(pool, "small"), 11, 1, 0, 1));
	daxl_page_t leaf = daxl_node_child(file_find(pool, "large")->version->root, 0)->page[0];
	struct daxl_md_super super = pool->super;
	daxl_pool_abandon(pool);
	image->base[100] ^= 1; /* the superblock */
	page_at(image, leaf)->crc ^= 1;
	page_at(image, newest_slot(image, &(int){0}).table.page)->crc ^= 1;
	image->base[super.log_off + log.head % (super.log_size / 64) * 64 + 20] ^= 1;
}

struct crash {
	const struct image *image;
	struct image copy;
	unsigned left; /* events until the crash */
};

static void count_down(struct daxl_media *media, enum daxl_media_event event, const void *addr, const void *src,
                       size_t len, void *arg)
{
	struct crash *crash = arg;

	(void)media;
	if (crash->left == 0 || --crash->left)
		return;
	image_copy(&crash->copy, crash->image);
	if (event == DAXL_MEDIA_EV_STORE && src) /* half of it has landed */
		memcpy(crash->copy.base + ((const char *)addr - crash->image->base), src, len / 16 * 8);
}

/* Every name with size and blocks, without what repair has added. */
static void files_of(struct daxl_inode *ino, void *arg)
{
	struct text *text = arg;

	if (ino->name && strncmp(ino->name->bytes, "lost+found", 10) != 0)
		text_add(text, "%s %" PRIu64 " %" PRIu64 "\n", ino->name->bytes, ino->version->size,
		         daxl_rope_blocks(ino->version->root));
}

static char *kept_files(const struct image *image)
{
	struct text text = {0};
	struct daxl_pool *pool = image_open(image);

	daxl_ids_each(pool, files_of, &text);
	daxl_pool_abandon(pool);
	return text.bytes;
}

START_TEST(a_repair_that_a_crash_cut_short_can_be_run_again)
{
	struct image damaged;
	struct findings findings;
	char *whole = NULL;
	unsigned n = 1;

	make_damaged(&damaged, 4096);
	for (;; n++) {
		struct image image;
		struct crash crash = {.image = &image, .left = n};

		image_copy(&image, &damaged);
		daxl_media_observe(count_down, &crash);
		int rc = check(&image, true, &findings);
		daxl_media_observe(NULL, NULL);
		ck_assert_int_eq(rc, 1);
		if (!whole)
			whole = kept_files(&image);
		image_free(&image);
		if (crash.left)
			break;
		rc = check(&crash.copy, true, &findings);
		ck_assert_msg(rc == 0 || rc == 1, "crash %u: %d (%s)", n, rc, daxl_error_last());
		expect_clean(&crash.copy, "after a second repair");
		char *again = kept_files(&crash.copy);
		texts_equal(whole, again, "after a second repair");
		free(again);
		image_free(&crash.copy);
	}
	ck_assert_uint_gt(n, 40);
	free(whole);
	image_free(&damaged);
}
END_TEST

/* Fails the n-th passage through any fault point. */
static bool fail_nth(const char *point, void *arg)
{
	unsigned *left = arg;

	(void)point;
	return *left && --*left == 0;
}

START_TEST(whatever_fails_nothing_is_made_worse)
{
	struct image damaged;
	struct findings findings;

	make_damaged(&damaged, 4096);
	for (unsigned fix = 0; fix < 2; fix++) {
		for (unsigned n = 1;; n += 1 + n / 40) {
			unsigned left = n;
			struct image image;

			image_copy(&image, &damaged);
			daxl_fault_set(fail_nth, &left);
			int rc = check(&image, fix, &findings);
			daxl_fault_set(NULL, NULL);
			/* A read that fails is a finding; of the roots it may be the end. */
			ck_assert_msg(rc == 1 || rc == -ENOMEM || rc == -EIO || (fix && (rc == -EUCLEAN || rc == -ENOSPC)),
			              "fault %u: %d", n, rc);
			if (fix && rc == -ENOMEM)
				ck_assert_uint_eq(findings.repaired, 0);
			if (fix && rc < 0) { /* perhaps all was done but the close */
				rc = check(&image, true, &findings);
				ck_assert(rc == 0 || rc == 1);
			}
			if (fix)
				expect_clean(&image, "after a fault and a repair");
			image_free(&image);
			if (left)
				break;
		}
	}
	image_free(&damaged);
}
END_TEST

START_TEST(large_blocks_hold_many_pages)
{
	struct image image;
	struct findings findings;
	struct daxl_pool *pool;

	make_damaged(&image, 16384);
	ck_assert_int_eq(check(&image, false, &findings), 1);
	ck_assert_uint_eq(findings.by_severity[DAXL_SEVERITY_ERROR], 2);
	ck_assert_uint_eq(findings.by_severity[DAXL_SEVERITY_WARNING], 2);
	ck_assert_int_eq(image_try(&image, false, &pool), -EUCLEAN);
	repair(&image, &findings);
	image_free(&image);
}
END_TEST

START_TEST(report_can_end_the_check)
{
	struct image image;
	struct findings findings = {.stop_after = 1};
	struct daxl_media *media;

	free(make(&image, true));
	image.base[100] ^= 1;
	image.base[super_of(&image).mid + 100] ^= 1;
	must(daxl_media_open_memory(image.base, image.size, true, &media));
	ck_assert_int_eq(daxl_check_media(media, false, note, &findings), 1);
	ck_assert_uint_eq(findings.n, 1);
	image_free(&image);
}
END_TEST

static int stop_at_once(const struct daxl_check_finding *finding, void *arg)
{
	(void)finding, (void)arg;
	return 1;
}

START_TEST(ended_before_anything_was_found_it_is_cancelled)
{
	struct image image;
	struct daxl_media *media;

	free(make(&image, true));
	must(daxl_media_open_memory(image.base, image.size, true, &media));
	ck_assert_int_eq(daxl_check_media(media, false, stop_at_once, NULL), -ECANCELED);
	image_free(&image);
}
END_TEST

START_TEST(the_public_call_checks_a_path)
{
	char path[] = "/tmp/daxl-check-XXXXXX";
	struct findings findings = {0};
	struct daxl_pool *pool;

	ck_assert_int_eq(daxl_check("/nonexistent/pool", 0, NULL, NULL), -ENOENT);
	ck_assert_int_eq(daxl_check(path, 8, NULL, NULL), -EINVAL);
	int fd = mkstemp(path);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(daxl_check(path, 0, NULL, NULL), -EINVAL);
	must(daxl_pool_create(path, POOL_SIZE, NULL, &pool));
	ck_assert_int_eq(daxl_check(path, 0, NULL, NULL), -EBUSY);
	must(daxl_pool_close(pool));
	ck_assert_int_eq(daxl_check(path, 0, note, &findings), 0);
	ck_assert_int_eq(pwrite(fd, "x", 1, 60), 1);
	ck_assert_int_eq(daxl_check(path, 0, NULL, NULL), 1);
	ck_assert_int_eq(daxl_check(path, DAXL_CHECK_REPAIR, NULL, NULL), 1);
	ck_assert_int_eq(daxl_check(path, 0, NULL, NULL), 0);
	ck_assert_int_eq(ftruncate(fd, POOL_SIZE - 4096), 0);
	findings.done = 0;
	ck_assert_int_eq(daxl_check(path, 0, note, &findings), 1);
	findings.done = 0;
	ck_assert_int_eq(daxl_check(path, DAXL_CHECK_REPAIR, note, &findings), -EUCLEAN);
	close(fd);
	unlink(path);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("check");

#define ADD(name) test_add(suite, #name, name)
	ADD(a_sound_pool_is_clean_and_check_changes_nothing);
	ADD(no_pool_is_an_error_not_a_finding);
	ADD(a_bad_superblock_copy_is_a_warning_and_is_rewritten);
	ADD(without_a_superblock_or_a_slot_too_little_is_left);
	ADD(losing_both_places_of_a_slot_is_an_error_for_it_may_have_been_the_newest);
	ADD(a_bad_copy_of_a_table_page_is_a_warning_and_both_together_cost_its_files);
	ADD(a_lost_leaf_costs_its_runs_and_its_blocks_are_set_aside);
	ADD(a_damaged_record_is_an_error_and_what_does_not_depend_on_it_is_kept);
	ADD(a_file_whose_creation_is_lost_comes_back_under_another_name);
	ADD(records_behind_a_gap_longer_than_the_window_are_not_forgotten);
	ADD(a_pool_in_long_use_has_room_for_the_repair);
	ADD(a_repair_that_a_crash_cut_short_can_be_run_again);
	ADD(whatever_fails_nothing_is_made_worse);
	ADD(large_blocks_hold_many_pages);
	ADD(report_can_end_the_check);
	ADD(ended_before_anything_was_found_it_is_cancelled);
	ADD(the_public_call_checks_a_path);
	SRunner *sr = srunner_create(suite);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
