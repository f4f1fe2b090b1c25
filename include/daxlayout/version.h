/* SPDX-License-Identifier: BSD-3-Clause */
/* Which version of the library this is. Conventions: <daxlayout.h>. */
#ifndef DAXLAYOUT_VERSION_H
#define DAXLAYOUT_VERSION_H

#include <daxlayout/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The version these headers belong to. */
#define DAXL_VERSION_MAJOR 0
#define DAXL_VERSION_MINOR 1
#define DAXL_VERSION_PATCH 0

/* The same as one number, comparable with what daxl_version() gives. */
#define DAXL_VERSION (DAXL_VERSION_MAJOR << 16 | DAXL_VERSION_MINOR << 8 | DAXL_VERSION_PATCH)

/*
 * The version of the library that the program runs with, which may be newer than its headers:
 * major << 16 | minor << 8 | patch. Wait-free. Cannot fail.
 */
DAXL_API unsigned daxl_version(void);

#ifdef __cplusplus
}
#endif

#endif
