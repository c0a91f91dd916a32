/*
 * link_mirror.c
 *	  The trigger that keeps chatrel.users in step with the application's table:
 *	  an inserted row is a new user, an update of the name renames it, a deleted
 *	  row deletes the user as delete_user() does.
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/partition.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "core/compat.h"
#include "users/link_table.h"
#include "users/users.h"

/* Nothing happens where the id is another user's. */
static SqlPlan user_mirror = {
	.sql = "INSERT INTO chatrel.users AS u (id, username) VALUES ($1, $2)"
	" ON CONFLICT (id) DO UPDATE SET username = EXCLUDED.username, deleted_at = NULL,"
	" role_name = CASE WHEN u.deleted_at IS NULL THEN u.role_name END"
	" WHERE u.deleted_at IS NOT NULL OR u.username" EQ "EXCLUDED.username",
	.expected = SPI_OK_INSERT,
	PLAN_ARGS(INT8OID, TEXTOID)
};

static SqlPlan user_rename = {
	.sql = "UPDATE chatrel.users SET username = $2"
	" WHERE id" EQ "$1 AND deleted_at IS NULL",
	.expected = SPI_OK_UPDATE,
	PLAN_ARGS(INT8OID, TEXTOID)
};

static SqlPlan users_alive = {
	.sql = "SELECT id FROM chatrel.users WHERE deleted_at IS NULL ORDER BY id",
	.expected = SPI_OK_SELECT
};

PG_FUNCTION_INFO_V1(chatrel_mirror_user);

static int64
tuple_user_id(HeapTuple tuple, Relation rel, const LinkColumns *columns)
{
	return link_user_id(SPI_getvalue(tuple, RelationGetDescr(rel), columns->id),
						rel, columns->id);
}

static const char *
tuple_username(HeapTuple tuple, Relation rel, const LinkColumns *columns)
{
	return link_username(SPI_getvalue(tuple, RelationGetDescr(rel), columns->username),
						 rel, columns->username);
}

static void
mirror_insert(int64 user_id, const char *username)
{
	Datum		values[] = {Int64GetDatum(user_id), CStringGetTextDatum(username)};

	if (plan_run(&user_mirror, PLAN_WRITE, values, NULL).nrows == 0)
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

		if (plan_run(&user_rename, PLAN_WRITE, values, NULL).nrows == 0)
			mirror_insert(new_id, new_name);
	}
}

static void
mirror_truncate(void)
{
	PlanResult	users = plan_run(&users_alive, PLAN_WRITE, NULL, NULL);

	for (uint64 i = 0; i < users.nrows; i++)
	{
		CHECK_FOR_INTERRUPTS();
		remove_user(result_int64(&users, i, 1));
	}
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
	link_reader_begin(&scope, table);
	if (SPI_execute_with_args(psprintf("SELECT %s FROM %s WHERE %s" EQ "$1",
									   quote_identifier(username_column),
									   link_table_name(table), quote_identifier(id_column)),
							  1, types, values, NULL, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read table \"%s\"", RelationGetRelationName(table));
	if (SPI_processed > 0)
	{
		name = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
		name = MemoryContextStrdup(context, name != NULL ? name : "");
	}
	link_reader_end(&scope);
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

	link_columns(&columns, rel, trigdata->tg_trigger->tgargs[0],
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
