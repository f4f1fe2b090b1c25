/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What breaks what: each row of the table, with holders of each kind, in each state. Who is recalled, at which level,
 * and who is waited for; exactly those (L4), each once, with every call refused or done as the table says.
 *
 * The file every row starts from, by blocks: 0, 1 and 5 written, 2 a hole, 3 unwritten, 4 shared with another file.
 */
#include "stress.h"

#define B(n) ((off_t)((n) * BLK))

static const struct kind {
	const char *name;
	uint32_t mode, flags;
	bool own;
} kinds[] = {
	{ "READ", DAXL_LEASE_READ, 0, false },
	{ "READ FILL_OK", DAXL_LEASE_READ, DAXL_LEASE_FILL_OK, false },
	{ "READ STABLE", DAXL_LEASE_READ, DAXL_LEASE_STABLE, false },
	{ "READ EXCLUSIVE", DAXL_LEASE_READ, DAXL_LEASE_EXCLUSIVE, false },
	{ "READ IMPLICIT_PIN", DAXL_LEASE_READ, DAXL_LEASE_IMPLICIT_PIN, false },
	{ "own READ", DAXL_LEASE_READ, 0, true },
	{ "own READ STABLE", DAXL_LEASE_READ, DAXL_LEASE_STABLE, true },
	{ "WRITE", DAXL_LEASE_WRITE, 0, false },
	{ "WRITE EXCLUSIVE", DAXL_LEASE_WRITE, DAXL_LEASE_EXCLUSIVE, false },
	{ "WRITE STABLE", DAXL_LEASE_WRITE, DAXL_LEASE_STABLE, false },
	{ "own WRITE", DAXL_LEASE_WRITE, 0, true },
	{ "WRITE IMPLICIT_PIN", DAXL_LEASE_WRITE, DAXL_LEASE_IMPLICIT_PIN, false },
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

/* One letter a kind: - not concerned; W, U recalled at that level and waited for; r given back for its own owner. A
 * WRITE grant fills holes, converts what is unwritten below the size and copies what is shared: its letters differ. */
#define NOBODY "------------"
#define ALL_U "UUUUUrrUUUrU"
#define SOLID "--WW----WW--"
#define FILLED "W-WWW---WW--"
#define COPIED "UUUUUrr-WW--"
#define WRITERS_U "-------UUUrU"

static const struct row {
	const char *name;
	enum op op;
	off_t off, len;
	off_t at;       /* block of the holder */
	const char *who;
	int reason;
	off_t size;     /* the file's, if not 6 blocks: cut or grown to it first */
	bool past_end;  /* block 7 is allocated */
	bool on_other;  /* the holder is on the other file */
	off_t other_off;
} rows[] = {
	{ "read", OP_READ, 0, B(6), 0, NOBODY, 0, 0, 0, 0, 0 },
	{ "write in place", OP_WRITE, 10, 20, 0, SOLID, DAXL_REASON_WRITE, 0, 0, 0, 0 },
	{ "write in place, beside", OP_WRITE, 10, 20, 1, NOBODY, 0, 0, 0, 0, 0 },
	{ "write into a hole", OP_WRITE, B(2), BLK, 2, FILLED, DAXL_REASON_WRITE, 0, 0, 0, 0 },
	{ "write into a part of a hole", OP_WRITE, B(2) + 1, 5, 2, FILLED, DAXL_REASON_WRITE, 0, 0, 0, 0 },
	{ "write into an unwritten block", OP_WRITE, B(3), BLK, 3, FILLED, DAXL_REASON_WRITE, 0, 0, 0, 0 },
	{ "write into a part of an unwritten block", OP_WRITE, B(3) + 9, 5, 3, COPIED, DAXL_REASON_WRITE, 0, 0, 0, 0 },
	{ "write to a shared block", OP_WRITE, B(4) + 9, 5, 4, COPIED, DAXL_REASON_WRITE, 0, 0, 0, 0 },
	{ "write over all, holder on a written block", OP_WRITE, B(0), B(6), 1, SOLID, DAXL_REASON_WRITE, 0, 0, 0, 0 },
	{ "atomic write", OP_ATOMIC_WRITE, 10, 20, 0, ALL_U, DAXL_REASON_ATOMIC_WRITE, 0, 0, 0, 0 },
	{ "allocate", OP_ALLOCATE, B(2), BLK, 2, FILLED, DAXL_REASON_ALLOCATE, 0, 0, 0, 0 },
	{ "allocate, size kept", OP_ALLOCATE_KEEP, B(2), BLK, 2, FILLED, DAXL_REASON_ALLOCATE, 0, 0, 0, 0 },
	{ "allocate what is there", OP_ALLOCATE, B(0), BLK, 0, SOLID, DAXL_REASON_ALLOCATE, 0, 0, 0, 0 },
	{ "allocate an unwritten block", OP_ALLOCATE, B(3), BLK, 3, SOLID, DAXL_REASON_ALLOCATE, 0, 0, 0, 0 },
	{ "break WRITE", OP_BREAK_WRITE, B(0), BLK, 0, "WWWWW--WWW-W", DAXL_REASON_BREAK, 0, 0, 0, 0 },
	{ "break UNMAP", OP_BREAK_UNMAP, B(0), BLK, 0, ALL_U, DAXL_REASON_BREAK, 0, 0, 0, 0 },
	{ "break UNMAP, beside", OP_BREAK_UNMAP, B(0), BLK, 1, NOBODY, 0, 0, 0, 0, 0 },
	{ "punch", OP_PUNCH, B(1), BLK, 1, ALL_U, DAXL_REASON_PUNCH, 0, 0, 0, 0 },
	{ "punch a part of a block", OP_PUNCH, B(1) + 7, 9, 1, ALL_U, DAXL_REASON_PUNCH, 0, 0, 0, 0 },
	{ "punch, beside", OP_PUNCH, B(1), BLK, 0, NOBODY, 0, 0, 0, 0, 0 },
	{ "zero range", OP_ZERO, B(1), BLK, 1, ALL_U, DAXL_REASON_ZERO, 0, 0, 0, 0 },
	{ "zero range, size kept", OP_ZERO_KEEP, B(1) + 7, BLK, 2, ALL_U, DAXL_REASON_ZERO, 0, 0, 0, 0 },
	{ "collapse, holder behind", OP_COLLAPSE, B(1), BLK, 5, ALL_U, DAXL_REASON_COLLAPSE, 0, 0, 0, 0 },
	{ "collapse, holder past the end", OP_COLLAPSE, B(1), BLK, 9, ALL_U, DAXL_REASON_COLLAPSE, 0, 0, 0, 0 },
	{ "collapse, holder before", OP_COLLAPSE, B(1), BLK, 0, NOBODY, 0, 0, 0, 0, 0 },
	{ "insert, holder behind", OP_INSERT, B(1), BLK, 5, ALL_U, DAXL_REASON_INSERT, 0, 0, 0, 0 },
	{ "insert, holder before", OP_INSERT, B(1), BLK, 0, NOBODY, 0, 0, 0, 0, 0 },
	{ "unshare", OP_UNSHARE, B(0), B(6), 4, "UUUUUrr-----", DAXL_REASON_UNSHARE, 0, 0, 0, 0 },
	{ "unshare, holder on what is not shared", OP_UNSHARE, B(0), B(6), 1, NOBODY, 0, 0, 0, 0, 0 },
	{ "truncate down", OP_TRUNCATE, B(4) + 5, 0, 4, ALL_U, DAXL_REASON_TRUNCATE, 0, 0, 0, 0 },
	{ "truncate down, holder past the end", OP_TRUNCATE, B(4) + 5, 0, 9, ALL_U, DAXL_REASON_TRUNCATE, 0, 0, 0, 0 },
	{ "truncate down, holder before", OP_TRUNCATE, B(4), 0, 3, NOBODY, 0, 0, 0, 0, 0 },
	{ "truncate to the same size", OP_TRUNCATE, B(6), 0, 7, WRITERS_U, DAXL_REASON_TRUNCATE, 0, 0, 0, 0 },
	{ "truncate to the same size, blocks past it", OP_TRUNCATE, B(6), 0, 7, ALL_U, DAXL_REASON_TRUNCATE, 0, 1, 0, 0 },
	{ "truncate to the same size, holder before", OP_TRUNCATE, B(6), 0, 5, NOBODY, 0, 0, 1, 0, 0 },
	{ "truncate up", OP_TRUNCATE, B(9), 0, 5, NOBODY, 0, 0, 0, 0, 0 },
	{ "growth by truncate", OP_TRUNCATE, B(9), 0, 5, WRITERS_U, DAXL_REASON_GROWTH, B(5) + 100, 0, 0, 0 },
	{ "growth by write", OP_WRITE, B(7), 10, 5, WRITERS_U, DAXL_REASON_GROWTH, B(5) + 100, 0, 0, 0 },
	{ "growth by write in the tail block", OP_WRITE, B(5) + 200, 10, 5, "--WW---UUUrU", 0, B(5) + 100, 0, 0, 0 },
	{ "growth by atomic write", OP_ATOMIC_WRITE, B(7), 10, 5, WRITERS_U, DAXL_REASON_GROWTH, B(5) + 100, 0, 0, 0 },
	{ "growth by allocate", OP_ALLOCATE, B(7), 10, 5, WRITERS_U, DAXL_REASON_GROWTH, B(5) + 100, 0, 0, 0 },
	{ "no growth by allocate with the size kept", OP_ALLOCATE_KEEP, B(7), 10, 5, NOBODY, 0, B(5) + 100, 0, 0, 0 },
	{ "growth by zero range", OP_ZERO, B(7), 10, 5, WRITERS_U, DAXL_REASON_GROWTH, B(5) + 100, 0, 0, 0 },
	{ "growth, holder before the tail", OP_TRUNCATE, B(9), 0, 1, NOBODY, 0, B(5) + 100, 0, 0, 0 },
	{ "clone, destination", OP_CLONE, B(1), BLK, 1, ALL_U, DAXL_REASON_CLONE, 0, 0, 0, 0 },
	{ "clone, destination, beside", OP_CLONE, B(1), BLK, 0, NOBODY, 0, 0, 0, 0, 0 },
	{ "clone past the end, holder in the gap", OP_CLONE, B(9), BLK, 7, ALL_U, DAXL_REASON_CLONE, 0, 0, 0, 0 },
	{ "clone past the end, holder before", OP_CLONE, B(9), BLK, 5, NOBODY, 0, 0, 0, 0, 0 },
	{ "clone, source", OP_CLONE, B(1), BLK, 0, WRITERS_U, DAXL_REASON_CLONE, 0, 0, 1, 0 },
	{ "clone, source, beside", OP_CLONE, B(1), BLK, 1, NOBODY, 0, 0, 0, 1, 0 },
	{ "dedupe, destination", OP_DEDUPE, B(1), BLK, 1, ALL_U, DAXL_REASON_DEDUPE, 0, 0, 0, 0 },
	{ "dedupe, source", OP_DEDUPE, B(1), BLK, 0, WRITERS_U, DAXL_REASON_DEDUPE, 0, 0, 1, 0 },
	{ "exchange, first", OP_EXCHANGE, B(1), BLK, 1, ALL_U, DAXL_REASON_EXCHANGE, 0, 0, 0, 0 },
	{ "exchange, second", OP_EXCHANGE, B(1), BLK, 0, ALL_U, DAXL_REASON_EXCHANGE, 0, 0, 1, 0 },
	{ "exchange, beside", OP_EXCHANGE, B(1), BLK, 1, NOBODY, 0, 0, 0, 1, 0 },
	{ "exchange of whole files", OP_EXCHANGE, 0, DAXL_TO_END, 9, ALL_U, DAXL_REASON_EXCHANGE, 0, 0, 1, 0 },
	{ "copy of a block, destination", OP_COPY, B(1), BLK, 1, ALL_U, 0, 0, 0, 0, 0 },
	{ "copy of a block, source", OP_COPY, B(1), BLK, 0, WRITERS_U, 0, 0, 0, 1, 0 },
	{ "copy of some bytes, destination", OP_COPY, B(1) + 5, 9, 1, SOLID, 0, 0, 0, 0, 0 },
};
#define ROWS (sizeof(rows) / sizeof(rows[0]))

static uint64_t me;

static struct daxl_file *make_file(const char *name, struct daxl_file *shared_with, const struct row *row)
{
	struct daxl_file *f = stress_file(name, B(6));
	struct call c = CALL(.file = f);

	c.op = OP_PUNCH;
	c.off = B(2);
	c.len = 2 * BLK;
	must(call_run(&c));
	c.op = OP_ALLOCATE;
	c.off = B(3);
	c.len = BLK;
	must(call_run(&c));
	if (shared_with)
		must(daxl_clone_range(shared_with, 0, f, B(4), BLK, NULL));
	if (row->size)
		must(daxl_truncate(f, row->size, NULL));
	if (row->past_end) {
		c.op = OP_ALLOCATE_KEEP;
		c.off = B(7);
		must(call_run(&c));
	}
	return f;
}

struct scene {
	const struct row *row;
	const struct kind *kind;
	struct daxl_file *share, *f, *other;
	struct holder holder;
	struct call call;
};

static void scene_begin(struct scene *s, const struct row *row, const struct kind *kind)
{
	*s = (struct scene){ .row = row, .kind = kind };
	s->share = stress_file("share", BLK);
	s->f = make_file("f", s->share, row);
	s->other = stress_file("other", B(6));
	holder_take_as(&s->holder, row->on_other ? s->other : s->f, B(row->at), BLK, kind->mode, kind->flags,
	               kind->own ? me : 0);
	s->call = CALL(.op = row->op, .file = s->f, .off = row->off, .len = row->len, .other = s->other,
	               .other_off = row->other_off);
	s->call.wait.timeout_ms = 0;
	s->call.wait.owner = me;
}

static void scene_end(struct scene *s)
{
	daxl_lease_free(s->holder.lease);
	must(daxl_close(s->f));
	must(daxl_close(s->share));
	must(daxl_close(s->other));
	must(daxl_unlink(pool, "f"));
	must(daxl_unlink(pool, "share"));
	must(daxl_unlink(pool, "other"));
}

#define expect(s, condition, ...)                                                                          \
	do {                                                                                               \
		if (!(condition)) {                                                                        \
			fprintf(stderr, "%s, %s: ", (s)->row->name, (s)->kind->name);                      \
			fprintf(stderr, __VA_ARGS__);                                                      \
			fprintf(stderr, "\n");                                                             \
			ck_abort_msg("%s, %s: not as the table says", (s)->row->name, (s)->kind->name);    \
		}                                                                                          \
	} while (0)

/* A notice says where and why: a part of the lease that the operation concerns. */
static void check_notice(const struct scene *s, char level)
{
	const struct holder *h = &s->holder;

	expect(s, h->level == (level == 'U' ? DAXL_BREAK_UNMAP : DAXL_BREAK_WRITE), "recalled at level %d", h->level);
	expect(s, !s->row->reason || h->reason == s->row->reason, "recalled for reason %d", h->reason);
	expect(s, h->off == B(s->row->at) && h->len == BLK, "asked back [%lld, +%lld)", (long long)h->off, (long long)h->len);
	expect(s, h->deadline_ns != 0, "no deadline");
}

/* A live lease: exactly the table's letter; asked again, nobody is told a second time; given back, the call goes through. */
static void check_live(const struct row *row, unsigned k)
{
	char want = row->who[k];
	struct scene s;

	scene_begin(&s, row, &kinds[k]);
	bool concerned = want == 'W' || want == 'U';
	int rc = call_run(&s.call);

	expect(&s, rc == (concerned ? -EAGAIN : 0), "the call gave %d (%s)", rc, daxl_errormsg());
	expect(&s, holder_recalls(&s.holder) == concerned, "%u recalls", holder_recalls(&s.holder));
	int state = daxl_lease_state(s.holder.lease);

	expect(&s, state == (want == 'r' ? DAXL_LEASE_RETURNED : concerned ? DAXL_LEASE_RECALLED : DAXL_LEASE_LIVE),
	       "the lease's state is %d", state);
	if (concerned) {
		check_notice(&s, want);
		rc = call_run(&s.call);
		expect(&s, rc == -EAGAIN, "a second call gave %d", rc);
		expect(&s, holder_recalls(&s.holder) == 1, "a second recall");
		must(daxl_lease_return(s.holder.lease));
		rc = call_run(&s.call);
		expect(&s, rc == 0, "after the return the call gave %d (%s)", rc, daxl_errormsg());
	}
	scene_end(&s);
}

/* Returned with a pin out: nobody is recalled; W has nothing to wait for, U has, and an owner's own pin is a deadlock. */
static void check_returned_and_pinned(const struct row *row, unsigned k)
{
	char want = row->who[k];
	struct scene s;

	scene_begin(&s, row, &kinds[k]);
	must(daxl_lease_pin(s.holder.lease));
	must(daxl_lease_return(s.holder.lease));
	int rc = call_run(&s.call);

	expect(&s, rc == (want == 'U' ? -EAGAIN : want == 'r' ? -EDEADLK : 0), "returned with a pin: the call gave %d (%s)", rc,
	       daxl_errormsg());
	daxl_lease_unpin(s.holder.lease);
	if (rc) {
		rc = call_run(&s.call);
		expect(&s, rc == 0, "after the last unpin the call gave %d", rc);
	}
	expect(&s, holder_recalls(&s.holder) == 0, "a returned lease was recalled");
	scene_end(&s);
}

/* P34. Live with a pin out: as live, but an own lease is left alone and the call refused. */
static void check_pinned(const struct row *row, unsigned k)
{
	char want = row->who[k];
	struct scene s;

	scene_begin(&s, row, &kinds[k]);
	must(daxl_lease_pin(s.holder.lease));
	int rc = call_run(&s.call);

	if (want == 'r') {
		expect(&s, rc == -EDEADLK, "own pins: the call gave %d", rc);
		expect(&s, daxl_lease_state(s.holder.lease) == DAXL_LEASE_LIVE, "own pins: the lease was touched");
	} else if (want == 'W' || want == 'U') {
		must(daxl_lease_return(s.holder.lease));
		rc = call_run(&s.call);
		expect(&s, rc == (want == 'U' ? -EAGAIN : 0), "returned, still pinned: the call gave %d", rc);
	} else {
		expect(&s, rc == 0, "the call gave %d (%s)", rc, daxl_errormsg());
	}
	daxl_lease_unpin(s.holder.lease);
	scene_end(&s);
}

/* L4, L2: levels and ranges of the table; L5 in passing: a lease that is not concerned stays LIVE. */
START_TEST(each_row_recalls_exactly_whom_the_table_says)
{
	const struct row *row = &rows[_i];

	stress_begin(row->name);
	me = daxl_owner_new();
	ck_assert_uint_eq(strlen(row->who), KINDS);
	for (unsigned k = 0; k < KINDS; k++) {
		check_live(row, k);
		check_returned_and_pinned(row, k);
		check_pinned(row, k);
	}
	stress_end();
}
END_TEST

/* A holder's commit tells READ leases of others that show the run as unwritten, and waits for nobody (L7). */
START_TEST(a_commit_recalls_those_who_show_the_run_as_unwritten_and_does_not_wait)
{
	struct holder writer = { 0 }, shows = { 0 }, fills = { 0 }, own = { 0 }, elsewhere = { 0 };
	struct daxl_file *f;

	stress_begin("commit");
	me = daxl_owner_new();
	f = stress_file("f", BLK);
	/* Past the end a WRITE lease's blocks stay unwritten until commit. */
	holder_take_as(&writer, f, B(1), B(2), DAXL_LEASE_WRITE, 0, me);
	holder_take(&shows, f, B(1), BLK, DAXL_LEASE_READ, 0);
	holder_take(&fills, f, B(1), BLK, DAXL_LEASE_READ, DAXL_LEASE_FILL_OK);
	holder_take_as(&own, f, B(1), BLK, DAXL_LEASE_READ, 0, me);
	holder_take(&elsewhere, f, B(2), BLK, DAXL_LEASE_READ, 0);
	must(daxl_lease_commit(writer.lease, B(1), BLK, B(2)));
	ck_assert_uint_eq(holder_recalls(&shows), 1);
	ck_assert_int_eq(shows.level, DAXL_BREAK_WRITE);
	ck_assert_int_eq(shows.reason, DAXL_REASON_COMMIT);
	ck_assert_uint_eq(holder_recalls(&fills) + holder_recalls(&own) + holder_recalls(&elsewhere), 0);
	ck_assert_uint_eq(file_size(f), B(2));
	daxl_lease_free(writer.lease);
	daxl_lease_free(shows.lease);
	daxl_lease_free(fills.lease);
	daxl_lease_free(own.lease);
	daxl_lease_free(elsewhere.lease);
	must(daxl_close(f));
	stress_end();
}
END_TEST

static int try_grant(struct daxl_file *f, off_t at, uint32_t mode, uint32_t flags)
{
	struct daxl_lease_opts opts = DAXL_LEASE_OPTS_INIT;
	struct daxl_lease *lease;

	opts.mode = mode;
	opts.flags = flags | DAXL_LEASE_NOWAIT;
	opts.owner = me;
	int rc = daxl_lease_acquire(f, at, BLK, &opts, &lease);

	if (rc == 0)
		daxl_lease_free(lease);
	return rc;
}

/* A grant against a lease that is out: letter as above. */
static const struct {
	const char *name;
	off_t at;
	uint32_t mode, flags;
	const char *who;
} grants[] = {
	{ "READ", 0, DAXL_LEASE_READ, 0, "---U----U---" },
	{ "READ EXCLUSIVE", 0, DAXL_LEASE_READ, DAXL_LEASE_EXCLUSIVE, "UUUUU--UUU-U" },
	{ "READ STABLE", 0, DAXL_LEASE_READ, DAXL_LEASE_STABLE, "---U---UUU-U" },
	{ "WRITE", 0, DAXL_LEASE_WRITE, 0, "--UU----UU--" },
	{ "WRITE over a hole", 2, DAXL_LEASE_WRITE, 0, "W-UUW---UU--" },
	{ "WRITE over an unwritten block", 3, DAXL_LEASE_WRITE, 0, "W-UUW---UU--" },
	{ "WRITE over a shared block", 4, DAXL_LEASE_WRITE, 0, "UUUUUrr-UU--" },
};

START_TEST(a_grant_recalls_whom_it_cannot_stand_beside)
{
	stress_begin(grants[_i].name);
	me = daxl_owner_new();
	for (unsigned k = 0; k < KINDS; k++) {
		struct row row = { .name = grants[_i].name, .op = OP_READ, .len = 1, .at = grants[_i].at, .reason = DAXL_REASON_GRANT };
		char want = grants[_i].who[k];
		struct scene s;

		scene_begin(&s, &row, &kinds[k]);
		bool concerned = want == 'W' || want == 'U';
		int rc = try_grant(s.f, B(row.at), grants[_i].mode, grants[_i].flags);

		expect(&s, rc == (concerned ? -EAGAIN : 0), "the grant gave %d (%s)", rc, daxl_errormsg());
		expect(&s, holder_recalls(&s.holder) == concerned, "%u recalls", holder_recalls(&s.holder));
		if (concerned) {
			check_notice(&s, want);
			must(daxl_lease_pin(s.holder.lease) == -ESTALE ? 0 : -1);
			must(daxl_lease_return(s.holder.lease));
			rc = try_grant(s.f, B(row.at), grants[_i].mode, grants[_i].flags);
			expect(&s, rc == 0, "after the return the grant gave %d (%s)", rc, daxl_errormsg());
		}
		scene_end(&s);
	}
	stress_end();
}
END_TEST

/* The name goes at once; at the last close everybody is recalled and nobody waited for; what is pinned is in limbo (L1). */
START_TEST(the_last_close_of_an_unlinked_file_recalls_all_and_waits_for_nobody)
{
	struct holder idle = { 0 }, pinned = { 0 };
	struct daxl_pool_stat st;
	struct daxl_file *f;

	stress_begin("unlink");
	f = stress_file("f", B(4));
	holder_take(&idle, f, 0, BLK, DAXL_LEASE_WRITE, 0);
	holder_take(&pinned, f, B(2), BLK, DAXL_LEASE_READ, 0);
	must(daxl_lease_pin(pinned.lease));
	char *addr = holder_addr(&pinned, B(2));
	uint64_t id = file_id(f);

	must(daxl_unlink(pool, "f"));
	ck_assert_uint_eq(holder_recalls(&idle) + holder_recalls(&pinned), 0);
	must(daxl_close(f));
	ck_assert_uint_eq(holder_recalls(&idle), 1);
	ck_assert_uint_eq(holder_recalls(&pinned), 1);
	ck_assert_int_eq(pinned.level, DAXL_BREAK_UNMAP);
	ck_assert_int_eq(pinned.reason, DAXL_REASON_UNLINK);
	ck_assert_int_eq(daxl_lease_state(pinned.lease), DAXL_LEASE_REVOKED);
	must_be(daxl_lease_commit(idle.lease, 0, BLK, -1), -ESTALE);
	must(daxl_pool_stat(pool, &st));
	ck_assert_uint_ge(st.limbo_blocks, 1);
	/* Others take what is free: the pinned block is not among it. */
	struct daxl_file *g = stress_file("g", B(64));

	ck_assert_int_eq(tag_foreign(addr, BLK, id, B(2)), 0);
	daxl_lease_unpin(pinned.lease);
	must(daxl_pool_stat(pool, &st));
	ck_assert_uint_eq(st.limbo_blocks, 0);
	daxl_lease_free(idle.lease);
	daxl_lease_free(pinned.lease);
	must(daxl_close(g));
	stress_end();
}
END_TEST

START_TEST(opening_with_O_TRUNC_breaks_as_truncate_does)
{
	struct daxl_pool_opts opts = DAXL_POOL_OPTS_INIT;
	struct holder h = { .returns = true };
	struct daxl_file *f, *g;

	opts.lease_break_ms = 50;
	stress_begin_with("O_TRUNC", &opts);
	f = stress_file("f", B(2));
	holder_take(&h, f, B(1), BLK, DAXL_LEASE_READ, 0);
	must(daxl_lease_pin(h.lease));
	must_be(daxl_open(pool, "f", O_RDWR | O_TRUNC, &g), -ETIMEDOUT);
	ck_assert_uint_eq(file_size(f), B(2));
	ck_assert_int_eq(h.reason, DAXL_REASON_TRUNCATE);
	daxl_lease_unpin(h.lease);
	must(daxl_open(pool, "f", O_RDWR | O_TRUNC, &g));
	ck_assert_uint_eq(file_size(f), 0);
	daxl_lease_free(h.lease);
	must(daxl_close(g));
	must(daxl_close(f));
	stress_end();
}
END_TEST

int main(int argc, char **argv)
{
	Suite *suite = suite_create("levels");
	TCase *tc = tcase_create("levels");

	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, each_row_recalls_exactly_whom_the_table_says, 0, (int)ROWS);
	tcase_add_test(tc, a_commit_recalls_those_who_show_the_run_as_unwritten_and_does_not_wait);
	tcase_add_loop_test(tc, a_grant_recalls_whom_it_cannot_stand_beside, 0, (int)(sizeof(grants) / sizeof(grants[0])));
	tcase_add_test(tc, the_last_close_of_an_unlinked_file_recalls_all_and_waits_for_nobody);
	tcase_add_test(tc, opening_with_O_TRUNC_breaks_as_truncate_does);
	suite_add_tcase(suite, tc);
	return stress_main(argc, argv, suite);
}
