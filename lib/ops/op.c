/* SPDX-License-Identifier: BSD-3-Clause */
/* The driver of op.h: one loop, the same for every operation. */
#include "ops/op.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/hook.h"

int daxl_op_init(struct daxl_op *op, const struct daxl_recipe *recipe, struct daxl_inode *a, struct daxl_inode *b,
                 const struct daxl_wait *wait, const struct daxl_wait *def)
{
	struct daxl_pool *pool = a->pool;

	op->recipe = recipe;
	op->pool = pool;
	op->shift = pool->block_shift;
	op->nfiles = b ? 2 : 1;
	op->credit = false;
	op->alone = true;
	op->nclauses = 0;
	op->want_clauses = true;
	op->no_memory = false;
	op->has_rec = false;
	op->nedits_apart = 0;
	op->ntaken = 0;
	op->reserved = 0;
	op->pending.kind = DAXL_PENDING_NONE;
	op->stored = op->changed = false;
	op->nin_place = 0;
	op->limbo = NULL;
	op->nlinks = 0;
	op->last = NULL;
	op->published = NULL;
	op->before_open = NULL;
	for (unsigned i = 0; i < 2; i++) {
		op->f[i].ino = i ? b : a;
		op->f[i].v = NULL;
		op->f[i].begun = false;
		op->f[i].limbo_start = op->f[i].limbo_end = 0;
	}
	int rc = daxl_break_init(&op->brk, pool->domain, wait, def, recipe->reason, recipe->limbo_ok);

	if (rc)
		return rc;
	const struct daxl_wait *w = wait ? wait : def;

	if (w && w->held)
		rc = daxl_break_hold(&op->brk, w->held);
	if (!rc && op->brk.held && (b || op->brk.part[0].rl != a->rl))
		rc = daxl_fail(EINVAL, "the held break is not over the operation's file");
	return rc;
}

void *daxl_op_widen_array(void *array, void *inline_array, size_t *cap, size_t item)
{
	void *more = daxl_alloc(*cap * 2 * item);

	if (!more)
		return NULL;
	memcpy(more, array, *cap * item);
	if (array != inline_array)
		daxl_free(array);
	*cap *= 2;
	return more;
}

void daxl_op_close(struct daxl_op *op, unsigned part, daxl_fblk_t start, daxl_fblk_t end)
{
	struct daxl_opfile *f = &op->f[part];

	assert(start <= end);
	if (start == end)
		return;
	if (f->start == f->end) {
		f->start = start;
		f->end = end;
		return;
	}
	f->start = daxl_min_u64(f->start, start);
	f->end = daxl_max_u64(f->end, end);
}

void daxl_op_clause(struct daxl_op *op, unsigned part, daxl_fblk_t start, daxl_fblk_t end, enum daxl_level level,
                    enum daxl_who who)
{
	struct daxl_clause clause = { .part = part, .start = start, .end = end, .level = level, .who = who };

	daxl_op_add_clause(op, &clause);
}

void daxl_op_add_clause(struct daxl_op *op, const struct daxl_clause *clause)
{
	if (clause->start == clause->end)
		return;
	daxl_op_close(op, clause->part, clause->start, clause->end);
	if (!op->want_clauses)
		return;
	if (op->nclauses == op->clauses_cap) {
		struct daxl_clause *more =
			daxl_op_widen_array(op->clauses, op->scratch->clauses, &op->clauses_cap, sizeof(*more));

		if (!more) {
			op->no_memory = true;
			return;
		}
		op->clauses = more;
	}
	op->clauses[op->nclauses++] = *clause;
}

/* Asks plan about the version each f[i].v shows. */
static int plan_now(struct daxl_op *op)
{
	op->nclauses = 0;
	for (unsigned i = 0; i < op->nfiles; i++) {
		op->f[i].start = op->f[i].end = 0;
		op->f[i].planned = op->f[i].v->generation;
	}
	for (unsigned i = 0; i < op->nfiles; i++)
		if (op->f[i].v->damaged) {
			char label[320];

			return daxl_fail(EUCLEAN, "file '%s' is damaged",
			                 daxl_inode_label(op->f[i].ino, label, sizeof(label)));
		}
	int rc = op->recipe->plan(op);

	if (!rc && op->no_memory)
		rc = daxl_fail(ENOMEM, "no memory to plan the operation");
	return rc;
}

/* Whether any lease could be concerned at all. With the range closed a "no" stays true: nothing new gets in. */
static bool any_leases(const struct daxl_op *op)
{
	for (unsigned i = 0; i < op->nfiles; i++)
		if (__atomic_load_n(&op->f[i].ino->rl->nspans, __ATOMIC_SEQ_CST) != 0)
			return true;
	return false;
}

/* plan on a snapshot. The answer (ranges, clauses) is plain data and outlives the read section. */
static int plan_snapshot(struct daxl_op *op, bool want_clauses)
{
	op->want_clauses = want_clauses;
	daxl_rcu_read_lock();
	for (unsigned i = 0; i < op->nfiles; i++)
		op->f[i].v = daxl_version_get(op->f[i].ino);
	int rc = plan_now(op);

	daxl_rcu_read_unlock();
	return rc;
}

/* Whether what plan wants closed lies in what is closed. */
static bool is_closed(const struct daxl_op *op)
{
	for (unsigned i = 0; i < op->nfiles; i++)
		if (op->f[i].start < op->brk.part[i].start || op->f[i].end > op->brk.part[i].end)
			return false;
	return true;
}

/* Whether plan would answer once more what it did: nothing has changed since, and leases did not matter and do not now. */
static bool plan_stands(const struct daxl_op *op)
{
	if (!op->recipe->plans_by_version || op->want_clauses || any_leases(op))
		return false;
	for (unsigned i = 0; i < op->nfiles; i++)
		if (op->f[i].planned != op->f[i].v->generation)
			return false;
	DAXL_HOOK("op:plan-stands");
	return true;
}

/* With the mutexes held: plans anew and says whether what was closed and waited for still covers the answer. */
static int plan_locked(struct daxl_op *op, bool *ret_covered)
{
	if (plan_stands(op)) {
		*ret_covered = is_closed(op) && daxl_op_is_alone(op);
		return 0;
	}
	op->want_clauses = any_leases(op);
	int rc = plan_now(op);

	*ret_covered = !rc && is_closed(op) && daxl_op_is_alone(op);
	if (*ret_covered && op->nclauses)
		*ret_covered = daxl_break_covered(&op->brk, op->clauses, op->nclauses);
	return rc;
}

static bool two_inodes(const struct daxl_op *op)
{
	return op->nfiles == 2 && op->f[0].ino != op->f[1].ino;
}

/* The files' mutexes, lower id first, and the versions they guard. */
static void DAXL_LOCKS(FILE) lock_files(struct daxl_op *op)
{
	struct daxl_inode *a = op->f[0].ino, *b = op->f[1].ino;

	if (!two_inodes(op))
		daxl_mutex_lock(&a->mutex);
	else if (a->id < b->id)
		daxl_mutex_lock_pair(&a->mutex, &b->mutex);
	else
		daxl_mutex_lock_pair(&b->mutex, &a->mutex);
	for (unsigned i = 0; i < op->nfiles; i++)
		op->f[i].v = op->f[i].ino->version;
}

static void DAXL_UNLOCKS(FILE) unlock_files(struct daxl_op *op)
{
	struct daxl_inode *a = op->f[0].ino, *b = op->f[1].ino;

	if (!two_inodes(op))
		daxl_mutex_unlock(&a->mutex);
	else if (a->id < b->id)
		daxl_mutex_unlock_pair(&a->mutex, &b->mutex);
	else
		daxl_mutex_unlock_pair(&b->mutex, &a->mutex);
}

/* Puts back whatever build has taken. The mutexes are held. */
static void DAXL_HOLDS(FILE) undo_build(struct daxl_op *op)
{
	for (size_t i = 0; i < op->nlinks; i++)
		daxl_break_limbo_drop(op->links[i]);
	op->nlinks = 0;
	if (op->limbo) {
		daxl_limbo_put(op->limbo);
		op->limbo = NULL;
	}
	for (unsigned i = 0; i < op->nfiles; i++) {
		if (op->f[i].begun)
			daxl_change_abort(&op->f[i].change);
		op->f[i].begun = false;
		op->f[i].limbo_start = op->f[i].limbo_end = 0;
	}
	if (op->has_rec)
		daxl_record_free(op->rec);
	op->has_rec = false;
	op->nedits_apart = 0;
	for (size_t i = 0; i < op->ntaken; i++)
		daxl_space_unref(op->pool->space, op->taken[i].blk, op->taken[i].len);
	op->ntaken = 0;
	daxl_space_unreserve(op->pool->space, op->reserved);
	op->reserved = 0;
	op->nin_place = 0;
	op->last = NULL;
	op->pending.kind = DAXL_PENDING_NONE;
	op->stored = op->changed = false;
}

static int DAXL_HOLDS(FILE) commit_late(void *arg)
{
	return daxl_op_settle(arg);
}

static void commit_in_place(void *arg)
{
	struct daxl_op *op = arg;

	for (unsigned i = 0; i < op->nin_place; i++)
		daxl_media_zero(op->pool->media, op->in_place[i].addr, op->in_place[i].len);
}

static void commit_last(void *arg)
{
	struct daxl_op *op = arg;

	op->last(op);
}

static void apply_links(struct daxl_op *op)
{
	for (size_t i = 0; i < op->nlinks; i++)
		daxl_break_limbo_apply(&op->brk, op->links[i]);
	op->nlinks = 0;
}

static void commit_published(void *arg)
{
	struct daxl_op *op = arg;

	apply_links(op);
	if (op->published)
		op->published(op);
}

/* Steps 4 to 6: persist, record, publish. On failure nothing has changed and undo_build is still to be called. */
static int DAXL_HOLDS(FILE) commit_build(struct daxl_op *op)
{
	struct daxl_change *changes[2];
	size_t n = 0;

	if (!op->changed && op->last) {
		op->last(op);
		op->stored = true;
	}
	if (op->stored && (op->changed || op->nin_place == 0))
		daxl_media_fence(op->pool->media);
	if (!op->changed) {
		if (op->nin_place) {
			commit_in_place(op);
			daxl_media_fence(op->pool->media);
		}
		apply_links(op); /* the map stays, and the late are over all the same */
		return 0;
	}
	for (unsigned i = 0; i < op->nfiles; i++)
		if (op->f[i].begun) {
			op->f[i].change.moves = op->recipe->moves;
			changes[n++] = &op->f[i].change;
		}
	assert(n > 0 && op->has_rec);
	if (op->rec->type == DAXL_REC_MAP || op->rec->type == DAXL_REC_TRUNCATE || op->rec->type == DAXL_REC_COLLAPSE ||
	    op->rec->type == DAXL_REC_INSERT)
		daxl_record_map_finish(op->rec, changes[0]->next->size,
		                       changes[0]->next->ctime_ns | (op->recipe->keeps_times ? DAXL_TIME_KEEPS_MTIME : 0));
	struct daxl_commit commit = {
		.pool = op->pool,
		.changes = changes,
		.nchanges = n,
		.rec = op->rec,
		.late = op->pending.kind ? commit_late : NULL,
		.last = op->last ? commit_last : NULL,
		.in_place = op->nin_place ? commit_in_place : NULL,
		.arg = op,
		.published = op->nlinks || op->published ? commit_published : NULL,
		.published_arg = op,
	};
	int rc = daxl_commit(&commit, &op->credit);

	if (rc)
		return rc;
	for (unsigned i = 0; i < op->nfiles; i++)
		op->f[i].begun = false;
	op->ntaken = 0; /* they are the file's now */
	return 0;
}

/* With the mutexes held and everything covered: build and commit, or nothing at all. */
static int DAXL_HOLDS(FILE) build_and_commit(struct daxl_op *op)
{
	int rc = op->recipe->build(op);

	if (!rc)
		rc = commit_build(op);
	if (rc && op->recipe->undo)
		op->recipe->undo(op);
	undo_build(op); /* after success: only what was left over */
	return rc;
}

/* Nothing is locked. */
static int take_credit(struct daxl_op *op)
{
	int rc = op->recipe->no_record ? 0 : daxl_credit_take(op->pool, op->recipe->need);

	op->credit = !rc && !op->recipe->no_record;
	return rc;
}

/* Closes, recalls, builds. The range is open again on return. */
static int break_and_build(struct daxl_op *op)
{
	bool waited_for_frees = false, covered = false;
	int rc = daxl_break_enter(&op->brk);

	if (rc)
		return rc;
	while (!rc) {
		if (any_leases(op) || op->brk.held) {
			/* The map and size may have changed while the break stood in the queue. */
			rc = plan_snapshot(op, true);
			if (!rc && !is_closed(op)) { /* nobody is recalled in what is not closed (L3) */
				rc = daxl_break_widen(&op->brk);
				continue;
			}
			if (!rc && op->nclauses)
				rc = daxl_break_recall(&op->brk, op->clauses, op->nclauses);
		}
		if (!rc && (op->alone || op->brk.limbo)) /* under limbo busy edges are copied */
			rc = daxl_break_change(&op->brk);
		if (rc)
			break;
		DAXL_HOOK("op:drained");
		lock_files(op);
		rc = plan_locked(op, &covered);
		while (!rc && covered) {
			rc = build_and_commit(op);
			if (rc == -EAGAIN && !daxl_op_is_alone(op)) {
				rc = 0;
				covered = false;
			}
			if (rc != -ENOSPC || waited_for_frees)
				break;
			unlock_files(op);
			waited_for_frees = true;
			daxl_toll.grace_waits |= daxl_wait_for_frees(op->pool);
			rc = op->credit ? 0 : take_credit(op);
			lock_files(op);
			if (!rc)
				rc = plan_locked(op, &covered);
		}
		unlock_files(op);
		if (rc || covered)
			break;
		if (daxl_op_is_alone(op)) /* else once more with the writers out */
			rc = daxl_break_widen(&op->brk);
	}
	if (!rc && op->before_open)
		op->before_open(op);
	daxl_break_leave(&op->brk);
	return rc;
}

static void set_scratch(struct daxl_op *op, struct daxl_op_scratch *scratch)
{
	op->scratch = scratch;
	op->clauses = scratch->clauses;
	op->clauses_cap = DAXL_ARRAY_LEN(scratch->clauses);
	op->taken = scratch->taken;
	op->taken_cap = DAXL_ARRAY_LEN(scratch->taken);
	op->links = scratch->links;
	op->links_cap = DAXL_ARRAY_LEN(scratch->links);
	op->rec = &scratch->rec;
}

int daxl_op_run(struct daxl_op *op)
{
	struct daxl_op_scratch scratch;

	set_scratch(op, &scratch);
	int rc = plan_snapshot(op, false); /* the cheap refusal: nobody is recalled by a call that cannot work (L5) */

	if (!rc && op->brk.held && (op->f[0].start < op->brk.part[0].start || op->f[0].end > op->brk.part[0].end))
		rc = daxl_fail(EINVAL, "the held break does not cover the operation's range");
	if (!rc)
		rc = take_credit(op);
	if (!rc) {
		for (unsigned i = 0; i < op->nfiles; i++)
			daxl_break_add(&op->brk, op->f[i].ino->rl, op->f[i].start, op->f[i].end);
		rc = break_and_build(op);
	}
	if (op->credit)
		daxl_credit_give(op->pool);
	if (op->clauses != op->scratch->clauses)
		daxl_free(op->clauses);
	if (op->taken != op->scratch->taken)
		daxl_free(op->taken);
	if (op->links != op->scratch->links)
		daxl_free(op->links);
	return rc;
}
