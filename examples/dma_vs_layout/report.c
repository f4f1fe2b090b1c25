/* SPDX-License-Identifier: BSD-3-Clause */
/* What the run has shown, for a person or as JSON. */
#include "demo.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* Of the changes of A that recalled somebody: how many, and how long they took. */
struct summary {
	size_t waits;
	uint64_t median_ns, p99_ns, max_ns;
	uint64_t limbos; /* leases that ended with blocks in limbo: A was deleted in the middle of a transfer */
};

void report_progress(struct demo *demo, unsigned second)
{
	if (demo->quiet)
		return;
	fprintf(stderr,
	        "%3u s: %llu MiB read into A, %llu changes of A, %llu recalls, %llu MiB of B checked: "
	        "%llu foreign bytes\n",
	        second, demo->count[COUNT_DISK_BYTES] >> 20, demo->count[COUNT_CHANGES], demo->count[COUNT_RECALLS],
	        demo->count[COUNT_B_CHECKED] >> 20, demo->count[COUNT_B_FOREIGN]);
}

static int compare(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

	return (left > right) - (left < right);
}

static void summarize(struct demo *demo, const struct layout_thread *layout, struct summary *summary)
{
	static struct daxl_stats stats; /* large for a stack */
	uint64_t *all;
	size_t count = 0;

	daxl_stats(demo->pool, &stats);
	summary->limbos = stats.revoked_limbo;
	for (unsigned i = 0; i < LAYOUT_THREADS; i++)
		summary->waits += layout[i].waits.count;
	all = calloc(summary->waits + 1, sizeof(*all));
	if (!all) {
		demo_fail(demo, "summing up", -ENOMEM);
		return;
	}
	for (unsigned i = 0; i < LAYOUT_THREADS; i++)
		for (size_t j = 0; j < layout[i].waits.count; j++)
			all[count++] = layout[i].waits.ns[j];
	qsort(all, count, sizeof(*all), compare);
	if (count > 0) {
		summary->median_ns = all[count / 2];
		summary->p99_ns = all[count * 99 / 100];
		summary->max_ns = all[count - 1];
	}
	free(all);
}

static int outcome(const struct demo *demo, const struct summary *summary)
{
	bool damage = demo->count[COUNT_B_FOREIGN] > 0 || demo->count[COUNT_A_FOREIGN] > 0;

	if (demo->failed)
		return EXIT_TROUBLE;
	if (demo->unsafe)
		return damage ? EXIT_GOOD : EXIT_NOTHING_SHOWN;
	if (damage)
		return EXIT_CORRUPT;
	return summary->waits > 0 && demo->count[COUNT_DISK_BYTES] > 0 ? EXIT_GOOD : EXIT_NOTHING_SHOWN;
}

static const char *verdict(const struct demo *demo, int status)
{
	switch (status) {
	case EXIT_GOOD:
		return demo->unsafe ? "B was damaged by transfers meant for A: this is what leases prevent"
		                    : "not one foreign byte";
	case EXIT_CORRUPT:
		return "damage in spite of leases";
	case EXIT_NOTHING_SHOWN:
		return demo->unsafe ? "no damage this time, which proves nothing: try again, or longer"
		                    : "no change met a lease, which proves nothing: try again, or longer";
	default:
		return "the run failed";
	}
}

static void print_text(const struct demo *demo, const struct summary *summary, int status)
{
	printf("disk    %llu MiB in %llu reads from %s,\n        by %s\n", demo->count[COUNT_DISK_BYTES] >> 20,
	       demo->count[COUNT_TRANSFERS], disk_source(demo->disk), disk_method(demo->disk));
	if (demo->unsafe)
		printf("device  %llu streams into A, without leases\n", demo->count[COUNT_STREAMS]);
	else
		printf("device  %llu streams into A under leases, %llu ended by a recall, %" PRIu64
		       " with blocks in limbo\n",
		       demo->count[COUNT_STREAMS], demo->count[COUNT_STOPPED], summary->limbos);
	printf("A       %llu changes:", demo->count[COUNT_CHANGES]);
	for (unsigned i = 0; i < CHANGES; i++)
		printf(" %llu %s%s", demo->change[i], change_names[i], i + 1 < CHANGES ? "," : "\n");
	if (!demo->unsafe) {
		printf("        %llu MiB checked through leases: %llu foreign bytes\n",
		       demo->count[COUNT_A_CHECKED] >> 20, demo->count[COUNT_A_FOREIGN]);
		printf("waits   %zu changes recalled leases: median %.3f ms, p99 %.3f ms, longest %.3f ms\n",
		       summary->waits, (double)summary->median_ns / 1e6, (double)summary->p99_ns / 1e6,
		       (double)summary->max_ns / 1e6);
	}
	printf("B       %llu MiB written, %llu MiB checked: %llu foreign bytes\n", demo->count[COUNT_B_WRITTEN] >> 20,
	       demo->count[COUNT_B_CHECKED] >> 20, demo->count[COUNT_B_FOREIGN]);
	printf("result  %s (seed %" PRIu64 ")\n", verdict(demo, status), demo->seed);
}

static void print_json_string(const char *text)
{
	putchar('"');
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			printf("\\%c", *text);
		else if ((unsigned char)*text < 0x20)
			printf("\\u%04x", (unsigned)*text);
		else
			putchar(*text);
	}
	putchar('"');
}

static void print_json(const struct demo *demo, const struct summary *summary, int status)
{
	static const char *const keys[COUNTS] = {
		"disk_bytes",      "transfers",       "streams",         "streams_recalled",
		"recalls",         "a_changes",       "pool_full",       "a_checked_bytes",
		"a_foreign_bytes", "b_written_bytes", "b_checked_bytes", "b_foreign_bytes",
	};

	printf("{\n  \"mode\": \"%s\",\n  \"source\": ", demo->unsafe ? "unsafe" : "safe");
	print_json_string(disk_source(demo->disk));
	printf(",\n  \"method\": ");
	print_json_string(disk_method(demo->disk));
	printf(",\n  \"seed\": %" PRIu64 ",\n", demo->seed);
	for (unsigned i = 0; i < COUNTS; i++)
		printf("  \"%s\": %llu,\n", keys[i], demo->count[i]);
	printf("  \"changes\": {");
	for (unsigned i = 0; i < CHANGES; i++)
		printf(" \"%s\": %llu%s", change_names[i], demo->change[i], i + 1 < CHANGES ? "," : " },\n");
	printf("  \"leases_to_limbo\": %" PRIu64 ",\n", summary->limbos);
	printf("  \"waits\": { \"count\": %zu, \"median_ns\": %" PRIu64 ", \"p99_ns\": %" PRIu64 ", ", summary->waits,
	       summary->median_ns, summary->p99_ns);
	printf("\"max_ns\": %" PRIu64 " },\n", summary->max_ns);
	printf("  \"exit_status\": %d,\n  \"result\": ", status);
	print_json_string(verdict(demo, status));
	printf("\n}\n");
}

int report(struct demo *demo, const struct layout_thread *layout, bool json)
{
	struct summary summary = {0};
	int status;

	summarize(demo, layout, &summary);
	status = outcome(demo, &summary);
	if (json)
		print_json(demo, &summary, status);
	else
		print_text(demo, &summary, status);
	return status;
}
