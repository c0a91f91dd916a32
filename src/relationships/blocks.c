/*
 * blocks.c
 *	  Who keeps whom away, for those who have to know before they do something.
 */
#include "postgres.h"

#include "catalog/pg_type.h"

#include "relationships/blocks.h"

static SqlPlan blocked_either_way = {
	.sql = "SELECT " BLOCKED("$1", "$2"),
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, INT8OID),
	.by_index = true
};

/* $1 is the user who does something, $2 are those to whom it is done. */
static SqlPlan hearers = {
	.sql = "SELECT pg_catalog.array_agg(u.id ORDER BY u.n)"
	" FROM pg_catalog.unnest($2) WITH ORDINALITY AS u (id, n)"
	" WHERE NOT " BLOCKED("$1", "u.id") " AND NOT " MUTED("u.id", "$1"),
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, INT8ARRAYOID),
	.by_index = true
};

bool
is_blocked(int64 user_a, int64 user_b)
{
	Datum		values[] = {Int64GetDatum(user_a), Int64GetDatum(user_b)};
	PlanResult	blocked = plan_run(&blocked_either_way, PLAN_LATEST, values, NULL);

	return DatumGetBool(result_datum(&blocked, 0, 1));
}

ArrayType *
who_hear_from(int64 actor_id, ArrayType *user_ids)
{
	Datum		values[] = {Int64GetDatum(actor_id), PointerGetDatum(user_ids)};
	PlanResult	found = plan_run(&hearers, PLAN_LATEST, values, NULL);

	return result_is_null(&found, 0, 1) ? NULL : DatumGetArrayTypeP(result_datum(&found, 0, 1));
}
