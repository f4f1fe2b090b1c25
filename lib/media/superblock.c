/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Geometry, and the three copies of it: at 0, at mid, and in the pool's last page.
 *
 * Which copy to believe: the first two lie where no file's data ever does, at places that do not depend on the pool's
 * size. Of those that are intact the first says which pool this is, and the highest generation of that pool wins, with
 * the end copy at the place where the winner puts it. Only when both are damaged the end of the medium is searched,
 * from the last place where a pool with some block size could end downwards: no data lie behind a pool's end, so
 * nothing that a file's owner wrote is met before the true copy.
 *
 * The winner is the newest intact copy, not the newest plausible one: if its geometry is impossible, or larger than a
 * truncated medium, then an older copy is no better, and the pool is refused.
 */
#include "media/superblock.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/random.h>

#include "base/bucket.h"
#include "base/crc32c.h"
#include "base/error.h"
#include "base/hook.h"

#define COPIES 3u
#define LOG_SHARE 256u                     /* the default log is this part of the pool */
#define HEAD_BYTES (3u * DAXL_PAGE_SIZE)   /* a superblock copy and two slots behind it */
#define USABLE_BLOCKS_MIN (DAXL_POOL_BLOCKS_MIN / 2)

/* A copy as it lies in its page. */
union super_page {
	struct daxl_md_super super;
	uint8_t bytes[DAXL_PAGE_SIZE];
};

enum copy_state { COPY_INTACT, COPY_UNREADABLE, COPY_NO_MAGIC, COPY_BAD_CRC, COPY_MISPLACED };

static uint64_t mid_of(uint64_t pool_size)
{
	return daxl_min_u64(DAXL_MID_MAX, pool_size / 2) & ~(uint64_t)(DAXL_PAGE_SIZE - 1);
}

uint64_t daxl_super_end_copy(const struct daxl_md_super *super)
{
	return super->pool_size - DAXL_PAGE_SIZE;
}

/*
 * Whether the log leaves enough blocks that hold no fixed area; the log lies behind the middle copy, before the end
 * copy.
 */
static bool enough_blocks_left(const struct daxl_md_super *super)
{
	uint64_t total = super->pool_size >> super->block_shift;
	uint64_t first = super->mid >> super->block_shift;
	uint64_t last = (super->log_off + super->log_size - 1) >> super->block_shift;
	uint64_t head = daxl_bytes_to_blocks_up(HEAD_BYTES, super->block_shift);

	return total >= head + (last - first + 1) + 1 + USABLE_BLOCKS_MIN;
}

int daxl_super_plan(uint64_t size, uint32_t block_size, uint64_t log_size, struct daxl_md_super *ret_super)
{
	struct daxl_md_super super = { .magic = DAXL_SB_MAGIC, .version = DAXL_FORMAT_VERSION, .generation = 1 };

	if (!daxl_is_power_of_two(block_size) || block_size < 1u << DAXL_BLOCK_SHIFT_MIN ||
	    block_size > 1u << DAXL_BLOCK_SHIFT_MAX)
		return daxl_fail(EINVAL, "block size %" PRIu32 " is no power of two from 4 KiB to 2 MiB", block_size);
	super.block_shift = (uint32_t)__builtin_ctz(block_size);
	super.pool_size = size & ~((uint64_t)block_size - 1);
	if (super.pool_size < DAXL_POOL_SIZE_MIN)
		return daxl_fail(EINVAL, "pool of %" PRIu64 " bytes: %u at least", size, DAXL_POOL_SIZE_MIN);
	if (super.pool_size >> super.block_shift < DAXL_POOL_BLOCKS_MIN)
		return daxl_fail(EINVAL, "pool of %" PRIu64 " bytes: %u blocks of %" PRIu32 " bytes at least", size,
		                 DAXL_POOL_BLOCKS_MIN, block_size);
	if (super.pool_size >> super.block_shift > DAXL_MD_RUN_BLOCK_MASK)
		return daxl_fail(EINVAL, "pool of %" PRIu64 " bytes: too many blocks of %" PRIu32 " bytes", size,
		                 block_size);
	super.mid = mid_of(super.pool_size);

	if (log_size == 0)
		log_size = daxl_min_u64(daxl_max_u64(super.pool_size / LOG_SHARE, DAXL_LOG_SIZE_MIN),
		                        DAXL_LOG_SIZE_MAX);
	if (log_size < DAXL_LOG_SIZE_MIN || log_size > DAXL_LOG_SIZE_MAX)
		return daxl_fail(EINVAL, "log of %" PRIu64 " bytes: from %u to %u", log_size, DAXL_LOG_SIZE_MIN,
		                 DAXL_LOG_SIZE_MAX);
	super.log_size = log_size & ~(uint64_t)(DAXL_PAGE_SIZE - 1);
	super.log_off = super.mid + HEAD_BYTES;
	if (super.log_off + super.log_size > daxl_super_end_copy(&super) || !enough_blocks_left(&super))
		return daxl_fail(EINVAL, "log of %" PRIu64 " bytes does not fit a pool of %" PRIu64 " bytes", log_size,
		                 size);

	if (DAXL_FAULT("random") || getrandom(super.uuid, sizeof(super.uuid), 0) != (ssize_t)sizeof(super.uuid))
		return daxl_fail(EIO, "pool uuid: no random bytes");
	super.created_ns = daxl_realtime_ns();
	memcpy(super.devices[0].uuid, super.uuid, sizeof(super.uuid));
	super.devices[0].size = super.pool_size;
	*ret_super = super;
	return 0;
}

/* The checksum of a copy's page, whatever its crc field holds. */
static uint32_t page_crc(const union super_page *page)
{
	struct daxl_md_super super = page->super;

	super.crc = 0;
	uint32_t crc = daxl_crc32c(0, &super, sizeof(super));
	return daxl_crc32c(crc, page->bytes + sizeof(super), sizeof(page->bytes) - sizeof(super));
}

/* The device entry of the pool itself follows uuid and pool_size. On return super is what lies at off. */
static void write_copy(struct daxl_media *media, struct daxl_md_super *super, uint64_t off)
{
	union super_page page;

	memcpy(super->devices[0].uuid, super->uuid, sizeof(super->uuid));
	super->devices[0].size = super->pool_size;
	memset(&page, 0, sizeof(page));
	super->self = off;
	page.super = *super;
	super->crc = page.super.crc = page_crc(&page);
	daxl_media_copy(media, daxl_media_base(media) + off, &page, sizeof(page));
	daxl_media_fence(media);
}

void daxl_super_write(struct daxl_media *media, struct daxl_md_super *super)
{
	write_copy(media, super, daxl_super_end_copy(super));
	write_copy(media, super, super->mid);
	write_copy(media, super, 0);
}

void daxl_super_write_end(struct daxl_media *media, struct daxl_md_super *super)
{
	write_copy(media, super, daxl_super_end_copy(super));
}

/* Reads the copy at off and says in what state it is; fields other than magic, crc and self are not looked at. */
static enum copy_state read_copy(struct daxl_media *media, uint64_t off, struct daxl_md_super *ret_super)
{
	union super_page page;

	if (daxl_media_read(media, off, &page, sizeof(page)))
		return COPY_UNREADABLE;
	if (page.super.magic != DAXL_SB_MAGIC)
		return COPY_NO_MAGIC;
	if (page.super.crc != page_crc(&page))
		return COPY_BAD_CRC;
	if (page.super.self != off)
		return COPY_MISPLACED;
	*ret_super = page.super;
	return COPY_INTACT;
}

static bool same_pool(const struct daxl_md_super *a, const struct daxl_md_super *b)
{
	return memcmp(a->uuid, b->uuid, sizeof(a->uuid)) == 0;
}

/* Whether two copies say the same; where they lie and their checksums differ. */
static bool same_content(struct daxl_md_super a, struct daxl_md_super b)
{
	a.self = b.self = 0;
	a.crc = b.crc = 0;
	return memcmp(&a, &b, sizeof(a)) == 0;
}

/* The search for an end copy when nothing is known about the pool: one candidate for each block size, highest first. */
static bool search_end(struct daxl_media *media, struct daxl_md_super *ret_super, unsigned *states)
{
	uint64_t size = daxl_media_size(media), tried = UINT64_MAX;

	for (unsigned shift = DAXL_BLOCK_SHIFT_MIN; shift <= DAXL_BLOCK_SHIFT_MAX; shift++) {
		uint64_t end = size >> shift << shift;

		if (end < DAXL_PAGE_SIZE || end == tried)
			continue;
		tried = end;
		enum copy_state state = read_copy(media, end - DAXL_PAGE_SIZE, ret_super);
		*states |= 1u << state;
		if (state == COPY_INTACT && daxl_super_end_copy(ret_super) == end - DAXL_PAGE_SIZE)
			return true;
	}
	return false;
}

/* Says what is wrong with a medium on which no copy is intact; states has a bit for each state that was met. */
static int no_copy(const struct daxl_media *media, unsigned states)
{
	if (states & (1u << COPY_BAD_CRC | 1u << COPY_MISPLACED | 1u << COPY_INTACT))
		return daxl_fail(EUCLEAN, "superblock: no intact copy at 0, %u or the end of %" PRIu64 " bytes: %s",
		                 DAXL_MID_MAX, daxl_media_size(media),
		                 states & 1u << COPY_BAD_CRC ? "wrong checksum" : "not where it says it is");
	if (states & 1u << COPY_UNREADABLE)
		return daxl_fail(EIO, "superblock: no copy found in %" PRIu64 " bytes, and not all places can be read",
		                 daxl_media_size(media));
	return daxl_fail(EINVAL, "not a pool: no superblock in %" PRIu64 " bytes", daxl_media_size(media));
}

/* Finds the newest intact copy of the pool. */
static int find_copy(struct daxl_media *media, struct daxl_md_super *ret_super)
{
	struct daxl_md_super super, other;
	uint64_t size = daxl_media_size(media);
	enum copy_state first = COPY_NO_MAGIC, middle = COPY_NO_MAGIC;

	if (size >= DAXL_PAGE_SIZE)
		first = read_copy(media, 0, &super);
	if (size >= DAXL_MID_MAX + DAXL_PAGE_SIZE)
		middle = read_copy(media, DAXL_MID_MAX, &other);
	if (middle == COPY_INTACT &&
	    (first != COPY_INTACT || (same_pool(&super, &other) && other.generation > super.generation)))
		super = other;
	if (first != COPY_INTACT && middle != COPY_INTACT) {
		unsigned states = 1u << first | 1u << middle;

		if (!search_end(media, ret_super, &states))
			return no_copy(media, states);
		return 0;
	}

	uint64_t end = daxl_super_end_copy(&super);
	if (end % DAXL_PAGE_SIZE == 0 && end >= DAXL_MID_MAX && end <= size - DAXL_PAGE_SIZE &&
	    read_copy(media, end, &other) == COPY_INTACT && same_pool(&super, &other) &&
	    other.generation > super.generation)
		super = other;
	*ret_super = super;
	return 0;
}

/* Version and features: may this library read (and write) the pool at all? */
static int check_features(const struct daxl_md_super *super, bool for_write)
{
	uint32_t incompat = super->feature_incompat & ~DAXL_FEATURE_INCOMPAT_KNOWN;
	uint32_t ro_compat = super->feature_ro_compat & ~DAXL_FEATURE_RO_COMPAT_KNOWN;

	if (super->version != DAXL_FORMAT_VERSION)
		return daxl_fail(EINVAL, "superblock: format version %" PRIu32 ", this library knows %u",
		                 super->version, DAXL_FORMAT_VERSION);
	if (incompat)
		return daxl_fail(EINVAL, "superblock: unknown incompatible feature, bit %d", __builtin_ctz(incompat));
	if (ro_compat && for_write)
		return daxl_fail(EROFS, "superblock: unknown feature, bit %d, allows only reading",
		                 __builtin_ctz(ro_compat));
	return 0;
}

/* The field of the geometry that is impossible whatever the medium's size; NULL: none. */
static const char *geometry_fault(const struct daxl_md_super *super)
{
	unsigned shift = super->block_shift;

	if (shift < DAXL_BLOCK_SHIFT_MIN || shift > DAXL_BLOCK_SHIFT_MAX)
		return "block size";
	if (super->pool_size < DAXL_POOL_SIZE_MIN || daxl_offset_in_block(super->pool_size, shift) != 0 ||
	    super->pool_size >> shift < DAXL_POOL_BLOCKS_MIN || super->pool_size >> shift > DAXL_MD_RUN_BLOCK_MASK)
		return "pool size";
	if (super->mid != mid_of(super->pool_size))
		return "middle";
	if (super->log_size < DAXL_LOG_SIZE_MIN || super->log_size > DAXL_LOG_SIZE_MAX ||
	    super->log_size % DAXL_SLOT_SIZE != 0)
		return "log size";
	if (super->log_off % DAXL_SLOT_SIZE != 0 || super->log_off < super->mid + HEAD_BYTES ||
	    super->log_off > daxl_super_end_copy(super) ||
	    super->log_size > daxl_super_end_copy(super) - super->log_off)
		return "log offset";
	if (memcmp(super->devices[0].uuid, super->uuid, sizeof(super->uuid)) != 0 ||
	    super->devices[0].size != super->pool_size || super->devices[0].base_block != 0)
		return "device 0";
	for (unsigned i = 1; i < DAXL_DEVICES_MAX; i++) {
		static const struct daxl_md_device none;

		if (memcmp(&super->devices[i], &none, sizeof(none)) != 0)
			return "device table";
	}
	return NULL;
}

/* A bit for each of the copies at 0, mid and the end which is not the winner's like. */
static unsigned bad_copies(struct daxl_media *media, const struct daxl_md_super *super)
{
	const uint64_t offs[COPIES] = { 0, super->mid, daxl_super_end_copy(super) };
	unsigned bad = 0;

	for (unsigned i = 0; i < COPIES; i++) {
		struct daxl_md_super copy;

		if (read_copy(media, offs[i], &copy) != COPY_INTACT || !same_content(copy, *super))
			bad |= 1u << i;
	}
	return bad;
}

int daxl_super_read(struct daxl_media *media, bool for_write, struct daxl_md_super *ret_super, unsigned *ret_bad)
{
	struct daxl_md_super super;

	int err = find_copy(media, &super);
	if (!err)
		err = check_features(&super, for_write);
	if (err)
		return err;

	const char *fault = geometry_fault(&super);
	if (fault)
		return daxl_fail(EUCLEAN, "superblock at byte %" PRIu64 ": impossible %s", super.self, fault);
	if (super.pool_size > daxl_media_size(media))
		return daxl_fail(EUCLEAN, "truncated: the pool has %" PRIu64 " bytes, the medium only %" PRIu64,
		                 super.pool_size, daxl_media_size(media));
	if (ret_bad)
		*ret_bad = bad_copies(media, &super);
	*ret_super = super;
	return 0;
}

void daxl_super_fixed(const struct daxl_md_super *super, void (*fn)(uint64_t off, uint64_t len, void *arg), void *arg)
{
	fn(0, HEAD_BYTES, arg);
	fn(super->mid, HEAD_BYTES, arg);
	fn(super->log_off, super->log_size, arg);
	fn(daxl_super_end_copy(super), DAXL_PAGE_SIZE, arg);
}
