/*
 * contact.c
 *	  Who may begin a direct conversation with whom.
 *
 * That follows from blocks, from what the other one has set, and from who follows
 * whom.  A user who is refused is not told which of them it was: a block looks
 * like a setting.
 */
#include "postgres.h"

#include "catalog/pg_type.h"

#include "core/errors.h"
#include "relationships/blocks.h"
#include "relationships/contact.h"

#define FOLLOWS(follower, followed) \
	"EXISTS (SELECT FROM chatrel.relationships r" \
	" WHERE r.follower_id" EQ follower " AND r.followed_id" EQ followed ")"

/* The first of the users $2 to whom $1 may not write; everybody may who has set nothing. */
static SqlPlan refusing = {
	.sql = "SELECT u.id FROM pg_catalog.unnest($2) u (id)"
	" LEFT JOIN chatrel.user_settings s ON s.user_id" EQ "u.id"
	" WHERE u.id" NE "$1 AND (" BLOCKED("$1", "u.id") " OR NOT CASE"
	" WHEN s.direct_messages" EQ "'followed' THEN " FOLLOWS("u.id", "$1")
	" WHEN s.direct_messages" EQ "'friends' THEN "
	FOLLOWS("u.id", "$1") " AND " FOLLOWS("$1", "u.id")
	" ELSE COALESCE(s.direct_messages, 'everybody')" NE "'nobody' END)"
	" ORDER BY u.id LIMIT 1",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, INT8ARRAYOID),
	.by_index = true
};

void
require_contact(int64 user_id, Datum user_ids)
{
	Datum		values[] = {Int64GetDatum(user_id), user_ids};
	PlanResult	refused = plan_run(&refusing, PLAN_LATEST, values, NULL);

	if (refused.nrows > 0)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("user %lld may not begin a direct conversation with user %lld",
						(long long) user_id, (long long) result_int64(&refused, 0, 1)),
				 err_column("user_settings", "direct_messages")));
}
