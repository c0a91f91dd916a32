/*
 * extras.h
 *	  What a message may carry beside its text, and the key that makes it one.
 */
#ifndef CHATREL_EXTRAS_H
#define CHATREL_EXTRAS_H

#include "core/rows.h"
#include "messages/message.h"
#include "utils/array.h"
#include "utils/jsonb.h"

/* What is not there is 0 or null. */
typedef struct MessageExtras
{
	int64		reply_to_id;
	ArrayType  *mentions;		/* each once, without the sender */
	Jsonb	   *metadata;
	text	   *client_key;
} MessageExtras;

extern void read_extras(MessageExtras *extras, FunctionCallInfo fcinfo, int64 user_id);

extern HeapTuple find_sent(const MessageExtras *extras, int64 group_id, int64 user_id);
extern void check_extras(const MessageExtras *extras, int64 group_id);
extern void set_extras(TupleTableSlot *message, const MessageExtras *extras);
extern void record_mentions(const Message *message);

#endif							/* CHATREL_EXTRAS_H */
