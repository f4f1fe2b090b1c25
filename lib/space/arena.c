/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Arrays of DRAM that grow without moving, so that readers need no lock while the pool grows: address space is
 * reserved once without access (it is not counted against anybody's memory), and a front part of it is made
 * accessible. Pages come zeroed, when they are first stored to.
 *
 * Allocations jump through bits and groups, which in large pools are much larger than what a TLB covers with small
 * pages: for these huge ones are asked for. A front part of less than one gets none, so small pools do not pay for it.
 */
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "base/hook.h"
#include "space/space_impl.h"

#define HUGE ((size_t)2 << 20)

static size_t whole_pages(size_t bytes)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	return (bytes + page - 1) / page * page;
}

/* On a huge page's boundary where it has room for one. */
static void *reserve(size_t bytes)
{
	size_t spare = bytes >= HUGE ? HUGE : 0, front;
	char *base;

	if (DAXL_FAULT("arena.reserve"))
		return NULL;
	base = mmap(NULL, bytes + spare, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (base == MAP_FAILED)
		return NULL;
	if (spare == 0)
		return base;
	front = (size_t)(-(uintptr_t)base % HUGE);
	if (front)
		munmap(base, front);
	munmap(base + front + bytes, spare - front);
	return base + front;
}

int daxl_arena_init(struct daxl_arena *arena, size_t bytes, size_t max)
{
	struct daxl_arena made = {.reserved = whole_pages(max > bytes ? max : bytes)};
	int err;

	made.base = reserve(made.reserved);
	if (!made.base) { /* a limit on address space: do without room to grow */
		made.reserved = whole_pages(bytes);
		made.base = reserve(made.reserved);
	}
	if (!made.base)
		return daxl_fail(ENOMEM, "free space: no address space for %zu bytes", bytes);
	err = daxl_arena_extend(&made, bytes);
	if (err) {
		daxl_arena_fini(&made);
		return err;
	}
	*arena = made;
	return 0;
}

int daxl_arena_extend(struct daxl_arena *arena, size_t bytes)
{
	bytes = whole_pages(bytes);
	if (bytes <= arena->usable)
		return 0;
	if (bytes > arena->reserved)
		return daxl_fail(ENOMEM, "free space: %zu bytes are more than the %zu reserved at open", bytes,
		                 arena->reserved);
	if (DAXL_FAULT("arena.extend") ||
	    mprotect(arena->base + arena->usable, bytes - arena->usable, PROT_READ | PROT_WRITE) != 0)
		return daxl_fail(ENOMEM, "free space: no memory for %zu bytes", bytes);
	arena->usable = bytes;
	return 0;
}

void daxl_arena_want_huge(const struct daxl_arena *arena)
{
	(void)madvise(arena->base, arena->reserved, MADV_HUGEPAGE); /* it does without as well */
}

void daxl_arena_fini(struct daxl_arena *arena)
{
	if (arena->base)
		munmap(arena->base, arena->reserved);
	*arena = (struct daxl_arena){0};
}
