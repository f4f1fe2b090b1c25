/* SPDX-License-Identifier: BSD-3-Clause */
/* One sentence per thread about the last failure: what and where. */
#ifndef DAXL_BASE_ERROR_H
#define DAXL_BASE_ERROR_H

#include "base/compiler.h"

/*
 * daxl_fail(err, fmt, ...) records the sentence for this thread and gives -err. err is positive. errno is kept. A macro,
 * so that compilers see that the result is negative and what a failed call did not write is not used.
 */
#define daxl_fail(err, ...)                                                                                            \
	__extension__({                                                                                                \
		int daxl_fail_err = (err);                                                                             \
		daxl_error_record(daxl_fail_err, __VA_ARGS__);                                                         \
		if (daxl_fail_err <= 0)                                                                                \
			__builtin_unreachable();                                                                       \
		-daxl_fail_err;                                                                                        \
	})

void daxl_error_record(int err, const char *fmt, ...) DAXL_PRINTF(2, 3) DAXL_COLD;

/* The thread's last sentence; "" before the first failure. Never NULL. */
const char *daxl_error_last(void);

/* Ends a public call with -EINVAL if an argument that it needs is NULL. */
#define DAXL_NEED(arg)                                                                                                 \
	do {                                                                                                           \
		if (!(arg))                                                                                            \
			return daxl_fail(EINVAL, "%s: %s is NULL", __func__, #arg);                                    \
	} while (0)
/* The same for an array that may be NULL if its length is 0. */
#define DAXL_NEED_ARRAY(arg, len)                                                                                      \
	do {                                                                                                           \
		if (!(arg) && (len))                                                                                   \
			return daxl_fail(EINVAL, "%s: %s is NULL and %s is not 0", __func__, #arg, #len);              \
	} while (0)

#endif
