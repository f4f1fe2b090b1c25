/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Bytes: whatever moves, is freed, shared or filled while devices, readers and writers are at it, nobody ever sees a
 * byte that belongs elsewhere. Every 8-byte word says whose it is (stress.h).
 */
#include "stress.h"

#include <sched.h>

#define B(n) ((off_t)((n) * BLK))

static struct daxl_file *f, *g;
static bool stop;     /* atomic */
static unsigned seen; /* atomic: foreign tags */

static bool stopped(void)
{
	return __atomic_load_n(&stop, __ATOMIC_RELAXED);
}

static void foreign(int found)
{
	if (found)
		__atomic_fetch_add(&seen, 1, __ATOMIC_RELAXED);
}

static struct call waiting(enum op op, struct daxl_file *file, off_t off, off_t len)
{
	struct call call = CALL(.op = op, .file = file, .off = off, .len = len);

	call.wait.timeout_ms = DAXL_WAIT_FOREVER;
	return call;
}

/* --- P5 --- */

/* Where the blocks of a lease over blocks 0 to 3 are; false when it has been given back already. */
static bool addresses(const struct daxl_lease *lease, char **addr)
{
	struct daxl_extent exts[4];
	ssize_t n = daxl_lease_extents((struct daxl_lease *)(uintptr_t)lease, exts, 4);

	for (ssize_t i = 0; i < n; i++)
		for (uint64_t at = 0; at < exts[i].len; at += BLK)
			addr[(exts[i].file_off + at) / BLK] = (char *)exts[i].addr + at;
	return n > 0;
}

/* A device that reads and writes slowly under a pin: blocks of f carry tags of f, or zeroes. */
static int slow_device(void *arg)
{
	uint64_t id = file_id(f), round = 0;

	(void)arg;
	while (!stopped()) {
		struct holder h = { .returns = true };
		char *addr[4];

		holder_take(&h, f, 0, B(4), DAXL_LEASE_WRITE, 0);
		bool there = addresses(h.lease, addr);

		while (there && !stopped() && daxl_lease_pin(h.lease) == 0) {
			for (off_t at = 0; at < B(4); at += BLK) {
				foreign(tag_foreign(addr[at / BLK], BLK, id, at));
				tag_fill(addr[at / BLK], BLK, id, at, round);
				if (at % B(2) == 0)
					sched_yield();
			}
			daxl_lease_unpin(h.lease);
			round++;
		}
		holder_end(&h);
	}
	return 0;
}

/* Another file takes what f lets go, fills it with its own tags, and looks at them. */
static int consumer(void *arg)
{
	static char buf[2][B(8)];
	char *mine = buf[*(const int *)arg];
	uint64_t id = file_id(g);
	off_t base = B(8) * *(const int *)arg;

	while (!stopped()) {
		tag_fill(mine, (size_t)B(8), id, base, 1);
		must_be(daxl_pwrite(g, mine, (size_t)B(8), base), B(8));
		must_be(daxl_pread(g, mine, (size_t)B(8), base), B(8));
		foreign(tag_foreign(mine, (size_t)B(8), id, base));
		for (off_t i = 0; i < B(8); i += 8)
			foreign(*(uint64_t *)(void *)(mine + i) == 0); /* its own bytes are not lost either */
		struct call call = waiting(OP_PUNCH, g, base, B(8));

		must(call_run(&call));
	}
	return 0;
}

/* P5, P16, L1, L2, L3: devices pin and store without end while the blocks under them are cut off and given to another file. */
START_TEST(p5_no_pin_slips_under_a_truncate)
{
	static const int which[2] = { 0, 1 };
	struct job jobs[4];

	stress_begin("P5");
	stop = false;
	seen = 0;
	f = stress_file("f", B(4));
	g = stress_file("g", 0);
	for (unsigned i = 0; i < 2; i++)
		job_start_fn(&jobs[i], slow_device, NULL);
	for (unsigned i = 0; i < 2; i++)
		job_start_fn(&jobs[2 + i], consumer, (void *)(uintptr_t)&which[i]);
	for (unsigned i = 0; i < 300; i++) {
		struct call call = waiting(i % 3 == 2 ? OP_PUNCH : OP_TRUNCATE, f, 0, B(4));

		must(call_run(&call));
		if (i % 3 == 0)
			must(daxl_truncate(f, B(2) + 8, NULL));
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < 4; i++)
		must(job_join(&jobs[i]));
	ck_assert_uint_eq(seen, 0);
	must(daxl_close(f));
	must(daxl_close(g));
	stress_end();
}
END_TEST

/* --- P18, P20 --- */

static pthread_barrier_t barrier;

static int fill_hole(void *arg)
{
	off_t at = *(const int *)arg * (BLK / 8);
	char buf[BLK / 8];

	for (unsigned i = 0; i < 150; i++) {
		tag_fill(buf, sizeof(buf), 5, at, i);
		pthread_barrier_wait(&barrier);
		must_be(daxl_pwrite(f, buf, sizeof(buf), at), (long long)sizeof(buf));
		pthread_barrier_wait(&barrier);
	}
	return 0;
}

/* P18: eight threads write parts of one hole at once: all of the parts are there, nothing else is. */
START_TEST(p18_many_fill_one_hole)
{
	static int which[8];
	struct job jobs[8];
	char buf[BLK];

	stress_begin("P18 fill");
	f = stress_file("f", BLK);
	pthread_barrier_init(&barrier, NULL, 9);
	for (int i = 0; i < 8; i++) {
		which[i] = i;
		job_start_fn(&jobs[i], fill_hole, &which[i]);
	}
	for (unsigned i = 0; i < 150; i++) {
		struct call call = waiting(i % 2 ? OP_PUNCH : OP_ZERO, f, 0, BLK);

		must(call_run(&call));
		pthread_barrier_wait(&barrier);
		pthread_barrier_wait(&barrier);
		must_be(daxl_pread(f, buf, BLK, 0), BLK);
		for (off_t k = 0; k < BLK; k += 8)
			ck_assert_uint_eq(*(uint64_t *)(void *)(buf + k), tag_make(5, (uint64_t)k, i));
	}
	for (unsigned i = 0; i < 8; i++)
		must(job_join(&jobs[i]));
	pthread_barrier_destroy(&barrier);
	must(daxl_close(f));
	stress_end();
}
END_TEST

static char read_buf[BLK];

static int read_block(void *arg)
{
	(void)arg;
	return daxl_pread(f, read_buf, BLK, 0) == BLK ? 0 : -EIO;
}

/* P18, L10: a reader held between look-up and copy, while its block is freed and another file wants it. */
START_TEST(p18_a_reader_is_not_given_a_reused_block)
{
	struct job job;
	char buf[BLK];

	stress_begin("P18 reader");
	f = stress_file("f", B(2));
	g = stress_file("g", 0);
	uint64_t id = file_id(f), other = file_id(g);

	points_on();
	point_park("read:looked-up");
	job_start_fn(&job, read_block, NULL);
	point_wait_parked("read:looked-up");
	must(daxl_truncate(f, 0, NULL));
	/* All there is, so that the block would be among it. */
	for (off_t n = 0;; n++) {
		tag_fill(buf, BLK, other, B(n), 1);
		struct iovec iov = { .iov_base = buf, .iov_len = BLK };

		if (n == (off_t)(POOL_SIZE / BLK) - 64 * 10)
			break;
		if (daxl_pwritev(g, &iov, 1, B(n), 0, NULL) < 0)
			break;
	}
	point_release("read:looked-up");
	must(job_join(&job));
	points_off();
	ck_assert_int_eq(tag_foreign(read_buf, BLK, id, 0), 0);
	must(daxl_close(f));
	must(daxl_close(g));
	stress_end();
}
END_TEST

/* P20, L2: the second WRITE grant over an unwritten run leaves the first holder's data alone. */
START_TEST(p20_a_second_writer_does_not_wipe_the_first)
{
	struct holder a = { 0 }, b = { 0 }, c = { 0 };
	char buf[BLK];

	stress_begin("P20");
	f = stress_file("f", 0);
	must(daxl_fallocate(f, FALLOC_FL_KEEP_SIZE, 0, B(4), NULL));
	holder_take(&a, f, 0, B(2), DAXL_LEASE_WRITE, 0);
	tag_fill(holder_addr(&a, 0), (size_t)B(2), 9, 0, 1);
	holder_take(&b, f, B(1), B(2), DAXL_LEASE_WRITE, 0);
	ck_assert_uint_eq(holder_recalls(&a), 0);
	ck_assert_int_eq(tag_foreign(holder_addr(&b, B(1)), BLK, 9, B(1)), 0);
	ck_assert(!all_zero(holder_addr(&b, B(1)), BLK));
	ck_assert(all_zero(holder_addr(&b, B(2)), BLK));
	must(daxl_lease_commit(a.lease, 0, B(2), B(2)));
	must_be(daxl_pread(f, buf, BLK, B(1)), BLK);
	ck_assert_int_eq(tag_foreign(buf, BLK, 9, B(1)), 0);
	/* A returned holder's pin is waited for: what its device still stores must not land in zeroes that were granted. */
	tag_fill(holder_addr(&b, B(2)), BLK, 9, B(2), 1);
	must(daxl_lease_pin(b.lease));
	must(daxl_lease_return(b.lease));
	struct daxl_lease_opts opts = holder_opts(&c, DAXL_LEASE_WRITE, DAXL_LEASE_NOWAIT);

	must_be(daxl_lease_acquire(f, B(2), BLK, &opts, &c.lease), -EAGAIN);
	daxl_lease_unpin(b.lease);
	must(daxl_lease_acquire(f, B(2), BLK, &opts, &c.lease));
	ck_assert(all_zero(holder_addr(&c, B(2)), BLK));
	daxl_lease_free(a.lease);
	daxl_lease_free(b.lease);
	daxl_lease_free(c.lease);
	must(daxl_close(f));
	stress_end();
}
END_TEST

/* L10, L11: what a grant shows is zeroes or the file's bytes, never what a block held before; and it is the file's alone. */
START_TEST(a_grant_shows_no_stale_bytes_and_no_shared_block)
{
	struct holder h = { 0 };
	char buf[BLK];

	stress_begin("L10");
	f = stress_file("f", B(8));
	must(daxl_truncate(f, 0, NULL)); /* old tags are in free blocks now */
	must(daxl_truncate(f, B(4), NULL));
	must(daxl_fallocate(f, 0, B(4), B(2), NULL));
	holder_take(&h, f, 0, B(8), DAXL_LEASE_WRITE, 0);
	for (off_t at = 0; at < B(8); at += BLK) {
		ck_assert_ptr_nonnull(holder_addr(&h, at));
		ck_assert(all_zero(holder_addr(&h, at), BLK));
	}
	daxl_lease_free(h.lease);
	/* Shared: copied before the grant, and a clone breaks the lease first. */
	g = stress_file("g", 0);
	tag_fill(buf, BLK, file_id(f), 0, 1);
	must_be(daxl_pwrite(f, buf, BLK, 0), BLK);
	must(daxl_clone_range(f, 0, g, 0, BLK, NULL));
	h = (struct holder){ 0 };
	holder_take(&h, f, 0, BLK, DAXL_LEASE_WRITE, 0);
	struct daxl_extent ext;

	must_be(daxl_lease_extents(h.lease, &ext, 1), 1);
	ck_assert_uint_eq(ext.flags & DAXL_EXTENT_SHARED, 0);
	memset(holder_addr(&h, 0), 0xee, BLK);
	must_be(daxl_pread(g, buf, BLK, 0), BLK);
	ck_assert_int_eq(tag_foreign(buf, BLK, file_id(f), 0), 0);
	struct call call = CALL(.op = OP_CLONE, .file = g, .other = f, .len = BLK);

	call.wait.timeout_ms = 0;
	must_be(call_run(&call), -EAGAIN);
	ck_assert_uint_eq(holder_recalls(&h), 1);
	daxl_lease_free(h.lease);
	must(call_run(&call));
	must(daxl_close(f));
	must(daxl_close(g));
	stress_end();
}
END_TEST

/* --- P19 --- */

static int write_x(void *arg)
{
	char buf[BLK];

	(void)arg;
	memset(buf, 'x', BLK);
	return daxl_pwrite(f, buf, BLK, 0) == BLK ? 0 : -EIO;
}

/* P19: a writer held between look-up and store: clone, dedupe, exchange and shifts wait for it, and its bytes are where they belong. */
START_TEST(p19_a_writer_that_looked_up_before_stores_before)
{
	static const enum op ops[] = { OP_CLONE, OP_EXCHANGE, OP_INSERT, OP_DEDUPE };

	for (unsigned k = 0; k < 4; k++) {
		struct job writer, mover;
		char buf[BLK];
		bool same;

		stress_begin("P19");
		f = stress_file("f", B(2));
		g = stress_file("g", B(2));
		if (k == 3) { /* the same bytes, until the writer stores */
			must_be(daxl_pread(f, buf, BLK, 0), BLK);
			must_be(daxl_pwrite(g, buf, BLK, 0), BLK);
		}
		points_on();
		point_park("write:looked-up");
		job_start_fn(&writer, write_x, NULL);
		point_wait_parked("write:looked-up");
		struct call call = waiting(ops[k], k == 0 || k == 3 ? g : f, 0, BLK);

		call.other = k == 0 || k == 3 ? f : g;
		job_start(&mover, &call);
		point_wait("break:changing", 1);
		ck_assert(!job_done(&mover));
		point_release("write:looked-up");
		must(job_join(&writer));
		must(job_join(&mover));
		points_off();
		struct daxl_file *at = k == 0 || k == 1 ? g : f; /* where the written block is to be found */

		must_be(daxl_pread(at, buf, BLK, k == 2 ? BLK : 0), BLK);
		for (unsigned i = 0; i < BLK; i++)
			ck_assert_int_eq(buf[i], 'x');
		if (k == 0) { /* the clone never changes afterwards */
			must_be(daxl_pwrite(f, "later", 5, 0), 5);
			must_be(daxl_pread(g, buf, 5, 0), 5);
			ck_assert_mem_eq(buf, "xxxxx", 5);
		}
		if (k == 3) {
			must(daxl_dedupe_range(f, 0, g, 0, BLK, NULL, &same));
			ck_assert(!same);
		}
		must(daxl_close(f));
		must(daxl_close(g));
		stress_end();
	}
}
END_TEST

static int read_both(void *arg)
{
	char buf[BLK];
	struct daxl_file *file = arg;

	/* One file is all 'a', the other all 'b', at any moment: exchanged they swap, a read is one of them. */
	while (!stopped()) {
		must_be(daxl_pread(file, buf, BLK, 0), BLK);
		for (unsigned i = 1; i < BLK; i++)
			foreign(buf[i] != buf[0]);
	}
	return 0;
}

/* P19: a read against exchange returns the one or the other, never a mixture. */
START_TEST(p19_reads_against_exchange_are_whole)
{
	struct job readers[2];
	char buf[BLK];

	stress_begin("P19 readers");
	stop = false;
	seen = 0;
	f = stress_file("f", BLK);
	g = stress_file("g", BLK);
	memset(buf, 'a', BLK);
	must_be(daxl_pwrite(f, buf, BLK, 0), BLK);
	memset(buf, 'b', BLK);
	must_be(daxl_pwrite(g, buf, BLK, 0), BLK);
	job_start_fn(&readers[0], read_both, f);
	job_start_fn(&readers[1], read_both, g);
	for (unsigned i = 0; i < 3000; i++)
		must(daxl_exchange_range(f, 0, g, 0, BLK, NULL));
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	must(job_join(&readers[0]));
	must(job_join(&readers[1]));
	ck_assert_uint_eq(seen, 0);
	must(daxl_close(f));
	must(daxl_close(g));
	stress_end();
}
END_TEST

/* --- P21 --- */

/* P21, L10: what a holder has scribbled past the end is not there when the file grows, however it grows. */
START_TEST(p21_bytes_past_the_end_never_appear)
{
	static const struct {
		enum op op;
		off_t off, len;
	} grow[] = { { OP_TRUNCATE, B(3), 0 }, { OP_WRITE, B(2) + 50, 10 },        { OP_WRITE, 700, 10 }, { OP_ALLOCATE, B(1), B(2) },
		     { OP_ZERO, B(2), BLK },   { OP_ATOMIC_WRITE, B(2) + 50, 10 }, { OP_CLONE, B(2), BLK }, { OP_ATOMIC_WRITE, 700, 10 },
		     { OP_ZERO, 700, 10 },     { OP_COPY, B(2) + 50, 10 } };

	for (unsigned k = 0; k < sizeof(grow) / sizeof(grow[0]); k++) {
		struct holder h = { 0 };
		char buf[B(4)];

		stress_begin("P21");
		f = stress_file("f", 100);
		g = stress_file("g", B(1));
		holder_take(&h, f, 0, B(3), DAXL_LEASE_WRITE, 0);
		memset(holder_addr(&h, 0) + 100, 0xee, BLK - 100);
		memset(holder_addr(&h, B(1)), 0xee, BLK);
		must(daxl_lease_commit(h.lease, 0, BLK, -1)); /* nothing past the size is published */
		must(daxl_lease_return(h.lease));
		struct call call = waiting(grow[k].op, f, grow[k].off, grow[k].len);

		call.other = g;
		must(call_run(&call));
		uint64_t size = file_size(f);

		ck_assert_uint_gt(size, 100);
		must_be(daxl_pread(f, buf, sizeof(buf), 0), (long long)size);
		for (uint64_t i = 100; i < size; i++)
			ck_assert_msg((unsigned char)buf[i] != 0xee, "%s: byte %llu", op_name[call.op], (unsigned long long)i);
		uint64_t zero_to = (uint64_t)grow[k].off > size || grow[k].op == OP_TRUNCATE ? size : (uint64_t)grow[k].off;

		ck_assert_msg(all_zero(buf + 100, zero_to - 100), "%s", op_name[call.op]);
		daxl_lease_free(h.lease);
		must(daxl_close(f));
		must(daxl_close(g));
		stress_end();
	}
}
END_TEST

/* --- P24, P25 --- */

#define MANY 4u

/* P24, P25, L1, L11: clone, write, punch, delete, pin and limbo in random order; pinned bytes stay as they were. */
START_TEST(p25_shared_and_pinned_blocks_in_random_order)
{
	struct daxl_pool_opts opts = DAXL_POOL_OPTS_INIT;
	struct daxl_file *files[MANY];
	struct {
		struct holder h;
		char *addr;
		char was[BLK];
	} pin[6] = { 0 };
	uint64_t state = stress_seed();
	char name[8];

	opts.lease_break_ms = 1;
	stress_begin_with("P25", &opts);
	for (unsigned i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "f%u", i);
		files[i] = stress_file(name, B(4));
	}
	for (unsigned n = 0; n < 1500; n++) {
		unsigned a = (unsigned)(stress_random(&state) % MANY), b = (unsigned)(stress_random(&state) % MANY);
		unsigned p = (unsigned)(stress_random(&state) % 6);
		off_t at = B(stress_random(&state) % 4), to = B(stress_random(&state) % 4);
		static const enum op ops[] = { OP_CLONE, OP_WRITE, OP_PUNCH, OP_ATOMIC_WRITE, OP_ZERO, OP_UNSHARE, OP_DEDUPE };
		struct call call = CALL(.op = ops[stress_random(&state) % 7], .file = files[a], .off = at, .len = BLK, .other = files[b],
		                        .other_off = to);

		if (a == b && at == to && (call.op == OP_CLONE || call.op == OP_DEDUPE))
			continue;
		if (stress_random(&state) % 4 == 0 && !pin[p].h.lease) {
			pin[p].h = (struct holder){ .returns = stress_random(&state) % 2 };
			holder_take(&pin[p].h, files[a], at, BLK, DAXL_LEASE_READ, 0);
			must(daxl_lease_pin(pin[p].h.lease));
			pin[p].addr = holder_addr(&pin[p].h, at);
			if (pin[p].addr)
				memcpy(pin[p].was, pin[p].addr, BLK);
			continue;
		}
		if (stress_random(&state) % 4 == 0 && pin[p].h.lease) {
			daxl_lease_unpin(pin[p].h.lease);
			daxl_lease_free(pin[p].h.lease);
			pin[p].h.lease = NULL;
			pin[p].addr = NULL;
			continue;
		}
		call.wait.timeout_ms = stress_random(&state) % 2 ? 2 : 0;
		call.wait.on_timeout = DAXL_ON_TIMEOUT_LIMBO;
		int rc = call_run(&call);

		ck_assert_msg(rc == 0 || rc == -EAGAIN || rc == -ETIMEDOUT, "%s: %d (%s)", op_name[call.op], rc, daxl_errormsg());
		for (unsigned i = 0; i < 6; i++) {
			/* A plain write in place may change what a READ holder sees; it writes tags of this very place. */
			bool live = pin[i].h.lease && daxl_lease_state(pin[i].h.lease) == DAXL_LEASE_LIVE;

			if (pin[i].addr && live)
				memcpy(pin[i].was, pin[i].addr, BLK);
			else if (pin[i].addr && rc == 0 && call.op != OP_WRITE)
				ck_assert_msg(memcmp(pin[i].was, pin[i].addr, BLK) == 0, "%s at %u: pinned bytes have changed",
				              op_name[call.op], n);
			else if (pin[i].addr)
				memcpy(pin[i].was, pin[i].addr, BLK);
		}
		struct daxl_holder who;

		if (n % 100 == 0)
			(void)daxl_busy(files[a], 0, DAXL_TO_END, &who, 1);
	}
	for (unsigned p = 0; p < 6; p++)
		if (pin[p].h.lease) {
			daxl_lease_unpin(pin[p].h.lease);
			daxl_lease_free(pin[p].h.lease);
		}
	struct daxl_pool_stat st;

	must(daxl_pool_stat(pool, &st));
	ck_assert_uint_eq(st.limbo_blocks, 0);
	for (unsigned i = 0; i < MANY; i++)
		must(daxl_close(files[i]));
	stress_end();
}
END_TEST

static int dedupe_rounds(void *arg)
{
	struct daxl_file *const *pair = arg;
	bool same;

	for (unsigned i = 0; i < 200; i++)
		must(daxl_dedupe_range(pair[0], 0, pair[1], 0, B(2), NULL, &same));
	return 0;
}

/* P26: dedupe compares with nothing held that it could wait for: against itself both ways, writes and reads (the lock-order checker is on). */
START_TEST(p26_dedupe_does_not_deadlock_on_itself)
{
	struct daxl_file *pairs[2][2];
	struct job jobs[2];
	char buf[BLK];

	stress_begin("P26");
	f = stress_file("f", B(2));
	g = stress_file("g", B(2));
	pairs[0][0] = pairs[1][1] = f;
	pairs[0][1] = pairs[1][0] = g;
	for (unsigned i = 0; i < 2; i++)
		job_start_fn(&jobs[i], dedupe_rounds, pairs[i]);
	for (unsigned i = 0; i < 200; i++) {
		memset(buf, (int)(i / 2), BLK);
		must_be(daxl_pwrite(i % 2 ? f : g, buf, BLK, 0), BLK);
		must_be(daxl_pread(f, buf, BLK, 0), BLK);
	}
	for (unsigned i = 0; i < 2; i++)
		must(job_join(&jobs[i]));
	must(daxl_close(f));
	must(daxl_close(g));
	stress_end();
}
END_TEST

/* --- P42, P46 --- */

static int append_on(void *arg)
{
	struct daxl_file *a = arg;
	uint64_t last = 0;

	for (unsigned i = 0; i < 500; i++) {
		must_be(daxl_pwrite(a, "0123456789abcdef", 16, 0), 16);
		uint64_t size = file_size(a);

		foreign(size < last);
		last = size;
	}
	return 0;
}

/* P42: appends against allocation over the end: the size never goes back, and each append is there once. */
START_TEST(p42_the_size_never_goes_back)
{
	struct job jobs[2];
	struct daxl_file *a;
	char buf[16];

	stress_begin("P42");
	seen = 0;
	f = stress_file("f", 0);
	must(daxl_open(pool, "f", O_RDWR | O_APPEND, &a));
	for (unsigned i = 0; i < 2; i++)
		job_start_fn(&jobs[i], append_on, a);
	unsigned blocks = 0;

	for (unsigned i = 0; i < 100; i++) {
		must(daxl_fallocate(f, 0, B(i / 4), BLK, NULL));
		blocks = i / 4 + 1;
	}
	for (unsigned i = 0; i < 2; i++)
		must(job_join(&jobs[i]));
	ck_assert_uint_eq(seen, 0);
	uint64_t size = file_size(f), found = 0;

	ck_assert_uint_ge(size, (uint64_t)B(blocks));
	for (uint64_t at = 0; at + 16 <= size; at += 16) { /* sizes are multiples of 16 at every moment */
		must_be(daxl_pread(f, buf, 16, (off_t)at), 16);
		if (memcmp(buf, "0123456789abcdef", 16) == 0)
			found++;
		else
			ck_assert(all_zero(buf, 16));
	}
	ck_assert_uint_eq(found, 1000);
	must(daxl_close(a));
	must(daxl_close(f));
	stress_end();
}
END_TEST

/* P46: blocks past the end under a lease stay, whatever tidies up: closes, checkpoints, the last handle. */
START_TEST(p46_nothing_trims_blocks_under_a_lease)
{
	struct holder h = { 0 };
	struct daxl_file *again;
	struct daxl_stat st;

	stress_begin("P46");
	f = stress_file("f", 100);
	holder_take(&h, f, B(4), B(2), DAXL_LEASE_WRITE, 0);
	must(daxl_lease_pin(h.lease));
	char *addr = holder_addr(&h, B(4));

	tag_fill(addr, (size_t)B(2), 3, B(4), 1);
	must(daxl_pool_checkpoint(pool));
	must(daxl_open(pool, "f", O_RDWR, &again));
	must(daxl_close(f));
	must(daxl_close(again));
	must(daxl_pool_checkpoint(pool));
	g = stress_file("g", B(64));
	must(daxl_open(pool, "f", O_RDWR, &again));
	must(daxl_stat(again, &st));
	ck_assert_uint_eq(st.blocks, 3);
	ck_assert_ptr_eq(holder_addr(&h, B(4)), addr);
	ck_assert_int_eq(tag_foreign(addr, (size_t)B(2), 3, B(4)), 0);
	ck_assert_uint_eq(holder_recalls(&h), 0);
	struct call trim = CALL(.op = OP_TRUNCATE, .file = again, .off = 100);

	trim.wait.timeout_ms = 0;
	must_be(call_run(&trim), -EAGAIN);
	must(daxl_lease_commit(h.lease, B(4), B(2), -1));
	daxl_lease_unpin(h.lease);
	daxl_lease_free(h.lease);
	must(call_run(&trim));
	must(daxl_stat(again, &st));
	ck_assert_uint_eq(st.blocks, 1);
	must(daxl_close(again));
	must(daxl_close(g));
	stress_end();
}
END_TEST

/* L2: the map under a lease does not change, except that holes are filled where the lease lets them be. */
START_TEST(the_map_under_a_lease_stays)
{
	struct holder h = { 0 };
	char *before[4];

	stress_begin("L2");
	f = stress_file("f", B(4));
	g = stress_file("g", B(4));
	must(daxl_fallocate(f, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, B(2), BLK, NULL));
	holder_take(&h, f, 0, B(4), DAXL_LEASE_READ, DAXL_LEASE_FILL_OK);
	for (unsigned i = 0; i < 4; i++)
		before[i] = holder_addr(&h, B(i));
	for (int op = OP_WRITE; op < OP_COUNT; op++) {
		struct call call = CALL(.op = (enum op)op, .file = f, .other = g, .off = 0, .len = BLK);

		call.wait.timeout_ms = 0;
		(void)call_run(&call);
		if (op == OP_CLONE || op == OP_COPY) { /* and as a source */
			call.file = g;
			call.other = f;
			must(call_run(&call));
		}
		for (unsigned i = 0; i < 4; i++)
			ck_assert_msg(holder_addr(&h, B(i)) == before[i], "%s has moved block %u", op_name[op], i);
	}
	must_be(daxl_pwrite(f, "filled", 6, B(2)), 6);
	for (unsigned i = 0; i < 4; i++)
		ck_assert_msg(i == 2 || holder_addr(&h, B(i)) == before[i], "filling a hole has moved block %u", i);
	ck_assert_ptr_nonnull(holder_addr(&h, B(2)));
	daxl_lease_free(h.lease);
	must(daxl_close(f));
	must(daxl_close(g));
	stress_end();
}
END_TEST

int main(int argc, char **argv)
{
	Suite *suite = suite_create("data");
	TCase *tc = tcase_create("data");

	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, p5_no_pin_slips_under_a_truncate);
	tcase_add_test(tc, p18_many_fill_one_hole);
	tcase_add_test(tc, p18_a_reader_is_not_given_a_reused_block);
	tcase_add_test(tc, p19_a_writer_that_looked_up_before_stores_before);
	tcase_add_test(tc, p19_reads_against_exchange_are_whole);
	tcase_add_test(tc, p20_a_second_writer_does_not_wipe_the_first);
	tcase_add_test(tc, a_grant_shows_no_stale_bytes_and_no_shared_block);
	tcase_add_test(tc, p21_bytes_past_the_end_never_appear);
	tcase_add_test(tc, p25_shared_and_pinned_blocks_in_random_order);
	tcase_add_test(tc, p26_dedupe_does_not_deadlock_on_itself);
	tcase_add_test(tc, p42_the_size_never_goes_back);
	tcase_add_test(tc, p46_nothing_trims_blocks_under_a_lease);
	tcase_add_test(tc, the_map_under_a_lease_stays);
	suite_add_tcase(suite, tc);
	return stress_main(argc, argv, suite);
}
