/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The library's own fsx: random calls of the whole public interface on several files, with a byte array per file as oracle.
 *
 * A step is one call. Before it the model says what must come out (the value, or the errno that the headers promise), after it the
 * model is changed in the same way, and what the call touched is read back and compared. Some outcomes the model
 * accepts only where it finds an excuse for them: -EAGAIN, -ETIMEDOUT and -EDEADLK when a holder is in the way, -ENOSPC when the pool
 * is nearly full. Then nothing may have changed. After a refusal by holders they are made to give way and the call is made again.
 *
 * Holders are simulated: leases stay out over many steps, pinned or not, and their holders store through the addresses, also past the
 * end of the file. What a holder stored where the file does not show it (past the size, or into unwritten blocks) lies in
 * mfile.raw; a commit moves it into mfile.data. A holder is willing (its recall function commits, unpins and returns) or not (it
 * does so when the model asks, or its blocks go to limbo, where it goes on storing and nobody may notice).
 */
#ifndef DAXL_TESTS_MODEL_H
#define DAXL_TESTS_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <daxlayout.h>

#define MAX_NAMES 24u
#define MAX_HANDLES 12u
#define MAX_LEASES 8u
#define MAX_SPANS 4u
#define MAX_KEYS 4u
#define MAX_VALUE 2048u
#define MAX_REACH 20u
#define NO_END UINT64_MAX

struct mattr {
	bool set;
	size_t len;
	unsigned char value[MAX_VALUE];
};

/* A file as it has to be. */
struct mfile {
	unsigned refs; /* its name, its handles, its leases */
	unsigned handles;
	int name; /* index into model.names; -1: nameless */
	uint64_t id;
	uint64_t size;
	unsigned char *data; /* model.room bytes, zero from size on */
	unsigned char *raw;  /* under WRITE leases: what lies in memory where data does not show it */
	struct mattr attrs[MAX_KEYS];
};

struct mhandle {
	struct daxl_file *file; /* NULL: not open */
	struct mfile *f;
	int oflags;
};

struct span {
	uint64_t start, end; /* bytes */
};

/* Old blocks of a lease, in limbo, with the holder's pattern in them. */
struct junk {
	unsigned char *addr;
	uint64_t len;
	unsigned char pattern;
};

struct mlease {
	struct daxl_lease *lease;
	struct mfile *f;
	uint64_t id, owner;
	struct span spans[MAX_SPANS];
	unsigned nspans;
	uint32_t mode, flags;
	unsigned pins;
	bool was_write; /* downgraded: pins from before may still store */
	bool willing;  /* gives way inside its recall function */
	bool commits;  /* commits before it gives way */
	bool fences;   /* its fence function succeeds */
	bool recalled, fenced, revoked, returned, freed, released;
	struct daxl_extent *exts; /* as of the last look */
	size_t nexts;
	struct junk *junk;
	size_t njunk;
};

/* Whom a call may recall: leases on f that overlap [start, end). */
struct reach {
	const struct mfile *f;
	uint64_t start, end;
	bool writers; /* WRITE leases only */
};

struct op;

/* One call in the making. */
struct call {
	const struct op *op;
	struct mhandle *h, *g; /* g: the source of clone, dedupe and copy; the second file of exchange */
	off_t off, off2, len, size;
	int mode, pieces;
	unsigned flags;
	uint64_t need; /* blocks it may take at most */
	struct daxl_wait wait;
	const struct daxl_wait *waitp; /* NULL or &wait */
	struct reach reach[MAX_REACH];
	unsigned nreach;
	bool silent;   /* recall functions do not commit: the call reads sizes more than once */
	bool same;
	unsigned recalls;  /* that it sent */
	bool stirred;      /* a commit in a recall function has changed a file meanwhile */
	int a, b;          /* names, keys */
	uint64_t owner;
	struct mlease *lease;
	struct daxl_file *opened;
	struct daxl_extent *map; /* before the call */
	size_t nmap;
};

struct op {
	const char *name;
	unsigned weight;
	/* Chooses arguments; false: nothing to do at the moment. */
	bool (*prepare)(struct call *c);
	ssize_t (*run)(struct call *c);
	/* What the model says must come out, as things are now. */
	ssize_t (*expect)(struct call *c);
	/* Changes the model and checks what the headers promise beyond the bytes. */
	void (*apply)(struct call *c, ssize_t rc);
	/* In place of the four: a step that looks after itself. */
	void (*special)(void);
	bool limbo; /* DAXL_ON_TIMEOUT_LIMBO suits it */
};

struct model {
	uint64_t seed, rng;
	const unsigned char *choices, *choices_end; /* what rnd goes by before it goes by rng */
	uint64_t ops, step;
	uint64_t block, pool_size, start_size; /* the pool's, now and when it was made */
	unsigned nfiles, nnames, crash_every;
	bool verbose;
	char path[2][256];
	int which; /* path[which] is the pool */
	struct daxl_pool *pool;
	uint64_t maxlen; /* files are made no longer than this on purpose */
	uint64_t room;   /* and never get longer than this */
	uint64_t max_size; /* the library's */
	struct mfile *names[MAX_NAMES];
	char name[MAX_NAMES][DAXL_NAME_MAX + 1];
	struct mhandle handles[MAX_HANDLES];
	struct mlease *leases[MAX_LEASES];
	struct call *call; /* under way */
	unsigned char *io, *io2; /* room bytes each */
	struct {
		struct mfile *src, *dst; /* compared by address only */
		off_t src_off, dst_off, len;
	} twin; /* what was made equal last */
	uint64_t crashes, reopens, refused, lacked, recalls, commits, limbos, fences, scribbles;
};

extern struct model model;

/* --- setup.c --- */
void ops_collect(void);
void ops_leave_out(const char *names); /* with commas between */
const struct op *any_op(void);
const struct op *op_number(unsigned i); /* NULL: there are fewer */
const char *usual_dir(void);            /* for pools */
/* Fills in what follows from block, pool_size, nfiles, maxlen and seed. */
void set_up(const char *dir);
void clean_up(void);

/* --- journal.c: random numbers, the list of what was done, and the end --- */
uint64_t rnd(uint64_t n); /* 0 to n - 1 */
bool chance(unsigned percent);
void fill_random(unsigned char *buf, size_t len);
void note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void note_more(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void fail(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));
void must(int rc, const char *what);

/* --- files.c: the oracle and choices --- */
uint64_t block_down(uint64_t byte);
uint64_t block_up(uint64_t byte);
struct mfile *mfile_new(void);
void mfile_put(struct mfile *f);
void mfile_resize(struct mfile *f, uint64_t size); /* new bytes are zero */
void mfile_zero(struct mfile *f, uint64_t from, uint64_t to);
struct mhandle *any_handle(void); /* NULL: none is open */
struct mhandle *writable_handle(void);
struct mhandle *handle_of(const struct mfile *f);
off_t any_off(const struct mfile *f);
off_t any_len(void);
off_t aligned_off(const struct mfile *f);
off_t aligned_len(void);
bool is_zero(const unsigned char *bytes, uint64_t len);

/* --- verify.c --- */
void verify_range(struct daxl_file *file, const struct mfile *f, uint64_t from, uint64_t to);
void verify_map(struct daxl_file *file, const struct mfile *f);
void verify_size(struct daxl_file *file, const struct mfile *f);
/* All, or none, of the blocks of [from, to) have one of flags. */
void verify_flags(struct daxl_file *file, uint64_t from, uint64_t to, uint32_t flags, bool all);
void verify_all(void);
void verify_names(void);
struct daxl_extent *map_of(struct daxl_file *file, size_t *ret_n);

/* --- run.c --- */
void run_op(const struct op *op);
void add_reach(struct call *c, const struct mfile *f, uint64_t start, uint64_t end, bool writers);
void add_growth(struct call *c, const struct mfile *f); /* its old tail block */
bool reached(const struct mlease *l);

/* --- leases.c --- */
uint64_t lease_owner(void); /* of a lease that is out, or 0 */
bool in_the_way(const struct mfile *f); /* a holder that will not give way by itself */
bool owner_stuck(uint64_t owner);
void give_way(const struct mfile *f, bool all); /* holders on f that were recalled, or all of them */
void give_way_owner(uint64_t owner);
void leases_upkeep(void);
void leases_end(void); /* none are left */
void lease_settle(struct mlease *l, bool commit); /* commit, return, unpin, free */
struct mlease *any_lease(void); /* NULL: there is none */
struct mlease *lease_new(struct mfile *f); /* not in model.leases yet */
void lease_add(struct mlease *l);
bool lease_room(void);
void lease_look(struct mlease *l); /* its extents anew */
bool lease_covers(const struct mlease *l, uint64_t from, uint64_t to);
bool lease_other_writer(const struct mlease *l, uint64_t at); /* another one's unreturned WRITE lease over the block */
void lease_subtract(struct mlease *l, uint64_t from, uint64_t to);
void lease_recalled(struct daxl_lease *lease, const struct daxl_recall *recall, void *arg);
int lease_fence(struct daxl_lease *lease, void *arg);
void lease_released(void *arg);
/* A commit of any part, checked and brought into the model. True: the file has changed. */
bool lease_commit(struct mlease *l);
void lease_unpin(struct mlease *l);
void lease_return(struct mlease *l);

/* --- ops_*.c --- */

extern const struct op data_ops[], range_ops[], two_ops[], name_ops[], lease_ops[], pool_ops[]; /* ended by a NULL name */
void pool_start(void);
void pool_finish(void);
void pool_crash(void);
void close_handles(void);

#endif
