/*
 * plans.c
 *	  Runs chatrel's SQL through SPI, with the rights of the functions' owner.
 *
 * chatrel's functions are not SECURITY DEFINER.  They look at the caller's own
 * rights first, and take the owner's only between owner_begin() and
 * owner_end(), as the foreign key triggers of PostgreSQL do; so nothing but the
 * fixed texts of SqlPlan texts ever runs with them.  An error in between
 * needs no cleaning up: the end of the (sub)transaction puts the user back and
 * closes the SPI connection.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "optimizer/planner.h"
#include "tcop/dest.h"
#include "executor/tstoreReceiver.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "core/compat.h"
#include "core/plans.h"
#include "core/version.h"

static planner_hook_type prev_planner_hook = NULL;

/* The plan that is running, if it goes by an index. */
static const SqlPlan *running_by_index = NULL;

static Oid
function_owner(Oid fn_oid)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(fn_oid));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", fn_oid);
	owner = ((Form_pg_proc) GETSTRUCT(tuple))->proowner;
	ReleaseSysCache(tuple);
	return owner;
}

/* Takes the rights of the owner and connects to SPI, if the library is for the SQL objects there are. */
void
owner_begin_as(OwnerScope *scope, Oid owner)
{
	check_version();
	GetUserIdAndSecContext(&scope->userid, &scope->sec_context);
	SetUserIdAndSecContext(owner, scope->sec_context | SECURITY_LOCAL_USERID_CHANGE);
	SPI_connect();
}

/*
 * Within an owner's scope: what runs is not chatrel's alone, and must leave
 * nothing behind that runs later with other rights.
 */
void
restrict_operation(void)
{
	Oid			userid;
	int			sec_context;

	GetUserIdAndSecContext(&userid, &sec_context);
	SetUserIdAndSecContext(userid, sec_context | SECURITY_RESTRICTED_OPERATION);
}

/* The owner is the called function's. */
void
owner_begin(OwnerScope *scope, FunctionCallInfo fcinfo)
{
	owner_begin_as(scope, function_owner(fcinfo->flinfo->fn_oid));
}

/* Gives them back; the rows of a PlanResult are gone. */
void
owner_end(const OwnerScope *scope)
{
	SPI_finish();
	SetUserIdAndSecContext(scope->userid, scope->sec_context);
}

static void
plan_prepare(SqlPlan *plan)
{
	SPIPlanPtr	handle;

	if (plan->handle != NULL)
		return;

	/*
	 * The same for all values: to plan for some costs more than it would
	 * save.
	 */
	handle = SPI_prepare_cursor(plan->sql, plan->nargs, plan->argtypes,
								CURSOR_OPT_GENERIC_PLAN);
	if (handle == NULL)
		elog(ERROR, "SPI_prepare_cursor failed: %s for %s",
			 SPI_result_code_string(SPI_result), plan->sql);
	SPI_keepplan(handle);
	plan->handle = handle;
}

/*
 * Plans a query of ours that goes by an index without the ways that read all of
 * a table, and without compiling it for the many rows that the planner thinks of.
 * As a hook, since the server may plan it again at any time.
 */
static PlannedStmt *
plan_query(PLANNER_PARAMETERS)
{
	static const char *const ways[] = {"enable_seqscan", "enable_hashjoin",
	"enable_mergejoin", "jit"};
	planner_hook_type next = prev_planner_hook ? prev_planner_hook : standard_planner;
	PlannedStmt *result;
	int			nest_level;

	if (running_by_index == NULL || query_string == NULL ||
		strcmp(query_string, running_by_index->sql) != 0)
		return next(PLANNER_ARGUMENTS);

	nest_level = NewGUCNestLevel();
	for (int i = 0; i < lengthof(ways); i++)
		(void) set_config_option(ways[i], "off", PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
	(void) set_config_option("enable_bitmapscan", running_by_index->by_bitmap ? "on" : "off",
							 PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	result = next(PLANNER_ARGUMENTS);
	AtEOXact_GUC(true, nest_level);
	return result;
}

void
plans_init(void)
{
	prev_planner_hook = planner_hook;
	planner_hook = plan_query;
}

static void
plan_check(const SqlPlan *plan, int result)
{
	if (result != plan->expected)
		elog(ERROR, "unexpected SPI result %s for %s",
			 SPI_result_code_string(result), plan->sql);
}

/*
 * Lets a reading plan see what the caller's statement has written so far, as in
 * SELECT get_group(1) FROM join_group(1): of others it sees what the statement
 * sees.  Returns whether there is anything, and then a snapshot to pop.  In a
 * parallel operation there cannot be.
 */
static bool
push_own_changes(void)
{
	Snapshot	snapshot = GetActiveSnapshot();

	if (IsInParallelMode())
		return false;
	CommandCounterIncrement();
	if (snapshot->curcid == GetCurrentCommandId(false))
		return false;
	PushCopiedSnapshot(snapshot);
	UpdateActiveSnapshotCommandId();
	return true;
}

static int
plan_execute(SqlPlan *plan, PlanAccess access, Datum *values, const char *nulls)
{
	if (access == PLAN_READ)
	{
		bool		pushed = push_own_changes();
		int			result = SPI_execute_plan(plan->handle, values, nulls, true, 0);

		if (pushed)
			PopActiveSnapshot();
		return result;
	}
	if (access == PLAN_WRITE)
		return SPI_execute_plan(plan->handle, values, nulls, false, 0);
	if (access == PLAN_TRIGGER)
		return SPI_execute_snapshot(plan->handle, values, nulls, InvalidSnapshot,
									InvalidSnapshot, false, false, 0);
	return SPI_execute_snapshot(plan->handle, values, nulls, GetLatestSnapshot(),
								access == PLAN_CASCADE && IsolationUsesXactSnapshot()
								? GetTransactionSnapshot() : InvalidSnapshot,
								false, true, 0);
}

/*
 * Runs a plan, and gives its rows, or how many it wrote.  The memory context
 * stays the caller's; SPI would leave its own.
 */
PlanResult
plan_run(SqlPlan *plan, PlanAccess access, Datum *values, const char *nulls)
{
	MemoryContext context = CurrentMemoryContext;
	const SqlPlan *outer = running_by_index;
	PlanResult	result;

	plan_prepare(plan);
	running_by_index = plan->by_index ? plan : NULL;
	plan_check(plan, plan_execute(plan, access, values, nulls));
	running_by_index = outer;
	MemoryContextSwitchTo(context);
	result.nrows = SPI_processed;
	result.rows = SPI_tuptable;
	return result;
}

/*
 * Runs a reading plan whose columns are those of the set that the caller
 * returns, straight into that set, which InitMaterializedSRF() has made.
 */
uint64
plan_fill(SqlPlan *plan, ReturnSetInfo *rsinfo, const Datum *values, const char *nulls)
{
	DestReceiver *dest = CreateDestReceiver(DestTuplestore);
	SPIExecuteOptions options = {0};
	ParamListInfo params = makeParamList(plan->nargs);
	const SqlPlan *outer = running_by_index;
	bool		pushed;

	plan_prepare(plan);
	for (int i = 0; i < plan->nargs; i++)
	{
		params->params[i].value = values[i];
		params->params[i].isnull = nulls != NULL && nulls[i] == 'n';
		params->params[i].pflags = PARAM_FLAG_CONST;
		params->params[i].ptype = plan->argtypes[i];
	}
	SetTuplestoreDestReceiverParams(dest, rsinfo->setResult,
									rsinfo->econtext->ecxt_per_query_memory,
									false, NULL, NULL);
	options.params = params;
	options.read_only = true;
	options.dest = dest;
	running_by_index = plan->by_index ? plan : NULL;
	pushed = push_own_changes();
	plan_check(plan, SPI_execute_plan_extended(plan->handle, &options));
	if (pushed)
		PopActiveSnapshot();
	running_by_index = outer;
	dest->rDestroy(dest);
	return SPI_processed;
}

Datum
int64_array(const int64 *elements, int count)
{
	Datum	   *datums = palloc_array(Datum, count);
	ArrayType  *array;

	for (int i = 0; i < count; i++)
		datums[i] = Int64GetDatum(elements[i]);
	array = construct_array(datums, count, INT8OID, sizeof(int64),
							FLOAT8PASSBYVAL, TYPALIGN_DOUBLE);
	pfree(datums);
	return PointerGetDatum(array);
}

/* ---------- what a plan gave ---------- */

static Datum
get_value(const PlanResult *result, uint64 row, int column, bool *isnull)
{
	if (row >= result->nrows || result->rows == NULL)
		elog(ERROR, "no row " UINT64_FORMAT " in the result of a plan", row);
	return SPI_getbinval(result->rows->vals[row], result->rows->tupdesc, column, isnull);
}

bool
result_is_null(const PlanResult *result, uint64 row, int column)
{
	bool		isnull;

	(void) get_value(result, row, column, &isnull);
	return isnull;
}

/* Any value that is not null; gone with owner_end(). */
Datum
result_datum(const PlanResult *result, uint64 row, int column)
{
	bool		isnull;
	Datum		value = get_value(result, row, column, &isnull);

	Assert(!isnull);
	return value;
}

int64
result_int64(const PlanResult *result, uint64 row, int column)
{
	return DatumGetInt64(result_datum(result, row, column));
}

pg_uuid_t
result_uuid(const PlanResult *result, uint64 row, int column)
{
	return *DatumGetUUIDP(result_datum(result, row, column));
}

char *
result_cstring(const PlanResult *result, uint64 row, int column)
{
	return TextDatumGetCString(result_datum(result, row, column));
}

/* A row as the composite type that the function returns, which has its columns. */
Datum
result_as_row(const PlanResult *result, uint64 row, FunctionCallInfo fcinfo)
{
	TupleDesc	tupdesc = lookup_rowtype_tupdesc(get_func_rettype(fcinfo->flinfo->fn_oid), -1);
	HeapTupleHeader tuple = SPI_returntuple(result->rows->vals[row], tupdesc);

	ReleaseTupleDesc(tupdesc);
	return PointerGetDatum(tuple);
}
