/* SPDX-License-Identifier: BSD-3-Clause */
/* Which fault points stand for memory: where they fail, -ENOMEM is the only error. */
#ifndef DAXL_TESTS_UNIT_FAULTS_H
#define DAXL_TESTS_UNIT_FAULTS_H

#include <stdbool.h>
#include <string.h>

static inline bool fault_is_memory(const char *point)
{
	return strcmp(point, "alloc") == 0 || strcmp(point, "slab-alloc") == 0 || strcmp(point, "space.ref") == 0 ||
	       strncmp(point, "arena.", 6) == 0;
}

#endif
