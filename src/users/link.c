/*
 * link.c
 *	  Users that are mirrored from the application's own table.
 *
 * link_users() copies the rows that are there and puts triggers on the table
 * (link_triggers.c) that keep chatrel.users in step (link_mirror.c).
 *
 * The order of locks is that of a session that writes to a linked table: first the table,
 * then chatrel.users.  create_user() and delete_user() lock chatrel.users before
 * they look whether a table is linked; so does link_users(), with a lock that
 * excludes theirs and another one's.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

#include "core/check.h"
#include "core/compat.h"
#include "users/guard.h"
#include "users/link_compare.h"
#include "users/link_condition.h"
#include "users/link_triggers.h"

PG_FUNCTION_INFO_V1(chatrel_link_users);
PG_FUNCTION_INFO_V1(chatrel_unlink_users);

/* ---------- the table ---------- */

static void
error_wrong_table(Relation rel, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_WRONG_OBJECT_TYPE),
			 errmsg("cannot mirror the users of \"%s\"", RelationGetRelationName(rel)),
			 errdetail_internal("%s", detail)));
}

/* Of the table and its partitions. */
static bool
is_permanent(Oid table)
{
	List	   *tables = find_all_inheritors(table, NoLock, NULL);
	ListCell   *lc;

	foreach(lc, tables)
		if (get_rel_persistence(lfirst_oid(lc)) != RELPERSISTENCE_PERMANENT)
		return false;
	return true;
}

static void
check_table(Relation rel)
{
	Oid			table = RelationGetRelid(rel);
	char		relkind = rel->rd_rel->relkind;

	if ((relkind != RELKIND_RELATION && relkind != RELKIND_PARTITIONED_TABLE) ||
		rel->rd_rel->relispartition ||
		RelationGetNamespace(rel) == get_namespace_oid("chatrel", false))
		error_wrong_table(rel, _("It must be an ordinary or partitioned table of the application's."));
	if (!is_permanent(table))
		error_wrong_table(rel, _("It must be permanent, and so must its partitions: users do not go with a session or a crash."));
	if (relkind == RELKIND_RELATION && find_inheritance_children(table, NoLock) != NIL)
		error_wrong_table(rel, _("Other tables inherit from it, whose rows no trigger of it would see."));
}

static void
check_table_owner(Oid table)
{
	if (!object_ownercheck(RelationRelationId, table, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, get_rel_name(table));
}

/*
 * Locks as CREATE TRIGGER or DROP TRIGGER does: nothing may change between the
 * copy and the triggers.  An oid may be passed for a regclass, or the table just
 * be dropped.
 */
static Relation
open_table(Oid table, LOCKMODE lockmode)
{
	Relation	rel = try_relation_open(table, lockmode);

	if (rel == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", table)));
	return rel;
}

/* ---------- linking ---------- */

/* What link_users() makes of differences; strangers is the number of surplus users. */
static void
link_rows(const PlanResult *drift, void *strangers)
{
	check_new_names(drift);
	for (uint64 i = 0; i < drift->nrows; i++)
	{
		if (drift_is(drift, i, "renamed"))
			error_other_name(result_int64(drift, i, DRIFT_USER_ID));
		else if (drift_is(drift, i, "surplus"))
			++* (uint64 *) strangers;
	}
	add_missing(drift);
}

/* Locks, and takes a snapshot of what was committed before and what this transaction did. */
static void
begin_copy(FunctionCallInfo fcinfo)
{
	OwnerScope	scope;

	owner_begin(&scope, fcinfo);
	lock_users_alone();
	check_not_linked();
	defer_names();
	owner_end(&scope);
	CommandCounterIncrement();
	PushActiveSnapshot(GetLatestSnapshot());
}

static void
end_copy(FunctionCallInfo fcinfo, const LinkComparison *comparison, Node *condition)
{
	OwnerScope	scope;

	PopActiveSnapshot();
	owner_begin(&scope, fcinfo);
	check_names();
	create_link_triggers(comparison->rel, &comparison->columns, condition);
	owner_end(&scope);
}

/* Copies the rows that are there, and returns how many are users. */
static uint64
copy_users(FunctionCallInfo fcinfo, LinkComparison *comparison)
{
	uint64		strangers = 0;
	uint64		nusers;

	comparison->strict = true;
	comparison->handler = link_rows;
	comparison->arg = &strangers;
	nusers = link_compare(fcinfo, comparison);
	if (strangers > 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("chatrel has %llu users that table \"%s\" does not have",
						(unsigned long long) strangers, RelationGetRelationName(comparison->rel)),
				 errhint("Delete chatrel's own users, or give the table the same ids and names.")));
	return nusers;
}

/* Null for none. */
static Node *
read_condition(FunctionCallInfo fcinfo, int argno, Relation rel)
{
	MemoryContext context = CurrentMemoryContext;
	ReaderScope scope;
	Node	   *condition;

	if (PG_ARGISNULL(argno))
		return NULL;
	link_reader_begin(&scope, rel);
	MemoryContextSwitchTo(context);
	condition = parse_condition(rel, text_to_cstring(PG_GETARG_TEXT_PP(argno)));
	link_reader_end(&scope);
	return condition;
}

Datum
chatrel_link_users(PG_FUNCTION_ARGS)
{
	LinkComparison comparison = {0};
	Node	   *condition;
	Relation	rel;
	uint64		nusers;

	check_not_null(fcinfo, 0, "users_table");
	check_not_null(fcinfo, 1, "id_column");
	check_not_null(fcinfo, 2, "username_column");

	/*
	 * Else, on a standby, the lock would be what fails, and with another
	 * error.
	 */
	PreventCommandIfReadOnly("chatrel.link_users()");
	check_table_owner(PG_GETARG_OID(0));

	rel = open_table(PG_GETARG_OID(0), ShareRowExclusiveLock);
	check_table(rel);
	comparison.rel = rel;
	find_columns(&comparison.columns, rel, NameStr(*PG_GETARG_NAME(1)), NameStr(*PG_GETARG_NAME(2)));
	condition = read_condition(fcinfo, 3, rel);
	if (condition != NULL)
		comparison.condition = condition_text(rel, condition);
	begin_copy(fcinfo);
	nusers = copy_users(fcinfo, &comparison);
	end_copy(fcinfo, &comparison, condition);
	relation_close(rel, NoLock);

	PG_RETURN_INT64(nusers);
}

/* ---------- unlinking ---------- */

Datum
chatrel_unlink_users(PG_FUNCTION_ARGS)
{
	OwnerScope	scope;
	Oid			table;

	PreventCommandIfReadOnly("chatrel.unlink_users()");
	owner_begin(&scope, fcinfo);
	table = require_linked_table();
	owner_end(&scope);
	check_table_owner(table);

	relation_close(open_table(table, AccessExclusiveLock), NoLock);
	owner_begin(&scope, fcinfo);
	drop_link_triggers(table);
	owner_end(&scope);

	PG_RETURN_OID(table);
}
