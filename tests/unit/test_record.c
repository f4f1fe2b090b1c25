/* SPDX-License-Identifier: BSD-3-Clause */
/* Record bodies: what daxl_record_* puts together is what format.h says a record is. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/hook.h"
#include "file/file.h"

static struct daxl_md_rec_map head_of(const struct daxl_record *rec)
{
	struct daxl_md_rec_map head;
	ck_assert_uint_ge(rec->len, sizeof(head));
	memcpy(&head, rec->buf, sizeof(head));
	return head;
}

static struct daxl_md_edit edit_of(const struct daxl_record *rec, size_t i)
{
	struct daxl_md_edit edit;
	size_t at = sizeof(struct daxl_md_rec_map) + i * sizeof(edit);
	ck_assert_uint_le(at + sizeof(edit), rec->len);
	memcpy(&edit, rec->buf + at, sizeof(edit));
	return edit;
}

START_TEST(one_edit_fits_one_slot)
{
	struct daxl_record rec;
	ck_assert_int_eq(daxl_record_map_begin(&rec, DAXL_REC_MAP, 7), 0);
	ck_assert_int_eq(daxl_record_map_edit(&rec, 100, 8, 5000 | DAXL_EDIT_UNWRITTEN), 0);
	daxl_record_map_finish(&rec, 12345, 99);
	ck_assert_uint_eq(rec.type, DAXL_REC_MAP);
	ck_assert_uint_eq(rec.len, DAXL_REC_PAYLOAD_FIRST);
	struct daxl_md_rec_map head = head_of(&rec);
	ck_assert_uint_eq(head.id, 7);
	ck_assert_uint_eq(head.nedits, 0);
	ck_assert_uint_eq(head.size, 12345);
	ck_assert_uint_eq(head.time_ns, 99);
	ck_assert_uint_eq(head.fblk, 100);
	ck_assert_uint_eq(head.len, 8);
	ck_assert(head.val == (5000 | DAXL_EDIT_UNWRITTEN));
	daxl_record_free(&rec);
}
END_TEST

START_TEST(further_edits_follow_in_order)
{
	struct daxl_record rec;
	ck_assert_int_eq(daxl_record_map_begin(&rec, DAXL_REC_MAP, 7), 0);
	for (uint64_t i = 0; i < 1000; i++)
		ck_assert_int_eq(daxl_record_map_edit(&rec, i * 10, i + 1, i * 100), 0);
	daxl_record_map_finish(&rec, 1, 2);
	struct daxl_md_rec_map head = head_of(&rec);
	ck_assert_uint_eq(head.nedits, 999);
	ck_assert_uint_eq(head.fblk, 0);
	ck_assert_uint_eq(head.len, 1);
	for (uint64_t i = 1; i < 1000; i++) {
		struct daxl_md_edit edit = edit_of(&rec, i - 1);
		ck_assert_uint_eq(edit.fblk, i * 10);
		ck_assert_uint_eq(edit.len, i + 1);
		ck_assert_uint_eq(edit.val, i * 100);
	}
	ck_assert_uint_eq(rec.len, sizeof(head) + 999 * sizeof(struct daxl_md_edit));
	daxl_record_free(&rec);
}
END_TEST

START_TEST(a_long_first_edit_goes_to_the_list_and_keeps_its_place)
{
	struct daxl_record rec;
	ck_assert_int_eq(daxl_record_map_begin(&rec, DAXL_REC_MAP, 7), 0);
	ck_assert_int_eq(daxl_record_map_edit(&rec, 1, UINT64_C(1) << 32, DAXL_EDIT_HOLE), 0);
	ck_assert_int_eq(daxl_record_map_edit(&rec, 2, 3, 4), 0);
	daxl_record_map_finish(&rec, 1, 2);
	struct daxl_md_rec_map head = head_of(&rec);
	ck_assert_uint_eq(head.len, 0);
	ck_assert_uint_eq(head.nedits, 2);
	ck_assert_uint_eq(edit_of(&rec, 0).len, UINT64_C(1) << 32);
	ck_assert_uint_eq(edit_of(&rec, 1).fblk, 2);
	daxl_record_free(&rec);
}
END_TEST

START_TEST(a_record_without_edits_is_its_header)
{
	struct daxl_record rec;
	ck_assert_int_eq(daxl_record_map_begin(&rec, DAXL_REC_TRUNCATE, 9), 0);
	daxl_record_map_finish(&rec, 0, 5);
	struct daxl_md_rec_map head = head_of(&rec);
	ck_assert_uint_eq(head.len, 0);
	ck_assert_uint_eq(head.nedits, 0);
	ck_assert_uint_eq(rec.len, sizeof(head));
	daxl_record_free(&rec);
}
END_TEST

static bool fail_alloc(const char *point, void *arg)
{
	(void)point;
	(*(unsigned *)arg)++;
	return true;
}

START_TEST(without_memory_the_record_stays_as_it_was)
{
	struct daxl_record rec;
	unsigned asked = 0;
	ck_assert_int_eq(daxl_record_map_begin(&rec, DAXL_REC_MAP, 7), 0);
	daxl_fault_set(fail_alloc, &asked);
	int rc = 0;
	uint64_t n = 0;
	while (rc == 0 && n < 1000)
		rc = daxl_record_map_edit(&rec, n++, 1, 4);
	daxl_fault_set(NULL, NULL);
	ck_assert_int_eq(rc, -ENOMEM);
	ck_assert_uint_eq(asked, 1);
	ck_assert_uint_eq(head_of(&rec).nedits, n - 2);
	ck_assert_uint_eq(rec.len, sizeof(struct daxl_md_rec_map) + (n - 2) * sizeof(struct daxl_md_edit));
	ck_assert_int_eq(daxl_record_map_edit(&rec, n, 1, 4), 0);
	daxl_record_free(&rec);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("record");
	TCase *t = tcase_create("body");
	tcase_add_test(t, one_edit_fits_one_slot);
	tcase_add_test(t, further_edits_follow_in_order);
	tcase_add_test(t, a_long_first_edit_goes_to_the_list_and_keeps_its_place);
	tcase_add_test(t, a_record_without_edits_is_its_header);
	tcase_add_test(t, without_memory_the_record_stays_as_it_was);
	suite_add_tcase(s, t);
	SRunner *sr = srunner_create(s);
	srunner_set_fork_status(sr, CK_NOFORK);
	srunner_run_all(sr, CK_NORMAL);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
