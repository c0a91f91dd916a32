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

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "core/check.h"
#include "core/epoch.h"
#include "delivery/events.h"
#include "delivery/record.h"

static SqlPlan event_add = {
	.sql = "INSERT INTO chatrel.events"
	" (kind, group_id, recipient_id, actor_id, user_id, message_id, detail)"
	" VALUES ($1, $2, $3, $4, $5, $6, $7)"
	" RETURNING id, created_at",
	.expected = SPI_OK_INSERT_RETURNING,
	PLAN_ARGS(TEXTOID, INT8OID, INT8OID, INT8OID, INT8OID, INT8OID, JSONBOID)
};

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
insert_event(RecordedEvent *event)
{
	Datum		values[] = {
		CStringGetTextDatum(event->kind),
		Int64GetDatum(event->group_id),
		Int64GetDatum(event->recipient_id),
		Int64GetDatum(event->actor_id),
		Int64GetDatum(event->user_id),
		Int64GetDatum(event->message_id),
		PointerGetDatum(event->detail)
	};
	char		nulls[lengthof(values) + 1] = "";
	PlanResult	added;

	for (int i = 0; i < lengthof(values); i++)
		nulls[i] = values[i] == 0 ? 'n' : ' ';
	prepare_to_draw_ids();
	added = plan_run(&event_add, PLAN_WRITE, values, nulls);
	if (added.nrows == 0)
		error_change_suppressed("events");
	event->id = result_int64(&added, 0, 1);
	event->created_at = DatumGetTimestampTz(result_datum(&added, 0, 2));
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
