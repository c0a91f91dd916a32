/*
 * reactions.h
 *	  What members say to a message by a sign: how many have said which.
 */
#ifndef CHATREL_REACTIONS_H
#define CHATREL_REACTIONS_H

#include "core/json.h"
#include "core/plans.h"

/* Those of a page of messages, in the order of the messages' ids */
typedef struct Reactions
{
	PlanResult	counts;
} Reactions;

/* Between owner_begin() and owner_end(). */
extern void read_reactions(Reactions *reactions, int64 user_id, int64 group_id,
						   const int64 *message_ids, int count);
extern void forget_reactions(int64 group_id, int64 message_id);

/* The keys of a message's object, where it has any: "reactions" and "my_reactions" */
extern void json_reactions(JsonWriter *json, const Reactions *reactions, int64 message_id);

/* Locks a message that is not deleted FOR KEY SHARE, after the membership. */
extern void lock_message(int64 group_id, int64 message_id);

#endif							/* CHATREL_REACTIONS_H */
