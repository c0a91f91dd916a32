/*
 * deciding.c
 *	  Who may follow a user: what the user decides about requests and followers.
 *
 * A user who is rejected, or no longer follows by this, is not told.
 */
#include "postgres.h"

#include "catalog/pg_type.h"

#include "core/check.h"
#include "core/identity.h"
#include "relationships/lists.h"
#include "relationships/pair.h"
#include "relationships/relationships.h"
#include "relationships/requests.h"

/* The page is cut out of the index before the users are joined to it. */
static SqlPlan requests_page = {
	.sql = "SELECT u.id, u.username, q.follow_type, q.created_at, q.id"
	" FROM (SELECT * FROM chatrel.follow_requests WHERE followed_id" EQ "$1 AND id" GT "$2"
	" ORDER BY id LIMIT $3) q"
	" JOIN chatrel.users u ON u.id" EQ "q.follower_id"
	" ORDER BY q.id",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, INT8OID, INT8OID),
	.by_index = true
};

PG_FUNCTION_INFO_V1(chatrel_follow_requests);
PG_FUNCTION_INFO_V1(chatrel_accept_follow);
PG_FUNCTION_INFO_V1(chatrel_reject_follow);
PG_FUNCTION_INFO_V1(chatrel_remove_follower);

/* About one follower; each returns whether there was something to do. */
typedef bool (*Decision) (int64 follower_id, int64 followed_id, char *const *names);

static bool
accept_request(int64 follower_id, int64 followed_id, char *const *names)
{
	text	   *follow_type = request_remove(follower_id, followed_id);

	if (follow_type != NULL)
		add_accepted_follow(follower_id, followed_id, names, follow_type);
	return follow_type != NULL;
}

static bool
reject_request(int64 follower_id, int64 followed_id, char *const *names)
{
	return request_remove(follower_id, followed_id) != NULL;
}

/* What the follower asks for besides is not granted either. */
static bool
remove_follower(int64 follower_id, int64 followed_id, char *const *names)
{
	(void) request_remove(follower_id, followed_id);
	return remove_follow(follower_id, followed_id);
}

static Datum
decide(FunctionCallInfo fcinfo, Decision decision)
{
	int64		follower_id = require_int64(fcinfo, 0, "user_id");
	int64		followed_id = acting_user(fcinfo);
	OwnerScope	scope;
	bool		changed = false;

	owner_begin(&scope, fcinfo);
	if (follower_id == followed_id)
		require_user(followed_id);
	else
	{
		char	   *names[2];

		lock_pair(follower_id, followed_id, names);
		changed = decision(follower_id, followed_id, names);
	}
	owner_end(&scope);

	PG_RETURN_BOOL(changed);
}

Datum
chatrel_accept_follow(PG_FUNCTION_ARGS)
{
	return decide(fcinfo, accept_request);
}

Datum
chatrel_reject_follow(PG_FUNCTION_ARGS)
{
	return decide(fcinfo, reject_request);
}

Datum
chatrel_remove_follower(PG_FUNCTION_ARGS)
{
	return decide(fcinfo, remove_follower);
}

Datum
chatrel_follow_requests(PG_FUNCTION_ARGS)
{
	return return_own_page(fcinfo, &requests_page);
}
