/*
 * queue.c
 *	  The relay's queues in shared memory.
 *
 * Committed transactions append their events at the head of their database's
 * ring, delivery takes them from the tail.  A transaction reserves its space
 * before it commits, so that appending afterwards cannot fail.  Space is only
 * given while the slot has a worker, or one that comes back.
 *
 * The positions only grow; the byte of position p is at p % size.
 *
 * What one transaction does may rest on what another has done, and is to be heard
 * after it.  But a transaction is visible a moment before it can append its events,
 * and one that sees it may append first.  So each reservation has a turn: whoever
 * rests on another reserves later.  Delivery takes the events in the order of the
 * turns, and only when every transaction that has reserved has appended, or is not
 * visible yet: then nothing that is taken rests on what is not.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/namespace.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/lmgr.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "core/compat.h"
#include "core/guc.h"
#include "delivery/queue.h"

/* An event in the ring.  Records begin at multiples of MAXALIGN. */
typedef struct Record
{
	uint32		size;			/* with the payload and its end */
	uint8		target;			/* EventTarget */
	bool		to_all;
	Oid			schema;			/* chatrel's when it was sent: each CREATE
								 * EXTENSION makes one */
	int64		id;
	uint64		turn;
	TimestampTz queued_at;
	pg_uuid_t	channel;
	char		payload[FLEXIBLE_ARRAY_MEMBER];
} Record;

/* ---------- the ring ---------- */

static void
ring_write(Slot *slot, const char *data, Size size)
{
	Size		at = slot->head % queue->ring_size;
	Size		first = Min(size, queue->ring_size - at);

	memcpy(RING(slot) + at, data, first);
	memcpy(RING(slot), data + first, size - first);
	slot->head += size;
}

static void
ring_read(const Slot *slot, uint64 position, char *data, Size size)
{
	Size		at = position % queue->ring_size;
	Size		first = Min(size, queue->ring_size - at);

	memcpy(data, RING(slot) + at, first);
	memcpy(data + first, RING(slot), size - first);
}

/* ---------- the sending side ---------- */

static Promise *
my_promise(void)
{
	return &queue_promises[MyProcNumber];
}

/*
 * Reserves space for a transaction that is about to commit, if there is a worker;
 * and gives it its turn.
 */
QueueVerdict
queue_reserve(Size size, uint64 *turn)
{
	QueueVerdict verdict;

	if (!guc_relay)
		return QUEUE_OFF;
	if (!queue_lock_slot(true))
		return QUEUE_NO_SLOT;
	if (my_slot->state != WORKER_RUNNING && my_slot->state != WORKER_PAUSED)
		verdict = QUEUE_NO_WORKER;
	else if (my_slot->head - my_slot->tail + my_slot->reserved + size > queue->ring_size)
		verdict = QUEUE_NO_ROOM;
	else
	{
		my_slot->reserved += size;
		*turn = ++my_slot->turns;
		my_promise()->slot = my_slot - queue->slots;
		my_promise()->xid = GetTopTransactionIdIfAny();
		verdict = QUEUE_ACCEPTS;
	}
	queue_unlock_slot();
	return verdict;
}

/*
 * Queues what space was reserved for; cannot fail.  While anything is reserved
 * the slot stays this database's.
 */
void
queue_append(char *records, Size size, int nevents, uint64 turn)
{
	TimestampTz now = GetCurrentTimestamp();
	Latch	   *latch;

	for (Size at = 0; at < size; at += MAXALIGN(((Record *) (records + at))->size))
	{
		((Record *) (records + at))->queued_at = now;
		((Record *) (records + at))->turn = turn;
	}

	LWLockAcquire(SLOT_LOCK(my_slot), LW_EXCLUSIVE);
	ring_write(my_slot, records, size);
	my_slot->reserved -= size;
	my_promise()->xid = InvalidTransactionId;
	my_slot->queued += nevents;
	latch = my_slot->worker_latch;
	queue_unlock_slot();

	if (latch != NULL)
		SetLatch(latch);
}

/* Gives reserved space back. */
void
queue_release(Size size)
{
	LWLockAcquire(SLOT_LOCK(my_slot), LW_EXCLUSIVE);
	my_slot->reserved -= size;
	my_promise()->xid = InvalidTransactionId;
	queue_unlock_slot();
}

void
queue_count_fallback(QueueVerdict reason)
{
	if (queue_lock_slot(false))
	{
		my_slot->fallbacks[reason]++;
		queue_unlock_slot();
	}
	else if (queue != NULL)
	{
		LWLockAcquire(ASSIGN_LOCK, LW_EXCLUSIVE);
		queue->no_slot++;
		LWLockRelease(ASSIGN_LOCK);
	}
}

/* ---------- who waits for news ---------- */

/* Tells those who wait that a transaction with events has committed; cannot fail. */
void
queue_wake_waiters(void)
{
	if (!queue_lock_slot(false))
		return;
	queue_unlock_slot();
	ConditionVariableBroadcast(&my_slot->news);
}

/* Announces a sleep: from now on no news is missed. */
void
queue_prepare_to_sleep(void)
{
	if (!queue_lock_slot(true))
		return;
	queue_unlock_slot();
	ConditionVariablePrepareToSleep(&my_slot->news);
}

/* Sleeps until there may be news.  False, at once, where nobody would tell. */
bool
queue_sleep(long timeout, uint32 wait_event)
{
	if (RecoveryInProgress() || !queue_lock_slot(true))
		return false;
	queue_unlock_slot();
	(void) ConditionVariableTimedSleep(&my_slot->news, Max(timeout, 1), wait_event);
	return true;
}

void
queue_cancel_sleep(void)
{
	(void) ConditionVariableCancelSleep();
}

/* ---------- the delivering side ---------- */

/* Is nothing waiting? */
bool
queue_is_empty(void)
{
	bool		empty;

	if (!queue_lock_slot(false))
		return true;
	empty = my_slot->head == my_slot->tail;
	queue_unlock_slot();
	return empty;
}

/* Is nothing waiting, and nothing promised either? */
bool
queue_is_idle(void)
{
	bool		idle;

	if (!queue_lock_slot(false))
		return true;
	idle = my_slot->head == my_slot->tail && my_slot->reserved == 0;
	queue_unlock_slot();
	return idle;
}

/* Under the lock of the slot: the transactions that have reserved, and not appended. */
static int
promised(TransactionId *xids)
{
	int			n = 0;

	if (my_slot->reserved == 0)
		return 0;
	for (int i = 0; i < MaxBackends; i++)
		if (TransactionIdIsValid(queue_promises[i].xid) &&
			queue_promises[i].slot == my_slot - queue->slots)
			xids[n++] = queue_promises[i].xid;
	return n;
}

/*
 * Waits for those of them that are visible, until they have appended: they do
 * nothing else any more, and their locks on themselves go after that.  False if
 * there are none.
 */
static bool
wait_for_visible(const TransactionId *xids, int n)
{
	Snapshot	snapshot;
	bool		waited = false;

	if (n == 0)
		return false;
	snapshot = GetLatestSnapshot();
	for (int i = 0; i < n; i++)
		if (!XidInMVCCSnapshot(xids[i], snapshot))
		{
			XactLockTableWait(xids[i], NULL, NULL, XLTW_None);
			waited = true;
		}
	return waited;
}

/*
 * Copies what is waiting, and leaves it there until queue_consume(); position
 * says where it begins.  Zero if nothing is waiting.
 */
Size
queue_copy(char **records, uint64 *position)
{
	TransactionId *xids = palloc_array(TransactionId, MaxBackends);

	for (;;)
	{
		Size		room;
		Size		size;
		int			npromised;

		CHECK_FOR_INTERRUPTS();
		if (!queue_lock_slot(false))
			return 0;
		room = 2 * (my_slot->head - my_slot->tail);
		queue_unlock_slot();

		/*
		 * Memory is not taken under the lock, and others may append or
		 * consume meanwhile.
		 */
		*records = MemoryContextAllocHuge(CurrentMemoryContext, room);
		if (!queue_lock_slot(false))
			return 0;
		*position = my_slot->tail;
		size = my_slot->head - my_slot->tail;
		if (size <= room)
			ring_read(my_slot, *position, *records, size);
		npromised = promised(xids);
		queue_unlock_slot();
		if (size <= room && !wait_for_visible(xids, npromised))
			return size;
		pfree(*records);
	}
}

/* Where what is waiting begins. */
uint64
queue_position(void)
{
	uint64		position;

	if (!queue_lock_slot(false))
		return PG_UINT64_MAX;
	position = my_slot->tail;
	queue_unlock_slot();
	return position;
}

/* Takes what was copied off the queue, now that it is delivered; cannot fail. */
void
queue_consume(Size size, int nevents)
{
	LWLockAcquire(SLOT_LOCK(my_slot), LW_EXCLUSIVE);
	my_slot->tail += size;
	my_slot->delivered += nevents;
	my_slot->batches++;
	queue_unlock_slot();
}

/* How many events of this database were taken off the queue so far. */
uint64
queue_delivered(void)
{
	uint64		delivered;

	if (!queue_lock_slot(false))
		return 0;
	delivered = my_slot->delivered;
	queue_unlock_slot();
	return delivered;
}

/* ---------- records ---------- */

static Size
record_size(const Event *event)
{
	return offsetof(Record, payload) + strlen(event->payload) + 1;
}

/* Makes records of events, to be queued later. */
char *
queue_pack(const Event *events, int nevents, Size *size)
{
	Oid			schema = get_namespace_oid("chatrel", false);
	char	   *records;
	char	   *p;

	*size = 0;
	for (int i = 0; i < nevents; i++)
		*size += MAXALIGN(record_size(&events[i]));

	p = records = MemoryContextAllocHuge(TopTransactionContext, *size);
	for (int i = 0; i < nevents; i++)
	{
		Record	   *record = (Record *) p;

		record->size = record_size(&events[i]);
		record->target = events[i].target;
		record->to_all = events[i].to_all;
		record->schema = schema;
		record->id = events[i].id;
		record->channel = events[i].channel;
		memcpy(record->payload, events[i].payload,
			   record->size - offsetof(Record, payload));
		p += MAXALIGN(record->size);
	}
	return records;
}

static void
unpack(Event *event, Record *record, Oid schema)
{
	event->payload = record->payload;
	event->target = EVENT_CHANNEL;
	if (record->schema != schema)
		return;
	event->target = record->target;
	event->to_all = record->to_all;
	event->id = record->id;
	event->has_channel = record->target == EVENT_CHANNEL;
	event->channel = record->channel;
}

/* Those of one turn stay in the order in which they lie. */
static int
compare_turns(const void *a, const void *b)
{
	const Record *x = *(Record *const *) a;
	const Record *y = *(Record *const *) b;

	if (x->turn != y->turn)
		return x->turn < y->turn ? -1 : 1;
	return x < y ? -1 : x > y;
}

/* The records in the order of their turns */
static Record **
records_in_order(char *records, Size size, int *nrecords)
{
	Record	  **list;
	int			n = 0;

	*nrecords = 0;
	for (Size at = 0; at < size; at += MAXALIGN(((Record *) (records + at))->size))
		(*nrecords)++;
	list = MemoryContextAllocHuge(CurrentMemoryContext, *nrecords * sizeof(Record *));
	for (Size at = 0; at < size; at += MAXALIGN(list[n++]->size))
		list[n] = (Record *) (records + at);
	qsort(list, *nrecords, sizeof(Record *), compare_turns);
	return list;
}

/*
 * Makes events of records, whose payloads they go on using.  What was sent
 * before the extension was dropped, and made again, goes to nobody.
 */
Event *
queue_unpack(char *records, Size size, int *nevents)
{
	Oid			schema = get_namespace_oid("chatrel", true);
	Record	  **list = records_in_order(records, size, nevents);
	Event	   *events;

	events = MemoryContextAllocHuge(CurrentMemoryContext, *nevents * sizeof(Event));
	memset(events, 0, *nevents * sizeof(Event));
	for (int i = 0; i < *nevents; i++)
		unpack(&events[i], list[i], schema);
	pfree(list);
	return events;
}

/* ---------- the view ---------- */

int
queue_slots(void)
{
	return queue == NULL ? 0 : queue->nslots;
}

/* False for a slot that was never used. */
bool
queue_status(int slot, QueueStatus *status)
{
	Slot	   *s = &queue->slots[slot];

	LWLockAcquire(SLOT_LOCK(s), LW_SHARED);
	status->database = s->database;
	status->worker_pid = s->worker_pid;
	status->queued = s->queued;
	status->delivered = s->delivered;
	status->batches = s->batches;
	status->bytes_waiting = s->head - s->tail;
	memcpy(status->fallbacks, s->fallbacks, sizeof(status->fallbacks));
	if (s->head != s->tail)
	{
		Record		first;

		ring_read(s, s->tail, (char *) &first, offsetof(Record, payload));
		status->oldest = first.queued_at;
	}
	LWLockRelease(SLOT_LOCK(s));
	return OidIsValid(status->database);
}

/* What the databases did that got no slot; false if there was none. */
bool
queue_status_without_slot(QueueStatus *status)
{
	memset(status, 0, sizeof(*status));
	if (queue == NULL)
		return false;
	LWLockAcquire(ASSIGN_LOCK, LW_SHARED);
	status->fallbacks[QUEUE_NO_SLOT] = queue->no_slot;
	LWLockRelease(ASSIGN_LOCK);
	return status->fallbacks[QUEUE_NO_SLOT] > 0;
}
