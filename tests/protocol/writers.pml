/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * In-place writers against operations that copy, share or move blocks, and against grants of STABLE leases: lib/lease/writers.c. A writer counts itself on the present side, then
 * looks whether its range is changing and whether a solid lease is in the way, then stores. Who changes marks, then drains; a grant becomes visible, then drains. One
 * stripe: a sum over stripes that writers leave is no other than one counter read late.
 *
 * Switches: OPS, how many operations one after the other; WRITES, how often a writer writes.
 */
#ifndef OPS
#define OPS 1
#endif
#ifndef WRITES
#define WRITES 1
#endif
byte count[2];
bool parity;
byte nchanging, nsettling, nsolid;
bool draining;
bool sig[4]; /* two operations, two writers */
bool copying, stable; /* ghosts: the blocks are being copied, or may not change behind a holder */

inline wake() { d_step { sig[0] = true; sig[1] = true; sig[2] = true; sig[3] = true } }
inline sleep_until_zero(me, side) {
	do
	:: true ->
		sig[me] = false;
		if :: count[side] == 0 -> break :: else fi;
		(sig[me])
	od
}
inline uncount(side) {
	d_step { count[side]--; last = (count[side] == 0) }
	if
#ifdef M_SETTLING_FORGOTTEN
	:: last && nchanging > 0 -> wake()
#else
#ifdef M_LAST_NO_WAKE
	:: false
#else
	:: last && (nchanging > 0 || nsettling > 0) -> wake()
#endif
#endif
	:: else
	fi
}
inline drain(me) {
	quick = (count[0] == 0);
	quick = quick && (count[1] == 0);
	if
	:: quick
	:: else ->
		do
		:: true ->
			sig[me] = false;
			d_step { mine = !draining; draining = true }
			if :: mine -> break :: else fi;
			(sig[me])
		od;
#ifdef M_ONE_SIDE
		atomic { side = parity; parity = !parity }
		sleep_until_zero(me, side);
#else
		atomic { side = parity; parity = !parity }
		sleep_until_zero(me, side);
		atomic { side = parity; parity = !parity }
		sleep_until_zero(me, side);
#endif
		draining = false;
#ifndef M_DRAINED_NO_WAKE
		wake()
#endif
	fi
}

/* Marks, drains, copies, opens. */
proctype Op(byte me) {
	bool quick, mine, side;
	byte n;

	do
	:: n < OPS ->
#ifdef M_DRAINS_FIRST
		drain(me);
		nchanging++;
#else
		nchanging++;
		drain(me);
#endif
		copying = true;
		copying = false;
		nchanging--;
		wake();
		n++
	:: else -> break
	od
}
/* A STABLE lease granted, settled, and given back. */
proctype Grant(byte me) {
	bool quick, mine, side;

	nsolid++;
#ifdef M_SETTLING_LATE
	drain(me);
	nsettling++;
#else
	nsettling++;
	drain(me);
#endif
	nsettling--;
	stable = true;
	stable = false;
	nsolid--
}
proctype Writer(byte me) {
	bool side, last;
	byte n;

	do
	:: n < WRITES ->
		do
		:: true ->
#ifdef M_LOOKS_FIRST
			if :: nchanging > 0 -> goto wait :: else fi;
			side = parity;
			count[side]++;
#else
			side = parity;
			count[side]++;
			if :: nchanging > 0 -> uncount(side); goto wait :: else fi;
#endif
			if
			:: nsolid == 0 -> assert(!copying && !stable) /* the store */
			:: else /* an operation: it breaks the lease first */
			fi;
			uncount(side);
			break;
wait:
			do
			:: true ->
				sig[me] = false;
				if :: nchanging == 0 -> break :: else fi;
				(sig[me])
			od
		od;
		n++
	:: else -> break
	od
}

init {
	atomic {
		run Op(0);
#ifdef GRANT
		run Grant(1);
#else
		run Op(1);
#endif
		run Writer(2);
		run Writer(3)
	}
	(_nr_pr == 1);
	assert(count[0] + count[1] == 0 && !draining)
}
