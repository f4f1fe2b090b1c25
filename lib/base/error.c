/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

/* Long enough for a path and what is wrong with it; longer sentences are cut. */
#define MESSAGE_MAX 1024

/* Apart from the other variables of threads: a program that loads the library while it runs has little room for those. */
static _Thread_local char message[MESSAGE_MAX] __attribute__((tls_model("global-dynamic")));

void daxl_error_record(int err, const char *fmt, ...)
{
	/* Formatted aside: an argument may be the sentence before. */
	char next[MESSAGE_MAX];
	int saved = errno;
	va_list ap;

	assert(err > 0);
	(void)err;
	va_start(ap, fmt);
	if (vsnprintf(next, sizeof(next), fmt, ap) < 0)
		next[0] = '\0';
	va_end(ap);
	__builtin_memcpy(message, next, sizeof(message));
	errno = saved;
}

const char *daxl_error_last(void)
{
	return message;
}
