/* SPDX-License-Identifier: BSD-3-Clause */
/* The last failure in words. Conventions: <daxlayout.h>. */
#ifndef DAXLAYOUT_ERROR_H
#define DAXLAYOUT_ERROR_H

#include <daxlayout/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * What failed, and where, in the last call of this thread that returned an error: one sentence in English, for a log
 * or a person, such as "log record 81204 of file 'wal-3': length 0". Calls that succeed leave it as it is, so look at
 * it only after a failure.
 *
 * Never NULL; "" before this thread's first failure. The text belongs to the library and is valid until the thread's
 * next call into it. -ESTALE from daxl_lease_pin, which is an ordinary answer on a fast path, leaves no sentence.
 * Wait-free. Each thread has its own.
 */
DAXL_API const char *daxl_errormsg(void);

#ifdef __cplusplus
}
#endif

#endif
