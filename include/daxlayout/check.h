/* SPDX-License-Identifier: BSD-3-Clause */
/* Checking a pool that is not in use, and repairing it. Conventions: <daxlayout.h>. */
#ifndef DAXLAYOUT_CHECK_H
#define DAXLAYOUT_CHECK_H

#include <daxlayout/types.h>

#ifdef __cplusplus
extern "C" {
#endif

enum daxl_check_flags {
	DAXL_CHECK_REPAIR = 1 /* put right what can be; without it nothing is stored to the pool */
};

/* What a finding is about. */
enum daxl_finding_kind {
	DAXL_FINDING_PROGRESS = 0,   /* no finding: how far the check has come, in done and total */
	DAXL_FINDING_SUPERBLOCK = 1,
	DAXL_FINDING_CHECKPOINT = 2, /* a checkpoint slot or the pages it leads to */
	DAXL_FINDING_LOG = 3,
	DAXL_FINDING_FILE = 4,       /* an entry of the file table */
	DAXL_FINDING_NAME = 5,
	DAXL_FINDING_MAP = 6,        /* which blocks a file has */
	DAXL_FINDING_BLOCK = 7,      /* a block used in a way it cannot be */
	DAXL_FINDING_ATTRIBUTE = 8,
	DAXL_FINDING_SUMMARY = 9,    /* the record of free space that a clean close leaves */
	DAXL_FINDING_MEDIA = 10,     /* a part of the medium that cannot be read */
	DAXL_FINDING_OTHER = 11
};

enum daxl_finding_severity {
	DAXL_SEVERITY_INFO = 0,    /* worth knowing; does not count as found */
	DAXL_SEVERITY_WARNING = 1, /* wrong, but nothing is lost: a second copy is good, say */
	DAXL_SEVERITY_ERROR = 2    /* something is lost or contradictory; the pool does not open for writing */
};

/* In the number fields of a finding: does not apply, or is not known. */
#define DAXL_FINDING_UNKNOWN UINT64_MAX

/* Pointers are valid during the call only. */
struct daxl_check_finding {
	int kind;              /* enum daxl_finding_kind */
	int severity;          /* enum daxl_finding_severity */
	const char *message;   /* one sentence: what and where; for PROGRESS, which part of the check runs */
	const char *file_name; /* of the file concerned, or NULL */
	uint64_t file_id;      /* daxl_stat.id, or DAXL_FINDING_UNKNOWN */
	uint64_t file_off;     /* bytes into that file, or DAXL_FINDING_UNKNOWN */
	uint64_t pool_off;     /* bytes into the pool, or DAXL_FINDING_UNKNOWN */
	uint64_t block;        /* number of a block of the pool, or DAXL_FINDING_UNKNOWN */
	uint64_t done;         /* PROGRESS: units of work done, never fewer than before; else 0 */
	uint64_t total;        /* PROGRESS: units of work in all, as far as known; else 0 */
	int repaired;          /* 1 if this call has put it right, else 0 */
	uint32_t reserved0;    /* 0 */
	uint64_t reserved[4];  /* 0 */
};

/* Told of each finding, on the thread that called daxl_check. A result other than 0 ends the check early. */
typedef int (*daxl_check_fn)(const struct daxl_check_finding *finding, void *arg);

/*
 * Reads all metadata of the pool at path, as far as it can be read, and reports what is wrong with it. File contents
 * have no checksums and are not looked at. With DAXL_CHECK_REPAIR it puts right what can be put right: bad copies are
 * written anew from good ones, contradictions are resolved so that no file keeps a block another may claim, and blocks
 * that are not proven free are set aside; afterwards the pool opens for writing. A repair that a crash cut short can
 * be run again.
 *
 * What repair adds are files named lost+found.ID, where a file has lost its name or cannot keep it, and one named
 * lost+found.blocks with the blocks set aside: those that no file has any more and that may have been in use, in the
 * order in which they lie in the pool. Remove it to have them free. A file that has lost a part has a hole there; the
 * findings say where.
 *
 * Two kinds of damage cannot be seen: of the very last operation before a crash, which looks as if it had never been
 * finished, and of a page that is there in one copy, if what it held earlier lies there intact.
 *
 * path    of a pool that no process has open for writing; to repair, that nobody has open
 * flags   0 or DAXL_CHECK_REPAIR
 * report  called for findings and progress, or NULL
 * arg     passed to report
 *
 * Returns 0 if it is clean, 1 if something was found (severity WARNING or ERROR), repaired or not. Ended by report, it
 * returns 1 if something had been found by then, else -ECANCELED.
 *
 * Waiting: short; time grows with the metadata.
 *
 *   -EINVAL    not a pool, or with features this library does not know; unknown flags
 *   -EBUSY     somebody has it open
 *   -EUCLEAN   to repair: too little is left to start from
 *   -EROFS     to repair: features are in use which this library may only read
 *   -ENOSPC    to repair: no room for what has to be written
 *   -EIO       the medium cannot be read at all, or to repair, written
 *   -ECANCELED report ended it before anything was found
 *   -ENOENT, -EACCES, -EPERM, -ENOTDIR, ...  as open(2) gives them
 *   -EOPNOTSUPP  it cannot be mapped, or not shared
 *   -EAGAIN    to repair: a thread cannot be started
 *   -ENOMEM
 */
DAXL_API int daxl_check(const char *path, unsigned flags, daxl_check_fn report, void *arg);

#ifdef __cplusplus
}
#endif

#endif
