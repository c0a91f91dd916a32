/*
 * extras.c
 *	  What a message may carry beside its text, and the key that makes it one.
 *
 * A message may answer another one, mention members, have metadata of the
 * application's, and be named by a key of its sender's: a send with a key that the
 * sender has used in the group is a retry, and gives the message that there is.
 * All that is looked up here costs a send that has none of it nothing.
 *
 * Whom a message mentions is a member as far as the sender's statement sees.  No
 * lock keeps it so: busy members would collect the locks of many senders, and
 * locking several of them might deadlock with what removes members.  Who leaves
 * at that moment may still hear of the mention.
 */
#include "postgres.h"

#include "catalog/pg_type.h"

#include "core/check.h"
#include "core/errors.h"
#include "delivery/record.h"
#include "groups/members.h"
#include "messages/extras.h"
#include "messages/keys.h"
#include "relationships/blocks.h"

#define MAX_MENTIONS			100
#define MAX_CLIENT_KEY_BYTES	255

/* The arguments of send_group_message() */
enum
{
	ARG_REPLY_TO_ID = 3,
	ARG_MENTIONS,
	ARG_METADATA,
	ARG_CLIENT_KEY
};

static SqlPlan extended_add = {
	.sql = "INSERT INTO chatrel.groups_messages AS sent"
	" (datetime, group_id, sender_id, message, reply_to_id, mentions, metadata, client_key)"
	" VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"
	" ON CONFLICT (group_id, sender_id, client_key) WHERE client_key IS NOT NULL DO NOTHING"
	" RETURNING " MESSAGE_COLUMNS("sent"),
	.expected = SPI_OK_INSERT_RETURNING,
	PLAN_ARGS(TIMESTAMPTZOID, INT8OID, INT8OID, TEXTOID, INT8OID, INT8ARRAYOID, JSONBOID, TEXTOID)
};

static SqlPlan message_of_key = {
	.sql = "SELECT " MESSAGE_COLUMNS("t") " FROM chatrel.groups_messages t"
	" WHERE t.group_id" EQ "$1 AND t.sender_id" EQ "$2 AND t.client_key" EQ "$3",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, INT8OID, TEXTOID),
	.by_index = true
};

static SqlPlan message_exists = {
	.sql = "SELECT FROM chatrel.groups_messages WHERE group_id" EQ "$1 AND id" EQ "$2",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, INT8OID)
};

static SqlPlan no_members = {
	.sql = "SELECT u.id FROM pg_catalog.unnest($2) u (id) WHERE NOT EXISTS"
	" (SELECT FROM chatrel.groups_members m WHERE m.group_id" EQ "$1 AND m.user_id" EQ "u.id)"
	" LIMIT 1",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, INT8ARRAYOID),
	.by_index = true
};

/* ---------- arguments ---------- */

static bool
has_id(const int64 *ids, int count, int64 id)
{
	for (int i = 0; i < count; i++)
		if (ids[i] == id)
			return true;
	return false;
}

/* Each once, in the order given, without the sender; null if nobody is left. */
static ArrayType *
require_mentions(FunctionCallInfo fcinfo, int64 user_id)
{
	ArrayType  *passed = require_ids(fcinfo, ARG_MENTIONS, "mentions");
	int			npassed = ArrayGetNItems(ARR_NDIM(passed), ARR_DIMS(passed));
	const int64 *elements = (const int64 *) ARR_DATA_PTR(passed);
	int64		mentions[MAX_MENTIONS];
	int			count = 0;

	if (npassed > MAX_MENTIONS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("mentions must have at most %d users, not %d", MAX_MENTIONS, npassed)));
	for (int i = 0; i < npassed; i++)
		if (elements[i] != user_id && !has_id(mentions, count, elements[i]))
			mentions[count++] = elements[i];
	return count == 0 ? NULL : DatumGetArrayTypeP(int64_array(mentions, count));
}

static text *
require_client_key(FunctionCallInfo fcinfo)
{
	text	   *client_key = PG_GETARG_TEXT_PP(ARG_CLIENT_KEY);

	if (VARSIZE_ANY_EXHDR(client_key) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("client_key must not be empty")));
	check_bytes(VARSIZE_ANY_EXHDR(client_key), MAX_CLIENT_KEY_BYTES, "client_key");
	return client_key;
}

/* False if there are none, as of most messages. */
bool
read_extras(MessageExtras *extras, FunctionCallInfo fcinfo, int64 user_id)
{
	bool		has_reply = !PG_ARGISNULL(ARG_REPLY_TO_ID);

	memset(extras, 0, sizeof(*extras));
	if (has_reply)
		extras->reply_to_id = PG_GETARG_INT64(ARG_REPLY_TO_ID);
	if (has_reply && extras->reply_to_id <= 0)
		error_message_not_found(PG_GETARG_INT64(0), extras->reply_to_id);
	if (!PG_ARGISNULL(ARG_MENTIONS))
		extras->mentions = require_mentions(fcinfo, user_id);
	if (!PG_ARGISNULL(ARG_METADATA))
		extras->metadata = require_metadata(fcinfo, ARG_METADATA);
	if (!PG_ARGISNULL(ARG_CLIENT_KEY))
		extras->client_key = require_client_key(fcinfo);
	return has_reply || extras->mentions != NULL || extras->metadata != NULL ||
		extras->client_key != NULL;
}

/* ---------- sending ---------- */

static void
require_message(int64 group_id, int64 message_id)
{
	Datum		values[] = {Int64GetDatum(group_id), Int64GetDatum(message_id)};

	if (plan_run(&message_exists, PLAN_WRITE, values, NULL).nrows == 0)
		error_message_not_found(group_id, message_id);
}

/* The table tells it from a sender who is no member: that is 42501. */
static void
require_members(int64 group_id, ArrayType *mentions)
{
	Datum		values[] = {Int64GetDatum(group_id), PointerGetDatum(mentions)};
	PlanResult	others = plan_run(&no_members, PLAN_WRITE, values, NULL);

	if (others.nrows > 0)
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("user %lld, whom the message mentions, is not a member of group %lld",
						(long long) result_int64(&others, 0, 1), (long long) group_id),
				 err_table("groups_members")));
}

/* The message that was sent with the key, if there is one */
static PlanResult
find_by_key(const MessageExtras *extras, int64 group_id, int64 user_id)
{
	Datum		values[] = {Int64GetDatum(group_id), Int64GetDatum(user_id),
	PointerGetDatum(extras->client_key)};
	PlanResult	none = {0};

	if (extras->client_key == NULL)
		return none;
	return plan_run(&message_of_key, PLAN_WRITE, values, NULL);
}

static PlanResult
insert_extended(const MessageExtras *extras, const Datum *values)
{
	Datum		all[] = {
		values[0], values[1], values[2], values[3],
		Int64GetDatum(extras->reply_to_id),
		PointerGetDatum(extras->mentions),
		PointerGetDatum(extras->metadata),
		PointerGetDatum(extras->client_key)
	};
	char		nulls[] = "        ";
	PlanResult	added;

	for (int i = 4; i < lengthof(all); i++)
		if (all[i] == 0)
			nulls[i] = 'n';
	keys_known_begin(DatumGetInt64(values[1]), DatumGetInt64(values[2]));
	added = plan_run(&extended_add, PLAN_WRITE, all, nulls);
	keys_known_end();
	return added;
}

/*
 * The membership is locked before anything is looked up.  What a retry names may
 * be gone by now, and the sender may not send any more, and so its message is
 * looked for first.  Of two sends at the same time the second waits in the index for
 * the first, and then finds its message; in a transaction that must not see it
 * PostgreSQL raises 40001.
 */
PlanResult
add_message_with_extras(const MessageExtras *extras, const Datum *values, bool *is_new)
{
	int64		group_id = DatumGetInt64(values[1]);
	int64		user_id = DatumGetInt64(values[2]);
	Membership	member;
	PlanResult	message;

	hold_membership(&member, user_id, group_id, ACT_SEND);
	message = find_by_key(extras, group_id, user_id);
	*is_new = message.nrows == 0;
	if (!*is_new)
		return message;
	require_act(&member, ACT_SEND);
	if (extras->reply_to_id != 0)
		require_message(group_id, extras->reply_to_id);
	if (extras->mentions != NULL)
		require_members(group_id, extras->mentions);
	for (int i = 0; i < MAX_TRIES; i++)
	{
		message = insert_extended(extras, values);
		*is_new = message.nrows > 0;
		if (!*is_new)
			message = find_by_key(extras, group_id, user_id);
		if (message.nrows > 0)
			return message;
	}
	error_change_suppressed("groups_messages");
}

/*
 * Each of those whom a new message mentions hears of it, after the message, unless
 * there is a block between the two or the sender is muted.
 */
void
record_mentions(const Message *message)
{
	ArrayType  *hearers = who_hear_from(message->sender_id, message->mentions);
	int			count = hearers == NULL ? 0 : ArrayGetNItems(ARR_NDIM(hearers), ARR_DIMS(hearers));

	for (int i = 0; i < count; i++)
	{
		RecordedEvent mentioned = {
			.kind = "mentioned",
			.group_id = message->group_id,
			.recipient_id = ((const int64 *) ARR_DATA_PTR(hearers))[i],
			.actor_id = message->sender_id,
			.message_id = message->id
		};

		record_event(&mentioned);
	}
}
