/*
 * bans.c
 *	  Who may not come into a group.
 *
 * The banned user is locked before the memberships, FOR NO KEY UPDATE: whoever lets
 * it in holds it FOR SHARE (joining.c, invitations.c).
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"

#include "core/check.h"
#include "core/errors.h"
#include "core/identity.h"
#include "groups/joining.h"
#include "groups/member_changes.h"
#include "groups/members.h"
#include "groups/moderation.h"

static SqlPlan user_lock = {
	.sql = "SELECT FROM chatrel.users WHERE id" EQ "$1 AND deleted_at IS NULL FOR NO KEY UPDATE",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID)
};

/* $4 until, null for ever; nothing where it is so already */
static SqlPlan ban_add = {
	.sql = "INSERT INTO chatrel.groups_bans AS b (group_id, user_id, banned_by, until)"
	" VALUES ($1, $2, $3, $4) ON CONFLICT (group_id, user_id) DO UPDATE"
	" SET banned_by = EXCLUDED.banned_by, banned_at = EXCLUDED.banned_at, until = EXCLUDED.until"
	" WHERE " TIME_OR("b.until", "infinity") NE TIME_OR("EXCLUDED.until", "infinity"),
	.expected = SPI_OK_INSERT,
	PLAN_ARGS(INT8OID, INT8OID, INT8OID, TIMESTAMPTZOID)
};

static SqlPlan ban_remove = {
	.sql = "DELETE FROM chatrel.groups_bans WHERE group_id" EQ "$1 AND user_id" EQ "$2"
	" RETURNING until IS NULL OR until" GT "pg_catalog.clock_timestamp()",
	.expected = SPI_OK_DELETE_RETURNING,
	PLAN_ARGS(INT8OID, INT8OID)
};

static SqlPlan bans_of_group = {
	.sql = "SELECT b.user_id, u.username, b.banned_by, b.banned_at, b.until"
	" FROM chatrel.groups_bans b JOIN chatrel.users u ON u.id" EQ "b.user_id"
	" WHERE b.group_id" EQ "$1"
	" AND (b.until IS NULL OR b.until" GT "pg_catalog.statement_timestamp())"
	" ORDER BY b.banned_at, b.user_id",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID),
	.by_index = true
};

PG_FUNCTION_INFO_V1(chatrel_ban_member);
PG_FUNCTION_INFO_V1(chatrel_unban_member);
PG_FUNCTION_INFO_V1(chatrel_banned_members);

static bool
ban(int64 group_id, int64 actor_id, int64 user_id, TimestampTz until)
{
	Datum		values[] = {Int64GetDatum(group_id), Int64GetDatum(user_id),
	Int64GetDatum(actor_id), TimestampTzGetDatum(until)};
	MemberPair	pair;
	bool		found = plan_run(&user_lock, PLAN_WRITE, &values[1], NULL).nrows > 0;
	bool		removed;
	bool		banned;

	keep_group(group_id);
	lock_to_moderate(&pair, group_id, actor_id, user_id);
	if (!found)
		error_user_not_found(user_id);
	removed = pair.has_other && remove_member(group_id, user_id, actor_id, LEFT_BY_BAN, false);
	banned = plan_run(&ban_add, PLAN_WRITE, values,
					  TIMESTAMP_IS_NOEND(until) ? "   n" : NULL).nrows > 0;
	forget_admission(group_id, user_id);
	return removed || banned;
}

/* Nobody bans itself: it is not below itself. */
Datum
chatrel_ban_member(PG_FUNCTION_ARGS)
{
	int64		group_id = require_int64(fcinfo, 0, "group_id");
	int64		user_id = require_int64(fcinfo, 1, "user_id");
	TimestampTz until = require_until(fcinfo, 2);
	int64		actor_id = acting_user(fcinfo);
	OwnerScope	scope;
	bool		changed;

	PreventCommandIfReadOnly("chatrel.ban_member()");
	owner_begin(&scope, fcinfo);
	changed = ban(group_id, actor_id, user_id, until);
	owner_end(&scope);

	PG_RETURN_BOOL(changed);
}

Datum
chatrel_unban_member(PG_FUNCTION_ARGS)
{
	int64		group_id = require_int64(fcinfo, 0, "group_id");
	int64		user_id = require_int64(fcinfo, 1, "user_id");
	int64		actor_id = acting_user(fcinfo);
	Datum		values[] = {Int64GetDatum(group_id), Int64GetDatum(user_id)};
	PlanResult	removed;
	OwnerScope	scope;
	bool		was_banned;

	PreventCommandIfReadOnly("chatrel.unban_member()");
	owner_begin(&scope, fcinfo);
	lock_membership(actor_id, group_id, ACT_MODERATE);
	removed = plan_run(&ban_remove, PLAN_WRITE, values, NULL);
	was_banned = removed.nrows > 0 && DatumGetBool(result_datum(&removed, 0, 1));
	owner_end(&scope);

	PG_RETURN_BOOL(was_banned);
}

Datum
chatrel_banned_members(PG_FUNCTION_ARGS)
{
	int64		group_id = require_int64(fcinfo, 0, "group_id");
	int64		user_id = acting_user(fcinfo);
	Datum		values[] = {Int64GetDatum(group_id)};
	OwnerScope	scope;

	InitMaterializedSRF(fcinfo, 0);

	owner_begin(&scope, fcinfo);
	check_right(user_id, group_id, ACT_MODERATE);
	plan_fill(&bans_of_group, (ReturnSetInfo *) fcinfo->resultinfo, values, NULL);
	owner_end(&scope);

	return (Datum) 0;
}
