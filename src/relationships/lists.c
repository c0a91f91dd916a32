/*
 * lists.c
 *	  Functions that return the rows of one plan.
 */
#include "postgres.h"

#include "funcapi.h"

#include "core/check.h"
#include "core/identity.h"
#include "relationships/lists.h"

/* Returns the rows of a plan; where there are none, the user may not exist. */
Datum
return_list(FunctionCallInfo fcinfo, SqlPlan *plan, Datum *values, const char *nulls,
			int64 user_id)
{
	OwnerScope	scope;

	InitMaterializedSRF(fcinfo, 0);

	owner_begin(&scope, fcinfo);
	if (plan_fill(plan, (ReturnSetInfo *) fcinfo->resultinfo, values, nulls) == 0)
		require_user(user_id);
	owner_end(&scope);

	return (Datum) 0;
}

Datum
return_own_page(FunctionCallInfo fcinfo, SqlPlan *plan)
{
	int64		after = PG_ARGISNULL(0) ? 0 : PG_GETARG_INT64(0);
	int			row_limit = require_limit(fcinfo, 1, "row_limit");
	int64		user_id = acting_user(fcinfo);
	Datum		values[] = {Int64GetDatum(user_id), Int64GetDatum(after),
	Int64GetDatum(row_limit)};

	return return_list(fcinfo, plan, values, NULL, user_id);
}
