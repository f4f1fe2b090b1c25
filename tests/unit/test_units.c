/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * P8: ranges at 0, at a block's border and at the largest offset. Ends are exclusive everywhere, a length of 0 is never
 * "to the end", and only DAXL_TO_END is.
 */
#include <check.h>
#include <daxlayout.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/units.h"
#include "ops/ops.h"

static const unsigned shifts[] = { DAXL_BLOCK_SHIFT_MIN, 16, DAXL_BLOCK_SHIFT_MAX };

/* Offsets and lengths around each border of block and of off_t. */
static unsigned edges(unsigned shift, uint64_t *edge)
{
	uint64_t block = UINT64_C(1) << shift, max = INT64_MAX;
	const uint64_t all[] = { 0, 1, block - 1, block, block + 1, 2 * block - 1, 2 * block, max - block, max - 1, max };
	unsigned n = sizeof(all) / sizeof(all[0]);

	for (unsigned i = 0; i < n; i++)
		edge[i] = all[i];
	return n;
}

START_TEST(p8_blocks_hold_the_bytes_and_no_block_more)
{
	for (unsigned k = 0; k < 3; k++) {
		unsigned shift = shifts[k];
		uint64_t edge[10];

		for (unsigned n = edges(shift, edge), i = 0; i < n; i++) {
			uint64_t up = daxl_bytes_to_blocks_up(edge[i], shift), down = daxl_bytes_to_blocks_down(edge[i], shift);

			ck_assert_uint_le(daxl_blocks_to_bytes(down, shift), edge[i]);
			ck_assert_uint_ge(daxl_blocks_to_bytes(up, shift), edge[i]);
			ck_assert_uint_eq(up - down, daxl_offset_in_block(edge[i], shift) != 0);
			ck_assert_uint_lt(daxl_offset_in_block(edge[i], shift), UINT64_C(1) << shift);
			if (up == down)
				ck_assert_uint_eq(daxl_bytes_to_blocks_exact(edge[i], shift), up);
			ck_assert_uint_lt(up, DAXL_FBLK_INF);
		}
	}
}
END_TEST

START_TEST(p8_the_end_of_a_range_is_behind_its_last_byte)
{
	for (unsigned k = 0; k < 3; k++) {
		unsigned shift = shifts[k];
		uint64_t edge[10];

		for (unsigned n = edges(shift, edge), i = 0; i < n; i++)
			for (unsigned j = 0; j < n; j++) {
				uint64_t off = edge[i], len = edge[j];

				if (len == 0 || off > INT64_MAX - len)
					continue;
				uint64_t start = daxl_bytes_to_blocks_down(off, shift), end = daxl_range_end_blk(off, len, shift);

				if (len == (uint64_t)DAXL_TO_END) {
					ck_assert_uint_eq(end, DAXL_FBLK_INF);
					continue;
				}
				ck_assert_uint_lt(start, end);
				ck_assert_uint_eq(end - 1, (off + len - 1) >> shift); /* the block of the last byte */
			}
		ck_assert_uint_eq(daxl_range_end_blk(0, (uint64_t)DAXL_TO_END, shift), DAXL_FBLK_INF);
	}
}
END_TEST

/* Who is over the range: the count of busy holders. */
static long long busy(struct daxl_file *file, off_t off, off_t len)
{
	return daxl_busy(file, off, len, NULL, 0);
}

START_TEST(p8_a_lease_covers_its_blocks_and_nothing_more)
{
	struct daxl_pool_opts opts = DAXL_POOL_OPTS_INIT;
	struct daxl_lease_opts lopts = DAXL_LEASE_OPTS_INIT;
	char path[] = "/dev/shm/units.XXXXXX";
	struct daxl_lease *lease, *all;
	struct daxl_pool *pool;
	struct daxl_file *file;
	int fd = mkstemp(path);

	ck_assert_int_ge(fd, 0);
	close(fd);
	unlink(path);
	ck_assert_int_eq(daxl_pool_create(path, UINT64_C(8) << 20, &opts, &pool), 0);
	unlink(path);
	ck_assert_int_eq(daxl_open(pool, "f", O_CREAT | O_RDWR, &file), 0);
	ck_assert_int_eq(daxl_truncate(file, 8 * 4096, NULL), 0);
	lopts.mode = DAXL_LEASE_READ;
	lopts.flags = DAXL_LEASE_IMPLICIT_PIN;
	/* One byte before, and one byte of, the second and the third block: those two are covered. */
	ck_assert_int_eq(daxl_lease_acquire(file, 2 * 4096 - 1, 2, &lopts, &lease), 0);
	ck_assert_int_eq(busy(file, 0, 4096), 0);
	ck_assert_int_eq(busy(file, 4095, 1), 0);
	ck_assert_int_eq(busy(file, 4096, 1), 1);
	ck_assert_int_eq(busy(file, 3 * 4096 - 1, 1), 1);
	ck_assert_int_eq(busy(file, 3 * 4096, 1), 0);
	ck_assert_int_eq(busy(file, 3 * 4096, DAXL_TO_END), 0);
	ck_assert_int_eq(busy(file, 0, DAXL_TO_END), 1);
	/* Nothing is neither all nor none: it is refused. */
	ck_assert_int_eq(busy(file, 0, 0), -EINVAL);
	ck_assert_int_eq(daxl_lease_acquire(file, 0, 0, &lopts, &all), -EINVAL);
	ck_assert_int_eq(daxl_fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 0, NULL), -EINVAL);
	ck_assert_int_eq(daxl_lease_return_range(lease, 4096, 0), -EINVAL);
	ck_assert_int_eq(daxl_lease_acquire(file, 6 * 4096, DAXL_TO_END, &lopts, &all), 0);
	ck_assert_int_eq(busy(file, INT64_MAX - 1, 1), 1);
	ck_assert_int_eq(busy(file, 6 * 4096 - 1, 1), 0);
	/* Rounded inwards: the byte short of a block keeps the block. */
	ck_assert_int_eq(daxl_lease_return_range(lease, 4096, 4095), 0);
	ck_assert_int_eq(busy(file, 4096, 1), 1);
	ck_assert_int_eq(daxl_lease_return_range(lease, 4096, 4096), 0);
	ck_assert_int_eq(busy(file, 4096, 1), 0);
	ck_assert_int_eq(busy(file, 2 * 4096, 1), 1);
	daxl_lease_free(lease);
	daxl_lease_free(all);
	ck_assert_int_eq(daxl_close(file), 0);
	ck_assert_int_eq(daxl_pool_close(pool), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("units");
	TCase *tc = tcase_create("units");

	tcase_add_test(tc, p8_blocks_hold_the_bytes_and_no_block_more);
	tcase_add_test(tc, p8_the_end_of_a_range_is_behind_its_last_byte);
	tcase_add_test(tc, p8_a_lease_covers_its_blocks_and_nothing_more);
	suite_add_tcase(suite, tc);

	SRunner *runner = srunner_create(suite);

	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);

	srunner_free(runner);
	return failed ? 1 : 0;
}
