/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Freed blocks and those who may still reach them: lib/file/retire.c, lib/space/limbo.c. Two operations replace a file's block one after the other, each hands the old one to the retiring
 * side; one grace period after the other, each for a batch. A reader copies from a block inside a read section. The first block is pinned, too, and went to limbo: what is pinned
 * is not covered by grace periods, and what is read is not covered by the pin. Somebody short of blocks waits for frees.
 *
 * Promised: a block is free only when neither reader nor device reaches it (L1), each is freed once, none is left behind, and who has waited for frees finds free what was retired before.
 */
#define NULL 0
#define NOTHING 9 /* the mark: a grace period is under way, nothing waits for the next */
byte map;            /* the file's block: 0, 1, 2 */
byte ref[3];         /* what refers to it: file, limbo */
byte list, grace;    /* the newest that waits; the batch whose grace period is under way. Block n is n + 1 here */
byte next[4];
byte rounds;
bool queued;         /* the callback has been given to RCU */
bool reading, pinned = true;
byte reads;          /* sections begun */
byte at;             /* the reader's block */
bool file_mutex;
byte retired;        /* ghost: those whose retire has been handed over */

inline put(b) {
	d_step {
		assert(ref[b] > 0);
		ref[b]--;
		assert(ref[b] > 0 || !(reading && at == b)); /* the reader */
		assert(ref[b] > 0 || b != 0 || !pinned)      /* the device: L1 */
	}
}
/* Every read section that had begun by now has ended. */
inline grace_period() {
#ifndef M_NO_GRACE_PERIOD
	if
	:: atomic { reading -> g = reads }; (!reading || reads != g)
	:: atomic { !reading -> skip }
	fi
#else
	skip
#endif
}

proctype Operation() {
	byte old, head;
	bool first;

	atomic { !file_mutex -> file_mutex = true }
	old = map;
	ref[old + 1] = 1;
#ifndef M_LIMBO_NOT_COUNTED
	if :: old == 0 -> ref[0]++ :: else fi; /* limbo's */
#endif
	map = old + 1;
	file_mutex = false;
	/* daxl_retire_start */
	do
	:: true ->
		head = list;
		next[old + 1] = (head == NOTHING -> NULL : head);
		first = false;
		if
		:: d_step { list == head -> list = (head == NULL -> NOTHING : old + 1); first = true }
		:: else
		fi;
		if :: first -> break :: else fi
	od;
	retired = retired | (1 << old);
	if
	:: head == NULL -> grace = old + 1; queued = true
	:: else
	fi;
	if
	:: old == 0 ->
		/* The device's last pin, at some time. */
		pinned = false;
#ifndef M_LIMBO_NOT_COUNTED
		put(0)
#endif
	:: else
	fi
}

inline free_batch() {
#ifdef M_ROUND_COUNTED_FIRST
	rounds++;
#endif
	do
	:: l != NULL -> b = l - 1; l = next[l]; put(b)
	:: else -> break
	od;
#ifndef M_ROUND_COUNTED_FIRST
	rounds++
#endif
}

proctype Worker() {
	byte l, b, g;
	bool idle;

	do
	:: atomic { queued -> queued = false };
		grace_period();
		l = grace;
		free_batch();
		/* What came meanwhile gets a grace period here, as often as the worker cares to. */
		do
		:: true ->
#ifdef M_LIST_READ_THEN_CLEARED
			l = list;
			list = NOTHING;
#else
			atomic { l = list; list = NOTHING }
#endif
			if :: l == NOTHING -> break :: else fi;
#ifndef M_NEXT_BATCH_AT_ONCE
			grace_period();
#endif
			free_batch()
		:: break
		od;
#ifdef M_IDLE_WITHOUT_A_LOOK
		list = NULL;
		idle = true;
#else
		atomic { idle = (list == NOTHING); if :: idle -> list = NULL :: else fi }
#endif
		if
		:: idle
		:: else -> atomic { grace = list; list = NOTHING }; queued = true
		fi
	:: timeout -> break
	od
}

proctype Reader() {
	/* The read section's begin, and the lookup in it, are two steps. */
	d_step { reading = true; reads++; at = 3 }
	at = map;
	d_step { reading = false; at = 3 }
}

/* -ENOSPC: waits once for what was retired before. */
proctype Short() {
	byte before, begun;

	before = retired;
	begun = rounds;
#ifdef M_ONE_ROUND
	(list == NULL || rounds - begun >= 1);
#else
	(list == NULL || rounds - begun >= 2);
#endif
	assert((before & 1) == 0 || ref[0] == 0 || pinned || ref[0] == 1);
	assert((before & 2) == 0 || ref[1] == 0)
}

init {
	atomic { ref[0] = 1; at = 3; run Operation(); run Operation(); run Worker(); run Reader(); run Short() }
	(_nr_pr == 1);
	assert(list == NULL && !queued && ref[0] == 0 && ref[1] == 0 && ref[2] == 1)
}
