/*
 * link.c
 *	  Users that are mirrored from the application's own table.
 *
 * link_users() copies the rows that are there and puts triggers on the table
 * that keep chatrel.users in step (link_mirror.c).  The link is those triggers:
 * dropping them ends it.
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "core/check.h"
#include "core/compat.h"
#include "users/link.h"
#include "users/link_table.h"

static SqlPlan linked_table = {
	.sql = "SELECT t.tgrelid::pg_catalog.regclass::pg_catalog.text"
	" FROM pg_catalog.pg_depend d"
	" JOIN pg_catalog.pg_trigger t ON t.oid" EQ "d.objid"
	" WHERE d.classid" EQ "'pg_catalog.pg_trigger'::pg_catalog.regclass"
	" AND d.refclassid" EQ "'pg_catalog.pg_proc'::pg_catalog.regclass"
	" AND d.refobjid" EQ "pg_catalog.to_regprocedure('chatrel.mirror_user()')"
	" AND t.tgparentid" EQ "0",
	.expected = SPI_OK_SELECT
};

/* As the trigger mirrors one, for many; and for whom nothing happened. */
static SqlPlan users_mirror = {
	.sql = "INSERT INTO chatrel.users AS u (id, username)"
	" SELECT * FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)) r (id, username)"
	" ON CONFLICT (id) DO UPDATE SET username = EXCLUDED.username, deleted_at = NULL,"
	" role_name = CASE WHEN u.deleted_at IS NULL THEN u.role_name END"
	" WHERE u.deleted_at IS NOT NULL OR u.username" EQ "EXCLUDED.username",
	.expected = SPI_OK_INSERT,
	PLAN_ARGS(INT8ARRAYOID, TEXTARRAYOID)
};

static SqlPlan user_conflict = {
	.sql = "SELECT u.id"
	" FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)) r (id, username)"
	" JOIN chatrel.users u ON u.id" EQ "r.id AND NOT u.username" EQ "r.username"
	" ORDER BY u.id LIMIT 1",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8ARRAYOID, TEXTARRAYOID)
};

static SqlPlan users_alive_count = {
	.sql = "SELECT pg_catalog.count(*) FROM chatrel.users WHERE deleted_at IS NULL",
	.expected = SPI_OK_SELECT
};

/* How many rows link_users() copies at a time. */
#define COPY_ROWS	1000

PG_FUNCTION_INFO_V1(chatrel_link_users);

/* For functions that chatrel's own users are for. */
void
check_not_linked(void)
{
	PlanResult	linked = plan_run(&linked_table, PLAN_WRITE, NULL, NULL);

	if (linked.nrows > 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the users are mirrored from table %s", result_cstring(&linked, 0, 1)),
				 errhint("Change that table, and chatrel.users follows.")));
}

static void
check_table(Relation rel)
{
	const char *table = RelationGetRelationName(rel);
	char		relkind = rel->rd_rel->relkind;

	if ((relkind != RELKIND_RELATION && relkind != RELKIND_PARTITIONED_TABLE) ||
		rel->rd_rel->relispartition ||
		rel->rd_rel->relpersistence == RELPERSISTENCE_TEMP ||
		RelationGetNamespace(rel) == get_namespace_oid("chatrel", false))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("cannot mirror the users of \"%s\"", table),
				 errdetail("It must be an ordinary or partitioned table of the application's, and not a temporary one.")));
}

/* The rows of one fetch, as arrays for a plan. */
static void
row_arrays(Relation rel, SPITupleTable *rows, uint64 nrows, const LinkColumns *columns,
		   Datum *arrays)
{
	Datum	   *ids = palloc_array(Datum, nrows);
	Datum	   *names = palloc_array(Datum, nrows);

	for (uint64 i = 0; i < nrows; i++)
	{
		char	   *id = SPI_getvalue(rows->vals[i], rows->tupdesc, 1);
		char	   *username = SPI_getvalue(rows->vals[i], rows->tupdesc, 2);

		ids[i] = Int64GetDatum(link_user_id(id, rel, columns->id));
		names[i] = CStringGetTextDatum(link_username(username, rel, columns->username));
	}
	arrays[0] = PointerGetDatum(construct_array(ids, nrows, INT8OID, 8,
												FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	arrays[1] = PointerGetDatum(construct_array(names, nrows, TEXTOID, -1, false, TYPALIGN_INT));
}

static void
mirror_rows(FunctionCallInfo fcinfo, Datum *arrays, uint64 nrows)
{
	OwnerScope	scope;

	owner_begin(&scope, fcinfo);
	if (plan_run(&users_mirror, PLAN_WRITE, arrays, NULL).nrows < nrows)
	{
		PlanResult	conflict = plan_run(&user_conflict, PLAN_WRITE, arrays, NULL);

		error_other_name(result_int64(&conflict, 0, 1));
	}
	owner_end(&scope);
}

/* Copies the rows that are there, and returns how many. */
static uint64
copy_users(FunctionCallInfo fcinfo, Relation rel, const char *query,
		   const LinkColumns *columns)
{
	ReaderScope scope;
	Portal		portal;
	uint64		total = 0;

	link_reader_begin(&scope, rel);
	portal = SPI_cursor_open_with_args(NULL, query, 0, NULL, NULL, NULL, true, 0);
	for (;;)
	{
		Datum		arrays[2];

		SPI_cursor_fetch(portal, true, COPY_ROWS);
		if (SPI_processed == 0)
			break;
		total += SPI_processed;
		row_arrays(rel, SPI_tuptable, SPI_processed, columns, arrays);
		mirror_rows(fcinfo, arrays, SPI_processed);
		SPI_freetuptable(SPI_tuptable);
	}
	SPI_cursor_close(portal);
	link_reader_end(&scope);
	return total;
}

/* Users that chatrel had before must be the ones of the table. */
static void
check_strangers(Relation rel, uint64 nusers)
{
	PlanResult	count = plan_run(&users_alive_count, PLAN_WRITE, NULL, NULL);
	uint64		nalive = result_int64(&count, 0, 1);

	if (nalive > nusers)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("chatrel has %llu users that table \"%s\" does not have",
						(unsigned long long) (nalive - nusers), RelationGetRelationName(rel)),
				 errhint("Delete chatrel's own users, or give the table the same ids and names.")));
}

/* Runs a command made for the linked table. */
static void
link_execute(const char *sql)
{
	int			result = SPI_execute(sql, false, 0);

	if (result != SPI_OK_UTILITY)
		elog(ERROR, "unexpected SPI result %s for %s", SPI_result_code_string(result), sql);
}

static void
link_triggers(const char *table, const char *id_column, const char *username_column)
{
	char	   *call = psprintf("EXECUTE FUNCTION chatrel.mirror_user(%s, %s)",
								quote_literal_cstr(id_column),
								quote_literal_cstr(username_column));

	link_execute(psprintf("CREATE TRIGGER chatrel_mirror_user AFTER INSERT OR UPDATE OR DELETE"
						  " ON %s FOR EACH ROW %s", table, call));
	link_execute(psprintf("CREATE TRIGGER chatrel_mirror_truncate AFTER TRUNCATE"
						  " ON %s FOR EACH STATEMENT %s", table, call));
}

/*
 * Locks as CREATE TRIGGER does: nothing may change between the copy and the
 * triggers.  An oid may be passed for a regclass, or the table just be dropped.
 */
static Relation
open_table(Oid table)
{
	Relation	rel = try_relation_open(table, ShareRowExclusiveLock);

	if (rel == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", table)));
	return rel;
}

Datum
chatrel_link_users(PG_FUNCTION_ARGS)
{
	Relation	rel;
	LinkColumns columns;
	OwnerScope	scope;
	char	   *id_column;
	char	   *username_column;
	char	   *table;
	uint64		nusers;

	check_not_null(fcinfo, 0, "users_table");
	check_not_null(fcinfo, 1, "id_column");
	check_not_null(fcinfo, 2, "username_column");
	id_column = NameStr(*PG_GETARG_NAME(1));
	username_column = NameStr(*PG_GETARG_NAME(2));

	/* Else, on a standby, the lock would be what fails, and with another error. */
	PreventCommandIfReadOnly("chatrel.link_users()");
	if (!object_ownercheck(RelationRelationId, PG_GETARG_OID(0), GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, get_rel_name(PG_GETARG_OID(0)));

	rel = open_table(PG_GETARG_OID(0));
	check_table(rel);
	link_columns(&columns, rel, id_column, username_column);
	table = link_table_name(rel);

	owner_begin(&scope, fcinfo);
	check_not_linked();
	nusers = copy_users(fcinfo, rel,
						psprintf("SELECT %s, %s FROM %s", quote_identifier(id_column),
								 quote_identifier(username_column), table),
						&columns);
	check_strangers(rel, nusers);
	link_triggers(table, id_column, username_column);
	owner_end(&scope);

	relation_close(rel, NoLock);
	PG_RETURN_INT64(nusers);
}
