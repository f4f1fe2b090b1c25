/* SPDX-License-Identifier: BSD-3-Clause */
/* Reading ahead, while a pool is loaded or checked: a system call for many pages instead of one for each. */
#ifndef DAXL_MEDIA_AHEAD_H
#define DAXL_MEDIA_AHEAD_H

#include <stddef.h>
#include <stdint.h>

/* Reads len bytes at byte off of a medium; 0 or a negative errno. */
typedef int (*daxl_ahead_fn)(void *medium, uint64_t off, void *buf, size_t len);

struct daxl_ahead;

/* For a medium of size bytes that nobody stores to meanwhile. NULL: no memory. */
struct daxl_ahead *daxl_ahead_new(daxl_ahead_fn read, void *medium, uint64_t size);
void daxl_ahead_free(struct daxl_ahead *ahead); /* or NULL */
/* As read would. One thread at a time. */
int daxl_ahead_read(struct daxl_ahead *ahead, uint64_t off, void *buf, size_t len);

#endif
