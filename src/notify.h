/*
 * notify.h
 *	  Delivery of events by NOTIFY.
 */
#ifndef CHATREL_NOTIFY_H
#define CHATREL_NOTIFY_H

#include "events.h"

/* The events of this transaction, which is about to commit: first the one, then the other. */
extern void replace_channels(Event *events, int nevents, Oid owner);
extern void notify_own_events(Event *events, int nevents, Oid owner);

/* Those of others, which have committed: first the one, then the other. */
extern void find_committed_channels(Event *events, int nevents);
extern void notify_events(const Event *events, int nevents);

extern void notify_end_of_transaction(bool committed);

#endif							/* CHATREL_NOTIFY_H */
