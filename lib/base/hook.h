/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Test hooks and fault points. In a build with DAXL_TEST_HOOKS, DAXL_HOOK("name") calls the function a
 * test has installed (deterministic interleavings: park a thread at a named point) and DAXL_FAULT("name")
 * asks whether the n-th passage shall fail. In a release build both vanish.
 */
#ifndef DAXL_BASE_HOOK_H
#define DAXL_BASE_HOOK_H

#include <stdbool.h>
#include <stddef.h>

#ifdef DAXL_TEST_HOOKS
/* From one function to another go through NULL, while no other thread passes a point: fn and arg are two words. */
typedef void (*daxl_hook_fn)(const char *point, void *arg);
void daxl_hook_set(daxl_hook_fn fn, void *arg); /* NULL removes; seen by all threads */
void daxl_hook_run(const char *point);
typedef bool (*daxl_fault_fn)(const char *point, void *arg);
void daxl_fault_set(daxl_fault_fn fn, void *arg);
bool daxl_fault_run(const char *point);
#define DAXL_HOOK(point) daxl_hook_run(point)
#define DAXL_FAULT(point) daxl_fault_run(point)
#else
#define DAXL_HOOK(point) ((void)0)
#define DAXL_FAULT(point) (false)
#endif

/* Allocation, with a fault point in each: NULL is an ordinary outcome. */
void *daxl_alloc(size_t size);
void *daxl_zalloc(size_t size);
void *daxl_alloc_aligned(size_t align, size_t size); /* align: a power of two; freed with daxl_free */
void *daxl_realloc(void *ptr, size_t size);
void daxl_free(void *ptr);

#endif
