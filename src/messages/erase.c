/*
 * erase.c
 *	  Taking what a user has written out of the history.
 *
 * Its messages become deleted ones, and stay as rows: those who answered them, or
 * have read up to them, still find them.  Its reactions go, and the recorded events
 * forget its texts and its name.
 *
 * All messages and then all events that may change are locked first, in the order
 * of their ids, as purge_messages() locks them.  There is no index by sender or by
 * actor, for which every send would pay: each of the tables is read once.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "core/check.h"
#include "delivery/record.h"
#include "messages/edit.h"
#include "messages/erase.h"

/* The user's messages, and those to which it has reacted; is there something in them to go? */
static SqlPlan messages_lock = {
	.sql = "SELECT t.group_id, t.id, t.edited_at,"
	" t.sender_id" EQ "$1 AND t.deleted_at IS NULL"
	" FROM chatrel.groups_messages t WHERE t.sender_id" EQ "$1"
	" OR (t.group_id, t.id) OPERATOR(pg_catalog.=) ANY (SELECT r.group_id, r.message_id"
	" FROM chatrel.message_reactions r WHERE r.user_id" EQ "$1)"
	" ORDER BY t.id FOR UPDATE",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID)
};

/* Its columns */
enum
{
	LOCKED_GROUP_ID = 1,
	LOCKED_ID,
	LOCKED_EDITED_AT,
	LOCKED_HAS_TEXT
};

static SqlPlan keys_forget = {
	.sql = "UPDATE chatrel.groups_messages SET client_key = NULL"
	" WHERE sender_id" EQ "$1 AND client_key IS NOT NULL",
	.expected = SPI_OK_UPDATE,
	PLAN_ARGS(INT8OID)
};

static SqlPlan reactions_remove = {
	.sql = "DELETE FROM chatrel.message_reactions WHERE user_id" EQ "$1"
	" RETURNING group_id, message_id, reaction",
	.expected = SPI_OK_DELETE_RETURNING,
	PLAN_ARGS(INT8OID)
};

/* What the user has done, and what tells its name: that of whom it is about, else of who did it */
#define SAID_BY_USER(event) \
	event ".actor_id" EQ "$1 AND " event ".kind" EQ \
	"ANY ('{message_edited,reaction_added,reaction_removed}')"
#define NAMES_USER(event) \
	"COALESCE(" event ".user_id, " event ".actor_id)" EQ "$1" \
	" AND " event ".detail OPERATOR(pg_catalog.?) 'username'"

static SqlPlan events_lock = {
	.sql = "SELECT FROM chatrel.events e"
	" WHERE " SAID_BY_USER("e") " OR " NAMES_USER("e") " ORDER BY e.id FOR UPDATE",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID)
};

static SqlPlan texts_forget = {
	.sql = "UPDATE chatrel.events e"
	" SET detail = e.detail OPERATOR(pg_catalog.-) '{message,reaction}'::pg_catalog.text[]"
	" WHERE " SAID_BY_USER("e"),
	.expected = SPI_OK_UPDATE,
	PLAN_ARGS(INT8OID)
};

static SqlPlan names_forget = {
	.sql = "UPDATE chatrel.events e"
	" SET detail = e.detail OPERATOR(pg_catalog.||)"
	" pg_catalog.jsonb_build_object('username', $2::pg_catalog.text)"
	" WHERE " NAMES_USER("e"),
	.expected = SPI_OK_UPDATE,
	PLAN_ARGS(INT8OID, TEXTOID)
};

/* The groups hear of each message. */
static void
delete_messages(Datum *values)
{
	PlanResult	locked = plan_run(&messages_lock, PLAN_WRITE, values, NULL);

	plan_run(&events_lock, PLAN_WRITE, values, NULL);
	for (uint64 row = 0; row < locked.nrows; row++)
	{
		Message		message = {
			.group_id = result_int64(&locked, row, LOCKED_GROUP_ID),
			.id = result_int64(&locked, row, LOCKED_ID)
		};

		CHECK_FOR_INTERRUPTS();
		if (!DatumGetBool(result_datum(&locked, row, LOCKED_HAS_TEXT)))
			continue;
		message.edited_at = result_is_null(&locked, row, LOCKED_EDITED_AT) ? DT_NOBEGIN
			: DatumGetTimestampTz(result_datum(&locked, row, LOCKED_EDITED_AT));
		delete_message(&message, 0);
	}
}

/* Of those that went with a message nobody hears. */
static void
remove_reactions(int64 user_id, Datum *values)
{
	PlanResult	removed = plan_run(&reactions_remove, PLAN_CASCADE, values, NULL);

	for (uint64 row = 0; row < removed.nrows; row++)
	{
		RecordedEvent event = {
			.kind = "reaction_removed",
			.group_id = result_int64(&removed, row, 1),
			.actor_id = user_id,
			.message_id = result_int64(&removed, row, 2),
			.detail = event_detail("reaction", result_cstring(&removed, row, 3))
		};

		CHECK_FOR_INTERRUPTS();
		record_event(&event);
	}
}

void
erase_messages(int64 user_id, const char *username)
{
	Datum		values[] = {Int64GetDatum(user_id), CStringGetTextDatum(username)};

	delete_messages(values);
	plan_run(&keys_forget, PLAN_WRITE, values, NULL);
	remove_reactions(user_id, values);
	plan_run(&texts_forget, PLAN_WRITE, values, NULL);
	plan_run(&names_forget, PLAN_WRITE, values, NULL);
}
