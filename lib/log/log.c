/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The writing side of the log: credit, the gate, and the watermark. All of it is a few atomics; nobody holds a mutex
 * here.
 *
 * word        the next position, and in its top bit whether the gate is closed. A ticket is one compare-and-swap on it,
 *             so "closed" and "which tickets came before" cannot disagree.
 * watermark   the lowest unfinished ticket. Everything below is durable and published.
 * done[]      entry p % W is written by the ticket p when it leaves: (p, slots). An entry names its position, so nobody
 *             has to clear it: what an earlier lap left there names another one. No two unfinished tickets share an
 *             entry, because a ticket is given out only while it is less than W ahead of the watermark.
 * promised    head + credit that is out. Taking a ticket turns credit into head and leaves the sum alone, so that one
 *             comparison with start says whether the ring has room: promised - start <= slots, always.
 *
 * Moving the watermark: who leaves moves it over its own ticket when it stands there, or stores its entry; then moves it
 * over every finished ticket it finds there. No completion is left behind: let the watermark stand at v. Whoever moved it
 * there has looked at entry v afterwards. If it did not find v finished, then the ticket v looks at the watermark, or
 * stores its entry and then looks, later still, finds v, and moves it itself. This needs one order of (store entry, load watermark) and (move watermark, load
 * entry) seen by all: sequentially consistent atomics.
 *
 * Waiting: for the gate to open, for the window, for the gate to be empty. All are rare and short: others have only
 * stores left. They happen with file mutexes held, therefore not in a wait bucket, which nobody enters with a lock. A
 * waiter counts itself in waiters, reads wakes, then tests its predicate; who changes word or watermark looks at
 * waiters afterwards, and moves wakes. All sequentially consistent: one of them sees the other.
 */
#include "log/log.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/error.h"
#include "base/hook.h"
#include "base/spin.h"
#include "log/record.h"

#define CLOSED (UINT64_C(1) << 63)
#define WINDOW DAXL_LOG_WINDOW
#define DONE_SHIFT 4
#define DONE_MASK ((UINT64_C(1) << DONE_SHIFT) - 1)
#define DONE_NONE UINT64_MAX /* names a position that there is not */
#define SPINS 256u

_Static_assert(DAXL_REC_SLOTS_MAX <= DONE_MASK, "a slot count fits an entry");
_Static_assert((WINDOW & (WINDOW - 1)) == 0, "an entry's index is a mask away");

struct daxl_log {
	/* Constant after open, but for seed, which changes only while the gate is closed and empty. */
	void *memory; /* what was allocated; the struct lies in it on a cache line's start */
	struct daxl_media *media;
	char *ring;
	uint64_t slots;
	uint32_t seed;

	DAXL_CACHE_ALIGNED _Atomic uint64_t word;
	DAXL_CACHE_ALIGNED _Atomic uint64_t watermark;
	_Atomic uint32_t waiters;
	_Atomic uint32_t wakes; /* futex word */
	DAXL_CACHE_ALIGNED _Atomic uint64_t promised;
	_Atomic uint64_t start;
	DAXL_CACHE_ALIGNED _Atomic uint64_t done[WINDOW];
};

int daxl_log_open(struct daxl_media *media, daxl_byte_t off, daxl_byte_t bytes, uint64_t start, uint64_t head,
                  uint64_t epoch, struct daxl_log **ret_log)
{
	uint64_t size = daxl_media_size(media);
	uint64_t slots = bytes / DAXL_SLOT_SIZE;

	if (off % DAXL_SLOT_SIZE != 0 || bytes % DAXL_SLOT_SIZE != 0 || slots < DAXL_REC_SLOTS_MAX || off > size ||
	    bytes > size - off)
		return daxl_fail(EUCLEAN, "log ring: %" PRIu64 " bytes at %" PRIu64 " do not lie in %" PRIu64 " bytes",
		                 bytes, off, size);
	if (head >= DAXL_LOG_POSITION_MAX || start > head || head - start > slots)
		return daxl_fail(EUCLEAN, "log ring: positions %" PRIu64 " to %" PRIu64 " do not fit %" PRIu64 " slots",
		                 start, head, slots);

	void *memory = daxl_zalloc(sizeof(struct daxl_log) + DAXL_CACHE_LINE);
	if (!memory)
		return daxl_fail(ENOMEM, "log ring: no memory to open it");

	struct daxl_log *log = (void *)((char *)memory + (DAXL_CACHE_LINE - (uintptr_t)memory % DAXL_CACHE_LINE));
	log->memory = memory;
	log->media = media;
	log->ring = daxl_media_base(media) + off;
	log->slots = slots;
	log->seed = daxl_rec_seed(epoch);
	atomic_init(&log->word, head);
	atomic_init(&log->watermark, head);
	atomic_init(&log->waiters, 0);
	atomic_init(&log->wakes, 0);
	atomic_init(&log->promised, head);
	atomic_init(&log->start, start);
	for (size_t i = 0; i < WINDOW; i++)
		atomic_init(&log->done[i], DONE_NONE);
	*ret_log = log;
	return 0;
}

/* Every call on the log has returned and no ticket is out. */
void daxl_log_close(struct daxl_log *log)
{
	if (log)
		daxl_free(log->memory);
}

static uint64_t log_head(const struct daxl_log *log)
{
	return atomic_load(&log->word) & ~CLOSED;
}

/* Why credit for slots was refused. The head did not move around the load of promised, so both are of one moment. */
static int credit_refused(const struct daxl_log *log, unsigned slots)
{
	uint64_t head, promised;

	do {
		head = log_head(log);
		promised = atomic_load(&log->promised);
	} while (head != log_head(log));

	if (promised - head + slots > log->slots)
		return daxl_fail(ENOSPC, "log ring: %u slots asked for, %" PRIu64 " of %" PRIu64 " are promised",
		                 slots, promised - head, log->slots);
	return -EAGAIN;
}

int daxl_log_credit_take(struct daxl_log *log, unsigned slots)
{
	uint64_t start, promised;

	if (DAXL_FAULT("log.credit"))
		return daxl_fail(ENOSPC, "log ring: %u slots asked for, which a test refuses", slots);
	if (DAXL_FAULT("log.full"))
		return -EAGAIN;
	do {
		/*
		 * Pairs with the release in advance: the slots below start are no longer needed. Loaded first, so that
		 * start <= promised.
		 */
		start = atomic_load_explicit(&log->start, memory_order_acquire);
		promised = atomic_load(&log->promised);
		if (daxl_unlikely(promised - start + slots > log->slots))
			return credit_refused(log, slots);
	} while (!atomic_compare_exchange_weak(&log->promised, &promised, promised + slots));

	return log_head(log) - start >= log->slots / 2 ? 1 : 0;
}

void daxl_log_credit_give(struct daxl_log *log, unsigned slots)
{
	uint64_t head = log_head(log);
	uint64_t before = atomic_fetch_sub(&log->promised, slots);

	assert(before - slots >= head); /* what is given was out */
	(void)head;
	(void)before;
}

unsigned daxl_log_slots_for(size_t body_len)
{
	if (body_len <= DAXL_REC_PAYLOAD_FIRST)
		return 1;
	if (body_len > DAXL_REC_BODY_MAX)
		return 0;
	return 1 + (unsigned)((body_len - DAXL_REC_PAYLOAD_FIRST + DAXL_SLOT_SIZE - 1) / DAXL_SLOT_SIZE);
}

typedef bool (*ready_fn)(const struct daxl_log *log, uint64_t arg);

/* Returns once ready(log, arg) was true; every change that can make it true is followed by wake_waiters. */
static void wait_until(struct daxl_log *log, ready_fn ready, uint64_t arg)
{
	for (unsigned i = 0; i < SPINS; i++) {
		if (ready(log, arg))
			return;
		daxl_relax();
	}

	int saved = errno;
	atomic_fetch_add(&log->waiters, 1);
	for (;;) {
		uint32_t seen = atomic_load(&log->wakes);

		if (ready(log, arg))
			break;
		DAXL_HOOK("log-wait");
		(void)syscall(SYS_futex, &log->wakes, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
	}
	atomic_fetch_sub(&log->waiters, 1);
	errno = saved;
}

/* Call after a sequentially consistent change of word or watermark: pairs with the count in wait_until. */
static void wake_waiters(struct daxl_log *log)
{
	if (daxl_likely(atomic_load(&log->waiters) == 0))
		return;

	int saved = errno;
	atomic_fetch_add(&log->wakes, 1);
	(void)syscall(SYS_futex, &log->wakes, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
	errno = saved;
}

static bool ready_gate_open(const struct daxl_log *log, uint64_t arg)
{
	(void)arg;
	return (atomic_load(&log->word) & CLOSED) == 0;
}

static bool ready_to_enter(const struct daxl_log *log, uint64_t arg)
{
	(void)arg;
	/* The watermark first: it is then not above the position. */
	uint64_t watermark = atomic_load(&log->watermark);
	uint64_t word = atomic_load(&log->word);

	return (word & CLOSED) == 0 && word - watermark < WINDOW;
}

static bool ready_empty_below(const struct daxl_log *log, uint64_t position)
{
	return atomic_load(&log->watermark) == position;
}

void daxl_log_enter(struct daxl_log *log, unsigned slots, struct daxl_ticket *ret_ticket)
{
	uint64_t word, watermark;

	assert(slots >= 1 && slots <= DAXL_REC_SLOTS_MAX);
	for (;;) {
		/* The watermark first: it is then not above the position. */
		watermark = atomic_load(&log->watermark);
		word = atomic_load(&log->word);
		if (daxl_unlikely((word & CLOSED) != 0 || word - watermark >= WINDOW)) {
			wait_until(log, ready_to_enter, 0);
			continue;
		}
		if (daxl_likely(atomic_compare_exchange_weak(&log->word, &word, word + slots)))
			break;
	}
	assert(word + slots <= atomic_load(&log->promised)); /* the caller had credit */
	ret_ticket->position = word;
	ret_ticket->slots = slots;
	ret_ticket->lag = (uint32_t)(word - watermark);
	DAXL_HOOK("log-entered");
}

void daxl_log_store(struct daxl_log *log, const struct daxl_ticket *ticket, unsigned type, unsigned flags,
                    const void *body, size_t body_len)
{
	_Alignas(DAXL_SLOT_SIZE) uint8_t image[DAXL_REC_BYTES_MAX];
	size_t len = (size_t)ticket->slots * DAXL_SLOT_SIZE;
	struct daxl_md_rec *rec = (struct daxl_md_rec *)(void *)image;

	assert(body_len <= len - DAXL_REC_BODY_OFF);
	memset(image, 0, DAXL_SLOT_SIZE);
	if (daxl_unlikely(len > DAXL_SLOT_SIZE)) /* most records have one slot */
		memset(image + DAXL_SLOT_SIZE, 0, len - DAXL_SLOT_SIZE);
	rec->position = ticket->position;
	rec->lag = ticket->lag;
	rec->type = (uint8_t)type;
	rec->slots = (uint8_t)ticket->slots;
	rec->flags = (uint16_t)flags;
	if (body_len)
		memcpy(image + DAXL_REC_BODY_OFF, body, body_len);
	rec->crc = daxl_rec_crc(log->seed, image, ticket->slots);

	uint64_t slot = ticket->position % log->slots;
	size_t first = (size_t)daxl_min_u64(ticket->slots, log->slots - slot) * DAXL_SLOT_SIZE;
	daxl_media_copy(log->media, log->ring + slot * DAXL_SLOT_SIZE, image, first);
	if (daxl_unlikely(first < len))
		daxl_media_copy(log->media, log->ring, image + first, len - first);
	DAXL_HOOK("log-stored");
}

void daxl_log_leave(struct daxl_log *log, const struct daxl_ticket *ticket)
{
	bool moved = atomic_load(&log->watermark) == ticket->position;

	if (daxl_likely(moved)) /* nobody else moves it over this ticket, which is not marked finished */
		atomic_store(&log->watermark, ticket->position + ticket->slots);
	else
		atomic_store(&log->done[ticket->position % WINDOW], ticket->position << DONE_SHIFT | ticket->slots);
	for (;;) {
		uint64_t watermark = atomic_load(&log->watermark);
		uint64_t done = atomic_load(&log->done[watermark % WINDOW]);

		if (done >> DONE_SHIFT != watermark)
			break;
		if (atomic_compare_exchange_strong(&log->watermark, &watermark, watermark + (done & DONE_MASK)))
			moved = true;
	}
	if (moved)
		wake_waiters(log);
}

uint64_t daxl_log_gate_close(struct daxl_log *log)
{
	uint64_t word;

	/* Whoever finds the bit set belongs behind the one who set it. */
	while ((word = atomic_fetch_or(&log->word, CLOSED)) & CLOSED)
		wait_until(log, ready_gate_open, 0);
	wait_until(log, ready_empty_below, word);
	return word;
}

void daxl_log_gate_open(struct daxl_log *log)
{
	uint64_t word = atomic_fetch_and(&log->word, ~CLOSED);

	assert(word & CLOSED);
	(void)word;
	wake_waiters(log);
}

void daxl_log_advance(struct daxl_log *log, uint64_t start)
{
	assert(start >= atomic_load(&log->start) && start <= atomic_load(&log->watermark));
	/* Pairs with the acquire in credit_take: the checkpoint's stores come before any that reuse the slots. */
	atomic_store_explicit(&log->start, start, memory_order_release);
}

void daxl_log_set_epoch(struct daxl_log *log, uint64_t epoch)
{
	assert(log_head(log) == atomic_load(&log->watermark)); /* no ticket is out */
	log->seed = daxl_rec_seed(epoch);
}

/* A snapshot whose fields may be of slightly different moments; start <= watermark <= head holds. */
void daxl_log_stat(const struct daxl_log *log, struct daxl_log_stat *ret)
{
	ret->slots = log->slots;
	ret->start = atomic_load(&log->start);
	ret->watermark = atomic_load(&log->watermark);
	ret->head = log_head(log);

	uint64_t promised = atomic_load(&log->promised);
	ret->credit_out = promised > ret->head ? promised - ret->head : 0;
}
