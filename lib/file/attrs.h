/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A file's small attributes, packed: for each a key length (1 byte, not 0), a zero byte, a value length (2 bytes), the
 * key and the value. The order is that of their setting. The same bytes stand in struct daxl_attrs and in the file's
 * record on the medium.
 */
#ifndef DAXL_FILE_ATTRS_H
#define DAXL_FILE_ATTRS_H

#include "file/file.h"

/*
 * Checks bytes from the medium: entries whole, keys unique, not more than DAXL_ATTR_SPACE_MAX. False: they are not
 * attributes.
 */
bool daxl_attrs_valid(const uint8_t *bytes, size_t len);
/* A new object with len packed bytes, NULL for none. -ENOMEM. */
int daxl_attrs_new(const uint8_t *bytes, size_t len, struct daxl_attrs **ret_attrs);
/* The value of key inside attrs (NULL: no attributes); false when there is none. */
bool daxl_attrs_find(const struct daxl_attrs *attrs, const void *key, size_t key_len, const void **ret_value,
                     size_t *ret_len);
/*
 * A new object: attrs with key set to value, or with value NULL without key (which may be absent). *ret_attrs is NULL
 * when none are left. -ENOSPC (more than DAXL_ATTR_SPACE_MAX), -ENOMEM.
 */
int daxl_attrs_with(const struct daxl_attrs *attrs, const void *key, size_t key_len, const void *value, size_t len,
                    struct daxl_attrs **ret_attrs);

#endif
