/* SPDX-License-Identifier: BSD-3-Clause */
/* CRC32C (Castagnoli), with the CPU's instruction where it has one. */
#ifndef DAXL_BASE_CRC32C_H
#define DAXL_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Continues crc (0 to start) over len bytes. Standard reflected CRC32C: crc32c(0, "123456789", 9) == 0xE3069283. */
uint32_t daxl_crc32c(uint32_t crc, const void *data, size_t len);

#ifdef DAXL_TEST_HOOKS
/* The same by table look-up, whatever the CPU has. */
uint32_t daxl_crc32c_portable(uint32_t crc, const void *data, size_t len);
#endif

#endif
