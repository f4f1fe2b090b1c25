/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The on-media format, version 1: every struct that lies in a pool, and nothing else. Little-endian, fixed
 * width. This header is the format; the compiler checks sizes and offsets. A change of meaning takes a feature bit.
 *
 *   0                superblock copy 0 | slot A | slot B      (4 KiB each)
 *   mid              superblock copy 1 | slot A'| slot B'     mid = min(2 MiB, size/2) rounded down to a page
 *   size - 4 KiB     superblock copy 2
 *   log_off          the log ring: log_size bytes of 64-byte slots, contiguous
 *   everything else  blocks: checkpoint pages and data
 *
 * The blocks which hold any of the first four are never given out.
 */
#ifndef DAXL_MEDIA_FORMAT_H
#define DAXL_MEDIA_FORMAT_H

#include <endian.h>
#include <stddef.h>
#include <stdint.h>

#if __BYTE_ORDER != __LITTLE_ENDIAN
#error "libdaxlayout stores little-endian integers by plain copies; this host is big-endian"
#endif

#define DAXL_SB_MAGIC UINT64_C(0x31304c5841440a89)   /* "\x89\nDAXL01" */
#define DAXL_SLOT_MAGIC UINT64_C(0x3130544f4c53440a) /* checkpoint slot */
#define DAXL_PAGE_MAGIC UINT32_C(0x47504c44)         /* "DLPG" */
#define DAXL_FORMAT_VERSION 1u

#define DAXL_MID_MAX (2u << 20)
#define DAXL_LOG_SIZE_MIN (256u << 10)
#define DAXL_LOG_SIZE_MAX (256u << 20)
#define DAXL_POOL_SIZE_MIN (4u << 20)
#define DAXL_POOL_BLOCKS_MIN 16u
#define DAXL_LOG_WINDOW 1024u /* W: no ticket is further ahead of the oldest unfinished one */

/* Feature words: none are assigned in version 1. */
#define DAXL_FEATURE_COMPAT_KNOWN 0u
#define DAXL_FEATURE_RO_COMPAT_KNOWN 0u
#define DAXL_FEATURE_INCOMPAT_KNOWN 0u

#define DAXL_DEVICES_MAX 64u

/* Room for pools over several devices: entry 0 is the pool itself, the others are 0 in version 1. */
struct daxl_md_device {
	uint8_t uuid[16];
	uint64_t size;       /* bytes */
	uint64_t base_block; /* pool block number of its first block */
	uint32_t state;
	uint32_t reserved;
	uint64_t reserved2;
};
_Static_assert(sizeof(struct daxl_md_device) == 48, "device entry");

/* One of three copies; the highest valid generation wins. */
struct daxl_md_super {
	uint64_t magic;
	uint32_t version;
	uint32_t crc; /* CRC32C of the whole 4 KiB page with this field 0 */
	uint8_t uuid[16];
	uint64_t generation;
	uint64_t self;      /* byte offset of this copy */
	uint64_t pool_size; /* bytes */
	uint32_t block_shift;
	uint32_t feature_compat;
	uint32_t feature_ro_compat;
	uint32_t feature_incompat;
	uint64_t mid;      /* byte offset of copy 1 */
	uint64_t log_off;  /* bytes */
	uint64_t log_size; /* bytes, a multiple of 64 */
	uint64_t created_ns;
	uint64_t reserved[8];
	struct daxl_md_device devices[DAXL_DEVICES_MAX];
};
_Static_assert(offsetof(struct daxl_md_super, pool_size) == 48, "superblock layout");
_Static_assert(offsetof(struct daxl_md_super, devices) == 168, "superblock layout");
_Static_assert(sizeof(struct daxl_md_super) <= 4096, "superblock fits a page");

/* Where a checkpoint object lies: two copies for roots, tables and inner pages; copy 0 for leaves. Page numbers count 4 KiB pages from the pool's start; 0: none. */
struct daxl_md_ref {
	uint64_t page;
	uint64_t copy;
};

#define DAXL_SLOT_CLEAN 1u

/* A checkpoint slot: A and B in turn. 256 bytes at the start of their page. */
struct daxl_md_slot {
	uint64_t magic;
	uint32_t version;
	uint32_t crc; /* CRC32C of the 256 bytes with this field 0 */
	uint8_t uuid[16];
	uint64_t generation; /* of the checkpoint: the newest valid slot wins */
	uint64_t pool_size;  /* bytes, as grown by then */
	uint64_t position;   /* P: replay starts with the record at this log position */
	uint64_t cut;
	uint64_t epoch; /* the pool epoch that records at and after position carry */
	uint32_t flags; /* DAXL_SLOT_* */
	uint32_t table_depth;
	struct daxl_md_ref table; /* root of the file table's directory; page 0: no files */
	uint64_t table_pages;     /* number of table pages below it */
	uint64_t files;
	uint32_t next_id;
	uint32_t reserved0;
	struct daxl_md_ref summary; /* first summary page when CLEAN; page 0: none */
	uint64_t summary_pages;
	uint32_t summary_crc;
	uint32_t reserved1;
	uint64_t free_blocks; /* when CLEAN: must agree with the summary */
	uint64_t reserved[12];
};
_Static_assert(sizeof(struct daxl_md_slot) == 256, "slot size");

/* The header of each checkpoint page. The CRC covers the header (crc field 0) and used bytes after it. */
enum daxl_md_page_type {
	DAXL_PAGE_DIR = 1,     /* file table directory: struct daxl_md_ref entries */
	DAXL_PAGE_TABLE = 2,   /* file records */
	DAXL_PAGE_ROPE = 3,    /* a rope node */
	DAXL_PAGE_PAYLOAD = 4, /* tail of a log record */
	DAXL_PAGE_SUMMARY = 5, /* free space after a clean close */
};
struct daxl_md_page {
	uint32_t magic;
	uint32_t crc;
	uint8_t uuid[16];
	uint64_t self;     /* its own page number */
	uint64_t position; /* log position of the checkpoint (or record) that wrote it */
	uint64_t next;     /* payload and summary pages: the next page; 0 else */
	uint32_t owner;    /* file id for rope pages, 0 else */
	uint16_t type;
	uint16_t depth; /* strictly falls on the way down; leaves 0 */
	uint16_t count; /* entries */
	uint16_t used;  /* bytes after the header */
	uint32_t reserved;
};
_Static_assert(sizeof(struct daxl_md_page) == 64, "page header size");
#define DAXL_PAGE_BODY (4096u - 64u)

/* A rope leaf entry, and an inner entry. Ends are relative to the node's start, in blocks. */
#define DAXL_MD_RUN_HOLE (UINT64_C(1) << 63)
#define DAXL_MD_RUN_UNWRITTEN (UINT64_C(1) << 62)
#define DAXL_MD_RUN_BLOCK_MASK ((UINT64_C(1) << 48) - 1)
struct daxl_md_run {
	uint64_t end;
	uint64_t val; /* block number | DAXL_MD_RUN_* ; other bits 0 */
};
struct daxl_md_child {
	uint64_t end;
	struct daxl_md_ref ref;
};

/* A file record in a table page: this header, then the name, then attributes, then inline runs or nothing; padded to 8 bytes. */
#define DAXL_FILE_NAMELESS 1u /* unlinked but open: deleted by recovery */
#define DAXL_FILE_INLINE_RUNS 8u
struct daxl_md_file {
	uint32_t id;
	uint16_t rec_len; /* bytes of the whole record */
	uint8_t flags;
	uint8_t name_len; /* 0 only when nameless */
	uint16_t attr_len;
	uint8_t inline_runs; /* struct daxl_md_run entries that follow; 0 when a root page is given or the map is empty */
	uint8_t root_depth;  /* of the root page: 0 leaf */
	uint32_t reserved;
	uint64_t size; /* bytes */
	uint64_t generation;
	uint64_t btime_ns, mtime_ns, ctime_ns;
	struct daxl_md_ref root; /* page 0: inline or empty */
};
_Static_assert(sizeof(struct daxl_md_file) == 72, "file record size");

/* A log record: one or more consecutive 64-byte slots (the ring wraps). The CRC covers all its slots with the crc field 0, seeded with the pool epoch. */
#define DAXL_SLOT_SIZE 64u
#define DAXL_REC_PAYLOAD_FIRST 44u
#define DAXL_REC_SLOTS_MAX 8u /* longer bodies go to payload pages */
#define DAXL_REC_BODY_MAX (DAXL_REC_PAYLOAD_FIRST + (DAXL_REC_SLOTS_MAX - 1) * DAXL_SLOT_SIZE)
#define DAXL_REC_HAS_PAYLOAD 1u /* flags: the body is a struct daxl_md_payload, the real one lies in payload pages */
struct daxl_md_rec {
	uint64_t position;
	uint32_t crc;
	uint32_t lag; /* everything below position - lag is durable */
	uint8_t type;
	uint8_t slots;
	uint16_t flags;
	uint8_t body[DAXL_REC_PAYLOAD_FIRST];
};
_Static_assert(sizeof(struct daxl_md_rec) == DAXL_SLOT_SIZE, "record header is one slot");

struct daxl_md_payload {
	uint64_t first_page;
	uint64_t len; /* bytes of the real body */
	uint32_t crc; /* CRC32C of the real body */
	uint32_t file; /* the file concerned, for messages */
};

/* Record bodies. Packed by construction: every field is naturally aligned at 4 bytes inside the 44. */
enum daxl_md_rec_type {
	DAXL_REC_CREATE = 1,
	DAXL_REC_RENAME = 2,
	DAXL_REC_SWAPNAMES = 3,
	DAXL_REC_UNLINK = 4, /* the file becomes nameless */
	DAXL_REC_DELETE = 5, /* the nameless file's last close */
	DAXL_REC_MAP = 6,    /* edits of one file's map, its size and time */
	DAXL_REC_COLLAPSE = 7,
	DAXL_REC_INSERT = 8,
	DAXL_REC_TRUNCATE = 9,
	DAXL_REC_CLONE = 10,
	DAXL_REC_EXCHANGE = 11,
	DAXL_REC_ATTR = 12,
	DAXL_REC_GROW = 13,
	DAXL_REC_REMOVE = 14, /* UNLINK and DELETE in one: of a file that is not open */
	DAXL_REC_NOP = 15,    /* nothing happened: in the place of a record whose operation failed after all; no body */
};

struct __attribute__((packed)) daxl_md_rec_create {
	uint32_t id;
	uint64_t time_ns;
	uint8_t name_len;
	uint8_t name[];
};
/* from gets the name; a file that had it (replaced != 0) becomes nameless. */
struct __attribute__((packed)) daxl_md_rec_rename {
	uint32_t id;
	uint32_t replaced;
	uint64_t time_ns;
	uint8_t name_len;
	uint8_t name[];
};
struct __attribute__((packed)) daxl_md_rec_ids {
	uint32_t id;
	uint32_t other; /* SWAPNAMES only */
	uint64_t time_ns;
};
/*
 * MAP, TRUNCATE, COLLAPSE, INSERT: one struct. `fblk, len, val` is the first edit (MAP, TRUNCATE; none when len is 0), or the
 * shifted range (COLLAPSE, INSERT). More edits follow as struct daxl_md_edit[nedits]. After the edits the size is set; TRUNCATE then cuts the map
 * at the size rounded up to a block (edits first, then cut).
 */
#define DAXL_EDIT_HOLE (UINT64_C(1) << 63)
#define DAXL_EDIT_UNWRITTEN (UINT64_C(1) << 62)
#define DAXL_EDIT_CONVERT (UINT64_C(1) << 61) /* clear UNWRITTEN in the range; block 0 */
#define DAXL_TIME_KEEPS_MTIME (UINT64_C(1) << 63) /* in time_ns: the contents did not change, only ctime is set */
struct __attribute__((packed)) daxl_md_rec_map {
	uint32_t id;
	uint32_t nedits; /* further edits after this struct */
	uint64_t size;   /* bytes, the size from now on */
	uint64_t time_ns;
	uint64_t fblk;
	uint64_t val;
	uint32_t len; /* blocks; an edit that needs more than 32 bits goes to the list */
};
_Static_assert(sizeof(struct daxl_md_rec_map) == 44, "a map record fits one slot");
struct daxl_md_edit {
	uint64_t fblk;
	uint64_t len;
	uint64_t val;
};
/* CLONE (dst gets src's map), EXCHANGE. */
struct __attribute__((packed)) daxl_md_rec_two {
	uint32_t src, dst;
	uint64_t src_fblk, dst_fblk, len;
	uint64_t src_size, dst_size; /* sizes from now on */
	uint64_t time_ns;
	uint32_t nedits; /* edits of dst that come with it (copied edge blocks) */
};
struct __attribute__((packed)) daxl_md_rec_attr {
	uint32_t id;
	uint64_t time_ns;
	uint8_t key_len;
	uint8_t removed;
	uint16_t value_len;
	uint8_t bytes[]; /* key, value */
};
struct __attribute__((packed)) daxl_md_rec_grow {
	uint64_t new_size; /* bytes */
};

#endif
