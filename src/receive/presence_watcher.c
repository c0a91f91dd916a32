/*
 * presence_watcher.c
 *	  The process that notices who comes and goes.
 *
 * Somebody has to notice that a report has ended, and that a session has: it cannot
 * say so itself any more.  One process for all databases sleeps until then.  It is
 * connected to none of them, and so keeps nobody from dropping one; it asks the
 * relay's worker of the database to announce what has changed.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/wait_event.h"

#include "core/compat.h"
#include "core/guc.h"
#include "delivery/relay.h"
#include "receive/presence_table.h"
#include "receive/presence_watcher.h"

/* Between two looks, so that many who come and go are one piece of work */
#define PAUSE_MS		10

/* After the watcher was terminated */
#define RESTART_S		1

/* From one complaint to the next */
#define COMPLAIN_MS		60000

PGDLLEXPORT void chatrel_presence_main(Datum main_arg);

static uint32 wait_event = 0;

static void
watcher_exit(int code, Datum arg)
{
	presence_attach_watcher(NULL);
}

static void
watcher_wait(int events, long timeout)
{
	(void) WaitLatch((events & WL_LATCH_SET) ? MyLatch : NULL,
					 events | WL_EXIT_ON_PM_DEATH, timeout, wait_event);
	if (events & WL_LATCH_SET)
		ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
	}
}

/* Of users for whom there was no room the log has a line now and then. */
static void
complain(void)
{
	static uint64 told = 0;
	static TimestampTz told_at = 0;
	uint64		turned_away = presence_turned_away();
	TimestampTz now = GetCurrentTimestamp();

	if (turned_away == told || !TimestampDifferenceExceeds(told_at, now, COMPLAIN_MS))
		return;
	ereport(LOG,
			(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
			 errmsg("there was no room for a user who is online"),
			 errdetail("That has happened %llu times.", (unsigned long long) turned_away),
			 errhint("Increase chatrel.presence_users, which is %d.", guc_presence_users)));
	told = turned_away;
	told_at = now;
}

void
chatrel_presence_main(Datum main_arg)
{
	Oid		   *databases = palloc_array(Oid, guc_relay_databases);

	wait_event = WaitEventExtensionNew("ChatrelPresenceIdle");
	before_shmem_exit(watcher_exit, (Datum) 0);
	pqsignal(SIGTERM, die);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	BackgroundWorkerUnblockSignals();

	/* To no database, but so that pg_stat_activity shows it. */
	BackgroundWorkerInitializeConnectionByOid(InvalidOid, InvalidOid, 0);
	presence_attach_watcher(MyLatch);

	for (;;)
	{
		long		wait;
		int			count = presence_sweep(databases, guc_relay_databases, &wait);

		for (int i = 0; i < count; i++)
			relay_ask_for_announcements(databases[i]);
		complain();
		if (count > 0)
			watcher_wait(WL_TIMEOUT, PAUSE_MS);
		watcher_wait(wait < 0 ? WL_LATCH_SET : WL_LATCH_SET | WL_TIMEOUT, wait);
	}
}

void
presence_watcher_init(void)
{
	BackgroundWorker worker = {0};

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = RESTART_S;
	strlcpy(worker.bgw_library_name, "chatrel", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "chatrel_presence_main", sizeof(worker.bgw_function_name));
	strlcpy(worker.bgw_type, "chatrel presence", sizeof(worker.bgw_type));
	strlcpy(worker.bgw_name, "chatrel presence", sizeof(worker.bgw_name));
	RegisterBackgroundWorker(&worker);
}
