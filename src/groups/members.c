/*
 * members.c
 *	  Acting as a member of a group.
 *
 * A membership is checked and used under one lock.  Whoever acts as a member
 * holds the membership row FOR KEY SHARE until the transaction ends; whoever
 * removes the member, or changes what it may do, locks it FOR UPDATE, and so waits
 * for it.  Once that has committed, nothing commits that the member may not do then.
 */
#include "postgres.h"

#include "catalog/pg_type.h"

#include "core/errors.h"
#include "core/identity.h"
#include "core/plans.h"
#include "groups/direct_pair.h"
#include "groups/members.h"

static SqlPlan group_share = {
	.sql = "SELECT FROM chatrel.groups WHERE id" EQ "$1 FOR KEY SHARE",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID)
};

static SqlPlan member_lock = {
	.sql = "SELECT " MEMBERSHIP_COLUMNS
	" FROM chatrel.groups_members m JOIN chatrel.groups g ON g.id" EQ "m.group_id"
	" WHERE m.group_id" EQ "$1 AND m.user_id" EQ "$2 FOR KEY SHARE OF m",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, INT8OID),
	.by_index = true
};

/* The same for who only reads */
static SqlPlan member_read = {
	.sql = "SELECT " MEMBERSHIP_COLUMNS
	" FROM chatrel.groups_members m JOIN chatrel.groups g ON g.id" EQ "m.group_id"
	" WHERE m.group_id" EQ "$1 AND m.user_id" EQ "$2",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, INT8OID),
	.by_index = true
};

/* In slow mode; of two sends of one member at the same time the second finds the first. */
static SqlPlan send_slowly = {
	.sql = "UPDATE chatrel.groups_members m"
	" SET may_send_at = pg_catalog.clock_timestamp() OPERATOR(pg_catalog.+) g.slow_mode"
	" FROM chatrel.groups g WHERE m.group_id" EQ "$1 AND m.user_id" EQ "$2 AND g.id" EQ "m.group_id"
	" AND (m.may_send_at IS NULL OR m.may_send_at" LE "pg_catalog.clock_timestamp())",
	.expected = SPI_OK_UPDATE,
	PLAN_ARGS(INT8OID, INT8OID)
};

static SqlPlan member_exists = {
	.sql = "SELECT FROM chatrel.groups_members WHERE group_id" EQ "$1 AND user_id" EQ "$2",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, INT8OID)
};

/* What is to be known of a group by who is no member of it */
static SqlPlan group_is_public = {
	.sql = "SELECT FROM chatrel.groups WHERE id" EQ "$1 AND visibility" EQ "'public'",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID)
};

/* Who are named in $2, and the owners if $3, in the order of their ids */
static SqlPlan members_lock = {
	.sql = "SELECT " MEMBERSHIP_COLUMNS
	" FROM chatrel.groups_members m JOIN chatrel.groups g ON g.id" EQ "m.group_id"
	" WHERE m.group_id" EQ "$1 AND (m.user_id" EQ "ANY ($2) OR ($3 AND m.role" EQ "'owner'))"
	" ORDER BY m.user_id FOR UPDATE OF m",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, INT8ARRAYOID, BOOLOID),
	.by_index = true
};

/* ---------- errors ---------- */

void
error_group_not_found(int64 group_id)
{
	ereport(ERROR,
			(errcode(ERRCODE_NO_DATA_FOUND),
			 errmsg("group %lld does not exist", (long long) group_id),
			 err_table("groups")));
}

/*
 * As for a row that a policy does not let in; the table tells it from a grant
 * that the role lacks, for which PostgreSQL has the same code.
 */
static void
error_not_member(int64 user_id, int64 group_id)
{
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("user %lld is not a member of group %lld",
					(long long) user_id, (long long) group_id),
			 errhint("Join it first, with chatrel.join_group(%lld).",
					 (long long) group_id),
			 err_table("groups_members")));
}

/* ---------- membership ---------- */

/* A group that is not public does not exist for others than its members. */
static void
require_public_group(int64 group_id)
{
	Datum		values[] = {Int64GetDatum(group_id)};

	if (plan_run(&group_is_public, PLAN_WRITE, values, NULL).nrows == 0)
		error_group_not_found(group_id);
}

/* Of a user who turns out to be no member; whoever reads has no such group. */
static void
error_no_membership(int64 user_id, int64 group_id, GroupAct act)
{
	if (act == ACT_READ)
		error_group_not_found(group_id);
	require_public_group(group_id);
	require_user(user_id);
	error_not_member(user_id, group_id);
}

static void
wait_for_turn(const Membership *member)
{
	Datum		values[] = {Int64GetDatum(member->group_id), Int64GetDatum(member->user_id)};

	if (plan_run(&send_slowly, PLAN_WRITE, values, NULL).nrows == 0)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("user %lld has sent a message to group %lld a short time ago",
						(long long) member->user_id, (long long) member->group_id),
				 errhint("The group is in slow mode: wait before the next one."),
				 err_column("groups", "slow_mode")));
}

/*
 * Keeps a group from being deleted, for a row that will refer to it: the check of
 * that would lock the group after the membership, out of the order.
 */
void
keep_group(int64 group_id)
{
	Datum		values[] = {Int64GetDatum(group_id)};

	plan_run(&group_share, PLAN_WRITE, values, NULL);
}

/*
 * Makes sure that the user is a member, and keeps it one until the transaction ends,
 * for an act that require_act() allows or not.
 */
void
hold_membership(Membership *member, int64 user_id, int64 group_id, GroupAct act)
{
	Datum		values[] = {Int64GetDatum(group_id), Int64GetDatum(user_id)};
	int64		other_id = is_ended_by_block(act) ? lock_direct_pair(group_id, user_id) : 0;
	PlanResult	found = plan_run(&member_lock, PLAN_WRITE, values, NULL);

	if (found.nrows == 0)
		error_no_membership(user_id, group_id, act);
	read_membership(member, &found, 0);
	member->other_id = other_id;
}

void
require_act(const Membership *member, GroupAct act)
{
	require_right(member, act);
	if (member->other_id != 0)
		require_unblocked(member->user_id, member->other_id);
	if (act == ACT_SEND && member->slow && member->role == ROLE_MEMBER)
		wait_for_turn(member);
}

/* Makes sure that the user is a member who may do this. */
void
lock_membership(int64 user_id, int64 group_id, GroupAct act)
{
	Membership	member;

	hold_membership(&member, user_id, group_id, act);
	require_act(&member, act);
}

/*
 * Whether a user that was found to be a member, by what has committed, is one until
 * the transaction ends
 */
bool
stays_member(int64 group_id, int64 user_id)
{
	Datum		values[] = {Int64GetDatum(group_id), Int64GetDatum(user_id)};

	return plan_run(&member_lock, PLAN_LATEST, values, NULL).nrows > 0;
}

/*
 * Locks an actor and another user, as far as they are members, so that nothing else
 * is done by or to either meanwhile; with the owners, where it matters whether there
 * are others.
 */
void
lock_two_members(MemberPair *pair, int64 group_id, int64 actor_id, int64 user_id, bool with_owners)
{
	const int64 ids[] = {actor_id, user_id};
	Datum		values[] = {Int64GetDatum(group_id), int64_array(ids, 2),
	BoolGetDatum(with_owners)};
	PlanResult	found = plan_run(&members_lock, PLAN_WRITE, values, NULL);

	memset(pair, 0, sizeof(*pair));
	for (uint64 row = 0; row < found.nrows; row++)
	{
		Membership	member;

		read_membership(&member, &found, row);
		if (member.role == ROLE_OWNER)
			pair->owners++;
		if (member.user_id == actor_id)
		{
			pair->actor = member;
			pair->has_actor = true;
		}
		if (member.user_id == user_id)
		{
			pair->other = member;
			pair->has_other = true;
		}
	}
}

void
require_right_of_actor(const MemberPair *pair, int64 group_id, int64 actor_id, GroupAct act)
{
	if (!pair->has_actor)
		error_no_membership(actor_id, group_id, act);
	require_right(&pair->actor, act);
}

/* For functions that only read: no lock, the caller's snapshot. */
void
check_membership(int64 user_id, int64 group_id)
{
	Datum		values[] = {Int64GetDatum(group_id), Int64GetDatum(user_id)};

	if (plan_run(&member_exists, PLAN_READ, values, NULL).nrows == 0)
		error_group_not_found(group_id);
}

/* The same for what not every member may read. */
void
check_right(int64 user_id, int64 group_id, GroupAct act)
{
	Datum		values[] = {Int64GetDatum(group_id), Int64GetDatum(user_id)};
	PlanResult	found = plan_run(&member_read, PLAN_READ, values, NULL);
	Membership	member;

	if (found.nrows == 0)
		error_group_not_found(group_id);
	read_membership(&member, &found, 0);
	require_right(&member, act);
}
