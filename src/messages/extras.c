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
#include "messages/extras.h"
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

static SqlPlan message_of_key = {
	.sql = "SELECT " MESSAGE_COLUMNS("t") " FROM chatrel.groups_messages t"
	" WHERE t.group_id" EQ "$1 AND t.sender_id" EQ "$2 AND t.client_key" EQ "$3",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, INT8OID, TEXTOID),
	.by_index = true
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

/* Most messages have none. */
void
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
}

/* ---------- sending ---------- */

static void
require_message(int64 group_id, int64 message_id)
{
	const int64 key[] = {group_id, message_id};
	bool		exists;

	rows_begin(PLAN_WRITE);
	exists = row_exists("groups_messages", key, lengthof(key));
	rows_end();
	if (!exists)
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

/*
 * Between owner_begin() and owner_end(): the message that its sender has sent with the key;
 * null if there is none.
 */
HeapTuple
find_sent(const MessageExtras *extras, int64 group_id, int64 user_id)
{
	Datum		values[] = {Int64GetDatum(group_id), Int64GetDatum(user_id),
	PointerGetDatum(extras->client_key)};
	PlanResult	sent;

	if (extras->client_key == NULL)
		return NULL;
	sent = plan_run(&message_of_key, PLAN_WRITE, values, NULL);
	return sent.nrows == 0 ? NULL : sent.rows->vals[0];
}

/* Between owner_begin() and owner_end(): the membership is locked, and may send. */
void
check_extras(const MessageExtras *extras, int64 group_id)
{
	if (extras->reply_to_id != 0)
		require_message(group_id, extras->reply_to_id);
	if (extras->mentions != NULL)
		require_members(group_id, extras->mentions);
}

void
set_extras(TupleTableSlot *message, const MessageExtras *extras)
{
	if (extras->reply_to_id != 0)
		row_set(message, "reply_to_id", Int64GetDatum(extras->reply_to_id));
	if (extras->mentions != NULL)
		row_set(message, "mentions", PointerGetDatum(extras->mentions));
	if (extras->metadata != NULL)
		row_set(message, "metadata", PointerGetDatum(extras->metadata));
	if (extras->client_key != NULL)
		row_set(message, "client_key", PointerGetDatum(extras->client_key));
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
