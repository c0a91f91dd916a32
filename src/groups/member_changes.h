/*
 * member_changes.h
 *	  Becoming a member of a group, and ceasing to be one.
 */
#ifndef CHATREL_MEMBER_CHANGES_H
#define CHATREL_MEMBER_CHANGES_H

#include "groups/rights.h"

/* Why somebody is no member any more, as the events say it */
#define LEFT_BY_LEAVING		"left"
#define LEFT_BY_REMOVAL		"removed"
#define LEFT_BY_BAN			"banned"
#define LEFT_BY_DELETION	"deleted"

/* Between owner_begin() and owner_end(). */
extern char *lock_user_to_join(int64 user_id);
extern bool add_member(int64 group_id, int64 user_id, int64 actor_id, const char *username);
extern bool remove_member(int64 group_id, int64 user_id, int64 actor_id, const char *reason,
						  bool owners_too);
extern void announce_removal(int64 group_id, int64 user_id, int64 actor_id, const char *username,
							 const char *reason);

extern void record_role(int64 group_id, int64 user_id, int64 actor_id, GroupRole role);

#endif							/* CHATREL_MEMBER_CHANGES_H */
