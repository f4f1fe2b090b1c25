/* SPDX-License-Identifier: BSD-3-Clause */
/* Operations on ranges, breaks and cancels. */
#include "fault.h"

CALL(allocate, daxl_fallocate(w.f, 0, 8 * BLK, 12 * BLK, NULL))
CALL(allocate_past, daxl_fallocate(w.f, FALLOC_FL_KEEP_SIZE, 20 * BLK, 4 * BLK, NULL))
CALL(zero, daxl_fallocate(w.f, FALLOC_FL_ZERO_RANGE, BLK + 1, 8 * BLK, NULL))
CALL(punch, daxl_fallocate(w.f, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, BLK + 1, 4 * BLK, NULL))
CALL(collapse, daxl_fallocate(w.f, FALLOC_FL_COLLAPSE_RANGE, BLK, 2 * BLK, NULL))
CALL(insert, daxl_fallocate(w.f, FALLOC_FL_INSERT_RANGE, BLK, 2 * BLK, NULL))
CALL(unshare, daxl_fallocate(w.clone, FALLOC_FL_UNSHARE_RANGE, 0, 4 * BLK, NULL))
CALL(cut, daxl_truncate(w.clone, 2 * BLK + 5, NULL))
CALL(cut_all, daxl_truncate(w.twin, 0, NULL))
CALL(lengthen, daxl_truncate(w.f, 100 * BLK, NULL))
CALL(clone, daxl_clone_range(w.f, 0, w.twin, 4 * BLK, 4 * BLK, NULL))
CALL(clone_within, daxl_clone_range(w.twin, 0, w.twin, 20 * BLK, 4 * BLK, NULL))
CALL(dedupe, daxl_dedupe_range(w.f, 0, w.twin, 0, 6 * BLK, NULL, &w.out.same))
CALL(dedupe_other, daxl_dedupe_range(w.f, 0, w.twin, BLK, BLK, NULL, &w.out.same))
CALL(exchange, daxl_exchange_range(w.f, 0, w.twin, BLK, 2 * BLK, NULL))
CALL(exchange_all, daxl_exchange_range(w.f, 0, w.twin, 0, DAXL_TO_END, NULL))
CALL(copy_bytes, daxl_copy_range(w.f, 5, w.twin, 7, 1000))
CALL(copy_blocks, daxl_copy_range(w.f, BLK, w.twin, 5 * BLK, 2 * BLK))
CALL(copy_mixed, daxl_copy_range(w.f, BLK - 10, w.twin, 5 * BLK - 10, 2 * BLK + 20))
CALL(break_write, daxl_break(w.f, 0, BLK, DAXL_BREAK_WRITE, NULL))
CALL(break_unmap, daxl_break(w.f, 0, DAXL_TO_END, DAXL_BREAK_UNMAP, NULL))
CALL(begin, daxl_break_begin(w.f, 0, 2 * BLK, DAXL_BREAK_UNMAP, NULL, &w.out.handle))
CALL(begin_behind, daxl_break_begin(w.quiet, 0, 2 * BLK, DAXL_BREAK_UNMAP, NULL, &w.out.handle))
CALL(poll_it, daxl_break_poll(w.handle))
CALL(end, (daxl_break_end(w.handle), 0))
CALL(cancel_new, daxl_cancel_new(&w.out.cancel))
CALL(cancel_all, (daxl_cancel_all(w.cancel), 0))
CALL(cancel_free, (daxl_cancel_free(w.cancel), 0))
static long long punch_held(void)
{
	struct daxl_wait wait = DAXL_WAIT_INIT;

	wait.held = w.handle;
	return daxl_fallocate(w.quiet, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, BLK, &wait);
}

static void end_break(long long rc)
{
	(void)rc;
	daxl_break_end(w.out.handle);
}
static void free_cancel(long long rc)
{
	(void)rc;
	daxl_cancel_free(w.out.cancel);
}
static void break_has_ended(long long rc)
{
	(void)rc;
	w.handle = NULL;
}
static void cancel_is_gone(long long rc)
{
	(void)rc;
	w.cancel = NULL;
}
static void were_the_same(long long rc)
{
	(void)rc;
	ck_assert(w.out.same);
}
static void were_not_the_same(long long rc)
{
	(void)rc;
	ck_assert(!w.out.same);
}

const struct fault_row fault_range_rows[] = {
	{"daxl_fallocate", ROW(allocate)},
	{"daxl_fallocate", ROW(allocate_past)},
	{"daxl_fallocate", ROW(zero)},
	{"daxl_fallocate", ROW(punch)},
	{"daxl_fallocate", ROW(punch_held)},
	{"daxl_fallocate", ROW(collapse)},
	{"daxl_fallocate", ROW(insert)},
	{"daxl_fallocate", ROW(unshare)},
	{"daxl_truncate", ROW(cut)},
	{"daxl_truncate", ROW(cut_all)},
	{"daxl_truncate", ROW(lengthen)},
	{"daxl_clone_range", ROW(clone)},
	{"daxl_clone_range", ROW(clone_within)},
	{"daxl_dedupe_range", ROW(dedupe), .done = were_the_same},
	{"daxl_dedupe_range", ROW(dedupe_other), .done = were_not_the_same},
	{"daxl_exchange_range", ROW(exchange)},
	{"daxl_exchange_range", ROW(exchange_all)},
	{"daxl_copy_range", ROW(copy_bytes)},
	{"daxl_copy_range", ROW(copy_blocks)},
	{"daxl_copy_range", ROW(copy_mixed), .partial = true},
	{"daxl_break", ROW(break_write)},
	{"daxl_break", ROW(break_unmap)},
	{"daxl_break_begin", ROW(begin), .done = end_break},
	{"daxl_break_begin", ROW(begin_behind), .done = end_break},
	{"daxl_break_poll", ROW(poll_it)},
	{"daxl_break_end", ROW(end), .done = break_has_ended},
	{"daxl_cancel_new", ROW(cancel_new), .done = free_cancel},
	{"daxl_cancel_all", ROW(cancel_all)},
	{"daxl_cancel_free", ROW(cancel_free), .done = cancel_is_gone},
};
const size_t fault_range_nrows = sizeof(fault_range_rows) / sizeof(fault_range_rows[0]);
