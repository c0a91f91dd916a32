/*
 * lists.c
 *	  Functions that return a page of what a group has.
 */
#include "postgres.h"

#include "funcapi.h"

#include "core/check.h"
#include "core/identity.h"
#include "groups/lists.h"
#include "groups/members.h"

Datum
return_group_page(FunctionCallInfo fcinfo, SqlPlan *plan, GroupAct act)
{
	int64		group_id = require_int64(fcinfo, 0, "group_id");
	int64		after = PG_ARGISNULL(1) ? PG_INT64_MIN : PG_GETARG_INT64(1);
	int			row_limit = require_limit(fcinfo, 2, "row_limit");
	int64		user_id = acting_user(fcinfo);
	Datum		values[] = {Int64GetDatum(group_id), Int64GetDatum(after),
	Int64GetDatum(row_limit)};
	OwnerScope	scope;

	InitMaterializedSRF(fcinfo, 0);

	owner_begin(&scope, fcinfo);
	check_right(user_id, group_id, act);
	plan_fill(plan, (ReturnSetInfo *) fcinfo->resultinfo, values, NULL);
	owner_end(&scope);

	return (Datum) 0;
}
