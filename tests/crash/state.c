/* SPDX-License-Identifier: BSD-3-Clause */
/* States of the files: made by the model, read from a pool, compared. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crash.h"

#define NOT_ASKED UINT32_MAX
#define PIECE 4096u

_Static_assert(FILE_CAP / PIECE <= 64, "a bit for each piece");

static const char *differ(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static const char *differ(const char *fmt, ...)
{
	static _Thread_local char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return text;
}

/* Buffers of states that are gone, all zero. By thread: the killed process runs several. */
static _Thread_local uint8_t *spare[64];
static _Thread_local unsigned nspare;

void state_init(struct state *state)
{
	memset(state, 0, sizeof(*state));
	for (unsigned i = 0; i < NFILES; i++) {
		state->f[i].bytes = nspare ? spare[--nspare] : calloc(1, FILE_CAP);
		if (!state->f[i].bytes)
			fail("no memory for a state");
		state->f[i].nmaps = NOT_ASKED;
	}
}

void state_free(struct state *state)
{
	for (unsigned i = 0; i < NFILES; i++) {
		struct mfile *f = &state->f[i];

		memset(f->bytes, 0, f->size);
		free(f->maps);
		if (nspare < DAXL_ARRAY_LEN(spare))
			spare[nspare++] = f->bytes;
		else
			free(f->bytes);
	}
}

void state_drop(struct state *state)
{
	if (state) {
		state_free(state);
		free(state);
	}
}

void file_copy(struct mfile *to, const struct mfile *from)
{
	uint8_t *bytes = to->bytes;
	uint64_t had = to->size;

	free(to->maps);
	*to = *from;
	to->bytes = bytes;
	memcpy(bytes, from->bytes, from->size);
	if (had > from->size)
		memset(bytes + from->size, 0, had - from->size);
	to->maps = NULL;
	if (from->maps && from->nmaps != NOT_ASKED) {
		to->maps = malloc((from->nmaps + 1) * sizeof(*to->maps));
		if (!to->maps)
			fail("no memory for a map");
		memcpy(to->maps, from->maps, from->nmaps * sizeof(*to->maps));
	}
}

struct state *state_copy(const struct state *from)
{
	struct state *to = malloc(sizeof(*to));

	if (!to)
		fail("no memory for a state");
	state_init(to);
	for (unsigned i = 0; i < NFILES; i++)
		file_copy(&to->f[i], &from->f[i]);
	return to;
}

void file_remove(struct mfile *f)
{
	file_resize(f, 0);
	free(f->maps);
	uint8_t *bytes = f->bytes;

	memset(f, 0, sizeof(*f));
	f->bytes = bytes;
	f->nmaps = NOT_ASKED;
}

void file_resize(struct mfile *f, uint64_t size)
{
	if (size > FILE_CAP)
		fail("the test makes a file of %llu bytes", (unsigned long long)size);
	if (size < f->size)
		memset(f->bytes + size, 0, f->size - size);
	f->size = size;
}

const char *name_of(const char *prefix, unsigned i, char buf[32])
{
	snprintf(buf, 32, "%s%c", prefix, (int)('a' + i));
	return buf;
}

void file_ask(struct daxl_pool *pool, const char *name, struct mfile *f, bool bytes)
{
	struct daxl_extent exts[128];
	struct daxl_file *file;
	struct daxl_stat st;
	ssize_t n;

	must(daxl_open(pool, name, O_RDONLY, &file));
	must(daxl_stat(file, &st));
	n = daxl_map(file, 0, DAXL_TO_END, exts, DAXL_ARRAY_LEN(exts));
	if (n < 0 || (size_t)n > DAXL_ARRAY_LEN(exts))
		fail("the map of '%s' has %zd extents", name, n);
	f->id = st.id;
	f->generation = st.generation;
	f->blocks = st.blocks;
	f->runs = st.runs;
	f->times[0] = st.btime_ns;
	f->times[1] = st.mtime_ns;
	f->times[2] = st.ctime_ns;
	free(f->maps);
	f->nmaps = (uint32_t)n;
	f->maps = malloc(((size_t)n + 1) * sizeof(*f->maps));
	if (!f->maps)
		fail("no memory for a map");
	uint32_t k = 0;
	f->shared = 0;
	for (ssize_t i = 0; i < n; i++) {
		uint32_t flags = exts[i].flags & ~(uint32_t)DAXL_EXTENT_SHARED;
		struct mapping *last = k ? &f->maps[k - 1] : NULL;

		if (exts[i].flags & DAXL_EXTENT_SHARED)
			for (uint64_t at = exts[i].file_off; at < exts[i].file_off + exts[i].len; at += PIECE)
				f->shared |= UINT64_C(1) << at / PIECE % 64;
		/* What differs in SHARED alone is one piece. */
		if (last && last->flags == flags && last->pool_off != 0 && last->pool_off + last->len == exts[i].pool_off) {
			last->len += exts[i].len;
			continue;
		}
		f->maps[k++] = (struct mapping){ exts[i].file_off, exts[i].pool_off, exts[i].len, flags };
	}
	f->nmaps = k;
	if (bytes) {
		uint64_t had = f->size;
		uint32_t attr = 0;

		if (st.size > FILE_CAP)
			fail("'%s' has %llu bytes, more than any file had", name, (unsigned long long)st.size);
		n = daxl_pread(file, f->bytes, FILE_CAP, 0);
		if (n < 0 || (uint64_t)n != st.size)
			fail("'%s': read %zd of %llu bytes", name, n, (unsigned long long)st.size);
		if (had > st.size)
			memset(f->bytes + st.size, 0, had - st.size);
		f->there = true;
		f->size = st.size;
		n = daxl_getattr(file, ATTR_KEY, &attr, sizeof(attr));
		if (n != -ENODATA && n != sizeof(attr))
			fail("'%s': attribute of %zd bytes", name, n);
		f->attr = n < 0 ? 0 : attr;
	}
	must(daxl_close(file));
}

struct listing {
	const char *prefix;
	bool there[NFILES];
};

static int list_one(const char *name, uint64_t id, void *arg)
{
	struct listing *l = arg;
	size_t len = strlen(l->prefix);

	(void)id;
	if (strncmp(name, l->prefix, len) != 0)
		return 0;
	unsigned i = (unsigned)(name[len] - 'a');

	if (i >= NFILES || name[len + 1] || l->there[i])
		fail("there is a file '%s'", name);
	l->there[i] = true;
	return 0;
}

void state_read(struct daxl_pool *pool, const char *prefix, struct state *state)
{
	struct listing l = { .prefix = prefix };
	char name[32];

	must(daxl_list(pool, list_one, &l));
	for (unsigned i = 0; i < NFILES; i++) {
		if (l.there[i])
			file_ask(pool, name_of(prefix, i, name), &state->f[i], true);
		else
			file_remove(&state->f[i]);
	}
}

static const char *map_text(const struct mfile *f, char *buf, size_t size)
{
	size_t len = 0;

	buf[0] = '\0';
	for (uint32_t i = 0; i < f->nmaps && len < size; i++)
		len += (size_t)snprintf(buf + len, size - len, " %llu+%llu@%llu/%u", (unsigned long long)f->maps[i].off,
		                        (unsigned long long)f->maps[i].len, (unsigned long long)f->maps[i].pool_off,
		                        f->maps[i].flags);
	return buf;
}

const char *file_layout_differs(const struct mfile *want, const struct mfile *is)
{
	char a[200], b[200];

	if (want->there != is->there)
		return is->there ? "it is there" : "it is missing";
	if (!want->there)
		return NULL;
	if (want->size != is->size)
		return differ("size %llu, not %llu", (unsigned long long)is->size, (unsigned long long)want->size);
	if (want->attr != is->attr)
		return differ("attribute %u, not %u", is->attr, want->attr);
	if (want->nmaps == NOT_ASKED || is->nmaps == NOT_ASKED)
		return NULL;
	if (want->id != is->id || want->generation != is->generation)
		return differ("id %llu generation %llu, not %llu and %llu", (unsigned long long)is->id,
		              (unsigned long long)is->generation, (unsigned long long)want->id,
		              (unsigned long long)want->generation);
	for (uint32_t i = 0; i < want->nmaps || i < is->nmaps; i++) {
		const struct mapping *w = &want->maps[i], *m = &is->maps[i];

		if (want->nmaps != is->nmaps || w->off != m->off || w->pool_off != m->pool_off || w->len != m->len ||
		    w->flags != m->flags)
			return differ("map%s, not%s", map_text(is, a, sizeof(a)), map_text(want, b, sizeof(b)));
	}
	if (want->blocks != is->blocks || want->runs != is->runs)
		return differ("%llu blocks in %llu runs, not %llu in %llu", (unsigned long long)is->blocks,
		              (unsigned long long)is->runs, (unsigned long long)want->blocks,
		              (unsigned long long)want->runs);
	for (unsigned i = 0; i < 3; i++)
		if (want->times[i] != is->times[i])
			return differ("time %u (birth, modification, change) is %llu, not %llu", i,
			              (unsigned long long)is->times[i], (unsigned long long)want->times[i]);
	return NULL;
}

const char *state_layout_differs(const struct state *want, const struct state *is)
{
	for (unsigned i = 0; i < NFILES; i++) {
		const char *text = file_layout_differs(&want->f[i], &is->f[i]);
		char copy[460];

		if (!text)
			continue;
		snprintf(copy, sizeof(copy), "%s", text);
		return differ("file %c: %s", (int)('a' + i), copy);
	}
	return NULL;
}

/* Where [off, off + 8) of the file lies, if it is written there and nobody else's; else 0. */
static uint64_t place_of(const struct mfile *f, uint64_t off)
{
	if (f->nmaps == NOT_ASKED)
		return 0;
	for (uint32_t i = 0; i < f->nmaps; i++)
		if (off >= f->maps[i].off && off - f->maps[i].off < f->maps[i].len)
			return f->maps[i].flags ? 0 : f->maps[i].pool_off + (off - f->maps[i].off);
	return 0;
}

static bool is_shared(const struct mfile *f, uint64_t off)
{
	return f->shared >> off / PIECE & 1;
}

/*
 * Whether the word at off, of which len bytes are in the file, may be other's. Which of want and other came first does not
 * matter: a byte in place belongs to both, so lies below both sizes.
 */
static bool may_be_other(const struct mfile *want, const struct mfile *other, const struct mfile *is, uint64_t off,
                         uint64_t len, bool anywhere)
{
	uint64_t common = daxl_min_u64(want->size, other->size), place;

	if (!other->there || off >= common)
		return false;
	uint64_t n = daxl_min_u64(len, common - off);

	if (memcmp(is->bytes + off, other->bytes + off, n) != 0 ||
	    memcmp(is->bytes + off + n, want->bytes + off + n, len - n) != 0)
		return false;
	if (anywhere)
		return true;
	place = place_of(want, off);
	return place && place == place_of(other, off) && !(is_shared(want, off) && is_shared(other, off));
}

const char *state_bytes_differ(const struct state *want, const struct state *other, const struct state *is, bool anywhere)
{
	for (unsigned i = 0; i < NFILES; i++) {
		const struct mfile *w = &want->f[i], *m = &is->f[i];

		if (!w->there || memcmp(w->bytes, m->bytes, w->size) == 0)
			continue;
		for (uint64_t off = 0; off < w->size; off += 8) {
			uint64_t len = daxl_min_u64(8, w->size - off);

			if (memcmp(w->bytes + off, m->bytes + off, len) == 0)
				continue;
			if (other && may_be_other(w, &other->f[i], m, off, len, anywhere))
				continue;
			return differ("file %c: at byte %llu (size %llu) %02x%02x%02x%02x%02x%02x%02x%02x, not "
			              "%02x%02x%02x%02x%02x%02x%02x%02x%s",
			              (int)('a' + i), (unsigned long long)off, (unsigned long long)w->size, m->bytes[off],
			              m->bytes[off + 1], m->bytes[off + 2], m->bytes[off + 3], m->bytes[off + 4],
			              m->bytes[off + 5], m->bytes[off + 6], m->bytes[off + 7], w->bytes[off],
			              w->bytes[off + 1], w->bytes[off + 2], w->bytes[off + 3], w->bytes[off + 4],
			              w->bytes[off + 5], w->bytes[off + 6], w->bytes[off + 7],
			              other ? " (nor the other's, in place)" : "");
		}
	}
	return NULL;
}
