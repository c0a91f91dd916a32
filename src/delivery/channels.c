/*
 * channels.c
 *	  Who may hear what: the private channels.
 *
 * PostgreSQL has no permissions on LISTEN, so the name of a channel is the key
 * to it: "chatrel_" and a random uuid, one for each group and one for each
 * user, told only to those who may hear it.  When a member leaves a group, the group
 * gets a new channel, and the old one a last event that tells the members still
 * there to ask for the new name.
 *
 * Triggers make the channel together with the group or the user, whatever way
 * the row comes, so that nobody has to wait until another's transaction has made
 * it.  For that reason a dump has no channels: they are made when it is loaded.
 * A user who was deleted and is back gets another, as the old one may have been
 * told to a session that is still there.
 *
 * A row may have come without its channel all the same: by logical replication
 * of the one table and not the other, or while triggers were disabled.  Nobody
 * can be listening then, and the first who listens makes the channel; who sends
 * makes it too, as long as what is sent may be heard by who is making it.
 *
 * Using and replacing a channel exclude each other by the lock on its row: the
 * sender and the listener hold the row FOR KEY SHARE until the end of the
 * transaction; the member who leaves takes it FOR UPDATE.  So once a removal has
 * committed, nothing is sent to a channel that the removed member knows, and
 * nobody begins to listen to one that is not used any more.  The sender and the
 * leaving member take it when they commit: a transaction that goes on after
 * leave_group() does not keep the others from sending.  src/README says in which
 * order.
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
#include "commands/extension.h"
#include "commands/trigger.h"
#include "nodes/makefuncs.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "core/check.h"
#include "core/plans.h"
#include "delivery/channels.h"

static SqlPlan group_channel_get = {
	.sql = "SELECT channel FROM chatrel.groups_channels"
	" WHERE group_id" EQ "$1 FOR KEY SHARE",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID)
};

/* Another where there is one: the user is back. */
static SqlPlan group_channel_make = {
	.sql = "INSERT INTO chatrel.groups_channels (group_id) VALUES ($1)"
	" ON CONFLICT (group_id) DO UPDATE SET channel = EXCLUDED.channel",
	.expected = SPI_OK_INSERT,
	PLAN_ARGS(INT8OID)
};

static SqlPlan user_channel_make = {
	.sql = "INSERT INTO chatrel.users_channels (user_id) VALUES ($1)"
	" ON CONFLICT (user_id) DO UPDATE SET channel = EXCLUDED.channel",
	.expected = SPI_OK_INSERT,
	PLAN_ARGS(INT8OID)
};

/* Nothing where the group is gone: it may have been deleted after it was sent to. */
static SqlPlan group_channel_create = {
	.sql = "INSERT INTO chatrel.groups_channels (group_id)"
	" SELECT id FROM chatrel.groups WHERE id" EQ "$1 FOR KEY SHARE"
	" ON CONFLICT (group_id) DO NOTHING",
	.expected = SPI_OK_INSERT,
	PLAN_ARGS(INT8OID)
};

static SqlPlan group_channel_lock = {
	.sql = "SELECT channel FROM chatrel.groups_channels"
	" WHERE group_id" EQ "$1 FOR UPDATE",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID)
};

static SqlPlan group_channel_renew = {
	.sql = "UPDATE chatrel.groups_channels SET channel = pg_catalog.gen_random_uuid()"
	" WHERE group_id" EQ "$1",
	.expected = SPI_OK_UPDATE,
	PLAN_ARGS(INT8OID)
};

static SqlPlan user_channel_get = {
	.sql = "SELECT channel FROM chatrel.users_channels"
	" WHERE user_id" EQ "$1 FOR KEY SHARE",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID)
};

static SqlPlan user_channel_exists = {
	.sql = "SELECT FROM chatrel.users_channels WHERE user_id" EQ "$1",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID)
};

static SqlPlan user_lock = {
	.sql = "SELECT FROM chatrel.users WHERE id" EQ "$1 FOR KEY SHARE",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID)
};

static SqlPlan user_channel_create = {
	.sql = "INSERT INTO chatrel.users_channels (user_id)"
	" SELECT id FROM chatrel.users WHERE id" EQ "$1 AND deleted_at IS NULL FOR KEY SHARE"
	" ON CONFLICT (user_id) DO NOTHING",
	.expected = SPI_OK_INSERT,
	PLAN_ARGS(INT8OID)
};

static SqlPlan all_channel_get = {
	.sql = "SELECT channel FROM chatrel.all_channel",
	.expected = SPI_OK_SELECT
};

static SqlPlan all_channel_exclude = {
	.sql = "LOCK TABLE chatrel.all_channel IN EXCLUSIVE MODE",
	.expected = SPI_OK_UTILITY
};

static SqlPlan all_channel_create = {
	.sql = "INSERT INTO chatrel.all_channel DEFAULT VALUES ON CONFLICT DO NOTHING",
	.expected = SPI_OK_INSERT
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

PG_FUNCTION_INFO_V1(chatrel_make_channel);

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
lock_table(const char *name, LOCKMODE lockmode, uint32 flags)
{
	Oid			extension = get_extension_oid("chatrel", true);
	RangeVar   *table = makeRangeVar("chatrel", pstrdup(name), -1);
	Oid			relid;

	if (!OidIsValid(extension))
		return false;
	relid = RangeVarGetRelidExtended(table, lockmode, RVR_MISSING_OK | flags, NULL, NULL);
	return OidIsValid(relid) &&
		getExtensionOfObject(RelationRelationId, relid) == extension;
}

/*
 * Is chatrel still installed, and will be until the end of the transaction?
 * Asked by a transaction before it replaces channels, or delivers, and before it
 * locks any of their rows.  The first listen_all() waits until such transactions
 * have ended, and they for it, but for nobody who only listens: see all_channel().
 */
bool
group_channels_exist(void)
{
	return lock_table("all_channel", RowShareLock, 0) &&
		lock_table("groups_channels", AccessShareLock, 0);
}

bool
channels_exist(void)
{
	return group_channels_exist() && lock_table("users_channels", AccessShareLock, 0);
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
 * For the worker, which may hold others.  DROP EXTENSION locks these tables in some
 * order: nothing is waited for while one of them is locked here, so that neither is
 * the victim of a deadlock.
 */
bool
lock_free_tables(const char *const *names, int count)
{
	for (int i = 0; i < count; i++)
		if (!lock_table(names[i], AccessShareLock, RVR_SKIP_LOCKED))
			return false;
	return true;
}

/* channels_exist() for the worker. */
ChannelsState
lock_channels_tables(void)
{
	static const char *const others[] = {"users_channels", "all_channel"};

	if (!lock_table("groups_channels", AccessShareLock, 0))
		return OidIsValid(get_extension_oid("chatrel", true)) ? CHANNELS_LOCKED : CHANNELS_GONE;
	return lock_free_tables(others, lengthof(others)) ? CHANNELS_READY : CHANNELS_LOCKED;
}

/* ---------- the channel of a group, of a user, of everything ---------- */

/* How the trigger makes the channel of a new row of a table; null where it is not ours. */
static SqlPlan *
channel_make_plan(Relation rel)
{
	if (RelationGetNamespace(rel) != get_namespace_oid("chatrel", false))
		return NULL;
	if (strcmp(RelationGetRelationName(rel), "groups") == 0)
		return &group_channel_make;
	if (strcmp(RelationGetRelationName(rel), "users") == 0)
		return &user_channel_make;
	return NULL;
}

Datum
chatrel_make_channel(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;
	SqlPlan    *make;
	OwnerScope	scope;
	HeapTuple	tuple;
	TupleDesc	tupdesc;
	Datum		values[1];
	bool		isnull;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_AFTER(trigdata->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigdata->tg_event) || TRIGGER_FIRED_BY_DELETE(trigdata->tg_event) ||
		(make = channel_make_plan(trigdata->tg_relation)) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("chatrel.make_channel() is for the triggers of chatrel.groups and chatrel.users")));

	tuple = TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event) ? trigdata->tg_newtuple : trigdata->tg_trigtuple;
	tupdesc = RelationGetDescr(trigdata->tg_relation);
	values[0] = SPI_getbinval(tuple, tupdesc, SPI_fnumber(tupdesc, "id"), &isnull);
	owner_begin(&scope, fcinfo);
	plan_run(make, PLAN_LATEST, values, NULL);
	owner_end(&scope);

	return PointerGetDatum(NULL);
}

/* Gets a channel, and makes one where there is none; false if its owner is gone. */
static bool
channel_get(SqlPlan *get, SqlPlan *create, int64 id, pg_uuid_t *channel)
{
	Datum		values[] = {Int64GetDatum(id)};
	PlanResult	found = plan_run(get, PLAN_LATEST, values, NULL);

	if (found.nrows == 0)
	{
		plan_run(create, PLAN_LATEST, values, NULL);
		found = plan_run(get, PLAN_LATEST, values, NULL);
		if (found.nrows == 0)
			return false;
	}
	*channel = result_uuid(&found, 0, 1);
	return true;
}

bool
group_channel(int64 group_id, pg_uuid_t *channel)
{
	return channel_get(&group_channel_get, &group_channel_create, group_id, channel);
}

/* Locks a user whose channel is missing, since user_channel() will lock it to make that. */
void
user_channel_prepare(int64 user_id)
{
	Datum		values[] = {Int64GetDatum(user_id)};

	if (plan_run(&user_channel_exists, PLAN_LATEST, values, NULL).nrows == 0)
		plan_run(&user_lock, PLAN_LATEST, values, NULL);
}

bool
user_channel(int64 user_id, pg_uuid_t *channel)
{
	return channel_get(&user_channel_get, &user_channel_create, user_id, channel);
}

/* Gives a group a new channel, and gets the one it had; false if it has none. */
bool
group_channel_replace(int64 group_id, pg_uuid_t *old_channel)
{
	Datum		values[] = {Int64GetDatum(group_id)};
	PlanResult	found = plan_run(&group_channel_lock, PLAN_LATEST, values, NULL);

	if (found.nrows == 0)
		return false;
	*old_channel = result_uuid(&found, 0, 1);
	check_changed(plan_run(&group_channel_renew, PLAN_LATEST, values, NULL).nrows, 1,
				  "groups_channels");
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
 * Asked by a transaction that has locked the table by channels_exist(): the row
 * is made only while there is none of those, and who comes after has received
 * its invalidation with the lock.  The worker has only locked it against being
 * dropped, as what it delivers has committed; it looks for invalidations itself.
 */
bool
all_channel(pg_uuid_t *channel)
{
	if (!all.known)
	{
		PlanResult	found;

		/*
		 * Known only when it was found out, not if that fails.  An
		 * invalidation that comes meanwhile makes the next one ask again:
		 * what is seen here is as new as its snapshot.
		 */
		all.relid = get_relname_relid("all_channel",
									  get_namespace_oid("chatrel", false));
		all.invalidated = false;
		found = plan_run(&all_channel_get, PLAN_LATEST, NULL, NULL);
		if (found.nrows > 0)
			all.channel = result_uuid(&found, 0, 1);
		all.exists = found.nrows > 0;
		all.known = !all.invalidated;
	}
	if (all.exists)
		*channel = all.channel;
	return all.exists;
}

/* Makes the gateways' channel, if there is none; nobody may deliver meanwhile. */
void
all_channel_make(pg_uuid_t *channel)
{
	plan_run(&all_channel_exclude, PLAN_WRITE, NULL, NULL);
	plan_run(&all_channel_create, PLAN_LATEST, NULL, NULL);
	CacheInvalidateRelcacheByRelid(all.relid);
	CommandCounterIncrement();
	if (!all_channel(channel))
		error_change_suppressed("all_channel");
}
