/* SPDX-License-Identifier: BSD-3-Clause */
/* What every run of the model begins with: the operations to choose from, and a model with room for its files. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model.h"

#define MAX_OPS 64u

struct model model;

static const struct op *ops[MAX_OPS];
static bool left_out[MAX_OPS];
static unsigned nops;

static void collect(const struct op *list)
{
	for (; list->name; list++)
		ops[nops++] = list;
}

void ops_collect(void)
{
	nops = 0;
	collect(data_ops);
	collect(range_ops);
	collect(two_ops);
	collect(name_ops);
	collect(lease_ops);
	collect(pool_ops);
}

const struct op *op_number(unsigned i)
{
	return i < nops ? ops[i] : NULL;
}

void ops_leave_out(const char *names)
{
	for (unsigned i = 0; i < nops; i++) {
		size_t len = strlen(ops[i]->name);

		for (const char *at = names; (at = strstr(at, ops[i]->name)) != NULL; at += len)
			if ((at == names || at[-1] == ',') && (at[len] == 0 || at[len] == ','))
				left_out[i] = true;
	}
}

const struct op *any_op(void)
{
	unsigned total = 0;

	for (unsigned i = 0; i < nops; i++)
		total += left_out[i] ? 0 : ops[i]->weight;
	uint64_t x = rnd(total);
	for (unsigned i = 0;; i++) {
		if (left_out[i])
			continue;
		if (x < ops[i]->weight)
			return ops[i];
		x -= ops[i]->weight;
	}
}

static void make_names(void)
{
	model.nnames = 2 * model.nfiles;
	for (unsigned i = 0; i < model.nnames; i++) {
		(void)snprintf(model.name[i], sizeof(model.name[i]), "f%u", i);
		if (i % 4 == 3) { /* as long as can be, with bytes that mean nothing here */
			memset(model.name[i], '/', DAXL_NAME_MAX);
			model.name[i][0] = (char)('a' + i);
			model.name[i][1] = '\n';
			model.name[i][2] = (char)0xff;
		}
	}
}

const char *usual_dir(void)
{
	return access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
}

void set_up(const char *dir)
{
	uint64_t blocks = model.block <= 4096 ? 96 : model.block <= 65536 ? 24 : 4;

	if (model.pool_size == 0)
		model.pool_size = model.block <= 65536 ? UINT64_C(64) << 20 : UINT64_C(256) << 20;
	model.maxlen = model.maxlen >= 4 * model.block ? block_up(model.maxlen) : blocks * model.block;
	model.room = 4 * model.maxlen + 16 * model.block;
	model.start_size = model.pool_size;
	model.max_size = (uint64_t)INT64_MAX & ~(model.block - 1);
	model.rng = model.seed;
	model.io = calloc(1, model.room);
	model.io2 = calloc(1, model.room);
	if (!model.io || !model.io2)
		fail("no memory");
	for (int i = 0; i < 2; i++)
		(void)snprintf(model.path[i], sizeof(model.path[i]), "%s/daxl-model.%d.%d", dir, (int)getpid(), i);
	make_names();
}

void clean_up(void)
{
	free(model.io);
	free(model.io2);
	model.io = model.io2 = NULL;
}
