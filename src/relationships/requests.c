/*
 * requests.c
 *	  Who has asked to follow a protected user, or to follow it in another way.
 *
 * A request waits until it is accepted, rejected, withdrawn by unfollow() or ended
 * by a block.  It outlives the protection; a user who then follows without asking
 * has no request any more.
 *
 * Of one follower and one followed the request is written before the relationship.
 */
#include "postgres.h"

#include "catalog/pg_type.h"

#include "core/check.h"
#include "relationships/follow_events.h"
#include "relationships/requests.h"

/*
 * In these $1 is the follower, $2 whom it wants to follow, $3 how.  All requests
 * that may change are locked before any does.
 */
static SqlPlan requests_lock = {
	.sql = "SELECT FROM chatrel.follow_requests"
	" WHERE follower_id" EQ "$1 AND followed_id" EQ "ANY ($2) ORDER BY followed_id FOR UPDATE",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, INT8ARRAYOID),
	.by_index = true
};

/* Those who are followed in that way, or can be without, are not asked any more. */
static SqlPlan requests_drop = {
	.sql = "DELETE FROM chatrel.follow_requests q"
	" WHERE q.follower_id" EQ "$1 AND q.followed_id" EQ "ANY ($2)"
	" AND (NOT " PROTECTED("q.followed_id")
	" OR " FOLLOWED_AS("$1", "q.followed_id", "$3") ")",
	.expected = SPI_OK_DELETE,
	PLAN_ARGS(INT8OID, INT8ARRAYOID, TEXTOID),
	.by_index = true
};

static SqlPlan requests_add = {
	.sql = "INSERT INTO chatrel.follow_requests AS q (follower_id, followed_id, follow_type)"
	" SELECT $1, wanted.id, $3"
	" FROM (SELECT DISTINCT list.id FROM pg_catalog.unnest($2) AS list (id)"
	" ORDER BY list.id) wanted"
	" WHERE " PROTECTED("wanted.id") " AND NOT " FOLLOWED_AS("$1", "wanted.id", "$3")
	" ON CONFLICT (follower_id, followed_id) DO UPDATE SET follow_type = EXCLUDED.follow_type"
	" WHERE q.follow_type" NE "EXCLUDED.follow_type"
	" RETURNING q.followed_id",
	.expected = SPI_OK_INSERT_RETURNING,
	PLAN_ARGS(INT8OID, INT8ARRAYOID, TEXTOID),
	.by_index = true
};

static SqlPlan request_take = {
	.sql = "DELETE FROM chatrel.follow_requests WHERE follower_id" EQ "$1 AND followed_id" EQ "$2"
	" RETURNING follow_type",
	.expected = SPI_OK_DELETE_RETURNING,
	PLAN_ARGS(INT8OID, INT8OID)
};

static SqlPlan request_exists = {
	.sql = "SELECT WHERE " REQUESTED("$1", "$2"),
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, INT8OID)
};

/* Asks those who are to be asked, and no others; they hear of it where it is new, or changed. */
void
requests_update(Datum *values, const char *username)
{
	PlanResult	asked;

	plan_run(&requests_lock, PLAN_CASCADE, values, NULL);
	plan_run(&requests_drop, PLAN_CASCADE, values, NULL);
	asked = plan_run(&requests_add, PLAN_CASCADE, values, NULL);
	for (uint64 row = 0; row < asked.nrows; row++)
		record_follow_event("follow_requested", DatumGetInt64(values[0]),
							result_int64(&asked, row, 1), username, DatumGetTextPP(values[2]));
}

bool
request_waits(int64 follower_id, int64 followed_id)
{
	Datum		values[] = {Int64GetDatum(follower_id), Int64GetDatum(followed_id)};

	return plan_run(&request_exists, PLAN_LATEST, values, NULL).nrows > 0;
}

/* Once more where the follower asks again meanwhile. */
text *
request_remove(int64 follower_id, int64 followed_id)
{
	Datum		values[] = {Int64GetDatum(follower_id), Int64GetDatum(followed_id)};

	for (int i = 0; i < MAX_TRIES; i++)
	{
		PlanResult	taken = plan_run(&request_take, PLAN_CASCADE, values, NULL);

		if (taken.nrows > 0)
			return DatumGetTextPP(result_datum(&taken, 0, 1));
		if (!request_waits(follower_id, followed_id))
			return NULL;
	}
	error_change_suppressed("follow_requests");
}
