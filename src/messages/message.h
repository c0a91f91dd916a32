/*
 * message.h
 *	  The shape of a message: {"id", "datetime", "group_id", "sender_id", "message"},
 *	  and where they say something "reply_to_id", "mentions", "metadata",
 *	  "edited_at" and "deleted_at"; the "message" of a deleted one is null.
 */
#ifndef CHATREL_MESSAGE_H
#define CHATREL_MESSAGE_H

#include "core/json.h"
#include "core/plans.h"
#include "utils/array.h"
#include "utils/jsonb.h"

typedef struct Message
{
	int64		id;
	TimestampTz datetime;
	int64		group_id;
	int64		sender_id;
	text	   *message;		/* null: deleted, or truncated */
	int64		reply_to_id;	/* or 0 */
	ArrayType  *mentions;		/* or null, as metadata */
	Jsonb	   *metadata;
	TimestampTz edited_at;		/* -infinity if it is not, as deleted_at */
	TimestampTz deleted_at;
} Message;

/* What a plan gives to read a message, or to return it as a chatrel.chat_message */
#define MESSAGE_COLUMNS(alias) \
	alias ".id, " alias ".datetime, " alias ".group_id, " alias ".sender_id, " alias ".message," \
	" " alias ".reply_to_id, " alias ".mentions, " alias ".metadata," \
	" " alias ".edited_at, " alias ".deleted_at"
#define MESSAGE_NCOLUMNS	10

/* What follows the sender, of what is no message */
#define MESSAGE_NO_COLUMNS \
	"NULL::pg_catalog.text, NULL::pg_catalog.int8, NULL::pg_catalog.int8[]," \
	" NULL::pg_catalog.jsonb, NULL::pg_catalog.timestamptz, NULL::pg_catalog.timestamptz"

/* Its columns */
enum
{
	MESSAGE_ID = 1,
	MESSAGE_DATETIME,
	MESSAGE_GROUP_ID,
	MESSAGE_SENDER_ID,
	MESSAGE_TEXT,
	MESSAGE_REPLY_TO_ID,
	MESSAGE_MENTIONS,
	MESSAGE_METADATA,
	MESSAGE_EDITED_AT,
	MESSAGE_DELETED_AT
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
pg_noreturn extern void error_message_not_found(int64 group_id, int64 message_id);
extern void read_message(Message *message, const PlanResult *result, uint64 row);
extern void read_message_tuple(Message *message, HeapTuple tuple, TupleDesc tupdesc);
extern void json_message(JsonWriter *json, const Message *message);

#endif							/* CHATREL_MESSAGE_H */
