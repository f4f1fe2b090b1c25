/* SPDX-License-Identifier: BSD-3-Clause */
/* libpmemobj as a peer: a list of 4 KiB pieces of data, each added in a transaction of its own. Optional. */
#include "peers.h"

#ifdef BENCH_PMEMOBJ

#include <libpmemobj.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ops.h"

#define POOL_BYTES ((size_t)64 << 20)

struct piece {
	PMEMoid next;
	char data[BENCH_BLOCK];
};

struct root {
	PMEMoid head;
};

static PMEMobjpool *pop;
static struct root *root;

const char *peer_pmemobj_missing(const void *arg)
{
	char path[64];

	(void)arg;
	if (pop)
		return NULL;
	setenv("PMEM_IS_PMEM_FORCE", "1", 1); /* flush cache lines; a tmpfs file would be flushed with msync */
	snprintf(path, sizeof(path), BENCH_DIR "/daxl_bench.pmemobj.%ld", (long)getpid());
	pop = pmemobj_create(path, "bench", POOL_BYTES, 0600);
	unlink(path);
	if (!pop)
		return "pmemobj: no pool in " BENCH_DIR;
	root = pmemobj_direct(pmemobj_root(pop, sizeof(*root)));
	return NULL;
}

static void add(void)
{
	if (pmemobj_tx_begin(pop, NULL, TX_PARAM_NONE) == 0) {
		PMEMoid oid = pmemobj_tx_alloc(sizeof(struct piece), 0);

		if (!OID_IS_NULL(oid)) {
			struct piece *piece = pmemobj_direct(oid);

			pmemobj_memcpy_persist(pop, piece->data, op_data(), BENCH_BLOCK);
			piece->next = root->head;
			pmemobj_tx_add_range_direct(&root->head, sizeof(root->head));
			root->head = oid;
		}
		pmemobj_tx_commit();
	}
	if (pmemobj_tx_end() != 0)
		bench_die("a transaction of libpmemobj");
}

void peer_pmemobj_append(unsigned ops, const void *arg)
{
	(void)arg;
	bench_start();
	for (unsigned i = 0; i < ops; i++)
		add();
	bench_stop();
	while (!OID_IS_NULL(root->head)) {
		struct piece *piece = pmemobj_direct(root->head);
		PMEMoid oid = root->head;

		root->head = piece->next;
		pmemobj_persist(pop, &root->head, sizeof(root->head));
		pmemobj_free(&oid);
	}
}

#else

const char *peer_pmemobj_missing(const void *arg)
{
	(void)arg;
	return "libpmemobj was not found when this was built";
}

void peer_pmemobj_append(unsigned ops, const void *arg)
{
	(void)ops;
	(void)arg;
}

#endif
