/*
 * sync.c
 *	  Catching up: every message that a cursor has not seen, exactly once.
 *
 * What a cursor is, and why nothing can be missing, is in cursor.c.  Each look
 * is made with a new snapshot, whatever the isolation level, and the cursor that
 * is returned is of that very snapshot.
 *
 * With a wait, a look that finds nothing is repeated when a transaction has
 * owed events in this database (the library preloaded), or else a few times a
 * second.
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

#include "check.h"
#include "compat.h"
#include "cursor.h"
#include "groups.h"
#include "identity.h"
#include "json.h"
#include "plans.h"
#include "queue.h"
#include "sync.h"

/* How long to wait between looks, in milliseconds: at least, and at most. */
#define LOOK_AGAIN_MIN	5
#define LOOK_AGAIN_MAX	200

/* And how long where every sender wakes the waiters. */
#define LOOK_ANYWAY		1000

/* Ten years, in microseconds. */
#define LONGEST_WAIT	((double) 10 * 365 * USECS_PER_DAY)

#define MESSAGE_COLUMNS "t.id, t.datetime, t.group_id, t.sender_id, t.message, t.xid"

/*
 * $1 user, $2 group, $3 high, $4 limit; $5, $6, $7 the ranges' lo, hi and seen.
 * One message more than is returned tells that there are more.  What came late is
 * looked up by its xid, before anything else is joined to it (OFFSET 0): the
 * planner cannot know how few those are.
 */
#define UNSEEN(of_group) \
	"SELECT n.* FROM chatrel.groups_members m CROSS JOIN LATERAL" \
	" (SELECT " MESSAGE_COLUMNS " FROM chatrel.groups_messages t" \
	" WHERE t.group_id" EQ "m.group_id AND t.id" GT "$3" \
	" ORDER BY t.id LIMIT $4) n" \
	" WHERE m.user_id" EQ "$1" of_group \
	" UNION ALL" \
	" SELECT late.*" \
	" FROM ROWS FROM (pg_catalog.unnest($5), pg_catalog.unnest($6), pg_catalog.unnest($7)) r (lo, hi, seen)" \
	" CROSS JOIN LATERAL (SELECT " MESSAGE_COLUMNS " FROM chatrel.groups_messages t" \
	" WHERE t.xid" GE "r.lo AND t.xid" LT "r.hi" \
	" AND t.id" GT "r.seen AND t.id" LE "$3 OFFSET 0) late" \
	" WHERE EXISTS (SELECT FROM chatrel.groups_members m" \
	" WHERE m.group_id" EQ "late.group_id AND m.user_id" EQ "$1" of_group ")" \
	" ORDER BY 1 LIMIT $4"

static SqlPlan unseen_of_all = {
	UNSEEN(""),
	SPI_OK_SELECT, 7, {INT8OID, INT8OID, INT8OID, INT8OID, XID8ARRAYOID, XID8ARRAYOID, INT8ARRAYOID}, true
};

static SqlPlan unseen_of_group = {
	UNSEEN(" AND m.group_id" EQ "$2"),
	SPI_OK_SELECT, 7, {INT8OID, INT8OID, INT8OID, INT8OID, XID8ARRAYOID, XID8ARRAYOID, INT8ARRAYOID}, true
};

/* The highest id that is visible of each range: see cursor.c on restored messages. */
static SqlPlan visible_of_ranges = {
	"SELECT r.n, l.id"
	" FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)) WITH ORDINALITY r (lo, hi, n)"
	" CROSS JOIN LATERAL (SELECT pg_catalog.max(t.id) AS id FROM chatrel.groups_messages t"
	" WHERE t.xid" GE "r.lo AND t.xid" LT "r.hi) l"
	" WHERE l.id IS NOT NULL",
	SPI_OK_SELECT, 2, {XID8ARRAYOID, XID8ARRAYOID}, true
};

#define LAST_MESSAGE(of_group) \
	"SELECT l.id, l.xid FROM chatrel.groups_members m CROSS JOIN LATERAL" \
	" (SELECT t.id, t.xid FROM chatrel.groups_messages t WHERE t.group_id" EQ "m.group_id" \
	" ORDER BY t.id DESC LIMIT 1) l WHERE m.user_id" EQ "$1" of_group \
	" ORDER BY l.id DESC LIMIT 1"

static SqlPlan last_message_of_all = {
	LAST_MESSAGE(""),
	SPI_OK_SELECT, 2, {INT8OID, INT8OID}
};

static SqlPlan last_message_of_group = {
	LAST_MESSAGE(" AND m.group_id" EQ "$2"),
	SPI_OK_SELECT, 2, {INT8OID, INT8OID}
};

PG_FUNCTION_INFO_V1(chatrel_sync);

/* What sync() was asked for, and what it has found. */
typedef struct Sync
{
	int64		user_id;
	int64		group_id;		/* or 0 */
	int64		limit;
	Cursor	   *cursor;
	uint64		found;			/* messages to return */
	bool		more;
} Sync;

/* ---------- looking ---------- */

static ArrayType *
range_array(const Cursor *cursor, Size offset, Oid type)
{
	Datum	   *values = palloc_array(Datum, Max(cursor->nranges, 1));

	for (int i = 0; i < cursor->nranges; i++)
		values[i] = Int64GetDatum(*(int64 *) ((char *) &cursor->ranges[i] + offset));
	return construct_array(values, cursor->nranges, type, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE);
}

static Datum
range_datum(const Cursor *cursor, Size offset, Oid type)
{
	return PointerGetDatum(range_array(cursor, offset, type));
}

/* What is visible of transactions in progress was sent on another server: seen. */
static void
see_restored(Cursor *cursor)
{
	Datum		values[2];
	uint64		nrows;

	if (cursor->nranges == 0)
		return;
	values[0] = range_datum(cursor, offsetof(CursorRange, lo), XID8OID);
	values[1] = range_datum(cursor, offsetof(CursorRange, hi), XID8OID);
	nrows = plan_run(&visible_of_ranges, PLAN_READ, values, NULL);
	for (uint64 i = 0; i < nrows; i++)
		cursor->ranges[plan_int64(i, 1) - 1].seen = plan_int64(i, 2);
}

/* Where the commit of a transaction is in the WAL, if it may not be flushed yet. */
static XLogRecPtr
unflushed_commit(uint64 value)
{
	FullTransactionId xid = FullTransactionIdFromU64(value);
	FullTransactionId next = ReadNextFullTransactionId();
	TransactionId xid32 = XidFromFullTransactionId(xid);
	XLogRecPtr	lsn = InvalidXLogRecPtr;

	/* Not of this server, or so long ago that its status is gone. */
	if (!TransactionIdIsNormal(xid32) || !FullTransactionIdPrecedes(xid, next) ||
		U64FromFullTransactionId(next) - value > PG_INT32_MAX)
		return lsn;
	LWLockAcquire(XactTruncationLock, LW_SHARED);
	if (TransactionIdFollowsOrEquals(xid32, TransamVariables->oldestClogXid))
		lsn = TransactionIdGetCommitLSN(xid32);
	LWLockRelease(XactTruncationLock);
	return lsn;
}

/*
 * With synchronous_commit off, a crash may take back what is visible now, and
 * its id be given again: it is flushed before a cursor counts it as seen.
 */
static void
flush_found(uint64 found, int xid_column)
{
	uint64		last = 0;
	XLogRecPtr	flush_to = InvalidXLogRecPtr;

	if (RecoveryInProgress())
		return;
	for (uint64 i = 0; i < found; i++)
	{
		uint64		xid = (uint64) plan_int64(i, xid_column);

		if (xid != last)
			flush_to = Max(flush_to, unflushed_commit(xid));
		last = xid;
	}
	if (!XLogRecPtrIsInvalid(flush_to))
		XLogFlush(flush_to);
}

/*
 * Finds what the cursor has not seen; the cursor then has.  The messages are the
 * last result of SPI, followed by one too many if there are more.
 */
static void
look(Sync *sync, Snapshot snapshot)
{
	Cursor	   *cursor = sync->cursor;
	int64		last = cursor->high;
	uint64		rows;
	Datum		values[] = {
		Int64GetDatum(sync->user_id),
		Int64GetDatum(sync->group_id),
		Int64GetDatum(cursor->high),
		Int64GetDatum(sync->limit + 1),
		range_datum(cursor, offsetof(CursorRange, lo), XID8OID),
		range_datum(cursor, offsetof(CursorRange, hi), XID8OID),
		range_datum(cursor, offsetof(CursorRange, seen), INT8OID)
	};

	rows = plan_run(sync->group_id == 0 ? &unseen_of_all : &unseen_of_group,
					PLAN_READ, values, NULL);
	sync->more = rows > sync->limit;
	sync->found = Min(rows, sync->limit);
	if (sync->found > 0)
	{
		flush_found(sync->found, 6);
		last = plan_int64(sync->found - 1, 1);
	}
	if (sync->more && last < cursor->high)
		cursor_advance_within(cursor, snapshot, last);
	else
	{
		SPITupleTable *found = SPI_tuptable;

		cursor_advance(cursor, snapshot, last);
		see_restored(cursor);
		SPI_tuptable = found;
	}
}

/*
 * A cursor that has seen all that is visible in the active snapshot; group_id 0
 * is all groups.  Between owner_begin() and owner_end().
 */
Cursor *
cursor_of_now(int64 user_id, int64 group_id)
{
	Cursor	   *cursor = cursor_start(user_id, group_id);
	Datum		values[] = {Int64GetDatum(user_id), Int64GetDatum(group_id)};
	uint64		found = plan_run(group_id == 0 ? &last_message_of_all : &last_message_of_group,
								 PLAN_READ, values, NULL);

	/* The last is enough: no id up to its own is given again. */
	flush_found(found, 2);
	cursor_advance(cursor, GetActiveSnapshot(), found > 0 ? plan_int64(0, 1) : 0);
	see_restored(cursor);
	return cursor;
}

/* ---------- the answer ---------- */

/* The same document as JSON_MESSAGE() makes. */
static void
push_message(JsonbInState *state, uint64 row)
{
	pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
	json_add_int64(state, "id", plan_int64(row, 1));
	json_add_timestamp(state, "datetime", DatumGetTimestampTz(plan_datum(row, 2)));
	json_add_int64(state, "group_id", plan_int64(row, 3));
	json_add_int64(state, "sender_id", plan_int64(row, 4));
	json_add_text(state, "message", DatumGetTextPP(plan_datum(row, 5)));
	pushJsonbValue(state, WJB_END_OBJECT, NULL);
}

static Jsonb *
answer(const Sync *sync)
{
	JsonbInState state = {0};

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	json_key(&state, "messages");
	pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	for (uint64 i = 0; i < sync->found; i++)
	{
		CHECK_FOR_INTERRUPTS();
		push_message(&state, i);
	}
	pushJsonbValue(&state, WJB_END_ARRAY, NULL);
	json_add_string(&state, "cursor", cursor_text(sync->cursor));
	json_add_bool(&state, "more", sync->more);
	pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	return JsonbValueToJsonb(state.result);
}

/*
 * One look.  Null if it found nothing and there is time left to wait; the cursor
 * has moved on all the same.
 */
static Jsonb *
look_once(Sync *sync, FunctionCallInfo fcinfo, MemoryContext context, bool may_wait)
{
	OwnerScope	scope;
	MemoryContext old;
	CursorRange *old_ranges = sync->cursor->ranges;
	Jsonb	   *result = NULL;

	sync->found = 0;
	sync->more = false;
	if (cursor_is_ahead(sync->cursor))
		return may_wait ? NULL : answer(sync);

	PushActiveSnapshot(GetLatestSnapshot());
	owner_begin(&scope, fcinfo);
	look(sync, GetActiveSnapshot());
	old = MemoryContextSwitchTo(context);
	cursor_keep_ranges(sync->cursor, old_ranges);
	if (sync->found > 0 || !may_wait)
		result = answer(sync);
	MemoryContextSwitchTo(old);
	owner_end(&scope);
	PopActiveSnapshot();
	return result;
}

/* ---------- waiting ---------- */

/*
 * Sleeps until a look may find something, or the deadline.  Many senders wake
 * every waiter: one that looks in vain takes longer and longer breaks.
 */
static void
wait_for_news(TimestampTz deadline, int *pause)
{
	long		left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), deadline);

	if (!queue_sleep(Min(left, LOOK_ANYWAY)))
		*pause = LOOK_AGAIN_MAX;
	left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), deadline);
	if (*pause > 0 && left > 0)
		(void) WaitLatch(NULL, WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 Min(left, *pause), PG_WAIT_EXTENSION);
	CHECK_FOR_INTERRUPTS();
	*pause = *pause == 0 ? LOOK_AGAIN_MIN : Min(2 * *pause, LOOK_AGAIN_MAX);
}

static Jsonb *
look_until(Sync *sync, FunctionCallInfo fcinfo, TimestampTz deadline)
{
	int			pause = 0;
	Jsonb	   *result;

	for (;;)
	{
		bool		may_wait = GetCurrentTimestamp() < deadline;

		if (may_wait)
			queue_prepare_to_sleep();
		result = look_once(sync, fcinfo, CurrentMemoryContext, may_wait);
		if (result != NULL)
			break;
		wait_for_news(deadline, &pause);
	}
	queue_cancel_sleep();
	return result;
}

/*
 * Without the calendar, in which adding a long interval to a time is an error: a
 * month has 30 days, and more than LONGEST_WAIT is for ever.
 */
static TimestampTz
wait_deadline(FunctionCallInfo fcinfo, int argno)
{
	TimestampTz now = GetCurrentTimestamp();
	Interval   *interval;
	double		span;

	if (PG_ARGISNULL(argno))
		return now;
	interval = PG_GETARG_INTERVAL_P(argno);
	span = interval->time +
		(interval->day + (double) interval->month * DAYS_PER_MONTH) * USECS_PER_DAY;
	if (span < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("wait must not be negative")));
	return now + (int64) Min(span, LONGEST_WAIT);
}

/* The cursor that was passed: none, 'now', or one of an earlier answer. */
static Cursor *
sync_cursor(FunctionCallInfo fcinfo, const Sync *sync)
{
	char	   *passed = PG_ARGISNULL(0) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(0));
	OwnerScope	scope;
	MemoryContext context = CurrentMemoryContext;
	MemoryContext old;
	Cursor	   *cursor;

	if (passed == NULL)
		return cursor_start(sync->user_id, sync->group_id);
	if (strcmp(passed, "now") != 0)
		return cursor_parse(passed, sync->user_id, sync->group_id);

	PushActiveSnapshot(GetLatestSnapshot());
	owner_begin(&scope, fcinfo);
	old = MemoryContextSwitchTo(context);
	cursor = cursor_of_now(sync->user_id, sync->group_id);
	MemoryContextSwitchTo(old);
	owner_end(&scope);
	PopActiveSnapshot();
	return cursor;
}

static void
check_may_sync(FunctionCallInfo fcinfo, const Sync *sync)
{
	OwnerScope	scope;

	owner_begin(&scope, fcinfo);
	if (sync->group_id != 0)
		require_reader(sync->user_id, sync->group_id);
	else
		require_user(sync->user_id);
	owner_end(&scope);
}

Datum
chatrel_sync(PG_FUNCTION_ARGS)
{
	Sync		sync = {0};
	TimestampTz deadline;

	sync.group_id = PG_ARGISNULL(1) ? 0 : PG_GETARG_INT64(1);
	sync.limit = require_limit(fcinfo, 2, "message_limit");
	deadline = wait_deadline(fcinfo, 3);
	sync.user_id = acting_user(fcinfo, 4);
	if (!PG_ARGISNULL(1) && sync.group_id <= 0)
		error_group_not_found(sync.group_id);

	check_may_sync(fcinfo, &sync);
	sync.cursor = sync_cursor(fcinfo, &sync);
	PG_RETURN_JSONB_P(look_until(&sync, fcinfo, deadline));
}
