/* SPDX-License-Identifier: BSD-3-Clause */
/* What the files of replay share. */
#ifndef DAXL_FILE_REPLAY_H
#define DAXL_FILE_REPLAY_H

#include "file/ckpt.h"

/* A record's body that is being read from its start. */
struct daxl_body {
	const uint8_t *at;
	size_t left;
};

/* The next len bytes, or NULL when there are fewer. */
const void *daxl_body_take(struct daxl_body *body, size_t len);
/* Copies the next len bytes out. -EUCLEAN. */
int daxl_body_struct(struct daxl_body *body, void *out, size_t len);

/* The file with that id, which the record is about from now on. -EUCLEAN. */
int daxl_replay_find(struct daxl_replay *replay, uint32_t id, struct daxl_inode **ret_ino);

/*
 * MAP, COLLAPSE, INSERT, TRUNCATE; CLONE, EXCHANGE. -EUCLEAN, -ENOMEM; the maps are as before then, but blocks may have
 * been marked already.
 */
int daxl_replay_map(struct daxl_replay *replay, unsigned type, struct daxl_body *body);
int daxl_replay_two(struct daxl_replay *replay, unsigned type, struct daxl_body *body);

#endif
