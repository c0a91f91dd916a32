/*
 * event.h
 *	  An event on its way to listeners.
 */
#ifndef CHATREL_EVENT_H
#define CHATREL_EVENT_H

#include "utils/uuid.h"

/* The longest payload that NOTIFY takes, in bytes. */
#define EVENT_MAX_LENGTH	(BLCKSZ - NAMEDATALEN - 128 - 1)

/* Whose channel an event goes to.  Which channel that is, delivery looks up. */
typedef enum EventTarget
{
	EVENT_GROUP,				/* a group's */
	EVENT_USER,					/* a user's own */
	EVENT_OLD_CHANNEL,			/* the one that a group has until the
								 * transaction commits, which is when it gets
								 * another */
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

#endif							/* CHATREL_EVENT_H */
