/*
 * members.h
 *	  Acting as a member of a group.
 */
#ifndef CHATREL_MEMBERS_H
#define CHATREL_MEMBERS_H

#include "core/compat.h"
#include "groups/rights.h"

/* Who does something to whom, and how many owners there are */
typedef struct MemberPair
{
	bool		has_actor;
	bool		has_other;
	Membership	actor;
	Membership	other;
	int			owners;			/* that were locked */
} MemberPair;

/* Between owner_begin() and owner_end(). */
extern void keep_group(int64 group_id);
extern void lock_membership(int64 user_id, int64 group_id, GroupAct act);
extern bool stays_member(int64 group_id, int64 user_id);
extern void hold_membership(Membership *member, int64 user_id, int64 group_id, GroupAct act);
extern void require_act(const Membership *member, GroupAct act);
extern void lock_two_members(MemberPair *pair, int64 group_id, int64 actor_id, int64 user_id,
							 bool with_owners);
extern void require_right_of_actor(const MemberPair *pair, int64 group_id, int64 actor_id,
								   GroupAct act);
extern void check_membership(int64 user_id, int64 group_id);
extern void check_right(int64 user_id, int64 group_id, GroupAct act);

pg_noreturn extern void error_group_not_found(int64 group_id);

#endif							/* CHATREL_MEMBERS_H */
