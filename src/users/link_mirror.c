/*
 * link_mirror.c
 *	  The triggers that keep chatrel.users in step with the application's table:
 *	  a new row is a new user, an update of the name renames it, a deleted row
 *	  deletes the user as delete_user() does.  Which of them fires says whether
 *	  the row was a user and whether it still is one (link_triggers.c).
 *
 * A statement may swap the names of two users.  Names are checked when it ends,
 * or, where the application's own constraint can be deferred, with the
 * transaction.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "catalog/partition.h"
#include "catalog/pg_index.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/syscache.h"

#include "core/compat.h"
#include "core/guc.h"
#include "users/guard.h"
#include "users/link_triggers.h"
#include "users/names.h"
#include "users/users.h"

/* Nothing happens where the id is another user's. */
static SqlPlan user_mirror = {
	.sql = "INSERT INTO chatrel.users AS u (id, username) VALUES ($1, $2)"
	" ON CONFLICT (id) DO UPDATE SET username = EXCLUDED.username, deleted_at = NULL,"
	" role_name = NULL WHERE u.deleted_at IS NOT NULL",
	.expected = SPI_OK_INSERT,
	PLAN_ARGS(INT8OID, TEXTOID)
};

static SqlPlan user_is = {
	.sql = "SELECT FROM chatrel.users"
	" WHERE id" EQ "$1 AND username" EQ "$2 AND former_id IS NULL",
	.expected = SPI_OK_SELECT,
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

/* What a trigger was called for. */
typedef struct Mirror
{
	Relation	rel;			/* the linked table, or a partition of it */
	HeapTuple	old_row;
	HeapTuple	new_row;
	LinkColumns columns;
} Mirror;

/* ---------- names ---------- */

/* Is there a constraint on the names of the table that can be deferred? */
static bool
is_deferrable(Relation rel, int username_column)
{
	List	   *indexes = RelationGetIndexList(rel);
	bool		found = false;
	ListCell   *lc;

	foreach(lc, indexes)
	{
		HeapTuple	tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(lfirst_oid(lc)));
		Form_pg_index index;

		if (!HeapTupleIsValid(tuple))
			elog(ERROR, "cache lookup failed for index %u", lfirst_oid(lc));
		index = (Form_pg_index) GETSTRUCT(tuple);
		for (int i = 0; i < index->indnkeyatts && !index->indimmediate; i++)
			found = found || index->indkey.values[i] == username_column;
		ReleaseSysCache(tuple);
	}
	list_free(indexes);
	return found;
}

/* Before a user gets a name. */
static void
prepare_names(const Mirror *mirror)
{
	if (is_deferrable(mirror->rel, mirror->columns.username))
		defer_names();
}

/* ---------- rows ---------- */

static bool
is_user(Datum *values)
{
	return plan_run(&user_is, PLAN_WRITE, values, NULL).nrows > 0;
}

/*
 * A user may be there already: its row has moved here from another partition, or
 * was restored.  Then the name may be longer than it could be now.
 */
static void
mirror_new(const Mirror *mirror)
{
	int64		user_id = tuple_user_id(mirror->new_row, mirror->rel, &mirror->columns);
	const char *username = tuple_username(mirror->new_row, mirror->rel, &mirror->columns);
	Datum		values[] = {Int64GetDatum(user_id), CStringGetTextDatum(username)};

	if (strlen(username) > guc_max_name_length && is_user(values))
		return;
	check_username(username);
	prepare_names(mirror);
	if (plan_run(&user_mirror, PLAN_TRIGGER, values, NULL).nrows == 0 && !is_user(values))
		error_other_name(user_id);
}

static bool
is_unchanged(const Mirror *mirror, int attnum)
{
	TupleDesc	tupdesc = RelationGetDescr(mirror->rel);
	Form_pg_attribute attr = TupleDescAttr(tupdesc, attnum - 1);
	bool		isnull[2];
	Datum		old_value = SPI_getbinval(mirror->old_row, tupdesc, attnum, &isnull[0]);
	Datum		new_value = SPI_getbinval(mirror->new_row, tupdesc, attnum, &isnull[1]);

	if (isnull[0] || isnull[1])
		return isnull[0] && isnull[1];
	return datum_image_eq(old_value, new_value, attr->attbyval, attr->attlen);
}

static void
error_id_changed(int64 old_id, int64 new_id)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("cannot change the id of user %lld to %lld",
					(long long) old_id, (long long) new_id),
			 errdetail("Messages and memberships refer to it."),
			 errhint("Delete the row and insert another.")));
}

static void
mirror_update(const Mirror *mirror)
{
	int64		user_id;
	const char *username;
	Datum		values[2];

	if (!tuple_has_user_id(mirror->old_row, mirror->rel, &mirror->columns))
	{
		mirror_new(mirror);
		return;
	}
	if (!is_unchanged(mirror, mirror->columns.id))
		error_id_changed(tuple_user_id(mirror->old_row, mirror->rel, &mirror->columns),
						 tuple_user_id(mirror->new_row, mirror->rel, &mirror->columns));
	if (is_unchanged(mirror, mirror->columns.username))
		return;
	user_id = tuple_user_id(mirror->new_row, mirror->rel, &mirror->columns);
	username = tuple_username(mirror->new_row, mirror->rel, &mirror->columns);
	check_username(username);
	prepare_names(mirror);
	values[0] = Int64GetDatum(user_id);
	values[1] = CStringGetTextDatum(username);
	if (plan_run(&user_rename, PLAN_TRIGGER, values, NULL).nrows == 0)
		mirror_new(mirror);
	else
		record_rename(user_id, username);
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

/* ---------- rows that go, or move to another partition ---------- */

/* Of the user's row in the table as it is now; null if the user has none. */
static char *
current_name(Relation table, int64 user_id)
{
	MemoryContext context = CurrentMemoryContext;
	Datum		values[] = {Int64GetDatum(user_id)};
	Oid			types[] = {INT8OID};
	char	   *name = NULL;
	LinkColumns columns;
	ReaderScope scope;

	link_columns(&columns, table);
	link_reader_begin(&scope, table);
	if (SPI_execute_with_args(psprintf("%s AND %s" EQ "$1",
									   rows_query(table, &columns, link_condition(table)),
									   quote_identifier(SPI_fname(RelationGetDescr(table), columns.id))),
							  1, types, values, NULL, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read table \"%s\"", RelationGetRelationName(table));
	if (SPI_processed > 0)
	{
		name = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2);
		name = MemoryContextStrdup(context, name != NULL ? name : "");
	}
	link_reader_end(&scope);
	return name;
}

/*
 * An update that moves a row to another partition deletes it here and inserts
 * it there: then the user stays, and may have got another name by the way.
 */
static char *
name_after_move(const Mirror *mirror, int64 user_id)
{
	Relation	table;
	char	   *name;

	if (!HeapTupleHeaderIndicatesMovedPartitions(mirror->old_row->t_data))
		return NULL;
	table = relation_open(llast_oid(get_partition_ancestors(RelationGetRelid(mirror->rel))),
						  AccessShareLock);
	name = current_name(table, user_id);
	relation_close(table, NoLock);
	return name;
}

static void
mirror_gone(const Mirror *mirror)
{
	int64		user_id = tuple_user_id(mirror->old_row, mirror->rel, &mirror->columns);
	char	   *name = name_after_move(mirror, user_id);
	Datum		values[] = {Int64GetDatum(user_id), name != NULL ? CStringGetTextDatum(name) : (Datum) 0};

	if (name == NULL)
		(void) remove_user(user_id);
	else if (!is_user(values))
	{
		check_username(name);
		prepare_names(mirror);
		if (plan_run(&user_rename, PLAN_TRIGGER, values, NULL).nrows > 0)
			record_rename(user_id, name);
	}
}

/* ---------- the trigger ---------- */

static void
mirror_row(const TriggerData *trigdata, LinkAction action)
{
	bool		is_update = TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event);
	Mirror		mirror = {
		.rel = trigdata->tg_relation,
		.old_row = trigdata->tg_trigtuple,
		.new_row = is_update ? trigdata->tg_newtuple : trigdata->tg_trigtuple
	};

	link_columns(&mirror.columns, mirror.rel);
	switch (action)
	{
		case LINK_INSERT:
		case LINK_RETURN:
			mirror_new(&mirror);
			break;
		case LINK_UPDATE:
			mirror_update(&mirror);
			break;
		case LINK_LEAVE:
		case LINK_DELETE:
			if (tuple_has_user_id(mirror.old_row, mirror.rel, &mirror.columns))
				mirror_gone(&mirror);
			break;
		case LINK_TRUNCATE:
			mirror_truncate();
			break;
	}
}

static void
mirror(FunctionCallInfo fcinfo, LinkAction action)
{
	int			nest_level = origin_begin();
	OwnerScope	scope;

	owner_begin(&scope, fcinfo);
	mirror_row((TriggerData *) fcinfo->context, action);
	owner_end(&scope);
	origin_end(nest_level);
}

Datum
chatrel_mirror_user(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;
	LinkAction	action;

	if (!CALLED_AS_TRIGGER(fcinfo) || !link_action(trigdata->tg_trigger, &action))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("chatrel.mirror_user() is for the triggers that chatrel.link_users() makes")));

	/* That trigger is for updates only in name. */
	if (action != LINK_INSERT || TRIGGER_FIRED_BY_INSERT(trigdata->tg_event))
		mirror(fcinfo, action);

	return PointerGetDatum(NULL);
}
