/*
 * member_changes.c
 *	  Becoming a member of a group, and ceasing to be one.
 *
 * The group hears of both, and so does the user, whose sessions may want to listen to
 * the group now, or cannot any more.
 */
#include "postgres.h"

#include "catalog/pg_type.h"

#include "core/check.h"
#include "core/identity.h"
#include "core/plans.h"
#include "delivery/events.h"
#include "delivery/record.h"
#include "groups/member_changes.h"
#include "groups/members.h"

/* Waits for a delete_user(), and then finds the user deleted, or keeps it off. */
static SqlPlan user_share = {
	.sql = "SELECT username FROM chatrel.users WHERE id" EQ "$1 AND deleted_at IS NULL FOR SHARE",
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

/* $3: not if it is an owner, as with member_remove */
static SqlPlan member_exists = {
	.sql = "SELECT FROM chatrel.groups_members m WHERE m.group_id" EQ "$1 AND m.user_id" EQ "$2"
	" AND NOT ($3 AND m.role" EQ "'owner')",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, INT8OID, BOOLOID)
};

static SqlPlan group_exists = {
	.sql = "SELECT FROM chatrel.groups WHERE id" EQ "$1",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID)
};

/* ---------- what is told ---------- */

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

/* ---------- coming and going ---------- */

/* Locks a user that is to join something against its deletion; returns its name. */
char *
lock_user_to_join(int64 user_id)
{
	Datum		values[] = {Int64GetDatum(user_id)};
	PlanResult	user = plan_run(&user_share, PLAN_WRITE, values, NULL);

	if (user.nrows == 0)
		error_user_not_found(user_id);
	return result_cstring(&user, 0, 1);
}

/*
 * Makes a user that is locked a member; false if it is one.  The group hears of it,
 * and so do the user's own sessions, which may want to listen to the group now.
 * Once more where the user leaves after the row was found.
 */
bool
add_member(int64 group_id, int64 user_id, int64 actor_id, const char *username)
{
	Datum		values[] = {Int64GetDatum(group_id), Int64GetDatum(user_id), BoolGetDatum(false)};

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
		if (plan_run(&member_exists, PLAN_WRITE, values, NULL).nrows == 0)
			return false;
	}
	error_change_suppressed("groups_members");
}
