/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory for nodes: magazines over a depot.
 *
 * Each size class (steps of 64 bytes) has free lists in shards. The first OWN_SHARDS threads of a process, those that
 * reclaim mostly among them, have one each to themselves, and lock nothing there; those after them share the others. A shard that runs dry takes a batch of BATCH objects from the depot, one
 * that holds 2 * BATCH gives a batch back; so what a thread that reclaims frees comes back to the writers, and a shard never
 * hoards. The depot carves objects from chunks, which are returned only with the slab: one class's memory is not
 * given to another. A free object's first words link it.
 *
 * Chunks are small at first. From LARGE_FROM bytes on they are huge pages, where the system has such: in a large rope each
 * lookup goes to another page, and would cost a page walk or more.
 *
 * Shared shards have a spin lock each: it is held for a few stores. The depot's lock is never held together with one.
 */
#include "map/slab.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

#include "base/compiler.h"
#include "base/error.h"
#include "base/hook.h"
#include "base/lock.h"
#include "base/spin.h"
#include "base/thread.h"

#if defined(__SANITIZE_ADDRESS__)
#define DAXL_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define DAXL_ASAN 1
#endif
#endif
#ifdef DAXL_ASAN
#include <sanitizer/asan_interface.h>
#define poison(ptr, size) \
	ASAN_POISON_MEMORY_REGION((char *)(ptr) + offsetof(struct object, rest), (size) - offsetof(struct object, rest))
#define unpoison(ptr, size) ASAN_UNPOISON_MEMORY_REGION(ptr, size)
#else
#define poison(ptr, size) ((void)0)
#define unpoison(ptr, size) ((void)0)
#endif

#define STEP 64u
#define CLASSES 64u /* up to 4 KiB */
#define OWN_SHARDS 16u
#define SHARDS (OWN_SHARDS + 8u)
#define BATCH 16u
#define CHUNK ((size_t)256 << 10)
#define LARGE_CHUNK ((size_t)2 << 20) /* and its alignment */
#define LARGE_FROM ((size_t)2 << 20)

struct object {
	struct object *next;            /* in its list */
	struct object *batch;           /* the depot: the next batch's first object */
	struct object *rest[BATCH - 2]; /* the depot: those behind the next, if the size has room for them */
};
#define HAS_REST(class) (((class) + 1) * STEP >= sizeof(struct object))

struct magazine {
	struct object *first;
	unsigned count;
};

struct shard {
	uint32_t lock;                /* a spin lock; not used where one thread owns the shard, which then is as good */
	struct magazine mag[CLASSES] DAXL_GUARDED(SPIN);
	_Atomic int64_t bytes;        /* allocated less freed through this shard; written under lock */
} DAXL_CACHE_ALIGNED;

struct chunk {
	struct chunk *next;
	size_t size;
	char pad[48];
};
_Static_assert(sizeof(struct chunk) == STEP, "objects are aligned to a cache line");

struct daxl_slab {
	struct shard shard[SHARDS];
	DAXL_MUTEX(SLAB) depot_lock;
	struct object *depot[CLASSES] DAXL_GUARDED(SLAB); /* batches of BATCH objects */
	struct chunk *chunks DAXL_GUARDED(SLAB); /* all, the one in use first */
	size_t used DAXL_GUARDED(SLAB); /* bytes of the first chunk */
	size_t total DAXL_GUARDED(SLAB); /* bytes of all */
};

/* An empty slab. */
int daxl_slab_create(struct daxl_slab **ret_slab)
{
	struct daxl_slab *slab = daxl_alloc_aligned(DAXL_CACHE_LINE, sizeof(*slab));
	if (!slab)
		return daxl_fail(ENOMEM, "slab: no memory for %zu bytes", sizeof(*slab));
	memset(slab, 0, sizeof(*slab));
	daxl_mutex_init(&slab->depot_lock, DAXL_RANK_SLAB);
	*ret_slab = slab;
	return 0;
}

/* Returns all memory; nobody uses the slab any more. */
void DAXL_ALONE daxl_slab_destroy(struct daxl_slab *slab)
{
	if (!slab)
		return;
	assert(daxl_slab_bytes(slab) == 0);
	for (struct chunk *chunk = slab->chunks, *next; chunk; chunk = next) {
		next = chunk->next;
		unpoison(chunk, chunk->size);
		daxl_free(chunk);
	}
	daxl_mutex_destroy(&slab->depot_lock);
	daxl_free(slab);
}

/* The calling thread's shard. */
static struct shard *shard_of(struct daxl_slab *slab, bool *ret_own)
{
	return &slab->shard[daxl_thread_place(OWN_SHARDS, SHARDS - OWN_SHARDS, ret_own)];
}

static inline void DAXL_LOCKS(SPIN) DAXL_UNCHECKED lock_shard(struct shard *shard, bool own)
{
	if (!own)
		daxl_spin_lock(&shard->lock);
}

static inline void DAXL_UNLOCKS(SPIN) DAXL_UNCHECKED unlock_shard(struct shard *shard, bool own)
{
	if (!own)
		daxl_spin_unlock(&shard->lock);
}

/* Written under the shard's lock, read by anybody. */
static void add_bytes(struct shard *shard, int64_t bytes)
{
	int64_t now = atomic_load_explicit(&shard->bytes, memory_order_relaxed);
	atomic_store_explicit(&shard->bytes, now + bytes, memory_order_relaxed);
}

/* One more chunk to carve from. False: no memory. */
static bool DAXL_HOLDS(SLAB) add_chunk(struct daxl_slab *slab)
{
	bool large = slab->total >= LARGE_FROM;
	size_t size = large ? LARGE_CHUNK : CHUNK;
	struct chunk *chunk = daxl_alloc_aligned(large ? LARGE_CHUNK : DAXL_CACHE_LINE, size);
	if (!chunk)
		return false;
	if (large)
		(void)madvise(chunk, size, MADV_HUGEPAGE); /* refused: small pages do too */
	chunk->next = slab->chunks;
	chunk->size = size;
	slab->chunks = chunk;
	slab->used = sizeof(*chunk);
	slab->total += size;
	return true;
}

/*
 * Asks for all of a batch at once, and for the list of the batch that comes next: it was freed on another CPU, and found by
 * its links one object after the other would be a cache miss each.
 */
static void fetch_batch(struct object *first, size_t size)
{
	(void)size;
	unpoison(first, sizeof(*first));
	__builtin_prefetch(first->next, 1);
	for (unsigned i = 0; i < DAXL_ARRAY_LEN(first->rest); i++)
		__builtin_prefetch(first->rest[i], 1);
	poison(first, size);
	__builtin_prefetch(first->batch);
	__builtin_prefetch((char *)first->batch + DAXL_CACHE_LINE);
}

/* A list of objects of one size from the depot or a chunk; holds no lock on entry. NULL: no memory. */
static struct object *depot_take(struct daxl_slab *slab, unsigned class, unsigned *ret_count)
{
	size_t size = (class + 1) * (size_t)STEP;
	daxl_mutex_lock(&slab->depot_lock);
	struct object *list = slab->depot[class];
	*ret_count = BATCH;
	if (list) {
		slab->depot[class] = list->batch;
		daxl_mutex_unlock(&slab->depot_lock);
		if (HAS_REST(class))
			fetch_batch(list, size);
		return list;
	}
	if ((!slab->chunks || slab->chunks->size - slab->used < size) && !add_chunk(slab)) {
		daxl_mutex_unlock(&slab->depot_lock);
		return NULL;
	}
	size_t fit = (slab->chunks->size - slab->used) / size;
	unsigned count = fit < BATCH / 2 ? (unsigned)fit : BATCH / 2;
	for (unsigned i = 0; i < count; i++) {
		struct object *object = (struct object *)(void *)((char *)slab->chunks + slab->used);
		slab->used += size;
		object->next = list;
		list = object;
		poison(object, size);
	}
	daxl_mutex_unlock(&slab->depot_lock);
	*ret_count = count;
	return list;
}

/* Gives a batch back; holds no lock on entry. */
static void depot_give(struct daxl_slab *slab, unsigned class, struct object *list)
{
	daxl_mutex_lock(&slab->depot_lock);
	list->batch = slab->depot[class];
	slab->depot[class] = list;
	daxl_mutex_unlock(&slab->depot_lock);
}

/* The shard is locked, its magazine empty: brings objects, with the lock let go meanwhile. False: no memory. */
static bool __attribute__((noinline)) DAXL_HOLDS(SPIN) refill(struct daxl_slab *slab, struct shard *shard, bool own,
                                                             unsigned class)
{
	struct magazine *mag = &shard->mag[class];
	unsigned count;
	unlock_shard(shard, own);
	struct object *list = depot_take(slab, class, &count);
	lock_shard(shard, own);
	if (!list)
		return false;
	if (mag->first) {
		/* Others freed into this shard meanwhile: what was taken goes before that. */
		struct object *last = list;
		while (last->next)
			last = last->next;
		last->next = mag->first;
	}
	mag->first = list;
	mag->count += count;
	return true;
}

/* The magazine is full: the batch for the depot. */
static struct object *__attribute__((noinline)) DAXL_HOLDS(SPIN) take_batch(struct magazine *mag, unsigned class)
{
	struct object *batch = mag->first, *last = batch->next;
	if (HAS_REST(class))
		unpoison(batch, sizeof(*batch));
	for (unsigned i = 0; i < BATCH - 2; i++) {
		last = last->next;
		if (HAS_REST(class))
			batch->rest[i] = last;
	}
	poison(batch, (class + 1) * (size_t)STEP);
	mag->first = last->next;
	mag->count -= BATCH;
	last->next = NULL;
	return batch;
}

/* Memory of at least size bytes, aligned to a cache line, contents undefined; any thread. */
void *daxl_slab_alloc(struct daxl_slab *slab, size_t size)
{
	assert(size >= 1 && size <= CLASSES * STEP);
	if (DAXL_FAULT("slab-alloc"))
		return NULL;
	unsigned class = (unsigned)((size - 1) / STEP);
	bool own;
	struct shard *shard = shard_of(slab, &own);
	struct magazine *mag = &shard->mag[class];
	lock_shard(shard, own);
	if (daxl_unlikely(!mag->first) && !refill(slab, shard, own, class)) {
		unlock_shard(shard, own);
		return NULL;
	}
	struct object *object = mag->first, *following = object->next;
	mag->first = following;
	mag->count--;
	add_bytes(shard, ((int64_t)class + 1) * STEP);
	unlock_shard(shard, own);
	__builtin_prefetch(following, 1);
	unpoison(object, (class + 1) * (size_t)STEP);
	return object;
}

/* Takes back what daxl_slab_alloc gave for the same size; any thread. */
void daxl_slab_free(struct daxl_slab *slab, void *ptr, size_t size)
{
	unsigned class = (unsigned)((size - 1) / STEP);
	bool own;
	struct shard *shard = shard_of(slab, &own);
	struct magazine *mag = &shard->mag[class];
	struct object *object = ptr, *batch = NULL;
	poison(object, (class + 1) * (size_t)STEP);
	lock_shard(shard, own);
	object->next = mag->first;
	mag->first = object;
	mag->count++;
	add_bytes(shard, -((int64_t)class + 1) * STEP);
	if (daxl_unlikely(mag->count >= 2 * BATCH))
		batch = take_batch(mag, class);
	unlock_shard(shard, own);
	if (daxl_unlikely(batch != NULL))
		depot_give(slab, class, batch);
}

/* Bytes in use by live objects, rounded to their classes; exact when nobody allocates. */
uint64_t daxl_slab_bytes(const struct daxl_slab *slab)
{
	int64_t bytes = 0;
	for (unsigned i = 0; i < SHARDS; i++)
		bytes += atomic_load_explicit(&slab->shard[i].bytes, memory_order_relaxed);
	return bytes > 0 ? (uint64_t)bytes : 0;
}
