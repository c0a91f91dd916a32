/*
 * direct_pair.c
 *	  The two people of a direct conversation, while one of them writes to it.
 *
 * A block between them ends that.  Both are locked against a block, as
 * relationships/blocks.c has it, before the membership is: that is the order of
 * locks.  Among more people a block ends nothing: it is between two of them, and the
 * others would miss what is said.
 */
#include "postgres.h"

#include "catalog/pg_type.h"

#include "core/errors.h"
#include "groups/direct_pair.h"
#include "relationships/blocks.h"

/* Nobody, where the group is something else; who its people are never changes. */
static SqlPlan pair_lock = {
	.sql = "SELECT u.id FROM chatrel.users u WHERE u.id" EQ "ANY (ARRAY("
	"SELECT pg_catalog.unnest(g.direct_key) FROM chatrel.groups g WHERE g.id" EQ "$1"
	" AND pg_catalog.cardinality(g.direct_key)" EQ "2 AND $2" EQ "ANY (g.direct_key)))"
	" AND u.deleted_at IS NULL ORDER BY u.id FOR SHARE OF u",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, INT8OID),
	.by_index = true
};

static SqlPlan pair_other = {
	.sql = "SELECT o.id FROM chatrel.groups g, pg_catalog.unnest(g.direct_key) AS o (id)"
	" WHERE g.id" EQ "$1 AND pg_catalog.cardinality(g.direct_key)" EQ "2"
	" AND $2" EQ "ANY (g.direct_key) AND o.id" NE "$2",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, INT8OID),
	.by_index = true
};

int64
lock_direct_pair(int64 group_id, int64 user_id)
{
	Datum		values[] = {Int64GetDatum(group_id), Int64GetDatum(user_id)};
	PlanResult	pair = plan_run(&pair_lock, PLAN_WRITE, values, NULL);

	for (uint64 row = 0; row < pair.nrows; row++)
		if (result_int64(&pair, row, 1) != user_id)
			return result_int64(&pair, row, 1);
	return 0;
}

int64
other_of_direct_pair(int64 group_id, int64 user_id)
{
	Datum		values[] = {Int64GetDatum(group_id), Int64GetDatum(user_id)};
	PlanResult	other = plan_run(&pair_other, PLAN_READ, values, NULL);

	return other.nrows > 0 ? result_int64(&other, 0, 1) : 0;
}

/* The same whoever of them has blocked the other. */
void
require_unblocked(int64 user_id, int64 other_id)
{
	if (is_blocked(user_id, other_id))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("user %lld may not write to user %lld",
						(long long) user_id, (long long) other_id),
				 err_table("blocks")));
}
