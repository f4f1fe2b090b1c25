/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The checkpoint slots: the newest intact one is found in any of its places, and writing one never endangers the other.
 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/error.h"
#include "base/hook.h"
#include "log/slots.h"

#define SIZE (4u << 20)
#define MID (2u << 20)

static uint8_t *memory;
static struct daxl_media *media;
static const struct daxl_md_super super = { .uuid = "the pool's uuid", .mid = MID };
static const uint64_t place[] = { 4096, 8192, MID + 4096, MID + 8192 }; /* A B A' B' */

static void setup(void)
{
	memory = calloc(1, SIZE);
	ck_assert_ptr_nonnull(memory);
	ck_assert_int_eq(daxl_media_open_memory(memory, SIZE, false, &media), 0);
}

static void teardown(void)
{
	daxl_fault_set(NULL, NULL);
	daxl_media_observe(NULL, NULL);
	daxl_media_close(media);
	free(memory);
}

static void write_slot(uint64_t generation, int which)
{
	struct daxl_md_slot slot = { .generation = generation, .pool_size = SIZE, .position = generation * 100 };

	daxl_slot_write(media, &super, &slot, which);
}

static void expect_newest(uint64_t generation, int want_which, unsigned want_bad)
{
	struct daxl_md_slot slot;
	int which;
	unsigned bad;

	ck_assert_int_eq(daxl_slot_read(media, &super, &slot, &which, &bad), 0);
	ck_assert_uint_eq(slot.generation, generation);
	ck_assert_uint_eq(slot.position, generation * 100);
	ck_assert_int_eq(which, want_which);
	ck_assert_uint_eq(bad, want_bad);
}

static void expect_none(int err, const char *what)
{
	struct daxl_md_slot slot = { .generation = 4711 };
	int which = 4711;
	unsigned bad = 4711;

	ck_assert_int_eq(daxl_slot_read(media, &super, &slot, &which, &bad), -err);
	ck_assert_msg(strstr(daxl_error_last(), what) != NULL, "'%s' not in '%s'", what, daxl_error_last());
	ck_assert_uint_eq(slot.generation, 4711);
	ck_assert_int_eq(which, 4711);
	ck_assert_uint_eq(bad, 4711);
}

START_TEST(a_pool_without_slots_says_so)
{
	expect_none(EUCLEAN, "blank");
}
END_TEST

START_TEST(the_newest_wins_in_whichever_slot)
{
	write_slot(1, 0);
	expect_newest(1, 0, 0);
	write_slot(2, 1);
	expect_newest(2, 1, 0);
	write_slot(3, 0);
	expect_newest(3, 0, 0);
}
END_TEST

START_TEST(any_one_place_is_enough)
{
	for (unsigned keep = 0; keep < 4; keep++) {
		write_slot(1, 0);
		write_slot(2, 1);
		for (unsigned i = 0; i < 4; i++)
			if (i != keep)
				memset(memory + place[i], 0x5a, 256);
		expect_newest(keep % 2 ? 2 : 1, (int)keep % 2, 3);
	}
}
END_TEST

START_TEST(the_newest_survives_in_its_copy)
{
	write_slot(1, 0);
	write_slot(2, 1);
	memory[place[1] + 100] ^= 1;
	expect_newest(2, 1, 1);
	memset(memory + place[1], 0, 256);
	expect_newest(2, 1, 0);
	memory[place[3] + 255] ^= 1;
	expect_newest(1, 0, 1);
}
END_TEST

START_TEST(each_byte_is_under_the_checksum)
{
	write_slot(1, 0);
	memset(memory + place[2], 0, 256);
	for (unsigned i = 0; i < 256; i++) {
		memory[place[0] + i] ^= (uint8_t)(1u << i % 8);
		expect_none(EUCLEAN, "byte 4096");
		memory[place[0] + i] ^= (uint8_t)(1u << i % 8);
	}
	expect_newest(1, 0, 0);
}
END_TEST

START_TEST(a_slot_of_another_pool_or_version_is_none)
{
	struct daxl_md_super other = super;
	struct daxl_md_slot slot = { .generation = 5 };

	other.uuid[15] ^= 1;
	daxl_slot_write(media, &other, &slot, 0);
	expect_none(EUCLEAN, "uuid");
	write_slot(1, 1);
	expect_newest(1, 1, 2);

	memset(memory + place[1], 0, 256);
	memset(memory + place[3], 0, 256);
	daxl_slot_write(media, &super, &slot, 0);
	slot.version = DAXL_FORMAT_VERSION + 1;
	slot.crc = 0;
	slot.crc = daxl_crc32c(0, &slot, sizeof(slot));
	memcpy(memory + place[0], &slot, sizeof(slot));
	memcpy(memory + place[2], &slot, sizeof(slot));
	expect_none(EUCLEAN, "version");
}
END_TEST

static char order[64];
static size_t norder;

static void observe(struct daxl_media *at, enum daxl_media_event event, const void *addr, const void *src, size_t len,
                    void *arg)
{
	(void)at, (void)src, (void)arg;
	if (norder >= sizeof(order) - 1)
		return;
	if (event == DAXL_MEDIA_EV_FENCE) {
		order[norder++] = '|';
	} else if (event == DAXL_MEDIA_EV_STORE) {
		uint64_t off = (uint64_t)((const uint8_t *)addr - memory);

		order[norder++] = off >= place[2] ? '2' : '1';
		/* Only this slot's page is stored to. */
		if ((off != place[1] && off != place[3]) || len != 256)
			order[norder++] = '!';
	}
}

START_TEST(the_copy_is_written_when_the_first_place_is_durable)
{
	write_slot(1, 0);
	daxl_media_observe(observe, NULL);
	write_slot(2, 1);
	daxl_media_observe(NULL, NULL);
	ck_assert_str_eq(order, "1|2|");
}
END_TEST

START_TEST(a_crash_while_writing_leaves_the_old_or_the_new)
{
	uint8_t before[256];

	for (unsigned where = 0; where < 2; where++) {
		for (unsigned words = 0; words <= 256 / 8; words++) {
			memset(memory, 0, SIZE);
			write_slot(1, 1);
			write_slot(2, 0);
			memcpy(before, memory + place[1 + 2 * where], 256);
			write_slot(3, 1);
			memcpy(memory + place[1 + 2 * where] + words * 8, before + words * 8, 256 - words * 8);
			/* Torn in the first place, the copy still holds the slot's earlier content. */
			if (where == 0)
				memcpy(memory + place[3], before, 256);

			struct daxl_md_slot slot;
			int which;
			ck_assert_int_eq(daxl_slot_read(media, &super, &slot, &which, NULL), 0);
			ck_assert_uint_ge(slot.generation, 2);
			ck_assert_uint_eq(slot.position, slot.generation * 100);
			if (where == 1)
				ck_assert_uint_eq(slot.generation, 3);
		}
	}
}
END_TEST

static bool fail_places(const char *point, void *arg)
{
	unsigned *mask = arg;

	if (strcmp(point, "media.read") != 0)
		return false;
	bool fail = *mask & 1u;
	*mask >>= 1;
	return fail;
}

START_TEST(unreadable_places_count_as_bad)
{
	unsigned mask = 1u << 1;

	write_slot(1, 0);
	write_slot(2, 1);
	daxl_fault_set(fail_places, &mask);
	expect_newest(2, 1, 1);
	mask = 1u << 1 | 1u << 3;
	expect_newest(1, 0, 2);
	mask = 15;
	expect_none(EIO, "4 unreadable");
}
END_TEST

static Suite *slots_suite(void)
{
	Suite *suite = suite_create("slots");
	TCase *tcase = tcase_create("slots");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, a_pool_without_slots_says_so);
	tcase_add_test(tcase, the_newest_wins_in_whichever_slot);
	tcase_add_test(tcase, any_one_place_is_enough);
	tcase_add_test(tcase, the_newest_survives_in_its_copy);
	tcase_add_test(tcase, each_byte_is_under_the_checksum);
	tcase_add_test(tcase, a_slot_of_another_pool_or_version_is_none);
	tcase_add_test(tcase, the_copy_is_written_when_the_first_place_is_durable);
	tcase_add_test(tcase, a_crash_while_writing_leaves_the_old_or_the_new);
	tcase_add_test(tcase, unreadable_places_count_as_bad);
	suite_add_tcase(suite, tcase);
	return suite;
}

int main(void)
{
	SRunner *runner = srunner_create(slots_suite());

	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
