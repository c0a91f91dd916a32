/*
 * version.c
 *	  The version of the SQL objects that this library is for.
 *
 * The files of an extension and its objects in a database change at different
 * times: the files with a package, the objects with ALTER EXTENSION UPDATE, and a
 * session keeps the library that it has loaded.  In between, the library's SQL
 * would meet tables that it does not know, so it runs none of it.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/pg_extension.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "core/version.h"

/*
 * Is it known that the versions match?  An update changes functions or tables,
 * of which every session is told; the row of pg_extension is in no cache.
 */
static bool known_to_match = false;
static uint64 invalidations = 0;

/* The version of the extension in this database; null if it is not there. */
static char *
installed_version(void)
{
	Relation	rel = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	char	   *version = NULL;

	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber, F_NAMEEQ,
				CStringGetDatum("chatrel"));
	scan = systable_beginscan(rel, ExtensionNameIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		bool		isnull;
		Datum		value = heap_getattr(tuple, Anum_pg_extension_extversion,
										 RelationGetDescr(rel), &isnull);

		if (!isnull)
			version = TextDatumGetCString(value);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return version;
}

/* Without the extension there is nothing that could differ. */
bool
version_matches(void)
{
	uint64		before = invalidations;
	char	   *version;
	bool		matches;

	if (known_to_match)
		return true;
	version = installed_version();
	matches = version == NULL || strcmp(version, CHATREL_VERSION) == 0;
	known_to_match = matches && before == invalidations;
	if (version != NULL)
		pfree(version);
	return matches;
}

void
check_version(void)
{
	if (!version_matches())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("library of chatrel is of version %s, but the extension of version %s",
						CHATREL_VERSION, installed_version()),
				 errhint("Run ALTER EXTENSION chatrel UPDATE; if that was done, connect again, or restart a server that preloads chatrel.")));
}

static void
relation_changed(Datum arg, Oid relid)
{
	known_to_match = false;
	invalidations++;
}

static void
function_changed(Datum arg, int cacheid, uint32 hashvalue)
{
	known_to_match = false;
	invalidations++;
}

void
version_init(void)
{
	CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(PROCOID, function_changed, (Datum) 0);
}
