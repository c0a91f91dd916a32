/*
 * joining.c
 *	  Coming into a group, and leaving it.
 *
 * Whoever joins, or asks to, is locked FOR SHARE first, and whoever bans a user locks it
 * FOR NO KEY UPDATE: so of the two the second finds what the first has done.  Those who
 * invite it at that moment, and those who follow it, are not in the way: an invitation
 * that is left to a member so ends with the membership.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"

#include "core/check.h"
#include "core/errors.h"
#include "core/identity.h"
#include "groups/joining.h"
#include "groups/member_changes.h"
#include "groups/members.h"

/* What decides whether a user may come in */
static SqlPlan join_state = {
	.sql = "SELECT g.visibility" EQ "'public', g.join_policy" EQ "'open',"
	" g.archived_at IS NOT NULL,"
	" EXISTS (SELECT FROM chatrel.groups_members m"
	" WHERE m.group_id" EQ "g.id AND m.user_id" EQ "$2),"
	" " BANNED("g.id", "$2") ", " INVITED("g.id", "$2") ","
	" EXISTS (SELECT FROM chatrel.groups_invitations i"
	" WHERE i.group_id" EQ "g.id AND i.user_id" EQ "$2)"
	" OR EXISTS (SELECT FROM chatrel.groups_join_requests r"
	" WHERE r.group_id" EQ "g.id AND r.user_id" EQ "$2)"
	" FROM chatrel.groups g WHERE g.id" EQ "$1",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, INT8OID),
	.by_index = true
};

/* $3 null: whoever has made them; locked in order, before they are deleted */
static SqlPlan invitations_remove = {
	.sql = "WITH locked AS MATERIALIZED ("
	"SELECT * FROM chatrel.groups_invitations"
	" WHERE group_id" EQ "$1 AND user_id" EQ "$2 AND ($3 IS NULL OR invited_by" EQ "$3)"
	" ORDER BY invited_by FOR UPDATE)"
	" DELETE FROM chatrel.groups_invitations i USING locked WHERE i.group_id" EQ "locked.group_id"
	" AND i.user_id" EQ "locked.user_id AND i.invited_by" EQ "locked.invited_by",
	.expected = SPI_OK_DELETE,
	PLAN_ARGS(INT8OID, INT8OID, INT8OID)
};

static SqlPlan request_remove = {
	.sql = "DELETE FROM chatrel.groups_join_requests WHERE group_id" EQ "$1 AND user_id" EQ "$2",
	.expected = SPI_OK_DELETE,
	PLAN_ARGS(INT8OID, INT8OID)
};

static SqlPlan invitations_of_user_remove = {
	.sql = "WITH locked AS MATERIALIZED ("
	"SELECT * FROM chatrel.groups_invitations WHERE user_id" EQ "$1"
	" ORDER BY group_id, invited_by FOR UPDATE)"
	" DELETE FROM chatrel.groups_invitations i USING locked WHERE i.group_id" EQ "locked.group_id"
	" AND i.user_id" EQ "locked.user_id AND i.invited_by" EQ "locked.invited_by",
	.expected = SPI_OK_DELETE,
	PLAN_ARGS(INT8OID)
};

static SqlPlan requests_of_user_remove = {
	.sql = "WITH locked AS MATERIALIZED ("
	"SELECT * FROM chatrel.groups_join_requests WHERE user_id" EQ "$1"
	" ORDER BY group_id FOR UPDATE)"
	" DELETE FROM chatrel.groups_join_requests r USING locked"
	" WHERE r.group_id" EQ "locked.group_id AND r.user_id" EQ "locked.user_id",
	.expected = SPI_OK_DELETE,
	PLAN_ARGS(INT8OID)
};

/* Nobody joins before this transaction has ended. */
static SqlPlan group_lock = {
	.sql = "SELECT FROM chatrel.groups WHERE id" EQ "$1 FOR UPDATE",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID)
};

static SqlPlan other_members = {
	.sql = "SELECT FROM chatrel.groups_members WHERE group_id" EQ "$1 AND user_id" NE "$2 LIMIT 1",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, INT8OID),
	.by_index = true
};

/* The role is null of who is no member. */
static SqlPlan leave_state = {
	.sql = "SELECT g.visibility" EQ "'public', g.visibility" EQ "'direct', m.role"
	" FROM chatrel.groups g LEFT JOIN chatrel.groups_members m"
	" ON m.group_id" EQ "g.id AND m.user_id" EQ "$2 WHERE g.id" EQ "$1",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, INT8OID),
	.by_index = true
};

PG_FUNCTION_INFO_V1(chatrel_join_group);
PG_FUNCTION_INFO_V1(chatrel_leave_group);

/* ---------- what lets in ---------- */

static bool
is_so(const PlanResult *state, int column)
{
	return DatumGetBool(result_datum(state, 0, column));
}

/* What has committed counts, whatever the isolation level; false if there is no such group. */
bool
read_entry(Entry *state, int64 group_id, int64 user_id)
{
	Datum		values[] = {Int64GetDatum(group_id), Int64GetDatum(user_id)};
	PlanResult	found = plan_run(&join_state, PLAN_LATEST, values, NULL);

	if (found.nrows == 0)
		return false;
	state->is_public = is_so(&found, 1);
	state->is_open = is_so(&found, 2);
	state->is_archived = is_so(&found, 3);
	state->is_member = is_so(&found, 4);
	state->is_banned = is_so(&found, 5);
	state->is_invited = is_so(&found, 6);
	state->is_awaited = is_so(&found, 7);
	return true;
}

/* Those that one member has made, or all if it is 0 */
uint64
remove_invitations(int64 group_id, int64 user_id, int64 invited_by)
{
	Datum		values[] = {Int64GetDatum(group_id), Int64GetDatum(user_id),
	Int64GetDatum(invited_by)};
	const char *nulls = invited_by == 0 ? "  n" : NULL;

	return plan_run(&invitations_remove, PLAN_CASCADE, values, nulls).nrows;
}

bool
remove_join_request(int64 group_id, int64 user_id)
{
	Datum		values[] = {Int64GetDatum(group_id), Int64GetDatum(user_id)};

	return plan_run(&request_remove, PLAN_CASCADE, values, NULL).nrows > 0;
}

/* What was to let a user in is settled: the request first, as who decides one has taken it. */
void
forget_admission(int64 group_id, int64 user_id)
{
	(void) remove_join_request(group_id, user_id);
	(void) remove_invitations(group_id, user_id, 0);
}

/* Of a user that is deleted */
void
remove_all_admissions(int64 user_id)
{
	Datum		values[] = {Int64GetDatum(user_id)};

	plan_run(&requests_of_user_remove, PLAN_CASCADE, values, NULL);
	plan_run(&invitations_of_user_remove, PLAN_CASCADE, values, NULL);
}

/* ---------- joining ---------- */

void
error_banned(int64 user_id, int64 group_id)
{
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("user %lld is banned from group %lld",
					(long long) user_id, (long long) group_id),
			 err_table("groups_bans")));
}

static void
error_not_open(int64 user_id, int64 group_id)
{
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("user %lld may not join group %lld without being let in",
					(long long) user_id, (long long) group_id),
			 errhint("Ask for it, with chatrel.request_to_join(%lld).", (long long) group_id),
			 err_column("groups", "join_policy")));
}

/* What keeps everybody out, or this user, whatever lets it in */
void
check_may_enter(const Entry *state, int64 group_id, int64 user_id)
{
	if (state->is_banned)
		error_banned(user_id, group_id);
	if (state->is_archived)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("group %lld is archived", (long long) group_id),
				 err_column("groups", "archived_at")));
}

/* Nothing is said of a group that the user cannot know of. */
static void
check_may_join(const Entry *state, int64 group_id, int64 user_id, JoinReason reason)
{
	bool		let_in = reason != JOIN_FREELY || state->is_invited;

	if (!state->is_public && !let_in)
		error_group_not_found(group_id);
	check_may_enter(state, group_id, user_id);
	if (!state->is_open && !let_in)
		error_not_open(user_id, group_id);
}

/*
 * Makes the user a member, and settles what was to lead to it; false if it is one.
 * A request is taken before the membership is written, as who decides it does.  Once
 * more where the user is just leaving; but who decides does not wait for that, as who
 * leaves takes the request after the membership.
 */
bool
join(int64 group_id, int64 user_id, int64 actor_id, JoinReason reason)
{
	char	   *username = lock_user_to_join(user_id);

	for (int i = 0; i < MAX_TRIES; i++)
	{
		Entry		state;

		if (!read_entry(&state, group_id, user_id))
			error_group_not_found(group_id);
		if (state.is_member)
		{
			if (reason == JOIN_BY_DECISION || stays_member(group_id, user_id))
				return false;
			continue;
		}
		check_may_join(&state, group_id, user_id, reason);
		if (state.is_awaited)
		{
			keep_group(group_id);
			forget_admission(group_id, user_id);
		}
		return add_member(group_id, user_id, actor_id, username);
	}
	error_change_suppressed("groups_members");
}

Datum
chatrel_join_group(PG_FUNCTION_ARGS)
{
	int64		group_id = require_int64(fcinfo, 0, "group_id");
	int64		user_id = acting_user(fcinfo);
	OwnerScope	scope;
	bool		joined;

	PreventCommandIfReadOnly("chatrel.join_group()");
	owner_begin(&scope, fcinfo);
	joined = join(group_id, user_id, user_id, JOIN_FREELY);
	owner_end(&scope);

	PG_RETURN_BOOL(joined);
}

/* ---------- leaving ---------- */

/*
 * The last owner stays while there are others, and of two owners who leave at the
 * same time the second finds that.  Nobody joins meanwhile.
 */
static bool
leave_as_owner(int64 group_id, int64 user_id)
{
	Datum		values[] = {Int64GetDatum(group_id), Int64GetDatum(user_id)};
	MemberPair	pair;

	if (plan_run(&group_lock, PLAN_WRITE, values, NULL).nrows == 0)
		error_group_not_found(group_id);
	lock_two_members(&pair, group_id, user_id, user_id, true);
	if (pair.has_actor && pair.actor.role == ROLE_OWNER && pair.owners == 1 &&
		plan_run(&other_members, PLAN_WRITE, values, NULL).nrows > 0)
		error_last_owner(group_id, user_id);
	return remove_member(group_id, user_id, user_id, LEFT_BY_LEAVING, true);
}

/* False for who is no member.  Once more where the user becomes owner meanwhile. */
static bool
leave(int64 group_id, int64 user_id)
{
	Datum		values[] = {Int64GetDatum(group_id), Int64GetDatum(user_id)};

	for (int i = 0; i < MAX_TRIES; i++)
	{
		PlanResult	state = plan_run(&leave_state, PLAN_WRITE, values, NULL);
		bool		is_member = state.nrows > 0 && !result_is_null(&state, 0, 3);

		if (state.nrows == 0 || (!is_member && !is_so(&state, 1)))
			error_group_not_found(group_id);
		if (!is_member)
		{
			require_user(user_id);
			return false;
		}
		if (is_so(&state, 2))
			error_direct(group_id);
		if (parse_role(result_cstring(&state, 0, 3)) == ROLE_OWNER)
			return leave_as_owner(group_id, user_id);
		if (remove_member(group_id, user_id, user_id, LEFT_BY_LEAVING, false))
			return true;
	}
	error_change_suppressed("groups_members");
}

Datum
chatrel_leave_group(PG_FUNCTION_ARGS)
{
	int64		group_id = require_int64(fcinfo, 0, "group_id");
	int64		user_id = acting_user(fcinfo);
	OwnerScope	scope;
	bool		left;

	PreventCommandIfReadOnly("chatrel.leave_group()");
	owner_begin(&scope, fcinfo);
	left = leave(group_id, user_id);
	if (left)
		forget_admission(group_id, user_id);
	owner_end(&scope);

	PG_RETURN_BOOL(left);
}
