/*
 * removal.h
 *	  Taking a user that is deleted out of its groups.
 */
#ifndef CHATREL_GROUPS_REMOVAL_H
#define CHATREL_GROUPS_REMOVAL_H

/* Between owner_begin() and owner_end(). */
extern void remove_all_memberships(int64 user_id);

#endif							/* CHATREL_GROUPS_REMOVAL_H */
