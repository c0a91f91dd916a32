/*
 * rights.c
 *	  What a member may do in a group, by its role and by the group's state.
 *
 * The rules stand in one table, which the documents and a test have as well.  They
 * are asked while the membership is locked: changes of a role, and of who is muted,
 * lock it FOR UPDATE, and so wait for what the member is doing, and hold for all
 * that it does afterwards.  What the group as a whole allows holds for what begins
 * after the change: all of a busy group's senders would contend for the row.
 *
 * Members of a direct conversation are equals, and stay who they are: what others
 * may do by their role only, they do (pins), or nobody does.
 */
#include "postgres.h"

#include "core/errors.h"
#include "groups/rights.h"

typedef struct Rule
{
	GroupRole	lowest;			/* the lowest role that may */
	bool		is_writing;		/* not by a muted member */
	bool		if_archived;	/* in an archived group, too */
	bool		if_direct;		/* in a direct conversation, too: by everybody */
	const char *what;			/* "the group does not let the user …" */
} Rule;

static const Rule rules[] = {
	[ACT_READ] = {ROLE_MEMBER, false, true, true, "read"},
	[ACT_KEEP] = {ROLE_MEMBER, false, true, true, "keep anything"},
	[ACT_SEND] = {ROLE_MEMBER, true, false, true, "send messages"},
	[ACT_CHANGE] = {ROLE_MEMBER, true, false, true, "write"},
	[ACT_DELETE_OWN] = {ROLE_MEMBER, false, true, true, "delete messages"},
	[ACT_DELETE_ANY] = {ROLE_MODERATOR, false, true, false, "delete messages of others"},
	[ACT_PIN] = {ROLE_MODERATOR, true, false, true, "pin messages"},
	[ACT_DESCRIBE] = {ROLE_MODERATOR, false, false, false, "change its name or settings"},
	[ACT_OPEN] = {ROLE_OWNER, false, false, false, "change who finds and joins it"},
	[ACT_INVITE] = {ROLE_MEMBER, true, false, false, "invite users"},
	[ACT_ADMIT] = {ROLE_MODERATOR, false, false, false, "admit users"},
	[ACT_MODERATE] = {ROLE_MODERATOR, false, true, false, "moderate members"},
	[ACT_SET_ROLE] = {ROLE_OWNER, false, true, false, "change roles"},
	[ACT_DISPOSE] = {ROLE_OWNER, false, true, false, "archive or delete it"},
};

static const char *const role_names[] = {
	[ROLE_MEMBER] = "member",
	[ROLE_MODERATOR] = "moderator",
	[ROLE_OWNER] = "owner"
};

/* ---------- reading ---------- */

const char *
role_name(GroupRole role)
{
	return role_names[role];
}

GroupRole
parse_role(const char *name)
{
	for (int role = 0; role < lengthof(role_names); role++)
		if (strcmp(name, role_names[role]) == 0)
			return role;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("role must be owner, moderator or member, not \"%s\"", name)));
}

static bool
column_is_true(const PlanResult *result, uint64 row, int column)
{
	return !result_is_null(result, row, column) &&
		DatumGetBool(result_datum(result, row, column));
}

void
read_membership(Membership *member, const PlanResult *result, uint64 row)
{
	member->group_id = result_int64(result, row, 1);
	member->user_id = result_int64(result, row, 2);
	member->role = parse_role(result_cstring(result, row, 3));
	member->muted = column_is_true(result, row, 4);
	member->is_direct = column_is_true(result, row, 5);
	member->is_archived = column_is_true(result, row, 6);
	member->moderated = column_is_true(result, row, 7);
	member->by_request = column_is_true(result, row, 8);
	member->slow = column_is_true(result, row, 9);
	member->other_id = 0;
}

/* ---------- the rules ---------- */

/* The lowest role, which for two acts the group says */
static GroupRole
lowest_role(const Membership *member, GroupAct act)
{
	if (member->is_direct && rules[act].if_direct)
		return ROLE_MEMBER;
	if ((act == ACT_SEND && member->moderated) || (act == ACT_INVITE && member->by_request))
		return ROLE_MODERATOR;
	return rules[act].lowest;
}

/* Is it ended by a block, where the group is a direct conversation of two? */
bool
is_ended_by_block(GroupAct act)
{
	return rules[act].is_writing && rules[act].if_direct;
}

/* Which role somebody has, and not how the group is: that others may not, either. */
bool
may_act(const Membership *member, GroupAct act)
{
	return member->role >= lowest_role(member, act);
}

/* Nobody joins a direct conversation, or leaves it, and nobody is above others in it. */
void
error_direct(int64 group_id)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("group %lld is a direct conversation", (long long) group_id),
			 err_column("groups", "visibility")));
}

/* A group keeps an owner while it has members. */
void
error_last_owner(int64 group_id, int64 user_id)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("user %lld is the last owner of group %lld",
					(long long) user_id, (long long) group_id),
			 errhint("Make another member owner first, with chatrel.set_role()."),
			 err_column("groups_members", "role")));
}

/* Takes what the act does as an object of "does not let". */
static void
error_role_too_low(const Membership *member, GroupAct act)
{
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("group %lld does not let user %lld %s",
					(long long) member->group_id, (long long) member->user_id, rules[act].what),
			 errdetail("The user is %s; it takes a role from %s on.",
					   role_name(member->role), role_name(lowest_role(member, act))),
			 err_column("groups_members", "role")));
}

static void
error_muted(const Membership *member)
{
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("user %lld is muted in group %lld",
					(long long) member->user_id, (long long) member->group_id),
			 err_column("groups_members", "muted_until")));
}

static void
error_archived(const Membership *member)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("group %lld is archived", (long long) member->group_id),
			 err_column("groups", "archived_at")));
}

void
require_right(const Membership *member, GroupAct act)
{
	if (member->is_direct && !rules[act].if_direct)
		error_direct(member->group_id);
	if (!may_act(member, act))
		error_role_too_low(member, act);
	if (member->muted && rules[act].is_writing)
		error_muted(member);
	if (member->is_archived && !rules[act].if_archived)
		error_archived(member);
}
