/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Replay: what each log record does to the files.
 *
 * One function for each type. It takes the record's body apart, checks it against the files as they are at that moment,
 * and changes them in place: nobody reads them yet, so there are no versions to keep. Blocks are accounted for at once,
 * and strictly. A newly mapped block must be free, a dropped one becomes free for the next record; an edit that maps
 * blocks which are mapped at that very place already only changes their flags. A record that does not fit the files
 * contradicts them, which is corruption: -EUCLEAN with the log position.
 */
#include "file/replay.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/error.h"
#include "base/hook.h"
#include "file/attrs.h"
#include "file/names.h"

#define TOO_SHORT "it ends too early"

const void *daxl_body_take(struct daxl_body *body, size_t len)
{
	const uint8_t *at = body->at;

	if (len > body->left)
		return NULL;
	body->at += len;
	body->left -= len;
	return at;
}

int daxl_body_struct(struct daxl_body *body, void *out, size_t len)
{
	const void *at = daxl_body_take(body, len);

	if (!at)
		return daxl_fail(EUCLEAN, TOO_SHORT);
	memcpy(out, at, len);
	return 0;
}

int daxl_replay_find(struct daxl_replay *replay, uint32_t id, struct daxl_inode **ret_ino)
{
	struct daxl_inode *ino = daxl_inode_by_id(replay->pool, id);

	if (!ino)
		return daxl_fail(EUCLEAN, "there is no file %" PRIu32, id);
	replay->files[replay->files[0] && replay->files[0] != ino] = ino;
	*ret_ino = ino;
	return 0;
}

static int take_name(struct daxl_body *body, size_t len, const char **ret_name)
{
	const char *name = daxl_body_take(body, len);

	if (!name)
		return daxl_fail(EUCLEAN, TOO_SHORT);
	if (len == 0 || memchr(name, '\0', len))
		return daxl_fail(EUCLEAN, "a name of %zu bytes that is none", len);
	*ret_name = name;
	return 0;
}

static int replay_create(struct daxl_replay *replay, struct daxl_body *body)
{
	struct daxl_md_rec_create rec;
	struct daxl_inode *ino;
	const char *name;
	int err = daxl_body_struct(body, &rec, sizeof(rec));

	if (!err)
		err = take_name(body, rec.name_len, &name);
	if (!err)
		err = daxl_inode_add(replay->pool, rec.id, name, rec.name_len, rec.time_ns, &ino);
	if (err)
		return err;
	replay->pool->next_id = rec.id + 1;
	daxl_ckpt_replayed(ino);
	return 0;
}

/* The file's name or attributes have changed. */
static void renamed(struct daxl_inode *ino, uint64_t time_ns)
{
	ino->version->ctime_ns = time_ns;
	daxl_ckpt_replayed(ino);
}

static int replay_rename(struct daxl_replay *replay, struct daxl_body *body)
{
	struct daxl_pool *pool = replay->pool;
	struct daxl_md_rec_rename rec;
	struct daxl_inode *ino, *replaced = NULL;
	const char *name;
	int err = daxl_body_struct(body, &rec, sizeof(rec));

	if (!err)
		err = take_name(body, rec.name_len, &name);
	if (!err)
		err = daxl_replay_find(replay, rec.id, &ino);
	if (!err && rec.replaced)
		err = daxl_replay_find(replay, rec.replaced, &replaced);
	if (err)
		return err;
	if (!ino->name || replaced == ino)
		return daxl_fail(EUCLEAN, "a rename of file %" PRIu32 ", which is unlinked or itself the file replaced",
		                 rec.id);
	if (replaced && daxl_names_find(pool, name, rec.name_len) != replaced)
		return daxl_fail(EUCLEAN, "file %" PRIu32 " has not the name '%.*s' that it is to lose", rec.replaced,
		                 (int)rec.name_len, name);
	if (replaced) {
		(void)daxl_names_give(pool, replaced, NULL, 0);
		renamed(replaced, rec.time_ns);
	}
	err = daxl_names_give(pool, ino, name, rec.name_len);
	if (!err)
		renamed(ino, rec.time_ns);
	return err;
}

static int replay_swapnames(struct daxl_replay *replay, struct daxl_body *body)
{
	struct daxl_md_rec_ids rec;
	struct daxl_inode *a, *b;
	int err = daxl_body_struct(body, &rec, sizeof(rec));

	if (!err)
		err = daxl_replay_find(replay, rec.id, &a);
	if (!err)
		err = daxl_replay_find(replay, rec.other, &b);
	if (err)
		return err;
	if (a == b || !a->name || !b->name)
		return daxl_fail(EUCLEAN, "files %" PRIu32 " and %" PRIu32 " have not two names to swap", rec.id,
		                 rec.other);
	daxl_names_swap(replay->pool, a, b);
	renamed(a, rec.time_ns);
	renamed(b, rec.time_ns);
	return 0;
}

static int replay_unlink(struct daxl_replay *replay, struct daxl_body *body)
{
	struct daxl_md_rec_ids rec;
	struct daxl_inode *ino;
	int err = daxl_body_struct(body, &rec, sizeof(rec));

	if (!err)
		err = daxl_replay_find(replay, rec.id, &ino);
	if (err)
		return err;
	if (!ino->name)
		return daxl_fail(EUCLEAN, "file %" PRIu32 " is unlinked already", rec.id);
	(void)daxl_names_give(replay->pool, ino, NULL, 0);
	renamed(ino, rec.time_ns);
	return 0;
}

/* DELETE of a nameless file, or REMOVE of a named one. */
static int replay_delete(struct daxl_replay *replay, struct daxl_body *body, bool named)
{
	struct daxl_md_rec_ids rec;
	struct daxl_inode *ino;
	int err = daxl_body_struct(body, &rec, sizeof(rec));

	if (!err)
		err = daxl_replay_find(replay, rec.id, &ino);
	if (err)
		return err;
	if (named != (ino->name != NULL))
		return daxl_fail(EUCLEAN, "file %" PRIu32 " is %s", rec.id,
		                 named ? "unlinked already" : "deleted but not unlinked");
	replay->files[0] = replay->files[1] = NULL;
	daxl_inode_erase(replay->pool, ino);
	return 0;
}

static int replay_attr(struct daxl_replay *replay, struct daxl_body *body)
{
	struct daxl_md_rec_attr rec;
	struct daxl_attrs *attrs;
	struct daxl_inode *ino;
	int err = daxl_body_struct(body, &rec, sizeof(rec));

	if (!err)
		err = daxl_replay_find(replay, rec.id, &ino);
	if (err)
		return err;
	const void *key = daxl_body_take(body, rec.key_len), *value = daxl_body_take(body, rec.value_len);
	if (!key || !value)
		return daxl_fail(EUCLEAN, TOO_SHORT);
	if (rec.key_len == 0 || rec.removed > 1 || (rec.removed && rec.value_len))
		return daxl_fail(EUCLEAN, "an attribute with a key of %u bytes, a value of %u, removed %u", rec.key_len,
		                 rec.value_len, rec.removed);
	err = daxl_attrs_with(ino->version->attrs, key, rec.key_len, rec.removed ? NULL : value, rec.value_len, &attrs);
	if (err)
		return err == -ENOSPC ? daxl_fail(EUCLEAN, "more attributes than a file can have") : err;
	daxl_free(ino->version->attrs);
	ino->version->attrs = attrs;
	renamed(ino, rec.time_ns);
	return 0;
}

static int replay_grow(struct daxl_replay *replay, struct daxl_body *body)
{
	struct daxl_pool *pool = replay->pool;
	struct daxl_md_rec_grow rec;
	int err = daxl_body_struct(body, &rec, sizeof(rec));

	if (err)
		return err;
	if (rec.new_size > daxl_media_size(pool->media) || daxl_offset_in_block(rec.new_size, pool->block_shift))
		return daxl_fail(EUCLEAN, "growth to %" PRIu64 " bytes on a medium of %" PRIu64, rec.new_size,
		                 daxl_media_size(pool->media));
	return daxl_pool_extend(pool, rec.new_size);
}

static int apply(struct daxl_replay *replay, unsigned type, struct daxl_body *body)
{
	switch (type) {
	case DAXL_REC_CREATE:
		return replay_create(replay, body);
	case DAXL_REC_RENAME:
		return replay_rename(replay, body);
	case DAXL_REC_SWAPNAMES:
		return replay_swapnames(replay, body);
	case DAXL_REC_UNLINK:
		return replay_unlink(replay, body);
	case DAXL_REC_DELETE:
		return replay_delete(replay, body, false);
	case DAXL_REC_REMOVE:
		return replay_delete(replay, body, true);
	case DAXL_REC_MAP:
	case DAXL_REC_COLLAPSE:
	case DAXL_REC_INSERT:
	case DAXL_REC_TRUNCATE:
		return daxl_replay_map(replay, type, body);
	case DAXL_REC_CLONE:
	case DAXL_REC_EXCHANGE:
		return daxl_replay_two(replay, type, body);
	case DAXL_REC_ATTR:
		return replay_attr(replay, body);
	case DAXL_REC_GROW:
		return replay_grow(replay, body);
	case DAXL_REC_NOP:
		return 0;
	default:
		return daxl_fail(EUCLEAN, "its type is unknown");
	}
}

/* The record with its body, wherever that is. */
static int apply_record(struct daxl_replay *replay, const struct daxl_rec_view *rec)
{
	struct daxl_body body = {.at = rec->body, .left = rec->body_len};
	struct daxl_md_payload payload;
	void *bytes = NULL;

	if (rec->flags & ~DAXL_REC_HAS_PAYLOAD)
		return daxl_fail(EUCLEAN, "it has unknown flags %#x", rec->flags);
	if (rec->flags & DAXL_REC_HAS_PAYLOAD) {
		int err = daxl_body_struct(&body, &payload, sizeof(payload));

		if (!err)
			err = daxl_payload_read(replay->pool->media, replay->pool->super.uuid, &payload,
			                        replay->pool->super.pool_size, replay->page_fn, replay->page_arg,
			                        &bytes);
		if (err)
			return err;
		body = (struct daxl_body){.at = bytes, .left = (size_t)payload.len};
	}
	int err = apply(replay, rec->type, &body);
	daxl_free(bytes);
	return err;
}

/* A read-only open goes on: the files concerned are damaged, or what is gone cannot be known. */
static void tolerate(struct daxl_replay *replay)
{
	for (unsigned i = 0; i < DAXL_ARRAY_LEN(replay->files); i++)
		if (replay->files[i])
			replay->files[i]->version->damaged = true;
	if (!replay->files[0])
		replay->lost = true;
}

int daxl_replay_record(const struct daxl_rec_view *rec, void *arg)
{
	struct daxl_replay *replay = arg;
	char why[256];

	replay->files[0] = replay->files[1] = NULL;
	replay->records++;
	DAXL_HOOK("replay:record");
	int err = apply_record(replay, rec);
	if (!err)
		return 0;
	if (replay->tolerant && (err == -EUCLEAN || err == -EIO)) {
		tolerate(replay);
		return 0;
	}
	strncpy(why, daxl_error_last(), sizeof(why) - 1);
	why[sizeof(why) - 1] = '\0';
	if (!replay->files[0])
		return daxl_fail(-err, "log record %" PRIu64 " (type %u): %s", rec->position, rec->type, why);
	return daxl_fail(-err, "log record %" PRIu64 " (type %u, file %" PRIu32 "): %s", rec->position, rec->type,
	                 replay->files[0]->id, why);
}
