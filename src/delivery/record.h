/*
 * record.h
 *	  Events that are kept, so that sync() shows them to those who were away.
 */
#ifndef CHATREL_RECORD_H
#define CHATREL_RECORD_H

#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "core/json.h"
#include "core/plans.h"
#include "delivery/event.h"

/* What is not there is 0 or null. */
typedef struct RecordedEvent
{
	const char *kind;
	int64		group_id;		/* the group in which it happened */
	int64		recipient_id;	/* the user whom it is for; else for the
								 * group's members */
	int64		actor_id;		/* the user who did it */
	int64		user_id;		/* the user whom it is about */
	int64		message_id;		/* the message that it is about */
	Jsonb	   *detail;			/* further keys, none of them an id */

	/* given by record_event() */
	int64		id;
	TimestampTz created_at;
} RecordedEvent;

/* What a plan gives to read an event; sync() reads them in one list with messages. */
#define EVENT_COLUMNS(alias) \
	alias ".kind, " alias ".recipient_id, " alias ".user_id, " alias ".message_id, " alias ".detail"
#define EVENT_NO_COLUMNS \
	"NULL::pg_catalog.text, NULL::pg_catalog.int8, NULL::pg_catalog.int8," \
	" NULL::pg_catalog.int8, NULL::pg_catalog.jsonb"

/* Between owner_begin() and owner_end(). */
extern void record_event(RecordedEvent *event);
extern void record_member_event(RecordedEvent *event, EventTarget target);

extern void json_recorded_event(JsonWriter *json, const RecordedEvent *event);

/* A detail that is a text; more of them by a JsonWriter. */
extern Jsonb *event_detail(const char *key, const char *value);

#endif							/* CHATREL_RECORD_H */
