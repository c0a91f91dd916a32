/*
 * joining.h
 *	  Who may come into a group.
 */
#ifndef CHATREL_JOINING_H
#define CHATREL_JOINING_H

#include "core/plans.h"
#include "relationships/blocks.h"

/* A condition: is the user kept out of the group now? */
#define BANNED(group_id, user_id) \
	"EXISTS (SELECT FROM chatrel.groups_bans k" \
	" WHERE k.group_id" EQ group_id " AND k.user_id" EQ user_id \
	" AND (k.until IS NULL OR k.until" GT "pg_catalog.clock_timestamp()))"

/*
 * A condition: may the user come in by an invitation?  One by a member that has
 * blocked the user, or is blocked by it, counts for others only (invitations.c).
 */
#define INVITED(group_id, user_id) \
	"EXISTS (SELECT FROM chatrel.groups_invitations i" \
	" WHERE i.group_id" EQ group_id " AND i.user_id" EQ user_id \
	" AND NOT " BLOCKED("i.invited_by", "i.user_id") ")"

/* What lets a user in, beside an invitation */
typedef enum JoinReason
{
	JOIN_FREELY,				/* the group is open */
	JOIN_BY_LINK,
	JOIN_BY_DECISION			/* of a moderator, of a request */
} JoinReason;

/* How a group is for a user who is to come in */
typedef struct Entry
{
	bool		is_public;
	bool		is_open;
	bool		is_archived;
	bool		is_member;
	bool		is_banned;
	bool		is_invited;
	bool		is_awaited;		/* by an invitation, also one that does not
								 * count, or a request */
} Entry;

/* Between owner_begin() and owner_end(), with the user locked. */
extern bool read_entry(Entry *state, int64 group_id, int64 user_id);
extern void check_may_enter(const Entry *state, int64 group_id, int64 user_id);
pg_noreturn extern void error_banned(int64 user_id, int64 group_id);

/* Between owner_begin() and owner_end(). */
extern bool join(int64 group_id, int64 user_id, int64 actor_id, JoinReason reason);
extern uint64 remove_invitations(int64 group_id, int64 user_id, int64 invited_by);
extern bool remove_join_request(int64 group_id, int64 user_id);
extern void forget_admission(int64 group_id, int64 user_id);
extern void remove_all_admissions(int64 user_id);

#endif							/* CHATREL_JOINING_H */
