/*
 * events.h
 *	  What a transaction owes to listeners.
 */
#ifndef CHATREL_EVENTS_H
#define CHATREL_EVENTS_H

#include "lib/stringinfo.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

/* The longest payload that NOTIFY takes, in bytes. */
#define EVENT_MAX_LENGTH	(BLCKSZ - NAMEDATALEN - 128 - 1)

/* Whose channel an event goes to.  Which channel that is, delivery looks up. */
typedef enum EventTarget
{
	EVENT_GROUP,				/* a group's */
	EVENT_USER,					/* a user's own */
	EVENT_OLD_CHANNEL,			/* the one that a group has until the transaction
								 * commits, which is when it gets another */
	EVENT_CHANNEL				/* the same then: one that nobody has any more */
} EventTarget;

typedef struct Event
{
	EventTarget target;
	bool		to_all;			/* for gateways too, by listen_all() */
	int64		id;				/* of the group or user */
	bool		has_channel;	/* not where nobody has ever listened */
	pg_uuid_t	channel;		/* given, or looked up for delivery */
	char	   *payload;
} Event;

/* An event is a JSON object of one key: event_open(), fields, event_close(). */
extern void event_open(StringInfo event, const char *kind);
extern void event_int64(StringInfo event, const char *key, int64 value);
extern void event_int64s(StringInfo event, const char *key, const int64 *values, int n);
extern void event_true(StringInfo event, const char *key);
extern void event_string(StringInfo event, const char *key, const char *value);
extern void event_timestamp(StringInfo event, const char *key, TimestampTz value);
extern void event_close(StringInfo event);

/* Between owner_begin() and owner_end(). */
extern void event_owe(EventTarget target, int64 id, bool to_all, StringInfo event);

extern void events_forbid_prepare(void);
extern void events_init(void);

#endif							/* CHATREL_EVENTS_H */
