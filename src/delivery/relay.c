/*
 * relay.c
 *	  Delivery of events by a background worker, after their transaction.
 *
 * A transaction that has used NOTIFY holds one lock, for the whole cluster,
 * from before its commit record is flushed until after: such transactions
 * commit one at a time.  With the library preloaded a transaction that announces
 * events does not use NOTIFY.  It reserves space in a queue in shared memory
 * before it commits, puts its events there when it has committed and is
 * visible, and a background worker, one for a database, NOTIFYs all that is
 * waiting in a transaction of its own.
 *
 * Where that cannot be - no room, no worker, the relay switched off - the
 * transaction NOTIFYs itself, as without the library preloaded ("fallback").
 * Its session may have events in the queue which must not be overtaken; so it
 * then delivers what is in the queue first.
 *
 * Delivery is the right of whoever holds the lock that NOTIFY takes.  It is taken
 * before the queue is looked at, and the events are taken off the queue after
 * the commit but before the lock is released; so each is delivered once.  An
 * abort, of the worker or of another, leaves them where they were.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_database.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/lmgr.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"
#include "utils/wait_event.h"

#include "core/compat.h"
#include "delivery/channels.h"
#include "core/guc.h"
#include "delivery/notify.h"
#include "core/plans.h"
#include "delivery/queue.h"
#include "delivery/queue_slots.h"
#include "delivery/relay.h"

/*
 * How long the worker waits after deliveries that failed: at first, with its
 * connection, and at most.
 */
#define RETRY_MIN_MS		50
#define RETRY_CONNECTED_MS	1000
#define RETRY_MAX_MS		30000

/*
 * From so many events in so many milliseconds on the worker takes a break of one
 * millisecond after each delivery: senders need not wake it, which costs them a
 * system call, and more events go out at once.
 */
#define BUSY_EVENTS		30
#define BUSY_MS			10

/* What this transaction has to do with the queue when it ends. */
static struct
{
	char	   *records;		/* its own events, for which space is reserved */
	Size		size;
	int			nevents;
	uint64		turn;
	Size		delivered_size; /* others' events, which it has notified */
	int			delivered_nevents;
}			pending;

PGDLLEXPORT void chatrel_relay_main(Datum main_arg);

PG_FUNCTION_INFO_V1(chatrel_relay_status);

/* ---------- the transaction that announces ---------- */

static bool
start_worker(int slot)
{
	BackgroundWorker worker = {0};

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;

	/*
	 * At once if it dies, and it then decides whether it is wanted.  Another
	 * could not be registered where it has the last of max_worker_processes.
	 */
	worker.bgw_restart_time = 0;
	worker.bgw_main_arg = Int32GetDatum(slot);
	strlcpy(worker.bgw_library_name, "chatrel", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "chatrel_relay_main", sizeof(worker.bgw_function_name));
	strlcpy(worker.bgw_type, "chatrel relay", sizeof(worker.bgw_type));
	snprintf(worker.bgw_name, sizeof(worker.bgw_name), "chatrel relay for database %u", MyDatabaseId);

	return RegisterDynamicBackgroundWorker(&worker, NULL);
}

/* Starts the worker of this database, unless somebody has. */
static void
want_worker(void)
{
	int			slot;

	if (IsBinaryUpgrade || !queue_claim_start(&slot))
		return;
	if (!start_worker(slot))
		queue_start_failed();
}

bool
relay_accept(const Event *events, int nevents)
{
	QueueVerdict verdict;
	Size		size;
	char	   *records;

	/* Without a schema the extension was dropped after the events arose. */
	if (!queue_exists() || !OidIsValid(get_namespace_oid("chatrel", true)))
		return false;

	records = queue_pack(events, nevents, &size);
	verdict = queue_reserve(size, &pending.turn);
	if (verdict == QUEUE_ACCEPTS)
	{
		pending.records = records;
		pending.size = size;
		pending.nevents = nevents;
		return true;
	}

	pfree(records);
	queue_count_fallback(verdict);
	if (verdict == QUEUE_NO_WORKER)
		want_worker();
	else if (verdict == QUEUE_NO_SLOT)
		queue_forget_dropped_databases();
	return false;
}

void
relay_end_of_transaction(bool committed)
{
	if (pending.delivered_size > 0 && committed)
		queue_consume(pending.delivered_size, pending.delivered_nevents);
	if (pending.size > 0)
	{
		if (committed)
			queue_append(pending.records, pending.size, pending.nevents, pending.turn);
		else
			queue_release(pending.size);
	}
	memset(&pending, 0, sizeof(pending));
}

/* ---------- delivery ---------- */

/* As PreCommit_Notify() does a little later. */
static void
lock_notify(void)
{
	LockSharedObject(DatabaseRelationId, InvalidOid, 0, AccessExclusiveLock);
}

/*
 * NOTIFYs, in this transaction, what is in the queue.  Returns how many bytes
 * that was.  Between owner_begin() and owner_end().
 *
 * The channels are looked up before the lock is taken: others can go on
 * committing, and nothing is waited for that may wait for the lock.
 */
static Size
deliver_queue(void)
{
	bool		locked = false;

	for (;;)
	{
		char	   *records;
		uint64		position;
		Size		size = queue_copy(&records, &position);
		Event	   *events;
		int			nevents;

		if (size == 0)
			return 0;
		events = queue_unpack(records, size, &nevents);
		find_committed_channels(events, nevents);
		if (!locked)
			lock_notify();
		locked = true;

		if (queue_position() == position)
		{
			/* listen_all() may have been called since the last time. */
			AcceptInvalidationMessages();
			notify_events(events, nevents);
			pending.delivered_size = size;
			pending.delivered_nevents = nevents;
			return size;
		}

		/* Another has delivered these before we had the lock. */
		pfree(events);
		pfree(records);
	}
}

void
relay_deliver_queued(void)
{
	int			nest_level;

	if (queue_is_idle())
		return;
	nest_level = silence_begin();
	(void) deliver_queue();
	silence_end(nest_level);
}

/* ---------- the worker ---------- */

/* The worker has told the queue that it leaves, or was never wanted. */
static bool worker_leaves = false;

static void
worker_exit(int code, Datum slot)
{
	if (!worker_leaves)
		queue_worker_died(DatumGetInt32(slot));
}

/* Of its own accord: the postmaster does not start it again. */
static void
worker_end(void)
{
	worker_leaves = true;
	proc_exit(0);
}

/* What pg_stat_activity says; names of their own on 17 and later. */
static struct
{
	uint32		idle;			/* nothing is waiting */
	uint32		batch;			/* busy, see BUSY_EVENTS */
	uint32		retry;			/* a delivery has failed */
}			wait_events;

static void
name_wait_events(void)
{
	wait_events.idle = WaitEventExtensionNew("ChatrelRelayIdle");
	wait_events.batch = WaitEventExtensionNew("ChatrelRelayBatch");
	wait_events.retry = WaitEventExtensionNew("ChatrelRelayRetry");
}

static void
worker_check_signals(void)
{
	CHECK_FOR_INTERRUPTS();
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
	}
}

/*
 * Waits until it is time to connect: not at once after a worker that could not, or
 * could not deliver.  Meanwhile the database may be dropped.
 */
static Oid
worker_await_start(int slot)
{
	Oid			database;
	long		wait;

	while (OidIsValid(database = queue_worker_database(slot, &wait)) && wait > 0)
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 wait, wait_events.retry);
		ResetLatch(MyLatch);
		worker_check_signals();
	}
	return database;
}

/*
 * What ALTER DATABASE and ALTER ROLE may have set, for sessions, and would keep
 * the worker from delivering.
 */
static void
worker_settings(void)
{
	static const char *const settings[][2] = {
		/* Nothing is lost that the queue has not lost already, in a crash. */
		{"synchronous_commit", "off"},
		{"default_transaction_isolation", "read committed"},
		{"default_transaction_read_only", "off"},
		{"default_transaction_deferrable", "off"},
		{"lock_timeout", "0"},
		{"transaction_timeout", "0"},
		{"application_name", "chatrel relay"}
	};

	for (int i = 0; i < lengthof(settings); i++)
		if (GetConfigOption(settings[i][0], true, false) != NULL)	/* not each version has
																	 * all */
			SetConfigOption(settings[i][0], settings[i][1], PGC_SUSET, PGC_S_OVERRIDE);
}

/* To a database that no sessions may connect to, too: those that have can send. */
static void
worker_connect(int slot)
{
	Oid			database;

	name_wait_events();
	before_shmem_exit(worker_exit, Int32GetDatum(slot));
	pqsignal(SIGTERM, die);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	BackgroundWorkerUnblockSignals();
	database = worker_await_start(slot);
	if (!OidIsValid(database))
		worker_end();
	BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, BGWORKER_BYPASS_ALLOWCONN);

	if (!queue_worker_attach())
		worker_end();
	worker_settings();
}

/* The extension was dropped: nobody can hear these events. */
static void
discard_queue(void)
{
	char	   *records;
	uint64		position;

	lock_notify();
	pending.delivered_size = queue_copy(&records, &position);
	if (pending.delivered_size > 0)
		(void) queue_unpack(records, pending.delivered_size, &pending.delivered_nevents);
}

/*
 * One transaction for all that is waiting; false if it cannot be delivered now.
 * The database's sessions may have been given a role that knows nothing of
 * chatrel: the tables are looked for as superuser.
 */
static bool
worker_deliver(void)
{
	ChannelsState channels;
	OwnerScope	superuser;
	OwnerScope	scope;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	pgstat_report_activity(STATE_RUNNING, "delivering events");
	owner_begin_as(&superuser, BOOTSTRAP_SUPERUSERID);
	channels = lock_channels_tables();
	if (channels == CHANNELS_READY)
	{
		owner_begin_as(&scope, channels_owner());
		restrict_operation();
		(void) deliver_queue();
		owner_end(&scope);
	}
	else if (channels == CHANNELS_GONE)
		discard_queue();
	owner_end(&superuser);
	PopActiveSnapshot();
	CommitTransactionCommand();
	pgstat_report_stat(false);
	pgstat_report_activity(STATE_IDLE, NULL);
	return channels != CHANNELS_LOCKED;
}

/*
 * The same; false also if it failed, as it does while the queue of NOTIFY is
 * full.  What could not be delivered is still there.
 */
static bool
worker_try_deliver(void)
{
	MemoryContext context = CurrentMemoryContext;
	volatile bool delivered = false;

	PG_TRY();
	{
		delivered = worker_deliver();
	}
	PG_CATCH();
	{
		HOLD_INTERRUPTS();
		EmitErrorReport();
		AbortCurrentTransaction();
		FlushErrorState();
		pgstat_report_activity(STATE_IDLE, NULL);
		RESUME_INTERRUPTS();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	return delivered;
}

/* True if the timeout has passed without anything to do. */
static bool
worker_wait(long timeout)
{
	int			rc = WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
							   timeout, wait_events.idle);

	ResetLatch(MyLatch);
	worker_check_signals();
	return (rc & WL_TIMEOUT) != 0;
}

/*
 * After a failure.  Senders go on setting the latch, which is not to make it
 * fail, and complain, with every send.  What fails again and again may fail for
 * ever: between attempts that are further and further apart the worker is not
 * connected, so that the database can be dropped.
 */
static void
worker_pause(void)
{
	int			failures = queue_worker_failed();
	long		pause = RETRY_MIN_MS;

	while (--failures > 0 && pause < RETRY_MAX_MS)
		pause *= 2;
	if (pause > RETRY_CONNECTED_MS)
	{
		queue_worker_pause(Min(pause, RETRY_MAX_MS));
		worker_leaves = true;
		proc_exit(1);			/* the postmaster starts it again */
	}
	(void) WaitLatch(NULL, WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, pause, wait_events.retry);
	worker_check_signals();
}

/* Are events coming in faster than they are worth a delivery each? */
static bool
worker_is_busy(void)
{
	static TimestampTz since = 0;
	static uint64 delivered = 0;
	static bool busy = false;
	TimestampTz now = GetCurrentTimestamp();

	if (TimestampDifferenceExceeds(since, now, BUSY_MS))
	{
		uint64		delivered_now = queue_delivered();

		busy = (delivered_now - delivered) * BUSY_MS >=
			BUSY_EVENTS * TimestampDifferenceMilliseconds(since, now);
		delivered = delivered_now;
		since = now;
	}
	return busy;
}

/* Delivers what is waiting, and waits a little where that is of use. */
static void
worker_work(void)
{
	static bool failing = true; /* so may its predecessor */

	if (!worker_try_deliver())
	{
		failing = true;
		worker_pause();
		return;
	}
	if (failing)
		queue_worker_recovered();
	failing = false;
	if (worker_is_busy())
		(void) WaitLatch(NULL, WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 1, wait_events.batch);
}

void
chatrel_relay_main(Datum main_arg)
{
	worker_connect(DatumGetInt32(main_arg));

	for (;;)
	{
		if (!queue_is_empty())
			worker_work();
		else if ((worker_wait(guc_relay_idle_timeout) || !guc_relay) &&
				 queue_worker_leave())
			break;
	}
	worker_end();
}

/* ---------- the view ---------- */

static void
put_status(ReturnSetInfo *rsinfo, const QueueStatus *status)
{
	Datum		values[] = {
		ObjectIdGetDatum(status->database),
		Int32GetDatum(status->worker_pid),
		Int64GetDatum(status->queued),
		Int64GetDatum(status->delivered),
		Int64GetDatum(status->batches),
		Int64GetDatum(status->bytes_waiting),
		TimestampTzGetDatum(status->oldest),
		Int64GetDatum(status->fallbacks[QUEUE_OFF]),
		Int64GetDatum(status->fallbacks[QUEUE_NO_SLOT]),
		Int64GetDatum(status->fallbacks[QUEUE_NO_WORKER]),
		Int64GetDatum(status->fallbacks[QUEUE_NO_ROOM])
	};
	bool		nulls[lengthof(values)] = {false};

	nulls[0] = !OidIsValid(status->database);
	nulls[1] = status->worker_pid == 0;
	nulls[6] = status->bytes_waiting == 0;
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

Datum
chatrel_relay_status(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	QueueStatus status;

	InitMaterializedSRF(fcinfo, 0);
	for (int slot = 0; slot < queue_slots(); slot++)
	{
		if (queue_status(slot, &status))
			put_status(rsinfo, &status);
	}
	if (queue_status_without_slot(&status))
		put_status(rsinfo, &status);
	return (Datum) 0;
}

void
relay_init(void)
{
	if (process_shared_preload_libraries_in_progress)
		queue_init();
}
