/*
 * follow_counters.c
 *	  How many follow whom, without counting them.
 *
 * Triggers on relationships tell the counters (core/counters.c) what changes,
 * whatever way it does, in the transaction that changes it; so a counter is as
 * right as the table, after a rollback too.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "funcapi.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

#include "core/check.h"
#include "core/counters.h"
#include "core/identity.h"
#include "core/plans.h"
#include "relationships/follow_counters.h"

/* Adds to what each of many users may have a row for: $1 slot */
#define COUNTERS_ADD(source) \
	"INSERT INTO chatrel.follow_counters AS c (user_id, slot, following, followers)" \
	" SELECT d.user_id, $1, d.following, d.followers" \
	" FROM " source " d (user_id, following, followers)" \
	" ON CONFLICT (user_id, slot) DO UPDATE" \
	" SET following = c.following OPERATOR(pg_catalog.+) EXCLUDED.following," \
	" followers = c.followers OPERATOR(pg_catalog.+) EXCLUDED.followers"

/* What the transaction has not written yet, as a table: a place for each array */
#define ARRAYS(users, following, followers) \
	"ROWS FROM (pg_catalog.unnest(" users "), pg_catalog.unnest(" following ")," \
	" pg_catalog.unnest(" followers "))"

static CounterTable follow_counters = {
	.name = "follow counters",
	.lock_class = 0x4348,
	.ncounts = 2,				/* following, followers */
	.add_one = {
		.sql = "UPDATE chatrel.follow_counters"
		" SET following = following OPERATOR(pg_catalog.+) $2,"
		" followers = followers OPERATOR(pg_catalog.+) $3"
		" WHERE user_id" EQ "$1 AND slot" EQ COUNTER_SHARED_SLOT,
		.expected = SPI_OK_UPDATE,
		PLAN_ARGS(INT8OID, INT8OID, INT8OID)
	},
	.add_pair = {
		.sql = "UPDATE chatrel.follow_counters"
		" SET following = following OPERATOR(pg_catalog.+)"
		" CASE WHEN user_id" EQ "$1 THEN $3 ELSE $5 END,"
		" followers = followers OPERATOR(pg_catalog.+)"
		" CASE WHEN user_id" EQ "$1 THEN $4 ELSE $6 END"
		" WHERE user_id" EQ "ANY (ARRAY[$1, $2]) AND slot" EQ COUNTER_SHARED_SLOT
		" RETURNING user_id",
		.expected = SPI_OK_UPDATE_RETURNING,
		PLAN_ARGS(INT8OID, INT8OID, INT8OID, INT8OID, INT8OID, INT8OID)
	},
	.add_many = {
		.sql = COUNTERS_ADD(ARRAYS("$2", "$3", "$4")),
		.expected = SPI_OK_INSERT,
		PLAN_ARGS(INT4OID, INT8ARRAYOID, INT8ARRAYOID, INT8ARRAYOID)
	}
};

/* With what they have counted. */
static SqlPlan counters_take_away = {
	.sql = "WITH gone AS (DELETE FROM chatrel.follow_counters WHERE user_id" EQ "$1"
	" RETURNING following, followers)"
	" SELECT COALESCE(pg_catalog.sum(following), 0)::pg_catalog.int8,"
	" COALESCE(pg_catalog.sum(followers), 0)::pg_catalog.int8 FROM gone",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID)
};

static SqlPlan counters_truncate = {
	.sql = "TRUNCATE chatrel.follow_counters",
	.expected = SPI_OK_UTILITY
};

/* $2 and $3 are what the transaction has not written yet. */
static SqlPlan counts_of_user = {
	.sql = "SELECT (COALESCE(pg_catalog.sum(c.following), 0)"
	" OPERATOR(pg_catalog.+) $2::pg_catalog.numeric)::pg_catalog.int8,"
	" (COALESCE(pg_catalog.sum(c.followers), 0)"
	" OPERATOR(pg_catalog.+) $3::pg_catalog.numeric)::pg_catalog.int8"
	" FROM chatrel.follow_counters c WHERE c.user_id" EQ "$1"
	" HAVING EXISTS (SELECT FROM chatrel.users u"
	" WHERE u.id" EQ "$1 AND u.deleted_at IS NULL)",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, INT8OID, INT8OID)
};

static SqlPlan verify_exclude = {
	.sql = "LOCK TABLE chatrel.relationships IN SHARE ROW EXCLUSIVE MODE",
	.expected = SPI_OK_UTILITY
};

/*
 * Whose counters are wrong: user_id, the counters, and what counting gives.  The
 * arrays are what the transaction has not written yet.
 */
#define WRONG_COUNTERS(users, following, followers) \
	"(SELECT user_id," \
	" pg_catalog.sum(counted.following)::pg_catalog.int8 AS following," \
	" pg_catalog.sum(counted.followers)::pg_catalog.int8 AS followers," \
	" pg_catalog.sum(counted.true_following)::pg_catalog.int8 AS true_following," \
	" pg_catalog.sum(counted.true_followers)::pg_catalog.int8 AS true_followers" \
	" FROM (SELECT user_id, following, followers, 0, 0 FROM chatrel.follow_counters" \
	" UNION ALL SELECT pending.*, 0, 0 FROM " ARRAYS(users, following, followers) " pending" \
	" UNION ALL SELECT follower_id, 0, 0, 1, 0 FROM chatrel.relationships" \
	" UNION ALL SELECT followed_id, 0, 0, 0, 1 FROM chatrel.relationships)" \
	" counted (user_id, following, followers, true_following, true_followers)" \
	" GROUP BY user_id" \
	" HAVING pg_catalog.sum(counted.following)" NE "pg_catalog.sum(counted.true_following)" \
	" OR pg_catalog.sum(counted.followers)" NE "pg_catalog.sum(counted.true_followers))"

static SqlPlan wrong_counters = {
	.sql = "SELECT user_id, following, followers, true_following, true_followers"
	" FROM " WRONG_COUNTERS("$1", "$2", "$3") " wrong ORDER BY user_id",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8ARRAYOID, INT8ARRAYOID, INT8ARRAYOID)
};

static SqlPlan counters_repair = {
	.sql = COUNTERS_ADD("(SELECT user_id, true_following OPERATOR(pg_catalog.-) following,"
						" true_followers OPERATOR(pg_catalog.-) followers"
						" FROM " WRONG_COUNTERS("$2", "$3", "$4") " wrong)"),
	.expected = SPI_OK_INSERT,
	PLAN_ARGS(INT4OID, INT8ARRAYOID, INT8ARRAYOID, INT8ARRAYOID)
};

PG_FUNCTION_INFO_V1(chatrel_count_follows);
PG_FUNCTION_INFO_V1(chatrel_follow_counts);
PG_FUNCTION_INFO_V1(chatrel_verify_follow_counts);

/* ---------- counting ---------- */

static const CountedColumn counted_columns[] = {
	{"follower_id", {1, 0}},
	{"followed_id", {0, 1}}
};

Datum
chatrel_count_follows(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;
	OwnerScope	scope;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_AFTER(trigdata->tg_event) ||
		!TRIGGER_FIRED_FOR_STATEMENT(trigdata->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("chatrel.count_follows() is for the triggers of chatrel.relationships")));

	owner_begin(&scope, fcinfo);
	if (TRIGGER_FIRED_BY_TRUNCATE(trigdata->tg_event))
	{
		counters_forget(&follow_counters);
		plan_run(&counters_truncate, PLAN_WRITE, NULL, NULL);
	}
	counters_add_rows(&follow_counters, trigdata->tg_relation, trigdata->tg_oldtable,
					  counted_columns, lengthof(counted_columns), -1);
	counters_add_rows(&follow_counters, trigdata->tg_relation, trigdata->tg_newtable,
					  counted_columns, lengthof(counted_columns), 1);
	owner_end(&scope);

	return PointerGetDatum(NULL);
}

/*
 * Takes away the counters of a user who has no relationships any more.  What
 * they have counted together with what is not written yet is nought, unless
 * somebody follows by hand at the same time.
 */
void
follow_counters_forget(int64 user_id)
{
	Datum		values[] = {Int64GetDatum(user_id)};
	PlanResult	gone = plan_run(&counters_take_away, PLAN_CASCADE, values, NULL);
	const int64 counts[] = {result_int64(&gone, 0, 1), result_int64(&gone, 0, 2)};
	Oid			counted = get_relname_relid("relationships", get_namespace_oid("chatrel", false));

	counters_add(&follow_counters, counted, user_id, counts);
}

/* ---------- reading ---------- */

/* No row for a user who does not exist. */
static PlanResult
count_user(int64 user_id)
{
	int64		pending[2];
	Datum		values[3];

	counters_pending(&follow_counters, user_id, pending);
	values[0] = Int64GetDatum(user_id);
	values[1] = Int64GetDatum(pending[0]);
	values[2] = Int64GetDatum(pending[1]);
	return plan_run(&counts_of_user, PLAN_READ, values, NULL);
}

/* Nought for a user who does not exist. */
int64
count_followers(int64 user_id)
{
	PlanResult	counts = count_user(user_id);

	return counts.nrows > 0 ? result_int64(&counts, 0, 2) : 0;
}

Datum
chatrel_follow_counts(PG_FUNCTION_ARGS)
{
	int64		acting = acting_user(fcinfo);
	int64		user_id = PG_ARGISNULL(0) ? acting : PG_GETARG_INT64(0);
	OwnerScope	scope;
	PlanResult	counts;
	Datum		result;

	owner_begin(&scope, fcinfo);
	counts = count_user(user_id);
	if (counts.nrows == 0)
		error_user_not_found(user_id);
	result = result_as_row(&counts, 0, fcinfo);
	owner_end(&scope);

	PG_RETURN_DATUM(result);
}

/* Nobody may follow meanwhile, and everything that has committed must be seen. */
static void
check_repair(void)
{
	if (IsolationUsesXactSnapshot())
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TRANSACTION_STATE),
				 errmsg("the follow counters can be repaired in a READ COMMITTED transaction only")));
}

Datum
chatrel_verify_follow_counts(PG_FUNCTION_ARGS)
{
	bool		repair = require_bool(fcinfo, 0, "repair");
	Datum		values[4];		/* slot, and what is pending */
	OwnerScope	scope;

	if (repair)
		check_repair();
	InitMaterializedSRF(fcinfo, 0);

	owner_begin(&scope, fcinfo);
	if (repair)
		plan_run(&verify_exclude, PLAN_WRITE, NULL, NULL);
	counters_all_pending(&follow_counters, &values[1]);
	PushActiveSnapshot(GetTransactionSnapshot());
	plan_fill(&wrong_counters, (ReturnSetInfo *) fcinfo->resultinfo, &values[1], NULL);
	PopActiveSnapshot();
	if (repair)
	{
		values[0] = Int32GetDatum(counters_private_slot(&follow_counters));
		plan_run(&counters_repair, PLAN_WRITE, values, NULL);
	}
	owner_end(&scope);

	return (Datum) 0;
}

void
follow_counters_init(void)
{
	counters_init(&follow_counters);
}
