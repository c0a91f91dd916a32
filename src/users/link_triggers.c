/*
 * link_triggers.c
 *	  The triggers that link a table of the application's.
 *
 * The link is these triggers and nothing else: dumps and upgrades keep it as
 * they keep the table.  The insert trigger is made for "UPDATE OF id, username",
 * which does not matter to when it does something, but holds the two columns by
 * their numbers: a column that is renamed is the same column, and one that is
 * dropped, or gets another type, is refused while the table is linked.
 *
 * The condition, if there is one, stands in the WHEN clauses.  So PostgreSQL
 * evaluates it, for whoever writes the table and with the rights of that role,
 * as it does a CHECK constraint.
 *
 * Triggers fire in the order of their names.  The application's should find a
 * new user there already, and one that goes there still: hence the "!" and "~".
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "parser/parse_node.h"
#include "parser/parse_relation.h"
#include "rewrite/prs2lock.h"
#include "rewrite/rewriteManip.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/ruleutils.h"

#include "core/compat.h"
#include "users/link_triggers.h"

#define MIRROR_FUNCTION "pg_catalog.to_regprocedure('chatrel.mirror_user()')"

static SqlPlan linked_table = {
	.sql = "SELECT t.tgrelid::pg_catalog.int8 FROM pg_catalog.pg_depend d"
	" JOIN pg_catalog.pg_trigger t ON t.oid" EQ "d.objid"
	" WHERE d.classid" EQ "'pg_catalog.pg_trigger'::pg_catalog.regclass"
	" AND d.refclassid" EQ "'pg_catalog.pg_proc'::pg_catalog.regclass"
	" AND d.refobjid" EQ MIRROR_FUNCTION
	" AND t.tgparentid" EQ "0 ORDER BY t.oid LIMIT 1",
	.expected = SPI_OK_SELECT
};

static SqlPlan triggers_of_table = {
	.sql = "SELECT pg_catalog.format('DROP TRIGGER %I ON %s', tgname, tgrelid::pg_catalog.regclass)"
	" FROM pg_catalog.pg_trigger"
	" WHERE tgrelid" EQ "$1 AND tgfoid" EQ MIRROR_FUNCTION " AND tgparentid" EQ "0",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(OIDOID)
};

static SqlPlan triggers_disabled = {
	.sql = "SELECT pg_catalog.format('ALTER TABLE %s ENABLE TRIGGER %I',"
	" tgrelid::pg_catalog.regclass, tgname)"
	" FROM pg_catalog.pg_trigger"
	" WHERE tgfoid" EQ MIRROR_FUNCTION
	" AND tgenabled" EQ "ANY (ARRAY['D', 'R']::pg_catalog.\"char\"[])"
	" ORDER BY tgparentid, oid",
	.expected = SPI_OK_SELECT
};

typedef struct LinkTrigger
{
	const char *name;
	const char *action;			/* the trigger's first argument */
	int16		events;
	bool		has_columns;
	bool		conditional;	/* is there only where there is a condition */
} LinkTrigger;

/* In the order of LinkAction. */
static const LinkTrigger link_triggers[] = {
	{"!chatrel_mirror_insert", "insert", TRIGGER_TYPE_INSERT | TRIGGER_TYPE_UPDATE, true, false},
	{"!chatrel_mirror_update", "update", TRIGGER_TYPE_UPDATE, false, false},
	{"!chatrel_mirror_return", "return", TRIGGER_TYPE_UPDATE, false, true},
	{"~chatrel_mirror_leave", "leave", TRIGGER_TYPE_UPDATE, false, true},
	{"~chatrel_mirror_delete", "delete", TRIGGER_TYPE_DELETE, false, false},
	{"~chatrel_mirror_truncate", "truncate", TRIGGER_TYPE_TRUNCATE, false, false}
};

/* ---------- which table is linked ---------- */

/* InvalidOid if none is. */
static Oid
find_linked_table(void)
{
	PlanResult	linked = plan_run(&linked_table, PLAN_LATEST, NULL, NULL);

	return linked.nrows > 0 ? (Oid) result_int64(&linked, 0, 1) : InvalidOid;
}

bool
is_linked(void)
{
	return OidIsValid(find_linked_table());
}

/* For functions that are about the link. */
Oid
require_linked_table(void)
{
	Oid			table = find_linked_table();

	if (!OidIsValid(table))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("no table is linked"),
				 errhint("Link one with chatrel.link_users().")));
	return table;
}

/* For functions that chatrel's own users are for. */
void
check_not_linked(void)
{
	Oid			table = find_linked_table();

	if (OidIsValid(table))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the users are mirrored from table %s",
						DatumGetCString(DirectFunctionCall1(regclassout, ObjectIdGetDatum(table)))),
				 errhint("Change that table, and chatrel.users follows; or call chatrel.unlink_users().")));
}

/* ---------- what a trigger says ---------- */

/* False if the trigger is not one that link_users() makes. */
bool
link_action(const Trigger *trigger, LinkAction *action)
{
	if (trigger->tgnargs != 2 || trigger->tgdeferrable)
		return false;
	for (int i = 0; i < lengthof(link_triggers); i++)
	{
		const LinkTrigger *known = &link_triggers[i];

		if (strcmp(trigger->tgargs[0], known->action) == 0 &&
			(trigger->tgtype & (TRIGGER_TYPE_TIMING_MASK | TRIGGER_TYPE_EVENT_MASK)) == known->events)
		{
			*action = (LinkAction) i;
			return TRIGGER_FOR_ROW(trigger->tgtype) == (i != LINK_TRUNCATE);
		}
	}
	return false;
}

/* Null if the table has no such trigger. */
static const Trigger *
find_trigger(Relation rel, LinkAction wanted)
{
	TriggerDesc *triggers = rel->trigdesc;
	LinkAction	action;

	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
	{
		const Trigger *trigger = &triggers->triggers[i];

		if (strcmp(trigger->tgname, link_triggers[wanted].name) == 0 &&
			link_action(trigger, &action) && action == wanted)
			return trigger;
	}
	return NULL;
}

static const Trigger *
require_columns_trigger(Relation rel)
{
	const Trigger *trigger = find_trigger(rel, LINK_INSERT);

	if (trigger == NULL || trigger->tgnattr != 2)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" has lost triggers of its link", RelationGetRelationName(rel)),
				 errhint("Call chatrel.unlink_users(), and then chatrel.link_users() again.")));
	return trigger;
}

/* Of the table that is linked, or of one of its partitions. */
void
link_columns(LinkColumns *columns, Relation rel)
{
	const Trigger *trigger = require_columns_trigger(rel);

	columns->id = trigger->tgattr[0];
	columns->username = trigger->tgattr[1];
}

/* As SQL about the columns as they are called now; null if every row is a user. */
char *
link_condition(Relation rel)
{
	const Trigger *trigger = find_trigger(rel, LINK_DELETE);

	if (trigger == NULL || trigger->tgqual == NULL)
		return NULL;
	return condition_text(rel, stringToNode(trigger->tgqual));
}

/* What the table was called when it was linked. */
const char *
linked_name(Relation rel)
{
	return require_columns_trigger(rel)->tgargs[1];
}

/* The triggers that a link has, as an array for a plan. */
Datum
link_trigger_names(bool conditional)
{
	Datum		names[LINK_ACTIONS];
	int			count = 0;

	for (int i = 0; i < LINK_ACTIONS; i++)
		if (conditional || !link_triggers[i].conditional)
			names[count++] = CStringGetTextDatum(link_triggers[i].name);
	return PointerGetDatum(construct_array(names, count, TEXTOID, -1, false, TYPALIGN_INT));
}

/* ---------- making and dropping them ---------- */

/* The condition is about OLD, as it stands; here about NEW. */
static Node *
of_new(Node *condition)
{
	Node	   *result = copyObject(condition);

	ChangeVarNodes(result, PRS2_OLD_VARNO, PRS2_NEW_VARNO, 0);
	return result;
}

static Node *
is_not_true(Node *condition)
{
	BooleanTest *test = makeNode(BooleanTest);

	test->arg = (Expr *) condition;
	test->booltesttype = IS_NOT_TRUE;
	test->location = -1;
	return (Node *) test;
}

static Node *
when_clause(LinkAction action, Node *condition)
{
	if (condition == NULL)
		return NULL;
	switch (action)
	{
		case LINK_INSERT:
			return of_new(condition);
		case LINK_UPDATE:
			return (Node *) makeBoolExpr(AND_EXPR, list_make2(copyObject(condition),
															  of_new(condition)), -1);
		case LINK_RETURN:
			return (Node *) makeBoolExpr(AND_EXPR, list_make2(is_not_true(copyObject(condition)),
															  of_new(condition)), -1);
		case LINK_LEAVE:
			return (Node *) makeBoolExpr(AND_EXPR, list_make2(copyObject(condition),
															  is_not_true(of_new(condition))), -1);
		case LINK_DELETE:
			return copyObject(condition);
		case LINK_TRUNCATE:
			break;
	}
	return NULL;
}

/* Of a WHEN clause that was not parsed by CREATE TRIGGER, which would see to it. */
static void
record_dependencies(Relation rel, const ObjectAddress *trigger, Node *when)
{
	ParseState *pstate = make_parsestate(NULL);

	addRangeTableEntryForRelation(pstate, rel, AccessShareLock, makeAlias("old", NIL), false, false);
	addRangeTableEntryForRelation(pstate, rel, AccessShareLock, makeAlias("new", NIL), false, false);
	recordDependencyOnExpr(trigger, when, pstate->p_rtable, DEPENDENCY_NORMAL);
	free_parsestate(pstate);
}

static List *
column_names(Relation rel, const LinkColumns *columns)
{
	TupleDesc	tupdesc = RelationGetDescr(rel);

	return list_make2(makeString(SPI_fname(tupdesc, columns->id)),
					  makeString(SPI_fname(tupdesc, columns->username)));
}

/*
 * Not by SQL: that would parse the condition with the rights of chatrel's owner,
 * and to parse the literals of a type may run what its owner has put there.
 */
static void
create_trigger(Relation rel, const LinkColumns *columns, LinkAction action, Node *when)
{
	const LinkTrigger *made = &link_triggers[action];
	CreateTrigStmt *stmt = makeNode(CreateTrigStmt);
	ObjectAddress trigger;

	stmt->trigname = pstrdup(made->name);
	stmt->funcname = list_make2(makeString("chatrel"), makeString("mirror_user"));
	stmt->args = list_make2(makeString(pstrdup(made->action)), makeString(link_table_name(rel)));
	stmt->row = action != LINK_TRUNCATE;
	stmt->timing = TRIGGER_TYPE_AFTER;
	stmt->events = made->events;
	stmt->columns = made->has_columns ? column_names(rel, columns) : NIL;
	trigger = CreateTrigger(stmt, NULL, RelationGetRelid(rel), InvalidOid, InvalidOid, InvalidOid,
							InvalidOid, InvalidOid, when, false, false);
	if (when != NULL)
		record_dependencies(rel, &trigger, when);
	CommandCounterIncrement();
}

void
create_link_triggers(Relation rel, const LinkColumns *columns, Node *condition)
{
	for (int i = 0; i < LINK_ACTIONS; i++)
		if (condition != NULL || !link_triggers[i].conditional)
			create_trigger(rel, columns, (LinkAction) i, when_clause((LinkAction) i, condition));
}

static void
execute_all(const PlanResult *commands)
{
	for (uint64 i = 0; i < commands->nrows; i++)
	{
		char	   *sql = result_cstring(commands, i, 1);
		int			result = SPI_execute(sql, false, 0);

		if (result != SPI_OK_UTILITY)
			elog(ERROR, "unexpected SPI result %s for %s", SPI_result_code_string(result), sql);
	}
}

void
drop_link_triggers(Oid table)
{
	Datum		values[] = {ObjectIdGetDatum(table)};
	PlanResult	commands = plan_run(&triggers_of_table, PLAN_LATEST, values, NULL);

	execute_all(&commands);
}

void
enable_link_triggers(void)
{
	PlanResult	commands = plan_run(&triggers_disabled, PLAN_LATEST, NULL, NULL);

	execute_all(&commands);
}
