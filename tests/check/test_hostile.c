/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Metadata with right checksums and wrong contents, as somebody who means harm would make it, or a bug. Whatever it is:
 * no crash, no hang, what check calls clean opens, and what repair calls put right is clean, opens and can be filled.
 */
#include "matrix.h"

/* A value that is likely to hurt. */
static uint64_t evil(uint64_t *rng)
{
	const uint64_t values[] = {0,
	                           1,
	                           2,
	                           63,
	                           64,
	                           255,
	                           4095,
	                           4096,
	                           2047,
	                           2048,
	                           UINT32_MAX,
	                           UINT64_MAX,
	                           UINT64_C(1) << 62,
	                           UINT64_C(1) << 63,
	                           (UINT64_C(1) << 48) - 1,
	                           INT64_MAX};
	uint64_t v = values[test_random(rng) % DAXL_ARRAY_LEN(values)];

	return test_random(rng) % 3 ? v : v + test_random(rng) % 5 - 2;
}

static void hurt(char *at, size_t len, uint64_t *rng)
{
	size_t size = (size_t)1 << test_random(rng) % 4, off = test_random(rng) % len & ~(size - 1);
	uint64_t value = test_random(rng) % 4 ? evil(rng) : test_random(rng) % 4096;

	if (off + size <= len)
		memcpy(at + off, &value, size);
}

/* One page, slot, superblock or record. */
static void hurt_something(struct image *image, const struct daxl_md_super *super, const struct daxl_md_slot *slot,
                           uint64_t *rng)
{
	daxl_page_t pages = image->size / 4096;
	unsigned what = (unsigned)(test_random(rng) % 10);

	if (what < 6) {
		for (unsigned tries = 0; tries < 10000; tries++) {
			daxl_page_t page = test_random(rng) % pages;
			struct daxl_pagebuf *buf = matrix_page(image, page);

			if (!is_page(image, page))
				continue;
			hurt((char *)buf, sizeof(buf->hdr) + buf->hdr.used, rng);
			if (test_random(rng) % 2)
				buf->hdr.self = page;
			reseal(buf);
			break;
		}
	} else if (what < 7) {
		for (unsigned place = 0; place < 4; place++) {
			struct daxl_md_slot *at =
				(void *)(image->base + (place < 2 ? 0 : super->mid) + (1 + place % 2) * 4096);

			if (at->generation != slot->generation)
				continue;
			if (place < 2)
				hurt((char *)at + 40, sizeof(*at) - 40, rng);
			else
				memcpy(at, image->base + (1 + place % 2) * 4096, sizeof(*at));
			at->crc = 0;
			at->crc = daxl_crc32c(0, at, sizeof(*at));
		}
	} else if (what < 8) {
		struct daxl_md_super *at = (void *)(image->base + (test_random(rng) % 2 ? 0 : super->mid));

		hurt((char *)at + 32, 136, rng);
		at->crc = 0;
		at->crc = daxl_crc32c(0, at, 4096);
	} else {
		uint64_t ring = super->log_size / 64, n = 1 + test_random(rng) % 60;
		struct daxl_md_rec *rec = NULL;

		for (uint64_t at = slot->position; n--;) {
			struct daxl_md_rec *next = (void *)(image->base + super->log_off + at % ring * 64);

			if (next->position != at || !next->slots)
				break;
			rec = next;
			at += rec->slots;
		}
		if (!rec || rec->slots > 8)
			return;
		hurt((char *)rec + (test_random(rng) % 8 ? 20 : 12), 44, rng);
		if (rec->slots < 1 || rec->slots > 8)
			return;
		rec->crc = 0;
		rec->crc = daxl_crc32c(daxl_crc32c(0, &slot->epoch, 8), rec, rec->slots * 64u);
	}
}

/* Unless all is set aside. */
static void can_be_written(struct daxl_pool *pool)
{
	const char *name = "and it can be written";
	struct daxl_inode *ino = NULL;
	int rc = daxl_inode_create(pool, name, strlen(name), &ino);

	if (rc == 0) {
		daxl_inode_put(ino);
		rc = file_map(ino, 0, 1, 0, 1);
	}
	ck_assert(rc == 0 || rc == -ENOSPC);
}

static void hostile(bool log, unsigned rounds, uint64_t *rng)
{
	struct image original, older;
	unsigned clean = 0, repaired = 0, hopeless = 0;

	matrix_make(&original, &older, log);
	struct daxl_media *media;
	struct daxl_md_slot slot;
	int which;
	must(daxl_media_open_memory(original.base, original.size, true, &media));
	must(daxl_slot_read(media, matrix_super(&original), &slot, &which, NULL));
	daxl_media_close(media);
	for (unsigned round = 0; round < rounds; round++) {
		struct verdict verdict, repair;
		struct daxl_pool *pool;
		struct image image;

		image_copy(&image, &original);
		for (unsigned n = 1 + (unsigned)(test_random(rng) % 3); n--;)
			hurt_something(&image, matrix_super(&original), &slot, rng);
		judge(&image, false, &verdict);
		if (verdict.rc == 0) {
			clean++;
			must(image_try(&image, false, &pool));
			must(daxl_pool_end(pool));
		} else {
			judge(&image, true, &repair);
			if (repair.rc == 1) {
				repaired++;
				judge(&image, false, &verdict);
				if (verdict.rc)
					ck_abort_msg("round %u: after repair check gave %d (%s)\n%s\nit was\n%s", round,
					             verdict.rc, daxl_error_last(), verdict.log, repair.log);
				must(image_try(&image, false, &pool));
				can_be_written(pool);
				must(daxl_pool_end(pool));
			} else {
				hopeless++;
				ck_assert_msg(repair.rc == -EUCLEAN || repair.rc == -ENOSPC || repair.rc == -EINVAL ||
				                      repair.rc == -EROFS || repair.rc == -ENOMEM,
				              "round %u: %d: %s", round, repair.rc, daxl_error_last());
			}
		}
		image_free(&image);
	}
	fprintf(stderr, "%u clean, %u repaired, %u hopeless\n", clean, repaired, hopeless);
	image_free(&original);
	image_free(&older);
}

START_TEST(hostile_pools_do_no_harm)
{
	const char *env = getenv("DAXL_ROUNDS");
	unsigned rounds = env ? (unsigned)strtoul(env, NULL, 0) : 400;
	uint64_t rng = test_seed("hostile_pools_do_no_harm");

	hostile(false, rounds, &rng);
	hostile(true, rounds, &rng);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("hostile");

	test_add(suite, "hostile_pools_do_no_harm", hostile_pools_do_no_harm);
	SRunner *sr = srunner_create(suite);
	srunner_set_fork_status(sr, CK_NOFORK);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
