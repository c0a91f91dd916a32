/*
 * joining.h
 *	  Who may come into a group.
 */
#ifndef CHATREL_JOINING_H
#define CHATREL_JOINING_H

#include "core/plans.h"

/* What lets a user in, beside an invitation */
typedef enum JoinReason
{
	JOIN_FREELY,				/* the group is open */
	JOIN_BY_LINK,
	JOIN_BY_DECISION			/* of a moderator, of a request */
} JoinReason;

/* Between owner_begin() and owner_end(). */
extern bool join(int64 group_id, int64 user_id, int64 actor_id, JoinReason reason);
extern void forget_admission(int64 group_id, int64 user_id);

#endif							/* CHATREL_JOINING_H */
