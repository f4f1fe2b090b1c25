/* SPDX-License-Identifier: BSD-3-Clause */
/* Leases and limbo in many pieces, and edges of every kind under limbo. */
#include "stress.h"

#define B(n) ((off_t)((n) * BLK))
#define PIECES 24 /* more than a call keeps on its stack */

static struct daxl_file *f, *g;

static uint64_t in_limbo(void)
{
	struct daxl_pool_stat st;

	must(daxl_pool_stat(pool, &st));
	return st.limbo_blocks;
}

/* A pinned READ lease that is late at once. */
static void take_late(struct holder *h, off_t off, off_t len)
{
	struct daxl_lease_opts opts = holder_opts(h, DAXL_LEASE_READ, 0);

	opts.break_ms = 1;
	must(daxl_lease_acquire(f, off, len, &opts, &h->lease));
	must(daxl_lease_pin(h->lease));
}

static struct call under_limbo(enum op op, off_t off, off_t len)
{
	struct call call = CALL(.op = op, .file = f, .off = off, .len = len);

	call.wait.timeout_ms = 1;
	call.wait.on_timeout = DAXL_ON_TIMEOUT_LIMBO;
	return call;
}

/* P25: every second block is shared; an unshare under limbo replaces these, and only these stay with the holder. */
START_TEST(p25_many_pieces_go_to_limbo)
{
	struct holder h = { 0 };
	char buf[BLK];

	stress_begin("pieces in limbo");
	f = stress_file("f", B(2 * PIECES));
	g = stress_file("g", 0);
	for (unsigned i = 0; i < PIECES; i++)
		must(daxl_clone_range(f, B(2 * i), g, B(2 * i), BLK, NULL));
	take_late(&h, 0, B(2 * PIECES));
	struct call call = under_limbo(OP_UNSHARE, 0, B(2 * PIECES));

	must(call_run(&call));
	ck_assert_uint_eq(holder_recalls(&h), 1);
	ck_assert_uint_eq(in_limbo(), PIECES);
	for (off_t at = 0; at < B(2 * PIECES); at += BLK) {
		must_be(daxl_pread(f, buf, BLK, at), BLK);
		ck_assert_int_eq(tag_foreign(buf, BLK, file_id(f), at), 0);
		ck_assert(!all_zero(buf, BLK));
	}
	/* The device still stores into what it had: into g's blocks no more than into f's. */
	daxl_lease_unpin(h.lease);
	ck_assert_uint_eq(in_limbo(), 0);
	for (unsigned i = 0; i < PIECES; i++) {
		must_be(daxl_pread(g, buf, BLK, B(2 * i)), BLK);
		ck_assert(!all_zero(buf, BLK));
	}
	daxl_lease_free(h.lease);
	must(daxl_close(f));
	must(daxl_close(g));
	stress_end();
}
END_TEST

/* Parts given back in any order leave pieces, which are shown in the order of the file, and cover what they cover. */
START_TEST(extents_of_a_lease_in_many_pieces_are_in_order)
{
	struct daxl_extent exts[PIECES + 2];
	struct holder h = { 0 };

	stress_begin("pieces of a lease");
	f = stress_file("f", B(2 * PIECES));
	holder_take(&h, f, 0, B(2 * PIECES), DAXL_LEASE_WRITE, 0);
	for (unsigned i = 0; i < PIECES; i++) { /* 5 and PIECES have no divisor in common */
		off_t at = B(2 * (i * 5 % PIECES) + 1);

		must(daxl_lease_return_range(h.lease, at, BLK));
		must_be(daxl_lease_commit(h.lease, at, BLK, -1), -ERANGE);
	}
	must_be(daxl_lease_extents(h.lease, exts, PIECES + 2), PIECES);
	for (unsigned i = 0; i < PIECES; i++) {
		ck_assert_uint_eq(exts[i].file_off, (uint64_t)B(2 * i));
		ck_assert_uint_eq(exts[i].len, BLK);
		must(daxl_lease_commit(h.lease, B(2 * i), BLK, -1));
	}
	daxl_lease_free(h.lease);
	must(daxl_close(f));
	stress_end();
}
END_TEST

/* A truncate into a late holder's block: a hole stays one, what is unwritten and what is written is replaced. */
START_TEST(truncate_under_limbo_replaces_each_kind_of_tail)
{
	static const uint32_t flags[] = { DAXL_EXTENT_HOLE, DAXL_EXTENT_UNWRITTEN, 0 };

	for (unsigned kind = 0; kind < 3; kind++) {
		struct holder h = { 0 };
		struct daxl_extent ext;
		char buf[BLK];

		stress_begin("tails");
		f = stress_file("f", 0);
		must(daxl_truncate(f, B(2), NULL));
		if (kind == 1)
			must(daxl_fallocate(f, 0, 0, B(2), NULL));
		if (kind == 2) {
			memset(buf, 'x', BLK);
			must_be(daxl_pwrite(f, buf, BLK, 0), BLK);
		}
		must_be(daxl_map(f, 0, BLK, &ext, 1), 1);
		uint64_t was = ext.pool_off;

		take_late(&h, 0, B(2));
		struct call call = under_limbo(OP_TRUNCATE, 100, 0);

		must(call_run(&call));
		must_be(daxl_map(f, 0, BLK, &ext, 1), 1);
		ck_assert_uint_eq(ext.flags, flags[kind]);
		ck_assert(kind == 0 || ext.pool_off != was);
		ck_assert_uint_eq(in_limbo(), kind == 1 ? 2 : kind == 2 ? 1 : 0);
		must(daxl_truncate(f, BLK, NULL));
		must_be(daxl_pread(f, buf, BLK, 0), BLK);
		ck_assert_int_eq(buf[99], kind == 2 ? 'x' : 0);
		ck_assert(all_zero(buf + 100, BLK - 100));
		daxl_lease_unpin(h.lease);
		daxl_lease_free(h.lease);
		must(daxl_close(f));
		stress_end();
	}
}
END_TEST

int main(int argc, char **argv)
{
	Suite *suite = suite_create("pieces");
	TCase *tc = tcase_create("pieces");

	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, p25_many_pieces_go_to_limbo);
	tcase_add_test(tc, extents_of_a_lease_in_many_pieces_are_in_order);
	tcase_add_test(tc, truncate_under_limbo_replaces_each_kind_of_tail);
	suite_add_tcase(suite, tc);
	return stress_main(argc, argv, suite);
}
