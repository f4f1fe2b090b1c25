/* SPDX-License-Identifier: BSD-3-Clause */
/* User attributes: a small change of the file's version that concerns no lease (level N) and no map. */
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/hook.h"
#include "file/attrs.h"
#include "ops/ops.h"

/* The body of an ATTR record: removed, or key and value. */
static int put_record(struct daxl_record *rec, uint32_t id, uint64_t time_ns, const char *key, const void *value, size_t len)
{
	size_t key_len = strlen(key);
	struct daxl_md_rec_attr attr = {
		.id = id,
		.time_ns = time_ns,
		.key_len = (uint8_t)key_len,
		.removed = value == NULL,
		.value_len = (uint16_t)len,
	};

	daxl_record_init(rec, DAXL_REC_ATTR);
	int rc = daxl_record_put(rec, &attr, sizeof(attr));

	if (!rc)
		rc = daxl_record_put(rec, key, key_len);
	return rc || len == 0 ? rc : daxl_record_put(rec, value, len);
}

/* With the mutex held: builds and commits the next version. */
static int DAXL_HOLDS(FILE)
set_locked(struct daxl_inode *ino, const char *key, const void *value, size_t len, bool *credit)
{
	struct daxl_change change, *changes[] = { &change };
	struct daxl_record rec;
	struct daxl_attrs *attrs = NULL;
	const void *old_value;
	size_t old_len;

	if (!value && !daxl_attrs_find(ino->version->attrs, key, strlen(key), &old_value, &old_len))
		return daxl_fail(ENODATA, "the file has no attribute '%s'", key);
	int rc = daxl_attrs_with(ino->version->attrs, key, strlen(key), value, len, &attrs);

	if (rc)
		return rc;
	rc = daxl_change_begin(&change, ino, false);
	if (rc) {
		daxl_free(attrs);
		return rc;
	}
	change.next->generation = change.old->generation; /* neither map nor size */
	change.next->attrs = attrs; /* the change's from here on, also when it is aborted */
	rc = put_record(&rec, ino->id, change.next->ctime_ns, key, value, len);
	if (!rc) {
		struct daxl_commit commit = { .pool = ino->pool, .changes = changes, .nchanges = 1, .rec = &rec };

		rc = daxl_commit(&commit, credit);
	}
	if (rc)
		daxl_change_abort(&change);
	daxl_record_free(&rec);
	return rc;
}

int daxl_do_setattr(struct daxl_file *file, const char *key, const void *value, size_t len)
{
	bool credit = true;
	int rc = daxl_credit_take(file->pool, value ? DAXL_NEED_GROW : DAXL_NEED_FREE);

	if (rc)
		return rc;
	daxl_mutex_lock(&file->ino->mutex);
	rc = set_locked(file->ino, key, value, len, &credit);
	daxl_mutex_unlock(&file->ino->mutex);
	if (credit)
		daxl_credit_give(file->pool);
	return rc;
}

ssize_t daxl_do_getattr(struct daxl_file *file, const char *key, void *value, size_t len)
{
	const void *found;
	size_t n = 0;

	daxl_rcu_read_lock();
	bool there = daxl_attrs_find(daxl_version_get(file->ino)->attrs, key, strlen(key), &found, &n);

	if (there && n && n <= len)
		memcpy(value, found, n);
	daxl_rcu_read_unlock();
	if (!there)
		return daxl_fail(ENODATA, "the file has no attribute '%s'", key);
	if (len && n > len)
		return daxl_fail(ERANGE, "attribute '%s' has %zu bytes, the buffer %zu", key, n, len);
	return (ssize_t)n;
}
