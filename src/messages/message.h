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

/* Its columns */
enum
{
	MESSAGE_ID = 1,
	MESSAGE_DATETIME,
	MESSAGE_GROUP_ID,
	MESSAGE_SENDER_ID,
	MESSAGE_TEXT
};

/* The id, as the index on all messages has it (sql/parts/messages.sql says why) */
#define MESSAGE_ORDER(alias) "(" alias ".id OPERATOR(pg_catalog.+) 0)"

/*
 * The most that one JSON document holds of messages: PostgreSQL's jsonb ends at
 * 256 MB, and both ends have to keep it in memory.  One message is always let in.
 */
#define PAGE_MAX_MESSAGES	10000
#define PAGE_MAX_BYTES		(16 * 1024 * 1024)

extern uint64 messages_that_fit(const PlanResult *page, uint64 limit);
extern void read_message(Message *message, const PlanResult *result, uint64 row);
extern void json_message(JsonWriter *json, const Message *message);

#endif							/* CHATREL_MESSAGE_H */
