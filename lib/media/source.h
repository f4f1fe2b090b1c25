/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where a medium's bytes come from: an ordinary file or a device DAX node, opened, claimed for this process and locked
 * against others. Mapping it is media.c's part.
 */
#ifndef DAXL_MEDIA_SOURCE_H
#define DAXL_MEDIA_SOURCE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct daxl_source {
	int fd;
	bool device;
	bool created; /* the file was not there before */
	bool filled;  /* DAXL_MEDIA_CREATE gave the file its size */
	dev_t dev;    /* identity: of the file, or of the device itself with ino 0 */
	ino_t ino;
	uint64_t size;                    /* bytes; 0 for a device: libpmem2 knows */
	struct daxl_source *next_claimed; /* guarded by the claims mutex of source.c */
};

/*
 * Opens and locks path as daxl_media_open says; with DAXL_MEDIA_CREATE an ordinary file gets create_size bytes. Errors
 * as there. The source must stay where it is until it is closed.
 */
int daxl_source_open(const char *path, unsigned flags, uint64_t create_size, unsigned mode, struct daxl_source *source);

/* Ends lock and claim. */
void daxl_source_close(struct daxl_source *source);

/* Takes back what DAXL_MEDIA_CREATE did, before close: a created file is removed, an existing one is empty again. */
void daxl_source_undo(struct daxl_source *source, const char *path);

/* Lengthens the ordinary file to new_size bytes, with blocks behind them unless sparse. Unchanged on failure. */
int daxl_source_extend(struct daxl_source *source, uint64_t new_size, bool sparse);

/* Takes back an extension that could not be mapped. */
void daxl_source_shrink(struct daxl_source *source, uint64_t old_size);

#endif
