/*
 * members.c
 *	  Who is in which group: memberships, and acting as a member.
 *
 * A membership is checked and used under one lock.  Whoever acts as a member
 * holds the membership row FOR KEY SHARE until the transaction ends; whoever
 * removes the member, or changes what it may do, locks it FOR UPDATE, and so waits
 * for it.  Once that has committed, nothing commits that the member may not do then.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"

#include "core/check.h"
#include "core/errors.h"
#include "core/identity.h"
#include "core/plans.h"
#include "delivery/events.h"
#include "delivery/record.h"
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

static SqlPlan common_member_exists = {
	.sql = "SELECT FROM chatrel.groups_members"
	" WHERE group_id" EQ "$1 AND user_id" EQ "$2 AND role" NE "'owner'",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, INT8OID)
};

static SqlPlan group_exists = {
	.sql = "SELECT FROM chatrel.groups WHERE id" EQ "$1",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID)
};

/* What is to be known of a group by who is no member of it */
static SqlPlan group_is_public = {
	.sql = "SELECT FROM chatrel.groups WHERE id" EQ "$1 AND visibility" EQ "'public'",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID)
};

/* Both wait for a delete_user(), and then find the user deleted, or keep it off. */
static SqlPlan user_share = {
	.sql = "SELECT username FROM chatrel.users WHERE id" EQ "$1 AND deleted_at IS NULL FOR SHARE",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID)
};

static SqlPlan user_lock = {
	.sql = "SELECT username FROM chatrel.users WHERE id" EQ "$1 AND deleted_at IS NULL"
	" FOR NO KEY UPDATE",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID)
};

/* The creator of a group that nobody owns is its owner. */
static SqlPlan member_add = {
	.sql = "INSERT INTO chatrel.groups_members AS m (group_id, user_id, role)"
	" SELECT g.id, $2, CASE WHEN g.creator_id" EQ "$2 AND g.visibility" NE "'direct'"
	" AND NOT EXISTS (SELECT FROM chatrel.groups_members o"
	" WHERE o.group_id" EQ "g.id AND o.role" EQ "'owner') THEN 'owner' ELSE 'member' END"
	" FROM chatrel.groups g WHERE g.id" EQ "$1 FOR KEY SHARE"
	" ON CONFLICT (group_id, user_id) DO NOTHING",
	.expected = SPI_OK_INSERT,
	PLAN_ARGS(INT8OID, INT8OID),
	.by_index = true
};

/* $3: not if it is an owner */
static SqlPlan member_remove = {
	.sql = "DELETE FROM chatrel.groups_members m USING chatrel.users u"
	" WHERE m.group_id" EQ "$1 AND m.user_id" EQ "$2 AND u.id" EQ "m.user_id"
	" AND NOT ($3 AND m.role" EQ "'owner')"
	" RETURNING u.username",
	.expected = SPI_OK_DELETE_RETURNING,
	PLAN_ARGS(INT8OID, INT8OID, BOOLOID),
	.by_index = true
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
	int64		other_id = is_writing(act) ? lock_direct_pair(group_id, user_id) : 0;
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
	Datum		values[] = {Int64GetDatum(group_id), int64_array(ids, 2), BoolGetDatum(with_owners)};
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

/* ---------- coming and going ---------- */

/* Tells listeners to ask for the channel of a group. */
static void
announce_relisten(EventTarget target, int64 id, int64 group_id)
{
	JsonWriter	event;

	event_begin(&event, "relisten");
	json_id(&event, "group_id", group_id);
	announce(target, id, false, &event);
}

static Jsonb *
member_detail(const char *username, const char *reason)
{
	JsonWriter	json;

	json_begin_jsonb(&json);
	json_begin_object(&json, NULL);
	json_string(&json, "username", username);
	json_string(&json, "reason", reason);
	json_end_object(&json);
	return DatumGetJsonbP(json_end_jsonb(&json));
}

/* The group hears of a new member, and so do the member's own sessions. */
static void
record_addition(int64 group_id, int64 user_id, int64 actor_id, const char *username)
{
	RecordedEvent joined = {
		.kind = "member_joined",
		.group_id = group_id,
		.actor_id = actor_id,
		.user_id = user_id,
		.detail = event_detail("username", username)
	};
	RecordedEvent added = {
		.kind = "added_to_group",
		.group_id = group_id,
		.recipient_id = user_id,
		.actor_id = actor_id
	};

	record_event(&joined);
	record_event(&added);
}

/*
 * The last that the member hears of the group is that; a user that the
 * administration deletes hears nothing.
 */
static void
record_removal(int64 group_id, int64 user_id, int64 actor_id, const char *username,
			   const char *reason)
{
	RecordedEvent left = {
		.kind = "member_left",
		.group_id = group_id,
		.actor_id = actor_id,
		.user_id = user_id,
		.detail = member_detail(username, reason)
	};
	RecordedEvent removed = {
		.kind = "removed_from_group",
		.group_id = group_id,
		.recipient_id = user_id,
		.actor_id = actor_id,
		.detail = event_detail("reason", reason)
	};

	record_member_event(&left, EVENT_OLD_CHANNEL);
	if (strcmp(reason, LEFT_BY_DELETION) != 0)
		record_event(&removed);
}

/* Everybody in the group hears of it, the member too; there is no actor where nobody did it. */
void
record_role(int64 group_id, int64 user_id, int64 actor_id, GroupRole role)
{
	RecordedEvent changed = {
		.kind = "member_changed",
		.group_id = group_id,
		.actor_id = actor_id,
		.user_id = user_id,
		.detail = event_detail("role", role_name(role))
	};

	record_event(&changed);
}

static char *
name_of_locked_user(SqlPlan *lock, int64 user_id)
{
	Datum		values[] = {Int64GetDatum(user_id)};
	PlanResult	user = plan_run(lock, PLAN_WRITE, values, NULL);

	if (user.nrows == 0)
		error_user_not_found(user_id);
	return result_cstring(&user, 0, 1);
}

/* Locks a user against its deletion; returns its name. */
char *
keep_user(int64 user_id)
{
	return name_of_locked_user(&user_share, user_id);
}

/*
 * Locks a user that joins, or asks to, against who invites it as well, or bans it:
 * each of them finds what the one before has done.  Returns its name.
 */
char *
lock_user_to_join(int64 user_id)
{
	return name_of_locked_user(&user_lock, user_id);
}

/*
 * Makes a user that is locked a member; false if it is one.  The group hears of it,
 * and so do the user's own sessions, which may want to listen to the group now.
 * Once more where the user leaves after the row was found.
 */
bool
add_member(int64 group_id, int64 user_id, int64 actor_id, const char *username)
{
	Datum		values[] = {Int64GetDatum(group_id), Int64GetDatum(user_id)};

	for (int i = 0; i < MAX_TRIES; i++)
	{
		if (plan_run(&member_add, PLAN_WRITE, values, NULL).nrows > 0)
		{
			record_addition(group_id, user_id, actor_id, username);
			announce_relisten(EVENT_USER, user_id, group_id);
			return true;
		}
		if (plan_run(&member_exists, PLAN_WRITE, values, NULL).nrows > 0)
			return false;
		if (plan_run(&group_exists, PLAN_WRITE, values, NULL).nrows == 0)
			error_group_not_found(group_id);
	}
	error_change_suppressed("groups_members");
}

/*
 * What follows a removal: the group gets a new channel when it commits, so that
 * the removed member hears no more, and the old one a last word to the others.
 */
void
announce_removal(int64 group_id, int64 user_id, int64 actor_id, const char *username,
				 const char *reason)
{
	record_removal(group_id, user_id, actor_id, username, reason);
	announce_relisten(EVENT_OLD_CHANNEL, group_id, group_id);
}

/*
 * Ends a membership that is not an owner's, or whoever's; false if there is none.
 * Once more where the user joins meanwhile.
 */
bool
remove_member(int64 group_id, int64 user_id, int64 actor_id, const char *reason, bool owners_too)
{
	Datum		values[] = {Int64GetDatum(group_id), Int64GetDatum(user_id),
	BoolGetDatum(!owners_too)};

	for (int i = 0; i < MAX_TRIES; i++)
	{
		PlanResult	removed = plan_run(&member_remove, PLAN_WRITE, values, NULL);

		if (removed.nrows > 0)
		{
			announce_removal(group_id, user_id, actor_id, result_cstring(&removed, 0, 1), reason);
			return true;
		}
		if (plan_run(owners_too ? &member_exists : &common_member_exists, PLAN_WRITE, values,
					 NULL).nrows == 0)
			return false;
	}
	error_change_suppressed("groups_members");
}
