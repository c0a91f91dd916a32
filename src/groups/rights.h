/*
 * rights.h
 *	  What a member may do in a group.
 */
#ifndef CHATREL_RIGHTS_H
#define CHATREL_RIGHTS_H

#include "core/compat.h"
#include "core/plans.h"

/* In the order of what they may do */
typedef enum GroupRole
{
	ROLE_MEMBER,
	ROLE_MODERATOR,
	ROLE_OWNER
} GroupRole;

/* What may be done; rights.c has the rule for each. */
typedef enum GroupAct
{
	ACT_READ,
	ACT_KEEP,					/* what is the member's own: read marks,
								 * leaving, taking back an invitation */
	ACT_SEND,
	ACT_CHANGE,					/* edit, react, draw, publish */
	ACT_DELETE_OWN,
	ACT_DELETE_ANY,
	ACT_PIN,
	ACT_DESCRIBE,
	ACT_OPEN,					/* who finds the group, and who joins */
	ACT_INVITE,
	ACT_ADMIT,					/* links, and requests to join */
	ACT_MODERATE,				/* remove, ban and mute members */
	ACT_SET_ROLE,
	ACT_DISPOSE					/* archive and delete the group */
} GroupAct;

/* A membership, and the rules of its group */
typedef struct Membership
{
	int64		group_id;
	int64		user_id;
	GroupRole	role;
	bool		muted;
	bool		is_direct;
	bool		is_archived;
	bool		moderated;		/* only moderators send */
	bool		by_request;		/* moderators decide who joins */
	bool		slow;
	int64		other_id;		/* locked, of a direct conversation of two;
								 * else 0 */
} Membership;

/* What a plan gives to read one: m is the membership, g its group. */
#define MEMBERSHIP_COLUMNS \
	"m.group_id, m.user_id, m.role, m.muted_until" GT "pg_catalog.clock_timestamp()," \
	" g.visibility" EQ "'direct', g.archived_at IS NOT NULL, g.posting" NE "'everybody'," \
	" g.join_policy" NE "'open', g.slow_mode IS NOT NULL"

/* Where no rule is to be asked: what a send looks at */
#define MAY_SEND_AT_ONCE(group_id) \
	"m.muted_until IS NULL AND (SELECT g.archived_at IS NULL AND g.posting" EQ "'everybody'" \
	" AND g.slow_mode IS NULL AND g.visibility" NE "'direct'" \
	" FROM chatrel.groups g WHERE g.id" EQ group_id ")"

extern void read_membership(Membership *member, const PlanResult *result, uint64 row);
extern GroupRole parse_role(const char *name);
extern const char *role_name(GroupRole role);

extern bool is_ended_by_block(GroupAct act);
extern bool may_act(const Membership *member, GroupAct act);
extern void require_right(const Membership *member, GroupAct act);

pg_noreturn extern void error_direct(int64 group_id);
pg_noreturn extern void error_last_owner(int64 group_id, int64 user_id);

#endif							/* CHATREL_RIGHTS_H */
