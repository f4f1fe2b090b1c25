/* SPDX-License-Identifier: BSD-3-Clause */
/* Goes through a trace and builds the images. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crash.h"

#define LONG_STORE 512u /* bytes: longer ones leak by cache lines, not by words */
#define PAGE 4096u

struct totals totals;

static struct hashes verified; /* images together with what was acceptable */
static struct sim *innermost;

static uint64_t mix(uint64_t word, uint64_t value)
{
	uint64_t z = word * UINT64_C(0x9e3779b97f4a7c15) ^ value;

	if (!value)
		return 0;
	z = (z ^ z >> 32) * UINT64_C(0xd6e8feb86659fd93);
	z = (z ^ z >> 32) * UINT64_C(0xd6e8feb86659fd93);
	return z ^ z >> 32;
}

static uint64_t word_at(const uint8_t *image, uint64_t word)
{
	uint64_t value;

	memcpy(&value, image + word * 8, 8);
	return value;
}

static void word_set(uint8_t *image, uint64_t word, uint64_t value)
{
	memcpy(image + word * 8, &value, 8);
}

void sim_say_where(void)
{
	for (const struct sim *sim = innermost; sim; sim = sim->outer)
		fprintf(stderr, "  %s at event %zu, '%s': %zu words pending, durable of them: %s\n",
		        sim->depth ? "crash in its recovery" : "crash", sim->at, sim->accept ? sim->accept->what : "?",
		        sim->npend, sim->subset);
	if (innermost && getenv("DAXL_CRASH_DUMP")) {
		FILE *out = fopen(getenv("DAXL_CRASH_DUMP"), "w");

		if (out) {
			fwrite(innermost->work, 1, innermost->size, out);
			fclose(out);
		}
	}
}

void sim_init(struct sim *sim, const void *durable, uint64_t size, const char *prefix, uint64_t *rng,
              const struct budget *budget)
{
	memset(sim, 0, sizeof(*sim));
	sim->size = size;
	sim->durable = xalloc(size);
	sim->cache = xalloc(size);
	sim->work = xalloc(size);
	sim->dirty = calloc(1, size / PAGE);
	sim->stamps = calloc(size / 8, sizeof(uint32_t));
	if (!sim->dirty || !sim->stamps)
		fail("no memory for images");
	memcpy(sim->durable, durable, size);
	memcpy(sim->cache, durable, size);
	memcpy(sim->work, durable, size);
	for (uint64_t w = 0; w < size / 8; w++)
		sim->hash ^= mix(w, word_at(sim->durable, w));
	sim->prefix = prefix;
	sim->rng = rng;
	sim->budget = budget;
	sim->subset = "all";
}

void sim_fini(struct sim *sim)
{
	free(sim->durable);
	free(sim->cache);
	free(sim->work);
	free(sim->dirty);
	free(sim->stamps);
	free(sim->pend);
}

static void store(struct sim *sim, uint64_t off, const uint8_t *bytes, uint64_t len, bool holder)
{
	uint64_t end = off + len;
	uint64_t line = UINT64_MAX;

	for (uint64_t at = off; at < end;) {
		uint64_t word = at / 8, next = daxl_min_u64((word + 1) * 8, end);
		uint64_t value = word_at(sim->cache, word), was = value;

		if (bytes)
			memcpy((uint8_t *)&value + at % 8, bytes + (at - off), next - at);
		else
			memset((uint8_t *)&value + at % 8, 0, next - at);
		at = next;
		if (value == was)
			continue;
		word_set(sim->cache, word, value);
		if (len <= LONG_STORE || word / 8 != line)
			sim->next_unit++;
		line = word / 8;
		if (sim->npend == sim->pend_cap) {
			sim->pend_cap = sim->pend_cap ? sim->pend_cap * 2 : 1024;
			sim->pend = realloc(sim->pend, sim->pend_cap * sizeof(*sim->pend));
			if (!sim->pend)
				fail("no memory for pending words");
		}
		sim->pend[sim->npend++] = (struct pend){ .word = word, .value = value, .unit = sim->next_unit,
			                                   .holder = holder };
	}
}

static void flush(struct sim *sim, uint64_t off, uint64_t len, uint32_t thread)
{
	for (size_t i = 0; i < sim->npend; i++)
		if (sim->pend[i].word >= off / 8 && sim->pend[i].word <= (off + len - 1) / 8)
			sim->pend[i].flushed |= UINT64_C(1) << (thread & 63);
}

/* What the thread has flushed is durable; what was stored to the same words before is gone. */
static void settle(struct sim *sim, uint32_t thread)
{
	size_t kept = sim->npend;

	sim->stamp++;
	for (size_t i = sim->npend; i-- > 0;) {
		struct pend p = sim->pend[i];

		if (sim->stamps[p.word] == sim->stamp)
			continue;
		if (!(p.flushed & UINT64_C(1) << (thread & 63))) {
			sim->pend[--kept] = p;
			continue;
		}
		sim->stamps[p.word] = sim->stamp;
		sim->hash ^= mix(p.word, word_at(sim->durable, p.word)) ^ mix(p.word, p.value);
		word_set(sim->durable, p.word, p.value);
		word_set(sim->work, p.word, p.value);
	}
	if (sim->npend > kept)
		memmove(sim->pend, sim->pend + kept, (sim->npend - kept) * sizeof(*sim->pend));
	sim->npend -= kept;
}

/* Looks at one image: durable, and the pending words chosen. */
static void look(struct sim *sim, const bool *chosen, const char *subset)
{
	uint64_t hash = sim->hash;
	struct sim *outer = innermost;

	for (size_t i = 0; i < sim->npend; i++) {
		const struct pend *p = &sim->pend[i];

		if (chosen && !chosen[i])
			continue;
		hash ^= mix(p->word, word_at(sim->work, p->word)) ^ mix(p->word, p->value);
		word_set(sim->work, p->word, p->value);
		sim->dirty[p->word * 8 / PAGE] = 1;
	}
	hashes_add(&totals.seen, hash);
	if (hashes_add(&verified, hash ^ mix(sim->accept->serial, ~UINT64_C(0)))) {
		totals.images++;
		totals.again += sim->depth;
		sim->subset = subset;
		sim->outer = outer;
		innermost = sim;
		verify_image(sim);
		innermost = outer;
	}
	for (uint64_t page = 0; page < sim->size / PAGE; page++)
		if (sim->dirty[page])
			memcpy(sim->work + page * PAGE, sim->durable + page * PAGE, PAGE);
	memset(sim->dirty, 0, sim->size / PAGE);
}

static void look_all(struct sim *sim, bool *chosen)
{
	for (uint64_t mask = 0; mask < UINT64_C(1) << sim->npend; mask++) {
		char text[32];

		for (size_t i = 0; i < sim->npend; i++)
			chosen[i] = mask >> i & 1;
		snprintf(text, sizeof(text), "mask %" PRIx64, mask);
		look(sim, chosen, text);
	}
}

/* One unit set to value, the others to !value: every unit, or as many as the budget has. */
static void look_singles(struct sim *sim, bool *chosen, const uint32_t *units, size_t nunits, bool value)
{
	size_t tries = daxl_min_u64(nunits, sim->budget->singles);

	for (size_t k = 0; k < tries; k++) {
		uint32_t unit = units[tries == nunits ? k : rnd_below(sim->rng, nunits)];
		char text[32];

		for (size_t i = 0; i < sim->npend; i++)
			chosen[i] = (sim->pend[i].unit == unit) == value;
		snprintf(text, sizeof(text), "%s unit %u", value ? "only" : "all but", unit);
		look(sim, chosen, text);
	}
}

static void look_random(struct sim *sim, bool *chosen)
{
	for (unsigned k = 0; k < sim->budget->others; k++) {
		bool words = rnd(sim->rng) & 1;
		uint64_t odds = UINT64_C(1) + rnd_below(sim->rng, 15), salt = rnd(sim->rng);

		/* Also prefixes of the stores, and suffixes: what a reordering of two halves leaves. */
		unsigned kind = (unsigned)rnd_below(sim->rng, 4);
		size_t cut = rnd_below(sim->rng, sim->npend + 1);

		for (size_t i = 0; i < sim->npend; i++) {
			uint64_t z = salt + (words ? i : sim->pend[i].unit);

			chosen[i] = kind == 0 ? i < cut : kind == 1 ? i >= cut : rnd(&z) % 16 < odds;
		}
		look(sim, chosen, kind == 0 ? "a first part" : kind == 1 ? "a last part" : words ? "random words" : "random units");
	}
}

/* All images that a crash now may leave, or a sample of them. */
static void look_around(struct sim *sim)
{
	size_t nunits = 0;

	if (!sim->accept)
		return;
	if (sim->npend == 0) {
		look(sim, NULL, "none");
		return;
	}
	bool *chosen = calloc(sim->npend, sizeof(*chosen));
	uint32_t *units = calloc(sim->npend, sizeof(*units));

	if (!chosen || !units)
		fail("no memory for a subset");
	if (sim->npend <= sim->budget->exhaustive) {
		look_all(sim, chosen);
	} else {
		for (size_t i = 0; i < sim->npend; i++)
			if (i == 0 || sim->pend[i].unit != sim->pend[i - 1].unit)
				units[nunits++] = sim->pend[i].unit;
		look(sim, chosen, "none");
		look(sim, NULL, "all");
		look_singles(sim, chosen, units, nunits, true);
		look_singles(sim, chosen, units, nunits, false);
		look_random(sim, chosen);
	}
	free(chosen);
	free(units);
}

size_t sim_unsettled(const struct sim *sim)
{
	size_t n = 0;

	for (size_t i = 0; i < sim->npend; i++)
		n += !sim->pend[i].holder;
	return n;
}

void sim_run(struct sim *sim, const struct trace *trace, struct accept *initial)
{
	sim->accept = initial;
	for (sim->at = 0; sim->at < trace->nevents; sim->at++) {
		const struct event *ev = &trace->events[sim->at];

		switch (ev->type) {
		case EV_STORE:
			store(sim, ev->off, ev->data == SIZE_MAX ? NULL : trace->bytes + ev->data, ev->len,
			      ev->holder);
			break;
		case EV_FLUSH:
			flush(sim, ev->off, ev->len, ev->thread);
			if (sim->page) {
				look_around(sim);
				settle(sim, ev->thread);
			}
			break;
		case EV_FENCE:
			if (!sim->page) {
				look_around(sim);
				settle(sim, ev->thread);
			}
			break;
		case EV_ACCEPT:
			sim->accept = ev->accept;
			if (ev->accept->n == 1)
				look_around(sim);
			break;
		}
	}
	look_around(sim);
}
