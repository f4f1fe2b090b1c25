/* SPDX-License-Identifier: BSD-3-Clause */
/* Figures of a pool, gathered from those who keep them. */
#include <string.h>

#include "file/file.h"

static uint32_t stat_flags(const struct daxl_pool *pool)
{
	uint32_t flags = 0;
	if (pool->read_only)
		flags |= DAXL_POOL_STAT_READ_ONLY;
	if (pool->recovered)
		flags |= DAXL_POOL_STAT_RECOVERED;
	if (pool->damaged)
		flags |= DAXL_POOL_STAT_DAMAGED;
	if (daxl_media_is_device(pool->media))
		flags |= DAXL_POOL_STAT_DEVICE;
	if (pool->forced)
		flags |= DAXL_POOL_STAT_FORCED;
	return flags;
}

static void fill_space(struct daxl_pool *pool, struct daxl_pool_stat *stat)
{
	struct daxl_space_stat space;
	daxl_space_stat(pool->space, &space);
	daxl_nblk_t taken = space.reserved + space.keep_back;
	stat->total_blocks = space.total - pool->fixed_blocks;
	stat->free_blocks = space.free > taken ? space.free - taken : 0;
	stat->reserved_blocks = space.keep_back;
	stat->limbo_blocks = daxl_limbo_total(pool->space);
	stat->pending_blocks = daxl_tally_sum(pool->tally, DAXL_TALLY_BLOCKS_OUT);
	stat->shared_blocks = space.shared;
}

static void fill_log(struct daxl_pool *pool, struct daxl_pool_stat *stat)
{
	struct daxl_log_stat log;
	daxl_log_stat(pool->log, &log);
	stat->log_size_bytes = log.slots * DAXL_SLOT_SIZE;
	stat->log_used_bytes = (log.head - log.start) * DAXL_SLOT_SIZE;
	stat->log_records = daxl_tally_sum(pool->tally, DAXL_TALLY_RECORDS);
	daxl_ckpt_stat(pool, &stat->checkpoints, &stat->checkpoint_pages);
	stat->generation = pool->first_generation + stat->checkpoints;
}

void daxl_pool_fill_stat(struct daxl_pool *pool, struct daxl_pool_stat *ret_stat)
{
	struct daxl_pool_stat stat;
	memset(&stat, 0, sizeof(stat));
	stat.block_size = UINT64_C(1) << pool->block_shift;
	fill_space(pool, &stat);
	fill_log(pool, &stat);
	daxl_mutex_lock(&pool->names_mutex);
	stat.files = pool->files;
	stat.open_files = pool->open_files;
	daxl_mutex_unlock(&pool->names_mutex);
	stat.pool_size = stat.block_size * (stat.total_blocks + pool->fixed_blocks);
	stat.leases = daxl_domain_leases(pool->domain);
	stat.epoch = pool->epoch;
	memcpy(stat.uuid, pool->super.uuid, sizeof(stat.uuid));
	stat.granularity = (uint32_t)daxl_media_granularity(pool->media);
	stat.flags = stat_flags(pool);
	*ret_stat = stat;
}
