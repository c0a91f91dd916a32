/*
 * directory.c
 *	  Finding public groups.
 *
 * What is looked for is in the names: each word of the query must begin a word of the
 * name, as what somebody types while looking for it.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "funcapi.h"

#include "core/check.h"
#include "core/guc.h"
#include "core/identity.h"
#include "core/plans.h"
#include "groups/member_counters.h"

/* $1 after, $2 how many */
#define PAGE(filter) \
	"SELECT g.id, g.name, g.description, g.join_policy, " MEMBER_COUNT("g.id", "$3", "$4") ", g.created_at" \
	" FROM (SELECT * FROM chatrel.groups g WHERE g.visibility" EQ "'public'" \
	" AND g.id" GT "$1" filter " ORDER BY g.id LIMIT $2) g ORDER BY g.id"

static SqlPlan public_groups = {
	.sql = PAGE(""),
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, INT8OID, INT8ARRAYOID, INT8ARRAYOID),
	.by_index = true
};

/* $5 the query */
static SqlPlan groups_named = {
	.sql = PAGE(" AND pg_catalog.to_tsvector('pg_catalog.simple', pg_catalog.left(g.name, 500))"
				" OPERATOR(pg_catalog.@@) (SELECT pg_catalog.string_agg("
				"pg_catalog.concat(pg_catalog.quote_literal(w.lexeme), ':*'), ' & ')"
				"::pg_catalog.tsquery FROM pg_catalog.unnest("
				"pg_catalog.to_tsvector('pg_catalog.simple', pg_catalog.left($5, 500))) w)"),
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, INT8OID, INT8ARRAYOID, INT8ARRAYOID, TEXTOID),
	.by_index = true
};

PG_FUNCTION_INFO_V1(chatrel_find_groups);

/* A query without a word finds nothing; none at all finds everything. */
Datum
chatrel_find_groups(PG_FUNCTION_ARGS)
{
	int64		after = PG_ARGISNULL(1) ? PG_INT64_MIN : PG_GETARG_INT64(1);
	int			row_limit = require_limit(fcinfo, 2, "row_limit");
	int64		user_id = acting_user(fcinfo);
	Datum		values[5] = {Int64GetDatum(after), Int64GetDatum(row_limit)};
	OwnerScope	scope;

	if (!PG_ARGISNULL(0))
		values[4] = PointerGetDatum(require_text(fcinfo, 0, "query", guc_max_name_length,
												 "chatrel.max_name_length"));
	InitMaterializedSRF(fcinfo, 0);

	owner_begin(&scope, fcinfo);
	require_user(user_id);
	uncommitted_members(&values[2]);
	plan_fill(PG_ARGISNULL(0) ? &public_groups : &groups_named,
			  (ReturnSetInfo *) fcinfo->resultinfo, values, NULL);
	owner_end(&scope);

	return (Datum) 0;
}
