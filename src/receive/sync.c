/*
 * sync.c
 *	  Catching up: every event that a cursor has not seen, exactly once.
 *
 * What a cursor is, and why nothing can be missing, is in cursor.c.  Each
 * attempt reads with a new snapshot, whatever the isolation level, and the cursor
 * that is returned is of that very snapshot.
 *
 * With a wait, an attempt that finds nothing is repeated when a transaction has
 * announced events in this database (the library preloaded), or else a few times
 * a second.
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"
#include "utils/xid8.h"

#include "core/check.h"
#include "core/compat.h"
#include "core/identity.h"
#include "core/plans.h"
#include "delivery/queue.h"
#include "delivery/record.h"
#include "groups/members.h"
#include "messages/message.h"
#include "receive/cursor.h"
#include "receive/sync.h"

/* How long to wait between attempts, in milliseconds: at least, and at most. */
#define RETRY_MIN_MS	5
#define RETRY_MAX_MS	200

/* And how long where every sender wakes the waiters. */
#define WAKE_UP_MS		1000

/* Ten years, in microseconds. */
#define LONGEST_WAIT	((double) 10 * 365 * USECS_PER_DAY)

/* In so many groups a page is looked for in each of them, unless little is left. */
#define FEW_GROUPS		8

/* Messages and recorded events in one list: each has what the other has not as null. */
#define OF_MESSAGE	MESSAGE_COLUMNS("t") ", t.xid, " EVENT_NO_COLUMNS
#define OF_EVENT \
	"e.id, e.created_at, e.group_id, e.actor_id, " MESSAGE_NO_COLUMNS ", e.xid, " EVENT_COLUMNS("e")

/* Its columns, after those of a message */
enum
{
	UNSEEN_XID = MESSAGE_NCOLUMNS + 1,
	UNSEEN_KIND,				/* null: a message */
	UNSEEN_RECIPIENT_ID,
	UNSEEN_USER_ID,
	UNSEEN_MESSAGE_ID,
	UNSEEN_DETAIL
};

#define IS_MEMBER(group_id) \
	"EXISTS (SELECT FROM chatrel.groups_members m" \
	" WHERE m.group_id" EQ group_id " AND m.user_id" EQ "$1)"

/* What a user may see of all that there is */
#define MESSAGE_IS_FOR_USER	IS_MEMBER("t.group_id")
#define EVENT_IS_FOR_USER \
	"CASE WHEN e.recipient_id IS NULL THEN " IS_MEMBER("e.group_id") \
	" ELSE e.recipient_id" EQ "$1 END"

/* The same in one group, $2: what is for its members */
#define MESSAGE_IS_FOR_GROUP	"t.group_id" EQ "$2 AND " IS_MEMBER("$2")
#define EVENT_IS_FOR_GROUP \
	"e.recipient_id IS NULL AND e.group_id" EQ "$2 AND " IS_MEMBER("$2")

/*
 * $1 user, $2 group, $3 high, $4 limit; $5, $6, $7 the ranges' lo, hi and seen.
 * What came late is looked up by its xid, before it is asked whom it is for
 * (OFFSET 0): the planner cannot know how little that is.
 */
#define LATE(message_filter, event_filter) \
	" UNION ALL SELECT t.* FROM ROWS FROM (pg_catalog.unnest($5), pg_catalog.unnest($6)," \
	" pg_catalog.unnest($7)) r (lo, hi, seen) CROSS JOIN LATERAL" \
	" (SELECT " OF_MESSAGE " FROM chatrel.groups_messages t" \
	" WHERE t.xid" GE "r.lo AND t.xid" LT "r.hi AND t.id" GT "r.seen AND t.id" LE "$3" \
	" OFFSET 0) t WHERE " message_filter \
	" UNION ALL SELECT e.* FROM ROWS FROM (pg_catalog.unnest($5), pg_catalog.unnest($6)," \
	" pg_catalog.unnest($7)) r (lo, hi, seen) CROSS JOIN LATERAL" \
	" (SELECT " OF_EVENT " FROM chatrel.events e" \
	" WHERE e.xid" GE "r.lo AND e.xid" LT "r.hi AND e.id" GT "r.seen AND e.id" LE "$3" \
	" OFFSET 0) e WHERE " event_filter \
	" ORDER BY 1 LIMIT $4"

/* The next of a group */
#define NEXT_MESSAGES(of_group) \
	"(SELECT " OF_MESSAGE " FROM chatrel.groups_messages t" \
	" WHERE t.group_id" EQ of_group " AND t.id" GT "$3 ORDER BY t.id LIMIT $4)"
#define NEXT_EVENTS(of_group) \
	"(SELECT " OF_EVENT " FROM chatrel.events e WHERE e.recipient_id IS NULL" \
	" AND e.group_id" EQ of_group " AND e.id" GT "$3 ORDER BY e.id LIMIT $4)"

#define UNSEEN_ARGS \
	INT8OID, INT8OID, INT8OID, INT8OID, XID8ARRAYOID, XID8ARRAYOID, INT8ARRAYOID

static SqlPlan unseen_of_group = {
	.sql = "SELECT n.* FROM (SELECT WHERE " IS_MEMBER("$2") ") member CROSS JOIN LATERAL ("
	NEXT_MESSAGES("$2") " UNION ALL " NEXT_EVENTS("$2") ") n"
	LATE(MESSAGE_IS_FOR_GROUP, EVENT_IS_FOR_GROUP),
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(UNSEEN_ARGS),
	.by_index = true
};

/* Group by group: for a user who is in few of them */
static SqlPlan unseen_by_groups = {
	.sql = "SELECT n.* FROM chatrel.groups_members m CROSS JOIN LATERAL ("
	NEXT_MESSAGES("m.group_id") " UNION ALL " NEXT_EVENTS("m.group_id") ") n"
	" WHERE m.user_id" EQ "$1"
	" UNION ALL (SELECT " OF_EVENT " FROM chatrel.events e"
	" WHERE e.recipient_id" EQ "$1 AND e.id" GT "$3 ORDER BY e.id LIMIT $4)"
	LATE(MESSAGE_IS_FOR_USER, EVENT_IS_FOR_USER),
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(UNSEEN_ARGS),
	.by_index = true
};

/* By the ids of all groups, up to $8: for a user who is in many, or where little is left */
static SqlPlan unseen_by_ids = {
	.sql = "SELECT " OF_MESSAGE " FROM chatrel.groups_messages t"
	" WHERE " MESSAGE_ORDER("t") GT "$3 AND " MESSAGE_ORDER("t") LE "$8 AND " MESSAGE_IS_FOR_USER
	" UNION ALL SELECT " OF_EVENT " FROM chatrel.events e"
	" WHERE e.id" GT "$3 AND e.id" LE "$8 AND " EVENT_IS_FOR_USER
	LATE(MESSAGE_IS_FOR_USER, EVENT_IS_FOR_USER),
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(UNSEEN_ARGS, INT8OID),
	.by_index = true
};

/* For everybody */
static SqlPlan unseen_of_everybody = {
	.sql = "(SELECT " OF_MESSAGE " FROM chatrel.groups_messages t"
	" WHERE " MESSAGE_ORDER("t") GT "$3 ORDER BY " MESSAGE_ORDER("t") " LIMIT $4)"
	" UNION ALL (SELECT " OF_EVENT " FROM chatrel.events e"
	" WHERE e.id" GT "$3 ORDER BY e.id LIMIT $4)"
	LATE("true", "true"),
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(UNSEEN_ARGS),
	.by_index = true
};

/* How many groups a user is in, as far as it matters. */
static SqlPlan count_groups = {
	.sql = "SELECT pg_catalog.count(*) FROM"
	" (SELECT FROM chatrel.groups_members WHERE user_id" EQ "$1 LIMIT $2) m",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, INT8OID),
	.by_index = true
};

/* The last id that was given: all that is visible have one up to that. */
static SqlPlan last_id = {
	.sql = "SELECT last_value FROM chatrel.event_ids",
	.expected = SPI_OK_SELECT
};

/* The last of all that is visible */
static SqlPlan newest = {
	.sql = "(SELECT t.id, t.xid FROM chatrel.groups_messages t"
	" ORDER BY " MESSAGE_ORDER("t") " DESC LIMIT 1)"
	" UNION ALL (SELECT e.id, e.xid FROM chatrel.events e ORDER BY e.id DESC LIMIT 1)"
	" ORDER BY 1 DESC LIMIT 1",
	.expected = SPI_OK_SELECT,
	.by_index = true
};

/* The highest id that is visible of each range: see cursor.c on restored messages. */
static SqlPlan visible_of_ranges = {
	.sql = "SELECT r.n, l.id"
	" FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)) WITH ORDINALITY r (lo, hi, n)"
	" CROSS JOIN LATERAL (SELECT GREATEST("
	"(SELECT pg_catalog.max(t.id) FROM chatrel.groups_messages t"
	" WHERE t.xid" GE "r.lo AND t.xid" LT "r.hi),"
	" (SELECT pg_catalog.max(e.id) FROM chatrel.events e"
	" WHERE e.xid" GE "r.lo AND e.xid" LT "r.hi)) AS id) l"
	" WHERE l.id IS NOT NULL",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(XID8ARRAYOID, XID8ARRAYOID),
	.by_index = true
};

PG_FUNCTION_INFO_V1(chatrel_sync);
PG_FUNCTION_INFO_V1(chatrel_sync_all);

/* What sync() was asked for, and what it has found. */
typedef struct Sync
{
	FunctionCallInfo fcinfo;
	bool		everybody;		/* sync_all(); else one user */
	int64		user_id;		/* 0 before the first attempt, and for
								 * everybody */
	int64		group_id;		/* or 0 */
	int64		limit;
	Cursor	   *cursor;			/* null before the first attempt */
	PlanResult	unseen;			/* the events to return, and perhaps one more */
	uint64		found;			/* how many to return */
	bool		more;
} Sync;

/* ---------- fetching ---------- */

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
	PlanResult	visible;

	if (cursor->nranges == 0)
		return;
	values[0] = range_datum(cursor, offsetof(CursorRange, lo), XID8OID);
	values[1] = range_datum(cursor, offsetof(CursorRange, hi), XID8OID);
	visible = plan_run(&visible_of_ranges, PLAN_READ, values, NULL);
	for (uint64 i = 0; i < visible.nrows; i++)
		cursor->ranges[result_int64(&visible, i, 1) - 1].seen = result_int64(&visible, i, 2);
}

/*
 * Where the WAL of a transaction ends, if it may not be flushed yet: with its
 * commit, or, of this very transaction, with what it has written so far.
 */
static XLogRecPtr
unflushed_end(uint64 value)
{
	FullTransactionId xid = FullTransactionIdFromU64(value);
	FullTransactionId next = ReadNextFullTransactionId();
	TransactionId xid32 = XidFromFullTransactionId(xid);
	XLogRecPtr	lsn = InvalidXLogRecPtr;

	if (FullTransactionIdEquals(xid, GetTopFullTransactionIdIfAny()))
		return XactLastRecEnd;

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
 * A crash may take back what is visible now, and give its id again, where
 * synchronous_commit is off or the transaction is this one: it is flushed before a
 * cursor counts it as seen.
 */
static void
flush_found(const PlanResult *found, uint64 nfound, int xid_column)
{
	uint64		last = 0;
	XLogRecPtr	flush_to = InvalidXLogRecPtr;

	if (RecoveryInProgress())
		return;
	for (uint64 i = 0; i < nfound; i++)
	{
		uint64		xid = (uint64) result_int64(found, i, xid_column);

		if (xid != last)
			flush_to = Max(flush_to, unflushed_end(xid));
		last = xid;
	}
	if (!XLogRecPtrIsInvalid(flush_to))
		XLogFlush(flush_to);
}

/* The cursor holds on to the last of the rows that no rollback takes away. */
static void
anchor_cursor(Cursor *cursor, const PlanResult *found, uint64 nfound, int xid_column)
{
	uint64		own = U64FromFullTransactionId(GetTopFullTransactionIdIfAny());

	for (uint64 row = nfound; row-- > 0;)
	{
		uint64		xid = (uint64) result_int64(found, row, xid_column);

		if (xid == own)
			continue;
		cursor->anchor.id = result_int64(found, row, 1);
		cursor->anchor.xid = xid;
		return;
	}
}

/* How many of the groups there are up to limit. */
static int64
groups_up_to(int64 user_id, int64 limit)
{
	Datum		values[] = {Int64GetDatum(user_id), Int64GetDatum(limit)};
	PlanResult	count = plan_run(&count_groups, PLAN_READ, values, NULL);

	return result_int64(&count, 0, 1);
}

/*
 * What is unseen in all of the user's groups.  By the ids of everybody's events
 * where those that are left are few, or the user is in more groups than that; a
 * part of them is enough if it fills the page.  Group by group a page is looked for
 * in each of them, and so whoever is in more than a few tries the first part.
 */
static PlanResult
unseen_of_all(Sync *sync, Datum *values)
{
	int64		high = sync->cursor->high;
	PlanResult	last = plan_run(&last_id, PLAN_READ, NULL, NULL);
	int64		left = result_int64(&last, 0, 1) - high;
	int64		few = FEW_GROUPS;

	for (int64 part = 2 * (sync->limit + 1);; part *= 4)
	{
		PlanResult	unseen;

		if (left > part && groups_up_to(sync->user_id, few + 1) <= few)
			return plan_run(&unseen_by_groups, PLAN_READ, values, NULL);
		values[7] = Int64GetDatum(high + Min(left, part));
		unseen = plan_run(&unseen_by_ids, PLAN_READ, values, NULL);
		if (left <= part || unseen.nrows > sync->limit)
			return unseen;
		few = 4 * part;
	}
}

/* Everything that is visible has been seen, whoever it is for. */
static void
see_newest(Cursor *cursor, Snapshot snapshot)
{
	PlanResult	last = plan_run(&newest, PLAN_READ, NULL, NULL);

	/* The last is enough: no id up to its own is given again. */
	flush_found(&last, last.nrows, 2);
	if (cursor->anchor.id == 0)
		anchor_cursor(cursor, &last, last.nrows, 2);
	cursor_advance(cursor, snapshot, last.nrows > 0 ? result_int64(&last, 0, 1) : 0);
	see_restored(cursor);
}

/* Finds what the cursor has not seen; the cursor then has. */
static void
fetch_unseen(Sync *sync, Snapshot snapshot)
{
	Cursor	   *cursor = sync->cursor;
	int64		last = cursor->high;
	Datum		values[] = {
		Int64GetDatum(sync->user_id),
		Int64GetDatum(sync->group_id),
		Int64GetDatum(cursor->high),
		Int64GetDatum(sync->limit + 1),
		range_datum(cursor, offsetof(CursorRange, lo), XID8OID),
		range_datum(cursor, offsetof(CursorRange, hi), XID8OID),
		range_datum(cursor, offsetof(CursorRange, seen), INT8OID),
		Int64GetDatum(0)
	};

	if (sync->everybody)
		sync->unseen = plan_run(&unseen_of_everybody, PLAN_READ, values, NULL);
	else if (sync->group_id != 0)
		sync->unseen = plan_run(&unseen_of_group, PLAN_READ, values, NULL);
	else
		sync->unseen = unseen_of_all(sync, values);
	sync->found = messages_that_fit(&sync->unseen, sync->limit);
	sync->more = sync->unseen.nrows > sync->found;
	if (sync->found > 0)
	{
		flush_found(&sync->unseen, sync->found, UNSEEN_XID);
		anchor_cursor(cursor, &sync->unseen, sync->found, UNSEEN_XID);
		last = result_int64(&sync->unseen, sync->found - 1, 1);
	}
	if (!sync->more)
		see_newest(cursor, snapshot);
	else if (last < cursor->high)
		cursor_advance_within(cursor, snapshot, last);
	else
	{
		cursor_advance(cursor, snapshot, last);
		see_restored(cursor);
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

	see_newest(cursor, GetActiveSnapshot());
	return cursor;
}

/* ---------- the answer ---------- */

static int64
optional_id(const PlanResult *result, uint64 row, int column)
{
	return result_is_null(result, row, column) ? 0 : result_int64(result, row, column);
}

/* The object that a listener hears */
static void
json_recorded(JsonWriter *json, const PlanResult *unseen, uint64 row)
{
	RecordedEvent event = {
		.kind = result_cstring(unseen, row, UNSEEN_KIND),
		.id = result_int64(unseen, row, MESSAGE_ID),
		.created_at = DatumGetTimestampTz(result_datum(unseen, row, MESSAGE_DATETIME)),
		.group_id = optional_id(unseen, row, MESSAGE_GROUP_ID),
		.actor_id = optional_id(unseen, row, MESSAGE_SENDER_ID),
		.recipient_id = optional_id(unseen, row, UNSEEN_RECIPIENT_ID),
		.user_id = optional_id(unseen, row, UNSEEN_USER_ID),
		.message_id = optional_id(unseen, row, UNSEEN_MESSAGE_ID)
	};

	if (!result_is_null(unseen, row, UNSEEN_DETAIL))
		event.detail = DatumGetJsonbP(result_datum(unseen, row, UNSEEN_DETAIL));
	json_begin_object(json, event.kind);
	json_recorded_event(json, &event);
	json_end_object(json);
}

static void
json_event(JsonWriter *json, const PlanResult *unseen, uint64 row)
{
	Message		message;

	json_begin_object(json, NULL);
	if (!result_is_null(unseen, row, UNSEEN_KIND))
		json_recorded(json, unseen, row);
	else
	{
		read_message(&message, unseen, row);
		json_begin_object(json, "group_message");
		json_message(json, &message);
		json_end_object(json);
	}
	json_end_object(json);
}

static Datum
answer(const Sync *sync)
{
	JsonWriter	json;

	json_begin_jsonb(&json);
	json.utc = true;
	json_begin_object(&json, NULL);
	json_begin_array(&json, "events");
	for (uint64 i = 0; i < sync->found; i++)
	{
		CHECK_FOR_INTERRUPTS();
		json_event(&json, &sync->unseen, i);
	}
	json_end_array(&json);
	json_string(&json, "cursor", cursor_text(sync->cursor));
	json_bool(&json, "more", sync->more);
	json_end_object(&json);
	return json_end_jsonb(&json);
}

/* The cursor that was passed: none, 'now', or one of an earlier answer. */
static Cursor *
sync_cursor(const Sync *sync)
{
	FunctionCallInfo fcinfo = sync->fcinfo;
	char	   *passed = PG_ARGISNULL(0) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(0));

	if (passed == NULL)
		return cursor_start(sync->user_id, sync->group_id);
	if (strcmp(passed, "now") == 0)
		return cursor_of_now(sync->user_id, sync->group_id);
	return cursor_parse(passed, sync->user_id, sync->group_id);
}

/* Who is asking, and what was seen: for the first attempt. */
static void
begin_sync(Sync *sync, MemoryContext context)
{
	MemoryContext old;

	if (sync->group_id != 0)
		check_membership(sync->user_id, sync->group_id);
	else if (!sync->everybody)
		require_user(sync->user_id);
	old = MemoryContextSwitchTo(context);
	sync->cursor = sync_cursor(sync);
	MemoryContextSwitchTo(old);
}

/*
 * One attempt, with a new snapshot.  False if it found nothing and there is time
 * left to wait; the cursor has moved on all the same.
 */
static bool
attempt(Sync *sync, bool may_wait, Datum *result)
{
	MemoryContext context = CurrentMemoryContext;
	OwnerScope	scope;
	CursorRange *old_ranges;
	bool		done;

	sync->found = 0;
	sync->more = false;
	if (sync->user_id == 0 && !sync->everybody)
		sync->user_id = acting_user(sync->fcinfo);
	PushActiveSnapshot(GetLatestSnapshot());
	owner_begin(&scope, sync->fcinfo);
	if (sync->cursor == NULL)
		begin_sync(sync, context);
	old_ranges = sync->cursor->ranges;
	if (!cursor_is_ahead(sync->cursor))
		fetch_unseen(sync, GetActiveSnapshot());
	cursor_keep_ranges(sync->cursor, old_ranges, context);
	done = sync->found > 0 || !may_wait;
	if (done)
	{
		MemoryContext old = MemoryContextSwitchTo(context);

		*result = answer(sync);
		MemoryContextSwitchTo(old);
	}
	owner_end(&scope);
	PopActiveSnapshot();
	return done;
}

/*
 * The same in a subtransaction, which ends: it has locked the tables that it read,
 * and whoever waits must not keep them from others.
 */
static bool
attempt_and_unlock(Sync *sync, bool may_wait, Datum *result)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile bool done = false;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		done = attempt(sync, may_wait, result);
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
		ReThrowError(error);
	}
	PG_END_TRY();
	return done;
}

/* ---------- waiting ---------- */

/* What pg_stat_activity says; a name of its own on 17 and later. */
static uint32
wait_event(void)
{
	static uint32 event = 0;

	if (event == 0)
		event = WaitEventExtensionNew("ChatrelSync");
	return event;
}

/*
 * Sleeps until there may be something to find, or the deadline.  Many senders wake
 * every waiter: one that is woken in vain takes longer and longer breaks.
 */
static void
wait_for_news(TimestampTz deadline, int *pause)
{
	long		left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), deadline);

	if (!queue_sleep(Min(left, WAKE_UP_MS), wait_event()))
		*pause = RETRY_MAX_MS;
	left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), deadline);
	if (*pause > 0 && left > 0)
		(void) WaitLatch(NULL, WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 Min(left, *pause), wait_event());
	CHECK_FOR_INTERRUPTS();
	*pause = *pause == 0 ? RETRY_MIN_MS : Min(2 * *pause, RETRY_MAX_MS);
}

static Datum
sync_until(Sync *sync, TimestampTz deadline)
{
	int			pause = 0;
	Datum		result;

	for (;;)
	{
		bool		may_wait = GetCurrentTimestamp() < deadline;

		if (may_wait)
			queue_prepare_to_sleep();
		if (attempt_and_unlock(sync, may_wait, &result))
			break;
		wait_for_news(deadline, &pause);
	}
	queue_cancel_sleep();
	return result;
}

/* More than LONGEST_WAIT is for ever. */
static TimestampTz
wait_deadline(const Interval *interval)
{
	double		span = interval_span(interval);

	if (span < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("wait must not be negative")));
	return GetCurrentTimestamp() + (int64) Min(span, LONGEST_WAIT);
}

/* Answers, after a wait for the first event if there is an interval at that argument. */
static Datum
sync_result(Sync *sync, int wait_argno)
{
	FunctionCallInfo fcinfo = sync->fcinfo;
	Datum		result;

	if (!PG_ARGISNULL(wait_argno))
		return sync_until(sync, wait_deadline(PG_GETARG_INTERVAL_P(wait_argno)));
	(void) attempt(sync, false, &result);
	return result;
}

Datum
chatrel_sync(PG_FUNCTION_ARGS)
{
	Sync		sync = {.fcinfo = fcinfo};

	sync.group_id = PG_ARGISNULL(1) ? 0 : PG_GETARG_INT64(1);
	sync.limit = Min(require_limit(fcinfo, 2, "event_limit"), PAGE_MAX_MESSAGES);
	if (!PG_ARGISNULL(1) && sync.group_id <= 0)
		error_group_not_found(sync.group_id);
	PG_RETURN_DATUM(sync_result(&sync, 3));
}

/* The cursors are those of a user 0, whom there is not. */
Datum
chatrel_sync_all(PG_FUNCTION_ARGS)
{
	Sync		sync = {.fcinfo = fcinfo,.everybody = true};

	sync.limit = Min(require_limit(fcinfo, 1, "event_limit"), PAGE_MAX_MESSAGES);
	PG_RETURN_DATUM(sync_result(&sync, 2));
}
