/* SPDX-License-Identifier: BSD-3-Clause */
/* Pools, names and handles: rename(2) and unlink(2) as the contract has them, through crashes too. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/hook.h"
#include "faults.h"
#include "file/names.h"

#define POOL_BYTES ((size_t)8 << 20)

/* A pool over memory that a crash can copy. */
struct box {
	char *mem;
	size_t size;
	struct daxl_pool *pool;
};

static struct box box_new(size_t size, const struct daxl_pool_opts *opts)
{
	struct box box = {.size = size};
	struct daxl_media *media;
	ck_assert_int_eq(posix_memalign((void **)&box.mem, 4096, size), 0);
	memset(box.mem, 0xa5, size);
	ck_assert_int_eq(daxl_media_open_memory(box.mem, size, false, &media), 0);
	int rc = daxl_pool_make_media(media, size, opts, &box.pool);
	ck_assert_msg(rc == 0, "%d: %s", rc, daxl_error_last());
	return box;
}

static void box_load(struct box *box)
{
	struct daxl_media *media;
	ck_assert_int_eq(daxl_media_open_memory(box->mem, box->size, false, &media), 0);
	int rc = daxl_pool_load_media(media, NULL, &box->pool);
	ck_assert_msg(rc == 0, "%d: %s", rc, daxl_error_last());
}

static void box_reopen(struct box *box)
{
	int rc = daxl_pool_end(box->pool);
	ck_assert_msg(rc == 0, "%d: %s", rc, daxl_error_last());
	box_load(box);
}

/* What is on the medium now, opened as after a crash; the box lives on. */
static struct box box_crash(const struct box *box)
{
	struct box copy = {.size = box->size};
	ck_assert_int_eq(posix_memalign((void **)&copy.mem, 4096, copy.size), 0);
	memcpy(copy.mem, box->mem, copy.size);
	box_load(&copy);
	return copy;
}

static void box_free(struct box *box)
{
	int rc = daxl_pool_end(box->pool);
	ck_assert_msg(rc == 0, "%d: %s", rc, daxl_error_last());
	free(box->mem);
}

/* Makes a file that has been open once. */
static uint32_t create(struct daxl_pool *pool, const char *name)
{
	struct daxl_inode *ino;
	struct daxl_file *file;
	int rc = daxl_inode_create(pool, name, strlen(name), &ino);
	ck_assert_msg(rc == 0, "create '%s': %d: %s", name, rc, daxl_error_last());
	uint32_t id = ino->id;
	ck_assert_int_eq(daxl_handle_open(pool, ino, O_RDWR, &file), 0);
	ck_assert_int_eq(daxl_handle_close(file), 0);
	return id;
}

/* The id of the file with that name, 0: none. */
static uint32_t id_of(struct daxl_pool *pool, const char *name)
{
	struct daxl_inode *ino = daxl_inode_get(pool, name, strlen(name));
	if (ino == NULL)
		return 0;
	uint32_t id = ino->id;
	daxl_inode_put(ino);
	return id;
}

static struct daxl_file *open_file(struct daxl_pool *pool, const char *name)
{
	struct daxl_file *file;
	struct daxl_inode *ino = daxl_inode_get(pool, name, strlen(name));
	ck_assert_ptr_nonnull(ino);
	ck_assert_int_eq(daxl_handle_open(pool, ino, O_RDWR, &file), 0);
	return file;
}

static int unlink_name(struct daxl_pool *pool, const char *name)
{
	return daxl_names_unlink(pool, name, strlen(name));
}

static int rename_name(struct daxl_pool *pool, const char *from, const char *to, unsigned flags)
{
	return daxl_names_rename(pool, from, strlen(from), to, strlen(to), flags);
}

/* Deletions that went through the library's own hook. */
static int (*real_delete)(struct daxl_inode *ino);
static uint32_t hooked;

static int counting_delete(struct daxl_inode *ino)
{
	__atomic_fetch_add(&hooked, 1, __ATOMIC_RELAXED);
	return real_delete(ino);
}

static void count_hooked(void)
{
	hooked = 0;
	if (daxl_delete_hook != counting_delete)
		real_delete = daxl_delete_hook;
	daxl_delete_hook = counting_delete;
}

/* Deleted, or gone from memory too. */
static bool is_deleted(struct daxl_pool *pool, uint32_t id)
{
	const struct daxl_inode *ino = daxl_inode_by_id(pool, id);
	return ino == NULL || ino->version->deleted;
}

static uint64_t records(const struct box *box)
{
	return daxl_tally_sum(box->pool->tally, DAXL_TALLY_RECORDS);
}

START_TEST(a_created_file_is_found_and_cannot_be_created_again)
{
	struct box box = box_new(POOL_BYTES, NULL);
	struct daxl_inode *ino;
	uint32_t id = create(box.pool, "a");
	ck_assert_uint_eq(id_of(box.pool, "a"), id);
	ck_assert_uint_eq(id_of(box.pool, "b"), 0);
	ck_assert_int_eq(daxl_inode_create(box.pool, "a", 1, &ino), -EEXIST);
	ck_assert_ptr_nonnull(strstr(daxl_error_last(), "'a'"));
	box_free(&box);
}
END_TEST

START_TEST(names_are_bytes_of_any_kind_up_to_255)
{
	struct box box = box_new(POOL_BYTES, NULL);
	char name[256];
	memset(name, '/', 255);
	name[255] = '\0';
	uint32_t whole = create(box.pool, name);
	name[254] = '\0';
	uint32_t shorter = create(box.pool, name);
	ck_assert_uint_ne(whole, shorter);
	uint32_t odd = create(box.pool, "\xff\x01 \n..");
	box_reopen(&box);
	ck_assert_uint_eq(id_of(box.pool, name), shorter);
	name[254] = '/';
	ck_assert_uint_eq(id_of(box.pool, name), whole);
	ck_assert_uint_eq(id_of(box.pool, "\xff\x01 \n.."), odd);
	box_free(&box);
}
END_TEST

START_TEST(unlink_of_a_closed_file_deletes_it_at_once)
{
	struct box box = box_new(POOL_BYTES, NULL);
	uint32_t id = create(box.pool, "a");
	uint64_t was = records(&box);
	ck_assert_int_eq(unlink_name(box.pool, "a"), 0);
	ck_assert_uint_eq(records(&box), was + 1);
	ck_assert(is_deleted(box.pool, id));
	ck_assert_int_eq(unlink_name(box.pool, "a"), -ENOENT);
	ck_assert_uint_eq(id_of(box.pool, "a"), 0);
	ck_assert_uint_eq(box.pool->files, 0);
	struct box crashed = box_crash(&box);
	ck_assert_uint_eq(crashed.pool->ids, 0);
	box_free(&crashed);
	box_free(&box);
}
END_TEST

START_TEST(a_file_that_was_never_opened_is_deleted_too)
{
	struct box box = box_new(POOL_BYTES, NULL);
	create(box.pool, "a");
	create(box.pool, "b");
	box_reopen(&box);
	count_hooked();
	ck_assert_int_eq(unlink_name(box.pool, "a"), 0);
	struct daxl_inode *ino = daxl_inode_get(box.pool, "b", 1);
	create(box.pool, "c");
	ck_assert_int_eq(rename_name(box.pool, "c", "b", 0), 0);
	ck_assert(ino->version->deleted);
	daxl_inode_put(ino);
	ck_assert_uint_eq(hooked, 0);
	ck_assert_int_eq(daxl_ckpt_run(box.pool, false, 0), 0);
	ck_assert_uint_eq(box.pool->ids, 1);
	box_free(&box);
}
END_TEST

START_TEST(an_unlinked_file_lives_until_its_last_close)
{
	struct box box = box_new(POOL_BYTES, NULL);
	uint32_t id = create(box.pool, "a");
	struct daxl_file *one = open_file(box.pool, "a"), *two = open_file(box.pool, "a");
	ck_assert_int_eq(unlink_name(box.pool, "a"), 0);
	uint32_t second = create(box.pool, "a");
	ck_assert_uint_ne(second, id);
	ck_assert_int_eq(daxl_handle_close(one), 0);
	ck_assert(!is_deleted(box.pool, id));
	char label[64];
	ck_assert_str_eq(daxl_inode_label(two->ino, label, sizeof(label)), "<unlinked file 1>");
	uint64_t was = records(&box);
	ck_assert_int_eq(daxl_handle_close(two), 0);
	ck_assert_uint_eq(records(&box), was + 1);
	ck_assert(is_deleted(box.pool, id));
	ck_assert_uint_eq(id_of(box.pool, "a"), second);
	box_free(&box);
}
END_TEST

START_TEST(a_closed_file_has_a_range_lock_only_while_something_may_be_in_it)
{
	struct box box = box_new(POOL_BYTES, NULL);
	count_hooked();
	create(box.pool, "a");
	struct daxl_file *one = open_file(box.pool, "a"), *two = open_file(box.pool, "a");
	struct daxl_inode *ino = one->ino;
	daxl_inode_ref(ino); /* as a lease has one */
	ck_assert_int_eq(daxl_handle_close(one), 0);
	ck_assert_ptr_nonnull(ino->rl);
	ck_assert_int_eq(daxl_handle_close(two), 0);
	ck_assert_ptr_nonnull(ino->rl);
	/* Unlinked now it is nameless first, and deleted through the hook. */
	uint64_t was = records(&box);
	ck_assert_int_eq(unlink_name(box.pool, "a"), 0);
	ck_assert_uint_eq(records(&box), was + 2);
	ck_assert_uint_eq(hooked, 1);
	ck_assert(ino->version->deleted);
	daxl_inode_put(ino);

	create(box.pool, "b");
	one = open_file(box.pool, "b");
	ino = one->ino;
	daxl_inode_ref(ino);
	ck_assert_int_eq(daxl_handle_close(one), 0);
	ck_assert_ptr_nonnull(ino->rl);
	daxl_inode_put(ino);
	two = open_file(box.pool, "b");
	ck_assert_ptr_nonnull(ino->rl);
	ck_assert_int_eq(daxl_handle_close(two), 0);
	ck_assert_ptr_null(ino->rl);
	box_free(&box);
}
END_TEST

START_TEST(many_files_open_at_once_have_a_range_lock_each)
{
	struct box box = box_new(POOL_BYTES, NULL);
	struct daxl_file *files[3 * DAXL_SPARE_RANGE_LOCKS];
	char name[16];
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < DAXL_ARRAY_LEN(files); i++) {
			snprintf(name, sizeof(name), "%u", i);
			if (round == 0)
				create(box.pool, name);
			files[i] = open_file(box.pool, name);
			ck_assert_uint_eq(files[i]->ino->rl->file_id, files[i]->ino->id);
			for (unsigned k = 0; k < i; k++)
				ck_assert_ptr_ne(files[k]->ino->rl, files[i]->ino->rl);
		}
		for (unsigned i = 0; i < DAXL_ARRAY_LEN(files); i++)
			ck_assert_int_eq(daxl_handle_close(files[i]), 0);
		ck_assert_uint_eq(box.pool->nspare, DAXL_SPARE_RANGE_LOCKS);
	}
	box_free(&box);
}
END_TEST

START_TEST(a_reference_outlives_deletion_and_cannot_open_the_file_any_more)
{
	struct box box = box_new(POOL_BYTES, NULL);
	struct daxl_file *file = NULL;
	create(box.pool, "a");
	struct daxl_inode *ino = daxl_inode_get(box.pool, "a", 1);
	ck_assert_int_eq(unlink_name(box.pool, "a"), 0);
	ck_assert(ino->version->deleted);
	ck_assert_int_eq(daxl_handle_open(box.pool, ino, O_RDWR, &file), -ENOENT);
	ck_assert_ptr_null(file);
	ck_assert_int_eq(daxl_ckpt_run(box.pool, false, 0), 0);
	ck_assert_int_eq(daxl_ckpt_run(box.pool, false, 0), 0);
	ck_assert_ptr_nonnull(daxl_inode_by_id(box.pool, ino->id));
	uint32_t id = ino->id;
	daxl_inode_put(ino);
	ck_assert_ptr_null(daxl_inode_by_id(box.pool, id));
	box_free(&box);
}
END_TEST

START_TEST(rename_moves_the_file_and_replaces_what_is_there)
{
	struct box box = box_new(POOL_BYTES, NULL);
	uint32_t a = create(box.pool, "a"), b = create(box.pool, "b");
	ck_assert_int_eq(rename_name(box.pool, "a", "c", 0), 0);
	ck_assert_uint_eq(id_of(box.pool, "a"), 0);
	ck_assert_uint_eq(id_of(box.pool, "c"), a);
	ck_assert_int_eq(rename_name(box.pool, "c", "b", 0), 0);
	ck_assert_uint_eq(id_of(box.pool, "c"), 0);
	ck_assert_uint_eq(id_of(box.pool, "b"), a);
	ck_assert(is_deleted(box.pool, b));
	ck_assert(!is_deleted(box.pool, a));
	ck_assert_int_eq(rename_name(box.pool, "x", "b", 0), -ENOENT);
	ck_assert_int_eq(rename_name(box.pool, "x", "x", 0), -ENOENT);
	box_free(&box);
}
END_TEST

START_TEST(rename_onto_its_own_name_does_nothing)
{
	struct box box = box_new(POOL_BYTES, NULL);
	uint32_t a = create(box.pool, "a");
	uint64_t was = records(&box);
	ck_assert_int_eq(rename_name(box.pool, "a", "a", 0), 0);
	ck_assert_int_eq(rename_name(box.pool, "a", "a", DAXL_RENAME_EXCHANGE), 0);
	ck_assert_int_eq(rename_name(box.pool, "a", "a", DAXL_RENAME_NOREPLACE), -EEXIST);
	ck_assert_uint_eq(records(&box), was);
	ck_assert_uint_eq(id_of(box.pool, "a"), a);
	box_free(&box);
}
END_TEST

START_TEST(noreplace_and_exchange)
{
	struct box box = box_new(POOL_BYTES, NULL);
	uint32_t a = create(box.pool, "a"), b = create(box.pool, "b");
	ck_assert_int_eq(rename_name(box.pool, "a", "b", DAXL_RENAME_NOREPLACE), -EEXIST);
	ck_assert_int_eq(rename_name(box.pool, "a", "x", DAXL_RENAME_EXCHANGE), -ENOENT);
	ck_assert_int_eq(rename_name(box.pool, "a", "b", DAXL_RENAME_EXCHANGE), 0);
	ck_assert_uint_eq(id_of(box.pool, "a"), b);
	ck_assert_uint_eq(id_of(box.pool, "b"), a);
	ck_assert_int_eq(rename_name(box.pool, "b", "c", DAXL_RENAME_NOREPLACE), 0);
	ck_assert_uint_eq(id_of(box.pool, "c"), a);
	ck_assert(!is_deleted(box.pool, a) && !is_deleted(box.pool, b));
	box_free(&box);
}
END_TEST

START_TEST(rename_over_an_open_file_deletes_it_at_its_last_close)
{
	struct box box = box_new(POOL_BYTES, NULL);
	uint32_t a = create(box.pool, "a"), b = create(box.pool, "b");
	struct daxl_file *file = open_file(box.pool, "b");
	ck_assert_int_eq(rename_name(box.pool, "a", "b", 0), 0);
	ck_assert_uint_eq(id_of(box.pool, "b"), a);
	ck_assert(!is_deleted(box.pool, b));
	ck_assert_int_eq(daxl_handle_close(file), 0);
	ck_assert(is_deleted(box.pool, b));
	box_free(&box);
}
END_TEST

START_TEST(names_leave_the_generation_alone)
{
	struct box box = box_new(POOL_BYTES, NULL);
	create(box.pool, "a");
	struct daxl_file *file = open_file(box.pool, "a");
	uint64_t generation = file->ino->version->generation;
	ck_assert_int_eq(rename_name(box.pool, "a", "b", 0), 0);
	ck_assert_int_eq(unlink_name(box.pool, "b"), 0);
	ck_assert_uint_eq(file->ino->version->generation, generation);
	ck_assert_int_eq(daxl_handle_close(file), 0);
	box_free(&box);
}
END_TEST

START_TEST(a_pool_in_use_cannot_be_ended_and_says_who_uses_it)
{
	struct box box = box_new(POOL_BYTES, NULL);
	create(box.pool, "journal");
	struct daxl_file *file = open_file(box.pool, "journal");
	ck_assert_int_eq(daxl_pool_end(box.pool), -EBUSY);
	ck_assert_ptr_nonnull(strstr(daxl_error_last(), "'journal'"));
	ck_assert_int_eq(daxl_handle_close(file), 0);
	box_free(&box);
}
END_TEST

struct seen {
	uint64_t n, ids;
	unsigned stop_at;
};

static int see(const char *name, uint64_t id, void *arg)
{
	struct seen *seen = arg;
	unsigned number;
	ck_assert_int_eq(sscanf(name, "file-%u", &number), 1);
	seen->n++;
	seen->ids += id;
	return seen->n == seen->stop_at ? 77 : 0;
}

START_TEST(list_gives_every_name_once_and_stops_when_told)
{
	struct box box = box_new(POOL_BYTES * 4, NULL);
	uint64_t ids = 0;
	char name[32];
	for (unsigned i = 0; i < 3000; i++) {
		snprintf(name, sizeof(name), "file-%u", i);
		ids += create(box.pool, name);
	}
	struct seen seen = {0};
	ck_assert_int_eq(daxl_names_list(box.pool, see, &seen), 0);
	ck_assert_uint_eq(seen.n, 3000);
	ck_assert_uint_eq(seen.ids, ids);
	struct seen some = {.stop_at = 10};
	ck_assert_int_eq(daxl_names_list(box.pool, see, &some), 77);
	ck_assert_uint_eq(some.n, 10);
	box_reopen(&box);
	struct seen again = {0};
	ck_assert_int_eq(daxl_names_list(box.pool, see, &again), 0);
	ck_assert_uint_eq(again.n, 3000);
	ck_assert_uint_eq(again.ids, ids);
	box_free(&box);
}
END_TEST

/* The tables alone, with files that are only their names. */
START_TEST(a_table_of_names_finds_what_is_in_it_and_nothing_else)
{
	enum { FILES = 3000 };
	struct daxl_pool pool = {0};
	struct daxl_inode *inodes = calloc(FILES, sizeof(*inodes));
	struct daxl_name *names[FILES];
	uint64_t rng = 1, files = 0;
	ck_assert_ptr_nonnull(inodes);
	for (unsigned i = 0; i < FILES; i++) {
		char bytes[16];
		int len = snprintf(bytes, sizeof(bytes), "%u", i * 7919);
		ck_assert_int_eq(daxl_name_new(bytes, (size_t)len, &names[i]), 0);
	}
	/* It fills up, half of it goes, and so on. */
	for (unsigned step = 0; step < 40 * FILES; step++) {
		rng = rng * UINT64_C(6364136223846793005) + 1442695040888963407u;
		unsigned i = (unsigned)(rng >> 33) % FILES;
		bool there = daxl_names_find(&pool, names[i]->bytes, names[i]->len) == &inodes[i];
		ck_assert(there == (inodes[i].name != NULL));
		if (step / FILES % 4 == 3 && there) {
			daxl_names_remove(&pool, &inodes[i]);
			files--;
		} else if (step / FILES % 4 != 3 && !there) {
			ck_assert_int_eq(daxl_names_room(&pool), 0);
			daxl_names_insert(&pool, &inodes[i], names[i]);
			files++;
		}
		ck_assert_uint_eq(pool.files, files);
		if (step % FILES != 0)
			continue;
		for (unsigned k = 0; k < FILES; k++)
			ck_assert_ptr_eq(daxl_names_find(&pool, names[k]->bytes, names[k]->len),
			                 inodes[k].name != NULL ? &inodes[k] : NULL);
	}
	daxl_names_destroy(&pool);
	for (unsigned i = 0; i < FILES; i++)
		daxl_free(names[i]);
	free(inodes);
}
END_TEST

START_TEST(ids_go_on_after_the_numbers_wrap)
{
	struct box box = box_new(POOL_BYTES, NULL);
	uint32_t first = create(box.pool, "first");
	box.pool->next_id = UINT32_MAX;
	ck_assert_uint_eq(create(box.pool, "last"), UINT32_MAX);
	uint32_t next = create(box.pool, "next");
	ck_assert_uint_ne(next, 0);
	ck_assert_uint_ne(next, first);
	struct box copy = box_crash(&box);
	ck_assert_uint_eq(id_of(copy.pool, "next"), next);
	ck_assert_uint_eq(id_of(copy.pool, "last"), UINT32_MAX);
	box_free(&copy);
	box_free(&box);
}
END_TEST

/* --- against a model --- */

#define MODEL_NAMES 12

static void model_name(unsigned i, char *name, size_t size)
{
	static const char longest[] =
		"a rather long name that makes records of several slots so that they take more room than one and wrap "
		"around the ring in the middle of one another, as it should be, and a little more";
	snprintf(name, size, "%.*s%u", (int)(i * 17), longest, i);
}

static void compare(struct daxl_pool *pool, const uint32_t *model, const char *when)
{
	char name[256];
	unsigned there = 0;
	for (unsigned i = 0; i < MODEL_NAMES; i++) {
		model_name(i, name, sizeof(name));
		uint32_t id = id_of(pool, name);
		ck_assert_msg(id == model[i], "%s: '%s' is %u, not %u", when, name, id, model[i]);
		there += id != 0;
	}
	ck_assert_uint_eq(pool->files, there);
}

/* One random operation on pool and model. Open files come and go too. */
static void step(struct daxl_pool *pool, uint32_t *model, struct daxl_file **files)
{
	char from[256], to[256];
	unsigned a = (unsigned)(rand() % MODEL_NAMES), b = (unsigned)(rand() % MODEL_NAMES);
	unsigned flags = (unsigned)(rand() % 3);
	struct daxl_inode *ino;
	int rc;
	model_name(a, from, sizeof(from));
	model_name(b, to, sizeof(to));
	switch (rand() % 8) {
	case 0:
	case 1:
		rc = daxl_inode_create(pool, from, strlen(from), &ino);
		ck_assert_int_eq(rc, model[a] != 0 ? -EEXIST : 0);
		if (rc == 0) {
			model[a] = ino->id;
			daxl_inode_put(ino);
		}
		break;
	case 2:
		ck_assert_int_eq(unlink_name(pool, from), model[a] != 0 ? 0 : -ENOENT);
		model[a] = 0;
		break;
	case 3:
		if (files[a] == NULL && model[a] != 0) {
			files[a] = open_file(pool, from);
		} else if (files[a] != NULL) {
			ck_assert_int_eq(daxl_handle_close(files[a]), 0);
			files[a] = NULL;
		}
		break;
	case 4:
		if (rand() % 16 == 0)
			ck_assert_int_eq(daxl_ckpt_run(pool, false, 0), 0);
		break;
	default:
		rc = rename_name(pool, from, to, flags);
		if (model[a] == 0 || (flags == DAXL_RENAME_EXCHANGE && model[b] == 0)) {
			ck_assert_int_eq(rc, -ENOENT);
		} else if (flags == DAXL_RENAME_NOREPLACE && model[b] != 0) {
			ck_assert_int_eq(rc, -EEXIST);
		} else {
			ck_assert_int_eq(rc, 0);
			uint32_t id = model[a];
			if (a != b)
				model[a] = flags == DAXL_RENAME_EXCHANGE ? model[b] : 0;
			model[b] = id;
		}
	}
}

START_TEST(random_operations_agree_with_a_model_through_crashes_and_reopening)
{
	struct box box = box_new(POOL_BYTES, NULL);
	uint32_t model[MODEL_NAMES] = {0};
	struct daxl_file *files[MODEL_NAMES] = {NULL};
	for (unsigned i = 0; i < 20000; i++) {
		step(box.pool, model, files);
		if (rand() % 256 == 0)
			compare(box.pool, model, "in memory");
		if (rand() % 512 == 0) {
			struct box copy = box_crash(&box);
			compare(copy.pool, model, "after a crash");
			ck_assert_uint_eq(copy.pool->ids, copy.pool->files);
			box_free(&copy);
		}
		if (rand() % 1024 == 0) {
			for (unsigned f = 0; f < MODEL_NAMES; f++) {
				if (files[f] != NULL)
					ck_assert_int_eq(daxl_handle_close(files[f]), 0);
				files[f] = NULL;
			}
			box_reopen(&box);
			compare(box.pool, model, "after reopening");
		}
	}
	for (unsigned f = 0; f < MODEL_NAMES; f++)
		if (files[f] != NULL)
			ck_assert_int_eq(daxl_handle_close(files[f]), 0);
	box_free(&box);
}
END_TEST

/* --- without memory --- */

struct nth {
	bool memory; /* count that only */
	unsigned left;
	bool fired;
};

static bool fail_nth(const char *point, void *arg)
{
	struct nth *nth = arg;
	if (nth->fired || (nth->memory && !fault_is_memory(point)) || nth->left-- != 0)
		return false;
	nth->fired = true;
	return true;
}

static int do_create(struct daxl_pool *pool)
{
	struct daxl_inode *ino;
	int rc = daxl_inode_create(pool, "new", 3, &ino);
	if (rc == 0)
		daxl_inode_put(ino);
	return rc;
}

static int do_rename(struct daxl_pool *pool)
{
	return rename_name(pool, "a", "b", 0);
}

static int do_exchange(struct daxl_pool *pool)
{
	return rename_name(pool, "a", "b", DAXL_RENAME_EXCHANGE);
}

static int do_unlink(struct daxl_pool *pool)
{
	return unlink_name(pool, "a");
}

static int do_open(struct daxl_pool *pool)
{
	struct daxl_file *file;
	struct daxl_inode *ino = daxl_inode_get(pool, "a", 1);
	ck_assert_ptr_nonnull(ino);
	int rc = daxl_handle_open(pool, ino, O_RDWR, &file);
	if (rc == 0)
		rc = daxl_handle_close(file);
	else
		daxl_inode_put(ino);
	return rc;
}

START_TEST(without_memory_names_stay_as_they_were)
{
	int (*const op[])(struct daxl_pool *pool) = {do_create, do_rename, do_exchange, do_unlink, do_open};
	for (size_t i = 0; i < sizeof(op) / sizeof(op[0]); i++) {
		for (unsigned n = 0;; n++) {
			ck_assert_uint_lt(n, 100);
			struct box box = box_new(POOL_BYTES, NULL);
			uint32_t a = create(box.pool, "a"), b = create(box.pool, "b");
			/* A file that stays open keeps deletions away, which report to nobody. */
			struct daxl_file *one = i == 4 ? NULL : open_file(box.pool, "a");
			struct daxl_file *two = i == 4 ? NULL : open_file(box.pool, "b");
			struct nth nth = {.memory = true, .left = n};
			daxl_fault_set(fail_nth, &nth);
			int rc = op[i](box.pool);
			daxl_fault_set(NULL, NULL);
			if (nth.fired) {
				ck_assert_int_eq(rc, -ENOMEM);
				ck_assert_uint_eq(id_of(box.pool, "a"), a);
				ck_assert_uint_eq(id_of(box.pool, "b"), b);
				ck_assert_uint_eq(id_of(box.pool, "new"), 0);
				ck_assert_int_eq(op[i](box.pool), 0);
			} else {
				ck_assert_int_eq(rc, 0);
			}
			if (one != NULL) {
				ck_assert_int_eq(daxl_handle_close(one), 0);
				ck_assert_int_eq(daxl_handle_close(two), 0);
			}
			box_free(&box);
			if (!nth.fired)
				break;
		}
	}
}
END_TEST

START_TEST(a_pool_that_cannot_be_opened_for_want_of_memory_is_left_as_it_was)
{
	struct box box = box_new(POOL_BYTES, NULL);
	uint32_t a = create(box.pool, "a");
	struct daxl_media *media;
	char *mem = malloc(box.size);
	ck_assert_ptr_nonnull(mem);
	for (unsigned n = 0;; n++) {
		ck_assert_uint_lt(n, 10000);
		struct nth nth = {.left = n};
		struct box copy = {.mem = mem, .size = box.size};
		memcpy(mem, box.mem, box.size);
		ck_assert_int_eq(daxl_media_open_memory(mem, copy.size, false, &media), 0);
		daxl_fault_set(fail_nth, &nth);
		int rc = daxl_pool_load_media(media, NULL, &copy.pool);
		daxl_fault_set(NULL, NULL);
		if (rc != 0) {
			ck_assert(nth.fired);
			daxl_media_close(media);
			box_load(&copy);
		}
		ck_assert_uint_eq(id_of(copy.pool, "a"), a);
		ck_assert_int_eq(daxl_pool_end(copy.pool), 0);
		if (!nth.fired)
			break;
	}
	free(mem);
	box_free(&box);
}
END_TEST

static bool fail_all(const char *point, void *arg)
{
	(void)point;
	(void)arg;
	return true;
}

START_TEST(closing_works_without_the_last_checkpoint)
{
	struct box box = box_new(POOL_BYTES, NULL);
	uint32_t id = create(box.pool, "a");
	create(box.pool, "b");
	ck_assert_int_eq(unlink_name(box.pool, "b"), 0);
	daxl_fault_set(fail_all, NULL);
	int rc = daxl_pool_end(box.pool);
	daxl_fault_set(NULL, NULL);
	ck_assert_int_eq(rc, 0);
	box_load(&box);
	ck_assert(box.pool->recovered);
	ck_assert_uint_eq(id_of(box.pool, "a"), id);
	ck_assert_uint_eq(box.pool->ids, 1);
	box_free(&box);
}
END_TEST

START_TEST(a_file_whose_deletion_failed_is_deleted_by_the_next_open)
{
	struct box box = box_new(POOL_BYTES, NULL);
	create(box.pool, "a");
	struct daxl_file *file = open_file(box.pool, "a");
	ck_assert_int_eq(unlink_name(box.pool, "a"), 0);
	daxl_fault_set(fail_all, NULL);
	ck_assert_int_eq(daxl_handle_close(file), 0);
	daxl_fault_set(NULL, NULL);
	ck_assert_uint_eq(box.pool->ids, 1);
	struct box copy = box_crash(&box);
	ck_assert_uint_eq(copy.pool->ids, 0);
	box_free(&copy);
	box_reopen(&box);
	ck_assert_uint_eq(box.pool->ids, 0);
	box_free(&box);
}
END_TEST

/* --- threads --- */

#define THREADS 3u

struct worker {
	struct daxl_pool *pool;
	unsigned seed, rounds;
	int bad;
};

/* Creates, renames, opens and unlinks names that all threads fight about. Only the expected errors may come. */
static void *work(void *arg)
{
	struct worker *worker = arg;
	struct daxl_pool *pool = worker->pool;
	char from[16], to[16];
	for (unsigned i = 0; i < worker->rounds; i++) {
		snprintf(from, sizeof(from), "n%d", rand_r(&worker->seed) % 8);
		snprintf(to, sizeof(to), "n%d", rand_r(&worker->seed) % 8);
		struct daxl_inode *ino;
		struct daxl_file *file;
		int rc = 0;
		switch (rand_r(&worker->seed) % 4) {
		case 0:
			rc = daxl_inode_create(pool, from, strlen(from), &ino);
			if (rc == 0)
				daxl_inode_put(ino);
			break;
		case 1:
			rc = unlink_name(pool, from);
			break;
		case 2:
			rc = rename_name(pool, from, to, (unsigned)(rand_r(&worker->seed) % 3));
			break;
		default:
			ino = daxl_inode_get(pool, from, strlen(from));
			if (ino == NULL)
				break;
			rc = daxl_handle_open(pool, ino, O_RDWR, &file);
			if (rc == 0)
				rc = daxl_handle_close(file);
			else
				daxl_inode_put(ino);
		}
		if (rc != 0 && rc != -EEXIST && rc != -ENOENT)
			worker->bad = rc;
	}
	return NULL;
}

START_TEST(threads_fight_about_names_and_none_gets_lost)
{
	struct box box = box_new(POOL_BYTES, NULL);
	struct worker worker[THREADS];
	pthread_t thread[THREADS];
	for (unsigned i = 0; i < THREADS; i++) {
		worker[i] = (struct worker){.pool = box.pool, .seed = (unsigned)rand(), .rounds = 3000};
		ck_assert_int_eq(pthread_create(&thread[i], NULL, work, &worker[i]), 0);
	}
	for (unsigned i = 0; i < 20; i++)
		ck_assert_int_eq(daxl_ckpt_run(box.pool, false, 0), 0);
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(thread[i], NULL);
		ck_assert_int_eq(worker[i].bad, 0);
	}
	uint32_t model[8];
	char name[16];
	uint64_t files = box.pool->files;
	for (unsigned i = 0; i < 8; i++) {
		snprintf(name, sizeof(name), "n%u", i);
		model[i] = id_of(box.pool, name);
	}
	struct box copy = box_crash(&box);
	for (unsigned i = 0; i < 8; i++) {
		snprintf(name, sizeof(name), "n%u", i);
		ck_assert_uint_eq(id_of(copy.pool, name), model[i]);
	}
	ck_assert_uint_eq(copy.pool->files, files);
	box_free(&copy);
	/* Two checkpoints let go of all that was deleted. */
	ck_assert_int_eq(daxl_ckpt_run(box.pool, false, 0), 0);
	ck_assert_int_eq(daxl_ckpt_run(box.pool, false, 0), 0);
	ck_assert_uint_eq(box.pool->ids, files);
	box_free(&box);
}
END_TEST

START_TEST(a_background_thread_checkpoints_when_asked_to)
{
	struct daxl_pool_opts opts = DAXL_POOL_OPTS_INIT;
	opts.checkpoint_interval_ms = 1;
	struct box box = box_new(POOL_BYTES, &opts);
	struct daxl_pool_stat before, stat;
	daxl_pool_fill_stat(box.pool, &before);
	create(box.pool, "a");
	do
		daxl_pool_fill_stat(box.pool, &stat);
	while (stat.checkpoints == before.checkpoints);
	box_free(&box);
}
END_TEST

START_TEST(stat_tells_what_the_pool_has)
{
	struct box box = box_new(POOL_BYTES, NULL);
	struct daxl_pool_stat stat;
	create(box.pool, "a");
	struct daxl_file *file = open_file(box.pool, "a");
	daxl_pool_fill_stat(box.pool, &stat);
	ck_assert_uint_eq(stat.pool_size, POOL_BYTES);
	ck_assert_uint_eq(stat.block_size, 4096);
	ck_assert_uint_eq(stat.files, 1);
	ck_assert_uint_eq(stat.open_files, 1);
	ck_assert_uint_eq(stat.log_records, 1);
	ck_assert_uint_ge(stat.log_used_bytes, 64);
	ck_assert_uint_eq(stat.log_size_bytes, 256 << 10);
	ck_assert_uint_gt(stat.free_blocks, POOL_BYTES / 4096 * 8 / 10);
	ck_assert_uint_lt(stat.total_blocks, POOL_BYTES / 4096);
	ck_assert_uint_eq(stat.epoch, box.pool->epoch);
	ck_assert_uint_eq(stat.flags & DAXL_POOL_STAT_RECOVERED, 0);
	struct box copy = box_crash(&box);
	daxl_pool_fill_stat(copy.pool, &stat);
	ck_assert_uint_ne(stat.flags & DAXL_POOL_STAT_RECOVERED, 0);
	box_free(&copy);
	ck_assert_int_eq(daxl_handle_close(file), 0);
	box_reopen(&box);
	daxl_pool_fill_stat(box.pool, &stat);
	ck_assert_uint_eq(stat.flags & DAXL_POOL_STAT_RECOVERED, 0);
	box_free(&box);
}
END_TEST

START_TEST(the_smallest_pools_work)
{
	const struct {
		size_t size;
		uint32_t block_size;
	} small[] = {{4 << 20, 4096}, {4 << 20, 65536}, {4 << 20, 262144}, {32 << 20, 2097152}};
	for (size_t i = 0; i < sizeof(small) / sizeof(small[0]); i++) {
		struct daxl_pool_opts opts = DAXL_POOL_OPTS_INIT;
		struct daxl_pool_stat stat;
		opts.block_size = small[i].block_size;
		struct box box = box_new(small[i].size, &opts);
		uint32_t id = create(box.pool, "a");
		daxl_pool_fill_stat(box.pool, &stat);
		ck_assert_uint_gt(stat.free_blocks, 5);
		ck_assert_uint_ge(stat.reserved_blocks * small[i].block_size, 64 * 4096);
		box_reopen(&box);
		ck_assert_uint_eq(id_of(box.pool, "a"), id);
		box_free(&box);
	}
}
END_TEST

/* --- on files --- */

/* A path in a directory of its own, under TMPDIR. */
struct place {
	char dir[200], path[240];
};

static struct place place_new(void)
{
	struct place place;
	const char *tmp = getenv("TMPDIR");
	snprintf(place.dir, sizeof(place.dir), "%s/daxl-names-XXXXXX", tmp != NULL ? tmp : "/tmp");
	ck_assert_ptr_nonnull(mkdtemp(place.dir));
	snprintf(place.path, sizeof(place.path), "%s/pool", place.dir);
	return place;
}

static void place_free(struct place *place)
{
	unlink(place->path);
	ck_assert_int_eq(rmdir(place->dir), 0);
}

/* Bytes of the file, -1: there is none. */
static long long bytes_of(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0 ? (long long)st.st_size : -1;
}

START_TEST(a_pool_on_a_file_is_made_closed_and_opened)
{
	struct place place = place_new();
	struct daxl_pool *pool, *second;
	ck_assert_int_eq(daxl_pool_load(place.path, NULL, &pool), -ENOENT);
	int rc = daxl_pool_make(place.path, POOL_BYTES + 5, NULL, &pool);
	ck_assert_msg(rc == 0, "%d: %s", rc, daxl_error_last());
	ck_assert_int_eq(bytes_of(place.path), POOL_BYTES);
	ck_assert_int_eq(daxl_pool_load(place.path, NULL, &second), -EBUSY);
	uint32_t id = create(pool, "a");
	ck_assert_int_eq(daxl_pool_end(pool), 0);
	ck_assert_int_eq(daxl_pool_make(place.path, POOL_BYTES, NULL, &pool), -EEXIST);
	ck_assert_int_eq(bytes_of(place.path), POOL_BYTES);
	ck_assert_int_eq(daxl_pool_load(place.path, NULL, &pool), 0);
	ck_assert_uint_eq(id_of(pool, "a"), id);
	create(pool, "b");
	daxl_pool_abandon(pool);
	ck_assert_int_eq(daxl_pool_load(place.path, NULL, &pool), 0);
	ck_assert(pool->recovered);
	ck_assert_uint_eq(pool->files, 2);
	ck_assert_int_eq(daxl_pool_end(pool), 0);
	place_free(&place);
}
END_TEST

START_TEST(a_pool_opened_for_reading_recovers_in_memory_alone)
{
	struct place place = place_new();
	struct daxl_pool *pool;
	struct daxl_pool_opts opts = DAXL_POOL_OPTS_INIT;
	struct daxl_inode *ino;
	char *before = malloc(POOL_BYTES), *after = malloc(POOL_BYTES);
	ck_assert_int_eq(daxl_pool_make(place.path, POOL_BYTES, NULL, &pool), 0);
	uint32_t id = create(pool, "a");
	daxl_pool_abandon(pool);
	FILE *file = fopen(place.path, "r");
	ck_assert_uint_eq(fread(before, 1, POOL_BYTES, file), POOL_BYTES);
	opts.flags = DAXL_POOL_READ_ONLY;
	int rc = daxl_pool_load(place.path, &opts, &pool);
	ck_assert_msg(rc == 0, "%d: %s", rc, daxl_error_last());
	ck_assert_uint_eq(id_of(pool, "a"), id);
	ck_assert_int_eq(daxl_inode_create(pool, "b", 1, &ino), -EROFS);
	ck_assert_int_eq(unlink_name(pool, "a"), -EROFS);
	ck_assert_int_eq(rename_name(pool, "a", "b", 0), -EROFS);
	ck_assert_int_eq(daxl_pool_end(pool), 0);
	rewind(file);
	ck_assert_uint_eq(fread(after, 1, POOL_BYTES, file), POOL_BYTES);
	fclose(file);
	ck_assert_int_eq(memcmp(before, after, POOL_BYTES), 0);
	free(before);
	free(after);
	place_free(&place);
}
END_TEST

START_TEST(a_pool_that_cannot_be_made_leaves_no_file_or_the_empty_one_that_was_there)
{
	struct daxl_pool *pool;
	struct daxl_pool_opts opts = DAXL_POOL_OPTS_INIT;
	struct place place = place_new();
	ck_assert_int_eq(daxl_pool_make(place.path, 1 << 20, NULL, &pool), -EINVAL);
	ck_assert_int_eq(daxl_pool_make(place.path, 0, NULL, &pool), -EINVAL);
	opts.block_size = 5000;
	ck_assert_int_eq(daxl_pool_make(place.path, POOL_BYTES, &opts, &pool), -EINVAL);
	ck_assert_int_eq(bytes_of(place.path), -1);
	opts.block_size = 0;
	opts.flags = DAXL_POOL_SPARSE;
	for (unsigned empty = 0; empty < 2; empty++) {
		for (unsigned n = 0;; n++) {
			ck_assert_uint_lt(n, 10000);
			struct nth nth = {.left = n};
			if (empty)
				fclose(fopen(place.path, "w"));
			daxl_fault_set(fail_nth, &nth);
			int rc = daxl_pool_make(place.path, POOL_BYTES, &opts, &pool);
			daxl_fault_set(NULL, NULL);
			if (rc == 0) {
				ck_assert_int_eq(daxl_pool_end(pool), 0);
				ck_assert_int_eq(unlink(place.path), 0);
			} else {
				ck_assert(nth.fired);
				ck_assert_int_eq(bytes_of(place.path), empty ? 0 : -1);
			}
			if (!nth.fired)
				break;
		}
	}
	place_free(&place);
}
END_TEST

START_TEST(a_truncated_pool_says_so)
{
	struct daxl_pool *pool;
	struct place place = place_new();
	ck_assert_int_eq(daxl_pool_make(place.path, POOL_BYTES, NULL, &pool), 0);
	ck_assert_int_eq(daxl_pool_end(pool), 0);
	ck_assert_int_eq(truncate(place.path, POOL_BYTES / 2), 0);
	ck_assert_int_eq(daxl_pool_load(place.path, NULL, &pool), -EUCLEAN);
	ck_assert_ptr_nonnull(strstr(daxl_error_last(), "truncated"));
	place_free(&place);
}
END_TEST

static void add_all(Suite *s)
{
	TCase *t = tcase_create("names");
	tcase_set_timeout(t, 120);
	tcase_add_test(t, a_created_file_is_found_and_cannot_be_created_again);
	tcase_add_test(t, names_are_bytes_of_any_kind_up_to_255);
	tcase_add_test(t, unlink_of_a_closed_file_deletes_it_at_once);
	tcase_add_test(t, a_file_that_was_never_opened_is_deleted_too);
	tcase_add_test(t, an_unlinked_file_lives_until_its_last_close);
	tcase_add_test(t, a_closed_file_has_a_range_lock_only_while_something_may_be_in_it);
	tcase_add_test(t, many_files_open_at_once_have_a_range_lock_each);
	tcase_add_test(t, a_reference_outlives_deletion_and_cannot_open_the_file_any_more);
	tcase_add_test(t, rename_moves_the_file_and_replaces_what_is_there);
	tcase_add_test(t, rename_onto_its_own_name_does_nothing);
	tcase_add_test(t, noreplace_and_exchange);
	tcase_add_test(t, rename_over_an_open_file_deletes_it_at_its_last_close);
	tcase_add_test(t, names_leave_the_generation_alone);
	tcase_add_test(t, list_gives_every_name_once_and_stops_when_told);
	tcase_add_test(t, a_table_of_names_finds_what_is_in_it_and_nothing_else);
	tcase_add_test(t, ids_go_on_after_the_numbers_wrap);
	tcase_add_test(t, random_operations_agree_with_a_model_through_crashes_and_reopening);
	tcase_add_test(t, without_memory_names_stay_as_they_were);
	tcase_add_test(t, threads_fight_about_names_and_none_gets_lost);
	suite_add_tcase(s, t);
	t = tcase_create("pool");
	tcase_set_timeout(t, 120);
	tcase_add_test(t, a_pool_in_use_cannot_be_ended_and_says_who_uses_it);
	tcase_add_test(t, a_pool_that_cannot_be_opened_for_want_of_memory_is_left_as_it_was);
	tcase_add_test(t, closing_works_without_the_last_checkpoint);
	tcase_add_test(t, a_file_whose_deletion_failed_is_deleted_by_the_next_open);
	tcase_add_test(t, a_background_thread_checkpoints_when_asked_to);
	tcase_add_test(t, stat_tells_what_the_pool_has);
	tcase_add_test(t, the_smallest_pools_work);
	tcase_add_test(t, a_pool_on_a_file_is_made_closed_and_opened);
	tcase_add_test(t, a_pool_opened_for_reading_recovers_in_memory_alone);
	tcase_add_test(t, a_pool_that_cannot_be_made_leaves_no_file_or_the_empty_one_that_was_there);
	tcase_add_test(t, a_truncated_pool_says_so);
	suite_add_tcase(s, t);
}

int main(void)
{
	const char *given = getenv("DAXL_SEED");
	unsigned seed = given != NULL ? (unsigned)strtoul(given, NULL, 0) : (unsigned)time(NULL);
	printf("DAXL_SEED=%u\n", seed);
	srand(seed);
	Suite *s = suite_create("names");
	add_all(s);
	SRunner *sr = srunner_create(s);
	srunner_set_fork_status(sr, CK_NOFORK);
	srunner_run_all(sr, CK_NORMAL);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
