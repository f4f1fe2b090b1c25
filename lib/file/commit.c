/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Changes and their commit.
 *
 * A change is the next version of one file, built beside the present one under the file's mutex: daxl_change_begin
 * copies the version, the operation edits the copy and its map, and daxl_commit writes the record and swaps versions,
 * or daxl_change_abort forgets it all.
 *
 * The commit has one line in it. Above the line things may fail: memory, pages for a long record. Below, from the
 * ticket to leaving the gate, there are only stores:
 *
 *     payload pages of a record that does not fit log slots, and a fence
 *     ------------------------------------------------------- the line
 *     enter          ticket and gate
 *     store          the record
 *     late()         the last edit of the map, while the record is on its way to the medium
 *     store          in_place's zeroes
 *     fence          one; it covers both. The commit point
 *     note           a running checkpoint keeps the version as of its cut
 *     publish        every change; `moved` is raised before the first and after the last
 *     published()    limbo links, tables of names
 *     leave
 *
 * late() is the one thing below the line that may fail. To reach the medium takes a record as long as the copying of a path of the map, and
 * what comes first of a locked instruction waits for it; so the edit that a change ends with is made meanwhile. If there is no memory for it, the record
 * is overwritten by one that says nothing, and that is durable before anything else happens: the operation has failed. A crash between the two finds an
 * operation that had not returned.
 *
 * Payload pages are durable before their record can be seen: recovery may then take a valid record with a bad payload
 * for damage, without having to ask whether the operation had returned. That is one fence more for the few records
 * with long lists. Their ticket is not known yet, so the position in them is only where the log stood.
 *
 * Test hooks stand at commit:enter, commit:ticket, commit:durable and commit:published.
 *
 * Credit is for DAXL_REC_SLOTS_MAX slots; what the record does not need goes back.
 */
#include <errno.h>
#include <string.h>

#include "base/bucket.h"
#include "base/error.h"
#include "base/hook.h"
#include "file/file.h"
#include "log/page.h"
#include "map/rope_node.h"

int daxl_change_begin(struct daxl_change *change, struct daxl_inode *ino, bool touch)
{
	daxl_mutex_assert_held(&ino->mutex);
	struct daxl_version *old = ino->version;
	if (old->damaged)
		return daxl_fail(EUCLEAN, "file %u is damaged", ino->id);
	if (old->deleted)
		return daxl_fail(ESTALE, "file %u has been deleted", ino->id);
	__builtin_prefetch(&old->retired, 1); /* the thread that reclaims was the last to touch it */
	struct daxl_version *next = daxl_version_alloc(ino->pool);
	if (next == NULL)
		return daxl_fail(ENOMEM, "no memory for a new version of file %u", ino->id);
	memcpy(next, old, offsetof(struct daxl_version, retired));
	next->generation++;
	next->ctime_ns = daxl_realtime_ns();
	if (touch)
		next->mtime_ns = next->ctime_ns;
	change->ino = ino;
	change->old = old;
	change->next = next;
	change->moves = false;
	daxl_edit_begin(&change->edit, ino->pool->slab, old->root);
	return 0;
}

/* Frees the next version and attributes of its own; a name of its own is the caller's to free. */
void daxl_change_abort(struct daxl_change *change)
{
	struct daxl_version *next = change->next;
	daxl_mutex_assert_held(&change->ino->mutex);
	daxl_edit_abort(&change->edit);
	if (next->attrs != change->old->attrs)
		daxl_free(next->attrs);
	daxl_version_free(change->ino->pool, next);
	change->next = NULL;
}

int daxl_credit_take(struct daxl_pool *pool, enum daxl_need need)
{
	if (pool->read_only)
		return daxl_fail(EROFS, "the pool is open read-only");
	daxl_assert_no_locks();
	for (;;) {
		int rc = daxl_log_credit_take(pool->log, DAXL_REC_SLOTS_MAX);
		if (rc == -EAGAIN) {
			daxl_toll.log_waits = true;
			int err = daxl_ckpt_run(pool, false, 0);
			if (err < 0)
				return err;
			continue;
		}
		if (rc < 0)
			return rc;
		bool due = daxl_ckpt_due(pool);
		/* One checkpoint is enough for all who find it due, and its failure is not theirs: they have their
		 * credit. */
		if ((rc == 1 || due) && __atomic_exchange_n(&pool->ckpt_asked, 1, __ATOMIC_ACQUIRE) == 0) {
			(void)daxl_ckpt_run(pool, false, 0);
			__atomic_store_n(&pool->ckpt_asked, 0, __ATOMIC_RELEASE);
		}
		/* There is room while all that is kept back is free, and the next checkpoint needs less than half of it. */
		rc = daxl_unlikely(due || !daxl_space_has_reserve(pool->space)) ? daxl_room_make(pool, need) : 0;
		if (rc < 0)
			daxl_credit_give(pool);
		return rc;
	}
}

void daxl_credit_give(struct daxl_pool *pool)
{
	daxl_log_credit_give(pool->log, DAXL_REC_SLOTS_MAX);
}

/* Where a record's body goes. */
struct body {
	const void *bytes; /* what the slots hold */
	size_t len;
	unsigned slots, flags;
	struct daxl_md_payload payload; /* bytes points here when the rest is in pages */
	daxl_page_t *pages;
	size_t npages;
};

static void free_pages(struct daxl_pool *pool, daxl_page_t *pages, size_t npages)
{
	for (size_t i = 0; i < npages; i++)
		daxl_page_free(pool->space, pages[i]);
	daxl_free(pages);
}

/* The file a record is about, for messages. */
static uint32_t record_file(const struct daxl_commit *commit)
{
	return commit->nchanges != 0 ? commit->changes[0]->ino->id : 0;
}

/* Puts a body that does not fit max_slots into payload pages. */
static int make_payload(const struct daxl_commit *commit, struct body *body)
{
	struct daxl_pool *pool = commit->pool;
	const struct daxl_record *rec = commit->rec;
	size_t want = (rec->len + DAXL_PAGE_BODY - 1) / DAXL_PAGE_BODY;
	struct daxl_log_stat at;

	daxl_page_t *pages = daxl_alloc(want * sizeof(*pages));
	if (pages == NULL)
		return daxl_fail(ENOMEM, "no memory for a log record of %zu bytes", rec->len);
	for (size_t i = 0; i < want; i++) {
		int rc = daxl_page_alloc(pool->space, 0, &pages[i]);
		if (rc < 0) {
			free_pages(pool, pages, i);
			return rc;
		}
	}
	daxl_log_stat(pool->log, &at);
	daxl_payload_write(pool->media, pool->super.uuid, pages, want, rec->buf, rec->len, at.head, &body->payload);
	daxl_media_fence(pool->media);
	body->payload.file = record_file(commit);
	body->pages = pages;
	body->npages = want;
	body->bytes = &body->payload;
	body->len = sizeof(body->payload);
	body->slots = daxl_log_slots_for(body->len);
	body->flags = DAXL_REC_HAS_PAYLOAD;
	return 0;
}

static int make_body(const struct daxl_commit *commit, unsigned max_slots, struct body *body)
{
	const struct daxl_record *rec = commit->rec;
	memset(body, 0, sizeof(*body));
	body->bytes = rec->buf;
	body->len = rec->len;
	body->slots = daxl_log_slots_for(rec->len);
	if (body->slots == 0 || body->slots > max_slots)
		return make_payload(commit, body);
	return 0;
}

/* The payload is part of the log: its pages are in use until a checkpoint is durable that needs no replay of the
 * record. */
static void retire_payload(struct daxl_pool *pool, struct body *body)
{
	for (size_t i = 0; i < body->npages; i++)
		daxl_ckpt_payload_retired(pool, body->pages[i]);
	daxl_free(body->pages);
}

/* Whether any next version of the commit still has the name. */
static bool name_stays(const struct daxl_commit *commit, const struct daxl_name *name)
{
	for (size_t i = 0; i < commit->nchanges; i++)
		if (commit->changes[i]->next->name == name)
			return true;
	return false;
}

/* Blocks that dropped lets go, as the nodes count them. */
static daxl_nblk_t dropped_blocks(const struct daxl_dropped *dropped)
{
	const struct daxl_dropped_run *runs = dropped->runs != NULL ? dropped->runs : dropped->inline_runs;
	daxl_nblk_t blocks = 0;
	for (size_t i = 0; i < dropped->nruns; i++)
		blocks += runs[i].len;
	for (const struct daxl_node *node = dropped->subtrees; node != NULL; node = node->next)
		blocks += node->blocks;
	return blocks;
}

/* Ends the edit: what is left to do for the change are stores. Returns the nodes it added. */
static size_t seal(const struct daxl_commit *commit, struct daxl_change *change)
{
	struct daxl_version *next = change->next, *old = change->old;
	if (old == NULL)
		return 0;
	size_t pages = change->edit.nodes_new;
	next->root = daxl_edit_commit(&change->edit, &old->retired.dropped);
	old->drops_name = old->name != NULL && !name_stays(commit, old->name);
	old->drops_attrs = old->attrs != NULL && old->attrs != next->attrs;
	old->retired.blocks = dropped_blocks(&old->retired.dropped);
	return pages;
}

static void raise_moved(const struct daxl_commit *commit)
{
	for (size_t i = 0; i < commit->nchanges; i++)
		if (commit->changes[i]->moves)
			__atomic_fetch_add(&commit->changes[i]->ino->moved, 1, __ATOMIC_SEQ_CST);
}

/* The new nodes of all changes fit into the next checkpoint; -ENOSPC. */
static int room_for_changes(const struct daxl_commit *commit)
{
	size_t nodes = 0;
	for (size_t i = 0; i < commit->nchanges; i++)
		nodes += commit->changes[i]->old != NULL ? commit->changes[i]->edit.nodes_new : 0;
	return daxl_room_for_nodes(commit->pool, nodes);
}

static int build_late(const struct daxl_commit *commit)
{
	int rc = commit->late(commit->arg);
	return rc < 0 ? rc : room_for_changes(commit);
}

/* Inside the gate: the record of the ticket, which may be durable already, is to have no effect. */
static void __attribute__((noinline)) take_back(struct daxl_pool *pool, const struct daxl_ticket *ticket)
{
	daxl_media_fence(pool->media);
	daxl_log_store(pool->log, ticket, DAXL_REC_NOP, 0, NULL, 0);
	daxl_media_fence(pool->media);
	daxl_log_leave(pool->log, ticket);
}

/* The files change: inside the gate, the record is durable. */
static void DAXL_HOLDS(FILE) publish(const struct daxl_commit *commit, const size_t *pages)
{
	for (size_t i = 0; i < commit->nchanges; i++)
		daxl_ckpt_note(commit->changes[i]->ino, commit->changes[i]->old, commit->changes[i]->next, pages[i]);
	raise_moved(commit);
	for (size_t i = 0; i < commit->nchanges; i++)
		daxl_rcu_assign(commit->changes[i]->ino->version, commit->changes[i]->next);
	raise_moved(commit);
	if (commit->published != NULL)
		commit->published(commit->published_arg);
}

#define CHANGES_MAX 2u

/* Below the line: nothing here waits for more than others' stores, and nothing fails but late. */
static int DAXL_HOLDS(FILE) commit_body(struct daxl_commit *commit, const struct body *body)
{
	struct daxl_pool *pool = commit->pool;
	struct daxl_ticket ticket;
	size_t pages[CHANGES_MAX] = {0};

	if (commit->last != NULL)
		commit->last(commit->arg);
	DAXL_HOOK("commit:enter");
	daxl_log_enter(pool->log, body->slots, &ticket);
	DAXL_HOOK("commit:ticket");
	daxl_log_store(pool->log, &ticket, commit->rec->type, body->flags, body->bytes, body->len);
	int rc = commit->late != NULL ? build_late(commit) : 0;
	if (daxl_unlikely(rc < 0)) {
		take_back(pool, &ticket);
		return rc;
	}
	for (size_t i = 0; i < commit->nchanges; i++)
		pages[i] = seal(commit, commit->changes[i]);
	if (commit->in_place != NULL)
		commit->in_place(commit->arg);
	daxl_media_fence(pool->media);
	DAXL_HOOK("commit:durable");
	publish(commit, pages);
	DAXL_HOOK("commit:published");
	daxl_log_leave(pool->log, &ticket);
	daxl_tally_count(pool->tally, DAXL_TALLY_RECORDS, 1);
	for (size_t i = 0; i < commit->nchanges; i++) {
		struct daxl_change *change = commit->changes[i];
		if (change->old != NULL)
			daxl_retire_start(pool, change->old);
		change->next = NULL;
	}
	return 0;
}

int daxl_commit_with(struct daxl_commit *commit, unsigned *slots)
{
	struct body body;
	assert(commit->nchanges <= CHANGES_MAX && *slots >= 1);
	for (size_t i = 0; i < commit->nchanges; i++)
		daxl_mutex_assert_held(&commit->changes[i]->ino->mutex);
	int rc = make_body(commit, *slots, &body);
	if (rc < 0)
		return rc;
	if (commit->late != NULL && (commit->last != NULL || body.npages != 0)) {
		rc = build_late(commit); /* not so late: last is for when nothing fails any more, and pages can be given back now */
		commit->late = NULL;
	}
	if (rc < 0) {
		free_pages(commit->pool, body.pages, body.npages);
		return rc;
	}
	rc = commit_body(commit, &body);
	*slots -= body.slots;
	retire_payload(commit->pool, &body);
	return rc;
}

int daxl_commit(struct daxl_commit *commit, bool *credit)
{
	unsigned slots = DAXL_REC_SLOTS_MAX;
	assert(*credit);
	int rc = room_for_changes(commit);
	if (rc == 0)
		rc = daxl_commit_with(commit, &slots);
	if (slots == DAXL_REC_SLOTS_MAX)
		return rc; /* it failed before the ticket */
	if (slots != 0)
		daxl_log_credit_give(commit->pool->log, slots);
	*credit = false;
	return rc;
}
