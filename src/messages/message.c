/*
 * message.c
 *	  The shape of a message.
 */
#include "postgres.h"

#include "messages/message.h"

/* From the first columns of a row, which are MESSAGE_COLUMNS() */
void
read_message(Message *message, const PlanResult *result, uint64 row)
{
	message->id = result_int64(result, row, 1);
	message->datetime = DatumGetTimestampTz(result_datum(result, row, 2));
	message->group_id = result_int64(result, row, 3);
	message->sender_id = result_int64(result, row, 4);
	message->message = DatumGetTextPP(result_datum(result, row, 5));
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
