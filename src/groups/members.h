/*
 * members.h
 *	  Who is in which group.
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

/* Why somebody is no member any more, as the events say it */
#define LEFT_BY_LEAVING		"left"
#define LEFT_BY_REMOVAL		"removed"
#define LEFT_BY_BAN			"banned"
#define LEFT_BY_DELETION	"deleted"

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

extern char *keep_user(int64 user_id);
extern char *lock_user_to_join(int64 user_id);
extern bool add_member(int64 group_id, int64 user_id, int64 actor_id, const char *username);
extern bool remove_member(int64 group_id, int64 user_id, int64 actor_id, const char *reason,
						  bool owners_too);
extern void announce_removal(int64 group_id, int64 user_id, int64 actor_id, const char *username,
							 const char *reason);

extern void record_role(int64 group_id, int64 user_id, int64 actor_id, GroupRole role);

pg_noreturn extern void error_group_not_found(int64 group_id);

#endif							/* CHATREL_MEMBERS_H */
