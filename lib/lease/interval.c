/* SPDX-License-Identifier: BSD-3-Clause */
#include "lease/interval.h"

static void update(struct daxl_lease_span *n)
{
	daxl_fblk_t max = n->end;

	if (n->left && n->left->max_end > max)
		max = n->left->max_end;
	if (n->right && n->right->max_end > max)
		max = n->right->max_end;
	n->max_end = max;
}

/* A total order: by start, then by address. */
static bool before(const struct daxl_lease_span *a, const struct daxl_lease_span *b)
{
	return a->start != b->start ? a->start < b->start : a < b;
}

/* Splits t into what comes before span and the rest. */
static void split(struct daxl_lease_span *t, const struct daxl_lease_span *span, struct daxl_lease_span **l,
                  struct daxl_lease_span **r)
{
	if (!t) {
		*l = *r = NULL;
	} else if (before(t, span)) {
		split(t->right, span, &t->right, r);
		*l = t;
		update(t);
	} else {
		split(t->left, span, l, &t->left);
		*r = t;
		update(t);
	}
}

/* Balance wants priorities that have nothing to do with the order: the address, mixed. */
static uint64_t prio_of(const struct daxl_lease_span *span)
{
	uint64_t x = (uint64_t)(uintptr_t)span;

	x = (x ^ (x >> 32)) * UINT64_C(0x9e3779b97f4a7c15);
	return (x ^ (x >> 29)) * UINT64_C(0xbf58476d1ce4e5b9);
}

static struct daxl_lease_span *merge(struct daxl_lease_span *l, struct daxl_lease_span *r)
{
	if (!l || !r)
		return l ? l : r;
	if (prio_of(l) > prio_of(r)) {
		l->right = merge(l->right, r);
		update(l);
		return l;
	}
	r->left = merge(l, r->left);
	update(r);
	return r;
}

void daxl_interval_insert(struct daxl_lease_span **root, struct daxl_lease_span *span)
{
	struct daxl_lease_span *l, *r;

	span->left = span->right = NULL;
	span->max_end = span->end;
	if (!*root) {
		*root = span;
		return;
	}
	split(*root, span, &l, &r);
	*root = merge(merge(l, span), r);
}

void daxl_interval_erase(struct daxl_lease_span **root, struct daxl_lease_span *span)
{
	if (*root == span) {
		*root = merge(span->left, span->right);
		return;
	}
	assert(*root);
	daxl_interval_erase(before(span, *root) ? &(*root)->left : &(*root)->right, span);
	update(*root);
}

int daxl_interval_each(struct daxl_lease_span *root, daxl_fblk_t start, daxl_fblk_t end,
                       int (*fn)(struct daxl_lease_span *span, void *arg), void *arg)
{
	if (!root || root->max_end <= start)
		return 0;
	int rc = daxl_interval_each(root->left, start, end, fn, arg);

	if (rc || root->start >= end)
		return rc;
	if (root->end > start)
		rc = fn(root, arg);
	return rc ? rc : daxl_interval_each(root->right, start, end, fn, arg);
}
