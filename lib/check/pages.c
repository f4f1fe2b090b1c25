/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checkpoint pages with both their copies. Loading reads the second copy only when the first is bad; a check reads
 * both, for a copy that is bad is of no use on the day it is needed.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/error.h"
#include "check/check.h"

int daxl_check_page_ref(struct daxl_check *check, daxl_page_t page, const struct daxl_where *where, const char *what)
{
	/* A pool opens without its summary. */
	enum daxl_finding_severity severity =
		where->kind == DAXL_FINDING_SUMMARY ? DAXL_SEVERITY_WARNING : DAXL_SEVERITY_ERROR;
	bool fresh = true;
	int err = 0;

	if (daxl_check_has_page(check, page))
		err = daxl_page_set_add(&check->seen, page, &fresh);
	if (err)
		return err;
	if (!daxl_check_has_page(check, page))
		err = daxl_check_found(check, severity, where,
		                       "%s: page %" PRIu64 " is referred to, the pool has %" PRIu64, what, page,
		                       daxl_check_npages(check));
	else if (!fresh)
		err = daxl_check_found(check, severity, where, "%s: page %" PRIu64 " is referred to twice",
		                       what, page);
	else
		return 0;
	return err ? err : 1;
}

/* Reads one copy. 0: good, 1: bad, with the reason in daxl_error_last. */
static int read_copy(struct daxl_check *check, daxl_page_t page, const struct daxl_page_expect *expect,
                     struct daxl_pagebuf *buf)
{
	bool fresh;
	int err = daxl_page_read(check->pool->media, &(struct daxl_md_ref){.page = page}, expect, buf, NULL);

	if (err)
		return err == -EUCLEAN || err == -EIO ? 1 : err;
	return daxl_page_set_add(&check->good, page, &fresh);
}

/* Whether two copies say the same. */
static bool same(const struct daxl_pagebuf *a, const struct daxl_pagebuf *b)
{
	return a->hdr.position == b->hdr.position && a->hdr.owner == b->hdr.owner && a->hdr.count == b->hdr.count &&
	       a->hdr.used == b->hdr.used && memcmp(a->body, b->body, a->hdr.used) == 0;
}

int daxl_check_copy(struct daxl_check *check, const struct daxl_md_ref *ref, const struct daxl_page_expect *expect,
                    const struct daxl_pagebuf *buf)
{
	int err = daxl_page_read(check->pool->media, &(struct daxl_md_ref){.page = ref->copy}, expect, &check->other, NULL);

	if (!err && !same(buf, &check->other))
		err = daxl_fail(EUCLEAN, "pages %" PRIu64 " and %" PRIu64 ", copies of each other, differ", ref->page,
		                ref->copy);
	return err;
}

/* A bad copy: as it goes, what is lost depends on the other. */
static int report_copy(struct daxl_check *check, const struct daxl_where *where, const char *what, daxl_page_t page)
{
	struct daxl_where at = *where;

	at.pool_off = page << DAXL_PAGE_SHIFT;
	at.block = at.pool_off >> check->pool->block_shift;
	return daxl_check_found(check, DAXL_SEVERITY_WARNING, &at, "%s, one of two copies: %s", what,
	                        daxl_error_last());
}

/* Reads the second copy into check->other, and takes it if the first is bad (have is false) or older. */
static int second(struct daxl_check *check, const struct daxl_md_ref *ref, const struct daxl_page_expect *expect,
                  const struct daxl_where *where, const char *what, struct daxl_pagebuf *buf, bool have)
{
	int rc = read_copy(check, ref->copy, expect, &check->other);

	if (rc < 0)
		return rc;
	if (rc == 1 && have)
		return report_copy(check, where, what, ref->copy);
	if (rc == 1)
		return 1;
	if (have && !same(buf, &check->other)) {
		/* Loading takes the first if it is intact. */
		have = buf->hdr.position >= check->other.hdr.position;
		rc = daxl_check_found(check, have ? DAXL_SEVERITY_WARNING : DAXL_SEVERITY_ERROR, where,
		                      "%s: its copies, pages %" PRIu64 " and %" PRIu64 ", differ; the %s is newer",
		                      what, ref->page, ref->copy, have ? "first" : "second");
	}
	if (!have)
		*buf = check->other;
	return rc;
}

int daxl_check_page(struct daxl_check *check, const struct daxl_md_ref *ref, const struct daxl_page_expect *expect,
                    const struct daxl_where *where, const char *what, struct daxl_pagebuf *buf)
{
	struct daxl_where at = *where;
	int first = daxl_check_page_ref(check, ref->page, where, what), rc = 1;
	int copy = first >= 0 && ref->copy ? daxl_check_page_ref(check, ref->copy, where, what) : 1;

	if (first < 0 || copy < 0)
		return first < 0 ? first : copy;
	if (first == 0)
		rc = read_copy(check, ref->page, expect, buf);
	if (rc == 1 && first == 0 && copy == 0) {
		int err = report_copy(check, where, what, ref->page);

		if (err)
			return err;
	}
	if (rc < 0)
		return rc;
	if (copy == 0)
		rc = second(check, ref, expect, where, what, buf, rc == 0);
	if (rc != 1)
		return rc;
	at.pool_off = ref->page << DAXL_PAGE_SHIFT;
	if (first == 0)
		at.block = at.pool_off >> check->pool->block_shift;
	else
		at.pool_off = DAXL_FINDING_UNKNOWN;
	check->lost = true;
	check->orphans |= expect->type != DAXL_PAGE_ROPE || expect->depth > 0;
	rc = daxl_check_found(check, DAXL_SEVERITY_ERROR, &at, "%s is lost: %s", what,
	                      first == 0 || copy == 0 ? daxl_error_last() : "there is no page to read");
	return rc ? rc : 1;
}
