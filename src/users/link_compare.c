/*
 * link_compare.c
 *	  The users of the linked table beside those of chatrel.
 *
 * No query may read both: the table is read with the rights of its owner, and
 * chatrel.users with those of ours.  So the rows of the table come by a cursor
 * in the order of their ids, some at a time, and each time a plan of ours puts
 * beside them the users of chatrel whose ids lie in the same range.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "core/compat.h"
#include "users/guard.h"
#include "users/link_compare.h"
#include "users/names.h"

#define LINKED_ROWS "ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)) r (id, username)"

/* $3 and $4: the range of ids that the rows are from */
static SqlPlan drift = {
	.sql = "SELECT COALESCE(r.id, u.id), CASE WHEN r.id IS NULL AND u.id IS NOT NULL THEN 'surplus'"
	" WHEN r.username IS NULL OR r.username" EQ "'' OR COALESCE(r.id" LE "0, true) THEN 'invalid'"
	" WHEN u.id IS NULL THEN 'missing' ELSE 'renamed' END, u.username, r.username"
	" FROM " LINKED_ROWS
	" FULL JOIN (SELECT id, username FROM chatrel.users WHERE former_id IS NULL"
	" AND id" GT "$3 AND id" LE "$4) u ON u.id" EQ "r.id"
	" WHERE r.username IS NULL OR u.username IS NULL OR r.username" NE "u.username"
	" OR r.id" LE "0 ORDER BY 1",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8ARRAYOID, TEXTARRAYOID, INT8OID, INT8OID),
	.by_index = true
};

/* As the trigger mirrors one, for many. */
static SqlPlan users_add = {
	.sql = "INSERT INTO chatrel.users AS u (id, username) SELECT * FROM " LINKED_ROWS
	" ON CONFLICT (id) DO UPDATE SET username = EXCLUDED.username, deleted_at = NULL, role_name = NULL",
	.expected = SPI_OK_INSERT,
	PLAN_ARGS(INT8ARRAYOID, TEXTARRAYOID)
};

static SqlPlan users_rename = {
	.sql = "UPDATE chatrel.users u SET username = r.username FROM " LINKED_ROWS
	" WHERE u.id" EQ "r.id AND u.deleted_at IS NULL",
	.expected = SPI_OK_UPDATE,
	PLAN_ARGS(INT8ARRAYOID, TEXTARRAYOID),
	.by_index = true
};

/* How many rows are compared at a time. */
#define COMPARED_ROWS	1000

/* ---------- rows, some at a time ---------- */

/* As arrays for a plan: bigint[] and text[] */
typedef struct LinkedRows
{
	uint64		count;
	Datum		ids;
	Datum		usernames;
} LinkedRows;

typedef struct RowReader
{
	const LinkComparison *comparison;
	Portal		portal;
	MemoryContext context;		/* of the rows that were fetched last */
	int64		last_id;
} RowReader;

static void
error_id_twice(int64 user_id, Relation rel)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNIQUE_VIOLATION),
			 errmsg("table \"%s\" has two rows of the id %lld",
					RelationGetRelationName(rel), (long long) user_id)));
}

/* An id that comes twice has a name only once, where that is not an error. */
static void
read_row(RowReader *reader, HeapTuple tuple, TupleDesc tupdesc, NullableDatum *id,
		 NullableDatum *username)
{
	const LinkComparison *comparison = reader->comparison;
	char	   *name = SPI_getvalue(tuple, tupdesc, 2);
	bool		twice;

	id->value = SPI_getbinval(tuple, tupdesc, 1, &id->isnull);
	if (comparison->strict)
	{
		(void) check_user_id(id->value, id->isnull, comparison->rel, &comparison->columns);
		check_username_not_null(name, comparison->rel, &comparison->columns);
	}
	twice = !id->isnull && DatumGetInt64(id->value) == reader->last_id;
	if (twice && comparison->strict)
		error_id_twice(reader->last_id, comparison->rel);
	if (!id->isnull)
		reader->last_id = DatumGetInt64(id->value);
	username->isnull = name == NULL || twice;
	username->value = username->isnull ? (Datum) 0 : CStringGetTextDatum(name);
}

static Datum
make_array(const NullableDatum *elements, uint64 count, Oid type)
{
	Datum	   *values = palloc_array(Datum, count);
	bool	   *nulls = palloc_array(bool, count);
	int			dim = count;
	int			lower_bound = 1;

	for (uint64 i = 0; i < count; i++)
	{
		values[i] = elements[i].value;
		nulls[i] = elements[i].isnull;
	}
	return PointerGetDatum(type == INT8OID
						   ? construct_md_array(values, nulls, 1, &dim, &lower_bound, INT8OID,
												sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE)
						   : construct_md_array(values, nulls, 1, &dim, &lower_bound, TEXTOID,
												-1, false, TYPALIGN_INT));
}

static void
open_rows(RowReader *reader)
{
	const LinkComparison *comparison = reader->comparison;
	char	   *query = psprintf("%s ORDER BY 1",
								 rows_query(comparison->rel, &comparison->columns, comparison->condition));
	ReaderScope scope;

	reader->context = AllocSetContextCreate(CurrentMemoryContext, "chatrel linked rows",
											ALLOCSET_DEFAULT_SIZES);
	link_reader_begin(&scope, comparison->rel);
	reader->portal = SPI_cursor_open_with_args(NULL, query, 0, NULL, NULL, NULL, true, 0);
	link_reader_end(&scope);
}

/* The table's owner has its rights for this alone: what we do with the rows is not restricted. */
static void
fetch_rows(RowReader *reader, LinkedRows *rows)
{
	MemoryContext context;
	NullableDatum *ids;
	NullableDatum *usernames;
	ReaderScope scope;

	MemoryContextReset(reader->context);
	link_reader_begin(&scope, reader->comparison->rel);
	SPI_cursor_fetch(reader->portal, true, COMPARED_ROWS);
	rows->count = SPI_processed;
	context = MemoryContextSwitchTo(reader->context);
	ids = palloc_array(NullableDatum, rows->count);
	usernames = palloc_array(NullableDatum, rows->count);
	for (uint64 i = 0; i < rows->count; i++)
		read_row(reader, SPI_tuptable->vals[i], SPI_tuptable->tupdesc, &ids[i], &usernames[i]);
	rows->ids = make_array(ids, rows->count, INT8OID);
	rows->usernames = make_array(usernames, rows->count, TEXTOID);
	MemoryContextSwitchTo(context);
	link_reader_end(&scope);
}

/* ---------- comparing ---------- */

static void
compare_rows(FunctionCallInfo fcinfo, const LinkComparison *comparison, const LinkedRows *rows,
			 int64 after_id, int64 last_id)
{
	Datum		values[] = {rows->ids, rows->usernames, Int64GetDatum(after_id), Int64GetDatum(last_id)};
	OwnerScope	scope;
	PlanResult	found;

	owner_begin(&scope, fcinfo);
	found = plan_run(&drift, PLAN_READ, values, NULL);
	if (found.nrows > 0)
		comparison->handler(&found, comparison->arg);
	owner_end(&scope);
}

/*
 * Gives the handler all differences, by the active snapshot; returns how many
 * rows of the table are users.
 */
uint64
link_compare(FunctionCallInfo fcinfo, const LinkComparison *comparison)
{
	RowReader	reader = {.comparison = comparison,.last_id = PG_INT64_MIN};
	int64		after_id = PG_INT64_MIN;
	uint64		total = 0;
	int			nest_level = origin_begin();
	LinkedRows	rows;

	open_rows(&reader);
	do
	{
		CHECK_FOR_INTERRUPTS();
		fetch_rows(&reader, &rows);
		compare_rows(fcinfo, comparison, &rows, after_id,
					 rows.count < COMPARED_ROWS ? PG_INT64_MAX : reader.last_id);
		after_id = reader.last_id;
		total += rows.count;
	} while (rows.count == COMPARED_ROWS);
	SPI_cursor_close(reader.portal);
	MemoryContextDelete(reader.context);
	origin_end(nest_level);
	return total;
}

bool
drift_is(const PlanResult *found, uint64 row, const char *problem)
{
	return strcmp(result_cstring(found, row, DRIFT_PROBLEM), problem) == 0;
}

/* ---------- making chatrel.users like the table ---------- */

/* Names that chatrel.users has not had until now. */
void
check_new_names(const PlanResult *found)
{
	for (uint64 i = 0; i < found->nrows; i++)
		if (!result_is_null(found, i, DRIFT_LINKED_NAME))
			check_username(result_cstring(found, i, DRIFT_LINKED_NAME));
}

/* The users of the table that have one problem, as arrays for a plan; returns how many. */
static uint64
linked_users(const PlanResult *found, const char *problem, Datum *values)
{
	NullableDatum *ids = palloc_array(NullableDatum, found->nrows);
	NullableDatum *usernames = palloc_array(NullableDatum, found->nrows);
	uint64		count = 0;

	for (uint64 i = 0; i < found->nrows; i++)
	{
		if (!drift_is(found, i, problem))
			continue;
		ids[count].value = result_datum(found, i, DRIFT_USER_ID);
		ids[count].isnull = false;
		usernames[count].value = result_datum(found, i, DRIFT_LINKED_NAME);
		usernames[count].isnull = false;
		count++;
	}
	values[0] = make_array(ids, count, INT8OID);
	values[1] = make_array(usernames, count, TEXTOID);
	return count;
}

void
add_missing(const PlanResult *found)
{
	Datum		values[2];

	if (linked_users(found, "missing", values) > 0)
		plan_run(&users_add, PLAN_WRITE, values, NULL);
}

void
rename_drifted(const PlanResult *found)
{
	Datum		values[2];

	if (linked_users(found, "renamed", values) == 0)
		return;
	plan_run(&users_rename, PLAN_WRITE, values, NULL);
	for (uint64 i = 0; i < found->nrows; i++)
		if (drift_is(found, i, "renamed"))
			record_rename(result_int64(found, i, DRIFT_USER_ID),
						  result_cstring(found, i, DRIFT_LINKED_NAME));
}
