/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The life of a checkpoint's pages.
 *
 * A page is taken (daxl_ckpt_page_get), is live while the newest checkpoint or the running one uses it, is retired when
 * nothing newer does, and is freed when a checkpoint without it is durable. Pages that no durable checkpoint has ever
 * used skip the queue (daxl_ckpt_page_put). Pages are retired on the thread that reclaims and behind commit points, where
 * nothing may fail; so the queue has room for every live page from the moment that it is taken. Payload pages are not
 * live, they come when their record is durable: one that finds no memory stays taken until the pool is opened again.
 */
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/hook.h"
#include "file/ckpt.h"

/* Makes room so that n more live pages can be retired without memory. page_mutex is held. */
static bool DAXL_HOLDS(SLAB) retired_room(struct daxl_ckpt *ckpt, size_t n)
{
	size_t want = ckpt->nretired + ckpt->live + n;

	if (want <= ckpt->retired_cap)
		return true;
	size_t cap = want < 64 ? 64 : want * 2;
	daxl_page_t *grown = daxl_realloc(ckpt->retired, cap * sizeof(*grown));
	if (!grown)
		return false;
	ckpt->retired = grown;
	ckpt->retired_cap = cap;
	return true;
}

int daxl_ckpt_page_loaded(struct daxl_ckpt *ckpt)
{
	daxl_mutex_lock(&ckpt->page_mutex);
	bool ok = retired_room(ckpt, 1);
	ckpt->live += ok;
	daxl_mutex_unlock(&ckpt->page_mutex);
	return ok ? 0 : daxl_fail(ENOMEM, "no memory to keep count of checkpoint pages");
}

static void page_unlive(struct daxl_ckpt *ckpt)
{
	daxl_mutex_lock(&ckpt->page_mutex);
	ckpt->live--;
	daxl_mutex_unlock(&ckpt->page_mutex);
}

int daxl_ckpt_page_get(struct daxl_ckpt *ckpt, daxl_page_t avoid, daxl_page_t *ret_page)
{
	int err = daxl_ckpt_page_loaded(ckpt);

	if (err)
		return err;
	err = daxl_page_alloc(ckpt->pool->space, avoid, ret_page);
	if (err)
		page_unlive(ckpt);
	return err;
}

void daxl_ckpt_page_put(struct daxl_ckpt *ckpt, daxl_page_t page)
{
	page_unlive(ckpt);
	daxl_page_free(ckpt->pool->space, page);
}

int daxl_ckpt_ref_get(struct daxl_ckpt *ckpt, struct daxl_md_ref *ret_ref)
{
	struct daxl_md_ref ref;
	int err = daxl_ckpt_page_get(ckpt, 0, &ref.page);

	if (err)
		return err;
	err = daxl_ckpt_page_get(ckpt, ref.page, &ref.copy);
	if (err) {
		daxl_ckpt_page_put(ckpt, ref.page);
		return err;
	}
	*ret_ref = ref;
	return 0;
}

void daxl_ckpt_ref_put(struct daxl_ckpt *ckpt, struct daxl_md_ref *ref)
{
	if (ref->page)
		daxl_ckpt_page_put(ckpt, ref->page);
	if (ref->copy)
		daxl_ckpt_page_put(ckpt, ref->copy);
	*ref = (struct daxl_md_ref){0, 0};
}

static void retire_page(struct daxl_ckpt *ckpt, daxl_page_t page, bool was_live)
{
	if (!page)
		return;
	daxl_mutex_lock(&ckpt->page_mutex);
	ckpt->live -= was_live;
	if (retired_room(ckpt, 1)) /* always so for a live one: room was made for it when it came */
		ckpt->retired[ckpt->nretired++] = page;
	else
		ckpt->lost = true;
	daxl_mutex_unlock(&ckpt->page_mutex);
}

void daxl_ckpt_page_retired(struct daxl_pool *pool, daxl_page_t page, daxl_page_t copy)
{
	retire_page(pool->ckpt, page, true);
	retire_page(pool->ckpt, copy, true);
}

void daxl_ckpt_payload_retired(struct daxl_pool *pool, daxl_page_t page)
{
	retire_page(pool->ckpt, page, false);
}

void daxl_ckpt_retired_free(struct daxl_ckpt *ckpt, size_t n)
{
	for (size_t done = 0; done < n;) {
		daxl_page_t some[64];
		size_t k = n - done < DAXL_ARRAY_LEN(some) ? n - done : DAXL_ARRAY_LEN(some);

		daxl_mutex_lock(&ckpt->page_mutex); /* the array may move */
		memcpy(some, ckpt->retired + done, k * sizeof(some[0]));
		daxl_mutex_unlock(&ckpt->page_mutex);
		for (size_t i = 0; i < k; i++)
			daxl_page_free(ckpt->pool->space, some[i]);
		done += k;
	}
	daxl_mutex_lock(&ckpt->page_mutex);
	ckpt->nretired -= n;
	if (ckpt->nretired)
		memmove(ckpt->retired, ckpt->retired + n, ckpt->nretired * sizeof(*ckpt->retired));
	daxl_mutex_unlock(&ckpt->page_mutex);
}

size_t daxl_ckpt_retired_count(struct daxl_ckpt *ckpt)
{
	daxl_mutex_lock(&ckpt->page_mutex);
	size_t n = ckpt->nretired;
	daxl_mutex_unlock(&ckpt->page_mutex);
	return n;
}
