/*
 * me.c
 *	  The login document of a user: {"id", "username", "friends": [User], "groups": [Group]}.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"

#include "core/check.h"
#include "core/identity.h"
#include "core/json.h"
#include "core/plans.h"
#include "groups/group.h"

static SqlPlan user_by_id = {
	.sql = "SELECT id, username FROM chatrel.users WHERE id" EQ "$1 AND deleted_at IS NULL",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID)
};

/* Those who are followed and follow back: each looked up in the index, hence LIMIT. */
static SqlPlan friends = {
	.sql = "SELECT friend.id, friend.username"
	" FROM chatrel.relationships follows"
	" CROSS JOIN LATERAL (SELECT FROM chatrel.relationships r"
	" WHERE r.follower_id" EQ "follows.followed_id AND r.followed_id" EQ "$1 LIMIT 1) back"
	" JOIN chatrel.users friend ON friend.id" EQ "follows.followed_id"
	" WHERE follows.follower_id" EQ "$1 AND friend.deleted_at IS NULL"
	" ORDER BY follows.id",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID),
	.by_index = true
};

static SqlPlan groups = {
	.sql = GROUP_ROWS("chatrel.groups_members mine"
					  " JOIN chatrel.groups g ON g.id" EQ "mine.group_id",
					  "mine.user_id" EQ "$1",
					  "$2", "mine.id, "),
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, INT8OID),
	.by_index = true
};

PG_FUNCTION_INFO_V1(chatrel_me);

static void
json_friends(JsonWriter *json, Datum *values)
{
	PlanResult	found = plan_run(&friends, PLAN_READ, values, NULL);

	json_begin_array(json, "friends");
	for (uint64 row = 0; row < found.nrows; row++)
	{
		CHECK_FOR_INTERRUPTS();
		json_user(json, &found, row, 1);
	}
	json_end_array(json);
}

static void
json_groups(JsonWriter *json, int64 user_id, int64 member_limit)
{
	Datum		values[] = {Int64GetDatum(user_id), Int64GetDatum(member_limit + 1)};
	PlanResult	found = plan_run(&groups, PLAN_READ, values, NULL);

	json_begin_array(json, "groups");
	for (uint64 row = 0; row < found.nrows;)
	{
		json_begin_object(json, NULL);
		row = json_group(json, &found, row, member_limit);
		json_end_object(json);
	}
	json_end_array(json);
}

Datum
chatrel_me(PG_FUNCTION_ARGS)
{
	int64		member_limit = require_integer(fcinfo, 0, "member_limit", 0);
	int64		user_id = acting_user(fcinfo);
	Datum		values[] = {Int64GetDatum(user_id)};
	OwnerScope	scope;
	PlanResult	user;
	JsonWriter	json;
	Datum		result;

	owner_begin(&scope, fcinfo);
	user = plan_run(&user_by_id, PLAN_READ, values, NULL);
	if (user.nrows == 0)
		error_user_not_found(user_id);
	json_begin_jsonb(&json);
	json_begin_object(&json, NULL);
	json_id(&json, "id", user_id);
	json_text(&json, "username", DatumGetTextPP(result_datum(&user, 0, 2)));
	json_friends(&json, values);
	json_groups(&json, user_id, member_limit);
	json_end_object(&json);
	result = SPI_datumTransfer(json_end_jsonb(&json), false, -1);
	owner_end(&scope);

	PG_RETURN_DATUM(result);
}
