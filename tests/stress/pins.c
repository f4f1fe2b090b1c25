/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * P14, L13: pins and unpins against breaks, --rounds N of them in all (in thousands with a k, millions with an m). Threads take leases, pin and unpin until they are
 * recalled, and take new ones; each tells in a word of its own whether it is inside a pin. Breaks come whenever some pins were made. When one finds everything
 * drained nobody is inside; a wake-up that is lost leaves it asleep for ever, and the watchdog says so.
 */
#include "stress.h"

#include <sched.h>

#include "base/bucket.h"
#include "base/hook.h"

#define PINNERS 3
#define BETWEEN_BREAKS 1000 /* pins: a thread makes so many, then lets the breaker come first */

struct pinner {
	_Alignas(64) uint64_t pins; /* atomic, but for its own thread */
	bool inside;                /* atomic */
	uint64_t leases;
};

static struct pinner pinners[PINNERS];
static struct daxl_file *f;
static uint64_t rounds;
static _Thread_local bool is_breaker; /* a grant passes the same point, and others may be inside pins then */
static uint64_t looks;                /* by the breaker */
static uint64_t breaks; /* atomic: that have ended */

static uint64_t pins_made(void)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < PINNERS; i++)
		n += __atomic_load_n(&pinners[i].pins, __ATOMIC_RELAXED);
	return n;
}

static void nobody_inside(const char *point, void *arg)
{
	(void)arg;
	if (!is_breaker || strcmp(point, "op:drained") != 0)
		return;
	for (unsigned i = 0; i < PINNERS; i++)
		ck_assert_msg(!__atomic_load_n(&pinners[i].inside, __ATOMIC_RELAXED), "thread %u is inside a pin", i);
	looks++;
}

/* Every other lease is kept for longer than a break stays awake, so that some wait awake and some asleep. */
static void linger(const struct pinner *p)
{
	for (uint64_t until = daxl_now_ns() + p->leases % 2 * 20000; daxl_now_ns() < until;)
		;
}

static int pin_on(void *arg)
{
	struct pinner *p = arg;
	uint64_t share = rounds / PINNERS + 1, n = 0, until = BETWEEN_BREAKS, seen = 0;

	while (n < share) {
		struct holder h = { .returns = p->leases % 3 != 0 };

		stress_at("taking a lease");
		holder_take(&h, f, 0, BLK, p->leases % 2 ? DAXL_LEASE_READ : DAXL_LEASE_WRITE, 0);
		stress_at("pinning");
		while (n < share && daxl_lease_pin(h.lease) == 0) {
			__atomic_store_n(&p->inside, true, __ATOMIC_RELAXED);
			__atomic_store_n(&p->pins, ++n, __ATOMIC_RELAXED);
			__atomic_store_n(&p->inside, false, __ATOMIC_RELAXED);
			daxl_lease_unpin(h.lease);
			while (n >= until && daxl_lease_state(h.lease) == DAXL_LEASE_LIVE && seen == __atomic_load_n(&breaks, __ATOMIC_RELAXED))
				sched_yield();
			if (n >= until) {
				until = n + BETWEEN_BREAKS;
				seen = __atomic_load_n(&breaks, __ATOMIC_RELAXED);
			}
		}
		linger(p);
		p->leases++;
		holder_end(&h); /* returns it, if the recall did not */
	}
	return 0;
}

static uint64_t parse(const char *text)
{
	char *end;
	uint64_t n = strtoull(text, &end, 0);

	return *end == 'k' ? n * 1000 : *end == 'm' ? n * 1000000 : n;
}

START_TEST(p14_no_wake_up_is_lost_in_many_pins)
{
	struct job jobs[PINNERS];
	uint64_t start = stress_now_ms(), leases = 0;

	stress_begin("P14 pins");
	f = stress_file("f", BLK);
	is_breaker = true;
	daxl_hook_set(nobody_inside, NULL);
	for (unsigned i = 0; i < PINNERS; i++)
		job_start_fn(&jobs[i], pin_on, &pinners[i]);
	for (uint64_t last = 0; last < rounds; __atomic_fetch_add(&breaks, 1, __ATOMIC_RELAXED)) {
		struct call call = CALL(.op = breaks % 2 ? OP_BREAK_UNMAP : OP_ZERO_KEEP, .file = f, .len = BLK);

		while (pins_made() - last < BETWEEN_BREAKS && pins_made() < rounds)
			sched_yield();
		last = pins_made();
		call.wait.timeout_ms = DAXL_WAIT_FOREVER;
		must(call_run(&call));
	}
	for (unsigned i = 0; i < PINNERS; i++) {
		must(job_join(&jobs[i]));
		leases += pinners[i].leases;
	}
	daxl_hook_set(NULL, NULL);
	printf("%llu pins of %llu leases against %llu breaks in %llu ms\n", (unsigned long long)pins_made(), (unsigned long long)leases,
	       (unsigned long long)breaks, (unsigned long long)(stress_now_ms() - start));
	ck_assert_uint_ge(pins_made(), rounds);
	ck_assert_uint_ge(looks, breaks);
	must(daxl_close(f));
	stress_end();
}
END_TEST

int main(int argc, char **argv)
{
	Suite *suite = suite_create("pins");
	TCase *tc = tcase_create("pins");

	rounds = parse("200k");
	if (argc == 3 && strcmp(argv[1], "--rounds") == 0) {
		rounds = parse(argv[2]);
		stress_watch_ms = 60000 + rounds / 50; /* under a sanitizer on a busy machine, too */
	} else if (argc != 1) {
		fprintf(stderr, "usage: %s [--rounds N[k|m]]\n", argv[0]);
		return EXIT_FAILURE;
	}
	tcase_set_timeout(tc, (double)stress_watch_ms / 1000.0 + 60.0);
	tcase_add_test(tc, p14_no_wake_up_is_lost_in_many_pins);
	suite_add_tcase(suite, tc);
	return stress_main(1, argv, suite);
}
