/*
 * unread.c
 *	  The groups of a user, and how much is unread in them.
 *
 * Nothing is counted when a message is sent.  What is unread is counted when it is
 * asked for, up to chatrel.unread_cap and one more, which stands for all that is
 * above; so it costs no more than that for a group, whatever there is.  Of the
 * messages above the mark the newest are looked at, SCANNED times as many: those of
 * the reader's own and deleted ones among them do not count.
 *
 * Without a mark, and where the mark is below, it is from the joining on that
 * messages count: groups_members.joined_id was the last id that was given then.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "funcapi.h"

#include "core/guc.h"
#include "core/identity.h"
#include "core/plans.h"

#define SCANNED	10

/*
 * In all of these $1 is the user, $2 one above the cap, $3 how many messages are
 * looked at; m is a membership and k its mark, or null.
 */
#define MEMBERSHIPS \
	" FROM chatrel.groups_members m" \
	" LEFT JOIN chatrel.read_marks k ON k.user_id" EQ "m.user_id AND k.group_id" EQ "m.group_id"

#define READ_UP_TO	"GREATEST(k.message_id, m.joined_id)"

/* Which messages can be unread at all */
#define COUNTS_AS_UNREAD(alias) \
	alias ".sender_id" NE "$1 AND " alias ".deleted_at IS NULL"

/* The messages up to the mark that were not visible when it was made: read_marks.c */
#define LATE_MESSAGES \
	"ROWS FROM (pg_catalog.unnest(k.late_from), pg_catalog.unnest(k.late_to)) r (lo, hi)" \
	" CROSS JOIN LATERAL (SELECT late.* FROM chatrel.groups_messages late" \
	" WHERE late.xid" GE "r.lo AND late.xid" LT "r.hi OFFSET 0) t" \
	" WHERE t.group_id" EQ "m.group_id AND t.id" LE "k.message_id AND " COUNTS_AS_UNREAD("t")

/* Where nothing can have come late, and where a condition is not met, nothing is looked for. */
#define COUNTED(alias, condition, above, late) \
	" CROSS JOIN LATERAL (SELECT CASE WHEN " condition " THEN LEAST($2," \
	" (SELECT pg_catalog.count(*) FROM (" above " LIMIT $2) above) OPERATOR(pg_catalog.+)" \
	" CASE WHEN k.late_to" NE "'{}'" \
	" THEN (SELECT pg_catalog.count(*) FROM (" late " LIMIT $2) late) ELSE 0 END)" \
	" ELSE 0 END::pg_catalog.int4 AS n OFFSET 0) " alias

#define UNREAD_MESSAGES \
	COUNTED("unread", "true", \
			"SELECT FROM (SELECT t.sender_id, t.deleted_at FROM chatrel.groups_messages t" \
			" WHERE t.group_id" EQ "m.group_id AND t.id" GT READ_UP_TO \
			" ORDER BY t.id DESC LIMIT $3) t WHERE " COUNTS_AS_UNREAD("t"), \
			"SELECT FROM " LATE_MESSAGES)

/* By the index on the mentions of a user in a group */
#define MENTIONS \
	"chatrel.events e WHERE e.kind" EQ "'mentioned' AND e.recipient_id" EQ "$1" \
	" AND e.group_id" EQ "m.group_id AND e.message_id"

#define UNREAD_MENTIONS \
	COUNTED("mentions", "unread.n" GT "0", \
			"SELECT FROM " MENTIONS GT READ_UP_TO \
			" AND EXISTS (SELECT FROM chatrel.groups_messages t WHERE t.group_id" EQ "m.group_id" \
			" AND t.id" EQ "e.message_id AND " COUNTS_AS_UNREAD("t") ")", \
			"SELECT FROM " LATE_MESSAGES " AND EXISTS (SELECT FROM " MENTIONS EQ "t.id)")

static SqlPlan groups_of_user = {
	.sql = "SELECT g.id, g.name, g.creator_id, g.created_at,"
	" l.id, l.datetime, l.sender_id, l.message, unread.n, mentions.n"
	MEMBERSHIPS
	" JOIN chatrel.groups g ON g.id" EQ "m.group_id"
	" LEFT JOIN LATERAL ("
	"SELECT t.id, t.datetime, t.sender_id, t.message"
	" FROM chatrel.groups_messages t WHERE t.group_id" EQ "g.id"
	" ORDER BY t.id DESC LIMIT 1) l ON true"
	UNREAD_MESSAGES UNREAD_MENTIONS
	" WHERE m.user_id" EQ "$1"
	" ORDER BY l.id DESC NULLS LAST, g.id",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, INT8OID, INT8OID),
	.by_index = true
};

/* One row, but none where there is no such user. */
static SqlPlan unread_of_user = {
	.sql = "SELECT COALESCE(pg_catalog.sum(unread.n), 0)::pg_catalog.int8,"
	" COALESCE(pg_catalog.sum(mentions.n), 0)::pg_catalog.int8,"
	" pg_catalog.count(*) FILTER (WHERE unread.n" GT "0)"
	MEMBERSHIPS UNREAD_MESSAGES UNREAD_MENTIONS
	" WHERE m.user_id" EQ "$1"
	" HAVING pg_catalog.count(*)" GT "0 OR EXISTS"
	" (SELECT FROM chatrel.users WHERE id" EQ "$1 AND deleted_at IS NULL)",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, INT8OID, INT8OID),
	.by_index = true
};

PG_FUNCTION_INFO_V1(chatrel_my_groups);
PG_FUNCTION_INFO_V1(chatrel_unread_counts);

static Datum
return_counts(FunctionCallInfo fcinfo, SqlPlan *plan)
{
	int64		user_id = acting_user(fcinfo);
	int64		counted = (int64) guc_unread_cap + 1;
	Datum		values[] = {Int64GetDatum(user_id), Int64GetDatum(counted),
	Int64GetDatum(counted * SCANNED)};
	OwnerScope	scope;

	InitMaterializedSRF(fcinfo, 0);

	owner_begin(&scope, fcinfo);
	if (plan_fill(plan, (ReturnSetInfo *) fcinfo->resultinfo, values, NULL) == 0)
		require_user(user_id);
	owner_end(&scope);

	return (Datum) 0;
}

Datum
chatrel_my_groups(PG_FUNCTION_ARGS)
{
	return return_counts(fcinfo, &groups_of_user);
}

Datum
chatrel_unread_counts(PG_FUNCTION_ARGS)
{
	return return_counts(fcinfo, &unread_of_user);
}
