/*
 * follow_lists.c
 *	  Reading the follow graph: is somebody followed, and lists of users.
 *
 * Each list is one query, which brings the columns of the users along.  Who is
 * a chatrel user may read all of the graph, here as in the table.
 */
#include "postgres.h"

#include "catalog/pg_type.h"

#include "core/check.h"
#include "core/identity.h"
#include "core/plans.h"
#include "relationships/blocks.h"
#include "relationships/follow_counters.h"
#include "relationships/lists.h"
#include "relationships/relationships.h"
#include "relationships/requests.h"

static SqlPlan follows = {
	.sql = "SELECT FROM chatrel.relationships WHERE follower_id" EQ "$1 AND followed_id" EQ "$2",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, INT8OID)
};

/* The columns of a list: a user, and the relationship it is listed for. */
#define LISTED(user, relationship) \
	"SELECT " user ".id, " user ".username, " relationship ".follow_type, " \
	relationship ".created_at, " relationship ".id"

/*
 * A page of the users on the other side of a user's relationships.  The page is
 * cut out of the index on (side, id) before the users are joined to it.
 */
#define PAGE(side, other, filter) \
	LISTED("u", "r") \
	" FROM (SELECT * FROM chatrel.relationships" \
	" WHERE " side EQ "$1 AND id" LT "$2" filter \
	" ORDER BY id DESC LIMIT $3) r" \
	" JOIN chatrel.users u ON u.id" EQ "r." other \
	" ORDER BY r.id DESC"

#define PAGE_PLAN(side, other, filter) { \
	.sql = PAGE(side, other, filter), \
	.expected = SPI_OK_SELECT, \
	PLAN_ARGS(INT8OID, INT8OID, INT8OID, TEXTOID), \
	.by_index = true \
}

/*
 * The page of any type ($4 is null) or of the one that most have, and that of
 * another type, which may be a needle in a haystack.  Of a celebrity's 1,000,000
 * followers a page of 50 that bear the type took, by the index on (side, id)
 * alone and by the one on (side, follow_type, id):
 *
 *	  50 % bear it			0.03 ms		0.05 ms
 *	  10 %					0.09 ms		0.04 to 0.14 ms
 *	  0.1 %					20 ms		0.02 to 0.09 ms
 *	  the 30 oldest			480 ms		0.01 ms
 *
 * and the same for whom somebody follows.  With such indexes for all types an
 * INSERT took 1.2 times as long; leaving the default type out, no longer.
 */
typedef struct PagePlans
{
	SqlPlan		any;
	SqlPlan		other_type;
} PagePlans;

#define PAGE_PLANS(side, other) { \
	.any = PAGE_PLAN(side, other, " AND ($4 IS NULL OR follow_type" EQ "$4)"), \
	.other_type = PAGE_PLAN(side, other, " AND follow_type" EQ "$4" \
							" AND follow_type" NE "'" DEFAULT_FOLLOW_TYPE "'") \
}

static PagePlans following_pages = PAGE_PLANS("follower_id", "followed_id");
static PagePlans followers_pages = PAGE_PLANS("followed_id", "follower_id");

/*
 * The relationships of which the other side is looked up one by one: whoever
 * follows few does not pay for being followed by many.  LIMIT keeps the planner
 * from thinking otherwise.
 */
#define WITH_RELATIONSHIP(alias, follower, followed) \
	" CROSS JOIN LATERAL (SELECT r.* FROM chatrel.relationships r" \
	" WHERE r.follower_id" EQ follower " AND r.followed_id" EQ followed " LIMIT 1) " alias

static SqlPlan friends_of_user = {
	.sql = LISTED("u", "mine")
	" FROM chatrel.relationships mine"
	WITH_RELATIONSHIP("back", "mine.followed_id", "mine.follower_id")
	" JOIN chatrel.users u ON u.id" EQ "mine.followed_id"
	" WHERE mine.follower_id" EQ "$1 AND u.deleted_at IS NULL"
	" ORDER BY mine.id DESC",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID),
	.by_index = true
};

/* $1 is oneself, $2 the other; what is listed is how the other is followed. */
#define MUTUAL_FOLLOWERS(from, with) \
	LISTED("u", "other") \
	" FROM chatrel.relationships " from with \
	" JOIN chatrel.users u ON u.id" EQ "other.follower_id" \
	" WHERE " from ".followed_id" EQ

static SqlPlan mutual_from_mine = {
	.sql = MUTUAL_FOLLOWERS("mine", WITH_RELATIONSHIP("other", "mine.follower_id", "$2"))
	"$1 ORDER BY other.id DESC",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, INT8OID),
	.by_index = true
};

static SqlPlan mutual_from_other = {
	.sql = MUTUAL_FOLLOWERS("other", WITH_RELATIONSHIP("mine", "other.follower_id", "$1"))
	"$2 ORDER BY other.id DESC",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, INT8OID),
	.by_index = true
};

/*
 * What is looked at is bounded, whoever follows however many: the newest 200
 * whom the user follows, and the newest 200 of each of those.
 */
#define NEWEST "200"

static SqlPlan suggestions = {
	.sql = "SELECT u.id, u.username, ranked.followed_by_count"
	" FROM (SELECT theirs.followed_id, pg_catalog.count(*) AS followed_by_count"
	" FROM (SELECT followed_id FROM chatrel.relationships"
	" WHERE follower_id" EQ "$1 ORDER BY id DESC LIMIT " NEWEST ") mine"
	" CROSS JOIN LATERAL (SELECT r.followed_id FROM chatrel.relationships r"
	" WHERE r.follower_id" EQ "mine.followed_id ORDER BY r.id DESC LIMIT " NEWEST ") theirs"
	" WHERE theirs.followed_id" NE "$1"
	" GROUP BY theirs.followed_id"
	" ORDER BY followed_by_count DESC, theirs.followed_id OFFSET 0) ranked"
	" JOIN chatrel.users u ON u.id" EQ "ranked.followed_id"
	" WHERE u.deleted_at IS NULL AND NOT EXISTS"
	" (SELECT FROM chatrel.relationships already"
	" WHERE already.follower_id" EQ "$1 AND already.followed_id" EQ "ranked.followed_id)"
	" AND NOT " BLOCKED("$1", "ranked.followed_id")
	" ORDER BY ranked.followed_by_count DESC, ranked.followed_id LIMIT $2",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, INT8OID),
	.by_index = true
};

/* Of blocks and mutes only the user's own */
static SqlPlan relationships_to = {
	.sql = "SELECT wanted.id, mine.id IS NOT NULL, theirs.id IS NOT NULL, mine.follow_type,"
	" " REQUESTED("$1", "wanted.id") ", " MADE_BLOCK("$1", "wanted.id") ","
	" " MUTED("$1", "wanted.id")
	" FROM pg_catalog.unnest($2) WITH ORDINALITY AS wanted (id, n)"
	" LEFT JOIN chatrel.relationships mine"
	" ON mine.follower_id" EQ "$1 AND mine.followed_id" EQ "wanted.id"
	" LEFT JOIN chatrel.relationships theirs"
	" ON theirs.followed_id" EQ "$1 AND theirs.follower_id" EQ "wanted.id"
	" ORDER BY wanted.n",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, INT8ARRAYOID),
	.by_index = true
};

/* By the primary key alone */
static SqlPlan sees_posts = {
	.sql = "SELECT FROM chatrel.relationships WHERE follower_id" EQ "$1 AND followed_id" EQ "$2"
	" AND follow_type" EQ "'" DEFAULT_FOLLOW_TYPE "'",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, INT8OID)
};

PG_FUNCTION_INFO_V1(chatrel_is_following);
PG_FUNCTION_INFO_V1(chatrel_may_view_posts);
PG_FUNCTION_INFO_V1(chatrel_following);
PG_FUNCTION_INFO_V1(chatrel_followers);
PG_FUNCTION_INFO_V1(chatrel_friends);
PG_FUNCTION_INFO_V1(chatrel_mutual_followers);
PG_FUNCTION_INFO_V1(chatrel_suggest_follows);
PG_FUNCTION_INFO_V1(chatrel_relationship_to);

/* An optional argument that names a user, by default the one who asks. */
static int64
user_or_oneself(FunctionCallInfo fcinfo, int argno)
{
	int64		acting = acting_user(fcinfo);

	return PG_ARGISNULL(argno) ? acting : PG_GETARG_INT64(argno);
}

Datum
chatrel_is_following(PG_FUNCTION_ARGS)
{
	int64		followed_id = require_int64(fcinfo, 0, "followed_id");
	int64		follower_id = user_or_oneself(fcinfo, 1);
	Datum		values[] = {Int64GetDatum(follower_id), Int64GetDatum(followed_id)};
	OwnerScope	scope;
	bool		result;

	owner_begin(&scope, fcinfo);
	result = plan_run(&follows, PLAN_READ, values, NULL).nrows > 0;
	owner_end(&scope);

	PG_RETURN_BOOL(result);
}

/*
 * For a policy of an application's table: a user who may not see a row has no
 * error.  A block ends the follow and a protected user has accepted it, so that the
 * follow says it all.
 */
Datum
chatrel_may_view_posts(PG_FUNCTION_ARGS)
{
	int64		user_id = acting_user_if_any(fcinfo);
	int64		author_id = PG_ARGISNULL(0) ? 0 : PG_GETARG_INT64(0);
	Datum		values[] = {Int64GetDatum(user_id), Int64GetDatum(author_id)};
	OwnerScope	scope;
	bool		result;

	if (user_id == 0 || PG_ARGISNULL(0))
		PG_RETURN_BOOL(false);
	if (user_id == author_id)
		PG_RETURN_BOOL(true);

	owner_begin(&scope, fcinfo);
	result = plan_run(&sees_posts, PLAN_READ, values, NULL).nrows > 0;
	owner_end(&scope);

	PG_RETURN_BOOL(result);
}

static bool
is_default_type(const text *follow_type)
{
	return VARSIZE_ANY_EXHDR(follow_type) == strlen(DEFAULT_FOLLOW_TYPE) &&
		memcmp(VARDATA_ANY(follow_type), DEFAULT_FOLLOW_TYPE, strlen(DEFAULT_FOLLOW_TYPE)) == 0;
}

/* following() and followers(): user_id, follow_type, before, row_limit, as_user */
static Datum
return_page(FunctionCallInfo fcinfo, PagePlans *plans)
{
	text	   *follow_type = PG_ARGISNULL(1) ? NULL : require_follow_type(fcinfo, 1);
	int64		before = PG_ARGISNULL(2) ? PG_INT64_MAX : PG_GETARG_INT64(2);
	int			row_limit = require_limit(fcinfo, 3, "row_limit");
	int64		user_id = user_or_oneself(fcinfo, 0);
	Datum		values[] = {Int64GetDatum(user_id), Int64GetDatum(before),
	Int64GetDatum(row_limit), PointerGetDatum(follow_type)};
	bool		any = follow_type == NULL || is_default_type(follow_type);

	return return_list(fcinfo, any ? &plans->any : &plans->other_type, values,
					   follow_type == NULL ? "   n" : NULL, user_id);
}

Datum
chatrel_following(PG_FUNCTION_ARGS)
{
	return return_page(fcinfo, &following_pages);
}

Datum
chatrel_followers(PG_FUNCTION_ARGS)
{
	return return_page(fcinfo, &followers_pages);
}

Datum
chatrel_friends(PG_FUNCTION_ARGS)
{
	int64		user_id = user_or_oneself(fcinfo, 0);
	Datum		values[] = {Int64GetDatum(user_id)};

	return return_list(fcinfo, &friends_of_user, values, NULL, user_id);
}

/* From the side of the user who has fewer followers. */
Datum
chatrel_mutual_followers(PG_FUNCTION_ARGS)
{
	int64		user_id = require_int64(fcinfo, 0, "user_id");
	int64		acting = acting_user(fcinfo);
	Datum		values[] = {Int64GetDatum(acting), Int64GetDatum(user_id)};
	OwnerScope	scope;
	bool		from_mine;

	owner_begin(&scope, fcinfo);
	from_mine = count_followers(acting) < count_followers(user_id);
	owner_end(&scope);

	return return_list(fcinfo, from_mine ? &mutual_from_mine : &mutual_from_other,
					   values, NULL, user_id);
}

Datum
chatrel_suggest_follows(PG_FUNCTION_ARGS)
{
	int			row_limit = require_limit(fcinfo, 0, "row_limit");
	int64		user_id = acting_user(fcinfo);
	Datum		values[] = {Int64GetDatum(user_id), Int64GetDatum(row_limit)};

	return return_list(fcinfo, &suggestions, values, NULL, user_id);
}

Datum
chatrel_relationship_to(PG_FUNCTION_ARGS)
{
	ArrayType  *ids = require_ids(fcinfo, 0, "user_ids");
	int64		user_id = acting_user(fcinfo);
	Datum		values[] = {Int64GetDatum(user_id), PointerGetDatum(ids)};

	return return_list(fcinfo, &relationships_to, values, NULL, user_id);
}
