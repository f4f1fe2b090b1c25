/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Everything at once: devices that read and write under pins, prompt, polite and late ones; operations of all kinds with
 * every way of waiting; readers, and somebody who cancels. Six files: three whose blocks stay where they are, so that
 * each word must carry its file and place (P5, P24, P25, P32, L1, L2, L12), and three among which blocks move and are
 * shared, so that it must carry one of the three. At the end everything is given back, and nothing is left in limbo.
 *
 * usage: stress_random [--seconds N]     DAXL_SEED as always
 */
#include "stress.h"

#include <poll.h>
#include <sched.h>

#define B(n) ((off_t)((n) * BLK))
#define STAY 3u
#define FILES 6u
#define LAST_BLOCK 24u

#define DEVICES 4u
#define OPERATORS 4u
#define READERS 1u
#define THREADS (DEVICES + OPERATORS + READERS + 1u)

static struct daxl_file *files[FILES];
static uint64_t ids[FILES];
static bool stop;                 /* atomic */
static uint64_t counts[OP_COUNT]; /* atomic: that were carried out */
static uint64_t grants, transfers, fences, revoked, gave_up, cancelled; /* atomic */

static struct {
	pthread_mutex_t mutex;
	struct daxl_cancel *cancel; /* of the call under way */
} slots[OPERATORS];

static bool stopped(void)
{
	return __atomic_load_n(&stop, __ATOMIC_RELAXED);
}

static void add(uint64_t *counter)
{
	__atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
}

static void check(const char *buf, size_t len, unsigned file, off_t off)
{
	int bad = file < STAY ? tag_foreign(buf, len, ids[file], off) : tag_outside(buf, len, ids[STAY], ids[FILES - 1]);

	ck_assert_msg(!bad, "a foreign tag in file %u", file);
}

/* --- devices --- */

enum manners { PROMPT, POLITE, LATE };

struct device {
	struct holder h;
	unsigned file;
	uint32_t mode;
	pthread_mutex_t transfer; /* held for each transfer; the fence waits for it */
	bool off;                 /* guarded by transfer: fenced */
	struct daxl_extent ext[LAST_BLOCK];
	size_t n;
	uint64_t round;
};

/* Really stops the device: after this no transfer lands any more. */
static void power_off(struct holder *h)
{
	struct device *d = h->arg;

	pthread_mutex_lock(&d->transfer);
	d->off = true;
	pthread_mutex_unlock(&d->transfer);
	add(&fences);
}

/* One block of one extent: looked at, and written by a WRITE device. */
static void transfer(struct device *d, const struct daxl_extent *e, uint64_t at)
{
	char *addr = (char *)e->addr + at;
	off_t off = (off_t)(e->file_off + at);

	pthread_mutex_lock(&d->transfer);
	if (!d->off) {
		check(addr, BLK, d->file, off);
		if (d->mode == DAXL_LEASE_WRITE)
			tag_fill(addr, BLK, ids[d->file], off, d->round);
		add(&transfers);
	}
	pthread_mutex_unlock(&d->transfer);
}

static void transfer_all(struct device *d)
{
	for (size_t i = 0; i < d->n; i++)
		for (uint64_t at = 0; d->ext[i].addr && at < d->ext[i].len; at += BLK)
			transfer(d, &d->ext[i], at);
	d->round++;
}

/* Its work while it has the lease; at least one pin is out whenever a byte is touched. */
static void work(struct device *d, enum manners manners, uint64_t *rnd)
{
	struct daxl_lease *lease = d->h.lease;

	if (daxl_lease_pin(lease) != 0)
		return;
	ssize_t n = daxl_lease_extents(lease, d->ext, LAST_BLOCK);

	d->n = n > 0 ? (size_t)n : 0;
	for (unsigned i = 0; d->n && i < 3; i++) {
		transfer_all(d);
		sched_yield();
	}
	if (d->mode == DAXL_LEASE_WRITE && d->n && stress_random(rnd) % 2) {
		const struct daxl_extent *e = &d->ext[stress_random(rnd) % d->n];
		int rc = daxl_lease_commit(lease, (off_t)e->file_off, (off_t)e->len, -1);

		ck_assert_msg(rc == 0 || rc == -ESTALE || rc == -ERANGE, "commit: %d (%s)", rc, daxl_errormsg());
	}
	if (stress_random(rnd) % 4 == 0)
		must(daxl_lease_return(lease)); /* with the pin out */
	uint64_t until = stress_now_ms() + (manners == LATE ? 15 : 0);

	while (d->n && stress_now_ms() < until && !stopped() && daxl_lease_state(lease) != DAXL_LEASE_LIVE)
		transfer_all(d);
	daxl_lease_unpin(lease);
}

static int device_main(void *arg)
{
	uint64_t rnd = stress_seed() + (uint64_t)(uintptr_t)arg;

	while (!stopped()) {
		static const uint32_t some_flags[] = { 0, 0, 0, DAXL_LEASE_EXCLUSIVE, DAXL_LEASE_STABLE, DAXL_LEASE_FILL_OK };
		struct device d = { .transfer = PTHREAD_MUTEX_INITIALIZER };
		enum manners manners = (enum manners)(stress_random(&rnd) % 3);
		struct daxl_wait wait = DAXL_WAIT_INIT;
		struct daxl_lease_opts opts;

		d.file = (unsigned)(stress_random(&rnd) % FILES);
		d.mode = stress_random(&rnd) % 2 ? DAXL_LEASE_WRITE : DAXL_LEASE_READ;
		d.h.arg = &d;
		d.h.on_fence = power_off;
		d.h.returns = manners == PROMPT;
		opts = holder_opts(&d.h, d.mode, some_flags[stress_random(&rnd) % 6]);
		opts.owner = stress_random(&rnd) % 3 ? 0 : daxl_owner_new();
		opts.wait = &wait;
		wait.timeout_ms = (int64_t)(stress_random(&rnd) % 20);
		off_t off = B(stress_random(&rnd) % 20), len = B(1 + stress_random(&rnd) % 4);

		stress_at("acquire");
		int rc = daxl_lease_acquire(files[d.file], off, len, &opts, &d.h.lease);

		ck_assert_msg(rc == 0 || rc == -EAGAIN || rc == -ETIMEDOUT || rc == -ENOSPC, "acquire: %d (%s)", rc, daxl_errormsg());
		if (rc)
			continue;
		add(&grants);
		stress_at("a device's work");
		for (unsigned i = 0; i < 4; i++)
			work(&d, manners, &rnd);
		if (stress_random(&rnd) % 4 == 0)
			(void)daxl_lease_return_range(d.h.lease, off, BLK);
		if (stress_random(&rnd) % 4 == 0)
			(void)daxl_lease_downgrade(d.h.lease);
		if (daxl_lease_state(d.h.lease) == DAXL_LEASE_REVOKED)
			add(&revoked);
		stress_at("ending a lease");
		holder_end(&d.h); /* a recall or fence that runs elsewhere may use d until then */
		ck_assert_uint_le(holder_recalls(&d.h), 1);
	}
	return 0;
}

/* --- operators --- */

static struct call random_call(uint64_t *rnd)
{
	static const enum op stay[] = { OP_WRITE, OP_WRITE, OP_ATOMIC_WRITE, OP_ALLOCATE, OP_ALLOCATE_KEEP, OP_PUNCH, OP_ZERO,
		                        OP_ZERO_KEEP, OP_TRUNCATE, OP_BREAK_WRITE, OP_BREAK_UNMAP, OP_UNSHARE };
	static const enum op move[] = { OP_COLLAPSE, OP_INSERT, OP_CLONE, OP_DEDUPE, OP_EXCHANGE, OP_COPY, OP_WRITE, OP_UNSHARE,
		                        OP_TRUNCATE, OP_CLONE };
	struct call c = CALL(.op = OP_READ);
	unsigned file = (unsigned)(stress_random(rnd) % FILES);

	c.file = files[file];
	c.op = file < STAY || stress_random(rnd) % 3 == 0 ? stay[stress_random(rnd) % 12] : move[stress_random(rnd) % 10];
	c.other = files[STAY + stress_random(rnd) % (FILES - STAY)];
	c.off = B(stress_random(rnd) % 20);
	c.other_off = B(stress_random(rnd) % 20);
	c.len = B(1 + stress_random(rnd) % 4);
	if (c.op < OP_COLLAPSE && stress_random(rnd) % 2) { /* edges inside blocks; words stay whole */
		c.off += (off_t)(stress_random(rnd) % BLK & ~7u);
		c.len = (off_t)(8 + (stress_random(rnd) % (2 * BLK) & ~7u));
	}
	if (c.op == OP_TRUNCATE && stress_random(rnd) % 2)
		c.off += (off_t)(stress_random(rnd) % BLK & ~7u);
	static const int64_t times[] = { 0, 1, 5, 30, 60 };

	c.wait.timeout_ms = times[stress_random(rnd) % 5];
	c.wait.on_timeout = (int)(stress_random(rnd) % 3);
	c.wait.owner = stress_random(rnd) % 4 ? 0 : daxl_owner_new();
	if (c.wait.on_timeout == DAXL_ON_TIMEOUT_LIMBO && (c.op == OP_COLLAPSE || c.op == OP_INSERT || c.op == OP_EXCHANGE ||
	                                                   c.op == OP_BREAK_WRITE || c.op == OP_BREAK_UNMAP ||
	                                                   c.op == OP_ALLOCATE || c.op == OP_ALLOCATE_KEEP))
		c.wait.on_timeout = DAXL_ON_TIMEOUT_FENCE;
	return c;
}

static int operator_main(void *arg)
{
	unsigned me = (unsigned)(uintptr_t)arg;
	uint64_t rnd = stress_seed() + 1000 + me;

	while (!stopped()) {
		struct call c = random_call(&rnd);
		struct daxl_cancel *cancel;

		if (c.op == OP_COPY) /* waits as the handle says, which others use too */
			c.wait = (struct daxl_wait)DAXL_WAIT_INIT;
		must(daxl_cancel_new(&cancel));
		c.wait.cancel = c.op == OP_COPY ? NULL : cancel;
		pthread_mutex_lock(&slots[me].mutex);
		slots[me].cancel = cancel;
		pthread_mutex_unlock(&slots[me].mutex);
		stress_at(op_name[c.op]);
		int rc = c.op == OP_COPY ? (int)daxl_copy_range(c.other, c.other_off, c.file, c.off, (size_t)c.len) : call_run(&c);

		stress_at("between operations");
		pthread_mutex_lock(&slots[me].mutex);
		slots[me].cancel = NULL;
		pthread_mutex_unlock(&slots[me].mutex);
		daxl_cancel_free(cancel);
		ck_assert_msg(rc >= 0 || rc == -EAGAIN || rc == -ETIMEDOUT || rc == -ECANCELED || rc == -EINVAL || rc == -ENOSPC,
		              "%s [%lld, +%lld): %d (%s)", op_name[c.op], (long long)c.off, (long long)c.len, rc, daxl_errormsg());
		if (rc >= 0)
			add(&counts[c.op]);
		else if (rc == -ECANCELED)
			add(&cancelled);
		else
			add(&gave_up);
	}
	return 0;
}

static int cancel_main(void *arg)
{
	uint64_t rnd = stress_seed() + 3000;

	(void)arg;
	while (!stopped()) {
		unsigned i = (unsigned)(stress_random(&rnd) % OPERATORS);
		struct daxl_holder who[16];

		pthread_mutex_lock(&slots[i].mutex);
		if (slots[i].cancel && stress_random(&rnd) % 64 == 0)
			daxl_cancel_all(slots[i].cancel);
		pthread_mutex_unlock(&slots[i].mutex);
		ck_assert_int_ge((int)daxl_busy(files[stress_random(&rnd) % FILES], 0, DAXL_TO_END, who, 16), 0);
		if (stress_random(&rnd) % 200 == 0)
			must(daxl_pool_checkpoint(pool));
		sched_yield();
	}
	return 0;
}

static int reader_main(void *arg)
{
	uint64_t rnd = stress_seed() + 2000 + (uint64_t)(uintptr_t)arg;
	static char buf[B(4)];

	while (!stopped()) {
		unsigned file = (unsigned)(stress_random(&rnd) % FILES);
		off_t off = B(stress_random(&rnd) % LAST_BLOCK);

		stress_at("read");
		ssize_t n = daxl_pread(files[file], buf, sizeof(buf), off);

		ck_assert_int_ge((int)n, 0);
		check(buf, (size_t)n & ~(size_t)7, file, off);
	}
	return 0;
}

static unsigned seconds = 3;

START_TEST(everything_at_once)
{
	struct daxl_pool_opts opts = DAXL_POOL_OPTS_INIT;
	struct job jobs[THREADS];
	struct daxl_pool_stat st;
	unsigned n = 0;

	opts.lease_break_ms = 10;
	stress_watch_ms = (uint64_t)seconds * 1000u + 90000u;
	stress_begin_with("random", &opts);
	stop = false;
	(void)stress_seed();
	for (unsigned i = 0; i < FILES; i++) {
		char name[8];

		snprintf(name, sizeof(name), "f%u", i);
		files[i] = stress_file(name, B(16));
		ids[i] = file_id(files[i]);
	}
	for (unsigned i = 0; i < OPERATORS; i++) {
		pthread_mutex_init(&slots[i].mutex, NULL);
		job_start_fn(&jobs[n++], operator_main, (void *)(uintptr_t)i);
	}
	for (unsigned i = 0; i < DEVICES; i++)
		job_start_fn(&jobs[n++], device_main, (void *)(uintptr_t)i);
	for (unsigned i = 0; i < READERS; i++)
		job_start_fn(&jobs[n++], reader_main, (void *)(uintptr_t)i);
	job_start_fn(&jobs[n++], cancel_main, NULL);
	for (uint64_t end = stress_now_ms() + (uint64_t)seconds * 1000u; stress_now_ms() < end;)
		poll(NULL, 0, 20); /* the run's length is its subject, not a synchronisation */
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < n; i++)
		must(job_join(&jobs[i]));
	for (int op = 0; op < OP_COUNT; op++)
		if (counts[op])
			printf("%s %llu, ", op_name[op], (unsigned long long)counts[op]);
	printf("gave up %llu, cancelled %llu; %llu grants, %llu transfers, %llu fences, %llu found themselves revoked\n",
	       (unsigned long long)gave_up, (unsigned long long)cancelled, (unsigned long long)grants, (unsigned long long)transfers,
	       (unsigned long long)fences, (unsigned long long)revoked);
	must(daxl_pool_stat(pool, &st));
	ck_assert_uint_eq(st.leases, 0);
	ck_assert_uint_eq(st.limbo_blocks, 0);
	for (unsigned i = 0; i < FILES; i++) {
		must_be(daxl_busy(files[i], 0, DAXL_TO_END, NULL, 0), 0);
		must(daxl_truncate(files[i], 0, NULL));
		must(daxl_close(files[i]));
	}
	stress_at("waiting for freed blocks");
	do
		must(daxl_pool_stat(pool, &st));
	while (st.pending_blocks && sched_yield() == 0);
	ck_assert_uint_eq(st.shared_blocks, 0);
	stress_end();
}
END_TEST

int main(int argc, char **argv)
{
	Suite *suite = suite_create("random");
	TCase *tc = tcase_create("random");

	if (argc == 3 && strcmp(argv[1], "--seconds") == 0) {
		seconds = (unsigned)strtoul(argv[2], NULL, 0);
	} else if (argc > 1) {
		fprintf(stderr, "usage: %s [--seconds N]\n", argv[0]);
		return EXIT_FAILURE;
	}
	tcase_set_timeout(tc, seconds + 120.0);
	tcase_add_test(tc, everything_at_once);
	suite_add_tcase(suite, tc);
	return stress_main(1, argv, suite);
}
