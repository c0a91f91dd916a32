/*
 * invitations.c
 *	  Invitations: a member has a user come in.
 *
 * Whether the user has blocked the inviter must not be found out by inviting it.  So
 * such an invitation is written as any other, counts as one, and is seen by the
 * group's members; but not by the user, for whom there is none (INVITED()).  A user
 * may have invitations of several members, since one that does not count must not be
 * in the way of another that does.
 *
 * All users are locked first, the inviter among them: against bans (bans.c) and
 * blocks (relationships/blocks.c).
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"

#include "core/check.h"
#include "core/identity.h"
#include "delivery/record.h"
#include "groups/joining.h"
#include "groups/lists.h"
#include "groups/member_counters.h"
#include "groups/members.h"
#include "groups/user_list.h"

/* In one call */
#define MAX_INVITED	1000

/* Those of the users $2 who are no members */
static SqlPlan guests_state = {
	.sql = "SELECT u.id, " BANNED("$1", "u.id") ","
	" EXISTS (SELECT FROM chatrel.groups_invitations i"
	" WHERE i.group_id" EQ "$1 AND i.user_id" EQ "u.id),"
	" " INVITED("$1", "u.id")
	" FROM pg_catalog.unnest($2) u (id)"
	" WHERE NOT EXISTS (SELECT FROM chatrel.groups_members m"
	" WHERE m.group_id" EQ "$1 AND m.user_id" EQ "u.id) ORDER BY u.id",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, INT8ARRAYOID),
	.by_index = true
};

/* Its columns */
enum
{
	GUEST_ID = 1,
	GUEST_BANNED,
	GUEST_HAS_ANY,
	GUEST_INVITED
};

static SqlPlan invitations_add = {
	.sql = "INSERT INTO chatrel.groups_invitations (group_id, user_id, invited_by)"
	" SELECT $1, u.id, $3 FROM pg_catalog.unnest($2) u (id) ORDER BY u.id"
	" ON CONFLICT (group_id, user_id, invited_by) DO NOTHING",
	.expected = SPI_OK_INSERT,
	PLAN_ARGS(INT8OID, INT8ARRAYOID, INT8OID)
};

static SqlPlan group_name = {
	.sql = "SELECT name FROM chatrel.groups WHERE id" EQ "$1",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID)
};

static SqlPlan user_is_invited = {
	.sql = "SELECT WHERE " INVITED("$1", "$2"),
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, INT8OID)
};

/* Of each group the first that counts; $4 and $5 are for the count of members. */
static SqlPlan invitations_page = {
	.sql = "SELECT g.id, g.name, g.description, " MEMBER_COUNT("g.id", "$4", "$5") ","
	" i.invited_by, i.created_at"
	" FROM (SELECT DISTINCT ON (i.group_id) i.* FROM chatrel.groups_invitations i"
	" WHERE i.user_id" EQ "$1 AND i.group_id" GT "$2"
	" AND NOT " BLOCKED("i.invited_by", "i.user_id")
	" ORDER BY i.group_id, i.created_at, i.invited_by LIMIT $3) i"
	" JOIN chatrel.groups g ON g.id" EQ "i.group_id ORDER BY g.id",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, INT8OID, INT8OID, INT8ARRAYOID, INT8ARRAYOID),
	.by_index = true
};

/* As the members see it, who must not know which of them count */
static SqlPlan invitations_of_group = {
	.sql = "SELECT i.user_id, u.username, i.invited_by, i.created_at"
	" FROM (SELECT user_id,"
	" pg_catalog.array_agg(invited_by ORDER BY created_at, invited_by) AS invited_by,"
	" pg_catalog.min(created_at) AS created_at FROM chatrel.groups_invitations"
	" WHERE group_id" EQ "$1 AND user_id" GT "$2 GROUP BY user_id ORDER BY user_id LIMIT $3) i"
	" JOIN chatrel.users u ON u.id" EQ "i.user_id ORDER BY i.user_id",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, INT8OID, INT8OID),
	.by_index = true
};

PG_FUNCTION_INFO_V1(chatrel_invite);
PG_FUNCTION_INFO_V1(chatrel_invitations);
PG_FUNCTION_INFO_V1(chatrel_group_invitations);
PG_FUNCTION_INFO_V1(chatrel_decline_invitation);
PG_FUNCTION_INFO_V1(chatrel_withdraw_invitation);

/* ---------- inviting ---------- */

/* Who is invited already does not hear of it again. */
static void
record_invitations(int64 group_id, int64 actor_id, ArrayType *hearers)
{
	Datum		values[] = {Int64GetDatum(group_id)};
	PlanResult	group = plan_run(&group_name, PLAN_WRITE, values, NULL);
	Jsonb	   *detail = event_detail("name", result_cstring(&group, 0, 1));
	int			count = ArrayGetNItems(ARR_NDIM(hearers), ARR_DIMS(hearers));

	for (int i = 0; i < count; i++)
	{
		RecordedEvent invited = {
			.kind = "invited",
			.group_id = group_id,
			.recipient_id = ((const int64 *) ARR_DATA_PTR(hearers))[i],
			.actor_id = actor_id,
			.detail = detail
		};

		CHECK_FOR_INTERRUPTS();
		record_event(&invited);
	}
}

/* Returns how many of the guests had no invitation at all. */
static int64
invite_guests(int64 group_id, int64 actor_id, const PlanResult *guests)
{
	int64	   *ids = palloc_array(int64, guests->nrows);
	int64	   *to_tell = palloc_array(int64, guests->nrows);
	int			ntold = 0;
	int64		added = 0;
	Datum		values[] = {Int64GetDatum(group_id), (Datum) 0, Int64GetDatum(actor_id)};
	ArrayType  *hearers;

	for (uint64 row = 0; row < guests->nrows; row++)
	{
		ids[row] = result_int64(guests, row, GUEST_ID);
		if (DatumGetBool(result_datum(guests, row, GUEST_BANNED)))
			error_banned(ids[row], group_id);
		if (!DatumGetBool(result_datum(guests, row, GUEST_HAS_ANY)))
			added++;
		if (!DatumGetBool(result_datum(guests, row, GUEST_INVITED)))
			to_tell[ntold++] = ids[row];
	}
	values[1] = int64_array(ids, guests->nrows);
	plan_run(&invitations_add, PLAN_WRITE, values, NULL);
	hearers = who_hear_from(actor_id, DatumGetArrayTypeP(int64_array(to_tell, ntold)));
	if (hearers != NULL)
		record_invitations(group_id, actor_id, hearers);
	return added;
}

static int64
invite(int64 group_id, int64 actor_id, const UserList *list)
{
	Datum		values[] = {Int64GetDatum(group_id), int64_array(list->ids, list->count)};
	PlanResult	users = lock_user_list(list);
	PlanResult	guests;

	keep_group(group_id);
	lock_membership(actor_id, group_id, ACT_INVITE);
	require_listed_users(list, &users);
	guests = plan_run(&guests_state, PLAN_LATEST, values, NULL);
	return guests.nrows == 0 ? 0 : invite_guests(group_id, actor_id, &guests);
}

Datum
chatrel_invite(PG_FUNCTION_ARGS)
{
	int64		group_id = require_int64(fcinfo, 0, "group_id");
	int64		actor_id;
	UserList	list;
	OwnerScope	scope;
	int64		added;

	check_not_null(fcinfo, 1, "user_ids");
	actor_id = acting_user(fcinfo);
	require_user_list(&list, fcinfo, 1, actor_id, MAX_INVITED);

	PreventCommandIfReadOnly("chatrel.invite()");
	owner_begin(&scope, fcinfo);
	added = invite(group_id, actor_id, &list);
	owner_end(&scope);

	PG_RETURN_INT64(added);
}

/* ---------- the invited ---------- */

Datum
chatrel_invitations(PG_FUNCTION_ARGS)
{
	int64		after = PG_ARGISNULL(0) ? PG_INT64_MIN : PG_GETARG_INT64(0);
	int			row_limit = require_limit(fcinfo, 1, "row_limit");
	int64		user_id = acting_user(fcinfo);
	Datum		values[5] = {Int64GetDatum(user_id), Int64GetDatum(after),
	Int64GetDatum(row_limit)};
	OwnerScope	scope;

	InitMaterializedSRF(fcinfo, 0);

	owner_begin(&scope, fcinfo);
	require_user(user_id);
	uncommitted_members(&values[3]);
	plan_fill(&invitations_page, (ReturnSetInfo *) fcinfo->resultinfo, values, NULL);
	owner_end(&scope);

	return (Datum) 0;
}

/*
 * All that there are of the group, if one of them counts; and of a group that the
 * user cannot know of no more is said than that there is none.  The group is locked
 * first: its deletion takes them in another order.
 */
Datum
chatrel_decline_invitation(PG_FUNCTION_ARGS)
{
	int64		group_id = require_int64(fcinfo, 0, "group_id");
	int64		user_id = acting_user(fcinfo);
	Datum		values[] = {Int64GetDatum(group_id), Int64GetDatum(user_id)};
	OwnerScope	scope;
	bool		declined;

	PreventCommandIfReadOnly("chatrel.decline_invitation()");
	owner_begin(&scope, fcinfo);
	require_user(user_id);
	keep_group(group_id);
	declined = plan_run(&user_is_invited, PLAN_LATEST, values, NULL).nrows > 0 &&
		remove_invitations(group_id, user_id, 0) > 0;
	owner_end(&scope);

	PG_RETURN_BOOL(declined);
}

/* ---------- the group ---------- */

Datum
chatrel_group_invitations(PG_FUNCTION_ARGS)
{
	return return_group_page(fcinfo, &invitations_of_group, ACT_READ);
}

/* A member takes back its own; who admits users, everybody's. */
Datum
chatrel_withdraw_invitation(PG_FUNCTION_ARGS)
{
	int64		group_id = require_int64(fcinfo, 0, "group_id");
	int64		user_id = require_int64(fcinfo, 1, "user_id");
	int64		actor_id = acting_user(fcinfo);
	Membership	member;
	OwnerScope	scope;
	bool		withdrawn;

	PreventCommandIfReadOnly("chatrel.withdraw_invitation()");
	owner_begin(&scope, fcinfo);
	hold_membership(&member, actor_id, group_id, ACT_KEEP);
	withdrawn = remove_invitations(group_id, user_id,
								   may_act(&member, ACT_ADMIT) ? 0 : actor_id) > 0;
	owner_end(&scope);

	PG_RETURN_BOOL(withdrawn);
}
