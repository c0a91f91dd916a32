/*
 * messages.c
 *	  Sending messages to groups, and reading their history.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "check.h"
#include "events.h"
#include "groups.h"
#include "guc.h"
#include "identity.h"
#include "json.h"
#include "plans.h"
#include "sync.h"

/*
 * Adds a message of a member, and nothing for anybody else.  The membership is
 * locked as require_member() does; that the lock comes before the id is drawn
 * matters to cursors on a standby, see cursor.c.  The columns are those of chatrel.chat_message.
 */
static SqlPlan message_add = {
	"INSERT INTO chatrel.groups_messages (datetime, group_id, sender_id, message)"
	" SELECT $1, m.group_id, m.user_id, $4"
	" FROM chatrel.groups_members m"
	" WHERE m.group_id" EQ "$2 AND m.user_id" EQ "$3 FOR KEY SHARE"
	" RETURNING id, datetime, group_id, sender_id, message",
	SPI_OK_INSERT_RETURNING, 4, {TIMESTAMPTZOID, INT8OID, INT8OID, TEXTOID}
};

static SqlPlan messages_page = {
	"SELECT id, datetime, group_id, sender_id, message"
	" FROM chatrel.groups_messages"
	" WHERE group_id" EQ "$1 AND id" LT "$2"
	" ORDER BY id DESC LIMIT $3",
	SPI_OK_SELECT, 3, {INT8OID, INT8OID, INT8OID}, true
};

static SqlPlan history_document = {
	"SELECT " JSON_GROUP("g",
						 ", 'messages', COALESCE(("
						 "SELECT pg_catalog.jsonb_agg(" JSON_MESSAGE("page") " ORDER BY page.id)"
						 " FROM (SELECT t.id, t.datetime, t.group_id, t.sender_id, t.message"
						 " FROM chatrel.groups_messages t"
						 " WHERE t.group_id" EQ "$1 AND t.id" LT "$2"
						 " ORDER BY t.id DESC LIMIT $3) page), '[]'::pg_catalog.jsonb),"
						 " 'cursor', $4")
	" FROM chatrel.groups g"
	" WHERE g.id" EQ "$1",
	SPI_OK_SELECT, 4, {INT8OID, INT8OID, INT8OID, TEXTOID}, true
};

PG_FUNCTION_INFO_V1(chatrel_send_group_message);
PG_FUNCTION_INFO_V1(chatrel_group_messages);
PG_FUNCTION_INFO_V1(chatrel_get_group_with_chat_history);

/* A message is announced without its text where that does not fit. */
static void
message_event(StringInfo event, int64 id, TimestampTz datetime, int64 group_id,
			  int64 sender_id, text *message)
{
	event_open(event, "group_message");
	event_int64(event, "id", id);
	event_timestamp(event, "datetime", datetime);
	event_int64(event, "group_id", group_id);
	event_int64(event, "sender_id", sender_id);
	if (message != NULL)
		event_string(event, "message", text_to_cstring(message));
	else
		event_true(event, "truncated");
	event_close(event);
}

static void
owe_message(int64 id, TimestampTz datetime, int64 group_id, int64 sender_id,
			text *message)
{
	StringInfoData event;

	message_event(&event, id, datetime, group_id, sender_id, message);
	if (event.len > EVENT_MAX_LENGTH)
		message_event(&event, id, datetime, group_id, sender_id, NULL);
	event_owe(EVENT_GROUP, group_id, true, &event);
}

Datum
chatrel_send_group_message(PG_FUNCTION_ARGS)
{
	int64		group_id = require_int64(fcinfo, 0, "group_id");
	text	   *message = require_text(fcinfo, 1, "message", guc_max_message_length,
									   "chatrel.max_message_length");
	TimestampTz datetime = PG_ARGISNULL(2) ? GetCurrentTransactionStartTimestamp()
		: PG_GETARG_TIMESTAMPTZ(2);
	int64		user_id = acting_user(fcinfo, 3);
	Datum		values[] = {TimestampTzGetDatum(datetime), Int64GetDatum(group_id),
	Int64GetDatum(user_id), PointerGetDatum(message)};
	OwnerScope	scope;
	Datum		result;

	PreventCommandIfReadOnly("chatrel.send_group_message()");
	owner_begin(&scope, fcinfo);

	/*
	 * The transaction gets its xid before the insert draws the id: catching up
	 * relies on it.
	 */
	(void) GetTopTransactionId();
	while (plan_run(&message_add, PLAN_WRITE, values, NULL) == 0)
		require_member(user_id, group_id, MEMBER_WRITES);
	result = plan_return_row(fcinfo, 0);
	owe_message(plan_int64(0, 1), datetime, group_id, user_id, message);

	owner_end(&scope);

	PG_RETURN_DATUM(result);
}

/* The arguments of a page: what is older than before_id, at most message_limit. */
static void
page_arguments(FunctionCallInfo fcinfo, Datum *values)
{
	values[0] = Int64GetDatum(require_int64(fcinfo, 0, "group_id"));
	values[1] = Int64GetDatum(PG_ARGISNULL(1) ? PG_INT64_MAX : PG_GETARG_INT64(1));
	values[2] = Int64GetDatum(require_limit(fcinfo, 2, "message_limit"));
}

Datum
chatrel_group_messages(PG_FUNCTION_ARGS)
{
	Datum		values[3];
	int64		user_id;
	OwnerScope	scope;

	page_arguments(fcinfo, values);
	user_id = acting_user(fcinfo, 3);
	InitMaterializedSRF(fcinfo, 0);

	owner_begin(&scope, fcinfo);
	require_reader(user_id, DatumGetInt64(values[0]));
	plan_fill(&messages_page, (ReturnSetInfo *) fcinfo->resultinfo, values, NULL);
	owner_end(&scope);

	return (Datum) 0;
}

Datum
chatrel_get_group_with_chat_history(PG_FUNCTION_ARGS)
{
	Datum		values[4];
	int64		user_id;
	OwnerScope	scope;
	Datum		result;

	page_arguments(fcinfo, values);
	user_id = acting_user(fcinfo, 3);

	owner_begin(&scope, fcinfo);
	require_reader(user_id, DatumGetInt64(values[0]));
	values[3] = CStringGetTextDatum(cursor_text(cursor_of_now(user_id, DatumGetInt64(values[0]))));
	if (plan_run(&history_document, PLAN_READ, values, NULL) == 0)
		error_group_not_found(DatumGetInt64(values[0]));
	result = plan_copy_value(0, 1);
	owner_end(&scope);

	PG_RETURN_DATUM(result);
}
