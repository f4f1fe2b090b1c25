/* SPDX-License-Identifier: BSD-3-Clause */
/* Packed attributes: found, changed by making a new object, and checked when they come from the medium. */
#include "file/attrs.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/hook.h"

#define ATTR_HEAD ((size_t)4)

struct attr {
	const uint8_t *key, *value;
	size_t key_len, len, bytes; /* bytes: of the whole entry */
};

/* The entry at byte at; false when the bytes end inside it or it is none. */
static bool attr_at(const uint8_t *bytes, size_t len, size_t at, struct attr *ret)
{
	if (len - at < ATTR_HEAD)
		return false;
	ret->key_len = bytes[at];
	ret->len = (size_t)bytes[at + 2] | (size_t)bytes[at + 3] << 8;
	ret->bytes = ATTR_HEAD + ret->key_len + ret->len;
	ret->key = bytes + at + ATTR_HEAD;
	ret->value = ret->key + ret->key_len;
	return ret->key_len != 0 && bytes[at + 1] == 0 && ret->bytes <= len - at;
}

/* Where key's entry starts among bytes that are valid up to len; len when there is none. */
static size_t find(const uint8_t *bytes, size_t len, const void *key, size_t key_len, struct attr *ret)
{
	size_t at = 0;

	while (at < len && attr_at(bytes, len, at, ret)) {
		if (ret->key_len == key_len && memcmp(ret->key, key, key_len) == 0)
			return at;
		at += ret->bytes;
	}
	return len;
}

bool daxl_attrs_valid(const uint8_t *bytes, size_t len)
{
	struct attr attr, same;

	if (len > DAXL_ATTR_SPACE_MAX)
		return false;
	for (size_t at = 0; at < len; at += attr.bytes)
		if (!attr_at(bytes, len, at, &attr) || find(bytes, at, attr.key, attr.key_len, &same) != at)
			return false;
	return true;
}

int daxl_attrs_new(const uint8_t *bytes, size_t len, struct daxl_attrs **ret_attrs)
{
	struct daxl_attrs *attrs = NULL;

	assert(len <= DAXL_ATTR_SPACE_MAX);
	if (len) {
		attrs = daxl_alloc(sizeof(*attrs) + len);
		if (!attrs)
			return daxl_fail(ENOMEM, "no memory for %zu bytes of attributes", len);
		attrs->len = (uint16_t)len;
		memcpy(attrs->bytes, bytes, len);
	}
	*ret_attrs = attrs;
	return 0;
}

bool daxl_attrs_find(const struct daxl_attrs *attrs, const void *key, size_t key_len, const void **ret_value,
                     size_t *ret_len)
{
	struct attr attr;

	if (!attrs || find(attrs->bytes, attrs->len, key, key_len, &attr) == attrs->len)
		return false;
	*ret_value = attr.value;
	*ret_len = attr.len;
	return true;
}

int daxl_attrs_with(const struct daxl_attrs *attrs, const void *key, size_t key_len, const void *value, size_t len,
                    struct daxl_attrs **ret_attrs)
{
	uint8_t bytes[DAXL_ATTR_SPACE_MAX] = {0};
	size_t have = attrs ? attrs->len : 0;
	struct attr old;

	assert(key_len >= 1 && key_len <= DAXL_ATTR_KEY_MAX);
	if (have)
		memcpy(bytes, attrs->bytes, have);
	size_t at = find(bytes, have, key, key_len, &old);
	if (at < have) {
		have -= old.bytes;
		memmove(bytes + at, bytes + at + old.bytes, have - at);
	}
	if (value) {
		if (len > sizeof(bytes) || ATTR_HEAD + key_len + len > sizeof(bytes) - have)
			return daxl_fail(ENOSPC, "attribute '%.*s': with its %zu bytes the file's attributes exceed %u",
			                 (int)key_len, (const char *)key, len, DAXL_ATTR_SPACE_MAX);
		const uint8_t head[ATTR_HEAD] = {(uint8_t)key_len, 0, (uint8_t)len, (uint8_t)(len >> 8)};
		memcpy(bytes + have, head, sizeof(head));
		memcpy(bytes + have + ATTR_HEAD, key, key_len);
		if (len)
			memcpy(bytes + have + ATTR_HEAD + key_len, value, len);
		have += ATTR_HEAD + key_len + len;
	}
	return daxl_attrs_new(bytes, have, ret_attrs);
}
