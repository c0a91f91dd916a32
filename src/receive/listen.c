/*
 * listen.c
 *	  Hearing events: LISTEN to the channels that the caller may hear.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "commands/async.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "core/check.h"
#include "core/identity.h"
#include "core/plans.h"
#include "delivery/channels.h"
#include "groups/members.h"

static SqlPlan memberships_lock = {
	.sql = "SELECT group_id FROM chatrel.groups_members WHERE user_id" EQ "$1"
	" ORDER BY group_id FOR KEY SHARE",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID)
};

static SqlPlan channels_heard = {
	.sql = "SELECT c FROM pg_catalog.pg_listening_channels() AS c"
	" WHERE pg_catalog.starts_with(c, 'chatrel_')",
	.expected = SPI_OK_SELECT
};

PG_FUNCTION_INFO_V1(chatrel_listen);
PG_FUNCTION_INFO_V1(chatrel_listen_group);
PG_FUNCTION_INFO_V1(chatrel_listen_all);
PG_FUNCTION_INFO_V1(chatrel_unlisten);

/* What LISTEN itself checks before it comes to Async_Listen(). */
static void
check_may_listen(const char *command)
{
	if (InSecurityRestrictedOperation())
		error_restricted();
	PreventCommandDuringRecovery(command);
	if (MyBackendType != B_BACKEND)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot execute %s within a background process", command)));
}

/* LISTENs, and returns the name. */
static text *
listen_to(const pg_uuid_t *channel)
{
	char		name[CHANNEL_NAME_SIZE];

	channel_name(channel, name);
	Async_Listen(name);
	return cstring_to_text(name);
}

static void
listen_put(ReturnSetInfo *rsinfo, int64 group_id, bool own, const pg_uuid_t *channel)
{
	Datum		values[] = {Int64GetDatum(group_id), PointerGetDatum(listen_to(channel))};
	bool		nulls[] = {own, false};

	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/*
 * In the order of locks (src/README): memberships, their groups' channels, the own.
 * If the own is missing, to make it locks the user, which comes before them all.
 */
Datum
chatrel_listen(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	int64		user_id = acting_user(fcinfo);
	Datum		values[] = {Int64GetDatum(user_id)};
	OwnerScope	scope;
	pg_uuid_t	channel;
	PlanResult	groups;

	check_may_listen("chatrel.listen()");
	InitMaterializedSRF(fcinfo, 0);

	owner_begin(&scope, fcinfo);
	user_channel_prepare(user_id);
	groups = plan_run(&memberships_lock, PLAN_WRITE, values, NULL);
	require_user(user_id);
	for (uint64 i = 0; i < groups.nrows; i++)
	{
		int64		group_id = result_int64(&groups, i, 1);

		CHECK_FOR_INTERRUPTS();
		if (group_channel(group_id, &channel))
			listen_put(rsinfo, group_id, false, &channel);
	}
	if (!user_channel(user_id, &channel))
		error_change_suppressed("users_channels");
	listen_put(rsinfo, 0, true, &channel);
	owner_end(&scope);

	return (Datum) 0;
}

Datum
chatrel_listen_group(PG_FUNCTION_ARGS)
{
	int64		group_id = require_int64(fcinfo, 0, "group_id");
	int64		user_id = acting_user(fcinfo);
	OwnerScope	scope;
	pg_uuid_t	channel;

	check_may_listen("chatrel.listen_group()");

	owner_begin(&scope, fcinfo);
	lock_membership(user_id, group_id, ACT_READ);
	if (!group_channel(group_id, &channel))
		error_group_not_found(group_id);
	owner_end(&scope);

	PG_RETURN_TEXT_P(listen_to(&channel));
}

Datum
chatrel_listen_all(PG_FUNCTION_ARGS)
{
	OwnerScope	scope;
	pg_uuid_t	channel;

	check_may_listen("chatrel.listen_all()");

	owner_begin(&scope, fcinfo);
	if (!all_channel(&channel))
		all_channel_make(&channel);
	owner_end(&scope);

	PG_RETURN_TEXT_P(listen_to(&channel));
}

/* Those that the session has begun to hear: a LISTEN that has not committed is none yet. */
Datum
chatrel_unlisten(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	OwnerScope	scope;
	PlanResult	heard;

	check_may_listen("chatrel.unlisten()");
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);

	owner_begin(&scope, fcinfo);
	heard = plan_run(&channels_heard, PLAN_READ, NULL, NULL);
	for (uint64 i = 0; i < heard.nrows; i++)
	{
		char	   *name = result_cstring(&heard, i, 1);
		Datum		values[] = {CStringGetTextDatum(name)};
		bool		nulls[] = {false};

		Async_Unlisten(name);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	owner_end(&scope);

	return (Datum) 0;
}
