/*
 * pins.c
 *	  Messages that are pinned to their group.
 *
 * A group has a hundred places for pins.  A pin takes one that is free, and of two
 * that take the same at the same time the second waits for the first, by the unique
 * key, and takes another: so there are never more, and no lock on the group, for
 * which its deletion would wait while it holds the memberships.
 *
 * The locks are the membership, the message and then the place.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "funcapi.h"

#include "core/check.h"
#include "core/identity.h"
#include "core/plans.h"
#include "delivery/record.h"
#include "groups/members.h"
#include "messages/message.h"
#include "messages/pins.h"
#include "messages/reactions.h"

#define MAX_PINS	100

/* Any of the free places, so that those who pin at the same time seldom take the same */
static SqlPlan pin_add = {
	.sql = "INSERT INTO chatrel.pinned_messages (group_id, message_id, pinned_by, place)"
	" SELECT $1, $2, $3, free.place"
	" FROM pg_catalog.generate_series(1, " CppAsString2(MAX_PINS) ") free (place)"
	" WHERE NOT EXISTS (SELECT FROM chatrel.pinned_messages p"
	" WHERE p.group_id" EQ "$1 AND p.place" EQ "free.place)"
	" ORDER BY pg_catalog.random() LIMIT 1"
	" ON CONFLICT DO NOTHING",
	.expected = SPI_OK_INSERT,
	PLAN_ARGS(INT8OID, INT8OID, INT8OID)
};

#define OF_PIN	" FROM chatrel.pinned_messages WHERE group_id" EQ "$1 AND message_id" EQ "$2"

static SqlPlan pin_remove = {
	.sql = "DELETE" OF_PIN,
	.expected = SPI_OK_DELETE,
	PLAN_ARGS(INT8OID, INT8OID)
};

/* How many pins the group has, and whether this is one of them */
static SqlPlan pins_count = {
	.sql = "SELECT pg_catalog.count(*),"
	" pg_catalog.count(*) FILTER (WHERE message_id" EQ "$2)"
	" FROM chatrel.pinned_messages WHERE group_id" EQ "$1",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, INT8OID)
};

static SqlPlan pins_of_group = {
	.sql = "SELECT " MESSAGE_COLUMNS("t") ", p.pinned_at, p.pinned_by"
	" FROM chatrel.pinned_messages p"
	" JOIN chatrel.groups_messages t ON t.group_id" EQ "p.group_id AND t.id" EQ "p.message_id"
	" WHERE p.group_id" EQ "$1 ORDER BY p.id DESC",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID),
	.by_index = true
};

PG_FUNCTION_INFO_V1(chatrel_pin_message);
PG_FUNCTION_INFO_V1(chatrel_unpin_message);
PG_FUNCTION_INFO_V1(chatrel_pinned_messages);

static void
error_too_many_pins(int64 group_id)
{
	ereport(ERROR,
			(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			 errmsg("group %lld has %d pinned messages", (long long) group_id, MAX_PINS),
			 errdetail("A group has no more of them."),
			 errhint("Unpin one, with chatrel.unpin_message().")));
}

/* False if it is pinned.  Once more where another has taken the place. */
static bool
add_pin(int64 group_id, Datum *values)
{
	for (int i = 0; i < MAX_TRIES; i++)
	{
		PlanResult	count;

		if (plan_run(&pin_add, PLAN_WRITE, values, NULL).nrows > 0)
			return true;
		count = plan_run(&pins_count, PLAN_WRITE, values, NULL);
		if (result_int64(&count, 0, 2) > 0)
			return false;
		if (result_int64(&count, 0, 1) >= MAX_PINS)
			error_too_many_pins(group_id);
	}
	error_change_suppressed("pinned_messages");
}

/* False if it is not pinned. */
static bool
remove_pin(Datum *values)
{
	for (int i = 0; i < MAX_TRIES; i++)
	{
		PlanResult	count;

		if (plan_run(&pin_remove, PLAN_WRITE, values, NULL).nrows > 0)
			return true;
		count = plan_run(&pins_count, PLAN_WRITE, values, NULL);
		if (result_int64(&count, 0, 2) == 0)
			return false;
	}
	error_change_suppressed("pinned_messages");
}

static Datum
change_pin(FunctionCallInfo fcinfo, bool add)
{
	int64		group_id = require_int64(fcinfo, 0, "group_id");
	int64		message_id = require_int64(fcinfo, 1, "message_id");
	int64		user_id = acting_user(fcinfo);
	Datum		values[] = {Int64GetDatum(group_id), Int64GetDatum(message_id),
	Int64GetDatum(user_id)};
	RecordedEvent event = {
		.kind = add ? "message_pinned" : "message_unpinned",
		.group_id = group_id,
		.actor_id = user_id,
		.message_id = message_id
	};
	OwnerScope	scope;
	bool		changed;

	owner_begin(&scope, fcinfo);
	lock_membership(user_id, group_id, ACT_PIN);
	lock_message(group_id, message_id);
	changed = add ? add_pin(group_id, values) : remove_pin(values);
	if (changed)
		record_event(&event);
	owner_end(&scope);

	PG_RETURN_BOOL(changed);
}

Datum
chatrel_pin_message(PG_FUNCTION_ARGS)
{
	return change_pin(fcinfo, true);
}

Datum
chatrel_unpin_message(PG_FUNCTION_ARGS)
{
	return change_pin(fcinfo, false);
}

Datum
chatrel_pinned_messages(PG_FUNCTION_ARGS)
{
	int64		group_id = require_int64(fcinfo, 0, "group_id");
	int64		user_id = acting_user(fcinfo);
	Datum		values[] = {Int64GetDatum(group_id)};
	OwnerScope	scope;

	InitMaterializedSRF(fcinfo, 0);

	owner_begin(&scope, fcinfo);
	check_membership(user_id, group_id);
	plan_fill(&pins_of_group, (ReturnSetInfo *) fcinfo->resultinfo, values, NULL);
	owner_end(&scope);

	return (Datum) 0;
}

/* A message that is deleted is not pinned; that it is deleted is the event. */
void
forget_pin(int64 group_id, int64 message_id)
{
	Datum		values[] = {Int64GetDatum(group_id), Int64GetDatum(message_id)};

	(void) plan_run(&pin_remove, PLAN_CASCADE, values, NULL);
}
