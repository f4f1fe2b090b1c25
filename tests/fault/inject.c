/* SPDX-License-Identifier: BSD-3-Clause */
#include "fault.h"

#include <dirent.h>

#include "base/hook.h"

const struct fault_point fault_points[FAULT_POINTS] = {
	{"alloc", ENOMEM, 0, true},
	[LATE_FAILURE] = {"slab-alloc", ENOMEM, 0, true},
	{"space.ref", ENOMEM, 0, true},
	{"arena.reserve", ENOMEM, 0, true},
	{"arena.extend", ENOMEM, 0, true},
	{"media.open", EMFILE, 0, true},
	{"media.lock", ENOLCK, 0, true},
	{"media.source", ENOMEM, 0, true},
	{"media.map", ENOMEM, 0, true},
	{"media.reserve", 0, 0, true},
	{"media.extend", ENOSPC, 0, true},
	{"media.read", EIO, EUCLEAN, true},
	{"random", EIO, 0, true},
	{"event.fd", EMFILE, 0, true},
	{"background-thread", EAGAIN, 0, true},
	{"reclaim-thread", EAGAIN, 0, true},
	{"log.credit", ENOSPC, 0, true},
	{"log.full", 0, 0, false},
	{"space.reserve", ENOSPC, 0, true},
};

unsigned fault_counted[FAULT_POINTS];
bool fault_met[FAULT_POINTS];

static _Thread_local bool here; /* on this thread points count */
static size_t armed_point;
static unsigned armed_n, seen;
static bool armed_after;

static size_t point_of(const char *name)
{
	size_t i = 0;

	while (i < FAULT_POINTS && strcmp(fault_points[i].name, name) != 0)
		i++;
	if (i == FAULT_POINTS)
		ck_abort_msg("fault_points has no '%s'", name);
	return i;
}

static bool fails_now(const char *point, void *arg)
{
	(void)arg;
	if (!here || strcmp(point, fault_points[armed_point].name) != 0)
		return false;
	seen++;
	if (seen != armed_n && !(armed_after && seen > armed_n))
		return false;
	fault_met[armed_point] = true;
	return true;
}

void fault_arm(size_t point, unsigned n, bool all_after)
{
	armed_point = point;
	armed_n = n;
	armed_after = all_after;
	seen = 0;
	here = true;
	daxl_fault_set(fails_now, NULL);
}

static bool only_counts(const char *point, void *arg)
{
	(void)arg;
	if (here)
		fault_counted[point_of(point)]++;
	return false;
}

void fault_count(void)
{
	memset(fault_counted, 0, sizeof(fault_counted));
	here = true;
	daxl_fault_set(only_counts, NULL);
}

bool fault_disarm(void)
{
	daxl_fault_set(NULL, NULL);
	here = false;
	return seen >= armed_n;
}

/* --- what is documented --- */

static char *headers; /* all of them, one after the other */

static void read_headers(void)
{
	DIR *dir = opendir(DAXL_INCLUDE_DIR);
	struct dirent *entry;
	size_t len = 0;
	FILE *out = open_memstream(&headers, &len);

	ck_assert_ptr_nonnull(dir);
	while ((entry = readdir(dir)) != NULL) {
		char path[512], line[512];

		snprintf(path, sizeof(path), "%s/%s", DAXL_INCLUDE_DIR, entry->d_name);
		FILE *in = strstr(entry->d_name, ".h") ? fopen(path, "r") : NULL;

		while (in && fgets(line, sizeof(line), in))
			fputs(line, out);
		if (in)
			fclose(in);
	}
	closedir(dir);
	fclose(out);
}

/* The last place in [from, to) where text stands, or NULL. */
static const char *last_in(const char *from, const char *to, const char *text)
{
	const char *found = NULL, *at = from;

	while ((at = strstr(at, text)) != NULL && at < to)
		found = at++;
	return found;
}

static bool names(const char *from, const char *to, const char *text)
{
	return last_in(from, to, text) != NULL;
}

bool fault_documented(const char *function, int err)
{
	static const char *waiting[] = {"EAGAIN", "ETIMEDOUT", "ECANCELED", "EDEADLK", "EINVAL", "E2BIG"};
	char declared[64], error[32];

	if (!headers)
		read_headers();
	snprintf(declared, sizeof(declared), " %s(", function);
	snprintf(error, sizeof(error), "-%s", strerrorname_np(err));
	const char *end = strstr(headers, declared);

	while (end && strncmp(last_in(headers, end, "\n") + 1, "DAXL_API", 8) != 0) /* a mention */
		end = strstr(end + 1, declared);
	if (!end)
		ck_abort_msg("%s is declared nowhere", function);
	const char *start = last_in(headers, end, "/*");

	if (names(start, end, error))
		return true;
	for (size_t i = 0; i < sizeof(waiting) / sizeof(waiting[0]) && names(start, end, "the errors of waiting"); i++)
		if (strcmp(waiting[i], error + 1) == 0)
			return true;
	if (names(start, end, "as open(2) gives them"))
		return err == ENOLCK || err == EMFILE;
	const char *other = last_in(start, end, "the other errors of daxl_");

	if (other) {
		char name[64];

		sscanf(other, "the other errors of %63[a-z_]", name);
		return fault_documented(name, err);
	}
	return false;
}
