/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * L14 and the writers' side of it: what a stream of others cannot hold up for ever, each thread taking steps (weak fairness). The queue is a channel in order of arrival; all ranges
 * overlap. One of
 *
 *   BREAK   a break, against pins and unpins of one lease and grants of another without end
 *   GRANT   a grant, against two operations without end
 *   DRAIN   the wait for counted writers, against two writers without end (on ranges that are not being changed)
 */
bool reached;
ltl in_the_end { <> reached }

#if defined(BREAK) || defined(GRANT)
chan queue = [4] of { byte };

inline be_first(me) {
	queue!me;
#ifdef M_NOT_IN_ORDER
	atomic { !busy -> busy = true }
#else
	queue?[eval(me)]
#endif
}
inline leave(me) {
#ifdef M_NOT_IN_ORDER
	queue??eval(me);
	busy = false
#else
	queue?eval(me)
#endif
}
bool busy;
#endif

#ifdef BREAK
bool recalled, returned, again_out;
byte pins, again_pins;

proctype Break() {
	be_first(0);
	recalled = true;
	(returned && pins == 0);
	/* The other lease: here or not, but if it is, it is recalled and given back. */
	(!again_out);
	reached = true;
	leave(0)
}
proctype Pinner() {
	do
#ifdef M_PIN_WHILE_RECALLED
	:: atomic { !returned || recalled -> pins++ }; pins--
#else
	:: atomic { !recalled && !returned -> pins++ }; pins--
#endif
	:: atomic { recalled && !returned -> returned = true }
	od
}
proctype Granter() {
	do
#ifdef M_GRANT_LOOKS_AWAY
	:: again_out = true;
#else
	:: atomic { empty(queue) -> again_out = true };
#endif
		again_out = false
	od
}
init { atomic { run Break(); run Pinner(); run Pinner(); run Granter() } }
#endif

#ifdef GRANT
proctype Grant() {
	be_first(0);
	reached = true;
	leave(0)
}
proctype Operation(byte me) {
	do
	:: true -> be_first(me); leave(me)
	od
}
init { atomic { run Grant(); run Operation(1); run Operation(2) } }
#endif

#ifdef DRAIN
byte count[2];
bool parity;

proctype Drain() {
#ifdef M_BOTH_SIDES_AT_ONCE
	(count[0] + count[1] == 0);
#else
	byte round;
	bool old;

	do
	:: round < 2 ->
		atomic { old = parity; parity = !parity }
		(count[old] == 0);
		round++
	:: else -> break
	od;
#endif
	reached = true
}
proctype Writer() {
	bool side;

	do
	:: true ->
		side = parity;
		count[side]++;
		count[side]--
	od
}
init { atomic { run Drain(); run Writer(); run Writer() } }
#endif
