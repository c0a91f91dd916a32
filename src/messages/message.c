/*
 * message.c
 *	  The shape of a message.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/htup_details.h"
#include "catalog/pg_type.h"

#include "core/errors.h"
#include "messages/message.h"

void
error_message_not_found(int64 group_id, int64 message_id)
{
	ereport(ERROR,
			(errcode(ERRCODE_NO_DATA_FOUND),
			 errmsg("message %lld of group %lld does not exist",
					(long long) message_id, (long long) group_id),
			 err_table("groups_messages")));
}

/* How much there is in the columns of a row that may hold much. */
static Size
row_bytes(const PlanResult *page, uint64 row)
{
	TupleDesc	tupdesc = page->rows->tupdesc;
	Size		bytes = 0;

	for (int column = 1; column <= tupdesc->natts; column++)
		if (TupleDescAttr(tupdesc, column - 1)->attlen == -1 && !result_is_null(page, row, column))
			bytes += toast_raw_datum_size(result_datum(page, row, column));
	return bytes;
}

/* How many of the first rows, at most limit, a document takes. */
uint64
messages_that_fit(const PlanResult *page, uint64 limit)
{
	uint64		nmessages = Min(page->nrows, Min(limit, PAGE_MAX_MESSAGES));
	Size		bytes = 0;

	for (uint64 row = 0; row < nmessages; row++)
	{
		bytes += row_bytes(page, row);
		if (row > 0 && bytes > PAGE_MAX_BYTES)
			return row;
	}
	return nmessages;
}

/* What a message may have, beside its text */
static void
read_optional(Message *message, const Datum *column, const bool *isnull)
{
	if (!isnull[MESSAGE_REPLY_TO_ID])
		message->reply_to_id = DatumGetInt64(column[MESSAGE_REPLY_TO_ID]);
	if (!isnull[MESSAGE_MENTIONS])
		message->mentions = DatumGetArrayTypeP(column[MESSAGE_MENTIONS]);
	if (!isnull[MESSAGE_METADATA])
		message->metadata = DatumGetJsonbP(column[MESSAGE_METADATA]);
	message->edited_at = isnull[MESSAGE_EDITED_AT] ? DT_NOBEGIN
		: DatumGetTimestampTz(column[MESSAGE_EDITED_AT]);
	message->deleted_at = isnull[MESSAGE_DELETED_AT] ? DT_NOBEGIN
		: DatumGetTimestampTz(column[MESSAGE_DELETED_AT]);
}

/* From the first columns of a row, which are MESSAGE_COLUMNS() */
void
read_message_tuple(Message *message, HeapTuple tuple, TupleDesc tupdesc)
{
	Datum		values[MaxTupleAttributeNumber];
	bool		nulls[MaxTupleAttributeNumber];
	const Datum *column = values - 1;	/* they count from 1 */
	const bool *isnull = nulls - 1;

	heap_deform_tuple(tuple, tupdesc, values, nulls);
	memset(message, 0, sizeof(*message));
	message->id = DatumGetInt64(column[MESSAGE_ID]);
	message->datetime = DatumGetTimestampTz(column[MESSAGE_DATETIME]);
	message->group_id = DatumGetInt64(column[MESSAGE_GROUP_ID]);
	message->sender_id = DatumGetInt64(column[MESSAGE_SENDER_ID]);
	if (!isnull[MESSAGE_TEXT])
		message->message = DatumGetTextPP(column[MESSAGE_TEXT]);
	read_optional(message, column, isnull);
}

void
read_message(Message *message, const PlanResult *result, uint64 row)
{
	read_message_tuple(message, result->rows->vals[row], result->rows->tupdesc);
}

static void
json_ids(JsonWriter *json, const char *key, ArrayType *ids)
{
	Datum	   *elements;
	int			count;

	deconstruct_array(ids, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE,
					  &elements, NULL, &count);
	json_begin_array(json, key);
	for (int i = 0; i < count; i++)
		json_id(json, NULL, DatumGetInt64(elements[i]));
	json_end_array(json);
}

static void
json_optional(JsonWriter *json, const Message *message)
{
	if (message->reply_to_id != 0)
		json_id(json, "reply_to_id", message->reply_to_id);
	if (message->mentions != NULL)
		json_ids(json, "mentions", message->mentions);
	if (message->metadata != NULL)
		json_jsonb(json, "metadata", message->metadata);
	if (!TIMESTAMP_IS_NOBEGIN(message->edited_at))
		json_timestamp(json, "edited_at", message->edited_at);
	if (!TIMESTAMP_IS_NOBEGIN(message->deleted_at))
		json_timestamp(json, "deleted_at", message->deleted_at);
}

/* Its fields; truncated says that it has a text, which is not here, as all that is long. */
void
json_message(JsonWriter *json, const Message *message)
{
	json_id(json, "id", message->id);
	json_timestamp(json, "datetime", message->datetime);
	json_id(json, "group_id", message->group_id);
	json_id(json, "sender_id", message->sender_id);
	if (message->message != NULL || !TIMESTAMP_IS_NOBEGIN(message->deleted_at))
		json_text(json, "message", message->message);
	else
		json_bool(json, "truncated", true);
	json_optional(json, message);
}
