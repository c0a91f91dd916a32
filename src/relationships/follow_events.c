/*
 * follow_events.c
 *	  What users hear of who follows them, or wants to.
 *
 * The other one hears of it, on its own channel, and so do the gateways.
 */
#include "postgres.h"

#include "delivery/record.h"
#include "relationships/follow_events.h"

void
record_follow_event(const char *kind, int64 actor_id, int64 recipient_id,
					const char *username, const text *follow_type)
{
	RecordedEvent event = {
		.kind = kind,
		.recipient_id = recipient_id,
		.actor_id = actor_id
	};
	JsonWriter	detail;

	json_begin_jsonb(&detail);
	json_begin_object(&detail, NULL);
	json_string(&detail, "username", username);
	if (follow_type != NULL)
		json_text(&detail, "follow_type", follow_type);
	json_end_object(&detail);
	event.detail = DatumGetJsonbP(json_end_jsonb(&detail));
	record_event(&event);
}
