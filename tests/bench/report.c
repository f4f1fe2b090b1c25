/* SPDX-License-Identifier: BSD-3-Clause */
#include "report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool as_json, have_path;
static const char *last_curve = "";

/* Reads the first line that a shell command prints; without what JSON would have to escape. */
static void first_line(const char *command, char *line, size_t size)
{
	FILE *pipe = popen(command, "r");

	line[0] = '\0';
	if (pipe) {
		if (!fgets(line, (int)size, pipe))
			line[0] = '\0';
		pclose(pipe);
	}
	line[strcspn(line, "\n\"\\")] = '\0';
	if (line[0] == '\0')
		snprintf(line, size, "unknown");
}

void report_header(const char *program, bool json, double seconds)
{
	const char *granularity = getenv("PMEM2_FORCE_GRANULARITY");
	char commit[128], cpu[128];
	double load = 0;

	as_json = json;
	first_line("git -C '" BENCH_SOURCE_DIR "' describe --always --dirty 2>/dev/null", commit, sizeof(commit));
	first_line("sed -n 's/^model name[^:]*: *//p' /proc/cpuinfo", cpu, sizeof(cpu));
	if (getloadavg(&load, 1) != 1)
		load = -1;
	if (json) {
		printf("{\"program\":\"%s\",\"medium\":\"tmpfs file in " BENCH_DIR "\",\"granularity\":\"%s\","
		       "\"forced\":true,\"cpu\":\"%s\",\"cpus\":%ld,\"compiler\":\"%s\",\"commit\":\"%s\","
		       "\"limit_copy\":\"%s\",\"load\":%.2f,\"seconds\":%.2f,\"rows\":[",
		       program, granularity, cpu, sysconf(_SC_NPROCESSORS_ONLN), __VERSION__, commit, limit_copy_name(),
		       load, seconds);
		return;
	}
	printf("medium:   file in " BENCH_DIR " (tmpfs, not persistent), granularity %s (forced)\n", granularity);
	printf("machine:  %s, %ld CPUs, load average %.2f%s\n", cpu, sysconf(_SC_NPROCESSORS_ONLN), load,
	       load > 0.5 ? ": TOO MUCH FOR FIGURES THAT MEAN SOMETHING" : "");
	printf("compiler: %s; commit: %s; the limit copies with %s\n\n", __VERSION__, commit, limit_copy_name());
}

void report_footer(void)
{
	printf("\n]}\n");
}

static void begin_row(unsigned index)
{
	if (as_json)
		printf("%s\n", index ? "," : "");
}

static void json_times(const char *name, const struct bench_times *times)
{
	printf("\"%s\":{\"median\":%.2f,\"min\":%.2f,\"mean\":%.2f,\"spread\":%.3f,\"batches\":%u}", name,
	       times->median, times->min, times->mean, times->spread, times->batches);
}

static void json_path(const struct bench_path *path, const struct bench_times *times, const char *const *missing)
{
	const char *comma = "";

	printf("{\"path\":\"%s\",", path->name);
	json_times("ours", times++);
	if (path->limit.name) {
		printf(",\"limit_is\":\"%s\",", path->limit.name);
		json_times("limit", times++);
	}
	printf(",\"ratio_at_most\":%.2f,\"more_ns_at_most\":%.1f,\"ns_at_most\":%.1f,\"peers\":[", path->ratio,
	       path->more_ns, path->most_ns);
	for (unsigned i = 0; i < BENCH_PEERS; i++) {
		const struct bench_other *peer = &path->peers[i];

		if (!peer->name)
			continue;
		printf("%s{\"peer\":\"%s\",\"at_least\":%.1f,", comma, peer->name, peer->at_least);
		if (missing[i])
			printf("\"skipped\":\"%s\"}", missing[i]);
		else
			json_times("times", times++), printf("}");
		comma = ",";
	}
	printf("]}");
}

static void path_goal(const struct bench_path *path, char *goal, size_t size)
{
	goal[0] = '\0';
	if (path->ratio > 0)
		snprintf(goal, size, "<= %gx", path->ratio);
	else if (path->more_ns > 0)
		snprintf(goal, size, "<= +%g ns", path->more_ns);
	else if (path->most_ns > 0)
		snprintf(goal, size, "<= %g ns", path->most_ns);
}

static bool path_misses(const struct bench_path *path, double ours, double limit)
{
	return (path->ratio > 0 && ours > path->ratio * limit) ||
	       (path->more_ns > 0 && ours > limit + path->more_ns) || (path->most_ns > 0 && ours > path->most_ns);
}

static void text_path(const struct bench_path *path, const struct bench_times *times, const char *const *missing)
{
	double ours = times->median, limit = 0;
	char goal[32];

	if (!have_path)
		printf("ns an operation, medians; spread: between the quartiles\n"
		       "%-40s %10s %10s %6s   %-34s %12s %9s %s\n",
		       "path", "ours", "min", "spread", "limit, peers", "", "ratio", "goal");
	have_path = true;
	path_goal(path, goal, sizeof(goal));
	printf("%-40s %10.1f %10.1f %5.0f%%   ", path->name, ours, times->min, times->spread * 100);
	times++;
	if (path->limit.name) {
		limit = (times++)->median;
		printf("%-34s %12.1f %8.2fx ", path->limit.name, limit, ours / limit);
	} else {
		printf("%-34s %12s %9s ", "", "", "");
	}
	printf("%s%s\n", goal, path_misses(path, ours, limit) ? "  MISSED" : "");
	for (unsigned i = 0; i < BENCH_PEERS; i++) {
		const struct bench_other *peer = &path->peers[i];

		if (!peer->name)
			continue;
		printf("%-71s%-34s ", "", peer->name);
		if (missing[i]) {
			printf("skipped: %s\n", missing[i]);
			continue;
		}
		printf("%12.1f %8.1fx ", times->median, times->median / ours);
		if (peer->at_least > 0)
			printf(">= %gx%s", peer->at_least, times->median < peer->at_least * ours ? "  MISSED" : "");
		printf("\n");
		times++;
	}
}

void report_path(const struct bench_path *path, const struct bench_times *times, const char *const *missing,
                 unsigned index)
{
	begin_row(index);
	(as_json ? json_path : text_path)(path, times, missing);
	fflush(stdout);
}

static void text_figure(const struct bench_figure *figure)
{
	bool missed = (figure->at_most > 0 && figure->value > figure->at_most) ||
	              (figure->at_least > 0 && figure->value < figure->at_least);

	printf(" %12.2f %s", figure->value, figure->unit);
	if (figure->at_most > 0)
		printf(" (<= %g)", figure->at_most);
	if (figure->at_least > 0)
		printf(" (>= %g)", figure->at_least);
	printf("%s", missed ? " MISSED" : "");
}

void report_figures(const char *name, const struct bench_figure *figures, unsigned n, unsigned index)
{
	begin_row(index);
	if (as_json)
		printf("{\"name\":\"%s\",\"figures\":[", name);
	else
		printf("%-40s", name);
	for (unsigned i = 0; i < n; i++) {
		if (as_json)
			printf("%s{\"unit\":\"%s\",\"value\":%.4f,\"at_most\":%.2f,\"at_least\":%.2f}", i ? "," : "",
			       figures[i].unit, figures[i].value, figures[i].at_most, figures[i].at_least);
		else
			text_figure(&figures[i]);
	}
	printf("%s", as_json ? "]}" : "\n");
	fflush(stdout);
}

void report_point(const char *curve, const char *by, double x, double ns, unsigned index)
{
	begin_row(index);
	if (as_json) {
		printf("{\"curve\":\"%s\",\"by\":\"%s\",\"x\":%.0f,\"ns\":%.1f}", curve, by, x, ns);
	} else {
		if (strcmp(curve, last_curve) != 0)
			printf("%s%s, ns by %s\n", last_curve[0] ? "\n" : "", curve, by);
		printf("%16.0f %12.1f\n", x, ns);
	}
	last_curve = curve;
	fflush(stdout);
}
