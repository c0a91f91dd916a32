/*
 * reactions.c
 *	  What members say to a message by a sign.
 *
 * The locks are the member's membership, as for a send, and then the message FOR
 * KEY SHARE: members may react to one message at the same time, but whoever deletes
 * it waits for them, and finds what they have added.  Of two calls for the same
 * reaction of the same user the second waits for the first, by the primary key.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "core/check.h"
#include "core/identity.h"
#include "core/plans.h"
#include "delivery/record.h"
#include "groups/members.h"
#include "messages/message.h"
#include "messages/reactions.h"

#define MAX_REACTION_BYTES	64

static SqlPlan message_lock = {
	.sql = "SELECT FROM chatrel.groups_messages"
	" WHERE group_id" EQ "$1 AND id" EQ "$2 AND deleted_at IS NULL FOR KEY SHARE",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, INT8OID)
};

static SqlPlan reaction_add = {
	.sql = "INSERT INTO chatrel.message_reactions (group_id, message_id, user_id, reaction)"
	" VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
	.expected = SPI_OK_INSERT,
	PLAN_ARGS(INT8OID, INT8OID, INT8OID, TEXTOID)
};

#define OF_REACTION \
	" FROM chatrel.message_reactions" \
	" WHERE group_id" EQ "$1 AND message_id" EQ "$2 AND user_id" EQ "$3 AND reaction" EQ "$4"

static SqlPlan reaction_remove = {
	.sql = "DELETE" OF_REACTION,
	.expected = SPI_OK_DELETE,
	PLAN_ARGS(INT8OID, INT8OID, INT8OID, TEXTOID)
};

static SqlPlan reaction_exists = {
	.sql = "SELECT" OF_REACTION,
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, INT8OID, INT8OID, TEXTOID)
};

static SqlPlan reactions_forget = {
	.sql = "DELETE FROM chatrel.message_reactions WHERE group_id" EQ "$1 AND message_id" EQ "$2",
	.expected = SPI_OK_DELETE,
	PLAN_ARGS(INT8OID, INT8OID)
};

/* $1 group, $2 its messages, $3 user; of each message so many as a document shows */
static SqlPlan reactions_count = {
	.sql = "SELECT c.message_id, c.reaction, c.n, c.mine FROM"
	" (SELECT r.message_id, r.reaction, pg_catalog.count(*) AS n,"
	" pg_catalog.bool_or(r.user_id" EQ "$3) AS mine,"
	" pg_catalog.row_number() OVER (PARTITION BY r.message_id"
	" ORDER BY pg_catalog.count(*) DESC, r.reaction) AS place"
	" FROM chatrel.message_reactions r"
	" WHERE r.group_id" EQ "$1 AND r.message_id" EQ "ANY ($2)"
	" GROUP BY r.message_id, r.reaction) c"
	" WHERE c.place" LE "50 ORDER BY c.message_id, c.place",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, INT8ARRAYOID, INT8OID),
	.by_index = true
};

/* Its columns */
enum
{
	COUNT_MESSAGE_ID = 1,
	COUNT_REACTION,
	COUNT_NUMBER,
	COUNT_MINE
};

PG_FUNCTION_INFO_V1(chatrel_add_reaction);
PG_FUNCTION_INFO_V1(chatrel_remove_reaction);

/* ---------- adding and removing ---------- */

void
lock_message(int64 group_id, int64 message_id)
{
	Datum		values[] = {Int64GetDatum(group_id), Int64GetDatum(message_id)};

	if (plan_run(&message_lock, PLAN_WRITE, values, NULL).nrows == 0)
		error_message_not_found(group_id, message_id);
}

static text *
require_reaction(FunctionCallInfo fcinfo, int argno)
{
	text	   *reaction;

	check_not_null(fcinfo, argno, "reaction");
	reaction = PG_GETARG_TEXT_PP(argno);
	if (VARSIZE_ANY_EXHDR(reaction) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("reaction must not be empty")));
	check_bytes(VARSIZE_ANY_EXHDR(reaction), MAX_REACTION_BYTES, "reaction");
	return reaction;
}

/*
 * Adds it, or removes it; false if there was nothing to do.  Once more where others
 * undo what was found done.
 */
static bool
change_reaction(bool add, Datum *values)
{
	SqlPlan    *change = add ? &reaction_add : &reaction_remove;

	for (int i = 0; i < MAX_TRIES; i++)
	{
		if (plan_run(change, PLAN_WRITE, values, NULL).nrows > 0)
			return true;
		if ((plan_run(&reaction_exists, PLAN_WRITE, values, NULL).nrows > 0) == add)
			return false;
	}
	error_change_suppressed("message_reactions");
}

static Datum
react(FunctionCallInfo fcinfo, bool add)
{
	int64		group_id = require_int64(fcinfo, 0, "group_id");
	int64		message_id = require_int64(fcinfo, 1, "message_id");
	text	   *reaction = require_reaction(fcinfo, 2);
	int64		user_id = acting_user(fcinfo);
	Datum		values[] = {Int64GetDatum(group_id), Int64GetDatum(message_id),
	Int64GetDatum(user_id), PointerGetDatum(reaction)};
	RecordedEvent event = {
		.kind = add ? "reaction_added" : "reaction_removed",
		.group_id = group_id,
		.actor_id = user_id,
		.message_id = message_id
	};
	OwnerScope	scope;
	bool		changed;

	owner_begin(&scope, fcinfo);
	lock_membership(user_id, group_id, ACT_CHANGE);
	lock_message(group_id, message_id);
	changed = change_reaction(add, values);
	if (changed)
	{
		event.detail = event_detail("reaction", text_to_cstring(reaction));
		record_event(&event);
	}
	owner_end(&scope);

	PG_RETURN_BOOL(changed);
}

Datum
chatrel_add_reaction(PG_FUNCTION_ARGS)
{
	return react(fcinfo, true);
}

Datum
chatrel_remove_reaction(PG_FUNCTION_ARGS)
{
	return react(fcinfo, false);
}

/* A message that is deleted has none; that it is deleted is the event. */
void
forget_reactions(int64 group_id, int64 message_id)
{
	Datum		values[] = {Int64GetDatum(group_id), Int64GetDatum(message_id)};

	(void) plan_run(&reactions_forget, PLAN_CASCADE, values, NULL);
}

/* ---------- in documents ---------- */

/* By one query for all of the messages. */
void
read_reactions(Reactions *reactions, int64 user_id, int64 group_id,
			   const int64 *message_ids, int count)
{
	Datum		values[] = {Int64GetDatum(group_id), int64_array(message_ids, count),
	Int64GetDatum(user_id)};

	reactions->counts = plan_run(&reactions_count, PLAN_READ, values, NULL);
}

/* The first row of a message, or where it would be */
static uint64
first_of_message(const PlanResult *counts, int64 message_id)
{
	uint64		low = 0;
	uint64		high = counts->nrows;

	while (low < high)
	{
		uint64		middle = low + (high - low) / 2;

		if (result_int64(counts, middle, COUNT_MESSAGE_ID) < message_id)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

void
json_reactions(JsonWriter *json, const Reactions *reactions, int64 message_id)
{
	const PlanResult *counts = &reactions->counts;
	uint64		first = first_of_message(counts, message_id);
	uint64		end = first;
	int			mine = 0;

	while (end < counts->nrows && result_int64(counts, end, COUNT_MESSAGE_ID) == message_id)
		mine += DatumGetBool(result_datum(counts, end++, COUNT_MINE));
	if (end == first)
		return;
	json_begin_object(json, "reactions");
	for (uint64 row = first; row < end; row++)
		json_int64(json, result_cstring(counts, row, COUNT_REACTION),
				   result_int64(counts, row, COUNT_NUMBER));
	json_end_object(json);
	if (mine == 0)
		return;
	json_begin_array(json, "my_reactions");
	for (uint64 row = first; row < end; row++)
		if (DatumGetBool(result_datum(counts, row, COUNT_MINE)))
			json_string(json, NULL, result_cstring(counts, row, COUNT_REACTION));
	json_end_array(json);
}
