/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the wall (api/) calls: one function an operation. Arguments have been checked as far as that needs no map: signs, modes, handles' rights,
 * overflow, alignment. Everything is in bytes. Errors and messages are the caller's to pass on.
 */
#ifndef DAXL_OPS_OPS_H
#define DAXL_OPS_OPS_H

#include "file/file.h"

struct daxl_iov; /* iov.h: with at least one byte left; used up on return, or by a part */

ssize_t daxl_do_read(struct daxl_file *file, struct daxl_iov *data, uint64_t off);
/* flags: DAXL_WRITE_*, and these, from within: recalls name the copy that the write is a part of; off is ignored, it goes to the end. */
#define DAXL_DO_WRITE_COPY (1u << 31)
#define DAXL_DO_WRITE_APPEND (1u << 30)
ssize_t daxl_do_write(struct daxl_file *file, struct daxl_iov *data, uint64_t off, unsigned flags, const struct daxl_wait *wait);
int daxl_do_allocate(struct daxl_file *file, uint64_t off, uint64_t len, bool keep_size, const struct daxl_wait *wait);
int daxl_do_zero(struct daxl_file *file, uint64_t off, uint64_t len, bool keep_size, const struct daxl_wait *wait);
int daxl_do_punch(struct daxl_file *file, uint64_t off, uint64_t len, const struct daxl_wait *wait);
int daxl_do_collapse(struct daxl_file *file, uint64_t off, uint64_t len, const struct daxl_wait *wait);
int daxl_do_insert(struct daxl_file *file, uint64_t off, uint64_t len, const struct daxl_wait *wait);
int daxl_do_truncate(struct daxl_file *file, uint64_t size, const struct daxl_wait *wait);
int daxl_do_unshare(struct daxl_file *file, uint64_t off, uint64_t len, const struct daxl_wait *wait);
/* len 0: to the source's end. */
int daxl_do_clone(struct daxl_file *src, uint64_t src_off, struct daxl_file *dst, uint64_t dst_off, uint64_t len,
                  const struct daxl_wait *wait);
int daxl_do_dedupe(struct daxl_file *src, uint64_t src_off, struct daxl_file *dst, uint64_t dst_off, uint64_t len,
                   const struct daxl_wait *wait, bool *ret_same);
/* As clone, but recalls name the copy that it is a part of; waits as dst's handle says. */
int daxl_do_clone_for_copy(struct daxl_file *src, uint64_t src_off, struct daxl_file *dst, uint64_t dst_off, uint64_t len);
/* len DAXL_TO_END with both offsets 0: whole files, sizes included. */
int daxl_do_exchange(struct daxl_file *a, uint64_t a_off, struct daxl_file *b, uint64_t b_off, uint64_t len,
                     const struct daxl_wait *wait);
ssize_t daxl_do_copy(struct daxl_file *src, uint64_t src_off, struct daxl_file *dst, uint64_t dst_off, size_t len);
int daxl_do_break(struct daxl_file *file, uint64_t off, uint64_t len, int level, const struct daxl_wait *wait);
int daxl_do_break_begin(struct daxl_file *file, uint64_t off, uint64_t len, int level, const struct daxl_wait *wait,
                        struct daxl_break_handle **ret_break);
ssize_t daxl_do_map(struct daxl_file *file, uint64_t off, uint64_t len, struct daxl_extent *exts, size_t max);
off_t daxl_do_seek(struct daxl_file *file, uint64_t off, bool data);
int daxl_do_acquire(struct daxl_file *file, uint64_t off, uint64_t len, const struct daxl_lease_opts *opts,
                    struct daxl_lease **ret_lease);
ssize_t daxl_do_lease_extents(struct daxl_lease *lease, struct daxl_extent *exts, size_t max);
int daxl_do_lease_persist(struct daxl_lease *lease, uint64_t off, uint64_t len);
int daxl_do_commit(struct daxl_lease *lease, uint64_t off, uint64_t len, uint64_t new_size, bool set_size);

/* value NULL removes. */
int daxl_do_setattr(struct daxl_file *file, const char *key, const void *value, size_t len);
ssize_t daxl_do_getattr(struct daxl_file *file, const char *key, void *value, size_t len);

const struct daxl_wait *daxl_file_wait_copy(struct daxl_file *file, struct daxl_wait *buf);
/* The handle's default wait, copied to buf; NULL when it has none. */
static inline const struct daxl_wait *daxl_file_wait(struct daxl_file *file, struct daxl_wait *buf)
{
	return daxl_unlikely(__atomic_load_n(&file->has_wait, __ATOMIC_ACQUIRE)) ? daxl_file_wait_copy(file, buf) : NULL;
}

/* len bytes from off as blocks rounded out; DAXL_TO_END gives an end of DAXL_FBLK_INF. */
static inline daxl_fblk_t daxl_range_end_blk(uint64_t off, uint64_t len, unsigned shift)
{
	return len == (uint64_t)DAXL_TO_END ? DAXL_FBLK_INF : daxl_bytes_to_blocks_up(off + len, shift);
}

#endif
