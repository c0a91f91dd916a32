/*
 * notify.h
 *	  Delivery of events by NOTIFY.
 */
#ifndef CHATREL_NOTIFY_H
#define CHATREL_NOTIFY_H

#include "delivery/event.h"

/*
 * The events of this transaction, which is about to commit: first its channels
 * are replaced; if the transaction NOTIFYs itself, they are locked, and the
 * events notified, between owner_begin() and owner_end().
 */
extern void replace_channels(Event *events, int nevents, Oid owner);
extern void lock_channels(Event *events, int nevents);

/* Those of others, which have committed: their channels are found, and they are notified. */
extern void find_committed_channels(Event *events, int nevents);
extern void notify_events(const Event *events, int nevents);

/* What a sender does for others in between is not for its client to see. */
extern int	silence_begin(void);
extern void silence_end(int nest_level);

extern void notify_end_of_transaction(bool committed);

#endif							/* CHATREL_NOTIFY_H */
