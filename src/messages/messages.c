/*
 * messages.c
 *	  Sending messages to groups.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/xid8.h"

#include "core/check.h"
#include "core/epoch.h"
#include "core/guc.h"
#include "core/identity.h"
#include "core/plans.h"
#include "core/rows.h"
#include "delivery/events.h"
#include "groups/members.h"
#include "messages/extras.h"
#include "messages/keys.h"
#include "messages/message.h"

PG_FUNCTION_INFO_V1(chatrel_send_group_message);

static void
message_event(JsonWriter *event, const Message *message)
{
	event_begin(event, "group_message");
	json_message(event, message);
}

/* A message is announced without what may be long where that does not fit. */
static void
announce_message(const Message *message)
{
	JsonWriter	event;

	message_event(&event, message);
	if (!event_fits(&event))
	{
		Message		truncated = *message;

		truncated.message = NULL;
		truncated.mentions = NULL;
		truncated.metadata = NULL;
		message_event(&event, &truncated);
	}
	announce(EVENT_GROUP, message->group_id, true, &event);
}

static void
announce_sent(const Message *message)
{
	announce_message(message);
	if (message->mentions != NULL)
		record_mentions(message);
}

/* ---------- sending ---------- */

/*
 * Between rows_begin() and rows_end(): locks the membership, or raises the error that says
 * why the member may not send.  At once where no rule of the group is to be asked, as for
 * most messages.
 */
static void
hold_sender(int64 group_id, int64 user_id)
{
	if (lock_membership_at_once(user_id, group_id))
		return;
	rows_end();
	lock_membership(user_id, group_id, ACT_SEND);
	rows_begin(PLAN_WRITE);
}

/*
 * That the lock comes before the id is drawn matters to cursors on a standby, see
 * cursor.c.  values: datetime, group_id, user_id, message.
 */
static TupleTableSlot *
new_message(Relation messages, const Datum *values)
{
	TupleTableSlot *row = row_new(messages);

	row_set(row, "id", Int64GetDatum(next_number("event_ids")));
	row_set(row, "datetime", values[0]);
	row_set(row, "group_id", values[1]);
	row_set(row, "sender_id", values[2]);
	row_set(row, "message", values[3]);
	row_set(row, "xid", FullTransactionIdGetDatum(GetTopFullTransactionId()));
	return row;
}

/* Returns what was added, as the composite type that the function returns. */
static HeapTuple
add_message(const Datum *values, TupleDesc tupdesc)
{
	int64		group_id = DatumGetInt64(values[1]);
	int64		user_id = DatumGetInt64(values[2]);
	Relation	messages;
	TupleTableSlot *row;
	HeapTuple	added;

	rows_begin(PLAN_WRITE);
	hold_sender(group_id, user_id);
	messages = rows_open("groups_messages", RowExclusiveLock, ACL_INSERT);
	row = new_message(messages, values);
	keys_known_begin(group_id, user_id);
	if (!row_add(messages, row))
		error_change_suppressed("groups_messages");
	keys_known_end();
	added = row_as(row, tupdesc);
	row_drop(row);
	rows_close(messages);
	rows_end();
	return added;
}

Datum
chatrel_send_group_message(PG_FUNCTION_ARGS)
{
	int64		group_id = require_int64(fcinfo, 0, "group_id");
	text	   *text = require_text(fcinfo, 1, "message", guc_max_message_length,
									"chatrel.max_message_length");
	TimestampTz datetime = PG_ARGISNULL(2) ? GetCurrentTransactionStartTimestamp()
		: require_datetime(fcinfo, 2, "datetime");
	int64		user_id = acting_user(fcinfo);
	Datum		values[] = {TimestampTzGetDatum(datetime), Int64GetDatum(group_id),
	Int64GetDatum(user_id), PointerGetDatum(text)};
	MessageExtras extras;
	bool		has_extras = read_extras(&extras, fcinfo, user_id);
	bool		is_new = true;
	OwnerScope	scope;
	TupleDesc	tupdesc;
	HeapTuple	sent;
	Message		message;
	Datum		result;

	PreventCommandIfReadOnly("chatrel.send_group_message()");
	owner_begin(&scope, fcinfo);

	tupdesc = result_row_type(fcinfo);
	prepare_to_draw_ids();
	sent = has_extras ? add_message_with_extras(&extras, values, &is_new).rows->vals[0]
		: add_message(values, tupdesc);
	read_message_tuple(&message, sent, tupdesc);
	if (is_new)
		announce_sent(&message);
	result = PointerGetDatum(SPI_returntuple(sent, tupdesc));
	ReleaseTupleDesc(tupdesc);
	owner_end(&scope);

	PG_RETURN_DATUM(result);
}
