/*
 * relationships.c
 *	  The follow graph: following, and no longer following.
 *
 * A relationship is directed: the follower follows the followed.  Whoever writes
 * one locks both users first (pair.c), in the order of their ids, and then their
 * request and their relationship.  Where nothing stands in the way (a block of
 * either side, that the followed user is protected, a request that waits) the
 * relationship is made without a statement.  Why it was not made is found out
 * afterwards.  All of them go by what has committed,
 * whatever the isolation level: who was kept away may not come in by an old
 * snapshot.
 *
 * A position is the id of a relationship, by which lists are ordered and paged.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/timestamp.h"

#include "core/check.h"
#include "core/errors.h"
#include "core/identity.h"
#include "core/plans.h"
#include "core/rows.h"
#include "relationships/blocks.h"
#include "relationships/follow_events.h"
#include "relationships/pair.h"
#include "relationships/relationships.h"
#include "relationships/requests.h"

/* What was accepted: the follower has asked, and the followed user has agreed. */
static SqlPlan follow_add_accepted = {
	.sql = "INSERT INTO chatrel.relationships (follower_id, followed_id, follow_type)"
	" VALUES ($1, $2, $3)"
	" ON CONFLICT (follower_id, followed_id) DO NOTHING",
	.expected = SPI_OK_INSERT,
	PLAN_ARGS(INT8OID, INT8OID, TEXTOID)
};

static SqlPlan follow_change_accepted = {
	.sql = "UPDATE chatrel.relationships"
	" SET follow_type = $3, updated_at = pg_catalog.now()"
	" WHERE follower_id" EQ "$1 AND followed_id" EQ "$2"
	" AND follow_type" NE "$3",
	.expected = SPI_OK_UPDATE,
	PLAN_ARGS(INT8OID, INT8OID, TEXTOID)
};

/* $3 may be null for any type. */
static SqlPlan follow_exists = {
	.sql = "SELECT FROM chatrel.relationships"
	" WHERE follower_id" EQ "$1 AND followed_id" EQ "$2"
	" AND ($3 IS NULL OR follow_type" EQ "$3)",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, INT8OID, TEXTOID)
};

static SqlPlan follow_remove = {
	.sql = "DELETE FROM chatrel.relationships WHERE follower_id" EQ "$1 AND followed_id" EQ "$2",
	.expected = SPI_OK_DELETE,
	PLAN_ARGS(INT8OID, INT8OID)
};

/* $1 is the follower, $2 the others, of whom nobody may be missing. */
static SqlPlan many_lock = {
	.sql = "SELECT u.id, u.username FROM chatrel.users u"
	" WHERE (u.id" EQ "$1 OR u.id" EQ "ANY ($2)) AND u.deleted_at IS NULL"
	" ORDER BY u.id FOR SHARE",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, INT8ARRAYOID)
};

/* $3 are those who were locked: one who comes back after that is missing all the same. */
static SqlPlan many_missing = {
	.sql = "SELECT wanted.id FROM (VALUES ($1, 0::pg_catalog.int8)"
	" UNION ALL SELECT id, n FROM pg_catalog.unnest($2) WITH ORDINALITY AS list (id, n))"
	" wanted (id, n)"
	" WHERE NOT EXISTS (SELECT FROM pg_catalog.unnest($3) AS locked (id)"
	" WHERE locked.id" EQ "wanted.id)"
	" ORDER BY wanted.n LIMIT 1",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, INT8ARRAYOID, INT8ARRAYOID)
};

/* Whom the follower may not follow, the first in the order given */
static SqlPlan many_blocked = {
	.sql = "SELECT list.id FROM pg_catalog.unnest($2) WITH ORDINALITY AS list (id, n)"
	" WHERE " BLOCKED("$1", "list.id") " ORDER BY list.n LIMIT 1",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, INT8ARRAYOID),
	.by_index = true
};

static SqlPlan many_add = {
	.sql = "INSERT INTO chatrel.relationships AS r (follower_id, followed_id, follow_type)"
	" SELECT $1, wanted.id, $3"
	" FROM (SELECT DISTINCT list.id FROM pg_catalog.unnest($2) AS list (id)"
	" ORDER BY list.id) wanted"
	" WHERE NOT " PROTECTED("wanted.id")
	" ON CONFLICT (follower_id, followed_id) DO NOTHING"
	" RETURNING r.followed_id",
	.expected = SPI_OK_INSERT_RETURNING,
	PLAN_ARGS(INT8OID, INT8ARRAYOID, TEXTOID),
	.by_index = true
};

static SqlPlan many_change = {
	.sql = "UPDATE chatrel.relationships"
	" SET follow_type = $3, updated_at = pg_catalog.now()"
	" WHERE follower_id" EQ "$1 AND followed_id" EQ "ANY ($2)"
	" AND follow_type" NE "$3 AND NOT " PROTECTED("followed_id"),
	.expected = SPI_OK_UPDATE,
	PLAN_ARGS(INT8OID, INT8ARRAYOID, TEXTOID),
	.by_index = true
};

/* Those who are neither followed in the end nor asked. */
static SqlPlan many_left_out = {
	.sql = "SELECT FROM pg_catalog.unnest($2) AS list (id)"
	" WHERE NOT " FOLLOWED_AS("$1", "list.id", "$3") " AND NOT " REQUESTED("$1", "list.id")
	" LIMIT 1",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, INT8ARRAYOID, TEXTOID),
	.by_index = true
};

PG_FUNCTION_INFO_V1(chatrel_follow);
PG_FUNCTION_INFO_V1(chatrel_unfollow);
PG_FUNCTION_INFO_V1(chatrel_follow_many);

/* ---------- following ---------- */

/* As the table's CHECK has it; a name of PostgreSQL's own may be as long. */
text *
require_follow_type(FunctionCallInfo fcinfo, int argno)
{
	text	   *follow_type;
	int			bytes;

	check_not_null(fcinfo, argno, "follow_type");
	follow_type = PG_GETARG_TEXT_PP(argno);
	bytes = VARSIZE_ANY_EXHDR(follow_type);
	if (bytes == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must not be empty", "follow_type")));
	check_bytes(bytes, MAX_FOLLOW_TYPE, "follow_type");
	return follow_type;
}

/* The same whichever of them has blocked the other. */
static void
error_may_not_follow(int64 follower_id, int64 followed_id)
{
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("user %lld may not follow user %lld",
					(long long) follower_id, (long long) followed_id),
			 err_table("blocks")));
}

static void
record_followed(int64 follower_id, int64 followed_id, const char *username, text *follow_type)
{
	record_follow_event("followed", follower_id, followed_id, username, follow_type);
}

/* Of those whom a call names: how many are followed now, and how many in another way */
typedef struct FollowOutcome
{
	uint64		added;
	uint64		changed;
} FollowOutcome;

static void
check_none_blocked(Datum *values)
{
	PlanResult	blocked = plan_run(&many_blocked, PLAN_LATEST, values, NULL);

	if (blocked.nrows > 0)
		error_may_not_follow(DatumGetInt64(values[0]), result_int64(&blocked, 0, 1));
}

/*
 * Asks those who are protected, follows the others who are not followed, and changes
 * how the rest are.  Once more where somebody unfollows, or changes how, after a row
 * was found.  values: follower, array of those to follow, follow_type.
 */
static FollowOutcome
follow_each(Datum *values, const char *username)
{
	FollowOutcome outcome = {0};

	check_none_blocked(values);
	for (int i = 0; i < MAX_TRIES; i++)
	{
		PlanResult	added;

		requests_update(values, username);
		added = plan_run(&many_add, PLAN_CASCADE, values, NULL);
		for (uint64 row = 0; row < added.nrows; row++)
			record_followed(DatumGetInt64(values[0]), result_int64(&added, row, 1), username,
							DatumGetTextPP(values[2]));
		outcome.added += added.nrows;
		outcome.changed += plan_run(&many_change, PLAN_CASCADE, values, NULL).nrows;
		if (plan_run(&many_left_out, PLAN_LATEST, values, NULL).nrows == 0)
			return outcome;
	}
	error_change_suppressed("relationships");
}

/* ---------- following one ---------- */

/* Between rows_begin() and rows_end() */
static bool
is_protected(int64 user_id)
{
	Relation	settings = rows_open("user_settings", AccessShareLock, ACL_SELECT);
	TupleTableSlot *row = row_find(settings, &user_id, 1);
	bool		is_null;
	bool		is_true = row != NULL && DatumGetBool(row_get(row, "protected", &is_null));

	if (row != NULL)
		row_drop(row);
	rows_close(settings);
	return is_true;
}

static TupleTableSlot *
new_follow(Relation relationships, const int64 *pair, text *follow_type)
{
	TupleTableSlot *row = row_new(relationships);
	Datum		now = TimestampTzGetDatum(GetCurrentTransactionStartTimestamp());

	row_set(row, "id", Int64GetDatum(next_number("relationships_id_seq")));
	row_set(row, "follower_id", Int64GetDatum(pair[0]));
	row_set(row, "followed_id", Int64GetDatum(pair[1]));
	row_set(row, "follow_type", PointerGetDatum(follow_type));
	row_set(row, "created_at", now);
	row_set(row, "updated_at", now);
	return row;
}

/* False where it is there already, or a trigger keeps it out. */
static bool
insert_follow(const int64 *pair, text *follow_type)
{
	Relation	relationships = rows_open("relationships", RowExclusiveLock, ACL_INSERT);
	TupleTableSlot *row = new_follow(relationships, pair, follow_type);
	bool		added = row_add_unless_there(relationships, row, "relationships_pkey");

	row_drop(row);
	rows_close(relationships);
	return added;
}

/* Follows whom nobody has to be asked for; pair: the follower, and whom it wants to follow. */
static bool
follow_at_once(const int64 *pair, text *follow_type)
{
	bool		added;

	rows_begin(PLAN_LATEST);
	added = !is_blocked_now(pair[0], pair[1]) && !is_protected(pair[1]) &&
		!row_exists("follow_requests", pair, 2) && insert_follow(pair, follow_type);
	rows_end();
	return added;
}

/* Follows, or changes how; false if there is nothing to change. */
static bool
follow(int64 follower_id, int64 followed_id, text *follow_type)
{
	const int64 pair[] = {follower_id, followed_id};
	Datum		values[] = {Int64GetDatum(follower_id), (Datum) 0, PointerGetDatum(follow_type)};
	char	   *names[2];
	FollowOutcome outcome;

	lock_pair(follower_id, followed_id, names);
	if (follow_at_once(pair, follow_type))
	{
		record_followed(follower_id, followed_id, names[0], follow_type);
		return true;
	}
	values[1] = int64_array(&followed_id, 1);
	outcome = follow_each(values, names[0]);
	return outcome.added + outcome.changed > 0;
}

/* False if there is nothing to take away.  Once more where somebody follows meanwhile. */
bool
remove_follow(int64 follower_id, int64 followed_id)
{
	Datum		values[] = {Int64GetDatum(follower_id), Int64GetDatum(followed_id), (Datum) 0};

	for (int i = 0; i < MAX_TRIES; i++)
	{
		if (plan_run(&follow_remove, PLAN_CASCADE, values, NULL).nrows > 0)
			return true;
		if (plan_run(&follow_exists, PLAN_LATEST, values, "  n").nrows == 0)
			return false;
	}
	error_change_suppressed("relationships");
}

/* The other one hears of it, unless there was only a request. */
static bool
unfollow(int64 follower_id, int64 followed_id)
{
	char	   *names[2];
	bool		asked;

	lock_pair(follower_id, followed_id, names);
	asked = request_remove(follower_id, followed_id) != NULL;
	if (!remove_follow(follower_id, followed_id))
		return asked;
	record_follow_event("unfollowed", follower_id, followed_id, names[0], NULL);
	return true;
}

/*
 * Does what was asked and is accepted; both users hear of it.  The names are in the
 * order of the users.  A user who follows already, and asked to in another way, is
 * not said to begin to.
 */
void
add_accepted_follow(int64 follower_id, int64 followed_id, char *const *names, text *follow_type)
{
	Datum		values[] = {Int64GetDatum(follower_id), Int64GetDatum(followed_id),
	PointerGetDatum(follow_type)};

	for (int i = 0; i < MAX_TRIES; i++)
	{
		bool		added = plan_run(&follow_add_accepted, PLAN_CASCADE, values, NULL).nrows > 0;

		if (added)
			record_followed(follower_id, followed_id, names[0], follow_type);
		if (added ||
			plan_run(&follow_change_accepted, PLAN_CASCADE, values, NULL).nrows > 0 ||
			plan_run(&follow_exists, PLAN_LATEST, values, NULL).nrows > 0)
		{
			record_follow_event("follow_accepted", followed_id, follower_id, names[1], follow_type);
			return;
		}
	}
	error_change_suppressed("relationships");
}

Datum
chatrel_follow(PG_FUNCTION_ARGS)
{
	int64		followed_id = require_int64(fcinfo, 0, "user_id");
	text	   *follow_type = require_follow_type(fcinfo, 1);
	int64		follower_id = acting_user(fcinfo);
	OwnerScope	scope;
	bool		changed;
	bool		asked;

	if (follower_id == followed_id)
		error_oneself(follower_id, "follow");

	owner_begin(&scope, fcinfo);
	changed = follow(follower_id, followed_id, follow_type);
	asked = !changed && request_waits(follower_id, followed_id);
	owner_end(&scope);

	if (asked)
		PG_RETURN_NULL();
	PG_RETURN_BOOL(changed);
}

Datum
chatrel_unfollow(PG_FUNCTION_ARGS)
{
	int64		followed_id = require_int64(fcinfo, 0, "user_id");
	int64		follower_id = acting_user(fcinfo);
	OwnerScope	scope;
	bool		changed = false;

	owner_begin(&scope, fcinfo);
	if (follower_id == followed_id)
		require_user(follower_id);
	else
		changed = unfollow(follower_id, followed_id);
	owner_end(&scope);

	PG_RETURN_BOOL(changed);
}

/* ---------- following many ---------- */

/* As follow() does for one. */
static void
check_many(int64 follower_id, ArrayType *ids)
{
	int			nids = ArrayGetNItems(ARR_NDIM(ids), ARR_DIMS(ids));
	int64	   *id = (int64 *) ARR_DATA_PTR(ids);

	for (int i = 0; i < nids; i++)
		if (id[i] == follower_id)
			error_oneself(follower_id, "follow");
}

/* Locks the users, makes sure that none is missing, and returns the follower's name. */
static char *
lock_many(int64 follower_id, ArrayType *ids)
{
	Datum		values[] = {Int64GetDatum(follower_id), PointerGetDatum(ids), (Datum) 0};
	PlanResult	users = plan_run(&many_lock, PLAN_WRITE, values, NULL);
	int64	   *locked = palloc_array(int64, users.nrows);
	char	   *username = NULL;
	PlanResult	missing;

	for (uint64 row = 0; row < users.nrows; row++)
	{
		locked[row] = result_int64(&users, row, 1);
		if (locked[row] == follower_id)
			username = result_cstring(&users, row, 2);
	}
	values[2] = int64_array(locked, users.nrows);
	missing = plan_run(&many_missing, PLAN_READ, values, NULL);
	if (missing.nrows > 0)
		error_user_not_found(result_int64(&missing, 0, 1));
	return username;
}

Datum
chatrel_follow_many(PG_FUNCTION_ARGS)
{
	ArrayType  *ids = require_ids(fcinfo, 0, "user_ids");
	text	   *follow_type = require_follow_type(fcinfo, 1);
	int64		follower_id = acting_user(fcinfo);
	Datum		values[] = {Int64GetDatum(follower_id), PointerGetDatum(ids),
	PointerGetDatum(follow_type)};
	OwnerScope	scope;
	FollowOutcome outcome;
	char	   *username;

	check_many(follower_id, ids);

	owner_begin(&scope, fcinfo);
	username = lock_many(follower_id, ids);
	outcome = follow_each(values, username);
	owner_end(&scope);

	PG_RETURN_INT64(outcome.added);
}
