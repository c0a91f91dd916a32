/*
 * stickers.c
 *	  Makes the stored stickers of a whiteboard equal to those in a request.
 *
 * One read, then a comparison in memory, then at most one statement of each
 * kind: a removal, an update of texts, a move, and an insert.  There are as many
 * statements for ten thousand stickers as for ten, and rows that stay as they are
 * are not written.
 *
 * The caller has locked the whiteboard, so that requests for one whiteboard come
 * one after the other, and each compares with what the one before has left.
 * Stickers are locked by being written, after their whiteboard.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "utils/array.h"

#include "core/check.h"
#include "core/plans.h"
#include "whiteboards/sticker_order.h"
#include "whiteboards/stickers.h"

/*
 * $1 is the group, $2 the whiteboard; then come arrays, with an element for each
 * sticker: ids, urls, titles, positions.
 */
static SqlPlan stickers_read = {
	.sql = "SELECT s.id, s.created_at, s.updated_at, s.url, s.title, s.position"
	" FROM chatrel.stickers s"
	" WHERE s.group_id" EQ "$1 AND s.whiteboard_id" EQ "$2"
	" ORDER BY s.position, s.id",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, INT8OID)
};

/* RETURNING gives the ids in the order of the arrays. */
static SqlPlan stickers_insert = {
	.sql = "INSERT INTO chatrel.stickers (group_id, whiteboard_id, url, title, position)"
	" SELECT $1, $2, p.url, p.title, p.position"
	" FROM ROWS FROM (pg_catalog.unnest($3), pg_catalog.unnest($4), pg_catalog.unnest($5))"
	" WITH ORDINALITY AS p (url, title, position, ordinality)"
	" ORDER BY p.ordinality RETURNING id",
	.expected = SPI_OK_INSERT_RETURNING,
	PLAN_ARGS(INT8OID, INT8OID, TEXTARRAYOID, TEXTARRAYOID, INT8ARRAYOID)
};

static SqlPlan stickers_update = {
	.sql = "UPDATE chatrel.stickers AS s"
	" SET url = p.url, title = p.title, position = p.position, updated_at = pg_catalog.now()"
	" FROM ROWS FROM (pg_catalog.unnest($3), pg_catalog.unnest($4), pg_catalog.unnest($5),"
	" pg_catalog.unnest($6)) AS p (id, url, title, position)"
	" WHERE s.group_id" EQ "$1 AND s.whiteboard_id" EQ "$2 AND s.id" EQ "p.id",
	.expected = SPI_OK_UPDATE,
	PLAN_ARGS(INT8OID, INT8OID, INT8ARRAYOID, TEXTARRAYOID, TEXTARRAYOID, INT8ARRAYOID)
};

/* It leaves updated_at, which tells of the sticker itself. */
static SqlPlan stickers_move = {
	.sql = "UPDATE chatrel.stickers AS s SET position = p.position"
	" FROM ROWS FROM (pg_catalog.unnest($3), pg_catalog.unnest($4)) AS p (id, position)"
	" WHERE s.group_id" EQ "$1 AND s.whiteboard_id" EQ "$2 AND s.id" EQ "p.id",
	.expected = SPI_OK_UPDATE,
	PLAN_ARGS(INT8OID, INT8OID, INT8ARRAYOID, INT8ARRAYOID)
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

static SqlPlan stickers_there = {
	.sql = "SELECT FROM chatrel.stickers AS s"
	" WHERE s.group_id" EQ "$1 AND s.whiteboard_id" EQ "$2 AND s.id" EQ "ANY ($3)",
	.expected = SPI_OK_SELECT,
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
	sticker->position = result_int64(found, row, 6);
	sticker->match = NULL;
}

/* The stored stickers in their order; gone with owner_end(). */
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

static int
compare_ids(const void *a, const void *b)
{
	int64		left = (*(Sticker *const *) a)->id;
	int64		right = (*(Sticker *const *) b)->id;

	return (left > right) - (left < right);
}

/* The stickers of params that are stored become what they will be: those, with other texts. */
static void
match_sticker(Sticker *stored, Sticker *wanted)
{
	stored->match = wanted;
	wanted->match = stored;
	wanted->position = stored->position;
	wanted->created_at = stored->created_at;
	wanted->updated_at = stored->updated_at;
}

static void
match_stickers(Stickers *stored, StickerParams *params)
{
	Sticker   **by_id = palloc_array(Sticker *, stored->n);
	int			next = 0;

	for (int i = 0; i < stored->n; i++)
		by_id[i] = &stored->rows[i];
	qsort(by_id, stored->n, sizeof(Sticker *), compare_ids);

	for (int i = 0; i < stored->n; i++)
	{
		while (next < params->nnamed && params->named[next]->id < by_id[i]->id)
			next++;
		if (next < params->nnamed && params->named[next]->id == by_id[i]->id)
			match_sticker(by_id[i], params->named[next]);
	}
	pfree(by_id);
}

static bool
texts_differ(const text *a, const text *b)
{
	return VARSIZE_ANY_EXHDR(a) != VARSIZE_ANY_EXHDR(b) ||
		memcmp(VARDATA_ANY(a), VARDATA_ANY(b), VARSIZE_ANY_EXHDR(a)) != 0;
}

/* Of a wanted sticker: it is new; of a stored one: it is removed. */
static bool
has_no_match(const Sticker *sticker)
{
	return sticker->match == NULL;
}

static bool
is_updated(const Sticker *wanted)
{
	return wanted->match != NULL && (texts_differ(wanted->url, wanted->match->url) ||
									 texts_differ(wanted->title, wanted->match->title));
}

static bool
is_moved(const Sticker *wanted)
{
	return wanted->moved;
}

/* Has it another position, because it is moved or because others needed room? */
static bool
has_other_position(const Sticker *wanted)
{
	return wanted->match != NULL && wanted->position != wanted->match->position;
}

static bool
is_only_repositioned(const Sticker *wanted)
{
	return has_other_position(wanted) && !is_updated(wanted);
}

/* Stored stickers that are not named are faults, unless on_replace takes them away. */
static void
check_all_named(const Stickers *stored, StickerParams *params)
{
	if (params->on_replace == ON_REPLACE_NILIFY || params->on_replace == ON_REPLACE_DELETE)
		return;
	for (int i = 0; i < stored->n && !faults_full(params); i++)
		if (has_no_match(&stored->rows[i]))
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

static Batch
collect(const Stickers *stickers, bool (*is_in) (const Sticker *))
{
	Batch		batch = {.rows = palloc_array(Sticker *, stickers->n)};

	for (int i = 0; i < stickers->n; i++)
		if (is_in(&stickers->rows[i]))
			batch.rows[batch.n++] = &stickers->rows[i];
	return batch;
}

static IdList
batch_ids(const Batch *batch)
{
	IdList		ids;

	ids.n = batch->n;
	ids.ids = palloc_array(int64, batch->n);
	for (int i = 0; i < batch->n; i++)
		ids.ids[i] = batch->rows[i]->id;
	return ids;
}

static Datum
id_array(const Batch *batch)
{
	IdList		ids = batch_ids(batch);

	return int64_array(ids.ids, ids.n);
}

static Datum
position_array(const Batch *batch)
{
	int64	   *positions = palloc_array(int64, batch->n);

	for (int i = 0; i < batch->n; i++)
		positions[i] = batch->rows[i]->position;
	return int64_array(positions, batch->n);
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

/*
 * Rows that were not written, and are no more where they were found, were changed
 * by somebody who writes the tables without asking us; nothing but a trigger keeps
 * a statement from those that are.
 */
static void
error_not_written(const Batch *batch, uint64 nwritten, bool removes, Datum *values)
{
	PlanResult	there = plan_run(&stickers_there, PLAN_LATEST, values, NULL);

	if (there.nrows == batch->n - (removes ? nwritten : 0))
		error_change_suppressed("stickers");
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("could not serialize access due to a concurrent change")));
}

/*
 * Runs a statement that must write every row of a batch.  values begin with the
 * group and the whiteboard, and, unless it inserts them, the rows' ids.
 */
static PlanResult
write_batch(SqlPlan *plan, const Whiteboard *whiteboard, const Batch *batch, Datum *values)
{
	PlanResult	written;

	values[0] = Int64GetDatum(whiteboard->group_id);
	values[1] = Int64GetDatum(whiteboard->id);
	written = plan_run(plan, PLAN_WRITE, values, NULL);
	if (plan == &stickers_insert)
		check_changed(written.nrows, batch->n, "stickers");
	else if (written.nrows < batch->n)
		error_not_written(batch, written.nrows,
						  plan == &stickers_delete || plan == &stickers_nilify, values);
	return written;
}

/* What the table has and params do not. */
static IdList
remove_stickers(const Whiteboard *whiteboard, const Stickers *stored, OnReplace on_replace)
{
	Batch		batch = collect(stored, has_no_match);
	SqlPlan    *plan = on_replace == ON_REPLACE_NILIFY ? &stickers_nilify : &stickers_delete;
	Datum		values[3];

	if (batch.n > 0)
	{
		values[2] = id_array(&batch);
		write_batch(plan, whiteboard, &batch, values);
	}
	return batch_ids(&batch);
}

/* What both have, and have differently. */
static IdList
update_stickers(const Whiteboard *whiteboard, const Stickers *wanted)
{
	Batch		batch = collect(wanted, is_updated);
	Datum		values[6];

	if (batch.n > 0)
	{
		values[2] = id_array(&batch);
		values[3] = url_array(&batch);
		values[4] = title_array(&batch);
		values[5] = position_array(&batch);
		write_batch(&stickers_update, whiteboard, &batch, values);
	}
	for (int i = 0; i < batch.n; i++)
		batch.rows[i]->updated_at = GetCurrentTransactionStartTimestamp();
	return batch_ids(&batch);
}

/* Writes the positions that update_stickers() has not, and returns which were moved. */
static IdList
move_stickers(const Whiteboard *whiteboard, const Stickers *wanted)
{
	Batch		batch = collect(wanted, is_only_repositioned);
	Batch		moved = collect(wanted, is_moved);
	Datum		values[4];

	if (batch.n > 0)
	{
		values[2] = id_array(&batch);
		values[3] = position_array(&batch);
		write_batch(&stickers_move, whiteboard, &batch, values);
	}
	return batch_ids(&moved);
}

/* What params have and the table does not; it gets an id, whatever params say. */
static IdList
insert_stickers(const Whiteboard *whiteboard, const Stickers *wanted)
{
	TimestampTz now = GetCurrentTransactionStartTimestamp();
	Batch		batch = collect(wanted, has_no_match);
	Datum		values[5];
	PlanResult	inserted;

	if (batch.n == 0)
		return batch_ids(&batch);
	values[2] = url_array(&batch);
	values[3] = title_array(&batch);
	values[4] = position_array(&batch);
	inserted = write_batch(&stickers_insert, whiteboard, &batch, values);
	for (int i = 0; i < batch.n; i++)
	{
		batch.rows[i]->id = result_int64(&inserted, i, 1);
		batch.rows[i]->created_at = batch.rows[i]->updated_at = now;
	}
	return batch_ids(&batch);
}

/*
 * Makes the stickers of a locked whiteboard those of params, which become as they
 * are stored; false, and nothing is written, if params have faults.
 */
bool
change_stickers(const Whiteboard *whiteboard, StickerParams *params, StickerChange *change)
{
	Stickers	stored;

	read_stickers(whiteboard, PLAN_WRITE, &stored);
	match_stickers(&stored, params);
	if (params->ids_known)
		check_all_named(&stored, params);
	if (params->nfaults > 0)
		return false;

	order_stickers(&params->stickers);
	change->removed = remove_stickers(whiteboard, &stored, params->on_replace);
	change->updated = update_stickers(whiteboard, &params->stickers);
	change->moved = move_stickers(whiteboard, &params->stickers);
	change->inserted = insert_stickers(whiteboard, &params->stickers);
	return true;
}

bool
stickers_changed(const StickerChange *change)
{
	return change->inserted.n + change->updated.n + change->moved.n + change->removed.n > 0;
}
