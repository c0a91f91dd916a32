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

/* What is sent: what the caller has passed */
typedef struct Sending
{
	int64		group_id;
	int64		user_id;
	text	   *message;
	TimestampTz datetime;
	MessageExtras extras;
} Sending;

/*
 * That the lock comes before the id is drawn matters to cursors on a standby, see
 * cursor.c.
 */
static TupleTableSlot *
new_message(Relation messages, const Sending *sending)
{
	TupleTableSlot *row = row_new(messages);

	row_set(row, "id", Int64GetDatum(next_number("event_ids")));
	row_set(row, "datetime", TimestampTzGetDatum(sending->datetime));
	row_set(row, "group_id", Int64GetDatum(sending->group_id));
	row_set(row, "sender_id", Int64GetDatum(sending->user_id));
	row_set(row, "message", PointerGetDatum(sending->message));
	row_set(row, "xid", FullTransactionIdGetDatum(GetTopFullTransactionId()));
	set_extras(row, &sending->extras);
	return row;
}

/*
 * Returns what was added, as the composite type that the function returns; null if there
 * is a message with the key, or a trigger keeps it out.
 */
static HeapTuple
add_message(const Sending *sending, TupleDesc tupdesc)
{
	Relation	messages = rows_open("groups_messages", RowExclusiveLock, ACL_INSERT);
	TupleTableSlot *row = new_message(messages, sending);
	bool		added = sending->extras.client_key == NULL ? row_add(messages, row)
		: row_add_unless_there(messages, row, "groups_messages_client_key_idx");
	HeapTuple	message = added ? row_as(row, tupdesc) : NULL;

	row_drop(row);
	rows_close(messages);
	return message;
}

/*
 * Of two sends with a key at the same time the second waits in the index for the first,
 * and then finds its message.
 */
static HeapTuple
add_or_find_message(const Sending *sending, TupleDesc tupdesc, bool *is_new)
{
	int			tries = sending->extras.client_key == NULL ? 1 : MAX_TRIES;

	for (int i = 0; i < tries; i++)
	{
		HeapTuple	message;

		rows_begin(PLAN_WRITE);
		message = add_message(sending, tupdesc);
		rows_end();
		*is_new = message != NULL;
		if (message == NULL)
			message = find_sent(&sending->extras, sending->group_id, sending->user_id);
		if (message != NULL)
			return message;
	}
	error_change_suppressed("groups_messages");
}

/*
 * The membership is locked before anything is looked up: at once where no rule of the group
 * is to be asked, as for most messages.  What a retry names may be gone by now, and the
 * sender may not send any more, and so its message is looked for first.
 */
static HeapTuple
send_message(const Sending *sending, TupleDesc tupdesc, bool *is_new)
{
	Membership	member;
	bool		held;
	HeapTuple	sent;

	rows_begin(PLAN_WRITE);
	held = lock_membership_at_once(sending->user_id, sending->group_id);
	rows_end();
	if (!held)
		hold_membership(&member, sending->user_id, sending->group_id, ACT_SEND);
	sent = find_sent(&sending->extras, sending->group_id, sending->user_id);
	*is_new = sent == NULL;
	if (sent != NULL)
		return sent;
	if (!held)
		require_act(&member, ACT_SEND);
	check_extras(&sending->extras, sending->group_id);
	return add_or_find_message(sending, tupdesc, is_new);
}

Datum
chatrel_send_group_message(PG_FUNCTION_ARGS)
{
	Sending		sending = {0};
	bool		is_new;
	OwnerScope	scope;
	TupleDesc	tupdesc;
	HeapTuple	sent;
	Message		message;
	Datum		result;

	sending.group_id = require_int64(fcinfo, 0, "group_id");
	sending.message = require_text(fcinfo, 1, "message", guc_max_message_length,
								   "chatrel.max_message_length");
	sending.datetime = PG_ARGISNULL(2) ? GetCurrentTransactionStartTimestamp()
		: require_datetime(fcinfo, 2, "datetime");
	sending.user_id = acting_user(fcinfo);
	read_extras(&sending.extras, fcinfo, sending.user_id);

	PreventCommandIfReadOnly("chatrel.send_group_message()");
	owner_begin(&scope, fcinfo);
	tupdesc = result_row_type(fcinfo);
	prepare_to_draw_ids();
	sent = send_message(&sending, tupdesc, &is_new);
	read_message_tuple(&message, sent, tupdesc);
	if (is_new)
		announce_sent(&message);
	result = PointerGetDatum(SPI_returntuple(sent, tupdesc));
	ReleaseTupleDesc(tupdesc);
	owner_end(&scope);

	PG_RETURN_DATUM(result);
}
