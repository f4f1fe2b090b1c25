/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Commits and checkpoints: lib/file/commit.c, checkpoint.c, retire.c. Two files, each changed twice, and a checkpointer that makes two cuts, either of which may fail. A version is the
 * number of its file's change. The log is a count of records a file, for each position; the checkpoint has an image of each file, which is the version that it wrote.
 *
 * Promised: a checkpoint has each file as of its cut, so that the image and the records from its position on are all that was acknowledged (L15); no version that it reads is freed
 * under it.
 */
#define NF 2
#define CHANGES 2
byte version[NF];     /* published */
byte cut_version[NF];
byte dirty_cut[NF];
byte dirty;           /* mask: files changed since the last cut */
byte cut = 1;
bool ckpt_active;
bool file_mutex[NF];
byte freed[NF];       /* ghost: mask of versions whose memory is gone */
byte waiting[NF];     /* mask: replaced, kept for the running checkpoint */

/* The gate. */
bool closed;
byte out;             /* tickets not yet left */

/* The medium. */
byte records[NF];     /* of a file: durable ones */
byte base[NF];        /* how many of them the checkpoint's position leaves out */
byte image[NF];
byte acked[NF];       /* ghost */

/* What a crash now would bring back, for file f. */
#define RECOVERED(f) (image[f] + (records[f] - base[f]))

inline note(f) {
	if
	:: dirty_cut[f] != cut ->
#ifdef M_MARKED_BEFORE_KEPT
		dirty_cut[f] = cut;
		if :: ckpt_active -> cut_version[f] = old :: else fi;
#else
		if :: ckpt_active -> cut_version[f] = old :: else fi;
		dirty_cut[f] = cut;
#endif
		dirty = dirty | (1 << f)
	:: else
	fi
}
inline free_version(f, v) { d_step { assert((freed[f] & (1 << v)) == 0); freed[f] = freed[f] | (1 << v) } }

proctype Committer(byte f) {
	byte n, old;

	do
	:: n < CHANGES ->
		atomic { !file_mutex[f] -> file_mutex[f] = true }
		old = version[f];
		atomic { !closed -> out++ }
		records[f]++; /* stored, and durable */
#ifdef M_LEAVES_BEFORE_PUBLISH
		out--;
#endif
#ifdef M_NOTED_AFTER_PUBLISH
		version[f] = old + 1;
		note(f);
#else
#ifndef M_NOT_NOTED
		note(f);
#endif
		version[f] = old + 1;
#endif
#ifndef M_LEAVES_BEFORE_PUBLISH
		out--;
#endif
		file_mutex[f] = false;
		d_step { acked[f]++; assert(RECOVERED(f) >= acked[f]) }
		/* The grace period is over: retire_now. */
		if
		:: d_step { ckpt_active -> waiting[f] = waiting[f] | (1 << old) }
		:: d_step { !ckpt_active -> assert((freed[f] & (1 << old)) == 0); freed[f] = freed[f] | (1 << old) }
		fi;
		n++
	:: else -> break
	od
}

#define SAFE(f, v) assert((freed[f] & (1 << v)) == 0)
inline version_of_cut(f) {
#ifdef M_CUT_READ_FIRST
	v = (dirty_cut[f] == cut -> cut_version[f] : 255);
	if :: v == 255 -> v = version[f] :: else fi
#else
	v = version[f];
	if :: dirty_cut[f] == cut -> v = cut_version[f] :: else fi
#endif
}
proctype Checkpointer() {
	byte runs, taken, v, f;
	byte at[NF], write[NF], truth[NF];

	do
	:: runs < 2 ->
		/* take_cut */
#ifndef M_GATE_LEFT_OPEN
		closed = true;
#ifndef M_NOT_EMPTY
		(out == 0);
#endif
#endif
		/* The position; and what the versions as of it are. */
		atomic { at[0] = records[0]; at[1] = records[1]; truth[0] = at[0]; truth[1] = at[1] }
#ifdef M_ACTIVE_LATE
		atomic { taken = dirty; dirty = 0 }
		cut++;
		closed = false;
		ckpt_active = true;
#else
		atomic { taken = dirty; dirty = 0 }
		cut++;
		ckpt_active = true;
		closed = false;
#endif
		/* write_files: the version, and after it its nodes, without a read section. */
		write[0] = image[0];
		write[1] = image[1];
		f = 0;
		do
		:: f < NF ->
			if
			:: (taken & (1 << f)) != 0 ->
				version_of_cut(f);
				SAFE(f, v);
				write[f] = v
			:: else
			fi;
			f++
		:: else -> break
		od;
		f = 0;
		if
		:: true ->
			/* The slot is durable, and replay starts at the position. */
			atomic {
				image[0] = write[0]; image[1] = write[1];
				base[0] = at[0]; base[1] = at[1];
				assert(image[0] == truth[0] && image[1] == truth[1]);
				assert(RECOVERED(0) >= acked[0] && RECOVERED(1) >= acked[1])
			}
			/* let_deleted_go reads the versions once more. */
			if :: (taken & 1) != 0 -> version_of_cut(0); SAFE(0, v) :: else fi;
			if :: (taken & 2) != 0 -> version_of_cut(1); SAFE(1, v) :: else fi
#ifndef M_NOT_REQUEUED
		:: true -> /* failed: the files taken are dirty still */
			do
			:: f < NF ->
				if
				:: (taken & (1 << f)) != 0 ->
					atomic { !file_mutex[f] -> file_mutex[f] = true }
					if :: dirty_cut[f] != cut -> dirty_cut[f] = cut; dirty = dirty | (1 << f) :: else fi;
					file_mutex[f] = false
				:: else
				fi;
				f++
			:: else -> break
			od
#else
		:: true -> skip
#endif
		fi;
		/* end_cut */
		atomic {
			ckpt_active = false;
			assert((freed[0] & waiting[0]) == 0 && (freed[1] & waiting[1]) == 0);
			freed[0] = freed[0] | waiting[0]; freed[1] = freed[1] | waiting[1];
			waiting[0] = 0; waiting[1] = 0
		}
		d_step { runs++; v = 0; f = 0; taken = 0 }
	:: else -> break
	od
}

init { atomic { run Committer(0); run Committer(1); run Checkpointer() } }
