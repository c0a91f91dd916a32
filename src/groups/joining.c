/*
 * joining.c
 *	  Coming into a group, and leaving it.
 *
 * Whoever joins is locked FOR SHARE first, and whoever bans a user locks it FOR NO
 * KEY UPDATE: so of the two the second finds what the first has done.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"

#include "core/check.h"
#include "core/errors.h"
#include "core/identity.h"
#include "groups/joining.h"
#include "groups/members.h"

/* What decides whether a user may come in */
static SqlPlan join_state = {
	.sql = "SELECT g.visibility" EQ "'public', g.join_policy" EQ "'open',"
	" g.archived_at IS NOT NULL,"
	" EXISTS (SELECT FROM chatrel.groups_members m"
	" WHERE m.group_id" EQ "g.id AND m.user_id" EQ "$2),"
	" EXISTS (SELECT FROM chatrel.groups_bans b WHERE b.group_id" EQ "g.id AND b.user_id" EQ "$2"
	" AND (b.until IS NULL OR b.until" GT "pg_catalog.clock_timestamp())),"
	" EXISTS (SELECT FROM chatrel.groups_invitations i"
	" WHERE i.group_id" EQ "g.id AND i.user_id" EQ "$2),"
	" EXISTS (SELECT FROM chatrel.groups_join_requests r"
	" WHERE r.group_id" EQ "g.id AND r.user_id" EQ "$2)"
	" FROM chatrel.groups g WHERE g.id" EQ "$1",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, INT8OID)
};

/* Its columns */
enum
{
	STATE_PUBLIC = 1,
	STATE_OPEN,
	STATE_ARCHIVED,
	STATE_MEMBER,
	STATE_BANNED,
	STATE_INVITED,
	STATE_REQUESTED
};

static SqlPlan invitation_forget = {
	.sql = "DELETE FROM chatrel.groups_invitations WHERE group_id" EQ "$1 AND user_id" EQ "$2",
	.expected = SPI_OK_DELETE,
	PLAN_ARGS(INT8OID, INT8OID)
};

static SqlPlan request_forget = {
	.sql = "DELETE FROM chatrel.groups_join_requests WHERE group_id" EQ "$1 AND user_id" EQ "$2",
	.expected = SPI_OK_DELETE,
	PLAN_ARGS(INT8OID, INT8OID)
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
	PLAN_ARGS(INT8OID, INT8OID)
};

PG_FUNCTION_INFO_V1(chatrel_join_group);
PG_FUNCTION_INFO_V1(chatrel_leave_group);

/* ---------- joining ---------- */

static bool
is_so(const PlanResult *state, int column)
{
	return DatumGetBool(result_datum(state, 0, column));
}

static void
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

/* Nothing is said of a group that the user cannot know of. */
static void
check_may_join(const PlanResult *state, int64 group_id, int64 user_id, JoinReason reason)
{
	bool		let_in = reason != JOIN_FREELY || is_so(state, STATE_INVITED);

	if (!is_so(state, STATE_PUBLIC) && !let_in)
		error_group_not_found(group_id);
	if (is_so(state, STATE_BANNED))
		error_banned(user_id, group_id);
	if (is_so(state, STATE_ARCHIVED))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("group %lld is archived", (long long) group_id),
				 err_column("groups", "archived_at")));
	if (!is_so(state, STATE_OPEN) && !let_in)
		error_not_open(user_id, group_id);
}

/* What was to let a user in is settled. */
void
forget_admission(int64 group_id, int64 user_id)
{
	Datum		values[] = {Int64GetDatum(group_id), Int64GetDatum(user_id)};

	plan_run(&invitation_forget, PLAN_WRITE, values, NULL);
	plan_run(&request_forget, PLAN_WRITE, values, NULL);
}

/*
 * Makes the user a member, and settles what was to lead to it; false if it is one.
 * Once more where the user is just leaving.
 */
bool
join(int64 group_id, int64 user_id, int64 actor_id, JoinReason reason)
{
	Datum		values[] = {Int64GetDatum(group_id), Int64GetDatum(user_id)};
	char	   *username = lock_user_to_join(user_id);

	for (int i = 0; i < MAX_TRIES; i++)
	{
		PlanResult	state = plan_run(&join_state, PLAN_WRITE, values, NULL);
		bool		joined;

		if (state.nrows == 0)
			error_group_not_found(group_id);
		if (is_so(&state, STATE_MEMBER))
		{
			if (stays_member(group_id, user_id))
				return false;
			continue;
		}
		check_may_join(&state, group_id, user_id, reason);
		joined = add_member(group_id, user_id, actor_id, username);
		if (is_so(&state, STATE_INVITED) || is_so(&state, STATE_REQUESTED))
			forget_admission(group_id, user_id);
		return joined;
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

	plan_run(&group_lock, PLAN_WRITE, values, NULL);
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
	owner_end(&scope);

	PG_RETURN_BOOL(left);
}
