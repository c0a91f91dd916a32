/*
 * cursor.c
 *	  What a client has seen of its groups' messages.
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
 * A cursor says which server, timeline and position of its WAL it was taken at,
 * and from which CREATE EXTENSION, each of which makes a schema of its own oid.
 * Where history has gone another way since (a dump restored, here or elsewhere,
 * a failover that lost commits, recovery to a point in time), ids may have been
 * given again; then the cursor is refused, so that nothing is skipped silently.
 * A crash that loses commits leaves no such trace: before a message is counted
 * as seen, its commit is flushed (see sync.c).
 *
 * A standby may not have come yet to where a cursor was taken.  Its snapshots
 * say nothing of transactions that were in progress there, so it has nothing to
 * show, and leaves the cursor as it is.
 */
#include "postgres.h"

#include "access/timeline.h"
#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "access/xlogrecovery.h"
#include "catalog/namespace.h"
#include "lib/stringinfo.h"

#include "check.h"
#include "cursor.h"
#include "cursor_seal.h"

/* More transactions than this are never in progress; a text that says so is none of ours. */
#define MAX_RANGES	100000

/* ---------- where history is ---------- */

/*
 * Where the WAL ends, as a standby that has replayed all of it says.  When a page
 * is full the primary's position is after the header of the next.
 */
static XLogRecPtr
end_of_wal(void)
{
	XLogRecPtr	position = GetXLogInsertRecPtr();

	if (XLogSegmentOffset(position, wal_segment_size) == SizeOfXLogLongPHD)
		return position - SizeOfXLogLongPHD;
	if (position % XLOG_BLCKSZ == SizeOfXLogShortPHD)
		return position - SizeOfXLogShortPHD;
	return position;
}

static XLogRecPtr
current_position(TimeLineID *timeline)
{
	if (RecoveryInProgress())
		return GetXLogReplayRecPtr(timeline);
	*timeline = GetWALInsertionTimeLine();
	return end_of_wal();
}

static void
error_other_history(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("the cursor is not of this server's history"),
			 errdetail("Messages that it counts as seen may have been lost, and their ids given again."),
			 errhint("Load what is shown with group_messages() or get_group_with_chat_history(), and go on with a new cursor.")));
}

/* Refuses a cursor of a server, or of a time, that this one does not continue. */
static void
check_history(uint64 system, TimeLineID timeline, XLogRecPtr position, uint64 schema)
{
	TimeLineID	current_timeline;
	XLogRecPtr	current;
	XLogRecPtr	switched;
	TimeLineID	next;
	List	   *history;

	current = current_position(&current_timeline);
	if (system != GetSystemIdentifier() || schema != get_namespace_oid("chatrel", false))
		error_other_history();
	if (timeline == current_timeline)
	{
		/* A standby may be behind the primary; a primary is behind nobody. */
		if (!RecoveryInProgress() && position > current)
			error_other_history();
		return;
	}
	history = readTimeLineHistory(current_timeline);
	if (!tliInHistory(timeline, history))
		error_other_history();
	switched = tliSwitchPoint(timeline, history, &next);
	if (position > switched)
		error_other_history();
}

/* ---------- text ---------- */

static void
error_cursor(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid cursor"),
			 errhint("Pass the cursor of an earlier answer as it was, 'now', or null for all messages.")));
}

/* A number in hexadecimal digits, and the character after it. */
static uint64
parse_number(const char **text, char end)
{
	uint64		value = 0;
	const char *p = *text;

	for (; isxdigit((unsigned char) *p); p++)
	{
		if (p - *text == 16)
			error_cursor();
		value = (value << 4) | (isdigit((unsigned char) *p) ? *p - '0' : (*p | 0x20) - 'a' + 10);
	}
	if (p == *text || *p != end)
		error_cursor();
	*text = end == '\0' ? p : p + 1;
	return value;
}

static int64
parse_id(const char **text, char end)
{
	uint64		value = parse_number(text, end);

	if (value > (uint64) PG_INT64_MAX)
		error_cursor();
	return (int64) value;
}

static void
parse_ranges(Cursor *cursor, const char *text)
{
	uint64		last = 0;

	cursor->nranges = 0;
	for (const char *p = text; *p != '\0'; p++)
		cursor->nranges += *p == ';';
	if (cursor->nranges > MAX_RANGES)
		error_cursor();

	cursor->ranges = palloc_array(CursorRange, Max(cursor->nranges, 1));
	for (int i = 0; i < cursor->nranges; i++)
	{
		CursorRange *range = &cursor->ranges[i];

		range->lo = parse_number(&text, '-');
		range->hi = parse_number(&text, ':');
		range->seen = parse_id(&text, ';');
		if (range->lo < last || range->hi <= range->lo)
			error_cursor();
		last = range->hi;
	}
	if (*text != '\0')
		error_cursor();
}

/* A cursor goes on where it was taken: for the same user, and the same groups. */
Cursor *
cursor_parse(const char *sealed, int64 user_id, int64 group_id)
{
	const char *text = cursor_unseal(sealed);
	Cursor	   *cursor = (Cursor *) palloc0(sizeof(Cursor));
	uint64		system;
	uint64		timeline;
	uint64		schema;

	if (strncmp(text, "1.", 2) != 0)
		error_cursor();
	text += 2;
	system = parse_number(&text, '.');
	timeline = parse_number(&text, '.');
	cursor->position = parse_number(&text, '.');
	schema = parse_number(&text, '.');
	cursor->user_id = parse_id(&text, '.');
	cursor->group_id = parse_id(&text, '.');
	cursor->high = parse_id(&text, '.');
	parse_ranges(cursor, text);

	if (timeline > PG_UINT32_MAX)
		error_cursor();
	if (cursor->user_id != user_id || cursor->group_id != group_id)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the cursor is of another user, or of other groups"),
				 errdetail("It was taken by user %lld for group %lld (0 is all groups), and used by user %lld for group %lld.",
						   (long long) cursor->user_id, (long long) cursor->group_id,
						   (long long) user_id, (long long) group_id)));
	check_history(system, (TimeLineID) timeline, cursor->position, schema);
	if (!cursor_seal_is_right(sealed))
		error_cursor();
	return cursor;
}

/* Was it taken where this standby has not come to yet? */
bool
cursor_is_ahead(const Cursor *cursor)
{
	TimeLineID	timeline;

	return RecoveryInProgress() && cursor->position > current_position(&timeline);
}

char *
cursor_text(const Cursor *cursor)
{
	StringInfoData text;
	TimeLineID	timeline;
	XLogRecPtr	position = current_position(&timeline);

	if (RecoveryInProgress())
		position = Max(position, cursor->position);
	initStringInfo(&text);
	appendStringInfo(&text, "1.%llx.%x.%llx.%x.%llx.%llx.%llx.",
					 (unsigned long long) GetSystemIdentifier(), timeline,
					 (unsigned long long) position,
					 get_namespace_oid("chatrel", false),
					 (unsigned long long) cursor->user_id,
					 (unsigned long long) cursor->group_id,
					 (unsigned long long) cursor->high);
	for (int i = 0; i < cursor->nranges; i++)
		appendStringInfo(&text, "%llx-%llx:%llx;",
						 (unsigned long long) cursor->ranges[i].lo,
						 (unsigned long long) cursor->ranges[i].hi,
						 (unsigned long long) cursor->ranges[i].seen);
	return cursor_seal(text.data);
}

/* ---------- transactions in progress ---------- */

static int
compare_xids(const void *a, const void *b)
{
	uint64		x = *(const uint64 *) a;
	uint64		y = *(const uint64 *) b;

	return x < y ? -1 : x > y;
}

/* Appends a range to others, or to the last of them if it only goes on. */
static void
append_range(CursorRange *ranges, int *n, uint64 lo, uint64 hi, int64 seen)
{
	if (*n > 0 && ranges[*n - 1].hi == lo && ranges[*n - 1].seen == seen)
		ranges[*n - 1].hi = hi;
	else
		ranges[(*n)++] = (CursorRange) {lo, hi, seen};
}

static void
add_range(CursorRange *ranges, int *n, uint64 lo, uint64 hi)
{
	if (lo < hi)
		append_range(ranges, n, lo, hi, 0);
}

/*
 * The transactions in progress in a snapshot that was just taken, but for this
 * one: it sees its own messages.
 */
static CursorRange *
in_progress(Snapshot snapshot, int *nranges)
{
	uint64		next = U64FromFullTransactionId(ReadNextFullTransactionId());
	uint64		own = U64FromFullTransactionId(GetTopFullTransactionIdIfAny());

	/* In recovery all are where subtransactions otherwise are. */
	TransactionId *xip = snapshot->takenDuringRecovery ? snapshot->subxip : snapshot->xip;
	int			xcnt = snapshot->takenDuringRecovery ? snapshot->subxcnt : (int) snapshot->xcnt;
	CursorRange *ranges = palloc_array(CursorRange, xcnt + 2);
	uint64	   *xids = palloc_array(uint64, Max(xcnt, 1));
	uint64		xmax = next - (TransactionId) ((TransactionId) next - snapshot->xmax);

	for (int i = 0; i < xcnt; i++)
		xids[i] = next - (TransactionId) ((TransactionId) next - xip[i]);
	qsort(xids, xcnt, sizeof(uint64), compare_xids);

	*nranges = 0;
	for (int i = 0; i < xcnt; i++)
		if (xids[i] != own)
			add_range(ranges, nranges, xids[i], xids[i] + 1);
	if (own >= xmax && own < next)
	{
		add_range(ranges, nranges, xmax, own);
		add_range(ranges, nranges, own + 1, next);
	}
	else
		add_range(ranges, nranges, xmax, next);
	pfree(xids);
	return ranges;
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

/* Everything up to high has been seen that is visible in the snapshot. */
void
cursor_advance(Cursor *cursor, Snapshot snapshot, int64 high)
{
	cursor->high = Max(cursor->high, high);
	cursor->ranges = in_progress(snapshot, &cursor->nranges);
}

/*
 * Everything up to last, which is below high, has been seen that is visible in
 * the snapshot.  What is not, and is in a range, stays as it was there.
 */
void
cursor_advance_within(Cursor *cursor, Snapshot snapshot, int64 last)
{
	int			nhidden;
	CursorRange *hidden = in_progress(snapshot, &nhidden);
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

/* Moves the ranges to the current memory context, where the old ones are freed. */
void
cursor_keep_ranges(Cursor *cursor, CursorRange *old_ranges)
{
	Size		size = cursor->nranges * sizeof(CursorRange);

	cursor->ranges = memcpy(palloc(size), cursor->ranges, size);
	if (old_ranges != NULL)
		pfree(old_ranges);
}
