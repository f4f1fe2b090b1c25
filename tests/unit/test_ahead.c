/* SPDX-License-Identifier: BSD-3-Clause */
/* Reading ahead: whatever is asked for in whatever order, the bytes are those of the medium, in fewer reads. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "media/ahead.h"

#define SIZE (1u << 20)
#define PAGE 4096u

static unsigned char medium[SIZE];
static unsigned reads;
static uint64_t poison = UINT64_MAX; /* a byte that cannot be read */

static int read_medium(void *arg, uint64_t off, void *buf, size_t len)
{
	ck_assert_ptr_eq(arg, medium);
	ck_assert(off <= SIZE && len <= SIZE - off);
	reads++;
	if (poison >= off && poison - off < len)
		return -EIO;
	memcpy(buf, medium + off, len);
	return 0;
}

static struct daxl_ahead *begin(void)
{
	struct daxl_ahead *ahead = daxl_ahead_new(read_medium, medium, SIZE);

	ck_assert_ptr_nonnull(ahead);
	for (size_t i = 0; i < SIZE; i++)
		medium[i] = (unsigned char)(i * 7 + i / 253);
	reads = 0;
	poison = UINT64_MAX;
	return ahead;
}

static void read_page(struct daxl_ahead *ahead, uint64_t off, size_t len)
{
	unsigned char buf[2 * PAGE];

	ck_assert_int_eq(daxl_ahead_read(ahead, off, buf, len), 0);
	ck_assert_mem_eq(buf, medium + off, len);
}

START_TEST(pages_in_order_take_few_reads)
{
	struct daxl_ahead *ahead = begin();

	for (uint64_t off = 0; off < SIZE; off += PAGE)
		read_page(ahead, off, PAGE);
	ck_assert_uint_lt(reads, SIZE / PAGE / 8);
	daxl_ahead_free(ahead);
}
END_TEST

START_TEST(two_streams_do_not_disturb_each_other)
{
	struct daxl_ahead *ahead = begin();

	for (uint64_t off = 0; off < SIZE / 2; off += PAGE) {
		read_page(ahead, off, PAGE);
		read_page(ahead, SIZE / 2 + off, PAGE);
	}
	ck_assert_uint_lt(reads, SIZE / PAGE / 8);
	daxl_ahead_free(ahead);
}
END_TEST

START_TEST(pages_at_random_are_right)
{
	struct daxl_ahead *ahead = begin();
	uint64_t rng = 1;

	for (int i = 0; i < 20000; i++) {
		rng = rng * UINT64_C(6364136223846793005) + 1442695040888963407u;
		uint64_t off = (rng >> 33) % SIZE;
		size_t len = (rng >> 20) % (2 * PAGE);

		read_page(ahead, off, len < SIZE - off ? len : SIZE - off);
	}
	daxl_ahead_free(ahead);
}
END_TEST

START_TEST(far_pages_are_read_alone)
{
	struct daxl_ahead *ahead = begin();

	for (unsigned i = 0; i < 3; i++)
		for (uint64_t off = SIZE; off > 0; off -= SIZE / 8)
			read_page(ahead, off - PAGE, PAGE);
	ck_assert_uint_eq(reads, 3 * 8);
	daxl_ahead_free(ahead);
}
END_TEST

START_TEST(poison_hurts_its_own_page_only)
{
	struct daxl_ahead *ahead = begin();
	unsigned char buf[PAGE];

	poison = 10 * PAGE + 5;
	for (uint64_t off = 0; off < 32 * PAGE; off += PAGE) {
		if (off == 10 * PAGE)
			ck_assert_int_eq(daxl_ahead_read(ahead, off, buf, PAGE), -EIO);
		else
			read_page(ahead, off, PAGE);
	}
	daxl_ahead_free(ahead);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("ahead");
	TCase *tc = tcase_create("ahead");
	SRunner *runner = srunner_create(suite);

	tcase_add_test(tc, pages_in_order_take_few_reads);
	tcase_add_test(tc, two_streams_do_not_disturb_each_other);
	tcase_add_test(tc, pages_at_random_are_right);
	tcase_add_test(tc, far_pages_are_read_alone);
	tcase_add_test(tc, poison_hurts_its_own_page_only);
	suite_add_tcase(suite, tc);
	srunner_set_fork_status(runner, CK_NOFORK);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);

	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
