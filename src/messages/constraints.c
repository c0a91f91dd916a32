/*
 * constraints.c
 *	  What holds for messages, and PostgreSQL's own constraints do not see to.
 *
 * That a row has a text that is not empty, unless it is deleted, is checked by a trigger:
 * PostgreSQL reads CHECKs anew for each statement, which would cost a send a tenth.
 *
 * A send holds the membership row, and so leaves out the checks of the foreign keys
 * (core/rows.c), which would lock the rows of the group and the sender: group and sender
 * are there, since their deletion removes the membership first, and waits.  Where the owner
 * deletes a user by hand, PostgreSQL's check that it has sent nothing may come before that
 * wait: another trigger checks it afterwards.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "utils/rel.h"

#include "core/errors.h"
#include "core/plans.h"

/* Messages of a user that is not there any more */
static SqlPlan sender_gone = {
	.sql = "SELECT FROM chatrel.groups_messages t WHERE t.sender_id" EQ "$1"
	" AND NOT EXISTS (SELECT FROM chatrel.users u WHERE u.id" EQ "$1) LIMIT 1",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID)
};

PG_FUNCTION_INFO_V1(chatrel_check_message);
PG_FUNCTION_INFO_V1(chatrel_keep_sender);

/* As PostgreSQL says it of a column that is NOT NULL, and of a CHECK. */
static void
check_text(HeapTuple row, TupleDesc tupdesc)
{
	bool		no_text;
	bool		not_deleted = false;
	Datum		message = SPI_getbinval(row, tupdesc, SPI_fnumber(tupdesc, "message"), &no_text);

	if (no_text)
		(void) SPI_getbinval(row, tupdesc, SPI_fnumber(tupdesc, "deleted_at"), &not_deleted);
	if (not_deleted)
		ereport(ERROR,
				(errcode(ERRCODE_NOT_NULL_VIOLATION),
				 errmsg("null value in column \"message\" of relation \"groups_messages\" violates not-null constraint"),
				 errdetail("Only a deleted message has no text."),
				 err_table("groups_messages")));
	if (!no_text && VARSIZE_ANY_EXHDR(DatumGetTextPP(message)) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_CHECK_VIOLATION),
				 errmsg("new row for relation \"groups_messages\" violates check constraint \"groups_messages_message_check\""),
				 errdetail("A message has a text that is not empty."),
				 err_constraint("groups_messages", "groups_messages_message_check")));
}

Datum
chatrel_check_message(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;
	HeapTuple	row;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_BEFORE(trigdata->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigdata->tg_event) ||
		TRIGGER_FIRED_BY_DELETE(trigdata->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("chatrel.check_message() is for the trigger of chatrel.groups_messages")));

	row = TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event) ? trigdata->tg_newtuple
		: trigdata->tg_trigtuple;
	check_text(row, RelationGetDescr(trigdata->tg_relation));
	return PointerGetDatum(row);
}

/* Without an index by sender: users are seldom deleted by hand. */
Datum
chatrel_keep_sender(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;
	TupleDesc	tupdesc;
	OwnerScope	scope;
	bool		isnull;
	int64		id;
	Datum		values[1];

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_AFTER(trigdata->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigdata->tg_event) ||
		TRIGGER_FIRED_BY_INSERT(trigdata->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("chatrel.keep_sender() is for the trigger of chatrel.users")));

	tupdesc = RelationGetDescr(trigdata->tg_relation);
	id = DatumGetInt64(SPI_getbinval(trigdata->tg_trigtuple, tupdesc,
									 SPI_fnumber(tupdesc, "id"), &isnull));
	values[0] = Int64GetDatum(id);
	owner_begin(&scope, fcinfo);
	if (plan_run(&sender_gone, PLAN_LATEST, values, NULL).nrows > 0)
		ereport(ERROR,
				(errcode(ERRCODE_FOREIGN_KEY_VIOLATION),
				 errmsg("user %lld has sent messages", (long long) id),
				 errhint("Use chatrel.delete_user(), which keeps the row for the history."),
				 err_table("groups_messages")));
	owner_end(&scope);
	return PointerGetDatum(NULL);
}
