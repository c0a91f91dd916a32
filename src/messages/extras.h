/*
 * extras.h
 *	  What a message may carry beside its text, and the key that makes it one.
 */
#ifndef CHATREL_EXTRAS_H
#define CHATREL_EXTRAS_H

#include "core/plans.h"
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

extern bool read_extras(MessageExtras *extras, FunctionCallInfo fcinfo, int64 user_id);

/*
 * Between owner_begin() and owner_end(); values are datetime, group_id, user_id and
 * message.  is_new: it is no retry of a send, whose message is returned.
 */
extern PlanResult add_message_with_extras(const MessageExtras *extras, const Datum *values,
										  bool *is_new);
extern void record_mentions(const Message *message);

#endif							/* CHATREL_EXTRAS_H */
