/*
 * read_marks.c
 *	  How far a member has read a group.
 *
 * The mark is the id of a message: that and all below have been read, but for those
 * of transactions that were in progress when the mark was made.  They may commit
 * later, with ids below the mark.  So the mark has these transactions: every message
 * with an id up to the mark's had its id drawn before the mark's message was
 * visible, and its transaction had its xid before that; hence it is visible in the
 * snapshot in which the mark's message was found, or its xid is one that this
 * snapshot has in progress, or it is between the snapshot's end and the next xid to
 * be given, which is read after the snapshot was taken.  (Under REPEATABLE READ the
 * snapshot is as old as the transaction, and so much longer is that last range.)
 *
 * The locks are the membership and then the mark.  A send touches neither: what is
 * unread is counted when it is asked for (unread.c).
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/snapmgr.h"

#include "core/check.h"
#include "core/identity.h"
#include "core/in_progress.h"
#include "core/plans.h"
#include "delivery/events.h"
#include "groups/members.h"

static SqlPlan last_message = {
	.sql = "SELECT id FROM chatrel.groups_messages"
	" WHERE group_id" EQ "$1 AND id" LE "$2 ORDER BY id DESC LIMIT 1",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, INT8OID),
	.by_index = true
};

/* Of two calls for the same mark the second waits for the first, and then compares. */
static SqlPlan mark_move = {
	.sql = "INSERT INTO chatrel.read_marks AS mark"
	" (group_id, user_id, message_id, late_from, late_to) VALUES ($1, $2, $3, $4, $5)"
	" ON CONFLICT (user_id, group_id) DO UPDATE SET message_id = EXCLUDED.message_id,"
	" late_from = EXCLUDED.late_from, late_to = EXCLUDED.late_to, marked_at = EXCLUDED.marked_at"
	" WHERE mark.message_id" LT "EXCLUDED.message_id",
	.expected = SPI_OK_INSERT,
	PLAN_ARGS(INT8OID, INT8OID, INT8OID, XID8ARRAYOID, XID8ARRAYOID)
};

/* What has come late meanwhile has been read, too. */
static SqlPlan mark_refresh = {
	.sql = "UPDATE chatrel.read_marks"
	" SET late_from = $4, late_to = $5, marked_at = pg_catalog.now()"
	" WHERE group_id" EQ "$1 AND user_id" EQ "$2 AND message_id" EQ "$3"
	" AND late_to" NE "'{}' AND late_to" NE "$5",
	.expected = SPI_OK_UPDATE,
	PLAN_ARGS(INT8OID, INT8OID, INT8OID, XID8ARRAYOID, XID8ARRAYOID)
};

static SqlPlan mark_of_member = {
	.sql = "SELECT message_id FROM chatrel.read_marks"
	" WHERE group_id" EQ "$1 AND user_id" EQ "$2",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, INT8OID)
};

PG_FUNCTION_INFO_V1(chatrel_mark_read);

static Datum
xid_array(Datum *xids, int n)
{
	return PointerGetDatum(construct_array(xids, n, XID8OID, 8, FLOAT8PASSBYVAL,
										   TYPALIGN_DOUBLE));
}

/* The transactions that are in progress in a snapshot, as two arrays */
static void
late_transactions(Snapshot snapshot, Datum *late_from, Datum *late_to)
{
	int			n;
	XidRange   *ranges = xids_in_progress(snapshot, &n);
	Datum	   *lo = palloc_array(Datum, n);
	Datum	   *hi = palloc_array(Datum, n);

	for (int i = 0; i < n; i++)
	{
		lo[i] = UInt64GetDatum(ranges[i].lo);
		hi[i] = UInt64GetDatum(ranges[i].hi);
	}
	*late_from = xid_array(lo, n);
	*late_to = xid_array(hi, n);
}

/*
 * The last message up to that id, 0 if there is none, and the transactions that may
 * come late.  An id that no message has is a place as any other.
 */
static int64
find_mark(int64 group_id, int64 up_to, Datum *late_from, Datum *late_to)
{
	Datum		values[] = {Int64GetDatum(group_id), Int64GetDatum(up_to)};
	PlanResult	last;

	PushActiveSnapshot(GetTransactionSnapshot());
	last = plan_run(&last_message, PLAN_READ, values, NULL);
	late_transactions(GetActiveSnapshot(), late_from, late_to);
	PopActiveSnapshot();
	return last.nrows > 0 ? result_int64(&last, 0, 1) : 0;
}

static void
announce_mark(int64 group_id, int64 user_id, int64 message_id)
{
	JsonWriter	event;

	event_begin(&event, "read");
	json_id(&event, "group_id", group_id);
	json_id(&event, "user_id", user_id);
	json_id(&event, "message_id", message_id);
	announce(EVENT_GROUP, group_id, true, &event);
}

/* Moves the mark forward, and returns where it is: 0 where nothing was to be read yet. */
static int64
mark_read(int64 user_id, int64 group_id, int64 up_to)
{
	Datum		values[5] = {Int64GetDatum(group_id), Int64GetDatum(user_id)};
	int64		target = find_mark(group_id, up_to, &values[3], &values[4]);
	PlanResult	mark;

	values[2] = Int64GetDatum(target);
	if (target > 0 && plan_run(&mark_move, PLAN_WRITE, values, NULL).nrows > 0)
	{
		announce_mark(group_id, user_id, target);
		return target;
	}
	(void) plan_run(&mark_refresh, PLAN_WRITE, values, NULL);
	mark = plan_run(&mark_of_member, PLAN_WRITE, values, NULL);
	if (target > 0 && (mark.nrows == 0 || result_int64(&mark, 0, 1) < target))
		error_change_suppressed("read_marks");
	return mark.nrows > 0 ? result_int64(&mark, 0, 1) : 0;
}

Datum
chatrel_mark_read(PG_FUNCTION_ARGS)
{
	int64		group_id = require_int64(fcinfo, 0, "group_id");
	int64		up_to = PG_ARGISNULL(1) ? PG_INT64_MAX : PG_GETARG_INT64(1);
	int64		user_id = acting_user(fcinfo);
	OwnerScope	scope;
	int64		mark;

	owner_begin(&scope, fcinfo);
	lock_membership(user_id, group_id, ACT_KEEP);
	mark = mark_read(user_id, group_id, up_to);
	owner_end(&scope);

	PG_RETURN_INT64(mark);
}
