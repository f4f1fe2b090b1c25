/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The end of an unlinked file: at its last close its leases are recalled, nothing is waited for, and blocks that are still
 * busy go to limbo; the others become free.
 */
#include "ops/op.h"

static int plan_delete(struct daxl_op *op)
{
	daxl_op_clause(op, 0, 0, DAXL_FBLK_INF, DAXL_LEVEL_U, DAXL_WHO_ALL);
	return 0;
}

static void publish_links(void *arg)
{
	struct daxl_op *op = arg;

	for (size_t i = 0; i < op->nlinks; i++)
		daxl_break_limbo_apply(&op->brk, op->links[i]);
	op->nlinks = 0;
}

static int DAXL_HOLDS(FILE) build_delete(struct daxl_op *op)
{
	int rc = daxl_op_limbo(op, 0, 0, DAXL_FBLK_INF);

	return rc ? rc : daxl_delete_commit(op->f[0].ino, &op->credit, publish_links, op);
}

static const struct daxl_recipe delete_recipe = {
	.plan = plan_delete,
	.build = build_delete,
	.reason = DAXL_REASON_UNLINK,
	.need = DAXL_NEED_DELETE,
	.limbo_ok = true,
};

/* What file/ calls when a nameless file's last handle goes. */
static int delete_file(struct daxl_inode *ino)
{
	struct daxl_op op;
	int rc = daxl_op_init(&op, &delete_recipe, ino, NULL, NULL, NULL);

	if (rc)
		return rc;
	op.brk.limbo_at_once = true;
	op.alone = false;
	return daxl_op_run(&op);
}

int (*daxl_delete_hook)(struct daxl_inode *ino) = delete_file;
