/*
 * record.c
 *	  Events that are kept, so that sync() shows them to those who were away.
 *
 * An event is recorded and announced in the transaction in which it happens, and
 * what is announced is made of what is recorded: it is heard, and caught up with,
 * as the same object.  Its id comes from the sequence that gives messages theirs.
 * The transaction has an xid, and has shown it in the WAL by a lock or a change,
 * before the id is drawn (src/receive/cursor.c says why).
 *
 *	  {"kind": {"id", "datetime", "group_id", "recipient_id", "actor_id",
 *				"user_id", "message_id", further keys}}
 *
 * where keys without a value are left out.
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/builtins.h"
#include "utils/xid8.h"

#include "core/check.h"
#include "core/epoch.h"
#include "core/rows.h"
#include "delivery/events.h"
#include "delivery/record.h"

static void
json_optional_id(JsonWriter *json, const char *key, int64 id)
{
	if (id != 0)
		json_id(json, key, id);
}

/* These name both sides as the table of relationships does: who did it and who hears of it. */
static void
json_follow(JsonWriter *json, const RecordedEvent *event)
{
	static const char *const by_follower[] = {"followed", "unfollowed", "follow_requested"};

	for (int i = 0; i < lengthof(by_follower); i++)
		if (strcmp(event->kind, by_follower[i]) == 0)
		{
			json_id(json, "follower_id", event->actor_id);
			json_id(json, "followed_id", event->recipient_id);
		}
	if (strcmp(event->kind, "follow_accepted") == 0)
	{
		json_id(json, "follower_id", event->recipient_id);
		json_id(json, "followed_id", event->actor_id);
	}
}

/* The keys of the object */
void
json_recorded_event(JsonWriter *json, const RecordedEvent *event)
{
	json_id(json, "id", event->id);
	json_timestamp(json, "datetime", event->created_at);
	json_optional_id(json, "group_id", event->group_id);
	json_optional_id(json, "recipient_id", event->recipient_id);
	json_optional_id(json, "actor_id", event->actor_id);
	json_optional_id(json, "user_id", event->user_id);
	json_optional_id(json, "message_id", event->message_id);
	json_follow(json, event);
	if (event->detail != NULL)
		json_merge(json, event->detail);
}

static void
set_optional_id(TupleTableSlot *row, const char *column, int64 id)
{
	if (id != 0)
		row_set(row, column, Int64GetDatum(id));
}

static TupleTableSlot *
new_event(Relation events, const RecordedEvent *event)
{
	TupleTableSlot *row = row_new(events);

	row_set(row, "id", Int64GetDatum(next_number("event_ids")));
	row_set(row, "kind", CStringGetTextDatum(event->kind));
	set_optional_id(row, "group_id", event->group_id);
	set_optional_id(row, "recipient_id", event->recipient_id);
	set_optional_id(row, "actor_id", event->actor_id);
	set_optional_id(row, "user_id", event->user_id);
	set_optional_id(row, "message_id", event->message_id);
	if (event->detail != NULL)
		row_set(row, "detail", JsonbPGetDatum(event->detail));
	row_set(row, "xid", FullTransactionIdGetDatum(GetTopFullTransactionId()));
	return row;
}

static void
insert_event(RecordedEvent *event)
{
	Relation	events;
	TupleTableSlot *row;
	bool		isnull;

	prepare_to_draw_ids();
	rows_begin(PLAN_WRITE);
	events = rows_open("events", RowExclusiveLock, ACL_INSERT);
	row = new_event(events, event);
	if (!row_add(events, row))
		error_change_suppressed("events");
	event->id = DatumGetInt64(row_get(row, "id", &isnull));
	event->created_at = DatumGetTimestampTz(row_get(row, "created_at", &isnull));
	row_drop(row);
	rows_close(events);
	rows_end();
}

static void
write_event(JsonWriter *json, const RecordedEvent *event)
{
	event_begin(json, event->kind);
	json_recorded_event(json, event);
}

/* Where it does not fit into a notification it is announced without its details. */
static void
announce_recorded(const RecordedEvent *event, EventTarget target)
{
	JsonWriter	json;

	write_event(&json, event);
	if (!event_fits(&json))
	{
		RecordedEvent truncated = *event;

		truncated.detail = NULL;
		write_event(&json, &truncated);
		json_bool(&json, "truncated", true);
	}
	announce(target, event->recipient_id != 0 ? event->recipient_id : event->group_id, true, &json);
}

/* Records an event and announces it to those whom it is for. */
void
record_event(RecordedEvent *event)
{
	insert_event(event);
	announce_recorded(event, event->recipient_id != 0 ? EVENT_USER : EVENT_GROUP);
}

/* The same for a group, by the channel that it has or by the one that it had. */
void
record_member_event(RecordedEvent *event, EventTarget target)
{
	insert_event(event);
	announce_recorded(event, target);
}

/* A detail that is a text */
Jsonb *
event_detail(const char *key, const char *value)
{
	JsonWriter	json;

	json_begin_jsonb(&json);
	json_begin_object(&json, NULL);
	json_string(&json, key, value);
	json_end_object(&json);
	return DatumGetJsonbP(json_end_jsonb(&json));
}
