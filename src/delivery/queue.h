/*
 * queue.h
 *	  The relay's queues in shared memory.
 */
#ifndef CHATREL_QUEUE_H
#define CHATREL_QUEUE_H

#include "utils/timestamp.h"

#include "delivery/event.h"
#include "delivery/queue_slots.h"

/* What the view shows of one database's queue. */
typedef struct QueueStatus
{
	Oid			database;
	int			worker_pid;		/* or 0 */
	uint64		queued;			/* events, ever */
	uint64		delivered;
	uint64		batches;
	uint64		bytes_waiting;
	uint64		fallbacks[QUEUE_VERDICTS];	/* transactions, by reason */
	TimestampTz oldest;			/* when the first waiting event was queued */
} QueueStatus;

/* The sending side. */
extern QueueVerdict queue_reserve(Size size, uint64 *turn);
extern void queue_append(char *records, Size size, int nevents, uint64 turn);
extern void queue_release(Size size);
extern void queue_count_fallback(QueueVerdict reason);

/* Sessions that wait for transactions with events. */
extern void queue_wake_waiters(void);
extern void queue_prepare_to_sleep(void);
extern bool queue_sleep(long timeout, uint32 wait_event);
extern void queue_cancel_sleep(void);

/* The delivering side: only the holder of the lock of NOTIFY consumes. */
extern bool queue_is_empty(void);
extern bool queue_is_idle(void);
extern Size queue_copy(char **records, uint64 *position);
extern uint64 queue_position(void);
extern uint64 queue_delivered(void);
extern void queue_consume(Size size, int nevents);

/* Records: events in a row, as they lie in the queue. */
extern char *queue_pack(const Event *events, int nevents, Size *size);
extern Event *queue_unpack(char *records, Size size, int *nevents);

/* The view. */
extern int	queue_slots(void);
extern bool queue_status(int slot, QueueStatus *status);
extern bool queue_status_without_slot(QueueStatus *status);

#endif							/* CHATREL_QUEUE_H */
