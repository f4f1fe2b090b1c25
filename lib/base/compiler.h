/* SPDX-License-Identifier: BSD-3-Clause */
/* What the compilers are told: hints, attributes, and which sanitizer watches. */
#ifndef DAXL_BASE_COMPILER_H
#define DAXL_BASE_COMPILER_H

#include <assert.h>
#include <stddef.h>

#define daxl_likely(x) __builtin_expect(!!(x), 1)
#define daxl_unlikely(x) __builtin_expect(!!(x), 0)
#define daxl_container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))
#define DAXL_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define DAXL_MUST_CHECK __attribute__((warn_unused_result))
#define DAXL_COLD __attribute__((cold)) /* what leads there is unlikely, and lies apart from the rest */
#define DAXL_INLINE static inline __attribute__((always_inline))
#define DAXL_CACHE_LINE 64
#define DAXL_CACHE_ALIGNED __attribute__((aligned(DAXL_CACHE_LINE)))
#define DAXL_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* DAXL_TSAN and DAXL_ASAN are 1 under ThreadSanitizer and AddressSanitizer, with either compiler. */
#if defined(__has_feature)
#define DAXL_HAS_FEATURE(feature) __has_feature(feature)
#else
#define DAXL_HAS_FEATURE(feature) 0
#endif
#if defined(__SANITIZE_THREAD__) || DAXL_HAS_FEATURE(thread_sanitizer)
#define DAXL_TSAN 1
#else
#define DAXL_TSAN 0
#endif
#if defined(__SANITIZE_ADDRESS__) || DAXL_HAS_FEATURE(address_sanitizer)
#define DAXL_ASAN 1
#else
#define DAXL_ASAN 0
#endif

/*
 * A full barrier between this thread's earlier stores and its later loads. ThreadSanitizer knows no fences
 * (and gcc says so), so there it is an atomic of its own.
 */
static inline void daxl_full_fence(void)
{
#if DAXL_TSAN
	unsigned word = 0;

	(void)__atomic_fetch_add(&word, 1, __ATOMIC_SEQ_CST);
#else
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

/* Orders this thread's earlier loads before its later loads and stores: for readers that check afterwards. */
static inline void daxl_load_fence(void)
{
#if DAXL_TSAN
	daxl_full_fence();
#else
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
#endif
}

/*
 * Internal functions that the unit tests call directly: the tests link the
 * static library, so hidden visibility is enough.
 */

#endif
