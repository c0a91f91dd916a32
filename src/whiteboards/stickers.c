/*
 * stickers.c
 *	  Makes the stored stickers of a whiteboard equal to those in a request.
 *
 * One read, then a comparison in memory, then at most one statement of each
 * kind: a removal, an update and an insert.  There are as many statements for
 * ten thousand stickers as for ten, and rows that stay as they are are not
 * written.
 *
 * The caller has locked the whiteboard, so that requests for one whiteboard come
 * one after the other, and each compares with what the one before has left.
 * Stickers are locked by being written, after their whiteboard.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "utils/array.h"

#include "core/plans.h"
#include "whiteboards/stickers.h"

/*
 * $1 is the group, $2 the whiteboard; then come arrays, with an element for each
 * sticker: ids, urls, titles.
 */
static SqlPlan stickers_read = {
	.sql = "SELECT s.id, s.created_at, s.updated_at, s.url, s.title"
	" FROM chatrel.stickers s"
	" WHERE s.group_id" EQ "$1 AND s.whiteboard_id" EQ "$2"
	" ORDER BY s.id",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, INT8OID)
};

/* RETURNING gives the ids in the order of the arrays. */
static SqlPlan stickers_insert = {
	.sql = "INSERT INTO chatrel.stickers (group_id, whiteboard_id, url, title)"
	" SELECT $1, $2, p.url, p.title"
	" FROM ROWS FROM (pg_catalog.unnest($3), pg_catalog.unnest($4))"
	" WITH ORDINALITY AS p (url, title, ordinality)"
	" ORDER BY p.ordinality RETURNING id",
	.expected = SPI_OK_INSERT_RETURNING,
	PLAN_ARGS(INT8OID, INT8OID, TEXTARRAYOID, TEXTARRAYOID)
};

static SqlPlan stickers_update = {
	.sql = "UPDATE chatrel.stickers AS s"
	" SET url = p.url, title = p.title, updated_at = pg_catalog.now()"
	" FROM ROWS FROM (pg_catalog.unnest($3), pg_catalog.unnest($4), pg_catalog.unnest($5))"
	" AS p (id, url, title)"
	" WHERE s.group_id" EQ "$1 AND s.whiteboard_id" EQ "$2 AND s.id" EQ "p.id",
	.expected = SPI_OK_UPDATE,
	PLAN_ARGS(INT8OID, INT8OID, INT8ARRAYOID, TEXTARRAYOID, TEXTARRAYOID)
};

static SqlPlan stickers_nilify = {
	.sql = "UPDATE chatrel.stickers AS s"
	" SET whiteboard_id = NULL, updated_at = pg_catalog.now()"
	" WHERE s.group_id" EQ "$1 AND s.whiteboard_id" EQ "$2 AND s.id" EQ "ANY ($3)",
	.expected = SPI_OK_UPDATE,
	PLAN_ARGS(INT8OID, INT8OID, INT8ARRAYOID)
};

static SqlPlan stickers_delete = {
	.sql = "DELETE FROM chatrel.stickers AS s"
	" WHERE s.group_id" EQ "$1 AND s.whiteboard_id" EQ "$2 AND s.id" EQ "ANY ($3)",
	.expected = SPI_OK_DELETE,
	PLAN_ARGS(INT8OID, INT8OID, INT8ARRAYOID)
};

/* ---------- reading ---------- */

static void
read_sticker(const PlanResult *found, uint64 row, Sticker *sticker)
{
	sticker->has_id = true;
	sticker->id = result_int64(found, row, 1);
	sticker->created_at = result_int64(found, row, 2);
	sticker->updated_at = result_int64(found, row, 3);
	sticker->url = DatumGetTextPP(result_datum(found, row, 4));
	sticker->title = DatumGetTextPP(result_datum(found, row, 5));
	sticker->match = NULL;
}

/* The stored stickers in the order of their ids; gone with owner_end(). */
void
read_stickers(const Whiteboard *whiteboard, PlanAccess access, Stickers *stickers)
{
	Datum		values[] = {Int64GetDatum(whiteboard->group_id), Int64GetDatum(whiteboard->id)};
	PlanResult	found = plan_run(&stickers_read, access, values, NULL);

	stickers->n = (int) found.nrows;
	stickers->rows = palloc_array(Sticker, stickers->n);
	for (int i = 0; i < stickers->n; i++)
		read_sticker(&found, i, &stickers->rows[i]);
}

/* ---------- comparing ---------- */

/* Both sides are in the order of the ids. */
static void
match_stickers(Stickers *stored, StickerParams *params)
{
	int			next = 0;

	for (int i = 0; i < stored->n; i++)
	{
		Sticker    *sticker = &stored->rows[i];

		while (next < params->nnamed && params->named[next]->id < sticker->id)
			next++;
		if (next < params->nnamed && params->named[next]->id == sticker->id)
		{
			sticker->match = params->named[next];
			sticker->match->match = sticker;
		}
	}
}

static bool
texts_differ(const text *a, const text *b)
{
	return VARSIZE_ANY_EXHDR(a) != VARSIZE_ANY_EXHDR(b) ||
		memcmp(VARDATA_ANY(a), VARDATA_ANY(b), VARSIZE_ANY_EXHDR(a)) != 0;
}

/* Stored stickers that are not named are faults, unless on_replace takes them away. */
static void
check_all_named(const Stickers *stored, StickerParams *params)
{
	if (params->on_replace == ON_REPLACE_NILIFY || params->on_replace == ON_REPLACE_DELETE)
		return;
	for (int i = 0; i < stored->n && !faults_full(params); i++)
		if (stored->rows[i].match == NULL)
			add_fault(params, ERRCODE_INVALID_PARAMETER_VALUE, WHOLE_REQUEST, "stickers",
					  psprintf("must name %lld, which is stored",
							   (long long) stored->rows[i].id),
					  "Name every stored one, or let on_replace say what becomes of the others: mark_as_invalid, nilify or delete.");
}

/* ---------- writing ---------- */

/* The stickers that one statement writes. */
typedef struct Batch
{
	int			n;
	Sticker   **rows;
} Batch;

static void
batch_init(Batch *batch, int max_rows)
{
	batch->n = 0;
	batch->rows = palloc_array(Sticker *, max_rows);
}

static void
batch_ids(const Batch *batch, IdList *ids)
{
	ids->n = batch->n;
	ids->ids = palloc_array(int64, batch->n);
	for (int i = 0; i < batch->n; i++)
		ids->ids[i] = batch->rows[i]->id;
}

static Datum
text_array(Datum *elements, int n)
{
	return PointerGetDatum(construct_array(elements, n, TEXTOID, -1, false, TYPALIGN_INT));
}

static Datum
url_array(const Batch *batch)
{
	Datum	   *urls = palloc_array(Datum, batch->n);

	for (int i = 0; i < batch->n; i++)
		urls[i] = PointerGetDatum(batch->rows[i]->url);
	return text_array(urls, batch->n);
}

static Datum
title_array(const Batch *batch)
{
	Datum	   *titles = palloc_array(Datum, batch->n);

	for (int i = 0; i < batch->n; i++)
		titles[i] = PointerGetDatum(batch->rows[i]->title);
	return text_array(titles, batch->n);
}

/* Runs a statement that must write every row of a batch. */
static PlanResult
write_batch(SqlPlan *plan, Datum *values, const Batch *batch)
{
	PlanResult	written = plan_run(plan, PLAN_WRITE, values, NULL);

	/* Only who writes the tables without asking us gets in between. */
	if (written.nrows != batch->n)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not serialize access due to a concurrent change")));
	return written;
}

/* What params have and the table does not, in the order of params. */
static void
insert_stickers(const Whiteboard *whiteboard, StickerParams *params, Batch *batch)
{
	TimestampTz now = GetCurrentTransactionStartTimestamp();
	Datum		values[4] = {Int64GetDatum(whiteboard->group_id), Int64GetDatum(whiteboard->id)};
	PlanResult	inserted;

	batch_init(batch, params->stickers.n);
	for (int i = 0; i < params->stickers.n; i++)
		if (params->stickers.rows[i].match == NULL)
			batch->rows[batch->n++] = &params->stickers.rows[i];
	if (batch->n == 0)
		return;

	values[2] = url_array(batch);
	values[3] = title_array(batch);
	inserted = write_batch(&stickers_insert, values, batch);
	for (int i = 0; i < batch->n; i++)
	{
		batch->rows[i]->id = result_int64(&inserted, i, 1);
		batch->rows[i]->created_at = batch->rows[i]->updated_at = now;
	}
}

/* What both have, and have differently, in the order of the ids. */
static void
collect_updates(Stickers *stored, Batch *batch)
{
	TimestampTz now = GetCurrentTransactionStartTimestamp();

	batch_init(batch, stored->n);
	for (int i = 0; i < stored->n; i++)
	{
		Sticker    *sticker = &stored->rows[i];
		Sticker    *wanted = sticker->match;

		if (wanted == NULL || (!texts_differ(sticker->url, wanted->url) &&
							   !texts_differ(sticker->title, wanted->title)))
			continue;
		sticker->url = wanted->url;
		sticker->title = wanted->title;
		sticker->updated_at = now;
		batch->rows[batch->n++] = sticker;
	}
}

static void
update_stickers(const Whiteboard *whiteboard, Stickers *stored, IdList *updated)
{
	Datum		values[5] = {Int64GetDatum(whiteboard->group_id), Int64GetDatum(whiteboard->id)};
	Batch		batch;

	collect_updates(stored, &batch);
	batch_ids(&batch, updated);
	if (batch.n == 0)
		return;
	values[2] = int64_array(updated->ids, updated->n);
	values[3] = url_array(&batch);
	values[4] = title_array(&batch);
	write_batch(&stickers_update, values, &batch);
}

/* What the table has and params do not. */
static void
remove_stickers(const Whiteboard *whiteboard, Stickers *stored, OnReplace on_replace,
				IdList *removed)
{
	Datum		values[3] = {Int64GetDatum(whiteboard->group_id), Int64GetDatum(whiteboard->id)};
	Batch		batch;

	batch_init(&batch, stored->n);
	for (int i = 0; i < stored->n; i++)
		if (stored->rows[i].match == NULL)
			batch.rows[batch.n++] = &stored->rows[i];
	batch_ids(&batch, removed);
	if (batch.n == 0)
		return;
	values[2] = int64_array(removed->ids, removed->n);
	write_batch(on_replace == ON_REPLACE_NILIFY ? &stickers_nilify : &stickers_delete,
				values, &batch);
}

static int
compare_stickers(const void *a, const void *b)
{
	int64		left = ((const Sticker *) a)->id;
	int64		right = ((const Sticker *) b)->id;

	return (left > right) - (left < right);
}

/* The stickers that there are now, in the order of their ids. */
static void
collect_stickers(const Stickers *stored, const Batch *inserted, Stickers *stickers)
{
	stickers->n = 0;
	stickers->rows = palloc_array(Sticker, stored->n + inserted->n);
	for (int i = 0; i < stored->n; i++)
		if (stored->rows[i].match != NULL)
			stickers->rows[stickers->n++] = stored->rows[i];
	for (int i = 0; i < inserted->n; i++)
		stickers->rows[stickers->n++] = *inserted->rows[i];
	qsort(stickers->rows, stickers->n, sizeof(Sticker), compare_stickers);
}

/*
 * Makes the stickers of a locked whiteboard those of params; false, and nothing
 * is written, if params have faults.
 */
bool
change_stickers(const Whiteboard *whiteboard, StickerParams *params, StickerChange *change)
{
	Stickers	stored;
	Batch		inserted;

	read_stickers(whiteboard, PLAN_WRITE, &stored);
	match_stickers(&stored, params);
	if (params->ids_known)
		check_all_named(&stored, params);
	if (params->nfaults > 0)
		return false;

	remove_stickers(whiteboard, &stored, params->on_replace, &change->removed);
	update_stickers(whiteboard, &stored, &change->updated);
	insert_stickers(whiteboard, params, &inserted);
	batch_ids(&inserted, &change->inserted);
	collect_stickers(&stored, &inserted, &change->stickers);
	return true;
}

bool
stickers_changed(const StickerChange *change)
{
	return change->inserted.n + change->updated.n + change->removed.n > 0;
}
