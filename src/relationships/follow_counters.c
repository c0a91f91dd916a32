/*
 * follow_counters.c
 *	  How many follow whom, without counting them.
 *
 * Triggers on relationships keep the counters in the transaction that changes
 * the relationships, whatever way it does; so a counter is as right as the
 * table, after a rollback too.  To count is to update a row, and an updated row
 * is locked until its transaction ends: were there one row for a user, all who
 * follow a celebrity would queue up behind one another, and two transactions
 * that follow several users would deadlock.  So a user may have several rows,
 * the sum of which counts, and nobody ever waits for one:
 *
 *	  shared	slot 0, written by who holds the user's advisory lock, which is
 *				never waited for.
 *	  private	slot n, written by the backend of number n only: where it did not
 *				get the lock.
 *
 * So an ordinary user has one row or a few, and a celebrity at most one for
 * each backend that the server allows, however many followers there are.
 *
 * Only private rows are written by a transaction with a snapshot of its own
 * (REPEATABLE READ), which would fail on a shared one that others have changed
 * since; by a statement that changes the counts of many users; and by a
 * transaction that holds many of the locks already, as there is not room for
 * any number of them.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"

#include "core/check.h"
#include "core/compat.h"
#include "relationships/follow_counters.h"
#include "core/identity.h"
#include "core/plans.h"

/* $1 user, $2 slot, $3 and $4 what to add */
static SqlPlan counter_add = {
	.sql = "UPDATE chatrel.follow_counters"
	" SET following = following OPERATOR(pg_catalog.+) $3,"
	" followers = followers OPERATOR(pg_catalog.+) $4"
	" WHERE user_id" EQ "$1 AND slot" EQ "$2",
	.expected = SPI_OK_UPDATE,
	PLAN_ARGS(INT8OID, INT4OID, INT8OID, INT8OID)
};

/*
 * The same for the two users of one relationship, which is what nearly every
 * statement changes: $1 and $2 the users, the others what to add for each.
 */
static SqlPlan counter_pair_add = {
	.sql = "UPDATE chatrel.follow_counters"
	" SET following = following OPERATOR(pg_catalog.+)"
	" CASE WHEN user_id" EQ "$1 THEN $3 ELSE $5 END,"
	" followers = followers OPERATOR(pg_catalog.+)"
	" CASE WHEN user_id" EQ "$1 THEN $4 ELSE $6 END"
	" WHERE user_id" EQ "ANY (ARRAY[$1, $2]) AND slot" EQ "0"
	" RETURNING user_id",
	.expected = SPI_OK_UPDATE_RETURNING,
	PLAN_ARGS(INT8OID, INT8OID, INT8OID, INT8OID, INT8OID, INT8OID)
};

/* The same for many users, each with or without a row: $1 slot, $2 users */
#define COUNTERS_ADD(source) \
	"INSERT INTO chatrel.follow_counters AS c (user_id, slot, following, followers)" \
	" SELECT d.user_id, $1, d.following, d.followers" \
	" FROM " source " d (user_id, following, followers)" \
	" ON CONFLICT (user_id, slot) DO UPDATE" \
	" SET following = c.following OPERATOR(pg_catalog.+) EXCLUDED.following," \
	" followers = c.followers OPERATOR(pg_catalog.+) EXCLUDED.followers"

static SqlPlan counters_add = {
	.sql = COUNTERS_ADD("ROWS FROM (pg_catalog.unnest($2), pg_catalog.unnest($3), pg_catalog.unnest($4))"),
	.expected = SPI_OK_INSERT,
	PLAN_ARGS(INT4OID, INT8ARRAYOID, INT8ARRAYOID, INT8ARRAYOID)
};

static SqlPlan counters_forget = {
	.sql = "DELETE FROM chatrel.follow_counters WHERE user_id" EQ "$1",
	.expected = SPI_OK_DELETE,
	PLAN_ARGS(INT8OID)
};

static SqlPlan counters_truncate = {
	.sql = "TRUNCATE chatrel.follow_counters",
	.expected = SPI_OK_UTILITY
};

static SqlPlan counts_of_user = {
	.sql = "SELECT COALESCE(pg_catalog.sum(c.following), 0)::pg_catalog.int8,"
	" COALESCE(pg_catalog.sum(c.followers), 0)::pg_catalog.int8"
	" FROM chatrel.follow_counters c WHERE c.user_id" EQ "$1"
	" HAVING EXISTS (SELECT FROM chatrel.users u"
	" WHERE u.id" EQ "$1 AND u.deleted_at IS NULL)",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID)
};

static SqlPlan verify_exclude = {
	.sql = "LOCK TABLE chatrel.relationships IN SHARE ROW EXCLUSIVE MODE",
	.expected = SPI_OK_UTILITY
};

/* Whose counters are wrong: user_id, the counters, and what counting gives. */
#define WRONG_COUNTERS \
	"(SELECT user_id," \
	" pg_catalog.sum(counted.following)::pg_catalog.int8 AS following," \
	" pg_catalog.sum(counted.followers)::pg_catalog.int8 AS followers," \
	" pg_catalog.sum(counted.true_following)::pg_catalog.int8 AS true_following," \
	" pg_catalog.sum(counted.true_followers)::pg_catalog.int8 AS true_followers" \
	" FROM (SELECT user_id, following, followers, 0, 0 FROM chatrel.follow_counters" \
	" UNION ALL SELECT follower_id, 0, 0, 1, 0 FROM chatrel.relationships" \
	" UNION ALL SELECT followed_id, 0, 0, 0, 1 FROM chatrel.relationships)" \
	" counted (user_id, following, followers, true_following, true_followers)" \
	" GROUP BY user_id" \
	" HAVING pg_catalog.sum(counted.following)" NE "pg_catalog.sum(counted.true_following)" \
	" OR pg_catalog.sum(counted.followers)" NE "pg_catalog.sum(counted.true_followers))"

static SqlPlan wrong_counters = {
	.sql = "SELECT user_id, following, followers, true_following, true_followers"
	" FROM " WRONG_COUNTERS " wrong ORDER BY user_id",
	.expected = SPI_OK_SELECT
};

static SqlPlan counters_repair = {
	.sql = COUNTERS_ADD("(SELECT user_id, true_following OPERATOR(pg_catalog.-) following,"
				 " true_followers OPERATOR(pg_catalog.-) followers FROM " WRONG_COUNTERS " wrong)"),
	.expected = SPI_OK_INSERT,
	PLAN_ARGS(INT4OID)
};

PG_FUNCTION_INFO_V1(chatrel_count_follows);
PG_FUNCTION_INFO_V1(chatrel_follow_counts);
PG_FUNCTION_INFO_V1(chatrel_verify_follow_counts);

/* What a statement changes for one user. */
typedef struct FollowDelta
{
	int64		user_id;
	int64		following;
	int64		followers;
} FollowDelta;

typedef struct FollowDeltas
{
	FollowDelta *items;
	int			count;
	int			max;
} FollowDeltas;

/* Beyond so many the changes of a statement are written in several parts. */
#define MAX_DELTAS			(1024 * 1024)

/* Up to so many users are written to one by one, to the shared row if it is free. */
#define MAX_SINGLE_DELTAS	16

/* So many locks a transaction may hold; the server has room for 64 each. */
#define MAX_SHARED_LOCKS	24

/* Tells the locks from other advisory locks, as 1 and 2 tell PostgreSQL's own. */
#define SHARED_LOCK_CLASS	0x4348

#define SHARED_SLOT			0

/* Has this transaction written a private row? */
static bool used_private_slot = false;

/* ---------- adding up what a statement changes ---------- */

static int
compare_deltas(const void *a, const void *b)
{
	int64		left = ((const FollowDelta *) a)->user_id;
	int64		right = ((const FollowDelta *) b)->user_id;

	return left < right ? -1 : left > right;
}

/* One delta for each user whose counts change, in the order of the users. */
static void
merge_deltas(FollowDeltas *deltas)
{
	int			count = 0;

	qsort(deltas->items, deltas->count, sizeof(FollowDelta), compare_deltas);
	for (int i = 0; i < deltas->count;)
	{
		FollowDelta sum = deltas->items[i];

		while (++i < deltas->count && deltas->items[i].user_id == sum.user_id)
		{
			sum.following += deltas->items[i].following;
			sum.followers += deltas->items[i].followers;
		}
		if (sum.following != 0 || sum.followers != 0)
			deltas->items[count++] = sum;
	}
	deltas->count = count;
}

/* ---------- writing it ---------- */

/*
 * A prepared transaction would keep the lock on such a row, while another backend
 * gets the number and must not wait.
 */
static int32
private_slot(void)
{
	used_private_slot = true;
	return MyProcNumber + 1;
}

/* Whether the transaction, until it ends, is the one that writes the shared row. */
static bool
lock_shared(int64 user_id)
{
	static FullTransactionId counted_for;
	static int	nlocks;
	FullTransactionId xid = GetTopFullTransactionId();
	LOCKTAG		tag;

	if (!FullTransactionIdEquals(xid, counted_for))
	{
		counted_for = xid;
		nlocks = 0;
	}
	if (IsolationUsesXactSnapshot() || nlocks >= MAX_SHARED_LOCKS)
		return false;

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, (uint32) (user_id >> 32),
						 (uint32) user_id, SHARED_LOCK_CLASS);
	switch (LockAcquire(&tag, ExclusiveLock, false, true))
	{
		case LOCKACQUIRE_OK:
			nlocks++;
			return true;
		case LOCKACQUIRE_NOT_AVAIL:
			return false;
		default:
			return true;
	}
}

static void
insert_deltas(int32 slot, const FollowDelta *items, int count)
{
	int64	   *users = palloc_array(int64, count);
	int64	   *following = palloc_array(int64, count);
	int64	   *followers = palloc_array(int64, count);
	Datum		values[4];

	for (int i = 0; i < count; i++)
	{
		users[i] = items[i].user_id;
		following[i] = items[i].following;
		followers[i] = items[i].followers;
	}
	values[0] = Int32GetDatum(slot);
	values[1] = int64_array(users, count);
	values[2] = int64_array(following, count);
	values[3] = int64_array(followers, count);
	plan_run(&counters_add, PLAN_WRITE, values, NULL);
}

static void
write_delta(const FollowDelta *delta)
{
	int32		slot = lock_shared(delta->user_id) ? SHARED_SLOT : private_slot();
	Datum		values[] = {Int64GetDatum(delta->user_id), Int32GetDatum(slot),
		Int64GetDatum(delta->following), Int64GetDatum(delta->followers)};

	if (plan_run(&counter_add, PLAN_WRITE, values, NULL).nrows == 0)
		insert_deltas(slot, delta, 1);
}

/* Two users, of both of whom the transaction has the lock. */
static void
write_delta_pair(const FollowDelta *pair)
{
	Datum		values[] = {Int64GetDatum(pair[0].user_id), Int64GetDatum(pair[1].user_id),
		Int64GetDatum(pair[0].following), Int64GetDatum(pair[0].followers),
		Int64GetDatum(pair[1].following), Int64GetDatum(pair[1].followers)};
	PlanResult	written = plan_run(&counter_pair_add, PLAN_WRITE, values, NULL);

	if (written.nrows == 0)
		insert_deltas(SHARED_SLOT, pair, 2);
	else if (written.nrows == 1)
		insert_deltas(SHARED_SLOT, &pair[result_int64(&written, 0, 1) == pair[0].user_id], 1);
}

/* Writes the changes to the counters, and begins from none. */
static void
write_deltas(FollowDeltas *deltas)
{
	merge_deltas(deltas);
	if (deltas->count > MAX_SINGLE_DELTAS)
		insert_deltas(private_slot(), deltas->items, deltas->count);
	else if (deltas->count == 2 && lock_shared(deltas->items[0].user_id) &&
			 lock_shared(deltas->items[1].user_id))
		write_delta_pair(deltas->items);
	else
		for (int i = 0; i < deltas->count; i++)
			write_delta(&deltas->items[i]);
	deltas->count = 0;
}

static void
add_delta(FollowDeltas *deltas, int64 user_id, int following, int followers)
{
	if (deltas->count == deltas->max)
	{
		deltas->max = Max(deltas->max * 2, MAX_SINGLE_DELTAS);
		deltas->items = deltas->items == NULL
			? palloc_array(FollowDelta, deltas->max)
			: repalloc_array(deltas->items, FollowDelta, deltas->max);
	}
	deltas->items[deltas->count].user_id = user_id;
	deltas->items[deltas->count].following = following;
	deltas->items[deltas->count].followers = followers;
	deltas->count++;
}

/* The rows of a transition table; sign is 1 for those that came, -1 for those that went. */
static void
add_rows(FollowDeltas *deltas, Tuplestorestate *rows, Relation rel, int sign)
{
	TupleDesc	tupdesc = RelationGetDescr(rel);
	int			follower = SPI_fnumber(tupdesc, "follower_id");
	int			followed = SPI_fnumber(tupdesc, "followed_id");
	TupleTableSlot *slot;
	bool		isnull;

	if (rows == NULL)
		return;

	/* Other triggers read the same table: a place in it of our own. */
	slot = MakeSingleTupleTableSlot(tupdesc, &TTSOpsMinimalTuple);
	tuplestore_select_read_pointer(rows, tuplestore_alloc_read_pointer(rows, EXEC_FLAG_REWIND));
	tuplestore_rescan(rows);
	while (tuplestore_gettupleslot(rows, true, false, slot))
	{
		CHECK_FOR_INTERRUPTS();
		if (deltas->count >= MAX_DELTAS)
			write_deltas(deltas);
		add_delta(deltas, DatumGetInt64(slot_getattr(slot, follower, &isnull)), sign, 0);
		add_delta(deltas, DatumGetInt64(slot_getattr(slot, followed, &isnull)), 0, sign);
	}
	ExecDropSingleTupleTableSlot(slot);
}

Datum
chatrel_count_follows(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;
	FollowDeltas deltas = {0};
	OwnerScope	scope;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_AFTER(trigdata->tg_event) ||
		!TRIGGER_FIRED_FOR_STATEMENT(trigdata->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("chatrel.count_follows() is for the triggers of chatrel.relationships")));

	owner_begin(&scope, fcinfo);
	if (TRIGGER_FIRED_BY_TRUNCATE(trigdata->tg_event))
		plan_run(&counters_truncate, PLAN_WRITE, NULL, NULL);
	add_rows(&deltas, trigdata->tg_oldtable, trigdata->tg_relation, -1);
	add_rows(&deltas, trigdata->tg_newtable, trigdata->tg_relation, 1);
	if (deltas.count > 0)
		write_deltas(&deltas);
	owner_end(&scope);

	return PointerGetDatum(NULL);
}

/* Takes away the counters of a user who is gone from the graph: they are all nought. */
void
follow_counters_forget(int64 user_id)
{
	Datum		values[] = {Int64GetDatum(user_id)};

	plan_run(&counters_forget, PLAN_CASCADE, values, NULL);
}

/* ---------- reading ---------- */

/* Nought for a user who does not exist. */
int64
count_followers(int64 user_id)
{
	Datum		values[] = {Int64GetDatum(user_id)};
	PlanResult	counts = plan_run(&counts_of_user, PLAN_READ, values, NULL);

	return counts.nrows > 0 ? result_int64(&counts, 0, 2) : 0;
}

Datum
chatrel_follow_counts(PG_FUNCTION_ARGS)
{
	int64		acting = acting_user(fcinfo);
	int64		user_id = PG_ARGISNULL(0) ? acting : PG_GETARG_INT64(0);
	Datum		values[] = {Int64GetDatum(user_id)};
	OwnerScope	scope;
	PlanResult	counts;
	Datum		result;

	owner_begin(&scope, fcinfo);
	counts = plan_run(&counts_of_user, PLAN_READ, values, NULL);
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
	Datum		values[] = {Int32GetDatum(private_slot())};
	OwnerScope	scope;

	if (repair)
		check_repair();
	InitMaterializedSRF(fcinfo, 0);

	owner_begin(&scope, fcinfo);
	if (repair)
		plan_run(&verify_exclude, PLAN_WRITE, NULL, NULL);
	PushActiveSnapshot(GetTransactionSnapshot());
	plan_fill(&wrong_counters, (ReturnSetInfo *) fcinfo->resultinfo, NULL, NULL);
	PopActiveSnapshot();
	if (repair)
		plan_run(&counters_repair, PLAN_WRITE, values, NULL);
	owner_end(&scope);

	return (Datum) 0;
}

static void
counters_xact_callback(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_PRE_PREPARE && used_private_slot)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot PREPARE a transaction that has changed follow counters of its session")));
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
		used_private_slot = false;
}

void
follow_counters_init(void)
{
	RegisterXactCallback(counters_xact_callback, NULL);
}
