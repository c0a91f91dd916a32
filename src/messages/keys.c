/*
 * keys.c
 *	  The foreign keys of messages, checked once for a send.
 *
 * A send holds the membership row, so that group and sender are there: their
 * deletion removes the membership first, and waits.  PostgreSQL's own checks would
 * find the same out again for each message, and lock the rows of the group and the
 * sender, which costs a third of a send; and as all the senders of a group lock one
 * row, most of these locks make a MultiXactId.
 *
 * So a new row is checked by a trigger, which leaves it out for a send.  For the
 * group there is the constraint as well, of which that check is disabled: it deletes
 * the messages of a group that is deleted, and tells pg_dump which table is restored
 * first.  For the sender there is none, so that no check locks a user when the
 * membership is locked already (src/README), even where all triggers have been
 * enabled, as pg_upgrade does: another trigger keeps users that have sent messages.
 * The same trigger sees to it that a row has a text, unless it is deleted, also when it
 * is changed.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "utils/rel.h"

#include "core/errors.h"
#include "core/plans.h"
#include "messages/keys.h"

static SqlPlan group_lock = {
	.sql = "SELECT FROM chatrel.groups WHERE id" EQ "$1 FOR KEY SHARE",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID)
};

static SqlPlan sender_lock = {
	.sql = "SELECT FROM chatrel.users WHERE id" EQ "$1 FOR KEY SHARE",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID)
};

/* Messages of a user that is not there any more */
static SqlPlan sender_gone = {
	.sql = "SELECT FROM chatrel.groups_messages t WHERE t.sender_id" EQ "$1"
	" AND NOT EXISTS (SELECT FROM chatrel.users u WHERE u.id" EQ "$1) LIMIT 1",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID)
};

/* An error between begin and end ends the subtransaction, and with it what is known. */
static struct
{
	FullTransactionId xid;
	SubTransactionId subxact;
	int64		group_id;
	int64		sender_id;
}			known;

PG_FUNCTION_INFO_V1(chatrel_check_message_keys);
PG_FUNCTION_INFO_V1(chatrel_keep_sender);

void
keys_known_begin(int64 group_id, int64 sender_id)
{
	known.xid = GetTopFullTransactionId();
	known.subxact = GetCurrentSubTransactionId();
	known.group_id = group_id;
	known.sender_id = sender_id;
}

void
keys_known_end(void)
{
	known.subxact = InvalidSubTransactionId;
}

static bool
keys_are_known(int64 group_id, int64 sender_id)
{
	return known.subxact == GetCurrentSubTransactionId() &&
		FullTransactionIdEquals(known.xid, GetTopFullTransactionIdIfAny()) &&
		known.group_id == group_id && known.sender_id == sender_id;
}

/* As PostgreSQL says it of a foreign key. */
static void
check_key(SqlPlan *plan, int64 id, const char *column, const char *table)
{
	Datum		values[] = {Int64GetDatum(id)};

	if (plan_run(plan, PLAN_WRITE, values, NULL).nrows == 0)
		ereport(ERROR,
				(errcode(ERRCODE_FOREIGN_KEY_VIOLATION),
				 errmsg("insert on table \"groups_messages\" violates foreign key constraint \"groups_messages_%s_fkey\"",
						column),
				 errdetail("Key (%s)=(%lld) is not present in table \"%s\".",
						   column, (long long) id, table),
				 err_constraint("groups_messages", psprintf("groups_messages_%s_fkey", column))));
}

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
chatrel_check_message_keys(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;
	TupleDesc	tupdesc;
	HeapTuple	row;
	OwnerScope	scope;
	bool		no_group;
	bool		no_sender;
	int64		group_id;
	int64		sender_id;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_BEFORE(trigdata->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigdata->tg_event) ||
		TRIGGER_FIRED_BY_DELETE(trigdata->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("chatrel.check_message_keys() is for the trigger of chatrel.groups_messages")));

	tupdesc = RelationGetDescr(trigdata->tg_relation);
	row = TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event) ? trigdata->tg_newtuple
		: trigdata->tg_trigtuple;
	check_text(row, tupdesc);
	if (TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event))
		return PointerGetDatum(row);
	group_id = DatumGetInt64(SPI_getbinval(row, tupdesc,
										   SPI_fnumber(tupdesc, "group_id"), &no_group));
	sender_id = DatumGetInt64(SPI_getbinval(row, tupdesc,
											SPI_fnumber(tupdesc, "sender_id"), &no_sender));
	if (keys_are_known(group_id, sender_id))
		return PointerGetDatum(row);

	owner_begin(&scope, fcinfo);
	if (!no_group)
		check_key(&group_lock, group_id, "group_id", "groups");
	if (!no_sender)
		check_key(&sender_lock, sender_id, "sender_id", "users");
	owner_end(&scope);
	return PointerGetDatum(row);
}

/* As PostgreSQL's check of the other side of a foreign key: nothing of it is looked up often. */
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
