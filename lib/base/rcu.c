/* SPDX-License-Identifier: BSD-3-Clause */
/* The ThreadSanitizer side of rcu.h: the same calls, with the order of grace periods declared. */
#include "base/rcu.h"

#if DAXL_TSAN

#include <pthread.h>
#include <sanitizer/tsan_interface.h>
#include <stdlib.h>

static char grace_period; /* released by readers and by who queues; acquired after a grace period */

struct traced_call {
	struct rcu_head rcu;
	struct rcu_head *head;
	void (*fn)(struct rcu_head *head);
};

void daxl_rcu_read_lock(void)
{
	urcu_bp_read_lock();
}

void daxl_rcu_read_unlock(void)
{
	__tsan_release(&grace_period);
	urcu_bp_read_unlock();
}

static void run_traced(struct rcu_head *rcu)
{
	struct traced_call *call = daxl_container_of(rcu, struct traced_call, rcu);

	__tsan_acquire(&grace_period);
	call->fn(call->head);
	free(call);
}

void daxl_rcu_call(struct rcu_head *head, void (*fn)(struct rcu_head *head))
{
	struct traced_call *call = malloc(sizeof(*call));

	if (!call)
		abort(); /* this build only: the caller's head has no room for a second function */
	call->head = head;
	call->fn = fn;
	__tsan_release(&grace_period);
	urcu_bp_call_rcu(&call->rcu, run_traced);
}

void daxl_rcu_synchronize(void)
{
	urcu_bp_synchronize_rcu();
	__tsan_acquire(&grace_period);
}

struct marker {
	struct rcu_head rcu;
	pthread_mutex_t mutex;
	pthread_cond_t cond;
	bool passed; /* guarded by mutex */
};

static void pass_marker(struct rcu_head *rcu)
{
	struct marker *marker = daxl_container_of(rcu, struct marker, rcu);

	pthread_mutex_lock(&marker->mutex);
	marker->passed = true;
	pthread_cond_signal(&marker->cond);
	pthread_mutex_unlock(&marker->mutex);
}

/*
 * Not liburcu's: that one frees in the worker what the caller allocated, in an order that the sanitizer cannot see. One
 * worker runs callbacks in the order they came, so a marker tells the same.
 */
void daxl_rcu_barrier(void)
{
	struct marker marker = { .passed = false };

	pthread_mutex_init(&marker.mutex, NULL);
	pthread_cond_init(&marker.cond, NULL);
	daxl_rcu_call(&marker.rcu, pass_marker);
	pthread_mutex_lock(&marker.mutex);
	while (!marker.passed)
		pthread_cond_wait(&marker.cond, &marker.mutex);
	pthread_mutex_unlock(&marker.mutex);
	pthread_cond_destroy(&marker.cond);
	pthread_mutex_destroy(&marker.mutex);
}

#else

typedef int daxl_rcu_is_inline; /* ISO C wants a declaration in each file */

#endif
