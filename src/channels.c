/*
 * channels.c
 *	  Who may hear what: the private channels.
 *
 * PostgreSQL has no permissions on LISTEN, so the name of a channel is the key
 * to it: "chatrel_" and a random uuid, one for each group and one for each
 * user, made when it is first needed and told only to who may hear it.  When a
 * member leaves a group, the group gets a new channel, and the old one a last
 * event that tells the members still there to ask for the new name.
 *
 * Using and replacing a channel exclude each other by the lock on its row: who
 * sends to a channel, or listens to it, holds the row FOR KEY SHARE until the
 * end of the transaction; who replaces it takes it FOR UPDATE.  So once a
 * removal has committed, nothing is sent to a channel that the removed member
 * knows, and nobody begins to listen to one that is not used any more.
 * Sending and replacing take it when they commit: who leaves, and stays in the
 * transaction, does not keep the others from sending.
 *
 * One more channel carries everything, for gateways.  It exists, and costs,
 * only from the first listen_all() on.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/async.h"
#include "commands/extension.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

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

/* Nothing where the group is gone: it may have been deleted after it was sent to. */
static SqlPlan group_channel_create = {
	"INSERT INTO chatrel.groups_channels (group_id)"
	" SELECT id FROM chatrel.groups WHERE id" EQ "$1 FOR KEY SHARE"
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
	" SELECT id FROM chatrel.users WHERE id" EQ "$1 AND deleted_at IS NULL FOR SHARE"
	" ON CONFLICT (user_id) DO NOTHING",
	SPI_OK_INSERT, 1, {INT8OID}
};

/* Memberships are locked before channels, and channels in the order of groups. */
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
	bool		invalidated;	/* while it was asked for */
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

/* ---------- is chatrel still there? ---------- */

/*
 * Locks a table of channels, if it is chatrel's.  Delivery asks, as DROP
 * EXTENSION may have come after the event, and somebody else may have put
 * something in the table's place, which must not be read with chatrel's rights.
 */
static bool
lock_table(const char *name, Oid extension, uint32 flags)
{
	RangeVar   *table = makeRangeVar("chatrel", pstrdup(name), -1);
	Oid			relid = RangeVarGetRelidExtended(table, AccessShareLock,
												 RVR_MISSING_OK | flags, NULL, NULL);

	return OidIsValid(relid) &&
		getExtensionOfObject(RelationRelationId, relid) == extension;
}

/*
 * Is chatrel still installed, and will be until the end of the transaction?
 * Asked before delivery locks anything else.
 */
bool
channels_exist(void)
{
	Oid			extension = get_extension_oid("chatrel", true);

	return OidIsValid(extension) &&
		lock_table("groups_channels", extension, 0) &&
		lock_table("users_channels", extension, 0) &&
		lock_table("all_channel", extension, 0);
}

/* The same of the table of groups' channels alone. */
bool
group_channels_exist(void)
{
	Oid			extension = get_extension_oid("chatrel", true);

	return OidIsValid(extension) && lock_table("groups_channels", extension, 0);
}

/* Whose rights the worker reads with: the owner's of the tables it has locked. */
Oid
channels_owner(void)
{
	Oid			relid = get_relname_relid("groups_channels", get_namespace_oid("chatrel", false));
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", relid);
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
}

/*
 * The same for the worker.  Who drops chatrel locks these tables in some order:
 * nothing is waited for while one of them is locked here, so that neither is the
 * victim of a deadlock.
 */
ChannelsState
lock_channels_tables(void)
{
	Oid			extension = get_extension_oid("chatrel", true);

	if (!OidIsValid(extension))
		return CHANNELS_GONE;
	if (!lock_table("groups_channels", extension, 0))
		return OidIsValid(get_extension_oid("chatrel", true)) ? CHANNELS_LOCKED : CHANNELS_GONE;
	if (!lock_table("users_channels", extension, RVR_SKIP_LOCKED) ||
		!lock_table("all_channel", extension, RVR_SKIP_LOCKED))
		return CHANNELS_LOCKED;
	return CHANNELS_READY;
}

/* ---------- the channel of a group, of a user, of everything ---------- */

/* Gets a channel, and makes one where there is none yet; false if its owner is gone. */
static bool
channel_get(SqlPlan *get, SqlPlan *create, int64 id, pg_uuid_t *channel)
{
	Datum		values[] = {Int64GetDatum(id)};

	if (plan_run(get, PLAN_LATEST, values, NULL) == 0)
	{
		plan_run(create, PLAN_LATEST, values, NULL);
		if (plan_run(get, PLAN_LATEST, values, NULL) == 0)
			return false;
	}
	*channel = plan_uuid(0, 1);
	return true;
}

bool
group_channel(int64 group_id, pg_uuid_t *channel)
{
	return channel_get(&group_channel_get, &group_channel_create, group_id, channel);
}

bool
user_channel(int64 user_id, pg_uuid_t *channel)
{
	return channel_get(&user_channel_get, &user_channel_create, user_id, channel);
}

/* Gives a group a new channel, and gets the one it had. */
bool
group_channel_replace(int64 group_id, pg_uuid_t *old_channel)
{
	Datum		values[] = {Int64GetDatum(group_id)};

	if (!channel_get(&group_channel_lock, &group_channel_create, group_id, old_channel))
		return false;
	plan_run(&group_channel_renew, PLAN_LATEST, values, NULL);
	return true;
}

static void
all_channel_invalidate(Datum arg, Oid relid)
{
	if (relid == InvalidOid || relid == all.relid)
	{
		all.known = false;
		all.invalidated = true;
	}
}

void
channels_init(void)
{
	CacheRegisterRelcacheCallback(all_channel_invalidate, (Datum) 0);
}

/*
 * The gateways' channel, if there is one.
 *
 * Asked by a transaction that has locked a channel, hence has a lock on a table
 * of channels: listen_all() makes the row only while it excludes all of those,
 * and who comes after has received its invalidation with the table lock.
 */
bool
all_channel(pg_uuid_t *channel)
{
	if (!all.known)
	{
		bool		exists;

		/*
		 * Known only when it was found out, not if that fails.  An invalidation
		 * that comes meanwhile makes the next one ask again: what is seen here is
		 * as new as its snapshot.
		 */
		all.relid = get_relname_relid("all_channel",
									  get_namespace_oid("chatrel", false));
		all.invalidated = false;
		exists = plan_run(&all_channel_get, PLAN_LATEST, NULL, NULL) > 0;
		if (exists)
			all.channel = plan_uuid(0, 1);
		all.exists = exists;
		all.known = !all.invalidated;
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

	/* In the order of delete_user(): memberships, their groups' channels, the own. */
	plan_run(&channels_missing, PLAN_WRITE, values, NULL);
	groups = plan_run(&channels_of_groups, PLAN_WRITE, values, NULL);
	for (uint64 i = 0; i < groups; i++)
	{
		channel = plan_uuid(i, 2);
		listen_put(rsinfo, plan_int64(i, 1), false, &channel);
	}
	if (!user_channel(user_id, &channel))
		error_user_not_found(user_id);
	listen_put(rsinfo, 0, true, &channel);
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
	require_member(user_id, group_id, MEMBER_READS);
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
