/*
 * shard_clock.c
 *	  A proxy does not wait for ever for a shard that does not answer.
 *
 * Of a server whose processes stand still its kernel says that all is well, and PL/Proxy
 * waits: it looks at its own timeouts only when one of those it has asked says something
 * (remote_execute(), up to 2.12), and the connect_timeout of libpq is not for connections
 * that are made while others are.  But it can be interrupted.  So there is a clock, which
 * runs while a call waits for shards, and interrupts it.
 *
 * An interruption is the error of a canceled query.  At that PL/Proxy cancels what it has
 * asked, by a connection to the same server, and waits for that where nothing interrupts it.
 * Therefore the error is made one of the connection before PL/Proxy sees it, which gives up
 * the connection then.
 */
#include "postgres.h"

#include <limits.h>
#include <signal.h>

#include "fmgr.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

#include "core/check.h"
#include "core/guc.h"
#include "shards/shard_clock.h"

PG_FUNCTION_INFO_V1(chatrel_proxy_start_clock);

/* Of this process; MAX_TIMEOUTS until there is one */
static TimeoutId clock_timeout = MAX_TIMEOUTS;

static bool in_call = false;
static int	limit;				/* ms */
static volatile sig_atomic_t struck = false;

/* In a signal handler, as PostgreSQL's own that cancels a query */
static void
strike(void)
{
	if (proc_exit_inprogress)
		return;
	struck = true;
	QueryCancelPending = true;
	InterruptPending = true;
	SetLatch(MyLatch);
}

static void
stop(void)
{
	if (clock_timeout != MAX_TIMEOUTS)
		disable_timeout(clock_timeout, false);

	/*
	 * It may have struck too late to interrupt what it was for, and is not
	 * for what follows.
	 */
	if (struck)
		QueryCancelPending = false;
	struck = false;
}

/* For chatrel_proxy.shard_timeout and so many microseconds */
static void
start(double more)
{
	stop();
	if (guc_proxy_shard_timeout == 0)
		return;
	if (clock_timeout == MAX_TIMEOUTS)
		clock_timeout = RegisterTimeout(USER_TIMEOUT, strike);
	limit = (int) Min(guc_proxy_shard_timeout + Max(more, 0) / 1000, INT_MAX);
	enable_timeout_after(clock_timeout, limit);
}

/* Called for each error, warning and notice, before anybody can catch it */
static void
make_error_of_connection(void *arg)
{
	if (!struck || geterrcode() != ERRCODE_QUERY_CANCELED)
		return;
	struck = false;
	errcode(ERRCODE_CONNECTION_FAILURE);
	errmsg("a shard has not answered within %d ms", limit);
	errhint("What was to be done there may have been done, or be done yet. "
			"How long a shard is waited for is chatrel_proxy.shard_timeout.");
}

/* Around a call that goes to shards, also after an error in it */
void
shard_clock_begin(ErrorContextCallback *callback)
{
	callback->previous = error_context_stack;
	callback->callback = make_error_of_connection;
	callback->arg = NULL;
	error_context_stack = callback;
	in_call = true;
	start(0);
}

void
shard_clock_end(ErrorContextCallback *callback)
{
	stop();
	in_call = false;
	error_context_stack = callback->previous;
}

/* Where a call asks shards again, or lets them wait; elsewhere there is nobody to stop it. */
Datum
chatrel_proxy_start_clock(PG_FUNCTION_ARGS)
{
	if (in_call)
		start(PG_ARGISNULL(0) ? 0 : interval_span(PG_GETARG_INTERVAL_P(0)));
	PG_RETURN_VOID();
}
