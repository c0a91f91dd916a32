/*
 * presence.c
 *	  Who is online: to ask, and to report what a gateway knows.
 *
 * Whether somebody is online is told to who shares a group with that user, and to
 * friends; and not where one of them has blocked the other.  All others look as if
 * they were offline, and so do users who do not exist.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/tuplestore.h"

#include "core/check.h"
#include "core/guc.h"
#include "core/identity.h"
#include "core/plans.h"
#include "receive/presence.h"
#include "receive/presence_announce.h"
#include "receive/presence_session.h"
#include "receive/presence_table.h"
#include "receive/presence_watcher.h"
#include "relationships/blocks.h"
#include "relationships/contact.h"

/* How long a report is in force */
#define MIN_TTL_S	1
#define MAX_TTL_S	SECS_PER_DAY

/* $1 asks about the users $2: a row for each, in their order, and whether $1 may know. */
static SqlPlan who_may_be_seen = {
	.sql = "SELECT u.id, u.id" EQ "$1 OR (NOT " BLOCKED("$1", "u.id") " AND ("
	"EXISTS (SELECT FROM chatrel.groups_members mine JOIN chatrel.groups_members other"
	" ON other.group_id" EQ "mine.group_id AND other.user_id" EQ "u.id"
	" WHERE mine.user_id" EQ "$1 OFFSET 0)"
	" OR (" FOLLOWS("$1", "u.id") " AND " FOLLOWS("u.id", "$1") ")))"
	" FROM pg_catalog.unnest($2) WITH ORDINALITY AS u (id, n) ORDER BY u.n",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, INT8ARRAYOID),
	.by_index = true
};

static SqlPlan who_exist = {
	.sql = "SELECT id FROM chatrel.users WHERE id" EQ "ANY ($1) AND deleted_at IS NULL",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8ARRAYOID)
};

PG_FUNCTION_INFO_V1(chatrel_presence);
PG_FUNCTION_INFO_V1(chatrel_report_online);
PG_FUNCTION_INFO_V1(chatrel_presence_status);

/* On a standby nobody listens, and nobody would be told. */
void
require_presence(const char *function)
{
	if (!presence_exists())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("%s needs chatrel to be preloaded, and chatrel.presence_users not to be 0",
						function),
				 errhint("Add chatrel to shared_preload_libraries, and restart the server.")));
	PreventCommandDuringRecovery(function);
}

/* ---------- asking ---------- */

Datum
chatrel_presence(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	ArrayType  *user_ids = require_ids(fcinfo, 0, "user_ids");
	int64		user_id = acting_user(fcinfo);
	Datum		values[] = {Int64GetDatum(user_id), PointerGetDatum(user_ids)};
	OwnerScope	scope;
	PlanResult	seen;

	require_presence("chatrel.presence()");
	InitMaterializedSRF(fcinfo, 0);

	owner_begin(&scope, fcinfo);
	require_user(user_id);
	seen = plan_run(&who_may_be_seen, PLAN_READ, values, NULL);
	for (uint64 row = 0; row < seen.nrows; row++)
	{
		PresenceKey key = presence_key(result_int64(&seen, row, 1));
		bool		may_see = DatumGetBool(result_datum(&seen, row, 2));

		/*
		 * The table is asked about everybody: who may not know is not to tell
		 * by the time.
		 */
		Datum		columns[] = {Int64GetDatum(key.user_id),
		BoolGetDatum(presence_is_online(&key) && may_see)};
		bool		nulls[] = {false, false};

		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, columns, nulls);
	}
	owner_end(&scope);

	return (Datum) 0;
}

/* ---------- reporting ---------- */

/* When a report ends that is made now; 0 for one that ends those there are. */
static TimestampTz
require_ttl(FunctionCallInfo fcinfo, int argno)
{
	double		span;

	check_not_null(fcinfo, argno, "ttl");
	span = interval_span(PG_GETARG_INTERVAL_P(argno));
	if (span == 0)
		return 0;
	if (span < (double) MIN_TTL_S * USECS_PER_SEC || span > (double) MAX_TTL_S * USECS_PER_SEC)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("ttl must be from one second to one day, or zero")));
	return GetCurrentTimestamp() + (int64) span;
}

/* The ids of the users there are; the others are passed over. */
static int64 *
existing_users(ArrayType *user_ids, int *count)
{
	Datum		values[] = {PointerGetDatum(user_ids)};
	PlanResult	found = plan_run(&who_exist, PLAN_READ, values, NULL);
	int64	   *ids = palloc_array(int64, found.nrows + 1);

	for (uint64 row = 0; row < found.nrows; row++)
		ids[row] = result_int64(&found, row, 1);
	*count = found.nrows;
	return ids;
}

Datum
chatrel_report_online(PG_FUNCTION_ARGS)
{
	ArrayType  *user_ids = require_ids(fcinfo, 0, "user_ids");
	TimestampTz until = require_ttl(fcinfo, 1);
	OwnerScope	scope;
	int64	   *ids;
	int			count;

	require_presence("chatrel.report_online()");

	owner_begin(&scope, fcinfo);
	ids = existing_users(user_ids, &count);
	if (until == 0)
		presence_end_reports(ids, count);
	else
		count = presence_report(ids, count, until);
	owner_end(&scope);

	PG_RETURN_INT32(count);
}

/* ---------- monitoring ---------- */

/* A row, or none where presence is not to be had. */
Datum
chatrel_presence_status(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	PresenceStatus status;

	InitMaterializedSRF(fcinfo, 0);
	if (presence_exists())
	{
		bool		nulls[] = {false, false, false};
		Datum		values[3];

		presence_status(&status);
		values[0] = Int32GetDatum(status.online);
		values[1] = Int32GetDatum(status.room);
		values[2] = Int64GetDatum(status.turned_away);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}

void
presence_init(void)
{
	if (!process_shared_preload_libraries_in_progress || guc_presence_users == 0)
		return;
	presence_table_init();
	presence_session_init();
	presence_announce_init();
	if (!IsBinaryUpgrade)
		presence_watcher_init();
}
