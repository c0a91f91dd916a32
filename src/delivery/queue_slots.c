/*
 * queue_slots.c
 *	  Which database has which queue, and which worker empties it.
 *
 * Each database that sends has a slot in shared memory, and each slot a ring of
 * bytes (queue.c).  A slot stays with its database while it has a worker, or
 * anything in it; else another database may take it.
 *
 * Everything in a slot is protected by its lock, which nobody holds for longer
 * than a copy; which slot is whose, by that of the assignment as well.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "utils/syscache.h"

#include "core/guc.h"
#include "delivery/queue_slots.h"

#define TRANCHE_NAME "chatrel"

/* A worker that has not come up by then will not: ask for another. */
#define WORKER_START_TIMEOUT_MS	10000

/*
 * So many workers in a row may die before they are up, where work is waiting: the
 * database may have been dropped.  Each waits a little longer before it connects;
 * and after the last, for how long nobody asks for another.
 */
#define MAX_FAILED_STARTS	6
#define START_PAUSE_MS		50
#define NO_START_MS			60000

QueueShared *queue = NULL;
Promise    *queue_promises = NULL;
char	   *queue_rings = NULL;
LWLockPadded *queue_locks = NULL;
Slot	   *my_slot = NULL;

static shmem_request_hook_type prev_shmem_request_hook = NULL;
static shmem_startup_hook_type prev_shmem_startup_hook = NULL;

/* ---------- shared memory ---------- */

static Size
ring_size(void)
{
	return (Size) guc_relay_queue_size * 1024;
}

static Size
slots_size(void)
{
	return MAXALIGN(add_size(offsetof(QueueShared, slots),
							 mul_size(guc_relay_databases, sizeof(Slot))));
}

static Size
shared_size(void)
{
	return add_size(slots_size(), MAXALIGN(mul_size(MaxBackends, sizeof(Promise))));
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
	queue_promises = (Promise *) ((char *) queue + slots_size());
	queue_rings = (char *) queue + shared_size();
	queue_locks = GetNamedLWLockTranche(TRANCHE_NAME);
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

/* Under ASSIGN_LOCK: the slot of a database, or one that another has left. */
static Slot *
find_slot(Oid database, bool take)
{
	for (int i = 0; i < queue->nslots; i++)
		if (queue->slots[i].database == database)
			return &queue->slots[i];
	if (!take)
		return NULL;
	for (int i = 0; i < queue->nslots; i++)
		if (!OidIsValid(queue->slots[i].database))
		{
			queue->slots[i].database = database;
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
			slot->database = database;
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
bool
queue_lock_slot(bool take)
{
	if (queue == NULL)
		return false;
	if (my_slot == NULL)
	{
		LWLockAcquire(ASSIGN_LOCK, take ? LW_EXCLUSIVE : LW_SHARED);
		my_slot = find_slot(MyDatabaseId, take);
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
		return queue_lock_slot(take);
	}
	return true;
}

void
queue_unlock_slot(void)
{
	LWLockRelease(SLOT_LOCK(my_slot));
}

/* ---------- the worker ---------- */

/* Under the lock of the slot: is the caller to start its worker? */
static bool
claim_start(Slot *slot)
{
	TimestampTz now = GetCurrentTimestamp();

	if (!(slot->state == WORKER_NONE && now >= slot->retry_at) &&
		!(slot->state == WORKER_STARTING &&
		  TimestampDifferenceExceeds(slot->asked_at, now, WORKER_START_TIMEOUT_MS)))
		return false;
	slot->state = WORKER_STARTING;
	slot->asked_at = now;
	slot->failed_starts = 0;
	return true;
}

/*
 * Says that the caller is to start the worker of this database: nobody is, or
 * whoever did has not come up.
 */
bool
queue_claim_start(int *slot)
{
	bool		claimed;

	if (!queue_lock_slot(true))
		return false;
	claimed = claim_start(my_slot);
	*slot = my_slot - queue->slots;
	queue_unlock_slot();
	return claimed;
}

/*
 * Asks the worker of a database to make the announcements that are not queued; the
 * same if the caller is to start it.  Without a slot nobody makes them.
 */
bool
queue_ask_for_announcements(Oid database, int *number)
{
	bool		claimed = false;
	Latch	   *latch = NULL;
	Slot	   *slot;

	LWLockAcquire(ASSIGN_LOCK, LW_EXCLUSIVE);
	slot = find_slot(database, true);
	if (slot != NULL)
	{
		LWLockAcquire(SLOT_LOCK(slot), LW_EXCLUSIVE);
		slot->announcements = true;
		latch = slot->worker_latch;
		claimed = claim_start(slot);
		*number = slot - queue->slots;
		LWLockRelease(SLOT_LOCK(slot));
	}
	LWLockRelease(ASSIGN_LOCK);
	if (latch != NULL)
		SetLatch(latch);
	return claimed;
}

/* The worker: has somebody asked? */
bool
queue_take_announcements(void)
{
	bool		asked;

	if (!queue_lock_slot(false))
		return false;
	asked = my_slot->announcements;
	my_slot->announcements = false;
	queue_unlock_slot();
	return asked;
}

/* The worker could not even be registered. */
void
queue_start_failed(int number)
{
	Slot	   *slot = &queue->slots[number];

	LWLockAcquire(SLOT_LOCK(slot), LW_EXCLUSIVE);
	if (slot->state == WORKER_STARTING)
		slot->state = WORKER_NONE;
	LWLockRelease(SLOT_LOCK(slot));
}

/*
 * The database that a worker is for, or InvalidOid if it is not wanted any more;
 * and how many milliseconds it is to wait before it connects.
 */
Oid
queue_worker_database(int number, long *wait)
{
	Slot	   *slot = &queue->slots[number];
	Oid			database = InvalidOid;

	LWLockAcquire(SLOT_LOCK(slot), LW_EXCLUSIVE);
	if (slot->state == WORKER_PAUSED && slot->head == slot->tail && slot->reserved == 0)
		slot->state = WORKER_NONE;	/* a sender has delivered what was waiting */
	if (slot->state == WORKER_STARTING || slot->state == WORKER_PAUSED)
		database = slot->database;
	*wait = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), slot->retry_at);
	LWLockRelease(SLOT_LOCK(slot));
	return database;
}

/* From now on transactions may queue.  False if another worker was quicker. */
bool
queue_worker_attach(void)
{
	bool		attached = false;

	if (!queue_lock_slot(false))
		return false;
	if (my_slot->state == WORKER_STARTING || my_slot->state == WORKER_PAUSED)
	{
		my_slot->state = WORKER_RUNNING;
		my_slot->worker_pid = MyProcPid;
		my_slot->worker_latch = &MyProc->procLatch;
		my_slot->failed_starts = 0;
		attached = true;
	}
	queue_unlock_slot();
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

	if (!queue_lock_slot(false))
		return true;
	work_left = my_slot->head != my_slot->tail || my_slot->reserved > 0 || my_slot->announcements;
	if (!work_left)
		worker_gone(my_slot, WORKER_NONE);
	queue_unlock_slot();
	return !work_left;
}

/* A delivery has failed: how many in a row is that? */
int
queue_worker_failed(void)
{
	int			failures;

	if (!queue_lock_slot(false))
		return 1;
	failures = ++my_slot->failures;
	queue_unlock_slot();
	return failures;
}

void
queue_worker_recovered(void)
{
	if (!queue_lock_slot(false))
		return;
	my_slot->failures = 0;
	queue_unlock_slot();
}

/*
 * The worker leaves the database and comes back, so many milliseconds later, for
 * what is waiting.  Transactions may go on queueing.
 */
void
queue_worker_pause(long pause)
{
	if (!queue_lock_slot(false))
		return;
	worker_gone(my_slot, WORKER_PAUSED);
	my_slot->retry_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), pause);
	queue_unlock_slot();
}

/*
 * The worker dies, and the postmaster starts it again: it is wanted if it leaves
 * work behind, but not for ever if it cannot even connect.
 */
void
queue_worker_died(int number)
{
	Slot	   *slot = &queue->slots[number];
	TimestampTz now = GetCurrentTimestamp();
	bool		wanted;

	LWLockAcquire(SLOT_LOCK(slot), LW_EXCLUSIVE);
	wanted = slot->head != slot->tail || slot->reserved > 0;
	if (slot->state == WORKER_STARTING || slot->state == WORKER_PAUSED)
	{
		wanted = wanted && ++slot->failed_starts < MAX_FAILED_STARTS;
		slot->retry_at =
			TimestampTzPlusMilliseconds(now, wanted ? START_PAUSE_MS << slot->failed_starts : NO_START_MS);
		worker_gone(slot, wanted ? WORKER_STARTING : WORKER_NONE);
	}
	else if (slot->worker_pid == MyProcPid)
		worker_gone(slot, wanted ? WORKER_STARTING : WORKER_NONE);
	LWLockRelease(SLOT_LOCK(slot));
}
