/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/hook.h"

#include <stdlib.h>

#ifdef DAXL_TEST_HOOKS

static daxl_hook_fn hook_fn;
static void *hook_arg;
static daxl_fault_fn fault_fn;
static void *fault_arg;

void daxl_hook_set(daxl_hook_fn fn, void *arg)
{
	__atomic_store_n(&hook_arg, arg, __ATOMIC_RELAXED);
	__atomic_store_n(&hook_fn, fn, __ATOMIC_RELEASE);
}

void daxl_hook_run(const char *point)
{
	daxl_hook_fn fn = __atomic_load_n(&hook_fn, __ATOMIC_ACQUIRE);

	if (fn)
		fn(point, __atomic_load_n(&hook_arg, __ATOMIC_RELAXED));
}

void daxl_fault_set(daxl_fault_fn fn, void *arg)
{
	__atomic_store_n(&fault_arg, arg, __ATOMIC_RELAXED);
	__atomic_store_n(&fault_fn, fn, __ATOMIC_RELEASE);
}

bool daxl_fault_run(const char *point)
{
	daxl_fault_fn fn = __atomic_load_n(&fault_fn, __ATOMIC_ACQUIRE);

	return fn && fn(point, __atomic_load_n(&fault_arg, __ATOMIC_RELAXED));
}

#endif

void *daxl_alloc(size_t size)
{
	return DAXL_FAULT("alloc") ? NULL : malloc(size);
}

void *daxl_zalloc(size_t size)
{
	return DAXL_FAULT("alloc") ? NULL : calloc(1, size);
}

void *daxl_realloc(void *ptr, size_t size)
{
	return DAXL_FAULT("alloc") ? NULL : realloc(ptr, size);
}

void daxl_free(void *ptr)
{
	free(ptr);
}

void *daxl_alloc_aligned(size_t align, size_t size)
{
	return DAXL_FAULT("alloc") ? NULL : aligned_alloc(align, (size + align - 1) / align * align);
}
