/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The lease word: pin count, references and state in one atomic 64-bit word.
 *
 *   bits 0..31   pins out
 *   bits 32..47  references: collected notices, queued events, running callbacks, a running fence, waits, limbo
 *   bits 48..    state: RECALLED, RETURNED, FENCED, LIMBO; ENDED: the handle is freed
 *
 * The rules, each of which a broken variant of the protocol's model needs:
 *   1. A pin is a compare-and-swap from LIVE. There is no transient count, so a lease once drained stays drained.
 *   2. A recall goes from LIVE to RECALLED only, and takes the notice's reference in the same step.
 *   3. The step that leaves {not LIVE, no pins} wakes; so does return. A waiter looks under the range mutex.
 *   4. After the step that gives a pin back, only the wait table is touched, by a key loaded before, unless that step made
 *      {ENDED, no pins, no references} true: then this thread alone unlinks and frees. A handle freed when there is
 *      nobody left, and the index does not have the lease any more either, needs no such step.
 *   5. Whoever will touch the lease later holds a reference. The step that leads a busy lease to limbo takes one, which the
 *      step that ends its being busy has from it: so that one can be a plain subtraction, and has the lease for the drain.
 *   6. IMPLICIT_PIN is no count but a predicate: busy until RETURNED or FENCED.
 *   7. After a fence pins make nothing busy; after limbo they keep the limbo blocks and hold up U breaks over what is left.
 */
#ifndef DAXL_LEASE_WORD_H
#define DAXL_LEASE_WORD_H

#include <stdbool.h>
#include <stdint.h>

#define DAXL_LW_PIN UINT64_C(1)
#define DAXL_LW_PINS UINT64_C(0xffffffff)
#define DAXL_LW_REF (UINT64_C(1) << 32)
#define DAXL_LW_REFS (UINT64_C(0xffff) << 32)
#define DAXL_LW_RECALLED (UINT64_C(1) << 48)
#define DAXL_LW_RETURNED (UINT64_C(1) << 49)
#define DAXL_LW_FENCED (UINT64_C(1) << 50)
#define DAXL_LW_LIMBO (UINT64_C(1) << 51)
#define DAXL_LW_ENDED (UINT64_C(1) << 52)
#define DAXL_LW_IMPLICIT (UINT64_C(1) << 53) /* constant of the lease */
#define DAXL_LW_NOT_LIVE (DAXL_LW_RECALLED | DAXL_LW_RETURNED | DAXL_LW_FENCED | DAXL_LW_LIMBO)
/* No work can be started or committed any more: what W waits for. */
#define DAXL_LW_OVER (DAXL_LW_RETURNED | DAXL_LW_FENCED | DAXL_LW_LIMBO)

static inline uint64_t daxl_lw_load(const uint64_t *word)
{
	return __atomic_load_n(word, __ATOMIC_SEQ_CST);
}

static inline bool daxl_lw_swap(uint64_t *word, uint64_t *expected, uint64_t desired)
{
	return __atomic_compare_exchange_n(word, expected, desired, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

/* Rules 6 and 7. */
static inline bool daxl_lw_busy(uint64_t w)
{
	if (w & DAXL_LW_FENCED)
		return false;
	return (w & DAXL_LW_PINS) != 0 || ((w & DAXL_LW_IMPLICIT) && !(w & DAXL_LW_RETURNED));
}

/* The one predicate "drained" (L13). */
static inline bool daxl_lw_drained(uint64_t w)
{
	return (w & DAXL_LW_OVER) && !daxl_lw_busy(w);
}

/* Whether the step from old to now drains a lease that was led to limbo: limbo's reference is then the caller's. */
static inline bool daxl_lw_drains_limbo(uint64_t old, uint64_t now)
{
	return (now & DAXL_LW_LIMBO) && daxl_lw_busy(old) && !daxl_lw_busy(now);
}

static inline bool daxl_lw_is_last(uint64_t w)
{
	return (w & DAXL_LW_ENDED) && (w & (DAXL_LW_PINS | DAXL_LW_REFS)) == 0;
}

#endif
