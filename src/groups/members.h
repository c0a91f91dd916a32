/*
 * members.h
 *	  Who is in which group.
 */
#ifndef CHATREL_MEMBERS_H
#define CHATREL_MEMBERS_H

#include "core/compat.h"

/* What a caller wants who turns out not to be a member decides the error. */
typedef enum MemberPurpose
{
	MEMBER_READS,				/* P0002, as if there were no such group */
	MEMBER_WRITES				/* 42501 */
} MemberPurpose;

/* Between owner_begin() and owner_end(). */
extern void lock_membership(int64 user_id, int64 group_id, MemberPurpose purpose);
extern void check_membership(int64 user_id, int64 group_id);
extern bool add_member(int64 group_id, int64 user_id);
extern void remove_all_memberships(int64 user_id);

pg_noreturn extern void error_group_not_found(int64 group_id);

#endif							/* CHATREL_MEMBERS_H */
