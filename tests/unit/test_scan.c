/* SPDX-License-Identifier: BSD-3-Clause */
/* The reading side of the log: what counts as a record, as the end, as damage. Records are forged here by hand. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/hook.h"
#include "log/log.h"
#include "log/record.h"

/* For inner loops: Check writes to a file at each assertion, also at one that holds. */
#define EXPECT(cond) \
	do { \
		if (!(cond)) \
			ck_abort_msg("%s", #cond); \
	} while (0)

#define OFF 4096u
#define SLOTS 4096u
#define EPOCH UINT64_C(0xfeedfacecafe0001)
#define WINDOW DAXL_LOG_WINDOW

static char *memory;
static uint64_t ring_slots;
static struct daxl_media *media;

static void open_ring(uint64_t slots)
{
	ring_slots = slots;
	memory = calloc(1, OFF + slots * DAXL_SLOT_SIZE); /* the ring ends where the memory ends */
	ck_assert_ptr_nonnull(memory);
	ck_assert_int_eq(daxl_media_open_memory(memory, OFF + slots * DAXL_SLOT_SIZE, false, &media), 0);
}

static void close_ring(void)
{
	daxl_media_close(media);
	free(memory);
}

static uint8_t *slot_at(uint64_t position)
{
	return (uint8_t *)memory + OFF + position % ring_slots * DAXL_SLOT_SIZE;
}

/* Byte i of the body of the record at position. */
static uint8_t body_byte(uint64_t position, size_t i)
{
	return (uint8_t)(position * 31 + i * 7 + 3);
}

/* Forges a valid record; only the slots whose bit is in which are stored. */
static void put_parts(uint64_t position, unsigned slots, uint32_t lag, uint64_t epoch, unsigned which)
{
	uint8_t image[DAXL_REC_BYTES_MAX] = { 0 };
	struct daxl_md_rec rec = { .position = position, .lag = lag, .type = DAXL_REC_MAP, .slots = (uint8_t)slots };
	size_t len = (size_t)slots * DAXL_SLOT_SIZE;

	memcpy(image, &rec, sizeof(rec));
	for (size_t i = DAXL_REC_BODY_OFF; i < len; i++)
		image[i] = body_byte(position, i - DAXL_REC_BODY_OFF);
	uint32_t crc = daxl_crc32c(daxl_crc32c(0, &epoch, sizeof(epoch)), image, len);
	memcpy(image + offsetof(struct daxl_md_rec, crc), &crc, sizeof(crc));
	for (unsigned i = 0; i < slots; i++)
		if (which & 1u << i)
			memcpy(slot_at(position + i), image + i * DAXL_SLOT_SIZE, DAXL_SLOT_SIZE);
}

static void put(uint64_t position, unsigned slots, uint32_t lag)
{
	put_parts(position, slots, lag, EPOCH, ~0u);
}

struct seen {
	unsigned n;
	uint64_t first, last, behind;
	unsigned stop_after; /* 0: never */
};

static int see(const struct daxl_rec_view *rec, void *arg)
{
	struct seen *seen = arg;
	const uint8_t *body = rec->body;

	if (seen->n == 0)
		seen->first = rec->position;
	else
		EXPECT(rec->position >= seen->behind);
	EXPECT(rec->slots >= 1 && rec->slots <= DAXL_REC_SLOTS_MAX);
	EXPECT(rec->body_len == rec->slots * DAXL_SLOT_SIZE - DAXL_REC_BODY_OFF);
	for (size_t i = 0; i < rec->body_len; i++)
		EXPECT(body[i] == body_byte(rec->position, i));
	seen->n++;
	seen->last = rec->position;
	seen->behind = rec->position + rec->slots;
	return seen->stop_after && seen->n == seen->stop_after ? 77 : 0;
}

static int scan(uint64_t start, struct seen *seen, uint64_t *end)
{
	*seen = (struct seen){ .stop_after = seen->stop_after };
	return daxl_log_scan(media, OFF, ring_slots * DAXL_SLOT_SIZE, start, EPOCH, see, seen, end);
}

static struct seen seen;
static uint64_t end;

static void expect_found(uint64_t start, unsigned n, uint64_t want_end)
{
	seen.stop_after = 0;
	ck_assert_int_eq(scan(start, &seen, &end), 0);
	ck_assert_uint_eq(seen.n, n);
	ck_assert_uint_eq(end, want_end);
}

static void expect_refused(uint64_t start, int err, const char *what)
{
	end = 4711;
	seen.stop_after = 0;
	ck_assert_int_eq(scan(start, &seen, &end), err);
	ck_assert_uint_eq(seen.n, 0);
	ck_assert_uint_eq(end, 4711);
	ck_assert_msg(strstr(daxl_error_last(), what) != NULL, "'%s' not in '%s'", what, daxl_error_last());
}

START_TEST(an_empty_ring_ends_where_it_starts)
{
	open_ring(SLOTS);
	expect_found(0, 0, 0);
	expect_found(123456, 0, 123456);
	close_ring();
}
END_TEST

START_TEST(records_come_in_order_with_their_bodies_joined_also_over_the_wrap)
{
	const uint64_t start = 5 * SLOTS - 40;
	uint64_t position = start;

	open_ring(SLOTS);
	for (unsigned i = 0; i < 100; i++) {
		put(position, 1 + i % 8, 0);
		position += 1 + i % 8;
	}
	expect_found(start, 100, position);
	ck_assert_uint_eq(seen.first, start);
	close_ring();
}
END_TEST

START_TEST(a_stale_lap_is_not_a_record)
{
	open_ring(SLOTS);
	for (uint64_t p = 0; p < SLOTS; p++)
		put(p, 1, 0);
	for (uint64_t p = SLOTS; p < SLOTS + 10; p++)
		put(p, 1, 0);
	expect_found(SLOTS, 10, SLOTS + 10);
	close_ring();
}
END_TEST

START_TEST(another_epoch_is_not_a_record)
{
	open_ring(SLOTS);
	put(0, 1, 0);
	put_parts(1, 1, 0, EPOCH + 1, ~0u);
	put_parts(2, 3, 0, EPOCH ^ UINT64_C(1) << 63, ~0u);
	expect_found(0, 1, 1);
	close_ring();
}
END_TEST

START_TEST(a_whole_ring_of_records_is_found_and_no_more)
{
	open_ring(SLOTS);
	for (uint64_t p = 100; p < 100 + SLOTS; p += 8)
		put(p, 8, 0);
	expect_found(100, SLOTS / 8, 100 + SLOTS);
	close_ring();
}
END_TEST

START_TEST(a_record_that_reaches_over_the_ring_s_first_is_none)
{
	open_ring(64);
	for (uint64_t p = 0; p < 60; p++)
		put(p, 1, 0);
	put(60, 5, 0); /* reaches into slot 0 */
	expect_found(1, 60, 65);
	expect_refused(0, -EUCLEAN, "position 0 ");
	close_ring();

	/* A forged one whose last slot is also the first record. */
	open_ring(64);
	put(60, 5, 59);
	expect_found(1, 1, 65);
	expect_found(0, 0, 0);
	close_ring();
}
END_TEST

START_TEST(unfinished_tickets_leave_gaps_which_are_stepped_over)
{
	open_ring(SLOTS);
	put(0, 1, 0);
	put(5, 2, 4);           /* 1..4 unfinished */
	put(1000, 1, 999);      /* 7..999 too, and 1 is the oldest */
	put(1024, 1, 1023);     /* the furthest a ticket can be ahead of 1 */
	expect_found(0, 4, 1025);
	close_ring();
}
END_TEST

START_TEST(the_scan_ends_after_w_slots_without_a_record)
{
	open_ring(SLOTS);
	put(0, 1, 0);
	put(1 + WINDOW - 1, 1, WINDOW - 1);
	expect_found(0, 2, 1 + WINDOW);
	put(2000, 1, 0); /* less than W behind the last */
	expect_refused(0, -EUCLEAN, "position 1 ");
	close_ring();

	open_ring(SLOTS);
	put(0, 1, 0);
	put(1 + WINDOW, 1, 0);
	expect_found(0, 1, 1);
	close_ring();
}
END_TEST

START_TEST(a_hole_below_a_later_record_s_lag_is_damage)
{
	open_ring(SLOTS);
	for (uint64_t p = 0; p < 20; p++)
		put(p, 1, p < 4 ? (uint32_t)p : 4);
	expect_found(0, 20, 20);
	slot_at(15)[30] ^= 1; /* 19 - 4 = 15: everything below 15 was durable, 15 not for sure */
	expect_found(0, 19, 20);
	slot_at(14)[30] ^= 1;
	expect_refused(0, -EUCLEAN, "position 14 ");
	slot_at(14)[30] ^= 1;
	slot_at(15)[30] ^= 1;
	slot_at(0)[63] ^= 0x80;
	expect_refused(0, -EUCLEAN, "position 0 ");
	close_ring();
}
END_TEST

START_TEST(each_byte_of_a_record_is_under_the_checksum)
{
	open_ring(SLOTS);
	for (unsigned i = 0; i < 3 * DAXL_SLOT_SIZE; i++) {
		put(0, 1, 0);
		put(1, 3, 1);
		put(4, 1, 0);
		slot_at(1)[i] ^= (uint8_t)(1u << i % 8);
		expect_refused(0, -EUCLEAN, "position 1 ");
	}
	close_ring();
}
END_TEST

START_TEST(a_torn_record_is_none_whichever_of_its_slots_are_missing)
{
	open_ring(SLOTS);
	for (unsigned slots = 2; slots <= DAXL_REC_SLOTS_MAX; slots++) {
		for (unsigned which = 0; which < 1u << slots; which++) {
			memset(memory, 0, OFF + SLOTS * DAXL_SLOT_SIZE);
			put(SLOTS - 4, 1, 0);
			put_parts(SLOTS - 3, slots, 0, EPOCH, which);
			put(SLOTS - 3 + slots, 1, slots);
			expect_found(SLOTS - 4, which == (1u << slots) - 1 ? 3 : 2, SLOTS - 2 + slots);
		}
	}
	close_ring();
}
END_TEST

START_TEST(a_torn_record_over_an_earlier_lap_is_none)
{
	open_ring(SLOTS);
	for (unsigned which = 0; which < 15; which++) {
		for (uint64_t p = 0; p < 16; p++)
			put(p, 1, 0);
		put(SLOTS, 1, 0);
		put_parts(SLOTS + 1, 4, 0, EPOCH, which);
		expect_found(SLOTS, 1, SLOTS + 1);
	}
	close_ring();
}
END_TEST

START_TEST(slot_counts_of_none_and_too_many_are_no_records)
{
	open_ring(SLOTS);
	put(0, 1, 0);
	for (unsigned slots = 0; slots < 256; slots++) {
		put(1, 1, 0);
		slot_at(1)[offsetof(struct daxl_md_rec, slots)] = (uint8_t)slots;
		expect_found(0, slots == 1 ? 2 : 1, slots == 1 ? 2 : 1);
	}
	close_ring();
}
END_TEST

START_TEST(a_lag_that_no_writer_gives_is_refused)
{
	open_ring(SLOTS);
	put(2000, 1, 0);
	put(2001, 1, WINDOW - 1);
	expect_found(2000, 2, 2002);
	put(2001, 1, WINDOW);
	expect_refused(2000, -EUCLEAN, "position 2001");
	put(2001, 1, UINT32_MAX);
	expect_refused(2000, -EUCLEAN, "lag");
	put(3, 1, 4);
	expect_refused(3, -EUCLEAN, "position 3");
	close_ring();
}
END_TEST

START_TEST(the_callback_ends_the_scan)
{
	open_ring(SLOTS);
	for (uint64_t p = 0; p < 10; p++)
		put(p, 1, 0);
	seen.stop_after = 3;
	end = 4711;
	ck_assert_int_eq(scan(0, &seen, &end), 77);
	ck_assert_uint_eq(seen.n, 3);
	ck_assert_uint_eq(end, 4711);
	close_ring();
}
END_TEST

START_TEST(impossible_rings_and_positions_are_refused)
{
	uint64_t bytes;

	open_ring(64);
	bytes = 64 * DAXL_SLOT_SIZE;
	end = 4711;
	ck_assert_int_eq(daxl_log_scan(media, OFF, bytes + 64, 0, EPOCH, see, &seen, &end), -EUCLEAN);
	ck_assert_int_eq(daxl_log_scan(media, OFF, bytes - 1, 0, EPOCH, see, &seen, &end), -EUCLEAN);
	ck_assert_int_eq(daxl_log_scan(media, OFF, 0, 0, EPOCH, see, &seen, &end), -EUCLEAN);
	ck_assert_int_eq(daxl_log_scan(media, UINT64_MAX, 64, 0, EPOCH, see, &seen, &end), -EUCLEAN);
	ck_assert_int_eq(daxl_log_scan(media, OFF, bytes, UINT64_MAX, EPOCH, see, &seen, &end), -EUCLEAN);
	ck_assert_int_eq(daxl_log_scan(media, OFF, bytes, UINT64_MAX - 64, EPOCH, see, &seen, &end), -EUCLEAN);
	ck_assert_uint_eq(end, 4711);
	close_ring();
}
END_TEST

/*
 * Unreadable slots: the passages of "media.read" from first to last fail; the first is the whole chunk, then each
 * slot is one.
 */
struct poison {
	unsigned passage;
	unsigned slot;   /* of the first chunk */
	unsigned slots;
};

static bool poisoned(const char *point, void *arg)
{
	struct poison *poison = arg;

	if (strcmp(point, "media.read") != 0)
		return false;
	unsigned passage = poison->passage++;
	return passage == 0 || (passage > poison->slot && passage <= poison->slot + poison->slots);
}

static struct poison poison;

static void poison_slots(unsigned slot, unsigned slots)
{
	poison = (struct poison){ .slot = slot, .slots = slots };
	daxl_fault_set(poisoned, &poison);
}

START_TEST(an_unreadable_slot_before_a_valid_record_is_damage)
{
	open_ring(SLOTS);
	for (uint64_t p = 0; p < 10; p++)
		put(p, 1, (uint32_t)p);
	poison_slots(4, 1);
	expect_refused(0, -EUCLEAN, "position 4 ");
	put(10, 4, 0);
	put(14, 1, 0);
	poison_slots(12, 1);
	expect_refused(0, -EUCLEAN, "position 12 ");
	daxl_fault_set(NULL, NULL);
	expect_found(0, 12, 15);
	close_ring();
}
END_TEST

START_TEST(an_unreadable_slot_where_the_end_would_be_looked_for_is_an_io_error)
{
	open_ring(SLOTS);
	for (uint64_t p = 0; p < 10; p++)
		put(p, 1, 0);
	poison_slots(10, 1);
	expect_refused(0, -EIO, "position 10 ");
	poison_slots(9 + WINDOW, 1);
	expect_refused(0, -EIO, "position 1033 ");
	/* Behind what the scan has to look at nothing matters. */
	poison_slots(10 + WINDOW, 1);
	expect_found(0, 10, 10);
	/* A chunk that fails as a whole and reads slot by slot is fine. */
	poison_slots(0, 0);
	expect_found(0, 10, 10);
	daxl_fault_set(NULL, NULL);
	close_ring();
}
END_TEST

static bool fail_nth_allocation(const char *point, void *arg)
{
	unsigned *left = arg;

	return strstr(point, "alloc") != NULL && (*left)-- == 0;
}

START_TEST(no_memory_is_an_ordinary_outcome_at_each_allocation)
{
	open_ring(4 * SLOTS);
	for (uint64_t p = 0; p < 3 * SLOTS; p += 8)
		put(p, 8, 0);
	unsigned failed = 0;
	for (unsigned n = 0;; n++) {
		unsigned left = n;

		daxl_fault_set(fail_nth_allocation, &left);
		int ret = scan(0, &seen, &end);
		daxl_fault_set(NULL, NULL);
		if (ret == 0)
			break;
		ck_assert_int_eq(ret, -ENOMEM);
		ck_assert_uint_eq(seen.n, 0);
		failed++;
	}
	ck_assert_uint_ge(failed, 2);
	ck_assert_uint_eq(end, 3 * SLOTS);
	close_ring();
}
END_TEST

static unsigned seed_of_run(void)
{
	const char *env = getenv("DAXL_SEED");
	unsigned seed = env ? (unsigned)strtoul(env, NULL, 0) : (unsigned)getpid();

	printf("DAXL_SEED=%u\n", seed);
	fflush(stdout);
	return seed;
}

static unsigned random_below(unsigned *seed, unsigned n)
{
	return (unsigned)rand_r(seed) % n;
}

static int note(const struct daxl_rec_view *rec, void *arg)
{
	uint8_t *found = arg;

	found[rec->position % ring_slots] = (uint8_t)rec->slots;
	return see(rec, &seen);
}

/*
 * The real writer with tickets finished in any order, a crash, and for each ticket that had not left any subset of its
 * slots.
 */
START_TEST(after_a_crash_every_record_that_had_left_is_found_and_nothing_is_invented)
{
	enum { OPEN_MAX = 12 };
	unsigned seed = seed_of_run();
	uint8_t *found = malloc(SLOTS), *must = malloc(SLOTS), *may = malloc(SLOTS), body[DAXL_REC_BODY_MAX];

	for (unsigned round = 0; round < 200; round++) {
		struct daxl_ticket open[OPEN_MAX];
		unsigned nopen = 0;
		struct daxl_log *log;
		uint64_t start = random_below(&seed, 3 * SLOTS), used = 0, size = 1 + random_below(&seed, SLOTS - 200);

		open_ring(SLOTS);
		memset(found, 0, SLOTS);
		memset(must, 0, SLOTS);
		memset(may, 0, SLOTS);
		ck_assert_int_eq(daxl_log_open(media, OFF, SLOTS * DAXL_SLOT_SIZE, start, start, EPOCH, &log), 0);
		while (used < size) {
			if (nopen < OPEN_MAX && random_below(&seed, 2)) {
				unsigned slots = 1 + random_below(&seed, 8);

				/* A single thread must not wait for itself. */
				if (nopen && start + used - open[0].position >= WINDOW - 8)
					slots = 0;
				if (slots) {
					EXPECT(daxl_log_credit_take(log, slots) >= 0);
					daxl_log_enter(log, slots, &open[nopen]);
					may[open[nopen].position % SLOTS] = (uint8_t)slots;
					nopen++;
					used += slots;
					continue;
				}
			}
			if (nopen == 0)
				continue;
			unsigned pick = random_below(&seed, nopen);
			if (start + used - open[0].position >= WINDOW - 8)
				pick = 0;
			struct daxl_ticket *ticket = &open[pick];
			size_t len = ticket->slots * DAXL_SLOT_SIZE - DAXL_REC_BODY_OFF;
			for (size_t i = 0; i < len; i++)
				body[i] = body_byte(ticket->position, i);
			daxl_log_store(log, ticket, DAXL_REC_MAP, 0, body, len);
			daxl_log_leave(log, ticket);
			must[ticket->position % SLOTS] = (uint8_t)ticket->slots;
			memmove(ticket, ticket + 1, (nopen - pick - 1) * sizeof(*ticket));
			nopen--;
		}
		/* The crash: the others have stored nothing, something, or all. */
		for (unsigned i = 0; i < nopen; i++)
			put_parts(open[i].position, open[i].slots, open[i].lag, EPOCH,
			          random_below(&seed, 1u << open[i].slots));
		daxl_log_close(log);

		seen = (struct seen){ 0 };
		ck_assert_int_eq(daxl_log_scan(media, OFF, SLOTS * DAXL_SLOT_SIZE, start, EPOCH, note, found, &end), 0);
		ck_assert_uint_eq(end, seen.n ? seen.behind : start);
		for (unsigned i = 0; i < SLOTS; i++) {
			EXPECT(!must[i] || found[i] == must[i]);
			EXPECT(!found[i] || found[i] == may[i]);
		}
		close_ring();
	}
	free(found);
	free(must);
	free(may);
}
END_TEST

static int ignore_body(const struct daxl_rec_view *rec, void *arg)
{
	uint64_t *behind = arg;

	EXPECT(rec->position >= *behind);
	*behind = rec->position + rec->slots;
	const uint8_t *body = rec->body;
	volatile uint8_t last = body[rec->body_len - 1]; /* the sanitizer sees whether it is there */
	(void)last;
	return 0;
}

/* Valid records, overlapping, out of place, with any lag, and bytes flipped in between. */
START_TEST(hostile_bytes_end_in_an_answer)
{
	unsigned seed = seed_of_run(), answers[3] = { 0 };

	for (unsigned round = 0; round < 2000; round++) {
		unsigned slots = 1 + random_below(&seed, 300);
		uint64_t start = random_below(&seed, 1000);

		if (random_below(&seed, 4) == 0)
			start = UINT64_MAX >> random_below(&seed, 64);

		open_ring(slots);
		for (unsigned i = 0; i < 40; i++) {
			unsigned lag = random_below(&seed, 8) ? 0 : random_below(&seed, 2000);
			unsigned n = 1 + random_below(&seed, slots < 8 ? slots : 8);

			put(start + (i < 20 ? i : random_below(&seed, slots)), n, random_below(&seed, 16) ? 0 : lag);
		}
		for (unsigned i = random_below(&seed, 4); i > 0; i--)
			slot_at(random_below(&seed, slots))[random_below(&seed, 64)] ^= (uint8_t)rand_r(&seed);

		uint64_t behind = 0;
		end = 4711;
		int ret = daxl_log_scan(media, OFF, slots * DAXL_SLOT_SIZE, start, EPOCH, ignore_body, &behind, &end);
		if (ret == 0)
			ck_assert(end >= start && end - start <= slots);
		else
			ck_assert_int_eq(ret, -EUCLEAN);
		answers[ret == 0]++;
		close_ring();
	}
	ck_assert_uint_gt(answers[0], 0);
	ck_assert_uint_gt(answers[1], 0);
}
END_TEST

static Suite *scan_suite(void)
{
	Suite *suite = suite_create("scan");
	TCase *tcase = tcase_create("scan");

	tcase_add_test(tcase, an_empty_ring_ends_where_it_starts);
	tcase_add_test(tcase, records_come_in_order_with_their_bodies_joined_also_over_the_wrap);
	tcase_add_test(tcase, a_stale_lap_is_not_a_record);
	tcase_add_test(tcase, another_epoch_is_not_a_record);
	tcase_add_test(tcase, a_whole_ring_of_records_is_found_and_no_more);
	tcase_add_test(tcase, a_record_that_reaches_over_the_ring_s_first_is_none);
	tcase_add_test(tcase, unfinished_tickets_leave_gaps_which_are_stepped_over);
	tcase_add_test(tcase, the_scan_ends_after_w_slots_without_a_record);
	tcase_add_test(tcase, a_hole_below_a_later_record_s_lag_is_damage);
	tcase_add_test(tcase, each_byte_of_a_record_is_under_the_checksum);
	tcase_add_test(tcase, a_torn_record_is_none_whichever_of_its_slots_are_missing);
	tcase_add_test(tcase, a_torn_record_over_an_earlier_lap_is_none);
	tcase_add_test(tcase, slot_counts_of_none_and_too_many_are_no_records);
	tcase_add_test(tcase, a_lag_that_no_writer_gives_is_refused);
	tcase_add_test(tcase, the_callback_ends_the_scan);
	tcase_add_test(tcase, impossible_rings_and_positions_are_refused);
	tcase_add_test(tcase, an_unreadable_slot_before_a_valid_record_is_damage);
	tcase_add_test(tcase, an_unreadable_slot_where_the_end_would_be_looked_for_is_an_io_error);
	tcase_add_test(tcase, no_memory_is_an_ordinary_outcome_at_each_allocation);
	tcase_add_test(tcase, after_a_crash_every_record_that_had_left_is_found_and_nothing_is_invented);
	tcase_add_test(tcase, hostile_bytes_end_in_an_answer);
	tcase_set_timeout(tcase, 60);
	suite_add_tcase(suite, tcase);
	return suite;
}

int main(void)
{
	SRunner *runner = srunner_create(scan_suite());

	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
