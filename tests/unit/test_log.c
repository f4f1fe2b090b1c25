/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The writing side of the log: credit, tickets, the gate and the watermark, alone and with threads against each other.
 */
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hook.h"
#include "log/log.h"
#include "log/record.h"

/* For inner loops and threads: Check writes to a file at each assertion, also at one that holds. */
#define EXPECT(cond) \
	do { \
		if (!(cond)) \
			ck_abort_msg("%s", #cond); \
	} while (0)

#define OFF 4096u
#define EPOCH UINT64_C(0x1122334455667788)
#define WINDOW DAXL_LOG_WINDOW

static char *memory;
static struct daxl_media *media;
static struct daxl_log *the_log;

static void open_log(uint64_t slots, uint64_t start, uint64_t head)
{
	uint64_t bytes = slots * DAXL_SLOT_SIZE;

	memory = calloc(1, OFF + bytes);
	ck_assert_ptr_nonnull(memory);
	ck_assert_int_eq(daxl_media_open_memory(memory, OFF + bytes, false, &media), 0);
	ck_assert_int_eq(daxl_log_open(media, OFF, bytes, start, head, EPOCH, &the_log), 0);
}

static void close_log(void)
{
	daxl_log_close(the_log);
	daxl_media_close(media);
	free(memory);
}

static struct daxl_log_stat stat_of(void)
{
	struct daxl_log_stat stat;

	daxl_log_stat(the_log, &stat);
	return stat;
}

static struct daxl_ticket enter(unsigned slots)
{
	struct daxl_ticket ticket;

	ck_assert_int_ge(daxl_log_credit_take(the_log, slots), 0);
	daxl_log_enter(the_log, slots, &ticket);
	return ticket;
}

static const struct daxl_md_rec *rec_in_ring(uint64_t slot)
{
	return (const struct daxl_md_rec *)(const void *)(memory + OFF + slot * DAXL_SLOT_SIZE);
}

START_TEST(body_lengths_take_the_fewest_slots)
{
	ck_assert_uint_eq(daxl_log_slots_for(0), 1);
	ck_assert_uint_eq(daxl_log_slots_for(44), 1);
	ck_assert_uint_eq(daxl_log_slots_for(45), 2);
	ck_assert_uint_eq(daxl_log_slots_for(44 + 64), 2);
	ck_assert_uint_eq(daxl_log_slots_for(44 + 64 + 1), 3);
	ck_assert_uint_eq(daxl_log_slots_for(DAXL_REC_BODY_MAX), 8);
	ck_assert_uint_eq(daxl_log_slots_for(DAXL_REC_BODY_MAX + 1), 0);
	ck_assert_uint_eq(daxl_log_slots_for(SIZE_MAX), 0);
}
END_TEST

START_TEST(open_refuses_a_ring_outside_the_media_and_impossible_positions)
{
	struct daxl_log *log = NULL;

	open_log(64, 0, 0);
	uint64_t size = daxl_media_size(media);
	ck_assert_int_eq(daxl_log_open(media, OFF, size, 0, 0, EPOCH, &log), -EUCLEAN);
	ck_assert_int_eq(daxl_log_open(media, UINT64_MAX - 63, 4096, 0, 0, EPOCH, &log), -EUCLEAN);
	ck_assert_int_eq(daxl_log_open(media, OFF, UINT64_MAX - 63, 0, 0, EPOCH, &log), -EUCLEAN);
	ck_assert_int_eq(daxl_log_open(media, OFF + 1, 4096 - 64, 0, 0, EPOCH, &log), -EUCLEAN);
	ck_assert_int_eq(daxl_log_open(media, OFF, 4095, 0, 0, EPOCH, &log), -EUCLEAN);
	ck_assert_int_eq(daxl_log_open(media, OFF, 4096, 5, 4, EPOCH, &log), -EUCLEAN);
	ck_assert_int_eq(daxl_log_open(media, OFF, 4096, 5, 5 + 65, EPOCH, &log), -EUCLEAN);
	ck_assert_int_eq(daxl_log_open(media, OFF, 4096, UINT64_MAX, UINT64_MAX, EPOCH, &log), -EUCLEAN);
	ck_assert_ptr_null(log);
	ck_assert_int_eq(daxl_log_open(media, OFF, 4096, 5, 5 + 64, EPOCH, &log), 0);
	daxl_log_close(log);
	close_log();
}
END_TEST

static bool fail_allocation(const char *point, void *arg)
{
	(void)arg;
	return strstr(point, "alloc") != NULL;
}

START_TEST(open_without_memory_says_so_and_leaves_nothing)
{
	struct daxl_log *log = NULL;

	open_log(64, 0, 0);
	daxl_fault_set(fail_allocation, NULL);
	ck_assert_int_eq(daxl_log_open(media, OFF, 4096, 0, 0, EPOCH, &log), -ENOMEM);
	daxl_fault_set(NULL, NULL);
	ck_assert_ptr_null(log);
	close_log();
}
END_TEST

START_TEST(credit_is_granted_up_to_the_last_slot_and_not_beyond)
{
	open_log(64, 100, 100);
	for (unsigned i = 0; i < 8; i++)
		ck_assert_int_eq(daxl_log_credit_take(the_log, 8), 0);
	ck_assert_uint_eq(stat_of().credit_out, 64);
	ck_assert_int_eq(daxl_log_credit_take(the_log, 1), -ENOSPC);
	daxl_log_credit_give(the_log, 3);
	ck_assert_int_eq(daxl_log_credit_take(the_log, 4), -ENOSPC);
	ck_assert_int_eq(daxl_log_credit_take(the_log, 3), 0);
	ck_assert_int_eq(daxl_log_credit_take(the_log, 1), -ENOSPC);
	daxl_log_credit_give(the_log, 64);
	ck_assert_uint_eq(stat_of().credit_out, 0);
	ck_assert_int_eq(daxl_log_credit_take(the_log, 65), -ENOSPC);
	ck_assert_int_eq(daxl_log_credit_take(the_log, 64), 0);
	close_log();
}
END_TEST

START_TEST(a_full_ring_asks_for_a_checkpoint_and_gets_exactly_what_it_frees)
{
	struct daxl_ticket ticket;

	open_log(64, 0, 0);
	for (unsigned i = 0; i < 64; i++) {
		ck_assert_int_eq(daxl_log_credit_take(the_log, 1), i >= 32);
		daxl_log_enter(the_log, 1, &ticket);
		daxl_log_leave(the_log, &ticket);
	}
	ck_assert_int_eq(daxl_log_credit_take(the_log, 1), -EAGAIN);
	daxl_log_advance(the_log, 10);
	ck_assert_int_eq(daxl_log_credit_take(the_log, 11), -EAGAIN);
	ck_assert_int_eq(daxl_log_credit_take(the_log, 10), 1);
	ck_assert_int_eq(daxl_log_credit_take(the_log, 1), -EAGAIN);
	/* Together with the credit that is out not even an empty ring has room. */
	ck_assert_int_eq(daxl_log_credit_take(the_log, 55), -ENOSPC);
	ck_assert_int_eq(daxl_log_credit_take(the_log, 54), -EAGAIN);
	daxl_log_advance(the_log, 64);
	ck_assert_int_eq(daxl_log_credit_take(the_log, 54), 0);
	close_log();
}
END_TEST

START_TEST(a_ticket_uses_up_credit)
{
	open_log(64, 0, 0);
	ck_assert_int_eq(daxl_log_credit_take(the_log, 8), 0);
	struct daxl_ticket ticket;
	daxl_log_enter(the_log, 3, &ticket);
	ck_assert_uint_eq(stat_of().credit_out, 5);
	ck_assert_uint_eq(stat_of().head, 3);
	daxl_log_leave(the_log, &ticket);
	daxl_log_credit_give(the_log, 5);
	ck_assert_uint_eq(stat_of().credit_out, 0);
	ck_assert_uint_eq(stat_of().watermark, 3);
	close_log();
}
END_TEST

START_TEST(tickets_follow_each_other_and_lag_counts_from_the_oldest_unfinished)
{
	open_log(64, 7, 20);
	struct daxl_ticket a = enter(3), b = enter(8), c = enter(1);
	ck_assert_uint_eq(a.position, 20);
	ck_assert_uint_eq(b.position, 23);
	ck_assert_uint_eq(c.position, 31);
	ck_assert_uint_eq(a.lag, 0);
	ck_assert_uint_eq(b.lag, 3);
	ck_assert_uint_eq(c.lag, 11);
	daxl_log_leave(the_log, &c);
	daxl_log_leave(the_log, &b);
	ck_assert_uint_eq(stat_of().watermark, 20);
	struct daxl_ticket d = enter(1);
	ck_assert_uint_eq(d.lag, 12);
	daxl_log_leave(the_log, &a);
	ck_assert_uint_eq(stat_of().watermark, 32);
	daxl_log_leave(the_log, &d);
	ck_assert_uint_eq(stat_of().watermark, 33);
	ck_assert_uint_eq(stat_of().head, 33);
	close_log();
}
END_TEST

START_TEST(a_record_lies_at_its_position_under_its_checksum)
{
	const char body[] = "a body of some bytes";

	open_log(64, 128, 128 + 5);
	struct daxl_ticket ticket = enter(1);
	memset(memory + OFF + 5 * DAXL_SLOT_SIZE, 0xff, DAXL_SLOT_SIZE);
	daxl_log_store(the_log, &ticket, DAXL_REC_ATTR, DAXL_REC_HAS_PAYLOAD, body, sizeof(body));
	daxl_log_leave(the_log, &ticket);

	struct daxl_md_rec rec = *rec_in_ring(5);
	uint8_t rest[DAXL_REC_PAYLOAD_FIRST - sizeof(body)] = { 0 };
	uint64_t epoch = EPOCH;
	ck_assert_uint_eq(rec.position, 133);
	ck_assert_uint_eq(rec.lag, 0);
	ck_assert_uint_eq(rec.type, DAXL_REC_ATTR);
	ck_assert_uint_eq(rec.slots, 1);
	ck_assert_uint_eq(rec.flags, DAXL_REC_HAS_PAYLOAD);
	ck_assert_mem_eq(rec.body, body, sizeof(body));
	ck_assert_mem_eq(rec.body + sizeof(body), rest, sizeof(rest));
	uint32_t crc = rec.crc;
	rec.crc = 0;
	ck_assert_uint_eq(crc, daxl_crc32c(daxl_crc32c(0, &epoch, 8), &rec, sizeof(rec)));
	close_log();
}
END_TEST

START_TEST(a_record_wraps_at_every_slot_of_the_ring)
{
	uint8_t body[DAXL_REC_BODY_MAX], image[DAXL_REC_BYTES_MAX];

	for (size_t i = 0; i < sizeof(body); i++)
		body[i] = (uint8_t)(i * 7 + 1);
	for (unsigned at = 64 - 8; at < 64; at++) {
		open_log(64, at, at);
		struct daxl_ticket ticket = enter(8);
		daxl_log_store(the_log, &ticket, DAXL_REC_MAP, 0, body, sizeof(body));
		for (unsigned i = 0; i < 8; i++)
			memcpy(image + i * 64, rec_in_ring((at + i) % 64), 64);
		ck_assert_mem_eq(image + DAXL_REC_BODY_OFF, body, sizeof(body));
		for (unsigned i = 8; i < 64; i++)
			EXPECT(rec_in_ring((at + i) % 64)->position == 0);
		daxl_log_leave(the_log, &ticket);
		close_log();
	}
}
END_TEST

START_TEST(a_new_epoch_is_under_the_records_that_follow)
{
	struct daxl_md_rec first, second;

	open_log(64, 0, 0);
	struct daxl_ticket ticket = enter(1);
	daxl_log_store(the_log, &ticket, 1, 0, "x", 1);
	first = *rec_in_ring(0);
	daxl_log_leave(the_log, &ticket);
	daxl_log_gate_close(the_log);
	daxl_log_set_epoch(the_log, EPOCH + 1);
	daxl_log_gate_open(the_log);
	ticket = enter(1);
	daxl_log_store(the_log, &ticket, 1, 0, "x", 1);
	daxl_log_leave(the_log, &ticket);
	second = *rec_in_ring(1);

	uint32_t crc = second.crc;
	second.crc = 0;
	ck_assert_uint_eq(crc, daxl_rec_crc(daxl_rec_seed(EPOCH + 1), &second, 1));
	second.position = first.position;
	ck_assert_uint_ne(first.crc, daxl_rec_crc(daxl_rec_seed(EPOCH + 1), &second, 1));
	close_log();
}
END_TEST

/* Threads that are seen to wait: the hook posts when one has found its condition false and will sleep unless woken. */
static sem_t waiting;

static void post_waiting(const char *point, void *arg)
{
	(void)arg;
	if (strcmp(point, "log-wait") == 0)
		sem_post(&waiting);
}

static void expect_waiters(void)
{
	ck_assert_int_eq(sem_init(&waiting, 0, 0), 0);
	daxl_hook_set(post_waiting, NULL);
}

static void expect_no_more_waiters(void)
{
	daxl_hook_set(NULL, NULL);
	sem_destroy(&waiting);
}

static _Atomic int arrived;

static void *enter_one(void *arg)
{
	struct daxl_ticket *ticket = arg;

	daxl_log_enter(the_log, 1, ticket);
	atomic_fetch_add(&arrived, 1);
	daxl_log_leave(the_log, ticket);
	return NULL;
}

START_TEST(a_ticket_waits_at_w_slots_ahead_and_no_earlier)
{
	static struct daxl_ticket tickets[WINDOW];
	struct daxl_ticket late = { 0 };
	pthread_t thread;

	open_log(4 * WINDOW, 0, 0);
	for (unsigned i = 0; i < WINDOW; i++)
		tickets[i] = enter(1);
	ck_assert_uint_eq(tickets[WINDOW - 1].lag, WINDOW - 1);
	for (unsigned i = 1; i < WINDOW; i++)
		daxl_log_leave(the_log, &tickets[i]);

	expect_waiters();
	atomic_store(&arrived, 0);
	ck_assert_int_eq(daxl_log_credit_take(the_log, 1), 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, enter_one, &late), 0);
	sem_wait(&waiting);
	ck_assert_int_eq(atomic_load(&arrived), 0);
	ck_assert_uint_eq(stat_of().head, WINDOW);
	daxl_log_leave(the_log, &tickets[0]);
	pthread_join(thread, NULL);
	ck_assert_uint_eq(late.position, WINDOW);
	ck_assert_uint_eq(late.lag, 0);
	ck_assert_uint_eq(stat_of().watermark, WINDOW + 1);
	expect_no_more_waiters();
	close_log();
}
END_TEST

START_TEST(nobody_enters_a_closed_gate)
{
	struct daxl_ticket tickets[2];
	pthread_t threads[2];

	open_log(64, 0, 0);
	struct daxl_ticket ticket = enter(2);
	daxl_log_leave(the_log, &ticket);
	ck_assert_uint_eq(daxl_log_gate_close(the_log), 2);
	expect_waiters();
	atomic_store(&arrived, 0);
	ck_assert_int_eq(daxl_log_credit_take(the_log, 2), 0);
	for (unsigned i = 0; i < 2; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, enter_one, &tickets[i]), 0);
	sem_wait(&waiting);
	sem_wait(&waiting);
	ck_assert_int_eq(atomic_load(&arrived), 0);
	ck_assert_uint_eq(stat_of().head, 2);
	daxl_log_gate_open(the_log);
	pthread_join(threads[0], NULL);
	pthread_join(threads[1], NULL);
	ck_assert_uint_eq(stat_of().watermark, 4);
	expect_no_more_waiters();
	close_log();
}
END_TEST

static void *close_gate(void *arg)
{
	uint64_t *position = arg;

	*position = daxl_log_gate_close(the_log);
	atomic_fetch_add(&arrived, 1);
	daxl_log_gate_open(the_log);
	return NULL;
}

START_TEST(closing_the_gate_waits_for_every_ticket_inside)
{
	uint64_t position = 0;
	pthread_t thread;

	open_log(64, 0, 0);
	struct daxl_ticket a = enter(1), b = enter(2), c = enter(1);
	expect_waiters();
	atomic_store(&arrived, 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, close_gate, &position), 0);
	sem_wait(&waiting);
	daxl_log_leave(the_log, &c);
	daxl_log_leave(the_log, &a);
	ck_assert_int_eq(atomic_load(&arrived), 0);
	daxl_log_leave(the_log, &b);
	pthread_join(thread, NULL);
	ck_assert_uint_eq(position, 4);
	expect_no_more_waiters();
	close_log();
}
END_TEST

START_TEST(one_closes_the_gate_at_a_time)
{
	uint64_t position = 0;
	pthread_t thread;

	open_log(64, 0, 0);
	ck_assert_uint_eq(daxl_log_gate_close(the_log), 0);
	expect_waiters();
	atomic_store(&arrived, 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, close_gate, &position), 0);
	sem_wait(&waiting);
	ck_assert_int_eq(atomic_load(&arrived), 0);
	daxl_log_gate_open(the_log);
	pthread_join(thread, NULL);
	struct daxl_ticket ticket = enter(1);
	daxl_log_leave(the_log, &ticket);
	expect_no_more_waiters();
	close_log();
}
END_TEST

/* Many writers against one who closes the gate and frees the ring. */
#define WRITERS 4u
#define PER_WRITER 20000u
#define RACE_RING 2048u

struct writer {
	pthread_t thread;
	unsigned seed;
	struct daxl_ticket tickets[PER_WRITER];
};
static struct writer writers[WRITERS];
static _Atomic uint64_t slots_left;
static _Atomic unsigned writers_done;

static unsigned take_credit(unsigned want)
{
	int ret;

	while ((ret = daxl_log_credit_take(the_log, want)) < 0) {
		EXPECT(ret == -EAGAIN);
		sched_yield();
	}
	return want;
}

static void *write_records(void *arg)
{
	struct writer *writer = arg;
	uint8_t body[DAXL_REC_BODY_MAX];

	for (unsigned i = 0; i < PER_WRITER; i++) {
		unsigned slots = 1 + (unsigned)rand_r(&writer->seed) % DAXL_REC_SLOTS_MAX;
		unsigned more = (unsigned)rand_r(&writer->seed) % 3;

		take_credit(slots + more);
		daxl_log_enter(the_log, slots, &writer->tickets[i]);
		size_t len = slots * DAXL_SLOT_SIZE - DAXL_REC_BODY_OFF;
		memset(body, (int)(i & 0xff), len);
		daxl_log_store(the_log, &writer->tickets[i], DAXL_REC_MAP, 0, body, len);
		atomic_fetch_add(&slots_left, slots);
		daxl_log_leave(the_log, &writer->tickets[i]);
		if (more)
			daxl_log_credit_give(the_log, more);
	}
	atomic_fetch_add(&writers_done, 1);
	return NULL;
}

static int by_position(const void *a, const void *b)
{
	const struct daxl_ticket *x = a, *y = b;

	return x->position < y->position ? -1 : x->position > y->position;
}

static int count_records(const struct daxl_rec_view *rec, void *arg)
{
	uint64_t *next = arg;

	EXPECT(rec->position == *next);
	*next += rec->slots;
	return 0;
}

START_TEST(tickets_are_disjoint_and_everything_below_the_cut_has_left)
{
	static struct daxl_ticket all[WRITERS * PER_WRITER];
	const char *env = getenv("DAXL_SEED");
	unsigned seed = env ? (unsigned)strtoul(env, NULL, 0) : 1;
	uint64_t cut = 0;

	printf("DAXL_SEED=%u\n", seed);
	open_log(RACE_RING, 0, 0);
	atomic_store(&slots_left, 0);
	atomic_store(&writers_done, 0);
	for (unsigned i = 0; i < WRITERS; i++) {
		writers[i].seed = seed + i;
		ck_assert_int_eq(pthread_create(&writers[i].thread, NULL, write_records, &writers[i]), 0);
	}
	while (atomic_load(&writers_done) < WRITERS) {
		uint64_t position = daxl_log_gate_close(the_log);

		EXPECT(position >= cut);
		EXPECT(atomic_load(&slots_left) == position);
		cut = position;
		daxl_log_gate_open(the_log);
		daxl_log_advance(the_log, cut);
		struct daxl_log_stat stat = stat_of();
		EXPECT(stat.head - stat.start <= RACE_RING && stat.watermark <= stat.head);
		sched_yield();
	}
	for (unsigned i = 0; i < WRITERS; i++) {
		pthread_join(writers[i].thread, NULL);
		memcpy(all + (size_t)i * PER_WRITER, writers[i].tickets, sizeof(writers[i].tickets));
	}
	qsort(all, DAXL_ARRAY_LEN(all), sizeof(all[0]), by_position);
	uint64_t next = 0;
	for (size_t i = 0; i < DAXL_ARRAY_LEN(all); i++) {
		EXPECT(all[i].position == next && all[i].lag < WINDOW);
		next += all[i].slots;
	}
	struct daxl_log_stat stat = stat_of();
	ck_assert_uint_eq(stat.head, next);
	ck_assert_uint_eq(stat.watermark, next);
	ck_assert_uint_eq(stat.credit_out, 0);

	/* What lies behind the last cut is whole on the medium. */
	uint64_t end = 0;
	next = cut;
	int ret = daxl_log_scan(media, OFF, RACE_RING * DAXL_SLOT_SIZE, cut, EPOCH, count_records, &next, &end);
	ck_assert_int_eq(ret, 0);
	ck_assert_uint_eq(end, stat.head);
	ck_assert_uint_eq(next, stat.head);
	close_log();
}
END_TEST

static Suite *log_suite(void)
{
	Suite *suite = suite_create("log");
	TCase *alone = tcase_create("alone");
	TCase *threads = tcase_create("threads");

	tcase_add_test(alone, body_lengths_take_the_fewest_slots);
	tcase_add_test(alone, open_refuses_a_ring_outside_the_media_and_impossible_positions);
	tcase_add_test(alone, open_without_memory_says_so_and_leaves_nothing);
	tcase_add_test(alone, credit_is_granted_up_to_the_last_slot_and_not_beyond);
	tcase_add_test(alone, a_full_ring_asks_for_a_checkpoint_and_gets_exactly_what_it_frees);
	tcase_add_test(alone, a_ticket_uses_up_credit);
	tcase_add_test(alone, tickets_follow_each_other_and_lag_counts_from_the_oldest_unfinished);
	tcase_add_test(alone, a_record_lies_at_its_position_under_its_checksum);
	tcase_add_test(alone, a_record_wraps_at_every_slot_of_the_ring);
	tcase_add_test(alone, a_new_epoch_is_under_the_records_that_follow);
	tcase_add_test(threads, a_ticket_waits_at_w_slots_ahead_and_no_earlier);
	tcase_add_test(threads, nobody_enters_a_closed_gate);
	tcase_add_test(threads, closing_the_gate_waits_for_every_ticket_inside);
	tcase_add_test(threads, one_closes_the_gate_at_a_time);
	tcase_add_test(threads, tickets_are_disjoint_and_everything_below_the_cut_has_left);
	tcase_set_timeout(threads, 60);
	suite_add_tcase(suite, alone);
	suite_add_tcase(suite, threads);
	return suite;
}

int main(void)
{
	SRunner *runner = srunner_create(log_suite());

	srunner_set_fork_status(runner, CK_NOFORK);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
