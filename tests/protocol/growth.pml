/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The growth rule: lib/ops/op.c around lib/lease. Growing a file zeroes the rest of its old tail block, so no holder may write there then; which block that is depends on the
 * size, and the size moves while the operation waits: a commit grows the file without queueing, a truncate that came first makes it shorter. A holder takes its lease as late as it can.
 *
 * The file has three blocks, its size counts halves of blocks: an odd size has a tail to be zeroed. Grow is a write of the last block. It plans without anything held, again
 * once it is first, and again under the file's mutex.
 */
#define TAIL(s) ((s) / 2)
#define BIT(b) (1 << (b))
#define ALL 7
byte size = 3;
bool file_mutex;

/* The queue: Grow is 0, Shrink is 1, a holder's grant 2. */
byte tickets, ticket[3], range[3];
bool queued[3], service[3];
#define BLOCKS(j, i) (j != i && queued[j] && (range[j] & range[i]) != 0 && (ticket[j] < ticket[i] || service[j]))
#define FIRST(i) (!BLOCKS(0, i) && !BLOCKS(1, i) && !BLOCKS(2, i))
#define CLOSED(m) ((queued[0] && (range[0] & (m)) != 0) || (queued[1] && (range[1] & (m)) != 0))

/* One WRITE lease over one block. */
bool out, recalled, returned;
byte pins, block;
#define DRAINED (!out || (returned && pins == 0))
#define CONCERNED(m) (out && (BIT(block) & (m)) != 0)

inline enter(i, m) {
	d_step { ticket[i] = tickets; tickets++; queued[i] = true; range[i] = m }
	d_step { FIRST(i) -> service[i] = true }
}
inline leave(i) { d_step { queued[i] = false; service[i] = false } }

/* What the plan wants recalled, and closed: the hull of that and of the last block. */
#define CLAUSE(s) (BIT(TAIL(s)) * ((s) % 2))
#define HULL(s) (4 | (((ALL >> TAIL(s)) << TAIL(s)) * ((s) % 2)))

proctype Grow() {
	byte want, closes;

#ifdef M_TAIL_NOT_CLOSED
#define CLOSES(s) 4
#else
#define CLOSES(s) HULL(s)
#endif
	enter(0, CLOSES(size));
again:
	atomic { want = CLAUSE(size); closes = CLOSES(size) }
	if
	:: (closes & ~range[0]) != 0 -> goto widen
	:: else
	fi;
	/* Marks, and waits. */
	d_step { if :: CONCERNED(want) && !returned -> recalled = true :: else fi }
	(!CONCERNED(want) || DRAINED);
	atomic { !file_mutex -> file_mutex = true }
#ifndef M_NOT_PLANNED_UNDER_MUTEX
	atomic { want = CLAUSE(size); closes = CLOSES(size) }
#ifdef M_RANGE_NOT_LOOKED_AT
	if
	:: CONCERNED(want) && !DRAINED ->
#else
	if
	:: (closes & ~range[0]) != 0 || (CONCERNED(want) && !DRAINED) ->
#endif
		file_mutex = false;
		goto widen
	:: else
	fi;
#endif
	/* Zeroes the rest of the old tail block: nobody writes there (L2, P21), and nobody can begin to. */
	d_step {
		assert(size % 2 == 0 || !out || block != TAIL(size) || DRAINED);
		assert(size % 2 == 0 || (range[0] & BIT(TAIL(size))) != 0)
	}
	size = 6;
	file_mutex = false;
	leave(0);
	goto over;
widen:
#ifdef M_EXTENDED_IN_PLACE
	range[0] = ALL;
#else
	atomic { service[0] = false; range[0] = ALL }
	d_step { FIRST(0) -> service[0] = true }
#endif
	goto again;
over:	skip
}

proctype Shrink() {
	enter(1, ALL);
	d_step { if :: out && !returned -> recalled = true :: else fi }
	(DRAINED);
	atomic { !file_mutex -> file_mutex = true }
	assert(DRAINED);
	if :: size > 1 -> size = 1 :: else fi;
	file_mutex = false;
	leave(1)
}

proctype Holder() {
	byte rounds, b;

	do
	:: rounds < 2 ->
		if :: b = 0 :: b = 1 fi;
#ifdef M_GRANT_LOOKS_AWAY
		atomic { true -> out = true; recalled = false; returned = false; block = b }
#else
		if
		:: atomic { !CLOSED(BIT(b)) -> out = true; recalled = false; returned = false; block = b }
		:: else ->
			enter(2, BIT(b));
			d_step { out = true; recalled = false; returned = false; block = b }
			leave(2)
		fi;
#endif
		d_step { if :: !recalled -> pins++ :: else fi }
		/* Commits, or does not: up to the end of its block. */
		if
		:: atomic { !file_mutex -> file_mutex = true };
			if :: size < 6 && TAIL(size) == b && size % 2 == 1 -> size = size + 1 :: size % 2 == 0 && TAIL(size) == b -> size = size + 1 :: else fi;
			file_mutex = false
		:: skip
		fi;
		if :: recalled :: skip fi;
		returned = true;
		d_step { if :: pins > 0 -> pins-- :: else fi }
		out = false;
		rounds++
	:: else -> break
	od
}

init { atomic { run Grow(); run Shrink(); run Holder() } }
