/*
 * restore.c
 *	  Rows of chatrel.users that a restore brings.
 *
 * A dump of the data alone is loaded into tables whose triggers fire.  Where the
 * linked table comes first, its trigger has made the users already, and their
 * own rows, in one COPY with those of the users that are deleted, would fail.
 * Such a row says something about the user who is there instead.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "miscadmin.h"

#include "core/plans.h"
#include "users/link_triggers.h"

/* The same arguments, though it needs but two. */
static SqlPlan user_is_there = {
	.sql = "SELECT $3, $4 FROM chatrel.users"
	" WHERE id" EQ "$1 AND username" EQ "$2 AND deleted_at IS NULL",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, TEXTOID, NAMEOID, TIMESTAMPTZOID)
};

static SqlPlan user_restore = {
	.sql = "UPDATE chatrel.users SET role_name = $3, created_at = COALESCE($4, created_at)"
	" WHERE id" EQ "$1 AND username" EQ "$2 AND deleted_at IS NULL",
	.expected = SPI_OK_UPDATE,
	PLAN_ARGS(INT8OID, TEXTOID, NAMEOID, TIMESTAMPTZOID)
};

PG_FUNCTION_INFO_V1(chatrel_restore_user);

/* Is this the row of a user whom the trigger of the linked table has made? */
static bool
restore_mirrored(FunctionCallInfo fcinfo, const TriggerData *trigdata)
{
	static const char *const columns[] = {"id", "username", "role_name", "created_at"};
	TupleDesc	tupdesc = RelationGetDescr(trigdata->tg_relation);
	Datum		values[lengthof(columns)];
	char		nulls[lengthof(columns) + 1] = {0};
	OwnerScope	scope;
	bool		restored;

	for (int i = 0; i < lengthof(columns); i++)
	{
		bool		isnull;

		values[i] = SPI_getbinval(trigdata->tg_trigtuple, tupdesc,
								  SPI_fnumber(tupdesc, columns[i]), &isnull);
		nulls[i] = isnull ? 'n' : ' ';
	}
	owner_begin(&scope, fcinfo);
	restored = plan_run(&user_is_there, PLAN_WRITE, values, nulls).nrows > 0 &&
		is_linked() && plan_run(&user_restore, PLAN_WRITE, values, nulls).nrows > 0;
	owner_end(&scope);
	return restored;
}

Datum
chatrel_restore_user(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_BEFORE(trigdata->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigdata->tg_event) || !TRIGGER_FIRED_BY_INSERT(trigdata->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("chatrel.restore_user() is for the trigger of chatrel.users")));

	/* chatrel itself knows who is there. */
	if (!InLocalUserIdChange() && restore_mirrored(fcinfo, trigdata))
		return PointerGetDatum(NULL);
	return PointerGetDatum(trigdata->tg_trigtuple);
}
