/*
 * epoch.c
 *	  The ids of messages: what a transaction does before it draws one, and how it
 *	  is known whether ids have been given again.
 *
 * A client counts ids as seen.  A database can go back to an earlier state of
 * itself without a trace, when a copy of its files is put in its place, or another
 * database made from it as a template; then it gives the same ids to other
 * messages.  Neither the WAL's position nor the transaction ids tell: both go on
 * from the earlier state, and pass what they had reached before.
 *
 * An epoch is a run of the server, in one database, in which ids were drawn.  The
 * first transaction of an epoch that draws one records the epoch, with the last id
 * that was given before it.  A copy has the epochs up to its making; once it draws
 * ids, it has an epoch of its own.  So what was seen in an epoch up to some id is
 * still so if the epoch is recorded here, and the one after it began at that id or
 * a higher one; and no id that was seen is above the last one that was given.
 *
 * The record is a row of the transaction that draws: whoever sees its ids sees
 * the record.  Several transactions may record the same epoch, as none waits for
 * another; the first has the lowest id.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"

#include "core/check.h"
#include "core/epoch.h"
#include "core/plans.h"

/* $1 start of the server, $2 database */
static SqlPlan epoch_recorded = {
	.sql = "SELECT xid" NE "pg_catalog.pg_current_xact_id() FROM chatrel.epochs"
	" WHERE started_at" EQ "$1 AND database_id" EQ "$2"
	" ORDER BY 1 DESC LIMIT 1",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(TIMESTAMPTZOID, OIDOID)
};

static SqlPlan epoch_record = {
	.sql = "INSERT INTO chatrel.epochs (started_at, database_id, last_id)"
	" SELECT $1, $2, CASE WHEN s.is_called THEN s.last_value ELSE 0 END"
	" FROM chatrel.event_ids s",
	.expected = SPI_OK_INSERT,
	PLAN_ARGS(TIMESTAMPTZOID, OIDOID)
};

static SqlPlan newest_epoch = {
	.sql = "SELECT id, started_at, database_id FROM chatrel.epochs"
	" ORDER BY id DESC LIMIT 1",
	.expected = SPI_OK_SELECT
};

/* $1 id, $2 start and $3 database of an epoch, $4 what was seen in it */
static SqlPlan epoch_goes_on = {
	.sql = "SELECT FROM chatrel.event_ids s"
	" WHERE CASE WHEN s.is_called THEN s.last_value ELSE 0 END" GE "$4"
	" AND ($1" EQ "0 OR EXISTS (SELECT FROM chatrel.epochs e"
	" WHERE e.id" EQ "$1 AND e.started_at" EQ "$2 AND e.database_id" EQ "$3))"
	" AND NOT EXISTS (SELECT FROM chatrel.epochs e"
	" WHERE e.id" GT "$1 AND e.last_id" LT "$4"
	" AND NOT (e.started_at" EQ "$2 AND e.database_id" EQ "$3))",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, TIMESTAMPTZOID, OIDOID, INT8OID)
};

/*
 * The transaction gets its xid before it draws an id: catching up relies on it
 * (cursor.c).  That the epoch is recorded is known to the session once another
 * transaction has committed the record, and by the caller's snapshot: whoever
 * reads with that one, in the same statement or transaction, sees the ids drawn
 * here, and must see the record.
 */
void
prepare_to_draw_ids(void)
{
	static bool recorded_by_others = false;
	PlanResult	recorded;
	Datum		values[] = {TimestampTzGetDatum(PgStartTime), ObjectIdGetDatum(MyDatabaseId)};

	(void) GetTopTransactionId();
	if (recorded_by_others)
		return;
	recorded = plan_run(&epoch_recorded, PLAN_READ, values, NULL);
	if (recorded.nrows == 0)
		check_changed(plan_run(&epoch_record, PLAN_WRITE, values, NULL).nrows, 1, "epochs");
	else
		recorded_by_others = DatumGetBool(result_datum(&recorded, 0, 1));
}

/* The epoch that what is visible now was sent in, or one before. */
void
read_newest_epoch(Epoch *epoch)
{
	PlanResult	newest = plan_run(&newest_epoch, PLAN_READ, NULL, NULL);

	memset(epoch, 0, sizeof(*epoch));
	if (newest.nrows == 0)
		return;
	epoch->id = result_int64(&newest, 0, 1);
	epoch->started_at = DatumGetTimestampTz(result_datum(&newest, 0, 2));
	epoch->database = DatumGetObjectId(result_datum(&newest, 0, 3));
}

/* Are all ids up to high, which were given by then in the epoch, given here too, and once? */
bool
epoch_continues(const Epoch *epoch, int64 high)
{
	Datum		values[] = {
		Int64GetDatum(epoch->id),
		TimestampTzGetDatum(epoch->started_at),
		ObjectIdGetDatum(epoch->database),
		Int64GetDatum(high)
	};

	return plan_run(&epoch_goes_on, PLAN_READ, values, NULL).nrows > 0;
}
