/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The gate of the log: lib/log/log.c. Tickets by compare-and-swap on a word that also says whether the gate is closed; a watermark that whoever leaves moves over all finished
 * tickets; entries that name their position, so that nobody clears them; waiting without a lock. Window: two positions. Two writers with two tickets each, of one and of two
 * slots, and somebody who closes the gate, as a checkpoint does; or one ticket each, and two who close it (TWO_CLOSERS).
 */
#define WINDOW 2
#define NONE 255
#ifdef TWO_CLOSERS
#define ROUNDS 1
#else
#define ROUNDS 2
#endif
byte head, watermark;
bool closed;
byte done_at[WINDOW], done_slots[WINDOW];
byte waiters, wakes;
byte inside; /* ghost: between ticket and leave */

inline wake_waiters() {
#ifndef M_WAITERS_NOT_LOOKED_AT
	if :: waiters > 0 -> wakes++ :: else fi
#else
	skip
#endif
}
/* ready: an expression over shared state. */
#ifdef M_COUNTS_ITSELF_LATE
#define WAIT_UNTIL(ready) do :: true -> seen = wakes; if :: ready -> break :: else fi; waiters++; (wakes != seen); waiters-- od
#else
#ifdef M_WAKES_READ_LATE
#define WAIT_UNTIL(ready) waiters++; do :: true -> if :: ready -> break :: else fi; seen = wakes; (wakes != seen) od; waiters--
#else
#define WAIT_UNTIL(ready) waiters++; do :: true -> seen = wakes; if :: ready -> break :: else fi; (wakes != seen) od; waiters--
#endif
#endif

inline enter() {
	do
	:: true ->
		w = watermark;
		d_step { p = head; shut = closed }
		if
#ifdef M_WINDOW_IGNORED
		:: shut ->
#else
		:: shut || p - w >= WINDOW ->
#endif
			WAIT_UNTIL(!closed && head - watermark < WINDOW)
		:: else ->
			if
#ifdef M_CLOSED_NOT_IN_WORD
			:: d_step { head == p -> head = head + slots; inside++ }; break
#else
			:: d_step { head == p && !closed -> head = head + slots; inside++ }; break
#endif
			:: else
			fi
		fi
	od
}
inline leave() {
	inside--;
#ifdef M_ENTRY_AFTER_LOOK
	w = watermark;
	moved = false;
	d_step { done_at[p % WINDOW] = p; done_slots[p % WINDOW] = slots }
	if :: w == p -> watermark = p + slots; moved = true :: else fi;
#else
	w = watermark;
	moved = w == p;
	if
	:: moved -> watermark = p + slots
	:: else -> d_step { done_at[p % WINDOW] = p; done_slots[p % WINDOW] = slots }
	fi;
	do
	:: true ->
#ifdef M_MOVES_ONE
		if :: moved -> break :: else fi;
#endif
		w = watermark;
		d_step { at = done_at[w % WINDOW]; n = done_slots[w % WINDOW] }
#ifdef M_ENTRY_WITHOUT_POSITION
		if :: at == NONE -> break :: else fi;
#else
		if :: at != w -> break :: else fi;
#endif
		d_step {
			assert(w + n <= head);
			if :: watermark == w -> watermark = w + n; moved = true :: else fi
		}
	od;
#endif
	if :: moved -> wake_waiters() :: else fi
}

proctype Writer(byte slots) {
	byte w, p, n, at, seen, rounds;
	bool shut, moved;

	do
	:: rounds < ROUNDS -> enter(); leave(); rounds++
	:: else -> break
	od
}
proctype Closer() {
	byte p, seen, rounds;
	bool shut;

	do
	:: true ->
		d_step { shut = closed; closed = true; p = head }
		if :: !shut -> break :: else fi;
		WAIT_UNTIL(!closed)
	od;
	WAIT_UNTIL(watermark == p);
	assert(inside == 0 && head == p); /* nobody is between ticket and publish, and nobody gets in */
	assert(head == p);
	closed = false;
	wake_waiters()
}
init {
	atomic {
		done_at[0] = NONE; done_at[1] = NONE;
		run Writer(1); run Writer(2); run Closer()
#ifdef TWO_CLOSERS
		; run Closer()
#endif
	}
	(_nr_pr == 1);
	assert(watermark == head && inside == 0 && waiters == 0)
}
