/*
 * replicated.c
 *	  What follows on a shard from what has happened to a user at home.
 *
 * Users are written at home, and reach the shards by logical replication, which
 * fires no ordinary trigger.  What is said of a user at home is replicated too; what
 * is said in groups has to follow in the database of these: memberships end with the
 * user, and a group hears that a member is called otherwise.
 *
 * The trigger is there in every database, and of use on shards alone: a database that
 * replicates another one as a whole gets the memberships and events as well.  Its own
 * sequence, which is not replicated, says that it is no shard.
 */
#include "postgres.h"

#include "commands/trigger.h"
#include "executor/spi.h"
#include "utils/builtins.h"

#include "core/compat.h"
#include "core/plans.h"
#include "groups/joining.h"
#include "groups/removal.h"
#include "shards/shard.h"
#include "users/guard.h"
#include "users/names.h"

PG_FUNCTION_INFO_V1(chatrel_replicated_user);

/* What the row of a user says after the update */
static void
follow_user(const TriggerData *trigdata)
{
	TupleDesc	tupdesc = RelationGetDescr(trigdata->tg_relation);
	HeapTuple	row = trigdata->tg_newtuple;
	bool		isnull;
	int64		user_id = DatumGetInt64(SPI_getbinval(row, tupdesc, SPI_fnumber(tupdesc, "id"),
													  &isnull));
	bool		is_alive;

	(void) SPI_getbinval(row, tupdesc, SPI_fnumber(tupdesc, "deleted_at"), &is_alive);
	if (is_alive)
		record_rename_in_groups(user_id, SPI_getvalue(row, tupdesc,
													  SPI_fnumber(tupdesc, "username")));
	else
	{
		remove_all_memberships(user_id);
		remove_all_admissions(user_id);
	}
}

Datum
chatrel_replicated_user(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;
	OwnerScope	scope;
	int			nest_level;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_AFTER(trigdata->tg_event) ||
		!TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event) || !TRIGGER_FIRED_FOR_ROW(trigdata->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("chatrel.replicated_user() is for the trigger of chatrel.users")));

	nest_level = origin_begin();
	owner_begin(&scope, fcinfo);
	if (shard_number() > 0)
		follow_user(trigdata);
	owner_end(&scope);
	origin_end(nest_level);
	return PointerGetDatum(NULL);
}
