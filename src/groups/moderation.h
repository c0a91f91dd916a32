/*
 * moderation.h
 *	  What moderators do to others.
 */
#ifndef CHATREL_MODERATION_H
#define CHATREL_MODERATION_H

#include "fmgr.h"
#include "utils/timestamp.h"

#include "groups/members.h"

/* Between owner_begin() and owner_end(). */
extern void lock_to_moderate(MemberPair *pair, int64 group_id, int64 actor_id, int64 user_id);

extern TimestampTz require_until(FunctionCallInfo fcinfo, int argno);

#endif							/* CHATREL_MODERATION_H */
