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

typedef enum EventAudience
{
	EVENT_CHANNEL,				/* who listens to the channel */
	EVENT_CHANNEL_AND_ALL		/* and the gateways, by listen_all() */
} EventAudience;

/* An event is a JSON object of one key: event_open(), fields, event_close(). */
extern void event_open(StringInfo event, const char *kind);
extern void event_int64(StringInfo event, const char *key, int64 value);
extern void event_int64s(StringInfo event, const char *key, const int64 *values, int n);
extern void event_true(StringInfo event, const char *key);
extern void event_string(StringInfo event, const char *key, const char *value);
extern void event_timestamp(StringInfo event, const char *key, TimestampTz value);
extern void event_close(StringInfo event);

extern void event_owe(const pg_uuid_t *channel, StringInfo event, EventAudience audience);

extern void events_init(void);

#endif							/* CHATREL_EVENTS_H */
