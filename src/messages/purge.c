/*
 * purge.c
 *	  Deleting old messages and events, for good.
 *
 * What is purged is noted with it: a cursor that has not seen all of it would skip
 * something, and is refused (src/receive/cursor.c), and one that has goes on,
 * though the last message that it saw may be gone.  Rows are deleted in the order
 * of their ids, and the note is written last.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "utils/rel.h"

#include "core/check.h"
#include "core/plans.h"
#include "groups/member_counters.h"
#include "messages/message.h"

/* What was deleted: how many rows, the last of them, and the highest xid */
typedef struct Purged
{
	int64		count;
	int64		up_to_id;
	int64		up_to_xid;
} Purged;

/* The same, as a plan gives it */
#define DELETED \
	" SELECT pg_catalog.count(*), COALESCE(pg_catalog.max(id), 0)," \
	" COALESCE(pg_catalog.max(xid::pg_catalog.text::pg_catalog.int8), 0) FROM deleted"

/* $1 before, $2 at most, $3 group */
static SqlPlan messages_purge_all = {
	.sql = "WITH old AS MATERIALIZED (SELECT t.group_id, t.id FROM chatrel.groups_messages t"
	" WHERE t.datetime" LT "$1 ORDER BY " MESSAGE_ORDER("t") " LIMIT $2 FOR UPDATE),"
	" deleted AS (DELETE FROM chatrel.groups_messages t USING old"
	" WHERE t.group_id" EQ "old.group_id AND t.id" EQ "old.id RETURNING t.id, t.xid)" DELETED,
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(TIMESTAMPTZOID, INT8OID, INT8OID),
	.by_index = true
};

static SqlPlan messages_purge_group = {
	.sql = "WITH old AS MATERIALIZED (SELECT t.group_id, t.id FROM chatrel.groups_messages t"
	" WHERE t.group_id" EQ "$3 AND t.datetime" LT "$1 ORDER BY t.id LIMIT $2 FOR UPDATE),"
	" deleted AS (DELETE FROM chatrel.groups_messages t USING old"
	" WHERE t.group_id" EQ "old.group_id AND t.id" EQ "old.id RETURNING t.id, t.xid)" DELETED,
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(TIMESTAMPTZOID, INT8OID, INT8OID),
	.by_index = true
};

static SqlPlan events_purge_all = {
	.sql = "WITH old AS MATERIALIZED (SELECT e.id FROM chatrel.events e"
	" WHERE e.created_at" LT "$1 ORDER BY e.id LIMIT $2 FOR UPDATE),"
	" deleted AS (DELETE FROM chatrel.events e USING old"
	" WHERE e.id" EQ "old.id RETURNING e.id, e.xid)" DELETED,
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(TIMESTAMPTZOID, INT8OID, INT8OID),
	.by_index = true
};

static SqlPlan events_purge_group = {
	.sql = "WITH old AS MATERIALIZED (SELECT e.id FROM chatrel.events e"
	" WHERE e.group_id" EQ "$3 AND e.recipient_id IS NULL AND e.created_at" LT "$1"
	" ORDER BY e.id LIMIT $2 FOR UPDATE),"
	" deleted AS (DELETE FROM chatrel.events e USING old"
	" WHERE e.id" EQ "old.id RETURNING e.id, e.xid)" DELETED,
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(TIMESTAMPTZOID, INT8OID, INT8OID),
	.by_index = true
};

/* $1 group, or 0; $2 the last id, $3 the highest xid */
static SqlPlan purge_note = {
	.sql = "INSERT INTO chatrel.purges AS p (group_id, up_to_id, up_to_xid)"
	" VALUES ($1, $2, $3::pg_catalog.text::pg_catalog.xid8)"
	" ON CONFLICT (group_id) DO UPDATE SET up_to_id = GREATEST(p.up_to_id, EXCLUDED.up_to_id),"
	" up_to_xid = GREATEST(p.up_to_xid, EXCLUDED.up_to_xid), purged_at = EXCLUDED.purged_at",
	.expected = SPI_OK_INSERT,
	PLAN_ARGS(INT8OID, INT8OID, INT8OID)
};

static SqlPlan last_id = {
	.sql = "SELECT last_value FROM chatrel.event_ids",
	.expected = SPI_OK_SELECT
};

static SqlPlan group_events_delete = {
	.sql = "WITH gone AS MATERIALIZED (SELECT e.id FROM chatrel.events e"
	" WHERE e.group_id" EQ "$1 AND e.recipient_id IS NULL ORDER BY e.id FOR UPDATE)"
	" DELETE FROM chatrel.events e USING gone WHERE e.id" EQ "gone.id",
	.expected = SPI_OK_DELETE,
	PLAN_ARGS(INT8OID),
	.by_index = true
};

PG_FUNCTION_INFO_V1(chatrel_purge_messages);
PG_FUNCTION_INFO_V1(chatrel_note_deleted_group);

static void
note_purge(int64 group_id, const Purged *purged)
{
	Datum		values[] = {Int64GetDatum(group_id), Int64GetDatum(purged->up_to_id),
	Int64GetDatum(purged->up_to_xid)};

	plan_run(&purge_note, PLAN_LATEST, values, NULL);
}

/* Deletes rows, as many as are left of the batch. */
static void
purge(SqlPlan *plan, TimestampTz before, int64 batch, int64 group_id, Purged *purged)
{
	Datum		values[] = {TimestampTzGetDatum(before), Int64GetDatum(batch - purged->count),
	Int64GetDatum(group_id)};
	PlanResult	deleted = plan_run(plan, PLAN_WRITE, values, NULL);

	purged->count += result_int64(&deleted, 0, 1);
	purged->up_to_id = Max(purged->up_to_id, result_int64(&deleted, 0, 2));
	purged->up_to_xid = Max(purged->up_to_xid, result_int64(&deleted, 0, 3));
}

Datum
chatrel_purge_messages(PG_FUNCTION_ARGS)
{
	bool		all = PG_ARGISNULL(1);
	int64		group_id = all ? 0 : PG_GETARG_INT64(1);
	int64		batch = require_limit(fcinfo, 2, "batch");
	TimestampTz before;
	Purged		purged = {0};
	OwnerScope	scope;

	check_not_null(fcinfo, 0, "before");
	before = PG_GETARG_TIMESTAMPTZ(0);

	PreventCommandIfReadOnly("chatrel.purge_messages()");
	owner_begin(&scope, fcinfo);
	purge(all ? &messages_purge_all : &messages_purge_group, before, batch, group_id, &purged);
	if (purged.count < batch)
		purge(all ? &events_purge_all : &events_purge_group, before, batch, group_id, &purged);
	if (purged.count > 0)
		note_purge(group_id, &purged);
	owner_end(&scope);

	PG_RETURN_INT64(purged.count);
}

/*
 * A group that is deleted takes its messages along, and they may be the last that
 * others have seen.
 */
Datum
chatrel_note_deleted_group(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;
	TupleDesc	tupdesc;
	OwnerScope	scope;
	PlanResult	last;
	Purged		purged = {0};
	Datum		values[1];
	bool		isnull;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_AFTER(trigdata->tg_event) ||
		!TRIGGER_FIRED_BY_DELETE(trigdata->tg_event) || !TRIGGER_FIRED_FOR_ROW(trigdata->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("chatrel.note_deleted_group() is for the trigger of chatrel.groups")));

	tupdesc = RelationGetDescr(trigdata->tg_relation);
	values[0] = SPI_getbinval(trigdata->tg_trigtuple, tupdesc, SPI_fnumber(tupdesc, "id"), &isnull);
	owner_begin(&scope, fcinfo);
	plan_run(&group_events_delete, PLAN_CASCADE, values, NULL);
	last = plan_run(&last_id, PLAN_WRITE, NULL, NULL);
	purged.up_to_id = result_int64(&last, 0, 1);
	note_purge(DatumGetInt64(values[0]), &purged);
	member_counters_forget(DatumGetInt64(values[0]));
	owner_end(&scope);
	return PointerGetDatum(NULL);
}
