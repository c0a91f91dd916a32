/*
 * edit.c
 *	  Changing and deleting messages.
 *
 * The locks are the sender's membership, as for a send, and then the row of the
 * message, FOR UPDATE: of two changes the second sees what the first has done, and
 * their events have ids in the order of the changes.
 *
 * A deleted message stays as a row without a text: those who answer it, or have
 * read up to it, still find it.  Its earlier texts go from the recorded events too.
 * So do its reactions and its pin, even those that the transaction's snapshot does
 * not see: for one of them it fails, as others have come first.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"

#include "core/check.h"
#include "core/errors.h"
#include "core/guc.h"
#include "core/identity.h"
#include "core/plans.h"
#include "delivery/record.h"
#include "groups/members.h"
#include "messages/edit.h"
#include "messages/pins.h"
#include "messages/reactions.h"

static SqlPlan message_lock = {
	.sql = "SELECT " MESSAGE_COLUMNS("t") " FROM chatrel.groups_messages t"
	" WHERE t.group_id" EQ "$1 AND t.id" EQ "$2 FOR UPDATE",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, INT8OID)
};

static SqlPlan message_edit = {
	.sql = "UPDATE chatrel.groups_messages t SET message = $3, edited_at = pg_catalog.now()"
	" WHERE t.group_id" EQ "$1 AND t.id" EQ "$2"
	" RETURNING " MESSAGE_COLUMNS("t"),
	.expected = SPI_OK_UPDATE_RETURNING,
	PLAN_ARGS(INT8OID, INT8OID, TEXTOID)
};

static SqlPlan message_delete = {
	.sql = "UPDATE chatrel.groups_messages t"
	" SET message = NULL, mentions = NULL, metadata = NULL, deleted_at = pg_catalog.now()"
	" WHERE t.group_id" EQ "$1 AND t.id" EQ "$2",
	.expected = SPI_OK_UPDATE,
	PLAN_ARGS(INT8OID, INT8OID)
};

/*
 * The edits of the message have been, and go on being events.  A purge may be about
 * to delete them: they are locked in its order, which is that of their ids.
 */
static SqlPlan edits_forget = {
	.sql = "WITH edits AS MATERIALIZED (SELECT e.id FROM chatrel.events e"
	" WHERE e.message_id" EQ "$1 AND e.kind" EQ "'message_edited' ORDER BY e.id FOR UPDATE)"
	" UPDATE chatrel.events e"
	" SET detail = e.detail OPERATOR(pg_catalog.-) 'message'::pg_catalog.text"
	" FROM edits WHERE e.id" EQ "edits.id",
	.expected = SPI_OK_UPDATE,
	PLAN_ARGS(INT8OID),
	.by_index = true
};

PG_FUNCTION_INFO_V1(chatrel_edit_message);
PG_FUNCTION_INFO_V1(chatrel_delete_message);

/* ---------- who may ---------- */

/* Locks a message, until the transaction ends; the membership is locked already. */
static PlanResult
lock_message_to_change(int64 group_id, int64 message_id)
{
	Datum		values[] = {Int64GetDatum(group_id), Int64GetDatum(message_id)};
	PlanResult	message = plan_run(&message_lock, PLAN_WRITE, values, NULL);

	if (message.nrows == 0)
		error_message_not_found(group_id, message_id);
	return message;
}

static void
require_own(const Message *message, int64 user_id)
{
	if (message->sender_id != user_id)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("message %lld was not sent by user %lld",
						(long long) message->id, (long long) user_id),
				 err_table("groups_messages")));
}

static void
require_not_deleted(const Message *message)
{
	if (!TIMESTAMP_IS_NOBEGIN(message->deleted_at))
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("message %lld of group %lld has been deleted",
						(long long) message->id, (long long) message->group_id),
				 err_table("groups_messages")));
}

/* The sender may have given any time: one that is to come does not keep the window open. */
static void
require_within_window(const Message *message)
{
	int64		age = GetCurrentTimestamp() - message->datetime;
	int64		window = guc_edit_window * USECS_PER_SEC;

	if (guc_edit_window > 0 && (age > window || age < -window))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("message %lld can no longer be edited", (long long) message->id),
				 errdetail("chatrel.edit_window is %d seconds.", guc_edit_window),
				 err_table("groups_messages")));
}

/* ---------- editing ---------- */

static bool
same_text(const text *a, const text *b)
{
	return VARSIZE_ANY_EXHDR(a) == VARSIZE_ANY_EXHDR(b) &&
		memcmp(VARDATA_ANY(a), VARDATA_ANY(b), VARSIZE_ANY_EXHDR(a)) == 0;
}

/* The keys of a message that the edit has changed; times in UTC, as in a notification */
static Jsonb *
edit_detail(const Message *message)
{
	JsonWriter	json;

	json_begin_jsonb(&json);
	json.utc = true;
	json_begin_object(&json, NULL);
	json_text(&json, "message", message->message);
	json_timestamp(&json, "edited_at", message->edited_at);
	json_end_object(&json);
	return DatumGetJsonbP(json_end_jsonb(&json));
}

static PlanResult
change_text(const Message *message, text *new_text)
{
	Datum		values[] = {Int64GetDatum(message->group_id), Int64GetDatum(message->id),
	PointerGetDatum(new_text)};
	PlanResult	edited = plan_run(&message_edit, PLAN_WRITE, values, NULL);
	Message		row;
	RecordedEvent event = {
		.kind = "message_edited",
		.group_id = message->group_id,
		.actor_id = message->sender_id,
		.message_id = message->id
	};

	if (edited.nrows == 0)
		error_change_suppressed("groups_messages");
	read_message(&row, &edited, 0);
	event.detail = edit_detail(&row);
	record_event(&event);
	return edited;
}

/* An edit that is made once more changes nothing, and is no event. */
Datum
chatrel_edit_message(PG_FUNCTION_ARGS)
{
	int64		group_id = require_int64(fcinfo, 0, "group_id");
	int64		message_id = require_int64(fcinfo, 1, "message_id");
	text	   *new_text = require_text(fcinfo, 2, "message", guc_max_message_length,
										"chatrel.max_message_length");
	int64		user_id = acting_user(fcinfo);
	OwnerScope	scope;
	PlanResult	found;
	Message		message;
	Datum		result;

	PreventCommandIfReadOnly("chatrel.edit_message()");
	owner_begin(&scope, fcinfo);

	lock_membership(user_id, group_id, ACT_CHANGE);
	found = lock_message_to_change(group_id, message_id);
	read_message(&message, &found, 0);
	require_own(&message, user_id);
	require_not_deleted(&message);
	require_within_window(&message);
	if (!same_text(message.message, new_text))
		found = change_text(&message, new_text);
	result = result_as_row(&found, 0, fcinfo);
	owner_end(&scope);

	PG_RETURN_DATUM(result);
}

/* ---------- deleting ---------- */

static void
forget_edits(int64 message_id)
{
	Datum		values[] = {Int64GetDatum(message_id)};

	(void) plan_run(&edits_forget, PLAN_WRITE, values, NULL);
}

void
delete_message(const Message *message, int64 actor_id)
{
	Datum		values[] = {Int64GetDatum(message->group_id), Int64GetDatum(message->id)};
	RecordedEvent event = {
		.kind = "message_deleted",
		.group_id = message->group_id,
		.actor_id = actor_id,
		.message_id = message->id
	};

	if (plan_run(&message_delete, PLAN_WRITE, values, NULL).nrows == 0)
		error_change_suppressed("groups_messages");
	if (!TIMESTAMP_IS_NOBEGIN(message->edited_at))
		forget_edits(message->id);
	forget_reactions(message->group_id, message->id);
	forget_pin(message->group_id, message->id);
	record_event(&event);
}

Datum
chatrel_delete_message(PG_FUNCTION_ARGS)
{
	int64		group_id = require_int64(fcinfo, 0, "group_id");
	int64		message_id = require_int64(fcinfo, 1, "message_id");
	int64		user_id = acting_user(fcinfo);
	OwnerScope	scope;
	Membership	member;
	PlanResult	found;
	Message		message;
	bool		deleted;

	PreventCommandIfReadOnly("chatrel.delete_message()");
	owner_begin(&scope, fcinfo);

	hold_membership(&member, user_id, group_id, ACT_DELETE_OWN);
	found = lock_message_to_change(group_id, message_id);
	read_message(&message, &found, 0);
	require_act(&member, message.sender_id == user_id ? ACT_DELETE_OWN : ACT_DELETE_ANY);
	deleted = TIMESTAMP_IS_NOBEGIN(message.deleted_at);
	if (deleted)
		delete_message(&message, user_id);
	owner_end(&scope);

	PG_RETURN_BOOL(deleted);
}
