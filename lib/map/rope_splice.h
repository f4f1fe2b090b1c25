/* SPDX-License-Identifier: BSD-3-Clause */
/* Replacing a range of a rope by at most one run: what set, cut, remove and insert have in common. */
#ifndef DAXL_MAP_ROPE_SPLICE_H
#define DAXL_MAP_ROPE_SPLICE_H

#include "map/rope_tree.h"

struct daxl_splice {
	daxl_fblk_t lo, hi; /* replaced: lo <= hi <= length of the rope */
	daxl_nblk_t len;    /* by a run of this length; 0: by nothing */
	uint64_t val;       /* and this word */
	bool in_place;      /* len covers [lo, hi): a block that stays where it was is not dropped */
};

/* Edits edit->root. The result is merged all over, but may end in a hole if hi was its length. 0, -ENOMEM or -EFBIG. */
int daxl_splice(struct daxl_edit *edit, const struct daxl_splice *sp);

#endif
