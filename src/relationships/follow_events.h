/*
 * follow_events.h
 *	  What users hear of who follows them, or wants to.
 */
#ifndef CHATREL_FOLLOW_EVENTS_H
#define CHATREL_FOLLOW_EVENTS_H

#include "core/compat.h"

/* Between owner_begin() and owner_end(); username is the actor's, follow_type may be null. */
extern void record_follow_event(const char *kind, int64 actor_id, int64 recipient_id,
								const char *username, const text *follow_type);

#endif							/* CHATREL_FOLLOW_EVENTS_H */
