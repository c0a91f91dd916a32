/*
 * user_list.c
 *	  The users whom a call names, and the one who calls.
 *
 * They are locked as whoever joins is (joining.c): against their deletion, bans and
 * blocks.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "lib/qunique.h"

#include "core/check.h"
#include "core/identity.h"
#include "groups/user_list.h"

static SqlPlan users_share = {
	.sql = "SELECT id, username FROM chatrel.users"
	" WHERE id" EQ "ANY ($1) AND deleted_at IS NULL ORDER BY id FOR SHARE",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8ARRAYOID),
	.by_index = true
};

static int
compare_ids(const void *a, const void *b)
{
	int64		left = *(const int64 *) a;
	int64		right = *(const int64 *) b;

	return (left > right) - (left < right);
}

/* At most so many besides the one who calls */
void
require_user_list(UserList *list, FunctionCallInfo fcinfo, int argno, int64 user_id, int at_most)
{
	ArrayType  *passed = require_ids(fcinfo, argno, "user_ids");
	int			npassed = ArrayGetNItems(ARR_NDIM(passed), ARR_DIMS(passed));
	int64	   *ids = palloc_array(int64, (Size) npassed + 1);
	int			count;

	memcpy(ids, ARR_DATA_PTR(passed), sizeof(int64) * npassed);
	ids[npassed] = user_id;
	qsort(ids, npassed + 1, sizeof(int64), compare_ids);
	count = qunique(ids, npassed + 1, sizeof(int64), compare_ids);
	if (count - 1 > at_most)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("user_ids must have at most %d other users, not %d", at_most, count - 1)));
	list->ids = ids;
	list->count = count;
}

PlanResult
lock_user_list(const UserList *list)
{
	Datum		values[] = {int64_array(list->ids, list->count)};

	return plan_run(&users_share, PLAN_WRITE, values, NULL);
}

/* The first who is missing is named. */
void
require_listed_users(const UserList *list, const PlanResult *users)
{
	for (int i = 0; i < list->count; i++)
		if (i >= users->nrows || result_int64(users, i, 1) != list->ids[i])
			error_user_not_found(list->ids[i]);
}
