/*
 * events.h
 *	  What a transaction announces to listeners.
 */
#ifndef CHATREL_EVENTS_H
#define CHATREL_EVENTS_H

#include "core/json.h"
#include "delivery/event.h"

/* An event is a JSON object of one key: event_begin(), fields, announce(). */
extern void event_begin(JsonWriter *event, const char *kind);
extern bool event_fits(const JsonWriter *event);

/* The payload, for who delivers the event itself instead. */
extern char *event_end(JsonWriter *event);

/* Between owner_begin() and owner_end(). */
extern void announce(EventTarget target, int64 id, bool to_all, JsonWriter *event);

extern void events_init(void);

#endif							/* CHATREL_EVENTS_H */
