/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reads against an exchange of two files that is followed by a write in place: lib/ops/read.c, raise_moved in lib/file/commit.c. Nothing is freed, so a read section does not help.
 * The exchange raises both files' counters before the first of its stores, which makes them odd, and after the last. A read looks at its file's counter before the lookup and
 * after the copy, and begins anew if it was odd or has changed. That such a read gives up after three rounds and counts itself as a writer is not modelled.
 */
byte map[2] = 0; /* of F, and of G: its block */
byte block[2] = 1;
byte moved[2];

inline read(f, got) {
	do
	:: true ->
#ifdef M_COUNTER_AFTER_LOOKUP
		b = map[f];
		before = moved[f];
#else
		before = moved[f];
		b = map[f];
#endif
		got = block[b];
		if
#ifdef M_NO_SECOND_LOOK
		:: before % 2 == 0 -> break
#else
#ifdef M_ODD_IGNORED
		:: moved[f] == before -> break
#else
		:: before % 2 == 0 && moved[f] == before -> break
#endif
#endif
		:: else
		fi
	od
}

proctype Reader() {
	byte b, before, got_f, got_g;

	read(0, got_f);
	read(1, got_g);
	assert(got_f != 9);                   /* never what has been G's alone */
	assert(!(got_f == 2 && got_g == 2)) /* both files are exchanged, or neither is */
}
proctype Exchange() {
#ifndef M_RAISED_ONCE
	moved[0]++;
	moved[1]++;
#endif
	map[0] = 1;
	map[1] = 0;
#ifdef M_RAISED_ONCE
	moved[0] = moved[0] + 2;
	moved[1] = moved[1] + 2;
#else
#ifndef M_NOT_RAISED_AFTER
	moved[0]++;
	moved[1]++;
#else
	/* Even again, as if nothing had been. */
	moved[0]--;
	moved[1]--;
#endif
#endif
	block[map[1]] = 9 /* a write to G, once the exchange has returned */
}
init {
	atomic { map[1] = 1; block[1] = 2; run Reader(); run Exchange() }
}
