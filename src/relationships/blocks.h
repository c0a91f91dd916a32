/*
 * blocks.h
 *	  Who keeps whom away: blocks, which count for both sides, and mutes, which
 *	  are one user's own.
 */
#ifndef CHATREL_BLOCKS_H
#define CHATREL_BLOCKS_H

#include "utils/array.h"

#include "core/plans.h"

/*
 * A condition: has one of two users blocked the other, whichever?  Nobody blocks
 * itself, and so one scan of the primary key answers it.
 */
#define BLOCKED(user_a, user_b) \
	"EXISTS (SELECT FROM chatrel.blocks b" \
	" WHERE b.blocker_id" EQ "ANY (ARRAY[" user_a ", " user_b "])" \
	" AND b.blocked_id" EQ "ANY (ARRAY[" user_a ", " user_b "]))"

/* A condition: has that user blocked the other? */
#define MADE_BLOCK(user_id, other_id) \
	"EXISTS (SELECT FROM chatrel.blocks b" \
	" WHERE b.blocker_id" EQ user_id " AND b.blocked_id" EQ other_id ")"

/* A condition: does one user not want to hear of the other now? */
#define MUTED(user_id, muted_id) \
	"EXISTS (SELECT FROM chatrel.user_mutes m" \
	" WHERE m.user_id" EQ user_id " AND m.muted_id" EQ muted_id " AND " IN_FORCE("m") ")"

/* Is a mute still in force? */
#define IN_FORCE(mute) \
	"(" mute ".until IS NULL OR " mute ".until" GT "pg_catalog.now())"

/*
 * Between owner_begin() and owner_end(), and for good only while one of the users
 * is locked FOR SHARE: who blocks waits for that.  What has committed counts,
 * whatever the isolation level.
 */
extern bool is_blocked(int64 user_a, int64 user_b);

/* The same between rows_begin() and rows_end(), in their snapshot */
extern bool is_blocked_now(int64 user_a, int64 user_b);

/*
 * Of some users those who are to be told what another one does to them, such as
 * to mention or invite them: neither has blocked the other, and they have not
 * muted it.  The order stays; null if nobody is left.
 */
extern ArrayType *who_hear_from(int64 actor_id, ArrayType *user_ids);

#endif							/* CHATREL_BLOCKS_H */
