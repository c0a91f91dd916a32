/*
 * queue.c
 *	  The relay's queues in shared memory.
 *
 * Each database that sends has a slot, and in it a ring of bytes: committed
 * transactions append their events at the head, delivery takes them from the
 * tail.  A transaction reserves its space before it commits, so that appending
 * afterwards cannot fail.  Space is only given while the slot has a worker.
 *
 * The positions only grow; the byte of position p is at p % size.  Everything in
 * a slot is protected by its lock, which nobody holds for longer than a copy.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/namespace.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/condition_variable.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "guc.h"
#include "queue.h"

#define TRANCHE_NAME "chatrel"

/* An event in the ring.  Records begin at multiples of MAXALIGN. */
typedef struct Record
{
	uint32		size;			/* with the payload and its end */
	uint8		target;			/* EventTarget */
	bool		to_all;
	Oid			schema;			/* chatrel's when it was sent: each CREATE EXTENSION makes one */
	int64		id;
	TimestampTz queued_at;
	pg_uuid_t	channel;
	char		payload[FLEXIBLE_ARRAY_MEMBER];
} Record;

typedef enum WorkerState
{
	WORKER_NONE,
	WORKER_STARTING,			/* asked for, and not there yet */
	WORKER_RUNNING
} WorkerState;

typedef struct Slot
{
	/* Sessions that wait for a transaction with events.  Never cleared. */
	ConditionVariable news;

	Oid			database;		/* InvalidOid if the slot was never used */
	WorkerState state;
	TimestampTz asked_at;		/* when the worker was asked for */
	int			worker_pid;
	Latch	   *worker_latch;

	uint64		head;
	uint64		tail;
	uint64		reserved;		/* bytes promised to transactions about to commit */

	uint64		queued;
	uint64		delivered;
	uint64		batches;
	uint64		fallbacks[QUEUE_VERDICTS];
} Slot;

typedef struct QueueShared
{
	int			nslots;
	Size		ring_size;
	uint64		no_slot;		/* fallbacks for want of one, under lock 0 */
	Slot		slots[FLEXIBLE_ARRAY_MEMBER];
} QueueShared;

/* A worker that has not come up by then will not: ask for another. */
#define WORKER_START_TIMEOUT_MS	10000

static QueueShared *queue = NULL;
static char *rings = NULL;
static LWLockPadded *locks = NULL;	/* one for the assignment of slots, and one each */

static Slot *my_slot = NULL;	/* of this database, as far as is known */

static shmem_request_hook_type prev_shmem_request_hook = NULL;
static shmem_startup_hook_type prev_shmem_startup_hook = NULL;

#define ASSIGN_LOCK		(&locks[0].lock)
#define SLOT_LOCK(slot)	(&locks[1 + ((slot) - queue->slots)].lock)
#define RING(slot)		(rings + queue->ring_size * ((slot) - queue->slots))

/* ---------- shared memory ---------- */

static Size
ring_size(void)
{
	return (Size) guc_relay_queue_size * 1024;
}

static Size
shared_size(void)
{
	return MAXALIGN(add_size(offsetof(QueueShared, slots),
							 mul_size(guc_relay_databases, sizeof(Slot))));
}

static void
queue_shmem_request(void)
{
	if (prev_shmem_request_hook)
		prev_shmem_request_hook();
	RequestAddinShmemSpace(add_size(shared_size(),
									mul_size(guc_relay_databases, ring_size())));
	RequestNamedLWLockTranche(TRANCHE_NAME, 1 + guc_relay_databases);
}

static void
queue_shmem_startup(void)
{
	bool		found;

	if (prev_shmem_startup_hook)
		prev_shmem_startup_hook();

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	queue = ShmemInitStruct("chatrel queues",
							add_size(shared_size(),
									 mul_size(guc_relay_databases, ring_size())),
							&found);
	if (!found)
	{
		memset(queue, 0, shared_size());
		queue->nslots = guc_relay_databases;
		queue->ring_size = ring_size();
		for (int i = 0; i < queue->nslots; i++)
			ConditionVariableInit(&queue->slots[i].news);
	}
	rings = (char *) queue + shared_size();
	locks = GetNamedLWLockTranche(TRANCHE_NAME);
	LWLockRelease(AddinShmemInitLock);
}

void
queue_init(void)
{
	prev_shmem_request_hook = shmem_request_hook;
	shmem_request_hook = queue_shmem_request;
	prev_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = queue_shmem_startup;
}

/* False where the library was not preloaded. */
bool
queue_exists(void)
{
	return queue != NULL;
}

/* ---------- slots ---------- */

/* Under ASSIGN_LOCK: the slot of this database, or one that another has left. */
static Slot *
find_slot(bool take)
{
	for (int i = 0; i < queue->nslots; i++)
		if (queue->slots[i].database == MyDatabaseId)
			return &queue->slots[i];
	if (!take)
		return NULL;
	for (int i = 0; i < queue->nslots; i++)
		if (!OidIsValid(queue->slots[i].database))
		{
			queue->slots[i].database = MyDatabaseId;
			return &queue->slots[i];
		}
	for (int i = 0; i < queue->nslots; i++)
	{
		Slot	   *slot = &queue->slots[i];
		bool		taken = false;

		LWLockAcquire(SLOT_LOCK(slot), LW_EXCLUSIVE);
		if (slot->state == WORKER_NONE && slot->head == slot->tail && slot->reserved == 0)
		{
			memset(&slot->database, 0, sizeof(Slot) - offsetof(Slot, database));
			slot->database = MyDatabaseId;
			taken = true;
		}
		LWLockRelease(SLOT_LOCK(slot));
		if (taken)
			return slot;
	}
	return NULL;
}

/*
 * Frees the slots of databases that were dropped while events were waiting, which
 * their worker could not deliver any more.  In a transaction.
 */
void
queue_forget_dropped_databases(void)
{
	for (int i = 0; i < queue->nslots; i++)
	{
		Slot	   *slot = &queue->slots[i];
		Oid			database;

		LWLockAcquire(SLOT_LOCK(slot), LW_SHARED);
		database = slot->state == WORKER_NONE && slot->head != slot->tail ?
			slot->database : InvalidOid;
		LWLockRelease(SLOT_LOCK(slot));
		if (!OidIsValid(database) || SearchSysCacheExists1(DATABASEOID, ObjectIdGetDatum(database)))
			continue;

		LWLockAcquire(SLOT_LOCK(slot), LW_EXCLUSIVE);
		if (slot->database == database)
			slot->tail = slot->head;
		LWLockRelease(SLOT_LOCK(slot));
	}
}

/*
 * Locks this database's slot.  False, without a lock, if it has none; take says
 * whether one may be assigned.
 */
static bool
lock_slot(bool take)
{
	if (queue == NULL)
		return false;
	if (my_slot == NULL)
	{
		LWLockAcquire(ASSIGN_LOCK, take ? LW_EXCLUSIVE : LW_SHARED);
		my_slot = find_slot(take);
		LWLockRelease(ASSIGN_LOCK);
		if (my_slot == NULL)
			return false;
	}
	LWLockAcquire(SLOT_LOCK(my_slot), LW_EXCLUSIVE);
	if (my_slot->database != MyDatabaseId)
	{
		/* It has stood empty, and another database has it now. */
		LWLockRelease(SLOT_LOCK(my_slot));
		my_slot = NULL;
		return lock_slot(take);
	}
	return true;
}

static void
unlock_slot(void)
{
	LWLockRelease(SLOT_LOCK(my_slot));
}

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

/* Reserves space for a transaction that is about to commit, if there is a worker. */
QueueVerdict
queue_reserve(Size size)
{
	QueueVerdict verdict;

	if (!guc_relay)
		return QUEUE_OFF;
	if (!lock_slot(true))
		return QUEUE_NO_SLOT;
	if (my_slot->state != WORKER_RUNNING)
		verdict = QUEUE_NO_WORKER;
	else if (my_slot->head - my_slot->tail + my_slot->reserved + size > queue->ring_size)
		verdict = QUEUE_NO_ROOM;
	else
	{
		my_slot->reserved += size;
		verdict = QUEUE_ACCEPTS;
	}
	unlock_slot();
	return verdict;
}

/*
 * Queues what space was reserved for; cannot fail.  While anything is reserved
 * the slot stays this database's.
 */
void
queue_append(char *records, Size size, int nevents)
{
	TimestampTz now = GetCurrentTimestamp();
	Latch	   *latch;

	for (Size at = 0; at < size; at += MAXALIGN(((Record *) (records + at))->size))
		((Record *) (records + at))->queued_at = now;

	LWLockAcquire(SLOT_LOCK(my_slot), LW_EXCLUSIVE);
	ring_write(my_slot, records, size);
	my_slot->reserved -= size;
	my_slot->queued += nevents;
	latch = my_slot->worker_latch;
	unlock_slot();

	if (latch != NULL)
		SetLatch(latch);
}

/* Gives reserved space back. */
void
queue_release(Size size)
{
	LWLockAcquire(SLOT_LOCK(my_slot), LW_EXCLUSIVE);
	my_slot->reserved -= size;
	unlock_slot();
}

void
queue_count_fallback(QueueVerdict reason)
{
	if (lock_slot(false))
	{
		my_slot->fallbacks[reason]++;
		unlock_slot();
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
	if (!lock_slot(false))
		return;
	unlock_slot();
	ConditionVariableBroadcast(&my_slot->news);
}

/* Announces a sleep: from now on no news is missed. */
void
queue_prepare_to_sleep(void)
{
	if (!lock_slot(true))
		return;
	unlock_slot();
	ConditionVariablePrepareToSleep(&my_slot->news);
}

/* Sleeps until there may be news.  False, at once, where nobody would tell. */
bool
queue_sleep(long timeout)
{
	if (RecoveryInProgress() || !lock_slot(true))
		return false;
	unlock_slot();
	(void) ConditionVariableTimedSleep(&my_slot->news, Max(timeout, 1), PG_WAIT_EXTENSION);
	return true;
}

void
queue_cancel_sleep(void)
{
	(void) ConditionVariableCancelSleep();
}

/* ---------- the delivering side ---------- */

bool
queue_is_empty(void)
{
	bool		empty;

	if (!lock_slot(false))
		return true;
	empty = my_slot->head == my_slot->tail;
	unlock_slot();
	return empty;
}

/*
 * Copies what is waiting, and leaves it there until queue_consume(); position
 * says where it begins.  Zero if nothing is waiting.
 */
Size
queue_copy(char **records, uint64 *position)
{
	for (;;)
	{
		Size		size;
		bool		still_there;

		if (!lock_slot(false))
			return 0;
		*position = my_slot->tail;
		size = my_slot->head - my_slot->tail;
		unlock_slot();
		if (size == 0)
			return 0;

		/* Memory is not taken under the lock, and others may consume meanwhile. */
		*records = MemoryContextAllocHuge(CurrentMemoryContext, size);
		if (!lock_slot(false))
			return 0;
		still_there = my_slot->tail == *position;
		if (still_there)
			ring_read(my_slot, *position, *records, size);
		unlock_slot();
		if (still_there)
			return size;
		pfree(*records);
	}
}

/* Where what is waiting begins. */
uint64
queue_position(void)
{
	uint64		position;

	if (!lock_slot(false))
		return PG_UINT64_MAX;
	position = my_slot->tail;
	unlock_slot();
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
	unlock_slot();
}

/* How many events of this database were taken off the queue so far. */
uint64
queue_delivered(void)
{
	uint64		delivered;

	if (!lock_slot(false))
		return 0;
	delivered = my_slot->delivered;
	unlock_slot();
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

/*
 * Makes events of records, whose payloads they go on using.  What was sent
 * before the extension was dropped, and made again, goes to nobody.
 */
Event *
queue_unpack(char *records, Size size, int *nevents)
{
	Oid			schema = get_namespace_oid("chatrel", true);
	Event	   *events;

	*nevents = 0;
	for (Size at = 0; at < size; at += MAXALIGN(((Record *) (records + at))->size))
		(*nevents)++;

	events = MemoryContextAllocHuge(CurrentMemoryContext, *nevents * sizeof(Event));
	memset(events, 0, *nevents * sizeof(Event));
	for (int i = 0; i < *nevents; i++)
	{
		Record	   *record = (Record *) records;

		unpack(&events[i], record, schema);
		records += MAXALIGN(record->size);
	}
	return events;
}

/* ---------- the worker ---------- */

/*
 * Says that the caller is to start the worker of this database: nobody is, or
 * whoever did has not come up.
 */
bool
queue_claim_start(int *slot)
{
	TimestampTz now = GetCurrentTimestamp();
	bool		claimed = false;

	if (!lock_slot(true))
		return false;
	if (my_slot->state == WORKER_NONE ||
		(my_slot->state == WORKER_STARTING &&
		 TimestampDifferenceExceeds(my_slot->asked_at, now, WORKER_START_TIMEOUT_MS)))
	{
		my_slot->state = WORKER_STARTING;
		my_slot->asked_at = now;
		claimed = true;
	}
	*slot = my_slot - queue->slots;
	unlock_slot();
	return claimed;
}

/* The worker could not even be registered. */
void
queue_start_failed(void)
{
	if (!lock_slot(false))
		return;
	if (my_slot->state == WORKER_STARTING)
		my_slot->state = WORKER_NONE;
	unlock_slot();
}

/* The database that a worker is for, or InvalidOid if it is not wanted any more. */
Oid
queue_worker_database(int slot)
{
	Oid			database = InvalidOid;

	LWLockAcquire(SLOT_LOCK(&queue->slots[slot]), LW_SHARED);
	if (queue->slots[slot].state == WORKER_STARTING)
		database = queue->slots[slot].database;
	LWLockRelease(SLOT_LOCK(&queue->slots[slot]));
	return database;
}

/* From now on transactions may queue.  False if another worker was quicker. */
bool
queue_worker_attach(void)
{
	bool		attached = false;

	if (!lock_slot(false))
		return false;
	if (my_slot->state == WORKER_STARTING)
	{
		my_slot->state = WORKER_RUNNING;
		my_slot->worker_pid = MyProcPid;
		my_slot->worker_latch = &MyProc->procLatch;
		attached = true;
	}
	unlock_slot();
	return attached;
}

static void
worker_gone(Slot *slot, WorkerState state)
{
	slot->state = state;
	slot->asked_at = GetCurrentTimestamp();
	slot->worker_pid = 0;
	slot->worker_latch = NULL;
}

/*
 * From now on transactions may not.  A worker leaves of its own accord only when
 * nothing is waiting or promised; else this is false, and it stays.
 */
bool
queue_worker_leave(void)
{
	bool		work_left;

	if (!lock_slot(false))
		return true;
	work_left = my_slot->head != my_slot->tail || my_slot->reserved > 0;
	if (!work_left)
		worker_gone(my_slot, WORKER_NONE);
	unlock_slot();
	return !work_left;
}

/*
 * The worker dies, and the postmaster starts it again: it is wanted if it leaves
 * work behind, but not if it could not even connect.
 */
void
queue_worker_died(int number)
{
	Slot	   *slot = &queue->slots[number];

	LWLockAcquire(SLOT_LOCK(slot), LW_EXCLUSIVE);
	if (slot->state == WORKER_STARTING)
		worker_gone(slot, WORKER_NONE);
	else if (slot->worker_pid == MyProcPid)
		worker_gone(slot, slot->head != slot->tail || slot->reserved > 0 ?
					WORKER_STARTING : WORKER_NONE);
	LWLockRelease(SLOT_LOCK(slot));
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
		Record		first = {0};
		uint64		tail = s->tail % queue->ring_size;

		/* A record's header may begin at the end of the ring and go on at its start. */
		for (Size i = 0; i < offsetof(Record, payload); i++)
			((char *) &first)[i] = RING(s)[(tail + i) % queue->ring_size];
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
