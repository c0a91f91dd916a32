/*
 * groups.h
 *	  Groups and who is in them.
 */
#ifndef CHATREL_GROUPS_H
#define CHATREL_GROUPS_H

/* What a caller wants who turns out not to be a member decides the error. */
typedef enum MemberPurpose
{
	MEMBER_READS,				/* P0002, as if there were no such group */
	MEMBER_WRITES				/* 42501 */
} MemberPurpose;

/* Between owner_begin() and owner_end(). */
extern void require_member(int64 user_id, int64 group_id, MemberPurpose purpose);
extern void require_reader(int64 user_id, int64 group_id);
extern void leave_all_groups(int64 user_id);

#endif							/* CHATREL_GROUPS_H */
