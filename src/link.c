/*
 * link.c
 *	  Users that are mirrored from the application's own table.
 *
 * link_users() copies the rows that are there and puts triggers on the table
 * that keep chatrel.users in step: an inserted row is a new user, an update of
 * the name renames it, a deleted row deletes the user as delete_user() does.
 * The link is those triggers: dropping them ends it.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "check.h"
#include "compat.h"
#include "guc.h"
#include "identity.h"
#include "link.h"
#include "plans.h"

static SqlPlan linked_table = {
	"SELECT t.tgrelid::pg_catalog.regclass::pg_catalog.text"
	" FROM pg_catalog.pg_depend d"
	" JOIN pg_catalog.pg_trigger t ON t.oid" EQ "d.objid"
	" WHERE d.classid" EQ "'pg_catalog.pg_trigger'::pg_catalog.regclass"
	" AND d.refclassid" EQ "'pg_catalog.pg_proc'::pg_catalog.regclass"
	" AND d.refobjid" EQ "pg_catalog.to_regprocedure('chatrel.mirror_user()')"
	" AND t.tgparentid" EQ "0",
	SPI_OK_SELECT, 0
};

/* Nothing happens where the id is another user's. */
static SqlPlan user_mirror = {
	"INSERT INTO chatrel.users AS u (id, username) VALUES ($1, $2)"
	" ON CONFLICT (id) DO UPDATE SET username = EXCLUDED.username, deleted_at = NULL,"
	" role_name = CASE WHEN u.deleted_at IS NULL THEN u.role_name END"
	" WHERE u.deleted_at IS NOT NULL OR u.username" EQ "EXCLUDED.username",
	SPI_OK_INSERT, 2, {INT8OID, TEXTOID}
};

/* The same for many, and for whom nothing happened. */
static SqlPlan users_mirror = {
	"INSERT INTO chatrel.users AS u (id, username)"
	" SELECT * FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)) r (id, username)"
	" ON CONFLICT (id) DO UPDATE SET username = EXCLUDED.username, deleted_at = NULL,"
	" role_name = CASE WHEN u.deleted_at IS NULL THEN u.role_name END"
	" WHERE u.deleted_at IS NOT NULL OR u.username" EQ "EXCLUDED.username",
	SPI_OK_INSERT, 2, {INT8ARRAYOID, TEXTARRAYOID}
};

static SqlPlan user_conflict = {
	"SELECT u.id"
	" FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)) r (id, username)"
	" JOIN chatrel.users u ON u.id" EQ "r.id AND NOT u.username" EQ "r.username"
	" ORDER BY u.id LIMIT 1",
	SPI_OK_SELECT, 2, {INT8ARRAYOID, TEXTARRAYOID}
};

static SqlPlan user_rename = {
	"UPDATE chatrel.users SET username = $2"
	" WHERE id" EQ "$1 AND deleted_at IS NULL",
	SPI_OK_UPDATE, 2, {INT8OID, TEXTOID}
};

static SqlPlan users_alive = {
	"SELECT id FROM chatrel.users WHERE deleted_at IS NULL ORDER BY id",
	SPI_OK_SELECT, 0
};

static SqlPlan users_alive_count = {
	"SELECT pg_catalog.count(*) FROM chatrel.users WHERE deleted_at IS NULL",
	SPI_OK_SELECT, 0
};

/* How many rows link_users() copies at a time. */
#define COPY_ROWS	1000

PG_FUNCTION_INFO_V1(chatrel_link_users);
PG_FUNCTION_INFO_V1(chatrel_mirror_user);

/* The columns of the application's table that make a user. */
typedef struct LinkColumns
{
	int			id;				/* attribute numbers */
	int			username;
} LinkColumns;

/* For functions that chatrel's own users are for. */
void
check_not_linked(void)
{
	if (plan_run(&linked_table, PLAN_WRITE, NULL, NULL) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the users are mirrored from table %s", plan_cstring(0, 1)),
				 errhint("Change that table, and chatrel.users follows.")));
}

/* ---------- the application's table ---------- */

static char *
qualified_name(Relation rel)
{
	return quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)),
									  RelationGetRelationName(rel));
}

static int
find_column(TupleDesc tupdesc, const char *table, const char *column)
{
	int			attnum = SPI_fnumber(tupdesc, column);

	if (attnum <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of table \"%s\" does not exist", column, table),
				 errhint("Name the columns as arguments of chatrel.link_users().")));
	return attnum;
}

static void
find_columns(LinkColumns *columns, Relation rel, const char *id_column,
			 const char *username_column)
{
	TupleDesc	tupdesc = RelationGetDescr(rel);
	const char *table = RelationGetRelationName(rel);
	Oid			id_type;
	Oid			username_type;
	char		category;
	bool		preferred;

	columns->id = find_column(tupdesc, table, id_column);
	id_type = getBaseType(SPI_gettypeid(tupdesc, columns->id));
	if (id_type != INT2OID && id_type != INT4OID &&
		id_type != INT8OID)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of table \"%s\" is of type %s, but a user id is an integer",
						id_column, table, format_type_be(SPI_gettypeid(tupdesc, columns->id))),
				 errhint("Add a column \"bigint GENERATED ALWAYS AS IDENTITY\" with a unique index, and link by that one.")));

	columns->username = find_column(tupdesc, table, username_column);
	username_type = getBaseType(SPI_gettypeid(tupdesc, columns->username));
	get_type_category_preferred(username_type, &category, &preferred);
	if (category != TYPCATEGORY_STRING)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of table \"%s\" is of type %s, but a username is a text",
						username_column, table, format_type_be(username_type))));
}

/* An id as the output function of its integer type writes it. */
static int64
check_user_id(const char *id, Relation rel, int attnum)
{
	if (id == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NOT_NULL_VIOLATION),
				 errmsg("the id of a chatrel user must not be null"),
				 errtablecol(rel, attnum)));
	return pg_strtoint64(id);
}

static const char *
check_username(const char *username, Relation rel, int attnum)
{
	if (username == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NOT_NULL_VIOLATION),
				 errmsg("the name of a chatrel user must not be null"),
				 errtablecol(rel, attnum)));
	check_text(username, strlen(username), "username", guc_max_name_length,
			   "chatrel.max_name_length");
	return username;
}

static int64
tuple_user_id(HeapTuple tuple, Relation rel, const LinkColumns *columns)
{
	return check_user_id(SPI_getvalue(tuple, RelationGetDescr(rel), columns->id),
						 rel, columns->id);
}

static const char *
tuple_username(HeapTuple tuple, Relation rel, const LinkColumns *columns)
{
	return check_username(SPI_getvalue(tuple, RelationGetDescr(rel), columns->username),
						  rel, columns->username);
}

/* ---------- reading it ---------- */

/*
 * The table is read with the rights of its own owner: to plan a query may run
 * code that the owner has put in an index, and that must not get ours.  It must
 * be read whole: policies that keep rows even from the owner are an error.
 */
typedef struct ReaderScope
{
	OwnerScope	owner;
	int			nest_level;
} ReaderScope;

static void
reader_begin(ReaderScope *scope, Relation rel)
{
	owner_begin_as(&scope->owner, rel->rd_rel->relowner);
	restrict_operation();
	scope->nest_level = NewGUCNestLevel();
	(void) set_config_option("row_security", "off", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
}

static void
reader_end(const ReaderScope *scope)
{
	AtEOXact_GUC(true, scope->nest_level);
	owner_end(&scope->owner);
}

/* ---------- the trigger ---------- */

static void
error_other_name(int64 user_id)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNIQUE_VIOLATION),
			 errmsg("user %lld already exists under another name", (long long) user_id)));
}

static void
mirror_insert(int64 user_id, const char *username)
{
	Datum		values[] = {Int64GetDatum(user_id), CStringGetTextDatum(username)};

	if (plan_run(&user_mirror, PLAN_WRITE, values, NULL) == 0)
		error_other_name(user_id);
}

static void
mirror_update(TriggerData *trigdata, const LinkColumns *columns)
{
	Relation	rel = trigdata->tg_relation;
	int64		old_id = tuple_user_id(trigdata->tg_trigtuple, rel, columns);
	int64		new_id = tuple_user_id(trigdata->tg_newtuple, rel, columns);
	char	   *old_name = SPI_getvalue(trigdata->tg_trigtuple, RelationGetDescr(rel), columns->username);
	const char *new_name = tuple_username(trigdata->tg_newtuple, rel, columns);

	if (old_id != new_id)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot change the id of user %lld to %lld",
						(long long) old_id, (long long) new_id),
				 errdetail("Messages and memberships refer to it."),
				 errhint("Delete the row and insert another.")));
	if (old_name == NULL || strcmp(old_name, new_name) != 0)
	{
		Datum		values[] = {Int64GetDatum(new_id), CStringGetTextDatum(new_name)};

		if (plan_run(&user_rename, PLAN_WRITE, values, NULL) == 0)
			mirror_insert(new_id, new_name);
	}
}

static void
mirror_truncate(void)
{
	uint64		nusers = plan_run(&users_alive, PLAN_WRITE, NULL, NULL);
	int64	   *users = palloc_array(int64, Max(nusers, 1));

	for (uint64 i = 0; i < nusers; i++)
		users[i] = plan_int64(i, 1);
	for (uint64 i = 0; i < nusers; i++)
	{
		CHECK_FOR_INTERRUPTS();
		remove_user(users[i]);
	}
	pfree(users);
}

/*
 * The name that a row, which was deleted from a partition, has in the table all
 * the same; null if it is gone.  An update that moves a row to another partition
 * deletes it there and inserts it here.
 */
static char *
name_after_move(Relation rel, const char *id_column, const char *username_column,
				int64 user_id)
{
	MemoryContext context = CurrentMemoryContext;
	Datum		values[] = {Int64GetDatum(user_id)};
	Oid			types[] = {INT8OID};
	ReaderScope scope;
	Relation	table;
	char	   *name = NULL;

	if (!rel->rd_rel->relispartition)
		return NULL;
	table = relation_open(llast_oid(get_partition_ancestors(RelationGetRelid(rel))),
						  AccessShareLock);
	reader_begin(&scope, table);
	if (SPI_execute_with_args(psprintf("SELECT %s FROM %s WHERE %s" EQ "$1",
									   quote_identifier(username_column),
									   qualified_name(table), quote_identifier(id_column)),
							  1, types, values, NULL, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read table \"%s\"", RelationGetRelationName(table));
	if (SPI_processed > 0)
	{
		name = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
		name = MemoryContextStrdup(context, name != NULL ? name : "");
	}
	reader_end(&scope);
	relation_close(table, NoLock);
	return name;
}

static void
mirror_delete(Relation rel, const char *id_column, const char *username_column,
			  int64 user_id)
{
	char	   *name = name_after_move(rel, id_column, username_column, user_id);

	if (name != NULL)
	{
		Datum		values[] = {Int64GetDatum(user_id), CStringGetTextDatum(name)};

		plan_run(&user_rename, PLAN_WRITE, values, NULL);
	}
	else
		(void) remove_user(user_id);
}

static void
mirror_row(TriggerData *trigdata)
{
	Relation	rel = trigdata->tg_relation;
	HeapTuple	tuple = trigdata->tg_trigtuple;
	LinkColumns columns;

	find_columns(&columns, rel, trigdata->tg_trigger->tgargs[0],
				 trigdata->tg_trigger->tgargs[1]);
	if (TRIGGER_FIRED_BY_INSERT(trigdata->tg_event))
		mirror_insert(tuple_user_id(tuple, rel, &columns),
					  tuple_username(tuple, rel, &columns));
	else if (TRIGGER_FIRED_BY_DELETE(trigdata->tg_event))
		mirror_delete(rel, trigdata->tg_trigger->tgargs[0],
					  trigdata->tg_trigger->tgargs[1],
					  tuple_user_id(tuple, rel, &columns));
	else
		mirror_update(trigdata, &columns);
}

Datum
chatrel_mirror_user(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;
	OwnerScope	scope;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_AFTER(trigdata->tg_event) ||
		trigdata->tg_trigger->tgnargs != 2)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("chatrel.mirror_user() is for the triggers that chatrel.link_users() makes")));

	owner_begin(&scope, fcinfo);
	if (TRIGGER_FIRED_BY_TRUNCATE(trigdata->tg_event))
		mirror_truncate();
	else
		mirror_row(trigdata);
	owner_end(&scope);

	return PointerGetDatum(NULL);
}

/* ---------- linking ---------- */

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

		ids[i] = Int64GetDatum(check_user_id(id, rel, columns->id));
		names[i] = CStringGetTextDatum(check_username(username, rel, columns->username));
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
	if (plan_run(&users_mirror, PLAN_WRITE, arrays, NULL) < nrows)
	{
		plan_run(&user_conflict, PLAN_WRITE, arrays, NULL);
		error_other_name(plan_int64(0, 1));
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

	reader_begin(&scope, rel);
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
	reader_end(&scope);
	return total;
}

/* Users that chatrel had before must be the ones of the table. */
static void
check_strangers(Relation rel, uint64 nusers)
{
	uint64		nalive;

	plan_run(&users_alive_count, PLAN_WRITE, NULL, NULL);
	nalive = plan_int64(0, 1);
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
	find_columns(&columns, rel, id_column, username_column);
	table = qualified_name(rel);

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
