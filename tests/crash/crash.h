/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Crash images: what the medium may hold when the power goes, built from a record of every store, flush and fence, reopened and compared.
 *
 *   trace   what happened: stores with their bytes, flushes and fences by thread, and between them which states of the
 *           files a crash may leave from now on (struct accept: before and after the call that is under way)
 *   sim     goes through a trace. It knows the durable bytes and the pending words: stored, but not yet flushed and fenced by the
 *           thread that flushed. At each fence, and whenever a call returns, every subset of the pending words may be durable; the
 *           images at a fence include those of every moment since the last one
 *   verify  opens an image for writing and compares names, sizes, maps, attributes and bytes with the states that are
 *           acceptable, then the free space with the maps. Now and then it records what this recovery and one more operation stored, and
 *           goes through the crashes inside them in the same way
 *   ops     the operations, run against a pool and against the model, which knows nothing of blocks
 */
#ifndef DAXL_TESTS_CRASH_H
#define DAXL_TESTS_CRASH_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "file/file.h"
#include "media/media.h"

/* --- util.c --- */
uint64_t rnd(uint64_t *state);
uint64_t rnd_below(uint64_t *state, uint64_t n);
void fail(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));
/* Called by fail, to say where in the test it happened; NULL: nobody. */
extern void (*fail_context)(void);
void *xalloc(size_t size);
/* Memory of several MiB comes and goes with each image: keeps it in the process. */
void images_setup(void);
/* A new empty file in memory if possible, else in TMPDIR; open, and removed when the program ends. */
int temp_file(char *path, size_t size);
#define must(call) must_be_0((call), #call, __FILE__, __LINE__)
void must_be_0(long rc, const char *what, const char *file, int line);
/* A set of 64-bit hashes. */
struct hashes {
	uint64_t *slots;
	size_t cap, n;
};
bool hashes_add(struct hashes *set, uint64_t hash); /* false: it was there */

/* --- pool.c: pools over memory --- */
struct daxl_pool *pool_make(void *base, uint64_t size, const struct daxl_pool_opts *opts);
int pool_load(void *base, uint64_t size, struct daxl_pool **ret_pool);
void pool_crash(struct daxl_pool *pool); /* nothing more is stored */

/* --- state.c: the files as they have to be --- */
#define NFILES 3u
#define FILE_CAP (48u * 4096u)
#define ATTR_KEY "colour"

/* What the library says of a file beyond its bytes. SHARED is left out of flags: it depends on frees that are pending. */
struct mapping {
	uint64_t off, pool_off, len; /* bytes */
	uint32_t flags;
};

struct mfile {
	bool there;
	uint32_t attr; /* value of the attribute; 0: none */
	uint64_t size;
	uint8_t *bytes; /* FILE_CAP; zero from size on */
	/* from here on as the library said; nmaps is UINT32_MAX before anybody asked */
	uint64_t id, generation, blocks, runs, times[3];
	uint64_t shared; /* 4 KiB pieces of the file that are, a bit each */
	uint32_t nmaps;
	struct mapping *maps;
};

struct state {
	struct mfile f[NFILES]; /* by name */
};

void state_init(struct state *state);
void state_free(struct state *state);
struct state *state_copy(const struct state *from); /* on the heap */
void state_drop(struct state *state);
void file_copy(struct mfile *to, const struct mfile *from);
void file_remove(struct mfile *f);
void file_resize(struct mfile *f, uint64_t size);
/* The name of file i; a prefix tells the files of several threads apart. */
const char *name_of(const char *prefix, unsigned i, char buf[32]);
/* Fills in the library's part of a file that is there, and, unless bytes is NULL, size, attribute and bytes too. */
void file_ask(struct daxl_pool *pool, const char *name, struct mfile *f, bool bytes);
/* The whole state as the pool has it. */
void state_read(struct daxl_pool *pool, const char *prefix, struct state *state);
/* NULL when alike, else the first difference. maps: compare what the library says too. */
const char *file_layout_differs(const struct mfile *want, const struct mfile *is);
const char *state_layout_differs(const struct state *want, const struct state *is);
/*
 * NULL, or where is's bytes are neither those of want nor, 8 bytes at a time and only in place (in a block that both have written,
 * unshared, at the same address), other's. anywhere: in any block.
 */
const char *state_bytes_differ(const struct state *want, const struct state *other, const struct state *is, bool anywhere);

/* --- trace.c --- */
#define ACCEPT_MAX 4u
/*
 * The states that a crash may leave. Two are before and after a call; four are two calls in flight over two files: neither,
 * the first file's, the second's, both.
 */
struct accept {
	unsigned n;
	struct state *states[ACCEPT_MAX];
	uint64_t serial; /* no two have the same */
	bool mixed;   /* bytes in place may be from both sides of a call */
	bool refused; /* creation: no pool at all is fine too */
	char what[96];
};

enum event_type { EV_STORE, EV_FLUSH, EV_FENCE, EV_ACCEPT };
struct event {
	enum event_type type;
	uint32_t thread;
	bool holder; /* stored past the library */
	uint64_t off, len;
	size_t data; /* into bytes; SIZE_MAX: zeroes */
	struct accept *accept;
};

struct trace {
	pthread_mutex_t mutex;
	char *base; /* of the medium that is recorded */
	uint64_t size;
	struct event *events; /* guarded by mutex, as all that follows */
	size_t nevents, cap;
	uint8_t *bytes;
	size_t nbytes, bytes_cap;
	struct accept **accepts; /* owned */
	size_t naccepts;
	/* Called with each event, before it is recorded and with no lock held. May be NULL. */
	void (*tap)(enum daxl_media_event event, void *arg);
	void *tap_arg;
};

void trace_init(struct trace *trace, void *base, uint64_t size);
void trace_fini(struct trace *trace);
void trace_start(struct trace *trace); /* as the observer */
void trace_stop(struct trace *trace);
/* A store past the library, by the holder of a lease: recorded, and done. */
void trace_holder_store(struct trace *trace, void *dst, const void *src, size_t len);
/* From here on only these states. The states become the trace's. */
struct accept *trace_accept(struct trace *trace, const char *what, struct state *a, struct state *b);
/* The same of four; n is 2 or 4. */
struct accept *trace_accept_all(struct trace *trace, const char *what, struct state *const *states, unsigned n);

/* --- sim.c --- */
struct budget {
	unsigned exhaustive; /* pending words up to which all subsets are tried */
	unsigned singles, others; /* images with one unit alone or missing, each; random ones */
	unsigned again; /* one image in so many is crashed in its recovery too; 0: none */
	unsigned check; /* one in so many is given to daxl_check; 0: none */
	unsigned inner; /* as exhaustive, for the crashes in recoveries */
};

/* A word that is stored but not durable. In the order of the stores; a word may be there several times. */
struct pend {
	uint64_t word; /* index */
	uint64_t value;
	uint64_t flushed; /* by these threads, a bit each */
	bool holder;      /* stored past the library */
	uint32_t unit;    /* what leaks together in most images: the word itself, a cache line of a long store */
};

struct sim {
	uint64_t size;
	bool page; /* PAGE granularity: a flush is durable at once */
	uint8_t *durable, *cache; /* cache: as the CPUs see it */
	uint8_t *work;            /* durable, and while an image is looked at that image */
	uint8_t *dirty;           /* pages of work that differ from durable, a byte each */
	uint32_t *stamps, stamp;  /* by word, for fences */
	struct pend *pend;
	size_t npend, pend_cap;
	uint32_t next_unit;
	uint64_t hash; /* of durable */
	uint64_t *rng;
	const struct budget *budget;
	unsigned depth; /* 0: the first crash; 1: a crash in the recovery from one */
	const char *prefix;
	struct accept *accept;
	size_t at;          /* event, */
	const char *subset; /* and which of the pending words: for messages */
	struct sim *outer;  /* whose recovery this is */
};

struct totals {
	uint64_t images, again; /* looked at; in recoveries, among them */
	struct hashes seen;     /* by contents */
};
extern struct totals totals;

void sim_init(struct sim *sim, const void *durable, uint64_t size, const char *prefix, uint64_t *rng, const struct budget *budget);
void sim_fini(struct sim *sim);
/* Goes through the trace and looks at the images, beginning with initial as acceptable (NULL: none until the first EV_ACCEPT). */
void sim_run(struct sim *sim, const struct trace *trace, struct accept *initial);

/* Words that the library has stored and that are not durable. */
size_t sim_unsettled(const struct sim *sim);
/* For fail: which image was being looked at. */
void sim_say_where(void);

/* --- verify.c --- */
/* Opens sim->work and compares it. What it stores there is marked in sim->dirty. */
void verify_image(struct sim *sim);
/* Free space is what the maps leave: nothing leaked, nothing promised twice. Only the states' files are in the pool. */
void verify_space(struct daxl_pool *pool, const struct state *const *states, unsigned n);
void verify_check(const char *path); /* daxl_check finds nothing */

/* --- ops.c --- */
struct run {
	struct daxl_pool *pool; /* NULL: only the model */
	const char *prefix;
	struct state *model;
	uint64_t rng;
	uint64_t block;
	struct trace *trace; /* NULL: not recorded */
	/* Around each call: before it, and after it with the model changed. */
	void (*begin)(struct run *run, const char *what);
	void (*end)(struct run *run);
	void *arg;
	struct accept *open; /* begin's, for end */
};
struct op {
	const char *name;
	/* Chooses arguments and does one or more calls. False: impossible as things are, nothing was done. */
	bool (*run)(struct run *run);
};
extern const struct op ops[];
extern const unsigned nops;
const struct op *op_find(const char *name);
void run_random_op(struct run *run);
/* Whether the call of that name changes bytes in place, so that a crash leaves each 8 of them old or new. */
bool changes_in_place(const char *what);
/* The hooks of a recorded run. */
void recorded_begin(struct run *run, const char *what);
void recorded_end(struct run *run);

#endif
