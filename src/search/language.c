/*
 * language.c
 *	  The text search configuration that messages are indexed with.
 *
 * There is one for all messages, as an index of words has to be made and searched
 * with the same.  It is a row of search_settings, and 'simple' where there is none.
 * A row, since a dump keeps it: of the definition of an index that an extension
 * has made it keeps nothing.
 *
 * The function that the index is made of is declared immutable, and reads that row
 * all the same.  A trigger makes that true: it rebuilds the index with whatever
 * changes the row.  The rebuilding waits for all who write messages, and those who
 * write after it see what it has seen, whatever the isolation level: the row is
 * read as the catalogues are, as it was committed last.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_ts_config.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "core/check.h"
#include "core/plans.h"
#include "search/language.h"

#define DEFAULT_LANGUAGE	"pg_catalog.simple"

/* The column of search_settings */
#define SETTINGS_LANGUAGE	2

/* The table that the index is of comes first: src/README says why. */
static SqlPlan messages_lock = {
	.sql = "LOCK TABLE chatrel.groups_messages IN SHARE MODE",
	.expected = SPI_OK_UTILITY
};

static SqlPlan language_set = {
	.sql = "INSERT INTO chatrel.search_settings (language) VALUES ($1)"
	" ON CONFLICT (only_row) DO UPDATE SET language = EXCLUDED.language",
	.expected = SPI_OK_INSERT,
	PLAN_ARGS(TEXTOID)
};

static SqlPlan index_rebuild = {
	.sql = "REINDEX INDEX chatrel.groups_messages_search_idx",
	.expected = SPI_OK_UTILITY
};

PG_FUNCTION_INFO_V1(chatrel_set_search_language);
PG_FUNCTION_INFO_V1(chatrel_rebuild_search);

static Oid
relation_of_chatrel(const char *name)
{
	Oid			relid = get_relname_relid(name, get_namespace_oid("chatrel", false));

	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation \"chatrel.%s\" does not exist", name),
				 errhint("Drop the extension chatrel_search, and create it again.")));
	return relid;
}

/* As search_settings has it; the caller's snapshot does not matter. */
static char *
language_name(void)
{
	Relation	rel = table_open(relation_of_chatrel("search_settings"), AccessShareLock);
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	HeapTuple	tuple = systable_getnext(scan);
	char	   *name = DEFAULT_LANGUAGE;

	if (HeapTupleIsValid(tuple))
	{
		bool		isnull;

		name = TextDatumGetCString(heap_getattr(tuple, SETTINGS_LANGUAGE,
												RelationGetDescr(rel), &isnull));
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return name;
}

Oid
search_language(void)
{
	return DatumGetObjectId(DirectFunctionCall1(regconfigin, CStringGetDatum(language_name())));
}

/* The same, for a caller that uses the index: until the transaction ends it stays so. */
Oid
lock_search_language(void)
{
	LockRelationOid(relation_of_chatrel("groups_messages"), AccessShareLock);
	LockRelationOid(relation_of_chatrel("groups_messages_search_idx"), AccessShareLock);
	return search_language();
}

/* Its qualified name, which does not depend on a search_path. */
static char *
qualified_name(Oid language)
{
	HeapTuple	tuple = SearchSysCache1(TSCONFIGOID, ObjectIdGetDatum(language));
	Form_pg_ts_config config;
	char	   *name;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("text search configuration %u does not exist", language)));
	config = (Form_pg_ts_config) GETSTRUCT(tuple);
	name = quote_qualified_identifier(get_namespace_name(config->cfgnamespace),
									  NameStr(config->cfgname));
	ReleaseSysCache(tuple);
	return name;
}

/* Rebuilds the index for the language that it has, too: its dictionaries may have changed. */
Datum
chatrel_set_search_language(PG_FUNCTION_ARGS)
{
	Datum		values[1];
	OwnerScope	scope;

	check_not_null(fcinfo, 0, "language");
	PreventCommandIfReadOnly("chatrel.set_search_language()");
	values[0] = CStringGetTextDatum(qualified_name(PG_GETARG_OID(0)));

	owner_begin(&scope, fcinfo);
	(void) plan_run(&messages_lock, PLAN_WRITE, NULL, NULL);
	check_changed(plan_run(&language_set, PLAN_WRITE, values, NULL).nrows, 1, "search_settings");
	owner_end(&scope);

	PG_RETURN_VOID();
}

/* So that whoever would drop the configuration is told of the index that needs it. */
static void
depend_on_language(void)
{
	ObjectAddress index;
	ObjectAddress language;

	ObjectAddressSet(index, RelationRelationId,
					 relation_of_chatrel("groups_messages_search_idx"));
	ObjectAddressSet(language, TSConfigRelationId, search_language());
	deleteDependencyRecordsForClass(RelationRelationId, index.objectId, TSConfigRelationId,
									DEPENDENCY_NORMAL);
	recordDependencyOn(&index, &language, DEPENDENCY_NORMAL);
}

Datum
chatrel_rebuild_search(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;
	OwnerScope	scope;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_AFTER(trigdata->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("chatrel.rebuild_search() is for the trigger of chatrel.search_settings")));

	owner_begin(&scope, fcinfo);
	(void) plan_run(&index_rebuild, PLAN_WRITE, NULL, NULL);
	depend_on_language();
	owner_end(&scope);
	return PointerGetDatum(NULL);
}
