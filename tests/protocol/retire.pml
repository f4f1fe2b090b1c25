/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Freed blocks and those who may still reach them: lib/file/reclaim.c, lib/file/retire.c, lib/space/limbo.c. Two operations replace a file's block one after the other, each hands the old
 * one to the pool's thread, which sleeps while there is none; one grace period after the other, each for a batch. A reader copies from a block inside a read section. The first block is
 * pinned, too, and went to limbo: what is pinned is not covered by grace periods, and what is read is not covered by the pin. Somebody short of blocks waits for frees. In the end the
 * thread is stopped.
 *
 * Promised: a block is free only when neither reader nor device reaches it (L1), each is freed once, none is left behind, nobody waits for ever, and who has waited for frees finds free
 * what was retired before.
 */
#define ASLEEP 0
#define AWAKE 9      /* the thread is, and nothing waits */
byte map;            /* the file's block: 0, 1, 2 */
byte ref[3];         /* what refers to it: file, limbo */
byte list;           /* ASLEEP, AWAKE, or the newest that waits. Block n is n + 1 here */
byte next[4];
byte rounds;
bool signaled, done; /* of the thread's waiter, and of the one that waits for frees */
bool stop;
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
		next[old + 1] = (head == AWAKE -> 0 : head);
		first = false;
		if
		:: d_step { list == head -> list = old + 1; first = true }
		:: else
		fi;
		if :: first -> break :: else fi
	od;
	retired = retired | (1 << old);
	if
	:: head == ASLEEP -> signaled = true
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
	:: l != 0 -> b = l - 1; l = next[l]; put(b)
	:: else -> break
	od;
#ifndef M_ROUND_COUNTED_FIRST
	rounds++
#endif
}

/* From being woken until it may sleep again. When it dozes or naps it only takes longer. */
inline rounds_until_idle() {
	idle = false;
	first = true;
	do
	:: !idle ->
#ifdef M_LIST_READ_THEN_CLEARED
		l = list;
		list = AWAKE;
#else
		atomic { l = list; list = AWAKE };
#endif
		if
		:: l != AWAKE ->
#ifdef M_NEXT_BATCH_AT_ONCE
			if :: first -> grace_period() :: else fi;
#else
			grace_period();
#endif
			first = false;
			free_batch();
			done = true
		:: else ->
			done = true;
#ifdef M_IDLE_WITHOUT_A_LOOK
			list = ASLEEP;
			idle = true
#else
			atomic { if :: list == AWAKE -> list = ASLEEP; idle = true :: else fi }
#endif
		fi
	:: else -> break
	od;
#ifndef M_SLEEPS_WITHOUT_A_WORD
	done = true
#endif
}

proctype Thread() {
	byte l, b, g;
	bool idle, first;

	do
	:: true ->
#ifndef M_ARMED_AFTER_THE_LOOK
		signaled = false;
#endif
		if
		:: list != ASLEEP -> rounds_until_idle()
		:: list == ASLEEP && stop -> break
		:: list == ASLEEP && !stop ->
#ifdef M_ARMED_AFTER_THE_LOOK
			signaled = false;
#endif
			signaled
		fi
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
	signaled = true; /* it is not to doze */
	do
	:: true ->
		done = false;
		if
#ifdef M_ONE_ROUND
		:: list == ASLEEP || rounds - begun >= 1 -> break
#else
		:: list == ASLEEP || rounds - begun >= 2 -> break
#endif
		:: else -> done
		fi
	od;
	assert((before & 1) == 0 || ref[0] == 0 || pinned || ref[0] == 1);
	assert((before & 2) == 0 || ref[1] == 0)
}

init {
	atomic { ref[0] = 1; at = 3; run Thread(); run Operation(); run Operation(); run Reader(); run Short() }
	(_nr_pr == 2);
	stop = true;
	signaled = true;
	(_nr_pr == 1);
	assert(list == ASLEEP && ref[0] == 0 && ref[1] == 0 && ref[2] == 1)
}
