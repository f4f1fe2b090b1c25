/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Waiting by key: lib/base/waitq.c. Two keys fall into one bucket, one of which has a waiter that listens to both, as a break listens to its file and its cancel. A waker that
 * finds the bucket's count at 0 takes no lock, and one that finds the waiter awake still does not call the kernel. Nobody sleeps for ever although what it waits for is so (L13).
 */
#define ARMED 0
#define ASLEEP 1
#define SIGNALED 2
bool state[2];   /* what the keys stand for */
byte count;      /* of the bucket's entries */
bool entry[4];   /* waiter * 2 + key */
bool mutex;
byte word[2];    /* the waiter's: the futex */
bool sleeps[2];  /* in the kernel */

inline add(w, key) {
	atomic { !mutex -> mutex = true }
	entry[w * 2 + key] = true;
#ifndef M_NOT_COUNTED
	count++;
#endif
	mutex = false
}
inline remove(w, key) {
	atomic { !mutex -> mutex = true }
	entry[w * 2 + key] = false;
#ifndef M_NOT_COUNTED
	count--;
#endif
	mutex = false
}
inline tell(w) {
	d_step { old = word[w]; word[w] = SIGNALED }
	if :: old == ASLEEP -> sleeps[w] = false :: else fi
}
inline wake(key) {
#ifndef M_COUNT_LOADED_FIRST
	seen = count;
#endif
	if
	:: seen == 0
	:: else ->
		atomic { !mutex -> mutex = true }
		if :: entry[key] -> tell(0) :: else fi;
		if :: entry[2 + key] -> tell(1) :: else fi;
		mutex = false
	fi
}
inline sleep(w) {
#ifndef M_SLEEPS_UNSAID
	d_step { if :: word[w] == ARMED -> word[w] = ASLEEP :: else fi }
#endif
	do
	:: word[w] == SIGNALED -> break
	:: d_step { word[w] != SIGNALED -> sleeps[w] = true };
		(!sleeps[w])
	od
}

proctype Waker(byte key) {
	byte seen, old;

#ifdef M_WAKES_FIRST
	wake(key);
	state[key] = true
#else
#ifdef M_COUNT_LOADED_FIRST
	seen = count;
#endif
	state[key] = true;
	wake(key)
#endif
}

/* Waits for both states, and listens to both keys; or for key 1 alone. */
proctype Waiter(byte w) {
#ifdef M_LOOKS_BEFORE_IT_LISTENS
	bool ready = state[1] && (state[0] || w == 1);
	if :: ready -> goto over :: else fi;
#endif
	if :: w == 0 -> add(w, 0) :: else fi;
	add(w, 1);
#ifdef M_LOOKS_BEFORE_IT_LISTENS
	sleep(w);
#endif
	do
	:: true ->
#ifndef M_ARMS_AFTER_THE_LOOK
		word[w] = ARMED;
		if :: state[1] && (state[0] || w == 1) -> break :: else fi;
#else
		if :: state[1] && (state[0] || w == 1) -> break :: else fi;
		word[w] = ARMED;
#endif
		sleep(w)
	od;
	if :: w == 0 -> remove(w, 0) :: else fi;
	remove(w, 1);
over:	skip
}

init {
	atomic { run Waker(0); run Waker(1); run Waiter(0); run Waiter(1) }
	(_nr_pr == 1);
	assert(count == 0)
}
