/*
 * compat.h
 *	  Every difference between the PostgreSQL versions that chatrel supports.
 *
 * The newest version's interface is the one the code is written to; older
 * versions are made to look like it here, and nowhere else is a version tested.
 */
#ifndef CHATREL_COMPAT_H
#define CHATREL_COMPAT_H

#include "access/genam.h"
#include "executor/executor.h"
#include "utils/jsonb.h"
#include "utils/relcache.h"

#if PG_VERSION_NUM < 150000
#error "chatrel requires PostgreSQL 15 or newer"
#endif

/* 16 has one ownership check for all kinds of objects */
#if PG_VERSION_NUM < 160000
#define object_ownercheck(classid, objectid, roleid) \
	(AssertMacro((classid) == RelationRelationId), \
	 pg_class_ownercheck((objectid), (roleid)))
#endif

/* 16 allocates the extra data of a parameter with guc_malloc */
#if PG_VERSION_NUM < 160000
#define guc_malloc(elevel, size) malloc(size)
#endif

/* 16 has the macros for varlena values in a header of their own */
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

/* 17 has given the variables of transaction ids another name */
#if PG_VERSION_NUM < 170000
#define TransamVariables ShmemVariableCache
#endif

/* 17 numbers backends from 0 */
#if PG_VERSION_NUM < 170000
#include "storage/backendid.h"
#define MyProcNumber (MyBackendId - 1)
#else
#include "storage/procnumber.h"
#endif

/* 18 marks functions that do not return before their type */
#if PG_VERSION_NUM < 180000
#define pg_noreturn pg_attribute_noreturn()
#endif

/* 18 lets a module say its name and version */
#if PG_VERSION_NUM < 180000
#define PG_MODULE_MAGIC_EXT(...) PG_MODULE_MAGIC
#endif

/* 19 tells the planner what EXPLAIN wants */
#if PG_VERSION_NUM < 190000
#define PLANNER_PARAMETERS \
	Query *parse, const char *query_string, int cursor_options, ParamListInfo params
#define PLANNER_ARGUMENTS parse, query_string, cursor_options, params
#else
#define PLANNER_PARAMETERS \
	Query *parse, const char *query_string, int cursor_options, ParamListInfo params, \
	struct ExplainState *es
#define PLANNER_ARGUMENTS parse, query_string, cursor_options, params, es
#endif

/* 17 lets a module name the events that it waits for */
#if PG_VERSION_NUM < 170000
#define WaitEventExtensionNew(name) PG_WAIT_EXTENSION
#endif

/* 16 can lock the rows of result relations, too */
#if PG_VERSION_NUM < 160000
#define EvalPlanQualInit(epq, estate, plan, marks, param, results) \
	EvalPlanQualInit(epq, estate, plan, marks, param)
#endif

/* 18 asks whether a key that is deferrable will do */
#if PG_VERSION_NUM < 180000
#define RelationGetPrimaryKeyIndex(relation, deferrable_ok) RelationGetPrimaryKeyIndex(relation)
#endif

/* 18 counts what a scan of an index does, and 19 has flags for it */
#if PG_VERSION_NUM < 180000
#define index_beginscan(heap, index, snapshot, instrument, nkeys, norderbys, flags) \
	index_beginscan(heap, index, snapshot, nkeys, norderbys)
#elif PG_VERSION_NUM < 190000
#define index_beginscan(heap, index, snapshot, instrument, nkeys, norderbys, flags) \
	index_beginscan(heap, index, snapshot, instrument, nkeys, norderbys)
#endif

/* 18 tells an update of a conflicting row from another row */
#if PG_VERSION_NUM < 180000
#define ExecCheckIndexConstraints(result, row, estate, conflict, tid, arbiters) \
	ExecCheckIndexConstraints(result, row, estate, conflict, arbiters)
#endif

/* 19 has flags for how index entries are made, 16 only entries that sum up */
#if PG_VERSION_NUM < 160000
#define EIIT_NO_DUPE_ERROR	1
#define ExecInsertIndexTuples(result, estate, flags, slot, arbiters, conflict) \
	ExecInsertIndexTuples(result, slot, estate, false, (flags) != 0, conflict, arbiters)
#elif PG_VERSION_NUM < 190000
#define EIIT_NO_DUPE_ERROR	1
#define ExecInsertIndexTuples(result, estate, flags, slot, arbiters, conflict) \
	ExecInsertIndexTuples(result, slot, estate, false, (flags) != 0, conflict, arbiters, false)
#endif

/* 19 keeps the result in the state that values are pushed to */
#if PG_VERSION_NUM < 190000
typedef struct JsonbInState
{
	JsonbValue *result;
	JsonbParseState *parseState;
} JsonbInState;

#define pushJsonbValue(state, token, value) \
	((state)->result = pushJsonbValue(&(state)->parseState, (token), (value)))
#endif

#endif							/* CHATREL_COMPAT_H */
