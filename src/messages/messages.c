/*
 * messages.c
 *	  Sending messages to groups.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"

#include "core/check.h"
#include "core/epoch.h"
#include "core/guc.h"
#include "core/identity.h"
#include "core/plans.h"
#include "delivery/events.h"
#include "groups/members.h"
#include "messages/extras.h"
#include "messages/keys.h"
#include "messages/message.h"

/*
 * Adds a message of a member, and nothing for anybody else.  The membership is
 * locked as lock_membership() does; that the lock comes before the id is drawn
 * matters to cursors on a standby, see cursor.c.
 */
#define MESSAGE_ADD(condition) \
	"INSERT INTO chatrel.groups_messages AS sent (datetime, group_id, sender_id, message)" \
	" SELECT $1, m.group_id, m.user_id, $4" \
	" FROM chatrel.groups_members m" \
	" WHERE m.group_id" EQ "$2 AND m.user_id" EQ "$3" condition " FOR KEY SHARE" \
	" RETURNING " MESSAGE_COLUMNS("sent")

/* Where no rule of the group is to be asked, as of most messages */
static SqlPlan message_add_at_once = {
	.sql = MESSAGE_ADD(" AND " MAY_SEND_AT_ONCE("$2")),
	.expected = SPI_OK_INSERT_RETURNING,
	PLAN_ARGS(TIMESTAMPTZOID, INT8OID, INT8OID, TEXTOID),
	.by_index = true
};

/* When they have been asked */
static SqlPlan message_add = {
	.sql = MESSAGE_ADD(""),
	.expected = SPI_OK_INSERT_RETURNING,
	PLAN_ARGS(TIMESTAMPTZOID, INT8OID, INT8OID, TEXTOID)
};

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
announce_sent(const PlanResult *sent)
{
	Message		message;

	read_message(&message, sent, 0);
	announce_message(&message);
	if (message.mentions != NULL)
		record_mentions(&message);
}

/*
 * Adds the message, or raises the error that says why not.  For the first attempt
 * there may be rules to ask, or it may have come too early for a member who joins at
 * this moment; the second finds the membership, which is locked by then.
 */
static PlanResult
add_message(int64 group_id, int64 user_id, Datum *values)
{
	PlanResult	sent;

	keys_known_begin(group_id, user_id);
	sent = plan_run(&message_add_at_once, PLAN_WRITE, values, NULL);
	if (sent.nrows == 0)
	{
		lock_membership(user_id, group_id, ACT_SEND);
		sent = plan_run(&message_add, PLAN_WRITE, values, NULL);
	}
	keys_known_end();
	if (sent.nrows == 0)
		error_change_suppressed("groups_messages");
	return sent;
}

Datum
chatrel_send_group_message(PG_FUNCTION_ARGS)
{
	int64		group_id = require_int64(fcinfo, 0, "group_id");
	text	   *message = require_text(fcinfo, 1, "message", guc_max_message_length,
									   "chatrel.max_message_length");
	TimestampTz datetime = PG_ARGISNULL(2) ? GetCurrentTransactionStartTimestamp()
		: require_datetime(fcinfo, 2, "datetime");
	int64		user_id = acting_user(fcinfo);
	Datum		values[] = {TimestampTzGetDatum(datetime), Int64GetDatum(group_id),
	Int64GetDatum(user_id), PointerGetDatum(message)};
	MessageExtras extras;
	bool		has_extras = read_extras(&extras, fcinfo, user_id);
	bool		is_new = true;
	OwnerScope	scope;
	PlanResult	sent;
	Datum		result;

	PreventCommandIfReadOnly("chatrel.send_group_message()");
	owner_begin(&scope, fcinfo);

	prepare_to_draw_ids();
	sent = has_extras ? add_message_with_extras(&extras, values, &is_new)
		: add_message(group_id, user_id, values);
	if (is_new)
		announce_sent(&sent);
	result = result_as_row(&sent, 0, fcinfo);
	owner_end(&scope);

	PG_RETURN_DATUM(result);
}
