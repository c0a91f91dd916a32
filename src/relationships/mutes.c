/*
 * mutes.c
 *	  Of whom a user does not want to hear, for a time or for good.
 *
 * A mute is the user's own: it keeps nobody from anything, and nobody is told.  One
 * that has ended by itself stays as a row and counts for nothing.
 */
#include "postgres.h"

#include "catalog/pg_type.h"

#include "core/check.h"
#include "core/identity.h"
#include "relationships/blocks.h"
#include "relationships/lists.h"
#include "relationships/pair.h"

/* A mute that is to end otherwise is changed; one that has ended is made anew. */
static SqlPlan mute_add = {
	.sql = "INSERT INTO chatrel.user_mutes AS m (user_id, muted_id, until) VALUES ($1, $2, $3)"
	" ON CONFLICT (user_id, muted_id) DO UPDATE SET until = EXCLUDED.until,"
	" created_at = CASE WHEN " IN_FORCE("m") " THEN m.created_at ELSE EXCLUDED.created_at END"
	" WHERE " TIME_OR("m.until", "infinity") NE TIME_OR("EXCLUDED.until", "infinity"),
	.expected = SPI_OK_INSERT,
	PLAN_ARGS(INT8OID, INT8OID, TIMESTAMPTZOID)
};

static SqlPlan mute_remove = {
	.sql = "DELETE FROM chatrel.user_mutes m WHERE user_id" EQ "$1 AND muted_id" EQ "$2"
	" RETURNING " IN_FORCE("m"),
	.expected = SPI_OK_DELETE_RETURNING,
	PLAN_ARGS(INT8OID, INT8OID)
};

/* To take a mute away, any $3 will do. */
static SqlPlan mute_exists = {
	.sql = "SELECT " TIME_OR("m.until", "infinity") EQ TIME_OR("$3", "infinity")
	" FROM chatrel.user_mutes m"
	" WHERE user_id" EQ "$1 AND muted_id" EQ "$2",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, INT8OID, TIMESTAMPTZOID)
};

static SqlPlan muted_page = {
	.sql = "SELECT u.id, u.username, m.until, m.created_at"
	" FROM (SELECT * FROM chatrel.user_mutes m WHERE user_id" EQ "$1 AND muted_id" GT "$2"
	" AND " IN_FORCE("m") " ORDER BY muted_id LIMIT $3) m"
	" JOIN chatrel.users u ON u.id" EQ "m.muted_id"
	" ORDER BY m.muted_id",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, INT8OID, INT8OID),
	.by_index = true
};

PG_FUNCTION_INFO_V1(chatrel_mute_user);
PG_FUNCTION_INFO_V1(chatrel_unmute_user);
PG_FUNCTION_INFO_V1(chatrel_muted_users);

/* False if the mute is there already. */
static bool
mute(Datum *values, const char *nulls)
{
	for (int i = 0; i < MAX_TRIES; i++)
	{
		PlanResult	found;

		if (plan_run(&mute_add, PLAN_CASCADE, values, nulls).nrows > 0)
			return true;
		found = plan_run(&mute_exists, PLAN_LATEST, values, nulls);
		if (found.nrows > 0 && DatumGetBool(result_datum(&found, 0, 1)))
			return false;
	}
	error_change_suppressed("user_mutes");
}

/* False if there is none, or none any more. */
static bool
unmute(Datum *values)
{
	for (int i = 0; i < MAX_TRIES; i++)
	{
		PlanResult	removed = plan_run(&mute_remove, PLAN_CASCADE, values, NULL);

		if (removed.nrows > 0)
			return DatumGetBool(result_datum(&removed, 0, 1));
		if (plan_run(&mute_exists, PLAN_LATEST, values, "  n").nrows == 0)
			return false;
	}
	error_change_suppressed("user_mutes");
}

/* When a mute is to end; it has to be a time that is still to come. */
static TimestampTz
require_until(FunctionCallInfo fcinfo, int argno)
{
	TimestampTz until = require_datetime(fcinfo, argno, "until");

	check_to_come(until, "until");
	return until;
}

Datum
chatrel_mute_user(PG_FUNCTION_ARGS)
{
	int64		muted_id = require_int64(fcinfo, 0, "user_id");
	bool		has_end = !PG_ARGISNULL(1);
	TimestampTz until = has_end ? require_until(fcinfo, 1) : 0;
	int64		user_id = acting_user(fcinfo);
	Datum		values[] = {Int64GetDatum(user_id), Int64GetDatum(muted_id),
	TimestampTzGetDatum(until)};
	OwnerScope	scope;
	bool		changed;

	if (user_id == muted_id)
		error_oneself(user_id, "mute");

	owner_begin(&scope, fcinfo);
	lock_pair(user_id, muted_id, NULL);
	changed = mute(values, has_end ? NULL : "  n");
	owner_end(&scope);

	PG_RETURN_BOOL(changed);
}

Datum
chatrel_unmute_user(PG_FUNCTION_ARGS)
{
	int64		muted_id = require_int64(fcinfo, 0, "user_id");
	int64		user_id = acting_user(fcinfo);
	Datum		values[] = {Int64GetDatum(user_id), Int64GetDatum(muted_id), (Datum) 0};
	OwnerScope	scope;
	bool		changed = false;

	owner_begin(&scope, fcinfo);
	if (user_id == muted_id)
		require_user(user_id);
	else
	{
		lock_pair(user_id, muted_id, NULL);
		changed = unmute(values);
	}
	owner_end(&scope);

	PG_RETURN_BOOL(changed);
}

Datum
chatrel_muted_users(PG_FUNCTION_ARGS)
{
	return return_own_page(fcinfo, &muted_page);
}
