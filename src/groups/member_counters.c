/*
 * member_counters.c
 *	  How many members a group has, without counting them.
 *
 * As with follows (relationships/follow_counters.c), triggers on groups_members tell
 * the counters (core/counters.c) what changes.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "utils/lsyscache.h"

#include "core/counters.h"
#include "groups/member_counters.h"

static CounterTable member_counters = {
	.name = "member counters",
	.lock_class = 0x4349,
	.table = "groups_counters",
	.id_column = "group_id",
	.ncounts = 1,
	.count_columns = {"members"},
	.add_many = {
		.sql = "INSERT INTO chatrel.groups_counters AS c (group_id, slot, members)"
		" SELECT d.group_id, $1, d.members"
		" FROM ROWS FROM (pg_catalog.unnest($2), pg_catalog.unnest($3)) d (group_id, members)"
		" ON CONFLICT (group_id, slot) DO UPDATE"
		" SET members = c.members OPERATOR(pg_catalog.+) EXCLUDED.members",
		.expected = SPI_OK_INSERT,
		PLAN_ARGS(INT4OID, INT8ARRAYOID, INT8ARRAYOID)
	}
};

static const CountedColumn counted_column = {"group_id", {1}};

/* With what they have counted. */
static SqlPlan counters_take_away = {
	.sql = "WITH gone AS (DELETE FROM chatrel.groups_counters WHERE group_id" EQ "$1"
	" RETURNING members)"
	" SELECT COALESCE(pg_catalog.sum(members), 0)::pg_catalog.int8 FROM gone",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID)
};

static SqlPlan counters_truncate = {
	.sql = "TRUNCATE chatrel.groups_counters",
	.expected = SPI_OK_UTILITY
};

static SqlPlan members_of_group = {
	.sql = "SELECT COALESCE(pg_catalog.sum(members), 0)::pg_catalog.int8"
	" FROM chatrel.groups_counters WHERE group_id" EQ "$1",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID)
};

PG_FUNCTION_INFO_V1(chatrel_count_members);

/* Of a membership that is moved to another group by hand */
static void
count_move(TriggerData *trigdata)
{
	TupleDesc	tupdesc = RelationGetDescr(trigdata->tg_relation);
	int			column = SPI_fnumber(tupdesc, "group_id");
	const int64 gone[] = {-1};
	const int64 come[] = {1};
	bool		isnull;

	counters_add(&member_counters, RelationGetRelid(trigdata->tg_relation),
				 DatumGetInt64(SPI_getbinval(trigdata->tg_trigtuple, tupdesc, column, &isnull)),
				 gone);
	counters_add(&member_counters, RelationGetRelid(trigdata->tg_relation),
				 DatumGetInt64(SPI_getbinval(trigdata->tg_newtuple, tupdesc, column, &isnull)),
				 come);
}

Datum
chatrel_count_members(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;
	OwnerScope	scope;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_AFTER(trigdata->tg_event) ||
		TRIGGER_FIRED_FOR_ROW(trigdata->tg_event) != TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("chatrel.count_members() is for the triggers of chatrel.groups_members")));

	owner_begin(&scope, fcinfo);
	if (TRIGGER_FIRED_FOR_ROW(trigdata->tg_event))
		count_move(trigdata);
	else if (TRIGGER_FIRED_BY_TRUNCATE(trigdata->tg_event))
	{
		counters_forget(&member_counters);
		plan_run(&counters_truncate, PLAN_WRITE, NULL, NULL);
	}
	else
	{
		counters_add_rows(&member_counters, trigdata->tg_relation, trigdata->tg_oldtable,
						  &counted_column, 1, -1);
		counters_add_rows(&member_counters, trigdata->tg_relation, trigdata->tg_newtable,
						  &counted_column, 1, 1);
	}
	owner_end(&scope);

	return PointerGetDatum(NULL);
}

/* Takes away the counters of a group that is gone, with all of its members. */
void
member_counters_forget(int64 group_id)
{
	Datum		values[] = {Int64GetDatum(group_id)};
	PlanResult	gone = plan_run(&counters_take_away, PLAN_CASCADE, values, NULL);
	const int64 counts[] = {result_int64(&gone, 0, 1)};
	Oid			counted = get_relname_relid("groups_members", get_namespace_oid("chatrel", false));

	counters_add(&member_counters, counted, group_id, counts);
}

void
uncommitted_members(Datum *arrays)
{
	counters_all_pending(&member_counters, arrays);
}

int64
count_members(int64 group_id)
{
	Datum		values[] = {Int64GetDatum(group_id)};
	PlanResult	written = plan_run(&members_of_group, PLAN_READ, values, NULL);
	int64		pending;

	counters_pending(&member_counters, group_id, &pending);
	return result_int64(&written, 0, 1) + pending;
}

void
member_counters_init(void)
{
	counters_init(&member_counters);
}
