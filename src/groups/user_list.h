/*
 * user_list.h
 *	  The users whom a call names, and the one who calls.
 */
#ifndef CHATREL_USER_LIST_H
#define CHATREL_USER_LIST_H

#include "core/plans.h"

/* Each once, in the order of their ids */
typedef struct UserList
{
	int64	   *ids;
	int			count;
} UserList;

extern void require_user_list(UserList *list, FunctionCallInfo fcinfo, int argno, int64 user_id,
							  int at_most);

/* Between owner_begin() and owner_end(): ids and names of those there are. */
extern PlanResult lock_user_list(const UserList *list);
extern void require_listed_users(const UserList *list, const PlanResult *users);

#endif							/* CHATREL_USER_LIST_H */
