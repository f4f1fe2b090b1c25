/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A few streams, each with a window of the medium in memory. A read inside a window is a copy. A read a little past the
 * last one of a stream goes on with it: the stream's window moves there. Any other starts a stream in place of the one
 * begun longest ago, and reads just what was asked for: pages that lie about at random cost no more than without.
 *
 * A window that cannot be read whole (poison somewhere in it) is none: then the page alone is read.
 */
#include "media/ahead.h"

#include <string.h>

#include "base/hook.h"
#include "base/units.h"

#define STREAMS 4u /* first and second copies, of nodes and of the table */
#define WINDOW (64u << 10)

struct stream {
	uint64_t last;     /* where it was read last */
	uint64_t off, len; /* the window */
	unsigned char bytes[WINDOW];
};

struct daxl_ahead {
	daxl_ahead_fn read;
	void *medium;
	uint64_t size;
	unsigned oldest;
	struct stream stream[STREAMS];
};

struct daxl_ahead *daxl_ahead_new(daxl_ahead_fn read, void *medium, uint64_t size)
{
	struct daxl_ahead *ahead = daxl_alloc(sizeof(*ahead));

	if (!ahead)
		return NULL;
	ahead->read = read;
	ahead->medium = medium;
	ahead->size = size;
	ahead->oldest = 0;
	for (unsigned i = 0; i < STREAMS; i++) { /* the bytes are not touched before they are needed */
		ahead->stream[i].last = UINT64_MAX;
		ahead->stream[i].off = ahead->stream[i].len = 0;
	}
	return ahead;
}

void daxl_ahead_free(struct daxl_ahead *ahead)
{
	daxl_free(ahead);
}

static bool has(const struct stream *stream, uint64_t off, size_t len)
{
	return off >= stream->off && len <= stream->len && off - stream->off <= stream->len - len;
}

/* Moves the stream's window to off. */
static void fill(struct daxl_ahead *ahead, struct stream *stream, uint64_t off)
{
	stream->off = off;
	stream->len = daxl_min_u64(WINDOW, ahead->size - off);
	if (ahead->read(ahead->medium, off, stream->bytes, stream->len))
		stream->len = 0;
}

int daxl_ahead_read(struct daxl_ahead *ahead, uint64_t off, void *buf, size_t len)
{
	struct stream *stream = NULL;

	for (unsigned i = 0; i < STREAMS && !stream; i++)
		if (has(&ahead->stream[i], off, len))
			stream = &ahead->stream[i];
	for (unsigned i = 0; i < STREAMS && !stream; i++) {
		if (off < ahead->stream[i].last || off - ahead->stream[i].last > WINDOW || off >= ahead->size)
			continue;
		fill(ahead, &ahead->stream[i], off);
		stream = &ahead->stream[i];
	}
	if (!stream) {
		stream = &ahead->stream[ahead->oldest++ % STREAMS];
		stream->len = 0;
	}
	stream->last = off;
	if (!has(stream, off, len))
		return ahead->read(ahead->medium, off, buf, len);
	memcpy(buf, stream->bytes + (off - stream->off), len);
	return 0;
}
