/*
 * moderation.c
 *	  What moderators and owners do to members: roles, removal, mutes.
 *
 * Both memberships are locked FOR UPDATE, in the order of the users' ids, before it
 * is asked who may do what: the one who acts cannot be demoted meanwhile, and what
 * the other one is doing ends first.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "core/check.h"
#include "core/errors.h"
#include "core/identity.h"
#include "delivery/record.h"
#include "groups/joining.h"
#include "groups/member_changes.h"
#include "groups/members.h"
#include "groups/moderation.h"

static SqlPlan role_set = {
	.sql = "UPDATE chatrel.groups_members SET role = $3"
	" WHERE group_id" EQ "$1 AND user_id" EQ "$2",
	.expected = SPI_OK_UPDATE,
	PLAN_ARGS(INT8OID, INT8OID, TEXTOID)
};

static SqlPlan mute_set = {
	.sql = "UPDATE chatrel.groups_members SET muted_until = $3"
	" WHERE group_id" EQ "$1 AND user_id" EQ "$2"
	" AND " TIME_OR("muted_until", "-infinity") NE TIME_OR("$3", "-infinity"),
	.expected = SPI_OK_UPDATE,
	PLAN_ARGS(INT8OID, INT8OID, TIMESTAMPTZOID)
};

PG_FUNCTION_INFO_V1(chatrel_set_role);
PG_FUNCTION_INFO_V1(chatrel_remove_member);
PG_FUNCTION_INFO_V1(chatrel_mute_member);
PG_FUNCTION_INFO_V1(chatrel_unmute_member);

/* ---------- who may ---------- */

static void
error_other_not_member(int64 group_id, int64 user_id)
{
	ereport(ERROR,
			(errcode(ERRCODE_NO_DATA_FOUND),
			 errmsg("user %lld is not a member of group %lld",
					(long long) user_id, (long long) group_id),
			 err_table("groups_members")));
}

static void
require_below(const MemberPair *pair)
{
	if (pair->other.role >= pair->actor.role)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("user %lld is not below user %lld in group %lld",
						(long long) pair->other.user_id, (long long) pair->actor.user_id,
						(long long) pair->actor.group_id),
				 errdetail("The one is %s, and the other %s.",
						   role_name(pair->other.role), role_name(pair->actor.role)),
				 err_column("groups_members", "role")));
}

/* Locks a moderator and the user to be moderated, who is below it if it is a member. */
void
lock_to_moderate(MemberPair *pair, int64 group_id, int64 actor_id, int64 user_id)
{
	lock_two_members(pair, group_id, actor_id, user_id, false);
	require_right_of_actor(pair, group_id, actor_id, ACT_MODERATE);
	if (pair->has_other)
		require_below(pair);
}

/* null: for ever */
TimestampTz
require_until(FunctionCallInfo fcinfo, int argno)
{
	TimestampTz until;

	if (PG_ARGISNULL(argno))
		return DT_NOEND;
	until = PG_GETARG_TIMESTAMPTZ(argno);
	check_to_come(until, "until");
	return until;
}

/* ---------- roles ---------- */

static bool
set_role(int64 group_id, int64 actor_id, int64 user_id, GroupRole role)
{
	Datum		values[] = {Int64GetDatum(group_id), Int64GetDatum(user_id),
	CStringGetTextDatum(role_name(role))};
	MemberPair	pair;

	lock_two_members(&pair, group_id, actor_id, user_id, true);
	require_right_of_actor(&pair, group_id, actor_id, ACT_SET_ROLE);
	if (!pair.has_other)
		error_other_not_member(group_id, user_id);
	if (pair.other.role == role)
		return false;
	if (pair.other.role == ROLE_OWNER && pair.owners == 1)
		error_last_owner(group_id, user_id);
	check_changed(plan_run(&role_set, PLAN_WRITE, values, NULL).nrows, 1, "groups_members");
	record_role(group_id, user_id, actor_id, role);
	return true;
}

Datum
chatrel_set_role(PG_FUNCTION_ARGS)
{
	int64		group_id = require_int64(fcinfo, 0, "group_id");
	int64		user_id = require_int64(fcinfo, 1, "user_id");
	GroupRole	role;
	int64		actor_id;
	OwnerScope	scope;
	bool		changed;

	check_not_null(fcinfo, 2, "role");
	role = parse_role(text_to_cstring(PG_GETARG_TEXT_PP(2)));
	actor_id = acting_user(fcinfo);

	PreventCommandIfReadOnly("chatrel.set_role()");
	owner_begin(&scope, fcinfo);
	changed = set_role(group_id, actor_id, user_id, role);
	owner_end(&scope);

	PG_RETURN_BOOL(changed);
}

/* ---------- removing ---------- */

Datum
chatrel_remove_member(PG_FUNCTION_ARGS)
{
	int64		group_id = require_int64(fcinfo, 0, "group_id");
	int64		user_id = require_int64(fcinfo, 1, "user_id");
	int64		actor_id = acting_user(fcinfo);
	MemberPair	pair;
	OwnerScope	scope;
	bool		removed;

	PreventCommandIfReadOnly("chatrel.remove_member()");
	owner_begin(&scope, fcinfo);
	lock_to_moderate(&pair, group_id, actor_id, user_id);
	removed = pair.has_other && remove_member(group_id, user_id, actor_id, LEFT_BY_REMOVAL, false);
	if (removed)
		forget_admission(group_id, user_id);
	owner_end(&scope);

	PG_RETURN_BOOL(removed);
}

/* ---------- muting ---------- */

static void
record_mute(int64 group_id, int64 user_id, int64 actor_id, TimestampTz until)
{
	JsonWriter	detail;
	RecordedEvent changed = {
		.kind = "member_changed",
		.group_id = group_id,
		.actor_id = actor_id,
		.user_id = user_id
	};

	json_begin_jsonb(&detail);
	detail.utc = true;
	json_begin_object(&detail, NULL);
	if (TIMESTAMP_IS_NOBEGIN(until))
		json_bool(&detail, "muted", false);
	else
	{
		json_bool(&detail, "muted", true);
		json_timestamp(&detail, "until", until);
	}
	json_end_object(&detail);
	changed.detail = DatumGetJsonbP(json_end_jsonb(&detail));
	record_event(&changed);
}

/* -infinity unmutes. */
static bool
mute(int64 group_id, int64 actor_id, int64 user_id, TimestampTz until)
{
	Datum		values[] = {Int64GetDatum(group_id), Int64GetDatum(user_id),
	TimestampTzGetDatum(until)};
	const char *nulls = TIMESTAMP_IS_NOBEGIN(until) ? "  n" : NULL;
	MemberPair	pair;

	lock_to_moderate(&pair, group_id, actor_id, user_id);
	if (!pair.has_other)
		error_other_not_member(group_id, user_id);
	if (plan_run(&mute_set, PLAN_WRITE, values, nulls).nrows == 0)
		return false;
	record_mute(group_id, user_id, actor_id, until);
	return true;
}

static Datum
change_mute(FunctionCallInfo fcinfo, TimestampTz until, const char *function)
{
	int64		group_id = require_int64(fcinfo, 0, "group_id");
	int64		user_id = require_int64(fcinfo, 1, "user_id");
	int64		actor_id = acting_user(fcinfo);
	OwnerScope	scope;
	bool		changed;

	PreventCommandIfReadOnly(function);
	owner_begin(&scope, fcinfo);
	changed = mute(group_id, actor_id, user_id, until);
	owner_end(&scope);

	PG_RETURN_BOOL(changed);
}

Datum
chatrel_mute_member(PG_FUNCTION_ARGS)
{
	return change_mute(fcinfo, require_until(fcinfo, 2), "chatrel.mute_member()");
}

Datum
chatrel_unmute_member(PG_FUNCTION_ARGS)
{
	return change_mute(fcinfo, DT_NOBEGIN, "chatrel.unmute_member()");
}
