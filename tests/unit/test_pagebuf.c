/* SPDX-License-Identifier: BSD-3-Clause */
/* Pages are sealed on the way out, and what is damaged, stale or somebody else's does not come in again. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "base/error.h"
#include "base/hook.h"
#include "log/page.h"

#define PAGES 64u

static const uint8_t uuid[16] = "0123456789abcde";
static const uint8_t other_uuid[16] = "0123456789abcdE";
static uint8_t *memory;
static struct daxl_media *media;
static struct daxl_pagebuf buf, got;
static const struct daxl_page_expect leaf = { .uuid = uuid, .type = DAXL_PAGE_ROPE, .owner = 7, .depth = 0 };

static void setup(void)
{
	memory = calloc(PAGES, DAXL_PAGE_SIZE);
	ck_assert_ptr_nonnull(memory);
	ck_assert_int_eq(daxl_media_open_memory(memory, PAGES * DAXL_PAGE_SIZE, false, &media), 0);
}

static void teardown(void)
{
	daxl_fault_set(NULL, NULL);
	daxl_media_close(media);
	free(memory);
}

static uint8_t *page_at(daxl_page_t page)
{
	return memory + page * DAXL_PAGE_SIZE;
}

/* A rope leaf of owner 7 with n entries at page. */
static void write_leaf(daxl_page_t page, unsigned n)
{
	daxl_pagebuf_init(&buf, uuid, DAXL_PAGE_ROPE, 7, 0);
	buf.hdr.count = (uint16_t)n;
	buf.hdr.used = (uint16_t)(n * sizeof(struct daxl_md_run));
	for (size_t i = 0; i < buf.hdr.used; i++)
		buf.body[i] = (uint8_t)(i * 5 + n);
	daxl_page_write(media, &buf, page, 99);
}

/* Makes the checksum of the page right again, whatever was done to it. */
static void seal(daxl_page_t page)
{
	struct daxl_md_page hdr;

	memcpy(&hdr, page_at(page), sizeof(hdr));
	hdr.crc = 0;
	memcpy(page_at(page), &hdr, sizeof(hdr));
	hdr.crc = daxl_crc32c(0, page_at(page), sizeof(hdr) + (hdr.used <= DAXL_PAGE_BODY ? hdr.used : DAXL_PAGE_BODY));
	memcpy(page_at(page), &hdr, sizeof(hdr));
}

static void expect_bad(daxl_page_t page, const struct daxl_page_expect *expect, const char *what)
{
	const struct daxl_md_ref ref = { .page = page };
	bool copy_used = true;

	ck_assert_int_eq(daxl_page_read(media, &ref, expect, &got, &copy_used), -EUCLEAN);
	ck_assert_msg(strstr(daxl_error_last(), what) != NULL, "'%s' not in '%s'", what, daxl_error_last());
	ck_assert(copy_used);
}

START_TEST(what_goes_out_comes_in)
{
	for (unsigned n = 0; n <= DAXL_PAGE_BODY / sizeof(struct daxl_md_run); n += 63) {
		bool copy_used = true;

		write_leaf(5, n);
		memset(&got, 0xee, sizeof(got));
		ck_assert_int_eq(daxl_page_read(media, &(struct daxl_md_ref){ .page = 5 }, &leaf, &got, &copy_used), 0);
		ck_assert(!copy_used);
		ck_assert_mem_eq(&got, &buf, sizeof(got.hdr) + buf.hdr.used);
		ck_assert_uint_eq(got.hdr.self, 5);
		ck_assert_uint_eq(got.hdr.position, 99);
		ck_assert_uint_eq(got.hdr.count, n);
		for (size_t i = got.hdr.used; i < DAXL_PAGE_BODY; i++)
			ck_assert_uint_eq(got.body[i], 0);
	}
}
END_TEST

START_TEST(only_header_and_used_bytes_are_stored)
{
	memset(page_at(5), 0xaa, DAXL_PAGE_SIZE);
	write_leaf(5, 3);
	for (size_t i = 64 + 48; i < DAXL_PAGE_SIZE; i++)
		ck_assert_uint_eq(page_at(5)[i], 0xaa);
	ck_assert_int_eq(daxl_page_read(media, &(struct daxl_md_ref){ .page = 5 }, &leaf, &got, NULL), 0);
}
END_TEST

START_TEST(each_byte_is_under_the_checksum)
{
	write_leaf(5, 10);
	for (size_t i = 0; i < 64 + 160; i++) {
		page_at(5)[i] ^= (uint8_t)(1u << i % 8);
		expect_bad(5, &leaf, "page 5");
		page_at(5)[i] ^= (uint8_t)(1u << i % 8);
	}
	ck_assert_int_eq(daxl_page_read(media, &(struct daxl_md_ref){ .page = 5 }, &leaf, &got, NULL), 0);
}
END_TEST

START_TEST(an_intact_page_that_is_not_the_expected_one_is_refused_by_name)
{
	struct daxl_page_expect expect;

	write_leaf(5, 10);
	expect = leaf;
	expect.uuid = other_uuid;
	expect_bad(5, &expect, "uuid");
	expect = leaf;
	expect.type = DAXL_PAGE_DIR;
	expect_bad(5, &expect, "type");
	expect = leaf;
	expect.owner = 8;
	expect_bad(5, &expect, "owner");
	expect = leaf;
	expect.depth = 1;
	expect_bad(5, &expect, "depth");
	expect.depth = -1;
	ck_assert_int_eq(daxl_page_read(media, &(struct daxl_md_ref){ .page = 5 }, &expect, &got, NULL), 0);
	memcpy(page_at(6), page_at(5), DAXL_PAGE_SIZE);
	expect_bad(6, &leaf, "own page number");
}
END_TEST

START_TEST(sealed_but_impossible_headers_are_refused)
{
	struct daxl_md_page hdr;

	write_leaf(5, 10);
	memcpy(&hdr, page_at(5), sizeof(hdr));
	hdr.used = DAXL_PAGE_BODY + 1;
	memcpy(page_at(5), &hdr, sizeof(hdr));
	seal(5);
	expect_bad(5, &leaf, "used");
	hdr.used = UINT16_MAX;
	memcpy(page_at(5), &hdr, sizeof(hdr));
	seal(5);
	expect_bad(5, &leaf, "used");
	hdr.used = 160;
	hdr.count = 11;
	memcpy(page_at(5), &hdr, sizeof(hdr));
	seal(5);
	expect_bad(5, &leaf, "count");
	hdr.count = 10;
	memcpy(page_at(5), &hdr, sizeof(hdr));
	seal(5);
	ck_assert_int_eq(daxl_page_read(media, &(struct daxl_md_ref){ .page = 5 }, &leaf, &got, NULL), 0);
}
END_TEST

START_TEST(an_entry_count_fits_the_used_bytes_for_each_kind_of_page)
{
	const struct {
		uint16_t type, depth, entry;
	} kinds[] = {
		{ DAXL_PAGE_DIR, 0, sizeof(struct daxl_md_ref) },
		{ DAXL_PAGE_TABLE, 0, sizeof(struct daxl_md_file) },
		{ DAXL_PAGE_ROPE, 0, sizeof(struct daxl_md_run) },
		{ DAXL_PAGE_ROPE, 3, sizeof(struct daxl_md_child) },
	};

	for (unsigned i = 0; i < DAXL_ARRAY_LEN(kinds); i++) {
		const struct daxl_page_expect expect = { .uuid = uuid, .type = kinds[i].type, .owner = 7, .depth = -1 };
		const struct daxl_md_ref ref = { .page = 5 };

		daxl_pagebuf_init(&buf, uuid, kinds[i].type, 7, kinds[i].depth);
		memset(buf.body, 1, sizeof(buf.body));
		buf.hdr.count = 5;
		buf.hdr.used = (uint16_t)(5 * kinds[i].entry);
		daxl_page_write(media, &buf, 5, 1);
		ck_assert_int_eq(daxl_page_read(media, &ref, &expect, &got, NULL), 0);
		buf.hdr.used--;
		daxl_page_write(media, &buf, 5, 1);
		expect_bad(5, &expect, "count");
	}
}
END_TEST

START_TEST(pages_outside_the_media_and_page_0_are_refused)
{
	expect_bad(0, &leaf, "page 0");
	expect_bad(PAGES, &leaf, "not a page");
	expect_bad(UINT64_MAX, &leaf, "not a page");
	expect_bad(UINT64_MAX >> DAXL_PAGE_SHIFT, &leaf, "not a page");
}
END_TEST

START_TEST(the_copy_serves_when_the_first_is_bad_and_says_so)
{
	struct daxl_md_ref ref = { .page = 5, .copy = 40 };
	bool copy_used = false;

	write_leaf(1, 10);
	daxl_page_write_ref(media, &buf, &ref, 100);
	ck_assert_int_eq(daxl_page_read(media, &ref, &leaf, &got, &copy_used), 0);
	ck_assert(!copy_used);
	page_at(5)[70] ^= 1;
	ck_assert_int_eq(daxl_page_read(media, &ref, &leaf, &got, &copy_used), 0);
	ck_assert(copy_used);
	ck_assert_uint_eq(got.hdr.self, 40);
	page_at(40)[71] ^= 1;
	ck_assert_int_eq(daxl_page_read(media, &ref, &leaf, &got, &copy_used), -EUCLEAN);
	page_at(5)[70] ^= 1;
	ck_assert_int_eq(daxl_page_read(media, &ref, &leaf, &got, &copy_used), 0);
	ck_assert(!copy_used);
}
END_TEST

/* Fails those reads of the medium whose bit is in *arg. */
static bool unreadable(const char *point, void *arg)
{
	unsigned *mask = arg;

	if (strcmp(point, "media.read") != 0)
		return false;
	bool fail = *mask & 1u;
	*mask >>= 1;
	return fail;
}

START_TEST(an_unreadable_page_is_an_io_error_unless_its_copy_can_be_read)
{
	struct daxl_md_ref ref = { .page = 5, .copy = 40 };
	bool copy_used = false;
	unsigned mask = 3; /* the page, and its header alone */

	write_leaf(1, 10);
	daxl_page_write_ref(media, &buf, &ref, 100);
	daxl_fault_set(unreadable, &mask);
	ck_assert_int_eq(daxl_page_read(media, &ref, &leaf, &got, &copy_used), 0);
	ck_assert(copy_used);
	ref.copy = 0;
	mask = 3;
	ck_assert_int_eq(daxl_page_read(media, &ref, &leaf, &got, &copy_used), -EIO);
	mask = 5; /* the page, and its used bytes */
	ck_assert_int_eq(daxl_page_read(media, &ref, &leaf, &got, &copy_used), -EIO);
	mask = 1; /* only the unused rest of the page */
	ck_assert_int_eq(daxl_page_read(media, &ref, &leaf, &got, &copy_used), 0);
}
END_TEST

static daxl_page_t marked[PAGES];
static unsigned nmarked;

static int mark(daxl_page_t page, void *arg)
{
	const daxl_page_t *stop = arg;

	if (stop && *stop == page)
		return 55;
	marked[nmarked++ % PAGES] = page;
	return 0;
}

static const daxl_page_t chain[] = { 9, 3, 60, 21 };

static struct daxl_md_payload write_payload(const uint8_t *body, size_t len)
{
	struct daxl_md_payload payload;

	daxl_payload_write(media, uuid, chain, daxl_payload_pages(len), body, len, 1234, &payload);
	return payload;
}

START_TEST(a_payload_comes_back_whole_and_names_its_pages)
{
	const size_t lens[] = { 1, 45, DAXL_PAGE_BODY - 1, DAXL_PAGE_BODY, DAXL_PAGE_BODY + 1, 4 * DAXL_PAGE_BODY };
	uint8_t *body = malloc(4 * DAXL_PAGE_BODY);

	for (size_t i = 0; i < 4 * DAXL_PAGE_BODY; i++)
		body[i] = (uint8_t)(i * 11 + i / 256);
	for (size_t i = 0; i < DAXL_ARRAY_LEN(lens); i++) {
		void *back = NULL;
		struct daxl_md_payload payload = write_payload(body, lens[i]);

		ck_assert_uint_eq(payload.first_page, 9);
		ck_assert_uint_eq(payload.len, lens[i]);
		ck_assert_uint_eq(payload.crc, daxl_crc32c(0, body, lens[i]));
		nmarked = 0;
		ck_assert_int_eq(daxl_payload_read(media, uuid, &payload, lens[i], mark, NULL, &back), 0);
		ck_assert_mem_eq(back, body, lens[i]);
		ck_assert_uint_eq(nmarked, daxl_payload_pages(lens[i]));
		ck_assert_mem_eq(marked, chain, nmarked * sizeof(chain[0]));
		daxl_free(back);
	}
	free(body);
}
END_TEST

static bool fail_allocation(const char *point, void *arg)
{
	(void)arg;
	return strstr(point, "alloc") != NULL;
}

START_TEST(a_payload_that_contradicts_itself_is_refused)
{
	static uint8_t body[3 * DAXL_PAGE_BODY];
	struct daxl_md_payload good = write_payload(body, sizeof(body)), bad;
	void *back = NULL;
	struct daxl_md_page hdr;

	bad = good;
	bad.len = 0;
	ck_assert_int_eq(daxl_payload_read(media, uuid, &bad, UINT64_MAX, mark, NULL, &back), -EUCLEAN);
	bad.len = UINT64_MAX;
	ck_assert_int_eq(daxl_payload_read(media, uuid, &bad, UINT64_MAX, mark, NULL, &back), -EUCLEAN);
	ck_assert_int_eq(daxl_payload_read(media, uuid, &good, good.len - 1, mark, NULL, &back), -EUCLEAN);
	bad.len = good.len - 1;
	ck_assert_int_eq(daxl_payload_read(media, uuid, &bad, UINT64_MAX, mark, NULL, &back), -EUCLEAN);
	bad.len = good.len + 1;
	ck_assert_int_eq(daxl_payload_read(media, uuid, &bad, UINT64_MAX, mark, NULL, &back), -EUCLEAN);
	bad.len = 2 * DAXL_PAGE_BODY;
	ck_assert_int_eq(daxl_payload_read(media, uuid, &bad, UINT64_MAX, mark, NULL, &back), -EUCLEAN);
	bad = good;
	bad.crc++;
	ck_assert_int_eq(daxl_payload_read(media, uuid, &bad, UINT64_MAX, mark, NULL, &back), -EUCLEAN);
	ck_assert_ptr_nonnull(strstr(daxl_error_last(), "checksum"));
	ck_assert_int_eq(daxl_payload_read(media, other_uuid, &good, UINT64_MAX, mark, NULL, &back), -EUCLEAN);
	bad = good;
	bad.first_page = PAGES;
	ck_assert_int_eq(daxl_payload_read(media, uuid, &bad, UINT64_MAX, mark, NULL, &back), -EUCLEAN);

	/* A chain that runs in a circle. */
	memcpy(&hdr, page_at(3), sizeof(hdr));
	hdr.next = 9;
	memcpy(page_at(3), &hdr, sizeof(hdr));
	seal(3);
	nmarked = 0;
	ck_assert_int_eq(daxl_payload_read(media, uuid, &good, UINT64_MAX, mark, NULL, &back), -EUCLEAN);
	ck_assert_uint_le(nmarked, 3);
	ck_assert_ptr_null(back);
}
END_TEST

START_TEST(reading_a_payload_unwinds_when_it_is_stopped_or_has_no_memory)
{
	static uint8_t body[3 * DAXL_PAGE_BODY];
	struct daxl_md_payload payload = write_payload(body, sizeof(body));
	daxl_page_t stop = 60;
	void *back = NULL;

	ck_assert_int_eq(daxl_payload_read(media, uuid, &payload, UINT64_MAX, mark, &stop, &back), 55);
	daxl_fault_set(fail_allocation, NULL);
	ck_assert_int_eq(daxl_payload_read(media, uuid, &payload, UINT64_MAX, mark, NULL, &back), -ENOMEM);
	ck_assert_ptr_null(back);
}
END_TEST

START_TEST(hostile_bytes_end_in_an_answer)
{
	const char *env = getenv("DAXL_SEED");
	unsigned seed = env ? (unsigned)strtoul(env, NULL, 0) : (unsigned)getpid();
	static uint8_t body[3 * DAXL_PAGE_BODY];

	printf("DAXL_SEED=%u\n", seed);
	fflush(stdout);
	for (unsigned round = 0; round < 5000; round++) {
		struct daxl_md_payload payload = write_payload(body, sizeof(body));
		void *back = NULL;

		for (unsigned i = (unsigned)rand_r(&seed) % 4; i > 0; i--) {
			daxl_page_t page = chain[(unsigned)rand_r(&seed) % 3];

			page_at(page)[(unsigned)rand_r(&seed) % 64] = (uint8_t)rand_r(&seed);
			if (rand_r(&seed) % 2)
				seal(page);
		}
		if (rand_r(&seed) % 4 == 0)
			((uint8_t *)&payload)[(unsigned)rand_r(&seed) % sizeof(payload)] = (uint8_t)rand_r(&seed);
		int ret = daxl_payload_read(media, uuid, &payload, UINT64_MAX, mark, NULL, &back);
		if (ret != 0 && ret != -EUCLEAN)
			ck_abort_msg("%d", ret);
		daxl_free(back);
	}
}
END_TEST

static Suite *pagebuf_suite(void)
{
	Suite *suite = suite_create("pagebuf");
	TCase *tcase = tcase_create("pagebuf");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, what_goes_out_comes_in);
	tcase_add_test(tcase, only_header_and_used_bytes_are_stored);
	tcase_add_test(tcase, each_byte_is_under_the_checksum);
	tcase_add_test(tcase, an_intact_page_that_is_not_the_expected_one_is_refused_by_name);
	tcase_add_test(tcase, sealed_but_impossible_headers_are_refused);
	tcase_add_test(tcase, an_entry_count_fits_the_used_bytes_for_each_kind_of_page);
	tcase_add_test(tcase, pages_outside_the_media_and_page_0_are_refused);
	tcase_add_test(tcase, the_copy_serves_when_the_first_is_bad_and_says_so);
	tcase_add_test(tcase, an_unreadable_page_is_an_io_error_unless_its_copy_can_be_read);
	tcase_add_test(tcase, a_payload_comes_back_whole_and_names_its_pages);
	tcase_add_test(tcase, a_payload_that_contradicts_itself_is_refused);
	tcase_add_test(tcase, reading_a_payload_unwinds_when_it_is_stopped_or_has_no_memory);
	tcase_add_test(tcase, hostile_bytes_end_in_an_answer);
	tcase_set_timeout(tcase, 60);
	suite_add_tcase(suite, tcase);
	return suite;
}

int main(void)
{
	SRunner *runner = srunner_create(pagebuf_suite());

	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
