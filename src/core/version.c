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

/* Those whose functions are in this library, all of one version */
static const char *const extensions[] = {"chatrel", "chatrel_search", "chatrel_proxy"};

/*
 * Is it known that the versions match?  An update changes functions or tables,
 * of which every session is told; the row of pg_extension is in no cache.
 */
static bool known_to_match = false;
static uint64 invalidations = 0;

/* The version of an extension in this database; null if it is not there. */
static char *
installed_version(const char *extension)
{
	Relation	rel = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	char	   *version = NULL;

	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber, F_NAMEEQ,
				CStringGetDatum(extension));
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

/*
 * The extension in this database that is not of the library's version, if any: one
 * that is not there has nothing that could differ.
 */
static const char *
extension_that_differs(char **version)
{
	for (int i = 0; i < lengthof(extensions); i++)
	{
		*version = installed_version(extensions[i]);
		if (*version == NULL)
			continue;
		if (strcmp(*version, CHATREL_VERSION) != 0)
			return extensions[i];
		pfree(*version);
	}
	return NULL;
}

bool
version_matches(void)
{
	uint64		before = invalidations;
	char	   *version;
	bool		matches;

	if (known_to_match)
		return true;
	matches = extension_that_differs(&version) == NULL;
	known_to_match = matches && before == invalidations;
	return matches;
}

void
check_version(void)
{
	const char *extension;
	char	   *version;

	if (version_matches())
		return;
	extension = extension_that_differs(&version);
	if (extension != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("library of chatrel is of version %s, but the extension of version %s",
						CHATREL_VERSION, version),
				 errhint("Run ALTER EXTENSION %s UPDATE; if that was done, connect again, or restart a server that preloads chatrel.",
						 extension)));
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
