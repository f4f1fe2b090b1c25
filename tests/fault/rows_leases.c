/* SPDX-License-Identifier: BSD-3-Clause */
/* Leases. */
#include "fault.h"

static long long acquire(struct daxl_file *file, off_t off, off_t len, uint32_t mode, uint32_t flags)
{
	struct daxl_lease_opts opts = DAXL_LEASE_OPTS_INIT;

	opts.mode = mode;
	opts.flags = flags;
	return daxl_lease_acquire(file, off, len, &opts, &w.out.lease);
}
CALL(acquire_read, acquire(w.f, 0, DAXL_TO_END, DAXL_LEASE_READ, 0))
CALL(acquire_stable, acquire(w.f, 0, BLK, DAXL_LEASE_READ, DAXL_LEASE_STABLE | DAXL_LEASE_QUEUE_EVENTS))
CALL(acquire_write, acquire(w.twin, 0, DAXL_TO_END, DAXL_LEASE_WRITE, DAXL_LEASE_EXCLUSIVE))
CALL(acquire_fill, acquire(w.f, 7 * BLK, 14 * BLK, DAXL_LEASE_WRITE, 0))
CALL(acquire_copy, acquire(w.clone, 0, 4 * BLK, DAXL_LEASE_WRITE, DAXL_LEASE_IMPLICIT_PIN))
CALL(acquire_nowait, acquire(w.f, 9 * BLK, BLK, DAXL_LEASE_WRITE, DAXL_LEASE_NOWAIT))
CALL(extents, daxl_lease_extents(w.held, w.out.exts, 8))
CALL(pin, daxl_lease_pin(w.idle))
CALL(unpin, (daxl_lease_unpin(w.pinned), 0))
CALL(persist, daxl_lease_persist(w.held, 17 * BLK, 2 * BLK))
CALL(commit, daxl_lease_commit(w.held, 16 * BLK, 2 * BLK, 18 * BLK))
CALL(commit_gap, daxl_lease_commit(w.held, 20 * BLK, BLK, 21 * BLK - 5))
CALL(return_it, daxl_lease_return(w.held))
CALL(return_pinned, daxl_lease_return(w.pinned))
CALL(return_middle, daxl_lease_return_range(w.held, 22 * BLK, BLK))
CALL(return_end, daxl_lease_return_range(w.held, 22 * BLK, DAXL_TO_END))
CALL(downgrade, daxl_lease_downgrade(w.held))
CALL(stat_it, daxl_lease_stat(w.held, &w.out.lease_stat))
CALL(state, daxl_lease_state(w.held))
CALL(free_idle, (daxl_lease_free(w.idle), 0))
CALL(free_pinned, (daxl_lease_free(w.pinned), daxl_lease_unpin(w.pinned), 0))
CALL(busy, daxl_busy(w.hold, 0, DAXL_TO_END, w.out.holders, 8))

static void free_it(long long rc)
{
	(void)rc;
	daxl_lease_free(w.out.lease);
}
static void unpin_it(long long rc)
{
	(void)rc;
	daxl_lease_unpin(w.idle);
}
static void pin_again(long long rc)
{
	(void)rc;
	ok(daxl_lease_pin(w.pinned));
}
static void idle_is_gone(long long rc)
{
	(void)rc;
	w.idle = NULL;
}
static void pinned_is_gone(long long rc)
{
	(void)rc;
	w.pinned = NULL;
}

const struct fault_row fault_lease_rows[] = {
	{"daxl_lease_acquire", ROW(acquire_read), .done = free_it},
	{"daxl_lease_acquire", ROW(acquire_stable), .done = free_it},
	{"daxl_lease_acquire", ROW(acquire_write), .done = free_it},
	{"daxl_lease_acquire", ROW(acquire_fill), .done = free_it},
	{"daxl_lease_acquire", ROW(acquire_copy), .done = free_it},
	{"daxl_lease_acquire", ROW(acquire_nowait), .done = free_it},
	{"daxl_lease_extents", ROW(extents)},
	{"daxl_lease_pin", ROW(pin), .done = unpin_it},
	{"daxl_lease_unpin", ROW(unpin), .done = pin_again},
	{"daxl_lease_persist", ROW(persist)},
	{"daxl_lease_commit", ROW(commit)},
	{"daxl_lease_commit", ROW(commit_gap)},
	{"daxl_lease_return", ROW(return_it)},
	{"daxl_lease_return", ROW(return_pinned)},
	{"daxl_lease_return_range", ROW(return_middle)},
	{"daxl_lease_return_range", ROW(return_end)},
	{"daxl_lease_downgrade", ROW(downgrade)},
	{"daxl_lease_stat", ROW(stat_it)},
	{"daxl_lease_state", ROW(state)},
	{"daxl_lease_free", ROW(free_idle), .done = idle_is_gone},
	{"daxl_lease_free", ROW(free_pinned), .done = pinned_is_gone},
	{"daxl_busy", ROW(busy)},
};
const size_t fault_lease_nrows = sizeof(fault_lease_rows) / sizeof(fault_lease_rows[0]);
