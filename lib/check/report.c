/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Findings on their way to the caller. A plain check tells each as it is found. A repair keeps them until it knows
 * whether it succeeded, for each says if it was put right; of very many it keeps only the first.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/hook.h"
#include "check/check.h"

#define MESSAGE_MAX 512
#define KEPT_MAX 20000u

struct daxl_kept {
	struct daxl_kept *next;
	struct daxl_where where;
	enum daxl_finding_severity severity;
	bool has_name;
	char text[]; /* the message, its NUL, the file's name */
};

/* Calls report. */
static int tell(struct daxl_check *check, enum daxl_finding_severity severity, const struct daxl_where *where,
                const char *message, bool repaired)
{
	const struct daxl_check_finding finding = {
		.kind = where->kind,
		.severity = (int)severity,
		.message = message,
		.file_name = where->file_name,
		.file_id = where->file_id,
		.file_off = where->file_off,
		.pool_off = where->pool_off,
		.block = where->block,
		.repaired = repaired,
	};

	if (check->report && check->report(&finding, check->arg))
		return daxl_fail(ECANCELED, "the check was ended by its report function");
	return 0;
}

static int keep(struct daxl_check *check, enum daxl_finding_severity severity, const struct daxl_where *where,
                const char *message)
{
	size_t len = strlen(message) + 1, name_len = where->file_name ? strlen(where->file_name) + 1 : 0;

	if (check->nkept >= KEPT_MAX) {
		check->unkept++;
		return 0;
	}
	struct daxl_kept *kept = daxl_alloc(sizeof(*kept) + len + name_len);
	if (!kept)
		return daxl_fail(ENOMEM, "no memory to keep a finding");
	*kept = (struct daxl_kept){.where = *where, .severity = severity, .has_name = name_len != 0};
	memcpy(kept->text, message, len);
	if (name_len)
		memcpy(kept->text + len, where->file_name, name_len);
	*check->kept_end = kept;
	check->kept_end = &kept->next;
	check->nkept++;
	return 0;
}

int daxl_check_found(struct daxl_check *check, enum daxl_finding_severity severity, const struct daxl_where *where,
                     const char *fmt, ...)
{
	char message[MESSAGE_MAX];
	va_list ap;

	va_start(ap, fmt);
	if (vsnprintf(message, sizeof(message), fmt, ap) < 0)
		message[0] = '\0';
	va_end(ap);
	if (severity == DAXL_SEVERITY_INFO)
		check->notes++;
	else
		check->found++;
	if (check->repair)
		return keep(check, severity, where, message);
	return tell(check, severity, where, message, false);
}

int daxl_check_progress(struct daxl_check *check, const char *what)
{
	check->done++;
	check->total = daxl_max_u64(check->total, check->done);
	const struct daxl_check_finding finding = {
		.kind = DAXL_FINDING_PROGRESS,
		.severity = DAXL_SEVERITY_INFO,
		.message = what,
		.file_id = DAXL_FINDING_UNKNOWN,
		.file_off = DAXL_FINDING_UNKNOWN,
		.pool_off = DAXL_FINDING_UNKNOWN,
		.block = DAXL_FINDING_UNKNOWN,
		.done = check->done,
		.total = check->total,
	};
	if (check->report && check->report(&finding, check->arg))
		return daxl_fail(ECANCELED, "the check was ended by its report function");
	return 0;
}

int daxl_check_deliver(struct daxl_check *check, bool repaired)
{
	int err = 0;

	for (const struct daxl_kept *kept = check->kept; kept && !err; kept = kept->next) {
		struct daxl_where where = kept->where;

		where.file_name = kept->has_name ? kept->text + strlen(kept->text) + 1 : NULL;
		err = tell(check, kept->severity, &where, kept->text, repaired);
	}
	if (!err && check->unkept) {
		char message[MESSAGE_MAX];

		snprintf(message, sizeof(message), "%" PRIu64 " further findings are not listed", check->unkept);
		err = tell(check, DAXL_SEVERITY_INFO, &DAXL_WHERE(DAXL_FINDING_OTHER), message, repaired);
	}
	daxl_check_drop_kept(check);
	return err;
}

void daxl_check_drop_kept(struct daxl_check *check)
{
	struct daxl_kept *next;

	for (struct daxl_kept *kept = check->kept; kept; kept = next) {
		next = kept->next;
		daxl_free(kept);
	}
	check->kept = NULL;
	check->kept_end = &check->kept;
}
