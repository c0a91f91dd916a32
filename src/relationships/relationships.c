/*
 * relationships.c
 *	  The follow graph: following, no longer following, and who follows whom.
 *
 * A relationship is directed: the follower follows the followed.  Whoever
 * writes one holds the rows of both users FOR SHARE first, against which
 * stands the lock of who deletes a user; so nobody begins to follow a user that
 * is gone, and the order of locks is the same for all: users, in the order of
 * their ids, and then relationships.
 *
 * A position is the id of a relationship, by which lists are ordered and paged.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "core/check.h"
#include "core/identity.h"
#include "core/plans.h"
#include "delivery/events.h"
#include "relationships/follow_counters.h"
#include "relationships/relationships.h"

static SqlPlan users_lock = {
	.sql = "SELECT id, username FROM chatrel.users"
	" WHERE id" EQ "ANY (ARRAY[$1, $2]) AND deleted_at IS NULL"
	" ORDER BY id FOR SHARE",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, INT8OID)
};

static SqlPlan follow_add = {
	.sql = "INSERT INTO chatrel.relationships (follower_id, followed_id, follow_type)"
	" VALUES ($1, $2, $3)"
	" ON CONFLICT (follower_id, followed_id) DO NOTHING RETURNING id",
	.expected = SPI_OK_INSERT_RETURNING,
	PLAN_ARGS(INT8OID, INT8OID, TEXTOID)
};

static SqlPlan follow_change = {
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

/*
 * One side of a user's relationships.  Their order has the planner use the index
 * on (side, id), also where it believes that all rows are this user's.
 */
#define SIDE_OF_USER(side) \
	"(SELECT id, follower_id, followed_id FROM chatrel.relationships" \
	" WHERE " side EQ "$1 ORDER BY id)"

/*
 * Two users that follow each other may be deleted at the same time: hence the
 * order of all.  Returns how many are left all the same.
 */
static SqlPlan relationships_remove = {
	.sql = "WITH of_user AS MATERIALIZED ("
	SIDE_OF_USER("follower_id") " UNION ALL " SIDE_OF_USER("followed_id") "),"
	" locked AS MATERIALIZED ("
	"SELECT r.follower_id, r.followed_id FROM of_user JOIN chatrel.relationships r"
	" ON r.follower_id" EQ "of_user.follower_id AND r.followed_id" EQ "of_user.followed_id"
	" ORDER BY of_user.id FOR UPDATE OF r),"
	" removed AS ("
	"DELETE FROM chatrel.relationships r USING locked"
	" WHERE r.follower_id" EQ "locked.follower_id AND r.followed_id" EQ "locked.followed_id"
	" RETURNING 1)"
	" SELECT (SELECT pg_catalog.count(*) FROM locked)"
	" OPERATOR(pg_catalog.-) (SELECT pg_catalog.count(*) FROM removed)",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID),
	.by_index = true
};

/* $1 is the follower, $2 the others, of whom nobody may be missing. */
static SqlPlan many_lock = {
	.sql = "SELECT FROM chatrel.users u"
	" WHERE (u.id" EQ "$1 OR u.id" EQ "ANY ($2)) AND u.deleted_at IS NULL"
	" ORDER BY u.id FOR SHARE",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, INT8ARRAYOID)
};

static SqlPlan many_missing = {
	.sql = "SELECT wanted.id FROM (VALUES ($1, 0::pg_catalog.int8)"
	" UNION ALL SELECT id, n FROM pg_catalog.unnest($2) WITH ORDINALITY AS list (id, n)) wanted (id, n)"
	" WHERE NOT EXISTS (SELECT FROM chatrel.users u"
	" WHERE u.id" EQ "wanted.id AND u.deleted_at IS NULL)"
	" ORDER BY wanted.n LIMIT 1",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, INT8ARRAYOID)
};

static SqlPlan many_add = {
	.sql = "INSERT INTO chatrel.relationships AS r (follower_id, followed_id, follow_type)"
	" SELECT $1, wanted.id, $3"
	" FROM (SELECT DISTINCT list.id FROM pg_catalog.unnest($2) AS list (id)"
	" ORDER BY list.id) wanted"
	" ON CONFLICT (follower_id, followed_id) DO NOTHING"
	" RETURNING r.id, r.followed_id,"
	" (SELECT u.username FROM chatrel.users u WHERE u.id" EQ "$1)",
	.expected = SPI_OK_INSERT_RETURNING,
	PLAN_ARGS(INT8OID, INT8ARRAYOID, TEXTOID)
};

static SqlPlan many_change = {
	.sql = "UPDATE chatrel.relationships"
	" SET follow_type = $3, updated_at = pg_catalog.now()"
	" WHERE follower_id" EQ "$1 AND followed_id" EQ "ANY ($2)"
	" AND follow_type" NE "$3",
	.expected = SPI_OK_UPDATE,
	PLAN_ARGS(INT8OID, INT8ARRAYOID, TEXTOID)
};

/* Who is not followed in the end. */
static SqlPlan many_left_out = {
	.sql = "SELECT FROM pg_catalog.unnest($2) AS list (id)"
	" WHERE NOT EXISTS (SELECT FROM chatrel.relationships r"
	" WHERE r.follower_id" EQ "$1 AND r.followed_id" EQ "list.id AND r.follow_type" EQ "$3)"
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
	if (bytes > MAX_FOLLOW_TYPE)
		ereport(ERROR,
				(errcode(ERRCODE_STRING_DATA_RIGHT_TRUNCATION),
				 errmsg("%s is too long", "follow_type"),
				 errdetail("It has %d bytes; the limit is %d.", bytes, MAX_FOLLOW_TYPE)));
	return follow_type;
}

static void
error_self_follow(int64 user_id)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("user %lld cannot follow itself", (long long) user_id)));
}

/* The followed user hears of it, on the user's own channel, and the gateways. */
static void
announce_followed(int64 id, int64 follower_id, int64 followed_id, const char *username,
				  text *follow_type)
{
	JsonWriter	event;

	event_begin(&event, "followed");
	json_id(&event, "id", id);
	json_id(&event, "follower_id", follower_id);
	json_id(&event, "followed_id", followed_id);
	json_string(&event, "username", username);
	json_string(&event, "follow_type", text_to_cstring(follow_type));
	announce(EVENT_USER, followed_id, true, &event);
}

/*
 * Locks the two users against being deleted, and returns the follower's name.
 * They come in the order of their ids.
 */
static char *
lock_users(int64 follower_id, int64 followed_id)
{
	Datum		values[] = {Int64GetDatum(follower_id), Int64GetDatum(followed_id)};
	PlanResult	users = plan_run(&users_lock, PLAN_WRITE, values, NULL);

	if (users.nrows < 2)
	{
		bool		has_follower = users.nrows > 0 && result_int64(&users, 0, 1) == follower_id;

		error_user_not_found(has_follower ? followed_id : follower_id);
	}
	return result_cstring(&users, follower_id < followed_id ? 0 : 1, 2);
}

/*
 * Follows, or changes how; false if there is nothing to change.  Once more where
 * somebody unfollows, or changes how, after the row was found.
 */
static bool
follow(int64 follower_id, int64 followed_id, text *follow_type)
{
	char	   *username = lock_users(follower_id, followed_id);
	Datum		values[] = {Int64GetDatum(follower_id), Int64GetDatum(followed_id),
	PointerGetDatum(follow_type)};

	for (int i = 0; i < MAX_TRIES; i++)
	{
		PlanResult	added = plan_run(&follow_add, PLAN_WRITE, values, NULL);

		if (added.nrows > 0)
		{
			announce_followed(result_int64(&added, 0, 1), follower_id, followed_id,
							  username, follow_type);
			return true;
		}
		if (plan_run(&follow_change, PLAN_WRITE, values, NULL).nrows > 0)
			return true;
		if (plan_run(&follow_exists, PLAN_WRITE, values, NULL).nrows > 0)
			return false;
	}
	error_change_suppressed("relationships");
}

/* False if there is nothing to take away.  Once more where somebody follows meanwhile. */
static bool
unfollow(int64 follower_id, int64 followed_id)
{
	Datum		values[] = {Int64GetDatum(follower_id), Int64GetDatum(followed_id), (Datum) 0};

	lock_users(follower_id, followed_id);
	for (int i = 0; i < MAX_TRIES; i++)
	{
		if (plan_run(&follow_remove, PLAN_WRITE, values, NULL).nrows > 0)
			return true;
		if (plan_run(&follow_exists, PLAN_WRITE, values, "  n").nrows == 0)
			return false;
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

	if (follower_id == followed_id)
		error_self_follow(follower_id);

	owner_begin(&scope, fcinfo);
	changed = follow(follower_id, followed_id, follow_type);
	owner_end(&scope);

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

/* Takes a deleted user out of the graph, on both sides. */
void
remove_all_relationships(int64 user_id)
{
	Datum		values[] = {Int64GetDatum(user_id)};

	PlanResult	left = plan_run(&relationships_remove, PLAN_CASCADE, values, NULL);

	if (result_int64(&left, 0, 1) > 0)
		error_change_suppressed("relationships");
	follow_counters_forget(user_id);
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
			error_self_follow(follower_id);
}

/* Locks the users, and makes sure that none is missing. */
static void
lock_many(Datum *values)
{
	PlanResult	missing;

	plan_run(&many_lock, PLAN_WRITE, values, NULL);
	missing = plan_run(&many_missing, PLAN_WRITE, values, NULL);
	if (missing.nrows > 0)
		error_user_not_found(result_int64(&missing, 0, 1));
}

/*
 * Follows those who are not followed, changes how the others are, and returns
 * how many are new.
 */
static uint64
follow_many(int64 follower_id, ArrayType *ids, text *follow_type)
{
	Datum		values[] = {Int64GetDatum(follower_id), PointerGetDatum(ids),
	PointerGetDatum(follow_type)};
	uint64		wanted = ArrayGetNItems(ARR_NDIM(ids), ARR_DIMS(ids));
	uint64		total = 0;

	lock_many(values);
	for (int i = 0; i < MAX_TRIES; i++)
	{
		PlanResult	added = plan_run(&many_add, PLAN_WRITE, values, NULL);

		for (uint64 row = 0; row < added.nrows; row++)
			announce_followed(result_int64(&added, row, 1), follower_id,
							  result_int64(&added, row, 2), result_cstring(&added, row, 3),
							  follow_type);
		total += added.nrows;
		if (total == wanted)
			return total;
		plan_run(&many_change, PLAN_WRITE, values, NULL);
		if (plan_run(&many_left_out, PLAN_WRITE, values, NULL).nrows == 0)
			return total;
	}
	error_change_suppressed("relationships");
}

Datum
chatrel_follow_many(PG_FUNCTION_ARGS)
{
	ArrayType  *ids = require_ids(fcinfo, 0, "user_ids");
	text	   *follow_type = require_follow_type(fcinfo, 1);
	int64		follower_id = acting_user(fcinfo);
	OwnerScope	scope;
	uint64		total;

	check_many(follower_id, ids);

	owner_begin(&scope, fcinfo);
	total = follow_many(follower_id, ids, follow_type);
	owner_end(&scope);

	PG_RETURN_INT64(total);
}
