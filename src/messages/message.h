/*
 * message.h
 *	  The shape of a message: {"id", "datetime", "group_id", "sender_id", "message"}.
 */
#ifndef CHATREL_MESSAGE_H
#define CHATREL_MESSAGE_H

#include "core/json.h"
#include "core/plans.h"

typedef struct Message
{
	int64		id;
	TimestampTz datetime;
	int64		group_id;
	int64		sender_id;
	text	   *message;
} Message;

/* What a plan gives to read a message, or to return it as a chatrel.chat_message */
#define MESSAGE_COLUMNS(alias) \
	alias ".id, " alias ".datetime, " alias ".group_id, " alias ".sender_id, " alias ".message"
#define MESSAGE_NCOLUMNS	5

extern void read_message(Message *message, const PlanResult *result, uint64 row);
extern void json_message(JsonWriter *json, const Message *message);

#endif							/* CHATREL_MESSAGE_H */
