/*
 * queue_slots.h
 *	  Which database has which queue, and how the queues lie in shared memory.
 */
#ifndef CHATREL_QUEUE_SLOTS_H
#define CHATREL_QUEUE_SLOTS_H

#include "storage/condition_variable.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "utils/timestamp.h"

/* What a queue says to a transaction that has events to deliver. */
typedef enum QueueVerdict
{
	QUEUE_ACCEPTS,				/* space is reserved */
	QUEUE_OFF,					/* the relay is switched off */
	QUEUE_NO_SLOT,				/* other databases have all the queues */
	QUEUE_NO_WORKER,			/* the worker is not there, or not yet */
	QUEUE_NO_ROOM				/* the worker does not keep up */
} QueueVerdict;

#define QUEUE_VERDICTS	(QUEUE_NO_ROOM + 1)

typedef enum WorkerState
{
	WORKER_NONE,
	WORKER_STARTING,			/* asked for, and not there yet */
	WORKER_RUNNING,
	WORKER_PAUSED				/* could not deliver: it has left the
								 * database, and comes back */
} WorkerState;

typedef struct Slot
{
	/* Sessions that wait for a transaction with events.  Never cleared. */
	ConditionVariable news;

	Oid			database;		/* InvalidOid if the slot was never used */
	WorkerState state;
	TimestampTz asked_at;		/* when the worker was asked for */
	TimestampTz retry_at;		/* not before then is the database connected
								 * to again */
	int			failed_starts;	/* of workers in a row that had work waiting */
	int			failures;		/* deliveries in a row that failed */
	int			worker_pid;
	Latch	   *worker_latch;
	bool		announcements;	/* the worker has something else to announce
								 * (relay.h) */

	uint64		head;
	uint64		tail;
	uint64		reserved;		/* bytes promised to transactions about to
								 * commit */
	uint64		turns;			/* promises, ever */

	uint64		queued;
	uint64		delivered;
	uint64		batches;
	uint64		fallbacks[QUEUE_VERDICTS];
} Slot;

/* What a backend has reserved space for: one for each, under the lock of the slot. */
typedef struct Promise
{
	int			slot;
	TransactionId xid;			/* invalid if it has not, or announces without
								 * changing anything */
} Promise;

typedef struct QueueShared
{
	int			nslots;
	Size		ring_size;
	uint64		no_slot;		/* fallbacks for want of one, under lock 0 */
	Slot		slots[FLEXIBLE_ARRAY_MEMBER];
} QueueShared;

/* Null where the library was not preloaded. */
extern QueueShared *queue;
extern Promise *queue_promises;
extern char *queue_rings;
extern LWLockPadded *queue_locks;	/* one for the assignment of slots, and
									 * one each */
extern Slot *my_slot;			/* of this database, as far as is known */

#define ASSIGN_LOCK		(&queue_locks[0].lock)
#define SLOT_LOCK(slot)	(&queue_locks[1 + ((slot) - queue->slots)].lock)
#define RING(slot)		(queue_rings + queue->ring_size * ((slot) - queue->slots))

extern void queue_init(void);
extern bool queue_exists(void);

/* For queue.c */
extern bool queue_lock_slot(bool take);
extern void queue_unlock_slot(void);

extern void queue_forget_dropped_databases(void);

/* The worker. */
extern bool queue_claim_start(int *slot);
extern bool queue_ask_for_announcements(Oid database, int *slot);
extern bool queue_take_announcements(void);
extern void queue_start_failed(int slot);
extern Oid	queue_worker_database(int slot, long *wait);
extern bool queue_worker_attach(void);
extern int	queue_worker_failed(void);
extern void queue_worker_recovered(void);
extern void queue_worker_pause(long pause);
extern bool queue_worker_leave(void);
extern void queue_worker_died(int slot);

#endif							/* CHATREL_QUEUE_SLOTS_H */
