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

#include "check.h"
#include "events.h"
#include "follow_counters.h"
#include "identity.h"
#include "plans.h"
#include "relationships.h"

static SqlPlan users_lock = {
	"SELECT id, username FROM chatrel.users"
	" WHERE id" EQ "ANY (ARRAY[$1, $2]) AND deleted_at IS NULL"
	" ORDER BY id FOR SHARE",
	SPI_OK_SELECT, 2, {INT8OID, INT8OID}
};

static SqlPlan follow_add = {
	"INSERT INTO chatrel.relationships (follower_id, followed_id, follow_type)"
	" VALUES ($1, $2, " FOLLOW_TYPE("$3") ")"
	" ON CONFLICT (follower_id, followed_id) DO NOTHING RETURNING id",
	SPI_OK_INSERT_RETURNING, 3, {INT8OID, INT8OID, TEXTOID}
};

static SqlPlan follow_change = {
	"UPDATE chatrel.relationships"
	" SET follow_type = " FOLLOW_TYPE("$3") ", updated_at = pg_catalog.now()"
	" WHERE follower_id" EQ "$1 AND followed_id" EQ "$2"
	" AND follow_type" NE FOLLOW_TYPE("$3"),
	SPI_OK_UPDATE, 3, {INT8OID, INT8OID, TEXTOID}
};

static SqlPlan follow_exists = {
	"SELECT FROM chatrel.relationships WHERE follower_id" EQ "$1 AND followed_id" EQ "$2",
	SPI_OK_SELECT, 2, {INT8OID, INT8OID}
};

static SqlPlan follow_remove = {
	"DELETE FROM chatrel.relationships WHERE follower_id" EQ "$1 AND followed_id" EQ "$2",
	SPI_OK_DELETE, 2, {INT8OID, INT8OID}
};

/* Two users that follow each other may be deleted at the same time: hence the order. */
static SqlPlan relationships_remove = {
	"WITH mine AS MATERIALIZED ("
	"SELECT follower_id, followed_id FROM chatrel.relationships"
	" WHERE follower_id" EQ "$1 OR followed_id" EQ "$1"
	" ORDER BY id FOR UPDATE)"
	" DELETE FROM chatrel.relationships r USING mine"
	" WHERE r.follower_id" EQ "mine.follower_id AND r.followed_id" EQ "mine.followed_id",
	SPI_OK_DELETE, 1, {INT8OID}
};

/* $1 is the follower, $2 the others, of whom nobody may be missing. */
static SqlPlan many_lock = {
	"SELECT FROM chatrel.users u"
	" WHERE (u.id" EQ "$1 OR u.id" EQ "ANY ($2)) AND u.deleted_at IS NULL"
	" ORDER BY u.id FOR SHARE",
	SPI_OK_SELECT, 2, {INT8OID, INT8ARRAYOID}
};

static SqlPlan many_missing = {
	"SELECT wanted.id FROM (VALUES ($1, 0::pg_catalog.int8)"
	" UNION ALL SELECT id, n FROM pg_catalog.unnest($2) WITH ORDINALITY AS list (id, n)) wanted (id, n)"
	" WHERE NOT EXISTS (SELECT FROM chatrel.users u"
	" WHERE u.id" EQ "wanted.id AND u.deleted_at IS NULL)"
	" ORDER BY wanted.n LIMIT 1",
	SPI_OK_SELECT, 2, {INT8OID, INT8ARRAYOID}
};

static SqlPlan many_add = {
	"INSERT INTO chatrel.relationships AS r (follower_id, followed_id, follow_type)"
	" SELECT $1, wanted.id, " FOLLOW_TYPE("$3")
	" FROM (SELECT DISTINCT list.id FROM pg_catalog.unnest($2) AS list (id)"
	" ORDER BY list.id) wanted"
	" ON CONFLICT (follower_id, followed_id) DO NOTHING"
	" RETURNING r.id, r.followed_id,"
	" (SELECT u.username FROM chatrel.users u WHERE u.id" EQ "$1)",
	SPI_OK_INSERT_RETURNING, 3, {INT8OID, INT8ARRAYOID, TEXTOID}
};

static SqlPlan many_change = {
	"UPDATE chatrel.relationships"
	" SET follow_type = " FOLLOW_TYPE("$3") ", updated_at = pg_catalog.now()"
	" WHERE follower_id" EQ "$1 AND followed_id" EQ "ANY ($2)"
	" AND follow_type" NE FOLLOW_TYPE("$3"),
	SPI_OK_UPDATE, 3, {INT8OID, INT8ARRAYOID, TEXTOID}
};

PG_FUNCTION_INFO_V1(chatrel_follow);
PG_FUNCTION_INFO_V1(chatrel_unfollow);
PG_FUNCTION_INFO_V1(chatrel_follow_many);

/* ---------- following ---------- */

char *
follow_type_label(Datum follow_type)
{
	return DatumGetCString(DirectFunctionCall1(enum_out, follow_type));
}

static char *
require_follow_type(FunctionCallInfo fcinfo, int argno)
{
	check_not_null(fcinfo, argno, "follow_type");
	return follow_type_label(PG_GETARG_DATUM(argno));
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
owe_followed(int64 id, int64 follower_id, int64 followed_id, const char *username,
			 const char *follow_type)
{
	StringInfoData event;

	event_open(&event, "followed");
	event_int64(&event, "id", id);
	event_int64(&event, "follower_id", follower_id);
	event_int64(&event, "followed_id", followed_id);
	event_string(&event, "username", username);
	event_string(&event, "follow_type", follow_type);
	event_close(&event);
	event_owe(EVENT_USER, followed_id, true, &event);
}

/*
 * Locks the two users against being deleted, and returns the follower's name.
 * They come in the order of their ids.
 */
static char *
lock_users(int64 follower_id, int64 followed_id)
{
	Datum		values[] = {Int64GetDatum(follower_id), Int64GetDatum(followed_id)};
	uint64		nusers = plan_run(&users_lock, PLAN_WRITE, values, NULL);

	if (nusers < 2)
	{
		bool		has_follower = nusers > 0 && plan_int64(0, 1) == follower_id;

		error_user_not_found(has_follower ? followed_id : follower_id);
	}
	return plan_cstring(follower_id < followed_id ? 0 : 1, 2);
}

/* Follows, or changes how; false if there is nothing to change. */
static bool
follow(int64 follower_id, int64 followed_id, const char *follow_type)
{
	char	   *username = lock_users(follower_id, followed_id);
	Datum		values[] = {Int64GetDatum(follower_id), Int64GetDatum(followed_id),
	CStringGetTextDatum(follow_type)};

	/* Once more where somebody unfollows after the row was found to exist. */
	while (plan_run(&follow_add, PLAN_WRITE, values, NULL) == 0)
	{
		if (plan_run(&follow_change, PLAN_WRITE, values, NULL) > 0)
			return true;
		if (plan_run(&follow_exists, PLAN_WRITE, values, NULL) > 0)
			return false;
	}
	owe_followed(plan_int64(0, 1), follower_id, followed_id, username, follow_type);
	return true;
}

Datum
chatrel_follow(PG_FUNCTION_ARGS)
{
	int64		followed_id = require_int64(fcinfo, 0, "user_id");
	char	   *follow_type = require_follow_type(fcinfo, 1);
	int64		follower_id = acting_user(fcinfo, 2);
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
	int64		follower_id = acting_user(fcinfo, 1);
	Datum		values[] = {Int64GetDatum(follower_id), Int64GetDatum(followed_id)};
	OwnerScope	scope;
	bool		changed = false;

	owner_begin(&scope, fcinfo);
	if (follower_id == followed_id)
		require_user(follower_id);
	else
	{
		lock_users(follower_id, followed_id);
		changed = plan_run(&follow_remove, PLAN_WRITE, values, NULL) > 0;
	}
	owner_end(&scope);

	PG_RETURN_BOOL(changed);
}

/* Takes a deleted user out of the graph, on both sides. */
void
remove_all_relationships(int64 user_id)
{
	Datum		values[] = {Int64GetDatum(user_id)};

	plan_run(&relationships_remove, PLAN_CASCADE, values, NULL);
	follow_counters_forget(user_id);
}

/* ---------- following many ---------- */

/* An array of ids, none of them null. */
ArrayType *
require_ids(FunctionCallInfo fcinfo, int argno, const char *name)
{
	ArrayType  *ids;

	check_not_null(fcinfo, argno, name);
	ids = PG_GETARG_ARRAYTYPE_P(argno);
	if (array_contains_nulls(ids))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must not contain nulls", name)));
	return ids;
}

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
	plan_run(&many_lock, PLAN_WRITE, values, NULL);
	if (plan_run(&many_missing, PLAN_WRITE, values, NULL) > 0)
		error_user_not_found(plan_int64(0, 1));
}

/* The events for what many_add has just added. */
static void
owe_many(int64 follower_id, const char *follow_type, uint64 nadded)
{
	char	   *username = plan_cstring(0, 3);

	for (uint64 i = 0; i < nadded; i++)
		owe_followed(plan_int64(i, 1), follower_id, plan_int64(i, 2), username, follow_type);
}

Datum
chatrel_follow_many(PG_FUNCTION_ARGS)
{
	ArrayType  *ids = require_ids(fcinfo, 0, "user_ids");
	char	   *follow_type = require_follow_type(fcinfo, 1);
	int64		follower_id = acting_user(fcinfo, 2);
	Datum		values[] = {Int64GetDatum(follower_id), PointerGetDatum(ids),
	CStringGetTextDatum(follow_type)};
	OwnerScope	scope;
	uint64		nadded;

	check_many(follower_id, ids);

	owner_begin(&scope, fcinfo);
	lock_many(values);
	nadded = plan_run(&many_add, PLAN_WRITE, values, NULL);
	if (nadded > 0)
		owe_many(follower_id, follow_type, nadded);
	plan_run(&many_change, PLAN_WRITE, values, NULL);
	owner_end(&scope);

	PG_RETURN_INT64(nadded);
}
