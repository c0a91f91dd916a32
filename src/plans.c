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
#include "catalog/pg_proc.h"
#include "miscadmin.h"
#include "tcop/dest.h"
#include "executor/tstoreReceiver.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "plans.h"

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

/* Takes the rights of the owner and connects to SPI. */
void
owner_begin_as(OwnerScope *scope, Oid owner)
{
	GetUserIdAndSecContext(&scope->userid, &scope->sec_context);
	SetUserIdAndSecContext(owner, scope->sec_context | SECURITY_LOCAL_USERID_CHANGE);
	SPI_connect();
}

/* The owner is the called function's. */
void
owner_begin(OwnerScope *scope, FunctionCallInfo fcinfo)
{
	owner_begin_as(scope, function_owner(fcinfo->flinfo->fn_oid));
}

/* Gives them back; what plan_run() returned is gone. */
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

	handle = SPI_prepare(plan->sql, plan->nargs, plan->argtypes);
	if (handle == NULL)
		elog(ERROR, "SPI_prepare failed: %s for %s",
			 SPI_result_code_string(SPI_result), plan->sql);
	SPI_keepplan(handle);
	plan->handle = handle;
}

static void
plan_check(const SqlPlan *plan, int result)
{
	if (result != plan->expected)
		elog(ERROR, "unexpected SPI result %s for %s",
			 SPI_result_code_string(result), plan->sql);
}

/*
 * Runs a plan and returns how many rows it gave or wrote.  SPI would leave its
 * own memory behind as the current one, whatever was so before.
 */
uint64
plan_run(SqlPlan *plan, PlanAccess access, Datum *values, const char *nulls)
{
	MemoryContext context = CurrentMemoryContext;
	int			result;

	plan_prepare(plan);
	if (access == PLAN_LATEST)
		result = SPI_execute_snapshot(plan->handle, values, nulls,
									  GetLatestSnapshot(), InvalidSnapshot,
									  false, true, 0);
	else
		result = SPI_execute_plan(plan->handle, values, nulls,
								  access == PLAN_READ, 0);
	MemoryContextSwitchTo(context);
	plan_check(plan, result);
	return SPI_processed;
}

/*
 * Runs a reading plan whose columns are those of the set that the caller
 * returns, straight into that set, which InitMaterializedSRF() has made.
 */
uint64
plan_fill(SqlPlan *plan, ReturnSetInfo *rsinfo, Datum *values, const char *nulls)
{
	DestReceiver *dest = CreateDestReceiver(DestTuplestore);
	SPIExecuteOptions options = {0};
	ParamListInfo params = makeParamList(plan->nargs);

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
	plan_check(plan, SPI_execute_plan_extended(plan->handle, &options));
	dest->rDestroy(dest);
	return SPI_processed;
}

/* ---------- the last result: rows from 0, columns from 1, nothing null ---------- */

/* Any value; gone with owner_end(), as all but plan_copy_value()'s. */
Datum
plan_datum(uint64 row, int column)
{
	bool		isnull;
	Datum		value = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc,
									  column, &isnull);

	Assert(!isnull);
	return value;
}

int64
plan_int64(uint64 row, int column)
{
	return DatumGetInt64(plan_datum(row, column));
}

pg_uuid_t
plan_uuid(uint64 row, int column)
{
	return *DatumGetUUIDP(plan_datum(row, column));
}

char *
plan_cstring(uint64 row, int column)
{
	return TextDatumGetCString(plan_datum(row, column));
}

/* Any value, copied to where it outlives owner_end(). */
Datum
plan_copy_value(uint64 row, int column)
{
	Form_pg_attribute attr = TupleDescAttr(SPI_tuptable->tupdesc, column - 1);

	return SPI_datumTransfer(plan_datum(row, column), attr->attbyval, attr->attlen);
}

/* A row as the composite type that the function returns, which has its columns. */
Datum
plan_return_row(FunctionCallInfo fcinfo, uint64 row)
{
	TupleDesc	tupdesc = lookup_rowtype_tupdesc(get_func_rettype(fcinfo->flinfo->fn_oid), -1);
	HeapTupleHeader result = SPI_returntuple(SPI_tuptable->vals[row], tupdesc);

	ReleaseTupleDesc(tupdesc);
	return PointerGetDatum(result);
}
