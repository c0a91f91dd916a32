/*
 * cursor.c
 *	  What a client has seen of messages and events.
 *
 * What follows is said of messages and sends, and holds for recorded events as well:
 * their ids come from the same sequence, and are drawn after the same two steps
 * (delivery/record.c).
 *
 * Ids are drawn from a sequence before their transactions commit, so a message
 * may become visible after one with a higher id: "id > the highest I have seen"
 * skips it.  A cursor is therefore that highest id, and the transactions that
 * were in progress when it was taken.
 *
 * Proof that nothing else can be missing.  Let H be the highest id that was
 * visible in snapshot S, and R a message with a lower id that was not.  A send
 * has its xid before it draws its id, and the sequence gives ids in rising
 * order (its cache is 1).  So R's xid was assigned before R's id was drawn, that
 * before H's id was drawn, that before H was committed, that before S was
 * taken.  At S, R's xid was assigned and R not visible: its transaction was
 * aborted, or in progress at S.
 *
 * "In progress at S" are the transactions that S lists, and those from its xmax
 * on, as xmax is only one more than the last that has ended; of these, the ones
 * below the next xid at a time after S are all that matter.  They are kept as
 * ranges of xids.
 *
 * On a standby the next xid is the one that the WAL has shown: it has shown R's
 * before H's commit, as a send locks the membership, and writes that to the WAL
 * with its xid, before it draws its id.
 *
 * A page may end before the last message that is visible.  If it ends above the
 * old high, everything below its last id has been seen that is visible in its
 * snapshot, and the same proof holds with that id for H.  If it ends below, high
 * stays, and in the ranges the transactions that are visible now have been seen
 * up to the last id, the others not at all.
 *
 * Messages that were restored from a dump keep the xids of the server they were
 * sent on, which may be in progress here.  They are visible when a cursor is
 * taken, which no message of a transaction in progress is: so a range begins
 * with what is visible of it as seen (see sync.c).
 *
 * All of this holds while ids are given once.  A database can go back to an
 * earlier state of itself and give ids again; or rows that were seen can be
 * replaced.  So a cursor says where it was taken, and is refused where what it
 * counts as seen may not be what is there:
 *
 *	  system, timeline, position of the WAL	another server; a failover that lost
 *				commits; recovery to a point in time
 *	  schema	another CREATE EXTENSION
 *	  epoch		a copy of the files put in place of the database, without a trace in
 *				the above; a copy made by CREATE DATABASE; a sequence set back
 *	  anchor	the last message that was seen is not there as it was: rows were
 *				taken away and others loaded
 *
 * Old rows are deleted on purpose, too.  What was purged is noted (messages/purge.c):
 * a cursor that had seen it all goes on, without its anchor, and another is refused.
 *
 * The anchor is of a transaction that had committed, as a message of one's own
 * transaction may be rolled back, which skips nothing.
 *
 * A crash that loses commits leaves no trace at all: before a message is counted
 * as seen, its commit is flushed (see sync.c).
 *
 * A standby may not have come yet to where a cursor was taken.  Its snapshots
 * say nothing of transactions that were in progress there, so it has nothing to
 * show, and leaves the cursor as it is.
 */
#include "postgres.h"

#include "access/timeline.h"
#include "access/xlog.h"
#include "access/xlogrecovery.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"

#include "core/in_progress.h"
#include "core/plans.h"
#include "messages/message.h"
#include "receive/cursor.h"
#include "receive/cursor_seal.h"

static SqlPlan anchor_find = {
	.sql = "SELECT FROM chatrel.groups_messages t WHERE " MESSAGE_ORDER("t") EQ "$1 AND t.xid" EQ "$2"
	" UNION ALL SELECT FROM chatrel.events e WHERE e.id" EQ "$1 AND e.xid" EQ "$2"
	" UNION ALL SELECT FROM chatrel.purges p WHERE p.up_to_id" GE "$1",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, XID8OID),
	.by_index = true
};

/* $1 high, $2 the first transaction that was in progress, $3 user, $4 group; 0 is everybody, all */
static SqlPlan purged_unseen = {
	.sql = "SELECT FROM chatrel.purges p"
	" WHERE (p.up_to_id" GT "$1 OR p.up_to_xid" GE "$2)"
	" AND CASE WHEN p.group_id" EQ "0 OR $3" EQ "0 THEN true"
	" WHEN $4" NE "0 THEN p.group_id" EQ "$4"
	" ELSE EXISTS (SELECT FROM chatrel.groups_members m"
	" WHERE m.group_id" EQ "p.group_id AND m.user_id" EQ "$3) END",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, XID8OID, INT8OID, INT8OID),
	.by_index = true
};

/* ---------- where history is ---------- */

/*
 * On a primary, as far as the WAL is flushed: a crash takes back what is beyond,
 * of which nothing has been seen.
 */
static XLogRecPtr
current_position(TimeLineID *timeline)
{
	if (RecoveryInProgress())
		return GetXLogReplayRecPtr(timeline);
	return GetFlushRecPtr(timeline);
}

static void
error_other_history(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("cursor belongs to another history of the database"),
			 errdetail("Messages that it counts as seen may have been lost, and their ids given again."),
			 errhint("Load the history with get_group_with_chat_history(), and go on with its cursor.")));
}

static CursorOrigin
current_origin(void)
{
	CursorOrigin origin;

	origin.system = GetSystemIdentifier();
	origin.position = current_position(&origin.timeline);
	origin.schema = get_namespace_oid("chatrel", false);
	read_newest_epoch(&origin.epoch);
	return origin;
}

/*
 * Was anything purged that the cursor has not seen, and that it would have to
 * show?  Of the transactions that were in progress what had not come may be gone.
 */
static bool
misses_purged(const Cursor *cursor)
{
	uint64		first = cursor->nranges > 0 ? cursor->ranges[0].lo : PG_UINT64_MAX;
	Datum		values[] = {
		Int64GetDatum(cursor->high),
		UInt64GetDatum(first),
		Int64GetDatum(cursor->user_id),
		Int64GetDatum(cursor->group_id)
	};

	return plan_run(&purged_unseen, PLAN_READ, values, NULL).nrows > 0;
}

static void
error_purged(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("cursor is older than what was purged"),
			 errdetail("Messages or events that it has not seen were deleted."),
			 errhint("Load the history with get_group_with_chat_history(), and go on with its cursor.")));
}

static bool
anchor_is_there(const CursorAnchor *anchor)
{
	Datum		values[] = {Int64GetDatum(anchor->id), Int64GetDatum(anchor->xid)};

	return anchor->id == 0 || plan_run(&anchor_find, PLAN_READ, values, NULL).nrows > 0;
}

/* Refuses a cursor that counts as seen what is not there. */
static void
check_contents(const Cursor *cursor)
{
	if (!epoch_continues(&cursor->origin.epoch, cursor->high) || !anchor_is_there(&cursor->anchor))
		error_other_history();
	if (misses_purged(cursor))
		error_purged();
}

/* Refuses a cursor of a server, or of a time, that this one does not continue. */
static void
check_history(const CursorOrigin *origin)
{
	CursorOrigin current = current_origin();
	XLogRecPtr	switched;
	TimeLineID	next;
	List	   *history;

	if (origin->system != current.system || origin->schema != current.schema)
		error_other_history();
	if (origin->timeline == current.timeline)
	{
		/* A standby may be behind the primary; a primary is behind nobody. */
		if (!RecoveryInProgress() && origin->position > current.position)
			error_other_history();
		return;
	}
	history = readTimeLineHistory(current.timeline);
	if (!tliInHistory(origin->timeline, history))
		error_other_history();
	switched = tliSwitchPoint(origin->timeline, history, &next);
	if (origin->position > switched)
		error_other_history();
}

/* ---------- text ---------- */

/* A cursor goes on where it was taken: for the same user, and the same groups. */
Cursor *
cursor_parse(const char *sealed, int64 user_id, int64 group_id)
{
	Cursor	   *cursor = cursor_text_parse(cursor_unseal(sealed));

	if (cursor->user_id != user_id || cursor->group_id != group_id)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("cursor belongs to another user or group"),
				 errdetail("It was taken by user %lld for group %lld (0 is all groups), and used by user %lld for group %lld.",
						   (long long) cursor->user_id, (long long) cursor->group_id,
						   (long long) user_id, (long long) group_id)));
	check_history(&cursor->origin);
	if (!cursor_seal_is_right(sealed))
		error_cursor();
	if (!cursor_is_ahead(cursor))
		check_contents(cursor);
	return cursor;
}

/* Was it taken where this standby has not come to yet? */
bool
cursor_is_ahead(const Cursor *cursor)
{
	TimeLineID	timeline;

	return RecoveryInProgress() && cursor->origin.position > current_position(&timeline);
}

/*
 * Its text as of here and now; where a standby is behind it, as of where it was
 * taken.
 */
char *
cursor_text(const Cursor *cursor)
{
	Cursor		taken = *cursor;

	if (cursor_is_ahead(cursor))
		return cursor_seal(cursor_text_print(cursor));
	taken.origin = current_origin();
	return cursor_seal(cursor_text_print(&taken));
}

/* ---------- moving on ---------- */

/* One that has seen nothing yet. */
Cursor *
cursor_start(int64 user_id, int64 group_id)
{
	Cursor	   *cursor = (Cursor *) palloc0(sizeof(Cursor));

	cursor->user_id = user_id;
	cursor->group_id = group_id;
	return cursor;
}

/* Appends a range to others, or to the last of them if it only goes on. */
static void
append_range(CursorRange *ranges, int *n, uint64 lo, uint64 hi, int64 seen)
{
	if (*n > 0 && ranges[*n - 1].hi == lo && ranges[*n - 1].seen == seen)
		ranges[*n - 1].hi = hi;
	else
	{
		CursorRange *range = &ranges[(*n)++];

		range->lo = lo;
		range->hi = hi;
		range->seen = seen;
	}
}

/* Everything up to high has been seen that is visible in the snapshot. */
void
cursor_advance(Cursor *cursor, Snapshot snapshot, int64 high)
{
	int			nhidden;
	XidRange   *hidden = xids_in_progress(snapshot, &nhidden);

	cursor->high = Max(cursor->high, high);
	cursor->ranges = palloc_array(CursorRange, nhidden);
	cursor->nranges = 0;
	for (int i = 0; i < nhidden; i++)
		append_range(cursor->ranges, &cursor->nranges, hidden[i].lo, hidden[i].hi, 0);
}

/*
 * Everything up to last, which is below high, has been seen that is visible in
 * the snapshot.  What is not, and is in a range, stays as it was there.
 */
void
cursor_advance_within(Cursor *cursor, Snapshot snapshot, int64 last)
{
	int			nhidden;
	XidRange   *hidden = xids_in_progress(snapshot, &nhidden);
	CursorRange *ranges = palloc_array(CursorRange, 2 * (cursor->nranges + nhidden) + 1);
	int			n = 0;

	for (int i = 0, h = 0; i < cursor->nranges; i++)
	{
		CursorRange old = cursor->ranges[i];

		while (old.lo < old.hi)
		{
			uint64		end = old.hi;
			bool		visible = true;

			while (h < nhidden && hidden[h].hi <= old.lo)
				h++;
			if (h < nhidden && hidden[h].lo <= old.lo)
			{
				visible = false;
				end = Min(end, hidden[h].hi);
			}
			else if (h < nhidden)
				end = Min(end, hidden[h].lo);
			append_range(ranges, &n, old.lo, end, visible ? Max(old.seen, last) : old.seen);
			old.lo = end;
		}
	}
	cursor->ranges = ranges;
	cursor->nranges = n;
}

/* Moves new ranges to the memory context of the old ones, which are freed. */
void
cursor_keep_ranges(Cursor *cursor, CursorRange *old, MemoryContext context)
{
	Size		size = cursor->nranges * sizeof(CursorRange);

	if (cursor->ranges == old)
		return;
	cursor->ranges = memcpy(MemoryContextAlloc(context, size), cursor->ranges, size);
	if (old != NULL)
		pfree(old);
}
