/* SPDX-License-Identifier: BSD-3-Clause */
/* The recorder: every store, flush and fence of one medium, in the order in which they happened. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crash.h"

static uint32_t thread_number(void)
{
	static uint32_t next;
	static _Thread_local uint32_t mine;

	if (!mine)
		mine = __atomic_add_fetch(&next, 1, __ATOMIC_RELAXED);
	return mine;
}

void trace_init(struct trace *trace, void *base, uint64_t size)
{
	memset(trace, 0, sizeof(*trace));
	pthread_mutex_init(&trace->mutex, NULL);
	trace->base = base;
	trace->size = size;
}

void trace_fini(struct trace *trace)
{
	for (size_t i = 0; i < trace->naccepts; i++) {
		for (unsigned k = 0; k < trace->accepts[i]->n; k++)
			state_drop(trace->accepts[i]->states[k]);
		free(trace->accepts[i]);
	}
	free(trace->accepts);
	free(trace->events);
	free(trace->bytes);
	pthread_mutex_destroy(&trace->mutex);
}

/* The mutex is held. */
static struct event *event_add(struct trace *trace, enum event_type type)
{
	if (trace->nevents == trace->cap) {
		trace->cap = trace->cap ? trace->cap * 2 : 256;
		trace->events = realloc(trace->events, trace->cap * sizeof(*trace->events));
		if (!trace->events)
			fail("no memory for a trace");
	}
	struct event *ev = &trace->events[trace->nevents++];

	*ev = (struct event){ .type = type, .thread = thread_number() };
	return ev;
}

static void record(struct trace *trace, enum event_type type, const void *addr, const void *src, size_t len, bool holder)
{
	pthread_mutex_lock(&trace->mutex);
	struct event *ev = event_add(trace, type);

	if (type != EV_FENCE) {
		ev->off = (uint64_t)((const char *)addr - trace->base);
		ev->len = len;
		if (ev->off > trace->size || len > trace->size - ev->off)
			fail("a store outside the medium");
	}
	ev->holder = holder;
	ev->data = SIZE_MAX;
	if (type == EV_STORE && src) {
		if (trace->bytes_cap - trace->nbytes < len) {
			trace->bytes_cap = (trace->bytes_cap + len) * 2;
			trace->bytes = realloc(trace->bytes, trace->bytes_cap);
			if (!trace->bytes)
				fail("no memory for a trace");
		}
		ev->data = trace->nbytes;
		memcpy(trace->bytes + trace->nbytes, src, len);
		trace->nbytes += len;
	}
	pthread_mutex_unlock(&trace->mutex);
}

static void observe(struct daxl_media *media, enum daxl_media_event event, const void *addr, const void *src,
                    size_t len, void *arg)
{
	struct trace *trace = arg;

	if (daxl_media_base(media) != trace->base)
		return;
	if (trace->tap)
		trace->tap(event, trace->tap_arg);
	record(trace, event == DAXL_MEDIA_EV_STORE ? EV_STORE : event == DAXL_MEDIA_EV_FLUSH ? EV_FLUSH : EV_FENCE, addr,
	       src, len, false);
}

void trace_start(struct trace *trace)
{
	daxl_media_observe(observe, trace);
}

void trace_stop(struct trace *trace)
{
	(void)trace;
	daxl_media_observe(NULL, NULL);
}

void trace_holder_store(struct trace *trace, void *dst, const void *src, size_t len)
{
	if (trace)
		record(trace, EV_STORE, dst, src, len, true);
	memcpy(dst, src, len);
}

struct accept *trace_accept(struct trace *trace, const char *what, struct state *a, struct state *b)
{
	struct state *states[] = { a, b };

	return trace_accept_all(trace, what, states, b ? 2 : 1);
}

struct accept *trace_accept_all(struct trace *trace, const char *what, struct state *const *states, unsigned n)
{
	static uint64_t serial;
	struct accept *accept = calloc(1, sizeof(*accept));

	if (!accept)
		fail("no memory for a trace");
	accept->serial = __atomic_add_fetch(&serial, 1, __ATOMIC_RELAXED);
	accept->n = n;
	memcpy(accept->states, states, n * sizeof(*states));
	snprintf(accept->what, sizeof(accept->what), "%s", what);
	pthread_mutex_lock(&trace->mutex);
	trace->accepts = realloc(trace->accepts, (trace->naccepts + 1) * sizeof(struct accept *));
	if (!trace->accepts)
		fail("no memory for a trace");
	trace->accepts[trace->naccepts++] = accept;
	event_add(trace, EV_ACCEPT)->accept = accept;
	pthread_mutex_unlock(&trace->mutex);
	return accept;
}
