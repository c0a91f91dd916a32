/*
 * join_requests.c
 *	  Requests to join a public group, which its moderators decide.
 *
 * A request waits until it is decided or withdrawn, the user comes in otherwise, or
 * is banned.  That it was rejected is not told.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"

#include "core/check.h"
#include "core/errors.h"
#include "core/identity.h"
#include "delivery/record.h"
#include "groups/joining.h"
#include "groups/lists.h"
#include "groups/member_changes.h"
#include "groups/members.h"

static SqlPlan request_add = {
	.sql = "INSERT INTO chatrel.groups_join_requests (group_id, user_id) VALUES ($1, $2)"
	" ON CONFLICT (user_id, group_id) DO NOTHING",
	.expected = SPI_OK_INSERT,
	PLAN_ARGS(INT8OID, INT8OID)
};

static SqlPlan request_waits = {
	.sql = "SELECT FROM chatrel.groups_join_requests WHERE group_id" EQ "$1 AND user_id" EQ "$2",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, INT8OID)
};

static SqlPlan deciders = {
	.sql = "SELECT pg_catalog.array_agg(m.user_id ORDER BY m.user_id)"
	" FROM chatrel.groups_members m WHERE m.group_id" EQ "$1 AND m.role" NE "'member'",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID),
	.by_index = true
};

static SqlPlan requests_page = {
	.sql = "SELECT r.user_id, u.username, r.created_at, r.id"
	" FROM (SELECT * FROM chatrel.groups_join_requests"
	" WHERE group_id" EQ "$1 AND id" GT "$2 ORDER BY id LIMIT $3) r"
	" JOIN chatrel.users u ON u.id" EQ "r.user_id ORDER BY r.id",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, INT8OID, INT8OID),
	.by_index = true
};

PG_FUNCTION_INFO_V1(chatrel_request_to_join);
PG_FUNCTION_INFO_V1(chatrel_withdraw_join_request);
PG_FUNCTION_INFO_V1(chatrel_join_requests);
PG_FUNCTION_INFO_V1(chatrel_decide_join_request);

/* ---------- asking ---------- */

static void
check_may_ask(const Entry *state, int64 group_id, int64 user_id)
{
	check_may_enter(state, group_id, user_id);
	if (state->is_open || state->is_invited)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("user %lld may join group %lld without asking",
						(long long) user_id, (long long) group_id),
				 errhint("Join it, with chatrel.join_group(%lld).", (long long) group_id),
				 err_column("groups", "join_policy")));
}

/* Who decides hears of it, unless there is a block between the two or the user is muted. */
static void
record_request(int64 group_id, int64 user_id, const char *username)
{
	Datum		values[] = {Int64GetDatum(group_id)};
	PlanResult	found = plan_run(&deciders, PLAN_WRITE, values, NULL);
	ArrayType  *hearers = result_is_null(&found, 0, 1) ? NULL
		: who_hear_from(user_id, DatumGetArrayTypeP(result_datum(&found, 0, 1)));
	int			count = hearers == NULL ? 0 : ArrayGetNItems(ARR_NDIM(hearers), ARR_DIMS(hearers));
	Jsonb	   *detail = event_detail("username", username);

	for (int i = 0; i < count; i++)
	{
		RecordedEvent requested = {
			.kind = "join_requested",
			.group_id = group_id,
			.recipient_id = ((const int64 *) ARR_DATA_PTR(hearers))[i],
			.actor_id = user_id,
			.detail = detail
		};

		CHECK_FOR_INTERRUPTS();
		record_event(&requested);
	}
}

/* False if the user has asked before.  Once more where that was decided meanwhile. */
static bool
add_request(int64 group_id, int64 user_id)
{
	Datum		values[] = {Int64GetDatum(group_id), Int64GetDatum(user_id)};

	for (int i = 0; i < MAX_TRIES; i++)
	{
		if (plan_run(&request_add, PLAN_WRITE, values, NULL).nrows > 0)
			return true;
		if (plan_run(&request_waits, PLAN_WRITE, values, NULL).nrows > 0)
			return false;
	}
	error_change_suppressed("groups_join_requests");
}

static bool
request_to_join(int64 group_id, int64 user_id)
{
	char	   *username = lock_user_to_join(user_id);
	Entry		state;

	keep_group(group_id);
	if (!read_entry(&state, group_id, user_id))
		error_group_not_found(group_id);
	if (state.is_member)
		return false;
	if (!state.is_public)
		error_group_not_found(group_id);
	check_may_ask(&state, group_id, user_id);
	if (!add_request(group_id, user_id))
		return false;
	record_request(group_id, user_id, username);
	return true;
}

Datum
chatrel_request_to_join(PG_FUNCTION_ARGS)
{
	int64		group_id = require_int64(fcinfo, 0, "group_id");
	int64		user_id = acting_user(fcinfo);
	OwnerScope	scope;
	bool		asked;

	PreventCommandIfReadOnly("chatrel.request_to_join()");
	owner_begin(&scope, fcinfo);
	asked = request_to_join(group_id, user_id);
	owner_end(&scope);

	PG_RETURN_BOOL(asked);
}

Datum
chatrel_withdraw_join_request(PG_FUNCTION_ARGS)
{
	int64		group_id = require_int64(fcinfo, 0, "group_id");
	int64		user_id = acting_user(fcinfo);
	OwnerScope	scope;
	bool		withdrawn;

	PreventCommandIfReadOnly("chatrel.withdraw_join_request()");
	owner_begin(&scope, fcinfo);
	require_user(user_id);
	withdrawn = remove_join_request(group_id, user_id);
	owner_end(&scope);

	PG_RETURN_BOOL(withdrawn);
}

/* ---------- deciding ---------- */

Datum
chatrel_join_requests(PG_FUNCTION_ARGS)
{
	return return_group_page(fcinfo, &requests_page, ACT_ADMIT);
}

/*
 * The user and the group are locked before the membership of who decides.  Of two who
 * decide at the same time the second finds no request.
 */
static bool
decide(int64 group_id, int64 actor_id, int64 user_id, bool accept)
{
	(void) lock_user_to_join(user_id);
	keep_group(group_id);
	lock_membership(actor_id, group_id, ACT_ADMIT);
	if (!remove_join_request(group_id, user_id))
		return false;
	if (accept)
		(void) join(group_id, user_id, actor_id, JOIN_BY_DECISION);
	return true;
}

Datum
chatrel_decide_join_request(PG_FUNCTION_ARGS)
{
	int64		group_id = require_int64(fcinfo, 0, "group_id");
	int64		user_id = require_int64(fcinfo, 1, "user_id");
	bool		accept = require_bool(fcinfo, 2, "accept");
	int64		actor_id = acting_user(fcinfo);
	OwnerScope	scope;
	bool		decided;

	PreventCommandIfReadOnly("chatrel.decide_join_request()");
	owner_begin(&scope, fcinfo);
	decided = decide(group_id, actor_id, user_id, accept);
	owner_end(&scope);

	PG_RETURN_BOOL(decided);
}
