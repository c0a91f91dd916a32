/*
 * members.c
 *	  Who is in which group: joining, leaving, and acting as a member.
 *
 * A membership is checked and used under one lock.  Whoever acts as a member
 * holds the membership row FOR KEY SHARE until the transaction ends; whoever
 * removes the member deletes the row, and so waits for it.  Once a removal has
 * committed, nothing that the member does in the group commits later.
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
#include "groups/members.h"

static SqlPlan member_lock = {
	.sql = "SELECT FROM chatrel.groups_members"
	" WHERE group_id" EQ "$1 AND user_id" EQ "$2 FOR KEY SHARE",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, INT8OID)
};

static SqlPlan member_exists = {
	.sql = "SELECT FROM chatrel.groups_members WHERE group_id" EQ "$1 AND user_id" EQ "$2",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, INT8OID)
};

static SqlPlan group_exists = {
	.sql = "SELECT FROM chatrel.groups WHERE id" EQ "$1",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID)
};

/* The lock on the user waits for a delete_user(), and then finds it deleted, or keeps it off. */
static SqlPlan member_add = {
	.sql = "INSERT INTO chatrel.groups_members AS m (group_id, user_id)"
	" SELECT g.id, u.id FROM chatrel.groups g, chatrel.users u"
	" WHERE g.id" EQ "$1 AND u.id" EQ "$2 AND u.deleted_at IS NULL"
	" FOR SHARE OF u FOR KEY SHARE OF g"
	" ON CONFLICT (group_id, user_id) DO NOTHING"
	" RETURNING m.id, (SELECT u.username FROM chatrel.users u WHERE u.id" EQ "m.user_id)",
	.expected = SPI_OK_INSERT_RETURNING,
	PLAN_ARGS(INT8OID, INT8OID)
};

static SqlPlan member_remove = {
	.sql = "DELETE FROM chatrel.groups_members m USING chatrel.users u"
	" WHERE m.group_id" EQ "$1 AND m.user_id" EQ "$2 AND u.id" EQ "m.user_id"
	" RETURNING m.group_id, m.id, u.username",
	.expected = SPI_OK_DELETE_RETURNING,
	PLAN_ARGS(INT8OID, INT8OID)
};

/* A DELETE locks in the order in which it comes upon the rows: they are locked before it. */
static SqlPlan memberships_remove = {
	.sql = "WITH mine AS MATERIALIZED ("
	"SELECT group_id FROM chatrel.groups_members WHERE user_id" EQ "$1"
	" ORDER BY group_id FOR UPDATE), gone AS ("
	"DELETE FROM chatrel.groups_members m USING mine, chatrel.users u"
	" WHERE m.group_id" EQ "mine.group_id AND m.user_id" EQ "$1 AND u.id" EQ "m.user_id"
	" RETURNING m.group_id, m.id, u.username)"
	" SELECT group_id, id, username FROM gone ORDER BY group_id",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID)
};

static SqlPlan any_membership = {
	.sql = "SELECT FROM chatrel.groups_members WHERE user_id" EQ "$1 LIMIT 1",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID)
};

/* Why somebody is no member any more, as the events say it */
#define LEFT_BY_LEAVING		"left"
#define LEFT_BY_DELETION	"deleted"

PG_FUNCTION_INFO_V1(chatrel_join_group);
PG_FUNCTION_INFO_V1(chatrel_leave_group);

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

static void
require_group(int64 group_id)
{
	Datum		values[] = {Int64GetDatum(group_id)};

	if (plan_run(&group_exists, PLAN_WRITE, values, NULL).nrows == 0)
		error_group_not_found(group_id);
}

/* Makes sure that the user is a member, and keeps it one until the transaction ends. */
void
lock_membership(int64 user_id, int64 group_id, MemberPurpose purpose)
{
	Datum		values[] = {Int64GetDatum(group_id), Int64GetDatum(user_id)};

	if (plan_run(&member_lock, PLAN_WRITE, values, NULL).nrows > 0)
		return;
	if (purpose == MEMBER_READS)
		error_group_not_found(group_id);
	require_group(group_id);
	require_user(user_id);
	error_not_member(user_id, group_id);
}

/* For functions that only read: no lock, the caller's snapshot. */
void
check_membership(int64 user_id, int64 group_id)
{
	Datum		values[] = {Int64GetDatum(group_id), Int64GetDatum(user_id)};

	if (plan_run(&member_exists, PLAN_READ, values, NULL).nrows == 0)
		error_group_not_found(group_id);
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
record_addition(int64 group_id, int64 user_id, const char *username)
{
	RecordedEvent joined = {
		.kind = "member_joined",
		.group_id = group_id,
		.actor_id = user_id,
		.user_id = user_id,
		.detail = event_detail("username", username)
	};
	RecordedEvent added = {
		.kind = "added_to_group",
		.group_id = group_id,
		.recipient_id = user_id,
		.actor_id = user_id
	};

	record_event(&joined);
	record_event(&added);
}

/*
 * The last that the member hears of the group is that; a user that the
 * administration deletes hears nothing.
 */
static void
record_removal(int64 group_id, int64 user_id, const char *username, const char *reason)
{
	bool		deleted = strcmp(reason, LEFT_BY_DELETION) == 0;
	RecordedEvent left = {
		.kind = "member_left",
		.group_id = group_id,
		.actor_id = deleted ? 0 : user_id,
		.user_id = user_id,
		.detail = member_detail(username, reason)
	};
	RecordedEvent removed = {
		.kind = "removed_from_group",
		.group_id = group_id,
		.recipient_id = user_id,
		.actor_id = user_id,
		.detail = event_detail("reason", reason)
	};

	record_member_event(&left, EVENT_OLD_CHANNEL);
	if (!deleted)
		record_event(&removed);
}

/*
 * Makes the user a member; false if it is one.  The group hears of it, and so
 * do the user's own sessions, which may want to listen to the group now.  Once
 * more where the user leaves after the row was found.
 */
bool
add_member(int64 group_id, int64 user_id)
{
	Datum		values[] = {Int64GetDatum(group_id), Int64GetDatum(user_id)};

	for (int i = 0; i < MAX_TRIES; i++)
	{
		PlanResult	added = plan_run(&member_add, PLAN_WRITE, values, NULL);

		if (added.nrows > 0)
		{
			record_addition(group_id, user_id, result_cstring(&added, 0, 2));
			announce_relisten(EVENT_USER, user_id, group_id);
			return true;
		}
		if (plan_run(&member_exists, PLAN_WRITE, values, NULL).nrows > 0)
			return false;
		require_group(group_id);
		require_user(user_id);
	}
	error_change_suppressed("groups_members");
}

/*
 * What follows a removal: the group gets a new channel when it commits, so that
 * the removed member hears no more, and the old one a last word to the others.
 */
static void
announce_removals(const PlanResult *removed, int64 user_id, const char *reason)
{
	for (uint64 i = 0; i < removed->nrows; i++)
	{
		int64		group_id = result_int64(removed, i, 1);

		CHECK_FOR_INTERRUPTS();
		record_removal(group_id, user_id, result_cstring(removed, i, 3), reason);
		announce_relisten(EVENT_OLD_CHANNEL, group_id, group_id);
	}
}

void
remove_all_memberships(int64 user_id)
{
	Datum		values[] = {Int64GetDatum(user_id)};
	PlanResult	removed = plan_run(&memberships_remove, PLAN_CASCADE, values, NULL);

	if (plan_run(&any_membership, PLAN_LATEST, values, NULL).nrows > 0)
		error_change_suppressed("groups_members");
	announce_removals(&removed, user_id, LEFT_BY_DELETION);
}

/* ---------- functions ---------- */

Datum
chatrel_join_group(PG_FUNCTION_ARGS)
{
	int64		group_id = require_int64(fcinfo, 0, "group_id");
	int64		user_id = acting_user(fcinfo);
	OwnerScope	scope;
	bool		changed;

	owner_begin(&scope, fcinfo);
	changed = add_member(group_id, user_id);
	owner_end(&scope);

	PG_RETURN_BOOL(changed);
}

/* No row if the user is no member.  Once more where the user joins meanwhile. */
static PlanResult
remove_member(int64 group_id, int64 user_id)
{
	Datum		values[] = {Int64GetDatum(group_id), Int64GetDatum(user_id)};

	for (int i = 0; i < MAX_TRIES; i++)
	{
		PlanResult	removed = plan_run(&member_remove, PLAN_WRITE, values, NULL);

		if (removed.nrows > 0 ||
			plan_run(&member_exists, PLAN_WRITE, values, NULL).nrows == 0)
			return removed;
	}
	error_change_suppressed("groups_members");
}

Datum
chatrel_leave_group(PG_FUNCTION_ARGS)
{
	int64		group_id = require_int64(fcinfo, 0, "group_id");
	int64		user_id = acting_user(fcinfo);
	OwnerScope	scope;
	PlanResult	removed;

	owner_begin(&scope, fcinfo);
	removed = remove_member(group_id, user_id);
	if (removed.nrows == 0)
	{
		require_group(group_id);
		require_user(user_id);
	}
	announce_removals(&removed, user_id, LEFT_BY_LEAVING);
	owner_end(&scope);

	PG_RETURN_BOOL(removed.nrows > 0);
}
