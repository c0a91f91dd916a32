/*
 * message.c
 *	  The shape of a message.
 */
#include "postgres.h"

#include "access/detoast.h"

#include "messages/message.h"

/* How many of the first rows, at most limit, a document takes; one without a text is small. */
uint64
messages_that_fit(const PlanResult *page, uint64 limit)
{
	uint64		nmessages = Min(page->nrows, Min(limit, PAGE_MAX_MESSAGES));
	Size		bytes = 0;

	for (uint64 row = 0; row < nmessages; row++)
	{
		if (!result_is_null(page, row, MESSAGE_TEXT))
			bytes += toast_raw_datum_size(result_datum(page, row, MESSAGE_TEXT));
		if (row > 0 && bytes > PAGE_MAX_BYTES)
			return row;
	}
	return nmessages;
}

/* From the first columns of a row, which are MESSAGE_COLUMNS() */
void
read_message(Message *message, const PlanResult *result, uint64 row)
{
	message->id = result_int64(result, row, MESSAGE_ID);
	message->datetime = DatumGetTimestampTz(result_datum(result, row, MESSAGE_DATETIME));
	message->group_id = result_int64(result, row, MESSAGE_GROUP_ID);
	message->sender_id = result_int64(result, row, MESSAGE_SENDER_ID);
	message->message = DatumGetTextPP(result_datum(result, row, MESSAGE_TEXT));
}

/* Its fields; truncated says that it has a text, which is not here. */
void
json_message(JsonWriter *json, const Message *message)
{
	json_id(json, "id", message->id);
	json_timestamp(json, "datetime", message->datetime);
	json_id(json, "group_id", message->group_id);
	json_id(json, "sender_id", message->sender_id);
	if (message->message != NULL)
		json_text(json, "message", message->message);
	else
		json_bool(json, "truncated", true);
}
