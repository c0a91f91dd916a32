/*
 * link_verify.c
 *	  Finds where chatrel.users is not what the linked table says, and puts it
 *	  right: whatever wrote one of them while no trigger fired.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"

#include "core/check.h"
#include "core/compat.h"
#include "users/guard.h"
#include "users/link_compare.h"
#include "users/link_triggers.h"
#include "users/users.h"

/* $1 the table, $2 its name when it was linked, $3 the names of the triggers */
static SqlPlan link_faults = {
	.sql = "WITH tables AS (SELECT $1::pg_catalog.oid AS relid"
	" UNION SELECT relid FROM pg_catalog.pg_partition_tree($1)),"
	" triggers AS (SELECT t.* FROM pg_catalog.pg_trigger t JOIN tables ON relid" EQ "tgrelid"
	" WHERE tgfoid" EQ "pg_catalog.to_regprocedure('chatrel.mirror_user()'))"
	" SELECT 'trigger_missing', pg_catalog.format('table %s has no trigger %I any more', $1::pg_catalog.regclass, name)"
	" FROM pg_catalog.unnest($3) AS wanted (name)"
	" WHERE NOT EXISTS (SELECT FROM triggers WHERE tgrelid" EQ "$1 AND tgname" EQ "name)"
	" UNION ALL SELECT 'trigger_disabled', pg_catalog.format('trigger %I of table %s is disabled', tgname, tgrelid::pg_catalog.regclass)"
	" FROM triggers WHERE tgenabled" EQ "ANY (ARRAY['D', 'R']::pg_catalog.\"char\"[])"
	" UNION ALL SELECT 'child_table', pg_catalog.format('table %s inherits from the linked one, and its rows are no users', inhrelid::pg_catalog.regclass)"
	" FROM pg_catalog.pg_inherits JOIN pg_catalog.pg_class c ON c.oid" EQ "inhparent"
	" WHERE inhparent" EQ "$1 AND relkind" EQ "'r'"
	" UNION ALL SELECT 'unlogged', pg_catalog.format('table %s loses its rows in a crash', c.oid::pg_catalog.regclass)"
	" FROM pg_catalog.pg_class c JOIN tables ON relid" EQ "c.oid WHERE relpersistence" NE "'p'"
	" UNION ALL SELECT 'table_replaced', pg_catalog.format('another table is called %s now', $2)"
	" WHERE pg_catalog.to_regclass($2)" NE "$1"
	" ORDER BY 1, 2",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(OIDOID, TEXTOID, TEXTARRAYOID)
};

PG_FUNCTION_INFO_V1(chatrel_verify_users);

/* The columns of the result */
#define VERIFY_COLUMNS	(DRIFT_COLUMNS + 1)

typedef struct Verification
{
	ReturnSetInfo *result;
	bool		repair;
} Verification;

/* ---------- the link ---------- */

static void
report_link(const Verification *verification, Relation rel)
{
	Datum		values[] = {ObjectIdGetDatum(RelationGetRelid(rel)),
	CStringGetTextDatum(linked_name(rel)), link_trigger_names(link_condition(rel) != NULL)};
	PlanResult	faults = plan_run(&link_faults, PLAN_READ, values, NULL);

	for (uint64 i = 0; i < faults.nrows; i++)
	{
		Datum		row[VERIFY_COLUMNS] = {0};
		bool		nulls[] = {true, false, true, true, false};

		row[1] = result_datum(&faults, i, 1);
		row[4] = result_datum(&faults, i, 2);
		tuplestore_putvalues(verification->result->setResult, verification->result->setDesc, row, nulls);
	}
}

/* ---------- users ---------- */

static void
report_users(const Verification *verification, const PlanResult *drift)
{
	for (uint64 i = 0; i < drift->nrows; i++)
	{
		Datum		row[VERIFY_COLUMNS] = {0};
		bool		nulls[VERIFY_COLUMNS] = {[VERIFY_COLUMNS - 1] = true};

		for (int column = 1; column <= DRIFT_COLUMNS; column++)
		{
			nulls[column - 1] = result_is_null(drift, i, column);
			if (!nulls[column - 1])
				row[column - 1] = result_datum(drift, i, column);
		}
		tuplestore_putvalues(verification->result->setResult, verification->result->setDesc, row, nulls);
	}
}

static void
repair_users(const PlanResult *drift)
{
	check_new_names(drift);
	for (uint64 i = 0; i < drift->nrows; i++)
		if (drift_is(drift, i, "surplus"))
			(void) remove_user(result_int64(drift, i, DRIFT_USER_ID));
	rename_drifted(drift);
	add_missing(drift);
}

static void
verify_rows(const PlanResult *drift, void *arg)
{
	const Verification *verification = arg;

	report_users(verification, drift);
	if (verification->repair)
		repair_users(drift);
}

/* ---------- the function ---------- */

/* The linked table, which stays as it is while it is repaired. */
static Relation
open_linked_table(FunctionCallInfo fcinfo, bool repair)
{
	OwnerScope	scope;
	Relation	rel;

	owner_begin(&scope, fcinfo);
	rel = relation_open(require_linked_table(), repair ? ShareRowExclusiveLock : AccessShareLock);
	if (repair)
	{
		lock_users_alone();
		defer_names();
		CommandCounterIncrement();
		PushActiveSnapshot(GetLatestSnapshot());
	}
	owner_end(&scope);
	return rel;
}

static void
finish_repair(FunctionCallInfo fcinfo)
{
	OwnerScope	scope;

	PopActiveSnapshot();
	owner_begin(&scope, fcinfo);
	check_names();
	enable_link_triggers();
	owner_end(&scope);
}

Datum
chatrel_verify_users(PG_FUNCTION_ARGS)
{
	Verification verification = {.repair = require_bool(fcinfo, 0, "repair")};
	LinkComparison comparison = {.handler = verify_rows,.arg = &verification,.strict = verification.repair};
	OwnerScope	scope;

	if (verification.repair)
		PreventCommandIfReadOnly("chatrel.verify_users(true)");
	InitMaterializedSRF(fcinfo, 0);
	verification.result = (ReturnSetInfo *) fcinfo->resultinfo;

	comparison.rel = open_linked_table(fcinfo, verification.repair);
	owner_begin(&scope, fcinfo);
	report_link(&verification, comparison.rel);
	owner_end(&scope);
	link_columns(&comparison.columns, comparison.rel);
	comparison.condition = link_condition(comparison.rel);
	(void) link_compare(fcinfo, &comparison);

	/* Else ALTER TABLE would find it in use. */
	relation_close(comparison.rel, NoLock);
	if (verification.repair)
		finish_repair(fcinfo);

	return (Datum) 0;
}
