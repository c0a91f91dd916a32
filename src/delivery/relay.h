/*
 * relay.h
 *	  Delivery of events by a background worker, after their transaction.
 */
#ifndef CHATREL_RELAY_H
#define CHATREL_RELAY_H

#include "delivery/event.h"

/* About to commit: true if the relay takes the events. */
extern bool relay_accept(const Event *events, int nevents);

/* About to commit with a NOTIFY of its own: what is queued goes before it. */
extern void relay_deliver_queued(void);

/* Committed, or not. */
extern void relay_end_of_transaction(bool committed);

extern void relay_init(void);

#endif							/* CHATREL_RELAY_H */
