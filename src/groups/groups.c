/*
 * groups.c
 *	  Groups: creating them, and reading them.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "core/check.h"
#include "core/guc.h"
#include "core/identity.h"
#include "core/plans.h"
#include "groups/group.h"
#include "groups/group_settings.h"
#include "groups/groups.h"
#include "groups/lists.h"
#include "groups/member_changes.h"
#include "groups/member_counters.h"
#include "groups/members.h"

/* What is empty is not kept, as by update_group(). */
#define IF_ANY(parameter, empty)	"CASE WHEN " parameter NE empty " THEN " parameter " END"

/* $3 to $6: visibility, join_policy, description, metadata */
static SqlPlan group_create = {
	.sql = "INSERT INTO chatrel.groups AS g"
	" (name, creator_id, visibility, join_policy, description, metadata)"
	" VALUES ($1, $2, $3, $4, " IF_ANY("$5", "''") ", " IF_ANY("$6", "'{}'") ")"
	" ON CONFLICT (name) WHERE visibility" EQ "'public' DO NOTHING"
	" RETURNING " GROUP_COLUMNS("g"),
	.expected = SPI_OK_INSERT_RETURNING,
	PLAN_ARGS(TEXTOID, INT8OID, TEXTOID, TEXTOID, TEXTOID, JSONBOID)
};

static SqlPlan group_of_member = {
	.sql = GROUP_ROWS("chatrel.groups g",
					  "g.id" EQ "$1 AND EXISTS"
					  " (SELECT FROM chatrel.groups_members mine"
					  " WHERE mine.group_id" EQ "g.id AND mine.user_id" EQ "$2)",
					  "$3", ""),
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, INT8OID, INT8OID),
	.by_index = true
};

/* The page is cut out of the index before the users are joined to it. */
static SqlPlan members_page = {
	.sql = "SELECT m.user_id, u.username, m.role, m.joined_at, m.muted_until, m.id"
	" FROM (SELECT * FROM chatrel.groups_members"
	" WHERE group_id" EQ "$1 AND id" GT "$2 ORDER BY id LIMIT $3) m"
	" JOIN chatrel.users u ON u.id" EQ "m.user_id"
	" ORDER BY m.id",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, INT8OID, INT8OID),
	.by_index = true
};

/* $1 null: of all groups */
static SqlPlan members_of_groups = {
	.sql = "SELECT m.group_id, m.user_id FROM chatrel.groups_members m"
	" WHERE $1 IS NULL OR m.group_id" EQ "ANY ($1)"
	" ORDER BY m.group_id, m.user_id",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8ARRAYOID)
};

PG_FUNCTION_INFO_V1(chatrel_create_group);
PG_FUNCTION_INFO_V1(chatrel_get_group);
PG_FUNCTION_INFO_V1(chatrel_group_members);
PG_FUNCTION_INFO_V1(chatrel_group_members_of);

/* Once more where the group of this name goes after it was found. */
static PlanResult
create_group(Datum *values, const char *nulls)
{
	for (int i = 0; i < MAX_TRIES; i++)
	{
		PlanResult	created = plan_run(&group_create, PLAN_WRITE, values, nulls);

		if (created.nrows > 0)
			return created;
		check_name_free(DatumGetTextPP(values[0]), 0);
	}
	error_change_suppressed("groups");
}

/* A private group that its creator is not in could never be entered. */
Datum
chatrel_create_group(PG_FUNCTION_ARGS)
{
	text	   *name = require_text(fcinfo, 0, "name", guc_max_name_length,
									"chatrel.max_name_length");
	bool		join_this_group = require_bool(fcinfo, 1, "join_this_group");
	const char *visibility = require_choice(fcinfo, 2, "visibility", visibilities);
	const char *join_policy = require_choice(fcinfo, 3, "join_policy", join_policies);
	text	   *description = PG_ARGISNULL(4) ? NULL : require_description(fcinfo, 4);
	Jsonb	   *metadata = PG_ARGISNULL(5) ? NULL : require_metadata(fcinfo, 5);
	int64		user_id = acting_user(fcinfo);
	Datum		values[] = {PointerGetDatum(name), Int64GetDatum(user_id),
		CStringGetTextDatum(visibility), CStringGetTextDatum(join_policy),
	PointerGetDatum(description), PointerGetDatum(metadata)};
	char		nulls[] = {' ', ' ', ' ', ' ', description == NULL ? 'n' : ' ',
	metadata == NULL ? 'n' : ' ', '\0'};
	OwnerScope	scope;
	char	   *username;
	PlanResult	created;
	Datum		result;

	PreventCommandIfReadOnly("chatrel.create_group()");
	owner_begin(&scope, fcinfo);
	username = lock_user_to_join(user_id);
	created = create_group(values, nulls);
	result = result_as_row(&created, 0, fcinfo);
	if (join_this_group || strcmp(visibility, "public") != 0)
		(void) add_member(result_int64(&created, 0, GROUP_ID), user_id, user_id, username);
	owner_end(&scope);

	PG_RETURN_DATUM(result);
}

Datum
group_document(int64 group_id, int64 user_id, int64 member_limit, PlanAccess access)
{
	Datum		values[] = {Int64GetDatum(group_id), Int64GetDatum(user_id),
	Int64GetDatum(member_limit + 1)};
	PlanResult	group = plan_run(&group_of_member, access, values, NULL);
	JsonWriter	json;

	if (group.nrows == 0)
		error_group_not_found(group_id);
	json_begin_jsonb(&json);
	json_begin_object(&json, NULL);
	json_group(&json, &group, 0, member_limit);
	if (group.nrows > member_limit) /* each row has a member: the user is one */
		json_int64(&json, "member_count", count_members(group_id));
	json_end_object(&json);
	return SPI_datumTransfer(json_end_jsonb(&json), false, -1);
}

Datum
chatrel_get_group(PG_FUNCTION_ARGS)
{
	int64		group_id = require_int64(fcinfo, 0, "group_id");
	int64		member_limit = require_integer(fcinfo, 1, "member_limit", 0);
	int64		user_id = acting_user(fcinfo);
	OwnerScope	scope;
	Datum		result;

	owner_begin(&scope, fcinfo);
	result = group_document(group_id, user_id, member_limit, PLAN_READ);
	owner_end(&scope);

	PG_RETURN_DATUM(result);
}

Datum
chatrel_group_members(PG_FUNCTION_ARGS)
{
	return return_group_page(fcinfo, &members_page, ACT_READ);
}

Datum
chatrel_group_members_of(PG_FUNCTION_ARGS)
{
	Datum		values[] = {(Datum) 0};
	OwnerScope	scope;

	if (!PG_ARGISNULL(0))
		values[0] = PointerGetDatum(require_ids(fcinfo, 0, "group_ids"));
	InitMaterializedSRF(fcinfo, 0);

	owner_begin(&scope, fcinfo);
	plan_fill(&members_of_groups, (ReturnSetInfo *) fcinfo->resultinfo, values,
			  PG_ARGISNULL(0) ? "n" : NULL);
	owner_end(&scope);

	return (Datum) 0;
}
