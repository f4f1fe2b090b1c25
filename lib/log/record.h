/* SPDX-License-Identifier: BSD-3-Clause */
/* What the writer and the reader of log records share: limits and the checksum. */
#ifndef DAXL_LOG_RECORD_H
#define DAXL_LOG_RECORD_H

#include "base/crc32c.h"
#include "media/format.h"

/* Positions stay below this: a gate bit and a slot count fit beside them in 64 bits. 2^59 slots are 32 EiB written. */
#define DAXL_LOG_POSITION_MAX (UINT64_C(1) << 59)
#define DAXL_REC_BYTES_MAX (DAXL_REC_SLOTS_MAX * DAXL_SLOT_SIZE)
#define DAXL_REC_BODY_OFF (DAXL_SLOT_SIZE - DAXL_REC_PAYLOAD_FIRST)
_Static_assert(offsetof(struct daxl_md_rec, body) == DAXL_REC_BODY_OFF, "the body ends the first slot");

/* The checksum's seed of all records of one pool epoch. */
static inline uint32_t daxl_rec_seed(uint64_t epoch)
{
	return daxl_crc32c(0, &epoch, sizeof(epoch));
}

/* The checksum of a record of slots slots, whose crc field is 0 during the call. */
static inline uint32_t daxl_rec_crc(uint32_t seed, const void *rec, unsigned slots)
{
	return daxl_crc32c(seed, rec, (size_t)slots * DAXL_SLOT_SIZE);
}

#endif
