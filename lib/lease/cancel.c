/* SPDX-License-Identifier: BSD-3-Clause */
/* Cancel objects: once fired, every wait that names it ends, and later ones do not begin. */
#include <errno.h>

#include "lease/impl.h"

struct daxl_cancel {
	uint64_t key;
	bool fired; /* atomic */
};

int daxl_cancel_create(struct daxl_cancel **ret_cancel)
{
	struct daxl_cancel *cancel = daxl_zalloc(sizeof(*cancel));

	if (!cancel)
		return daxl_fail(ENOMEM, "no memory for a cancel object");
	cancel->key = daxl_key_new();
	*ret_cancel = cancel;
	return 0;
}

void daxl_cancel_fire(struct daxl_cancel *cancel)
{
	uint64_t key = cancel->key;

	__atomic_store_n(&cancel->fired, true, __ATOMIC_SEQ_CST);
	daxl_wake_key(key);
}

void daxl_cancel_destroy(struct daxl_cancel *cancel)
{
	daxl_free(cancel);
}

bool daxl_cancel_fired(const struct daxl_cancel *cancel)
{
	return __atomic_load_n(&cancel->fired, __ATOMIC_SEQ_CST);
}

uint64_t daxl_cancel_key(const struct daxl_cancel *cancel)
{
	return cancel->key;
}
