/* SPDX-License-Identifier: BSD-3-Clause */
#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/crc32c.h"

static uint64_t seed;

static uint64_t next_random(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

/* The definition, bit by bit. */
static uint32_t reference(uint32_t crc, const unsigned char *p, size_t len)
{
	crc = ~crc;
	for (size_t i = 0; i < len; i++) {
		crc ^= p[i];
		for (unsigned bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? UINT32_C(0x82f63b78) : 0);
	}
	return ~crc;
}

START_TEST(published_vectors)
{
	unsigned char data[32];

	ck_assert_uint_eq(daxl_crc32c(0, "", 0), 0);
	ck_assert_uint_eq(daxl_crc32c(0, "123456789", 9), 0xe3069283);
	memset(data, 0, sizeof(data)); /* RFC 3720, B.4 */
	ck_assert_uint_eq(daxl_crc32c(0, data, sizeof(data)), 0x8a9136aa);
	memset(data, 0xff, sizeof(data));
	ck_assert_uint_eq(daxl_crc32c(0, data, sizeof(data)), 0x62a8ab43);
	for (unsigned i = 0; i < sizeof(data); i++)
		data[i] = (unsigned char)i;
	ck_assert_uint_eq(daxl_crc32c(0, data, sizeof(data)), 0x46dd794e);
}
END_TEST

START_TEST(every_length_and_alignment_agrees_with_the_definition)
{
	unsigned char data[2200];

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (unsigned char)next_random();
	for (size_t len = 0; len <= 2100; len += len < 200 ? 1 : 37) {
		for (size_t at = 0; at < 9; at++) {
			uint32_t want = reference(0, data + at, len);

			ck_assert_uint_eq(daxl_crc32c(0, data + at, len), want);
			ck_assert_uint_eq(daxl_crc32c_portable(0, data + at, len), want);
		}
	}
	for (size_t len = 760; len <= 780; len++) /* around one round of three streams */
		ck_assert_uint_eq(daxl_crc32c(7, data, len), reference(7, data, len));
}
END_TEST

START_TEST(pieces_continue_each_other)
{
	static unsigned char data[65536];

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (unsigned char)next_random();
	for (unsigned round = 0; round < 200; round++) {
		size_t len = next_random() % sizeof(data);
		size_t cut = len ? next_random() % len : 0;
		uint32_t whole = daxl_crc32c(0, data, len);

		ck_assert_uint_eq(daxl_crc32c(daxl_crc32c(0, data, cut), data + cut, len - cut), whole);
		ck_assert_uint_eq(daxl_crc32c_portable(0, data, len), whole);
	}
}
END_TEST

int main(void)
{
	const char *given = getenv("DAXL_SEED");
	Suite *suite = suite_create("crc32c");
	TCase *tcase = tcase_create("crc32c");
	SRunner *runner;
	int failed;

	seed = given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL);
	if (seed == 0)
		seed = 1;
	printf("DAXL_SEED=%" PRIu64 "\n", seed);
	tcase_add_test(tcase, published_vectors);
	tcase_add_test(tcase, every_length_and_alignment_agrees_with_the_definition);
	tcase_add_test(tcase, pieces_continue_each_other);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_set_fork_status(runner, CK_NOFORK);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
