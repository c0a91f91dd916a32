/*
 * notify.h
 *	  Delivery of events by NOTIFY, in the transaction that owes them.
 */
#ifndef CHATREL_NOTIFY_H
#define CHATREL_NOTIFY_H

#include "events.h"

extern void notify_events(Event *events, int nevents, Oid owner);

#endif							/* CHATREL_NOTIFY_H */
