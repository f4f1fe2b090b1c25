/* SPDX-License-Identifier: BSD-3-Clause */
/* Breaking leases and changing nothing: daxl_break, and the start of the asynchronous break. */
#include "ops/op.h"
#include "ops/ops.h"

struct break_op {
	struct daxl_op op;
	daxl_fblk_t start, end;
	enum daxl_level level;
};

static int plan_break(struct daxl_op *op)
{
	struct break_op *b = daxl_container_of(op, struct break_op, op);

	daxl_op_clause(op, 0, b->start, b->end, b->level, DAXL_WHO_ALL);
	return 0;
}

static int build_nothing(struct daxl_op *op)
{
	(void)op;
	return 0;
}

static const struct daxl_recipe break_recipe = {
	.plan = plan_break,
	.build = build_nothing,
	.reason = DAXL_REASON_BREAK,
	.no_record = true,
};

static enum daxl_level level_of(int level)
{
	return level == DAXL_BREAK_UNMAP ? DAXL_LEVEL_U : DAXL_LEVEL_W;
}

int daxl_do_break(struct daxl_file *file, uint64_t off, uint64_t len, int level, const struct daxl_wait *wait)
{
	unsigned shift = file->pool->block_shift;
	struct break_op b = {
		.start = daxl_bytes_to_blocks_down(off, shift),
		.end = daxl_range_end_blk(off, len, shift),
		.level = level_of(level),
	};
	struct daxl_wait def;
	int rc = daxl_op_init(&b.op, &break_recipe, file->ino, NULL, wait, daxl_file_wait(file, &def));

	b.op.alone = false;
	return rc ? rc : daxl_op_run(&b.op);
}

int daxl_do_break_begin(struct daxl_file *file, uint64_t off, uint64_t len, int level, const struct daxl_wait *wait,
                        struct daxl_break_handle **ret_break)
{
	unsigned shift = file->pool->block_shift;
	struct daxl_wait def;

	return daxl_abreak_begin(file->pool->domain, file->ino->rl, daxl_bytes_to_blocks_down(off, shift),
	                         daxl_range_end_blk(off, len, shift), level_of(level), wait, daxl_file_wait(file, &def),
	                         ret_break);
}
