/*
 * shard.c
 *	  Which of several databases this is.
 *
 * Where one server is not enough, groups are spread over several databases, the
 * shards.  The id of a group, a message, an event, a whiteboard or a sticker says
 * where it is: its bits from the 48th on are the number of the shard.  Home is
 * number 0, whose ids are those of a database that stands alone.
 *
 * The numbers of the sequences are all that there is of it, so that a dump keeps it
 * without more.  Like any setval() it is not undone by a rollback.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"

#include "core/check.h"
#include "core/guc.h"
#include "core/plans.h"
#include "shards/shard.h"

/* The rest of an id gives each shard 2^48 of them; the sign is for nobody. */
#define SHARD_SHIFT	"48"

#define SEQUENCES \
	"(VALUES ('chatrel.groups_id_seq'::pg_catalog.regclass)," \
	" ('chatrel.event_ids'::pg_catalog.regclass)," \
	" ('chatrel.whiteboards_id_seq'::pg_catalog.regclass)," \
	" ('chatrel.stickers_id_seq'::pg_catalog.regclass)) s (sequence)"

#define FIRST_ID "($1 OPERATOR(pg_catalog.<<) " SHARD_SHIFT ")"

static SqlPlan tables_lock = {
	.sql = "LOCK TABLE chatrel.groups, chatrel.groups_messages, chatrel.events"
	" IN SHARE ROW EXCLUSIVE MODE",
	.expected = SPI_OK_UTILITY
};

static SqlPlan any_row = {
	.sql = "(SELECT FROM chatrel.groups LIMIT 1)"
	" UNION ALL (SELECT FROM chatrel.groups_messages LIMIT 1)"
	" UNION ALL (SELECT FROM chatrel.events LIMIT 1)",
	.expected = SPI_OK_SELECT
};

/* $1 shard */
static SqlPlan is_shard = {
	.sql = "SELECT pg_catalog.bool_and(COALESCE(pg_catalog.pg_sequence_last_value(s.sequence), 0)"
	" OPERATOR(pg_catalog.>>) " SHARD_SHIFT EQ "$1) FROM " SEQUENCES,
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID)
};

/* At home ids begin at 1, and elsewhere after the number that is set: it counts as given. */
static SqlPlan sequences_set = {
	.sql = "SELECT pg_catalog.setval(s.sequence, GREATEST(" FIRST_ID ", 1), $1" GT "0)"
	" FROM " SEQUENCES,
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID)
};

static SqlPlan own_shard = {
	.sql = "SELECT last_value OPERATOR(pg_catalog.>>) " SHARD_SHIFT " FROM chatrel.event_ids",
	.expected = SPI_OK_SELECT
};

PG_FUNCTION_INFO_V1(chatrel_become_shard);
PG_FUNCTION_INFO_V1(chatrel_become_home);

/* The number of this database; 0 is home. */
int64
shard_number(void)
{
	PlanResult	own = plan_run(&own_shard, PLAN_WRITE, NULL, NULL);

	return result_int64(&own, 0, 1);
}

static void
error_not_empty(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("database has groups, messages or events already"),
			 errdetail("Their ids are those of the shard that it is."),
			 errhint("Make a shard of a database in which chatrel has just been created.")));
}

/* False if it is that shard already. */
static bool
become_shard(FunctionCallInfo fcinfo, int64 shard)
{
	Datum		values[] = {Int64GetDatum(shard)};
	OwnerScope	scope;
	PlanResult	is_already;
	bool		changed;

	PreventCommandIfReadOnly("chatrel.become_shard()");
	owner_begin(&scope, fcinfo);
	plan_run(&tables_lock, PLAN_WRITE, NULL, NULL);
	is_already = plan_run(&is_shard, PLAN_LATEST, values, NULL);
	changed = !DatumGetBool(result_datum(&is_already, 0, 1));
	if (changed)
	{
		if (plan_run(&any_row, PLAN_LATEST, NULL, NULL).nrows > 0)
			error_not_empty();
		plan_run(&sequences_set, PLAN_LATEST, values, NULL);
	}
	owner_end(&scope);
	return changed;
}

Datum
chatrel_become_shard(PG_FUNCTION_ARGS)
{
	int			shard = require_integer(fcinfo, 0, "n", 0);

	if (shard > MAX_SHARD)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("n must be at most %d, not %d", MAX_SHARD, shard)));
	PG_RETURN_BOOL(become_shard(fcinfo, shard));
}

Datum
chatrel_become_home(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(become_shard(fcinfo, 0));
}
