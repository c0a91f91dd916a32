/*
 * removal.c
 *	  Taking a deleted user out of what users have to do with each other: follows,
 *	  requests, blocks and mutes, on both sides, and its settings.
 *
 * Two users between whom there is something may be deleted at the same time: hence
 * the order in which the rows of a table are locked, before any is deleted.
 * Nobody else can reach them, as whoever writes them has locked the user.
 */
#include "postgres.h"

#include "catalog/pg_type.h"

#include "core/check.h"
#include "core/plans.h"
#include "relationships/follow_counters.h"
#include "relationships/removal.h"

/*
 * One side of a user's rows.  Their order has the planner use the index on
 * (side, ...), also where it believes that all rows are this user's.
 */
#define SIDE_OF_USER(table, side, order) \
	"(SELECT * FROM chatrel." table " WHERE " side EQ "$1 ORDER BY " order ")"

/* Returns how many are left all the same. */
#define REMOVE(table, left, left_order, right, right_order, order) \
	"WITH of_user AS MATERIALIZED (" \
	SIDE_OF_USER(table, left, left_order) " UNION ALL " \
	SIDE_OF_USER(table, right, right_order) ")," \
	" locked AS MATERIALIZED (" \
	"SELECT r." left ", r." right " FROM of_user JOIN chatrel." table " r" \
	" ON r." left EQ "of_user." left " AND r." right EQ "of_user." right \
	" ORDER BY " order " FOR UPDATE OF r)," \
	" removed AS (" \
	"DELETE FROM chatrel." table " r USING locked" \
	" WHERE r." left EQ "locked." left " AND r." right EQ "locked." right \
	" RETURNING 1)" \
	" SELECT (SELECT pg_catalog.count(*) FROM locked)" \
	" OPERATOR(pg_catalog.-) (SELECT pg_catalog.count(*) FROM removed)"

#define REMOVE_PLAN(...) { \
	.sql = REMOVE(__VA_ARGS__), \
	.expected = SPI_OK_SELECT, \
	PLAN_ARGS(INT8OID), \
	.by_index = true \
}

static SqlPlan requests_remove = REMOVE_PLAN("follow_requests", "follower_id", "followed_id",
											 "followed_id", "id", "of_user.id");
static SqlPlan relationships_remove = REMOVE_PLAN("relationships", "follower_id", "id",
												  "followed_id", "id", "of_user.id");
static SqlPlan blocks_remove = REMOVE_PLAN("blocks", "blocker_id", "blocked_id",
										   "blocked_id", "blocker_id",
										   "of_user.blocker_id, of_user.blocked_id");
static SqlPlan mutes_remove = REMOVE_PLAN("user_mutes", "user_id", "muted_id",
										  "muted_id", "user_id",
										  "of_user.user_id, of_user.muted_id");

static SqlPlan settings_remove = {
	.sql = "WITH removed AS (DELETE FROM chatrel.user_settings WHERE user_id" EQ "$1 RETURNING 1)"
	" SELECT (SELECT pg_catalog.count(*) FROM chatrel.user_settings WHERE user_id" EQ "$1)"
	" OPERATOR(pg_catalog.-) (SELECT pg_catalog.count(*) FROM removed)",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID)
};

static void
remove_rows(SqlPlan *plan, const char *table, Datum *values)
{
	PlanResult	left = plan_run(plan, PLAN_CASCADE, values, NULL);

	if (result_int64(&left, 0, 1) > 0)
		error_change_suppressed(table);
}

/* Takes a deleted user out of the graph, on both sides. */
void
remove_all_relationships(int64 user_id)
{
	Datum		values[] = {Int64GetDatum(user_id)};

	remove_rows(&requests_remove, "follow_requests", values);
	remove_rows(&relationships_remove, "relationships", values);
	follow_counters_forget(user_id);
	remove_rows(&blocks_remove, "blocks", values);
	remove_rows(&mutes_remove, "user_mutes", values);
	remove_rows(&settings_remove, "user_settings", values);
}
