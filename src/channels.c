/*
 * channels.c
 *	  Who may hear what: the private channels.
 *
 * PostgreSQL has no permissions on LISTEN, so the name of a channel is the key
 * to it: "chatrel_" and a random uuid, one for each group and one for each
 * user, told only to who may hear it.  When a member leaves a group, the group
 * gets a new channel, and the old one a last event that tells the members still
 * there to ask for the new name.
 *
 * Replacing and using a channel exclude each other by the lock on its row: who
 * owes an event to a channel holds the row FOR KEY SHARE until the end of the
 * transaction, who replaces it takes it FOR UPDATE.  So after a removal has
 * committed, nothing is ever sent to a channel that the removed member knows.
 *
 * One more channel carries everything, for gateways.  It exists, and costs,
 * only from the first listen_all() on.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/async.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"

#include "channels.h"
#include "check.h"
#include "groups.h"
#include "identity.h"
#include "plans.h"

static SqlPlan group_channel_get = {
	"SELECT channel FROM chatrel.groups_channels"
	" WHERE group_id" EQ "$1 FOR KEY SHARE",
	SPI_OK_SELECT, 1, {INT8OID}
};

/* Who imports groups by COPY does not make their channels. */
static SqlPlan group_channel_create = {
	"INSERT INTO chatrel.groups_channels (group_id) VALUES ($1)"
	" ON CONFLICT (group_id) DO NOTHING",
	SPI_OK_INSERT, 1, {INT8OID}
};

static SqlPlan group_channel_lock = {
	"SELECT channel FROM chatrel.groups_channels"
	" WHERE group_id" EQ "$1 FOR UPDATE",
	SPI_OK_SELECT, 1, {INT8OID}
};

static SqlPlan group_channel_renew = {
	"UPDATE chatrel.groups_channels SET channel = pg_catalog.gen_random_uuid()"
	" WHERE group_id" EQ "$1",
	SPI_OK_UPDATE, 1, {INT8OID}
};

static SqlPlan user_channel_get = {
	"SELECT channel FROM chatrel.users_channels"
	" WHERE user_id" EQ "$1 FOR KEY SHARE",
	SPI_OK_SELECT, 1, {INT8OID}
};

static SqlPlan user_channel_create = {
	"INSERT INTO chatrel.users_channels (user_id)"
	" SELECT u.id FROM chatrel.users u WHERE u.id" EQ "$1 AND u.deleted_at IS NULL FOR UPDATE"
	" ON CONFLICT (user_id) DO NOTHING",
	SPI_OK_INSERT, 1, {INT8OID}
};

static SqlPlan users_channels_get = {
	"SELECT user_id, channel FROM chatrel.users_channels"
	" WHERE user_id" EQ "ANY ($1) ORDER BY user_id FOR KEY SHARE",
	SPI_OK_SELECT, 1, {INT8ARRAYOID}
};

/* Membership and channel are locked in this order, everywhere. */
static SqlPlan channels_of_groups = {
	"SELECT c.group_id, c.channel"
	" FROM chatrel.groups_members m"
	" JOIN chatrel.groups_channels c ON c.group_id" EQ "m.group_id"
	" WHERE m.user_id" EQ "$1"
	" ORDER BY c.group_id"
	" FOR KEY SHARE OF m, c",
	SPI_OK_SELECT, 1, {INT8OID}
};

static SqlPlan channels_missing = {
	"INSERT INTO chatrel.groups_channels (group_id)"
	" SELECT m.group_id FROM chatrel.groups_members m"
	" WHERE m.user_id" EQ "$1 AND NOT EXISTS"
	" (SELECT FROM chatrel.groups_channels c WHERE c.group_id" EQ "m.group_id)"
	" ON CONFLICT (group_id) DO NOTHING",
	SPI_OK_INSERT, 1, {INT8OID}
};

static SqlPlan all_channel_get = {
	"SELECT channel FROM chatrel.all_channel",
	SPI_OK_SELECT, 0
};

static SqlPlan all_channel_exclude = {
	"LOCK TABLE chatrel.groups_channels, chatrel.users_channels IN EXCLUSIVE MODE",
	SPI_OK_UTILITY, 0
};

static SqlPlan all_channel_create = {
	"INSERT INTO chatrel.all_channel DEFAULT VALUES ON CONFLICT DO NOTHING",
	SPI_OK_INSERT, 0
};

static SqlPlan channels_heard = {
	"SELECT c FROM pg_catalog.pg_listening_channels() AS c"
	" WHERE pg_catalog.starts_with(c, 'chatrel_')",
	SPI_OK_SELECT, 0
};

/*
 * What all_channel() knows.  listen_all() invalidates the relation cache entry
 * of the table when it makes the row, and nobody else does.
 */
static struct
{
	bool		known;
	bool		exists;
	pg_uuid_t	channel;
	Oid			relid;
}			all;

PG_FUNCTION_INFO_V1(chatrel_listen);
PG_FUNCTION_INFO_V1(chatrel_listen_group);
PG_FUNCTION_INFO_V1(chatrel_listen_all);
PG_FUNCTION_INFO_V1(chatrel_unlisten);

/* Writes the name of a channel, of CHANNEL_NAME_SIZE bytes. */
void
channel_name(const pg_uuid_t *channel, char *name)
{
	static const char hex[] = "0123456789abcdef";
	char	   *p = name;

	memcpy(p, "chatrel_", 8);
	p += 8;
	for (int i = 0; i < UUID_LEN; i++)
	{
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*p++ = '-';
		*p++ = hex[channel->data[i] >> 4];
		*p++ = hex[channel->data[i] & 0x0F];
	}
	*p = '\0';
}

/* ---------- the channel of a group, of a user, of everything ---------- */

/* Gets a channel, and makes one where there is none yet. */
static void
channel_get(SqlPlan *get, SqlPlan *create, int64 id, pg_uuid_t *channel)
{
	Datum		values[] = {Int64GetDatum(id)};

	if (plan_run(get, PLAN_WRITE, values, NULL) == 0)
	{
		plan_run(create, PLAN_WRITE, values, NULL);
		if (plan_run(get, PLAN_WRITE, values, NULL) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
					 errmsg("could not serialize access due to concurrent creation of a channel")));
	}
	*channel = plan_uuid(0, 1);
}

void
group_channel(int64 group_id, pg_uuid_t *channel)
{
	channel_get(&group_channel_get, &group_channel_create, group_id, channel);
}

/*
 * The channel of a user; false where there is none, as the user has never
 * listened.
 *
 * Asked by a transaction that holds the row of the user, at least FOR KEY SHARE:
 * listen() makes the channel FOR UPDATE of that row, when all who have found
 * none are done.
 */
bool
user_channel(int64 user_id, pg_uuid_t *channel)
{
	Datum		values[] = {Int64GetDatum(user_id)};

	if (plan_run(&user_channel_get, PLAN_WRITE, values, NULL) == 0)
		return false;
	*channel = plan_uuid(0, 1);
	return true;
}

/*
 * The same for many users, given in ascending order and each once: those who
 * have a channel, in that order, and how many they are.
 */
int
user_channels(const int64 *users, int nusers, UserChannel *channels)
{
	Datum		values[] = {int64_array(users, nusers)};
	int			nchannels = plan_run(&users_channels_get, PLAN_WRITE, values, NULL);

	for (int i = 0; i < nchannels; i++)
	{
		channels[i].user_id = plan_int64(i, 1);
		channels[i].channel = plan_uuid(i, 2);
	}
	return nchannels;
}

/* Gives a group a new channel, and returns the one it had. */
void
group_channel_replace(int64 group_id, pg_uuid_t *old_channel)
{
	Datum		values[] = {Int64GetDatum(group_id)};

	channel_get(&group_channel_lock, &group_channel_create, group_id, old_channel);
	plan_run(&group_channel_renew, PLAN_WRITE, values, NULL);
}

static void
all_channel_invalidate(Datum arg, Oid relid)
{
	if (relid == InvalidOid || relid == all.relid)
		all.known = false;
}

void
channels_init(void)
{
	CacheRegisterRelcacheCallback(all_channel_invalidate, (Datum) 0);
}

/*
 * The gateways' channel, if there is one.
 *
 * Asked by a transaction that holds the lock on a channel row, hence on the
 * table of it: listen_all() makes the row only while it excludes all of those,
 * and who comes after has received its invalidation with the table lock.
 */
bool
all_channel(pg_uuid_t *channel)
{
	if (!all.known)
	{
		all.relid = get_relname_relid("all_channel",
									  get_namespace_oid("chatrel", false));
		all.exists = plan_run(&all_channel_get, PLAN_LATEST, NULL, NULL) > 0;
		if (all.exists)
			all.channel = plan_uuid(0, 1);
		all.known = true;
	}
	if (all.exists)
		*channel = all.channel;
	return all.exists;
}

/* ---------- listening ---------- */

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

Datum
chatrel_listen(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	int64		user_id = acting_user(fcinfo, 0);
	Datum		values[] = {Int64GetDatum(user_id)};
	OwnerScope	scope;
	pg_uuid_t	channel;
	uint64		groups;

	check_may_listen("chatrel.listen()");
	InitMaterializedSRF(fcinfo, 0);

	owner_begin(&scope, fcinfo);
	require_user(user_id);
	channel_get(&user_channel_get, &user_channel_create, user_id, &channel);
	listen_put(rsinfo, 0, true, &channel);

	plan_run(&channels_missing, PLAN_WRITE, values, NULL);
	groups = plan_run(&channels_of_groups, PLAN_WRITE, values, NULL);
	for (uint64 i = 0; i < groups; i++)
	{
		channel = plan_uuid(i, 2);
		listen_put(rsinfo, plan_int64(i, 1), false, &channel);
	}
	owner_end(&scope);

	return (Datum) 0;
}

Datum
chatrel_listen_group(PG_FUNCTION_ARGS)
{
	int64		group_id = require_int64(fcinfo, 0, "group_id");
	int64		user_id = acting_user(fcinfo, 1);
	OwnerScope	scope;
	pg_uuid_t	channel;

	check_may_listen("chatrel.listen_group()");

	owner_begin(&scope, fcinfo);
	require_member(user_id, group_id, MEMBER_READS, &channel);
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
	{
		plan_run(&all_channel_exclude, PLAN_WRITE, NULL, NULL);
		plan_run(&all_channel_create, PLAN_WRITE, NULL, NULL);
		CacheInvalidateRelcacheByRelid(all.relid);
		CommandCounterIncrement();
		if (!all_channel(&channel))
			elog(ERROR, "the channel of everything was not created");
	}
	owner_end(&scope);

	PG_RETURN_TEXT_P(listen_to(&channel));
}

/* Those that the session has begun to hear: a LISTEN that has not committed is none yet. */
Datum
chatrel_unlisten(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	OwnerScope	scope;
	uint64		heard;

	check_may_listen("chatrel.unlisten()");
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);

	owner_begin(&scope, fcinfo);
	heard = plan_run(&channels_heard, PLAN_READ, NULL, NULL);
	for (uint64 i = 0; i < heard; i++)
	{
		char	   *name = plan_cstring(i, 1);
		Datum		values[] = {CStringGetTextDatum(name)};
		bool		nulls[] = {false};

		Async_Unlisten(name);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	owner_end(&scope);

	return (Datum) 0;
}
