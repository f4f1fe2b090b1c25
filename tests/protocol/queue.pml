/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Entering the queues of two files, and widening: lib/lease/queue.c. Three operations; each may find, once it is first, that it needs the whole file: it then leaves service,
 * keeps its ticket, closes all and waits to be first again. Operations 0 and 1 are over both files, named in different order; 2 is over the first alone, which it closes without a place in the
 * queue where that is empty. Ranges are masks of two blocks.
 *
 * Promised: no two operations that overlap are in service together (L3), nobody waits for ever.
 */
#define NOPS 3
#define ALL 3
byte tickets[2], ticket[NOPS * 2], range[NOPS * 2];
bool queued[NOPS], service[NOPS];
bool inside[NOPS]; /* ghost */
byte widened;

#define OVERLAP(i, j, f) ((range[i * 2 + f] & range[j * 2 + f]) != 0)
#ifdef M_SERVED_IGNORED
#define BEHIND(i, j, f) (ticket[j * 2 + f] < ticket[i * 2 + f])
#else
#define BEHIND(i, j, f) (ticket[j * 2 + f] < ticket[i * 2 + f] || service[j])
#endif
#define BLOCKED_BY(i, j) (i != j && queued[j] && ((OVERLAP(i, j, 0) && BEHIND(i, j, 0)) || (OVERLAP(i, j, 1) && BEHIND(i, j, 1))))
#define FIRST(i) (!BLOCKED_BY(i, 0) && !BLOCKED_BY(i, 1) && !BLOCKED_BY(i, 2))
#define CLASH(i, j) (i != j && inside[j] && (OVERLAP(i, j, 0) || OVERLAP(i, j, 1)))

/* rl->alone of the first file: NULL, the mark, or operation 2. */
#define FREE 0
#define MARK 1
#define INSIDE 2
byte alone;

/* Both inside of a step with the mutex held. */
inline settle() {
#ifndef M_WHO_IS_ALONE_NOT_SETTLED
	if
	:: alone == INSIDE -> ticket[2 * 2] = tickets[0]; tickets[0]++; queued[2] = true; service[2] = true
	:: else
	fi;
#endif
	alone = MARK
}
inline reopen() {
#ifdef M_REOPENED_TOO_EARLY
	alone = FREE
#else
	if :: !queued[0] && !queued[1] && !queued[2] -> alone = FREE :: else fi
#endif
}

bool sig[NOPS];
inline wake() { d_step { sig[0] = true; sig[1] = true; sig[2] = true } }
inline wait_first() {
	do
	:: true ->
		sig[id] = false;
		d_step { service[id] = FIRST(id); first = service[id] }
		if :: first -> break :: else fi;
		(sig[id])
	od
}

proctype Op(byte id; byte a; byte b) {
	bool first;
	bool more = true;

	if
	:: b == 0 ->
		range[id * 2] = a;
		if
		:: atomic { alone == FREE -> alone = INSIDE }; goto again
		:: atomic { alone != FREE -> skip }
		fi
	:: else
	fi;
#ifdef M_ONE_AFTER_THE_OTHER
	/* Each file's queue by itself, in the order that the call names them. */
	if
	:: id == 1 ->
		d_step { range[id * 2 + 1] = b; ticket[id * 2 + 1] = tickets[1]; tickets[1]++; queued[id] = true }
		d_step { settle(); range[id * 2] = a; ticket[id * 2] = tickets[0]; tickets[0]++ }
	:: else ->
		d_step { settle(); range[id * 2] = a; ticket[id * 2] = tickets[0]; tickets[0]++; queued[id] = true }
		d_step { range[id * 2 + 1] = b; ticket[id * 2 + 1] = tickets[1]; tickets[1]++ }
	fi;
#else
	d_step {
		settle();
		range[id * 2] = a; ticket[id * 2] = tickets[0]; tickets[0]++;
		range[id * 2 + 1] = b; ticket[id * 2 + 1] = tickets[1]; tickets[1]++;
		queued[id] = true
	}
#endif
	wait_first();
again:
	atomic { assert(!CLASH(id, 0) && !CLASH(id, 1) && !CLASH(id, 2)); inside[id] = true }
	inside[id] = false;
	if
	:: more -> /* it needs more than it has closed */
		more = false;
		d_step {
			settle();
#ifndef M_EXTENDS_IN_PLACE
			service[id] = false;
#endif
			if :: a != 0 -> range[id * 2] = ALL :: else fi;
			if :: b != 0 -> range[id * 2 + 1] = ALL :: else fi
		}
#ifndef M_WIDEN_NO_WAKE
		wake();
#endif
		wait_first();
		goto again
	:: skip
	fi;
	if
	:: atomic { alone == INSIDE && id == 2 -> alone = FREE }
	:: atomic {
		!(alone == INSIDE && id == 2) ->
		d_step { queued[id] = false; service[id] = false; reopen() }
	   };
#ifndef M_LEAVE_NO_WAKE
		wake()
#endif
	fi
}

init { atomic { run Op(0, 1, 2); run Op(1, 3, 3); run Op(2, 2, 0) } }
