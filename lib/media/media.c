/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The mapping, and the single door for stores. Each store goes through the functions that libpmem2 hands out for the
 * mapping, so whoever puts itself under those sees all of them.
 *
 * What the three granularities make of a store:
 *
 *   BYTE        (eADR) a store is durable once it is globally visible: a flush is nothing, a fence orders.
 *   CACHE_LINE  copy and zero write around the cache, or flush what they wrote; a fence completes that.
 *   PAGE        libpmem2 calls msync inside each copy, zero and flush, whatever the flags: durable on return, the fence
 *               has nothing left to do. So a record must be copied after the data it makes visible. A failing msync
 *               ends the process inside libpmem2: it must not go on over data it cannot keep.
 *
 * An ordinary file is mapped into the front of a larger reservation of address space, so that it can grow and every
 * pointer into it stays good. What it grows by is a further libpmem2 mapping right behind, of the same file and
 * granularity; the first one's functions serve it too.
 */
#include "media/media.h"

#include <errno.h>
#include <inttypes.h>
#include <libpmem2/base.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/hook.h"
#include "base/tally.h"
#include "media/ahead.h"
#include "media/source.h"

/* Transparent huge pages want file offset and address to agree modulo this. */
#define MAP_ALIGN (UINT64_C(2) << 20)
/* Room to grow: this many times the size, within limits; address space costs nothing. */
#define RESERVE_FACTOR 16u
#define RESERVE_MIN (UINT64_C(16) << 30)
#define RESERVE_MAX (UINT64_C(32) << 40)
/* From here on a copy bypasses the cache: a log slot is never read again, and appended 64-byte stores combine. */
#define NONTEMPORAL_MIN DAXL_CACHE_LINE

/* One libpmem2 mapping: the first, or one that growth added. */
struct part {
	struct pmem2_map *map;
	struct part *older;
};

struct daxl_media {
	char *base;
	uint64_t size; /* bytes; grows only, atomic */
	enum daxl_granularity granularity;
	bool read_only;
	bool memory; /* over caller memory: nothing below copy_flags is used */
	bool sparse;
	unsigned copy_flags; /* for copies and zeroes of NONTEMPORAL_MIN bytes and more */
	pmem2_memcpy_fn memcpy_fn;
	pmem2_memset_fn memset_fn;
	pmem2_flush_fn flush_fn;
	pmem2_drain_fn drain_fn;
	pmem2_persist_fn persist_fn;

	char *path;
	struct daxl_source source;
	struct pmem2_source *pmem2;
	struct pmem2_vm_reservation *reservation; /* NULL: cannot grow */
	uint64_t reserved_off;                    /* of base in the reservation */
	uint64_t reserved;                        /* bytes from base on */
	struct part *parts;                       /* newest first; changed by grow */
	struct daxl_ahead *ahead;                 /* between read_begin and read_end, or NULL */
};

#ifdef DAXL_TEST_HOOKS

static daxl_media_observer_fn observer;
static void *observer_arg;

void daxl_media_observe(daxl_media_observer_fn fn, void *arg)
{
	__atomic_store_n(&observer_arg, arg, __ATOMIC_RELAXED);
	__atomic_store_n(&observer, fn, __ATOMIC_RELEASE);
}

static void observe(struct daxl_media *media, enum daxl_media_event event, const void *addr, const void *src,
                    size_t len)
{
	daxl_media_observer_fn fn = __atomic_load_n(&observer, __ATOMIC_ACQUIRE);

	if (fn)
		fn(media, event, addr, src, len, __atomic_load_n(&observer_arg, __ATOMIC_RELAXED));
}
#define OBSERVE(media, event, addr, src, len) observe(media, event, addr, src, len)

#else
#define OBSERVE(media, event, addr, src, len) ((void)0)
#endif

/* A libpmem2 error as -errno, with its own sentence behind ours. Its own numbers lie beyond every errno. */
static int fail_pmem2(int rc, const char *what, const char *path)
{
	int err = rc > PMEM2_E_UNKNOWN ? -rc : EINVAL;

	if (rc == PMEM2_E_NO_ACCESS)
		err = EACCES;
	else if (rc == PMEM2_E_NOSUPP || err == ENODEV)
		err = EOPNOTSUPP;
	return daxl_fail(err, "%s '%s': %s", what, path, pmem2_errormsg());
}

/* Maps [off, off + len) of the source behind what is mapped already; len 0 means up to the end. */
static int map_part(struct daxl_media *media, uint64_t off, uint64_t len)
{
	struct pmem2_config *config = NULL;
	struct part *part;
	int rc;

	part = daxl_zalloc(sizeof(*part));
	if (!part)
		return daxl_fail(ENOMEM, "cannot map '%s': no memory", media->path);
	rc = DAXL_FAULT("media.map") ? -ENOMEM : pmem2_config_new(&config);
	if (rc)
		goto fail;
	rc = pmem2_config_set_required_store_granularity(config, PMEM2_GRANULARITY_PAGE);
	if (!rc)
		rc = pmem2_config_set_sharing(config, PMEM2_SHARED);
	if (!rc)
		rc = pmem2_config_set_protection(config, PMEM2_PROT_READ | (media->read_only ? 0 : PMEM2_PROT_WRITE));
	if (!rc)
		rc = pmem2_config_set_offset(config, off);
	if (!rc && len != 0)
		rc = pmem2_config_set_length(config, len);
	if (!rc && media->reservation)
		rc = pmem2_config_set_vm_reservation(config, media->reservation, media->reserved_off + off);
	if (!rc)
		rc = pmem2_map_new(&part->map, config, media->pmem2);
	if (rc)
		goto fail;
	pmem2_config_delete(&config);
	part->older = media->parts;
	media->parts = part;
	return 0;
fail:
	rc = fail_pmem2(rc, "cannot map", media->path);
	if (config)
		pmem2_config_delete(&config);
	daxl_free(part);
	return rc;
}

/* Reserves address space for the file and its growth, less where that is refused; without any it cannot grow. */
static void reserve(struct daxl_media *media)
{
	uint64_t need = daxl_round_up(media->source.size, MAP_ALIGN);
	uint64_t want = daxl_max_u64(daxl_min_u64(need, RESERVE_MAX / RESERVE_FACTOR) * RESERVE_FACTOR, RESERVE_MIN);

	for (; want > need; want /= 2) {
		uint64_t addr;

		want = daxl_round_up(want, MAP_ALIGN);
		if (DAXL_FAULT("media.reserve") || pmem2_vm_reservation_new(&media->reservation, NULL, want + MAP_ALIGN) != 0)
			continue;
		addr = (uint64_t)(uintptr_t)pmem2_vm_reservation_get_address(media->reservation);
		media->reserved_off = daxl_round_up(addr, MAP_ALIGN) - addr;
		media->reserved = want;
		return;
	}
	media->reservation = NULL;
}

/* Unmaps and forgets everything but the source; takes a media that is only half made. */
static void release(struct daxl_media *media)
{
	struct part *part;

	while ((part = media->parts) != NULL) {
		media->parts = part->older;
		pmem2_map_delete(&part->map);
		daxl_free(part);
	}
	if (media->reservation)
		pmem2_vm_reservation_delete(&media->reservation);
	if (media->pmem2)
		pmem2_source_delete(&media->pmem2);
}

static enum daxl_granularity granularity_of(struct pmem2_map *map)
{
	switch (pmem2_map_get_store_granularity(map)) {
	case PMEM2_GRANULARITY_BYTE:
		return DAXL_MEDIA_BYTE;
	case PMEM2_GRANULARITY_CACHE_LINE:
		return DAXL_MEDIA_CACHE_LINE;
	case PMEM2_GRANULARITY_PAGE:
		break;
	}
	return DAXL_MEDIA_PAGE;
}

/* Maps an open source and takes the mapping's functions. */
static int map_source(struct daxl_media *media)
{
	struct pmem2_map *map;
	int rc;

	rc = DAXL_FAULT("media.source") ? -ENOMEM : pmem2_source_from_fd(&media->pmem2, media->source.fd);
	if (rc)
		return fail_pmem2(rc, "cannot map", media->path);
	if (!media->source.device && !media->read_only)
		reserve(media);
	rc = map_part(media, 0, 0);
	if (rc)
		return rc;
	map = media->parts->map;
	media->base = pmem2_map_get_address(map);
	media->size = media->source.device ? pmem2_map_get_size(map) : media->source.size;
	media->granularity = granularity_of(map);
	media->copy_flags = PMEM2_F_MEM_NODRAIN;
	if (media->granularity == DAXL_MEDIA_CACHE_LINE)
		media->copy_flags |= PMEM2_F_MEM_NONTEMPORAL;
	media->memcpy_fn = pmem2_get_memcpy_fn(map);
	media->memset_fn = pmem2_get_memset_fn(map);
	media->flush_fn = pmem2_get_flush_fn(map);
	media->drain_fn = pmem2_get_drain_fn(map);
	media->persist_fn = pmem2_get_persist_fn(map);
	return 0;
}

int daxl_media_open(const char *path, unsigned flags, uint64_t create_size, unsigned mode,
                    struct daxl_media **ret_media)
{
	struct daxl_media *media = daxl_zalloc(sizeof(*media));
	size_t path_size = strlen(path) + 1;
	int err;

	if (!media)
		return daxl_fail(ENOMEM, "cannot open '%s': no memory", path);
	media->path = daxl_alloc(path_size);
	if (!media->path) {
		err = daxl_fail(ENOMEM, "cannot open '%s': no memory", path);
		goto out_free;
	}
	memcpy(media->path, path, path_size);
	media->read_only = flags & DAXL_MEDIA_READ_ONLY;
	media->sparse = flags & DAXL_MEDIA_SPARSE;
	err = daxl_source_open(path, flags, create_size, mode, &media->source);
	if (err)
		goto out_free;
	err = map_source(media);
	if (err)
		goto out_close;
	*ret_media = media;
	return 0;
out_close:
	release(media);
	daxl_source_undo(&media->source, path);
	daxl_source_close(&media->source);
out_free:
	daxl_free(media->path);
	daxl_free(media);
	return err;
}

static void close_media(struct daxl_media *media, bool undo)
{
	if (!media->memory) {
		release(media);
		if (undo)
			daxl_source_undo(&media->source, media->path);
		daxl_source_close(&media->source);
		daxl_free(media->path);
	}
	daxl_free(media);
}

void daxl_media_close(struct daxl_media *media)
{
	close_media(media, false);
}

void daxl_media_discard(struct daxl_media *media)
{
	close_media(media, true);
}

static void *plain_memcpy(void *dst, const void *src, size_t len, unsigned flags)
{
	(void)flags;
	return memcpy(dst, src, len);
}

static void *plain_memset(void *dst, int c, size_t len, unsigned flags)
{
	(void)flags;
	return memset(dst, c, len);
}

static void plain_flush(const void *addr, size_t len)
{
	(void)addr;
	(void)len;
}

static void plain_drain(void)
{
}

int daxl_media_open_memory(void *base, uint64_t size, bool read_only, struct daxl_media **ret_media)
{
	struct daxl_media *media = daxl_zalloc(sizeof(*media));

	if (!media)
		return daxl_fail(ENOMEM, "cannot open memory as a medium: no memory");
	media->base = base;
	media->size = size;
	media->granularity = DAXL_MEDIA_CACHE_LINE;
	media->read_only = read_only;
	media->memory = true;
	media->memcpy_fn = plain_memcpy;
	media->memset_fn = plain_memset;
	media->flush_fn = plain_flush;
	media->drain_fn = plain_drain;
	media->persist_fn = plain_flush;
	*ret_media = media;
	return 0;
}

int daxl_media_grow(struct daxl_media *media, uint64_t new_size)
{
	uint64_t old_size = media->size;
	int err;

	if (media->memory || media->source.device || media->read_only)
		return daxl_fail(EOPNOTSUPP, "only an ordinary file open for writing can grow");
	if (new_size <= old_size || new_size % DAXL_PAGE_SIZE != 0 || old_size % DAXL_PAGE_SIZE != 0)
		return daxl_fail(EINVAL, "'%s': cannot grow from %" PRIu64 " to %" PRIu64 " bytes", media->path,
		                 old_size, new_size);
	if (!media->reservation || new_size > media->reserved)
		return daxl_fail(EOPNOTSUPP,
		                 "'%s': address space is reserved for %" PRIu64 " bytes, not %" PRIu64
		                 "; open it again and then grow it",
		                 media->path, media->reservation ? media->reserved : old_size, new_size);
	err = daxl_source_extend(&media->source, new_size, media->sparse);
	if (err)
		return err;
	err = map_part(media, old_size, new_size - old_size);
	if (err) {
		daxl_source_shrink(&media->source, old_size);
		return err;
	}
	__atomic_store_n(&media->size, new_size, __ATOMIC_RELEASE);
	return 0;
}

char *daxl_media_base(const struct daxl_media *media)
{
	return media->base;
}

uint64_t daxl_media_size(const struct daxl_media *media)
{
	return __atomic_load_n(&media->size, __ATOMIC_ACQUIRE);
}

enum daxl_granularity daxl_media_granularity(const struct daxl_media *media)
{
	return media->granularity;
}

bool daxl_media_is_read_only(const struct daxl_media *media)
{
	return media->read_only;
}

bool daxl_media_is_device(const struct daxl_media *media)
{
	return media->source.device;
}

/*
 * pread of an ordinary file answers poison with an error instead of a signal. Not through libpmem2's read here: that
 * takes a short count, which is what poison in the middle gives first, for success.
 */
static int read_file(const struct daxl_media *media, uint64_t off, void *buf, size_t len)
{
	char *p = buf;

	while (len > 0) {
		ssize_t n = pread(media->source.fd, p, len, (off_t)off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return daxl_fail(EIO, "'%s': cannot read at byte %" PRIu64 ": %s", media->path, off,
			                 strerror(errno));
		if (n == 0)
			return daxl_fail(EIO, "'%s': cut off at byte %" PRIu64, media->path, off);
		p += n;
		off += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

/* A daxl_ahead_fn: whatever reads this kind of medium. */
static int read_source(void *arg, uint64_t off, void *buf, size_t len)
{
	const struct daxl_media *media = arg;

	if (!media->source.device)
		return read_file(media, off, buf, len);
	if (pmem2_source_pread_mcsafe(media->pmem2, buf, len, off))
		return daxl_fail(EIO, "'%s': cannot read %zu bytes at byte %" PRIu64 ": %s", media->path, len, off,
		                 pmem2_errormsg());
	return 0;
}

void daxl_media_read_begin(struct daxl_media *media)
{
	if (!media->memory && !media->ahead)
		media->ahead = daxl_ahead_new(read_source, media, daxl_media_size(media));
}

void daxl_media_read_end(struct daxl_media *media)
{
	daxl_ahead_free(media->ahead);
	media->ahead = NULL;
}

int daxl_media_read(struct daxl_media *media, uint64_t off, void *buf, size_t len)
{
	uint64_t size = daxl_media_size(media);

	if (off > size || len > size - off)
		return daxl_fail(EIO, "read of %zu bytes at byte %" PRIu64 ", beyond the medium's %" PRIu64, len, off,
		                 size);
	if (DAXL_FAULT("media.read"))
		return daxl_fail(EIO, "cannot read %zu bytes at byte %" PRIu64 ": poisoned by a test", len, off);
	if (media->memory) {
		memcpy(buf, media->base + off, len);
		return 0;
	}
	return media->ahead ? daxl_ahead_read(media->ahead, off, buf, len) : read_source(media, off, buf, len);
}

#ifndef NDEBUG
/* Whether [addr, addr + len) may be stored to. */
static inline bool may_store(const struct daxl_media *media, const void *addr, size_t len)
{
	uint64_t off = (uint64_t)((uintptr_t)addr - (uintptr_t)media->base);
	uint64_t size = daxl_media_size(media);

	return !media->read_only && off <= size && len <= size - off;
}
#endif

static inline void count_lines(const void *addr, size_t len)
{
	uintptr_t first = (uintptr_t)addr / DAXL_CACHE_LINE;
	uintptr_t last = ((uintptr_t)addr + len - 1) / DAXL_CACHE_LINE;

	daxl_toll.lines += last - first + 1;
}

static inline unsigned store_flags(const struct daxl_media *media, size_t len)
{
	return len >= NONTEMPORAL_MIN ? media->copy_flags : PMEM2_F_MEM_NODRAIN;
}

/* Each counts first, so that without an observer libpmem2's function is the last thing it does. */
void daxl_media_copy(struct daxl_media *media, void *dst, const void *src, size_t len)
{
	if (len == 0)
		return;
	assert(may_store(media, dst, len));
	OBSERVE(media, DAXL_MEDIA_EV_STORE, dst, src, len);
	count_lines(dst, len);
	media->memcpy_fn(dst, src, len, store_flags(media, len));
	OBSERVE(media, DAXL_MEDIA_EV_FLUSH, dst, NULL, len);
}

void daxl_media_zero(struct daxl_media *media, void *dst, size_t len)
{
	if (len == 0)
		return;
	assert(may_store(media, dst, len));
	OBSERVE(media, DAXL_MEDIA_EV_STORE, dst, NULL, len);
	count_lines(dst, len);
	media->memset_fn(dst, 0, len, store_flags(media, len));
	OBSERVE(media, DAXL_MEDIA_EV_FLUSH, dst, NULL, len);
}

void daxl_media_flush(struct daxl_media *media, const void *addr, size_t len)
{
	if (len == 0)
		return;
	assert(may_store(media, addr, len));
	OBSERVE(media, DAXL_MEDIA_EV_FLUSH, addr, NULL, len);
	count_lines(addr, len);
	media->flush_fn(addr, len);
}

void daxl_media_fence(struct daxl_media *media)
{
	OBSERVE(media, DAXL_MEDIA_EV_FENCE, NULL, NULL, 0);
	daxl_toll.fences++;
	media->drain_fn();
}

void daxl_media_persist(struct daxl_media *media, const void *addr, size_t len)
{
	if (len == 0) {
		daxl_media_fence(media);
		return;
	}
	assert(may_store(media, addr, len));
	OBSERVE(media, DAXL_MEDIA_EV_FLUSH, addr, NULL, len);
	OBSERVE(media, DAXL_MEDIA_EV_FENCE, NULL, NULL, 0);
	count_lines(addr, len);
	daxl_toll.fences++;
	media->persist_fn(addr, len);
}
