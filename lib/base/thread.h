/* SPDX-License-Identifier: BSD-3-Clause */
/* A small number of the calling thread's own, counted up from 0 as threads come: what is striped by thread is picked by it. */
#ifndef DAXL_BASE_THREAD_H
#define DAXL_BASE_THREAD_H

#include <pthread.h>
#include <stdbool.h>

#include "base/compiler.h"

extern _Thread_local unsigned daxl_thread_drawn; /* number + 1; 0: not yet */
unsigned daxl_thread_draw(void); /* the slow half of daxl_thread_number */

/* The calling thread's number may be another's; the thread draws anew, should it want one again. For threads of the library's own, at their end. */
void daxl_thread_give_back(void);

static inline unsigned daxl_thread_number(void)
{
	return daxl_likely(daxl_thread_drawn != 0) ? daxl_thread_drawn - 1 : daxl_thread_draw();
}

/*
 * The calling thread's place among own + shared ones. The first threads of a process have one of the own places each to
 * themselves (*ret_own), and need neither lock nor read-modify-write there; those after them share the others.
 */
static inline unsigned daxl_thread_place(unsigned own, unsigned shared, bool *ret_own)
{
	unsigned n = daxl_thread_number();

	*ret_own = n < own;
	return *ret_own ? n : own + n % shared;
}

/* A thread with all signals blocked: they are the program's. Returns 0 or an errno, positive. */
int daxl_thread_start(pthread_t *ret_thread, void *(*run)(void *arg), void *arg);

#endif
