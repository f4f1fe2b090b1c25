/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The lease word, the queue of a range, recall, return, the deadline, limbo, cancel and commit: lib/lease.
 *
 * Two breakers that each replace the blocks of their range by new ones, as copy-on-write does; punch, truncate and the like differ only in what comes after. Lease 0 is there
 * at the start and has two workers, A, who also answers the recall, and B. Lease 1 is acquired by C, twice into the same slot. The file has two blocks; each block of the
 * file has had up to three blocks of the pool ("versions"), with counts of what refers to them.
 *
 * What the code does in one atomic read-modify-write is one d_step here. A scan under the range mutex is one step a lease: the mutex does not stop pins. A wake is one step;
 * that it is not lost between the table's bucket and the sleeper is in waitq.pml. Time is the global now, 0 to 2, and moves whenever it likes.
 *
 * Switches that choose a variant, see README.md: APART, TIMED, ON0, ON1, DEAD, CANCEL, IMPLICIT, COMMIT, PROMPT, LATE_FREE, WATCH, WITH_B, WITH_C, HOLDWAIT, AGAIN. Switches that begin with M_
 * make a mutant: each must be found.
 */
#ifdef WITH_C
#define NL 2
#else
#define NL 1 /* the second place of the arrays stays empty */
#endif
#define NB 2
#define NREQ 3 /* who queues: the breakers, and C */

#define FOREVER 0
#define FAIL 1
#define FENCE 2
#define LIMBO 3
#ifndef ON0
#define ON0 FOREVER
#endif
#ifndef ON1
#define ON1 FOREVER
#endif
#define ON(b) ((b) == 0 -> ON0 : ON1)
#define INF 9
#ifdef AGAIN
#define TIMES 2
#else
#define TIMES 1
#endif

/* Ranges as masks of the file's two blocks. */
#ifdef APART
#define MASK(b) ((b) == 0 -> 1 : 2)
#define LEASE_MASK(l) ((l) == 0 -> 3 : 2)
#else
#define MASK(b) 1
#define LEASE_MASK(l) 1
#endif
#define REQ_MASK(i) ((i) < NB -> MASK(i) : LEASE_MASK(1))

/* word.h */
byte pins[2], refs[2];
bool rec[2], ret[2], fen[2], lim[2], ended[2];
#ifdef IMPLICIT
#define IMPL(l) ((l) == 0)
#else
#define IMPL(l) false
#endif
#define NOT_LIVE(l) (rec[l] || ret[l] || fen[l] || lim[l])
#define OVER(l) (ret[l] || fen[l] || lim[l])
#define BUSY(l) (!fen[l] && (pins[l] > 0 || (IMPL(l) && !ret[l])))
#define DRAINED(l) (OVER(l) && !BUSY(l))
#define LAST(l) (ended[l] && pins[l] == 0 && refs[l] == 0)

/* The rest of a lease; guarded by the range mutex. */
bool indexed[2], fencing[2];
byte span[2];      /* what is left of its range */
byte deadline[2];
byte failed_for[2]; /* breakers for whom a fence of it has been refused */
byte limbo_by[2];   /* breakers that go on without it */
byte links[2];      /* lists of limbo blocks, one a breaker, whose holds it has */

/* Ghosts. */
bool freed[2];
bool stopped[2];   /* the holder's fence has said that its device is stopped */
byte dma[2];       /* the device is at work */
byte told[2];      /* recalls delivered */
byte fences[2];    /* running now */
byte seen[4];  /* the map as granted */
bool dead;          /* the holder of lease 0 does nothing any more */
bool b_tried;
byte bdone;

/* The file and its blocks. */
bool file_mutex, mutex;
byte map[2];
byte bref[6];       /* of version v of block f: f * 3 + v */
byte holds[NB];     /* on a breaker's list of limbo blocks */
byte list[NB * 2];  /* the versions in it */

/* The queue. */
byte tickets, ticket[NREQ];
bool queued[NREQ], service[NREQ];
#define BLOCKS(j, i) (j != i && queued[j] && (REQ_MASK(j) & REQ_MASK(i)) != 0 && (ticket[j] < ticket[i] || service[j]))
#define FIRST(i) (!BLOCKS(0, i) && !BLOCKS(1, i) && !BLOCKS(2, i))

/* Waiting. */
bool listens[NREQ], sig[NREQ];
byte now;
bool cancelled;
byte due[NB];
bool since[NB], limbo[NB];

#define FOR(v, n) v = 0; do :: v < n ->
#define ROF(v) ; v++ :: else -> break od

inline lock() { atomic { !mutex -> mutex = true } }
inline unlock() { mutex = false }
inline wake() { d_step { sig[0] = listens[0]; sig[1] = listens[1]; sig[2] = listens[2] } }
#define LOCALS bool did, last, nl, dr; byte k
/* What is not needed any more is cleared: fewer states. */
#define CLEAR did = false; last = false; nl = false; dr = false; k = 0

/* --- blocks --- */
#define TOUCHES(l, f, v) (dma[l] > 0 && !stopped[l] && (LEASE_MASK(l) & (1 << f)) != 0 && seen[l * 2 + f] == v)
inline block_put(f, v) {
	d_step {
		assert(bref[f * 3 + v] > 0);
		bref[f * 3 + v]--;
		assert(bref[f * 3 + v] > 0 || (!TOUCHES(0, f, v) && !TOUCHES(1, f, v))) /* L1 */
	}
}
inline limbo_put(b) {
	d_step { assert(holds[b] > 0); holds[b]--; last = (holds[b] == 0) }
	if
	:: last && (MASK(b) & 1) != 0 -> block_put(0, list[b * 2])
	:: else
	fi;
	if
	:: last && (MASK(b) & 2) != 0 -> block_put(1, list[b * 2 + 1])
	:: else
	fi
}

/* --- lease.c, return.c --- */
#define DRAINS_LIMBO(l, was_busy) (lim[l] && was_busy && !BUSY(l))
inline last_out(l) {
	if
	:: indexed[l] ->
		d_step { !mutex -> indexed[l] = false };
		wake()
	:: else
	fi;
	d_step { assert(!freed[l] && pins[l] == 0 && refs[l] == 0 && links[l] == 0); freed[l] = true }
}
inline unref(l) {
	d_step { assert(!freed[l] && refs[l] > 0); refs[l]--; last = LAST(l) }
	if :: last -> last_out(l) :: else fi
}
/* For whose step has drained it: limbo's reference is put as well. */
inline drain_limbo(l) {
	assert(!freed[l]);
	d_step { !mutex -> k = links[l]; links[l] = 0 }
	if :: (k & 1) != 0 -> limbo_put(0) :: else fi;
	if :: (k & 2) != 0 -> limbo_put(1) :: else fi;
#ifndef M_LIMBO_NO_REF
	unref(l)
#endif
}
#define MAP_IS_SEEN(l) (((span[l] & 1) == 0 || seen[l * 2] == map[0]) && ((span[l] & 2) == 0 || seen[l * 2 + 1] == map[1]))
inline pin(l) {
#ifdef M_PIN_ADD
	/* an add, taken back if the lease is not LIVE, without the wake that an unpin gives */
	d_step { did = !NOT_LIVE(l); pins[l]++; dma[l] = dma[l] + did }
	if :: !did -> d_step { pins[l]-- } :: else fi
#else
#ifdef M_PIN_TEST
	did = !NOT_LIVE(l);
	if :: did -> d_step { pins[l]++; dma[l]++ } :: else fi
#else
	d_step { did = !NOT_LIVE(l); assert(!did || MAP_IS_SEEN(l)); pins[l] = pins[l] + did; dma[l] = dma[l] + did }
#endif
#endif
}
inline unpin(l) {
	dma[l]--;
	d_step {
		assert(pins[l] > 0);
		did = BUSY(l);
		pins[l]--;
		dr = DRAINS_LIMBO(l, did);
		nl = (NOT_LIVE(l) && pins[l] == 0);
#ifdef M_WAKE_ONLY_RECALLED
		nl = nl && rec[l];
#endif
		last = LAST(l)
	}
	if
	:: nl && last -> last_out(l)
	:: nl && !last ->
#ifndef M_LIMBO_NO_DRAIN_AT_UNPIN
		if :: dr -> drain_limbo(l) :: else fi;
#endif
#ifdef M_TOUCH_AFTER_UNPIN
		assert(!freed[l]);
#endif
#ifndef M_UNPIN_NO_WAKE
		wake()
#endif
	:: else
	fi;
	atomic { CLEAR }
}
inline do_return(l) {
	assert(!freed[l]);
	d_step {
		!mutex;
		did = !ret[l];
		last = BUSY(l);
		if
		:: did ->
			ret[l] = true
		:: else
		fi;
		nl = BUSY(l);
		if :: did && !nl -> indexed[l] = false :: else fi;
		dr = DRAINS_LIMBO(l, last)
	}
	if
	:: did ->
#ifndef M_LIMBO_NO_DRAIN_AT_RETURN
		if :: dr -> drain_limbo(l) :: else fi;
#endif
#ifndef M_RETURN_NO_WAKE
		wake()
#endif
	:: else
	fi;
	atomic { CLEAR }
}
inline do_free(l) {
	/* Nobody has it and nobody can find it: the word is not told. */
	d_step { assert(!freed[l]); did = (ret[l] && pins[l] == 0 && refs[l] == 0 && !lim[l]) }
	did = did && !indexed[l];
	if
	:: did -> last_out(l)
	:: else ->
		d_step { ended[l] = true; last = LAST(l) }
		if :: last -> last_out(l) :: else fi
	fi;
	atomic { CLEAR }
}

/* --- recall.c --- */
#ifdef M_RETURN_IS_ENOUGH
#define WAITS(b, l) (indexed[l] && (span[l] & MASK(b)) != 0 && !OVER(l))
#else
#define WAITS(b, l) (indexed[l] && (span[l] & MASK(b)) != 0 && !DRAINED(l))
#endif
#define LATER(n) (now + (n) > 2 -> 2 : now + (n))
inline mark(b) {
	lock();
	FOR(l, NL)
		if
		:: d_step { WAITS(b, l) && !NOT_LIVE(l) ->
				rec[l] = true;
				notices = notices | (1 << l);
				deadline[l] = LATER(1);
#ifndef M_NOTICE_NO_REF
				refs[l]++
#endif
			};
#ifndef M_OWNER_NO_WAKE
			if :: l == 1 -> sig[2] = listens[2] :: else fi /* the owner's waiting calls */
#endif
		:: else
		fi
	ROF(l);
	unlock();
	FOR(l, NL)
		if
		:: (notices & (1 << l)) != 0 ->
			d_step { assert(!freed[l]); told[l]++; assert(told[l] == 1) } /* L4 */
#ifndef M_NOTICE_NO_REF
			unref(l)
#endif
		:: else
		fi
	ROF(l);
	atomic { CLEAR; notices = 0; l = 0 }
}
/* Whether nothing is left to wait for. With one lease that is one load: one step. */
#define LATE(b, l) (WAITS(b, l) && !(limbo[b] && (limbo_by[l] & (1 << b)) != 0))
inline look(b) {
#ifdef WITH_C
	lock();
	go = !LATE(b, 0);
	go = go && !LATE(b, 1);
	unlock()
#else
	d_step { !mutex -> go = !LATE(b, 0) }
#endif
}

/* Before a break listens: looks at the word of one that is late, as long as it likes, and again at all. */
inline watch(b) {
	lock();
	victim = NL;
	FOR(l, NL)
		if
		:: d_step { victim == NL && LATE(b, l) && !LAST(l) -> victim = l;
#ifndef M_WATCH_NO_REF
				refs[l]++
#endif
			}
		:: else
		fi
	ROF(l);
	unlock();
	if
	:: victim < NL ->
		assert(!freed[victim]);
#ifndef M_WATCH_NO_REF
		unref(victim)
#endif
	:: else
	fi;
	atomic { CLEAR; victim = 0; l = 0 }
	look(b)
}

/* --- fence.c --- */
inline fence(l) {
	d_step { assert(!freed[l]); fences[l]++; assert(fences[l] == 1) }
	/* The holder's function: its device is stopped, or it refuses. */
	if :: d_step { did = true; stopped[l] = true } :: did = false fi;
	fences[l]--;
	d_step {
		!mutex;
		fencing[l] = false;
		dr = false;
		if
		:: did && !DRAINED(l) -> nl = BUSY(l); fen[l] = true; indexed[l] = false; dr = DRAINS_LIMBO(l, nl)
		:: did && DRAINED(l)
		:: else -> failed_for[l] = (since[0] -> 1 : 0) | (since[1] -> 2 : 0)
		fi
	}
#ifndef M_FENCE_NO_DRAIN
	if :: dr -> drain_limbo(l) :: else fi;
#endif
	wake();
#ifdef M_FENCE_NO_REF
	assert(!freed[l])
#else
	unref(l)
#endif
}
/* rc: 0 sleep on, as long as until says; 1 look again; 2 timed out. */
inline at_deadline(b) {
	since[b] = true;
	lock();
	any = false; stubborn = false; others = false; victim = NL; again = INF;
	FOR(l, NL)
		if
		:: !WAITS(b, l)
		:: else ->
			any = true;
			if
			:: deadline[l] > now -> again = (deadline[l] < again -> deadline[l] : again)
			:: deadline[l] <= now && ON(b) == LIMBO
#ifndef M_FENCE_TWICE
			:: deadline[l] <= now && ON(b) != LIMBO && fencing[l] -> others = true
#else
			:: deadline[l] <= now && ON(b) != LIMBO && fencing[l] && victim == NL -> victim = l
#endif
			:: deadline[l] <= now && ON(b) != LIMBO && !fencing[l] && (failed_for[l] & (1 << b)) != 0 -> stubborn = true
			:: deadline[l] <= now && ON(b) != LIMBO && !fencing[l] && (failed_for[l] & (1 << b)) == 0 ->
				if :: victim == NL -> victim = l :: else fi
			fi
		fi
	ROF(l);
	fails = any && (stubborn || ON(b) == FAIL);
	if
	:: fails -> victim = NL
	:: !fails && victim < NL ->
#ifdef M_FENCE_NO_REF
		fencing[victim] = true
#else
		if
		:: d_step { !LAST(victim) -> refs[victim]++; fencing[victim] = true }
		:: else -> victim = NL
		fi
#endif
	:: !fails && victim == NL && !others && again == INF && ON(b) == LIMBO ->
		FOR(l, NL)
			if :: WAITS(b, l) -> limbo_by[l] = limbo_by[l] | (1 << b); limbo[b] = true :: else fi
		ROF(l)
	:: else
	fi;
	unlock();
	if
	:: fails -> rc = 2
	:: !fails && (victim < NL || (!others && again == INF)) ->
		rc = 1;
		if :: victim < NL -> fence(victim) :: else fi
	:: else -> rc = 0; until = again
	fi;
	atomic { CLEAR; any = false; stubborn = false; others = false; fails = false; victim = 0; again = 0; l = 0 }
}

/* --- limbo_links.c, under the file's mutex --- */
inline limbo_prepare(b) {
	d_step {
		holds[b] = 1;
#ifndef M_LIMBO_FREES
		if :: (MASK(b) & 1) != 0 -> list[b * 2] = map[0]; bref[map[0]]++ :: else fi;
		if :: (MASK(b) & 2) != 0 -> list[b * 2 + 1] = map[1]; bref[3 + map[1]]++ :: else fi
#endif
	}
	lock();
	FOR(l, NL)
		if
		:: d_step { indexed[l] && (span[l] & MASK(b)) != 0 && !DRAINED(l) && !LAST(l) ->
#ifndef M_LIMBO_MAKER_NO_REF
				refs[l]++;
#endif
				makers = makers | (1 << l) }
			holds[b]++
		:: else
		fi
	ROF(l);
	unlock()
}
inline limbo_apply(b) {
	lock();
	FOR(l, NL)
		if
		:: (makers & (1 << l)) != 0 ->
			d_step {
				assert(!freed[l]);
				did = !DRAINED(l);
				last = did && !lim[l];
				if :: did -> lim[l] = true :: else fi;
				nl = BUSY(l);
#ifndef M_LIMBO_NO_REF
				if :: last && nl -> refs[l]++ :: else fi
#endif
			}
#ifdef M_LIMBO_LINK_LATE
			unlock(); lock();
#endif
			if
			:: did ->
				span[l] = span[l] & ~MASK(b);
				if
				:: nl -> links[l] = links[l] | (1 << b); linked = linked | (1 << l)
				:: else -> indexed[l] = false
				fi
			:: else
			fi
		:: else
		fi
	ROF(l);
	unlock();
	wake()
}
inline limbo_finish(b) {
	FOR(l, NL)
		if
		:: (makers & (1 << l)) != 0 ->
			if :: (linked & (1 << l)) == 0 -> limbo_put(b) :: else fi;
#ifndef M_LIMBO_MAKER_NO_REF
			unref(l)
#endif
		:: else
		fi
	ROF(l)
}

/* --- queue.c --- */
inline enter(i) {
	d_step { !mutex -> ticket[i] = tickets; tickets++; queued[i] = true; go = FIRST(i); service[i] = go }
}
inline take_service(i) {
	d_step { !mutex -> go = FIRST(i); service[i] = go }
}
inline leave(i) {
	d_step { !mutex -> queued[i] = false; service[i] = false }
#ifndef M_LEAVE_NO_WAKE
	wake()
#endif
}

#define OWN_RECALLED (rec[1] && !OVER(1))

/* The map of the breaker's range changes. In one step: readers have RCU, and all others the file's mutex. */
#define MAY_CHANGE(l) (freed[l] || !indexed[l] || (span[l] & MASK(id)) == 0 || DRAINED(l) || (limbo[id] && (limbo_by[l] & (1 << id)) != 0))
#define NOT_REACHED(l) (dma[l] == 0 || stopped[l] || lim[l] || (limbo[id] && (limbo_by[l] & (1 << id)) != 0) || (LEASE_MASK(l) & MASK(id)) == 0)
inline change_map() {
	d_step {
		assert(MAY_CHANGE(0) && MAY_CHANGE(1)); /* L2 */
		assert(NOT_REACHED(0) && NOT_REACHED(1));
		old0 = map[0];
		old1 = map[1];
		if :: (MASK(id) & 1) != 0 -> map[0]++; bref[map[0]] = 1 :: else fi;
		if :: (MASK(id) & 2) != 0 -> map[1]++; bref[3 + map[1]] = 1 :: else fi
	}
}

proctype Breaker(byte id) {
	LOCALS;
	byte l, notices, makers, linked, victim, until, again, rc, old0, old1;
	bool go, any, stubborn, others, fails;

	enter(id);
	if
	:: !go -> /* wait_first */
		d_step { due[id] = (ON(id) == FOREVER -> INF : LATER(1)); rc = 0; listens[id] = true }
		do
		:: true ->
			sig[id] = false;
			take_service(id);
			if
			:: go -> break
			:: !go && cancelled -> rc = 2; break
			:: !go && !cancelled && now >= due[id] -> rc = 2; break
			:: else
			fi;
			(sig[id] || now >= due[id])
		od;
		atomic { listens[id] = false; sig[id] = false }
		if
		:: rc == 2 ->
#ifndef M_CANCEL_STAYS_QUEUED
			leave(id);
#endif
			goto over
		:: else
		fi
	:: else
	fi;
	if
	:: cancelled -> leave(id); goto over
	:: else
	fi;
	mark(id);
	look(id);
#ifdef WATCH
	if :: !go -> watch(id) :: else fi;
#endif
	if
	:: !go -> /* wait_done */
		d_step {
			if :: due[id] == 0 -> due[id] = (ON(id) == FOREVER -> INF : LATER(1)) :: else fi;
			until = due[id];
			listens[id] = true
		}
		do
		:: true ->
			rc = 0;
#ifdef M_ARM_LATE
			look(id);
			sig[id] = false;
#else
			sig[id] = false;
			look(id);
#endif
			if
			:: go -> break
			:: !go && cancelled -> rc = 2; break
			:: !go && !cancelled && now >= until -> at_deadline(id)
			:: else
			fi;
			if
			:: rc == 2 -> break
			:: rc == 1
			:: else ->
				if
				:: sig[id] -> until = due[id]
				:: now >= until
				fi
			fi
		od;
		atomic { listens[id] = false; sig[id] = false; until = 0; go = true }
		if
		:: rc == 2 ->
#ifndef M_CANCEL_STAYS_QUEUED
			leave(id);
#endif
			goto over
		:: else
		fi
	:: else
	fi;
#ifdef M_OPENS_EARLY
	leave(id);
#endif
	atomic { !file_mutex -> file_mutex = true }
	look(id);
	assert(go); /* L3: what was waited for only shrinks */
	if :: limbo[id] -> limbo_prepare(id) :: else fi;
	change_map();
	if
	:: limbo[id] -> limbo_apply(id); limbo_put(id) /* the creator's hold */
	:: else
	fi;
	file_mutex = false;
#ifndef M_OPENS_EARLY
	leave(id);
#endif
	limbo_finish(id);
	atomic { CLEAR; makers = 0; linked = 0; l = 0; rc = 0; limbo[id] = false }
	/* A grace period later. */
	if :: (MASK(id) & 1) != 0 -> block_put(0, old0) :: else fi;
	if :: (MASK(id) & 2) != 0 -> block_put(1, old1) :: else fi;
over:
	bdone++
}

/* The holder may stop here, for good. */
inline may_die() {
#ifdef DEAD
	if
	:: dead = true; goto over
	:: skip
	fi
#else
	skip
#endif
}
proctype A() {
	LOCALS;
	bool ok;

#ifdef IMPLICIT
	ok = false;
#else
	pin(0);
	ok = did;
#ifdef COMMIT
	if
	:: ok ->
#ifdef M_COMMIT_TESTS_EARLY
		nl = !OVER(0);
		atomic { !file_mutex -> file_mutex = true }
#else
		atomic { !file_mutex -> file_mutex = true }
		nl = !OVER(0);
#endif
		/* Converts and publishes what its device wrote: into the map as it was granted. */
		if :: nl -> assert(seen[0] == map[0] && seen[1] == map[1]) :: else fi;
		file_mutex = false
	:: else
	fi;
#endif
#endif
	may_die();
	if :: ok -> unpin(0) :: else fi;
	may_die();
	/* Answers the recall, or gives it back unasked. */
#ifdef PROMPT
	(told[0] > 0 || bdone == NB);
#else
	if :: told[0] > 0 || bdone == NB :: skip fi;
#endif
#ifdef IMPLICIT
	dma[0]--;
#endif
	do_return(0);
	may_die();
	(b_tried); /* no pin after the handle is freed; an unpin may come after it */
#ifdef LATE_FREE
	(bdone == NB);
#endif
	do_free(0);
over:	skip
}

#ifdef WITH_B
proctype B() {
	LOCALS;

	pin(0);
	b_tried = true;
	if :: did -> unpin(0) :: else fi
}
#endif

#ifdef WITH_C
#define C 2
proctype Holder() {
	LOCALS;
	bool go, ok;
	byte r;

	do
	:: r < TIMES ->
		/* try_grant, else an operation that becomes a lease before its range opens */
		d_step {
			!mutex;
#ifdef M_GRANT_LOOKS_AWAY
			go = true;
#else
			go = !(queued[0] && (MASK(0) & LEASE_MASK(1)) != 0) && !(queued[1] && (MASK(1) & LEASE_MASK(1)) != 0);
#endif
			if :: go -> pins[1] = 0; rec[1] = false; ret[1] = false; ended[1] = false; fen[1] = false; lim[1] = false;
				freed[1] = false; told[1] = 0; stopped[1] = false; failed_for[1] = 0; limbo_by[1] = 0; deadline[1] = 0;
				span[1] = LEASE_MASK(1); seen[2] = map[0]; seen[3] = map[1]; indexed[1] = true
			:: else fi
		}
		if
		:: go
		:: else ->
			enter(C);
			listens[C] = true;
			do
			:: go -> break
			:: else ->
				sig[C] = false;
				take_service(C);
				if
				:: go -> break
				:: !go && cancelled -> break
				:: else
				fi;
				(sig[C])
			od;
			atomic { listens[C] = false; sig[C] = false }
			if :: !go -> leave(C); break :: else fi;
			d_step {
				!mutex;
				pins[1] = 0; rec[1] = false; ret[1] = false; ended[1] = false; fen[1] = false; lim[1] = false;
				freed[1] = false; told[1] = 0; stopped[1] = false; failed_for[1] = 0; limbo_by[1] = 0; deadline[1] = 0;
				span[1] = LEASE_MASK(1); seen[2] = map[0]; seen[3] = map[1]; indexed[1] = true
			}
			leave(C)
		fi;
		pin(1);
		ok = did;
#ifdef HOLDWAIT
		/* Asks for a second lease over the same range while it has the first: refused once that is recalled, also while it waits. */
		enter(C);
		listens[C] = true;
		do
		:: go -> break
		:: else ->
			sig[C] = false;
			take_service(C);
			if
			:: go -> break
#ifndef M_NO_HOLD_RULE
			:: !go && OWN_RECALLED -> break
#endif
			:: else
			fi;
			(sig[C])
		od;
		atomic { listens[C] = false; sig[C] = false }
		leave(C);
#endif
		if :: ok -> unpin(1) :: else fi;
		do_return(1);
		do_free(1);
		(freed[1]);
		r++
	:: else -> break
	od
}
#endif

#ifdef CANCEL
proctype Canceller() {
	cancelled = true;
#ifndef M_CANCEL_NO_WAKE
	wake()
#endif
}
#endif

#ifdef TIMED
proctype Clock() {
	now = 1;
	now = 2
}
#endif

init {
	atomic {
		freed[1] = true;
		indexed[0] = true;
		span[0] = LEASE_MASK(0);
		bref[0] = 1;
		bref[3] = 1;
#ifdef IMPLICIT
		dma[0] = 1;
#endif
		run A();
#ifdef WITH_B
		run B();
#else
		b_tried = true;
#endif
#ifdef WITH_C
		run Holder();
#endif
#ifdef CANCEL
		run Canceller();
#endif
#ifdef TIMED
		run Clock();
#endif
		run Breaker(0);
		run Breaker(1)
	}
	(_nr_pr == 1);
	/* Nothing is left over, and nothing stays in limbo for a lease that is drained. */
	assert(!DRAINED(0) || (holds[0] == 0 && holds[1] == 0));
	assert(dead || (freed[0] && holds[0] == 0 && holds[1] == 0));
	assert(freed[1]);
	assert(dead || (bref[0] == (map[0] == 0) && bref[1] == (map[0] == 1) && bref[2] == (map[0] == 2)));
	assert(dead || (bref[3] == (map[1] == 0) && bref[4] == (map[1] == 1) && bref[5] == (map[1] == 2)));
	assert(!queued[0] && !queued[1] && !queued[2])
}
