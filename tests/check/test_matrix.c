/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Every page and slot of metadata, damaged in every way: zeroed, one bit flipped, exchanged with another of its kind,
 * replaced by what lay there earlier. For each case:
 *
 * - check says what opening for writing does: an error is found exactly where that fails;
 * - damage to a copy loses nothing; damage that loses something is an error;
 * - repair leaves a pool that is clean and opens, and every file is as it was unless an error spoke of it;
 * - every block of data is still in some file.
 */
#include "matrix.h"

struct ground {
	struct image image, older;
	struct lines was;
	struct tags tags;
	bool log;
	unsigned cases, found, errors, lost_lines;
};

static void ground_make(struct ground *ground, bool log)
{
	struct daxl_pool *pool;

	memset(ground, 0, sizeof(*ground));
	ground->log = log;
	matrix_make(&ground->image, &ground->older, log);
	must(image_try(&ground->image, true, &pool));
	lines_of(pool, &ground->was);
	tags_of(pool, &ground->tags);
	ck_assert_uint_gt(ground->tags.n, 500);
	daxl_pool_abandon(pool);
}

static void ground_free(struct ground *ground)
{
	fprintf(stderr, "%s: %u cases, %u found, %u errors, %u files changed\n",
	        ground->log ? "with a log" : "closed cleanly", ground->cases, ground->found, ground->errors,
	        ground->lost_lines);
	image_free(&ground->image);
	image_free(&ground->older);
	free(ground->was.text);
}

enum expect {
	EXPECT_COPY = 1,  /* nothing is lost */
	EXPECT_LOSS = 2,  /* an error */
	EXPECT_END = 3,   /* the newest record: cannot be told from one that was never finished */
	EXPECT_STALE = 4, /* what lies there is intact: cannot be told where there is one copy */
};

/* The files as they are now against those that were. */
static void compare(struct ground *ground, struct daxl_pool *pool, const struct verdict *verdict, const char *what)
{
	struct lines is;

	lines_of(pool, &is);
	for (unsigned id = 0; id < DAXL_ARRAY_LEN(is.line); id++) {
		const char *a = ground->was.line[id], *b = is.line[id];

		if (!a || (b && strcmp(a, b) == 0))
			continue;
		ground->lost_lines++;
		if (!verdict->anonymous && !verdict->files[id])
			ck_abort_msg("%s: nothing was said about file %u\n was %s\n is  %s\n%s", what, id, a,
			             b ? b : "gone", verdict->log);
	}
	free(is.text);
}

static void all_tags(struct ground *ground, struct daxl_pool *pool, const struct verdict *verdict, const char *what)
{
	static struct tags tags;

	tags_of(pool, &tags);
	for (unsigned i = 0; i < sizeof(tags.seen); i++)
		if (ground->tags.seen[i] && !tags.seen[i])
			ck_abort_msg("%s: the data in block %u are in no file any more\n%s", what, i, verdict->log);
}

/* What is to be said of the damaged image. It is changed by the repair. */
static void judge_case(struct ground *ground, struct image *image, enum expect expect, const char *what)
{
	struct verdict verdict, repair, again;
	struct daxl_pool *pool;

	ground->cases++;
	judge(image, false, &verdict);
	if (verdict.rc < 0)
		ck_abort_msg("%s: check gave %d: %s", what, verdict.rc, daxl_error_last());
	ground->found += verdict.rc != 0;
	ground->errors += verdict.errors != 0;
	if (expect == EXPECT_COPY && (verdict.errors || verdict.warnings + verdict.infos == 0))
		ck_abort_msg("%s: %u errors, %u warnings\n%s", what, verdict.errors, verdict.warnings, verdict.log);
	if (expect == EXPECT_LOSS && verdict.errors == 0)
		ck_abort_msg("%s: no error\n%s", what, verdict.log);
	if (expect == EXPECT_END && verdict.rc)
		ck_abort_msg("%s: it was found\n%s", what, verdict.log);

	struct image opened;
	image_copy(&opened, image);
	int rc = image_try(&opened, false, &pool);
	/* Loading does not see that a first copy is outdated, unless it contradicts the rest. */
	if (expect == EXPECT_STALE ? rc != 0 && verdict.errors == 0 : (rc != 0) != (verdict.errors != 0))
		ck_abort_msg("%s: opening for writing gave %d (%s), check found %u errors\n%s", what, rc,
		             rc ? daxl_error_last() : "", verdict.errors, verdict.log);
	if (rc == 0) {
		daxl_pool_abandon(pool);
	} else {
		ck_assert_int_eq(rc, -EUCLEAN);
		ck_assert_int_eq(memcmp(opened.base, image->base, image->size), 0);
		must(image_try(image, true, &pool)); /* it can be read */
		ck_assert_msg(pool->damaged, "%s: open for reading, it is not damaged\n%s", what, verdict.log);
		daxl_pool_abandon(pool);
	}
	image_free(&opened);

	judge(image, true, &repair);
	if (repair.rc != verdict.rc || repair.unrepaired)
		ck_abort_msg("%s: repair gave %d (%s), check %d\n%s", what, repair.rc, daxl_error_last(), verdict.rc,
		             repair.log);
	judge(image, false, &again);
	if (again.rc || again.infos)
		ck_abort_msg("%s: after repair check gave %d (%s)\n%s\nit was\n%s", what, again.rc, daxl_error_last(),
		             again.log, repair.log);
	pool = image_open(image);
	if (expect != EXPECT_END && expect != EXPECT_STALE) {
		compare(ground, pool, &repair, what);
		all_tags(ground, pool, &repair, what);
	}
	daxl_pool_abandon(pool);
}

/* --- pages --- */

struct target {
	daxl_page_t page, copy; /* copy 0: none */
	unsigned type, depth;
};

struct targets {
	struct target t[256];
	unsigned n;
};

static void target_add(struct targets *targets, daxl_page_t page, daxl_page_t copy, unsigned type, unsigned depth)
{
	ck_assert_uint_lt(targets->n, DAXL_ARRAY_LEN(targets->t));
	targets->t[targets->n++] = (struct target){.page = page, .copy = copy, .type = type, .depth = depth};
}

static void add_refs(struct targets *targets, const struct image *image, const struct daxl_md_ref *ref)
{
	const struct daxl_pagebuf *buf = matrix_page(image, ref->page);

	ck_assert(is_page(image, ref->page));
	target_add(targets, ref->page, ref->copy, buf->hdr.type, buf->hdr.depth);
	for (unsigned i = 0, at = 0; i < buf->hdr.count; i++) {
		struct daxl_md_ref below = {0};
		struct daxl_md_child child;
		struct daxl_md_file file;

		if (buf->hdr.type == DAXL_PAGE_DIR) {
			memcpy(&below, buf->body + i * sizeof(below), sizeof(below));
		} else if (buf->hdr.type == DAXL_PAGE_ROPE && buf->hdr.depth) {
			memcpy(&child, buf->body + i * sizeof(child), sizeof(child));
			below = child.ref;
		} else if (buf->hdr.type == DAXL_PAGE_TABLE) {
			memcpy(&file, buf->body + at, sizeof(file));
			at += file.rec_len;
			below = file.root;
		}
		if (below.page)
			add_refs(targets, image, &below);
	}
}

static struct daxl_md_slot newest(const struct image *image)
{
	struct daxl_media *media;
	struct daxl_md_slot slot;
	int which;

	must(daxl_media_open_memory(image->base, image->size, true, &media));
	must(daxl_slot_read(media, matrix_super(image), &slot, &which, NULL));
	daxl_media_close(media);
	return slot;
}

enum way { ZEROED, FLIPPED, SWAPPED, STALE, WAYS };
static const char *const ways[] = {"zeroed", "with a bit flipped", "swapped", "stale"};

/* Damages one page; false: there is no way to do it like that. */
static bool damage_page(const struct ground *ground, struct image *image, const struct targets *targets, unsigned i,
                        bool copy, enum way way, uint64_t *rng, unsigned *ret_other)
{
	daxl_page_t page = copy ? targets->t[i].copy : targets->t[i].page;
	char *at = image->base + page * 4096, kept[4096];

	*ret_other = i;
	switch (way) {
	case ZEROED:
		memset(at, 0, 4096);
		return true;
	case FLIPPED:
		at[test_random(rng) % (sizeof(struct daxl_md_page) + matrix_page(image, page)->hdr.used)] ^=
			(char)(1u << test_random(rng) % 8);
		return true;
	case SWAPPED:
		for (unsigned j = 1; j < targets->n; j++) {
			unsigned other = (i + j) % targets->n;

			if (targets->t[other].type != targets->t[i].type ||
			    targets->t[other].depth != targets->t[i].depth || (copy && !targets->t[other].copy))
				continue;
			char *with = image->base + (copy ? targets->t[other].copy : targets->t[other].page) * 4096;
			memcpy(kept, at, 4096);
			memcpy(at, with, 4096);
			memcpy(with, kept, 4096);
			*ret_other = other;
			return true;
		}
		return false;
	case STALE:
		if (memcmp(at, ground->older.base + page * 4096, 4096) == 0)
			return false;
		memcpy(at, ground->older.base + page * 4096, 4096);
		return true;
	default:
		return false;
	}
}

static void every_page(bool log)
{
	struct targets targets = {0};
	uint64_t rng = test_seed(log ? "every_page, log" : "every_page");
	struct ground ground;
	char what[128];

	ground_make(&ground, log);
	struct daxl_md_slot slot = newest(&ground.image);
	add_refs(&targets, &ground.image, &slot.table);
	unsigned two = 0, leaves = 0, dirs = 0;
	for (unsigned i = 0; i < targets.n; i++) {
		const struct target *t = &targets.t[i];

		two += t->copy != 0;
		leaves += t->copy == 0;
		dirs += t->type == DAXL_PAGE_DIR;
		for (unsigned way = 0; way < WAYS; way++) {
			for (unsigned copies = 1; copies <= (t->copy ? 3u : 1u); copies++) { /* first, second, both */
				struct image image;
				unsigned other = i;
				bool done = true;

				image_copy(&image, &ground.image);
				if (copies & 1)
					done = damage_page(&ground, &image, &targets, i, false, way, &rng, &other);
				if (done && copies & 2)
					done = damage_page(&ground, &image, &targets, i, true, way, &rng, &other);
				snprintf(what, sizeof(what), "page %u, type %u depth %u, %s%s, %s", (unsigned)t->page,
				         t->type, t->depth, copies & 1 ? "first" : "", copies & 2 ? "second" : "",
				         ways[way]);
				enum expect expect =
					t->copy && copies < 3 && targets.t[other].copy ? EXPECT_COPY : EXPECT_LOSS;
				/* Data where a page was once are not what the page says. */
				if (way == STALE && is_page(&image, copies & 1 ? t->page : t->copy))
					expect = EXPECT_STALE;
				if (done)
					judge_case(&ground, &image, expect, what);
				image_free(&image);
			}
		}
	}
	ck_assert_uint_gt(two, 3);
	ck_assert_uint_gt(leaves, 3);
	ck_assert_uint_ge(dirs, 1);
	ground_free(&ground);
}

START_TEST(every_page_of_a_pool_closed_cleanly)
{
	every_page(false);
}
END_TEST

START_TEST(every_page_of_a_pool_with_a_log)
{
	every_page(true);
}
END_TEST

/* --- superblocks, slots, summary --- */

START_TEST(every_superblock_copy_and_slot)
{
	uint64_t rng = test_seed("every_superblock_copy_and_slot");
	char what[128];

	for (unsigned log = 0; log < 2; log++) {
		struct ground ground;

		ground_make(&ground, log);
		uint64_t mid = matrix_super(&ground.image)->mid;
		const uint64_t offs[] = {0, mid, ground.image.size - 4096, 4096, 8192, mid + 4096, mid + 8192};
		for (unsigned i = 0; i < DAXL_ARRAY_LEN(offs); i++) {
			for (unsigned way = 0; way < WAYS; way++) {
				struct image image;
				char *at, kept[4096];
				/* An exchange spoils two: A with B', B with A', a superblock with the next. */
				unsigned other = i < 3 ? (i + 1) % 3 : 3 + ((i - 3) ^ 3);

				image_copy(&image, &ground.image);
				at = image.base + offs[i];
				if (way == ZEROED)
					memset(at, 0, 4096);
				else if (way == FLIPPED)
					at[test_random(&rng) % 168] ^= (char)(1u << test_random(&rng) % 8);
				else if (way == SWAPPED) {
					memcpy(kept, at, 4096);
					memcpy(at, image.base + offs[other], 4096);
					memcpy(image.base + offs[other], kept, 4096);
				} else {
					memcpy(at, ground.older.base + offs[i], 4096);
				}
				snprintf(what, sizeof(what), "%s %u %s", i < 3 ? "superblock" : "slot",
				         i < 3 ? i : i - 3, ways[way]);
				/* Slots do not say where they are: intact, the newest wins wherever it is. */
				bool same = memcmp(image.base, ground.image.base, image.size) == 0;
				if (!same && (way != STALE || i < 3) && (way != SWAPPED || i < 3))
					judge_case(&ground, &image, EXPECT_COPY, what);
				else if (!same)
					judge_case(&ground, &image, EXPECT_STALE, what);
				image_free(&image);
			}
		}
		ground_free(&ground);
	}
}
END_TEST

START_TEST(every_page_of_the_summary)
{
	uint64_t rng = test_seed("every_page_of_the_summary");
	struct ground ground;

	ground_make(&ground, false);
	struct daxl_md_slot slot = newest(&ground.image);
	ck_assert_uint_ne(slot.summary.page, 0);
	for (unsigned way = ZEROED; way <= FLIPPED; way++) {
		struct image image;

		image_copy(&image, &ground.image);
		char *at = image.base + slot.summary.page * 4096;
		if (way == ZEROED)
			memset(at, 0, 4096);
		else
			at[test_random(&rng) % 300] ^= 4;
		judge_case(&ground, &image, EXPECT_COPY, ways[way]);
		image_free(&image);
	}
	ground_free(&ground);
}
END_TEST

/* --- the log --- */

START_TEST(every_record_of_the_log)
{
	uint64_t rng = test_seed("every_record_of_the_log");
	struct ground ground;
	char what[128];

	ground_make(&ground, true);
	const struct daxl_md_super *super = matrix_super(&ground.image);
	struct daxl_md_slot slot = newest(&ground.image);
	uint64_t ring = super->log_size / 64, end = slot.position;
	uint64_t starts[256];
	unsigned n = 0;
	for (;;) {
		const struct daxl_md_rec *rec = (void *)(ground.image.base + super->log_off + end % ring * 64);

		if (rec->position != end || !rec->slots)
			break;
		ck_assert_uint_lt(n, DAXL_ARRAY_LEN(starts));
		starts[n++] = end;
		end += rec->slots;
	}
	ck_assert_uint_gt(n, 20);
	for (unsigned i = 0; i < n; i++) {
		for (unsigned way = 0; way < WAYS; way++) {
			struct image image;

			image_copy(&image, &ground.image);
			char *at = image.base + super->log_off + starts[i] % ring * 64;
			struct daxl_md_rec *rec = (void *)at;
			unsigned other = i ? i - 1 : 1;
			if (way == ZEROED) {
				memset(at, 0, 64);
			} else if (way == FLIPPED) {
				at[test_random(&rng) % (rec->slots * 64u)] ^= (char)(1u << test_random(&rng) % 8);
			} else if (way == SWAPPED) {
				char kept[64], *with = image.base + super->log_off + starts[other] % ring * 64;
				memcpy(kept, at, 64);
				memcpy(at, with, 64);
				memcpy(with, kept, 64);
			} else { /* an earlier lap: intact but for its position */
				rec->position -= ring;
				rec->crc = 0;
				rec->crc = daxl_crc32c(daxl_crc32c(0, &slot.epoch, 8), at, rec->slots * 64u);
			}
			snprintf(what, sizeof(what), "record %u of %u (type %u) %s", i, n, rec->type, ways[way]);
			enum expect expect = i == n - 1 && (way != SWAPPED) ? EXPECT_END : EXPECT_LOSS;
			/* The last two exchanged: neither is a record, and nothing follows. */
			if (way == SWAPPED && i >= n - 1)
				expect = EXPECT_END;
			judge_case(&ground, &image, expect, what);
			image_free(&image);
		}
	}
	ground_free(&ground);
}
END_TEST

START_TEST(every_payload_page)
{
	struct ground ground;
	unsigned n = 0;

	ground_make(&ground, true);
	struct daxl_md_slot slot = newest(&ground.image);
	for (daxl_page_t page = 1; page < ground.image.size / 4096; page++) {
		const struct daxl_pagebuf *buf = matrix_page(&ground.image, page);

		if (!is_page(&ground.image, page) || buf->hdr.type != DAXL_PAGE_PAYLOAD ||
		    buf->hdr.position < slot.position)
			continue;
		for (unsigned way = ZEROED; way <= FLIPPED; way++) {
			struct image image;

			image_copy(&image, &ground.image);
			if (way == ZEROED)
				memset(image.base + page * 4096, 0, 4096);
			else
				image.base[page * 4096 + 100] ^= 1;
			judge_case(&ground, &image, EXPECT_LOSS, "payload");
			image_free(&image);
			n++;
		}
	}
	ck_assert_uint_ge(n, 2);
	ground_free(&ground);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("matrix");

	test_add(suite, "every_page_of_a_pool_closed_cleanly", every_page_of_a_pool_closed_cleanly);
	test_add(suite, "every_page_of_a_pool_with_a_log", every_page_of_a_pool_with_a_log);
	test_add(suite, "every_superblock_copy_and_slot", every_superblock_copy_and_slot);
	test_add(suite, "every_page_of_the_summary", every_page_of_the_summary);
	test_add(suite, "every_record_of_the_log", every_record_of_the_log);
	test_add(suite, "every_payload_page", every_payload_page);
	SRunner *sr = srunner_create(suite);
	srunner_set_fork_status(sr, CK_NOFORK);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
