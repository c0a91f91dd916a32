/*
 * directory.c
 *	  Finding public groups.
 *
 * What is looked for is in the names: each word of the query must begin a word of the
 * name, as what somebody types while looking for it.  A word that many groups have is
 * found fast in the order of the groups, but would be read whole from the index of
 * words; with one that few have it is the other way round.  So the next WALKED groups
 * are gone through, which gives a page of the words that many have, and the index is
 * asked for what that leaves.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "funcapi.h"

#include "core/check.h"
#include "core/guc.h"
#include "core/identity.h"
#include "core/plans.h"
#include "groups/member_counters.h"

/* How many groups are gone through before the index of words is asked */
#define WALKED	1000

/* $1 after, $2 how many, $3 and $4 what uncommitted_members() gives; g is the group */
#define PAGE(source) \
	"SELECT g.id, g.name, g.description, g.join_policy, " MEMBER_COUNT("g.id", "$3", "$4") "," \
	" g.created_at FROM (SELECT * FROM " source " ORDER BY g.id LIMIT $2) g ORDER BY g.id"

#define PUBLIC_GROUPS	"chatrel.groups g WHERE g.visibility" EQ "'public' AND g.id" GT "$1"

/* $5 the query */
#define IS_NAMED \
	" AND pg_catalog.to_tsvector('pg_catalog.simple', pg_catalog.left(g.name, 500))" \
	" OPERATOR(pg_catalog.@@) (SELECT pg_catalog.string_agg(" \
	"pg_catalog.concat(pg_catalog.quote_literal(w.lexeme), ':*'), ' & ')" \
	"::pg_catalog.tsquery FROM pg_catalog.unnest(" \
	"pg_catalog.to_tsvector('pg_catalog.simple', pg_catalog.left($5, 500))) w)"

static SqlPlan public_groups = {
	.sql = PAGE(PUBLIC_GROUPS),
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, INT8OID, INT8ARRAYOID, INT8ARRAYOID),
	.by_index = true
};

/* The last group that is gone through; none where that would be all. */
static SqlPlan last_walked = {
	.sql = "SELECT g.id FROM " PUBLIC_GROUPS " ORDER BY g.id OFFSET $2 LIMIT 1",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, INT8OID),
	.by_index = true
};

/* $6 the last group */
static SqlPlan groups_walked = {
	.sql = PAGE(PUBLIC_GROUPS " AND g.id" LE "$6" IS_NAMED),
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, INT8OID, INT8ARRAYOID, INT8ARRAYOID, TEXTOID, INT8OID),
	.by_index = true
};

/* OFFSET: the planner must not hope to come upon some of them soon in the order of the ids. */
static SqlPlan groups_named = {
	.sql = PAGE("(SELECT * FROM " PUBLIC_GROUPS IS_NAMED " OFFSET 0) g"),
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, INT8OID, INT8ARRAYOID, INT8ARRAYOID, TEXTOID)
};

PG_FUNCTION_INFO_V1(chatrel_find_groups);

static void
fill_named(ReturnSetInfo *rsinfo, Datum *values, int row_limit)
{
	Datum		horizon[] = {values[0], Int64GetDatum(WALKED - 1)};
	PlanResult	last = plan_run(&last_walked, PLAN_READ, horizon, NULL);
	uint64		found;

	values[5] = last.nrows > 0 ? result_datum(&last, 0, 1) : Int64GetDatum(PG_INT64_MAX);
	found = plan_fill(&groups_walked, rsinfo, values, NULL);
	if (last.nrows == 0 || found == row_limit)
		return;
	values[0] = values[5];
	values[1] = Int64GetDatum(row_limit - found);
	plan_fill(&groups_named, rsinfo, values, NULL);
}

/* A query without a word finds nothing; none at all finds everything. */
Datum
chatrel_find_groups(PG_FUNCTION_ARGS)
{
	int64		after = PG_ARGISNULL(1) ? PG_INT64_MIN : PG_GETARG_INT64(1);
	int			row_limit = require_limit(fcinfo, 2, "row_limit");
	int64		user_id = acting_user(fcinfo);
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Datum		values[6] = {Int64GetDatum(after), Int64GetDatum(row_limit)};
	OwnerScope	scope;

	if (!PG_ARGISNULL(0))
		values[4] = PointerGetDatum(require_text(fcinfo, 0, "query", guc_max_name_length,
												 "chatrel.max_name_length"));
	InitMaterializedSRF(fcinfo, 0);

	owner_begin(&scope, fcinfo);
	require_user(user_id);
	uncommitted_members(&values[2]);
	if (PG_ARGISNULL(0))
		plan_fill(&public_groups, rsinfo, values, NULL);
	else
		fill_named(rsinfo, values, row_limit);
	owner_end(&scope);

	return (Datum) 0;
}
