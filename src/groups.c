/*
 * groups.c
 *	  Groups and who is in them.
 *
 * A membership is checked and used under one lock.  Who acts as a member holds
 * the membership row FOR KEY SHARE until its transaction ends; who removes the
 * member deletes the row, and so waits for it.  Once a removal has committed,
 * nothing that the member does in the group commits later.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "channels.h"
#include "check.h"
#include "events.h"
#include "groups.h"
#include "guc.h"
#include "identity.h"
#include "json.h"
#include "plans.h"

static SqlPlan member_lock = {
	"SELECT FROM chatrel.groups_members"
	" WHERE group_id" EQ "$1 AND user_id" EQ "$2 FOR KEY SHARE",
	SPI_OK_SELECT, 2, {INT8OID, INT8OID}
};

static SqlPlan member_exists = {
	"SELECT FROM chatrel.groups_members WHERE group_id" EQ "$1 AND user_id" EQ "$2",
	SPI_OK_SELECT, 2, {INT8OID, INT8OID}
};

static SqlPlan group_exists = {
	"SELECT FROM chatrel.groups WHERE id" EQ "$1",
	SPI_OK_SELECT, 1, {INT8OID}
};

static SqlPlan group_create = {
	"INSERT INTO chatrel.groups (name, creator_id)"
	" SELECT $1, u.id FROM chatrel.users u"
	" WHERE u.id" EQ "$2 AND u.deleted_at IS NULL FOR SHARE"
	" ON CONFLICT (name) DO NOTHING"
	" RETURNING id, name, creator_id, created_at",
	SPI_OK_INSERT_RETURNING, 2, {TEXTOID, INT8OID}
};

/* The lock on the user waits for a delete_user(), and then finds it deleted, or keeps it off. */
static SqlPlan member_add = {
	"INSERT INTO chatrel.groups_members AS m (group_id, user_id)"
	" SELECT g.id, u.id FROM chatrel.groups g, chatrel.users u"
	" WHERE g.id" EQ "$1 AND u.id" EQ "$2 AND u.deleted_at IS NULL"
	" FOR SHARE OF u FOR KEY SHARE OF g"
	" ON CONFLICT (group_id, user_id) DO NOTHING"
	" RETURNING m.id, (SELECT u.username FROM chatrel.users u WHERE u.id" EQ "m.user_id)",
	SPI_OK_INSERT_RETURNING, 2, {INT8OID, INT8OID}
};

static SqlPlan member_remove = {
	"DELETE FROM chatrel.groups_members m USING chatrel.users u"
	" WHERE m.group_id" EQ "$1 AND m.user_id" EQ "$2 AND u.id" EQ "m.user_id"
	" RETURNING m.group_id, m.id, u.username",
	SPI_OK_DELETE_RETURNING, 2, {INT8OID, INT8OID}
};

/* In the order of the groups, in which everybody locks their channels. */
static SqlPlan memberships_remove = {
	"WITH gone AS ("
	"DELETE FROM chatrel.groups_members m USING chatrel.users u"
	" WHERE m.user_id" EQ "$1 AND u.id" EQ "m.user_id"
	" RETURNING m.group_id, m.id, u.username)"
	" SELECT group_id, id, username FROM gone ORDER BY group_id",
	SPI_OK_SELECT, 1, {INT8OID}
};

static SqlPlan group_document = {
	"SELECT " JSON_GROUP("g", "")
	" FROM chatrel.groups g"
	" WHERE g.id" EQ "$1 AND EXISTS"
	" (SELECT FROM chatrel.groups_members m"
	" WHERE m.group_id" EQ "g.id AND m.user_id" EQ "$2)",
	SPI_OK_SELECT, 2, {INT8OID, INT8OID}
};

static SqlPlan groups_of_user = {
	"SELECT g.id, g.name, g.creator_id, g.created_at,"
	" l.id, l.datetime, l.sender_id, l.message"
	" FROM chatrel.groups_members m"
	" JOIN chatrel.groups g ON g.id" EQ "m.group_id"
	" LEFT JOIN LATERAL ("
	"SELECT t.id, t.datetime, t.sender_id, t.message"
	" FROM chatrel.groups_messages t WHERE t.group_id" EQ "g.id"
	" ORDER BY t.id DESC LIMIT 1) l ON true"
	" WHERE m.user_id" EQ "$1"
	" ORDER BY l.id DESC NULLS LAST, g.id",
	SPI_OK_SELECT, 1, {INT8OID}
};

static SqlPlan login_document = {
	"SELECT pg_catalog.jsonb_build_object("
	"'id', me.id, 'username', me.username,"
	" 'friends', COALESCE((SELECT pg_catalog.jsonb_agg(" JSON_USER("friend") " ORDER BY follows.id)"
	" FROM chatrel.relationships follows"
	" CROSS JOIN LATERAL (SELECT FROM chatrel.relationships r"
	" WHERE r.follower_id" EQ "follows.followed_id AND r.followed_id" EQ "me.id LIMIT 1) back"
	" JOIN chatrel.users friend ON friend.id" EQ "follows.followed_id"
	" WHERE follows.follower_id" EQ "me.id AND friend.deleted_at IS NULL), '[]'::pg_catalog.jsonb),"
	" 'groups', COALESCE((SELECT pg_catalog.jsonb_agg(" JSON_GROUP("g", "") " ORDER BY mine.id)"
	" FROM chatrel.groups_members mine"
	" JOIN chatrel.groups g ON g.id" EQ "mine.group_id"
	" WHERE mine.user_id" EQ "me.id), '[]'::pg_catalog.jsonb))"
	" FROM chatrel.users me WHERE me.id" EQ "$1 AND me.deleted_at IS NULL",
	SPI_OK_SELECT, 1, {INT8OID}, true
};

PG_FUNCTION_INFO_V1(chatrel_create_group);
PG_FUNCTION_INFO_V1(chatrel_join_group);
PG_FUNCTION_INFO_V1(chatrel_leave_group);
PG_FUNCTION_INFO_V1(chatrel_get_group);
PG_FUNCTION_INFO_V1(chatrel_my_groups);
PG_FUNCTION_INFO_V1(chatrel_me);

/* ---------- membership ---------- */

static void
require_group(int64 group_id)
{
	Datum		values[] = {Int64GetDatum(group_id)};

	if (plan_run(&group_exists, PLAN_WRITE, values, NULL) == 0)
		error_group_not_found(group_id);
}

/* Makes sure that the user is a member, and keeps it one until the transaction ends. */
void
require_member(int64 user_id, int64 group_id, MemberPurpose purpose)
{
	Datum		values[] = {Int64GetDatum(group_id), Int64GetDatum(user_id)};

	if (plan_run(&member_lock, PLAN_WRITE, values, NULL) > 0)
		return;
	if (purpose == MEMBER_READS)
		error_group_not_found(group_id);
	require_group(group_id);
	require_user(user_id);
	error_not_member(user_id, group_id);
}

/* For functions that only read: no lock, the caller's snapshot. */
void
require_reader(int64 user_id, int64 group_id)
{
	Datum		values[] = {Int64GetDatum(group_id), Int64GetDatum(user_id)};

	if (plan_run(&member_exists, PLAN_READ, values, NULL) == 0)
		error_group_not_found(group_id);
}

/* ---------- coming and going ---------- */

static void
relisten_event(StringInfo event, int64 group_id)
{
	event_open(event, "relisten");
	event_int64(event, "group_id", group_id);
	event_close(event);
}

/* The id makes two joins, or two leaves, of one member two events. */
static void
member_event(StringInfo event, const char *kind, int64 member_id, int64 group_id,
			 int64 user_id, const char *username)
{
	event_open(event, kind);
	event_int64(event, "id", member_id);
	event_int64(event, "group_id", group_id);
	event_int64(event, "user_id", user_id);
	event_string(event, "username", username);
	event_close(event);
}

/*
 * Makes the user a member; false if it is one.  The group hears of it, and so
 * do the user's own sessions, which may want to listen to the group now.
 */
static bool
join(int64 group_id, int64 user_id)
{
	Datum		values[] = {Int64GetDatum(group_id), Int64GetDatum(user_id)};
	StringInfoData event;

	if (plan_run(&member_add, PLAN_WRITE, values, NULL) == 0)
		return false;
	member_event(&event, "member_joined", plan_int64(0, 1), group_id, user_id,
				 plan_cstring(0, 2));
	event_owe(EVENT_GROUP, group_id, true, &event);
	relisten_event(&event, group_id);
	event_owe(EVENT_USER, user_id, false, &event);
	return true;
}

/*
 * What follows a removal: the group gets a new channel when it commits, so that
 * the removed member hears no more, and the old one a last word to the others.
 */
static void
left(int64 member_id, int64 group_id, int64 user_id, const char *username)
{
	StringInfoData event;

	member_event(&event, "member_left", member_id, group_id, user_id, username);
	event_owe(EVENT_OLD_CHANNEL, group_id, true, &event);
	relisten_event(&event, group_id);
	event_owe(EVENT_OLD_CHANNEL, group_id, false, &event);
}

void
leave_all_groups(int64 user_id)
{
	Datum		values[] = {Int64GetDatum(user_id)};
	uint64		n = plan_run(&memberships_remove, PLAN_WRITE, values, NULL);
	int64	   *group_ids = palloc_array(int64, n + 1);
	int64	   *member_ids = palloc_array(int64, n + 1);
	char	   *username = n > 0 ? plan_cstring(0, 3) : NULL;

	for (uint64 i = 0; i < n; i++)
	{
		group_ids[i] = plan_int64(i, 1);
		member_ids[i] = plan_int64(i, 2);
	}
	for (uint64 i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		left(member_ids[i], group_ids[i], user_id, username);
	}
}

/* ---------- functions ---------- */

Datum
chatrel_create_group(PG_FUNCTION_ARGS)
{
	text	   *name = require_text(fcinfo, 0, "name", guc_max_name_length,
									"chatrel.max_name_length");
	bool		join_this_group = require_bool(fcinfo, 1, "join_this_group");
	int64		user_id = acting_user(fcinfo, 2);
	Datum		values[] = {PointerGetDatum(name), Int64GetDatum(user_id)};
	OwnerScope	scope;
	Datum		result;
	int64		group_id;

	owner_begin(&scope, fcinfo);
	if (plan_run(&group_create, PLAN_WRITE, values, NULL) == 0)
	{
		require_user(user_id);
		ereport(ERROR,
				(errcode(ERRCODE_UNIQUE_VIOLATION),
				 errmsg("group \"%s\" already exists", text_to_cstring(name))));
	}
	group_id = plan_int64(0, 1);
	result = plan_return_row(fcinfo, 0);
	if (join_this_group)
		join(group_id, user_id);
	owner_end(&scope);

	PG_RETURN_DATUM(result);
}

Datum
chatrel_join_group(PG_FUNCTION_ARGS)
{
	int64		group_id = require_int64(fcinfo, 0, "group_id");
	int64		user_id = acting_user(fcinfo, 1);
	OwnerScope	scope;
	bool		changed;

	owner_begin(&scope, fcinfo);
	changed = join(group_id, user_id);
	if (!changed)
	{
		require_group(group_id);
		require_user(user_id);
	}
	owner_end(&scope);

	PG_RETURN_BOOL(changed);
}

Datum
chatrel_leave_group(PG_FUNCTION_ARGS)
{
	int64		group_id = require_int64(fcinfo, 0, "group_id");
	int64		user_id = acting_user(fcinfo, 1);
	Datum		values[] = {Int64GetDatum(group_id), Int64GetDatum(user_id)};
	OwnerScope	scope;
	bool		changed;

	owner_begin(&scope, fcinfo);
	changed = plan_run(&member_remove, PLAN_WRITE, values, NULL) > 0;
	if (changed)
		left(plan_int64(0, 2), group_id, user_id, plan_cstring(0, 3));
	else
	{
		require_group(group_id);
		require_user(user_id);
	}
	owner_end(&scope);

	PG_RETURN_BOOL(changed);
}

Datum
chatrel_get_group(PG_FUNCTION_ARGS)
{
	int64		group_id = require_int64(fcinfo, 0, "group_id");
	int64		user_id = acting_user(fcinfo, 1);
	Datum		values[] = {Int64GetDatum(group_id), Int64GetDatum(user_id)};
	OwnerScope	scope;
	Datum		result;

	owner_begin(&scope, fcinfo);
	if (plan_run(&group_document, PLAN_READ, values, NULL) == 0)
		error_group_not_found(group_id);
	result = plan_copy_value(0, 1);
	owner_end(&scope);

	PG_RETURN_DATUM(result);
}

Datum
chatrel_my_groups(PG_FUNCTION_ARGS)
{
	int64		user_id = acting_user(fcinfo, 0);
	Datum		values[] = {Int64GetDatum(user_id)};
	OwnerScope	scope;

	InitMaterializedSRF(fcinfo, 0);

	owner_begin(&scope, fcinfo);
	if (plan_fill(&groups_of_user, (ReturnSetInfo *) fcinfo->resultinfo, values, NULL) == 0)
		require_user(user_id);
	owner_end(&scope);

	return (Datum) 0;
}

Datum
chatrel_me(PG_FUNCTION_ARGS)
{
	int64		user_id = acting_user(fcinfo, 0);
	Datum		values[] = {Int64GetDatum(user_id)};
	OwnerScope	scope;
	Datum		result;

	owner_begin(&scope, fcinfo);
	if (plan_run(&login_document, PLAN_READ, values, NULL) == 0)
		error_user_not_found(user_id);
	result = plan_copy_value(0, 1);
	owner_end(&scope);

	PG_RETURN_DATUM(result);
}
