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

/*
 * What happens in no transaction, and a higher room knows of.  The worker of a
 * database, when it is asked, makes events of it, in a transaction of its own and
 * with the rights of the tables' owner; and says so when they are delivered.
 */
typedef Event *(*MakeEvents) (int *nevents);
typedef void (*EventsMade) (void);

extern void relay_set_announcer(MakeEvents make, EventsMade made);
extern void relay_ask_for_announcements(Oid database);

extern void relay_init(void);

#endif							/* CHATREL_RELAY_H */
