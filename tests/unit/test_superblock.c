/* SPDX-License-Identifier: BSD-3-Clause */
/* The superblock: geometry, three copies, and what is said about media that hold none, half of one, or lies. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "base/error.h"
#include "base/hook.h"
#include "media/superblock.h"

#define MIB (UINT64_C(1) << 20)
#define SIZE (8 * MIB)
#define MID (2 * MIB)

static uint8_t *memory;
static uint64_t memory_size;
static struct daxl_media *media;

static void open_media(uint64_t size)
{
	memory = calloc(1, size ? size : 1);
	ck_assert_ptr_nonnull(memory);
	memory_size = size;
	ck_assert_int_eq(daxl_media_open_memory(memory, size, false, &media), 0);
}

static void close_media(void)
{
	daxl_fault_set(NULL, NULL);
	daxl_media_observe(NULL, NULL);
	daxl_media_close(media);
	free(memory);
}

/* A pool of size bytes on a medium of media_size bytes. */
static struct daxl_md_super make_pool(uint64_t media_size, uint64_t size, uint32_t block_size)
{
	struct daxl_md_super super;

	open_media(media_size);
	ck_assert_int_eq(daxl_super_plan(size, block_size, 0, &super), 0);
	daxl_super_write(media, &super);
	return super;
}

static void expect_refused(bool for_write, int err, const char *what)
{
	struct daxl_md_super super = { .magic = 4711 };
	unsigned bad = 4711;

	ck_assert_int_eq(daxl_super_read(media, for_write, &super, &bad), err);
	ck_assert_msg(strstr(daxl_error_last(), what) != NULL, "'%s' not in '%s'", what, daxl_error_last());
	ck_assert_uint_eq(super.magic, 4711);
	ck_assert_uint_eq(bad, 4711);
}

static void expect_read(const struct daxl_md_super *want, unsigned want_bad)
{
	struct daxl_md_super super;
	unsigned bad = 4711;

	int ret = daxl_super_read(media, true, &super, &bad);
	ck_assert_msg(ret == 0, "%d: %s", ret, daxl_error_last());
	ck_assert_uint_eq(bad, want_bad);
	ck_assert_uint_eq(super.generation, want->generation);
	ck_assert_uint_eq(super.pool_size, want->pool_size);
	ck_assert_uint_eq(super.log_off, want->log_off);
	ck_assert_uint_eq(super.log_size, want->log_size);
	ck_assert_mem_eq(super.uuid, want->uuid, 16);
}

/* Stores one copy with whatever it says, under a right checksum. */
static void forge(struct daxl_md_super super, uint64_t off)
{
	uint8_t page[DAXL_PAGE_SIZE] = { 0 };

	super.crc = 0;
	memcpy(page, &super, sizeof(super));
	super.crc = daxl_crc32c(0, page, sizeof(page));
	memcpy(page, &super, sizeof(super));
	memcpy(memory + off, page, sizeof(page));
}

static void forge_all(struct daxl_md_super super)
{
	const uint64_t offs[] = { 0, MID, memory_size - DAXL_PAGE_SIZE };

	for (unsigned i = 0; i < 3; i++) {
		super.self = offs[i];
		forge(super, offs[i]);
	}
}

START_TEST(a_plan_keeps_its_areas_apart_and_inside)
{
	const uint64_t sizes[] = { 4 * MIB, 4 * MIB + 4097, 33 * MIB, 1000 * MIB + 1, UINT64_C(1) << 40 };

	for (unsigned i = 0; i < DAXL_ARRAY_LEN(sizes); i++) {
		for (uint32_t block = 4096; block <= 2 * MIB; block *= 2) {
			struct daxl_md_super super;

			if (sizes[i] / block < DAXL_POOL_BLOCKS_MIN)
				continue;
			ck_assert_int_eq(daxl_super_plan(sizes[i], block, 0, &super), 0);
			ck_assert_uint_eq(super.pool_size, sizes[i] / block * block);
			ck_assert_uint_eq(1u << super.block_shift, block);
			ck_assert_uint_eq(super.mid, MID);
			ck_assert_uint_ge(super.log_off, MID + 3 * 4096);
			ck_assert_uint_le(super.log_off + super.log_size, daxl_super_end_copy(&super));
			ck_assert_uint_eq(super.log_size % DAXL_SLOT_SIZE, 0);
			ck_assert_uint_ge(super.log_size, DAXL_LOG_SIZE_MIN);
			ck_assert_uint_le(super.log_size, DAXL_LOG_SIZE_MAX);
			ck_assert_uint_eq(super.generation, 1);
			ck_assert_uint_gt(super.created_ns, 0);
		}
	}
}
END_TEST

START_TEST(the_default_log_is_one_part_in_256_within_limits)
{
	struct daxl_md_super super;

	ck_assert_int_eq(daxl_super_plan(4 * MIB, 4096, 0, &super), 0);
	ck_assert_uint_eq(super.log_size, 256u << 10);
	ck_assert_int_eq(daxl_super_plan(1024 * MIB, 4096, 0, &super), 0);
	ck_assert_uint_eq(super.log_size, 4 * MIB);
	ck_assert_int_eq(daxl_super_plan(UINT64_C(16) << 40, 4096, 0, &super), 0);
	ck_assert_uint_eq(super.log_size, 256 * MIB);
}
END_TEST

static void expect_no_plan(uint64_t size, uint32_t block_size, uint64_t log_size, const char *what)
{
	struct daxl_md_super super = { .magic = 4711 };

	ck_assert_int_eq(daxl_super_plan(size, block_size, log_size, &super), -EINVAL);
	ck_assert_msg(strstr(daxl_error_last(), what) != NULL, "'%s' not in '%s'", what, daxl_error_last());
	ck_assert_uint_eq(super.magic, 4711);
}

START_TEST(impossible_plans_are_refused_with_a_reason)
{
	expect_no_plan(8 * MIB, 0, 0, "block size");
	expect_no_plan(8 * MIB, 2048, 0, "block size");
	expect_no_plan(8 * MIB, 4097, 0, "block size");
	expect_no_plan(8 * MIB, 4u << 20, 0, "block size");
	expect_no_plan(0, 4096, 0, "at least");
	expect_no_plan(4 * MIB - 1, 4096, 0, "at least");
	expect_no_plan(32 * MIB - 1, 2u << 20, 0, "blocks");
	expect_no_plan(UINT64_MAX, 4096, 0, "too many blocks");
	expect_no_plan(8 * MIB, 4096, (256u << 10) - 1, "log");
	expect_no_plan(8 * MIB, 4096, 64, "log");
	expect_no_plan(UINT64_C(1) << 40, 4096, 257 * MIB, "log");
	expect_no_plan(8 * MIB, 4096, 6 * MIB, "does not fit");
	expect_no_plan(8 * MIB, 4096, UINT64_MAX, "log");
	expect_no_plan(32 * MIB, 2u << 20, 20 * MIB, "does not fit");
}
END_TEST

START_TEST(two_plans_are_two_pools)
{
	struct daxl_md_super a, b;

	ck_assert_int_eq(daxl_super_plan(8 * MIB, 4096, 0, &a), 0);
	ck_assert_int_eq(daxl_super_plan(8 * MIB, 4096, 0, &b), 0);
	ck_assert_mem_ne(a.uuid, b.uuid, 16);
}
END_TEST

START_TEST(each_copy_may_be_lost_and_any_two)
{
	struct daxl_md_super super = make_pool(SIZE, SIZE, 4096);
	const uint64_t offs[] = { 0, MID, SIZE - 4096 };

	for (unsigned lost = 0; lost < 7; lost++) {
		for (unsigned i = 0; i < 3; i++)
			if (lost & 1u << i)
				memory[offs[i] + 500 + lost] ^= 0x10;
		expect_read(&super, lost);
		for (unsigned i = 0; i < 3; i++)
			if (lost & 1u << i)
				memset(memory + offs[i], 0, 4096);
		expect_read(&super, lost);
		daxl_super_write(media, &super);
	}
	for (unsigned i = 0; i < 3; i++)
		memory[offs[i] + 4095] ^= 1;
	expect_refused(false, -EUCLEAN, "checksum");
	close_media();
}
END_TEST

START_TEST(each_byte_of_a_copy_is_under_the_checksum)
{
	struct daxl_md_super super = make_pool(SIZE, SIZE, 4096);

	for (unsigned i = 0; i < DAXL_PAGE_SIZE; i += i < 168 ? 1 : 61) {
		memory[i] ^= (uint8_t)(1u << i % 8);
		expect_read(&super, 1);
		memory[i] ^= (uint8_t)(1u << i % 8);
	}
	expect_read(&super, 0);
	close_media();
}
END_TEST

static bool unreadable(const char *point, void *arg)
{
	unsigned *mask = arg;

	if (strcmp(point, "media.read") != 0)
		return false;
	bool fail = *mask & 1u;
	*mask >>= 1;
	return fail;
}

START_TEST(an_unreadable_copy_is_a_bad_copy)
{
	struct daxl_md_super super = make_pool(SIZE, SIZE, 4096), got;
	unsigned mask = 1;

	daxl_fault_set(unreadable, &mask);
	ck_assert_int_eq(daxl_super_read(media, true, &got, NULL), 0);
	ck_assert_mem_eq(got.uuid, super.uuid, 16);
	mask = ~0u;
	expect_refused(false, -EIO, "can be read");
	close_media();
}
END_TEST

START_TEST(a_medium_without_a_pool_is_told_from_a_damaged_one)
{
	const uint64_t sizes[] = { 0, 1, 4095, 4096, 8192, MID, MID + 4096, SIZE };

	for (unsigned i = 0; i < DAXL_ARRAY_LEN(sizes); i++) {
		open_media(sizes[i]);
		expect_refused(false, -EINVAL, "not a pool");
		memset(memory, 0xa5, sizes[i]);
		expect_refused(true, -EINVAL, "not a pool");
		close_media();
	}
	make_pool(SIZE, SIZE, 4096);
	memory[8] ^= 1;
	memset(memory + MID, 0, 4096);
	memset(memory + SIZE - 4096, 0, 4096);
	expect_refused(true, -EUCLEAN, "checksum");
	close_media();
}
END_TEST

START_TEST(a_truncated_pool_says_so)
{
	const uint64_t sizes[] = { 4096, 1 * MIB, MID + 4096, 4 * MIB, SIZE - 4096, SIZE - 1 };

	for (unsigned i = 0; i < DAXL_ARRAY_LEN(sizes); i++) {
		make_pool(SIZE, SIZE, 4096);
		uint8_t *all = memory;
		daxl_media_close(media);
		open_media(sizes[i]);
		memcpy(memory, all, sizes[i]);
		free(all);
		expect_refused(false, -EUCLEAN, "truncated");
		/* By the middle copy alone, too. */
		memset(memory, 0, 4096);
		if (sizes[i] >= MID + 4096)
			expect_refused(false, -EUCLEAN, "truncated");
		close_media();
	}
}
END_TEST

START_TEST(a_pool_on_a_longer_medium_is_found_by_its_end_copy_too)
{
	/* The end that is not a whole block is not the pool's. */
	struct daxl_md_super super = make_pool(40 * MIB + 12288, 40 * MIB + 12288, 2u << 20);

	ck_assert_uint_eq(super.pool_size, 40 * MIB);
	expect_read(&super, 0);
	memset(memory, 0, 4096);
	memset(memory + MID, 0, 4096);
	expect_read(&super, 3);
	close_media();

	/* A pool that takes only a part of the medium; its end cannot be guessed, but is checked. */
	super = make_pool(SIZE, 5 * MIB, 4096);
	expect_read(&super, 0);
	memset(memory + 5 * MIB - 4096, 0, 4096);
	expect_read(&super, 4);
	close_media();
}
END_TEST

START_TEST(the_highest_generation_of_the_pool_wins)
{
	struct daxl_md_super super = make_pool(SIZE, SIZE, 4096);
	const uint64_t offs[] = { 0, MID, SIZE - 4096 };

	for (unsigned i = 0; i < 3; i++) {
		daxl_super_write(media, &super);
		struct daxl_md_super next = super;
		next.generation = 2;
		next.self = offs[i];
		forge(next, offs[i]);
		expect_read(&next, 7u & ~(1u << i));
	}
	close_media();
}
END_TEST

static void *snapshots[8];
static unsigned nsnapshots;
static unsigned nfences;

static void snapshot(struct daxl_media *at, enum daxl_media_event event, const void *addr, const void *src, size_t len,
                     void *arg)
{
	(void)at, (void)addr, (void)src, (void)len, (void)arg;
	if (event == DAXL_MEDIA_EV_FENCE)
		nfences++;
	if (event != DAXL_MEDIA_EV_STORE || nsnapshots == DAXL_ARRAY_LEN(snapshots))
		return;
	snapshots[nsnapshots] = malloc(memory_size);
	memcpy(snapshots[nsnapshots++], memory, memory_size);
}

START_TEST(a_crash_between_copies_leaves_the_old_or_the_new_superblock)
{
	struct daxl_md_super old = make_pool(SIZE, SIZE, 4096), super = old, got;

	super.generation = 2;
	nsnapshots = nfences = 0;
	daxl_media_observe(snapshot, NULL);
	daxl_super_write(media, &super);
	daxl_media_observe(NULL, NULL);
	ck_assert_uint_eq(nfences, 3);
	ck_assert_uint_eq(nsnapshots, 3);
	expect_read(&super, 0);
	for (unsigned i = 0; i < nsnapshots; i++) {
		memcpy(memory, snapshots[i], memory_size);
		free(snapshots[i]);
		ck_assert_int_eq(daxl_super_read(media, true, &got, NULL), 0);
		ck_assert_uint_eq(got.generation, i == 0 ? 1 : 2);
	}
	close_media();
}
END_TEST

START_TEST(creation_makes_copy_0_last)
{
	struct daxl_md_super super;

	open_media(SIZE);
	ck_assert_int_eq(daxl_super_plan(SIZE, 4096, 0, &super), 0);
	nsnapshots = 0;
	daxl_media_observe(snapshot, NULL);
	daxl_super_write(media, &super);
	daxl_media_observe(NULL, NULL);
	ck_assert_uint_eq(nsnapshots, 3);
	for (unsigned i = 0; i < nsnapshots; i++) {
		uint64_t magic;

		memcpy(&magic, snapshots[i], sizeof(magic));
		ck_assert_uint_eq(magic, 0);
		free(snapshots[i]);
	}
	close_media();
}
END_TEST

START_TEST(another_pool_s_leftover_copies_are_not_believed)
{
	struct daxl_md_super old = make_pool(SIZE, SIZE, 4096), super;

	old.generation = 100;
	daxl_super_write(media, &old);
	ck_assert_int_eq(daxl_super_plan(5 * MIB, 4096, 0, &super), 0);
	daxl_super_write(media, &super);
	expect_read(&super, 0);
	/* A creation over the old pool that got no further than the end and the middle: still the old pool. */
	daxl_super_write(media, &old);
	super.self = MID;
	super.generation = 200;
	forge(super, MID);
	expect_read(&old, 2);
	close_media();
}
END_TEST

START_TEST(data_that_look_like_a_superblock_are_not_believed)
{
	struct daxl_md_super super = make_pool(40 * MIB, 40 * MIB, 4096), fake = super;

	fake.generation = 100;
	fake.pool_size = fake.devices[0].size = 6 * MIB;
	fake.self = 6 * MIB - 4096;
	forge(fake, fake.self);
	/*
	 * 40 MiB - 4 KiB is the true end; the place below would be the end with blocks of 16 KiB and more, had the
	 * medium 12 KiB more.
	 */
	expect_read(&super, 0);
	memset(memory, 0, 4096);
	memset(memory + MID, 0, 4096);
	expect_read(&super, 3);
	close_media();

	super = make_pool(40 * MIB + 12288, 40 * MIB + 12288, 4096);
	fake = super;
	fake.generation = 100;
	fake.block_shift = 21;
	fake.pool_size = fake.devices[0].size = 40 * MIB;
	fake.self = 40 * MIB - 4096;
	forge(fake, fake.self);
	expect_read(&super, 0);
	memset(memory, 0, 4096);
	memset(memory + MID, 0, 4096);
	expect_read(&super, 3);

	/* One that does not lie where the pool it describes would end, when nothing else is left. */
	memset(memory + 40 * MIB + 12288 - 4096, 0, 4096);
	fake.pool_size = fake.devices[0].size = 20 * MIB;
	forge(fake, fake.self);
	expect_refused(false, -EUCLEAN, "where it says");
	close_media();
}
END_TEST

START_TEST(unknown_features_are_named)
{
	struct daxl_md_super super = make_pool(SIZE, SIZE, 4096), got, changed;

	for (unsigned bit = 0; bit < 32; bit++) {
		char name[16];

		snprintf(name, sizeof(name), "bit %u", bit);
		changed = super;
		changed.feature_incompat = 1u << bit;
		daxl_super_write(media, &changed);
		expect_refused(false, -EINVAL, name);
		expect_refused(true, -EINVAL, name);
		changed = super;
		changed.feature_ro_compat = 1u << bit;
		daxl_super_write(media, &changed);
		expect_refused(true, -EROFS, name);
		ck_assert_int_eq(daxl_super_read(media, false, &got, NULL), 0);
		changed = super;
		changed.feature_compat = 1u << bit;
		daxl_super_write(media, &changed);
		expect_read(&changed, 0);
	}
	changed = super;
	changed.version = 2;
	daxl_super_write(media, &changed);
	expect_refused(false, -EINVAL, "version 2");
	close_media();
}
END_TEST

START_TEST(each_impossible_field_is_refused_by_name)
{
	struct daxl_md_super super = make_pool(SIZE, SIZE, 4096), bad;

#define REFUSED(what, ...) \
	do { \
		bad = super; \
		__VA_ARGS__; \
		forge_all(bad); \
		expect_refused(false, -EUCLEAN, what); \
	} while (0)
	REFUSED("block size", bad.block_shift = 11);
	REFUSED("block size", bad.block_shift = 22);
	REFUSED("block size", bad.block_shift = UINT32_MAX);
	REFUSED("pool size", bad.pool_size = 0);
	REFUSED("pool size", bad.pool_size = SIZE - 1);
	REFUSED("pool size", bad.pool_size = 1 * MIB);
	REFUSED("pool size", bad.block_shift = 20);
	REFUSED("pool size", bad.pool_size = ~UINT64_C(4095));
	REFUSED("middle", bad.mid = 0);
	REFUSED("middle", bad.mid = MID + 4096);
	REFUSED("middle", bad.mid = UINT64_MAX);
	REFUSED("log size", bad.log_size = 0);
	REFUSED("log size", bad.log_size += 1);
	REFUSED("log size", bad.log_size = UINT64_MAX - 63);
	REFUSED("log offset", bad.log_off = 0);
	REFUSED("log offset", bad.log_off = MID);
	REFUSED("log offset", bad.log_off += 1);
	REFUSED("log offset", bad.log_off = SIZE - 4096);
	REFUSED("log offset", bad.log_off = SIZE - 4096 - bad.log_size + 64);
	REFUSED("log offset", bad.log_off = UINT64_MAX - 63);
	REFUSED("device 0", bad.devices[0].size = 1);
	REFUSED("device 0", bad.devices[0].base_block = 1);
	REFUSED("device 0", bad.devices[0].uuid[3] ^= 1);
	REFUSED("device table", bad.devices[63].size = 1);
	REFUSED("truncated", bad.pool_size = bad.devices[0].size = SIZE + 4096);
#undef REFUSED
	forge_all(super);
	expect_read(&super, 0);
	close_media();
}
END_TEST

static void add_area(uint64_t off, uint64_t len, void *arg)
{
	uint8_t *used = arg;

	ck_assert_uint_le(off + len, SIZE);
	for (uint64_t i = off / 4096; i < (off + len + 4095) / 4096; i++)
		used[i]++;
}

START_TEST(the_fixed_areas_are_what_is_written_to_and_nothing_twice)
{
	static uint8_t used[SIZE / 4096];
	struct daxl_md_super super = make_pool(SIZE, SIZE, 4096);
	unsigned total = 0;

	daxl_super_fixed(&super, add_area, used);
	for (unsigned i = 0; i < DAXL_ARRAY_LEN(used); i++) {
		ck_assert_uint_le(used[i], 1);
		total += used[i];
	}
	ck_assert_uint_eq(total, 3 + 3 + 1 + super.log_size / 4096);
	ck_assert(used[0] && used[2] && used[512] && used[514] && used[SIZE / 4096 - 1] && used[super.log_off / 4096]);
	close_media();
}
END_TEST

/* Sealed copies with random fields, on media of any length: always an answer, and what is accepted is consistent. */
START_TEST(hostile_fields_end_in_an_answer)
{
	const char *env = getenv("DAXL_SEED");
	unsigned seed = env ? (unsigned)strtoul(env, NULL, 0) : (unsigned)getpid(), accepted = 0;
	struct daxl_md_super super = make_pool(SIZE, SIZE, 4096);

	printf("DAXL_SEED=%u\n", seed);
	fflush(stdout);
	for (unsigned round = 0; round < 20000; round++) {
		uint64_t offs[] = { 0, MID, SIZE - 4096 };
		struct daxl_md_super got;
		unsigned bad;

		for (unsigned i = 0; i < 3; i++) {
			struct daxl_md_super copy = super;
			uint8_t *bytes = (uint8_t *)&copy;

			copy.self = offs[i];
			for (unsigned n = (unsigned)rand_r(&seed) % 3; n > 0; n--) {
				unsigned at = 32 + (unsigned)rand_r(&seed) % (220 - 32) / 8 * 8;
				uint64_t value = (uint64_t)(unsigned)rand_r(&seed) << ((unsigned)rand_r(&seed) % 40);

				if (rand_r(&seed) % 4 == 0)
					value = (uint64_t)0 - value;
				if (rand_r(&seed) % 2)
					bytes[at] = (uint8_t)value;
				else
					memcpy(bytes + at, &value, sizeof(value));
			}
			forge(copy, offs[i]);
			if (rand_r(&seed) % 8 == 0)
				memory[offs[i] + (unsigned)rand_r(&seed) % 4096] ^= 1;
		}
		int ret = daxl_super_read(media, rand_r(&seed) % 2, &got, &bad);
		if (ret != 0 && ret != -EUCLEAN && ret != -EINVAL && ret != -EROFS)
			ck_abort_msg("%d: %s", ret, daxl_error_last());
		if (ret == 0) {
			accepted++;
			if (got.pool_size > SIZE || got.log_off + got.log_size > got.pool_size ||
			    got.mid != MID || bad > 7)
				ck_abort_msg("round %u accepted", round);
		}
	}
	ck_assert_uint_gt(accepted, 0);
	close_media();
}
END_TEST

static Suite *superblock_suite(void)
{
	Suite *suite = suite_create("superblock");
	TCase *tcase = tcase_create("superblock");

	tcase_add_test(tcase, a_plan_keeps_its_areas_apart_and_inside);
	tcase_add_test(tcase, the_default_log_is_one_part_in_256_within_limits);
	tcase_add_test(tcase, impossible_plans_are_refused_with_a_reason);
	tcase_add_test(tcase, two_plans_are_two_pools);
	tcase_add_test(tcase, each_copy_may_be_lost_and_any_two);
	tcase_add_test(tcase, each_byte_of_a_copy_is_under_the_checksum);
	tcase_add_test(tcase, an_unreadable_copy_is_a_bad_copy);
	tcase_add_test(tcase, a_medium_without_a_pool_is_told_from_a_damaged_one);
	tcase_add_test(tcase, a_truncated_pool_says_so);
	tcase_add_test(tcase, a_pool_on_a_longer_medium_is_found_by_its_end_copy_too);
	tcase_add_test(tcase, the_highest_generation_of_the_pool_wins);
	tcase_add_test(tcase, a_crash_between_copies_leaves_the_old_or_the_new_superblock);
	tcase_add_test(tcase, creation_makes_copy_0_last);
	tcase_add_test(tcase, another_pool_s_leftover_copies_are_not_believed);
	tcase_add_test(tcase, data_that_look_like_a_superblock_are_not_believed);
	tcase_add_test(tcase, unknown_features_are_named);
	tcase_add_test(tcase, each_impossible_field_is_refused_by_name);
	tcase_add_test(tcase, the_fixed_areas_are_what_is_written_to_and_nothing_twice);
	tcase_add_test(tcase, hostile_fields_end_in_an_answer);
	tcase_set_timeout(tcase, 60);
	suite_add_tcase(suite, tcase);
	return suite;
}

int main(void)
{
	SRunner *runner = srunner_create(superblock_suite());

	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
